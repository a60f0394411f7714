"""What holds for every stored patient, whatever was done: pure checks over datasets.

Everything here reads with pydicom, on its own, so that a mistake in the plugin's reading cannot
hide a mistake in its writing. Checks answer findings, one line of text each; none is good.

Identifiers change when something is moved, so what is compared over time is known by what it shows
(`identity`): its pixels, or its label.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Any

from pydicom import Dataset
from pydicom.datadict import keyword_for_tag, tag_for_keyword

from curator.reshape.modules import (
    CLINICAL_TRIAL_STUDY,
    CLINICAL_TRIAL_SUBJECT,
    GENERAL_STUDY,
    PATIENT,
    PATIENT_STUDY,
    SERIES_LEVEL,
)

Datasets = Mapping[str, Dataset]
"""Instances by their Orthanc identifiers."""

Findings = list[str]


class Check(StrEnum):
    """What is checked; the names say which checks a test leaves out."""

    PARENTS = "one patient per study, one study per series, one series per instance"
    STUDIES = "patient and study attributes are the same in a study"
    PATIENTS = "name, birth date and sex are the same in a patient"
    SERIES = "series attributes are the same in a series"
    SERIES_NUMBERS = "series numbers are unique in a study"
    INSTANCE_NUMBERS = "instance numbers are unique in a series"
    STATUS = "no series is missing instances"
    INDEX = "index and files agree"
    TOTALS = "no instance is lost or doubled"
    PIXELS = "pixel data is unchanged"
    DANGLING = "no reference has begun to dangle"
    RESOLVED = "references lead where they led"
    HIERARCHY = "references name the series and study where the instance is"


@dataclass(frozen=True)
class Stored:
    """A resource as the index has it, with what users hung on it.

    Attributes
    ----------
    metadata : dict
        Metadata of users, and those that tell where it came from.
    attachments : dict
        Attachments of users, by name.
    """

    level: str
    parent: str | None
    main_tags: Mapping[str, str]
    status: str | None = None
    labels: frozenset[str] = frozenset()
    metadata: Mapping[str, str | bytes] = field(default_factory=dict)
    attachments: Mapping[str, bytes] = field(default_factory=dict)


DEMOGRAPHICS = ("PatientName", "PatientBirthDate", "PatientSex")
STUDY_MODULES = PATIENT | CLINICAL_TRIAL_SUBJECT | GENERAL_STUDY | CLINICAL_TRIAL_STUDY


def check_datasets(
    datasets: Datasets,
    before: Datasets | None = None,
    *,
    made: Collection[str] = (),
    patient_study: bool = True,
) -> dict[Check, Findings]:
    """Check what can be seen in the files alone.

    Parameters
    ----------
    before : Datasets, optional
        What was stored before; then nothing may be lost, and attributes of series and numbers have
        to be the same, or unique, where they were so before.
    made : collection of str, optional
        UIDs of studies and series that an operation made: there, numbers are unique always.
    patient_study : bool, optional
        Whether the attributes of the Patient Study Module are compared too.
    """
    study_tags = STUDY_MODULES | PATIENT_STUDY if patient_study else STUDY_MODULES
    found = {
        Check.PARENTS: several_parents(datasets),
        Check.STUDIES: unequal_in_studies(datasets, study_tags),
        Check.PATIENTS: unequal_in_patients(datasets, before),
        Check.SERIES: unequal_in_series(datasets, before),
        Check.SERIES_NUMBERS: repeated_series_numbers(datasets, before, made),
        Check.INSTANCE_NUMBERS: repeated_instance_numbers(datasets, before, made),
        Check.HIERARCHY: misplaced_references(datasets, before),
    }
    if before is not None:
        found[Check.TOTALS] = other_totals(datasets, before)
        found[Check.PIXELS] = other_pixels(datasets, before)
        found[Check.DANGLING] = new_dangling(datasets, before)
        found[Check.RESOLVED] = lost_references(datasets, before)
    return found


# Identity


def identity(dataset: Dataset) -> str:
    """Return what stays the same whatever is done: a digest of its class and of what it shows.

    That is its pixel data, else its label, else its first text in Content Sequence, else its series
    description.
    """
    shown = dataset.get("PixelData") or _label(dataset).encode()
    return hashlib.sha256(str(dataset.get("SOPClassUID", "")).encode() + shown).hexdigest()[:16]


def _label(dataset: Dataset) -> str:
    for keyword in ("ContentLabel", "StructureSetLabel", "RTPlanLabel"):
        if dataset.get(keyword):
            return str(dataset[keyword].value)
    for item in dataset.get("ContentSequence", ()):
        if item.get("TextValue"):
            return str(item.TextValue)
    return str(dataset.get("SeriesDescription", ""))


def _identities(datasets: Datasets) -> dict[str, str]:
    return {orthanc_id: identity(dataset) for orthanc_id, dataset in datasets.items()}


# The model of the real world (PS3.3 7)


def several_parents(datasets: Datasets) -> Findings:
    """Find studies of several patients, series of several studies, instances of several series."""
    findings = []
    levels = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    for parent, child in pairwise(levels):
        for uid, members in _by(datasets, child).items():
            parents = {text_of(one, parent) for one in members.values()}
            if len(parents) > 1:
                findings.append(f"{child} {uid} has {len(parents)} of {parent}: {sorted(parents)}")
    return findings


def unequal_in_studies(datasets: Datasets, tags: Iterable[int]) -> Findings:
    """Find attributes that differ between instances of a study; absent is the same as empty."""
    tags = sorted(tags)
    return [
        finding
        for uid, members in _by(datasets, "StudyInstanceUID").items()
        for finding in _unequal(f"study {uid}", members, tags)
    ]


def unequal_in_patients(datasets: Datasets, before: Datasets | None = None) -> Findings:
    """Find patients with several names, birth dates or sexes, that were not so before."""
    tags = [tag_for_keyword(keyword) or 0 for keyword in DEMOGRAPHICS]
    return _newly_unequal(datasets, before, "PatientID", tags)


def unequal_in_series(datasets: Datasets, before: Datasets | None = None) -> Findings:
    """Find attributes that differ between instances of a series, that were the same before.

    A series that comes from several has to be of one kind where each of them was.
    """
    return _newly_unequal(datasets, before, "SeriesInstanceUID", sorted(SERIES_LEVEL))


def _newly_unequal(
    datasets: Datasets, before: Datasets | None, level: str, tags: Collection[int]
) -> Findings:
    origins = _Origins(before, level)
    findings = []
    for uid, members in _by(datasets, level).items():
        sources = origins.of(members)
        checked = [tag for tag in tags if all(len(_values(source, tag)) == 1 for source in sources)]
        findings += _unequal(f"{level} {uid}", members, checked)
    return findings


def _unequal(what: str, members: Datasets, tags: Iterable[int]) -> Findings:
    findings = []
    for tag in tags:
        values = _values(members, tag)
        if len(values) > 1:
            shown = " | ".join(sorted(repr(value)[:80] for value in values))
            findings.append(f"{what}: {keyword_for_tag(tag)} differs: {shown}")
    return findings


def _values(members: Datasets, tag: int) -> set[Any]:
    return {value_of(dataset, tag) for dataset in members.values()}


class _Origins:
    """Finds the groups of one level that instances came from."""

    def __init__(self, before: Datasets | None, level: str) -> None:
        self._groups = _by(before or {}, level)
        self._groups_of: dict[str, set[str]] = defaultdict(set)
        for name, group in self._groups.items():
            for dataset in group.values():
                self._groups_of[identity(dataset)].add(name)

    def of(self, members: Datasets) -> list[Datasets]:
        names = {
            name
            for dataset in members.values()
            for name in self._groups_of.get(identity(dataset), ())
        }
        return [self._groups[name] for name in sorted(names)]


# Numbers


def repeated_series_numbers(
    datasets: Datasets, before: Datasets | None = None, made: Collection[str] = ()
) -> Findings:
    """Find series of one number in a study; those without a number do not count."""
    return _repeated(datasets, before, made, "StudyInstanceUID", _series_numbers, "SeriesNumber")


def repeated_instance_numbers(
    datasets: Datasets, before: Datasets | None = None, made: Collection[str] = ()
) -> Findings:
    """Find instances of one number in a series; those without a number do not count."""
    return _repeated(
        datasets, before, made, "SeriesInstanceUID", _instance_numbers, "InstanceNumber"
    )


def _repeated(
    datasets: Datasets,
    before: Datasets | None,
    made: Collection[str],
    level: str,
    numbers: Callable[[Datasets], list[int]],
    keyword: str,
) -> Findings:
    origins = _Origins(before, level)
    findings = []
    for uid, members in _by(datasets, level).items():
        repeated = _more_than_once(numbers(members))
        if repeated and (
            uid in made or not any(_more_than_once(numbers(one)) for one in origins.of(members))
        ):
            findings.append(f"{level} {uid}: {keyword} {repeated} more than once")
    return findings


def _more_than_once(numbers: Iterable[int]) -> list[int]:
    return sorted(number for number, count in Counter(numbers).items() if count > 1)


def _series_numbers(study: Datasets) -> list[int]:
    """Return the number of each series, each different number of it once."""
    return [
        number
        for series in _by(study, "SeriesInstanceUID").values()
        for number in sorted(set(_numbers(series, "SeriesNumber")))
    ]


def _instance_numbers(series: Datasets) -> list[int]:
    return _numbers(series, "InstanceNumber")


def _numbers(members: Datasets, keyword: str) -> list[int]:
    texts = [text_of(dataset, keyword) for dataset in members.values()]
    return [int(text) for text in texts if text]


# What the index says


def missing_instances(resources: Mapping[str, Stored]) -> Findings:
    """Find series that Orthanc shows as ``Missing`` or ``Inconsistent``."""
    return [
        f"series {orthanc_id} is {stored.status}"
        for orthanc_id, stored in resources.items()
        if stored.status not in (None, "Unknown", "Complete")
    ]


def index_differences(
    datasets: Datasets, resources: Mapping[str, Stored], indexed: Mapping[str, Iterable[str]]
) -> Findings:
    """Find main DICOM tags that are not those of the files, or are not in the index.

    Where the instances of a resource differ, the index has the value of any of them. Orthanc leaves
    values of more than 256 bytes out of its index.

    Parameters
    ----------
    indexed : dict
        Keywords of the main DICOM tags of each level.
    """
    members: dict[str, dict[str, Dataset]] = defaultdict(dict)
    for orthanc_id, dataset in datasets.items():
        resource: str | None = orthanc_id
        while resource is not None:
            members[resource][orthanc_id] = dataset
            stored = resources.get(resource)
            resource = stored.parent if stored else None
    return [
        f"{stored.level} {orthanc_id}: {finding}"
        for orthanc_id, stored in resources.items()
        for finding in _differences_of(stored, members[orthanc_id], indexed[stored.level])
    ]


def _differences_of(stored: Stored, members: Datasets, indexed: Iterable[str]) -> Iterator[str]:
    if not members:
        yield "has no instance"
    for keyword in sorted({*indexed, *stored.main_tags}):
        if tag_for_keyword(keyword) is None:
            continue
        values = {_unpadded(text_of(dataset, keyword)) for dataset in members.values()}
        value = _unpadded(stored.main_tags.get(keyword, ""))
        if value not in values and not any(len(one.encode()) > INDEX_LIMIT for one in values):
            yield f"{keyword} is {value!r} in the index, {sorted(values)} in files"


def _unpadded(text: str) -> str:
    return "\\".join(part.strip() for part in text.split("\\"))


INDEX_LIMIT = 256
"""Bytes of the longest value in Orthanc's index."""


