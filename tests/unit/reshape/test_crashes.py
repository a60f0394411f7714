"""Wherever an operation or its undo stops, nothing is lost and the next start finishes it.

One run is recorded after each of its steps, so that every state in which ``kill -9`` can leave
Orthanc and the database is gone on from.
"""

from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

import pytest

from curator.errors import CoreError, ErrorCode
from curator.jobs import Phase
from curator.journal import DICOM, Change, Journal
from curator.reshape import operations, undo
from sampling import STRIDE
from unit.reshape.memory import FrozenClock, Server, Steps
from unit.reshape.scenarios import MAIN, MERGE, Scenario
from unit.reshape.worlds import Snapshot, World, shown

OPERATION, UNDO = "operation", "undo"


@dataclass(frozen=True)
class Act:
    """An operation or its undo, on an Orthanc where nothing of it was done."""

    scenario: Scenario
    what: str
    overwrites: bool

    def __str__(self) -> str:
        return f"{self.what} of {self.scenario}" + (", overwriting" if self.overwrites else "")

    @property
    def id(self) -> str:
        return self.what

    def world(self, directory: Path) -> World:
        world = World(directory, self.scenario.orthanc(Steps(), self.overwrites, every=2))
        if self.what == UNDO:
            self.scenario.run(Server(world.orthanc, world.store), OPERATION)
        world.steps.restart()
        return world

    def do(self, server: Server) -> object:
        """Do it, or find that it is done."""
        if self.what == UNDO:
            return server.undo(OPERATION, OperationId=UNDO)
        return self.scenario.run(server, OPERATION)


def known(journal: Journal, operation_id: str) -> list[Change]:
    """Return what the journal knows of an operation, but for names of files."""
    return [Change(**vars(one) | {"file_uuid": ""}) for one in journal.changes(operation_id)]


@pytest.fixture(autouse=True)
def clock(monkeypatch) -> None:
    for module in (operations, undo):
        monkeypatch.setattr(module, "datetime", FrozenClock)


ACTS = [Act(scenario, what, False) for scenario in MAIN for what in (OPERATION, UNDO)]

#: The same where Orthanc replaces what is stored, which matters to what is overwritten.
OVERWRITING = [Act(MERGE, what, True) for what in (OPERATION, UNDO)]


@dataclass(frozen=True)
class Recorded:
    """All states that a run goes through, and what comes out of it."""

    before: dict[str, tuple[object, ...]]
    after: dict[str, tuple[object, ...]]
    changes: list[Change]
    snapshots: list[Snapshot]

    def of(self, phase: Phase) -> list[Snapshot]:
        """Return the states in which the job is in a phase; there are some."""
        found = [one for one in self.snapshots if one.phases == [phase]]
        assert found
        return found


def recorded(act: Act, tmp_path: Path) -> Recorded:
    """Do it to its end, and record the state before and after each step."""
    world = act.world(tmp_path)
    before, instances = world.orthanc.state(), world.instances()
    snapshots = [world.snapshot()]

    def watch() -> None:
        snapshots.append(world.snapshot())
        assert instances <= world.instances()

    world.steps.watch = watch
    server = Server(world.orthanc, world.store)
    act.do(server)
    world.steps.watch = lambda: None
    assert world.steps.done + 1 == len(snapshots)
    assert world.store.on_their_way() == []
    assert set(map(shown, world.orthanc.files.values())) == instances
    changes = known(server.journal, act.id)
    world.store.close()
    return Recorded(before, world.orthanc.state(), changes, snapshots)


@pytest.mark.parametrize("act", ACTS + OVERWRITING, ids=str)
def test_a_start_after_a_crash_finishes_the_work(act, tmp_path):
    run = recorded(act, tmp_path)
    assert run.before != run.after
    world = act.world(tmp_path)
    lost = world.loses()
    for number, snapshot in islice(enumerate(run.snapshots), 0, None, STRIDE):
        world.restore(snapshot)
        server = Server(world.orthanc, world.store)
        server.work()
        act.do(server)
        assert world.orthanc.state() == run.after, f"after step {number}"
        assert lost == [], f"after step {number}"
        assert server.unfinished() == []
        assert world.store.on_their_way() == []
        assert known(server.journal, act.id) == run.changes
        for change in server.journal.changes(act.id):
            now = world.orthanc.nodes[change.new].uuids[DICOM]
            assert change.file_uuid in ("", now), f"after step {number}"
    world.store.close()


@pytest.mark.parametrize("act", ACTS, ids=str)
def test_what_is_canceled_after_a_crash_leaves_nothing(act, tmp_path):
    run = recorded(act, tmp_path)
    world = act.world(tmp_path)
    lost = world.loses()
    for number, snapshot in islice(enumerate(run.of(Phase.WRITING)), 0, None, STRIDE):
        world.restore(snapshot)
        server = Server(world.orthanc, world.store)
        for job in server.unfinished():
            server.engine.cancel(job["id"])
        server.work()
        assert world.orthanc.state() == run.before, f"after step {number}"
        assert world.store.kept(act.id) == 0, f"after step {number}"
        assert lost == [], f"after step {number}"
        assert server.unfinished() == []
    world.store.close()


@pytest.mark.parametrize("act", ACTS + OVERWRITING, ids=str)
def test_a_full_disk_loses_nothing_and_the_work_is_done_once_there_is_room(act, tmp_path):
    world = act.world(tmp_path)
    before = world.orthanc.state()
    act.do(Server(world.orthanc, world.store))
    after = world.orthanc.state()
    world.store.close()
    for room in count(step=STRIDE):
        world = act.world(tmp_path)
        lost = world.loses()
        world.orthanc.room = room
        server = Server(world.orthanc, world.store)
        error = failure(act, server)
        if error is None:
            world.store.close()
            break
        assert error.core_code == ErrorCode.FULL_STORAGE
        phases = [Phase(job["phase"]) for job in server.unfinished()]
        if not phases:
            assert world.orthanc.state() == before, f"with room for {room} files"
            assert world.store.kept(act.id) == 0
        else:
            assert phases == [Phase.COMMITTED]
        world.orthanc.room = None
        restarted = Server(world.orthanc, world.store)
        restarted.work()
        act.do(restarted)
        assert world.orthanc.state() == after, f"with room for {room} files"
        assert restarted.unfinished() == []
        assert world.store.on_their_way() == []
        assert lost == []
        world.store.close()
    assert room


def failure(act: Act, server: Server) -> CoreError | None:
    try:
        act.do(server)
    except CoreError as error:
        return error
    return None
