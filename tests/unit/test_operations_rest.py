"""``/curator/operations``: lists, details, what became of instances, undo."""

import csv
import io
import json
import re
from typing import Any

import pytest

from curator.journal import Action, Change, Entry
from curator.operations_rest import CSV, OperationsApi
from curator.web import Request, Response, dispatch
from unit.reshape.memory import Server, SteppedStore
from unit.reshape.scenarios import MERGE, MERGE_SERIES, SPLIT, study_id

#: Columns of the export by the keys of the JSON.
COLUMNS = {
    "action": "Action",
    "instance_old": "Old",
    "instance_new": "New",
    "sop_instance_uid_old": "OldSOPInstanceUID",
    "sop_instance_uid_new": "NewSOPInstanceUID",
}


@pytest.fixture
def store(tmp_path):
    store = SteppedStore(tmp_path / "curator.db")
    yield store
    store.close()


@pytest.fixture
def server(store):
    server = Server(MERGE.orthanc(), store)
    yield server
    server.engine.stop()


def ask(server: Server, method: str, uri: str, body: bytes = b"", **query: str) -> Response:
    api = OperationsApi(server.operations, server.kinds["CuratorUndo"], server.engine)
    for endpoint in api.endpoints():
        match = re.fullmatch(endpoint.regex, uri)
        if match is not None:
            request = Request(method, uri, match.groups(), query, {}, body)
            return dispatch(endpoint, request, server.gateway, describe=True)
    raise LookupError(uri)


def answer(response: Response) -> Any:
    assert response.status == 200, response.body
    return json.loads(response.body)


def test_operations_are_listed_by_identifier(server):
    assert answer(ask(server, "GET", "/curator/operations")) == []
    MERGE.run(server, "a")
    server.undo("a", OperationId="b")
    assert answer(ask(server, "GET", "/curator/operations")) == ["b", "a"]


def test_an_expanded_list_says_what_was_done(server):
    MERGE.run(server, "a")
    ((listed),) = answer(ask(server, "GET", "/curator/operations", expand=""))
    job = server.journal.operation("a")["job"]
    times = {key: listed.pop(key) for key in ("CreationTime", "CompletionTime")}
    assert times["CreationTime"] <= times["CompletionTime"]
    assert listed == {
        "ID": "a",
        "Kind": "Merge",
        "Level": "Study",
        "Resource": study_id("a"),
        "Job": job,
        "User": "user",
        "Origin": {},
        "State": "Success",
        "InstancesCount": 2,
        "OverwrittenInstancesCount": 2,
    }


def test_one_operation_is_shown_with_its_request_and_result(server):
    content = MERGE.run(server, "a")
    shown = answer(ask(server, "GET", "/curator/operations/a"))
    assert shown["Content"] == content
    assert shown["Request"]["Resources"] == list(MERGE.body["Resources"])


def test_the_state_follows_the_job_until_the_end(server):
    def state() -> str:
        return str(answer(ask(server, "GET", "/curator/operations/a"))["State"])

    job = server.submit(MERGE.job_type, MERGE.resource, **MERGE.body, OperationId="a")
    assert state() == "Pending"
    server.engine.pause(job)
    assert state() == "Paused"
    server.engine.resume(job)
    server.work()
    assert state() == "Success"
    server.undo("a", OperationId="b")
    assert state() == "Undone"
    assert answer(ask(server, "GET", "/curator/operations/a"))["UndoneBy"] == "b"


def test_a_failed_operation_has_failed_also_when_its_job_is_forgotten(server):
    server.orthanc.room = 0
    job = server.submit(MERGE.job_type, MERGE.resource, **MERGE.body, OperationId="a")
    server.work()
    assert answer(ask(server, "GET", "/curator/operations/a"))["State"] == "Failure"
    assert server.engine.forget(job)
    shown = answer(ask(server, "GET", "/curator/operations/a"))
    assert shown["State"] == "Failure"
    assert "CompletionTime" not in shown


@pytest.mark.parametrize("scenario", [MERGE, SPLIT, MERGE_SERIES], ids=str)
def test_old_and_new_identifiers_are_exported(store, scenario):
    server = Server(scenario.orthanc(), store)
    old = set(server.orthanc.files)
    scenario.run(server, "a")
    found = answer(ask(server, "GET", "/curator/operations/a/instances"))
    response = ask(server, "GET", "/curator/operations/a/instances", format="csv")
    assert response.content_type == CSV
    rows = list(csv.DictReader(io.StringIO(response.body.decode())))
    assert rows == [{column: one[key] for column, key in COLUMNS.items()} for one in found]
    assert list(rows[0]) == list(COLUMNS)
    new = set(server.orthanc.files)
    assert {row["instance_old"] for row in rows} >= old - new
    assert {row["instance_new"] for row in rows} >= new - old
    assert response.body.count(b"\r\n") == len(rows) + 1


def test_what_has_not_run_has_no_instances(server):
    server.submit(MERGE.job_type, MERGE.resource, **MERGE.body, OperationId="a")
    assert answer(ask(server, "GET", "/curator/operations/a/instances")) == []
    response = ask(server, "GET", "/curator/operations/a/instances", format="csv")
    assert response.body.count(b"\n") == 1


def test_all_actions_are_exported(server):
    entry = Entry("a", "Merge", "Study", "s", "job", "user", {}, {})
    server.journal.enter(entry)
    changes = [Change(action, "o", "n", "1.1", "1.2", "f", {}, None) for action in Action]
    server.journal.record("a", changes, [])
    found = answer(ask(server, "GET", "/curator/operations/a/instances"))
    assert [one["Action"] for one in found] == ["Copied", "Moved", "Overwritten", "Dropped"]


@pytest.mark.parametrize("body", [b"", b"{}", b' {"Synchronous": true}'])
def test_an_operation_is_undone(server, body):
    before = server.orthanc.state()
    MERGE.run(server, "a")
    server.engine.start()
    content = answer(ask(server, "POST", "/curator/operations/a/undo", body))
    assert content["UndoneOperation"] == "a"
    assert server.orthanc.state() == before


def test_an_undo_in_the_background_answers_its_job(server):
    MERGE.run(server, "a")
    found = answer(ask(server, "POST", "/curator/operations/a/undo", b'{"Asynchronous": true}'))
    assert found["Path"] == f"/jobs/{found['ID']}"


def test_the_plan_of_an_undo_is_shown(server):
    MERGE.run(server, "a")
    after = server.orthanc.state()
    plan = answer(ask(server, "POST", "/curator/operations/a/undo", b'{"DryRun": true}'))
    assert plan["InstancesCount"] == 2
    assert server.orthanc.state() == after


@pytest.mark.parametrize(
    ("method", "uri"),
    [
        ("GET", "/curator/operations/none"),
        ("GET", "/curator/operations/none/instances"),
        ("POST", "/curator/operations/none/undo"),
    ],
)
def test_an_unknown_operation_is_not_found(server, method, uri):
    response = ask(server, method, uri)
    assert response.status == 404
    assert json.loads(response.body)["Details"] == "Unknown operation: none"


@pytest.mark.parametrize("body", [b"[]", b'{"Resources": []}', b"no JSON"])
def test_a_bad_body_of_an_undo_is_refused(server, body):
    MERGE.run(server, "a")
    assert ask(server, "POST", "/curator/operations/a/undo", body).status == 400
