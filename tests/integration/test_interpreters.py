"""The unit tests, inside the interpreters that the two releases of Orthanc embed."""

import subprocess
from pathlib import Path

import pytest

import host
import rootfs
from integration.servers import SUITES, engine_name, external_url

pytestmark = pytest.mark.skipif(
    external_url() is not None or engine_name() != "rootfs",
    reason="for the root file systems; CURATOR_TEST_URL or _ENGINE names another Orthanc",
)

INSIDE = {
    "HYPOTHESIS_PROFILE": "few",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONPATH": f"{rootfs.PACKAGES}:{rootfs.TEST_PACKAGES}",
}


ALIKE_ANYWHERE = ("fuzz", "test_layers.py", "test_readme.py", "test_openapi.py")
"""Unit tests that no interpreter can change: of texts, of imports, of more of the same cases."""


def run_inside(
    release: str, work: Path, script: str, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run a shell script where Orthanc would run, with the checkout read-only."""
    root = rootfs.root_directory(SUITES[release])
    unit = host.REPOSITORY / "tests" / "requirements-unit.txt"
    mounts = [
        rootfs.Mount(host.REPOSITORY, rootfs.CHECKOUT),
        rootfs.Mount(
            rootfs.python_packages(root, unit.parents[1] / "requirements.txt"), rootfs.PACKAGES
        ),
        rootfs.Mount(rootfs.python_packages(root, unit), rootfs.TEST_PACKAGES),
        *rootfs.network_files(work),
    ]
    return subprocess.run(
        rootfs.command(root, mounts, ["/bin/sh", "-c", f"cd {rootfs.CHECKOUT} && {script}"]),
        env=rootfs.environment({**INSIDE, **settings}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def test_unit_tests(release, tmp_path):
    """Every other one here, the rest in the other interpreter; the host runs them all."""
    pytest_inside = "exec python3 -m pytest -c .pytest.ini -p no:cacheprovider -q tests/unit"
    for name in ALIKE_ANYWHERE:
        pytest_inside += f" --ignore=tests/unit/{name}"
    part = f"{list(SUITES).index(release)}/{len(SUITES)}"
    ended = run_inside(release, tmp_path, pytest_inside, CURATOR_TEST_PART=part)
    assert ended.returncode == 0, f"the unit tests fail inside {release}:\n{ended.stdout[-20000:]}"


def test_standard_library_is_whole(release, tmp_path):
    modules = "bz2, ctypes, hashlib, lzma, sqlite3, ssl, uuid, zlib, zoneinfo"
    check = f"import {modules}; zoneinfo.ZoneInfo('Europe/Brussels')"
    ended = run_inside(release, tmp_path, f'exec python3 -c "{check}"')
    assert ended.returncode == 0, ended.stdout


def test_nothing_but_storage_can_be_written(release, tmp_path):
    ended = run_inside(
        release, tmp_path, "touch /tmp/own; ! touch ./x && ! touch /etc/x && ! touch /x"
    )
    assert ended.returncode == 0, ended.stdout
    assert ended.stdout.count("Read-only file system") == 3
