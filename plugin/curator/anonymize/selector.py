"""Which elements a rule of a profile is about.

A rule by tag, value representation, keyword or creator is about every depth, as Table E.1-1 is; one
with a path only about the elements that the path leads to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import re2
from pydicom import datadict

from curator.conditions import compile_pattern, parse_element
from curator.dicom.element import NUMBER_CODES, STRING_VRS
from curator.dicom.encode import BYTES_VRS
from curator.dicom.tags import PrivateTag, Step, Tag, dictionary_vr

if TYPE_CHECKING:
    from curator.anonymize.decision import Place
    from curator.anonymize.profile import Rule

KNOWN_VRS = STRING_VRS | NUMBER_CODES.keys() | BYTES_VRS | {"AT", "SQ"}

_WILDCARD = re.compile(r"\(?\s*([0-9a-fA-FxX]{4})\s*[,-]?\s*([0-9a-fA-FxX]{4})\s*\)?")


@dataclass(frozen=True, slots=True)
class Attribute:
    """What a selector looks at, beside where the element stands.

    Parameters
    ----------
    vr : str
        Value representation as far as anybody knows it.
    keyword : str
        Of PS3.6; empty where there is none.
    """

    vr: str
    keyword: str


class Selector(Protocol):
    """Tells which elements a rule is about."""

    @property
    def above(self) -> tuple[int, ...] | None:
        """The sequences that the elements have to be in; None where they may be anywhere."""

    @property
    def retains_private(self) -> bool:
        """Whether it names private elements, so that its rule may retain them."""

    def covers(self, place: Place, attribute: Attribute) -> bool:
        """Tell whether it is about an element."""


@dataclass(frozen=True, slots=True)
class ByTag:
    """One attribute of the standard."""

    tag: Tag
    above: tuple[int, ...] | None = None
    retains_private = False

    def covers(self, place: Place, _attribute: Attribute) -> bool:
        return place.tag == self.tag and self.above in (None, place.above)


@dataclass(frozen=True, slots=True)
class ByWildcard:
    """Attributes of the standard whose tags have some digits in common."""

    digits: int
    mask: int
    above: tuple[int, ...] | None = None
    retains_private = False

    def covers(self, place: Place, _attribute: Attribute) -> bool:
        if is_private(place.tag) or self.above not in (None, place.above):
            return False
        return place.tag & self.mask == self.digits


@dataclass(frozen=True, slots=True)
class ByPrivateTag:
    """One private attribute, wherever its block is."""

    tag: PrivateTag
    above: tuple[int, ...] | None = None
    retains_private = True

    def covers(self, place: Place, _attribute: Attribute) -> bool:
        if place.creator != self.tag.creator or self.above not in (None, place.above):
            return False
        return place.tag >> 16 == self.tag.group and place.tag & 0xFF == self.tag.element


@dataclass(frozen=True, slots=True)
class ByCreator:
    """All private attributes of the creators that a pattern names."""

    pattern: Any
    above = None
    retains_private = True

    def covers(self, place: Place, _attribute: Attribute) -> bool:
        if place.creator is None or not is_private(place.tag):
            return False
        return bool(self.pattern.fullmatch(place.creator))


@dataclass(frozen=True, slots=True)
class ByVr:
    """All attributes of one value representation."""

    vr: str
    above = None
    retains_private = False

    def covers(self, _place: Place, attribute: Attribute) -> bool:
        return attribute.vr == self.vr


@dataclass(frozen=True, slots=True)
class ByKeyword:
    """All attributes of the standard whose keyword a pattern fits."""

    pattern: Any
    above = None
    retains_private = False

    def covers(self, place: Place, attribute: Attribute) -> bool:
        if is_private(place.tag) or not attribute.keyword:
            return False
        return bool(self.pattern.fullmatch(attribute.keyword))


def is_private(tag: int) -> bool:
    """Tell whether a tag has an odd group (PS3.5 7.8)."""
    return bool(tag >> 16 & 1)


def selector_of(rule: Rule) -> Selector:
    """Return the selector of a rule that has one.

    Raises
    ------
    ValueError
        If what it names is not known; in a validated profile it is.
    """
    if rule.tag is not None:
        return tag_selector(rule.tag)
    if rule.vr is not None:
        return vr_selector(rule.vr)
    if rule.private_creator is not None:
        return creator_selector(rule.private_creator)
    if rule.keyword is not None:
        return keyword_selector(rule.keyword)
    raise ValueError("a rule of elements needs a selector")


def tag_selector(text: str) -> ByTag | ByWildcard | ByPrivateTag:
    """Parse what ``Tag`` of a rule says: a tag, a wildcard, or a path to one of them.

    Raises
    ------
    ValueError
        In the words for the one who wrote it.
    """
    start, _, leaf = text.rpartition("].")
    if wildcard := _WILDCARD.fullmatch(leaf.strip()):
        digits = (wildcard[1] + wildcard[2]).lower()
        if "x" in digits:
            steps = parse_element(f"{start}].00080005").steps if start else ()
            return _wildcard(digits, _above(steps))
    path = parse_element(text)
    above = _above(path.steps)
    if isinstance(path.tag, PrivateTag):
        return ByPrivateTag(path.tag, above)
    if is_private(path.tag):
        raise ValueError('a private element needs its creator, as in (0019,"CREATOR",0C)')
    return ByTag(path.tag, above)


def vr_selector(text: str) -> ByVr:
    """Parse what ``VR`` of a rule says, or raise `ValueError`."""
    if text not in KNOWN_VRS:
        raise ValueError("is no value representation (PS3.5 6.2)")
    return ByVr(text)


def creator_selector(text: str) -> ByCreator:
    """Parse what ``PrivateCreator`` of a rule says, or raise `ValueError`."""
    if not text.strip() or len(text) > 64 or "\\" in text:
        raise ValueError("is no private creator: 1 to 64 characters without backslash (PS3.5 7.8)")
    if not text.strip("*? "):
        raise ValueError("would retain the private elements of anybody")
    return ByCreator(_wildcards(text.strip()))


def keyword_selector(text: str) -> ByKeyword:
    """Parse what ``Keyword`` of a rule says: a pattern that some keyword fits.

    Raises
    ------
    ValueError
        If none does.
    """
    pattern = _wildcards(text)
    if not any(pattern.fullmatch(keyword) for keyword in _keywords()):
        raise ValueError("no keyword of PS3.6 fits")
    return ByKeyword(pattern)


def standard_keyword(tag: int) -> str:
    """Return the keyword of a tag, also in a repeating group; empty where there is none."""
    return datadict.keyword_for_tag(tag)


@cache
def _keywords() -> frozenset[str]:
    return frozenset(keyword for keyword in datadict.keyword_dict if keyword)


def _wildcard(digits: str, above: tuple[int, ...] | None) -> ByWildcard:
    if not digits.strip("x"):
        raise ValueError("would be about every element")
    mask = int("".join("0" if digit == "x" else "f" for digit in digits), 16)
    found = ByWildcard(int(digits.replace("x", "0"), 16), mask, above)
    if mask >> 16 & 1 and found.digits >> 16 & 1:
        raise ValueError('private elements are named by their creator, as in (0019,"CREATOR",0C)')
    return found


def _above(steps: tuple[Step, ...]) -> tuple[int, ...] | None:
    return tuple(_sequences(steps)) or None


def _sequences(steps: tuple[Step, ...]) -> Iterator[int]:
    for step in steps:
        if step.index is not None:
            raise ValueError(f"a rule is about every item: write [*], not [{step.index}]")
        if isinstance(step.sequence, PrivateTag) or is_private(step.sequence):
            raise ValueError(
                "a path cannot lead through a private sequence; without a path the rule is about "
                "every depth"
            )
        if dictionary_vr(step.sequence) != "SQ":
            raise ValueError("a path leads through sequences")
        yield step.sequence


def _wildcards(text: str) -> Any:
    """Translate ``*`` and ``?``, which is all that such a pattern has."""
    translated = {"*": ".*", "?": "."}
    return compile_pattern(
        "(?s)" + "".join(translated.get(char, re2.escape(char)) for char in text)
    )
