"""Curator from its start to its end with anonymization, on an Orthanc in memory."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from curator.access import Access
from curator.anonymize.anonymizers import anonymize_service
from curator.anonymize.keyfile import VARIABLE
from curator.anonymize.reidentify import Reidentifier
from curator.anonymize.request import AnonymizeRequest
from curator.anonymize.rest import AnonymizeApi
from curator.anonymize.setup import prepare
from curator.config import Settings
from curator.gateway import Gateway
from curator.jobs import JobEngine, State
from curator.models import validate
from curator.store import Row, Store
from curator.web import Request, Response, dispatch
from unit.reshape.memory import MemoryOrthanc

KEY = "0123456789abcdef" * 4
NEWER_KEY = "fedcba9876543210" * 4

#: Refuses every accession number but that of the factory.
PICKY: dict[str, Any] = {
    "Name": "picky",
    "Tables": {"known": {"ACC0001": "A1"}},
    "Rules": [{"Tag": "AccessionNumber", "Action": "Lookup", "Table": "known"}],
}


class AnonymizeServer:
    """Curator on an Orthanc and a database that outlive it; jobs run when `work` is called."""

    def __init__(
        self,
        orthanc: MemoryOrthanc,
        store: Store,
        threads: int = 1,
        cache: int = 0,
        reidentify_key: bytes | None = None,
        keys: str = KEY,
    ) -> None:
        self.orthanc = orthanc
        self.store = store
        self.gateway = Gateway(orthanc)
        self.access = Access(self.gateway, threads, "ISO_IR 100", cache)
        anonymization = prepare(Settings(), {}, Path(), {VARIABLE: keys}, store)
        self.mappings = anonymization.mappings
        self.service = anonymize_service(self.access, store, anonymization)
        self.engine = JobEngine(
            store, {self.service.job_type: self.service.task}, workers=1, history_size=100
        )
        reidentifier = Reidentifier(self.gateway, reidentify_key, "ISO_IR 100")
        api = AnonymizeApi(self.service, self.engine, reidentifier)
        self._endpoints = api.endpoints()

    def post(self, uri: str, body: bytes) -> Response:
        """Answer a request."""
        for endpoint in self._endpoints:
            match = re.fullmatch(endpoint.regex, uri)
            if match is not None:
                request = Request("POST", uri, match.groups(), body=body)
                return dispatch(endpoint, request, self.gateway, describe=True)
        raise AssertionError(f"no endpoint for {uri}")

    def work(self) -> None:
        """Run all jobs that are queued."""
        while self.engine._queue:
            job_id = self.engine._next()
            assert job_id is not None
            self.engine._run(job_id)

    def submit(self, *resources: str, **body: Any) -> str:
        """Queue an anonymization and return the identifier of its job."""
        found = self.service.selector.resources(resources)
        request = validate(AnonymizeRequest, {"Profile": PICKY, **body})
        profile = self.service.profile(request)
        level = found[0].level if len(found) == 1 else None
        submission = self.service.submission(level, found, request, profile, "user")
        return self.engine.submit(submission)

    def run(self, *resources: str, **body: Any) -> dict[str, Any]:
        """Anonymize and return the description of the job once it has ended."""
        job_id = self.submit(*resources, **body)
        self.work()
        described = self.engine.describe(job_id)
        assert described is not None
        return described

    def unfinished(self) -> list[Row]:
        """Return the jobs that have not ended, or have left something to do."""
        return self.store.unfinished_jobs((State.PENDING, State.RUNNING, State.PAUSED))
