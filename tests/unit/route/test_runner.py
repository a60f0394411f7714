"""Runs from the event to the end: what keeps them, what ends them, and every place to be killed."""

import threading

import pytest
from hypothesis import settings
from sqlalchemy.exc import OperationalError

from curator.dicom import reader
from curator.dicom.tags import parse_path
from curator.errors import Conflict, ErrorCode, NotFound
from curator.level import Level
from curator.route.delivery_rows import Filter
from curator.route.kinds import UNFINISHED_RUNS, DeliveryState, RunState
from curator.route.retry import Settlement
from curator.route.rule import Rule
from curator.route.runner import LONGEST_WAIT
from factory import ct_series, mr_series
from unit.reshape.memory import Crash, SteppedStore, Steps
from unit.reshape.worlds import copied
from unit.route.running import ANONYMIZE, START, Clock, Routed, RoutingOrthanc, rule

THOROUGH = 2000
"""Examples of a run in which time does not matter."""

PLACES = 8
"""Places to be killed that an ordinary run tries."""

SEND = {"Send": ["modality:PACS"]}
BOTH = {"Send": ["modality:PACS", "peer:far"]}
MODIFY = {"Modify": {"Replace": {"StudyDescription": "Changed"}}}
SPLIT = {"Split": {"By": ["Modality"], "Into": "Studies"}}


@pytest.fixture
def routed(store) -> Routed:
    clock = Clock()
    orthanc = RoutingOrthanc(clock)
    orthanc.arrive(ct_series(3))
    return Routed(orthanc, store, clock)


def study_of(routed: Routed) -> str:
    return next(iter(routed.orthanc.of(Level.STUDY)))


# What a run waits for


def test_a_run_of_a_deleted_study_is_canceled_and_says_so(routed):
    study = study_of(routed)
    run_id = routed.fire(rule(SEND), study)
    routed.orthanc.remove(study)
    routed.work()
    assert routed.state(run_id) == RunState.CANCELED
    assert "was deleted" in routed.run(run_id).error


def test_a_study_that_is_deleted_between_two_steps_cancels_the_run(routed):
    study = study_of(routed)
    run_id = routed.fire(rule(ANONYMIZE, SEND), study)
    assert routed.runner.advance(making=False)
    routed.orthanc.remove(study)
    routed.work()
    assert routed.state(run_id) == RunState.CANCELED
    assert routed.ledger.find(Filter()) == []


@pytest.mark.parametrize("step", [ANONYMIZE, SEND], ids=["anonymize", "send"])
@pytest.mark.parametrize(("gone", "arrive"), [(3, 0), (1, 2)], ids=["all", "one"])
def test_what_is_deleted_while_it_is_read_is_no_failure(routed, step, gone, arrive):
    routed.orthanc.keeps_md5 = False  # so that files are read to send them, too
    read = routed.orthanc.GetDicomForInstance
    deleted = sorted(routed.orthanc.files)[:gone]

    def read_late(instance: str) -> bytes:
        while deleted:
            routed.orthanc.remove(deleted.pop())
        return read(instance)

    steps = [step] if step == SEND else [step, SEND]
    run_id = routed.fire(rule(*steps), study_of(routed))
    routed.orthanc.GetDicomForInstance = read_late
    routed.work()
    routed.wait(3600)
    assert len(routed.deliver()) == arrive
    routed.work()
    assert routed.state(run_id) == (RunState.DONE if arrive else RunState.CANCELED)


def test_conditions_are_asked_again(routed):
    condition = {"Not": {"Label": "stop"}}
    study = study_of(routed)
    run_id = routed.fire(rule(SEND, If=condition), study)
    routed.orthanc.nodes[study].labels.add("stop")
    routed.work()
    assert routed.state(run_id) == RunState.CANCELED
    assert routed.run(run_id).error.endswith("$.If.Not")


def test_a_window_of_the_condition_is_that_of_the_event(routed):
    condition = {"Time": "00:00-24:00"}
    run_id = routed.fire(rule(SEND, If=condition), study_of(routed))
    routed.clock.now += 12 * 3600
    routed.work()
    assert routed.state(run_id) == RunState.SENDING


