"""Rule sets in the database: the last one is in use, none before is lost."""

import pytest

from curator.errors import Conflict
from curator.route.rule_store import NO_SET, RuleStore


@pytest.fixture
def sets(store):
    return RuleStore(store)


def content(name: str) -> dict:
    return {"Rules": [{"Name": name}], "Receive": [{"Name": f"{name}-in"}]}


def test_without_any_the_set_is_empty(sets):
    assert sets.current() == NO_SET
    assert sets.current().rules == sets.current().receive == []


def test_the_last_set_is_in_use_and_all_stay_readable(sets):
    for number, name in enumerate("abc"):
        sets.put(content(name), f"user {name}", after=number)
    current = sets.current()
    assert (current.number, current.content, current.user) == (3, content("c"), "user c")
    assert current.rules == [{"Name": "c"}]
    assert current.receive == [{"Name": "c-in"}]
    assert sets.get(1).content == content("a")
    assert sets.get(4) is None
    assert [one.number for one in sets.history()] == [3, 2, 1]
    assert [one.number for one in sets.history(since=1, limit=1)] == [2]


def test_of_two_that_start_from_the_same_set_the_second_is_refused(sets):
    sets.put(content("a"), "", after=0)
    sets.put(content("b"), "", after=1)
    with pytest.raises(Conflict, match="rule set 2"):
        sets.put(content("c"), "", after=1)
    assert sets.current().content == content("b")
