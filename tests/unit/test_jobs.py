"""Jobs: states, undo, restart. Tasks wait for events, never for time."""

import itertools
import logging
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from curator import jobs
from curator.errors import Canceled, Conflict, CuratorError, NotFound, Stopping
from curator.jobs import Interrupted, Job, JobEngine, Paused, Phase, State, Submission
from curator.store import Row, Store

NAME = "DOE^JANE"

#: Only so that a failing test ends; nothing is expected to take long.
HANGS = 60.0

Step = Callable[[Job], object]


def nothing(_job: Job) -> None:
    """Do no work."""


class WatchedStore(Store):
    """A real store that tells when a job has changed, and fails when told to."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._changed = threading.Condition()
        self.failures = 0

    def add_job(self, row: Row) -> None:
        super().add_job(row)
        with self._changed:
            self._changed.notify_all()

    def update_job(self, job_id: str, **values: object) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError(NAME)
        super().update_job(job_id, **values)
        with self._changed:
            self._changed.notify_all()

    def has_jobs(self) -> bool:
        """Wait until there is a job."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self.job_ids()), HANGS)

    def reaches(self, job_id: str, state: State) -> bool:
        """Wait until a job is in a state."""
        with self._changed:
            return self._changed.wait_for(lambda: self.state(job_id) == state, HANGS)

    def state(self, job_id: str) -> str:
        row = self.job(job_id)
        return "" if row is None else row["state"]


@dataclass
class Work:
    """A task made of functions; notes what was called."""

    do: Step = nothing
    take_back: Step = nothing
    called: list[str] = field(default_factory=list)

    def run(self, job: Job) -> None:
        self.called.append(f"run {job.phase}".strip())
        self.do(job)

    def undo(self, job: Job) -> None:
        self.called.append(f"undo {job.phase}".strip())
        self.take_back(job)


@dataclass
class Gate:
    """A step that tells that it was reached, and waits until it is opened."""

    reached: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)

    def __call__(self, job: Job) -> None:
        self.reached.set()
        assert self.opened.wait(HANGS)
        job.checkpoint()

    def await_reached(self) -> None:
        assert self.reached.wait(HANGS)

    def open(self) -> None:
        self.opened.set()


class Bench:
    """Engines on one database, and the tasks that their jobs do."""

    def __init__(self, url: str) -> None:
        self.store = WatchedStore(url)
        self.tasks: dict[str, Work] = {}
        self._engines: list[JobEngine] = []
        self._names = map(str, itertools.count())

    def engine(self, workers: int = 1, history_size: int = 100, start: bool = True) -> JobEngine:
        engine = JobEngine(self.store, {"Test": self._task}, workers, history_size)
        self._engines.append(engine)
        if start:
            engine.start()
        return engine

    def _task(self, request: dict[str, Any]) -> Work:
        return self.tasks[request["Task"]]

    def submission(
        self,
        do: Step | Work = nothing,
        take_back: Step = nothing,
        claims: frozenset[str] = frozenset(),
        **values: Any,
    ) -> Submission:
        name = next(self._names)
        self.tasks[name] = do if isinstance(do, Work) else Work(do, take_back)
        return Submission("Test", {"Task": name}, claims, **values)

    def left_behind(self, work: Work, **values: Any) -> str:
        """Write the job that a killed Orthanc has left."""
        engine = self.engine(start=False)
        job_id = engine.submit(self.submission(work))
        self.store.update_job(job_id, **values)
        return job_id

    def ends(self, job_id: str, state: State) -> dict[str, Any]:
        assert self.store.reaches(job_id, state)
        for engine in self._engines:
            engine.cancel("no such job")  # passes once the worker has let go of the job
        row = self.store.job(job_id)
        assert row is not None
        return row

    def close(self) -> None:
        for engine in self._engines:
            engine.stop()
        self.store.close()


@pytest.fixture
def bench(tmp_path) -> Iterator[Bench]:
    bench = Bench(f"sqlite:///{tmp_path / 'curator.db'}")
    yield bench
    bench.close()


def described(engine: JobEngine, job_id: str) -> dict[str, Any]:
    job = engine.describe(job_id)
    assert job is not None
    return job


def writing(*steps: Step) -> Step:
    """Return work that keeps a plan before its steps, unless it has one."""

    def do(job: Job) -> None:
        if job.phase == Phase.NONE:
            job.keep_plan({"n": 1})
        for step in steps:
            step(job)

    return do


def committed(*steps: Step) -> Step:
    """Return work that passes its point of no return before its steps."""

    def commit(job: Job) -> None:
        if job.phase == Phase.WRITING:
            job.commit()

    return writing(commit, *steps)


def failing(error: Exception) -> Step:
    def do(_job: Job) -> None:
        raise error

    return do


