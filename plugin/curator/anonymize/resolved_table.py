"""A whole profile as a table: what happens to which element, and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from curator.anonymize.decision import Action, Decision, Place
from curator.anonymize.profile import Option, Rule
from curator.anonymize.selector import ByTag, Selector, selector_of
from curator.anonymize.standard import AttributeType, Row
from curator.dicom.tags import Tag, dictionary_vr, tag_text

if TYPE_CHECKING:
    from curator.anonymize.resolve import Resolver

_REPEATING = {"50xxxxxx": 0x50003000, "60xx3000": 0x60003000, "60xx4000": 0x60004000}
_PRIVATE = "ggggeeee"
_VRS = ("UI", "DA", "TM", "DT", "PN", "UR")


def resolved_table(resolver: Resolver) -> list[dict[str, Any]]:
    """Return a profile resolved, row by row.

    Returns
    -------
    list of dict
        ``Tag``, ``Name``, ``VR``, ``Action``, ``Reason`` and, for actions that have some,
        ``Parameters``: the attributes of Table E.1-1 without conditions; what rules say beside;
        what happens by VR; safe private attributes and content items, where options keep them.
        Where the action depends on the SOP class, all that are possible are named.
    """
    return [
        *(_of_row(row, resolver) for row in resolver.standard.rows),
        *_of_rules(resolver),
        *_of_vrs(resolver),
        *_of_safe_private(resolver),
        *_of_content(resolver),
    ]


def row_of(
    tag: str, name: str, vr: str, decision: Decision, action: str | None = None
) -> dict[str, Any]:
    """Return a row of the table."""
    row: dict[str, Any] = {
        "Tag": tag,
        "Name": name,
        "VR": vr,
        "Action": action or decision.action.value,
        "Reason": decision.reason,
    }
    parameters = {} if decision.rule is None else _parameters(decision.rule)
    if parameters:
        row["Parameters"] = parameters
    return row


def _parameters(rule: Rule) -> dict[str, Any]:
    selection = {"tag", "vr", "private_creator", "keyword", "action", "pixels"}
    return rule.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=selection)


def _of_row(row: Row, resolver: Resolver) -> dict[str, Any]:
    if row.tag == _PRIVATE:
        decision = resolver.without_rules(Place(0x00091000, "UN"))
        return row_of("(gggg,eeee)", row.name, "", decision)
    tag = _REPEATING.get(row.tag) or int(row.tag, 16)
    vr = dictionary_vr(Tag(tag))
    decisions = [resolver.decide(Place(tag, vr))]
    decisions += [
        resolver.decide(Place(tag, vr, sop_class_uid=uid)) for uid in _classes(tag, resolver)
    ]
    actions = list(dict.fromkeys(decision.action.value for decision in decisions))
    written = f"({row.tag[:4]},{row.tag[4:]})"
    return row_of(written, row.name, vr, decisions[0], "/".join(actions))


def _classes(tag: int, resolver: Resolver) -> list[str]:
    """Return a SOP class for each attribute type that some have for a tag."""
    found: dict[AttributeType, str] = {}
    for (uid, other), type_of in resolver.standard.compound_types.items():
        if other == tag:
            found.setdefault(type_of, uid)
    return [found[type_of] for type_of in sorted(found, reverse=True)]


def _of_rules(resolver: Resolver) -> Iterator[dict[str, Any]]:
    """Yield the rules that are not seen in the rows of the standard's table as they are."""
    for index, rule in enumerate(resolver.profile.rules):
        decision = Decision(rule.action or Action.KEEP, f"$.Rules[{index}]", rule)
        if rule.pixels is not None:
            pixels = rule.pixels.model_dump(mode="json", by_alias=True, exclude_defaults=True)
            row = row_of("(7FE0,0010)", "Pixel Data", "", decision, "Pixels")
            yield {**row, "Parameters": {**row.get("Parameters", {}), "Pixels": pixels}}
            continue
        selector = selector_of(rule)
        if not _is_seen(rule, selector, resolver):
            text = rule.tag or rule.private_creator or rule.keyword or ""
            name = tag_text(selector.tag) if isinstance(selector, ByTag) else text
            yield row_of(text, name, rule.vr or "", decision)


def _is_seen(rule: Rule, selector: Selector, resolver: Resolver) -> bool:
    """Tell whether a rule is about one row of the standard's table, and always."""
    if rule.when is not None or selector.above is not None or not isinstance(selector, ByTag):
        return False
    return selector.tag in resolver.standard.by_tag


def _of_vrs(resolver: Resolver) -> Iterator[dict[str, Any]]:
    for vr in _VRS:
        decision = resolver.by_vr(vr)
        yield row_of("", "Other attributes, by their value representation", vr, decision)
    yield row_of("", "Other attributes of PS3.6", "", resolver.by_vr("LO"))


def _of_safe_private(resolver: Resolver) -> Iterator[dict[str, Any]]:
    if Option.RETAIN_SAFE_PRIVATE not in resolver.options:
        return
    for safe in resolver.standard.safe_private.values():
        tag = safe.group << 16 | 0x1000 | safe.element
        decision = resolver.decide(Place(tag, safe.vr or "UN", safe.creator))
        yield row_of(str(safe), safe.meaning, safe.vr, decision)


def _of_content(resolver: Resolver) -> Iterator[dict[str, Any]]:
    if Option.CLEAN_STRUCTURED_CONTENT not in resolver.options:
        return
    for (value, scheme), rows in resolver.standard.content.items():
        for row in rows:
            decision = resolver.structured(value, scheme, row.value_type)
            if decision is not None:
                yield row_of(f"({value}, {scheme})", row.name, row.value_type, decision)
