"""Keeps what comes of events, in the transaction that says that they were taken up."""

from collections.abc import Callable, Collection, Sequence

from sqlalchemy import Connection, delete, insert, select, update

from curator.route.kinds import RunState
from curator.route.planning import Plan, Seen
from curator.route.run import Run
from curator.route.runs import Runs
from curator.store import Store, route_seen, runs

#: Identifiers in one statement.
_BATCH = 500


class Keeping:
    """Writes plans into the database.

    Parameters
    ----------
    on_runs : callable
        Called when there are new runs; returns at once.
    """

    def __init__(self, store: Store, runs: Runs, on_runs: Callable[[], None]) -> None:
        self._store = store
        self._runs = runs
        self._on_runs = on_runs

    def keep(
        self, plan: Plan, also: Callable[[Connection], None] = lambda _connection: None
    ) -> list[Run]:
        """Insert the runs of a plan, or let those join that wait already, and note what was seen.

        Parameters
        ----------
        also : callable
            What else is kept in the same transaction; if it raises, nothing is.

        Returns
        -------
        list of Run
            Those that now stand for the runs of the plan, without batches.
        """
        with self._store.transaction() as connection:
            also(connection)
            found = [self._kept(run, connection) for run in plan.runs]
            for batch in plan.batches:
                self._runs.join(batch.run, batch.limit, connection)
            self._note(plan.seen, connection)
        if plan.runs or plan.batches:
            self._on_runs()
        return found

    def seen(self, resources: Sequence[str]) -> dict[str, Seen]:
        """Return how resources were when they were taken up."""
        found = {}
        for start in range(0, len(resources), _BATCH):
            wanted = resources[start : start + _BATCH]
            rows = self._store.rows(select(route_seen).where(route_seen.c.resource.in_(wanted)))
            found.update({row["resource"]: Seen(**row) for row in rows})
        return found

    def forget(self, before: str) -> None:
        """Forget what was seen of resources that have not been updated since a moment."""
        with self._store.transaction() as connection:
            connection.execute(delete(route_seen).where(route_seen.c.updated < before))

    def _kept(self, run: Run, connection: Connection) -> Run:
        """Let an event join the run that waits for the rest of its resource, or insert its own."""
        waiting = self._runs.waiting(run.rule, run.resource, run.version, connection)
        if waiting is not None and _may_join(run, waiting):
            bring_on = (
                update(runs)
                .where(runs.c.id == waiting.id, runs.c.state == RunState.WAITING)
                .values(due=min(waiting.due, run.due))
            )
            if connection.execute(bring_on).rowcount:
                return waiting
        self._runs.add([run], connection)
        return run

    def _note(self, seen: Collection[Seen], connection: Connection) -> None:
        last = {one.resource: one for one in seen}
        if last:
            gone = delete(route_seen).where(route_seen.c.resource.in_(list(last)))
            connection.execute(gone)
            connection.execute(insert(route_seen), [vars(one) for one in last.values()])


def _may_join(run: Run, waiting: Run) -> bool:
    """Tell whether a run says nothing that the one which waits does not say."""
    return (
        run.state is RunState.WAITING
        and run.trigger == waiting.trigger
        and not run.event
        and run.subjects == waiting.subjects
    )
