"""The ledger: what goes where, and how far it has come. Nothing that is in it is forgotten.

An instance that a destination has confirmed for a rule is kept in ``sent`` with the fingerprint of
its file: it goes there again only when the file has changed, so late instances go alone.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from curator.errors import BadRequest, Conflict, NotFound
from curator.route.delivery import Delivery, Item, SendOptions
from curator.route.delivery_rows import Filter, InstanceState, chunks, delivery_of, row_of
from curator.route.hours import opening
from curator.route.kinds import (
    UNFINISHED_DELIVERIES,
    UNFINISHED_RUNS,
    DeliveryState,
    FailureKind,
)
from curator.route.lanes import Order
from curator.route.retry import Remaining, Settlement
from curator.route.run import Run
from curator.store import Row, Store, deliveries, delivery_instances, pauses, runs, sent

logger = logging.getLogger(__name__)

#: Name space of the identifiers of deliveries.
_NAMES = uuid.UUID("5d2a8f4e-7b43-4c55-9a57-0f6c2b8f6d10")

#: Due deliveries that are looked at for one that may be taken.
_CANDIDATES = 20

#: States that a user may have tried again.
RETRYABLE = (DeliveryState.QUEUED, DeliveryState.PARKED)

_ENDED = (DeliveryState.DELIVERED, DeliveryState.CANCELED, DeliveryState.REDIRECTED)

_PARTS = delivery_instances.c


class Ledger:
    """All deliveries.

    Parameters
    ----------
    store : Store
    clock : callable
        Seconds since 1970.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._under_way: set[str] = set()
        self._withdrawn: set[str] = set()
        self._over: list[Callable[[str], None]] = []
        self._work: list[Callable[[str], None]] = []
        self._changes: list[Callable[[], None]] = []

    # Listeners, called after what they are told of is kept

    def on_over(self, listener: Callable[[str], None]) -> None:
        """Tell a listener of every run one of whose deliveries is over."""
        self._over.append(listener)

    def on_work(self, listener: Callable[[str], None]) -> None:
        """Tell a listener of every destination that something is queued for."""
        self._work.append(listener)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Tell a listener whenever the state of any delivery has changed."""
        self._changes.append(listener)

    # Runs

    def open(
        self,
        run: Run,
        destination: str,
        items: Sequence[Item],
        options: SendOptions,
        event: dict[str, Any] | None = None,
        user: str = "",
    ) -> Delivery:
        """Open the delivery of a step; opened twice, the first one is found.

        What the destination has had before, and has not changed since, does not go again. Where
        nothing is left, and there is no event to tell of, it is delivered at once; listeners are
        not told of that.

        Parameters
        ----------
        event : dict
            What a webhook is told.
        """
        name = f"{run.id}/{run.position}/{destination}"
        now = self._clock()
        delivery = Delivery(
            id=str(uuid.uuid5(_NAMES, name)),
            run=run.id,
            rule=run.rule,
            version=run.version,
            level=run.level,
            resource=run.resource,
            destination=destination,
            priority=run.priority,
            state=DeliveryState.QUEUED,
            attempts=0,
            next_attempt=opening(options.window, now),
            failure="",
            answer="",
            instances=0,
            done=0,
            options=options,
            event=event or {},
            user=user or run.user,
            created=now,
            changed=now,
            since=now,
        )
        with self._store.transaction() as connection:
            opened = self._enter(delivery, items, connection)
        if opened.state == DeliveryState.QUEUED:
            self._tell(work=[destination])
        return opened

    def _enter(self, delivery: Delivery, items: Iterable[Item], connection: Connection) -> Delivery:
        """Insert a delivery with its instances, unless it is there."""
        found = connection.execute(select(deliveries).where(deliveries.c.id == delivery.id))
        for row in found.mappings():
            return delivery_of(dict(row))
        fingerprints = {item.instance: item.fingerprint for item in items}
        before = _sent(delivery.rule, delivery.destination, fingerprints, connection)
        entered = replace(delivery, instances=len(fingerprints), done=len(before))
        if fingerprints and len(before) == len(fingerprints):
            answer = "everything was delivered before"
            entered = replace(entered, state=DeliveryState.DELIVERED, answer=answer)
        elif not fingerprints and not delivery.event:
            answer = "there was nothing to be delivered"
            entered = replace(entered, state=DeliveryState.DELIVERED, answer=answer)
        connection.execute(insert(deliveries).values(**row_of(entered)))
        rows = [
            {
                "delivery": delivery.id,
                "instance": instance,
                "fingerprint": fingerprint,
                "state": InstanceState.BEFORE if instance in before else InstanceState.QUEUED,
                "answer": "",
            }
            for instance, fingerprint in fingerprints.items()
        ]
        if rows:
            connection.execute(insert(delivery_instances), rows)
        return entered

    def of_run(self, run_id: str) -> list[Delivery]:
        """Return the deliveries of a run, those that have taken the place of others included."""
        return self._select(deliveries.c.run == run_id)

    def confirmed(self, delivery_id: str) -> frozenset[str]:
        """Return the instances of a delivery that its destination has."""
        before = select(_PARTS.instance).where(
            _PARTS.delivery == delivery_id, _PARTS.state == InstanceState.BEFORE
        )
        now = select(sent.c.instance).where(sent.c.delivery == delivery_id)
        return frozenset(
            row["instance"] for query in (before, now) for row in self._store.rows(query)
        )

    def sent_before(self, rule: str, destination: str, items: Iterable[Item]) -> frozenset[str]:
        """Return the instances that a rule would not send to a destination again."""
        fingerprints = {item.instance: item.fingerprint for item in items}
        with self._store.transaction() as connection:
            return _sent(rule, destination, fingerprints, connection)

    def forget_canceled(self, run_id: str) -> None:
        """Let a run open anew what was canceled, and what was redirected meanwhile.

        What has arrived stays in the ledger, and does not go again.

        Raises
        ------
        Conflict
            If one of them is just ending.
        """
        found = self.of_run(run_id)
        if all(one.state != DeliveryState.CANCELED for one in found):
            return
        again = (DeliveryState.CANCELED, DeliveryState.REDIRECTED)
        ids = [one.id for one in found if one.state in again]
        with self._lock:
            if not self._under_way.isdisjoint(ids):
                raise Conflict(f"A delivery of run {run_id} is just ending")
        with self._store.transaction() as connection:
            for chunk in chunks(ids):
                connection.execute(delete(delivery_instances).where(_PARTS.delivery.in_(chunk)))
                connection.execute(delete(deliveries).where(deliveries.c.id.in_(chunk)))

    def forget_sent(self, rule: str, destination: str, instances: Iterable[str]) -> None:
        """Let instances go to a destination again with the next delivery of a rule."""
        with self._store.transaction() as connection:
            for chunk in chunks(instances):
                connection.execute(
                    delete(sent).where(
                        sent.c.rule == rule,
                        sent.c.destination == destination,
                        sent.c.instance.in_(chunk),
                    )
                )

    # Couriers

    def recover(self) -> int:
        """Queue again what was under way when Orthanc was stopped; return how many.

        Called before the couriers start. Times that a clock which stood wrong has put too far away
        come nearer.
        """
        values = {"state": DeliveryState.QUEUED, "changed": self._clock()}
        with self._store.transaction() as connection:
            sending = deliveries.c.state == DeliveryState.SENDING
            interrupted = connection.execute(update(deliveries).where(sending).values(**values))
        self.clamp()
        return interrupted.rowcount

    def clamp(self) -> None:
        """Bring attempts nearer that are later than any rule lets them be.

        A clock that was put back leaves them behind. What waits for a window waits again once it
        was looked at.
        """
        now = self._clock()
        columns = deliveries.c
        far = columns.next_attempt > now + columns.options["longest"].as_float()
        with self._store.transaction() as connection:
            connection.execute(
                update(deliveries)
                .where(columns.state == DeliveryState.QUEUED, far)
                .values(next_attempt=now)
            )

    def waiting_destinations(self) -> list[str]:
        """Return the destinations that something is queued for."""
        return [name for name in self.destinations() if self._first(name, paused=True) is not None]

    def destinations(self) -> list[str]:
        """Return every destination of any delivery, by skipping through the index."""
        found: list[str] = []
        column = deliveries.c.destination
        while True:
            query = select(func.min(column).label("name"))
            rows = self._store.rows(query.where(column > found[-1]) if found else query)
            if rows[0]["name"] is None:
                return found
            found.append(rows[0]["name"])

    def next_due(self, destination: str) -> float | None:
        """Return when the next delivery to a destination is due, None where none is queued.

        Those of rules that are paused do not count.
        """
        return self._first(destination, paused=False)

    def _first(self, destination: str, *, paused: bool) -> float | None:
        columns = deliveries.c
        query = (
            select(columns.next_attempt)
            .where(columns.destination == destination, columns.state == DeliveryState.QUEUED)
            .order_by(columns.next_attempt)
            .limit(1)
        )
        found = self._store.rows(query if paused else query.where(_rule_goes_on()))
        return found[0]["next_attempt"] if found else None

    def take(self, destination: str, now: float, order: Order = Order.PRIORITY) -> Delivery | None:
        """Take a due delivery: it is under way from now on, and nobody else takes it.

        One that shares instances with another of the same rule that is under way is passed over:
        what that one delivers need not go again.
        """
        columns = deliveries.c
        due = (columns.next_attempt, columns.created, columns.id)
        by = (columns.priority.desc(), *due) if order == Order.PRIORITY else due
        # The sum keeps SQLite from sorting all that are due: the index of the lanes is sorted.
        moment = columns.next_attempt + 0 if order == Order.PRIORITY else columns.next_attempt
        query = (
            select(columns.id, columns.rule)
            .where(
                columns.destination == destination,
                columns.state == DeliveryState.QUEUED,
                moment <= now,
                _rule_goes_on(),
            )
            .order_by(*by)
            .limit(_CANDIDATES)
        )
        for row in self._store.rows(query):
            delivery = self._take(row["id"], destination, row["rule"], now)
            if delivery is not None:
                with self._lock:
                    self._under_way.add(delivery.id)
                return delivery
        return None

    def _take(self, delivery_id: str, destination: str, rule: str, now: float) -> Delivery | None:
        statement = (
            update(deliveries)
            .where(
                deliveries.c.id == delivery_id,
                deliveries.c.state == DeliveryState.QUEUED,
                ~_shares_instances(delivery_id, destination, rule),
            )
            .values(state=DeliveryState.SENDING, changed=now)
            .returning(deliveries)
        )
        with self._store.transaction() as connection:
            row = connection.execute(statement).mappings().first()
        return None if row is None else delivery_of(dict(row))

    def postpone(self, delivery: Delivery, until: float) -> None:
        """Queue a delivery again that was taken outside of its window, and all that share it."""
        columns = deliveries.c
        alike = and_(
            columns.state == DeliveryState.QUEUED,
            columns.destination == delivery.destination,
            columns.next_attempt < until,
            columns.options["window"].as_string() == delivery.options.window,
        )
        taken = and_(columns.id == delivery.id, columns.state == DeliveryState.SENDING)
        with self._store.transaction() as connection:
            connection.execute(
                update(deliveries)
                .where(or_(alike, taken))
                .values(state=DeliveryState.QUEUED, next_attempt=until)
            )
        self._ended(delivery.id)

    def pending(self, delivery: Delivery, limit: int) -> tuple[str, ...]:
        """Return instances of a delivery that are to be sent.

        What another delivery of the same rule has brought there meanwhile is confirmed instead.
        """
        with self._store.transaction() as connection:
            query = select(_PARTS.instance, _PARTS.fingerprint).where(
                _PARTS.delivery == delivery.id, _PARTS.state == InstanceState.QUEUED
            )
            queued = {
                row.instance: row.fingerprint
                for row in connection.execute(query.order_by(_PARTS.instance).limit(limit))
            }
            known = _sent(delivery.rule, delivery.destination, queued, connection)
            for chunk in chunks(known):
                connection.execute(
                    update(delivery_instances)
                    .where(_PARTS.delivery == delivery.id, _PARTS.instance.in_(chunk))
                    .values(state=InstanceState.BEFORE)
                )
            if known:
                self._add_done(delivery.id, len(known), connection)
        return tuple(instance for instance in queued if instance not in known)

    def fingerprints(self, delivery: Delivery, instances: Iterable[str]) -> dict[str, str]:
        """Return what instances of a delivery were when it was opened."""
        query = select(_PARTS.instance, _PARTS.fingerprint).where(_PARTS.delivery == delivery.id)
        return {
            row["instance"]: row["fingerprint"]
            for chunk in chunks(instances)
            for row in self._store.rows(query.where(_PARTS.instance.in_(chunk)))
        }

    def confirm(self, delivery: Delivery, instances: Sequence[str]) -> int:
        """Note what a destination has confirmed; return how many of them are new."""
        confirmed = 0
        with self._store.transaction() as connection:
            for chunk in chunks(instances):
                confirmed += self._confirm(delivery, chunk, connection)
            if confirmed:
                self._add_done(delivery.id, confirmed, connection)
        return confirmed

    def _confirm(self, delivery: Delivery, chunk: Sequence[str], connection: Connection) -> int:
        rows = and_(
            _PARTS.delivery == delivery.id,
            _PARTS.instance.in_(chunk),
            _PARTS.state != InstanceState.BEFORE,
        )
        connection.execute(
            delete(sent).where(
                sent.c.rule == delivery.rule,
                sent.c.destination == delivery.destination,
                sent.c.instance.in_(select(_PARTS.instance).where(rows)),
            )
        )
        noted = select(
            literal(delivery.rule),
            literal(delivery.destination),
            _PARTS.instance,
            _PARTS.fingerprint,
            literal(delivery.id),
            literal(self._clock()),
        ).where(rows)
        names = ["rule", "destination", "instance", "fingerprint", "delivery", "at"]
        connection.execute(insert(sent).from_select(names, noted))
        return connection.execute(delete(delivery_instances).where(rows)).rowcount

    def _add_done(self, delivery_id: str, number: int, connection: Connection) -> None:
        connection.execute(
            update(deliveries)
            .where(deliveries.c.id == delivery_id)
            .values(done=deliveries.c.done + number, changed=self._clock())
        )

    def mark(self, delivery: Delivery, answers: Mapping[str, str], state: InstanceState) -> None:
        """Note instances that will not go, with the answers to them."""
        statement = (
            update(delivery_instances)
            .where(
                _PARTS.delivery == delivery.id,
                _PARTS.instance == bindparam("marked"),
                _PARTS.state == InstanceState.QUEUED,
            )
            .values(state=state, answer=bindparam("reason"))
        )
        rows = [{"marked": one, "reason": answer} for one, answer in answers.items()]
        if rows:
            with self._store.transaction() as connection:
                connection.execute(statement, rows)

    def remaining(self, delivery_id: str) -> Remaining:
        """Count the instances of a delivery that are not confirmed."""
        state = _PARTS.state
        answer = func.min(_PARTS.answer).label("answer")
        query = select(state, func.count().label("count"), answer).group_by(state)
        rows = self._store.rows(query.where(_PARTS.delivery == delivery_id))
        counts = {row["state"]: row["count"] for row in rows}
        return Remaining(
            pending=counts.get(InstanceState.QUEUED, 0),
            refused=counts.get(InstanceState.REFUSED, 0),
            gone=counts.get(InstanceState.GONE, 0),
            answer=next(
                (row["answer"] for row in rows if row["state"] == InstanceState.REFUSED), ""
            ),
        )

    def settle(self, delivery: Delivery, settlement: Settlement) -> bool:
        """Note how a delivery stands after an attempt; False if it was withdrawn meanwhile."""
        values = {
            "state": settlement.state,
            "attempts": settlement.attempts,
            "next_attempt": settlement.next_attempt,
            "failure": settlement.failure,
            "answer": settlement.answer,
            "changed": self._clock(),
        }
        where = (deliveries.c.id == delivery.id, deliveries.c.state == DeliveryState.SENDING)
        with self._store.transaction() as connection:
            settled = connection.execute(update(deliveries).where(*where).values(**values)).rowcount
        self._ended(delivery.id)
        over = settled and settlement.state in _ENDED
        self._tell(over=[delivery.run] if over else [])
        return bool(settled)

    def park_overdue(self, destination: str) -> list[Delivery]:
        """Park what is queued for a destination for longer than its rule allows."""
        columns = deliveries.c
        now = self._clock()
        age = columns.options["max_age"].as_float()
        where = (
            columns.destination == destination,
            columns.state == DeliveryState.QUEUED,
            columns.since + age < now,
        )
        values = {
            "state": DeliveryState.PARKED,
            "failure": FailureKind.TRANSIENT,
            "answer": "the destination could not be reached for as long as the rule allows",
        }
        return self._change(where, values)

    @property
    def under_way(self) -> int:
        """How many deliveries couriers are at work with, without asking the database."""
        return len(self._under_way)

    def withdrawn(self, delivery_id: str) -> bool:
        """Tell whether a user has canceled or redirected a delivery that is under way."""
        return delivery_id in self._withdrawn

    # Users

    def get(self, delivery_id: str) -> Delivery | None:
        """Return a delivery, None if there is none."""
        found = self._select(deliveries.c.id == delivery_id)
        return found[0] if found else None

    def find(self, which: Filter, since: int = 0, limit: int | None = None) -> list[Delivery]:
        """Return deliveries, the latest first.

        Parameters
        ----------
        since : int
            Number of deliveries that are passed over.
        """
        return self._select(*which.clauses(), since=since, limit=limit)

    def instances(self, delivery_id: str) -> list[Row]:
        """Return the instances of a delivery: ``instance``, ``state``, ``answer``."""
        waiting = select(_PARTS.instance, _PARTS.state, _PARTS.answer)
        confirmed = select(
            sent.c.instance,
            literal(InstanceState.DELIVERED).label("state"),
            literal("").label("answer"),
        )
        found = self._store.rows(waiting.where(_PARTS.delivery == delivery_id))
        found += self._store.rows(confirmed.where(sent.c.delivery == delivery_id))
        return sorted(found, key=lambda row: str(row["instance"]))

    def counts(self) -> dict[str, dict[DeliveryState, int]]:
        """Count deliveries by destination and state; states without any are left out."""
        columns = deliveries.c
        query = select(columns.destination, columns.state, func.count().label("count"))
        counted: dict[str, dict[DeliveryState, int]] = {}
        for row in self._store.rows(query.group_by(columns.destination, columns.state)):
            counted.setdefault(row["destination"], {})[DeliveryState(row["state"])] = row["count"]
        return counted

    def count(self, destination: str, state: DeliveryState) -> int:
        """Count the deliveries to a destination that are in a state."""
        query = select(func.count().label("count")).where(
            deliveries.c.destination == destination, deliveries.c.state == state
        )
        return int(self._store.rows(query)[0]["count"])

    def oldest(self, destination: str) -> float | None:
        """Return when the oldest unfinished delivery to a destination was opened."""
        query = select(func.min(deliveries.c.created).label("created")).where(
            deliveries.c.destination == destination, deliveries.c.state.in_(UNFINISHED_DELIVERIES)
        )
        found: float | None = self._store.rows(query)[0]["created"]
        return found

    def retry(self, which: Filter, user: str) -> list[Delivery]:
        """Let deliveries go at once that are queued or parked, refused instances included."""
        now = self._clock()
        where = [*which.clauses(), deliveries.c.state.in_(RETRYABLE)]
        values = {
            "state": DeliveryState.QUEUED,
            "attempts": 0,
            "next_attempt": now,
            "failure": "",
            "since": now,
            "user": user,
        }
        chosen = select(deliveries.c.id).where(*where)
        refused = (
            update(delivery_instances)
            .where(_PARTS.state == InstanceState.REFUSED, _PARTS.delivery.in_(chosen))
            .values(state=InstanceState.QUEUED, answer="")
        )
        changed = self._change(where, values, first=refused)
        self._tell(work={one.destination for one in changed})
        return changed

    def cancel(self, delivery_ids: Sequence[str], user: str) -> list[Delivery]:
        """Cancel deliveries that are not over; what a destination has had stays there."""
        return [
            one
            for chunk in chunks(delivery_ids)
            for one in self.cancel_all(Filter(ids=tuple(chunk)), user)
        ]

    def cancel_all(self, which: Filter, user: str) -> list[Delivery]:
        """Cancel all deliveries of a filter that are not over."""
        where = [*which.clauses(), deliveries.c.state.in_(UNFINISHED_DELIVERIES)]
        values = {"state": DeliveryState.CANCELED, "answer": "was canceled", "user": user}
        changed = self._change(where, values)
        self._tell(over={one.run for one in changed})
        return changed

    def redirect(self, delivery_id: str, destination: str, user: str) -> Delivery:
        """Open a delivery to another destination in the place of one that is not over.

        All of its instances go there, also those that the first destination has had already: a
        study is whole in one place.

        Raises
        ------
        NotFound
            If there is no such delivery.
        BadRequest, Conflict
            If it goes there already, or is over.
        """
        old = self.get(delivery_id)
        if old is None:
            raise NotFound(f"Unknown delivery: {delivery_id}")
        if old.destination == destination:
            raise BadRequest(f"$.To: delivery {delivery_id} goes to {destination} already")
        now = self._clock()
        new = replace(
            old,
            id=str(uuid.uuid5(_NAMES, f"{old.id}/{destination}")),
            destination=destination,
            state=DeliveryState.QUEUED,
            attempts=0,
            next_attempt=opening(old.options.window, now),
            failure="",
            answer="",
            user=user,
            created=now,
            changed=now,
            since=now,
        )
        items = self._items(old)
        unfinished = deliveries.c.state.in_(UNFINISHED_DELIVERIES)
        with self._store.transaction() as connection:
            moved = connection.execute(
                update(deliveries)
                .where(deliveries.c.id == old.id, unfinished)
                .values(state=DeliveryState.REDIRECTED, answer=f"to {destination}", changed=now)
            )
            if not moved.rowcount:
                raise Conflict(f"Delivery {delivery_id} is over")
            new = self._enter(new, items, connection)
        self._withdraw([old.id])
        self._tell(over=[old.run], work=[destination])
        return new

    def _items(self, delivery: Delivery) -> list[Item]:
        """Return all instances of a delivery that are not known to be deleted."""
        waiting = select(_PARTS.instance, _PARTS.fingerprint).where(
            _PARTS.delivery == delivery.id, _PARTS.state != InstanceState.GONE
        )
        confirmed = select(sent.c.instance, sent.c.fingerprint).where(
            sent.c.delivery == delivery.id
        )
        rows = self._store.rows(waiting) + self._store.rows(confirmed)
        return [Item(row["instance"], row["fingerprint"]) for row in rows]

    def expire(self, before: float) -> int:
        """Forget deliveries that were over before a moment; return how many.

        What is queued or parked stays, and what runs still need that are not done.
        """
        columns = deliveries.c
        needed = select(runs.c.id).where(runs.c.state.in_(UNFINISHED_RUNS))
        old = (columns.state.in_(_ENDED), columns.changed < before, columns.run.not_in(needed))
        ids = [row["id"] for row in self._store.rows(select(columns.id).where(*old))]
        for chunk in chunks(ids):
            with self._store.transaction() as connection:
                connection.execute(delete(delivery_instances).where(_PARTS.delivery.in_(chunk)))
                connection.execute(delete(deliveries).where(columns.id.in_(chunk)))
        kept = select(columns.id).where(columns.id == sent.c.delivery)
        with self._store.transaction() as connection:
            connection.execute(delete(sent).where(sent.c.at < before, ~exists(kept)))
        return len(ids)

    def _change(
        self, where: Iterable[ColumnElement[bool]], values: Row, first: Any = None
    ) -> list[Delivery]:
        """Change deliveries, and return them as they are now."""
        statement = update(deliveries).where(*where).values(**values, changed=self._clock())
        with self._store.transaction() as connection:
            if first is not None:
                connection.execute(first)
            rows = connection.execute(statement.returning(deliveries)).mappings()
            changed = [delivery_of(dict(row)) for row in rows]
        if values["state"] == DeliveryState.CANCELED:
            self._withdraw(one.id for one in changed)
        self._tell()
        return changed

    def _select(
        self, *where: ColumnElement[bool], since: int = 0, limit: int | None = None
    ) -> list[Delivery]:
        order = (deliveries.c.created.desc(), deliveries.c.id)
        query = select(deliveries).where(*where).order_by(*order)
        return [delivery_of(row) for row in self._store.rows(query.offset(since).limit(limit))]

    def _withdraw(self, delivery_ids: Iterable[str]) -> None:
        with self._lock:
            self._withdrawn.update(self._under_way.intersection(delivery_ids))

    def _ended(self, delivery_id: str) -> None:
        with self._lock:
            self._under_way.discard(delivery_id)
            self._withdrawn.discard(delivery_id)

    def _tell(self, over: Iterable[str] = (), work: Iterable[str] = ()) -> None:
        for listener in self._changes:
            listener()
        for run_id in over:
            for listener_of_runs in self._over:
                listener_of_runs(run_id)
        for destination in work:
            for listener_of_work in self._work:
                listener_of_work(destination)


def _sent(
    rule: str, destination: str, fingerprints: Mapping[str, str], connection: Connection
) -> frozenset[str]:
    """Return the instances that a destination has for a rule, with the same fingerprint."""
    found: set[str] = set()
    for chunk in chunks(fingerprints):
        query = select(sent.c.instance, sent.c.fingerprint).where(
            sent.c.rule == rule, sent.c.destination == destination, sent.c.instance.in_(chunk)
        )
        rows = connection.execute(query)
        found.update(row.instance for row in rows if fingerprints[row.instance] == row.fingerprint)
    return frozenset(found)


def _rule_goes_on() -> ColumnElement[bool]:
    """Return the condition that a user has not paused the rule of a delivery."""
    paused = select(pauses.c.name).where(pauses.c.kind == "Rule")
    return deliveries.c.rule.not_in(paused)


def _shares_instances(delivery_id: str, destination: str, rule: str) -> ColumnElement[bool]:
    """Return the condition that an instance is on its way to the same place for the same rule."""
    other, of_other = deliveries.alias(), delivery_instances.alias()
    own = delivery_instances.alias()
    return exists(
        select(literal(1))
        .select_from(other)
        .join(of_other, of_other.c.delivery == other.c.id)
        .join(own, own.c.instance == of_other.c.instance)
        .where(
            other.c.destination == destination,
            other.c.state == DeliveryState.SENDING,
            other.c.rule == rule,
            own.c.delivery == delivery_id,
        )
        .correlate(None)
    )
