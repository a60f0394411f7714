"""The journal: what is kept of operations, and for how long."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from curator.journal import Action, Change, Entry, Follow, Journal, State, Taken
from curator.store import Store, follows, operations
from unit.test_store import row

DAYS = 90


@pytest.fixture
def journal(store):
    return Journal(store)


def entry(operation_id: str = "op", **values: Any) -> Entry:
    return Entry(
        **{
            "id": operation_id,
            "kind": "Merge",
            "level": "Study",
            "resource": "study",
            "job": f"job of {operation_id}",
            "user": "operator",
            "origin": {"Endpoint": "POST /studies/study/merge"},
            "request": {"Resources": ["other"]},
            **values,
        }
    )


def change(number: int = 0, **values: Any) -> Change:
    return Change(
        **{
            "action": Action.MOVED,
            "old": f"old-{number}",
            "new": f"new-{number}",
            "old_uid": f"1.{number}",
            "new_uid": f"2.{number}",
            "file_uuid": f"file-{number}",
            "state": {"Labels": ["a"]},
            "way_back": bytes([number, 0, 255]),
            **values,
        }
    )


def days_ago(days: float) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).strftime("%Y%m%dT%H%M%S.%f")


def age(store: Store, operation_id: str, days: float) -> None:
    """Let an operation have been entered so many days ago."""
    with store.transaction() as connection:
        values = update(operations).values(created=days_ago(days))
        connection.execute(values.where(operations.c.id == operation_id))


def fill(journal: Journal, operation_id: str) -> None:
    """Keep something of every kind."""
    journal.enter(entry(operation_id))
    journal.set_plan(operation_id, {"Kind": "Merge"})
    journal.record(operation_id, [change()], [State("Study", "study", {"Labels": []})])
    journal.spool(operation_id, {("study", 1031): b"report"})
    journal.follow([Follow(f"moved by {operation_id}", "Study", operation_id)], 30)


def what_is_kept(journal: Journal, operation_id: str) -> list[object]:
    followed = [one for one in journal.followed().values() if one.operation == operation_id]
    return [
        journal.operation(operation_id),
        journal.plan(operation_id),
        *journal.changes(operation_id),
        *journal.states(operation_id),
        *journal.spooled(operation_id),
        *followed,
    ]


def test_an_entry_is_read_as_it_was_written(journal):
    journal.enter(entry())
    row = journal.operation("op")
    assert row is not None
    assert {key: row[key] for key in vars(entry())} == vars(entry())
    assert (row["done"], row["ended"], row["content"], row["reverted_by"]) == (False, "", {}, None)
    assert days_ago(1) < row["created"] < days_ago(-1)
    assert "plan" not in row
    assert journal.operation("other") is None


def test_an_identifier_is_taken_once(journal):
    journal.enter(entry())
    with pytest.raises(Taken):
        journal.enter(entry(user="someone else"))
    row = journal.operation("op")
    assert row is not None
    assert row["user"] == "operator"


def test_the_latest_comes_first(journal, store):
    for number, operation_id in enumerate("abc"):
        journal.enter(entry(operation_id))
        age(store, operation_id, (5, 1, 3)[number])
    assert [row["id"] for row in journal.operations()] == ["b", "c", "a"]


def test_the_end_is_noted_with_the_result(journal):
    journal.enter(entry())
    journal.set_plan("op", {"Digest": "d"})
    journal.finish("op", {"InstancesCount": 3})
    row = journal.operation("op")
    assert row is not None
    assert (row["done"], row["content"]) == (True, {"InstancesCount": 3})
    assert row["ended"] >= row["created"]
    assert journal.plan("op") == {"Digest": "d"}


def test_changes_come_in_the_order_of_the_plan(journal):
    journal.enter(entry())
    changes = [change(2), change(0, way_back=None), change(1, action=Action.DROPPED)]
    states = [State("Series", "s", {"Metadata": {"Ward": "näme"}}), State("Study", "s", {})]
    journal.record("op", changes, states)
    assert list(journal.changes("op")) == changes
    assert sorted(journal.states("op"), key=lambda one: one.level) == states
    assert list(journal.changes("other")) == []


def test_what_is_recorded_again_takes_the_place_of_what_was(journal):
    journal.enter(entry())
    journal.enter(entry("other"))
    journal.record("other", [change(9)], [State("Study", "s", {})])
    journal.record("op", [change(0), change(1)], [State("Study", "s", {})])
    journal.record("op", [change(2)], [])
    assert list(journal.changes("op")) == [change(2)]
    assert journal.states("op") == []
    assert list(journal.changes("other")) == [change(9)]


def test_files_are_noted_by_the_new_identifier(journal):
    journal.enter(entry())
    journal.record("op", [change(0), change(1)], [])
    journal.set_files("op", {"new-1": "later"})
    assert [one.file_uuid for one in journal.changes("op")] == ["file-0", "later"]


def test_spooled_files_are_read_by_resource_and_number(journal):
    journal.enter(entry())
    journal.spool("op", {("a", 1): b"dicom", ("a", 1031): b"", ("b", 1): b"other"})
    journal.spool("other", {("a", 1): b"of another operation"})
    assert sorted(journal.spooled("op")) == [("a", 1), ("a", 1031), ("b", 1)]
    assert journal.spooled_file("op", "a", 1) == b"dicom"
    assert journal.spooled_file("op", "a", 1031) == b""
    assert journal.spooled_file("op", "a", 2) is None
    journal.spool("op", {("a", 1): b"again"})
    assert journal.spooled_file("op", "a", 1) == b"again"
    journal.unspool("op", ["a"])
    assert journal.spooled("op") == [("b", 1)]
    assert journal.spooled_file("other", "a", 1) == b"of another operation"


def test_to_forget_takes_all_that_belongs_to_an_operation_and_no_more(journal):
    fill(journal, "a")
    fill(journal, "b")
    others = what_is_kept(journal, "b")
    journal.forget("a")
    assert what_is_kept(journal, "a") == [None, None]
    assert what_is_kept(journal, "b") == others
    assert len(others) == 6


def test_to_discard_leaves_the_entry(journal):
    fill(journal, "a")
    fill(journal, "b")
    others = what_is_kept(journal, "b")
    journal.discard("a")
    assert journal.operation("a") is not None
    assert [*journal.changes("a"), *journal.states("a"), *journal.spooled("a")] == []
    assert what_is_kept(journal, "b") == others


def test_what_is_old_expires_with_all_that_belongs_to_it(journal, store):
    for operation_id, days in (("old", DAYS + 1), ("young", DAYS - 1)):
        fill(journal, operation_id)
        journal.finish(operation_id, {})
        age(store, operation_id, days)
    young = what_is_kept(journal, "young")
    journal.expire(DAYS)
    assert what_is_kept(journal, "old") == [None, None]
    assert what_is_kept(journal, "young") == young


@pytest.mark.parametrize(
    ("state", "phase", "stays"),
    [
        ("Running", "", True),
        ("Paused", "Writing", True),
        ("Failure", "Committed", True),
        ("Failure", "", False),
        (None, "", False),
    ],
)
def test_what_is_not_done_expires_once_its_job_has_left_nothing(
    journal, store, state, phase, stays
):
    fill(journal, "op")
    age(store, "op", 100 * DAYS)
    before = what_is_kept(journal, "op")
    if state is not None:
        store.add_job(row(journal.operation("op")["job"], state=state, phase=phase))
    journal.expire(DAYS)
    assert what_is_kept(journal, "op") == (before if stays else [None, None])


def test_an_undo_is_noted(journal):
    journal.enter(entry())
    journal.reverted("op", "undo")
    row = journal.operation("op")
    assert row is not None
    assert row["reverted_by"] == "undo"


def test_what_has_moved_is_followed_by_its_old_identifier(journal):
    journal.follow([Follow("a", "Study", "op"), Follow("b", "Series", "op")], 30)
    assert journal.followed() == {
        "a": Follow("a", "Study", "op"),
        "b": Follow("b", "Series", "op"),
    }


def test_the_latest_operation_is_followed(journal):
    journal.follow([Follow("a", "Study", "first")], 30)
    journal.follow([Follow("a", "Study", "second")], 30)
    assert journal.followed() == {"a": Follow("a", "Study", "second")}


def test_what_an_operation_moved_is_not_followed_when_asked(journal):
    journal.follow([Follow("a", "Study", "op"), Follow("b", "Study", "other")], 30)
    assert set(journal.followed()) == {"a", "b"}
    journal.unfollow("op")
    assert set(journal.followed()) == {"b"}


def test_what_has_moved_is_followed_for_its_time(journal, store):
    journal.follow([Follow("a", "Study", "op"), Follow("b", "Study", "op")], 30)
    with store.transaction() as connection:
        old = update(follows).values(expires=days_ago(0.01)).where(follows.c.orthanc_id == "a")
        connection.execute(old)
    assert set(Journal(store).followed()) == {"b"}
    journal.expire(DAYS)
    assert set(journal.followed()) == {"b"}
    assert [row["orthanc_id"] for row in store.rows(follows.select())] == ["b"]


def test_a_new_journal_knows_what_an_old_one_followed(journal, store):
    journal.follow([Follow("a", "Study", "op")], 30)
    assert set(Journal(store).followed()) == {"a"}
