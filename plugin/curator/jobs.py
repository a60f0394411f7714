"""Jobs: long work with progress that can be paused, canceled and resumed, also after a restart.

The Python SDK cannot create jobs of the core, so Curator keeps its own, with the states and the
JSON of the core's (see ``jobs_rest``). A job's work is a ``Task``. Tasks are written so that
running one again after it was stopped anywhere (``kill -9`` included) finishes the work, and so
that ``undo`` removes what a stopped one has left, as long as it has not passed its point of no
return.
"""

import heapq
import itertools
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import Any, Protocol

from typing_extensions import TypedDict

from curator.errors import (
    Canceled,
    Conflict,
    CoreError,
    CuratorError,
    ErrorCode,
    NotFound,
    Stopping,
    trace,
)
from curator.health.trouble import MOST_TROUBLES, Trouble
from curator.store import Row, Store

logger = logging.getLogger(__name__)

#: Progress is kept for a restart at most this often, in seconds.
PROGRESS_INTERVAL = 1.0

#: Seconds before a worker asks a database again that has failed.
DATABASE_INTERVAL = 5.0


class State(StrEnum):
    """States of a job, as the core names them."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCESS = "Success"
    FAILURE = "Failure"
    PAUSED = "Paused"


ACTIVE = (State.PENDING, State.RUNNING, State.PAUSED)
FINISHED = (State.SUCCESS, State.FAILURE)


class Phase(StrEnum):
    """How far a job's changes have come; kept so that a restart knows what to do."""

    NONE = ""
    WRITING = "Writing"  # new instances may exist, all sources do: can still be undone
    COMMITTED = "Committed"  # sources may be gone: can only be finished


@dataclass(frozen=True)
class Workers:
    """Threads of one kind: how many there should be, are, and are at work."""

    wanted: int
    alive: int
    busy: int


class Claimed(Conflict):
    """Another job works on one of the same resources."""


class Paused(Exception):
    """Raised inside a task when its user pauses the job."""


class Interrupted(Exception):
    """Raised inside a task when Orthanc stops."""


@dataclass(frozen=True)
class Submission:
    """A job to be started.

    Attributes
    ----------
    type : str
        Name of the job type, shown as ``Type``.
    request : dict
        JSON that the task is made from, now and after a restart.
    claims : frozenset of str
        Orthanc identifiers that no other job may touch meanwhile.
    """

    type: str
    request: dict[str, Any]
    claims: frozenset[str]
    user: str = ""
    priority: int = 0
    user_data: Any = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass
class _Control:
    """Wishes of users to a job that is queued or running."""

    cancel: bool = False
    pause: bool = False
    progress: float = 0.0
    started: float | None = None
    done: threading.Event = field(default_factory=threading.Event)
    error: CuratorError | None = None
    content: dict[str, Any] = field(default_factory=dict)


class Job:
    """What a task sees of its job."""

    def __init__(
        self,
        row: Row,
        control: _Control,
        store: Store,
        stopping: threading.Event,
        claim: Callable[[str, frozenset[str]], None],
    ) -> None:
        self._row = row
        self._claim = claim
        self._control = control
        self._store = store
        self._stopping = stopping
        self._saved = time.monotonic()
        self.content: dict[str, Any] = dict(row["content"])
        self.phase = Phase(row["phase"])

    @property
    def row(self) -> Row:
        """The job as it was when this run began."""
        return self._row

    @property
    def id(self) -> str:
        return str(self._row["id"])

    @property
    def user(self) -> str:
        return str(self._row["user"])

    @property
    def failed_before(self) -> bool:
        """Whether this run only ends what failed or was canceled in an earlier one."""
        return bool(self._row["error_code"])

    def measures(self) -> dict[str, object]:
        """Return progress and run time for the database, and stop the clock."""
        started = self._control.started or time.monotonic()
        self._control.started = None
        runtime = self._row["runtime"] + time.monotonic() - started
        return {"runtime": runtime, "progress": self._control.progress}

    def plan(self) -> dict[str, Any] | None:
        """Read the plan that was kept, or None."""
        return self._store.plan(self.id)

    def claim(self, claims: Iterable[str]) -> None:
        """Claim more than was known when the job was submitted.

        Raises
        ------
        Claimed
            If another unfinished job claims one of the same resources.
        """
        self._claim(self.id, frozenset(claims))

    def keep_plan(self, plan: dict[str, Any]) -> None:
        """Keep the plan before the first change that it makes."""
        self._store.update_job(self.id, plan=plan, phase=Phase.WRITING, content=self.content)
        self.phase = Phase.WRITING

    def commit(self) -> None:
        """Pass the point of no return: from now on the job can only be finished."""
        self.checkpoint()
        self._store.update_job(self.id, phase=Phase.COMMITTED, content=self.content)
        self.phase = Phase.COMMITTED

    def progress(self, fraction: float) -> None:
        """Report progress between 0 and 1."""
        self._control.progress = fraction
        if time.monotonic() - self._saved >= PROGRESS_INTERVAL:
            self._saved = time.monotonic()
            self._store.update_job(self.id, progress=fraction)

    def checkpoint(self) -> None:
        """Give way to what users asked for; called where the task may be stopped.

        Raises
        ------
        Interrupted
            If Orthanc stops; the job goes on after the next start.
        Paused
            If the job is to be paused.
        Canceled
            If the job is to be canceled and can still be undone.
        """
        if self._stopping.is_set():
            raise Interrupted
        if self._control.cancel and self.phase != Phase.COMMITTED:
            raise Canceled
        if self._control.pause:
            raise Paused


