"""Couriers: what is queued arrives, one destination holds up no other, a stop loses nothing."""

import threading
from collections.abc import Callable

import pytest
from sqlalchemy.exc import OperationalError

from curator.config import DestinationSettings
from curator.gateway import Gateway
from curator.level import Level
from curator.route import courier as courier_module
from curator.route import couriers as couriers_module
from curator.route.breaker import BreakerState
from curator.route.couriers import Couriers
from curator.route.delivery import Failure, Item, Outcome, SendOptions
from curator.route.delivery_rows import Filter
from curator.route.inventory import Inventory
from curator.route.kinds import FailureKind
from curator.route.ledger import Ledger
from curator.route.pauses import PauseKind, Pauses
from curator.route.run import Subject
from factory import ct_series
from unit.fake_sdk import FakeSdk
from unit.reshape.memory import MemoryOrthanc
from unit.route.delivering import (
    OTHER,
    PACS,
    PATIENCE,
    START,
    Clock,
    FakeDestination,
    FakeDestinations,
    opened,
    run,
)

DOWN = Outcome(failure=Failure(FailureKind.TRANSIENT, "no answer"))
REFUSED = Failure(FailureKind.PERMANENT, "DIMSE status 0xA900")


def fail(package, confirm, stopping):
    return DOWN


def end_when(stopping: Callable[[], bool]) -> Outcome:
    """Go on until it is not wanted any more."""
    for _ in range(PATIENCE * 1000):
        if stopping():
            return Outcome()
        threading.Event().wait(0.001)
    raise AssertionError("nobody has stopped it")


class Place:
    """A ledger, its couriers and two destinations."""

    def __init__(self, store) -> None:
        self.store = store
        self.clock = Clock()
        self.ledger = Ledger(store, self.clock)
        self.pauses = Pauses(store)
        self.pacs, self.other = FakeDestination(PACS), FakeDestination(OTHER)
        self.destinations = FakeDestinations({PACS: self.pacs, OTHER: self.other})
        self.settings = dict.fromkeys((PACS, OTHER), DestinationSettings(concurrency=1))
        self.sdk = FakeSdk()
        self.couriers: Couriers | None = None
        self._changed = threading.Condition()

    def start(self) -> Couriers:
        self.couriers = Couriers(
            self.ledger,
            self.destinations,
            self.settings,
            self.pauses,
            Gateway(self.sdk),
            self.clock,
            chance=lambda: 1.0,
        )
        self.ledger.on_change(self._notify)
        self.couriers.on_attempt(lambda _state: self._notify())
        self.couriers.start()
        return self.couriers

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so, looking whenever a delivery has changed, and in between."""
        with self._changed:
            for _ in range(PATIENCE * 100):
                if self._changed.wait_for(condition, 0.01):
                    return
        raise AssertionError([vars(one) for one in self.ledger.find(Filter())])

    def state(self, run_id: str = "run") -> str:
        return self.ledger.of_run(run_id)[-1].state

    def states(self) -> set[str]:
        return {one.state for one in self.ledger.find(Filter())}

    def wait_for(self, state: str, run_id: str = "run") -> None:
        self.wait(lambda: self.state(run_id) == state)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and those look at the clock who sleep."""
        self.clock.now += seconds
        for name in (PACS, OTHER):
            self.couriers.wake(name)


@pytest.fixture
def place(store):
    place = Place(store)
    yield place
    if place.couriers is not None:
        place.couriers.stop()


def names_of_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "curator-send"]


# Arrival


def test_what_is_queued_arrives_and_its_run_hears_of_it(place):
    told = []
    place.ledger.on_over(told.append)
    place.start()
    opened(place.ledger)
    place.wait_for("Delivered")
    place.wait(lambda: told == ["run"])
    assert place.pacs.sent == [("a", "b")]
    assert place.couriers.delivered(PACS) == 1


def test_what_was_queued_before_the_start_arrives_too(place):
    opened(place.ledger)
    assert place.pacs.sent == []
    place.start()
    place.wait_for("Delivered")


def test_a_delivery_and_its_end_are_in_the_audit_log_without_values(place):
    place.start()
    opened(place.ledger)
    place.wait_for("Delivered")
    place.wait(lambda: len(place.sdk.audits) == 1)
    ((_, _, _, resource, action, details),) = place.sdk.audits
    assert (resource, action) == ("study", "deliver")
    assert b'"Done": 2' in details


