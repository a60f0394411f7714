"""What routing keeps of itself in Curator's database."""

from typing import Any

from sqlalchemy import Connection, delete, insert, select

from curator.store import Store, route_state


class RouteState:
    """Values by key."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, key: str) -> Any:
        """Read a value, None where there is none."""
        found = self._store.rows(select(route_state.c.value).where(route_state.c.key == key))
        return found[0]["value"] if found else None

    def locked(self, key: str, connection: Connection) -> Any:
        """Read a value that nobody else changes before the transaction ends."""
        query = select(route_state.c.value).where(route_state.c.key == key).with_for_update()
        return connection.execute(query).scalar()

    def below(self, prefix: str) -> dict[str, Any]:
        """Read all values whose keys begin with a prefix, by what follows it."""
        query = select(route_state).where(route_state.c.key.startswith(prefix, autoescape=True))
        return {row["key"].removeprefix(prefix): row["value"] for row in self._store.rows(query)}

    def put(self, key: str, value: Any, connection: Connection) -> None:
        """Keep a value."""
        self.drop([key], connection)
        connection.execute(insert(route_state).values(key=key, value=value))

    def drop(self, keys: list[str], connection: Connection) -> None:
        """Forget values."""
        for key in keys:
            connection.execute(delete(route_state).where(route_state.c.key == key))
