"""Follow the JSON paths that problems begin with."""

from __future__ import annotations

import json
import re
from typing import Any

_STEP = re.compile(r'\.([^\s.:"\[\]]+)|\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]')


def steps_of(problem: str) -> tuple[list[str | int], str]:
    """Take a problem apart: the steps of its path, and what it says."""
    assert problem.startswith("$"), problem
    steps: list[str | int] = []
    place = 1
    while match := _STEP.match(problem, place):
        name, index, quoted = match.groups()
        steps.append(name or (int(index) if index else json.loads(quoted)))
        place = match.end()
    assert problem[place : place + 2] == ": ", problem
    return steps, problem[place + 2 :]


def missing_part(problem: str, value: Any) -> list[str | int]:
    """Return the steps of a problem's path that the value does not have."""
    steps, _ = steps_of(problem)
    for number, step in enumerate(steps):
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return steps[number:]
    return []
