"""Searching for duplicates: what counts as one, and what happens meanwhile."""

import itertools
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator import gateway
from curator.access import Access
from curator.dicom.edits import Edits, Replace
from curator.dicom.engine import apply
from curator.dicom.errors import DicomError
from curator.dicom.tags import parse_path
from curator.errors import Canceled, CoreError, ErrorCode, NotFound
from curator.gateway import Gateway
from curator.level import Level
from curator.models import InvalidModel, validate
from curator.reshape.find_duplicates import By, FindDuplicatesRequest, FindDuplicatesService
from curator.reshape.find_duplicates_digest import content_digest
from factory import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    Private,
    make_instance,
)

# The digest of a file


def test_same_file_under_other_identifiers_has_the_same_digest():
    changed = {
        "PatientID": "B",
        "PatientName": "OTHER^NAME",
        "PatientBirthDate": None,
        "OtherPatientIDsSequence": [{"PatientID": "C"}],
        "StudyInstanceUID": "1.1",
        "SeriesInstanceUID": "1.2",
        "SOPInstanceUID": "1.3",
        "OriginalAttributesSequence": [{"ModifyingSystem": "X"}],
    }
    assert content_digest(make_instance(**changed)) == content_digest(make_instance())


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 1},
        {"pixels": b""},
        {"InstanceNumber": 2},
        {"StudyDate": "20240103"},
        {"FrameOfReferenceUID": "1.1"},
        {"SeriesDescription": None},
        {"PatientAge": "050Y"},
        {"KVP": "100"},
        {"private": [Private(0x0019, "X", 1, "LO", "x")]},
        {"ReferencedImageSequence": []},
        {"ReferencedImageSequence": [{"PatientID": "A"}]},
        {"RequestAttributesSequence": [{"StudyInstanceUID": "1.1"}]},
    ],
    ids=str,
)
def test_file_that_says_something_else_has_another_digest(changed):
    assert content_digest(make_instance(**changed)) != content_digest(make_instance())


NESTED = {
    "ReferencedImageSequence": [
        {"ReferencedSOPInstanceUID": "1.1", "PurposeOfReferenceCodeSequence": [{"CodeValue": "1"}]},
        {"ReferencedSOPInstanceUID": "1.2"},
    ]
}


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_how_values_are_encoded_does_not_count(syntax):
    plain = make_instance(**NESTED)
    assert content_digest(make_instance(transfer_syntax=syntax, **NESTED)) == content_digest(plain)
    delimited = make_instance(undefined_lengths=True, **NESTED)
    assert content_digest(delimited) == content_digest(plain)


@pytest.mark.parametrize("syntax", [ExplicitVRBigEndian, JPEGBaseline8Bit])
def test_other_bytes_of_a_value_count(syntax):
    other = make_instance(transfer_syntax=syntax)
    assert content_digest(other) != content_digest(make_instance())
    assert content_digest(other) == content_digest(
        make_instance(transfer_syntax=syntax, PatientID="B")
    )


def test_trailing_padding_and_group_lengths_do_not_count():
    plain = make_instance()
    padded = apply(plain, Edits({parse_path("FFFC,FFFC"): Replace(b"\0" * 10, "OB")}))
    assert padded != plain
    assert content_digest(padded) == content_digest(plain)
    length = b"\x08\x00\x00\x00UL\x04\x00\x10\x00\x00\x00"
    start = plain.index(b"\x08\x00\x08\x00CS")
    with_length = plain[:start] + length + plain[start:]
    assert content_digest(with_length) == content_digest(plain)


def test_where_items_end_counts():
    """The same elements, divided into items in other ways."""
    a, b, c = {"CodeValue": "1"}, {"CodeMeaning": "2"}, {"MappingResource": "3"}
    divisions = ([a | b | c], [a, b | c], [a | b, c], [a, b, c], [])
    digests = {content_digest(make_instance(ProcedureCodeSequence=items)) for items in divisions}
    assert len(digests) == len(divisions)


def test_damaged_file_has_no_digest():
    with pytest.raises(DicomError):
        content_digest(make_instance()[:-10])


# The request


