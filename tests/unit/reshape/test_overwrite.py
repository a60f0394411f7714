"""Instances that are overwritten where they are keep what hangs on them and are never lost."""

import threading

import pytest

from curator.access import Access
from curator.errors import CoreError
from curator.gateway import Gateway
from curator.journal import DICOM, Action, Change, Entry, Journal, State
from curator.level import Level
from curator.models import validate
from curator.reshape.carry import Belongings, belongings_of
from curator.reshape.overwrite import BATCH, Overwriter
from curator.storing import NotStored
from factory import ct_series, make_instance
from unit.reshape.memory import (
    ATTACHMENT,
    Crash,
    MemoryOrthanc,
    QuietJob,
    SteppedStore,
    Steps,
)

NAME, OTHER = "DOE^JANE", "ROE^JOHN"


@pytest.fixture
def steps():
    return Steps()


@pytest.fixture
def store(tmp_path, steps):
    store = SteppedStore(tmp_path / "curator.db", steps)
    yield store
    store.close()


@pytest.fixture(params=[False, True], ids=["never", "always"])
def orthanc(request, steps):
    server = MemoryOrthanc(steps, overwrites=request.param)
    for file in ct_series(3, PatientComments=NAME):
        server.receive(file)
    server.adorn()
    steps.restart()
    return server


@pytest.fixture
def journal(store):
    journal = Journal(store)
    journal.enter(Entry("op", "Merge", "Study", "s", "job", "user", {}, {}))
    return journal


@pytest.fixture
def overwriter(orthanc, journal):
    return again(orthanc, journal)


def again(orthanc: MemoryOrthanc, journal: Journal) -> Overwriter:
    """Return what the next start makes."""
    return Overwriter(Access(Gateway(orthanc), 1, "ISO_IR 6"), journal, "op")


def renamed(file: bytes) -> bytes:
    return file.replace(NAME.encode(), OTHER.encode())


def items(orthanc: MemoryOrthanc, *instances: str) -> list:
    found = {one.orthanc_id: one for one in instances_of(orthanc)}
    return [(found[one], renamed) for one in instances or found]


def instances_of(orthanc: MemoryOrthanc) -> list:
    (patient,) = orthanc.of(Level.PATIENT)
    return Gateway(orthanc).descendants(Level.INSTANCE, Level.PATIENT, patient)


def record(orthanc: MemoryOrthanc, journal: Journal) -> list[State]:
    """Keep what the applier keeps before the commit."""
    gateway = Gateway(orthanc)
    changes = [
        Change(
            Action.OVERWRITTEN,
            one.orthanc_id,
            one.orthanc_id,
            "1",
            "1",
            "",
            belongings_of(gateway, one).model_dump(mode="json", by_alias=True),
            b"",
        )
        for one in instances_of(orthanc)
    ]
    parents = [
        gateway.resource(level, one)
        for level in (Level.PATIENT, Level.STUDY, Level.SERIES)
        for one in orthanc.of(level)
    ]
    states = [
        State(
            one.level,
            one.orthanc_id,
            belongings_of(gateway, one).model_dump(mode="json", by_alias=True),
        )
        for one in parents
        if one is not None
    ]
    again(orthanc, journal).keep_attachments([one for one in parents if one is not None])
    journal.record("op", changes, states)
    return states


def expected(orthanc: MemoryOrthanc) -> dict:
    """Return the state once all instances are renamed and nothing else has changed."""
    state = orthanc.state()
    for one, (*rest, attachments) in state.items():
        if DICOM in attachments:
            attachments[DICOM] = renamed(attachments[DICOM])
        state[one] = (*rest, attachments)
    return state


def states_of(journal: Journal) -> dict:
    return {one.old: validate(Belongings, one.state) for one in journal.changes("op")}


