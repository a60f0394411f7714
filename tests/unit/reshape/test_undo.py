"""Undo puts everything back byte for byte, or says why it does not."""

import pytest

from curator.errors import CuratorError, NotFound
from curator.journal import Action
from factory import ct_series, make_instance, uid
from referring import make_report
from unit.reshape.memory import MemoryOrthanc, Server, SteppedStore
from unit.reshape.scenarios import (
    EVERY,
    MERGE,
    MERGE_SERIES,
    PATIENT,
    SPLIT,
    Scenario,
    patient_id,
    series_id,
    study_id,
)


@pytest.fixture
def store(tmp_path):
    store = SteppedStore(tmp_path / "curator.db")
    yield store
    store.close()


def served(scenario: Scenario, store: SteppedStore, overwrites: bool = False) -> Server:
    return Server(scenario.orthanc(overwrites=overwrites), store)


def refused(server: Server, operation_id: str = "op") -> str:
    """Ask for an undo that changes nothing, and return why."""
    before = server.orthanc.state()
    with pytest.raises(CuratorError) as raised:
        server.undo(operation_id)
    assert raised.value.status == 409
    assert server.orthanc.state() == before
    assert server.unfinished() == []
    return raised.value.details


ALL = [*EVERY, *(one.keeping_source() for one in EVERY)]


@pytest.mark.parametrize("overwrites", [False, True], ids=["never", "always"])
@pytest.mark.parametrize("scenario", ALL, ids=str)
def test_everything_is_put_back(scenario, store, overwrites):
    server = served(scenario, store, overwrites)
    before = server.orthanc.state()
    done = scenario.run(server)
    assert server.orthanc.state() != before
    plan = server.operations.dry_run(
        server.kinds["CuratorUndo"], "op", server.kinds["CuratorUndo"].model()
    )
    content = server.undo("op", Plan=plan["Plan"])
    assert server.orthanc.state() == before
    assert content["UndoneOperation"] == "op"
    assert done["InstancesCount"] > 0
    assert "Warnings" not in content or content["Warnings"] == []


@pytest.mark.parametrize("scenario", EVERY, ids=str)
def test_what_was_undone_can_be_done_again(scenario, store):
    server = served(scenario, store)
    scenario.run(server)
    after = {one: state[:3] for one, state in server.orthanc.state().items()}
    server.undo("op")
    scenario.run(server, "again")
    if scenario.body.get("Keep"):
        assert {one: state[:3] for one, state in server.orthanc.state().items()} == after
    server.undo("again")
    assert server.orthanc.state() == served(scenario, store).orthanc.state()


def test_operations_are_undone_from_the_last_to_the_first(store):
    server = served(MERGE, store)
    before = server.orthanc.state()
    MERGE.run(server)
    between = server.orthanc.state()
    server.run("CuratorSplit", study_id("a"), By=["SeriesNumber"], OperationId="then")
    assert "which has to be undone first" in refused(server)
    server.undo("then")
    assert server.orthanc.state() == between
    server.undo("op")
    assert server.orthanc.state() == before


def test_a_duplicate_with_other_pixels_comes_back(store):
    common = {"AcquisitionTime": None, "study": "s"}
    target = ct_series(1, series="T", SeriesNumber=1, **common)
    source = ct_series(1, series="S", SeriesNumber=2, seed=99, **common)
    orthanc = MemoryOrthanc()
    for file in (*target, *source):
        orthanc.receive(file)
    orthanc.adorn()
    before = orthanc.state()
    server = Server(orthanc, store)
    body = {"Resources": [series_id("s", "S")], "Duplicates": "KeepFirst", "OperationId": "op"}
    content = server.run("CuratorMergeSeries", series_id("s", "T"), **body)
    assert len(content["DroppedInstances"]) == 1
    assert list(orthanc.files.values()) == target
    server.undo("op")
    assert orthanc.state() == before


def test_a_study_that_was_nothing_but_duplicates_comes_back(store):
    alike = {"FrameOfReferenceUID": uid("frame"), "AcquisitionTime": None, "series": "CT"}
    orthanc = MemoryOrthanc()
    for study in ("a", "b"):
        orthanc.receive(ct_series(1, study=study, **alike)[0])
    orthanc.adorn()
    before = orthanc.state()
    server = Server(orthanc, store)
    server.run(
        "CuratorMerge",
        study_id("a"),
        Resources=[study_id("b")],
        SeriesInto={series_id("b", "CT"): series_id("a", "CT")},
        Duplicates="KeepFirst",
        OperationId="op",
    )
    assert study_id("b") not in orthanc.nodes
    server.undo("op")
    assert orthanc.state() == before


