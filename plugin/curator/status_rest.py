"""``GET /curator``: what runs here, and how it is."""

from curator.description import Method, json_of
from curator.health.monitor import Monitor, Status
from curator.web import Endpoint, Request, Response, json_response


class StatusApi:
    """Endpoint of Curator itself."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        return [
            Endpoint("/curator", {"GET": Method(self._status, "How Curator is", json_of(Status))})
        ]

    def _status(self, _request: Request) -> Response:
        return json_response(self._monitor.status())
