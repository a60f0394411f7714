"""The plan of a split of a patient into the persons that share its identifier; pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from curator.dicom.identifiers import derived_uid, orthanc_identifiers
from curator.dicom.tags import parse_path
from curator.errors import BadRequest
from curator.errors import Conflict as ConflictError
from curator.reshape.demographics import NORMALIZATION, normalized, persons
from curator.reshape.merge_request import PatientSplitRequest
from curator.reshape.moving import (
    PATHS,
    STUDY_UID,
    Destination,
    as_it_is,
    created,
    description,
    digest_of,
    refuse_repeated,
    refuse_unreadable,
    series_uid,
    state_of,
)
from curator.reshape.plan import Kind, Plan, PlannedGroup, PlannedSeries
from curator.reshape.source import Holdings, SourceInstance, Wanted, by_series

_PATIENT_ID = parse_path("PatientID")
_DEMOGRAPHICS = tuple(map(parse_path, ("PatientName", "PatientBirthDate", "PatientSex")))

#: Longest identifier (LO, PS3.5 6.2).
_LIMIT = 64


@dataclass(frozen=True)
class _Person:
    """A person with the identifier that is theirs after the split."""

    name: str
    patient_id: str
    values: dict[str, str]
    instances: tuple[SourceInstance, ...]


def wanted(request: PatientSplitRequest) -> Wanted:
    """Return what has to be read."""
    return Wanted(frozenset((*PATHS, *_DEMOGRAPHICS, _PATIENT_ID, *request.template.paths())))


def make_plan(
    holdings: Holdings, patient: str, request: PatientSplitRequest, now: datetime
) -> Plan:
    """Plan a split of a patient by demographics.

    The person with most instances keeps the identifier and is not touched.

    Raises
    ------
    BadRequest
        If the request does not fit what is stored.
    Conflict
        If instances may belong to several persons, or the state is another one than the request
        names.
    """
    digest = digest_of(patient, request, state_of(holdings))
    unreadable = refuse_unreadable(holdings.unreadable_within([patient]), request)
    members = holdings.within([patient])
    staying, *leaving = _persons(holdings.patients[patient], members, request)
    groups = tuple(
        PlannedGroup(
            name=one.name,
            values=one.values,
            series=tuple(_moved(holdings, one, request, digest)),
        )
        for one in leaving
    )
    moved = [series for group in groups for series in group.series]
    refuse_repeated(holdings, staying.instances, moved)
    warnings = () if leaving else ("There is nothing to split: all instances are of one person",)
    return Plan(
        kind=Kind.SPLIT,
        digest=digest,
        created=created(now),
        level="Patient",
        resource=patient,
        parents=(patient,),
        keep_source=request.keep_source,
        keep_labels=request.keep_labels,
        original_attributes=request.original_attributes,
        groups=groups,
        studies=_moved_studies(holdings, groups),
        unmoved=len(staying.instances),
        unreadable=unreadable,
        warnings=warnings,
        notes={"Normalization": list(NORMALIZATION), "Persons": _described(staying, leaving)},
    )


def _persons(
    patient_id: str, members: Sequence[SourceInstance], request: PatientSplitRequest
) -> list[_Person]:
    """Return the persons, the one with most instances first."""
    if not members:
        raise BadRequest("No instance can be read")
    keys = [normalized(*map(one.values.string, _DEMOGRAPHICS)) for one in members]
    found = persons(keys)
    if found.ambiguous:
        raise ConflictError(
            f"{len(found.ambiguous)} instances lack what tells whose they are, the first is"
            f" {members[found.ambiguous[0]].orthanc_id}; complete or move them first"
        )
    groups = sorted(found.persons, key=lambda one: (-len(one), one))
    result: list[_Person] = []
    for index, indexes in enumerate(groups, start=1):
        instances = tuple(members[one] for one in indexes)
        new_id = patient_id if index == 1 else _new_id(instances, request, index)
        values = {str(path): instances[0].values.string(path) for path in _DEMOGRAPHICS}
        result.append(_Person(f"Person {index}", new_id, values, instances))
    identifiers = [one.patient_id for one in result]
    if len(set(identifiers)) < len(identifiers):
        raise BadRequest('$.Naming: gives two persons one PatientID; "{Index}" tells them apart')
    return result


def _new_id(instances: Sequence[SourceInstance], request: PatientSplitRequest, index: int) -> str:
    values = instances[0].values
    new_id = request.template.fill(values.strings, f"Person {index}", index, _LIMIT)
    if not new_id:
        raise BadRequest("$.Naming: gives a person no PatientID")
    return new_id


def _moved(
    holdings: Holdings, person: _Person, request: PatientSplitRequest, digest: str
) -> Iterator[PlannedSeries]:
    parted = _parted(holdings, person) if STUDY_UID in request.keep else set()
    for instances in by_series(person.instances).values():
        series = holdings.series[instances[0].series]
        study = holdings.studies[series.study]
        if study.orthanc_id in parted:
            raise BadRequest(
                f"$.Keep: StudyInstanceUID cannot be kept, since study {study.orthanc_id} has"
                " instances of several persons, or some that cannot be read"
            )
        study_uid = study.study_instance_uid
        if STUDY_UID not in request.keep:
            study_uid = derived_uid(digest, "study", person.patient_id, study.orthanc_id)
        destination = Destination(
            patient_id=person.patient_id,
            study_instance_uid=study_uid,
            series_instance_uid=series_uid(
                request.keep, digest, series, len(instances), person.patient_id
            ),
            series_number=series.number_text,
            series_description=description(instances),
        )
        edits = {"PatientID": person.patient_id}
        yield as_it_is(holdings, instances, destination, edits, request.keep, digest)


def _parted(holdings: Holdings, person: _Person) -> set[str]:
    """Return the studies of a person that have instances of others, or unreadable ones."""
    own = {one.orthanc_id for one in person.instances}
    studies = {holdings.series[one.series].study for one in person.instances}
    return {
        study
        for study in studies
        if any(one.orthanc_id not in own for one in holdings.within([study]))
        or holdings.unreadable_within([study])
    }


def _moved_studies(holdings: Holdings, groups: Iterable[PlannedGroup]) -> dict[str, str]:
    """Return the new UID of the studies that move as a whole."""
    moved: dict[str, int] = defaultdict(int)
    new: dict[str, set[str]] = defaultdict(set)
    for group in groups:
        for series in group.series:
            moved[series.source_study] += len(series.instances)
            new[series.source_study].add(series.study_instance_uid)
    return {
        holdings.studies[study].study_instance_uid: next(iter(new[study]))
        for study, count in moved.items()
        if len(new[study]) == 1
        and count == sum(one.instances_count for one in holdings.series_of(study))
    }


def _described(staying: _Person, leaving: Iterable[_Person]) -> list[dict[str, Any]]:
    return [
        {
            "Name": one.name,
            "PatientID": one.patient_id,
            "Patient": orthanc_identifiers(one.patient_id, "", "", "")[0],
            "InstancesCount": len(one.instances),
        }
        for one in (staying, *leaving)
    ]
