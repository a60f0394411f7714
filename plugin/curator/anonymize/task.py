"""The work of an anonymization, so that no half of it stays, wherever it stops.

1. *Write*: make the new instances, note those that are not there yet, store them; read them back
   where the sources are to go, else compare the size.
   Up to `Access.cache` bytes are made before anything is stored, so that what a profile refuses in
   a study of usual size has not stored a single instance. The sources stay untouched, and what was
   there before as well: up to here everything can be undone by deleting what was noted.
2. *Commit*: count the new instances, make sure that no source that is to go has changed, note that
   from now on the work can only be finished.
3. *Finish*: say at every level what it was made from, carry labels, delete the sources if asked.

Every step can be done twice: the same instance always becomes the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import Field

from curator.access import Access
from curator.anonymize.making import Identity, InstanceRefused, Made, Maker
from curator.anonymize.profile import Profile
from curator.anonymize.record import Record
from curator.anonymize.report import Report
from curator.anonymize.request import AnonymizeRequest
from curator.anonymize.selection import Selector, Source
from curator.anonymize.storing import Keeper
from curator.errors import Conflict, CoreError, CuratorError, ErrorCode
from curator.gateway import Content, Gateway
from curator.jobs import Job, Phase
from curator.level import Level
from curator.models import Model, validate
from curator.removing import BATCH, delete_unchanged
from curator.storing import NotStored

#: Metadata of the core that says what a resource was made from.
ANONYMIZED_FROM = "AnonymizedFrom"

#: Results for each thread that are made ahead, so that none has to wait for another.
AHEAD = 2

#: Keeps which Patient IDs became which: ``note(profile, {old: new})``.
NoteMapping = Callable[[str, dict[str, str]], None]


class Parent(Model):
    """A new patient, study or series, and what it was made from."""

    level: Level
    source: str
    target: str


class Plan(Model):
    """What is known of a job before it stores anything, and what is added before it commits.

    Attributes
    ----------
    parents : tuple of Parent
        New patients, studies and series; each source once.
    staying : tuple of str
        Sources that are not deleted in the end, although the others are.
    patient_ids : dict of str to str
        Old to new, where the profile asks to keep them.
    """

    sources: tuple[Source, ...]
    parents: tuple[Parent, ...] = ()
    staying: tuple[str, ...] = ()
    patient_ids: dict[str, str] = Field(default_factory=dict)


class Witness(Protocol):
    """Is told what jobs make, so that nobody removes what a job counts on."""

    def wanted(self, job_id: str, instances: Collection[str]) -> None:
        """Take notice of what a job makes, before it looks what of that is stored."""

    def storing(self, job_id: str, instances: Collection[str]) -> None:
        """Take notice of what of that was not, before it is stored."""


class NoWitness:
    """Takes no notice: nobody else removes what jobs make."""

    def wanted(self, job_id: str, instances: Collection[str]) -> None:
        """Do nothing."""

    def storing(self, job_id: str, instances: Collection[str]) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What an anonymization works with.

    Attributes
    ----------
    maker : Maker
        Anonymizes by the profile of the job.
    """

    access: Access
    record: Record
    maker: Maker
    keeper: Keeper
    note_mapping: NoteMapping
    witness: Witness


@dataclass(frozen=True, slots=True)
class Order:
    """What a job was asked for.

    Attributes
    ----------
    level : Level or None
        Of the resource; None for several resources, of any level.
    resources : tuple of str
        Orthanc identifiers.
    """

    level: Level | None
    resources: tuple[str, ...]
    request: AnonymizeRequest
    profile: Profile


@dataclass(slots=True)
class _Progress:
    """What has come out so far.

    Attributes
    ----------
    before, after : dict
        Identifiers of the originals, as far as they were read, and of the new instances, by the
        Orthanc identifiers of the originals.
    origin : dict
        The original of each new instance.
    ours : set of str
        New instances that this job has noted.
    done : int
        Half steps: instances made, and instances stored.
    """

    total: int
    ours: set[str]
    report: Report = field(default_factory=Report)
    before: dict[str, Identity] = field(default_factory=dict)
    after: dict[str, Identity] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    done: int = 0

    def step(self, job: Job, count: int = 1) -> None:
        self.done += count
        job.progress(self.done / (2 * self.total))


