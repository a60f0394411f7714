"""What comes of an event: the runs of the rules that fire."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from curator.level import Level
from curator.route.decide import Reason, Verdict
from curator.route.events import Event
from curator.route.kinds import NOTICES, RunState, Trigger
from curator.route.rule import Rule
from curator.route.run import Run, Subject

#: Notices of what is, or was, in the DICOM model.
_WITH_LEVEL = frozenset({Trigger.DELETED, Trigger.UPDATED})

#: Seconds before a run is looked at whose condition could not be decided.
UNDECIDED = 30.0


@dataclass(frozen=True)
class Batch:
    """A run that gathers instances.

    Attributes
    ----------
    limit : int
        Instances of a full batch, which does not wait.
    """

    run: Run
    limit: int


@dataclass(frozen=True)
class Seen:
    """How a resource was when its stable event was taken up.

    Attributes
    ----------
    updated : str
        ``LastUpdate`` of the core.
    """

    resource: str
    level: Level
    updated: str
    instances: int


@dataclass
class Plan:
    """What is to be kept in one transaction."""

    runs: list[Run] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)

    def add(self, other: "Plan") -> None:
        """Take up another plan."""
        self.runs += other.runs
        self.batches += other.batches
        self.seen += other.seen


@dataclass(frozen=True)
class Making:
    """How runs are made.

    Attributes
    ----------
    now : float
        Seconds since 1970.
    new_id : callable
    user : str
        Who has asked for it; empty for what comes by itself.
    """

    now: float
    new_id: Callable[[], str]
    user: str = ""


def runs_of(event: Event, verdicts: Sequence[Verdict], making: Making) -> list[Run]:
    """Return the runs of the rules that fire, and of those that could not be decided.

    The latter wait and are decided again, but for notices, whose runs fail: what they tell of
    cannot be read later either. Rules that were passed over since one before them could not be
    decided are held until a user releases them.
    """
    found = []
    undecided = {one.rule.name for one in verdicts if one.reason is Reason.UNDECIDABLE}
    for verdict in verdicts:
        if verdict.fires:
            found.append(run_of(event, verdict.rule, making))
        elif verdict.reason is Reason.UNDECIDABLE:
            why = f"{verdict.stopped_by} cannot be decided: {verdict.detail}"
            found.append(undecided_run(event, verdict.rule, why, making))
        elif verdict.reason is Reason.ANOTHER_RULE and verdict.detail in undecided:
            run = run_of(event, verdict.rule, making)
            why = f'the rule "{verdict.detail}" before it could not be decided'
            found.append(replace(run, state=RunState.HELD, error=why))
    return found


def run_of(event: Event, rule: Rule, making: Making) -> Run:
    """Return the run of a rule that fires."""
    deadline = None if rule.complete is None else making.now + rule.complete.deadline
    return Run(
        id=making.new_id(),
        rule=rule.name,
        version=rule.version,
        trigger=event.trigger,
        level=event.level,
        resource=event.resource,
        priority=rule.priority,
        due=making.now,
        subjects=_subjects(event, rule),
        content=content_of(rule),
        created=making.now,
        changed=making.now,
        deadline=deadline,
        event=told(event) if rule.only_tells else {},
        user=making.user,
    )


def undecided_run(event: Event, rule: Rule, why: str, making: Making) -> Run:
    """Return the run of a rule that could not be decided now."""
    run = run_of(event, rule, making)
    if rule.when in NOTICES:
        return replace(run, state=RunState.FAILED, error=why)
    return replace(run, due=making.now + UNDECIDED, error=why)


def batches_of(
    event: Event, verdicts: Iterable[tuple[str, Sequence[Verdict]]], making: Making
) -> Plan:
    """Return what comes of instances of one series, gathered by rule.

    Parameters
    ----------
    verdicts : iterable of (str, sequence of Verdict)
        By instance.
    """
    plan = Plan()
    firing: dict[str, list[str]] = {}
    rules: dict[str, Rule] = {}
    for instance, decided in verdicts:
        one = Event(event.trigger, event.level, event.resource, (instance,))
        plan.runs += runs_of(one, [each for each in decided if not each.fires], making)
        for verdict in decided:
            if verdict.fires:
                rules[verdict.rule.name] = verdict.rule
                firing.setdefault(verdict.rule.name, []).append(instance)
    for name, instances in firing.items():
        gathered = Event(event.trigger, event.level, event.resource, tuple(instances))
        run = run_of(gathered, rules[name], making)
        batch = rules[name].batch
        plan.batches.append(Batch(replace(run, due=run.due + batch.seconds), batch.instances))
    return plan


def content_of(rule: Rule) -> dict[str, Any]:
    """Return a rule as it is written, for a run that keeps it."""
    content: dict[str, Any] = json.loads(rule.model_dump_json(by_alias=True, exclude_unset=True))
    return content


def _subjects(event: Event, rule: Rule) -> tuple[Subject, ...]:
    if rule.only_tells:
        return ()
    if event.instances:
        return tuple(Subject(Level.INSTANCE, instance) for instance in event.instances)
    return (Subject(event.level, event.resource),)


def told(event: Event) -> dict[str, Any]:
    """Return what is told of an event that has no resource, or whose resource is gone."""
    return {
        "Trigger": event.trigger,
        **({"Level": event.level} if event.trigger in _WITH_LEVEL else {}),
        **({"ID": event.resource} if event.resource else {}),
        **event.details,
    }
