"""Deliveries in a running server: questions, parked ones, other destinations, metrics, alerts."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from factory import ct_series
from integration.http_sink import HttpSink
from integration.routing import deliveries, destination, rule, runs
from integration.servers import OrthancServer, free_port
from integration.waiting import wait_until

ServerFactory = Callable[..., OrthancServer]

DEAD = "modality:dead"
HOOK = "webhook:hook"

ONCE = {"Attempts": 1, "First": 0.1, "Max": 0.1}
"""A delivery that fails is parked at once."""


@pytest.fixture
def hook() -> Iterator[HttpSink]:
    with HttpSink() as sink:
        yield sink


@pytest.fixture
def ops() -> Iterator[HttpSink]:
    """Who gets the alerts."""
    with HttpSink() as sink:
        yield sink


@pytest.fixture
def router(new_server: ServerFactory, hook: HttpSink, ops: HttpSink) -> OrthancServer:
    return new_server(
        StableAge=1,
        DicomModalities={"dead": {"AET": "DEAD", "Host": "127.0.0.1", "Port": free_port()}},
        Curator={
            "Webhooks": {"hook": {"Url": hook.url}, "ops": {"Url": ops.url}},
            "Alerts": {"Webhooks": ["ops"], "Minutes": 1},
            "Rules": [rule("by-study", "StableStudy", [DEAD, HOOK], Retry=ONCE)],
        },
    )


def upload(server: OrthancServer) -> str:
    """Upload a study of one series; return its Orthanc identifier."""
    return {str(server.upload(dicom)["ParentStudy"]) for dicom in ct_series(3)}.pop()


def wait_for_state(server: OrthancServer, state: str, **filters: str) -> dict[str, Any]:
    """Return the only delivery that filters name, as soon as it is in a state."""
    (found,) = wait_until(
        f"delivery {state}",
        lambda: deliveries(server, **filters),
        lambda found: [one["State"] for one in found] == [state],
    )
    return dict(found)


def test_what_does_not_arrive_is_parked_told_and_goes_elsewhere(
    router: OrthancServer, hook: HttpSink, ops: HttpSink
) -> None:
    http = router.http
    study = upload(router)

    arrived = wait_for_state(router, "Delivered", resource=study, destination=HOOK)
    assert (arrived["InstancesCount"], arrived["Done"], arrived["Rule"]) == (3, 3, "by-study")
    parked = wait_for_state(router, "Parked", resource=study, destination=DEAD)
    assert (parked["Done"], parked["Failure"]) == (0, "Transient")
    assert parked["Answer"]
    series = http.json(f"/studies/{study}")["Series"][0]
    assert len(deliveries(router, resource=series)) == 2
    detail = http.json(f"/curator/deliveries/{parked['ID']}")
    assert {one["State"] for one in detail["Instances"]} == {"Queued"}
    assert sorted(one["ID"] for one in detail["Instances"]) == sorted(http.json("/instances"))

    assert destination(router, quote(DEAD, safe="")) == destination(router, DEAD)
    assert destination(router, DEAD)["Deliveries"]["Parked"] == 1
    assert {one["Name"] for one in http.json("/curator/destinations")} >= {DEAD, HOOK}
    assert http.post(f"/curator/destinations/{DEAD}/test").json()["Success"] is False
    assert http.post(f"/curator/destinations/{HOOK}/test").json()["Success"] is True
    wait_until(
        "metrics",
        lambda: http.get("/tools/metrics-prometheus").text,
        lambda text: (
            "curator_deliveries_parked_modality_dead 1" in text
            and "curator_deliveries_delivered_webhook_hook 1" in text
        ),
    )

    (alert,) = wait_until("alert", lambda: ops.posted, bool)
    digest = json.loads(alert.body)
    assert digest["Event"] == "Alert"
    assert digest["Parked"] == [{"Destination": DEAD, "Rule": "by-study", "Count": 1}]
    assert study not in alert.body.decode()

    http.post(f"/curator/deliveries/{parked['ID']}/retry")
    wait_for_state(router, "Parked", resource=study, destination=DEAD)
    assert [one["State"] for one in runs(router)] == ["Sending"]
    moved = http.post(f"/curator/deliveries/{parked['ID']}/redirect", {"To": HOOK}).json()
    assert (moved["State"], moved["Destination"]) == ("Delivered", HOOK)  # it has been there
    wait_until("run", lambda: [one["State"] for one in runs(router)], lambda all_: all_ == ["Done"])


def test_a_paused_destination_waits_and_a_filter_chooses_what_goes_and_what_does_not(
    router: OrthancServer, hook: HttpSink
) -> None:
    http = router.http
    assert http.post(f"/curator/destinations/{HOOK}/pause").json()["Paused"] is True
    study = upload(router)
    waiting = wait_for_state(router, "Queued", resource=study, destination=HOOK)
    parked = wait_for_state(router, "Parked", resource=study, destination=DEAD)
    assert hook.posted == []

    refused = http.post("/curator/deliveries/cancel", {})
    assert refused.status_code == 400
    chosen = {"State": "Parked", "Destination": DEAD}
    assert http.post("/curator/deliveries/cancel", chosen).json() == {"Count": 1}
    again = http.post(f"/curator/deliveries/{parked['ID']}/retry")
    assert again.status_code == 409
    assert "Canceled" in again.json()["Details"]

    router.kill()
    router.start()
    assert destination(router, HOOK)["Paused"] is True
    assert http.post(f"/curator/destinations/{HOOK}/resume").json()["Paused"] is False
    arrived = wait_for_state(router, "Delivered", resource=study, destination=HOOK)
    assert arrived["ID"] == waiting["ID"]
    assert len(hook.posted) == 1
