"""The plan of a split."""

import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.dicom.identifiers import orthanc_identifiers
from curator.dicom.tags import parse_path
from curator.errors import BadRequest, Conflict, CuratorError
from curator.models import validate
from curator.reshape import split
from curator.reshape.moving import RELATED_COUNTS
from curator.reshape.plan import Plan, PlannedGroup
from curator.reshape.request import Into
from curator.reshape.source import Wanted
from curator.reshape.split import Source, check, make_plan
from unit.reshape import builders
from unit.reshape.builders import (
    NOW,
    PATIENT_ID,
    STUDY_UID,
    holdings_of,
    request_of,
    series_uid,
    source_of,
    study_uid,
)

CONCATENATION = parse_path("ConcatenationUID")
Series = dict[str, list[dict[str, Any]]]


def plan_of(
    series: Series,
    level: str = "Study",
    unreadable: tuple[tuple[str, str], ...] = (),
    numbers: dict[str, int | None] | None = None,
    overwritten: int = 0,
    **body: Any,
) -> Plan:
    """Plan a split; ids of series and instances in the body are given as ``s`` and ``s/0``."""
    request = request_of(**named(body))
    source = source_of(request, series, level, unreadable, numbers, overwritten)
    return make_plan(source, request, default_of(level), NOW)


def default_of(level: str) -> Into:
    return Into.STUDIES if level == "Study" else Into.SERIES


def orthanc_id(name: str) -> str:
    """Return the Orthanc identifier of series ``s``, or of instance ``s/0``."""
    series, _, instance = name.partition("/")
    series_uid = f"{STUDY_UID}.{series}"
    found = orthanc_identifiers(PATIENT_ID, STUDY_UID, series_uid, f"{series_uid}.{instance}")
    return found[3] if instance else found[2]


def named(body: Any) -> Any:
    """Put identifiers in the place of names, wherever a body names series and instances."""
    if isinstance(body, list):
        return [named(one) for one in body]
    if not isinstance(body, dict):
        return body
    return {
        key: [orthanc_id(one) for one in value]
        if key in ("Series", "Instances") and isinstance(value, list)
        else named(value)
        for key, value in body.items()
    }


def members(group: PlannedGroup) -> set[str]:
    return {instance.source for series in group.series for instance in series.instances}


def separated(plan: Plan) -> dict[str, int]:
    return {group.name: group.instances_count for group in plan.groups}


def echoes(*times: Any) -> list[dict[str, Any]]:
    return [{"EchoTime": time, "InstanceNumber": n} for n, time in enumerate(times, start=1)]


# Groups


def test_instances_are_grouped_by_what_is_asked_for():
    plan = plan_of({"a": echoes(10, 80, 10, 80, 80)}, By=["EchoTime"])
    assert separated(plan) == {"EchoTime=10": 2, "EchoTime=80": 3}
    assert [group.values for group in plan.groups] == [{"EchoTime": "10"}, {"EchoTime": "80"}]
    assert (plan.instances_count, plan.unmoved, plan.warnings) == (5, 0, ())


def test_a_missing_element_makes_a_group_of_its_own():
    plan = plan_of({"a": echoes(10, None, "", "nan", 0)}, By=["EchoTime"])
    assert separated(plan) == {
        "EchoTime=0": 1,
        "EchoTime=10": 1,
        "EchoTime=nan": 1,
        "EchoTime missing": 2,
    }


def test_a_missing_element_is_refused_where_that_is_asked_for():
    with pytest.raises(BadRequest, match="EchoTime is missing in 1 of 2 instances"):
        plan_of({"a": echoes(10, None)}, By=["EchoTime"], Missing="Refuse")


def test_criteria_are_evaluated_together_and_only_separating_ones_make_the_name():
    rows = [
        {"EchoTime": e, "FlipAngle": f, "Rows": 5} for e, f in [(1, 10), (1, 20), (2, 10), (1, 10)]
    ]
    plan = plan_of({"a": rows}, By=["EchoTime", "FlipAngle", "Rows"])
    assert separated(plan) == {
        "EchoTime=1, FlipAngle=10": 2,
        "EchoTime=1, FlipAngle=20": 1,
        "EchoTime=2, FlipAngle=10": 1,
    }
    assert plan.groups[0].values == {"EchoTime": "1", "FlipAngle": "10", "Rows": "5"}


@pytest.mark.parametrize("level", ["Study", "Series"])
def test_one_group_is_nothing_to_split(level):
    plan = plan_of({"a": echoes(10, 10)}, level, By=["EchoTime"])
    assert (plan.groups, plan.instances_count, plan.unmoved) == ((), 0, 2)
    assert plan.warnings == ("There is nothing to split: all instances belong to one group",)


