"""``GET /curator``: what runs here, and how it is."""

from typing import Any, Protocol

import curator
from curator.gateway import Gateway
from curator.jobs import JobEngine
from curator.web import Endpoint, Request, Response, json_response


class Routing(Protocol):
    """What the status tells of routing."""

    @property
    def pending(self) -> dict[str, Any]:
        """Numbers of runs and deliveries by state."""

    def problems(self) -> list[str]:
        """Return what is wrong with the rules now."""


class StatusApi:
    """Endpoint of Curator itself.

    Parameters
    ----------
    key_identifier : str
        Names the key of pseudonyms, and tells nothing about it.
    """

    def __init__(
        self, engine: JobEngine, gateway: Gateway, key_identifier: str, routing: Routing
    ) -> None:
        self._engine = engine
        self._gateway = gateway
        self._key_identifier = key_identifier
        self._routing = routing

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        return [Endpoint("/curator", {"GET": self._status})]

    def _status(self, _request: Request) -> Response:
        return json_response(
            {
                "Name": "Curator",
                "Version": curator.__version__,
                "OrthancVersion": self._gateway.system()["Version"],
                "Jobs": self._engine.counts(),
                "Key": self._key_identifier,
                "Problems": self._routing.problems(),
                **self._routing.pending,
            }
        )
