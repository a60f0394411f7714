"""What rules ask of resources."""

from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.conditions import MAX_DEPTH, Condition
from curator.dicom.tags import parse_path
from curator.models import InvalidModel, validate
from curator.route.condition import RuleCondition
from curator.route.facts import Remembered, Source, Undecidable
from unit.route.facts_for_tests import UNREADABLE, facts

SCANNER = Source("CT_1", "ORTHANC", "10.1.2.3", "DicomProtocol")
BROWSER = Source(origin="RestApi", remote_ip="192.168.0.9")

STUDY = facts(
    sources=(SCANNER, BROWSER),
    labels=("urgent", "Trial-7"),
    metadata={"Ward": "North", "Score": "0.75"},
    Modality=("CT", "SR"),
    StudyDescription="Thorax routine",
    EchoTime=UNREADABLE,
)


def condition(written: object) -> RuleCondition:
    return validate(RuleCondition, written)


def holds(written: object, given=STUDY) -> bool:
    return condition(written).holds(given)


def refused(written: object) -> str:
    with pytest.raises(InvalidModel) as raised:
        condition(written)
    return str(raised.value)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({"Tag": "Modality", "In": ["CT", "PT"]}, True),
        ({"Tag": "Modality", "Equals": "SR"}, True),
        ({"Tag": "Modality", "Equals": "MR"}, False),
        ({"Tag": "StudyDescription", "Like": "*THORAX*"}, True),
        ({"Tag": "AccessionNumber", "Exists": False}, True),
        ({"Source": {"RemoteAet": "ct*"}}, True),
        ({"Source": {"RemoteAet": "MR*"}}, False),
        ({"Source": {"RemoteAet": "CT_1", "CalledAet": "ORTH?NC"}}, True),
        ({"Source": {"Origin": "RestApi"}}, True),
        ({"Source": {"Origin": "Lua"}}, False),
        ({"Source": {"RemoteIp": "10.1.*"}}, True),
        ({"Source": {"RemoteIp": "10.1.0.0/16"}}, True),
        ({"Source": {"RemoteIp": "10.1.2.3/16"}}, True),
        ({"Source": {"RemoteIp": "10.2.0.0/16"}}, False),
        ({"Source": {"RemoteIp": "fd00::/8"}}, False),
        ({"Label": "urgent"}, True),
        ({"Label": "URG*"}, True),
        ({"Label": "trial-?"}, True),
        ({"Label": "urg"}, False),
        ({"Not": {"Label": "no-research"}}, True),
        ({"Metadata": "Ward", "Equals": "North"}, True),
        ({"Metadata": "ward", "Exists": True}, False),
        ({"Metadata": "Floor", "Exists": False}, True),
        ({"Metadata": "Score", "Between": [0.5, 1]}, True),
        ({"Count": "Series", "Equals": 3}, True),
        ({"Count": "Instances", "Between": [1, 39]}, False),
        ({"Count": "Instances", "In": [39, 40]}, True),
        ({"Time": "Mon 14:00-15:00"}, True),
        ({"Time": "14:01-15:00"}, False),
        ({"All": [{"Label": "urgent"}, {"Time": "Mon"}]}, True),
        ({"Any": [{"Label": "x"}, {"Time": "Tue"}]}, False),
    ],
)
def test_a_condition_holds_where_it_should(written, expected):
    assert holds(written) is expected


def test_all_that_is_named_has_to_fit_one_and_the_same_source():
    assert not holds({"Source": {"RemoteAet": "CT_1", "Origin": "RestApi"}})
    assert holds({"Source": {"RemoteAet": "CT_1", "Origin": "DicomProtocol"}})


@pytest.mark.parametrize(
    "source", [{"RemoteAet": "*"}, {"CalledAet": "*"}, {"RemoteIp": "*"}, {"RemoteIp": "0.0.0.0/0"}]
)
def test_what_is_not_known_of_a_source_fits_nothing(source):
    assert not holds({"Source": source}, facts())


def test_an_address_of_version_4_is_found_where_the_core_writes_it_as_one_of_version_6():
    given = facts(sources=(Source(remote_ip="::ffff:10.1.2.3"),))
    assert holds({"Source": {"RemoteIp": "10.1.0.0/16"}}, given)