def test_what_cannot_be_decided_is_tried_again_and_fails_in_the_end(routed):
    condition = {"Tag": "ImageComments", "Exists": False}
    fields = {"If": condition, "Retry": {"Attempts": 2, "First": 10, "Max": 10}}
    run_id = routed.fire(rule(SEND, **fields), study_of(routed))
    instance = routed.orthanc.below(study_of(routed))[0]
    routed.orthanc.failing["GET", "/instances/"] = ErrorCode.INEXISTENT_FILE
    routed.work()
    assert routed.state(run_id) == RunState.WAITING
    routed.wait(10)
    assert routed.state(run_id) == RunState.FAILED
    assert "cannot be decided" in routed.run(run_id).error
    assert routed.ledger.find(Filter()) == []
    assert instance in routed.orthanc.files


def complete(then: str) -> Rule:
    return rule(SEND, Complete={"Counts": {"Series": 2}, "Deadline": 100, "Then": then})


def test_a_run_waits_until_its_study_is_complete(routed):
    run_id = routed.fire(complete("Hold"), study_of(routed))
    routed.work()
    run = routed.run(run_id)
    assert run.state == RunState.WAITING
    assert "Series: 1 of 2" in run.error
    assert run.deadline == START + 100
    routed.orthanc.arrive(mr_series(2, study="study", PatientID="SYN0001"))
    routed.wait(50)
    assert len(routed.deliver()) == 5


@pytest.mark.parametrize("then", ["Proceed", "Alert"])
def test_an_incomplete_study_goes_at_the_deadline_where_the_rule_says_so(routed, then):
    run_id = routed.fire(complete(then), study_of(routed))
    routed.work()
    routed.wait(100)
    assert routed.state(run_id) == RunState.SENDING
    assert "incomplete" in routed.run(run_id).error


def test_an_incomplete_study_is_held_until_a_user_releases_it(routed):
    run_id = routed.fire(complete("Hold"), study_of(routed))
    routed.work()
    routed.wait(100)
    assert routed.state(run_id) == RunState.HELD
    routed.wait(10_000)
    assert routed.state(run_id) == RunState.HELD
    routed.runner.release(run_id)
    routed.work()
    assert routed.state(run_id) == RunState.SENDING


def test_runs_of_a_paused_rule_wait(routed):
    run_id = routed.fire(rule(SEND), study_of(routed))
    routed.paused = frozenset({"rule"})
    routed.work()
    assert routed.state(run_id) == RunState.WAITING
    routed.paused = frozenset()
    routed.work()
    assert routed.state(run_id) == RunState.SENDING


def test_an_unreadable_rule_fails_its_run(routed):
    run_id = routed.fire(rule(SEND), study_of(routed))
    routed.runs.change(run_id, content={"Name": "rule"})
    routed.work()
    assert routed.state(run_id) == RunState.FAILED


# What rules make fires no rule


def test_what_a_rule_has_made_fires_no_rule(routed):
    before = set(routed.orthanc.nodes)
    routed.route(rule(ANONYMIZE, SEND, KeepCopies=True), study_of(routed))
    new = [one for one in routed.orthanc.nodes if one not in before]
    for resource in new:
        if routed.orthanc.nodes[resource].level != Level.INSTANCE:
            run_id = routed.fire(rule(SEND, Name="other"), resource)
            routed.work()
            assert routed.runs.get(run_id) is None
    series = next(one for one in new if routed.orthanc.nodes[one].level == Level.SERIES)
    batch = routed.orthanc.below(series)
    run_id = routed.fire(rule(SEND, Name="other", When="StoredInstance"), series, *batch)
    routed.work()
    assert routed.runs.get(run_id) is None


def test_a_batch_goes_without_what_rules_have_made(routed):
    series = next(iter(routed.orthanc.of(Level.SERIES)))
    originals = routed.orthanc.below(series)
    routed.route(
        rule(MODIFY, When="StoredInstance", KeepCopies=True, Name="maker"), series, originals[0]
    )
    everything = routed.orthanc.below(series)
    assert len(everything) == 4
    routed.fire(rule(SEND, When="StoredInstance"), series, *everything)
    routed.work()
    assert sorted(routed.deliver()) == sorted(originals)


