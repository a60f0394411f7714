"""What moving instances has in common, whatever the operation: identifiers, conflicts, digests."""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from curator.dicom.identifiers import derived_uid, orthanc_identifiers
from curator.dicom.tags import parse_path
from curator.errors import BadRequest
from curator.errors import Conflict as ConflictError
from curator.reshape import numbering
from curator.reshape.options import CARRIED_OUT, OperationRequest, PlannedRequest
from curator.reshape.plan import Dropped, Edits, PlannedInstance, PlannedSeries
from curator.reshape.source import Holdings, SourceInstance, SourceSeries, SourceStudy

SERIES_UID = "SeriesInstanceUID"
SOP_UID = "SOPInstanceUID"
STUDY_UID = "StudyInstanceUID"

_LEVELS = {STUDY_UID: "studies", SERIES_UID: "series", SOP_UID: "instances"}

_SERIES_DESCRIPTION = parse_path("SeriesDescription")

#: What a series is read for, beyond what its operation asks for.
PATHS = (*numbering.PATHS, _SERIES_DESCRIPTION)

#: Counts of related objects (PS3.4 C.3), which a move makes wrong.
RELATED_COUNTS = tuple(
    f"NumberOf{level}Related{children}"
    for level, children in (
        ("Patient", "Studies"),
        ("Patient", "Series"),
        ("Patient", "Instances"),
        ("Study", "Series"),
        ("Study", "Instances"),
        ("Series", "Instances"),
    )
)


@dataclass(frozen=True)
class Destination:
    """The series that instances come to be in."""

    patient_id: str
    study_instance_uid: str
    series_instance_uid: str
    series_number: str
    series_description: str

    @property
    def series_orthanc_id(self) -> str:
        """Orthanc identifier of the series."""
        return orthanc_identifiers(
            self.patient_id, self.study_instance_uid, self.series_instance_uid, ""
        )[2]


def moved_series(
    study: SourceStudy,
    series: SourceSeries,
    destination: Destination,
    edits: Edits,
    members: Iterable[PlannedInstance],
) -> PlannedSeries:
    """Return instances of one source series with where they go.

    Parameters
    ----------
    edits : dict
        What changes in all of them, but for the UIDs of study and series.
    members : iterable of PlannedInstance
        The instances, in their new order.
    """
    edits = {**dict.fromkeys(RELATED_COUNTS), **edits}
    if destination.study_instance_uid != study.study_instance_uid:
        edits[STUDY_UID] = destination.study_instance_uid
    if destination.series_instance_uid != series.series_instance_uid:
        edits[SERIES_UID] = destination.series_instance_uid
    patient_id, study_id, series_id, _ = orthanc_identifiers(
        destination.patient_id, destination.study_instance_uid, destination.series_instance_uid, ""
    )
    planned = tuple(members)
    return PlannedSeries(
        source=series.orthanc_id,
        source_study=study.orthanc_id,
        source_patient=study.patient,
        source_study_instance_uid=study.study_instance_uid,
        source_series_instance_uid=series.series_instance_uid,
        orthanc_id=series_id,
        series_instance_uid=destination.series_instance_uid,
        study_orthanc_id=study_id,
        study_instance_uid=destination.study_instance_uid,
        patient_orthanc_id=patient_id,
        series_number=destination.series_number,
        series_description=destination.series_description,
        whole=len(planned) == series.instances_count,
        edits=edits,
        instances=planned,
    )


def as_it_is(
    holdings: Holdings,
    instances: Sequence[SourceInstance],
    destination: Destination,
    edits: Edits,
    keep: Collection[str],
    digest: str,
) -> PlannedSeries:
    """Return a series that moves as it is, numbers included; a part of one gets its own."""
    series = holdings.series[instances[0].series]
    study = holdings.studies[series.study]
    if len(instances) < series.instances_count:
        edits = {**edits, **count_edits(instances)}
        members = numbered(instances, destination, keep, digest)
    else:
        members = [
            moved_instance(one, destination, sop_uid(keep, digest, one), {}) for one in instances
        ]
    return moved_series(study, series, destination, edits, members)


