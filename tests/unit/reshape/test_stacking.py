"""Several series that become one: what forbids it, the order and the numbers."""

import math
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from curator.dicom.tags import parse_path
from curator.errors import Conflict
from curator.reshape import values as reading
from curator.reshape.duplicates import Duplicates, Member
from curator.reshape.stacking import (
    PATHS,
    RELATED_PATHS,
    Difference,
    check,
    named_series,
    related_series,
    stack,
)
from factory import make_instance
from unit.reshape.builders import texts_of, values

AXIAL = [1, 0, 0, 0, 1, 0]
SAGITTAL = [0, 1, 0, 0, 0, -1]
OBLIQUE = [0.8, 0.6, 0, 0, 0, -1]
IMAGE = {
    "Modality": "MR",
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4",
    "FrameOfReferenceUID": "1.2.1",
    "Rows": 256,
    "Columns": 192,
    "BitsAllocated": 16,
    "BitsStored": 12,
    "HighBit": 11,
    "PixelRepresentation": 0,
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "ImageOrientationPatient": AXIAL,
    "ImagePositionPatient": [-100, -100, 0],
    "PixelSpacing": ["0.9765625", "0.9765625"],
    "SliceThickness": 3,
}


def member(name, series="t", digest=None, uid=None, **elements):
    return Member(name, series, texts_of(elements, uid or f"1.{name}"), digest)


def image(name, series="t", digest=None, **elements):
    return member(name, series, digest, **{**IMAGE, **elements})


def document(name, series="t", **elements):
    return member(name, series, Modality="SR", SOPClassUID="1.2.88", **elements)


def at(name, z, number, series="t", **elements):
    """Return an axial slice."""
    place = {"ImagePositionPatient": [-100, -100, z], "ImageOrientationPatient": AXIAL}
    return member(name, series, **{**place, "InstanceNumber": number, **elements})


def names(members):
    return [one.orthanc_id for one in members]


def stacked(members, duplicates=Duplicates.REFUSE, sources=()):
    return stack(members, "t", duplicates, sources)


def order(members, **options):
    return names(stacked(members, **options).order)


# What forbids it


def test_series_that_agree_may_be_one():
    assert check([image("a"), image("b", "s", InstanceNumber=7, EchoTime=5)], "t") == []


@pytest.mark.parametrize(
    ("keyword", "other"),
    [
        ("Modality", "CT"),
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.2"),
        ("FrameOfReferenceUID", "1.2.10"),
        ("Rows", 512),
        ("Columns", 256),
        ("BitsAllocated", 8),
        ("BitsStored", 16),
        ("HighBit", 15),
        ("PixelRepresentation", 1),
        ("SamplesPerPixel", 3),
        ("PhotometricInterpretation", "MONOCHROME1"),
        ("ImageOrientationPatient", SAGITTAL),
        ("ImageOrientationPatient", [1, 0, 0, 0, 0.9997, 0.0245]),
        ("ImageOrientationPatient", [1, 0, 0]),
        ("ImageOrientationPatient", ["x"] * 6),
        ("PixelSpacing", ["0.9765625", "1"]),
        ("PixelSpacing", ["0.9765", "0.9765"]),
    ],
)
def test_series_that_differ_are_not_one(keyword, other):
    expected = (tuple(map(str, as_list(IMAGE[keyword]))), tuple(map(str, as_list(other))))
    for one, two in (expected, expected[::-1]):
        members = [image("a", **{keyword: one}), image("b", "s", **{keyword: two})]
        assert check(members, "t") == [Difference(keyword, one, two, "s")]


def as_list(value):
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("keyword", sorted({*IMAGE} - {"SliceThickness", "ImagePositionPatient"}))
@pytest.mark.parametrize("absent", [None, ""])
def test_a_value_that_only_one_has_is_a_difference(keyword, absent):
    for one, two in ((absent, IMAGE[keyword]), (IMAGE[keyword], absent)):
        members = [image("a", **{keyword: one}), image("b", "s", **{keyword: two})]
        assert [str(one) for one in check(members, "t")] == [f"{keyword} differs in series s"]


