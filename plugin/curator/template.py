"""Values that a rule writes: a constant, or a template over elements of the original.

``"{StudyID}-{Modality}"``: what stands in braces is an element; ``{{`` is a brace.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from string import Formatter

from curator.conditions import parse_element
from curator.dicom.tags import Path


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template: text, and the elements whose values stand between it."""

    parts: tuple[str | Path, ...]

    @property
    def paths(self) -> tuple[Path, ...]:
        """The elements that have to be read; none for a constant."""
        return tuple(part for part in self.parts if isinstance(part, Path))

    def fill(self, values: Callable[[Path], tuple[str, ...]]) -> str:
        """Return the text with the values of the elements, several joined by spaces.

        Backslashes in them, which would separate values, become slashes.
        """
        return "".join(
            part if isinstance(part, str) else " ".join(values(part)).replace("\\", "/")
            for part in self.parts
        )


def parse_template(text: str) -> Template:
    """Parse a template.

    Raises
    ------
    ValueError
        If a brace is left open, an element is unknown, or a format is given.
    """
    parts: list[str | Path] = []
    for literal, name, spec, conversion in Formatter().parse(text):
        if literal:
            parts.append(literal)
        if name is None:
            continue
        if spec or conversion:
            raise ValueError(f"{{{name}}} takes no format")
        parts.append(parse_element(name))
    return Template(tuple(parts))