def failing_once(error: Exception) -> Step:
    errors = [error]

    def do(_job: Job) -> None:
        if errors:
            raise errors.pop()

    return do


def noting(names: list[str], name: str) -> Step:
    return lambda _job: names.append(name)


# Success and failure


def test_a_job_that_succeeds_answers_its_content(bench):
    def do(job: Job) -> None:
        job.content["Answer"] = 42

    engine = bench.engine()
    assert engine.submit_and_wait(bench.submission(do))["Answer"] == 42
    (job,) = engine.describe_all()
    assert (job["State"], job["Progress"], job["ErrorCode"]) == ("Success", 100, 0)
    assert job["Content"]["Answer"] == 42


CORE_KEYS = {
    "ID",
    "Priority",
    "ErrorCode",
    "ErrorDetails",
    "State",
    "Timestamp",
    "CreationTime",
    "EffectiveRuntime",
    "Progress",
    "Type",
    "Content",
}
"""Keys that the core writes; ``ErrorDescription`` is added where the core can be asked."""


def test_a_job_is_described_as_the_core_does(bench):
    engine = bench.engine()
    gate = Gate()
    job_id = engine.submit(bench.submission(gate, priority=7, user_data={"a": [1]}))
    gate.await_reached()
    running = described(engine, job_id)
    gate.open()
    bench.ends(job_id, State.SUCCESS)
    finished = described(engine, job_id)
    assert set(running) == CORE_KEYS | {"UserData"}
    assert set(finished) == CORE_KEYS | {"UserData", "CompletionTime"}
    assert (running["State"], finished["State"]) == ("Running", "Success")
    assert finished["ID"] == job_id
    assert finished["Type"] == "Test"
    assert finished["Priority"] == 7
    assert finished["UserData"] == {"a": [1]}
    assert type(finished["Progress"]) is int
    assert type(finished["ErrorCode"]) is int
    assert finished["EffectiveRuntime"] >= 0
    for key in ("Timestamp", "CreationTime", "CompletionTime"):
        assert re.fullmatch(r"\d{8}T\d{6}\.\d{6}", finished[key])
    assert finished["CreationTime"] <= finished["CompletionTime"] <= finished["Timestamp"]


def test_without_user_data_there_is_no_such_field(bench):
    engine = bench.engine(start=False)
    job_id = engine.submit(bench.submission())
    assert "UserData" not in described(engine, job_id)


def test_progress_is_shown_while_a_job_runs(bench):
    gate = Gate()

    def do(job: Job) -> None:
        job.progress(0.25)
        gate(job)

    engine = bench.engine()
    job_id = engine.submit(bench.submission(do))
    gate.await_reached()
    assert described(engine, job_id)["Progress"] == 25
    gate.open()
    bench.ends(job_id, State.SUCCESS)


def test_a_failure_reaches_who_waits_and_the_description(bench):
    engine = bench.engine()
    with pytest.raises(NotFound, match="no such thing"):
        engine.submit_and_wait(bench.submission(failing(NotFound("no such thing"))))
    (job,) = engine.describe_all()
    assert (job["State"], job["ErrorCode"]) == ("Failure", 17)
    assert job["ErrorDetails"] == "no such thing"


def test_nothing_is_undone_before_something_is_written(bench):
    work = Work(failing(Conflict("c")))
    engine = bench.engine()
    with pytest.raises(Conflict):
        engine.submit_and_wait(bench.submission(work))
    assert work.called == ["run"]


def test_a_failure_while_writing_is_undone(bench):
    work = Work(writing(failing(Conflict("c"))))
    engine = bench.engine()
    job_id = engine.submit(bench.submission(work))
    row = bench.ends(job_id, State.FAILURE)
    assert work.called == ["run", "undo Writing"]
    assert (row["phase"], row["error_code"]) == ("", 43)
    assert bench.store.plan(job_id) is None


def test_the_plan_is_there_for_undo(bench):
    plans: list[object] = []
    work = Work(writing(failing(Conflict("c"))), lambda job: plans.append(job.plan()))
    bench.ends(bench.engine().submit(bench.submission(work)), State.FAILURE)
    assert plans == [{"n": 1}]


def test_a_failure_after_the_commit_is_not_undone_but_finished_at_the_next_start(bench):
    work = Work(committed(failing_once(Conflict("c"))))
    job_id = bench.engine().submit(bench.submission(work))
    row = bench.ends(job_id, State.FAILURE)
    assert (row["phase"], bench.store.plan(job_id)) == ("Committed", {"n": 1})
    bench.engine()
    row = bench.ends(job_id, State.SUCCESS)
    assert work.called == ["run", "run Committed"]
    assert (row["phase"], row["error_code"], row["error_details"]) == ("", 0, "")


