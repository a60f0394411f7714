"""Where known devices burn text into their images: a table of rectangles, and what it asks for.

Conditions of the table are ``Element contains Text``, ``Element containsIgnoreCase Text`` (both
without regard to case) and ``Element equals Text``, joined by ``AND``; of those with ``any-of:``
before them one has to hold. In a text and in every column, ``|`` separates alternatives, and ``+``
in a text joins what all has to occur.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from curator.anonymize.pixels.geometry import Box, clipped
from curator.conditions import number
from curator.dicom.element import STRING_VRS
from curator.dicom.errors import TagError
from curator.dicom.tags import Path, dictionary_vr, parse_path

COLUMNS: Final = (
    "source", "modality", "manufacturer", "model", "rows", "columns", "other_condition",
    "x", "y", "w", "h", "label",
)  # fmt: skip

_CLAUSE: Final = re.compile(r"(any-of:)?(\S+) (containsIgnoreCase|contains|equals) (\S.*)")
_PLUS: Final = re.compile(r"\+(?=.)")

Texts = Callable[[Path], str]
"""Gives the values of an element in capitals, several joined by backslashes; empty for none."""


@dataclass(frozen=True, slots=True)
class Alternatives:
    """Texts of which one has to occur; an empty tuple of them asks for nothing.

    Parameters
    ----------
    texts : tuple of tuple of str
        In capitals; the parts of one text all have to occur.
    whole : bool
        Whether a value has to be the text.
    """

    texts: tuple[tuple[str, ...], ...]
    whole: bool = False

    def fit(self, value: str) -> bool:
        """Tell whether one of the texts occurs in `value`, which is in capitals."""
        if not self.texts:
            return True
        if self.whole:
            return any(_equal(one, *parts) for one in value.split("\\") for parts in self.texts)
        return any(all(_occurs(part, value) for part in parts) for parts in self.texts)


@dataclass(frozen=True, slots=True)
class Clause:
    """One condition on an element."""

    path: Path
    texts: Alternatives

    def holds(self, texts: Texts) -> bool:
        """Decide it for an instance."""
        return self.texts.fit(texts(self.path))


@dataclass(frozen=True, slots=True)
class Image:
    """What the table asks of every image; texts in capitals."""

    modality: str
    manufacturer: str
    model: str
    rows: int
    columns: int


@dataclass(frozen=True, slots=True)
class Device:
    """One row of the table.

    Parameters
    ----------
    name : str
        For the report; holds nothing of an instance.
    modality, manufacturer, model : Alternatives
        What the image is of.
    rows, columns : frozenset of int
        Sizes that the rectangle is known for; empty for any.
    all_of, any_of : tuple of Clause
        Further conditions.
    rectangle : tuple of four int
        Left, top, width, height in pixels.
    """

    name: str
    modality: Alternatives
    manufacturer: Alternatives
    model: Alternatives
    rows: frozenset[int]
    columns: frozenset[int]
    all_of: tuple[Clause, ...]
    any_of: tuple[Clause, ...]
    rectangle: tuple[int, int, int, int]

    def suits(self, image: Image) -> bool:
        """Tell whether the columns of the row fit an image."""
        return (
            (not self.rows or image.rows in self.rows)
            and (not self.columns or image.columns in self.columns)
            and self.modality.fit(image.modality)
            and self.manufacturer.fit(image.manufacturer)
            and self.model.fit(image.model)
        )

    def holds(self, texts: Texts) -> bool:
        """Tell whether the further conditions of the row hold for an instance."""
        return all(clause.holds(texts) for clause in self.all_of) and (
            not self.any_of or any(clause.holds(texts) for clause in self.any_of)
        )

    def box(self, rows: int, columns: int) -> Box | None:
        """Return the rectangle, clipped to an image; None where nothing is left."""
        left, top, width, height = self.rectangle
        return clipped(left, top, left + width, top + height, rows, columns)


@dataclass(frozen=True)
class Devices:
    """The table.

    Parameters
    ----------
    devices : tuple of Device
        Its rows.
    """

    devices: tuple[Device, ...]
    _suitable: Callable[[Image], tuple[Device, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        def suitable(image: Image) -> tuple[Device, ...]:
            return tuple(device for device in self.devices if device.suits(image))

        object.__setattr__(self, "_suitable", lru_cache(maxsize=1024)(suitable))

    def matching(self, image: Image, texts: Texts) -> tuple[Device, ...]:
        """Return the rows that are for an instance."""
        return tuple(device for device in self._suitable(image) if device.holds(texts))


def parsed(lines: Iterable[str]) -> Devices:
    """Parse the table: lines of comment, a line of column names, rows of CSV.

    Raises
    ------
    ValueError
        If anything in it is not understood, with the number of its row.
    """
    reader = csv.DictReader(line for line in lines if not line.startswith("#"))
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise ValueError(f"the columns have to be {', '.join(COLUMNS)}")
    devices: list[Device] = []
    for place, row in enumerate(reader, 1):
        try:
            devices.append(_device(row))
        except (ValueError, TagError, TypeError, AttributeError) as error:
            raise ValueError(f"row {place}: {error}") from None
    return Devices(tuple(devices))


def _device(row: dict[str, str]) -> Device:
    clauses = [_clause(text) for text in row["other_condition"].split(" AND ") if text]
    left, top, width, height = (int(row[name]) for name in ("x", "y", "w", "h"))
    if min(left, top) < 0 or min(width, height) < 1:
        raise ValueError("the rectangle is empty")
    named = [row[name] for name in ("modality", "manufacturer", "model", "other_condition")]
    return Device(
        name=f"Device {' '.join(filter(None, named))} [{left}, {top}, {width}, {height}]",
        modality=_wanted(row["modality"], whole=True),
        manufacturer=_wanted(row["manufacturer"]),
        model=_wanted(row["model"]),
        rows=frozenset(int(text) for text in _split(row["rows"])),
        columns=frozenset(int(text) for text in _split(row["columns"])),
        all_of=tuple(clause for is_any, clause in clauses if not is_any),
        any_of=tuple(clause for is_any, clause in clauses if is_any),
        rectangle=(left, top, width, height),
    )


def _clause(text: str) -> tuple[bool, Clause]:
    match = _CLAUSE.fullmatch(text)
    if match is None:
        raise ValueError("a condition is not understood")
    any_of, element, operator, wanted = match.groups()
    path = parse_path(element)
    if not isinstance(path.tag, int) or dictionary_vr(path.tag, None) not in STRING_VRS:
        raise ValueError(f"{element} holds no text")
    return any_of is not None, Clause(
        parse_path(element), _wanted(wanted, whole=operator == "equals")
    )


def _split(text: str) -> list[str]:
    return [part.strip().upper() for part in text.split("|") if part.strip()]


def _wanted(text: str, whole: bool = False) -> Alternatives:
    return Alternatives(tuple(tuple(_PLUS.split(part)) for part in _split(text)), whole)


def _equal(value: str, text: str) -> bool:
    return value == text or (number(text) is not None and number(value) == number(text))


def _occurs(text: str, value: str) -> bool:
    """Tell whether a text occurs; one of two characters, such as GE, as a word of its own."""
    if len(text) > 2:
        return text in value
    return text in re.split(r"[^0-9A-Z]+", value)
