"""The plan of a merge of series into one."""

from collections import Counter
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.dicom.tags import parse_path
from curator.errors import BadRequest, Conflict, CuratorError
from curator.models import validate
from curator.reshape.merge_request import SeriesMergeRequest
from curator.reshape.merge_series import WANTED, make_plan
from curator.reshape.moving import RELATED_COUNTS
from curator.reshape.numbering import whole
from curator.reshape.plan import Plan
from curator.reshape.source import Holdings
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

CT = "1.2.840.10008.5.1.4.1.1.2"
ALIKE = {
    "Modality": "CT",
    "SOPClassUID": CT,
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
NUMBER = parse_path("InstanceNumber")

Rows = list[dict[str, Any]]

STUDY = orthanc_id("P1", "A")
TARGET, SOURCE, THIRD = (orthanc_id("P1", "A", name) for name in ("T", "S", "U"))


def at(place: float, number: int | None = None, **more: Any) -> dict[str, Any]:
    """Return a slice at a position in mm."""
    return {
        **ALIKE,
        "ImagePositionPatient": [0, 0, place],
        "InstanceNumber": number,
        "pixels": f"pixels of {place}",
        **more,
    }


def holdings_for(series: dict[str, Rows], request: SeriesMergeRequest) -> Holdings:
    concerned = [TARGET, *(request.resources or (STUDY,))]
    return holdings_of({"P1": {"A": series, "B": {"B1": [at(0)]}}}, WANTED, concerned)


def request_of(*resources: str, **body: Any) -> SeriesMergeRequest:
    named = {"Resources": list(resources)} if resources else {}
    return validate(SeriesMergeRequest, {**named, **body})


def plan_of(series: dict[str, Rows], *resources: str, **body: Any) -> Plan:
    """Plan a merge into the series T."""
    request = request_of(*(resources or [] if "Rule" in body else resources or [SOURCE]), **body)
    return make_plan(holdings_for(series, request), TARGET, request, NOW)


def instance(series: str, number: int | str) -> str:
    return orthanc_id("P1", "A", series, number)


def numbers_of(plan: Plan) -> dict[str, str]:
    """Return the numbers that a plan gives, by the source instance."""
    return {
        one.source: one.edits["InstanceNumber"]
        for _, one in plan.changed()
        if "InstanceNumber" in one.edits
    }


# What is merged


def test_series_become_one_in_the_order_of_their_slices():
    series = {"T": [at(0, 1), at(2, 2)], "S": [at(3, 1), at(1, 2)]}
    plan = plan_of(series)
    assert numbers_of(plan) == {
        instance("S", 1): "2",
        instance("T", 1): "3",
        instance("S", 0): "4",
    }
    (moved,) = plan.series
    assert (moved.source, moved.orthanc_id, moved.whole) == (SOURCE, TARGET, True)
    assert [one.source for one in moved.instances] == [instance("S", 1), instance("S", 0)]
    assert moved.study_instance_uid == study_uid("A")
    assert plan.standing == (TARGET, STUDY, orthanc_id("P1"))
    assert plan.notes["JoinedSeries"] == [
        {
            "Target": TARGET,
            "Sources": [SOURCE],
            "OrderedBy": "Position",
            "InstancesCount": 4,
            "Renumbered": True,
            "DifferingElements": [],
        }
    ]
    check_identifiers(plan, {orthanc_id("P1"): "P1"})


def test_several_series_are_merged_in_the_order_in_which_they_are_named():
    unplaced = {**ALIKE, "ImagePositionPatient": None, "ImageOrientationPatient": None}
    series = {name: [{**unplaced, "InstanceNumber": 1, "pixels": name}] for name in "TSU"}
    for order in ([SOURCE, THIRD], [THIRD, SOURCE]):
        plan = plan_of(series, *order)
        numbers = numbers_of(plan)
        assert [numbers[one.instances[0].source] for one in plan.series] == ["2", "3"]
        assert [one.source for one in plan.series] == order
        assert plan.parents == tuple(order)


def test_a_series_that_is_named_twice_is_merged_once():
    plan = plan_of({"T": [at(0)], "S": [at(1)]}, SOURCE, SOURCE)
    assert plan.instances_count == 1
    assert plan.parents == (SOURCE,)


@pytest.mark.parametrize(
    ("resource", "message"),
    [
        (TARGET, r"^\$\.Resources\[1\]: a series cannot be merged into itself"),
        (orthanc_id("P1", "B", "B1"), r"^\$\.Resources\[1\]: .* is no series of study"),
        (STUDY, r"^\$\.Resources\[1\]: .* is no series of study"),
        (instance("S", 0), r"^\$\.Resources\[1\]: .* is no series of study"),
    ],
)
def test_only_other_series_of_the_study_can_be_merged(resource, message):
    with pytest.raises(BadRequest, match=message):
        plan_of({"T": [at(0)], "S": [at(1)]}, SOURCE, resource)


@pytest.mark.parametrize("where", ["T", "S"])
def test_unreadable_instances_are_refused_unless_they_may_stay(where):
    series = {name: [at(index), {"unreadable": name == where}] for index, name in enumerate("TS")}
    series = {
        name: [row if row.get("unreadable") else at(place + 2 * n) for n, row in enumerate(rows)]
        for place, (name, rows) in enumerate(series.items())
    }
    with pytest.raises(BadRequest, match="1 instances cannot be read"):
        plan_of(series)
    plan = plan_of(series, Permissive=True)
    assert plan.unreadable == (instance(where, 1),)
    assert plan.series[0].whole == (where == "T")


@pytest.mark.parametrize("where", ["T", "S"])
def test_where_nothing_can_be_read_nothing_can_be_merged(where):
    series = {name: [{"unreadable": True}] if name == where else [at(1)] for name in "TS"}
    with pytest.raises(BadRequest, match=r"No instance of .* can be read"):
        plan_of(series, Permissive=True)


# What has to be alike


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("Modality", "MR"),
        ("SOPClassUID", "1.2"),
        ("FrameOfReferenceUID", "1.2.4"),
        ("FrameOfReferenceUID", None),
        ("Rows", 3),
        ("Columns", 3),
        ("BitsStored", 12),
        ("PixelSpacing", [1, 1.1]),
        ("ImageOrientationPatient", [0, 1, 0, 1, 0, 0]),
    ],
)
def test_unlike_series_are_refused_and_both_sides_shown(keyword, value):
    series = {"T": [at(0)], "S": [at(1), at(2, **{keyword: value})]}
    with pytest.raises(Conflict, match=rf"^\$\.Resources: .* {keyword} differs in") as raised:
        plan_of(series)
    assert raised.value.conflicts == [
        {
            "Element": keyword,
            "Target": {"ID": TARGET, "Value": _text(ALIKE[keyword])},
            "Source": {"ID": SOURCE, "Value": _text(value)},
        }
    ]
    assert len(_text(value)) < 5 or _text(value) not in str(raised.value)


