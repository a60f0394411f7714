"""Operations as jobs: each once, whoever asks how often."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from curator.errors import Conflict, CoreError, CuratorError, ErrorCode, NotFound
from curator.jobs import Submission
from curator.journal import Entry
from curator.models import validate
from curator.reshape.operation import Caller
from curator.reshape.operations import Merge
from factory import ct_series
from unit.reshape.memory import MemoryOrthanc, Server, SteppedStore, digests
from unit.reshape.scenarios import (
    MERGE,
    MERGE_PATIENTS,
    SPLIT,
    Scenario,
    patient_id,
    series_id,
    study_id,
)

#: Only so that a failing test ends; nothing is expected to take long.
HANGS = 60.0

CALLER = Caller("operator", {"Endpoint": "POST /studies/x/merge"})


class GatedOrthanc(MemoryOrthanc):
    """Lets nothing be stored by Curator before the gate is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self.opened = threading.Event()

    def _answer(self, method: str, uri: str, body: bytes = b"") -> bytes:
        if (method, uri) == ("POST", "/instances"):
            self.reached.set()
            assert self.opened.wait(HANGS)
        return super()._answer(method, uri, body)


@pytest.fixture
def store(tmp_path):
    store = SteppedStore(tmp_path / "curator.db")
    yield store
    store.close()


@pytest.fixture
def start(store):
    """Start a server with one worker, on what a scenario stores."""
    servers: list[Server] = []

    def serve(scenario: Scenario = MERGE, orthanc: MemoryOrthanc | None = None) -> Server:
        orthanc = orthanc or MemoryOrthanc()
        for file in scenario.files:
            orthanc.receive(file)
        orthanc.adorn()
        servers.append(Server(orthanc, store, threads=2))
        servers[-1].engine.start()
        return servers[-1]

    yield serve
    for server in servers:
        server.engine.stop()


def ask(server: Server, scenario: Scenario = MERGE, **body: Any) -> dict[str, Any]:
    """Ask for an operation as the REST API does."""
    kind = server.kinds[scenario.job_type]
    body = {**scenario.body, **body}
    request = validate(kind.model, body)
    return server.operations.submit(kind, scenario.resource, request, body, CALLER)


def undo(server: Server, **body: Any) -> dict[str, Any]:
    kind = server.kinds["CuratorUndo"]
    return server.operations.submit(kind, "op", validate(kind.model, body), body, CALLER)


def together(*calls: Callable[[], object]) -> list[object]:
    """Call all at once; return what each answers or raises, in their order."""
    answers: list[object] = [None] * len(calls)

    def run(index: int) -> None:
        try:
            answers[index] = calls[index]()
        except CuratorError as error:
            answers[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANGS)
    return answers


def test_the_content_of_the_job_is_the_answer_and_stays_in_the_journal(start):
    server = start()
    content = ask(server, OperationId="op")
    assert content["Operation"] == "op"
    assert content["InstancesCount"] == 2
    row = server.journal.operation("op")
    assert row is not None
    assert row["content"] == content
    assert (row["kind"], row["level"], row["resource"]) == ("Merge", "Study", study_id("a"))
    assert (row["user"], row["origin"], row["done"]) == ("operator", CALLER.origin, True)
    assert row["request"] == {**MERGE.body, "OperationId": "op"}
    assert server.engine.ids() == [row["job"]]


def test_without_an_identifier_one_is_made(start):
    server = start()
    operation = ask(server)["Operation"]
    assert [row["id"] for row in server.journal.operations()] == [operation]


def test_an_operation_is_audited_by_counts_and_identifiers(start):
    server = start()
    content = ask(server, OperationId="op")
    ((_, user, _, resource, action, details),) = server.orthanc.audits
    assert (user, resource, action) == ("operator", study_id("a"), "merge")
    assert b'"Operation": "op"' in details
    assert content["Groups"][0]["Series"][0]["ID"].encode() in details
    assert b"SYNTHETIC" not in details


@pytest.mark.parametrize("scenario", [MERGE, SPLIT, MERGE_PATIENTS], ids=str)
def test_the_same_identifier_answers_the_first_result_and_does_nothing(start, scenario):
    server = start(scenario)
    first = ask(server, scenario, OperationId="op")
    after, jobs = server.orthanc.state(), server.engine.ids()
    assert ask(server, scenario, OperationId="op") == first
    assert server.orthanc.state() == after
    assert server.engine.ids() == jobs


def test_the_same_undo_answers_its_first_result_and_does_nothing(start):
    server = start()
    before = server.orthanc.state()
    ask(server, OperationId="op")
    first = undo(server, OperationId="back")
    assert undo(server, OperationId="back") == first
    assert server.orthanc.state() == before


def test_the_first_result_is_known_when_its_job_is_forgotten(start):
    server = start()
    first = ask(server, OperationId="op")
    (job,) = server.engine.ids()
    assert server.engine.forget(job)
    assert ask(server, OperationId="op") == first


