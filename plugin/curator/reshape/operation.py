"""Operations as jobs: planned, kept in the journal, carried out, and never twice."""

import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from curator.access import Access
from curator.errors import Conflict, CuratorError, NotFound
from curator.gateway import Resource
from curator.jobs import Job, JobEngine, Phase, Submission, TaskFactory, where
from curator.journal import Entry, Journal, Taken
from curator.level import Level
from curator.models import validate
from curator.reshape.apply import Applier, Run
from curator.reshape.carry import Carrier
from curator.reshape.files import FileCache
from curator.reshape.options import CARRIED_OUT, PlannedRequest
from curator.reshape.plan import Plan
from curator.reshape.rewriting import Rewriter
from curator.store import Row

#: Instances by their Orthanc identifiers.
Resources = Mapping[str, Resource]


class Operation(Protocol):
    """One kind of operation: what it asks for, claims, plans."""

    job_type: str
    action: str
    level: Level

    @property
    def model(self) -> type[PlannedRequest]:
        """What a request is validated by."""

    def check(self, request: Any) -> None:
        """Refuse what is wrong whatever is stored.

        Raises
        ------
        BadRequest
            With the JSON path of the field.
        """

    def claims(self, resource: str, request: Any) -> frozenset[str]:
        """Return what no other operation may touch meanwhile.

        Raises
        ------
        NotFound
            If there is no such resource.
        """

    def plan(self, resource: str, request: Any, files: FileCache) -> tuple[Plan, Resources]:
        """Plan the operation on what is stored now, and return the instances that it changes."""

    def course(self, plan: Plan) -> tuple[Rewriter, Carrier]:
        """Return how a plan changes instances, and what it hangs on the results."""

    def ended(self, operation_id: str, plan: Plan) -> None:
        """Note what follows from an operation that is done."""


@dataclass(frozen=True)
class Caller:
    """Who asked for an operation, and from where."""

    user: str = ""
    origin: dict[str, str] = field(default_factory=dict)


class Operations:
    """Enters operations in the journal and runs them as jobs."""

    def __init__(self, access: Access, journal: Journal, engine: JobEngine) -> None:
        self.access = access
        self.journal = journal
        self._engine = engine
        self._lock = threading.Lock()

    def dry_run(self, kind: Operation, resource: str, request: PlannedRequest) -> dict[str, Any]:
        """Return what an operation would do."""
        plan, _ = kind.plan(resource, request, FileCache(0))
        return plan.describe(with_instances=True)

    def submit(
        self,
        kind: Operation,
        resource: str,
        request: PlannedRequest,
        body: dict[str, Any],
        caller: Caller,
    ) -> dict[str, Any]:
        """Start an operation, or find the one that was started with the same identifier.

        Returns
        -------
        dict
            The content of its job once that has ended, or at once where to find it, by what the
            request says.

        Raises
        ------
        Conflict
            If another operation works on the same resources, or the identifier was used for
            another request.
        CuratorError
            What made the job fail.
        """
        entry = Entry(
            id=request.operation_id or str(uuid.uuid4()),
            kind=kind.action,
            level=kind.level,
            resource=resource,
            job=str(uuid.uuid4()),
            user=caller.user,
            origin=caller.origin,
            request=body,
        )
        earlier = self._earlier(kind, entry, request)
        if earlier is not None:
            return self._result(earlier, request.waits)
        try:
            claims = kind.claims(resource, request)
        except NotFound:  # perhaps another caller has just done it
            earlier = self._earlier(kind, entry, request)
            if earlier is None:
                raise
            return self._result(earlier, request.waits)
        submission = Submission(
            type=kind.job_type,
            request={"ID": resource, "Body": body, "Operation": entry.id},
            claims=claims,
            user=caller.user,
            priority=request.priority,
            user_data=request.user_data,
            id=entry.job,
        )
        with self._lock:
            earlier = self._earlier(kind, entry, request)
            if earlier is None:
                outcome = self._start(entry, submission)
        if earlier is not None:
            return self._result(earlier, request.waits)
        return outcome() if request.waits else where(entry.job)

    def _earlier(self, kind: Operation, entry: Entry, request: PlannedRequest) -> Row | None:
        """Return the operation that has this identifier, unless it failed and has left nothing."""
        if request.operation_id is None:
            return None
        earlier = self.journal.operation(entry.id)
        if earlier is None:
            return None
        _refuse_another(earlier, kind, entry.resource, request)
        return earlier if earlier["done"] or self._engine.is_unfinished(earlier["job"]) else None

    def _result(self, earlier: Row, waits: bool) -> dict[str, Any]:
        if not waits:
            return where(earlier["job"])
        return dict(earlier["content"]) if earlier["done"] else self._engine.wait(earlier["job"])

    def _start(self, entry: Entry, submission: Submission) -> Callable[[], dict[str, Any]]:
        """Enter an operation in the journal, in the place of one that failed, and queue its job."""
        if self.journal.operation(entry.id) is not None:
            self.journal.forget(entry.id)
        try:
            self.journal.enter(entry)
        except Taken:
            raise Conflict(f"Operation {entry.id} was started elsewhere this moment") from None
        try:
            return self._engine.begin(submission)
        except CuratorError:
            self.journal.forget(entry.id)
            raise


