"""What the Book documents of the REST API behind settings that are off in ``orthanc.json``.

Names of metadata and attachments with their types, revisions that are checked, HTTP compression,
and export to the file system. Two servers of one configuration, one without and one with Curator,
are started once per release.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from factory import ct_series
from integration.anonymizing import check_log
from integration.pair import Pair, Party
from integration.servers import OrthancServer, engine_name, external_url

SETTINGS: dict[str, Any] = {
    "UserMetadata": {"SampleMetaData1": 1024, "SampleMetaData2": 1025},
    "UserContentType": {
        "samplePdf": [1024, "application/pdf"],
        "sampleJson": [1025, "application/json"],
        "sampleRaw": 1026,
    },
    "CheckRevisions": True,
    "HttpCompressionEnabled": True,
    "RestApiWriteToFileSystemEnabled": True,
    "ExecuteLuaEnabled": True,
    "StorageCompression": True,
    "MetricsEnabled": True,
}


@pytest.fixture(scope="module")
def servers(release: str) -> Iterator[list[OrthancServer]]:
    """A stock server and one with Curator, of the same settings."""
    if external_url():
        pytest.skip("starts servers of its own; CURATOR_TEST_URL names one that already runs")
    both = [
        OrthancServer(release, SETTINGS, with_plugin=with_plugin, engine=engine_name())
        for with_plugin in (False, True)
    ]
    try:
        yield [one.start() for one in both]
        check_log(both[1])
    finally:
        for one in both:
            one.close()


@pytest.fixture
def book(servers) -> Pair:
    """Both servers, with the same study in them."""
    stock, curator = servers
    for one in servers:
        one.clear()
    pair = Pair(Party(stock), Party(curator))
    pair.upload(ct_series(2))
    return pair


def test_metadata_goes_by_its_name(book):
    path = "/instances/{instance}/metadata"
    book.succeed("PUT", f"{path}/SampleMetaData1", data=b"hello")
    assert book.succeed("GET", f"{path}/1024").text == "hello"
    for query in ("", "?expand", "?expand&numeric", "?numeric"):
        book.succeed("GET", f"{path}{query}")
    body = {"Level": "Instance", "Query": {}, "MetadataQuery": {"SampleMetaData1": "hel*"}}
    assert len(book.succeed("POST", "/tools/find", json=body).json()) == 1
    body = {"Level": "Instance", "Query": {}, "MetadataQuery": {"SampleMetaData2": "hel*"}}
    assert book.succeed("POST", "/tools/find", json=body).json() == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("samplePdf", "application/pdf"),
        ("sampleJson", "application/json"),
        ("sampleRaw", "application/octet-stream"),
    ],
)
def test_attachment_has_the_type_of_its_name(book, name, kind):
    path = "/instances/{instance}/attachments"
    book.succeed("PUT", f"{path}/{name}", data=b"{}")
    given = book.succeed("GET", f"{path}/{name}/data")
    assert given.headers["Content-Type"].partition(";")[0] == kind
    for query in ("", "?full"):
        book.succeed("GET", f"{path}{query}")


@pytest.mark.parametrize("part", ["metadata/1024", "attachments/sampleRaw"])
def test_revisions_are_checked_the_same(book, part):
    path = f"/studies/{{study}}/{part}"
    read = path if part.startswith("metadata") else f"{path}/data"
    book.succeed("PUT", path, data=b"first")
    revision = book.succeed("GET", read).headers["ETag"]
    for header in ({}, {"If-Match": '"77"'}, {"If-Match": "nothing"}):
        for method in ("PUT", "DELETE"):
            assert book.ask(method, path, data=b"x", headers=header)[0].status_code >= 400
    book.ask("GET", read, headers={"If-None-Match": revision})
    book.succeed("PUT", path, data=b"second", headers={"If-Match": revision})
    newer = book.succeed("GET", read).headers["ETag"]
    assert newer != revision
    assert book.ask("DELETE", path, headers={"If-Match": revision})[0].status_code == 409
    book.succeed("DELETE", path, headers={"If-Match": newer})


@pytest.mark.parametrize("encoding", ["identity", "gzip", "deflate", "gzip, deflate"])
@pytest.mark.parametrize("path", ["/instances/{instance}/tags", "/jobs?expand", "/nothing"])
def test_answers_are_compressed_the_same(book, path, encoding):
    book.ask("GET", path, headers={"Accept-Encoding": encoding})


def test_compression_happens(book):
    given = book.succeed("GET", "/instances/{instance}/tags", headers={"Accept-Encoding": "gzip"})
    assert given.headers["Content-Encoding"] == "gzip"


def test_file_is_exported(book):
    """Orthanc sees its storage at the place that its configuration names."""
    target = "/var/lib/orthanc/db/exported.dcm"
    book.succeed("POST", "/instances/{instance}/export", data=target.encode())
    for party in book:
        exported = party.server.storage / "exported.dcm"
        stored = party.server.http.get(party.fill("/instances/{instance}/file")).content
        assert exported.read_bytes() == stored
    book.ask("POST", "/instances/{instance}/export", data=b"/no/such/directory/x")
    book.ask("POST", "/instances/unknown/export", data=target.encode())


def test_scripts_are_executed_the_same(book):
    for script in (b"print(1 + 1)", b"print(RestApiGet('/jobs'))", b"this is no Lua", b""):
        book.ask("POST", "/tools/execute-script", data=script)


def test_stored_compression_is_told_the_same(book):
    path = "/instances/{instance}/attachments/dicom"
    assert book.succeed("GET", f"{path}/is-compressed").text == "1"
    for part in ("size", "compressed-size", "md5", "compressed-md5", "compressed-data", "info"):
        book.succeed("GET", f"{path}/{part}")
    book.succeed("GET", "/studies/{study}/statistics")


def test_system_names_the_same_metadata_and_settings(book):
    given = book.succeed(
        "GET",
        "/system",
        alike=lambda answer: {key: one for key, one in answer.json().items() if key not in OWN},
    ).json()
    assert SETTINGS["UserMetadata"].items() <= given["UserMetadata"].items()


OWN = frozenset({"DatabaseServerIdentifier", "DicomPort", "HttpPort"})
