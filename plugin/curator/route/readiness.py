"""What a run waits for before its first step, and what keeps it from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from curator.errors import Conflict
from curator.gateway import Resource
from curator.level import Level
from curator.route import completeness
from curator.route.facts import Facts, Undecidable
from curator.route.hours import local
from curator.route.kinds import Trigger
from curator.route.ports import Reader
from curator.route.products import received
from curator.route.rule import AtDeadline, Rule
from curator.route.run import Run, Subject
from curator.route.steps.work import Tools

#: Seconds before it is looked again whether something was made by a rule.
POSTPONED = 2.0

#: What the core says of what plugins store.
_PLUGINS = "Plugins"

#: What a run says of itself that was not complete in time.
INCOMPLETE = "incomplete at its deadline"


@dataclass(frozen=True)
class Begin:
    """The first step is due.

    Attributes
    ----------
    position : int
        Of that step: not the first one where what arrived late went after what a step has moved.
    note : str
        What users have to know.
    """

    subjects: tuple[Subject, ...]
    position: int = 0
    note: str = ""


@dataclass(frozen=True)
class Later:
    """The run is looked at again.

    Attributes
    ----------
    deadline : float or None
        When it waits no longer.
    """

    until: float
    why: str
    deadline: float | None = None


@dataclass(frozen=True)
class Hold:
    """The run waits for a user."""

    why: str


@dataclass(frozen=True)
class Cancel:
    """The run is not carried out."""

    why: str


@dataclass(frozen=True)
class Drop:
    """The run is about nothing but what rules have made: there never was a reason for it."""


Answer = Begin | Later | Hold | Cancel | Drop


class Readiness:
    """Decides whether runs may begin, on what is stored now."""

    def __init__(self, tools: Tools, reader: Reader, clock: Callable[[], float]) -> None:
        self._tools = tools
        self._reader = reader
        self._clock = clock

    def look(self, run: Run, rule: Rule) -> Answer:
        """Look at a run that has not begun.

        Raises
        ------
        Conflict
            If it cannot be decided now whether the rule's condition holds.
        CuratorError
            If the server does not answer.
        """
        if rule.only_tells:
            return Begin(run.subjects)
        if run.trigger == Trigger.STORED_INSTANCE:
            return self._look_at_batch(run, rule)
        facts = self._reader.facts(run.level, run.resource)
        if facts is None:
            return Cancel(f"{run.level} {run.resource} was deleted")
        begin = self._of_loops(run, None)
        if not isinstance(begin, Begin):
            return begin
        waiting = self._complete(run, rule, facts)
        if not isinstance(waiting, str):
            return waiting
        stopped = _stopped(rule, _as_fired(facts, run))
        return Cancel(stopped) if stopped else replace(begin, note=waiting)

    def _look_at_batch(self, run: Run, rule: Rule) -> Answer:
        instances = self._tools.inventory.instances(run.subjects)
        if not instances:
            return Cancel("the instances were deleted")
        begin = self._of_loops(run, instances)
        if not isinstance(begin, Begin) or rule.if_ is None:
            return begin
        resources = [instances[one.orthanc_id] for one in begin.subjects]
        facts = self._reader.facts_of_instances(resources)
        stops = [_stopped(rule, _as_fired(one, run)) for one in facts]
        going = zip(begin.subjects, stops, strict=True)
        subjects = tuple(subject for subject, stop in going if not stop)
        return replace(begin, subjects=subjects) if subjects else Cancel(stops[0])

    # Loops

    def _of_loops(self, run: Run, batch: Mapping[str, Resource] | None) -> Answer:
        """See that a run is not about what rules have made, or are just making."""
        subjects = [Subject(run.level, run.resource)] if batch is None else list(run.subjects)
        making = self._tools.runs.making_since(run.created, but=run.id)
        if not making and not self._tools.products.any():
            return Begin(tuple(subjects if batch is None else map(_instance, batch)))
        found = self._tools.inventory.instances(subjects) if batch is None else batch
        made = self._tools.products.among(found)
        others = {one: found[one] for one in found if one not in made}
        if not others:
            return Drop()
        if making and any(one.metadata.get("Origin") == _PLUGINS for one in others.values()):
            return Later(self._clock() + POSTPONED, "waits for a step that may have made it")
        if batch is not None:
            return Begin(tuple(map(_instance, others)))
        if made and not self._is_news(run, others):
            return Drop()
        return Begin(tuple(subjects), self._position(run))

    def _is_news(self, run: Run, others: Mapping[str, Resource]) -> bool:
        """Tell whether anything has arrived since the last run, beside what rules have made."""
        last = self._tools.runs.before(run)
        return last is None or any(received(one) >= int(last.created) for one in others.values())

    def _position(self, run: Run) -> int:
        """Return the step to begin with: what follows into a moved study is moved already."""
        moved = self._tools.products.moved_by(run.rule, run.resource)
        if moved is None:
            return 0
        earlier = self._tools.runs.get(moved[0])
        elsewhere = earlier is not None and earlier.resource != run.resource
        return moved[1] + 1 if elsewhere else 0

    # Completeness

    def _complete(self, run: Run, rule: Rule, facts: Facts) -> Later | Hold | str:
        """Return what to wait for, or a note on what is missing, empty where nothing is."""
        complete = rule.complete
        if complete is None or run.deadline == run.created:  # a user has released it
            return ""
        try:
            found = completeness.state(
                complete,
                facts,
                self._reader.series_facts(facts) if complete.series else (),
                self._clock(),
                run.created,
            )
        except Undecidable as error:
            raise Conflict(f"It cannot be decided whether it is complete: {error}") from None
        match found:
            case completeness.Wait(until, missing):
                return Later(until, f"waits: {missing}", run.created + complete.deadline)
            case completeness.Expired(missing):
                if complete.then == AtDeadline.HOLD:
                    return Hold(f"{INCOMPLETE}: {missing}")
                return f"{INCOMPLETE}: {missing}"
        return ""


def _instance(orthanc_id: str) -> Subject:
    return Subject(Level.INSTANCE, orthanc_id)


def _as_fired(facts: Facts, run: Run) -> Facts:
    """Return facts with the time at which the rule fired: what waits does not miss its window."""
    return replace(facts, now=local(run.created))


def _stopped(rule: Rule, facts: Facts) -> str:
    """Return why the condition of a rule does not hold any more, nothing where it does.

    Raises
    ------
    Conflict
        If it cannot be decided now.
    """
    if rule.if_ is None:
        return ""
    stop = rule.if_.stop(facts)
    if stop is None:
        return ""
    if stop.undecidable is not None:
        raise Conflict(f"$.If{stop.place} cannot be decided: {stop.undecidable}")
    return f"the condition does not hold any more: $.If{stop.place}"