def test_how_it_is_carried_out_may_differ(start):
    server = start()
    ask(server, OperationId="op")
    (job,) = server.engine.ids()
    again = ask(server, OperationId="op", Asynchronous=True, Priority=5, UserData="other")
    assert again == {"ID": job, "Path": f"/jobs/{job}"}


@pytest.mark.parametrize("body", [{"KeepSource": True}, {"OnConflict": "Target"}])
def test_the_same_identifier_for_another_request_is_a_conflict(start, body):
    server = start()
    ask(server, OperationId="op")
    with pytest.raises(Conflict, match=r"^\$\.OperationId: op was used for another request$"):
        ask(server, OperationId="op", **body)


def test_the_same_identifier_for_another_resource_is_a_conflict(start):
    server = start()
    ask(server, OperationId="op")
    other = Scenario("other", MERGE.job_type, (), study_id("c"), MERGE.body)
    with pytest.raises(Conflict, match="another request"):
        ask(server, other, OperationId="op")


def test_the_same_identifier_for_another_kind_is_a_conflict(start):
    server = start()
    ask(server, OperationId="op")
    split = Scenario("split", "CuratorSplit", (), study_id("a"), {"By": ["SeriesNumber"]})
    with pytest.raises(Conflict, match="another request"):
        ask(server, split, OperationId="op")


def test_the_same_identifier_runs_again_after_a_failure(start):
    server = start()
    server.orthanc.room = 1
    with pytest.raises(CoreError) as raised:
        ask(server, OperationId="op")
    assert raised.value.core_code == ErrorCode.FULL_STORAGE
    server.orthanc.room = None
    assert ask(server, OperationId="op")["InstancesCount"] == 2
    assert [row["done"] for row in server.journal.operations()] == [True]
    assert len(server.engine.ids()) == 2


def test_another_request_may_take_the_identifier_of_one_that_failed_only_if_it_is_the_same(start):
    server = start()
    server.orthanc.room = 1
    with pytest.raises(CoreError):
        ask(server, OperationId="op")
    with pytest.raises(Conflict, match="another request"):
        ask(server, OperationId="op", KeepSource=True)


def test_an_entry_without_a_job_is_what_a_crash_left_and_runs(start):
    server = start()
    body = {**MERGE.body, "OperationId": "op"}
    entry = Entry("op", "Merge", "Study", study_id("a"), "no-job", "operator", {}, body)
    server.journal.enter(entry)
    assert ask(server, OperationId="op")["InstancesCount"] == 2


def test_who_asks_while_it_runs_waits_for_the_same_job(start):
    orthanc = GatedOrthanc()
    server = start(orthanc=orthanc)
    first = threading.Thread(target=ask, args=(server,), kwargs={"OperationId": "op"})
    first.start()
    assert orthanc.reached.wait(HANGS)
    (job,) = server.engine.ids()
    assert ask(server, OperationId="op", Asynchronous=True)["ID"] == job
    threading.Thread(target=orthanc.opened.set).start()
    content = ask(server, OperationId="op")
    first.join(HANGS)
    assert content["InstancesCount"] == 2
    assert server.engine.ids() == [job]


def test_who_waits_for_the_same_job_is_told_of_its_failure(start, monkeypatch):
    orthanc = GatedOrthanc()
    server = start(orthanc=orthanc)
    orthanc.room = 0
    job = ask(server, OperationId="op", Asynchronous=True)["ID"]
    assert orthanc.reached.wait(HANGS)
    wait = server.engine.wait

    def opening(job_id: str) -> dict[str, Any]:
        orthanc.opened.set()  # not before: who comes after the failure starts anew
        return wait(job_id)

    monkeypatch.setattr(server.engine, "wait", opening)
    with pytest.raises(CoreError):
        ask(server, OperationId="op")
    assert server.engine.ids() == [job]


class Meeting(Merge):
    """A merge whose callers all have looked for an earlier one before the first is entered."""

    def __init__(self, server: Server, callers: int) -> None:
        super().__init__(server.access, server.journal, 30)
        self._barrier = threading.Barrier(callers)

    def claims(self, resource: str, request: Any) -> frozenset[str]:
        found = super().claims(resource, request)
        self._barrier.wait(HANGS)
        return found


def test_of_callers_at_the_same_moment_one_does_the_work(start):
    server = start()
    pixels = digests(server.orthanc.files.values())
    callers = 4
    server.kinds[MERGE.job_type] = Meeting(server, callers)
    answers = together(*[lambda: ask(server, OperationId="op")] * callers)
    assert answers[0] == {**answers[0], "InstancesCount": 2}
    assert answers == [answers[0]] * callers
    assert len(server.engine.ids()) == 1
    assert digests(server.orthanc.files.values()) == pixels


