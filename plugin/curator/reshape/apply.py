"""Carry out a plan so that nothing is lost, wherever it stops.

1. *Write*: store every new instance, read it back, compare; carry over what hangs on the sources.
   The sources stay untouched, so up to here everything can be undone by deleting the new ones.
2. *Commit*: count the new instances, make sure that no source has changed, note in the database
   that from now on the work can only be finished.
3. *Delete* the sources whose copies are there, each only if it is still the file that was copied.

Every step can be done twice: new identifiers are in the plan, a stored instance is compared instead
of stored again.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from curator.dicom import engine, reader
from curator.dicom.edits import Edits
from curator.dicom.errors import DicomError
from curator.dicom.tags import parse_path
from curator.errors import Conflict, CoreError, CuratorError, UnreadableInstance
from curator.gateway import Content, Gateway, Level, Resource
from curator.jobs import Job, Phase
from curator.reshape.edits import edits_of, recording
from curator.reshape.files import FileCache
from curator.reshape.plan import Plan, PlannedInstance, PlannedSeries

#: Sources that are deleted in one call.
BATCH = 8

#: Sources that are deleted before it is looked again whether others have overwritten some.
LOOK = 256

#: Items that wait for each thread, so that none has to wait for another.
AHEAD = 4

#: Metadata of the core that tell where an instance came from; they move along.
PROVENANCE = ("RemoteAET", "CalledAET")

MODIFIED_FROM = "ModifiedFrom"
EXPECTED_INSTANCES = "ExpectedNumberOfInstances"

#: Statuses of the core after which an instance is stored.
_STORED = ("Success", "AlreadyStored")

T = TypeVar("T")

#: Instances by their Orthanc identifiers.
Resources = Mapping[str, Resource]


class NotStored(CuratorError):
    """The core took a new instance, but does not have it as it was written."""


class Applier:
    """Carries out plans.

    Parameters
    ----------
    gateway : Gateway
    threads : int
        Instances that are on their way at the same time.
    default_charset : str
        Defined term for instances without Specific Character Set.
    """

    def __init__(self, gateway: Gateway, threads: int, default_charset: str) -> None:
        self._gateway = gateway
        self._threads = threads
        self._default_charset = default_charset

    def apply(self, plan: Plan, instances: Iterable[Resource], files: FileCache, job: Job) -> None:
        """Carry out a new plan, made from the source `instances` and their `files`.

        Raises
        ------
        Conflict
            If the result exists already, or a source has changed.
        NotStored
            If a new instance is not in Orthanc as it was written.
        """
        self._refuse_existing(plan)
        job.keep_plan(plan.model_dump(mode="json", by_alias=True))
        self._write_and_delete(plan, {one.orthanc_id: one for one in instances}, files, job)

    def go_on(self, plan: Plan, job: Job) -> None:
        """Carry out what is left of a plan that was kept when its job was stopped.

        Raises
        ------
        Conflict, NotStored
            As `apply` does.
        """
        sources = self._sources(plan)
        if job.phase == Phase.WRITING:
            self._refuse_changed(plan, sources)
            self._write_and_delete(plan, sources, FileCache(0), job)
        else:
            self._restore_lost(plan, sources, job)
            self._delete_sources(plan, job)

    def _write_and_delete(self, plan: Plan, sources: Resources, files: FileCache, job: Job) -> None:
        self._write(plan, sources, files, job)
        self._carry_parents(plan)
        self._count(plan)
        sources = self._sources(plan, [Content.ATTACHMENTS])
        self._refuse_changed(plan, sources)
        if not plan.keep_source:
            job.commit()
            self._delete_sources(plan, job)

    def undo(self, plan: Plan) -> None:
        """Remove the new instances of a plan that was not carried out to its end."""
        self._gateway.delete_instances([one.orthanc_id for one in plan.instances])
        left = sum(len(series.instances) - len(self._missing(series)) for series in plan.series)
        if left:
            raise CuratorError(f"{left} new instances could not be removed")

    # Write

    def _refuse_existing(self, plan: Plan) -> None:
        for series in plan.series:
            if self._gateway.exists(Level.SERIES, series.orthanc_id):
                raise Conflict(
                    f"The result of this split is stored already: series {series.orthanc_id}"
                )

    def _sources(self, plan: Plan, content: Iterable[Content] = Content) -> Resources:
        """Read the source instances as they are now; none when the source is gone."""
        level = Level(plan.source_level)
        if not self._gateway.exists(level, plan.source):
            return {}
        found = self._gateway.descendants(Level.INSTANCE, level, plan.source, content)
        return {resource.orthanc_id: resource for resource in found}

    def _refuse_changed(self, plan: Plan, sources: Resources) -> None:
        for instance in plan.instances:
            source = sources.get(instance.source)
            if source is None:
                raise Conflict(f"Instance {instance.source} was deleted meanwhile")
            if source.file_uuid != instance.file_uuid:
                raise Conflict(f"Instance {instance.source} was overwritten meanwhile")

    def _write(self, plan: Plan, sources: Resources, files: FileCache, job: Job) -> None:
        moves = [
            (edits, instance)
            for edits, series in ((_edits(plan, series), series) for series in plan.series)
            for instance in series.instances
        ]

        def write(move: tuple[Edits, PlannedInstance]) -> None:
            self._move(plan, *move, sources, files)

        for done in self._in_parallel(write, moves, job):
            job.progress(done / len(moves))

    def _move(
        self,
        plan: Plan,
        edits: Edits,
        instance: PlannedInstance,
        sources: Resources,
        files: FileCache,
    ) -> None:
        self._copy(edits, instance, files)
        self._carry(plan, sources[instance.source], instance.orthanc_id, Level.INSTANCE)

    def _copy(self, edits: Edits, instance: PlannedInstance, files: FileCache) -> None:
        original = files.take(instance.source) or self._read(instance.source)
        own = edits.with_(edits_of(instance.edits))
        try:
            changed = engine.apply(original, own, default_charset=self._default_charset)
        except DicomError as error:
            raise UnreadableInstance(f"Instance {instance.source}: {error}") from None
        stored = self._gateway.store(changed)
        if stored.status not in _STORED:
            raise NotStored(
                f"The copy of instance {instance.source} was not stored: {stored.status}"
            )
        if stored.orthanc_id != instance.orthanc_id:
            raise NotStored(
                f"The copy of instance {instance.source} was stored as {stored.orthanc_id}"
                f" instead of {instance.orthanc_id}: this server changes what it receives"
            )
        self._compare(instance, changed)

    def _read(self, source: str) -> bytes:
        try:
            return self._gateway.read(source)
        except CoreError as error:
            details = f"Instance {source} cannot be read: {error.message}"
            raise CoreError(error.core_code, error.message, details) from None

    def _compare(self, instance: PlannedInstance, written: bytes) -> None:
        """Read a new instance back; a server that transcodes has to leave the pixels alone."""
        stored = self._gateway.read(instance.orthanc_id)
        if stored == written:
            return
        if engine.transfer_syntax(stored) == engine.transfer_syntax(written):
            digest = reader.pixel_digest(written)
            same = digest is not None and digest == reader.pixel_digest(stored)
        else:
            source, copy = (
                self._gateway.decoded(one) for one in (instance.source, instance.orthanc_id)
            )
            same = source == copy
        if not same:
            raise NotStored(f"The copy of instance {instance.source} differs from what was written")

    def _restore_lost(self, plan: Plan, sources: Resources, job: Job) -> None:
        """Write again what a crash of the machine has taken from Orthanc after the commit.

        What is missing and has no source any more was deleted by someone else after that.
        """
        gone = 0
        for series in plan.series:
            edits = _edits(plan, series)
            for instance in self._missing(series):
                if instance.source in sources:
                    self._move(plan, edits, instance, sources, FileCache(0))
                else:
                    gone += 1
        if gone:
            _warn(job, f"{gone} new instances were deleted meanwhile")

    def _count(self, plan: Plan) -> None:
        for series in plan.series:
            missing = self._missing(series)
            if missing:
                raise NotStored(
                    f"{len(missing)} new instances of series {series.orthanc_id} have disappeared"
                )

    def _missing(self, series: PlannedSeries) -> list[PlannedInstance]:
        if not self._gateway.exists(Level.SERIES, series.orthanc_id):
            return list(series.instances)
        found = self._gateway.descendants(Level.INSTANCE, Level.SERIES, series.orthanc_id, ())
        stored = {one.orthanc_id for one in found}
        return [one for one in series.instances if one.orthanc_id not in stored]

    # What hangs on resources

    def _carry_parents(self, plan: Plan) -> None:
        for series in plan.series:
            self._carry_from(plan, Level.SERIES, series.source, series.orthanc_id)
        if plan.new_studies:
            for study in dict.fromkeys(series.study_orthanc_id for series in plan.series):
                self._carry_from(plan, Level.STUDY, plan.source_study, study)
        for patient in dict.fromkeys(series.patient_orthanc_id for series in plan.series):
            if patient != plan.source_patient:
                self._carry_from(plan, Level.PATIENT, plan.source_patient, patient)

    def _carry_from(self, plan: Plan, level: Level, source: str, target: str) -> None:
        resource = self._gateway.resource(level, source)
        if resource is None:
            raise Conflict(f"{level} {source} was deleted meanwhile")
        self._carry(plan, resource, target, level)

    def _carry(self, plan: Plan, source: Resource, target: str, level: Level) -> None:
        """Give a new resource the metadata, labels and attachments of its source."""
        metadata = {MODIFIED_FROM: source.orthanc_id, **self._gateway.user_metadata(source)}
        for name in PROVENANCE:
            if source.metadata.get(name):
                metadata[name] = source.metadata[name]
        for name, value in metadata.items():
            self._gateway.set_metadata(level, target, name, value)
        if plan.keep_labels:
            for label in source.labels:
                self._gateway.add_label(level, target, label)
        for number in self._gateway.user_attachments(source):
            content = self._gateway.read_attachment(level, source.orthanc_id, number)
            self._gateway.attach(level, target, number, content)

    # Delete

    def _delete_sources(self, plan: Plan, job: Job) -> None:
        """Delete the sources, of which some may be overwritten or deleted by others meanwhile."""
        overwritten = 0
        for start in range(0, plan.instances_count, LOOK):
            sources = self._sources(plan, [Content.ATTACHMENTS])
            there = [one for one in plan.instances[start : start + LOOK] if one.source in sources]
            going = [one.source for one in there if sources[one.source].file_uuid == one.file_uuid]
            overwritten += len(there) - len(going)
            chunks = [going[first : first + BATCH] for first in range(0, len(going), BATCH)]
            for _ in self._in_parallel(self._gateway.delete_instances, chunks, job):
                pass
        if overwritten:
            _warn(job, f"{overwritten} sources were overwritten meanwhile and are kept")
        self._forget_expected(plan)

    def _forget_expected(self, plan: Plan) -> None:
        """Take the expected number from series that have lost instances, else they show Missing."""
        for series in dict.fromkeys(series.source for series in plan.series):
            if self._gateway.exists(Level.SERIES, series):
                self._gateway.delete_metadata(Level.SERIES, series, EXPECTED_INSTANCES)

    def _in_parallel(
        self, function: Callable[[T], None], items: Sequence[T], job: Job
    ) -> Iterator[int]:
        """Call a function for all items, and yield how many are done, at every checkpoint."""
        running: deque[Future[None]] = deque()
        with ThreadPoolExecutor(self._threads, "curator-job") as pool:
            for done in range(len(items)):
                job.checkpoint()
                ahead = items[done + len(running) : done + AHEAD * self._threads]
                running.extend(pool.submit(function, item) for item in ahead)
                running.popleft().result()
                yield done + 1


def _warn(job: Job, warning: str) -> None:
    job.content["Warnings"] = [*job.content.get("Warnings", ()), warning]


def _edits(plan: Plan, series: PlannedSeries) -> Edits:
    """Return what changes in every instance of a new series."""
    edits = edits_of(series.edits)
    if plan.original_attributes:
        texts = {*series.edits, *(text for one in series.instances for text in one.edits)}
        edits |= recording(map(parse_path, texts), plan.created)
    return Edits(edits)
