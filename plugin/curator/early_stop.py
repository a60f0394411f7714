"""Notice that Orthanc is about to stop before it says so.

The core hands every change to Lua first, and tells plugins of its stop only when Lua has had them
all. A job that stores goes on meanwhile and adds to them: the stop would last as long as the job.
What can be seen at once is that the process does not catch SIGTERM any more.
"""

import signal
import threading
from collections.abc import Callable
from pathlib import Path

#: Seconds between two looks.
INTERVAL = 0.5

#: Looks in a row; after a SIGHUP that changes nothing, signals are not caught for a moment only.
LOOKS = 2

_STATUS = Path("/proc/self/status")


def catches_sigterm() -> bool | None:
    """Tell whether this process catches SIGTERM, None where the system does not say."""
    try:
        status = _STATUS.read_text()
    except OSError:
        return None
    for line in status.splitlines():
        name, _, mask = line.partition(":")
        if name == "SigCgt":
            return bool(int(mask, 16) >> (signal.SIGTERM - 1) & 1)
    return None


class EarlyStop:
    """A thread that looks whether Orthanc is about to stop.

    Parameters
    ----------
    on_stop : callable
        Called once, when it is.
    name_thread : callable
        Gives the current thread a name in Orthanc's log.
    catches : callable
        As `catches_sigterm`.
    """

    def __init__(
        self,
        on_stop: Callable[[], None],
        name_thread: Callable[[str], None],
        catches: Callable[[], bool | None] = catches_sigterm,
        interval: float = INTERVAL,
    ) -> None:
        self._on_stop = on_stop
        self._name_thread = name_thread
        self._catches = catches
        self._interval = interval
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="curator-stop", daemon=True)

    def start(self) -> None:
        """Start to look, where the system says anything."""
        if self._catches() is not None:
            self._thread.start()

    def stop(self) -> None:
        """End the thread, and wait for it."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        self._name_thread("curator-stop")
        while not self._catches():  # the core has not got that far in its start
            if self._ended.wait(self._interval):
                return
        missed = 0
        while missed < LOOKS:
            if self._ended.wait(self._interval):
                return
            missed = 0 if self._catches() else missed + 1
        self._on_stop()
