"""Tables of the configuration."""

import os

import pytest

from curator.anonymize.lookup_tables import load_tables


def load(path) -> tuple[dict[str, str], list[str]]:
    problems: list[str] = []
    return load_tables({"sites": path}, problems)["sites"], problems


def test_a_table_is_read_without_its_headings(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('id_old,id_new\r\nP1, X1\r\n\r\n"P,2",X2\r\n', encoding="utf-8-sig")
    assert load(path) == ({"P1": "X1", "P,2": "X2"}, [])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "has no rows below the headings"),
        (b"old,new\n", "has no rows below the headings"),
        (b"old,new\nPRIVATE\n", "row 2 has 1 columns, not 2"),
        (b"old,new\nPRIVATE,X,Y\n", "row 2 has 3 columns, not 2"),
        (b"old\nPRIVATE,X\n", "row 1 has 1 columns, not 2"),
        (b"old,new\n ,X\n", "row 2 has an empty column"),
        (b"old,new\nPRIVATE,\n", "row 2 has an empty column"),
        (b"old,new\nPRIVATE,X\nPRIVATE,Y\n", "row 3 has a first column that is there already"),
        (b"old,new\nPRIVATE\xff,X\n", "is not CSV in UTF-8"),
        (b'old,new\n"PRIVATE,X\n', "is not CSV in UTF-8"),
    ],
)
def test_a_wrong_table_is_refused_with_its_row_and_no_value(tmp_path, content, problem):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    _, (found,) = load(path)
    assert found == f"$.Curator.LookupTables.sites: {problem}"


def test_every_wrong_row_is_told(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("old,new\na\nb\nc,d\n")
    assert len(load(path)[1]) == 2


def test_a_table_that_is_not_there_is_refused(tmp_path):
    _, (problem,) = load(tmp_path / "absent.csv")
    assert problem == "$.Curator.LookupTables.sites: cannot be read: No such file or directory"
    _, (problem,) = load(tmp_path)
    assert os.fspath(tmp_path) not in problem
