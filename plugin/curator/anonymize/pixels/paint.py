"""Paint over native pixels, in place, whatever their layout (PS3.3 C.7.6.3, PS3.5 8.1).

What is painted is gone: a filled box holds one value that does not depend on the image, a blurred
one a smooth surface through a few coarse means.
"""

from __future__ import annotations

from math import ceil
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from curator.anonymize.errors import Refused
from curator.anonymize.pixels.geometry import Box
from curator.anonymize.pixels.layout import Layout
from curator.dicom.tags import Tag, tag_text

Array = NDArray[Any]

_BLUR_CELLS: Final = 8
"""Means across the longer side of an image: no letter of a text fits between two of them."""

_BLUR_LEVELS_BITS: Final = 4
"""Bits of a mean, so that a known text cannot be recognized by its means."""


class Canvas:
    """The pixels of an image, to be painted.

    Parameters
    ----------
    layout : Layout
        How they are laid out.
    header : bytes
        What stands before them in the encoded element.
    value : bytes
        The value field, little endian.
    black : int, optional
        The index of a palette that is darkest.

    Raises
    ------
    Refused
        If the value field has not the length that the layout asks for.
    """

    def __init__(self, layout: Layout, header: bytes, value: bytes, black: int = 0) -> None:
        if not layout.size <= len(value) <= layout.size + 1:
            raise Refused(
                tag_text(Tag(layout.tag)),
                f"has {len(value)} bytes, {layout.size} are expected",
            )
        self.layout = layout
        self._start = len(header)
        self._encoded = bytearray(header)
        self._encoded += value
        self._packed = layout.allocated == 1
        self._cells = self._opened()
        self._black = black

    def _opened(self) -> Array:
        """Return the samples as an array of frames, samples, rows and columns that can be set."""
        layout = self.layout
        frames, rows, columns = layout.frames, layout.rows, layout.columns
        if self._packed:
            packed = np.frombuffer(self._encoded, np.uint8, layout.size, self._start)
            bits = np.unpackbits(packed, bitorder="little")
            return bits[: frames * rows * columns].reshape(frames, 1, rows, columns)
        cell = layout.allocated // 8
        kind = "f" if layout.is_float else "i" if layout.signed else "u"
        flat = np.frombuffer(self._encoded, f"<{kind}{cell}", layout.size // cell, self._start)
        if layout.subsampled:
            return flat.reshape(frames, rows, columns // 2, 4).transpose(0, 3, 1, 2)
        if layout.by_plane:
            return flat.reshape(frames, layout.samples, rows, columns)
        return flat.reshape(frames, rows, columns, layout.samples).transpose(0, 3, 1, 2)

    def encoded(self) -> bytes:
        """Return the element as it is now."""
        if self._packed:
            packed = np.packbits(self._cells.reshape(-1), bitorder="little").tobytes()
            self._encoded[self._start : self._start + len(packed)] = packed
        return bytes(self._encoded)

    def fill(self, box: Box) -> None:
        """Paint a box with what is black on a screen, in every frame."""
        value = np.array(self._black_samples(), self._cells.dtype)
        self._window(box)[...] = value[:, None, None]

    def blur(self, box: Box) -> None:
        """Make a box unreadable in every frame, but leave its brightness.

        Where a mean of samples means nothing, in palettes, single bits and floating point, and
        where a box is too small to hold two of them, it is filled.
        """
        layout = self.layout
        if layout.photometric == "PALETTE COLOR" or layout.is_float or self._packed:
            self.fill(box)
            return
        window = self._window(box)
        edge = ceil(max(layout.rows, layout.columns) / _BLUR_CELLS)
        for frame in window:
            for plane in frame:
                plane[...] = self._stored(_smooth(self._values(plane), edge, layout.stored))

    def clear(self) -> None:
        """Clear the bits that are not stored, in which an overlay may lie (PS3.5 8.1.2)."""
        if self.layout.is_float or self._packed:
            return
        for frame in self._cells:
            frame[...] = self._stored(self._values(frame))

    def frame(self, index: int) -> Array:
        """Return the values of one frame, samples by rows by columns, colors at full resolution."""
        values = (
            self._values(self._cells[index]) if not self.layout.is_float else self._cells[index]
        )
        if not self.layout.subsampled:
            return values
        light = np.stack((values[0], values[1]), axis=-1).reshape(self.layout.rows, -1)
        return np.stack((light, *(plane.repeat(2, axis=1) for plane in values[2:])))

    def cells(self, index: int) -> Array:
        """Return one frame as it is stored, samples by rows by columns."""
        frame: Array = self._cells[index]
        return frame

    def _window(self, box: Box) -> Array:
        if self.layout.subsampled:
            return self._cells[..., box.top : box.bottom, box.left // 2 : ceil(box.right / 2)]
        return self._cells[..., box.top : box.bottom, box.left : box.right]

    def _black_samples(self) -> tuple[float, ...]:
        layout = self.layout
        if layout.is_float:
            return (0.0,)
        shift = layout.high_bit + 1 - layout.stored
        half = 1 << layout.stored - 1
        lowest = -half if layout.signed else 0
        highest = lowest + (1 << layout.stored) - 1
        gray = 0 if layout.signed else half
        samples = {
            "MONOCHROME1": (highest,),
            "MONOCHROME2": (lowest,),
            "PALETTE COLOR": (self._black,),
            "RGB": (lowest,) * 3,
            "YBR_FULL": (lowest, gray, gray),
            "YBR_FULL_422": (lowest, lowest, gray, gray),
            "YBR_PARTIAL_422": (lowest + (half >> 3),) * 2 + (gray, gray),
        }
        return tuple(sample << shift for sample in samples[layout.photometric])

    def _values(self, cells: Array) -> Array:
        """Return stored values of cells as wide numbers: only the stored bits, sign extended."""
        layout = self.layout
        shift = layout.high_bit + 1 - layout.stored
        values = cells.astype(np.int64) >> shift
        values &= (1 << layout.stored) - 1
        if layout.signed:
            values -= (values & 1 << layout.stored - 1) << 1
        return values

    def _stored(self, values: Array) -> Array:
        layout = self.layout
        return (values << layout.high_bit + 1 - layout.stored).astype(self._cells.dtype)


def _smooth(values: Array, edge: int, stored: int) -> Array:
    """Return a surface through coarse means of blocks of about `edge` pixels."""
    rows, columns = values.shape
    down, across = (max(size // edge, 1) for size in (rows, columns))
    tops, lefts = (
        np.arange(count) * size // count for count, size in ((down, rows), (across, columns))
    )
    sums = np.add.reduceat(np.add.reduceat(values.astype(np.float64), tops, 0), lefts, 1)
    heights, widths = np.diff([*tops, rows]), np.diff([*lefts, columns])
    step = float(1 << max(stored - _BLUR_LEVELS_BITS, 0))
    means = np.floor(sums / (heights[:, None] * widths) / step) * step + step // 2
    centers = tops + heights / 2, lefts + widths / 2
    wide = np.stack([np.interp(np.arange(columns) + 0.5, centers[1], row) for row in means])
    tall = [np.interp(np.arange(rows) + 0.5, centers[0], column) for column in wide.T]
    return np.stack(tall, axis=1).astype(np.int64)
