"""Watches over Curator: its status whenever someone asks, its health as a metric, advice once."""

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy.exc import SQLAlchemyError
from typing_extensions import TypedDict

import curator
from curator.config import Settings
from curator.errors import CuratorError
from curator.gateway import Gateway
from curator.health.advice import Facts, advice
from curator.health.bounded import Bounded
from curator.health.trouble import Trouble, latest
from curator.health.verdict import NUMBERS, Health, Signs, judge
from curator.jobs import JobEngine, Workers, timestamp
from curator.route.pulse import Pulse
from curator.route.setup import Routing
from curator.store import SCHEMA_VERSION, Store

logger = logging.getLogger(__name__)

#: Seconds that who asks for the status waits for Curator's database.
PATIENCE = 2.0

#: Seconds between two publications of the health.
INTERVAL = 30.0

#: File systems that are gone when the machine stops.
_VOLATILE = frozenset({"tmpfs", "ramfs"})

_MOUNTS = Path("/proc/self/mounts")


class Profiles(Protocol):
    """Tells of the anonymization profiles."""

    def detecting(self) -> list[str]:
        """Return the names of those that look for text in images."""


class Waiting(TypedDict):
    """How many wait, and since when the first of them does."""

    Count: int
    Since: str | None


class Busy(TypedDict):
    """How many threads there are, and how many of them are at work."""

    Count: int
    Busy: int


class Database(TypedDict):
    """Curator's database."""

    Kind: str
    SchemaVersion: int
    Answers: bool


class TroubleAnswer(TypedDict):
    """A job, run or delivery that went wrong."""

    Time: str
    Kind: str
    ID: str
    Name: str
    State: str
    Error: int | str
    Details: str


class Status(TypedDict):
    """How Curator is; jobs, runs and deliveries are counted by state."""

    Name: str
    Version: str
    OrthancVersion: str
    Health: Health
    HealthDetails: list[str]
    Started: str
    UptimeSeconds: int
    Jobs: dict[str, int]
    Runs: dict[str, int]
    Deliveries: dict[str, dict[str, int]]
    Queue: dict[str, Waiting]
    Workers: dict[str, Busy]
    LastErrors: list[TroubleAnswer]
    Problems: list[str]
    Warnings: list[str]
    Database: Database
    FreeDiskSizeMB: int | None
    Key: str


@dataclass(frozen=True)
class Observed:
    """What the status is about.

    Attributes
    ----------
    index : Path
        Directory of Orthanc's index.
    has_tesseract : bool
        Whether text in images can be found.
    key : str
        Names the key of pseudonyms, and tells nothing about it.
    """

    gateway: Gateway
    store: Store
    engine: JobEngine
    routing: Routing
    profiles: Profiles
    settings: Settings
    configuration: dict[str, Any]
    index: Path
    has_tesseract: bool
    key: str


@dataclass(frozen=True)
class Reading:
    """What Curator's database said, and when."""

    time: str = ""
    jobs: dict[str, int] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)
    deliveries: dict[str, dict[str, int]] = field(default_factory=dict)
    queue: dict[str, Any] = field(default_factory=dict)
    troubles: tuple[Trouble, ...] = ()
    problems: tuple[str, ...] = ()
    detecting: tuple[str, ...] = ()
    free_megabytes: int | None = None