# Nothing is lost


def other_totals(datasets: Datasets, before: Datasets) -> Findings:
    """Compare the number of instances."""
    if len(datasets) == len(before):
        return []
    return [f"{len(before)} instances have become {len(datasets)}"]


def other_pixels(datasets: Datasets, before: Datasets) -> Findings:
    """Compare pixel data: each has to be there as often as before."""
    return _changes(pixel_digests(datasets), pixel_digests(before), "pixel data")


def pixel_digests(datasets: Datasets) -> Counter[str]:
    """Count digests of pixel data; instances without are counted as one of them."""
    return Counter(
        hashlib.sha256(dataset.get("PixelData", b"")).hexdigest() for dataset in datasets.values()
    )


def _changes(after: Counter[str], before: Counter[str], what: str) -> Findings:
    lost, new = before - after, after - before
    return [f"{count} of {what} {one[:16]} lost" for one, count in lost.items()] + [
        f"{count} of {what} {one[:16]} added" for one, count in new.items()
    ]


# References


class Level(StrEnum):
    """What a reference names."""

    STUDY = "study"
    SERIES = "series"
    INSTANCE = "instance"


@dataclass(frozen=True)
class Reference:
    """A UID in an instance that names another resource.

    Attributes
    ----------
    referrer : str
        Orthanc identifier of the instance that refers.
    path : tuple of str
        Keywords of the sequences around it.
    study, series : str or None
        The study and series under which a hierarchical list names it, where it says so.
    """

    referrer: str
    path: tuple[str, ...]
    level: Level
    uid: str
    study: str | None = None
    series: str | None = None


