"""Carry out a plan so that nothing is lost, wherever it stops.

1. *Write*: store every new instance, read it back, compare; carry over what hangs on the sources.
   The sources stay untouched, so up to here everything can be undone by deleting the new ones.
2. *Commit*: count the new instances, make sure that no source has changed, note in the database
   that from now on the work can only be finished.
3. *Delete* the sources whose copies are there, each only if it is still the file that was copied.

Every step can be done twice: new identifiers are in the plan, a stored instance is compared instead
of stored again.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from curator.dicom import engine, reader
from curator.dicom.edits import Edits
from curator.dicom.errors import DicomError
from curator.errors import Conflict, CuratorError, UnreadableInstance
from curator.gateway import Gateway, Level, Resource
from curator.jobs import Job, Phase
from curator.reshape.edits import edits_of, record_original
from curator.reshape.plan import Plan, PlannedInstance, PlannedSeries

#: Instances between two checkpoints, per thread.
BATCH = 8

#: Metadata of the core that tell where an instance came from; they move along.
PROVENANCE = ("RemoteAET", "CalledAET", "RemoteIP")

MODIFIED_FROM = "ModifiedFrom"
EXPECTED_INSTANCES = "ExpectedNumberOfInstances"

#: Statuses of the core after which an instance is stored.
_STORED = ("Success", "AlreadyStored")

T = TypeVar("T")


class NotStored(CuratorError):
    """The core took a new instance, but does not have it as it was written."""


@dataclass(frozen=True)
class _Move:
    """One instance on its way, with the edits of its series."""

    series: PlannedSeries
    instance: PlannedInstance


class Applier:
    """Carries out plans.

    Parameters
    ----------
    gateway : Gateway
    threads : int
        Instances that are on their way at the same time.
    """

    def __init__(self, gateway: Gateway, threads: int) -> None:
        self._gateway = gateway
        self._threads = threads

    def apply(self, plan: Plan, job: Job) -> None:
        """Carry out a plan, or what is left of it.

        Raises
        ------
        Conflict
            If the result exists already, or a source has changed.
        NotStored
            If a new instance is not in Orthanc as it was written.
        """
        if job.phase == Phase.NONE:
            self._refuse_existing(plan)
            job.keep_plan(plan.model_dump(mode="json", by_alias=True))
        elif job.phase == Phase.COMMITTED:
            self._restore_lost(plan)
        moves = [_Move(series, one) for series in plan.series for one in series.instances]
        if job.phase == Phase.WRITING:
            sources = self._sources(plan)
            self._refuse_changed(moves, sources)
            self._write(plan, moves, sources, job)
            self._carry_parents(plan)
            self._count(plan)
            self._refuse_changed(moves, self._sources(plan))
            if plan.keep_source:
                return
            job.commit()
        self._delete_sources(plan, moves, job)

    def undo(self, plan: Plan) -> None:
        """Remove the new instances of a plan that was not carried out to its end."""
        self._gateway.delete_instances(
            [one.orthanc_id for series in plan.series for one in series.instances]
        )
        for series in plan.series:
            if self._gateway.exists(Level.SERIES, series.orthanc_id):
                raise CuratorError(f"Series {series.orthanc_id} could not be removed")

    # Write

    def _refuse_existing(self, plan: Plan) -> None:
        for series in plan.series:
            if self._gateway.exists(Level.SERIES, series.orthanc_id):
                raise Conflict(
                    f"The result of this split is stored already: series {series.orthanc_id}"
                )

    def _sources(self, plan: Plan) -> dict[str, Resource]:
        """Read the source instances as they are now; empty when the source is gone."""
        level = Level(plan.source_level)
        if not self._gateway.exists(level, plan.source):
            return {}
        found = self._gateway.descendants(Level.INSTANCE, level, plan.source)
        return {resource.orthanc_id: resource for resource in found}

    def _refuse_changed(self, moves: Iterable[_Move], sources: dict[str, Resource]) -> None:
        for move in moves:
            source = sources.get(move.instance.source)
            if source is None:
                raise Conflict(f"Instance {move.instance.source} was deleted meanwhile")
            if source.file_uuid != move.instance.file_uuid:
                raise Conflict(f"Instance {source.orthanc_id} was overwritten meanwhile")

    def _write(
        self, plan: Plan, moves: Sequence[_Move], sources: dict[str, Resource], job: Job
    ) -> None:
        edits = {series.orthanc_id: Edits(edits_of(series.edits)) for series in plan.series}

        def write(move: _Move) -> None:
            self._copy(plan, move, edits[move.series.orthanc_id])
            self._carry(
                plan, sources[move.instance.source], move.instance.orthanc_id, Level.INSTANCE
            )

        self._for_each(moves, write, job)

    def _copy(self, plan: Plan, move: _Move, series_edits: Edits) -> None:
        original = self._gateway.read(move.instance.source)
        try:
            changed = self._edit(plan, move, series_edits, original)
        except DicomError as error:
            raise UnreadableInstance(f"Instance {move.instance.source}: {error}") from None
        stored = self._gateway.store(changed)
        if stored.status not in _STORED:
            raise NotStored(
                f"The copy of instance {move.instance.source} was not stored: {stored.status}"
            )
        if stored.orthanc_id != move.instance.orthanc_id:
            raise NotStored(
                f"The copy of instance {move.instance.source} was stored as {stored.orthanc_id}"
                f" instead of {move.instance.orthanc_id}: this server changes what it receives"
            )
        self._compare(move, changed)

    def _edit(self, plan: Plan, move: _Move, series_edits: Edits, original: bytes) -> bytes:
        own = edits_of({"SOPInstanceUID": move.instance.sop_instance_uid, **move.instance.edits})
        edits = series_edits.with_(own)
        if plan.original_attributes:
            changed = {**edits_of(move.series.edits), **own}
            edits = record_original(edits, changed, original, plan.created)
        return engine.apply(original, edits)

    def _compare(self, move: _Move, written: bytes) -> None:
        """Read a new instance back; a server that transcodes has to leave the pixels alone."""
        stored = self._gateway.read(move.instance.orthanc_id)
        if stored == written:
            return
        if _transfer_syntax(stored) == _transfer_syntax(written):
            same = reader.pixel_digest(stored) == reader.pixel_digest(written)
        else:
            source, copy = (
                self._gateway.decoded(one)
                for one in (move.instance.source, move.instance.orthanc_id)
            )
            same = source == copy
        if not same:
            raise NotStored(
                f"The copy of instance {move.instance.source} differs from what was written"
            )

    def _restore_lost(self, plan: Plan) -> None:
        """Write again what a crash of the machine has taken from Orthanc after the commit."""
        for series in plan.series:
            edits = Edits(edits_of(series.edits))
            for instance in self._missing(series):
                self._copy(plan, _Move(series, instance), edits)

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
        found = self._gateway.descendants(Level.INSTANCE, Level.SERIES, series.orthanc_id)
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

    def _delete_sources(self, plan: Plan, moves: Sequence[_Move], job: Job) -> None:
        planned = {move.instance.source: move.instance.file_uuid for move in moves}
        current = self._sources(plan)
        changed = [
            orthanc_id
            for orthanc_id, resource in current.items()
            if planned.get(orthanc_id, resource.file_uuid) != resource.file_uuid
        ]
        going = [one for one in current if one in planned and one not in changed]
        for start in range(0, len(going), BATCH * self._threads):
            job.checkpoint()
            self._gateway.delete_instances(going[start : start + BATCH * self._threads])
        if changed:
            warning = (
                f"{len(changed)} source instances were overwritten meanwhile and are kept,"
                f" the first is {changed[0]}"
            )
            job.content["Warnings"] = [*job.content.get("Warnings", ()), warning]
        self._forget_expected(plan)

    def _forget_expected(self, plan: Plan) -> None:
        """Take the expected number from series that have lost instances, else they show Missing."""
        for series in dict.fromkeys(series.source for series in plan.series):
            if self._gateway.exists(Level.SERIES, series):
                self._gateway.delete_metadata(Level.SERIES, series, EXPECTED_INSTANCES)

    def _for_each(self, items: Sequence[T], function: Callable[[T], None], job: Job) -> None:
        size = BATCH * self._threads
        with ThreadPoolExecutor(self._threads, "curator-write") as pool:
            for start in range(0, len(items), size):
                job.checkpoint()
                for _ in pool.map(function, items[start : start + size]):
                    pass
                job.progress(min(start + size, len(items)) / len(items))


def _transfer_syntax(dicom: bytes) -> str:
    return reader.read(dicom, ()).transfer_syntax_uid
