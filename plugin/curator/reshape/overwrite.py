"""Overwrite instances where they are.

Orthanc replaces a stored instance only where ``OverwriteInstances`` lets it. Elsewhere the old one
has to go before the new one comes, so every file is kept in Curator's database until it is back in
Orthanc: a crash in between loses nothing.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from curator.access import Access
from curator.errors import CuratorError
from curator.gateway import Resource
from curator.jobs import Job
from curator.journal import DICOM, Journal, State
from curator.level import Level
from curator.models import validate
from curator.reshape.carry import Belongings, belongings_of, give, restore_missing
from curator.storing import NotStored, check_stored, store

logger = logging.getLogger(__name__)

#: Instances that are overwritten between two notes in the database.
BATCH = 8

#: Makes the new file of an instance from the one that is stored.
Rewrite = Callable[[bytes], bytes]


@dataclass(frozen=True)
class _Overwritten:
    """An instance with its file and the one that takes its place."""

    resource: Resource
    old: bytes
    new: bytes


class Overwriter:
    """Overwrites the instances of one operation."""

    def __init__(self, access: Access, journal: Journal, operation_id: str) -> None:
        self._gateway = access.gateway
        self._access = access
        self._journal = journal
        self._operation_id = operation_id

    def keep_attachments(self, resources: Iterable[Resource]) -> None:
        """Keep the attachments of what goes, or may be empty for a moment."""
        self._journal.spool(
            self._operation_id,
            {
                (one.orthanc_id, number): self._gateway.read_attachment(
                    one.level, one.orthanc_id, number
                )
                for one in resources
                for number in self._gateway.user_attachments(one)
            },
        )

    def restore_parents(self, states: Iterable[State]) -> None:
        """Give parents back what they have lost when they were empty for a moment."""
        for state in states:
            level, was = Level(state.level), validate(Belongings, state.state)
            resource = self._gateway.resource(level, state.orthanc_id)
            if resource is None:
                continue
            restore_missing(self._gateway, resource, was)
            there = self._gateway.user_attachments(resource)
            self._attach(
                level, state.orthanc_id, [one for one in was.attachments if one not in there]
            )
            self._journal.unspool(self._operation_id, [state.orthanc_id])

    def finish_interrupted(self, states: Mapping[str, Belongings]) -> None:
        """Bring back what was on its way into Orthanc when an earlier run was stopped."""
        spooled = self._journal.spooled(self._operation_id)
        instances = [orthanc_id for orthanc_id, number in spooled if number == DICOM]
        for orthanc_id in instances:
            content = self._journal.spooled_file(self._operation_id, orthanc_id, DICOM)
            if content is not None:
                self._put(orthanc_id, content, states.get(orthanc_id, Belongings()))
        self._release(instances)

    def overwrite(self, items: Sequence[tuple[Resource, Rewrite]], job: Job) -> None:
        """Overwrite instances, each with what is made of its file."""
        for start in range(0, len(items), BATCH):
            batch: list[_Overwritten] = []
            for resource, rewrite in items[start : start + BATCH]:
                old = self._gateway.read(resource.orthanc_id)
                new = rewrite(old)
                if new != old:
                    batch.append(_Overwritten(resource, old, new))
            self._spool(batch)
            for _ in self._access.in_parallel(self._overwrite, batch, job):
                pass
            self._release([one.resource.orthanc_id for one in batch])

    def _spool(self, batch: Iterable[_Overwritten]) -> None:
        spooled: dict[tuple[str, int], bytes] = {}
        for one in batch:
            orthanc_id = one.resource.orthanc_id
            spooled[orthanc_id, DICOM] = one.new
            for number in self._gateway.user_attachments(one.resource):
                spooled[orthanc_id, number] = self._gateway.read_attachment(
                    Level.INSTANCE, orthanc_id, number
                )
        self._journal.spool(self._operation_id, spooled)

    def _overwrite(self, one: _Overwritten) -> None:
        orthanc_id = one.resource.orthanc_id
        was = belongings_of(self._gateway, one.resource)
        try:
            self._put(orthanc_id, one.new, was)
        except CuratorError:
            self._put_back(orthanc_id, one.old, was)
            raise

    def _put_back(self, orthanc_id: str, old: bytes, was: Belongings) -> None:
        """Bring the old file back where the new one cannot be stored, on a full disk for one.

        Where this fails too, the new one comes from the database when the job goes on.
        """
        try:
            if not self._gateway.exists(Level.INSTANCE, orthanc_id):
                self._put(orthanc_id, old, was)
        except CuratorError as error:
            logger.error(
                "Instance %s is out of Orthanc until its job goes on: %s", orthanc_id, error
            )

    def _put(self, orthanc_id: str, content: bytes, was: Belongings) -> None:
        """Bring a file into Orthanc in the place of the one that is there, if any."""
        status = store(self._gateway, content, orthanc_id)
        if status == "AlreadyStored" and self._gateway.read(orthanc_id) != content:
            self._gateway.delete_instances([orthanc_id])
            if store(self._gateway, content, orthanc_id) == "AlreadyStored":
                raise NotStored(f"Instance {orthanc_id} was stored by someone else meanwhile")
        check_stored(self._gateway, orthanc_id, content)
        give(self._gateway, Level.INSTANCE, orthanc_id, was.history | was.metadata, was.labels)
        self._attach(Level.INSTANCE, orthanc_id, was.attachments)

    def _attach(self, level: Level, orthanc_id: str, numbers: Iterable[int]) -> None:
        for number in numbers:
            content = self._journal.spooled_file(self._operation_id, orthanc_id, number)
            if content is not None:
                self._gateway.attach(level, orthanc_id, number, content)

    def _release(self, instances: Sequence[str]) -> None:
        uuids = {one: self._gateway.file_uuid(one) for one in instances}
        there = {one: uuid for one, uuid in uuids.items() if uuid is not None}
        self._journal.set_files(self._operation_id, there)
        self._journal.unspool(self._operation_id, instances)
