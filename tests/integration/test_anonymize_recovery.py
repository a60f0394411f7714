"""Anonymizations that are killed or canceled: nothing is lost, and no half of one stays."""

import random
import time
from collections.abc import Callable

import pytest

from factory import ct_series
from integration.anonymizing import SUBJECT, files
from integration.model import check_model, content, upload
from integration.servers import OrthancServer
from integration.waiting import wait_for_job

ServerFactory = Callable[..., OrthancServer]

INSTANCES = 200
POINTS = 4


def start(server: OrthancServer, study: str, **body: object) -> str:
    body = {"Profile": "basic", "Asynchronous": True, **body}
    answer = server.http.post(f"/studies/{study}/anonymize", body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["ID"])


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
    server.http.post(f"/jobs/{job}/pause")
    paused = wait_for_job(server.http, job, ("Paused", "Success"))
    assert paused["State"] == "Paused"
    server.http.post(f"/jobs/{job}/cancel")
    server.kill()
    server.start()
    canceled = wait_for_job(server.http, job, ("Failure",))
    assert canceled["ErrorDescription"] == "This job was canceled"
    assert content(server) == before
    assert server.http.json("/patients") == [server.http.json(f"/studies/{study}")["ParentPatient"]]
