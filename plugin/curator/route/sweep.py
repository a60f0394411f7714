"""Finds what the change log did not tell.

Stable events are kept in the memory of Orthanc until they happen: one that is killed before
``StableAge`` forgets them. And a log may be cleared, or the database behind it exchanged.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from curator.gateway import Content, Gateway
from curator.level import Level
from curator.route.cursor import Cursor
from curator.route.events import STABLE, Event
from curator.route.keeping import Keeping
from curator.route.kinds import Trigger
from curator.route.moments import parse_moment
from curator.route.planning import Seen
from curator.route.recent import Updated, updated_since
from curator.route.runs import Runs

#: Seconds between two sweeps.
INTERVAL = 600.0

#: Seconds that Orthanc and the reader of the log may take for a stable event, after ``StableAge``.
SLACK = 4.0

#: Seconds for which the log is trusted to tell of an instance.
_YOUNG = 2.0

#: Runs of a series that are looked through for an instance.
_RUNS = 1000


@dataclass
class Found:
    """What a sweep has found.

    Attributes
    ----------
    events : list of Event
        What nobody was told of.
    seen : list of Seen
        What has changed without an event, since instances were deleted.
    again_at : float
        When to look again, seconds since 1970: something is not old enough yet.
    """

    events: list[Event] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    again_at: float = float("inf")


class Sweep:
    """Looks for what was stored and not taken up.

    Parameters
    ----------
    stable_age : float
        ``StableAge`` of the server, seconds.
    """

    def __init__(
        self,
        gateway: Gateway,
        keeping: Keeping,
        runs: Runs,
        clock: Callable[[], float],
        stable_age: float,
    ) -> None:
        self._gateway = gateway
        self._keeping = keeping
        self._runs = runs
        self._clock = clock
        self._stable_age = stable_age

    def look(self, cursor: Cursor) -> Found:
        """Look for everything that may have been missed since the last sweep.

        The log has to be read to its end before.

        Raises
        ------
        CuratorError
            If the server does not answer now.
        """
        found = Found()
        for trigger, level in STABLE.items():
            if trigger in cursor.begins:
                self._look_for_stable(trigger, level, cursor, found)
        if cursor.lost_since is not None:
            if Trigger.COMPLETED_SERIES in cursor.begins:
                found.events += self._completed(cursor, cursor.lost_since)
            if Trigger.STORED_INSTANCE in cursor.begins:
                found.events += self._stored(cursor, cursor.lost_since)
        return found

    def _look_for_stable(
        self, trigger: Trigger, level: Level, cursor: Cursor, found: Found
    ) -> None:
        now = self._clock()
        for one, seen in self._unseen(level, self._floor(trigger, cursor)):
            ripe_at = one.moment + self._stable_age + SLACK
            if one.moment <= now < ripe_at:
                found.again_at = min(found.again_at, ripe_at)
                continue
            count = self._gateway.count(Level.INSTANCE, level, one.orthanc_id)
            if seen is not None and count < seen.instances:
                found.seen.append(Seen(one.orthanc_id, level, one.text, count))
            else:
                found.events.append(Event(trigger, level, one.orthanc_id))

    def _floor(self, trigger: Trigger, cursor: Cursor) -> float:
        """Return since when stable resources may have been missed, by their last update."""
        since = cursor.swept - SLACK
        if cursor.lost_since is not None:
            since = min(since, cursor.lost_since)
        return max(since, cursor.begins[trigger].at) - self._stable_age - SLACK

    def _unseen(self, level: Level, floor: float) -> Iterator[tuple[Updated, Seen | None]]:
        """Yield the stable resources that have changed since they were taken up, if they were."""
        found = [one for one in updated_since(self._gateway, level, floor) if one.is_stable]
        seen = self._keeping.seen([one.orthanc_id for one in found])
        for one in found:
            known = seen.get(one.orthanc_id)
            if known is None or known.updated != one.text:
                yield one, known

    def _completed(self, cursor: Cursor, lost_since: float) -> Iterator[Event]:
        trigger = Trigger.COMPLETED_SERIES
        since = max(lost_since, cursor.begins[trigger].at) - SLACK
        for one in updated_since(self._gateway, Level.SERIES, since, completeness=True):
            if one.is_complete and not self._taken_up(trigger, one.orthanc_id, since):
                yield Event(trigger, Level.SERIES, one.orthanc_id)

    def _stored(self, cursor: Cursor, lost_since: float) -> Iterator[Event]:
        trigger = Trigger.STORED_INSTANCE
        since = max(lost_since, cursor.begins[trigger].at) - SLACK
        until = self._clock() - _YOUNG
        for one in updated_since(self._gateway, Level.SERIES, since):
            instances = self._gateway.passing(
                Level.INSTANCE, Level.SERIES, one.orthanc_id, [Content.METADATA]
            )
            taken_up = self._taken_up(trigger, one.orthanc_id, since)
            missed = tuple(
                instance.orthanc_id
                for instance in instances
                if instance.orthanc_id not in taken_up
                and _received(instance.metadata, since, until)
            )
            if missed:
                yield Event(trigger, Level.SERIES, one.orthanc_id, missed)

    def _taken_up(self, trigger: Trigger, resource: str, since: float) -> frozenset[str]:
        """Return what runs of a trigger have worked on since a moment."""
        return frozenset(
            subject.orthanc_id
            for run in self._runs.find(resource=resource, limit=_RUNS)
            if run.trigger is trigger and run.created >= since
            for subject in run.subjects
        )


def _received(metadata: dict[str, str], since: float, until: float) -> bool:
    moment = parse_moment(metadata.get("ReceptionDate", ""))
    return moment is not None and since <= moment <= until
