"""Runs in Curator's database: added once, taken by one worker at a time, never forgotten."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, delete, func, insert, or_, select, update

from curator.level import Level
from curator.route.kinds import UNFINISHED_DELIVERIES, UNFINISHED_RUNS, RunState, Trigger
from curator.route.run import Run, Subject
from curator.store import Row, Store, deliveries, run_originals, runs

#: When a run is due that only an event brings on: a delivery that is over, or a user.
NEVER = 253_402_300_799.0

#: Seconds that no run waits for at once.
LATEST = 7 * 86400.0

#: States in which a run comes up when it is due.
DUE = (RunState.WAITING, RunState.SENDING)

#: Runs or instances in one statement.
_BATCH = 500


class Runs:
    """All runs.

    Parameters
    ----------
    store : Store
    clock : callable
        Seconds since 1970.
    """

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    # Events

    def add(self, new: Sequence[Run], connection: Connection) -> None:
        """Insert runs, in the transaction of the event that they come from."""
        if new:
            connection.execute(insert(runs), [_row(run) for run in new])

    def join(self, run: Run, limit: int, connection: Connection) -> None:
        """Add the instances of a run to one that gathers still, or insert the run.

        The other one is of the same rule, version and resource, and has not been at work yet. The
        one that is full is due at once.

        Parameters
        ----------
        limit : int
            Instances of a full run. More in one go stay together.
        """
        gathering = self._gathering(run, limit, connection)
        if gathering is None:
            full = len(run.subjects) >= limit
            self.add([replace(run, due=min(run.due, self._clock())) if full else run], connection)
            return
        subjects = tuple(dict.fromkeys((*gathering.subjects, *run.subjects)))
        due = self._clock() if len(subjects) >= limit else gathering.due
        joined = connection.execute(
            update(runs)
            .where(runs.c.id == gathering.id, *_UNTOUCHED)
            .values(subjects=_subjects(subjects), due=min(due, gathering.due))
        )
        if not joined.rowcount:  # a worker has just taken it
            self.add([run], connection)

    def waiting(
        self,
        rule: str,
        resource: str,
        version: str | None = None,
        connection: Connection | None = None,
    ) -> Run | None:
        """Return the run of a rule that waits for its first step on a resource, None without.

        Parameters
        ----------
        version : str, optional
            Of the rule; any by default.
        """
        where = [runs.c.rule == rule, runs.c.resource == resource, *_UNTOUCHED]
        if version is not None:
            where.append(runs.c.version == version)
        found = self._select(*where, connection=connection)
        return found[0] if found else None

    def _gathering(self, run: Run, limit: int, connection: Connection) -> Run | None:
        waiting = self.waiting(run.rule, run.resource, run.version, connection)
        return waiting if waiting and len(waiting.subjects) < limit else None

    # Workers

    def due(
        self,
        now: float,
        limit: int,
        *,
        making: bool = False,
        oldest: bool = False,
        without: Collection[str] = (),
    ) -> list[Run]:
        """Return runs to be looked at now, higher priorities first, then the longest due.

        Parameters
        ----------
        making : bool
            Those in a step that makes or moves instances, which may take long; else all others.
        oldest : bool
            The longest due first, whatever their priorities.
        without : collection of str
            Rules that are passed over.
        """
        order = (runs.c.due, runs.c.id)
        query = (
            select(runs)
            .where(runs.c.due <= now, *_of_kind(making, without))
            .order_by(*(order if oldest else (runs.c.priority.desc(), *order)))
            .limit(limit)
        )
        return [_run(row) for row in self._store.rows(query)]

    def next_due(self, *, making: bool = False, without: Collection[str] = ()) -> float | None:
        """Return when the next run is due, None where none ever is by itself."""
        query = select(func.min(runs.c.due).label("due")).where(*_of_kind(making, without))
        due = self._store.rows(query)[0]["due"]
        return None if due is None or due >= NEVER else float(due)

    def take(self, run_id: str) -> Run | None:
        """Begin to work on a run that is due; None if someone else does, or it has changed.

        One that waits becomes ``Running``; one whose deliveries are under way stays so, and is not
        due any more before one of them is over.
        """
        for state, values in (
            (RunState.WAITING, {"state": RunState.RUNNING}),
            (RunState.SENDING, {"due": NEVER}),
        ):
            due = () if state == RunState.WAITING else (runs.c.due < NEVER,)
            if self._update([runs.c.id == run_id, runs.c.state == state, *due], values):
                return self.get(run_id)
        return None

    def move(self, run_id: str, expected: Collection[RunState], **values: Any) -> bool:
        """Change columns of a run if it is in a state that was expected; tell whether it was."""
        where = [runs.c.id == run_id, runs.c.state.in_(tuple(expected))]
        return self._update(where, {**_columns(values), "changed": self._clock()})

    def change(self, run_id: str, **values: Any) -> None:
        """Change columns of a run, whatever its state."""
        self._update([runs.c.id == run_id], {**_columns(values), "changed": self._clock()})

    def bring_on(self, run_id: str) -> None:
        """Let a run come up whose deliveries are under way."""
        where = [runs.c.id == run_id, runs.c.state == RunState.SENDING]
        self._update(where, {"due": self._clock()})

    def recover(self) -> None:
        """Let what a stop has interrupted come up again; called before the workers start."""
        now = self._clock()
        pending = select(deliveries.c.run).where(deliveries.c.state.in_(UNFINISHED_DELIVERIES))
        interrupted = [runs.c.state == RunState.RUNNING]
        self._update(interrupted, {"state": RunState.WAITING, "due": now})
        self._update([runs.c.state == RunState.SENDING, runs.c.id.not_in(pending)], {"due": now})
        late = [runs.c.state == RunState.WAITING, runs.c.due > now + LATEST, runs.c.due < NEVER]
        self._update(late, {"due": now})  # of a clock that stood wrong

    def making_since(self, moment: float, but: str = "") -> bool:
        """Tell whether a run is in a step that makes or moves instances and began before."""
        query = select(runs.c.id).where(
            runs.c.state.in_((RunState.WAITING, RunState.RUNNING)),
            runs.c.job != "",
            runs.c.begun <= moment,
            runs.c.id != but,
        )
        return bool(self._store.rows(query.limit(1)))

    def before(self, run: Run) -> Run | None:
        """Return the last run of the same rule on the same resource that began before this one."""
        query = (
            select(runs)
            .where(
                runs.c.rule == run.rule,
                runs.c.resource == run.resource,
                runs.c.id != run.id,
                runs.c.created <= run.created,
                or_(runs.c.position > 0, runs.c.state == RunState.DONE),
            )
            .order_by(runs.c.created.desc())
            .limit(1)
        )
        found = self._store.rows(query)
        return _run(found[0]) if found else None

    def of_job(self, job_id: str) -> Run | None:
        """Return the unfinished run whose step is a job, None if it is nobody's."""
        found = self._select(runs.c.state.in_(UNFINISHED_RUNS), runs.c.job == job_id)
        return found[0] if found else None

    # Originals

    def note_originals(self, run_id: str, fingerprints: dict[str, str]) -> None:
        """Keep what there is when a run begins; what was kept before stays."""
        rows = [
            {"run": run_id, "instance": instance, "fingerprint": fingerprint}
            for instance, fingerprint in fingerprints.items()
        ]
        with self._store.transaction() as connection:
            kept = select(run_originals.c.run).where(run_originals.c.run == run_id).limit(1)
            if rows and connection.execute(kept).first() is None:
                connection.execute(insert(run_originals), rows)

    def spare(self, run_id: str, instances: Iterable[str]) -> None:
        """Let originals never be deleted: they have gone nowhere."""
        known = list(instances)
        for start in range(0, len(known), _BATCH):
            with self._store.transaction() as connection:
                connection.execute(
                    update(run_originals)
                    .where(
                        run_originals.c.run == run_id,
                        run_originals.c.instance.in_(known[start : start + _BATCH]),
                    )
                    .values(fingerprint="")
                )

    def originals(self, run_id: str) -> dict[str, str]:
        """Return the fingerprints of what there was when a run began, by instance.

        Those of what must not be deleted are empty.
        """
        query = select(run_originals).where(run_originals.c.run == run_id)
        return {row["instance"]: row["fingerprint"] for row in self._store.rows(query)}

    # Users

    def get(self, run_id: str) -> Run | None:
        """Return a run, None if there is none."""
        found = self._select(runs.c.id == run_id)
        return found[0] if found else None

    def find(
        self,
        *,
        states: Collection[RunState] = (),
        rule: str | None = None,
        resource: str | None = None,
        since: int = 0,
        limit: int = 100,
    ) -> list[Run]:
        """Return runs, the latest first.

        Parameters
        ----------
        since : int
            Number of runs that are passed over.
        """
        query = select(runs).order_by(runs.c.created.desc(), runs.c.id).offset(since).limit(limit)
        if states:
            query = query.where(runs.c.state.in_(tuple(states)))
        if rule is not None:
            query = query.where(runs.c.rule == rule)
        if resource is not None:
            query = query.where(runs.c.resource == resource)
        return [_run(row) for row in self._store.rows(query)]

    def counts(self) -> dict[RunState, int]:
        """Count runs by state."""
        query = select(runs.c.state, func.count().label("count")).group_by(runs.c.state)
        counted = {row["state"]: row["count"] for row in self._store.rows(query)}
        return {state: counted.get(state, 0) for state in RunState}

    def counts_by_rule(self) -> dict[str, dict[RunState, int]]:
        """Count runs by rule and state; states without any are left out."""
        query = select(runs.c.rule, runs.c.state, func.count().label("count"))
        counted: dict[str, dict[RunState, int]] = {}
        for row in self._store.rows(query.group_by(runs.c.rule, runs.c.state)):
            counted.setdefault(row["rule"], {})[RunState(row["state"])] = row["count"]
        return counted

    def expire(self, before: float) -> int:
        """Delete runs that were done or canceled before a moment; return how many.

        Failed ones stay: they tell of what was never sent.
        """
        ended = (RunState.DONE, RunState.CANCELED)
        query = select(runs.c.id).where(runs.c.state.in_(ended), runs.c.changed < before)
        old = [row["id"] for row in self._store.rows(query)]
        self.drop(old)
        return len(old)

    def drop(self, run_ids: Sequence[str]) -> None:
        """Delete runs."""
        for start in range(0, len(run_ids), _BATCH):
            batch = run_ids[start : start + _BATCH]
            with self._store.transaction() as connection:
                connection.execute(delete(run_originals).where(run_originals.c.run.in_(batch)))
                connection.execute(delete(runs).where(runs.c.id.in_(batch)))

    def _update(self, where: Iterable[Any], values: dict[str, Any]) -> bool:
        with self._store.transaction() as connection:
            return bool(connection.execute(update(runs).where(*where).values(**values)).rowcount)

    def _select(self, *where: Any, connection: Connection | None = None) -> list[Run]:
        query = select(runs).where(*where).order_by(runs.c.created.desc(), runs.c.id)
        if connection is None:
            return [_run(row) for row in self._store.rows(query)]
        return [_run(dict(row)) for row in connection.execute(query).mappings()]


