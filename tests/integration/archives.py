"""Archives that a routing server sends to: stock Orthancs with a DICOM server."""

from typing import Any

from integration.model import content
from integration.servers import OrthancServer, RunningServer
from integration.waiting import wait_until

ARCHIVE: dict[str, Any] = {"DicomServerEnabled": True, "OverwriteInstances": False}
"""Settings of an archive, which is started ``with_plugin=False``."""


def modality(archive: OrthancServer, aet: str = "ARCHIVE") -> dict[str, Any]:
    """Return how a routing server has an archive among its ``DicomModalities``."""
    return at_port(archive.dicom_port, aet)


def at_port(port: int, aet: str = "ARCHIVE") -> dict[str, Any]:
    """Return a modality at a port of this machine."""
    return {"AET": aet, "Host": "127.0.0.1", "Port": port}


def count(server: RunningServer) -> int:
    """Return how many instances a server holds."""
    return int(server.http.json("/statistics")["CountInstances"])


def wait_for_count(server: RunningServer, expected: int) -> None:
    """Wait until a server holds as many instances, and see that it holds no more."""
    wait_until(f"instances in {server.url}", lambda: count(server), lambda held: held >= expected)
    assert count(server) == expected


def assert_holds_the_same(archive: RunningServer, source: RunningServer) -> None:
    """Check that an archive holds every instance of a server, as it is there, and no other.

    The File Meta Information is that of the association, so data sets are compared.
    """
    sent, held = content(source).datasets, content(archive).datasets
    assert held.keys() == sent.keys()
    assert [one for one in sent if held[one] != sent[one]] == []


def new_instances(archive: RunningServer) -> list[str]:
    """Return the instances that an archive has stored, once for each time it did."""
    changes = archive.http.json("/changes", params={"limit": 100_000})["Changes"]
    return [change["ID"] for change in changes if change["ChangeType"] == "NewInstance"]
