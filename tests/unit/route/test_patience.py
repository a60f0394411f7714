"""Whether and when a failed step is tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.errors import BadRequest, Conflict, CoreError, CuratorError, ErrorCode, Stopping
from curator.route.patience import Again, Busy, decide, passes, words
from curator.route.rule import Retry

RETRY = Retry(attempts=4, first=10.0, max_=60.0)


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (Conflict("x"), True),
        (Busy("x"), True),
        (Stopping("x"), True),
        (CoreError(ErrorCode.FULL_STORAGE, "full"), True),
        (CoreError(ErrorCode.SQLITE_CANNOT_STEP, "busy"), True),
        (CoreError(ErrorCode.TIMEOUT, "slow"), True),
        (CoreError(ErrorCode.BAD_FILE_FORMAT, "broken"), False),
        (CoreError(ErrorCode.REVISION, "revision"), False),
        (Conflict("x", conflicts=[{"Element": "PatientSex"}]), False),
        (CoreError(ErrorCode.UNKNOWN_RESOURCE, "deleted while it is read"), True),
        (BadRequest("x"), False),
        (CuratorError("x"), False),
    ],
)
def test_only_what_may_be_over_later_is_tried_again(error, passing):
    assert passes(error) is passing
    assert (decide(error, 0, 0.0, RETRY, 100.0, 1.0) is not None) is passing


def test_pauses_grow_up_to_the_longest_and_end():
    error = Conflict("x")
    found = [decide(error, attempts, 0.0, RETRY, 0.0, 1.0) for attempts in range(4)]
    assert found == [Again(10.0, 1), Again(20.0, 2), Again(40.0, 3), None]


@given(st.floats(0, 1e9), st.floats(0, 1), st.integers(0, 10**6))
def test_what_another_job_is_in_the_way_of_waits_as_long_as_that_takes(waited, chance, attempts):
    again = decide(Busy("x"), attempts, waited, RETRY, 0.0, chance)
    assert again is not None
    assert again.attempts == attempts
    assert 0 < again.at <= 60


def test_words_say_what_the_core_says():
    assert words(CoreError(ErrorCode.FULL_STORAGE, "The disk is full")) == "The disk is full"
    assert words(CoreError(19, "full", "Instance x")) == "Instance x (full)"
    assert words(CuratorError()) == "CuratorError"
