"""Curator's database."""

import threading
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect, text

from curator.anonymize.mapping import Mappings
from curator.anonymize.profile_store import ProfileStore
from curator.anonymize.sequential import Sequential
from curator.journal import Entry, Journal
from curator.store import SCHEMA_VERSION, Store, StoreError, metadata


def row(job_id: str = "job", **values: Any) -> dict[str, Any]:
    return {
        "id": job_id,
        "type": "Test",
        "user": "",
        "priority": 0,
        "state": "Pending",
        "created": "20240101T000000.000000",
        "changed": "20240101T000000.000000",
        "runtime": 0.0,
        "progress": 0.0,
        "error_code": 0,
        "error_details": "",
        "claims": [],
        "request": {},
        "content": {},
        "user_data": None,
        "plan": None,
        "phase": "",
        **values,
    }


def execute(url: str, statement: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


ODD = {"text": "näme \u0000 \U0001f600", "list": [1, 2.5, None, True], "nested": {"a": {"b": []}}}


def test_a_job_is_read_as_it_was_written(store):
    written = row(
        claims=["b", "a"], request=ODD, content=ODD, user_data=ODD, runtime=0.1, priority=-(2**31)
    )
    store.add_job(written)
    store.update_job("job", plan=ODD)
    read = store.job("job")
    assert read == {key: value for key, value in written.items() if key != "plan"}
    assert store.plan("job") == ODD


def test_data_are_equal_after_opening_again(url):
    first = Store(url)
    first.add_job(row("a", request=ODD, user_data=[None]))
    first.add_job(row("b", state="Failure", error_details="why", plan=ODD, phase="Writing"))
    before = first.jobs(), first.plan("b"), first.count_jobs()
    first.close()
    second = Store(url)
    assert (second.jobs(), second.plan("b"), second.count_jobs()) == before
    second.close()


def test_the_directory_is_made_where_there_is_none(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'not' / 'yet' / 'curator.db'}")
    store.add_job(row())
    store.close()
    assert (tmp_path / "not" / "yet" / "curator.db").exists()


def test_a_database_of_a_newer_curator_is_refused_and_left_alone(url, tmp_path):
    Store(url).close()
    execute(url, "UPDATE curator_schema SET version = version + 1")
    with pytest.raises(StoreError, match=f"schema {SCHEMA_VERSION + 1}"):
        Store(url)
    execute(url, "UPDATE curator_schema SET version = version - 1")
    Store(url).close()


def test_the_version_is_noted_once(url):
    Store(url).close()
    Store(url).close()
    engine = create_engine(url)
    with engine.connect() as connection:
        versions = connection.execute(text("SELECT version FROM curator_schema")).scalars().all()
    engine.dispose()
    assert versions == [SCHEMA_VERSION]


#: The schema of the first release, whose jobs have to survive.
FIRST_SCHEMA = """
CREATE TABLE curator_schema (version INTEGER NOT NULL);
INSERT INTO curator_schema VALUES (1);
CREATE TABLE curator_jobs (
    id VARCHAR(36) NOT NULL PRIMARY KEY, type VARCHAR(64) NOT NULL, user TEXT NOT NULL,
    priority INTEGER NOT NULL, state VARCHAR(16) NOT NULL, created VARCHAR(32) NOT NULL,
    changed VARCHAR(32) NOT NULL, runtime FLOAT NOT NULL, progress FLOAT NOT NULL,
    error_code INTEGER NOT NULL, error_details TEXT NOT NULL, claims JSON NOT NULL,
    request JSON NOT NULL, content JSON NOT NULL, user_data JSON, plan JSON,
    phase VARCHAR(16) NOT NULL
);
CREATE INDEX ix_curator_jobs_state ON curator_jobs (state);
INSERT INTO curator_jobs VALUES (
    'done', 'CuratorSplit', 'operator', 5, 'Success', '20240101T000000.000000',
    '20240101T000001.000000', 1.5, 1.0, 0, '', '["study"]', '{"ID": "study"}',
    '{"Description": "REST API"}', '[null]', NULL, ''
);
INSERT INTO curator_jobs VALUES (
    'left', 'CuratorSplit', '', 0, 'Running', '20240102T000000.000000',
    '20240102T000001.000000', 0.5, 0.25, 0, '', '["other"]', '{"ID": "other"}',
    '{}', NULL, '{"Digest": "d"}', 'Writing'
);
"""


@pytest.fixture
def first(url):
    """A database that the first release has left."""
    for statement in FIRST_SCHEMA.split(";"):
        if statement.strip():
            execute(url, statement)
    return url


def test_an_older_database_is_upgraded_and_keeps_its_jobs(first):
    for _ in range(2):
        store = Store(first)
        done, left = store.jobs()
        assert (done["id"], done["user"], done["priority"], done["state"]) == (
            *("done", "operator", 5, "Success"),
        )
        assert (done["claims"], done["user_data"], done["runtime"]) == (["study"], [None], 1.5)
        assert (left["id"], left["phase"], left["progress"]) == ("left", "Writing", 0.25)
        assert store.plan("left") == {"Digest": "d"}
        assert [one["id"] for one in store.unfinished_jobs(["Running"])] == ["left"]
        assert store.rows(text("SELECT version FROM curator_schema")) == [
            {"version": SCHEMA_VERSION}
        ]
        store.close()


def test_an_upgraded_database_has_all_tables_of_a_new_one(first, tmp_path):
    fresh = f"sqlite:///{tmp_path / 'fresh.db'}"
    found = []
    for one in (first, fresh):
        Store(one).close()
        engine = create_engine(one)
        inspector = inspect(engine)
        found.append(
            {
                name: [column["name"] for column in inspector.get_columns(name)]
                for name in inspector.get_table_names()
            }
        )
        engine.dispose()
    assert found[0] == found[1]
    assert len(found[0]) == len(metadata.tables)


def test_an_upgraded_database_takes_operations(first):
    store = Store(first)
    journal = Journal(store)
    journal.enter(Entry("op", "Merge", "Study", "study", "done", "operator", {}, {}))
    journal.spool("op", {("instance", 1): b"DICM"})
    assert [row["id"] for row in journal.operations()] == ["op"]
    assert journal.spooled_file("op", "instance", 1) == b"DICM"
    store.close()


def test_an_upgraded_database_takes_profiles_pseudonyms_and_mappings(first):
    store = Store(first)
    profiles = ProfileStore(store)
    profiles.put("trial", "1", {"Name": "trial"}, "operator", lambda _kept: False)
    Mappings(store).note("trial", {"old": "new"})
    assert Sequential(store, [b"key"])("T-", "old") == "T-000001"
    store.close()
    again = Store(first)
    kept = ProfileStore(again).current("trial")
    assert kept is not None
    assert (kept.content, kept.user) == ({"Name": "trial"}, "operator")
    assert Mappings(again).pairs("trial") == [("old", "new")]
    assert Sequential(again, [b"key"])("T-", "old") == "T-000001"
    assert [one["id"] for one in again.jobs()] == ["done", "left"]
    again.close()


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "nonsense",
        "unknown://host/db",
        "postgresql+nodriver://host/db",
        "postgresql://host:port/db",
        "sqlite:////proc/not/possible/curator.db",
    ],
)
def test_a_database_that_cannot_be_opened_names_its_setting(bad):
    with pytest.raises(StoreError, match=r"^\$\.Curator\.Database: "):
        Store(bad)


