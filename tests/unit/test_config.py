"""The section ``Curator`` of the configuration."""

from pathlib import Path

import pytest
from sqlalchemy import make_url

from curator.config import ConfigurationError, Settings, database_url, load

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


def test_a_database_that_is_named_is_taken_as_it_is():
    url = "postgresql+psycopg://user:secret@host/db"
    assert database_url(Settings(database=url), {"IndexDirectory": "x"}, Path("/")) == url
