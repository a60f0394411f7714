"""What the change log does not keep: deleted resources, and jobs. It is taken up while we live."""

import logging
from collections import deque

from curator.errors import CuratorError
from curator.gateway import Gateway
from curator.route.events import Event
from curator.route.kinds import Trigger
from curator.route.signals import Signals

logger = logging.getLogger(__name__)

#: What the core tells of while it happens, and of nothing else later.
PASSING = frozenset({Trigger.DELETED, Trigger.JOB})

#: Notices that may wait to be taken up.
MOST = 100_000


class Notices:
    """Notices that wait to be taken up, the oldest first."""

    def __init__(self, gateway: Gateway, signals: Signals) -> None:
        self._gateway = gateway
        self._signals = signals
        self._waiting: deque[tuple[int, int, str]] = deque()
        self._dropped = 0

    def put(self, change: int, level: int, resource: str) -> None:
        """Add a notice; returns at once."""
        if len(self._waiting) < MOST:
            self._waiting.append((change, level, resource))
        else:
            self._dropped += 1

    def first(self, limit: int) -> list[Event]:
        """Return the events that waited longest; they wait on until they are `done`."""
        if self._dropped:
            logger.error("%d notices of jobs and deleted resources were dropped", self._dropped)
            self._dropped = 0
        count = min(limit, len(self._waiting))
        return [self._event(*self._waiting[number]) for number in range(count)]

    def done(self, count: int) -> None:
        """Drop events that were taken up."""
        for _ in range(count):
            self._waiting.popleft()

    def _event(self, change: int, level: int, resource: str) -> Event:
        if self._signals.trigger(change) is not Trigger.JOB:
            return Event(Trigger.DELETED, self._signals.level(level), resource)
        details = {"State": self._signals.job_state(change), "Type": self._job_type(resource)}
        return Event(Trigger.JOB, self._signals.level(level), resource, details=details)

    def _job_type(self, job_id: str) -> str:
        """Return the type of a job; the core forgets those that have ended long ago."""
        try:
            return str(self._gateway.get_json(f"/jobs/{job_id}")["Type"])
        except CuratorError:
            return ""
