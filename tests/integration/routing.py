"""Rules for tests, and what a routing server says of its runs and deliveries."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from integration.servers import Http, RunningServer
from integration.waiting import wait_until

PATIENT_RETRY: dict[str, Any] = {"Attempts": 1000, "First": 0.2, "Max": 1, "MaxAge": 24}
"""Tried so often, and so soon again, that a test never waits for a delivery that was parked."""

UNDER_WAY = ("Waiting", "Running", "Queued", "Sending")
"""States of runs and deliveries."""


def rule(name: str, trigger: str, to: Sequence[str] | str, **fields: Any) -> dict[str, Any]:
    """Return a rule that sends."""
    send = {"Then": [{"Send": to}], "Retry": PATIENT_RETRY}
    return {"Name": name, "When": trigger, **send, **fields}


def deliveries(server: RunningServer, **filters: Any) -> list[dict[str, Any]]:
    """Return all deliveries that a filter names, over all pages."""
    return _all(server.http, "/curator/deliveries", "Deliveries", filters)


def runs(server: RunningServer, **filters: Any) -> list[dict[str, Any]]:
    """Return all runs that a filter names, over all pages."""
    return _all(server.http, "/curator/runs", "Runs", filters)


def destination(server: RunningServer, name: str) -> dict[str, Any]:
    """Return how a destination stands: ``Breaker``, ``Deliveries`` by state, and so on."""
    return dict(server.http.json(f"/curator/destinations/{name}"))


def states(server: RunningServer, **filters: Any) -> Counter[str]:
    """Return how many deliveries are in each state."""
    return Counter(delivery["State"] for delivery in deliveries(server, **filters))


def wait_for_deliveries(server: RunningServer, **filters: Any) -> list[dict[str, Any]]:
    """Return the deliveries that a filter names when no run and none of them is under way."""

    def under_way() -> list[dict[str, Any]]:
        found = [*runs(server), *deliveries(server, **filters)]
        return [one for one in found if one["State"] in UNDER_WAY]

    wait_until("runs and deliveries", under_way, lambda found: not found)
    return deliveries(server, **filters)


def _all(http: Http, path: str, key: str, filters: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    since: Any = 0
    while True:
        page = http.json(path, params={**filters, "since": since, "limit": 1000})
        found += page[key]
        if page["Done"]:
            return found
        since = page["Last"]
