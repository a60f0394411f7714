"""Data sets as plain data, with an encoder of their own: the measure for the byte engine.

Nothing of ``curator.dicom`` is used here, so what the two agree on is right or wrong twice.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from hypothesis import strategies as st

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG = "1.2.840.10008.1.2.4.50"
UNDEFINED = 0xFFFFFFFF
LONG = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")


@dataclass(frozen=True)
class El:
    """An element: `value` holds bytes, or the items of a sequence, or the fragments of pixels."""

    tag: int
    vr: str
    value: bytes | tuple[Items, ...]
    delimited: bool = False

    @property
    def is_sequence(self) -> bool:
        return not isinstance(self.value, bytes)


@dataclass(frozen=True)
class Items:
    """One item: its elements, or the bytes of a fragment."""

    elements: tuple[El, ...] | bytes
    delimited: bool = False


def encode(elements: tuple[El, ...], explicit: bool = True, order: str = "<") -> bytes:
    return b"".join(encode_element(element, explicit, order) for element in elements)


def encode_element(element: El, explicit: bool, order: str = "<") -> bytes:
    raw = element.value
    if not isinstance(raw, bytes):
        inner = explicit and element.vr != "UN"
        raw = b"".join(_item(item, inner, order) for item in raw)
    length = UNDEFINED if element.delimited else len(raw)
    head = struct.pack(f"{order}HH", element.tag >> 16, element.tag & 0xFFFF)
    if not explicit:
        head += struct.pack(f"{order}I", length)
    elif element.vr in LONG:
        head += element.vr.encode() + struct.pack(f"{order}HI", 0, length)
    else:
        head += element.vr.encode() + struct.pack(f"{order}H", length)
    end = struct.pack(f"{order}HHI", 0xFFFE, 0xE0DD, 0) if element.delimited else b""
    return head + raw + end


def _item(item: Items, explicit: bool, order: str) -> bytes:
    content = item.elements
    if not isinstance(content, bytes):
        content = encode(content, explicit, order)
    length = UNDEFINED if item.delimited else len(content)
    end = struct.pack(f"{order}HHI", 0xFFFE, 0xE00D, 0) if item.delimited else b""
    return struct.pack(f"{order}HHI", 0xFFFE, 0xE000, length) + content + end


def even(text: str, padding: str = " ") -> bytes:
    return (text + padding * (len(text) % 2)).encode("ascii")


def head(transfer_syntax: str, sop_instance_uid: bytes, sop_class_uid: bytes) -> bytes:
    """Return preamble and File Meta Information, with more in it than is required."""
    group = encode(
        (
            El(0x00020001, "OB", b"\0\1"),
            El(0x00020002, "UI", sop_class_uid),
            El(0x00020003, "UI", sop_instance_uid),
            El(0x00020010, "UI", even(transfer_syntax, "\0")),
            El(0x00020012, "UI", b"1.2.3.45"),
            El(0x00020016, "AE", b"SOURCE"),
        )
    )
    length = El(0x00020000, "UL", struct.pack("<I", len(group)))
    return b"preamble".ljust(128, b"\0") + b"DICM" + encode((length,)) + group


@dataclass(frozen=True)
class File:
    """A whole file."""

    elements: tuple[El, ...]
    transfer_syntax: str = EXPLICIT

    @property
    def explicit(self) -> bool:
        return self.transfer_syntax != IMPLICIT

    @property
    def order(self) -> str:
        return ">" if self.transfer_syntax == BIG_ENDIAN else "<"

    @property
    def body(self) -> bytes:
        return encode(self.elements, self.explicit, self.order)

    @property
    def head(self) -> bytes:
        return head(self.transfer_syntax, self._uid(0x00080018), self._uid(0x00080016))

    def _uid(self, tag: int) -> bytes:
        return next(e.value for e in self.elements if e.tag == tag)

    @property
    def data(self) -> bytes:
        return self.head + self.body


# What an edit should do, on plain data.


def with_element(elements: tuple[El, ...], new: El) -> tuple[El, ...]:
    others = [element for element in elements if element.tag != new.tag]
    return tuple(sorted([*others, new], key=lambda element: element.tag))


def without(elements: tuple[El, ...], tag: int) -> tuple[El, ...]:
    return tuple(element for element in elements if element.tag != tag)


def in_items(elements: tuple[El, ...], tag: int, index: int | None, change) -> tuple[El, ...]:
    """Apply `change` to the elements of one item of a sequence, or of all."""

    def changed(element: El) -> El:
        if element.tag != tag or not element.is_sequence:
            return element
        items = [
            replace(item, elements=change(item.elements)) if index in (None, place) else item
            for place, item in enumerate(element.value)
        ]
        return replace(element, value=tuple(items))

    return tuple(map(changed, elements))


# Strategies.

TEXTS = {
    0x00080050: "SH",
    0x00080060: "CS",
    0x00080070: "LO",
    0x00080080: "LO",
    0x00081030: "LO",
    0x0008103E: "LO",
    0x00100010: "PN",
    0x00100020: "LO",
    0x00104000: "LT",
    0x00180015: "CS",
    0x00200010: "SH",
    0x00204000: "LT",
    0x00400254: "LO",
    0x00181030: "LO",
}
NUMBERS = {0x00280010: "US", 0x00280011: "US", 0x00180050: "DS", 0x00200013: "IS"}
BINARY = {0x00281201: "OW", 0x00420011: "OB"}
SEQUENCES = (0x00081111, 0x00081115, 0x00081140, 0x00400275, 0x00082112)
PRIVATE_CREATORS = ("CURATOR TEST", "OTHER CREATOR")

_ascii = st.sampled_from(["", "A", "AB", "x y", "CURATOR", "0.5", "a^b^c", "A rather long text"])
_bytes = st.sampled_from([b"", b"\0\1", b"\xfe\xff\xdd\xe0", b"\xfe\xff\0\xe0\0\0\0\0", bytes(64)])


def texts() -> st.SearchStrategy[El]:
    return st.builds(
        lambda tag, text: El(tag, TEXTS[tag], even(text)), st.sampled_from(sorted(TEXTS)), _ascii
    )


def numbers() -> st.SearchStrategy[El]:
    def built(tag: int, number: int) -> El:
        vr = NUMBERS[tag]
        raw = struct.pack("<H", number) if vr == "US" else even(str(number))
        return El(tag, vr, raw)

    return st.builds(built, st.sampled_from(sorted(NUMBERS)), st.integers(0, 65535))


def binaries() -> st.SearchStrategy[El]:
    return st.builds(
        lambda tag, raw: El(tag, BINARY[tag], raw), st.sampled_from(sorted(BINARY)), _bytes
    )


def sequences(depth: int) -> st.SearchStrategy[El]:
    items = st.lists(st.builds(Items, levels(depth - 1), st.booleans()), max_size=2).map(tuple)
    return st.builds(
        lambda tag, items, delimited: El(tag, "SQ", items, delimited),
        st.sampled_from(SEQUENCES),
        items,
        st.booleans(),
    )


def unknown_sequences(depth: int) -> st.SearchStrategy[El]:
    """Sequences that a gateway passed on as UN: implicit VR inside (PS3.5 6.2.2)."""
    return sequences(depth).map(lambda element: replace(element, vr="UN"))


@st.composite
def privates(draw: st.DrawFn) -> tuple[El, ...]:
    """A private group, its creators in any blocks."""
    blocks = draw(st.sampled_from([(), (0x10,), (0x11,), (0x10, 0x11), (0x10, 0xFF)]))
    creators = draw(st.sampled_from([PRIVATE_CREATORS, PRIVATE_CREATORS[::-1]]))
    reserving = [
        El(0x00290000 | block, "LO", even(creator))
        for block, creator in zip(blocks, creators, strict=False)
    ]
    numbers = st.sampled_from([(), (1,), (1, 2), (0, 255)])
    private = [
        El(
            0x00290000 | block << 8 | number,
            draw(st.sampled_from(["LO", "UN"])),
            even(draw(_ascii)),
        )
        for block in blocks
        for number in draw(numbers)
    ]
    return (*reserving, *private)


@st.composite
def levels(draw: st.DrawFn, depth: int) -> tuple[El, ...]:
    kinds = [texts(), numbers(), binaries()]
    if depth > 0:
        kinds += [sequences(depth), unknown_sequences(depth)]
    found = {element.tag: element for element in draw(st.lists(st.one_of(kinds), max_size=5))}
    if depth > 0 or draw(st.booleans()):
        found |= {element.tag: element for element in draw(privates())}
    return tuple(found[tag] for tag in sorted(found))


def with_group_lengths(elements: tuple[El, ...], explicit: bool, order: str) -> tuple[El, ...]:
    """Add the retired group lengths (PS3.5 7.2)."""
    groups = sorted({element.tag >> 16 for element in elements})
    lengths = []
    for group in groups:
        members = tuple(e for e in elements if e.tag >> 16 == group and e.tag & 0xFFFF)
        size = len(encode(members, explicit, order))
        lengths.append(El(group << 16, "UL", struct.pack(f"{order}I", size)))
    kept = [element for element in elements if element.tag & 0xFFFF]
    return tuple(sorted([*kept, *lengths], key=lambda element: element.tag))


def pixel_data() -> st.SearchStrategy[El]:
    fragments = st.lists(st.builds(Items, _bytes), min_size=1, max_size=3).map(tuple)
    return st.one_of(
        st.builds(lambda raw: El(0x7FE00010, "OW", raw), _bytes),
        st.builds(lambda items: El(0x7FE00010, "OB", items, True), fragments),
    )


@st.composite
def files(draw: st.DrawFn, transfer_syntaxes: tuple[str, ...] = (EXPLICIT, IMPLICIT, JPEG)) -> File:
    elements = {element.tag: element for element in draw(levels(2))}
    elements |= {
        0x00080016: El(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.7\0"),
        0x00080018: El(0x00080018, "UI", draw(st.sampled_from([b"1.2.3\0", b"1.2.3.44"]))),
    }
    pixels = draw(st.none() | pixel_data())
    if draw(st.booleans()):
        elements[0xFFFCFFFC] = El(0xFFFCFFFC, "OB", bytes(draw(st.integers(0, 8)) * 2))
    syntax = draw(st.sampled_from(transfer_syntaxes))
    if pixels is not None and pixels.delimited:
        syntax = JPEG if JPEG in transfer_syntaxes else syntax
    if pixels is not None and (syntax == JPEG or not pixels.delimited):
        elements[0x7FE00010] = pixels
    built = File(tuple(elements[tag] for tag in sorted(elements)), syntax)
    if draw(st.booleans()):
        built = replace(
            built, elements=with_group_lengths(built.elements, built.explicit, built.order)
        )
    return built
