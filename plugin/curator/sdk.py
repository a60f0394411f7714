"""The calls of Orthanc's Python SDK that Curator uses, as a type.

The module ``orthanc`` itself has this type; ``main.py`` hands it in, which is where mypy compares
the two.
"""

from collections.abc import Callable
from typing import ClassVar, Protocol

#: Calls that only newer plugins have; asked for with ``hasattr`` before they are used.
OPTIONAL = frozenset({"EmitAuditLog", "SetMetricsIntegerValue"})


class RestOutput(Protocol):
    """Where a REST callback writes its answer."""

    def AnswerBuffer(self, answer: bytes, mime_type: str, /) -> None: ...
    def SendHttpStatus(self, status: int, body: bytes, /) -> None: ...
    def SendHttpStatusCode(self, status: int, /) -> None: ...
    def SendMethodNotAllowed(self, allowed_methods: str, /) -> None: ...


RestCallback = Callable[..., None]
ChangeCallback = Callable[[int, int, str], None]


class ChangeTypes(Protocol):
    ORTHANC_STARTED: ClassVar[int]
    ORTHANC_STOPPED: ClassVar[int]


class ResourceTypes(Protocol):
    PATIENT: ClassVar[int]
    STUDY: ClassVar[int]
    SERIES: ClassVar[int]
    INSTANCE: ClassVar[int]


class MetricsTypes(Protocol):
    DEFAULT: ClassVar[int]


class LoadDicomInstanceModes(Protocol):
    UNTIL_PIXEL_DATA: ClassVar[int]


class DicomInstance(Protocol):
    """An instance in the memory of the core."""

    def GetInstanceData(self) -> bytes: ...


class Sdk(Protocol):
    """The module ``orthanc``."""

    @property
    def ChangeType(self) -> type[ChangeTypes]: ...
    @property
    def ResourceType(self) -> type[ResourceTypes]: ...
    @property
    def MetricsType(self) -> type[MetricsTypes]: ...
    @property
    def LoadDicomInstanceMode(self) -> type[LoadDicomInstanceModes]: ...
    @property
    def OrthancException(self) -> type[Exception]: ...

    def GetConfiguration(self) -> str: ...
    def GetErrorDescription(self, error: int, /) -> str: ...
    def GetDicomForInstance(self, instance_id: str, /) -> bytes: ...
    def LoadDicomInstance(self, instance_id: str, mode: int, /) -> DicomInstance: ...
    def RestApiGet(self, uri: str, /) -> bytes: ...
    def RestApiPost(self, uri: str, body: bytes, /) -> bytes: ...
    def RestApiPut(self, uri: str, body: bytes, /) -> bytes: ...
    def RestApiDelete(self, uri: str, /) -> None: ...
    def RegisterRestCallback(self, uri: str, callback: RestCallback, /) -> None: ...
    def RegisterOnChangeCallback(self, callback: ChangeCallback, /) -> None: ...
    def SetCurrentThreadName(self, name: str, /) -> None: ...
    def SetMetricsValue(self, name: str, value: float, type: int, /) -> None: ...
    def SetMetricsIntegerValue(self, name: str, value: int, type: int, /) -> None: ...
    def EmitAuditLog(
        self,
        source_plugin: str,
        user_id: str,
        resource_type: int,
        resource_id: str,
        action: str,
        log_data: bytes,
        /,
    ) -> None: ...
    def LogError(self, message: str, /) -> None: ...
    def LogWarning(self, message: str, /) -> None: ...
    def LogInfo(self, message: str, /) -> None: ...
