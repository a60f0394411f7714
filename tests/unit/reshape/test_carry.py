"""What hangs on a resource goes where the resource goes, and comes back with it."""

from typing import Any

import pytest

from curator.gateway import Gateway, Resource
from curator.level import Level
from curator.reshape.carry import (
    HISTORY,
    Belongings,
    ForwardCarrier,
    ReturningCarrier,
    belongings_of,
    copy_attachments,
    give,
    pairs,
    restore_missing,
)
from curator.reshape.plan import Kind, Plan, PlannedGroup, PlannedInstance, PlannedSeries
from factory import ct_series
from unit.reshape.memory import ATTACHMENT, MemoryOrthanc, Node
from unit.reshape.scenarios import patient_id, series_id, study_id

SOURCE, TARGET = "source", "target"


@pytest.fixture
def orthanc():
    """Two studies of one patient, with a series each."""
    server = MemoryOrthanc()
    for name in (SOURCE, TARGET):
        for file in ct_series(2, study=name, series="CT"):
            server.receive(file)
    return server


@pytest.fixture
def gateway(orthanc):
    return Gateway(orthanc)


def series(source: str = SOURCE, target: str = TARGET, **values: Any) -> PlannedSeries:
    """Return a series that moves from a study to another one of the patient."""
    return PlannedSeries(
        **{
            "source": series_id(source, "CT"),
            "source_study": study_id(source),
            "source_patient": patient_id(),
            "source_study_instance_uid": "1",
            "source_series_instance_uid": "1.1",
            "orthanc_id": series_id(target, "CT"),
            "series_instance_uid": "2.1",
            "study_orthanc_id": study_id(target),
            "study_instance_uid": "2",
            "patient_orthanc_id": patient_id(),
            "series_number": "1",
            "series_description": "",
            "whole": True,
            "edits": {},
            "instances": (
                PlannedInstance(
                    source="a",
                    file_uuid="",
                    orthanc_id="b",
                    source_sop_instance_uid="1",
                    sop_instance_uid="2",
                ),
            ),
            **values,
        }
    )


def plan(*members: PlannedSeries, standing: tuple[str, ...] = ()) -> Plan:
    return Plan(
        kind=Kind.MERGE,
        digest="d",
        created="",
        level="Study",
        resource=study_id(TARGET),
        parents=(),
        keep_source=False,
        keep_labels=True,
        original_attributes=False,
        groups=(PlannedGroup(name="g", series=members),),
        standing=standing,
    )


def adorn(node: Node, *labels: str, attachments: dict[int, bytes] | None = None, **metadata: str):
    node.labels |= set(labels)
    node.metadata |= metadata
    for number, content in (attachments or {}).items():
        node.attachments[number] = content
        node.uuids[number] = f"uuid-{number}"


def resource(gateway: Gateway, level: Level, orthanc_id: str) -> Resource:
    found = gateway.resource(level, orthanc_id)
    assert found is not None
    return found


def instance_of(orthanc: MemoryOrthanc, gateway: Gateway, study: str) -> Resource:
    one = min(orthanc.below(study_id(study)))
    found = gateway.descendants(Level.INSTANCE, Level.STUDY, study_id(study))
    return next(instance for instance in found if instance.orthanc_id == one)


def test_belongings_are_what_users_have_hung_and_the_history(orthanc, gateway):
    one = min(orthanc.below(study_id(SOURCE)))
    metadata = {"Ward": "7", "1024": "x", "LastUpdate": "now", "IndexInSeries": "1"}
    adorn(orthanc.nodes[one], "b", "a", attachments={ATTACHMENT: b"report"}, **metadata)
    assert belongings_of(gateway, instance_of(orthanc, gateway, SOURCE)) == Belongings(
        metadata={"Ward": "7", "1024": "x"},
        history={
            "Origin": "DicomProtocol",
            "RemoteAET": "MODALITY",
            "CalledAET": "ORTHANC",
            "RemoteIP": "192.0.2.1",
            "ReceptionDate": "20240101T080000",
        },
        labels=("a", "b"),
        attachments=(ATTACHMENT,),
    )


def test_parents_of_a_series_are_paired_once_and_those_that_stay_are_not(orthanc):
    found = list(pairs([series(), series()]))
    assert found == [
        (Level.SERIES, series_id(SOURCE, "CT"), series_id(TARGET, "CT")),
        (Level.STUDY, study_id(SOURCE), study_id(TARGET)),
    ]


def test_a_new_instance_gets_all_and_says_where_it_is_from(orthanc, gateway):
    source = instance_of(orthanc, gateway, SOURCE)
    target = min(orthanc.below(study_id(TARGET)))
    orthanc.nodes[target].metadata = {"Origin": "Plugins", "RemoteAET": "", "ReceptionDate": "now"}
    node = orthanc.nodes[source.orthanc_id]
    adorn(node, "a", attachments={ATTACHMENT: b"report"}, Ward="7")
    source = instance_of(orthanc, gateway, SOURCE)
    ForwardCarrier(gateway, keep_labels=True).instance(source, target)
    made = orthanc.nodes[target]
    assert made.metadata == {
        "Origin": "Plugins",
        "RemoteAET": "MODALITY",
        "CalledAET": "ORTHANC",
        "ReceptionDate": "now",
        "Ward": "7",
        "ModifiedFrom": source.orthanc_id,
    }
    assert made.labels == {"a"}
    assert made.attachments[ATTACHMENT] == b"report"


