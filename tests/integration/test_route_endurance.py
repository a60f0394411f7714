"""Sends that last: Orthanc answers, stops and goes on as if there were none."""

from collections.abc import Callable

from factory import ct_series
from integration.routing import deliveries, rule, states, wait_for_deliveries
from integration.scp import Scp
from integration.servers import OrthancServer
from integration.waiting import wait_until

ServerFactory = Callable[..., OrthancServer]

INSTANCES = 8
ARCHIVE = "modality:archive"

HOUR = {ARCHIVE: {"Timeout": 3600, "Concurrency": 1}}
"""An archive may take so long for one instance; nothing else waits for it."""

WHOLE = {"Seconds": 60, "Instances": INSTANCES}
"""A series makes one batch, however long its upload takes."""


def router_to(new_server: ServerFactory, scp: Scp) -> OrthancServer:
    return new_server(
        DicomModalities={"archive": scp.modality},
        Curator={
            "Rules": [rule("archive", "StoredInstance", ARCHIVE, Batch=WHOLE)],
            "Destinations": HOUR,
        },
    )


def upload(server: OrthancServer, study: str) -> str:
    """Upload a study; return its Orthanc identifier."""
    files = ct_series(INSTANCES, study=study, PatientID=study)
    (orthanc_id,) = {str(server.upload(content)["ParentStudy"]) for content in files}
    return orthanc_id


def test_a_stop_does_not_wait_for_a_send_and_the_next_start_goes_on(
    new_server: ServerFactory,
) -> None:
    with Scp(stalls=True) as archive:
        server = router_to(new_server, archive)
        upload(server, "one")
        wait_until("stalling", lambda: archive.stalled, bool)
        assert server.stop() == 0
        assert archive.received == []

        archive.go_on()
        server.start()
        wait_for_deliveries(server)
        assert len(archive.stored) == INSTANCES
    assert states(server) == {"Delivered": 1}


def test_a_study_that_is_deleted_while_it_waits_is_canceled(new_server: ServerFactory) -> None:
    with Scp(stalls=True) as archive:
        server = router_to(new_server, archive)
        upload(server, "one")
        wait_until("stalling", lambda: archive.stalled, bool)
        deleted = upload(server, "two")
        wait_until("second delivery", lambda: len(deliveries(server)), lambda found: found == 2)
        assert server.http.delete(f"/studies/{deleted}").ok
        archive.go_on()
        wait_for_deliveries(server)
        found = {one["State"]: one["Answer"] for one in deliveries(server)}
        assert found.keys() == {"Delivered", "Canceled"}
        assert "deleted" in found["Canceled"]
        assert len(archive.received) == len(archive.stored) == INSTANCES
