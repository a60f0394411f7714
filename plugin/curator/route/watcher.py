"""Watches for what rules wait for: the change log, labels, schedules, and passing notices."""

import logging
import threading
from collections.abc import Callable, Collection, Iterable
from typing import TypeVar

from curator.errors import CuratorError, trace
from curator.gateway import Gateway
from curator.jobs import Workers
from curator.route.arrivals import Arrivals
from curator.route.change_log import ChangeLog
from curator.route.events import Event
from curator.route.keeping import Keeping
from curator.route.labels import INTERVAL as LABELS_INTERVAL
from curator.route.labels import Labels
from curator.route.log_reader import LogReader, Overtaken
from curator.route.notices import PASSING, Notices
from curator.route.planning import Plan
from curator.route.reading import FactsReader
from curator.route.rule import Rule, RuleSet
from curator.route.run import Run
from curator.route.runs import Runs
from curator.route.schedules import Schedules
from curator.route.signals import Signals
from curator.route.sweep import Sweep
from curator.store import Store

logger = logging.getLogger(__name__)

#: Least and longest rest of the reader after a page, seconds, and how many times as long as the
#: page took: what comes together is read together, and receiving is not slowed down.
REST = 0.05
LONGEST_REST = 0.5
REST_FACTOR = 4

#: Seconds before the reader tries again after trouble, and at most.
AGAIN = 1.0
LONGEST_AGAIN = 60.0

#: Longest wait for a schedule, seconds: the clock may be set.
CLOCK_INTERVAL = 60.0

#: Notices that are taken up in one transaction.
NOTICES_TOGETHER = 100

T = TypeVar("T")


