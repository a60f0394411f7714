"""Settings of all tests: hypothesis' examples, by ``HYPOTHESIS_PROFILE``, and their order."""

import os

import pytest
from hypothesis import HealthCheck, settings

# shows what differs where their assertions fail
pytest.register_assert_rewrite("integration.pair", "integration.stored")

settings.register_profile("default", deadline=None, print_blob=True, max_examples=60)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=2000)
settings.register_profile(
    "few",  # inside the interpreters of Orthanc, where the checkout is read-only
    settings.get_profile("default"),
    max_examples=10,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

LONGEST = ("tests/style/", "tests/integration/test_interpreters.py", "tests/integration/")
"""What begins first where several processes share the tests; the unit tests are the shortest."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put long tests before short ones, so that no process has one left when the others end.

    ``CURATOR_TEST_PART=1/2`` leaves the second of two parts: every other test.
    """
    part, _, parts = os.environ.get("CURATOR_TEST_PART", "0/1").partition("/")
    items[:] = items[int(part) :: int(parts)]
    if hasattr(config, "workerinput"):
        items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    return next(
        (place for place, start in enumerate(LONGEST) if item.nodeid.startswith(start)),
        len(LONGEST),
    )
