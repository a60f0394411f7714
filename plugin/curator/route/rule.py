"""Rules and rule sets, as they are written."""

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, NamedTuple, Self

from pydantic import Field, StrictBool, field_validator, model_validator

from curator.conditions import parse_element
from curator.json_schema import JsonSchema
from curator.level import Level
from curator.models import Model
from curator.route.condition import Counted, RuleCondition
from curator.route.facts import Source
from curator.route.kinds import NOTICES, Trigger
from curator.route.problem import Problem, refuse
from curator.route.rule_check import problems
from curator.route.step import Step
from curator.route.timetable import EntryText
from curator.route.window import WindowText

#: A set with more rules is refused.
MAX_RULES = 1000

#: A rule that waits for more series is refused.
MAX_SERIES = 100

#: The name of a rule.
RuleName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]

#: Rules with a higher one are looked at first.
RulePriority = Annotated[int, Field(ge=-1000, le=1000)]

#: Steps of one rule.
MAX_STEPS = 100

#: The longest time that a rule can name: 10 years. No clock and no calendar ends before.
_LONGEST_HOURS = 87_600
_LONGEST_SECONDS = _LONGEST_HOURS * 3600

Seconds = Annotated[float, Field(gt=0, le=_LONGEST_SECONDS, strict=False)]


class Else(StrEnum):
    """What becomes of the rules after one whose condition does not hold."""

    CONTINUE = "Continue"
    STOP = "Stop"


class AtDeadline(StrEnum):
    """What becomes of a resource that is not complete at the deadline."""

    PROCEED = "Proceed"
    HOLD = "Hold"
    ALERT = "Alert"  # proceed, and tell


class Complete(Model):
    """When a resource counts as complete.

    Attributes
    ----------
    quiet : float
        Seconds without a new instance, beside ``StableAge``.
    series : tuple of RuleCondition
        For each there has to be a series that fits it.
    counts : dict
        Least number of ``Series`` and ``Instances``.
    deadline : float
        Seconds after the event.
    """

    quiet: Annotated[float, Field(ge=0, le=_LONGEST_SECONDS, strict=False)] = 0.0
    series: Annotated[tuple[RuleCondition, ...], Field(max_length=MAX_SERIES)] = ()
    counts: dict[Counted, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    deadline: Seconds = 3600.0
    then: AtDeadline = AtDeadline.HOLD

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not (self.quiet or self.series or self.counts):
            raise ValueError('needs "Quiet", "Series" or "Counts"')
        return self


class Batch(Model):
    """How long instances of one series are gathered (``StoredInstance``)."""

    seconds: Annotated[float, Field(ge=0, le=3600, strict=False)] = 0.5
    instances: Annotated[int, Field(ge=1, le=10_000)] = 100


class Retry(Model):
    """How often and how long a delivery is tried; seconds, ``MaxAge`` in hours."""

    attempts: Annotated[int, Field(ge=1, le=1000)] = 12
    first: Seconds = 30.0
    max_: Annotated[Seconds, Field(alias="Max")] = 3600.0
    max_age: Annotated[float, Field(gt=0, le=_LONGEST_HOURS, strict=False)] = 168.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.first > self.max_:
            raise ValueError('"First" is the least time between two attempts, "Max" the longest')
        return self


class Schedule(Model):
    """When a scheduled rule looks, and at which resources.

    Attributes
    ----------
    at : tuple of str
        Times of day, ``02:30``; with days, ``Mon-Fri 02:30``.
    every : float or None
        Minutes, instead of ``at``.
    level : Level or None
        ``Patient``, ``Study`` or ``Series``; ``None`` for a mere notice to webhooks (heartbeat).
    query : dict
        As for ``/tools/find``.
    """

    at: tuple[EntryText, ...] = ()
    every: Annotated[float | None, Field(ge=0.1, le=10_080, strict=False)] = None
    level: Level | None = None
    query: dict[str, str] = Field(default_factory=dict)
    labels: tuple[str, ...] = ()

    @field_validator("level")
    @classmethod
    def _check_level(cls, level: Level | None) -> Level | None:
        if level is Level.INSTANCE:
            raise ValueError('must be "Patient", "Study" or "Series"')
        return level

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.at) == (self.every is not None):
            raise ValueError('needs either "At" or "Every"')
        if self.level is None and (self.query or self.labels):
            raise ValueError('"Query" and "Labels" need "Level"')
        refuse(_unknown_elements("Query", self.query))
        return self


class GivenSource(Model):
    """Where the resource of a test case came from."""

    remote_aet: str = ""
    called_aet: str = ""
    remote_ip: str = ""
    origin: str = ""

    def given(self) -> Source:
        """Return it as a fact."""
        return Source(self.remote_aet, self.called_aet, self.remote_ip, self.origin)


