"""The plan of a split of a patient into persons."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.dicom.tags import parse_path
from curator.errors import BadRequest, Conflict, CuratorError
from curator.models import validate
from curator.reshape.demographics import NORMALIZATION
from curator.reshape.merge_request import PatientSplitRequest
from curator.reshape.moving import RELATED_COUNTS
from curator.reshape.numbering import whole
from curator.reshape.plan import Plan
from curator.reshape.source import Holdings
from curator.reshape.split_patient import make_plan, wanted
from unit.reshape.builders import (
    NOW,
    changes_of,
    check_identifiers,
    holdings_of,
    orthanc_id,
    series_uid,
    sop_uid,
    study_uid,
)

P1 = orthanc_id("P1")
ANNA = {"PatientName": "Doe^Anna", "PatientBirthDate": "19700101", "PatientSex": "F"}
BERT = {"PatientName": "Doe^Bert", "PatientBirthDate": "19800101", "PatientSex": "M"}
CARL = {"PatientName": "Roe^Carl", "PatientBirthDate": "19900101", "PatientSex": "M"}
KEEP = {"Keep": ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"], "Force": True}
NUMBER = parse_path("InstanceNumber")

Studies = dict[str, dict[str, list[dict[str, Any]]]]

THREE: Studies = {
    "A": {"A1": [ANNA, ANNA], "A2": [ANNA]},
    "B": {"B1": [{**BERT, "SeriesNumber": 1}, BERT]},
    "C": {"C1": [CARL]},
}


def plan_of(studies: Studies, patient: str = "P1", **body: Any) -> Plan:
    request = validate(PatientSplitRequest, body)
    holdings = holdings_for(studies, request, patient)
    return make_plan(holdings, orthanc_id(patient), request, NOW)


def holdings_for(studies: Studies, request: PatientSplitRequest, patient: str = "P1") -> Holdings:
    return holdings_of({patient: studies}, wanted(request), [orthanc_id(patient)])


def patients_of(*patient_ids: str) -> dict[str, str]:
    return {orthanc_id(one): one for one in patient_ids}


# Persons


def test_the_person_with_most_instances_stays_and_the_others_go():
    plan = plan_of(THREE)
    assert plan.unmoved == 3
    assert [one.name for one in plan.groups] == ["Person 2", "Person 3"]
    assert [one.values["PatientName"] for one in plan.groups] == ["Doe^Bert", "Roe^Carl"]
    first, second = plan.series
    assert (first.patient_orthanc_id, second.patient_orthanc_id) == tuple(
        patients_of("P1-2", "P1-3")
    )
    assert {one.source_study for one in plan.series} == {
        orthanc_id("P1", "B"),
        orthanc_id("P1", "C"),
    }
    assert plan.parents == (P1,)
    check_identifiers(plan, patients_of("P1-2", "P1-3"))


def test_only_the_patient_id_and_uids_change():
    plan = plan_of(THREE)
    changes = changes_of(plan, orthanc_id("P1", "C", "C1", 0))
    uids = {"StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"}
    assert changes.keys() == uids | {"PatientID", *RELATED_COUNTS}
    assert changes["PatientID"] == "P1-3"


def test_the_answer_tells_who_is_who_and_how_names_were_compared():
    plan = plan_of(THREE)
    assert plan.notes["Normalization"] == list(NORMALIZATION)
    assert plan.notes["Persons"] == [
        {
            "Name": f"Person {index}",
            "PatientID": one,
            "Patient": orthanc_id(one),
            "InstancesCount": n,
        }
        for index, (one, n) in enumerate([("P1", 3), ("P1-2", 2), ("P1-3", 1)], start=1)
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"PatientName": "DOE^ANNA"},
        {"PatientName": "Doe, Anna"},
        {"PatientName": "Doe^Anna^^^"},
        {"PatientBirthDate": None},
        {"PatientBirthDate": "1970.01.01"},
        {"PatientSex": ""},
        {"PatientSex": "f"},
        {"PatientName": None, "PatientBirthDate": None, "PatientSex": None},
    ],
)
def test_spellings_of_one_person_are_nothing_to_split(other):
    plan = plan_of({"A": {"A1": [ANNA, ANNA]}, "B": {"B1": [{**ANNA, **other}]}})
    assert (plan.groups, plan.unmoved, plan.changes) == ((), 3, False)
    assert plan.warnings == ("There is nothing to split: all instances are of one person",)
    assert len(plan.notes["Persons"]) == 1


@pytest.mark.parametrize(
    "other",
    [{"PatientName": "Doe^Änna"}, {"PatientBirthDate": "19700102"}, {"PatientSex": "M"}],
)
def test_whatever_contradicts_is_another_person(other):
    plan = plan_of({"A": {"A1": [ANNA, ANNA]}, "B": {"B1": [{**ANNA, **other}]}})
    assert plan.instances_count == 1


def test_instances_that_may_be_of_several_persons_are_refused():
    unknown = {"PatientName": None, "PatientBirthDate": None, "PatientSex": None}
    studies: Studies = {"A": {"A1": [ANNA]}, "B": {"B1": [BERT]}, "C": {"C1": [unknown]}}
    with pytest.raises(Conflict, match="1 instances lack what tells whose they are") as raised:
        plan_of(studies)
    assert orthanc_id("P1", "C", "C1", 0) in str(raised.value)
    assert "Doe" not in str(raised.value)


# New identifiers


@pytest.mark.parametrize(
    ("naming", "expected"),
    [
        ("{PatientID}-{Index}", ["P1-2", "P1-3"]),
        ("{PatientName}", ["Doe^Bert", "Roe^Carl"]),
        ("{PatientID}/{PatientBirthDate}", ["P1/19800101", "P1/19900101"]),
        ("{Group}", ["Person 2", "Person 3"]),
        ("x{Index:03}", ["x002", "x003"]),
    ],
)
def test_new_identifiers_are_named_by_a_template(naming, expected):
    plan = plan_of(THREE, Naming=naming)
    assert [one.edits["PatientID"] for one in plan.series] == expected
    check_identifiers(plan, patients_of(*expected))


@pytest.mark.parametrize(
    ("naming", "message"),
    [
        ("{PatientID}", "two persons one PatientID"),
        ("same", "two persons one PatientID"),
        (" P1 ", "two persons one PatientID"),
        ("", "no PatientID"),
        ("{PatientComments}", "no PatientID"),
        ("{PatientSex}", "two persons one PatientID"),
    ],
)
def test_an_identifier_that_is_empty_the_old_one_or_another_persons_is_refused(naming, message):
    with pytest.raises(BadRequest, match=rf"^\$\.Naming: .*{message}"):
        plan_of(THREE, Naming=naming)


def test_a_patient_without_an_identifier_can_be_split():
    plan = plan_of({"A": {"A1": [ANNA, ANNA]}, "B": {"B1": [BERT]}}, patient="")
    check_identifiers(plan, {orthanc_id("-2"): "-2"})


def test_an_identifier_is_no_longer_than_dicom_lets_it_be():
    (series, _) = plan_of(THREE, Naming="{Index}" + "x" * 100).series
    assert len(series.edits["PatientID"]) == 64


# What is divided

SHARED: Studies = {
    "A": {
        "A1": [
            {
                **person,
                "InstanceNumber": number,
                "ImagesInAcquisition": 4,
                "SeriesNumber": 4,
                "NumberOfTemporalPositions": 1,
            }
            for number, person in enumerate((ANNA, ANNA, BERT, ANNA), start=1)
        ],
        "A2": [{**BERT, "SeriesNumber": 5, "InstanceNumber": 9}],
    }
}


def test_two_persons_in_one_study_and_series_are_parted():
    plan = plan_of(SHARED)
    divided, alone = sorted(plan.series, key=lambda one: one.series_number)
    assert (divided.series_number, alone.series_number) == ("4", "5")
    assert divided.study_instance_uid == alone.study_instance_uid != study_uid("A")
    assert (divided.whole, alone.whole) == (False, True)
    assert plan.studies == {}
    changes = changes_of(plan, orthanc_id("P1", "A", "A1", 2))
    assert (
        changes.items()
        >= {
            "InstanceNumber": "1",
            "ImagesInAcquisition": 1,
            "PatientID": "P1-2",
        }.items()
    )
    assert "InstanceNumber" not in changes_of(plan, orthanc_id("P1", "A", "A2", 0))


def test_three_persons_in_one_study_get_a_study_each():
    studies: Studies = {"A": {"A1": [ANNA, ANNA, BERT, CARL]}}
    plan = plan_of(studies)
    assert len({one.study_instance_uid for one in plan.series}) == 2
    assert len({one.series_instance_uid for one in plan.series}) == 2
    assert plan.studies == {}
    check_identifiers(plan, patients_of("P1-2", "P1-3"))


def test_a_study_that_moves_as_a_whole_is_known_as_such():
    plan = plan_of(THREE)
    new = {one.source_study: one.study_instance_uid for one in plan.series}
    assert plan.studies == {
        study_uid("B"): new[orthanc_id("P1", "B")],
        study_uid("C"): new[orthanc_id("P1", "C")],
    }


def test_all_uids_are_kept_where_nothing_is_divided():
    plan = plan_of(THREE, **KEEP)
    assert {one.study_instance_uid for one in plan.series} == {study_uid("B"), study_uid("C")}
    assert {one.series_instance_uid for one in plan.series} == {series_uid("B1"), series_uid("C1")}
    assert {one.sop_instance_uid for one in plan.instances} == {
        sop_uid("B1", 0),
        sop_uid("B1", 1),
        sop_uid("C1", 0),
    }
    assert not any(one.stays for one in plan.instances)
    check_identifiers(plan, patients_of("P1-2", "P1-3"))


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_what_is_divided_keeps_no_uid(keyword):
    with pytest.raises(BadRequest, match=rf"^\$\.Keep: {keyword} cannot be kept"):
        plan_of(SHARED, Keep=[keyword], Force=True)
    kept = plan_of(SHARED, Keep=["SOPInstanceUID"], Force=True)
    assert {one.sop_instance_uid for one in kept.instances} == {sop_uid("A1", 2), sop_uid("A2", 0)}


def test_a_whole_series_of_a_divided_study_can_keep_its_uid():
    studies: Studies = {"A": {"A1": [ANNA, ANNA], "A2": [BERT]}}
    (series,) = plan_of(studies, Keep=["SeriesInstanceUID"], Force=True).series
    assert series.series_instance_uid == series_uid("A2")


@pytest.mark.parametrize(
    ("series", "uid", "keyword"),
    [("A1", "other", "SeriesInstanceUID"), ("B1", "same", "SOPInstanceUID")],
)
def test_kept_uids_that_stay_elsewhere_too_are_refused(series, uid, keyword):
    studies: Studies = {
        "A": {"A1": [{**ANNA, "uid": "same"}, ANNA]},
        "B": {series: [{**BERT, "uid": uid}]},
    }
    with pytest.raises(Conflict, match=rf"^\$\.Keep: .* have one {keyword}"):
        plan_of(studies, Keep=[keyword], Force=True)


# Unreadable instances


def test_unreadable_instances_are_refused_unless_they_may_stay():
    studies: Studies = {"A": {"A1": [ANNA, ANNA]}, "B": {"B1": [BERT, {"unreadable": True}]}}
    with pytest.raises(BadRequest, match="1 instances cannot be read"):
        plan_of(studies)
    plan = plan_of(studies, Permissive=True)
    assert plan.unreadable == (orthanc_id("P1", "B", "B1", 1),)
    assert (plan.instances_count, plan.unmoved, plan.studies) == (1, 2, {})
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID"):
        with pytest.raises(BadRequest, match=rf"^\$\.Keep: {keyword}"):
            plan_of(studies, Permissive=True, Keep=[keyword], Force=True)


def test_where_nothing_can_be_read_nothing_can_be_split():
    with pytest.raises(BadRequest, match="No instance can be read"):
        plan_of({"A": {"A1": [{"unreadable": True}]}}, Permissive=True)


# Plans


def test_a_plan_runs_only_while_it_is_true():
    plan = plan_of(THREE)
    assert plan_of(THREE, Plan=plan.digest) == plan
    for studies, body in (({**THREE, "D": {"D1": [CARL]}}, {}), (THREE, {"Naming": "{Index}"})):
        with pytest.raises(Conflict, match=r"^\$\.Plan"):
            plan_of(studies, Plan=plan.digest, **body)


def test_a_plan_survives_the_database():
    plan = plan_of(SHARED)
    assert validate(Plan, plan.model_dump(mode="json", by_alias=True)) == plan


# Over generated patients

rows = st.lists(
    st.builds(
        lambda person, more: {**person, **more},
        st.sampled_from([ANNA, BERT, CARL]),
        st.fixed_dictionaries(
            {},
            optional={
                "PatientSex": st.just(None),
                "InstanceNumber": st.integers(1, 3),
                "ImagesInAcquisition": st.integers(0, 3),
                "NumberOfTemporalPositions": st.just(1),
                "uid": st.sampled_from(["same", "other"]),
                "unreadable": st.just(True),
            },
        ),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda row: row.get("uid", id(row)),
)
some_studies = st.dictionaries(
    st.sampled_from(["A", "B", "C"]),
    st.dictionaries(st.sampled_from(["S1", "S2", "S3"]), rows, min_size=1, max_size=2),
    min_size=1,
)


def planned(holdings: Holdings, request: PatientSplitRequest) -> Plan | None:
    try:
        return make_plan(holdings, P1, request, NOW)
    except CuratorError:
        return None


@given(
    some_studies,
    st.sampled_from([[], [], *([one] for one in KEEP["Keep"])]),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_every_split_leaves_the_model_whole(studies, keep, permissive, random):
    body = {"Permissive": permissive, **({"Keep": keep, "Force": True} if keep else {})}
    request = validate(PatientSplitRequest, body)
    holdings = holdings_for(studies, request)
    plan = planned(holdings, request)
    if plan is None:
        return
    moved = [one.source for one in plan.instances]
    assert max(Counter(moved).values(), default=1) == 1
    assert len(moved) + plan.unmoved == len(holdings.instances)
    patients = {one["Patient"]: one["PatientID"] for one in plan.notes["Persons"]}
    assert len(set(patients.values())) == len(patients) == len(plan.notes["Persons"])
    check_identifiers(plan, patients)

    patients_of_studies: dict[str, set[str]] = {}
    studies_of_series: dict[str, set[str]] = {}
    for series in plan.series:
        patients_of_studies.setdefault(series.study_instance_uid, set()).add(
            series.patient_orthanc_id
        )
        studies_of_series.setdefault(series.series_instance_uid, set()).add(
            series.study_instance_uid
        )
    staying = [one for one in holdings.instances if one.orthanc_id not in moved]
    for instance in staying:
        _, study, patient = holdings.parents(instance.series)
        patients_of_studies.setdefault(holdings.studies[study].study_instance_uid, set()).add(
            patient
        )
    assert all(len(one) == 1 for one in patients_of_studies.values())
    assert all(len(one) == 1 for one in studies_of_series.values())

    found = {one.orthanc_id: one for one in holdings.instances}
    for series in plan.series:
        if not series.whole:
            numbers = [
                one.edits.get("InstanceNumber", str(whole(found[one.source].values, NUMBER)))
                for one in series.instances
            ]
            assert len(set(numbers)) == len(numbers)
            assert "None" not in numbers

    instances = list(holdings.instances)
    random.shuffle(instances)
    assert planned(replace(holdings, instances=tuple(instances)), request) == plan
