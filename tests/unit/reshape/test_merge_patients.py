"""The plan of a merge of studies of other patients into a patient."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.errors import BadRequest, Conflict, CuratorError
from curator.models import validate
from curator.reshape.merge_patients import WANTED, make_plan
from curator.reshape.merge_request import PatientMergeRequest
from curator.reshape.moving import RELATED_COUNTS
from curator.reshape.plan import Plan
from curator.reshape.source import Holdings
from unit.reshape.builders import (
    NOW,
    Patients,
    changes_of,
    check_identifiers,
    holdings_of,
    orthanc_id,
    sop_uid,
    study_uid,
)

P1, P2, P3 = (orthanc_id(name) for name in ("P1", "P2", "P3"))
B, C = orthanc_id("P2", "B"), orthanc_id("P2", "C")
KEEP = {"Keep": ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"], "Force": True}

PATIENTS: Patients = {
    "P1": {"A": {"A1": [{}]}},
    "P2": {
        "B": {"B1": [{"SeriesNumber": 1}, {"SeriesNumber": 1}], "B2": [{"SeriesNumber": 1}]},
        "C": {"C1": [{}]},
    },
    "P3": {"D": {"D1": [{}]}},
}


def plan_of(patients: Patients, *resources: str, **body: Any) -> Plan:
    """Plan a merge into patient P1."""
    request = request_of(*resources, **body)
    return make_plan(holdings_for(patients, request), P1, request, NOW)


def request_of(*resources: str, **body: Any) -> PatientMergeRequest:
    named = {"Resources": list(resources)} if resources else {}
    return validate(PatientMergeRequest, {**named, **body})


def holdings_for(patients: Patients, request: PatientMergeRequest) -> Holdings:
    named = [*(request.resources or ()), *(request.studies or ())]
    return holdings_of(patients, WANTED, [P1, *named])


def two(target: dict[str, Any], *sources: dict[str, Any]) -> Patients:
    return {"P1": {"A": {"A1": [target]}}, "P2": {"B": {"B1": list(sources)}}}


B1_0 = orthanc_id("P2", "B", "B1", 0)


# What is merged


@pytest.mark.parametrize(
    ("body", "studies"),
    [
        ({"Resources": [P2]}, "BC"),
        ({"Resources": [P2, P2]}, "BC"),
        ({"Resources": [P2, P3]}, "BCD"),
        ({"Studies": [B]}, "B"),
        ({"Studies": [B, B]}, "B"),
        ({"Studies": [B], "Resources": [P2]}, "BC"),
        ({"Studies": [B], "Resources": [P3]}, "BD"),
    ],
)
def test_patients_and_studies_that_are_named_are_moved_once(body, studies):
    plan = plan_of(PATIENTS, **body)
    owners = {"B": "P2", "C": "P2", "D": "P3"}
    moved = {orthanc_id(owners[study], study) for study in studies}
    assert {one.name for one in plan.groups} == moved
    assert len(plan.groups) == len(moved)
    assert all(series.whole for series in plan.series)
    assert {series.patient_orthanc_id for series in plan.series} == {P1}
    assert plan.studies.keys() == {study_uid(study) for study in studies}
    assert plan.standing == (P1,)
    check_identifiers(plan, {P1: "P1"})


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"Resources": [P2, P1]}, r"\$\.Resources\[1\]"),
        ({"Studies": [orthanc_id("P1", "A")]}, r"\$\.Studies\[0\]"),
    ],
)
def test_what_is_the_patients_already_is_refused(body, place):
    with pytest.raises(BadRequest, match=rf"^{place}: .* is this patient's already"):
        plan_of(PATIENTS, **body)


def test_series_of_a_study_stay_together_as_they_are():
    plan = plan_of(PATIENTS, Studies=[B])
    (study,) = {one.study_instance_uid for one in plan.series}
    assert study != study_uid("B")
    assert plan.studies == {study_uid("B"): study}
    assert [one.series_number for one in plan.series] == ["1", "1"]
    for one in plan.instances:
        changes = changes_of(plan, one.source)
        uids = {"StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"}
        assert changes.keys() == uids | {"PatientID", *RELATED_COUNTS}


@pytest.mark.parametrize("where", ["P1", "P2"])
def test_unreadable_instances_are_refused_unless_they_may_stay(where):
    patients = {
        "P1": {"A": {"A1": [{}, {"unreadable": where == "P1"}]}},
        "P2": {"B": {"B1": [{}, {"unreadable": where == "P2"}]}, "C": {"C1": [{}]}},
    }
    with pytest.raises(BadRequest, match="1 instances cannot be read"):
        plan_of(patients, P2)
    plan = plan_of(patients, P2, Permissive=True)
    assert len(plan.unreadable) == 1
    whole = {"B", "C"} if where == "P1" else {"C"}
    assert plan.studies.keys() == set(map(study_uid, whole))


@pytest.mark.parametrize(("where", "message"), [("P1", f"patient {P1}"), ("P2", "studies")])
def test_where_nothing_can_be_read_nothing_can_be_merged(where, message):
    patients = two({"unreadable": where == "P1"}, {"unreadable": where == "P2"})
    with pytest.raises(BadRequest, match=rf"No instance of .*{message}.* can be read"):
        plan_of(patients, P2, Permissive=True)


# The patient module

ITEMS = [{"CodeValue": "1", "CodeMeaning": "x" * 2000}]


@pytest.mark.parametrize(
    ("keyword", "ours", "theirs"),
    [
        ("PatientName", "A^B", "A^C"),
        ("PatientName", None, "A^C"),
        ("PatientBirthDate", "19700101", ""),
        ("PatientComments", "x" * 3000, None),
        ("EthnicGroupCodeSequence", ITEMS, [{"CodeValue": "2"}]),
        ("EthnicGroupCodeSequence", None, ITEMS),
        ("IssuerOfPatientID", "X", "Y"),
        ("IssuerOfPatientID", None, "Y"),
        ("ClinicalTrialSubjectID", "1", "2"),
    ],
)
def test_the_patient_module_is_that_of_the_target(keyword, ours, theirs):
    plan = plan_of(two({keyword: ours}, {keyword: theirs}), P2)
    changes = changes_of(plan, B1_0)
    assert changes[keyword] == ours
    assert changes["PatientID"] == "P1"
    assert plan.conflicts == ()
    assert plan.overwritten == ()


@pytest.mark.parametrize("keyword", ["StudyDescription", "PatientWeight", "AccessionNumber"])
def test_what_is_of_the_study_stays(keyword):
    plan = plan_of(two({keyword: "1"}, {keyword: "2"}), P2)
    assert keyword not in changes_of(plan, B1_0)


@pytest.mark.parametrize(
    ("keyword", "ours", "theirs", "conflicts"),
    [
        ("PatientBirthDate", "19700101", "19700102", True),
        ("PatientBirthDate", "19700101", None, False),
        ("PatientSex", "F", "M", True),
        ("PatientSex", "", "M", False),
        ("PatientName", "A^B", "C^D", False),
        ("IssuerOfPatientID", "X", "Y", False),
    ],
)
def test_another_person_is_a_conflict_with_both_sides(keyword, ours, theirs, conflicts):
    patients = two({keyword: ours}, {keyword: theirs})
    plan = plan_of(patients, P2)
    shown = [
        (one.element, one.target, one.target_value, one.source, one.source_value)
        for one in plan.conflicts
    ]
    assert shown == ([(keyword, P1, ours, B, theirs)] if conflicts else [])
    assert plan_of(patients, P2, OnConflict="Target").conflicts == ()


def test_a_single_instance_of_another_person_is_a_conflict():
    rows = [{"PatientSex": "F"}, {"PatientSex": "F"}, {"PatientSex": "M"}]
    (conflict,) = plan_of(two({"PatientSex": "F"}, *rows), P2).conflicts
    assert conflict.source_value == "M"


def test_other_names_are_warned_of_study_by_study():
    patients: dict[str, Any] = two({"PatientName": "A^B"}, {"PatientName": "A^C"})
    patients["P2"]["C"] = {"C1": [{"PatientName": "A^B"}]}
    (warning,) = plan_of(patients, P2).warnings
    assert B in warning


def test_what_the_target_disagrees_on_is_a_conflict_or_harmonized():
    rows = [{"PatientSex": "F"}, {"PatientSex": "F"}, {"PatientSex": "M"}, {}]
    patients: Patients = {"P1": {"A": {"A1": rows}}, "P2": {"B": {"B1": [{}]}}}
    (conflict,) = plan_of(patients, P2).conflicts
    assert (conflict.target_value, conflict.source, conflict.source_value) == ("F", P1, "M")
    plan = plan_of(patients, P2, OnConflict="Target")
    changed = {one.source: one.edits for series in plan.overwritten for one in series.instances}
    deviating = {orthanc_id("P1", "A", "A1", number) for number in (2, 3)}
    assert changed == {one: {"PatientSex": "F"} for one in deviating}
    assert changes_of(plan, B1_0)["PatientSex"] == "F"


def test_what_some_of_the_target_lack_is_told():
    rows = [{"PatientSex": "F"}, {}]
    plan = plan_of({"P1": {"A": {"A1": rows}}, "P2": {"B": {"B1": [{}]}}}, P2)
    assert plan.notes == {"TargetPatient": P1, "IncompleteElements": ["PatientSex"]}


# Other identifiers


def item(patient_id: str, **more: str) -> dict[str, str]:
    return {"PatientID": patient_id, **more, "TypeOfPatientID": "TEXT"}


def other_ids(plan: Plan, instance: str = B1_0) -> Any:
    return changes_of(plan, instance).get("OtherPatientIDsSequence", "unchanged")


@pytest.mark.parametrize(
    ("issuer", "expected"),
    [(None, item("P2")), ("", item("P2")), ("X", item("P2", IssuerOfPatientID="X"))],
)
def test_the_old_identifier_is_kept_with_its_issuer_where_asked(issuer, expected):
    patients = two({}, {"IssuerOfPatientID": issuer})
    assert other_ids(plan_of(patients, P2, OtherPatientIDs=True)) == [expected]
    assert other_ids(plan_of(patients, P2)) == "unchanged"


def test_identifiers_that_are_there_already_are_taken_along_each_once():
    ours = {"OtherPatientIDsSequence": [item("X"), item("Y")]}
    theirs = {"OtherPatientIDsSequence": [item("Y"), item("Z")]}
    asked = plan_of(two(ours, theirs), P2, OtherPatientIDs=True)
    assert other_ids(asked) == [item("X"), item("Y"), item("Z"), item("P2")]
    assert other_ids(plan_of(two(ours, theirs), P2)) == [item("X"), item("Y")]
    listed = {"OtherPatientIDsSequence": [item("P2")]}
    assert other_ids(plan_of(two(listed, {}), P2, OtherPatientIDs=True)) == [item("P2")]


def test_all_that_move_together_get_the_same_identifiers():
    plan = plan_of(PATIENTS, P2, P3, OtherPatientIDs=True)
    found = [other_ids(plan, one.source) for one in plan.instances]
    assert all(one == found[0] for one in found)
    assert sorted(one["PatientID"] for one in found[0]) == ["P2", "P3"]


def test_earlier_merges_do_not_stand_in_the_way_of_the_next():
    """Each merge has left more identifiers than the one before it."""
    lists = [None, [item("P0")], [item("P0"), item("P9")]]
    rows = [{"OtherPatientIDsSequence": one} for one in lists]
    patients: Patients = {"P1": {"A": {"A1": rows}}, "P2": {"B": {"B1": [{}]}}}
    plan = plan_of(patients, P2, OtherPatientIDs=True)
    assert plan.conflicts == ()
    assert other_ids(plan) == [item("P0"), item("P9"), item("P2")]


# Kept identifiers


def test_studies_move_with_all_their_uids():
    plan = plan_of(PATIENTS, P2, **KEEP)
    for series in plan.series:
        assert series.study_instance_uid == series.source_study_instance_uid
        assert series.series_instance_uid == series.source_series_instance_uid
        assert not {"StudyInstanceUID", "SeriesInstanceUID"} & series.edits.keys()
        for one in series.instances:
            assert one.sop_instance_uid == one.source_sop_instance_uid
            assert not one.stays
    uids = plan.uids()
    assert (uids.instances, uids.series, uids.studies) == ({}, {}, {})
    assert plan.studies == {study_uid(one): study_uid(one) for one in "BC"}
    check_identifiers(plan, {P1: "P1"})


def test_a_study_that_both_patients_have_is_refused_with_kept_uids():
    patients: Patients = {
        "P1": {"A": {"A1": [{}]}},
        "P2": {"A": {"B1": [{}]}, "B": {"B2": [{}]}},
    }
    with pytest.raises(Conflict, match=r"^\$\.Keep: .* have one StudyInstanceUID") as raised:
        plan_of(patients, P2, Keep=["StudyInstanceUID"], Force=True)
    for patient in ("P1", "P2"):
        assert orthanc_id(patient, "A") in str(raised.value)
    assert plan_of(patients, P2).instances_count == 2


def test_a_study_that_two_sources_have_is_refused_with_kept_uids():
    patients: Patients = {
        "P1": {"A": {"A1": [{}]}},
        "P2": {"X": {"B1": [{}]}},
        "P3": {"X": {"C1": [{}]}},
    }
    with pytest.raises(Conflict, match="have one StudyInstanceUID"):
        plan_of(patients, P2, P3, Keep=["StudyInstanceUID"], Force=True)
    assert len({one.study_instance_uid for one in plan_of(patients, P2, P3).series}) == 2


@pytest.mark.parametrize(
    ("series", "uid", "keyword"),
    [("A1", "other", "SeriesInstanceUID"), ("B1", "same", "SOPInstanceUID")],
)
def test_kept_uids_that_the_patient_has_already_are_refused(series, uid, keyword):
    patients: Patients = {
        "P1": {"A": {"A1": [{"uid": "same"}]}},
        "P2": {"B": {series: [{"uid": uid}]}},
    }
    with pytest.raises(Conflict, match=rf"^\$\.Keep: .* have one {keyword}"):
        plan_of(patients, P2, Keep=[keyword], Force=True)
    assert plan_of(patients, P2).instances_count == 1


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_what_is_divided_because_a_part_cannot_be_read_keeps_no_uid(keyword):
    patients = two({}, {}, {"unreadable": True})
    with pytest.raises(BadRequest, match=rf"^\$\.Keep: {keyword} cannot be kept"):
        plan_of(patients, P2, Permissive=True, Keep=[keyword], Force=True)
    kept = plan_of(patients, P2, Permissive=True, Keep=["SOPInstanceUID"], Force=True)
    assert [one.sop_instance_uid for one in kept.instances] == [sop_uid("B1", 0)]


# Plans


def test_a_plan_runs_only_while_it_is_true():
    plan = plan_of(PATIENTS, P2)
    assert plan_of(PATIENTS, P2, Plan=plan.digest) == plan
    for resources in ([P3], [P2, P3]):
        with pytest.raises(Conflict, match=r"^\$\.Plan"):
            plan_of(PATIENTS, *resources, Plan=plan.digest)
    changed = {**PATIENTS, "P1": {"A": {"A1": [{}, {}]}}}
    with pytest.raises(Conflict, match=r"^\$\.Plan"):
        plan_of(changed, P2, Plan=plan.digest)


def test_a_plan_survives_the_database():
    patients = two({"EthnicGroupCodeSequence": ITEMS}, {"PatientSex": "F"})
    plan = plan_of(patients, P2, OtherPatientIDs=True)
    assert validate(Plan, plan.model_dump(mode="json", by_alias=True)) == plan


# Over generated patients

rows = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "PatientSex": st.sampled_from(["F", "M", "", None]),
            "PatientName": st.sampled_from(["A^B", "A^C"]),
            "OtherPatientIDsSequence": st.lists(st.sampled_from([item("X"), item("Y")])),
            "InstanceNumber": st.integers(1, 3),
            "ImagesInAcquisition": st.integers(0, 3),
            "NumberOfTemporalPositions": st.just(1),
            "uid": st.sampled_from(["same", "other"]),
            "unreadable": st.just(True),
        },
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda row: row.get("uid", id(row)),
)
studies = st.dictionaries(
    st.sampled_from(["A", "B", "C"]),
    st.dictionaries(st.sampled_from(["S1", "S2", "S3"]), rows, min_size=1, max_size=2),
    min_size=1,
    max_size=2,
)


def planned(holdings: Holdings, request: PatientMergeRequest) -> Plan | None:
    try:
        return make_plan(holdings, P1, request, NOW)
    except CuratorError:
        return None


@given(
    st.fixed_dictionaries({"P1": studies, "P2": studies, "P3": studies}),
    st.lists(st.sampled_from([P2, P3]), min_size=1),
    st.lists(st.sampled_from(KEEP["Keep"]), unique=True),
    st.fixed_dictionaries(
        {
            "OtherPatientIDs": st.booleans(),
            "OnConflict": st.sampled_from(["Refuse", "Target"]),
            "Permissive": st.sampled_from([True, True, False]),
        }
    ),
    st.randoms(use_true_random=False),
)
def test_every_merge_leaves_the_model_whole(patients, resources, keep, body, random):
    request = request_of(*resources, **body, **({"Keep": keep, "Force": True} if keep else {}))
    holdings = holdings_for(patients, request)
    plan = planned(holdings, request)
    if plan is None:
        return
    moved = [one.source for one in plan.instances]
    assert Counter(moved) == Counter(one.orthanc_id for one in holdings.within(resources))
    check_identifiers(plan, {P1: "P1"})

    target = holdings.within([P1])
    identifiers = [*(one.orthanc_id for one in target), *(one.orthanc_id for one in plan.instances)]
    assert len(set(identifiers)) == len(identifiers)
    known = {one.orthanc_id for one in holdings.studies.values() if one.patient == P1}
    new = {one.study_orthanc_id for one in plan.series}
    assert known.isdisjoint(new)
    assert len(new) == len({one.source_study for one in plan.series})
    if "SeriesInstanceUID" in keep:
        series = [one.series_instance_uid for one in plan.series]
        assert len(set(series)) == len(series)
    if "SOPInstanceUID" in keep:
        uids = {one.sop_instance_uid for one in plan.instances}
        assert len(uids) == plan.instances_count
        assert uids.isdisjoint(one.values.sop_instance_uid for one in target)
    found = {one.orthanc_id: one.elements for one in holdings.instances}
    after = [{**found[one], **changes_of(plan, one)} for one in moved]
    assert {one["PatientID"] for one in after} == {"P1"}
    assert len({str(one.get("OtherPatientIDsSequence")) for one in after}) == 1

    instances = list(holdings.instances)
    random.shuffle(instances)
    assert planned(replace(holdings, instances=tuple(instances)), request) == plan
