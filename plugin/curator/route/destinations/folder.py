"""Files below a directory of the configuration.

A file appears whole or not at all: it is written beside its place, flushed to the disk and renamed.
What is there already with the same content counts as delivered. Another version of the same
instance is replaced, as an archive does; another instance is never overwritten.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from curator.config import DestinationSettings
from curator.dicom import reader
from curator.dicom.errors import DicomError
from curator.dicom.reader import Header
from curator.dicom.tags import parse_path
from curator.gateway import Gateway
from curator.route.delivery import Confirm, Failure, Outcome, Package
from curator.route.destinations.abilities import refusal
from curator.route.destinations.classify import of_errno
from curator.route.destinations.file_path import PathTemplate
from curator.route.destinations.one_by_one import Attempt, Tally, file_of, send_one_by_one
from curator.route.kinds import DestinationKind, FailureKind

_OUTSIDE = Failure(FailureKind.PERMANENT, "the path leads out of the folder, by a symbolic link")
#: What tells instances apart, as Orthanc does it.
_IDENTITY = tuple(
    map(parse_path, ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"))
)

_TAKEN = Failure(FailureKind.PERMANENT, "another instance, or another file, is at its path")
_UNREADABLE = Failure(FailureKind.PERMANENT, "the instance cannot be read for its path")


class FolderDestination:
    """A directory of the configuration.

    Parameters
    ----------
    folder : str
        Its name there.
    root : Path
        The directory, absolute.
    template : Template
        Path of a file below it.
    default_charset : str
        Defined term for instances without Specific Character Set.
    """

    def __init__(
        self,
        folder: str,
        root: Path,
        template: PathTemplate,
        gateway: Gateway,
        settings: DestinationSettings,
        default_charset: str,
        clock: Callable[[], float],
    ) -> None:
        self.name = f"{DestinationKind.FOLDER}:{folder}"
        self._root = root
        self._template = template
        self._gateway = gateway
        self._settings = settings
        self._clock = clock
        self._default_charset = default_charset

    def send(self, package: Package, confirm: Confirm, stopping: Callable[[], bool]) -> Outcome:
        """Write instances."""
        refused = refusal(DestinationKind.FOLDER, package, self._settings.transcode)
        if refused is not None:
            return refused
        syntax = package.delivery.options.transcode or self._settings.transcode
        part = f".{package.delivery.id}.part"

        def write(instance: str) -> Failure | None:
            content = file_of(self._gateway, instance, syntax)
            if isinstance(content, Failure):
                return content
            try:
                return self._write(content, f".{instance}{part}")
            except OSError as error:
                return of_errno(error.errno)

        attempt = Attempt(confirm, stopping, Tally())
        name_thread = self._gateway.name_thread
        send_one_by_one(attempt, package.instances, write, self.is_back, name_thread, self._clock)
        return attempt.tally.outcome()

    def is_back(self) -> bool:
        """Tell whether the directory is there and can be written to."""
        return self._root.is_dir() and os.access(self._root, os.W_OK | os.X_OK)

    def test(self) -> dict[str, Any]:
        """Write a file, and delete it."""
        problem = writable(self._root)
        return {"Success": problem is None, "Answer": problem or "a file was written and deleted"}

    def _write(self, content: bytes, temporary: str) -> Failure | None:
        try:
            header = reader.read(
                content,
                {*self._template.paths, *_IDENTITY},
                default_charset=self._default_charset,
            )
        except DicomError:
            return _UNREADABLE
        identity = _identity(header)
        if not identity[-1]:
            return _UNREADABLE
        root = self._root.resolve(strict=True)
        target = root.joinpath(*self._template.fill(header.strings))
        if not target.parent.resolve().is_relative_to(root):
            return _OUTSIDE
        _make(target.parent)
        if os.path.lexists(target):
            if target.is_symlink() or not target.is_file():
                return _TAKEN
            existing = target.read_bytes()
            if existing == content:
                return None
            if _identity_of(existing, self._default_charset) != identity:
                return _TAKEN
        replace(target, content, temporary)
        return None


def replace(target: Path, content: bytes, temporary: str) -> None:
    """Write a file so that it is there whole, or as it was before.

    Parameters
    ----------
    temporary : str
        Name beside it, the same in every attempt: what a kill left there is overwritten.
    """
    beside = target.with_name(temporary)
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    _sync(target.parent)


def writable(directory: Path) -> str | None:
    """Return why no file can be written into a directory, None where one can."""
    probe = directory / f".curator-test-{os.getpid()}"
    try:
        probe.write_bytes(b"test")
        probe.unlink()
    except OSError as error:
        return of_errno(error.errno).answer
    return None


def _make(directory: Path) -> None:
    """Make a directory and those above it, so that they outlast a power cut."""
    if not directory.is_dir():
        _make(directory.parent)
        directory.mkdir(exist_ok=True)
        _sync(directory.parent)


def _sync(directory: Path) -> None:
    """Flush a directory to the disk, so that a rename outlasts a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _identity(header: Header) -> tuple[str | None, ...]:
    return tuple(header.string(path) for path in _IDENTITY)


def _identity_of(content: bytes, default_charset: str) -> tuple[str | None, ...] | None:
    try:
        return _identity(reader.read(content, _IDENTITY, default_charset=default_charset))
    except DicomError:
        return None
