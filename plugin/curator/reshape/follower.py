"""Watches for what arrives under the identifiers of something that has moved."""

import logging
import threading

from curator.errors import CuratorError, trace
from curator.gateway import Gateway
from curator.journal import Follow, Journal
from curator.level import Level
from curator.models import validate
from curator.reshape.operation import Caller, Operation, Operations
from curator.reshape.operations import FollowRequest
from curator.reshape.plan import Plan

logger = logging.getLogger(__name__)

#: Seconds that are waited after an arrival, so that what comes together is moved together, and
#: before it is tried again.
QUIET = 1.0
AGAIN = 10.0

#: Seconds between two looks for what the journal need not keep any longer.
HOUSEKEEPING = 3600.0


class Follower:
    """Sends what arrives late after what it belongs to.

    Only new series and studies are looked at, and each once when it has moved: the first instance
    that arrives after that makes its series anew, and it is there until all have gone on.

    Parameters
    ----------
    retention_days : int
        How long the journal is kept.
    """

    def __init__(
        self,
        journal: Journal,
        operations: Operations,
        kind: Operation,
        gateway: Gateway,
        retention_days: int,
    ) -> None:
        self._journal = journal
        self._operations = operations
        self._kind = kind
        self._gateway = gateway
        self._retention_days = retention_days
        self._stopping = threading.Event()
        self._arrived = threading.Event()
        self._lock = threading.Lock()
        self._waiting: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="curator-follow", daemon=True)

    def start(self) -> None:
        """Start to watch; what has arrived while nobody did is found."""
        self._journal.watch(self.arrived)
        with self._lock:
            self._waiting = set(self._journal.followed())
        self._arrived.set()
        self._thread.start()

    def stop(self) -> None:
        """Stop at the next opportunity, and wait for it."""
        self._stopping.set()
        self._arrived.set()
        if self._thread.is_alive():
            self._thread.join()

    def arrived(self, orthanc_id: str) -> None:
        """Take notice of a new series or study, or of one that has moved; returns at once.

        When it has moved, it may be there still: what arrived meanwhile was not taken along.
        """
        if orthanc_id in self._journal.followed():
            with self._lock:
                self._waiting.add(orthanc_id)
            self._arrived.set()

    def _run(self) -> None:
        self._gateway.name_thread("curator-follow")
        self._tidy()
        while not self._stopping.is_set():
            if not self._arrived.wait(HOUSEKEEPING):
                self._tidy()
                continue
            self._stopping.wait(QUIET)
            self._arrived.clear()
            with self._lock:
                waiting, self._waiting = self._waiting, set()
            for orthanc_id in sorted(waiting):
                if not self._stopping.is_set():
                    self._follow_safely(orthanc_id)

    def _tidy(self) -> None:
        try:
            self._journal.expire(self._retention_days)
        except Exception as error:  # noqa: BLE001  tried again later
            logger.error("The journal could not be tidied up: %s", trace(error))

    def _follow_safely(self, orthanc_id: str) -> None:
        try:
            done = self._follow(orthanc_id)
        except CuratorError as error:
            logger.warning("What arrived late in %s waits: %s", orthanc_id, error)
            done = False
        except Exception as error:  # noqa: BLE001  the thread must outlive its database
            logger.error("What arrived late in %s waits: %s", orthanc_id, trace(error))
            done = False
        if not done:
            self._try_again(orthanc_id)

    def _follow(self, orthanc_id: str) -> bool:
        """Move what is there; False if there may be more."""
        followed = self._journal.followed().get(orthanc_id)
        if followed is None:
            return True
        level = Level(followed.level)
        if not self._gateway.exists(level, orthanc_id):
            return True
        if not self._leads_somewhere(followed):
            self._journal.unfollow(followed.operation)
            return True
        body = {"Operation": followed.operation, "Level": level}
        request = FollowRequest(operation=followed.operation, level=level)
        content = self._operations.submit(self._kind, orthanc_id, request, body, Caller("", {}))
        if content.get("UnmovedInstancesCount") or content.get("FailedInstancesCount"):
            return True
        return not self._gateway.exists(level, orthanc_id)

    def _leads_somewhere(self, followed: Follow) -> bool:
        """Tell whether anything is left of what the operation has made, or has moved on itself.

        Where all of it was deleted, what arrives is no straggler but a new beginning.
        """
        kept = self._journal.plan(followed.operation)
        if kept is None:
            return False
        series = validate(Plan, kept).series
        moved_on = self._journal.followed()
        return any(
            one.orthanc_id in moved_on or one.study_orthanc_id in moved_on for one in series
        ) or any(
            self._gateway.exists(Level.INSTANCE, instance.orthanc_id)
            for one in series
            for instance in one.instances
        )

    def _try_again(self, orthanc_id: str) -> None:
        def again() -> None:
            with self._lock:
                self._waiting.add(orthanc_id)
            self._arrived.set()

        timer = threading.Timer(AGAIN, again)
        timer.daemon = True
        timer.start()