def _text(value: Any) -> str:
    parts = value if isinstance(value, list) else [value]
    return "\\".join(str(one) for one in parts if one is not None)


def test_spacing_within_the_tolerance_is_alike():
    series = {"T": [at(0)], "S": [at(1, PixelSpacing=[1.000001, 1])]}
    assert plan_of(series).instances_count == 1


# Numbers and counts


def test_numbers_that_are_right_already_stay():
    plan = plan_of({"T": [at(0, 1), at(1, 2)], "S": [at(2, 3)]})
    assert numbers_of(plan) == {}
    assert plan.overwritten == ()
    assert not plan.notes["JoinedSeries"][0]["Renumbered"]


def test_only_instances_of_the_target_whose_number_changes_are_overwritten():
    series = {"T": [at(0, 1), at(2, 2, ImageIndex=2)], "S": [at(1, 1)]}
    plan = plan_of(series)
    (overwritten,) = plan.overwritten
    (changed,) = overwritten.instances
    assert changed.source == instance("T", 1)
    assert changed.stays
    assert changed.edits == {"InstanceNumber": "3", "ImageIndex": 3}


SAID = {"ImagesInAcquisition": 1, "NumberOfTemporalPositions": 1}


def test_counts_become_those_of_the_whole_series():
    plan = plan_of({"T": [at(0, 1, **SAID)], "S": [at(1, 2, **SAID)]})
    edits = changes_of(plan, instance("S", 0))
    assert edits["ImagesInAcquisition"] * edits["NumberOfTemporalPositions"] == 2
    assert edits.items() >= dict.fromkeys(RELATED_COUNTS).items()
    own = changes_of(plan, instance("T", 0))
    assert own.keys() <= {"ImagesInAcquisition", "NumberOfTemporalPositions"}
    after = {**SAID, **own}
    assert after["ImagesInAcquisition"] * after["NumberOfTemporalPositions"] == 2