def test_uid_is_what_is_compared_where_nothing_is_said():
    request = validate(FindDuplicatesRequest, {})
    assert request.by == (By.SOP_INSTANCE_UID,)
    assert request.resources is None
    assert request.waits


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"By": []}, r"\$\.By"),
        ({"By": ["MD5"]}, r"\$\.By\[0\].*'SOPInstanceUID', 'File' or 'Pixels'"),
        ({"Resources": []}, r"\$\.Resources"),
        ({"Resources": [5]}, r"\$\.Resources\[0\]"),
        ({"Reosurces": ["x"]}, r'\$\.Reosurces: unknown field, did you mean "Resources"\?'),
        ({"DryRun": True}, r"\$\.DryRun: unknown field"),
    ],
)
def test_wrong_request_is_refused_with_its_path(body, problem):
    with pytest.raises(InvalidModel, match=problem):
        validate(FindDuplicatesRequest, body)


@pytest.mark.parametrize(
    ("body", "waits"),
    [
        ({"Asynchronous": True}, False),
        ({"Synchronous": False}, False),
        ({"Synchronous": True, "Asynchronous": True}, True),
    ],
)
def test_synchronous_has_the_last_word(body, waits):
    assert validate(FindDuplicatesRequest, body).waits is waits


# The search


class Place(NamedTuple):
    """Where an instance is, by names that stand for Orthanc's identifiers."""

    patient: str
    study: str
    series: str
    instance: str


class MemoryServer(Gateway):
    """A server that answers what a search asks for; instances come and go when a test says so."""

    def __init__(self, cap: int = 10**9) -> None:
        self.cap = cap
        self.files: dict[Place, tuple[str, bytes]] = {}
        self.broken: set[str] = set()
        self.before_find: Callable[[], None] = lambda: None
        self.before_read: Callable[[str], None] = lambda _instance: None

    def add(self, where: str, uid: str = "1", **elements: Any) -> str:
        """Store an instance; `where` is ``patient/study/series/instance``."""
        place = Place(*where.split("/"))
        file = make_instance(SOPInstanceUID=uid, PatientID=place.patient, **elements)
        self.files[place] = uid, file
        return place.instance

    def remove(self, name: str) -> None:
        """Delete an instance, or all that is in something."""
        self.files = {place: file for place, file in self.files.items() if name not in place}

    def post_json(self, uri, body):
        if uri == "/tools/bulk-content":
            assert len(body["Resources"]) <= gateway.LOOKUP
            known = (self._described(level, one) for one in body["Resources"] for level in Level)
            return [one for one in known if one]
        level, found = Level(body["Level"]), sorted(self.files, key=lambda place: place.instance)
        for ancestor in Level:
            if (name := body.get(f"Parent{ancestor}")) is not None:
                found = [place for place in found if place[list(Level).index(ancestor)] == name]
        if uri == "/tools/count-resources":
            return {"Count": len(found)}
        assert uri == "/tools/find"
        if level != Level.INSTANCE:
            return [self._json(level, place) for place in found[:1]]
        self.before_find()
        found = [place for place in found if place in self.files]
        limit = min(body["Limit"], self.cap)
        page = found[body["Since"] :][:limit]
        return [self._json(level, place) for place in page]

    def get(self, uri):
        """Answer whether an instance exists."""
        if not self._described(Level.INSTANCE, uri.rpartition("/")[2]):
            raise CoreError(ErrorCode.UNKNOWN_RESOURCE, "Unknown resource")
        return b"{}"

    def _described(self, level: Level, name: str) -> dict[str, Any] | None:
        index = list(Level).index(level)
        found = [place for place in self.files if place[index] == name]
        return self._json(level, found[0]) if found else None

    def _json(self, level: Level, place: Place) -> dict[str, Any]:
        index = list(Level).index(level)
        parent = {f"Parent{list(Level)[index - 1]}": place[index - 1]} if index else {}
        tags = {"SOPInstanceUID": self.files[place][0]} if level == Level.INSTANCE else {}
        return {"Type": level, "ID": place[index], "MainDicomTags": tags, **parent}

    def read(self, instance_orthanc_id):
        self.before_read(instance_orthanc_id)
        if instance_orthanc_id in self.broken:
            raise CoreError(ErrorCode.CORRUPTED_FILE, "The file is corrupted")
        for place, (_, file) in self.files.items():
            if place.instance == instance_orthanc_id:
                return file
        raise CoreError(ErrorCode.UNKNOWN_RESOURCE, "Unknown resource")


class MemoryJob:
    """A job that can be stopped at one of its checkpoints; keeps how far it came."""

    def __init__(self, checkpoints: int | None = None) -> None:
        self.content: dict[str, Any] = {"Description": "REST API"}
        self.fractions: list[float] = []
        self.checkpoints = checkpoints

    def progress(self, fraction):
        self.fractions.append(fraction)

    def checkpoint(self):
        if self.checkpoints is not None:
            if not self.checkpoints:
                raise Canceled
            self.checkpoints -= 1


