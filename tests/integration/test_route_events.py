"""Events on real servers: what the change log does not tell, or not any more, is found."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from factory import ct_series, make_study, mr_series
from integration.conftest import ServerFactory
from integration.routing import runs
from integration.servers import OrthancServer
from integration.waiting import wait_until

STUDY = make_study([ct_series(count=4), mr_series(count=2)])
LATE = ct_series(count=3, study="late", PatientID="LATE")
COMPLETE = ct_series(
    count=2, study="complete", PatientID="C", ImagesInAcquisition=2, NumberOfTemporalPositions=1
)


def marking(name: str, when: str, **fields: Any) -> dict[str, Any]:
    """Return a rule that needs no destination."""
    return {"Name": name, "When": when, "Then": [{"Label": {"Add": [f"{name}-done"]}}], **fields}


RULES = [
    marking("stored", "StoredInstance", Batch={"Seconds": 0.2, "Instances": 1000}),
    marking(
        "study",
        "StableStudy",
        If={
            "All": [
                {"Source": {"Origin": "RestApi", "RemoteIp": "127.0.0.0/8"}},
                {"Count": "Instances", "Between": [2, 100]},
                {"Tag": "PatientID", "Exists": True},
                {"Tag": "Rows", "Equals": 16},
            ]
        },
    ),
    marking("complete", "CompletedSeries"),
    marking("labeled", "Label", Label="look"),
]


@pytest.fixture
def start(new_server: ServerFactory, tmp_path: Path) -> Callable[..., OrthancServer]:
    """Return what starts a server on one and the same storage, with Curator or without."""

    def started(**options: Any) -> OrthancServer:
        storage = tmp_path / "storage"
        storage.mkdir(exist_ok=True)
        return new_server(storage=storage, Curator={"Rules": RULES}, StableAge=1, **options)

    return started


def send(server: OrthancServer, files: list[bytes]) -> None:
    for file in files:
        server.upload(file)


def stored(server: OrthancServer) -> list[str]:
    """Return the instances that the rule for them was given, each as often as it was."""
    found = [server.http.json(f"/curator/runs/{run['ID']}") for run in runs(server, rule="stored")]
    return sorted(one["ID"] for run in found for one in run["Subjects"])


def fired(server: OrthancServer, rule: str) -> list[str]:
    return sorted(run["Resource"] for run in runs(server, rule=rule))


def wait_for_all(server: OrthancServer) -> None:
    """Wait until every instance and every study was taken up, and see that each was once."""
    instances = sorted(server.http.json("/instances"))
    studies = sorted(server.http.json("/studies"))
    assert wait_until("instances", lambda: stored(server), lambda one: len(one) >= len(instances))
    assert wait_until(
        "studies", lambda: fired(server, "study"), lambda one: len(one) >= len(studies)
    )
    assert stored(server) == instances
    assert fired(server, "study") == studies


def test_nothing_is_lost_by_kills_by_a_time_without_curator_or_with_the_log(
    start: Callable[..., OrthancServer],
) -> None:
    server = start()
    send(server, STUDY)
    server.kill()  # before StableAge
    stock = start(with_plugin=False)
    send(stock, LATE)
    assert stock.http.delete("/changes").ok
    stock.stop()
    server.start()
    wait_for_all(server)
    assert "entries of the change log are gone" in server.log
    assert "were not in the change log, and were found again" in server.log


def test_labels_and_completed_series_count_once(start: Callable[..., OrthancServer]) -> None:
    server = start()
    send(server, COMPLETE)
    wait_for_all(server)
    assert fired(server, "complete") == server.http.json("/series")
    (study,) = server.http.json("/studies")
    assert server.http.put(f"/studies/{study}/labels/look").ok
    wait_until("labels", lambda: fired(server, "labeled"), bool)
    server.stop()
    server.start()
    wait_until("start", lambda: "Curator" in server.log, bool)
    assert fired(server, "labeled") == [study]
    wait_for_all(server)
    assert "WARNING" not in _about_events(server)


def _about_events(server: OrthancServer) -> str:
    return "\n".join(line for line in server.log.splitlines() if "change log" in line)
