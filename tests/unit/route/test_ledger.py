"""The ledger: nothing in it is lost, and nothing goes twice."""

import threading
import uuid
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from curator.errors import BadRequest, Conflict, NotFound
from curator.route.delivery import SendOptions
from curator.route.delivery_rows import Filter, InstanceState
from curator.route.hours import local
from curator.route.kinds import DeliveryState, RunState
from curator.route.lanes import Order
from curator.route.ledger import Ledger
from curator.route.pauses import PauseKind, Pauses
from curator.route.retry import Remaining, Settlement
from curator.store import Store, delivery_instances, runs, sent
from unit.databases import prepare
from unit.route.delivering import OTHER, PACS, START, Clock, columns_of, items, opened, run

DELIVERED = Settlement(DeliveryState.DELIVERED, 1)
PARKED = Settlement(DeliveryState.PARKED, 1, failure="Permanent", answer="no")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def ledger(store, clock):
    return Ledger(store, clock)


def taken(ledger, to=PACS, now=START, order=Order.PRIORITY):
    delivery = ledger.take(to, now, order)
    assert delivery is not None
    return delivery


def delivered(ledger, run_id="run", names=("a", "b"), **fields):
    """Open a delivery and bring it to its end."""
    opened(ledger, run_id, names, **fields)
    delivery = taken(ledger)
    ledger.confirm(delivery, ledger.pending(delivery, 100))
    assert ledger.settle(delivery, DELIVERED)
    return ledger.get(delivery.id)


# Opening


def test_a_delivery_opened_twice_is_the_first_one(ledger):
    first = opened(ledger)
    assert opened(ledger, names=("a", "b", "c")) == first
    assert len(ledger.of_run("run")) == 1
    assert len(ledger.instances(first.id)) == 2


def test_every_step_and_destination_of_a_run_has_its_own(ledger):
    for position in (0, 1):
        for destination in (PACS, OTHER):
            opened(ledger, position=position, to=destination)
    assert len(ledger.of_run("run")) == 4


def test_late_instances_go_alone(ledger):
    delivered(ledger)
    late = opened(ledger, "later", ("a", "b", "c"))
    assert (late.state, late.instances, late.done) == ("Queued", 3, 2)
    assert ledger.pending(late, 100) == ("c",)


def test_what_a_destination_has_already_is_delivered_at_once(ledger):
    told = []
    delivered(ledger)
    ledger.on_over(told.append)
    again = opened(ledger, "again")
    assert (again.state, again.done) == ("Delivered", 2)
    assert told == []
    assert ledger.take(PACS, START) is None


def test_a_file_that_was_overwritten_goes_again(ledger):
    delivered(ledger)
    changed = [*items("a"), *items("b", fingerprint="other")]
    again = ledger.open(run("again"), PACS, changed, SendOptions())
    assert ledger.pending(again, 100) == ("b",)


def test_what_one_rule_or_destination_has_had_says_nothing_of_others(ledger):
    delivered(ledger)
    assert opened(ledger, "elsewhere", to=OTHER).state == DeliveryState.QUEUED
    assert opened(ledger, "other rule", rule="other").state == DeliveryState.QUEUED
    assert opened(ledger, "newer version", version="2").state == DeliveryState.DELIVERED


def test_nothing_at_all_is_delivered_and_an_event_is_not(ledger):
    assert opened(ledger, "none", ()).state == DeliveryState.DELIVERED
    notice = ledger.open(run("notice"), PACS, [], SendOptions(), {"Event": "Deleted"})
    assert notice.state == DeliveryState.QUEUED


def test_what_is_to_be_sent_again_was_forgotten_before(ledger):
    delivered(ledger)
    assert ledger.sent_before("rule", PACS, items("a", "b", "c")) == {"a", "b"}
    ledger.forget_sent("rule", PACS, ["a"])
    assert ledger.pending(opened(ledger, "again"), 100) == ("a",)


def test_a_closed_window_puts_the_first_attempt_off(ledger, clock):
    options = SendOptions(window=_closed_at(clock.now))
    assert opened(ledger, options=options).next_attempt > clock.now
    assert ledger.take(PACS, clock.now) is None


