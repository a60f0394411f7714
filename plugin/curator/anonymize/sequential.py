"""Sequential pseudonyms: the first patient gets 1, the next one 2, and so on, once and for all.

The table has no patient in it, only an HMAC of each: who has the table but not the key cannot tell
who is who.
"""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from curator.store import Store, pseudonym_counters, pseudonyms

#: Numbers that stay in memory; a job asks for the same few patients again and again.
REMEMBERED = 4096

#: Digits that a number has at least, so that lists of pseudonyms sort.
DIGITS = 6


class Sequential:
    """Pseudonyms that count, from the database.

    Calls at the same time, from other threads or other servers on the same database, never get the
    same number for two patients, nor two numbers for one.

    Parameters
    ----------
    keys : sequence of bytes
        Hide the originals in the database, the last one those that are new; by the others, patients
        are known again who got their numbers before the key was changed.
    """

    def __init__(self, store: Store, keys: Sequence[bytes]) -> None:
        self._store = store
        self._keys = tuple(keys)
        self._cached = lru_cache(REMEMBERED)(self._number)

    def __call__(self, prefix: str, original: str) -> str:
        """Return the pseudonym of a patient among those with a prefix, a new one if need be."""
        return _text(prefix, self._cached(prefix, self._hidden(prefix, original)))

    def preview(self) -> Callable[[str, str], str]:
        """Return a function that tells what pseudonyms would be given, and gives none.

        It counts on from the last number that is given out now.
        """
        given: dict[tuple[str, tuple[str, ...]], int] = {}
        last: dict[str, int] = {}

        def pseudonym(prefix: str, original: str) -> str:
            hidden = self._hidden(prefix, original)
            number = given.get((prefix, hidden)) or self._known(prefix, hidden)
            if number is None:
                number = last.get(prefix, self._last(prefix)) + 1
                last[prefix] = number
            given[prefix, hidden] = number
            return _text(prefix, number)

        return pseudonym

    def _hidden(self, prefix: str, original: str) -> tuple[str, ...]:
        """Hide an original by every key, the one in use last."""
        message = f"Sequential\0{prefix}\0{original}".encode("utf_8", "surrogatepass")
        return tuple(hmac.new(key, message, hashlib.sha256).hexdigest() for key in self._keys)

    def _number(self, prefix: str, hidden: tuple[str, ...]) -> int:
        number = self._known(prefix, hidden)
        while number is None:
            try:
                with self._store.transaction() as connection:
                    number = _next(connection, prefix, hidden)
            except IntegrityError:  # another server has just begun to count with this prefix
                number = self._known(prefix, hidden)
        return number

    def _known(self, prefix: str, hidden: tuple[str, ...]) -> int | None:
        rows = self._store.rows(_given(prefix, hidden))
        return rows[0]["number"] if rows else None

    def _last(self, prefix: str) -> int:
        counter = pseudonym_counters
        query = select(func.max(counter.c.last).label("last")).where(counter.c.prefix == prefix)
        return self._store.rows(query)[0]["last"] or 0


def _given(prefix: str, hidden: tuple[str, ...]) -> Any:
    """Ask for the number of a patient; of several, made while keys differed, for the first."""
    table = pseudonyms
    ours = (table.c.prefix == prefix, table.c.original.in_(hidden))
    return select(table.c.number).where(*ours).order_by(table.c.number).limit(1)


def _next(connection: Connection, prefix: str, hidden: tuple[str, ...]) -> int:
    """Give a number; whoever else counts with this prefix waits for the end of the transaction."""
    counter = pseudonym_counters
    ours = counter.c.prefix == prefix
    # Written first, even where the number stays: this is what makes the others wait.
    if not connection.execute(update(counter).where(ours).values(last=counter.c.last)).rowcount:
        connection.execute(insert(counter).values(prefix=prefix, last=0))
    known = connection.execute(_given(prefix, hidden)).scalar()
    if known is not None:
        return int(known)
    number = int(connection.execute(select(counter.c.last).where(ours)).scalar_one()) + 1
    connection.execute(update(counter).where(ours).values(last=number))
    row = {"prefix": prefix, "original": hidden[-1], "number": number}
    connection.execute(insert(pseudonyms).values(**row))
    return number


def _text(prefix: str, number: int) -> str:
    return f"{prefix}{number:0{DIGITS}d}"
