"""The servers of the tests do what the tests rely on."""

from pathlib import Path

import pytest
from pydicom.data import get_testdata_file


@pytest.fixture(scope="module")
def instance():
    return Path(str(get_testdata_file("CT_small.dcm", download=False))).read_bytes()


@pytest.mark.parametrize("repetition", ["first", "second"])
def test_shared_server_is_empty_for_each_test(server, instance, repetition):
    assert server.http.json("/instances") == []
    assert server.upload(instance)["Status"] == "Success"


def test_release_is_the_one_asked_for(new_server, release):
    assert new_server(with_plugin=False).version == release


def test_killed_server_starts_again_on_its_storage(new_server, instance):
    server = new_server(with_plugin=False)
    server.upload(instance)
    assert server.kill() != 0
    assert not server.is_alive()
    server.start()
    assert len(server.http.json("/instances")) == 1
    assert server.stop() == 0
    assert server.log.count("Orthanc has started") == 2


def test_settings_are_merged(new_server):
    server = new_server(with_plugin=False, Name="Other", DicomServerEnabled=True, in_memory=True)
    system = server.http.json("/system")
    assert (system["Name"], system["DicomPort"]) == ("Other", server.dicom_port)


def test_refusal_to_start_shows_the_log(new_server):
    with pytest.raises(AssertionError, match=r"(?s)Orthanc ended with .*StorageCompression"):
        new_server(with_plugin=False, StorageCompression="neither")
