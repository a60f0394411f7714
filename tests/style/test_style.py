"""Style and types as tests, so that one summary and one exit code tell everything."""

import subprocess
import sys
from pathlib import Path

import pytest

import host

REPOSITORY = Path(__file__).resolve().parents[2]
CHECKS = {
    "ruff check": ["ruff", "check", "."],
    "ruff format": ["ruff", "format", "--check", "."],
    "mypy": [
        *("mypy", "--config-file", ".mypy.ini"),
        f"--cache-dir={host.cache_directory() / 'mypy'}",  # what it knows outlives a checkout
    ],
}


@pytest.mark.parametrize("check", CHECKS)
def test_style(check: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", *CHECKS[check]],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode != 0:
        pytest.fail(f"{check}:\n{answer.stdout}{answer.stderr}", pytrace=False)
