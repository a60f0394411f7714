"""What is defined before Orthanc starts: in its configuration and in the files of a directory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from curator.notation import from_text

SUFFIXES = frozenset({".json", ".yaml", ".yml"})


class Source(StrEnum):
    """Where a profile or a rule comes from."""

    SHIPPED = "Shipped"
    CONFIGURATION = "Configuration"
    DIRECTORY = "Directory"
    DATABASE = "Database"


@dataclass(frozen=True, slots=True)
class Written:
    """What someone has written, before it is validated.

    Attributes
    ----------
    place : str
        JSON path in the configuration, or the file.
    root : str
        What takes the place of ``$`` in a problem.
    """

    value: object
    source: Source
    place: str
    root: str


def in_configuration(setting: str, values: Sequence[object]) -> Iterator[Written]:
    """Yield the members of a list of the section ``Curator``."""
    for index, value in enumerate(values):
        place = f"$.Curator.{setting}[{index}]"
        yield Written(value, Source.CONFIGURATION, place, place)


def in_directory(setting: str, directory: Path | None, problems: list[str]) -> Iterator[Written]:
    """Yield what the JSON and YAML files of a directory say, in the order of their names.

    Parameters
    ----------
    setting : str
        The setting that names the directory.
    problems : list of str
        Gets what cannot be read.
    """
    if directory is None:
        return
    try:
        files = sorted(path for path in directory.iterdir() if _is_definition(path))
    except OSError as error:
        problems.append(f"$.Curator.{setting}: cannot be read: {error.strerror}")
        return
    for path in files:
        if not path.is_file():  # what is read could have no end, or keep the start waiting
            problems.append(f"{path}: is no file")
            continue
        try:
            value = from_text(path.read_text(encoding="utf-8"), path.suffix)
        except OSError as error:
            problems.append(f"{path}: cannot be read: {error.strerror}")
        except UnicodeDecodeError:
            problems.append(f"{path}: is not UTF-8")
        except ValueError as error:
            problems.append(f"{path}: {error}")
        else:
            yield Written(value, Source.DIRECTORY, str(path), f"{path}: $")


def _is_definition(path: Path) -> bool:
    return path.suffix in SUFFIXES and not path.name.startswith(".")
