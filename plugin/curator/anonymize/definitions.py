"""Profiles that are there from the start: shipped, in the configuration, in files.

A wrong one stops the start of Orthanc: a profile that is only missing would be noticed when the
first study has to go out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from curator.anonymize.profile import Profile
from curator.definition_files import Source, in_configuration, in_directory
from curator.models import InvalidModel


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
    files = in_directory("ProfilesDirectory", directory, problems)
    for found in (*in_configuration("Profiles", configured), *files):
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
