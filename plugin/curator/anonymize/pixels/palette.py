"""The colors of a palette (PS3.3 C.7.9)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from curator.anonymize.errors import Refused
from curator.dicom.site import Site

_DESCRIPTORS: Final = (0x00281101, 0x00281102, 0x00281103)
_TABLES: Final = (0x00281201, 0x00281202, 0x00281203, 0x00281221, 0x00281222, 0x00281223)


@dataclass(frozen=True, slots=True)
class Palette:
    """The colors that the indices of an image stand for.

    Parameters
    ----------
    first : int
        The first index that is mapped; lower ones have its color.
    colors : array of numbers, shape (entries, 3)
        Red, green, blue.
    """

    first: int
    colors: NDArray[Any]

    @property
    def darkest(self) -> int:
        """The index of the darkest color."""
        return self.first + int(self.colors.sum(axis=1, dtype=np.int64).argmin())

    def colored(self, indices: NDArray[Any]) -> NDArray[Any]:
        """Return the colors of indices, with red, green and blue as the first axis."""
        places = np.clip(indices - self.first, 0, len(self.colors) - 1)
        return np.moveaxis(self.colors[places], -1, 0)


def palette_of(site: Site, signed: bool) -> Palette:
    """Read the palette of an image; segmented ones too.

    Raises
    ------
    Refused
        If it is not whole.
    """
    lookup = Dataset()
    try:
        for tag in _DESCRIPTORS:
            entries, first, bits = struct.unpack("<HhH" if signed else "<HHH", site.raw(tag))
            lookup.add_new(tag, "SS" if first < 0 else "US", [entries, first, bits])
        for tag in _TABLES:
            if tag in site.tags:
                lookup.add_new(tag, "OW", site.raw(tag))
        count = entries or 1 << 16
        indices = np.arange(first, first + count).reshape(1, -1)
        colors = apply_color_lut(indices, lookup)[0]
    except (ValueError, KeyError, IndexError, AttributeError, NotImplementedError, struct.error):
        raise Refused("RedPaletteColorLookupTableDescriptor", "the palette is not whole") from None
    return Palette(first, colors[:, :3])
