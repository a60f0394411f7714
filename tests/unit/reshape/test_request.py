"""Bodies of the split routes: what is accepted, and what refusals say."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.models import InvalidModel, validate
from curator.reshape.criteria import READY_SETS
from curator.reshape.request import BUILTIN_FIELDS, Into, Missing, SplitRequest
from unit.reshape.builders import request_of


def refused(**body: Any) -> str:
    with pytest.raises(InvalidModel) as raised:
        validate(SplitRequest, body)
    return str(raised.value)


def test_defaults_are_those_of_the_core():
    request = request_of(By=["Echo"])
    assert (request.keep_source, request.keep_labels, request.permissive) == (False, True, False)
    assert (request.dry_run, request.force, request.priority) == (False, False, 0)
    assert (request.into, request.missing) == (None, Missing.GROUP)
    assert request.waits


def test_every_built_in_field_is_a_field():
    assert SplitRequest.field_names() >= BUILTIN_FIELDS


@pytest.mark.parametrize("name", READY_SETS)
def test_a_ready_set_goes_by_its_name(name):
    assert request_of(By=[name]).criteria() == READY_SETS[name]


@pytest.mark.parametrize(
    ("by", "name"),
    [
        ("EchoTime", "EchoTime"),
        ("0018,0081", "EchoTime"),
        ({"Tag": "0018-0081"}, "EchoTime"),
        ({"Tag": "EchoTime", "Tolerance": 0.5}, "EchoTime"),
        ({"Tag": "EchoTime", "Tolerance": 0}, "EchoTime"),
        ({"Tag": "SeriesDescription", "Matches": "(a)"}, "SeriesDescription"),
        ({"Orientation": 0.01}, "Orientation"),
        ({"BValue": 10}, "BValue"),
        ({"Gap": "AcquisitionDateTime", "Seconds": 1800}, "AcquisitionDateTime"),
        ({"Gap": "AcquisitionTime", "Seconds": 1800}, "AcquisitionTime"),
    ],
)
def test_a_criterion_is_named_by_its_element(by, name):
    (criterion,) = request_of(By=[by]).criteria()
    assert criterion.name == name


def test_criteria_keep_the_order_of_the_request():
    request = request_of(By=["EchoTime", "Orientation", {"BValue": 1}])
    assert [one.name for one in request.criteria()] == ["EchoTime", "Orientation", "BValue"]


def test_explicit_groups_are_read():
    request = request_of(
        By=[{"Groups": [{"Name": "a", "Series": ["s"]}, {"Name": "b", "Instances": ["i", "j"]}]}]
    )
    first, second = request.explicit_groups
    assert (first.name, first.series, first.instances) == ("a", ("s",), None)
    assert (second.name, second.series, second.instances) == ("b", None, ("i", "j"))
    assert request.criteria() == ()


@pytest.mark.parametrize(
    ("body", "place", "about"),
    [
        ({"By": []}, "$.By", "at least 1"),
        ({"By": "Echo"}, "$.By", "array"),
        ({"By": [5]}, "$.By[0]", "object"),
        ({"By": [None]}, "$.By[0]", "object"),
        ({"By": [{}]}, "$.By[0]", "a criterion is a name"),
        ({"By": ["Nonsense"]}, "$.By[0]", "Unknown tag"),
        ({"By": ["Echo", {"Tag": "Nonsense"}]}, "$.By[1]", "Unknown tag"),
        ({"By": [{"ReadySet": "Ech"}]}, "$.By[0]", 'did you mean "Echo"?'),
        ({"By": [{"Tag": "EchoTime", "Orientation": 1}]}, "$.By[0]", "has one of"),
        ({"By": [{"Tag": "EchoTime", "Tolerance": -1}]}, "$.By[0].Tolerance", "greater"),
        ({"By": [{"Tag": "EchoTime", "Tolerance": "1"}]}, "$.By[0].Tolerance", "number"),
        ({"By": [{"Tolerance": 1, "Orientation": 1}]}, "$.By[0]", 'go with "Tag"'),
        (
            {"By": [{"Tag": "EchoTime", "Tolerance": 1, "Matches": "x"}]},
            "$.By[0]",
            "exclude each other",
        ),
        ({"By": [{"Tag": "EchoTime", "Matches": "("}]}, "$.By[0]", "RE2"),
        ({"By": [{"Gap": "StudyDate"}]}, "$.By[0]", "go together"),
        ({"By": [{"Gap": "StudyDate", "Seconds": 0}]}, "$.By[0].Seconds", "greater"),
        ({"By": [{"Gap": "EchoTime", "Seconds": 1}]}, "$.By[0]", "neither a date nor a time"),
        ({"By": [{"Seconds": 1, "Tag": "EchoTime"}]}, "$.By[0]", "go together"),
        ({"By": [{"Groups": []}]}, "$.By[0].Groups", "at least 1"),
        ({"By": [{"Groups": [{"Name": "a"}]}]}, "$.By[0].Groups[0]", '"Series"'),
        (
            {"By": [{"Groups": [{"Name": "", "Series": ["s"]}]}]},
            "$.By[0].Groups[0].Name",
            "at least 1",
        ),
        (
            {"By": [{"Groups": [{"Name": "a", "Series": []}]}]},
            "$.By[0].Groups[0].Series",
            "at least 1",
        ),
        (
            {"By": [{"Groups": [{"Name": "a", "Series": [5]}]}]},
            "$.By[0].Groups[0].Series[0]",
            "string",
        ),
        (
            {"By": [{"Groups": [{"Name": "a", "Serie": ["s"]}]}]},
            "$.By[0].Groups[0].Serie",
            'did you mean "Series"?',
        ),
        (
            {"By": [{"Groups": [{"Name": "a", "Series": ["s"]}]}, "Echo"]},
            "$",
            "excludes other criteria",
        ),
        (
            {"By": [{"Groups": [{"Name": "a", "Series": ["s"]}]}], "Series": ["s"]},
            "$",
            "excludes other criteria",
        ),
        ({"By": ["Echo"], "Into": "Study"}, "$.Into", "Studies"),
        ({"By": ["Echo"], "Missing": "Ignore"}, "$.Missing", "Refuse"),
        ({"By": ["Echo"], "Where": {}}, "$.Where", '"Tag"'),
        ({"By": ["Echo"], "Naming": "{"}, "$.Naming.Description", ""),
        ({"By": ["Echo"], "Naming": {"StudyID": "{X}"}}, "$.Naming.StudyID", "Unknown tag"),
        ({"By": ["Echo"], "Naming": {"StudyID": 5}}, "$.Naming.StudyID", "string"),
        ({"By": ["Echo"], "Naming": 5}, "$.Naming", ""),
        ({"Series": []}, "$.Series", "at least 1"),
        ({"Series": "s"}, "$.Series", "array"),
        ({"Instances": [5]}, "$.Instances[0]", "string"),
        ({"Series": ["s"], "Replace": {"Nonsense": "x"}}, "$.Replace.Nonsense", "Unknown tag"),
        ({"Series": ["s"], "Replace": {"0010-0010": 5}}, '$.Replace["0010-0010"]', "text"),
        ({"Series": ["s"], "Replace": {"StudyID": ["a"]}}, "$.Replace.StudyID", "array of objects"),
        ({"Series": ["s"], "Replace": {"StudyID": None}}, "$.Replace.StudyID", "text"),
        (
            {"Series": ["s"], "Replace": {"ProcedureCodeSequence": [{"Nonsense": "x"}]}},
            "$.Replace.ProcedureCodeSequence",
            "Unknown tag",
        ),
        (
            {"Series": ["s"], "Replace": {"ProcedureCodeSequence": [{"CodeValue": 5}]}},
            "$.Replace.ProcedureCodeSequence",
            "text",
        ),
        (
            {"Series": ["s"], "Replace": {"ProcedureCodeSequence": [{"A[0].B": "x"}]}},
            "$.Replace.ProcedureCodeSequence",
            "",
        ),
        ({"Series": ["s"], "Remove": ["StudyID", "Nonsense"]}, "$.Remove[1]", "Unknown tag"),
        ({"By": ["Echo"], "Keep": ["SOPInstanceUID"]}, "$", '"Force": true'),
        ({"By": ["Echo"], "Keep": ["StudyInstanceUID"], "Force": True}, "$.Keep", "can be kept"),
        (
            {"By": ["Echo"], "Keep": ["SOPInstanceUID"], "Force": True, "KeepSource": True},
            "$",
            '"KeepSource": false',
        ),
        ({"By": ["Echo"], "DryRun": "true"}, "$.DryRun", "boolean"),
        ({"By": ["Echo"], "DryRun": 1}, "$.DryRun", "boolean"),
        ({"By": ["Echo"], "Priority": 2**31}, "$.Priority", "2147483647"),
        ({"By": ["Echo"], "Priority": -(10**400)}, "$.Priority", ""),
        ({"By": ["Echo"], "Priority": 1.5}, "$.Priority", "integer"),
        ({"By": ["Echo"], "dry_run": True}, "$.dry_run", 'did you mean "DryRun"?'),
        ({"By": ["Echo"], "Dryrun": True}, "$.Dryrun", 'did you mean "DryRun"?'),
        ({"By": ["Echo"], "UserData": "\ud800"}, "$", "Invalid JSON"),
    ],
)
def test_what_is_wrong_is_refused_where_it_stands(body, place, about):
    problems = refused(**body).split("; $")
    matching = [p for p in problems if f"${p.removeprefix('$')}".startswith(f"{place}: ")]
    assert matching, problems
    assert any(about in problem for problem in matching)


@pytest.mark.parametrize(
    "replace",
    [
        {"StudyDescription": "x"},
        {"StudyDescription": ""},
        {"0008,1030": "x"},
        {"ProcedureCodeSequence": []},
        {"ProcedureCodeSequence": [{}]},
        {"ProcedureCodeSequence": [{"CodeValue": "1", "0008,0102": "99X"}]},
        {"ProcedureCodeSequence": [{"EquivalentCodeSequence": [{"CodeValue": "1"}]}]},
    ],
)
def test_new_values_are_texts_or_items(replace):
    assert request_of(Series=["s"], Replace=replace).replace == replace


@pytest.mark.parametrize(
    ("body", "waits"),
    [
        ({}, True),
        ({"Asynchronous": True}, False),
        ({"Asynchronous": False}, True),
        ({"Synchronous": True}, True),
        ({"Synchronous": False}, False),
        ({"Synchronous": True, "Asynchronous": True}, True),
    ],
)
def test_a_request_waits_by_the_rules_of_the_core(body, waits):
    assert request_of(By=["Echo"], **body).waits is waits


def test_a_name_alone_is_the_description():
    request = request_of(By=["Echo"], Naming="TE={EchoTime:g}")
    assert list(request.templates()) == ["Description"]


def test_into_is_read():
    assert request_of(By=["Echo"], Into="Series").into is Into.SERIES


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(SplitRequest.field_names())), json_values))
def test_any_body_is_read_or_refused_with_paths(body):
    problems: list[str] = []
    try:
        validate(SplitRequest, body)
    except InvalidModel as error:
        problems = error.problems or ["nothing is said"]
    assert all(problem.startswith("$") for problem in problems)
