"""Applying a plan: whatever fails in between, no instance is lost and none is left over.

Where it is stopped by a crash or a full disk is in ``test_crashes``.
"""

from collections.abc import Callable
from typing import Any

import pytest

from curator.errors import Conflict, CuratorError, NotFound
from curator.jobs import Phase
from curator.journal import Action
from curator.level import Level
from curator.models import validate
from curator.reshape.apply import Applier
from curator.reshape.files import FileCache
from curator.reshape.plan import Plan
from factory import ct_series, make_instance
from unit.reshape.memory import MemoryOrthanc, Server, SteppedStore, digests
from unit.reshape.scenarios import (
    EVERY,
    MERGE,
    MERGE_SERIES,
    PATIENT,
    SPLIT,
    Scenario,
    counts,
    series_id,
    study_id,
)


@pytest.fixture
def store(tmp_path):
    store = SteppedStore(tmp_path / "curator.db")
    yield store
    store.close()


def served(scenario: Scenario, store: SteppedStore) -> Server:
    return Server(scenario.orthanc(), store)


def plan_of(server: Server, operation_id: str = "op") -> Plan:
    return validate(Plan, server.journal.plan(operation_id))


def interfering(
    monkeypatch: pytest.MonkeyPatch, before: str, deed: Callable[[Applier, Any], None]
) -> None:
    """Let something happen just before a step of the applier is done for the first time."""
    step = getattr(Applier, before)
    deeds = [deed]

    def interfered(self: Applier, *arguments: Any) -> Any:
        if deeds:
            deeds.pop()(self, arguments[0])
        return step(self, *arguments)

    monkeypatch.setattr(Applier, before, interfered)


# What comes out


@pytest.mark.parametrize("scenario", EVERY, ids=str)
def test_sources_are_replaced_by_their_copies(scenario, store):
    server = served(scenario, store)
    orthanc = server.orthanc
    before = dict(orthanc.files)
    scenario.run(server)
    plan = plan_of(server)
    gone = {one.source for one in (*plan.instances, *plan.dropped)}
    new = {one.orthanc_id for one in plan.instances}
    assert set(orthanc.files) == set(before) - gone | new
    assert set(digests(orthanc.files.values())) == set(digests(before.values()))
    assert len(orthanc.files) == len(before) - len(plan.dropped)
    stay = {one.source for series in plan.overwritten for one in series.instances}
    untouched = set(before) - gone - stay
    assert all(orthanc.files[one] == before[one] for one in untouched)
    assert server.unfinished() == []


@pytest.mark.parametrize("scenario", [SPLIT, MERGE], ids=str)
def test_sources_stay_when_asked(scenario, store):
    server = served(scenario, store)
    before = server.orthanc.state()
    content = scenario.keeping_source().run(server)
    after = server.orthanc.state()
    files = {one: state[-1] for one, state in before.items()}
    assert {one: after[one][-1] for one in files} == files
    count = len(server.orthanc.files) - len(server.orthanc.below(study_id("none")))
    assert count == len(scenario.files) + content["InstancesCount"]


def test_the_change_of_each_instance_is_in_the_journal(store):
    server = served(MERGE_SERIES, store)
    MERGE_SERIES.run(server)
    changes = list(server.journal.changes("op"))
    plan = plan_of(server)
    assert [(one.old, one.new) for one in changes] == [
        *((one.source, one.orthanc_id) for _, one in plan.changed()),
        *((one.source, one.kept) for one in plan.dropped),
    ]
    actions = {one.action for one in changes}
    assert actions == {Action.MOVED, Action.OVERWRITTEN, Action.DROPPED}
    for change in changes:
        if change.action != Action.DROPPED:
            assert change.file_uuid == server.orthanc.file_uuid(change.new)
        assert change.way_back is not None


def test_no_way_back_is_kept_to_sources_that_stay(store):
    server = served(SPLIT, store)
    SPLIT.keeping_source().run(server)
    assert {one.action for one in server.journal.changes("op")} == {Action.COPIED}
    assert {one.way_back for one in server.journal.changes("op")} == {None}


