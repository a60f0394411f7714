"""``/curator/openapi.json``: what all endpoints take and answer."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import curator
from curator.description import Method, json_of
from curator.openapi import document
from curator.web import Endpoint, Request, Response, json_response


class DocumentApi:
    """Endpoint of the OpenAPI document.

    Parameters
    ----------
    others : sequence of Endpoint
        All the others.
    """

    def __init__(self, others: Sequence[Endpoint]) -> None:
        self._others = others

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoint."""
        get = Method(self._get, "This document", json_of(dict[str, Any]))
        return [Endpoint("/curator/openapi.json", {"GET": get})]

    def _get(self, _request: Request) -> Response:
        return self._answer

    @cached_property
    def _answer(self) -> Response:
        return json_response(document([*self._others, *self.endpoints()], curator.__version__))