class Task(Protocol):
    """The work of a job."""

    def run(self, job: Job) -> None:
        """Do the work, or what is left of it."""

    def undo(self, job: Job) -> None:
        """Remove what an unfinished run has left; called before the point of no return only."""


TaskFactory = Callable[[dict[str, Any]], Task]


class JobEngine:
    """Queue and workers.

    Parameters
    ----------
    store : Store
    factories : mapping
        What makes a task from a job's request, by job type.
    workers : int
        Jobs that run at the same time.
    history_size : int
        Finished jobs that are kept.
    name_thread : callable
        Gives the current thread a name in Orthanc's log.
    publish : callable
        Takes the number of jobs by state, whenever one is started or ends.
    """

    def __init__(
        self,
        store: Store,
        factories: Mapping[str, TaskFactory],
        workers: int,
        history_size: int,
        name_thread: Callable[[str], None] = lambda _name: None,
        publish: Callable[[Mapping[str, int]], None] = lambda _counts: None,
    ) -> None:
        self._store = store
        self._factories = factories
        self._history_size = history_size
        self._name_thread = name_thread
        self._publish = publish
        self._lock = threading.Condition()
        self._queue: list[tuple[int, int, str]] = []
        self._order = itertools.count()
        self._controls: dict[str, _Control] = {}
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, name=f"curator-{number}", daemon=True)
            for number in range(workers)
        ]
        self._take_up()

    # Life

    def start(self) -> None:
        """Start the workers."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let every job stop at its next checkpoint, and wait for the workers."""
        with self._lock:
            self._stopping.set()
            self._lock.notify_all()
            for control in self._controls.values():
                control.error = Stopping(
                    "Orthanc is stopping, the job goes on after the next start"
                )
                control.done.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    # Users

    def submit(self, submission: Submission, control: _Control | None = None) -> str:
        """Queue a job and return its identifier.

        Raises
        ------
        Claimed
            If another unfinished job claims one of the same resources.
        """
        now = timestamp()
        row: Row = {
            "id": submission.id,
            "type": submission.type,
            "user": submission.user,
            "priority": submission.priority,
            "state": State.PENDING,
            "created": now,
            "changed": now,
            "runtime": 0.0,
            "progress": 0.0,
            "error_code": int(ErrorCode.SUCCESS),
            "error_details": "",
            "claims": sorted(submission.claims),
            "request": submission.request,
            "content": {"Description": "REST API"},
            "user_data": submission.user_data,
            "plan": None,
            "phase": Phase.NONE,
        }
        with self._lock:
            if self._stopping.is_set():
                raise Stopping("Orthanc is stopping")
            self._refuse_claimed(submission.claims)
            self._store.add_job(row)
            self._push(row, control or _Control())
        return str(row["id"])

    def begin(self, submission: Submission) -> Callable[[], dict[str, Any]]:
        """Queue a job and return what waits for its end, as `submit_and_wait` does.

        Raises
        ------
        Claimed
            If another unfinished job claims one of the same resources.
        """
        control = _Control()
        self.submit(submission, control)
        return partial(_outcome, control)

    def submit_and_wait(self, submission: Submission) -> dict[str, Any]:
        """Run a job to its end and return its content.

        Raises
        ------
        CuratorError
            What made the job fail.
        """
        return self.begin(submission)()

    def answer(self, submission: Submission, *, waits: bool) -> dict[str, Any]:
        """Submit a job, and return what the core answers: its content, or at once where it is.

        Raises
        ------
        CuratorError
            What made a job fail that is waited for.
        """
        return self.submit_and_wait(submission) if waits else where(self.submit(submission))

    def wait(self, job_id: str) -> dict[str, Any]:
        """Wait for the end of a job that was submitted before, and return its content.

        Raises
        ------
        CuratorError
            What made the job fail.
        """
        with self._lock:
            control = self._controls.get(job_id)
        if control is not None:
            return _outcome(control)
        row = self._store.job(job_id)
        if row is None:
            raise NotFound(f"Job {job_id} was forgotten meanwhile")
        if row["state"] == State.FAILURE:
            raise CoreError(row["error_code"], row["error_details"], row["error_details"])
        if row["state"] != State.SUCCESS:
            raise CuratorError(f"Job {job_id} is not finished before the next start of Orthanc")
        return dict(row["content"])

    def is_unfinished(self, job_id: str) -> bool:
        """Tell whether a job is queued, running, or has changes to finish or undo."""
        return any(row["id"] == job_id for row in self._store.unfinished_jobs(ACTIVE))

    def cancel(self, job_id: str) -> bool:
        """Cancel a job; True if there is such a job, finished or not."""
        with self._lock:
            row = self._store.job(job_id)
            if row is None:
                return False
            control = self._controls.get(job_id)
            if control is None:  # finished
                return True
            control.cancel, control.pause = True, False
            if row["state"] in (State.PENDING, State.PAUSED) and row["phase"] == Phase.NONE:
                self._unqueue(job_id)
                self._finish(
                    Job(row, control, self._store, self._stopping, self._claim),
                    State.FAILURE,
                    Canceled(),
                )
                return True
            if row["phase"] != Phase.COMMITTED:  # else it can only be finished
                self._store.update_job(job_id, error_code=int(ErrorCode.CANCELED_JOB))
            if row["state"] == State.PAUSED:  # a worker undoes what it has done so far
                self._set_state(job_id, State.PENDING)
                self._push(row, control)
            return True

    def pause(self, job_id: str) -> bool:
        """Pause a job; True if there is such a job, finished or not."""
        with self._lock:
            row = self._store.job(job_id)
            if row is None:
                return False
            if row["state"] == State.PENDING:
                self._unqueue(job_id)
                self._set_state(job_id, State.PAUSED)
            elif row["state"] == State.RUNNING and job_id in self._controls:
                self._controls[job_id].pause = True
            return True

    def resume(self, job_id: str) -> bool:
        """Resume a paused job; False if there is no such job or it is not paused."""
        with self._lock:
            row = self._store.job(job_id)
            if row is None or row["state"] != State.PAUSED:
                return False
            control = self._controls[job_id]
            control.pause = False
            self._set_state(job_id, State.PENDING)
            self._push(row, control)
            return True

    def resubmit(self, job_id: str) -> bool:
        """Run a failed job again from its start; False if there is none or it has not failed.

        Raises
        ------
        Claimed
            If another unfinished job claims one of the same resources.
        """
        with self._lock:
            row = self._store.job(job_id)
            if row is None or row["state"] != State.FAILURE:
                return False
            self._refuse_claimed(frozenset(row["claims"]), job_id)
            self._store.update_job(
                job_id, error_code=ErrorCode.SUCCESS, error_details="", runtime=0.0, progress=0.0
            )
            self._set_state(job_id, State.PENDING)
            self._push(row, _Control())
            return True

    def forget(self, job_id: str) -> bool:
        """Delete a finished job from the history; False if there is none that is finished."""
        with self._lock:
            row = self._store.job(job_id)
            if row is None or row["state"] not in FINISHED or row["phase"] != Phase.NONE:
                return False
            self._store.delete_job(job_id)
            return True

    def ids(self) -> list[str]:
        """Return the identifiers of all jobs."""
        return self._store.job_ids()

    def describe(self, job_id: str) -> dict[str, Any] | None:
        """Return the JSON of a job, or None if there is none."""
        row = self._store.job(job_id)
        return None if row is None else self._describe(row)

    def describe_all(self) -> list[dict[str, Any]]:
        """Return the JSON of all jobs."""
        return [self._describe(row) for row in self._store.jobs()]

    def counts(self) -> dict[str, int]:
        """Count jobs by state."""
        counted = self._store.count_jobs()
        return {state: counted.get(state, 0) for state in State}

    @property
    def workers(self) -> Workers:
        """How many workers there are and work, without asking the database."""
        controls = list(self._controls.values())
        return Workers(
            wanted=len(self._threads),
            alive=sum(thread.is_alive() for thread in self._threads),
            busy=sum(control.started is not None for control in controls),
        )

    def waiting_since(self) -> str | None:
        """Return when the oldest job was submitted that waits for a worker, None without."""
        return self._store.oldest_job(State.PENDING)

    def troubles(self) -> list[Trouble]:
        """Return the jobs that have failed lately, but those that users have canceled."""
        failed = self._store.failed_jobs(besides=ErrorCode.CANCELED_JOB, limit=MOST_TROUBLES)
        return [
            Trouble(
                row["changed"],
                "Job",
                row["id"],
                row["type"],
                row["state"],
                row["error_code"],
                row["error_details"],
            )
            for row in failed
        ]

    # Queue

    def _take_up(self) -> None:
        """Queue what was unfinished when Orthanc stopped, before the first request comes in."""
        with self._lock:
            for row in self._store.jobs(ACTIVE):
                canceled = bool(row["error_code"])
                control = _Control(cancel=canceled, progress=row["progress"])
                if row["state"] == State.PAUSED:
                    self._controls[row["id"]] = control
                else:
                    self._set_state(row["id"], State.PENDING)
                    self._push(row, control)
            for row in self._store.jobs([State.FAILURE]):
                if row["phase"] != Phase.NONE:  # what it has left could not be removed then
                    self._set_state(row["id"], State.PENDING)
                    self._push(row, _Control(cancel=True))

    def _push(self, row: Row, control: _Control) -> None:
        self._controls[row["id"]] = control
        heapq.heappush(self._queue, (-row["priority"], next(self._order), row["id"]))
        self._lock.notify()

    def _unqueue(self, job_id: str) -> None:
        self._queue = [entry for entry in self._queue if entry[2] != job_id]
        heapq.heapify(self._queue)

    def _refuse_claimed(self, claims: frozenset[str], resubmitted: str = "") -> None:
        """Refuse what another job works on, or has left half done: undoing that comes later."""
        for row in self._store.unfinished_jobs(ACTIVE):
            shared = claims.intersection(row["claims"])
            if shared and row["id"] != resubmitted:
                raise Claimed(f"Job {row['id']} is not done with {', '.join(sorted(shared))}")

    def _claim(self, job_id: str, claims: frozenset[str]) -> None:
        with self._lock:
            row = self._store.job(job_id)
            if row is None:
                return
            self._refuse_claimed(claims, job_id)
            self._store.update_job(job_id, claims=sorted(claims.union(row["claims"])))

    def _set_state(self, job_id: str, state: State) -> None:
        self._store.update_job(job_id, state=state, changed=timestamp())

    # Workers

    def _work(self) -> None:
        self._name_thread(threading.current_thread().name)
        while not self._stopping.is_set():
            try:
                job_id = self._next()
            except Exception as error:  # noqa: BLE001  a worker must outlive its database
                logger.error("Curator's database failed: %s", trace(error))
                self._stopping.wait(DATABASE_INTERVAL)
                continue
            if job_id is not None:
                self._run_safely(job_id)

    def _run_safely(self, job_id: str) -> None:
        try:
            self._run(job_id)
        except Exception as error:  # noqa: BLE001  a worker must outlive any job
            logger.error("Job %s stays unfinished until the next start: %s", job_id, trace(error))
            with self._lock:
                self._release(job_id, CuratorError("Curator's database failed, see Orthanc's log"))

    def _next(self) -> str | None:
        with self._lock:
            while not self._queue and not self._stopping.is_set():
                self._lock.wait()
            if self._stopping.is_set():
                return None
            job_id = self._queue[0][2]
            self._set_state(job_id, State.RUNNING)
            heapq.heappop(self._queue)
            self._publish(self.counts())
            return job_id

    def _run(self, job_id: str) -> None:
        row = self._store.job(job_id)
        if row is None:
            return
        control = self._controls[job_id]
        control.started = time.monotonic()
        job = Job(row, control, self._store, self._stopping, self._claim)
        try:
            task = self._factories[row["type"]](row["request"])
        except (LookupError, ValueError) as unknown:
            logger.error("Job %s cannot be read: %s", job_id, trace(unknown))
            unreadable = CuratorError("This release of Curator does not know such a job")
            self._finish(job, State.FAILURE, unreadable)
            return
        try:
            error = self._attempt(task, job)
        except Paused:
            self._finish(job, State.PAUSED, None)
        except Interrupted:
            self._store.update_job(job_id, **job.measures())
        else:
            self._finish(job, State.FAILURE if error else State.SUCCESS, error)

    def _attempt(self, task: Task, job: Job) -> CuratorError | None:
        """Run a task, and undo it where it fails; returns what made it fail."""
        try:
            job.checkpoint()
            task.run(job)
        except CuratorError as error:
            failure = error
        except (Paused, Interrupted):
            raise
        except Exception as error:  # noqa: BLE001  whatever happened, the changes must be undone
            logger.error("Job %s failed: %s", job.id, trace(error))
            failure = CuratorError("Unexpected error, see the log of Orthanc")
        else:
            return None
        if job.phase == Phase.WRITING:
            self._undo(task, job)
        return failure

    def _undo(self, task: Task, job: Job) -> None:
        try:
            task.undo(job)
        except Exception as error:  # noqa: BLE001  tried again at the next start
            logger.error("Job %s could not be undone: %s", job.id, trace(error))
        else:
            job.phase = Phase.NONE

    def _finish(self, job: Job, state: State, error: CuratorError | None) -> None:
        if state == State.SUCCESS:
            job.phase = Phase.NONE
            job.progress(1.0)
        values = job.measures() | {
            "state": state,
            "phase": job.phase,
            "content": job.content,
            "changed": timestamp(),
        }
        if job.phase == Phase.NONE:
            values["plan"] = None
        if state == State.SUCCESS:
            values |= {"error_code": int(ErrorCode.SUCCESS), "error_details": ""}
        elif error is not None and not job.failed_before:
            values |= {"error_code": error.error_code, "error_details": error.details}
        with self._lock:
            control = self._controls[job.id]
            goes_on = state == State.PAUSED and not control.pause  # canceled before it came to rest
            if goes_on:
                values["state"] = State.PENDING
            self._store.update_job(job.id, **values)
            if goes_on:
                self._push(job.row, control)
            elif state in FINISHED:
                self._store.forget_jobs(FINISHED, self._history_size)
            self._publish(self.counts())  # who waits for the job finds it told
            if state in FINISHED:
                self._release(job.id, error, job.content)

    def _release(
        self, job_id: str, error: CuratorError | None, content: dict[str, Any] | None = None
    ) -> None:
        """Let go of a job, and wake who waits for it."""
        control = self._controls.pop(job_id, None)
        if control is not None:
            control.error, control.content = error, content or {}
            control.done.set()

    def _describe(self, row: Row) -> dict[str, Any]:
        control = self._controls.get(row["id"])
        if control is None:
            return describe(row)
        started = control.started
        runtime = 0.0 if started is None else time.monotonic() - started
        progress = max(row["progress"], control.progress)  # the row is behind, or just finished
        return describe(row | {"runtime": row["runtime"] + runtime, "progress": progress})


