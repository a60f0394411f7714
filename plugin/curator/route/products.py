"""What rules have made: it makes no rule fire, and copies made on the way go at the end."""

import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import StrEnum

from sqlalchemy import Select, delete, exists, insert, select, update

from curator.gateway import Gateway, Resource
from curator.level import Level
from curator.route.inventory import Inventory
from curator.route.kinds import UNFINISHED_RUNS, RunState
from curator.route.moments import parse_moment
from curator.route.run import Run, Subject
from curator.store import Store, route_products, runs

#: Identifiers in one statement.
_BATCH = 500

#: Instances that are deleted in one call.
_DELETED = 64


class ProductKind(StrEnum):
    """How something that a step goes on with came to be."""

    COPY = "Copy"  # goes at the end
    MOVED = "Moved"  # took the place of its original, and stays
    FOUND = "Found"  # was there before, and stays


class Products:
    """What rules have made, in Curator's database.

    Two runs may make, or need, the same copies. Which of them removes them is decided under a lock.
    """

    def __init__(self, store: Store, gateway: Gateway, inventory: Inventory) -> None:
        self._store = store
        self._gateway = gateway
        self._inventory = inventory
        self._lock = threading.Lock()

    # What was made

    def note(self, run: Run, kinds: Mapping[str, ProductKind]) -> None:
        """Note instances that the step which a run stands at makes; what is noted already stays."""
        with self._lock:
            self._insert(run, Level.INSTANCE, kinds)

    def note_made(self, run: Run, made: Iterable[str], kind: ProductKind) -> list[str]:
        """Note instances that a step goes on with, and return those that are gone again.

        Parameters
        ----------
        kind : ProductKind
            Of those that were not noted before.
        """
        names = list(made)
        with self._lock:
            self._insert(run, Level.INSTANCE, dict.fromkeys(names, kind))
            there = {one.orthanc_id for one in self._gateway.lookup(names)}
        return sorted(set(names) - there)

    def share(self, run: Run, instances: Iterable[str]) -> None:
        """Note that a run needs instances as well, where others have made them that go on still.

        Called before the run looks whether they are there: they stay there from now on.
        """
        with self._lock:
            shared = self._unfinished_copies(instances, run.id)
            self._insert(run, Level.INSTANCE, dict.fromkeys(shared, ProductKind.COPY))

    def spare(self, instances: Iterable[str]) -> None:
        """Let instances stay that runs have made, as a user has asked for them."""
        columns = route_products.c
        with self._lock:
            for batch in _batches(instances):
                with self._store.transaction() as connection:
                    connection.execute(
                        update(route_products)
                        .where(columns.resource.in_(batch), columns.kind == ProductKind.COPY)
                        .values(kind=ProductKind.FOUND)
                    )

    def mark_parents(self, run: Run, made: Iterable[Resource]) -> None:
        """Note patients, studies and series that hold nothing but what rules have made."""
        resources = {one.orthanc_id: one for one in made}
        kinds = self._kinds(run.id, resources)
        new = [one for one, kind in kinds.items() if kind != ProductKind.FOUND]
        instances = [resources[one] for one in new]
        lines = self._inventory.lines(instances)
        moved = ProductKind.MOVED in kinds.values()
        kind = ProductKind.MOVED if moved else ProductKind.COPY
        for level in (Level.SERIES, Level.STUDY, Level.PATIENT):
            counted = Counter(
                lines[one.parent].at(level) for one in instances if one.parent in lines
            )
            products = [
                parent
                for parent, count in counted.items()
                if self._is_product(Subject(level, parent), count)
            ]
            with self._lock:
                self._insert(run, level, dict.fromkeys(products, kind))

    def _is_product(self, subject: Subject, made: int) -> bool:
        if self._gateway.count(Level.INSTANCE, subject.level, subject.orthanc_id) == made:
            return True
        instances = self._inventory.instances([subject])
        return len(self.among(instances)) == len(instances)

    def _insert(self, run: Run, level: Level, kinds: Mapping[str, ProductKind]) -> None:
        known = self._kinds(run.id, kinds)
        rows = [
            {
                "resource": resource,
                "run": run.id,
                "rule": run.rule,
                "level": level,
                "position": run.position,
                "kind": kind,
            }
            for resource, kind in kinds.items()
            if resource not in known
        ]
        if rows:
            with self._store.transaction() as connection:
                connection.execute(insert(route_products), rows)

    # What is asked

    def any(self) -> bool:
        """Tell whether rules have made anything that is known of."""
        return bool(self._store.rows(select(route_products.c.run).limit(1)))

    def among(self, resources: Iterable[str]) -> frozenset[str]:
        """Return those of some resources that rules have made."""
        columns = route_products.c
        query = select(columns.resource).where(columns.kind != ProductKind.FOUND)
        return frozenset(self._of(query, resources))

    def foreign(self, instances: Iterable[str], run_id: str) -> frozenset[str]:
        """Return those of some instances that other runs have made and need still."""
        return self._unfinished_copies(instances, run_id)

    def made(self, run: Run) -> frozenset[str] | None:
        """Return the instances that the next step of a run works on, None where it has made none.

        Those are what the last step has made that made any.
        """
        columns = route_products.c
        query = select(columns.resource, columns.position, columns.kind).where(
            columns.run == run.id, columns.level == Level.INSTANCE, columns.position < run.position
        )
        rows = self._store.rows(query)
        last = max((row["position"] for row in rows), default=None)
        of_last = [row for row in rows if row["position"] == last]
        if all(row["kind"] == ProductKind.MOVED for row in of_last):
            return None
        return frozenset(row["resource"] for row in of_last)

    def are_copies(self, run: Run) -> bool:
        """Tell whether a run works on copies by now, whose removal harms no original."""
        return self.made(run) is not None

    def moved_by(self, rule: str, resource: str) -> tuple[str, int] | None:
        """Return the run and the step of a rule that moved all that is in a resource there."""
        columns = route_products.c
        query = select(columns.run, columns.position).where(
            columns.resource == resource,
            columns.rule == rule,
            columns.kind == ProductKind.MOVED,
            columns.level != Level.INSTANCE,
        )
        found = self._store.rows(query.order_by(columns.position.desc()).limit(1))
        return (found[0]["run"], found[0]["position"]) if found else None

    def moved(self, run_id: str) -> tuple[int, list[str]] | None:
        """Return the last step of a run that moved originals, with what they have become."""
        columns = route_products.c
        query = select(columns.resource, columns.position).where(
            columns.run == run_id,
            columns.level == Level.INSTANCE,
            columns.kind == ProductKind.MOVED,
        )
        rows = self._store.rows(query)
        if not rows:
            return None
        last = max(row["position"] for row in rows)
        return last, [row["resource"] for row in rows if row["position"] == last]

    # The end

    def remove(self, run: Run, before: int | None = None) -> int:
        """Remove the copies that a run has made and nobody else needs; return how many went.

        Parameters
        ----------
        before : int, optional
            Only what steps before this one have made; the rest stays.
        """
        columns = route_products.c
        steps = [] if before is None else [columns.position < before]
        with self._lock:
            query = select(columns.resource).where(
                columns.run == run.id,
                columns.level == Level.INSTANCE,
                columns.kind == ProductKind.COPY,
                *steps,
            )
            copies = [row["resource"] for row in self._store.rows(query)]
            needed = self._unfinished_copies(copies, run.id)
            going = [one for one in copies if one not in needed]
            for start in range(0, len(going), _DELETED):
                self._gateway.delete_instances(going[start : start + _DELETED])
        with self._store.transaction() as connection:
            gone = (columns.run == run.id, columns.kind != ProductKind.MOVED, *steps)
            connection.execute(delete(route_products).where(*gone))
        return len(going)

    def leftovers(self) -> list[str]:
        """Return the runs that have failed or were canceled, and whose copies are there still."""
        columns = route_products.c
        ended = (RunState.FAILED, RunState.CANCELED)
        query = (
            select(columns.run)
            .where(
                columns.kind == ProductKind.COPY,
                columns.run.in_(select(runs.c.id).where(runs.c.state.in_(ended))),
            )
            .distinct()
        )
        return [row["run"] for row in self._store.rows(query)]

    def forget_gone(self) -> None:
        """Forget products that are not stored any more, and whose runs are over."""
        columns = route_products.c
        unfinished = select(runs.c.id).where(runs.c.state.in_(UNFINISHED_RUNS))
        query = select(columns.resource).where(columns.run.not_in(unfinished)).distinct()
        known = [row["resource"] for row in self._store.rows(query)]
        for start in range(0, len(known), _BATCH):
            batch = known[start : start + _BATCH]
            gone = set(batch).difference(one.orthanc_id for one in self._gateway.lookup(batch))
            with self._store.transaction() as connection:
                connection.execute(
                    delete(route_products).where(
                        columns.resource.in_(gone), columns.run.not_in(unfinished)
                    )
                )

    def _unfinished_copies(self, instances: Iterable[str], but: str) -> frozenset[str]:
        columns = route_products.c
        unfinished = exists(
            select(runs.c.id).where(
                runs.c.id == columns.run,
                runs.c.state.in_(UNFINISHED_RUNS),
            )
        )
        query = select(columns.resource).where(
            columns.run != but, columns.kind == ProductKind.COPY, unfinished
        )
        return frozenset(self._of(query, instances))

    def _kinds(self, run_id: str, resources: Iterable[str]) -> dict[str, ProductKind]:
        columns = route_products.c
        found: dict[str, ProductKind] = {}
        for batch in _batches(resources):
            query = select(columns.resource, columns.kind).where(
                columns.run == run_id, columns.resource.in_(batch)
            )
            found |= {row["resource"]: ProductKind(row["kind"]) for row in self._store.rows(query)}
        return found

    def _of(self, query: Select[tuple[str]], among: Iterable[str]) -> Iterator[str]:
        for batch in _batches(among):
            for row in self._store.rows(query.where(route_products.c.resource.in_(batch))):
                yield row["resource"]


def received(resource: Resource) -> float:
    """Return when an instance was received, in seconds since 1970; the core keeps whole seconds.

    What the core does not know counts as received for ever: nothing that may be another's goes.
    """
    return parse_moment(resource.metadata.get("ReceptionDate", "")) or 0.0


def _batches(resources: Iterable[str]) -> Iterator[Collection[str]]:
    known = list(resources)
    for start in range(0, len(known), _BATCH):
        yield known[start : start + _BATCH]