class Monitor:
    """Tells how Curator is, also when its database does not answer.

    Parameters
    ----------
    patience : float
        Seconds that the database may take; then the last that it has said is told, and that it does
        not answer.
    """

    def __init__(
        self,
        around: Observed,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._around = around
        self._clock = clock
        self._begun = clock()
        self._started = timestamp()
        self._running = threading.Event()
        self._last = Reading()
        name_thread = around.gateway.name_thread
        self._read_bounded = Bounded(self._read, patience, name_thread)
        self._pulse = Pulse("curator-health", self._publish, INTERVAL, name_thread)
        self._warned = False

    def start(self) -> None:
        """Publish from now on; called when all workers were started."""
        self._running.set()
        self._pulse.start()

    def stop(self) -> None:
        """Publish no more; called before workers are stopped."""
        self._running.clear()
        self._pulse.stop()

    def status(self) -> Status:
        """Return what ``GET /curator`` tells."""
        around = self._around
        reading, silence = self._reading()
        workers = {"Operations": around.engine.workers, **around.routing.workers}
        health, reasons = judge(
            Signs(
                database=silence,
                dead_workers=self._dead(workers),
                problems=reading.problems,
                is_closed=around.routing.is_closed,
                runs=reading.runs,
                deliveries=reading.deliveries,
                unreachable=around.routing.unreachable(),
                free_megabytes=reading.free_megabytes,
            )
        )
        around.gateway.set_metric("curator_health", NUMBERS[health])
        return {
            "Name": "Curator",
            "Version": curator.__version__,
            "OrthancVersion": self._orthanc,
            "Health": health,
            "HealthDetails": reasons,
            "Started": self._started,
            "UptimeSeconds": int(self._clock() - self._begun),
            "Jobs": reading.jobs,
            "Runs": reading.runs,
            "Deliveries": reading.deliveries,
            "Queue": reading.queue,
            "Workers": {
                name: {"Count": one.alive, "Busy": one.busy} for name, one in workers.items()
            },
            "LastErrors": [_trouble(one) for one in reading.troubles],
            "Problems": list(reading.problems),
            "Warnings": self._advice(reading),
            "Database": {
                "Kind": around.store.kind,
                "SchemaVersion": SCHEMA_VERSION,
                "Answers": not silence,
            },
            "FreeDiskSizeMB": reading.free_megabytes,
            "Key": around.key,
        }

    # The database

    def _reading(self) -> tuple[Reading, str]:
        """Return what the database says, or said last, and why it does not answer now."""
        try:
            self._last = self._read_bounded()
        except TimeoutError:
            silence = "it is locked, or cannot be reached"
        except (SQLAlchemyError, CuratorError) as error:
            silence = type(error).__name__
        else:
            return self._last, ""
        return self._last, f"{silence}; numbers are of {self._last.time or 'never'}"

    def _read(self) -> Reading:
        around = self._around
        engine, routing = around.engine, around.routing
        pending, queue = routing.pending, routing.overview.queue()
        jobs = engine.counts()
        waiting: Waiting = {"Count": jobs["Pending"], "Since": engine.waiting_since()}
        return Reading(
            time=timestamp(),
            jobs=jobs,
            runs=pending["Runs"],
            deliveries=pending["Deliveries"],
            queue={"Jobs": waiting, **queue},
            troubles=tuple(latest([*engine.troubles(), *routing.overview.troubles()])),
            problems=tuple(routing.problems()),
            detecting=() if around.has_tesseract else tuple(around.profiles.detecting()),
            free_megabytes=_free_megabytes(around.index),
        )

    # The rest

    @cached_property
    def _orthanc(self) -> str:
        return str(self._around.gateway.system()["Version"])

    @cached_property
    def _plugins(self) -> dict[str, str]:
        return self._around.gateway.plugins()

    @cached_property
    def _is_volatile(self) -> bool:
        file = self._around.store.file
        if self._around.store.kind != "sqlite":
            return False
        return file is None or _file_system(file.resolve()) in _VOLATILE

    def _dead(self, workers: dict[str, Workers]) -> list[str]:
        if not self._running.is_set():
            return []
        return [name for name, one in workers.items() if one.alive < one.wanted]

    def _advice(self, reading: Reading) -> list[str]:
        around = self._around
        rules = [rule for rule in around.routing.rules.rules if rule.enabled]
        return advice(
            Facts(
                configuration=around.configuration,
                settings=around.settings,
                plugins=self._plugins,
                orthanc=self._orthanc,
                is_volatile=self._is_volatile,
                has_tesseract=around.has_tesseract,
                has_no_delay=os.environ.get("TCP_NODELAY") == "1",
                detecting=reading.detecting,
                destinations=sorted({name for rule in rules for name in rule.destinations()}),
                has_rules=bool(rules),
            )
        )

    def _publish(self) -> float:
        status = self.status()
        if not self._warned:
            self._warned = True
            for text in status["Warnings"]:
                logger.warning("Configuration: %s", text)
        return INTERVAL


def _trouble(one: Trouble) -> TroubleAnswer:
    return {
        "Time": one.time,
        "Kind": one.kind,
        "ID": one.id,
        "Name": one.name,
        "State": one.state,
        "Error": one.code,
        "Details": one.details,
    }


def _free_megabytes(directory: Path) -> int | None:
    try:
        return shutil.disk_usage(directory).free // (1024 * 1024)
    except OSError:
        return None


def _file_system(path: Path) -> str:
    """Return the kind of file system that a path is on; empty where the system does not tell."""
    try:
        mounts = [line.split(" ") for line in _MOUNTS.read_text().splitlines()]
    except OSError:
        return ""
    found = [(Path(one[1]), one[2]) for one in mounts if path.is_relative_to(one[1])]
    return max(found, key=lambda one: len(one[0].parts), default=(path, ""))[1]
