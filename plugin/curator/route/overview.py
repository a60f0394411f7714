"""What waits and what has failed, for the status of Curator; asked for every few seconds."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import func, select

from curator.health.trouble import MOST_TROUBLES, Trouble, latest
from curator.route.kinds import DeliveryState, RunState
from curator.route.ledger import Ledger
from curator.route.listing import utc
from curator.route.runs import DUE
from curator.store import Store, deliveries, runs

#: Runs that wait for a person.
_STUCK = (RunState.FAILED, RunState.HELD)

#: Deliveries that may have failed, and are not over.
_OPEN = (DeliveryState.QUEUED, DeliveryState.SENDING, DeliveryState.PARKED)


class Overview:
    """Runs and deliveries as a whole.

    Every query uses an index: there may be a million deliveries that are over.

    Parameters
    ----------
    clock : callable
        Seconds since 1970.
    """

    def __init__(
        self, store: Store, ledger: Ledger, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._clock = clock

    def queue(self) -> dict[str, Any]:
        """Return how many runs are due and deliveries are queued, and since when."""
        names = self._ledger.destinations()
        return {"Runs": self._runs_due(), "Deliveries": self._queued(names)}

    def troubles(self) -> list[Trouble]:
        """Return the runs and deliveries that have failed lately and are not over."""
        found = self._stuck_runs()
        for destination in self._ledger.destinations():
            found += self._failing(destination)
        return latest(found)

    def _runs_due(self) -> dict[str, Any]:
        columns = runs.c
        counted = select(func.count().label("count"), func.min(columns.due).label("since"))
        where = (columns.state.in_(DUE), columns.due <= self._clock())
        row = self._store.rows(counted.where(*where))[0]
        return {"Count": row["count"], "Since": _time(row["since"])}

    def _queued(self, destinations: Sequence[str]) -> dict[str, Any]:
        columns = deliveries.c
        counted = select(func.count().label("count"), func.min(columns.created).label("since"))
        rows = [
            row
            for name in destinations
            for row in self._store.rows(
                counted.where(columns.destination == name, columns.state == DeliveryState.QUEUED)
            )
        ]
        since = [row["since"] for row in rows if row["since"] is not None]
        return {
            "Count": sum(row["count"] for row in rows),
            "Since": _time(min(since, default=None)),
        }

    def _stuck_runs(self) -> list[Trouble]:
        columns = runs.c
        query = (
            select(columns.id, columns.rule, columns.state, columns.changed, columns.error)
            .where(columns.state.in_(_STUCK))
            .order_by(columns.changed.desc())
            .limit(MOST_TROUBLES)
        )
        return [
            Trouble(
                utc(row["changed"]), "Run", row["id"], row["rule"], row["state"], "", row["error"]
            )
            for row in self._store.rows(query)
        ]

    def _failing(self, destination: str) -> list[Trouble]:
        columns = deliveries.c
        query = (
            select(columns.id, columns.state, columns.changed, columns.failure, columns.answer)
            .where(
                columns.destination == destination,
                columns.state.in_(_OPEN),
                columns.failure != "",
            )
            .order_by(columns.changed.desc())
            .limit(MOST_TROUBLES)
        )
        return [
            Trouble(
                utc(row["changed"]),
                "Delivery",
                row["id"],
                destination,
                row["state"],
                row["failure"],
                row["answer"],
            )
            for row in self._store.rows(query)
        ]


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else utc(seconds)
