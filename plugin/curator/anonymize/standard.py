"""The tables of PS3.15 annex E, and what of PS3.3 their codes depend on.

The tables come along as CSV; each begins with a comment that names its edition.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from curator.anonymize.profile import Option

_COLUMNS = {
    "rtn_safe_priv": Option.RETAIN_SAFE_PRIVATE,
    "rtn_uids": Option.RETAIN_UIDS,
    "rtn_dev_id": Option.RETAIN_DEVICE_IDENTITY,
    "rtn_inst_id": Option.RETAIN_INSTITUTION_IDENTITY,
    "rtn_pat_chars": Option.RETAIN_PATIENT_CHARACTERISTICS,
    "rtn_long_full_dates": Option.RETAIN_LONGITUDINAL_FULL_DATES,
    "rtn_long_modif_dates": Option.RETAIN_LONGITUDINAL_MODIFIED_DATES,
    "clean_desc": Option.CLEAN_DESCRIPTORS,
    "clean_struct_cont": Option.CLEAN_STRUCTURED_CONTENT,
    "clean_graph": Option.CLEAN_GRAPHICS,
}

_CURVES = "50xxxxxx"
_OVERLAYS = "60xx"
_PRIVATE = "ggggeeee"


class Code(StrEnum):
    """The action codes of PS3.15 E.1, the most protective first."""

    X = "X"
    Z = "Z"
    D = "D"
    U = "U"
    C = "C"
    K = "K"


PROTECTION = tuple(Code)
"""Codes in the order in which they protect: what is gone tells least, what is kept most."""


class AttributeType(StrEnum):
    """Whether an attribute has to be there (PS3.5 7.4); the conditions of 1C and 2C are met."""

    ONE = "1"
    TWO = "2"
    THREE = "3"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of Table E.1-1 or E.3.4-1.

    Parameters
    ----------
    tag : str
        Eight digits, some of them ``x`` in repeating groups; a code value in Table E.3.4-1.
    keyword, name : str
        Of PS3.6; the keyword is empty where one row is about many attributes.
    basic : str
        The code of the Basic Profile as the table has it: ``X/Z/D``.
    options : mapping of Option to Code
        The codes of the options that say something about it.
    value_type : str, optional
        Of a content item.
    """

    tag: str
    keyword: str
    name: str
    basic: str
    options: Mapping[Option, Code]
    value_type: str = ""

    @property
    def codes(self) -> tuple[Code, ...]:
        """The codes of the Basic Profile, the one for type 3 first; U* is U."""
        return tuple(Code(code.rstrip("*")) for code in self.basic.split("/"))

    def code(self, type_of: AttributeType | None) -> Code:
        """Return the one of a compound code that an attribute type asks for (PS3.15 E.1).

        Parameters
        ----------
        type_of : AttributeType or None
            None where unknown: then the code that suits every type for which the row has one.
        """
        codes = self.codes
        if len(codes) == 1 or type_of is AttributeType.THREE:
            return codes[0]
        if type_of is AttributeType.TWO:
            return next(code for code in codes if code is not Code.X)
        if type_of is AttributeType.ONE and codes[-1] is Code.Z:
            return Code.D
        return codes[-1]


@dataclass(frozen=True, slots=True)
class SafePrivate:
    """A row of Table E.3.10-1: a private attribute that identifies nobody.

    Parameters
    ----------
    vr : str
        Value representation; empty where the table leaves it open.
    """

    creator: str
    group: int
    element: int
    vr: str
    meaning: str

    def __str__(self) -> str:
        return f'({self.group:04X},"{self.creator}",{self.element:02X})'


