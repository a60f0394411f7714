"""The plan of a merge into a study; pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from curator.dicom.tags import Tag, tag_text
from curator.errors import BadRequest
from curator.reshape import merge_series, stacking
from curator.reshape.consensus import consensus, module_edits, patient_study_edits
from curator.reshape.in_place import overwritten
from curator.reshape.merge_request import MergeRequest
from curator.reshape.modules import (
    CLINICAL_TRIAL_STUDY,
    CLINICAL_TRIAL_SUBJECT,
    GENERAL_STUDY,
    IDENTITY,
    PATIENT,
    PATIENT_STUDY,
    SERIES_LEVEL,
)
from curator.reshape.moving import (
    PATHS,
    SERIES_UID,
    Destination,
    count_edits,
    created,
    description,
    digest_of,
    moved_series,
    numbered,
    refuse_repeated,
    refuse_unreadable,
    repeated,
    series_uid,
    state_of,
)
from curator.reshape.numbering import SERIES_NUMBER, SeriesNumbers, whole
from curator.reshape.options import OnConflict
from curator.reshape.plan import Edits, Kind, Plan, PlannedGroup, PlannedSeries
from curator.reshape.sides import target_of
from curator.reshape.source import Holdings, SourceInstance, SourceSeries, Wanted, by_series

#: What the instances of one study say alike, by keyword. Patient Study is on its own.
_COMMON = tuple(
    tag_text(tag)
    for tag in sorted(PATIENT | CLINICAL_TRIAL_SUBJECT | GENERAL_STUDY | CLINICAL_TRIAL_STUDY)
)
_PATIENT_STUDY = tuple(tag_text(tag) for tag in sorted(PATIENT_STUDY))

_WHOLE: frozenset[Tag] = (
    PATIENT | CLINICAL_TRIAL_SUBJECT | GENERAL_STUDY | CLINICAL_TRIAL_STUDY | PATIENT_STUDY
)


def wanted(request: MergeRequest) -> Wanted:
    """Return what has to be read."""
    if request.series_into is None:
        return Wanted(frozenset(PATHS), _WHOLE)
    return Wanted(frozenset((*PATHS, *stacking.PATHS)), _WHOLE | SERIES_LEVEL, pixels=True)


def make_plan(holdings: Holdings, target: str, request: MergeRequest, now: datetime) -> Plan:
    """Plan a merge into a study.

    Parameters
    ----------
    holdings : Holdings
        The patients of the target and of everything that `request` names.
    target : str
        Orthanc identifier of the study.

    Raises
    ------
    BadRequest
        If the request does not fit what is stored.
    Conflict
        If it names another state than there is.
    """
    return _Merge(holdings, target, request, now).plan()


class _Merge:
    def __init__(
        self, holdings: Holdings, target: str, request: MergeRequest, now: datetime
    ) -> None:
        self._holdings = holdings
        self._request = request
        self._now = now
        self._study = holdings.studies[target]
        self._patient_id = holdings.patients[self._study.patient]
        self._sources = self._selected()
        self._digest = digest_of(target, request, state_of(holdings))
        unreadable = holdings.unreadable_within([target, *request.resources])
        self._unreadable = refuse_unreadable(unreadable, request)
        members = holdings.within([target])
        if not members:
            raise BadRequest(f"No instance of study {target} can be read")
        if not self._sources:
            raise BadRequest("$.Resources: no instance can be read")
        there = list(holdings.series_of(target))
        self._numbers = SeriesNumbers(
            [one.series_number for one in there if one.series_number is not None]
        )
        self._taken = {one.series_instance_uid: one.orthanc_id for one in there}
        self._target = target_of(target, members, _COMMON)
        self._own = consensus([one.elements for one in members], _PATIENT_STUDY)

    def plan(self) -> Plan:
        into = self._request.series_into or {}
        groups: dict[str, list[PlannedSeries]] = defaultdict(list)
        for series, instances in self._sources.items():
            if series not in into:
                groups[self._holdings.series[series].study].append(self._series(instances))
        joined = self._joined(into)
        for one in joined.moved:
            groups[one.source_study].append(one)
        self._refuse_repeated(joined, [one for series in groups.values() for one in series])
        conflicts = self._target.conflicts(self._by_study(), IDENTITY, decisive=("PatientID",))
        decided = self._request.on_conflict == OnConflict.TARGET
        return Plan(
            kind=Kind.MERGE,
            digest=self._digest,
            created=created(self._now),
            level="Study",
            resource=self._study.orthanc_id,
            parents=tuple(dict.fromkeys(self._request.resources)),
            keep_source=self._request.keep_source,
            keep_labels=self._request.keep_labels,
            original_attributes=self._request.original_attributes,
            groups=tuple(
                PlannedGroup(name=study, series=tuple(series)) for study, series in groups.items()
            ),
            overwritten=overwritten(self._holdings, self._overwritten(joined)),
            dropped=joined.dropped,
            standing=(self._study.orthanc_id, self._study.patient, *dict.fromkeys(into.values())),
            studies=self._moved_studies(),
            conflicts=() if decided else tuple(conflicts),
            unreadable=self._unreadable,
            warnings=(*self._target.name_warnings(self._by_study()), *joined.warnings),
            notes=joined.notes | self._notes(),
        )

    # What is merged

    def _selected(self) -> dict[str, list[SourceInstance]]:
        """Return the instances that the request names, each once, by series.

        Studies come in the order of the request, their series in that of their numbers.
        """
        studies: dict[str, int] = {}
        for index, resource in enumerate(self._request.resources):
            study = self._holdings.study_of(resource).orthanc_id
            if study == self._study.orthanc_id:
                raise BadRequest(
                    f"$.Resources[{index}]: {resource} is in the target study already"
                    if resource != study
                    else f"$.Resources[{index}]: a study cannot be merged into itself"
                )
            studies.setdefault(study, index)
        found = by_series(self._holdings.within(self._request.resources))

        def place(series_orthanc_id: str) -> tuple[int, bool, int, str]:
            series = self._holdings.series[series_orthanc_id]
            number = series.series_number
            return studies[series.study], number is None, number or 0, series_orthanc_id

        return {series: found[series] for series in sorted(found, key=place)}

    def _by_study(self) -> dict[str, list[SourceInstance]]:
        by_study: dict[str, list[SourceInstance]] = defaultdict(list)
        for series, instances in self._sources.items():
            by_study[self._holdings.series[series].study] += instances
        return by_study

    def _moved_studies(self) -> dict[str, str]:
        """Return the new UID of the studies that move as a whole."""
        return {
            self._holdings.studies[study].study_instance_uid: self._study.study_instance_uid
            for study, instances in self._by_study().items()
            if len(instances) == sum(one.instances_count for one in self._holdings.series_of(study))
        }

    # New series

    def _series(self, instances: Sequence[SourceInstance]) -> PlannedSeries:
        series = self._holdings.series[instances[0].series]
        number = self._number(series)
        destination = Destination(
            patient_id=self._patient_id,
            study_instance_uid=self._study.study_instance_uid,
            series_instance_uid=self._series_uid(series, len(instances)),
            series_number=number,
            series_description=description(instances),
        )
        edits = count_edits(instances) if len(instances) < series.instances_count else {}
        if any(whole(one.values, SERIES_NUMBER) != int(number) for one in instances if number):
            edits["SeriesNumber"] = number
        edits |= self._module_edits(instances)
        members = numbered(instances, destination, self._request.keep, self._digest)
        study = self._holdings.studies[series.study]
        return moved_series(study, series, destination, edits, members)

    def _number(self, series: SourceSeries) -> str:
        present = series.series_number
        return "" if present is None else str(self._numbers.take(present))

    def _series_uid(self, series: SourceSeries, count: int) -> str:
        uid = series_uid(self._request.keep, self._digest, series, count)
        other = self._taken.setdefault(uid, series.orthanc_id)
        if other != series.orthanc_id:
            raise repeated(
                SERIES_UID, series.orthanc_id, other, '; "SeriesInto" makes one series of two'
            )
        return uid

    def _module_edits(self, instances: Sequence[SourceInstance]) -> Edits:
        elements = [one.elements for one in instances]
        edits: Edits = dict(module_edits(self._target.common.values, _COMMON, elements))
        choice = self._request.patient_study
        return edits | patient_study_edits(choice, self._own.values, elements)

    def _joined(self, into: Mapping[str, str]) -> merge_series.Joined:
        """Plan what becomes part of series that the target has."""
        for source, target in into.items():
            if source not in self._sources:
                raise BadRequest(f'$.SeriesInto["{source}"]: is not among what is merged')
            series = self._holdings.series.get(target)
            if series is None or series.study != self._study.orthanc_id:
                raise BadRequest(
                    f'$.SeriesInto["{source}"]: {target} is no series of study'
                    f" {self._study.orthanc_id}"
                )
        joined = merge_series.Joined()
        for target in dict.fromkeys(into.values()):
            sources = {
                one: instances
                for one, instances in self._sources.items()
                if into.get(one) == target
            }
            joined += merge_series.join(
                self._holdings,
                target,
                list(sources.values()),
                {one: self._module_edits(instances) for one, instances in sources.items()},
                self._request,
                self._request.duplicates,
                self._digest,
            )
        return joined

    def _refuse_repeated(self, joined: merge_series.Joined, moved: list[PlannedSeries]) -> None:
        going = {one.source for one in joined.dropped}
        standing = [one for one in self._target.instances if one.orthanc_id not in going]
        refuse_repeated(self._holdings, standing, moved)

    # The target's own instances

    def _overwritten(self, joined: merge_series.Joined) -> dict[str, Edits]:
        """Return what changes in the target's own instances, by instance."""
        edits = dict(joined.edits)
        if self._request.on_conflict == OnConflict.TARGET:
            going = {one.source for one in joined.dropped}
            for instance, own in self._target.harmonized().items():
                if instance not in going:
                    edits[instance] = {**own, **edits.get(instance, {})}
        return edits

    def _notes(self) -> dict[str, Any]:
        notes: dict[str, Any] = {"TargetStudy": self._study.orthanc_id}
        notes["TargetStudyUID"] = self._study.study_instance_uid
        if self._target.common.filled:
            notes["IncompleteElements"] = list(self._target.common.filled)
        disagreeing = [one.element for one in self._own.disagreements]
        if disagreeing:
            notes["AmbiguousPatientStudy"] = disagreeing
        return notes
