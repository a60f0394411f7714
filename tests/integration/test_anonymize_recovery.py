"""Anonymizations that are killed or canceled: nothing is lost, and no half of one stays."""

import os
import random
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from factory import ct_series
from integration.anonymizing import SUBJECT, anonymize, files
from integration.model import check_model, content, upload
from integration.servers import OrthancServer, RunningServer
from integration.waiting import cancel_across_a_kill, wait_for_job, wait_until

ServerFactory = Callable[..., OrthancServer]

INSTANCES = 200
POINTS = int(os.environ.get("CURATOR_TEST_KILLS", "3"))
"""Points at which each kind of job is killed; more of them find more."""


def start(server: RunningServer, study: str, **body: object) -> str:
    body = {"Profile": "basic", "Asynchronous": True, **body}
    answer = server.http.post(f"/studies/{study}/anonymize", body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["ID"])


def pause_in_the_middle(server: RunningServer, job: str) -> None:
    """Pause a job that has made something and not all."""
    wait_until("progress", lambda: server.http.json(f"/jobs/{job}"), lambda one: one["Progress"])
    assert server.http.post(f"/jobs/{job}/pause").ok
    assert wait_for_job(server.http, job, ("Paused",))["Progress"] < 100


@pytest.mark.parametrize(("keep_source", "cache"), [(True, 256), (False, 0)])
def test_killing_it_at_any_point_loses_nothing_and_ends_whole(
    new_server: ServerFactory, keep_source: bool, cache: int
) -> None:
    server = new_server(Curator={"CacheMegabytes": cache})
    sources = ct_series(INSTANCES, size=64, **SUBJECT)
    study = upload(server, sources)
    originals = content(server).files
    begun = time.perf_counter()
    done = wait_for_job(server.http, start(server, study, KeepSource=keep_source), ("Success",))
    duration = time.perf_counter() - begun
    expected = files(server, f"studies/{done['Content']['ID']}")
    assert len(expected) == INSTANCES
    after = {**(originals if keep_source else {}), **expected}

    chance = random.Random(f"{server.release} {keep_source} {cache}")
    for point in range(POINTS):
        server.clear()
        assert upload(server, sources) == study
        job = start(server, study, KeepSource=keep_source)
        time.sleep(duration * (point + chance.random()) / POINTS)
        server.kill()
        server.start()
        described = wait_for_job(server.http, job, ("Success",))
        assert described["Content"]["ID"] == done["Content"]["ID"]
        assert content(server).files == after, f"killed at point {point}"
        check_model(server)


@pytest.mark.parametrize("cache", [0, 256])
def test_a_canceled_one_leaves_nothing_also_when_the_cancel_is_interrupted(
    new_server: ServerFactory, cache: int
) -> None:
    server = new_server(Curator={"CacheMegabytes": cache})
    study = upload(server, ct_series(INSTANCES, size=64, **SUBJECT))
    before = content(server)
    job = start(server, study)
    cancel_across_a_kill(server, job)
    assert content(server) == before
    assert server.http.json("/patients") == [server.http.json(f"/studies/{study}")["ParentPatient"]]


def test_a_job_that_is_killed_again_and_again_comes_to_its_end(new_server: ServerFactory) -> None:
    server = new_server(Curator={"CacheMegabytes": 0})
    study = upload(server, ct_series(INSTANCES, size=64, **SUBJECT))
    originals = content(server).files
    job = start(server, study)
    chance = random.Random(f"again {server.release}")
    for _ in range(POINTS):
        time.sleep(0.3 * chance.random())
        server.kill()
        server.start()
    ended = wait_for_job(server.http, job, ("Success",))
    made = files(server, f"studies/{ended['Content']['ID']}")
    assert len(made) == INSTANCES
    assert content(server).files == {**originals, **made}


def rotate(server: OrthancServer, *, keep: bool = True) -> None:
    """Put a new key into the key file, below the old ones or instead of them."""
    path = server.storage / "curator.key"
    lines = path.read_text().splitlines() if keep else []
    path.write_text("\n".join([*lines, secrets.token_hex(32), ""]))


def test_the_key_may_change_while_a_job_waits(new_server: ServerFactory) -> None:
    """It goes on with the key that it began with; whoever names that key has it, too."""
    server = new_server(Curator={"CacheMegabytes": 0})
    study = upload(server, ct_series(INSTANCES, size=64, **SUBJECT))
    job = start(server, study)
    pause_in_the_middle(server, job)
    server.kill()
    rotate(server)
    server.start()
    assert server.http.post(f"/jobs/{job}/resume").ok
    first = wait_for_job(server.http, job, ("Success",))["Content"]
    assert len(files(server, f"studies/{first['ID']}")) == INSTANCES
    assert first["Key"] != server.http.json("/curator")["Key"]
    after = content(server)
    named = {"Name": "basic", "Key": first["Key"]}
    assert anonymize(server, f"studies/{study}", Profile=named)["ID"] == first["ID"]
    assert content(server) == after
    other = anonymize(server, f"studies/{study}")
    assert other["Key"] == server.http.json("/curator")["Key"]
    assert {other["ID"], other["PatientID"]}.isdisjoint({first["ID"], first["PatientID"]})


def test_a_job_whose_key_is_gone_is_taken_back(new_server: ServerFactory) -> None:
    server = new_server(Curator={"CacheMegabytes": 0})
    study = upload(server, ct_series(INSTANCES, size=64, **SUBJECT))
    before = content(server)
    job = start(server, study, KeepSource=False)
    pause_in_the_middle(server, job)
    key = server.http.json("/curator")["Key"]
    server.kill()
    rotate(server, keep=False)
    server.start()
    assert server.http.post(f"/jobs/{job}/resume").ok
    ended = wait_for_job(server.http, job, ("Failure",))
    assert key in ended["ErrorDetails"]
    assert content(server) == before
    named = server.http.put("/curator/profiles/named", {"Key": key})
    assert named.status_code == 400
    assert f'$.Key: the key file has no key "{key}"' in named.json()["Details"]


def test_a_disk_that_is_full_leaves_all_as_it_was(
    new_server: ServerFactory, small_disk: Path
) -> None:
    """Here also the index of Orthanc and the database of Curator have no room."""
    server = new_server(storage=small_disk, StableAge=600)
    study = upload(server, ct_series(30, size=512, **SUBJECT))
    before = content(server)
    for keep_source in (True, False):
        body = {"Profile": "basic", "KeepSource": keep_source}
        answer = server.http.post(f"/studies/{study}/anonymize", body)
        assert answer.status_code >= 500, answer.text
        job = server.http.json("/jobs")[0]
        if wait_for_job(server.http, job)["State"] == "Failure":
            server.kill()
            server.start()
        wait_until(
            "copies",
            lambda: server.http.json("/statistics")["CountInstances"],
            lambda count: count == len(before.files),
        )
        assert content(server) == before
