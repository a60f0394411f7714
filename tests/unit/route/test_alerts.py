"""Digests for webhooks: what is new, once, and nothing of patients."""

import json

import pytest
from sqlalchemy import insert

from curator.config import Alerts
from curator.route.alerts import MARGIN, AlertDigests
from curator.route.delivery import Failure
from curator.route.kinds import DeliveryState, FailureKind, RunState
from curator.route.ledger import Ledger
from curator.route.retry import Settlement
from curator.store import runs
from unit.route.delivering import OTHER, PACS, START, Clock, opened, run

MINUTES = 15
INTERVAL = MINUTES * 60.0


class Place:
    """A ledger, and webhooks that take digests or do not."""

    def __init__(self, store, webhooks=("ops",)) -> None:
        self.store = store
        self.webhooks = webhooks
        self.clock = Clock()
        self.ledger = Ledger(store, self.clock)
        self.dead: list[str] = []
        self.refusing: set[str] = set()
        self.posted: list[tuple[str, dict]] = []
        self.alerts = self.restarted()

    def restarted(self) -> AlertDigests:
        self.alerts = AlertDigests(
            self.store,
            self.ledger,
            Alerts(webhooks=self.webhooks, minutes=MINUTES),
            lambda: sorted(self.dead),
            self._post,
            lambda _name: None,
            self.clock,
        )
        return self.alerts

    def _post(self, webhook: str, digest: dict) -> Failure | None:
        if webhook in self.refusing:
            return Failure(FailureKind.TRANSIENT, "HTTP status 503")
        self.posted.append((webhook, digest))
        return None

    def park(self, run_id: str, to: str = PACS, **fields) -> None:
        opened(self.ledger, run_id, (run_id,), to, **fields)
        delivery = self.ledger.take(to, self.clock.now)
        self.ledger.settle(delivery, Settlement(DeliveryState.PARKED, 1, answer="secret"))

    def add_run(self, run_id: str, state: RunState, **fields) -> None:
        given = {"changed": self.clock.now, "error": "secret", **fields}
        values = vars(run(run_id, state=state, **given))
        with self.store.transaction() as connection:
            connection.execute(insert(runs).values(**values | {"subjects": [], "products": []}))

    def after(self, seconds: float) -> list[dict]:
        """Let time pass; return what is posted then."""
        self.clock.now += seconds
        before = len(self.posted)
        self.alerts.send()
        return [digest for _, digest in self.posted[before:]]


@pytest.fixture
def place(store):
    return Place(store)


def test_nothing_wrong_is_not_told(place):
    opened(place.ledger)
    assert place.after(INTERVAL) == []


def test_a_digest_has_numbers_by_destination_rule_and_state_and_nothing_else(place):
    place.park("one")
    place.park("two")
    place.park("three", OTHER, rule="night")
    place.add_run("held", RunState.HELD)
    place.add_run("failed", RunState.FAILED)
    place.add_run("done", RunState.DONE)
    place.dead = ["modality:DEAD"]
    (digest,) = place.after(MARGIN)
    assert digest.pop("Time")
    assert digest == {
        "Event": "Alert",
        "Parked": [
            {"Destination": PACS, "Rule": "rule", "Count": 2},
            {"Destination": OTHER, "Rule": "night", "Count": 1},
        ],
        "Runs": [
            {"Rule": "rule", "State": "Failed", "Count": 1},
            {"Rule": "rule", "State": "Held", "Count": 1},
        ],
        "Incomplete": [],
        "Unreachable": ["modality:DEAD"],
    }
    assert "secret" not in json.dumps(digest)


def test_what_was_incomplete_at_its_deadline_is_told_where_the_rule_wants_it(place):
    incomplete = {"error": "incomplete at its deadline: 1 series", "deadline": START}
    for run_id, then in (("alert", "Alert"), ("proceed", "Proceed")):
        content = {"Complete": {"Then": then}}
        place.add_run(run_id, RunState.SENDING, content=content, **incomplete)
    waits = {
        "error": "waits: 1 series",
        "deadline": START,
        "content": {"Complete": {"Then": "Alert"}},
    }
    place.add_run("waiting", RunState.WAITING, **waits)
    (digest,) = place.after(MARGIN)
    assert digest["Incomplete"] == [{"Rule": "rule", "Count": 1}]
    assert "series" not in json.dumps(digest)
    assert place.after(INTERVAL) == []


def test_what_was_told_is_not_told_again_also_after_a_restart(place):
    place.park("one")
    place.dead = [PACS]
    assert len(place.after(MARGIN)) == 1
    assert place.after(INTERVAL) == []
    place.restarted()
    assert place.after(INTERVAL) == []


def test_digests_are_at_least_as_far_apart_as_configured_and_lose_nothing(place):
    place.park("one")
    assert len(place.after(MARGIN)) == 1
    for number in range(3):
        place.park(f"later {number}")
        assert place.after(60) == []
    (digest,) = place.after(INTERVAL - 180)
    assert [one["Count"] for one in digest["Parked"]] == [3]


def test_what_has_just_changed_is_told_a_moment_later(place):
    place.park("one")
    assert place.alerts.send() == MARGIN
    assert place.posted == []
    assert len(place.after(MARGIN)) == 1


def test_a_destination_that_fails_again_is_told_again(place):
    place.dead = [PACS]
    assert len(place.after(1)) == 1
    place.dead = []
    assert place.after(INTERVAL) == []
    place.dead = [PACS]
    assert len(place.after(INTERVAL)) == 1


def test_a_webhook_that_does_not_take_it_gets_it_later_and_others_do_not_wait(store):
    place = Place(store, ("ops", "backup"))
    place.refusing = {"ops"}
    place.park("one")
    place.after(MARGIN)
    assert [webhook for webhook, _ in place.posted] == ["backup"]
    place.refusing = set()
    place.after(INTERVAL)
    assert [webhook for webhook, _ in place.posted] == ["backup", "ops"]


def test_a_clock_that_was_set_back_tells_rather_twice_than_never(place):
    place.clock.now = START + 1e6
    place.park("one")
    assert len(place.after(MARGIN)) == 1
    place.clock.now = START
    place.park("two")
    (digest,) = place.after(MARGIN)
    assert digest["Parked"][0]["Count"] >= 1


def test_nobody_to_tell_is_no_thread(store):
    place = Place(store, ())
    place.alerts.start()
    place.alerts.changed()
    place.alerts.stop()
    assert place.posted == []
