"""C-STORE to a modality of the server.

A batch goes as a job of the core: one association carries it, and the job says with what status an
instance was refused. But nothing can interrupt a job that waits for an answer: it keeps a worker of
the core busy, and Orthanc from stopping. So the first instance goes on its own, and the others
follow in a job only where that one was answered at once and a worker is free. Else they go on their
own as well, each with an association: nobody waits for a destination that stalls.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from curator.config import DestinationSettings
from curator.errors import CoreError
from curator.gateway import Gateway
from curator.route.delivery import Confirm, Failure, Outcome, Package
from curator.route.destinations.classify import (
    dimse_status,
    is_connecting,
    is_timeout,
    of_core,
    of_dimse,
)
from curator.route.destinations.core_jobs import CoreJobs, End, Ended, batches, marked
from curator.route.destinations.one_by_one import GONE, Attempt, Tally, file_of, send_one_by_one
from curator.route.destinations.verification import Verifier, wanted
from curator.route.kinds import DestinationKind, FailureKind

#: The progress of a job in percent tells exactly which of as many instances is next.
LARGEST_BATCH = 100

#: Seconds that a C-ECHO may take.
ECHO_SECONDS = 5

#: Seconds that the first instance may take for the others to follow in a job.
QUICK_SECONDS = 1.0

#: Seconds that a job waits for an answer; at a stop, Orthanc waits twice as long for the job.
JOB_SECONDS = 10

_NO_WORKER = Failure(
    FailureKind.TRANSIENT,
    "refused for a reason that only a job of the core tells, and none of its workers was free"
    " (ConcurrentJobs)",
)


@dataclass
class _Way:
    """How instances go to a modality now.

    Attributes
    ----------
    quick : bool
        Whether it has answered so quickly that a job may wait for it.
    timed_out : bool
        Whether a job has waited in vain.
    """

    quick: bool = False
    timed_out: bool = False


class Modality:
    """A modality that is configured in the server.

    Parameters
    ----------
    modality : str
        Its name there.
    """

    def __init__(
        self,
        modality: str,
        gateway: Gateway,
        jobs: CoreJobs,
        settings: DestinationSettings,
        verifier: Verifier,
        clock: Callable[[], float],
    ) -> None:
        self.name = f"{DestinationKind.MODALITY}:{modality}"
        self._uri = f"/modalities/{quote(modality, safe='')}"
        self._gateway = gateway
        self._jobs = jobs
        self._settings = settings
        self._verifier = verifier
        self._clock = clock

    def send(self, package: Package, confirm: Confirm, stopping: Callable[[], bool]) -> Outcome:
        """Send instances by C-STORE."""
        attempt, way = Attempt(confirm, stopping, Tally()), _Way()
        send = self._send_and_verify if wanted(package.delivery.options) else self._send
        for batch in batches(package.instances, min(self._settings.batch, LARGEST_BATCH)):
            send(package, batch, attempt, way)
            if attempt.over:
                break
        return attempt.tally.outcome()

    def is_back(self) -> bool:
        """Try a C-ECHO."""
        return bool(self.test()["Success"])

    def test(self) -> dict[str, Any]:
        """Try a C-ECHO."""
        timeout = min(self._settings.timeout, ECHO_SECONDS)
        try:
            self._gateway.post_json(f"{self._uri}/echo", {"Timeout": timeout, "CheckFind": False})
        except CoreError as error:
            return {"Success": False, "Answer": f"C-ECHO: {error.message}"}
        return {"Success": True, "Answer": "C-ECHO: Success"}

    def _send_and_verify(
        self, package: Package, batch: Sequence[str], attempt: Attempt, way: _Way
    ) -> None:
        """Send a batch, and confirm what the modality says to have when it is asked again."""
        sent: list[str] = []
        self._send(package, batch, Attempt(sent.extend, attempt.stopping, attempt.tally), way)
        if sent:
            options, timeout = package.delivery.options, self._settings.timeout
            checked = self._verifier.modality(self._uri, sent, options, timeout, attempt.stopping)
            attempt.tally.failures.update(checked.failures)
            attempt.confirm(checked.there)

    def _send(self, package: Package, batch: Sequence[str], attempt: Attempt, way: _Way) -> None:
        syntax = package.delivery.options.transcode or self._settings.transcode
        if syntax is not None:
            self._straight(attempt, batch, syntax)
            return
        rest, patience = list(batch), 0.0
        if not way.quick:
            began = self._clock()
            refused = self._straight_first(attempt, rest[:1])
            way.quick = self._clock() - began <= QUICK_SECONDS and not way.timed_out
            rest[:1] = refused
        while rest and not attempt.over:
            ended = None
            if way.quick or patience:
                ended = self._job(package, rest, attempt, patience)
            if ended is not None:
                rest = self._after_job(attempt, rest, ended, way)
                patience = 0.0
            elif patience:
                attempt.tally.failure = _NO_WORKER
            else:
                rest = self._straight_first(attempt, rest)
                patience = float(self._settings.timeout)

    def _job(
        self, package: Package, batch: list[str], attempt: Attempt, patience: float
    ) -> Ended | None:
        """Send a batch as a job, which ends at the first instance that is refused."""
        confirmed = 0

        def progress(done: int) -> None:
            nonlocal confirmed
            attempt.confirm(batch[confirmed:done])
            attempt.tally.succeeded()
            confirmed = done

        body = {
            "Resources": batch,
            "Asynchronous": True,
            "Permissive": False,
            "Priority": package.delivery.priority,
            "Timeout": min(self._settings.timeout, JOB_SECONDS),
            "UserData": marked(package.delivery.id),
        }
        return self._jobs.run(
            lambda: self._gateway.post_json(f"{self._uri}/store", body),
            len(batch),
            progress,
            attempt.stopping,
            patience,
        )

    def _after_job(self, attempt: Attempt, batch: list[str], ended: Ended, way: _Way) -> list[str]:
        """Note what a job says, and return what is left to be sent."""
        tally, rest = attempt.tally, batch[ended.done :]
        if not rest or ended.end is End.STOPPED:
            return []
        if ended.end is End.REFUSED:
            return self._without_deleted(tally, rest, ended)
        if ended.end is End.LOST:
            tally.failure = Failure(FailureKind.TRANSIENT, ended.details or ended.message)
            return []
        status = dimse_status(ended.details, ended.payload)
        failure = of_core(ended.code, ended.message, ended.details)
        if status is not None and (refusal := of_dimse(status)) is None:
            attempt.confirm(rest[:1])
            tally.succeeded()
        elif status is not None and refusal is not None:
            tally.failed(rest[0], refusal)
        elif is_timeout(ended.details) and not way.timed_out:
            way.quick, way.timed_out = False, True
            return rest
        elif is_timeout(ended.details) or is_connecting(ended.details):
            tally.unreachable(failure)
        elif not self._gateway.lookup(rest[:1]):
            tally.failures[rest[0]] = GONE
        else:
            tally.failed(rest[0], failure)
        return rest[1:]

    def _without_deleted(self, tally: Tally, batch: list[str], ended: Ended) -> list[str]:
        """Return what is still stored; the core refuses a job where anything is not."""
        stored = {resource.orthanc_id for resource in self._gateway.lookup(batch)}
        gone = [instance for instance in batch if instance not in stored]
        tally.failures.update(dict.fromkeys(gone, GONE))
        if not gone:
            tally.failure = of_core(ended.code, ended.message)
        return [instance for instance in batch if instance in stored]

    def _straight(self, attempt: Attempt, batch: Sequence[str], syntax: str | None) -> None:
        """Send instances on their own; the core does not say why one was refused."""

        def send(instance: str) -> Failure | None:
            content = file_of(self._gateway, instance, syntax)
            if isinstance(content, Failure):
                return content
            self._gateway.post(f"{self._uri}/store-straight", content)
            return None

        send_one_by_one(attempt, batch, send, self.is_back, self._gateway.name_thread, self._clock)

    def _straight_first(self, attempt: Attempt, batch: list[str]) -> list[str]:
        """Send instances on their own, and return those that a job has to find the reason for."""
        over: set[str] = set()

        def confirm(instances: Sequence[str]) -> None:
            attempt.confirm(instances)
            over.update(instances)

        tally = Tally()
        self._straight(Attempt(confirm, attempt.stopping, tally), batch, None)
        if tally.away:
            attempt.tally.failure, attempt.tally.away = tally.failure, True
        for instance, failure in tally.failures.items():
            if failure.kind is not FailureKind.TRANSIENT:
                attempt.tally.failures[instance] = failure
                over.add(instance)
        return [instance for instance in batch if instance not in over]
