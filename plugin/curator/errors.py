"""Errors of Curator, and how those of the core become them.

::

    CuratorError                      500
    ├── BadRequest                    400   the request is wrong as it stands
    ├── Forbidden                     403   the configuration does not allow it
    ├── NotFound                      404   a resource or item that does not exist
    ├── MethodNotAllowed              405
    ├── Conflict                      409   the state of the server forbids it now
    ├── UnreadableInstance            400   a stored file that cannot be changed safely
    ├── Canceled                      500   a job stopped by its user
    ├── Stopping                      503   Orthanc is being stopped
    ├── DatabaseUnavailable           503   Curator's database cannot be read or written
    └── CoreError                     table the core refused a call

Every error has an error code of the core (``OrthancStatus``), so that a client sees one list of
codes. The HTTP status follows the core's table unless a class above says otherwise.

Messages carry identifiers, keywords and counts; never the value of a patient's element.
"""

import traceback
from enum import IntEnum
from typing import Any, ClassVar


class ErrorCode(IntEnum):
    """Error codes of the core (``OrthancPluginErrorCode``), named as in the Python SDK."""

    INTERNAL_ERROR = -1
    SUCCESS = 0
    PLUGIN = 1
    NOT_IMPLEMENTED = 2
    PARAMETER_OUT_OF_RANGE = 3
    NOT_ENOUGH_MEMORY = 4
    BAD_PARAMETER_TYPE = 5
    BAD_SEQUENCE_OF_CALLS = 6
    INEXISTENT_ITEM = 7
    BAD_REQUEST = 8
    NETWORK_PROTOCOL = 9
    SYSTEM_COMMAND = 10
    DATABASE = 11
    URI_SYNTAX = 12
    INEXISTENT_FILE = 13
    CANNOT_WRITE_FILE = 14
    BAD_FILE_FORMAT = 15
    TIMEOUT = 16
    UNKNOWN_RESOURCE = 17
    INCOMPATIBLE_DATABASE_VERSION = 18
    FULL_STORAGE = 19
    CORRUPTED_FILE = 20
    INEXISTENT_TAG = 21
    READ_ONLY = 22
    INCOMPATIBLE_IMAGE_FORMAT = 23
    INCOMPATIBLE_IMAGE_SIZE = 24
    SHARED_LIBRARY = 25
    UNKNOWN_PLUGIN_SERVICE = 26
    UNKNOWN_DICOM_TAG = 27
    BAD_JSON = 28
    UNAUTHORIZED = 29
    BAD_FONT = 30
    DATABASE_PLUGIN = 31
    STORAGE_AREA_PLUGIN = 32
    EMPTY_REQUEST = 33
    NOT_ACCEPTABLE = 34
    NULL_POINTER = 35
    DATABASE_UNAVAILABLE = 36
    CANCELED_JOB = 37
    BAD_GEOMETRY = 38
    SSL_INITIALIZATION = 39
    DISCONTINUED_ABI = 40
    BAD_RANGE = 41
    DATABASE_CANNOT_SERIALIZE = 42
    REVISION = 43
    MAIN_DICOM_TAGS_MULTIPLY_DEFINED = 44
    FORBIDDEN_ACCESS = 45
    DUPLICATE_RESOURCE = 46
    INCOMPATIBLE_CONFIGURATIONS = 47
    SQLITE_NOT_OPENED = 1000
    SQLITE_ALREADY_OPENED = 1001
    SQLITE_CANNOT_OPEN = 1002
    SQLITE_STATEMENT_ALREADY_USED = 1003
    SQLITE_EXECUTE = 1004
    SQLITE_ROLLBACK_WITHOUT_TRANSACTION = 1005
    SQLITE_COMMIT_WITHOUT_TRANSACTION = 1006
    SQLITE_REGISTER_FUNCTION = 1007
    SQLITE_FLUSH = 1008
    SQLITE_CANNOT_RUN = 1009
    SQLITE_CANNOT_STEP = 1010
    SQLITE_BIND_OUT_OF_RANGE = 1011
    SQLITE_PREPARE_STATEMENT = 1012
    SQLITE_TRANSACTION_ALREADY_STARTED = 1013
    SQLITE_TRANSACTION_COMMIT = 1014
    SQLITE_TRANSACTION_BEGIN = 1015
    DIRECTORY_OVER_FILE = 2000
    FILE_STORAGE_CANNOT_WRITE = 2001
    DIRECTORY_EXPECTED = 2002
    HTTP_PORT_IN_USE = 2003
    DICOM_PORT_IN_USE = 2004
    BAD_HTTP_STATUS_IN_REST = 2005
    REGULAR_FILE_EXPECTED = 2006
    PATH_TO_EXECUTABLE = 2007
    MAKE_DIRECTORY = 2008
    BAD_APPLICATION_ENTITY_TITLE = 2009
    NO_CFIND_HANDLER = 2010
    NO_CMOVE_HANDLER = 2011
    NO_CSTORE_HANDLER = 2012
    NO_APPLICATION_ENTITY_FILTER = 2013
    NO_SOP_CLASS_OR_INSTANCE = 2014
    NO_PRESENTATION_CONTEXT = 2015
    DICOM_FIND_UNAVAILABLE = 2016
    DICOM_MOVE_UNAVAILABLE = 2017
    CANNOT_STORE_INSTANCE = 2018
    CREATE_DICOM_NOT_STRING = 2019
    CREATE_DICOM_OVERRIDE_TAG = 2020
    CREATE_DICOM_USE_CONTENT = 2021
    CREATE_DICOM_NO_PAYLOAD = 2022
    CREATE_DICOM_USE_DATA_URI_SCHEME = 2023
    CREATE_DICOM_BAD_PARENT = 2024
    CREATE_DICOM_PARENT_IS_INSTANCE = 2025
    CREATE_DICOM_PARENT_ENCODING = 2026
    UNKNOWN_MODALITY = 2027
    BAD_JOB_ORDERING = 2028
    JSON_TO_LUA_TABLE = 2029
    CANNOT_CREATE_LUA = 2030
    CANNOT_EXECUTE_LUA = 2031
    LUA_ALREADY_EXECUTED = 2032
    LUA_BAD_OUTPUT = 2033
    NOT_LUA_PREDICATE = 2034
    LUA_RETURNS_NO_STRING = 2035
    STORAGE_AREA_ALREADY_REGISTERED = 2036
    DATABASE_BACKEND_ALREADY_REGISTERED = 2037
    DATABASE_NOT_INITIALIZED = 2038
    SSL_DISABLED = 2039
    CANNOT_ORDER_SLICES = 2040
    NO_WORKLIST_HANDLER = 2041
    ALREADY_EXISTING_TAG = 2042
    NO_STORAGE_COMMITMENT_HANDLER = 2043
    NO_CGET_HANDLER = 2044
    DICOM_GET_UNAVAILABLE = 2045
    UNSUPPORTED_MEDIA_TYPE = 3000