@pytest.fixture
def server():
    return MemoryServer()


def search(server: MemoryServer, job: MemoryJob | None = None, **body: Any) -> dict[str, Any]:
    job = job or MemoryJob()
    service = FindDuplicatesService(Access(server, 2, "ISO_IR 100"))
    service.check(validate(FindDuplicatesRequest, body))
    service.task({"Body": body}).run(job)
    return job.content


def members(found: dict[str, Any], by: str = "SOPInstanceUID") -> list[list[str]]:
    return [
        [one["ID"] for one in group["Instances"]]
        for group in found["Duplicates"]
        if group["By"] == by
    ]


def test_duplicates_are_told_with_their_parents(server):
    server.add("A/a/aa/one")
    server.add("B/b/bb/other")
    server.add("B/b/bb/alone", uid="2")
    assert search(server) == {
        "Description": "REST API",
        "InstancesCount": 3,
        "DuplicatesCount": 1,
        "Duplicates": [
            {
                "By": "SOPInstanceUID",
                "Instances": [
                    {
                        "ID": "one",
                        "ParentSeries": "aa",
                        "ParentStudy": "a",
                        "ParentPatient": "A",
                    },
                    {
                        "ID": "other",
                        "ParentSeries": "bb",
                        "ParentStudy": "b",
                        "ParentPatient": "B",
                    },
                ],
            }
        ],
        "UnreadableInstancesCount": 0,
        "UnreadableInstances": [],
    }


def test_groups_come_in_order_of_the_request_and_of_the_identifiers(server):
    for number, uid in enumerate("213123"):
        server.add(f"{number}/{number}/{number}/{9 - number}", uid=uid, seed=number % 2)
    found = search(server, By=["Pixels", "SOPInstanceUID", "Pixels"])
    assert [group["By"] for group in found["Duplicates"]] == ["Pixels"] * 2 + ["SOPInstanceUID"] * 3
    assert members(found) == [["4", "7"], ["5", "9"], ["6", "8"]]
    assert members(found, "Pixels") == [["4", "6", "8"], ["5", "7", "9"]]


def test_instances_without_pixels_are_no_duplicates_by_them(server):
    server.add("A/a/aa/one", uid="1", pixels=b"")
    server.add("A/a/aa/other", uid="2", pixels=b"")
    found = search(server, By=["Pixels", "File"])
    assert members(found, "Pixels") == []
    assert members(found, "File") == [["one", "other"]]


def test_files_are_read_only_where_they_are_compared(server):
    server.add("A/a/aa/one")
    server.broken.add("one")
    assert search(server)["UnreadableInstances"] == []
    assert search(server, By=["File"])["UnreadableInstances"] == ["one"]


@pytest.mark.parametrize("by", ["File", "Pixels"])
def test_file_that_is_no_dicom_is_unreadable(server, by):
    for name in ("one", "other"):
        server.add(f"A/a/aa/{name}")
    server.files = {place: (uid, b"no DICOM") for place, (uid, _) in server.files.items()}
    found = search(server, By=["SOPInstanceUID", by])
    assert found["UnreadableInstances"] == ["one", "other"]
    assert found["UnreadableInstancesCount"] == 2
    assert members(found) == [["one", "other"]]
    assert members(found, by) == []


def test_what_is_named_twice_or_with_its_parent_is_searched_once(server):
    server.add("A/a/aa/one")
    server.add("B/b/bb/other")
    server.add("C/c/cc/third")
    found = search(server, Resources=["one", "A", "aa", "one", "bb", "B"])
    assert found["InstancesCount"] == 2
    assert members(found) == [["one", "other"]]


def test_many_resources_are_looked_up_in_parts(server):
    names = [server.add(f"{n}/s{n}/ss{n}/i{n}") for n in range(2 * gateway.LOOKUP + 1)]
    assert search(server, Resources=names)["InstancesCount"] == len(names)


def test_unknown_resource_is_refused_with_its_path(server):
    server.add("A/a/aa/one")
    with pytest.raises(NotFound, match=r"\$\.Resources\[1\]: .* missing"):
        search(server, Resources=["aa", "missing"])


def test_resource_that_is_deleted_before_the_job_begins_is_passed_over(server):
    server.add("A/a/aa/one")
    server.add("B/b/bb/other")
    job = MemoryJob()
    task = FindDuplicatesService(Access(server, 1, "ISO_IR 100")).task(
        {"Body": {"Resources": ["A", "B"]}}
    )
    server.remove("A")
    task.run(job)
    assert (job.content["InstancesCount"], job.content["Duplicates"]) == (1, [])


