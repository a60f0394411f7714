"""Find where the elements of an encoded data set start and end (PS3.5 7).

Nothing is decoded and nothing is copied: :func:`scan` walks one level of nesting and returns the
tags with their offsets. Everything else of this package works on that index.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from curator.dicom.errors import Malformed, OutOfOrder, TooDeep
from curator.dicom.tags import MAXIMUM_DEPTH, Tag, tag_text

UNDEFINED = 0xFFFFFFFF
ITEM = 0xFFFEE000
ITEM_DELIMITER = 0xFFFEE00D
SEQUENCE_DELIMITER = 0xFFFEE0DD
ITEM_DELIMITATION = struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
SEQUENCE_DELIMITATION = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)

_SHORT = "AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US"
_LONG = "OB OD OF OL OV OW SQ SV UC UN UR UT UV"
SHORT_VRS = frozenset(_SHORT.encode().split())
"""Value representations with a 16-bit length field in explicit VR (PS3.5 table 7.1-2)."""
LONG_VRS = frozenset(_LONG.encode().split())
"""Value representations with a 32-bit length field in explicit VR (PS3.5 table 7.1-1)."""

ALL_VRS = SHORT_VRS | LONG_VRS

_explicit_header = struct.Struct("<HH2sH").unpack_from
_implicit_header = struct.Struct("<HHI").unpack_from
_length = struct.Struct("<I").unpack_from


_DISORDER = "Elements occur twice or out of order"


class Level(NamedTuple):
    """The elements of one data set or item, by place.

    Element `i` has the tag ``tags[i]`` and takes ``offsets[i]`` to ``offsets[i + 1]``, header
    included; the last offset is the end of the content.
    """

    tags: list[int]
    offsets: list[int]
    ordered: bool
    explicit: bool

    @property
    def end(self) -> int:
        """Offset just past the last element."""
        return self.offsets[-1]

    def place(self, tag: int) -> int:
        """Return the place of `tag`: where it is, else where it would have to be inserted."""
        if self.ordered:
            return bisect_left(self.tags, tag)
        if tag in self.tags:
            return self.tags.index(tag)
        return next((place for place, other in enumerate(self.tags) if other > tag), len(self.tags))


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before a value field: VR (None in implicit VR), where and how long it is."""

    vr: str | None
    value: int
    length: int


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a sequence: its header starts at `start`, its content takes `value` to `end`."""

    start: int
    value: int
    end: int
    after: int
    level: Level | None

    @property
    def delimited(self) -> bool:
        """Whether the item has undefined length (PS3.5 7.5.1)."""
        return self.level is not None


class Scan(NamedTuple):
    """How to walk: where the enclosing bytes end, and what is known about the encoding."""

    end: int
    explicit: bool
    depth: int = 0
    delimited: bool = False


def scan(data: bytes, start: int, how: Scan) -> Level:
    """Walk the elements of one level, without entering what has a defined length.

    Parameters
    ----------
    data : bytes
        Encoded bytes, little endian.
    start : int
        Offset of the first element.
    how : Scan
        `end` bounds the level; with `delimited` it ends at its item delimiter before that.

    Raises
    ------
    Malformed
        If an element does not fit, or a header is none.
    TooDeep
        If sequences of undefined length are nested too deeply.
    """
    if how.depth > MAXIMUM_DEPTH:
        raise TooDeep(f"Sequences are nested deeper than {MAXIMUM_DEPTH} levels")
    walk = _scan_explicit if how.explicit else _scan_implicit
    try:
        return walk(data, start, how)
    except struct.error:
        raise Malformed("The data ends inside an element header", len(data)) from None


def _scan_explicit(data: bytes, position: int, how: Scan) -> Level:
    """Walk explicit VR little endian (PS3.5 7.1.2). The loop is the hot path."""
    end = how.end
    tags: list[int] = []
    offsets: list[int] = []
    add_tag, add_offset = tags.append, offsets.append
    header, long_length, short_vrs, long_vrs = _explicit_header, _length, SHORT_VRS, LONG_VRS
    previous, ordered = -1, True
    while position < end:
        group, element, vr, length = header(data, position)
        tag = group << 16 | element
        if vr in short_vrs:
            after = position + 8 + length
        elif vr in long_vrs:
            after = position + 12 + long_length(data, position + 8)[0]
        elif tag == ITEM_DELIMITER and how.delimited:
            break
        else:
            raise Malformed("No value representation", position + 4, tag_text(Tag(tag)))
        if after > end:
            after = _end_of_undefined(data, tag, position, vr, how)
        if tag <= previous:
            ordered = False
        previous = tag
        add_tag(tag)
        add_offset(position)
        position = after
    _check_end(data, position, how)
    add_offset(position)
    return Level(tags, offsets, ordered, True)


def _scan_implicit(data: bytes, position: int, how: Scan) -> Level:
    """Walk implicit VR little endian (PS3.5 7.1.3). The loop is the hot path.

    Any eight bytes pass for a header here: disorder at top level ends the walk at once, since after
    a wrong length it could go on through all the zeros of an image.
    """
    end = how.end
    tags: list[int] = []
    offsets: list[int] = []
    add_tag, add_offset = tags.append, offsets.append
    header = _implicit_header
    previous, ordered = -1, True
    while position < end:
        group, element, length = header(data, position)
        tag = group << 16 | element
        if group == 0xFFFE:
            if tag == ITEM_DELIMITER and how.delimited:
                break
            raise Malformed("Item tag outside a sequence", position, tag_text(Tag(tag)))
        after = position + 8 + length
        if after > end:
            after = _end_of_undefined(data, tag, position, b"SQ", how)
        if tag <= previous:
            if not how.depth:
                raise OutOfOrder(_DISORDER, position, tag_text(Tag(tag)))
            ordered = False
        previous = tag
        add_tag(tag)
        add_offset(position)
        position = after
    _check_end(data, position, how)
    add_offset(position)
    return Level(tags, offsets, ordered, False)


def _check_end(data: bytes, position: int, how: Scan) -> None:
    """See that a delimited level ended at its delimiter (PS3.5 7.5.1)."""
    if not how.delimited:
        return
    if position + 8 > how.end or data[position : position + 8] != ITEM_DELIMITATION:
        raise Malformed("The item delimiter is missing", position)


def _end_of_undefined(data: bytes, tag: int, position: int, vr: bytes, how: Scan) -> int:
    """Return where the element at `position` ends, which does not fit by its length field."""
    head = header_at(data, position, how.explicit)
    if head.length != UNDEFINED:
        raise Malformed("The value is longer than what is left", position, tag_text(Tag(tag)))
    if vr in (b"OB", b"OW"):
        return _end_of_fragments(data, head.value, how.end)
    if vr not in (b"SQ", b"UN"):
        raise Malformed("Undefined length is not allowed here", position, tag_text(Tag(tag)))
    explicit = how.explicit and vr == b"SQ"
    try:
        return _end_of_items(data, head.value, Scan(how.end, explicit, how.depth + 1))
    except Malformed as problem:
        raise problem.within(tag_text(Tag(tag))) from None


def header_at(data: bytes, position: int, explicit: bool) -> Header:
    """Return the header of the element at `position`, which :func:`scan` has found."""
    if not explicit:
        return Header(None, position + 8, _length(data, position + 4)[0])
    _, _, vr, length = _explicit_header(data, position)
    if vr in LONG_VRS:
        return Header(vr.decode(), position + 12, _length(data, position + 8)[0])
    return Header(vr.decode(), position + 8, length)


def _end_of_fragments(data: bytes, position: int, end: int) -> int:
    """Return where encapsulated pixel data ends: items of defined length (PS3.5 A.4)."""
    while True:
        group, element, length = _implicit_header(data, position)
        tag = group << 16 | element
        if tag == SEQUENCE_DELIMITER and not length:
            return position + 8
        if tag != ITEM or position + 8 + length > end:
            raise Malformed("No fragment where one is expected", position)
        position += 8 + length


def _end_of_items(data: bytes, position: int, how: Scan) -> int:
    for item in items(data, position, UNDEFINED, how):
        position = item.after
    return position + len(SEQUENCE_DELIMITATION)


def items(data: bytes, position: int, length: int, how: Scan) -> Iterator[Item]:
    """Yield the items of a sequence (PS3.5 7.5).

    Parameters
    ----------
    data : bytes
        Encoded bytes.
    position : int
        Offset of the value field.
    length : int
        Length of the value field, or `UNDEFINED`: then the items end at the sequence delimiter.
    how : Scan
        `end` bounds the sequence where its length is undefined; `explicit` and `depth` are those
        of the items.

    Raises
    ------
    Malformed
        If the items do not fill the sequence exactly.
    """
    end = how.end if length == UNDEFINED else position + length
    while length == UNDEFINED or position < end:
        if position + 8 > end:
            raise Malformed("The sequence ends inside an item header", position)
        group, element, item_length = _implicit_header(data, position)
        tag = group << 16 | element
        if tag == SEQUENCE_DELIMITER and length == UNDEFINED and not item_length:
            return
        if tag != ITEM:
            raise Malformed("No item where one is expected", position)
        item = _item(data, position, item_length, Scan(end, how.explicit, how.depth))
        yield item
        position = item.after


def _item(data: bytes, start: int, length: int, how: Scan) -> Item:
    value = start + 8
    if length == UNDEFINED:
        level = scan(data, value, how._replace(delimited=True))
        return Item(start, value, level.end, level.end + len(ITEM_DELIMITATION), level)
    after = value + length
    if after > how.end:
        raise Malformed("An item is longer than its sequence", start)
    return Item(start, value, after, after, None)


def level_of(data: bytes, item: Item, how: Scan) -> Level:
    """Return the elements of an item."""
    if item.level is not None:
        return item.level
    return scan(data, item.value, Scan(item.end, how.explicit, how.depth))


def check_order(level: Level) -> None:
    """See that a level which is out of order (PS3.5 7.1) can be understood all the same.

    In implicit VR a wrong order is more often the trace of a wrong length than a writer's habit, so
    that is refused.

    Raises
    ------
    OutOfOrder
        If a tag occurs twice, or the level is encoded in implicit VR.
    """
    if level.ordered:
        return
    if not level.explicit or len(set(level.tags)) != len(level.tags):
        raise OutOfOrder(_DISORDER, level.offsets[0])
