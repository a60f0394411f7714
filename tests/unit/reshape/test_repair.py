"""References to what moves: which are rewritten, which lead nowhere."""

from typing import Any

import pytest

from curator.dicom.references import Kind, Reference
from curator.models import validate
from curator.reshape import merge, merge_patients, merge_series, split
from curator.reshape.merge_request import (
    MergeRequest,
    PatientMergeRequest,
    SeriesMergeRequest,
)
from curator.reshape.plan import Plan
from curator.reshape.repair import References, with_references
from curator.reshape.request import Into
from curator.reshape.source import Wanted
from unit.reshape.builders import (
    NOW,
    Patients,
    holdings_of,
    lists,
    orthanc_id,
    refers_to,
    request_of,
    series_uid,
    sop_uid,
    study_uid,
)

P1, P2 = orthanc_id("P1"), orthanc_id("P2")
A, B, C = (orthanc_id("P1", study) for study in "ABC")
A1, B1, B2, B3 = (orthanc_id("P1", name[0], name) for name in ("A1", "B1", "B2", "B3"))
KEEP = {"Keep": ["SeriesInstanceUID", "SOPInstanceUID"], "Force": True}
OTHER_STUDY = "StudiesContainingOtherReferencedInstancesSequence"
GONE = "1.2.3.4.5"

Found = list[tuple[str, str, str]]


def merged(
    patients: Patients, *resources: str, mode: References = References.REPAIR, **body: Any
) -> Plan:
    """Plan a merge into study A, with references."""
    request = validate(MergeRequest, {"Resources": list(resources), **body})
    holdings = holdings_of(patients, merge.wanted(request), [A, *resources])
    plan = merge.make_plan(holdings, A, request, NOW)
    return with_references(plan, holdings, mode)


def studies(**series: list[dict[str, Any]]) -> Patients:
    """Return series of patient P1 by their names, in the study that begins them."""
    found: dict[str, dict[str, Any]] = {}
    for name, rows in series.items():
        found.setdefault(name[0], {})[name] = rows
    return {"P1": found}


def image(**more: Any) -> dict[str, Any]:
    return {"InstanceNumber": 1, **more}


def report(*references: Reference, **more: Any) -> dict[str, Any]:
    return {"refers": references, **more}


def to(series: str, instance: int | str = 0) -> Reference:
    return refers_to(sop_uid(series, instance))


def overwritten(plan: Plan) -> dict[str, Any]:
    """Return the elements that are rewritten in what stays, by instance."""
    return {one.source: one.references for series in plan.overwritten for one in series.instances}


def rewritten(plan: Plan) -> dict[str, int]:
    return {one.source: one.count for one in plan.references.rewritten}


def dangling(plan: Plan) -> tuple[Found, Found]:
    before, after = (
        [(one.instance, one.element, one.uid) for one in found]
        for found in (plan.references.before, plan.references.after)
    )
    return before, after


def new_id(plan: Plan, source: str) -> str:
    return next(one.orthanc_id for one in plan.instances if one.source == source)


REPORT = orthanc_id("P1", "B", "B2", 0)
ELSEWHERE = orthanc_id("P1", "C", "C1", 0)
IMAGES = "ReferencedImageSequence"


# In what moves, and in the rest


def test_references_are_rewritten_in_what_moves_and_in_the_rest_of_the_patient():
    plan = merged(
        studies(A1=[image()], B1=[image()], B2=[report(to("B1"))], C1=[report(to("B1"))]), B
    )
    assert rewritten(plan) == {REPORT: 1, ELSEWHERE: 1}
    assert overwritten(plan) == {ELSEWHERE: (IMAGES,)}
    moved = {one.source: one.references for one in plan.instances}
    assert moved == {REPORT: (IMAGES,), orthanc_id("P1", "B", "B1", 0): None}
    assert dangling(plan) == ([], [])
    assert {one.instance for one in plan.references.rewritten} == {
        new_id(plan, REPORT),
        ELSEWHERE,
    }


def test_what_stays_in_the_source_study_is_rewritten_too():
    plan = merged(studies(A1=[image()], B1=[image()], B2=[report(to("B1"))]), B1)
    assert overwritten(plan) == {REPORT: (IMAGES,)}
    (series,) = plan.overwritten
    assert (series.source, series.orthanc_id, series.edits) == (B2, B2, {})
    assert dangling(plan) == ([], [])


def test_the_rest_of_both_patients_is_looked_at():
    patients = {
        "P1": {"A": {"A1": [image()]}, "C": {"C1": [report(to("D1"))]}},
        "P2": {"D": {"D1": [image()]}, "E": {"E1": [report(to("D1"))]}},
    }
    plan = merged(patients, orthanc_id("P2", "D"), OnConflict="Target")
    assert overwritten(plan).keys() == {ELSEWHERE, orthanc_id("P2", "E", "E1", 0)}


