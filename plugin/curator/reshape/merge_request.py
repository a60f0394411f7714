"""Bodies of the merge routes, and of the split of a patient."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StrictBool, field_validator, model_validator

from curator.job_request import Identifiers
from curator.reshape.consensus import PatientStudy
from curator.reshape.duplicates import Duplicates
from curator.reshape.naming import Template, parse_template
from curator.reshape.options import (
    OnConflict,
    OperationRequest,
)


class Rule(StrEnum):
    """Names of rules that choose the series to be merged."""

    MFSPLIT = "MFSPLIT"


class MergeRequest(OperationRequest):
    """Body of ``POST /studies/{id}/merge``.

    Attributes
    ----------
    series_into : dict
        Series of the target by the source series that are to become part of them; all others
        become series of their own.
    """

    keepable = ("SeriesInstanceUID", "SOPInstanceUID")

    resources: Identifiers
    on_conflict: OnConflict = OnConflict.REFUSE
    patient_study: PatientStudy = PatientStudy.TARGET
    series_into: Annotated[dict[str, str], Field(min_length=1)] | None = None
    duplicates: Duplicates = Duplicates.REFUSE


class SeriesMergeRequest(OperationRequest):
    """Body of ``POST /series/{id}/merge``."""

    keepable = ("SOPInstanceUID",)

    resources: Identifiers | None = None
    rule: Rule | None = None
    duplicates: Duplicates = Duplicates.REFUSE

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.resources is None) == (self.rule is None):
            raise ValueError('either "Resources" or "Rule" is needed')
        return self


class PatientMergeRequest(OperationRequest):
    """Body of ``POST /patients/{id}/merge``."""

    keepable = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")

    resources: Identifiers | None = None
    studies: Identifiers | None = None
    on_conflict: OnConflict = OnConflict.REFUSE
    other_patient_ids: Annotated[StrictBool, Field(alias="OtherPatientIDs")] = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.resources is None and self.studies is None:
            raise ValueError('"Resources", "Studies" or both are needed')
        return self


def _naming(text: str) -> str:
    parse_template(text)
    return text


class PatientSplitRequest(OperationRequest):
    """Body of ``POST /patients/{id}/split``."""

    keepable = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")

    by: Annotated[tuple[str, ...], Field(min_length=1)] = ("Demographics",)
    naming: Annotated[str, AfterValidator(_naming)] = "{PatientID}-{Index}"

    @field_validator("by")
    @classmethod
    def _check_by(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value != ("Demographics",):
            raise ValueError('the only criterion is "Demographics"')
        return value

    @property
    def template(self) -> Template:
        """What the identifiers of the new patients are made of."""
        return parse_template(self.naming)


#: Fields of the built-in merge; a body that has no other goes to the core.
BUILTIN_MERGE_FIELDS = frozenset(
    {
        "Asynchronous",
        "KeepSource",
        "Permissive",
        "Priority",
        "Resources",
        "Synchronous",
        "UserData",
    }
)
