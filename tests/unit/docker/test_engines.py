"""Which engine is chosen, and what it is asked to do; a script stands in for Docker."""

import json
import os
from pathlib import Path

import pytest

import engines
import host
import settings


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """Put a ``docker`` on the path that answers, and writes down how it was called."""
    script = tmp_path / "bin" / "docker"
    script.parent.mkdir()
    record = tmp_path / "calls"
    script.write_text(f'#!/bin/sh\necho "$CURATOR_HTTP_PORT $CURATOR_STORAGE $*" >> {record}\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(script.parent), prepend=os.pathsep)
    return record


@pytest.fixture
def launch(tmp_path):
    wanted = settings.merge(settings.read(engines.CONFIGURATION), {"HttpPort": 9000})
    return engines.Launch("forky", wanted, tmp_path / "storage")


def test_auto_is_docker_where_it_answers(docker):
    assert isinstance(engines.choose("auto", "forky"), engines.DockerEngine)


def test_auto_is_a_root_file_system_for_the_release_that_is_not_in_the_image(docker):
    assert isinstance(engines.choose("auto", "trixie"), engines.RootfsEngine)


def test_auto_is_a_root_file_system_without_docker(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert isinstance(engines.choose("auto", "forky"), engines.RootfsEngine)


def test_auto_is_a_root_file_system_when_no_engine_answers(docker, tmp_path):
    (tmp_path / "bin" / "docker").write_text("#!/bin/sh\nexit 1\n")
    assert isinstance(engines.choose("auto", "forky"), engines.RootfsEngine)


def test_asking_for_docker_needs_its_release():
    with pytest.raises(host.LaunchError, match="--engine rootfs"):
        engines.choose("docker", "trixie")


def test_docker_runs_the_compose_file(docker, launch, tmp_path):
    engine = engines.DockerEngine()
    assert engine.start(launch, tmp_path).wait() == 0
    engine.clean(launch)
    up, down = docker.read_text().splitlines()
    compose = f"compose --file {engines.COMPOSE_FILE} --project-name curator-9000"
    assert up.startswith(f"9000 {launch.storage} {compose} up --build ")
    assert down.endswith(f"{compose} down")
    assert json.loads((tmp_path / "orthanc.json").read_text()) == launch.settings


def test_ports_are_published_on_this_machine_only():
    lines = [line.strip() for line in engines.COMPOSE_FILE.read_text().splitlines()]
    published = [line for line in lines if line.endswith((':8042"', ':4242"'))]
    assert len(published) == 2
    assert all(line.startswith('- "127.0.0.1:') for line in published)


def test_image_copies_what_the_build_context_holds():
    ignore = Path(host.REPOSITORY / ".dockerignore").read_text().splitlines()
    dockerfile = (engines.COMPOSE_FILE.parent / "Dockerfile").read_text().splitlines()
    copied = {line.split()[1] for line in dockerfile if line.startswith("COPY ")}
    assert copied == {line[1:] for line in ignore if line.startswith("!")}
