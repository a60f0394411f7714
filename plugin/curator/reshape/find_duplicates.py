"""Find what is stored more than once; nothing is changed.

The search lists the instances and groups them by what they have in common. What is kept of each is
a few hundred bytes, so that a whole server can be searched.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from itertools import chain
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from curator.access import AHEAD, Access
from curator.dicom.errors import DicomError
from curator.dicom.reader import pixel_digest
from curator.errors import CoreError, NotFound
from curator.gateway import Resource
from curator.job_request import Identifiers, JobRequest
from curator.jobs import Job, Task
from curator.level import Level
from curator.models import validate
from curator.reshape.find_duplicates_digest import content_digest

#: Part of the work that is listing the instances, where their files are read as well.
LISTING = 0.05


class By(StrEnum):
    """What duplicates have in common."""

    SOP_INSTANCE_UID = "SOPInstanceUID"
    FILE = "File"
    PIXELS = "Pixels"


#: What is taken from the file of an instance; None where it has no such thing.
_DIGESTS: Mapping[By, Callable[[bytes], str | None]] = {
    By.FILE: content_digest,
    By.PIXELS: pixel_digest,
}

#: The digests of one instance; None where it cannot be read.
_Digests = dict[By, str | None] | None


class FindDuplicatesRequest(JobRequest):
    """Body of ``POST /tools/find-duplicates``."""

    by: Annotated[tuple[By, ...], Field(min_length=1)] = (By.SOP_INSTANCE_UID,)
    resources: Identifiers | None = None


class DuplicateMember(TypedDict):
    """Where an instance is."""

    ID: str
    ParentSeries: str
    ParentStudy: str
    ParentPatient: str


class DuplicatesGroup(TypedDict):
    """Instances that are the same."""

    By: str
    Instances: list[DuplicateMember]


class FoundDuplicates(TypedDict):
    """What a search has found."""

    Description: str
    InstancesCount: int
    DuplicatesCount: int
    Duplicates: list[DuplicatesGroup]
    UnreadableInstancesCount: int
    UnreadableInstances: list[str]


class FindDuplicatesService:
    """Searches the server for duplicates.

    Parameters
    ----------
    access : Access
        The way to the instances.
    """

    job_type = "CuratorFindDuplicates"

    def __init__(self, access: Access) -> None:
        self._gateway = access.gateway
        self._access = access

    def check(self, request: FindDuplicatesRequest) -> None:
        """See that what the search is restricted to is stored.

        Raises
        ------
        NotFound
            If one is not.
        """
        resources = request.resources or ()
        known = {one.orthanc_id for one in self._gateway.lookup(resources)}
        for index, orthanc_id in enumerate(resources):
            if orthanc_id not in known:
                raise NotFound(
                    f"$.Resources[{index}]: there is no patient, study, series or instance"
                    f" {orthanc_id}"
                )

    def task(self, request: dict[str, Any]) -> Task:
        """Return the work of a job from the JSON of its submission."""
        parsed = validate(FindDuplicatesRequest, request["Body"])
        return FindDuplicatesTask(self._access, parsed)


class FindDuplicatesTask:
    """The work of one search; one that was stopped begins again."""

    def __init__(self, access: Access, request: FindDuplicatesRequest) -> None:
        self._access = access
        self._request = request

    def run(self, job: Job) -> None:
        """Search, and put what is found into the content of the job."""
        search = _Search(self._access, self._request, job)
        job.content = {"Description": "REST API", **search.result()}

    def undo(self, job: Job) -> None:
        """Do nothing: a search leaves nothing behind."""


class _Groups:
    """Instances by what they have in common, at little cost for those that stand alone."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._all: dict[str, list[str]] = {}

    def add(self, key: str, instance: str) -> None:
        first = self._first.setdefault(key, instance)
        if first != instance:
            self._all.setdefault(key, [first]).append(instance)

    def duplicates(self) -> list[list[str]]:
        """Return the groups of two and more, both they and their members in order."""
        return sorted(sorted(instances) for instances in self._all.values())