@dataclass(frozen=True, slots=True)
class Standard:
    """All tables.

    Parameters
    ----------
    rows : tuple of Row
        Table E.1-1 in its order.
    by_tag : mapping of int to Row
        Those of one attribute.
    overlays : mapping of int to Row
        Those of group 60xx, by element number.
    curves, private : Row
        Those of group 50xx, and of all private attributes.
    safe_private : mapping
        Table E.3.10-1 by creator, group and number within the block.
    content : mapping
        Table E.3.4-1 by code value and coding scheme.
    compound_types : mapping
        Attribute types by SOP Class UID and tag, where the code depends on them.
    module_types : mapping of int to AttributeType
        Attribute types in the modules that instances share.
    """

    rows: tuple[Row, ...]
    by_tag: Mapping[int, Row]
    overlays: Mapping[int, Row]
    curves: Row
    private: Row
    safe_private: Mapping[tuple[str, int, int], SafePrivate]
    content: Mapping[tuple[str, str], tuple[Row, ...]]
    compound_types: Mapping[tuple[str, int], AttributeType]
    module_types: Mapping[int, AttributeType]

    def row(self, tag: int) -> Row | None:
        """Return the row of an attribute of the standard, or None where there is none."""
        if found := self.by_tag.get(tag):
            return found
        if is_curve(tag):
            return self.curves
        return self.overlays.get(tag & 0xFFFF) if is_overlay(tag) else None


def is_curve(tag: int) -> bool:
    """Tell whether a tag is in a group 50xx, which is even (PS3.5 7.6)."""
    return tag >> 24 == 0x50 and not tag >> 16 & 1


def is_overlay(tag: int) -> bool:
    """Tell whether a tag is in a group 60xx, which is even (PS3.5 7.6)."""
    return tag >> 24 == 0x60 and not tag >> 16 & 1


def parse_standard(texts: Mapping[str, str]) -> Standard:
    """Parse the tables.

    Parameters
    ----------
    texts : mapping of str to str
        The content of each file by its name without suffix.

    Raises
    ------
    ValueError, KeyError
        If a table is missing or holds what is not known here.
    """
    rows = tuple(_row(found) for found in _records(texts["ps3_15_e1_1"]))
    named = {row.tag: row for row in rows}
    return Standard(
        rows=rows,
        by_tag={int(row.tag, 16): row for row in rows if _is_number(row.tag)},
        overlays={int(row.tag[4:], 16): row for row in rows if row.tag.startswith(_OVERLAYS)},
        curves=named[_CURVES],
        private=named[_PRIVATE],
        safe_private={
            (safe.creator, safe.group, safe.element): safe
            for safe in map(_safe_private, _records(texts["safe_private"]))
        },
        content=_content(texts["ps3_15_e3_4_1"]),
        compound_types={
            (found["sop_class_uid"], int(found["tag"], 16)): _type(found["type"])
            for found in _records(texts["compound_types"])
        },
        module_types=_module_types(texts["ps3_3_modules"]),
    )


def _records(text: str) -> Iterator[dict[str, str]]:
    return csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))


def _row(found: Mapping[str, str]) -> Row:
    return Row(found["tag"], found["keyword"], found["name"], found["basic"], _options(found))


def _options(found: Mapping[str, str]) -> dict[Option, Code]:
    return {option: Code(found[column]) for column, option in _COLUMNS.items() if found.get(column)}


def _is_number(tag: str) -> bool:
    return "x" not in tag and tag != _PRIVATE


def _safe_private(found: Mapping[str, str]) -> SafePrivate:
    group, _, element = found["tag"].partition(",")
    return SafePrivate(
        found["private_creator"],
        int(group, 16),
        int(element.removeprefix("xx"), 16),
        found["vr"].partition("/")[0],
        found["meaning"],
    )


def _content(text: str) -> dict[tuple[str, str], tuple[Row, ...]]:
    rows: dict[tuple[str, str], tuple[Row, ...]] = {}
    for found in _records(text):
        # a version follows the designator in brackets
        key = found["code_value"], found["coding_scheme"].partition(" [")[0]
        row = Row(
            found["code_value"],
            "",
            found["code_meaning"],
            found["basic"],
            _options(found),
            found["value_type"],
        )
        rows[key] = (*rows.get(key, ()), row)
    return rows


def _type(text: str) -> AttributeType:
    return AttributeType(text.removesuffix("C"))


def _module_types(text: str) -> dict[int, AttributeType]:
    """Return the strictest type that one of the modules has for an attribute."""
    types: dict[int, AttributeType] = {}
    for found in _records(text):
        tag, type_of = int(found["tag"], 16), _type(found["type"])
        types[tag] = min(type_of, types.get(tag, type_of))
    return types