#: HTTP statuses of the core's error codes; every other code answers 500.
HTTP_STATUSES: dict[int, int] = {
    ErrorCode.SUCCESS: 200,
    ErrorCode.PARAMETER_OUT_OF_RANGE: 400,
    ErrorCode.BAD_PARAMETER_TYPE: 400,
    ErrorCode.INEXISTENT_ITEM: 404,
    ErrorCode.BAD_REQUEST: 400,
    ErrorCode.URI_SYNTAX: 400,
    ErrorCode.INEXISTENT_FILE: 404,
    ErrorCode.BAD_FILE_FORMAT: 400,
    ErrorCode.UNKNOWN_RESOURCE: 404,
    ErrorCode.INEXISTENT_TAG: 404,
    ErrorCode.BAD_JSON: 400,
    ErrorCode.UNAUTHORIZED: 401,
    ErrorCode.NOT_ACCEPTABLE: 406,
    ErrorCode.DATABASE_UNAVAILABLE: 503,
    ErrorCode.BAD_RANGE: 416,
    ErrorCode.DATABASE_CANNOT_SERIALIZE: 503,
    ErrorCode.REVISION: 409,
    ErrorCode.FORBIDDEN_ACCESS: 403,
    ErrorCode.DUPLICATE_RESOURCE: 409,
    ErrorCode.CREATE_DICOM_NOT_STRING: 400,
    ErrorCode.CREATE_DICOM_OVERRIDE_TAG: 400,
    ErrorCode.CREATE_DICOM_USE_CONTENT: 400,
    ErrorCode.CREATE_DICOM_NO_PAYLOAD: 400,
    ErrorCode.CREATE_DICOM_USE_DATA_URI_SCHEME: 400,
    ErrorCode.CREATE_DICOM_BAD_PARENT: 400,
    ErrorCode.CREATE_DICOM_PARENT_IS_INSTANCE: 400,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: 415,
}


