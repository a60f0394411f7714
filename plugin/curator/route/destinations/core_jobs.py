"""Jobs of the core that send: one association, or one request, for many instances.

The core works at few jobs at a time (``ConcurrentJobs``), and whoever sends to a destination that
stalls keeps one of them busy. All destinations together take one less than there are, so that the
jobs of others go on; a destination that gets none sends without.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from curator.errors import CoreError
from curator.gateway import Gateway

logger = logging.getLogger(__name__)

#: Seconds that a job may wait for a worker before the instances go another way.
START_SECONDS = 1.0

#: Seconds between two looks at a job; they grow from the one to the other.
FIRST_LOOK = 0.02
LONGEST_LOOK = 0.5

#: Key of ``UserData`` by which a job is known as ours after a restart.
MARK = "CuratorDelivery"

#: ``ConcurrentJobs`` where the configuration does not say.
DEFAULT_CONCURRENT_JOBS = 2


class End(StrEnum):
    """How a job has ended for us."""

    SUCCESS = "Success"
    FAILURE = "Failure"
    REFUSED = "Refused"  # was not started
    LOST = "Lost"  # canceled by someone, or forgotten by the core before its end was seen
    STOPPED = "Stopped"  # Orthanc stops


@dataclass(frozen=True)
class Ended:
    """A job that is over.

    Attributes
    ----------
    done : int
        Instances, from the first on, that were sent for certain.
    code : int
        Error code of the core.
    message, details : str
        Its text, and what it says beyond.
    payload
        ``ErrorPayload``, which newer releases have.
    content : dict
        ``Content`` of the job.
    """

    end: End
    done: int
    code: int = 0
    message: str = ""
    details: str = ""
    payload: Any = None
    content: dict[str, Any] = field(default_factory=dict)


class Submit(Protocol):
    """Starts an asynchronous job and returns what the core answers (``ID``, ``Path``)."""

    def __call__(self) -> dict[str, Any]: ...


#: Waits for an event, some seconds at most.
Wait = Callable[[threading.Event, float], object]


class CoreJobs:
    """Starts jobs of the core and waits for them.

    Parameters
    ----------
    gateway : Gateway
    limit : int
        Jobs of ours at a time.
    wait : callable
        Waits for an event, some seconds at most.
    """

    def __init__(self, gateway: Gateway, limit: int, wait: Wait = threading.Event.wait) -> None:
        self._gateway = gateway
        self._slots = threading.BoundedSemaphore(limit)
        self._wait = wait
        self._over: dict[str, threading.Event] = {}
        self._tidied = threading.Lock()
        self._tidy = False

    def job_over(self, job: str) -> None:
        """Look at a job now, if it is one of ours: the core says that it is over."""
        event = self._over.get(job)
        if event is not None:
            event.set()

    def run(
        self,
        submit: Submit,
        count: int,
        progress: Callable[[int], None],
        stopping: Callable[[], bool],
        patience: float = 0.0,
    ) -> Ended | None:
        """Start a job and wait until it is over.

        Parameters
        ----------
        count : int
            Instances that it sends, 100 at most: the core tells how far it is in percent.
        progress : callable
            Takes the number of instances sent so far, whenever it has grown.
        patience : float
            Seconds that it may wait for its turn, here and in the core; 0 for hardly any.

        Returns
        -------
        Ended or None
            None where there was no worker for it.
        """
        self._cancel_left_over()
        if not self._take_slot(patience, stopping):
            return None
        try:
            return self._run(submit, count, progress, stopping, max(patience, START_SECONDS))
        finally:
            self._slots.release()

    def _take_slot(self, patience: float, stopping: Callable[[], bool]) -> bool:
        waited = 0.0
        while not self._slots.acquire(blocking=False):
            if waited >= patience or stopping():
                return False
            self._wait(threading.Event(), LONGEST_LOOK)
            waited += LONGEST_LOOK
        return True

    def _run(
        self,
        submit: Submit,
        count: int,
        progress: Callable[[int], None],
        stopping: Callable[[], bool],
        start_within: float,
    ) -> Ended | None:
        try:
            job = str(submit()["ID"])
        except CoreError as error:
            return Ended(End.REFUSED, 0, error.core_code, error.message)
        over = self._over[job] = threading.Event()
        try:
            return self._follow(job, over, count, progress, stopping, start_within)
        finally:
            del self._over[job]

    def _follow(
        self,
        job: str,
        over: threading.Event,
        count: int,
        progress: Callable[[int], None],
        stopping: Callable[[], bool],
        start_within: float,
    ) -> Ended | None:
        look, waited, done = FIRST_LOOK, 0.0, 0
        while True:
            over.clear()
            state = self._state(job)
            if state is None:
                return Ended(End.LOST, done, details="the core has forgotten the job")
            if (sent := _sent(state, count)) > done:
                done = sent
                progress(done)
            if state["State"] in ("Success", "Failure"):
                self._forget(job)
                return _ended(state, done)
            if stopping():
                self._cancel(job)
                return Ended(End.STOPPED, done)
            if state["State"] == "Pending" and waited >= start_within:
                self._cancel(job)
                return None
            self._wait(over, look)
            waited += look
            look = min(look * 1.5, LONGEST_LOOK)

    def _state(self, job: str) -> dict[str, Any] | None:
        try:
            state: dict[str, Any] = self._gateway.get_json(f"/jobs/{job}")
        except CoreError as error:
            if error.unknown_resource:
                return None
            raise
        return state

    def _cancel(self, job: str) -> None:
        try:
            self._gateway.post(f"/jobs/{job}/cancel", b"{}")
        except CoreError as error:
            logger.info("Job %s could not be canceled: %s", job, error.message)

    def _forget(self, job: str) -> None:
        """Leave the few places in the core's history to the jobs of users."""
        try:
            self._gateway.delete(f"/jobs/{job}")
        except CoreError as error:
            logger.debug("Job %s could not be removed: %s", job, error.message)

    def _cancel_left_over(self) -> None:
        """Cancel what the core took up again at its start: the ledger sends that once more."""
        with self._tidied:
            if self._tidy:
                return
            self._tidy = True
            for job in self._gateway.get_json("/jobs?expand"):
                mark = job.get("UserData")
                ours = isinstance(mark, dict) and MARK in mark
                if ours and job["State"] not in ("Success", "Failure"):
                    logger.info("Cancel job %s, which was left over from before", job["ID"])
                    self._cancel(job["ID"])


