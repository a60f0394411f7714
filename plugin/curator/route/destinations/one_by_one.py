"""Send instances on their own, without the core's job engine."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from curator.errors import CoreError, trace
from curator.gateway import Gateway, uri
from curator.level import Level
from curator.route.delivery import Confirm, Failure, Outcome
from curator.route.destinations.classify import of_core
from curator.route.destinations.crew import Crew
from curator.route.kinds import FailureKind

logger = logging.getLogger(__name__)

#: Instances on their way at the same time: two of them are as fast as one association for all.
THREADS = 2

#: Instances that fail one after the other before the rest is left for the next attempt.
IN_A_ROW = 3

#: Seconds after which a call that fails has met a destination that does not answer: one that
#: refuses an instance does so sooner.
STALL_SECONDS = 5.0

GONE = Failure(FailureKind.GONE, "was deleted")


class NoAnswer(Failure):
    """A failure that concerns the destination as a whole, not the instance."""


@dataclass
class Tally:
    """What has failed so far.

    Attributes
    ----------
    failure : Failure or None
        What ended the attempt for all that was left.
    away : bool
        Whether that is because the destination does not answer.
    in_a_row : int
        Instances that may have failed because of the destination, since the last that did not.
    """

    failures: dict[str, Failure] = field(default_factory=dict)
    failure: Failure | None = None
    away: bool = False
    in_a_row: int = 0

    def succeeded(self) -> None:
        """Note that an instance was taken."""
        self.in_a_row = 0

    def failed(self, instance: str, failure: Failure) -> None:
        """Note that an instance was not taken; too many in a row concern the destination."""
        self.failures[instance] = failure
        if failure.kind is FailureKind.TRANSIENT:
            self.in_a_row += 1
        if self.in_a_row >= IN_A_ROW:
            self.failure = self.failure or failure

    def unreachable(self, failure: Failure) -> None:
        """Note that the destination does not answer."""
        self.failure, self.away = failure, True

    def outcome(self) -> Outcome:
        """Return it as the answer to the ledger."""
        return Outcome(dict(self.failures), self.failure)


@dataclass(frozen=True)
class Attempt:
    """One attempt to send instances.

    Attributes
    ----------
    confirm : callable
        Takes the instances that are at the destination.
    stopping : callable
        Whether Orthanc stops.
    """

    confirm: Confirm
    stopping: Callable[[], bool]
    tally: Tally

    @property
    def over(self) -> bool:
        """Whether nothing more is sent."""
        return self.tally.failure is not None or self.stopping()


def send_one_by_one(
    attempt: Attempt,
    instances: Sequence[str],
    send: Callable[[str], Failure | None],
    is_back: Callable[[], bool],
    name_thread: Callable[[str], None],
    clock: Callable[[], float],
) -> None:
    """Send instances until all have an answer, the destination is away, or Orthanc stops.

    Parameters
    ----------
    send : callable
        Sends one; returns what went wrong.
    is_back : callable
        Whether the destination answers at all; asked after a failure that may pass.
    clock : callable
        Seconds.
    """

    def guarded(instance: str) -> Failure | None:
        began = clock()
        failure = _guarded(send, instance)
        if failure and failure.kind is FailureKind.TRANSIENT and clock() - began >= STALL_SECONDS:
            return NoAnswer(failure.kind, f"no answer in time: {failure.answer}")
        return failure

    crew = Crew(guarded, instances, THREADS, bool, attempt.stopping, name_thread)
    for done in crew:
        if taken := [one.item for one in done if one.result is None]:
            attempt.confirm(taken)
            attempt.tally.succeeded()
        for one in done:
            if one.result is not None:
                _note(attempt.tally, one.item, one.result, is_back)
        if attempt.tally.failure:
            crew.enough()


def _note(tally: Tally, instance: str, failure: Failure, is_back: Callable[[], bool]) -> None:
    tally.failed(instance, failure)
    may_pass = failure.kind is FailureKind.TRANSIENT and not tally.away
    if may_pass and (isinstance(failure, NoAnswer) or not is_back()):
        tally.unreachable(failure)


def _guarded(send: Callable[[str], Failure | None], instance: str) -> Failure | None:
    try:
        return send(instance)
    except CoreError as error:
        return of_core(error.core_code, error.message)
    except Exception as error:  # noqa: BLE001  whatever it is, it has to reach the ledger
        logger.error("Instance %s could not be sent: %s", instance, trace(error))
        return Failure(FailureKind.TRANSIENT, f"could not be sent: {type(error).__name__}")


def file_of(gateway: Gateway, instance: str, transfer_syntax: str | None) -> bytes | Failure:
    """Read what is sent of an instance: its file, transcoded if need be.

    A file that cannot be transcoded is not sent as it is.
    """
    try:
        if transfer_syntax is None:
            return gateway.read(instance)
        place = uri(Level.INSTANCE, instance)
        return gateway.get(f"{place}/file?transcode={transfer_syntax}")
    except CoreError as error:
        if not gateway.exists(Level.INSTANCE, instance):
            return GONE
        if transfer_syntax is None:
            return Failure(FailureKind.TRANSIENT, f"cannot be read: {error.message}")
        text = f"cannot be transcoded to {transfer_syntax}: {error.message}"
        return Failure(FailureKind.PERMANENT, text)
