"""Fixtures of the unit tests: a database of a test's own."""

import pytest

from curator.store import Store


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'curator.db'}"


@pytest.fixture
def store(url):
    store = Store(url)
    yield store
    store.close()
