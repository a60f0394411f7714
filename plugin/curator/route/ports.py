"""What runs need of others: jobs of the other features, the ledger, facts of what is stored."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Protocol

from curator.gateway import Resource
from curator.level import Level
from curator.route.delivery import Delivery, Item, SendOptions
from curator.route.delivery_rows import Filter
from curator.route.facts import Facts
from curator.route.run import Run, Subject


class JobKind(StrEnum):
    """Steps that other features do, as jobs."""

    ANONYMIZE = "Anonymize"
    SPLIT = "Split"
    MERGE = "Merge"


class Jobs(Protocol):
    """Runs jobs of the other features to their ends."""

    def run(
        self,
        kind: JobKind,
        job_id: str,
        subjects: Sequence[Subject],
        options: dict[str, Any],
        user: str,
    ) -> dict[str, Any]:
        """Run a job to its end, or wait for the one that was started with the same identifier.

        Parameters
        ----------
        job_id : str
            A job that has failed with it is run anew; one that is done gives its result again.
        subjects : sequence of Subject
            What is anonymized; of a split the one resource, of a merge its target.
        options : dict
            ``{"Profile": name}``, or the body of the operation.

        Returns
        -------
        dict
            The content of the job.

        Raises
        ------
        Busy
            If another job works on the same resources now.
        Stopping
            If Orthanc stops meanwhile; the job goes on after the next start.
        CuratorError
            What made the job fail; nothing of it is left.
        """

    def forget(self, job_id: str) -> None:
        """Let a job that is done be done again when it is asked for: its result is gone."""

    def cancel(self, job_id: str) -> None:
        """Cancel a job, if there is such a one that is not over."""


class Deliveries(Protocol):
    """The ledger, as far as runs need it."""

    def open(
        self,
        run: Run,
        destination: str,
        items: Sequence[Item],
        options: SendOptions,
        event: dict[str, Any],
        user: str = "",
    ) -> Delivery:
        """Open a delivery of the step that a run stands at, or find it."""

    def of_run(self, run_id: str) -> list[Delivery]:
        """Return all deliveries of a run."""

    def cancel_all(self, which: Filter, user: str) -> Any:
        """Cancel all deliveries of a filter that are not over."""

    def forget_canceled(self, run_id: str) -> None:
        """Let a run open anew what was canceled, and what was redirected meanwhile.

        Raises
        ------
        Conflict
            If one of them is just ending.
        """

    def instances(self, delivery_id: str) -> list[dict[str, Any]]:
        """Return the instances of a delivery: ``instance``, ``state``, ``answer``."""


class Reader(Protocol):
    """Reads what rules ask about."""

    def facts(self, level: Level, orthanc_id: str) -> Facts | None:
        """Return the facts of a resource, None where it is gone."""

    def series_facts(self, facts: Facts) -> Sequence[Facts]:
        """Return those of every series of a patient or study; of a series, its own."""

    def facts_of_instances(self, instances: Sequence[Resource]) -> Sequence[Facts]:
        """Return those of instances that are looked up already."""
