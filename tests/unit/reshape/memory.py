"""An Orthanc in memory and a database, which fail and end the process when told to.

``MemoryOrthanc`` takes the place of the SDK, so the gateway above it is the real one. It keeps what
Orthanc keeps, and loses what Orthanc loses: whatever hangs on a resource goes with it, parents go
with their last child and come back bare. ``Server`` is Curator from its start to its end.
"""

import itertools
import json
import math
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from hashlib import md5
from pathlib import Path as FilePath
from typing import Any
from urllib.parse import unquote

from sqlalchemy import Connection, event, select

from curator.access import Access
from curator.dicom import reader
from curator.dicom.errors import DicomError
from curator.dicom.identifiers import orthanc_identifiers
from curator.dicom.tags import Path, parse_path, tag_for_keyword
from curator.errors import ErrorCode
from curator.gateway import FIRST_USER_NUMBER, Gateway
from curator.jobs import JobEngine, State
from curator.journal import DICOM, Journal
from curator.level import Level
from curator.models import validate
from curator.reshape.operation import Caller, Operations, task_factory
from curator.reshape.operations import operation_kinds
from curator.store import Row, Store, operation_instances, operation_resources, spool
from unit.databases import prepare
from unit.fake_sdk import FakeOrthancError, FakeSdk

LEVELS = list(Level)

#: Metadata that users of this server have given a name.
USER_METADATA = {"Ward": 1030}

ATTACHMENT = 1031

#: When everything is received that Curator stores.
NOW = "20240202T120000"

