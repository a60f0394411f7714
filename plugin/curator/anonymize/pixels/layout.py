"""How the pixels of an image are laid out (PS3.3 C.7.6.3, PS3.5 8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from curator.anonymize.errors import Refused
from curator.dicom.errors import DicomError
from curator.dicom.site import Site
from curator.dicom.tags import DOUBLE_FLOAT_PIXEL_DATA, FLOAT_PIXEL_DATA, PIXEL_DATA, tag_text
from curator.dicom.tags import Tag as _Tag

SAMPLES_PER_PIXEL: Final = _Tag(0x00280002)
PHOTOMETRIC_INTERPRETATION: Final = _Tag(0x00280004)
PLANAR_CONFIGURATION: Final = _Tag(0x00280006)
NUMBER_OF_FRAMES: Final = _Tag(0x00280008)
ROWS: Final = _Tag(0x00280010)
COLUMNS: Final = _Tag(0x00280011)
BITS_ALLOCATED: Final = _Tag(0x00280100)
BITS_STORED: Final = _Tag(0x00280101)
HIGH_BIT: Final = _Tag(0x00280102)
PIXEL_REPRESENTATION: Final = _Tag(0x00280103)

PIXELS: Final = (FLOAT_PIXEL_DATA, DOUBLE_FLOAT_PIXEL_DATA, PIXEL_DATA)
"""The elements that hold an image."""

SUBSAMPLED: Final = ("YBR_FULL_422", "YBR_PARTIAL_422")
"""Two pixels in four samples: Y, Y, CB, CR (PS3.3 C.7.6.3.1.2)."""

_SAMPLES: Final = {
    "MONOCHROME1": 1,
    "MONOCHROME2": 1,
    "PALETTE COLOR": 1,
    "RGB": 3,
    "YBR_FULL": 3,
    **dict.fromkeys(SUBSAMPLED, 3),
}
_BITS: Final = (1, 8, 16, 32)


@dataclass(frozen=True, slots=True)
class Layout:
    """What has to be known to find a pixel in native pixel data.

    Parameters
    ----------
    tag : int
        Pixel Data, Float Pixel Data or Double Float Pixel Data.
    rows, columns, frames : int
        Size of the image.
    samples : int
        Samples per pixel.
    photometric : str
        Photometric Interpretation.
    by_plane : bool
        Planar Configuration 1: all of one color, then all of the next.
    allocated, stored, high_bit : int
        Bits of a sample: its cell, those in use, and the highest of them.
    signed : bool
        Two's complement.
    """

    tag: int
    rows: int
    columns: int
    frames: int
    samples: int
    photometric: str
    by_plane: bool
    allocated: int
    stored: int
    high_bit: int
    signed: bool

    @property
    def is_float(self) -> bool:
        """Whether the samples are floating point numbers."""
        return self.tag != PIXEL_DATA

    @property
    def subsampled(self) -> bool:
        """Whether two neighbors share their color."""
        return self.photometric in SUBSAMPLED

    @property
    def size(self) -> int:
        """Length of the value field in bytes, without padding."""
        samples = 2 if self.subsampled else self.samples
        return (self.frames * self.rows * self.columns * samples * self.allocated + 7) // 8


def layout_of(site: Site) -> Layout:
    """Read the layout of an image with native pixel data.

    Raises
    ------
    Refused
        If it contradicts itself, or is one that is not painted.
    """
    tag = pixels_tag(site)
    if tag is None:
        raise Refused("PixelData", "there are no pixels")
    allocated = number(site, BITS_ALLOCATED)
    stored = number(site, BITS_STORED, allocated)
    layout = Layout(
        tag=tag,
        rows=number(site, ROWS),
        columns=number(site, COLUMNS),
        frames=number(site, NUMBER_OF_FRAMES, 1),
        samples=number(site, SAMPLES_PER_PIXEL, 1),
        photometric=text(site, PHOTOMETRIC_INTERPRETATION),
        by_plane=number(site, PLANAR_CONFIGURATION, 0) == 1,
        allocated=allocated,
        stored=stored,
        high_bit=number(site, HIGH_BIT, stored - 1),
        signed=number(site, PIXEL_REPRESENTATION, 0) == 1,
    )
    _check(layout)
    return layout


def _check(layout: Layout) -> None:
    if min(layout.rows, layout.columns, layout.frames) < 1:
        raise Refused("Rows", "the image has no pixels")
    if _SAMPLES.get(layout.photometric) != layout.samples:
        raise Refused("PhotometricInterpretation", "such pixels cannot be painted")
    if layout.is_float:
        if layout.allocated != (32 if layout.tag == FLOAT_PIXEL_DATA else 64):
            raise Refused("BitsAllocated", "does not suit floating point pixels")
        return
    if layout.allocated not in _BITS:
        raise Refused("BitsAllocated", f"pixels of {layout.allocated} bits cannot be painted")
    if not 1 <= layout.stored <= layout.high_bit + 1 <= layout.allocated:
        raise Refused("BitsStored", "the bits of a pixel contradict each other")
    if layout.subsampled and (layout.columns % 2 or layout.by_plane or layout.allocated == 1):
        raise Refused("Columns", "pixels that share their color come in pairs")
    if layout.allocated == 1 and layout.samples != 1:
        raise Refused("BitsAllocated", "color pixels of one bit cannot be painted")


def pixels_tag(site: Site) -> int | None:
    """Return the element that holds the image, None where there is none."""
    return next((tag for tag in PIXELS if tag in site.tags), None)


def number(site: Site, tag: _Tag, default: int | None = None) -> int:
    """Return a whole number of the header.

    Raises
    ------
    Refused
        If it is none, or there is none and no default.
    """
    try:
        numbers = site.element(tag).numbers if tag in site.tags else ()
    except DicomError:
        raise Refused(tag_text(tag), "has a value that is no number") from None
    if not numbers and default is not None:
        return default
    if len(numbers) != 1 or int(numbers[0]) != numbers[0]:
        raise Refused(tag_text(tag), "a whole number is needed")
    return int(numbers[0])


def text(site: Site, tag: _Tag) -> str:
    """Return an element of text in capitals, values joined by backslashes, for comparisons.

    Text that is none in the character set of the instance is read byte by byte.
    """
    if tag not in site.tags:
        return ""
    raw = site.raw(tag)
    if raw.isascii() and b"\x1b" not in raw:
        return "\\".join(value.strip(" \0") for value in raw.decode("ascii").upper().split("\\"))
    try:
        return site.element(tag).text.upper()
    except DicomError:
        return raw.decode("latin_1").strip(" \0").upper()
