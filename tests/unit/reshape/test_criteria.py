"""What separates instances."""

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from curator.conditions import compile_pattern
from curator.dicom.tags import parse_path
from curator.reshape.criteria import (
    B_VALUE_TOLERANCE,
    READY_SETS,
    ByComponent,
    ByPattern,
    ByValue,
    Criterion,
    Key,
    b_value,
    by_b_value,
    by_gap,
    by_orientation,
    by_tolerance,
    parse_time,
)
from curator.reshape.values import Values
from unit.reshape.builders import column, texts_of, values


def by_value(keyword: str) -> ByValue:
    return ByValue(parse_path(keyword))


def groups(criterion: Criterion, instances: list[Values]) -> list[set[int]]:
    """Return the indexes that share a key, in the order of the keys."""
    keys = criterion.keys(instances)
    assert len(keys) == len(instances)
    present = sorted({key for key in keys if key is not None})
    return [{index for index, key in enumerate(keys) if key == one} for one in present]


def texts(criterion: Criterion, instances: list[Values]) -> list[str | None]:
    return [None if key is None else key.text for key in criterion.keys(instances)]


# By value


@pytest.mark.parametrize(
    ("keyword", "one", "other"),
    [
        ("EchoTime", "2.46", "2.460"),
        ("EchoTime", "2.46", "2.4600000381"),
        ("EchoTime", "100", "1E2"),
        ("EchoTime", "0", "-0"),
        ("EchoTime", "0.1", "+.1"),
        ("InstanceNumber", "1", "01"),
        ("PixelSpacing", ["0.5", "0.5"], ["0.50", ".5"]),
        ("DiffusionBValue", "1000.0", "1000"),
    ],
)
def test_numbers_that_are_equal_at_float_precision_belong_together(keyword, one, other):
    instances = column(keyword, one, other)
    assert groups(by_value(keyword), instances) == [{0, 1}]
    shown = texts(by_value(keyword), instances)
    assert shown == texts(by_value(keyword), instances[::-1])


@pytest.mark.parametrize(
    ("keyword", "one", "other"),
    [
        ("EchoTime", "2.46", "2.47"),
        ("EchoTime", "2.46", "2.460001"),
        ("EchoTime", "16777216", "16777217"),
        ("ImageType", ["A", "B"], ["A"]),
        ("ImageType", ["", "B"], ["B"]),
        ("PixelSpacing", ["0.5", ""], ["0.5"]),
        ("PixelSpacing", ["", "0.5"], ["0.5"]),
        ("SeriesDescription", "1", "01"),
        ("SeriesDescription", "100", "1E2"),
        ("AccessionNumber", "007", "7"),
        ("AccessionNumber", "12345678901234567890", "12345678901234567891"),
        ("FrameOfReferenceUID", "1.2", "1.20"),
        ("AcquisitionTime", "101500.123456", "101500.123"),
        ("AcquisitionDateTime", "20240102101500.25", "20240102101501.25"),
        ("EchoTime", "nan", "inf"),
        ("EchoTime", "5", "x"),
    ],
)
def test_values_that_differ_are_kept_apart(keyword, one, other):
    assert len(groups(by_value(keyword), column(keyword, one, other))) == 2


@pytest.mark.parametrize("absent", [None, "", ["", ""]])
@pytest.mark.parametrize("keyword", ["EchoTime", "ImageType", "SeriesDescription"])
def test_an_empty_or_absent_element_has_no_key(keyword, absent):
    assert by_value(keyword).keys(column(keyword, absent)) == [None]


def test_no_number_at_all_is_a_text():
    assert groups(by_value("EchoTime"), column("EchoTime", "nan", "nan", "x")) == [{0, 1}, {2}]


def test_groups_are_sorted_as_numbers():
    assert groups(by_value("EchoTime"), column("EchoTime", "10", "9", "-1", "x")) == [
        {2},
        {1},
        {0},
        {3},
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [("2.46", "2.46"), ("2.4600000381", "2.46"), ("1000.0", "1000"), ("0.1", "0.1"), ("-0", "0")],
)
def test_a_number_is_shown_as_short_as_it_is_known(value, text):
    assert texts(by_value("EchoTime"), column("EchoTime", value)) == [text]


numeric = st.floats(allow_nan=False, allow_infinity=False).map(str) | st.integers().map(str)
anything = st.none() | st.just("") | numeric | st.text(max_size=5) | st.sampled_from(["nan", "inf"])


