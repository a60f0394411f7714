"""``GET /curator``: what runs here, and how it is."""

import curator
from curator.gateway import Gateway
from curator.jobs import JobEngine
from curator.web import Endpoint, Request, Response, json_response


class StatusApi:
    """Endpoint of Curator itself.

    Parameters
    ----------
    key_identifier : str
        Names the key of pseudonyms, and tells nothing about it.
    """

    def __init__(self, engine: JobEngine, gateway: Gateway, key_identifier: str) -> None:
        self._engine = engine
        self._gateway = gateway
        self._key_identifier = key_identifier

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
            }
        )
