"""What is wrong with rules as they are written, and with the names in them on this server."""

import pytest

from curator.models import InvalidModel
from curator.route.validation import RESERVED, RuleReader, ServerNames


def rule(name: str = "a", **fields) -> dict:
    return {"Name": name, "When": "StableStudy", "Then": [{"Send": "folder:out"}], **fields}


def problems_of(*rules: dict, receive=(), reader: RuleReader | None = None) -> list[str]:
    with pytest.raises(InvalidModel) as refusal:
        (reader or RuleReader())({"Rules": list(rules), "Receive": list(receive)})
    return refusal.value.problems


def known(*names: str):
    return lambda name: None if name in names else f'there is no "{name}"'


def unfit(*steps: dict) -> list[str]:
    surroundings = ServerNames(
        destination=known("folder:out", "peer:far"),
        profile=known("trial"),
        metadata=lambda: {"Ward"},
        split=lambda options: [f"$.{name}: unknown field" for name in options if name != "By"],
    )
    return list(surroundings.problems(RuleReader()({"Rules": [rule(Then=list(steps))]})))


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_rule_cannot_have_the_name_of_a_uri(name):
    (problem,) = problems_of(rule(name))
    assert problem.startswith("$.Rules[0].Name: ")
    assert f'"{name}"' in problem


@pytest.mark.parametrize("label", ["", "a b", "ä", "x" * 65, "a/b"])
def test_labels_are_those_that_the_core_takes(label):
    steps = [{"Label": {"Add": ["fine", label]}}]
    assert any(
        problem.startswith("$.Rules[0].Then[0].Label.Add[1]: ")
        for problem in problems_of(rule(Then=steps))
    )
    assert any(
        problem.startswith("$.Rules[1].Label: ")
        for problem in problems_of(rule(), rule("b", When="Label", Label=label))
    )


def test_rules_at_reception_are_checked_by_their_own_model():
    reader = RuleReader(lambda rules: [f"$.Receive[{len(rules) - 1}].If: no"])
    assert problems_of(rule(), receive=[{}, {}], reader=reader) == ["$.Receive[1].If: no"]


def test_a_test_case_that_does_not_come_out_is_a_problem_unless_tests_are_left_out():
    case = {"Name": "CT goes", "Tags": {"Modality": "CT"}, "Fires": True}
    wrong = rule(If={"Tag": "Modality", "Equals": "MR"}, Tests=[case])
    (problem,) = problems_of(wrong)
    assert problem.startswith("$.Rules[0].Tests[0]")
    assert RuleReader().without_tests({"Rules": [wrong]}).rules[0].name == "a"


def test_what_the_server_has_is_no_problem():
    assert unfit({"Anonymize": {"Profile": "trial"}}, {"Send": ["folder:out", "peer:far"]}) == []
    metadata = {"Set": {"Ward": "1", "1024": "x"}, "Remove": ["5000"]}
    assert unfit({"Metadata": metadata}) == []


@pytest.mark.parametrize(
    ("send", "path"),
    [("peer:near", "[0]"), ({"To": ["folder:out", "peer:near"]}, "[1]")],
)
def test_an_unknown_destination_is_told_at_its_place(send, path):
    assert unfit({"Send": send}) == [f'$.Rules[0].Then[0].Send.To{path}: there is no "peer:near"']


def test_what_is_wrong_with_a_split_is_told_at_its_place():
    split = {"By": ["EchoTime"], "Nameing": "x"}
    assert unfit({"Split": split}) == ["$.Rules[0].Then[0].Split.Nameing: unknown field"]


def test_an_unknown_profile_is_told_at_its_place():
    (problem,) = unfit({"Anonymize": {"Profile": "trail"}}, {"Send": "folder:out"})
    assert problem == '$.Rules[0].Then[0].Anonymize.Profile: there is no "trail"'


def test_unregistered_and_system_metadata_are_told_at_their_places():
    problems = unfit({"Metadata": {"Set": {"Wrad": "x"}, "Remove": ["Ward", "12"]}})
    assert [problem.partition(": ")[0] for problem in problems] == [
        "$.Rules[0].Then[0].Metadata.Set",
        "$.Rules[0].Then[0].Metadata.Remove[1]",
    ]
    assert 'did you mean "Ward"?' in problems[0]