def test_an_overwritten_instance_keeps_what_hangs_on_it(orthanc, overwriter, journal):
    states = record(orthanc, journal)
    after = expected(orthanc)
    before = orthanc.state()
    overwriter.overwrite(items(orthanc), QuietJob())
    overwriter.restore_parents(states)
    assert orthanc.state() == after != before
    assert journal.spooled("op") == []


def test_the_new_files_are_noted(orthanc, overwriter, journal):
    record(orthanc, journal)
    old = {one: orthanc.file_uuid(one) for one in orthanc.files}
    overwriter.overwrite(items(orthanc), QuietJob())
    for change in journal.changes("op"):
        assert change.file_uuid == orthanc.file_uuid(change.new) != old[change.new]


def test_a_file_that_does_not_change_is_left_alone(orthanc, overwriter, journal, steps):
    record(orthanc, journal)
    before = orthanc.state()
    uuids = {one: orthanc.file_uuid(one) for one in orthanc.files}
    overwriter.overwrite([(one, lambda file: file) for one, _ in items(orthanc)], QuietJob())
    assert orthanc.state() == before
    assert {one: orthanc.file_uuid(one) for one in orthanc.files} == uuids
    assert {change.file_uuid for change in journal.changes("op")} == {""}


def test_more_than_one_batch_is_overwritten(steps, journal):
    orthanc = MemoryOrthanc(steps)
    for file in ct_series(2 * BATCH + 1, PatientComments=NAME):
        orthanc.receive(file)
    states = record(orthanc, journal)
    after = expected(orthanc)
    at_once: list[int] = []
    steps.watch = lambda: at_once.append(len(journal.spooled("op")))
    again(orthanc, journal).overwrite(items(orthanc), QuietJob())
    steps.watch = lambda: None
    again(orthanc, journal).restore_parents(states)
    assert orthanc.state() == after
    assert max(at_once) == BATCH


def test_wherever_it_is_stopped_the_next_start_finishes(orthanc, store, journal, steps):
    states = record(orthanc, journal)
    after, nodes = expected(orthanc), orthanc.nodes
    pixels = len(orthanc.files)
    crash = -1
    stopped = True
    while stopped:
        crash += 1
        orthanc.nodes = {one: node.copy() for one, node in nodes.items()}
        journal.unspool("op", list(nodes))
        record(orthanc, journal)
        steps.restart(crash)
        try:
            again(orthanc, journal).overwrite(items(orthanc), QuietJob())
            again(orthanc, journal).restore_parents(states)
            stopped = False
        except Crash:
            pass
        steps.restart()
        there = {*orthanc.files, *(one for one, number in journal.spooled("op") if number == DICOM)}
        assert len(there) == pixels, f"after step {crash}"
        overwriter = again(orthanc, journal)
        overwriter.finish_interrupted(states_of(journal))
        left = [one for one in items(orthanc) if NAME.encode() in orthanc.files[one[0].orthanc_id]]
        overwriter.overwrite(left, QuietJob())
        overwriter.restore_parents(states)
        assert orthanc.state() == after, f"after step {crash}"
        assert store.on_their_way() == []
    assert crash > 20


def test_what_was_spooled_but_not_deleted_is_brought_in(orthanc, overwriter, journal):
    states = record(orthanc, journal)
    after = expected(orthanc)
    one = min(orthanc.files)
    spooled = {(one, DICOM): renamed(orthanc.files[one])}
    spooled |= {(one, n): c for n, c in orthanc.nodes[one].attachments.items() if n != DICOM}
    journal.spool("op", spooled)
    overwriter.finish_interrupted(states_of(journal))
    overwriter.overwrite(items(orthanc, *(set(orthanc.files) - {one})), QuietJob())
    overwriter.restore_parents(states)
    assert orthanc.state() == after


def test_parents_that_vanished_for_a_moment_get_all_back(steps, journal):
    orthanc = MemoryOrthanc(steps)
    orthanc.receive(make_instance(PatientComments=NAME))
    orthanc.adorn()
    states = record(orthanc, journal)
    after = expected(orthanc)
    bare: list[int] = []
    steps.watch = lambda: bare.append(len(orthanc.nodes))
    overwriter = again(orthanc, journal)
    overwriter.overwrite(items(orthanc), QuietJob())
    assert min(bare) == 0, "nothing was left for a moment"
    assert orthanc.state() != after
    overwriter.restore_parents(states)
    steps.watch = lambda: None
    assert orthanc.state() == after


