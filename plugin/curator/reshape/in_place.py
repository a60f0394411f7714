"""Instances that stay where they are and change; pure."""

from collections.abc import Iterable, Mapping

from curator.reshape.plan import Edits, PlannedInstance, PlannedSeries
from curator.reshape.source import Holdings, SourceInstance, by_series


def overwritten(holdings: Holdings, edits: Mapping[str, Edits]) -> tuple[PlannedSeries, ...]:
    """Return instances that are overwritten, by series.

    Parameters
    ----------
    edits : mapping
        What changes, by the Orthanc identifiers of the instances; an empty one changes nothing.
    """
    changed = holdings.within([one for one, own in edits.items() if own])
    return tuple(
        series_in_place(
            holdings, series, [instance_in_place(one, edits[one.orthanc_id]) for one in instances]
        )
        for series, instances in by_series(changed).items()
    )


def series_in_place(
    holdings: Holdings, series_orthanc_id: str, instances: Iterable[PlannedInstance]
) -> PlannedSeries:
    """Return a series of which instances are overwritten where they are."""
    series = holdings.series[series_orthanc_id]
    study = holdings.studies[series.study]
    return PlannedSeries(
        source=series.orthanc_id,
        source_study=study.orthanc_id,
        source_patient=study.patient,
        source_study_instance_uid=study.study_instance_uid,
        source_series_instance_uid=series.series_instance_uid,
        orthanc_id=series.orthanc_id,
        series_instance_uid=series.series_instance_uid,
        study_orthanc_id=study.orthanc_id,
        study_instance_uid=study.study_instance_uid,
        patient_orthanc_id=study.patient,
        series_number=series.number_text,
        series_description=series.series_description,
        whole=False,
        edits={},
        instances=tuple(instances),
    )


def instance_in_place(
    instance: SourceInstance, edits: Edits, references: tuple[str, ...] | None = None
) -> PlannedInstance:
    """Return an instance that is overwritten where it is."""
    uid = instance.values.sop_instance_uid
    return PlannedInstance(
        source=instance.orthanc_id,
        file_uuid=instance.file_uuid,
        orthanc_id=instance.orthanc_id,
        source_sop_instance_uid=uid,
        sop_instance_uid=uid,
        edits=edits,
        references=references,
    )