@given(st.lists(anything))
@example(["1.5", "nan", "inf", "-inf", "1e300", "1e-300", "-0.0", "0"])
def test_equal_texts_are_never_separated_and_keys_can_always_be_sorted(found):
    for keyword in ("EchoTime", "SeriesDescription"):
        keys = by_value(keyword).keys(column(keyword, *found))
        by_text: dict[str, set[Key | None]] = {}
        for text, key in zip(found, keys, strict=True):
            assert (key is None) == (not text)
            by_text.setdefault(str(text), set()).add(key)
        assert all(len(one) == 1 for one in by_text.values())
        sorted(key for key in keys if key is not None)


@given(st.lists(st.text(min_size=1, max_size=4)))
def test_different_texts_are_never_put_together(found):
    keys = by_value("SeriesDescription").keys(column("SeriesDescription", *found))
    assert len(set(keys)) == len(set(found))


# By tolerance


def test_groups_do_not_chain():
    criterion = by_tolerance(parse_path("EchoTime"), 1.0)
    instances = column("EchoTime", "0", "0.9", "1.8", "1", "3")
    assert groups(criterion, instances) == [{0, 1, 3}, {2}, {4}]
    assert texts(criterion, instances) == ["0", "0", "1.8", "0", "3"]


@pytest.mark.parametrize("absent", [None, "", "nan", "inf", "x", ["1", "x"]])
def test_what_is_no_number_has_no_key(absent):
    keys = by_tolerance(parse_path("EchoTime"), 1.0).keys(column("EchoTime", absent, "1"))
    assert keys[0] is None
    assert keys[1] is not None


tolerances = st.floats(min_value=0, max_value=100)
numbers = st.lists(st.floats(min_value=-1e6, max_value=1e6), max_size=30)


@given(numbers, tolerances)
def test_no_group_is_wider_than_the_tolerance(found, tolerance):
    criterion = by_tolerance(parse_path("EchoTime"), tolerance)
    for group in groups(criterion, column("EchoTime", *found)):
        members = [found[index] for index in group]
        assert max(members) - min(members) <= tolerance


@given(numbers, tolerances)
def test_neighboring_groups_begin_more_than_the_tolerance_apart(found, tolerance):
    criterion = by_tolerance(parse_path("EchoTime"), tolerance)
    parts = groups(criterion, column("EchoTime", *found))
    least = [min(found[index] for index in part) for part in parts]
    assert all(b - a > tolerance for a, b in pairwise(least))


vectors = st.lists(
    st.lists(st.floats(min_value=-2, max_value=2), min_size=2, max_size=3).map(tuple), max_size=15
)


@given(vectors, st.floats(min_value=0, max_value=1), st.randoms(use_true_random=False))
def test_every_component_is_within_the_tolerance_of_the_least(found, tolerance, random):
    criterion = by_tolerance(parse_path("PixelSpacing"), tolerance)
    instances = column("PixelSpacing", *found)
    keys = criterion.keys(instances)
    for vector, key in zip(found, keys, strict=True):
        assert key is not None
        assert len(key.order) == len(vector)
        assert all(abs(a - b) <= tolerance for a, b in zip(vector, key.order, strict=True))
    order = list(range(len(found)))
    random.shuffle(order)
    assert criterion.keys([instances[index] for index in order]) == [keys[i] for i in order]


def test_many_different_values_are_separated_at_once():
    found = [str(index) for index in range(5000)]
    criterion = by_tolerance(parse_path("SliceLocation"), 0.5)
    assert len(set(criterion.keys(column("SliceLocation", *found)))) == 5000


def test_orientations_that_differ_by_rounding_are_one():
    axial = ["1", "0", "0", "0", "1", "0"]
    tilted = ["0.99999", "0.00005", "0", "0", "1", "0"]
    coronal = ["1", "0", "0", "0", "0", "-1"]
    instances = column("ImageOrientationPatient", axial, tilted, coronal)
    assert sorted(map(sorted, groups(by_orientation(1e-4), instances))) == [[0, 1], [2]]


@pytest.mark.parametrize("cosines", [["1", "0", "0"], ["1"] * 7, ["1", "0", "0", "0", "1", "x"]])
def test_an_orientation_has_six_numbers(cosines):
    assert by_orientation(1e-4).keys(column("ImageOrientationPatient", cosines)) == [None]


