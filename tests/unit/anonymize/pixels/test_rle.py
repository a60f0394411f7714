"""RLE Lossless: what is written, pydicom reads; what is compressed, is decoded without a server."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.rle import _rle_decode_frame

import collection
from curator.anonymize.errors import Refused
from curator.anonymize.pixels.rle import encapsulated, encoded_frame
from curator.anonymize.pixels.syntax import decoded, is_native
from curator.dicom.engine import opened
from factory import JPEGBaseline8Bit, make_instance
from unit.anonymize.pixels.images import array, read

RLE_FILES = [name for name in collection.FILES if "rle" in name.lower()]


def decoded_frame(encoded: bytes, frame: np.ndarray) -> np.ndarray:
    samples, rows, columns = frame.shape
    raw = _rle_decode_frame(encoded, rows, columns, samples, frame.dtype.itemsize * 8)
    return np.frombuffer(raw, frame.dtype).reshape(frame.shape)


@given(
    st.sampled_from(["<u1", "<i1", "<u2", "<i2", "<u4"]).flatmap(
        lambda kind: arrays.arrays(
            kind,
            st.tuples(st.sampled_from([1, 3]), st.integers(1, 4), st.integers(1, 300)),
            elements=st.sampled_from([0, 1, 77]),
        )
    )
)
def test_every_frame_comes_back(frame):
    encoded = encoded_frame(frame)
    assert len(encoded) % 2 == 0
    assert (decoded_frame(encoded, frame) == frame).all()


@pytest.mark.parametrize("length", [1, 2, 3, 127, 128, 129, 130, 131, 256, 257, 258, 384, 385])
@pytest.mark.parametrize("noise", [False, True])
def test_runs_and_literals_of_every_length_come_back(length, noise):
    row = np.arange(length) % 251 if noise else np.full(length, 5)
    frame = row.astype("<u1").reshape(1, 1, length)
    assert (decoded_frame(encoded_frame(frame), frame) == frame).all()


def test_sixteen_segments_are_one_too_many():
    with pytest.raises(ValueError, match="15 segments"):
        encoded_frame(np.zeros((4, 1, 1), "<u4"))


def test_frames_are_found_by_the_offset_table():
    frames = [bytes([number]) * (2 * number) for number in range(1, 5)]
    element = encapsulated(frames)[12:]
    assert list(generate_frames(element, number_of_frames=4)) == frames


@pytest.mark.parametrize("name", RLE_FILES)
def test_compressed_files_are_decoded_to_the_same_pixels(name):
    dicom = collection.load(name)
    if read(dicom).file_meta.TransferSyntaxUID != "1.2.840.10008.1.2.5":
        pytest.fail(f"{name} is no RLE file")
    result = decoded(dicom)
    assert is_native(opened(result))
    assert not is_native(opened(dicom))
    assert (array(result) == array(dicom)).all()


def test_the_collection_has_such_files():
    assert len(RLE_FILES) >= 5


def test_other_compressions_and_damaged_frames_are_refused():
    with pytest.raises(Refused):
        decoded(make_instance(transfer_syntax=JPEGBaseline8Bit, pixels=b"\xff\xd8\xff\xd9"))
    with pytest.raises(Refused):
        decoded(make_instance(transfer_syntax="1.2.840.10008.1.2.5", pixels=bytes(100)))
