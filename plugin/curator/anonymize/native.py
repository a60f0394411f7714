"""Take the pixels that a server has decoded, and nothing else, into the original instance.

A server that decodes writes the whole file anew, and not always as it was: GDCM leaves out Sequence
of Ultrasound Regions, adds Spacing Between Slices, and writes numbers with other digits.
"""

from __future__ import annotations

from curator.anonymize.errors import Refused
from curator.dicom.engine import opened
from curator.dicom.filemeta import EXPLICIT_LITTLE_ENDIAN, MetaPolicy
from curator.dicom.instance import Instance
from curator.dicom.reader import header_of
from curator.dicom.tags import PIXEL_DATA, SOP_CLASS_UID, SOP_INSTANCE_UID, tag_for_keyword

#: What has to be the same in both: who the instance is, and how large.
_SAME = (
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    *map(tag_for_keyword, ("Rows", "Columns", "SamplesPerPixel")),
)

_NUMBER_OF_FRAMES = tag_for_keyword("NumberOfFrames")

#: How pixels are encoded, beside the pixels (PS3.3 C.7.6.3).
_ENCODING = (
    *map(
        tag_for_keyword,
        (
            "PhotometricInterpretation",
            "PlanarConfiguration",
            "BitsAllocated",
            "BitsStored",
            "HighBit",
            "PixelRepresentation",
        ),
    ),
    PIXEL_DATA,
)


def with_decoded_pixels(original: bytes, decoded: bytes) -> bytes:
    """Return an instance in Explicit VR Little Endian, with the pixels that a server has decoded.

    Parameters
    ----------
    original : bytes
        A DICOM file with compressed pixels.
    decoded : bytes
        The same one in Explicit VR Little Endian.

    Raises
    ------
    Refused
        If the two are not of the same instance, or what is decoded is not what it should be.
    DicomError
        If one of them cannot be read for certain.
    """
    before, after = opened(original), opened(decoded)
    if (
        after.meta.transfer_syntax_uid != EXPLICIT_LITTLE_ENDIAN
        or PIXEL_DATA not in after.site.tags
    ):
        raise Refused("PixelData", "the server has not decoded the pixels")
    if _identity(before) != _identity(after):
        raise Refused("PixelData", "what the server has decoded is not the same instance")
    present = [tag for tag in _ENCODING if tag in after.site.tags]
    changes: dict[int, bytes] = {tag: after.site.encoded(tag) for tag in present}
    return before.changed(changes, MetaPolicy.KEEP, EXPLICIT_LITTLE_ENDIAN)


def _identity(instance: Instance) -> list[tuple[str, ...]]:
    header = header_of(instance, [*_SAME, _NUMBER_OF_FRAMES])
    return [*map(header.strings, _SAME), header.strings(_NUMBER_OF_FRAMES) or ("1",)]
