"""Endpoint that finds duplicates."""

from curator.description import JOB_ERRORS, Method, json_of
from curator.jobs import JobEngine, Started, Submission
from curator.reshape.find_duplicates import (
    FindDuplicatesRequest,
    FindDuplicatesService,
    FoundDuplicates,
)
from curator.web import Endpoint, Request, Response, json_object, json_response, parse


class FindDuplicatesApi:
    """Endpoint that finds duplicates."""

    def __init__(self, service: FindDuplicatesService, engine: JobEngine) -> None:
        self._service = service
        self._engine = engine

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoint."""
        find = Method(
            self._find,
            "Find what is stored more than once",
            json_of(Started | FoundDuplicates),
            json_of(FindDuplicatesRequest),
            errors=(404, *JOB_ERRORS),
        )
        return [Endpoint("/tools/find-duplicates", {"POST": find})]

    def _find(self, request: Request) -> Response:
        body = json_object(request)
        parsed = parse(FindDuplicatesRequest, body)
        self._service.check(parsed)
        submission = Submission(
            type=self._service.job_type,
            request={"Body": body},
            claims=frozenset(),
            user=request.user,
            priority=parsed.priority,
            user_data=parsed.user_data,
        )
        return json_response(self._engine.answer(submission, waits=parsed.waits))
