"""Which rules fire for a resource."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from curator.conditions import parse_element
from curator.dicom.tags import Path
from curator.level import Level
from curator.route.condition import Stop
from curator.route.facts import Facts, Remembered
from curator.route.kinds import Trigger
from curator.route.rule import Else, Rule, RuleSet, RuleTest


class Reason(StrEnum):
    """Why a rule does not fire."""

    FIRES = ""
    DISABLED = "Disabled"
    TRIGGER = "Trigger"  # it waits for something else
    CONDITION = "Condition"
    UNDECIDABLE = "Undecidable"  # something that its condition depends on cannot be read
    ANOTHER_RULE = "AnotherRule"  # one before it ends the list (Stop, Else)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one rule.

    Attributes
    ----------
    stopped_by : str
        JSON path in the rule of the condition that stopped it, or could not be decided.
    detail : str
        Why it could not be decided, or the name of the other rule.
    """

    rule: Rule
    fires: bool
    stopped_by: str = ""
    reason: Reason = Reason.FIRES
    detail: str = ""


def decide(rules: Sequence[Rule], trigger: Trigger | None, facts: Facts) -> list[Verdict]:
    """Decide which rules fire.

    What cannot be decided does not fire; and where such a rule could have ended the list, it does.

    Parameters
    ----------
    trigger : Trigger or None
        What has happened; None tries the rules of all triggers for resources of this level.

    Returns
    -------
    list of Verdict
        One for each rule: higher priorities first, then in the order of the rules.
    """
    facts = replace(facts, values=Remembered(facts.values))
    verdicts = []
    ended_by = ""
    for rule in sorted(rules, key=lambda rule: -rule.priority):
        verdict = _verdict(rule, trigger, facts, ended_by)
        verdicts.append(verdict)
        if not ended_by and _ends_the_list(verdict):
            ended_by = rule.name
    return verdicts


def test_failures(rules: RuleSet) -> list[str]:
    """Run the test cases that rules carry, each on its rule alone.

    Returns
    -------
    list of str
        The cases that do not come out, with their JSON paths.
    """
    return [
        f"$.Rules[{number}].Tests[{index}]: {failure}"
        for number, rule in enumerate(rules.rules)
        for index, test in enumerate(rule.tests)
        for failure in _failures(rule, test)
    ]


def _verdict(rule: Rule, trigger: Trigger | None, facts: Facts, ended_by: str) -> Verdict:
    if not rule.enabled:
        return Verdict(rule, fires=False, reason=Reason.DISABLED)
    if not _is_meant(rule, trigger, facts):
        return Verdict(rule, fires=False, reason=Reason.TRIGGER)
    if ended_by:
        return Verdict(rule, fires=False, reason=Reason.ANOTHER_RULE, detail=ended_by)
    stop = None if rule.if_ is None else rule.if_.stop(facts)
    return Verdict(rule, fires=True) if stop is None else _stopped(rule, stop)


def _stopped(rule: Rule, stop: Stop) -> Verdict:
    place = f"$.If{stop.place}"
    if stop.undecidable is None:
        return Verdict(rule, fires=False, stopped_by=place, reason=Reason.CONDITION)
    return Verdict(
        rule,
        fires=False,
        stopped_by=place,
        reason=Reason.UNDECIDABLE,
        detail=stop.undecidable,
    )


def _is_meant(rule: Rule, trigger: Trigger | None, facts: Facts) -> bool:
    if rule.label is not None and rule.label not in facts.labels:
        return False
    if trigger is not None:
        return rule.when is trigger
    return not rule.only_tells and level_of_facts(rule) in (None, facts.level)


def level_of_facts(rule: Rule) -> Level | None:
    """Return the level of what a rule's condition is asked of; None where any will do.

    It is that of what the rule works on, but for stored instances, which are asked one by one.
    """
    return Level.INSTANCE if rule.when is Trigger.STORED_INSTANCE else rule.level


def _ends_the_list(verdict: Verdict) -> bool:
    rule, reason = verdict.rule, verdict.reason
    if rule.stop and (verdict.fires or reason is Reason.UNDECIDABLE):
        return True
    return rule.else_ is Else.STOP and reason in (Reason.CONDITION, Reason.UNDECIDABLE)


def _failures(rule: Rule, test: RuleTest) -> Iterator[str]:
    stop = None if rule.if_ is None else rule.if_.stop(_facts(rule, test))
    if stop is not None and stop.undecidable is not None:
        yield f'"{test.name}" cannot be decided: $.If{stop.place}: {stop.undecidable}'
    elif stop is None and not test.fires:
        yield f'"{test.name}" fires, which it should not'
    elif stop is not None and test.fires:
        yield f'"{test.name}" does not fire, which it should: stopped by $.If{stop.place}'


def _facts(rule: Rule, test: RuleTest) -> Facts:
    given: dict[Path, tuple[str, ...]] = {
        parse_element(name): (values,) if isinstance(values, str) else values
        for name, values in test.tags.items()
    }
    return Facts(
        level=level_of_facts(rule) or Level.STUDY,
        resource="",
        values=lambda path: given.get(path, ()),
        now=datetime.fromisoformat(test.time) if test.time else _WHENEVER,
        sources=(test.source.given(),),
        labels=frozenset(test.labels),
        metadata=test.metadata,
        counts={counted.value: number for counted, number in test.counts.items()},
    )


#: The time of test cases whose rules do not ask for it.
_WHENEVER = datetime(2000, 1, 1, tzinfo=UTC)
