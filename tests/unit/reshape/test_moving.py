"""What moving has in common: identifiers, numbers, digests, refusals."""

from dataclasses import replace
from typing import Any

import pytest

from curator.dicom.identifiers import derived_uid, orthanc_identifiers
from curator.errors import BadRequest, Conflict
from curator.models import validate
from curator.reshape import moving
from curator.reshape.merge_request import MergeRequest
from curator.reshape.moving import (
    PATHS,
    RELATED_COUNTS,
    SERIES_UID,
    SOP_UID,
    Destination,
    digest_of,
    refuse_repeated,
    refuse_unreadable,
    state_of,
)
from curator.reshape.plan import PlannedSeries
from curator.reshape.source import Holdings, SourceSeries, Wanted
from unit.reshape.builders import NOW, holdings_of, orthanc_id, series_uid, sop_uid, study_uid

WANTED = Wanted(frozenset(PATHS))
A = orthanc_id("P1", "A")
A1 = orthanc_id("P1", "A", "A1")
ELSEWHERE = Destination("P2", "2.25.1", "2.25.2", "7", "new")


def held(*rows: dict[str, Any], **more: list[dict[str, Any]]) -> Holdings:
    return holdings_of({"P1": {"A": {"A1": rows, **more}}}, WANTED, [orthanc_id("P1")])


def numbered(*numbers: int | None, **elements: Any) -> list[dict[str, Any]]:
    return [{"InstanceNumber": number, **elements} for number in numbers]


def moved(holdings: Holdings, destination: Destination = ELSEWHERE, *keep: str) -> PlannedSeries:
    instances = [one for one in holdings.instances if one.series == A1]
    return moving.as_it_is(holdings, instances, destination, {}, keep, "digest")


def test_a_moved_series_knows_both_ends():
    series = moved(held(*numbered(1, 2, SeriesDescription="d")))
    assert (series.source, series.source_study, series.source_patient) == (
        A1,
        A,
        orthanc_id("P1"),
    )
    assert (series.source_study_instance_uid, series.source_series_instance_uid) == (
        study_uid("A"),
        series_uid("A1"),
    )
    assert (
        series.patient_orthanc_id,
        series.study_orthanc_id,
        series.orthanc_id,
    ) == orthanc_identifiers("P2", "2.25.1", "2.25.2", "")[:3]
    assert series.orthanc_id == ELSEWHERE.series_orthanc_id
    assert (series.series_number, series.series_description) == ("7", "new")
    assert series.whole


def test_identifiers_are_edited_only_where_they_change():
    holdings = held(*numbered(1))
    series = moved(holdings)
    assert (series.edits["StudyInstanceUID"], series.edits[SERIES_UID]) == ("2.25.1", "2.25.2")
    new = derived_uid("digest", "instance", orthanc_id("P1", "A", "A1", 0))
    assert series.instances[0].edits == {SOP_UID: new}

    kept = moved(holdings, Destination("P2", study_uid("A"), series_uid("A1"), "", ""), SOP_UID)
    assert not {"StudyInstanceUID", SERIES_UID} & kept.edits.keys()
    assert kept.instances[0].edits == {}
    assert kept.instances[0].sop_instance_uid == sop_uid("A1", 0)


def test_counts_of_related_objects_go_wherever_something_moves():
    assert moved(held(*numbered(1))).edits.items() >= dict.fromkeys(RELATED_COUNTS).items()


def test_a_whole_series_keeps_its_numbers_and_counts():
    said = {"ImagesInAcquisition": 9, "NumberOfTemporalPositions": 1}
    series = moved(held(*numbered(5, 5, None, **said)))
    assert "ImagesInAcquisition" not in series.edits
    assert all(one.edits.keys() == {SOP_UID} for one in series.instances)


