"""Fixtures of the integration tests: real Orthancs, of both releases.

``server`` is shared and emptied before each test; ``new_server`` makes servers of a test's own.
"""

import subprocess
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.anonymizing import check_log
from integration.pair import Pair, Party
from integration.servers import OrthancServer, RunningServer, engine_name, external_url, releases

ServerFactory = Callable[..., OrthancServer]


@pytest.fixture(scope="session")
def shared_servers() -> Iterator[dict[str, RunningServer]]:
    """Keep the shared servers, by release, until the session ends."""
    servers: dict[str, RunningServer] = {}
    yield servers
    for server in servers.values():
        if isinstance(server, OrthancServer):
            server.close()


@pytest.fixture(scope="session", params=releases())
def release(request: pytest.FixtureRequest) -> str:
    """Return the release under test."""
    return str(request.param)


@pytest.fixture(scope="session")
def orthanc(release: str, shared_servers: dict[str, RunningServer]) -> RunningServer:
    """Return the shared server of a release, started the first time it is asked for."""
    if release not in shared_servers:
        shared_servers[release] = _start_shared(release)
    return shared_servers[release]


@pytest.fixture
def server(request: pytest.FixtureRequest, orthanc: RunningServer) -> Iterator[RunningServer]:
    """Return the shared server, empty; a test that crashes it fails with its log."""
    if isinstance(orthanc, OrthancServer) and not orthanc.is_alive():
        orthanc.start()  # a test before this one crashed it, and failed for it
    orthanc.clear()
    before = len(orthanc.log)
    request.node.stash.setdefault(_SERVERS, []).append((orthanc, before))
    yield orthanc
    if not orthanc.is_alive():
        pytest.fail(f"Orthanc crashed in this test:\n{orthanc.log[-6000:]}", pytrace=False)
    check_log(orthanc, before)
    if external_url():
        orthanc.clear()  # leave it as we found it


@pytest.fixture
def pair(
    request: pytest.FixtureRequest,
    release: str,
    server: RunningServer,
    shared_servers: dict[str, RunningServer],
) -> Pair:
    """Return the shared server and a stock one of the same release and settings, both empty."""
    stock = _stock(release, shared_servers)
    request.node.stash.setdefault(_SERVERS, []).append((stock, len(stock.log)))
    return Pair(Party(stock), Party(server))


@pytest.fixture(scope="module")
def module_pair(
    release: str, orthanc: RunningServer, shared_servers: dict[str, RunningServer]
) -> Iterator[Pair]:
    """Return the two servers of ``pair``, emptied once for a module whose tests only read."""
    stock = _stock(release, shared_servers)
    if isinstance(orthanc, OrthancServer) and not orthanc.is_alive():
        orthanc.start()
    orthanc.clear()
    before = len(orthanc.log)
    yield Pair(Party(stock), Party(orthanc))
    assert orthanc.is_alive(), f"Orthanc crashed in this module:\n{orthanc.log[-6000:]}"
    check_log(orthanc, before)


@pytest.fixture
def new_server(request: pytest.FixtureRequest, release: str) -> Iterator[ServerFactory]:
    """Return a function that starts a server: ``new_server(StableAge=1, Curator={...})``.

    Settings are keyword arguments; ``with_plugin``, ``storage``, ``in_memory`` and ``plugin`` go to
    :class:`OrthancServer`, and ``started=False`` leaves the start to the test.
    """
    if external_url():
        pytest.skip("starts a server of its own; CURATOR_TEST_URL names one that already runs")
    servers: list[OrthancServer] = []
    logs = request.node.stash.setdefault(_SERVERS, [])

    def start(*, started: bool = True, **options: Any) -> OrthancServer:
        ours = {"with_plugin", "storage", "in_memory", "plugin"}
        own = {name: options.pop(name) for name in ours & options.keys()}
        one = OrthancServer(release, options, engine=engine_name(), **own)
        servers.append(one)
        logs.append((one, 0))
        return one.start() if started else one

    yield start
    try:
        for one in servers:
            check_log(one)
    finally:
        for one in servers:
            one.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a directory on a disk of 32 MB."""
    if engine_name() != "rootfs":
        pytest.skip("a container cannot see what is mounted after it was started")
    directory = tmp_path / "disk"
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(directory)], check=True)
    yield directory
    subprocess.run(["umount", "--lazy", str(directory)], check=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what its servers logged during a test that failed."""
    report = yield
    if report.when == "call" and report.failed:
        for server, start in item.stash.get(_SERVERS, []):
            lines = server.log[start:].splitlines()[-100:]
            state = "runs" if server.is_alive() else "has ended"
            report.sections.append((f"log of {server.url}, which {state}", "\n".join(lines)))
    return report


_SERVERS = pytest.StashKey[list[tuple[RunningServer, int]]]()
"""The servers that a test uses, and where in its log each was when it began."""


def _start_shared(release: str) -> RunningServer:
    url = external_url()
    if url is None:
        return OrthancServer(release, engine=engine_name()).start()
    running = RunningServer(url)
    if running.http.json("/patients"):
        pytest.exit(
            f"{url} holds studies that these tests did not upload: they would delete them", 4
        )
    return running


def _stock(release: str, shared_servers: dict[str, RunningServer]) -> RunningServer:
    """Return the stock server of a release, empty."""
    if external_url() is not None:
        pytest.skip("compares with a stock server of its own")
    name = f"stock {release}"
    if name not in shared_servers:
        started = OrthancServer(release, with_plugin=False, engine=engine_name())
        shared_servers[name] = started.start()
    stock = shared_servers[name]
    if isinstance(stock, OrthancServer) and not stock.is_alive():
        stock.start()  # a test before this one crashed it
    stock.clear()
    return stock
