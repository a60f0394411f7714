"""Calls that may get stuck, such as those to a database that is locked or gone."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Bounded(Generic[T]):
    """Waits for a call no longer than a patience; while one is stuck, no other is made.

    One call is made at a time. Those who ask meanwhile share the next one, which begins after they
    have asked: however many they are, they neither slow each other down nor get an old answer.

    Parameters
    ----------
    call : callable
        Runs in a thread of its own.
    patience : float
        Seconds.
    name_thread : callable
        Gives the current thread a name in Orthanc's log.
    """

    def __init__(
        self, call: Callable[[], T], patience: float, name_thread: Callable[[str], None]
    ) -> None:
        self._call = call
        self._patience = patience
        self._name_thread = name_thread
        self._lock = threading.Lock()
        self._running: Future[T] | None = None
        self._next: Future[T] | None = None
        self._is_stuck = False

    def __call__(self) -> T:
        """Return what the call returns.

        Raises
        ------
        TimeoutError
            If it takes too long, or an earlier one still does. Whatever it raises is raised, too.
        """
        result = self._join()
        try:
            return result.result(self._patience)
        except TimeoutError:
            with self._lock:
                self._is_stuck = self._is_stuck or result is self._running
            raise

    def _join(self) -> Future[T]:
        """Return the result of a call that begins now, or after the one that is running."""
        with self._lock:
            if self._is_stuck:
                raise TimeoutError
            if self._running is None:
                result: Future[T] = Future()
                threading.Thread(
                    target=self._work, args=(result,), name="curator-status", daemon=True
                ).start()
                self._running = result
                return result
            if self._next is None:
                self._next = Future()
            return self._next

    def _work(self, result: Future[T] | None) -> None:
        self._name_thread("curator-status")
        while result is not None:
            try:
                result.set_result(self._call())
            except BaseException as error:  # noqa: BLE001  it is raised where it is waited for
                result.set_exception(error)
            with self._lock:
                result = self._running = self._next
                self._next, self._is_stuck = None, False