def test_into_series_each_series_is_separated_on_its_own():
    series = {"a": echoes(10, 80), "b": echoes(10, 10)}
    plan = plan_of(series, By=["EchoTime"], Into="Series")
    assert separated(plan) == {"EchoTime=10": 1, "EchoTime=80": 1}
    assert plan.unmoved == 2
    assert {one.source for one in plan.series} == {orthanc_id("a")}


def test_into_studies_the_series_of_a_group_stay_together():
    plan = plan_of({"a": echoes(10, 80), "b": echoes(10, 10)}, By=["EchoTime"])
    assert separated(plan) == {"EchoTime=10": 3, "EchoTime=80": 1}
    first, second = plan.groups
    assert len({one.study_instance_uid for one in first.series}) == 1
    assert [one.source for one in first.series] == sorted([orthanc_id("a"), orthanc_id("b")])
    assert first.series[0].study_instance_uid != second.series[0].study_instance_uid


def test_a_series_is_split_into_series_of_its_study_by_default():
    plan = plan_of({"a": echoes(10, 80), "b": echoes(1, 2)}, "Series", By=["EchoTime"])
    assert plan.studies == {}
    assert {one.study_instance_uid for one in plan.series} == {STUDY_UID}
    assert plan.instances_count == 2


@pytest.mark.parametrize(
    ("body", "whole"),
    [
        ({"Series": ["a", "b"]}, True),
        ({"Series": ["a", "b"], "Into": "Series"}, False),
        ({"Series": ["a"]}, False),
        ({"By": ["EchoTime"]}, False),
    ],
)
def test_a_study_that_becomes_another_one_as_a_whole_is_known_as_such(body, whole):
    plan = plan_of({"a": echoes(10, 80), "b": echoes(10)}, **body)
    new = plan.series[0].study_instance_uid
    assert plan.studies == ({STUDY_UID: new} if whole else {})


def test_a_study_of_which_something_cannot_be_read_does_not_move_as_a_whole():
    plan = plan_of({"a": echoes(10, 80)}, unreadable=(("a", "bad"),), Series=["a"], Permissive=True)
    assert plan.studies == {}
    assert not plan.series[0].whole


def test_a_series_that_is_divided_is_not_whole():
    plan = plan_of({"a": echoes(10, 80), "b": echoes(10)}, By=["EchoTime"])
    assert {one.source: one.whole for one in plan.series if one.source == orthanc_id("b")} == {
        orthanc_id("b"): True
    }
    assert not any(one.whole for one in plan.series if one.source == orthanc_id("a"))


def test_counts_of_related_objects_go():
    (series, _) = plan_of({"a": echoes(10, 80)}, By=["EchoTime"]).series
    assert series.edits.items() >= dict.fromkeys(RELATED_COUNTS).items()


WHERE = {"Tag": "EchoTime", "Between": [0, 50]}


def test_where_restricts_what_is_moved():
    plan = plan_of({"a": echoes(10, 20, 80)}, By=["EchoTime"], Where=WHERE)
    assert separated(plan) == {"EchoTime=10": 1, "EchoTime=20": 1}
    assert plan.unmoved == 1


def test_where_alone_makes_one_group():
    plan = plan_of({"a": echoes(10, 20, 80)}, Where=WHERE)
    assert separated(plan) == {"Selection": 2}


def test_one_group_of_a_selection_is_moved():
    plan = plan_of({"a": echoes(10, 10, 80)}, By=["EchoTime"], Where=WHERE)
    assert separated(plan) == {"EchoTime=10": 2}


@pytest.mark.parametrize(
    ("body", "moved"),
    [
        ({"Series": ["a", "a"], "By": ["EchoTime"]}, 2),
        ({"Series": ["b"], "Where": WHERE}, 1),
        ({"Instances": ["a/0", "a/0"], "Naming": "x"}, 1),
        ({"Series": ["a"], "Instances": ["a/0", "b/1"], "Naming": "x"}, 3),
    ],
)
def test_what_is_named_twice_is_moved_once(body, moved):
    plan = plan_of({"a": echoes(10, 80), "b": echoes(10, 80)}, **body)
    assert plan.instances_count == moved
    assert plan.unmoved == 4 - moved


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"Series": ["c"]}, r"^\$\.Series: .* does not belong to Study"),
        ({"Instances": ["a/0", "a/9"]}, r"^\$\.Instances: .* does not belong to Study"),
        (
            {"By": [{"Groups": [{"Name": "g", "Series": ["c"]}]}]},
            r"^\$\.By\[0\]\.Groups\[0\]\.Series: ",
        ),
        (
            {"By": [{"Groups": [{"Name": "g", "Instances": ["x/1"]}]}]},
            r"^\$\.By\[0\]\.Groups\[0\]\.Instances: ",
        ),
        ({"Where": {"Tag": "EchoTime", "Equals": "x"}}, "No instance is selected"),
    ],
)
def test_what_is_not_there_is_refused(body, message):
    with pytest.raises(BadRequest, match=message):
        plan_of({"a": echoes(10, 80)}, **body)


