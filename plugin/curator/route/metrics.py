"""Numbers about deliveries in ``/tools/metrics-prometheus``."""

import re
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from curator.gateway import Gateway
from curator.route.couriers import Couriers
from curator.route.kinds import DeliveryState
from curator.route.ledger import Ledger
from curator.route.pulse import Pulse

#: Seconds between two publications, at least, and while anything gets older.
INTERVAL, AGING = 1.0, 60.0

#: States that deliveries stay in until something is done; each can be counted quickly.
_STATES = (DeliveryState.QUEUED, DeliveryState.SENDING, DeliveryState.PARKED)


@dataclass
class _Numbers:
    """What is published of a destination."""

    queued: int = 0
    sending: int = 0
    parked: int = 0
    delivered: int = 0
    failed: int = 0
    oldest_seconds: int = 0


class DeliveryMetrics:
    """Publishes how destinations stand, after changes and at most once a second.

    Queued, sending and parked are what the ledger holds now; delivered deliveries and failed
    attempts are counted from the start of Orthanc, as counters of Prometheus are.
    """

    def __init__(
        self,
        ledger: Ledger,
        couriers: Couriers,
        gateway: Gateway,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._couriers = couriers
        self._gateway = gateway
        self._clock = clock
        self._pulse = Pulse("curator-metrics", self.publish, INTERVAL, gateway.name_thread)
        ledger.on_change(self._pulse.poke)
        couriers.on_attempt(lambda _state: self._pulse.poke())

    def start(self) -> None:
        """Publish from now on."""
        self._pulse.start()

    def stop(self) -> None:
        """Publish no more."""
        self._pulse.stop()

    def publish(self) -> float | None:
        """Publish all numbers; return when they are out of date without any change."""
        numbers: dict[str, _Numbers] = defaultdict(_Numbers)
        for destination in self._ledger.destinations():
            self._add(numbers[metric_name(destination)], destination)
        for name, one in numbers.items():
            for what, number in vars(one).items():
                self._gateway.set_metric(f"curator_deliveries_{what}_{name}", number)
        return AGING if any(one.oldest_seconds for one in numbers.values()) else None

    def _add(self, numbers: _Numbers, destination: str) -> None:
        count = {state: self._ledger.count(destination, state) for state in _STATES}
        numbers.queued += count[DeliveryState.QUEUED]
        numbers.sending += count[DeliveryState.SENDING]
        numbers.parked += count[DeliveryState.PARKED]
        numbers.delivered += self._couriers.delivered(destination)
        numbers.failed += self._couriers.failed(destination)
        oldest = self._ledger.oldest(destination)
        if oldest is not None:
            age = int(max(1.0, self._clock() - oldest))
            numbers.oldest_seconds = max(numbers.oldest_seconds, age)


def metric_name(destination: str) -> str:
    """Return the name of a destination as names of metrics allow; those of two may be the same.

    Their numbers are then published together.
    """
    return re.sub(r"[^A-Za-z0-9_]", "_", destination)
