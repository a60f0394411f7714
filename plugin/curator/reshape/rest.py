"""Endpoints of split."""

import json
from typing import Any

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
        if is_builtin(request.body):
            return forward(self._gateway, request)
        return self._split(Level.STUDY, request)

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

    def _answer(self, submission: Submission, waits: bool) -> Response:
        if waits:
            return json_response(self._engine.submit_and_wait(submission))
        job_id = self._engine.submit(submission)
        return json_response({"ID": job_id, "Path": f"/jobs/{job_id}"})


def is_builtin(body: bytes) -> bool:
    """Tell whether a body is for the core: no object, or none of Curator's own fields in it.

    A field that neither knows is the core's too, which passes over it.
    """
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError):
        return True
    return not isinstance(value, dict) or _OWN_FIELDS.isdisjoint(value)
