"""Settings of Orthanc: JSON with comments, read and merged as a user would expect.

Orthanc accepts ``//`` and ``/* */`` comments in its configuration; :mod:`json` does not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Settings = dict[str, Any]

_STRING_OR_COMMENT = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_NOT_NEWLINE = re.compile(r"[^\n]")


class SettingsError(ValueError):
    """A configuration file that cannot be used; the message names the file and the place."""


def strip_comments(text: str) -> str:
    """Blank out the comments of a configuration, keeping strings and the position of everything.

    Comments become spaces, so that an error reported by the JSON parser still has the right line
    and column.
    """

    def blank(match: re.Match[str]) -> str:
        token = match.group()
        return token if token.startswith('"') else _NOT_NEWLINE.sub(" ", token)

    return _STRING_OR_COMMENT.sub(blank, text)


def parse(text: str, name: str) -> Settings:
    """Parse a configuration; `name` is what an error calls it."""
    try:
        value = json.loads(strip_comments(text))
    except json.JSONDecodeError as error:
        message = f"{name}, line {error.lineno}, column {error.colno}: {error.msg}"
        raise SettingsError(message) from error
    if not isinstance(value, dict):
        raise SettingsError(
            f"{name}: a configuration is a JSON object, this is {type(value).__name__}"
        )
    return value


def read(path: Path) -> Settings:
    """Read a configuration file."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from error
    return parse(text, str(path))


def merge(first: Mapping[str, Any], second: Mapping[str, Any]) -> Settings:
    """Merge two configurations: objects merge recursively, any other value of `second` replaces."""
    merged = dict(first)
    for key, value in second.items():
        before = merged.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(before, value)
        else:
            merged[key] = value
    return merged


def without_plugin(settings: Mapping[str, Any]) -> Settings:
    """Return the settings of the same server without Curator: no Python script, no section."""
    return {key: value for key, value in settings.items() if key not in {"Python", "Curator"}}
