"""The plan of an operation: every change that it makes, known before the first one is made.

A plan is plain data: it is shown by ``DryRun``, kept in the database while its job runs, says after
a crash what has to be finished or removed, and tells later what was done.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from pydantic import Field

from curator.dicom.references import Place, UidMap
from curator.errors import Conflict as ConflictError
from curator.models import Model

#: New values by path; None removes the element.
Edits = dict[str, Any]


class Kind(StrEnum):
    """Kinds of operations, as the journal and the audit log name them."""

    SPLIT = "Split"
    MERGE = "Merge"
    UNDO = "Undo"
    FOLLOW = "Follow"


class PlannedInstance(Model):
    """One instance: where it is, and what it becomes.

    Attributes
    ----------
    source, orthanc_id : str
        Orthanc identifiers before and after; an instance whose identifier stays is overwritten.
    file_uuid : str
        The stored file that the plan was made from.
    references : tuple of str or None
        Top-level elements in which references are rewritten, as far as they are known; None where
        nothing refers to what is moved.
    keeps_source : bool
        Whether the source stays, although those of the others go.
    """

    source: str
    file_uuid: str
    orthanc_id: str
    source_sop_instance_uid: str
    sop_instance_uid: str
    edits: Edits = Field(default_factory=dict)
    references: tuple[str, ...] | None = None
    keeps_source: bool = False

    @property
    def stays(self) -> bool:
        """Whether the instance keeps its identifier, so that it is overwritten."""
        return self.orthanc_id == self.source


class Dropped(Model):
    """A duplicate that goes, and the instance that is kept in its place, before and after."""

    source: str
    series: str
    study: str
    patient: str
    source_study_instance_uid: str
    source_series_instance_uid: str
    file_uuid: str
    source_sop_instance_uid: str
    kept_source: str
    kept: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    reason: str

    @property
    def left(self) -> Place:
        """Where it was."""
        return Place(
            self.source_study_instance_uid,
            self.source_series_instance_uid,
            self.source_sop_instance_uid,
        )

    @property
    def taken(self) -> Place:
        """Where the one is that is kept."""
        return Place(self.study_instance_uid, self.series_instance_uid, self.sop_instance_uid)

    def describe(self) -> dict[str, Any]:
        """Return it as part of an answer."""
        return {"Instance": self.source, "Kept": self.kept, "Reason": self.reason}


class PlannedSeries(Model):
    """What becomes of instances of one source series: a new series, or part of another one.

    ``whole`` tells that all instances of the source series are among them.
    """

    source: str
    source_study: str
    source_patient: str
    source_study_instance_uid: str
    source_series_instance_uid: str
    orthanc_id: str
    series_instance_uid: str
    study_orthanc_id: str
    study_instance_uid: str
    patient_orthanc_id: str
    series_number: str
    series_description: str
    whole: bool
    edits: Edits
    instances: tuple[PlannedInstance, ...]

    @property
    def renamed(self) -> bool:
        """Whether it is another series or of another study than its source, by their UIDs."""
        return (self.source_study_instance_uid, self.source_series_instance_uid) != (
            self.study_instance_uid,
            self.series_instance_uid,
        )

    def left(self, instance: PlannedInstance) -> Place:
        """Return where an instance was."""
        return Place(
            self.source_study_instance_uid,
            self.source_series_instance_uid,
            instance.source_sop_instance_uid,
        )

    def taken(self, instance: PlannedInstance) -> Place:
        """Return where an instance goes."""
        return Place(self.study_instance_uid, self.series_instance_uid, instance.sop_instance_uid)


class PlannedGroup(Model):
    """One group: what its instances have in common, and the series that they become."""

    name: str
    values: dict[str, str] = Field(default_factory=dict)
    series: tuple[PlannedSeries, ...]

    @property
    def instances_count(self) -> int:
        """Number of instances in the group."""
        return sum(len(series.instances) for series in self.series)


class Conflict(Model):
    """An element in which two sides differ; ``None`` is an absent element."""

    element: str
    target: str
    target_value: Any
    source: str
    source_value: Any

    def describe(self) -> dict[str, Any]:
        """Return both sides, with their values."""
        return {
            "Element": self.element,
            "Target": {"ID": self.target, "Value": self.target_value},
            "Source": {"ID": self.source, "Value": self.source_value},
        }


class Dangling(Model):
    """A reference to something that is not stored."""

    instance: str
    element: str
    uid: str

    def describe(self) -> dict[str, Any]:
        """Return it as part of an answer."""
        return {"Instance": self.instance, "Element": self.element, "UID": self.uid}


class Rewritten(Model):
    """An object in which references are rewritten, by its new identifier."""

    instance: str
    source: str
    count: int

    def describe(self) -> dict[str, Any]:
        """Return it as part of an answer."""
        return {"Instance": self.instance, "Source": self.source, "Count": self.count}


class ReferenceReport(Model):
    """What happens to references, in the instances that are moved and in the rest of the patient.

    Attributes
    ----------
    repair : bool
        Whether they are rewritten, or only listed.
    rewritten : tuple of Rewritten
        Objects that refer to what is moved.
    before, after : tuple of Dangling
        References to instances, series and studies that are not stored, by where they are then.
    unsigned : tuple of str
        Instances whose digital signatures go since they change, by their new identifiers.
    """

    repair: bool = True
    rewritten: tuple[Rewritten, ...] = ()
    before: tuple[Dangling, ...] = ()
    after: tuple[Dangling, ...] = ()
    unsigned: tuple[str, ...] = ()

    def describe(self, whole: bool) -> dict[str, Any]:
        """Return the report; the lists only if `whole`, else their lengths."""
        described: dict[str, Any] = {
            "Mode": "Repair" if self.repair else "Report",
            "RewrittenCount": sum(one.count for one in self.rewritten) if self.repair else 0,
            "DanglingCount": {"Before": len(self.before), "After": len(self.after)},
        }
        key = "Rewritten" if self.repair else "Affected"
        described[key] = [one.describe() for one in self.rewritten]
        described["SignaturesRemoved"] = list(self.unsigned)
        if whole:
            described["Dangling"] = {
                "Before": [one.describe() for one in self.before],
                "After": [one.describe() for one in self.after],
            }
        return described


class Plan(Model):
    """A whole operation.

    Attributes
    ----------
    digest : str
        Identifies the request and the state of its sources: with the same digest, the same
        operation makes the same instances.
    created : str
        When the plan was made (DT, PS3.5 6.2); what the changed instances say of themselves.
    level, resource : str
        What the request named.
    parents : tuple of str
        The resources that the instances come from, as the request names them.
    groups : tuple of PlannedGroup
        Instances that are moved.
    overwritten : tuple of PlannedSeries
        Instances that stay where they are and change.
    dropped : tuple of Dropped
        Duplicates that go.
    standing : tuple of str
        Patients, studies and series that instances are moved into and that were there before.
    studies : dict
        New Study Instance UIDs by old ones, for studies that move as a whole to one.
    unmoved : int
        Instances of the source that stay as they are.
    unreadable : tuple of str
        Instances that stay because they cannot be changed safely.
    notes : dict
        What only this kind of operation has to say, as part of the answer.
    """

    kind: Kind
    digest: str
    created: str
    level: str
    resource: str
    parents: tuple[str, ...]
    keep_source: bool
    keep_labels: bool
    original_attributes: bool
    groups: tuple[PlannedGroup, ...]
    overwritten: tuple[PlannedSeries, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    standing: tuple[str, ...] = ()
    studies: dict[str, str] = Field(default_factory=dict)
    references: ReferenceReport = ReferenceReport()
    conflicts: tuple[Conflict, ...] = ()
    unmoved: int = 0
    unreadable: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: dict[str, Any] = Field(default_factory=dict)
    follow: bool = False

    @property
    def subject(self) -> str:
        """The patient, study or series that the operation is about."""
        return self.parents[0] if self.kind == Kind.UNDO else self.resource

    @property
    def series(self) -> tuple[PlannedSeries, ...]:
        """All new series."""
        return tuple(series for group in self.groups for series in group.series)

    @property
    def instances(self) -> tuple[PlannedInstance, ...]:
        """All instances that are moved."""
        return tuple(instance for series in self.series for instance in series.instances)

    @property
    def instances_count(self) -> int:
        """Number of instances that are moved."""
        return sum(group.instances_count for group in self.groups)

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.groups or self.overwritten or self.dropped)

    def changed(self) -> Iterator[tuple[PlannedSeries, PlannedInstance]]:
        """Yield every instance that is written, moved or overwritten, with its series."""
        for series in (*self.series, *self.overwritten):
            for instance in series.instances:
                yield series, instance

    def concerned_studies(self) -> set[str]:
        """Return the studies that instances come from, go to, or are changed in."""
        series = (*self.series, *self.overwritten)
        return {study for one in series for study in (one.source_study, one.study_orthanc_id)}

    def targets(self) -> set[str]:
        """Return the series and studies that instances are moved into."""
        return {
            one for series in self.series for one in (series.orthanc_id, series.study_orthanc_id)
        }

    def refusal(self) -> ConflictError:
        """Return the error for a plan with conflicts, which shows both sides to who asked."""
        elements = ", ".join(dict.fromkeys(one.element for one in self.conflicts))
        sources = ", ".join(dict.fromkeys(one.source for one in self.conflicts))
        return ConflictError(
            f"$.OnConflict: {self.conflicts[0].target} and {sources} differ in {elements};"
            ' "Target" takes what the target has',
            conflicts=[one.describe() for one in self.conflicts],
        )

    def uids(self) -> UidMap:
        """Return what becomes of the UIDs of what is moved; nothing of what keeps all of them."""
        moves = {
            instance.source_sop_instance_uid: (series.left(instance), series.taken(instance))
            for series in reversed(self.series)
            for instance in series.instances
        }
        for one in self.dropped:
            moves.setdefault(one.source_sop_instance_uid, (one.left, one.taken))
        by_series: dict[str, tuple[str, str]] = {
            series.source_series_instance_uid: (
                series.study_instance_uid,
                series.series_instance_uid,
            )
            for series in self.series
            if series.whole and series.renamed
        }
        return UidMap(
            {uid: after for uid, (before, after) in moves.items() if after != before},
            by_series,
            {old: new for old, new in self.studies.items() if new != old},
        )

    def describe(self, with_instances: bool) -> dict[str, Any]:
        """Return the plan as the answer of a dry run, or as part of a job's content."""
        described: dict[str, Any] = {
            "Plan": self.digest,
            "ParentResources": list(self.parents),
            "KeepSource": self.keep_source,
            "InstancesCount": self.instances_count,
            "OverwrittenInstancesCount": sum(len(one.instances) for one in self.overwritten),
            "UnmovedInstancesCount": self.unmoved,
            "FailedInstancesCount": len(self.unreadable),
            "FailedInstances": list(self.unreadable),
            "Groups": [_describe_group(group, with_instances) for group in self.groups],
            "References": self.references.describe(whole=with_instances),
            "Warnings": list(self.warnings),
            **self.notes,
        }
        if self.dropped:
            described["DroppedInstances"] = [one.describe() for one in self.dropped]
        if with_instances:
            described["Conflicts"] = [one.describe() for one in self.conflicts]
        studies = {series.study_orthanc_id: series.study_instance_uid for series in self.series}
        if len(studies) == 1:
            described["TargetStudy"], described["TargetStudyUID"] = next(iter(studies.items()))
        return described


def _describe_group(group: PlannedGroup, with_instances: bool) -> dict[str, Any]:
    return {
        "Name": group.name,
        "Values": group.values,
        "InstancesCount": group.instances_count,
        "Series": [_describe_series(series, with_instances) for series in group.series],
    }


def _describe_series(series: PlannedSeries, with_instances: bool) -> dict[str, Any]:
    described: dict[str, Any] = {
        "ID": series.orthanc_id,
        "SeriesInstanceUID": series.series_instance_uid,
        "SeriesNumber": series.series_number,
        "SeriesDescription": series.series_description,
        "InstancesCount": len(series.instances),
        "ParentStudy": series.study_orthanc_id,
        "StudyInstanceUID": series.study_instance_uid,
        "Source": series.source,
    }
    if with_instances:
        described["Instances"] = [
            {
                "ID": instance.orthanc_id,
                "SOPInstanceUID": instance.sop_instance_uid,
                "Source": instance.source,
            }
            for instance in series.instances
        ]
    return described
