import errno
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.errors import ErrorCode
from curator.route.destinations import classify
from curator.route.kinds import FailureKind

NOW = 1_800_000_000.0


@pytest.mark.parametrize("status", [0x0000, 0x0111, 0xB000, 0xB006, 0xB007])
def test_success_warnings_and_duplicates_are_stored(status):
    assert classify.of_dimse(status) is None


@pytest.mark.parametrize("status", [0xA700, 0xA702, 0x0110, 0x0213, 0xFE00])
def test_what_the_scp_may_get_over_is_tried_again(status):
    assert classify.of_dimse(status).kind == FailureKind.TRANSIENT


@pytest.mark.parametrize("status", [0xA900, 0xA901, 0xC000, 0xC123, 0x0122, 0x0124, 0x0117])
def test_what_the_scp_will_say_again_is_not(status):
    failure = classify.of_dimse(status)
    assert failure.kind == FailureKind.PERMANENT
    assert failure.answer == f"DIMSE status 0x{status:04X}"


def test_the_status_comes_from_the_payload_or_from_the_words():
    payload = {"Content": {"DimseErrorStatus": 0xA700}, "Type": "Dimse"}
    assert classify.dimse_status("", payload) == 0xA700
    words = 'C-STORE SCU to AET "X" has failed with DIMSE status 0xC001'
    assert classify.dimse_status(words, None) == 0xC001
    assert classify.dimse_status("DicomAssociation - connecting to AET", {"Type": "?"}) is None


@pytest.mark.parametrize("status", [200, 201, 204, 409])
def test_http_success_and_conflict_are_done(status):
    assert classify.of_http(status, None, NOW) is None


@pytest.mark.parametrize("status", [301, 302, 400, 401, 403, 404, 413, 415, 422])
def test_http_refusals_and_redirects_are_permanent_and_wait_for_nothing(status):
    failure = classify.of_http(status, "60", NOW)
    assert failure.kind == FailureKind.PERMANENT
    assert failure.retry_after is None


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 507])
def test_http_troubles_pass_and_say_when(status):
    failure = classify.of_http(status, "120", NOW)
    assert failure.kind == FailureKind.TRANSIENT
    assert failure.retry_after == 120.0


def test_retry_after_is_a_date_as_well():
    later = format_datetime(datetime.fromtimestamp(NOW + 90, UTC), usegmt=True)
    earlier = format_datetime(datetime.fromtimestamp(NOW - 90, UTC), usegmt=True)
    assert classify.of_http(503, later, NOW).retry_after == pytest.approx(90)
    assert classify.of_http(503, earlier, NOW).retry_after == 0.0


@given(st.text(max_size=40))
def test_any_retry_after_is_a_time_to_come_or_nothing(text):
    wait = classify.of_http(503, text, NOW).retry_after
    assert wait is None or wait >= 0


@pytest.mark.parametrize(
    "text",
    [
        f"Wed, 21 Oct {10**20} 07:28:00 GMT",
        f"Wed, 21 Oct 2015 07:28:00 +{10**20}",
        "Wed, 01 Jan 0001 00:00:00 +2300",
        "9" * 5000,
    ],
)
def test_a_retry_after_that_no_calendar_has_asks_for_nothing_that_breaks(text):
    assert classify.of_http(503, text, NOW).retry_after in (None, 0.0, 999_999_999.0)


def test_a_full_disk_passes_and_a_name_too_long_does_not():
    assert classify.of_errno(errno.ENOSPC).kind == FailureKind.TRANSIENT
    assert classify.of_errno(errno.ENAMETOOLONG).kind == FailureKind.PERMANENT
    assert classify.of_errno(None).kind == FailureKind.TRANSIENT


@pytest.mark.parametrize(
    "details",
    [
        "No valid presentation context was negotiated for SOP class UID [1.2] and transfer syntax",
        "Cannot C-Store an instance of 1.2, the destination has not accepted any TransferSyntax",
        "Cannot transcode instance of SOPClassUID 1.2 from 1.3 to one of [ 1.4 ]",
    ],
)
def test_an_instance_that_the_modality_cannot_take_is_permanent(details):
    failure = classify.of_core(ErrorCode.NETWORK_PROTOCOL, "Error in the network protocol", details)
    assert failure.kind == FailureKind.PERMANENT


def test_an_answer_is_one_line_of_bounded_length():
    failure = classify.of_core(9, "", "word \n" * 1000)
    assert len(failure.answer) == classify.LONGEST_ANSWER
    assert "\n" not in failure.answer


def test_stow_refusals_are_permanent_and_troubles_pass():
    refused = classify.of_stow(ErrorCode.BAD_REQUEST, "Bad request", "")
    failed = classify.of_stow(9, "", "contains 1 items in its Failed SOP Sequence (0008,1198) tag")
    trouble = classify.of_stow(ErrorCode.NETWORK_PROTOCOL, "Error in the network protocol", "")
    assert [one.kind for one in (refused, failed, trouble)] == [
        FailureKind.PERMANENT,
        FailureKind.PERMANENT,
        FailureKind.TRANSIENT,
    ]
