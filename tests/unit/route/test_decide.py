"""Which rules fire, and what users are told of it."""

from dataclasses import replace

import pytest

from curator.level import Level
from curator.models import validate
from curator.route import decide as decisions
from curator.route.decide import Reason, decide
from curator.route.explain import explain
from curator.route.kinds import Trigger
from curator.route.rule import Rule, RuleSet
from unit.route.facts_for_tests import UNREADABLE, facts

CT = {"Tag": "Modality", "Equals": "CT"}
MR = {"Tag": "Modality", "Equals": "MR"}
UNKNOWN = {"Tag": "EchoTime", "Equals": 1}

STUDY = facts(Modality="CT", EchoTime=UNREADABLE, labels=["send-me"])


def rule(name: str, if_: object = None, **fields: object) -> Rule:
    written = {"Name": name, "When": "StableStudy", "Then": [{"Send": "peer:x"}], **fields}
    return validate(Rule, written if if_ is None else {**written, "If": if_})


def fired(rules, trigger=Trigger.STABLE_STUDY, given=STUDY) -> list[str]:
    return [one.rule.name for one in decide(rules, trigger, given) if one.fires]


def reasons(rules, trigger=Trigger.STABLE_STUDY, given=STUDY) -> dict[str, str]:
    return {one.rule.name: one.reason.value for one in decide(rules, trigger, given)}


def test_every_rule_whose_condition_holds_fires():
    rules = [rule("a"), rule("b", MR), rule("c", CT)]
    assert fired(rules) == ["a", "c"]
    assert reasons(rules) == {"a": "", "b": "Condition", "c": ""}


def test_higher_priorities_come_first_then_the_order_of_the_rules():
    rules = [rule("a"), rule("b", Priority=5), rule("c", Priority=-1), rule("d", Priority=5)]
    assert fired(rules) == ["b", "d", "a", "c"]


def test_a_disabled_rule_does_not_fire_and_ends_nothing():
    rules = [rule("a", Enabled=False, Stop=True), rule("b")]
    assert reasons(rules) == {"a": "Disabled", "b": ""}


def test_a_rule_that_waits_for_something_else_does_not_fire_and_ends_nothing():
    rules = [rule("a", When="StableSeries", Stop=True), rule("b")]
    assert reasons(rules) == {"a": "Trigger", "b": ""}


def test_a_rule_with_stop_passes_over_those_after_it_where_it_fires():
    assert reasons([rule("a", CT, Stop=True), rule("b")]) == {"a": "", "b": "AnotherRule"}
    assert reasons([rule("a", MR, Stop=True), rule("b")]) == {"a": "Condition", "b": ""}


def test_a_rule_with_else_stop_passes_over_those_after_it_where_it_does_not_fire():
    assert reasons([rule("a", MR, Else="Stop"), rule("b")]) == {
        "a": "Condition",
        "b": "AnotherRule",
    }
    assert reasons([rule("a", CT, Else="Stop"), rule("b")]) == {"a": "", "b": ""}


@pytest.mark.parametrize("ends", [{"Stop": True}, {"Else": "Stop"}])
def test_where_a_rule_that_cannot_be_decided_could_end_the_list_it_does(ends):
    assert reasons([rule("a", UNKNOWN, **ends), rule("b")]) == {
        "a": "Undecidable",
        "b": "AnotherRule",
    }
    assert reasons([rule("a", UNKNOWN), rule("b")]) == {"a": "Undecidable", "b": ""}


def test_a_rule_that_was_passed_over_ends_nothing_itself():
    rules = [rule("a", Stop=True), rule("b", Stop=True), rule("c")]
    assert [one.detail for one in decide(rules, Trigger.STABLE_STUDY, STUDY)] == ["", "a", "a"]


def test_what_cannot_be_decided_is_told_with_its_place_and_why():
    condition = {"All": [CT, {"Not": UNKNOWN}]}
    (verdict,) = decide([rule("a", condition)], Trigger.STABLE_STUDY, STUDY)
    assert (verdict.fires, verdict.reason) == (False, Reason.UNDECIDABLE)
    assert verdict.stopped_by == "$.If.All[1].Not"
    assert verdict.detail == "EchoTime cannot be read"


def test_a_label_rule_waits_for_its_own_label():
    rules = [rule("a", When="Label", Label="send-me"), rule("b", When="Label", Label="other")]
    assert reasons(rules, Trigger.LABEL) == {"a": "", "b": "Trigger"}
    assert reasons(rules, None) == {"a": "", "b": "Trigger"}


def test_without_a_trigger_the_rules_for_resources_of_the_level_are_tried():
    heartbeat = {"Schedule": {"Every": 5}, "Then": [{"Send": "webhook:x"}]}
    rules = [
        rule("study"),
        rule("series", When="StableSeries"),
        rule("stored", When="StoredInstance"),
        rule("manual", When="Manual"),
        rule("nightly", When="Schedule", Schedule={"At": ["02:00"], "Level": "Study"}),
        rule("heartbeat", When="Schedule", **heartbeat),
        rule("deleted", When="Deleted", Then=[{"Send": "webhook:x"}]),
    ]
    assert fired(rules, None) == ["study", "manual", "nightly"]
    assert fired(rules, None, replace(STUDY, level=Level.SERIES)) == ["series", "manual"]
    assert fired(rules, None, replace(STUDY, level=Level.INSTANCE)) == ["stored", "manual"]