def test_an_undo_that_fails_is_tried_again_at_the_next_start(bench):
    work = Work(writing(failing(Conflict("why"))), failing_once(CuratorError("not now")))
    job_id = bench.engine().submit(bench.submission(work))
    row = bench.ends(job_id, State.FAILURE)
    assert (row["phase"], bench.store.plan(job_id)) == ("Writing", {"n": 1})
    again = bench.engine(start=False)
    assert described(again, job_id)["State"] == "Pending"
    again.start()
    row = bench.ends(job_id, State.FAILURE)
    assert work.called == ["run", "undo Writing", "undo Writing"]
    assert (row["phase"], row["error_code"], row["error_details"]) == ("", 43, "why")


def test_an_undo_that_a_kill_interrupts_is_taken_up_and_the_work_is_not(bench):
    work = Work(writing())
    job_id = bench.left_behind(
        work, state=State.PENDING, phase=Phase.WRITING, plan={"n": 1}, error_code=43
    )
    bench.engine()
    row = bench.ends(job_id, State.FAILURE)
    assert work.called == ["undo Writing"]
    assert (row["phase"], row["error_code"]) == ("", 43)


@pytest.mark.parametrize("error", [KeyError(NAME), RecursionError(NAME), OSError(NAME)])
def test_an_unexpected_error_never_shows_its_message(bench, caplog, error):
    work = Work(writing(failing(error)), failing(ValueError(NAME)))
    engine = bench.engine()
    with pytest.raises(CuratorError) as raised:
        engine.submit_and_wait(bench.submission(work))
    assert type(raised.value) is CuratorError
    assert raised.value.error_code == -1
    assert NAME not in str(raised.value)
    assert raised.value.__cause__ is None
    assert NAME not in str(engine.describe_all())
    assert NAME not in caplog.text
    assert type(error).__name__ in caplog.text


def test_a_job_of_an_unknown_kind_fails_and_holds_up_nobody(bench):
    engine = bench.engine()
    with pytest.raises(CuratorError):
        engine.submit_and_wait(Submission("Unknown", {}, frozenset({"claimed"})))
    with pytest.raises(CuratorError):
        engine.submit_and_wait(Submission("Test", {"Task": "gone"}, frozenset({"claimed"})))
    assert {job["State"] for job in engine.describe_all()} == {"Failure"}
    engine.submit_and_wait(bench.submission(claims=frozenset({"claimed"})))


# Cancel


def test_a_pending_job_is_canceled_without_running(bench):
    engine = bench.engine(start=False)
    work = Work()
    job_id = engine.submit(bench.submission(work))
    assert engine.cancel(job_id)
    job = described(engine, job_id)
    assert (job["State"], job["ErrorCode"]) == ("Failure", 37)
    engine.start()
    engine.submit_and_wait(bench.submission())
    assert work.called == []


def test_who_waits_for_a_canceled_job_is_told(bench):
    engine = bench.engine()
    canceled: list[bool] = []

    def do(job: Job) -> None:
        canceled.append(engine.cancel(job.id))
        job.checkpoint()

    with pytest.raises(Canceled):
        engine.submit_and_wait(bench.submission(do))
    assert canceled == [True]


@pytest.mark.parametrize(
    ("around", "called"),
    [(lambda gate: gate, ["run"]), (writing, ["run", "undo Writing"])],
    ids=["before writing", "while writing"],
)
def test_a_running_job_is_canceled_at_its_next_checkpoint(bench, around, called):
    engine = bench.engine()
    gate = Gate()
    work = Work(around(gate))
    job_id = engine.submit(bench.submission(work))
    gate.await_reached()
    assert engine.cancel(job_id)
    assert described(engine, job_id)["State"] == "Running"
    assert described(engine, job_id)["ErrorCode"] == 0
    gate.open()
    row = bench.ends(job_id, State.FAILURE)
    assert work.called == called
    assert (row["error_code"], row["phase"]) == (37, "")


def test_after_the_commit_cancel_has_no_effect(bench):
    engine = bench.engine()
    gate = Gate()
    work = Work(committed(gate))
    job_id = engine.submit(bench.submission(work))
    gate.await_reached()
    assert engine.cancel(job_id)
    gate.open()
    row = bench.ends(job_id, State.SUCCESS)
    assert work.called == ["run"]
    assert (row["error_code"], row["phase"]) == (0, "")


def test_a_failure_after_a_cancel_in_vain_keeps_its_own_reason(bench):
    engine = bench.engine()
    gate = Gate()
    work = Work(committed(gate, failing(Conflict("why"))))
    job_id = engine.submit(bench.submission(work))
    gate.await_reached()
    engine.cancel(job_id)
    gate.open()
    row = bench.ends(job_id, State.FAILURE)
    assert (row["error_code"], row["error_details"], row["phase"]) == (43, "why", "Committed")


