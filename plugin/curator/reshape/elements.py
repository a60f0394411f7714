"""Whole elements, sequences included, in a form that a plan keeps as JSON.

A value is

- a text, of an element that has the value representation of the dictionary and holds text; several
  values are joined by backslashes, spelled as they stand, without padding,
- a list of items, of a sequence: each holds values by keyword, or by ``gggg,eeee`` where there is
  none,
- ``{"VR": "US", "Value": [512]}``, of numbers, private elements, and text of another VR,
- ``{"VR": "UN", "Base64": "…"}``, little endian, of bytes, and of numbers that JSON cannot write,
- ``{"VR": "SQ", "Items": […]}``, of private sequences.

An empty element is ``""``, an empty sequence ``[]``; of a private element the VR stays. The same
content gives the same value in any transfer syntax and character set, as far as the encoding tells:
where the VR is lost (private elements in implicit VR, of no creator that the dictionary knows),
bytes are all there is.
"""

from base64 import b64encode
from collections.abc import Collection, Mapping
from dataclasses import replace
from math import isfinite
from typing import Any

from pydicom import datadict

from curator.dicom.element import NUMBER_CODES, STRING_VRS, Element
from curator.dicom.errors import EncodingError, Malformed, UnsupportedValue
from curator.dicom.site import Site
from curator.dicom.tags import SPECIFIC_CHARACTER_SET, Tag, dictionary_vr, tag_text

Described = Mapping[str, Any]
"""A value with its VR."""

Item = dict[str, Any]
"""The elements of an item."""

ElementValue = str | list[Item] | Described

_PIXEL_REPRESENTATION = Tag(0x00280103)
_DATA_SET_TRAILING_PADDING = 0xFFFCFFFC

#: Size of what is swapped between byte orders (PS3.5 7.3), by VR.
_WORDS = {
    vr: size
    for size, vrs in ((2, "AT OW SS US"), (4, "FL OF OL SL UL"), (8, "FD OD OV SV UV"))
    for vr in vrs.split()
}


def read_elements(site: Site, tags: Collection[Tag]) -> dict[str, ElementValue]:
    """Return the values of elements at one level, by keyword.

    Parameters
    ----------
    site : Site
        The top level of an opened instance.
    tags : collection of Tag
        Tags of the standard; those that are absent have no value.

    Raises
    ------
    EncodingError
        If an element, named by its path, is no text in its character set.
    UnsupportedValue
        If a value does not fit its VR, or is encapsulated pixel data.
    Malformed, TooDeep
        If a sequence cannot be read for certain.
    """
    signed = _is_signed(site, False)
    found: dict[str, ElementValue] = {}
    for tag in frozenset(tags).intersection(site.tags):
        place = tag_text(Tag(tag))
        text = _usual_text(site, tag, place)
        found[place] = _value(site, tag, place, signed) if text is None else text
    return found


