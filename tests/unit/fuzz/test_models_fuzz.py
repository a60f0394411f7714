"""Whatever a model is given, it reads, or says where what is wrong; nothing else happens."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.models import InvalidModel, Model, validate
from unit.fuzz.cases import cases
from unit.fuzz.hostile import damaged, json_values
from unit.fuzz.paths import missing_part
from unit.fuzz.seeds import OWN, seeds

#: Steps to what may be written shorter: one destination, one action.
SHORT = ("To", 0)


def check_problems(problems: list[str], value: Any, root: str = "$") -> None:
    """See that every problem says where in the value it is."""
    assert problems
    for problem in problems:
        assert problem.startswith(root)
        missing = missing_part("$" + problem.removeprefix(root), value)
        if not missing:
            continue
        is_required = problem.endswith(("this field is required", " needs it"))
        assert (is_required and len(missing) == 1) or missing[0] in SHORT, problem


@pytest.mark.parametrize("model", OWN, ids=lambda model: model.__name__)
def test_the_seeds_are_good(model):
    for seed in seeds(model):
        validate(model, seed)


@pytest.mark.parametrize("model", OWN, ids=lambda model: model.__name__)
def test_whatever_comes_in_is_read_or_refused_at_places_that_are_there(model: type[Model]):
    known = seeds(model)
    near = damaged(known) if known else json_values()

    @cases(25)
    @given(st.one_of(near, near, json_values()))
    def check(value: Any) -> None:
        try:
            found = validate(model, value)
        except InvalidModel as error:
            check_problems(error.problems, value)
        else:
            json.dumps(found.model_dump(mode="json", by_alias=True), allow_nan=False)

    check()
