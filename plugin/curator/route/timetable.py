"""When a scheduled rule looks next."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator

from curator.route.window import moments_at, parse_clock, split_days

if TYPE_CHECKING:
    from curator.route.rule import Schedule

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def next_time(schedule: "Schedule", after: datetime) -> datetime:
    """Return when a rule looks for the first time after a moment.

    Times of day go by the clock of the moment's zone: one that a change to summer time leaves out
    comes as much later, one that comes twice counts the first time only. Intervals are counted from
    1970 (UTC), whenever Orthanc was started.
    """
    if schedule.every is not None:
        interval = timedelta(minutes=schedule.every)
        return (_EPOCH + ((after - _EPOCH) // interval + 1) * interval).astimezone(after.tzinfo)
    moments = [moment for entry in schedule.at for moment in _moments(entry, after)]
    return min(moments, key=lambda moment: moment.timestamp())


def _moments(entry: str, after: datetime) -> list[datetime]:
    days, clock = split_days(entry)
    found = moments_at(days, parse_clock(clock or ""), after)
    return [moment for moment in found if moment.fold == 0]


def _checked(entry: str) -> str:
    _, clock = split_days(entry)
    if clock is None:
        raise ValueError("has no time of day; it is written as in Mon-Fri 02:30")
    parse_clock(clock)
    return entry


#: A time of day, with days or without, as a field of a model.
EntryText = Annotated[str, AfterValidator(_checked)]
