"""A delivery: what goes to one destination, and what a destination answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from curator.level import Level
from curator.route.kinds import DeliveryState, FailureKind


@dataclass(frozen=True)
class SendOptions:
    """How a rule wants a delivery to be made (step ``Send``, ``Transcode``, ``Retry``, ``Window``).

    Attributes
    ----------
    transcode : str or None
        Transfer syntax UID of what is sent.
    storage_commitment, check_count : bool
        What has to confirm a delivery beside the answers to its instances.
    attempts : int
        After as many it is parked.
    first, longest : float
        Seconds before the second attempt, and at most between two.
    max_age : float
        Seconds after which it is parked whatever the attempts.
    window : str or None
        When it may be sent (``Mon-Fri 18:00-07:00``); beside the window of the destination.
    copies : bool
        Whether it is of copies that the rule has made: nothing else goes in their place.
    """

    transcode: str | None = None
    storage_commitment: bool = False
    check_count: bool = False
    attempts: int = 12
    first: float = 30.0
    longest: float = 3600.0
    max_age: float = 7 * 86400.0
    window: str | None = None
    copies: bool = False


@dataclass(frozen=True)
class Item:
    """An instance to be sent; the fingerprint changes when its file does."""

    instance: str
    fingerprint: str


@dataclass(frozen=True)
class Delivery:
    """One row of the ledger, ``curator_deliveries``; times are seconds since 1970 (UTC).

    Attributes
    ----------
    attempts : int
        Counted anew whenever one gets something through.
    instances, done : int
        How many it is about, and how many of them the destination has.
    since : float
        Its age counts from here: when it was opened, or a user had it tried again.
    """

    id: str
    run: str
    rule: str
    version: str
    level: Level
    resource: str
    destination: str
    priority: int
    state: DeliveryState
    attempts: int
    next_attempt: float
    failure: str
    answer: str
    instances: int
    done: int
    options: SendOptions
    event: dict[str, Any]
    user: str
    created: float
    changed: float
    since: float = 0.0


@dataclass(frozen=True)
class Package:
    """What a destination is handed for one attempt.

    Attributes
    ----------
    instances : tuple of str
        Orthanc identifiers of what is not confirmed yet; empty for a mere notice to a webhook.
    """

    delivery: Delivery
    instances: tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """Why an instance, or all that were left, could not be delivered.

    Attributes
    ----------
    answer : str
        For people: status and text of the destination, never a value of an element.
    retry_after : float or None
        Seconds that the destination asks to wait.
    """

    kind: FailureKind
    answer: str
    retry_after: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a package.

    Attributes
    ----------
    failures : mapping
        By instance. What is neither here nor confirmed was not tried.
    failure : Failure or None
        What ended the attempt for all that was left: no connection, a refusal of everything.
    answer : str
        What is kept of a success: warnings, "already there".
    """

    failures: Mapping[str, Failure] = field(default_factory=dict)
    failure: Failure | None = None
    answer: str = ""


#: Takes instances that the destination has confirmed (or has had already), as soon as it has.
Confirm = Callable[[Sequence[str]], None]


class Destination(Protocol):
    """A place that instances go to. Safe to be called from several threads."""

    @property
    def name(self) -> str:
        """``kind:name``."""

    def send(self, package: Package, confirm: Confirm, stopping: Callable[[], bool]) -> Outcome:
        """Send what is in a package; nothing is raised for what the destination does.

        Parameters
        ----------
        stopping : callable
            Whether Orthanc stops: then it ends as soon as it can, within a few seconds.
        """

    def is_back(self) -> bool:
        """Tell whether a destination that did not answer can be reached again, at little cost."""

    def test(self) -> dict[str, Any]:
        """Try it for a user: ``{"Success": bool, "Answer": str}``."""
