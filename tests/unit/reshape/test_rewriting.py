"""From a stored file to the one that takes its place."""

from functools import partial

import pytest

from curator.dicom import reader
from curator.dicom.tags import parse_path
from curator.errors import Conflict, UnreadableInstance
from curator.reshape import delta
from curator.reshape.plan import Kind, Plan, PlannedGroup, PlannedInstance, PlannedSeries
from curator.reshape.plan import ReferenceReport as References
from curator.reshape.rewriting import EditRewriter, RestoringRewriter
from factory import ct_series, make_instance, uid
from referring import make_segmentation

IMAGES = ct_series(2, study="s", series="CT")
NEW_STUDY, NEW_SERIES = uid("new study"), uid("new series")


def instance(number: int = 0, **values: object) -> PlannedInstance:
    return PlannedInstance(
        source=f"old-{number}",
        file_uuid="file",
        orthanc_id=f"new-{number}",
        source_sop_instance_uid=uid("s", "CT", number),
        sop_instance_uid=uid("new", number),
        **values,
    )


def series(*instances: PlannedInstance, **edits: object) -> PlannedSeries:
    return PlannedSeries(
        source="old-series",
        source_study="old-study",
        source_patient="patient",
        source_study_instance_uid=uid("s"),
        source_series_instance_uid=uid("s", "CT"),
        orthanc_id="new-series",
        series_instance_uid=NEW_SERIES,
        study_orthanc_id="new-study",
        study_instance_uid=NEW_STUDY,
        patient_orthanc_id="patient",
        series_number="1",
        series_description="CT",
        whole=True,
        edits=edits,
        instances=instances,
    )


def plan(*members: PlannedSeries, **values: object) -> Plan:
    return Plan(
        **{
            "kind": Kind.SPLIT,
            "digest": "d",
            "created": "20240202120000.000000+0000",
            "level": "Study",
            "resource": "old-study",
            "parents": ("old-study",),
            "keep_source": False,
            "keep_labels": True,
            "original_attributes": True,
            "groups": (PlannedGroup(name="g", series=members),),
            **values,
        }
    )


def text(file: bytes, element: str) -> str | None:
    path = parse_path(element)
    return reader.read(file, [path]).string(path)


def texts(file: bytes, element: str) -> tuple[str, ...]:
    path = parse_path(element)
    return reader.read(file, [path]).strings(path)


RECORDED = "OriginalAttributesSequence[*].ModifiedAttributesSequence[*]"


def test_edits_of_the_series_and_of_the_instance_are_made():
    one = instance(edits={"InstanceNumber": "9"})
    of_series = series(one, SeriesDescription="new")
    made = EditRewriter(plan(of_series), "ISO_IR 6")(of_series, one, IMAGES[0])
    assert (text(made, "SeriesDescription"), text(made, "InstanceNumber")) == ("new", "9")
    assert reader.pixel_digest(made) == reader.pixel_digest(IMAGES[0])


def test_each_instance_records_what_changed_in_it_and_no_more():
    numbered, other = instance(0, edits={"InstanceNumber": "9"}), instance(1)
    of_series = series(numbered, other, SeriesDescription="new")
    rewrite = partial(EditRewriter(plan(of_series), "ISO_IR 6"), of_series)
    first, second = rewrite(numbered, IMAGES[0]), rewrite(other, IMAGES[1])
    assert texts(first, f"{RECORDED}.InstanceNumber") == ("1",)
    assert texts(second, f"{RECORDED}.InstanceNumber") == ()
    assert texts(first, f"{RECORDED}.SeriesDescription") == ("CT",)
    assert texts(second, f"{RECORDED}.SeriesDescription") == ("CT",)


def test_nothing_is_recorded_where_that_is_turned_off():
    one = instance()
    of_series = series(one, SeriesDescription="new")
    off = plan(of_series, original_attributes=False)
    made = EditRewriter(off, "ISO_IR 6")(of_series, one, IMAGES[0])
    assert texts(made, "OriginalAttributesSequence[*].ReasonForTheAttributeModification") == ()


def test_references_are_rewritten_and_recorded():
    segmentation = make_segmentation(IMAGES)
    moved = series(instance(0), instance(1))
    one = instance(2, references=("ReferencedSeriesSequence",))
    rewrite = EditRewriter(plan(moved), "ISO_IR 6")
    made = rewrite(series(one), one, segmentation)
    path = "ReferencedSeriesSequence[*].ReferencedInstanceSequence[*].ReferencedSOPInstanceUID"
    elsewhere = "StudiesContainingOtherReferencedInstancesSequence[*]."
    assert texts(made, elsewhere + path) == (uid("new", 0), uid("new", 1))
    assert texts(made, f"{RECORDED}.{path}") == (uid("s", "CT", 0), uid("s", "CT", 1))


def test_references_stay_where_they_are_only_reported():
    segmentation = make_segmentation(IMAGES)
    one = instance(0, references=())
    report = References(repair=False)
    rewrite = EditRewriter(plan(series(one), references=report), "ISO_IR 6")
    path = "ReferencedSeriesSequence[*].ReferencedInstanceSequence[*].ReferencedSOPInstanceUID"
    assert texts(rewrite(series(one), one, segmentation), path) == texts(segmentation, path)


def test_an_instance_that_cannot_be_changed_is_named():
    one = instance()
    with pytest.raises(UnreadableInstance, match="Instance old-0: "):
        EditRewriter(plan(series(one)), "ISO_IR 6")(series(one), one, b"no DICOM")


def test_the_same_edits_make_the_same_file_twice():
    one = instance(edits={"SOPInstanceUID": uid("new", 0)})
    of_series = series(one, SeriesInstanceUID=NEW_SERIES, StudyInstanceUID=NEW_STUDY)
    first, second = (EditRewriter(plan(of_series), "ISO_IR 6") for _ in range(2))
    assert first(of_series, one, IMAGES[0]) == second(of_series, one, IMAGES[0])


def test_a_file_is_restored_from_the_way_back_of_its_instance():
    old, new = make_instance(PatientName="DOE^JANE"), make_instance(PatientName="ROE^R")
    restore = RestoringRewriter({"new-0": delta.way_back(new, old)})
    assert restore(series(instance()), instance(), new) == old


def test_an_instance_without_a_way_back_is_refused():
    with pytest.raises(Conflict, match="Nothing is known about what instance old-0 was"):
        RestoringRewriter({})(series(instance()), instance(), IMAGES[0])