class CuratorError(Exception):
    """An operation that could not be done.

    Parameters
    ----------
    details : str
        What is wrong, where, and what would be right.
    """

    code: ClassVar[ErrorCode] = ErrorCode.INTERNAL_ERROR
    http_status: ClassVar[int] = 500

    def __init__(self, details: str = "") -> None:
        super().__init__(details)
        self.details = details

    @property
    def error_code(self) -> int:
        """Code for ``OrthancStatus``."""
        return self.code

    @property
    def status(self) -> int:
        """HTTP status of the answer."""
        return self.http_status


class BadRequest(CuratorError):
    code = ErrorCode.BAD_REQUEST
    http_status = 400


class Forbidden(CuratorError):
    code = ErrorCode.FORBIDDEN_ACCESS
    http_status = 403


class NotFound(CuratorError):
    code = ErrorCode.UNKNOWN_RESOURCE
    http_status = 404


class MethodNotAllowed(CuratorError):
    """The resource exists, but not for this method.

    Parameters
    ----------
    allowed : str
        Methods for the header ``Allow``, joined by commas as the core joins them.
    """

    code = ErrorCode.BAD_REQUEST
    http_status = 405

    def __init__(self, allowed: str) -> None:
        super().__init__()
        self.allowed = allowed


class Conflict(CuratorError):
    """The state of the server forbids it.

    Parameters
    ----------
    conflicts : list, optional
        Both sides of what they differ in, with values; for the answer to who asked, never for logs
        and jobs.
    """

    code = ErrorCode.REVISION
    http_status = 409

    def __init__(self, details: str = "", conflicts: list[dict[str, Any]] | None = None) -> None:
        super().__init__(details)
        self.conflicts = conflicts or []


class UnreadableInstance(CuratorError):
    code = ErrorCode.BAD_FILE_FORMAT
    http_status = 400


class Canceled(CuratorError):
    code = ErrorCode.CANCELED_JOB


class Stopping(CuratorError):
    code = ErrorCode.DATABASE_UNAVAILABLE
    http_status = 503


class DatabaseUnavailable(CuratorError):
    code = ErrorCode.DATABASE_UNAVAILABLE
    http_status = 503


class CoreError(CuratorError):
    """The core refused a call of the SDK.

    Parameters
    ----------
    core_code : int
        Error code, possibly one that a newer core or another plugin has added.
    message : str
        Description of the code by the core.
    """

    def __init__(self, core_code: int, message: str, details: str = "") -> None:
        super().__init__(details or message)
        self.core_code = core_code
        self.message = message
        self.details = details

    @property
    def error_code(self) -> int:
        return self.core_code

    @property
    def status(self) -> int:
        return HTTP_STATUSES.get(self.core_code, 500)

    def explained(self, details: str) -> "CoreError":
        """Return the same refusal with what Curator knows about it."""
        return CoreError(self.core_code, self.message, details)

    @property
    def unknown_resource(self) -> bool:
        """Whether the core says that the resource does not exist."""
        return self.core_code in (ErrorCode.UNKNOWN_RESOURCE, ErrorCode.INEXISTENT_ITEM)


def trace(error: BaseException) -> str:
    """Tell where an unexpected error was raised, without its message.

    The message may quote what was being processed, which may be a patient's.
    """
    frames = traceback.extract_tb(error.__traceback__)
    places = (f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    return f"{type(error).__name__} at {' < '.join(places)}"
