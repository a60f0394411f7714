"""The workers that bring runs forward, and what users may do with them."""

import logging
import random
import threading
from collections.abc import Callable
from typing import Any

from curator.errors import Conflict, CuratorError, NotFound, trace
from curator.jobs import Workers
from curator.level import Level
from curator.models import InvalidModel, validate
from curator.route.course import Course
from curator.route.delivery_rows import Filter
from curator.route.kinds import UNFINISHED_RUNS, RunState, Trigger
from curator.route.ports import Reader
from curator.route.readiness import Readiness
from curator.route.rule import Rule
from curator.route.run import Run, Subject
from curator.route.runs import NEVER
from curator.route.steps.work import Tools, batch

logger = logging.getLogger(__name__)

#: Seconds before a worker asks a database again that has failed.
DATABASE_INTERVAL = 5.0

#: Seconds after which a worker looks again although nothing was due: the clock may have been set.
LONGEST_WAIT = 60.0

#: Every so many runs, the one that is due for the longest time goes first, whatever its priority.
FAIRNESS = 4

#: Seconds that a worker has to end in when Orthanc stops.
STOP_TIME = 10.0

_ENDED = (RunState.FAILED, RunState.CANCELED)
_CANCELED = (*UNFINISHED_RUNS, RunState.FAILED)


