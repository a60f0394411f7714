"""Make anonymized instances of stored ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, Protocol

from curator.access import Access
from curator.anonymize.decoding import Decoder
from curator.anonymize.errors import Refused
from curator.anonymize.profile import Profile
from curator.anonymize.result import Anonymized
from curator.anonymize.selection import Source
from curator.dicom import engine, reader
from curator.dicom.errors import DicomError
from curator.dicom.identifiers import orthanc_identifiers
from curator.dicom.instance import Instance
from curator.dicom.tags import Path, tag_for_keyword
from curator.errors import CoreError, CuratorError, ErrorCode, UnreadableInstance
from curator.level import Level

_IDENTITY = tuple(
    Path(tag_for_keyword(keyword))
    for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
)

#: What the core says of a file that is damaged or not there.
_DAMAGED = frozenset(
    {
        ErrorCode.BAD_FILE_FORMAT,
        ErrorCode.CORRUPTED_FILE,
        ErrorCode.INEXISTENT_FILE,
        ErrorCode.INEXISTENT_ITEM,
        ErrorCode.PARAMETER_OUT_OF_RANGE,  # of 1.13.0, where a file is shorter than it was
        ErrorCode.UNKNOWN_RESOURCE,
    }
)


class Anonymizes(Protocol):
    """Anonymizes instances by one profile."""

    def anonymize(
        self,
        dicom: bytes,
        *,
        explain: bool = False,
        native: Callable[[], bytes] | None = None,
    ) -> Anonymized:
        """Return an anonymized instance; `native` gives the same one with its pixels decoded."""


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Takes the place of what cannot be made any more, so that its job can still end or be undone.

    Parameters
    ----------
    cause : CuratorError
        Why; raised for every instance.
    """

    cause: CuratorError

    def anonymize(self, *_: object, **__: object) -> NoReturn:
        """Refuse.

        Raises
        ------
        CuratorError
            The cause.
        """
        raise self.cause


#: Returns what anonymizes by a profile; for a preview, without anything being kept for later.
AnonymizerFactory = Callable[[Profile, bool], Anonymizes]


class InstanceRefused(CuratorError):
    """An instance that cannot be anonymized, by its Orthanc identifier.

    Parameters
    ----------
    instance : str
    cause : CuratorError
        Why; its code and status are kept.
    """

    def __init__(self, instance: str, cause: CuratorError) -> None:
        super().__init__(f"Instance {instance}: {cause.details}")
        self.instance = instance
        self.cause = cause

    @property
    def error_code(self) -> int:
        return self.cause.error_code

    @property
    def status(self) -> int:
        return self.cause.status


@dataclass(frozen=True, slots=True)
class Identity:
    """The identifiers of an instance: those of DICOM, and what Orthanc calls it by them.

    Parameters
    ----------
    patient_id, study_instance_uid, series_instance_uid, sop_instance_uid : str
    patient, study, series, instance : str
        Orthanc identifiers.
    """

    patient_id: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    patient: str
    study: str
    series: str
    instance: str

    def at(self, level: Level) -> str:
        """Return the Orthanc identifier of a level."""
        match level:
            case Level.PATIENT:
                return self.patient
            case Level.STUDY:
                return self.study
            case Level.SERIES:
                return self.series
            case Level.INSTANCE:
                return self.instance


@dataclass(frozen=True, slots=True)
class Made:
    """An anonymized instance that is not stored yet.

    Parameters
    ----------
    source : Source
        The original.
    before : Identity or None
        The original's identifiers, where they were asked for.
    after : Identity
        The new ones.
    result : Anonymized
        The new instance.
    """

    source: Source
    before: Identity | None
    after: Identity
    result: Anonymized


class Maker:
    """Makes anonymized instances by one profile.

    Parameters
    ----------
    with_before : bool
        Whether to read the identifiers of the originals as well.
    """

    def __init__(
        self,
        access: Access,
        anonymizer: Anonymizes,
        *,
        with_before: bool = False,
    ) -> None:
        self._gateway = access.gateway
        self._default_charset = access.default_charset
        self._anonymizer = anonymizer
        self._decoder = Decoder(access.gateway)
        self._with_before = with_before

    def make(self, source: Source) -> Made:
        """Anonymize an instance of a job.

        Raises
        ------
        InstanceRefused
            If it cannot be read, or not be anonymized as the profile asks.
        """
        dicom = self._read(source.instance)
        result = self._anonymized(source.instance, dicom)
        before = self._identity(dicom) if self._with_before else None
        return Made(source, before, self._identity(result.dicom), result)

    def anonymized(self, instance: str, *, explain: bool = False) -> Anonymized:
        """Anonymize a stored instance.

        Parameters
        ----------
        explain : bool, optional
            Say of every element why.

        Raises
        ------
        InstanceRefused
            If it cannot be read, or not be anonymized as the profile asks.
        """
        return self._anonymized(instance, self._read(instance), explain)

    def _anonymized(self, instance: str, dicom: bytes, explain: bool = False) -> Anonymized:
        def native() -> bytes:
            return self._decoder.native(instance, dicom)

        try:
            return self._anonymizer.anonymize(dicom, explain=explain, native=native)
        except Refused as refused:
            raise InstanceRefused(instance, refused) from None
        except DicomError as error:
            raise InstanceRefused(instance, UnreadableInstance(str(error))) from None

    def _read(self, instance: str) -> bytes:
        try:
            return self._gateway.read(instance)
        except CoreError as error:
            if error.core_code not in _DAMAGED:
                raise
            why = error.explained(f"cannot be read: {error.message}")
            raise InstanceRefused(instance, why) from None

    def _identity(self, dicom: bytes) -> Identity:
        return identity_of(engine.opened(dicom, self._default_charset))


def identity_of(instance: Instance) -> Identity:
    """Read the identifiers of an instance; those that are absent are empty, as Orthanc has it."""
    header = reader.header_of(instance, _IDENTITY)
    found = (header.element(path) for path in _IDENTITY)
    texts = ("" if element is None else element.text for element in found)
    patient_id, study_uid, series_uid, sop_uid = texts
    orthanc = orthanc_identifiers(patient_id, study_uid, series_uid, sop_uid)
    return Identity(patient_id, study_uid, series_uid, sop_uid, *orthanc)
