"""Something that follows changes, but not each of them: at most once in a while."""

import logging
import threading
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from curator.errors import CuratorError, trace

logger = logging.getLogger(__name__)

#: Seconds until work that has failed is done again.
AFTER_ERROR = 60.0


class Pulse:
    """A thread that works after it was poked, and sleeps for an interval each time.

    Parameters
    ----------
    work : callable
        Returns the seconds after which it wants to work again without being poked, None for never.
    interval : float
        Seconds between two times, at least.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], float | None],
        interval: float,
        name_thread: Callable[[str], None],
    ) -> None:
        self._name = name
        self._work = work
        self._interval = interval
        self._name_thread = name_thread
        self._poked = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread, which works once at the beginning."""
        self._poked.set()
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and wait for it."""
        self._stopping.set()
        self._poked.set()
        if self._thread.is_alive():
            self._thread.join()

    def poke(self) -> None:
        """Tell that there may be something to do; returns at once."""
        self._poked.set()

    def _run(self) -> None:
        self._name_thread(self._name)
        again: float | None = None
        while not self._stopping.is_set():
            self._poked.wait(again)
            self._poked.clear()
            if self._stopping.is_set():
                return
            try:
                again = self._work()
            except (CuratorError, SQLAlchemyError) as error:
                logger.error("%s: %s", self._name, trace(error))
                again = AFTER_ERROR
            self._stopping.wait(self._interval)
