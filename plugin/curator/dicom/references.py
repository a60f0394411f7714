"""Find and repair what refers to instances that an operation has moved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from curator.dicom.nesting import top_changes
from curator.dicom.referring import (
    BULK,
    DIGITAL_SIGNATURES,
    OTHER_STUDIES,
    OWN_IDENTIFIERS,
    PAST,
    REFERENCED_SERIES,
    REFERENCED_SOP_CLASS_UID,
    REFERENCED_SOP_INSTANCE_UID,
    SERIES_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    STUDY_LISTS,
    entered,
    is_entered,
    is_stored,
    uid_of,
    within,
)
from curator.dicom.site import Changes, Site
from curator.dicom.tags import Tag, tag_text
from curator.dicom.uidmap import Place, UidMap, uids_in

__all__ = ["Kind", "Place", "Reference", "UidMap", "is_signed", "mentions", "references", "repairs"]


class Kind(StrEnum):
    """What a reference names."""

    STUDY = "Study"
    SERIES = "Series"
    INSTANCE = "Instance"


@dataclass(frozen=True, slots=True)
class Reference:
    """A UID inside an object that names another one.

    Parameters
    ----------
    element : int
        Tag of the top-level element it is in.
    path : str
        Where it stands: keywords with the numbers of items, hexadecimal where there is no keyword.
    kind : Kind
        What it names.
    uid : str
        The UID.
    sop_class_uid : str
        Referenced SOP Class UID beside it, empty where there is none.
    """

    element: int
    path: str
    kind: Kind
    uid: str
    sop_class_uid: str


def references(site: Site) -> tuple[Reference, ...]:
    """Return what an object refers to, in the order in which it stands there.

    That is every Study and Series Instance UID and Referenced SOP Instance UID in its sequences,
    but none of what never is an object in an archive, such as a performed procedure step, and none
    in Original Attributes Sequence.

    Parameters
    ----------
    site : Site
        The top level of the object.

    Raises
    ------
    Malformed, TooDeep
        If a sequence cannot be read for certain.
    """
    return tuple(
        reference
        for tag in site.tags
        if is_entered(site, tag)
        for reference in _in_sequence(site, tag, tag, "")
    )


def _in_sequence(site: Site, tag: int, element: int, path: str) -> Iterator[Reference]:
    with within(tag):
        for index, (_, item) in enumerate(entered(site, tag)):
            inside = f"{path}{tag_text(Tag(tag))}[{index}]."
            for inner in item.tags:
                if inner in _KINDS:
                    yield from _named(item, inner, tag, element, inside)
                elif is_entered(item, inner):
                    yield from _in_sequence(item, inner, element, inside)


_KINDS: dict[int, Kind] = {
    STUDY_INSTANCE_UID: Kind.STUDY,
    SERIES_INSTANCE_UID: Kind.SERIES,
    REFERENCED_SOP_INSTANCE_UID: Kind.INSTANCE,
}


def _named(item: Site, tag: int, holder: int, element: int, path: str) -> Iterator[Reference]:
    kind = _KINDS[tag]
    sop_class_uid = _text(uid_of(item, REFERENCED_SOP_CLASS_UID))
    if kind is Kind.INSTANCE and holder in STUDY_LISTS:
        kind = Kind.STUDY
    elif kind is Kind.INSTANCE and not is_stored(sop_class_uid):
        return
    uid = _text(uid_of(item, tag))
    if uid:
        yield Reference(element, f"{path}{tag_text(Tag(tag))}", kind, uid, sop_class_uid)


def _text(raw: bytes) -> str:
    return raw.decode("utf_8", "replace")


def repairs(site: Site, uids: UidMap, study_instance_uid: str | None = None) -> Changes:
    """Return the changes that let an object refer to where instances are now.

    Its own Study, Series and SOP Instance UID are left alone. What changes loses its digital
    signatures, which do not hold any more.

    Parameters
    ----------
    site : Site
        The top level of the object.
    uids : UidMap
        What has moved.
    study_instance_uid : str, optional
        The study that the object itself is going to be in; by default the one it is in.

    Returns
    -------
    Changes
        By tag; nothing where the object refers to nothing that has moved.

    Raises
    ------
    Malformed, TooDeep
        If a sequence cannot be read for certain.
    UnsupportedInstance
        If references that belong together are encoded in different ways.
    """
    old = uid_of(site, STUDY_INSTANCE_UID)
    new = (study_instance_uid or "").encode("utf_8") or old
    refiled = old != new and not _FILED.isdisjoint(site.tags)
    if not refiled and not uids.encoded.mentioned(site.stretches(_SILENT, BULK)):
        return {}
    return top_changes(site, uids.encoded, old, new)


def mentions(site: Site) -> frozenset[bytes]:
    """Return what may be a UID anywhere in an object, but for its own identifiers and its past."""
    return uids_in(site.stretches(_SILENT, BULK))


_SILENT = (*OWN_IDENTIFIERS, *sorted(PAST))
"""What names no other object, ascending."""

_FILED = {REFERENCED_SERIES, OTHER_STUDIES}
"""What says of which study it is, seen from that of the object."""


def is_signed(site: Site) -> bool:
    """Tell whether a data set has digital signatures (PS3.3 C.12.1.1.3)."""
    return DIGITAL_SIGNATURES in site.tags