def test_a_study_is_split_once_though_the_parts_are_in_it(routed):
    study = study_of(routed)
    routed.clock.now += 60
    routed.orthanc.arrive(mr_series(1, study="study", echo_times=(10.0, 20.0), PatientID="SYN0001"))
    routed.clock.now += 60
    split = rule({"Split": {"By": ["EchoTime"], "Into": "Series", "Missing": "Group"}})
    first = routed.route(split, study)
    assert first.state == RunState.DONE, first.error
    count = len(routed.orthanc.of(Level.SERIES))
    routed.clock.now += 60
    again = routed.fire(split, study)
    routed.work()
    assert routed.runs.get(again) is None
    assert len(routed.orthanc.of(Level.SERIES)) == count


def test_what_follows_into_a_moved_study_is_sent_under_it_and_not_split_again(routed):
    routed.orthanc.arrive(mr_series(2, study="study", PatientID="SYN0001"))
    routing = rule(SPLIT, SEND)
    routed.route(routing, study_of(routed))
    moved = next(iter(routed.orthanc.of(Level.STUDY)))
    node = routed.orthanc.nodes[routed.orthanc.below(moved)[0]]
    path = parse_path("StudyInstanceUID")
    study_uid = reader.read(node.attachments[1], [path]).string(path)
    routed.clock.now += 60
    (late,) = routed.orthanc.arrive(ct_series(1, series="late", StudyInstanceUID=study_uid))
    run_id = routed.fire(routing, moved)
    routed.work()
    assert routed.deliver() == [late]
    routed.work()
    assert routed.state(run_id) == RunState.DONE
    assert late in routed.orthanc.files


def test_what_a_step_may_just_be_making_is_waited_for(routed):
    making = routed.fire(rule(ANONYMIZE, SEND, Name="maker"), study_of(routed))
    assert routed.runner.advance(making=False)
    assert routed.run(making).job
    (copy, *_) = [routed.orthanc.put_instance(one)[0] for one in ct_series(2, study="copy")]
    study = routed.orthanc.nodes[routed.orthanc.nodes[copy].parent].parent
    run_id = routed.fire(rule(SEND), study)
    assert routed.runner.advance(making=False)
    assert routed.state(run_id) == RunState.WAITING
    routed.work()
    routed.wait(2)
    assert routed.state(run_id) == RunState.SENDING


# Users


def test_a_canceled_run_leaves_nothing(routed):
    before = routed.orthanc.state()
    run_id = routed.fire(rule(ANONYMIZE, BOTH), study_of(routed))
    routed.work()
    routed.deliver("modality:PACS")
    assert routed.runner.cancel(run_id).state == RunState.CANCELED
    routed.work()
    assert routed.orthanc.state() == before
    assert routed.deliver() == []
    with pytest.raises(Conflict, match="Canceled"):
        routed.runner.cancel(run_id)


def test_a_run_that_is_canceled_in_the_middle_of_a_step_leaves_nothing(routed):
    before = routed.orthanc.state()
    run_id = routed.fire(rule(MODIFY, SEND), study_of(routed))
    put = routed.orthanc.put_instance

    def cancel_meanwhile(dicom: bytes) -> tuple[str, str]:
        if routed.state(run_id) != RunState.CANCELED:
            routed.runner.cancel(run_id)
        return put(dicom)

    routed.orthanc.put_instance = cancel_meanwhile
    routed.work()
    assert routed.state(run_id) == RunState.CANCELED
    assert routed.orthanc.state() == before


def test_a_canceled_run_can_begin_again(routed):
    run_id = routed.fire(rule(ANONYMIZE, SEND), study_of(routed))
    routed.runner.cancel(run_id)
    routed.work()
    routed.runner.retry(run_id)
    routed.work()
    assert len(routed.deliver()) == 3


def test_what_has_moved_is_not_moved_again_by_a_retry(routed):
    routed.orthanc.arrive(mr_series(2, study="study", PatientID="SYN0001"))
    run_id = routed.fire(rule(SPLIT, SEND), study_of(routed))
    routed.work()
    routed.ledger.cancel_all(Filter(run=run_id), "user")
    routed.work()
    assert routed.state(run_id) == RunState.CANCELED
    routed.runner.retry(run_id)
    routed.work()
    assert len(routed.deliver()) == 5
    routed.work()
    assert routed.state(run_id) == RunState.DONE
    assert len(routed.orthanc.files) == 5


