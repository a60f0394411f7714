"""What anonymization needs before Orthanc starts: the key, tables, profiles.

Whatever is wrong with them stops the start, all of it in one message.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curator.anonymize import used_keys
from curator.anonymize.catalog import Catalog, Reader, Users
from curator.anonymize.definitions import define
from curator.anonymize.keyfile import VARIABLE, KeyFileError, Keyring, keyring, private_key
from curator.anonymize.keys import Keys, derived
from curator.anonymize.lookup_tables import load_tables
from curator.anonymize.mapping import Mappings
from curator.anonymize.profile_store import ProfileStore
from curator.anonymize.sequential import Sequential
from curator.anonymize.shipped import shipped
from curator.anonymize.tables import load
from curator.config import ConfigurationError, Settings, index_directory
from curator.jobs import ACTIVE
from curator.store import Store

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Anonymization:
    """All that anonymization has, apart from instances.

    Parameters
    ----------
    tables : mapping
        Tables of the configuration.
    reidentify_key : bytes or None
        Private key (PEM) that opens what profiles have encrypted, if there is one.
    """

    catalog: Catalog
    keyring: Keyring
    tables: Mapping[str, Mapping[str, str]] = field(repr=False)
    sequential: Sequential
    mappings: Mappings
    allow_mapping_export: bool
    reidentify_key: bytes | None = field(repr=False)

    @property
    def keys(self) -> Keys:
        """The keys in use."""
        return self.keyring.current


def prepare(
    settings: Settings,
    configuration: dict[str, Any],
    directory: Path,
    environ: Mapping[str, str],
    store: Store,
) -> Anonymization:
    """Read what the configuration names, and make the key at the first start.

    Parameters
    ----------
    directory : Path
        What relative paths of the configuration start from.

    Raises
    ------
    ConfigurationError
        With every problem.
    """
    problems: list[str] = []
    paths = {name: directory / file for name, file in settings.lookup_tables.items()}
    tables = load_tables(paths, problems)
    key_file = _path(directory, settings.key_file)
    default = index_directory(configuration, directory) / "curator.key"
    ring = _keyring(key_file, environ, default, used_keys.known(store), problems)
    reader = Reader(tables, None if ring is None else ring.identifiers)
    profiles = _path(directory, settings.profiles_directory)
    defined = define(settings.profiles, profiles, reader, problems)
    reidentify_key = _private_key(_path(directory, settings.reidentify_key_file), problems)
    if problems or ring is None:
        raise ConfigurationError(problems)
    used_keys.note(store, ring.current.identifier)
    catalog = Catalog(shipped(), defined, ProfileStore(store), load(), reader, [jobs_with(store)])
    catalog.warn_of_hidden()
    return Anonymization(
        catalog,
        ring,
        tables,
        Sequential(store, [derived(master).pseudonyms for master in ring.masters]),
        Mappings(store),
        settings.allow_mapping_export,
        reidentify_key,
    )


def jobs_with(store: Store) -> Users:
    """Return what tells the unfinished jobs that anonymize with a profile."""

    def users(name: str) -> list[str]:
        profiles = ((row["id"], row["request"].get("Profile")) for row in store.jobs(ACTIVE))
        return [
            f"job {job_id}"
            for job_id, profile in profiles
            if isinstance(profile, dict) and profile.get("Name") == name
        ]

    return users


def _path(directory: Path, name: str | None) -> Path | None:
    return None if name is None else directory / name


def _keyring(
    configured: Path | None,
    environ: Mapping[str, str],
    default: Path,
    used: Sequence[str],
    problems: list[str],
) -> Keyring | None:
    try:
        if configured is None and VARIABLE not in environ:
            default.parent.mkdir(parents=True, exist_ok=True)  # Orthanc makes its own only later
        path = configured or default
        is_new = VARIABLE not in environ and not path.exists()
        if is_new and used:
            problems.append(
                f"$.Curator.KeyFile: {path} does not exist, but this database has worked with the"
                f" key {', '.join(used)}: bring the file back, or put another key there, with which"
                " patients get other pseudonyms, UIDs and dates"
            )
            return None
        ring = keyring(configured, environ, default)
        if is_new:
            logger.warning(
                "There was no key, %s is made with the key %s: keep a copy in a safe place",
                path,
                ring.current.identifier,
            )
        return ring
    except KeyFileError as error:
        problems.append(f"$.Curator.KeyFile: {error}")
    except OSError as error:
        problems.append(f"$.Curator.KeyFile: {default} cannot be created: {error.strerror}")
    return None


def _private_key(path: Path | None, problems: list[str]) -> bytes | None:
    if path is None:
        return None
    try:
        return private_key(path)
    except KeyFileError as error:
        problems.append(f"$.Curator.ReidentifyKeyFile: {error}")
        return None
