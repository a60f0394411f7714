"""Runs, clocks and destinations for the tests of deliveries."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from curator.errors import NotFound
from curator.level import Level
from curator.route.delivery import (
    Confirm,
    Delivery,
    Destination,
    Item,
    Outcome,
    Package,
    SendOptions,
)
from curator.route.kinds import Trigger
from curator.route.ledger import Ledger
from curator.route.run import Run
from curator.store import Store

START = 1_700_000_000.0
"""When the clock of a test starts: a Tuesday, 22:13 UTC."""

PACS = "modality:PACS"
OTHER = "peer:other"

PATIENCE = 20
"""Seconds after which a test has failed that waits for a thread."""


@dataclass
class Clock:
    """A clock that a test sets."""

    now: float = START

    def __call__(self) -> float:
        return self.now


def run(run_id: str = "run", **fields: Any) -> Run:
    values: dict[str, Any] = {
        "id": run_id,
        "rule": "rule",
        "version": "1",
        "trigger": Trigger.STABLE_STUDY,
        "level": Level.STUDY,
        "resource": "study",
        "priority": 0,
        "due": 0.0,
        "subjects": (),
        "content": {},
        "created": 0.0,
        "changed": 0.0,
    }
    return Run(**values | fields)


def items(*names: str, fingerprint: str = "f") -> list[Item]:
    return [Item(name, fingerprint) for name in names]


def opened(
    ledger: Ledger,
    run_id: str = "run",
    names: Iterable[str] = ("a", "b"),
    to: str = PACS,
    options: SendOptions | None = None,
    **fields: Any,
) -> Delivery:
    """Open a delivery of a run."""
    return ledger.open(
        run(run_id, **fields), to, items(*names), options or SendOptions(attempts=3, first=10)
    )


class Interrupted(Exception):
    """Takes the place of a ``kill -9``."""


@dataclass
class FakeDestination:
    """Does what a test says, and keeps what it was handed.

    Parameters
    ----------
    acts : list of callable
        What happens at each attempt; at the end all instances are confirmed.
    """

    name: str = PACS
    acts: list[Callable[[Package, Confirm, Callable[[], bool]], Outcome]] = field(
        default_factory=list
    )
    packages: list[Package] = field(default_factory=list)
    back: bool = True
    asked: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, package: Package, confirm: Confirm, stopping: Callable[[], bool]) -> Outcome:
        with self._lock:
            self.packages.append(package)
            act = self.acts.pop(0) if self.acts else accept
        return act(package, confirm, stopping)

    def is_back(self) -> bool:
        self.asked += 1
        return self.back

    def test(self) -> dict[str, Any]:
        return {"Success": self.back, "Answer": "tried"}

    @property
    def sent(self) -> list[tuple[str, ...]]:
        return [package.instances for package in self.packages]


def accept(package: Package, confirm: Confirm, _stopping: Callable[[], bool]) -> Outcome:
    confirm(package.instances)
    return Outcome()


@dataclass
class FakeDestinations:
    """The destinations of a test, by name."""

    known: dict[str, Destination]

    def get(self, name: str) -> Destination:
        if name not in self.known:
            raise NotFound(f"There is no destination {name}")
        return self.known[name]

    def names(self) -> list[str]:
        return sorted(self.known)

    def problem(self, name: str) -> str | None:
        return None if name in self.known else f"there is no destination {name}"


def columns_of(store: Store, table: Any, *names: str) -> list[Sequence[Any]]:
    """Read columns of a table, sorted."""
    return sorted(tuple(row[name] for name in names) for row in store.rows(table.select()))