NORMALIZED = "1.2.840.10008.3.1."
"""How the SOP classes begin that no storage holds: procedure steps, detached management."""

PRESENTATION_STATES = "1.2.840.10008.5.1.4.1.1.11."
"""Their Referenced Series Sequence does not say of which study it is (PS3.3 C.11.11)."""

NO_REFERENCES = (
    "OriginalAttributesSequence",  # what was
    "ReferencedStudySequence",  # a SOP instance of the study's management
    "ReferencedPatientSequence",
    "ReferencedPerformedProcedureStepSequence",
)


def references(orthanc_id: str, dataset: Dataset) -> list[Reference]:
    """Return every reference of an instance to an instance, series or study."""
    return list(_walk(orthanc_id, dataset, (), _own_study(dataset)))


def _own_study(dataset: Dataset) -> str | None:
    """Return the study that Referenced Series Sequence is of (PS3.3 C.12.2)."""
    if text_of(dataset, "SOPClassUID").startswith(PRESENTATION_STATES):
        return None
    return text_of(dataset, "StudyInstanceUID")


def _walk(
    referrer: str,
    dataset: Dataset,
    path: tuple[str, ...],
    study: str | None = None,
    series: str | None = None,
) -> Iterator[Reference]:
    for element in dataset:
        if element.VR != "SQ" or element.keyword in NO_REFERENCES:
            continue
        # An own study is only that of the list at top level.
        listed = study if path or element.keyword == "ReferencedSeriesSequence" else None
        for item in element.value:
            yield from _item(referrer, item, (*path, element.keyword), listed, series)


