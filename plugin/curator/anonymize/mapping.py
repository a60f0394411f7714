"""Which Patient ID became which: kept only for the profiles that ask for it, told as CSV."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from curator.store import Row, Store, mappings

#: Pairs that are kept in one transaction.
BATCH = 500

#: What a spreadsheet takes a cell for a formula by; an apostrophe has to be told apart from ours.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'", "|", "%")


class Mappings:
    """Old and new Patient IDs by profile, in the database.

    A Patient ID has several rows where the profile, or the key, was changed.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def note(self, profile: str, pairs: Mapping[str, str]) -> None:
        """Keep what old Patient IDs have become; what is kept already stays once.

        Parameters
        ----------
        profile : str
            Name of the profile.
        pairs : mapping of str to str
            Old to new.
        """
        for some in _batches(pairs):
            while missing := self._missing(profile, some):
                try:
                    with self._store.transaction() as connection:
                        connection.execute(insert(mappings), missing)
                except IntegrityError:  # another job has just kept some of them
                    continue

    def pairs(self, profile: str) -> list[tuple[str, str]]:
        """Return old and new Patient IDs, sorted."""
        query = (
            select(mappings.c.id_old, mappings.c.id_new)
            .where(mappings.c.profile == profile)
            .order_by(mappings.c.id_old, mappings.c.id_new)
        )
        return [(row["id_old"], row["id_new"]) for row in self._store.rows(query)]

    def _missing(self, profile: str, pairs: Sequence[tuple[str, str]]) -> list[Row]:
        """Return the rows of those pairs that are not kept yet."""
        table = mappings
        known = (table.c.profile == profile, table.c.id_old.in_([old for old, _ in pairs]))
        rows = self._store.rows(select(table.c.id_old, table.c.id_new).where(*known))
        kept = {(row["id_old"], row["id_new"]) for row in rows}
        return [
            {"profile": profile, "id_old": old, "id_new": new}
            for old, new in pairs
            if (old, new) not in kept
        ]


def _batches(pairs: Mapping[str, str]) -> Iterator[list[tuple[str, str]]]:
    items = iter(pairs.items())
    while batch := list(islice(items, BATCH)):
        yield batch


def as_csv(pairs: Iterable[tuple[str, str]]) -> str:
    """Write a mapping as CSV with the columns ``id_old`` and ``id_new``.

    Patient IDs come from outside. One that a spreadsheet would run as a formula gets an apostrophe
    in front, and so does one that begins with an apostrophe: who reads the file by program takes
    one away and has the value.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(("id_old", "id_new"))
    writer.writerows((_harmless(old), _harmless(new)) for old, new in pairs)
    return out.getvalue()


def _harmless(value: str) -> str:
    return f"'{value}" if value.startswith(_FORMULA) else value
