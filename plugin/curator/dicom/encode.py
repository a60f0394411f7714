"""Encode values and elements (PS3.5 6.2, 7.1, 7.5)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from pydicom.valuerep import format_number_as_ds

from curator.dicom.charset import TEXT_VRS, Charset, encode_text
from curator.dicom.edits import AsItStands, ItemValues, Replace, ReplaceEncoded, Values
from curator.dicom.element import NUMBER_CODES, STRING_VRS, Value
from curator.dicom.errors import TagError, UnsupportedValue
from curator.dicom.structure import LONG_VRS
from curator.dicom.tags import AnyTag, PrivateTag, Tag, dictionary_vr, tag_text

BYTES_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})

_ITEM_TAG = (0xFFFE, 0xE000)
_MAXIMUM_SHORT = 0xFFFE


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a level is encoded: explicit or implicit VR, byte order, character set."""

    explicit: bool
    charset: Charset
    order: str = "<"


def encode_element(tag: int, vr: str, raw: bytes, encoding: Encoding) -> bytes:
    """Return an element of defined length.

    A value too long for the 16-bit length of its VR gets the VR UN (PS3.5 6.2.2, note 2).
    """
    order = encoding.order
    group, element = tag >> 16, tag & 0xFFFF
    if not encoding.explicit:
        return struct.pack(f"{order}HHI", group, element, len(raw)) + raw
    code = vr.encode("ascii")
    if code not in LONG_VRS:
        if len(raw) <= _MAXIMUM_SHORT:
            return struct.pack(f"{order}HH2sH", group, element, code, len(raw)) + raw
        code = b"UN"
    return struct.pack(f"{order}HH2sHI", group, element, code, 0, len(raw)) + raw


def vr_for(tag: int, values: Values, creator: str | None = None) -> str:
    """Return the VR in which to write `values` where none is given and none stands.

    Raises
    ------
    UnsupportedValue
        If the dictionaries do not know the attribute and the values are not bytes.
    """
    vr = dictionary_vr(Tag(tag), creator)
    first = _as_tuple(values)[:1]
    if vr == "OW" and first and isinstance(first[0], int):
        return "SS" if any(isinstance(v, int) and v < 0 for v in _as_tuple(values)) else "US"
    if vr == "US" and any(isinstance(v, int) and v < 0 for v in _as_tuple(values)):
        return "SS"
    if vr == "UN" and first and not isinstance(first[0], bytes):
        raise UnsupportedValue(f"{tag_text(Tag(tag))} needs its value representation to be named")
    return vr


Standing = Callable[[AnyTag], Mapping[int, bytes]]
"""Gives the encoded elements that :class:`.AsItStands` copies for a tag, its creator included."""


def nothing_stands(_tag: AnyTag) -> Mapping[int, bytes]:
    """Copy nothing: there is no level to copy from."""
    return {}


def encode_values(
    tag: int, vr: str, values: Values, encoding: Encoding, standing: Standing = nothing_stands
) -> bytes:
    """Return the value field for `values`, padded to even length.

    Raises
    ------
    EncodingError
        If the character set cannot hold the text.
    UnsupportedValue
        If a value does not fit the VR.
    """
    parts = _as_tuple(values)
    if vr == "SQ":
        return encode_items(_items(tag, parts), encoding, standing)
    plain = tuple(_plain(tag, vr, part) for part in parts)
    if vr in STRING_VRS:
        return _padded(_encode_strings(tag, vr, plain, encoding), b"\0" if vr == "UI" else b" ")
    if vr in NUMBER_CODES or vr == "AT":
        return _encode_numbers(tag, vr, plain, encoding.order)
    if vr in BYTES_VRS:
        return _padded(_encode_bytes(tag, vr, plain), b"\0")
    raise UnsupportedValue(f"{tag_text(Tag(tag))}: no such value representation")


def encode_items(
    items: Iterable[ItemValues], encoding: Encoding, standing: Standing = nothing_stands
) -> bytes:
    """Return encoded items of defined length (PS3.5 7.5)."""
    encoded: list[bytes] = []
    for item in items:
        elements = _encoded_item(item, encoding, standing)
        content = b"".join(raw for _, raw in sorted(elements.items()))
        encoded.append(struct.pack(f"{encoding.order}HHI", *_ITEM_TAG, len(content)) + content)
    return b"".join(encoded)