class OperationTask:
    """The work of one operation's job."""

    def __init__(
        self, access: Access, journal: Journal, kind: Operation, request: dict[str, Any]
    ) -> None:
        self._access = access
        self._journal = journal
        self._applier = Applier(access, journal)
        self._kind = kind
        self._resource = request["ID"]
        self._request = validate(self._kind.model, request["Body"])
        self._operation_id = request["Operation"]

    def run(self, job: Job) -> None:
        """Carry out the kept plan, or make one and carry it out."""
        kept = _kept_plan(job)
        if kept is not None:
            self._applier.go_on(self._run(kept, job, FileCache(0)))
            self._end(kept, job)
            return
        files = FileCache(self._access.cache)
        plan, resources = self._kind.plan(self._resource, self._request, files)
        if plan.conflicts:
            raise plan.refusal()
        job.claim(plan.concerned_studies())
        job.content = {
            "Description": "REST API",
            "Operation": self._operation_id,
            **plan.describe(with_instances=False),
        }
        if plan.changes:
            self._applier.apply(self._run(plan, job, files), resources)
        self._end(plan, job)

    def undo(self, job: Job) -> None:
        """Remove the new instances, and what was kept to get back from them."""
        plan = _kept_plan(job)
        if plan is not None:
            self._applier.undo(plan)
            self._journal.discard(self._operation_id)

    def _run(self, plan: Plan, job: Job, files: FileCache) -> Run:
        rewriter, carrier = self._kind.course(plan)
        return Run(plan, self._operation_id, job, rewriter, carrier, files)

    def _end(self, plan: Plan, job: Job) -> None:
        self._kind.ended(self._operation_id, plan)
        self._journal.finish(self._operation_id, job.content)
        details = {
            "Operation": self._operation_id,
            "Job": job.id,
            "Instances": plan.instances_count,
            "Overwritten": sum(len(one.instances) for one in plan.overwritten),
            "Dropped": len(plan.dropped),
            "KeepSource": plan.keep_source,
            "Series": list(dict.fromkeys(series.orthanc_id for series in plan.series)),
        }
        self._access.gateway.audit(
            job.user, Level(plan.level), plan.subject, self._kind.action.lower(), details
        )


def task_factory(access: Access, journal: Journal, kind: Operation) -> TaskFactory:
    """Return what makes the work of a job from the JSON of its submission."""
    return lambda request: OperationTask(access, journal, kind, request)


def _kept_plan(job: Job) -> Plan | None:
    kept = job.plan() if job.phase != Phase.NONE else None
    return None if kept is None else validate(Plan, kept)


def _refuse_another(row: Row, kind: Operation, resource: str, request: PlannedRequest) -> None:
    """Refuse an identifier that stands for another request."""
    same = (row["kind"], row["resource"]) == (kind.action, resource)
    if not same or _what(validate(kind.model, row["request"])) != _what(request):
        raise Conflict(f"$.OperationId: {row['id']} was used for another request")


def _what(request: PlannedRequest) -> dict[str, Any]:
    return request.model_dump(mode="json", exclude=set(CARRIED_OUT))
