"""Rules and destinations that a user has paused."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import delete, insert, select

from curator.jobs import timestamp
from curator.store import Row, Store, pauses


class PauseKind(StrEnum):
    """What can be paused."""

    RULE = "Rule"
    DESTINATION = "Destination"


@dataclass(frozen=True)
class Pause:
    """Something that is paused, since when and by whom."""

    kind: PauseKind
    name: str
    user: str
    created: str


class Pauses:
    """What is paused, in Curator's database, so that a restart does not set it going."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._listeners: list[Callable[[PauseKind, str], None]] = []

    def on_change(self, listener: Callable[[PauseKind, str], None]) -> None:
        """Tell a listener of whatever is paused or goes on."""
        self._listeners.append(listener)

    def paused(self, kind: PauseKind, name: str) -> bool:
        """Tell whether something is paused."""
        query = select(pauses.c.name).where(pauses.c.kind == kind, pauses.c.name == name)
        return bool(self._store.rows(query))

    def pause(self, kind: PauseKind, name: str, user: str) -> bool:
        """Pause something; False if it was paused already."""
        row = {"kind": kind, "name": name, "user": user, "created": timestamp()}
        with self._store.transaction() as connection:
            where = (pauses.c.kind == kind, pauses.c.name == name)
            if connection.execute(select(pauses.c.name).where(*where)).first():
                return False
            connection.execute(insert(pauses).values(**row))
        self._tell(kind, name)
        return True

    def resume(self, kind: PauseKind, name: str) -> bool:
        """Let something go on; False if it was not paused."""
        with self._store.transaction() as connection:
            where = (pauses.c.kind == kind, pauses.c.name == name)
            resumed = connection.execute(delete(pauses).where(*where)).rowcount
        if resumed:
            self._tell(kind, name)
        return bool(resumed)

    def all(self) -> list[Pause]:
        """Return whatever is paused, by kind and name."""
        query = select(pauses).order_by(pauses.c.kind, pauses.c.name)
        return [_pause(row) for row in self._store.rows(query)]

    def _tell(self, kind: PauseKind, name: str) -> None:
        for listener in self._listeners:
            listener(kind, name)


def _pause(row: Row) -> Pause:
    return Pause(PauseKind(row["kind"]), row["name"], row["user"], row["created"])
