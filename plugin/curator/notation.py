"""Read what people write, profiles and rules: JSON, or that part of YAML that says the same."""

from __future__ import annotations

import json
import math
from typing import Any

import yaml

MAX_LENGTH = 1024 * 1024
"""Characters; a longer text is refused."""

MAX_DIGITS = 1000
"""Of a whole number; Python itself converts a few thousand."""

_YAML_SUFFIXES = (".yaml", ".yml")
_JSON_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float"))
_MAPPING, _SEQUENCE, _STRING = (f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str"))


def from_text(text: str, suffix: str) -> object:
    """Return what a text in JSON or YAML says.

    Parameters
    ----------
    text : str
        The content of a file.
    suffix : str
        ``.json``, ``.yaml`` or ``.yml``.

    Raises
    ------
    ValueError
        Where it cannot be read or says something twice, or where it is no JSON: dates, anchors,
        not a number.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"has more than {MAX_LENGTH} characters")
    try:
        if suffix == ".json":
            return _from_json(text)
        if suffix in _YAML_SUFFIXES:
            return _from_yaml(text)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except OverflowError:
        raise ValueError("has a number of too many digits") from None
    raise ValueError(f'is neither .json nor .yaml, but "{suffix}"')


def _from_json(text: str) -> object:
    try:
        return json.loads(
            text.removeprefix("\ufeff"),
            object_pairs_hook=_object,
            parse_constant=_no_number,
            parse_float=_finite,
            parse_int=_whole,
        )
    except json.JSONDecodeError as error:
        raise ValueError(
            f"is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        ) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):  # which one is not told: in tables they are originals
        raise ValueError("has the same field twice in one object")
    return found


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise OverflowError
    return int(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError("has a number that is too large")
    return value


def _no_number(name: str) -> object:
    raise ValueError(f"holds {name}, which is no JSON")


def _from_yaml(text: str) -> object:
    try:
        return _YamlText(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        raise ValueError(f"is not YAML: {error.problem}{_place(error.problem_mark)}") from None
    except yaml.YAMLError:
        raise ValueError("is not YAML") from None


def _place(mark: yaml.Mark | None) -> str:
    return "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"


class _YamlText(yaml.SafeLoader):
    """Reads only what JSON has too; everything else is an error with its place."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None:
            raise yaml.MarkedYAMLError(
                problem="anchors and aliases are not taken", problem_mark=event.start_mark
            )
        node: yaml.Node | None = super().compose_node(parent, index)
        if node is not None:
            _check(node)
        if isinstance(node, yaml.ScalarNode) and node.tag != _STRING:
            self._check_value(node)
        return node

    def _check_value(self, node: yaml.ScalarNode) -> None:
        """See that a tag does not say of a text what it is not, as in ``!!bool maybe``."""
        if len(node.value) > MAX_DIGITS:
            raise OverflowError
        try:
            value = self.construct_object(node)
        except (LookupError, ValueError):
            kind = node.tag.rpartition(":")[2]
            raise yaml.MarkedYAMLError(
                problem=f"this is no {kind}", problem_mark=node.start_mark
            ) from None
        if isinstance(value, float) and not math.isfinite(value):
            raise yaml.MarkedYAMLError(
                problem="such a number is no JSON", problem_mark=node.start_mark
            )


def _check(node: yaml.Node) -> None:
    if isinstance(node, yaml.MappingNode) and node.tag == _MAPPING:
        _check_keys(node)
        return
    if isinstance(node, yaml.ScalarNode) and node.tag in _JSON_TAGS | {_STRING}:
        return
    if isinstance(node, yaml.SequenceNode) and node.tag == _SEQUENCE:
        return
    kind = node.tag.rpartition(":")[2]
    raise yaml.MarkedYAMLError(
        problem=f"a {kind} is no JSON; write a text in quotation marks",
        problem_mark=node.start_mark,
    )


def _check_keys(node: yaml.MappingNode) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if key.tag != _STRING:
            raise yaml.MarkedYAMLError(
                problem="the name of a field is a text", problem_mark=key.start_mark
            )
        if key.value in seen:
            raise yaml.MarkedYAMLError(
                problem="the same field twice in one object", problem_mark=key.start_mark
            )
        seen.add(key.value)
