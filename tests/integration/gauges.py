"""What a server uses: memory, threads, open files, temporary files, rows of Curator's database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from integration.servers import OrthancServer

PARENTS = (
    ("curator_operation_instances", "operation", "curator_operations"),
    ("curator_operation_resources", "operation", "curator_operations"),
    ("curator_follows", "operation", "curator_operations"),
    ("curator_route_products", "run", "curator_runs"),
    ("curator_run_originals", "run", "curator_runs"),
    ("curator_deliveries", "run", "curator_runs"),
    ("curator_delivery_instances", "delivery", "curator_deliveries"),
    ("curator_sent", "delivery", "curator_deliveries"),
)
"""Tables whose rows belong to one of another: the table, its column, and the other table."""

WORK = ("curator_spool", "curator_anonymized_instances")
"""Tables that hold something only while a job is under way."""


@dataclass(frozen=True)
class Gauge:
    """What a server uses at one moment.

    Attributes
    ----------
    resident : float
        Megabytes of memory.
    threads, files : int
        Threads, and open files and sockets, of its process.
    temporary : frozenset of str
        Files in its /tmp.
    rows : dict
        Rows by table.
    """

    resident: float
    threads: int
    files: int
    temporary: frozenset[str]
    rows: dict[str, int]


def gauge(server: OrthancServer) -> Gauge:
    """Measure a server that runs in a root file system."""
    process = Path(f"/proc/{server.pid}")
    pages = int((process / "statm").read_text().split()[1])
    temporary = process / "root" / "tmp"
    with database(server) as connection:
        rows = {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
            for table in _tables(connection)
        }
    return Gauge(
        resident=pages * 4096 / 1e6,
        threads=len(list((process / "task").iterdir())),
        files=len(list((process / "fd").iterdir())),
        temporary=frozenset(str(one.relative_to(temporary)) for one in temporary.rglob("*")),
        rows=rows,
    )


def orphans(server: OrthancServer) -> dict[str, int]:
    """Count, by table, rows whose parent is not there."""
    with database(server) as connection:
        found = {
            table: connection.execute(
                f"SELECT count(*) FROM {table} WHERE {column} NOT IN (SELECT id FROM {parent})"  # noqa: S608
            ).fetchone()[0]
            for table, column, parent in PARENTS
        }
    return {table: count for table, count in found.items() if count}


def states(server: OrthancServer, table: str) -> set[str]:
    """Return the states of all rows of a table."""
    with database(server) as connection:
        return {one for (one,) in connection.execute(f"SELECT DISTINCT state FROM {table}")}  # noqa: S608


def kept_for_work(server: OrthancServer) -> list[str]:
    """Return the tables of `WORK` that hold something."""
    with database(server) as connection:
        return [one for one in WORK if connection.execute(f"SELECT 1 FROM {one}").fetchone()]  # noqa: S608


@contextmanager
def database(server: OrthancServer) -> Iterator[sqlite3.Connection]:
    """Open Curator's database to read."""
    path = server.storage / "curator.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
        yield connection


def _tables(connection: sqlite3.Connection) -> list[str]:
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'curator_%'"
    return sorted(name for (name,) in connection.execute(query))
