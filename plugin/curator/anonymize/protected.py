"""What no rule of a profile may do: to which elements, and to which value representations."""

from __future__ import annotations

from curator.anonymize.decision import Action
from curator.dicom.charset import TEXT_VRS
from curator.dicom.element import NUMBER_CODES, STRING_VRS
from curator.dicom.tags import (
    DOUBLE_FLOAT_PIXEL_DATA,
    FLOAT_PIXEL_DATA,
    PIXEL_DATA,
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    SPECIFIC_CHARACTER_SET,
    Tag,
)

PATIENT_NAME = Tag(0x00100010)
PATIENT_ID = Tag(0x00100020)
STUDY_INSTANCE_UID = Tag(0x0020000D)
SERIES_INSTANCE_UID = Tag(0x0020000E)

RULED_BY_OPTION = frozenset(
    {Action.CLEAN_STRUCTURED_CONTENT, Action.CLEAN_GRAPHICS, Action.CLEAN_PRIVATE}
)
"""What an option does as a whole, so that a rule cannot ask for it."""

_INSTANCE_UIDS = frozenset({SOP_INSTANCE_UID, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID})
_OF_INSTANCE_UIDS = (Action.UID, Action.KEEP, Action.ENCRYPT)
_OF_PATIENT_ID = (
    Action.PSEUDONYM,
    Action.REPLACE,
    Action.KEEP,
    Action.HASH,
    Action.LOOKUP,
    Action.ENCRYPT,
)

_FIXED = {
    SOP_CLASS_UID: "says what the instance is",
    SPECIFIC_CHARACTER_SET: "says how the text is encoded",
    Tag(0x00120062): "is written by the anonymization",  # PatientIdentityRemoved
    Tag(0x00120063): "is written by the anonymization",  # DeidentificationMethod
    Tag(0x00120064): "is written by the anonymization",  # DeidentificationMethodCodeSequence
    Tag(0x00280303): "is written by the anonymization",  # LongitudinalTemporalInformationModified
    Tag(0x04000500): "is written by the anonymization",  # EncryptedAttributesSequence
    FLOAT_PIXEL_DATA: 'is changed by rules with "Pixels"',
    DOUBLE_FLOAT_PIXEL_DATA: 'is changed by rules with "Pixels"',
    PIXEL_DATA: 'is changed by rules with "Pixels"',
}

_PSEUDONYM_VRS = (TEXT_VRS | {"AE", "CS"}) - {"UR"}
_SUITED: dict[Action, frozenset[str]] = {
    Action.UID: frozenset({"UI"}),
    Action.SHIFT_DATE: frozenset({"DA", "DT", "TM"}),
    Action.PSEUDONYM: _PSEUDONYM_VRS,
    Action.HASH: _PSEUDONYM_VRS,
    Action.LOOKUP: STRING_VRS,
    Action.REGEX: STRING_VRS,
    Action.REPLACE: STRING_VRS | NUMBER_CODES.keys(),
    Action.CLEAN_TEXT: TEXT_VRS | {"AE", "CS", "SQ", "UR"},
    Action.GENERALIZE: TEXT_VRS | NUMBER_CODES.keys() | {"AS", "DA", "DS", "DT", "IS"},
}


def forbidden(tag: int, action: Action) -> str | None:
    """Say why a rule may not do this to an element of the standard; None where it may.

    Parameters
    ----------
    tag : int
        The element.
    action : Action
        What the rule would do.
    """
    if tag >> 16 == 2:
        return "File Meta Information is written anew (PS3.15 E.1.1)"
    if not tag & 0xFFFF:
        return "group lengths are computed"
    if why := _FIXED.get(Tag(tag)):
        return f"this element {why}"
    if tag in _INSTANCE_UIDS and action not in _OF_INSTANCE_UIDS:
        return f"this UID may be given only {_listed(_OF_INSTANCE_UIDS)}"
    if tag == PATIENT_ID and action not in _OF_PATIENT_ID:
        return f"the Patient ID may be given only {_listed(_OF_PATIENT_ID)}"
    return None


def suits(action: Action, vr: str) -> bool:
    """Tell whether an action can be done to values of a known value representation."""
    return vr in _SUITED.get(action, {vr})


def suited(action: Action) -> str:
    """Return the value representations that an action is for, as text."""
    return ", ".join(sorted(_SUITED[action]))


def _listed(actions: tuple[Action, ...]) -> str:
    return ", ".join(actions)