def test_labels_stay_behind_when_asked(orthanc, gateway):
    adorn(orthanc.nodes[study_id(SOURCE)], "a", Ward="7")
    ForwardCarrier(gateway, keep_labels=False).parents(plan(series()))
    assert orthanc.nodes[study_id(TARGET)].labels == set()
    assert orthanc.nodes[study_id(TARGET)].metadata["Ward"] == "7"


def test_new_parents_get_all(orthanc, gateway):
    for one in (study_id(SOURCE), series_id(SOURCE, "CT")):
        adorn(orthanc.nodes[one], "a", attachments={ATTACHMENT: one.encode()}, Ward=one)
    ForwardCarrier(gateway, keep_labels=True).parents(plan(series()))
    for old, new in (
        (study_id(SOURCE), study_id(TARGET)),
        (series_id(SOURCE, "CT"), series_id(TARGET, "CT")),
    ):
        node = orthanc.nodes[new]
        assert (node.labels, node.metadata["Ward"]) == ({"a"}, old)
        assert node.metadata["ModifiedFrom"] == old
        assert node.attachments[ATTACHMENT] == old.encode()


def test_what_stands_is_joined_and_nothing_of_it_is_replaced(orthanc, gateway):
    attachments = {ATTACHMENT: b"theirs", ATTACHMENT + 1: b"more"}
    adorn(orthanc.nodes[study_id(SOURCE)], "a", "b", attachments=attachments, Ward="7")
    orthanc.nodes[study_id(SOURCE)].metadata["1024"] = "x"
    target = orthanc.nodes[study_id(TARGET)]
    adorn(target, "b", "c", attachments={ATTACHMENT: b"ours"}, Ward="8")
    standing = (study_id(TARGET), patient_id())
    ForwardCarrier(gateway, keep_labels=True).parents(plan(series(), standing=standing))
    assert target.labels == {"a", "b", "c"}
    assert target.metadata == {"Ward": "8", "1024": "x"}, "and it was modified from nothing"
    assert target.attachments == {ATTACHMENT: b"ours", ATTACHMENT + 1: b"more"}


def test_of_several_sources_the_first_makes_the_new_parent_and_others_join(orthanc, gateway):
    for file in ct_series(1, study="third", series="CT"):
        orthanc.receive(file)
    adorn(orthanc.nodes[study_id(SOURCE)], "a", Ward="7")
    adorn(orthanc.nodes[study_id("third")], "c", Ward="9")
    both = plan(series(), series("third"))
    ForwardCarrier(gateway, keep_labels=True).parents(both)
    target = orthanc.nodes[study_id(TARGET)]
    assert target.labels == {"a", "c"}
    assert (target.metadata["Ward"], target.metadata["ModifiedFrom"]) == ("7", study_id(SOURCE))


def test_sources_that_are_gone_are_passed_over(orthanc, gateway):
    orthanc.remove(*orthanc.below(study_id(SOURCE)))
    before = orthanc.state()
    ForwardCarrier(gateway, keep_labels=True).parents(plan(series()))
    assert orthanc.state() == before


def test_targets_that_are_gone_are_passed_over(orthanc, gateway):
    adorn(orthanc.nodes[study_id(SOURCE)], "a", attachments={ATTACHMENT: b"report"})
    orthanc.remove(*orthanc.below(study_id(TARGET)))
    before = orthanc.state()
    for standing in ((), (study_id(TARGET), series_id(TARGET, "CT"))):
        ForwardCarrier(gateway, keep_labels=True).parents(plan(series(), standing=standing))
    assert orthanc.state() == before


def test_what_is_given_twice_is_there_once(orthanc, gateway):
    study = study_id(TARGET)
    for _ in range(2):
        give(gateway, Level.STUDY, study, {"Ward": "7"}, ["a b/ü"])
    assert orthanc.nodes[study].labels == {"a b/ü"}
    assert orthanc.nodes[study].metadata == {"Ward": "7"}


def test_only_what_is_missing_is_restored(orthanc, gateway):
    one = series_id(TARGET, "CT")
    node = orthanc.nodes[one]
    node.metadata = {"RemoteAET": "", "Ward": "later"}
    was = Belongings(
        metadata={"Ward": "7", "1024": "x"},
        history={"RemoteAET": "MODALITY", "ExpectedNumberOfInstances": "2"},
        labels=("a",),
    )
    restore_missing(gateway, resource(gateway, Level.SERIES, one), was)
    assert node.labels == {"a"}
    assert node.metadata == {
        "RemoteAET": "MODALITY",
        "ExpectedNumberOfInstances": "2",
        "Ward": "later",
        "1024": "x",
    }