class Watcher:
    """Makes runs of what happens.

    The log is read by one thread, labels and schedules are looked at by another.

    Parameters
    ----------
    rules : callable
        Returns the rules that are in use.
    made : callable
        Returns those of some resources that rules have made.
    clock : callable
        Seconds since 1970.
    stable_age : float
        ``StableAge`` of the server, seconds.
    keep_days : int
        How long is kept what was seen.
    on_runs : callable
        Called whenever there may be new runs; returns at once.
    """

    def __init__(
        self,
        gateway: Gateway,
        store: Store,
        runs: Runs,
        rules: Callable[[], RuleSet],
        made: Callable[[Iterable[str]], Collection[str]],
        reader: FactsReader,
        signals: Signals,
        clock: Callable[[], float],
        stable_age: float,
        keep_days: int,
        on_runs: Callable[[], None],
    ) -> None:
        self._gateway = gateway
        self._signals = signals
        self._clock = clock
        keeping = Keeping(store, runs, on_runs)
        self._keeping = keeping
        self._arrivals = Arrivals(gateway, reader, rules, made, clock)
        self._log = LogReader(
            ChangeLog(gateway),
            self._arrivals,
            keeping,
            Sweep(gateway, keeping, runs, clock, stable_age),
            store,
            clock,
            keep_days,
        )
        self._labels = Labels(gateway, self._arrivals, keeping, store)
        self._schedules = Schedules(gateway, self._arrivals, keeping, store, clock)
        self._notices = Notices(gateway, signals)
        self._triggers = self._arrivals.triggers()
        self._stopping = threading.Event()
        self._log_woken = threading.Event()
        self._rest_woken = threading.Event()
        self._threads = [
            threading.Thread(target=self._read_log, name="curator-events", daemon=True),
            threading.Thread(target=self._look_around, name="curator-watch", daemon=True),
        ]

    # Life

    def start(self) -> None:
        """Start to watch; what has happened while nobody did is found."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop at the next opportunity, and wait for it."""
        self._stopping.set()
        self._wake_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    @property
    def workers(self) -> Workers:
        """How many threads there are."""
        alive = sum(thread.is_alive() for thread in self._threads)
        return Workers(wanted=len(self._threads), alive=alive, busy=0)

    def rules_changed(self) -> None:
        """Watch for what other rules wait for, from now on."""
        self._triggers = self._arrivals.triggers()
        _safely(self._log.adapt)
        _safely(self._labels.begin)
        self._wake_all()

    # What happens

    def wake(self, change: int, level: int, resource: str) -> None:
        """Take notice of a change; for the SDK's on-change callback, returns at once."""
        trigger = self._signals.trigger(change)
        if trigger not in self._triggers:
            return
        if trigger in PASSING:
            self._notices.put(change, level, resource)
        self._log_woken.set()

    def fire(self, event: Event, user: str, only: Rule | None = None) -> list[Run]:
        """Ask the rules about an event at the wish of a user.

        Parameters
        ----------
        only : Rule, optional
            The rule that is asked, whatever it waits for; by default those that wait for such an
            event. It has to be enabled, and its condition has to hold.

        Returns
        -------
        list of Run
            New ones, or those that waited already and take care of it.

        Raises
        ------
        NotFound
            If the resource is gone.
        """
        return self._keeping.keep(self._arrivals.asked_for(event, user, only))

    # Threads

    def _read_log(self) -> None:
        self._gateway.name_thread("curator-events")
        trouble = 0
        while not self._stopping.is_set():
            self._log_woken.clear()
            try:
                rest = self._read_all()
                trouble = 0
            except Exception as error:  # noqa: BLE001  the thread must outlive all trouble
                _tell(error)
                self._log.forget_place()
                trouble += 1
                rest = min(AGAIN * 2 ** (trouble - 1), LONGEST_AGAIN)
                self._log_woken.set()
            self._stopping.wait(rest)
            self._log_woken.wait(self._until_sweep())
        _safely(self._log.keep_place)

    def _read_all(self) -> float:
        """Read what there is, sweep where it is time to, and return how long to rest, seconds."""
        started = self._clock()
        self._take_notices()
        self._log.adapt()
        if not self._log.triggers:
            return 0.0
        more = True
        while more and not self._stopping.is_set():
            more = self._log.read()
        if self._clock() >= self._log.sweep_at() and not self._stopping.is_set():
            self._log.sweep()
        took = max(0.0, self._clock() - started)
        return min(max(REST, REST_FACTOR * took), LONGEST_REST)

    def _until_sweep(self) -> float | None:
        if self._stopping.is_set():
            return 0.0
        if not self._log.triggers:
            return None
        return max(0.0, self._log.sweep_at() - self._clock())

    def _take_notices(self) -> None:
        while events := self._notices.first(NOTICES_TOGETHER):
            plan = Plan()
            for event in events:
                plan.add(self._arrivals.plan(event))
            self._keeping.keep(plan)
            self._notices.done(len(events))

    def _look_around(self) -> None:
        self._gateway.name_thread("curator-watch")
        while not self._stopping.is_set():
            self._rest_woken.clear()
            _safely(self._labels.look)
            _safely(self._schedules.look)
            self._rest_woken.wait(self._until_look())

    def _until_look(self) -> float | None:
        """Return how long to wait for the next look, None where there is nothing to look for."""
        if self._stopping.is_set():
            return 0.0
        intervals = [LABELS_INTERVAL] if self._labels.watched else []
        next_look = _safely(self._schedules.next_look)
        if next_look is not None:
            intervals.append(min(max(AGAIN, next_look - self._clock()), CLOCK_INTERVAL))
        return min(intervals, default=None)

    def _wake_all(self) -> None:
        self._log_woken.set()
        self._rest_woken.set()


def _safely(look: Callable[[], T]) -> T | None:
    """Call what will be called again anyway; a thread must outlive all trouble."""
    try:
        return look()
    except Exception as error:  # noqa: BLE001
        _tell(error)
        return None


def _tell(error: Exception) -> None:
    if isinstance(error, CuratorError):
        logger.warning("Events wait: %s", str(error) or type(error).__name__)
    elif not isinstance(error, Overtaken):
        logger.error("Events wait: %s", trace(error))