MAIN_DICOM_TAGS: dict[Level, tuple[str, ...]] = {
    Level.PATIENT: ("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    Level.STUDY: ("StudyInstanceUID", "StudyDate", "StudyDescription", "AccessionNumber"),
    Level.SERIES: ("SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "Modality"),
    Level.INSTANCE: ("SOPInstanceUID", "InstanceNumber"),
}

#: Orthanc expects the product of these to be the number of instances of a series.
EXPECTED = {
    keyword: parse_path(keyword) for keyword in ("ImagesInAcquisition", "NumberOfTemporalPositions")
}

PATHS: dict[str, Path] = {
    keyword: parse_path(keyword) for keywords in MAIN_DICOM_TAGS.values() for keyword in keywords
}

IDENTITY = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


class Crash(BaseException):
    """What ends the process, as ``kill -9`` does; no handler takes it for an error."""


@dataclass
class Steps:
    """Counts what changes Orthanc or the database, and ends the process after one of them."""

    done: int = 0
    crash_after: int | None = None
    watch: Callable[[], None] = lambda: None

    @contextmanager
    def one(self) -> Iterator[None]:
        self._end_if_due()
        yield
        self.done += 1
        self.watch()
        self._end_if_due()

    def restart(self, crash_after: int | None = None) -> None:
        """Begin to count anew."""
        self.done, self.crash_after = 0, crash_after

    def _end_if_due(self) -> None:
        if self.crash_after is not None and self.done >= self.crash_after:
            raise Crash


class QuietJob:
    """A job that is never interrupted, and whose progress nobody looks at."""

    def checkpoint(self) -> None:
        """Go on."""


@dataclass
class Node:
    """A resource with what hangs on it."""

    level: Level
    parent: str
    tags: dict[str, str]
    metadata: dict[str, str] = field(default_factory=dict)
    labels: set[str] = field(default_factory=set)
    attachments: dict[int, bytes] = field(default_factory=dict)
    uuids: dict[int, str] = field(default_factory=dict)

    def copy(self) -> "Node":
        """Return a node to which nothing that happens to this one happens."""
        return Node(
            self.level,
            self.parent,
            dict(self.tags),
            dict(self.metadata),
            set(self.labels),
            dict(self.attachments),
            dict(self.uuids),
        )


class MemoryOrthanc(FakeSdk):
    """The SDK of an Orthanc in memory, as far as operations use it.

    Parameters
    ----------
    overwrites : bool
        Whether a stored instance is replaced by one of the same identifier
        (``OverwriteInstances``).

    Attributes
    ----------
    room : int or None
        Files that still can be written before the disk is full.
    damages : bool
        Whether what is written is not what is read later.
    """

    def __init__(self, steps: Steps | None = None, overwrites: bool = False) -> None:
        super().__init__()
        self.steps = steps or Steps()
        self.overwrites = overwrites
        self.room: int | None = None
        self.damages = False
        self.nodes: dict[str, Node] = {}
        self._lock = threading.RLock()
        self._uuids = map("file-{}".format, itertools.count())

    # What a test asks and does

    @property
    def files(self) -> dict[str, bytes]:
        """The DICOM files by the Orthanc identifiers of their instances."""
        return {one: node.attachments[DICOM] for one, node in self.of(Level.INSTANCE).items()}

    def of(self, level: Level) -> dict[str, Node]:
        """Return all resources of a level."""
        return {one: node for one, node in self.nodes.items() if node.level == level}

    def below(self, ancestor: str, level: Level = Level.INSTANCE) -> list[str]:
        """Return the resources of a level below another one, or itself."""
        return [one for one in self.of(level) if ancestor in self._line(one)]

    def file_uuid(self, instance: str) -> str:
        return self.nodes[instance].uuids[DICOM]

    def state(self) -> dict[str, tuple[object, ...]]:
        """Return everything that is stored, but for the identifiers of files in the storage."""
        return {
            orthanc_id: (
                node.level,
                node.parent,
                dict(node.tags),
                dict(node.metadata),
                frozenset(node.labels),
                dict(node.attachments),
            )
            for orthanc_id, node in self.nodes.items()
        }

    def receive(self, dicom: bytes) -> str:
        """Store an instance as it comes from a modality, long ago."""
        orthanc_id = self.put_instance(dicom)[0]
        self.nodes[orthanc_id].metadata.update(
            Origin="DicomProtocol",
            RemoteAET="MODALITY",
            CalledAET="ORTHANC",
            RemoteIP="192.0.2.1",
            ReceptionDate="20240101T080000",
        )
        self.nodes[self.nodes[orthanc_id].parent].metadata["RemoteAET"] = "MODALITY"
        return orthanc_id

    def adorn(self, every: int = 1) -> None:
        """Hang something of its own on every so many resources, and on some more of it."""
        for number, orthanc_id in enumerate(sorted(self.nodes)[::every]):
            node = self.nodes[orthanc_id]
            node.labels = {"checked", f"label-{number}"} if number % 3 else set()
            node.metadata["Ward"] = f"ward {number}"
            if number % 2:
                node.metadata["1024"] = orthanc_id
            self._attach(node, ATTACHMENT, b"report of " + orthanc_id.encode())
            if number % 4 == 1:
                self._attach(node, ATTACHMENT + 1, bytes(range(256)))

    def touch(self, instance: str) -> None:
        """Let someone overwrite an instance with the same file."""
        self.nodes[instance].uuids[DICOM] = next(self._uuids)

    def remove(self, *instances: str) -> None:
        """Let someone delete instances."""
        for instance in instances:
            self._delete(instance)

    def put_instance(self, dicom: bytes) -> tuple[str, str]:
        """Store an instance; return its identifier and the status."""
        try:
            values = _values(dicom, PATHS)
            expected = _values(dicom, EXPECTED).values()
        except DicomError:
            raise _error(ErrorCode.BAD_FILE_FORMAT) from None
        line = orthanc_identifiers(*(values[keyword] for keyword in IDENTITY))
        orthanc_id = line[3]
        if orthanc_id in self.nodes:
            if not self.overwrites:
                return orthanc_id, "AlreadyStored"
            self._delete(orthanc_id)
        for level, one, parent in zip(LEVELS, line, ("", *line[:3]), strict=True):
            if one not in self.nodes:
                self.nodes[one] = Node(level, parent, _main_tags(level, values))
                if level == Level.SERIES:
                    self.nodes[one].metadata["RemoteAET"] = ""
                    if all(expected):
                        count = math.prod(map(int, expected))
                        self.nodes[one].metadata["ExpectedNumberOfInstances"] = str(count)
        node = self.nodes[orthanc_id]
        node.metadata |= {"ReceptionDate": NOW, "Origin": "Plugins", "RemoteAET": ""}
        self._attach(node, DICOM, dicom[:-2] + b"\x00\x01" if self.damages else dicom)
        return orthanc_id, "Success"

    # The SDK

    def _answer(self, method: str, uri: str, body: bytes = b"") -> bytes:
        self.calls.append((method, uri, body))
        path, _, _query = uri.partition("?")
        with self._lock:
            for pattern, answer in _ROUTES[method].items():
                match = re.fullmatch(pattern, path)
                if match is not None:
                    return answer(self, body, *map(unquote, match.groups()))
        raise _error(ErrorCode.UNKNOWN_RESOURCE)

    def _system(self, _body: bytes) -> bytes:
        main = {
            level: ";".join(_hexadecimal(one) for one in MAIN_DICOM_TAGS[level]) for level in LEVELS
        }
        return _json({"UserMetadata": USER_METADATA, "MainDicomTags": main})

    def _file(self, _body: bytes, instance: str) -> bytes:
        return self._node("instances", instance).attachments[DICOM]

    def _size(self, _body: bytes, collection: str, orthanc_id: str) -> bytes:
        return str(len(self._node(collection, orthanc_id).attachments[DICOM])).encode()

    def _info(self, _body: bytes, collection: str, orthanc_id: str) -> bytes:
        return _json({"Uuid": self._node(collection, orthanc_id).uuids[DICOM]})

    def _resource(self, _body: bytes, collection: str, orthanc_id: str) -> bytes:
        self._node(collection, orthanc_id)
        return _json(self._described(orthanc_id))

    def _statistics(self, _body: bytes, collection: str, orthanc_id: str) -> bytes:
        self._node(collection, orthanc_id)
        return _json(
            {
                f"Count{level.collection.capitalize()}": len(self.below(orthanc_id, level))
                for level in LEVELS
            }
        )

    def _find(self, body: bytes) -> bytes:
        query = json.loads(body)
        level = Level(query["Level"])
        found = self.of(level)
        for ancestor in LEVELS:
            if f"Parent{ancestor}" in query:
                found = {one: found[one] for one in self.below(query[f"Parent{ancestor}"], level)}
        if query.get("Expand") is False:
            return _json(list(found)[: query["Limit"]])
        keys = {"ID", "Type", *query["ResponseContent"]}
        if "Parent" in keys:
            keys.add(f"Parent{LEVELS[LEVELS.index(level) - 1]}")
        described = [self._described(one) for one in found]
        return _json([{k: v for k, v in one.items() if k in keys} for one in described])

    def _bulk_content(self, body: bytes) -> bytes:
        wanted = json.loads(body)["Resources"]
        return _json([self._described(one) for one in wanted if one in self.nodes])

    def _store(self, body: bytes) -> bytes:
        with self.steps.one():
            self._take_room()
            orthanc_id, status = self.put_instance(body)
        return _json({"ID": orthanc_id, "Status": status})

    def _bulk_delete(self, body: bytes) -> bytes:
        for orthanc_id in json.loads(body)["Resources"]:
            if orthanc_id in self.nodes:
                with self.steps.one():
                    self._delete(orthanc_id)
        return b""

    def _reconstruct(self, _body: bytes, collection: str, orthanc_id: str) -> bytes:
        node = self._node(collection, orthanc_id)
        with self.steps.one():
            first = self.below(orthanc_id)[0]
            values = _values(self.nodes[first].attachments[DICOM], PATHS)
            node.tags = _main_tags(node.level, values)
        return b""

    def _set_metadata(self, body: bytes, collection: str, orthanc_id: str, name: str) -> bytes:
        node = self._node(collection, orthanc_id)
        with self.steps.one():
            node.metadata[name] = body.decode()
        return b""

    def _delete_metadata(self, _body: bytes, collection: str, orthanc_id: str, name: str) -> bytes:
        node = self._node(collection, orthanc_id)
        if name not in node.metadata:
            raise _error(ErrorCode.UNKNOWN_RESOURCE)
        with self.steps.one():
            del node.metadata[name]
        return b""

    def _add_label(self, _body: bytes, collection: str, orthanc_id: str, label: str) -> bytes:
        node = self._node(collection, orthanc_id)
        with self.steps.one():
            node.labels.add(label)
        return b""

    def _remove_label(self, _body: bytes, collection: str, orthanc_id: str, label: str) -> bytes:
        node = self._node(collection, orthanc_id)
        with self.steps.one():
            node.labels.discard(label)
        return b""

    def _attachment(self, _body: bytes, collection: str, orthanc_id: str, number: str) -> bytes:
        return self._attached(collection, orthanc_id, number).attachments[int(number)]

    def _put_attachment(self, body: bytes, collection: str, orthanc_id: str, number: str) -> bytes:
        node = self._node(collection, orthanc_id)
        if int(number) < FIRST_USER_NUMBER:
            raise _error(ErrorCode.FORBIDDEN_ACCESS)
        with self.steps.one():
            self._take_room()
            self._attach(node, int(number), body)
        return b"{}"

    def _detach(self, _body: bytes, collection: str, orthanc_id: str, number: str) -> bytes:
        node = self._attached(collection, orthanc_id, number)
        with self.steps.one():
            del node.attachments[int(number)], node.uuids[int(number)]
        return b""

    # Resources

    def _node(self, collection: str, orthanc_id: str) -> Node:
        node = self.nodes.get(orthanc_id)
        if node is None or node.level.collection != collection:
            raise _error(ErrorCode.UNKNOWN_RESOURCE)
        return node

    def _attached(self, collection: str, orthanc_id: str, number: str) -> Node:
        node = self._node(collection, orthanc_id)
        if int(number) not in node.attachments:
            raise _error(ErrorCode.UNKNOWN_RESOURCE)
        return node

    def _described(self, orthanc_id: str) -> dict[str, Any]:
        node = self.nodes[orthanc_id]
        described: dict[str, Any] = {
            "ID": orthanc_id,
            "Type": node.level,
            "MainDicomTags": node.tags,
            "Metadata": node.metadata,
            "Labels": sorted(node.labels),
            "Attachments": [
                {
                    "ContentType": number,
                    "Uuid": uuid,
                    "UncompressedMD5": _md5(node.attachments[number]),
                }
                for number, uuid in node.uuids.items()
            ],
        }
        if node.parent:
            described[f"Parent{self.nodes[node.parent].level}"] = node.parent
        return described

    def _line(self, orthanc_id: str) -> Iterator[str]:
        while orthanc_id:
            yield orthanc_id
            orthanc_id = self.nodes[orthanc_id].parent

    def _attach(self, node: Node, number: int, content: bytes) -> None:
        node.attachments[number] = content
        node.uuids[number] = next(self._uuids)

    def _take_room(self) -> None:
        if self.room is not None:
            if not self.room:
                raise _error(ErrorCode.FULL_STORAGE)
            self.room -= 1

    def _delete(self, orthanc_id: str) -> None:
        """Delete a resource, and parents that this leaves empty."""
        for instance in self.below(orthanc_id):
            self._pop(instance)

    def _pop(self, orthanc_id: str) -> None:
        parent = self.nodes.pop(orthanc_id).parent
        if parent and not any(node.parent == parent for node in self.nodes.values()):
            self._pop(parent)


_RESOURCE = r"/(patients|studies|series|instances)/([^/]+)"

_ROUTES: dict[str, dict[str, Callable[..., bytes]]] = {
    "GET": {
        "/system": MemoryOrthanc._system,
        "/instances/([^/]+)/file": MemoryOrthanc._file,
        _RESOURCE: MemoryOrthanc._resource,
        f"{_RESOURCE}/statistics": MemoryOrthanc._statistics,
        rf"{_RESOURCE}/attachments/(\d+)/data": MemoryOrthanc._attachment,
        rf"{_RESOURCE}/attachments/dicom/size": MemoryOrthanc._size,
        rf"{_RESOURCE}/attachments/dicom/info": MemoryOrthanc._info,
    },
    "POST": {
        "/instances": MemoryOrthanc._store,
        "/tools/find": MemoryOrthanc._find,
        "/tools/bulk-content": MemoryOrthanc._bulk_content,
        "/tools/bulk-delete": MemoryOrthanc._bulk_delete,
        f"{_RESOURCE}/reconstruct": MemoryOrthanc._reconstruct,
    },
    "PUT": {
        f"{_RESOURCE}/metadata/([^/]+)": MemoryOrthanc._set_metadata,
        f"{_RESOURCE}/labels/([^/]+)": MemoryOrthanc._add_label,
        rf"{_RESOURCE}/attachments/(\d+)": MemoryOrthanc._put_attachment,
    },
    "DELETE": {
        f"{_RESOURCE}/metadata/([^/]+)": MemoryOrthanc._delete_metadata,
        f"{_RESOURCE}/labels/([^/]+)": MemoryOrthanc._remove_label,
        rf"{_RESOURCE}/attachments/(\d+)": MemoryOrthanc._detach,
    },
}


class SteppedStore(Store):
    """A database whose transactions are steps; what it writes outlives the process only."""

    def __init__(self, path: FilePath, steps: Steps | None = None) -> None:
        self.steps = steps or Steps()
        prepare(path)
        super().__init__(f"sqlite:///{path}")
        event.listen(self._engine, "connect", _do_not_wait_for_the_disk)
        self._engine.dispose()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with self.steps.one(), super().transaction() as connection:
            yield connection

    def on_their_way(self) -> list[bytes]:
        """Return the DICOM files that are on their way into Orthanc."""
        query = select(spool.c.content).where(spool.c.number == DICOM)
        return [row["content"] for row in self.rows(query)]

    def kept(self, operation_id: str) -> int:
        """Count what is kept to undo or to finish an operation."""
        return sum(
            len(self.rows(select(table.c.operation).where(table.c.operation == operation_id)))
            for table in (operation_instances, operation_resources, spool)
        )


class Server:
    """Curator from its start to its end, on an Orthanc and a database that outlive it.

    Jobs run in the thread of the test, when `work` is called.
    """

    def __init__(
        self, orthanc: MemoryOrthanc, store: Store, threads: int = 1, cache: int = 0
    ) -> None:
        self.orthanc = orthanc
        self.store = store
        self.gateway = Gateway(orthanc)
        self.access = Access(self.gateway, threads, "ISO_IR 100", cache)
        self.journal = Journal(store)
        self.kinds = operation_kinds(self.access, self.journal, follow_days=30)
        self.engine = JobEngine(
            store,
            {
                name: task_factory(self.access, self.journal, kind)
                for name, kind in self.kinds.items()
            },
            workers=1,
            history_size=100,
        )
        self.operations = Operations(self.access, self.journal, self.engine)

    def submit(self, job_type: str, resource: str, **body: Any) -> str:
        """Start an operation and return the identifier of its job."""
        kind = self.kinds[job_type]
        body = {"Asynchronous": True, **body}
        request = validate(kind.model, body)
        kind.check(request)
        answer = self.operations.submit(kind, resource, request, body, Caller("user"))
        return str(answer["ID"])

    def work(self) -> None:
        """Run all jobs that are queued."""
        while self.engine._queue:
            job_id = self.engine._next()
            assert job_id is not None
            self.engine._run(job_id)

    def run(self, job_type: str, resource: str, **body: Any) -> dict[str, Any]:
        """Carry out an operation to its end and return its content.

        Raises
        ------
        CuratorError
            What made it fail.
        """
        job_id = self.submit(job_type, resource, **body)
        self.work()
        return self.engine.wait(job_id)

    def undo(self, operation_id: str, **body: Any) -> dict[str, Any]:
        """Take an operation back."""
        return self.run("CuratorUndo", operation_id, **body)

    def unfinished(self) -> list[Row]:
        """Return the jobs that have not ended, or have left something to do."""
        return self.store.unfinished_jobs((State.PENDING, State.RUNNING, State.PAUSED))


class FrozenClock(datetime):
    """A clock that stands still, so that what two runs write is the same."""

    @classmethod
    def now(cls, _zone: tzinfo | None = None) -> datetime:
        return datetime(2024, 2, 2, 12, tzinfo=UTC)


def _do_not_wait_for_the_disk(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA synchronous=OFF").close()


def digests(files: Iterable[bytes]) -> list[str]:
    """Return the digests of the pixel data of files, of those without them nothing."""
    return sorted(filter(None, (reader.pixel_digest(one) for one in files)))


def _values(dicom: bytes, paths: dict[str, Path]) -> dict[str, str]:
    header = reader.read(dicom, paths.values())
    return {name: header.string(path) or "" for name, path in paths.items()}


def _main_tags(level: Level, values: dict[str, str]) -> dict[str, str]:
    return {keyword: values[keyword] for keyword in MAIN_DICOM_TAGS[level] if values[keyword]}


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _error(code: ErrorCode) -> FakeOrthancError:
    return FakeOrthancError(int(code), code.name)


def _md5(content: bytes) -> str:
    return md5(content, usedforsecurity=False).hexdigest()


def _hexadecimal(keyword: str) -> str:
    tag = tag_for_keyword(keyword)
    return f"{tag >> 16:04x},{tag & 0xFFFF:04x}"