def _closed_at(moment):
    """Return a window of one minute that begins two hours from a moment on."""
    opens = local(moment + 7200)
    return f"{opens:%H:%M}-{local(moment + 7260):%H:%M}"


# Taking


def test_a_delivery_is_taken_once(ledger):
    opened(ledger)
    taken(ledger)
    assert ledger.take(PACS, START) is None


def test_of_many_who_want_it_one_gets_it(ledger):
    opened(ledger)
    barrier, got = threading.Barrier(4), []

    def want():
        barrier.wait()
        got.append(ledger.take(PACS, START))

    threads = [threading.Thread(target=want) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([one for one in got if one]) == 1


def test_what_is_not_due_is_not_taken(ledger):
    delivery = taken(opened(ledger) and ledger)
    ledger.settle(delivery, Settlement(DeliveryState.QUEUED, 1, START + 60))
    assert ledger.take(PACS, START + 59) is None
    assert ledger.next_due(PACS) == START + 60
    assert ledger.take(PACS, START + 60) is not None


def test_higher_priorities_are_taken_first_and_by_age_the_oldest(ledger, clock):
    for number, priority in enumerate((0, 50, 10, 50)):
        clock.now = START + number
        opened(ledger, str(number), (f"i{number}",), priority=priority)
    now = START + 100
    assert [taken(ledger, now=now).run for _ in range(2)] == ["1", "3"]
    assert taken(ledger, now=now, order=Order.AGE).run == "0"


def test_instances_that_are_on_their_way_are_not_sent_beside(ledger, clock):
    for number, (run_id, names) in enumerate({"first": "ab", "second": "bc", "third": "x"}.items()):
        clock.now = START + number
        opened(ledger, run_id, names)
    now = clock.now
    first = taken(ledger, now=now)
    third = taken(ledger, now=now)
    assert (first.run, third.run) == ("first", "third")
    assert ledger.take(PACS, now) is None
    ledger.confirm(first, ["a", "b"])
    ledger.settle(first, DELIVERED)
    assert ledger.pending(taken(ledger, now=now), 100) == ("c",)


def test_what_another_delivery_has_brought_meanwhile_is_done(ledger):
    opened(ledger, "first", ("a", "b"))
    opened(ledger, "second", ("a", "b", "c"), priority=-1)
    first = taken(ledger)
    ledger.confirm(first, ["a", "b"])
    ledger.settle(first, DELIVERED)
    second = taken(ledger)
    assert ledger.pending(second, 100) == ("c",)
    assert ledger.get(second.id).done == 2
    assert ledger.confirmed(second.id) == {"a", "b"}


def test_deliveries_of_a_paused_rule_wait(ledger, store):
    opened(ledger)
    pauses = Pauses(store)
    pauses.pause(PauseKind.RULE, "rule", "")
    assert ledger.take(PACS, START) is None
    assert ledger.next_due(PACS) is None
    pauses.resume(PauseKind.RULE, "rule")
    assert ledger.take(PACS, START) is not None


def test_a_window_that_has_closed_puts_off_all_that_share_it(ledger):
    night = SendOptions(window="00:00-23:59")
    opened(ledger, "one", ("a",), options=night)
    opened(ledger, "two", ("b",), options=night)
    opened(ledger, "three", ("c",), priority=-1)
    ledger.postpone(taken(ledger), START + 500)
    assert taken(ledger).run == "three"
    assert ledger.next_due(PACS) == START + 500
    assert {one.state for one in ledger.find(Filter())} == {"Queued", "Sending"}


# Confirmations


def test_a_confirmation_is_noted_at_once_and_only_once(ledger, store):
    opened(ledger)
    delivery = taken(ledger)
    assert ledger.confirm(delivery, ["a"]) == 1
    assert ledger.confirm(delivery, ["a", "unknown"]) == 0
    assert ledger.get(delivery.id).done == 1
    assert ledger.pending(delivery, 100) == ("b",)
    assert columns_of(store, sent, "instance", "delivery") == [("a", delivery.id)]


def test_a_confirmation_replaces_that_of_an_older_file(ledger, store):
    delivered(ledger)
    again = ledger.open(run("again"), PACS, items("a", fingerprint="new"), SendOptions())
    delivery = taken(ledger)
    assert delivery.id == again.id
    ledger.confirm(delivery, ["a"])
    rows = columns_of(store, sent, "instance", "fingerprint")
    assert rows == [("a", "new"), ("b", "f")]


def test_thousands_are_confirmed_in_one_go(ledger):
    names = [f"{number:05}" for number in range(2500)]
    opened(ledger, names=names)
    delivery = taken(ledger)
    assert ledger.confirm(delivery, names) == 2500
    assert ledger.remaining(delivery.id) == Remaining()
    assert ledger.get(delivery.id).done == 2500


def test_instances_say_how_they_stand(ledger):
    delivered(ledger, names=("before",))
    opened(ledger, "now", ("before", "done", "gone", "queued", "refused"))
    delivery = taken(ledger)
    ledger.confirm(delivery, ["done"])
    ledger.mark(delivery, {"gone": "was deleted"}, InstanceState.GONE)
    ledger.mark(delivery, {"refused": "0xA900"}, InstanceState.REFUSED)
    found = {
        row["instance"]: (row["state"], row["answer"]) for row in ledger.instances(delivery.id)
    }
    assert found == {
        "before": ("DeliveredBefore", ""),
        "done": ("Delivered", ""),
        "gone": ("Deleted", "was deleted"),
        "queued": ("Queued", ""),
        "refused": ("Refused", "0xA900"),
    }
    assert ledger.confirmed(delivery.id) == {"before", "done"}
    assert ledger.remaining(delivery.id) == Remaining(1, 1, 1, "0xA900")


# After a kill


def test_what_a_kill_has_interrupted_is_queued_again(ledger, url, clock):
    opened(ledger)
    ledger.confirm(taken(ledger), ["a"])
    store = Store(url)
    try:
        after = Ledger(store, clock)
        assert after.recover() == 1
        delivery = taken(after)
        assert (delivery.attempts, after.pending(delivery, 100)) == (0, ("b",))
    finally:
        store.close()


def test_attempts_are_never_farther_away_than_the_rule_lets_them_be(ledger, clock):
    opened(ledger, options=SendOptions(longest=100))
    ledger.settle(taken(ledger), Settlement(DeliveryState.QUEUED, 1, START + 90))
    ledger.clamp()
    assert ledger.next_due(PACS) == START + 90
    clock.now -= 86400  # the clock was a day ahead
    ledger.clamp()
    assert ledger.next_due(PACS) <= clock.now + 100


# Ends


def test_a_run_hears_of_every_delivery_that_is_over_but_not_of_parked_ones(ledger):
    told = []
    ledger.on_over(told.append)
    opened(ledger, "done", ("a",))
    ledger.settle(taken(ledger), DELIVERED)
    opened(ledger, "parked", ("b",))
    parked = taken(ledger)
    ledger.settle(parked, PARKED)
    assert told == ["done"]
    ledger.cancel([parked.id], "user")
    assert told == ["done", "parked"]


def test_couriers_hear_of_what_is_queued(ledger):
    told = []
    ledger.on_work(told.append)
    delivery = opened(ledger)
    ledger.settle(taken(ledger), PARKED)
    ledger.retry(Filter(ids=(delivery.id,)), "")
    ledger.redirect(delivery.id, OTHER, "")
    assert told == [PACS, PACS, OTHER]


def test_what_a_user_has_canceled_meanwhile_stays_canceled(ledger):
    opened(ledger)
    delivery = taken(ledger)
    assert not ledger.withdrawn(delivery.id)
    ledger.cancel([delivery.id], "user")
    assert ledger.withdrawn(delivery.id)
    ledger.confirm(delivery, ["a"])
    assert not ledger.settle(delivery, DELIVERED)
    after = ledger.get(delivery.id)
    assert (after.state, after.user, after.done) == ("Canceled", "user", 1)
    assert not ledger.withdrawn(delivery.id)


def test_what_is_over_cannot_be_canceled_or_tried_again(ledger):
    delivery = delivered(ledger)
    assert ledger.cancel([delivery.id], "") == []
    assert ledger.retry(Filter(ids=(delivery.id,)), "") == []


def test_a_retry_gives_all_attempts_and_all_the_time_and_tries_the_refused(ledger, clock):
    opened(ledger)
    delivery = taken(ledger)
    ledger.mark(delivery, {"a": "no"}, InstanceState.REFUSED)
    ledger.confirm(delivery, ["b"])
    ledger.settle(delivery, PARKED)
    clock.now += 1e6
    (again,) = ledger.retry(Filter(states=(DeliveryState.PARKED,)), "user")
    assert (again.state, again.attempts, again.since) == ("Queued", 0, clock.now)
    assert (again.next_attempt, again.user) == (clock.now, "user")
    assert ledger.pending(again, 100) == ("a",)


def test_overdue_deliveries_are_parked_and_the_others_are_not(ledger, clock):
    opened(ledger, "old", ("a",), options=SendOptions(max_age=100))
    opened(ledger, "patient", ("b",), options=SendOptions(max_age=1000))
    clock.now += 500
    assert [one.run for one in ledger.park_overdue(PACS)] == ["old"]
    states = {one.run: one.state for one in ledger.find(Filter())}
    assert states == {"old": "Parked", "patient": "Queued"}


# Redirection


def test_a_redirected_delivery_goes_elsewhere_whole(ledger):
    opened(ledger)
    delivery = taken(ledger)
    ledger.confirm(delivery, ["a"])
    ledger.settle(delivery, PARKED)
    new = ledger.redirect(delivery.id, OTHER, "user")
    assert (new.run, new.destination, new.instances, new.done) == ("run", OTHER, 2, 0)
    assert ledger.pending(new, 100) == ("a", "b")
    assert {one.state for one in ledger.of_run("run")} == {"Redirected", "Queued"}


def test_a_redirection_ends_what_is_under_way(ledger):
    opened(ledger)
    delivery = taken(ledger)
    ledger.redirect(delivery.id, OTHER, "")
    assert ledger.withdrawn(delivery.id)
    assert not ledger.settle(delivery, DELIVERED)
    assert ledger.get(delivery.id).state == DeliveryState.REDIRECTED


def test_only_what_is_not_over_can_be_redirected_and_only_elsewhere(ledger):
    delivery = delivered(ledger)
    with pytest.raises(Conflict):
        ledger.redirect(delivery.id, OTHER, "")
    with pytest.raises(BadRequest):
        ledger.redirect(delivery.id, PACS, "")
    with pytest.raises(NotFound):
        ledger.redirect("unknown", OTHER, "")
    assert len(ledger.find(Filter())) == 1


def test_a_delivery_can_come_back_to_where_it_was_redirected_from(ledger):
    first = opened(ledger)
    there = ledger.redirect(first.id, OTHER, "")
    back = ledger.redirect(there.id, PACS, "")
    assert back.id not in (first.id, there.id)
    assert ledger.pending(back, 100) == ("a", "b")


# Questions


def test_deliveries_are_found_by_all_that_is_asked_for(ledger):
    opened(ledger, "one", ("a",))
    opened(ledger, "two", ("b",), to=OTHER, rule="second", resource="series")
    assert [one.run for one in ledger.find(Filter(destination=OTHER))] == ["two"]
    assert [one.run for one in ledger.find(Filter(rule="rule"))] == ["one"]
    assert [one.run for one in ledger.find(Filter(resources=("series", "x")))] == ["two"]
    assert ledger.find(Filter(rule="rule", destination=OTHER)) == []
    assert ledger.counts() == {PACS: {"Queued": 1}, OTHER: {"Queued": 1}}
    assert ledger.destinations() == [PACS, OTHER]
    assert ledger.waiting_destinations() == [PACS, OTHER]


def test_pages_hold_everything_once_the_latest_first(ledger, clock):
    for number in range(5):
        clock.now = START + number
        opened(ledger, str(number), (str(number),))
    pages = [ledger.find(Filter(), since, 2) for since in (0, 2, 4)]
    assert [[one.run for one in page] for page in pages] == [["4", "3"], ["2", "1"], ["0"]]


def test_the_oldest_is_the_oldest_that_is_not_over(ledger, clock):
    delivered(ledger, "done", ("a",))
    assert ledger.oldest(PACS) is None
    clock.now += 10
    opened(ledger, "waiting", ("b",))
    clock.now += 10
    opened(ledger, "younger", ("c",))
    assert ledger.oldest(PACS) == START + 10


# Expiry


def test_what_is_over_expires_with_what_was_sent_and_nothing_else_does(ledger, store, clock):
    delivered(ledger, "done", ("a",))
    opened(ledger, "parked", ("b", "c"))
    parked = taken(ledger)
    ledger.confirm(parked, ["b"])
    ledger.settle(parked, PARKED)
    opened(ledger, "queued", ("d",))
    clock.now += 100
    assert ledger.expire(clock.now - 50) == 1
    assert {one.run for one in ledger.find(Filter())} == {"parked", "queued"}
    assert columns_of(store, sent, "instance") == [("b",)]
    assert columns_of(store, delivery_instances, "instance") == [("c",), ("d",)]
    assert ledger.expire(clock.now) == 0


def test_what_a_run_needs_that_is_not_done_does_not_expire(ledger, store, clock):
    with store.transaction() as connection:
        values = vars(run(state=RunState.SENDING)) | {"subjects": [], "products": []}
        connection.execute(insert(runs).values(**values))
    delivered(ledger)
    assert ledger.expire(clock.now + 100) == 0


# Properties

NAMES = st.sampled_from("abcdef")
STEP = st.one_of(
    st.tuples(st.just("open"), st.sets(NAMES, max_size=4), st.sampled_from(["1", "2"])),
    st.tuples(st.just("confirm"), st.sets(NAMES, max_size=3)),
    st.tuples(st.just("kill")),
    st.tuples(st.just("finish")),
)


@settings(max_examples=20, deadline=None)
@given(st.lists(STEP, max_size=25))
def test_every_instance_is_confirmed_once_for_each_of_its_files(tmp_path_factory, steps):
    """Whatever is opened, confirmed and interrupted in whatever order: no loss, nothing twice."""
    path = tmp_path_factory.mktemp("ledger") / "curator.db"
    prepare(path)
    store = Store(f"sqlite:///{path}")
    try:
        _check_steps(Ledger(store, Clock()), steps)
    finally:
        store.close()


def _check_steps(ledger, steps):
    wanted, went, under_way = set(), [], None
    for number, (step, *rest) in enumerate(steps):
        if step == "open":
            names, fingerprint = rest
            ledger.open(
                run(f"{number}-{uuid.uuid4()}"),
                PACS,
                items(*sorted(names), fingerprint=fingerprint),
                SendOptions(),
            )
            wanted.update((name, fingerprint) for name in names)
        elif step == "kill":
            ledger.recover()
            under_way = None
        else:
            under_way = under_way or ledger.take(PACS, START + 1)
            if under_way is None:
                continue
            names = rest[0] if rest else set("abcdef")
            went += _deliver(ledger, under_way, names)
            if step == "finish":
                assert ledger.settle(under_way, DELIVERED)
                under_way = None
    ledger.recover()
    while delivery := ledger.take(PACS, START + 1):
        went += _deliver(ledger, delivery, set("abcdef"))
        assert ledger.settle(delivery, DELIVERED)
    assert set(went) == wanted
    for name in "abcdef":
        files = [fingerprint for one, fingerprint in went if one == name]
        assert all(one != other for one, other in pairwise(files))


def _deliver(ledger, delivery, names):
    fingerprints = {item.instance: item.fingerprint for item in ledger._items(delivery)}
    going = [name for name in ledger.pending(delivery, 100) if name in names]
    ledger.confirm(delivery, going)
    return [(name, fingerprints[name]) for name in going]


def test_a_delivery_with_other_options_is_read_as_far_as_they_are_known(ledger):
    options = SendOptions(transcode="1.2.840.10008.1.2.4.90", storage_commitment=True)
    delivery = opened(ledger, options=options)
    assert ledger.get(delivery.id) == replace(delivery, options=options)