def _item(
    referrer: str, item: Dataset, path: tuple[str, ...], study: str | None, series: str | None
) -> Iterator[Reference]:
    of_study = path[-1] == "RTReferencedStudySequence"
    named = text_of(item, "ReferencedSOPInstanceUID" if of_study else "StudyInstanceUID")
    if named:
        study, series = named, None
        yield Reference(referrer, path, Level.STUDY, named)
    if listed := text_of(item, "SeriesInstanceUID"):
        series = listed
        yield Reference(referrer, path, Level.SERIES, listed, study)
    instance = text_of(item, "ReferencedSOPInstanceUID")
    normalized = text_of(item, "ReferencedSOPClassUID").startswith(NORMALIZED)
    if instance and not of_study and not normalized:
        yield Reference(referrer, path, Level.INSTANCE, instance, study, series)
    yield from _walk(referrer, item, path, study, series)


class _Resolver:
    """Finds what references lead to."""

    def __init__(self, datasets: Datasets) -> None:
        self.identities = _identities(datasets)
        self.references = [
            reference
            for orthanc_id, dataset in datasets.items()
            for reference in references(orthanc_id, dataset)
        ]
        self._stored = {
            level: {text_of(one, keyword): (name, one) for name, one in datasets.items()}
            for level, keyword in _UIDS.items()
        }

    def target(self, reference: Reference) -> Dataset | None:
        """Return the instance that is referred to, or one of the series or study."""
        found = self._stored[reference.level].get(reference.uid)
        return found[1] if found else None

    def dangling(self) -> set[tuple[str, str, str]]:
        return {
            (self.identities[one.referrer], one.level, one.uid)
            for one in self.references
            if self.target(one) is None
        }

    def resolved(self) -> Counter[tuple[str, tuple[str, ...], str]]:
        """Count the pairs of referring and shown instances, by place."""
        return Counter(
            (self.identities[one.referrer], _place(one.path), identity(target))
            for one in self.references
            if one.level == Level.INSTANCE and (target := self.target(one)) is not None
        )

    def misplaced(self) -> set[tuple[str, tuple[str, ...], str]]:
        """Return the references whose target is not where they say."""
        return {
            (
                self.identities[one.referrer],
                one.path,
                identity(target) if one.level == Level.INSTANCE else str(one.level),
            )
            for one in self.references
            if (target := self.target(one)) is not None and not _is_in_place(one, target)
        }


