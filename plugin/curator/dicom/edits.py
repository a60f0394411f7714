"""What to do with which element: the edit table.

An :class:`Edits` is built once from paths and applied to thousands of instances. It is a tree of
:class:`Table`, one per level of nesting, so the walker looks up one small dictionary per level.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from curator.dicom.charset import UTF_8_TERM
from curator.dicom.element import Element, Value
from curator.dicom.errors import TagError
from curator.dicom.tags import SPECIFIC_CHARACTER_SET, AnyTag, Path, PrivateTag, Step, tag_text

ItemValues = Mapping[AnyTag, "Replace | ReplaceEncoded | AsItStands | Values"]
"""A new item of a sequence: its attributes and their values."""

Values = Value | tuple[Value, ...] | tuple[ItemValues, ...]
"""One value, several values, or the items of a sequence."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Leave the element as it is; edits of elements inside it still apply."""


KEEP = Keep()


@dataclass(frozen=True, slots=True)
class Drop:
    """Remove the element."""


@dataclass(frozen=True, slots=True)
class Replace:
    """Set the element to `values`, inserting it where it is absent.

    Parameters
    ----------
    values : str, int, float, bytes, or a tuple of them, or a tuple of items
        The new values; ``()`` or ``""`` makes the element empty. A string is split at backslashes
        by whoever reads it, as ever in DICOM.
    vr : str, optional
        Value representation; by default the one the element has, else the dictionary's.
    """

    values: Values
    vr: str | None = None


@dataclass(frozen=True, slots=True)
class ReplaceEncoded:
    """Set the element to an encoded value field of even length, inserting it where absent.

    The bytes are taken as they are: text in them has to be ASCII, since the character set of the
    instance may be widened, and numbers in the instance's byte order.
    """

    vr: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class AsItStands:
    """In a new item: a copy of the element that the level with the sequence holds before the edits.

    The copy is byte for byte, nothing is decoded, so previous values that are no valid text go into
    Original Attributes Sequence all the same. Where the element is absent, the item has none
    either; a private element takes its creator along (PS3.5 7.8.1).

    Parameters
    ----------
    most : int, optional
        Bytes that the encoded element may have; a longer one is left out.
    """

    most: int | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """Let a function of the element decide.

    Parameters
    ----------
    function : callable
        Gets the :class:`.Element`, returns `Keep`, `Drop`, `Replace` or `ReplaceEncoded`; None
        means `Keep`. It must be pure: it may be called twice for one element.
    missing : bool, optional
        Whether to call it, with a stand-in that is not `present`, where the element is absent.
    """

    function: Callable[[Element], Keep | Drop | Replace | ReplaceEncoded | None]
    missing: bool = False


@dataclass(frozen=True, slots=True)
class AppendItems:
    """Add items at the end of a sequence, creating it where it is absent."""

    items: tuple[ItemValues, ...]


Edit = Keep | Drop | Replace | ReplaceEncoded | Call | AppendItems


def decided(edit: Edit, element: Callable[[], Element]) -> Edit:
    """Return `edit`, or what its function answers for the element."""
    return (edit.function(element()) or KEEP) if isinstance(edit, Call) else edit