def test_what_refers_to_nothing_that_moves_is_left_alone():
    rows = [report(to("A1")), report(refers_to(GONE)), image(mentions=[GONE])]
    plan = merged(studies(A1=[image()], B1=[image()], C1=rows), B)
    assert plan.overwritten == ()
    assert plan.references.rewritten == ()


def test_what_the_target_changes_anyway_is_overwritten_once():
    target = [image(StudyID="1"), image(StudyID="1"), report(to("B1"), StudyID="2")]
    plan = merged(studies(A1=target, B1=[image()]), B, OnConflict="Target")
    (series,) = plan.overwritten
    (one,) = series.instances
    assert one.source == orthanc_id("P1", "A", "A1", 2)
    assert (one.edits, one.references) == ({"StudyID": "1"}, (IMAGES,))


@pytest.mark.parametrize("uid", [sop_uid("B1"), series_uid("B1"), study_uid("B")])
def test_an_old_uid_in_a_private_element_is_enough(uid):
    plan = merged(studies(A1=[image()], B1=[image()], C1=[image(mentions=[uid])]), B)
    assert overwritten(plan) == {ELSEWHERE: ()}
    assert rewritten(plan) == {ELSEWHERE: 0}


def test_series_and_studies_are_references_too():
    rows = [
        report(
            refers_to(series_uid("B1"), "RelatedSeriesSequence[0].SeriesInstanceUID", Kind.SERIES)
        ),
        report(
            refers_to(
                study_uid("B"), "ReferencedStudySequence[0].ReferencedSOPInstanceUID", Kind.STUDY
            )
        ),
    ]
    plan = merged(studies(A1=[image()], B1=[image()], C1=rows), B)
    assert list(rewritten(plan).values()) == [1, 1]
    assert set(overwritten(plan).values()) == {
        ("RelatedSeriesSequence",),
        ("ReferencedStudySequence",),
    }
    assert dangling(plan) == ([], [])


def test_a_series_or_study_of_which_a_part_stays_keeps_its_references():
    rows = [
        report(
            refers_to(series_uid("B1"), "RelatedSeriesSequence[0].SeriesInstanceUID", Kind.SERIES)
        ),
        report(
            refers_to(
                study_uid("B"), "ReferencedStudySequence[0].ReferencedSOPInstanceUID", Kind.STUDY
            )
        ),
    ]
    patients = studies(A1=[image()], B1=[image(), image(InstanceNumber=2)], C1=rows)
    plan = merged(patients, orthanc_id("P1", "B", "B1", 0))
    assert plan.overwritten == ()
    assert dangling(plan) == ([], [])


# Lists


def listed(series: str, *instances: str, **more: Any) -> dict[str, Any]:
    return report(*lists(series_uid(series), *instances, **more))


def test_a_list_is_rewritten_where_only_the_study_of_its_instances_changes():
    row = listed("B1", sop_uid("B1"), study=study_uid("B"))
    plan = merged(studies(A1=[image()], B1=[image()], C1=[row]), B, **KEEP)
    assert rewritten(plan) == {ELSEWHERE: 2}
    assert overwritten(plan) == {ELSEWHERE: ("ReferencedSeriesSequence", OTHER_STUDY)}
    assert dangling(plan) == ([], [])


def test_a_list_is_rewritten_where_only_the_series_of_its_instances_changes():
    request = validate(
        SeriesMergeRequest,
        {"Resources": [B2], "Keep": ["SOPInstanceUID"], "Force": True},
    )
    row = listed("B2", sop_uid("B2"))
    patients = studies(B1=[image()], B2=[image(InstanceNumber=2)], B3=[row])
    holdings = holdings_of(patients, merge_series.WANTED, [B1, B2])
    plan = merge_series.make_plan(holdings, B1, request, NOW)
    assert [one.edits.get("SOPInstanceUID") for one in plan.instances] == [None]
    plan = with_references(plan, holdings, References.REPAIR)
    assert rewritten(plan) == {orthanc_id("P1", "B", "B3", 0): 2}
    assert dangling(plan) == ([], [])


