"""The section ``Curator`` of the configuration."""

from pathlib import Path

import pytest
from sqlalchemy import make_url

from curator.config import ConfigurationError, Settings, database_url, index_directory, load

GOOD = {"Python": {"Path": "plugin/main.py", "AllowThreads": True}}


def refused(configuration: dict) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        load(configuration)
    first, *others = str(raised.value).splitlines()
    assert first == "Curator does not start, its configuration has to be changed:"
    assert all(line.startswith("  $") for line in others)
    return [line.strip() for line in others]


def test_the_section_may_be_absent():
    assert load(GOOD) == Settings()


def test_settings_are_read():
    section = {"Database": "sqlite:///x.db", "Workers": 3, "ThreadsPerJob": 1}
    settings = load({**GOOD, "Curator": {**section, "JobsHistorySize": 7}})
    assert settings == Settings(
        database="sqlite:///x.db", workers=3, threads_per_job=1, jobs_history_size=7
    )


def test_settings_of_anonymization_are_read():
    section = {
        "Profiles": [{"Name": "a"}],
        "ProfilesDirectory": "profiles",
        "KeyFile": "/secret/curator.key",
        "LookupTables": {"sites": "sites.csv"},
        "AllowMappingExport": True,
        "ReidentifyKeyFile": "private.pem",
    }
    settings = load({**GOOD, "Curator": section})
    assert settings.profiles == ({"Name": "a"},)
    assert settings.lookup_tables == {"sites": "sites.csv"}
    assert (settings.profiles_directory, settings.key_file) == ("profiles", "/secret/curator.key")
    assert (settings.allow_mapping_export, settings.reidentify_key_file) == (True, "private.pem")


def test_mappings_stay_here_unless_the_configuration_says_otherwise():
    assert load(GOOD).allow_mapping_export is False


@pytest.mark.parametrize(
    "python",
    [
        {},
        {"Python": {}},
        {"Python": {"AllowThreads": False}},
        {"Python": {"AllowThreads": "true"}},
        {"Python": {"AllowThreads": 1}},
        {"Python": None},
        {"Python": "main.py"},
        {"Python": ["AllowThreads"]},
    ],
)
def test_without_threads_the_line_to_add_is_told(python):
    (problem,) = refused(python)
    assert problem.startswith("$.Python.AllowThreads: ")
    assert '"AllowThreads": true' in problem


@pytest.mark.parametrize(
    ("section", "path"),
    [
        ({"Workers": 0}, "$.Curator.Workers"),
        ({"Workers": 33}, "$.Curator.Workers"),
        ({"Workers": "2"}, "$.Curator.Workers"),
        ({"Workers": 2.5}, "$.Curator.Workers"),
        ({"Workers": True}, "$.Curator.Workers"),
        ({"Workers": None}, "$.Curator.Workers"),
        ({"ThreadsPerJob": -1}, "$.Curator.ThreadsPerJob"),
        ({"JobsHistorySize": 0}, "$.Curator.JobsHistorySize"),
        ({"Database": 5}, "$.Curator.Database"),
        ({"Profiles": {}}, "$.Curator.Profiles"),
        ({"Profiles": [{"Name": "a"}, "b"]}, "$.Curator.Profiles[1]"),
        ({"ProfilesDirectory": ["a"]}, "$.Curator.ProfilesDirectory"),
        ({"KeyFile": 5}, "$.Curator.KeyFile"),
        ({"LookupTables": ["a.csv"]}, "$.Curator.LookupTables"),
        ({"LookupTables": {"a": 5}}, "$.Curator.LookupTables.a"),
        ({"AllowMappingExport": "true"}, "$.Curator.AllowMappingExport"),
        ({"AllowMappingExport": 1}, "$.Curator.AllowMappingExport"),
        ({"ReidentifyKeyFile": False}, "$.Curator.ReidentifyKeyFile"),
        ({"Webhooks": {"h": {"Url": "http://a/\x00"}}}, "$.Curator.Webhooks.h.Url"),
        (
            {"Webhooks": {"h": {"Url": "http://a", "Headers": {"X": "1\r\nY: 2"}}}},
            "$.Curator.Webhooks.h.Headers.X",
        ),
        (
            {"Webhooks": {"h": {"Url": "http://a", "Headers": {"content-length": "5"}}}},
            "$.Curator.Webhooks.h.Headers",
        ),
        ({"workers": 2}, "$.Curator.workers"),
        (None, "$.Curator"),
        ([], "$.Curator"),
        ("x", "$.Curator"),
        (True, "$.Curator"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_path(section, path):
    (problem,) = refused({**GOOD, "Curator": section})
    assert problem.partition(": ")[0] == path


def test_an_unknown_setting_is_named_with_the_nearest():
    (problem,) = refused({**GOOD, "Curator": {"Worker": 1}})
    assert problem == '$.Curator.Worker: unknown field, did you mean "Workers"?'


def test_every_problem_is_in_one_message():
    found = refused({"Curator": {"Workers": 0, "ThreadsPerJob": "x", "Datebase": "y"}})
    assert [problem.partition(": ")[0] for problem in found] == [
        "$.Python.AllowThreads",
        "$.Curator.Workers",
        "$.Curator.ThreadsPerJob",
        "$.Curator.Datebase",
    ]


@pytest.mark.parametrize(
    ("directories", "expected"),
    [
        ({"StorageDirectory": "a"}, "a"),
        ({"StorageDirectory": "a", "IndexDirectory": "b"}, "b"),
        ({"IndexDirectory": "b"}, "b"),
        ({}, "OrthancStorage"),
        ({"IndexDirectory": "odd ?&#%20 näme"}, "odd ?&#%20 näme"),
    ],
)
def test_the_database_lies_beside_the_index(directories, expected, tmp_path):
    url = make_url(database_url(Settings(), directories, tmp_path))
    assert url.drivername == "sqlite"
    assert url.database == str(tmp_path.resolve() / expected / "curator.db")
    assert index_directory(directories, tmp_path) == tmp_path.resolve() / expected


def test_a_database_that_is_named_is_taken_as_it_is():
    url = "postgresql+psycopg://user:secret@host/db"
    assert database_url(Settings(database=url), {"IndexDirectory": "x"}, Path("/")) == url
