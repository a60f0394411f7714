"""Lets scheduled rules look, each when its time has come."""

import logging
from collections.abc import Callable, Iterator
from functools import partial

from curator.gateway import Gateway
from curator.level import Level
from curator.route.arrivals import Arrivals
from curator.route.events import Event
from curator.route.hours import local
from curator.route.keeping import Keeping
from curator.route.kinds import Trigger
from curator.route.planning import Plan
from curator.route.rule import Rule, Schedule
from curator.route.state import RouteState
from curator.route.timetable import next_time
from curator.store import Store

logger = logging.getLogger(__name__)

#: Begin of the keys of the last times, by rule.
LAST = "schedule:"

#: Resources that are listed in one call.
_PAGE = 500


class Schedules:
    """The rules with the trigger ``Schedule``.

    A time that passed while Orthanc was down is made up for at the next start, several ones once.
    A rule that is new begins to count when it is seen first.
    """

    def __init__(
        self,
        gateway: Gateway,
        arrivals: Arrivals,
        keeping: Keeping,
        store: Store,
        clock: Callable[[], float],
    ) -> None:
        self._gateway = gateway
        self._arrivals = arrivals
        self._keeping = keeping
        self._store = store
        self._state = RouteState(store)
        self._clock = clock

    def look(self) -> None:
        """Let rules look whose time has come.

        Raises
        ------
        CuratorError
            If the server does not answer now. Nothing is lost, it can be called again.
        """
        now, last = self._clock(), self._state.below(LAST)
        rules = {rule.name: rule for rule in self._arrivals.rules(Trigger.SCHEDULE)}
        self._forget([name for name in last if name not in rules])
        for name, rule in rules.items():
            moment = last.get(name)
            if moment is None or moment > now:  # new, or the clock was set back
                self._keep(Plan(), name, now)
            elif _due(rule, moment) <= now:
                self._keep(self._plan(rule), name, now)

    def next_look(self) -> float | None:
        """Return when the next rule looks, seconds since 1970; None without such rules."""
        now, last = self._clock(), self._state.below(LAST)
        rules = self._arrivals.rules(Trigger.SCHEDULE)
        return min((_due(rule, min(last.get(rule.name, now), now)) for rule in rules), default=None)

    def _plan(self, rule: Rule) -> Plan:
        """Ask a rule about all that its schedule selects."""
        schedule = rule.schedule
        if schedule is None or schedule.level is None:
            event = Event(Trigger.SCHEDULE, Level.PATIENT, "", details={"Rule": rule.name})
            return self._arrivals.plan(event, [rule])
        plan = Plan()
        for orthanc_id in self._selected(schedule, schedule.level):
            event = Event(Trigger.SCHEDULE, schedule.level, orthanc_id)
            plan.add(self._arrivals.plan(event, [rule]))
        logger.info("The rule %s looks by its schedule: %d runs", rule.name, len(plan.runs))
        return plan

    def _selected(self, schedule: Schedule, level: Level) -> Iterator[str]:
        known: set[str] = set()
        body = {"Level": level, "Query": schedule.query, "Expand": False, "Limit": _PAGE}
        if schedule.labels:
            body |= {"Labels": list(schedule.labels), "LabelsConstraint": "All"}
        while page := self._gateway.post_json("/tools/find", {**body, "Since": len(known)}):
            new = [one for one in page if one not in known]
            if not new:
                return
            known.update(new)
            yield from new

    def _keep(self, plan: Plan, name: str, now: float) -> None:
        self._keeping.keep(plan, partial(self._state.put, LAST + name, now))

    def _forget(self, names: list[str]) -> None:
        if names:
            with self._store.transaction() as connection:
                self._state.drop([LAST + name for name in names], connection)


def _due(rule: Rule, last: float) -> float:
    if rule.schedule is None:  # excluded by the rule's own check
        raise ValueError(f'the rule "{rule.name}" has no schedule')
    return next_time(rule.schedule, local(last)).timestamp()
