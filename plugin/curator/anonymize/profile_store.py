"""Profiles that came in by REST: each version that ever was in use, and which one is now."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

from curator.errors import Conflict
from curator.jobs import timestamp
from curator.store import Row, Store, profile_versions, profiles


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version of a profile.

    Parameters
    ----------
    content : dict
        The JSON of the profile.
    user : str
        Who put it here first, as far as authentication tells.
    created : str
        When.
    """

    name: str
    version: str
    content: dict[str, Any]
    user: str
    created: str


class ProfileStore:
    """Profiles in Curator's database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def current(self, name: str) -> StoredVersion | None:
        """Read the version that is in use, None where there is none."""
        found = self._select(profiles.c.name == name)
        return found[0] if found else None

    def all_current(self) -> list[StoredVersion]:
        """Read the versions that are in use, by name."""
        return self._select()

    def versions(self, name: str) -> list[StoredVersion]:
        """Read all versions, the latest first, also of a profile that was deleted."""
        order = (profile_versions.c.created.desc(), profile_versions.c.version)
        query = select(profile_versions).where(profile_versions.c.name == name).order_by(*order)
        return [_version(row) for row in self._store.rows(query)]

    def put(
        self,
        name: str,
        version: str,
        content: dict[str, Any],
        user: str,
        same: Callable[[dict[str, Any]], bool],
    ) -> None:
        """Keep a version, unless it is kept already, and use it from now on.

        Parameters
        ----------
        same : callable
            Tells whether the content of a version that is kept says the same.

        Raises
        ------
        Conflict
            If this version is kept with another content, or someone else puts the same profile at
            the same moment.
        """
        row = {"name": name, "version": version, "content": content, "user": user}
        kept = (profile_versions.c.name == name, profile_versions.c.version == version)
        try:
            with self._store.transaction() as connection:
                connection.execute(delete(profiles).where(profiles.c.name == name))
                connection.execute(insert(profiles).values(name=name, version=version))
                found = connection.execute(select(profile_versions.c.content).where(*kept)).scalar()
                if found is None:
                    values = {**row, "created": timestamp()}
                    connection.execute(insert(profile_versions).values(**values))
                elif not same(found):
                    raise Conflict(
                        f'Version "{version}" of the profile "{name}" is kept with another content,'
                        ' and instances may have been made with it: raise "Version"'
                    )
        except IntegrityError:
            raise Conflict(f'The profile "{name}" was put twice at the same moment') from None

    def delete(self, name: str) -> None:
        """Use a profile no more; its versions stay readable."""
        with self._store.transaction() as connection:
            connection.execute(delete(profiles).where(profiles.c.name == name))

    def _select(self, *where: Any) -> list[StoredVersion]:
        in_use = (
            profile_versions.c.name == profiles.c.name,
            profile_versions.c.version == profiles.c.version,
        )
        query = select(profile_versions).where(*in_use, *where).order_by(profile_versions.c.name)
        return [_version(row) for row in self._store.rows(query)]


def _version(row: Row) -> StoredVersion:
    return StoredVersion(**{name: row[name] for name in StoredVersion.__dataclass_fields__})
