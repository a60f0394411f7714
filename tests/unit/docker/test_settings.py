"""Configurations with comments, and how they merge."""

from pathlib import Path

import pytest

import settings

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1} // end', {"a": 1}),
        ('// first\n{"a": 1}', {"a": 1}),
        ('{/* one */"a": /* two\nlines */ 1}', {"a": 1}),
        ('{"a": "http://host//path"}', {"a": "http://host//path"}),
        ('{"a": "/* kept */"}', {"a": "/* kept */"}),
        (r'{"a": "quote \" // kept"}', {"a": 'quote " // kept'}),
        (r'{"a": "backslash \\"} // gone', {"a": "backslash \\"}),
        ('{"a": 1 /* // */, "b": 2}', {"a": 1, "b": 2}),
        ('{"a": 1, // it\'s "quoted"\n"b": 2}', {"a": 1, "b": 2}),
        ('{"a": 1, /** stars **/ "b": 2}', {"a": 1, "b": 2}),
    ],
)
def test_comments_go_and_strings_stay(text, value):
    assert settings.parse(text, "test") == value


def test_comments_keep_lines_and_columns():
    text = '{\n  // one\n  /* two\n  three */ "a": 1\n}'
    blank = settings.strip_comments(text)
    assert len(blank) == len(text)
    assert [len(line) for line in blank.split("\n")] == [len(line) for line in text.split("\n")]


def test_error_names_file_line_and_column():
    with pytest.raises(settings.SettingsError, match=r"site\.json, line 3, column 3: "):
        settings.parse('{ // a comment\n  "a": 1\n  "b": 2\n}', "site.json")


@pytest.mark.parametrize("text", ["[]", "1", '"text"', "null"])
def test_configuration_is_an_object(text):
    with pytest.raises(
        settings.SettingsError, match=r"site\.json: a configuration is a JSON object"
    ):
        settings.parse(text, "site.json")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(settings.SettingsError, match=r"absent\.json"):
        settings.read(tmp_path / "absent.json")


@pytest.mark.parametrize(
    ("first", "second", "merged"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": {"x": 1, "y": 1}}, {"a": {"y": 2}}, {"a": {"x": 1, "y": 2}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"x": 1}}, {"a": 5}, {"a": 5}),
        ({"a": 5}, {"a": {"x": 1}}, {"a": {"x": 1}}),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": {"d": 2}}}, {"a": {"b": {"c": 1, "d": 2}}}),
        ({"a": {"x": 1}}, {"a": None}, {"a": None}),
    ],
)
def test_merge(first, second, merged):
    assert settings.merge(first, second) == merged


def test_merge_leaves_its_arguments_alone():
    first = {"a": {"x": 1}}
    settings.merge(first, {"a": {"y": 2}})
    assert first == {"a": {"x": 1}}


def test_stock_server_has_no_section_of_ours():
    assert settings.without_plugin({"Python": {}, "Curator": {}, "Name": "n"}) == {"Name": "n"}


def test_configuration_of_the_repository():
    ours = settings.read(REPOSITORY / "orthanc.json")
    assert ours["Python"] == {
        "Path": "/opt/curator/plugin/main.py",
        "AllowThreads": True,
        "Verbose": False,
    }
    assert "Curator" in ours
    assert ours["RemoteAccessAllowed"] is False
    assert ours["HttpBindAddresses"] == ["127.0.0.1"]
