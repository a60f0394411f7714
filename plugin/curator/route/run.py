"""A run: one rule at work on one resource, from the event to the last step."""

from dataclasses import dataclass, field
from typing import Any

from curator.level import Level
from curator.route.kinds import RunState, Trigger


@dataclass(frozen=True)
class Subject:
    """A resource that a step works on."""

    level: Level
    orthanc_id: str


@dataclass(frozen=True)
class Run:
    """One row of ``curator_runs``; times are seconds since 1970 (UTC).

    Attributes
    ----------
    due : float
        When a waiting run is looked at again.
    deadline : float or None
        When a run that waits for completeness does not wait any longer.
    position : int
        The next step.
    subjects : tuple of Subject
        What the next step works on: at first the resource, or the instances of a batch.
    products : tuple of Subject
        Copies that steps have made, to be removed at the end.
    event : dict
        What a webhook is told of an event without resource.
    content : dict
        The rule as it was when it fired: a newer one does not change what is under way.
    job : str
        The step at work that makes or moves instances: its job, also while it waits to go on.
    begun : float or None
        When that step began first.
    """

    id: str
    rule: str
    version: str
    trigger: Trigger
    level: Level
    resource: str
    priority: int
    due: float
    subjects: tuple[Subject, ...]
    content: dict[str, Any]
    created: float
    changed: float
    state: RunState = RunState.WAITING
    deadline: float | None = None
    position: int = 0
    attempts: int = 0
    products: tuple[Subject, ...] = ()
    event: dict[str, Any] = field(default_factory=dict)
    job: str = ""
    begun: float | None = None
    error: str = ""
    user: str = ""
