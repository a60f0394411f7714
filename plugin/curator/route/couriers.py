"""All couriers: one for every destination that there is something to take to."""

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Protocol

from curator.config import DestinationSettings
from curator.errors import CuratorError
from curator.gateway import Gateway
from curator.jobs import Workers
from curator.route.breaker import BreakerState
from curator.route.courier import Courier, Surroundings
from curator.route.delivery import Delivery, Destination
from curator.route.inventory import Inventory
from curator.route.kinds import DeliveryState
from curator.route.ledger import Ledger
from curator.route.pauses import PauseKind, Pauses
from curator.route.retry import Settlement

logger = logging.getLogger(__name__)

#: Seconds that a stop waits for couriers whose destinations do not let go, all together.
PATIENCE = 10.0

#: What the audit log calls it.
_ACTIONS = {DeliveryState.DELIVERED: "deliver", DeliveryState.PARKED: "park"}


class Directory(Protocol):
    """Finds destinations."""

    def get(self, name: str) -> Destination:
        """Return a destination.

        Raises
        ------
        NotFound
            If there is none of this name.
        """


class Couriers:
    """Couriers, made when they are needed.

    Parameters
    ----------
    settings : mapping
        What differs from the defaults, by the name of a destination.
    clock : callable
        Seconds since 1970.
    chance : callable
        A random number from 0 to 1.
    """

    def __init__(
        self,
        ledger: Ledger,
        destinations: Directory,
        settings: Mapping[str, DestinationSettings],
        pauses: Pauses,
        gateway: Gateway,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._gateway = gateway
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._couriers: dict[str, Courier] = {}
        self._started = False
        self._listeners: list[Callable[[DeliveryState], None]] = []
        self._failed: Counter[str] = Counter()
        self._delivered: Counter[str] = Counter()
        self._around = Surroundings(
            ledger=ledger,
            inventory=Inventory(gateway),
            find=destinations.get,
            pauses=pauses,
            name_thread=gateway.name_thread,
            clock=clock,
            chance=chance,
            stopping=self._stopping,
            ended=self._ended,
        )
        ledger.on_work(self.wake)
        pauses.on_change(self._pause_changed)

    # Life

    def start(self) -> None:
        """Take up what is queued, and what the last stop has interrupted."""
        interrupted = self._ledger.recover()
        if interrupted:
            logger.warning("%d deliveries were interrupted by a stop and go again", interrupted)
        self._started = True
        self._wake_all()

    def stop(self) -> None:
        """Let every attempt end as soon as its destination can; it goes on after the next start."""
        self._stopping.set()
        with self._lock:
            couriers = list(self._couriers.values())
        for courier in couriers:
            courier.wake()
        deadline = time.monotonic() + PATIENCE
        for courier in couriers:
            courier.join(deadline)

    # Others

    def wake(self, destination: str, *, hurry: bool = False) -> None:
        """Let a courier look for work.

        Parameters
        ----------
        hurry : bool
            Whether the destination is to be tried now though it did not answer.
        """
        if self._started and not self._stopping.is_set():
            self._courier(destination).wake(hurry=hurry)

    def on_attempt(self, listener: Callable[[DeliveryState], None]) -> None:
        """Tell a listener how a delivery stands after every attempt."""
        self._listeners.append(listener)

    def breaker(self, destination: str) -> BreakerState:
        """Return how the breaker of a destination stands."""
        with self._lock:
            courier = self._couriers.get(destination)
        return BreakerState.CLOSED if courier is None else courier.breaker

    def unreachable(self) -> list[str]:
        """Return the destinations that are left alone because they do not answer."""
        with self._lock:
            couriers = dict(self._couriers)
        return sorted(
            name for name, courier in couriers.items() if courier.breaker != BreakerState.CLOSED
        )

    @property
    def workers(self) -> Workers:
        """How many threads there are and work, without asking the database."""
        with self._lock:
            couriers = list(self._couriers.values())
        threads = sum(courier.threads for courier in couriers)
        return Workers(wanted=threads, alive=threads, busy=self._ledger.under_way)

    def delivered(self, destination: str) -> int:
        """Return how many deliveries were made to a destination since the start."""
        return self._delivered[destination]

    def failed(self, destination: str) -> int:
        """Return how many attempts have failed since the start."""
        return self._failed[destination]

    def _courier(self, destination: str) -> Courier:
        with self._lock:
            courier = self._couriers.get(destination)
            if courier is None:
                settings = self._settings.get(destination, DestinationSettings())
                courier = self._couriers[destination] = Courier(destination, settings, self._around)
            return courier

    def _wake_all(self) -> None:
        for destination in self._ledger.waiting_destinations():
            self.wake(destination)

    def _pause_changed(self, kind: PauseKind, name: str) -> None:
        if kind == PauseKind.DESTINATION:
            self.wake(name)
        else:
            self._wake_all()

    def _ended(self, delivery: Delivery, settlement: Settlement) -> None:
        """Count and note an attempt; ``delivery`` is as it was before it was settled."""
        destination = delivery.destination
        with self._lock:
            self._failed[destination] += settlement.failed
            self._delivered[destination] += settlement.state == DeliveryState.DELIVERED
        if settlement.state == DeliveryState.PARKED:
            logger.warning(
                "Delivery %s to %s is parked: %s", delivery.id, destination, settlement.answer
            )
        elif settlement.failed:
            logger.info("Delivery %s to %s: %s", delivery.id, destination, settlement.answer)
        if settlement.state in _ACTIONS:
            self._audit(delivery, _ACTIONS[settlement.state])
        for listener in self._listeners:
            listener(settlement.state)

    def _audit(self, delivery: Delivery, action: str) -> None:
        details = {
            "Delivery": delivery.id,
            "Destination": delivery.destination,
            "Rule": delivery.rule,
            "Version": delivery.version,
            "Instances": delivery.instances,
            "Done": delivery.done,
        }
        try:
            self._gateway.audit(delivery.user, delivery.level, delivery.resource, action, details)
        except CuratorError as error:
            logger.error("The audit log refuses an entry: %s", error)
