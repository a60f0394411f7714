"""Orthanc without a container engine: a Debian root file system, and the command that runs in it.

The root file system is built once by mmdebstrap and never written to afterwards: each process
sees it read-only, in a mount namespace of its own, with its own storage and /tmp on top. So
several servers share one, nothing is ever left to unmount, and the process that is started *is*
Orthanc (every step is an ``exec``).
"""

from __future__ import annotations

import os
import platform
import re
import secrets
import shlex
import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import host

RELEASES = {"forky": "1.13.0", "trixie": "1.12.7"}
"""Version of Orthanc in each suite of Debian that we use."""

DEBIAN_PACKAGES = (
    "ca-certificates",
    "dcmtk",
    "orthanc",
    "orthanc-dicomweb",
    "orthanc-gdcm",
    "orthanc-python",
    "python3",
    "tesseract-ocr",  # finds text that is burned into images
    "tesseract-ocr-eng",
    "tzdata",
)

PLUGIN = "/opt/curator/plugin"
PACKAGES = "/opt/curator/packages"
CHECKOUT = "/opt/curator/checkout"
TEST_PACKAGES = "/opt/curator/test-packages"
CONFIGURATION = "/etc/orthanc-curator"
STORAGE = "/var/lib/orthanc/db"
MOUNT_POINTS = (PLUGIN, PACKAGES, CHECKOUT, TEST_PACKAGES, CONFIGURATION, STORAGE)

_MMDEBSTRAP = (
    "mmdebstrap",
    "--mode=root",
    "--variant=minbase",
    '--aptopt=Acquire::Check-Valid-Until "false"',  # mirrors are sometimes frozen
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    f"--include={','.join(DEBIAN_PACKAGES)}",
)
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclass(frozen=True)
class Mount:
    """A directory or file of the host, seen at `target` inside."""

    source: Path
    target: str
    writable: bool = False


def root_directory(suite: str) -> Path:
    """Return the root file system of a suite, built first when it is not in the cache."""
    _require_root()
    key = host.key_of(suite, platform.machine(), *_MMDEBSTRAP, *MOUNT_POINTS)
    target = host.cache_directory() / f"rootfs-{suite}-{key}"
    announcement = f"building a root file system of Debian {suite} with Orthanc (once) …"
    return host.build_once(target, lambda directory: _build(directory, suite), announcement)


def python_version(root: Path) -> str:
    """Return the version of Python that Orthanc embeds there, such as ``3.14``."""
    return (root / "usr/bin/python3").readlink().name[len("python") :]


def native_plugins(root: Path, without: str) -> list[str]:
    """Return the shared libraries that Orthanc may load, as paths inside, all but one."""
    folder = "usr/share/orthanc/plugins"
    names = sorted(path.name for path in (root / folder).glob("*.so") if path.name != without)
    return [f"/{folder}/{name}" for name in names]


def python_packages(root: Path, requirements: Path) -> Path:
    """Return a directory with the packages of `requirements`, for the interpreter of `root`.

    The host's pip downloads wheels for that interpreter: inside there is neither pip nor the
    host's network configuration.
    """
    version = python_version(root)
    files = requirement_files(requirements)
    key = host.key_of(
        version, platform.machine(), "compiled", *(file.read_bytes() for file in files)
    )
    target = host.cache_directory() / f"packages-{requirements.stem}-{version}-{key}"
    announcement = f"installing {requirements.name} for Python {version} (once) …"

    def build(directory: Path) -> None:
        _install(directory, requirements, version)
        _compile(root, directory, PACKAGES)

    return host.build_once(target, build, announcement)


def compiled_plugin(root: Path, plugin: Path) -> Path:
    """Return a copy of a plugin with its bytecode, for the interpreter of `root`.

    Inside, nothing can be written: without it, every start would compile the plugin anew.
    """
    files = sorted(
        path for path in plugin.rglob("*") if path.is_file() and path.parent.name != "__pycache__"
    )
    contents = (
        part
        for file in files
        for part in (str(file.relative_to(plugin)).encode(), file.read_bytes())
    )
    version = python_version(root)
    target = host.cache_directory() / f"plugin-{version}-{host.key_of(version, *contents)}"

    def build(directory: Path) -> None:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(plugin, directory, ignore=ignored, dirs_exist_ok=True)
        _compile(root, directory, PLUGIN)

    return host.build_once(target, build, f"compiling the plugin for Python {version} (once) …")


def command(root: Path, mounts: Sequence[Mount], arguments: Sequence[str]) -> list[str]:
    """Return the command line that runs `arguments` inside `root`, as one process.

    The process dies with its parent, whatever kills the parent.
    """
    inside = str(root)
    steps = [
        ["mount", "-o", "bind,ro", inside, inside],
        ["mount", "-t", "proc", "proc", f"{inside}/proc"],
        ["mount", "--rbind", "/dev", f"{inside}/dev"],
        ["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", f"{inside}/tmp"],
        *(_mount_step(root, mount) for mount in mounts),
        ["exec", "chroot", inside, *arguments],
    ]
    script = " && ".join(shlex.join(step) for step in steps)
    return host.dies_with_parent(["unshare", "--mount", "sh", "-c", script], "KILL")


