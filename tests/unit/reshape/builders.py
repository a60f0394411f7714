"""Instances as the plan sees them: values by element, without files."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from curator.dicom.identifiers import orthanc_identifiers
from curator.dicom.references import Kind, Reference
from curator.dicom.tags import Path, parse_path, parse_tag, tag_text
from curator.models import validate
from curator.reshape import split
from curator.reshape.plan import Plan, PlannedInstance, PlannedSeries
from curator.reshape.request import SplitRequest
from curator.reshape.source import Holdings, SourceInstance, SourceSeries, SourceStudy, Wanted
from curator.reshape.split import Source
from curator.reshape.values import Values
from factory import uid

PATIENT_ID = "P1"
STUDY_UID = "1.2.3"

NOW = datetime(2024, 1, 2, 3, 4, 5, 678, tzinfo=UTC)

Elements = Mapping[str, Any]

Row = Mapping[str, Any]
"""An instance: elements by keyword; in lower case, what else is known of it (`holdings_of`)."""

Patients = Mapping[str, Mapping[str, Mapping[str, Sequence[Row]]]]
"""Rows by the names of patient, study and series."""


class _Absent(dict[Path, tuple[str, ...]]):
    def __missing__(self, _path: Path) -> tuple[str, ...]:
        return ()


def _texts(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    parts = value if isinstance(value, list | tuple) else [value]
    return tuple(map(str, parts))


def values(sop_instance_uid: str = "1.1", **elements: Any) -> Values:
    """Return the values of an instance that lacks all other elements."""
    return texts_of(elements, sop_instance_uid)


def texts_of(elements: Elements, sop_instance_uid: str = "1.1") -> Values:
    """Return the values of an instance, by names of elements that are no keywords too."""
    found = {parse_path(name): _texts(value) for name, value in elements.items()}
    return Values(_Absent(found), sop_instance_uid)


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
            sop = f"{series_uid}.{number}"
            instance = orthanc_identifiers(PATIENT_ID, STUDY_UID, series_uid, sop)[3]
            file_uuid = f"file-{number + overwritten}"
            read = _read(elements, paths, sop)
            members.append(SourceInstance(instance, identifiers[2], file_uuid, read))
        bad = sum(one == name for one, _instance in unreadable)
        series_number = (numbers or {}).get(name, len(described) + 1)
        count = len(instances) + bad if level == "Study" or not described else 0
        described.append(SourceSeries(identifiers[2], series_uid, count, series_number))
    patient, study, _, _ = orthanc_identifiers(PATIENT_ID, STUDY_UID, "", "")
    first = described[0].orthanc_id
    return Source(
        level=level,
        orthanc_id=study if level == "Study" else first,
        patient_id=PATIENT_ID,
        study=SourceStudy(study, STUDY_UID, patient),
        series=tuple(described),
        instances=tuple(one for one in members if level == "Study" or one.series == first),
        unreadable=tuple((instance, "Malformed") for _series, instance in unreadable),
    )


def study_uid(study: str) -> str:
    """Return the Study Instance UID of a name."""
    return uid("study", study)


def series_uid(series: str) -> str:
    """Return the Series Instance UID of a name, whatever study it is in."""
    return uid("series", series)


def sop_uid(series: str, instance: int | str = 0) -> str:
    """Return the SOP Instance UID of the row of a series, or of a name (``uid``)."""
    return uid("instance", series, instance) if isinstance(instance, int) else uid(instance)


def orthanc_id(patient: str, study: str = "", series: str = "", instance: int | str = "") -> str:
    """Return the Orthanc identifier of what is named: a patient, study, series or instance."""
    depth = 3 if instance != "" else [bool(one) for one in (patient, study, series)].count(True) - 1
    sop = sop_uid(series, instance) if depth == 3 else ""
    return orthanc_identifiers(patient, study_uid(study), series_uid(series), sop)[depth]


def holdings_of(patients: Patients, wanted: Wanted, concerned: Collection[str] = ()) -> Holdings:
    """Return what is stored of patients.

    Of what is not `concerned` no value can be asked for, as it is not read. A row has elements, and
    may have

    - ``uid``: a name for its SOP Instance UID, to have one of them twice,
    - ``file``: a name for its file, ``pixels``: the digest of its pixels,
    - ``refers``: references (`refers_to`, `lists`), ``mentions``: UIDs elsewhere,
    - ``signed``, ``unreadable``: whether it is.
    """
    tree = Holdings(
        patients={orthanc_id(patient): patient for patient in patients},
        studies={
            orthanc_id(patient, study): SourceStudy(
                orthanc_id(patient, study), study_uid(study), orthanc_id(patient)
            )
            for patient, studies in patients.items()
            for study in studies
        },
        series={
            orthanc_id(patient, study, series): _series(patient, study, series, rows)
            for patient, studies in patients.items()
            for study, found in studies.items()
            for series, rows in found.items()
        },
        instances=(),
        concerned=frozenset(),
    )
    instances: list[SourceInstance] = []
    unreadable: list[tuple[str, str, str]] = []
    chosen: set[str] = set()
    for line, row in _rows(patients):
        instance, series = orthanc_id(*line), orthanc_id(*line[:3])
        is_concerned = not {instance, *tree.parents(series)}.isdisjoint(concerned)
        if is_concerned:
            chosen.add(instance)
        if row.get("unreadable"):
            unreadable.append((instance, series, "Malformed"))
        else:
            instances.append(_instance(line, row, wanted if is_concerned else Wanted(frozenset())))
    return Holdings(
        tree.patients,
        tree.studies,
        tree.series,
        tuple(instances),
        frozenset(chosen),
        tuple(unreadable),
    )


def applied(holdings: Holdings, plan: Plan) -> Holdings:
    """Return what is stored once a plan is carried out, but for references."""
    gone = {one.source for one in plan.dropped}
    if not plan.keep_source:
        gone |= {one.source for one in plan.instances}
    found = {one.orthanc_id: one for one in holdings.instances}
    moved = [_rewritten(found[one.source], series, one) for series, one in plan.changed()]
    gone |= {one.orthanc_id for one in moved}
    instances = [one for one in holdings.instances if one.orthanc_id not in gone]
    trees = [_tree(holdings, series) for series in plan.series]
    whole = together(holdings, *trees)
    return replace(whole, instances=(*instances, *moved), concerned=frozenset())


def together(*parts: Holdings) -> Holdings:
    """Return everything that some holdings hold."""
    return Holdings(
        patients={key: value for one in parts for key, value in one.patients.items()},
        studies={key: value for one in parts for key, value in one.studies.items()},
        series={key: value for one in reversed(parts) for key, value in one.series.items()},
        instances=tuple(instance for one in parts for instance in one.instances),
        concerned=frozenset().union(*(one.concerned for one in parts)),
        unreadable=tuple(instance for one in parts for instance in one.unreadable),
    )


def as_read(holdings: Holdings, wanted: Wanted, concerned: Collection[str]) -> Holdings:
    """Return what is known when just this is read: nothing of what is empty or not concerned."""
    chosen = {one.orthanc_id for one in holdings.within(concerned)}
    chosen |= {one for one, _reason in holdings.unreadable_within(concerned)}
    keywords = {tag_text(tag) for tag in wanted.elements}

    def read(one: SourceInstance) -> SourceInstance:
        if one.orthanc_id not in chosen:
            values = Values({}, one.values.sop_instance_uid)
            return replace(one, values=values, elements={}, pixel_digest=None)
        texts = {path: one.values.texts[path] for path in wanted.paths}
        return replace(
            one,
            values=Values(texts, one.values.sop_instance_uid),
            elements={key: value for key, value in one.elements.items() if key in keywords},
            pixel_digest=one.pixel_digest if wanted.pixels else None,
        )

    counts = Counter(one.series for one in holdings.instances)
    counts.update(series for _, series, _ in holdings.unreadable)
    series = {
        key: replace(one, instances_count=counts[key])
        for key, one in holdings.series.items()
        if counts[key]
    }
    studies = {key: holdings.studies[key] for key in {one.study for one in series.values()}}
    return Holdings(
        {one.patient: holdings.patients[one.patient] for one in studies.values()},
        studies,
        series,
        tuple(map(read, holdings.instances)),
        frozenset(chosen),
        holdings.unreadable,
    )


def refers_to(
    uid: str,
    path: str = "ReferencedImageSequence[0].ReferencedSOPInstanceUID",
    kind: Kind = Kind.INSTANCE,
) -> Reference:
    """Return a reference."""
    return Reference(int(parse_tag(path.partition("[")[0])), path, kind, uid, "")


def lists(series: str, *instances: str, number: int = 0, study: str = "") -> list[Reference]:
    """Return the references of an item that lists instances of a series, maybe of a study."""
    item = f"ReferencedSeriesSequence[{number}]."
    found: list[Reference] = []
    if study:
        above = f"StudiesContainingOtherReferencedInstancesSequence[{number}]."
        found.append(refers_to(study, f"{above}StudyInstanceUID", Kind.STUDY))
        item = f"{above}ReferencedSeriesSequence[0]."
    found.append(refers_to(series, f"{item}SeriesInstanceUID", Kind.SERIES))
    leaf = f"{item}ReferencedInstanceSequence"
    found += [
        refers_to(one, f"{leaf}[{index}].ReferencedSOPInstanceUID")
        for index, one in enumerate(instances)
    ]
    return found


def changes_of(plan: Plan, instance: str) -> dict[str, Any]:
    """Return everything that a plan changes in one instance, by keyword."""
    ((series, planned),) = [pair for pair in plan.changed() if pair[1].source == instance]
    return {**series.edits, **planned.edits}


def placed(plan: Plan) -> list[tuple[PlannedSeries, PlannedInstance]]:
    """Return every instance that a plan moves, with its series."""
    return [(series, one) for series in plan.series for one in series.instances]


def check_identifiers(plan: Plan, patient_ids: Mapping[str, str]) -> None:
    """Check that the planned identifiers are those that Orthanc gives.

    Parameters
    ----------
    patient_ids : mapping
        PatientID by Orthanc identifier, of all patients that there are afterwards.
    """
    for series, one in placed(plan):
        assert (
            series.patient_orthanc_id,
            series.study_orthanc_id,
            series.orthanc_id,
            one.orthanc_id,
        ) == orthanc_identifiers(
            patient_ids[series.patient_orthanc_id],
            series.study_instance_uid,
            series.series_instance_uid,
            one.sop_instance_uid,
        )


def _rows(patients: Patients) -> Iterable[tuple[tuple[str, str, str, int | str], Row]]:
    for patient, studies in patients.items():
        for study, found in studies.items():
            for series, rows in found.items():
                for number, row in enumerate(rows):
                    yield (patient, study, series, row.get("uid", number)), row


def _series(patient: str, study: str, series: str, rows: Sequence[Row]) -> SourceSeries:
    first = rows[0] if rows else {}
    number = first.get("SeriesNumber")
    return SourceSeries(
        orthanc_id=orthanc_id(patient, study, series),
        series_instance_uid=series_uid(series),
        instances_count=len(rows),
        series_number=None if number is None else int(number),
        study=orthanc_id(patient, study),
        series_description=first.get("SeriesDescription", ""),
    )


def _instance(line: tuple[str, str, str, int | str], row: Row, wanted: Wanted) -> SourceInstance:
    patient, study, series, instance = line
    elements = {
        "PatientID": patient,
        "StudyInstanceUID": study_uid(study),
        "SeriesInstanceUID": series_uid(series),
        **{keyword: _whole(value) for keyword, value in row.items() if not keyword.islower()},
    }
    keywords = {tag_text(tag) for tag in wanted.elements}
    references = tuple(row.get("refers", ()))
    mentioned = [*(one.uid for one in references), *row.get("mentions", ())]
    return SourceInstance(
        orthanc_id=orthanc_id(*line),
        series=orthanc_id(*line[:3]),
        file_uuid=row.get("file", "file"),
        values=_read({"PatientID": patient, **row}, wanted.paths, sop_uid(series, instance)),
        elements={
            key: value for key, value in elements.items() if key in keywords and value is not None
        },
        references=references,
        mentions=frozenset(one.encode() for one in mentioned),
        signed=row.get("signed", False),
        pixel_digest=row.get("pixels") if wanted.pixels else None,
    )


def _tree(holdings: Holdings, series: PlannedSeries) -> Holdings:
    """Return the parents that a planned series is in, without instances."""
    patient_id = holdings.patients.get(series.patient_orthanc_id)
    if patient_id is None:
        patient_id = series.edits["PatientID"]
    study = SourceStudy(
        series.study_orthanc_id, series.study_instance_uid, series.patient_orthanc_id
    )
    source = SourceSeries(
        orthanc_id=series.orthanc_id,
        series_instance_uid=series.series_instance_uid,
        instances_count=0,
        series_number=int(series.series_number) if series.series_number else None,
        study=study.orthanc_id,
        series_description=series.series_description,
    )
    return Holdings(
        {series.patient_orthanc_id: patient_id},
        {study.orthanc_id: study},
        {source.orthanc_id: source},
        (),
        frozenset(),
    )


def _rewritten(
    instance: SourceInstance, series: PlannedSeries, planned: PlannedInstance
) -> SourceInstance:
    edits = {**series.edits, **planned.edits}
    texts = {
        path: _texts(edits[str(path)]) if str(path) in edits else found
        for path, found in instance.values.texts.items()
    }
    elements = {**instance.elements, **{key: _whole(value) for key, value in edits.items()}}
    return replace(
        instance,
        orthanc_id=planned.orthanc_id,
        series=series.orthanc_id,
        file_uuid=f"{instance.file_uuid} changed",
        values=Values(texts, planned.sop_instance_uid),
        elements={key: value for key, value in elements.items() if value is not None},
    )


def _whole(value: Any) -> Any:
    """Return a whole element as it is read: text, or the items of a sequence."""
    if value is None or (isinstance(value, list) and not all(map(_is_single, value))):
        return value
    return [] if value == [] else "\\".join(_texts(value))


def _is_single(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _read(elements: Elements, paths: Iterable[Path], sop_instance_uid: str) -> Values:
    """Return the values of an instance as they are read: exactly those that are asked for."""
    found = {
        parse_path(name): _texts(value)
        for name, value in elements.items()
        if not name.islower() and (not isinstance(value, list) or all(map(_is_single, value)))
    }
    return Values({path: found.get(path, ()) for path in paths}, sop_instance_uid)
