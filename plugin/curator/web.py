"""Requests and answers: what every REST endpoint of Curator has in common.

An endpoint is a URI pattern and a handler per method. A handler takes a ``Request`` and returns a
``Response``; whatever it raises becomes the core's error body with the right status, so that a
client cannot tell Curator's errors from Orthanc's.
"""

import base64
import json
import logging
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from sqlalchemy.exc import OperationalError

from curator.errors import (
    BadRequest,
    Conflict,
    CoreError,
    CuratorError,
    DatabaseUnavailable,
    ErrorCode,
    MethodNotAllowed,
    trace,
)
from curator.gateway import Gateway
from curator.models import InvalidModel, M, validate
from curator.notation import from_text
from curator.xml_answers import XML, to_xml, wants_xml

logger = logging.getLogger(__name__)

#: Phrases of the core that newer releases of Python write differently.
_PHRASES = {416: "Requested Range Not Satisfiable"}

#: Characters of the name of a user that are kept.
LONGEST_USER = 256

#: Bytes of a JSON object that Curator reads; in memory it takes several times as many.
LONGEST_BODY = 64 * 1024 * 1024

#: Levels of JSON that the core is handed; some hundreds overflow its stack.
MOST_LEVELS = 100

NO_DATABASE = (
    "Curator's database cannot be read or written: its disk is full, it is locked, or it is out of"
    " reach"
)

JSON = "application/json; charset=utf-8"
TEXT = "text/plain"


@dataclass(frozen=True)
class Request:
    """One HTTP request.

    ``uri`` is the decoded path; ``groups`` are the parts that the endpoint's pattern names, in
    order; ``query`` is filled for GET only, as the SDK gives it for no other method.
    """

    method: str
    uri: str
    groups: tuple[str, ...] = ()
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def user(self) -> str:
        """Name of the user, as far as HTTP basic authentication tells it.

        Where Orthanc asks for no password it is whatever the client says, and it gets into logs.
        """
        scheme, _, credentials = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return ""
        try:
            name = base64.b64decode(credentials, validate=True).decode().partition(":")[0]
        except ValueError:  # not Base64, or not UTF-8
            return ""
        return "".join(one if one.isprintable() else "?" for one in name[:LONGEST_USER])

    def flag(self, name: str) -> bool:
        """Tell whether a flag such as ``?expand`` is set, by the core's rules."""
        return self.query.get(name, "false").lower() not in ("false", "0")


@dataclass(frozen=True)
class Response:
    """One answer; an empty body with an error status is sent without content type."""

    body: bytes = b""
    content_type: str = TEXT
    status: int = 200


Handler = Callable[[Request], Response]


class BadBody(BadRequest):
    """The body is not what its place asks for, by the code that the core uses for this."""

    code = ErrorCode.BAD_FILE_FORMAT


@dataclass(frozen=True)
class Endpoint:
    """A URI pattern (``/studies/{id}/split``) with its handlers by method.

    Attributes
    ----------
    parameters : mapping
        Types of the parts that the pattern names, for the OpenAPI document.
    """

    pattern: str
    handlers: Mapping[str, Handler]
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def regex(self) -> str:
        """The pattern as the SDK wants it: a regular expression for the whole URI."""
        return re.sub(r"\{\w+\}", "([^/]+)", self.pattern.replace(".", r"\."))


def json_response(value: object) -> Response:
    """Answer JSON in the layout of the core: three spaces, sorted keys."""
    text = json.dumps(value, indent=3, sort_keys=True, ensure_ascii=False, separators=(",", " : "))
    return Response(text.encode() + b"\n", JSON)


