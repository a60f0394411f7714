"""What the tests need from the machine is there, or said to be missing."""

import pytest

import environment
import host
import rootfs


@pytest.fixture
def said(monkeypatch):
    """Collect what the user is told."""
    lines = []
    monkeypatch.setattr(host, "say", lines.append)
    return lines


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """Take all programs away."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_tesseract_that_is_there_is_not_installed(bare, said, monkeypatch):
    program = bare / "tesseract"
    program.touch(mode=0o755)
    monkeypatch.setattr(host, "install_debian_packages", pytest.fail)
    environment.provide_tesseract()
    assert said == []


def test_missing_tesseract_is_installed_by_root(bare, said, monkeypatch):
    apt = bare / "apt-get"
    apt.write_text(f'#!/bin/sh\necho "$@" >> {bare}/calls\n')
    apt.chmod(0o755)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    environment.provide_tesseract()
    calls = (bare / "calls").read_text().splitlines()
    assert calls[-1].split()[-2:] == environment.TESSERACT
    assert said == ["installing tesseract-ocr, tesseract-ocr-eng …"]


def test_where_it_cannot_be_installed_the_command_is_told(bare, said, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    environment.provide_tesseract()
    (line,) = said
    assert "Tesseract, without which tests will fail, is missing" in line
    assert "sudo apt-get install --yes --no-install-recommends tesseract-ocr" in line


def test_an_installation_that_fails_is_told(bare, said, monkeypatch):
    apt = bare / "apt-get"
    apt.write_text("#!/bin/sh\necho no such package\nexit 100\n")
    apt.chmod(0o755)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    environment.provide_tesseract()
    assert "no such package" in said[-1]


def test_servers_have_what_the_tests_have():
    assert set(environment.TESSERACT) <= set(rootfs.DEBIAN_PACKAGES)


def test_the_image_has_what_the_tests_have():
    dockerfile = (host.REPOSITORY / "docker" / "Dockerfile").read_text()
    assert f"install --yes --no-install-recommends {' '.join(environment.TESSERACT)} " in dockerfile