def test_a_list_of_a_divided_series_leads_to_all_of_its_parts():
    """The old series is gone, and the item is divided too."""
    request = request_of(By=["EchoTime"], Into="Series")
    rows = [image(EchoTime=time, InstanceNumber=time) for time in (1, 2)]
    row = listed("B1", sop_uid("B1", 0), sop_uid("B1", 1))
    holdings = holdings_of(studies(B1=rows, B2=[row]), Wanted(split.paths(request)), [B1])
    source = split.source_of(holdings, "Series", B1)
    plan = split.make_plan(source, request, Into.SERIES, NOW)
    plan = with_references(plan, holdings, References.REPAIR)
    assert plan.instances_count == 2
    assert rewritten(plan) == {REPORT: 3}
    assert dangling(plan) == ([], [])


def test_a_list_names_the_old_series_as_long_as_something_of_it_stays():
    patients = studies(
        A1=[image()],
        B1=[image(), image(InstanceNumber=2)],
        C1=[listed("B1", sop_uid("B1", 0), sop_uid("B1", 1), study=study_uid("B"))],
    )
    plan = merged(patients, orthanc_id("P1", "B", "B1", 0))
    assert rewritten(plan) == {ELSEWHERE: 1}
    assert dangling(plan) == ([], [])


def test_an_object_that_leaves_what_it_lists_behind_is_filed_anew():
    """What was in its own study is in another one then."""
    patients = studies(A1=[image()], B1=[image()], B2=[listed("B1", sop_uid("B1"))])
    plan = merged(patients, B2)
    (moved,) = plan.instances
    assert moved.references == ("ReferencedSeriesSequence", OTHER_STUDY)
    assert plan.overwritten == ()


# What leads nowhere


def test_what_leads_nowhere_is_told_before_and_after():
    rows = [report(to("B1"), refers_to(GONE, "SourceImageSequence[0].ReferencedSOPInstanceUID"))]
    plan = merged(studies(A1=[image()], B1=[image()], B2=rows), B)
    element = "SourceImageSequence[0].ReferencedSOPInstanceUID"
    assert dangling(plan) == (
        [(REPORT, element, GONE)],
        [(new_id(plan, REPORT), element, GONE)],
    )


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (Kind.SERIES, "RelatedSeriesSequence[0].SeriesInstanceUID"),
        (Kind.STUDY, "ReferencedStudySequence[0].ReferencedSOPInstanceUID"),
    ],
)
def test_series_and_studies_that_are_not_there_are_told_too(kind, path):
    plan = merged(studies(A1=[image()], B1=[image()], C1=[report(refers_to(GONE, path, kind))]), B)
    assert dangling(plan) == ([(ELSEWHERE, path, GONE)],) * 2


def test_references_of_instances_that_cannot_be_moved_are_told_too():
    plan = merged(studies(A1=[image()], B1=[image()], C1=[report(refers_to(GONE))]), B)
    assert len(plan.references.before) == len(plan.references.after) == 1


# Reports


def test_a_report_changes_nothing_and_tells_what_breaks():
    patients = studies(A1=[image()], B1=[image()], B2=[report(to("B1"))], C1=[report(to("B1"))])
    plan = merged(patients, B, mode=References.REPORT)
    plain = merged(studies(A1=[image()], B1=[image()], B2=[image()]), B)
    assert plan.overwritten == ()
    assert all(one.references is None for one in plan.instances)
    assert not plan.references.repair
    assert rewritten(plan) == {REPORT: 1, ELSEWHERE: 1}
    before, after = dangling(plan)
    assert before == []
    assert {one[0] for one in after} == {new_id(plan, REPORT), ELSEWHERE}
    assert {one[2] for one in after} == {sop_uid("B1")}
    assert plain.references.repair


# Where sources stay


def test_where_sources_stay_only_their_copies_are_rewritten():
    patients = studies(A1=[image()], B1=[image()], B2=[report(to("B1"))], C1=[report(to("B1"))])
    plan = merged(patients, B, KeepSource=True)
    assert plan.overwritten == ()
    assert rewritten(plan) == {REPORT: 1}
    assert [one.instance for one in plan.references.rewritten] == [new_id(plan, REPORT)]
    assert dangling(plan) == ([], [])


def test_a_copy_of_what_leads_nowhere_does_so_too():
    patients = studies(A1=[image()], B1=[report(refers_to(GONE))])
    before, after = dangling(merged(patients, B, KeepSource=True))
    assert (len(before), len(after)) == (1, 2)


def test_a_report_with_sources_that_stay_finds_nothing_broken():
    patients = studies(A1=[image()], B1=[image()], C1=[report(to("B1"))])
    plan = merged(patients, B, mode=References.REPORT, KeepSource=True)
    assert dangling(plan) == ([], [])


# Duplicates


def joined(patients: Patients, **body: Any) -> Plan:
    request = validate(SeriesMergeRequest, {"Resources": [B2], **body})
    holdings = holdings_of(patients, merge_series.WANTED, [B1, B2])
    plan = merge_series.make_plan(holdings, B1, request, NOW)
    return with_references(plan, holdings, References.REPAIR)