# b-values

SIEMENS = '(0019,"SIEMENS MR HEADER",0C)'
GE = '(0043,"GEMS_PARM_01",39)'
PHILIPS = '(2001,"Philips Imaging DD 001",03)'
UIH = '(0065,"Image Private Values",09)'


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"DiffusionBValue": "1000"}, (1000.0,)),
        ({SIEMENS: "800"}, (800.0,)),
        ({GE: ["1000000700", "8", "0", "0"]}, (700.0,)),
        ({GE: ["700", "8", "0", "0"]}, (700.0,)),
        ({PHILIPS: "0.0"}, (0.0,)),
        ({UIH: "50"}, (50.0,)),
        ({"DiffusionBValue": "1000", SIEMENS: "5"}, (1000.0,)),
        ({"DiffusionBValue": "", SIEMENS: "5"}, (5.0,)),
        ({"DiffusionBValue": "nan", SIEMENS: "5"}, (5.0,)),
        ({}, ()),
    ],
)
def test_a_b_value_is_found_where_vendors_put_it(elements, expected):
    assert b_value(texts_of(elements)) == expected


def test_vendors_rounding_makes_no_new_shell():
    instances = column("DiffusionBValue", "0", "5", "995", "1000", "2000")
    assert groups(by_b_value(B_VALUE_TOLERANCE), instances) == [{0, 1}, {2, 3}, {4}]


# Components


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"ComplexImageComponent": "PHASE"}, "PHASE"),
        ({"ComplexImageComponent": "MIXED", "ImageType": ["O", "P", "M"]}, "MAGNITUDE"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}, "PHASE"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "PHASE MAP"]}, "PHASE"),
        ({"ImageType": ["M", "P"]}, None),
        ({'(0043,"GEMS_PARM_01",2F)': "3"}, "IMAGINARY"),
        ({'(0043,"GEMS_PARM_01",2F)': "7"}, None),
        ({'(0043,"GEMS_PARM_01",2F)': "nan"}, None),
        ({'(0043,"GEMS_PARM_01",2F)': "inf"}, None),
        ({}, None),
    ],
)
def test_a_component_is_named_alike_wherever_it_stands(elements, expected):
    assert texts(ByComponent(), [texts_of(elements)]) == [expected]


# Patterns


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        (r"TE=(\d+)", "TE=12 x", "12"),
        (r"TE=\d+", "TE=12 x", "TE=12"),
        (r"(a)|(b)", "b", " b"),
        (r"(\w+) (\w+)", "one two", "one two"),
        (r"TE=(\d+)", "none", None),
        (r"x", None, None),
        (r"", "x", ""),
        (r"^(\w+)", ["", "second"], "second"),
    ],
)
def test_a_pattern_separates_by_what_it_captures(pattern, value, expected):
    criterion = ByPattern(parse_path("SeriesDescription"), compile_pattern(pattern))
    assert texts(criterion, column("SeriesDescription", value)) == [expected]


def test_captures_are_told_apart_by_their_place():
    criterion = ByPattern(parse_path("SeriesDescription"), compile_pattern("(a)?-(a)?"))
    assert len(groups(criterion, column("SeriesDescription", "a-", "-a"))) == 2


# Gaps


def moment(*parts: int) -> datetime:
    """Return a time without a zone, as the elements of one study have it."""
    return datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20240102", moment(2024, 1, 2)),
        ("2024010210", moment(2024, 1, 2, 10)),
        ("202401021015", moment(2024, 1, 2, 10, 15)),
        ("20240102101530", moment(2024, 1, 2, 10, 15, 30)),
        ("20240102101530.5", moment(2024, 1, 2, 10, 15, 30, 500000)),
        ("20240102101530.123456", moment(2024, 1, 2, 10, 15, 30, 123456)),
        ("20240102101530.123456+0100", moment(2024, 1, 2, 10, 15, 30, 123456)),
        ("20240102101530-0500", moment(2024, 1, 2, 10, 15, 30)),
        (" 20240102 ", moment(2024, 1, 2)),
        ("", None),
        ("2024", None),
        ("101530", None),
        ("20241301", None),
        ("20240102995959", None),
        ("2024.01.02", None),
        ("2024-01-02", None),
        ("00000101", None),
        ("x", None),
    ],
)
def test_times_are_read_as_dicom_writes_them(text, expected):
    assert parse_time(text) == expected


