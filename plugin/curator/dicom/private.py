"""Find, copy and reserve private attributes with their blocks (PS3.5 7.8.1)."""

from __future__ import annotations

from dataclasses import replace

from curator.dicom.edits import AppendItems, Edit, Replace, ReplaceEncoded, Rule, Table, decided
from curator.dicom.element import Element
from curator.dicom.encode import vr_for
from curator.dicom.errors import UnsupportedValue
from curator.dicom.site import Site
from curator.dicom.tags import AnyTag, PrivateTag, Tag, dictionary_vr

_FIRST_BLOCK, _LAST_BLOCK = 0x10, 0xFF


def tags_of(tag: AnyTag, site: Site) -> list[Tag]:
    """Return where an attribute stands at a level: in each block that its creator reserved."""
    if not isinstance(tag, PrivateTag):
        return [tag]
    blocks = site.private_blocks(tag.group)
    return [tag.in_block(block) for block, creator in blocks if creator == tag.creator]


def copies(tag: AnyTag, site: Site) -> dict[int, bytes]:
    """Return the encoded elements that stand at a level for a tag, with those of their creators."""
    found: dict[int, bytes] = {}
    for here in tags_of(tag, site):
        if here not in site.tags:
            continue
        found[here] = site.encoded(here)
        if site.creator(here) is not None:
            creator = site.reserving(here)
            found[creator] = site.encoded(creator)
    return found


def with_private_rules(table: Table, site: Site) -> Table:
    """Return `table` with its rules on private creators put where their blocks are.

    Where a creator has no block, a rule that inserts reserves the next free one.

    Raises
    ------
    UnsupportedValue
        If a group has no block left.
    """
    rules: dict[AnyTag, Rule] = {}
    reserved: dict[tuple[int, str], int] = {}
    for tag, rule in table.private.items():
        places = tags_of(tag, site)
        if places:
            rules[places[0]] = rule
            rules.update((other, rule) for other in places[1:] if other in site.tags)
        elif rule.inserts:
            rules.update(_in_new_block(tag, rule, site, reserved))
    return table.with_rules(rules) if rules else table


def _in_new_block(
    tag: PrivateTag, rule: Rule, site: Site, reserved: dict[tuple[int, str], int]
) -> dict[AnyTag, Rule]:
    edit = _edit_of_absent(tag, rule, site)
    if edit is None:
        return {}
    key = tag.group, tag.creator
    block = reserved.get(key) or _next_block(tag.group, site, reserved)
    reserved[key] = block
    creator = Tag(tag.group << 16 | block)
    return {
        creator: Rule(Replace(tag.creator, "LO")),
        tag.in_block(block): replace(rule, edit=edit),
    }


def _edit_of_absent(tag: PrivateTag, rule: Rule, site: Site) -> Edit | None:
    """Return what an inserting rule inserts, with its VR; None where nothing."""
    stand_in = Element(
        tag.in_block(_FIRST_BLOCK), dictionary_vr(tag), b"", site.encoding.charset, present=False
    )
    edit = decided(rule.edit, lambda: stand_in)
    if isinstance(edit, Replace):
        return replace(edit, vr=edit.vr or vr_for(stand_in.tag, edit.values, tag.creator))
    return edit if isinstance(edit, ReplaceEncoded | AppendItems) else None


def _next_block(group: int, site: Site, reserved: dict[tuple[int, str], int]) -> int:
    taken = [block for block, _ in site.private_blocks(group)]
    taken += [block for (other, _), block in reserved.items() if other == group]
    block = max(taken, default=_FIRST_BLOCK - 1) + 1
    if block > _LAST_BLOCK:
        raise UnsupportedValue(f"Group {group:04X} has no private block left")
    return block
