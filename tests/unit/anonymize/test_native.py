"""Of what a server has decoded only the pixels are taken."""

from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from curator.anonymize.errors import Refused
from curator.anonymize.native import with_decoded_pixels
from factory import make_instance

PIXELS = {"BitsStored": 16, "HighBit": 15}
SEQUENCE = {"SequenceOfUltrasoundRegions": [{"RegionLocationMinX0": 3}]}


def encoded(dataset) -> bytes:
    out = BytesIO()
    dataset.save_as(out)
    return out.getvalue()


def compressed(**elements) -> bytes:
    dataset = dcmread(
        BytesIO(make_instance(**{**PIXELS, **SEQUENCE, "NumberOfFrames": 1, **elements}))
    )
    dataset.compress(RLELossless, generate_instance_uid=False)
    return encoded(dataset)


def decoded_by_a_careless_server(file: bytes, **changed) -> bytes:
    """Decode, and lose and change elements as GDCM does."""
    dataset = dcmread(BytesIO(file))
    dataset.decompress(generate_instance_uid=False)
    del dataset.SequenceOfUltrasoundRegions, dataset.NumberOfFrames
    dataset.ImagePositionPatient = [9.0, 9.0, 9.0]
    dataset.RescaleType = "US"
    for keyword, value in changed.items():
        setattr(dataset, keyword, value)
    return encoded(dataset)


def test_only_the_pixels_are_taken():
    file = compressed()
    result = dcmread(BytesIO(with_decoded_pixels(file, decoded_by_a_careless_server(file))))
    expected = dcmread(BytesIO(file))
    assert result.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert result.PixelData == dcmread(BytesIO(make_instance(**PIXELS))).PixelData
    del result.PixelData, expected.PixelData
    assert result == expected


@pytest.mark.parametrize(
    "changed",
    [{"SOPInstanceUID": "1.2.3"}, {"SOPClassUID": "1.2.3"}, {"Rows": 8}, {"NumberOfFrames": 2}],
    ids=str,
)
def test_another_instance_is_refused(changed):
    file = compressed()
    with pytest.raises(Refused, match="not the same instance"):
        with_decoded_pixels(file, decoded_by_a_careless_server(file, **changed))


def test_what_is_still_compressed_is_refused():
    file = compressed()
    with pytest.raises(Refused, match="has not decoded"):
        with_decoded_pixels(file, file)