@given(st.text(max_size=30) | st.text("0123456789.+-", max_size=30))
def test_no_text_breaks_the_reading_of_times(text):
    assert parse_time(text) is None or isinstance(parse_time(text), datetime)


START = moment(2024, 1, 1)
moments = st.lists(st.integers(0, 10_000).map(lambda tenths: tenths / 10), max_size=30)


@given(moments, st.floats(min_value=0.05, max_value=300))
def test_no_group_has_an_inner_gap_above_the_limit_and_every_outer_gap_is(found, limit):
    times = [START + timedelta(seconds=offset) for offset in found]
    written = [time.strftime("%Y%m%d%H%M%S.%f") for time in times]
    parts = groups(
        by_gap(parse_path("AcquisitionDateTime"), limit), column("AcquisitionDateTime", *written)
    )
    ordered = [sorted(times[index] for index in part) for part in parts]
    for part in ordered:
        inner = (b - a for a, b in pairwise(part))
        assert all(gap.total_seconds() <= limit for gap in inner)
    for before, after in pairwise(ordered):
        assert (after[0] - before[-1]).total_seconds() > limit


def test_groups_that_begin_in_one_second_have_different_names():
    instances = column("AcquisitionDateTime", "20240101000000.1", "20240101000000.7")
    first, second = texts(by_gap(parse_path("AcquisitionDateTime"), 0.5), instances)
    assert first != second


@pytest.mark.parametrize("seconds", [1e-9, 1e15, 1e300])
def test_any_limit_can_be_asked_for(seconds):
    instances = column("StudyDate", "20240101", "20250101")
    expected = 2 if seconds < 1 else 1
    assert len(groups(by_gap(parse_path("StudyDate"), seconds), instances)) == expected


@pytest.mark.parametrize("keyword", ["AcquisitionDateTime", "AcquisitionTime"])
def test_a_time_is_read_with_the_date_beside_it(keyword):
    instances = [
        values(AcquisitionDate="20240101", AcquisitionTime="235950"),
        values(AcquisitionDate="20240102", AcquisitionTime="000005"),
        values(AcquisitionDate="20240103", AcquisitionTime="235955"),
        values(AcquisitionTime="235955"),
        values(AcquisitionDate="202401", AcquisitionTime="235955"),
    ]
    criterion = by_gap(parse_path(keyword), 60)
    assert groups(criterion, instances) == [{0, 1}, {2}]
    assert criterion.keys(instances)[3:] == [None, None]
    assert set(criterion.paths) >= {parse_path("AcquisitionDate"), parse_path("AcquisitionTime")}


def test_a_time_inside_a_sequence_is_read_with_the_date_beside_it():
    criterion = by_gap(parse_path("PerFrameFunctionalGroupsSequence[0].StudyTime"), 60)
    assert parse_path("PerFrameFunctionalGroupsSequence[0].StudyDate") in criterion.paths


@pytest.mark.parametrize("keyword", ["EchoTime", "PatientName", "PatientBirthName", "Rows"])
def test_a_gap_is_asked_of_times_only(keyword):
    with pytest.raises(ValueError, match="date"):
        by_gap(parse_path(keyword), 1)


# All of them

CRITERIA = [
    *(criterion for ready in READY_SETS.values() for criterion in ready),
    by_tolerance(parse_path("EchoTime"), 0.5),
    by_gap(parse_path("AcquisitionDateTime"), 30),
    ByPattern(parse_path("SeriesDescription"), compile_pattern("(.)")),
]


@given(st.data(), st.sampled_from(CRITERIA))
def test_any_values_give_keys_that_depend_on_nothing_but_the_values(data, criterion):
    rows = data.draw(
        st.lists(
            st.fixed_dictionaries(
                {}, optional={str(path): st.lists(anything, max_size=6) for path in criterion.paths}
            ),
            max_size=8,
        )
    )
    instances = [texts_of(row) for row in rows]
    keys = criterion.keys(instances)
    assert len(keys) == len(instances)
    order = data.draw(st.permutations(range(len(rows))))
    assert criterion.keys([instances[index] for index in order]) == [keys[i] for i in order]
    sorted(key for key in keys if key is not None)


@pytest.mark.parametrize("name", READY_SETS)
def test_instances_without_the_elements_have_no_key(name):
    for criterion in READY_SETS[name]:
        assert criterion.name
        assert criterion.keys([values(), values()]) == [None, None]
