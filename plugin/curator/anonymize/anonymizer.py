"""Anonymize one instance after another with one profile."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from curator.anonymize import documents, graphics, residual, structured
from curator.anonymize.decision import Action, Place
from curator.anonymize.deidentify import Deidentification, InstanceWalk
from curator.anonymize.errors import Refused, ResidualIdentifiers
from curator.anonymize.identifiers import MAY_BE_KEPT, Subjects
from curator.anonymize.marks import Marks, step_of
from curator.anonymize.notes import Notes
from curator.anonymize.pixels.plan import UNTOUCHED, PixelPlan
from curator.anonymize.profile import Option, Profile, Residual
from curator.anonymize.resolve import Resolver
from curator.anonymize.result import Anonymized
from curator.anonymize.reversible import ENCRYPTED_ATTRIBUTES, encrypted_item
from curator.anonymize.steps import METHOD_CODES
from curator.anonymize.subject import Subject
from curator.anonymize.values import Values
from curator.anonymize.walk import Lookup
from curator.dicom.changes import sequence_of
from curator.dicom.encode import encode_element, encode_items
from curator.dicom.engine import fitting, opened
from curator.dicom.filemeta import MEDIA_STORAGE_SOP_INSTANCE_UID, MetaPolicy
from curator.dicom.instance import Instance
from curator.dicom.reader import header_of
from curator.dicom.site import Changes, Site
from curator.dicom.tags import (
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    Path,
    Tag,
    dictionary_vr,
    tag_for_keyword,
)

if TYPE_CHECKING:
    from curator.anonymize.pixels.cleaner import PixelCleaner

Native = Callable[[], bytes]
"""Gives an instance decoded to Explicit VR Little Endian."""


class Anonymizer:
    """A profile, ready to be applied.

    Parameters
    ----------
    profile : Profile
        The profile.
    resolver : Resolver
        Decides on elements.
    values : Values
        Makes new values.
    pixels : PixelCleaner or None
        Cleans pixels; None where the profile says nothing about them.
    default_charset : str
        Defined term for instances without Specific Character Set.
    """

    def __init__(
        self,
        profile: Profile,
        resolver: Resolver,
        values: Values,
        pixels: PixelCleaner | None,
        *,
        default_charset: str,
    ) -> None:
        self._profile = profile
        self._resolver = resolver
        self._values = values
        self._pixels = pixels
        self._default_charset = default_charset
        self._subjects = Subjects(_kept(resolver))
        self._marks = Marks(profile, resolver)
        self._deidentification = Deidentification(resolver, values, _HANDLERS, documents.changed)

    def anonymize(
        self, dicom: bytes, *, explain: bool = False, native: Native | None = None
    ) -> Anonymized:
        """Return an instance anonymized.

        Parameters
        ----------
        dicom : bytes
            A DICOM file.
        explain : bool, optional
            Whether every change is explained, with values.
        native : callable, optional
            Gives the same instance decoded to Explicit VR Little Endian; called only where pixels
            have to change and are compressed.

        Raises
        ------
        DicomError
            If the instance cannot be read for certain, or is of a kind that cannot be changed.
        Refused
            If what the profile asks for cannot be done with it, or identifiers of the subject are
            left in the result.
        """
        original = opened(dicom, self._default_charset)
        subject = self._subjects.of(original.site)
        lookup = _lookup(original)
        conditions = self._resolver.conditions.items()
        holding = frozenset(index for index, condition in conditions if condition.holds(lookup))
        plan = self._pixels.plan(original, holding) if self._pixels else UNTOUCHED
        painted = self._painted(original, plan, native)

        def attempt(instance: Instance) -> Anonymized:
            case = _Case(subject, lookup, holding, plan, replace(painted, instance=instance))
            return self._anonymized(case, Notes(explain))

        return fitting(painted.instance, attempt, self._default_charset)

    def _painted(self, original: Instance, plan: PixelPlan, native: Native | None) -> _Painted:
        if self._pixels is None or not plan.changes_pixels:
            return _Painted(original)
        instance = original
        if self._pixels.needs_native(original):
            instance = self._decoded(original, native)
        changes, transfer_syntax = self._pixels.changes(instance, plan)
        return _Painted(instance, changes, transfer_syntax)

    def _decoded(self, original: Instance, native: Native | None) -> Instance:
        """Return the instance with its pixels decoded by somebody else.

        Raises
        ------
        Refused
            If there is nobody to ask, or what comes back is another instance.
        """
        if native is None:
            raise Refused("PixelData", "the pixels are compressed, and nothing decodes them here")
        decoded = opened(native(), self._default_charset)
        if _identity(decoded) != _identity(original):
            raise Refused("PixelData", "what was decoded is not the same instance")
        return decoded

    def _anonymized(self, case: _Case, notes: Notes) -> Anonymized:
        instance, plan = case.painted.instance, case.plan
        site = instance.site
        missing = self._marks.codes_missing(site)
        layouts = self._deidentification.layouts(
            _uid(site, SOP_CLASS_UID), case.holding, plan.changes_pixels
        )
        walk = InstanceWalk(
            self._deidentification,
            layouts,
            case.subject,
            case.lookup,
            notes,
            {METHOD_CODES: missing},
        )
        changes = documents.with_length(site, walk.level(site, ()))
        changes = graphics.without_orphans(site, changes)
        for tag, new in case.painted.changes.items():
            if changes.get(tag) != b"":
                changes[tag] = new
        self._identify(instance, changes)
        self._give(case, walk, changes)
        self._mark(case, notes, changes)
        result = instance.changed(changes, MetaPolicy.REBUILD, case.painted.transfer_syntax)
        return Anonymized(
            result,
            case.subject.key,
            notes.counts(),
            tuple(notes.kept_private),
            plan.rules,
            (*self._warnings(plan), *self._residual(case, changes, result, notes)),
            tuple(notes.explained),
        )

    def _identify(self, instance: Instance, changes: dict[int, bytes]) -> None:
        """Give an instance whose UID is in the File Meta only a new one (PS3.10 7.1)."""
        site = instance.site
        if _uid(site, SOP_INSTANCE_UID):
            return
        _, raw = instance.meta.elements.get(MEDIA_STORAGE_SOP_INSTANCE_UID, ("UI", b""))
        if not raw.strip(b" \0"):
            return
        retained = Option.RETAIN_UIDS in self._resolver.options
        new = raw if retained else self._values.uid_raw(raw)
        changes[SOP_INSTANCE_UID] = encode_element(SOP_INSTANCE_UID, "UI", new, site.encoding)

    def _give(self, case: _Case, walk: InstanceWalk, changes: dict[int, bytes]) -> None:
        """Add what the profile gives a value and the instance does not have, as the core does."""
        site = case.painted.instance.site
        for tag in self._resolver.giving:
            if tag in site.tags or tag in changes:
                continue
            sop_class_uid = _uid(site, SOP_CLASS_UID)
            place = Place(tag, dictionary_vr(tag), None, (), sop_class_uid, case.holding)
            decision = self._resolver.decide(place)
            if decision.action is Action.REPLACE and (new := walk.given(site, tag, decision)):
                changes[tag] = new

    def _mark(self, case: _Case, notes: Notes, changes: dict[int, bytes]) -> None:
        """Add what the instance says of its anonymization, and what is encrypted of it."""
        site = case.painted.instance.site
        marks = self._marks.added(site, changes, cleaned=case.plan.cleaned is True)
        if notes.encrypted:
            marks[ENCRYPTED_ATTRIBUTES] = self._encrypted(site, notes.encrypted, changes)
        for tag, new in marks.items():
            notes.added(site, tag, step_of(tag), new)
            changes[tag] = new

    def _encrypted(self, site: Site, tags: Iterable[int], changes: Changes) -> bytes:
        """Return Encrypted Attributes Sequence with one more item, for what stood at `tags`."""
        originals = {tag: site.encoded(tag) for tag in tags}
        item = encrypted_item(originals, site.encoding, self._profile.recipients)
        if ENCRYPTED_ATTRIBUTES in site.tags and ENCRYPTED_ATTRIBUTES not in changes:
            more = sequence_of(site, ENCRYPTED_ATTRIBUTES, lambda _index, _item: None, (item,))
            return more or b""
        items = encode_items([item], site.encoding)
        return encode_element(ENCRYPTED_ATTRIBUTES, "SQ", items, site.encoding)

    def _warnings(self, plan: PixelPlan) -> tuple[str, ...]:
        if plan.changes_pixels and Option.RETAIN_UIDS in self._resolver.options:
            return (*plan.warnings, "Pixels changed under the UID of the original")
        return plan.warnings

    def _residual(
        self, case: _Case, changes: Changes, result: bytes, notes: Notes
    ) -> tuple[str, ...]:
        """Return warnings about identifiers that are left in the result.

        Raises
        ------
        ResidualIdentifiers
            Where the profile wants a refusal.
        """
        pixels = case.painted.instance.unchanged_end(changes, residual.PIXELS)
        if pixels and not residual.may_be_in(result[:-pixels], case.subject):
            return ()  # without taking the result apart
        written = opened(result, self._default_charset)
        head = result[: written.meta.end]
        found = residual.search(written.site, case.subject, notes.on_purpose, head)
        if found and self._profile.residual == Residual.REFUSE:
            raise ResidualIdentifiers(found)
        return tuple(f"{path}: an identifier of the subject is left" for path in found)


@dataclass(frozen=True, slots=True)
class _Painted:
    """An instance with what changes in its pixels."""

    instance: Instance
    changes: Changes = field(default_factory=dict)
    transfer_syntax: str | None = None


@dataclass(frozen=True, slots=True)
class _Case:
    """What is known about an instance before anything changes."""

    subject: Subject
    lookup: Lookup
    holding: frozenset[int]
    plan: PixelPlan
    painted: _Painted


_HANDLERS = {
    Action.CLEAN_STRUCTURED_CONTENT: structured.changed,
    Action.CLEAN_GRAPHICS: graphics.changed,
}


def _lookup(instance: Instance) -> Lookup:
    found: dict[Path, tuple[str, ...]] = {}

    def values(path: Path) -> tuple[str, ...]:
        if path not in found:
            found[path] = header_of(instance, [path]).strings(path)
        return found[path]

    return values


def _kept(resolver: Resolver) -> frozenset[int]:
    """Return what may identify and is kept, so that it may stand in texts as well."""
    places = (Place(tag, dictionary_vr(Tag(tag))) for tag in MAY_BE_KEPT)
    return frozenset(place.tag for place in places if resolver.decide(place).action is Action.KEEP)


def _uid(site: Site, tag: int) -> str:
    return site.raw(tag).strip(b" \0").decode("latin_1") if tag in site.tags else ""


def _identity(instance: Instance) -> tuple[object, ...]:
    """Return what a decoder leaves as it is: who the instance is, and which elements it has."""
    tags = {tag for tag in instance.site.tags if tag & 0xFFFF and tag >> 16 not in _OF_PIXELS}
    header = header_of(instance, _SAME_DECODED)
    return tags, [header.strings(tag) for tag in _SAME_DECODED]


_OF_PIXELS = (0x0028, 0x7FE0)
_SAME_DECODED = (
    *(SOP_CLASS_UID, SOP_INSTANCE_UID),
    *map(tag_for_keyword, ("NumberOfFrames", "Rows", "Columns", "SamplesPerPixel")),
)