_UIDS = {
    Level.STUDY: "StudyInstanceUID",
    Level.SERIES: "SeriesInstanceUID",
    Level.INSTANCE: "SOPInstanceUID",
}


def _place(path: tuple[str, ...]) -> tuple[str, ...]:
    """Return a path without what changes when a target is in another study than it was.

    Common Instance Reference lists own and other studies apart (PS3.3 C.12.2), and so does evidence
    (PS3.3 C.17.2).
    """
    if path[0] == "StudiesContainingOtherReferencedInstancesSequence":
        return path[1:]
    if path[0] == "PertinentOtherEvidenceSequence":
        return ("CurrentRequestedProcedureEvidenceSequence", *path[1:])
    return path


def _is_in_place(reference: Reference, target: Dataset) -> bool:
    return reference.study in (None, text_of(target, "StudyInstanceUID")) and (
        reference.series in (None, text_of(target, "SeriesInstanceUID"))
    )


def new_dangling(datasets: Datasets, before: Datasets) -> Findings:
    """Find references to what is not stored, that were not there before."""
    known = _Resolver(before).dangling()
    return [
        f"object {referrer} refers to {level} {uid}, which is not stored"
        for referrer, level, uid in sorted(_Resolver(datasets).dangling() - known)
    ]


def lost_references(datasets: Datasets, before: Datasets) -> Findings:
    """Find references that led to an instance and now do not lead to what it showed."""
    lost = _Resolver(before).resolved() - _Resolver(datasets).resolved()
    return [
        f"object {referrer} does not lead to {target} any more ({count}, {' > '.join(path)})"
        for (referrer, path, target), count in sorted(lost.items())
    ]


def misplaced_references(datasets: Datasets, before: Datasets | None = None) -> Findings:
    """Find instances that are listed under another series or study than theirs, as not before."""
    known = _Resolver(before or {}).misplaced()
    return [
        f"object {referrer} lists {target} where it is not ({' > '.join(path)})"
        for referrer, path, target in sorted(_Resolver(datasets).misplaced() - known)
    ]


# Values


def text_of(dataset: Dataset, keyword: str) -> str:
    """Return a value as Orthanc shows it: parts by backslash, without padding; "" for none."""
    return _text(dataset.get(keyword))


def value_of(dataset: Dataset, tag: int) -> Any:
    """Return a value to compare, whatever its encoding; what is empty is the same as absent."""
    if tag not in dataset:
        return ""
    element = dataset[tag]
    if element.VR != "SQ":
        return _text(element.value)
    return (
        tuple(
            tuple(
                (one.tag, value)
                for one in item
                if (value := value_of(item, one.tag)) not in ("", ())
            )
            for item in element.value
        )
        or ""
    )


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "\\".join(_text(one) for one in value)
    return str(value).strip(" \0")


def _by(datasets: Datasets, keyword: str) -> dict[str, dict[str, Dataset]]:
    groups: dict[str, dict[str, Dataset]] = defaultdict(dict)
    for orthanc_id, dataset in datasets.items():
        groups[text_of(dataset, keyword)][orthanc_id] = dataset
    return dict(groups)