def test_instances_of_the_target_that_say_no_count_or_the_right_one_are_left_alone():
    right = {"ImagesInAcquisition": 1, "NumberOfTemporalPositions": 3}
    series = {"T": [at(0, 1), at(1, 2, **right)], "S": [at(2, 3, **SAID)]}
    plan = plan_of(series)
    assert plan.overwritten == ()
    assert changes_of(plan, instance("S", 0)).items() >= right.items()


# The series module


def test_what_differs_in_the_series_module_is_listed_and_the_targets():
    target = {"SeriesDescription": "ours", "SeriesNumber": 1, "ProtocolName": "p"}
    source = {"SeriesDescription": "theirs", "SeriesNumber": 2, "OperatorsName": "X"}
    plan = plan_of({"T": [at(0, **target)], "S": [at(1, **source)]})
    changes = changes_of(plan, instance("S", 0))
    assert (
        changes.items()
        >= {
            "SeriesDescription": "ours",
            "SeriesNumber": "1",
            "ProtocolName": "p",
            "OperatorsName": None,
            "SeriesInstanceUID": series_uid("T"),
        }.items()
    )
    assert plan.notes["JoinedSeries"][0]["DifferingElements"] == [
        "OperatorsName",
        "ProtocolName",
        "SeriesDescription",
        "SeriesNumber",
    ]
    (moved,) = plan.series
    assert (moved.series_number, moved.series_description) == ("1", "ours")


def test_a_single_instance_that_says_otherwise_is_listed():
    rows = [at(place, ProtocolName=name) for place, name in ((1, "p"), (2, "p"), (3, "q"))]
    plan = plan_of({"T": [at(0, ProtocolName="p")], "S": rows})
    assert plan.notes["JoinedSeries"][0]["DifferingElements"] == ["ProtocolName"]
    assert changes_of(plan, instance("S", 2))["ProtocolName"] == "p"


def test_what_varies_within_the_target_stays_as_it_is_in_the_sources_but_for_the_number():
    target = [at(0, OperatorsName="a", SeriesNumber=1), at(1, OperatorsName="b", SeriesNumber=2)]
    plan = plan_of({"T": target, "S": [at(2, OperatorsName="c", SeriesNumber=3)]})
    changes = changes_of(plan, instance("S", 0))
    assert "OperatorsName" not in changes
    assert changes["SeriesNumber"] == "1"


@pytest.mark.parametrize(("theirs", "goes"), [("7", True), ("9", False), (None, True)])
def test_extremes_of_the_pixel_values_go_where_they_are_not_those_of_all(theirs, goes):
    keyword = "LargestPixelValueInSeries"
    series = {"T": [at(0, 1, **{keyword: "9"})], "S": [at(1, 2, **{keyword: theirs})]}
    plan = plan_of(series)
    found = {source: _changed(plan, source) for source in (instance("T", 0), instance("S", 0))}
    removed = {source for source, changes in found.items() if keyword in changes}
    expected = {instance("T", 0), *([instance("S", 0)] if theirs else [])} if goes else set()
    assert removed == expected
    assert all(found[one][keyword] is None for one in removed)


