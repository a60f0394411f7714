"""``/jobs`` and what is below it: Curator's jobs beside the core's, in the same JSON.

What is not about a job of Curator goes to the core as it is.
"""

import json
from collections.abc import Callable
from typing import Any

from curator.errors import CoreError, ErrorCode
from curator.gateway import Gateway
from curator.jobs import JobEngine
from curator.web import TEXT, Endpoint, Request, Response, forward, json_response

Action = Callable[[str], bool]


class JobsApi:
    """Endpoints of jobs."""

    def __init__(self, engine: JobEngine, gateway: Gateway) -> None:
        self._engine = engine
        self._gateway = gateway

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints, in the order in which they are to be matched."""
        actions: dict[str, Action] = {
            "cancel": self._engine.cancel,
            "pause": self._engine.pause,
            "resume": self._engine.resume,
            "resubmit": self._engine.resubmit,
        }
        return [
            Endpoint("/jobs", {"GET": self._list}),
            Endpoint("/jobs/{id}", {"GET": self._get, "DELETE": self._delete}),
            *(
                Endpoint(f"/jobs/{{id}}/{name}", {"GET": self._output, "POST": self._act(action)})
                for name, action in actions.items()
            ),
        ]

    def _list(self, request: Request) -> Response:
        jobs = json.loads(forward(self._gateway, request).body)
        if request.flag("expand"):
            jobs += [self._with_description(job) for job in self._engine.describe_all()]
            jobs.sort(key=lambda job: job["ID"])
        else:
            jobs = sorted(jobs + self._engine.ids())
        return json_response(jobs)

    def _get(self, request: Request) -> Response:
        job = self._engine.describe(request.groups[0])
        if job is not None:
            return json_response(self._with_description(job))
        return self._silent(request, missing_status=404)

    def _delete(self, request: Request) -> Response:
        if self._engine.forget(request.groups[0]):
            return Response(content_type=TEXT)
        return forward(self._gateway, request, TEXT)

    def _output(self, request: Request) -> Response:
        return forward(self._gateway, request)

    def _act(self, action: Action) -> Callable[[Request], Response]:
        def handle(request: Request) -> Response:
            job_id = request.groups[0]
            if action(job_id):
                return Response(b"{}", "application/json")
            if self._engine.describe(job_id) is not None:
                return Response(status=400)
            return self._silent(request, missing_status=400)

        return handle

    def _silent(self, request: Request, missing_status: int) -> Response:
        """Ask the core, which says nothing but a status of a job that it does not know."""
        try:
            return forward(self._gateway, request)
        except CoreError as error:
            if error.core_code != ErrorCode.UNKNOWN_RESOURCE:
                raise
            return Response(status=missing_status)

    def _with_description(self, job: dict[str, Any]) -> dict[str, Any]:
        return job | {"ErrorDescription": self._gateway.error_description(job["ErrorCode"])}
