"""A plan as data: what becomes of UIDs, what it answers."""

from typing import Any

import pytest

from curator.dicom.references import Place
from curator.models import validate
from curator.reshape.plan import (
    Conflict,
    Dangling,
    Dropped,
    Kind,
    Plan,
    PlannedGroup,
    PlannedInstance,
    PlannedSeries,
    ReferenceReport,
    Rewritten,
)


def instance(name: str, **changes: Any) -> PlannedInstance:
    """Return an instance that moves, and gets another UID."""
    fields = {
        "source": name,
        "file_uuid": "file",
        "orthanc_id": f"new {name}",
        "source_sop_instance_uid": f"1.{name}",
        "sop_instance_uid": f"2.{name}",
    }
    return PlannedInstance(**{**fields, **changes})


def series(name: str, *instances: PlannedInstance, **changes: Any) -> PlannedSeries:
    """Return a series that moves as a whole from study ``a`` to study ``b``."""
    fields = {
        "source": name,
        "source_study": "a",
        "source_patient": "p",
        "source_study_instance_uid": "1.a",
        "source_series_instance_uid": f"1.{name}",
        "orthanc_id": f"new {name}",
        "series_instance_uid": f"2.{name}",
        "study_orthanc_id": "b",
        "study_instance_uid": "2.b",
        "patient_orthanc_id": "p",
        "series_number": "1",
        "series_description": "d",
        "whole": True,
        "edits": {},
        "instances": instances,
    }
    return PlannedSeries(**{**fields, **changes})


def plan(*moved: PlannedSeries, **changes: Any) -> Plan:
    fields = {
        "kind": Kind.MERGE,
        "digest": "digest",
        "created": "20240102",
        "level": "Study",
        "resource": "b",
        "parents": ("a",),
        "keep_source": False,
        "keep_labels": True,
        "original_attributes": True,
        "groups": (PlannedGroup(name="g", values={"X": "1"}, series=moved),) if moved else (),
    }
    return Plan(**{**fields, **changes})


def dropped(**changes: str) -> Dropped:
    fields = {
        "source": "y",
        "series": "s",
        "study": "a",
        "patient": "p",
        "source_study_instance_uid": "1.a",
        "source_series_instance_uid": "1.s",
        "file_uuid": "file",
        "source_sop_instance_uid": "1.y",
        "kept_source": "x",
        "kept": "new x",
        "study_instance_uid": "2.b",
        "series_instance_uid": "2.s",
        "sop_instance_uid": "2.x",
        "reason": "Position",
    }
    return Dropped(**{**fields, **changes})


SAME = {
    "study_instance_uid": "1.a",
    "study_orthanc_id": "a",
    "series_instance_uid": "1.s",
    "orthanc_id": "s",
}
STAYS = {"orthanc_id": "x", "sop_instance_uid": "1.x"}


# What becomes of UIDs


def test_old_uids_lead_to_new_ones():
    uids = plan(series("s", instance("x")), studies={"1.a": "2.b"}).uids()
    assert uids.instances == {"1.x": Place("2.b", "2.s", "2.x")}
    assert uids.series == {"1.s": ("2.b", "2.s")}
    assert uids.studies == {"1.a": "2.b"}


def test_a_series_of_which_a_part_moves_leads_nowhere():
    uids = plan(series("s", instance("x"), whole=False)).uids()
    assert (uids.series, list(uids.instances)) == ({}, ["1.x"])


def test_a_dropped_duplicate_leads_to_the_one_that_is_kept():
    uids = plan(series("s", instance("x")), dropped=(dropped(),)).uids()
    assert uids.instances == {
        "1.x": Place("2.b", "2.s", "2.x"),
        "1.y": Place("2.b", "2.s", "2.x"),
    }


def test_of_one_uid_that_moves_and_is_dropped_the_move_counts():
    there = dropped(source_sop_instance_uid="1.x", sop_instance_uid="2.other")
    uids = plan(series("s", instance("x")), dropped=(there,)).uids()
    assert uids.instances == {"1.x": Place("2.b", "2.s", "2.x")}


