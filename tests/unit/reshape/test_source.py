"""What is stored of patients, and how it is asked for."""

from dataclasses import replace
from itertools import permutations

import pytest

from curator.reshape.source import Holdings, SourceInstance, Wanted, by_series
from unit.reshape.builders import holdings_of, orthanc_id

NOTHING = Wanted(frozenset())

PATIENTS = {
    "P1": {"A": {"A1": [{}, {}], "A2": [{}, {"unreadable": True}]}, "B": {"B1": [{}]}},
    "P2": {"C": {"C1": [{"unreadable": True}]}},
}
A1 = [orthanc_id("P1", "A", "A1", 0), orthanc_id("P1", "A", "A1", 1)]
A2 = [orthanc_id("P1", "A", "A2", 0)]
B1 = [orthanc_id("P1", "B", "B1", 0)]


@pytest.fixture
def holdings() -> Holdings:
    return holdings_of(PATIENTS, NOTHING)


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ([], []),
        (["unknown"], []),
        ([orthanc_id("P1")], A1 + A2 + B1),
        ([orthanc_id("P1", "A")], A1 + A2),
        ([orthanc_id("P1", "A", "A2")], A2),
        ([A1[1]], A1[1:]),
        ([orthanc_id("P1", "A"), orthanc_id("P1", "A", "A1"), A1[0], A1[0]], A1 + A2),
        ([orthanc_id("P2")], []),
        ([orthanc_id("P1", "A", "A2", 1)], []),
    ],
)
def test_instances_are_found_at_every_level_each_once(holdings, named, expected):
    found = [one.orthanc_id for one in holdings.within(named)]
    assert sorted(found) == sorted(expected)


def test_instances_come_by_series_in_whatever_order_they_were_read(holdings):
    found = holdings.within([orthanc_id("P1")])
    assert [one.series for one in found] == sorted(one.series for one in found)
    for order in permutations(holdings.instances):
        assert replace(holdings, instances=order).within([orthanc_id("P1")]) == found


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ([orthanc_id("P1")], [orthanc_id("P1", "A", "A2", 1)]),
        ([orthanc_id("P1", "A", "A2", 1)], [orthanc_id("P1", "A", "A2", 1)]),
        ([orthanc_id("P1", "A", "A1")], []),
        ([orthanc_id("P2", "C")], [orthanc_id("P2", "C", "C1", 0)]),
    ],
)
def test_what_cannot_be_read_is_found_with_the_reason(holdings, named, expected):
    assert holdings.unreadable_within(named) == tuple((one, "Malformed") for one in expected)


def test_an_instance_has_a_line_of_parents(holdings):
    (instance,) = holdings.within(B1)
    parents = orthanc_id("P1", "B", "B1"), orthanc_id("P1", "B"), orthanc_id("P1")
    assert holdings.line(instance) == (*B1, *parents)


@pytest.mark.parametrize(
    "line", [("P1", "A"), ("P1", "A", "A2"), ("P1", "A", "A2", 0), ("P1", "A", "A2", 1)]
)
def test_the_study_of_anything_in_it_is_known_even_of_what_cannot_be_read(holdings, line):
    assert holdings.study_of(orthanc_id(*line)).orthanc_id == orthanc_id("P1", "A")


@pytest.mark.parametrize("unknown", ["unknown", orthanc_id("P1")])
def test_what_is_in_no_study_has_none(holdings, unknown):
    with pytest.raises(KeyError):
        holdings.study_of(unknown)


def test_a_study_has_series(holdings):
    found = {one.orthanc_id for one in holdings.series_of(orthanc_id("P1", "A"))}
    assert found == {orthanc_id("P1", "A", "A1"), orthanc_id("P1", "A", "A2")}


def test_a_series_counts_what_cannot_be_read_too(holdings):
    assert holdings.series[orthanc_id("P1", "A", "A2")].instances_count == 2


@pytest.mark.parametrize(("number", "text"), [(None, ""), (0, "0"), (-1, "-1"), (12, "12")])
def test_a_series_number_is_shown_as_text(holdings, number, text):
    series = holdings.series[orthanc_id("P1", "A", "A1")]
    assert replace(series, series_number=number).number_text == text


def test_instances_are_brought_together_by_series(holdings):
    def identifiers(instances: list[SourceInstance]) -> list[str]:
        return [one.orthanc_id for one in instances]

    found = by_series(holdings.within([*A1, *B1]))
    assert {series: identifiers(members) for series, members in found.items()} == {
        orthanc_id("P1", "A", "A1"): sorted(A1),
        orthanc_id("P1", "B", "B1"): B1,
    }
