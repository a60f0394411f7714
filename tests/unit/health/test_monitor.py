"""The status is told whatever the database does, and says so when it does not answer."""

import json
import logging
import sqlite3
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from curator.config import Settings
from curator.gateway import Gateway
from curator.health import monitor as monitor_module
from curator.health.monitor import Monitor, Observed
from curator.jobs import JobEngine, Submission, Workers
from curator.route.ledger import Ledger
from curator.route.overview import Overview
from curator.route.rule import RuleSet
from curator.sdk import Sdk
from curator.store import SCHEMA_VERSION, Store
from unit.fake_sdk import FakeSdk

#: Only so that a failing test ends.
HANGS = 60.0

CORE = {
    ("GET", "/system"): b'{"Version": "1.13.0"}',
    ("GET", "/plugins"): b'["explorer.js", "python"]',
    ("GET", "/plugins/python"): b'{"Version": "7.1"}',
}


@dataclass
class FakeRouting:
    """What the monitor asks of routing."""

    overview: Overview
    rules: RuleSet = field(default_factory=RuleSet)
    is_closed: bool = False
    pending: dict[str, Any] = field(default_factory=lambda: {"Runs": {}, "Deliveries": {}})
    workers: dict[str, Workers] = field(default_factory=lambda: {"Runs": Workers(4, 4, 1)})
    dead: list[str] = field(default_factory=list)

    def problems(self) -> list[str]:
        return []

    def unreachable(self) -> list[str]:
        return self.dead


class Place:
    """A monitor with a real database and real workers."""

    def __init__(self, directory: Path, patience: float = HANGS, **configuration: Any) -> None:
        self.file = directory / "curator.db"
        self.store = Store(f"sqlite:///{self.file}")
        self.sdk = FakeSdk(core=dict(CORE), configuration=configuration)
        self.gateway = Gateway(cast("Sdk", self.sdk))
        self.engine = JobEngine(self.store, {}, workers=2, history_size=10)
        self.routing = FakeRouting(Overview(self.store, Ledger(self.store)))
        self.monitor = Monitor(
            Observed(
                gateway=self.gateway,
                store=self.store,
                engine=self.engine,
                routing=cast("Any", self.routing),
                profiles=SimpleNamespace(detecting=lambda: ["us"]),
                settings=Settings(),
                configuration=configuration,
                index=directory,
                has_tesseract=False,
                key="1f2e3d4c",
            ),
            patience,
        )

    @property
    def status(self) -> dict[str, Any]:
        return dict(json.loads(json.dumps(self.monitor.status())))


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(monitor_module, "_free_megabytes", lambda _directory: 100_000)
    made = Place(tmp_path)
    yield made
    made.engine.stop()
    made.store.close()


def fail(place: Place, number: int) -> str:
    """Let a job end at once: nobody knows its type."""
    submission = Submission(f"Type{number}", {}, frozenset())
    with pytest.raises(Exception, match="does not know"):
        place.engine.submit_and_wait(submission)
    return submission.id


def test_all_is_well_at_the_beginning(place):
    status = place.status
    assert (status["Health"], status["HealthDetails"]) == ("Good", [])
    assert status["Database"] == {
        "Kind": "sqlite",
        "SchemaVersion": SCHEMA_VERSION,
        "Answers": True,
    }
    assert status["LastErrors"] == []
    assert status["Queue"]["Jobs"] == {"Count": 0, "Since": None}
    assert status["OrthancVersion"] == "1.13.0"
    assert status["FreeDiskSizeMB"] == 100_000
    assert place.sdk.metrics["curator_health"] == 0


def test_waiting_jobs_are_told_with_the_time_of_the_first(place):
    first = Submission("Type", {}, frozenset())
    place.engine.submit(first)
    place.engine.submit(Submission("Type", {}, frozenset()))
    created = place.engine.describe(first.id)["CreationTime"]
    assert place.status["Queue"]["Jobs"] == {"Count": 2, "Since": created}


def test_failed_jobs_are_told_and_outlive_a_restart(place, tmp_path):
    place.engine.start()
    job_id = fail(place, 1)
    canceled = Submission("Type2", {}, frozenset())
    place.engine.pause(place.engine.submit(canceled))
    place.engine.cancel(canceled.id)
    (error,) = place.status["LastErrors"]
    assert (error["Kind"], error["ID"], error["Name"]) == ("Job", job_id, "Type1")
    assert error["State"] == "Failure"
    assert error["Error"] == place.engine.describe(job_id)["ErrorCode"]
    assert "does not know" in error["Details"]
    again = Place(tmp_path)
    assert again.status["LastErrors"] == [error]
    again.store.close()


