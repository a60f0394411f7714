"""JSON that nobody means well with: arbitrary, and near to what the README shows."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

README = Path(__file__).resolve().parents[3] / "README.md"

Place = tuple[str | int, ...]

TEXTS = (
    "",
    " ",
    "a" * 70,
    "a" * 5000,
    "\0",
    "a\r\nX-Injected: yes",
    "\x1b[31m",
    "../../etc/passwd",
    "..\\..\\boot.ini",
    "/etc/passwd",
    "CON",
    "{",
    "}",
    "{}",
    "{0}",
    "{PatientID!r}",
    "{PatientID.__class__}",
    "{PatientID[0]}",
    "{PatientID:>99999999999}",
    "{{PatientID}}",
    "<script>alert(1)</script>",
    "'; DROP TABLE jobs; --",
    "%",
    "_",
    "*",
    "?",
    "\u202egnp.exe",
    "\u0430dmin",  # a Cyrillic letter
    "e\u0301",
    "\ufeff",
    "\U0001f9e0",
    "NaN",
    "Infinity",
    "1e400",
    "0x10",
    "-0",
    "(a|a)*b",
    "(" * 2000,
    "((a{1000}){1000}){1000}",
    "[",
    "\\",
    "\\1",
    "\\9",
    "(?P<a>x)(?P<a>y)",
    "Mon-Fri 18:00-07:00",
    "Mon-Fri 24:00-00:00",
    "18:00-18:00",
    "Xyz",
    "-,-",
    "2026-03-02T14:00",
    "PatientID",
    "patientid",
    "0010,0020",
    '(0029,"X",01)',
    "(60xx,4000)",
    "RequestAttributesSequence[*].Modality",
    "RequestAttributesSequence[999999999].Modality",
    "PatientID[0].PatientID",
    "FFFE,E000",
    "0002,0010",
    "SpecificCharacterSet",
    "PixelData",
    "SOPInstanceUID",
    "modality:x",
    "webhook:",
    ":",
    "http://169.254.169.254/",
    "10.0.0.0/8",
    "10.0.0.0/99",
    "::ffff:1.2.3.4/64",
    "1.2.840.10008.1.2.4.50",
)

NUMBERS = (
    0, -1, 1, 2**31, -(2**31) - 1, 2**63, -(2**63) - 1, 2**64, 10**30, 10**400,
    0.1, -0.0, 1e-320, 1.7e308, -1.7e308, 1e16,
)  # fmt: skip


def readme_examples() -> list[Any]:
    """Return every JSON value that the README shows, blocks and bodies of commands."""
    text = README.read_text(encoding="utf-8")
    found = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    found += re.findall(r"-d '(\{.*?\})'", text, re.DOTALL)
    return [json.loads(one) for one in found]


def _members(value: Any) -> Iterator[str]:
    inside = value.values() if isinstance(value, dict) else value
    if isinstance(value, dict):
        yield from value
    if isinstance(value, dict | list):
        for inner in inside:
            yield from _members(inner)


EXAMPLES = readme_examples()

NAMES = sorted({name for example in EXAMPLES for name in _members(example)})
"""Names of fields that the README uses."""


def scalars() -> st.SearchStrategy[Any]:
    return st.one_of(
        st.none(),
        st.booleans(),
        st.sampled_from(NUMBERS),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.sampled_from(TEXTS),
        st.text(max_size=12),
    )


def json_values() -> st.SearchStrategy[Any]:
    names = st.sampled_from([*NAMES, *TEXTS[:20]]) | st.text(max_size=8)
    return st.recursive(
        scalars(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
        max_leaves=12,
    )


@st.composite
def damaged(draw: st.DrawFn, seeds: tuple[Any, ...]) -> Any:
    """Draw a good value and change it in some places."""
    value = copy.deepcopy(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 3))):
        places = [*_places(value)]
        value = _changed(value, draw(st.sampled_from(places)), draw)
    return value


def _places(value: Any, place: Place = ()) -> Iterator[Place]:
    yield place
    if isinstance(value, dict | list):
        for step, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(inner, (*place, step))


def _changed(value: Any, place: Place, draw: st.DrawFn) -> Any:
    if not place:
        return _twisted(value, draw)
    parent: Any = value
    for step in place[:-1]:
        parent = parent[step]
    match draw(st.sampled_from(["twist", "twist", "twist", "drop", "again", "swap"])):
        case "drop":
            del parent[place[-1]]
        case "again" if isinstance(parent, list):
            parent += copy.deepcopy(parent[-1:])
        case "swap" if isinstance(parent, dict):
            parent[draw(st.sampled_from(NAMES))] = parent.pop(place[-1])
        case _:
            parent[place[-1]] = _twisted(parent[place[-1]], draw)
    return value


def _twisted(value: Any, draw: st.DrawFn) -> Any:
    match draw(st.sampled_from(["scalar", "scalar", "value", "wrap", "object", "deep", "near"])):
        case "value":
            return draw(json_values())
        case "wrap":
            return [value]
        case "object":
            return {draw(st.sampled_from(NAMES)): value}
        case "deep":
            for _ in range(draw(st.sampled_from([5, 40, 200]))):
                value = {"Not": value} if draw(st.booleans()) else [value]
            return value
        case "near" if isinstance(value, str):
            return value + draw(st.sampled_from(TEXTS))
        case "near" if isinstance(value, int | float):
            return -value
        case _:
            return draw(scalars())
