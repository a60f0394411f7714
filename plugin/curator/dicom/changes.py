"""What an edit table changes at one level, and at the levels below."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Literal

from curator.dicom.edits import (
    AppendItems,
    Drop,
    ItemTables,
    ItemValues,
    Replace,
    ReplaceEncoded,
    Rule,
    Table,
    decided,
)
from curator.dicom.element import Element
from curator.dicom.encode import (
    Encoding,
    Standing,
    encode_element,
    encode_items,
    encode_replacement,
    vr_for,
)
from curator.dicom.errors import Malformed, UnsupportedValue
from curator.dicom.private import copies, with_private_rules
from curator.dicom.site import Changes, Site, SiteItem
from curator.dicom.structure import UNDEFINED
from curator.dicom.tags import PIXEL_DATA, AnyTag, Tag, tag_text


class ItemFate(Enum):
    """What can become of an item, other than being changed."""

    REMOVED = "Removed"


Removed = Literal[ItemFate.REMOVED]
"""What says that an item goes."""

ItemChange = Callable[[int, SiteItem], tuple[Site, Changes] | Removed | None]


def changes_at(site: Site, table: Table) -> Changes:
    """Return what `table` changes at a level; nothing where every value stands already.

    Raises
    ------
    DoesNotFit
        If a new text does not fit the character set of its level.
    DicomError
        If a new value is impossible, or a sequence that has to be entered is malformed.
    """
    if table.private:
        table = with_private_rules(table, site)
    tags, rules = site.tags, table.rules
    changes: dict[int, bytes] = {}
    for tag in rules.keys() & tags:
        changed = _changed(site, tag, rules[tag])
        if changed is not None:
            changes[tag] = changed
    for tag in table.inserts.difference(tags):
        inserted = _inserted(site, tag, rules[tag])
        if inserted is not None:
            changes[tag] = inserted
    return changes


def _changed(site: Site, tag: int, rule: Rule) -> bytes | None:
    """Return the new form of a present element, None where it stays as it is."""
    edit = decided(rule.edit, lambda: site.element(tag))
    if isinstance(edit, Drop):
        return b""
    if isinstance(edit, Replace | ReplaceEncoded):
        if tag == PIXEL_DATA and site.is_delimited(tag):
            raise UnsupportedValue("Encapsulated pixel data cannot be replaced")
        new = _replacement(site, tag, edit, site.vr(tag))
        return None if new == site.encoded(tag) else new
    appended = edit.items if isinstance(edit, AppendItems) else ()
    if rule.items is None and not appended:
        return None
    return _sequence_changed(site, tag, rule.items or ItemTables(), appended)


def _inserted(site: Site, tag: int, rule: Rule) -> bytes | None:
    """Return a new element for one that is absent, None where none is wanted."""
    edit = decided(rule.edit, lambda: _stand_in(site, tag))
    if isinstance(edit, AppendItems):
        edit = Replace(edit.items, "SQ")
    if isinstance(edit, Replace | ReplaceEncoded):
        return _replacement(site, tag, edit, None)
    return None


def _stand_in(site: Site, tag: int) -> Element:
    encoding = site.encoding
    vr = site.known_vr(tag)
    return Element(Tag(tag), vr, b"", encoding.charset, encoding.order, present=False)


def _replacement(
    site: Site, tag: int, edit: Replace | ReplaceEncoded, standing: str | None
) -> bytes:
    """Return the encoded new element; its VR is the one given, the one standing, the known one."""
    wanted = _vr(site, tag, edit, standing)
    vr, raw = encode_replacement(tag, edit, site.encoding, wanted, _copying(site, site.encoding))
    return encode_element(tag, vr, raw, site.encoding)


def _vr(site: Site, tag: int, edit: Replace | ReplaceEncoded, standing: str | None) -> str | None:
    if edit.vr or isinstance(edit, ReplaceEncoded):
        return edit.vr
    if standing and standing != "UN" and site.encoding.explicit:
        return standing
    return vr_for(tag, edit.values, site.creator(tag))


def _sequence_changed(
    site: Site, tag: int, tables: ItemTables, appended: tuple[ItemValues, ...]
) -> bytes | None:
    """Return a sequence with its items edited; what is no sequence stays as it is."""

    def change(index: int, item: SiteItem) -> tuple[Site, Changes] | None:
        table = tables.at(index)
        if table is None:
            return None
        inner = item.enter()
        return inner, changes_at(inner, table)

    if site.vr(tag) not in ("SQ", "UN"):
        return None
    return sequence_of(site, tag, change, appended)


def sequence_of(
    site: Site, tag: int, change: ItemChange, appended: tuple[ItemValues, ...] = ()
) -> bytes | None:
    """Return a sequence with `change` applied to its items, None where nothing changes.

    Parameters
    ----------
    site : Site
        The level that holds the sequence.
    tag : int
        A present element with items.
    change : callable
        Gets index and item; returns the item's level with its changes, None to leave it, or
        that it is removed.
    appended : tuple of item values, optional
        New items, put at the end.

    Raises
    ------
    Malformed
        If the value is no sequence of items.
    """
    try:
        items = list(_changed_items(site, tag, change))
    except Malformed as problem:
        raise problem.within(tag_text(Tag(tag))) from None
    if not appended and not any(changed for changed, _ in items):
        return None
    vr, encoding = site.vr(tag), site.encoding
    inner = Encoding(encoding.explicit and vr == "SQ", encoding.charset, encoding.order)
    new = encode_items(appended, inner, _copying(site, inner))
    content = b"".join(item for _, item in items) + new
    return framed_sequence(tag, vr, content, site.is_delimited(tag), encoding)


def _copying(site: Site, inner: Encoding) -> Standing:
    """Return what copies elements of `site` into new items that are encoded as `inner`."""

    def copied(tag: AnyTag) -> Mapping[int, bytes]:
        if site.encoding.explicit != inner.explicit:
            raise UnsupportedValue("Elements of explicit VR cannot be copied into a sequence in UN")
        return copies(tag, site)

    return copied


def _changed_items(site: Site, tag: int, change: ItemChange) -> Iterator[tuple[bool, bytes]]:
    for index, item in enumerate(site.items(tag)):
        changed = change(index, item)
        if changed is ItemFate.REMOVED:
            yield True, b""
            continue
        if changed is None or not changed[1]:
            yield False, item.encoded
            continue
        inner, changes = changed
        content = inner.assembled(changes)
        yield True, framed_item(content, item.delimited, site.encoding.order)


def framed_item(content: bytes, delimited: bool, order: str) -> bytes:
    """Return an item of the same kind of length as before (PS3.5 7.5.1)."""
    if not delimited:
        return struct.pack(f"{order}HHI", 0xFFFE, 0xE000, len(content)) + content
    head = struct.pack(f"{order}HHI", 0xFFFE, 0xE000, UNDEFINED)
    return head + content + struct.pack(f"{order}HHI", 0xFFFE, 0xE00D, 0)


def framed_sequence(
    tag: int, vr: str, content: bytes, delimited: bool, encoding: Encoding
) -> bytes:
    """Return a sequence of the same kind of length as before (PS3.5 7.5.1)."""
    if not delimited:
        return encode_element(tag, vr, content, encoding)
    order = encoding.order
    head = encode_element(tag, vr, b"", encoding)[:-4] + struct.pack(f"{order}I", UNDEFINED)
    return head + content + struct.pack(f"{order}HHI", 0xFFFE, 0xE0DD, 0)