def test_large_deliveries_go_in_packages_and_urgent_ones_in_between(place, monkeypatch):
    monkeypatch.setattr(courier_module, "PACKAGE", 2)
    place.settings[PACS] = DestinationSettings(batch=1, concurrency=1)

    def urgent_comes(package, confirm, stopping):
        opened(place.ledger, "urgent", ("x",), priority=90)
        confirm(package.instances)
        return Outcome()

    place.pacs.acts = [urgent_comes]
    opened(place.ledger, "large", ("a", "b", "c", "d", "e"))
    place.start()
    place.wait_for("Delivered", "large")
    assert place.pacs.sent == [("a", "b"), ("x",), ("c", "d"), ("e",)]
    assert place.couriers.failed(PACS) == 0


def test_webhooks_are_told_of_all_instances_at_once(place, monkeypatch):
    monkeypatch.setattr(courier_module, "PACKAGE", 2)
    hook = place.destinations.known["webhook:hook"] = FakeDestination("webhook:hook")
    place.start()
    place.ledger.open(run("notice"), "webhook:hook", [], SendOptions(), {"Event": "Deleted"})
    opened(place.ledger, "large", "abcde", to="webhook:hook")
    place.wait(lambda: place.states() == {"Delivered"})
    assert sorted(hook.sent) == [(), ("a", "b", "c", "d", "e")]
    assert {str(package.delivery.event) for package in hook.packages} == {
        "{}",
        "{'Event': 'Deleted'}",
    }


# Failures


def test_a_failed_attempt_goes_again_when_its_time_has_come(place):
    place.pacs.acts = [fail]
    place.start()
    opened(place.ledger)
    place.wait(lambda: place.couriers.failed(PACS) == 1)
    place.wait_for("Queued")
    waiting = place.ledger.of_run("run")[0]
    assert (waiting.attempts, waiting.answer) == (1, "no answer")
    assert waiting.next_attempt == START + 10
    place.pass_time(11)
    place.wait_for("Delivered")


def test_of_a_part_only_the_rest_goes_again(place):
    def half(package, confirm, stopping):
        confirm(["a"])
        return DOWN

    place.pacs.acts = [half]
    place.start()
    opened(place.ledger)
    place.wait(lambda: place.couriers.failed(PACS) == 1)
    place.pass_time(11)
    place.wait_for("Delivered")
    assert place.pacs.sent == [("a", "b"), ("b",)]


def test_after_the_last_attempt_it_is_parked_and_a_user_may_send_it_again(place):
    place.settings[PACS] = DestinationSettings(breaker=1000, concurrency=1)
    place.pacs.acts = [fail] * 3
    place.start()
    opened(place.ledger)
    for attempts in (1, 2, 3):
        place.wait(lambda number=attempts: place.couriers.failed(PACS) == number)
        place.pass_time(100)
    assert place.state() == "Parked"
    place.wait(lambda: [action for *_, action, _ in place.sdk.audits] == ["park"])
    place.ledger.retry(Filter(), "user")
    place.wait_for("Delivered")


def test_what_is_refused_is_parked_and_what_is_not_arrives(place):
    def refuse_a(package, confirm, stopping):
        confirm(["b"])
        return Outcome(failures={"a": REFUSED})

    place.pacs.acts = [refuse_a]
    place.start()
    opened(place.ledger)
    place.wait_for("Parked")
    parked = place.ledger.of_run("run")[0]
    assert (parked.done, parked.instances, parked.failure) == (1, 2, "Permanent")
    assert "0xA900" in parked.answer
    assert place.couriers.breaker(PACS) == BreakerState.CLOSED


def test_what_was_deleted_meanwhile_is_canceled_and_says_so(place):
    gone = Outcome(failure=Failure(FailureKind.GONE, "is gone"))
    place.pacs.acts = [lambda *_: gone]
    place.start()
    opened(place.ledger)
    place.wait_for("Canceled")
    assert "deleted" in place.ledger.of_run("run")[0].answer


