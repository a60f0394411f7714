"""Runs in the database: added once, taken once, never forgotten."""

from dataclasses import replace

import pytest

from curator.level import Level
from curator.route.kinds import DeliveryState, RunState, Trigger
from curator.route.ledger import Ledger
from curator.route.run import Run, Subject
from curator.route.runs import NEVER, Runs
from curator.store import Store
from unit.route.delivering import START, Clock, opened


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def runs(store, clock) -> Runs:
    return Runs(store, clock)


def a_run(run_id: str, *instances: str, **fields) -> Run:
    made = Run(
        id=run_id,
        rule="rule",
        version="1",
        trigger=Trigger.STORED_INSTANCE,
        level=Level.SERIES,
        resource="series",
        priority=0,
        due=START + 1,
        subjects=tuple(Subject(Level.INSTANCE, one) for one in instances),
        content={"Name": "rule"},
        created=START,
        changed=START,
    )
    return replace(made, **fields)


def add(store: Store, runs: Runs, *added: Run) -> None:
    with store.transaction() as connection:
        runs.add(added, connection)


def join(store: Store, runs: Runs, joining: Run, limit: int = 3) -> None:
    with store.transaction() as connection:
        runs.join(joining, limit, connection)


def ids(found: list[Run]) -> list[str]:
    return [one.id for one in found]


def test_a_run_is_read_as_it_was_added(store, runs):
    added = a_run("a", "i", event={"Event": "x"}, deadline=START, begun=START, user="me")
    add(store, runs, added)
    assert runs.get("a") == added
    assert runs.get("b") is None


def test_instances_gather_until_there_are_enough(store, runs, clock):
    join(store, runs, a_run("a", "1"))
    join(store, runs, a_run("b", "2", "1"))
    assert runs.due(clock(), 10) == []
    join(store, runs, a_run("c", "3"))
    (full,) = runs.due(clock(), 10)
    assert [one.orthanc_id for one in full.subjects] == ["1", "2", "3"]
    join(store, runs, a_run("d", "4"))
    assert {one.id: len(one.subjects) for one in runs.find()} == {"a": 3, "d": 1}


@pytest.mark.parametrize("other", [{"rule": "x"}, {"version": "2"}, {"resource": "x"}])
def test_only_instances_of_the_same_rule_and_series_gather(store, runs, other):
    join(store, runs, a_run("a", "1"))
    join(store, runs, a_run("b", "2", **other))
    assert len(runs.find()) == 2


def test_a_run_that_is_at_work_takes_no_more_instances(store, runs, clock):
    join(store, runs, a_run("a", "1"))
    clock.now += 1
    taken = runs.take("a")
    assert taken is not None
    assert taken.state == RunState.RUNNING
    join(store, runs, a_run("b", "2"))
    assert {one.id: len(one.subjects) for one in runs.find()} == {"a": 1, "b": 1}


def test_a_run_is_taken_once(store, runs):
    add(store, runs, a_run("a"))
    assert runs.take("a") is not None
    assert runs.take("a") is None


def test_higher_priorities_come_first_and_in_turn_the_oldest(store, runs):
    add(store, runs, a_run("old", due=1.0), a_run("high", due=2.0, priority=9))
    add(store, runs, a_run("later", due=START + 9, priority=99))
    assert ids(runs.due(START, 10)) == ["high", "old"]
    assert ids(runs.due(START, 10, oldest=True)) == ["old", "high"]
    assert runs.next_due() == 1.0


def test_steps_that_make_instances_have_workers_of_their_own(store, runs):
    add(store, runs, a_run("quick", due=1.0), a_run("slow", due=2.0, job="job"))
    assert ids(runs.due(START, 10)) == ["quick"]
    assert ids(runs.due(START, 10, making=True)) == ["slow"]
    assert runs.next_due(making=True) == 2.0


def test_runs_of_a_paused_rule_are_passed_over_and_wake_nobody(store, runs):
    add(store, runs, a_run("a", due=1.0))
    assert runs.due(START, 10, without={"rule"}) == []
    assert runs.next_due(without={"rule"}) is None
    assert ids(runs.due(START, 10, without={"other"})) == ["a"]


def test_nothing_that_only_an_event_brings_on_wakes_anybody(store, runs, clock):
    add(store, runs, a_run("a", state=RunState.SENDING, due=NEVER))
    assert runs.next_due() is None
    runs.bring_on("a")
    taken = runs.take("a")
    assert taken is not None
    assert taken.state == RunState.SENDING
    assert runs.due(clock(), 10) == []


def test_what_a_stop_has_interrupted_comes_up_again(store, runs, clock):
    add(
        store,
        runs,
        a_run("running", state=RunState.RUNNING, due=NEVER),
        a_run("sent", state=RunState.SENDING, due=NEVER),
        a_run("sending", state=RunState.SENDING, due=NEVER),
        a_run("held", state=RunState.HELD),
        a_run("ahead", due=START + 10**8),
    )
    ledger = Ledger(store, clock)
    assert opened(ledger, "sending").state == DeliveryState.QUEUED
    runs.recover()
    assert sorted(ids(runs.due(clock(), 10))) == ["ahead", "running", "sent"]


def test_a_run_moves_only_from_a_state_that_was_expected(store, runs):
    add(store, runs, a_run("a"))
    assert not runs.move("a", (RunState.RUNNING,), position=3)
    assert runs.move("a", (RunState.WAITING,), position=3, state=RunState.DONE)
    assert runs.get("a").position == 3


def test_what_was_not_sent_is_never_forgotten(store, runs):
    for state in RunState:
        add(store, runs, a_run(state, state=state))
    assert runs.expire(START + 1) == 2
    kept = {one.state for one in runs.find()}
    assert kept == set(RunState) - {RunState.DONE, RunState.CANCELED}


def test_runs_are_found_and_counted(store, runs):
    add(store, runs, a_run("a", created=1.0), a_run("b", created=2.0, rule="other"))
    add(store, runs, a_run("c", created=3.0, state=RunState.DONE, resource="x"))
    assert ids(runs.find()) == ["c", "b", "a"]
    assert ids(runs.find(since=1, limit=1)) == ["b"]
    assert ids(runs.find(states=[RunState.WAITING], rule="rule")) == ["a"]
    assert ids(runs.find(resource="x")) == ["c"]
    assert runs.counts()[RunState.WAITING] == 2
    assert runs.counts()[RunState.FAILED] == 0
    assert runs.counts_by_rule()["rule"] == {RunState.WAITING: 1, RunState.DONE: 1}
    assert runs.waiting("rule", "series").id == "a"
    assert runs.waiting("rule", "series", "2") is None


def test_originals_are_kept_as_they_were_first(store, runs):
    runs.note_originals("a", {"1": "f", "2": "g"})
    runs.note_originals("a", {"1": "other"})
    runs.spare("a", ["2"])
    assert runs.originals("a") == {"1": "f", "2": ""}
