"""Jobs of Curator: driven as those of the core, and safe wherever they are stopped."""

import io
import itertools
import threading
import zipfile
from typing import Any

import pytest
import requests

from factory import ct_series, mr_series
from integration.servers import Http, RunningServer
from integration.waiting import FINISHED, wait_for_job, wait_until

MANY = 300
"""Instances of a split that takes long enough to be stopped in the middle."""

STEADY: dict[str, Any] = {"StableAge": 600}
"""Settings of a server that is stopped: Python's plugin 7.1 crashes on changes that come then."""

SLOW: dict[str, Any] = {**STEADY, "Curator": {"Workers": 1, "ThreadsPerJob": 1}}
"""Settings of a server that gives a test time."""

CORE_KEYS = {
    "CompletionTime",
    "Content",
    "CreationTime",
    "EffectiveRuntime",
    "ErrorCode",
    "ErrorDescription",
    "ErrorDetails",
    "ID",
    "Priority",
    "Progress",
    "State",
    "Timestamp",
    "Type",
}

CANCELED = 37


_numbers = itertools.count()


def upload_echoes(server: RunningServer, count: int) -> dict[str, Any]:
    """Upload a new study with a series of two echoes; return what its last instance is in."""
    study = f"study of jobs {next(_numbers)}"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for number, instance in enumerate(
            mr_series(count // 2, study=study, echo_times=(10.0, 80.0), Rows=8, Columns=8)
        ):
            file.writestr(f"{number}.dcm", instance)
    stored = server.upload(archive.getvalue())["Instances"]
    assert len(stored) == count
    return dict(stored[-1])


def submit(http: Http, series: str, **fields: Any) -> str:
    """Start the split of a series by echo; return its job."""
    body = {"By": ["EchoTime"], "Asynchronous": True, **fields}
    answer = http.post(f"/series/{series}/split", body)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"ID": answer.json()["ID"], "Path": f"/jobs/{answer.json()['ID']}"}
    return str(answer.json()["ID"])


def act(http: Http, job: str, action: str) -> None:
    """Cancel, pause, resume or resubmit a job that takes this."""
    answer = http.post(f"/jobs/{job}/{action}", data=b"{}")
    assert (answer.status_code, answer.text) == (200, "{}"), answer.text


def wait_for_progress(http: Http, job: str) -> dict[str, Any]:
    """Return a job as soon as it has changed something, while it still runs."""
    found = wait_until(
        f"job {job}",
        lambda: http.json(f"/jobs/{job}"),
        lambda job: job["Progress"] > 0 or job["State"] in FINISHED,
    )
    assert found["State"] == "Running", found
    return dict(found)


def series_sizes(http: Http) -> list[int]:
    """Return how many instances each stored series has."""
    found = http.post("/tools/find", {"Level": "Series", "Query": {}, "Expand": True}).json()
    return sorted(len(series["Instances"]) for series in found)


