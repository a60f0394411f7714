"""Sees what jobs of anonymization make: copies go with their run, unless a user asks for them."""

from collections.abc import Collection

from curator.route.products import ProductKind, Products
from curator.route.runs import Runs


class JobWitness:
    """Implements ``anonymize.task.Witness``."""

    def __init__(self, runs: Runs, products: Products) -> None:
        self._runs = runs
        self._products = products

    def wanted(self, job_id: str, instances: Collection[str]) -> None:
        """Let nobody remove what a job makes, where another run has made it before."""
        run = self._runs.of_job(job_id)
        if run is None:
            self._products.spare(instances)
        else:
            self._products.share(run, instances)

    def storing(self, job_id: str, instances: Collection[str]) -> None:
        """Note what the job of a run is about to store: it goes at the end."""
        run = self._runs.of_job(job_id)
        if run is not None:
            self._products.note(run, dict.fromkeys(instances, ProductKind.COPY))