def text_of(value: ElementValue | None) -> str:
    """Return the text of a value; empty where there is none, or none that is text."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping) and value["VR"] in STRING_VRS:
        return "\\".join(value["Value"])
    return ""


def in_byte_order(vr: str, raw: bytes, order: str) -> bytes:
    """Return a value field of little endian in another byte order, or the other way round."""
    size = _WORDS.get(vr, 1)
    if order == "<" or size == 1:
        return raw
    return b"".join(raw[start : start + size][::-1] for start in range(0, len(raw), size))


def _usual_text(site: Site, tag: int, place: str) -> str | None:
    """Return the text of an element as most are, None for others; it is what `_value` returns."""
    element = site.element(tag)
    if element.vr not in STRING_VRS or element.vr != dictionary_vr(element.tag):
        return None
    try:
        return element.text
    except EncodingError as problem:
        raise EncodingError(f"{place}: {problem}") from None


def _value(site: Site, tag: int, place: str, signed: bool) -> ElementValue:
    try:
        described = _described(site, tag, _vr(site, tag, signed), place, signed)
    except (Malformed, UnsupportedValue):
        if not _is_guess(site, tag):
            raise
        described = _as_bytes("UN", site.raw(tag), "<")
    usual = dictionary_vr(Tag(tag))
    if usual == "UN":
        return described
    if not any(described.get(form) for form in ("Value", "Items", "Base64")):
        return [] if usual == "SQ" else ""
    if described["VR"] == usual == "SQ":
        return list(described["Items"])
    return text_of(described) if described["VR"] == usual in STRING_VRS else described


def _described(site: Site, tag: int, vr: str, place: str, signed: bool) -> Described:
    if vr == "SQ":
        return {"VR": vr, "Items": _items(site, tag, place, signed)}
    if site.is_delimited(tag):
        raise UnsupportedValue(f"{place}: encapsulated pixel data cannot be taken along")
    element = replace(site.element(tag), vr=vr)
    if vr in STRING_VRS:
        return {"VR": vr, "Value": _strings(element, place)}
    if vr in NUMBER_CODES or vr == "AT":
        numbers = element.numbers
        if all(map(isfinite, numbers)):
            return {"VR": vr, "Value": list(numbers)}
    return _as_bytes(vr, element.raw, element.order)


def _as_bytes(vr: str, raw: bytes, order: str) -> Described:
    return {"VR": vr, "Base64": b64encode(in_byte_order(vr, raw, order)).decode("ascii")}


def _strings(element: Element, place: str) -> list[str]:
    try:
        return list(element.strings)
    except EncodingError as problem:
        raise EncodingError(f"{place}: {problem}") from None


def _items(site: Site, tag: int, place: str, signed: bool) -> list[Item]:
    try:
        levels = [item.enter() for item in site.items(tag)]
    except Malformed as problem:
        raise problem.within(place) from None
    return [
        _item(level, f"{place}[{number}]", _is_signed(level, signed))
        for number, level in enumerate(levels)
    ]


def _item(site: Site, place: str, signed: bool) -> Item:
    """Read an item, without what belongs to its encoding."""
    tags = [tag for tag in sorted(site.tags) if not _is_encoding(tag)]
    keywords = {tag: tag_text(Tag(tag)) for tag in tags}
    return {
        keyword: _value(site, tag, f"{place}.{keyword}", signed)
        for tag, keyword in keywords.items()
    }


def _is_encoding(tag: int) -> bool:
    """Tell character set, group lengths and padding from content."""
    return tag in (SPECIFIC_CHARACTER_SET, _DATA_SET_TRAILING_PADDING) or not tag & 0xFFFF


def _vr(site: Site, tag: int, signed: bool) -> str:
    """Return the VR, which is the dictionary's where the encoding names none (PS3.5 6.2.2)."""
    vr = site.vr(tag)
    if site.encoding.explicit and vr != "UN":
        return vr
    if site.is_delimited(tag):
        return "SQ"
    known = site.known_vr(tag)
    if vr == "UN" and known in _WORDS and site.encoding.order == ">":
        return "UN"  # who made it UN did not know what to swap
    return "SS" if signed and _depends_on_sign(tag) else known


def _is_guess(site: Site, tag: int) -> bool:
    """Tell whether only a vendor's dictionary says what a private element is."""
    return bool(tag >> 16 & 1) and (not site.encoding.explicit or site.vr(tag) == "UN")


def _depends_on_sign(tag: int) -> bool:
    return datadict.dictionary_has_tag(tag) and datadict.dictionary_VR(tag) == "US or SS"


def _is_signed(site: Site, inherited: bool) -> bool:
    """Tell whether pixel values are signed, which decides between US and SS (PS3.5 A.1)."""
    if _PIXEL_REPRESENTATION not in site.tags:
        return inherited
    raw = site.raw(_PIXEL_REPRESENTATION)
    return int.from_bytes(raw, "little" if site.encoding.order == "<" else "big") == 1
