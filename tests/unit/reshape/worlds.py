"""Orthanc and the database in every state in which ``kill -9`` can leave them."""

import itertools
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from curator.dicom import reader
from curator.dicom.tags import parse_path
from unit.reshape.memory import MemoryOrthanc, Node, SteppedStore

NAMES = map("curator-{}.db".format, itertools.count())

LABEL = parse_path("SeriesDescription")


@dataclass(frozen=True)
class Snapshot:
    """Orthanc and the database as a crash leaves them."""

    nodes: dict[str, Node] = field(repr=False)
    database: bytes = field(repr=False)
    phases: list[str] = field(repr=False)


class World:
    """An Orthanc and a database, which outlive their servers."""

    def __init__(self, directory: Path, orthanc: MemoryOrthanc) -> None:
        self.orthanc = orthanc
        self.steps = orthanc.steps
        self.path = directory / next(NAMES)
        self.store = SteppedStore(self.path, self.steps)

    def snapshot(self) -> Snapshot:
        query = "SELECT phase FROM curator_jobs WHERE phase != '' OR state != 'Success'"
        with closing(sqlite3.connect(self.path)) as connection:
            phases = [phase for (phase,) in connection.execute(query)]
            return Snapshot(copied(self.orthanc.nodes), connection.serialize(), phases)

    def restore(self, snapshot: Snapshot) -> None:
        self.orthanc.nodes = copied(snapshot.nodes)
        with (
            closing(sqlite3.connect(":memory:")) as database,
            closing(sqlite3.connect(self.path)) as connection,
        ):
            database.deserialize(_without_wal(snapshot.database))
            database.backup(connection)

    def instances(self) -> set[str]:
        """Return what is there, in Orthanc or on its way into it, by what it shows."""
        return {shown(one) for one in (*self.orthanc.files.values(), *self.store.on_their_way())}

    def loses(self) -> list[str]:
        """Watch, and return what gets lost from now on."""
        before, lost = self.instances(), list[str]()
        self.steps.watch = lambda: lost.extend(sorted(before - self.instances()))
        return lost


def _without_wal(database: bytes) -> bytes:
    """Return a database in the journal mode that one in memory can have (bytes 18 and 19)."""
    return database[:18] + b"\x01\x01" + database[20:]


def copied(nodes: dict[str, Node]) -> dict[str, Node]:
    return {orthanc_id: node.copy() for orthanc_id, node in nodes.items()}


@lru_cache(maxsize=4096)
def shown(file: bytes) -> str:
    """Return what stays the same whatever is done: the pixels, or else the label."""
    return reader.pixel_digest(file) or str(reader.read(file, [LABEL]).string(LABEL))
