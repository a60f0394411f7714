"""Rules at reception are refused whole, with every problem and where it is."""

import pytest

from curator.route.receive_rule import IDENTITY, in_order, problems_of, read_rules

TABLES = {"sites": {"A": "North"}}


def rule(*then, name="rule", **fields):
    return {"Name": name, "Then": list(then), **fields}


def problems(*rules):
    return problems_of(rules, TABLES)


@pytest.mark.parametrize(
    "action",
    [
        {"Accept": True},
        {"Reject": {}},
        {"Reject": {"Dimse": "0xA700", "Http": 500, "Reason": "no room"}},
        {"Reject": {"Dimse": 0x0000, "Http": 200}},
        {"Set": {"InstitutionName": "North", "ImageType": ["DERIVED", "SECONDARY"], "Rows": 5}},
        {"Set": {"0008,1030": "{StudyDescription} ({{{Modality}}})"}},
        {"Set": {"RequestAttributesSequence[*].RequestedProcedureID": "{AccessionNumber}"}},
        {"Remove": ["PatientComments", '(0019,"ACME 1",02)', "RequestAttributesSequence"]},
        {"Map": {"Tag": "InstitutionName", "Table": "sites", "Else": "Reject"}},
        {"Map": {"Tag": "InstitutionName", "Table": {"A": "North"}}},
    ],
)
def test_what_is_possible_is_accepted(action):
    assert problems(rule(action)) == []


def test_one_action_needs_no_list():
    assert problems({"Name": "one", "Then": {"Accept": True}}) == []


@pytest.mark.parametrize(
    ("action", "path", "words"),
    [
        ({}, "", "exactly one"),
        ({"Accept": True, "Reject": {}}, "", "exactly one"),
        ({"Accept": False}, ".Accept", "True"),
        ({"Reject": {"Dimse": "A7"}}, ".Reject.Dimse", "four hexadecimal digits"),
        ({"Reject": {"Dimse": 0x0001}}, ".Reject.Dimse", "no status of C-STORE"),
        ({"Reject": {"Dimse": True}}, ".Reject.Dimse", "no status of C-STORE"),
        ({"Reject": {"Http": 403}}, ".Reject.Http", "200, 400 or 500"),
        ({"Set": {}}, ".Set", "at least 1"),
        ({"Set": {"PatientNam": "x"}}, ".Set.PatientNam", "PatientName"),
        ({"Set": {"PatientID": "{Patient"}}, ".Set.PatientID", "'}'"),
        ({"Set": {"PatientID": "{PatientNam}"}}, ".Set.PatientID", "PatientName"),
        ({"Set": {"Rows": "five"}}, ".Set.Rows", "takes numbers"),
        ({"Set": {"Rows": 70000}}, ".Set.Rows", "does not fit"),
        ({"Set": {"Modality": "é"}}, ".Set.Modality", "ASCII"),
        ({"Set": {"PixelData": "x"}}, ".Set.PixelData", "value representation"),
        ({"Set": {"RequestAttributesSequence": "x"}}, ".Set.RequestAttributesSequence", "SQ"),
        ({"Set": {"SpecificCharacterSet": "x"}}, ".Set.SpecificCharacterSet", "ISO_IR 192"),
        ({"Set": {"SOPClassUID": "1.2"}}, ".Set.SOPClassUID", "cannot be changed"),
        ({"Set": {"TransferSyntaxUID": "1.2"}}, ".Set.TransferSyntaxUID", "no part"),
        ({"Set": {"PatientID": None}}, ".Set.PatientID", "string"),
        ({"Remove": ["PatientID", "SOPInstanceUID"]}, ".Remove[1]", "has to be there"),
        ({"Map": {"Tag": "Rows", "Table": "sites"}}, ".Map.Tag", "no text"),
        ({"Map": {"Tag": "PatientID", "Table": "site"}}, ".Map.Table", 'mean "sites"'),
        ({"Map": {"Tag": "PatientID", "Table": {}}}, ".Map.Table", "at least 1"),
    ],
)
def test_what_is_not_possible_is_refused_where_it_stands(action, path, words):
    found = problems(rule(action))
    assert found
    assert all(one.startswith(f"$.Receive[0].Then[0]{path}: ") for one in found)
    assert any(words in one for one in found)


@pytest.mark.parametrize("tag", sorted(IDENTITY))
def test_identity_is_changed_by_force_only(tag):
    action = {"Set": {f"{tag:08X}": "1.2.3"}}
    assert "Force" in problems(rule(action))[0]
    assert problems(rule(action, Force=True)) == []


@pytest.mark.parametrize(
    ("condition", "path"),
    [
        ({"Label": "x"}, ".Label"),
        ({"Metadata": "x", "Exists": True}, ".Metadata"),
        ({"Count": "Series", "Equals": 1}, ".Count"),
        ({"Source": {"CalledAet": "x"}}, ".Source.CalledAet"),
        ({"Source": {"RemoteIp": "10.0.0.1"}}, ".Source.RemoteIp"),
    ],
)
def test_what_is_not_known_at_reception_cannot_be_asked_at_any_depth(condition, path):
    assert problems(rule({"Accept": True}, If=condition))[0].startswith(f"$.Receive[0].If{path}: ")
    nested = {"All": [{"Tag": "Modality", "Equals": "CT"}, {"Not": condition}]}
    found = problems(rule({"Accept": True}, If=nested))
    assert [one.split(": ")[0] for one in found] == [f"$.Receive[0].If.All[1].Not{path}"]


@pytest.mark.parametrize(
    "then",
    [
        [{"Accept": True}, {"Set": {"PatientID": "x"}}],
        [{"Set": {"PatientID": "x"}}, {"Reject": {}}],
        [{"Set": {"PatientID": "x"}}, {"Remove": ["PatientID"]}],
    ],
)
def test_actions_that_contradict_each_other_are_refused(then):
    assert problems(rule(*then))


BY_SENDER = {"Source": {"RemoteAet": "CT*"}}


def test_nothing_is_changed_by_who_sends():
    assert "RemoteAet" in problems(rule({"Set": {"PatientID": "x"}}, If=BY_SENDER))[0]
    assert problems(rule({"Reject": {}}, If={"Not": BY_SENDER})) == []


def test_nothing_is_changed_after_someone_may_be_accepted_by_who_sends():
    accepting = rule({"Accept": True}, name="known", If=BY_SENDER)
    changing = rule({"Set": {"PatientID": "x"}}, name="changing")
    assert problems(accepting, changing)[0].startswith("$.Receive[1]: ")
    assert problems(accepting, {**changing, "Priority": 1}) == []
    assert problems(accepting, {**changing, "Enabled": False}) == []


def test_success_is_not_told_once_it_is_asked_who_sends():
    asking = rule({"Reject": {"Dimse": "0xA901"}}, name="asking", If=BY_SENDER)
    silent = rule({"Reject": {"Dimse": "0x0000", "Http": 200}}, name="silent")
    assert problems(asking, silent)[0].startswith("$.Receive[1]: ")
    assert problems(asking, {**silent, "Priority": 1}) == []


def test_names_are_unique():
    found = problems(rule({"Accept": True}), rule({"Accept": True}))
    assert found == ['$.Receive[1].Name: there are two rules "rule" at reception']


def test_higher_priorities_come_first_then_the_order_written():
    rules = read_rules(
        [
            rule({"Accept": True}, name="a"),
            rule({"Accept": True}, name="b", Priority=5),
            rule({"Accept": True}, name="c", Enabled=False),
            rule({"Accept": True}, name="d"),
        ],
        {},
    )
    assert [one.name for one in in_order(rules)] == ["b", "a", "d"]
