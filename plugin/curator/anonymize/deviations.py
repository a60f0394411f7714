"""Where the rules of a profile protect less, or more, than the standard with its options asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from curator.anonymize.decision import Action, Decision, Place
from curator.anonymize.profile import Option, Rule
from curator.anonymize.selector import ByCreator, ByPrivateTag, ByTag, Selector, selector_of
from curator.dicom.tags import Tag, dictionary_vr, tag_text

if TYPE_CHECKING:
    from curator.anonymize.resolve import Resolver

_KEPT: Final = frozenset({Action.KEEP})
_CLEANED: Final = frozenset(
    {
        Action.CLEAN_TEXT,
        Action.CLEAN_STRUCTURED_CONTENT,
        Action.CLEAN_GRAPHICS,
        Action.GENERALIZE,
        Action.REGEX,
        Action.SHIFT_DATE,
    }
)


@dataclass(frozen=True, slots=True)
class Deviation:
    """A rule that does something else to an attribute than the standard with its options.

    Parameters
    ----------
    index : int
        Of the rule.
    element : str
        Keyword or tag; the selector of the rule where it is about private elements.
    asked, done : Action
        Without the rule, and with it.
    weaker : bool
        Whether more of the original is left than without the rule; otherwise it is less.
    vr : str, optional
        Value representation of the attribute; empty of private elements.
    """

    index: int
    element: str
    asked: Action
    done: Action
    weaker: bool
    vr: str = ""


def deviations(resolver: Resolver) -> tuple[Deviation, ...]:
    """Return where rules leave more or less of the original than the standard asks.

    Looks at every attribute of Table E.1-1, at those that rules name, and at private creators;
    of conditional rules, at the instances for which they alone hold.
    """
    found: list[Deviation] = []
    for index, rule in enumerate(resolver.profile.rules):
        if rule.pixels is not None:
            continue
        selector = selector_of(rule)
        if isinstance(selector, ByCreator | ByPrivateTag):
            found.extend(_of_private(index, rule, resolver))
            continue
        for place in _places(index, selector, resolver):
            with_rules = resolver.decide(place)
            if with_rules.rule is rule:
                found.extend(_of_element(index, place, resolver.without_rules(place), with_rules))
    return tuple(found)


def _places(index: int, selector: Selector, resolver: Resolver) -> Iterator[Place]:
    tags = dict.fromkeys(resolver.standard.by_tag)
    tags.update(dict.fromkeys((0x50003000, 0x60003000, 0x60004000)))
    if isinstance(selector, ByTag):
        tags = {selector.tag: None}
    for tag in tags:
        vr = dictionary_vr(Tag(tag))
        yield Place(tag, vr, above=selector.above or (), holding=frozenset({index}))


def _of_element(index: int, place: Place, asked: Decision, done: Decision) -> Iterator[Deviation]:
    before, after = left_of(asked), left_of(done)
    if before != after:
        name = tag_text(Tag(place.tag))
        yield Deviation(index, name, asked.action, done.action, after > before, place.vr)


def _of_private(index: int, rule: Rule, resolver: Resolver) -> Iterator[Deviation]:
    """Yield that private elements are retained where the option does not ask for it.

    With the option, it is for the profile to say which ones are safe (PS3.15 E.3.10).
    """
    if rule.action is None or rule.action is Action.REMOVE:
        return
    if Option.RETAIN_SAFE_PRIVATE not in resolver.options and rule.action in _KEPT | _CLEANED:
        name = rule.tag or rule.private_creator or ""
        yield Deviation(index, name, Action.REMOVE, rule.action, weaker=True)


def left_of(decision: Decision) -> int:
    """Tell how much of the original an action leaves: 0 nothing, 1 what was cleaned, 2 all."""
    action = (decision.instead or decision).action
    return 2 if action in _KEPT else 1 if action in _CLEANED else 0
