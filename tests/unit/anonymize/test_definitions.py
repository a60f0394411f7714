"""Profiles of the configuration and of a directory: all of them, or a refusal that says why."""

import json
import os

import pytest

from curator.anonymize.catalog import Reader
from curator.anonymize.definitions import Definition, define
from curator.definition_files import Source


def read(configured=(), directory=None) -> tuple[dict[str, Definition], list[str]]:
    problems: list[str] = []
    return define(configured, directory, Reader({}), problems), problems


@pytest.fixture
def directory(tmp_path):
    folder = tmp_path / "profiles"
    folder.mkdir()
    return folder


def test_without_any_there_is_none():
    assert read() == ({}, [])


def test_profiles_come_from_the_configuration_and_from_files(directory):
    (directory / "a.json").write_text(json.dumps({"Name": "a", "Version": "7"}))
    (directory / "b.yaml").write_text("Name: b\nOptions:\n  - RetainUids  # for the registry\n")
    (directory / "c.yml").write_text("{Name: c}")
    (directory / "notes.txt").write_text("not a profile")
    (directory / ".hidden.json").write_text("not a profile")
    (directory / "sub.json.d").mkdir()
    found, problems = read([{"Name": "d"}], directory)
    assert problems == []
    assert {name: (one.source, one.place) for name, one in found.items()} == {
        "a": (Source.DIRECTORY, str(directory / "a.json")),
        "b": (Source.DIRECTORY, str(directory / "b.yaml")),
        "c": (Source.DIRECTORY, str(directory / "c.yml")),
        "d": (Source.CONFIGURATION, "$.Curator.Profiles[0]"),
    }
    assert found["a"].profile.version == "7"
    assert found["b"].profile.options == ("RetainUids",)


def test_every_problem_is_told_with_its_place(directory):
    (directory / "a.json").write_text('{"Name": "a", "Optoins": [], "Options": ["None"]}')
    (directory / "b.json").write_text('{"Name": ')
    (directory / "c.yaml").write_bytes(b"Name: \xff")
    (directory / "d.json").write_text('["Name"]')
    (directory / "e.json").mkdir()
    _, problems = read([{"Name": "x", "Version": 5}, {}], directory)
    assert [problem.partition(": ")[0] for problem in problems if problem.startswith("$")] == [
        "$.Curator.Profiles[0].Version",
        "$.Curator.Profiles[1].Name",
    ]
    by_file = {
        name: [problem for problem in problems if problem.startswith(str(directory / name))]
        for name in ("a.json", "b.json", "c.yaml", "d.json", "e.json")
    }
    assert sum(map(len, by_file.values())) == len(problems) - 2
    assert len(by_file["a.json"]) == 2
    assert f'{directory / "a.json"}: $.Optoins: unknown field, did you mean "Options"?' in problems
    assert any("$.Options[0]: " in problem for problem in by_file["a.json"])
    assert f"{directory / 'c.yaml'}: is not UTF-8" in problems
    assert all(by_file.values())


def test_a_name_that_is_there_twice_is_refused_with_both_places(directory):
    (directory / "a.json").write_text('{"Name": "same"}')
    (directory / "b.json").write_text('{"Name": "same"}')
    _, problems = read([{"Name": "same"}], directory)
    first = "$.Curator.Profiles[0]"
    assert problems == [
        f'{directory / name}: the profile "same" is defined in {first} as well'
        for name in ("a.json", "b.json")
    ]


def test_a_name_that_the_configuration_has_twice_is_refused():
    _, problems = read([{"Name": "same"}, {"Name": "same", "Version": "2"}])
    assert problems == [
        '$.Curator.Profiles[1]: the profile "same" is defined in $.Curator.Profiles[0] as well'
    ]


def test_what_has_no_end_is_refused_unread(directory):
    os.mkfifo(directory / "a.json")
    (directory / "b.yaml").symlink_to("/dev/zero")
    (directory / "c.json").symlink_to(directory / "c.json")
    expected = [f"{directory / name}: is no file" for name in ("a.json", "b.yaml", "c.json")]
    assert read(directory=directory) == ({}, expected)


def test_a_directory_that_is_not_there_is_refused(directory):
    assert read(directory=directory / "absent")[1] == [
        "$.Curator.ProfilesDirectory: cannot be read: No such file or directory"
    ]
    file = directory / "a.json"
    file.write_text("{}")
    assert read(directory=file)[1] == [
        "$.Curator.ProfilesDirectory: cannot be read: Not a directory"
    ]


def test_a_rule_may_name_a_table_of_the_configuration_only_where_there_is_one():
    rule = {"Tag": "AccessionNumber", "Action": "Lookup", "Table": "site"}
    profile = {"Name": "a", "Rules": [rule]}
    problems: list[str] = []
    define([profile], None, Reader({"sites": {"a": "b"}}), problems)
    assert problems == [
        '$.Curator.Profiles[0].Rules[0].Table: there is no table "site", did you mean "sites"?'
    ]
    for reader, tables in ((Reader({"site": {"a": "b"}}), {}), (Reader({}), {"site": {"a": "b"}})):
        problems = []
        define([profile | {"Tables": tables}], None, reader, problems)
        assert problems == []
