"""From the new values of a plan to the edit table of the byte engine; pure."""

from base64 import b64decode
from collections.abc import Iterable, Mapping
from typing import Any

from curator.dicom.edits import (
    AppendItems,
    AsItStands,
    Call,
    Drop,
    Edit,
    ItemValues,
    Replace,
    ReplaceEncoded,
)
from curator.dicom.element import STRING_VRS
from curator.dicom.encode import BYTES_VRS
from curator.dicom.tags import AnyTag, Path, dictionary_vr, parse_path, parse_tag
from curator.reshape.elements import in_byte_order

_ORIGINAL_ATTRIBUTES = parse_path("OriginalAttributesSequence")
_MODIFIED_ATTRIBUTES = parse_tag("ModifiedAttributesSequence")
_MODIFICATION_DATE_TIME = parse_tag("AttributeModificationDateTime")
_MODIFYING_SYSTEM = parse_tag("ModifyingSystem")
_SOURCE_OF_PREVIOUS_VALUES = parse_tag("SourceOfPreviousValues")
_REASON = parse_tag("ReasonForTheAttributeModification")

SYSTEM = "Curator"

#: Bytes of an element that are kept in Original Attributes Sequence.
MOST_RECORDED = 64 * 1024

#: Takes the digital signatures from an instance (PS3.3 C.12.1.1.3): they sign what it was before.
UNSIGNED: dict[Path | AnyTag, Edit] = {
    parse_path(keyword): Drop()
    for keyword in ("MACParametersSequence", "DigitalSignaturesSequence")
}


def edit_of(value: Any, vr: str | None = None) -> Edit:
    """Return the edit that sets a value of a plan; None removes the element.

    Parameters
    ----------
    value : None, str, int, float, list or mapping
        A number, or a value in a form of :mod:`.elements`.
    vr : str, optional
        VR of the dictionary, for text and lists of items; by default the one that stands.
    """
    if value is None:
        return Drop()
    little, big = (_replacement(value, vr, order) for order in ("<", ">"))
    if little == big:
        return little
    return Call(lambda element: little if element.order == "<" else big, missing=True)


def edits_of(values: Mapping[str, Any]) -> dict[Path | AnyTag, Edit]:
    """Return edits by path; text and lists of items get the VR of the dictionary."""
    paths = {parse_path(text): value for text, value in values.items()}
    return {path: edit_of(value, dictionary_vr(path.tag)) for path, value in paths.items()}


def recording(paths: Iterable[Path], created: str) -> dict[Path | AnyTag, Edit]:
    """Return the edit that records the elements at `paths` as they were before.

    It appends an item to Original Attributes Sequence with those that are there (PS3.3 C.12.1.1.9),
    after the items that earlier changes have left. What is longer than `MOST_RECORDED` is left out:
    contours and functional groups would double the instance for the few references in them.

    Parameters
    ----------
    created : str
        When the change was made (DT).
    """
    previous: ItemValues = {path.tag: AsItStands(most=MOST_RECORDED) for path in paths}
    item: ItemValues = {
        _MODIFIED_ATTRIBUTES: (previous,),
        _MODIFICATION_DATE_TIME: created,
        _MODIFYING_SYSTEM: SYSTEM,
        _SOURCE_OF_PREVIOUS_VALUES: "",
        _REASON: "CORRECT",
    }
    return {_ORIGINAL_ATTRIBUTES: AppendItems((item,))}


def _replacement(value: Any, vr: str | None, order: str) -> Replace | ReplaceEncoded:
    if isinstance(value, list | tuple):
        return Replace(_items(value, order), vr if vr == "SQ" else None)
    if isinstance(value, Mapping):
        return _described(value, order)
    return Replace(value, vr if vr in STRING_VRS else None)


def _described(value: Mapping[str, Any], order: str) -> Replace | ReplaceEncoded:
    vr = value["VR"]
    if "Items" in value:
        return Replace(_items(value["Items"], order), vr)
    if "Value" in value:
        return Replace(tuple(value["Value"]), vr)
    raw = in_byte_order(vr, b64decode(value["Base64"]), order)
    return Replace(raw, vr) if vr in BYTES_VRS else ReplaceEncoded(vr, raw)


def _items(items: Iterable[Mapping[str, Any]], order: str) -> tuple[ItemValues, ...]:
    return tuple(
        {parse_tag(text): _replacement(value, None, order) for text, value in item.items()}
        for item in items
    )
