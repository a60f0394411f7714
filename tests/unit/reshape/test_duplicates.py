"""Which of several instances that say the same stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.errors import Conflict
from curator.reshape.duplicates import (
    PATHS,
    POSITION_TOLERANCE,
    Duplicates,
    Member,
    Reason,
    resolve,
)
from unit.reshape.builders import texts_of

AXIAL = [1, 0, 0, 0, 1, 0]
KEEPING = [one for one in Duplicates if one != Duplicates.REFUSE]


def member(name, digest=None, uid=None, z=0.0, **elements):
    """Return an axial slice, by default with a SOP Instance UID of its own."""
    place = {} if z is None else {"ImagePositionPatient": [-100, -100.5, z]}
    found = {**place, "ImageOrientationPatient": AXIAL, **elements}
    return Member(name, "s", texts_of(found, uid or f"1.{name}"), digest)


def names(members):
    return [one.orthanc_id for one in members]


def outcome(members, duplicates=Duplicates.KEEP_FIRST):
    kept, dropped = resolve(members, duplicates)
    return names(kept), [
        (one.member.orthanc_id, one.kept.orthanc_id, str(one.reason)) for one in dropped
    ]


# What duplicates are


def test_instances_at_different_positions_are_no_duplicates():
    assert outcome([member("a", "x"), member("b", "y", z=1)]) == (["a", "b"], [])


def test_instances_with_one_sop_instance_uid_are_duplicates_whatever_else_they_say():
    members = [member("a", "x", uid="1.1"), member("b", "y", uid="1.1", z=5, EchoTime=3)]
    assert outcome(members) == (["a"], [("b", "a", "SOPInstanceUID")])


def test_the_same_pixels_at_the_same_position_are_duplicates_whenever_acquired():
    members = [member("a", "x", AcquisitionNumber=1), member("b", "x", AcquisitionNumber=2)]
    assert outcome(members) == (["a"], [("b", "a", "PixelData")])


def test_the_same_pixels_without_positions_are_duplicates():
    members = [member("a", "x", z=None), member("b", "x", z=None), member("c", "y", z=None)]
    assert outcome(members) == (["a", "c"], [("b", "a", "PixelData")])


def test_the_same_pixels_are_no_duplicates_where_only_one_has_a_position():
    assert outcome([member("a", "x"), member("b", "x", z=None)]) == (["a", "b"], [])


def test_empty_slices_of_several_volumes_are_no_duplicates():
    volumes = [
        member(f"{time}{z}", "empty", z=z, AcquisitionNumber=time) for time in (1, 2) for z in "05"
    ]
    assert outcome(volumes) == (["10", "15", "20", "25"], [])


def test_copies_of_empty_slices_are_duplicates():
    members = [member("a", "empty"), member("b", "empty", z=1), member("c", "empty", z=1)]
    assert outcome(members) == (["a", "b"], [("c", "b", "PixelData")])


@pytest.mark.parametrize("digests", [("x", "y"), (None, None), ("x", None)])
def test_other_pixels_at_the_same_position_are_duplicates_where_nothing_separates_them(digests):
    members = [member(name, digest) for name, digest in zip("ab", digests, strict=True)]
    assert outcome(members) == (["a"], [("b", "a", "Position")])


@pytest.mark.parametrize(
    ("element", "one", "other"),
    [
        ("AcquisitionNumber", 1, 2),
        ("AcquisitionNumber", 1, None),
        ("AcquisitionDateTime", "20240102101500", "20240102101500.5"),
        ("TemporalPositionIdentifier", 1, 2),
        ("EchoTime", "2.46", "4.92"),
        ("EchoNumbers", 1, 2),
        ("DiffusionBValue", 0, 1000),
        ("DiffusionGradientOrientation", [1, 0, 0], [0, 1, 0]),
        ('(0019,"GEMS_ACQU_01",BC)', "0.1", "0.2"),
        ('(0019,"SIEMENS MR HEADER",0E)', [1, 0, 0], [0, 1, 0]),
        ("ImageType", ["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"]),
        ("TriggerTime", 0, 50),
        ("FlipAngle", 5, 15),
        ("InversionTime", 100, 200),
        ("ReceiveCoilName", "HE1", "HE2"),
        ("ConvolutionKernel", "B30f", "B70f"),
        ("KVP", 80, 140),
        ("FrameReferenceTime", 0, 1000),
        ("ImageOrientationPatient", AXIAL, [1, 0, 0, 0, 0, -1]),
    ],
)
def test_other_pixels_that_something_separates_are_no_duplicates(element, one, other):
    members = [member("a", "x", **{element: one}), member("b", "y", **{element: other})]
    assert outcome(members) == (["a", "b"], [])


def test_acquisition_times_separate_with_their_dates():
    def at(name, date, time):
        return member(name, name, AcquisitionDate=date, AcquisitionTime=time)

    members = [
        at("a", "20240102", "101500"),
        at("b", "20240103", "101500"),
        at("c", "20240102", "101500.000"),
    ]
    assert outcome(members) == (["a", "b"], [("c", "a", "Position")])


def test_values_that_are_spelled_otherwise_do_not_separate():
    members = [member("a", "x", EchoTime="2.46"), member("b", "y", EchoTime="2.4600000381")]
    assert outcome(members) == (["a"], [("b", "a", "Position")])


def test_neither_numbers_nor_descriptions_separate():
    members = [
        member("a", "x", InstanceNumber=1, SeriesDescription="one", ContentTime="10"),
        member("b", "y", InstanceNumber=2, SeriesDescription="other", ContentTime="11"),
    ]
    assert outcome(members) == (["a"], [("b", "a", "Position")])


@pytest.mark.parametrize(("distance", "same"), [(0.9, True), (1.1, False)])
def test_positions_within_the_tolerance_are_one(distance, same):
    members = [member("a"), member("b", z=distance * POSITION_TOLERANCE)]
    assert len(resolve(members, Duplicates.KEEP_FIRST)[0]) == (1 if same else 2)


def test_the_position_in_the_plane_counts():
    members = [member("a"), member("b", ImagePositionPatient=[-100, -90, 0])]
    assert outcome(members) == (["a", "b"], [])


# Which one stays


def test_first_and_last_are_those_of_the_order_given():
    members = [member(name) for name in "bca"]
    assert names(resolve(members, Duplicates.KEEP_FIRST)[0]) == ["b"]
    assert names(resolve(members, Duplicates.KEEP_LAST)[0]) == ["a"]


@pytest.mark.parametrize(
    ("acquired", "kept"),
    [
        ([(1, "10"), (3, "10"), (2, "10")], 1),
        ([(9, "10"), (10, "10"), (None, "11")], 1),
        ([(1, "11"), (1, "12"), (1, "10")], 1),
        ([(None, None), (None, "10"), (None, None)], 1),
        ([(1, "10"), (1, "10"), (1, "10")], 2),
        ([(None, None), (None, None), (None, None)], 2),
    ],
)
def test_the_highest_acquisition_is_the_last_one_acquired(acquired, kept):
    members = [
        member(
            str(index), "x", AcquisitionNumber=number, AcquisitionDateTime=time and f"202401{time}"
        )
        for index, (number, time) in enumerate(acquired)
    ]
    assert names(resolve(members, Duplicates.KEEP_HIGHEST_ACQUISITION)[0]) == [str(kept)]


def test_what_is_kept_in_the_place_of_another_is_really_kept():
    members = [
        member("a", "x", uid="1.1", AcquisitionNumber=1),
        member("b", "y", uid="1.1", AcquisitionNumber=2),
        member("c", "y", AcquisitionNumber=3),
        member("d", "z", AcquisitionNumber=3),
    ]
    assert outcome(members, Duplicates.KEEP_LAST) == (
        ["d"],
        [("a", "d", "SOPInstanceUID"), ("b", "d", "PixelData"), ("c", "d", "Position")],
    )


# Refusing


def test_without_duplicates_nothing_is_refused():
    assert outcome([member("a"), member("b", z=1)], Duplicates.REFUSE) == (["a", "b"], [])


def test_a_refusal_counts_duplicates_and_names_the_first_two():
    members = [
        member("id-a", "x", SeriesDescription="SECRET"),
        member("id-b", "x"),
        member("id-c", "y"),
        member("id-d", z=9),
    ]
    with pytest.raises(Conflict) as caught:
        resolve(members, Duplicates.REFUSE)
    assert str(caught.value) == (
        "$.Duplicates: 2 instances are duplicates (1 by PixelData, 1 by Position), the first is"
        " id-b of id-a; KeepFirst, KeepLast, KeepHighestAcquisition would drop them"
    )


# Of all


def test_only_elements_that_are_named_are_read():
    members = [
        Member(
            one.orthanc_id,
            one.series,
            type(one.values)(dict(texts), one.values.sop_instance_uid),
            "x",
        )
        for one in (member("a"), member("b"))
        for texts in [{path: one.values.strings(path) for path in PATHS}]
    ]
    assert outcome(members)[0] == ["a"]


slices = st.builds(
    lambda z, **elements: (z, elements),
    st.sampled_from([None, 0, 0.0005, 1, 2.5]),
    uid=st.sampled_from([None, None, None, "1.1"]),
    digest=st.sampled_from([None, "x", "y", "z"]),
    AcquisitionNumber=st.sampled_from([None, 1, 2]),
    AcquisitionDateTime=st.sampled_from([None, "20240102101500", "20240102101501"]),
)


@given(st.lists(slices, max_size=12), st.sampled_from(KEEPING))
def test_all_that_is_not_kept_is_dropped_for_one_that_is(found, duplicates):
    members = [member(str(number), z=z, **elements) for number, (z, elements) in enumerate(found)]
    kept, dropped = resolve(members, duplicates)
    assert [one for one in members if one in kept] == list(kept)
    assert [one for one in members if one not in kept] == [one.member for one in dropped]
    assert all(one.kept in kept for one in dropped)
    assert all(one.reason in Reason for one in dropped)


@given(st.lists(slices, max_size=12), st.sampled_from(KEEPING))
def test_among_those_that_are_kept_something_separates_each_from_the_others(found, duplicates):
    members = [member(str(number), z=z, **elements) for number, (z, elements) in enumerate(found)]
    kept, _dropped = resolve(members, duplicates)
    assert len({one.values.sop_instance_uid for one in kept}) == len(kept)
    stayed = {one.orthanc_id for one in kept}
    separated = [
        (round(z), elements["AcquisitionNumber"], elements["AcquisitionDateTime"])
        for number, (z, elements) in enumerate(found)
        if z is not None and str(number) in stayed
    ]
    assert len(set(separated)) == len(separated)
