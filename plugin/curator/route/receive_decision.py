"""Decide what becomes of an instance on its way in, and change it; pure.

Conditions and templates see the instance as it was received, whatever other rules change. Rules are
looked at by priority; where two change one element, the first one counts. ``Accept`` and ``Reject``
end it. Rules that ask who sends are left open until that is known.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial

from curator.dicom.edits import Call, Drop, Edit, Edits, Replace
from curator.dicom.element import Element
from curator.dicom.engine import apply
from curator.dicom.errors import DicomError
from curator.dicom.instance import Instance
from curator.dicom.reader import header_of
from curator.dicom.tags import AnyTag, Path, dictionary_vr
from curator.level import Level
from curator.route.facts import Facts, Source, Undecidable, Values
from curator.route.receive_rule import (
    Action,
    NotInTable,
    ReceiveRule,
    Rejection,
    Table,
    ValueMap,
    in_order,
)
from curator.template import Template

#: A UID (PS3.5 9.1).
_UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+", re.ASCII)
_LONGEST_UID = 64

#: What rejects an instance whose value is not in a table.
NOT_IN_TABLE = Rejection()


class Impossible(Exception):
    """A rule cannot be decided, or its change not be made: the instance may not be stored.

    The message names rule and elements, never a value.
    """


@dataclass(frozen=True, slots=True)
class Ending:
    """What a rule says in the end: it accepts the instance, or rejects it."""

    rule: str
    rejection: Rejection | None


@dataclass(frozen=True, slots=True)
class Open:
    """A rule that is decided when it is known who sends, with the values that it asks for."""

    rule: ReceiveRule
    values: Mapping[Path, tuple[str, ...]]

    def ending(self, source: Source, now: datetime) -> Ending | None:
        """Decide it; None where its condition does not hold.

        Raises
        ------
        Impossible
            If it cannot be decided even now.
        """
        if _holds(self.rule, _facts(self._values, source, now)):
            return Ending(self.rule.name, self.rule.rejection)
        return None

    def _values(self, path: Path) -> tuple[str, ...]:
        return self.values[path]


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of an instance.

    Attributes
    ----------
    edits : mapping
        What is changed in it.
    open : tuple of Open
        Rules that come before `ending`.
    ending : Ending or None
        None where no rule says anything: it is stored.
    """

    edits: Mapping[Path | AnyTag, Edit]
    open: tuple[Open, ...]
    ending: Ending | None

    @property
    def rejected(self) -> tuple[str, Rejection] | None:
        """The rule that turns it away, whoever sends, and how."""
        if self.open or self.ending is None or self.ending.rejection is None:
            return None
        return self.ending.rule, self.ending.rejection

    def settled(self, source: Source, now: datetime) -> Ending | None:
        """Return what is said in the end, once it is known who sends.

        Raises
        ------
        Impossible
            If an open rule cannot be decided even now.
        """
        for one in self.open:
            ending = one.ending(source, now)
            if ending is not None:
                return ending
        return self.ending


