"""Shift dates and date-times by whole days (PS3.5 6.2, PS3.15 E.3.6).

A patient's dates all move by the same number of days, so intervals stay as they are, and times of
day need no change. What is no date is not kept: it becomes a date that says nothing.
"""

from __future__ import annotations

import hmac
import re
from datetime import date, timedelta
from functools import lru_cache

from curator.anonymize.placeholders import PLACEHOLDERS

_DATE = re.compile(r"(\d{4})([.\-/]?)(\d{2})\2(\d{2})", re.ASCII)
"""DA, the form of ACR-NEMA with periods, and what is written in its place."""

_CLOCK = r"(?:[01]\d|2[0-3])"
_SIXTY = r"[0-5]\d"
_TIME = re.compile(rf"({_CLOCK})(?:(:?)({_SIXTY})(?:\2({_SIXTY}|60)(?:\.(\d+))?)?)?", re.ASCII)

_ZONE = re.compile(r"[+-](?:0\d|1[0-4])[0-5]\d", re.ASCII)
_DATE_TIME = re.compile(
    r"(?P<year>\d{4})(?:(?P<month>\d{2})(?:(?P<day>\d{2})"
    rf"(?P<time>{_CLOCK}(?:{_SIXTY}(?:(?:{_SIXTY}|60)(?:\.\d{{1,6}})?)?)?)?)?)?"
    rf"(?P<zone>{_ZONE.pattern})?",
    re.ASCII,
)

_MICROSECONDS = 6
_MIDDLE_MONTH, _MIDDLE_DAY = 7, 16


def offset_days(subject_key: str, range_days: tuple[int, int], key: bytes) -> int:
    """Return the number of days by which the dates of a patient move.

    Parameters
    ----------
    subject_key : str
        What stands for the patient.
    range_days : tuple of int
        The least and the greatest number of days.
    key : bytes
        For HMAC-SHA-256.

    Returns
    -------
    int
        Within the range; 0 only where the range has nothing else.
    """
    least, greatest = range_days
    digest = hmac.digest(key, subject_key.encode("utf_8", "surrogatepass"), "sha256")
    choices = greatest - least + 1
    has_zero = least <= 0 <= greatest and choices > 1
    days = least + int.from_bytes(digest[:16], "big") % (choices - has_zero)
    return days + 1 if has_zero and days >= 0 else days


@lru_cache(maxsize=16384)
def shifted(vr: str, raw: bytes, days: int) -> bytes:
    """Return a value field with its dates shifted.

    Parameters
    ----------
    vr : str
        DA, TM or DT; in another VR of strings, whole values that are a date, a date-time or an
        offset from UTC are taken for that.
    raw : bytes
        One or several values, or ranges of a query (PS3.4 C.2.2.2.5).
    days : int
        By how much.

    Returns
    -------
    bytes
        Of even length. A value that is no date of its VR is replaced by one that says nothing, and
        so is a date that would leave the years 1 to 9999.
    """
    text = raw.decode("latin_1").strip(" \0")
    if not text:
        return raw
    values = [value.strip(" \0") for value in text.split("\\")]
    field = "\\".join(_value(vr, value, days) if value else "" for value in values).encode("ascii")
    return field + b" " if len(field) % 2 else field


def normal(vr: str, text: str) -> str | None:
    """Return a value of VR DA, TM or DT in the form of PS3.5, None where it is none."""
    return _SHIFT[vr](text, 0)


def _value(vr: str, value: str, days: int) -> str:
    shift = _SHIFT.get(vr, _in_text)
    single = shift(value, days)
    if single is not None:
        return single
    for hyphen in re.finditer("-", value):
        ends = value[: hyphen.start()], value[hyphen.end() :]
        new = [shift(end, days) if end else "" for end in ends]
        if any(new) and None not in new:
            return "-".join(end or "" for end in new)
    return PLACEHOLDERS.get(vr, "")


def _date(text: str, days: int) -> str | None:
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    moved = _moved(match[1], match[3], match[4], days)
    return f"{moved.year:04}{moved.month:02}{moved.day:02}" if moved else None


def _time(text: str, _days: int) -> str | None:
    """Return a time in the form of PS3.5: a shift by whole days leaves it as it is."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    hours, _, minutes, seconds, fraction = match.groups()
    parts = "".join(part for part in (hours, minutes, seconds) if part)
    return f"{parts}.{fraction[:_MICROSECONDS]}" if fraction else parts


def _date_time(text: str, days: int) -> str | None:
    """Shift a DT and keep its precision; where a part is missing, from the middle of the period."""
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        return None
    year, month, day, time, zone = match.groups()
    moved = _moved(year, month or _MIDDLE_MONTH, day or _MIDDLE_DAY, days)
    if moved is None:
        return None
    parts = [f"{moved.year:04}", month and f"{moved.month:02}", day and f"{moved.day:02}"]
    return "".join(part for part in (*parts, time, zone) if part)


def _in_text(text: str, days: int) -> str | None:
    """Shift what is a whole date in a VR that does not say so; fewer digits may be anything."""
    if _ZONE.fullmatch(text):
        return text
    if len(text) < len("YYYYMMDD"):
        return None
    return _date(text, days) or _date_time(text, days)


def _moved(year: str, month: str | int, day: str | int, days: int) -> date | None:
    try:
        return date(int(year), int(month), int(day)) + timedelta(days)
    except (ValueError, OverflowError):
        return None


_SHIFT = {"DA": _date, "TM": _time, "DT": _date_time}
