"""What it takes to get an instance back as it was, from what it has become.

An operation changes a few elements of a file and leaves the pixel data alone, so the way back is a
few hundred bytes: how much both have in common at their ends, and the middle of the old one,
compressed with the middle of the new one as its dictionary.
"""

import struct
import zlib

from curator.errors import Conflict

#: Length of the common start, of the common end, and of the whole old file.
_HEAD = struct.Struct("<QQQ")

#: Bytes that are compared at once: few enough that the copies stay in the processor's cache.
_CHUNK = 32 * 1024

#: The part of a dictionary that zlib looks at.
_WINDOW = 32 * 1024


def way_back(new: bytes, old: bytes) -> bytes:
    """Return what makes `old` out of `new`."""
    start = _common_start(new, old)
    end = _common_end(new, old, start)
    compressor = zlib.compressobj(9, zdict=_dictionary(new, start, end))
    middle = compressor.compress(old[start : len(old) - end]) + compressor.flush()
    return _HEAD.pack(start, end, len(old)) + middle


def restored(new: bytes, way: bytes) -> bytes:
    """Return the old file.

    Raises
    ------
    Conflict
        If `new` is not the file that the way back starts from.
    """
    start, end, length = _HEAD.unpack_from(way)
    if start + end > len(new):
        raise Conflict("The file is shorter than the one that the operation has written")
    decompressor = zlib.decompressobj(zdict=_dictionary(new, start, end))
    try:
        middle = decompressor.decompress(way[_HEAD.size :]) + decompressor.flush()
    except zlib.error:
        raise Conflict("The file is not the one that the operation has written") from None
    old = b"".join((new[:start], middle, new[len(new) - end :]))
    if len(old) != length:
        raise Conflict("The file is not the one that the operation has written")
    return old


def _dictionary(new: bytes, start: int, end: int) -> bytes:
    return new[start : len(new) - end][:_WINDOW]


def _common_start(one: bytes, other: bytes) -> int:
    shortest = min(len(one), len(other))
    start = 0
    while start < shortest and one[start : start + _CHUNK] == other[start : start + _CHUNK]:
        start += _CHUNK
    step = _CHUNK
    while step := step // 2:
        if one[start : start + step] == other[start : start + step]:
            start += step
    return min(start, shortest)


def _common_end(one: bytes, other: bytes, start: int) -> int:
    """Return the length of the common end of what follows the common start."""
    most = min(len(one), len(other)) - start
    end = 0
    step = _CHUNK
    while step:
        if end + step <= most and one.startswith(
            other[len(other) - end - step : len(other) - end], len(one) - end - step
        ):
            end += step
        else:
            step //= 2
    return end