def worker_limit(concurrent_jobs: object) -> int:
    """Return how many jobs of ours may run: one less than the core has workers, but one.

    Parameters
    ----------
    concurrent_jobs
        ``ConcurrentJobs`` of the configuration; 0 is one for each processor.
    """
    if not isinstance(concurrent_jobs, int) or concurrent_jobs <= 0:
        concurrent_jobs = DEFAULT_CONCURRENT_JOBS
    return max(1, concurrent_jobs - 1)


def marked(delivery: str) -> dict[str, str]:
    """Return the ``UserData`` of a job of ours."""
    return {MARK: delivery}


def batches(instances: Sequence[str], size: int) -> list[Sequence[str]]:
    """Cut instances into batches."""
    return [instances[start : start + size] for start in range(0, len(instances), size)]


def _sent(state: dict[str, Any], count: int) -> int:
    """Return how many of `count` instances were sent, from a percentage that was rounded.

    For 100 instances and less there is one number for each percentage that occurs.
    """
    if state["State"] == "Success":
        return count
    return min(count, round(int(state.get("Progress", 0)) * count / 100))


def _ended(state: dict[str, Any], done: int) -> Ended:
    code = int(state.get("ErrorCode", 0))
    success = state["State"] == "Success"
    canceled = not success and code == _CANCELED
    return Ended(
        End.SUCCESS if success else End.LOST if canceled else End.FAILURE,
        done,
        code,
        str(state.get("ErrorDescription", "")),
        str(state.get("ErrorDetails", "")),
        state.get("ErrorPayload"),
        dict(state.get("Content") or {}),
    )


_CANCELED = 37
