"""Things are built once, wholly or not at all."""

import re
import threading
from pathlib import Path

import pytest

import host
import rootfs


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setattr(host, "say", lambda _: None)


def test_built_once(tmp_path):
    built: list[Path] = []

    def build(directory):
        built.append(directory)
        (directory / "file").touch()

    for _ in range(2):
        target = host.build_once(tmp_path / "thing", build, "building")
        assert (target / "file").exists()
    assert len(built) == 1


def test_interrupted_build_leaves_nothing_and_is_repeated(tmp_path):
    def fail(directory):
        (directory / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        host.build_once(tmp_path / "thing", fail, "building")
    assert [path.name for path in tmp_path.iterdir()] == ["thing.lock"]
    assert host.build_once(tmp_path / "thing", lambda _: None, "building").is_dir()


def test_leftovers_of_a_killed_build_are_removed(tmp_path):
    (tmp_path / "thing.new").mkdir()
    (tmp_path / "thing.new" / "half").touch()
    target = host.build_once(tmp_path / "thing", lambda _: None, "building")
    assert list(target.iterdir()) == []


def test_two_at_once_build_once(tmp_path):
    built: list[Path] = []
    both = threading.Barrier(2)

    def launcher():
        both.wait()
        host.build_once(tmp_path / "thing", built.append, "building")

    threads = [threading.Thread(target=launcher) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1


def test_key_depends_on_each_part_and_its_place():
    keys = {
        host.key_of("ab", "c"),
        host.key_of("a", "bc"),
        host.key_of("abc"),
        host.key_of("c", "ab"),
    }
    assert len(keys) == 4


def test_failing_tool_shows_its_command_and_output():
    with pytest.raises(host.LaunchError, match=r"(?s)sh -c.*ended with code 3.*the reason"):
        host.run_tool(["sh", "-c", "echo the reason; exit 3"])


def test_missing_tool_is_named_with_its_command(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(
        host.LaunchError, match=r"(?s)thing is missing.*sudo apt-get install .*tool"
    ):
        host.install_debian_packages(["tool"], "thing")


def test_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("CURATOR_CACHE", raising=False)
    assert host.cache_directory() == tmp_path / "xdg" / "curator"
    monkeypatch.setenv("CURATOR_CACHE", str(tmp_path / "own"))
    assert host.cache_directory() == tmp_path / "own"


def test_requirements_include_others():
    files = rootfs.requirement_files(host.REPOSITORY / "tests" / "requirements.txt")
    assert [file.name for file in files] == ["requirements.txt", "requirements-unit.txt"]


def test_every_pin_is_exact():
    for name in ("requirements.txt", "tests/requirements.txt", "tests/requirements-unit.txt"):
        lines = (host.REPOSITORY / name).read_text().splitlines()
        pins = [line for line in lines if line and not line.startswith(("#", "-r "))]
        assert [pin for pin in pins if pin.count("==") != 1] == []


def test_root_is_asked_for_with_the_command(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    command = Path("/proc/self/cmdline").read_text().split("\0")[0]
    with pytest.raises(host.LaunchError, match=rf"sudo .*{re.escape(command)}"):
        rootfs.root_directory("forky")