def json_object(request: Request, longest: int = LONGEST_BODY) -> dict[str, Any]:
    """Parse a body that has to be a JSON object.

    Raises
    ------
    BadBody
        If it is not, or is longer than so many bytes.
    """
    if len(request.body) > longest:
        raise BadBody(f"The body has more than {longest} bytes")
    if not request.body.strip():
        raise BadBody("The body must contain a JSON object, but it is empty")
    try:
        value = json.loads(request.body, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError:
        raise BadBody("The body cannot be parsed as JSON: it is nested too deeply") from None
    except ValueError as error:
        raise BadBody(f"The body cannot be parsed as JSON: {_position(error)}") from None
    if not isinstance(value, dict):
        raise BadBody(f"The body must contain a JSON object, not {_json_type(value)}")
    return value


def written_object(request: Request) -> dict[str, Any]:
    """Parse a body that people write: a JSON object, or YAML of one; nothing may be there twice.

    Raises
    ------
    BadBody
        If it is neither.
    """
    is_json = not request.body.strip() or request.body.lstrip().startswith(b"{")
    if is_json:
        json_object(request)
    try:
        value = from_text(request.body.decode(), ".json" if is_json else ".yaml")
    except UnicodeDecodeError:
        raise BadBody("The body is not UTF-8") from None
    except ValueError as error:
        raise BadBody(f"The body {error}") from None
    if not isinstance(value, dict):
        raise BadBody("The body must contain a JSON or YAML object")
    return value


def parse(model: type[M], body: object) -> M:
    """Validate a body against a model.

    Raises
    ------
    BadRequest
        With every problem and its JSON path.
    """
    try:
        return validate(model, body)
    except InvalidModel as error:
        raise BadRequest(str(error)) from None


def dispatch(endpoint: Endpoint, request: Request, gateway: Gateway, describe: bool) -> Response:
    """Run the handler of a request; nothing is raised.

    Parameters
    ----------
    describe : bool
        Whether errors have a body (``HttpDescribeErrors`` of Orthanc).
    """
    try:
        return _as_accepted(request, endpoint.handlers[request.method](request))
    except CuratorError as error:
        return _error_response(error, request, gateway, describe)
    except OperationalError as error:
        logger.error("No database in %s %s: %s", request.method, endpoint.pattern, trace(error))
        return _error_response(DatabaseUnavailable(NO_DATABASE), request, gateway, describe)
    except Exception as error:  # noqa: BLE001  the client must get the core's body in any case
        logger.error(
            "Unexpected error in %s %s: %s", request.method, endpoint.pattern, trace(error)
        )
        unexpected = CuratorError("Unexpected error, see the log of Orthanc")
        return _error_response(unexpected, request, gateway, describe)


def _as_accepted(request: Request, response: Response) -> Response:
    """Turn JSON into XML where the client has asked for it; errors stay as they are."""
    is_json = response.content_type.startswith("application/json") and response.status == 200
    if not is_json or not wants_xml(request.headers.get("accept", "")):
        return response
    return Response(to_xml(response.body), XML)


def allowed_methods(endpoint: Endpoint) -> str:
    """Return the value of the header ``Allow``, in the order of the core."""
    return ",".join(
        method for method in ("GET", "POST", "DELETE", "PUT") if method in endpoint.handlers
    )


def forward(gateway: Gateway, request: Request, content_type: str = JSON) -> Response:
    """Hand a request to the core as it is, and its answer back as it is."""
    path = quote(request.uri)
    match request.method:
        case "GET":
            query = f"?{urlencode(request.query)}" if request.query else ""
            return Response(gateway.get(path + query), content_type)
        case "POST":
            return Response(gateway.post(path, request.body), content_type)
        case "PUT":
            return Response(gateway.put(path, request.body), content_type)
        case _:
            gateway.delete(path)
            return Response(b"", content_type)


def is_builtin(body: bytes, own_fields: frozenset[str]) -> bool:
    """Tell whether a body is for the core: none of Curator's own fields is in it.

    A field that neither knows is the core's too, which passes over it. What is not quite JSON is
    the core's, which reads some of it (comments), unless it names one of Curator's fields: the
    core would pass over that as well, and do something else than was asked for. An array or a
    single value, which the core answers with an internal error, is not, nor is what is nested so
    deeply that it would be the end of Orthanc.
    """
    try:
        value: Any = json.loads(body)
    except RecursionError:
        return False
    except ValueError:
        return not any(f'"{name}"'.encode() in body for name in own_fields)
    return value is None or (
        isinstance(value, dict) and own_fields.isdisjoint(value) and not _is_deep(value)
    )


def _is_deep(value: Any) -> bool:
    """Tell whether a JSON value has more than `MOST_LEVELS` levels."""
    level = [value]
    for _ in range(MOST_LEVELS):
        containers = [one for one in level if isinstance(one, dict | list)]
        if not containers:
            return False
        level = [
            inner
            for one in containers
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return True


def _error_response(
    error: CuratorError, request: Request, gateway: Gateway, describe: bool
) -> Response:
    if not describe or isinstance(error, MethodNotAllowed):
        return Response(status=error.status)
    core_text = error.message if isinstance(error, CoreError) else None
    message = core_text or gateway.error_description(error.error_code)
    body: dict[str, Any] = {
        "HttpError": _PHRASES.get(error.status) or HTTPStatus(error.status).phrase,
        "HttpStatus": error.status,
        "Message": message,
        "Method": request.method,
        "OrthancError": message,
        "OrthancStatus": error.error_code,
        "Uri": request.uri,
    }
    if error.details:
        body["Details"] = error.details
    if isinstance(error, Conflict) and error.conflicts:
        body["Conflicts"] = error.conflicts
    text = json.dumps(
        body, indent="\t", sort_keys=True, ensure_ascii=False, separators=(",", " : ")
    )
    # what is wrong is quoted, and may be half of a surrogate pair, which UTF-8 does not have
    return Response(text.encode(errors="replace") + b"\n", TEXT, error.status)


class _NotJson(ValueError):
    """A number that JSON does not have, or that no double holds."""


def _refuse_constant(name: str) -> float:
    raise _NotJson(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _NotJson("a number is too large")
    return value


def _position(error: ValueError) -> str:
    match error:
        case json.JSONDecodeError():
            return f"{error.msg} (line {error.lineno}, column {error.colno})"
        case UnicodeDecodeError():
            return "it is not UTF-8"
        case _NotJson():
            return str(error)
        case _:  # more digits than Python converts
            return "a number has too many digits"


def _json_type(value: object) -> str:
    match value:
        case list():
            return "an array"
        case str():
            return "a string"
        case None:
            return "null"
        case bool():
            return "a Boolean"
        case _:
            return "a number"
