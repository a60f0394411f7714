"""Destinations do not get into each other's way."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from factory import ct_series
from integration.archives import ARCHIVE, modality, wait_for_count
from integration.routing import deliveries, rule, states, wait_for_deliveries
from integration.scp import Scp
from integration.servers import OrthancServer
from integration.waiting import wait_until

ServerFactory = Callable[..., OrthancServer]

STUDIES = 4
INSTANCES = 5

STALLING = ("stalling1", "stalling2", "stalling3")
"""As many as the core has workers for jobs (ConcurrentJobs), and one more."""


@pytest.fixture
def stalling() -> Iterator[dict[str, Scp]]:
    """Return DICOM servers that take instances and do not answer, by the names of modalities."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(Scp(stalls=True)) for name in STALLING}


def upload_studies(server: OrthancServer, names: range) -> None:
    for name in names:
        for content in ct_series(INSTANCES, study=f"{name}", PatientID=f"{name}"):
            server.upload(content)


def test_dead_and_stalling_destinations_hold_up_nobody_else(
    new_server: ServerFactory, stalling: dict[str, Scp]
) -> None:
    """All arrives at one archive while the others have not answered for a single instance."""
    archive = new_server(with_plugin=False, **ARCHIVE)
    dead = new_server(with_plugin=False, started=False, **ARCHIVE)
    places = {
        "dead": modality(dead),
        **{name: scp.modality for name, scp in stalling.items()},
        "archive": modality(archive),
    }
    to = [f"modality:{name}" for name in places]
    router = new_server(
        DicomModalities=places,
        DicomScuTimeout=0,  # never: who is not answered sends again
        Curator={"Rules": [rule("everywhere", "StoredInstance", to)]},
    )
    upload_studies(router, range(STUDIES))
    wait_until("stalling", lambda: [scp.stalled for scp in stalling.values()], all)
    upload_studies(router, range(STUDIES, 2 * STUDIES))
    everything = 2 * STUDIES * INSTANCES
    wait_for_count(archive, everything)
    assert [scp.received for scp in stalling.values()] == [[], [], []]
    assert "Delivered" not in states(router, destination="modality:dead")

    for scp in stalling.values():
        scp.go_on()
    dead.start()
    wait_for_deliveries(router)
    assert states(router).keys() == {"Delivered"}
    assert {one["Destination"] for one in deliveries(router)} == set(to)
    wait_for_count(dead, everything)
    for scp in stalling.values():
        assert len(scp.received) == len(scp.stored) == everything
