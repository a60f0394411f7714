"""Urgent deliveries go first, and routine ones never wait for ever."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from curator.route.lanes import Lanes, Order


@dataclass(frozen=True)
class Queued:
    number: int
    priority: int


def take(queue: list[Queued], lanes: Lanes) -> Queued:
    """Choose as the ledger does."""
    if lanes.order == Order.AGE:
        return min(queue, key=lambda one: one.number)
    return min(queue, key=lambda one: (-one.priority, one.number))


def test_higher_priorities_go_first():
    queue = [Queued(1, 0), Queued(2, 50), Queued(3, 50)]
    assert take(queue, Lanes()).number == 2


def test_equals_go_in_the_order_in_which_they_are_due():
    queue = [Queued(1, 0), Queued(2, 0)]
    lanes = Lanes()
    for _ in range(10):
        assert take(queue, lanes).number == 1
        lanes = lanes.taken()


@given(
    st.integers(1, 6),
    st.lists(st.integers(-5, 5), min_size=1, max_size=8),
    st.lists(st.lists(st.integers(-5, 5), max_size=4), max_size=80),
)
def test_nobody_starves_whatever_comes_in(patience, first, arrivals):
    queue = [Queued(number, priority) for number, priority in enumerate(first)]
    older = {one.number: position for position, one in enumerate(queue)}
    lanes = Lanes(patience)
    number = len(queue)
    for turn, coming in enumerate(arrivals, start=1):
        if not queue:
            break
        gone = take(queue, lanes)
        queue.remove(gone)
        lanes = lanes.taken()
        older.pop(gone.number, None)
        for waiting, position in older.items():
            assert turn < (position + 1) * (patience + 1), waiting
        for priority in coming:
            queue.append(Queued(number, priority))
            number += 1


@given(st.integers(1, 6), st.integers(1, 30))
def test_the_urgent_have_all_turns_but_one_in_a_few(patience, turns):
    lanes, by_age = Lanes(patience), 0
    for _ in range(turns):
        by_age += lanes.order == Order.AGE
        lanes = lanes.taken()
    assert by_age == turns // (patience + 1)
