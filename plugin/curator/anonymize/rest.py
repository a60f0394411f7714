"""Endpoints that anonymize, and the one that takes an anonymization back."""

from collections.abc import Callable, Sequence

from curator.anonymize.reidentify import Reidentifier
from curator.anonymize.request import (
    OWN_FIELDS,
    AnonymizeRequest,
    BuiltinRequest,
    BulkAnonymizeRequest,
    ProfileRequest,
)
from curator.anonymize.service import AnonymizeService
from curator.errors import CoreError, CuratorError, ErrorCode
from curator.gateway import Resource
from curator.jobs import JobEngine
from curator.level import Level
from curator.models import Model
from curator.web import (
    JSON,
    Endpoint,
    Request,
    Response,
    forward,
    is_builtin,
    json_object,
    json_response,
    parse,
)

DICOM = "application/dicom"

Handler = Callable[[Request], Response]


class NoFields(Model):
    """Body of a route that has nothing to choose."""


class AnonymizeApi:
    """Endpoints of anonymization; what has no field of Curator goes to the core."""

    def __init__(
        self, service: AnonymizeService, engine: JobEngine, reidentifier: Reidentifier
    ) -> None:
        self._service = service
        self._engine = engine
        self._reidentifier = reidentifier
        self._gateway = service.gateway

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        levels = (Level.PATIENT, Level.STUDY, Level.SERIES)
        return [
            *(
                Endpoint(
                    f"/{level.collection}/{{id}}/anonymize",
                    {"POST": self._or_builtin(self._anonymize(level), level, JSON)},
                )
                for level in levels
            ),
            Endpoint(
                "/instances/{id}/anonymize",
                {"POST": self._or_builtin(self._instance, Level.INSTANCE, DICOM)},
            ),
            Endpoint("/tools/bulk-anonymize", {"POST": self._or_builtin(self._bulk, None, JSON)}),
            Endpoint("/instances/{id}/reidentify", {"POST": self._reidentify}),
        ]

    def _or_builtin(self, own: Handler, level: Level | None, content_type: str) -> Handler:
        def handle(request: Request) -> Response:
            if not is_builtin(request.body, OWN_FIELDS):
                return own(request)
            try:
                return forward(self._gateway, request, content_type)
            except CoreError as error:
                raise error.explained(self._reason(error, level, request)) from None

        return handle

    def _anonymize(self, level: Level) -> Handler:
        def handle(request: Request) -> Response:
            parsed = parse(AnonymizeRequest, json_object(request))
            resource = self._service.selector.resource(level, request.groups[0])
            return self._run(level, [resource], parsed, request)

        return handle

    def _bulk(self, request: Request) -> Response:
        parsed = parse(BulkAnonymizeRequest, json_object(request))
        resources = self._service.selector.resources(parsed.resources)
        return self._run(None, resources, parsed, request)

    def _run(
        self,
        level: Level | None,
        resources: Sequence[Resource],
        parsed: AnonymizeRequest,
        request: Request,
    ) -> Response:
        profile = self._service.profile(parsed)
        if parsed.dry_run:
            return json_response(self._service.dry_run(resources, profile))
        submission = self._service.submission(level, resources, parsed, profile, request.user)
        return json_response(self._engine.answer(submission, waits=parsed.waits))

    def _instance(self, request: Request) -> Response:
        parsed = parse(ProfileRequest, json_object(request))
        resource = self._service.selector.resource(Level.INSTANCE, request.groups[0])
        profile = self._service.profile(parsed)
        if parsed.dry_run:
            return json_response(self._service.dry_run([resource], profile))
        return Response(self._service.file(resource.orthanc_id, profile), DICOM)

    def _reidentify(self, request: Request) -> Response:
        if request.body.strip():
            parse(NoFields, json_object(request))
        resource = self._service.selector.resource(Level.INSTANCE, request.groups[0])
        dicom = self._reidentifier.reidentified(resource.orthanc_id)
        self._gateway.audit(
            request.user, Level.INSTANCE, resource.orthanc_id, "reidentify", {"Instances": 1}
        )
        return Response(dicom, DICOM)

    def _reason(self, error: CoreError, level: Level | None, request: Request) -> str:
        """Find out what the core has refused, as the SDK hands over no more than a code."""
        try:
            if error.unknown_resource:
                self._check_resources(level, request)
            elif error.status < 500 or error.core_code == ErrorCode.UNKNOWN_DICOM_TAG:
                parse(BuiltinRequest, json_object(request))
        except CuratorError as reason:
            return reason.details
        return ""

    def _check_resources(self, level: Level | None, request: Request) -> None:
        if level is not None:
            self._service.selector.resource(level, request.groups[0])
        else:
            named = json_object(request).get("Resources") or ()
            self._service.selector.resources(list(map(str, named)))