@dataclass(frozen=True, slots=True)
class ItemTables:
    """The tables of a sequence's items: by index, and for every other item."""

    every: Table | None = None
    numbered: Mapping[int, Table] = field(default_factory=dict)

    def at(self, index: int) -> Table | None:
        """Return the table of the item at `index`."""
        return self.numbered.get(index, self.every)


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens to one element, and to what is inside it."""

    edit: Edit = KEEP
    items: ItemTables | None = None

    @property
    def inserts(self) -> bool:
        """Whether the rule acts on an element that is absent."""
        edit = self.edit
        if isinstance(edit, Call):
            return edit.missing
        return isinstance(edit, Replace | ReplaceEncoded | AppendItems)


@dataclass(frozen=True, slots=True)
class Table:
    """The rules of one level of nesting.

    Rules on value representations or groups of tags, once there are any, have their place here
    beside `rules`: what looks up a tag also sees the level it stands in.
    """

    rules: Mapping[int, Rule] = field(default_factory=dict)
    private: Mapping[PrivateTag, Rule] = field(default_factory=dict)
    inserts: frozenset[int] = frozenset()

    def with_rule(self, tag: AnyTag, rule: Rule) -> Table:
        """Return this table with one rule set."""
        return self.with_rules({tag: rule})

    def with_rules(self, rules: Mapping[AnyTag, Rule]) -> Table:
        """Return this table with some rules set."""
        private = {tag: rule for tag, rule in rules.items() if isinstance(tag, PrivateTag)}
        standard = {int(tag): rule for tag, rule in rules.items() if isinstance(tag, int)}
        inserting = {tag for tag, rule in standard.items() if rule.inserts}
        return Table(
            {**self.rules, **standard},
            {**self.private, **private} if private else self.private,
            self.inserts - (standard.keys() - inserting) | inserting,
        )

    def rule(self, tag: AnyTag) -> Rule:
        """Return the rule of `tag`; without one, that is to keep it."""
        found = self.private.get(tag) if isinstance(tag, PrivateTag) else self.rules.get(tag)
        return found or Rule()


EMPTY = Table()


@dataclass(frozen=True, slots=True, init=False)
class Edits:
    """A set of edits, compiled.

    Parameters
    ----------
    edits : mapping of Path or Tag to Edit
        Edits by place. An edit of ``Seq[0].Tag`` goes before one of ``Seq[*].Tag``; an edit that
        replaces or drops a sequence goes before those inside it.

    Raises
    ------
    TagError
        If a place may not be edited: File Meta (it follows the data set), group lengths, item
        tags, and Specific Character Set other than to widen it.
    """

    root: Table
    widens: bool

    def __init__(self, edits: Mapping[Path | AnyTag, Edit] | None = None) -> None:
        self._set(*_compiled(EMPTY, False, edits or {}))

    def with_(self, edits: Mapping[Path | AnyTag, Edit]) -> Edits:
        """Return these edits and some more, which go before; made for values per instance."""
        extended = object.__new__(Edits)
        extended._set(*_compiled(self.root, self.widens, edits))
        return extended

    def _set(self, root: Table, widens: bool) -> None:
        object.__setattr__(self, "root", root)
        object.__setattr__(self, "widens", widens)


def _compiled(root: Table, widens: bool, edits: Mapping[Path | AnyTag, Edit]) -> tuple[Table, bool]:
    top: dict[AnyTag, Rule] = {}
    nested: dict[Path, Edit] = {}
    for place, edit in edits.items():
        path = place if isinstance(place, Path) else Path(place)
        if path.tag == SPECIFIC_CHARACTER_SET:
            widens |= _widens(path, edit)
            continue
        _check_editable(path)
        if path.steps:
            nested[path] = edit
        else:
            top[path.tag] = replace(root.rule(path.tag), edit=edit)
    table = root.with_rules(top) if top else root
    # Every item first: a table for one index starts as a copy of that for every item.
    for path in sorted(nested, key=lambda path: sum(step.index is not None for step in path.steps)):
        table = _with_path(table, path.steps, path.tag, nested[path])
    return table, widens


def _with_path(table: Table, steps: tuple[Step, ...], tag: AnyTag, edit: Edit) -> Table:
    """Return `table` with the edit at the end of `steps`; only tables on the way are copied."""
    if not steps:
        return table.with_rule(tag, replace(table.rule(tag), edit=edit))
    step, *rest = steps
    rule = table.rule(step.sequence)
    tables = rule.items or ItemTables()

    def deeper(inner: Table | None) -> Table:
        return _with_path(inner or EMPTY, tuple(rest), tag, edit)

    if step.index is None:
        numbered = {index: deeper(inner) for index, inner in tables.numbered.items()}
        tables = ItemTables(deeper(tables.every), numbered)
    else:
        numbered = {**tables.numbered, step.index: deeper(tables.at(step.index))}
        tables = replace(tables, numbered=numbered)
    return table.with_rule(step.sequence, replace(rule, items=tables))


def _widens(path: Path, edit: Edit) -> bool:
    """Tell whether an edit of Specific Character Set asks for UTF-8, the one allowed change."""
    if isinstance(edit, Keep):
        return False
    if not path.steps and isinstance(edit, Replace) and edit.values in (UTF_8_TERM, (UTF_8_TERM,)):
        return True
    raise TagError(
        f"{path} follows the text of the instance: it can be kept, or be set to {UTF_8_TERM}"
    )


def _check_editable(path: Path) -> None:
    for tag in [path.tag, *(step.sequence for step in path.steps)]:
        if isinstance(tag, PrivateTag):
            continue
        if tag >> 16 in (0x0000, 0x0002):
            raise TagError(f"{tag_text(tag)} is no part of the data set, it follows it")
        if tag >> 16 == 0xFFFE or not tag & 0xFFFF:
            raise TagError(f"{tag_text(tag)} is part of the encoding, it follows the data set")
