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


#: Takes the file and its origin; answers what becomes of it, and the file where it is changed.
ReceivedInstanceCallback = Callable[[bytes, int], tuple[int, bytes | None]]

#: Takes an instance that comes in by C-STORE; answers a DIMSE status, 0 to accept it.
CStoreFilter = Callable[["DicomInstance"], int]


class ChangeTypes(Protocol):
    COMPLETED_SERIES: ClassVar[int]
    DELETED: ClassVar[int]
    JOB_FAILURE: ClassVar[int]
    JOB_SUBMITTED: ClassVar[int]
    JOB_SUCCESS: ClassVar[int]
    NEW_INSTANCE: ClassVar[int]
    NEW_SERIES: ClassVar[int]
    NEW_STUDY: ClassVar[int]
    ORTHANC_STARTED: ClassVar[int]
    ORTHANC_STOPPED: ClassVar[int]
    STABLE_PATIENT: ClassVar[int]
    STABLE_SERIES: ClassVar[int]
    STABLE_STUDY: ClassVar[int]
    UPDATED_ATTACHMENT: ClassVar[int]
    UPDATED_METADATA: ClassVar[int]


class ReceivedInstanceActions(Protocol):
    DISCARD: ClassVar[int]
    KEEP_AS_IS: ClassVar[int]
    MODIFY: ClassVar[int]


class InstanceOrigins(Protocol):
    DICOM_PROTOCOL: ClassVar[int]
    LUA: ClassVar[int]
    PLUGIN: ClassVar[int]
    REST_API: ClassVar[int]
    UNKNOWN: ClassVar[int]
    WEB_DAV: ClassVar[int]


class DicomInstance(Protocol):
    """An instance on its way into the server."""

    def GetInstanceData(self) -> bytes: ...
    def GetInstanceOrigin(self) -> int: ...
    def GetInstanceRemoteAet(self) -> str: ...


class ResourceTypes(Protocol):
    PATIENT: ClassVar[int]
    STUDY: ClassVar[int]
    SERIES: ClassVar[int]
    INSTANCE: ClassVar[int]


class MetricsTypes(Protocol):
    DEFAULT: ClassVar[int]


class PixelFormats(Protocol):
    GRAYSCALE8: ClassVar[int]
    GRAYSCALE16: ClassVar[int]
    SIGNED_GRAYSCALE16: ClassVar[int]
    RGB24: ClassVar[int]
    RGB48: ClassVar[int]


class Image(Protocol):
    """A decoded frame; rows may be followed by unused bytes."""

    def GetImageBuffer(self) -> bytes: ...
    def GetImageHeight(self) -> int: ...
    def GetImagePitch(self) -> int: ...
    def GetImagePixelFormat(self) -> int: ...
    def GetImageWidth(self) -> int: ...


class Sdk(Protocol):
    """The module ``orthanc``."""

    @property
    def ChangeType(self) -> type[ChangeTypes]: ...
    @property
    def InstanceOrigin(self) -> type[InstanceOrigins]: ...
    @property
    def ReceivedInstanceAction(self) -> type[ReceivedInstanceActions]: ...
    @property
    def ResourceType(self) -> type[ResourceTypes]: ...
    @property
    def MetricsType(self) -> type[MetricsTypes]: ...
    @property
    def PixelFormat(self) -> type[PixelFormats]: ...
    @property
    def OrthancException(self) -> type[Exception]: ...

    def ExtendOrthancExplorer2(self, plugin: str, javascript: str, /) -> None: ...
    def GetConfiguration(self) -> str: ...
    def GetConfigurationPath(self) -> str: ...
    def GetErrorDescription(self, error: int, /) -> str: ...
    def GetDicomForInstance(self, instance_id: str, /) -> bytes: ...
    def DecodeDicomImage(self, dicom: bytes, frame: int, /) -> Image: ...
    def RestApiGet(self, uri: str, /) -> bytes: ...
    def RestApiPost(self, uri: str, body: bytes, /) -> bytes: ...
    def RestApiGetAfterPlugins(self, uri: str, /) -> bytes: ...
    def RestApiPostAfterPlugins(self, uri: str, body: bytes, /) -> bytes: ...
    def RestApiPut(self, uri: str, body: bytes, /) -> bytes: ...
    def RestApiDelete(self, uri: str, /) -> None: ...
    def RegisterRestCallback(self, uri: str, callback: RestCallback, /) -> None: ...
    def RegisterOnChangeCallback(self, callback: ChangeCallback, /) -> None: ...
    def RegisterReceivedInstanceCallback(self, callback: ReceivedInstanceCallback, /) -> None: ...
    def RegisterIncomingCStoreInstanceFilter(self, callback: CStoreFilter, /) -> None: ...
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
