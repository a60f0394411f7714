"""What happens to an element, and why: what a profile decides and the other modules carry out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from curator.anonymize.profile import Rule


class Action(StrEnum):
    """Everything that can happen to an element.

    ``Keep`` leaves the value, and still enters the items of a sequence; ``Remove``, ``Empty``,
    ``Dummy`` and ``Uid`` are the codes X, Z, D and U of PS3.15 Table E.1-1.
    """

    KEEP = "Keep"
    REMOVE = "Remove"
    EMPTY = "Empty"
    REPLACE = "Replace"
    DUMMY = "Dummy"
    UID = "Uid"
    PSEUDONYM = "Pseudonym"
    SHIFT_DATE = "ShiftDate"
    GENERALIZE = "Generalize"
    REGEX = "Regex"
    CLEAN_TEXT = "CleanText"
    HASH = "Hash"
    LOOKUP = "Lookup"
    ENCRYPT = "Encrypt"
    CLEAN_STRUCTURED_CONTENT = "CleanStructuredContent"
    CLEAN_GRAPHICS = "CleanGraphics"
    CLEAN_PRIVATE = "CleanPrivate"


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens to an element.

    Parameters
    ----------
    action : Action
        What is done.
    reason : str
        Why, in words for the one who reads a dry run: ``"PS3.15 Table E.1-1: X/Z"``,
        ``"Option CleanDescriptors"``, ``"$.Rules[2]"``, ``"Value representation UI"``.
    rule : Rule, optional
        The rule of the profile that decided, with the parameters of its action.
    instead : Decision, optional
        With ``Encrypt``: what happens to the element in the open, as decided without that rule.
    least : Action, optional
        What happens instead where the action would leave no value, or nothing, of an attribute that
        has to be there: ``Dummy`` of type 1, ``Empty`` of type 2 (PS3.5 7.4).
    """

    action: Action
    reason: str
    rule: Rule | None = None
    instead: Decision | None = None
    least: Action | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where an element stands, as far as a decision may depend on it.

    Parameters
    ----------
    tag : int
        Group and element; in a private block, with the block number found.
    vr : str
        Value representation, "UN" where nobody knows it.
    creator : str or None
        Private creator of the block that a private tag stands in; None where there is none.
    above : tuple of int
        The tags of the sequences that it is in, from the top level down.
    sop_class_uid : str
        Of the instance; empty where absent.
    holding : frozenset of int
        Indices of those rules of the profile whose condition holds for the instance; rules without
        a condition need not be among them.
    """

    tag: int
    vr: str
    creator: str | None = None
    above: tuple[int, ...] = ()
    sop_class_uid: str = ""
    holding: frozenset[int] = frozenset()
