"""A run on its course: from the first look at it to its end, as far as it comes in one go."""

import logging
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from curator.errors import CuratorError, Stopping, trace
from curator.route import patience
from curator.route.kinds import RunState, Trigger
from curator.route.patience import Busy
from curator.route.readiness import Begin, Cancel, Drop, Hold, Later, Readiness
from curator.route.rule import Rule
from curator.route.run import Run
from curator.route.runs import NEVER
from curator.route.steps.deletion import delete
from curator.route.steps.jobs import anonymize, merge, split
from curator.route.steps.modify import modify
from curator.route.steps.send import are_over, not_delivered, send
from curator.route.steps.tagging import label, metadata
from curator.route.steps.work import Advanced, Gone, Result, Sending, StepWork, Tools, Work

logger = logging.getLogger(__name__)


def transcode(_work: Work) -> Result:
    """Do nothing now: it is for the sends that follow."""
    return Advanced()


#: What does a step, by its name.
STEPS: Mapping[str, StepWork] = {
    "Anonymize": anonymize,
    "Modify": modify,
    "Split": split,
    "Merge": merge,
    "Transcode": transcode,
    "Label": label,
    "Metadata": metadata,
    "Send": send,
    "Delete": delete,
}

#: Steps that make or move instances, and may take long.
MAKING = frozenset({"Anonymize", "Modify", "Split", "Merge"})

#: Steps that have to know what there was when the run began.
_OF_ORIGINALS = frozenset({"Delete"})
_OF_BATCH = _OF_ORIGINALS | MAKING | {"Label", "Metadata"}


class Elsewhere(Exception):
    """The run is not in the state that this course has brought it to: a user has changed it."""


