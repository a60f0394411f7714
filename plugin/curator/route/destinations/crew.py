"""Threads that work through a list, and are left behind when Orthanc stops.

A call that waits for a destination that stalls cannot be interrupted. Its thread is a daemon: at a
stop it is given some seconds, then nobody waits for it, and what it was sending counts as not sent.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

#: Seconds that calls under way are given when Orthanc stops.
GRACE = 2.0

#: Seconds between two looks whether Orthanc stops.
LOOK = 0.2

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Done(Generic[T, R]):
    """An item with what the function has returned for it."""

    item: T
    result: R
    considered: threading.Event = field(default_factory=threading.Event)


class Crew(Generic[T, R]):
    """Calls a function for each item, some at a time, and yields what it returns.

    Parameters
    ----------
    function : callable
        Must not raise.
    threads : int
        Calls at the same time.
    is_trouble : callable
        Whether a thread waits with its next item until the result has been considered, since there
        may be no next one.
    stopping : callable
        Whether Orthanc stops.
    name_thread : callable
        Names a thread for Orthanc's log.
    """

    def __init__(
        self,
        function: Callable[[T], R],
        items: Sequence[T],
        threads: int,
        is_trouble: Callable[[R], bool],
        stopping: Callable[[], bool],
        name_thread: Callable[[str], None],
    ) -> None:
        self._function = function
        self._is_trouble = is_trouble
        self._stopping = stopping
        self._name_thread = name_thread
        self._todo = iter(items)
        self._lock = threading.Lock()
        self._enough = False
        self._results: queue.SimpleQueue[Done[T, R] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name="curator-send", daemon=True)
            for _ in range(min(threads, len(items)))
        ]

    def enough(self) -> None:
        """Begin no further item; those under way are still yielded."""
        self._enough = True

    def __iter__(self) -> Iterator[list[Done[T, R]]]:
        """Yield what is done, as soon as it is, until all is, or Orthanc stops."""
        for thread in self._threads:
            thread.start()
        try:
            yield from self._until_all_are_done()
        finally:
            self.enough()  # also where whoever takes the results has failed

    def _until_all_are_done(self) -> Iterator[list[Done[T, R]]]:
        left, give_up_at = len(self._threads), 0.0
        while left:
            results = self._take()
            left -= results.count(None)
            if done := [result for result in results if result is not None]:
                yield done
            for one in done:
                one.considered.set()
            if self._stopping():
                self.enough()
                give_up_at = give_up_at or time.monotonic() + GRACE
                if not results and time.monotonic() >= give_up_at:
                    return

    def _take(self) -> list[Done[T, R] | None]:
        """Wait for results for a while, and take all there are."""
        results: list[Done[T, R] | None] = []
        try:
            results.append(self._results.get(timeout=LOOK))
            while True:
                results.append(self._results.get_nowait())
        except queue.Empty:
            return results

    def _work(self) -> None:
        try:
            self._name_thread("CURATOR-SEND")
            while (item := self._next()) is not None:
                done = Done(item[0], self._function(item[0]))
                self._results.put(done)
                if self._is_trouble(done.result):
                    self._wait_for(done.considered)
        finally:
            self._results.put(None)

    def _wait_for(self, considered: threading.Event) -> None:
        while not self._enough and not considered.wait(LOOK):
            pass

    def _next(self) -> tuple[T] | None:
        with self._lock:
            if self._enough:
                return None
            return next(((item,) for item in self._todo), None)
