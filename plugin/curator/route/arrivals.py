"""Asks the rules about what has happened, and says what is to be kept of it."""

import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from curator.dicom.tags import Path
from curator.errors import CuratorError, NotFound
from curator.gateway import Gateway, Resource
from curator.level import Level
from curator.route.batches import decided_by_series
from curator.route.decide import decide
from curator.route.events import STABLE, Event
from curator.route.facts import Facts, Undecidable
from curator.route.kinds import NOTICES, Trigger
from curator.route.planning import Making, Plan, Seen, batches_of, runs_of, told, undecided_run
from curator.route.reading import FactsReader
from curator.route.rule import Rule, RuleSet


class Arrivals:
    """What becomes of events.

    Parameters
    ----------
    gateway : Gateway
    reader : FactsReader
    rules : callable
        Returns the rules that are in use.
    made : callable
        Returns those of some resources that rules have made.
    clock : callable
        Seconds since 1970.
    new_id : callable, optional
        Returns an identifier for a run.
    """

    def __init__(
        self,
        gateway: Gateway,
        reader: FactsReader,
        rules: Callable[[], RuleSet],
        made: Callable[[Iterable[str]], Collection[str]],
        clock: Callable[[], float],
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self._gateway = gateway
        self._reader = reader
        self._rules = rules
        self._made = made
        self._clock = clock
        self._new_id = new_id

    def triggers(self) -> frozenset[Trigger]:
        """Return what rules wait for."""
        return frozenset(rule.when for rule in self._rules().rules if rule.enabled)

    def rules(self, trigger: Trigger) -> list[Rule]:
        """Return the rules that wait for something, and are enabled."""
        return [rule for rule in self._rules().rules if rule.enabled and rule.when is trigger]

    def plan(self, event: Event, only: Sequence[Rule] | None = None) -> Plan:
        """Ask the rules about an event; nothing comes of one whose resource is gone.

        Parameters
        ----------
        only : sequence of Rule, optional
            The rules that are asked; by default those that wait for such an event.

        Raises
        ------
        CuratorError
            If the server does not answer now.
        """
        rules = self.rules(event.trigger) if only is None else only
        if event.trigger is Trigger.STORED_INSTANCE:
            return self._gathered(event.trigger, self._arrived(event), rules, self._making())
        facts = self._facts(event)
        if facts is None:
            return Plan()
        plan = Plan(runs_of(event, decide(rules, event.trigger, facts), self._making()))
        if event.trigger in STABLE:
            plan.seen.append(_seen(facts))
        return plan

    def asked_for(self, event: Event, user: str, only: Rule | None) -> Plan:
        """Ask the rules at the wish of a user: one of them, whatever it waits for, or all.

        Raises
        ------
        NotFound
            If the resource is gone.
        """
        making = self._making(user)
        facts = self._facts(event)
        if facts is None:
            raise NotFound(f"There is no {event.level.lower()} {event.resource}")
        if only is None:
            return Plan(runs_of(event, decide(self._rules().rules, event.trigger, facts), making))
        if only.when is Trigger.STORED_INSTANCE:
            gathered = self._gathered(only.when, self._instances(event), [only], making)
            at_once = [replace(batch.run, due=making.now) for batch in gathered.batches]
            return Plan([*gathered.runs, *at_once])
        return Plan(runs_of(event, decide([only], None, facts), making))

    def unreadable(self, event: Event, why: str) -> Plan:
        """Let every rule that waits for an event try later, which cannot be read now."""
        rules, making = self.rules(event.trigger), self._making()
        events = [event]
        if not event.resource:
            events = [replace(event, resource=one, instances=()) for one in event.instances]
        return Plan([undecided_run(one, rule, why, making) for one in events for rule in rules])

    def _facts(self, event: Event) -> Facts | None:
        if event.trigger in NOTICES or not event.resource:
            metadata = {name: str(value) for name, value in told(event).items()}
            now = self._reader.now()
            return Facts(event.level, event.resource, _no_values, now, metadata=metadata)
        return self._reader.facts(event.level, event.resource)

    def _arrived(self, event: Event) -> list[Resource]:
        """Return new instances that no rule has made, as far as that is known already.

        What is noted as made only later is told apart when the run begins.
        """
        made = self._made(event.instances) if event.instances else ()
        return [one for one in self._gateway.lookup(event.instances) if one.orthanc_id not in made]

    def _gathered(
        self, trigger: Trigger, found: Iterable[Resource], rules: Sequence[Rule], making: Making
    ) -> Plan:
        """Ask rules for ``StoredInstance`` about instances, series by series."""
        instances = [one for one in found if one.level == Level.INSTANCE]
        facts = self._reader.facts_of_instances(instances)
        decided = decided_by_series(rules, zip(instances, facts, strict=True), self._gateway)
        plan = Plan()
        for series, verdicts in decided.items():
            plan.add(batches_of(Event(trigger, Level.SERIES, series), verdicts, making))
        return plan

    def _instances(self, event: Event) -> Sequence[Resource]:
        """Return the instances that an event is about: those named, or all of its resource."""
        if event.instances or event.level == Level.INSTANCE:
            return self._gateway.lookup(event.instances or [event.resource])
        return self._gateway.passing(Level.INSTANCE, event.level, event.resource)

    def _making(self, user: str = "") -> Making:
        return Making(self._clock(), self._new_id, user)


def _no_values(path: Path) -> tuple[str, ...]:
    """Refuse to give values of what has none, or is gone."""
    raise Undecidable(f"{path} cannot be read of what is gone, or is no resource")


def _seen(facts: Facts) -> Seen:
    """Return what was seen of a resource.

    Raises
    ------
    CuratorError
        If it cannot be counted now; it may have been deleted since it was found.
    """
    try:
        instances = facts.counts.get("Instances", 0)
    except Undecidable as error:
        raise CuratorError(str(error)) from None
    return Seen(facts.resource, facts.level, facts.metadata.get("LastUpdate", ""), instances)
