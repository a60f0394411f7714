"""The plan of an operation: every change that it makes, known before the first one is made.

A plan is plain data: it is shown by ``DryRun``, kept in the database while its job runs, and says
after a crash what has to be finished or removed.
"""

from typing import Any

from curator.models import Model

#: New values by path; None removes the element.
Edits = dict[str, Any]


class PlannedInstance(Model):
    """One instance: where it is, and what it becomes."""

    source: str
    file_uuid: str
    orthanc_id: str
    sop_instance_uid: str
    edits: Edits


class PlannedSeries(Model):
    """One new series, made from instances of one source series."""

    source: str
    orthanc_id: str
    series_instance_uid: str
    study_orthanc_id: str
    study_instance_uid: str
    patient_orthanc_id: str
    series_number: str
    series_description: str
    edits: Edits
    instances: tuple[PlannedInstance, ...]


class PlannedGroup(Model):
    """One group: what its instances have in common, and the series that they become."""

    name: str
    values: dict[str, str]
    series: tuple[PlannedSeries, ...]

    @property
    def instances_count(self) -> int:
        """Number of instances in the group."""
        return sum(len(series.instances) for series in self.series)


class Plan(Model):
    """A whole operation.

    Attributes
    ----------
    digest : str
        Identifies the request and the state of its sources: with the same digest, the same
        operation makes the same instances.
    created : str
        When the plan was made (DT, PS3.5 6.2); what the changed instances say of themselves.
    unmoved : int
        Instances of the source that stay as they are.
    unreadable : tuple of str
        Instances that stay because they cannot be changed safely.
    """

    digest: str
    created: str
    source_level: str
    source: str
    source_patient: str
    source_study: str
    new_studies: bool
    keep_source: bool
    keep_labels: bool
    original_attributes: bool
    groups: tuple[PlannedGroup, ...]
    unmoved: int
    unreadable: tuple[str, ...]
    warnings: tuple[str, ...]

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

    def describe(self, with_instances: bool) -> dict[str, Any]:
        """Return the plan as the answer of a dry run, or as part of a job's content."""
        described: dict[str, Any] = {
            "Plan": self.digest,
            "ParentResources": [self.source],
            "InstancesCount": self.instances_count,
            "UnmovedInstancesCount": self.unmoved,
            "FailedInstancesCount": len(self.unreadable),
            "FailedInstances": list(self.unreadable),
            "Groups": [_describe_group(group, with_instances) for group in self.groups],
            "Warnings": list(self.warnings),
        }
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
