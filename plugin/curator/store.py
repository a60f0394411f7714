"""Curator's own database: what has to survive a restart.

SQLite beside Orthanc's index by default. The schema has a version; a database of a newer Curator
is refused instead of being damaged.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    delete,
    event,
    func,
    insert,
    inspect,
    or_,
    select,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

SCHEMA_VERSION = 4

metadata = MetaData()

schema = Table("curator_schema", metadata, Column("version", Integer, nullable=False))

jobs = Table(
    "curator_jobs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("type", String(64), nullable=False),
    Column("user", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("created", String(32), nullable=False),
    Column("changed", String(32), nullable=False),
    Column("runtime", Float, nullable=False),
    Column("progress", Float, nullable=False),
    Column("error_code", Integer, nullable=False),
    Column("error_details", Text, nullable=False),
    Column("claims", JSON, nullable=False),
    Column("request", JSON, nullable=False),
    Column("content", JSON, nullable=False),
    Column("user_data", JSON, nullable=True),
    Column("plan", JSON, nullable=True),
    Column("phase", String(16), nullable=False),
)

operations = Table(
    "curator_operations",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("level", String(16), nullable=False),
    Column("resource", String(64), nullable=False),
    Column("job", String(36), nullable=False, index=True),
    Column("user", Text, nullable=False),
    Column("origin", JSON, nullable=False),
    Column("created", String(32), nullable=False, index=True),
    Column("ended", String(32), nullable=False),
    Column("request", JSON, nullable=False),
    Column("plan", JSON, nullable=True),
    Column("content", JSON, nullable=False),
    Column("done", Boolean, nullable=False),
    Column("reverted_by", String(64), nullable=True),
)

operation_instances = Table(
    "curator_operation_instances",
    metadata,
    Column("operation", String(64), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("action", String(16), nullable=False),
    Column("old", String(64), nullable=False),
    Column("new", String(64), nullable=False),
    Column("old_uid", String(128), nullable=False),
    Column("new_uid", String(128), nullable=False),
    Column("file_uuid", String(64), nullable=False, index=True),
    Column("state", JSON, nullable=False),
    Column("way_back", LargeBinary, nullable=True),
)

operation_resources = Table(
    "curator_operation_resources",
    metadata,
    Column("operation", String(64), primary_key=True),
    Column("level", String(16), primary_key=True),
    Column("orthanc_id", String(64), primary_key=True),
    Column("state", JSON, nullable=False),
)

follows = Table(
    "curator_follows",
    metadata,
    Column("orthanc_id", String(64), primary_key=True),
    Column("level", String(16), nullable=False),
    Column("operation", String(64), nullable=False, index=True),
    Column("expires", String(32), nullable=False),
)

spool = Table(
    "curator_spool",
    metadata,
    Column("operation", String(64), primary_key=True),
    Column("orthanc_id", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

#: Which version of an anonymization profile is in use.
profiles = Table(
    "curator_profiles",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("version", String(16), nullable=False),
)

#: Every version of a profile that ever was in use.
profile_versions = Table(
    "curator_profile_versions",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("version", String(16), primary_key=True),
    Column("content", JSON, nullable=False),
    Column("user", Text, nullable=False),
    Column("created", String(32), nullable=False),
)

#: The last number that was given out with a prefix.
pseudonym_counters = Table(
    "curator_pseudonym_counters",
    metadata,
    Column("prefix", Text, primary_key=True),
    Column("last", Integer, nullable=False),
)

#: Numbers that were given out; the original is an HMAC, so that the table tells nobody who is who.
pseudonyms = Table(
    "curator_pseudonyms",
    metadata,
    Column("prefix", Text, primary_key=True),
    Column("original", String(64), primary_key=True),
    Column("number", Integer, nullable=False),
    UniqueConstraint("prefix", "number"),
)

#: Identifiers of the keys that pseudonyms were made with.
used_keys = Table("curator_used_keys", metadata, Column("identifier", String(16), primary_key=True))

#: Which Patient ID became which, in clear, of the profiles that ask for it.
mappings = Table(
    "curator_mappings",
    metadata,
    Column("profile", String(64), primary_key=True),
    Column("id_old", Text, primary_key=True),
    Column("id_new", Text, primary_key=True),
)

#: New instances of an anonymization that is not done: what is to be removed if it fails.
anonymized_instances = Table(
    "curator_anonymized_instances",
    metadata,
    Column("job", String(36), primary_key=True),
    Column("instance", String(64), primary_key=True),
)

#: Every rule set that ever was in use; the last one is.
rule_sets = Table(
    "curator_rule_sets",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("content", JSON, nullable=False),
    Column("user", Text, nullable=False),
    Column("created", String(32), nullable=False),
)

#: Rules and destinations that a user has paused (``kind`` is ``Rule`` or ``Destination``).
pauses = Table(
    "curator_pauses",
    metadata,
    Column("kind", String(16), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("user", Text, nullable=False),
    Column("created", String(32), nullable=False),
)

#: What routing keeps of itself: the cursor in the change log, the last sweep, the last schedules.
route_state = Table(
    "curator_route_state",
    metadata,
    Column("key", String(255), primary_key=True),
    Column("value", JSON, nullable=False),
)

#: How a resource was when it was last looked at by the rules.
route_seen = Table(
    "curator_route_seen",
    metadata,
    Column("resource", String(64), primary_key=True),
    Column("level", String(16), nullable=False),
    Column("updated", String(32), nullable=False, index=True),
    Column("instances", Integer, nullable=False),
)

#: A rule at work on a resource, from the event to the last step.
runs = Table(
    "curator_runs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("rule", String(64), nullable=False, index=True),
    Column("version", String(64), nullable=False),
    Column("trigger", String(32), nullable=False),
    Column("level", String(16), nullable=False),
    Column("resource", String(64), nullable=False, index=True),
    Column("priority", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("due", Float, nullable=False),
    Column("deadline", Float, nullable=True),
    Column("position", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("subjects", JSON, nullable=False),
    Column("products", JSON, nullable=False),
    Column("event", JSON, nullable=False),
    Column("content", JSON, nullable=False),
    Column("job", String(36), nullable=False),
    Column("begun", Float, nullable=True),
    Column("error", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("created", Float, nullable=False, index=True),
    Column("changed", Float, nullable=False),
)
Index("curator_runs_due", runs.c.state, runs.c.due)

#: What rules have made, at every level: none of it makes a rule fire. ``position`` is the step
#: that made it, ``kind`` says whether it goes at the end (``curator.route.products``).
route_products = Table(
    "curator_route_products",
    metadata,
    Column("resource", String(64), primary_key=True),
    Column("run", String(36), primary_key=True),
    Column("rule", String(64), nullable=False),
    Column("level", String(16), nullable=False),
    Column("position", Integer, nullable=False),
    Column("kind", String(16), nullable=False),
)
Index("curator_route_products_run", route_products.c.run, route_products.c.level)

#: What there was when a run began that deletes at its end; nothing else is deleted.
run_originals = Table(
    "curator_run_originals",
    metadata,
    Column("run", String(36), primary_key=True),
    Column("instance", String(64), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
)

#: The ledger: what goes where, and how far it has come.
deliveries = Table(
    "curator_deliveries",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("run", String(36), nullable=False, index=True),
    Column("rule", String(64), nullable=False, index=True),
    Column("version", String(64), nullable=False),
    Column("level", String(16), nullable=False),
    Column("resource", String(64), nullable=False, index=True),
    Column("destination", String(255), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt", Float, nullable=False),
    Column("failure", String(16), nullable=False),
    Column("answer", Text, nullable=False),
    Column("instances", Integer, nullable=False),
    Column("done", Integer, nullable=False),
    Column("options", JSON, nullable=False),
    Column("event", JSON, nullable=False),
    Column("user", Text, nullable=False),
    Column("created", Float, nullable=False, index=True),
    Column("changed", Float, nullable=False),
    Column("since", Float, nullable=False),
)
Index(
    "curator_deliveries_due",
    deliveries.c.destination,
    deliveries.c.state,
    deliveries.c.next_attempt,
)
Index(
    "curator_deliveries_lanes",
    deliveries.c.destination,
    deliveries.c.state,
    deliveries.c.priority.desc(),
    deliveries.c.next_attempt,
)

#: The instances of a delivery that is not over; what is confirmed is in ``sent``.
delivery_instances = Table(
    "curator_delivery_instances",
    metadata,
    Column("delivery", String(36), primary_key=True),
    Column("instance", String(64), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("answer", Text, nullable=False),
)

#: What a destination has confirmed for a rule; sent again only if the file has changed since.
sent = Table(
    "curator_sent",
    metadata,
    Column("rule", String(64), primary_key=True),
    Column("destination", String(255), primary_key=True),
    Column("instance", String(64), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("delivery", String(36), nullable=False, index=True),
    Column("at", Float, nullable=False, index=True),
)

#: Everything about a job but its plan, which may be large and is read only to run the job.
_SUMMARY = [column for column in jobs.columns if column.name != "plan"]

Row = dict[str, Any]


class StoreError(ValueError):
    """The database cannot be opened."""


class Store:
    """Rows of jobs.

    Parameters
    ----------
    url : str
        SQLAlchemy URL.

    Raises
    ------
    StoreError
        If the database cannot be opened, or a newer Curator has written it.
    """

    def __init__(self, url: str) -> None:
        with _refusals():
            self._engine = create_engine(url)
        try:
            with _refusals():
                if self._engine.dialect.name == "sqlite":
                    _make_directory(self._engine.url.database)
                    event.listen(self._engine, "connect", _prepare_sqlite)
                self._upgrade()
        except StoreError:
            self.close()
            raise

    @property
    def kind(self) -> str:
        """Kind of the database (``sqlite``, ``postgresql``)."""
        return self._engine.dialect.name

    @property
    def file(self) -> Path | None:
        """File of an SQLite database; None where there is none, as in memory."""
        name = self._engine.url.database
        return Path(name) if self.kind == "sqlite" and name and name != ":memory:" else None

    def close(self) -> None:
        """Give back all connections."""
        self._engine.dispose()

    def add_job(self, row: Row) -> None:
        """Insert a job."""
        with self.transaction() as connection:
            connection.execute(insert(jobs).values(**row))

    def update_job(self, job_id: str, **values: object) -> None:
        """Change columns of a job."""
        with self.transaction() as connection:
            connection.execute(update(jobs).where(jobs.c.id == job_id).values(**values))

    def job(self, job_id: str) -> Row | None:
        """Read a job without its plan."""
        rows = self.rows(select(*_SUMMARY).where(jobs.c.id == job_id))
        return rows[0] if rows else None

    def plan(self, job_id: str) -> Row | None:
        """Read the plan of a job, or None before it is made."""
        rows = self.rows(select(jobs.c.plan).where(jobs.c.id == job_id))
        return rows[0]["plan"] if rows else None

    def jobs(self, states: Sequence[str] | None = None) -> list[Row]:
        """Read jobs in the order in which they were created."""
        query = select(*_SUMMARY).order_by(jobs.c.created, jobs.c.id)
        return self.rows(query if states is None else query.where(jobs.c.state.in_(states)))

    def unfinished_jobs(self, states: Sequence[str]) -> list[Row]:
        """Read jobs of some states, and those of any other that have changes to finish or undo."""
        query = select(*_SUMMARY).where(or_(jobs.c.state.in_(states), jobs.c.phase != ""))
        return self.rows(query.order_by(jobs.c.created, jobs.c.id))

    def job_ids(self) -> list[str]:
        """Read the identifiers of all jobs."""
        return [row["id"] for row in self.rows(select(jobs.c.id))]

    def count_jobs(self) -> dict[str, int]:
        """Count jobs by state."""
        query = select(jobs.c.state, func.count().label("count")).group_by(jobs.c.state)
        return {row["state"]: row["count"] for row in self.rows(query)}

    def oldest_job(self, state: str) -> str | None:
        """Return when the oldest job of a state was created, None where there is none."""
        query = select(func.min(jobs.c.created).label("created")).where(jobs.c.state == state)
        found: str | None = self.rows(query)[0]["created"]
        return found

    def failed_jobs(self, besides: int, limit: int) -> list[Row]:
        """Read the end of the latest failed jobs, but those with one error code."""
        columns = jobs.c
        ends = (columns.id, columns.type, columns.state, columns.changed)
        query = (
            select(*ends, columns.error_code, columns.error_details)
            .where(columns.state == "Failure", columns.error_code != besides)
            .order_by(columns.changed.desc(), columns.id)
            .limit(limit)
        )
        return self.rows(query)

    def delete_job(self, job_id: str) -> None:
        """Delete a job."""
        with self.transaction() as connection:
            connection.execute(delete(jobs).where(jobs.c.id == job_id))

    def forget_jobs(self, states: Sequence[str], keep: int) -> None:
        """Delete all but the latest jobs of some states, except where an undo is outstanding."""
        old = (
            select(jobs.c.id)
            .where(jobs.c.state.in_(states), jobs.c.phase == "")
            .order_by(jobs.c.changed.desc(), jobs.c.id)
            .offset(keep)
            .limit(1_000_000)
        )
        with self.transaction() as connection:
            connection.execute(delete(jobs).where(jobs.c.id.in_(old.scalar_subquery())))

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Open a transaction that is committed at the end of the block."""
        with self._engine.begin() as connection:
            yield connection

    def rows(self, query: Any) -> list[Row]:
        """Read all rows of a query."""
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def _upgrade(self) -> None:
        version = _schema_version(self._engine)
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"$.Curator.Database: the database has schema {version}, written by a newer"
                f" Curator; this one knows schema {SCHEMA_VERSION}"
            )
        with self.transaction() as connection:
            metadata.create_all(connection)
            if version == 0:
                connection.execute(insert(schema).values(version=SCHEMA_VERSION))
            elif version < SCHEMA_VERSION:  # so far, newer schemas only add tables
                connection.execute(update(schema).values(version=SCHEMA_VERSION))


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn what a bad URL, driver, directory or file raises into ``StoreError``."""
    try:
        yield
    except StoreError:
        raise
    except (SQLAlchemyError, ImportError, OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise StoreError(f"$.Curator.Database: cannot open the database: {why}") from error


def _schema_version(engine: Engine) -> int:
    if not inspect(engine).has_table(schema.name):
        return 0
    with engine.connect() as connection:
        return connection.execute(select(schema.c.version)).scalar() or 0


def _make_directory(database: str | None) -> None:
    """Make the directory of a file: at the first start, Orthanc makes its own only later."""
    if database and database != ":memory:":
        Path(database).parent.mkdir(parents=True, exist_ok=True)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """Make commits durable, and let readers go on while one writes."""
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
