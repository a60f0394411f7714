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
from curator.anonymize.layouts import Layouts
from curator.anonymize.notes import Notes
from curator.anonymize.profile import Rule
from curator.anonymize.resolve import Resolver
from curator.anonymize.steps import Kind, Step, Steps, step_for
from curator.anonymize.subject import Subject
from curator.anonymize.text import TextCleaner, cleaned, cleaner_of
from curator.anonymize.uids import looks_like_uids
from curator.anonymize.values import Values
from curator.anonymize.walk import Above, Handler, ItemChange, Lookup
from curator.dicom.changes import ItemFate, Removed, sequence_of
from curator.dicom.edits import Drop, Edit, ItemValues, Replace, ReplaceEncoded
from curator.dicom.element import Element
from curator.dicom.encode import Encoding, encode_element, encode_replacement
from curator.dicom.errors import DoesNotFit, EncodingError, Malformed, UnsupportedValue
from curator.dicom.site import Changes, Site, SiteItem
from curator.dicom.tags import Tag, dictionary_vr, tag_text

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
        self._layouts: dict[tuple[str, frozenset[int], bool], Layouts] = {}
        self._results: dict[Subject, dict[object, _Results]] = {}

    def layouts(self, sop_class_uid: str, holding: frozenset[int], without_icons: bool) -> Layouts:
        """Return what happens in the instances of one kind."""
        key = (sop_class_uid, holding, without_icons)
        layouts = self._layouts.get(key)
        if layouts is None:
            if len(self._layouts) >= _MOST_SUBJECTS:
                self._layouts.clear()
            layouts = Layouts(Steps(self.resolver, sop_class_uid, holding, without_icons))
            self._layouts[key] = layouts
        return layouts

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
    results: _Results


class InstanceWalk:
    """The walk over one instance, see :class:`.Walk`.

    Parameters
    ----------
    profile : Deidentification
        The profile being carried out.
    layouts : Layouts
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
        layouts: Layouts,
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
        self._layouts = layouts
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
        return self._layouts.steps.decided(site, tag, above, cleaning=False)

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

    def given(self, site: Site, tag: Tag, decision: Decision) -> bytes | None:
        """Return an absent element of the top level with the value of a rule, and note it."""
        encoding = site.encoding
        counted = decision.action, tag_text(tag)
        step = Step(dictionary_vr(tag), decision, Kind.TEMPLATE, counted)
        element = Element(tag, step.vr, b"", encoding.charset, encoding.order)
        new = self._edited(element, step, encoding)
        if new is not None:
            self._permit_constant(tag, step)
            self.notes.added(site, tag, step, new)
        return new

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
        return _Level(site, above, cleaning, results)

    def _changes(self, level: _Level) -> dict[int, bytes]:
        notes = self.notes
        layout = self._layouts.of(level.site, level.above, level.cleaning)
        if notes.explaining:
            changes, todo = {}, layout.every
        else:
            changes, todo = dict(layout.removed), layout.others
            notes.removed.append(layout.counts)
        in_use: set[int] = set()
        for planned in todo:
            tag, step = planned.tag, planned.step
            new = None if step is None else self._carried_out(level, tag, step)
            if step is not None and new is not None:
                changes[tag] = new
                self._note(level, tag, step, new)
            if planned.reserving is not None and new != b"":
                in_use.add(planned.reserving)
                notes.kept_private[planned.name] = None
        for tag in layout.creators - in_use:
            changes[tag] = b""
        return changes

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
        self._permit_constant(tag, step)
        return self._valued(level, tag, step, level.site.raw(tag))

    def _permit_constant(self, tag: int, step: Step) -> None:
        if _is_constant(step.decision.rule):
            self.notes.on_purpose.append(self.notes.path_of(tag))

    def _valued(self, level: _Level, tag: int, step: Step, raw: bytes) -> bytes | None:
        """Return an element with the new value that its action makes of it."""
        site, encoding = level.site, level.site.encoding
        if site.is_delimited(tag) and step.vr != "SQ":
            raise UnsupportedValue(f"{tag_text(Tag(tag))} is encapsulated and takes no new value")
        return self._edited(
            Element(Tag(tag), step.vr, raw, encoding.charset, encoding.order), step, encoding
        )

    def _edited(self, element: Element, step: Step, encoding: Encoding) -> bytes | None:
        edit = self._edit(element, step)
        if isinstance(edit, Drop):
            return b""
        if not isinstance(edit, Replace | ReplaceEncoded):
            return None
        wanted = None if isinstance(edit, ReplaceEncoded) else edit.vr or step.vr
        vr, value = encode_replacement(element.tag, edit, encoding, wanted)
        if value == element.raw and vr == step.vr:
            return None
        return encode_element(element.tag, vr, value, encoding)

    def _edit(self, element: Element, step: Step) -> Edit:
        if step.kind is Kind.TEXT:
            return self._cleaned(element, step)
        decision = step.decision
        edit = self.values.edit(decision, element, self.subject, self.lookup)
        if decision.least is None or not _falls_short(edit, decision.least, element):
            return edit
        least = Decision(decision.least, decision.reason, decision.rule)
        return self.values.edit(least, element, self.subject, self.lookup)

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
        """Return a value of unknown VR with its items changed, or mapped where it is a UID."""
        site = level.site
        if not site.is_delimited(tag) and not _has_items(site, tag):
            return self._mapped_if_uid(site, tag)
        return self._items(level, tag, step)

    def _mapped_if_uid(self, site: Site, tag: int) -> bytes | None:
        raw = site.raw(tag)
        if not looks_like_uids(raw) or self.resolver.by_vr("UI").action is not Action.UID:
            return None
        new = self.values.uid_raw(raw)
        return None if new == raw else encode_element(tag, "UN", new, site.encoding)


def _falls_short(edit: Edit, least: Action, element: Element) -> bool:
    """Tell whether an edit leaves nothing where something, or some value, has to be."""
    if least is Action.EMPTY or not element.raw.strip(b" \0"):
        return isinstance(edit, Drop)
    if isinstance(edit, ReplaceEncoded):
        return not edit.raw.strip(b" \\")
    return isinstance(edit, Drop) or (isinstance(edit, Replace) and edit.values in ("", ()))


def _has_items(site: Site, tag: int) -> bool:
    try:
        return len([item.enter() for item in site.items(tag)]) > 0
    except Malformed:
        return False


def _is_constant(rule: Rule | None) -> bool:
    """Tell whether a new value has nothing of the instance in it."""
    return rule is not None and "{" not in str(rule.value)


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
