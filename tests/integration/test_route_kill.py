"""Routing that is killed: every instance arrives, and the ledger says what the archives hold."""

import os
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import requests

from factory import ct_series, mr_series
from integration.archives import (
    ARCHIVE,
    assert_holds_the_same,
    count,
    modality,
    new_instances,
    wait_for_count,
)
from integration.routing import deliveries, rule, runs, wait_for_deliveries
from integration.servers import Http, OrthancServer
from integration.waiting import wait_until

ServerFactory = Callable[..., OrthancServer]

ROUNDS = int(os.environ.get("CURATOR_TEST_KILLS", "3"))
"""How often the routing server is killed; more of them find more."""

STUDIES = 4
INSTANCES = 12
"""Of each study."""

BOTH = ("modality:first", "modality:second")
RULES = [
    rule("ct-at-once", "StoredInstance", BOTH, If={"Tag": "Modality", "Equals": "CT"}),
    rule("mr-when-stable", "StableStudy", BOTH, If={"Tag": "Modality", "Equals": "MR"}),
]


@dataclass(frozen=True)
class Place:
    """A routing server, and the two archives that it has to fill."""

    router: OrthancServer
    first: OrthancServer
    second: OrthancServer

    @property
    def archives(self) -> dict[str, OrthancServer]:
        """The archives, by the name of their destination."""
        return dict(zip(BOTH, (self.first, self.second), strict=True))

    def wait_until_all_arrived(self) -> None:
        """Wait for both archives, and for the ledger to say so."""
        stored = count(self.router)
        for archive in self.archives.values():
            wait_for_count(archive, stored)
        wait_for_deliveries(self.router)


@pytest.fixture
def place(new_server: ServerFactory) -> Place:
    first, second = (new_server(with_plugin=False, **ARCHIVE) for _ in BOTH)
    modalities = {"first": modality(first), "second": modality(second)}
    router = new_server(
        DicomModalities=modalities,
        StableAge=1,
        Curator={"Rules": RULES, "Destinations": {name: {"Timeout": 5} for name in BOTH}},
    )
    return Place(router, first, second)


def studies(number: int) -> list[bytes]:
    """Return the instances of several studies, in the order in which modalities send them."""
    sets = [
        make(INSTANCES, study=f"{number}.{study}", PatientID=f"{number}.{study}")
        for study in range(STUDIES)
        for make in ((ct_series, mr_series)[study % 2],)
    ]
    return [content for together in zip(*sets, strict=True) for content in together]


def send_all(url: str, files: list[bytes], taken: list[bytes]) -> None:
    """Upload as a modality does: again and again, until the server has said that it has it."""
    http = Http(url)
    for content in files:
        wait_until("upload", partial(_upload, http, content), bool)
        taken.append(content)
    http.close()


def _upload(http: Http, content: bytes) -> bool:
    try:
        return http.post("/instances", data=content).ok
    except requests.RequestException:
        return False


@contextmanager
def ingest(router: OrthancServer, files: list[bytes]) -> Iterator[list[bytes]]:
    """Upload in the background; give what was taken so far. Meanwhile the server may be killed."""
    taken: list[bytes] = []
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send_all, router.url, files, taken)
        yield taken
        sending.result()


def delivered(router: OrthancServer) -> dict[str, set[str]]:
    """Return the instances that the ledger has as delivered, by destination."""
    found: dict[str, set[str]] = defaultdict(set)
    for one in deliveries(router, state="Delivered"):
        detail = router.http.json(f"/curator/deliveries/{one['ID']}")
        assert detail["Done"] == detail["InstancesCount"]
        found[one["Destination"]].update(entry["ID"] for entry in detail["Instances"])
    return found


def check(place: Place) -> None:
    """Check that everything is in both archives once, and that the ledger says just that."""
    stored = set(place.router.http.json("/instances"))
    ledger = delivered(place.router)
    for name, archive in place.archives.items():
        assert_holds_the_same(archive, place.router)
        assert sorted(new_instances(archive)) == sorted(stored)
        assert ledger[name] == stored
    assert {one["State"] for one in deliveries(place.router)} == {"Delivered"}
    assert {one["State"] for one in runs(place.router)} == {"Done"}


def sleep_within(chance: random.Random, seconds: float) -> None:
    """Go on at any moment of a span of time."""
    time.sleep(seconds * chance.random())


def wait_for_a_moment(chance: random.Random, taken: list[bytes], total: int) -> None:
    """Go on at any moment of the ingest that is left."""
    enough = chance.randint(len(taken), total)
    wait_until("ingest", lambda: len(taken), lambda found: found >= enough)


def test_killing_it_at_any_moment_loses_nothing_and_the_ledger_agrees(place: Place) -> None:
    """It is killed in every other round while instances come, else while they are sent."""
    begun = time.perf_counter()
    send_all(place.router.url, studies(0), [])
    place.wait_until_all_arrived()
    duration = time.perf_counter() - begun
    chance = random.Random(place.router.release)
    for number in range(1, ROUNDS + 1):
        files = studies(number)
        with ingest(place.router, files) as taken:
            victim = chance.choice(list(place.archives.values()))
            wait_for_a_moment(chance, taken, len(files))
            victim.kill()
            if number % 2:
                wait_for_a_moment(chance, taken, len(files))
            else:
                sleep_within(chance, duration)
            place.router.kill()
            if chance.random() < 0.5:
                victim.start()
            place.router.start()
        sleep_within(chance, duration / 2)
        if not victim.is_alive():
            victim.start()
        place.wait_until_all_arrived()
    check(place)


def test_a_study_that_was_not_stable_yet_when_it_was_killed_arrives(
    new_server: ServerFactory,
) -> None:
    """Orthanc itself never says afterwards that it became stable."""
    archive = new_server(with_plugin=False, **ARCHIVE)
    stable = rule("stable", "StableStudy", "modality:archive")
    router = new_server(
        DicomModalities={"archive": modality(archive)},
        StableAge=3,
        Curator={"Rules": [stable]},
    )
    send_all(router.url, ct_series(INSTANCES), [])
    router.kill()
    router.start()
    assert "StableStudy" not in changes(router)
    wait_for_count(archive, INSTANCES)
    wait_for_deliveries(router)
    assert "StableStudy" not in changes(router)
    assert_holds_the_same(archive, router)


def changes(server: OrthancServer) -> set[str]:
    """Return the types of all changes in the log."""
    found: list[dict[str, Any]] = server.http.json("/changes", params={"limit": 100_000})["Changes"]
    return {change["ChangeType"] for change in found}
