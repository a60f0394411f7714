"""Take an operation back: put every instance where it was, as it was."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from curator.access import Access
from curator.errors import Conflict, NotFound
from curator.gateway import Resource
from curator.journal import Action, Change, Journal
from curator.level import Level
from curator.models import validate
from curator.reshape.carry import Belongings, Carrier, ReturningCarrier
from curator.reshape.files import FileCache
from curator.reshape.moving import created, digest_of
from curator.reshape.operation import Resources
from curator.reshape.options import PlannedRequest
from curator.reshape.plan import (
    Dropped,
    Kind,
    Plan,
    PlannedGroup,
    PlannedInstance,
    PlannedSeries,
)
from curator.reshape.rewriting import RestoringRewriter, Rewriter
from curator.reshape.sources import SourceReader


@dataclass(frozen=True)
class _Done:
    """An operation that is done: its plan, what it did to each instance, what there is now."""

    id: str
    plan: Plan
    changes: Mapping[str, Change]
    stored: Mapping[str, Resource]


class Undo:
    """The undo of another operation."""

    action = "Undo"
    job_type = "CuratorUndo"
    model = PlannedRequest

    def __init__(self, access: Access, journal: Journal) -> None:
        self._gateway = access.gateway
        self._reader = SourceReader(access)
        self._journal = journal
        self.level = Level.STUDY

    def check(self, _request: PlannedRequest) -> None:
        """Refuse nothing: the model says it all."""

    def claims(self, operation_id: str, _request: PlannedRequest) -> frozenset[str]:
        """Claim all studies that the operation has changed."""
        plan = self._plan_of(operation_id)
        claims = plan.concerned_studies()
        claims.update(study for one in plan.dropped for study in (one.study,))
        return frozenset(claims)

    def plan(
        self, operation_id: str, request: PlannedRequest, _files: FileCache
    ) -> tuple[Plan, Resources]:
        """Plan the way back.

        Raises
        ------
        Conflict
            If the operation is not done or undone already, or its results are not as it left them.
        """
        plan = self._plan_of(operation_id)
        changes = {one.old: one for one in self._journal.changes(operation_id)}
        done = _Done(operation_id, plan, changes, self._stored(plan))
        for change in changes.values():
            self._refuse_changed(done, change)
        state = {"Changes": [(one.new, one.file_uuid) for one in changes.values()]}
        return self._back(done, digest_of(operation_id, request, state)), done.stored

    def course(self, plan: Plan) -> tuple[Rewriter, Carrier]:
        """Restore files from what the journal has kept."""
        changes = list(self._journal.changes(plan.resource))
        ways = {one.old: one.way_back for one in changes if one.way_back is not None}
        states = {
            (Level(one.level), one.orthanc_id): validate(Belongings, one.state)
            for one in self._journal.states(plan.resource)
        }
        instances = {one.old: validate(Belongings, one.state) for one in changes}
        undone = validate(Plan, self._journal.plan(plan.resource))
        kept = partial(self._journal.spooled_file, plan.resource)
        carrier = ReturningCarrier(self._gateway, states, instances, undone, kept)
        return RestoringRewriter(ways), carrier

    def ended(self, operation_id: str, plan: Plan) -> None:
        """Note that the other operation is undone; what it moved is not followed any more.

        Operations before it know their results by files, which have become others of the same
        content.
        """
        undone = validate(Plan, self._journal.plan(plan.resource))
        before = {one.source: one.file_uuid for _, one in undone.changed()}
        before |= {one.source: one.file_uuid for one in undone.dropped}
        renewed = {
            before[change.new]: change.file_uuid
            for change in self._journal.changes(operation_id)
            if change.new in before and change.file_uuid
        }
        self._journal.renew_files(renewed)
        self._journal.reverted(plan.resource, operation_id)
        self._journal.unfollow(plan.resource)
        self._journal.stop_following(plan.targets())

    def _plan_of(self, operation_id: str) -> Plan:
        row = self._journal.operation(operation_id)
        if row is None:
            raise NotFound(f"Unknown operation: {operation_id}")
        if row["kind"] == self.action:
            raise Conflict(
                f"Operation {operation_id} is an undo; do the operation that it took back again"
            )
        if row["reverted_by"]:
            raise Conflict(
                f"Operation {operation_id} was undone already, by operation {row['reverted_by']}"
            )
        kept = self._journal.plan(operation_id)
        if not row["done"]:
            raise Conflict(f"Operation {operation_id} is not done")
        if kept is None:
            raise Conflict(f"Operation {operation_id} has changed nothing")
        return validate(Plan, kept)

    def _stored(self, plan: Plan) -> dict[str, Resource]:
        """Read what is in the series that the operation has touched."""
        series = {
            one
            for planned in (*plan.series, *plan.overwritten)
            for one in (planned.orthanc_id, planned.source)
        }
        series.update(one.series for one in plan.dropped)
        series.update(one.parent for one in self._gateway.lookup(one.kept for one in plan.dropped))
        return {
            instance.orthanc_id: instance
            for one in sorted(series)
            if self._gateway.exists(Level.SERIES, one)
            for instance in self._gateway.descendants(Level.INSTANCE, Level.SERIES, one)
        }

    def _refuse_changed(self, done: _Done, change: Change) -> None:
        now = done.stored.get(change.new)
        if now is None:
            raise Conflict(
                f"Operation {done.id} cannot be undone: instance {change.new} was deleted, or moved"
                " by another operation, which has to be undone first"
            )
        if change.file_uuid and now.file_uuid != change.file_uuid:
            raise Conflict(
                f"Operation {done.id} cannot be undone: instance {change.new} was changed since"
            )
        there = change.old in done.stored
        if change.action in (Action.MOVED, Action.DROPPED) and there:
            raise Conflict(
                f"Operation {done.id} cannot be undone: instance {change.old} has arrived again"
            )
        if change.action == Action.COPIED and not there:
            raise Conflict(
                f"Operation {done.id} cannot be undone: instance {change.old} was deleted since, so"
                f" {change.new} is all that is left of it"
            )

    def _back(self, done: _Done, digest: str) -> Plan:
        plan = done.plan
        copied = plan.keep_source
        return Plan(
            kind=Kind.UNDO,
            digest=digest,
            created=created(datetime.now(UTC)),
            level=plan.level,
            resource=done.id,
            parents=(plan.resource,),
            keep_source=False,
            keep_labels=True,
            original_attributes=False,
            groups=tuple(self._groups(done)),
            overwritten=tuple(_overwritten(done)),
            dropped=tuple(self._copies(done)) if copied else (),
            standing=tuple(self._standing(plan)),
            notes={"UndoneOperation": done.id},
        )

    def _groups(self, done: _Done) -> Iterable[PlannedGroup]:
        moved = () if done.plan.keep_source else done.plan.series
        series = [_reversed(done, one) for one in moved]
        series += [self._recovered(done, one) for one in done.plan.dropped]
        if series:
            yield PlannedGroup(name=done.id, series=tuple(series))

    def _recovered(self, done: _Done, dropped: Dropped) -> PlannedSeries:
        """Return a duplicate that comes back from the instance that was kept in its place."""
        kept = done.stored[dropped.kept]
        line = self._reader.lineage(Level.SERIES, kept.parent)
        return PlannedSeries(
            source=kept.parent,
            source_study=line[Level.STUDY],
            source_patient=line[Level.PATIENT],
            source_study_instance_uid=dropped.study_instance_uid,
            source_series_instance_uid=dropped.series_instance_uid,
            orthanc_id=dropped.series,
            series_instance_uid=dropped.source_series_instance_uid,
            study_orthanc_id=dropped.study,
            study_instance_uid=dropped.source_study_instance_uid,
            patient_orthanc_id=dropped.patient,
            series_number="",
            series_description="",
            whole=False,
            edits={},
            instances=(
                PlannedInstance(
                    source=dropped.kept,
                    file_uuid=kept.file_uuid,
                    orthanc_id=dropped.source,
                    source_sop_instance_uid=dropped.sop_instance_uid,
                    sop_instance_uid=dropped.source_sop_instance_uid,
                    keeps_source=True,
                ),
            ),
        )

    def _copies(self, done: _Done) -> Iterable[Dropped]:
        """Yield the copies that go, since their sources were kept."""
        for series in done.plan.series:
            for instance in series.instances:
                yield Dropped(
                    source=instance.orthanc_id,
                    series=series.orthanc_id,
                    study=series.study_orthanc_id,
                    patient=series.patient_orthanc_id,
                    source_study_instance_uid=series.study_instance_uid,
                    source_series_instance_uid=series.series_instance_uid,
                    file_uuid=done.stored[instance.orthanc_id].file_uuid,
                    source_sop_instance_uid=instance.sop_instance_uid,
                    kept_source=instance.source,
                    kept=instance.source,
                    study_instance_uid=series.source_study_instance_uid,
                    series_instance_uid=series.source_series_instance_uid,
                    sop_instance_uid=instance.source_sop_instance_uid,
                    reason="Copy",
                )

    def _standing(self, plan: Plan) -> Iterable[str]:
        """Yield the parents that instances come back to and that are still there."""
        parents = {
            parent: None
            for series in plan.series
            for parent in (
                (Level.SERIES, series.source),
                (Level.STUDY, series.source_study),
                (Level.PATIENT, series.source_patient),
            )
        }
        return (one for level, one in parents if self._gateway.exists(level, one))


def _reversed(done: _Done, series: PlannedSeries) -> PlannedSeries:
    return PlannedSeries(
        source=series.orthanc_id,
        source_study=series.study_orthanc_id,
        source_patient=series.patient_orthanc_id,
        source_study_instance_uid=series.study_instance_uid,
        source_series_instance_uid=series.series_instance_uid,
        orthanc_id=series.source,
        series_instance_uid=series.source_series_instance_uid,
        study_orthanc_id=series.source_study,
        study_instance_uid=series.source_study_instance_uid,
        patient_orthanc_id=series.source_patient,
        series_number="",
        series_description="",
        whole=False,
        edits={},
        instances=tuple(
            PlannedInstance(
                source=one.orthanc_id,
                file_uuid=done.stored[one.orthanc_id].file_uuid,
                orthanc_id=one.source,
                source_sop_instance_uid=one.sop_instance_uid,
                sop_instance_uid=one.source_sop_instance_uid,
            )
            for one in series.instances
        ),
    )


def _overwritten(done: _Done) -> Iterable[PlannedSeries]:
    """Yield what is overwritten again, with what it was before."""
    for series in done.plan.overwritten:
        instances = tuple(
            one.model_copy(
                update={
                    "file_uuid": done.stored[one.source].file_uuid,
                    "edits": {},
                    "references": None,
                }
            )
            for one in series.instances
            if done.changes[one.source].file_uuid
        )
        if instances:
            yield series.model_copy(update={"edits": {}, "instances": instances})