class AnonymizeTask:
    """The work of one job."""

    def __init__(self, tools: Tools, order: Order) -> None:
        self._tools = tools
        self._order = order
        self._request = order.request
        self._access = tools.access
        self._gateway: Gateway = tools.access.gateway
        self._selector = Selector(self._gateway)

    def run(self, job: Job) -> None:
        """Anonymize, or do what is left of it."""
        plan = _kept_plan(job)
        if plan is None or job.phase != Phase.COMMITTED:
            plan = self._write(job, plan or self._new_plan(job))
        self._finish(job, plan)

    def undo(self, job: Job) -> None:
        """Remove the instances that were not there before the job."""
        noted = self._tools.record.noted(job.id)
        for start in range(0, len(noted), BATCH):
            self._gateway.delete_instances(noted[start : start + BATCH])
        left = self._gateway.lookup(noted)
        if left:
            raise CuratorError(f"{len(left)} new instances could not be removed")
        self._tools.record.forget(job.id)

    # Write

    def _new_plan(self, job: Job) -> Plan:
        resources = (
            self._selector.resources(self._order.resources)
            if self._order.level is None
            else [self._selector.resource(self._order.level, self._order.resources[0])]
        )
        sources = self._selector.sources(resources, self._request.keep_labels)
        job.claim(source.study for source in sources)
        plan = Plan(sources=tuple(sources))
        job.content = self._description(len(sources))
        job.keep_plan(plan.model_dump(mode="json", by_alias=True))
        return plan

    def _description(self, count: int) -> dict[str, Any]:
        return {
            "Description": "REST API",
            "IsAnonymization": True,
            "ParentResources": list(self._order.resources),
            "Profile": self._order.profile.name,
            "Version": self._order.profile.version,
            "Key": self._order.profile.key,
            "InstancesCount": count,
            "FailedInstancesCount": 0,
        }

    def _write(self, job: Job, plan: Plan) -> Plan:
        progress = _Progress(len(plan.sources), set(self._tools.record.noted(job.id)))
        for made in self._portions(job, plan.sources, progress):
            self._store(job, made, progress)
        self._count(progress)
        job.content |= self._results(plan, progress)
        new = {identity.instance for identity in progress.after.values()}
        complete = Plan(
            sources=plan.sources,
            parents=tuple(_parents(plan.sources, progress.after)),
            staying=tuple(
                one.instance
                for one in plan.sources
                if one.instance not in progress.after or one.instance in new
            ),
            patient_ids=self._patient_ids(progress),
        )
        self._refuse_changed(self._going(complete))
        job.keep_plan(complete.model_dump(mode="json", by_alias=True))
        job.commit()
        return complete

    def _portions(
        self, job: Job, sources: tuple[Source, ...], progress: _Progress
    ) -> Iterator[list[Made]]:
        """Make new instances, as many at a time as may be kept in memory."""
        portion: list[Made] = []
        size = 0
        ahead = AHEAD * self._access.threads
        for made in self._access.results(self._make, sources, job, ahead):
            progress.step(job)
            if isinstance(made, InstanceRefused):
                progress.report.refuse(made.instance, made.cause.details)
                progress.step(job)
                continue
            portion.append(made)
            size += len(made.result.dicom)
            if size >= self._access.cache and len(portion) >= self._access.threads:
                yield portion
                portion, size = [], 0
        if portion:
            yield portion

    def _make(self, source: Source) -> Made | InstanceRefused:
        try:
            return self._tools.maker.make(source)
        except InstanceRefused as refused:
            if not self._request.permissive:
                raise
            return refused

    def _store(self, job: Job, portion: list[Made], progress: _Progress) -> None:
        for made in portion:
            self._enter(made, progress)
        job.claim({made.after.study for made in portion})
        wanted = [one.after.instance for one in portion if one.after.instance not in progress.ours]
        self._tools.witness.wanted(job.id, wanted)
        standing = {one.orthanc_id for one in self._gateway.lookup(wanted)}
        new = [one for one in wanted if one not in standing]
        self._tools.witness.storing(job.id, new)
        self._tools.record.note(job.id, new)

        def put(made: Made) -> None:
            self._put(made, made.after.instance in standing)

        for _ in self._access.in_parallel(put, portion, job):
            progress.step(job)

    def _enter(self, made: Made, progress: _Progress) -> None:
        """Take an instance into account.

        Raises
        ------
        Conflict
            If it would take the place of its source, or of another one.
        """
        source, target = made.source.instance, made.after.instance
        if target == source:
            raise Conflict(
                f"Instance {source} would be overwritten by its anonymized copy, which has the same"
                " identifiers: let the profile change at least one of them"
            )
        first = progress.origin.setdefault(target, source)
        if first != source:
            raise Conflict(f"Instances {first} and {source} would become the same one, {target}")
        progress.report.add(made.result)
        progress.after[source] = made.after
        if made.before is not None:
            progress.before[source] = made.before

    def _put(self, made: Made, stands: bool) -> None:
        target = made.after.instance
        if stands:
            self._tools.keeper.check(target, made.result.dicom, made.source.instance)
            return
        read_back = not self._request.keep_source  # otherwise nothing can be lost
        self._tools.keeper.put(target, made.result.dicom, made.source.instance, read_back=read_back)
        self._say_origin(Level.INSTANCE, target, made.source.instance)
        for label in made.source.labels:
            self._gateway.add_label(Level.INSTANCE, target, label)

    def _say_origin(self, level: Level, target: str, source: str) -> None:
        """Say what a new resource was made from.

        With ``CheckRevisions``, a server keeps what an earlier job, or run of this one, has said.
        """
        try:
            self._gateway.set_metadata(level, target, ANONYMIZED_FROM, source)
        except CoreError as error:
            if error.core_code != ErrorCode.REVISION:
                raise

    # Commit

    def _count(self, progress: _Progress) -> None:
        expected: dict[str, set[str]] = {}
        for identity in progress.after.values():
            expected.setdefault(identity.series, set()).add(identity.instance)
        for series, instances in expected.items():
            missing = instances.difference(self._files(series))
            if missing:
                raise NotStored(f"{len(missing)} new instances of series {series} have disappeared")

    def _files(self, series: str) -> dict[str, str]:
        """Return the files of the instances of a series; none where it is not stored."""
        found = self._gateway.instances_of_series(series, [Content.ATTACHMENTS])
        return {one.orthanc_id: one.file_uuid for one in found}

    def _going(self, plan: Plan) -> list[Source]:
        """Return the sources that are deleted in the end."""
        if self._request.keep_source:
            return []
        staying = frozenset(plan.staying)
        return [one for one in plan.sources if one.instance not in staying]

    def _refuse_changed(self, going: list[Source]) -> None:
        for source, there in self._now(going):
            if there is None:
                raise Conflict(f"Instance {source.instance} was deleted meanwhile")
            if there != source.file_uuid:
                raise Conflict(f"Instance {source.instance} was overwritten meanwhile")

    def _now(self, sources: Iterable[Source]) -> Iterator[tuple[Source, str | None]]:
        """Yield instances with the files that they have now, None where they are gone."""
        by_series: dict[str, list[Source]] = {}
        for source in sources:
            by_series.setdefault(source.series, []).append(source)
        for series, members in by_series.items():
            files = self._files(series)
            yield from ((source, files.get(source.instance)) for source in members)

    def _results(self, plan: Plan, progress: _Progress) -> dict[str, Any]:
        results: dict[str, Any] = {
            "FailedInstances": sorted(progress.report.refused),
            "FailedInstancesCount": len(progress.report.refused),
            "Report": progress.report.describe(self._request.report),
        }
        made = list(progress.after.values())
        if self._order.level is None:
            results["Resources"] = _described(made)
        elif made:
            level = self._order.level
            results |= _resource(level, made[0].at(level)) | {"PatientID": made[0].patient}
        if self._request.map:
            results["Map"] = _map(plan.sources, progress.before, progress.after)
        return results

    def _patient_ids(self, progress: _Progress) -> dict[str, str]:
        if not self._order.profile.mapping:
            return {}
        return {
            before.patient_id: progress.after[source].patient_id
            for source, before in progress.before.items()
            if before.patient_id
        }

    # Finish

    def _finish(self, job: Job, plan: Plan) -> None:
        if plan.patient_ids:
            self._tools.note_mapping(self._order.profile.name, dict(plan.patient_ids))
        for parent in plan.parents:
            self._hang(parent)
        self._delete(job, self._going(plan))
        self._tools.record.forget(job.id)
        self._audit(job, plan)

    def _hang(self, parent: Parent) -> None:
        """Say of a new resource what it was made from, and carry labels while that is there."""
        try:
            self._say_origin(parent.level, parent.target, parent.source)
        except CoreError as error:
            if not error.unknown_resource:
                raise
            return  # an earlier run has done it, and someone has deleted the result since
        if self._request.keep_labels:
            found = self._gateway.resource(parent.level, parent.source)
            for label in found.labels if found else ():
                self._gateway.add_label(parent.level, parent.target, label)

    def _delete(self, job: Job, going: list[Source]) -> None:
        """Delete sources, but for those that others have overwritten meanwhile."""
        files = [(one.instance, one.file_uuid) for one in going]
        overwritten = delete_unchanged(self._access, files, job)
        if overwritten:
            warning = "Sources were overwritten meanwhile and are kept"
            warnings = job.content["Report"]["Warnings"]
            warnings.append({"Text": warning, "InstancesCount": overwritten})

    def _audit(self, job: Job, plan: Plan) -> None:
        details = {
            "Job": job.id,
            "Profile": self._order.profile.name,
            "Version": self._order.profile.version,
            "Instances": job.content["InstancesCount"] - job.content["FailedInstancesCount"],
            "Refused": job.content["FailedInstancesCount"],
            "KeepSource": self._request.keep_source,
        }
        for parent in plan.parents:
            if parent.level == Level.STUDY:
                made = details | {"Study": parent.target}
                self._gateway.audit(job.user, Level.STUDY, parent.source, "anonymize", made)


