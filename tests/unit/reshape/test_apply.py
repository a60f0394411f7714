"""Applying a plan: whatever fails in between, no instance is lost and none is left over."""

from datetime import UTC, datetime

import pytest

from curator.dicom import reader
from curator.dicom.identifiers import orthanc_identifiers
from curator.dicom.tags import parse_path
from curator.errors import Conflict, CoreError, CuratorError, ErrorCode
from curator.gateway import Attachment, Gateway, Level, Resource, Stored
from curator.jobs import Phase
from curator.models import validate
from curator.reshape import split
from curator.reshape.apply import Applier, NotStored
from curator.reshape.files import FileCache
from curator.reshape.plan import Plan
from curator.reshape.request import Into, SplitRequest
from curator.reshape.sources import SourceReader
from factory import mr_series

IDENTITY = [
    parse_path(keyword)
    for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
]
SERIES_NUMBER = parse_path("SeriesNumber")


class Crash(Exception):
    """What ends the process, as ``kill -9`` does."""


class MemoryOrthanc(Gateway):
    """An Orthanc in memory, as far as an operation uses one; fails when told to."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.uuids: dict[str, str] = {}
        self.stores_until_failure: int | None = None
        self.deletes_until_crash: int | None = None
        self.damages = False

    def _identifiers(self, instance: str) -> tuple[str, str, str, str]:
        header = reader.read(self.files[instance], IDENTITY)
        return orthanc_identifiers(*(header.string(path) or "" for path in IDENTITY))

    def _level_of(self, level: Level, instance: str) -> str:
        return self._identifiers(instance)[list(Level).index(level)]

    def exists(self, level, orthanc_id):
        return any(self._level_of(level, one) == orthanc_id for one in self.files)

    def resource(self, level, orthanc_id):
        members = [one for one in self.files if self._level_of(level, one) == orthanc_id]
        return self._resource(level, members[0]) if members else None

    def descendants(self, level, ancestor, orthanc_id, content=()):
        members = [one for one in self.files if self._level_of(ancestor, one) == orthanc_id]
        found = {self._level_of(level, one): self._resource(level, one) for one in members}
        return list(found.values())

    def _resource(self, level: Level, instance: str) -> Resource:
        identifiers = self._identifiers(instance)
        index = list(Level).index(level)
        header = reader.read(self.files[instance], [*IDENTITY, SERIES_NUMBER])
        return Resource(
            level=level,
            orthanc_id=identifiers[index],
            parent=identifiers[index - 1] if index else "",
            tags={str(path): header.string(path) or "" for path in (*IDENTITY, SERIES_NUMBER)},
            metadata={},
            labels=(),
            attachments=(Attachment(1, self.uuids[instance]),),
        )

    def read(self, instance_orthanc_id):
        if instance_orthanc_id not in self.files:
            raise CoreError(ErrorCode.UNKNOWN_RESOURCE, "Unknown resource")
        return self.files[instance_orthanc_id]

    def store(self, dicom):
        if self.stores_until_failure is not None:
            if not self.stores_until_failure:
                raise CoreError(ErrorCode.FULL_STORAGE, "The file storage is full")
            self.stores_until_failure -= 1
        header = reader.read(dicom, IDENTITY)
        instance = orthanc_identifiers(*(header.string(path) or "" for path in IDENTITY))[3]
        if instance in self.files:
            return Stored(instance, "AlreadyStored")
        self.files[instance] = dicom[:-2] + b"\x00\x01" if self.damages else dicom
        self.uuids[instance] = f"file {len(self.uuids)}"
        return Stored(instance, "Success")

    def delete_instances(self, instance_orthanc_ids):
        for instance in instance_orthanc_ids:
            if self.deletes_until_crash is not None:
                if not self.deletes_until_crash:
                    raise Crash
                self.deletes_until_crash -= 1
            self.files.pop(instance, None)
            self.uuids.pop(instance, None)

    def set_metadata(self, level, orthanc_id, name, value):
        assert self.exists(level, orthanc_id)

    def delete_metadata(self, level, orthanc_id, name):
        assert self.exists(level, orthanc_id)

    def user_metadata(self, resource):
        return {}


class MemoryJob:
    """A job that is not interrupted; what it keeps is what a database would."""

    def __init__(self) -> None:
        self.phase = Phase.NONE
        self.content: dict[str, object] = {}
        self.kept: dict[str, object] | None = None

    def keep_plan(self, plan):
        self.kept, self.phase = plan, Phase.WRITING

    def commit(self):
        self.phase = Phase.COMMITTED

    def progress(self, fraction):
        assert 0 <= fraction <= 1

    def checkpoint(self):
        pass


@pytest.fixture
def orthanc():
    server = MemoryOrthanc()
    for dicom in mr_series(3, echo_times=(2.46, 4.92)):
        server.store(dicom)
    return server


@pytest.fixture
def applier(orthanc):
    return Applier(orthanc, threads=1, default_charset="ISO_IR 6")


def planned(orthanc: MemoryOrthanc, **body: object) -> tuple[Plan, list[Resource]]:
    request = validate(SplitRequest, {"By": ["EchoTime"], "Into": "Series", **body})
    study = orthanc._level_of(Level.STUDY, next(iter(orthanc.files)))
    source_reader = SourceReader(orthanc, threads=1, default_charset="ISO_IR 6")
    instances = source_reader.instances(Level.STUDY, study)
    source = source_reader.read(
        Level.STUDY, study, instances, split.paths(request), FileCache(10**9)
    )
    return split.make_plan(source, request, Into.STUDIES, datetime.now(UTC)), instances


def pixels(orthanc: MemoryOrthanc) -> list[str | None]:
    return sorted(reader.pixel_digest(dicom) or "" for dicom in orthanc.files.values())


def kept(job: MemoryJob) -> Plan:
    return validate(Plan, job.kept)


def test_sources_are_replaced_by_their_copies(orthanc, applier):
    before = pixels(orthanc)
    plan, instances = planned(orthanc)
    applier.apply(plan, instances, FileCache(0), MemoryJob())
    assert set(orthanc.files) == {one.orthanc_id for one in plan.instances}
    assert pixels(orthanc) == before


def test_sources_stay_when_asked(orthanc, applier):
    before = dict(orthanc.files)
    plan, instances = planned(orthanc, KeepSource=True)
    job = MemoryJob()
    applier.apply(plan, instances, FileCache(0), job)
    assert before.items() <= orthanc.files.items()
    assert len(orthanc.files) == 2 * len(before)
    assert job.phase == Phase.WRITING, "never committed to delete anything"


@pytest.mark.parametrize("stored", range(6))
def test_a_full_storage_is_undone(orthanc, applier, stored):
    before = dict(orthanc.files)
    plan, instances = planned(orthanc)
    orthanc.stores_until_failure = stored
    job = MemoryJob()
    with pytest.raises(CoreError, match="full"):
        applier.apply(plan, instances, FileCache(0), job)
    assert job.phase == Phase.WRITING
    assert before.items() <= orthanc.files.items(), "no source is touched"
    applier.undo(kept(job))
    assert orthanc.files == before


@pytest.mark.parametrize("stored", range(6))
def test_a_write_that_was_stopped_goes_on(orthanc, applier, stored):
    before = pixels(orthanc)
    plan, instances = planned(orthanc)
    orthanc.stores_until_failure = stored
    job = MemoryJob()
    with pytest.raises(CoreError):
        applier.apply(plan, instances, FileCache(0), job)
    orthanc.stores_until_failure = None
    applier.go_on(kept(job), job)
    assert set(orthanc.files) == {one.orthanc_id for one in plan.instances}
    assert pixels(orthanc) == before


@pytest.mark.parametrize("deleted", range(6))
def test_a_deletion_that_was_stopped_goes_on(orthanc, applier, deleted):
    before = pixels(orthanc)
    plan, instances = planned(orthanc)
    orthanc.deletes_until_crash = deleted
    job = MemoryJob()
    with pytest.raises(Crash):
        applier.apply(plan, instances, FileCache(0), job)
    assert job.phase == Phase.COMMITTED
    orthanc.deletes_until_crash = None
    applier.go_on(kept(job), job)
    assert pixels(orthanc) == before
    assert "Warnings" not in job.content


def test_what_a_crash_of_the_machine_took_is_written_again(orthanc, applier):
    before = pixels(orthanc)
    plan, instances = planned(orthanc)
    orthanc.deletes_until_crash = 0
    job = MemoryJob()
    with pytest.raises(Crash):
        applier.apply(plan, instances, FileCache(0), job)
    orthanc.deletes_until_crash = None
    orthanc.delete_instances([plan.instances[0].orthanc_id])
    applier.go_on(kept(job), job)
    assert pixels(orthanc) == before


def test_what_others_deleted_after_the_commit_does_not_hold_up_the_rest(orthanc, applier):
    plan, instances = planned(orthanc)
    orthanc.deletes_until_crash = 3
    job = MemoryJob()
    with pytest.raises(Crash):
        applier.apply(plan, instances, FileCache(0), job)
    orthanc.deletes_until_crash = None
    gone = next(one for one in plan.instances if one.source not in orthanc.files)
    orthanc.delete_instances([gone.orthanc_id])
    applier.go_on(kept(job), job)
    expected = {one.orthanc_id for one in plan.instances if one != gone}
    assert set(orthanc.files) == expected
    assert job.content["Warnings"] == ["1 new instances were deleted meanwhile"]


def test_a_copy_that_is_not_stored_as_written_is_refused(orthanc, applier):
    before = dict(orthanc.files)
    plan, instances = planned(orthanc)
    orthanc.damages = True
    job = MemoryJob()
    with pytest.raises(NotStored, match="differs"):
        applier.apply(plan, instances, FileCache(0), job)
    applier.undo(kept(job))
    assert orthanc.files == before


def test_a_source_that_was_overwritten_meanwhile_is_kept(orthanc, applier):
    plan, instances = planned(orthanc)
    source = plan.instances[0].source

    class Overwriting(MemoryJob):
        def commit(self):
            super().commit()
            orthanc.uuids[source] = "another file"

    job = Overwriting()
    applier.apply(plan, instances, FileCache(0), job)
    assert source in orthanc.files
    assert len(orthanc.files) == len(plan.instances) + 1
    assert job.content["Warnings"] == ["1 sources were overwritten meanwhile and are kept"]


def test_a_source_that_changed_before_the_commit_is_a_conflict(orthanc, applier):
    before = dict(orthanc.files)
    plan, instances = planned(orthanc)
    orthanc.uuids[plan.instances[-1].source] = "another file"
    job = MemoryJob()
    with pytest.raises(Conflict, match="overwritten"):
        applier.apply(plan, instances, FileCache(0), job)
    applier.undo(kept(job))
    assert orthanc.files == before


def test_a_result_that_is_there_already_is_a_conflict(orthanc, applier):
    plan, instances = planned(orthanc, KeepSource=True)
    applier.apply(plan, instances, FileCache(0), MemoryJob())
    job = MemoryJob()
    with pytest.raises(Conflict, match="stored already"):
        applier.apply(plan, instances, FileCache(0), job)
    assert job.phase == Phase.NONE, "so that nothing is undone"


def test_an_undo_that_leaves_something_is_an_error(orthanc, applier):
    plan, instances = planned(orthanc, KeepSource=True)
    job = MemoryJob()
    applier.apply(plan, instances, FileCache(0), job)

    class Stubborn(MemoryOrthanc):
        def delete_instances(self, instance_orthanc_ids):
            pass

    stubborn = Stubborn()
    stubborn.files, stubborn.uuids = orthanc.files, orthanc.uuids
    with pytest.raises(CuratorError, match="6 new instances could not be removed"):
        Applier(stubborn, 1, "ISO_IR 6").undo(kept(job))


def test_files_are_kept_up_to_a_size_and_given_out_once():
    cache = FileCache(5)
    cache.keep("a", b"123")
    cache.keep("b", b"456")
    assert cache.take("a") == b"123"
    assert cache.take("a") is None
    assert cache.take("b") is None, "it did not fit"
    cache.keep("b", b"45678")
    assert cache.take("b") == b"45678"


def test_kept_files_and_read_files_make_the_same_copies(orthanc, applier):
    plan, instances = planned(orthanc)
    cache = FileCache(10**9)
    for instance, dicom in orthanc.files.items():
        cache.keep(instance, dicom)
    twin = MemoryOrthanc()
    twin.files, twin.uuids = dict(orthanc.files), dict(orthanc.uuids)
    applier.apply(plan, instances, FileCache(0), MemoryJob())
    Applier(twin, 1, "ISO_IR 6").apply(plan, instances, cache, MemoryJob())
    assert twin.files == orthanc.files
