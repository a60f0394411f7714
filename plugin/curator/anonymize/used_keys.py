"""Which keys a database has worked with: a lost one is not replaced by a new one in silence."""

from contextlib import suppress

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from curator.store import Store, used_keys


def known(store: Store) -> list[str]:
    """Return the identifiers of the keys that were in use, ascending."""
    query = select(used_keys.c.identifier).order_by(used_keys.c.identifier)
    return [row["identifier"] for row in store.rows(query)]


def note(store: Store, identifier: str) -> None:
    """Note that a key is in use."""
    if identifier in known(store):
        return
    with suppress(IntegrityError), store.transaction() as connection:  # another server was faster
        connection.execute(insert(used_keys).values(identifier=identifier))
