"""From an instance as it is stored to what an operation makes of it."""

from collections.abc import Mapping
from typing import Protocol

from curator.dicom import engine
from curator.dicom.edits import Edits
from curator.dicom.errors import DicomError
from curator.dicom.references import UidMap
from curator.dicom.tags import parse_path
from curator.errors import Conflict, UnreadableInstance
from curator.reshape import delta
from curator.reshape.edits import UNSIGNED, edits_of, recording
from curator.reshape.plan import Plan, PlannedInstance, PlannedSeries


class Rewriter(Protocol):
    """Makes new files of old ones."""

    def __call__(self, series: PlannedSeries, instance: PlannedInstance, original: bytes) -> bytes:
        """Return the new file.

        Raises
        ------
        CuratorError
            If the instance cannot be changed.
        """


class EditRewriter:
    """Applies the edits of a plan, and rewrites references to what it moves.

    Parameters
    ----------
    uids : UidMap, optional
        What has moved, by default what the plan moves.
    """

    def __init__(self, plan: Plan, default_charset: str, uids: UidMap | None = None) -> None:
        self._plan = plan
        self._default_charset = default_charset
        self._uids = (plan.uids() if uids is None else uids) if plan.references.repair else None
        self._edits: dict[tuple[int, frozenset[str]], Edits] = {}

    def __call__(self, series: PlannedSeries, instance: PlannedInstance, original: bytes) -> bytes:
        edits = self._common(series, frozenset((*instance.edits, *(instance.references or ()))))
        if instance.edits:
            edits = edits.with_(edits_of(instance.edits))
        try:
            return engine.apply(
                original,
                edits,
                default_charset=self._default_charset,
                uids=None if instance.references is None else self._uids,
            )
        except DicomError as error:
            raise UnreadableInstance(f"Instance {instance.source}: {error}") from None

    def _common(self, series: PlannedSeries, own: frozenset[str]) -> Edits:
        """Return what changes in all instances of a series whose own changes are alike."""
        edits = self._edits.get((id(series), own))
        if edits is None:
            common = edits_of(series.edits) | UNSIGNED
            texts = {*series.edits, *own}
            if self._plan.original_attributes and texts:
                common |= recording(map(parse_path, sorted(texts)), self._plan.created)
            edits = self._edits[id(series), own] = Edits(common)
        return edits


class RestoringRewriter:
    """Makes the files that an operation has changed what they were before.

    Parameters
    ----------
    ways : mapping
        The way back by the Orthanc identifier that the instance has again then.
    """

    def __init__(self, ways: Mapping[str, bytes]) -> None:
        self._ways = ways

    def __call__(
        self,
        series: PlannedSeries,  # noqa: ARG002  the way back says it all
        instance: PlannedInstance,
        original: bytes,
    ) -> bytes:
        """Return the old file."""
        way = self._ways.get(instance.orthanc_id)
        if way is None:
            raise Conflict(f"Nothing is known about what instance {instance.source} was before")
        return delta.restored(original, way)
