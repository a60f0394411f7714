"""Fixtures of the unit tests: a database of a test's own."""

import pytest

from curator.store import Store
from unit.databases import prepare


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'curator.db'}"


@pytest.fixture
def store(tmp_path, url):
    prepare(tmp_path / "curator.db")
    store = Store(url)
    yield store
    store.close()
