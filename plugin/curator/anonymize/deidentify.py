"""Walk the levels of an instance and carry out what its profile decides.

Everything that is the same for many instances is kept: decisions by tag and VR, and for one subject
what became of a value. What is not concerned is neither decoded nor copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from curator.anonymize.decision import Action, Decision
from curator.anonymize.notes import Notes
from curator.anonymize.profile import Rule
from curator.anonymize.resolve import Resolver
from curator.anonymize.steps import Kind, Known, Step, Steps, step_for
from curator.anonymize.subject import Subject
from curator.anonymize.text import TextCleaner, cleaned, cleaner_of
from curator.anonymize.values import Values
from curator.anonymize.walk import Above, Handler, ItemChange, Lookup
from curator.dicom.changes import ItemFate, Removed, sequence_of
from curator.dicom.edits import Drop, Edit, ItemValues, Replace, ReplaceEncoded
from curator.dicom.element import Element
from curator.dicom.encode import encode_element, encode_replacement
from curator.dicom.errors import DoesNotFit, EncodingError, Malformed, UnsupportedValue
from curator.dicom.site import Changes, Site, SiteItem
from curator.dicom.tags import PrivateTag, Tag, tag_text

_FIRST_PRIVATE = 0x1000

_MOST_SUBJECTS: Final = 32
_MOST_VALUES: Final = 8192
_LONGEST: Final = 256
"""Bytes of a value that is remembered."""

_UNKNOWN: Final = object()

_Results = dict[tuple[Step, bytes], bytes | None]
"""What became of which value: the encoded new element, as :meth:`.Walk.done` returns it."""


class Deidentification:
    """A profile being carried out, on as many instances as there are.

    Parameters
    ----------
    resolver : Resolver
        Decides on elements.
    values : Values
        Makes new values.
    handlers : mapping of Action to Handler
        What changes elements that need more than a new value.
    documents : Handler
        What replaces an encapsulated document.
    """

    def __init__(
        self,
        resolver: Resolver,
        values: Values,
        handlers: Mapping[Action, Handler],
        documents: Handler,
    ) -> None:
        self.resolver = resolver
        self.values = values
        self.handlers = handlers
        self.documents = documents
        self._steps: dict[tuple[str, frozenset[int], bool], Steps] = {}
        self._results: dict[Subject, dict[object, _Results]] = {}

    def steps(self, sop_class_uid: str, holding: frozenset[int], without_icons: bool) -> Steps:
        """Return the steps for the instances of one kind."""
        key = (sop_class_uid, holding, without_icons)
        steps = self._steps.get(key)
        if steps is None:
            if len(self._steps) >= _MOST_SUBJECTS:
                self._steps.clear()
            steps = Steps(self.resolver, sop_class_uid, holding, without_icons)
            self._steps[key] = steps
        return steps

    def results(self, subject: Subject) -> dict[object, _Results]:
        """Return what became of the values of one subject, by encoding."""
        results = self._results.get(subject)
        if results is None:
            if len(self._results) >= _MOST_SUBJECTS:
                self._results.clear()
            results = self._results[subject] = {}
        return results


@dataclass(frozen=True, slots=True)
class _Level:
    """Where the walk is: a level, what is above, and what is known about it."""

    site: Site
    above: Above
    cleaning: bool
    known: Known
    results: _Results


class InstanceWalk:
    """The walk over one instance, see :class:`.Walk`.

    Parameters
    ----------
    profile : Deidentification
        The profile being carried out.
    steps : Steps
        What happens in an instance of this kind.
    subject : Subject
        Whom it is about.
    lookup : Lookup
        Reads the original instance.
    notes : Notes
        Takes down what is done.
    appended : mapping of int to tuple of item values
        New items of sequences of the top level.
    """

    def __init__(
        self,
        profile: Deidentification,
        steps: Steps,
        subject: Subject,
        lookup: Lookup,
        notes: Notes,
        appended: Mapping[int, tuple[ItemValues, ...]],
    ) -> None:
        self.resolver = profile.resolver
        self.values = profile.values
        self.subject = subject
        self.lookup = lookup
        self.notes = notes
        self._appended = appended
        self._profile = profile
        self._steps = steps
        self._results = profile.results(subject)

    @property
    def cleaner(self) -> TextCleaner:
        """Removes the identifiers of the subject from text; made where there is text to clean."""
        return cleaner_of(self.subject)

    def level(self, site: Site, above: Above) -> dict[int, bytes]:
        """Return what changes at a level and below, each element by its decision."""
        return self._changes(self._at(site, above))

    def decided(self, site: Site, tag: int, above: Above) -> Decision:
        """Return what the profile decides on a present element."""
        return self._steps.decided(site, tag, above, cleaning=False)

    def done(self, site: Site, tag: int, above: Above, decision: Decision) -> bytes | None:
        """Return a present element with a decision carried out, and note it."""
        step = step_for(site, tag, decision)
        if step is None:
            return None
        level = replace(self._at(site, above), results={})
        new = self._carried_out(level, tag, step)
        self._note(level, tag, step, new)
        return new

    def entered(
        self, site: Site, tag: int, change: ItemChange, appended: tuple[ItemValues, ...] = ()
    ) -> bytes | None:
        """Return a present sequence with `change` applied to each item, and `appended` to it."""

        def changed(index: int, item: SiteItem) -> tuple[Site, Changes] | Removed:
            inner = item.enter()
            with self._in_item(tag, index):
                changes = change(inner)
            return ItemFate.REMOVED if changes is ItemFate.REMOVED else (inner, changes)

        return sequence_of(site, tag, changed, appended)

    def note(self, site: Site, tag: int, decision: Decision, after: bytes | None) -> None:
        """Count and explain what has been done to an element other than by :meth:`done`."""
        step = step_for(site, tag, decision)
        if step is not None and after is not None:
            self.notes.done(site, tag, step, after)

    @contextmanager
    def _in_item(self, tag: int, index: int) -> Iterator[None]:
        self.notes.path.append(f"{tag_text(Tag(tag))}[{index}]")
        try:
            yield
        finally:
            self.notes.path.pop()

    def _at(self, site: Site, above: Above, *, cleaning: bool = False) -> _Level:
        encoding = site.encoding
        key = encoding.explicit, encoding.order, encoding.charset
        results = self._results.setdefault(key, {})
        if len(results) >= _MOST_VALUES:
            results.clear()
        return _Level(site, above, cleaning, self._steps.at(above, cleaning), results)

    def _changes(self, level: _Level) -> dict[int, bytes]:
        site, known = level.site, level.known
        changes: dict[int, bytes] = {}
        private: list[tuple[int, bytes]] = []
        explaining, steps = self.notes.explaining, self.notes.steps
        for tag, head in zip(site.tags, site.heads(), strict=True):
            step = known.get(head, _UNKNOWN)
            if step is None:
                continue
            if not isinstance(step, Step):
                step = self._steps.found(site, tag, level.above, level.cleaning)
                known[head] = step
                if step is None:
                    continue
            if step.kind is Kind.PRIVATE:
                private.append((tag, head))
                continue
            if step.kind is Kind.REMOVE and not explaining:
                changes[tag] = b""
                steps.append(step)
                continue
            new = self._carried_out(level, tag, step)
            if new is not None:
                changes[tag] = new
                self._note(level, tag, step, new)
        if private:
            self._change_private(level, private, changes)
        return changes

    def _change_private(
        self, level: _Level, private: list[tuple[int, bytes]], changes: dict[int, bytes]
    ) -> None:
        """Change the private elements of a level; a Private Creator stays with what it is for."""
        site = level.site
        creators = {
            group << 16 | block: creator
            for group in {tag >> 16 for tag, _ in private}
            for block, creator in site.private_blocks(group)
        }
        in_use: set[int] = set()
        known, steps, explaining = level.known, self.notes.steps, self.notes.explaining
        for tag, head in private:
            if tag in creators:
                continue
            reserving = site.reserving(tag)
            creator = creators.get(reserving) if tag & 0xFFFF >= _FIRST_PRIVATE else None
            step = known.get((head, creator))
            if step is not None and step.kind is Kind.REMOVE and not explaining:
                changes[tag] = b""
                steps.append(step)
                continue
            new = self._private(level, tag, head, creator)
            if new is not None:
                changes[tag] = new
            if new != b"":
                in_use.add(reserving)
                self.notes.kept_private[str(_private_tag(tag, creator))] = None
        for tag in creators.keys() - in_use:
            changes[tag] = b""

    def _private(self, level: _Level, tag: int, head: bytes, creator: str | None) -> bytes | None:
        key = head, creator
        step = level.known.get(key, _UNKNOWN)
        if step is None:
            return None
        if not isinstance(step, Step):
            step = self._steps.found_private(level.site, tag, level.above, level.cleaning)
            level.known[key] = step
            if step is None:
                return None
        new = self._carried_out(level, tag, step)
        if new is not None:
            self._note(level, tag, step, new)
        return new

    def _note(self, level: _Level, tag: int, step: Step, new: bytes | None) -> None:
        if new is not None and step.kind not in _UNCOUNTED:
            self.notes.done(level.site, tag, step, new)

    def _carried_out(self, level: _Level, tag: int, step: Step) -> bytes | None:
        kind = step.kind
        if kind is Kind.REMOVE or kind is Kind.DISSOLVE:
            return b""
        if kind is Kind.UID:
            return self._mapped(level, tag)
        if kind is Kind.EDIT or kind is Kind.TEXT:
            return self._remembered(level, tag, step)
        return _WAYS[kind](self, level, tag, step)

    def _mapped(self, level: _Level, tag: int) -> bytes | None:
        site = level.site
        raw = site.raw(tag)
        new = self.values.uid_raw(raw)
        return None if new == raw else encode_element(tag, "UI", new, site.encoding)

    def _remembered(self, level: _Level, tag: int, step: Step) -> bytes | None:
        raw = level.site.raw(tag)
        found = level.results.get((step, raw), _UNKNOWN)
        if found is None or isinstance(found, bytes):
            return found
        new = self._valued(level, tag, step, raw)
        if len(raw) <= _LONGEST:
            level.results[step, raw] = new
        return new

    def _templated(self, level: _Level, tag: int, step: Step) -> bytes | None:
        """Return an element whose new value may be made of others of the instance."""
        if _is_constant(step.decision.rule):
            self.notes.on_purpose.append(self.notes.path_of(tag))
        return self._valued(level, tag, step, level.site.raw(tag))

    def _valued(self, level: _Level, tag: int, step: Step, raw: bytes) -> bytes | None:
        """Return an element with the new value that its action makes of it."""
        site, encoding = level.site, level.site.encoding
        if site.is_delimited(tag) and step.vr != "SQ":
            raise UnsupportedValue(f"{tag_text(Tag(tag))} is encapsulated and takes no new value")
        element = Element(Tag(tag), step.vr, raw, encoding.charset, encoding.order)
        edit = self._edit(element, step)
        if isinstance(edit, Drop):
            return b""
        if not isinstance(edit, Replace | ReplaceEncoded):
            return None
        wanted = None if isinstance(edit, ReplaceEncoded) else edit.vr or step.vr
        vr, value = encode_replacement(tag, edit, encoding, wanted)
        if value == raw and vr == step.vr:
            return None
        return encode_element(tag, vr, value, encoding)

    def _edit(self, element: Element, step: Step) -> Edit:
        if step.kind is Kind.TEXT:
            return self._cleaned(element, step)
        return self.values.edit(step.decision, element, self.subject, self.lookup)

    def _cleaned(self, element: Element, step: Step) -> Edit:
        """Return text without identifiers; a dummy where nothing would be left, or nobody can read.

        The element may be one that must not be empty.
        """
        try:
            edit = cleaned(element, self.cleaner)
            emptied = isinstance(edit, Replace) and edit.values in ("", ()) and element.text
        except DoesNotFit:
            raise
        except EncodingError:
            emptied = "unreadable"
        if not emptied:
            return edit
        dummy = Decision(Action.DUMMY, step.decision.reason, step.decision.rule)
        return self.values.edit(dummy, element, self.subject, self.lookup)

    def _encrypted(self, level: _Level, tag: int, step: Step) -> bytes | None:
        """Return what stands for an element in the clear, and note the element for encryption."""
        self.notes.encrypted[level.above[0] if level.above else tag] = None
        instead = step.decision.instead or Decision(Action.REMOVE, step.decision.reason)
        stand_in = step_for(level.site, tag, instead)
        return None if stand_in is None else self._carried_out(level, tag, stand_in)

    def _handled(self, level: _Level, tag: int, step: Step) -> bytes | None:
        handler = self._profile.handlers.get(step.decision.action, self._profile.documents)
        return handler(level.site, tag, level.above, self)

    def _permitted(self, _level: _Level, tag: int, _step: Step) -> None:
        self.notes.on_purpose.append(self.notes.path_of(tag))

    def _items(self, level: _Level, tag: int, step: Step) -> bytes | None:
        above = (*level.above, tag)
        cleaning = level.cleaning or step.kind is Kind.CLEAN_ITEMS
        appended = () if level.above else self._appended.get(tag, ())

        def change(inner: Site) -> Changes:
            return self._changes(self._at(inner, above, cleaning=cleaning))

        return self.entered(level.site, tag, change, appended)

    def _items_if_any(self, level: _Level, tag: int, step: Step) -> bytes | None:
        """Return the items of a value of unknown VR, which is left alone where it has none."""
        site = level.site
        if not site.is_delimited(tag) and not _has_items(site, tag):
            return None
        return self._items(level, tag, step)


def _has_items(site: Site, tag: int) -> bool:
    try:
        return len([item.enter() for item in site.items(tag)]) > 0
    except Malformed:
        return False


def _is_constant(rule: Rule | None) -> bool:
    """Tell whether a new value has nothing of the instance in it."""
    return rule is not None and "{" not in str(rule.value)


def _private_tag(tag: int, creator: str | None) -> PrivateTag:
    return PrivateTag(tag >> 16, creator or "", tag & 0xFF)


_UNCOUNTED = frozenset(
    {
        *(Kind.DISSOLVE, Kind.PERMIT, Kind.HANDLE),
        *(Kind.ENTER, Kind.ENTER_IF_SEQUENCE, Kind.CLEAN_ITEMS),
    }
)
"""Steps that change nothing themselves, or nothing that anybody asks for, or take notes."""

_WAYS: Mapping[Kind, Callable[[InstanceWalk, _Level, int, Step], bytes | None]] = {
    Kind.ENTER: InstanceWalk._items,
    Kind.CLEAN_ITEMS: InstanceWalk._items,
    Kind.ENTER_IF_SEQUENCE: InstanceWalk._items_if_any,
    Kind.TEMPLATE: InstanceWalk._templated,
    Kind.ENCRYPT: InstanceWalk._encrypted,
    Kind.HANDLE: InstanceWalk._handled,
    Kind.PERMIT: InstanceWalk._permitted,
}
