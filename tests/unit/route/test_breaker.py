"""A destination that does not answer is left alone, and tried again."""

from hypothesis import given
from hypothesis import strategies as st

from curator.route.breaker import Breaker, BreakerState

NOW = 1_700_000_000.0


def opened(failures: int = 3) -> Breaker:
    breaker = Breaker(3)
    for _ in range(failures):
        breaker = breaker.failed(NOW, 10, 60, 1.0)
    return breaker


def test_it_opens_after_as_many_failures_in_a_row():
    assert opened(2).state(NOW) == BreakerState.CLOSED
    assert opened(3).state(NOW) == BreakerState.OPEN


def test_an_answer_between_failures_starts_the_count_anew():
    assert opened(2).succeeded().failed(NOW, 10, 60, 1.0).is_closed


def test_it_lets_one_through_when_the_pause_is_over():
    breaker = opened()
    assert breaker.wait(NOW) == 10
    assert breaker.state(NOW + 10) == BreakerState.HALF_OPEN


def test_pauses_grow_up_to_the_longest_and_end_with_an_answer():
    waits = []
    breaker = opened()
    for _ in range(5):
        waits.append(breaker.wait(NOW))
        breaker = breaker.not_back(NOW, 1.0)
    assert waits == [10, 20, 40, 60, 60]
    assert breaker.succeeded() == Breaker(3)


def test_a_user_may_have_it_tried_at_once():
    assert opened().hurried().state(NOW) == BreakerState.HALF_OPEN


@given(st.floats(0, 1), st.integers(3, 200), st.floats(-1e9, 1e9))
def test_no_pause_is_longer_than_the_longest_wherever_the_clock_goes(chance, failures, jump):
    breaker = Breaker(3)
    for _ in range(failures):
        breaker = breaker.failed(NOW, 10, 60, chance)
    assert 0 <= breaker.wait(NOW + jump) <= 60
