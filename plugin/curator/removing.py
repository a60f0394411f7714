"""Delete instances, each only while it is still the file that an operation has read."""

from collections.abc import Sequence

from curator.access import Access
from curator.jobs import Job

#: Instances that are looked at, and then deleted in one call.
BATCH = 8


def delete_unchanged(access: Access, files: Sequence[tuple[str, str]], job: Job) -> int:
    """Delete instances, and parents that this leaves empty; pass over those that are gone.

    Parameters
    ----------
    files : sequence of (str, str)
        Orthanc identifiers, each with the storage identifier that its file had.

    Returns
    -------
    int
        How many others have overwritten meanwhile: these are kept.
    """
    overwritten: list[str] = []

    def delete(batch: Sequence[tuple[str, str]]) -> None:
        now = [(one, uuid, access.gateway.file_uuid(one)) for one, uuid in batch]
        overwritten.extend(one for one, uuid, there in now if there not in (uuid, None))
        access.gateway.delete_instances([one for one, uuid, there in now if there == uuid])

    batches = [files[start : start + BATCH] for start in range(0, len(files), BATCH)]
    for _ in access.in_parallel(delete, batches, job):
        pass
    return len(overwritten)
