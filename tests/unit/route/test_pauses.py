"""What is paused stays so, also over a restart."""

import pytest

from curator.route.pauses import PauseKind, Pauses
from curator.store import Store


@pytest.fixture
def pauses(store):
    return Pauses(store)


def test_what_is_paused_stays_so_over_a_restart(pauses, url):
    assert pauses.pause(PauseKind.RULE, "night", "user")
    again = Store(url)
    try:
        after = Pauses(again)
        assert after.paused(PauseKind.RULE, "night")
        (pause,) = after.all()
        assert (pause.kind, pause.name, pause.user) == ("Rule", "night", "user")
    finally:
        again.close()


def test_a_rule_and_a_destination_of_one_name_are_two(pauses):
    pauses.pause(PauseKind.RULE, "same", "")
    assert not pauses.paused(PauseKind.DESTINATION, "same")


def test_who_has_paused_something_first_stays_known(pauses):
    pauses.pause(PauseKind.RULE, "night", "first")
    assert not pauses.pause(PauseKind.RULE, "night", "second")
    assert [one.user for one in pauses.all()] == ["first"]


def test_listeners_hear_of_changes_only(pauses):
    told = []
    pauses.on_change(lambda kind, name: told.append((kind, name)))
    assert not pauses.resume(PauseKind.DESTINATION, "modality:A")
    for _ in range(2):
        pauses.pause(PauseKind.DESTINATION, "modality:A", "")
    for _ in range(2):
        pauses.resume(PauseKind.DESTINATION, "modality:A")
    assert told == [("Destination", "modality:A")] * 2
    assert pauses.all() == []
