"""What happens to which element of a level, and how it is carried out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from curator.anonymize.decision import Action, Decision, Place
from curator.anonymize.uids import NAMING_A_KIND
from curator.dicom.charset import TEXT_VRS
from curator.dicom.site import Site
from curator.dicom.tags import (
    SPECIFIC_CHARACTER_SET,
    PrivateTag,
    Tag,
    dictionary_vr,
    tag_for_keyword,
    tag_text,
)

ENCAPSULATED_DOCUMENT = tag_for_keyword("EncapsulatedDocument")
ICON_IMAGES = tag_for_keyword("IconImageSequence")
METHOD_CODES = tag_for_keyword("DeidentificationMethodCodeSequence")

_CODES = frozenset(
    map(
        tag_for_keyword,
        (
            *("CodeValue", "LongCodeValue", "URNCodeValue"),
            *("CodingSchemeDesignator", "CodingSchemeVersion"),
            *("EquipmentModality", "MappingResourceName"),
        ),
    )
)
"""Texts in code sequences that stand for a concept: nothing in them can be cleaned."""


class Decides(Protocol):
    """The part of a resolver that decides on elements."""

    def relevant(self, above: tuple[int, ...]) -> tuple[int, ...]:
        """Return what decisions depend on of the sequences that an element is in."""

    def decide(self, place: Place) -> Decision:
        """Decide on an element."""


class Kind(Enum):
    """How a step is carried out."""

    REMOVE = auto()
    DISSOLVE = auto()
    ENTER = auto()
    ENTER_IF_SEQUENCE = auto()
    CLEAN_ITEMS = auto()
    UID = auto()
    EDIT = auto()
    TEMPLATE = auto()
    TEXT = auto()
    ENCRYPT = auto()
    HANDLE = auto()
    PERMIT = auto()


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What happens to the elements of a tag and VR.

    Parameters
    ----------
    vr : str
        The value representation; of UN, the one that the dictionaries know.
    decision : Decision
        What is decided.
    kind : Kind
        How it is carried out.
    counted : tuple of Action and str
        What it counts as in a report: action, and tag as text, of private elements that go the
        block.
    """

    vr: str
    decision: Decision
    kind: Kind
    counted: tuple[Action, str]


_GROUP_LENGTH = Step("UL", Decision(Action.REMOVE, ""), Kind.DISSOLVE, (Action.REMOVE, ""))


class Steps:
    """The steps of a profile for the instances of one kind.

    Parameters
    ----------
    resolver : Decides
        Decides on elements.
    sop_class_uid : str
        Of the instances.
    holding : frozenset of int
        The conditional rules of the profile that hold for them.
    without_icons : bool
        Whether icon images go, since the pixels change that they were made from.
    """

    def __init__(
        self, resolver: Decides, sop_class_uid: str, holding: frozenset[int], without_icons: bool
    ) -> None:
        self._resolver = resolver
        self._sop_class_uid = sop_class_uid
        self._holding = holding
        self._without_icons = without_icons

    def relevant(self, above: tuple[int, ...]) -> tuple[int, ...]:
        """Return what decisions depend on of the sequences that a level is in."""
        return self._resolver.relevant(above)

    def step(self, site: Site, tag: int, above: tuple[int, ...], cleaning: bool) -> Step | None:
        """Return the step for a present element, other than a Private Creator.

        Parameters
        ----------
        site : Site
            The level.
        tag : int
            The element.
        above : tuple of int
            The sequences that it is in.
        cleaning : bool
            Whether the texts of the level are those of a sequence that is cleaned.

        Returns
        -------
        Step or None
            None where it stays as it is.
        """
        if not tag & 0xFFFF:
            return _GROUP_LENGTH
        if tag == SPECIFIC_CHARACTER_SET:
            return None
        return step_for(site, tag, self.decided(site, tag, above, cleaning))

    def decided(self, site: Site, tag: int, above: tuple[int, ...], cleaning: bool) -> Decision:
        """Return what is decided on a present element."""
        creator = site.creator(tag)
        if tag >> 16 & 1 and creator is None:
            return Decision(Action.REMOVE, "Private element without creator")
        if tag == ICON_IMAGES and self._without_icons:
            return Decision(Action.REMOVE, "Pixel data changed")
        if tag == METHOD_CODES and not above:
            return Decision(Action.KEEP, "PS3.15 E.1.1")
        vr = effective_vr(site, tag)
        if vr != "SQ" and creator is None and dictionary_vr(Tag(tag)) == "SQ":
            return Decision(Action.REMOVE, f"A sequence whose value representation is {vr}")
        place = Place(tag, vr, creator, above, self._sop_class_uid, self._holding)
        decision = self._resolver.decide(place)
        if decision.action != Action.KEEP or decision.rule is not None:
            return decision
        if cleaning and vr in TEXT_VRS and tag not in _CODES:
            return Decision(Action.CLEAN_TEXT, "In a sequence that is cleaned")
        return decision