def test_late_instances_that_went_after_a_merge_come_back_with_it(store):
    server = served(MERGE, store)
    orthanc = server.orthanc
    before = orthanc.state()
    MERGE.run(server)
    between = orthanc.state()
    late = ct_series(3, study="b", series="CT", AccessionNumber="B")[2]
    orthanc.receive(late)
    arrived = series_id("b", "CT")
    assert server.journal.followed()[arrived].operation == "op"
    server.run("CuratorFollow", arrived, Operation="op", Level="Series", OperationId="late")
    assert late not in orthanc.files.values()
    server.undo("late")
    assert late in orthanc.files.values()
    orthanc.remove(*orthanc.below(arrived))
    assert orthanc.state() == between
    server.undo("op")
    assert orthanc.state() == before


def test_a_late_instance_that_was_dropped_comes_back(store):
    server = served(MERGE, store)
    orthanc = server.orthanc
    MERGE.run(server)
    arrived = series_id("b", "CT")
    again = ct_series(1, study="b", series="CT", AccessionNumber="B", SeriesNumber=7)[0]
    orthanc.receive(again)
    orthanc.adorn()
    between = orthanc.state()
    body = {"Operation": "op", "Level": "Series", "OperationId": "late"}
    content = server.run("CuratorFollow", arrived, **body)
    assert len(content["DroppedInstances"]) == 1
    assert arrived not in orthanc.nodes
    server.undo("late")
    assert orthanc.state() == between


def test_what_was_undone_is_not_followed_any_more(store):
    server = served(MERGE, store)
    MERGE.run(server)
    assert {one.operation for one in server.journal.followed().values()} == {"op"}
    server.undo("op")
    assert server.journal.followed() == {}


def test_what_an_undo_puts_back_stays_though_it_was_seen_to_arrive(store):
    """The follower sees it come, and is not let to it before the undo is done."""
    server = served(MERGE, store)
    orthanc = server.orthanc
    before = orthanc.state()
    MERGE.run(server)
    server.undo("op")
    arrived = series_id("b", "CT")
    server.run("CuratorFollow", arrived, Operation="op", Level="Series", OperationId="late")
    assert orthanc.state() == before


def test_the_journal_says_what_was_undone_and_what_by(store):
    server = served(MERGE, store)
    MERGE.run(server)
    server.undo("op", OperationId="back")
    undone, back = (server.journal.operation(one) for one in ("op", "back"))
    assert undone is not None
    assert back is not None
    assert undone["reverted_by"] == "back"
    assert (back["kind"], back["resource"], back["done"]) == ("Undo", "op", True)
    moved = {one.new: one.old for one in server.journal.changes("op")}
    returned = {one.old: one.new for one in server.journal.changes("back")}
    assert returned == moved


def test_labels_that_others_have_given_the_results_stay_with_the_target(store):
    server = served(MERGE, store)
    before = server.orthanc.state()
    MERGE.run(server)
    server.orthanc.nodes[study_id("a")].labels.add("seen")
    server.undo("op")
    assert server.orthanc.nodes[study_id("a")].labels == before[study_id("a")][4] | {"seen"}


def test_a_result_that_was_overwritten_is_refused(store):
    server = served(MERGE, store)
    MERGE.run(server)
    moved = next(one for one in server.journal.changes("op") if one.action == Action.MOVED)
    server.orthanc.touch(moved.new)
    assert refused(server) == (
        f"Operation op cannot be undone: instance {moved.new} was changed since"
    )


def test_an_overwritten_instance_that_was_overwritten_again_is_refused(store):
    server = served(MERGE, store)
    MERGE.run(server)
    changed = next(one for one in server.journal.changes("op") if one.action == Action.OVERWRITTEN)
    server.orthanc.touch(changed.new)
    assert f"instance {changed.new} was changed since" in refused(server)


