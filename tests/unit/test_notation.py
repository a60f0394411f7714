"""Profiles as text: JSON, and YAML that says what JSON can say."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from curator.notation import MAX_LENGTH, from_text

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text("abcÄ: -#'\"01", max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abc0", max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(VALUES)
def test_both_notations_say_the_same(value):
    assert from_text(json.dumps(value), ".json") == value
    assert from_text(yaml.safe_dump(value, allow_unicode=True), ".yaml") == value


def test_a_profile_is_read_from_yaml():
    text = 'Name: trial\nVersion: "3"\nRules:\n  - {Tag: PatientID, Action: Pseudonym}\n'
    expected = {
        "Name": "trial",
        "Version": "3",
        "Rules": [{"Tag": "PatientID", "Action": "Pseudonym"}],
    }
    assert from_text(text, ".yml") == expected


def test_a_byte_order_mark_is_no_part_of_the_text():
    assert from_text('\ufeff{"Name": "a"}', ".json") == {"Name": "a"}


@pytest.mark.parametrize(
    ("text", "suffix", "problem"),
    [
        ('{"Name": }', ".json", r"is not JSON: Expecting value \(line 1, column 10\)"),
        ('{"Name": "a", "Name": "b"}', ".json", "has the same field twice in one object"),
        ('{"Length": NaN}', ".json", "NaN, which is no JSON"),
        ("[" * 100_000, ".json", "nested too deeply"),
        ("[" * 1_500, ".yaml", "nested too deeply"),
        ("Name: a\nName: b", ".yaml", r"twice in one object \(line 2, column 1\)"),
        ("a: &x 1\nb: *x", ".yaml", r"anchors and aliases are not taken \(line 1, column 4\)"),
        ("a: *x", ".yaml", "anchors and aliases are not taken"),
        ("Version: 2024-01-02", ".yaml", r"a timestamp is no JSON; .* \(line 1, column 10\)"),
        ("a: !!binary aGk=", ".yaml", "a binary is no JSON"),
        ("a: !!set {b, c}", ".yaml", "a set is no JSON"),
        ("a: !!python/object/apply:os.system [ls]", ".yaml", "is no JSON"),
        ("a: !own b", ".yaml", "is no JSON"),
        ("<<: {a: 1}", ".yaml", "a merge is no JSON"),
        ("1: a", ".yaml", "the name of a field is a text"),
        ("a: .nan", ".yaml", "such a number is no JSON"),
        ("a: -.inf", ".yaml", "such a number is no JSON"),
        ("a: 1.0e+400", ".yaml", r"such a number is no JSON \(line 1, column 4\)"),
        ('{"a": 1e400}', ".json", "a number that is too large"),
        ("a: !!bool maybe", ".yaml", r"this is no bool \(line 1, column 4\)"),
        ('a: !!int ""', ".yaml", "this is no int"),
        ('a: !!float ""', ".yaml", "this is no float"),
        ("a: 0x_", ".yaml", "this is no int"),
        ("a: [1", ".yaml", "is not YAML"),
        ("a: 1\n---\nb: 2", ".yaml", "is not YAML: but found another document"),
        ("a: \x00", ".yaml", "is not YAML"),
        ("{}", ".txt", 'is neither .json nor .yaml, but ".txt"'),
        (" " * (MAX_LENGTH + 1), ".json", "more than"),
    ],
)
def test_what_is_no_plain_json_is_refused_with_its_place(text, suffix, problem):
    with pytest.raises(ValueError, match=problem):
        from_text(text, suffix)


def test_a_text_that_looks_like_a_number_is_a_text_in_quotation_marks():
    assert from_text('a: ".inf"', ".yaml") == {"a": ".inf"}


@given(st.text(max_size=40), st.sampled_from([".json", ".yaml"]))
def test_any_text_is_read_or_refused(text, suffix):
    try:
        found = from_text(text, suffix)
    except ValueError:
        return
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_a_number_of_too_many_digits_is_refused(suffix):
    number = int("1234567890" * 3)
    assert from_text(f'{{"a": {number}}}', suffix) == {"a": number}
    with pytest.raises(ValueError, match=r"^has a number of too many digits$"):
        from_text('{"a": ' + "1" * 5000 + "}", suffix)
