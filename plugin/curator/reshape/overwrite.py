"""Overwrite instances where they are.

Orthanc replaces a stored instance only where ``OverwriteInstances`` lets it. Elsewhere the old one
has to go before the new one comes, so every file is kept in Curator's database until it is back in
Orthanc: a crash in between loses nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from curator.gateway import Level, Resource
from curator.jobs import Job
from curator.journal import DICOM, Journal, State
from curator.models import validate
from curator.reshape.access import Access
from curator.reshape.carry import Belongings, belongings_of, give, restore_missing
from curator.reshape.storing import NotStored, check_stored, store

#: Instances that are overwritten between two notes in the database.
BATCH = 8

#: Makes the new file of an instance from the one that is stored.
Rewrite = Callable[[bytes], bytes]


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
            batch = items[start : start + BATCH]
            files: dict[str, bytes] = {}
            for resource, rewrite in batch:
                original = self._gateway.read(resource.orthanc_id)
                changed = rewrite(original)
                if changed != original:
                    files[resource.orthanc_id] = changed
            resources = {one.orthanc_id: one for one, _ in batch if one.orthanc_id in files}
            self._spool(resources.values(), files)
            self._put_all(resources, files, job)
            self._release(list(resources))

    def _spool(self, resources: Iterable[Resource], files: Mapping[str, bytes]) -> None:
        spooled = {(orthanc_id, DICOM): content for orthanc_id, content in files.items()}
        for resource in resources:
            for number in self._gateway.user_attachments(resource):
                spooled[resource.orthanc_id, number] = self._gateway.read_attachment(
                    Level.INSTANCE, resource.orthanc_id, number
                )
        self._journal.spool(self._operation_id, spooled)

    def _put_all(
        self, resources: Mapping[str, Resource], files: Mapping[str, bytes], job: Job
    ) -> None:
        def put(orthanc_id: str) -> None:
            was = belongings_of(self._gateway, resources[orthanc_id])
            self._put(orthanc_id, files[orthanc_id], was)

        for _ in self._access.in_parallel(put, list(resources), job):
            pass

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
        self._journal.set_files(self._operation_id, uuids)
        self._journal.unspool(self._operation_id, instances)
