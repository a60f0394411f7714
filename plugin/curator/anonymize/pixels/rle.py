"""Write frames in RLE Lossless (PS3.5 G)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from curator.dicom.tags import PIXEL_DATA

_MAX_SEGMENTS: Final = 15
_MAX_LITERAL: Final = 128
_SHORTEST_RUN: Final = 3
_UNDEFINED: Final = 0xFFFFFFFF
_ITEM: Final = (0xFFFE, 0xE000)
_SEQUENCE_DELIMITATION: Final = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def encapsulated(frames: Iterable[bytes]) -> bytes:
    """Return a Pixel Data element of encoded frames, one fragment each (PS3.5 A.4).

    The Basic Offset Table is left empty where its offsets would not fit.
    """
    items = [_item(frame) for frame in frames]
    offsets = np.cumsum([0, *(len(item) for item in items[:-1])], dtype=np.uint64)
    table = offsets.astype("<u4").tobytes() if int(offsets[-1]) < _UNDEFINED else b""
    group, element = PIXEL_DATA >> 16, PIXEL_DATA & 0xFFFF
    head = struct.pack("<HH2sHI", group, element, b"OB", 0, _UNDEFINED)
    return b"".join([head, _item(table), *items, _SEQUENCE_DELIMITATION])


def _item(content: bytes) -> bytes:
    padded = content + b"\0" * (len(content) % 2)
    return struct.pack("<HHI", *_ITEM, len(padded)) + padded


def encoded_frame(samples: NDArray[Any]) -> bytes:
    """Encode one frame.

    Parameters
    ----------
    samples : array, shape (samples, rows, columns)
        Integers of 8, 16 or 32 bits.

    Returns
    -------
    bytes
        Header and segments: of each sample its bytes, the most significant first.

    Raises
    ------
    ValueError
        If there would be more than 15 segments.
    """
    size = samples.dtype.itemsize
    if len(samples) * size > _MAX_SEGMENTS:
        raise ValueError("a frame has at most 15 segments")
    segments = [
        _segment(np.ascontiguousarray(plane).view(np.uint8).reshape(*plane.shape, size)[..., byte])
        for plane in samples.astype(samples.dtype.newbyteorder("<"), copy=False)
        for byte in reversed(range(size))
    ]
    offsets = [64]
    for segment in segments[:-1]:
        offsets.append(offsets[-1] + len(segment))
    offsets += [0] * (_MAX_SEGMENTS - len(offsets))
    return struct.pack("<16I", len(segments), *offsets) + b"".join(segments)


def _segment(plane: NDArray[np.uint8]) -> bytes:
    """Return one byte of every pixel, each row packed by itself, of even length."""
    packed = b"".join(part for row in plane for part in _packed(row))
    return packed + b"\0" * (len(packed) % 2)


def _packed(row: NDArray[np.uint8]) -> Iterator[bytes]:
    """Yield a row as literal and replicate runs (PackBits)."""
    content = row.tobytes()
    starts = np.flatnonzero(np.diff(row, prepend=row[:1] ^ 1))
    lengths = np.diff(starts, append=len(row))
    long = lengths >= _SHORTEST_RUN
    position = 0
    for start, length in zip(starts[long].tolist(), lengths[long].tolist(), strict=True):
        yield from _literal(content, position, start)
        position = start + length
        yield from _replicate(content[start : start + 1], length)
    yield from _literal(content, position, len(content))


def _literal(content: bytes, start: int, end: int) -> Iterator[bytes]:
    for position in range(start, end, _MAX_LITERAL):
        chunk = content[position : min(position + _MAX_LITERAL, end)]
        yield bytes([len(chunk) - 1]) + chunk


def _replicate(value: bytes, length: int) -> Iterator[bytes]:
    for position in range(0, length, _MAX_LITERAL):
        count = min(_MAX_LITERAL, length - position)
        yield bytes([257 - count if count > 1 else 0]) + value