@pytest.mark.parametrize(
    "written",
    [
        {"Tag": "EchoTime", "Exists": True},
        {"Not": {"Tag": "EchoTime", "Exists": True}},
        {"Not": {"Not": {"Tag": "EchoTime", "Exists": False}}},
        {"All": [{"Label": "urgent"}, {"Tag": "EchoTime", "Equals": 1}]},
        {"Any": [{"Tag": "EchoTime", "Equals": 1}, {"Label": "x"}]},
        {"Not": {"All": [{"Label": "urgent"}, {"Tag": "EchoTime", "Equals": 1}]}},
        {"Count": "Studies", "Equals": 1},
        {"Not": {"Count": "Studies", "Equals": 1}},
    ],
)
def test_what_cannot_be_decided_is_neither_true_nor_false(written):
    with pytest.raises(Undecidable):
        holds(written)


def test_a_source_that_nobody_knows_cannot_be_decided():
    given = facts(sources=())
    for written in ({"Source": {"Origin": "Lua"}}, {"Not": {"Source": {"Origin": "Lua"}}}):
        with pytest.raises(Undecidable, match="where it came from is not known"):
            holds(written, given)


@pytest.mark.parametrize("order", [1, -1])
def test_what_is_decided_by_others_need_not_be_readable(order):
    unreadable = {"Tag": "EchoTime", "Equals": 1}
    assert not holds({"All": [unreadable, {"Label": "x"}][::order]})
    assert holds({"Any": [unreadable, {"Label": "urgent"}][::order]})


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ({"Label": "urgent"}, None),
        ({"Label": "x"}, "$.If"),
        ({"All": [{"Label": "urgent"}, {"Label": "x"}, {"Label": "y"}]}, "$.If.All[1]"),
        ({"Any": [{"Label": "x"}, {"Label": "y"}]}, "$.If.Any"),
        ({"Not": {"Label": "urgent"}}, "$.If.Not"),
        ({"All": [{"All": [{"Not": {"Label": "urgent"}}]}]}, "$.If.All[0].All[0].Not"),
        ({"All": [{"Label": "urgent"}, {"Tag": "EchoTime", "Equals": 1}]}, "$.If.All[1]"),
        ({"All": [{"Tag": "EchoTime", "Equals": 1}, {"Label": "x"}]}, "$.If.All[1]"),
        ({"Any": [{"Label": "x"}, {"Tag": "EchoTime", "Equals": 1}]}, "$.If.Any[1]"),
        ({"Not": {"All": [{"Tag": "EchoTime", "Equals": 1}]}}, "$.If.Not.All[0]"),
    ],
)
def test_it_is_told_where_a_condition_stops(written, path):
    assert condition(written).stopped_by(STUDY, "$.If") == path


def test_what_costs_least_is_asked_first():
    asked: list[str] = []
    given = facts(asked=asked, Modality="CT")
    files = {"Tag": "RequestAttributesSequence[*].RequestedProcedureID", "Exists": True}
    assert not holds(
        {"All": [files, {"Tag": "SliceThickness", "Equals": 1}, {"Label": "x"}]}, given
    )
    assert asked == []
    assert holds({"Any": [files, {"All": [{"Tag": "Modality", "Equals": "CT"}]}]}, given)
    assert asked == ["Modality"]
    assert not holds({"All": [{"Tag": "Modality", "Equals": "MR"}, {"Source": {"Origin": "Lua"}}]},
                     replace(given, sources=()))  # fmt: skip


def test_values_are_read_once_also_where_they_cannot_be():
    asked: list[str] = []
    values = Remembered(facts(asked=asked, Modality="CT", Rows=UNREADABLE).values)
    for _ in range(3):
        assert values(parse_path("0008,0060")) == ("CT",)
        with pytest.raises(Undecidable, match="Rows cannot be read"):
            values(parse_path("Rows"))
    assert asked == ["Modality", "Rows"]


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ({}, '$: needs either "Tag", "Metadata" or "Count" with an operator, or one of'),
        ({"Label": "a", "Time": "Mon"}, "$: needs either"),
        ({"Label": "a", "Equals": "a"}, "$: needs either"),
        ({"Label": ""}, "$.Label: "),
        ({"Metadata": "Ward"}, '$: "Metadata" needs exactly one of "Equals"'),
        ({"Metadata": "Ward", "Count": "Series", "Equals": 1}, '"Metadata" needs exactly one'),
        ({"Count": "Series", "Like": "3*"}, '$.Count: needs "Equals", "In" or "Between" with num'),
        ({"Count": "Series", "Equals": "3"}, "$.Count: needs"),
        ({"Count": "Serie", "Equals": 3}, 'did you mean "Series"?'),
        ({"Source": {}}, '$.Source: needs one of "RemoteAet"'),
        (
            {"Source": {"RemoteAET": "x"}},
            '$.Source.RemoteAET: unknown field, did you mean "RemoteA',
        ),
        ({"Source": {"RemoteIp": "10.1.0.0/33"}}, "$.Source.RemoteIp: is no network"),
        ({"Source": {"Origin": "Rest"}}, 'did you mean "RestApi"?'),
        ({"All": [{"Time": "Mo"}]}, '$.All[0].Time: "Mo" is no day'),
        ({"Not": {"Any": [{"Tag": "Modalty", "Exists": True}]}}, "$.Not.Any[0]: Unknown tag"),
        ({"Tag": "Modality", "Matches": "("}, "$: is not a regular expression"),
        ({"Lable": "x"}, '$.Lable: unknown field, did you mean "Label"?'),
    ],
)
def test_what_is_no_condition_is_refused_where_it_stands(written, problem):
    assert problem in refused(written)


