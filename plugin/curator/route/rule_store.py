"""Rule sets that came in by REST: every one that ever was in use; the last one is."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from curator.errors import Conflict
from curator.jobs import timestamp
from curator.store import Row, Store, rule_sets


@dataclass(frozen=True, slots=True)
class StoredSet:
    """A rule set.

    Attributes
    ----------
    number : int
        Counts up; 0 where no set was put yet.
    content : dict
        ``Rules`` and ``Receive``, as they were written.
    user : str
        Who put it here, as far as authentication tells.
    created : str
        When.
    """

    number: int
    content: dict[str, Any]
    user: str
    created: str

    @property
    def rules(self) -> list[dict[str, Any]]:
        """The rules of the set."""
        return list(self.content.get("Rules", ()))

    @property
    def receive(self) -> list[dict[str, Any]]:
        """The rules of the set at reception."""
        return list(self.content.get("Receive", ()))


NO_SET = StoredSet(0, {}, "", "")


class RuleStore:
    """Rule sets in Curator's database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def current(self) -> StoredSet:
        """Read the set that is in use."""
        found = self.history(limit=1)
        return found[0] if found else NO_SET

    def get(self, number: int) -> StoredSet | None:
        """Read any set, None where there is none of this number."""
        rows = self._store.rows(select(rule_sets).where(rule_sets.c.number == number))
        return _stored(rows[0]) if rows else None

    def history(self, since: int = 0, limit: int | None = None) -> list[StoredSet]:
        """Read sets, the latest first.

        Parameters
        ----------
        since : int
            Sets that are passed over.
        """
        query = select(rule_sets).order_by(rule_sets.c.number.desc()).offset(since).limit(limit)
        return [_stored(row) for row in self._store.rows(query)]

    def put(self, content: dict[str, Any], user: str, after: int) -> StoredSet:
        """Use a set from now on.

        Parameters
        ----------
        after : int
            Number of the set that it was made from.

        Raises
        ------
        Conflict
            If someone else has put one meanwhile.
        """
        stored = StoredSet(after + 1, content, user, timestamp())
        row = {name: getattr(stored, name) for name in StoredSet.__dataclass_fields__}
        try:
            with self._store.transaction() as connection:
                connection.execute(insert(rule_sets).values(**row))
        except IntegrityError:
            raise Conflict(
                f"Someone else has put rule set {stored.number} at the same moment: look at it, and"
                " try again"
            ) from None
        return stored


def _stored(row: Row) -> StoredSet:
    return StoredSet(**{name: row[name] for name in StoredSet.__dataclass_fields__})
