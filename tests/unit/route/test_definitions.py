"""Rules of the configuration and of a directory: all of them, or a refusal that says why."""

import json

import pytest

from curator.definition_files import Source
from curator.route.definitions import Defined, define, relocated
from curator.route.validation import RuleReader


def rule(name: str, **fields) -> dict:
    return {"Name": name, "When": "StableStudy", "Then": [{"Send": "folder:out"}], **fields}


def check_receive(rules) -> list[str]:
    return [
        f"$.Receive[{index}].Then: is missing"
        for index, one in enumerate(rules)
        if "Then" not in one
    ]


def read(configured=(), receive=(), directory=None) -> tuple[Defined, list[str]]:
    problems: list[str] = []
    found = define(configured, receive, directory, RuleReader(check_receive), problems)
    return found, problems


@pytest.fixture
def directory(tmp_path):
    folder = tmp_path / "rules"
    folder.mkdir()
    return folder


def test_without_any_there_is_none():
    assert read() == (Defined(), [])


def test_a_file_holds_one_rule_or_a_list_or_a_set(directory):
    (directory / "a.json").write_text(json.dumps(rule("a", Version="7")))
    (directory / "b.yaml").write_text(
        "- Name: b1\n  When: StableSeries\n  Then:\n    - Send: folder:out  # nightly\n"
        "- Name: b2\n  When: StableStudy\n  Then: [{Delete: true}]\n"
    )
    (directory / "c.json").write_text(
        json.dumps({"Rules": [rule("c")], "Receive": [{"Name": "in", "Then": {"Accept": True}}]})
    )
    (directory / "notes.txt").write_text("not a rule")
    found, problems = read([rule("d")], [{"Name": "first", "Then": {}}], directory)
    assert problems == []
    assert {name: (one.source, one.place) for name, one in found.rules.items()} == {
        "d": (Source.CONFIGURATION, "$.Curator.Rules[0]"),
        "a": (Source.DIRECTORY, str(directory / "a.json")),
        "b1": (Source.DIRECTORY, f"{directory / 'b.yaml'}: $[0]"),
        "b2": (Source.DIRECTORY, f"{directory / 'b.yaml'}: $[1]"),
        "c": (Source.DIRECTORY, f"{directory / 'c.json'}: $.Rules[0]"),
    }
    assert list(found.rules) == ["d", "a", "b1", "b2", "c"]
    assert found.rules["a"].rule.version == "7"
    assert found.rules["a"].content == rule("a", Version="7")
    assert [one["Name"] for one in found.receive] == ["first", "in"]


def test_every_problem_is_told_with_its_place(directory):
    (directory / "a.json").write_text(json.dumps([rule("a"), {"Name": "b", "Wen": "x"}]))
    (directory / "b.json").write_text('{"Name": ')
    (directory / "c.json").write_text(json.dumps({"Rules": {}, "Recieve": [], "Receive": []}))
    (directory / "d.json").write_text(json.dumps(rule("d", When="Stable")))
    found, problems = read([rule("x", Priority="high"), 5], [{}], directory)
    assert found == Defined()
    assert {problem.rpartition("$")[2].partition(":")[0] for problem in problems} >= {
        ".Curator.Rules[0].Priority",
        ".Curator.Rules[1]",
        "[1].Wen",
        ".Rules",
        ".Recieve",
        ".When",
    }
    files = {name: str(directory / f"{name}.json") for name in "abcd"}
    assert any(one.startswith(f"{files['a']}: $[1].Wen: unknown field") for one in problems)
    assert any(one.startswith(f"{files['b']}: is not JSON") for one in problems)
    assert f"{files['c']}: $.Rules: must be a list" in problems
    assert any(
        one.startswith(f"{files['c']}: $.Recieve: ") and '"Receive"' in one for one in problems
    )
    assert any(one.startswith(f"{files['d']}: $.When: ") for one in problems)


def test_problems_of_rules_at_reception_have_their_place_too(directory):
    (directory / "a.json").write_text(json.dumps({"Receive": [{"Name": "b"}]}))
    _, problems = read([], [{"Name": "a"}], directory)
    assert problems == [
        "$.Curator.Receive[0].Then: is missing",
        f"{directory / 'a.json'}: $.Receive[0].Then: is missing",
    ]


def test_a_name_that_is_there_twice_is_refused_with_both_places(directory):
    (directory / "a.json").write_text(json.dumps([rule("same"), rule("same")]))
    _, problems = read([rule("same")], [], directory)
    assert problems == [
        f'{directory / "a.json"}: $[{index}]: the rule "same" is defined in $.Curator.Rules[0] as'
        " well"
        for index in (0, 1)
    ]


def test_a_directory_that_is_not_there_is_refused(directory):
    assert read(directory=directory / "absent")[1] == [
        "$.Curator.RulesDirectory: cannot be read: No such file or directory"
    ]


def test_a_problem_that_is_of_no_single_rule_keeps_its_path():
    assert relocated("$.Rules: too many", {"Rules": []}) == "$.Rules: too many"
    assert relocated("$.Rules[1].If: x", {"Rules": ["a", "b: $"]}) == "b: $.If: x"
