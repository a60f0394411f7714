"""From the new values of a plan to the edit table of the byte engine; pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from curator.dicom.edits import AppendItems, AsItStands, Drop, Edit, ItemValues, Replace
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


def recording(paths: Iterable[Path], created: str) -> dict[Path | AnyTag, Edit]:
    """Return the edit that records the elements at `paths` as they were before.

    It appends an item to Original Attributes Sequence with those that are there (PS3.3 C.12.1.1.9),
    after the items that earlier changes have left.

    Parameters
    ----------
    created : str
        When the change was made (DT).
    """
    previous: ItemValues = {path.tag: AsItStands() for path in paths}
    item: ItemValues = {
        _MODIFIED_ATTRIBUTES: (previous,),
        _MODIFICATION_DATE_TIME: created,
        _MODIFYING_SYSTEM: SYSTEM,
        _SOURCE_OF_PREVIOUS_VALUES: "",
        _REASON: "CORRECT",
    }
    return {_ORIGINAL_ATTRIBUTES: AppendItems((item,))}


def _items(value: Any) -> tuple[ItemValues, ...]:
    return tuple(
        {
            parse_tag(text): Replace(_items(inner) if isinstance(inner, list | tuple) else inner)
            for text, inner in item.items()
        }
        for item in value
    )