def test_a_directory_that_cannot_be_made_is_told():
    with pytest.raises(StoreError, match="No such file or directory"):
        Store("sqlite:////proc/not/possible/curator.db")


def test_a_file_that_is_no_database_is_refused(tmp_path):
    path = tmp_path / "curator.db"
    path.write_bytes(b"no database " * 1000)
    with pytest.raises(StoreError, match=r"^\$\.Curator\.Database: "):
        Store(f"sqlite:///{path}")
    assert path.read_bytes() == b"no database " * 1000


def test_the_refusal_does_not_show_the_url():
    with pytest.raises(StoreError) as raised:
        Store("unknown://user:secret@host/db")
    assert "secret" not in str(raised.value)


def test_unknown_jobs_are_none_and_no_error(store):
    assert store.job("x") is None
    assert store.plan("x") is None
    store.update_job("x", state="Running")
    store.delete_job("x")
    assert store.jobs() == []


def test_jobs_come_in_the_order_of_their_creation(store):
    for number in (3, 1, 2):
        store.add_job(row(f"job-{number}", created=f"2024010{number}T000000.000000"))
    assert [one["id"] for one in store.jobs()] == ["job-1", "job-2", "job-3"]


def test_jobs_are_selected_and_counted_by_state(store):
    for number, state in enumerate(["Pending", "Running", "Running", "Success"]):
        store.add_job(row(str(number), state=state))
    assert [one["id"] for one in store.jobs(["Running", "Pending"])] == ["0", "1", "2"]
    assert store.count_jobs() == {"Pending": 1, "Running": 2, "Success": 1}
    assert sorted(store.job_ids()) == ["0", "1", "2", "3"]


def test_unfinished_are_also_jobs_that_left_changes(store):
    store.add_job(row("a", state="Running"))
    store.add_job(row("b", state="Failure", phase="Writing"))
    store.add_job(row("c", state="Failure"))
    store.add_job(row("d", state="Success"))
    assert [one["id"] for one in store.unfinished_jobs(["Running"])] == ["a", "b"]


def test_the_latest_finished_jobs_are_kept(store):
    for number in range(6):
        store.add_job(row(str(number), state="Success", changed=f"2024010{number + 1}T"))
    store.add_job(row("active", changed="2000"))
    store.forget_jobs(["Success", "Failure"], keep=2)
    assert sorted(store.job_ids()) == ["4", "5", "active"]


def test_a_job_that_left_changes_is_never_forgotten(store):
    store.add_job(row("left", state="Failure", phase="Writing", changed="2000"))
    store.add_job(row("old", state="Failure", changed="2001"))
    store.add_job(row("new", state="Failure", changed="2002"))
    store.forget_jobs(["Failure"], keep=1)
    assert sorted(store.job_ids()) == ["left", "new"]


def test_threads_write_at_once_and_nothing_is_lost(store):
    count, threads = 25, 4
    together = threading.Barrier(threads)
    failures: list[BaseException] = []

    def write(thread: int) -> None:
        try:
            together.wait()
            for number in range(count):
                job_id = f"{thread}-{number}"
                store.add_job(row(job_id))
                store.update_job(job_id, progress=0.5, content={"n": number})
                assert store.job(job_id) is not None
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    workers = [threading.Thread(target=write, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    found = store.jobs()
    assert len(found) == count * threads
    assert {one["progress"] for one in found} == {0.5}


def test_two_stores_share_one_file(url, store):
    other = Store(url)
    store.add_job(row("a"))
    other.update_job("a", state="Running")
    assert store.job("a")["state"] == "Running"
    other.close()
