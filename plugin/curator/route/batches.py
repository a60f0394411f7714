"""New instances, decided series by series, and only as often as their answers may differ."""

from collections.abc import Iterable, Sequence
from itertools import repeat

from curator.dicom.tags import AnyTag
from curator.gateway import Gateway, Resource
from curator.level import Level
from curator.route.decide import Verdict, decide
from curator.route.facts import Facts
from curator.route.kinds import Trigger
from curator.route.reading import source_of
from curator.route.rule import Rule

#: Decisions by instance.
Decided = list[tuple[str, list[Verdict]]]


def decided_by_series(
    rules: Sequence[Rule], instances: Iterable[tuple[Resource, Facts]], gateway: Gateway
) -> dict[str, Decided]:
    """Decide rules for instances, and gather the outcome by series.

    Where no rule asks for anything that differs within a series, all instances of a series that
    came the same way are decided at once.
    """
    one_by_one = any(map(_asks_for_instances, rules, repeat(_shared_tags(gateway))))
    known: dict[object, list[Verdict]] = {}
    found: dict[str, Decided] = {}
    for instance, facts in instances:
        way = (instance.parent, source_of(instance.metadata))
        key = instance.orthanc_id if one_by_one else way
        if key not in known:
            known[key] = decide(rules, Trigger.STORED_INSTANCE, facts)
        found.setdefault(instance.parent, []).append((instance.orthanc_id, known[key]))
    return found


def _asks_for_instances(rule: Rule, shared: frozenset[AnyTag]) -> bool:
    """Tell whether a rule may decide differently for two instances of a series."""
    return rule.if_ is not None and any(
        condition.label is not None
        or condition.metadata is not None
        or any(path.steps or path.tag not in shared for path in condition.paths())
        for _place, condition in rule.if_.walk()
    )


def _shared_tags(gateway: Gateway) -> frozenset[AnyTag]:
    """Return the elements that are the same in all instances of a series, to the index."""
    return frozenset(
        tag
        for level in (Level.PATIENT, Level.STUDY, Level.SERIES)
        for tag in gateway.main_dicom_tags(level).values()
    )
