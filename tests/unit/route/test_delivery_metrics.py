"""Numbers in ``/tools/metrics-prometheus``."""

import pytest

from curator.gateway import Gateway
from curator.route.couriers import Couriers
from curator.route.kinds import DeliveryState
from curator.route.ledger import Ledger
from curator.route.metrics import AGING, DeliveryMetrics, metric_name
from curator.route.pauses import Pauses
from curator.route.retry import Settlement
from unit.fake_sdk import FakeSdk
from unit.route.delivering import OTHER, PACS, START, Clock, FakeDestinations, opened


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def ledger(store, clock):
    return Ledger(store, clock)


@pytest.fixture
def sdk():
    return FakeSdk()


@pytest.fixture
def couriers(ledger, store, sdk, clock):
    return Couriers(ledger, FakeDestinations({}), {}, Pauses(store), Gateway(sdk), clock)


@pytest.fixture
def metrics(ledger, couriers, sdk, clock):
    return DeliveryMetrics(ledger, couriers, Gateway(sdk), clock)


def park(ledger, destination=PACS):
    delivery = ledger.take(destination, START + 1000)
    ledger.settle(delivery, Settlement(DeliveryState.PARKED, 1))


def test_every_destination_has_its_numbers(ledger, metrics, sdk, clock):
    opened(ledger, "parked", ("a",))
    park(ledger)
    clock.now += 30
    opened(ledger, "queued", ("b",))
    opened(ledger, "sending", ("c",), to=OTHER)
    ledger.take(OTHER, clock.now)
    clock.now += 12
    metrics.publish()
    pacs = {name: value for name, value in sdk.metrics.items() if name.endswith("modality_PACS")}
    assert pacs == {
        "curator_deliveries_queued_modality_PACS": 1,
        "curator_deliveries_sending_modality_PACS": 0,
        "curator_deliveries_delivered_modality_PACS": 0,
        "curator_deliveries_failed_modality_PACS": 0,
        "curator_deliveries_parked_modality_PACS": 1,
        "curator_deliveries_oldest_seconds_modality_PACS": 42,
    }
    assert sdk.metrics["curator_deliveries_sending_peer_other"] == 1


def test_ages_are_published_while_anything_waits_and_not_without(ledger, metrics):
    assert metrics.publish() is None
    opened(ledger)
    assert metrics.publish() == AGING
    ledger.settle(ledger.take(PACS, START), Settlement(DeliveryState.DELIVERED, 1))
    assert metrics.publish() is None


def test_names_that_become_the_same_are_counted_together(ledger, metrics, sdk):
    assert metric_name("modality:A-B") == metric_name("modality:A.B") == "modality_A_B"
    opened(ledger, "one", ("a",), to="modality:A-B")
    opened(ledger, "two", ("b",), to="modality:A.B")
    metrics.publish()
    assert sdk.metrics["curator_deliveries_queued_modality_A_B"] == 2


def test_changes_are_published_by_a_thread_of_its_own(ledger, metrics, sdk):
    metrics.start()
    opened(ledger)
    metrics.stop()
    assert "curator-metrics" in sdk.threads
