"""The plan of a merge of series into one; pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from curator.dicom.tags import parse_path, tag_text
from curator.errors import BadRequest
from curator.errors import Conflict as ConflictError
from curator.reshape import numbering, stacking
from curator.reshape.consensus import consensus, differences, module_edits
from curator.reshape.duplicates import Duplicates, Member
from curator.reshape.in_place import overwritten
from curator.reshape.merge_request import Rule, SeriesMergeRequest
from curator.reshape.modules import SERIES_LEVEL
from curator.reshape.moving import (
    PATHS,
    Destination,
    count_edits,
    created,
    digest_of,
    dropped,
    moved_instance,
    moved_series,
    number_edits,
    refuse_repeated,
    refuse_unreadable,
    sop_uid,
    state_of,
)
from curator.reshape.options import OperationRequest
from curator.reshape.plan import (
    Dropped,
    Edits,
    Kind,
    Plan,
    PlannedGroup,
    PlannedInstance,
    PlannedSeries,
)
from curator.reshape.source import Holdings, SourceInstance, Wanted, by_series

_MODULES = tuple(tag_text(tag) for tag in sorted(SERIES_LEVEL))

_SOP_CLASS_UID = parse_path("SOPClassUID")

#: Of the pixels of the series as it was.
_EXTREMES = ("SmallestPixelValueInSeries", "LargestPixelValueInSeries")

WANTED = Wanted(
    frozenset((*PATHS, *stacking.PATHS, *stacking.RELATED_PATHS)), SERIES_LEVEL, pixels=True
)


@dataclass(frozen=True)
class Joined:
    """What becomes of series that are joined.

    Attributes
    ----------
    moved : tuple of PlannedSeries
        Series that become part of others.
    edits : mapping
        What changes in the instances that were there before, by instance.
    """

    moved: tuple[PlannedSeries, ...] = ()
    edits: Mapping[str, Edits] = field(default_factory=dict)
    dropped: tuple[Dropped, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)

    def __add__(self, other: Self) -> "Joined":
        ours, theirs = (one.notes.get("JoinedSeries", []) for one in (self, other))
        return Joined(
            (*self.moved, *other.moved),
            {**self.edits, **other.edits},
            (*self.dropped, *other.dropped),
            (*self.warnings, *other.warnings),
            {"JoinedSeries": [*ours, *theirs]},
        )


def make_plan(holdings: Holdings, target: str, request: SeriesMergeRequest, now: datetime) -> Plan:
    """Plan a merge into a series of the same study.

    Raises
    ------
    BadRequest
        If the request does not fit what is stored.
    Conflict
        If the series do not fit each other, have duplicates, or are not as the request says.
    """
    study = holdings.studies[holdings.series[target].study]
    sources = _sources(holdings, target, request)
    digest = digest_of(target, request, state_of(holdings))
    unreadable = refuse_unreadable(holdings.unreadable_within([target, *sources]), request)
    members = by_series(holdings.within(sources))
    if not members:
        raise BadRequest("No instance of the series that are merged can be read")
    given = [members[one] for one in sources if one in members]
    joined = join(holdings, target, given, {}, request, request.duplicates, digest)
    going = {one.source for one in joined.dropped}
    staying = [
        one
        for one in holdings.within([study.orthanc_id])
        if one.series not in members and one.orthanc_id not in going
    ]
    refuse_repeated(holdings, staying, joined.moved)
    return Plan(
        kind=Kind.MERGE,
        digest=digest,
        created=created(now),
        level="Series",
        resource=target,
        parents=tuple(sources),
        keep_source=request.keep_source,
        keep_labels=request.keep_labels,
        original_attributes=request.original_attributes,
        groups=(PlannedGroup(name=target, series=joined.moved),) if joined.moved else (),
        overwritten=overwritten(holdings, joined.edits),
        dropped=joined.dropped,
        standing=(target, study.orthanc_id, study.patient),
        unreadable=unreadable,
        warnings=joined.warnings,
        notes={"TargetSeries": target, **joined.notes},
    )


def join(
    holdings: Holdings,
    target: str,
    sources: Sequence[Sequence[SourceInstance]],
    edits: Mapping[str, Edits],
    request: OperationRequest,
    duplicates: Duplicates,
    digest: str,
) -> Joined:
    """Plan how instances of other series become part of one.

    Parameters
    ----------
    sources : sequence
        The instances of each source series.
    edits : mapping
        What else changes in the instances, by their series.

    Raises
    ------
    BadRequest
        If no instance of the series can be read.
    Conflict
        If they do not fit, or there are duplicates and they are refused.
    """
    return _Join(holdings, target, sources, edits, request, duplicates, digest).joined()


class _Join:
    def __init__(
        self,
        holdings: Holdings,
        target: str,
        sources: Sequence[Sequence[SourceInstance]],
        edits: Mapping[str, Edits],
        request: OperationRequest,
        duplicates: Duplicates,
        digest: str,
    ) -> None:
        self._holdings = holdings
        self._target = holdings.series[target]
        self._study = holdings.studies[self._target.study]
        self._standing = holdings.within([target])
        if not self._standing:
            raise BadRequest(f"No instance of series {target} can be read")
        self._sources = sources
        self._edits = edits
        self._request = request
        self._digest = digest
        self._instances = {
            one.orthanc_id: one for group in (self._standing, *sources) for one in group
        }
        self._refuse_unlike()
        self._stack = stacking.stack(
            self._members(), target, duplicates, [one[0].series for one in sources]
        )
        numbers = self._stack.numbers
        order = [one.orthanc_id for one in self._stack.order]
        self._numbers = None if numbers is None else dict(zip(order, numbers, strict=True))
        self._counts = count_edits([self._instances[one] for one in order])
        self._module = self._agreed()
        self._wrong_extremes = self._differing_extremes()
        self._destination = Destination(
            patient_id=holdings.patients[self._study.patient],
            study_instance_uid=self._study.study_instance_uid,
            series_instance_uid=self._target.series_instance_uid,
            series_number=self._target.number_text,
            series_description=self._target.series_description,
        )

    def joined(self) -> Joined:
        moved = tuple(filter(None, map(self._moved, self._sources)))
        self._refuse_replaced(moved)
        return Joined(
            moved=moved,
            edits=self._overwritten(),
            dropped=tuple(self._dropped()),
            warnings=self._stack.warnings,
            notes={
                "JoinedSeries": [
                    {
                        "Target": self._target.orthanc_id,
                        "Sources": [one[0].series for one in self._sources],
                        "OrderedBy": self._stack.ordered_by,
                        "InstancesCount": len(self._stack.order),
                        "Renumbered": self._numbers is not None,
                        "DifferingElements": self._differing(),
                    }
                ]
            },
        )

    def _members(self) -> list[Member]:
        return [
            Member(one.orthanc_id, one.series, one.values, one.pixel_digest)
            for one in self._instances.values()
        ]

    def _refuse_unlike(self) -> None:
        unlike = stacking.check(self._members(), self._target.orthanc_id)
        if unlike:
            raise ConflictError(
                "$.Resources: the series are not alike: " + ", ".join(map(str, unlike)),
                conflicts=[
                    {
                        "Element": one.keyword,
                        "Target": {
                            "ID": self._target.orthanc_id,
                            "Value": "\\".join(one.target_values),
                        },
                        "Source": {"ID": one.series, "Value": "\\".join(one.values)},
                    }
                    for one in unlike
                ],
            )

    def _refuse_replaced(self, moved: Sequence[PlannedSeries]) -> None:
        """Refuse a kept UID that is that of the duplicate in whose place its instance comes."""
        there = {one.orthanc_id for one in self._standing}
        for series in moved:
            for one in series.instances:
                if one.orthanc_id in there:
                    raise ConflictError(
                        f"$.Keep: instance {one.source} and its duplicate {one.orthanc_id} in the"
                        " target have one SOPInstanceUID"
                    )

    def _agreed(self) -> dict[str, Any]:
        """Return the series attributes that all instances of the target have in common.

        A series has one number in any case.
        """
        found = consensus([one.elements for one in self._standing], _MODULES)
        varying = {one.element for one in found.disagreements}
        agreed = {
            keyword: value
            for keyword, value in found.values.items()
            if keyword not in varying and keyword not in _EXTREMES
        }
        return {"SeriesNumber": self._target.number_text, **agreed}

    def _moved(self, source: Sequence[SourceInstance]) -> PlannedSeries | None:
        """Return where a source goes; without instances where all of them are duplicates."""
        series = self._holdings.series[source[0].series]
        kept = [self._instances[one.orthanc_id] for one in self._stack.order]
        instances = [one for one in kept if one.series == series.orthanc_id]
        if not instances and self._request.keep_source:
            return None
        edits: Edits = {**self._edits.get(series.orthanc_id, {}), **self._counts}
        edits |= module_edits(self._module, list(self._module), [one.elements for one in instances])
        edits |= self._without_extremes(instances)
        members = [self._moved_instance(one) for one in instances]
        study = self._holdings.studies[series.study]
        planned = moved_series(study, series, self._destination, edits, members)
        return planned.model_copy(update={"whole": len(source) == series.instances_count})

    def _moved_instance(self, instance: SourceInstance) -> PlannedInstance:
        uid = sop_uid(self._request.keep, self._digest, instance)
        return moved_instance(instance, self._destination, uid, self._number_edits(instance))

    def _number_edits(self, instance: SourceInstance) -> Edits:
        if self._numbers is None:
            return {}
        return number_edits(instance, self._numbers[instance.orthanc_id])

    def _overwritten(self) -> dict[str, Edits]:
        """Return what changes in the instances that were there before."""
        kept = {one.orthanc_id for one in self._stack.order}
        return {
            one.orthanc_id: {
                **self._count_edits(one),
                **self._without_extremes([one]),
                **self._new_number(one),
            }
            for one in self._standing
            if one.orthanc_id in kept
        }

    def _count_edits(self, instance: SourceInstance) -> Edits:
        """Return the counts that an instance says otherwise."""
        said = {
            keyword: numbering.whole(instance.values, parse_path(keyword))
            for keyword in self._counts
        }
        return {
            keyword: count
            for keyword, count in self._counts.items()
            if said[keyword] not in (None, count)
        }

    def _new_number(self, instance: SourceInstance) -> Edits:
        edits = self._number_edits(instance)
        present = numbering.whole(instance.values, numbering.INSTANCE_NUMBER)
        return {} if edits.get("InstanceNumber") == str(present) else edits

    def _differing_extremes(self) -> list[str]:
        """Return the extremes of pixel values that are not those of the whole series any more."""
        said = [one.elements for one in self._instances.values()]
        return [
            keyword
            for keyword in _EXTREMES
            if any(one.get(keyword) != said[0].get(keyword) for one in said)
        ]

    def _without_extremes(self, instances: Sequence[SourceInstance]) -> Edits:
        return {
            keyword: None
            for keyword in self._wrong_extremes
            if any(keyword in one.elements for one in instances)
        }

    def _dropped(self) -> Iterator[Dropped]:
        """Yield the duplicates that are deleted; those of a source that is kept stay in it."""
        target = self._target.orthanc_id
        for going in self._stack.dropped:
            instance = self._instances[going.member.orthanc_id]
            if self._request.keep_source and instance.series != target:
                continue
            kept = self._instances[going.kept.orthanc_id]
            becomes = None if kept.series == target else self._moved_instance(kept)
            yield dropped(self._holdings, instance, kept, becomes, self._destination, going.reason)

    def _differing(self) -> list[str]:
        """Return the series attributes that the target and its sources say differently."""
        keywords = [one for one in self._module if one != "SeriesInstanceUID"]
        found: set[str] = set()
        for source in self._sources:
            own = consensus([one.elements for one in source], keywords)
            found.update(one.element for one in own.disagreements)
            found.update(one.element for one in differences(self._module, own.values, keywords))
        return sorted(found)


def _sources(holdings: Holdings, target: str, request: SeriesMergeRequest) -> list[str]:
    """Return the series that become part of the target, each once."""
    study = holdings.series[target].study
    if request.rule == Rule.MFSPLIT:
        return _related(holdings, target)
    named = list(dict.fromkeys(request.resources or ()))
    for index, one in enumerate(named):
        if one == target:
            raise BadRequest(f"$.Resources[{index}]: a series cannot be merged into itself")
        if one not in holdings.series or holdings.series[one].study != study:
            raise BadRequest(
                f"$.Resources[{index}]: {one} is no series of study {study}; series of other"
                " studies are merged with the study first"
            )
    return named


def _related(holdings: Holdings, target: str) -> list[str]:
    """Return the other parts of the multi-frame acquisition that the target is part of."""
    study = holdings.series[target].study
    by_uid = {one.series_instance_uid: one.orthanc_id for one in holdings.series_of(study)}
    named = {
        uid: {
            other
            for one in holdings.within([orthanc_id])
            for other in stacking.named_series(one.values)
        }
        for uid, orthanc_id in by_uid.items()
    }
    mine = holdings.series[target].series_instance_uid
    for part in stacking.related_series(named):
        others = sorted(by_uid[uid] for uid in part if uid != mine)
        alike = [
            one for one in others if _sop_classes(holdings, one) == _sop_classes(holdings, target)
        ]
        if mine in part and alike:
            return alike
    raise BadRequest(f"$.Rule: no other series of study {study} is a part of the same acquisition")


def _sop_classes(holdings: Holdings, series: str) -> set[str]:
    """Return the SOP classes of a series; the multi-frame original has another one."""
    return {one.values.string(_SOP_CLASS_UID) for one in holdings.within([series])}