def moved_instance(
    instance: SourceInstance, destination: Destination, sop_instance_uid: str, edits: Edits
) -> PlannedInstance:
    """Return an instance with where it goes."""
    edits = dict(edits)
    old = instance.values.sop_instance_uid
    if sop_instance_uid != old:
        edits[SOP_UID] = sop_instance_uid
    return PlannedInstance(
        source=instance.orthanc_id,
        file_uuid=instance.file_uuid,
        orthanc_id=orthanc_identifiers(
            destination.patient_id,
            destination.study_instance_uid,
            destination.series_instance_uid,
            sop_instance_uid,
        )[3],
        source_sop_instance_uid=old,
        sop_instance_uid=sop_instance_uid,
        edits=edits,
    )


def sop_uid(keep: Collection[str], digest: str, instance: SourceInstance) -> str:
    """Return the SOP Instance UID that an instance keeps or gets."""
    if SOP_UID in keep:
        return instance.values.sop_instance_uid
    return derived_uid(digest, "instance", instance.orthanc_id)


def series_uid(
    keep: Collection[str], digest: str, series: SourceSeries, count: int, *parts: str
) -> str:
    """Return the Series Instance UID that instances of a series keep or get.

    Parameters
    ----------
    count : int
        How many instances of the series these are.
    parts : str
        What else tells the new series from others that come from the same one.

    Raises
    ------
    BadRequest
        If they cannot keep it, since they are not all.
    """
    if SERIES_UID not in keep:
        return derived_uid(digest, "series", *parts, series.orthanc_id)
    if count != series.instances_count:
        raise BadRequest(
            f"$.Keep: SeriesInstanceUID cannot be kept, since series {series.orthanc_id} is divided"
            " and one series cannot be in two studies"
        )
    return series.series_instance_uid


def numbered(
    instances: Sequence[SourceInstance],
    destination: Destination,
    keep: Collection[str],
    digest: str,
) -> list[PlannedInstance]:
    """Return the instances of one series in their order, with numbers that do not collide."""
    order = numbering.instance_order([one.values for one in instances])
    ordered = [instances[index] for index in order]
    numbers = numbering.instance_numbers([one.values for one in ordered])
    return [
        moved_instance(
            instance,
            destination,
            sop_uid(keep, digest, instance),
            {} if numbers is None else number_edits(instance, numbers[index]),
        )
        for index, instance in enumerate(ordered)
    ]


def number_edits(instance: SourceInstance, number: int) -> Edits:
    """Return what gives an instance its number in the series."""
    edits: Edits = {"InstanceNumber": str(number)}
    if instance.values.string(numbering.IMAGE_INDEX):
        edits["ImageIndex"] = number
    return edits


def count_edits(instances: Sequence[SourceInstance]) -> Edits:
    """Return what a series has to say about the number of its instances."""
    counts = numbering.counts([one.values for one in instances])
    return {str(path): count for path, count in counts.items()}


def description(instances: Sequence[SourceInstance]) -> str:
    """Return the description of the series that instances are of."""
    return instances[0].values.string(_SERIES_DESCRIPTION)


def dropped(
    holdings: Holdings,
    instance: SourceInstance,
    kept: SourceInstance,
    becomes: PlannedInstance | None,
    destination: Destination,
    reason: str,
) -> Dropped:
    """Return a duplicate that goes.

    Parameters
    ----------
    kept : SourceInstance
        What is kept in its place.
    becomes : PlannedInstance or None
        Where that moves; None where it stays.
    destination : Destination
        The series that it is in then.
    """
    series = holdings.series[instance.series]
    study = holdings.studies[series.study]
    return Dropped(
        source=instance.orthanc_id,
        series=series.orthanc_id,
        study=study.orthanc_id,
        patient=study.patient,
        source_study_instance_uid=study.study_instance_uid,
        source_series_instance_uid=series.series_instance_uid,
        file_uuid=instance.file_uuid,
        source_sop_instance_uid=instance.values.sop_instance_uid,
        kept_source=kept.orthanc_id,
        kept=becomes.orthanc_id if becomes else kept.orthanc_id,
        study_instance_uid=destination.study_instance_uid,
        series_instance_uid=destination.series_instance_uid,
        sop_instance_uid=becomes.sop_instance_uid if becomes else kept.values.sop_instance_uid,
        reason=reason,
    )


