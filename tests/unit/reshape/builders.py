"""Instances as the plan sees them: values by element, without files."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from curator.dicom.identifiers import orthanc_identifiers
from curator.dicom.tags import Path, parse_path
from curator.models import validate
from curator.reshape import split
from curator.reshape.request import SplitRequest
from curator.reshape.split import Source, SourceInstance, SourceSeries
from curator.reshape.values import Values

PATIENT_ID = "P1"
STUDY_UID = "1.2.3"

Elements = Mapping[str, Any]


class _Absent(dict[Path, tuple[str, ...]]):
    def __missing__(self, _path: Path) -> tuple[str, ...]:
        return ()


def _texts(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    parts = value if isinstance(value, list | tuple) else [value]
    return tuple(map(str, parts))


def values(uid: str = "1.1", **elements: Any) -> Values:
    """Return the values of an instance that lacks all other elements."""
    return texts_of(elements, uid)


def texts_of(elements: Elements, uid: str = "1.1") -> Values:
    """Return the values of an instance, by names of elements that are no keywords too."""
    found = {parse_path(name): _texts(value) for name, value in elements.items()}
    return Values(_Absent(found), uid)


def column(keyword: str, *found: Any) -> list[Values]:
    """Return instances that differ in one element."""
    return [texts_of({keyword: one}, f"1.{number}") for number, one in enumerate(found)]


def request_of(**body: Any) -> SplitRequest:
    """Return a request from its fields in JSON."""
    return validate(SplitRequest, body)


def source_of(
    request: SplitRequest,
    series: Mapping[str, Sequence[Elements]],
    level: str = "Study",
    unreadable: Iterable[tuple[str, str]] = (),
    numbers: Mapping[str, int | None] | None = None,
    overwritten: int = 0,
) -> Source:
    """Return a study with the elements of its instances by the name of their series.

    Instances hold exactly the elements that the request has to read: asking for another one fails.
    ``unreadable`` are pairs of the series and the name of an instance.
    """
    paths = split.paths(request)
    unreadable = list(unreadable)
    members: list[SourceInstance] = []
    described: list[SourceSeries] = []
    for name, instances in series.items():
        series_uid = f"{STUDY_UID}.{name}"
        identifiers = orthanc_identifiers(PATIENT_ID, STUDY_UID, series_uid, "")
        for number, elements in enumerate(instances):
            uid = f"{series_uid}.{number}"
            found = {parse_path(key): _texts(value) for key, value in elements.items()}
            read = Values({path: found.get(path, ()) for path in paths}, uid)
            orthanc_id = orthanc_identifiers(PATIENT_ID, STUDY_UID, series_uid, uid)[3]
            file_uuid = f"file-{number + overwritten}"
            members.append(SourceInstance(orthanc_id, identifiers[2], file_uuid, read))
        bad = sum(one == name for one, _instance in unreadable)
        series_number = (numbers or {}).get(name, len(described) + 1)
        count = len(instances) + bad if level == "Study" or not described else 0
        described.append(SourceSeries(identifiers[2], series_uid, count, series_number))
    patient, study, _, _ = orthanc_identifiers(PATIENT_ID, STUDY_UID, "", "")
    first = described[0].orthanc_id
    return Source(
        level=level,
        orthanc_id=study if level == "Study" else first,
        patient_orthanc_id=patient,
        patient_id=PATIENT_ID,
        study_orthanc_id=study,
        study_instance_uid=STUDY_UID,
        series=tuple(described),
        instances=tuple(one for one in members if level == "Study" or one.series == first),
        unreadable=tuple((instance, "Malformed") for _series, instance in unreadable),
    )