def test_another_series_of_the_study_does_not_belong_to_the_series_that_is_split():
    with pytest.raises(BadRequest, match="does not belong to Series"):
        plan_of({"a": echoes(10, 80), "b": echoes(1)}, "Series", Series=["b"])


def test_a_request_that_says_nothing_of_what_to_split_is_refused():
    with pytest.raises(BadRequest, match='"By", "Series", "Instances" and "Where"'):
        plan_of({"a": echoes(10)}, DryRun=True)


# Explicit groups


def test_explicit_groups_are_made_as_they_are_named():
    groups = [{"Name": "x", "Instances": ["a/0", "b/0"]}, {"Name": "y", "Series": ["c"]}]
    series = {"a": echoes(1, 2), "b": echoes(1), "c": echoes(1)}
    plan = plan_of(series, By=[{"Groups": groups}])
    assert separated(plan) == {"x": 2, "y": 1}
    assert plan.unmoved == 1


@pytest.mark.parametrize("name", ["same", "other"])
def test_an_instance_cannot_be_in_two_groups_whatever_they_are_called(name):
    groups = [{"Name": "same", "Series": ["a"]}, {"Name": name, "Instances": ["a/1"]}]
    with pytest.raises(BadRequest, match=r"^\$\.By\[0\]\.Groups\[1\]: .* is in two groups"):
        plan_of({"a": echoes(1, 2)}, By=[{"Groups": groups}])


def test_an_instance_may_be_named_twice_in_one_group():
    groups = [{"Name": "x", "Series": ["a"], "Instances": ["a/1", "a/1"]}]
    assert separated(plan_of({"a": echoes(1, 2)}, By=[{"Groups": groups}])) == {"x": 2}


def test_groups_of_one_name_become_studies_of_their_own():
    groups = [{"Name": "x", "Instances": ["a/0"]}, {"Name": "x", "Instances": ["a/1"]}]
    plan = plan_of({"a": echoes(1, 2)}, By=[{"Groups": groups}])
    assert len({one.study_instance_uid for one in plan.series}) == 2


def test_where_restricts_explicit_groups_too():
    groups = [{"Name": "x", "Series": ["a"]}, {"Name": "y", "Series": ["b"]}]
    plan = plan_of({"a": echoes(10, 80), "b": echoes(80)}, By=[{"Groups": groups}], Where=WHERE)
    assert separated(plan) == {"x": 1}


# Concatenations


def parts(*echo_times: int, uid: str = "1.9") -> list[dict[str, Any]]:
    return [{"ConcatenationUID": uid, "EchoTime": time} for time in echo_times]


@pytest.mark.parametrize(
    "body",
    [
        {"By": ["EchoTime"]},
        {"By": ["EchoTime"], "Into": "Series"},
        {"By": ["EchoTime"], "Where": WHERE},
        {"Where": WHERE},
        {"Instances": ["a/0"], "Naming": "x"},
        {"By": ["EchoTime"], "Instances": ["a/1"]},
        {"By": [{"Groups": [{"Name": "g", "Instances": ["a/1"]}]}]},
    ],
)
def test_concatenations_stay_together(body):
    plan = plan_of({"a": [*parts(10, 80, 20), *echoes(10, 80)]}, **body)
    concatenation = {orthanc_id(f"a/{index}") for index in range(3)}
    holding = [members(group) for group in plan.groups if members(group) & concatenation]
    assert len(holding) == 1
    assert holding[0] >= concatenation
    assert any("stays with its concatenation" in warning for warning in plan.warnings)


def test_a_part_that_lacks_the_element_goes_with_those_that_have_it():
    rows = [{"ConcatenationUID": "1.9"}, *parts(80), *echoes(10, 80)]
    assert separated(plan_of({"a": rows}, By=["EchoTime"])) == {"EchoTime=10": 1, "EchoTime=80": 3}


def test_a_concatenation_cannot_be_torn_by_explicit_groups():
    groups = [{"Name": "x", "Instances": ["a/0"]}, {"Name": "y", "Instances": ["a/1"]}]
    with pytest.raises(BadRequest, match="is in two groups"):
        plan_of({"a": parts(10, 80)}, By=[{"Groups": groups}])


# Unreadable instances


