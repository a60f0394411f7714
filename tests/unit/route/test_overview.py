"""What waits and what has failed, as the status tells it."""

import pytest
from sqlalchemy import insert

from curator.health.trouble import MOST_TROUBLES
from curator.route.kinds import DeliveryState, FailureKind, RunState
from curator.route.ledger import Ledger
from curator.route.listing import utc
from curator.route.overview import Overview
from curator.route.retry import Settlement
from curator.store import runs
from unit.route.delivering import OTHER, PACS, START, Clock, opened, run


class Place:
    """A ledger, and runs."""

    def __init__(self, store) -> None:
        self.store = store
        self.clock = Clock()
        self.ledger = Ledger(store, self.clock)
        self.overview = Overview(store, self.ledger, self.clock)

    def add_run(self, run_id: str, state: RunState, **fields) -> None:
        values = vars(run(run_id, state=state, changed=self.clock.now, **fields))
        with self.store.transaction() as connection:
            connection.execute(insert(runs).values(**values | {"subjects": [], "products": []}))

    def settle(self, run_id: str, state: DeliveryState, kind: str, to: str = PACS) -> str:
        opened(self.ledger, run_id, (run_id,), to)
        delivery = self.ledger.take(to, self.clock.now)
        settlement = Settlement(state, 1, self.clock.now + 60.0, kind, "refused")
        self.ledger.settle(delivery, settlement)
        return delivery.id


@pytest.fixture
def place(store):
    return Place(store)


def test_nothing_waits_at_the_beginning(place):
    nothing = {"Count": 0, "Since": None}
    assert place.overview.queue() == {"Runs": nothing, "Deliveries": nothing}
    assert place.overview.troubles() == []


def test_runs_that_are_due_are_told_and_later_ones_are_not(place):
    place.add_run("a", RunState.WAITING, due=START - 5)
    place.add_run("b", RunState.WAITING, due=START - 9)
    place.add_run("c", RunState.WAITING, due=START + 9)
    place.add_run("d", RunState.DONE, due=START - 99)
    assert place.overview.queue()["Runs"] == {"Count": 2, "Since": utc(START - 9)}


def test_queued_deliveries_are_told_with_the_oldest_of_all_destinations(place):
    place.clock.now = START
    opened(place.ledger, "a", ("a",), OTHER)
    place.clock.now = START + 5
    opened(place.ledger, "b", ("b",), PACS)
    place.settle("c", DeliveryState.PARKED, FailureKind.PERMANENT, to="peer:third")
    assert place.overview.queue()["Deliveries"] == {"Count": 2, "Since": utc(START)}


def test_failures_that_are_not_over_are_told_the_latest_first(place):
    parked = place.settle("a", DeliveryState.PARKED, FailureKind.PERMANENT)
    place.clock.now += 1
    tried = place.settle("b", DeliveryState.QUEUED, FailureKind.TRANSIENT, to=OTHER)
    place.clock.now += 1
    place.settle("c", DeliveryState.DELIVERED, "")
    place.add_run("d", RunState.FAILED, error="no such profile")
    place.add_run("e", RunState.DONE, error="")
    found = [(one.kind, one.id, one.name, one.state, one.code) for one in place.overview.troubles()]
    rule = run("d").rule
    assert found == [
        ("Run", "d", rule, "Failed", ""),
        ("Delivery", tried, OTHER, "Queued", "Transient"),
        ("Delivery", parked, PACS, "Parked", "Permanent"),
    ]


def test_list_is_bounded(place):
    for number in range(MOST_TROUBLES + 3):
        place.clock.now += 1
        place.settle(f"run{number}", DeliveryState.PARKED, FailureKind.PERMANENT)
    assert len(place.overview.troubles()) == MOST_TROUBLES