def test_a_series_that_lost_or_won_instances_expects_no_number_of_them(store):
    orthanc = MemoryOrthanc()
    for name, number in (("T", 1), ("S", 2)):
        common = {"study": "s", "series": name, "SeriesNumber": number, "AcquisitionTime": None}
        position = lambda index, z=3.0 * number: [0.0, 0.0, z + index]  # noqa: E731
        files = ct_series(2, **common, **counts(2), ImagePositionPatient=position)
        for file in files:
            orthanc.receive(file)
    target = orthanc.nodes[series_id("s", "T")]
    assert target.metadata["ExpectedNumberOfInstances"] == "2"
    server = Server(orthanc, store)
    body = {"Resources": [series_id("s", "S")], "KeepSource": True}
    server.run("CuratorMergeSeries", series_id("s", "T"), **body)
    assert "ExpectedNumberOfInstances" not in target.metadata
    source = orthanc.nodes[series_id("s", "S")]
    assert source.metadata["ExpectedNumberOfInstances"] == "2", "it has lost none"


def test_what_parents_show_is_read_again_where_their_instances_say_other_things(store):
    orthanc = MemoryOrthanc()
    for number, description in enumerate(("wrong", "right", "right")):
        file = ct_series(3, study="a", series="CT", StudyDescription=description)[number]
        orthanc.receive(file)
    orthanc.receive(ct_series(1, study="b", series="CT", SeriesNumber=2)[0])
    assert orthanc.nodes[study_id("a")].tags["StudyDescription"] == "wrong"
    server = Server(orthanc, store)
    server.run("CuratorMerge", study_id("a"), Resources=[study_id("b")], OnConflict="Target")
    assert orthanc.nodes[study_id("a")].tags["StudyDescription"] == "right"


def test_kept_files_and_read_files_make_the_same_result(store, tmp_path):
    content = [
        Server(MERGE.orthanc(), one, cache=size)
        for one, size in ((store, 0), (SteppedStore(tmp_path / "other.db"), 10**9))
    ]
    for server in content:
        MERGE.run(server, OriginalAttributes=False)
    assert content[0].orthanc.state() == content[1].orthanc.state()
    content[1].store.close()


def test_many_threads_make_the_same_result(store, tmp_path):
    content = [
        Server(SPLIT.orthanc(), one, threads=count)
        for one, count in ((store, 1), (SteppedStore(tmp_path / "other.db"), 8))
    ]
    for server in content:
        SPLIT.run(server, OriginalAttributes=False)
    assert content[0].orthanc.state() == content[1].orthanc.state()
    content[1].store.close()


# Others change something meanwhile


def failed(server: Server, scenario: Scenario) -> CuratorError:
    """Run what fails before its commit; nothing of it is left."""
    with pytest.raises(CuratorError) as raised:
        scenario.run(server)
    assert server.unfinished() == []
    assert server.store.kept("op") == 0
    return raised.value


@pytest.mark.parametrize("scenario", [SPLIT, MERGE, MERGE_SERIES], ids=str)
@pytest.mark.parametrize("which", [0, -1])
def test_a_source_that_was_overwritten_before_the_commit_is_a_conflict(
    scenario, which, store, monkeypatch
):
    server = served(scenario, store)
    before = server.orthanc.state()

    def overwrite(_applier: Applier, plan: Plan) -> None:
        changed = [one.source for _, one in plan.changed()]
        server.orthanc.touch([*changed, *(one.source for one in plan.dropped)][which])

    interfering(monkeypatch, "_count", overwrite)
    error = failed(server, scenario)
    assert error.status == 409
    assert "was overwritten meanwhile" in error.details
    assert server.orthanc.state() == before


def test_a_source_that_was_deleted_before_the_commit_is_a_conflict(store, monkeypatch):
    server = served(SPLIT, store)
    before = server.orthanc.state()
    deleted: list[str] = []

    def delete(_applier: Applier, plan: Plan) -> None:
        deleted.append(plan.instances[0].source)
        server.orthanc.remove(deleted[0])

    interfering(monkeypatch, "_count", delete)
    assert failed(server, SPLIT).details == f"Instance {deleted[0]} was deleted meanwhile"
    del before[deleted[0]]
    assert server.orthanc.state() == before