def test_a_retry_opens_anew_what_was_canceled_and_sends_nothing_twice(routed):
    run_id = routed.fire(rule(ANONYMIZE, BOTH), study_of(routed))
    routed.work()
    assert len(routed.deliver("modality:PACS")) == 3
    routed.ledger.cancel_all(Filter(run=run_id), "user")
    routed.work()
    assert routed.state(run_id) == RunState.CANCELED
    routed.runner.retry(run_id)
    routed.work()
    assert routed.deliver("modality:PACS") == []
    assert len(routed.deliver("peer:far")) == 3
    routed.work()
    assert routed.state(run_id) == RunState.DONE


def test_a_retry_does_not_take_what_was_redirected_in_vain_for_delivered(routed):
    run_id = routed.fire(rule(SEND, {"Delete": True}), study_of(routed))
    routed.work()
    delivery = routed.ledger.of_run(run_id)[0]
    routed.ledger.redirect(delivery.id, "peer:far", "user")
    routed.ledger.cancel_all(Filter(run=run_id), "user")
    routed.work()
    routed.runner.retry(run_id)
    routed.work()
    assert routed.state(run_id) == RunState.SENDING
    assert len(routed.orthanc.files) == 3
    assert len(routed.deliver()) == 3
    routed.work()
    assert (routed.state(run_id), len(routed.orthanc.files)) == (RunState.DONE, 0)


def test_a_retry_waits_for_the_courier_of_what_was_canceled(routed):
    run_id = routed.fire(rule(SEND), study_of(routed))
    routed.work()
    taken = routed.ledger.take("modality:PACS", routed.clock())
    assert taken is not None
    routed.runner.cancel(run_id)
    with pytest.raises(Conflict, match="ending"):
        routed.runner.retry(run_id)
    routed.ledger.settle(taken, Settlement(DeliveryState.QUEUED, 1))
    routed.runner.retry(run_id)
    routed.work()
    assert len(routed.deliver()) == 3


@pytest.mark.parametrize("action", ["retry", "cancel", "release"])
def test_there_is_nothing_to_do_for_an_unknown_run_or_one_that_is_done(routed, action):
    act = getattr(routed.runner, action)
    with pytest.raises(NotFound):
        act("unknown")
    run = routed.route(rule(SEND), study_of(routed))
    with pytest.raises(Conflict, match="Done"):
        act(run.id)


def test_copies_that_cannot_be_removed_now_are_removed_later(routed):
    before = set(routed.orthanc.files)
    run_id = routed.fire(rule(ANONYMIZE, SEND), study_of(routed))
    routed.work()
    routed.orthanc.failing["POST", "/tools/bulk-delete"] = ErrorCode.DATABASE_UNAVAILABLE
    routed.runner.cancel(run_id)
    routed.work()
    assert len(routed.orthanc.files) == 6
    routed.orthanc.failing.clear()
    routed.work()
    assert set(routed.orthanc.files) == before


def test_a_database_that_is_locked_for_a_moment_costs_no_attempt(routed, monkeypatch):
    run_id = routed.fire(rule(SEND), study_of(routed))
    opened = routed.ledger.open
    failures = iter([OperationalError("INSERT", {}, Exception("database is locked"))])

    def once_locked(*arguments, **named):
        for failure in failures:
            raise failure
        return opened(*arguments, **named)

    monkeypatch.setattr(routed.ledger, "open", once_locked)
    routed.work()
    assert routed.state(run_id) == RunState.WAITING
    assert routed.run(run_id).attempts == 0
    routed.wait(60)
    assert len(routed.deliver()) == 3


def test_an_unexpected_error_is_seen_and_tells_no_values(routed, monkeypatch, caplog):
    def broken(*_arguments, **_named):
        raise ValueError("SYNTHETIC^PATIENT")

    monkeypatch.setattr(routed.ledger, "open", broken)
    run = routed.route(rule(SEND), study_of(routed))
    assert run.state == RunState.FAILED
    assert "SYNTHETIC" not in run.error + caplog.text


# Threads