def effective_vr(site: Site, tag: int) -> str:
    """Return the VR of a present element; of one in UN, that of the dictionaries (PS3.5 6.2.2)."""
    vr = site.vr(tag)
    return site.known_vr(tag) if vr == "UN" else vr


def step_for(site: Site, tag: int, decision: Decision) -> Step | None:
    """Return how a decision on a present element is carried out; None where it stays as it is."""
    vr = effective_vr(site, tag)
    kind = _kind(tag, vr, site.vr(tag), decision)
    if kind is None:
        return None
    return Step(vr, decision, kind, (decision.action, _counted_as(site, tag, kind)))


def _counted_as(site: Site, tag: int, kind: Kind) -> str:
    """Return the tag as a report has it; private elements that go, by their block."""
    if not tag >> 16 & 1:
        return tag_text(Tag(tag))
    creator = site.creator(tag) or ""
    if kind is Kind.REMOVE:
        return f'({tag >> 16:04X},"{creator}",*)'
    return str(PrivateTag(tag >> 16, creator, tag & 0xFF))


def _kind(tag: int, vr: str, written: str, decision: Decision) -> Kind | None:
    action = decision.action
    if action == Action.REMOVE:
        return Kind.REMOVE
    if action == Action.KEEP:
        return _kind_of_kept(tag, vr, written, decision)
    if action in _HANDLED or (tag == ENCAPSULATED_DOCUMENT and action != Action.ENCRYPT):
        return Kind.HANDLE
    if vr == "SQ":
        return _KINDS_OF_SEQUENCES.get(action, Kind.EDIT)
    if vr == "UI" and action == Action.UID:
        return None if tag in NAMING_A_KIND else Kind.UID
    return _KINDS.get(action, Kind.EDIT)


def _kind_of_kept(tag: int, vr: str, written: str, decision: Decision) -> Kind | None:
    if vr == "SQ":
        return Kind.ENTER
    if written == "UN":  # may hold items, whatever the dictionaries say
        return Kind.ENTER_IF_SEQUENCE
    named = decision.rule is not None and decision.rule.tag is not None
    return Kind.PERMIT if named and not tag >> 16 & 1 else None


_HANDLED = frozenset({Action.CLEAN_STRUCTURED_CONTENT, Action.CLEAN_GRAPHICS})

_KINDS = {
    Action.CLEAN_TEXT: Kind.TEXT,
    Action.ENCRYPT: Kind.ENCRYPT,
    Action.REPLACE: Kind.TEMPLATE,
}

_KINDS_OF_SEQUENCES = {
    Action.UID: Kind.ENTER,
    Action.SHIFT_DATE: Kind.ENTER,
    Action.CLEAN_PRIVATE: Kind.ENTER,
    Action.CLEAN_TEXT: Kind.CLEAN_ITEMS,
    Action.ENCRYPT: Kind.ENCRYPT,
    Action.REPLACE: Kind.TEMPLATE,
}
