"""``GET /curator`` says what runs and how it is."""

import sqlite3
from contextlib import closing
from typing import Any

import curator
from curator.explorer import SCRIPT
from curator.store import SCHEMA_VERSION
from factory import mr_series
from integration.routing import deliveries
from integration.servers import free_port
from integration.waiting import wait_for_job, wait_until


def test_versions_are_told(server):
    answer = server.http.get("/curator")
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    status = answer.json()
    assert status["Name"] == "Curator"
    assert status["Version"] == curator.__version__
    assert status["OrthancVersion"] == server.version


def test_workers_and_database_are_told(server):
    counts = {"Operations": 2, "Runs": 4, "Events": 2}
    status = wait_until(  # Orthanc answers before it tells plugins that it has started
        "all workers",
        lambda: server.http.json("/curator"),
        lambda found: {name: found["Workers"][name]["Count"] for name in counts} == counts,
    )
    assert status["Database"] == {
        "Kind": "sqlite",
        "SchemaVersion": SCHEMA_VERSION,
        "Answers": True,
    }
    assert status["FreeDiskSizeMB"] > 0
    assert status["UptimeSeconds"] >= 0


def test_configuration_that_comes_along_needs_no_warning(server):
    warnings = server.http.json("/curator")["Warnings"]
    # the tests may keep their storage in memory; an Orthanc of others is configured as they like
    assert all(one.startswith("$.Curator.Database: ") for one in warnings)


def test_orthanc_explorer_has_a_button(server):
    script = server.http.get("/plugins/explorer.js").text
    assert script.count(SCRIPT.read_text(encoding="utf-8")) == 1
    assert server.http.json("/plugins/python")["ExtendsOrthancExplorer"] is True


def split_by_echo(server) -> str:
    """Split a series and return the identifier of the job, which has succeeded."""
    for instance in mr_series(2, echo_times=(10.0, 80.0)):
        series = server.upload(instance)["ParentSeries"]
    body = {"By": ["EchoTime"], "Asynchronous": True}
    job = server.http.post(f"/series/{series}/split", body).json()["ID"]
    assert wait_for_job(server.http, job)["State"] == "Success"
    return str(job)


def wait_for_health(server, health: str) -> dict[str, Any]:
    """Return the status as soon as it tells of some health."""
    return wait_until(
        f"{health} health",
        lambda: server.http.json("/curator"),
        lambda status: status["Health"] == health,
    )


def test_status_follows_what_happens(new_server):
    """Jobs are counted, a parked delivery is ill health until someone deals with it."""
    server = new_server(OrthancPeers={"dead": [f"http://127.0.0.1:{free_port()}/"]})
    before = server.http.json("/curator")
    assert (before["Health"], before["HealthDetails"]) == ("Good", [])
    assert before["Jobs"].keys() == {"Pending", "Running", "Success", "Failure", "Paused"}
    split_by_echo(server)
    after = server.http.json("/curator")["Jobs"]
    assert after == before["Jobs"] | {"Success": before["Jobs"]["Success"] + 1}

    rule = {
        "When": "Manual",
        "Retry": {"Attempts": 1},
        "Then": [{"Send": "peer:dead"}],
    }
    assert server.http.put("/curator/rules/lost", rule).ok
    (study,) = server.http.json("/studies")
    assert server.http.post("/curator/rules/lost/run", {"Resources": [study]}).ok
    ill = wait_for_health(server, "Degraded")
    assert ill["HealthDetails"] == ["1 delivery to peer:dead parked"]
    (error,) = ill["LastErrors"]
    (delivery,) = deliveries(server)
    told = {name: error[name] for name in ("Kind", "ID", "Name", "State", "Details")}
    assert told == {
        "Kind": "Delivery",
        "ID": delivery["ID"],
        "Name": "peer:dead",
        "State": "Parked",
        "Details": delivery["Answer"],
    }
    assert metrics(server)["curator_health"] == 1
    assert server.http.post("/curator/deliveries/cancel", {"All": True}).ok
    assert wait_for_health(server, "Good")["LastErrors"] == []

    with closing(sqlite3.connect(server.storage / "curator.db")) as database:
        database.execute("BEGIN IMMEDIATE")  # nobody else can write now
        assert server.http.json("/curator")["Database"]["Answers"] is True
        database.rollback()


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
    published = metrics(server)
    for state, count in counted.items():
        assert published[f"curator_jobs_{state.lower()}"] == count


def metrics(server) -> dict[str, float]:
    """Return what the server tells Prometheus, by name."""
    lines = server.http.get("/tools/metrics-prometheus").text.splitlines()
    return {line.split()[0]: float(line.split()[1]) for line in lines if line}
