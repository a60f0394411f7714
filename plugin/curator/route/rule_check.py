"""What is wrong with a rule as a whole: fields that need, or exclude, each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from curator.level import Level
from curator.route.condition import Counted, RuleCondition
from curator.route.kinds import DestinationKind, Trigger
from curator.route.problem import Problem

if TYPE_CHECKING:
    from curator.route.problem import Location
    from curator.route.rule import Rule
    from curator.route.step import Step

#: Triggers that may come before all has arrived.
_COMPLETABLE = frozenset(
    {
        Trigger.STABLE_SERIES,
        Trigger.STABLE_STUDY,
        Trigger.STABLE_PATIENT,
        Trigger.COMPLETED_SERIES,
    }
)

#: What there is below a resource of a level.
_BELOW: dict[Level, frozenset[Counted]] = {
    Level.PATIENT: frozenset(Counted),
    Level.STUDY: frozenset({Counted.SERIES, Counted.INSTANCES}),
    Level.SERIES: frozenset({Counted.INSTANCES}),
    Level.INSTANCE: frozenset(),
}

#: Steps that only work on resources of some levels.
_LEVELS_OF_STEPS = {
    "Split": frozenset({Level.STUDY, Level.SERIES}),
    "Merge": frozenset({Level.STUDY}),
}


def problems(rule: Rule) -> Iterator[Problem]:
    """Yield what is wrong with a rule, with its place in it."""
    yield from _trigger(rule)
    yield from _condition(rule)
    yield from _complete(rule)
    yield from _order(rule)
    for index, step in enumerate(rule.then):
        yield from _step(rule, index, step)
    yield from _tests(rule)


def _trigger(rule: Rule) -> Iterator[Problem]:
    for field, value, trigger in (
        ("Label", rule.label, Trigger.LABEL),
        ("Schedule", rule.schedule, Trigger.SCHEDULE),
    ):
        if rule.when is trigger and value is None:
            yield Problem((field,), f'this field is required with "When": "{trigger}"')
        if rule.when is not trigger and value is not None:
            yield Problem((field,), f'is only for rules with "When": "{trigger}"')
    if rule.when is not Trigger.STORED_INSTANCE and rule.batch != type(rule.batch)():
        yield Problem(("Batch",), 'is only for rules with "When": "StoredInstance"')
    if rule.if_ is None and rule.else_ == "Stop":
        yield Problem(("Else",), 'is never used without "If"')


def _condition(rule: Rule) -> Iterator[Problem]:
    if rule.if_ is None:
        return
    level = Level.INSTANCE if rule.when is Trigger.STORED_INSTANCE else rule.level
    for place, condition in rule.if_.walk(("If",)):
        if rule.only_tells:
            yield from _of_notice(rule, place, condition)
        elif level is not None:
            yield from _count(place, condition, level)


def _of_notice(rule: Rule, place: Location, condition: RuleCondition) -> Iterator[Problem]:
    asked = condition.children or condition.time or condition.metadata
    if not asked:
        yield Problem(place, f'only "Time" and "Metadata" can be asked with "When": "{rule.when}"')


def _count(place: Location, condition: RuleCondition, level: Level) -> Iterator[Problem]:
    if condition.count is not None and condition.count not in _BELOW[level]:
        yield Problem((*place, "Count"), _none_below(condition.count, level))


def _complete(rule: Rule) -> Iterator[Problem]:
    complete, level = rule.complete, rule.level
    if complete is None:
        return
    if rule.when not in _COMPLETABLE or level is None:
        known = ", ".join(trigger for trigger in Trigger if trigger in _COMPLETABLE)
        yield Problem(("Complete",), f'is only for rules with one of these "When": {known}')
        return
    if complete.series and level is Level.SERIES:
        yield Problem(("Complete", "Series"), _none_below(Counted.SERIES, level))
    for counted in complete.counts:
        if counted not in _BELOW[level]:
            yield Problem(
                ("Complete", "Counts", counted.value),
                _none_below(counted, level),
            )
    for index, condition in enumerate(complete.series):
        for place, inner in condition.walk(("Complete", "Series", index)):
            yield from _count(place, inner, Level.SERIES)


def _order(rule: Rule) -> Iterator[Problem]:
    kinds = [step.kind for step in rule.then]
    for index, kind in enumerate(kinds):
        before, after = kinds[:index], kinds[index + 1 :]
        place = ("Then", index, kind)
        if kind == "Delete" and after:
            yield Problem(("Then", index), '"Delete" must be the last step')
        if kind == "Delete" and "Merge" in before:
            yield Problem(place, "what was merged cannot be deleted by the same rule")
        if kind == "Transcode" and "Send" not in after:
            yield Problem(place, 'has no effect without a "Send" after it')
        if kind in ("Anonymize", "Modify") and "Send" not in after and not rule.keep_copies:
            yield Problem(
                place, 'has no effect without a "Send" after it, or "KeepCopies": true in the rule'
            )


def _step(rule: Rule, index: int, step: Step) -> Iterator[Problem]:
    place = ("Then", index, step.kind)
    if rule.only_tells:
        yield from _notice(rule, place, step)
        return
    levels = _LEVELS_OF_STEPS.get(step.kind)
    if levels is not None and (
        rule.when is Trigger.STORED_INSTANCE
        or (rule.level is not None and rule.level not in levels)
    ):
        known = " and ".join(level.collection for level in Level if level in levels)
        yield Problem(place, f'works on {known}, not with "When": "{rule.when}"')
    if step.modify is not None and rule.level is Level.PATIENT and not step.modify.gives_patient_id:
        yield Problem(
            place, 'a patient needs another ID: "PatientID" in "Replace", and "Force": true'
        )


def _notice(rule: Rule, place: Location, step: Step) -> Iterator[Problem]:
    kinds = {name.partition(":")[0] for name in step.send.to} if step.send else set()
    if kinds != {DestinationKind.WEBHOOK}:
        yield Problem(
            place,
            f'rules with "When": "{rule.when}"{_without_level(rule)} have nothing to work on,'
            ' and can only "Send" to webhooks',
        )


def _tests(rule: Rule) -> Iterator[Problem]:
    if rule.if_ is None or not rule.if_.asks_time:
        return
    for index, test in enumerate(rule.tests):
        if test.time is None:
            yield Problem(("Tests", index, "Time"), "this field is required: the rule asks for it")


def _without_level(rule: Rule) -> str:
    return ' and no "Level"' if rule.schedule is not None else ""


def _none_below(counted: Counted, level: Level) -> str:
    return f"there are no {counted.lower()} below the level {level}"