def _changed(plan: Plan, source: str) -> dict[str, Any]:
    return changes_of(plan, source) if source in _written(plan) else {}


def _written(plan: Plan) -> set[str]:
    return {one.source for _, one in plan.changed()}


# Duplicates

#: Why two instances are one, with the rows of the target's and of the source's.
TWICE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "SOPInstanceUID": (at(1, 2, uid="same"), at(1, 1, uid="same")),
    "PixelData": (at(1, 2, KVP=100), at(1, 1, KVP=120)),
    "Position": (at(1, 2), at(1, 1, pixels="reconstructed again")),
}


@pytest.mark.parametrize("reason", TWICE)
def test_duplicates_are_refused(reason):
    ours, theirs = TWICE[reason]
    with pytest.raises(Conflict, match=rf"^\$\.Duplicates: 1 instances .*1 by {reason}"):
        plan_of({"T": [at(0, 1), ours], "S": [theirs, at(2, 2)]})


def row_id(series: str, number: int, row: dict[str, Any]) -> str:
    return instance(series, row.get("uid", number))


@pytest.mark.parametrize("reason", TWICE)
@pytest.mark.parametrize("keep_source", [False, True])
def test_the_source_loses_a_duplicate_of_the_target(reason, keep_source):
    ours, theirs = TWICE[reason]
    series = {"T": [at(0, 1), ours], "S": [theirs, at(2, 2)]}
    plan = plan_of(series, Duplicates="KeepFirst", KeepSource=keep_source)
    assert [one.source for one in plan.instances] == [instance("S", 1)]
    assert numbers_of(plan) == {instance("S", 1): "3"}
    if keep_source:
        assert plan.dropped == ()
        return
    (dropped,) = plan.dropped
    assert dropped.source == row_id("S", 0, theirs)
    assert dropped.kept_source == dropped.kept == row_id("T", 1, ours)
    assert dropped.reason == reason
    assert plan.series[0].whole


@pytest.mark.parametrize("reason", TWICE)
@pytest.mark.parametrize("keep_source", [False, True])
def test_the_target_loses_a_duplicate_of_the_source(reason, keep_source):
    ours, theirs = TWICE[reason]
    series = {"T": [at(0, 1), ours], "S": [theirs, at(2, 2)]}
    plan = plan_of(series, Duplicates="KeepLast", KeepSource=keep_source)
    (dropped,) = plan.dropped
    moved = {one.source: one for one in plan.instances}
    keeper = moved[row_id("S", 0, theirs)]
    assert moved.keys() == {row_id("S", 0, theirs), instance("S", 1)}
    assert dropped.source == row_id("T", 1, ours)
    assert (dropped.kept_source, dropped.kept) == (keeper.source, keeper.orthanc_id)
    assert dropped.sop_instance_uid == keeper.sop_instance_uid
    assert dropped.source not in _written(plan)


def test_the_one_acquired_last_is_kept():
    series = {
        "T": [at(0, 1, AcquisitionNumber=2)],
        "S": [at(0, 1, AcquisitionNumber=1), at(1, 2)],
    }
    plan = plan_of(series, Duplicates="KeepHighestAcquisition")
    assert [one.source for one in plan.dropped] == [instance("S", 0)]


def test_a_source_of_nothing_but_duplicates_goes_to_the_target_as_a_whole():
    """What hangs on it, what refers to it and what arrives late goes after it."""
    series = {"T": [at(0, 1)], "S": [at(0, 1)]}
    plan = plan_of(series, Duplicates="KeepFirst")
    (moved,) = plan.series
    assert (moved.source, moved.orthanc_id) == (SOURCE, TARGET)
    assert (moved.whole, moved.instances) == (True, ())
    assert plan.uids().series == {series_uid("S"): (study_uid("A"), series_uid("T"))}
    assert plan_of(series, Duplicates="KeepFirst", KeepSource=True).series == ()


