"""Decode pixel data without the server, and tell what has to be decoded at all."""

from __future__ import annotations

from io import BytesIO
from typing import Final

from pydicom import dcmread
from pydicom.pixels.decoders.base import RLELosslessDecoder
from pydicom.uid import RLELossless

from curator.anonymize.errors import Refused
from curator.anonymize.pixels.layout import PLANAR_CONFIGURATION, SAMPLES_PER_PIXEL, number
from curator.dicom.encode import encode_element
from curator.dicom.engine import opened
from curator.dicom.filemeta import EXPLICIT_LITTLE_ENDIAN, MetaPolicy
from curator.dicom.instance import Instance
from curator.dicom.site import Changes
from curator.dicom.tags import PIXEL_DATA

RLE_LOSSLESS: Final = str(RLELossless)


def is_native(instance: Instance) -> bool:
    """Tell whether the pixels of an instance can be painted as they are encoded."""
    site = instance.site
    return site.encoding.order == "<" and not (
        PIXEL_DATA in site.tags and site.is_delimited(PIXEL_DATA)
    )


def decoded(dicom: bytes) -> bytes:
    """Return an instance with its pixels in Explicit VR Little Endian, without the server.

    Parameters
    ----------
    dicom : bytes
        A DICOM file in RLE Lossless.

    Raises
    ------
    Refused
        If it is in another transfer syntax, or damaged.
    DicomError
        If the instance cannot be read for certain.
    """
    instance = opened(dicom)
    if instance.meta.transfer_syntax_uid != RLE_LOSSLESS:
        raise Refused("PixelData", "neither the server nor pydicom can decode the pixels")
    try:
        changes = _from_rle(instance)
    except (ValueError, AttributeError, RuntimeError, NotImplementedError, TypeError):
        raise Refused("PixelData", "the RLE compressed pixels cannot be decoded") from None
    return instance.changed(changes, MetaPolicy.KEEP, EXPLICIT_LITTLE_ENDIAN)


def _from_rle(instance: Instance) -> Changes:
    frames: list[bytes] = []
    planar = 0
    for frame, meta in RLELosslessDecoder.iter_buffer(dcmread(BytesIO(instance.data)), raw=True):
        frames.append(bytes(frame))
        planar = int(meta.get("planar_configuration", 0))
        cell = int(meta["bits_allocated"])
    value = b"".join(frames)
    value += b"\0" * (len(value) % 2)
    encoding = instance.site.encoding
    vr = "OW" if cell > 8 else "OB"
    changes: dict[int, bytes] = {PIXEL_DATA: encode_element(PIXEL_DATA, vr, value, encoding)}
    if number(instance.site, SAMPLES_PER_PIXEL, 1) > 1:
        raw = planar.to_bytes(2, "little")
        changes[PLANAR_CONFIGURATION] = encode_element(PLANAR_CONFIGURATION, "US", raw, encoding)
    return changes
