"""Digests of what goes wrong, for webhooks: numbers by rule and destination, and no patients."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select

from curator.config import Alerts
from curator.route.delivery import Failure
from curator.route.kinds import DeliveryState, RunState
from curator.route.ledger import Ledger
from curator.route.listing import utc
from curator.route.pulse import Pulse
from curator.route.readiness import INCOMPLETE
from curator.route.rule import AtDeadline
from curator.route.state import RouteState
from curator.store import Store, deliveries, runs

logger = logging.getLogger(__name__)

#: Posts a digest to a webhook, by its name; returns why it was not taken.
Post = Callable[[str, dict[str, Any]], Failure | None]

#: Seconds that a transaction may take at the end of which a change is seen: what is younger is told
#: of next time, so that nothing falls between two digests.
MARGIN = 2.0

#: Runs that are told of.
_TOLD = (RunState.HELD, RunState.FAILED)


@dataclass(frozen=True)
class Mark:
    """How far a webhook was told.

    Attributes
    ----------
    until : float
        What has changed until then was told of, in seconds since 1970.
    sent : float
        When the last digest was sent.
    unreachable : tuple of str
        Destinations that it knows to be left alone.
    """

    until: float = 0.0
    sent: float = 0.0
    unreachable: tuple[str, ...] = ()


class AlertDigests:
    """Tells webhooks of what is parked, held or failed, and of destinations that do not answer.

    How far each was told is kept in the database, so that a restart tells nothing twice.

    Parameters
    ----------
    unreachable : callable
        Returns the destinations that are left alone because they do not answer.
    post : callable
        Posts a digest to a webhook.
    """

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        settings: Alerts,
        unreachable: Callable[[], Sequence[str]],
        post: Post,
        name_thread: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._state = RouteState(store)
        self._ledger = ledger
        self._webhooks = settings.webhooks
        self._interval = settings.minutes * 60.0
        self._unreachable = unreachable
        self._post = post
        self._clock = clock
        self._pulse = Pulse("curator-alerts", self.send, MARGIN, name_thread)

    def start(self) -> None:
        """Tell from now on, if there is anyone to be told."""
        if self._webhooks:
            self._pulse.start()

    def stop(self) -> None:
        """Tell no more."""
        self._pulse.stop()

    def changed(self) -> None:
        """Look whether there is anything to tell; returns at once."""
        self._pulse.poke()

    def send(self) -> float:
        """Send what is due; return the seconds until more may be."""
        return min((self._tell(webhook) for webhook in self._webhooks), default=self._interval)

    def _tell(self, webhook: str) -> float:
        now = self._clock()
        mark = self._mark(webhook)
        if max(mark.until, mark.sent) > now:
            logger.warning("The clock was set back: alerts to %s may come twice", webhook)
            mark = Mark(unreachable=mark.unreachable)
        wait = mark.sent + self._interval - now
        if wait > 0:
            return wait
        unreachable = tuple(self._unreachable())
        digest = self._digest(mark, now, unreachable)
        if not _says_anything(digest):
            if set(unreachable) != set(mark.unreachable):  # one is back
                self._keep(webhook, Mark(mark.until, mark.sent, unreachable))
            is_fresh = _says_anything(self._digest(mark, now + MARGIN, ()))
            return MARGIN if is_fresh else self._interval
        failure = self._post(webhook, digest)
        if failure is None:
            self._keep(webhook, Mark(now - MARGIN, now, unreachable))
        else:
            logger.warning("Webhook %s does not take alerts: %s", webhook, failure.answer)
        return self._interval

    def _digest(self, mark: Mark, now: float, unreachable: Sequence[str]) -> dict[str, Any]:
        until = now - MARGIN
        return {
            "Event": "Alert",
            "Time": utc(now),
            "Parked": self._parked(mark.until, until),
            "Runs": self._runs(mark.until, until),
            "Incomplete": self._incomplete(mark.until, until),
            "Unreachable": [name for name in unreachable if name not in mark.unreachable],
        }

    def _parked(self, after: float, until: float) -> list[dict[str, Any]]:
        columns = deliveries.c
        where = (
            columns.destination.in_(self._ledger.destinations()),
            columns.state == DeliveryState.PARKED,
            columns.changed > after,
            columns.changed <= until,
        )
        return self._counted((columns.destination, columns.rule), where)

    def _runs(self, after: float, until: float) -> list[dict[str, Any]]:
        columns = runs.c
        where = (columns.state.in_(_TOLD), columns.changed > after, columns.changed <= until)
        return self._counted((columns.rule, columns.state), where)

    def _incomplete(self, after: float, until: float) -> list[dict[str, Any]]:
        """Count what was not complete at its deadline, and whose rule wants that to be told."""
        columns = runs.c
        where = (
            columns.deadline > after,
            columns.deadline <= until,
            columns.content[("Complete", "Then")].as_string() == AtDeadline.ALERT,
            columns.error.contains(INCOMPLETE),
        )
        return self._counted((columns.rule,), where)

    def _counted(
        self, by: Sequence[ColumnElement[str]], where: Sequence[ColumnElement[bool]]
    ) -> list[dict[str, Any]]:
        query = select(*by, func.count().label("count")).where(*where).group_by(*by).order_by(*by)
        rows = self._store.rows(query)
        return [{name.capitalize(): value for name, value in row.items()} for row in rows]

    def _mark(self, webhook: str) -> Mark:
        kept = self._state.get(_key(webhook)) or {}
        return Mark(**kept | {"unreachable": tuple(kept.get("unreachable", ()))})

    def _keep(self, webhook: str, mark: Mark) -> None:
        with self._store.transaction() as connection:
            self._state.put(_key(webhook), asdict(mark), connection)


def _says_anything(digest: dict[str, Any]) -> bool:
    return any(digest[name] for name in ("Parked", "Runs", "Incomplete", "Unreachable"))


def _key(webhook: str) -> str:
    return f"alerts/{webhook}"
