"""Operations on small patients: what is stored, what is asked for.

Every one moves instances, overwrites others that refer to them, and finds something hung on all
resources.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from curator.dicom.identifiers import orthanc_identifiers
from factory import ct_series, mr_series, uid
from referring import make_key_objects, make_report, make_segmentation
from unit.reshape.memory import MemoryOrthanc, Server, Steps

PATIENT = "SYN0001"
OTHER = "SYN0002"


@dataclass(frozen=True)
class Scenario:
    """An operation on what is stored."""

    name: str
    job_type: str
    files: tuple[bytes, ...] = field(repr=False)
    resource: str
    body: Mapping[str, Any]

    def orthanc(
        self, steps: Steps | None = None, overwrites: bool = False, every: int = 1
    ) -> MemoryOrthanc:
        """Return an Orthanc that holds the files, with something hung on what is in it."""
        orthanc = MemoryOrthanc(steps, overwrites)
        for file in self.files:
            orthanc.receive(file)
        orthanc.adorn(every)
        return orthanc

    def run(self, server: Server, operation_id: str = "op", **body: Any) -> dict[str, Any]:
        """Carry it out."""
        body = {**self.body, "OperationId": operation_id, **body}
        return server.run(self.job_type, self.resource, **body)

    def keeping_source(self) -> "Scenario":
        """Return the same operation, which copies what it moves otherwise."""
        body = {k: v for k, v in self.body.items() if k not in ("Keep", "Force")}
        return replace(self, name=f"{self.name}-copying", body={**body, "KeepSource": True})

    def __str__(self) -> str:
        return self.name


def patient_id(patient: str = PATIENT) -> str:
    """Return the Orthanc identifier of a patient."""
    return orthanc_identifiers(patient, "", "", "")[0]


def study_id(study: str, patient: str = PATIENT) -> str:
    """Return the Orthanc identifier of the study of a name."""
    return orthanc_identifiers(patient, uid(study), "", "")[1]


def series_id(study: str, series: str, patient: str = PATIENT) -> str:
    """Return the Orthanc identifier of the series of a name."""
    return orthanc_identifiers(patient, uid(study), uid(study, series), "")[2]


def counts(count: int) -> dict[str, Any]:
    """Return what a series says about the number of its instances."""
    return {"ImagesInAcquisition": count, "NumberOfTemporalPositions": 1}


def _split() -> Scenario:
    images = mr_series(
        1, study="s", series="MR", echo_times=(2.5, 5.0), SeriesNumber=1, ImagesInAcquisition=2
    )
    segmentation = make_segmentation(images[:1], SeriesNumber=2)
    elsewhere = {"StudyInstanceUID": uid("other"), "StudyDescription": "other", "SeriesNumber": 1}
    report = make_report(images, **elsewhere)
    return Scenario(
        "split",
        "CuratorSplit",
        (*images, segmentation, report),
        study_id("s"),
        {"By": ["EchoTime"], "Into": "Series"},
    )


def _split_in_part() -> Scenario:
    split = _split()
    where = {"Tag": "EchoTime", "Equals": 5.0}
    return replace(split, name="split-in-part", body={**split.body, "Where": where})


def _split_into_studies() -> Scenario:
    split = _split()
    return replace(
        split,
        name="split-into-studies",
        job_type="CuratorSplitSeries",
        resource=series_id("s", "MR"),
        body={"By": ["EchoTime"], "Into": "Studies", "Replace": {"PatientID": OTHER}},
    )


def _merge() -> Scenario:
    target = ct_series(1, study="a", series="CT", AccessionNumber="A")
    source = ct_series(2, study="b", series="CT", AccessionNumber="B", **counts(2))
    rest = make_segmentation(source, AccessionNumber="B", SeriesNumber=2)
    third = make_key_objects(
        [*source, *target], StudyInstanceUID=uid("c"), StudyDescription="third", SeriesNumber=1
    )
    return Scenario(
        "merge",
        "CuratorMerge",
        (*target, *source, rest, third),
        study_id("a"),
        {"Resources": [series_id("b", "CT")]},
    )


def _merge_into_series() -> Scenario:
    frame = {"FrameOfReferenceUID": uid("frame")}
    target = ct_series(2, study="a", series="CT", AccessionNumber="A", **frame, **counts(2))
    source = ct_series(
        2,
        study="b",
        series="CT",
        AccessionNumber="B",
        ImagePositionPatient=lambda index: [0.0, 0.0, 1.0 + index],
        seed=lambda index: 1 + index,
        **frame,
    )
    report = make_report([*source, *target], AccessionNumber="B", SeriesNumber=2)
    return Scenario(
        "merge-into-series",
        "CuratorMerge",
        (*target, *source, report),
        study_id("a"),
        {
            "Resources": [study_id("b")],
            "SeriesInto": {series_id("b", "CT"): series_id("a", "CT")},
            "Duplicates": "KeepLast",
        },
    )


def _merge_series() -> Scenario:
    number = {"SeriesNumber": 1, "AcquisitionTime": None, **counts(2)}
    target = ct_series(
        2,
        study="s",
        series="T",
        **number,
        ImagePositionPatient=lambda index: [0.0, 0.0, 2.0 * index],
    )
    number["SeriesNumber"] = 2
    source = ct_series(
        2,
        study="s",
        series="S",
        **number,
        ImagePositionPatient=lambda index: [0.0, 0.0, 1.0 + index],
        seed=lambda index: (7, 1)[index],
    )
    segmentation = make_segmentation(source, SeriesNumber=3)
    return Scenario(
        "merge-series",
        "CuratorMergeSeries",
        (*target, *source, segmentation),
        series_id("s", "T"),
        {"Resources": [series_id("s", "S")], "Duplicates": "KeepFirst"},
    )


def _merge_patients() -> Scenario:
    target = ct_series(2, study="a", series="CT", PatientName="DOE^JANE")
    differing = ct_series(1, study="a2", series="CT", PatientName="DOE^J")
    of_other = {"PatientID": OTHER, "PatientName": "DOE^JANE^X"}
    source = ct_series(1, study="b", series="CT", **of_other)
    report = make_report(source, SeriesNumber=2)
    other = make_report(source, StudyInstanceUID=uid("b2"), SeriesNumber=1, label="OTHER")
    return Scenario(
        "merge-patients",
        "CuratorMergePatients",
        (*target, *differing, *source, report, other),
        patient_id(),
        {
            "Resources": [patient_id(OTHER)],
            "OnConflict": "Target",
            "OtherPatientIDs": True,
            "Keep": ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"],
            "Force": True,
        },
    )


def _split_patient() -> Scenario:
    one = ct_series(2, study="a", series="CT", PatientName="DOE^JANE", PatientSex="F")
    other = ct_series(
        1, study="b", series="CT", PatientName="ROE^RICHARD", PatientBirthDate="19700101"
    )
    report = make_report(one, StudyInstanceUID=uid("c"), SeriesNumber=1)
    return Scenario(
        "split-patient", "CuratorSplitPatient", (*one, *other, report), patient_id(), {}
    )


SPLIT = _split()
MERGE = _merge()
MERGE_SERIES = _merge_series()
MERGE_PATIENTS = _merge_patients()

#: One of each, as the crash tests go through all of their steps.
MAIN = (SPLIT, MERGE, MERGE_SERIES, MERGE_PATIENTS)

EVERY = (
    *MAIN,
    _split_in_part(),
    _split_into_studies(),
    _merge_into_series(),
    _split_patient(),
)
