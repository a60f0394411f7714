"""A courier: what takes deliveries from the ledger to one destination, and notes what comes of it.

It has threads of its own, so that a destination that is dead or slow holds up nobody else. They are
started when there is work, sleep until the next attempt is due, and end when nothing is queued.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from curator.config import DestinationSettings
from curator.errors import CuratorError, NotFound, trace
from curator.level import Level
from curator.route.attempt import Attempt
from curator.route.breaker import Breaker, BreakerState
from curator.route.delivery import Delivery, Destination, Failure, Outcome, Package
from curator.route.delivery_rows import InstanceState
from curator.route.hours import opening
from curator.route.inventory import Inventory
from curator.route.kinds import DeliveryState, DestinationKind, FailureKind
from curator.route.lanes import Lanes
from curator.route.ledger import Ledger
from curator.route.pauses import PauseKind, Pauses
from curator.route.rate import Bucket
from curator.route.retry import Settlement, settle
from curator.route.run import Subject

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Instances that one attempt carries, so that urgent deliveries come in between.
PACKAGE = 500

#: Seconds that a thread sleeps at most before it looks at the clock again, which may have been set.
NAP = 600.0

#: Seconds that a clock may go back without being called wrong.
SLACK = 1.0

#: Seconds before a database is asked again that has failed.
DATABASE_INTERVAL = 5.0

UNEXPECTED = "unexpected error, see the log of Orthanc"


@dataclass(frozen=True)
class Surroundings:
    """What all couriers share.

    Attributes
    ----------
    find : callable
        Finds a destination by its name; raises ``NotFound``.
    chance : callable
        A random number from 0 to 1.
    ended : callable
        Takes deliveries after an attempt, as they are in the ledger now.
    """

    ledger: Ledger
    inventory: Inventory
    find: Callable[[str], Destination]
    pauses: Pauses
    name_thread: Callable[[str], None]
    clock: Callable[[], float]
    chance: Callable[[], float]
    stopping: threading.Event
    ended: Callable[[Delivery, Settlement], None]


class Courier:
    """The way to one destination.

    Parameters
    ----------
    name : str
        ``kind:name``.
    """

    def __init__(self, name: str, settings: DestinationSettings, around: Surroundings) -> None:
        self._name = name
        self._settings = settings
        self._around = around
        self._ledger = around.ledger
        self._clock = around.clock
        self._stopping = around.stopping
        self._lock = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._asleep = False
        self._prober: threading.Thread | None = None
        self._wakes = 0
        self._looked = 0.0
        self._lanes = Lanes()
        self._breaker = Breaker(settings.breaker)
        rate = settings.rate
        self._bucket = None if rate is None else Bucket.full(rate, self._clock())

    # From other threads

    @property
    def breaker(self) -> BreakerState:
        """How the breaker stands."""
        return self._breaker.state(self._clock())

    @property
    def threads(self) -> int:
        """How many threads there are; they are started when there is work."""
        return len(self._threads)

    def wake(self, *, hurry: bool = False) -> None:
        """Look for what is to be done.

        Parameters
        ----------
        hurry : bool
            Whether a destination that is left alone is to be tried now.
        """
        with self._lock:
            if hurry:
                self._breaker = self._breaker.hurried()
            self._bump()
            if not self._asleep:
                self._add_thread()

    def join(self, deadline: float) -> None:
        """Wait for the threads until a moment of the monotonic clock; they know of the stop."""
        with self._lock:
            self._bump()
            threads = list(self._threads)
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _bump(self) -> None:
        """Let every thread look again; the lock is held."""
        self._wakes += 1
        self._lock.notify_all()

    def _add_thread(self) -> None:
        """Start a thread if there may be more; the lock is held."""
        if len(self._threads) < self._settings.concurrency and not self._stopping.is_set():
            thread = threading.Thread(target=self._run, name="curator-send", daemon=True)
            self._threads.append(thread)
            thread.start()

    # The threads

    def _run(self) -> None:
        self._around.name_thread("curator-send")
        while (delivery := self._next()) is not None:
            with self._lock:
                if self._breaker.is_closed and not self._asleep:
                    self._add_thread()
            try:
                self._attempt(delivery)
            except Exception as error:  # noqa: BLE001  the others must go on
                logger.error("Delivery %s to %s: %s", delivery.id, self._name, trace(error))
                self._surely(partial(self._park, delivery))
            with self._lock:
                self._end_probe()
                self._bump()

    def _next(self) -> Delivery | None:
        """Wait for a delivery and take it; None when this thread is to end."""
        while True:
            with self._lock:
                seen = self._wakes
                if self._stopping.is_set():
                    self._threads.remove(threading.current_thread())
                    return None
            try:
                wait, delivery = self._look()
            except SQLAlchemyError as error:
                logger.error("Deliveries to %s cannot be read: %s", self._name, trace(error))
                wait, delivery = DATABASE_INTERVAL, None
            if delivery is not None:
                return delivery
            if not self._sleep(seen, wait):
                return None

    def _sleep(self, seen: int, wait: float | None) -> bool:
        """Sleep until there may be something to do; False if this thread is not needed any more."""
        with self._lock:
            if self._wakes != seen:
                return True
            if wait is None or self._asleep:
                self._threads.remove(threading.current_thread())
                return False
            self._asleep = True
            self._lock.wait(min(wait, NAP))
            self._asleep = False
        return True

    def _look(self) -> tuple[float | None, Delivery | None]:
        """Take a delivery, or tell how many seconds there is nothing to do; None: until woken."""
        now = self._clock()
        with self._lock:
            was_set_back = now < self._looked - SLACK
            self._looked = now
        if was_set_back:
            logger.warning("The clock was set back: attempts at %s come nearer", self._name)
            self._ledger.clamp()
        due = self._ledger.next_due(self._name)
        if due is None or self._around.pauses.paused(PauseKind.DESTINATION, self._name):
            return None, None
        wait = max(due, opening(self._settings.window, now)) - now
        if wait > 0:
            return wait, None
        with self._lock:
            if self._prober is not None:
                return None, None
            wait = max(self._breaker.wait(now), self._bucket.wait(now) if self._bucket else 0.0)
            if wait > 0:
                return wait, None
            is_probe = not self._breaker.is_closed
            if is_probe:
                self._prober = threading.current_thread()
        try:
            return self._probe(now) if is_probe else (NAP, self._take(now))
        except SQLAlchemyError:
            with self._lock:
                self._end_probe()
            raise

    def _probe(self, now: float) -> tuple[float | None, Delivery | None]:
        """Take one delivery if a destination that was left alone can be reached again."""
        is_back = self._is_back()
        delivery = self._take(now) if is_back else None
        if delivery is not None:
            return None, delivery
        with self._lock:
            self._end_probe()
            if is_back:
                return NAP, None
            now, chance = self._clock(), self._around.chance()
            self._breaker = self._breaker.not_back(now, chance)
            wait = self._breaker.wait(now)
        for overdue in self._ledger.park_overdue(self._name):
            self._around.ended(overdue, _parked(overdue))
        return wait, None

    def _is_back(self) -> bool:
        try:
            return self._around.find(self._name).is_back()
        except NotFound:
            return True  # its deliveries are parked with that reason
        except Exception as error:  # noqa: BLE001  a destination must not end its courier
            logger.error("%s cannot be asked: %s", self._name, trace(error))
            return False

    def _end_probe(self) -> None:
        """Let others probe, if this thread did; the lock is held."""
        if self._prober is threading.current_thread():
            self._prober = None

    def _take(self, now: float) -> Delivery | None:
        with self._lock:
            order = self._lanes.order
        delivery = self._ledger.take(self._name, now, order)
        if delivery is None:
            return None
        until = opening(delivery.options.window, now)
        if until > now:
            self._ledger.postpone(delivery, until)
            with self._lock:
                self._wakes += 1  # others may be due
            return None
        with self._lock:
            self._lanes = self._lanes.taken()
        return delivery

    # One attempt

    def _attempt(self, delivery: Delivery) -> None:
        instances = self._surely(partial(self._ledger.pending, delivery, self._size(delivery)))
        if instances is None:
            return  # Orthanc stops, and the next start queues it again
        attempt = Attempt(self._ledger, delivery, instances, self._clock)
        outcome = self._send(attempt)
        self._surely(attempt.flush)
        if self._stopping.is_set():
            self._surely(partial(self._interrupt, attempt, outcome))
            return
        if not self._ledger.withdrawn(delivery.id):
            self._judge(attempt, outcome)
        self._surely(partial(self._settle, attempt, outcome))

    def _send(self, attempt: Attempt) -> Outcome:
        delivery = attempt.delivery
        if delivery.instances and not attempt.instances:
            return Outcome()  # another delivery has brought them there meanwhile
        try:
            destination = self._around.find(self._name)
        except NotFound as error:
            return Outcome(failure=Failure(FailureKind.PERMANENT, str(error)))
        except CuratorError as error:
            return Outcome(failure=Failure(FailureKind.TRANSIENT, str(error)))
        with self._lock:
            if self._bucket is not None:
                self._bucket = self._bucket.take(len(attempt.instances) or 1, self._clock())
        try:
            changed = self._changed(attempt) if delivery.options.copies else {}
            going = tuple(one for one in attempt.instances if one not in changed)
            if attempt.instances and not going:
                return Outcome(changed)
            package = Package(delivery, going)
            unwanted = partial(self._is_unwanted, delivery)
            outcome = destination.send(package, attempt.confirm, unwanted)
            return replace(outcome, failures={**outcome.failures, **changed})
        except Exception as error:  # noqa: BLE001  it has to be noted, whatever it is
            logger.error("Delivery %s to %s: %s", delivery.id, self._name, trace(error))
            return Outcome(failure=Failure(FailureKind.TRANSIENT, UNEXPECTED))

    def _changed(self, attempt: Attempt) -> dict[str, Failure]:
        """Return the copies in whose place something else is stored now: it is not for them."""
        expected = self._ledger.fingerprints(attempt.delivery, attempt.instances)
        failure = Failure(FailureKind.GONE, "was replaced before it could be sent")
        inventory = self._around.inventory
        stored = inventory.instances(Subject(Level.INSTANCE, one) for one in attempt.instances)
        return {
            name: failure
            for name, resource in stored.items()
            if inventory.fingerprint(resource) != expected[name]
        }

    def _is_unwanted(self, delivery: Delivery) -> bool:
        """Tell whether a delivery that is under way is to end: Orthanc stops, or a user says so."""
        return self._stopping.is_set() or self._ledger.withdrawn(delivery.id)

    def _size(self, delivery: Delivery) -> int:
        """Return how many instances go in one attempt; all where their number says something."""
        kind = self._name.partition(":")[0]
        if kind == DestinationKind.WEBHOOK or delivery.options.check_count:
            return max(1, delivery.instances)
        if self._bucket is not None:
            return min(PACKAGE, self._bucket.size)
        return max(PACKAGE, self._settings.batch)

    def _judge(self, attempt: Attempt, outcome: Outcome) -> None:
        """Tell from an attempt whether the destination as a whole works."""
        options, failure = attempt.delivery.options, outcome.failure
        failed = failure is not None and failure.kind == FailureKind.TRANSIENT
        now, chance = self._clock(), self._around.chance()
        with self._lock:
            before = self._breaker
            self._breaker = (
                before.failed(now, options.first, options.longest, chance)
                if failed and not attempt.confirmed
                else before.succeeded()
            )
            is_closed = self._breaker.is_closed
        if before.is_closed != is_closed:
            logger.warning("%s %s", self._name, "is back" if is_closed else "does not answer")

    def _settle(self, attempt: Attempt, outcome: Outcome) -> None:
        ledger, delivery = self._ledger, attempt.delivery
        refused, gone = attempt.refused(outcome), attempt.gone(outcome)
        ledger.mark(delivery, refused, InstanceState.REFUSED)
        ledger.mark(delivery, gone, InstanceState.GONE)
        current = ledger.get(delivery.id) or delivery
        remaining = ledger.remaining(delivery.id)
        progressed = current.done > delivery.done or bool(refused or gone)
        chance = self._around.chance()
        settlement = settle(current, remaining, outcome, progressed, self._clock(), chance)
        if settlement.state == DeliveryState.QUEUED:
            at = opening(delivery.options.window, settlement.next_attempt)
            settlement = replace(settlement, next_attempt=at)
        if ledger.settle(current, settlement):
            self._around.ended(current, settlement)

    def _interrupt(self, attempt: Attempt, outcome: Outcome) -> None:
        """Note a delivery that a stop has interrupted: delivered, or queued again without a try."""
        delivery = attempt.delivery
        if delivery.instances and not self._ledger.remaining(delivery.id).pending:
            self._settle(attempt, outcome)
            return
        state = DeliveryState.QUEUED
        settlement = Settlement(state, delivery.attempts, delivery.next_attempt)
        self._ledger.settle(delivery, settlement)

    def _park(self, delivery: Delivery) -> None:
        state, kind = DeliveryState.PARKED, FailureKind.PERMANENT
        settlement = Settlement(state, delivery.attempts, 0.0, kind, UNEXPECTED, failed=True)
        if self._ledger.settle(delivery, settlement):
            self._around.ended(delivery, settlement)

    def _surely(self, work: Callable[[], T]) -> T | None:
        """Do something with the database, again and again until it works or Orthanc stops."""
        while True:
            try:
                return work()
            except SQLAlchemyError as error:
                logger.error("A delivery to %s cannot be noted: %s", self._name, trace(error))
            if self._stopping.wait(DATABASE_INTERVAL):
                return None


def _parked(delivery: Delivery) -> Settlement:
    """Return the settlement of a delivery that has been parked already."""
    return Settlement(
        delivery.state, delivery.attempts, 0.0, delivery.failure, delivery.answer, failed=True
    )
