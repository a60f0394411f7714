"""Turns the change log into runs, each entry once, whatever happens in between."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from sqlalchemy import Connection

from curator.errors import CuratorError
from curator.level import Level
from curator.route.arrivals import Arrivals
from curator.route.change_log import ChangeLog
from curator.route.cursor import (
    Begin,
    Cursor,
    Trouble,
    adapted,
    after,
    begun,
    recovered,
    resolved,
    set_back,
    trouble_at,
)
from curator.route.events import LOGGED, Change, Event
from curator.route.keeping import Keeping
from curator.route.kinds import Trigger
from curator.route.moments import moment_text
from curator.route.planning import Plan
from curator.route.state import RouteState
from curator.route.sweep import INTERVAL, SLACK, Sweep
from curator.store import Store

logger = logging.getLogger(__name__)

#: Key of the cursor in the database.
KEY = "cursor"

#: Times that an event is read again before its rules wait for it in runs of their own.
ATTEMPTS = 3

#: Seconds that a clock may be corrected by without notice.
TOLERANCE = 1.0

#: New instances that are looked up together.
_LOOKUP = 100

#: Events of a sweep that are kept in one transaction.
_TOGETHER = 20


class Overtaken(Exception):
    """Another Orthanc on the same database has read on."""


class LogReader:
    """Reads the log from the cursor on, and what the log does not tell.

    Everything that comes of a page is kept in the same transaction as the cursor behind it. So a
    stop at any moment loses nothing, and what was not kept is read again.

    Parameters
    ----------
    keep_days : int
        How long is kept what was seen.
    """

    def __init__(
        self,
        log: ChangeLog,
        arrivals: Arrivals,
        keeping: Keeping,
        sweep: Sweep,
        store: Store,
        clock: Callable[[], float],
        keep_days: int,
    ) -> None:
        self._log = log
        self._arrivals = arrivals
        self._keeping = keeping
        self._sweep = sweep
        self._state = RouteState(store)
        self._clock = clock
        self._keep_days = keep_days
        self._kept = self._loaded()
        self._cursor = self._kept
        self._attempts = 0
        self._sweep_at = 0.0
        self._lock = threading.RLock()
        cursor = adapted(self._kept, self.triggers, clock())
        if cursor.begins and cursor != self._kept:  # it may be killed before it reads the log
            self._keep(Plan(), cursor)

    @property
    def triggers(self) -> frozenset[Trigger]:
        """What rules wait for that the log tells."""
        return self._arrivals.triggers() & frozenset(LOGGED.values())

    def read(self) -> bool:
        """Read one page and keep what comes of it; tell whether there is more.

        Raises
        ------
        CuratorError
            If the server does not answer now. Nothing is lost, it can be called again.
        Overtaken
            If someone else has read on; the same.
        """
        with self._lock:
            return self._read()

    def _read(self) -> bool:
        cursor = self._prepared()
        page = self._log.page(cursor.mark.number, cursor.begins)
        changes = begun(cursor, page.changes)
        ahead = after(cursor, page.changes, page.last)
        if changes:
            self._keep(self._planned(events_of(changes)), ahead)
        self._cursor, self._attempts = ahead, 0
        if page.done and page.changes:
            self._pass_over(ahead)
        return not page.done

    def _pass_over(self, cursor: Cursor) -> None:
        """Step over entries of no interest behind a page: nobody misses them when they go."""
        page = self._log.page(cursor.mark.number, cursor.begins)
        if not page.changes:
            self._cursor = after(cursor, (), page.last)

    def sweep_at(self) -> float:
        """Return when to sweep, seconds since 1970; the clock may have been set back."""
        return min(self._sweep_at, self._clock() + INTERVAL)

    def sweep(self) -> None:
        """Look for what the log did not tell, once it is read to its end.

        Raises
        ------
        CuratorError, Overtaken
            As in `read`.
        """
        with self._lock:
            self._sweep_now()

    def _sweep_now(self) -> None:
        cursor = self._prepared()
        now = self._clock()
        found = self._sweep.look(cursor)
        if found.events:
            logger.warning(
                "%d events were not in the change log, and were found again: %s",
                len(found.events),
                _counted(found.events),
            )
        events = iter(found.events)
        while together := list(islice(events, _TOGETHER)):
            self._keep(self._planned(together), cursor)
        self._keep(Plan(seen=found.seen), replace(cursor, swept=now, lost_since=None))
        self._keeping.forget(moment_text(now - self._keep_days * 86400))
        self._sweep_at = min(now + INTERVAL, found.again_at)
        self._attempts = 0

    def adapt(self) -> None:
        """Take up other rules: what they wait for begins now, also where it is nothing.

        Raises
        ------
        CuratorError, Overtaken
            As in `read`.
        """
        with self._lock:
            if self.triggers or self._cursor is not None or self._loaded() is not None:
                self._prepared()

    def keep_place(self) -> None:
        """Keep the cursor where only entries without interest were passed over."""
        with self._lock:
            if self._cursor is not None and self._cursor != self._kept:
                self._keep(Plan(), self._cursor)

    def forget_place(self) -> None:
        """Take the cursor from the database again, after trouble."""
        with self._lock:
            self._cursor = None

    def _prepared(self) -> Cursor:
        """Return the cursor for the rules of now, on the log of now."""
        if self._cursor is None:
            self._kept = self._cursor = self._loaded()
        cursor, now = self._cursor, self._clock()
        if cursor is None or cursor.begins.keys() != self.triggers:
            cursor = adapted(cursor, self.triggers, now)
        if any(begin.number is None for begin in cursor.begins.values()):
            cursor = resolved(cursor, self._end_of_past)
        if set_back(cursor, now + TOLERANCE) != cursor:
            logger.warning("The clock was set back")
            cursor = set_back(cursor, now)
            self._sweep_at = now
        cursor = self._checked(cursor)
        if self._kept is None or replace(cursor, mark=self._kept.mark) != self._kept:
            self._keep(Plan(), cursor)
        self._cursor = cursor
        return cursor

    def _end_of_past(self, trigger: Trigger, begin: Begin) -> int:
        """Return where in the log rules begin to wait: here, or where the start was noted."""
        noted = self._cursor is not None and trigger in self._cursor.begins
        return self._log.last_before(begin.at) if noted else self._log.last()

    def _checked(self, cursor: Cursor) -> Cursor:
        """Return the cursor after a look whether the log is still the same."""
        at = self._log.at(cursor.mark.number) if cursor.mark.number else None
        if at is not None and cursor.mark.is_at(at):
            return replace(cursor, mark=type(cursor.mark).of(at))
        last, oldest = self._log.last(), self._log.oldest()
        trouble = trouble_at(cursor.mark, last, at, oldest)
        if trouble is Trouble.NONE:
            return cursor
        first = last + 1 if oldest is None else oldest.number
        certain = trouble is not Trouble.GAP or self._log.is_cut_off(oldest)
        logger.log(
            logging.WARNING if certain else logging.INFO,
            "Not all of the change log can be read: %s (read up to %d, first %d, last %d);"
            " what it told is looked for in what is stored",
            trouble,
            cursor.mark.number,
            first,
            last,
        )
        self._sweep_at = min(self._sweep_at, self._clock() + SLACK)
        return recovered(cursor, trouble, first, last)

    def _loaded(self) -> Cursor | None:
        kept = self._state.get(KEY)
        return None if kept is None else Cursor.from_json(kept)

    def _planned(self, events: Iterable[Event]) -> Plan:
        plan = Plan()
        for event in events:
            plan.add(self._plan(event))
        return plan

    def _plan(self, event: Event) -> Plan:
        try:
            return self._arrivals.plan(event)
        except CuratorError as error:
            self._attempts += 1
            if self._attempts < ATTEMPTS:
                raise
            logger.error("%s %s cannot be read: %s", event.level, event.resource, error)
            return self._arrivals.unreadable(event, f"it could not be read: {error}")

    def _keep(self, plan: Plan, cursor: Cursor) -> None:
        def move(connection: Connection) -> None:
            kept = self._state.locked(KEY, connection)
            if kept != (None if self._kept is None else self._kept.to_json()):
                raise Overtaken
            self._state.put(KEY, cursor.to_json(), connection)

        self._keeping.keep(plan, move)
        self._kept = self._cursor = cursor


def events_of(changes: Sequence[Change]) -> Iterator[Event]:
    """Yield what happened, each once: new instances together, then resource by resource."""
    stored = [one.resource for one in changes if one.trigger is Trigger.STORED_INSTANCE]
    instances = list(dict.fromkeys(stored))
    for start in range(0, len(instances), _LOOKUP):
        together = tuple(instances[start : start + _LOOKUP])
        yield Event(Trigger.STORED_INSTANCE, Level.INSTANCE, "", together)
    known: set[tuple[str, str]] = set()
    for change in changes:
        trigger = change.trigger
        if trigger in (None, Trigger.STORED_INSTANCE) or (change.type, change.resource) in known:
            continue
        known.add((change.type, change.resource))
        details = {"Change": change.type} if trigger is Trigger.UPDATED else {}
        yield Event(trigger, Level(change.level), change.resource, details=details)


def _counted(events: Sequence[Event]) -> str:
    counts = Counter(event.trigger for event in events)
    return ", ".join(f"{trigger} {count}" for trigger, count in counts.items())
