"""What the launcher and the tests need from the machine they run on.

A cache outside the checkout in which everything is built once, tools of Debian, and pip.
Standard library only, Python 3.9 or later: this runs on the bare host.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


class LaunchError(Exception):
    """Something is missing or in the way; the message says what, and what puts it right."""


def say(message: str) -> None:
    """Tell the user what goes on; standard output is kept for the answer."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


def cache_directory() -> Path:
    """Return where root file systems, packages and default storages are kept."""
    if own := os.environ.get("CURATOR_CACHE"):
        return Path(own).resolve()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().resolve() / "curator"


def key_of(*parts: str | bytes) -> str:
    """Return a short key that changes whenever one of the parts does."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.hexdigest()[:12]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file lock, so that two launchers at once do not build the same thing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def build_once(target: Path, build: Callable[[Path], None], announcement: str) -> Path:
    """Return the directory `target`, built first when it is not there.

    It is built beside its final place and renamed when complete, so that it is either whole or
    absent. What an interrupted build left is removed by the next one.
    """
    if target.exists():
        return target
    with locked(target.with_name(f"{target.name}.lock")):
        if target.exists():
            return target
        say(announcement)
        unfinished = target.with_name(f"{target.name}.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        try:
            unfinished.mkdir(mode=0o755)
            build(unfinished)
            unfinished.rename(target)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
    return target


def run_tool(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """Run a tool quietly and return its output; a failure is an error with the end of it."""
    with subprocess.Popen(
        dies_with_parent(command, "TERM"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(environment or {})},
        text=True,
        errors="replace",
    ) as process:
        try:
            output, _ = process.communicate()
        except BaseException:
            process.terminate()  # by its own clean-up, not by SIGKILL
            process.wait()
            raise
    if process.returncode != 0:
        tail = "\n".join(output.splitlines()[-20:])
        raise LaunchError(f"{' '.join(command)}\nended with code {process.returncode}:\n{tail}")
    return output


def dies_with_parent(command: Sequence[str], signal: str) -> list[str]:
    """Wrap a command so that the kernel sends it `signal` when its parent dies, even by SIGKILL."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", signal, *command] if setpriv else list(command)


def install_debian_packages(packages: Sequence[str], why: str) -> None:
    """Install packages by apt-get when root, else say which command does it."""
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise LaunchError(f"{why} is missing. This installs it:\n  sudo {' '.join(command)}")
    say(f"installing {', '.join(packages)} …")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    run_tool(["apt-get", "update"], quiet)
    run_tool(command, quiet)


def create_environment(directory: Path) -> Path:
    """Create a virtual environment and return its Python."""
    command = [sys.executable, "-m", "venv", "--clear", str(directory)]
    try:
        run_tool(command)
    except LaunchError:
        if not Path("/etc/debian_version").exists():
            raise
        install_debian_packages(["python3-venv"], "Python's venv module")
        run_tool(command)
    return directory / "bin" / "python"


def pip() -> list[str]:
    """Return the command of a pip: that of this Python, else one in the cache."""
    own = [sys.executable, "-m", "pip"]
    try:
        run_tool([*own, "--version"])
    except LaunchError:
        environment = cache_directory() / f"pip-{key_of(sys.executable, sys.version)}"
        with locked(environment.with_name(f"{environment.name}.lock")):
            python = environment / "bin" / "python"
            if not (environment / "complete").exists():
                python = create_environment(environment)
                (environment / "complete").touch()
        return [str(python), "-m", "pip"]
    return own


def pip_install(pip_command: Sequence[str], *arguments: str) -> None:
    """Install by pip, without its remarks on itself and on the environment it happens to run in."""
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    run_tool([*pip_command, "install", "--quiet", "--no-warn-conflicts", *arguments], quiet)