def test_of_one_uid_in_two_series_the_first_counts():
    twice = instance("y", source_sop_instance_uid="1.x")
    uids = plan(series("s", instance("x")), series("t", twice)).uids()
    assert uids.instances == {"1.x": Place("2.b", "2.s", "2.x")}


def test_what_keeps_all_of_its_uids_is_not_in_the_map():
    moved = series("s", instance("x", sop_instance_uid="1.x"), **SAME)
    uids = plan(moved, studies={"1.a": "1.a"}).uids()
    assert (uids.instances, uids.series, uids.studies) == ({}, {}, {})


@pytest.mark.parametrize("changed", ["study_instance_uid", "series_instance_uid"])
def test_what_keeps_its_own_uid_in_another_place_is_in_the_map(changed):
    moved = series("s", instance("x", sop_instance_uid="1.x"), **{**SAME, changed: "9"})
    uids = plan(moved).uids()
    assert uids.instances.keys() == {"1.x"}
    assert uids.series.keys() == {"1.s"}


# What it does


def test_an_instance_that_keeps_its_identifier_stays():
    assert instance("x", **STAYS).stays
    assert not instance("x").stays


def test_a_plan_counts_what_it_moves():
    both = plan(series("s", instance("x"), instance("y")), series("t", instance("z")))
    assert both.instances_count == 3
    assert [one.source for one in both.instances] == ["x", "y", "z"]
    assert [one.source for one in both.series] == ["s", "t"]


def test_a_plan_writes_what_it_moves_and_what_it_overwrites():
    there = series("t", instance("z", orthanc_id="z"), whole=False)
    both = plan(series("s", instance("x")), overwritten=(there,))
    assert [(one.source, own.source) for one, own in both.changed()] == [("s", "x"), ("t", "z")]


@pytest.mark.parametrize(
    ("changes", "does"),
    [
        ({}, False),
        ({"overwritten": (series("s", instance("x", **STAYS)),)}, True),
        ({"dropped": (dropped(),)}, True),
        ({"groups": (PlannedGroup(name="g", series=(series("s", instance("x")),)),)}, True),
    ],
)
def test_a_plan_knows_whether_it_does_anything(changes, does):
    assert plan(**changes).changes is does


def test_the_studies_that_a_plan_concerns_are_those_it_takes_from_and_gives_to():
    there = series("t", instance("z"), source_study="c", study_orthanc_id="c")
    both = plan(series("s", instance("x")), overwritten=(there,))
    assert both.concerned_studies() == {"a", "b", "c"}


# What it answers


def conflict(element: str = "PatientSex", source: str = "a") -> Conflict:
    return Conflict(
        element=element, target="b", target_value="SECRET", source=source, source_value=None
    )


def test_a_refusal_shows_both_sides_but_no_value_in_its_text():
    found = (conflict(), conflict("PatientID"), conflict(source="c"))
    refusal = plan(conflicts=found).refusal()
    assert str(refusal).startswith("$.OnConflict: b and a, c differ in PatientSex, PatientID;")
    assert "SECRET" not in str(refusal)
    assert refusal.conflicts[0] == {
        "Element": "PatientSex",
        "Target": {"ID": "b", "Value": "SECRET"},
        "Source": {"ID": "a", "Value": None},
    }
    assert len(refusal.conflicts) == 3