def test_unreadable_instances_are_refused():
    with pytest.raises(BadRequest, match=r"1 instances cannot be read, the first is bad"):
        plan_of({"a": echoes(10, 80)}, unreadable=(("a", "bad"),), By=["EchoTime"])


def test_unreadable_instances_stay_where_that_is_permitted():
    plan = plan_of(
        {"a": echoes(10, 80)}, unreadable=(("a", "bad"),), By=["EchoTime"], Permissive=True
    )
    assert (plan.instances_count, plan.unmoved, plan.unreadable) == (2, 0, ("bad",))
    described = plan.describe(with_instances=False)
    assert (described["FailedInstancesCount"], described["FailedInstances"]) == (1, ["bad"])


def test_a_series_of_unreadable_instances_only_can_be_named():
    with pytest.raises(BadRequest, match="No instance is selected"):
        plan_of(
            {"a": echoes(10), "b": []}, unreadable=(("b", "bad"),), Series=["b"], Permissive=True
        )


# Numbers and names


def test_new_series_get_numbers_that_no_other_has():
    series = {"a": echoes(1, 2), "b": echoes(3)}
    plan = plan_of(series, numbers={"a": 5, "b": 9}, By=["EchoTime"], Into="Series", Series=["a"])
    assert [one.series_number for one in plan.series] == ["10", "11"]
    assert [one.edits["SeriesNumber"] for one in plan.series] == ["10", "11"]


def test_in_a_new_study_a_series_keeps_its_number_if_it_is_free():
    rows = [{"EchoTime": 1, "SeriesNumber": 4}]
    series = {"a": rows, "b": rows, "c": [{"EchoTime": 1}], "d": [{"EchoTime": 2}]}
    plan = plan_of(series, By=["EchoTime"])
    numbers = [one.series_number for one in plan.groups[0].series]
    assert sorted(numbers) == ["", "4", "5"]
    assert plan.groups[1].series[0].series_number == ""


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{EchoTime:d}", ["1", "2"]),
        ("7", ["7", "10"]),
        ("9", ["10", "11"]),
        ("none", ["10", "11"]),
        ("+-5", ["10", "11"]),
        ("999999999999", ["10", "11"]),
    ],
)
def test_a_series_number_is_taken_as_named_where_it_is_one_and_free(template, expected):
    plan = plan_of(
        {"a": echoes(1, 2)},
        "Series",
        numbers={"a": 9},
        By=["EchoTime"],
        Naming={"SeriesNumber": template},
    )
    assert [one.series_number for one in plan.series] == expected


def test_numbers_near_the_largest_stay_integers_of_dicom():
    plan = plan_of({"a": echoes(1, 2)}, "Series", numbers={"a": 2**31 - 1}, By=["EchoTime"])
    assert [one.series_number for one in plan.series] == ["1", "2"]


def test_a_name_is_filled_for_each_group():
    plan = plan_of(
        {"a": echoes(10, 80)}, "Series", By=["EchoTime"], Naming="{Index}: {Group} TE={EchoTime:g}"
    )
    assert [one.series_description for one in plan.series] == [
        "1: EchoTime=10 TE=10",
        "2: EchoTime=80 TE=80",
    ]


@pytest.mark.parametrize("keyword", ["StudyDescription", "StudyID", "AccessionNumber"])
def test_all_series_of_a_new_study_say_the_same_of_it(keyword):
    series: Series = {
        name: [{"SeriesDescription": name, "EchoTime": 1}, {"SeriesDescription": name}]
        for name in "abc"
    }
    plan = plan_of(
        series,
        By=["EchoTime"],
        Naming={keyword: "{SeriesDescription}", "SeriesDescription": "{SeriesDescription} new"},
    )
    for group in plan.groups:
        assert len({one.edits[keyword] for one in group.series}) == 1
        descriptions = sorted(one.series_description for one in group.series)
        assert descriptions == ["a new", "b new", "c new"]


def test_a_description_that_is_removed_is_shown_as_empty():
    plan = plan_of(
        {"a": [{"EchoTime": n, "SeriesDescription": "d"} for n in (1, 2)]},
        "Series",
        By=["EchoTime"],
        Remove=["SeriesDescription"],
    )
    assert [one.series_description for one in plan.series] == ["", ""]
    assert plan.series[0].edits["SeriesDescription"] is None


