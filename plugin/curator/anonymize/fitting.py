"""Tell whether a new value suits its value representation (PS3.5 6.2), and put it into bytes."""

from __future__ import annotations

import re

from curator.anonymize.dates import normal
from curator.anonymize.errors import DoesNotSuit
from curator.conditions import number
from curator.dicom.edits import Replace, ReplaceEncoded
from curator.dicom.element import SINGLE_VALUED_VRS, STRING_VRS
from curator.dicom.tags import Tag, tag_text

LONGEST = {
    "AE": 16,
    "CS": 16,
    "DS": 16,
    "IS": 12,
    "LO": 64,
    "LT": 10240,
    "SH": 16,
    "ST": 1024,
    "UI": 64,
}
"""Characters that one value may have; the other VRs of text have no limit, or one of their form."""

_NAME_GROUPS, _NAME_COMPONENTS, _NAME_GROUP_LENGTH = 3, 5, 64

_FORMS = {
    "AE": re.compile(r"[ -\[\]-~]+", re.ASCII),
    "AS": re.compile(r"\d{3}[DWMY]", re.ASCII),
    "CS": re.compile(r"[A-Z0-9_ ]+", re.ASCII),
    "IS": re.compile(r"[+-]?\d+", re.ASCII),
    "UI": re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))*", re.ASCII),
    "UR": re.compile(r"[\w!#$%&'()*+,./:;=?@\[\]~-]+", re.ASCII),
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")
_CONTROL_OF_TEXT = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")


def suits(vr: str, text: str) -> bool:
    """Tell whether `text` may be one value of a VR of strings; an empty one always may."""
    if not text:
        return True
    if len(text) > LONGEST.get(vr, len(text)):
        return False
    if vr in ("DA", "TM", "DT"):
        return text == normal(vr, text)
    if vr == "PN":
        return _is_name(text)
    if vr == "DS":
        return number(text) is not None
    if vr in _FORMS:
        return _FORMS[vr].fullmatch(text) is not None and (vr != "IS" or _is_integer(text))
    if vr not in STRING_VRS:
        return False
    forbidden = _CONTROL_OF_TEXT if vr in SINGLE_VALUED_VRS else _CONTROL
    return forbidden.search(text) is None


def text_edit(tag: int, vr: str, texts: tuple[str, ...]) -> Replace | ReplaceEncoded:
    """Return the edit that writes texts.

    Parameters
    ----------
    tag : int
        The element, for the message.
    vr : str
        Its VR, one of strings.
    texts : tuple of str
        The new values.

    Raises
    ------
    DoesNotSuit
        If one of them is not allowed by the VR.
    """
    if not all(suits(vr, text) for text in texts):
        raise DoesNotSuit(
            tag_text(Tag(tag)), f"the new value is too long for VR {vr}, or not of its form"
        )
    joined = "\\".join(texts)
    return encoded(vr, joined) if joined.isascii() else Replace(texts, vr)


def encoded(vr: str, text: str) -> ReplaceEncoded:
    """Return the edit that writes a text of ASCII, several values joined by backslashes."""
    padding = "\0" if vr == "UI" else " "
    return ReplaceEncoded(vr, (text + padding * (len(text) % 2)).encode("ascii"))


def _is_name(text: str) -> bool:
    groups = text.split("=")
    return (
        len(groups) <= _NAME_GROUPS
        and all(len(group) <= _NAME_GROUP_LENGTH for group in groups)
        and all(len(group.split("^")) <= _NAME_COMPONENTS for group in groups)
        and _CONTROL.search(text) is None
    )


def _is_integer(text: str) -> bool:
    return -(2**31) <= int(text) < 2**31
