"""``/curator/operations``: what was done, by whom, and back again."""

import csv
import io
from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from curator.description import (
    CSV_TYPE,
    EXPAND,
    JOB_ERRORS,
    JSON_TYPE,
    Method,
    Parameter,
    json_of,
)
from curator.errors import NotFound
from curator.jobs import JobEngine, Started
from curator.reshape.answers import OperationAnswer, PlanAnswer
from curator.reshape.operation import Operation, Operations
from curator.reshape.rest import run_operation
from curator.store import Row
from curator.web import Endpoint, Request, Response, json_response

CSV = "text/csv; charset=utf-8"

_COLUMNS = (
    "action",
    "instance_old",
    "instance_new",
    "sop_instance_uid_old",
    "sop_instance_uid_new",
)


OperationId = Annotated[str, Field(description="Identifier of an operation", min_length=1)]


class OperationSummary(TypedDict):
    """An entry of the journal; ``State`` is ``Undone``, or that of its job."""

    ID: str
    Kind: str
    Level: str
    Resource: str
    Job: str
    User: str
    Origin: dict[str, str]
    CreationTime: str
    CompletionTime: NotRequired[str]
    State: str
    InstancesCount: int
    OverwrittenInstancesCount: int
    UndoneBy: NotRequired[str]


class OperationEntry(OperationSummary):
    """An entry with what was asked for, and what was done."""

    Content: dict[str, Any]
    Request: dict[str, Any]


class ChangedInstance(TypedDict):
    """What became of an instance."""

    Action: str
    Old: str | None
    New: str | None
    OldSOPInstanceUID: str | None
    NewSOPInstanceUID: str | None


class OperationsApi:
    """Endpoints of the journal."""

    def __init__(self, operations: Operations, undo: Operation, engine: JobEngine) -> None:
        self._journal = operations.journal
        self._operations = operations
        self._undo = undo
        self._engine = engine

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        listed = Method(
            self._list,
            "List what was done, the latest first",
            json_of(list[str] | list[OperationSummary]),
            query=(EXPAND,),
        )
        described = Method(self._get, "Look at an operation", json_of(OperationEntry))
        instances = Method(
            self._instances,
            "List the instances that an operation has changed",
            {JSON_TYPE: list[ChangedInstance], CSV_TYPE: str},
            query=(Parameter("format", 'JSON, or "csv"'),),
        )
        undo = Method(
            self._take_back,
            "Undo an operation",
            json_of(Started | OperationAnswer | PlanAnswer),
            json_of(self._undo.model),
            body_required=False,
            errors=JOB_ERRORS,
        )
        of_one = {"id": OperationId}
        return [
            Endpoint("/curator/operations", {"GET": listed}),
            Endpoint("/curator/operations/{id}", {"GET": described}, of_one),
            Endpoint("/curator/operations/{id}/instances", {"GET": instances}, of_one),
            Endpoint("/curator/operations/{id}/undo", {"POST": undo}, of_one),
        ]

    def _list(self, request: Request) -> Response:
        rows = self._journal.operations()
        if not request.flag("expand"):
            return json_response([row["id"] for row in rows])
        return json_response([self._describe(row) for row in rows])

    def _get(self, request: Request) -> Response:
        row = self._row(request)
        described = self._describe(row) | {"Content": row["content"], "Request": row["request"]}
        return json_response(described)

    def _instances(self, request: Request) -> Response:
        row = self._row(request)
        changes = list(self._journal.changes(row["id"]))
        if request.query.get("format") == "csv":
            out = io.StringIO(newline="")
            writer = csv.writer(out)
            writer.writerow(_COLUMNS)
            for one in changes:
                writer.writerow((one.action, one.old, one.new, one.old_uid, one.new_uid))
            return Response(out.getvalue().encode(), CSV)
        return json_response(
            [
                {
                    "Action": one.action,
                    "Old": one.old,
                    "New": one.new,
                    "OldSOPInstanceUID": one.old_uid,
                    "NewSOPInstanceUID": one.new_uid,
                }
                for one in changes
            ]
        )

    def _take_back(self, request: Request) -> Response:
        self._row(request)
        body = request if request.body.strip() else _with_empty_object(request)
        return run_operation(self._operations, self._undo, body)

    def _row(self, request: Request) -> Row:
        row = self._journal.operation(request.groups[0])
        if row is None:
            raise NotFound(f"Unknown operation: {request.groups[0]}")
        return row

    def _describe(self, row: Row) -> dict[str, Any]:
        content = row["content"]
        described = {
            "ID": row["id"],
            "Kind": row["kind"],
            "Level": row["level"],
            "Resource": row["resource"],
            "Job": row["job"],
            "User": row["user"],
            "Origin": row["origin"],
            "CreationTime": row["created"],
            "State": self._state(row),
            "InstancesCount": content.get("InstancesCount", 0),
            "OverwrittenInstancesCount": content.get("OverwrittenInstancesCount", 0),
        }
        if row["ended"]:
            described["CompletionTime"] = row["ended"]
        if row["reverted_by"]:
            described["UndoneBy"] = row["reverted_by"]
        return described

    def _state(self, row: Row) -> str:
        if row["done"]:
            return "Undone" if row["reverted_by"] else "Success"
        job = self._engine.describe(row["job"])
        return "Failure" if job is None else str(job["State"])


def _with_empty_object(request: Request) -> Request:
    return Request(
        request.method, request.uri, request.groups, request.query, request.headers, b"{}"
    )
