"""Fixtures of the tests of routing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from unit.reshape.memory import SteppedStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SteppedStore]:
    """Return a database of the test's own."""
    store = SteppedStore(tmp_path / "curator.db")
    yield store
    store.close()
