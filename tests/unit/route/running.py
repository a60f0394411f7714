"""Runs on an Orthanc in memory, with the jobs of the other features, and a database: no threads."""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from curator.access import Access
from curator.anonymize.anonymizers import anonymize_service
from curator.anonymize.keyfile import VARIABLE
from curator.anonymize.request import AnonymizeRequest
from curator.anonymize.setup import prepare
from curator.config import Settings
from curator.errors import ErrorCode
from curator.gateway import Gateway
from curator.jobs import JobEngine, Submission
from curator.journal import Journal
from curator.level import Level
from curator.models import validate
from curator.reshape.operation import Operations, task_factory
from curator.reshape.operations import operation_kinds
from curator.route.inventory import Inventory
from curator.route.kinds import DeliveryState, RunState, Trigger
from curator.route.ledger import Ledger
from curator.route.products import Products
from curator.route.reading import FactsReader
from curator.route.retry import Settlement
from curator.route.rule import Rule
from curator.route.run import Run, Subject
from curator.route.runner import Runner
from curator.route.runs import Runs
from curator.route.sender import Senders
from curator.route.steps.work import Tools
from curator.route.witness import JobWitness
from curator.rule_jobs import RuleJobs
from curator.store import Store
from unit.fake_sdk import FakeOrthancError
from unit.reshape.memory import MemoryOrthanc, Steps

#: 2024-02-02 12:00:00 UTC.
START = datetime(2024, 2, 2, 12, tzinfo=UTC).timestamp()

KEY = "0123456789abcdef" * 4

ANONYMIZE = {"Anonymize": {"Profile": "basic"}}

MODALITIES = {
    "PACS": {"AET": "PACS", "Host": "192.0.2.9", "Port": 104},
    "CT": {"AET": "MODALITY", "Host": "192.0.2.77", "Port": 104},
    "SCANNER": {"AET": "SCANNER", "Host": "192.0.2.1", "Port": 104},
    "LOCAL": {"AET": "LOCAL", "Host": "127.0.0.1", "Port": 104},
}
PEERS = {"other": {"Url": "http://192.0.2.1:8042/"}, "far": {"Url": "https://far.example/"}}


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class RoutingOrthanc(MemoryOrthanc):
    """Knows modalities and peers, and when it has received what plugins store.

    Attributes
    ----------
    keeps_md5 : bool
        ``StoreMD5ForAttachments``.
    failing : dict
        What calls raise, by method and the beginning of the URI.
    """

    def __init__(self, clock: Clock, steps: Steps | None = None) -> None:
        super().__init__(steps)
        self.clock = clock
        self.keeps_md5 = True
        self.failing: dict[tuple[str, str], ErrorCode] = {}

    def put_instance(self, dicom: bytes) -> tuple[str, str]:
        orthanc_id, status = super().put_instance(dicom)
        if status == "Success":
            received = datetime.fromtimestamp(self.clock(), UTC).strftime("%Y%m%dT%H%M%S")
            self.nodes[orthanc_id].metadata["ReceptionDate"] = received
        return orthanc_id, status

    def arrive(self, files: Iterable[bytes]) -> list[str]:
        """Receive instances from a modality, now."""
        received = [self.receive(one) for one in files]
        now = datetime.fromtimestamp(self.clock(), UTC).strftime("%Y%m%dT%H%M%S")
        for one in received:
            self.nodes[one].metadata["ReceptionDate"] = now
        return received

    def _answer(self, method: str, uri: str, body: bytes = b"") -> bytes:
        for (failing, beginning), code in self.failing.items():
            if method == failing and uri.startswith(beginning):
                raise FakeOrthancError(int(code), code.name)
        match uri:
            case "/modalities?expand":
                return json.dumps(MODALITIES).encode()
            case "/peers?expand":
                return json.dumps(PEERS).encode()
        return super()._answer(method, uri, body)

    def _described(self, orthanc_id: str) -> dict[str, Any]:
        described = super()._described(orthanc_id)
        if not self.keeps_md5:
            for file in described["Attachments"]:
                file["UncompressedMD5"] = ""
        return described


class InlineEngine(JobEngine):
    """Runs jobs in the thread that waits for them."""

    def begin(self, submission: Submission) -> Callable[[], dict[str, Any]]:
        outcome = super().begin(submission)
        self._run_all()
        return outcome

    def wait(self, job_id: str) -> dict[str, Any]:
        self._run_all()
        return super().wait(job_id)

    def _run_all(self) -> None:
        while self._queue:
            job_id = self._next()
            assert job_id is not None
            self._run(job_id)


