"""Carry out a plan so that nothing is lost, wherever it stops.

1. *Write*: store every new instance, read it back, compare; give it what hangs on its source. The
   sources stay untouched, so up to here everything can be undone by deleting the new ones.
2. *Commit*: count the new instances, make sure that no source has changed, keep in the journal
   what it takes to get back, note that from now on the work can only be finished.
3. *Finish*: give patients, studies and series what hung on those they come from, overwrite the
   instances that stay where they are, delete the sources whose copies are there, each only if it
   is still the file that was copied.

Every step can be done twice: new identifiers are in the plan, a stored instance is compared instead
of stored again.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from curator.access import Access
from curator.dicom.tags import tag_text
from curator.errors import Conflict, CoreError, CuratorError
from curator.gateway import Content, Resource
from curator.jobs import Job, Phase
from curator.journal import Action, Change, Journal, State
from curator.level import Level
from curator.models import validate
from curator.removing import delete_unchanged
from curator.reshape import numbering
from curator.reshape.carry import (
    EXPECTED_INSTANCES,
    Belongings,
    Carrier,
    belongings_of,
    pairs,
)
from curator.reshape.delta import way_back
from curator.reshape.files import FileCache
from curator.reshape.modules import SERIES_LEVEL, STUDY_LEVEL
from curator.reshape.overwrite import Overwriter, Rewrite
from curator.reshape.plan import Dropped, Edits, Kind, Plan, PlannedInstance, PlannedSeries
from curator.reshape.refresh import refresh
from curator.reshape.rewriting import Rewriter
from curator.storing import NotStored, check_stored, store

#: What instances say of their parents, by keyword.
_PARENTS = frozenset(tag_text(tag) for tag in STUDY_LEVEL | SERIES_LEVEL).union(
    map(str, numbering.COUNTS)
)

#: Instances by their Orthanc identifiers.
Resources = Mapping[str, Resource]


@dataclass
class Run:
    """One operation while it is carried out.

    Attributes
    ----------
    ways_back : dict
        By new identifier.
    """

    plan: Plan
    operation_id: str
    job: Job
    rewriter: Rewriter
    carrier: Carrier
    files: FileCache = field(default_factory=lambda: FileCache(0))
    ways_back: dict[str, bytes] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Applier:
    """Carries out plans."""

    def __init__(self, access: Access, journal: Journal) -> None:
        self._access = access
        self._gateway = access.gateway
        self._journal = journal

    def apply(self, run: Run, sources: Resources) -> None:
        """Carry out a new plan, made from the `sources`.

        Raises
        ------
        Conflict
            If the result exists already, or a source has changed.
        NotStored
            If a new instance is not in Orthanc as it was written.
        """
        self._refuse_existing(run.plan)
        plan = run.plan.model_dump(mode="json", by_alias=True)
        self._journal.set_plan(run.operation_id, plan)
        run.job.keep_plan(plan)
        self._write_and_finish(run, sources)

    def go_on(self, run: Run) -> None:
        """Carry out what is left of a plan that was kept when its job was stopped.

        Raises
        ------
        Conflict, NotStored
            As `apply` does.
        """
        sources = self._sources(run.plan)
        if run.job.phase == Phase.WRITING:
            self._refuse_changed(run.plan, sources)
            self._write_and_finish(run, sources)
        else:
            self._restore_lost(run, sources)
            self._finish(run)

    def undo(self, plan: Plan) -> None:
        """Remove the new instances of a plan that was not carried out to its end."""
        self._gateway.delete_instances([one.orthanc_id for one in plan.instances])
        left = sum(len(series.instances) - len(self._missing(series)) for series in plan.series)
        if left:
            raise CuratorError(f"{left} new instances could not be removed")

    def _write_and_finish(self, run: Run, sources: Resources) -> None:
        self._write(run, sources)
        self._count(run.plan)
        self._refuse_changed(run.plan, self._sources(run.plan, [Content.ATTACHMENTS]))
        self._record(run, sources)
        run.job.commit()
        self._finish(run)

    # Write

    def _refuse_existing(self, plan: Plan) -> None:
        for series in plan.series:
            new = {one.orthanc_id for one in series.instances}
            stored = new.intersection(self._stored(series.orthanc_id))
            if stored:
                raise Conflict(
                    f"The result of this operation is stored already: instance {min(stored)}"
                    f" of series {series.orthanc_id}"
                )

    def _sources(self, plan: Plan, content: Iterable[Content] = Content) -> Resources:
        """Read the instances that the plan is about as they are now; some may be gone."""
        wanted = {instance.source for _, instance in plan.changed()}
        wanted.update(one.source for one in plan.dropped)
        found: dict[str, Resource] = {}
        series_ids = [one.source for one in (*plan.series, *plan.overwritten)]
        for series in dict.fromkeys([*series_ids, *(one.series for one in plan.dropped)]):
            for one in self._gateway.instances_of_series(series, content):
                found[one.orthanc_id] = one
        return {orthanc_id: one for orthanc_id, one in found.items() if orthanc_id in wanted}

    def _refuse_changed(self, plan: Plan, sources: Resources) -> None:
        planned: list[PlannedInstance | Dropped] = [one for _, one in plan.changed()]
        for instance in [*planned, *plan.dropped]:
            source = sources.get(instance.source)
            if source is None:
                raise Conflict(f"Instance {instance.source} was deleted meanwhile")
            if source.file_uuid != instance.file_uuid:
                raise Conflict(f"Instance {instance.source} was overwritten meanwhile")

    def _write(self, run: Run, sources: Resources) -> None:
        moves = list(run.plan.changed())

        def write(move: tuple[PlannedSeries, PlannedInstance]) -> None:
            if move[1].stays:
                self._try(run, *move)
            else:
                self._move(run, *move, sources)

        for done in self._access.in_parallel(write, moves, run.job):
            run.job.progress(done / len(moves))

    def _try(self, run: Run, series: PlannedSeries, instance: PlannedInstance) -> None:
        """Make the file that an instance is overwritten with later, to see that it can be made."""
        original = self._original(run, instance)
        changed = run.rewriter(series, instance, original)
        with run.lock:
            run.ways_back[instance.orthanc_id] = way_back(changed, original)

    def _move(
        self, run: Run, series: PlannedSeries, instance: PlannedInstance, sources: Resources
    ) -> None:
        original = self._original(run, instance)
        changed = run.rewriter(series, instance, original)
        store(self._gateway, changed, instance.orthanc_id)
        stored = check_stored(
            self._gateway,
            instance.orthanc_id,
            changed,
            lambda: self._gateway.decoded(instance.source),
        )
        if not run.plan.keep_source:
            with run.lock:
                run.ways_back[instance.orthanc_id] = way_back(stored, original)
        run.carrier.instance(sources[instance.source], instance.orthanc_id)

    def _original(self, run: Run, instance: PlannedInstance) -> bytes:
        kept = run.files.take(instance.source)
        if kept is not None:
            return kept
        try:
            return self._gateway.read(instance.source)
        except CoreError as error:
            details = f"Instance {instance.source} cannot be read: {error.message}"
            raise CoreError(error.core_code, error.message, details) from None

    def _restore_lost(self, run: Run, sources: Resources) -> None:
        """Write again what a crash of the machine has taken from Orthanc after the commit.

        What is missing and has no source any more was deleted by someone else after that.
        """
        gone = 0
        for series in run.plan.series:
            for instance in self._missing(series):
                if instance.source in sources:
                    self._move(run, series, instance, sources)
                else:
                    gone += 1
        if gone:
            _warn(run.job, f"{gone} new instances were deleted meanwhile")

    def _count(self, plan: Plan) -> None:
        for series in plan.series:
            missing = self._missing(series)
            if missing:
                raise NotStored(
                    f"{len(missing)} new instances of series {series.orthanc_id} have disappeared"
                )

    def _missing(self, series: PlannedSeries) -> list[PlannedInstance]:
        stored = self._stored(series.orthanc_id)
        return [one for one in series.instances if one.orthanc_id not in stored]

    def _stored(self, series_orthanc_id: str) -> dict[str, str]:
        """Return the files of the instances of a series; none where it is not stored."""
        found = self._gateway.instances_of_series(series_orthanc_id, [Content.ATTACHMENTS])
        return {one.orthanc_id: one.file_uuid for one in found}

    # Commit

    def _record(self, run: Run, sources: Resources) -> None:
        """Keep what it takes to undo the operation, now that all of it is known."""
        changes = [*self._written(run, sources), *self._dropped(run, sources)]
        self._journal.record(run.operation_id, changes, list(self._keep_states(run)))

    def _written(self, run: Run, sources: Resources) -> Iterable[Change]:
        new_files: dict[str, str] = {}
        for series in dict.fromkeys(one.orthanc_id for one in run.plan.series):
            new_files |= self._stored(series)
        moved = Action.COPIED if run.plan.keep_source else Action.MOVED
        for _, instance in run.plan.changed():
            yield Change(
                action=Action.OVERWRITTEN if instance.stays else moved,
                old=instance.source,
                new=instance.orthanc_id,
                old_uid=instance.source_sop_instance_uid,
                new_uid=instance.sop_instance_uid,
                file_uuid="" if instance.stays else new_files.get(instance.orthanc_id, ""),
                state=self._state(sources[instance.source]),
                way_back=run.ways_back.pop(instance.orthanc_id, None),
            )

    def _dropped(self, run: Run, sources: Resources) -> Iterable[Change]:
        """Yield the duplicates that go, each with the way to it from what is kept in its place."""
        becomes = {one.source: (series, one) for series, one in run.plan.changed()}
        going = [sources[one.source] for one in run.plan.dropped]
        Overwriter(self._access, self._journal, run.operation_id).keep_attachments(going)
        for dropped in run.plan.dropped:
            kept = self._gateway.read(dropped.kept_source)
            if dropped.kept_source in becomes:
                kept = run.rewriter(*becomes[dropped.kept_source], kept)
            yield Change(
                action=Action.DROPPED,
                old=dropped.source,
                new=dropped.kept,
                old_uid=dropped.source_sop_instance_uid,
                new_uid=dropped.sop_instance_uid,
                file_uuid="",
                state=self._state(sources[dropped.source]),
                way_back=way_back(kept, self._gateway.read(dropped.source)),
            )

    def _keep_states(self, run: Run) -> Iterator[State]:
        """Yield what hangs on parents, also on those that were there before."""
        plan = run.plan
        joined = [(level, one) for level, _, one in pairs(plan.series) if one in plan.standing]
        moved = () if plan.keep_source else _parents(plan.series)
        losing = {*_parents(plan.overwritten), *moved, *_parents_of_dropped(plan)}
        found: list[Resource] = []
        for level, orthanc_id in dict.fromkeys((*_parents(plan.series), *sorted(losing), *joined)):
            resource = self._gateway.resource(level, orthanc_id)
            if resource is None:
                continue
            if (level, orthanc_id) in losing:
                found.append(resource)
            yield State(level, orthanc_id, self._state(resource))
        Overwriter(self._access, self._journal, run.operation_id).keep_attachments(found)

    def _state(self, resource: Resource) -> dict[str, object]:
        return belongings_of(self._gateway, resource).model_dump(mode="json", by_alias=True)

    # Finish

    def _finish(self, run: Run) -> None:
        overwriter = Overwriter(self._access, self._journal, run.operation_id)
        overwriter.finish_interrupted(self._states_of_overwritten(run))
        if run.plan.overwritten:
            overwriter.overwrite(self._to_be_overwritten(run), run.job)
            wanted = set(_parents(run.plan.overwritten))
            states = self._journal.states(run.operation_id)
            overwriter.restore_parents(
                one for one in states if (Level(one.level), one.orthanc_id) in wanted
            )
        run.carrier.parents(run.plan)
        self._delete_sources(run)
        if run.plan.kind != Kind.UNDO:
            self._forget_expected(run.plan)
        self._refresh(run.plan, run.job)

    def _states_of_overwritten(self, run: Run) -> dict[str, Belongings]:
        return {
            change.old: validate(Belongings, change.state)
            for change in self._journal.changes(run.operation_id)
            if change.action == Action.OVERWRITTEN
        }

    def _to_be_overwritten(self, run: Run) -> list[tuple[Resource, Rewrite]]:
        """Return what is still as it was planned; what others have changed meanwhile stays."""
        sources = self._sources(run.plan)
        written = {one.old: one.file_uuid for one in self._journal.changes(run.operation_id)}
        items: list[tuple[Resource, Rewrite]] = []
        changed = 0
        for series in run.plan.overwritten:
            for instance in series.instances:
                current = sources.get(instance.source)
                if current is not None and current.file_uuid == instance.file_uuid:
                    items.append((current, partial(run.rewriter, series, instance)))
                elif current is None or current.file_uuid != written.get(instance.source):
                    changed += 1
        if changed:
            _warn(run.job, f"{changed} instances were changed by others meanwhile and stay so")
        return items

    def _delete_sources(self, run: Run) -> None:
        """Delete the sources, of which some may be overwritten or deleted by others meanwhile."""
        overwritten = delete_unchanged(self._access, list(_going(run.plan)), run.job)
        if overwritten:
            _warn(run.job, f"{overwritten} sources were overwritten meanwhile and are kept")

    def _forget_expected(self, plan: Plan) -> None:
        """Take the expected number from series that have lost or won instances.

        They would show as ``Missing`` or ``Inconsistent`` otherwise. An undo gives it back.
        """
        lost = {one.series for one in plan.dropped}
        if not plan.keep_source:
            lost.update(series.source for series in plan.series)
        won = {series.orthanc_id for series in plan.series}.intersection(plan.standing)
        for series in sorted(lost | won):
            if self._gateway.exists(Level.SERIES, series):
                self._gateway.delete_metadata(Level.SERIES, series, EXPECTED_INSTANCES)

    def _refresh(self, plan: Plan, job: Job) -> None:
        """Let Orthanc read the main DICOM tags of parents again where instances say others now."""
        changed = [
            series
            for series in plan.overwritten
            if plan.kind == Kind.UNDO
            or _of_parents(series.edits)
            or any(_of_parents(one.edits) for one in series.instances)
        ]
        for level, orthanc_id in sorted({*_parents(changed), *_left(plan)}):
            try:
                refresh(self._access, level, orthanc_id)
            except CoreError as error:  # the instance that it would read is damaged
                _warn(job, f"{level} {orthanc_id} was not reconstructed: {error.message}")


def _of_parents(edits: Edits) -> bool:
    """Tell whether edits concern what instances say of their series, study or patient."""
    return not _PARENTS.isdisjoint(edits)


def _parents(series: Iterable[PlannedSeries]) -> Iterator[tuple[Level, str]]:
    """Yield the parents that instances come from."""
    for one in series:
        yield Level.SERIES, one.source
        yield Level.STUDY, one.source_study
        yield Level.PATIENT, one.source_patient


def _left(plan: Plan) -> Iterator[tuple[Level, str]]:
    """Yield the parents that instances leave, of which the index may have what only those said."""
    if not plan.keep_source:
        yield from _parents(plan.series)
    for one in plan.dropped:
        yield Level.SERIES, one.series
        yield Level.STUDY, one.study
        yield Level.PATIENT, one.patient


def _parents_of_dropped(plan: Plan) -> Iterator[tuple[Level, str]]:
    for one in plan.dropped:
        yield Level.SERIES, one.series
        yield Level.STUDY, one.study
        yield Level.PATIENT, one.patient


def _going(plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield the instances that have to be deleted, with the files that they have to be."""
    if not plan.keep_source:
        for instance in plan.instances:
            if not instance.keeps_source:
                yield instance.source, instance.file_uuid
    for dropped in plan.dropped:
        yield dropped.source, dropped.file_uuid


def _warn(job: Job, warning: str) -> None:
    job.content["Warnings"] = [*job.content.get("Warnings", ()), warning]
