"""A rule that was accepted can be tried on any resource and file, and says so where it cannot."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from curator.dicom.engine import opened
from curator.dicom.tags import Path
from curator.level import Level
from curator.models import InvalidModel
from curator.route import receive_rule
from curator.route.decide import decide
from curator.route.explain import explain
from curator.route.facts import Facts, Source, Undecidable
from curator.route.kinds import Trigger
from curator.route.receive_decision import Impossible, ReceiveRules, changed
from curator.route.receive_rule import ReceiveRule
from curator.route.rule import Rule, Schedule
from curator.route.timetable import next_time
from curator.route.validation import RuleReader
from factory import make_instance
from unit.fuzz.cases import cases
from unit.fuzz.hostile import TEXTS, damaged
from unit.fuzz.seeds import seeds
from unit.fuzz.test_models_fuzz import check_problems

NOW = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)

READ = RuleReader(lambda rules: receive_rule.problems_of(rules, {}))


@st.composite
def resources(draw: st.DrawFn) -> Facts:
    """Draw what is known of a resource: any value for any element."""
    texts = st.sampled_from(TEXTS)
    values = draw(st.lists(texts, max_size=2).map(tuple) | st.none())

    def read(path: Path) -> tuple[str, ...]:
        if values is None:
            raise Undecidable(f"{path} cannot be read")
        return values

    source = Source(draw(texts), draw(texts), draw(texts), draw(texts))
    return Facts(
        level=draw(st.sampled_from(Level)),
        resource="",
        values=read,
        now=NOW,
        sources=draw(st.sampled_from([(), (source,)])),
        labels=frozenset({draw(texts)}),
        metadata={draw(texts): draw(texts)},
        counts=draw(st.sampled_from([{}, {"Series": 2, "Instances": 10**30}])),
    )


@cases(60)
@given(damaged(seeds(Rule)), resources(), st.sampled_from(Trigger) | st.none())
def test_what_is_accepted_can_be_tried_on_any_resource(value: Any, resource, trigger):
    written = {"Rules": [value]}
    try:
        rules = READ(written).rules
    except InvalidModel as error:
        check_problems(error.problems, written)
        return
    for verdict in decide(rules, trigger, resource):
        json.dumps(explain(verdict), allow_nan=False)
    for rule in rules:
        if isinstance(rule.schedule, Schedule):
            assert next_time(rule.schedule, NOW) > NOW


CT = make_instance()
SENDER = Source(remote_aet="CT1", origin="DicomProtocol")


@cases(60)
@given(damaged(seeds(ReceiveRule)), st.booleans())
def test_what_is_accepted_decides_on_any_file_that_comes_in(value: Any, sender_known):
    try:
        rules = receive_rule.read_rules([value], {})
    except InvalidModel as error:
        check_problems(error.problems, {"Receive": [value]})
        return
    try:
        decision = ReceiveRules(rules, {}).decide(
            opened(CT), SENDER, NOW, sender_known=sender_known
        )
        written = changed(CT, decision.edits, "ISO_IR 100")
        decision.settled(SENDER, NOW)
    except Impossible:
        return
    assert opened(written).site.tags
