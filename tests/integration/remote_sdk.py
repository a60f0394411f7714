"""The part of the SDK that is REST, over HTTP: Curator's classes in the tests' own process.

So a class that talks to the server through the gateway meets the real core, and can be stopped,
counted and given another clock, without a plugin in that server.
"""

from typing import Any

from curator.errors import ErrorCode
from integration.servers import Http, RunningServer
from unit.fake_sdk import FakeOrthancError, FakeSdk


class RemoteSdk(FakeSdk):
    """An SDK whose REST calls go to a server."""

    def __init__(self, server: RunningServer, configuration: dict[str, Any] | None = None) -> None:
        super().__init__(configuration=configuration or {})
        self._url = server.url

    def _answer(self, method: str, uri: str, body: bytes = b"") -> bytes:
        http = Http(self._url)
        try:
            answer = http.request(method, uri, data=body)
        finally:
            http.close()
        if answer.ok:
            return answer.content
        try:
            error = answer.json()
        except ValueError:
            unknown = answer.status_code == 404
            code = ErrorCode.UNKNOWN_RESOURCE if unknown else ErrorCode.INTERNAL_ERROR
            raise FakeOrthancError(code, answer.reason) from None
        raise FakeOrthancError(error["OrthancStatus"], error["OrthancError"])
