"""``docker/run`` as its users meet it: a process in the foreground."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

import engines
import host
import settings
from integration.servers import START_SECONDS, SUITES, engine_name, external_url, free_port

LAUNCHER = host.REPOSITORY / "docker" / "run"
SECONDS = 60

pytestmark = pytest.mark.skipif(
    external_url() is not None,
    reason="starts servers of its own; CURATOR_TEST_URL names one that already runs",
)
needs_process = pytest.mark.skipif(
    engine_name() == "docker", reason="the process of Orthanc is out of reach in a container"
)


class Launcher:
    """``docker/run`` on free ports, with a log to read."""

    def __init__(self, directory: Path, *options: str, storage: str | None = "storage") -> None:
        self.http_port, self.dicom_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.log_path = directory / "launcher.log"
        ports = [f"--http-port={self.http_port}", f"--dicom-port={self.dicom_port}"]
        where = [f"--storage={directory / storage}"] if storage else []
        with self.log_path.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, LAUNCHER, f"--engine={engine_name()}", *ports, *where, *options],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "TMPDIR": str(directory)},  # a killed one leaves its files
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def greeting(self) -> str:
        """Wait for the line that says it answers."""
        return self.wait_for(r"^Orthanc \S+ with(out)? Curator answers at .*$")

    def wait_for(self, pattern: str) -> str:
        patience = START_SECONDS[engine_name()]
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if found := re.search(pattern, self.log, re.MULTILINE):
                return found.group()
            assert self.process.poll() is None, f"the launcher ended:\n{self.log}"
            time.sleep(0.05)
        raise AssertionError(f"no line {pattern!r} after {patience} s:\n{self.log}")

    def orthanc_pid(self) -> int:
        """Return the only child of the launcher."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        (pid,) = children.read_text().split()
        assert Path(f"/proc/{pid}/comm").read_text().strip() == "Orthanc"
        return int(pid)

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, timeout=10)


@contextlib.contextmanager
def launched(directory: Path, *options: str) -> Iterator[Launcher]:
    launcher = Launcher(directory, *options)
    try:
        yield launcher
    finally:
        if launcher.process.poll() is None:
            launcher.process.terminate()
            launcher.process.wait(SECONDS)


@pytest.fixture
def suite(release):
    return f"--suite={SUITES[release]}"


def gone(pid: int) -> bool:
    """Return whether a process has ended; wait a little for it."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        state = Path(f"/proc/{pid}/stat")
        with contextlib.suppress(OSError):
            if state.read_text().rpartition(") ")[2].startswith("Z"):
                return True  # ended; whoever adopted it has not asked for its exit code yet
        time.sleep(0.05)
    return False


def mounts() -> list[str]:
    """Return what is mounted in the caches and storages, as this machine sees it."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if str(host.cache_directory()) in line]


def test_configuration_of_the_repository_starts_as_it_is(tmp_path, suite, release):
    with launched(tmp_path, suite) as launcher:
        assert launcher.greeting() == (
            f"Orthanc {release} with Curator answers at {launcher.url}/ "
            f"(DICOM: ORTHANC@127.0.0.1:{launcher.dicom_port})"
        )
        assert launcher.get("/system").json()["Version"] == release
        assert "python" in launcher.get("/plugins").json()
        assert (tmp_path / "storage" / "index").is_file()


@needs_process
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_everything(tmp_path, suite, number):
    with launched(tmp_path, suite) as launcher:
        launcher.greeting()
        pid = launcher.orthanc_pid()
        (work,) = set(re.findall(r"/curator-run-\w+", Path(f"/proc/{pid}/mountinfo").read_text()))
        assert mounts() == []
        launcher.process.send_signal(number)
        assert launcher.process.wait(SECONDS) == 0, launcher.log
        assert gone(pid)
        assert mounts() == []
        assert not (tmp_path / work[1:]).exists()
        assert "Python plugin is finalizing" in launcher.log
        assert "stopped by itself" not in launcher.log


@needs_process
def test_killed_launcher_takes_orthanc_along(tmp_path, suite):
    with launched(tmp_path, suite, "--no-plugin") as launcher:
        launcher.greeting()
        pid = launcher.orthanc_pid()
        launcher.process.kill()
        launcher.process.wait(SECONDS)
        assert gone(pid)
        assert mounts() == []


@needs_process
def test_orthanc_that_ends_by_itself_is_reported(tmp_path, suite):
    with launched(tmp_path, suite, "--no-plugin") as launcher:
        launcher.greeting()
        os.kill(launcher.orthanc_pid(), signal.SIGKILL)
        assert launcher.process.wait(SECONDS) == 128 + signal.SIGKILL
        assert "Orthanc stopped by itself, with exit code 137" in launcher.log