def test_nothing_goes_in_the_place_of_a_copy_that_was_replaced(place):
    """Not what a laxer profile has made, which has the same identifiers."""
    orthanc = place.sdk = MemoryOrthanc()
    kept, replaced = (orthanc.receive(one) for one in ct_series(2))
    inventory = Inventory(Gateway(orthanc))
    stored = inventory.instances(Subject(Level.INSTANCE, one) for one in (kept, replaced))
    found = [Item(one, inventory.fingerprint(resource)) for one, resource in stored.items()]
    place.ledger.open(run(), PACS, found, SendOptions(copies=True))
    place.ledger.open(run("alone"), OTHER, found[1:], SendOptions(copies=True))
    orthanc.remove(replaced)
    assert orthanc.receive(ct_series(2, PatientName="ANOTHER")[1]) == replaced
    place.start()
    place.wait_for("Delivered")
    place.wait_for("Canceled", "alone")
    assert place.pacs.sent == [(kept,)]
    assert place.other.sent == []
    answers = [row["answer"] for row in place.ledger.instances(place.ledger.of_run("run")[0].id)]
    assert sorted(answers) == ["", "was replaced before it could be sent"]


def test_a_destination_that_nobody_knows_parks_with_that_reason(place):
    place.start()
    opened(place.ledger, to="modality:REMOVED")
    place.wait_for("Parked")
    assert "modality:REMOVED" in place.ledger.of_run("run")[0].answer
    place.destinations.known["modality:REMOVED"] = FakeDestination()
    place.ledger.retry(Filter(), "")
    place.wait_for("Delivered")


def test_a_fault_of_a_destination_does_not_end_its_courier(place):
    def break_down(package, confirm, stopping):
        raise KeyError("PatientName=Doe")

    place.pacs.acts = [break_down]
    place.start()
    opened(place.ledger)
    place.wait(lambda: place.couriers.failed(PACS) == 1)
    assert "Doe" not in place.ledger.of_run("run")[0].answer
    assert not any("Doe" in line for _, line in place.sdk.log)
    place.pass_time(11)
    place.wait_for("Delivered")


def test_confirmations_that_the_database_did_not_take_are_not_lost(place, monkeypatch):
    confirm, failures = place.ledger.confirm, [OperationalError("", {}, Exception("locked"))] * 2

    def locked_twice(delivery, instances):
        if failures:
            raise failures.pop()
        return confirm(delivery, instances)

    monkeypatch.setattr(place.ledger, "confirm", locked_twice)
    monkeypatch.setattr(courier_module, "DATABASE_INTERVAL", 0.0)
    place.start()
    opened(place.ledger)
    place.wait_for("Delivered")
    assert place.pacs.sent == [("a", "b")]
    assert place.ledger.of_run("run")[0].done == 2


# Breakers


def test_a_dead_destination_is_left_alone_and_uses_up_no_attempts(place):
    place.pacs.back = False
    place.pacs.acts = [fail] * 3
    for number in range(5):
        opened(place.ledger, str(number), (str(number),))
    place.start()
    place.wait(lambda: place.couriers.failed(PACS) == 3)
    place.wait(lambda: place.couriers.breaker(PACS) == BreakerState.OPEN)
    for asked in range(1, 4):
        place.pass_time(4000)
        place.wait(lambda number=asked: place.pacs.asked >= number)
        place.wait(lambda: place.couriers.breaker(PACS) == BreakerState.OPEN)
    assert len(place.pacs.packages) == 3
    assert sorted(one.attempts for one in place.ledger.find(Filter())) == [0, 0, 1, 1, 1]
    assert place.couriers.unreachable() == [PACS]
    place.pacs.back = True
    place.pass_time(4000)
    place.wait(lambda: place.states() == {"Delivered"})
    assert place.couriers.unreachable() == []


def test_one_delivery_shows_whether_a_destination_works_again(place):
    place.settings[PACS] = DestinationSettings(breaker=1, concurrency=4)
    release, held = threading.Event(), threading.Event()

    def hold(package, confirm, stopping):
        held.set()
        assert release.wait(PATIENCE)
        confirm(package.instances)
        return Outcome()

    place.pacs.acts = [fail]
    opened(place.ledger, "first", ("a",))
    place.start()
    place.wait(lambda: place.couriers.breaker(PACS) == BreakerState.OPEN)
    place.pacs.acts = [hold]
    for number in range(4):
        opened(place.ledger, str(number), (str(number),))
    place.pass_time(4000)
    assert held.wait(PATIENCE)
    assert len(place.pacs.packages) == 2
    release.set()
    place.wait(lambda: place.states() == {"Delivered"})