class Runner:
    """Runs in workers: some for what is done at once, as many for what makes or moves instances.

    Parameters
    ----------
    tools : Tools
    reader : Reader
    paused : callable
        Returns the names of the rules that users have paused.
    workers : int
        Of each kind.
    clock : callable
        Seconds since 1970.
    chance : callable
        Returns a number between 0 and 1.
    name_thread : callable
        Gives the current thread a name in Orthanc's log.
    """

    def __init__(
        self,
        tools: Tools,
        reader: Reader,
        paused: Callable[[], frozenset[str]],
        workers: int,
        clock: Callable[[], float],
        chance: Callable[[], float] = random.random,
        name_thread: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._tools = tools
        self._runs = tools.runs
        self._paused = paused
        self._clock = clock
        self._chance = chance
        self._name_thread = name_thread
        self._readiness = Readiness(tools, reader, clock)
        self._lock = threading.Condition()
        self._stopping = False
        self._signals = 0
        self._turns = 0
        self._active: set[str] = set()
        self._stranded: set[str] = set()
        self._canceled: set[str] = set()
        self._threads = [
            threading.Thread(
                target=self._work,
                args=(making,),
                name=f"curator-{kind}{number}",
                daemon=True,
            )
            for kind, making in (("run", False), ("make", True))
            for number in range(workers)
        ]

    # Life

    def start(self) -> None:
        """Take up what was interrupted, and start the workers."""
        self._runs.recover()
        self._stranded.update(self._tools.products.leftovers())
        for thread in self._threads:
            thread.start()

    def halt(self) -> None:
        """Begin nothing more, and let every run stop where it can; called before jobs stop."""
        with self._lock:
            self._stopping = True
            self._lock.notify_all()

    def stop(self) -> None:
        """Wait for the workers; one that waits for a job was let go when the jobs were stopped."""
        self.halt()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(STOP_TIME)

    def wake(self) -> None:
        """Look at once whether anything is due; called after runs were added."""
        with self._lock:
            self._signals += 1
            self._lock.notify_all()

    def deliveries_changed(self, run_id: str) -> None:
        """Look at a run one of whose deliveries is over."""
        self._runs.bring_on(run_id)
        self.wake()

    @property
    def workers(self) -> Workers:
        """How many workers there are and work, without asking the database."""
        return Workers(
            wanted=len(self._threads),
            alive=sum(thread.is_alive() for thread in self._threads),
            busy=len(self._active),
        )

    # Users

    def retry(self, run_id: str) -> Run:
        """Let a run that has failed or was canceled begin again, or one that waits go at once.

        What was canceled of its deliveries is opened anew.

        Raises
        ------
        NotFound, Conflict
            If there is no such run, or it is in another state.
        """
        run = self._get(run_id)
        values: dict[str, Any] = {"state": RunState.WAITING, "due": self._clock(), "attempts": 0}
        if run.state in _ENDED:
            if run_id in self._active:
                raise Conflict(f"Run {run_id} is just ending")
            self._tools.deliveries.forget_canceled(run_id)
            self._tools.products.remove(run)
            values |= self._beginning(run)
        return self._changed(run, (*_ENDED, RunState.WAITING), values)

    def release(self, run_id: str) -> Run:
        """Let a run that is held go on with what there is.

        Raises
        ------
        NotFound, Conflict
            If there is no such run, or it is not held.
        """
        run = self._get(run_id)
        values = {"state": RunState.WAITING, "due": self._clock(), "deadline": run.created}
        return self._changed(run, (RunState.HELD,), values)

    def cancel(self, run_id: str) -> Run:
        """Cancel a run with its deliveries; what it has made on the way goes.

        Raises
        ------
        NotFound, Conflict
            If there is no such run, or it is over.
        """
        run = self._get(run_id)
        values = {"state": RunState.CANCELED, "error": "canceled by a user", "due": NEVER}
        with self._lock:
            self._canceled.add(run_id)
        try:
            canceled = self._changed(run, _CANCELED, values)
            with self._lock:
                self._stranded.add(run_id)  # the next worker removes what it has made
        finally:
            with self._lock:
                if run_id not in self._active:
                    self._canceled.discard(run_id)
        self._tools.deliveries.cancel_all(Filter(run=run_id), run.user)
        if run.job:
            self._tools.jobs.cancel(run.job)
        self.wake()
        return canceled

    def _get(self, run_id: str) -> Run:
        run = self._runs.get(run_id)
        if run is None:
            raise NotFound(f"Unknown run: {run_id}")
        return run

    def _changed(self, run: Run, expected: tuple[RunState, ...], values: dict[str, Any]) -> Run:
        """Change a run, unless it is in another state than those expected."""
        if not self._runs.move(run.id, expected, **values):
            now = self._get(run.id)
            raise Conflict(f"Run {run.id} is {now.state}; this is for {' or '.join(expected)} ones")
        self.wake()
        return self._get(run.id)

    def _beginning(self, run: Run) -> dict[str, Any]:
        """Return where a run begins again: after what has moved, which stays moved."""
        moved = self._tools.products.moved(run.id)
        whole = Subject(run.level, run.resource)
        if moved is not None:
            left = [whole] if self._tools.inventory.exists(whole) else []
            subjects = (*left, *(Subject(Level.INSTANCE, one) for one in moved[1]))
        elif run.trigger == Trigger.STORED_INSTANCE:
            subjects = tuple(batch(self._runs, run))
        else:
            subjects = (whole,)
        return {
            "position": 0 if moved is None else moved[0] + 1,
            "subjects": subjects,
            "products": (),
            "job": "",
            "begun": None,
        }

    # Workers

    def _work(self, making: bool) -> None:
        self._name_thread(threading.current_thread().name)
        while not self._stopping:
            signals = self._signals
            try:
                if not self.advance(making=making):
                    self._wait(making, signals)
            except Exception as error:  # noqa: BLE001  a worker must outlive its database
                logger.error("Runs cannot be read: %s", trace(error))
                self._rest(DATABASE_INTERVAL)

    def advance(self, *, making: bool) -> bool:
        """Bring a run forward that is due; False where none is.

        Parameters
        ----------
        making : bool
            One in a step that makes or moves instances, else any other.
        """
        self._clear_up()
        with self._lock:
            self._turns += 1
            oldest = self._turns % FAIRNESS == 0
        found = self._runs.due(
            self._clock(),
            len(self._threads),
            making=making,
            oldest=oldest,
            without=self._paused(),
        )
        for candidate in found:
            run = self._runs.take(candidate.id)
            if run is not None:
                self._bring_forward(run, making)
                break
        return bool(found)

    def _wait(self, making: bool, signals: int) -> None:
        """Wait until a run may be due."""
        due = self._runs.next_due(making=making, without=self._paused())
        with self._lock:
            if self._signals == signals and not self._stopping:
                wait = LONGEST_WAIT if due is None else max(due - self._clock(), 0.0)
                self._lock.wait(min(wait, LONGEST_WAIT))

    def _bring_forward(self, run: Run, making: bool) -> None:
        with self._lock:
            self._active.add(run.id)
        try:
            course = self._course(run, self._rule(run))
            course.advance(making=making)
            if course.is_left_waiting:  # perhaps for workers of the other kind
                self.wake()
        except InvalidModel as error:
            self._runs.change(
                run.id, state=RunState.FAILED, error=f"the rule cannot be read: {error}"
            )
        except Exception as error:  # noqa: BLE001  a worker must outlive any run
            logger.error("Run %s could not be left in order: %s", run.id, trace(error))
            with self._lock:
                self._stranded.add(run.id)
        finally:
            with self._lock:
                self._active.discard(run.id)
                self._canceled.discard(run.id)

    def _course(self, run: Run, rule: Rule) -> Course:
        return Course(
            run,
            rule,
            self._tools,
            self._readiness,
            self._clock,
            self._chance,
            lambda: self._stopping or run.id in self._canceled,
        )

    def _rule(self, run: Run) -> Rule:
        return validate(Rule, run.content)

    def _clear_up(self) -> None:
        """Put back runs that were left in disorder, and remove what ended ones have left."""
        with self._lock:
            stranded = self._stranded - self._active
        for run_id in stranded:
            run = self._runs.get(run_id)
            if run is not None and run.state == RunState.RUNNING:
                self._runs.move(
                    run_id, (RunState.RUNNING,), state=RunState.WAITING, due=self._clock()
                )
            elif run is not None and run.state in _ENDED:
                try:
                    self._tools.products.remove(run)
                except CuratorError as error:
                    logger.warning("Copies of run %s stay for now: %s", run_id, error)
                    continue
            with self._lock:
                self._stranded.discard(run_id)

    def _rest(self, seconds: float) -> None:
        with self._lock:
            if not self._stopping:
                self._lock.wait(seconds)