class RuleTest(Model):
    """A test case that a rule carries: what is given, and whether the rule fires.

    Attributes
    ----------
    tags : dict
        Values by element, one or a list.
    time : str or None
        Local date and time, ``2026-03-02T14:00``.
    """

    name: str
    tags: dict[str, str | tuple[str, ...]] = Field(default_factory=dict)
    source: GivenSource = Field(default_factory=lambda: GivenSource())
    labels: tuple[str, ...] = ()
    metadata: dict[str, str] = Field(default_factory=dict)
    counts: dict[Counted, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    time: str | None = None
    fires: StrictBool = True

    @field_validator("time")
    @classmethod
    def _check_time(cls, text: str | None) -> str | None:
        if text is not None:
            try:
                datetime.fromisoformat(text)
            except ValueError:
                raise ValueError("is no date and time, as 2026-03-02T14:00 is") from None
        return text

    @model_validator(mode="after")
    def _check(self) -> Self:
        refuse(_unknown_elements("Tags", self.tags))
        return self


class Mention(NamedTuple):
    """A name that a rule set mentions, and where.

    Attributes
    ----------
    path : str
        JSON path; of the destinations of ``Send`` as if they were written in full.
    """

    path: str
    name: str


class Rule(Model):
    """One rule.

    Attributes
    ----------
    label : str or None
        The label that a rule with the trigger ``Label`` waits for.
    priority : int
        Higher ones are looked at first, and their deliveries go first.
    stop : bool
        Whether the rules after this one are passed over where it fires.
    return_to_sender : bool
        Whether instances may go to where they came from.
    keep_copies : bool
        Whether copies made on the way stay after their delivery.
    """

    name: RuleName
    version: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,64}$")] = "1"
    description: str = ""
    enabled: StrictBool = True
    when: Trigger
    label: str | None = None
    priority: RulePriority = 0
    if_: Annotated[RuleCondition | None, Field(alias="If")] = None
    then: Annotated[tuple[Step, ...], Field(min_length=1, max_length=MAX_STEPS)]
    else_: Annotated[Else, Field(alias="Else")] = Else.CONTINUE
    stop: StrictBool = False
    complete: Complete | None = None
    batch: Batch = Field(default_factory=lambda: Batch())
    schedule: Schedule | None = None
    retry: Retry = Field(default_factory=lambda: Retry())
    window: WindowText | None = None
    return_to_sender: StrictBool = False
    keep_copies: StrictBool = False
    tests: tuple[RuleTest, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        refuse(problems(self))
        return self

    @property
    def level(self) -> Level | None:
        """Level of the resources that it fires for; None where it can be any, or there is none.

        The instances of ``StoredInstance`` are gathered by series.
        """
        if self.when is Trigger.SCHEDULE:
            return None if self.schedule is None else self.schedule.level
        return _LEVELS.get(self.when)

    @property
    def only_tells(self) -> bool:
        """Whether there is nothing to be worked on, only webhooks to be told."""
        if self.when is Trigger.SCHEDULE:
            return self.schedule is not None and self.schedule.level is None
        return self.when in NOTICES

    def destinations(self) -> list[str]:
        """Return the destinations that it sends to, each once, in the order of its steps."""
        names = (name for step in self.then if step.send for name in step.send.to)
        return list(dict.fromkeys(names))


class RuleSet(Model):
    """All rules that are in use at a time.

    Attributes
    ----------
    receive : tuple of dict
        Rules at reception (``curator.receive``), read by their own model.
    """

    rules: Annotated[tuple[Rule, ...], Field(max_length=MAX_RULES)] = ()
    receive: Annotated[tuple[dict[str, Any], ...], Field(max_length=MAX_RULES)] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [rule.name for rule in self.rules]
        refuse(
            Problem(("Rules", index, "Name"), f'there is another rule "{name}"')
            for index, name in enumerate(names)
            if name in names[:index]
        )
        return self

    def rule(self, name: str) -> Rule | None:
        """Return a rule by its name."""
        return next((rule for rule in self.rules if rule.name == name), None)

    def destinations(self) -> list[Mention]:
        """Return the destinations that the rules send to."""
        return [
            Mention(f"{path}.Send.To[{index}]", name)
            for path, step in self.steps()
            if step.send is not None
            for index, name in enumerate(step.send.to)
        ]

    def profiles(self) -> list[Mention]:
        """Return the profiles that the rules anonymize with."""
        return [
            Mention(f"{path}.Anonymize.Profile", step.anonymize.profile)
            for path, step in self.steps()
            if step.anonymize is not None
        ]

    def steps(self) -> Iterator[tuple[str, Step]]:
        """Yield the steps of all rules, each with its JSON path."""
        for number, rule in enumerate(self.rules):
            for position, step in enumerate(rule.then):
                yield f"$.Rules[{number}].Then[{position}]", step


_LEVELS = {
    Trigger.STORED_INSTANCE: Level.SERIES,
    Trigger.STABLE_SERIES: Level.SERIES,
    Trigger.COMPLETED_SERIES: Level.SERIES,
    Trigger.STABLE_STUDY: Level.STUDY,
    Trigger.STABLE_PATIENT: Level.PATIENT,
}


def schema() -> dict[str, Any]:
    """Return the JSON schema of a rule set."""
    return RuleSet.model_json_schema(schema_generator=JsonSchema)


def _unknown_elements(field: str, names: dict[str, Any]) -> Iterator[Problem]:
    for name in names:
        try:
            parse_element(name)
        except ValueError as error:
            yield Problem((field, name), str(error))
