"""The Lua samples of the Orthanc Book are valid as rules, and decide as the scripts do."""

import pytest

from curator.models import validate
from curator.route.decide import decide
from curator.route.explain import describe
from curator.route.facts import Source
from curator.route.receive_rule import read_rules
from curator.route.rule import RuleSet
from unit.route.book_samples import FILTERS, SAMPLES
from unit.route.facts_for_tests import UNREADABLE, facts


def given_as_facts(level, values):
    """Return facts; ``remote_aet`` and ``called_aet`` are those of the association."""
    values = dict(values)
    aets = values.pop("remote_aet", "SENDER"), values.pop("called_aet", "ORTHANC")
    source = Source(*aets, "10.0.0.1", "DicomProtocol")
    return facts(level, sources=(source,), **values)


def actions(sample, given):
    """Return what the rules of a sample do with a resource."""
    rules = validate(RuleSet, {"Rules": sample.rules}).rules
    verdicts = decide(rules, sample.trigger, given_as_facts(sample.level, given))
    return tuple(
        action for verdict in verdicts if verdict.fires for action in describe(verdict.rule)
    )


@pytest.mark.parametrize(
    ("sample", "case"),
    [(sample, case) for sample in SAMPLES for case in sample.cases],
    ids=lambda value: getattr(value, "source", ""),
)
def test_the_rules_do_what_the_script_does(sample, case):
    assert actions(sample, case.given) == case.actions


def test_nothing_is_deleted_where_the_name_cannot_be_read():
    (sample,) = [one for one in SAMPLES if one.source == "AutoroutingConditional.lua"]
    assert actions(sample, {"PatientName": UNREADABLE}) == ()


@pytest.mark.parametrize("one", FILTERS, ids=lambda one: one.source)
def test_the_filters_reject_what_the_script_rejects(one):
    def rejected(values):
        found = [
            rule.rejection
            for rule in read_rules(one.receive, {})
            if rule.if_ is None or rule.if_.holds(facts(**values))
        ]
        return bool(found) and found[0] is not None

    assert [rejected(values) for values in one.accepted] == [False] * len(one.accepted)
    assert [rejected(values) for values in one.rejected] == [True] * len(one.rejected)
