"""The secrets on disk: the master key, and the private key that re-identifies.

The master key is a line of at least 64 hexadecimal digits, in a file that only its owner may read,
or in the environment. A file may hold several keys, one in a line: the last one is in use, the ones
above it are those from before, which :meth:`Keyring.get` finds by their identifiers. Lines that
begin with ``#`` are remarks.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from curator.anonymize.keys import Keys, derived

VARIABLE = "CURATOR_KEY"
"""The environment variable that may hold the master key."""

KEY_BYTES = 32
"""Length of the keys that are made, and the shortest that is taken."""

_HEXADECIMAL = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_REMARK = """\
# Master key of Curator. Pseudonyms, UIDs and shifts of dates derive from it: keep a copy in a safe
# place, and show it to nobody. To change it, add a line with a new key below.
"""


class KeyFileError(ValueError):
    """A key is missing, unreadable, too short, or readable by others; never says what it is."""


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys of a site, from the oldest to the one in use.

    Parameters
    ----------
    masters : tuple of bytes
        Master keys, at least one.
    """

    masters: tuple[bytes, ...] = field(repr=False)

    @property
    def current(self) -> Keys:
        """The keys in use."""
        return derived(self.masters[-1])

    @property
    def identifiers(self) -> tuple[str, ...]:
        """What names the keys, and tells nothing about them."""
        return tuple(derived(master).identifier for master in self.masters)

    def get(self, identifier: str) -> Keys | None:
        """Return the keys with this identifier, None where the ring has none."""
        rings = map(derived, self.masters)
        return next((keys for keys in rings if keys.identifier == identifier), None)


def keyring(configured: Path | None, environ: Mapping[str, str], default: Path) -> Keyring:
    """Return all keys, and make one at the first start.

    Parameters
    ----------
    configured : Path or None
        The file that the configuration names.
    environ : mapping of str to str
        The environment; ``CURATOR_KEY`` in it stands for a file.
    default : Path
        The file where the configuration names none.

    Raises
    ------
    KeyFileError
        If there is no usable key.
    """
    if VARIABLE in environ:
        if configured is not None:
            raise KeyFileError(
                f"a key is both in the environment ({VARIABLE}) and in a file; name one of them"
            )
        return Keyring(_parsed(environ[VARIABLE], f"{VARIABLE} in the environment"))
    path = configured or default
    text = _read(path)
    if text is None:
        _create(path)
        text = _read(path)
    return Keyring(_parsed(text or "", str(path)))


def private_key(path: Path) -> bytes:
    """Return the PEM file with the private key that opens what profiles have encrypted.

    Raises
    ------
    KeyFileError
        If it is missing, unreadable, or readable by others than its owner.
    """
    text = _read(path)
    if text is None:
        raise KeyFileError(f"{path} does not exist")
    return text.encode("ascii")


def _read(path: Path) -> str | None:
    """Return the text of a file that only its owner may read, None where there is none."""
    try:
        with path.open("rb") as file:
            _check_mode(path, os.fstat(file.fileno()).st_mode)
            return file.read().decode("ascii")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise KeyFileError(f"{path} is not text in ASCII") from None


def _check_mode(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise KeyFileError(f"{path} is not a file")
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):  # elsewhere it says nothing
        raise KeyFileError(
            f"{path} can be read or written by others (mode {stat.S_IMODE(mode):04o}), "
            "it has to have mode 0600 or 0400"
        )


def _parsed(text: str, where: str) -> tuple[bytes, ...]:
    lines = [line.strip() for line in text.splitlines()]
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys:
        raise KeyFileError(f"{where} holds no key")
    return tuple(_key(line, f"{where}, key {number}") for number, line in enumerate(keys, start=1))


def _key(line: str, where: str) -> bytes:
    if not _HEXADECIMAL.fullmatch(line):
        raise KeyFileError(f"{where} is not an even number of hexadecimal digits")
    key = bytes.fromhex(line)
    if len(key) < KEY_BYTES:
        raise KeyFileError(f"{where} has {len(key)} bytes, it has to have {KEY_BYTES} or more")
    return key


def _create(path: Path) -> None:
    """Make a key file, complete from the moment it is there; one that another has made stays."""
    text = f"{_REMARK}{secrets.token_hex(KEY_BYTES)}\n"
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        complete = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:  # mode 0600 by mkstemp
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            _link(complete, path)
        finally:
            complete.unlink()
        _sync(path.parent)
    except OSError as error:
        raise KeyFileError(f"{path} cannot be created: {error.strerror}") from None


def _link(complete: Path, path: Path) -> None:
    try:
        path.hardlink_to(complete)
    except FileExistsError:
        return  # another server has been faster, and its key is the one


def _sync(directory: Path) -> None:
    """See that the name of a new file outlives a loss of power, where directories can be opened."""
    if os.name != "posix":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
