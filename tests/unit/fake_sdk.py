"""A small in-memory twin of Orthanc's Python SDK: what it was told, and what it answers."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

DESCRIPTIONS = {
    -1: "Internal error",
    0: "Success",
    5: "Bad type for a parameter",
    8: "Bad request",
    15: "Bad file format",
    17: "Unknown resource",
    36: "The database is currently not available",
    37: "This job was canceled",
    43: "Wrong revision",
}
"""Texts of error codes, as the core has them."""


class FakeOrthancError(Exception):
    """Takes the place of ``orthanc.OrthancException``: its arguments are a code and a text."""


class FakeChangeType:
    COMPLETED_SERIES: ClassVar[int] = 0
    DELETED: ClassVar[int] = 1
    NEW_INSTANCE: ClassVar[int] = 3
    NEW_SERIES: ClassVar[int] = 4
    NEW_STUDY: ClassVar[int] = 5
    ORTHANC_STARTED: ClassVar[int] = 10
    ORTHANC_STOPPED: ClassVar[int] = 11
    STABLE_PATIENT: ClassVar[int] = 7
    STABLE_SERIES: ClassVar[int] = 8
    STABLE_STUDY: ClassVar[int] = 9
    UPDATED_ATTACHMENT: ClassVar[int] = 12
    UPDATED_METADATA: ClassVar[int] = 13
    JOB_SUBMITTED: ClassVar[int] = 16
    JOB_SUCCESS: ClassVar[int] = 17
    JOB_FAILURE: ClassVar[int] = 18


class FakeReceivedInstanceAction:
    KEEP_AS_IS: ClassVar[int] = 1
    MODIFY: ClassVar[int] = 2
    DISCARD: ClassVar[int] = 3


class FakeInstanceOrigin:
    UNKNOWN: ClassVar[int] = 1
    DICOM_PROTOCOL: ClassVar[int] = 2
    REST_API: ClassVar[int] = 3
    PLUGIN: ClassVar[int] = 4
    LUA: ClassVar[int] = 5
    WEB_DAV: ClassVar[int] = 6


class FakeResourceType:
    PATIENT: ClassVar[int] = 0
    STUDY: ClassVar[int] = 1
    SERIES: ClassVar[int] = 2
    INSTANCE: ClassVar[int] = 3


class FakeMetricsType:
    DEFAULT: ClassVar[int] = 0


class FakeLoadDicomInstanceMode:
    UNTIL_PIXEL_DATA: ClassVar[int] = 1


@dataclass(frozen=True)
class FakeDicomInstance:
    data: bytes

    def GetInstanceData(self) -> bytes:  # noqa: N802
        return self.data


@dataclass
class Answer:
    """What a REST callback has written."""

    status: int = 0
    body: bytes = b""
    content_type: str = ""
    allowed: str = ""

    def AnswerBuffer(self, answer: bytes, mime_type: str, /) -> None:  # noqa: N802
        self.status, self.body, self.content_type = 200, answer, mime_type

    def SendHttpStatus(self, status: int, body: bytes, /) -> None:  # noqa: N802
        self.status, self.body, self.content_type = status, body, "text/plain"

    def SendHttpStatusCode(self, status: int, /) -> None:  # noqa: N802
        self.status = status

    def SendMethodNotAllowed(self, allowed_methods: str, /) -> None:  # noqa: N802
        self.status, self.allowed = 405, allowed_methods


@dataclass
class FakeSdk:
    """The calls of ``curator.sdk.Sdk``; routes of the core answer what ``core`` holds.

    Parameters
    ----------
    configuration : dict
        The configuration of Orthanc.
    core : dict
        Answers of built-in routes by method and URI; what is missing is an unknown resource.
    """

    configuration: dict[str, Any] = field(default_factory=dict)
    core: dict[tuple[str, str], bytes | Exception] = field(default_factory=dict)
    calls: list[tuple[str, str, bytes]] = field(default_factory=list)
    log: list[tuple[str, str]] = field(default_factory=list)
    routes: list[tuple[str, Callable[..., None]]] = field(default_factory=list)
    on_change: list[Callable[[int, int, str], None]] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    audits: list[tuple[object, ...]] = field(default_factory=list)
    threads: list[str] = field(default_factory=list)

    received: list[Callable[[bytes, int], tuple[int, bytes | None]]] = field(default_factory=list)
    cstore: list[Callable[..., int]] = field(default_factory=list)
    explorer: list[tuple[str, str]] = field(default_factory=list)

    ChangeType: type[FakeChangeType] = FakeChangeType
    ReceivedInstanceAction: type[FakeReceivedInstanceAction] = FakeReceivedInstanceAction
    InstanceOrigin: type[FakeInstanceOrigin] = FakeInstanceOrigin
    ResourceType: type[FakeResourceType] = FakeResourceType
    MetricsType: type[FakeMetricsType] = FakeMetricsType
    LoadDicomInstanceMode: type[FakeLoadDicomInstanceMode] = FakeLoadDicomInstanceMode
    OrthancException: type[Exception] = FakeOrthancError

    def ExtendOrthancExplorer2(self, plugin: str, javascript: str, /) -> None:  # noqa: N802
        self.explorer.append((plugin, javascript))

    def GetConfigurationPath(self) -> str:  # noqa: N802
        return "/etc/orthanc/orthanc.json"

    def GetConfiguration(self) -> str:  # noqa: N802
        return json.dumps(self.configuration)

    def GetErrorDescription(self, error: int, /) -> str:  # noqa: N802
        return DESCRIPTIONS.get(error, "Unknown error code")

    def GetDicomForInstance(self, instance_id: str, /) -> bytes:  # noqa: N802
        return self._answer("GET", f"/instances/{instance_id}/file")

    def LoadDicomInstance(  # noqa: N802
        self, instance_id: str, _mode: int, /
    ) -> FakeDicomInstance:
        return FakeDicomInstance(self.GetDicomForInstance(instance_id))

    def RestApiGet(self, uri: str, /) -> bytes:  # noqa: N802
        return self._answer("GET", uri)

    def RestApiPost(self, uri: str, body: bytes, /) -> bytes:  # noqa: N802
        return self._answer("POST", uri, body)

    def RestApiGetAfterPlugins(self, uri: str, /) -> bytes:  # noqa: N802
        return self._answer("GET", uri)

    def RestApiPostAfterPlugins(self, uri: str, body: bytes, /) -> bytes:  # noqa: N802
        return self._answer("POST", uri, body)

    def RestApiPut(self, uri: str, body: bytes, /) -> bytes:  # noqa: N802
        return self._answer("PUT", uri, body)

    def RestApiDelete(self, uri: str, /) -> None:  # noqa: N802
        self._answer("DELETE", uri)

    def RegisterRestCallback(self, uri: str, callback: Callable[..., None], /) -> None:  # noqa: N802
        self.routes.append((uri, callback))

    def RegisterOnChangeCallback(  # noqa: N802
        self, callback: Callable[[int, int, str], None], /
    ) -> None:
        self.on_change.append(callback)

    def RegisterReceivedInstanceCallback(  # noqa: N802
        self, callback: Callable[[bytes, int], tuple[int, bytes | None]], /
    ) -> None:
        self.received.append(callback)

    def RegisterIncomingCStoreInstanceFilter(  # noqa: N802
        self, callback: Callable[..., int], /
    ) -> None:
        self.cstore.append(callback)

    def SetCurrentThreadName(self, name: str, /) -> None:  # noqa: N802
        self.threads.append(name)

    def SetMetricsValue(self, name: str, value: float, type: int, /) -> None:  # noqa: A002, N802
        self.metrics[name] = value

    def SetMetricsIntegerValue(  # noqa: N802
        self,
        name: str,
        value: int,
        type: int,  # noqa: A002
        /,
    ) -> None:
        self.metrics[name] = value

    def EmitAuditLog(  # noqa: N802
        self,
        source_plugin: str,
        user_id: str,
        resource_type: int,
        resource_id: str,
        action: str,
        log_data: bytes,
        /,
    ) -> None:
        self.audits.append((source_plugin, user_id, resource_type, resource_id, action, log_data))

    def LogError(self, message: str, /) -> None:  # noqa: N802
        self.log.append(("E", message))

    def LogWarning(self, message: str, /) -> None:  # noqa: N802
        self.log.append(("W", message))

    def LogInfo(self, message: str, /) -> None:  # noqa: N802
        self.log.append(("I", message))

    def request(self, method: str, uri: str, body: bytes = b"", **query: str) -> Answer:
        """Let the first callback whose pattern fits answer a request, as Orthanc does."""
        for pattern, callback in self.routes:
            match = re.fullmatch(pattern, uri)
            if match is not None:
                answer = Answer()
                callback(
                    answer,
                    uri,
                    method=method,
                    groups=match.groups(),
                    get=query if method == "GET" else {},
                    headers={},
                    body=body,
                )
                return answer
        raise LookupError(f"No route for {uri}")

    def change(self, kind: int) -> None:
        """Tell all callbacks of a change that is about no resource."""
        for callback in self.on_change:
            callback(kind, -1, "")

    def _answer(self, method: str, uri: str, body: bytes = b"") -> bytes:
        self.calls.append((method, uri, body))
        found = self.core.get((method, uri))
        if found is None:
            raise FakeOrthancError(17, DESCRIPTIONS[17])
        if isinstance(found, Exception):
            raise found
        return found