class Course:
    """One run while a worker has it.

    Parameters
    ----------
    run : Run
        As it was taken.
    rule : Rule
        As it was when it fired.
    stopping : callable
        Whether Orthanc stops, or a user has canceled the run.
    chance : callable
        Returns a number between 0 and 1.
    """

    def __init__(
        self,
        run: Run,
        rule: Rule,
        tools: Tools,
        readiness: Readiness,
        clock: Callable[[], float],
        chance: Callable[[], float],
        stopping: Callable[[], bool],
    ) -> None:
        self._run = run
        self._rule = rule
        self._tools = tools
        self._readiness = readiness
        self._clock = clock
        self._chance = chance
        self._stopping = stopping

    @property
    def is_left_waiting(self) -> bool:
        """Whether the run is to be looked at again, now or later."""
        return self._run.state == RunState.WAITING

    def advance(self, *, making: bool) -> None:
        """Come as far as it goes now.

        Parameters
        ----------
        making : bool
            Whether steps that make or move instances may be done; else the run is left before
            such a step.
        """
        try:
            self._advance(making)
        except Elsewhere:
            self._give_up()
        except Stopping:
            self._put_back()
        except CuratorError as error:
            self._fail(error)
        except SQLAlchemyError as error:
            logger.error("Run %s: Curator's database failed: %s", self._run.id, trace(error))
            self._fail(Busy("Curator's database does not answer"))
        except Exception as error:  # noqa: BLE001  whatever happened, the run has to say so
            logger.error("Run %s failed: %s", self._run.id, trace(error))
            self._fail(CuratorError("Unexpected error, see the log of Orthanc"))

    def _advance(self, making: bool) -> None:
        if self._run.state == RunState.SENDING:
            if not self._is_delivered():
                return
        elif self._run.position == 0 and not self._run.job and not self._begins():
            return
        while self._run.position < len(self._rule.then):
            if not self._step(making):
                return
        self._done()

    # The beginning

    def _begins(self) -> bool:
        answer = self._readiness.look(self._run, self._rule)
        match answer:
            case Begin(subjects, position, note):
                self._note_originals(subjects)
                self._move(subjects=subjects, position=position, attempts=0, error=note)
                return True
            case Later(until, why, deadline):
                self._move(state=RunState.WAITING, due=until, error=why, deadline=deadline)
            case Hold(why):
                logger.warning("Run %s of rule %s is held", self._run.id, self._run.rule)
                self._move(state=RunState.HELD, error=why)
            case Cancel(why):
                self._move(state=RunState.CANCELED, error=why)
            case Drop():
                self._tools.runs.drop([self._run.id])
        return False

    def _note_originals(self, subjects: Any) -> None:
        """Keep what is there now, where a later step has to know it."""
        batch = self._run.trigger == Trigger.STORED_INSTANCE
        needing = _OF_BATCH if batch else _OF_ORIGINALS
        if not any(step.kind in needing for step in self._rule.then):
            return
        inventory, products = self._tools.inventory, self._tools.products
        found = inventory.instances(subjects)
        foreign = products.foreign(found, self._run.id)
        fingerprints = {
            orthanc_id: inventory.fingerprint(resource)
            for orthanc_id, resource in found.items()
            if orthanc_id not in foreign
        }
        self._tools.runs.note_originals(self._run.id, fingerprints)

    # Steps

    def _step(self, making: bool) -> bool:
        """Do the next step; False where the run does not go on now."""
        run = self._run
        kind = self._rule.then[run.position].kind
        if kind in MAKING and not run.job:
            now = self._clock()
            state = RunState.RUNNING if making else RunState.WAITING
            self._move(state=state, job=str(uuid.uuid4()), begun=now, due=now)
            if not making:
                return False
        work = Work(self._run, self._rule, self._tools, self._stopping)
        work.checkpoint()
        result = STEPS[kind](work)
        if isinstance(result, Sending):
            self._move(
                state=RunState.SENDING, due=NEVER, attempts=0, error=self._noted(result.note)
            )
            if are_over(self._tools.deliveries.of_run(run.id)):  # nobody tells of those any more
                self._tools.runs.bring_on(run.id)
            return False
        self._pass(result)
        return True

    def _pass(self, done: Advanced) -> None:
        run = self._run
        self._move(
            position=run.position + 1,
            subjects=run.subjects if done.subjects is None else done.subjects,
            products=tuple(dict.fromkeys((*run.products, *done.products))),
            job="",
            begun=None,
            attempts=0,
            error=self._noted(done.note),
        )

    def _noted(self, note: str) -> str:
        """Return what the run says of itself, with one more note; errors that are over go."""
        failed = self._run.attempts or self._run.error.startswith(self._placed(""))
        before = "" if failed else self._run.error
        return "; ".join(dict.fromkeys(filter(None, (before, note))))

    def _is_delivered(self) -> bool:
        """Go on after the deliveries of a step; False where they are under way still."""
        deliveries = self._tools.deliveries.of_run(self._run.id)
        if not are_over(deliveries):
            return False
        failed = not_delivered(deliveries)
        if failed:
            first = failed[0]
            self._end(RunState.CANCELED, f"{first.destination}: {first.answer}")
            return False
        self._move(
            expected=RunState.SENDING, state=RunState.RUNNING, position=self._run.position + 1
        )
        return True

    # The end

    def _done(self) -> None:
        """Remove the copies that were made for sending, then end."""
        sends = [index for index, step in enumerate(self._rule.then) if step.send is not None]
        if sends and not self._rule.keep_copies:
            self._tools.products.remove(self._run, before=sends[-1])
        self._move(state=RunState.DONE, products=(), due=NEVER)

    def _fail(self, error: CuratorError) -> None:
        if isinstance(error, Gone):
            self._end(RunState.CANCELED, str(error))
            return
        run, now = self._run, self._clock()
        waited = now - (run.begun if run.begun is not None else run.changed)
        again = patience.decide(error, run.attempts, waited, self._rule.retry, now, self._chance())
        words = self._placed(patience.words(error))
        if again is None:
            logger.error("Run %s of rule %s has failed", run.id, run.rule)
            self._end(RunState.FAILED, words)
            return
        state = run.state if run.state == RunState.SENDING else RunState.WAITING
        self._leave(state=state, due=again.at, attempts=again.attempts, error=words)

    def _placed(self, words: str) -> str:
        """Say which step an error is of."""
        position = self._run.position
        if position >= len(self._rule.then):
            return words
        return f"$.Then[{position}] {self._rule.then[position].kind}: {words}"

    def _end(self, state: RunState, error: str) -> None:
        """End without having come to the last step; what was made on the way goes."""
        self._leave(state=state, error=error, products=(), job="", begun=None, due=NEVER)
        self._tools.products.remove(self._run)

    def _put_back(self) -> None:
        """Leave the run to whoever works after the next start, or see that it was canceled."""
        if self._run.state == RunState.RUNNING:
            self._leave(state=RunState.WAITING, due=self._clock())

    def _leave(self, **values: Any) -> None:
        try:
            self._move(expected=self._run.state, **values)
        except Elsewhere:
            self._give_up()

    def _give_up(self) -> None:
        """Remove what was made for a run that was canceled meanwhile."""
        now = self._tools.runs.get(self._run.id)
        if now is None or now.state == RunState.CANCELED:
            self._tools.products.remove(self._run)

    def _move(self, *, expected: RunState = RunState.RUNNING, **values: Any) -> None:
        """Change the run, in the database and here.

        Raises
        ------
        Elsewhere
            If it is not in the state that was expected.
        """
        if not self._tools.runs.move(self._run.id, (expected,), **values):
            raise Elsewhere
        self._run = Run(**vars(self._run) | values)
