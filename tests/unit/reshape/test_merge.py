"""The plan of a merge into a study."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.dicom.tags import parse_path
from curator.errors import BadRequest, Conflict, CuratorError
from curator.models import validate
from curator.reshape.merge import make_plan, wanted
from curator.reshape.merge_request import MergeRequest
from curator.reshape.moving import RELATED_COUNTS
from curator.reshape.numbering import whole
from curator.reshape.plan import Plan
from curator.reshape.source import Holdings
from unit.reshape.builders import (
    NOW,
    Patients,
    changes_of,
    check_identifiers,
    holdings_of,
    orthanc_id,
    placed,
    series_uid,
    sop_uid,
    study_uid,
)

A, B, C = (orthanc_id(*line) for line in (("P1", "A"), ("P1", "B"), ("P2", "C")))
KEEP: dict[str, Any] = {"Keep": ["SeriesInstanceUID", "SOPInstanceUID"], "Force": True}
NUMBER = parse_path("InstanceNumber")


def plan_of(patients: Patients, *resources: str, target: str = A, **body: Any) -> Plan:
    """Plan a merge into study A of patient P1."""
    request = request_of(*resources, **body)
    return make_plan(holdings_for(patients, request, target), target, request, NOW)


def request_of(*resources: str, **body: Any) -> MergeRequest:
    return validate(MergeRequest, {"Resources": list(resources), **body})


def holdings_for(patients: Patients, request: MergeRequest, target: str = A) -> Holdings:
    return holdings_of(patients, wanted(request), [target, *request.resources])


def two(target: dict[str, Any], source: dict[str, Any], count: int = 1) -> Patients:
    """Return two studies of one patient, whose instances all have these elements."""
    return {"P1": {"A": {"A1": [target] * count}, "B": {"B1": [source] * count}}}


def same_person(*studies: Patients) -> Patients:
    return {"P1": {name: series for one in studies for name, series in one["P1"].items()}}


def moved_series(plan: Plan) -> dict[str, Any]:
    return {one.source: one for one in plan.series}


# What is merged

STUDIES: Patients = {
    "P1": {
        "A": {"A1": [{"SeriesNumber": 1}]},
        "B": {
            "B1": [{"SeriesNumber": 1, "InstanceNumber": n} for n in (1, 2)],
            "B2": [{"SeriesNumber": 2}],
        },
    },
    "P2": {"C": {"C1": [{"SeriesNumber": 1}]}},
}
B1, B2, C1 = (
    orthanc_id(*line) for line in (("P1", "B", "B1"), ("P1", "B", "B2"), ("P2", "C", "C1"))
)
B1_0, B1_1, B2_0 = (orthanc_id("P1", "B", *line) for line in (("B1", 0), ("B1", 1), ("B2", 0)))


@pytest.mark.parametrize(
    ("resources", "moved"),
    [
        ([B], [B1_0, B1_1, B2_0]),
        ([B, B], [B1_0, B1_1, B2_0]),
        ([B1], [B1_0, B1_1]),
        ([B1, B, B1_0], [B1_0, B1_1, B2_0]),
        ([B1_1], [B1_1]),
        ([B1_1, B1_1], [B1_1]),
        ([B1_0, B2], [B1_0, B2_0]),
    ],
)
def test_what_is_named_is_moved_once(resources, moved):
    plan = plan_of(STUDIES, *resources)
    assert Counter(one.source for one in plan.instances) == Counter(moved)
    assert plan.parents == tuple(dict.fromkeys(resources))
    assert all(one.study_instance_uid == study_uid("A") for one in plan.series)
    assert not plan.overwritten
    check_identifiers(plan, {orthanc_id("P1"): "P1"})


def test_several_studies_of_several_patients_come_together():
    plan = plan_of(STUDIES, C, B, OnConflict="Target")
    assert [group.name for group in plan.groups] == [C, B]
    assert {one.patient_orthanc_id for one in plan.series} == {orthanc_id("P1")}
    assert changes_of(plan, orthanc_id("P2", "C", "C1", 0))["PatientID"] == "P1"
    assert plan.studies == {study_uid("B"): study_uid("A"), study_uid("C"): study_uid("A")}
    assert plan.standing == (A, orthanc_id("P1"))
    check_identifiers(plan, {orthanc_id("P1"): "P1"})


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ([A], r"^\$\.Resources\[0\]: a study cannot be merged into itself"),
        ([B, orthanc_id("P1", "A", "A1")], r"^\$\.Resources\[1\]: .* is in the target study"),
        ([orthanc_id("P1", "A", "A1", 0)], r"^\$\.Resources\[0\]: .* is in the target study"),
    ],
)
def test_the_target_cannot_be_merged_into_itself(resources, message):
    with pytest.raises(BadRequest, match=message):
        plan_of(STUDIES, *resources)


@pytest.mark.parametrize(
    ("resources", "whole_study"), [([B], True), ([B1, B2], True), ([B1], False), ([B1_0], False)]
)
def test_a_study_moves_as_a_whole_when_nothing_of_it_stays(resources, whole_study):
    plan = plan_of(STUDIES, *resources)
    assert plan.studies == ({study_uid("B"): study_uid("A")} if whole_study else {})
    assert moved_series(plan)[B1].whole == (B1_0 not in resources)


def test_a_study_that_both_patients_have_becomes_one():
    """The same Study Instance UID under two patients, as some archives have it."""
    patients = {"P1": {"A": {"A1": [{}]}}, "P2": {"A": {"B1": [{}]}}}
    plan = plan_of(patients, orthanc_id("P2", "A"), OnConflict="Target")
    (series,) = plan.series
    assert series.study_orthanc_id == A
    assert series.edits["PatientID"] == "P1"
    assert "StudyInstanceUID" not in series.edits
    assert plan.uids().studies == {}


# Unreadable instances


@pytest.mark.parametrize("where", ["A", "B"])
def test_unreadable_instances_are_refused(where):
    patients = {
        "P1": {study: {f"{study}1": [{}, {"unreadable": study == where}]} for study in "AB"}
    }
    with pytest.raises(BadRequest, match="1 instances cannot be read"):
        plan_of(patients, B)
    plan = plan_of(patients, B, Permissive=True)
    unreadable = orthanc_id("P1", where, f"{where}1", 1)
    assert plan.unreadable == (unreadable,)
    assert unreadable not in {one.source for one in plan.instances}
    assert bool(plan.studies) == (where == "A")


def test_unreadable_instances_elsewhere_do_not_matter():
    patients = {
        "P1": {"A": {"A1": [{}]}, "B": {"B1": [{}], "B2": [{"unreadable": True}]}},
    }
    plan = plan_of(patients, B1)
    assert (plan.unreadable, plan.studies) == ((), {})


@pytest.mark.parametrize(("where", "message"), [("A", f"study {A}"), ("B", r"^\$\.Resources: ")])
def test_where_nothing_can_be_read_nothing_can_be_merged(where, message):
    patients = {"P1": {study: {f"{study}1": [{"unreadable": study == where}]} for study in "AB"}}
    with pytest.raises(BadRequest, match=message):
        plan_of(patients, B, Permissive=True)


# Patient and study modules

ITEMS = [{"CodeValue": "1", "CodingSchemeDesignator": "X", "CodeMeaning": "x" * 2000}]


@pytest.mark.parametrize(
    ("keyword", "target", "source"),
    [
        ("StudyDescription", "ours", "theirs"),
        ("StudyDescription", "ours", None),
        ("StudyDescription", None, "theirs"),
        ("StudyDescription", "", "theirs"),
        ("PatientComments", "x" * 5000, "theirs"),
        ("ProcedureCodeSequence", ITEMS, None),
        ("ProcedureCodeSequence", ITEMS, [{"CodeValue": "2"}]),
        ("ProcedureCodeSequence", None, ITEMS),
        ("ReferringPhysicianIdentificationSequence", [], ITEMS),
        ("ClinicalTrialTimePointID", "1", "2"),
        ("ClinicalTrialSubjectID", "1", None),
        ("OtherPatientIDsSequence", None, [{"PatientID": "x"}]),
        ("PatientName", "A^B", "a^b"),
    ],
)
def test_modules_are_those_of_the_target(keyword, target, source):
    plan = plan_of(two({keyword: target}, {keyword: source}), B)
    assert changes_of(plan, B1_0)[keyword] == target
    assert plan.overwritten == ()
    assert plan.conflicts == ()


def test_what_is_the_same_already_is_not_changed():
    row = {
        "StudyDescription": "d",
        "ProcedureCodeSequence": ITEMS,
        "PatientWeight": "70",
        "InstanceNumber": 1,
    }
    changes = changes_of(plan_of(two(row, row), B), B1_0)
    uids = {"StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"}
    assert changes.keys() == uids | set(RELATED_COUNTS)


def test_what_the_target_disagrees_on_is_a_conflict_with_both_values():
    rows = [{"StudyDescription": one} for one in ("most", "most", "few")]
    patients = {"P1": {"A": {"A1": rows}, "B": {"B1": [{}]}}}
    (conflict,) = plan_of(patients, B).conflicts
    assert (conflict.element, conflict.target, conflict.source) == ("StudyDescription", A, A)
    assert (conflict.target_value, conflict.source_value) == ("most", "few")


def test_the_target_decides_over_its_own_deviating_instances_too():
    rows = [
        {"StudyDescription": "most", "ProcedureCodeSequence": ITEMS},
        {"StudyDescription": "most"},
        {"StudyDescription": "few", "ProcedureCodeSequence": []},
    ]
    patients = {"P1": {"A": {"A1": rows}, "B": {"B1": [{}]}}}
    plan = plan_of(patients, B, OnConflict="Target")
    assert plan.conflicts == ()
    overwritten = {one.source for series in plan.overwritten for one in series.instances}
    second, third = (orthanc_id("P1", "A", "A1", number) for number in (1, 2))
    assert overwritten == {second, third}
    assert changes_of(plan, second) == {"ProcedureCodeSequence": ITEMS}
    assert changes_of(plan, third) == {
        "ProcedureCodeSequence": ITEMS,
        "StudyDescription": "most",
    }
    assert changes_of(plan, B1_0)["StudyDescription"] == "most"
    assert plan.notes["IncompleteElements"] == ["ProcedureCodeSequence"]


def test_what_some_of_the_target_lack_is_told_and_left_alone():
    rows = [{"StudyID": "1"}, {}]
    plan = plan_of({"P1": {"A": {"A1": rows}, "B": {"B1": [{}]}}}, B)
    assert plan.notes["IncompleteElements"] == ["StudyID"]
    assert plan.overwritten == ()
    assert changes_of(plan, B1_0)["StudyID"] == "1"


@pytest.mark.parametrize(
    ("keyword", "ours", "theirs", "conflicts"),
    [
        ("PatientBirthDate", "19700101", "19700102", True),
        ("PatientBirthDate", "19700101", "", False),
        ("PatientBirthDate", "19700101", None, False),
        ("PatientBirthDate", "", "19700101", False),
        ("PatientSex", "F", "M", True),
        ("PatientSex", None, "M", False),
        ("IssuerOfPatientID", "X", "Y", True),
        ("IssuerOfPatientID", "X", None, False),
        ("PatientName", "A^B", "C^D", False),
        ("AccessionNumber", "1", "2", False),
    ],
)
def test_another_identity_is_a_conflict_and_empty_is_none(keyword, ours, theirs, conflicts):
    patients = two({keyword: ours}, {keyword: theirs})
    plan = plan_of(patients, B)
    shown = [(one.target_value, one.source, one.source_value) for one in plan.conflicts]
    assert shown == ([(ours, B, theirs)] if conflicts else [])
    assert plan_of(patients, B, OnConflict="Target").conflicts == ()


def test_another_patient_id_is_a_conflict():
    (conflict,) = plan_of(STUDIES, C).conflicts
    assert (conflict.element, conflict.target_value, conflict.source_value) == (
        "PatientID",
        "P1",
        "P2",
    )
    assert (conflict.target, conflict.source) == (A, C)


def test_the_patient_without_an_id_conflicts_with_one_that_has_one():
    patients = {"P1": {"A": {"A1": [{}]}}, "": {"B": {"B1": [{"PatientID": None}]}}}
    (conflict,) = plan_of(patients, orthanc_id("", "B")).conflicts
    assert (conflict.element, conflict.source_value) == ("PatientID", None)


def test_a_single_instance_of_someone_else_in_a_source_is_a_conflict():
    rows = [{"PatientSex": "F"}, {"PatientSex": "F"}, {"PatientSex": "M"}]
    patients = {"P1": {"A": {"A1": [{"PatientSex": "F"}]}, "B": {"B1": rows}}}
    (conflict,) = plan_of(patients, B).conflicts
    assert conflict.source_value == "M"


def test_other_names_are_warned_of():
    plan = plan_of(two({"PatientName": "A^B"}, {"PatientName": "A^C"}), B)
    assert plan.warnings == (f"The patient's name of study {B} is written differently",)
    assert plan_of(two({"PatientName": "A^B"}, {"PatientName": "A^B^"}), B).warnings == ()


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("Keep", {}),
        ("Target", {"PatientWeight": "70", "PatientAge": None, "Allergies": "x"}),
        ("Clear", {"PatientWeight": None, "PatientAge": None}),
    ],
)
def test_the_patient_study_module_is_as_asked_for(choice, expected):
    target = {"PatientWeight": "70", "Allergies": "x"}
    source = {"PatientWeight": "80", "PatientAge": "070Y"}
    plan = plan_of(two(target, source), B, PatientStudy=choice)
    module = {"PatientWeight", "PatientAge", "Allergies"}
    changes = changes_of(plan, B1_0)
    assert {key: value for key, value in changes.items() if key in module} == expected


def test_a_patient_study_module_that_the_target_disagrees_on_is_told_and_no_conflict():
    rows = [{"PatientWeight": one} for one in ("70", "70", "80")]
    plan = plan_of({"P1": {"A": {"A1": rows}, "B": {"B1": [{}]}}}, B)
    assert plan.notes["AmbiguousPatientStudy"] == ["PatientWeight"]
    assert plan.conflicts == ()
    assert changes_of(plan, B1_0)["PatientWeight"] == "70"


# Numbers


def series_of(study: str, *numbers: int | None) -> dict[str, Any]:
    return {f"{study}{index}": [{"SeriesNumber": number}] for index, number in enumerate(numbers)}


def numbers_of(plan: Plan) -> list[str]:
    return [one.series_number for one in plan.series]


@pytest.mark.parametrize(
    ("target", "sources", "expected"),
    [
        ((1, 2), [(3, 4)], ["3", "4"]),
        ((1, 2), [(1, 2)], ["3", "4"]),
        ((1, 2), [(1, 2), (1, 2)], ["3", "4", "5", "6"]),
        ((1,), [(2,), (2,)], ["2", "3"]),
        ((1,), [(2, 2, 2)], ["2", "3", "4"]),
        ((), [(1,)], ["1"]),
        ((None, 1), [(None, 1)], ["2", ""]),
        ((2**31 - 1,), [(2**31 - 1,)], ["1"]),
        ((0,), [(0, -1)], ["-1", "1"]),
    ],
)
def test_series_numbers_of_the_target_stay_and_others_never_collide(target, sources, expected):
    patients = {"P1": {"A": {"A": [{}], **series_of("A", *target)}}}
    for name, numbers in zip("BC", sources, strict=False):
        patients["P1"][name] = series_of(name, *numbers)
    resources = [orthanc_id("P1", name) for name in patients["P1"] if name != "A"]
    plan = plan_of(patients, *resources)
    assert numbers_of(plan) == expected
    for one in plan.series:
        assert one.edits.get("SeriesNumber", one.series_number) == one.series_number
    assert plan.overwritten == ()


def test_studies_are_numbered_in_the_order_in_which_they_are_named():
    patients = {"P1": {"A": series_of("A", 1), "B": series_of("B", 2), "C": series_of("C", 2)}}
    studies = [orthanc_id("P1", name) for name in "BC"]
    for order in (studies, studies[::-1]):
        plan = plan_of(patients, *order)
        assert {one.source_study: one.series_number for one in plan.series} == dict(
            zip(order, ["2", "3"], strict=True)
        )


def test_a_series_of_several_numbers_gets_one():
    rows = [{"SeriesNumber": 2}, {"SeriesNumber": 1}]
    patients = {"P1": {"A": series_of("A", 1), "B": {"B1": rows}}}
    (series,) = plan_of(patients, B).series
    assert series.edits["SeriesNumber"] == "2"


def test_the_counts_of_a_part_of_a_series_are_corrected():
    said = {"ImagesInAcquisition": 3, "NumberOfTemporalPositions": 1}
    rows = [{"InstanceNumber": n, **said} for n in (1, 2, 3)]
    patients = {"P1": {"A": {"A1": [{}]}, "B": {"B1": rows}}}
    second, third = (orthanc_id("P1", "B", "B1", number) for number in (1, 2))
    plan = plan_of(patients, second, third)
    assert changes_of(plan, second)["ImagesInAcquisition"] == 2
    assert changes_of(plan, second)["InstanceNumber"] == "1"
    assert changes_of(plan, third)["InstanceNumber"] == "2"
    assert "ImagesInAcquisition" not in changes_of(plan_of(patients, B), second)


# Kept identifiers


def test_identifiers_are_kept_where_that_is_asked_for():
    plan = plan_of(STUDIES, B, **KEEP)
    assert {one.series_instance_uid for one in plan.series} == {series_uid("B1"), series_uid("B2")}
    assert {one.sop_instance_uid for one in plan.instances} == {
        sop_uid("B1", 0),
        sop_uid("B1", 1),
        sop_uid("B2", 0),
    }
    assert not any(one.stays for one in plan.instances)
    check_identifiers(plan, {orthanc_id("P1"): "P1"})


@pytest.mark.parametrize("resource", [B1_0, B])
def test_a_divided_series_cannot_keep_its_uid(resource):
    patients = {
        "P1": {"A": {"A1": [{}]}, "B": {"B1": [{}, {"unreadable": resource == B}]}},
    }
    with pytest.raises(BadRequest, match=rf"^\$\.Keep: .* series {B1} is divided"):
        plan_of(patients, resource, Permissive=True, **KEEP)


def test_two_series_of_one_uid_do_not_become_one_by_accident():
    patients = {"P1": {"A": {"X": [{}]}, "B": {"X": [{"uid": "other"}]}}}
    ours, theirs = (orthanc_id("P1", study, "X") for study in "AB")
    with pytest.raises(Conflict, match=r"^\$\.Keep: .* have one SeriesInstanceUID") as raised:
        plan_of(patients, B, Keep=["SeriesInstanceUID"], Force=True)
    assert ours in str(raised.value)
    assert theirs in str(raised.value)
    assert plan_of(patients, B).instances_count == 1


def test_two_sources_of_one_series_uid_are_refused_too():
    patients = {
        "P1": {"A": {"A1": [{}]}, "B": {"X": [{"uid": "one"}]}, "C": {"X": [{"uid": "other"}]}}
    }
    with pytest.raises(Conflict, match="have one SeriesInstanceUID"):
        plan_of(patients, B, orthanc_id("P1", "C"), **KEEP)


@pytest.mark.parametrize(
    "patients",
    [
        {"P1": {"A": {"A1": [{"uid": "same"}]}, "B": {"B1": [{"uid": "same"}]}}},
        {"P1": {"A": {"A1": [{}]}, "B": {"B1": [{"uid": "same"}], "B2": [{"uid": "same"}]}}},
    ],
)
def test_one_instance_uid_in_two_series_is_refused(patients):
    with pytest.raises(Conflict, match=r"^\$\.Keep: instances .* have one SOPInstanceUID"):
        plan_of(patients, B, Keep=["SOPInstanceUID"], Force=True)
    plan = plan_of(patients, B)
    assert len({one.sop_instance_uid for one in plan.instances} - {sop_uid("", "same")}) == len(
        plan.instances
    )


# Into series that the target has

ALIKE = {
    "Modality": "CT",
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
    "FrameOfReferenceUID": "1.2.3",
    "PhotometricInterpretation": "MONOCHROME2",
    "Rows": 2,
    "Columns": 2,
    "BitsAllocated": 16,
    "BitsStored": 16,
    "HighBit": 15,
    "PixelRepresentation": 0,
    "SamplesPerPixel": 1,
    "PixelSpacing": [1, 1],
    "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
}


def at(place: float, number: int, **more: Any) -> dict[str, Any]:
    return {
        **ALIKE,
        "ImagePositionPatient": [0, 0, place],
        "InstanceNumber": number,
        "pixels": f"pixels of {place}",
        **more,
    }


def joinable(*source: dict[str, Any]) -> Patients:
    target = [at(0, 1, StudyID="ours"), at(1, 2, StudyID="ours")]
    return {"P1": {"A": {"A1": target}, "B": {"B1": list(source), "B2": [at(9, 1)]}}}


INTO = {B1: orthanc_id("P1", "A", "A1")}


def test_a_series_becomes_part_of_one_that_the_target_has():
    plan = plan_of(joinable(at(2, 1, SeriesNumber=7), at(3, 2)), B, SeriesInto=INTO)
    joined, other = (moved_series(plan)[one] for one in (B1, B2))
    assert joined.series_instance_uid == series_uid("A1")
    assert joined.orthanc_id == orthanc_id("P1", "A", "A1")
    assert other.series_instance_uid not in (series_uid("A1"), series_uid("B2"))
    assert [one.edits["InstanceNumber"] for one in joined.instances] == ["3", "4"]
    assert joined.edits["StudyID"] == other.edits["StudyID"] == "ours"
    assert joined.edits["SeriesNumber"] is None
    assert orthanc_id("P1", "A", "A1") in plan.standing
    assert plan.overwritten == ()
    (note,) = plan.notes["JoinedSeries"]
    assert (note["Target"], note["Sources"]) == (orthanc_id("P1", "A", "A1"), [B1])
    assert plan.studies == {study_uid("B"): study_uid("A")}
    check_identifiers(plan, {orthanc_id("P1"): "P1"})


def test_a_series_of_the_same_uid_becomes_part_of_its_other_half_with_its_uids():
    patients = {
        "P1": {"A": {"X": [at(0, 1)]}, "B": {"X": [at(1, 2, uid="second")]}},
    }
    ours, theirs = (orthanc_id("P1", study, "X") for study in "AB")
    plan = plan_of(patients, B, SeriesInto={theirs: ours}, **KEEP)
    ((series, instance),) = placed(plan)
    assert (series.orthanc_id, series.series_instance_uid) == (ours, series_uid("X"))
    assert instance.sop_instance_uid == sop_uid("X", "second")


@pytest.mark.parametrize(
    ("into", "message"),
    [
        ({B2: INTO[B1]}, "is not among what is merged"),
        ({"unknown": INTO[B1]}, "is not among what is merged"),
        ({B1: B2}, "is no series of study"),
        ({B1: "unknown"}, "is no series of study"),
    ],
)
def test_only_series_that_are_merged_become_part_of_series_of_the_target(into, message):
    with pytest.raises(BadRequest, match=rf"^\$\.SeriesInto.*{message}"):
        plan_of(joinable(at(2, 1)), B1, SeriesInto=into)


def test_unlike_series_are_not_joined():
    with pytest.raises(Conflict, match="Rows differs"):
        plan_of(joinable(at(2, 1, Rows=3)), B, SeriesInto=INTO)


def test_duplicates_are_refused_or_dropped():
    patients = joinable(at(1, 1), at(2, 2))
    with pytest.raises(Conflict, match=r"^\$\.Duplicates"):
        plan_of(patients, B, SeriesInto=INTO)
    plan = plan_of(patients, B, SeriesInto=INTO, Duplicates="KeepFirst")
    (dropped,) = plan.dropped
    assert (dropped.source, dropped.kept) == (B1_0, orthanc_id("P1", "A", "A1", 1))
    assert plan.instances_count + len(plan.dropped) == 3
    assert plan.studies == {study_uid("B"): study_uid("A")}


def test_an_instance_of_the_target_that_goes_is_not_overwritten_as_well():
    patients = joinable(at(1, 1), at(2, 2))
    patients["P1"]["A"]["A1"][1]["StudyID"] = "deviating"
    patients["P1"]["A"]["A2"] = [at(5, 1, StudyID="ours")]
    body = {"SeriesInto": INTO, "Duplicates": "KeepLast", "OnConflict": "Target"}
    plan = plan_of(patients, B, **body)
    going = {one.source for one in plan.dropped}
    assert going == {orthanc_id("P1", "A", "A1", 1)}
    assert going.isdisjoint(one.source for _, one in plan.changed())


def test_harmonizing_and_renumbering_meet_in_one_instance():
    target = [at(0, 7, StudyID="most"), at(5, 8, StudyID="few"), at(6, 9, StudyID="most")]
    patients = {"P1": {"A": {"A1": target}, "B": {"B1": [at(3, 1)]}}}
    plan = plan_of(patients, B, SeriesInto=INTO, OnConflict="Target")
    changes = changes_of(plan, orthanc_id("P1", "A", "A1", 1))
    assert changes == {"StudyID": "most", "InstanceNumber": "3"}


# Plans


def test_a_plan_runs_only_while_it_is_true():
    plan = plan_of(STUDIES, B)
    assert plan_of(STUDIES, B, Plan=plan.digest) == plan
    changed = same_person(STUDIES, {"P1": {"D": {"D1": [{}]}}})
    for patients, resources in ((changed, [B]), (STUDIES, [B1])):
        with pytest.raises(Conflict, match=r"^\$\.Plan"):
            plan_of(patients, *resources, Plan=plan.digest)


def test_a_plan_survives_the_database():
    plan = plan_of(two({"ProcedureCodeSequence": ITEMS}, {"PatientSex": "F"}), B)
    assert validate(Plan, plan.model_dump(mode="json", by_alias=True)) == plan


# Over generated patients

numbers = st.none() | st.integers(-1, 3)
rows = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "SeriesNumber": numbers,
            "InstanceNumber": numbers,
            "ImagesInAcquisition": st.integers(0, 3),
            "NumberOfTemporalPositions": st.integers(1, 2),
            "StudyDescription": st.sampled_from(["a", "b", ""]),
            "PatientSex": st.sampled_from(["F", "M", "", None]),
            "PatientWeight": st.sampled_from(["70", "80"]),
            "ProcedureCodeSequence": st.sampled_from([ITEMS, []]),
            "uid": st.sampled_from(["same", "other"]),
            "unreadable": st.just(True),
        },
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda row: row.get("uid", id(row)),
)
studies = st.dictionaries(st.sampled_from(["S1", "S2", "S3"]), rows, min_size=1)


@st.composite
def merges(draw: st.DrawFn) -> tuple[Patients, MergeRequest]:
    """Return the study A of P1, others of two patients, and a request to merge some of them."""
    others = draw(
        st.dictionaries(
            st.sampled_from([("P1", "B"), ("P1", "C"), ("P2", "A"), ("P2", "D")]),
            studies,
            min_size=1,
        )
    )
    patients: dict[str, dict[str, Any]] = {"P1": {"A": draw(studies)}}
    named = []
    for (patient, study), found in others.items():
        patients.setdefault(patient, {})[study] = found
        named.append(orthanc_id(patient, study))
        for series, members in found.items():
            named.append(orthanc_id(patient, study, series))
            named += [
                orthanc_id(patient, study, series, row.get("uid", number))
                for number, row in enumerate(members)
            ]
    body: dict[str, Any] = {
        "Permissive": draw(st.sampled_from([True, True, False])),
        "OnConflict": draw(st.sampled_from(["Target", "Refuse"])),
        "PatientStudy": draw(st.sampled_from(["Keep", "Target", "Clear"])),
    }
    keep = draw(st.lists(st.sampled_from(KEEP["Keep"]), unique=True))
    if keep:
        body |= {"Keep": keep, "Force": True}
    else:
        body["KeepSource"] = draw(st.booleans())
    resources = draw(st.lists(st.sampled_from(named), min_size=1, max_size=4))
    return patients, request_of(*resources, **body)


def planned(holdings: Holdings, request: MergeRequest) -> Plan | None:
    try:
        return make_plan(holdings, A, request, NOW)
    except CuratorError:
        return None


@given(merges(), st.randoms(use_true_random=False))
def test_every_merge_leaves_the_model_whole(merge, random):
    patients, request = merge
    holdings = holdings_for(patients, request)
    plan = planned(holdings, request)
    if plan is None:
        return
    moved = [one.source for one in plan.instances]
    selected = {one.orthanc_id for one in holdings.within(request.resources)}
    assert Counter(moved) == Counter(selected)

    target = holdings.within([A])
    identifiers = [one.orthanc_id for one in (*target, *plan.instances)]
    assert len(set(identifiers)) == len(identifiers)
    check_identifiers(plan, {orthanc_id("P1"): "P1"})
    sop_uids = [
        *(one.sop_instance_uid for one in plan.instances),
        *{one.values.sop_instance_uid for one in target},
    ]
    assert len(set(sop_uids)) == len(sop_uids)

    series_uids = [one.series_instance_uid for one in plan.series]
    there = [one.series_instance_uid for one in holdings.series_of(A)]
    assert len({*series_uids, *there}) == len(series_uids) + len(there)
    numbers = [one.series_number for one in plan.series if one.series_number]
    taken = {one.number_text for one in holdings.series_of(A)}
    assert len(set(numbers) - taken) == len(numbers)

    found = {one.orthanc_id: one for one in holdings.instances}
    for series in plan.series:
        new = [
            one.edits.get("InstanceNumber", str(whole(found[one.source].values, NUMBER)))
            for one in series.instances
        ]
        assert len(set(new)) == len(new)
        assert "None" not in new
    modules = [
        {"StudyDescription": None, **found[one.source].elements, **series.edits, **one.edits}
        for series, one in placed(plan)
    ]
    assert len({str(one["StudyDescription"]) for one in modules}) <= 1
    assert all(one["PatientID"] == "P1" for one in modules)

    instances = list(holdings.instances)
    random.shuffle(instances)
    assert planned(replace(holdings, instances=tuple(instances)), request) == plan
