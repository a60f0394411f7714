"""Which elements refer to other objects, and which never do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from pydicom._uid_dict import UID_dictionary
from pydicom.datadict import keyword_dict

from curator.dicom.errors import Malformed
from curator.dicom.site import Site, SiteItem
from curator.dicom.tags import SOP_INSTANCE_UID, Tag, dictionary_vr, tag_for_keyword, tag_text

STUDY_INSTANCE_UID = tag_for_keyword("StudyInstanceUID")
SERIES_INSTANCE_UID = tag_for_keyword("SeriesInstanceUID")
REFERENCED_SOP_CLASS_UID = tag_for_keyword("ReferencedSOPClassUID")
REFERENCED_SOP_INSTANCE_UID = tag_for_keyword("ReferencedSOPInstanceUID")
REFERENCED_SERIES = tag_for_keyword("ReferencedSeriesSequence")
REFERENCED_INSTANCES = tag_for_keyword("ReferencedInstanceSequence")
OTHER_STUDIES = tag_for_keyword("StudiesContainingOtherReferencedInstancesSequence")
DIGITAL_SIGNATURES = tag_for_keyword("DigitalSignaturesSequence")
RT_STUDIES = tag_for_keyword("RTReferencedStudySequence")

OWN_IDENTIFIERS = (SOP_INSTANCE_UID, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID)
"""At top level these are the object's own, ascending."""

STUDY_LISTS = frozenset({tag_for_keyword("ReferencedStudySequence"), RT_STUDIES})
"""Sequences in which Referenced SOP Instance UID is a Study Instance UID (PS3.3 C.8.8.5)."""

SIGNATURES = frozenset({DIGITAL_SIGNATURES, tag_for_keyword("MACParametersSequence")})
"""What no longer holds once anything around it has changed (PS3.3 C.12.1.1.3)."""

PAST = frozenset(
    map(tag_for_keyword, ("OriginalAttributesSequence", "EncryptedAttributesSequence"))
)
"""Sequences that record what was (PS3.3 C.12.1.1.4, C.12.1.1.9)."""

WITH_A_ROLE = frozenset(map(tag_for_keyword, ("BlendingSequence", "AdvancedBlendingSequence")))
"""Lists whose items say more than where instances are: two of the same study stay two."""

BULK = 0x7FE00000
"""Pixel data; only padding and signatures come after it."""

_NEVER = re.compile(
    r"SOPClass|ClassUID|TransferSyntax|CodingScheme|ContextUID|MappingResource|Template"
    r"|FrameOfReference|DeviceUID|Creator|SpecimenUID|RetrieveLocation|Repository|HomeCommunity"
)

UNREFERRING = frozenset(
    tag
    for keyword, tag in keyword_dict.items()
    if _NEVER.search(keyword) and dictionary_vr(Tag(tag)) == "UI"
)
"""UIDs of classes, encodings, codes, frames of reference, makers, things and places."""

_NOT_STORED = frozenset(
    uid
    for uid, (name, kind, *_) in UID_dictionary.items()
    if kind.endswith("SOP Class")
    and name
    and ("Storage" not in name or "Storage Commitment" in name)
)
"""Classes of the standard that are services, not objects in an archive (PS3.6 A)."""

_DETACHED = "1.2.840.10008.3.1.2."
"""Root of the classes of patient, visit, study, procedure step and results management."""


def is_stored(sop_class_uid: str) -> bool:
    """Tell whether instances of a class are objects in an archive (PS3.4 B.5); yes if unknown."""
    return sop_class_uid not in _NOT_STORED and not sop_class_uid.startswith(_DETACHED)


def uid_of(site: Site, tag: int) -> bytes:
    """Return a UID of a level without padding, empty where absent."""
    return site.raw(tag).strip(b" \0") if tag in site.tags else b""


def is_entered(site: Site, tag: int) -> bool:
    """Tell whether an element is a sequence in which references are looked for."""
    if tag in PAST or tag in SIGNATURES or tag >= BULK:
        return False
    vr = site.vr(tag)
    return vr == "SQ" or (vr == "UN" and (site.is_delimited(tag) or site.known_vr(tag) == "SQ"))


def entered(site: Site, tag: int) -> Iterator[tuple[SiteItem, Site]]:
    """Yield the items of a sequence with their levels; to be used :func:`within` it."""
    for item in site.items(tag):
        yield item, item.enter()


@contextmanager
def within(tag: int) -> Iterator[None]:
    """Let an error in the items of a sequence say so."""
    try:
        yield
    except Malformed as problem:
        raise problem.within(tag_text(Tag(tag))) from None