def test_duplicates_within_the_target_go_too():
    plan = plan_of({"T": [at(0, 1), at(0, 2)], "S": [at(1, 3)]}, Duplicates="KeepFirst")
    (dropped,) = plan.dropped
    assert (dropped.source, dropped.kept) == (instance("T", 1), instance("T", 0))
    assert numbers_of(plan) == {}


def test_what_is_kept_for_a_dropped_one_is_never_dropped_itself():
    series = {"T": [at(0, 1, uid="u")], "S": [at(0, 1, uid="u")], "U": [at(0, 1), at(1, 2)]}
    plan = plan_of(series, SOURCE, THIRD, Duplicates="KeepLast")
    going = {one.source for one in plan.dropped}
    assert len(going) == 2
    assert going.isdisjoint(one.kept_source for one in plan.dropped)


def test_a_kept_uid_cannot_take_the_place_of_its_duplicate():
    series = {"T": [at(0, 1, uid="u")], "S": [at(0, 1, uid="u"), at(1, 2)]}
    keep = {"Keep": ["SOPInstanceUID"], "Force": True}
    with pytest.raises(Conflict, match=r"^\$\.Keep: .*have one SOPInstanceUID"):
        plan_of(series, Duplicates="KeepLast", **keep)
    plan = plan_of(series, Duplicates="KeepFirst", **keep)
    assert [one.sop_instance_uid for one in plan.instances] == [sop_uid("S", 1)]


def test_a_kept_uid_that_another_series_of_the_study_has_is_refused():
    series = {"T": [at(0, 1)], "S": [at(1, 2, uid="u")], "U": [at(5, 1, uid="u")]}
    with pytest.raises(Conflict, match=r"^\$\.Keep: instances .*have one SOPInstanceUID"):
        plan_of(series, Keep=["SOPInstanceUID"], Force=True)
    assert plan_of(series).instances_count == 1


# Parts of a multi-frame acquisition


def part(place: float, *named: str, purpose: str = "121326", **more: Any) -> dict[str, Any]:
    item = "RelatedSeriesSequence[*]."
    code = f"{item}PurposeOfReferenceCodeSequence[*]."
    return at(
        place,
        **{
            f"{item}SeriesInstanceUID": list(map(series_uid, named)),
            f"{code}CodeValue": [purpose] * len(named),
            f"{code}CodingSchemeDesignator": ["DCM"] * len(named),
        },
        **more,
    )


def test_series_that_name_one_multi_frame_series_are_parts_of_one():
    series = {
        "T": [part(0, "M")],
        "S": [part(1, "M")],
        "U": [part(2, "M", purpose="1")],
        "M": [part(3, SOPClassUID="enhanced")],
        "V": [part(4)],
    }
    plan = plan_of(series, Rule="MFSPLIT")
    assert plan.parents == (SOURCE,)
    assert [one.source for one in plan.series] == [SOURCE]
    assert plan.instances_count == 1


def test_parts_are_found_without_the_multi_frame_series_too():
    plan = plan_of({"T": [part(0, "M")], "S": [part(1, "M")]}, Rule="MFSPLIT")
    assert plan.parents == (SOURCE,)


@pytest.mark.parametrize("other", [part(1), part(1, "N"), part(1, "M", SOPClassUID="1.2")])
def test_a_series_that_is_no_part_of_anything_is_refused(other):
    with pytest.raises(BadRequest, match=r"^\$\.Rule: no other series"):
        plan_of({"T": [part(0, "M")], "S": [other]}, Rule="MFSPLIT")


# Plans


def test_a_plan_runs_only_while_it_is_true():
    series = {"T": [at(0, 1)], "S": [at(1, 1)]}
    plan = plan_of(series)
    assert plan_of(series, Plan=plan.digest) == plan
    for changed, body in (
        ({**series, "S": [at(1, 1, file="another")]}, {}),
        ({**series, "U": [at(5)]}, {}),
        (series, {"Duplicates": "KeepFirst"}),
    ):
        with pytest.raises(Conflict, match=r"^\$\.Plan"):
            plan_of(changed, Plan=plan.digest, **body)