def test_what_is_too_old_is_parked_though_nothing_is_tried(place):
    place.settings[PACS] = DestinationSettings(breaker=1, concurrency=1)
    place.pacs.back, place.pacs.acts = False, [fail]
    place.start()
    opened(place.ledger, options=SendOptions(max_age=1000, first=10))
    place.wait(lambda: place.couriers.failed(PACS) == 1)
    place.pass_time(2000)
    place.wait_for("Parked")
    assert len(place.pacs.packages) == 1


def test_a_user_need_not_wait_for_a_destination_that_was_left_alone(place):
    place.settings[PACS] = DestinationSettings(breaker=1, concurrency=1)
    place.pacs.acts = [fail]
    place.start()
    opened(place.ledger)
    place.wait(lambda: place.couriers.failed(PACS) == 1)
    assert place.couriers.breaker(PACS) == BreakerState.OPEN
    place.ledger.retry(Filter(), "user")
    place.couriers.wake(PACS, hurry=True)
    place.wait_for("Delivered")


# Each on its own


def test_a_destination_that_stalls_holds_up_nobody_else(place):
    release, stalled = threading.Event(), threading.Event()

    def stall(package, confirm, stopping):
        stalled.set()
        assert release.wait(PATIENCE)
        return DOWN

    place.pacs.acts = [stall]
    place.start()
    opened(place.ledger, "stalled")
    assert stalled.wait(PATIENCE)
    for number in range(5):
        opened(place.ledger, str(number), (str(number),), to=OTHER)
    place.wait(lambda: len(place.other.packages) == 5)
    assert place.state("stalled") == "Sending"
    release.set()


@pytest.mark.parametrize("concurrency", [1, 3])
def test_as_many_go_at_a_time_as_the_destination_allows(place, concurrency):
    place.settings[PACS] = DestinationSettings(concurrency=concurrency)
    together = threading.Barrier(concurrency)
    lock, now, most = threading.Lock(), [0], [0]

    def count(package, confirm, stopping):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        together.wait(PATIENCE)
        with lock:
            now[0] -= 1
        confirm(package.instances)
        return Outcome()

    place.pacs.acts = [count] * 3 * concurrency
    for number in range(3 * concurrency):
        opened(place.ledger, str(number), (str(number),))
    place.start()
    place.wait(lambda: place.states() == {"Delivered"})
    assert most[0] == concurrency


def test_threads_end_when_there_is_nothing_to_do(place):
    before = len(names_of_threads())
    place.start()
    opened(place.ledger)
    place.wait_for("Delivered")
    place.couriers.stop()
    assert len(names_of_threads()) == before


def test_any_number_that_waits_costs_one_thread_that_sleeps(place):
    place.settings[PACS] = DestinationSettings(concurrency=8, breaker=1)
    place.pacs.back, place.pacs.acts = False, [fail]
    for number in range(50):
        opened(place.ledger, str(number), (str(number),))
    place.start()
    place.wait(lambda: place.couriers.breaker(PACS) == BreakerState.OPEN)
    place.wait(lambda: len(names_of_threads()) == 1)


# Limits


def test_a_paused_destination_gets_nothing_until_it_goes_on(place):
    place.pauses.pause(PauseKind.DESTINATION, PACS, "user")
    place.start()
    opened(place.ledger)
    opened(place.ledger, "other", to=OTHER)
    place.wait_for("Delivered", "other")
    assert place.pacs.packages == []
    place.pauses.resume(PauseKind.DESTINATION, PACS)
    place.wait_for("Delivered")


def test_a_paused_rule_sends_nothing_until_it_goes_on(place):
    place.pauses.pause(PauseKind.RULE, "rule", "user")
    place.start()
    opened(place.ledger)
    opened(place.ledger, "other", rule="second")
    place.wait_for("Delivered", "other")
    assert place.state() == "Queued"
    place.pauses.resume(PauseKind.RULE, "rule")
    place.wait_for("Delivered")