def test_instance_that_is_deleted_before_it_is_read_is_passed_over(server):
    for name in ("one", "other", "third"):
        server.add(f"A/a/aa/{name}")
    server.before_read = lambda _instance: server.remove("other")
    found = search(server, By=["SOPInstanceUID", "Pixels"])
    assert found["InstancesCount"] == 2
    assert members(found) == members(found, "Pixels") == [["one", "third"]]
    assert found["UnreadableInstances"] == []


def test_duplicate_whose_study_is_deleted_before_it_is_told_is_left_out(server):
    server.add("A/a/aa/one")
    server.add("B/b/bb/other")

    class Deleting(MemoryJob):
        def progress(self, fraction):
            super().progress(fraction)
            if fraction == 1:
                server.remove("b")

    assert search(server, Deleting())["Duplicates"] == []


def test_search_stops_at_any_checkpoint_and_leaves_no_result(server):
    for number in range(20):
        server.add(f"{number % 2}/s{number % 2}/ss{number % 2}/{number}")
    stopped = 0
    while True:
        job = MemoryJob(checkpoints=stopped)
        try:
            search(server, job, By=["SOPInstanceUID", "Pixels"])
        except Canceled:
            assert job.content == {"Description": "REST API"}
            stopped += 1
        else:
            break
    assert stopped >= 40, "at each instance, listed or read"
    assert job.content["DuplicatesCount"] == 2


@pytest.mark.parametrize("by", [["SOPInstanceUID"], ["File"]])
def test_progress_grows_to_the_end(server, by):
    for number in range(10):
        server.add(f"A/a/aa/{number}")
    job = MemoryJob()
    search(server, job, By=by)
    assert job.fractions == sorted(job.fractions)
    assert job.fractions[-1] == 1


class CountedFile(bytes):
    """A file that is counted as long as someone holds it."""

    alive: ClassVar[set[int]] = set()
    most = 0

    def __init__(self, _content: bytes) -> None:
        self.alive.add(id(self))
        CountedFile.most = max(self.most, len(self.alive))

    def __del__(self) -> None:
        self.alive.discard(id(self))


def test_no_more_files_are_held_than_there_are_threads(server):
    for number in range(30):
        server.add(f"A/a/aa/{number}")
    files = {place.instance: file for place, (_, file) in server.files.items()}
    server.read = lambda instance: CountedFile(files[instance])
    assert search(server, By=["File", "Pixels"])["DuplicatesCount"] == 2
    assert 1 <= CountedFile.most <= 2


# Listing by pages


def listed(server: MemoryServer) -> list[str]:
    return [one.orthanc_id for one in server.instances(None)]


def stored(name: int) -> Place:
    return Place("A", "a", "aa", f"{name:02}")


@given(st.integers(1, 7), st.sets(st.integers(0, 20)))
def test_every_page_size_lists_all(cap, names):
    server = MemoryServer(cap)
    server.files = {stored(name): ("1", b"") for name in names}
    assert listed(server) == [stored(name).instance for name in sorted(names)]


NAMES = st.integers(0, 20)


@given(
    st.integers(2, 7),
    st.sets(NAMES),
    st.sets(NAMES),
    st.lists(st.lists(NAMES, max_size=8), max_size=20),
)
def test_what_is_stored_all_the_time_is_listed_once(cap, residents, guests, events):
    """Before each page, some guests go and others come."""
    server = MemoryServer(cap)
    server.files = {stored(name): ("1", b"") for name in residents | guests}
    coming = iter(events)

    def come_and_go() -> None:
        for name in set(next(coming, ())) - residents:
            if server.files.pop(stored(name), None) is None:
                server.files[stored(name)] = "1", b""

    server.before_find = come_and_go
    found = listed(server)
    assert len(set(found)) == len(found)
    assert {stored(name).instance for name in residents} <= set(found)


def test_page_is_read_back_where_many_were_deleted(monkeypatch):
    monkeypatch.setattr(gateway, "PAGE", 5)
    server = MemoryServer()
    server.files = {stored(name): ("1", b"") for name in range(20)}
    pages = itertools.count(1)

    def delete() -> None:
        if next(pages) == 4:
            for name in range(12):
                server.files.pop(stored(name))

    server.before_find = delete
    assert listed(server) == [stored(name).instance for name in range(20)]