def state_of(holdings: Holdings) -> dict[str, Any]:
    """Return what identifies the state of everything that a plan is made from."""
    concerned = holdings.concerned
    return described_state(
        (one for one in holdings.instances if one.orthanc_id in concerned),
        (one for one, _series, _reason in holdings.unreadable if one in concerned),
        holdings.series.values(),
    )


def described_state(
    instances: Iterable[SourceInstance], unreadable: Iterable[str], series: Iterable[SourceSeries]
) -> dict[str, Any]:
    """Return the same of instances and series, in whatever order they come."""
    return {
        "Instances": sorted((one.orthanc_id, one.file_uuid) for one in instances),
        "Unreadable": sorted(unreadable),
        "Series": sorted((one.orthanc_id, one.number_text) for one in series),
    }


def digest_of(resource: str, request: PlannedRequest, state: Mapping[str, Any]) -> str:
    """Identify a request, but for how it is carried out, and the state of its sources.

    Raises
    ------
    Conflict
        If the request names another one (``Plan``).
    """
    identified = {
        "Resource": resource,
        "Request": request.model_dump(mode="json", exclude=set(CARRIED_OUT)),
        **state,
    }
    digest = hashlib.sha256(json.dumps(identified, sort_keys=True).encode()).hexdigest()
    if request.plan not in (None, digest):
        raise ConflictError(
            f"$.Plan: the source has changed since the dry run, or the request has: it is {digest}"
        )
    return digest


def created(now: datetime) -> str:
    """Return a time as plans have it (DT)."""
    return now.strftime("%Y%m%d%H%M%S.%f%z")


def refuse_unreadable(
    unreadable: Sequence[tuple[str, str]], request: OperationRequest
) -> tuple[str, ...]:
    """Return the instances that stay since they cannot be read.

    Raises
    ------
    BadRequest
        If there are any, and the request does not let them stay.
    """
    if unreadable and not request.permissive:
        first, reason = unreadable[0]
        raise BadRequest(
            f"{len(unreadable)} instances cannot be read, the first is {first}"
            f' ({reason}); "Permissive": true leaves them where they are'
        )
    return tuple(orthanc_id for orthanc_id, _reason in unreadable)


def refuse_repeated(
    holdings: Holdings, standing: Iterable[SourceInstance], moved: Iterable[PlannedSeries]
) -> None:
    """Refuse to bring kept UIDs where other series or instances have them already.

    Parameters
    ----------
    standing : iterable of SourceInstance
        What is there, and stays.

    Raises
    ------
    Conflict
        If two series or two instances would have one.
    """
    series_uids: dict[str, tuple[str, str]] = {}
    sop_uids: dict[str, str] = {}
    for one in standing:
        series_uids[holdings.series[one.series].series_instance_uid] = (one.series, one.series)
        sop_uids[one.values.sop_instance_uid] = one.orthanc_id
    for series in moved:
        own = series.orthanc_id, series.source
        becomes, first = series_uids.setdefault(series.series_instance_uid, own)
        if becomes != series.orthanc_id:
            raise repeated(SERIES_UID, series.source, first)
        for instance in series.instances:
            other = sop_uids.setdefault(instance.sop_instance_uid, instance.source)
            if other != instance.source:
                raise repeated(SOP_UID, instance.source, other)


def repeated(keyword: str, one: str, other: str, way_out: str = "") -> ConflictError:
    """Return the error for two studies, series or instances that would have one UID."""
    level = _LEVELS[keyword]
    return ConflictError(f"$.Keep: {level} {one} and {other} have one {keyword}{way_out}")