def _outcome(control: _Control) -> dict[str, Any]:
    """Wait for the end of a job and return its content, or raise what made it fail."""
    control.done.wait()
    if control.error is not None:
        raise control.error
    return control.content


def describe(row: Row) -> dict[str, Any]:
    """Return the JSON of a job as the core writes it, but for the description of the error."""
    finished = row["state"] in FINISHED  # before, the error says what the job is to end with
    described = {
        "ID": row["id"],
        "Type": row["type"],
        "Priority": row["priority"],
        "State": row["state"],
        "ErrorCode": row["error_code"] if finished else int(ErrorCode.SUCCESS),
        "ErrorDetails": row["error_details"] if finished else "",
        "Timestamp": timestamp(),
        "CreationTime": row["created"],
        "EffectiveRuntime": round(row["runtime"], 3),
        "Progress": round(100 * row["progress"]),
        "Content": row["content"],
    }
    if row["user_data"] is not None:
        described["UserData"] = row["user_data"]
    if finished:
        described["CompletionTime"] = row["changed"]
    return described


class Started(TypedDict):
    """A job that goes on after the answer, and where it is."""

    ID: str
    Path: str


def where(job_id: str) -> dict[str, Any]:
    """Return what the core answers at once of a job: its identifier, and where it is."""
    return {"ID": job_id, "Path": f"/jobs/{job_id}"}


def timestamp() -> str:
    """Return the time as the core writes it: UTC, ``YYYYMMDDTHHMMSS.ffffff``."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
