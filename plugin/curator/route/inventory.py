"""What is stored of the resources that a run works on: instances, their files, their parents."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from curator.errors import Conflict, CoreError
from curator.gateway import Gateway, Resource, uri
from curator.level import Level
from curator.route.run import Subject

#: How often a resource is read again that changes while it is read.
_ATTEMPTS = 3


@dataclass(frozen=True)
class Line:
    """The parents of an instance, by Orthanc identifiers."""

    series: str
    study: str
    patient: str

    def at(self, level: Level) -> str:
        """Return the parent of a level."""
        return {
            Level.SERIES: self.series,
            Level.STUDY: self.study,
            Level.PATIENT: self.patient,
        }[level]


class Inventory:
    """Reads what is stored now."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def exists(self, subject: Subject) -> bool:
        """Tell whether a resource is stored."""
        return self._gateway.exists(subject.level, subject.orthanc_id)

    def instances(self, subjects: Iterable[Subject]) -> dict[str, Resource]:
        """Return the instances of resources, by Orthanc identifier; what is gone has none.

        Raises
        ------
        Conflict
            If instances are deleted all the time while they are read.
        """
        found: dict[str, Resource] = {}
        single: list[str] = []
        for subject in subjects:
            if subject.level == Level.INSTANCE:
                single.append(subject.orthanc_id)
            else:
                found |= self._below(subject)
        found |= {one.orthanc_id: one for one in self._gateway.lookup(single)}
        return found

    def _below(self, subject: Subject) -> dict[str, Resource]:
        """Read by pages; a deletion between two moves what follows up, so all are counted."""
        for _ in range(_ATTEMPTS):
            if not self.exists(subject):
                return {}
            read = self._gateway.passing(Level.INSTANCE, subject.level, subject.orthanc_id)
            found = {one.orthanc_id: one for one in read}
            if not self.exists(subject):
                return {}
            if len(found) >= self._gateway.count(Level.INSTANCE, subject.level, subject.orthanc_id):
                return found
        raise Conflict(f"{subject.level} {subject.orthanc_id} changes while it is read")

    def fingerprint(self, instance: Resource) -> str:
        """Return what changes when the file of an instance does: its MD5.

        Made anew from the same instance, an anonymized copy has the same one. A server that keeps
        none (``StoreMD5ForAttachments``) has to hand over the file.
        """
        if instance.file_md5:
            return instance.file_md5
        orthanc_id = instance.orthanc_id
        try:
            kept = self._gateway.get(f"{uri(Level.INSTANCE, orthanc_id)}/attachments/dicom/md5")
        except CoreError as error:
            if not error.unknown_resource:
                raise
            kept = b""
        if kept:
            return kept.decode()
        content = self._gateway.read(orthanc_id)
        return hashlib.md5(content, usedforsecurity=False).hexdigest()

    def lines(self, instances: Iterable[Resource]) -> dict[str, Line]:
        """Return the parents of instances, by the identifiers of their series."""
        series = self._parents(one.parent for one in instances)
        studies = self._parents(series.values())
        return {
            one: Line(one, study, studies[study])
            for one, study in series.items()
            if study in studies
        }

    def _parents(self, orthanc_ids: Iterable[str]) -> dict[str, str]:
        return {one.orthanc_id: one.parent for one in self._gateway.lookup(orthanc_ids)}

    def count(self, level: Level, orthanc_id: str) -> int:
        """Count the instances of a patient, study or series."""
        return self._gateway.count(Level.INSTANCE, level, orthanc_id)
