"""The way back from what an operation has made of a file."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.errors import Conflict
from curator.reshape.delta import restored, way_back
from factory import make_instance

CHUNK = 32 * 1024

few = st.binary(max_size=40)


@given(few, few, few, few)
def test_what_two_files_share_at_their_ends_is_found_again(start, new, old, end):
    written, original = start + new + end, start + old + end
    assert restored(written, way_back(written, original)) == original


@given(few, few)
def test_files_that_share_nothing_are_restored_too(new, old):
    assert restored(new, way_back(new, old)) == old


@pytest.mark.parametrize("length", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_common_ends_of_any_length_are_found(length):
    common = random.Random(length).randbytes(length)
    for new, old in ((b"", b"x"), (b"x", b""), (b"ab", b"xyz"), (b"", b"")):
        written, original = common + new + common, common + old + common
        way = way_back(written, original)
        assert restored(written, way) == original
        assert len(way) < 100


def test_repeated_content_is_not_counted_twice():
    written, original = b"aaaa", b"aaaaaaaaaa"
    assert restored(written, way_back(written, original)) == original
    assert restored(original, way_back(original, written)) == written


def test_a_changed_name_takes_some_hundred_bytes_whatever_the_pixels_are():
    original = make_instance(Rows=512, Columns=512, PatientName="DOE^JANE")
    written = make_instance(Rows=512, Columns=512, PatientName="ROE^RICHARD^M")
    assert len(way_back(written, original)) < 500


def test_a_file_that_is_too_short_is_refused():
    way = way_back(b"start new end", b"start old end")
    with pytest.raises(Conflict, match="shorter"):
        restored(b"start", way)


def test_another_file_is_refused():
    original = make_instance(PatientName="DOE^JANE", PatientComments="a" * 200)
    written = make_instance(PatientName="ROE^RICHARD", PatientComments="b" * 200)
    way = way_back(written, original)
    with pytest.raises(Conflict, match="not the one"):
        restored(make_instance(PatientName="POE^EDGAR^ALLAN", PatientComments="c" * 200), way)


def test_a_way_back_that_is_cut_off_is_refused():
    way = way_back(b"start" + b"new" * 50 + b"end", b"start" + bytes(range(200)) + b"end")
    with pytest.raises(Conflict, match="not the one"):
        restored(b"start" + b"new" * 50 + b"end", way[:-20])