def test_every_element_is_read_once_for_all_rules():
    asked: list[str] = []
    rules = [rule(f"r{number}", {"All": [CT, MR]}) for number in range(20)]
    decide(rules, Trigger.STABLE_STUDY, facts(asked=asked, Modality="CT"))
    assert asked == ["Modality"]


# What rules are tested with


def failures(condition: object, **test: object) -> list[str]:
    tested = rule("r", condition, Tests=[{"Name": "t", **test}])
    return decisions.test_failures(RuleSet(rules=(rule("first"), tested)))


@pytest.mark.parametrize(
    ("condition", "test"),
    [
        (CT, {"Tags": {"Modality": "CT"}}),
        (CT, {"Tags": {"0008-0060": ["SR", "CT"]}}),
        (CT, {"Tags": {"Modality": "MR"}, "Fires": False}),
        (CT, {"Fires": False}),
        (None, {}),
        ({"Source": {"RemoteAet": "CT*"}}, {"Source": {"RemoteAet": "CT_1"}}),
        ({"Source": {"RemoteAet": "CT*"}}, {"Fires": False}),
        ({"Label": "x"}, {"Labels": ["x"]}),
        ({"Metadata": "Ward", "Equals": "N"}, {"Metadata": {"Ward": "N"}}),
        ({"Count": "Series", "Equals": 2}, {"Counts": {"Series": 2}}),
        ({"Time": "Mon 14:00-15:00"}, {"Time": "2026-03-02T14:30"}),
        ({"Time": "Mon 14:00-15:00"}, {"Time": "2026-03-03T14:30", "Fires": False}),
    ],
)
def test_a_test_case_that_comes_out_is_no_problem(condition, test):
    assert failures(condition, **test) == []


@pytest.mark.parametrize(
    ("condition", "test", "about"),
    [
        (CT, {}, 'does not fire, which it should: stopped by $.If'),
        ({"All": [CT, {"Not": {"Label": "x"}}]}, {"Tags": {"Modality": "CT"}, "Labels": ["x"]},
         "stopped by $.If.All[1].Not"),
        (CT, {"Tags": {"Modality": "CT"}, "Fires": False}, "fires, which it should not"),
        (None, {"Fires": False}, "fires, which it should not"),
        ({"Count": "Series", "Equals": 2}, {"Fires": False},
         "cannot be decided: $.If: the number of its series is not known"),
    ],
)  # fmt: skip
def test_a_test_case_that_does_not_come_out_is_told_with_its_place(condition, test, about):
    (problem,) = failures(condition, **test)
    assert problem.startswith('$.Rules[1].Tests[0]: "t" ')
    assert about in problem


def test_a_test_case_is_on_its_rule_alone():
    tested = rule("r", CT, Tests=[{"Name": "t", "Tags": {"Modality": "CT"}}], Enabled=False)
    rules = RuleSet(rules=(rule("first", Priority=5, Stop=True), tested))
    assert decisions.test_failures(rules) == []


# What users are told


def test_a_rule_is_explained_with_what_stopped_it_and_what_it_would_do():
    steps = [
        {"Label": {"Add": ["a", "b"], "Remove": ["c"]}},
        {"Metadata": {"Set": {"Ward": "North"}}},
        {"Merge": {}},
        {"Split": {"By": ["EchoTime", {"Tag": "SliceThickness", "Tolerance": 0.5}]}},
        {"Anonymize": {"Profile": "trial-ct"}},
        {"Modify": {"Replace": {"StationName": "Doe"}, "Remove": ["MilitaryRank"],
                    "RemovePrivateTags": True}},
        {"Transcode": "1.2.840.10008.1.2.4.80"},
        {"Send": ["peer:x", "modality:y"]},
        {"Send": "peer:x"},
    ]  # fmt: skip
    explained = rule("r", {"All": [CT, MR]}, Version="7", Then=steps)
    (verdict,) = decide([explained], Trigger.STABLE_STUDY, STUDY)
    assert explain(verdict) == {
        "Rule": "r",
        "Version": "7",
        "Fires": False,
        "StoppedBy": "$.If.All[1]",
        "Reason": "Condition",
        "Detail": "",
        "Steps": [
            "label: add a, b; remove c",
            "metadata: set Ward",
            "merge the patient's studies with the same AccessionNumber",
            'split by ["EchoTime", {"Tag": "SliceThickness", "Tolerance": 0.5}]',
            'anonymize with the profile "trial-ct"',
            "modify: replace StationName; remove MilitaryRank; remove private elements",
            "transcode what is sent to JPEG-LS Lossless",
            "send to peer:x, modality:y",
            "send to peer:x",
        ],
        "Destinations": ["peer:x", "modality:y"],
    }


def test_a_rule_that_fires_is_explained_without_a_place():
    (verdict,) = decide([rule("r", Then=[{"Delete": True}])], Trigger.STABLE_STUDY, STUDY)
    found = explain(verdict)
    assert (found["Fires"], found["StoppedBy"], found["Reason"]) == (True, "", "")
    assert found["Steps"] == ["delete what the rule fired for"]
