"""JPEG 2000 is decoded frame by frame, and taken only where it is what the header says."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.uid import ExplicitVRLittleEndian

from curator.anonymize.errors import Refused
from curator.anonymize.pixels.jpeg2000 import decoded
from curator.gateway import Picture
from jpeg2000 import KINDS, codestream, make_jpeg2000, ramp


class Server:
    """Decodes what it knows, and dies of what a real server dies of."""

    def __init__(self) -> None:
        self.asked: list[Dataset] = []

    def __call__(self, dicom: bytes) -> Picture:
        dataset = dcmread(BytesIO(dicom))
        self.asked.append(dataset)
        assert dataset.PhotometricInterpretation in ("MONOCHROME2", "RGB")
        (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
        (pixels,) = (
            ramp(kind)
            for kind in KINDS
            if codestream(kind) == frame.rstrip(b"\0") or codestream(kind) == frame
        )
        return picture(pixels)


def picture(pixels: np.ndarray[Any, Any]) -> Picture:
    samples = 3 if pixels.ndim == 3 else 1
    height, width = pixels.shape[:2]
    signed = pixels.dtype.kind == "i"
    return Picture(width, height, samples, pixels.itemsize, signed, pixels.tobytes())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_decoded_as_it_is(kind):
    file = make_jpeg2000(kind)
    result = dcmread(BytesIO(decoded(file, Server())))
    expected = dcmread(BytesIO(file))
    assert result.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert np.array_equal(result.pixel_array, ramp(kind))
    if ramp(kind).ndim == 3:
        assert (result.PhotometricInterpretation, result.PlanarConfiguration) == ("RGB", 0)
        del result.PhotometricInterpretation, expected.PhotometricInterpretation
    del result.PixelData, expected.PixelData
    assert result == expected


def test_frames_keep_their_order():
    file = make_jpeg2000("gray8", "gray8 reversed", "gray8")
    result = dcmread(BytesIO(decoded(file, Server()))).pixel_array
    assert np.array_equal(result, [ramp(kind) for kind in ("gray8", "gray8 reversed", "gray8")])


def test_indices_of_a_palette_stay_indices():
    file = make_jpeg2000("gray8", PhotometricInterpretation="PALETTE COLOR")
    result = dcmread(BytesIO(decoded(file, Server())))
    assert result.PhotometricInterpretation == "PALETTE COLOR"
    assert np.array_equal(result.pixel_array, ramp("gray8"))


def test_the_decoder_sees_nothing_of_the_patient():
    server = Server()
    decoded(make_jpeg2000("gray8", PatientName="Secret^Name", PatientID="SECRET"), server)
    (asked,) = server.asked
    assert {element.tag.group for element in asked} == {0x0008, 0x0028, 0x7FE0}
    assert {element.keyword for element in asked.group_dataset(0x0008)} == {
        "SOPClassUID",
        "SOPInstanceUID",
    }


@pytest.mark.parametrize(
    "declared",
    [
        {"Rows": 16},
        {"NumberOfFrames": 2},
        {"PixelRepresentation": 1},
        {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7},
        {"BitsStored": 10, "HighBit": 9},  # there are higher values
        {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0},
        {"Rows": None},
    ],
    ids=str,
)
def test_what_is_not_as_declared_is_refused(declared):
    with pytest.raises(Refused):
        decoded(make_jpeg2000("unsigned12", **declared), Server())


def test_colors_that_jpeg_2000_has_not_are_refused():
    file = make_jpeg2000("rgb8", PhotometricInterpretation="YBR_FULL_422")
    with pytest.raises(Refused, match="colors"):
        decoded(file, Server())


def test_damaged_items_are_refused():
    file = make_jpeg2000("gray8", "gray8")
    start = file.index(codestream("gray8"))
    with pytest.raises(Refused):
        decoded(file[: start - 8] + b"\xfe\xff\x0d\xe0" + file[start - 4 :], Server())
