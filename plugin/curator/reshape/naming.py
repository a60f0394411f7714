"""Names of new studies and series from the values of their instances.

``"{SeriesDescription} TE={EchoTime:g}"``: what stands in braces is an element, or ``Group`` (name
of the group) or ``Index`` (its number, from 1), with an optional format as in Python's ``format``.
Only formats of the kind ``08.2f`` are taken; nothing is evaluated.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from string import Formatter

from curator.conditions import number, parse_element
from curator.dicom.tags import Path

_FORMAT = re.compile(r"[<>^=]?[+\- ]?0?\d{0,2}(\.\d{1,2})?[deEfgGsxX%]?")

#: Fields that are no element.
_SPECIAL = ("Group", "Index")

#: Longest value by value representation (PS3.5 6.2), of the elements that can be named.
LIMITS = {
    "SeriesDescription": 64,
    "StudyDescription": 64,
    "StudyID": 16,
    "AccessionNumber": 16,
    "SeriesNumber": 12,
}


@dataclass(frozen=True)
class _Field:
    """A field of a template: ``element`` is None for the special ones."""

    name: str
    element: Path | None
    format: str


@dataclass(frozen=True)
class Template:
    """A parsed template."""

    parts: tuple[str | _Field, ...]

    def paths(self) -> Iterator[Path]:
        """Yield the elements that have to be read."""
        for part in self.parts:
            if isinstance(part, _Field) and part.element is not None:
                yield part.element

    def fill(
        self, values: Callable[[Path], tuple[str, ...]], group: str, index: int, limit: int
    ) -> str:
        """Write the name, without what no text element may hold, cut to a length."""
        special = {"Group": group, "Index": str(index)}
        text = "".join(
            part
            if isinstance(part, str)
            else _format(
                special[part.name] if part.element is None else " ".join(values(part.element)),
                part.format,
            )
            for part in self.parts
        )
        return _printable(text)[:limit].strip()


def parse_template(text: str) -> Template:
    """Parse a template.

    Raises
    ------
    ValueError
        If a brace is left open, an element is unknown, or a format is not of the simple kind.
    """
    parts: list[str | _Field] = []
    for literal, name, spec, conversion in Formatter().parse(text):
        if literal:
            parts.append(literal)
        if name is None:
            continue
        if conversion or not _FORMAT.fullmatch(spec or ""):
            raise ValueError(f"the format of {{{name}}} is not of the kind 08.2f")
        element = None if name in _SPECIAL else parse_element(name)
        parts.append(_Field(name, element, spec or ""))
    return Template(tuple(parts))


def _format(text: str, spec: str) -> str:
    if not spec:
        return text
    value = number(text)
    if value is None:
        return text
    whole = spec[-1] in "dxX" or (spec[-1].isdigit() and "." not in spec and value.is_integer())
    try:
        return format(int(value) if whole else value, spec)
    except (ValueError, OverflowError):
        return text


def _printable(text: str) -> str:
    """Replace backslash, which separates values, and control characters (PS3.5 6.2)."""
    return "".join("/" if char == "\\" else char if char.isprintable() else " " for char in text)