@pytest.mark.parametrize("steps", [[SEND], [MODIFY, SEND], [SEND, {"Label": {"Add": ["x"]}}]])
def test_workers_wake_each_other_and_stop(routed, steps):
    """A step that makes instances goes to other workers; nobody waits for a clock."""
    over = threading.Event()
    move = routed.runs.move

    def moved(*arguments, **values):
        result = move(*arguments, **values)
        if values.get("state") == RunState.SENDING:
            routed.deliver()
        elif values.get("state") == RunState.DONE:
            over.set()
        return result

    routed.runs.move = moved
    routed.runner.start()
    run_id = routed.fire(rule(*steps), study_of(routed))
    routed.runner.wake()
    assert over.wait(LONGEST_WAIT / 2)
    routed.runner.stop()
    assert routed.state(run_id) == RunState.DONE
    assert not any(thread.is_alive() for thread in routed.runner._threads)


def test_a_step_under_way_ends_when_orthanc_stops_and_goes_on_after_it(routed):
    run_id = routed.fire(rule(MODIFY, SEND), study_of(routed))
    put, stopping = routed.orthanc.put_instance, threading.Event()

    def put_while_stopping(dicom: bytes) -> tuple[str, str]:
        stopping.set()
        routed.runner._stopping = True
        return put(dicom)

    routed.orthanc.put_instance = put_while_stopping
    routed.runner.start()
    assert stopping.wait(LONGEST_WAIT / 2)
    routed.runner.stop()
    routed.orthanc.put_instance = put
    assert routed.state(run_id) == RunState.WAITING
    again = Routed(routed.orthanc, routed.store, routed.clock)
    again.work()
    assert len(again.deliver()) == 3


# Wherever it is killed


class Places:
    """Orthanc and the database before a run, to begin with again and again."""

    def __init__(self, directory, routing: Rule) -> None:
        self.path = directory / "curator.db"
        self.clock = Clock()
        self.steps = Steps()
        self.orthanc = RoutingOrthanc(self.clock, self.steps)
        self.orthanc.arrive([*ct_series(2), *mr_series(1, study="study", PatientID="SYN0001")])
        self.study = next(iter(self.orthanc.of(Level.STUDY)))
        self.before = copied(self.orthanc.nodes)
        self.routing = routing

    def run(self, crash_after: int | None) -> tuple[int, set[str], set[str], RunState]:
        """Route a study with one kill; return the steps, what is stored, and what arrived."""
        self.path.unlink(missing_ok=True)
        self.orthanc.nodes = copied(self.before)
        self.clock.now = START
        self.steps.restart(None)
        store = SteppedStore(self.path, self.steps)
        arrived: set[str] = set()
        try:
            routed = Routed(self.orthanc, store, self.clock)
            run_id = routed.fire(self.routing, self.study)
            self.steps.restart(crash_after)
            try:
                self._finish(routed)
            except Crash:
                arrived.update(routed.archive)
                self.steps.crash_after = None
                routed = Routed(self.orthanc, store, self.clock)
                self._finish(routed)
            arrived.update(routed.archive)
            return self.steps.done, set(self.orthanc.files), arrived, routed.state(run_id)
        finally:
            store.close()

    def _finish(self, routed: Routed) -> None:
        for _ in range(20):
            routed.wait(60)
            routed.deliver()
            if not routed.runs.find(states=UNFINISHED_RUNS):
                return


@pytest.mark.parametrize(
    "steps",
    [
        [SEND, {"Delete": True}],
        [MODIFY, SEND, {"Delete": True}],
        [ANONYMIZE, SEND],
        [SPLIT, SEND],
    ],
    ids=["send", "modify", "anonymize", "split"],
)
def test_wherever_it_is_killed_the_end_is_the_same(tmp_path, steps):
    places = Places(tmp_path, rule(*steps))
    count, stored, arrived, state = places.run(None)
    assert state == RunState.DONE
    assert len(arrived) == 3
    moves = SPLIT in steps  # where to depends on the identifier of the operation
    for crash_after in range(1, count, _stride(count)):
        _, again, sent, ended = places.run(crash_after)
        assert ended == RunState.DONE, crash_after
        assert (len(again), len(sent)) == (len(stored), len(arrived)), crash_after
        assert moves or (again, sent) == (stored, arrived), crash_after


def _stride(count: int) -> int:
    """Return how far apart the places are that are tried: all of them in a thorough run."""
    return 1 if settings.default.max_examples >= THOROUGH else max(1, count // PLACES)