def test_nothing_goes_outside_of_the_window_of_a_destination(place):
    place.settings[PACS] = DestinationSettings(
        window="Mon", concurrency=1
    )  # it is Tuesday, or Wednesday
    place.start()
    opened(place.ledger)
    opened(place.ledger, "other", to=OTHER)
    place.wait_for("Delivered", "other")
    assert place.state() == "Queued"
    place.pass_time(6 * 86400)
    place.wait_for("Delivered")


def test_a_rate_limits_what_goes_at_once(place):
    place.settings[PACS] = DestinationSettings(rate=2, concurrency=1)
    place.start()
    opened(place.ledger, names="abcde")
    place.wait(lambda: len(place.pacs.packages) == 1)
    place.wait_for("Queued")
    for seconds in (1, 1):
        before = len(place.pacs.packages)
        place.pass_time(seconds)
        place.wait(lambda number=before: len(place.pacs.packages) == number + 1)
    place.wait_for("Delivered")
    assert place.pacs.sent == [("a", "b"), ("c", "d"), ("e",)]


def test_a_clock_that_was_set_back_stops_nothing(place):
    place.pacs.acts = [fail]
    place.start()
    opened(place.ledger)
    place.wait(lambda: place.couriers.failed(PACS) == 1)
    place.wait_for("Queued")
    place.pass_time(-86400)
    place.wait(lambda: place.ledger.next_due(PACS) in (None, place.clock.now))
    place.pass_time(3601)
    place.wait_for("Delivered")


# Users


def test_a_canceled_delivery_stops_being_sent(place):
    started = threading.Event()

    def until_unwanted(package, confirm, stopping):
        started.set()
        return end_when(stopping)

    place.pacs.acts = [until_unwanted]
    place.start()
    delivery = opened(place.ledger)
    assert started.wait(PATIENCE)
    place.ledger.cancel([delivery.id], "user")
    opened(place.ledger, "next", ("x",))
    place.wait_for("Delivered", "next")
    assert place.state() == "Canceled"
    assert place.couriers.failed(PACS) == 0


# Stops


def test_a_stop_ends_what_is_under_way_and_the_next_start_goes_on(place):
    started = threading.Event()

    def until_stop(package, confirm, stopping):
        confirm(["a"])
        started.set()
        return end_when(stopping)

    place.pacs.acts = [until_stop]
    place.start()
    opened(place.ledger)
    assert started.wait(PATIENCE)
    place.couriers.stop()
    stopped = place.ledger.of_run("run")[0]
    assert (stopped.state, stopped.attempts, stopped.done) == ("Queued", 0, 1)
    place.start()
    place.wait_for("Delivered")
    assert place.pacs.sent == [("a", "b"), ("b",)]


def test_destinations_that_do_not_let_go_do_not_keep_a_stop_waiting(place, monkeypatch):
    monkeypatch.setattr(couriers_module, "PATIENCE", 0.0)
    release, stuck = threading.Event(), threading.Semaphore(0)

    def ignore_the_stop(package, confirm, stopping):
        stuck.release()
        assert release.wait(PATIENCE)
        return Outcome()

    place.pacs.acts, place.other.acts = [ignore_the_stop], [ignore_the_stop]
    place.start()
    opened(place.ledger)
    opened(place.ledger, "other", to=OTHER)
    for _ in range(2):
        assert stuck.acquire(timeout=PATIENCE)
    place.couriers.stop()
    assert place.states() == {"Sending"}  # the next start queues them again
    release.set()
    place.wait(lambda: not names_of_threads())


def test_what_was_confirmed_before_a_stop_is_delivered(place):
    started = threading.Event()

    def confirm_all_then_stop(package, confirm, stopping):
        confirm(package.instances)
        started.set()
        return end_when(stopping)

    place.pacs.acts = [confirm_all_then_stop]
    place.start()
    opened(place.ledger)
    assert started.wait(PATIENCE)
    place.couriers.stop()
    assert place.state() == "Delivered"


def test_after_a_kill_before_the_note_it_goes_again(place):
    """The destination has it, and Curator does not know: it is sent again, never forgotten."""
    opened(place.ledger)
    assert place.ledger.take(PACS, START) is not None  # and killed there
    place.start()
    place.wait_for("Delivered")
    assert place.pacs.sent == [("a", "b")]
