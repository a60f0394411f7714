"""The virtual environment of the tests and benches, with exactly what is pinned.

Used by ``tests/run`` and ``tests/bench/run`` before anything is installed, so it imports nothing
but the standard library and the modules of ``docker/run``.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import host
import rootfs

REPOSITORY = Path(__file__).resolve().parent.parent
TESSERACT = ["tesseract-ocr", "tesseract-ocr-eng"]
REQUIREMENTS = [REPOSITORY / "requirements.txt", REPOSITORY / "tests" / "requirements.txt"]


def python() -> Path:
    """Return the interpreter of the environment, which is made when the pins change.

    Raises
    ------
    host.LaunchError
        If it cannot be made.
    """
    if sys.version_info < (3, 11):  # noqa: UP036 -- whoever starts it may have an older one
        raise host.LaunchError("the tests need Python 3.11 or later (docker/run needs 3.9)")
    files = [file for name in REQUIREMENTS for file in rootfs.requirement_files(name)]
    key = host.key_of(sys.executable, sys.version, *(file.read_bytes() for file in files))
    directory = host.cache_directory() / f"tests-{key}"
    interpreter, complete = directory / "bin" / "python", directory / "complete"
    with host.locked(directory.with_name(f"{directory.name}.lock")):
        if not complete.exists():
            host.say(f"making the tests' environment in {directory} (once) …")
            host.create_environment(directory)
            pins = [f"--requirement={name}" for name in REQUIREMENTS]
            host.pip_install([str(interpreter), "-m", "pip"], *pins)
            complete.touch()
    return interpreter


def provide_tesseract() -> None:
    """Install Tesseract where it is missing; where that cannot be, say so and go on.

    The tests that need it then fail, and the others still tell what they have to tell.
    """
    if shutil.which("tesseract"):
        return
    try:
        host.install_debian_packages(TESSERACT, "Tesseract, without which tests will fail,")
    except host.LaunchError as error:
        host.say(str(error))
