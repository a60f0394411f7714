"""``/jobs`` with Curator's jobs beside the core's."""

import json
from collections.abc import Iterator

import pytest

from curator.errors import Conflict
from curator.gateway import Gateway
from curator.jobs import Job, JobEngine, Submission
from curator.jobs_rest import JobsApi
from curator.store import Store
from curator.web import Endpoint, Request, Response, dispatch
from unit.fake_sdk import FakeOrthancError, FakeSdk

CORE_JOB = {"ID": "core-job", "State": "Success", "Type": "ResourceModification"}


class Fails:
    """A task that fails."""

    def run(self, _job: Job) -> None:
        raise Conflict("why")

    def undo(self, _job: Job) -> None:
        raise AssertionError("nothing was written")


@pytest.fixture
def sdk() -> FakeSdk:
    return FakeSdk(
        core={
            ("GET", "/jobs"): b'["core-job"]',
            ("GET", "/jobs?expand="): json.dumps([CORE_JOB]).encode(),
            ("GET", "/jobs/core-job"): json.dumps(CORE_JOB).encode(),
            ("POST", "/jobs/core-job/pause"): b"{}",
            ("DELETE", "/jobs/core-job"): b"",
        }
    )


@pytest.fixture
def engine(tmp_path) -> Iterator[JobEngine]:
    store = Store(f"sqlite:///{tmp_path / 'curator.db'}")
    engine = JobEngine(store, {"Fails": lambda _request: Fails()}, workers=1, history_size=10)
    yield engine
    engine.stop()
    store.close()


@pytest.fixture
def ask(engine, sdk):
    gateway = Gateway(sdk)
    endpoints = {one.pattern: one for one in JobsApi(engine, gateway).endpoints()}

    def ask(method: str, pattern: str, job_id: str = "", **query: str) -> Response:
        endpoint: Endpoint = endpoints[pattern]
        uri = pattern.replace("{id}", job_id)
        request = Request(method, uri, (job_id,) if job_id else (), query)
        return dispatch(endpoint, request, gateway, describe=True)

    return ask


def submitted(engine: JobEngine) -> str:
    return engine.submit(Submission("Fails", {}, frozenset()))


def test_jobs_of_both_are_listed(ask, engine):
    job_id = submitted(engine)
    assert json.loads(ask("GET", "/jobs").body) == sorted(["core-job", job_id])


@pytest.mark.parametrize("query", [{"expand": ""}])
def test_jobs_of_both_are_described(ask, engine, query):
    job_id = submitted(engine)
    jobs = json.loads(ask("GET", "/jobs", **query).body)
    assert [job["ID"] for job in jobs] == sorted(["core-job", job_id])
    assert CORE_JOB in jobs


def test_a_job_of_curator_has_every_field_of_the_cores(ask, engine):
    job_id = submitted(engine)
    engine.start()
    other = Submission("Fails", {}, frozenset())
    with pytest.raises(Conflict):
        engine.submit_and_wait(other)
    job = json.loads(ask("GET", "/jobs/{id}", job_id).body)
    assert set(job) == {
        "ID",
        "Priority",
        "ErrorCode",
        "ErrorDescription",
        "ErrorDetails",
        "State",
        "Timestamp",
        "CreationTime",
        "EffectiveRuntime",
        "Progress",
        "Type",
        "Content",
        "CompletionTime",
    }
    assert (job["State"], job["ErrorCode"]) == ("Failure", 43)
    assert (job["ErrorDescription"], job["ErrorDetails"]) == ("Wrong revision", "why")


def test_a_job_of_the_core_is_answered_by_the_core(ask):
    assert json.loads(ask("GET", "/jobs/{id}", "core-job").body) == CORE_JOB
    assert ask("POST", "/jobs/{id}/pause", "core-job").body == b"{}"
    assert ask("DELETE", "/jobs/{id}", "core-job").status == 200


@pytest.mark.parametrize("action", ["cancel", "pause", "resume", "resubmit"])
def test_an_unknown_job_is_answered_with_a_status_and_nothing_else(ask, action):
    response = ask("POST", f"/jobs/{{id}}/{action}", "unknown")
    assert (response.status, response.body) == (400, b"")
    response = ask("GET", "/jobs/{id}", "unknown")
    assert (response.status, response.body) == (404, b"")


def test_another_error_of_the_core_is_told(ask, sdk):
    sdk.core[("GET", "/jobs/x")] = FakeOrthancError(36, "Down")
    response = ask("GET", "/jobs/{id}", "x")
    assert (response.status, json.loads(response.body)["Message"]) == (503, "Down")


def test_actions_act(ask, engine):
    job_id = submitted(engine)
    steps = [("pause", "Paused"), ("resume", "Pending"), ("cancel", "Failure")]
    for action, state in [*steps, ("resubmit", "Pending")]:
        response = ask("POST", f"/jobs/{{id}}/{action}", job_id)
        assert (response.status, response.body) == (200, b"{}")
        assert json.loads(ask("GET", "/jobs/{id}", job_id).body)["State"] == state


@pytest.mark.parametrize("action", ["resume", "resubmit"])
def test_an_action_that_does_not_fit_the_state_is_a_400(ask, engine, action):
    response = ask("POST", f"/jobs/{{id}}/{action}", submitted(engine))
    assert (response.status, response.body) == (400, b"")


def test_a_finished_job_is_deleted(ask, engine):
    job_id = submitted(engine)
    assert ask("DELETE", "/jobs/{id}", job_id).status == 404
    engine.cancel(job_id)
    assert ask("DELETE", "/jobs/{id}", job_id).status == 200
    assert ask("GET", "/jobs/{id}", job_id).status == 404