def test_instance_numbers_are_made_unique():
    rows = [{"EchoTime": n // 2, "InstanceNumber": 1, "ImageIndex": 1} for n in range(4)]
    plan = plan_of({"a": rows}, By=["EchoTime"])
    for one in plan.series:
        numbers = [instance.edits["InstanceNumber"] for instance in one.instances]
        assert sorted(numbers) == ["1", "2"]
        assert [str(instance.edits["ImageIndex"]) for instance in one.instances] == numbers


def test_counts_follow_the_new_series():
    said = {"ImagesInAcquisition": 2, "NumberOfTemporalPositions": 3}
    rows = [{"EchoTime": n % 3, "InstanceNumber": n + 1, **said} for n in range(6)]
    plan = plan_of({"a": rows}, By=["EchoTime"])
    for one in plan.series:
        assert int(one.edits["ImagesInAcquisition"]) == 2
        assert int(one.edits["NumberOfTemporalPositions"]) == 1
        assert sorted(i.edits["InstanceNumber"] for i in one.instances) == ["1", "2"]


# What may be changed


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"Replace": {"Rows": "1"}}, r'^\$\.Replace\["Rows"\]: '),
        ({"Replace": {"SeriesDescription": "x"}}, r'^\$\.Replace\["SeriesDescription"\]: '),
        ({"Replace": {"StudyInstanceUID": "1"}}, r'^\$\.Replace\["StudyInstanceUID"\]: '),
        ({"Remove": ["StudyID", "0020000D"]}, r"^\$\.Remove\[1\]: "),
        ({"Remove": ["SeriesDescription"]}, r"^\$\.Remove\[0\]: "),
        ({"Remove": ["SeriesNumber"], "Into": "Series"}, r"^\$\.Remove: SeriesNumber stays"),
        ({"Replace": {"StudyDescription": "x"}, "Into": "Series"}, r"^\$\.Replace"),
        ({"Replace": {"StudyID": []}}, r'^\$\.Replace\["StudyID"\]: an array'),
        ({"Replace": {"ProcedureCodeSequence": "x"}}, r"for sequences"),
        ({"Naming": {"PatientName": "x"}}, r'^\$\.Naming\["PatientName"\]: '),
        ({"Naming": {"StudyID": "x"}, "Into": "Series"}, r'^\$\.Naming\["StudyID"\]: '),
        (
            {"Naming": {"StudyID": "x"}, "Replace": {"0020,0010": "y"}},
            r'^\$\.Naming\["StudyID"\]: is also in',
        ),
        ({"Naming": "x", "Remove": ["StudyDescription"]}, "is also in"),
        (
            {"Keep": ["SeriesInstanceUID"], "Force": True, "Into": "Series"},
            r"^\$\.Keep: SeriesInstanceUID",
        ),
        (
            {"Keep": ["SeriesInstanceUID"], "Force": True},
            r"^\$\.Keep: SeriesInstanceUID cannot be kept, since series",
        ),
    ],
)
def test_what_would_break_the_model_is_refused(body, message):
    with pytest.raises(BadRequest, match=message):
        plan_of({"a": echoes(10, 80)}, By=["EchoTime"], **body)


def test_new_values_are_in_the_edits_by_their_keywords():
    items = [{"CodeValue": "1"}]
    plan = plan_of(
        {"a": echoes(10, 80)},
        By=["EchoTime"],
        Replace={"0010,0010": "NEW^NAME", "ProcedureCodeSequence": items},
        Remove=["00081030"],
    )
    for one in plan.series:
        assert one.edits["PatientName"] == "NEW^NAME"
        assert one.edits["ProcedureCodeSequence"] == items
        assert one.edits["StudyDescription"] is None


@pytest.mark.parametrize(
    ("body", "patient_id"),
    [
        ({"Replace": {"PatientID": " P2 "}}, "P2"),
        ({"Replace": {"0010-0020": "P2"}}, "P2"),
        ({"Remove": ["PatientID"]}, ""),
        ({}, PATIENT_ID),
    ],
)
def test_future_identifiers_are_those_that_orthanc_gives(body, patient_id):
    plan = plan_of({"a": echoes(10, 80)}, By=["EchoTime"], **body)
    for one in plan.series:
        for instance in one.instances:
            assert (
                one.patient_orthanc_id,
                one.study_orthanc_id,
                one.orthanc_id,
                instance.orthanc_id,
            ) == orthanc_identifiers(
                patient_id,
                one.study_instance_uid,
                one.series_instance_uid,
                instance.sop_instance_uid,
            )


def test_identifiers_are_kept_where_that_is_asked_for():
    plan = plan_of(
        {"a": echoes(10), "b": echoes(80)},
        By=["EchoTime"],
        Keep=["SeriesInstanceUID", "SOPInstanceUID"],
        Force=True,
    )
    assert {one.series_instance_uid for one in plan.series} == {
        f"{STUDY_UID}.a",
        f"{STUDY_UID}.b",
    }
    assert {i.sop_instance_uid for one in plan.series for i in one.instances} == {
        f"{STUDY_UID}.a.0",
        f"{STUDY_UID}.b.0",
    }
    assert all(one.study_instance_uid != STUDY_UID for one in plan.series)


