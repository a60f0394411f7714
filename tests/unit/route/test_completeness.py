"""Whether a resource is complete."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.models import validate
from curator.route.completeness import Expired, Ready, Wait, state
from curator.route.facts import Undecidable
from curator.route.moments import moment_text
from curator.route.rule import Complete
from unit.route.facts_for_tests import UNREADABLE, facts

START = 1_706_702_400.0

CT = facts(Modality="CT")
MR = facts(Modality="MR")

WANTED = {"Series": [{"Tag": "Modality", "Equals": "CT"}, {"Tag": "Modality", "Equals": "MR"}]}


def complete(**fields: object) -> Complete:
    return validate(Complete, {"Deadline": 1000, **fields})


def study(updated: float = START, **counts: int):
    return facts(counts=counts, metadata={"LastUpdate": moment_text(updated)})


def test_it_is_complete_when_there_is_a_series_for_each_condition():
    wanted = complete(**WANTED)
    assert state(wanted, study(), [CT, MR], START, START) == Ready()
    waits = state(wanted, study(), [CT], START, START)
    assert isinstance(waits, Wait)
    assert waits.missing == "no series fits $.Complete.Series[1]"
    assert START < waits.until <= START + 10


def test_it_is_complete_when_there_are_as_many_as_wanted():
    wanted = complete(Counts={"Series": 2, "Instances": 3})
    assert state(wanted, study(Series=2, Instances=5), [], START, START) == Ready()
    waits = state(wanted, study(Series=1, Instances=5), [], START, START)
    assert isinstance(waits, Wait)
    assert waits.missing == "Series: 1 of 2"


def test_it_waits_until_it_was_quiet_for_so_long_after_the_last_instance():
    wanted = complete(Quiet=300)
    assert state(wanted, study(START), [], START + 60, START + 60) == Wait(
        START + 300, "it is still being received"
    )
    assert state(wanted, study(START + 200), [], START + 300, START + 60) == Wait(
        START + 500, "it is still being received"
    )
    assert state(wanted, study(START), [], START + 300, START + 60) == Ready()


def test_what_is_not_complete_at_its_deadline_is_told():
    wanted = complete(**WANTED)
    assert state(wanted, study(), [CT], START + 1000, START) == Expired(
        "no series fits $.Complete.Series[1]"
    )
    assert state(wanted, study(), [CT, MR], START + 1000, START) == Ready()


def test_a_condition_that_cannot_be_decided_is_not_fulfilled():
    with pytest.raises(Undecidable):
        state(complete(**WANTED), study(), [facts(Modality=UNREADABLE)], START, START)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(0, 5000), st.integers(0, 3))
def test_it_looks_again_at_a_later_moment_that_is_never_far(elapsed, updated, quiet, series):
    wanted = complete(Quiet=quiet, Counts={"Series": 2})
    now = START + elapsed
    found = state(wanted, study(START + updated, Series=series), [], now, START)
    if isinstance(found, Wait):
        assert now < found.until <= now + 1000
    assert not isinstance(found, Ready) or series >= 2
