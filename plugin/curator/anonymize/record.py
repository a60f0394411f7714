"""What an anonymization is about to store, noted before it does: the way back if it fails."""

from collections.abc import Iterable

from sqlalchemy import delete, insert, select

from curator.store import Store, anonymized_instances


class Record:
    """New instances by job, in the database, until the job is done or taken back."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def note(self, job_id: str, instances: Iterable[str]) -> None:
        """Note instances that are not stored yet and were not noted before."""
        rows = [{"job": job_id, "instance": instance} for instance in instances]
        if rows:
            with self._store.transaction() as connection:
                connection.execute(insert(anonymized_instances), rows)

    def noted(self, job_id: str) -> list[str]:
        """Return the instances of a job, of which not all may be stored."""
        table = anonymized_instances
        query = select(table.c.instance).where(table.c.job == job_id).order_by(table.c.instance)
        return [row["instance"] for row in self._store.rows(query)]

    def forget(self, job_id: str) -> None:
        """Forget the instances of a job, which are there to stay, or are gone."""
        table = anonymized_instances
        with self._store.transaction() as connection:
            connection.execute(delete(table).where(table.c.job == job_id))