def test_a_part_of_a_series_is_numbered_and_counted_anew():
    said = {"ImagesInAcquisition": 3, "NumberOfTemporalPositions": 1, "ImageIndex": 1}
    series = moved(held(*numbered(2, 3, **said), {"unreadable": True}))
    assert not series.whole
    assert series.edits["ImagesInAcquisition"] == 2
    assert [one.edits["InstanceNumber"] for one in series.instances] == ["1", "2"]
    assert [one.edits["ImageIndex"] for one in series.instances] == [1, 2]


@pytest.mark.parametrize("count", [1, 3])
def test_a_divided_series_does_not_keep_its_uid(count):
    series = SourceSeries("series", "1.2.3", 2, None)
    with pytest.raises(BadRequest, match=r"^\$\.Keep: .* series series is divided"):
        moving.series_uid([SERIES_UID], "digest", series, count)


def test_a_series_keeps_its_uid_or_gets_one_of_its_own():
    series = SourceSeries("series", "1.2.3", 2, None)
    assert moving.series_uid([SERIES_UID], "digest", series, 2) == "1.2.3"
    new = {
        moving.series_uid([SOP_UID], "digest", series, 1),
        moving.series_uid([], "other", series, 1),
        moving.series_uid([], "digest", series, 1, "person"),
    }
    assert len(new) == 3
    assert "1.2.3" not in new
    assert moving.series_uid((), "other", series, 2) in new


@pytest.mark.parametrize("permissive", [False, True])
def test_unreadable_instances_are_refused_unless_they_may_stay(permissive):
    request = validate(MergeRequest, {"Resources": ["x"], "Permissive": permissive})
    assert refuse_unreadable([], request) == ()
    unreadable = [("one", "why"), ("other", "because")]
    if permissive:
        assert refuse_unreadable(unreadable, request) == ("one", "other")
        return
    with pytest.raises(BadRequest, match=r"2 instances .* first is one \(why\).*Permissive"):
        refuse_unreadable(unreadable, request)


# Digests


def digest(holdings: Holdings, resource: str = "study", **body: Any) -> str:
    request = validate(MergeRequest, {"Resources": ["x"], **body})
    return digest_of(resource, request, state_of(holdings))


def test_the_same_request_on_the_same_state_has_one_digest_whatever_the_order():
    holdings = held(*numbered(1, 2), A2=numbered(1))
    turned = replace(holdings, instances=holdings.instances[::-1])
    assert digest(holdings) == digest(turned) == digest(held(*numbered(1, 2), A2=numbered(1)))


@pytest.mark.parametrize(
    "body",
    [
        {"DryRun": True},
        {"Asynchronous": True},
        {"Follow": False},
        {"OperationId": "x"},
        {"Permissive": True},
        {"Priority": 1},
        {"UserData": "x"},
    ],
)
def test_how_it_is_carried_out_is_not_in_the_digest(body):
    holdings = held(*numbered(1))
    assert digest(holdings, **body) == digest(holdings)


def test_another_state_or_request_has_another_digest():
    holdings = held(*numbered(1, 2))
    digests = [
        digest(holdings),
        digest(holdings, "other"),
        digest(holdings, KeepSource=True),
        digest(holdings, Resources=["y"]),
        digest(held(*numbered(1))),
        digest(held(*numbered(1, 2), {"unreadable": True})),
        digest(held({"file": "another"}, {})),
        digest(held(*numbered(1, 2), A2=[])),
        digest(held(*numbered(1, 2, SeriesNumber=0))),
        digest(held(*numbered(1, 2, SeriesNumber=1))),
    ]
    assert len(set(digests)) == len(digests)


def test_what_a_plan_does_not_touch_is_not_in_its_digest():
    def some(file: str) -> Holdings:
        patients = {"P1": {"A": {"A1": [{}], "A2": [{"file": file}]}}}
        return holdings_of(patients, WANTED, [A1])

    assert digest(some("one")) == digest(some("other"))