@pytest.mark.parametrize(
    ("around", "called"),
    [(lambda gate: gate, ["run"]), (writing, ["run", "undo Writing"])],
    ids=["before writing", "while writing"],
)
def test_a_paused_job_is_canceled_and_undone(bench, around, called):
    engine = bench.engine()
    gate = Gate()
    work = Work(around(gate))
    job_id = engine.submit(bench.submission(work))
    gate.await_reached()
    assert engine.pause(job_id)
    gate.open()
    bench.ends(job_id, State.PAUSED)
    assert engine.cancel(job_id)
    row = bench.ends(job_id, State.FAILURE)
    assert work.called == called
    assert (row["error_code"], row["phase"]) == (37, "")


def test_a_cancel_that_comes_while_a_job_comes_to_rest_is_not_lost(bench):
    engine = bench.engine()

    def do(job: Job) -> None:
        engine.pause(job.id)
        try:
            job.checkpoint()
        except Paused:
            engine.cancel(job.id)  # the worker has not noted yet that the job is paused
            raise

    job_id = engine.submit(bench.submission(do))
    assert bench.ends(job_id, State.FAILURE)["error_code"] == 37


def test_a_cancel_outlives_a_restart(bench):
    first = bench.engine()
    gate = Gate()
    work = Work(writing(gate))
    job_id = first.submit(bench.submission(work))
    gate.await_reached()
    first.cancel(job_id)
    stopper = threading.Thread(target=first.stop)
    stopper.start()
    assert first._stopping.wait(HANGS)
    gate.open()
    stopper.join()
    bench.engine()
    row = bench.ends(job_id, State.FAILURE)
    assert work.called == ["run", "undo Writing"]
    assert (row["error_code"], row["phase"]) == (37, "")


@pytest.mark.parametrize("step", [nothing, failing(Conflict("why"))])
def test_to_cancel_a_finished_job_changes_nothing(bench, step):
    engine = bench.engine()
    job_id = engine.submit(bench.submission(step))
    bench.ends(job_id, State.FAILURE if step is not nothing else State.SUCCESS)
    before = bench.store.job(job_id)
    assert engine.cancel(job_id)
    assert engine.pause(job_id)
    assert not engine.resume(job_id)
    assert bench.store.job(job_id) == before


def test_nothing_can_be_done_to_an_unknown_job(bench):
    engine = bench.engine()
    actions = (engine.cancel, engine.pause, engine.resume, engine.resubmit, engine.forget)
    assert [action("unknown") for action in actions] == [False] * 5
    assert engine.describe("unknown") is None


# Pause and resume


def test_a_running_job_is_paused_at_its_checkpoint_and_resumed(bench):
    engine = bench.engine()
    gate = Gate()
    work = Work(writing(gate))
    job_id = engine.submit(bench.submission(work))
    gate.await_reached()
    assert not engine.resume(job_id)
    assert engine.pause(job_id)
    gate.open()
    row = bench.ends(job_id, State.PAUSED)
    assert (row["phase"], bench.store.plan(job_id)) == ("Writing", {"n": 1})
    job = described(engine, job_id)
    assert (job["State"], job["ErrorCode"]) == ("Paused", 0)
    assert "CompletionTime" not in job
    assert engine.resume(job_id)
    bench.ends(job_id, State.SUCCESS)
    assert work.called == ["run", "run Writing"]


def test_a_pending_job_is_paused_and_does_not_run_until_resumed(bench):
    engine = bench.engine(start=False)
    work = Work()
    job_id = engine.submit(bench.submission(work))
    assert engine.pause(job_id)
    assert engine.pause(job_id)
    engine.start()
    engine.submit_and_wait(bench.submission())
    assert (described(engine, job_id)["State"], work.called) == ("Paused", [])
    assert engine.resume(job_id)
    bench.ends(job_id, State.SUCCESS)
    assert work.called == ["run"]


def test_a_paused_job_lets_others_run(bench):
    engine = bench.engine(workers=1)
    gate = Gate()
    job_id = engine.submit(bench.submission(gate))
    gate.await_reached()
    engine.pause(job_id)
    gate.open()
    bench.ends(job_id, State.PAUSED)
    engine.submit_and_wait(bench.submission())
    assert engine.counts() == {
        "Pending": 0,
        "Running": 0,
        "Success": 1,
        "Failure": 0,
        "Paused": 1,
    }


# Resubmit and forget


def test_a_failed_job_runs_again_from_its_start(bench):
    work = Work(failing_once(Conflict("why")))
    engine = bench.engine()
    job_id = engine.submit(bench.submission(work))
    bench.ends(job_id, State.FAILURE)
    assert engine.resubmit(job_id)
    row = bench.ends(job_id, State.SUCCESS)
    assert work.called == ["run", "run"]
    assert (row["error_code"], row["error_details"]) == (0, "")


