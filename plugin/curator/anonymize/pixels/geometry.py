"""Boxes of pixels: from the rectangles of rules, clipped to the image, and what is around them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor

from curator.anonymize.pixels.expression import Expression, parse


@dataclass(frozen=True, slots=True, order=True)
class Box:
    """Pixels from `left` and `top` to before `right` and `bottom`, never empty."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle of a rule, with edges that may depend on the size of the image.

    Parameters
    ----------
    left, top, width, height : int or Expression
        As in the rule.
    """

    left: int | Expression
    top: int | Expression
    width: int | Expression
    height: int | Expression

    def box(self, rows: int, columns: int) -> Box | None:
        """Return every pixel of the image that the area touches, None where there is none.

        Raises
        ------
        ValueError
            If an expression divides by zero for this image.
        """
        left, top, width, height = (
            edge.exact(rows, columns) if isinstance(edge, Expression) else Fraction(edge)
            for edge in (self.left, self.top, self.width, self.height)
        )
        if width <= 0 or height <= 0:
            return None
        return clipped(
            floor(left), floor(top), ceil(left + width), ceil(top + height), rows, columns
        )


def area(rectangle: Iterable[int | str]) -> Area:
    """Compile a rectangle of a profile.

    Raises
    ------
    ValueError
        If an edge is no expression.
    """
    left, top, width, height = (
        parse(edge) if isinstance(edge, str) else edge for edge in rectangle
    )
    return Area(left, top, width, height)


def clipped(left: int, top: int, right: int, bottom: int, rows: int, columns: int) -> Box | None:
    """Return what of a box lies within an image, None where nothing does."""
    left, top = max(left, 0), max(top, 0)
    right, bottom = min(right, columns), min(bottom, rows)
    return Box(left, top, right, bottom) if left < right and top < bottom else None


def outside(boxes: Iterable[Box], rows: int, columns: int) -> tuple[Box, ...]:
    """Return boxes that cover every pixel of an image that is in none of `boxes`, each once."""
    boxes = sorted(boxes)
    edges = sorted({0, rows, *(box.top for box in boxes), *(box.bottom for box in boxes)})
    found: list[Box] = []
    for top, bottom in pairwise(edges):
        left = 0
        for box in boxes:
            if box.top > top or box.bottom < bottom:
                continue
            if box.left > left:
                found.append(Box(left, top, box.left, bottom))
            left = max(left, box.right)
        if left < columns:
            found.append(Box(left, top, columns, bottom))
    return tuple(found)
