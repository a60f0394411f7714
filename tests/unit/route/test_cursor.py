"""Where the reader of the log stands."""

import json

from hypothesis import given
from hypothesis import strategies as st

from curator.route.cursor import (
    Begin,
    Cursor,
    Mark,
    Trouble,
    adapted,
    begun,
    recovered,
    resolved,
    set_back,
    trouble_at,
)
from curator.route.events import Change
from curator.route.kinds import Trigger

STUDY, STORED = Trigger.STABLE_STUDY, Trigger.STORED_INSTANCE

TYPES = {STUDY: "StableStudy", STORED: "NewInstance"}


def change(number: int, trigger: Trigger = STUDY, resource: str = "r") -> Change:
    return Change(number, TYPES[trigger], "Study", resource, "20240131T120000")


moments = st.floats(0, 1e10)
numbers = st.integers(0, 10**9)
cursors = st.builds(
    Cursor,
    st.builds(Mark, numbers),
    st.dictionaries(st.sampled_from([STUDY, STORED]), st.builds(Begin, numbers, moments)),
    moments,
    st.none() | moments,
)


@given(cursors)
def test_it_is_kept_as_it_is(cursor):
    assert Cursor.from_json(json.loads(json.dumps(cursor.to_json()))) == cursor


def test_the_log_is_the_same_as_long_as_the_entry_is_there():
    mark = Mark.of(change(5))
    assert trouble_at(mark, 9, change(5), change(2)) is Trouble.NONE
    assert trouble_at(mark, 9, change(5, resource="another"), change(2)) is Trouble.REPLACED
    assert trouble_at(Mark(5), 9, change(5), change(2)) is Trouble.NONE


def test_an_entry_that_is_gone_means_nothing_while_an_older_one_is_there():
    assert trouble_at(Mark(5), 9, None, change(2)) is Trouble.NONE


def test_entries_that_nobody_has_read_and_that_are_gone_are_trouble():
    assert trouble_at(Mark(5), 9, None, change(8)) is Trouble.GAP
    assert trouble_at(Mark(5), 9, None, None) is Trouble.GAP
    assert trouble_at(Mark(5), 9, None, change(6)) is Trouble.NONE
    assert trouble_at(Mark(5), 5, None, None) is Trouble.NONE


def test_a_log_that_ends_before_it_is_another_one():
    assert trouble_at(Mark(5), 4, None, change(1)) is Trouble.AHEAD


def test_what_rules_begin_to_wait_for_begins_where_the_log_ends():
    cursor = resolved(adapted(None, {STUDY}, 100.0), lambda *_: 7)
    assert cursor == Cursor(Mark(7), {STUDY: Begin(7, 100.0)}, 100.0)
    both = resolved(adapted(cursor, {STUDY, STORED}, 200.0), lambda *_: 9)
    assert both.mark == Mark(7)
    assert both.begins == {STUDY: Begin(7, 100.0), STORED: Begin(9, 200.0)}
    changes = [change(8), change(9, STORED), change(10, STORED)]
    assert begun(both, changes) == [changes[0], changes[2]]


def test_what_nobody_waited_for_is_passed_over():
    cursor = Cursor(Mark(7), {STUDY: Begin(3, 100.0)}, 150.0)
    none = resolved(adapted(cursor, set(), 200.0), lambda *_: 20)
    again = resolved(adapted(none, {STUDY}, 300.0), lambda *_: 30)
    assert again == Cursor(Mark(30), {STUDY: Begin(30, 300.0)}, 300.0)


@given(cursors, numbers, numbers)
def test_after_trouble_nothing_that_comes_later_is_passed_over(cursor, oldest, last):
    last = max(last, oldest)
    for trouble in (Trouble.AHEAD, Trouble.REPLACED):
        found = recovered(cursor, trouble, oldest, last)
        later = [change(last + 1), change(last + 2, STORED)]
        wanted = [one for one in later if one.trigger in cursor.begins]
        assert found.mark.number <= last
        assert begun(found, later) == wanted
        assert found.lost_since is not None
    assert recovered(cursor, Trouble.GAP, oldest, last).mark.number == oldest - 1


@given(cursors, moments)
def test_nothing_lies_in_the_future_of_a_clock_that_was_set_back(cursor, now):
    found = set_back(cursor, now)
    assert (
        max(found.swept, *(one.at for one in found.begins.values()), found.lost_since or 0) <= now
    )
    assert set_back(found, now) == found
    assert found.mark == cursor.mark
