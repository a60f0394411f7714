"""Clean graphics: annotations of presentation states, overlays, curves (PS3.15 E.3.3).

Annotations keep their drawings; their texts lose identifiers, and go where nothing is left. An
overlay is a bitmap that may show text. The overlay of a region of interest (type R, PS3.3 C.9.2)
is kept, since it marks pixels; one of graphics (type G) is removed, as nobody can tell what it
shows. Curves are removed.
"""

from __future__ import annotations

from collections.abc import Callable

from curator.anonymize.decision import Action, Decision
from curator.anonymize.walk import Above, Walk
from curator.dicom.changes import ItemFate, Removed
from curator.dicom.errors import DicomError
from curator.dicom.site import Changes, Site
from curator.dicom.tags import Tag, tag_for_keyword

ANNOTATIONS = tag_for_keyword("GraphicAnnotationSequence")
_TEXTS = tag_for_keyword("TextObjectSequence")
_TEXT = tag_for_keyword("UnformattedTextValue")
_DRAWINGS = tuple(map(tag_for_keyword, ("GraphicObjectSequence", "CompoundGraphicSequence")))

_OVERLAYS = range(0x6000, 0x6100, 2)
_TYPE, _DATA, _COMMENTS = 0x0040, 0x3000, 0x4000
_ALL_DATA = frozenset(group << 16 | _DATA for group in _OVERLAYS)
_REGION_OF_INTEREST = b"R"

_CLEAN = Decision(Action.CLEAN_TEXT, "Option CleanGraphics")


def changed(site: Site, tag: int, above: Above, walk: Walk) -> bytes | None:
    """Return graphics cleaned, see :data:`.walk.Handler`."""
    group, element = tag >> 16, tag & 0xFFFF
    if tag == ANNOTATIONS:
        return _annotations(site, tag, above, walk)
    if group in _OVERLAYS and element == _COMMENTS:
        return walk.done(site, tag, above, _CLEAN)
    if group in _OVERLAYS and element == _DATA and is_region_of_interest(site, group):
        return None
    walk.note(site, tag, Decision(Action.REMOVE, _CLEAN.reason), b"")
    return b""


def is_region_of_interest(site: Site, group: int) -> bool:
    """Tell whether the overlay of a group marks a region of interest (PS3.3 C.9.2.1.2)."""
    tag = group << 16 | _TYPE
    return tag in site.tags and site.raw(tag).strip(b" \0").upper() == _REGION_OF_INTEREST


def without_orphans(site: Site, changes: dict[int, bytes]) -> dict[int, bytes]:
    """Return `changes` with overlays that lose their data removed as a whole (PS3.3 C.9.2)."""
    lost = {tag >> 16 for tag in _ALL_DATA & changes.keys() if not changes[tag]}
    if not lost:
        return changes
    return changes | {tag: b"" for tag in site.tags if tag >> 16 in lost}


def _annotations(site: Site, tag: int, above: Above, walk: Walk) -> bytes | None:
    within = (*above, tag)

    def annotation(inner: Site) -> Changes | Removed:
        changes = walk.level(inner, within)
        if _TEXTS in inner.tags:
            changes.pop(_TEXTS, None)
            new = _texts(inner, within, walk)
            if new is not None:
                changes[_TEXTS] = new
        drawn = any(tag in inner.tags and changes.get(tag) != b"" for tag in _DRAWINGS)
        written = _TEXTS in inner.tags and changes.get(_TEXTS) != b""
        return changes if drawn or written else ItemFate.REMOVED

    return _sequence(site, tag, annotation, walk)


def _texts(site: Site, above: Above, walk: Walk) -> bytes | None:
    within = (*above, _TEXTS)

    def text(inner: Site) -> Changes | Removed:
        if _TEXT in inner.tags and not _is_left(inner, walk):
            walk.note(inner, _TEXT, Decision(Action.REMOVE, _CLEAN.reason), b"")
            return ItemFate.REMOVED
        changes = walk.level(inner, within)
        if _TEXT in inner.tags:
            changes.pop(_TEXT, None)
            new = walk.done(inner, _TEXT, within, _CLEAN)
            if new is not None:
                changes[_TEXT] = new
        return changes

    return _sequence(site, _TEXTS, text, walk)


def _is_left(site: Site, walk: Walk) -> bool:
    """Tell whether anything is left of a text object."""
    try:
        return bool(walk.cleaner.clean(site.element(Tag(_TEXT)).text))
    except DicomError:
        return False  # no text in its character set: nobody can tell what it says


def _sequence(
    site: Site, tag: int, change: Callable[[Site], Changes | Removed], walk: Walk
) -> bytes | None:
    """Return a sequence with its items changed; empty where none is left."""
    left = 0

    def counted(inner: Site) -> Changes | Removed:
        nonlocal left
        changes = change(inner)
        left += changes is not ItemFate.REMOVED
        return changes

    new = walk.entered(site, tag, counted)
    return new if left or new is None else b""
