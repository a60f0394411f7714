"""Real files with their structure spoiled: lengths, VRs, tags, delimiters."""

from __future__ import annotations

import struct
from functools import cache

from hypothesis import strategies as st

from collection import FILES, load
from curator.dicom.structure import ALL_VRS


@cache
def small_files() -> tuple[str, ...]:
    """Return the files that are quickly read, of every transfer syntax there is."""
    return tuple(name for name in FILES if len(load(name)) < 20_000 and "DICOMDIR" not in name)


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """Draw a real file, and spoil it where its structure is."""
    data = bytearray(load(draw(st.sampled_from(small_files()))))
    start = min(132, len(data) - 1)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(start, max(start, len(data) - 9)))
        match draw(
            st.sampled_from(["length", "long", "vr", "cut", "again", "gone", "tag", "item"])
        ):
            case "length":
                data[place : place + 2] = struct.pack("<H", draw(st.integers(0, 65535)))
            case "long":
                huge = draw(st.sampled_from([0xFFFFFFFF, 0xFFFFFFFE, 0x7FFFFFFF, 0x80000000, 0]))
                data[place : place + 4] = struct.pack("<I", huge)
            case "vr":
                vr = draw(st.sampled_from([*sorted(ALL_VRS), b"ZZ", b"  ", b"\0\0", b"sq"]))
                at = _some_vr(data, place)
                data[at : at + 2] = vr
            case "cut":
                del data[place:]
            case "again":
                piece = data[place : place + draw(st.integers(1, 200))]
                data[place:place] = piece
            case "gone":
                del data[place : place + draw(st.integers(1, 200))]
            case "tag":
                data[place : place + 4] = draw(st.sampled_from(_TAGS))
            case "item":
                data[place:place] = draw(st.sampled_from(_DELIMITERS))
    return bytes(data)


_TAGS = (
    b"\x08\0\x05\0", b"\x10\0\x20\0", b"\xe0\x7f\x10\0", b"\xfe\xff\0\xe0", b"\xfe\xff\xdd\xe0",
    b"\x02\0\x10\0", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x09\0\x10\0",
)  # fmt: skip
_DELIMITERS = (
    b"\xfe\xff\0\xe0\xff\xff\xff\xff",
    b"\xfe\xff\0\xe0\0\0\0\0",
    b"\xfe\xff\x0d\xe0\0\0\0\0",
    b"\xfe\xff\xdd\xe0\0\0\0\0",
    b"\xfe\xff\xdd\xe0\x01\0\0\0",
)


def _some_vr(data: bytearray, place: int) -> int:
    """Return where the next VR may stand."""
    for at in range(place, len(data) - 1):
        if bytes(data[at : at + 2]) in ALL_VRS:
            return at
    return place