def test_failed_job_that_its_user_knows_of_is_no_ill_health(place):
    place.engine.start()
    fail(place, 1)
    assert place.status["Health"] == "Good"


def test_list_of_errors_is_bounded(place):
    place.engine.start()
    ids = [fail(place, number) for number in range(12)]
    assert [one["ID"] for one in place.status["LastErrors"]] == ids[:1:-1][:10]


def test_workers_that_have_ended_are_failure_once_all_were_started(place):
    assert place.status["Health"] == "Good"
    place.monitor.start()
    try:
        status = place.status
        assert status["Workers"]["Operations"] == {"Count": 0, "Busy": 0}
        assert status["HealthDetails"] == [
            "workers of Operations have ended, see the log of Orthanc"
        ]
        assert place.sdk.metrics["curator_health"] == 2
        place.engine.start()
        assert place.status["Health"] == "Good"
        assert place.status["Workers"]["Operations"] == {"Count": 2, "Busy": 0}
        assert place.status["Workers"]["Runs"] == {"Count": 4, "Busy": 1}
    finally:
        place.monitor.stop()
    assert place.status["Health"] == "Good"


def test_destination_that_does_not_answer_is_told(place):
    place.routing.dead.append("peer:a")
    status = place.status
    assert (status["Health"], status["HealthDetails"]) == ("Degraded", ["peer:a does not answer"])
    assert place.sdk.metrics["curator_health"] == 1


def test_database_that_is_locked_holds_nobody_up(tmp_path):
    place = Place(tmp_path, patience=0.05)
    place.store.close()
    lock = sqlite3.connect(place.file)
    lock.execute("PRAGMA locking_mode=EXCLUSIVE")
    lock.execute("BEGIN EXCLUSIVE")
    try:
        for _ in range(2):
            status = place.status
            assert status["Health"] == "Failed"
            assert "does not answer" in status["HealthDetails"][0]
            assert status["Database"]["Answers"] is False
            assert status["Jobs"] == {}
    finally:
        lock.rollback()
        lock.close()
    stuck = [one for one in threading.enumerate() if one.name == "curator-status"]
    for thread in stuck:
        thread.join(HANGS)
    place.monitor._read_bounded._patience = HANGS  # the machine may be busy now
    assert place.status["Database"]["Answers"] is True
    assert place.status["Jobs"]["Pending"] == 0
    place.store.close()


def test_database_that_is_broken_is_told_without_what_it_says(place):
    with place.store.transaction() as connection:
        connection.exec_driver_sql("DROP TABLE curator_jobs")
    before = place.status
    assert before["Health"] == "Failed"
    assert before["HealthDetails"][0].startswith(
        "Curator's database does not answer: OperationalError"
    )
    assert "curator_jobs" not in json.dumps(before)


def test_last_numbers_stay_when_the_database_is_gone(place):
    place.engine.submit(Submission("Type", {}, frozenset()))
    assert place.status["Jobs"]["Pending"] == 1
    with place.store.transaction() as connection:
        connection.exec_driver_sql("DROP TABLE curator_jobs")
    status = place.status
    assert status["Jobs"]["Pending"] == 1
    assert "numbers are of 2" in status["HealthDetails"][0]
    with place.store.transaction() as connection:
        connection.exec_driver_sql("CREATE TABLE curator_jobs (id)")  # for the end of the test


def test_warnings_are_told_always_and_logged_once(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(monitor_module, "INTERVAL", 0.0)
    place = Place(tmp_path, RemoteAccessAllowed=True, AuthenticationEnabled=False)
    caplog.set_level(logging.WARNING, logger="curator")
    for _ in range(3):
        place.monitor._publish()
    warnings = place.status["Warnings"]
    assert any(one.startswith("$.AuthenticationEnabled: ") for one in warnings)
    assert any(one.endswith("ask for Detect: us") for one in warnings)
    assert [one.message for one in caplog.records] == [f"Configuration: {one}" for one in warnings]
    place.store.close()


def test_kind_of_file_system_is_that_of_the_nearest_mount(tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    mounts.write_text("d / ext4 rw 0 0\nt /a tmpfs rw 0 0\nd /a/b ext4 rw 0 0\n")
    monkeypatch.setattr(monitor_module, "_MOUNTS", mounts)
    kinds = [monitor_module._file_system(Path(path)) for path in ("/x", "/a/x", "/a/b/x", "/ab")]
    assert kinds == ["ext4", "tmpfs", "ext4", "ext4"]
    monkeypatch.setattr(monitor_module, "_MOUNTS", tmp_path / "none")
    assert monitor_module._file_system(Path("/x")) == ""
