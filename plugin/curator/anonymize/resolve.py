"""Decide what happens to each element: rules, then options, then the Basic Profile, then the VR.

Where two options have a code for the same row, the more protective one wins, in the order X, Z, D,
U, C, K; or the other way round where the profile says ``Permissive``. Nothing here looks at values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from curator.anonymize.decision import Action, Decision, Place
from curator.anonymize.deviations import Deviation, deviations
from curator.anonymize.profile import Option, OptionsMeet, Profile, Rule
from curator.anonymize.protected import PATIENT_ID, PATIENT_NAME, forbidden, suits
from curator.anonymize.resolved_table import resolved_table
from curator.anonymize.selector import (
    Attribute,
    ByTag,
    Selector,
    is_private,
    selector_of,
    standard_keyword,
)
from curator.anonymize.standard import (
    PROTECTION,
    AttributeType,
    Code,
    Row,
    SafePrivate,
    Standard,
    is_overlay,
)
from curator.conditions import Condition
from curator.dicom.charset import TEXT_VRS
from curator.dicom.tags import Tag, dictionary_vr

_TABLE: Final = "PS3.15 Table E.1-1"
_CONTENT_TABLE: Final = "PS3.15 Table E.3.4-1"
_TEMPORAL_VRS: Final = frozenset({"DA", "DT", "TM"})
_TEMPORAL_TYPES: Final = frozenset({"DATE", "DATETIME", "TIME"})
_TIMEZONE_OFFSET: Final = 0x00080201
_OVERLAY_DATA: Final = 0x3000

_TELLING_VRS: Final = _TEMPORAL_VRS | {"PN", "UI", "UR"}
_OF_NO_TABLE: Final = 0x00080008  # Image Type
_URIS_OF_CODES: Final = (0x0008010E, 0x00080120)  # Coding Scheme URL, URN Code Value
"""All other addresses name servers, and instances by their UIDs."""

_FIRST_IN_BLOCKS: Final = 0x1000

_OF_CODES: Final = {
    Code.X: Action.REMOVE,
    Code.Z: Action.EMPTY,
    Code.D: Action.DUMMY,
    Code.U: Action.UID,
    Code.K: Action.KEEP,
}
_ACTIONS_BY_PROTECTION: Final = (
    Action.REMOVE,
    Action.EMPTY,
    Action.DUMMY,
    Action.UID,
    Action.SHIFT_DATE,
    Action.CLEAN_TEXT,
    Action.KEEP,
)
_TYPES_OF_CODES: Final = {Code.Z: AttributeType.TWO, Code.D: AttributeType.ONE}
_LEAST: Final = {AttributeType.ONE: Action.DUMMY, AttributeType.TWO: Action.EMPTY}
"""What takes least from an attribute that has to be there."""

_CODES: Final = {
    Option.CLEAN_PIXEL_DATA: ("113101", "Clean Pixel Data Option"),
    Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES: (
        "113102",
        "Clean Recognizable Visual Features Option",
    ),
    Option.CLEAN_GRAPHICS: ("113103", "Clean Graphics Option"),
    Option.CLEAN_STRUCTURED_CONTENT: ("113104", "Clean Structured Content Option"),
    Option.CLEAN_DESCRIPTORS: ("113105", "Clean Descriptors Option"),
    Option.RETAIN_LONGITUDINAL_FULL_DATES: (
        "113106",
        "Retain Longitudinal Temporal Information Full Dates Option",
    ),
    Option.RETAIN_LONGITUDINAL_MODIFIED_DATES: (
        "113107",
        "Retain Longitudinal Temporal Information Modified Dates Option",
    ),
    Option.RETAIN_PATIENT_CHARACTERISTICS: ("113108", "Retain Patient Characteristics Option"),
    Option.RETAIN_DEVICE_IDENTITY: ("113109", "Retain Device Identity Option"),
    Option.RETAIN_UIDS: ("113110", "Retain UIDs Option"),
    Option.RETAIN_SAFE_PRIVATE: ("113111", "Retain Safe Private Option"),
    Option.RETAIN_INSTITUTION_IDENTITY: ("113112", "Retain Institution Identity Option"),
}
"""CID 7050 of PS3.16, in the order of its code values."""

_BASIC_PROFILE: Final = ("113100", "Basic Application Confidentiality Profile")


@dataclass(frozen=True, slots=True)
class _Ruled:
    """A rule of elements, ready to be applied."""

    index: int
    rule: Rule
    action: Action
    selector: Selector

    def applies(self, place: Place, attribute: Attribute) -> bool:
        """Tell whether the rule says something about an element.

        One by a pattern says nothing about elements that no rule may treat so, and none says
        anything about values that its action does not suit.
        """
        if self.rule.when is not None and self.index not in place.holding:
            return False
        if not self.selector.covers(place, attribute) or not suits(self.action, attribute.vr):
            return False
        return is_private(place.tag) or forbidden(place.tag, self.action) is None

    @property
    def reason(self) -> str:
        return f"$.Rules[{self.index}]"


class Resolver:
    """What a profile decides.

    Parameters
    ----------
    profile : Profile
        The profile.
    standard : Standard
        The tables of its edition.

    Attributes
    ----------
    options : frozenset of Option
        The options of the profile.
    conditions : mapping of int to Condition
        The conditions of rules, by the index of the rule.
    pixel_rules : tuple of (int, Rule)
        The rules of pixels with their indices, in order.
    giving : tuple of Tag
        What rules give a value, also where an instance does not have it.
    """

    def __init__(self, profile: Profile, standard: Standard) -> None:
        self.profile = profile
        self.standard = standard
        self.options = frozenset(profile.options)
        self.conditions: Mapping[int, Condition] = {
            index: rule.when for index, rule in enumerate(profile.rules) if rule.when is not None
        }
        self.pixel_rules = tuple(
            (index, rule) for index, rule in enumerate(profile.rules) if rule.pixels is not None
        )
        self._rules = tuple(
            _Ruled(index, rule, rule.action, selector_of(rule))
            for index, rule in enumerate(profile.rules)
            if rule.action is not None
        )
        named = {ruled.selector.tag for ruled in self._rules if isinstance(ruled.selector, ByTag)}
        self.giving = tuple(
            dict.fromkeys(
                ruled.selector.tag
                for ruled in self._rules
                if ruled.action is Action.REPLACE
                and isinstance(ruled.selector, ByTag)
                and ruled.selector.above is None
            )
        )
        self._rules_by_tag = {tag: self._rules_about(tag) for tag in named}
        self._other_rules = self._rules_about(None)
        self._has_paths = any(ruled.selector.above is not None for ruled in self._rules)

    def relevant(self, above: tuple[int, ...]) -> tuple[int, ...]:
        """Return what decisions depend on of the sequences that an element is in, for caches."""
        return above if self._has_paths else above[:1]

    def decide(self, place: Place) -> Decision:
        """Decide what happens to an element.

        Private Creator elements are not decided here: they stay as long as something of their
        block does.

        Parameters
        ----------
        place : Place
            The element; "UN" as its VR where nobody knows it.
        """
        attribute = self._attribute(place)
        decision = self.without_rules(place)
        for ruled in self._rules_by_tag.get(Tag(place.tag), self._other_rules):
            if ruled.applies(place, attribute) and (
                ruled.selector.retains_private
                or not is_private(place.tag)
                or _left(decision).action is not Action.REMOVE
            ):
                decision = self._ruled(ruled, place, attribute, decision)
        return decision

    def without_rules(self, place: Place) -> Decision:
        """Decide what the standard and the options alone do to an element."""
        attribute = self._attribute(place)
        if is_private(place.tag):
            return self._private(place, attribute)
        if not place.tag & 0xFFFF:
            return Decision(Action.KEEP, "Group length")
        if row := self.standard.row(place.tag):
            return self._by_row(row, place, attribute)
        if is_overlay(place.tag):
            return self._overlay(place, attribute)
        if dictionary_vr(Tag(place.tag)) == "UN":
            return Decision(Action.REMOVE, "Not in PS3.6")
        return self._by_vr(place, attribute)

    def structured(self, code_value: str, scheme: str, value_type: str = "") -> Decision | None:
        """Decide what happens to a content item by its concept name (PS3.15 E.3.4).

        Parameters
        ----------
        code_value, scheme : str
            Of the concept name: Code Value and Coding Scheme Designator.
        value_type : str, optional
            Of the item; where absent or not in the table, the most protective row counts.

        Returns
        -------
        Decision or None
            None where the table does not have the concept.
        """
        rows = self.standard.content.get((code_value, scheme), ())
        fitting = [row for row in rows if row.value_type == value_type] or list(rows)
        decisions = [self._content(row) for row in fitting]
        return min(decisions, key=_protection, default=None)

    def by_vr(self, vr: str) -> Decision:
        """Decide what happens to attributes of the standard that no table has, by their VR."""
        return self._by_vr(Place(_OF_NO_TABLE, vr), Attribute(vr, ""))

    def codes(self) -> tuple[tuple[str, str], ...]:
        """Return the codes of CID 7050 for what the profile applies, with their meanings.

        The code of the Basic Profile is among them only where no rule protects less than the
        profile and its options do.
        """
        basic = () if any(one.weaker for one in self.deviations) else (_BASIC_PROFILE,)
        return (*basic, *(code for option, code in _CODES.items() if option in self.options))

    @cached_property
    def deviations(self) -> tuple[Deviation, ...]:
        """Where the rules leave more or less of the original than the standard asks."""
        return deviations(self)

    def table(self) -> list[dict[str, Any]]:
        """Return the whole profile resolved: tag, name, VR, action, reason and parameters."""
        return resolved_table(self)

    def _rules_about(self, tag: Tag | None) -> tuple[_Ruled, ...]:
        """Return the rules that may be about a tag, in order; None is any that no rule names."""
        return tuple(
            ruled
            for ruled in self._rules
            if not isinstance(ruled.selector, ByTag) or ruled.selector.tag == tag
        )

    def _attribute(self, place: Place) -> Attribute:
        tag, vr = Tag(place.tag), place.vr
        if is_private(tag):
            if vr == "UN":
                vr = dictionary_vr(tag, place.creator)
            if vr == "UN" and (safe := self._safe(place)):
                vr = safe.vr or vr
            return Attribute(vr, "")
        row = self.standard.by_tag.get(tag)
        keyword = row.keyword if row else standard_keyword(tag)
        return Attribute(dictionary_vr(tag) if vr == "UN" else vr, keyword)

    def _ruled(
        self, ruled: _Ruled, place: Place, attribute: Attribute, before: Decision
    ) -> Decision:
        rule, action, reason = ruled.rule, ruled.action, ruled.reason
        if action is Action.ENCRYPT:
            return Decision(action, reason, rule, instead=_left(before))
        if action is Action.KEEP and ruled.selector.retains_private:
            by_vr = self._by_vr(place, attribute)
            return replace(by_vr, reason=f"{reason}: {by_vr.reason}", rule=rule)
        type_of = self._type(place)
        least = _LEAST.get(type_of) if type_of else None
        if action is Action.REMOVE or (action is Action.EMPTY and least is Action.DUMMY):
            instead = least or action
            said = reason if instead is action else f"{reason}: {action}, but type {type_of}"
            return Decision(instead, said, rule)
        return Decision(action, reason, rule, least=None if action is Action.KEEP else least)

    def _type(self, place: Place) -> AttributeType | None:
        """Return the type of an attribute where the tables tell that it has to be there."""
        if is_private(place.tag):
            return None
        row = self.standard.row(place.tag)
        codes = row.codes if row else ()
        known = [
            _TYPES_OF_CODES[code] for code in codes if len(codes) == 1 and code in _TYPES_OF_CODES
        ]
        if not place.above:
            known += filter(
                None,
                (
                    self.standard.compound_types.get((place.sop_class_uid, place.tag)),
                    self.standard.module_types.get(place.tag),
                ),
            )
        return min(known, default=None)

    def _by_row(self, row: Row, place: Place, attribute: Attribute) -> Decision:
        option = self._option(row)
        if option is not None:
            action = _of_option(row.options[option], option, place, attribute)
            if action is not None:
                return Decision(action, f"Option {option}: {row.options[option]}")
        type_of = None
        if not place.above:
            type_of = self.standard.compound_types.get((place.sop_class_uid, place.tag))
        code = row.code(type_of)
        reason = f"{_TABLE}: {row.basic}"
        if len(row.codes) > 1:
            reason += f", type {type_of}" if type_of else ", type unknown"
        if place.tag in (PATIENT_ID, PATIENT_NAME):
            return Decision(Action.PSEUDONYM, reason)
        if code is Code.U and attribute.vr == "SQ":
            return Decision(Action.KEEP, reason)
        return Decision(_OF_CODES[code], reason)

    def _option(self, row: Row) -> Option | None:
        """Return the option of the profile that decides on a row, if one says something."""
        saying = [option for option in row.options if option in self.options]
        if not saying:
            return None
        permissive = self.profile.options_meet is OptionsMeet.PERMISSIVE
        choose = max if permissive else min
        return choose(saying, key=lambda option: PROTECTION.index(row.options[option]))

    def _overlay(self, place: Place, attribute: Attribute) -> Decision:
        """Decide on what describes an overlay: it goes with the overlay, and is cleaned with it."""
        data = replace(place, tag=place.tag & 0xFFFF0000 | _OVERLAY_DATA, vr="OW")
        action = _left(self.decide(data)).action
        if action is Action.CLEAN_GRAPHICS and attribute.vr in TEXT_VRS:
            return Decision(Action.CLEAN_TEXT, "Describes Overlay Data")
        if action in (Action.CLEAN_GRAPHICS, Action.KEEP):
            return self._by_vr(place, attribute)
        return Decision(Action.REMOVE, "Describes Overlay Data")

    def _private(self, place: Place, attribute: Attribute) -> Decision:
        if Option.RETAIN_SAFE_PRIVATE in self.options and self._safe(place):
            decision = self._by_vr(place, attribute)
            return replace(
                decision, reason=f"Option {Option.RETAIN_SAFE_PRIVATE}: {decision.reason}"
            )
        return Decision(Action.REMOVE, f"{_TABLE}: {self.standard.private.basic}, private")

    def _safe(self, place: Place) -> SafePrivate | None:
        if place.creator is None or place.tag & 0xFFFF < _FIRST_IN_BLOCKS:
            return None
        key = place.creator, place.tag >> 16, place.tag & 0xFF
        return self.standard.safe_private.get(key)

    def _by_vr(self, place: Place, attribute: Attribute) -> Decision:
        """Decide where no table does: by the VR that stands or, where it says more, the known."""
        vr = attribute.vr
        known = dictionary_vr(Tag(place.tag), place.creator)
        if vr not in _TELLING_VRS and known in _TELLING_VRS:
            vr = known
        reason = f"Value representation {vr}"
        if vr == "UI":
            kept = Option.RETAIN_UIDS in self.options
            return Decision(Action.KEEP if kept else Action.UID, reason)
        if vr in _TEMPORAL_VRS:
            return Decision(self._temporal(attribute.vr), reason)
        names_somebody = vr == "PN" or (vr == "UR" and place.tag not in _URIS_OF_CODES)
        return Decision(Action.DUMMY if names_somebody else Action.KEEP, reason)

    def _temporal(self, vr: str) -> Action:
        if Option.RETAIN_LONGITUDINAL_FULL_DATES in self.options:
            return Action.KEEP
        shifted = Option.RETAIN_LONGITUDINAL_MODIFIED_DATES in self.options
        return Action.SHIFT_DATE if shifted and vr in _TEMPORAL_VRS else Action.DUMMY

    def _content(self, row: Row) -> Decision:
        option = self._option(row)
        if option is None:
            code, reason = row.code(None), f"{_CONTENT_TABLE}: {row.basic}"
        else:
            code = row.options[option]
            reason = f"Option {option}: {code} in {_CONTENT_TABLE}"
        if code is Code.C:
            shifted = row.value_type in _TEMPORAL_TYPES
            return Decision(Action.SHIFT_DATE if shifted else Action.CLEAN_TEXT, reason)
        if code is Code.D and row.value_type == "UIDREF":
            return Decision(Action.UID, reason)
        return Decision(_OF_CODES[code], reason)


def _left(decision: Decision) -> Decision:
    """Return what is left of an element in the open, of an encrypted one too."""
    return decision.instead or decision


def _of_option(code: Code, option: Option, place: Place, attribute: Attribute) -> Action | None:
    """Return what the code of an option does; None where such values cannot be cleaned."""
    if code is not Code.C:
        return _OF_CODES[code]
    if option is Option.RETAIN_LONGITUDINAL_MODIFIED_DATES:
        if place.tag == _TIMEZONE_OFFSET:  # whole days move no zone
            return Action.KEEP
        return Action.SHIFT_DATE if attribute.vr in _TEMPORAL_VRS else None
    if option is Option.CLEAN_STRUCTURED_CONTENT:
        return Action.CLEAN_STRUCTURED_CONTENT if attribute.vr == "SQ" else None
    if option is Option.CLEAN_GRAPHICS:
        return Action.CLEAN_GRAPHICS
    return Action.CLEAN_TEXT if suits(Action.CLEAN_TEXT, attribute.vr) else None


def _protection(decision: Decision) -> int:
    return _ACTIONS_BY_PROTECTION.index(decision.action)