def test_refusal_to_start_is_passed_on(tmp_path, suite):
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps({"StorageCompression": "neither true nor false"}))
    with launched(tmp_path, suite, "--no-plugin", f"--config={wrong}") as launcher:
        assert launcher.process.wait(SECONDS) != 0
        assert "answers at" not in launcher.log
        assert "Orthanc stopped by itself" in launcher.log


def test_stock_server_has_nothing_of_ours(tmp_path, suite):
    with launched(tmp_path, suite, "--no-plugin") as launcher:
        assert "without Curator" in launcher.greeting()
        assert "python" not in launcher.get("/plugins").json()
        assert "dicom-web" in launcher.get("/plugins").json()
        assert launcher.get("/curator").status_code == 404


def test_configurations_are_merged_in_order(tmp_path, suite):
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    first.write_text('{ // with a comment\n"Name": "First", "DicomAet": "FIRST"}')
    second.write_text('{"Name": "Second", "DicomWeb": {"Root": "/elsewhere/"}}')
    options = [suite, "--no-plugin", f"--config={first}", f"--config={second}"]
    with launched(tmp_path, *options) as launcher:
        assert f"FIRST@127.0.0.1:{launcher.dicom_port}" in launcher.greeting()
        system = launcher.get("/system").json()
        assert (system["Name"], system["DicomAet"]) == ("Second", "FIRST")
        assert launcher.get("/elsewhere/studies").status_code == 200


def test_password_does_not_keep_the_launcher_from_answering(tmp_path, suite, release):
    site = tmp_path / "site.json"
    site.write_text('{"AuthenticationEnabled": true, "RegisteredUsers": {"alice": "secret"}}')
    with launched(tmp_path, suite, "--no-plugin", f"--config={site}") as launcher:
        assert launcher.greeting().startswith(f"Orthanc {release} ")
        assert launcher.get("/system").status_code == 401


def test_storage_is_kept_between_runs(tmp_path, suite):
    for patients in (0, 1):
        with launched(tmp_path, suite, "--no-plugin") as launcher:
            launcher.greeting()
            assert len(launcher.get("/patients").json()) == patients
            created = {"Tags": {"PatientID": "1"}}
            answer = requests.post(f"{launcher.url}/tools/create-dicom", json=created, timeout=10)
            assert answer.status_code == 200


def test_two_servers_at_once(tmp_path, suite):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with (
        launched(tmp_path / "one", suite, "--no-plugin") as one,
        launched(tmp_path / "two", suite, "--no-plugin") as two,
    ):
        for launcher in (one, two):
            launcher.greeting()
        created = {"Tags": {"PatientID": "1"}}
        requests.post(f"{one.url}/tools/create-dicom", json=created, timeout=10)
        assert len(one.get("/patients").json()) == 1
        assert two.get("/patients").json() == []


# --- what needs no server --------------------------------------------------------------------


def refusal(*options: str) -> str:
    """Run the launcher where it must refuse, and return what it says."""
    ended = subprocess.run(
        [sys.executable, LAUNCHER, *options],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stderr


def test_broken_configuration_is_named(tmp_path):
    broken = tmp_path / "broken.json"
    broken.write_text('{\n"Name": }')
    assert f"{broken}, line 2, column 9" in refusal(f"--config={broken}")


def test_taken_port_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refusal(f"--http-port={port}", f"--storage={tmp_path}")
    assert f"port {port} cannot be used" in said
    assert "--http-port takes another" in said


def test_image_has_one_release():
    assert "use --engine rootfs for --suite trixie" in refusal(
        "--engine=docker",
        "--suite=trixie",
        f"--http-port={free_port()}",
        f"--dicom-port={free_port()}",
    )


def test_help_names_every_option():
    answer = subprocess.run(
        [sys.executable, LAUNCHER, "--help"], capture_output=True, text=True, check=True
    )
    for option in (
        "--suite",
        "--http-port",
        "--dicom-port",
        "--storage",
        "--config",
        "--no-plugin",
    ):
        assert option in answer.stdout


def test_paths_of_orthanc_json_are_those_of_an_installation():
    """What the launcher puts in place of them is the same, so the file can be copied as it is."""
    ours = settings.read(engines.CONFIGURATION)
    assert ours["Python"]["Path"] == "/opt/curator/plugin/main.py"
    assert ours["StorageDirectory"] == ours["IndexDirectory"] == "/var/lib/orthanc/db"
