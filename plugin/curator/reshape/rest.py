"""Endpoints of split and merge."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from curator.description import JOB_ERRORS, BuiltinAnswer, Method, OrthancId, goes_to_core, json_of
from curator.errors import CoreError, CuratorError, ErrorCode, NotFound
from curator.gateway import Gateway
from curator.jobs import Started
from curator.level import Level
from curator.reshape.answers import OperationAnswer, PlanAnswer
from curator.reshape.merge_request import BUILTIN_MERGE_FIELDS
from curator.reshape.operation import Caller, Operation, Operations
from curator.reshape.request import BUILTIN_FIELDS
from curator.web import (
    Endpoint,
    Request,
    Response,
    forward,
    is_builtin,
    json_object,
    json_response,
    parse,
)

#: Headers that tell where a request came from, by what the journal calls them.
_ORIGIN = {"ForwardedFor": "x-forwarded-for", "RealIp": "x-real-ip", "UserAgent": "user-agent"}


@dataclass(frozen=True)
class Route:
    """A route of an operation.

    Attributes
    ----------
    builtin : frozenset of str or None
        Fields of the core's own route; a body that has no other goes to the core.
    """

    pattern: str
    summary: str
    kind: Operation
    builtin: frozenset[str] | None = None

    @property
    def own_fields(self) -> frozenset[str]:
        """Fields that make a body Curator's."""
        return self.kind.model.field_names() - (self.builtin or frozenset())


class ReshapeApi:
    """Endpoints of split and merge."""

    def __init__(
        self, operations: Operations, kinds: Mapping[str, Operation], gateway: Gateway
    ) -> None:
        self._operations = operations
        self._gateway = gateway
        self._routes = [
            Route("/studies/{id}/split", "Split a study", kinds["CuratorSplit"], BUILTIN_FIELDS),
            Route("/series/{id}/split", "Split a series", kinds["CuratorSplitSeries"]),
            Route("/patients/{id}/split", "Split a patient", kinds["CuratorSplitPatient"]),
            Route(
                "/studies/{id}/merge",
                "Merge other studies or series into a study",
                kinds["CuratorMerge"],
                BUILTIN_MERGE_FIELDS,
            ),
            Route("/series/{id}/merge", "Merge series into one", kinds["CuratorMergeSeries"]),
            Route(
                "/patients/{id}/merge",
                "Bring studies of other patients under one",
                kinds["CuratorMergePatients"],
            ),
        ]

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        return [
            Endpoint(one.pattern, {"POST": self._method(one)}, {"id": OrthancId})
            for one in self._routes
        ]

    def _method(self, route: Route) -> Method:
        own = Started | OperationAnswer | PlanAnswer
        method = partial(
            Method,
            self._handler(route),
            route.summary,
            body=json_of(route.kind.model),
            errors=JOB_ERRORS,
        )
        if route.builtin is None:
            return method(json_of(own))
        return method(json_of(own | BuiltinAnswer), forwards=goes_to_core(route.builtin))

    def _handler(self, route: Route) -> Callable[[Request], Response]:
        def handle(request: Request) -> Response:
            if route.builtin is None or not is_builtin(request.body, route.own_fields):
                return run_operation(self._operations, route.kind, request)
            try:
                return forward(self._gateway, request)
            except CoreError as error:
                raise error.explained(self._reason(error, route, request)) from None

        return handle

    def _reason(self, error: CoreError, route: Route, request: Request) -> str:
        """Find out what the core has refused, as the SDK hands over no more than a code."""
        try:
            if error.unknown_resource:
                self._check_members(request)
            elif error.status < 500 or error.core_code == ErrorCode.UNKNOWN_DICOM_TAG:
                route.kind.check(parse(route.kind.model, json_object(request)))
        except CuratorError as reason:
            return reason.details
        return ""

    def _check_members(self, request: Request) -> None:
        study = request.groups[0]
        if not self._gateway.exists(Level.STUDY, study):
            raise NotFound(f"Unknown study: {study}")
        body = json_object(request)
        for level in (Level.SERIES, Level.INSTANCE):
            field = level.collection.capitalize()
            if body.get(field):
                members = self._gateway.descendants(level, Level.STUDY, study)
                unknown = set(map(str, body[field])).difference(one.orthanc_id for one in members)
                if unknown:
                    raise NotFound(f"$.{field}: {min(unknown)} does not belong to study {study}")
        for index, one in enumerate(body.get("Resources") or ()):
            levels = (Level.STUDY, Level.SERIES, Level.INSTANCE)
            if not any(self._gateway.exists(level, str(one)) for level in levels):
                raise NotFound(f"$.Resources[{index}]: unknown study, series or instance: {one}")


def run_operation(operations: Operations, kind: Operation, request: Request) -> Response:
    """Plan an operation, or start it, by what the body says."""
    body = json_object(request)
    parsed = parse(kind.model, body)
    kind.check(parsed)
    resource = request.groups[0]
    if parsed.dry_run:
        return json_response(operations.dry_run(kind, resource, parsed))
    return json_response(operations.submit(kind, resource, parsed, body, caller_of(request)))


def caller_of(request: Request) -> Caller:
    """Return who asks, and from where."""
    found = {name: request.headers.get(header, "") for name, header in _ORIGIN.items()}
    origin = {"Endpoint": f"{request.method} {request.uri}"}
    return Caller(request.user, origin | {name: text for name, text in found.items() if text})