def test_values_that_both_lack_do_not_differ():
    lacking = {"FrameOfReferenceUID": None, "ImageOrientationPatient": None, "PixelSpacing": None}
    assert check([image("a", **lacking), image("b", "s", **lacking)], "t") == []
    empty = dict.fromkeys(lacking, "")
    assert check([image("a", **lacking), image("b", "s", **empty)], "t") == []


@pytest.mark.parametrize(
    ("keyword", "other"),
    [
        ("Rows", "256.0"),
        ("ImageOrientationPatient", ["0.99999999", "5e-5", 0, 0, 1, "-9e-5"]),
        ("PixelSpacing", ["0.976562", "0.976563"]),
        ("SliceThickness", 5),
    ],
)
def test_rounding_is_no_difference(keyword, other):
    assert check([image("a"), image("b", "s", **{keyword: other})], "t") == []


def test_spacing_at_the_detector_counts_where_there_is_no_other():
    def detector(name, series, millimeters, spacing=None):
        both = {"ImagerPixelSpacing": [millimeters] * 2, "PixelSpacing": spacing}
        return image(name, series, **both)

    differs = check([detector("a", "t", 0.1), detector("b", "s", 0.2)], "t")
    assert [one.keyword for one in differs] == ["ImagerPixelSpacing"]
    calibrated = [detector("a", "t", 0.1, [1, 1]), detector("b", "s", 0.2, [1, 1])]
    assert check(calibrated, "t") == []
    mixed = check([detector("a", "t", 0.1, [1, 1]), detector("b", "s", 0.1)], "t")
    assert [one.keyword for one in mixed] == ["PixelSpacing"]


def test_objects_without_pixels_only_have_to_be_of_one_class():
    others = document("b", "s", FrameOfReferenceUID="1.9", PixelSpacing=[2, 2])
    assert check([document("a"), others], "t") == []
    other_class = document("b", "s", FrameOfReferenceUID="1.9")
    mixed = [document("a"), Member("b", "s", other_class.values, None), image("c", "u")]
    assert {one.series for one in check(mixed, "t")} == {"u"}
    assert {"Modality", "SOPClassUID", "Rows"} <= {one.keyword for one in check(mixed, "t")}


def test_each_series_is_named_once_for_a_keyword_the_target_too():
    members = [
        image("a", InstanceNumber=1),
        image("b", InstanceNumber=2, Rows=1),
        image("c", "s", InstanceNumber=4, Rows=4),
        image("d", "s", InstanceNumber=3, Rows=3),
        image("e", "s", InstanceNumber=5, Columns=5),
    ]
    expected = [
        Difference("Rows", ("256",), ("1",), "t"),
        Difference("Rows", ("256",), ("3",), "s"),
        Difference("Columns", ("192",), ("5",), "s"),
    ]
    assert check(members, "t") == expected
    assert check(members[::-1], "t") == expected


def test_values_are_neither_in_the_message_nor_in_the_representation():
    [difference] = check([image("a"), image("b", "s", Modality="SECRET")], "t")
    assert "SECRET" not in str(difference)
    assert "SECRET" not in repr(difference)


# Order by position


@pytest.mark.parametrize(
    ("orientation", "direction"),
    [(AXIAL, (0, 0, 1)), (SAGITTAL, (-1, 0, 0)), (OBLIQUE, (-0.6, 0.8, 0))],
)
def test_slices_are_ordered_along_their_normal(orientation, direction):
    def placed(name, distance):
        place = [10 + axis * distance for axis in direction]
        return member(name, "t", ImagePositionPatient=place, ImageOrientationPatient=orientation)

    members = [placed("c", 7.5), placed("a", -3), placed("b", 2)]
    result = stacked(members)
    assert names(result.order) == ["a", "b", "c"]
    assert result.ordered_by == "Position"


def test_the_position_in_the_plane_does_not_order():
    def shifted(name, x, z):
        return member(name, ImagePositionPatient=[x, 0, z], ImageOrientationPatient=AXIAL)

    assert order([shifted("b", -50, 2), shifted("a", 50, 1)]) == ["a", "b"]


