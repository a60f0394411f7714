"""The plan of a merge of studies of other patients into a patient; pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from curator.dicom.identifiers import derived_uid
from curator.dicom.tags import tag_text
from curator.errors import BadRequest
from curator.reshape.consensus import consensus, module_edits
from curator.reshape.demographics import other_patient_ids
from curator.reshape.elements import Item, text_of
from curator.reshape.in_place import overwritten
from curator.reshape.merge_request import PatientMergeRequest
from curator.reshape.modules import CLINICAL_TRIAL_SUBJECT, IDENTITY, PATIENT
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
    repeated,
    series_uid,
    state_of,
)
from curator.reshape.options import OnConflict
from curator.reshape.plan import Kind, Plan, PlannedGroup, PlannedSeries
from curator.reshape.sides import target_of
from curator.reshape.source import Holdings, SourceInstance, SourceStudy, Wanted, by_series

_TAGS = PATIENT | CLINICAL_TRIAL_SUBJECT

#: Grows with every merge, so that what was merged earlier and later need not have the same.
_OTHER_IDS = "OtherPatientIDsSequence"

_OLD_ID = ("PatientID", "IssuerOfPatientID")

#: What the instances of one patient say alike, by keyword.
_COMMON = tuple(tag_text(tag) for tag in sorted(_TAGS) if tag_text(tag) != _OTHER_IDS)

#: What has to be the same on both sides; identifiers differ by nature where patients are merged.
_IDENTITY = tuple(one for one in IDENTITY if one not in _OLD_ID)

WANTED = Wanted(frozenset(PATHS), _TAGS)


def make_plan(holdings: Holdings, target: str, request: PatientMergeRequest, now: datetime) -> Plan:
    """Plan a merge into a patient.

    Raises
    ------
    BadRequest
        If the request does not fit what is stored.
    Conflict
        If a study is stored under both patients, or the state is another one than the request
        names.
    """
    return _Merge(holdings, target, request, now).plan()


class _Merge:
    def __init__(
        self, holdings: Holdings, target: str, request: PatientMergeRequest, now: datetime
    ) -> None:
        self._holdings = holdings
        self._request = request
        self._now = now
        self._studies = self._selected(target)
        self._digest = digest_of(target, request, state_of(holdings))
        unreadable = holdings.unreadable_within([target, *self._studies])
        self._unreadable = refuse_unreadable(unreadable, request)
        members = holdings.within([target])
        if not members:
            raise BadRequest(f"No instance of patient {target} can be read")
        if not any(self._studies.values()):
            raise BadRequest("No instance of the studies that are merged can be read")
        self._target = target_of(target, members, _COMMON)
        self._values = {**self._target.common.values, _OTHER_IDS: self._other_ids()}

    def plan(self) -> Plan:
        groups = [
            PlannedGroup(
                name=study, series=tuple(self._moved(self._holdings.studies[study], instances))
            )
            for study, instances in self._studies.items()
            if instances
        ]
        self._refuse_repeated(groups)
        decided = self._request.on_conflict == OnConflict.TARGET
        harmonized = self._target.harmonized() if decided else {}
        conflicts = self._target.conflicts(self._studies, _IDENTITY)
        return Plan(
            kind=Kind.MERGE,
            digest=self._digest,
            created=created(self._now),
            level="Patient",
            resource=self._target.orthanc_id,
            parents=tuple(dict.fromkeys(_named(self._request))),
            keep_source=self._request.keep_source,
            keep_labels=self._request.keep_labels,
            original_attributes=self._request.original_attributes,
            groups=tuple(groups),
            overwritten=overwritten(self._holdings, harmonized),
            standing=(self._target.orthanc_id,),
            studies={
                series.source_study_instance_uid: series.study_instance_uid
                for group in groups
                for series in group.series
                if self._is_whole(group.name)
            },
            conflicts=() if decided else tuple(conflicts),
            unreadable=self._unreadable,
            warnings=tuple(self._target.name_warnings(self._studies)),
            notes=self._notes(),
        )

    def _selected(self, target: str) -> dict[str, tuple[SourceInstance, ...]]:
        """Return the instances of the studies that are named, or whose patients are, by study."""
        known = self._holdings
        for index, patient in enumerate(self._request.resources or ()):
            if patient == target:
                raise BadRequest(f"$.Resources[{index}]: {patient} is this patient's already")
        for index, study in enumerate(self._request.studies or ()):
            if known.studies[study].patient == target:
                raise BadRequest(f"$.Studies[{index}]: {study} is this patient's already")
        named = set(_named(self._request))
        return {
            study: known.within([study])
            for study in sorted(known.studies)
            if not named.isdisjoint((study, known.studies[study].patient))
        }

    def _moved(
        self, study: SourceStudy, instances: Sequence[SourceInstance]
    ) -> Iterator[PlannedSeries]:
        keep, digest = self._request.keep, self._digest
        uid = self._study_uid(study)
        values = self._values
        edits = module_edits(values, list(values), [one.elements for one in instances])
        for members in by_series(instances).values():
            series = self._holdings.series[members[0].series]
            destination = Destination(
                patient_id=self._holdings.patients[self._target.orthanc_id],
                study_instance_uid=uid,
                series_instance_uid=series_uid(keep, digest, series, len(members)),
                series_number=series.number_text,
                series_description=description(members),
            )
            yield as_it_is(self._holdings, members, destination, edits, keep, digest)

    def _study_uid(self, study: SourceStudy) -> str:
        if STUDY_UID not in self._request.keep:
            return derived_uid(self._digest, "study", study.orthanc_id)
        if not self._is_whole(study.orthanc_id):
            raise BadRequest(
                f"$.Keep: StudyInstanceUID cannot be kept, since instances of study"
                f" {study.orthanc_id} cannot be read and stay where they are"
            )
        return study.study_instance_uid

    def _is_whole(self, study: str) -> bool:
        return not self._holdings.unreadable_within([study])

    def _refuse_repeated(self, groups: Sequence[PlannedGroup]) -> None:
        """Refuse kept UIDs that the patient has already, or would have twice."""
        taken = {study: study for study in self._holdings.studies}
        for group in groups:
            other = taken.setdefault(group.series[0].study_orthanc_id, group.name)
            if other != group.name:
                raise repeated(STUDY_UID, group.name, other, "; merge one into the other")
        moved = [series for group in groups for series in group.series]
        refuse_repeated(self._holdings, self._target.instances, moved)

    def _other_ids(self) -> Any:
        """Return the other identifiers of the patient, the old ones among them where asked."""
        items: list[Item] = []
        for instance in self._target.instances:
            items = _with_items(items, instance)
        if self._request.other_patient_ids:
            for instances in self._studies.values():
                for instance in instances:
                    items = _with_items(items, instance)
                    patient_id, issuer = map(instance.elements.get, _OLD_ID)
                    items = other_patient_ids(text_of(patient_id), text_of(issuer), items)
        elements = [one.elements for one in self._target.instances]
        return items or consensus(elements, [_OTHER_IDS]).values[_OTHER_IDS]

    def _notes(self) -> dict[str, Any]:
        notes: dict[str, Any] = {"TargetPatient": self._target.orthanc_id}
        if self._target.common.filled:
            notes["IncompleteElements"] = list(self._target.common.filled)
        return notes


def _with_items(items: list[Item], instance: SourceInstance) -> list[Item]:
    """Return items with those that an instance has, each once."""
    found = instance.elements.get(_OTHER_IDS)
    return other_patient_ids("", "", [*items, *found]) if isinstance(found, list) else items


def _named(request: PatientMergeRequest) -> tuple[str, ...]:
    return (*(request.resources or ()), *(request.studies or ()))
