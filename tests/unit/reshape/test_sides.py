"""What two sides of a merge have to agree in."""

from typing import Any

import pytest

from curator.dicom.tags import parse_tag
from curator.reshape.plan import Conflict
from curator.reshape.sides import Target, target_of
from curator.reshape.source import SourceInstance, Wanted
from unit.reshape.builders import holdings_of, orthanc_id

KEYWORDS = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID")
IDENTITY = ("PatientBirthDate", "PatientSex")
WANTED = Wanted(frozenset(), frozenset(map(parse_tag, KEYWORDS)))


def instances_of(*rows: dict[str, Any], patient: str = "P1") -> tuple[SourceInstance, ...]:
    holdings = holdings_of({patient: {"A": {"A1": rows}}}, WANTED, [orthanc_id(patient)])
    return holdings.within([orthanc_id(patient)])


def target(*rows: dict[str, Any]) -> Target:
    return target_of("target", instances_of(*rows), KEYWORDS)


def sexes(*values: str | None) -> list[dict[str, Any]]:
    return [{"PatientSex": value} for value in values]


def conflict(element: str, target_value: Any, source: str, source_value: Any) -> Conflict:
    return Conflict(
        element=element,
        target="target",
        target_value=target_value,
        source=source,
        source_value=source_value,
    )


def test_a_source_that_says_the_same_is_no_conflict():
    sources = {"source": instances_of(*sexes("F", "F "))}
    assert list(target(*sexes("F")).conflicts(sources, IDENTITY)) == []


@pytest.mark.parametrize("empty", [None, ""])
def test_empty_against_a_value_is_no_conflict_unless_it_is_decisive(empty):
    for ours, theirs in (("F", empty), (empty, "F")):
        sources = {"source": instances_of(*sexes(theirs))}
        assert list(target(*sexes(ours)).conflicts(sources, IDENTITY)) == []
        found = target(*sexes(ours)).conflicts(sources, IDENTITY, decisive=["PatientSex"])
        assert list(found) == [conflict("PatientSex", ours, "source", theirs)]


def test_both_sides_of_a_conflict_are_shown():
    sources = {"one": instances_of(*sexes("M")), "other": instances_of(*sexes("F"))}
    found = list(target(*sexes("F")).conflicts(sources, IDENTITY))
    assert found == [conflict("PatientSex", "F", "one", "M")]


def test_a_single_instance_that_says_otherwise_is_a_conflict():
    """Most instances of the source agree with the target, but the one is somebody else's."""
    sources = {"source": instances_of(*sexes("F", "F", "M", None))}
    found = list(target(*sexes("F")).conflicts(sources, IDENTITY))
    assert found == [conflict("PatientSex", "F", "source", "M")]


def test_what_is_not_of_the_identity_may_differ():
    sources = {"source": instances_of(*sexes("M"))}
    assert list(target(*sexes("F")).conflicts(sources, ["PatientBirthDate"])) == []


def test_what_the_targets_own_instances_contradict_each_other_in_is_a_conflict():
    found = list(target(*sexes("F", "M", "F", None)).conflicts({}, IDENTITY))
    assert found == [conflict("PatientSex", "F", "target", "M")]


def test_what_some_of_the_target_lack_is_no_conflict():
    assert list(target(*sexes("F", None, "")).conflicts({}, IDENTITY)) == []


def test_names_that_are_written_differently_are_warned_of_once_for_each_source():
    def names(*values: str | None) -> tuple[SourceInstance, ...]:
        return instances_of(*({"PatientName": value} for value in values))

    sources = {
        "same": names("A^B", "A^B^^"),
        "other": names("A^C", "A^D"),
        "in part": names("A^B", "A^B", "A^C"),
        "none": names(None),
    }
    found = list(target({"PatientName": "A^B"}).name_warnings(sources))
    assert found == [
        f"The patient's name of study {one} is written differently"
        for one in ("other", "in part", "none")
    ]


def test_what_deviates_or_lacks_gets_what_most_of_the_target_say():
    rows = [*sexes("F", "F", "M"), {"PatientBirthDate": "19700101", "PatientSex": "F"}]
    found = target(*rows).harmonized()
    lacking = {"PatientBirthDate": "19700101"}
    assert found == {
        orthanc_id("P1", "A", "A1", 0): lacking,
        orthanc_id("P1", "A", "A1", 1): lacking,
        orthanc_id("P1", "A", "A1", 2): {"PatientSex": "F", **lacking},
        orthanc_id("P1", "A", "A1", 3): {},
    }


@pytest.mark.parametrize("keyword", ["PatientID", "StudyInstanceUID"])
def test_identifiers_are_not_harmonized(keyword):
    found = target({keyword: "1.1"}, {keyword: "1.1"}, {keyword: "1.2"}, {keyword: None})
    assert not any(found.harmonized().values())