class Routed:
    """Curator from its start to its end, on an Orthanc and a database that outlive it."""

    def __init__(self, orthanc: RoutingOrthanc, store: Store, clock: Clock) -> None:
        self.orthanc, self.store, self.clock = orthanc, store, clock
        self.archive: list[str] = []
        self.gateway = Gateway(orthanc)
        self.access = access = Access(self.gateway, 1, "ISO_IR 100")
        self.journal = Journal(store)
        anonymization = prepare(Settings(), {}, Path(), {VARIABLE: KEY}, store)
        self.runs = Runs(store, clock)
        self.ledger = Ledger(store, clock)
        self.inventory = Inventory(self.gateway)
        self.products = Products(store, self.gateway, self.inventory)
        witness = JobWitness(self.runs, self.products)
        self.anonymize = anonymize = anonymize_service(
            access, store, anonymization, witness=witness
        )
        kinds = operation_kinds(access, self.journal, follow_days=30)
        self.engine = InlineEngine(
            store,
            {
                anonymize.job_type: anonymize.task,
                **{name: task_factory(access, self.journal, kind) for name, kind in kinds.items()},
            },
            workers=1,
            history_size=100,
        )
        operations = Operations(access, self.journal, self.engine)
        self.paused: frozenset[str] = frozenset()
        self.tools = Tools(
            access=access,
            runs=self.runs,
            products=self.products,
            inventory=self.inventory,
            journal=self.journal,
            jobs=RuleJobs(anonymize, operations, kinds, self.engine),
            deliveries=self.ledger,
            senders=Senders(self.gateway, lambda _host: ()),
        )
        self.runner = Runner(
            self.tools,
            FactsReader(self.gateway, "ISO_IR 100", clock),
            lambda: self.paused,
            workers=1,
            clock=clock,
            chance=lambda: 1.0,
        )
        self.ledger.on_over(self.runner.deliveries_changed)
        self.runs.recover()
        self.ledger.recover()

    def fire(self, rule: Rule, resource: str, *instances: str, run_id: str = "") -> str:
        """Add the run of a rule on a resource, or on instances of a series."""
        batch = rule.when == Trigger.STORED_INSTANCE
        level = self.orthanc.nodes[resource].level if resource in self.orthanc.nodes else rule.level
        subjects = [Subject(Level.INSTANCE, one) for one in instances]
        run = Run(
            id=run_id or f"{len(self.runs.find(limit=10**6)):08x}-0000-4000-8000-000000000000",
            rule=rule.name,
            version=rule.version,
            trigger=rule.when,
            level=level or Level.STUDY,
            resource=resource,
            priority=rule.priority,
            due=self.clock(),
            subjects=tuple(subjects) if batch else (Subject(level or Level.STUDY, resource),),
            content=rule.model_dump(mode="json", by_alias=True, exclude_none=True),
            created=self.clock(),
            changed=self.clock(),
        )
        with self.store.transaction() as connection:
            self.runs.add([run], connection)
        return run.id

    def work(self) -> None:
        """Bring forward all runs that are due."""
        while any(self.runner.advance(making=making) for making in (False, True)):
            pass

    def deliver(self, *destinations: str, gone: Iterable[str] = ()) -> list[str]:
        """Let destinations confirm what is queued for them, and return that."""
        arrived: list[str] = []
        for destination in destinations or self.ledger.destinations():
            while delivery := self.ledger.take(destination, self.clock()):
                pending = self.ledger.pending(delivery, 10_000)
                there = [one for one in pending if one in self.orthanc.files and one not in gone]
                self.archive += there
                self.ledger.confirm(delivery, there)
                state = DeliveryState.DELIVERED if there or not pending else DeliveryState.CANCELED
                answer = "" if there or not pending else "was deleted before it could be sent"
                assert self.ledger.settle(delivery, Settlement(state, 1, answer=answer))
                arrived += there
        return arrived

    def anonymize_by_hand(self, study: str, profile: str = "basic") -> dict[str, Any]:
        """Anonymize a study as a user does, and return what came of it."""
        resource = self.gateway.resource(Level.STUDY, study)
        assert resource is not None
        request = validate(AnonymizeRequest, {"Profile": profile})
        submission = self.anonymize.submission(
            Level.STUDY, [resource], request, self.anonymize.profile(request), "user"
        )
        return self.engine.submit_and_wait(submission)

    def route(self, rule: Rule, resource: str, *instances: str) -> Run:
        """Carry a run to its end, with all deliveries."""
        run_id = self.fire(rule, resource, *instances)
        for _ in range(10):
            self.work()
            if not self.deliver():
                break
        return self.run(run_id)

    def run(self, run_id: str) -> Run:
        found = self.runs.get(run_id)
        assert found is not None
        return found

    def wait(self, seconds: float) -> None:
        """Let time pass, and bring forward what is due then."""
        self.clock.now += seconds
        self.work()

    def state(self, run_id: str) -> RunState:
        return self.run(run_id).state


def rule(*then: dict[str, Any], **fields: Any) -> Rule:
    """Return a rule with some steps."""
    values = {"Name": "rule", "When": "StableStudy", "Then": list(then), **fields}
    return validate(Rule, values)
