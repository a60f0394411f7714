"""Base of the models that validate what comes in: request bodies, configuration, rules.

Fields are ``PascalCase`` in JSON, as everywhere in Orthanc, and unknown ones are refused by name.
"""

import difflib
import json
import re
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_pascal

#: Problems that are told at most; a text that is nothing but mistakes is not answered with a longer
#: one.
MOST_PROBLEMS = 100

#: Conditions (``curator.conditions``) beside others, in all of what is validated at once.
MAX_CONDITIONS = 5000

_COMBINING = ("All", "Any")


class Model(BaseModel):
    """A frozen value read from JSON; types are not converted silently."""

    model_config = ConfigDict(
        alias_generator=to_pascal,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        strict=True,
        hide_input_in_errors=True,
    )

    @classmethod
    def field_names(cls) -> frozenset[str]:
        """Return the names of the fields in JSON."""
        return frozenset(field.alias or name for name, field in cls.model_fields.items())


M = TypeVar("M", bound=Model)


class InvalidModel(ValueError):
    """What was read does not fit the model.

    Parameters
    ----------
    problems : list of str
        Each begins with the JSON path of the value that is wrong.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def validate(model: type[M], value: object) -> M:
    """Validate a JSON value.

    Raises
    ------
    InvalidModel
        With every problem, not the first one only; of more than `MOST_PROBLEMS`, with their number.
    """
    _refuse_many_conditions(value)
    try:
        return model.model_validate_json(json.dumps(value), by_alias=True, by_name=False)
    except RecursionError:
        raise InvalidModel(["$: is nested too deeply"]) from None
    except ValidationError as error:
        found = error.errors(include_url=False)
        told = found[:MOST_PROBLEMS]
        problems = [_explain(model, one) for one in told if not _follows_from_others(one, found)]
        if len(found) > len(told):
            problems.append(f"$: {len(found) - len(told)} more problems are not told")
        raise InvalidModel(list(dict.fromkeys(problems))) from None


def _refuse_many_conditions(value: object) -> None:
    """Count conditions before any of them is read: each may hold a pattern to be compiled."""
    found, left = 0, [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            lists = [part for name in _COMBINING if isinstance(part := one.get(name), list)]
            found += sum(len(part) - 1 for part in lists if part)
            left += one.values()
        elif isinstance(one, list):
            left += [member for member in one if isinstance(member, dict | list)]
        if found > MAX_CONDITIONS:
            raise InvalidModel([f"$: has more than {MAX_CONDITIONS} conditions"])


def _explain(model: type[Model], problem: Any) -> str:
    if problem["type"] == "extra_forbidden":
        *place, name = problem["loc"]
        path = _json_path(tuple(place)) + _member(str(name))
        return f"{path}: unknown field{nearest(str(name), _field_names(model))}"
    path = _json_path(problem["loc"])
    if problem["type"] == "missing":
        return f"{path}: this field is required"
    explained = f"{path}: {problem['msg'].removeprefix('Value error, ')}"
    if problem["type"] in ("enum", "literal_error") and isinstance(problem["input"], str):
        explained += nearest(problem["input"], _QUOTED.findall(problem["ctx"]["expected"]))
    return explained


def _follows_from_others(problem: Any, problems: list[Any]) -> bool:
    """Tell whether a list is only too short because its members are wrong."""
    location = problem["loc"]
    return problem["type"] == "too_short" and any(
        len(other["loc"]) > len(location) and other["loc"][: len(location)] == location
        for other in problems
    )


def _json_path(location: tuple[int | str, ...]) -> str:
    """Write a location as a JSON path, without the names of union members in it."""
    path = "$"
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
        elif not _UNION_MEMBER.match(step):
            path += _member(step)
    return path


def _member(name: str) -> str:
    return f".{name}" if name.isidentifier() else f"[{json.dumps(name)}]"


#: The values that pydantic says it expected.
_QUOTED = re.compile(r"'([^']*)'")

#: How pydantic names a member of a union, or the key of a dictionary, in a location.
_UNION_MEMBER = re.compile(r"(str|int|float|bool)$|(tuple|list|dict|function-[a-z]+)\[|\[key\]$")


@cache
def _field_names(model: type[Model]) -> list[str]:
    """Names of all fields that a model knows, at any depth."""
    schema = model.model_json_schema()
    parts = [schema, *schema.get("$defs", {}).values()]
    return sorted({name for part in parts for name in part.get("properties", {})})


def nearest(name: str, known: list[str]) -> str:
    """Return ``, did you mean "…"?`` for the known name that is nearest, or nothing."""
    lowered = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.lower(), lowered, n=1)
    return f', did you mean "{lowered[found[0]]}"?' if found else ""
