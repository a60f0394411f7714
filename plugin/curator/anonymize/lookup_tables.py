"""Tables of the action Lookup that the configuration names: CSV files of two columns."""

import csv
from collections.abc import Mapping
from pathlib import Path


def load_tables(paths: Mapping[str, Path], problems: list[str]) -> dict[str, dict[str, str]]:
    """Read the tables.

    Parameters
    ----------
    paths : mapping of str to Path
        CSV files (UTF-8, a line of headings, then old and new) by the name of the table.
    problems : list of str
        Gets every problem with its place; never a value, since the tables hold patients.
    """
    return {name: _read(name, path, problems) for name, path in paths.items()}


def _read(name: str, path: Path, problems: list[str]) -> dict[str, str]:
    place = f"$.Curator.LookupTables.{name}"
    table: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, row in enumerate(csv.reader(file, strict=True), start=1):
                if problem := _problem(row, table):
                    problems.append(f"{place}: row {number} {problem}")
                elif number > 1 and row:
                    table[row[0].strip()] = row[1].strip()
    except OSError as error:
        problems.append(f"{place}: cannot be read: {error.strerror}")
    except (UnicodeDecodeError, csv.Error):
        problems.append(f"{place}: is not CSV in UTF-8")
    if not table and not any(problem.startswith(f"{place}:") for problem in problems):
        problems.append(f"{place}: has no rows below the headings")
    return table


def _problem(row: list[str], table: Mapping[str, str]) -> str:
    if not row:
        return ""
    if len(row) != 2:
        return f"has {len(row)} columns, not 2"
    if not (row[0].strip() and row[1].strip()):
        return "has an empty column"
    return "has a first column that is there already" if row[0].strip() in table else ""
