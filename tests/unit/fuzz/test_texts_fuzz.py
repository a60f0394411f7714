"""Every little language takes a text or refuses it by ValueError, and what it takes can be used."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator import template
from curator.anonymize.pixels import expression
from curator.anonymize.selector import (
    creator_selector,
    keyword_selector,
    tag_selector,
    vr_selector,
)
from curator.conditions import compile_pattern, compile_wildcards, occurs
from curator.dicom.tags import MAXIMUM_DEPTH, parse_path
from curator.models import InvalidModel, validate
from curator.notation import from_text
from curator.reshape import naming
from curator.route.destinations.file_path import LONGEST_NAME, parse_path_template
from curator.route.rule import Schedule
from curator.route.timetable import next_time
from curator.route.window import Window
from unit.fuzz.cases import cases
from unit.fuzz.hostile import TEXTS

NOW = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)

VALUE = "../..\\\0\r\n\u202e{PatientID} 1e400"


def use_path(text: str) -> None:
    path = parse_path(text)
    assert parse_path(str(path)) == path
    assert len(path.steps) <= MAXIMUM_DEPTH


def use_window(text: str) -> None:
    window = Window.parse(text)
    assert window.is_open(window.next_opening(NOW))


def use_entry(text: str) -> None:
    try:
        schedule = validate(Schedule, {"At": [text]})
    except InvalidModel as error:
        raise ValueError(str(error)) from None
    assert next_time(schedule, NOW) > NOW


def use_file_path(text: str) -> None:
    names = parse_path_template(text).fill(lambda _path: (VALUE,))
    for name in names:
        assert name not in ("", ".", "..")
        assert not set(name) & set("/\\\0\r\n")
        assert len(name.encode()) <= LONGEST_NAME + 1


def use_pattern(text: str) -> None:
    assert occurs(compile_pattern(text), VALUE) in (True, False)


def use_wildcards(text: str) -> None:
    assert occurs(compile_wildcards(text), VALUE) in (True, False)


def use_expression(text: str) -> None:
    parsed = expression.parse(text)
    with suppress(ValueError):  # divided by nothing, which the image decides
        assert isinstance(parsed.value(512, 7), int)


LANGUAGES: dict[str, tuple[Callable[[str], object], tuple[str, ...]]] = {
    "path": (use_path, ("RequestAttributesSequence[*].", "[0].", "(0029,", '"X"', "0010", ",-")),
    "window": (use_window, ("Mon", "-", "Fri", " ", "18:00", "24:00", ",", ";", "00:00")),
    "entry": (use_entry, ("Mon", "-", "Sun", " ", "02:30", ",", "23:59")),
    "naming": (
        lambda text: naming.parse_template(text).fill(lambda _: (VALUE,), VALUE, 1, 64),
        ("{", "}", "PatientID", ":", "08.2f", "!r", "[0]", ".x", "Group", "%", "99", "x", "="),
    ),
    "template": (
        lambda text: template.parse_template(text).fill(lambda _: (VALUE, "b")),
        ("{", "}", "PatientID", "StudyID", "\\", ".", "[*]", "x"),
    ),
    "file path": (
        use_file_path,
        ("{SOPInstanceUID}", "/", ".", "..", "{PatientID}", "CON", "~", " ", "a" * 90),
    ),
    "pattern": (use_pattern, ("(", ")", "*", "{1000}", "[", "]", "\\", "P<a>", "?", ".", "|", "^")),
    "wildcards": (use_wildcards, ("*", "?", "[", "\\", "(", "a", "\n", ".")),
    "expression": (
        use_expression,
        ("Rows", "Columns", "+", "-", "*", "/", "(", ")", "0", "12", " ", ".", "9" * 400),
    ),
    "tag": (tag_selector, ("(60xx,", "4000)", "x", "0010", ",", '"A*"', "[*].", "PatientID")),
    "vr": (vr_selector, ("DA", "P", "N", "xx")),
    "creator": (creator_selector, ("*", "?", "\\", "[", "SIEMENS")),
    "keyword": (keyword_selector, ("*", "?", "Patient", "Date", "[")),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_any_text_is_taken_or_refused(language):
    use, words = LANGUAGES[language]
    built = st.lists(st.sampled_from(words), max_size=8).map("".join)

    @cases(30)
    @given(built | built | st.sampled_from(TEXTS) | st.text(max_size=30))
    def check(text: str) -> None:
        with suppress(ValueError):
            use(text)

    check()


@pytest.mark.parametrize("depth", [MAXIMUM_DEPTH + 1, 100_000])
def test_a_path_that_leads_deeper_than_any_instance_is_refused(depth):
    """What was parsed stays in memory, so its length is bounded."""
    step = "RequestAttributesSequence[0]."
    parse_path(step * MAXIMUM_DEPTH + "Modality")
    with pytest.raises(ValueError, match="at most"):
        parse_path(step * depth + "Modality")


YAML_WORDS = (
    "a: ", "b", "\n", "  ", "- ", "? ", "!!bool ", "!!int ", "!!float ", "!!null ", "!!str ",
    "!!map ", "!!seq ", "!x ", "&a ", "*a", "<<: ", "|\n", ">\n", '"', "'",
    "\\U00110000", "\\ud800", "{", "}", "[", "]", ", ", "1", "0x", "_", ":", "1.0e+999",
    ".inf", "~", "yes", "2020-01-01",
    "%YAML 1.1\n---\n", "---\n", "...\n", "#", "\t", "\ufeff", "\0", "59:" * 300,
)  # fmt: skip


@cases(120)
@given(st.lists(st.sampled_from(YAML_WORDS), max_size=9).map("".join))
def test_any_yaml_is_read_as_json_or_refused(text):
    try:
        found = from_text(text, ".yaml")
    except ValueError:
        return
    json.dumps(found, allow_nan=False)


BOMBS = {
    "aliases": "a: &a [x,x,x]\nb: &b [*a,*a,*a]\nc: &c [*b,*b,*b]\nd: [*c,*c,*c]\n",
    "an alias of itself": "&a [*a]",
    "merge keys": "a: &a {x: 1}\nb: {<<: *a}",
    "sequences": "[" * 20_000,
    "mappings": "{a: " * 5_000,
    "dashes": "- " * 50_000,
    "questions": "? " * 50_000,
    "digits": "a: " + "9" * 100_000,
    "an object of Python": "!!python/object/apply:os.system ['true']",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_of_yaml_is_refused(name):
    with pytest.raises(ValueError, match=r"anchors|nested|digits|no JSON"):
        from_text(BOMBS[name], ".yaml")
