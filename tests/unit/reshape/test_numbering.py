"""Numbers and counts of new series."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.dicom.tags import parse_path
from curator.reshape.numbering import (
    SeriesNumbers,
    counts,
    instance_numbers,
    instance_order,
    whole,
    whole_number,
)
from curator.reshape.values import Values
from unit.reshape.builders import column, texts_of, values

LARGEST = 2**31 - 1
wanted_numbers = st.none() | st.integers(-10, 30) | st.integers(-(10**15), 10**15)


@given(st.lists(st.integers(-(2**31), 2**31 - 1)), st.lists(wanted_numbers))
def test_numbers_of_new_series_never_collide(taken, wanted):
    numbers = SeriesNumbers(taken)
    given_out = [numbers.take(one) for one in wanted]
    assert len(set(given_out)) == len(given_out)
    assert set(given_out).isdisjoint(taken)
    assert all(-LARGEST <= number <= LARGEST for number in given_out)


def test_a_free_number_is_given_as_wanted_and_a_taken_one_becomes_the_next():
    numbers = SeriesNumbers([3, 7])
    assert [numbers.take(one) for one in (5, 5, 7, None, 1, 0, -2)] == [5, 8, 9, 10, 1, 0, -2]


def test_the_first_number_is_one():
    assert SeriesNumbers().take() == 1
    assert SeriesNumbers([-5]).take() == 1


def test_after_the_largest_number_the_least_free_one_follows():
    numbers = SeriesNumbers([1, LARGEST])
    assert [numbers.take(), numbers.take(LARGEST), numbers.take(10**14)] == [2, 3, 4]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", 5),
        (" 5 ", 5),
        ("+5", 5),
        ("-5", -5),
        ("007", 7),
        ("", None),
        ("+-5", None),
        ("--5", None),
        ("-", None),
        ("5.0", None),
        ("1e3", None),
        ("5 6", None),
        ("1_0", None),
        ("٣", None),
        ("²", None),
        ("9" * 5000, None),
    ],
)
def test_a_whole_number_is_what_an_integer_string_may_hold(text, expected):
    assert whole_number(text) == expected


@given(st.text(max_size=20) | st.text("0123456789+-. e", max_size=20))
def test_no_text_breaks_the_reading_of_numbers(text):
    assert whole_number(text) is None or isinstance(whole_number(text), int)
    found = whole(values(InstanceNumber=text), parse_path("InstanceNumber"))
    assert found is None or isinstance(found, int)


# Instances


def test_instances_come_in_the_order_of_number_then_acquisition_then_uid():
    instances = [
        values("1.5", InstanceNumber=None),
        values("1.4", InstanceNumber=2, AcquisitionNumber=2),
        values("1.3", InstanceNumber=2, AcquisitionNumber=1, AcquisitionTime="11"),
        values("1.2", InstanceNumber=2, AcquisitionNumber=1, AcquisitionTime="10"),
        values("1.1", InstanceNumber=10),
        values("1.0", InstanceNumber=2, AcquisitionNumber=1, AcquisitionTime="10"),
    ]
    assert instance_order(instances) == [5, 3, 2, 1, 4, 0]


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([1, 2, 3], None),
        ([10, 20, 15], None),
        ([0, -1], None),
        ([1, 1, 2], [1, 2, 3]),
        ([5, None, 3], [2, 3, 1]),
        (["x", 1], [2, 1]),
        (["1.5", 1], [2, 1]),
    ],
)
def test_instance_numbers_stay_where_they_are_there_and_unique(numbers, expected):
    assert instance_numbers(column("InstanceNumber", *numbers)) == expected


@pytest.mark.parametrize(
    "counted",
    [
        {"ImagesInAcquisition": 9, "NumberOfTemporalPositions": 1},
        {"NumberOfSlices": 9, "NumberOfTimeSlices": 1},
        {"CardiacNumberOfImages": 9},
    ],
)
def test_where_a_count_is_said_numbers_run_from_one(counted):
    def instances(*numbers: int) -> list[Values]:
        said = [texts_of({"InstanceNumber": n, **counted}, f"1.{n}") for n in numbers]
        return [values("1.99", InstanceNumber=numbers[-1] + 1), *said]

    assert instance_numbers(instances(10, 20, 30)) == [4, 1, 2, 3]
    assert instance_numbers(instances(1, 2, 3)) is None
    assert instance_numbers(column("InstanceNumber", 10, 20)) is None


rows = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "InstanceNumber": st.integers(-5, 12) | st.sampled_from(["", "x", "1e9", "nan"]),
            "AcquisitionNumber": st.integers(0, 3) | st.just("x"),
            "AcquisitionTime": st.sampled_from(["101500", "101501.5", ""]),
            "ImagesInAcquisition": st.integers(-1, 6),
            "NumberOfTemporalPositions": st.integers(-1, 3),
            "CardiacNumberOfImages": st.integers(0, 6),
        },
    ),
    min_size=1,
    max_size=10,
)


@given(rows, st.data())
def test_numbers_are_unique_whole_and_do_not_depend_on_the_order_of_instances(found, data):
    instances = [texts_of(row, f"1.{index}") for index, row in enumerate(found)]
    numbers = instance_numbers(instances)
    if numbers is None:
        kept = [whole(one, parse_path("InstanceNumber")) for one in instances]
        assert None not in kept
        assert len(set(kept)) == len(kept)
    else:
        assert sorted(numbers) == list(range(1, len(instances) + 1))
    order = data.draw(st.permutations(range(len(instances))))
    shuffled = instance_numbers([instances[index] for index in order])
    assert shuffled == (None if numbers is None else [numbers[index] for index in order])


# Counts


@pytest.mark.parametrize(
    ("said", "count", "expected"),
    [
        ({}, 3, {}),
        ({"ImagesInAcquisition": 3}, 6, {}),
        ({"ImagesInAcquisition": 3, "NumberOfTemporalPositions": 2}, 6, {}),
        (
            {"ImagesInAcquisition": 3, "NumberOfTemporalPositions": 4},
            6,
            {"ImagesInAcquisition": 3, "NumberOfTemporalPositions": 2},
        ),
        (
            {"ImagesInAcquisition": 4, "NumberOfTemporalPositions": 3},
            6,
            {"ImagesInAcquisition": 6, "NumberOfTemporalPositions": 1},
        ),
        (
            {"ImagesInAcquisition": 0, "NumberOfTemporalPositions": 3},
            6,
            {"ImagesInAcquisition": 6, "NumberOfTemporalPositions": 1},
        ),
        (
            {"NumberOfSlices": 2, "NumberOfTimeSlices": 9},
            6,
            {"NumberOfSlices": 2, "NumberOfTimeSlices": 3},
        ),
        ({"CardiacNumberOfImages": 6}, 6, {}),
        ({"CardiacNumberOfImages": 8}, 6, {"CardiacNumberOfImages": 6}),
    ],
)
def test_counts_are_corrected_where_they_are_said(said, count, expected):
    instances = [texts_of(said, f"1.{number}") for number in range(count)]
    assert {str(path): number for path, number in counts(instances).items()} == expected


def test_one_instance_that_says_a_wrong_count_is_enough():
    right = {"ImagesInAcquisition": 2, "NumberOfTemporalPositions": 1}
    wrong = {"ImagesInAcquisition": 9, "NumberOfTemporalPositions": 1}
    for said in ([right, wrong], [wrong, right], [{}, wrong]):
        changed = counts([texts_of(one, f"1.{n}") for n, one in enumerate(said)])
        product = 1
        for number in changed.values():
            product *= number
        assert (len(changed), product) == (2, 2)


@given(rows)
def test_whatever_orthanc_expects_afterwards_is_what_there_is(found):
    instances = [texts_of(row) for row in found]
    changed = counts(instances)
    pairs = (
        ("ImagesInAcquisition", "NumberOfTemporalPositions"),
        ("NumberOfSlices", "NumberOfTimeSlices"),
        ("CardiacNumberOfImages",),
    )
    for one in instances:
        for pair in pairs:
            paths = [parse_path(keyword) for keyword in pair]
            after = [changed.get(path, whole(one, path)) for path in paths]
            if None in after:
                continue
            product = 1
            for number in after:
                product *= number or 0
            assert product == len(instances)