def test_attachments_are_copied_byte_for_byte(orthanc, gateway):
    content = bytes(range(256)) * 10
    adorn(orthanc.nodes[study_id(SOURCE)], attachments={ATTACHMENT: content, ATTACHMENT + 1: b""})
    source = resource(gateway, Level.STUDY, study_id(SOURCE))
    copy_attachments(gateway, source, study_id(TARGET), [ATTACHMENT, ATTACHMENT + 1])
    assert orthanc.nodes[study_id(TARGET)].attachments == {ATTACHMENT: content, ATTACHMENT + 1: b""}


# The way back


def kept(**files: bytes) -> Any:
    return lambda orthanc_id, number: files.get(f"{orthanc_id[:8]}_{number}")


def nothing_kept(_orthanc_id: str, _number: int) -> None:
    """Keep nothing."""


@pytest.mark.parametrize("name", HISTORY)
def test_an_instance_gets_its_history_back(orthanc, gateway, name):
    target = min(orthanc.below(study_id(TARGET)))
    was = {target: Belongings(history={name: "before"}, metadata={"Ward": "7"}, labels=("a",))}
    carrier = ReturningCarrier(gateway, {}, was, plan(), nothing_kept)
    carrier.instance(instance_of(orthanc, gateway, SOURCE), target)
    node = orthanc.nodes[target]
    assert (node.metadata[name], node.metadata["Ward"], node.labels) == ("before", "7", {"a"})
    assert "ModifiedFrom" not in node.metadata or name == "ModifiedFrom"


def test_attachments_of_an_instance_come_from_what_was_kept_or_from_the_result(orthanc, gateway):
    target = min(orthanc.below(study_id(TARGET)))
    result = instance_of(orthanc, gateway, SOURCE).orthanc_id
    numbers = (ATTACHMENT, ATTACHMENT + 1, ATTACHMENT + 2)
    theirs = {ATTACHMENT + 1: b"of the result", ATTACHMENT + 3: b"later"}
    adorn(orthanc.nodes[result], attachments=theirs)
    was = {target: Belongings(attachments=numbers)}
    files = kept(**{f"{target[:8]}_{ATTACHMENT}": b"kept"})
    carrier = ReturningCarrier(gateway, {}, was, plan(), files)
    carrier.instance(instance_of(orthanc, gateway, SOURCE), target)
    attachments = orthanc.nodes[target].attachments
    assert {one: attachments.get(one) for one in (*numbers, ATTACHMENT + 3)} == {
        ATTACHMENT: b"kept",
        ATTACHMENT + 1: b"of the result",
        ATTACHMENT + 2: None,
        ATTACHMENT + 3: None,
    }


def test_a_target_gives_back_what_it_got_and_nothing_else(orthanc, gateway):
    target = orthanc.nodes[study_id(TARGET)]
    source = study_id(SOURCE)
    before = Belongings(metadata={"Ward": "8"}, labels=("b",), attachments=(ATTACHMENT,))
    gave = Belongings(
        metadata={"Ward": "7", "1024": "x", "1025": "y"},
        labels=("a", "b"),
        attachments=(ATTACHMENT, ATTACHMENT + 1),
    )
    adorn(
        target,
        *("a", "b", "later"),
        attachments={ATTACHMENT: b"ours", ATTACHMENT + 1: b"theirs"},
        Ward="8",
    )
    target.metadata |= {"1024": "x", "1025": "changed since"}
    undone = plan(series(), standing=(study_id(TARGET),))
    states = {(Level.STUDY, study_id(TARGET)): before, (Level.STUDY, source): gave}
    back = series(TARGET, SOURCE)
    ReturningCarrier(gateway, states, {}, undone, nothing_kept).parents(plan(back))
    assert target.labels == {"b", "later"}
    assert target.metadata == {"Ward": "8", "1025": "changed since"}
    assert target.attachments == {ATTACHMENT: b"ours"}
    assert orthanc.nodes[source].labels == {"a", "b"}
    assert orthanc.nodes[source].metadata == {"Ward": "7", "1024": "x", "1025": "y"}


def test_a_target_expects_again_what_it_did(orthanc, gateway):
    one = series_id(TARGET, "CT")
    was = Belongings(history={"ExpectedNumberOfInstances": "2"})
    states = {(Level.SERIES, one): was, (Level.SERIES, series_id(SOURCE, "CT")): Belongings()}
    undone = plan(series(), standing=(one, study_id(TARGET)))
    ReturningCarrier(gateway, states, {}, undone, nothing_kept).parents(plan())
    assert orthanc.nodes[one].metadata["ExpectedNumberOfInstances"] == "2"


def test_parents_get_back_the_attachments_that_were_kept(orthanc, gateway):
    source = study_id(SOURCE)
    was = {(Level.STUDY, source): Belongings(attachments=(ATTACHMENT,))}
    files = kept(**{f"{source[:8]}_{ATTACHMENT}": b"before"})
    adorn(orthanc.nodes[study_id(TARGET)], attachments={ATTACHMENT: b"of the target"})
    carrier = ReturningCarrier(gateway, was, {}, plan(series()), files)
    carrier.parents(plan(series(TARGET, SOURCE)))
    assert orthanc.nodes[source].attachments == {ATTACHMENT: b"before"}
