"""What every step works with, and what it answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from curator.access import Access
from curator.errors import CuratorError, NotFound, Stopping
from curator.gateway import Resource
from curator.journal import Journal
from curator.level import Level
from curator.route.inventory import Inventory
from curator.route.kinds import Trigger
from curator.route.ports import Deliveries, Jobs
from curator.route.products import Products
from curator.route.rule import Rule
from curator.route.run import Run, Subject
from curator.route.runs import Runs
from curator.route.sender import Senders


class Gone(NotFound):
    """What a step is to work on was deleted."""

    def __init__(self, run: Run) -> None:
        super().__init__(f"{run.level} {run.resource} was deleted")


class Impossible(CuratorError):
    """A step that cannot be done on this resource."""


@dataclass(frozen=True)
class Tools:
    """What steps work with."""

    access: Access
    runs: Runs
    products: Products
    inventory: Inventory
    journal: Journal
    jobs: Jobs
    deliveries: Deliveries
    senders: Senders


@dataclass(frozen=True)
class Work:
    """One step of a run.

    Attributes
    ----------
    stopping : callable
        Whether Orthanc stops, or the run was canceled.
    """

    run: Run
    rule: Rule
    tools: Tools
    stopping: Callable[[], bool]

    def checkpoint(self) -> None:
        """Give way.

        Raises
        ------
        Stopping
            If the step is to end as soon as it can.
        """
        if self.stopping():
            raise Stopping("Orthanc is stopping")

    def instances(self) -> dict[str, Resource]:
        """Return the instances that this step works on.

        They are what the step before has made, or what is stored of the resource, without what
        other runs have made on their way there and remove again.
        """
        found = self.tools.inventory.instances(self.run.subjects)
        made = self.tools.products.made(self.run)
        if made is not None:
            return {one: resource for one, resource in found.items() if one in made}
        foreign = self.tools.products.foreign(found, self.run.id)
        return {one: resource for one, resource in found.items() if one not in foreign}

    def fired_for(self) -> list[Subject]:
        """Return what the rule fired for: the resource, or the instances of a batch."""
        if self.run.trigger == Trigger.STORED_INSTANCE:
            return batch(self.tools.runs, self.run)
        return [Subject(self.run.level, self.run.resource)]


def batch(runs: Runs, run: Run) -> list[Subject]:
    """Return the instances of a batch, whatever its steps have made of them since."""
    originals = runs.originals(run.id)
    return [Subject(Level.INSTANCE, one) for one in originals] or list(run.subjects)


@dataclass(frozen=True)
class Advanced:
    """A step is done.

    Attributes
    ----------
    subjects : tuple of Subject or None
        What the next step works on, None for the same.
    products : tuple of Subject
        Copies that the step has made.
    note : str
        What users have to know of it.
    """

    subjects: tuple[Subject, ...] | None = None
    products: tuple[Subject, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Sending:
    """The step is done when its deliveries are over."""

    note: str = ""


Result = Advanced | Sending


class StepWork(Protocol):
    """Does one kind of step."""

    def __call__(self, work: Work, /) -> Result:
        """Do it, or what is left of it.

        Raises
        ------
        CuratorError
            If it cannot be done, now or ever.
        """
