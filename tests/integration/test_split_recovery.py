"""Splits that are killed: nothing is lost, and nothing is left over."""

import os
import random
import time
from collections.abc import Callable

from factory import mr_series
from integration.model import check_model, check_numbers, content, upload
from integration.servers import OrthancServer
from integration.waiting import cancel_across_a_kill, wait_for_job

ServerFactory = Callable[..., OrthancServer]

INSTANCES = 200
POINTS = int(os.environ.get("CURATOR_TEST_KILLS", "3"))
BODY = {"By": ["EchoTime"], "Into": "Series", "Asynchronous": True}


def start_split(server: OrthancServer, study: str) -> str:
    answer = server.http.post(f"/studies/{study}/split", BODY)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["ID"])


def test_killing_a_split_at_any_point_loses_nothing_and_leaves_no_orphan(
    new_server: ServerFactory,
) -> None:
    files = mr_series(count=INSTANCES // 2, echo_times=(2.46, 4.92), Rows=64, Columns=64)
    server = new_server()
    study = upload(server, files)
    pixels = content(server).pixels
    start = time.perf_counter()
    wait_for_job(server.http, start_split(server, study), ("Success",))
    duration = time.perf_counter() - start
    done = content(server)

    chance = random.Random(server.release)
    for point in range(POINTS):
        server.clear()
        assert upload(server, files) == study
        job = start_split(server, study)
        # A point of each tenth of the time that the whole split takes.
        time.sleep(duration * (point + chance.random()) / POINTS)
        server.kill()
        server.start()
        described = wait_for_job(server.http, job, ("Success",))
        after = content(server)
        assert after.pixels == pixels, f"killed at point {point}"
        assert len(after.files) == INSTANCES
        assert len(server.http.json("/series")) == 2
        assert described["Content"]["InstancesCount"] == INSTANCES
        check_model(server)
        check_numbers(server, study)
    assert done.pixels == pixels


def test_a_canceled_split_is_undone_also_when_the_cancel_is_interrupted(
    new_server: ServerFactory,
) -> None:
    files = mr_series(count=INSTANCES // 2, echo_times=(2.46, 4.92), Rows=64, Columns=64)
    server = new_server()
    study = upload(server, files)
    before = content(server)
    job = start_split(server, study)
    cancel_across_a_kill(server, job)
    assert content(server) == before
