"""Endpoints of split."""

import json
from typing import Any

from curator.errors import CoreError, CuratorError, ErrorCode, NotFound
from curator.gateway import Gateway, Level
from curator.jobs import JobEngine, Submission
from curator.reshape import split
from curator.reshape.request import BUILTIN_FIELDS, SplitRequest
from curator.reshape.service import DEFAULT_INTO, SplitService
from curator.web import Endpoint, Request, Response, forward, json_object, json_response, parse

_OWN_FIELDS = SplitRequest.field_names() - BUILTIN_FIELDS


class SplitApi:
    """Endpoints of split."""

    def __init__(self, service: SplitService, engine: JobEngine, gateway: Gateway) -> None:
        self._service = service
        self._engine = engine
        self._gateway = gateway

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        return [
            Endpoint("/studies/{id}/split", {"POST": self._split_study}),
            Endpoint("/series/{id}/split", {"POST": self._split_series}),
        ]

    def _split_study(self, request: Request) -> Response:
        if not is_builtin(request.body):
            return self._split(Level.STUDY, request)
        try:
            return forward(self._gateway, request)
        except CoreError as error:
            raise error.explained(self._reason(error, request)) from None

    def _split_series(self, request: Request) -> Response:
        return self._split(Level.SERIES, request)

    def _split(self, level: Level, request: Request) -> Response:
        body = json_object(request)
        parsed = parse(SplitRequest, body)
        split.check(parsed, DEFAULT_INTO[level])
        orthanc_id = request.groups[0]
        study = self._service.reader.study_of(level, orthanc_id)
        if parsed.dry_run:
            plan = self._service.plan(level, orthanc_id, parsed)
            return json_response(plan.describe(with_instances=True))
        submission = Submission(
            type=self._service.job_type,
            request={"Level": level, "ID": orthanc_id, "Body": body},
            claims=frozenset({study}),
            user=request.user,
            priority=parsed.priority,
            user_data=parsed.user_data,
        )
        return self._answer(submission, parsed.waits)

    def _reason(self, error: CoreError, request: Request) -> str:
        """Find out what the core has refused, as the SDK hands over no more than a code."""
        try:
            if error.unknown_resource:
                self._check_members(request)
            elif error.status < 500 or error.core_code == ErrorCode.UNKNOWN_DICOM_TAG:
                parsed = parse(SplitRequest, json_object(request))
                split.check(parsed, DEFAULT_INTO[Level.STUDY])
        except CuratorError as reason:
            return reason.details
        return ""

    def _check_members(self, request: Request) -> None:
        study = self._service.reader.study_of(Level.STUDY, request.groups[0])
        body = json_object(request)
        for level in (Level.SERIES, Level.INSTANCE):
            field = level.collection.capitalize()
            if body.get(field):
                members = self._gateway.descendants(level, Level.STUDY, study)
                unknown = set(map(str, body[field])).difference(one.orthanc_id for one in members)
                if unknown:
                    raise NotFound(f"$.{field}: {min(unknown)} does not belong to study {study}")

    def _answer(self, submission: Submission, waits: bool) -> Response:
        if waits:
            return json_response(self._engine.submit_and_wait(submission))
        job_id = self._engine.submit(submission)
        return json_response({"ID": job_id, "Path": f"/jobs/{job_id}"})


def is_builtin(body: bytes) -> bool:
    """Tell whether a body is for the core: none of Curator's own fields is in it.

    A field that neither knows is the core's too, which passes over it. What is not quite JSON is
    the core's, which reads some of it (comments), unless it names one of Curator's fields: the
    core would pass over that as well, and do something else than was asked for. An array or a
    single value, which the core answers with an internal error, is not.
    """
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError):
        return not any(f'"{name}"'.encode() in body for name in _OWN_FIELDS)
    return value is None or (isinstance(value, dict) and _OWN_FIELDS.isdisjoint(value))