def test_a_full_disk_leaves_the_file_in_the_spool(orthanc, overwriter, store, journal):
    states = record(orthanc, journal)
    after = expected(orthanc)
    orthanc.room = 0
    with pytest.raises(CoreError):
        overwriter.overwrite(items(orthanc), QuietJob())
    assert len(store.on_their_way()) == 3
    orthanc.room = None
    overwriter.finish_interrupted(states_of(journal))
    overwriter.restore_parents(states)
    assert orthanc.state() == after


def test_where_the_new_file_is_refused_the_old_one_comes_back(
    orthanc, overwriter, store, journal, monkeypatch
):
    states = record(orthanc, journal)
    before, put = orthanc.files.copy(), orthanc.put_instance

    def put_if_there_is_room(file):
        if OTHER.encode() in file and len(orthanc.files) < 3:
            raise orthanc.OrthancException(22, "The file storage is full")
        return put(file)

    monkeypatch.setattr(orthanc, "overwrites", False)
    monkeypatch.setattr(orthanc, "put_instance", put_if_there_is_room)
    with pytest.raises(CoreError):
        overwriter.overwrite(items(orthanc), QuietJob())
    overwriter.restore_parents(states)
    assert sorted(orthanc.files.values()) == sorted(before.values())
    assert len(store.on_their_way()) == 3, "the new ones wait for room"


def test_who_stores_the_same_instance_in_between_is_noticed(steps, journal, store):
    orthanc = MemoryOrthanc(steps)
    (original,) = ct_series(1, PatientComments=NAME)
    orthanc.receive(original)
    record(orthanc, journal)
    stranger = original.replace(NAME.encode(), b"POE^EDGA")

    def arrive() -> None:
        if not orthanc.files:
            orthanc.put_instance(stranger)

    steps.watch = arrive
    with pytest.raises(NotStored, match="was stored by someone else meanwhile"):
        again(orthanc, journal).overwrite(items(orthanc), QuietJob())
    steps.watch = lambda: None
    assert store.on_their_way() == [renamed(original)], "ours is not lost"
    assert list(orthanc.files.values()) == [stranger]


def test_what_was_attached_meanwhile_to_parents_stays(orthanc, overwriter, journal):
    states = record(orthanc, journal)
    (series,) = orthanc.of(Level.SERIES)
    node = orthanc.nodes[series]
    node.attachments[ATTACHMENT] = b"newer"
    node.labels.add("later")
    overwriter.restore_parents(states)
    assert node.attachments[ATTACHMENT] == b"newer"
    assert "later" in node.labels


def test_parents_that_are_gone_are_passed_over(orthanc, overwriter, journal):
    states = record(orthanc, journal)
    orthanc.remove(*orthanc.files)
    overwriter.restore_parents(states)
    assert orthanc.nodes == {}


def test_a_job_that_gives_way_stops_between_instances(orthanc, journal, store):
    record(orthanc, journal)
    after = expected(orthanc)

    class Interrupted(Exception):
        pass

    class StoppingJob:
        def __init__(self) -> None:
            self.left = 2
            self.lock = threading.Lock()

        def checkpoint(self) -> None:
            with self.lock:
                self.left -= 1
                if self.left < 0:
                    raise Interrupted

    overwriter = again(orthanc, journal)
    with pytest.raises(Interrupted):
        overwriter.overwrite(items(orthanc), StoppingJob())
    assert len(store.on_their_way()) == 3
    assert len(orthanc.files) == 3
    overwriter.finish_interrupted(states_of(journal))
    overwriter.restore_parents(journal.states("op"))
    assert orthanc.state() == after
