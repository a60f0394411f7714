"""The split as a service: plans it, and does the work of its jobs."""

from datetime import UTC, datetime
from typing import Any

from curator.errors import Conflict
from curator.gateway import Gateway, Level, Resource
from curator.jobs import Job, Phase, Task
from curator.models import validate
from curator.reshape import split
from curator.reshape.apply import Applier
from curator.reshape.files import FileCache
from curator.reshape.plan import Plan
from curator.reshape.request import Into, SplitRequest
from curator.reshape.sources import SourceReader

#: What a split makes of its groups where the request does not say.
DEFAULT_INTO = {Level.STUDY: Into.STUDIES, Level.SERIES: Into.SERIES}


#: What tells persons with the same PatientID apart.
_DEMOGRAPHICS = ("PatientName", "PatientBirthDate", "PatientSex")


class SplitService:
    """Plans splits and carries them out.

    Parameters
    ----------
    gateway : Gateway
    threads : int
        Instances that one split works on at the same time.
    default_charset : str
        Defined term for instances without Specific Character Set.
    cache : int
        Bytes of files that one split keeps in memory between its plan and the copies.
    """

    job_type = "CuratorSplit"

    def __init__(
        self, gateway: Gateway, threads: int, default_charset: str, cache: int = 0
    ) -> None:
        self.gateway = gateway
        self.cache = cache
        self.reader = SourceReader(gateway, threads, default_charset)
        self.applier = Applier(gateway, threads, default_charset)

    def plan(self, level: Level, orthanc_id: str, request: SplitRequest) -> Plan:
        """Plan the split of a study or series, as it is stored now."""
        instances = self.reader.instances(level, orthanc_id)
        return self.plan_of(level, orthanc_id, instances, request, FileCache(0))

    def plan_of(
        self,
        level: Level,
        orthanc_id: str,
        instances: list[Resource],
        request: SplitRequest,
        files: FileCache,
    ) -> Plan:
        """Plan the split of a study or series with these instances, and keep what was read."""
        source = self.reader.read(level, orthanc_id, instances, split.paths(request), files)
        plan = split.make_plan(source, request, DEFAULT_INTO[level], datetime.now(UTC))
        self._refuse_another_person(plan)
        return plan

    def _refuse_another_person(self, plan: Plan) -> None:
        """Refuse to give studies to a stored patient with the same ID who is someone else."""
        others = {series.patient_orthanc_id for series in plan.series} - {plan.source_patient}
        source = self.gateway.resource(Level.PATIENT, plan.source_patient) if others else None
        for patient in others:
            target = self.gateway.resource(Level.PATIENT, patient)
            if source is None or target is None:
                continue
            edits = plan.series[0].edits
            differing = [
                keyword
                for keyword in _DEMOGRAPHICS
                if (edits.get(keyword, source.tags.get(keyword)) or "")
                != target.tags.get(keyword, "")
            ]
            if differing:
                raise Conflict(
                    f"$.Replace: patient {patient} has this PatientID, but differs in"
                    f" {', '.join(differing)}"
                )

    def task(self, request: dict[str, Any]) -> Task:
        """Return the work of a job from the JSON of its submission."""
        return SplitTask(
            self, Level(request["Level"]), request["ID"], validate(SplitRequest, request["Body"])
        )


class SplitTask:
    """The work of one split job."""

    def __init__(
        self, service: SplitService, level: Level, orthanc_id: str, request: SplitRequest
    ) -> None:
        self._service = service
        self._level = level
        self._orthanc_id = orthanc_id
        self._request = request

    def run(self, job: Job) -> None:
        """Carry out the kept plan, or make one and carry it out."""
        kept = _kept_plan(job)
        if kept is not None:
            self._service.applier.go_on(kept, job)
            self._audit(kept, job)
            return
        files = FileCache(self._service.cache)
        instances = self._service.reader.instances(self._level, self._orthanc_id)
        plan = self._service.plan_of(self._level, self._orthanc_id, instances, self._request, files)
        job.content = {"Description": "REST API", **plan.describe(with_instances=False)}
        if plan.instances_count:
            self._service.applier.apply(plan, instances, files, job)
        self._audit(plan, job)

    def undo(self, job: Job) -> None:
        """Remove the new instances."""
        plan = _kept_plan(job)
        if plan is not None:
            self._service.applier.undo(plan)

    def _audit(self, plan: Plan, job: Job) -> None:
        details = {
            "Job": job.id,
            "Instances": plan.instances_count,
            "KeepSource": plan.keep_source,
            "Series": [series.orthanc_id for series in plan.series],
        }
        self._service.gateway.audit(job.user, self._level, self._orthanc_id, "split", details)


def _kept_plan(job: Job) -> Plan | None:
    kept = job.plan() if job.phase != Phase.NONE else None
    return None if kept is None else validate(Plan, kept)
