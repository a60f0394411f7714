"""Show a frame as a screen would, for who looks for text in it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from curator.anonymize.pixels.layout import Layout
from curator.anonymize.pixels.palette import Palette

_EDGES: Final = (0.2, 99.8)
"""Percentiles that become black and white."""

_FROM_YBR: Final = np.array([[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]])
"""Red, green and blue from Y, CB and CR (PS3.3 C.7.6.3.1.2)."""


def screened(values: NDArray[Any], layout: Layout, palette: Palette | None) -> NDArray[np.uint8]:
    """Return a frame in gray or red, green, blue.

    Parameters
    ----------
    values : array, shape (samples, rows, columns)
        Stored values of one frame.
    layout : Layout
        What they mean.
    palette : Palette, optional
        The colors of indices.

    Returns
    -------
    array of uint8, shape (rows, columns) or (rows, columns, 3)
        Black is 0.
    """
    if palette is not None:
        values = palette.colored(values[0])
        return _stretched(np.moveaxis(values, 0, -1), 0, float(palette.colors.max() or 1))
    if layout.samples == 1:
        gray = _stretched(values[0], *_edges(values[0]))
        return np.bitwise_not(gray) if layout.photometric == "MONOCHROME1" else gray
    lowest = -(1 << layout.stored - 1) if layout.signed else 0
    colors = np.moveaxis(values, 0, -1)
    if layout.photometric != "RGB":
        middle = np.array([0, 1, 1]) * (1 << layout.stored - 1) if not layout.signed else 0
        colors = (colors - middle) @ _FROM_YBR.T
    return _stretched(colors, lowest, lowest + (1 << layout.stored) - 1)


def _edges(values: NDArray[Any]) -> tuple[float, float]:
    """Return what becomes black and white; the extremes where there is hardly anything between."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = np.percentile(finite, _EDGES)
    return (low, high) if high > low else (float(finite.min()), float(finite.max()))


def _stretched(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    scaled = (values - low) * (255.0 / max(high - low, 1e-12))
    return np.nan_to_num(np.clip(scaled, 0, 255)).astype(np.uint8)