def test_a_copy_that_was_deleted_before_the_commit_is_noticed(store, monkeypatch):
    server = served(SPLIT, store)
    before = server.orthanc.state()
    interfering(
        monkeypatch,
        "_count",
        lambda _applier, plan: server.orthanc.remove(plan.instances[0].orthanc_id),
    )
    assert "have disappeared" in failed(server, SPLIT).details
    assert server.orthanc.state() == before


def test_a_target_that_was_deleted_meanwhile_comes_back_with_what_has_moved(store, monkeypatch):
    server = served(MERGE, store)
    target = server.orthanc.below(series_id("a", "CT"))
    moving = server.orthanc.below(series_id("b", "CT"))
    pixels = digests([server.orthanc.files[one] for one in moving])
    interfering(monkeypatch, "_count", lambda _applier, _plan: server.orthanc.remove(*target))
    MERGE.run(server)
    moved = server.orthanc.below(study_id("a"))
    assert digests([server.orthanc.files[one] for one in moved]) == pixels
    assert len(server.orthanc.files) == len(MERGE.files) - len(target)


def test_a_source_that_was_overwritten_after_the_commit_is_kept(store, monkeypatch):
    server = served(SPLIT, store)
    sources: list[str] = []

    def overwrite(_applier: Applier, run: Any) -> None:
        sources.append(run.plan.instances[0].source)
        server.orthanc.touch(sources[0])

    interfering(monkeypatch, "_delete_sources", overwrite)
    content = SPLIT.run(server)
    assert sources[0] in server.orthanc.files
    assert len(server.orthanc.files) == len(SPLIT.files) + 1
    assert content["Warnings"] == ["1 sources were overwritten meanwhile and are kept"]


def test_what_others_overwrote_after_the_commit_stays_as_it_is(store, monkeypatch):
    server = served(SPLIT, store)
    changed: list[str] = []

    def overwrite(_applier: Applier, run: Any) -> None:
        changed.append(run.plan.overwritten[0].instances[0].source)
        server.orthanc.touch(changed[0])

    interfering(monkeypatch, "_finish", overwrite)
    before = dict(server.orthanc.files)
    content = SPLIT.run(server)
    assert server.orthanc.files[changed[0]] == before[changed[0]]
    assert content["Warnings"] == ["1 instances were changed by others meanwhile and stay so"]


def test_what_others_deleted_after_the_commit_does_not_hold_up_the_rest(store, monkeypatch):
    server = served(SPLIT, store)
    deleted: list[str] = []

    def stop(_applier: Applier, run: Any) -> None:
        deleted.append(run.plan.instances[0].orthanc_id)
        server.orthanc.remove(run.plan.instances[0].orthanc_id, run.plan.instances[0].source)
        raise CuratorError("stopped")

    interfering(monkeypatch, "_delete_sources", stop)
    with pytest.raises(CuratorError, match="stopped"):
        SPLIT.run(server)
    (job,) = server.unfinished()
    assert job["phase"] == Phase.COMMITTED
    restarted = Server(server.orthanc, store)
    restarted.work()
    plan = plan_of(restarted)
    expected = {one.orthanc_id for one in plan.instances} - set(deleted)
    assert set(server.orthanc.below(study_id("s"))) >= expected
    assert not {one.source for one in plan.instances} & set(server.orthanc.files)
    content = restarted.engine.wait(job["id"])
    assert content["Warnings"] == ["1 new instances were deleted meanwhile"]


def test_what_a_crash_of_the_machine_took_is_written_again(store, monkeypatch):
    server = served(SPLIT, store)
    pixels = digests(server.orthanc.files.values())

    def stop(_applier: Applier, run: Any) -> None:
        server.orthanc.remove(run.plan.instances[0].orthanc_id)
        raise CuratorError("stopped")

    interfering(monkeypatch, "_delete_sources", stop)
    with pytest.raises(CuratorError, match="stopped"):
        SPLIT.run(server)
    Server(server.orthanc, store).work()
    assert digests(server.orthanc.files.values()) == pixels


# Refusals