#: A run that gathers still: no worker has looked at it, or only to see that it is not complete.
_UNTOUCHED = (
    runs.c.state == RunState.WAITING,
    runs.c.position == 0,
    runs.c.attempts == 0,
    runs.c.job == "",
)


def _of_kind(making: bool, without: Collection[str]) -> list[Any]:
    """Return what selects the runs that come up for one kind of worker."""
    kind = runs.c.job != "" if making else runs.c.job == ""
    return [runs.c.state.in_(DUE), kind, *([runs.c.rule.not_in(without)] if without else [])]


def _row(run: Run) -> Row:
    return _columns(vars(run))


def _columns(values: dict[str, Any]) -> dict[str, Any]:
    """Return what the database keeps: subjects as pairs."""
    pairs = ("subjects", "products")
    return {name: _subjects(one) if name in pairs else one for name, one in values.items()}


def _subjects(subjects: Iterable[Subject]) -> list[list[str]]:
    return [[one.level, one.orthanc_id] for one in subjects]


def _run(row: Row) -> Run:
    return Run(
        **row
        | {
            "trigger": Trigger(row["trigger"]),
            "level": Level(row["level"]),
            "state": RunState(row["state"]),
            "subjects": _parsed(row["subjects"]),
            "products": _parsed(row["products"]),
        }
    )


def _parsed(pairs: Iterable[Sequence[str]]) -> tuple[Subject, ...]:
    return tuple(Subject(Level(level), orthanc_id) for level, orthanc_id in pairs)