def test_of_two_operations_on_one_study_one_is_a_conflict_and_nothing_is_lost(start):
    server = start()
    pixels = digests(server.orthanc.files.values())
    server.kinds[MERGE.job_type] = Meeting(server, 2)
    answers = together(lambda: ask(server), lambda: ask(server))
    refused = [one for one in answers if isinstance(one, Conflict)]
    assert len(refused) == 1
    assert "is not done with" in refused[0].details
    assert len(server.journal.operations()) == 1
    assert len(server.engine.ids()) == 1
    assert digests(server.orthanc.files.values()) == pixels


def test_an_operation_that_reaches_into_a_claimed_study_is_a_conflict(store):
    server = Server(MERGE.orthanc(), store)
    before = server.orthanc.state()
    referring = study_id("c")
    other = server.engine.submit(Submission("CuratorSplit", {}, frozenset({referring})))
    server.engine.pause(other)
    with pytest.raises(CuratorError, match=f"Job {other} is not done with {referring}") as raised:
        MERGE.run(server)
    assert raised.value.status == 409
    assert server.orthanc.state() == before


def test_what_does_not_exist_is_not_entered(start):
    server = start()
    nowhere = Scenario("nowhere", MERGE.job_type, (), "none", MERGE.body)
    with pytest.raises(NotFound):
        ask(server, nowhere, OperationId="op")
    assert server.journal.operations() == []
    assert server.engine.ids() == []


def test_conflicts_reach_who_waits_with_both_sides(start):
    server = start()
    man = ct_series(1, study="m", series="CT", PatientSex="M", PatientBirthDate="19700101")
    server.orthanc.receive(man[0])
    other = Scenario(
        "other", MERGE.job_type, (), study_id("a"), {"Resources": [study_id("m")], "Keep": []}
    )
    before = server.orthanc.state()
    with pytest.raises(Conflict) as raised:
        ask(server, other, OperationId="op")
    assert {one["Element"] for one in raised.value.conflicts} == {"PatientSex", "PatientBirthDate"}
    assert "19700101" not in raised.value.details
    assert server.orthanc.state() == before
    row = server.journal.operation("op")
    assert row is not None
    assert not row["done"]


def test_a_dry_run_enters_nothing(start):
    server = start()
    before = server.orthanc.state()
    kind = server.kinds[MERGE.job_type]
    plan = server.operations.dry_run(kind, MERGE.resource, validate(kind.model, dict(MERGE.body)))
    assert plan["InstancesCount"] == 2
    assert server.orthanc.state() == before
    assert server.journal.operations() == []
    assert server.engine.ids() == []


def test_the_plan_of_a_dry_run_is_what_is_done(start):
    server = start()
    kind = server.kinds[MERGE.job_type]
    plan = server.operations.dry_run(kind, MERGE.resource, validate(kind.model, dict(MERGE.body)))
    content = ask(server, Plan=plan["Plan"], OperationId="op")
    assert content["Plan"] == plan["Plan"]
    planned = [one["ID"] for one in plan["Groups"][0]["Series"][0]["Instances"]]
    assert {one.new for one in server.journal.changes("op")} >= set(planned)
    assert set(planned) <= set(server.orthanc.files)


def test_a_plan_of_another_state_is_refused(start):
    server = start()
    kind = server.kinds[MERGE.job_type]
    plan = server.operations.dry_run(kind, MERGE.resource, validate(kind.model, dict(MERGE.body)))
    server.orthanc.receive(ct_series(3, study="b", series="CT", AccessionNumber="B")[2])
    before = server.orthanc.state()
    with pytest.raises(Conflict, match=r"^\$\.Plan: "):
        ask(server, Plan=plan["Plan"])
    assert server.orthanc.state() == before


def test_what_has_moved_is_followed_unless_told_otherwise(start):
    server = start()
    ask(server, OperationId="op")
    moved = series_id("b", "CT")
    assert {one: follow.level for one, follow in server.journal.followed().items()} == {
        moved: "Series"
    }
    other = start(SPLIT)
    ask(other, SPLIT, Follow=False)
    assert set(other.journal.followed()) == {moved}


def test_copies_are_not_followed(start):
    server = start()
    ask(server, KeepSource=True)
    assert server.journal.followed() == {}


def test_a_study_that_was_merged_whole_is_followed(start):
    server = start()
    ask(server, Resources=[study_id("b")])
    assert study_id("b") in server.journal.followed()


def test_an_operation_with_nothing_to_do_is_done(start):
    server = start(Scenario("one", "", tuple(ct_series(1, study="a")), "", {}))
    before = server.orthanc.state()
    alone = Scenario("alone", "CuratorSplitPatient", (), patient_id(), {})
    content = ask(server, alone, OperationId="op")
    assert content["InstancesCount"] == 0
    assert server.orthanc.state() == before
    row = server.journal.operation("op")
    assert row is not None
    assert row["done"]
    assert server.journal.plan("op") is None