def test_a_canceled_job_runs_again(bench):
    engine = bench.engine(start=False)
    job_id = engine.submit(bench.submission())
    engine.cancel(job_id)
    assert engine.resubmit(job_id)
    engine.start()
    bench.ends(job_id, State.SUCCESS)


def test_only_a_failed_job_is_resubmitted(bench):
    engine = bench.engine(start=False)
    job_id = engine.submit(bench.submission())
    assert not engine.resubmit(job_id)
    engine.start()
    bench.ends(job_id, State.SUCCESS)
    assert not engine.resubmit(job_id)


def test_a_job_whose_undo_failed_goes_on_when_it_is_resubmitted(bench):
    claims = frozenset({"study"})
    work = Work(writing(failing_once(Conflict("why"))), failing(CuratorError("not now")))
    engine = bench.engine()
    job_id = engine.submit(bench.submission(work, claims=claims))
    bench.ends(job_id, State.FAILURE)
    assert engine.resubmit(job_id)
    row = bench.ends(job_id, State.SUCCESS)
    assert work.called == ["run", "undo Writing", "run Writing"]
    assert row["phase"] == ""


def test_only_a_finished_job_is_forgotten(bench):
    engine = bench.engine(start=False)
    job_id = engine.submit(bench.submission())
    assert not engine.forget(job_id)
    engine.cancel(job_id)
    assert engine.forget(job_id)
    assert engine.ids() == []


def test_a_job_whose_undo_failed_is_not_forgotten(bench):
    work = Work(writing(failing(Conflict("why"))), failing(CuratorError("not now")))
    engine = bench.engine(history_size=1)
    job_id = engine.submit(bench.submission(work))
    bench.ends(job_id, State.FAILURE)
    assert not engine.forget(job_id)
    for _ in range(3):
        engine.submit_and_wait(bench.submission())
    assert job_id in engine.ids()


# Order, claims and history


def test_the_higher_priority_runs_first_and_equal_ones_in_turn(bench):
    engine = bench.engine(start=False)
    order: list[str] = []
    ids = {}
    for name, priority in [("a", 0), ("b", 10), ("c", -5), ("d", 10), ("e", 0)]:
        work = Work(noting(order, name))
        ids[name] = engine.submit(bench.submission(work, priority=priority))
    engine.start()
    for job_id in ids.values():
        bench.ends(job_id, State.SUCCESS)
    assert order == ["b", "d", "a", "e", "c"]


def test_priority_counts_after_a_restart_too(bench):
    order: list[str] = []
    first = bench.engine(start=False)
    ids = []
    for name, priority in [("a", 0), ("b", 10), ("c", 10)]:
        work = Work(noting(order, name))
        ids.append(first.submit(bench.submission(work, priority=priority)))
    bench.engine()
    for job_id in ids:
        bench.ends(job_id, State.SUCCESS)
    assert order == ["b", "c", "a"]


def test_two_jobs_never_work_on_one_resource(bench):
    engine = bench.engine(start=False)
    job_id = engine.submit(bench.submission(claims=frozenset({"a", "b"})))
    with pytest.raises(Conflict) as raised:
        engine.submit(bench.submission(claims=frozenset({"b", "c"})))
    assert job_id in raised.value.details
    assert "b" in raised.value.details
    engine.submit(bench.submission(claims=frozenset({"c"})))
    assert len(engine.ids()) == 2


@pytest.mark.parametrize("end", [nothing, failing(Conflict("why"))])
def test_a_finished_job_claims_nothing(bench, end):
    engine = bench.engine()
    claims = frozenset({"a"})
    job_id = engine.submit(bench.submission(end, claims=claims))
    bench.ends(job_id, State.SUCCESS if end is nothing else State.FAILURE)
    engine.submit_and_wait(bench.submission(claims=claims))


def test_a_paused_job_still_claims(bench):
    engine = bench.engine(start=False)
    engine.pause(engine.submit(bench.submission(claims=frozenset({"a"}))))
    with pytest.raises(Conflict):
        engine.submit(bench.submission(claims=frozenset({"a"})))


def test_a_job_that_could_not_be_undone_still_claims(bench):
    # Its undo would later delete what the other one has made of the same plan.
    work = Work(writing(failing(Conflict("why"))), failing(CuratorError("not now")))
    engine = bench.engine()
    claims = frozenset({"a"})
    job_id = engine.submit(bench.submission(work, claims=claims))
    bench.ends(job_id, State.FAILURE)
    with pytest.raises(Conflict):
        engine.submit(bench.submission(claims=claims))