def test_a_series_with_unreadable_instances_keeps_no_identifier():
    with pytest.raises(BadRequest, match=r"^\$\.Keep: "):
        plan_of(
            {"a": echoes(10), "b": echoes(80)},
            unreadable=(("a", "bad"),),
            By=["EchoTime"],
            Keep=["SeriesInstanceUID"],
            Force=True,
            Permissive=True,
        )


# The digest


BASE: dict[str, Any] = {"By": ["EchoTime"]}


@pytest.mark.parametrize(
    "how",
    [
        {"DryRun": True},
        {"Asynchronous": True},
        {"Synchronous": False},
        {"Priority": 5},
        {"UserData": {"a": 1}},
        {"Permissive": True},
    ],
)
def test_how_a_plan_is_run_does_not_change_it(how):
    series: Series = {"a": echoes(10, 80)}
    assert plan_of(series, **BASE, **how) == plan_of(series, **BASE)


@pytest.mark.parametrize(
    "other",
    [
        {"By": ["EchoTime", "FlipAngle"]},
        {**BASE, "KeepSource": True},
        {**BASE, "KeepLabels": False},
        {**BASE, "Into": "Series"},
        {**BASE, "Naming": "x"},
        {**BASE, "Replace": {"StudyID": "1"}},
        {**BASE, "Remove": ["StudyID"]},
        {**BASE, "OriginalAttributes": False},
        {**BASE, "Keep": ["SOPInstanceUID"], "Force": True},
        {**BASE, "Where": {"Tag": "EchoTime", "Exists": True}},
    ],
)
def test_another_request_is_another_plan(other):
    series: Series = {"a": echoes(10, 80)}
    assert plan_of(series, **other).digest != plan_of(series, **BASE).digest


def test_another_state_of_the_source_is_another_plan():
    digests = [
        plan_of({"a": echoes(10, 80)}, **BASE).digest,
        plan_of({"a": echoes(10, 80, 80)}, **BASE).digest,
        plan_of({"a": echoes(10, 80)}, overwritten=5, **BASE).digest,
        plan_of({"a": echoes(10, 80)}, numbers={"a": 9}, **BASE).digest,
        plan_of({"a": echoes(10, 80)}, unreadable=(("a", "bad"),), Permissive=True, **BASE).digest,
    ]
    assert len(set(digests)) == len(digests)


def test_a_plan_runs_only_while_it_is_true():
    series: Series = {"a": echoes(10, 80)}
    digest = plan_of(series, **BASE).digest
    assert plan_of(series, **BASE, Plan=digest).digest == digest
    with pytest.raises(Conflict, match=r"^\$\.Plan: "):
        plan_of({"a": echoes(10, 80, 80)}, **BASE, Plan=digest)
    with pytest.raises(Conflict):
        plan_of(series, By=["Echo"], Plan=digest)


# What else the plan says


def test_a_plan_survives_the_database():
    plan = plan_of(
        {"a": echoes(10, 80), "b": [{"Modality": "SR"}]},
        Replace={"ProcedureCodeSequence": [{"CodeValue": "1"}]},
        Naming="x",
        **BASE,
    )
    kept = validate(Plan, plan.model_dump(mode="json", by_alias=True))
    assert kept == plan


def test_a_plan_tells_when_it_was_made():
    assert plan_of({"a": echoes(10, 80)}, **BASE).created == "20240102030405.000678+0000"


def test_a_plan_is_described():
    plan = plan_of({"a": echoes(10, 80, 80)}, **BASE)
    described = plan.describe(with_instances=True)
    assert described["Plan"] == plan.digest
    assert (described["InstancesCount"], described["UnmovedInstancesCount"]) == (3, 0)
    assert "TargetStudy" not in described
    first, second = described["Groups"]
    assert (first["Name"], first["Values"], first["InstancesCount"]) == (
        "EchoTime=10",
        {"EchoTime": "10"},
        1,
    )
    assert len(second["Series"][0]["Instances"]) == 2
    assert "Instances" not in plan.describe(with_instances=False)["Groups"][0]["Series"][0]


def test_one_target_study_is_named_as_the_core_names_it():
    described = plan_of({"a": echoes(10, 80)}, Series=["a"]).describe(with_instances=False)
    assert described["TargetStudyUID"].startswith("2.25.")
    assert described["TargetStudy"]


# Over generated studies