def test_a_copy_that_is_not_stored_as_written_is_refused(store):
    server = served(SPLIT, store)
    before = server.orthanc.state()
    server.orthanc.damages = True
    assert "differs from what was written" in failed(server, SPLIT).details
    assert server.orthanc.state() == before


def test_a_result_that_is_there_already_is_a_conflict_and_stays(store, monkeypatch):
    server = served(SPLIT, store)
    before = server.orthanc.state()
    there: list[str] = []

    def store_it(_applier: Applier, plan: Plan) -> None:
        file = make_instance(
            PatientID=PATIENT,
            StudyInstanceUID=plan.series[0].study_instance_uid,
            SeriesInstanceUID=plan.series[0].series_instance_uid,
            SOPInstanceUID=plan.instances[0].sop_instance_uid,
        )
        there.append(server.orthanc.receive(file))

    interfering(monkeypatch, "_refuse_existing", store_it)
    error = failed(server, SPLIT)
    assert error.status == 409
    assert f"stored already: instance {there[0]}" in error.details
    assert there[0] in server.orthanc.files
    server.orthanc.remove(*there)
    assert server.orthanc.state() == before


def test_an_undo_that_leaves_something_is_an_error_and_is_tried_again(store, monkeypatch):
    server = served(SPLIT, store)
    before = server.orthanc.state()
    interfering(
        monkeypatch,
        "_count",
        lambda _applier, plan: server.orthanc.touch(plan.instances[0].source),
    )
    with monkeypatch.context() as stubborn:
        stubborn.setattr(type(server.gateway), "delete_instances", lambda *_arguments: None)
        with pytest.raises(CuratorError, match="overwritten meanwhile"):
            SPLIT.run(server)
    (job,) = server.unfinished()
    assert (job["state"], job["phase"]) == ("Failure", Phase.WRITING)
    restarted = Server(server.orthanc, store)
    restarted.work()
    assert server.orthanc.state() == before
    assert restarted.unfinished() == []


def test_the_undo_of_what_is_left_says_how_much(store, monkeypatch):
    server = served(SPLIT, store)
    SPLIT.keeping_source().run(server)
    monkeypatch.setattr(type(server.gateway), "delete_instances", lambda *_arguments: None)
    with pytest.raises(CuratorError, match="2 new instances could not be removed"):
        Applier(server.access, server.journal).undo(plan_of(server))


def test_an_unknown_study_is_not_found(store):
    server = served(SPLIT, store)
    with pytest.raises(NotFound):
        server.submit("CuratorSplit", "none", By=["EchoTime"])


def test_an_instance_under_another_identifier_than_its_own_is_a_conflict(store):
    server = served(SPLIT, store)
    orthanc = server.orthanc
    first, second = orthanc.below(series_id("s", "MR"))
    orthanc.nodes[first].attachments[1] = orthanc.files[second]
    kind = server.kinds["CuratorSplit"]
    request = validate(kind.model, dict(SPLIT.body))
    with pytest.raises(Conflict, match="reconstruct its study first"):
        kind.plan(study_id("s"), request, FileCache(0))


def test_files_are_kept_up_to_a_size_and_given_out_once():
    cache = FileCache(5)
    cache.keep("a", b"123")
    cache.keep("b", b"456")
    assert cache.take("a") == b"123"
    assert cache.take("a") is None
    assert cache.take("b") is None, "it did not fit"
    cache.keep("b", b"45678")
    assert cache.take("b") == b"45678"


def test_the_memory_loses_what_orthanc_loses():
    orthanc = SPLIT.orthanc()
    study = study_id("s")
    labels = set(orthanc.nodes[study].labels)
    files = [orthanc.files[one] for one in orthanc.below(study)]
    orthanc.nodes[study].labels.add("mine")
    orthanc.remove(*orthanc.below(study)[1:])
    assert orthanc.nodes[study].labels == labels | {"mine"}
    orthanc.remove(*orthanc.below(study))
    assert study not in orthanc.nodes
    for file in files:
        orthanc.receive(file)
    assert orthanc.nodes[study].labels == set()
    assert {node.level for node in orthanc.nodes.values()} == set(Level)