def test_conditions_nested_too_deeply_are_refused():
    written: dict[str, object] = {"Label": "x"}
    for _ in range(MAX_DEPTH - 1):
        written = {"Not": written}
    assert condition(written).holds(STUDY)
    assert "deep" in refused({"Not": written})


def test_splits_and_profiles_do_not_know_what_only_rules_ask():
    for written in ({"Label": "x"}, {"Time": "Mon"}, {"All": [{"Source": {"Origin": "Lua"}}]}):
        with pytest.raises(InvalidModel, match="unknown field"):
            validate(Condition, written)


def test_every_element_that_is_asked_for_is_named():
    written = {"All": [{"Tag": "Modality", "Exists": True}, {"Not": {"Tag": "Rows", "Equals": 1}}]}
    assert list(condition(written).paths()) == [parse_path("Modality"), parse_path("Rows")]


def test_the_time_is_asked_for_at_any_depth():
    assert condition({"All": [{"Not": {"Time": "Mon"}}]}).asks_time
    assert not condition({"All": [{"Label": "x"}]}).asks_time


def test_a_condition_is_written_as_it_was_read():
    written = {"All": [{"Source": {"RemoteIp": "10.0.0.0/8"}}, {"Not": {"Time": "Mon"}}]}
    read = condition(written)
    read.holds(STUDY)
    assert read.model_dump(mode="json", by_alias=True, exclude_none=True) == written


# The outcome against a slow and plain definition of the three values

WRITTEN = st.recursive(
    st.sampled_from([{"Label": "urgent"}, {"Label": "x"}, {"Tag": "EchoTime", "Equals": 1}]),
    lambda inner: st.one_of(
        inner.map(lambda one: {"Not": one}),
        st.lists(inner, min_size=1, max_size=3).map(lambda some: {"All": some}),
        st.lists(inner, min_size=1, max_size=3).map(lambda some: {"Any": some}),
    ),
    max_leaves=8,
)


def truth(written) -> bool | None:
    """Decide by the tables of Kleene; None where it cannot be decided."""
    (name, value), *_ = written.items()
    if name == "Not":
        inner = truth(value)
        return None if inner is None else not inner
    if name in ("All", "Any"):
        found = {truth(one) for one in value}
        deciding = name == "Any"
        return deciding if deciding in found else (None if None in found else not deciding)
    return {"urgent": True, "x": False}.get(value) if name == "Label" else None


@given(WRITTEN)
def test_the_outcome_does_not_depend_on_the_order_of_asking(written):
    expected = truth(written)
    if expected is None:
        with pytest.raises(Undecidable):
            holds(written)
    else:
        assert holds(written) is expected
    assert (condition(written).stopped_by(STUDY, "$") is None) == (expected is True)


@given(WRITTEN)
def test_the_place_that_is_told_is_a_condition_that_stands_there(written):
    path = condition(written).stopped_by(STUDY, "")
    found = written
    for step in (path or "").replace("[", ".").replace("]", "").split(".")[1:]:
        found = found[int(step)] if step.isdigit() else found[step]
    assert found


def test_the_time_is_that_of_the_facts():
    late = replace(STUDY, now=datetime(2026, 3, 2, 19, 0))  # noqa: DTZ001
    assert holds({"Time": "18:00-20:00"}, late)
    assert not holds({"Time": "18:00-20:00"})