def test_a_dry_run_shows_everything():
    moved = series("s", instance("x"))
    described = plan(
        moved,
        overwritten=(series("t", instance("z", orthanc_id="z")),),
        dropped=(dropped(),),
        conflicts=(conflict(),),
        unmoved=2,
        unreadable=("u",),
        warnings=("w",),
        notes={"TargetSeries": "t"},
    ).describe(with_instances=True)
    assert described["Plan"] == "digest"
    assert described["ParentResources"] == ["a"]
    assert described["KeepSource"] is False
    counts = ("Instances", "OverwrittenInstances", "UnmovedInstances", "FailedInstances")
    assert [described[f"{one}Count"] for one in counts] == [1, 1, 2, 1]
    assert described["FailedInstances"] == ["u"]
    assert described["DroppedInstances"] == [
        {"Instance": "y", "Kept": "new x", "Reason": "Position"}
    ]
    assert [one["Element"] for one in described["Conflicts"]] == ["PatientSex"]
    assert (described["Warnings"], described["TargetSeries"]) == (["w"], "t")
    assert (described["TargetStudy"], described["TargetStudyUID"]) == ("b", "2.b")
    (group,) = described["Groups"]
    assert (group["Name"], group["Values"], group["InstancesCount"]) == ("g", {"X": "1"}, 1)
    assert group["Series"] == [
        {
            "ID": "new s",
            "SeriesInstanceUID": "2.s",
            "SeriesNumber": "1",
            "SeriesDescription": "d",
            "InstancesCount": 1,
            "ParentStudy": "b",
            "StudyInstanceUID": "2.b",
            "Source": "s",
            "Instances": [{"ID": "new x", "SOPInstanceUID": "2.x", "Source": "x"}],
        }
    ]


def test_a_job_shows_neither_instances_nor_values():
    described = plan(series("s", instance("x")), conflicts=(conflict(),)).describe(False)
    assert "Conflicts" not in described
    assert "DroppedInstances" not in described
    assert "Instances" not in described["Groups"][0]["Series"][0]


def test_several_target_studies_have_no_name():
    other = series("t", instance("y"), study_orthanc_id="c", study_instance_uid="2.c")
    assert "TargetStudy" not in plan(series("s", instance("x")), other).describe(False)


REPORT = ReferenceReport(
    rewritten=(
        Rewritten(instance="new x", source="x", count=2),
        Rewritten(instance="y", source="y", count=3),
    ),
    before=(Dangling(instance="x", element="e", uid="1.2"),),
    after=(Dangling(instance="new x", element="e", uid="1.2"),),
    unsigned=("y",),
)


def test_references_are_listed_in_a_dry_run_and_counted_in_a_job():
    assert REPORT.describe(whole=True) == {
        "Mode": "Repair",
        "RewrittenCount": 5,
        "Rewritten": [
            {"Instance": "new x", "Source": "x", "Count": 2},
            {"Instance": "y", "Source": "y", "Count": 3},
        ],
        "SignaturesRemoved": ["y"],
        "DanglingCount": {"Before": 1, "After": 1},
        "Dangling": {
            "Before": [{"Instance": "x", "Element": "e", "UID": "1.2"}],
            "After": [{"Instance": "new x", "Element": "e", "UID": "1.2"}],
        },
    }
    assert "Dangling" not in REPORT.describe(whole=False)


def test_references_that_are_only_reported_are_not_rewritten():
    described = REPORT.model_copy(update={"repair": False}).describe(whole=False)
    assert (described["Mode"], described["RewrittenCount"]) == ("Report", 0)
    assert "Rewritten" not in described
    assert len(described["Affected"]) == 2


def test_a_plan_with_everything_survives_the_database():
    own = instance(
        "x",
        edits={"A": None, "B": [{"CodeValue": "1"}], "C": {"VR": "FD", "Value": [0.5]}},
        references=("ReferencedImageSequence",),
        keeps_source=True,
    )
    whole = plan(
        series("s", own, edits={"SeriesNumber": "1", "ImageIndex": 1}),
        overwritten=(series("t", instance("z", orthanc_id="z")),),
        dropped=(dropped(),),
        standing=("b", "p"),
        studies={"1.a": "2.b"},
        references=REPORT,
        conflicts=(conflict(),),
        unmoved=1,
        unreadable=("u",),
        warnings=("w",),
        notes={"JoinedSeries": [{"Target": "t", "Renumbered": True}]},
        follow=True,
    )
    assert validate(Plan, whole.model_dump(mode="json", by_alias=True)) == whole