def network_files(directory: Path) -> list[Mount]:
    """Write the files a process needs to find hosts, and return their mounts.

    The host's own name must resolve: else each new DICOM identifier waits for a name server.
    """
    hosts = directory / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {socket.gethostname()}\n::1 localhost\n")
    resolver = Path("/etc/resolv.conf")
    mounts = [Mount(hosts, "/etc/hosts")]
    return [*mounts, Mount(resolver, "/etc/resolv.conf")] if resolver.is_file() else mounts


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment inside: nothing of the host's but the time zone and CURATOR_*.

    Without ``TCP_NODELAY=1`` DCMTK sends 20 instances per second instead of 300.
    """
    own = {name: value for name, value in os.environ.items() if name.startswith("CURATOR_")}
    return {
        **own,
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "TCP_NODELAY": "1",
        "TZ": _time_zone(),
        **(extra or {}),
    }


def _require_root() -> None:
    if os.geteuid() != 0:
        raise host.LaunchError(
            "without a Docker engine, Orthanc runs in a root file system, and chroot needs root:\n"
            f"  sudo --preserve-env=CURATOR_CACHE {shlex.join(_own_command_line())}"
        )


def _own_command_line() -> list[str]:
    words = Path("/proc/self/cmdline").read_bytes().split(b"\0")
    return [os.fsdecode(word) for word in words if word]


def _build(directory: Path, suite: str) -> None:
    _require_mmdebstrap()
    host.run_tool([*_MMDEBSTRAP, suite, str(directory), *_mirror()])
    for mount_point in MOUNT_POINTS:
        (directory / mount_point.lstrip("/")).mkdir(parents=True, exist_ok=True)
    for name in ("hosts", "resolv.conf"):
        file = directory / "etc" / name
        file.unlink(missing_ok=True)
        file.touch()
    # four bytes that are not zero, else DCMTK asks the network for each new identifier
    host_id = bytes(1 + secrets.randbelow(255) for _ in range(4))
    (directory / "etc/hostid").write_bytes(host_id)


def _require_mmdebstrap() -> None:
    missing = []
    if not shutil.which("mmdebstrap"):
        missing.append("mmdebstrap")
    if not _KEYRING.exists():
        missing.append("debian-archive-keyring")
    if missing:
        host.install_debian_packages(missing, " and ".join(missing))


def _mirror() -> list[str]:
    """Return the host's own Debian mirror; mmdebstrap knows a default where there is none."""
    if not shutil.which("apt-get"):
        return []
    targets = host.run_tool(
        ["apt-get", "indextargets", "--format", "$(SITE) $(COMPONENT) $(LABEL)", "Origin: Debian"]
    )
    lines = [line.split() for line in targets.splitlines()]
    sites = [words[0] for words in lines if words[1:] == ["main", "Debian"]]
    return sites[:1]


def _install(directory: Path, requirements: Path, version: str) -> None:
    machine = platform.machine()
    wheels = [f"manylinux_2_{minor}_{machine}" for minor in (28, 27, 17)]
    platforms = [f"--platform={name}" for name in (*wheels, f"manylinux2014_{machine}")]
    host.pip_install(
        host.pip(),
        "--target",
        str(directory),
        "--python-version",
        version,
        "--implementation=cp",
        *platforms,
        "--only-binary=:all:",
        "--no-compile",
        "--requirement",
        str(requirements),
    )


def _compile(root: Path, directory: Path, inside: str) -> None:
    """Compile by the interpreter that will read it: else it would at each start, in vain."""
    mounts = [Mount(directory, inside, writable=True)]
    python = ["/usr/bin/python3", "-m", "compileall", "-q", inside]
    host.run_tool(command(root, mounts, python))


def requirement_files(requirements: Path) -> list[Path]:
    """Return a requirements file and those that it includes by ``-r``."""
    included = re.findall(r"^-r +(\S+)", requirements.read_text(), re.MULTILINE)
    nested = [requirement_files(requirements.parent / name) for name in included]
    return [requirements, *(file for files in nested for file in files)]


def _mount_step(root: Path, mount: Mount) -> list[str]:
    options = "bind" if mount.writable else "bind,ro"
    return ["mount", "-o", options, str(mount.source), f"{root}{mount.target}"]


def _time_zone() -> str:
    own = os.environ.get("TZ")
    _, _, name = str(Path("/etc/localtime").resolve()).partition("zoneinfo/")
    return own or name or "UTC"
