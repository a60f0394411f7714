"""Waiting for what a server does in its own time: by asking again, never by hoping for a delay."""

import time
from collections.abc import Callable, Container
from typing import Any, TypeVar

from integration.servers import Http, OrthancServer

PATIENCE = 120.0
"""Seconds after which a test gives up; nothing that is tested takes a part of it."""

FINISHED = ("Success", "Failure")

T = TypeVar("T")


def wait_until(what: str, read: Callable[[], T], holds: Callable[[T], bool]) -> T:
    """Return what `read` gives as soon as `holds` says it is there.

    The longer it takes, the less often it is asked for: who asks takes time from who works.
    """
    begun = time.monotonic()
    while not holds(value := read()):
        waited = time.monotonic() - begun
        assert waited < PATIENCE, f"{what}: still {value!r} after {PATIENCE:g} s"
        time.sleep(min(max(0.005, waited / 20), 0.05))
    return value


def wait_for_job(http: Http, job_id: str, states: Container[str] = FINISHED) -> dict[str, Any]:
    """Return a job as soon as it is in one of some states; a job that has ended stays so."""
    job = wait_until(
        f"job {job_id}",
        lambda: http.json(f"/jobs/{job_id}"),
        lambda job: job["State"] in states or job["State"] in FINISHED,
    )
    assert job["State"] in states, f"job ended: {job}"
    return dict(job)


def cancel_across_a_kill(server: OrthancServer, job: str) -> None:
    """Cancel a job in its middle, kill the server at once, and see the cancel through after it."""
    server.http.post(f"/jobs/{job}/pause")
    paused = wait_for_job(server.http, job, ("Paused", "Success"))
    assert paused["State"] == "Paused"
    server.http.post(f"/jobs/{job}/cancel")
    server.kill()
    server.start()
    canceled = wait_for_job(server.http, job, ("Failure",))
    assert canceled["ErrorDescription"] == "This job was canceled"