def test_two_stacks_interleave():
    target = [at(f"t{z}", z, z // 2 + 1) for z in (0, 2, 4)]
    source = [at(f"s{z}", z, z // 2 + 1, "s") for z in (1, 3, 5)]
    result = stacked([*source, *target])
    assert names(result.order) == ["t0", "s1", "t2", "s3", "t4", "s5"]
    assert result.numbers == (1, 2, 3, 4, 5, 6)
    assert result.warnings == ()


def test_the_order_goes_as_the_target_is_numbered():
    target = [at("t0", 0, 3), at("t1", 1, 2), at("t2", 2, 1)]
    source = [at("s3", 3, 1, "s"), at("s4", 4, 2, "s")]
    assert order([*target, *source]) == ["s4", "s3", "t2", "t1", "t0"]
    assert order([*target[:1], *source]) == ["t0", "s3", "s4"]


def test_wrong_steps_of_the_target_do_not_turn_the_order():
    heights = [5, 4, 3, 3.5, 2, 1]
    target = [at(f"t{z}", z, number) for number, z in enumerate(heights)]
    assert order(target) == ["t5", "t4", "t3.5", "t3", "t2", "t1"]


def test_equal_numbers_of_the_target_say_no_direction():
    assert order([at("a", 3, 2), at("b", 4, 2), at("c", 5, 1), at("d", 6, 1)]) == list("dcba")


def test_a_target_of_several_volumes_is_numbered_backwards_within_them():
    target = [
        at(f"{time}{z}", z, time * 2 - z, AcquisitionNumber=time)
        for time in (1, 2, 3)
        for z in (0, 1)
    ]
    assert order(target) == ["11", "10", "21", "20", "31", "30"]


def test_members_of_the_target_that_go_still_say_its_direction():
    target = [at("t0", 0, 2), at("t1", 1, 1)]
    source = [at(f"s{z}", z, z, "s") for z in (0, 1, 2)]
    assert order([*target, *source], duplicates=Duplicates.KEEP_LAST) == ["s2", "s1", "s0"]


@pytest.mark.parametrize(
    "lacking",
    [
        {"ImagePositionPatient": None},
        {"ImagePositionPatient": [1, 2]},
        {"ImagePositionPatient": ["x", 0, 0]},
        {"ImageOrientationPatient": None},
        {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]},
        {"ImageOrientationPatient": ["1e200"] * 3 + ["0", "1e200", "0"]},
    ],
)
def test_one_slice_without_a_place_is_enough_not_to_order_by_position(lacking):
    result = stacked([at("b", 2, 1), at("a", 1, 2), at("c", 0, 3, **lacking)])
    assert names(result.order) == ["b", "a", "c"]
    assert result.ordered_by == "InstanceNumber"


def test_positions_out_of_all_bounds_do_not_order():
    far = {"ImagePositionPatient": ["1.7e308"] * 3, "ImageOrientationPatient": [1, -1, 0, 1, 1, -2]}
    members = [member("b", InstanceNumber=1, **far), member("a", InstanceNumber=2, **far, KVP=1)]
    assert stacked(members).ordered_by == "InstanceNumber"


# Several volumes at one place


def volumes(count, slices, **elements):
    """Return volumes as series of their own; functions get the volume and the slice."""
    return [
        at(
            f"{volume}.{z}",
            z,
            z + 1,
            f"s{volume}",
            **{key: value(volume, z) for key, value in elements.items()},
        )
        for volume in range(count)
        for z in range(slices)
    ]


@pytest.mark.parametrize(
    "elements",
    [
        {"AcquisitionNumber": lambda volume, z: volume + 1},
        {"TemporalPositionIdentifier": lambda volume, z: volume + 1},
        {"EchoTime": lambda volume, z: 2.5 * (volume + 1)},
        # slices one after the other, also interleaved
        {"AcquisitionDateTime": lambda volume, z: f"202401021015{10 * volume + z:02}"},
        {"AcquisitionDateTime": lambda volume, z: f"202401021015{10 * volume + z * 3 % 5:02}"},
        # a number of its own for each slice
        {"AcquisitionNumber": lambda volume, z: 5 * volume + z * 2 % 5},
        # an echo time of which only the last digits differ
        {
            "EchoTime": lambda volume, z: "2.46" if (volume + z) % 2 else "2.4600000381",
            "AcquisitionDateTime": lambda volume, z: f"202401021015{10 * volume:02}",
        },
    ],
)
def test_a_dynamic_series_comes_out_volume_by_volume(elements):
    members = volumes(3, 5, **elements)
    expected = names(members)
    sources = ("s2", "s1", "s0")
    result = stack(members[::-1], "s2", Duplicates.REFUSE, sources)
    assert names(result.order) == expected
    assert result.numbers == tuple(range(1, 16))
    assert result.warnings == ()


def test_volumes_that_only_their_series_tell_apart_are_not_mixed():
    kernels = {"ConvolutionKernel": lambda volume, z: f"B{volume}"}
    members = volumes(2, 3, **kernels)
    backwards = [at(f"x{z}", z, 3 - z, "x", ConvolutionKernel="X") for z in range(3)]
    result = stack([*backwards, *members], "s1", Duplicates.REFUSE, ("x", "s0"))
    assert names(result.order) == ["1.0", "1.1", "1.2", "x0", "x1", "x2", "0.0", "0.1", "0.2"]


def test_echoes_come_after_acquisitions():
    members = [
        at(f"{acquired}{echo}{z}", z, 1, AcquisitionNumber=acquired, EchoTime=echo)
        for acquired in (1, 2)
        for echo in (3, 4)
        for z in (0, 1)
    ]
    assert order(members[::-1]) == names(members)


def test_echoes_come_before_times():
    members = [
        at(f"{echo}{time}{z}", z, 1, EchoTime=echo, AcquisitionDateTime=f"202401{time}")
        for echo in (3, 4)
        for time in (11, 12)
        for z in (0, 1)
    ]
    assert order(members[::-1]) == names(members)


def test_volumes_at_nearly_one_place_are_volumes():
    target = [at(f"t{z}", z, 1, AcquisitionNumber=1) for z in range(3)]
    source = [at(f"s{z}", z - 0.0005, 1, "s", AcquisitionNumber=2) for z in range(3)]
    result = stacked([*source, *target])
    assert names(result.order) == ["t0", "t1", "t2", "s0", "s1", "s2"]
    assert result.warnings == ()


def test_where_a_volume_is_incomplete_the_order_is_by_position():
    members = volumes(2, 3, AcquisitionNumber=lambda volume, z: volume)
    result = stack(members[:-1], "s0", Duplicates.REFUSE)
    assert names(result.order) == ["0.0", "1.0", "0.1", "1.1", "0.2"]
    [warning] = result.warnings
    assert warning.startswith("1 of 3 positions hold fewer instances than the others")


def test_drops_come_before_the_count_of_volumes():
    members = volumes(2, 2, AcquisitionNumber=lambda volume, z: volume)
    again = at("again", 0, 9, "s9", AcquisitionNumber=0)
    result = stack([*members, again], "s0", Duplicates.KEEP_FIRST)
    assert names(result.order) == names(members)
    assert names(one.member for one in result.dropped) == ["again"]


# Order without positions


@pytest.mark.parametrize(
    "times",
    [
        {"AcquisitionDateTime": "{}.5"},
        {"ContentDate": "20240102", "ContentTime": "1015{}"},
        {"AcquisitionDate": "202401{}", "AcquisitionTime": "1015"},
        # all acquired at once
        {"AcquisitionDateTime": "20240102", "ContentDate": "202401{}", "ContentTime": "10"},
    ],
)
def test_without_positions_the_time_orders(times):
    def taken(name, day, number):
        elements = {key: text.format(day) for key, text in times.items()}
        if "AcquisitionDateTime" in times and "{" in times["AcquisitionDateTime"]:
            elements["AcquisitionDateTime"] = f"202401{day}101500.5"
        return member(name, "t", InstanceNumber=number, **elements)

    result = stacked([taken("c", 13, 1), taken("a", 11, 3), taken("b", 12, 2)])
    assert names(result.order) == ["a", "b", "c"]
    assert result.ordered_by == "Time"
    assert result.numbers == (1, 2, 3)


def test_the_time_of_acquisition_comes_before_that_of_creation():
    members = [
        member("b", AcquisitionDateTime="20240102", ContentDate="20240101", ContentTime="10"),
        member("a", AcquisitionDateTime="20240101", ContentDate="20240102", ContentTime="10"),
    ]
    assert order(members) == ["a", "b"]


def test_times_of_two_kinds_are_not_compared():
    members = [
        member("a", InstanceNumber=1, AcquisitionDateTime="20240103"),
        member("b", InstanceNumber=2, ContentDate="20240102", ContentTime="10"),
    ]
    assert stacked(members).ordered_by == "InstanceNumber"


def test_at_one_time_the_series_and_the_number_order():
    members = [
        member("d", "s", InstanceNumber=1, AcquisitionDateTime="20240103"),
        member("b", InstanceNumber=2, AcquisitionDateTime="20240102"),
        member("a", InstanceNumber=1, AcquisitionDateTime="20240102"),
        member("c", "s", InstanceNumber=9, AcquisitionDateTime="20240102"),
    ]
    assert order(members) == ["a", "b", "c", "d"]


def test_else_the_order_is_that_of_the_series_then_of_the_numbers():
    members = [
        member("5", "a", InstanceNumber=1),
        member("3", "z", InstanceNumber=2, uid="1.9"),
        member("4", "z", InstanceNumber="x"),
        member("1", "t", InstanceNumber=9),
        member("2", "t", InstanceNumber=10),
        member("0", "z", InstanceNumber=2, uid="1.8"),
    ]
    assert order(members, sources=("z", "a")) == ["1", "2", "0", "3", "4", "5"]
    assert order(members) == ["1", "2", "5", "0", "3", "4"]


def test_a_series_named_twice_or_a_member_handed_in_twice_changes_nothing():
    members = [at("a", 0, 1), at("b", 1, 2, "s")]
    once = stacked(members, sources=("s",))
    assert stacked([*members, *members], sources=("s", "t", "s")) == once
    assert once.dropped == ()


# Numbers


@pytest.mark.parametrize(
    ("numbers", "extra", "expected"),
    [
        ((1, 2, 3), {}, None),
        ((4, 8, 12), {}, None),
        ((1, 3, 2), {}, (1, 2, 3)),
        ((1, 1, 2), {}, (1, 2, 3)),
        ((1, None, 2), {}, (1, 2, 3)),
        ((4, 8, 12), {"CardiacNumberOfImages": 3}, (1, 2, 3)),
        ((1, 2, 3), {"CardiacNumberOfImages": 3}, None),
    ],
)
def test_numbers_stay_where_they_are_unique_ascending_and_as_counted(numbers, extra, expected):
    # the one in the middle does not say the direction
    members = [
        at("a", 0, numbers[0], **extra),
        at("b", 1, numbers[1], "s", **extra),
        at("c", 2, numbers[2], **extra),
    ]
    assert stacked(members).numbers == expected


# Warnings


@pytest.mark.parametrize(
    ("heights", "expected"),
    [
        ([0, 3, 6, 9], []),
        ([0, 3, 6, 9.029], []),
        ([0, 0.005, 0.018, 0.024], []),
        (
            [0, 3, 6, 12, 15, 24],
            ["There are 2 gaps between slices that are wider than the usual spacing"],
        ),
        ([0, 3, 8], ["There are 1 gaps between slices that are wider than the usual spacing"]),
        (
            [0, 3, 6, 7, 10, 13],
            ["There are 1 steps between slices that are narrower than the usual spacing"],
        ),
        ([5], []),
    ],
)
def test_uneven_spacing_is_said(heights, expected):
    members = [at(str(z), z, number) for number, z in enumerate(heights)]
    assert list(stacked(members).warnings) == expected


def test_volumes_at_one_place_are_no_gaps():
    members = volumes(3, 4, AcquisitionNumber=lambda volume, z: volume)
    assert stack(members, "s0", Duplicates.REFUSE).warnings == ()


def test_another_slice_thickness_is_said():
    members = [
        at("a", 0, 1, SliceThickness=3),
        at("b", 1, 1, "s", SliceThickness="3.0000001"),
        at("c", 2, 1, "u", SliceThickness=4),
        at("d", 3, 2, "u", SliceThickness=None),
    ]
    assert stacked(members).warnings == ("SliceThickness differs in series u",)


# Duplicates


def test_duplicates_are_refused():
    with pytest.raises(Conflict, match="1 instances are duplicates"):
        stacked([at("a", 0, 1), at("b", 0, 1, "s")])


@pytest.mark.parametrize(
    ("duplicates", "kept"),
    [("KeepFirst", "a"), ("KeepLast", "d"), ("KeepHighestAcquisition", "c")],
)
def test_first_and_last_are_by_series_then_number(duplicates, kept):
    members = [
        at("d", 0, 1, "s", digest="x", AcquisitionNumber=1),
        at("c", 0, 2, digest="x", AcquisitionNumber=2),
        at("a", 0, 1, digest="x", AcquisitionNumber=1),
        at("b", 0, 2, "q", digest="x", AcquisitionNumber=1),
    ]
    result = stacked(members, Duplicates(duplicates), ("q", "s"))
    assert names(result.order) == [kept]
    assert {one.kept.orthanc_id for one in result.dropped} == {kept}


# Of all


def test_nothing_is_stacked_of_nothing():
    result = stacked([])
    assert (result.order, result.numbers, result.dropped, result.warnings) == ((), None, (), ())
    assert check([], "t") == []


@pytest.mark.parametrize("place", [[0, 0, 1], None])
def test_only_elements_that_are_named_are_read(place):
    def read(name, number, series):
        dicom = make_instance(
            ImagePositionPatient=place and [0, 0, number],
            ContentTime=f"10150{number}",
            SOPInstanceUID=f"1.2.{number}",
        )
        return Member(name, series, reading.read(dicom, PATHS), None)

    members = [read("c", 3, "t"), read("a", 1, "t"), read("b", 2, "s")]
    assert check(members, "t") == []
    result = stacked(members)
    assert names(result.order) == ["a", "b", "c"]
    assert result.ordered_by == ("Position" if place else "Time")


cosines = st.tuples(*[st.floats(-1, 1)] * 3)


def cross(a, b):
    return [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]


def unit(vector):
    length = math.hypot(*vector)
    assume(length > 0.1)
    return [one / length for one in vector]


@given(
    cosines,
    cosines,
    cosines,
    st.lists(st.integers(1, 50), min_size=1, max_size=15),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_any_shuffled_volume_comes_back_in_order(row, other, origin, steps, backwards, chance):
    row = unit(row)
    normal = unit(cross(row, other))
    column = cross(normal, row)
    heights = [sum(steps[:index]) / 10 for index in range(len(steps) + 1)]
    if backwards:
        heights.reverse()
    places = [[a + height * b for a, b in zip(origin, normal, strict=True)] for height in heights]
    members = [
        member(
            str(number),
            "t" if number < 2 else f"s{number % 3}",
            ImagePositionPatient=[f"{axis:.10g}" for axis in place],
            ImageOrientationPatient=[f"{axis:.10g}" for axis in (*row, *column)],
            InstanceNumber=number + 1 if number < 2 else None,
        )
        for number, place in enumerate(places)
    ]
    shuffled = list(members)
    chance.shuffle(shuffled)
    result = stacked(shuffled)
    assert list(result.order) == members
    assert result.ordered_by == "Position"


anything = st.lists(
    st.builds(
        lambda series, digest, uid, **elements: (series, digest, uid, elements),
        st.sampled_from(["t", "s", "u"]),
        st.sampled_from([None, None, "x", "y"]),
        st.sampled_from([None, None, "1.1", "1.2"]),
        ImagePositionPatient=st.none()
        | st.sampled_from([[0, 0, z] for z in (0, 0.0009, 0.0018, 3, 7)]),
        ImageOrientationPatient=st.sampled_from([AXIAL, AXIAL, AXIAL, OBLIQUE, None]),
        InstanceNumber=st.none() | st.integers(1, 5),
        AcquisitionNumber=st.sampled_from([None, 1, 2, "x"]),
        EchoTime=st.sampled_from([None, "2.5", "x"]),
        AcquisitionDateTime=st.sampled_from([None, "20240102101500", "20240102101501"]),
        SliceThickness=st.sampled_from([1, 2]),
        CardiacNumberOfImages=st.sampled_from([None, None, 4]),
    ),
    max_size=10,
)


def built(found):
    return [
        member(str(number), series, digest, uid, **elements)
        for number, (series, digest, uid, elements) in enumerate(found)
    ]


@given(anything, st.sampled_from(Duplicates), st.randoms(use_true_random=False))
def test_neither_order_nor_differences_depend_on_the_order_of_the_members(
    found, duplicates, chance
):
    members = built(found)
    shuffled = list(members)
    chance.shuffle(shuffled)

    def result(given_members):
        try:
            return stacked(given_members, duplicates, ("u", "s"))
        except Conflict as error:
            return str(error)

    assert result(shuffled) == result(members)
    assert check(shuffled, "t") == check(members, "t")


@given(anything, st.sampled_from([one for one in Duplicates if one != Duplicates.REFUSE]))
def test_each_member_is_kept_once_or_dropped_once(found, duplicates):
    members = built(found)
    result = stacked(members, duplicates)
    there = [*names(result.order), *names(one.member for one in result.dropped)]
    assert sorted(there) == sorted(names(members))
    assert {one.kept.orthanc_id for one in result.dropped} <= set(names(result.order))


@given(anything)
def test_numbers_are_unique_and_ascend_in_the_new_order(found):
    result = stacked(built(found), Duplicates.KEEP_FIRST)
    numbers = result.numbers
    if numbers is None:
        path = parse_path("InstanceNumber")
        numbers = [one.values.numbers(path)[0] for one in result.order]
    else:
        assert numbers == tuple(range(1, len(result.order) + 1))
    assert all(before < after for before, after in pairwise(numbers))
    assert len(numbers) == len(result.order)


# Related series


def code(value, scheme="DCM"):
    return {"CodeValue": value, "CodingSchemeDesignator": scheme, "CodeMeaning": "meaning"}


def related(*items):
    """Return what an instance names whose items are pairs of a UID and codes."""
    sequence = [
        {
            "StudyInstanceUID": "1.2",
            "SeriesInstanceUID": uid,
            "PurposeOfReferenceCodeSequence": codes,
        }
        for uid, codes in items
    ]
    dicom = make_instance(RelatedSeriesSequence=sequence)
    return named_series(reading.read(dicom, RELATED_PATHS))


def test_series_are_named_by_the_code_of_their_own_item():
    alternate, other = [code("121326")], [code("122401")]
    assert related(("1.5", alternate)) == ("1.5",)
    assert related(("1.5", other), ("1.6", alternate), ("1.7", alternate)) == ("1.6", "1.7")
    assert related(("1.5", other)) == ()
    assert related() == ()
    assert named_series(values()) == ()


def test_a_code_of_another_scheme_is_another_code():
    assert related(("1.5", [code("121326", "99X")]), ("1.6", [code("121326")])) == ("1.6",)


def test_where_the_item_of_a_code_is_uncertain_nothing_is_named():
    alternate = code("121326")
    assert related(("1.5", []), ("1.6", [alternate])) == ()
    assert related(("1.5", [alternate, code("122401")])) == ()


def test_series_that_name_each_other_belong_together():
    named = {"1": ["2"], "2": ["1"], "3": []}
    assert related_series(named) == [{"1", "2"}]
    assert related_series({"1": [], "2": ["1"]}) == [{"1", "2"}]


def test_series_that_name_the_same_one_belong_together_though_it_is_not_there():
    named = {"1": ["9"], "2": ["9"], "3": ["8"], "4": ["8"], "5": ["7"]}
    assert related_series(named) == [{"1", "2"}, {"3", "4"}]


def test_belonging_together_is_transitive():
    named = {"1": ["2"], "3": ["4"], "2": [], "5": [], "4": ["2"]}
    assert related_series(named) == [{"1", "2", "3", "4"}]


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.lists(st.sampled_from("abcdefghxyz"))))
def test_sets_are_disjoint_and_no_name_leads_out_of_them(named):
    parts = related_series(named)
    assert sum(map(len, parts)) == len(set().union(*parts))
    assert all(len(part) > 1 for part in parts)
    of = {uid: part for part in parts for uid in part}
    for uid, others in named.items():
        for other in set(others) & named.keys() - {uid}:
            assert of[uid] is of[other]
