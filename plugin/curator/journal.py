"""The journal: every operation with who, when, from where, what and how to get back.

An operation is entered when it is asked for, gets its plan before the first change, and what it
takes to undo it before the first source goes. Entries are kept for a configured time.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from curator.jobs import ACTIVE, timestamp
from curator.store import (
    Row,
    Store,
    follows,
    jobs,
    operation_instances,
    operation_resources,
    operations,
    spool,
)

#: All about an operation but its plan, which may be large.
_SUMMARY = [column for column in operations.columns if column.name != "plan"]

#: Number of the DICOM file among the attachments of an instance.
DICOM = 1


class Action(StrEnum):
    """What an operation has done to an instance."""

    COPIED = "Copied"
    MOVED = "Moved"
    OVERWRITTEN = "Overwritten"
    DROPPED = "Dropped"


@dataclass(frozen=True)
class Entry:
    """An operation that is asked for.

    Attributes
    ----------
    id : str
        Chosen by the user (``OperationId``) or by us.
    origin : dict
        Where the request came from, as far as Orthanc tells a plugin.
    """

    id: str
    kind: str
    level: str
    resource: str
    job: str
    user: str
    origin: dict[str, str]
    request: dict[str, Any]


@dataclass(frozen=True)
class Change:
    """What an operation does to one instance.

    Attributes
    ----------
    new : str
        What it has become; for a dropped one, what was kept in its place.
    file_uuid : str
        The file that it has become, once it is written.
    state : dict
        What hung on it before.
    way_back : bytes or None
        Makes the old file from the new one; None where the old one is kept.
    """

    action: Action
    old: str
    new: str
    old_uid: str
    new_uid: str
    file_uuid: str
    state: dict[str, Any]
    way_back: bytes | None


@dataclass(frozen=True)
class State:
    """What hung on a patient, study or series before an operation."""

    level: str
    orthanc_id: str
    state: dict[str, Any]


@dataclass(frozen=True)
class Follow:
    """A series or study that has moved: what arrives under its identifier later goes after it."""

    orthanc_id: str
    level: str
    operation: str


class Taken(Exception):
    """There is an operation of this identifier already."""


class Journal:
    """Operations in Curator's database."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._followed: dict[str, Follow] | None = None
        self._notice: Callable[[str], None] = lambda _orthanc_id: None

    # Operations

    def enter(self, entry: Entry) -> None:
        """Enter an operation.

        Raises
        ------
        Taken
            If there is one with this identifier.
        """
        row = {
            **vars(entry),
            "created": timestamp(),
            "ended": "",
            "plan": None,
            "content": {},
            "done": False,
            "reverted_by": None,
        }
        try:
            with self._store.transaction() as connection:
                connection.execute(insert(operations).values(**row))
        except IntegrityError:
            raise Taken from None

    def operation(self, operation_id: str) -> Row | None:
        """Read an operation without its plan."""
        rows = self._store.rows(select(*_SUMMARY).where(operations.c.id == operation_id))
        return rows[0] if rows else None

    def operations(self) -> list[Row]:
        """Read all operations, the latest first."""
        order = (operations.c.created.desc(), operations.c.id)
        return self._store.rows(select(*_SUMMARY).order_by(*order))

    def plan(self, operation_id: str) -> Any:
        """Read the plan of an operation, None before it is made."""
        rows = self._store.rows(select(operations.c.plan).where(operations.c.id == operation_id))
        return rows[0]["plan"] if rows else None

    def set_plan(self, operation_id: str, plan: dict[str, Any]) -> None:
        """Keep the plan."""
        self._update(operation_id, plan=plan)

    def finish(self, operation_id: str, content: dict[str, Any]) -> None:
        """Note that an operation is done, with its result."""
        self._update(operation_id, done=True, ended=timestamp(), content=content)

    def reverted(self, operation_id: str, by: str | None) -> None:
        """Note which operation has taken this one back."""
        self._update(operation_id, reverted_by=by)

    def forget(self, operation_id: str) -> None:
        """Delete an operation with all that belongs to it."""
        self._delete([operation_id])
        self._forget_followed()

    def expire(self, days: int) -> None:
        """Delete what is older than some days, except what a job has still to finish or undo."""
        unfinished = select(jobs.c.id).where(or_(jobs.c.state.in_(ACTIVE), jobs.c.phase != ""))
        old = select(operations.c.id).where(
            operations.c.created < _in_days(-days),
            or_(operations.c.done, operations.c.job.not_in(unfinished)),
        )
        self._delete([row["id"] for row in self._store.rows(old)])
        with self._store.transaction() as connection:
            connection.execute(delete(follows).where(follows.c.expires < timestamp()))
        self._forget_followed()

    # What an operation changes

    def record(self, operation_id: str, changes: Sequence[Change], states: Iterable[State]) -> None:
        """Keep what it takes to undo an operation, instead of what was kept before."""
        with self._store.transaction() as connection:
            for table in (operation_instances, operation_resources):
                connection.execute(delete(table).where(table.c.operation == operation_id))
            rows: list[Row] = [
                {"operation": operation_id, "position": position, **vars(change)}
                for position, change in enumerate(changes)
            ]
            resources: list[Row] = [{"operation": operation_id, **vars(one)} for one in states]
            if rows:
                connection.execute(insert(operation_instances), rows)
            if resources:
                connection.execute(insert(operation_resources), resources)

    def discard(self, operation_id: str) -> None:
        """Let go of all that is kept of an operation that has left nothing."""
        with self._store.transaction() as connection:
            for table in (operation_instances, operation_resources, spool):
                connection.execute(delete(table).where(table.c.operation == operation_id))

    def changes(self, operation_id: str) -> Iterator[Change]:
        """Read what an operation does to instances, in the order of its plan."""
        query = (
            select(operation_instances)
            .where(operation_instances.c.operation == operation_id)
            .order_by(operation_instances.c.position)
        )
        for row in self._store.rows(query):
            fields = {name: row[name] for name in Change.__dataclass_fields__}
            yield Change(**fields | {"action": Action(row["action"])})

    def states(self, operation_id: str) -> list[State]:
        """Read what hung on patients, studies and series before an operation."""
        query = select(operation_resources).where(operation_resources.c.operation == operation_id)
        return [
            State(row["level"], row["orthanc_id"], row["state"]) for row in self._store.rows(query)
        ]

    def set_files(self, operation_id: str, file_uuids: Mapping[str, str]) -> None:
        """Keep the files that instances have become, by their new identifiers."""
        table = operation_instances
        with self._store.transaction() as connection:
            for new, file_uuid in file_uuids.items():
                connection.execute(
                    update(table)
                    .where(table.c.operation == operation_id, table.c.new == new)
                    .values(file_uuid=file_uuid)
                )

    def renew_files(self, file_uuids: Mapping[str, str]) -> None:
        """Put new files in the place of old ones, which they equal, in all operations."""
        table = operation_instances
        with self._store.transaction() as connection:
            for old, new in file_uuids.items():
                connection.execute(
                    update(table).where(table.c.file_uuid == old).values(file_uuid=new)
                )

    # Files that are on their way into Orthanc while the old ones are gone

    def spool(self, operation_id: str, files: Mapping[tuple[str, int], bytes]) -> None:
        """Keep files by the resource and the number of the attachment, over those from before."""
        with self._store.transaction() as connection:
            for (orthanc_id, number), content in files.items():
                connection.execute(
                    delete(spool).where(
                        spool.c.operation == operation_id,
                        spool.c.orthanc_id == orthanc_id,
                        spool.c.number == number,
                    )
                )
                connection.execute(
                    insert(spool).values(
                        operation=operation_id,
                        orthanc_id=orthanc_id,
                        number=number,
                        content=content,
                    )
                )

    def spooled(self, operation_id: str) -> list[tuple[str, int]]:
        """Return what is kept of an operation."""
        query = select(spool.c.orthanc_id, spool.c.number).where(spool.c.operation == operation_id)
        return [(row["orthanc_id"], row["number"]) for row in self._store.rows(query)]

    def spooled_file(self, operation_id: str, orthanc_id: str, number: int) -> bytes | None:
        """Read a file that is kept, None if it is not."""
        rows = self._store.rows(
            select(spool.c.content).where(
                spool.c.operation == operation_id,
                spool.c.orthanc_id == orthanc_id,
                spool.c.number == number,
            )
        )
        return rows[0]["content"] if rows else None

    def unspool(self, operation_id: str, orthanc_ids: Sequence[str]) -> None:
        """Let go of the files of some resources."""
        with self._store.transaction() as connection:
            connection.execute(
                delete(spool).where(
                    spool.c.operation == operation_id, spool.c.orthanc_id.in_(orthanc_ids)
                )
            )

    # What arrives late

    def follow(self, found: Iterable[Follow], days: int) -> None:
        """Remember what has moved, for some days."""
        moved = list(found)
        with self._store.transaction() as connection:
            for one in moved:
                old = follows.c.orthanc_id == one.orthanc_id
                connection.execute(delete(follows).where(old))
                connection.execute(insert(follows).values(**vars(one), expires=_in_days(days)))
        self._forget_followed()
        for one in moved:
            self._notice(one.orthanc_id)

    def watch(self, notice: Callable[[str], None]) -> None:
        """Let someone know of everything that has moved, as soon as it is remembered."""
        self._notice = notice

    def unfollow(self, operation_id: str) -> None:
        """Forget what an operation has moved."""
        with self._store.transaction() as connection:
            connection.execute(delete(follows).where(follows.c.operation == operation_id))
        self._forget_followed()

    def stop_following(self, orthanc_ids: Iterable[str]) -> None:
        """Forget that some series and studies have moved, since they are there again on purpose."""
        with self._store.transaction() as connection:
            for orthanc_id in orthanc_ids:
                connection.execute(delete(follows).where(follows.c.orthanc_id == orthanc_id))
        self._forget_followed()

    def followed(self) -> dict[str, Follow]:
        """Return what has moved and is still remembered, by its old identifier.

        It is asked for at every new series, so it stays in memory.
        """
        with self._lock:
            if self._followed is None:
                query = select(follows).where(follows.c.expires >= timestamp())
                self._followed = {
                    row["orthanc_id"]: Follow(row["orthanc_id"], row["level"], row["operation"])
                    for row in self._store.rows(query)
                }
            return self._followed

    def _forget_followed(self) -> None:
        with self._lock:
            self._followed = None

    def _update(self, operation_id: str, **values: object) -> None:
        with self._store.transaction() as connection:
            connection.execute(
                update(operations).where(operations.c.id == operation_id).values(**values)
            )

    def _delete(self, operation_ids: Sequence[str]) -> None:
        if not operation_ids:
            return
        with self._store.transaction() as connection:
            for table in (operation_instances, operation_resources, spool, follows):
                connection.execute(delete(table).where(table.c.operation.in_(operation_ids)))
            connection.execute(delete(operations).where(operations.c.id.in_(operation_ids)))


def _in_days(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y%m%dT%H%M%S.%f")