def test_a_plan_that_is_named_has_to_be_the_one_there_is():
    holdings = held(*numbered(1))
    assert digest(holdings, Plan=digest(holdings)) == digest(holdings)
    with pytest.raises(Conflict, match=rf"^\$\.Plan: .*{digest(holdings)}"):
        digest(holdings, Plan="0" * 64)


def test_a_time_is_written_as_dicom_has_it():
    assert moving.created(NOW) == "20240102030405.000678+0000"


# UIDs that are there already


def kept(holdings: Holdings, series: str = "A1") -> PlannedSeries:
    """Return a series that moves to another study with all of its UIDs."""
    instances = holdings.within([orthanc_id("P1", "A", series)])
    destination = Destination("P2", "2.25.1", series_uid(series), "", "")
    keep = (SERIES_UID, SOP_UID)
    return moving.as_it_is(holdings, instances, destination, {}, keep, "digest")


def elsewhere(patient: str, series: str, uid: str) -> Holdings:
    return holdings_of({patient: {"B": {series: [{"uid": uid}]}}}, WANTED, [orthanc_id(patient)])


def joined_holdings(one: Holdings, other: Holdings) -> Holdings:
    return Holdings(
        {**one.patients, **other.patients},
        {**one.studies, **other.studies},
        {**one.series, **other.series},
        (*one.instances, *other.instances),
        one.concerned | other.concerned,
    )


@pytest.mark.parametrize(
    ("series", "uid", "keyword"),
    [("A1", "other", "SeriesInstanceUID"), ("B1", "same", "SOPInstanceUID")],
)
def test_a_kept_uid_that_something_else_has_is_refused_by_name(series, uid, keyword):
    own = held({"uid": "same"})
    there = elsewhere("P2", series, uid)
    with pytest.raises(Conflict, match=rf"^\$\.Keep: .* have one {keyword}$") as raised:
        refuse_repeated(joined_holdings(own, there), there.instances, [kept(own)])
    level = {"SeriesInstanceUID": 1, "SOPInstanceUID": 0}[keyword]
    for holdings in (own, there):
        assert holdings.line(holdings.instances[0])[level] in str(raised.value)


def test_two_that_move_and_have_one_uid_are_refused():
    own = held({"uid": "same"}, A2=[{"uid": "same"}])
    with pytest.raises(Conflict, match="have one SOPInstanceUID"):
        refuse_repeated(own, [], [kept(own, "A1"), kept(own, "A2")])


def test_uids_of_their_own_are_no_conflict():
    own = held({"uid": "one"}, A2=[{"uid": "other"}])
    there = elsewhere("P2", "B1", "third")
    both = joined_holdings(own, there)
    refuse_repeated(both, there.instances, [kept(own, "A1"), kept(own, "A2")])


def test_a_series_that_becomes_part_of_another_has_its_uid_on_purpose():
    own = held({"uid": "one"})
    there = elsewhere("P2", "B1", "other")
    part = Destination("P2", study_uid("B"), series_uid("B1"), "", "")
    refuse_repeated(joined_holdings(own, there), there.instances, [moved(own, part, SOP_UID)])


# Duplicates


def test_a_dropped_duplicate_names_what_is_kept_before_and_after():
    holdings = held({}, {})
    first, second = holdings.within([A1])
    there = moving.dropped(holdings, first, second, None, ELSEWHERE, "Position")
    assert (there.source, there.series, there.study, there.patient) == holdings.line(first)
    assert (there.kept_source, there.kept) == (second.orthanc_id, second.orthanc_id)
    assert there.sop_instance_uid == second.values.sop_instance_uid
    assert (there.study_instance_uid, there.series_instance_uid) == ("2.25.1", "2.25.2")
    assert there.reason == "Position"

    becomes = moving.moved_instance(second, ELSEWHERE, "2.25.3", {})
    moved_too = moving.dropped(holdings, first, second, becomes, ELSEWHERE, "Position")
    assert (moved_too.kept_source, moved_too.kept) == (second.orthanc_id, becomes.orthanc_id)
    assert moved_too.sop_instance_uid == "2.25.3"
