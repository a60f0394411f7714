"""From the new values of a plan to the edit table of the byte engine; pure."""

from collections.abc import Mapping
from typing import Any

from curator.dicom import reader
from curator.dicom.edits import AppendItems, Drop, Edit, Edits, ItemValues, Replace, ReplaceEncoded
from curator.dicom.tags import AnyTag, Path, parse_path, parse_tag

_ORIGINAL_ATTRIBUTES = parse_path("OriginalAttributesSequence")
_MODIFIED_ATTRIBUTES = parse_tag("ModifiedAttributesSequence")
_MODIFICATION_DATE_TIME = parse_tag("AttributeModificationDateTime")
_MODIFYING_SYSTEM = parse_tag("ModifyingSystem")
_SOURCE_OF_PREVIOUS_VALUES = parse_tag("SourceOfPreviousValues")
_REASON = parse_tag("ReasonForTheAttributeModification")

SYSTEM = "Curator"


def edit_of(value: Any) -> Edit:
    """Return the edit that sets a value of a plan; None removes the element."""
    if value is None:
        return Drop()
    return Replace(_items(value) if isinstance(value, list | tuple) else value)


def edits_of(values: Mapping[str, Any]) -> dict[Path | AnyTag, Edit]:
    """Return edits by path."""
    return {parse_path(text): edit_of(value) for text, value in values.items()}


def record_original(
    edits: Edits, changed: Mapping[Path | AnyTag, Edit], dicom: bytes, created: str
) -> Edits:
    """Add the item of Original Attributes Sequence that says what the edits change.

    It holds the previous values of the elements that were there (PS3.3 C.12.1.1.9), at the time
    `created`, after the items that earlier changes have left.
    """
    paths = [path for path in changed if isinstance(path, Path) and not path.steps]
    header = reader.read(dicom, paths)
    previous: dict[AnyTag, Replace | ReplaceEncoded] = {}
    for path in paths:
        for element in header.elements(path):
            previous[path.tag] = (
                ReplaceEncoded(element.vr, element.raw)
                if element.vr == "SQ"
                else Replace(element.values, element.vr)
            )
    item: ItemValues = {
        _MODIFIED_ATTRIBUTES: (previous,),
        _MODIFICATION_DATE_TIME: created,
        _MODIFYING_SYSTEM: SYSTEM,
        _SOURCE_OF_PREVIOUS_VALUES: "",
        _REASON: "CORRECT",
    }
    return edits.with_({_ORIGINAL_ATTRIBUTES: AppendItems((item,))})


def _items(value: Any) -> tuple[ItemValues, ...]:
    return tuple(
        {
            parse_tag(text): Replace(_items(inner) if isinstance(inner, list | tuple) else inner)
            for text, inner in item.items()
        }
        for item in value
    )