elements = st.fixed_dictionaries(
    {},
    optional={
        "EchoTime": st.sampled_from(["10", "10.0", "80", "", "x", "nan", "1e400"]),
        "SeriesDescription": st.sampled_from(["a", "b\\c", "\x1b", "é"]) | st.text(max_size=70),
        "SeriesNumber": st.sampled_from(["1", "2", "-1", "x", "2147483647", "1e12"]),
        "InstanceNumber": st.sampled_from(["1", "2", "3", "", "x"]),
        "AcquisitionNumber": st.sampled_from(["1", "2"]),
        "AcquisitionDate": st.sampled_from(["20240101", "bad"]),
        "AcquisitionTime": st.sampled_from(["101500", "101501.5", "235959", "bad"]),
        "ConcatenationUID": st.sampled_from(["1.9", "1.8"]),
        "ImagesInAcquisition": st.sampled_from(["2", "0", "x"]),
        "NumberOfTemporalPositions": st.sampled_from(["1", "2"]),
        "ImageIndex": st.just("1"),
        "Modality": st.sampled_from(["MR", "SR"]),
    },
)
studies = st.dictionaries(
    st.sampled_from(["a", "b", "c"]), st.lists(elements, min_size=1, max_size=5), min_size=1
)
criteria = st.sampled_from(
    [
        "EchoTime",
        "SeriesDescription",
        "Echo",
        "Acquisition",
        {"Tag": "EchoTime", "Tolerance": 1},
        {"Tag": "SeriesDescription", "Matches": "(.)"},
        {"Gap": "AcquisitionTime", "Seconds": 1},
    ]
)
templates = st.sampled_from(
    ["x", "{SeriesDescription}", "{Group} {Index:03}", "{EchoTime:g}", "{SeriesNumber:d}"]
)


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    body: dict[str, Any] = {
        "By": draw(st.lists(criteria, min_size=1, max_size=3)),
        "Into": draw(st.sampled_from(["Studies", "Series"])),
    }
    if draw(st.booleans()):
        body["Where"] = {"Tag": "EchoTime", "Exists": draw(st.booleans())}
    names = ["SeriesDescription", "SeriesNumber"]
    if body["Into"] == "Studies":
        names += ["StudyDescription", "StudyID", "AccessionNumber"]
    body["Naming"] = draw(st.dictionaries(st.sampled_from(names), templates, max_size=2))
    return body


def planned(source: Source, body: dict[str, Any]) -> Plan | None:
    try:
        return make_plan(source, request_of(**body), Into.STUDIES, NOW)
    except BadRequest:
        return None


def uids(plan: Plan, into: Into) -> list[str]:
    """Return all new UIDs of a plan, one for each study, series and instance."""
    found = [one.series_instance_uid for one in plan.series]
    found += [i.sop_instance_uid for one in plan.series for i in one.instances]
    if into is Into.STUDIES:
        found += {one.study_instance_uid for one in plan.series}
    return found


@given(studies, requests())
def test_every_readable_instance_is_in_at_most_one_group(study: Any, body):
    source = source_of(request_of(**body), study)
    plan = planned(source, body)
    if plan is None:
        return
    moved = [i.source for one in plan.series for i in one.instances]
    assert all(number == 1 for number in Counter(moved).values())
    assert set(moved) <= {one.orthanc_id for one in source.instances}
    assert len(moved) + plan.unmoved == len(source.instances)
    assert plan.instances_count == len(moved)
    of_series = {one.orthanc_id: one.series for one in source.instances}
    assert all(of_series[i.source] == one.source for one in plan.series for i in one.instances)


@given(studies, requests())
def test_new_identifiers_are_distinct_new_and_valid(study: Any, body):
    source = source_of(request_of(**body), study)
    plan = planned(source, body)
    if plan is None:
        return
    new = uids(plan, Into(body["Into"]))
    old = {source.study.study_instance_uid, *(one.series_instance_uid for one in source.series)}
    old |= {one.values.sop_instance_uid for one in source.instances}
    assert len(set(new)) == len(new)
    assert old.isdisjoint(new)
    assert all(len(one) <= 64 and re.fullmatch(r"2\.25\.[1-9]\d*", one) for one in new)
    ids = [i.orthanc_id for one in plan.series for i in one.instances]
    assert len(set(ids)) == len(ids)
    assert {one.orthanc_id for one in source.instances}.isdisjoint(ids)


@given(studies, requests(), st.randoms(use_true_random=False))
def test_the_plan_depends_on_nothing_but_source_and_request(study: Any, body, random):
    source = source_of(request_of(**body), study)
    instances = list(source.instances)
    random.shuffle(instances)
    shuffled = Source(**{**vars(source), "instances": tuple(instances)})
    assert planned(shuffled, body) == planned(source, body)


