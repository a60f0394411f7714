"""Paths of the files that a folder gets: a template over elements, with values made harmless.

``{PatientID}/{StudyDate}/{SOPInstanceUID}.dcm``: what stands in braces is an element. Values cannot
leave the folder, whatever is in them: separators, control characters and what some file systems
refuse become ``_``, and so does a dot at the beginning or the end of a name.
"""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from curator import template
from curator.dicom.tags import SOP_INSTANCE_UID, Path

#: Bytes of one name in UTF-8; most file systems take 255, and a temporary name is longer.
LONGEST_NAME = 180

_REFUSED = frozenset('/\\:*?"<>|')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@dataclass(frozen=True)
class PathTemplate:
    """A template: for each name on the path its parts, text or an element.

    Attributes
    ----------
    names : tuple of Template
    """

    names: tuple[template.Template, ...]

    @property
    def paths(self) -> tuple[Path, ...]:
        """The elements that have to be read."""
        return tuple(path for name in self.names for path in name.paths)

    def fill(self, values: Callable[[Path], Sequence[str]]) -> tuple[str, ...]:
        """Return the names on the path of an instance."""
        return tuple(_whole(_filled(name.parts, values)) for name in self.names)


def parse_path_template(text: str) -> PathTemplate:
    """Parse a template.

    Raises
    ------
    ValueError
        In words, if it would leave the folder, names no known element, or lacks the SOP Instance
        UID, without which instances would overwrite each other.
    """
    if not text or text.startswith("/") or text.endswith("/") or "\\" in text:
        raise ValueError("must be a relative path of a file, with / between its names")
    parsed = PathTemplate(tuple(_parse_name(name) for name in text.split("/")))
    if Path(SOP_INSTANCE_UID) not in parsed.paths:
        raise ValueError("must contain {SOPInstanceUID}, else instances would meet at one path")
    return parsed


def _parse_name(text: str) -> template.Template:
    if text.strip(" .") != text or not text:
        raise ValueError(f'the name "{text}" must not be empty, nor begin or end with . or a space')
    parsed = template.parse_template(text)
    for part in parsed.parts:
        if isinstance(part, str) and _clean(part) != part.strip():
            raise ValueError(f'the name "{text}" holds a character that is not allowed there')
    return parsed


def _filled(name: Sequence[str | Path], values: Callable[[Path], Sequence[str]]) -> str:
    return "".join(
        part if isinstance(part, str) else _clean("_".join(values(part))) or "_" for part in name
    )


def _clean(value: str) -> str:
    """Make a value harmless within a name."""
    text = unicodedata.normalize("NFC", value).strip()
    return "".join(
        "_" if character in _REFUSED or unicodedata.category(character)[0] in "CZ" else character
        for character in text
    )


def _whole(name: str) -> str:
    """Make a whole name harmless, and short enough; different ones stay different."""
    if len(name.encode()) > LONGEST_NAME:
        stem, dot, suffix = name.rpartition(".")
        tail = f"~{hashlib.sha256(name.encode()).hexdigest()[:16]}"
        if dot and len(suffix) <= 8 and suffix.isascii():
            name, tail = stem, f"{tail}.{suffix}"
        kept = name.encode()[: LONGEST_NAME - len(tail)].decode(errors="ignore")
        name = kept + tail
    stripped = name.strip(".")
    if stripped != name:
        leading = len(name) - len(name.lstrip("."))
        trailing = len(name) - len(name.rstrip("."))
        name = "_" * leading + stripped + "_" * (trailing if stripped else 0)
    return f"_{name}" if _RESERVED.fullmatch(name) else name
