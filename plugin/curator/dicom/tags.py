"""Name attributes: tags, private tags with their creator, and paths into sequences.

Tags are accepted as Orthanc accepts them (``PatientName``, ``0010-0010``, ``0010,0010``,
``00100010``), paths as ``dcmodify`` does (``RequestAttributesSequence[*].RequestedProcedureID``).
A private tag may name its creator, ``(01F1,"ELSCINT1",26)``: the block it stands in is then found
in every data set (PS3.5 7.8.1).
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NewType

from pydicom import datadict

from curator.dicom.errors import TagError

Tag = NewType("Tag", int)
"""A data element tag as one number: group << 16 | element."""

SPECIFIC_CHARACTER_SET = Tag(0x00080005)
SOP_CLASS_UID = Tag(0x00080016)
SOP_INSTANCE_UID = Tag(0x00080018)
FLOAT_PIXEL_DATA = Tag(0x7FE00008)
DOUBLE_FLOAT_PIXEL_DATA = Tag(0x7FE00009)
PIXEL_DATA = Tag(0x7FE00010)

MAXIMUM_DEPTH = 64
"""Levels of nested sequences that Curator enters."""


@dataclass(frozen=True, slots=True, order=True)
class PrivateTag:
    """A private attribute named by its creator, wherever its block is (PS3.5 7.8.1).

    Parameters
    ----------
    group : int
        Odd group number.
    creator : str
        Value of the Private Creator element that reserves the block.
    element : int
        Number within the block, 0x00 to 0xFF.
    """

    group: int
    creator: str
    element: int

    def in_block(self, block: int) -> Tag:
        """Return the tag where `block` (0x10 to 0xFF) is the one the creator reserved."""
        return Tag(self.group << 16 | block << 8 | self.element)

    def __str__(self) -> str:
        return f'({self.group:04X},"{self.creator}",{self.element:02X})'


AnyTag = Tag | PrivateTag


@dataclass(frozen=True, slots=True)
class Step:
    """One sequence on the way of a path; `index` None means every item."""

    sequence: AnyTag
    index: int | None

    def __str__(self) -> str:
        return f"{tag_text(self.sequence)}[{'*' if self.index is None else self.index}]"


@dataclass(frozen=True, slots=True)
class Path:
    """The place of an attribute: the sequences that lead to it, and its tag."""

    tag: AnyTag
    steps: tuple[Step, ...] = ()

    def __str__(self) -> str:
        return ".".join([*map(str, self.steps), tag_text(self.tag)])


def tag_text(tag: AnyTag) -> str:
    """Return the keyword of `tag`, or ``gggg,eeee`` where the standard has none."""
    if isinstance(tag, PrivateTag):
        return str(tag)
    keyword = datadict.keyword_for_tag(tag)
    if keyword and datadict.tag_for_keyword(keyword) == tag:
        return keyword
    return f"{tag >> 16:04X},{tag & 0xFFFF:04X}"


def parse_tag(text: str) -> AnyTag:
    """Return the tag that `text` names.

    Parameters
    ----------
    text : str
        Keyword, ``gggg,eeee``, ``gggg-eeee``, ``ggggeeee``, ``(gggg,eeee)`` or
        ``(gggg,"CREATOR",ee)``.

    Raises
    ------
    TagError
        If it names no tag; the message has the nearest keyword.
    """
    path = parse_path(text)
    if path.steps:
        raise TagError(f"A single tag is expected, not a path: {text}")
    return path.tag


@lru_cache(maxsize=4096)
def parse_path(text: str) -> Path:
    """Return the path that `text` names, such as ``Seq[*].Tag`` or ``Seq[0].Tag``.

    Raises
    ------
    TagError
        If a tag is unknown, an index is missing, or something is left over.
    """
    steps: list[Step] = []
    position = 0
    while True:
        if len(steps) > MAXIMUM_DEPTH:
            raise TagError(f"A path leads through at most {MAXIMUM_DEPTH} sequences")
        tag, position = _leading_tag(text, position)
        if position == len(text):
            return Path(tag, tuple(steps))
        match = _INDEX.match(text, position)
        if match is None:
            raise TagError(
                f"After {tag_text(tag)} an item is expected, as in "
                f"{tag_text(tag)}[*].Tag or {tag_text(tag)}[0].Tag: {text}"
            )
        if not may_be_sequence(tag):
            raise TagError(f"{tag_text(tag)} is not a sequence: {text}")
        steps.append(Step(tag, None if match[1] == "*" else int(match[1])))
        position = match.end()


_INDEX = re.compile(r"\[(\*|\d{1,9})\]\.")
_PRIVATE = re.compile(r'\(\s*([0-9a-fA-F]{4})\s*,\s*"([^"\\]{1,64})"\s*,\s*([0-9a-fA-F]{1,2})\s*\)')
_NUMBER = re.compile(
    r"(?:\(\s*([0-9a-fA-F]{4})\s*,\s*([0-9a-fA-F]{4})\s*\)"
    r"|([0-9a-fA-F]{4})[,-]?([0-9a-fA-F]{4}))(?![0-9A-Za-z])"
)
_KEYWORD = re.compile(r"[A-Za-z][A-Za-z0-9]*")


def _leading_tag(text: str, position: int) -> tuple[AnyTag, int]:
    if match := _PRIVATE.match(text, position):
        return _private_tag(match), match.end()
    if match := _NUMBER.match(text, position):
        group, element = match[1] or match[3], match[2] or match[4]
        return Tag(int(group + element, 16)), match.end()
    if match := _KEYWORD.match(text, position):
        return tag_for_keyword(match[0]), match.end()
    raise TagError(f"Not a tag: {text[position:] or text!r}")


def _private_tag(match: re.Match[str]) -> PrivateTag:
    group = int(match[1], 16)
    if not group & 1:
        raise TagError(f"A tag with a creator needs an odd group, not {match[1]}")
    return PrivateTag(group, match[2].strip(), int(match[3], 16))


def tag_for_keyword(keyword: str) -> Tag:
    """Return the tag of a DICOM keyword (PS3.6), or raise `TagError` with the nearest one."""
    tag = datadict.tag_for_keyword(keyword)
    if tag is not None:
        return Tag(tag)
    nearest = _nearest_keyword(keyword)
    hint = f"; did you mean {nearest}?" if nearest else ""
    raise TagError(f"Unknown tag {keyword}{hint}")


def _nearest_keyword(keyword: str) -> str | None:
    keywords = {known.lower(): known for known in datadict.keyword_dict if known}
    found = difflib.get_close_matches(keyword.lower(), keywords, n=1)
    return keywords[found[0]] if found else None


def may_be_sequence(tag: AnyTag) -> bool:
    """Tell whether an element of this tag can hold items; private ones may, whatever they say."""
    return isinstance(tag, PrivateTag) or dictionary_vr(tag) in ("SQ", "UN")


@lru_cache(maxsize=16384)
def dictionary_vr(tag: AnyTag, creator: str | None = None) -> str:
    """Return the value representation of `tag` (PS3.6, pydicom's private dictionary).

    Parameters
    ----------
    tag : Tag or PrivateTag
        The attribute.
    creator : str, optional
        Private creator of the block `tag` stands in.

    Returns
    -------
    str
        Two letters, "UN" where unknown. Where the standard leaves a choice, the one that loses
        nothing: "OW" for "OB or OW", "US" for "US or SS".
    """
    if isinstance(tag, PrivateTag):
        return dictionary_vr(tag.in_block(0x10), tag.creator)
    if not tag & 0xFFFF:
        return "UL"
    if tag >> 16 & 1:
        return _private_vr(tag, creator)
    try:
        return _CHOICES.get(vr := datadict.dictionary_VR(tag), vr)
    except KeyError:
        return "UN"


_CHOICES = {
    "US or SS": "US",
    "OB or OW": "OW",
    "US or OW": "OW",
    "US or SS or OW": "OW",
    "NONE": "UN",
}


def _private_vr(tag: int, creator: str | None) -> str:
    if 0x10 <= tag & 0xFFFF <= 0xFF:
        return "LO"
    if creator is None:
        return "UN"
    try:
        return _CHOICES.get(vr := datadict.private_dictionary_VR(tag, creator), vr)
    except KeyError:
        return "UN"
