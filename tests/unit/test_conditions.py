"""The condition language."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.anonymize.profile import Profile
from curator.conditions import MAX_DEPTH, Condition, compile_pattern, number
from curator.dicom.tags import Path, parse_path
from curator.models import MAX_CONDITIONS, InvalidModel, validate
from curator.reshape.request import SplitRequest
from curator.route.rule import RuleSet

INSTANCE = {
    "Modality": ("MR",),
    "ImageType": ("ORIGINAL", "PRIMARY", "M", "ND"),
    "EchoTime": ("2.460",),
    "SeriesDescription": ("t1 Axial.post",),
    "StudyDate": ("20240102",),
    "PatientName": (),
    "Rows": ("",),
    "PatientID": ("nan",),
}


def lookup(path: Path) -> tuple[str, ...]:
    return INSTANCE[str(path)]


def holds(condition: object) -> bool:
    return validate(Condition, condition).holds(lookup)


def refused(condition: object) -> str:
    with pytest.raises(InvalidModel) as raised:
        validate(Condition, condition)
    return str(raised.value)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"Tag": "Modality", "Equals": "MR"}, True),
        ({"Tag": "Modality", "Equals": "mr"}, False),
        ({"Tag": "0008-0060", "Equals": "MR"}, True),
        ({"Tag": "EchoTime", "Equals": 2.46}, True),
        ({"Tag": "EchoTime", "Equals": "2.46"}, False),
        ({"Tag": "EchoTime", "Equals": "2.460"}, True),
        ({"Tag": "Modality", "Equals": 5}, False),
        ({"Tag": "ImageType", "Equals": "M"}, True),
        ({"Tag": "Modality", "In": ["CT", "MR"]}, True),
        ({"Tag": "Modality", "In": ["CT"]}, False),
        ({"Tag": "EchoTime", "In": [1, 2.46]}, True),
        ({"Tag": "SeriesDescription", "Like": "T1*POST"}, True),
        ({"Tag": "SeriesDescription", "Like": "T1*"}, True),
        ({"Tag": "SeriesDescription", "Like": "T1"}, False),
        ({"Tag": "SeriesDescription", "Like": "t? axial?post"}, True),
        ({"Tag": "SeriesDescription", "Like": "t1 axial?pos"}, False),
        ({"Tag": "SeriesDescription", "Like": "t1.axial*"}, False),
        ({"Tag": "SeriesDescription", "Matches": "Axial"}, True),
        ({"Tag": "SeriesDescription", "Matches": "axial"}, False),
        ({"Tag": "SeriesDescription", "Matches": "(?i)^T1 axial"}, True),
        ({"Tag": "EchoTime", "Between": [2, 2.46]}, True),
        ({"Tag": "EchoTime", "Between": [2.461, 3]}, False),
        ({"Tag": "EchoTime", "Between": [0, 10**400]}, True),
        ({"Tag": "EchoTime", "Between": [-(10**400), 1]}, False),
        ({"Tag": "EchoTime", "Equals": 10**400}, False),
        ({"Tag": "Modality", "Between": [0, 9]}, False),
        ({"Tag": "PatientID", "Between": [0, 9]}, False),
        ({"Tag": "StudyDate", "Between": ["20240101", "20241231"]}, True),
        ({"Tag": "StudyDate", "Between": ["20240103", "20241231"]}, False),
        ({"Tag": "Modality", "Exists": True}, True),
        ({"Tag": "Modality", "Exists": False}, False),
        ({"Tag": "PatientName", "Exists": False}, True),
        ({"Tag": "Rows", "Exists": False}, True),
        ({"Not": {"Tag": "Modality", "Equals": "CT"}}, True),
        ({"Not": {"Tag": "Modality", "Equals": "MR"}}, False),
        ({"All": [{"Tag": "Modality", "Equals": "MR"}]}, True),
        (
            {"All": [{"Tag": "Modality", "Equals": "MR"}, {"Tag": "Rows", "Exists": True}]},
            False,
        ),
        (
            {"Any": [{"Tag": "Modality", "Equals": "CT"}, {"Tag": "Rows", "Exists": False}]},
            True,
        ),
        ({"Any": [{"Tag": "Modality", "Equals": "CT"}]}, False),
    ],
)
def test_a_condition_holds_where_it_should(condition, expected):
    assert holds(condition) is expected


@pytest.mark.parametrize("tag", ["PatientName", "Rows"])
@pytest.mark.parametrize(
    "operator",
    [
        {"Equals": ""},
        {"In": ["", 0]},
        {"Like": "*"},
        {"Matches": ""},
        {"Between": ["", "zzz"]},
        {"Between": [-1e9, 1e9]},
        {"Exists": True},
    ],
)
def test_an_empty_or_absent_element_fits_nothing(tag, operator):
    assert not holds({"Tag": tag, **operator})


@pytest.mark.parametrize(
    ("condition", "place", "about"),
    [
        ({}, "$", '"Tag" with an operator'),
        ({"Tag": "Modality"}, "$", "exactly one"),
        ({"Tag": "Modality", "Equals": "a", "Like": "b"}, "$", "exactly one"),
        ({"Equals": "a"}, "$", '"Tag" with an operator'),
        ({"Tag": "Modality", "Equals": "a", "Not": {"Tag": "Modality", "Exists": True}}, "$", ""),
        ({"All": []}, "$.All", "at least 1"),
        ({"Any": []}, "$.Any", "at least 1"),
        ({"Tag": "Modality", "In": []}, "$.In", "at least 1"),
        ({"Tag": "Modalty", "Exists": True}, "$", "Unknown tag"),
        ({"Tag": "Modality", "Equals": True}, "$.Equals", ""),
        ({"Tag": "Modality", "Equals": ["a"]}, "$.Equals", ""),
        ({"Tag": "Modality", "Equals": None}, "$", "exactly one"),
        ({"Tag": "Modality", "Exists": "yes"}, "$.Exists", ""),
        ({"Tag": "Modality", "Between": [1]}, "$.Between[1]", "required"),
        ({"Tag": "Modality", "Between": [1, 2, 3]}, "$.Between", ""),
        ({"Tag": "Modality", "Between": [1, "2"]}, "$", "two numbers or two texts"),
        ({"Tag": "Modality", "Equal": "a"}, "$.Equal", 'did you mean "Equals"?'),
        ({"tag": "Modality", "Equals": "a"}, "$.tag", 'did you mean "Tag"?'),
        ({"All": [{"Not": {"Any": [{"Tag": "Modality"}]}}]}, "$.All[0].Not.Any[0]", "exactly one"),
        ({"Tag": "Modality", "Matches": "("}, "$", "RE2"),
        ({"Tag": "Modality", "Matches": "(?=x)"}, "$", "RE2"),
        ({"Tag": "Modality", "Matches": r"(x)\1"}, "$", "RE2"),
        ({"Tag": "Modality", "Matches": "a{1000}{1000}"}, "$", "RE2"),
    ],
)
def test_what_is_no_condition_is_refused_where_it_stands(condition, place, about):
    message = refused(condition)
    assert message.startswith(f"{place}: ")
    assert about in message


def nested(depth: int) -> dict[str, object]:
    condition: dict[str, object] = {"Tag": "Modality", "Exists": True}
    for level in range(depth - 1):
        condition = {"Not": condition} if level % 2 else {"All": [condition]}
    return condition


def test_conditions_nest_up_to_the_limit():
    assert validate(Condition, nested(MAX_DEPTH)).holds(lookup) in (True, False)


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 150, 1000, 50_000])
def test_conditions_nested_too_deeply_are_refused(depth):
    message = refused(nested(depth))
    assert "deep" in message or "recursion" in message


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a|aa)+$", "(a*)*b", "(.*)*x", "^(([a-z])+.)+[A-Z]$"]
)
def test_pathological_patterns_come_to_an_end(pattern):
    text = "a" * 100_000 + "!"
    assert not compile_pattern(pattern).search(text)


@pytest.mark.parametrize("like", ["*" * 2000, "*a" * 500, "?" * 500])
def test_pathological_wildcards_come_to_an_end(like):
    condition = validate(Condition, {"Tag": "Modality", "Like": like + "b"})
    assert not condition.holds(lambda _path: ("a" * 10_000,))


@given(st.text(max_size=30).filter(bool))
def test_a_text_without_wildcards_is_like_itself_only(text):
    pattern = text.replace("*", "+").replace("?", "!")
    condition = Condition(tag="Modality", like=pattern)
    assert condition.holds(lambda _path: (pattern,))
    assert not condition.holds(lambda _path: (pattern + "x",))
    assert not condition.holds(lambda _path: ("x" + pattern,))


def test_text_that_is_no_unicode_is_no_error():
    broken = "a\ud800b"
    condition = validate(Condition, {"Tag": "Modality", "Like": "a*b"})
    assert condition.holds(lambda _path: (broken,))
    assert not condition.holds(lambda _path: (broken + "c",))


def test_every_element_that_is_asked_for_is_named():
    condition = validate(
        Condition,
        {
            "All": [
                {"Tag": "Modality", "Equals": "MR"},
                {"Not": {"Any": [{"Tag": "EchoTime", "Exists": True}]}},
            ]
        },
    )
    assert list(condition.paths()) == [parse_path("Modality"), parse_path("EchoTime")]


def test_deciding_does_not_change_what_a_condition_is_written_as():
    condition = validate(Condition, {"Tag": "SeriesDescription", "Like": "T1*"})
    before = condition.model_dump(mode="json")
    condition.holds(lookup)
    assert condition.model_dump(mode="json") == before


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", 5.0),
        ("+5", 5.0),
        ("-0.5", -0.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("1E3", 1000.0),
        ("1e-05", 1e-05),
        (" 7 ", 7.0),
        ("", None),
        ("nan", None),
        ("inf", None),
        ("-Infinity", None),
        ("1_000", None),
        ("0x10", None),
        ("1,5", None),
        ("1.2.3", None),
        ("٣", None),
        ("1e999", None),
        ("5 6", None),
    ],
)
def test_numbers_are_what_a_decimal_string_may_hold(text, expected):
    assert number(text) == expected


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_number_is_read_back(value):
    assert number(str(value)) == value


def many(number: int) -> object:
    """Return a condition that combines a number of others, in lists of which none is long."""
    leaf = {"Tag": "Modality", "Matches": "(?i)MR"}
    return {"Any": [{"All": [leaf] * (number // 10)}] * 10}


def test_conditions_are_counted_before_any_is_read(monkeypatch):
    split = validate(SplitRequest, {"By": ["EchoTime"], "Where": many(MAX_CONDITIONS)})
    assert split.where is not None
    monkeypatch.setattr("curator.conditions.compile_pattern", None)  # none is compiled
    half = many(MAX_CONDITIONS // 2 + 10)
    for body, model in (
        ({"By": ["EchoTime"], "Where": many(MAX_CONDITIONS + 10)}, SplitRequest),
        ({"Rules": [{"If": half}, {"Complete": {"Series": [half]}}]}, RuleSet),
        ({"Rules": [{"When": half}, {"When": half}]}, Profile),
    ):
        with pytest.raises(InvalidModel, match=f"has more than {MAX_CONDITIONS} conditions"):
            validate(model, body)


@pytest.mark.parametrize("pattern", [r"\pL{100}", "((([a-z]{10}){10}){10}){10}", r"(?i)\pL{1000}"])
def test_pattern_that_takes_much_memory_is_refused(pattern):
    assert "or too large a one" in refused({"Tag": "Modality", "Matches": pattern})


def test_list_of_words_is_no_large_pattern():
    words = "|".join(f"word number {index}" for index in range(200))
    assert not holds({"Tag": "Modality", "Matches": f"(?i){words}"})
