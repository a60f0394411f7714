"""Decode JPEG 2000, with a decoder that is handed one frame at a time.

Debian's GDCM plugin 1.8 crashes Orthanc 1.12.7 whenever it transcodes JPEG 2000, and either release
when it shows an image in YBR_RCT or YBR_ICT. It does neither with a file of one frame that says RGB
instead, which is what the decoder makes of those colors anyway: their transformation is a part of
the codestream (PS3.5 8.2.4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Final, Protocol

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEG2000, UID, JPEG2000Lossless, SecondaryCaptureImageStorage

from curator.anonymize.errors import Refused
from curator.anonymize.pixels.layout import (
    BITS_ALLOCATED,
    BITS_STORED,
    COLUMNS,
    HIGH_BIT,
    NUMBER_OF_FRAMES,
    PHOTOMETRIC_INTERPRETATION,
    PIXEL_REPRESENTATION,
    PLANAR_CONFIGURATION,
    ROWS,
    SAMPLES_PER_PIXEL,
    number,
    text,
)
from curator.dicom.encode import encode_element
from curator.dicom.engine import opened
from curator.dicom.filemeta import EXPLICIT_LITTLE_ENDIAN, MetaPolicy
from curator.dicom.instance import Instance
from curator.dicom.site import Changes, Site
from curator.dicom.tags import PIXEL_DATA

JPEG_2000: Final = frozenset({str(JPEG2000Lossless), str(JPEG2000)})
"""Of one component or three; those of part 2 have more."""

_DECODED_COLORS: Final = {"RGB": "RGB", "YBR_RCT": "RGB", "YBR_ICT": "RGB", "YBR_FULL": "YBR_FULL"}
"""Photometric Interpretation of color images, before and after."""

_NOT_AS_DECLARED: Final = "the JPEG 2000 image is not what the header says"


class Picture(Protocol):
    """A decoded frame; as that of the gateway."""

    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def samples(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def signed(self) -> bool: ...
    @property
    def pixels(self) -> bytes: ...


def decoded(dicom: bytes, decode: Callable[[bytes], Picture]) -> bytes:
    """Return an instance in Explicit VR Little Endian.

    Parameters
    ----------
    dicom : bytes
        A DICOM file in JPEG 2000.
    decode : callable
        Decodes a DICOM file that has one frame and nothing of the patient.

    Raises
    ------
    Refused
        If it is damaged, or not what its header says.
    DicomError
        If the instance cannot be read for certain.
    """
    instance = opened(dicom)
    site = instance.site
    frames = [_checked(decode(file), site).pixels for file in _single_frames(instance)]
    return instance.changed(_changes(site, frames), MetaPolicy.KEEP, EXPLICIT_LITTLE_ENDIAN)


def _single_frames(instance: Instance) -> Iterator[bytes]:
    """Yield each frame as a DICOM file, with no more of the header than a decoder needs."""
    count = number(instance.site, NUMBER_OF_FRAMES, 1)
    template = _template(instance)
    try:
        frames = list(_frames(instance, count))
    except (ValueError, AttributeError):
        raise Refused("PixelData", "the frames cannot be told apart") from None
    if len(frames) != count:
        raise Refused("PixelData", _NOT_AS_DECLARED)
    for frame in frames:
        template.PixelData = encapsulate([frame], has_bot=False)
        template["PixelData"].is_undefined_length = True
        file = BytesIO()
        template.save_as(file, enforce_file_format=True)
        yield file.getvalue()


def _frames(instance: Instance, count: int) -> Iterator[bytes]:
    """Yield the codestreams."""
    dataset = dcmread(BytesIO(instance.data))
    offsets = None
    if "ExtendedOffsetTable" in dataset:
        offsets = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    yield from generate_frames(dataset.PixelData, number_of_frames=count, extended_offsets=offsets)


def _template(instance: Instance) -> Dataset:
    site = instance.site
    samples = number(site, SAMPLES_PER_PIXEL, 1)
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = UID(instance.meta.transfer_syntax_uid)
    made.SOPClassUID = SecondaryCaptureImageStorage
    made.SOPInstanceUID = UID("2.25.1")
    made.SamplesPerPixel = samples
    made.PhotometricInterpretation = "MONOCHROME2" if samples == 1 else "RGB"
    if samples > 1:
        made.PlanarConfiguration = 0
    for tag in (ROWS, COLUMNS, BITS_ALLOCATED, BITS_STORED, HIGH_BIT, PIXEL_REPRESENTATION):
        made.add_new(tag, "US", number(site, tag))
    return made


def _checked(picture: Picture, site: Site) -> Picture:
    """Return a frame if it is one of this image.

    Raises
    ------
    Refused
        If it is not.
    """
    declared = (
        number(site, COLUMNS),
        number(site, ROWS),
        number(site, SAMPLES_PER_PIXEL, 1),
        number(site, BITS_ALLOCATED),
        number(site, PIXEL_REPRESENTATION) == 1,
    )
    found = (picture.width, picture.height, picture.samples, 8 * picture.size, picture.signed)
    if declared != found:
        raise Refused("PixelData", _NOT_AS_DECLARED)
    stored = number(site, BITS_STORED)
    cells = np.frombuffer(picture.pixels, f"<{'i' if picture.signed else 'u'}{picture.size}")
    low, high = (-(1 << stored - 1), 1 << stored - 1) if picture.signed else (0, 1 << stored)
    if not low <= int(cells.min()) <= int(cells.max()) < high:
        raise Refused("PixelData", _NOT_AS_DECLARED)
    return picture


def _changes(site: Site, frames: list[bytes]) -> Changes:
    value = b"".join(frames)
    vr = "OW" if number(site, BITS_ALLOCATED) > 8 else "OB"
    new = {PIXEL_DATA: (vr, value + b"\0" * (len(value) % 2))}
    if number(site, SAMPLES_PER_PIXEL, 1) > 1:
        photometric = _DECODED_COLORS.get(text(site, PHOTOMETRIC_INTERPRETATION))
        if photometric is None:
            raise Refused("PhotometricInterpretation", "JPEG 2000 has no such colors")
        padded = photometric + " " * (len(photometric) % 2)
        new[PHOTOMETRIC_INTERPRETATION] = ("CS", padded.encode("ascii"))
        new[PLANAR_CONFIGURATION] = ("US", bytes(2))
    return {
        tag: encode_element(tag, vr, raw, site.encoding) for tag, (vr, raw) in sorted(new.items())
    }
