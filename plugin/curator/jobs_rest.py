"""``/jobs`` and what is below it: Curator's jobs beside the core's, in the same JSON.

What is not about a job of Curator goes to the core as it is.
"""

import json
from collections.abc import Callable
from typing import Any, NotRequired

from pydantic import ConfigDict
from typing_extensions import TypedDict

from curator.description import (
    DONE,
    EXPAND,
    JSON_TYPE,
    TEXT_TYPE,
    JobId,
    Method,
    json_of,
)
from curator.errors import CoreError, ErrorCode
from curator.gateway import Gateway
from curator.jobs import JobEngine
from curator.web import JSON, TEXT, Endpoint, Request, Response, forward, json_response

Action = Callable[[str], bool]

#: What a job may have made, which is never Curator's.
_OUTPUT = {JSON_TYPE: Any, TEXT_TYPE: bytes}

_ID = {"id": JobId}

_CORE = "Jobs that are not Curator's are Orthanc's."

#: The core says no more where it has cut a job short, or let it go on.
ACTION_DONE = Response(b"{}", "application/json")


class JobAnswer(TypedDict):
    """A job, as the core describes one; jobs of the core may have more to say."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    ID: str
    Type: str
    Priority: int
    State: str
    ErrorCode: int
    ErrorDescription: str
    ErrorDetails: str
    Timestamp: str
    CreationTime: str
    CompletionTime: NotRequired[str]
    EffectiveRuntime: float
    Progress: int
    Content: dict[str, Any]
    UserData: NotRequired[Any]


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
        listed = Method(
            self._list,
            "List jobs, Curator's beside the core's",
            json_of(list[str] | list[JobAnswer]),
            query=(EXPAND,),
        )
        described = Method(
            self._get, "Look at a job", json_of(JobAnswer), silent=(404,), forwards=_CORE
        )
        deleted = Method(self._delete, "Forget a finished job", DONE, forwards=_CORE)
        output = Method(
            self._output, "Taken for an output of a job, as by the core", _OUTPUT, forwards=_CORE
        )
        return [
            Endpoint("/jobs", {"GET": listed}),
            Endpoint("/jobs/{id}", {"GET": described, "DELETE": deleted}, _ID),
            *(
                Endpoint(
                    f"/jobs/{{id}}/{name}",
                    {"GET": output, "POST": self._action(name, action), "DELETE": output},
                    _ID,
                )
                for name, action in actions.items()
            ),
        ]

    def _action(self, name: str, action: Action) -> Method:
        return Method(
            self._act(action),
            f"{name.capitalize()} a job",
            json_of(dict[str, Any]),
            errors=(400, 409),
            silent=(400, 404),
            forwards=_CORE,
        )

    def _list(self, request: Request) -> Response:
        answer = forward(self._gateway, request)
        if not self._engine.ids():
            return answer
        jobs = json.loads(answer.body)
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
        try:
            return forward(self._gateway, request, TEXT)
        except CoreError as error:
            job_id = request.groups[0]
            known = self._engine.describe(job_id) is not None
            reason = "is not finished: cancel it first" if known else "does not exist"
            raise error.explained(f"Job {job_id} {reason}") from None

    def _output(self, request: Request) -> Response:
        """Take the URI for that of a job's output, as the core does."""
        try:
            return forward(self._gateway, request, TEXT)
        except CoreError as error:
            name = request.uri.rpartition("/")[2]
            raise error.explained(f"The job has no such output: {name}") from None

    def _act(self, action: Action) -> Callable[[Request], Response]:
        def handle(request: Request) -> Response:
            job_id = request.groups[0]
            if action(job_id):
                return ACTION_DONE
            if self._engine.describe(job_id) is not None:
                return Response(status=400)
            return self._silent(request, missing_status=400, content_type=ACTION_DONE.content_type)

        return handle

    def _silent(self, request: Request, missing_status: int, content_type: str = JSON) -> Response:
        """Ask the core, which says nothing but a status of a job that it does not know."""
        try:
            return forward(self._gateway, request, content_type)
        except CoreError as error:
            if error.core_code != ErrorCode.UNKNOWN_RESOURCE:
                raise
            return Response(status=missing_status)

    def _with_description(self, job: dict[str, Any]) -> dict[str, Any]:
        return job | {"ErrorDescription": self._gateway.error_description(job["ErrorCode"])}