def test_a_plan_survives_the_database():
    plan = plan_of({"T": [at(0, 1)], "S": [at(0, 1), at(1, 2)]}, Duplicates="KeepLast")
    assert validate(Plan, plan.model_dump(mode="json", by_alias=True)) == plan


# Over generated series

rows = st.lists(
    st.builds(
        at,
        st.sampled_from([0, 1, 1.5, 2]),
        st.none() | st.integers(0, 3),
        pixels=st.sampled_from(["one", "other", None]),
        AcquisitionNumber=st.none() | st.integers(1, 2),
        AcquisitionTime=st.sampled_from([None, "101500", "101501"]),
        ImagesInAcquisition=st.none() | st.integers(0, 3),
        NumberOfTemporalPositions=st.none() | st.integers(1, 2),
        ImagePositionPatient=st.none() | st.sampled_from([[0, 0, 0], [0, 0, 1], [0, 0, 5]]),
        ProtocolName=st.sampled_from(["p", "q", None]),
        uid=st.sampled_from(["1", "2", "3", "4", "5", "6"]),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda row: row["uid"],
)
duplicates = st.sampled_from(["KeepFirst", "KeepLast", "KeepHighestAcquisition", "Refuse"])


def planned(holdings: Holdings, request: SeriesMergeRequest) -> Plan | None:
    try:
        return make_plan(holdings, TARGET, request, NOW)
    except CuratorError:
        return None


@given(
    st.fixed_dictionaries({"T": rows, "S": rows, "U": rows}),
    st.permutations([SOURCE, THIRD]),
    duplicates,
    st.sampled_from([{}, {"KeepSource": True}, {"Keep": ["SOPInstanceUID"], "Force": True}]),
    st.randoms(use_true_random=False),
)
def test_every_merge_leaves_one_series_in_order(series, sources, choice, body, random):
    request = request_of(*sources, Duplicates=choice, **body)
    holdings = holdings_for(series, request)
    plan = planned(holdings, request)
    if plan is None:
        return
    selected = {one.orthanc_id for one in holdings.within(sources)}
    target = {one.orthanc_id for one in holdings.within([TARGET])}
    moved = [one.source for one in plan.instances]
    going = {one.source for one in plan.dropped}
    assert max(Counter(moved).values(), default=1) == 1
    assert going.isdisjoint(moved)
    if not request.keep_source:
        assert {*moved, *going} - target == selected
    assert {one.kept_source for one in plan.dropped} <= (target | set(moved)) - going

    identifiers = [*(target - going), *(one.orthanc_id for one in plan.instances)]
    assert len(set(identifiers)) == len(identifiers)
    check_identifiers(plan, {orthanc_id("P1"): "P1"})
    found = {one.orthanc_id: one for one in holdings.instances}
    changes = {one.source: {**within.edits, **one.edits} for within, one in plan.changed()}
    numbers = [
        changes.get(one, {}).get("InstanceNumber", str(whole(found[one].values, NUMBER)))
        for one in [*(target - going), *moved]
    ]
    assert len(set(numbers)) == len(numbers)
    assert "None" not in numbers
    assert all(changes[one] for one in changes)

    instances = list(holdings.instances)
    random.shuffle(instances)
    assert planned(replace(holdings, instances=tuple(instances)), request) == plan


@given(st.fixed_dictionaries({"T": rows, "S": rows, "U": rows}), duplicates)
def test_merging_in_any_order_of_reading_is_the_same(series, choice):
    request = request_of(SOURCE, THIRD, Duplicates=choice)
    plans = []
    for order in permutations(series.items()):
        plan = planned(holdings_for(dict(order), request), request)
        plans.append(plan)
    assert all(plan == plans[0] for plan in plans)
