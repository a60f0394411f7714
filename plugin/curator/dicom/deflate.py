"""Unpack and pack a data set that is deflated as a whole (PS3.5 A.5, RFC 1951)."""

from __future__ import annotations

import struct
import zlib

from curator.dicom.errors import Malformed

MOST_BYTES = 2**28
"""Of an unpacked data set; some kilobytes can pretend to be gigabytes.

Several are unpacked at a time, each of them is copied once or twice when it is changed."""


def inflated(data: bytes, start: int) -> bytes:
    """Return the data set that follows deflated from `start`.

    After it, a byte of padding may stand, or the checksum and length that end a gzip stream: some
    writers leave them there, and they have to be right.

    Raises
    ------
    Malformed
        If it is cut off, damaged, larger than `MOST_BYTES`, or followed by anything else.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        body = inflater.decompress(data[start:], MOST_BYTES + 1)
    except zlib.error:
        raise Malformed("The deflated data set is damaged", start) from None
    if len(body) > MOST_BYTES:
        raise Malformed("The deflated data set is too large", start)
    trailer = struct.pack("<II", zlib.crc32(body), len(body) & 0xFFFFFFFF)
    if not inflater.eof or inflater.unused_data not in (b"", b"\0", trailer, trailer + b"\0"):
        raise Malformed("The deflated data set does not end with the file", start)
    return body


def deflated(body: bytes) -> bytes:
    """Return a deflated data set, padded to even length."""
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = deflater.compress(body) + deflater.flush()
    return packed + b"\0" * (len(packed) % 2)
