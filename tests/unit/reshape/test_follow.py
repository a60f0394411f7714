"""What arrives late goes after what has moved."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.dicom.tags import parse_path
from curator.models import validate
from curator.reshape import follow, merge, merge_patients, merge_series, split
from curator.reshape.merge_request import (
    MergeRequest,
    PatientMergeRequest,
    SeriesMergeRequest,
)
from curator.reshape.numbering import whole
from curator.reshape.plan import Kind, Plan
from curator.reshape.request import Into
from curator.reshape.source import Holdings, Wanted
from unit.reshape.builders import (
    NOW,
    Patients,
    applied,
    as_read,
    changes_of,
    check_identifiers,
    holdings_of,
    orthanc_id,
    request_of,
    series_uid,
    sop_uid,
    study_uid,
    together,
)

P1, P2 = orthanc_id("P1"), orthanc_id("P2")
A, B = orthanc_id("P1", "A"), orthanc_id("P1", "B")
A1, B1 = orthanc_id("P1", "A", "A1"), orthanc_id("P1", "B", "B1")
KEEP = {"Keep": ["SeriesInstanceUID", "SOPInstanceUID"], "Force": True}
NUMBER = parse_path("InstanceNumber")

Row = Mapping[str, Any]

#: Everything that any of these operations reads.
_WANTED = [merge.wanted(validate(MergeRequest, {"Resources": ["x"], "SeriesInto": {"x": "x"}}))]
_WANTED += [merge_series.WANTED, merge_patients.WANTED, follow.WANTED]
WANTED = Wanted(
    frozenset().union(
        *(one.paths for one in _WANTED), split.paths(request_of(By=["EchoTime", "Echo"]))
    ),
    frozenset().union(*(one.elements for one in _WANTED)),
    pixels=True,
)


def at(place: int, **more: Any) -> Row:
    """Return a slice that has its own pixels."""
    row = {"Rows": 2, "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
    row |= {"ImagePositionPatient": [0, 0, place], "pixels": f"pixels of {place}"}
    return {"InstanceNumber": place, **row, **more}


def held(patients: Patients) -> Holdings:
    names = list(patients)
    return holdings_of(patients, WANTED, [orthanc_id(name) for name in names])


BEFORE: Patients = {
    "P1": {"A": {"A1": [at(1, SeriesNumber=1)]}, "B": {"B1": [at(2, SeriesNumber=2), at(3)]}}
}


def merged(holdings: Holdings, *resources: str, **body: Any) -> Plan:
    """Plan a merge into study A."""
    request = validate(MergeRequest, {"Resources": list(resources), **body})
    return merge.make_plan(holdings, A, request, NOW)


def followed(earlier: Plan, before: Holdings, late: Patients, resource: str) -> Plan:
    """Plan how what is late follows an operation on what was there before."""
    return follow.make_plan(_stored(earlier, before, late), resource, earlier, NOW)


def _stored(earlier: Plan, before: Holdings, late: Patients) -> Holdings:
    """Return what has been read once something is late, as the operation reads it."""
    stored = together(held(late), applied(before, earlier))
    concerned = {series.study_orthanc_id for series in earlier.series}
    late_studies = {
        orthanc_id(patient, study) for patient, studies in late.items() for study in studies
    }
    return as_read(stored, follow.WANTED, concerned | late_studies)


def late(*rows: Row, **series: list[Row]) -> Patients:
    """Return instances that arrive in series B1, or in others of study B."""
    return {"P1": {"B": {**({"B1": list(rows)} if rows else {}), **series}}}


# Series


def test_a_late_instance_goes_where_its_series_went():
    before = held(BEFORE)
    earlier = merged(before, B)
    (moved,) = earlier.series
    plan = followed(earlier, before, late(at(4, uid="late")), B1)
    (series,) = plan.series
    assert (series.source, series.orthanc_id) == (B1, moved.orthanc_id)
    assert series.series_instance_uid == moved.series_instance_uid
    assert (series.series_number, series.whole) == (moved.series_number, True)
    (instance,) = series.instances
    assert instance.source == orthanc_id("P1", "B", "B1", "late")
    assert instance.sop_instance_uid.startswith("2.25.")
    assert plan.kind is Kind.FOLLOW
    assert (plan.level, plan.resource, plan.parents) == ("Series", B1, (B1,))
    assert (plan.unmoved, plan.dropped, plan.keep_source) == (0, (), False)
    assert set(plan.standing) == {moved.orthanc_id, A, P1}
    check_identifiers(plan, {P1: "P1"})


def test_it_is_changed_as_those_before_it_were():
    patients: Patients = {
        "P1": {
            "A": {"A1": [at(1, StudyDescription="ours", SeriesNumber=1)]},
            "B": {"B1": [at(2, StudyDescription="theirs", SeriesNumber=1)]},
        }
    }
    before = held(patients)
    earlier = merged(before, B)
    plan = followed(earlier, before, late(at(4, uid="late", StudyDescription="theirs")), B1)
    changes = changes_of(plan, orthanc_id("P1", "B", "B1", "late"))
    assert (
        changes.items()
        >= {
            "StudyDescription": "ours",
            "SeriesNumber": "2",
            "StudyInstanceUID": study_uid("A"),
        }.items()
    )
    assert earlier.series[0].edits.items() <= changes.items()


def test_a_late_instance_of_another_patient_changes_its_patient():
    before = held({"P1": {"A": {"A1": [at(1)]}}, "P2": {"C": {"C1": [at(2)]}}})
    request = validate(PatientMergeRequest, {"Resources": [P2]})
    earlier = merge_patients.make_plan(before, P1, request, NOW)
    arrived: Patients = {"P2": {"C": {"C1": [at(3, uid="late")]}}}
    plan = followed(earlier, before, arrived, orthanc_id("P2", "C"))
    changes = changes_of(plan, orthanc_id("P2", "C", "C1", "late"))
    assert changes["PatientID"] == "P1"
    assert plan.level == "Study"
    check_identifiers(plan, {P1: "P1"})


def test_what_was_merged_into_a_series_is_followed_into_it():
    before = held({"P1": {"A": {"A1": [at(1)], "A2": [at(2)]}}})
    request = validate(SeriesMergeRequest, {"Resources": [orthanc_id("P1", "A", "A2")]})
    earlier = merge_series.make_plan(before, A1, request, NOW)
    arrived: Patients = {"P1": {"A": {"A2": [at(2, uid="late", pixels="late")]}}}
    plan = followed(earlier, before, arrived, orthanc_id("P1", "A", "A2"))
    (series,) = plan.series
    assert series.orthanc_id == A1
    (instance,) = series.instances
    assert instance.edits["InstanceNumber"] == "3"


@pytest.mark.parametrize("number", [2, 3])
def test_a_number_that_is_taken_becomes_the_next(number):
    before = held(BEFORE)
    arrived = late(
        at(number, uid="late", pixels="late", ImageIndex=1), at(9, uid="other", pixels="other")
    )
    plan = followed(merged(before, B), before, arrived, B1)
    new = {one.source: one.edits for one in plan.instances}
    edits = new[orthanc_id("P1", "B", "B1", "late")]
    assert int(edits["InstanceNumber"]) == edits["ImageIndex"] >= 4
    others = new[orthanc_id("P1", "B", "B1", "other")].get("InstanceNumber", "9")
    assert others != edits["InstanceNumber"]


def test_an_instance_without_a_number_gets_none():
    before = held(BEFORE)
    plan = followed(merged(before, B), before, late(at(4, uid="x", InstanceNumber=None)), B1)
    assert "InstanceNumber" not in plan.instances[0].edits


def test_kept_uids_are_kept_of_late_ones_too():
    before = held(BEFORE)
    plan = followed(merged(before, B, **KEEP), before, late(at(4, uid="late")), B1)
    (series,) = plan.series
    assert series.series_instance_uid == series_uid("B1")
    assert [one.sop_instance_uid for one in series.instances] == [sop_uid("", "late")]


# What has arrived before


@pytest.mark.parametrize("keep", [{}, KEEP])
def test_what_arrives_again_does_not_come_back_a_second_time(keep):
    before = held(BEFORE)
    earlier = merged(before, B, **keep)
    arrived = late(at(2), at(3))
    plan = followed(earlier, before, arrived, B1)
    assert plan.series == ()
    results = {one.source: one for one in earlier.instances}
    assert {one.source: one.kept for one in plan.dropped} == {
        source: one.orthanc_id for source, one in results.items()
    }
    assert {one.sop_instance_uid for one in plan.dropped} == {
        one.sop_instance_uid for one in results.values()
    }
    assert (plan.unmoved, plan.changes) == (0, True)


def test_what_arrives_again_with_other_pixels_stays_and_is_told():
    before = held(BEFORE)
    plan = followed(merged(before, B), before, late(at(2, pixels="other"), at(3)), B1)
    assert [one.source for one in plan.dropped] == [orthanc_id("P1", "B", "B1", 1)]
    assert (plan.series, plan.unmoved) == ((), 1)
    assert plan.warnings == ("1 late instances differ from those of the same UID",)


def test_a_late_one_that_arrives_again_does_not_come_back_either():
    before = held(BEFORE)
    earlier = merged(before, B)
    arrived = late(at(4, uid="late"))
    first = _stored(earlier, before, arrived)
    plan = follow.make_plan(first, B1, earlier, NOW)
    again = together(held(arrived), applied(first, plan))
    concerned = [A, B]
    second = follow.make_plan(as_read(again, follow.WANTED, concerned), B1, earlier, NOW)
    assert second.series == ()
    assert [one.kept for one in second.dropped] == [plan.instances[0].orthanc_id]


@pytest.mark.parametrize(
    "twice", [{"uid": "same"}, {"uid": "own", "pixels": "reconstructed again"}]
)
def test_a_duplicate_that_was_dropped_is_dropped_again(twice):
    """It went in favor of another one, which is still what it is, whatever its pixels are."""
    before = held({"P1": {"A": {"A1": [at(1, uid="same")]}, "B": {"B1": [at(1, **twice), at(2)]}}})
    earlier = merged(before, B, SeriesInto={B1: A1}, Duplicates="KeepFirst")
    assert len(earlier.dropped) == 1
    plan = followed(earlier, before, late(at(1, **twice)), B1)
    assert plan.series == ()
    (dropped,) = plan.dropped
    assert dropped.kept == orthanc_id("P1", "A", "A1", "same")


def test_where_nothing_but_duplicates_came_what_is_late_goes_there_too():
    before = held({"P1": {"A": {"A1": [at(1)]}, "B": {"B1": [at(1)]}}})
    earlier = merged(before, B, SeriesInto={B1: A1}, Duplicates="KeepFirst")
    plan = followed(earlier, before, late(at(2, uid="late")), B1)
    assert [one.orthanc_id for one in plan.series] == [A1]


# Studies


def test_a_new_series_of_a_moved_study_goes_after_it():
    before = held(
        {
            "P1": {
                "A": {"A1": [at(1, StudyDescription="ours", SeriesNumber=1)]},
                "B": {"B1": [at(2, StudyDescription="theirs", SeriesNumber=5)]},
            }
        }
    )
    row = at(1, StudyDescription="theirs", SeriesNumber=6, SeriesDescription="new")
    plan = followed(merged(before, B), before, late(B2=[row]), B)
    (series,) = plan.series
    assert series.study_orthanc_id == A
    assert series.series_instance_uid not in (series_uid("B2"), plan.digest)
    assert (series.series_number, series.series_description) == ("6", "new")
    changes = changes_of(plan, orthanc_id("P1", "B", "B2", 0))
    assert changes["StudyDescription"] == "ours"
    assert set(plan.standing) == {A, P1}
    check_identifiers(plan, {P1: "P1"})


def test_it_gets_what_any_series_of_its_study_got():
    """The first series needed no change in what the second one had to change in."""
    before = held(
        {
            "P1": {
                "A": {"A1": [at(1, StudyID="ours", PatientSex="F")]},
                "B": {
                    "B1": [at(2, StudyID="ours", PatientSex="M")],
                    "B2": [at(3, StudyID="theirs", PatientSex="F")],
                },
            }
        }
    )
    earlier = merged(before, B, OnConflict="Target")
    row = at(1, StudyID="theirs", PatientSex="M")
    plan = followed(earlier, before, late(B3=[row]), B)
    changes = changes_of(plan, orthanc_id("P1", "B", "B3", 0))
    assert changes.items() >= {"StudyID": "ours", "PatientSex": "F"}.items()


def test_series_numbers_of_what_is_late_do_not_collide():
    before = held(BEFORE)
    arrived = late(
        B2=[at(1, SeriesNumber=1)],
        B3=[at(1, SeriesNumber=1)],
        B4=[at(1, SeriesNumber=8)],
        B5=[at(1)],
    )
    plan = followed(merged(before, B), before, arrived, B)
    numbers = {one.source: one.series_number for one in plan.series}
    assert numbers.pop(orthanc_id("P1", "B", "B5")) == ""
    assert len(set(numbers.values()) - {"1", "2"}) == 3
    assert all(one.edits.get("SeriesNumber", "") == one.series_number for one in plan.series)


def test_more_of_a_late_series_goes_where_the_first_of_it_went():
    before = held(BEFORE)
    earlier = merged(before, B)
    first = _stored(earlier, before, late(B2=[at(1, SeriesNumber=1, uid="first")]))
    plan = follow.make_plan(first, B, earlier, NOW)
    more = late(B2=[at(1, SeriesNumber=1, uid="more", pixels="more")])
    again = as_read(together(held(more), applied(first, plan)), follow.WANTED, [A, B])
    second = follow.make_plan(again, B, earlier, NOW)
    (series,) = second.series
    assert series.orthanc_id == plan.series[0].orthanc_id
    assert series.series_number == plan.series[0].series_number
    assert series.instances[0].edits["InstanceNumber"] == "2"
    assert series.orthanc_id in second.standing


def test_a_late_series_keeps_its_uids_where_the_others_kept_theirs():
    before = held(BEFORE)
    plan = followed(merged(before, B, **KEEP), before, late(B2=[at(1, uid="late")]), B)
    (series,) = plan.series
    assert series.series_instance_uid == series_uid("B2")
    assert [one.sop_instance_uid for one in series.instances] == [sop_uid("", "late")]


def test_a_late_series_of_a_study_of_which_a_part_has_moved_stays():
    before = held({"P1": {"A": {"A1": [at(1)]}, "B": {"B1": [at(2)], "B2": [at(3)]}}})
    earlier = merged(before, B1)
    plan = followed(earlier, before, late(at(4, uid="late"), B3=[at(5)]), B)
    assert [one.source for one in plan.instances] == [orthanc_id("P1", "B", "B1", "late")]
    assert plan.unmoved == 2
    assert plan.warnings


def test_series_that_a_split_has_made_in_the_study_are_left_alone():
    before = held({"P1": {"A": {"A1": [at(1, EchoTime=10), at(2, EchoTime=80)]}}})
    request = request_of(By=["EchoTime"], Into="Series")
    source = split.source_of(before, "Study", A)
    earlier = split.make_plan(source, request, Into.STUDIES, NOW)
    assert earlier.instances_count == 2
    stored = as_read(applied(before, earlier), follow.WANTED, [A])
    plan = follow.make_plan(stored, A, earlier, NOW)
    assert (plan.series, plan.changes) == ((), False)


# What cannot follow


def test_what_cannot_be_read_stays_and_is_told():
    before = held(BEFORE)
    arrived = late(at(4, uid="late"), {"unreadable": True})
    plan = followed(merged(before, B), before, arrived, B1)
    assert plan.unreadable == (orthanc_id("P1", "B", "B1", 1),)
    assert plan.instances_count == 1
    assert not plan.series[0].whole


def test_the_target_may_be_gone_by_now():
    """It has moved on itself; what is late is made where it was, and follows from there."""
    before = held({"P1": {"A": {"A1": [at(1)]}}, "P2": {"C": {"C1": [at(2)]}}})
    request = validate(PatientMergeRequest, {"Resources": [P2]})
    earlier = merge_patients.make_plan(before, P1, request, NOW)
    arrived = held({"P2": {"C": {"C1": [at(3, uid="late")]}}})
    plan = follow.make_plan(
        as_read(arrived, follow.WANTED, [P2]), orthanc_id("P2", "C", "C1"), earlier, NOW
    )
    assert [one.patient_orthanc_id for one in plan.series] == [P1]
    assert plan.standing == ()
    check_identifiers(plan, {P1: "P1"})


def test_a_plan_survives_the_database():
    before = held(BEFORE)
    plan = followed(merged(before, B), before, late(at(2), at(4, uid="late")), B1)
    assert validate(Plan, plan.model_dump(mode="json", by_alias=True)) == plan


# Over generated arrivals

arrivals = st.lists(
    st.builds(
        at,
        st.integers(1, 5),
        uid=st.sampled_from(["early", "1", "2", "3", "4"]),
        pixels=st.sampled_from(["some", "other"]),
        SeriesNumber=st.sampled_from([1, 2, None]),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda row: row["uid"],
)


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["B1", "B2", "B3"]), arrivals, min_size=1),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from([{}, KEEP]),
)
def test_whatever_arrives_in_whatever_portions_is_there_once(portions, keep):
    """A series of the target, one that moves, and what comes in portions after that."""
    early = at(1, uid="early", pixels="some", SeriesNumber=2)
    before = held({"P1": {"A": {"A1": [at(1, SeriesNumber=1)]}, "B": {"B1": [early]}}})
    earlier = merged(before, B, **keep)
    stored = applied(before, earlier)
    for portion in portions:
        arrived = held({"P1": {"B": portion}})
        now = as_read(together(arrived, stored), follow.WANTED, [A, B])
        plan = follow.make_plan(now, B, earlier, NOW)
        late_ones = {one.orthanc_id for one in arrived.instances}
        moved = {one.source for one in plan.instances}
        going = {one.source for one in plan.dropped}
        assert not moved & going
        assert len(moved) + len(going) + plan.unmoved == len(late_ones)
        check_identifiers(plan, {P1: "P1"})
        stored = applied(now, plan)
        # What differs from what is there stays; somebody has to look at it, and takes it away.
        stays = {one.orthanc_id for one in stored.within([B])}
        assert stays == late_ones - moved - going
        kept = tuple(one for one in stored.instances if one.orthanc_id not in stays)
        stored = together(
            Holdings(
                stored.patients,
                {A: stored.studies[A]},
                {key: one for key, one in stored.series.items() if one.study == A},
                kept,
                frozenset(),
            )
        )
    identifiers = [one.orthanc_id for one in stored.instances]
    assert len(set(identifiers)) == len(identifiers)
    numbers = [one.series_number for one in stored.series.values() if one.series_number]
    assert len(set(numbers)) == len(numbers)
    for series in stored.series:
        found = [whole(one.values, NUMBER) for one in stored.within([series])]
        assert len(set(found)) == len(found)