def test_a_resubmitted_job_claims_again(bench):
    engine = bench.engine(start=False)
    claims = frozenset({"a"})
    job_id = engine.submit(bench.submission(claims=claims))
    engine.cancel(job_id)
    other = engine.submit(bench.submission(claims=claims))
    with pytest.raises(Conflict):
        engine.resubmit(job_id)
    engine.cancel(other)
    assert engine.resubmit(job_id)
    with pytest.raises(Conflict):
        engine.resubmit(other)


def test_a_running_job_claims_more(bench):
    engine = bench.engine(workers=2)
    gate = Gate()

    def do(job: Job) -> None:
        job.claim(["b", "c"])
        gate(job)

    job_id = engine.submit(bench.submission(do, claims=frozenset({"a"})))
    gate.await_reached()
    for claimed in "abc":
        with pytest.raises(Conflict, match=f"Job {job_id} is not done with {claimed}"):
            engine.submit(bench.submission(claims=frozenset({claimed})))
    gate.open()
    bench.ends(job_id, State.SUCCESS)
    engine.submit_and_wait(bench.submission(claims=frozenset({"a", "b", "c"})))


def test_a_job_may_claim_what_it_has_claimed(bench):
    def do(job: Job) -> None:
        job.claim(["a"])
        job.claim(iter(["a", "b"]))

    bench.engine().submit_and_wait(bench.submission(do, claims=frozenset({"a"})))


def test_a_job_that_claims_what_another_has_fails_with_a_conflict(bench):
    engine = bench.engine(workers=2)
    gate = Gate()
    other = engine.submit(bench.submission(gate, claims=frozenset({"a"})))
    gate.await_reached()
    with pytest.raises(Conflict, match=f"Job {other} is not done with a"):
        engine.submit_and_wait(bench.submission(lambda job: job.claim(["a", "b"])))
    engine.submit(bench.submission(claims=frozenset({"b"})))
    gate.open()
    bench.ends(other, State.SUCCESS)


def test_what_was_claimed_while_running_is_claimed_after_a_restart(bench):
    work = Work()
    job_id = bench.left_behind(
        work, state=State.RUNNING, phase=Phase.WRITING, plan={"n": 1}, claims=["a", "b"]
    )
    engine = bench.engine(start=False)
    with pytest.raises(Conflict):
        engine.submit(bench.submission(claims=frozenset({"b"})))
    engine.start()
    bench.ends(job_id, State.SUCCESS)
    engine.submit_and_wait(bench.submission(claims=frozenset({"b"})))


# Waiting for a job that runs already


def test_who_comes_later_waits_for_the_same_end(bench):
    def do(job: Job) -> None:
        job.content["Answer"] = 42
        gate(job)

    engine, gate = bench.engine(), Gate()
    job_id = engine.submit(bench.submission(do))
    gate.await_reached()
    contents: list[object] = []
    waiter = threading.Thread(target=lambda: contents.append(engine.wait(job_id)))
    waiter.start()
    gate.open()
    waiter.join(HANGS)
    assert contents == [engine.wait(job_id)] == [{"Description": "REST API", "Answer": 42}]


def test_what_was_begun_is_waited_for_later(bench):
    engine = bench.engine(start=False)
    succeeds = engine.begin(bench.submission())
    fails = engine.begin(bench.submission(failing(NotFound("no such thing"))))
    engine.start()
    assert succeeds() == {"Description": "REST API"}
    with pytest.raises(NotFound, match="no such thing"):
        fails()


def test_who_comes_later_is_told_of_the_failure(bench):
    engine = bench.engine()
    with pytest.raises(Conflict):
        engine.submit_and_wait(bench.submission(failing(Conflict("why"))))
    (job_id,) = engine.ids()
    with pytest.raises(CuratorError, match="why") as raised:
        engine.wait(job_id)
    assert raised.value.status == 409


def test_a_forgotten_job_is_not_waited_for(bench):
    engine = bench.engine()
    engine.submit_and_wait(bench.submission())
    (job_id,) = engine.ids()
    engine.forget(job_id)
    with pytest.raises(NotFound, match=job_id):
        engine.wait(job_id)


def test_a_job_that_the_database_stopped_is_no_success(bench):
    def do(_job: Job) -> None:
        bench.store.failures = 1

    engine = bench.engine()
    with pytest.raises(CuratorError, match="database"):
        engine.submit_and_wait(bench.submission(do))
    (job_id,) = engine.ids()
    with pytest.raises(CuratorError, match="not finished before the next start"):
        engine.wait(job_id)


