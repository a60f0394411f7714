"""Endpoints that anonymize, and the one that takes an anonymization back."""

from collections.abc import Sequence

from curator.anonymize.answers import AnonymizeAnswer, DryRunAnswer
from curator.anonymize.reidentify import Reidentifier
from curator.anonymize.request import (
    OWN_FIELDS,
    AnonymizeRequest,
    BuiltinRequest,
    BulkAnonymizeRequest,
    ProfileRequest,
)
from curator.anonymize.service import AnonymizeService
from curator.description import (
    DICOM_TYPE,
    JOB_ERRORS,
    JSON_TYPE,
    BuiltinAnswer,
    Content,
    Method,
    OrthancId,
    goes_to_core,
    json_of,
)
from curator.errors import CoreError, CuratorError, ErrorCode
from curator.gateway import Resource
from curator.jobs import JobEngine, Started
from curator.level import Level
from curator.models import Model
from curator.web import (
    JSON,
    Endpoint,
    Handler,
    Request,
    Response,
    forward,
    is_builtin,
    json_object,
    json_response,
    parse,
)


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
        of_one = {"id": OrthancId}
        return [
            *(
                Endpoint(
                    f"/{level.collection}/{{id}}/anonymize", {"POST": self._job(level)}, of_one
                )
                for level in (Level.PATIENT, Level.STUDY, Level.SERIES)
            ),
            Endpoint("/instances/{id}/anonymize", {"POST": self._file()}, of_one),
            Endpoint("/tools/bulk-anonymize", {"POST": self._job(None)}),
            Endpoint(
                "/instances/{id}/reidentify",
                {
                    "POST": Method(
                        self._reidentify,
                        "Return an instance as it was before its profile encrypted what identifies",
                        {DICOM_TYPE: bytes},
                        json_of(NoFields),
                        body_required=False,
                        errors=(409,),
                    )
                },
                of_one,
            ),
        ]

    def _job(self, level: Level | None) -> Method:
        own, model = (
            (self._bulk, BulkAnonymizeRequest)
            if level is None
            else (self._anonymize(level), AnonymizeRequest)
        )
        return self._method(
            self._or_builtin(own, level, JSON),
            "Anonymize several resources" if level is None else f"Anonymize a {level.lower()}",
            json_of(Started | AnonymizeAnswer | DryRunAnswer | BuiltinAnswer),
            model,
        )

    def _file(self) -> Method:
        return self._method(
            self._or_builtin(self._instance, Level.INSTANCE, DICOM_TYPE),
            "Return an instance anonymized, or what would become of it",
            {DICOM_TYPE: bytes, JSON_TYPE: DryRunAnswer},
            ProfileRequest,
        )

    def _method(
        self, handler: Handler, summary: str, answer: Content, model: type[ProfileRequest]
    ) -> Method:
        builtin = BuiltinRequest.field_names()
        return Method(
            handler,
            summary,
            answer,
            json_of(model | BuiltinRequest),
            errors=(404, *JOB_ERRORS),
            forwards=goes_to_core(builtin),
        )

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
        return Response(self._service.file(resource.orthanc_id, profile), DICOM_TYPE)

    def _reidentify(self, request: Request) -> Response:
        if request.body.strip():
            parse(NoFields, json_object(request))
        resource = self._service.selector.resource(Level.INSTANCE, request.groups[0])
        dicom = self._reidentifier.reidentified(resource.orthanc_id)
        self._gateway.audit(
            request.user, Level.INSTANCE, resource.orthanc_id, "reidentify", {"Instances": 1}
        )
        return Response(dicom, DICOM_TYPE)

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
