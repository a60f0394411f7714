"""Read whom an instance is about, before anything of it changes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from enum import Enum, auto

from pydicom.datadict import dictionary_VR, keyword_dict

from curator.anonymize.subject import Subject
from curator.dicom.errors import DicomError
from curator.dicom.referring import SERIES_INSTANCE_UID, STUDY_INSTANCE_UID
from curator.dicom.site import Site
from curator.dicom.tags import SOP_INSTANCE_UID, PrivateTag, parse_tag, tag_for_keyword


class _Kind(Enum):
    NAME = auto()
    PERSON = auto()
    IDENTIFIER = auto()
    REQUEST = auto()
    BIRTH_DATE = auto()
    CONTACT = auto()
    SURROUNDINGS = auto()
    AGE = auto()
    UID = auto()
    SEQUENCE = auto()


_KEYWORDS: Mapping[_Kind, tuple[str, ...]] = {
    # (0010,0011) and (0010,0012): Person Names to Use Sequence and Name to Use
    _Kind.NAME: (
        *("PatientName", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName"),
        *("ResponsiblePerson", "00100012"),
    ),
    _Kind.IDENTIFIER: (
        *("PatientID", "OtherPatientIDs", "AccessionNumber", "AdmissionID", "ServiceEpisodeID"),
        *("StudyID", "MedicalRecordLocator", "InsurancePlanIdentification"),
    ),
    _Kind.REQUEST: (
        *("RequestedProcedureID", "ScheduledProcedureStepID", "PerformedProcedureStepID"),
        *("PlacerOrderNumberImagingServiceRequest", "FillerOrderNumberImagingServiceRequest"),
    ),
    _Kind.BIRTH_DATE: ("PatientBirthDate",),
    _Kind.CONTACT: (
        *("PatientAddress", "PatientTelephoneNumbers", "PatientTelecomInformation"),
        *("PersonAddress", "PersonTelephoneNumbers", "PersonTelecomInformation"),
        *("ReferringPhysicianAddress", "ReferringPhysicianTelephoneNumbers"),
    ),
    _Kind.SURROUNDINGS: (
        *("InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName"),
        *("StationName", "DeviceSerialNumber"),
    ),
    _Kind.AGE: ("PatientAge",),
    _Kind.UID: ("StudyInstanceUID",),
    _Kind.SEQUENCE: (
        *("OtherPatientIDsSequence", "RequestAttributesSequence", "ReferencedRequestSequence"),
        *("ReferringPhysicianIdentificationSequence", "VerifyingObserverSequence"),
        *("AuthorObserverSequence", "ParticipantSequence", "00100011"),
        *("ScheduledProcedureStepSequence", "OriginalAttributesSequence"),
        *("ModifiedAttributesSequence", "ContentSequence"),
    ),
}

_PERSONS = {
    tag: _Kind.PERSON
    for tag in keyword_dict.values()
    if dictionary_VR(tag) == "PN" and tag >> 16 not in (0x0072, 0x0074)
}


def _tag(text: str) -> int:
    tag = parse_tag(text)
    if isinstance(tag, PrivateTag):
        raise TypeError(f"{text} is no attribute of the standard")
    return tag


_KINDS = _PERSONS | {_tag(text): kind for kind, texts in _KEYWORDS.items() for text in texts}

MAY_BE_KEPT = frozenset(
    tag for tag, kind in _KINDS.items() if kind in (_Kind.SURROUNDINGS, _Kind.AGE, _Kind.UID)
)
"""What identifies only where the profile does not keep it (PS3.15 E.3.5)."""

_PATIENT_ID = tag_for_keyword("PatientID")
_PATIENT_NAME = tag_for_keyword("PatientName")
_PATIENT_BIRTH_DATE = tag_for_keyword("PatientBirthDate")
_CONTENT = tag_for_keyword("ContentSequence")

_OWN = (STUDY_INSTANCE_UID, SERIES_INSTANCE_UID, SOP_INSTANCE_UID)
"""UIDs of which one stands for a patient of whom nothing is said."""

_SAYING = frozenset({*_KINDS, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID})
"""All that a subject is read from, but for the UID of the instance."""

_MOST = 64
_LONGEST = 65536
"""Bytes of elements that are remembered."""

_DIGITS_OF_A_REQUEST = 4
"""A request or step is an identifier with as many digits; other texts name what is done."""


class Subjects:
    """Whom instances are about, read once for all that say the same, as those of a series do.

    Parameters
    ----------
    kept : collection of int, optional
        Those of :data:`MAY_BE_KEPT` that the profile keeps.
    """

    def __init__(self, kept: Collection[int] = ()) -> None:
        self._kept = frozenset(kept)
        self._known: dict[tuple[object, ...], Subject] = {}

    def of(self, site: Site) -> Subject:
        """Return whom an instance is about, see :func:`subject_of`."""
        said = [site.encoded(tag) for tag in site.tags if tag in _SAYING]
        encoding = site.encoding
        key = (encoding.explicit, encoding.order, encoding.charset, *said)
        subject = self._known.get(key)
        if subject is None:
            subject = subject_of(site, self._kept)
            if sum(map(len, said)) <= _LONGEST and subject.key != _first(site, SOP_INSTANCE_UID):
                self._remember(key, subject)
        return subject

    def _remember(self, key: tuple[object, ...], subject: Subject) -> None:
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[key] = subject


def subject_of(site: Site, kept: Collection[int] = ()) -> Subject:
    """Return whom an instance is about, from the attributes that are meant for that.

    Parameters
    ----------
    site : Site
        The top level of the original.
    kept : collection of int, optional
        Those of :data:`MAY_BE_KEPT` that the profile keeps.

    Raises
    ------
    Malformed, TooDeep
        If one of the sequences with such attributes is none.
    """
    found: dict[_Kind, dict[str, None]] = {kind: {} for kind in _Kind}
    for kind, text in _texts(site, kept):
        found[kind][text] = None
    requests = [text for text in found[_Kind.REQUEST] if _is_number(text)]
    return Subject(
        key=_key(site),
        names=tuple(found[_Kind.NAME]),
        identifiers=tuple({**found[_Kind.IDENTIFIER], **dict.fromkeys(requests)}),
        birth_dates=tuple(found[_Kind.BIRTH_DATE]),
        contacts=tuple(found[_Kind.CONTACT]),
        persons=tuple(found[_Kind.PERSON]),
        surroundings=tuple(found[_Kind.SURROUNDINGS]),
        ages=tuple(found[_Kind.AGE]),
        uids=tuple(found[_Kind.UID]),
    )


def _key(site: Site) -> str:
    """Return what stands for the patient; each kind of it apart from the others."""
    patient_id = _first(site, _PATIENT_ID)
    if patient_id:
        return patient_id
    name, born = _first(site, _PATIENT_NAME).strip("^ "), _first(site, _PATIENT_BIRTH_DATE)
    if name and born:
        return f"{name}\\{born}"
    return next((uid for tag in _OWN if (uid := _first(site, tag))), "")


def _first(site: Site, tag: int) -> str:
    return next(_values(site, tag), "") if tag in site.tags else ""


def _texts(site: Site, kept: Collection[int]) -> Iterator[tuple[_Kind, str]]:
    for tag in site.tags:
        kind = _KINDS.get(tag)
        if kind is None or tag in kept:
            continue
        if kind is not _Kind.SEQUENCE:
            yield from ((kind, text) for text in _values(site, tag) if text.strip("^= "))
        elif _is_sequence(site, tag):
            for item in site.items(tag):
                yield from _texts(item.enter(), kept)


def _is_sequence(site: Site, tag: int) -> bool:
    """Tell whether to enter a sequence; a content tree only where it has person names."""
    raw = site.raw(tag)
    return bool(raw) and (tag != _CONTENT or b"PNAME" in raw)


def _values(site: Site, tag: int) -> Iterator[str]:
    raw = site.raw(tag)
    if raw.isascii() and b"\x1b" not in raw:
        values: tuple[str, ...] | list[str] = raw.decode("ascii").split("\\")
    else:
        values = _decoded(site, tag)
    for value in values:
        text = value.strip(" \0\r\n\t")
        if text:
            yield text


def _decoded(site: Site, tag: int) -> tuple[str, ...]:
    """Return text beyond ASCII; where it is not in the character set declared, as if in Latin-1."""
    element = site.element(tag)
    try:
        values = element.strings
    except DicomError:
        values = ()
    return values or tuple(element.raw.decode("latin_1").split("\\"))


def _is_number(text: str) -> bool:
    return sum(character.isdigit() for character in text) >= _DIGITS_OF_A_REQUEST
