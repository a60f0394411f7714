"""Validation of what comes in: every problem, where it is, and what would be right."""

import re
from enum import StrEnum
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from curator.models import InvalidModel, Model, nearest, validate


class Engine(Model):
    power: int
    fuel_type: str = "none"


class Vehicle(Model):
    name: str
    engines: Annotated[tuple[Engine, ...], Field(min_length=1)] = ()
    weight: float | str = 0.0
    extras: dict[str, int | str] = Field(default_factory=dict)
    parked: bool = False


def problems(value: object) -> list[str]:
    with pytest.raises(InvalidModel) as raised:
        validate(Vehicle, value)
    return raised.value.problems


def test_what_fits_is_read_with_its_defaults():
    vehicle = validate(Vehicle, {"Name": "n", "Engines": [{"Power": 5, "FuelType": "x"}]})
    assert vehicle == Vehicle(name="n", engines=(Engine(power=5, fuel_type="x"),))
    assert (vehicle.weight, vehicle.extras, vehicle.parked) == (0.0, {}, False)


def test_a_model_cannot_be_changed():
    vehicle = validate(Vehicle, {"Name": "n"})
    with pytest.raises(ValidationError):
        vehicle.name = "other"  # type: ignore[misc]


def test_names_in_json_are_pascal_case():
    assert Vehicle.field_names() == {"Name", "Engines", "Weight", "Extras", "Parked"}
    assert Engine.field_names() == {"Power", "FuelType"}


def test_every_problem_is_told_at_once():
    value = {"Engines": [{"Power": "5"}, {"Power": 1, "Fuel": 2}], "Parked": "yes", "Colour": 1}
    found = problems(value)
    assert [problem.partition(":")[0] for problem in found] == [
        "$.Name",
        "$.Engines[0].Power",
        "$.Engines[1].Fuel",
        "$.Parked",
        "$.Colour",
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"Nam": "n"}, '$.Nam: unknown field, did you mean "Name"?'),
        ({"name": "n"}, '$.name: unknown field, did you mean "Name"?'),
        ({"Name": "n", "engines": []}, '$.engines: unknown field, did you mean "Engines"?'),
        ({"Name": "n", "Zzz": 1}, "$.Zzz: unknown field"),
        ({"Name": "n", "a b": 1}, '$["a b"]: unknown field'),
        ({"Name": "n", "tuple[x]": 1}, '$["tuple[x]"]: unknown field'),
        (
            {"Name": "n", "Engines": [{"Power": 1, "fuel_type": "x"}]},
            '$.Engines[0].fuel_type: unknown field, did you mean "FuelType"?',
        ),
        ({}, "$.Name: this field is required"),
    ],
)
def test_an_unknown_field_is_named_with_the_nearest_known_one(value, expected):
    assert expected in problems(value)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"Name": 5}, "$.Name"),
        ({"Name": None}, "$.Name"),
        ({"Name": "n", "Engines": {}}, "$.Engines"),
        ({"Name": "n", "Engines": []}, "$.Engines"),
        ({"Name": "n", "Engines": [{"Power": 1}, 7]}, "$.Engines[1]"),
        ({"Name": "n", "Engines": [{"Power": 1.5}]}, "$.Engines[0].Power"),
        ({"Name": "n", "Engines": [{"Power": True}]}, "$.Engines[0].Power"),
        ({"Name": "n", "Weight": []}, "$.Weight"),
        ({"Name": "n", "Parked": 1}, "$.Parked"),
        ({"Name": "n", "Extras": {"one": []}}, "$.Extras.one"),
        ({"Name": "n", "Extras": {"0010,0010": []}}, '$.Extras["0010,0010"]'),
        ({"Name": "n", "Extras": {"Seq[0].Tag": []}}, '$.Extras["Seq[0].Tag"]'),
        ([], "$"),
        ("text", "$"),
        (5, "$"),
        (None, "$"),
    ],
)
def test_a_problem_says_where_it_is(value, path):
    assert {problem.partition(": ")[0] for problem in problems(value)} == {path}


def test_a_list_is_not_called_too_short_because_its_members_are_wrong():
    assert len(problems({"Name": "n", "Engines": [{"Power": "x"}]})) == 1


def test_a_problem_never_quotes_the_value():
    assert "SECRET" not in "".join(problems({"Name": ["SECRET"], "Weight": ["SECRET"]}))


def deep(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("depth", [250, 100_000])
def test_deep_nesting_is_refused(depth):
    assert problems({"Name": "n", "Weight": deep(depth)})[0].startswith("$: ")


def test_half_a_surrogate_pair_is_refused():
    assert problems({"Name": "\ud800"})[0].startswith("$: Invalid JSON")


def test_of_nothing_but_mistakes_some_are_told_and_the_number_of_the_others():
    with pytest.raises(InvalidModel) as refusal:
        validate(Vehicle, {f"Nothing{index}": 1 for index in range(20_000)})
    *told, rest = refusal.value.problems
    assert len(told) == 100
    assert re.fullmatch(r"\$: 19\d{3} more problems are not told", rest)


def test_the_message_holds_all_problems():
    with pytest.raises(InvalidModel) as raised:
        validate(Vehicle, {"Name": 1, "Parked": 1})
    assert str(raised.value) == "; ".join(raised.value.problems)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dryrun", ', did you mean "DryRun"?'),
        ("DRYRUN", ', did you mean "DryRun"?'),
        ("Naming2", ', did you mean "Naming"?'),
        ("completely different", ""),
        ("", ""),
    ],
)
def test_the_nearest_name_is_found_in_any_case(name, expected):
    assert nearest(name, ["DryRun", "Naming"]) == expected


class Color(StrEnum):
    """Colors."""

    RED = "Red"
    GREEN = "Green"


class Painted(Model):
    """A model with values to choose from."""

    color: Color | None = None
    finish: Literal["Matt", "Gloss"] | None = None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"Color": "Grene"}, "$.Color: Input should be 'Red' or 'Green', did you mean \"Green\"?"),
        ({"Color": "red"}, 'did you mean "Red"?'),
        ({"Finish": "Mat"}, 'did you mean "Matt"?'),
        ({"Color": "unknown"}, "$.Color: Input should be 'Red' or 'Green'"),
        ({"Color": 5}, "$.Color: Input should be 'Red' or 'Green'"),
    ],
)
def test_of_values_to_choose_from_the_nearest_is_named(value, said):
    with pytest.raises(InvalidModel) as refused:
        validate(Painted, value)
    (problem,) = refused.value.problems
    assert problem.endswith(said)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(
    json_values | st.fixed_dictionaries({}, optional={"Name": st.text(), "Engines": json_values})
)
def test_whatever_comes_in_is_read_or_refused_with_paths(value):
    found: list[str] = []
    try:
        validate(Vehicle, value)
    except InvalidModel as error:
        found = error.problems or ["nothing is said"]
    assert all(problem.startswith("$") for problem in found)
