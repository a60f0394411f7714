"""What arrives late under the identifiers of a series or study that has moved goes after it."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from curator.dicom.identifiers import derived_uid
from curator.dicom.tags import tag_text
from curator.reshape.elements import text_of
from curator.reshape.modules import STUDY_LEVEL
from curator.reshape.moving import (
    PATHS,
    SERIES_UID,
    SOP_UID,
    Destination,
    created,
    description,
    dropped,
    moved_instance,
    moved_series,
    number_edits,
    sop_uid,
)
from curator.reshape.numbering import INSTANCE_NUMBER, SeriesNumbers, whole
from curator.reshape.plan import (
    Dropped,
    Edits,
    Kind,
    Plan,
    PlannedGroup,
    PlannedInstance,
    PlannedSeries,
)
from curator.reshape.source import Holdings, SourceInstance, SourceSeries, Wanted, by_series

_STUDY_KEYWORDS = frozenset(tag_text(tag) for tag in STUDY_LEVEL)

WANTED = Wanted(frozenset(PATHS), pixels=True)


def make_plan(holdings: Holdings, resource: str, earlier: Plan, now: datetime) -> Plan:
    """Plan how late instances follow an earlier operation.

    An instance that has arrived before is not moved again: it goes where the one that is there has
    the same pixel data, and else stays.

    Parameters
    ----------
    holdings : Holdings
        The patients of both sides.
    resource : str
        The series or study that has moved and is there again.
    earlier : Plan
        The operation that has moved it.
    """
    return _Follow(holdings, resource, earlier, now).plan()


class _Follow:
    def __init__(self, holdings: Holdings, resource: str, earlier: Plan, now: datetime) -> None:
        self._holdings = holdings
        self._resource = resource
        self._earlier = earlier
        self._now = now
        self._keep = _kept(earlier)
        self._stored = {one.orthanc_id: one for one in holdings.instances}
        self._kept_for = {one.source: one.kept for one in earlier.dropped}
        self._numbers: dict[str, SeriesNumbers] = {}
        self._dropped: list[Dropped] = []
        self._left = 0

    def plan(self) -> Plan:
        late = by_series(self._holdings.within([self._resource]))
        series = tuple(
            planned for instances in late.values() for planned in self._followed(instances)
        )
        parents = {
            one
            for planned in series
            for one in (planned.orthanc_id, planned.study_orthanc_id, planned.patient_orthanc_id)
        }
        there = {*self._holdings.series, *self._holdings.studies, *self._holdings.patients}
        unreadable = self._holdings.unreadable_within([self._resource])
        warnings = (f"{self._left} late instances differ from those of the same UID",)
        return Plan(
            kind=Kind.FOLLOW,
            digest=self._earlier.digest,
            created=created(self._now),
            level="Study" if self._resource in self._holdings.studies else "Series",
            resource=self._resource,
            parents=(self._resource,),
            keep_source=False,
            keep_labels=self._earlier.keep_labels,
            original_attributes=self._earlier.original_attributes,
            groups=(PlannedGroup(name=self._resource, series=series),) if series else (),
            dropped=tuple(self._dropped),
            standing=tuple(sorted(parents & there)),
            unmoved=self._left,
            unreadable=tuple(orthanc_id for orthanc_id, _reason in unreadable),
            warnings=warnings if self._left else (),
        )

    def _followed(self, instances: Sequence[SourceInstance]) -> Iterator[PlannedSeries]:
        source = self._holdings.series[instances[0].series]
        before = self._before(source)
        if before is None:
            self._left += len(instances)
            return
        edits = self._study_edits(source)
        if before.source == source.orthanc_id:
            destination = self._destination(before, before.series_instance_uid, instances)
            edits |= before.edits
        else:
            destination = self._destination(before, self._series_uid(source), instances)
            if destination.series_number:
                edits["SeriesNumber"] = destination.series_number
        members = list(self._new(instances, destination))
        if members:
            study = self._holdings.studies[source.study]
            yield moved_series(study, source, destination, edits, members)

    def _before(self, source: SourceSeries) -> PlannedSeries | None:
        """Return where the series went, or for a new series of a moved study, where that went."""
        moved = [one for one in self._earlier.series if one.whole]
        same = (one for one in moved if one.source == source.orthanc_id)
        return next(same, None) or next(iter(self._siblings(source)), None)

    def _siblings(self, source: SourceSeries) -> list[PlannedSeries]:
        """Return the series of the same study, if that has moved as a whole to another one."""
        return [
            one
            for one in self._earlier.series
            if one.source_study == source.study
            and one.source_study_instance_uid in self._earlier.studies
        ]

    def _study_edits(self, source: SourceSeries) -> Edits:
        """Return what was changed in any series of the study, of what they have in common."""
        return {
            keyword: value
            for one in self._siblings(source)
            for keyword, value in one.edits.items()
            if keyword in _STUDY_KEYWORDS
        }

    def _series_uid(self, source: SourceSeries) -> str:
        if SERIES_UID in self._keep:
            return source.series_instance_uid
        return derived_uid(self._earlier.digest, "series", source.orthanc_id)

    def _destination(
        self, before: PlannedSeries, series_instance_uid: str, instances: Sequence[SourceInstance]
    ) -> Destination:
        return Destination(
            patient_id=self._patient_id(before),
            study_instance_uid=before.study_instance_uid,
            series_instance_uid=series_instance_uid,
            series_number=self._number(before, series_instance_uid, instances[0].series),
            series_description=description(instances),
        )

    def _patient_id(self, before: PlannedSeries) -> str:
        """Return the identifier of the patient a series went to, also where that one is gone."""
        known = self._holdings.patients.get(before.patient_orthanc_id)
        return text_of(before.edits["PatientID"]) if known is None else known

    def _number(self, before: PlannedSeries, series_instance_uid: str, source: str) -> str:
        """Return the number that the series has already, or the one of the source if it is free."""
        if series_instance_uid == before.series_instance_uid:
            return before.series_number
        study = before.study_orthanc_id
        others = list(self._holdings.series_of(study))
        for one in others:
            if one.series_instance_uid == series_instance_uid:
                return one.number_text
        present = self._holdings.series[source].series_number
        taken = [one.series_number for one in others if one.series_number is not None]
        numbers = self._numbers.setdefault(study, SeriesNumbers(taken))
        return "" if present is None else str(numbers.take(present))

    def _new(
        self, instances: Sequence[SourceInstance], destination: Destination
    ) -> Iterator[PlannedInstance]:
        """Yield the instances that are not there yet, with numbers that are free."""
        standing = self._holdings.within([destination.series_orthanc_id])
        present = [whole(one.values, INSTANCE_NUMBER) for one in standing]
        numbers = SeriesNumbers([one for one in present if one is not None])
        for instance in instances:
            uid = sop_uid(self._keep, self._earlier.digest, instance)
            planned = moved_instance(instance, destination, uid, {})
            kept = self._kept_for.get(instance.orthanc_id, planned.orthanc_id)
            there = self._stored.get(kept)
            if there is None:
                yield moved_instance(instance, destination, uid, _number(instance, numbers))
            elif kept != planned.orthanc_id or instance.pixel_digest == there.pixel_digest:
                found = dropped(
                    self._holdings, instance, there, None, destination, "SOPInstanceUID"
                )
                self._dropped.append(found)
            else:
                self._left += 1


def _number(instance: SourceInstance, numbers: SeriesNumbers) -> Edits:
    present = whole(instance.values, INSTANCE_NUMBER)
    if present is None:
        return {}
    number = numbers.take(present)
    return {} if number == present else number_edits(instance, number)


def _kept(earlier: Plan) -> frozenset[str]:
    """Return which UIDs an operation has left as they were."""
    series = any(
        one.source_series_instance_uid == one.series_instance_uid for one in earlier.series
    )
    instances = any(
        one.source_sop_instance_uid == one.sop_instance_uid for one in earlier.instances
    )
    return frozenset((SERIES_UID,) * series + (SOP_UID,) * instances)
