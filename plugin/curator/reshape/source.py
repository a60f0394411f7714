"""What is stored of the patients that an operation concerns; what plans are made from."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from curator.dicom.references import Reference
from curator.dicom.tags import Path, Tag
from curator.reshape.values import Values


@dataclass(frozen=True)
class Wanted:
    """What a plan has to know of the instances that it may change.

    Attributes
    ----------
    paths : frozenset of Path
        Elements whose values are read as text.
    elements : frozenset of Tag
        Elements that are read whole.
    pixels : bool
        Whether the digest of the pixel data is needed.
    """

    paths: frozenset[Path]
    elements: frozenset[Tag] = frozenset()
    pixels: bool = False


@dataclass(frozen=True)
class SourceInstance:
    """A stored instance.

    Attributes
    ----------
    mentions : frozenset of bytes
        Everything in it that may be a UID, in references or elsewhere, but for its own.
    """

    orthanc_id: str
    series: str
    file_uuid: str
    values: Values
    elements: Mapping[str, Any] = field(default_factory=dict)
    references: tuple[Reference, ...] = ()
    mentions: frozenset[bytes] = frozenset()
    signed: bool = False
    pixel_digest: str | None = None


@dataclass(frozen=True)
class SourceSeries:
    """A stored series."""

    orthanc_id: str
    series_instance_uid: str
    instances_count: int
    series_number: int | None
    study: str = ""
    series_description: str = ""

    @property
    def number_text(self) -> str:
        """Its number as text, empty where it has none."""
        return "" if self.series_number is None else str(self.series_number)


@dataclass(frozen=True)
class SourceStudy:
    """A stored study."""

    orthanc_id: str
    study_instance_uid: str
    patient: str


@dataclass(frozen=True)
class Holdings:
    """All patients that an operation concerns, with everything below them.

    Attributes
    ----------
    patients : mapping
        Patient ID by Orthanc identifier.
    concerned : frozenset of str
        The instances that the plan may move or change, by Orthanc identifier; of all others,
        nothing but references is known.
    unreadable : tuple
        Orthanc identifier, series and reason of the instances that cannot be read.
    """

    patients: Mapping[str, str]
    studies: Mapping[str, SourceStudy]
    series: Mapping[str, SourceSeries]
    instances: tuple[SourceInstance, ...]
    concerned: frozenset[str]
    unreadable: tuple[tuple[str, str, str], ...] = ()

    def within(self, orthanc_ids: Collection[str]) -> tuple[SourceInstance, ...]:
        """Return the instances in patients, studies or series, or named themselves, each once.

        They come by their series and identifiers, in whatever order they were read.
        """
        found = {one.orthanc_id: one for name in orthanc_ids for one in self._below.get(name, ())}
        return tuple(sorted(found.values(), key=lambda one: (one.series, one.orthanc_id)))

    def unreadable_within(self, orthanc_ids: Collection[str]) -> tuple[tuple[str, str], ...]:
        """Return the same of the instances that cannot be read, with the reasons."""
        wanted = set(orthanc_ids)
        return tuple(
            (orthanc_id, reason)
            for orthanc_id, series, reason in self.unreadable
            if not wanted.isdisjoint((orthanc_id, *self.parents(series)))
        )

    def line(self, instance: SourceInstance) -> tuple[str, str, str, str]:
        """Return the identifiers of an instance and its parents, upwards."""
        return (instance.orthanc_id, *self.parents(instance.series))

    def parents(self, series: str) -> tuple[str, str, str]:
        """Return the identifiers of a series, its study and its patient."""
        study = self.series[series].study
        return series, study, self.studies[study].patient

    def series_of(self, study: str) -> Iterable[SourceSeries]:
        """Return the series of a study."""
        return (one for one in self.series.values() if one.study == study)

    def study_of(self, orthanc_id: str) -> SourceStudy:
        """Return the study that is named, or that a series or an instance is in.

        Raises
        ------
        KeyError
            If there is none.
        """
        series = self._series_of_instances.get(orthanc_id, orthanc_id)
        return self.studies[self.series[series].study if series in self.series else series]

    @cached_property
    def _below(self) -> Mapping[str, list[SourceInstance]]:
        """The instances that can be read, by their own identifiers and those of all parents."""
        below: dict[str, list[SourceInstance]] = defaultdict(list)
        for instance in self.instances:
            for orthanc_id in self.line(instance):
                below[orthanc_id].append(instance)
        return below

    @cached_property
    def _series_of_instances(self) -> Mapping[str, str]:
        readable = {one.orthanc_id: one.series for one in self.instances}
        return readable | {one: series for one, series, _reason in self.unreadable}


def by_series(instances: Iterable[SourceInstance]) -> dict[str, list[SourceInstance]]:
    """Return instances by the series that they are in."""
    found: dict[str, list[SourceInstance]] = defaultdict(list)
    for instance in instances:
        found[instance.series].append(instance)
    return found
