"""A configuration that is wrong stops the start, and says all that is wrong with it."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from factory import mr_series
from integration.servers import Http, OrthancServer
from integration.waiting import wait_for_job
from rootfs import STORAGE


def refusal(server: OrthancServer) -> str:
    """Start a server that must not start; return what its log says of it."""
    before = len(server.log)
    with pytest.raises(AssertionError, match="Orthanc ended"):
        server.start()
    assert server.exit_code != 0
    log = server.log[before:]
    assert "Orthanc has started" not in log
    return log


def split_something(http: Http, **fields: Any) -> str:
    """Upload a study and split it; return the job."""
    for instance in mr_series(2, echo_times=(10.0, 80.0)):
        answer = http.post("/instances", data=instance)
        assert answer.status_code == 200, answer.text
    series = answer.json()["ParentSeries"]
    body = {"By": ["EchoTime"], "Asynchronous": True, **fields}
    job = str(http.post(f"/series/{series}/split", body).json()["ID"])
    assert wait_for_job(http, job)["State"] == "Success"
    return job


def jobs_in(database: Path) -> list[dict[str, Any]]:
    """Read the jobs of a database of Curator."""
    assert database.is_file()
    connection = sqlite3.connect(database)
    connection.row_factory = sqlite3.Row
    rows = [dict(row) for row in connection.execute("SELECT * FROM curator_jobs")]
    connection.close()
    return rows


# What is refused


def test_every_problem_of_the_section_is_told_with_its_path(new_server):
    section = {
        "Workers": 0,
        "ThreadsPerJob": "four",
        "JobsHistorySize": 1.5,
        "Database": 5,
        "Wrokers": 2,
        "Nonsense": {},
    }
    log = refusal(new_server(started=False, Curator=section))
    for name in section:
        assert f"$.Curator.{name}: " in log
    assert '$.Curator.Wrokers: unknown field, did you mean "Workers"?' in log
    assert "configuration has to be changed" in log


@pytest.mark.parametrize("section", [[], None], ids=str)
def test_section_that_is_no_object_is_refused(new_server, section):
    assert "$.Curator" in refusal(new_server(started=False, Curator=section))


def test_start_with_threads_forbidden_is_refused_with_the_line_to_add(new_server):
    log = refusal(new_server(started=False, Python={"AllowThreads": False}))
    assert "$.Python.AllowThreads: must be true" in log
    assert '"AllowThreads": true' in log


def test_start_without_a_word_on_threads_is_refused(new_server):
    server = new_server(started=False, Curator={"Nonsense": 1})
    del server.launch.settings["Python"]["AllowThreads"]
    log = refusal(server)
    assert "$.Python.AllowThreads: must be true" in log
    assert "$.Curator.Nonsense: unknown field" in log


@pytest.mark.parametrize(
    "url", ["no URL", "unknown://host/database", "sqlite:////proc/curator/database.db"]
)
def test_database_that_cannot_be_opened_is_refused(new_server, url):
    log = refusal(new_server(started=False, Curator={"Database": url}))
    assert "$.Curator.Database: cannot open the database" in log


def test_file_that_is_no_database_is_refused_and_left_alone(new_server):
    server = new_server(started=False)
    file = server.storage / "curator.db"
    file.write_text("not a database, whatever its name says " * 100)
    before = file.read_bytes()
    assert "$.Curator.Database: cannot open the database" in refusal(server)
    assert file.read_bytes() == before


def test_database_of_a_newer_curator_is_refused_and_left_alone(new_server):
    server = new_server()
    split_something(server.http)
    server.kill()
    database = server.storage / "curator.db"
    connection = sqlite3.connect(database)
    connection.execute("UPDATE curator_schema SET version = 99")
    connection.commit()
    connection.close()
    before = jobs_in(database)
    assert "schema 99, written by a newer Curator" in refusal(server)
    assert jobs_in(database) == before


def test_passwords_of_the_database_are_not_logged(new_server):
    url = "postgresql://curator:opensesame@127.0.0.1:9/curator"
    assert "opensesame" not in refusal(new_server(started=False, Curator={"Database": url}))


# What is taken


def test_section_may_be_left_out(new_server):
    server = new_server(started=False)
    del server.launch.settings["Curator"]
    with server.start():
        assert server.http.json("/curator")["Name"] == "Curator"


def test_database_is_beside_the_index_by_default(new_server):
    server = new_server()
    job = split_something(server.http)
    server.kill()
    assert (server.storage / "index").is_file()
    assert [row["id"] for row in jobs_in(server.storage / "curator.db")] == [job]


def test_database_is_where_the_configuration_says(new_server):
    place = "of/its own/state.db"
    server = new_server(Curator={"Database": f"sqlite:///{STORAGE}/{place}"})
    job = split_something(server.http)
    server.kill()
    assert [row["id"] for row in jobs_in(server.storage / place)] == [job]
    assert not (server.storage / "curator.db").exists()


def test_errors_have_no_body_where_orthanc_describes_none(new_server):
    settings = {"HttpDescribeErrors": False}
    server, stock = new_server(**settings), new_server(with_plugin=False, **settings)
    for path in ("/studies/unknown/split", "/jobs/unknown/cancel"):
        ours, theirs = (one.http.post(path, {}) for one in (server, stock))
        assert ours.status_code == theirs.status_code
        assert ours.content == theirs.content == b""
    answer = server.http.post("/series/unknown/split", {"By": ["EchoTime"]})
    assert (answer.status_code, answer.content) == (404, b"")


def test_user_of_a_job_is_kept(new_server):
    users = {"alice": "wonderland", "bob": "pass:word é"}
    server = new_server(started=False, AuthenticationEnabled=True, RegisteredUsers=users)
    server.http.session.auth = ("alice", "wonderland")
    server.start()
    split_something(server.http, KeepSource=True)
    server.http.session.auth = ("bob", users["bob"].encode())
    split_something(server.http)
    server.http.session.auth = ("alice", "wrong")
    assert server.http.get("/curator").status_code == 401
    assert server.http.post("/series/x/split", {"By": ["EchoTime"]}).status_code == 401
    server.kill()
    rows = jobs_in(server.storage / "curator.db")
    assert sorted(row["user"] for row in rows) == ["alice", "bob"]


def test_nothing_of_a_job_is_logged_that_is_the_patients(new_server):
    server = new_server()
    split_something(server.http)
    server.http.post("/series/unknown/split", {"By": ["EchoTime"]})
    assert "SYNTHETIC" not in server.log
    assert "SYN0001" not in server.log