class _Search:
    """One run of a search."""

    def __init__(self, access: Access, request: FindDuplicatesRequest, job: Job) -> None:
        self._gateway = access.gateway
        self._access = access
        self._resources = request.resources
        self._job = job
        self._groups = {by: _Groups() for by in request.by}
        self._reads = [by for by in self._groups if by in _DIGESTS]
        self._series: dict[str, str] = {}  # of every instance that is searched
        self._parents: dict[str, str] = {}  # of series and studies with duplicates

    def result(self) -> dict[str, Any]:
        """Search, and return what is found, in the JSON of the answer."""
        self._list()
        unreadable = self._read() if self._reads else []
        duplicates = [
            {"By": by, "Instances": members}
            for by, groups in self._groups.items()
            for members in map(self._members, groups.duplicates())
            if len(members) > 1
        ]
        return {
            "InstancesCount": len(self._series),
            "DuplicatesCount": len(duplicates),
            "Duplicates": duplicates,
            "UnreadableInstancesCount": len(unreadable),
            "UnreadableInstances": unreadable,
        }

    # Listing

    def _list(self) -> None:
        named, ancestors = self._scope()
        counts = [self._gateway.count_instances(ancestor) for ancestor in ancestors]
        expected = max(1, len(named) + sum(counts))
        part = LISTING if self._reads else 1.0
        listed = (self._gateway.instances(ancestor) for ancestor in ancestors)
        for instance in chain(named, *listed):
            self._job.checkpoint()
            self._add(instance)
            self._job.progress(part * min(1.0, len(self._series) / expected))

    def _scope(self) -> tuple[list[Resource], list[Resource | None]]:
        """Return the instances that are named themselves, and where to list others.

        None stands for the whole server.
        """
        if self._resources is None:
            return [], [None]
        named: list[Resource] = []
        ancestors: list[Resource | None] = []
        for resource in self._gateway.lookup(self._resources):
            (named if resource.level == Level.INSTANCE else ancestors).append(resource)
        return named, ancestors

    def _add(self, instance: Resource) -> None:
        if instance.orthanc_id in self._series:  # named twice, or with its series
            return
        self._series[instance.orthanc_id] = sys.intern(instance.parent)
        uid = instance.tags.get("SOPInstanceUID")
        if uid and By.SOP_INSTANCE_UID in self._groups:
            self._groups[By.SOP_INSTANCE_UID].add(uid, instance.orthanc_id)

    # Reading

    def _read(self) -> list[str]:
        """Group the instances by their files, and return those that cannot be read."""
        unreadable: list[str] = []
        instances = list(self._series)
        found = self._access.results(
            self._digests, instances, self._job, AHEAD * self._access.threads
        )
        for done, (instance, digests) in enumerate(zip(instances, found, strict=True), 1):
            if digests is not None:
                for by, digest in digests.items():
                    if digest is not None:
                        self._groups[by].add(digest, instance)
            elif self._gateway.exists(Level.INSTANCE, instance):
                unreadable.append(instance)
            else:
                del self._series[instance]  # deleted meanwhile
            self._job.progress(LISTING + (1 - LISTING) * done / len(instances))
        return sorted(unreadable)

    def _digests(self, instance: str) -> _Digests:
        try:
            dicom = self._gateway.read(instance)
            return {by: _DIGESTS[by](dicom) for by in self._reads}
        except (CoreError, DicomError):
            return None

    # Telling

    def _members(self, instances: Iterable[str]) -> list[dict[str, str]]:
        """Tell where duplicates are; those that were deleted meanwhile are left out."""
        places = (self._place(one) for one in instances if one in self._series)
        return [place for place in places if place is not None]

    def _place(self, instance: str) -> dict[str, str] | None:
        series = self._series[instance]
        study = self._parent(Level.SERIES, series)
        patient = self._parent(Level.STUDY, study) if study else ""
        if not patient:
            return None
        return {
            "ID": instance,
            "ParentSeries": series,
            "ParentStudy": study,
            "ParentPatient": patient,
        }

    def _parent(self, level: Level, orthanc_id: str) -> str:
        """Return what a series or study is in; empty where it was deleted meanwhile."""
        if orthanc_id not in self._parents:
            self._job.checkpoint()
            found = self._gateway.resource(level, orthanc_id)
            self._parents[orthanc_id] = found.parent if found else ""
        return self._parents[orthanc_id]
