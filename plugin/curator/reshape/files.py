"""Files that stay in memory between the plan and the copy, as far as they fit."""

import threading


class FileCache:
    """Keeps files up to a number of bytes, and gives each out once.

    Reading a file is a good part of the work on an instance, and a plan has to read all of them
    before the first is copied.

    Parameters
    ----------
    capacity : int
        Bytes; 0 keeps nothing.
    """

    def __init__(self, capacity: int) -> None:
        self._free = capacity
        self._files: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def keep(self, instance_orthanc_id: str, dicom: bytes) -> None:
        """Keep a file if there is room for it."""
        with self._lock:
            if len(dicom) <= self._free:
                self._free -= len(dicom)
                self._files[instance_orthanc_id] = dicom

    def take(self, instance_orthanc_id: str) -> bytes | None:
        """Give out a file and let go of it; None if it is not kept."""
        with self._lock:
            dicom = self._files.pop(instance_orthanc_id, None)
            self._free += len(dicom or b"")
            return dicom
