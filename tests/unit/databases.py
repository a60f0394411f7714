"""Databases for tests that cost little: the tables are made once, and copied."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from curator.store import Store


def prepare(path: Path) -> None:
    """Put a database there as the first start of Curator makes it, unless there is one."""
    if not path.exists():
        path.write_bytes(_empty())


@cache
def _empty() -> bytes:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "curator.db"
        Store(f"sqlite:///{path}").close()  # the last connection leaves all in this one file
        return path.read_bytes()
