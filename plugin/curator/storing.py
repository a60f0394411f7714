"""Store an instance, and see that Orthanc has it as it was written."""

from collections.abc import Callable

from curator.dicom import engine, reader
from curator.errors import CuratorError
from curator.gateway import Gateway

#: Statuses of the core after which an instance is stored.
_STORED = ("Success", "AlreadyStored")


class NotStored(CuratorError):
    """The core took a new instance, but does not have it as it was written."""


def store(gateway: Gateway, content: bytes, orthanc_id: str) -> str:
    """Store an instance and return the core's status.

    Raises
    ------
    NotStored
        If it is not stored, or not under this identifier.
    """
    stored = gateway.store(content)
    if stored.status not in _STORED:
        raise NotStored(f"Instance {orthanc_id} was not stored: {stored.status}")
    if stored.orthanc_id != orthanc_id:
        raise NotStored(
            f"Instance {orthanc_id} was stored as {stored.orthanc_id}: this server changes what it"
            " receives"
        )
    return stored.status


def check_stored(
    gateway: Gateway,
    orthanc_id: str,
    written: bytes,
    decoded_before: Callable[[], bytes] | None = None,
) -> bytes:
    """Read an instance back; a server that transcodes has to leave the pixels alone.

    Parameters
    ----------
    decoded_before : callable, optional
        Returns the decoded pixels that it has to have; without it, a transcoded instance has to
        be what the core decodes from it again.

    Returns
    -------
    bytes
        The instance as it is stored.

    Raises
    ------
    NotStored
        If it is another one.
    """
    stored = gateway.read(orthanc_id)
    if stored == written:
        return stored
    if engine.transfer_syntax(stored) == engine.transfer_syntax(written):
        digest = reader.pixel_digest(written)
        same = digest is not None and digest == reader.pixel_digest(stored)
    else:
        same = decoded_before is not None and decoded_before() == gateway.decoded(orthanc_id)
    if not same:
        raise NotStored(f"Instance {orthanc_id} differs from what was written")
    return stored