def _encoded_item(item: ItemValues, encoding: Encoding, standing: Standing) -> dict[int, bytes]:
    elements: dict[int, bytes] = {}
    for tag, value in item.items():
        if isinstance(value, AsItStands):
            copied = standing(tag)
            if value.most is None or sum(map(len, copied.values())) <= value.most:
                elements.update(copied)
            continue
        number = _item_tag(tag)
        vr, raw = encode_replacement(number, value, encoding, standing=standing)
        elements[number] = encode_element(number, vr, raw, encoding)
    return elements


def _item_tag(tag: AnyTag) -> int:
    if isinstance(tag, PrivateTag):
        raise TagError(f"A new item cannot reserve the private block of {tag}; name its tags")
    return tag


def encode_replacement(
    tag: int,
    value: Replace | ReplaceEncoded | Values,
    encoding: Encoding,
    vr: str | None = None,
    standing: Standing = nothing_stands,
) -> tuple[str, bytes]:
    """Return VR and value field of a new value; `vr` is the one that stands, if any."""
    if isinstance(value, ReplaceEncoded):
        if len(value.raw) % 2:
            raise UnsupportedValue(f"{tag_text(Tag(tag))}: an encoded value has even length")
        return value.vr, value.raw
    values = value.values if isinstance(value, Replace) else value
    wanted = value.vr if isinstance(value, Replace) else None
    wanted = wanted or vr or vr_for(tag, values)
    return wanted, encode_values(tag, wanted, values, encoding, standing)


def _as_tuple(values: Values) -> tuple[Value | ItemValues, ...]:
    if isinstance(values, tuple):
        return values
    return () if values in ("", b"") else (values,)


def _items(tag: int, parts: tuple[Value | ItemValues, ...]) -> Iterable[ItemValues]:
    for part in parts:
        if not isinstance(part, Mapping):
            raise UnsupportedValue(f"{tag_text(Tag(tag))} is a sequence and takes items")
        yield part


def _plain(tag: int, vr: str, part: Value | ItemValues) -> Value:
    if isinstance(part, Mapping):
        raise UnsupportedValue(f"{tag_text(Tag(tag))} has VR {vr} and takes no items")
    return part


def _encode_strings(tag: int, vr: str, values: tuple[Value, ...], encoding: Encoding) -> bytes:
    text = "\\".join(_string(tag, vr, value) for value in values)
    if vr in TEXT_VRS:
        return encode_text(text, encoding.charset, vr)
    if not text.isascii():
        raise UnsupportedValue(f"{tag_text(Tag(tag))} has VR {vr} and takes ASCII only")
    return text.encode("ascii")


def _string(tag: int, vr: str, value: Value) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        raise UnsupportedValue(f"{tag_text(Tag(tag))} has VR {vr} and takes no bytes")
    if vr == "DS":
        return _decimal_string(tag, value)
    if isinstance(value, float) and vr == "IS":
        if not value.is_integer():
            raise UnsupportedValue(f"{tag_text(Tag(tag))} takes whole numbers only")
        value = int(value)
    return str(value)


def _decimal_string(tag: int, value: int | float) -> str:
    text = str(value)
    if len(text) <= 16 and isinstance(value, int):
        return text
    try:
        return format_number_as_ds(float(value))
    except (ValueError, OverflowError):
        raise UnsupportedValue(f"{tag_text(Tag(tag))} takes finite numbers only") from None


def _encode_numbers(tag: int, vr: str, values: tuple[Value, ...], order: str) -> bytes:
    numbers = [value for value in values if isinstance(value, int | float)]
    if len(numbers) != len(values):
        raise UnsupportedValue(f"{tag_text(Tag(tag))} has VR {vr} and takes numbers")
    code = NUMBER_CODES.get(vr, "H")
    if vr == "AT":
        numbers = [half for number in numbers for half in (int(number) >> 16, int(number) & 0xFFFF)]
    try:
        return struct.pack(f"{order}{len(numbers)}{code}", *numbers)
    except (struct.error, OverflowError):
        raise UnsupportedValue(f"{tag_text(Tag(tag))}: a number does not fit VR {vr}") from None


def _encode_bytes(tag: int, vr: str, values: tuple[Value, ...]) -> bytes:
    if len(values) > 1 or not all(isinstance(value, bytes) for value in values):
        raise UnsupportedValue(f"{tag_text(Tag(tag))} has VR {vr} and takes one bytes value")
    return b"".join(value for value in values if isinstance(value, bytes))


def _padded(raw: bytes, padding: bytes) -> bytes:
    return raw + padding if len(raw) % 2 else raw
