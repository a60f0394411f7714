"""The list of errors is short, and the latest come first."""

from curator.health.trouble import MOST_TROUBLES, Trouble, latest


def trouble(number: int) -> Trouble:
    return Trouble(f"20260102T{number:06}.0", "Job", str(number), "T", "Failure", 1, "")


def test_latest_come_first_and_old_ones_are_left_out():
    found = latest([trouble(number) for number in (3, 1, *range(4, 40), 2)])
    assert [int(one.id) for one in found] == list(range(39, 39 - MOST_TROUBLES, -1))