def twice(*references: Reference) -> Patients:
    """Return two series with an instance that both have, and something that refers to it."""
    rows = [image(pixels="same"), image(pixels="other", InstanceNumber=2)]
    return studies(B1=[rows[0]], B2=rows, B3=[report(*references)])


@pytest.mark.parametrize(("choice", "going"), [("KeepFirst", "B2"), ("KeepLast", "B1")])
def test_references_to_a_dropped_duplicate_lead_to_the_one_that_is_kept(choice, going):
    plan = joined(twice(to(going)), Duplicates=choice)
    assert rewritten(plan) == {orthanc_id("P1", "B", "B3", 0): 1}
    assert dangling(plan) == ([], [])
    (dropped,) = plan.dropped
    kept = plan.uids().instances[dropped.source_sop_instance_uid]
    assert kept.sop_instance_uid == dropped.sop_instance_uid
    assert kept.series_instance_uid == series_uid("B1")


def test_a_series_of_duplicates_only_leads_to_that_of_those_kept():
    path = "RelatedSeriesSequence[0].SeriesInstanceUID"
    patients = studies(
        B1=[image(pixels="same")],
        B2=[image(pixels="same")],
        B3=[report(refers_to(series_uid("B2"), path, Kind.SERIES))],
    )
    plan = joined(patients, Duplicates="KeepFirst")
    assert rewritten(plan) == {orthanc_id("P1", "B", "B3", 0): 1}
    assert dangling(plan) == ([], [])


def test_references_to_a_duplicate_of_the_target_are_rewritten_even_where_sources_stay():
    plan = joined(twice(to("B1")), Duplicates="KeepLast", KeepSource=True)
    assert overwritten(plan).keys() == {orthanc_id("P1", "B", "B3", 0)}
    assert dangling(plan) == ([], [])
    plan = joined(twice(to("B2")), Duplicates="KeepLast", KeepSource=True)
    assert overwritten(plan) == {}
    assert dangling(plan) == ([], [])


def test_what_a_dropped_duplicate_refers_to_does_not_matter_any_more():
    patients = studies(
        B1=[image(pixels="same")],
        B2=[image(pixels="same", refers=[refers_to(GONE)]), image(pixels="o", InstanceNumber=2)],
    )
    plan = joined(patients, Duplicates="KeepFirst")
    assert len(plan.references.before) == 1
    assert plan.references.after == ()


# Kept identifiers, and later arrivals


def test_a_patient_that_moves_with_all_uids_has_nothing_to_rewrite():
    patients = {
        "P1": {"A": {"A1": [image()]}},
        "P2": {"B": {"B1": [image()], "B2": [report(to("B1"))]}, "C": {"C1": [report(to("B1"))]}},
    }
    keep = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
    request = validate(
        PatientMergeRequest,
        {"Studies": [orthanc_id("P2", "B")], "Keep": keep, "Force": True},
    )
    concerned = [P1, orthanc_id("P2", "B")]
    holdings = holdings_of(patients, merge_patients.WANTED, concerned)
    plan = merge_patients.make_plan(holdings, P1, request, NOW)
    plan = with_references(plan, holdings, References.REPAIR)
    assert plan.overwritten == ()
    assert rewritten(plan) == {}
    assert dangling(plan) == ([], [])


def test_what_arrives_late_is_rewritten_by_the_map_of_the_operation_before_it():
    earlier = merged(studies(A1=[image()], B1=[image()]), B)
    patients = studies(A1=[image()], C1=[report(to("B1"))])
    request = validate(MergeRequest, {"Resources": [C]})
    holdings = holdings_of(patients, merge.wanted(request), [A, C])
    plain = merge.make_plan(holdings, A, request, NOW)
    plan = with_references(plain, holdings, References.REPAIR, earlier.uids())
    assert rewritten(plan) == {ELSEWHERE: 1}
    assert rewritten(with_references(plain, holdings, References.REPAIR)) == {}


def test_signatures_go_from_everything_that_changes():
    patients = studies(
        A1=[image(signed=True)],
        B1=[image(signed=True), image(InstanceNumber=2)],
        C1=[report(to("B1"), signed=True), image(signed=True)],
    )
    moved = orthanc_id("P1", "B", "B1", 0)
    plan = merged(patients, B)
    assert set(plan.references.unsigned) == {new_id(plan, moved), ELSEWHERE}
    plan = merged(patients, B, mode=References.REPORT)
    assert set(plan.references.unsigned) == {new_id(plan, moved)}