def test_jobs_are_unfinished_until_they_have_nothing_left_to_do(bench):
    engine = bench.engine()
    gate = Gate()
    running = engine.submit(bench.submission(gate))
    gate.await_reached()
    pending, paused = (engine.submit(bench.submission()) for _ in range(2))
    engine.pause(paused)
    assert all(map(engine.is_unfinished, (running, pending, paused)))
    gate.open()
    bench.ends(pending, State.SUCCESS)
    assert [engine.is_unfinished(one) for one in (running, pending, paused)] == [False, False, True]
    assert not engine.is_unfinished("no such job")


@pytest.mark.parametrize(
    ("take_back", "unfinished"), [(nothing, False), (failing(CuratorError("not now")), True)]
)
def test_a_failed_job_is_unfinished_as_long_as_it_has_left_something(bench, take_back, unfinished):
    engine = bench.engine()
    work = Work(writing(failing(Conflict("why"))), take_back)
    job_id = engine.submit(bench.submission(work))
    bench.ends(job_id, State.FAILURE)
    assert engine.is_unfinished(job_id) is unfinished


def test_so_many_finished_jobs_are_kept(bench):
    engine = bench.engine(history_size=2, workers=1)
    waiting = engine.submit(bench.submission())
    engine.pause(waiting)
    bench.store.reaches(waiting, State.PAUSED)
    ids = [engine.submit(bench.submission()) for _ in range(5)]
    for _ in range(2):
        engine.submit_and_wait(bench.submission())
    engine.cancel("no such job")
    kept = [job for job in engine.describe_all() if job["State"] == "Success"]
    assert len(kept) == 2
    assert not set(ids) & {job["ID"] for job in kept}


def test_workers_share_many_jobs_and_each_runs_once(bench):
    engine = bench.engine(workers=4)
    works = [Work() for _ in range(30)]
    ids = [engine.submit(bench.submission(work)) for work in works]
    for job_id in ids:
        bench.ends(job_id, State.SUCCESS)
    assert [work.called for work in works] == [["run"]] * 30
    assert len(set(ids)) == 30


def test_so_many_jobs_run_at_once_as_there_are_workers(bench):
    together = threading.Barrier(3)
    engine = bench.engine(workers=3)
    ids = [engine.submit(bench.submission(lambda _job: together.wait(HANGS))) for _ in range(3)]
    for job_id in ids:
        bench.ends(job_id, State.SUCCESS)


# Restart


@pytest.mark.parametrize(
    ("left", "called"),
    [
        ({"state": State.PENDING}, ["run"]),
        ({"state": State.RUNNING}, ["run"]),
        (
            {"state": State.RUNNING, "phase": Phase.WRITING, "plan": {"n": 1}},
            ["run Writing"],
        ),
        (
            {"state": State.RUNNING, "phase": Phase.COMMITTED, "plan": {"n": 1}},
            ["run Committed"],
        ),
        (
            {"state": State.PENDING, "phase": Phase.COMMITTED, "plan": {"n": 1}, "error_code": 37},
            ["run Committed"],
        ),
    ],
)
def test_what_a_kill_left_is_finished_at_the_next_start(bench, left, called):
    work = Work()
    job_id = bench.left_behind(work, **left)
    bench.engine()
    row = bench.ends(job_id, State.SUCCESS)
    assert work.called == called
    assert (row["phase"], row["error_code"]) == ("", 0)


def test_a_paused_job_stays_paused_over_a_restart(bench):
    work = Work()
    job_id = bench.left_behind(work, state=State.PAUSED, phase=Phase.WRITING, plan={"n": 1})
    engine = bench.engine()
    engine.submit_and_wait(bench.submission())
    assert (described(engine, job_id)["State"], work.called) == ("Paused", [])
    assert engine.resume(job_id)
    bench.ends(job_id, State.SUCCESS)
    assert work.called == ["run Writing"]


@pytest.mark.parametrize(("phase", "called"), [(Phase.NONE, []), (Phase.WRITING, ["undo Writing"])])
def test_a_paused_job_is_canceled_after_a_restart(bench, phase, called):
    work = Work()
    plan = {"n": 1} if phase else None
    job_id = bench.left_behind(work, state=State.PAUSED, phase=phase, plan=plan)
    engine = bench.engine()
    assert engine.cancel(job_id)
    row = bench.ends(job_id, State.FAILURE)
    assert work.called == called
    assert (row["error_code"], row["phase"]) == (37, "")


def test_a_finished_job_is_not_run_again(bench):
    work = Work()
    bench.left_behind(work, state=State.SUCCESS)
    bench.left_behind(work, state=State.FAILURE, error_code=43)
    bench.engine().submit_and_wait(bench.submission())
    assert work.called == []


