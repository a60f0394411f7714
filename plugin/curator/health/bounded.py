"""Calls that may get stuck, such as those to a database that is locked or gone."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Bounded(Generic[T]):
    """Waits for a call no longer than a patience; while one is stuck, no other is made.

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
        self._stuck: Future[T] | None = None

    def __call__(self) -> T:
        """Return what the call returns.

        Raises
        ------
        TimeoutError
            If it takes too long, or an earlier one still does. Whatever it raises is raised, too.
        """
        if self._stuck is not None and not self._stuck.done():
            raise TimeoutError
        result: Future[T] = Future()
        threading.Thread(
            target=self._work, args=(result,), name="curator-status", daemon=True
        ).start()
        try:
            return result.result(self._patience)
        except TimeoutError:
            self._stuck = result
            raise

    def _work(self, result: Future[T]) -> None:
        self._name_thread("curator-status")
        try:
            result.set_result(self._call())
        except BaseException as error:  # noqa: BLE001  it is raised where it is waited for
            result.set_exception(error)
