"""Windows of time in a week: ``Mon-Fri 18:00-07:00; Sat,Sun``.

A window goes by the clock on the wall, in the zone of the moments that are handed in. One that
goes over midnight belongs to the day that it begins on: ``Fri 18:00-07:00`` lasts into Saturday.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
EVERY_DAY = frozenset(range(7))

_MIDNIGHT = time()
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
_NUMBERS = {day.lower(): number for number, day in enumerate(DAYS)}


@dataclass(frozen=True)
class Span:
    """One part of a window.

    Attributes
    ----------
    days : frozenset of int
        Days that it begins on; Monday is 0.
    begin, end : time
        The end is not in it; one that is not after the beginning is on the day after.
    """

    days: frozenset[int]
    begin: time
    end: time

    def covers(self, now: datetime) -> bool:
        """Tell whether a moment is in it."""
        clock, today = now.time(), now.weekday()
        if self.begin < self.end:
            return today in self.days and self.begin <= clock < self.end
        return (today in self.days and clock >= self.begin) or (
            (today - 1) % 7 in self.days and clock < self.end
        )


@dataclass(frozen=True)
class Window:
    """When something may be done."""

    spans: tuple[Span, ...]

    @classmethod
    def parse(cls, text: str) -> "Window":
        """Read a window as it is written.

        Raises
        ------
        ValueError
            In the words for the one who wrote it.
        """
        return _parse(text)

    def is_open(self, now: datetime) -> bool:
        """Tell whether a moment, in local time, is in the window."""
        return any(span.covers(now) for span in self.spans)

    def next_opening(self, now: datetime) -> datetime:
        """Return the moment from which on the window is open: now, or when its next part begins.

        A part that a change to summer time leaves out is passed over.
        """
        if self.is_open(now):
            return now
        moments = (
            moment
            for span in self.spans
            for moment in moments_at(span.days, span.begin, now)
            if self.is_open(moment)
        )
        return min(moments, key=lambda moment: moment.timestamp())


def moments_at(days: frozenset[int], clock: time, after: datetime) -> list[datetime]:
    """Return the moments, after another and within two weeks, when the clock shows a time.

    A time that a change to summer time leaves out is as much later as the clock was put on; one
    that comes twice counts twice.
    """
    found = []
    for offset in range(15):
        date = (after + timedelta(days=offset)).date()
        if date.weekday() not in days:
            continue
        for fold in (0, 1):
            written = datetime.combine(date, clock, after.tzinfo).replace(fold=fold)
            moment = written.astimezone(UTC).astimezone(after.tzinfo)
            if moment.fold == fold and moment.timestamp() > after.timestamp():
                found.append(moment)
    return found


def parse_days(text: str) -> frozenset[int]:
    """Read days of the week, ``Mon-Fri`` or ``Sat,Sun``; Monday is 0.

    Raises
    ------
    ValueError
        If they are none.
    """
    found: set[int] = set()
    for part in text.split(","):
        names = [name.strip().lower() for name in part.split("-")]
        if len(names) > 2 or not all(name in _NUMBERS for name in names):
            raise ValueError(
                f'"{part.strip()}" is no day; days are {", ".join(DAYS)}, or two as in Mon-Fri'
            )
        first, last = _NUMBERS[names[0]], _NUMBERS[names[-1]]
        found.update((first + offset) % 7 for offset in range((last - first) % 7 + 1))
    return frozenset(found)


def parse_clock(text: str) -> time:
    """Read a time of day, ``18:00``.

    Raises
    ------
    ValueError
        If it is none.
    """
    match = _CLOCK.fullmatch(text)
    if match is None:
        raise ValueError(f'"{text}" is no time of day, as 07:30 or 18:00 are')
    return time(int(match[1]), int(match[2]))


@lru_cache(maxsize=1024)
def _parse(text: str) -> Window:
    return Window(tuple(_parse_span(part) for part in text.split(";")))


def _parse_span(text: str) -> Span:
    days, clocks = split_days(text)
    if clocks is None:
        return Span(days, _MIDNIGHT, _MIDNIGHT)
    begin, dash, end = clocks.partition("-")
    if not dash:
        raise ValueError(f'"{clocks}" is no time from and to, as 18:00-07:00 is')
    if begin == end:
        raise ValueError(f'"{clocks}" has no length; leave the times out for the whole day')
    return Span(days, parse_clock(begin), _MIDNIGHT if end == "24:00" else parse_clock(end))


def split_days(text: str) -> tuple[frozenset[int], str | None]:
    """Read ``[days] [times]``: the days, every one where there are none, and the text of the times.

    Raises
    ------
    ValueError
        If the days are none, or there is nothing.
    """
    days, _, clocks = re.sub(r"\s*([-,])\s*", r"\1", text.strip()).partition(" ")
    if not days:
        raise ValueError("is empty; a window is written as in Mon-Fri 18:00-07:00")
    if days[0].isdigit():
        if clocks:
            raise ValueError(f'"{text.strip()}" has the times before the days')
        return EVERY_DAY, days
    return parse_days(days), clocks.strip() or None


def _checked(text: str) -> str:
    Window.parse(text)
    return text


#: A window as a field of a model.
WindowText = Annotated[str, AfterValidator(_checked)]
