"""The kinds of operations: what each reads, claims and plans."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field

from curator.access import Access
from curator.errors import Conflict, NotFound
from curator.journal import Follow, Journal
from curator.level import Level
from curator.models import validate
from curator.reshape import follow, merge, merge_patients, merge_series, split, split_patient
from curator.reshape.carry import Carrier, ForwardCarrier
from curator.reshape.files import FileCache
from curator.reshape.merge_request import (
    MergeRequest,
    PatientMergeRequest,
    PatientSplitRequest,
    SeriesMergeRequest,
)
from curator.reshape.operation import Operation, Resources
from curator.reshape.options import OperationRequest, PlannedRequest
from curator.reshape.plan import Plan
from curator.reshape.repair import References, with_references
from curator.reshape.request import Into, SplitRequest
from curator.reshape.rewriting import EditRewriter, Rewriter
from curator.reshape.source import Holdings, Wanted
from curator.reshape.sources import SourceReader
from curator.reshape.undo import Undo

#: What a split makes of its groups where the request does not say.
DEFAULT_INTO = {Level.STUDY: Into.STUDIES, Level.SERIES: Into.SERIES}

#: What tells persons with the same PatientID apart.
_DEMOGRAPHICS = ("PatientName", "PatientBirthDate", "PatientSex")


class Forward:
    """What all operations but the undo have in common.

    Parameters
    ----------
    follow_days : int
        How long it is remembered what has moved.
    """

    model: type[PlannedRequest]

    def __init__(self, access: Access, journal: Journal, follow_days: int) -> None:
        self._access = access
        self._journal = journal
        self._reader = SourceReader(access)
        self._follow_days = follow_days

    def check(self, _request: Any) -> None:
        """Refuse nothing: the model says it all."""

    def course(self, plan: Plan) -> tuple[Rewriter, Carrier]:
        """Edit instances, and move along what hangs on them."""
        rewriter = EditRewriter(plan, self._access.default_charset)
        return rewriter, ForwardCarrier(self._access.gateway, plan.keep_labels)

    def ended(self, operation_id: str, plan: Plan) -> None:
        """Remember what has moved as a whole, for what arrives late; what came is there to stay."""
        self._journal.stop_following(plan.targets())
        if plan.follow and not plan.keep_source:
            self._journal.follow(_follows(operation_id, plan), self._follow_days)

    def _read(
        self, patients: Iterable[str], concerned: Iterable[str], wanted: Wanted, files: FileCache
    ) -> tuple[Holdings, Resources]:
        return self._reader.read(patients, frozenset(concerned), wanted, files)

    def _completed(self, plan: Plan, holdings: Holdings, request: OperationRequest) -> Plan:
        """Return a plan with its references, and what stands where it goes."""
        plan = with_references(plan, holdings, request.references)
        return plan.model_copy(update={"follow": request.follow})


class Split(Forward):
    """The split of a study or a series."""

    action = "Split"
    model = SplitRequest

    def __init__(self, access: Access, journal: Journal, follow_days: int, level: Level) -> None:
        super().__init__(access, journal, follow_days)
        self.level = level
        self.job_type = "CuratorSplit" if level == Level.STUDY else "CuratorSplitSeries"

    def check(self, request: SplitRequest) -> None:
        """Check what does not depend on the instances."""
        split.check(request, DEFAULT_INTO[self.level])

    def claims(self, resource: str, _request: SplitRequest) -> frozenset[str]:
        """Claim the study."""
        return frozenset({self._reader.lineage(self.level, resource)[Level.STUDY]})

    def plan(
        self, resource: str, request: SplitRequest, files: FileCache
    ) -> tuple[Plan, Resources]:
        """Plan the split."""
        patient = self._reader.lineage(self.level, resource)[Level.PATIENT]
        wanted = Wanted(split.paths(request))
        holdings, resources = self._read([patient], [resource], wanted, files)
        source = split.source_of(holdings, self.level, resource)
        plan = split.make_plan(source, request, DEFAULT_INTO[self.level], datetime.now(UTC))
        self._refuse_another_person(plan)
        return self._completed(plan, holdings, request), resources

    def _refuse_another_person(self, plan: Plan) -> None:
        """Refuse to give studies to a stored patient with the same ID who is someone else."""
        for series in plan.series:
            patient = series.patient_orthanc_id
            if patient == series.source_patient:
                continue
            gateway = self._access.gateway
            source = gateway.resource(Level.PATIENT, series.source_patient)
            target = gateway.resource(Level.PATIENT, patient)
            if source is None or target is None:
                continue
            differing = [
                keyword
                for keyword in _DEMOGRAPHICS
                if (series.edits.get(keyword, source.tags.get(keyword)) or "")
                != target.tags.get(keyword, "")
            ]
            if differing:
                raise Conflict(
                    f"$.Replace: patient {patient} has this PatientID, but differs in"
                    f" {', '.join(differing)}"
                )


class Merge(Forward):
    """The merge of studies, series or instances into a study."""

    action = "Merge"
    job_type = "CuratorMerge"
    level = Level.STUDY
    model = MergeRequest

    def claims(self, resource: str, request: MergeRequest) -> frozenset[str]:
        """Claim the studies of both sides."""
        studies = {line[Level.STUDY] for line in self._lines(request)}
        return frozenset({self._reader.resource(Level.STUDY, resource).orthanc_id, *studies})

    def plan(
        self, resource: str, request: MergeRequest, files: FileCache
    ) -> tuple[Plan, Resources]:
        """Plan the merge."""
        target = self._reader.resource(Level.STUDY, resource)
        patients = [target.parent, *(line[Level.PATIENT] for line in self._lines(request))]
        wanted = merge.wanted(request)
        concerned = [resource, *request.resources]
        holdings, resources = self._read(patients, concerned, wanted, files)
        plan = merge.make_plan(holdings, resource, request, datetime.now(UTC))
        return self._completed(plan, holdings, request), resources

    def _lines(self, request: MergeRequest) -> list[dict[Level, str]]:
        levels = (Level.STUDY, Level.SERIES, Level.INSTANCE)
        return self._reader.lines(request.resources, levels, "Resources")


class MergeSeries(Forward):
    """The merge of series of one study into one."""

    action = "Merge"
    job_type = "CuratorMergeSeries"
    level = Level.SERIES
    model = SeriesMergeRequest

    def claims(self, resource: str, request: SeriesMergeRequest) -> frozenset[str]:
        """Claim the study."""
        self._reader.lines(request.resources or (), [Level.SERIES], "Resources")
        return frozenset({self._reader.lineage(Level.SERIES, resource)[Level.STUDY]})

    def plan(
        self, resource: str, request: SeriesMergeRequest, files: FileCache
    ) -> tuple[Plan, Resources]:
        """Plan the merge."""
        line = self._reader.lineage(Level.SERIES, resource)
        concerned = [resource, *(request.resources or (line[Level.STUDY],))]
        wanted = merge_series.WANTED
        holdings, resources = self._read([line[Level.PATIENT]], concerned, wanted, files)
        plan = merge_series.make_plan(holdings, resource, request, datetime.now(UTC))
        return self._completed(plan, holdings, request), resources


class MergePatients(Forward):
    """The merge of studies of other patients into a patient."""

    action = "Merge"
    job_type = "CuratorMergePatients"
    level = Level.PATIENT
    model = PatientMergeRequest

    def claims(self, resource: str, request: PatientMergeRequest) -> frozenset[str]:
        """Claim the patients and the studies that move."""
        self._reader.resource(Level.PATIENT, resource)
        lines = self._lines(request)
        studies = {
            study.orthanc_id
            for one in request.resources or ()
            for study in self._access.gateway.descendants(Level.STUDY, Level.PATIENT, one)
        }
        return frozenset({resource, *studies, *(one for line in lines for one in line.values())})

    def plan(
        self, resource: str, request: PatientMergeRequest, files: FileCache
    ) -> tuple[Plan, Resources]:
        """Plan the merge."""
        patients = [resource, *(line[Level.PATIENT] for line in self._lines(request))]
        concerned = [resource, *(request.resources or ()), *(request.studies or ())]
        holdings, resources = self._read(patients, concerned, merge_patients.WANTED, files)
        plan = merge_patients.make_plan(holdings, resource, request, datetime.now(UTC))
        return self._completed(plan, holdings, request), resources

    def _lines(self, request: PatientMergeRequest) -> list[dict[Level, str]]:
        return [
            *self._reader.lines(request.resources or (), [Level.PATIENT], "Resources"),
            *self._reader.lines(request.studies or (), [Level.STUDY], "Studies"),
        ]


class SplitPatient(Forward):
    """The split of a patient into the persons that share its identifier."""

    action = "Split"
    job_type = "CuratorSplitPatient"
    level = Level.PATIENT
    model = PatientSplitRequest

    def claims(self, resource: str, _request: PatientSplitRequest) -> frozenset[str]:
        """Claim the patient and all of its studies."""
        self._reader.resource(Level.PATIENT, resource)
        studies = self._access.gateway.descendants(Level.STUDY, Level.PATIENT, resource, ())
        return frozenset({resource, *(one.orthanc_id for one in studies)})

    def plan(
        self, resource: str, request: PatientSplitRequest, files: FileCache
    ) -> tuple[Plan, Resources]:
        """Plan the split."""
        wanted = split_patient.wanted(request)
        holdings, resources = self._read([resource], [resource], wanted, files)
        plan = split_patient.make_plan(holdings, resource, request, datetime.now(UTC))
        for patient in dict.fromkeys(series.patient_orthanc_id for series in plan.series):
            if self._access.gateway.exists(Level.PATIENT, patient):
                raise Conflict(f"$.Naming: patient {patient} has such a PatientID already")
        return self._completed(plan, holdings, request), resources


class FollowRequest(PlannedRequest):
    """What Curator asks of itself when something arrives late."""

    operation: str
    level: Annotated[Level, Field(strict=False)]


class FollowUp(Forward):
    """What arrives late goes after the series or study that has moved."""

    action = "Follow"
    job_type = "CuratorFollow"
    level = Level.STUDY
    model = FollowRequest

    def claims(self, resource: str, request: FollowRequest) -> frozenset[str]:
        """Claim the studies of both sides."""
        studies = {series.study_orthanc_id for series in self._earlier(request).series}
        return frozenset({self._reader.lineage(request.level, resource)[Level.STUDY], *studies})

    def plan(
        self, resource: str, request: FollowRequest, files: FileCache
    ) -> tuple[Plan, Resources]:
        """Plan the way after it."""
        earlier = self._earlier(request)
        targets = dict.fromkeys(series.patient_orthanc_id for series in earlier.series)
        # One that is gone has moved on itself, and so will what arrives late.
        there = [one for one in targets if self._access.gateway.exists(Level.PATIENT, one)]
        patients = [self._reader.lineage(request.level, resource)[Level.PATIENT], *there]
        studies = dict.fromkeys(series.study_orthanc_id for series in earlier.series)
        standing = [one for one in studies if self._access.gateway.exists(Level.STUDY, one)]
        concerned = [resource, *standing]
        holdings, resources = self._read(patients, concerned, follow.WANTED, files)
        plan = follow.make_plan(holdings, resource, earlier, datetime.now(UTC))
        if not self._is_followed(resource, request):
            return plan.model_copy(update={"groups": (), "dropped": ()}), resources
        return with_references(plan, holdings, References.REPAIR, earlier.uids()), resources

    def course(self, plan: Plan) -> tuple[Rewriter, Carrier]:
        """Edit instances, which may also refer to what moved before them."""
        _, carrier = super().course(plan)
        operation = self._journal.followed().get(plan.resource)
        earlier = None if operation is None else self._journal.plan(operation.operation)
        uids = plan.uids()
        if earlier is not None:
            uids = validate(Plan, earlier).uids().with_(uids)
        return EditRewriter(plan, self._access.default_charset, uids), carrier

    def ended(self, operation_id: str, plan: Plan) -> None:
        """Leave alone what is remembered: more may arrive, and what came may have to go on."""

    def _is_followed(self, resource: str, request: FollowRequest) -> bool:
        """Tell whether it is late still: an undo may have put it back while this one waited."""
        followed = self._journal.followed().get(resource)
        return followed is not None and followed.operation == request.operation

    def _earlier(self, request: FollowRequest) -> Plan:
        kept = self._journal.plan(request.operation)
        if kept is None:
            raise NotFound(f"Unknown operation: {request.operation}")
        return validate(Plan, kept)


def _follows(operation_id: str, plan: Plan) -> Iterable[Follow]:
    """Yield the series and studies that have moved as a whole."""
    studies = set(plan.studies)
    for series in plan.series:
        if series.whole and series.source != series.orthanc_id:
            yield Follow(series.source, Level.SERIES, operation_id)
        moved = series.source_study != series.study_orthanc_id
        if moved and series.source_study_instance_uid in studies:
            yield Follow(series.source_study, Level.STUDY, operation_id)


def operation_kinds(access: Access, journal: Journal, follow_days: int) -> dict[str, Operation]:
    """Return all kinds of operations, by the types of their jobs."""
    forward = (access, journal, follow_days)
    kinds: list[Operation] = [
        Split(*forward, Level.STUDY),
        Split(*forward, Level.SERIES),
        SplitPatient(*forward),
        Merge(*forward),
        MergeSeries(*forward),
        MergePatients(*forward),
        FollowUp(*forward),
        Undo(access, journal),
    ]
    return {kind.job_type: kind for kind in kinds}
