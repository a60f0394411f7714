"""References to what an operation moves: which are rewritten, and which lead nowhere; pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from curator.dicom.references import Kind, Reference, UidMap
from curator.dicom.tags import Path, Tag
from curator.reshape.in_place import instance_in_place, series_in_place
from curator.reshape.plan import (
    Dangling,
    Plan,
    PlannedGroup,
    PlannedSeries,
    ReferenceReport,
    Rewritten,
)
from curator.reshape.source import Holdings, SourceInstance, by_series

#: Both lists of the Common Instance Reference Module (PS3.3 C.12.2), between which an entry moves
#: when it comes to be in another study: of the object's own study, and of others.
_OWN_STUDY = "ReferencedSeriesSequence"
_OTHER_STUDIES = "StudiesContainingOtherReferencedInstancesSequence"
_LISTS = frozenset({_OWN_STUDY, _OTHER_STUDIES})


class References(StrEnum):
    """What happens to references to what is moved."""

    REPAIR = "Repair"
    REPORT = "Report"


def with_references(
    plan: Plan, holdings: Holdings, mode: References, earlier: UidMap | None = None
) -> Plan:
    """Return a plan with the references that it rewrites, and those that lead nowhere.

    In the instances that are moved they are rewritten in any case of ``Repair``; in the rest of the
    patients only where what they refer to goes, since they are right as they are otherwise.

    Parameters
    ----------
    earlier : UidMap, optional
        What an operation before this one has moved, for those who arrive late.
    """
    uids = plan.uids() if earlier is None else earlier.with_(plan.uids())
    finder = _Finder(plan, holdings, uids)
    affected = {one.orthanc_id: one for one in holdings.instances if finder.affects(one)}
    repair = mode == References.REPAIR
    if repair:
        plan = _marked(plan, affected)
        rest = [one for one in affected.values() if finder.is_rewritten_in_place(one)]
        plan = plan.model_copy(
            update={"overwritten": (*plan.overwritten, *_overwritten(rest, holdings))}
        )
    return plan.model_copy(update={"references": finder.report(affected.values(), repair)})


@dataclass(frozen=True)
class _Stored:
    """The UIDs of what is stored, by kind."""

    uids: Mapping[Kind, frozenset[str]]

    def has(self, kind: Kind, uid: str) -> bool:
        return uid in self.uids[kind]


class _Finder:
    def __init__(self, plan: Plan, holdings: Holdings, uids: UidMap) -> None:
        self._plan = plan
        self._holdings = holdings
        self._uids = uids
        self._planned = {one.source: (series, one) for series, one in plan.changed()}
        self._dropped = {one.source for one in plan.dropped}
        self._moved = {one.source for one in plan.instances}
        self._going = self._dropped if plan.keep_source else self._dropped | self._moved
        gone = {one.source_sop_instance_uid for one in plan.dropped}
        self._gone = UidMap(
            {one: uids.instances[one] for one in gone & uids.instances.keys()}, {}, {}
        )

    def affects(self, instance: SourceInstance) -> bool:
        """Tell whether an instance may refer to what is moved."""
        if instance.orthanc_id in self._dropped:
            return False
        return self._uids.encoded.is_among(instance.mentions) or self._is_refiled(instance)

    def is_rewritten_in_place(self, instance: SourceInstance) -> bool:
        """Tell whether an affected instance of the rest is overwritten for its references."""
        return instance.orthanc_id not in self._planned and self._is_rewritten(instance)

    def report(self, affected: Iterable[SourceInstance], repair: bool) -> ReferenceReport:
        before, after = self._stored(), self._stored_after()
        rewritten = {one.orthanc_id: one for one in affected if self._is_rewritten(one)}
        changed = self._planned.keys() | (rewritten if repair else {})
        return ReferenceReport(
            repair=repair,
            rewritten=tuple(map(self._rewritten, rewritten.values())),
            before=tuple(
                Dangling(instance=one.orthanc_id, element=reference.path, uid=reference.uid)
                for one in self._holdings.instances
                for reference in one.references
                if not before.has(reference.kind, reference.uid)
            ),
            after=tuple(self._dangling_after(after, repair)),
            unsigned=tuple(
                self._identifier_after(one)
                for one in self._holdings.instances
                if one.signed and one.orthanc_id in changed
            ),
        )

    def _is_refiled(self, instance: SourceInstance) -> bool:
        """Tell whether an object moves to another study than some of what it lists by study."""
        planned = self._planned.get(instance.orthanc_id)
        if planned is None or planned[0].study_orthanc_id == planned[0].source_study:
            return False
        study = planned[0].study_instance_uid
        return any(
            _is_of_own_study(one.path) or (one.path.startswith(_OTHER_STUDIES) and one.uid == study)
            for one in instance.references
        )

    def _is_rewritten(self, instance: SourceInstance) -> bool:
        """Tell whether it is, if affected: where sources stay, only for duplicates that go."""
        return (
            not self._plan.keep_source
            or instance.orthanc_id in self._planned
            or self._gone.encoded.is_among(instance.mentions)
        )

    def _rewritten(self, instance: SourceInstance) -> Rewritten:
        return Rewritten(
            instance=self._identifier_after(instance),
            source=instance.orthanc_id,
            count=sum(self._changes(one, instance.references) for one in instance.references),
        )

    def _changes(self, reference: Reference, all_of_it: Sequence[Reference]) -> bool:
        """Tell whether what is referred to has another UID, or is in another series or study."""
        if reference.kind == Kind.INSTANCE:
            return reference.uid in self._uids.instances
        return self._target(reference, all_of_it) != reference.uid

    def _target(self, reference: Reference, all_of_it: Sequence[Reference]) -> str:
        """Return the UID that a reference has after the operation.

        An item that lists instances or series of a study or series names what those are in then.
        Where one of them has not moved, it names what they were in, or where that has gone as a
        whole.

        Parameters
        ----------
        all_of_it : sequence of Reference
            All references of the same object.
        """
        uid = reference.uid
        if reference.kind == Kind.INSTANCE:
            place = self._uids.instances.get(uid)
            return uid if place is None else place.sop_instance_uid
        listed = [self._place(one) for one in _listed(reference, all_of_it)]
        depth = 1 if reference.kind == Kind.SERIES else 0
        places = [one[depth] for one in listed if one is not None]
        if places and len(places) == len(listed):
            return places[0]
        if reference.kind == Kind.SERIES:
            return self._uids.series.get(uid, ("", uid))[1]
        return self._uids.studies.get(uid, uid)

    def _place(self, reference: Reference) -> tuple[str, str] | None:
        """Return the study and series that something is in now; None where it has not moved."""
        if reference.kind == Kind.SERIES:
            return self._uids.series.get(reference.uid)
        place = self._uids.instances.get(reference.uid)
        return None if place is None else (place.study_instance_uid, place.series_instance_uid)

    def _identifier_after(self, instance: SourceInstance) -> str:
        planned = self._planned.get(instance.orthanc_id)
        return planned[1].orthanc_id if planned else instance.orthanc_id

    def _dangling_after(self, stored: _Stored, repair: bool) -> Iterator[Dangling]:
        for instance in self._holdings.instances:
            for identifier, repaired in self._versions(instance, repair):
                for reference in instance.references:
                    uid = reference.uid
                    if repaired:
                        uid = self._target(reference, instance.references)
                    if not stored.has(reference.kind, uid):
                        yield Dangling(instance=identifier, element=reference.path, uid=uid)

    def _versions(self, instance: SourceInstance, repair: bool) -> Iterator[tuple[str, bool]]:
        """Yield what is there of an object afterwards, and whether its references are rewritten."""
        if instance.orthanc_id not in self._dropped:
            yield self._identifier_after(instance), repair and self._is_rewritten(instance)
            if self._plan.keep_source and instance.orthanc_id in self._moved:
                yield instance.orthanc_id, False

    def _stored(self) -> _Stored:
        holdings = self._holdings
        return _Stored(
            {
                Kind.INSTANCE: frozenset(one.values.sop_instance_uid for one in holdings.instances),
                Kind.SERIES: frozenset(one.series_instance_uid for one in holdings.series.values()),
                Kind.STUDY: frozenset(one.study_instance_uid for one in holdings.studies.values()),
            }
        )

    def _stored_after(self) -> _Stored:
        holdings = self._holdings
        left = [one for one in holdings.instances if one.orthanc_id not in self._going]
        series = {one.series for one in left}
        studies = {holdings.series[one].study for one in series}
        moved = self._plan.series
        return _Stored(
            {
                Kind.INSTANCE: frozenset(
                    (
                        *(one.values.sop_instance_uid for one in left),
                        *(one.sop_instance_uid for one in self._plan.instances),
                    )
                ),
                Kind.SERIES: frozenset(
                    (
                        *(holdings.series[one].series_instance_uid for one in series),
                        *(one.series_instance_uid for one in moved),
                    )
                ),
                Kind.STUDY: frozenset(
                    (
                        *(holdings.studies[one].study_instance_uid for one in studies),
                        *(one.study_instance_uid for one in moved),
                    )
                ),
            }
        )


def _marked(plan: Plan, affected: Mapping[str, SourceInstance]) -> Plan:
    """Return a plan whose instances know in which elements they have references to rewrite."""

    def marked(series: PlannedSeries) -> PlannedSeries:
        instances = tuple(
            one.model_copy(update={"references": _elements(affected[one.source])})
            if one.source in affected
            else one
            for one in series.instances
        )
        return series.model_copy(update={"instances": instances})

    groups = tuple(
        PlannedGroup(name=one.name, values=one.values, series=tuple(map(marked, one.series)))
        for one in plan.groups
    )
    overwritten = tuple(map(marked, plan.overwritten))
    return plan.model_copy(update={"groups": groups, "overwritten": overwritten})


def _overwritten(rest: Iterable[SourceInstance], holdings: Holdings) -> Iterable[PlannedSeries]:
    """Yield the objects that stay where they are and have references rewritten, by series."""
    for series, instances in by_series(rest).items():
        planned = [instance_in_place(one, {}, _elements(one)) for one in instances]
        yield series_in_place(holdings, series, planned)


def _listed(reference: Reference, all_of_it: Sequence[Reference]) -> list[Reference]:
    """Return what the item lists that names a study or series: instances, and whole series."""
    item = reference.path.rpartition(".")[0] + "."
    below = [one for one in all_of_it if one.path.startswith(item) and one is not reference]
    instances = [one for one in below if one.kind == Kind.INSTANCE]
    if reference.kind == Kind.SERIES:
        return instances
    series = [one for one in below if one.kind == Kind.SERIES and not _listed(one, instances)]
    return [*instances, *series]


def _is_of_own_study(path: str) -> bool:
    """Tell whether a reference is listed as one of the object's own study.

    The list of a presentation state has the same name, but says nothing of a study (PS3.3 C.11.11).
    """
    return path.startswith(_OWN_STUDY) and ".ReferencedInstanceSequence[" in path


def _elements(instance: SourceInstance) -> tuple[str, ...]:
    """Return the top-level elements that references are rewritten in, as far as they are known.

    The engine also rewrites what is no known reference but equal to an old UID.
    """
    found = {str(Path(Tag(one.element))) for one in instance.references}
    if found & _LISTS:
        found |= _LISTS
    return tuple(sorted(found))
