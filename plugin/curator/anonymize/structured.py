"""Clean the content tree of a structured report (PS3.15 E.3.4, PS3.3 C.17.3).

What happens to a content item follows from its concept name, by Table E.3.4-1 under the options of
the profile. Items that the table does not have are cleaned: text and the meanings of codes lose
identifiers; names, dates and UIDs are replaced as Table E.1-1 has it for their elements.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from curator.anonymize.decision import Action, Decision, Place
from curator.anonymize.walk import Above, Walk
from curator.dicom.changes import ItemFate, Removed
from curator.dicom.errors import DicomError
from curator.dicom.site import Changes, Site
from curator.dicom.tags import Tag, dictionary_vr, tag_for_keyword, tag_text

if TYPE_CHECKING:
    from curator.anonymize.resolve import Resolver

CONTENT = tag_for_keyword("ContentSequence")
_CONCEPT_NAME = tag_for_keyword("ConceptNameCodeSequence")
_VALUE_TYPE = tag_for_keyword("ValueType")
_POSITION = tag_for_keyword("ReferencedContentItemIdentifier")
_CODE_VALUES = tuple(map(tag_for_keyword, ("CodeValue", "LongCodeValue", "URNCodeValue")))
_SCHEME = tag_for_keyword("CodingSchemeDesignator")

_VALUES = {
    "TEXT": tag_for_keyword("TextValue"),
    "CODE": tag_for_keyword("ConceptCodeSequence"),
    "NUM": tag_for_keyword("MeasuredValueSequence"),
    "PNAME": tag_for_keyword("PersonName"),
    "DATE": tag_for_keyword("Date"),
    "TIME": tag_for_keyword("Time"),
    "DATETIME": tag_for_keyword("DateTime"),
    "UIDREF": tag_for_keyword("UID"),
    "TABLE": Tag(0x0040A801),  # Tabulated Values Sequence
}
"""Where the value of a content item is; that of an image, composite or waveform are UIDs alone."""

_ATTRIBUTES = {
    ("121033", "DCM"): tag_for_keyword("PatientAge"),
    ("121032", "DCM"): tag_for_keyword("PatientSex"),
}
"""Attributes that content items say the same as, which the options retain with them."""

_CLEANED = frozenset({"TEXT", "CODE", "TABLE"})
_UNLISTED = Decision(Action.CLEAN_TEXT, "PS3.15 E.3.4: not in Table E.3.4-1")


@dataclass(frozen=True, slots=True)
class _Tree:
    """A content tree.

    Parameters
    ----------
    walk : Walk
        The walk over the instance.
    by_position : bool
        Whether items refer to others by their position (PS3.3 C.17.3.2.5). Then an item that would
        be removed gets a dummy for its value, so that all others keep their positions.
    emptied : bool
        Whether an item that contains this part would be removed.
    """

    walk: Walk
    by_position: bool
    emptied: bool = False


def changed(site: Site, tag: int, above: Above, walk: Walk) -> bytes | None:
    """Return a content tree cleaned, see :data:`.walk.Handler`."""
    if above and all(step == CONTENT for step in above):
        return None  # a part of the tree, done with it
    return _content(site, tag, above, _Tree(walk, _refers_by_position(site, tag)))


def _content(site: Site, tag: int, above: Above, tree: _Tree) -> bytes | None:
    left = 0

    def change(inner: Site) -> Changes | Removed:
        nonlocal left
        changes = _item(inner, (*above, tag), tree)
        left += changes is not ItemFate.REMOVED
        return changes

    new = tree.walk.entered(site, tag, change)
    return new if left or new is None else b""


def _refers_by_position(site: Site, tag: int) -> bool:
    position = struct.pack(f"{site.encoding.order}HH", _POSITION >> 16, _POSITION & 0xFFFF)
    return position in site.encoded(tag)


def _item(site: Site, above: Above, tree: _Tree) -> Changes | Removed:
    walk, value_type = tree.walk, _text(site, _VALUE_TYPE)
    decision = _decided(*_concept_name(site), value_type, walk.resolver)
    value = _VALUES.get(value_type)
    if decision is not None and decision.action is Action.REMOVE:
        if not tree.by_position:
            walk.note(site, _noted(site, value), decision, b"")
            return ItemFate.REMOVED
        tree = replace(tree, emptied=True)
    if tree.emptied:
        decision = Decision(Action.DUMMY, "PS3.15 E.3.4: its position is referred to")
    changes = walk.level(site, above)
    if CONTENT in site.tags:
        nested = _content(site, CONTENT, above, tree)
        if nested is not None:
            changes[CONTENT] = nested
    if value is not None and value in site.tags:
        _change_value(site, value, above, _decision(decision, value_type), walk, changes)
    return changes


def _decided(code_value: str, scheme: str, value_type: str, resolver: Resolver) -> Decision | None:
    """Return what happens to an item; what a rule has about the same attribute, it has about it."""
    decision = resolver.structured(code_value, scheme, value_type)
    attribute = _ATTRIBUTES.get((code_value, scheme))
    if decision is None or decision.action is not Action.KEEP or attribute is None:
        return decision
    ruled = resolver.decide(Place(attribute, dictionary_vr(attribute)))
    if ruled.rule is None or ruled.action is Action.KEEP:
        return decision
    return Decision(Action.REMOVE, f"{ruled.reason}, about {tag_text(attribute)}")


def _decision(decision: Decision | None, value_type: str) -> Decision | None:
    if decision is None and value_type in _CLEANED:
        return _UNLISTED
    return decision


def _change_value(
    site: Site,
    tag: int,
    above: Above,
    decision: Decision | None,
    walk: Walk,
    changes: dict[int, bytes],
) -> None:
    """Put the value of an item as the decision on the item has it into `changes`."""
    if decision is None:
        return
    changes.pop(tag, None)
    new = walk.done(site, tag, above, decision)
    if new is not None:
        changes[tag] = new


def _noted(site: Site, value: int | None) -> int:
    """Return the element that a removed item counts as."""
    present = (tag for tag in (value, _CONCEPT_NAME, _VALUE_TYPE) if tag in site.tags)
    return next((tag for tag in present if tag is not None), next(iter(site.tags), CONTENT))


def _concept_name(site: Site) -> tuple[str, str]:
    """Return code value and coding scheme of an item's concept name, empty where it has none."""
    if _CONCEPT_NAME not in site.tags:
        return "", ""
    for item in site.items(_CONCEPT_NAME):
        name = item.enter()
        code = next((text for tag in _CODE_VALUES if (text := _text(name, tag))), "")
        return code, _text(name, _SCHEME).partition(" [")[0]  # a version may follow in brackets
    return "", ""


def _text(site: Site, tag: int) -> str:
    if tag not in site.tags:
        return ""
    try:
        return next(iter(site.element(tag).strings), "")
    except DicomError:
        return ""