def test_a_job_submitted_before_the_start_runs_once_and_its_waiter_wakes(bench):
    engine = bench.engine(start=False)
    work = Work()
    contents: list[object] = []
    submission = bench.submission(work)
    waiter = threading.Thread(target=lambda: contents.append(engine.submit_and_wait(submission)))
    waiter.start()
    assert bench.store.has_jobs()
    engine.start()
    waiter.join(HANGS)
    assert contents == [{"Description": "REST API"}]
    assert work.called == ["run"]


def test_stop_interrupts_at_the_next_checkpoint_and_the_next_start_goes_on(bench):
    first = bench.engine()
    gate = Gate()
    work = Work(writing(gate))
    job_id = first.submit(bench.submission(work))
    gate.await_reached()
    stopper = threading.Thread(target=first.stop)
    stopper.start()
    assert first._stopping.wait(HANGS)
    gate.open()
    stopper.join(HANGS)
    row = bench.store.job(job_id)
    assert row is not None
    assert (row["state"], row["phase"], row["error_code"]) == ("Running", "Writing", 0)
    second = bench.engine()
    row = bench.ends(job_id, State.SUCCESS)
    assert work.called == ["run", "run Writing"]
    assert described(second, job_id)["EffectiveRuntime"] >= 0


def test_stop_wakes_who_waits(bench):
    engine = bench.engine()
    gate = Gate()
    raised: list[BaseException] = []

    def wait(submission: Submission) -> None:
        try:
            engine.submit_and_wait(submission)
        except CuratorError as error:
            raised.append(error)

    submissions = [bench.submission(gate), bench.submission()]
    waiters = [threading.Thread(target=wait, args=(one,)) for one in submissions]
    waiters[0].start()
    gate.await_reached()
    waiters[1].start()
    stopper = threading.Thread(target=engine.stop)
    stopper.start()
    for waiter in waiters:
        waiter.join(HANGS)
    gate.open()
    stopper.join(HANGS)
    assert [type(error) for error in raised] == [Stopping, Stopping]


def test_a_stopped_engine_takes_no_jobs(bench):
    engine = bench.engine()
    engine.stop()
    with pytest.raises(Stopping):
        engine.submit(bench.submission())
    assert engine.ids() == []


def test_an_engine_that_was_never_started_can_be_stopped(bench):
    engine = bench.engine(start=False)
    engine.submit(bench.submission())
    engine.stop()


# A failing database


def test_a_worker_outlives_a_failing_database(bench, monkeypatch, caplog):
    monkeypatch.setattr(jobs, "DATABASE_INTERVAL", 0.0)
    engine = bench.engine()
    gate = Gate()
    job_id = engine.submit(bench.submission(gate))
    gate.await_reached()
    waiting = engine.submit(bench.submission())
    bench.store.failures = 2  # the end of the first job, and the start of the second
    gate.open()
    bench.ends(waiting, State.SUCCESS)
    assert bench.store.failures == 0
    assert bench.store.state(job_id) == State.RUNNING
    assert NAME not in caplog.text
    bench.engine()
    bench.ends(job_id, State.SUCCESS)


def test_who_waits_is_told_of_a_failing_database(bench):
    engine = bench.engine()

    def do(_job: Job) -> None:
        bench.store.failures = 1

    with pytest.raises(CuratorError, match="database"):
        engine.submit_and_wait(bench.submission(do))
    (job_id,) = engine.ids()
    assert engine.pause(job_id)
    assert engine.cancel(job_id)


def test_a_plan_that_cannot_be_kept_stops_the_work_before_it_writes(bench):
    written: list[str] = []

    def do(job: Job) -> None:
        bench.store.failures = 1
        job.keep_plan({"n": 1})
        written.append("written")

    work = Work(do)
    job_id = bench.engine().submit(bench.submission(work))
    bench.ends(job_id, State.FAILURE)
    assert (written, work.called) == ([], ["run"])


def test_a_commit_that_cannot_be_noted_is_undone(bench):
    def fail(_job: Job) -> None:
        bench.store.failures = 1

    work = Work(writing(fail, lambda job: job.commit()))
    job_id = bench.engine().submit(bench.submission(work))
    row = bench.ends(job_id, State.FAILURE)
    assert work.called == ["run", "undo Writing"]
    assert row["phase"] == ""


def test_workers_name_their_threads(bench):
    named: list[str] = []
    engine = JobEngine(bench.store, {}, 2, 1, named.append)
    engine.start()
    engine.stop()
    assert sorted(named) == ["curator-0", "curator-1"]


def test_interruption_is_no_failure_in_the_log(bench, caplog):
    caplog.set_level(logging.INFO)
    engine = bench.engine()
    gate = Gate()
    engine.submit(bench.submission(gate))
    gate.await_reached()
    stopper = threading.Thread(target=engine.stop)
    stopper.start()
    assert engine._stopping.wait(HANGS)
    gate.open()
    stopper.join(HANGS)
    assert Interrupted.__name__ not in caplog.text
