"""Profiles that are there from the start: shipped, in the configuration, in files.

A wrong one stops the start of Orthanc: a profile that is only missing would be noticed when the
first study has to go out.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from curator.anonymize.notation import from_text
from curator.anonymize.profile import Profile
from curator.models import InvalidModel

SUFFIXES = frozenset({".json", ".yaml", ".yml"})


class Source(StrEnum):
    """Where a profile comes from."""

    SHIPPED = "Shipped"
    CONFIGURATION = "Configuration"
    DIRECTORY = "Directory"
    DATABASE = "Database"


@dataclass(frozen=True, slots=True)
class Definition:
    """A profile and where it is defined.

    Parameters
    ----------
    place : str
        JSON path in the configuration, or the file; empty for the other sources.
    """

    profile: Profile
    source: Source
    place: str = ""


@dataclass(frozen=True, slots=True)
class _Found:
    """What may be a profile, before it is validated; None where it could not even be read."""

    value: object
    source: Source
    place: str
    root: str
    """What takes the place of ``$`` in a problem."""


def define(
    configured: Sequence[object],
    directory: Path | None,
    parse: Callable[[object], Profile],
    problems: list[str],
) -> dict[str, Definition]:
    """Read the profiles of the configuration and of a directory.

    Parameters
    ----------
    configured : sequence
        ``Curator.Profiles``, each the JSON of a profile.
    directory : Path or None
        ``Curator.ProfilesDirectory``.
    parse : callable
        Validates a profile; raises ``InvalidModel``.
    problems : list of str
        Gets every problem with its place.
    """
    defined: dict[str, Definition] = {}
    for found in (*_configured(configured), *_files(directory, problems)):
        try:
            profile = parse(found.value)
        except InvalidModel as error:
            problems += [found.root + problem.removeprefix("$") for problem in error.problems]
            continue
        first = defined.setdefault(profile.name, Definition(profile, found.source, found.place))
        if first.place != found.place:
            problems.append(
                f'{found.place}: the profile "{profile.name}" is defined in {first.place} as well'
            )
    return defined


def _configured(configured: Sequence[object]) -> Iterator[_Found]:
    for index, value in enumerate(configured):
        place = f"$.Curator.Profiles[{index}]"
        yield _Found(value, Source.CONFIGURATION, place, place)


def _files(directory: Path | None, problems: list[str]) -> Iterator[_Found]:
    if directory is None:
        return
    try:
        files = sorted(path for path in directory.iterdir() if _is_profile(path))
    except OSError as error:
        problems.append(f"$.Curator.ProfilesDirectory: cannot be read: {type(error).__name__}")
        return
    for path in files:
        try:
            value = from_text(path.read_text(encoding="utf-8"), path.suffix)
        except OSError as error:
            problems.append(f"{path}: cannot be read: {type(error).__name__}")
        except UnicodeDecodeError:
            problems.append(f"{path}: is not UTF-8")
        except ValueError as error:
            problems.append(f"{path}: {error}")
        else:
            yield _Found(value, Source.DIRECTORY, str(path), f"{path}: $")


def _is_profile(path: Path) -> bool:
    return path.suffix in SUFFIXES and not path.name.startswith(".")
