"""Which Patient ID became which, and how it leaves the server."""

import csv
import io
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.anonymize.mapping import Mappings, as_csv
from curator.store import Store


def read(text: str) -> list[tuple[str, str]]:
    """Read an export as the README tells programs to."""
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    assert header == ["id_old", "id_new"]
    return [(old.removeprefix("'"), new.removeprefix("'")) for old, new in rows]


def test_pairs_are_kept_by_profile_and_once(store):
    mappings = Mappings(store)
    for _ in range(2):
        mappings.note("a", {"P2": "X2", "P1": "X1"})
    mappings.note("b", {"P1": "Y1"})
    assert mappings.pairs("a") == [("P1", "X1"), ("P2", "X2")]
    assert mappings.pairs("b") == [("P1", "Y1")]
    assert mappings.pairs("c") == []


def test_a_patient_who_gets_another_pseudonym_has_two_rows(store):
    mappings = Mappings(store)
    mappings.note("a", {"P1": "X1"})
    mappings.note("a", {"P1": "X9"})
    assert mappings.pairs("a") == [("P1", "X1"), ("P1", "X9")]


def test_many_pairs_are_all_kept(store):
    mappings = Mappings(store)
    mappings.note("a", {f"P{number:04d}": "X" for number in range(0, 1200, 7)})
    mappings.note("a", {f"P{number:04d}": "X" for number in range(1200)})
    assert mappings.pairs("a") == [(f"P{number:04d}", "X") for number in range(1200)]


def test_pairs_survive_a_restart(tmp_path):
    url = f"sqlite:///{tmp_path / 'curator.db'}"
    first = Store(url)
    Mappings(first).note("a", {"näme\u0000": "X"})
    first.close()
    second = Store(url)
    assert Mappings(second).pairs("a") == [("näme\u0000", "X")]
    second.close()


def test_jobs_that_note_the_same_at_once_lose_nothing(store):
    mappings = Mappings(store)
    together = threading.Barrier(4)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            together.wait()
            for number in range(20):
                mappings.note("a", {f"P{number:02d}": f"X{number}"})
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    assert mappings.pairs("a") == [(f"P{number:02d}", f"X{number}") for number in range(20)]


@pytest.mark.parametrize("value", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "'=1"])
def test_no_cell_begins_as_a_formula(value):
    text = as_csv([(value, "X")])
    ((old, _new),) = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert old == f"'{value}"
    assert read(text) == [(value, "X")]


def test_ordinary_identifiers_are_as_they_are():
    assert as_csv([("P-1", "TRIAL-0001")]) == "id_old,id_new\r\nP-1,TRIAL-0001\r\n"


CELLS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(st.lists(st.tuples(CELLS, CELLS)))
def test_what_is_exported_can_be_read_back(pairs):
    text = as_csv(pairs)
    assert read(text) == pairs
    cells = [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)
