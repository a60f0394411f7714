"""A core in memory that sends, and packages for it."""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from curator.level import Level
from curator.route.delivery import Delivery, Package, SendOptions
from curator.route.kinds import DeliveryState
from unit.fake_sdk import FakeOrthancError, FakeSdk

UNKNOWN = FakeOrthancError(17, "Unknown resource")
NETWORK = FakeOrthancError(9, "Error in the network protocol")


@dataclass
class Job:
    """A job of the core, as its states follow one another."""

    states: list[dict[str, Any]]
    canceled: bool = False


class SendingCore(FakeSdk):
    """Answers what destinations ask; a test tells how jobs and single instances end.

    Attributes
    ----------
    files : dict
        Files by instance.
    on_job : callable
        Takes the body of a store; returns the states of the job, the last one stays.
    on_straight : callable
        Takes a route and a file; returns the answer, or raises.
    echo : bool
        Whether C-ECHO and ``/system`` succeed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, bytes] = {}
        self.jobs: dict[str, Job] = {}
        self.left_over: list[dict[str, Any]] = []
        self.submitted: list[dict[str, Any]] = []
        self.straight: list[bytes] = []
        self.echo = True
        self.on_job: Callable[[dict[str, Any]], list[dict[str, Any]]] = lambda _: [success()]
        self.on_straight: Callable[[str, bytes], bytes] = lambda _uri, _file: b"{}"

    def add(self, count: int) -> list[str]:
        """Store instances; return their identifiers."""
        found = [f"instance-{number}" for number in range(count)]
        self.files.update({instance: instance.encode() for instance in found})
        return found

    def _answer(self, method: str, uri: str, body: bytes = b"") -> bytes:
        parts = uri.split("?")[0].strip("/").split("/")
        match (method, *parts):
            case ("GET", "instances", instance, *_):
                if instance not in self.files:
                    raise UNKNOWN
                return self.files[instance]
            case ("POST", "tools", "bulk-content"):
                return self._bulk(json.loads(body)["Resources"])
            case ("POST", "modalities", _, "store"):
                return self._submit(json.loads(body))
            case ("POST", _, _, "store-straight"):
                answer = self.on_straight(uri, body)
                self.straight.append(body)
                return answer
            case ("POST", "modalities", _, "echo") | ("GET", "peers", _, "system"):
                if not self.echo:
                    raise NETWORK
                return b"{}"
            case ("GET", "jobs"):
                return json.dumps(self.left_over).encode()
            case ("GET", "jobs", job):
                return self._state(job)
            case ("POST", "jobs", job, "cancel"):
                self.jobs.setdefault(job, Job([])).canceled = True
                return b"{}"
            case ("DELETE", "jobs", job):
                del self.jobs[job]
                return b""
        return super()._answer(method, uri, body)

    def _bulk(self, resources: Sequence[str]) -> bytes:
        found = [{"ID": one, "Type": "Instance"} for one in resources if one in self.files]
        return json.dumps(found).encode()

    def _submit(self, body: dict[str, Any]) -> bytes:
        if any(instance not in self.files for instance in body["Resources"]):
            raise UNKNOWN
        self.submitted.append(body)
        job = f"job-{len(self.submitted)}"
        self.jobs[job] = Job(self.on_job(body))
        return json.dumps({"ID": job, "Path": f"/jobs/{job}"}).encode()

    def _state(self, job: str) -> bytes:
        if job not in self.jobs or not self.jobs[job].states:
            raise UNKNOWN
        states = self.jobs[job].states
        state = states.pop(0) if len(states) > 1 else states[0]
        return json.dumps(state).encode()


def success() -> dict[str, Any]:
    """Return the state of a job that has succeeded."""
    return {"State": "Success", "Progress": 100, "ErrorCode": 0}


def running(progress: int) -> dict[str, Any]:
    """Return the state of a job on its way."""
    return {"State": "Running", "Progress": progress, "ErrorCode": 0}


def failure(progress: int, details: str = "", code: int = 9, **more: Any) -> dict[str, Any]:
    """Return the state of a job that has failed."""
    return {
        "State": "Failure",
        "Progress": progress,
        "ErrorCode": code,
        "ErrorDescription": "Error in the network protocol",
        "ErrorDetails": details,
        **more,
    }


@dataclass
class Ticks:
    """A clock that goes on when someone waits."""

    now: float = 1_800_000_000.0
    waits: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def wait(self, _event: threading.Event, seconds: float) -> None:
        """Let time pass."""
        self.waits.append(seconds)
        self.now += seconds


def make_package(instances: Sequence[str], **options: Any) -> Package:
    """Return a package of a delivery with these options."""
    delivery = Delivery(
        id="d-1", run="r-1", rule="to-archive", version="1", level=Level.STUDY, resource="study",
        destination="", priority=5, state=DeliveryState.SENDING, attempts=0, next_attempt=0.0,
        failure="", answer="", instances=len(instances), done=0, options=SendOptions(**options),
        event={}, user="", created=0.0, changed=0.0,
    )  # fmt: skip
    return Package(delivery, tuple(instances))


def never() -> bool:
    """Orthanc does not stop."""
    return False