@dataclass(frozen=True)
class ReceiveRules:
    """Rules at reception, in use.

    Attributes
    ----------
    written : tuple of ReceiveRule
        Valid ones.
    tables : mapping
        The tables of ``LookupTables``, by name.
    """

    written: tuple[ReceiveRule, ...] = ()
    tables: Mapping[str, Table] = field(default_factory=dict)

    @cached_property
    def rules(self) -> tuple[ReceiveRule, ...]:
        """Those that are enabled, in their order."""
        return tuple(in_order(self.written))

    def decide(
        self, instance: Instance, source: Source, now: datetime, *, sender_known: bool
    ) -> Decision:
        """Decide what becomes of an instance.

        Parameters
        ----------
        sender_known : bool
            Whether rules that ask who sends are decided as well.

        Raises
        ------
        Impossible
            If a condition cannot be decided, or a change not be made.
        """
        values = _reader(instance)
        facts = _facts(values, source, now)
        edits: dict[Path | AnyTag, Edit] = {}
        waiting: list[Open] = []
        for rule in self.rules:
            if rule.asks_who_sends and not sender_known:
                waiting.append(_opened(rule, values))
                continue
            if not _holds(rule, facts):
                continue
            ending = self._changed(rule, values, edits)
            if ending is not None:
                return Decision(edits, tuple(waiting), ending)
        return Decision(edits, tuple(waiting), None)

    def _changed(
        self, rule: ReceiveRule, values: Values, edits: dict[Path | AnyTag, Edit]
    ) -> Ending | None:
        """Add what a rule changes; return what it says in the end, if anything."""
        for action in rule.then:
            if action.ends:
                return Ending(rule.name, action.reject)
            if action.map_ is not None and self._misses(rule, action.map_, values):
                return Ending(rule.name, NOT_IN_TABLE)
            for path, edit in self._edits(rule, action, values):
                edits.setdefault(path, edit)
        return None

    def _edits(
        self, rule: ReceiveRule, action: Action, values: Values
    ) -> Iterator[tuple[Path, Edit]]:
        for path, written in action.values.items():
            try:
                yield path, Replace(tuple(_filled(path, one, values) for one in written))
            except (Undecidable, ValueError) as error:
                raise Impossible(f"{rule.name}: {path} cannot be set: {error}") from None
        yield from ((path, Drop()) for path in action.removed)
        if action.map_ is not None:
            yield action.map_.path, Call(partial(_mapped, self._table(action.map_)))

    def _misses(self, rule: ReceiveRule, one: ValueMap, values: Values) -> bool:
        """Tell whether an instance is rejected, since a table does not have its value."""
        if one.else_ is NotInTable.KEEP:
            return False
        table = self._table(one)
        try:
            found = values(one.path)
        except Undecidable as error:
            raise Impossible(f"{rule.name}: {error}") from None
        return not found or any(value not in table for value in found)

    def _table(self, one: ValueMap) -> Table:
        return self.tables[one.table] if isinstance(one.table, str) else one.table


def changed(data: bytes, edits: Mapping[Path | AnyTag, Edit], default_charset: str) -> bytes:
    """Return an instance with its changes.

    Raises
    ------
    Impossible
        If one of them cannot be made.
    """
    try:
        return apply(data, Edits(edits), default_charset=default_charset)
    except DicomError as error:
        raise Impossible(f"it cannot be changed: {error}") from None


def _opened(rule: ReceiveRule, values: Values) -> Open:
    """Read what a rule asks for that is decided later.

    Raises
    ------
    Impossible
        If it cannot be read.
    """
    paths = () if rule.if_ is None else rule.if_.paths()
    try:
        return Open(rule, {path: values(path) for path in paths})
    except Undecidable as error:
        raise Impossible(f"{rule.name}: {error}") from None


def _holds(rule: ReceiveRule, facts: Facts) -> bool:
    try:
        return rule.if_ is None or rule.if_.holds(facts)
    except Undecidable as error:
        raise Impossible(f"{rule.name}: {error}") from None


def _facts(values: Values, source: Source, now: datetime) -> Facts:
    return Facts(Level.INSTANCE, "", values, now, (source,))


def _reader(instance: Instance) -> Values:
    """Return what reads the values of an instance, each element once."""
    known: dict[Path, tuple[str, ...]] = {}

    def values(path: Path) -> tuple[str, ...]:
        if path not in known:
            try:
                found = header_of(instance, [path]).strings(path)
            except DicomError as error:
                raise Undecidable(f"{path} cannot be read: {error}") from None
            known[path] = tuple(value for value in found if value)
        return known[path]

    return values


def _filled(path: Path, written: Template | int | float, values: Values) -> str | int | float:
    """Return a new value.

    Raises
    ------
    Undecidable
        If an element cannot be read.
    ValueError
        If all that a template asks for is empty, or the value is no UID where one is needed.
    """
    if not isinstance(written, Template):
        return written
    if written.paths and not any(values(asked) for asked in written.paths):
        raise ValueError(f"{', '.join(map(str, written.paths))} has no value")
    text = written.fill(values)
    if dictionary_vr(path.tag) == "UI" and text and not is_uid(text):
        raise ValueError("the new value is no UID")
    return text


def is_uid(text: str) -> bool:
    """Tell whether a text is a UID (PS3.5 9.1)."""
    return len(text) <= _LONGEST_UID and _UID.fullmatch(text) is not None


def _mapped(table: Table, element: Element) -> Replace | None:
    found = element.strings
    new = tuple(table.get(value, value) for value in found)
    return None if new == found else Replace(new)
