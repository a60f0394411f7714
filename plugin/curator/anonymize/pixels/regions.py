"""The regions of an ultrasound image (PS3.3 C.8.5.5): what is outside them is the screen around."""

from __future__ import annotations

from typing import Final

from curator.anonymize.pixels.geometry import Box, clipped
from curator.anonymize.pixels.layout import number
from curator.dicom.site import Site
from curator.dicom.tags import Tag

SEQUENCE_OF_ULTRASOUND_REGIONS: Final = Tag(0x00186011)
REGION_LOCATION: Final = tuple(Tag(tag) for tag in (0x00186018, 0x0018601A, 0x0018601C, 0x0018601E))
"""Region Location Min X0, Min Y0, Max X1, Max Y1."""


def ultrasound_regions(site: Site, rows: int, columns: int) -> tuple[Box, ...]:
    """Return the regions of an image, clipped to it; none where it declares none.

    The location of a region includes its last column and row.

    Raises
    ------
    Refused
        If a region has no location.
    DicomError
        If the sequence is malformed.
    """
    tag = SEQUENCE_OF_ULTRASOUND_REGIONS
    if tag not in site.tags or site.vr(tag) not in ("SQ", "UN"):
        return ()
    found = (_region(item.enter(), rows, columns) for item in site.items(tag))
    return tuple(box for box in found if box is not None)


def _region(item: Site, rows: int, columns: int) -> Box | None:
    left, top, right, bottom = (number(item, tag) for tag in REGION_LOCATION)
    return clipped(left, top, right + 1, bottom + 1, rows, columns)
