"""Rules that are there from the start: in the configuration and in files.

A file holds one rule, a list of rules, or an object with ``Rules`` and ``Receive``. A wrong one
stops the start of Orthanc: a rule that is only missing would be noticed when a study is.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curator.definition_files import Source, Written, in_configuration, in_directory
from curator.models import InvalidModel, nearest
from curator.route.rule import Rule, RuleSet

#: What a set consists of, and what its members are called.
_KINDS = {"Rules": "rule", "Receive": "rule at reception"}

_MEMBER = re.compile(rf"\$\.({'|'.join(_KINDS)})\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Definition:
    """A rule and where it is defined.

    Attributes
    ----------
    content : dict
        The rule as it was written.
    place : str
        JSON path in the configuration, or the file and the path in it; empty in the database.
    """

    rule: Rule
    content: dict[str, Any]
    source: Source
    place: str = ""


@dataclass(frozen=True, slots=True)
class Defined:
    """What the configuration and the directory have.

    Attributes
    ----------
    rules : mapping
        By their names, in the order in which they are looked at.
    receive : tuple of dict
        Rules at reception, as they were written.
    """

    rules: Mapping[str, Definition] = field(default_factory=dict)
    receive: tuple[dict[str, Any], ...] = ()


def define(
    configured: Sequence[object],
    receive: Sequence[object],
    directory: Path | None,
    read: Callable[[object], RuleSet],
    problems: list[str],
) -> Defined:
    """Read the rules of the configuration and of a directory.

    Parameters
    ----------
    configured, receive : sequence
        ``Curator.Rules`` and ``Curator.Receive``.
    directory : Path or None
        ``Curator.RulesDirectory``.
    read : callable
        Validates the JSON of a rule set; raises ``InvalidModel``.
    problems : list of str
        Gets every problem with its place.
    """
    found: dict[str, list[Written]] = {
        "Rules": list(in_configuration("Rules", configured)),
        "Receive": list(in_configuration("Receive", receive)),
    }
    for file in in_directory("RulesDirectory", directory, problems):
        for kind, written in _members(file, problems):
            found[kind] += written
    members = {kind: list(_unique(kind, all_, problems)) for kind, all_ in found.items()}
    try:
        rules = read({kind: [one.value for one in unique] for kind, unique in members.items()})
    except InvalidModel as error:
        roots = {kind: [one.root for one in unique] for kind, unique in members.items()}
        problems += [relocated(problem, roots) for problem in error.problems]
        return Defined()
    pairs = zip(rules.rules, members["Rules"], strict=True)
    return Defined(
        {rule.name: Definition(rule, _object(one), one.source, one.place) for rule, one in pairs},
        tuple(_object(one) for one in members["Receive"]),
    )


def relocated(problem: str, roots: Mapping[str, Sequence[str]]) -> str:
    """Return a problem of a rule set with the place of the rule in place of its path in the set.

    Parameters
    ----------
    roots : mapping
        By ``Rules`` and ``Receive``: what takes the place of ``$.Rules[0]`` and so on.
    """
    match = _MEMBER.match(problem)
    if match is None:
        return problem
    kind, index = match[1], int(match[2])
    return roots[kind][index] + problem[match.end() :]


def _members(file: Written, problems: list[str]) -> Iterator[tuple[str, list[Written]]]:
    """Yield what a file holds, by ``Rules`` and ``Receive``."""
    value = file.value
    if isinstance(value, list):
        yield "Rules", _listed(file, value, "")
    elif isinstance(value, dict) and not _KINDS.keys().isdisjoint(value):
        for name, inner in value.items():
            if name not in _KINDS:
                problems.append(
                    f"{file.root}.{name}: a file with a set of rules has"
                    f" {' and '.join(_KINDS)} only{nearest(str(name), list(_KINDS))}"
                )
            elif not isinstance(inner, list):
                problems.append(f"{file.root}.{name}: must be a list")
            else:
                yield name, _listed(file, inner, f".{name}")
    else:
        yield "Rules", [file]


def _listed(file: Written, values: Sequence[object], path: str) -> list[Written]:
    return [
        Written(
            value, file.source, f"{file.place}: ${path}[{index}]", f"{file.root}{path}[{index}]"
        )
        for index, value in enumerate(values)
    ]


def _unique(kind: str, members: Sequence[Written], problems: list[str]) -> Iterator[Written]:
    """Yield the first of each name, and complain of the others."""
    places: dict[object, str] = {}
    for one in members:
        name = one.value.get("Name") if isinstance(one.value, dict) else None
        if isinstance(name, str) and name in places:
            problems.append(
                f'{one.place}: the {_KINDS[kind]} "{name}" is defined in {places[name]} as well'
            )
            continue
        places[name] = one.place
        yield one


def _object(one: Written) -> dict[str, Any]:
    return dict(one.value) if isinstance(one.value, dict) else {}