def _kept_plan(job: Job) -> Plan | None:
    kept = job.plan() if job.phase != Phase.NONE else None
    return None if kept is None else validate(Plan, kept)


def _parents(sources: Iterable[Source], after: dict[str, Identity]) -> Iterator[Parent]:
    """Yield what the new patients, studies and series were made from, where they are new."""
    found = dict.fromkeys(
        (level, source, after[one.instance].at(level))
        for one in sources
        if one.instance in after
        for level, source in one.parents()
    )
    for level, source, target in found:
        if source != target:
            yield Parent(level=level, source=source, target=target)


def _resource(level: Level, orthanc_id: str) -> dict[str, str]:
    return {"Type": level, "ID": orthanc_id, "Path": f"/{level.collection}/{orthanc_id}"}


def _described(made: list[Identity]) -> list[dict[str, str]]:
    """Return all new resources as the core lists them."""
    return [
        _resource(level, orthanc_id)
        for level in reversed(Level)
        for orthanc_id in sorted({identity.at(level) for identity in made})
    ]


def _map(
    sources: Iterable[Source], before: dict[str, Identity], after: dict[str, Identity]
) -> dict[str, list[dict[str, str]]]:
    """Return what became what, by level: Orthanc identifiers, and the UIDs that have one."""
    mapped: dict[str, list[dict[str, str]]] = {}
    for level in Level:
        rows = dict.fromkeys(
            (before[one.instance].at(level), _uid(before[one.instance], level), *new)
            for one in sources
            if one.instance in after
            for new in [(after[one.instance].at(level), _uid(after[one.instance], level))]
        )
        names = ("Old", "OldUID", "New", "NewUID")
        described = [dict(zip(names, row, strict=True)) for row in rows]
        if level == Level.PATIENT:
            described = [{"Old": row["Old"], "New": row["New"]} for row in described]
        mapped[level.collection.capitalize()] = described
    return mapped


def _uid(identity: Identity, level: Level) -> str:
    match level:
        case Level.STUDY:
            return identity.study_instance_uid
        case Level.SERIES:
            return identity.series_instance_uid
        case Level.INSTANCE:
            return identity.sop_instance_uid
        case Level.PATIENT:
            return ""
