"""Bring out what may be text in an image: thin strokes that differ from what is around them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Gray = NDArray[np.uint8]

_STROKE: Final = 15
"""Strokes of letters are thinner than this, in pixels."""

_AROUND: Final = 31
"""Side of the square that a stroke is compared with."""

_LEAST: Final = 20
"""Levels that ink differs from its background at least."""

_LEAST_IN_SQUARE: Final = 3
"""Pixels of ink in a square of three by three: fewer are noise, or the end of a stroke."""

_ENDS: Final = 2
"""Pixels of ink at the end of a stroke that may stand alone."""

_DEVIATIONS: Final = 1.2
"""How far ink stands out from what is around it, in standard deviations."""


def sheets(frame: NDArray[np.uint8]) -> Iterator[tuple[Gray, float]]:
    """Yield black ink on white paper: bright and dark strokes, of small and of large letters.

    Parameters
    ----------
    frame : array of uint8, shape (rows, columns) or (rows, columns, 3)
        Gray, or red, green and blue.

    Yields
    ------
    sheet : array of uint8, shape (rows, columns)
        0 for ink, 255 for paper, and edges between.
    scale : float
        Pixels of the sheet for one of the frame.
    """
    color = frame.ndim == 3
    bright = frame.max(axis=2) if color else frame
    dark = np.bitwise_not(frame.min(axis=2) if color else frame)
    for gray in (bright, dark):
        yield doubled(_ink(gray)), 2.0
        if min(gray.shape) >= 4 * _AROUND:
            yield doubled(_ink(_halved(gray))), 1.0


def doubled(gray: Gray) -> Gray:
    """Return an image of twice the size, interpolated."""
    for axis in (0, 1):
        wide = gray.astype(np.uint16).swapaxes(0, axis)
        padded = np.concatenate((wide[:1], wide, wide[-1:]))
        new = np.empty((2 * len(wide), wide.shape[1]), np.uint16)
        new[0::2] = (padded[:-2] + 3 * wide) // 4
        new[1::2] = (padded[2:] + 3 * wide) // 4
        gray = new.swapaxes(0, axis).astype(np.uint8)
    return gray


def _ink(gray: Gray) -> Gray:
    strokes = (gray - _eroded_and_dilated(gray)).astype(np.float32)
    mean = _mean(strokes)
    deviation = np.sqrt(np.maximum(_mean(strokes * strokes) - mean * mean, 0))
    ink = strokes > np.maximum(_LEAST, mean + _DEVIATIONS * deviation)
    return np.where(_without_specks(ink), 0, 255).astype(np.uint8)


def _without_specks(ink: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return ink without dots of noise, among which Tesseract loses the letters."""
    kept = ink & (_in_square(ink) >= _LEAST_IN_SQUARE)
    for _ in range(_ENDS):
        kept = ink & (_in_square(kept) > 0)
    return kept


def _in_square(ink: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return how much ink is in the square of three by three pixels around each pixel."""
    counts: NDArray[np.uint8] = ink.astype(np.uint8)
    for axis in (0, 1):
        margins = [(0, 0), (0, 0)]
        margins[axis] = (1, 1)
        padded = np.pad(counts, margins)
        size = counts.shape[axis]
        first, *others = (padded.take(range(start, start + size), axis) for start in range(3))
        counts = first + others[0] + others[1]
    return counts


def _eroded_and_dilated(gray: Gray) -> Gray:
    """Return the image without its thin bright parts (morphological opening)."""
    return _extreme(_extreme(gray, np.minimum), np.maximum)


def _extreme(gray: Gray, function: np.ufunc) -> Gray:
    found = gray
    for axis in (0, 1):
        windows = sliding_window_view(_padded(found, _STROKE, axis), _STROKE, axis=axis)
        found = np.array(function.reduce(windows, axis=-1), np.uint8)
    return found


def _mean(values: NDArray[np.float32]) -> NDArray[Any]:
    """Return the mean of the square around each pixel."""
    sums: NDArray[Any] = values.astype(np.float64)
    for axis in (0, 1):
        running = np.cumsum(_padded(sums, _AROUND, axis), axis=axis)
        running = np.concatenate((np.zeros_like(running.take([0], axis)), running), axis=axis)
        size = sums.shape[axis]
        ends = running.take(range(_AROUND, _AROUND + size), axis)
        sums = (ends - running.take(range(size), axis)) / _AROUND
    return sums


def _padded(values: NDArray[Any], window: int, axis: int) -> NDArray[Any]:
    margins = [(0, 0), (0, 0)]
    margins[axis] = (window // 2, window // 2)
    return np.pad(values, margins, mode="edge")


def _halved(gray: Gray) -> Gray:
    rows, columns = (size // 2 for size in gray.shape)
    blocks = gray[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2)
    return np.array(blocks.mean(axis=(1, 3)), np.uint8)
