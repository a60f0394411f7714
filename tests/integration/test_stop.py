"""Orthanc ends cleanly with Curator, and whoever resets it can start it again."""

from collections.abc import Callable

from factory import ct_series
from integration.servers import OrthancServer
from integration.waiting import wait_until

ServerFactory = Callable[..., OrthancServer]


def test_it_ends_cleanly_while_changes_are_on_their_way(new_server: ServerFactory) -> None:
    """A change that comes late crashes the Python plugin when Orthanc unloads it."""
    server = new_server(StableAge=1)
    for _ in range(3):
        for file in ct_series(8):
            server.upload(file)
        server.stop()
        assert server.exit_code == 0
        server.start()
    assert server.http.json("/statistics")["CountInstances"] == 8


def test_a_reset_asks_to_be_started_again(new_server: ServerFactory) -> None:
    server = new_server()
    assert server.http.post("/tools/reset", data=b"").status_code == 200
    wait_until("the end", lambda: server.exit_code, lambda code: code is not None)
    assert server.exit_code == 75
    server.start()
    assert server.http.json("/curator")["Name"] == "Curator"
