"""Jobs of anonymization and reshaping for the steps of rules; features do not know each other."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from curator.anonymize.request import BulkAnonymizeRequest
from curator.anonymize.service import AnonymizeService
from curator.jobs import Claimed, JobEngine, State
from curator.level import Level
from curator.reshape.operation import Caller, Operation, Operations
from curator.route.patience import Busy
from curator.route.ports import JobKind
from curator.route.run import Subject
from curator.web import parse

#: The job types of operations by what a rule calls them.
_OPERATIONS = {
    (JobKind.SPLIT, Level.STUDY): "CuratorSplit",
    (JobKind.SPLIT, Level.SERIES): "CuratorSplitSeries",
    (JobKind.MERGE, Level.STUDY): "CuratorMerge",
}


class RuleJobs:
    """Implements ``route.ports.Jobs``."""

    def __init__(
        self,
        anonymize: AnonymizeService,
        operations: Operations,
        kinds: Mapping[str, Operation],
        engine: JobEngine,
    ) -> None:
        self._anonymize = anonymize
        self._operations = operations
        self._kinds = kinds
        self._engine = engine

    def run(
        self,
        kind: JobKind,
        job_id: str,
        subjects: Sequence[Subject],
        options: dict[str, Any],
        user: str,
    ) -> dict[str, Any]:
        """Run a job to its end, or wait for the one that was started with the same identifier."""
        try:
            if kind == JobKind.ANONYMIZE:
                return self._anonymized(job_id, subjects, options, user)
            return self._operated(kind, job_id, subjects[0], options, user)
        except Claimed as claimed:
            raise Busy(claimed.details) from None

    def forget(self, job_id: str) -> None:
        """Let a job that is done be done again when it is asked for."""
        self._engine.forget(job_id)

    def cancel(self, job_id: str) -> None:
        """Cancel a job, if there is such a one that is not over."""
        operation = self._operations.journal.operation(job_id)
        self._engine.cancel(job_id if operation is None else operation["job"])

    def _anonymized(
        self, job_id: str, subjects: Sequence[Subject], options: dict[str, Any], user: str
    ) -> dict[str, Any]:
        earlier = self._engine.describe(job_id)
        if earlier is not None:
            if earlier["State"] != State.FAILURE:
                return self._engine.wait(job_id)
            if not self._engine.forget(job_id):
                raise Busy(f"Job {job_id} has not removed yet what it has left")
        named = [subject.orthanc_id for subject in subjects]
        request = parse(BulkAnonymizeRequest, {**options, "Resources": named})
        resources = self._anonymize.selector.resources(named)
        profile = self._anonymize.profile(request)
        submission = self._anonymize.submission(None, resources, request, profile, user)
        return self._engine.submit_and_wait(replace(submission, id=job_id))

    def _operated(
        self, kind: JobKind, job_id: str, subject: Subject, options: dict[str, Any], user: str
    ) -> dict[str, Any]:
        operation = self._kinds[_OPERATIONS[kind, subject.level]]
        body = {**options, "OperationId": job_id}
        request = parse(operation.model, body)
        operation.check(request)
        caller = Caller(user, {})
        return self._operations.submit(operation, subject.orthanc_id, request, body, caller)
