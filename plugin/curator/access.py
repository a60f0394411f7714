"""How operations reach the instances that they change."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from curator.gateway import Gateway
from curator.jobs import Job

#: Items that wait for each thread, so that none has to wait for another.
AHEAD = 4

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Access:
    """The way to the instances, the same for all operations.

    Attributes
    ----------
    gateway : Gateway
    threads : int
        Instances that one operation has on their way at the same time.
    default_charset : str
        Defined term for instances without Specific Character Set.
    cache : int
        Bytes of files that one operation keeps in memory between its plan and the copies.
    """

    gateway: Gateway
    threads: int
    default_charset: str
    cache: int = 0

    def in_parallel(
        self, function: Callable[[T], None], items: Sequence[T], job: Job
    ) -> Iterator[int]:
        """Call a function for all items, and yield how many are done, at every checkpoint."""
        results = self.results(function, items, job, AHEAD * self.threads)
        yield from (done for done, _ in enumerate(results, start=1))

    def results(
        self, function: Callable[[T], R], items: Sequence[T], job: Job, ahead: int
    ) -> Iterator[R]:
        """Call a function for all items, and yield its results in order, at every checkpoint.

        Parameters
        ----------
        ahead : int
            Results that are made, or being made, before they are asked for.
        """
        running: deque[Future[R]] = deque()
        with ThreadPoolExecutor(self.threads, "curator-job") as pool:
            for done in range(len(items)):
                job.checkpoint()
                next_ones = items[done + len(running) : done + ahead]
                running.extend(pool.submit(function, item) for item in next_ones)
                yield running.popleft().result()
