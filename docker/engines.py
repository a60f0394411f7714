"""Start Orthanc: in the Docker image, or in a Debian root file system where there is no Docker.

``docker/run`` and the tests start their servers here, so that both try the same thing.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import host
import rootfs
import settings
from settings import Settings

CONFIGURATION = host.REPOSITORY / "orthanc.json"
PLUGIN = host.REPOSITORY / "plugin"
COMPOSE_FILE = host.REPOSITORY / "docker" / "compose.yml"
DOCKER_SUITE = "forky"
"""The official image has the release of this suite."""


@dataclass(frozen=True)
class Launch:
    """What to start: a release, its settings, and where it keeps its files."""

    suite: str
    settings: Settings
    storage: Path
    plugin: Path = PLUGIN

    @property
    def http_port(self) -> int:
        """The port of the REST API on this host."""
        return int(self.settings.get("HttpPort", 8042))

    @property
    def dicom_port(self) -> int:
        """The port of the DICOM server on this host."""
        return int(self.settings.get("DicomPort", 4242))


class Engine(Protocol):
    """A way to run Orthanc."""

    def start(
        self, launch: Launch, work: Path, output: IO[bytes] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start Orthanc; `work` is a directory of its own for what must exist while it runs."""

    def signal(self, process: subprocess.Popen[bytes], launch: Launch, number: int) -> None:
        """Send a signal to Orthanc."""

    def clean(self, launch: Launch) -> None:
        """Remove what may be left when the process has ended."""


class RootfsEngine:
    """Run Orthanc in a Debian root file system; the process is Orthanc itself."""

    def start(
        self, launch: Launch, work: Path, output: IO[bytes] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start Orthanc, after building the root file system where it is missing."""
        root = rootfs.root_directory(launch.suite)
        packages = rootfs.python_packages(root, host.REPOSITORY / "requirements.txt")
        configuration = work / "configuration"
        configuration.mkdir(exist_ok=True)
        _write_settings(configuration / "orthanc.json", _settings_inside(root, launch.settings))
        mounts = [
            rootfs.Mount(rootfs.compiled_plugin(root, launch.plugin), rootfs.PLUGIN),
            rootfs.Mount(packages, rootfs.PACKAGES),
            rootfs.Mount(configuration, rootfs.CONFIGURATION),
            rootfs.Mount(launch.storage, rootfs.STORAGE, writable=True),
            *rootfs.network_files(work),
        ]
        orthanc = ["/usr/sbin/Orthanc", f"{rootfs.CONFIGURATION}/orthanc.json"]
        return _spawn(rootfs.command(root, mounts, orthanc), rootfs.environment(), output)

    def signal(self, process: subprocess.Popen[bytes], launch: Launch, number: int) -> None:
        """Send a signal: the process is Orthanc."""
        process.send_signal(number)

    def clean(self, launch: Launch) -> None:
        """Do nothing: mounts live and die with the process."""


class DockerEngine:
    """Run the official image with Curator in it, by ``docker/compose.yml``."""

    def start(
        self, launch: Launch, work: Path, output: IO[bytes] | None = None
    ) -> subprocess.Popen[bytes]:
        """Build the image and start its container, in the foreground."""
        _write_settings(work / "orthanc.json", launch.settings)
        variables = {
            "CURATOR_HTTP_PORT": str(launch.http_port),
            "CURATOR_DICOM_PORT": str(launch.dicom_port),
            "CURATOR_CONFIGURATION": str(work / "orthanc.json"),
            "CURATOR_STORAGE": str(launch.storage),
            "CURATOR_PLUGIN": str(launch.plugin),
        }
        up = ["up", "--build", "--no-log-prefix", "--exit-code-from", "orthanc"]
        # SIGTERM makes compose stop the container; it could not after a SIGKILL
        command = host.dies_with_parent([*_compose(launch), *up], "TERM")
        return _spawn(command, {**os.environ, **variables}, output)

    def signal(self, process: subprocess.Popen[bytes], launch: Launch, number: int) -> None:
        """Send a signal to Orthanc, the first process of its container."""
        host.run_tool([*_compose(launch), "kill", "--signal", str(number)])

    def clean(self, launch: Launch) -> None:
        """Remove the container and its network."""
        host.run_tool([*_compose(launch), "down"])


def choose(name: str, suite: str) -> Engine:
    """Return the engine of that name; ``auto`` is Docker where an engine answers, else a rootfs."""
    if name == "docker" and suite != DOCKER_SUITE:
        raise host.LaunchError(
            f"the official image is the release of --suite {DOCKER_SUITE}; "
            f"use --engine rootfs for --suite {suite}"
        )
    if name == "docker" or (name == "auto" and suite == DOCKER_SUITE and _docker_answers()):
        return DockerEngine()
    return RootfsEngine()


def _docker_answers() -> bool:
    if not shutil.which("docker"):
        return False
    try:
        host.run_tool(["docker", "info"])
        host.run_tool(["docker", "compose", "version"])
    except host.LaunchError:
        return False
    return True


def _settings_inside(root: Path, wanted: Settings) -> Settings:
    """Put the paths as they are inside; without Curator, leave the Python plugin out as well."""
    paths: Settings = {"StorageDirectory": rootfs.STORAGE, "IndexDirectory": rootfs.STORAGE}
    if "Python" in wanted:
        paths["Python"] = {"Path": f"{rootfs.PLUGIN}/main.py"}
    else:
        paths["Plugins"] = rootfs.native_plugins(root, without="libOrthancPython.so")
    return settings.merge(wanted, paths)


def _compose(launch: Launch) -> list[str]:
    project = f"curator-{launch.http_port}"
    return ["docker", "compose", "--file", str(COMPOSE_FILE), "--project-name", project]


def _write_settings(path: Path, content: Settings) -> None:
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")


def _spawn(
    command: Sequence[str], environment: dict[str, str], output: IO[bytes] | None
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own: Ctrl+C reaches it through us, once."""
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
        env=environment,
        start_new_session=True,
    )