def is_split(http: Http, count: int = MANY) -> bool:
    """Tell whether a series of two echoes has become two series, with nothing beside them."""
    return series_sizes(http) == [count // 2, count // 2]


# The life of a job


def test_synchronous_split_answers_the_content_of_its_job(server):
    series = upload_echoes(server, 4)["ParentSeries"]
    before = set(server.http.json("/jobs"))
    answer = server.http.post(f"/series/{series}/split", {"By": ["EchoTime"]})
    assert answer.status_code == 200, answer.text
    (job,) = set(server.http.json("/jobs")) - before
    assert server.http.json(f"/jobs/{job}")["Content"] == answer.json()
    assert answer.json()["InstancesCount"] == 4
    assert is_split(server.http, 4)


def test_synchronous_field_has_the_last_word(server):
    series = upload_echoes(server, 4)["ParentSeries"]
    body = {"By": ["EchoTime"], "KeepSource": True, "Asynchronous": True, "Synchronous": True}
    assert "InstancesCount" in server.http.post(f"/series/{series}/split", body).json()
    body = {"By": ["EchoTime"], "Where": {"Tag": "EchoTime", "Equals": 10}, "Synchronous": False}
    job = server.http.post(f"/series/{series}/split", body).json()["ID"]
    assert wait_for_job(server.http, job)["State"] == "Success"


def test_job_has_the_keys_of_a_job_of_the_core(server):
    stored = upload_echoes(server, 4)
    http = server.http
    core = http.post(f"/studies/{stored['ParentStudy']}/archive", {"Asynchronous": True}).json()
    body = {"Series": [stored["ParentSeries"]], "KeepSource": True, "Asynchronous": True}
    builtin = http.post(f"/studies/{stored['ParentStudy']}/split", body).json()
    ours = submit(http, stored["ParentSeries"], KeepSource=True)
    found = [wait_for_job(http, job) for job in (core["ID"], builtin["ID"], ours)]
    assert [set(job) for job in found] == [CORE_KEYS] * 3
    for key in CORE_KEYS - {"Content"}:
        assert type(found[2][key]) is type(found[1][key]), key
    assert found[2]["Content"].keys() >= {"Description", "InstancesCount", "FailedInstancesCount"}
    assert (found[2]["State"], found[2]["Progress"], found[2]["ErrorCode"]) == ("Success", 100, 0)
    assert found[2]["ErrorDescription"] == "Success"
    assert found[2]["CreationTime"] <= found[2]["CompletionTime"] <= found[2]["Timestamp"]


def test_user_data_and_priority_are_told(server):
    series = upload_echoes(server, 4)["ParentSeries"]
    data = {"Ticket": 7, "By": ["山田", None, 1.5]}
    job = submit(server.http, series, UserData=data, Priority=-3)
    found = wait_for_job(server.http, job)
    assert found["UserData"] == data
    assert found["Priority"] == -3


def test_unfinished_job_has_no_completion_time(server):
    series = upload_echoes(server, MANY)["ParentSeries"]
    job = submit(server.http, series)
    running = wait_for_progress(server.http, job)
    assert running.keys() == CORE_KEYS - {"CompletionTime"}
    assert 0 < running["Progress"] <= 100
    wait_for_job(server.http, job)


def test_failed_job_says_why(server):
    series = upload_echoes(server, 4)["ParentSeries"]
    http = server.http
    wrong = {"By": ["EchoTime"], "Plan": "0" * 64}
    failed = wait_for_job(http, submit(http, series, **wrong))
    assert (failed["State"], failed["ErrorCode"]) == ("Failure", 43)
    assert "$.Plan: the source has changed" in failed["ErrorDetails"]
    answer = http.post(f"/series/{series}/split", wrong)
    assert answer.status_code == 409
    assert answer.json()["Details"] == failed["ErrorDetails"]
    assert answer.json()["Message"] == failed["ErrorDescription"]


def test_finished_job_is_forgotten_on_demand(server):
    series = upload_echoes(server, 4)["ParentSeries"]
    job = submit(server.http, series)
    wait_for_job(server.http, job)
    answer = server.http.delete(f"/jobs/{job}")
    assert (answer.status_code, answer.content) == (200, b"")
    assert job not in server.http.json("/jobs")
    for action in ("cancel", "pause", "resume", "resubmit"):
        assert server.http.post(f"/jobs/{job}/{action}").status_code == 400
    assert server.http.get(f"/jobs/{job}").status_code == 404
    assert server.http.delete(f"/jobs/{job}").status_code == 404


def test_job_that_is_not_finished_is_not_forgotten(server):
    series = upload_echoes(server, MANY)["ParentSeries"]
    job = submit(server.http, series)
    wait_for_progress(server.http, job)
    answer = server.http.delete(f"/jobs/{job}")
    assert answer.status_code == 404  # as the core answers
    assert "cancel it first" in answer.json()["Details"]
    assert wait_for_job(server.http, job)["State"] == "Success"


def test_finished_job_takes_what_a_finished_job_of_the_core_takes(server):
    stored = upload_echoes(server, 4)
    http = server.http
    archive = http.post(f"/studies/{stored['ParentStudy']}/archive", {"Asynchronous": True}).json()
    wait_for_job(http, archive["ID"])
    ours = submit(http, stored["ParentSeries"])
    wait_for_job(http, ours)
    for action in ("cancel", "pause", "resume", "resubmit"):
        answers = [http.post(f"/jobs/{job}/{action}") for job in (archive["ID"], ours)]
        assert answers[0].status_code == answers[1].status_code
        assert answers[0].content == answers[1].content
        assert answers[0].headers.get("Content-Type") == answers[1].headers.get("Content-Type")
    assert http.json(f"/jobs/{ours}")["State"] == "Success"


# Pause, resume, cancel, resubmit


def test_paused_job_rests_and_finishes_when_resumed(server):
    series = upload_echoes(server, MANY)["ParentSeries"]
    http = server.http
    job = submit(http, series)
    wait_for_progress(http, job)
    act(http, job, "pause")
    paused = wait_for_job(http, job, ["Paused"])
    assert 0 < paused["Progress"] < 100
    stored = http.json("/statistics")["CountInstances"]
    act(http, job, "pause")  # nothing more to do
    assert http.json(f"/jobs/{job}")["Progress"] == paused["Progress"]
    assert http.json(f"/jobs/{job}")["EffectiveRuntime"] == paused["EffectiveRuntime"]
    assert http.json("/statistics")["CountInstances"] == stored
    act(http, job, "resume")
    assert wait_for_job(http, job)["State"] == "Success"
    assert is_split(http)
    assert http.post(f"/jobs/{job}/resume").status_code == 400


@pytest.mark.parametrize("while_paused", [False, True], ids=["running", "paused"])
def test_canceled_job_leaves_its_source_alone(server, while_paused):
    series = upload_echoes(server, MANY)["ParentSeries"]
    http = server.http
    before = sorted(http.json("/instances"))
    job = submit(http, series)
    wait_for_progress(http, job)
    if while_paused:
        act(http, job, "pause")
        wait_for_job(http, job, ["Paused"])
        assert len(http.json("/instances")) > MANY
    act(http, job, "cancel")
    failed = wait_for_job(http, job)
    assert (failed["State"], failed["ErrorCode"]) == ("Failure", CANCELED)
    assert failed["ErrorDescription"] == "This job was canceled"
    assert sorted(http.json("/instances")) == before
    assert http.json("/series") == [series]


def test_canceled_job_can_be_resubmitted(server):
    series = upload_echoes(server, MANY)["ParentSeries"]
    http = server.http
    job = submit(http, series)
    wait_for_progress(http, job)
    assert http.post(f"/jobs/{job}/resubmit").status_code == 400
    act(http, job, "cancel")
    assert wait_for_job(http, job)["State"] == "Failure"
    act(http, job, "resubmit")
    done = wait_for_job(http, job)
    assert (done["State"], done["ErrorCode"], done["ErrorDetails"]) == ("Success", 0, "")
    assert is_split(http)


def test_pause_and_cancel_in_one_breath_end_in_canceled(server):
    """A job that comes to rest while it is canceled must not rest for ever."""
    series = upload_echoes(server, MANY)["ParentSeries"]
    http = server.http
    before = sorted(http.json("/instances"))
    job = submit(http, series)
    wait_for_progress(http, job)
    act(http, job, "pause")
    act(http, job, "cancel")
    assert wait_for_job(http, job)["ErrorCode"] == CANCELED
    assert sorted(http.json("/instances")) == before


def test_waiting_job_is_paused_resumed_and_canceled_before_it_runs(new_server):
    server = new_server(**SLOW)
    http = server.http
    long = upload_echoes(server, MANY)["ParentSeries"]
    short = upload_echoes(server, 4)["ParentSeries"]
    third = upload_echoes(server, 4)["ParentSeries"]
    first, second, canceled = (submit(http, series) for series in (long, short, third))
    assert http.json(f"/jobs/{second}")["State"] == "Pending"
    act(http, second, "pause")
    assert http.json(f"/jobs/{second}")["State"] == "Paused"
    act(http, canceled, "cancel")
    assert http.json(f"/jobs/{canceled}")["State"] == "Failure"
    assert http.json(f"/jobs/{canceled}")["ErrorCode"] == CANCELED
    assert wait_for_job(http, first)["State"] == "Success"
    assert http.json(f"/jobs/{second}")["State"] == "Paused"
    act(http, second, "resume")
    assert wait_for_job(http, second)["State"] == "Success"
    assert series_sizes(http) == [2, 2, 4, MANY // 2, MANY // 2]


def test_higher_priority_runs_first(new_server):
    server = new_server(**SLOW)
    http = server.http
    long = upload_echoes(server, MANY)["ParentSeries"]
    others = [upload_echoes(server, 4)["ParentSeries"] for _ in range(3)]
    blocking = submit(http, long)
    jobs = [
        submit(http, series, Priority=priority)
        for series, priority in zip(others, (1, 9, 5), strict=True)
    ]
    done = [wait_for_job(http, job) for job in (blocking, *jobs)]
    assert {job["State"] for job in done} == {"Success"}
    ended = sorted(done, key=lambda job: job["CompletionTime"])
    assert [job["Priority"] for job in ended] == [0, 9, 5, 1]


# Two at once


def test_of_two_callers_at_once_one_splits_and_the_other_is_told(server):
    series = upload_echoes(server, MANY)["ParentSeries"]
    answers: list[requests.Response] = []

    def call() -> None:
        http = Http(server.url)
        answers.append(http.post(f"/series/{series}/split", {"By": ["EchoTime"]}))
        http.close()

    run_together([call, call])
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    (refused,) = (answer for answer in answers if answer.status_code == 409)
    assert refused.json()["OrthancStatus"] == 43
    assert "Job " in refused.json()["Details"]
    assert is_split(server.http)


def test_many_callers_with_studies_of_their_own_all_get_through(server):
    series = [upload_echoes(server, 6)["ParentSeries"] for _ in range(8)]
    statuses: list[int] = []

    def call(one: str) -> None:
        http = Http(server.url)
        statuses.append(http.post(f"/series/{one}/split", {"By": ["EchoTime"]}).status_code)
        http.close()

    run_together([lambda one=one: call(one) for one in series])
    assert statuses == [200] * 8
    assert series_sizes(server.http) == [3] * 16


def run_together(functions: list[Any]) -> None:
    """Run functions in threads, let go at the same moment."""
    gate = threading.Barrier(len(functions))

    def run(function: Any) -> None:
        gate.wait()
        function()

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_paused_job_keeps_others_off_its_study(server):
    stored = upload_echoes(server, MANY)
    http = server.http
    job = submit(http, stored["ParentSeries"])
    wait_for_progress(http, job)
    act(http, job, "pause")
    wait_for_job(http, job, ["Paused"])
    for path in (f"/series/{stored['ParentSeries']}", f"/studies/{stored['ParentStudy']}"):
        answer = http.post(f"{path}/split", {"By": ["EchoTime"]})
        assert answer.status_code == 409
        assert job in answer.json()["Details"]
    act(http, job, "cancel")
    wait_for_job(http, job)
    assert wait_for_job(http, submit(http, stored["ParentSeries"]))["State"] == "Success"
    assert is_split(http)


# Restarts


def test_finished_jobs_outlive_a_restart(new_server):
    server = new_server(**STEADY)
    series = upload_echoes(server, 4)["ParentSeries"]
    job = submit(server.http, series, UserData="mine", KeepSource=True)
    wait_for_job(server.http, job)
    failed = submit(server.http, series, KeepSource=True)
    wait_for_job(server.http, failed)
    before = [server.http.json(f"/jobs/{one}") for one in (job, failed)]
    assert server.stop() == 0
    server.start()
    after = [server.http.json(f"/jobs/{one}") for one in (job, failed)]
    for one in (*before, *after):
        del one["Timestamp"]
    assert after == before


def test_paused_job_outlives_a_restart_and_finishes_when_resumed(new_server):
    server = new_server(**SLOW)
    series = upload_echoes(server, MANY)["ParentSeries"]
    job = submit(server.http, series)
    wait_for_progress(server.http, job)
    act(server.http, job, "pause")
    paused = wait_for_job(server.http, job, ["Paused"])
    assert server.stop() == 0
    server.start()
    again = server.http.json(f"/jobs/{job}")
    assert (again["State"], again["Progress"]) == ("Paused", paused["Progress"])
    act(server.http, job, "resume")
    assert wait_for_job(server.http, job)["State"] == "Success"
    assert is_split(server.http)


def test_paused_job_can_be_canceled_after_a_restart(new_server):
    server = new_server(**SLOW)
    series = upload_echoes(server, MANY)["ParentSeries"]
    before = sorted(server.http.json("/instances"))
    job = submit(server.http, series)
    wait_for_progress(server.http, job)
    act(server.http, job, "pause")
    wait_for_job(server.http, job, ["Paused"])
    server.kill()
    server.start()
    act(server.http, job, "cancel")
    assert wait_for_job(server.http, job)["ErrorCode"] == CANCELED
    assert sorted(server.http.json("/instances")) == before


def test_split_is_whole_after_orthanc_was_stopped_in_the_middle(new_server):
    """Whether the job ends before Orthanc does or goes on after the next start is its own matter.

    Orthanc tells plugins that it stops only when nothing has happened for 100 ms.
    """
    server = new_server(**SLOW)
    series = upload_echoes(server, MANY)["ParentSeries"]
    waiting = upload_echoes(server, 4)["ParentSeries"]
    running, queued = submit(server.http, series), submit(server.http, waiting)
    wait_for_progress(server.http, running)
    assert server.stop() == 0
    assert "Traceback" not in server.log
    server.start()
    assert wait_for_job(server.http, running)["State"] == "Success"
    assert wait_for_job(server.http, queued)["State"] == "Success"
    assert series_sizes(server.http) == [2, 2, MANY // 2, MANY // 2]


def test_canceled_job_stays_canceled_when_orthanc_stops_at_once(new_server):
    """What a user was promised holds, whatever comes first."""
    server = new_server(**SLOW)
    series = upload_echoes(server, MANY)["ParentSeries"]
    before = sorted(server.http.json("/instances"))
    job = submit(server.http, series)
    wait_for_progress(server.http, job)
    act(server.http, job, "cancel")
    server.kill()
    server.start()
    failed = wait_for_job(server.http, job)
    assert (failed["State"], failed["ErrorCode"]) == ("Failure", CANCELED)
    assert sorted(server.http.json("/instances")) == before


def test_caller_who_waits_is_told_when_orthanc_stops(new_server):
    server = new_server(**SLOW)
    series = upload_echoes(server, MANY)["ParentSeries"]
    got: list[requests.Response | requests.ConnectionError] = []

    def call() -> None:
        http = Http(server.url)
        try:
            got.append(http.post(f"/series/{series}/split", {"By": ["EchoTime"]}))
        except requests.ConnectionError as error:
            got.append(error)
        http.close()

    caller = threading.Thread(target=call)
    caller.start()
    (job,) = wait_until("job", lambda: server.http.json("/jobs"), bool)
    wait_for_progress(server.http, job)
    act(server.http, job, "pause")  # so that it cannot end first
    wait_for_job(server.http, job, ["Paused"])
    assert server.stop() == 0
    caller.join()
    (answer,) = got
    if isinstance(answer, requests.Response):
        assert answer.status_code == 503, answer.text
        assert "goes on after the next start" in answer.json()["Details"]
    server.start()
    act(server.http, job, "resume")
    assert wait_for_job(server.http, job)["State"] == "Success"
    assert is_split(server.http)


def test_request_that_comes_before_the_start_is_complete_is_not_lost(new_server):
    """HTTP answers before the plugins are told that Orthanc has started."""
    server = new_server()
    series = upload_echoes(server, 4)["ParentSeries"]
    server.kill()
    server.start(wait=False)

    def ask() -> str:
        try:
            answer = server.http.post(f"/series/{series}/split", {"By": ["EchoTime"]})
        except requests.ConnectionError:
            return ""
        return f"{answer.status_code} {answer.text}"

    assert wait_until("answer", ask, bool).startswith("200 ")
    assert is_split(server.http, 4)


# The history


def test_history_keeps_as_many_finished_jobs_as_it_should(new_server):
    server = new_server(Curator={"JobsHistorySize": 2})
    jobs = []
    for _ in range(4):
        series = upload_echoes(server, 4)["ParentSeries"]
        jobs.append(submit(server.http, series))
        wait_until(
            f"job {jobs[-1]}",
            lambda: server.http.json("/curator")["Jobs"],
            lambda counts: counts["Pending"] == counts["Running"] == 0,
        )
    assert server.http.json("/jobs") == sorted(jobs[2:])


def test_jobs_of_the_core_are_not_touched_by_ours(server):
    """An archive of the core can be fetched while Curator has jobs of its own."""
    for instance in ct_series(2):
        study = server.upload(instance)["ParentStudy"]
    job = server.http.post(f"/studies/{study}/archive", {"Asynchronous": True}).json()["ID"]
    wait_for_job(server.http, job)
    wait_for_job(server.http, submit(server.http, upload_echoes(server, 4)["ParentSeries"]))
    content = server.http.get(f"/jobs/{job}/archive").content
    assert len(zipfile.ZipFile(io.BytesIO(content)).namelist()) == 2
