"""Edges of rectangles that depend on the size of the image: ``Rows - 60``, ``Columns // 2``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Final

MAX_LENGTH: Final = 100
MAX_DEPTH: Final = 10

_TOKEN: Final = re.compile(r"\s*(?:([0-9]{1,7})(?![0-9A-Za-z_.])|([A-Za-z_]+)|(//|[-+*/()]))")
_NAMES: Final = ("Rows", "Columns")
_SUMS: Final = ("+", "-")
_PRODUCTS: Final = ("*", "/", "//")


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression.

    Parameters
    ----------
    postfix : tuple of (int or str)
        Numbers, ``Rows``, ``Columns`` and operators, the operators after their operands.
    """

    postfix: tuple[int | str, ...]

    def exact(self, rows: int, columns: int) -> Fraction:
        """Compute the expression for an image of ``rows`` by ``columns`` pixels, unrounded.

        Raises
        ------
        ValueError
            If it divides by zero for this image.
        """
        stack: list[Fraction] = []
        sizes = {"Rows": rows, "Columns": columns}
        for token in self.postfix:
            if isinstance(token, int):
                stack.append(Fraction(token))
            elif token in sizes:
                stack.append(Fraction(sizes[token]))
            else:
                right = stack.pop()
                stack.append(_applied(token, stack.pop(), right))
        return stack.pop()

    def value(self, rows: int, columns: int) -> int:
        """Compute the expression for an image of ``rows`` by ``columns`` pixels, rounded down.

        Raises
        ------
        ValueError
            If it divides by zero for this image.
        """
        return floor(self.exact(rows, columns))


def parse(text: str) -> Expression:
    """Parse an expression of whole numbers, ``Rows``, ``Columns``, ``+ - * / //`` and parentheses.

    ``/`` divides exactly, ``//`` rounds down; rectangles take in every pixel they touch.

    Raises
    ------
    ValueError
        If it is none, is longer than ``MAX_LENGTH`` or nested deeper than ``MAX_DEPTH``.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"an expression has at most {MAX_LENGTH} characters")
    parser = _Parser(_tokens(text))
    parser.sum(0)
    parser.end()
    return Expression(tuple(parser.postfix))


def _tokens(text: str) -> list[int | str]:
    tokens: list[int | str] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(
                f"character {position + 1} is not part of an expression: it may hold whole "
                "numbers, Rows, Columns, + - * / // and parentheses"
            )
        number, name, operator = match.groups()
        if name is not None and name not in _NAMES:
            raise ValueError(f"'{name}' is not known in an expression, only Rows and Columns")
        tokens.append(int(number) if number is not None else name or operator)
        position = match.end()
    return tokens


class _Parser:
    """Recursive descent; what it has read stands in ``postfix``."""

    def __init__(self, tokens: list[int | str]) -> None:
        self._tokens = tokens
        self._position = 0
        self.postfix: list[int | str] = []

    def sum(self, depth: int) -> None:
        self._product(depth)
        while (operator := self._next()) in _SUMS:
            self._position += 1
            self._product(depth)
            self.postfix.append(operator)

    def end(self) -> None:
        if (token := self._next()) != "":
            raise ValueError(f"'{token}' is not expected here")

    def _next(self) -> int | str:
        """Token to be read; the empty text at the end."""
        return self._tokens[self._position] if self._position < len(self._tokens) else ""

    def _product(self, depth: int) -> None:
        self._factor(depth)
        while (operator := self._next()) in _PRODUCTS:
            self._position += 1
            self._factor(depth)
            self.postfix.append(operator)

    def _factor(self, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise ValueError(f"an expression is nested at most {MAX_DEPTH} deep")
        part = self._next()
        self._position += 1
        if isinstance(part, int) or part in _NAMES:
            self.postfix.append(part)
        elif part == "-":
            self.postfix.append(0)
            self._factor(depth + 1)
            self.postfix.append("-")
        elif part == "(":
            self.sum(depth + 1)
            if self._next() != ")":
                raise ValueError("a parenthesis is not closed")
            self._position += 1
        elif part == "":
            raise ValueError("a number, Rows or Columns is missing at the end")
        else:
            raise ValueError(f"a number, Rows or Columns is missing before '{part}'")


def _applied(operator: str, left: Fraction, right: Fraction) -> Fraction:
    if operator == "+":
        return left + right
    if operator == "-":
        return left - right
    if operator == "*":
        return left * right
    if right == 0:
        raise ValueError("an expression divides by zero")
    return Fraction(left // right) if operator == "//" else left / right
