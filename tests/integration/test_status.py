"""``GET /curator`` says what runs and how it is."""

import curator
from factory import mr_series
from integration.waiting import wait_for_job


def test_versions_are_told(server):
    answer = server.http.get("/curator")
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    status = answer.json()
    assert status["Name"] == "Curator"
    assert status["Version"] == curator.__version__
    assert status["OrthancVersion"] == server.version


def test_jobs_are_counted_by_state(new_server):
    server = new_server()  # whose history of jobs is not full
    before = server.http.json("/curator")["Jobs"]
    assert before.keys() == {"Pending", "Running", "Success", "Failure", "Paused"}
    for instance in mr_series(2, echo_times=(10.0, 80.0)):
        series = server.upload(instance)["ParentSeries"]
    body = {"By": ["EchoTime"], "Asynchronous": True}
    job = server.http.post(f"/series/{series}/split", body).json()["ID"]
    assert wait_for_job(server.http, job)["State"] == "Success"
    assert server.http.json("/curator")["Jobs"] == before | {"Success": before["Success"] + 1}


def test_dry_run_is_no_job(server):
    before = server.http.json("/curator")["Jobs"]
    for instance in mr_series(2, echo_times=(10.0, 80.0)):
        series = server.upload(instance)["ParentSeries"]
    answer = server.http.post(f"/series/{series}/split", {"By": ["EchoTime"], "DryRun": True})
    assert answer.status_code == 200
    assert server.http.json("/curator")["Jobs"] == before


def test_jobs_are_counted_in_the_metrics(server):
    for instance in mr_series(2, echo_times=(10.0, 80.0)):
        series = server.upload(instance)["ParentSeries"]
    assert server.http.post(f"/series/{series}/split", {"By": ["EchoTime"]}).ok
    counted = server.http.json("/curator")["Jobs"]
    lines = server.http.get("/tools/metrics-prometheus").text.splitlines()
    metrics = {line.split()[0]: float(line.split()[1]) for line in lines if line}
    for state, count in counted.items():
        assert metrics[f"curator_jobs_{state.lower()}"] == count
