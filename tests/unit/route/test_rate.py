"""Limits of instances per second."""

from hypothesis import given
from hypothesis import strategies as st

from curator.route.rate import Bucket


def test_one_second_goes_at_once_and_the_next_waits():
    bucket = Bucket.full(10, 0.0)
    assert bucket.wait(0.0) == 0
    assert bucket.take(10, 0.0).wait(0.0) == 0.1


def test_what_is_slower_than_one_in_a_second_waits_for_each():
    bucket = Bucket.full(0.5, 0.0).take(1, 0.0)
    assert bucket.wait(0.0) == 2
    assert bucket.wait(2.0) == 0
    assert bucket.size == 1


def test_idle_time_saves_up_no_more_than_a_second():
    bucket = Bucket.full(10, 0.0).take(10, 0.0)
    assert bucket.take(10, 1000.0).wait(1000.0) > 0


def test_a_clock_that_was_set_back_neither_fills_nor_stops_it():
    bucket = Bucket.full(10, 1000.0).take(10, 1000.0)
    assert bucket.wait(0.0) == 0.1


@given(st.floats(0.1, 1000), st.lists(st.floats(0, 10), max_size=50))
def test_no_more_goes_than_the_rate_allows(rate, idle):
    now, sent = 0.0, 0
    bucket = Bucket.full(rate, now)
    for pause in idle:
        now += pause
        now += bucket.wait(now)
        bucket = bucket.take(bucket.size, now)
        sent += bucket.size
        assert sent <= rate * now + max(1.0, rate) + bucket.size + 1e-6