@pytest.mark.parametrize("scenario", ALL, ids=str)
def test_a_result_that_was_deleted_is_refused(scenario, store):
    server = served(scenario, store)
    scenario.run(server)
    for change in server.journal.changes("op"):
        nodes = dict(server.orthanc.nodes)
        server.orthanc.remove(change.new)
        assert f"instance {change.new} was deleted" in refused(server)
        server.orthanc.nodes = nodes


def test_a_late_instance_back_under_the_old_identifier_is_refused(store):
    server = served(MERGE, store)
    MERGE.run(server)
    back = server.orthanc.receive(ct_series(1, study="b", series="CT", AccessionNumber="B")[0])
    assert refused(server) == (f"Operation op cannot be undone: instance {back} has arrived again")


def test_a_dropped_duplicate_that_has_arrived_again_is_refused(store):
    server = served(MERGE_SERIES, store)
    files = dict(server.orthanc.files)
    MERGE_SERIES.run(server)
    dropped = next(one for one in server.journal.changes("op") if one.action == Action.DROPPED)
    server.orthanc.receive(files[dropped.old])
    assert f"instance {dropped.old} has arrived again" in refused(server)


def test_copies_stay_where_their_source_is_gone(store):
    server = served(SPLIT.keeping_source(), store)
    SPLIT.keeping_source().run(server)
    copied = next(iter(server.journal.changes("op")))
    server.orthanc.remove(copied.old)
    assert refused(server) == (
        f"Operation op cannot be undone: instance {copied.old} was deleted since, so"
        f" {copied.new} is all that is left of it"
    )


def test_an_operation_is_undone_once(store):
    server = served(MERGE, store)
    MERGE.run(server)
    server.undo("op", OperationId="back")
    assert refused(server) == "Operation op was undone already, by operation back"


def test_an_undo_is_not_undone(store):
    server = served(MERGE, store)
    MERGE.run(server)
    server.undo("op", OperationId="back")
    assert "is an undo; do the operation that it took back again" in refused(server, "back")


def test_what_is_not_done_is_not_undone(store):
    server = served(MERGE, store)
    server.submit("CuratorMerge", MERGE.resource, **MERGE.body, OperationId="op")
    with pytest.raises(CuratorError, match="Operation op is not done"):
        server.submit("CuratorUndo", "op")
    server.work()
    assert len(server.orthanc.below(study_id("a"))) == 3, "the merge was not held up"


def test_what_has_failed_is_not_undone(store):
    server = served(MERGE, store)
    server.orthanc.room = 1
    with pytest.raises(CuratorError):
        MERGE.run(server)
    assert refused(server) == "Operation op is not done"


def test_what_has_changed_nothing_is_not_undone(store):
    server = Server(MemoryOrthanc(), store)
    server.orthanc.receive(make_instance(PatientID=PATIENT))
    server.run("CuratorSplitPatient", patient_id(), OperationId="op")
    assert refused(server) == "Operation op has changed nothing"


def test_an_unknown_operation_is_not_found(store):
    with pytest.raises(NotFound, match="Unknown operation: none"):
        Server(MemoryOrthanc(), store).submit("CuratorUndo", "none")


def test_a_plan_of_another_state_is_refused(store):
    server = served(MERGE, store)
    MERGE.run(server)
    with pytest.raises(CuratorError, match="Plan"):
        server.undo("op", Plan="0" * 64)


def test_a_dry_run_says_what_comes_back_and_changes_nothing(store):
    server = served(MERGE, store)
    MERGE.run(server)
    after = server.orthanc.state()
    kind = server.kinds["CuratorUndo"]
    plan = server.operations.dry_run(kind, "op", kind.model())
    assert server.orthanc.state() == after
    assert (plan["InstancesCount"], plan["OverwrittenInstancesCount"]) == (2, 2)
    (group,) = plan["Groups"]
    assert [one["ID"] for one in group["Series"]] == [series_id("b", "CT")]


def test_new_instances_beside_the_results_stay_where_they_are(store):
    server = served(MERGE, store)
    before = server.orthanc.state()
    MERGE.run(server)
    new = make_report(MERGE.files[:1], label="LATER", SeriesNumber=9)
    later = server.orthanc.receive(new)
    server.undo("op")
    assert server.orthanc.files[later] == new
    server.orthanc.remove(later)
    assert server.orthanc.state() == before
