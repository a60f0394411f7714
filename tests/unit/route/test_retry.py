"""What follows from an attempt."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.level import Level
from curator.route.delivery import Delivery, Failure, Outcome, SendOptions
from curator.route.kinds import DeliveryState, FailureKind
from curator.route.retry import Again, Park, Remaining, decide, pause, settle

NOW = 1_700_000_000.0
OPTIONS = SendOptions(attempts=4, first=10.0, longest=60.0, max_age=1000.0)
DOWN = Failure(FailureKind.TRANSIENT, "no answer")
REFUSED = Failure(FailureKind.PERMANENT, "DIMSE status 0xA900")

DELIVERY = Delivery(
    id="d",
    run="r",
    rule="rule",
    version="1",
    level=Level.STUDY,
    resource="study",
    destination="modality:PACS",
    priority=0,
    state=DeliveryState.SENDING,
    attempts=0,
    next_attempt=NOW - 5,
    failure="",
    answer="",
    instances=3,
    done=0,
    options=OPTIONS,
    event={},
    user="",
    created=NOW - 100,
    changed=NOW,
    since=NOW - 100,
)


def settled(delivery=DELIVERY, remaining=None, outcome=None, progressed=False, chance=1.0):
    remaining = remaining or Remaining()
    return settle(delivery, remaining, outcome or Outcome(), progressed, NOW, chance)


def test_pauses_double_up_to_the_longest():
    assert [pause(attempts, 10, 60) for attempts in range(1, 6)] == [10, 20, 40, 60, 60]
    assert pause(100_000, 10, 60) == 60


@given(st.integers(1, 3), st.floats(0, 1), st.floats(0, 500), st.floats(0, 1e6) | st.none())
def test_a_pause_is_never_longer_than_the_longest(attempts, chance, age, retry_after):
    failure = Failure(FailureKind.TRANSIENT, "", retry_after)
    decision = decide(OPTIONS, attempts, failure, age, NOW, chance)
    assert isinstance(decision, Again)
    assert NOW <= decision.at <= NOW + OPTIONS.longest


@given(st.integers(1, 3), st.floats(0, 1), st.floats(0, 60))
def test_nothing_goes_before_the_destination_wants_it(attempts, chance, retry_after):
    failure = Failure(FailureKind.TRANSIENT, "", retry_after)
    decision = decide(OPTIONS, attempts, failure, 0.0, NOW, chance)
    assert isinstance(decision, Again)
    assert decision.at >= NOW + retry_after


def test_the_last_attempt_parks_with_the_answer_and_the_number():
    assert isinstance(decide(OPTIONS, 3, DOWN, 0.0, NOW, 0.5), Again)
    assert decide(OPTIONS, 4, DOWN, 0.0, NOW, 0.5) == Park("no answer (given up, attempts: 4)")


def test_what_is_too_old_is_parked_whatever_the_attempts():
    assert isinstance(decide(OPTIONS, 1, DOWN, 985.0, NOW, 1.0), Again)
    decision = decide(replace(OPTIONS, max_age=3600.0), 1, DOWN, 3595.0, NOW, 1.0)
    assert decision == Park("no answer (given up, hours: 1)")


def test_a_clock_that_was_set_back_makes_nothing_old_or_young():
    assert isinstance(decide(OPTIONS, 1, DOWN, -1e6, NOW, 1.0), Again)


def test_a_permanent_failure_parks_at_once():
    assert decide(OPTIONS, 1, REFUSED, 0.0, NOW, 0.5) == Park(REFUSED.answer)


def test_what_is_confirmed_whole_is_delivered():
    done = settled(replace(DELIVERY, done=3, attempts=2), outcome=Outcome(answer="warning B000"))
    assert (done.state, done.attempts, done.answer) == ("Delivered", 3, "warning B000")
    assert not done.failed


def test_a_dead_destination_is_tried_again_later():
    again = settled(remaining=Remaining(pending=3), outcome=Outcome(failure=DOWN))
    assert (again.state, again.attempts, again.failure) == ("Queued", 1, "Transient")
    assert again.next_attempt == NOW + 10
    assert again.failed


def test_the_rest_of_a_part_goes_again_and_the_attempts_count_anew():
    delivery = replace(DELIVERY, attempts=3, done=2)
    outcome = Outcome(failure=DOWN)
    again = settled(delivery, Remaining(pending=1), outcome, progressed=True)
    assert (again.state, again.attempts, again.failure) == ("Queued", 1, "Partial")


def test_more_than_a_package_goes_on_without_a_pause_in_its_old_place():
    delivery = replace(DELIVERY, attempts=3, done=2)
    again = settled(delivery, Remaining(pending=1), progressed=True)
    assert (again.state, again.attempts, again.failed) == ("Queued", 0, False)
    assert again.next_attempt == DELIVERY.next_attempt


def test_an_attempt_without_answer_and_without_progress_counts_as_failed():
    again = settled(remaining=Remaining(pending=3))
    assert (again.state, again.attempts, again.failed) == ("Queued", 1, True)


def test_an_instance_that_may_go_later_brings_on_the_next_attempt():
    busy = Failure(FailureKind.TRANSIENT, "DIMSE status 0xA700", 40.0)
    outcome = Outcome(failures={"a": busy, "b": DOWN})
    again = settled(remaining=Remaining(pending=2), outcome=outcome)
    assert again.next_attempt == NOW + 40
    assert again.answer == busy.answer


def test_refused_instances_park_a_delivery_only_when_the_others_are_done():
    outcome = Outcome(failures={"a": REFUSED})
    assert settled(remaining=Remaining(pending=1, refused=1), progressed=True).state == "Queued"
    remaining = Remaining(refused=1, answer=REFUSED.answer)
    parked = settled(replace(DELIVERY, done=2), remaining, outcome, progressed=True)
    assert (parked.state, parked.failure) == ("Parked", "Permanent")
    assert parked.answer == "1 of 3 instances were refused: DIMSE status 0xA900"


def test_a_refusal_of_everything_parks_at_once():
    parked = settled(remaining=Remaining(pending=3), outcome=Outcome(failure=REFUSED))
    assert (parked.state, parked.answer) == ("Parked", REFUSED.answer)


def test_what_was_deleted_is_canceled_and_says_so():
    canceled = settled(remaining=Remaining(gone=3))
    assert (canceled.state, canceled.failure) == ("Canceled", "Gone")
    assert "deleted" in canceled.answer


def test_what_was_deleted_in_part_is_delivered_and_says_so():
    done = settled(replace(DELIVERY, done=2), Remaining(gone=1))
    assert done.state == "Delivered"
    assert done.answer == "1 of 3 instances were deleted before"


@pytest.mark.parametrize(
    ("failure", "state"),
    [
        (None, "Delivered"),
        (DOWN, "Queued"),
        (REFUSED, "Parked"),
        (Failure(FailureKind.GONE, "is gone"), "Canceled"),
    ],
)
def test_a_notice_without_instances_is_settled_by_the_answer_alone(failure, state):
    notice = replace(DELIVERY, instances=0, event={"Event": "Deleted"})
    assert settled(notice, outcome=Outcome(failure=failure)).state == state


OUTCOMES = st.builds(
    Outcome,
    failures=st.dictionaries(
        st.sampled_from("abc"), st.builds(Failure, st.sampled_from(FailureKind), st.just("x"))
    ),
    failure=st.none() | st.builds(Failure, st.sampled_from(FailureKind), st.just("x")),
)
COUNTS = st.integers(0, 2)


@given(COUNTS, COUNTS, COUNTS, OUTCOMES, st.booleans(), st.floats(0, 1), st.integers(0, 5))
def test_nothing_is_delivered_or_canceled_while_anything_is_left(
    pending, refused, gone, outcome, progressed, chance, attempts
):
    total = pending + refused + gone + 1
    delivery = replace(DELIVERY, instances=total, done=1, attempts=attempts)
    remaining = Remaining(pending, refused, gone, "x")
    after = settle(delivery, remaining, outcome, progressed, NOW, chance)
    if pending:
        assert after.state in (DeliveryState.QUEUED, DeliveryState.PARKED)
    elif refused:
        assert after.state == DeliveryState.PARKED
    else:
        assert after.state == DeliveryState.DELIVERED
    assert after.state != DeliveryState.QUEUED or after.next_attempt <= NOW + OPTIONS.longest
