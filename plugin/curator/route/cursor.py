"""How far the change log has been read, and whether it is still the same log."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from curator.route.events import Change
from curator.route.kinds import Trigger
from curator.route.moments import parse_moment


@dataclass(frozen=True)
class Mark:
    """A place in the log, with the entry that was there.

    Attributes
    ----------
    type, resource, date : str
        Of the entry; empty where none was looked at.
    """

    number: int
    type: str = ""
    resource: str = ""
    date: str = ""

    @classmethod
    def of(cls, change: Change) -> "Mark":
        """Return the place of an entry."""
        return cls(change.number, change.type, change.resource, change.date)

    def is_at(self, change: Change) -> bool:
        """Tell whether this is the entry that was there."""
        return not self.type or self == Mark.of(change)


@dataclass(frozen=True)
class Begin:
    """From when on rules have waited for a trigger: nothing of the past makes them fire.

    Attributes
    ----------
    number : int or None
        The last number of the log at that time; None before the log could be asked.
    at : float
        Seconds since 1970.
    """

    number: int | None
    at: float


@dataclass(frozen=True)
class Cursor:
    """Where the reader stands.

    Attributes
    ----------
    begins : mapping
        By trigger, of those that rules wait for.
    swept : float
        When all that the log did not tell was looked for last, seconds since 1970.
    lost_since : float or None
        Since when entries of the log may have been lost; looked for in the next sweep.
    """

    mark: Mark
    begins: Mapping[Trigger, Begin] = field(default_factory=dict)
    swept: float = 0.0
    lost_since: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what is kept in the database."""
        return {
            "Mark": asdict(self.mark),
            "Begins": {trigger: asdict(begin) for trigger, begin in self.begins.items()},
            "Swept": self.swept,
            "LostSince": self.lost_since,
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "Cursor":
        """Return what was kept."""
        begins = {Trigger(name): Begin(**begin) for name, begin in kept["Begins"].items()}
        return cls(Mark(**kept["Mark"]), begins, kept["Swept"], kept["LostSince"])


class Trouble(StrEnum):
    """What is wrong with the log where the reader stands."""

    NONE = ""
    AHEAD = "the change log ends before the entry that was read last"
    REPLACED = "the change log has another entry where it was read last"
    GAP = "entries of the change log are gone that were never read"


def trouble_at(mark: Mark, last: int, at: Change | None, oldest: Change | None) -> Trouble:
    """Compare the log with what was read of it.

    Entries of what was deleted are gone, so one that is missing does not mean anything, as long as
    an older one is there.

    Parameters
    ----------
    last : int
        The last number that the log has given out, or any between that and the mark.
    at : Change or None
        The entry at the mark.
    oldest : Change or None
        The first entry of the log.
    """
    if last < mark.number:
        return Trouble.AHEAD
    if at is not None:
        return Trouble.NONE if mark.is_at(at) else Trouble.REPLACED
    first = last + 1 if oldest is None else oldest.number
    return Trouble.GAP if first > mark.number + 1 else Trouble.NONE


def adapted(cursor: Cursor | None, triggers: Collection[Trigger], now: float) -> Cursor:
    """Return the cursor for the triggers that rules wait for, those that are new from now on."""
    known = {} if cursor is None else cursor.begins
    begins = {trigger: known.get(trigger, Begin(None, now)) for trigger in triggers}
    if cursor is None:
        return Cursor(Mark(0), begins, now)
    return replace(cursor, begins=begins, swept=cursor.swept if known else now)


def resolved(cursor: Cursor, end: Callable[[Trigger, Begin], int]) -> Cursor:
    """Return the cursor that knows where in the log all began; what is before is passed over.

    Parameters
    ----------
    end : callable
        Returns the last number of what is the past.
    """
    begins = {
        trigger: Begin(end(trigger, begin), begin.at) if begin.number is None else begin
        for trigger, begin in cursor.begins.items()
    }
    first = min((begin.number or 0 for begin in begins.values()), default=0)
    mark = cursor.mark if cursor.mark.number >= first else Mark(first)
    return replace(cursor, mark=mark, begins=begins)


def after(cursor: Cursor, changes: Sequence[Change], last: int) -> Cursor:
    """Return the cursor after a page of the log."""
    if changes and changes[-1].number == last:
        return replace(cursor, mark=Mark.of(changes[-1]))
    return replace(cursor, mark=Mark(last))


def begun(cursor: Cursor, changes: Iterable[Change]) -> list[Change]:
    """Return the changes that rules have waited for when they happened."""
    begins = {trigger: begin.number or 0 for trigger, begin in cursor.begins.items()}
    return [
        change
        for change in changes
        if change.trigger is not None and begins.get(change.trigger, change.number) < change.number
    ]


def recovered(cursor: Cursor, trouble: Trouble, oldest: int, last: int) -> Cursor:
    """Return the cursor that goes on after trouble, and remembers what has to be looked for.

    Parameters
    ----------
    oldest : int
        Number of the first entry of the log, one more than the last where there is none.
    """
    if trouble is Trouble.GAP:
        since = parse_moment(cursor.mark.date)
        since = cursor.swept if since is None else since
        return replace(cursor, mark=Mark(oldest - 1), lost_since=_earlier(cursor, since))
    begins = {
        trigger: Begin(min(one.number or 0, last), one.at) for trigger, one in cursor.begins.items()
    }
    since = min((one.at for one in begins.values()), default=cursor.swept)
    return replace(cursor, mark=Mark(last), begins=begins, lost_since=_earlier(cursor, since))


def _earlier(cursor: Cursor, since: float) -> float:
    return since if cursor.lost_since is None else min(since, cursor.lost_since)


def set_back(cursor: Cursor, now: float) -> Cursor:
    """Return the cursor of a clock that was set back: nothing of it lies in the future."""
    begins = {
        trigger: replace(begin, at=min(begin.at, now)) for trigger, begin in cursor.begins.items()
    }
    lost = None if cursor.lost_since is None else min(cursor.lost_since, now)
    return replace(cursor, begins=begins, swept=min(cursor.swept, now), lost_since=lost)
