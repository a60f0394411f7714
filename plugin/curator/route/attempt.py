"""One attempt at a delivery: what was tried, what the destination has confirmed, what is left."""

import logging
import threading
from collections.abc import Callable, Sequence

from sqlalchemy.exc import SQLAlchemyError

from curator.errors import trace
from curator.route.delivery import Delivery, Outcome
from curator.route.kinds import FailureKind
from curator.route.ledger import Ledger
from curator.route.retry import DELETED

logger = logging.getLogger(__name__)

#: Confirmations are noted at once, but those that come faster together: a commit takes about a
#: millisecond, a third of what an instance takes.
INTERVAL = 0.25
MOST = 100


class Attempt:
    """What happens in an attempt.

    Parameters
    ----------
    instances : tuple of str
        What is tried.
    """

    def __init__(
        self,
        ledger: Ledger,
        delivery: Delivery,
        instances: tuple[str, ...],
        clock: Callable[[], float],
    ) -> None:
        self.delivery = delivery
        self.instances = instances
        self._ledger = ledger
        self._clock = clock
        self._lock = threading.Lock()
        self._confirmed: set[str] = set()
        self._unnoted: list[str] = []
        self._noted_at = 0.0

    def confirm(self, instances: Sequence[str]) -> None:
        """Take what the destination has confirmed; never raises."""
        with self._lock:
            self._confirmed.update(instances)
            self._unnoted += instances
            waited = abs(self._clock() - self._noted_at)
            if waited < INTERVAL and len(self._unnoted) < MOST:
                return
            try:
                self._note()
            except SQLAlchemyError as error:  # `flush` tries again
                logger.error("Confirmations cannot be noted: %s", trace(error))

    def flush(self) -> None:
        """Note what is not noted yet."""
        with self._lock:
            self._note()

    def _note(self) -> None:
        if self._unnoted:
            self._ledger.confirm(self.delivery, self._unnoted)
            self._unnoted = []
            self._noted_at = self._clock()

    @property
    def confirmed(self) -> bool:
        """Whether the destination has confirmed anything."""
        return bool(self._confirmed)

    def refused(self, outcome: Outcome) -> dict[str, str]:
        """Return the answers to instances that were refused for good."""
        return self._failed(outcome, FailureKind.PERMANENT)

    def gone(self, outcome: Outcome) -> dict[str, str]:
        """Return the instances that were deleted before they could be sent."""
        gone = self._failed(outcome, FailureKind.GONE)
        if outcome.failure is not None and outcome.failure.kind == FailureKind.GONE:
            gone |= dict.fromkeys(self._left(outcome), DELETED)
        return gone

    def _failed(self, outcome: Outcome, kind: FailureKind) -> dict[str, str]:
        return {
            instance: failure.answer
            for instance, failure in outcome.failures.items()
            if failure.kind == kind and instance not in self._confirmed
        }

    def _left(self, outcome: Outcome) -> list[str]:
        known = self._confirmed.union(outcome.failures)
        return [instance for instance in self.instances if instance not in known]
