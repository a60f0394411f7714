"""Expressions mean what arithmetic means, and nothing else is one."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.anonymize.pixels.expression import MAX_LENGTH, parse

ROWS, COLUMNS = 480, 641


def divided(left: Fraction, right: Fraction) -> Fraction:
    return left / right


def floored(left: Fraction, right: Fraction) -> Fraction:
    return Fraction(left // right)


OPERATORS = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": divided,
    "//": floored,
}

atoms = st.one_of(
    st.integers(0, 999).map(lambda number: (str(number), Fraction(number))),
    st.just(("Rows", Fraction(ROWS))),
    st.just(("Columns", Fraction(COLUMNS))),
)


def combined(inner):
    pairs = st.tuples(inner, st.sampled_from(sorted(OPERATORS)), inner)
    return pairs.filter(lambda pair: pair[1] not in ("/", "//") or pair[2][1]).map(
        lambda pair: (
            f"({pair[0][0]} {pair[1]} {pair[2][0]})",
            OPERATORS[pair[1]](pair[0][1], pair[2][1]),
        )
    )


@given(st.recursive(atoms, combined, max_leaves=8))
def test_the_value_is_that_of_arithmetic(expression):
    text, expected = expression
    assert parse(text).exact(ROWS, COLUMNS) == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", 7),
        ("10 - 3 - 2", 5),
        ("100 // 3 // 3", 11),
        ("Rows/3*3", 480),
        ("-Rows + 500", 20),
        ("--1", 1),
        ("Columns / 2", 320),
        ("  Rows  ", 480),
        ("(Columns-1)//2", 320),
    ],
)
def test_products_go_before_sums_and_from_left_to_right(text, value):
    assert parse(text).value(ROWS, COLUMNS) == value


@pytest.mark.parametrize(
    "text",
    ["", " ", "1 +", "* 2", "(1", "1)", "()", "1 2", "Rows Columns", "rows", "Width", "1.5", "1e3",
     "0x10", "2**3", "1 % 2", "Rows.real", "__import__('os')", "a" * 300, "1+" * MAX_LENGTH + "1",
     "(" * 40 + "1" + ")" * 40, "-" * 60 + "1", "99999999"],
)  # fmt: skip
def test_what_is_no_expression_is_refused(text):
    with pytest.raises(ValueError, match=r"expression|expected|missing|closed"):
        parse(text)


@given(st.text(max_size=MAX_LENGTH + 5))
def test_nothing_but_a_value_error_comes_of_any_text(text):
    try:
        parse(text).value(ROWS, COLUMNS)
    except ValueError:
        return


@pytest.mark.parametrize("text", ["1 / 0", "1 // (Rows - 480)"])
def test_a_division_by_zero_is_a_value_error(text):
    with pytest.raises(ValueError, match="zero"):
        parse(text).value(ROWS, COLUMNS)