@given(studies, requests())
def test_series_numbers_are_unique_in_a_study(study: Any, body):
    source = source_of(request_of(**body), study)
    plan = planned(source, body)
    if plan is None:
        return
    given_out: dict[str, list[str]] = {}
    for one in plan.series:
        if "SeriesNumber" in one.edits:
            given_out.setdefault(one.study_instance_uid, []).append(one.edits["SeriesNumber"])
    taken = [str(one.series_number) for one in source.series]
    for study, numbers in given_out.items():
        numbers = numbers + (taken if study == STUDY_UID else [])
        assert len(set(numbers)) == len(numbers)
        assert all(-(2**31) <= int(number) < 2**31 for number in numbers)


@given(studies, requests())
def test_names_hold_what_their_elements_can(study: Any, body):
    plan = planned(source_of(request_of(**body), study), body)
    if plan is None:
        return
    limits = {"StudyID": 16, "AccessionNumber": 16, "SeriesNumber": 12}
    for one in plan.series:
        for keyword in body["Naming"]:
            name = one.edits[keyword]
            assert len(name) <= limits.get(keyword, 64)
            assert "\\" not in name
            assert name.isprintable()
    assert all(len(group.name) <= 200 for group in plan.groups)


@given(studies, requests())
def test_a_missing_element_never_falls_into_another_group(study: Any, body):
    request = request_of(**body)
    source = source_of(request, study)
    plan = planned(source, body)
    if plan is None:
        return
    found = {one.orthanc_id: one.values for one in source.instances}
    names = [criterion.name for criterion in request.criteria()]
    for group in plan.groups:
        alone = [found[one] for one in members(group) if not found[one].string(CONCATENATION)]
        for criterion in request.criteria():
            missing = {key is None for key in criterion.keys(alone)}
            assert len(missing) <= 1
            if alone and missing == {True} and names.count(criterion.name) == 1:
                assert criterion.name not in group.values


@given(studies, requests())
def test_concatenations_are_never_torn(study: Any, body):
    source = source_of(request_of(**body), study)
    plan = planned(source, body)
    if plan is None:
        return
    where = {i.source: one.orthanc_id for one in plan.series for i in one.instances}
    together: dict[tuple[str, str], set[str | None]] = {}
    for one in source.instances:
        uid = one.values.string(CONCATENATION)
        if uid:
            together.setdefault((one.series, uid), set()).add(where.get(one.orthanc_id))
    assert all(len(places) == 1 for places in together.values())


@given(studies, requests())
def test_a_plan_is_json_and_comes_back(study: Any, body):
    plan = planned(source_of(request_of(**body), study), body)
    if plan is not None:
        assert validate(Plan, plan.model_dump(mode="json", by_alias=True)) == plan


def test_a_check_needs_no_instances():
    assert check(request_of(By=["Echo"]), Into.SERIES) is Into.SERIES
    assert check(request_of(By=["Echo"], Into="Studies"), Into.SERIES) is Into.STUDIES
    with pytest.raises(CuratorError):
        check(request_of(), Into.SERIES)


def test_the_source_is_what_is_stored_of_the_study_or_series():
    patients = {
        "P1": {"A": {"A1": [{}, {"unreadable": True}], "A2": [{}]}, "B": {"B1": [{}]}},
    }
    holdings = holdings_of(patients, Wanted(frozenset()), [])
    study, series = (builders.orthanc_id("P1", "A", *name) for name in ((), ("A1",)))

    found = split.source_of(holdings, "Study", study)
    assert (found.level, found.orthanc_id, found.patient_id) == ("Study", study, "P1")
    assert found.study.study_instance_uid == study_uid("A")
    assert {one.series_instance_uid: one.instances_count for one in found.series} == {
        series_uid("A1"): 2,
        series_uid("A2"): 1,
    }
    assert len(found.instances) == 2
    assert found.unreadable == ((builders.orthanc_id("P1", "A", "A1", 1), "Malformed"),)

    of_series = split.source_of(holdings, "Series", series)
    assert of_series.study == found.study
    assert [one.series for one in of_series.instances] == [series]
    assert {one.series_instance_uid: one.instances_count for one in of_series.series} == {
        series_uid("A1"): 2,
        series_uid("A2"): 0,
    }
    with pytest.raises(KeyError):
        split.source_of(holdings, "Study", "unknown")


def test_elements_are_read_that_the_request_asks_for():
    request = request_of(
        By=["EchoTime", {"Gap": "AcquisitionDateTime", "Seconds": 1}],
        Where={"Not": {"Tag": "PatientSex", "Exists": True}},
        Naming="{ProtocolName}",
    )
    (instance,) = source_of(request, {"a": [{}]}).instances
    asked = {str(path) for path in instance.values.texts}
    assert asked >= {
        "EchoTime",
        "AcquisitionDateTime",
        "AcquisitionDate",
        "AcquisitionTime",
        "PatientSex",
        "ProtocolName",
    }
