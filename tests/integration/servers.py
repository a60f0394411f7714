"""Orthanc servers for tests: real ones, started by the modules that ``docker/run`` uses."""

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import requests

import engines
import settings as orthanc_settings
from rootfs import RELEASES

SUITES = {release: suite for suite, release in RELEASES.items()}
START_SECONDS = {"rootfs": 60, "docker": 900}  # the image is built first
STOP_SECONDS = 60

QUIET: dict[str, Any] = {
    "DicomServerEnabled": False,  # Orthanc binds it to every address; who needs it turns it on
    "KeepAliveTimeout": 60,  # after 1 s it may hang up on a busy client in the middle of a request
    "StableAge": 2,
    "DicomWeb": {"EnableMetadataCache": False},  # what it attaches to stable series has its time
}
"""What every server of the tests has, on top of the ``orthanc.json`` of the repository."""


class Http:
    """A session that takes paths (``/studies``) instead of addresses."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.session = requests.Session()
        self.session.trust_env = False  # no proxy between us and this machine

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send any request; errors of HTTP are answers, not exceptions."""
        options.setdefault("timeout", 120)
        return self.session.request(method, self.url + path, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        """GET; query arguments as ``params``."""
        return self.request("GET", path, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> requests.Response:
        """POST a JSON value, or raw bytes as ``data``."""
        return self.request("POST", path, json=json, **options)

    def put(self, path: str, json: Any = None, **options: Any) -> requests.Response:
        """PUT a JSON value, or raw bytes as ``data``."""
        return self.request("PUT", path, json=json, **options)

    def delete(self, path: str, **options: Any) -> requests.Response:
        """DELETE."""
        return self.request("DELETE", path, **options)

    def json(self, path: str, **options: Any) -> Any:
        """GET what must be there, as JSON."""
        answer = self.get(path, **options)
        assert answer.status_code == 200, f"GET {path}: {answer.status_code} {answer.text[:2000]}"
        return answer.json()

    def close(self) -> None:
        """Close its connections."""
        self.session.close()


class RunningServer:
    """An Orthanc that someone else started; base of those that we start."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/") + "/"
        self.http = Http(self.url)

    @property
    def version(self) -> str:
        """The release of Orthanc, such as ``1.13.0``."""
        return str(self.http.json("/system")["Version"])

    @property
    def log(self) -> str:
        """The log so far; that of a server we did not start is out of reach."""
        return ""

    def is_alive(self) -> bool:
        """Return whether it answers."""
        try:
            return self.http.get("/system", timeout=10).ok
        except requests.ConnectionError:
            return False

    def upload(self, content: bytes) -> dict[str, Any]:
        """Upload one instance or a ZIP archive; return the answer of Orthanc."""
        answer = self.http.post("/instances", data=content)
        assert answer.status_code == 200, f"upload: {answer.status_code} {answer.text[:2000]}"
        return (
            dict(answer.json()) if isinstance(answer.json(), dict) else {"Instances": answer.json()}
        )

    def clear(self) -> None:
        """Delete all patients, and the history of changes and exports."""
        if patients := self.http.json("/patients"):
            answer = self.http.post("/tools/bulk-delete", {"Resources": patients})
            assert answer.ok, answer.text
        for path in ("/changes", "/exports"):
            assert self.http.delete(path).ok


class OrthancServer(RunningServer):
    """An Orthanc of ours, with the plugin, on free ports and a temporary storage.

    Parameters
    ----------
    release
        ``1.12.7`` or ``1.13.0``.
    settings
        Merged into the ``orthanc.json`` of the repository, as ``docker/run --config`` does.
    with_plugin
        False for the stock server.
    plugin
        Directory of the plugin, where it is not that of the repository.
    storage
        A directory that outlives the server; by default a temporary one is made and removed.
    in_memory
        Make the temporary storage on ``/dev/shm``.
    engine
        ``rootfs`` or ``docker``.
    """

    def __init__(
        self,
        release: str,
        settings: Mapping[str, Any] | None = None,
        *,
        with_plugin: bool = True,
        plugin: Path = engines.PLUGIN,
        storage: Path | None = None,
        in_memory: bool = False,
        engine: str = "rootfs",
    ) -> None:
        http_port, dicom_port = free_port(), free_port()
        super().__init__(f"http://127.0.0.1:{http_port}")
        self.http_port, self.dicom_port = http_port, dicom_port
        self.release = release
        parent = "/dev/shm" if in_memory else None  # noqa: S108 -- a memory disk, wanted as such
        self._work = Path(tempfile.mkdtemp(prefix="curator-test-", dir=parent))
        self.storage = storage or self._work / "storage"
        self.storage.mkdir(exist_ok=True)
        self._log_path = self._work / "orthanc.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._patience = START_SECONDS[engine]
        self._engine = engines.choose(engine, SUITES[release])
        ports = {"HttpPort": http_port, "DicomPort": dicom_port}
        wanted = orthanc_settings.read(engines.CONFIGURATION)
        for part in (QUIET, settings or {}, ports):
            wanted = orthanc_settings.merge(wanted, part)
        if not with_plugin:
            wanted = orthanc_settings.without_plugin(wanted)
        self.launch = engines.Launch(SUITES[release], wanted, self.storage, plugin)

    def __enter__(self) -> Self:
        if self._process is None:
            self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process of Orthanc (in Docker: the client that waits for its container)."""
        assert self._process is not None, "the server is not started"
        return self._process.pid

    @property
    def log(self) -> str:
        """The log so far, over restarts."""
        return self._log_path.read_text(errors="replace") if self._log_path.exists() else ""

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        assert self._process is not None, "the server is not started"
        return self._process.poll()

    def is_alive(self) -> bool:
        """Return whether its process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self, *, wait: bool = True) -> Self:
        """Start it, again if need be, on the same storage; wait until it answers."""
        assert not self.is_alive(), "the server runs already"
        with self._log_path.open("ab") as output:
            self._process = self._engine.start(self.launch, self._work, output)
        if wait:
            self.wait_until_it_answers()
        return self

    def wait_until_it_answers(self) -> None:
        """Wait for /system; fail with the log when the server ends or takes too long."""
        deadline = time.monotonic() + self._patience
        while time.monotonic() < deadline:
            if not self.is_alive():
                raise AssertionError(
                    f"Orthanc ended with {self.exit_code} while starting:\n{self.tail()}"
                )
            try:
                self.http.get("/system", timeout=5)
            except requests.RequestException:
                time.sleep(0.05)
            else:
                return
        raise AssertionError(f"Orthanc does not answer after {self._patience} s:\n{self.tail()}")

    def stop(self) -> int:
        """Ask it to stop, as an administrator would; return its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """Kill it by SIGKILL, as a power cut would."""
        return self._end(signal.SIGKILL)

    def close(self) -> None:
        """End it and remove its files; where none stays, without the seconds that a stop takes."""
        try:
            if self.is_alive():
                self._end(signal.SIGKILL if self._work in self.storage.parents else signal.SIGTERM)
        finally:
            self.http.close()
            shutil.rmtree(self._work, ignore_errors=True)

    def tail(self, lines: int = 60) -> str:
        """Return the end of its log."""
        return "\n".join(self.log.splitlines()[-lines:])

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None, "the server is not started"
        if self._process.poll() is None:
            self._engine.signal(self._process, self.launch, number)
        try:
            code = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"Orthanc did not stop:\n{self.tail()}") from None
        self._engine.clean(self.launch)
        self.http.close()
        return code


def free_port() -> int:
    """Return a free port, below those that the kernel hands to outgoing connections."""
    while True:
        port = random.SystemRandom().randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port


def external_url() -> str | None:
    """Return the server to test when it runs already (``CURATOR_TEST_URL``)."""
    return os.environ.get("CURATOR_TEST_URL") or None


def engine_name() -> str:
    """Return what runs the servers (``CURATOR_TEST_ENGINE``): ``rootfs`` or ``docker``."""
    name = os.environ.get("CURATOR_TEST_ENGINE") or "rootfs"
    assert name in {"rootfs", "docker"}, f"CURATOR_TEST_ENGINE is rootfs or docker, not {name}"
    return name


def releases() -> list[str]:
    """Return the releases to test with."""
    if external_url():
        return ["running"]
    if engine_name() == "docker":
        return [RELEASES[engines.DOCKER_SUITE]]
    return sorted(SUITES, key=lambda release: [int(part) for part in release.split(".")])
