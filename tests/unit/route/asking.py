"""Ask endpoints of routing without a server."""

import base64
import json
import re
from collections.abc import Sequence
from typing import Any

from curator.gateway import Gateway
from curator.web import Endpoint, Request, Response, dispatch

USER = {"authorization": "Basic " + base64.b64encode(b"someone:secret").decode()}


class Asked:
    """Endpoints, in the order in which they are matched."""

    def __init__(self, endpoints: Sequence[Endpoint], gateway: Gateway) -> None:
        self._endpoints = endpoints
        self._gateway = gateway

    def ask(self, method: str, uri: str, body: Any = None, **query: str) -> Response:
        """Let the first endpoint that fits answer; ``body`` is JSON unless it is bytes."""
        data = body if isinstance(body, bytes) else b"" if body is None else _json(body)
        for endpoint in self._endpoints:
            match = re.fullmatch(endpoint.regex, uri)
            if match is not None:
                request = Request(method, uri, match.groups(), query, USER, data)
                return dispatch(endpoint, request, self._gateway, describe=True)
        raise LookupError(uri)

    def answer(self, method: str, uri: str, body: Any = None, **query: str) -> Any:
        """Return the JSON of a good answer."""
        response = self.ask(method, uri, body, **query)
        assert response.status == 200, response.body
        return json.loads(response.body)

    def refusal(self, status: int, method: str, uri: str, body: Any = None, **query: str) -> str:
        """Return why a request is refused."""
        response = self.ask(method, uri, body, **query)
        assert response.status == status, response.body
        return str(json.loads(response.body)["Details"])


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
