"""The Orthanc Book's network: peers, modalities, query/retrieve, storage commitment, exports.

What its pages on the REST API, the cheat sheet and storage commitment show goes to a stock server
and to one with Curator, each with an archive of its own as the other party. The answers are
compared, and so is what servers and archives hold afterwards, with the AE titles that it came by.
At the end DCMTK's tools are the other party.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit
from pynetdicom import AE, evt

import rootfs
from factory import ct_series, make_instance, make_study, mr_series, uid
from integration.anonymizing import check_log
from integration.network import DEAD, Both, Network, Tools, modality, worklist
from integration.pair import Party
from integration.scp import STORAGE_COMMITMENT, Scp
from integration.servers import OrthancServer, engine_name, external_url, free_port
from integration.waiting import wait_until

pytestmark = pytest.mark.skipif(
    external_url() is not None or engine_name() != "rootfs",
    reason="servers and archives call each other on this machine, and DCMTK is in the rootfs",
)

SERVER: dict[str, Any] = {"DicomServerEnabled": True, "LogExportedResources": True}
ARCHIVE: dict[str, Any] = {
    "DicomServerEnabled": True,
    "DicomAet": "ARCHIVE",
    "OverwriteInstances": True,  # what it answers does not depend on what it has
}

NATIVE = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
UNKNOWN = "11111111-11111111-11111111-11111111-11111111"


@dataclass
class Surroundings:
    """The servers, the archives, and what stops them all."""

    servers: Network
    archives: Network
    processes: list[OrthancServer] = field(default_factory=list)


@pytest.fixture(scope="module")
def surroundings(release: str) -> Iterator[Surroundings]:
    """Return two servers and their archives, started once for all tests of a release."""
    with ExitStack() as stack:
        started = [
            OrthancServer(release, settings, with_plugin=curator, in_memory=True)
            for settings, curator in ((SERVER, False), (SERVER, True), *2 * ((ARCHIVE, False),))
        ]
        for server in started:
            stack.callback(server.close)
            server.start(wait=False)
        for server in started:
            server.wait_until_it_answers()
        ports = frozenset(str(port) for one in started for port in (one.http_port, one.dicom_port))
        stock, curator, stocks, curators = map(Party, started)
        stocks.names, curators.names = stock.names, curator.names
        servers = Network(stock, curator, ports=ports)
        archives = Network(stocks, curators, servers.shared, ports)
        yield Surroundings(servers, archives, started)
        check_log(started[1])


@pytest.fixture
def servers(surroundings: Surroundings) -> Iterator[Network]:
    """Return the two servers: empty, with ``archive`` as modality and peer, and nothing else."""
    for server in surroundings.processes:
        server.clear()
        for kind in ("modalities", "peers", "queries"):
            for name in server.http.json(f"/{kind}"):
                assert server.http.delete(f"/{kind}/{name}").ok
    for server, archive in zip(surroundings.processes[:2], surroundings.processes[2:], strict=True):
        peer = {"Url": archive.url}
        assert server.http.put("/peers/archive", peer).ok
        assert server.http.put("/modalities/archive", modality("ARCHIVE", archive.dicom_port)).ok
        assert archive.http.put("/modalities/orthanc", modality("ORTHANC", server.dicom_port)).ok
    yield surroundings.servers
    for server in surroundings.processes:
        if not server.is_alive():
            pytest.fail(f"Orthanc crashed in this test:\n{server.log[-6000:]}", pytrace=False)


@pytest.fixture
def archives(surroundings: Surroundings, servers: Network) -> Network:
    """Return the archives of the two servers, empty."""
    return surroundings.archives


def images() -> list[bytes]:
    """Return a study of a CT and an MR series."""
    return make_study([ct_series(count=2), mr_series(count=1)])


def smooth() -> bytes:
    """Return an image of 8 bits, which a lossy codec takes."""
    pixels = bytes(4 * (row + column) for row in range(16) for column in range(16))
    return make_instance(BitsAllocated=8, BitsStored=8, HighBit=7, pixels=pixels)


# Peers


def test_peers_are_managed_alike(servers):
    forms = {
        "object": {
            "Url": "http://localhost:8044/",
            "Username": "alice",
            "Password": "alicePassword",
            "HttpHeaders": {"Token": "Hello world"},
        },
        "array": ["http://localhost:8043", "alice", "alicePassword"],
        "short": ["http://localhost:8043"],
    }
    for name, form in forms.items():
        servers.succeed("PUT", f"/peers/{name}", json=form)
        servers.succeed("GET", f"/peers/{name}")
        answer = servers.succeed("GET", f"/peers/{name}/configuration")
        assert "alicePassword" not in answer.text
    assert set(servers.succeed("GET", "/peers", unordered=True).json()) == {*forms, "archive"}
    assert "archive" in servers.succeed("GET", "/peers?expand").json()
    servers.succeed("PUT", "/peers/short", json={"Url": "http://localhost:8045/"})
    servers.succeed("GET", "/peers/short/configuration")
    servers.succeed("DELETE", "/peers/short")
    servers.ask("DELETE", "/peers/short")
    servers.succeed("GET", "/peers", unordered=True)
    for path in ("/peers/short", "/peers/short/configuration", "/peers/short/system"):
        servers.ask("GET", path)
    servers.ask_each(
        "PUT",
        "/peers/wrong",
        {},
        {"Url": 5},
        [],
        "http://localhost",
        {"Url": "http://localhost", "Username": "x"},
    )
    servers.ask("PUT", "/peers/wrong", data=b"{")
    servers.ask("GET", "/peers/wrong/configuration")


def test_peers_get_what_is_sent_to_them(servers, archives):
    servers.upload(images())
    system = servers.succeed("GET", "/peers/archive/system").json()
    assert system["DicomAet"] == "ARCHIVE"

    answer = servers.succeed("POST", "/peers/archive/store", data="{instance}")
    assert answer.json()["InstancesCount"] == 1
    assert len(archives.holdings()) == 1
    servers.succeed("POST", "/peers/archive/store", json=["{instance}", "{series}"])
    servers.succeed("POST", "/peers/archive/store", json="{patient}")
    assert len(archives.holdings()) == 3

    for body in (
        {"Resources": ["{study}"], "Synchronous": True},
        {"Resources": ["{study}"], "Compress": True},
        {"Resources": ["{study}"], "Transcode": "1.2.840.10008.1.2", "Permissive": True},
    ):
        servers.succeed("POST", "/peers/archive/store", json=body)
    (syntax,) = {one["TransferSyntax"] for one in archives.holdings()}
    assert syntax == "1.2.840.10008.1.2"

    for body in (
        {"Resources": ["{study}"], "Asynchronous": True, "Priority": 5},
        {"Resources": ["{study}", "{series}"], "Synchronous": False, "Compress": True},
    ):
        servers.succeed("POST", "/peers/archive/store", json=body, keep={"job": "ID"})
        assert servers.finish("job")["State"] == "Success"
    archives.holdings()
    servers.succeed("POST", "/peers/archive/store-straight", data=make_instance(), literal=True)
    assert len(archives.holdings()) == 4

    exports = servers.succeed("GET", "/exports").json()
    assert {one["RemoteModality"] for one in exports["Exports"]} == {"archive"}


def test_peers_that_are_dead_or_unknown_fail_alike(servers):
    servers.upload(images())
    servers.succeed("PUT", "/peers/dead", json={"Url": f"http://127.0.0.1:{DEAD}/"})
    servers.ask("GET", "/peers/dead/system")
    for peer in ("dead", "unknown"):
        servers.ask("POST", f"/peers/{peer}/store", data="{study}")
        servers.ask("POST", f"/peers/{peer}/store-straight", data=make_instance(), literal=True)
    body = {"Resources": ["{study}"], "Permissive": True}
    servers.ask("POST", "/peers/dead/store", json=body)
    body = {"Resources": ["{study}"], "Asynchronous": True}
    servers.succeed("POST", "/peers/dead/store", json=body, keep={"job": "ID"})
    assert servers.finish("job")["State"] == "Failure"
    servers.ask_each(
        "POST",
        "/peers/archive/store",
        UNKNOWN,
        ["no identifier"],
        {"Resources": "{study}"},
        {},
        [5],
    )
    body = {"Resources": ["{study}"], "Transcode": "no syntax"}
    servers.ask("POST", "/peers/archive/store", json=body)
    servers.ask("POST", "/peers/archive/store-straight", data=b"no DICOM", literal=True)


# Modalities


def test_modalities_are_managed_alike(servers):
    forms = {
        "array": ["ORTHANCA", "127.0.0.1", 2000],
        "manufacturer": ["ORTHANCC", "127.0.0.1", 2002, "GenericNoWildcardInDates"],
        "object": {
            "AET": "ORTHANCB",
            "Port": 2001,
            "Host": "127.0.0.1",
            "Manufacturer": "Generic",
            "AllowEcho": True,
            "AllowFind": False,
            "AllowMove": True,
            "AllowStore": True,
            "AllowStorageCommitment": False,
            "AllowTranscoding": True,
            "UseDicomTls": False,
            "LocalAet": "OTHER",
            "Timeout": 10,
            "RetrieveMethod": "C-GET",
        },
    }
    for name, form in forms.items():
        servers.succeed("PUT", f"/modalities/{name}", json=form)
        servers.succeed("GET", f"/modalities/{name}")
        servers.succeed("GET", f"/modalities/{name}/configuration")
    names = servers.succeed("GET", "/modalities", unordered=True).json()
    assert set(names) == {*forms, "archive"}
    found = servers.succeed("GET", "/modalities?expand").json()
    assert found["object"]["LocalAet"] == "OTHER"
    servers.succeed("PUT", "/modalities/array", json=modality("ORTHANCD", 2003))
    servers.succeed("GET", "/modalities/array/configuration")
    servers.succeed("DELETE", "/modalities/array")
    servers.ask("DELETE", "/modalities/array")
    servers.succeed("GET", "/modalities", unordered=True)
    for path in ("/modalities/array", "/modalities/array/configuration"):
        servers.ask("GET", path)
    servers.ask_each(
        "PUT",
        "/modalities/wrong",
        {},
        [],
        ["AET"],
        {"AET": "A", "Host": "h", "Port": 70000},
        "AET",
        {"AET": "A"},
    )
    servers.ask("PUT", "/modalities/wrong", data=b"[")
    servers.ask("GET", "/modalities/wrong/configuration")


def test_echo_is_answered_alike(servers):
    servers.succeed("PUT", "/modalities/dead", json=modality("DEAD", DEAD))
    for body in ({}, {"Timeout": 10}, {"Timeout": 0}, {"CheckFind": False}, {"CheckFind": True}):
        servers.succeed("POST", "/modalities/archive/echo", json=body)
    with Scp("STRICT", syntaxes=NATIVE) as scp:
        body = {**modality("STRICT", scp.port), "LocalAet": "ME", "Timeout": 5}
        servers.succeed("POST", "/tools/dicom-echo", json=body)
        assert scp.associations == 2
        scp.behavior.refuse = True
        servers.ask("POST", "/tools/dicom-echo", json=body)
    for name in ("dead", "unknown"):
        servers.ask("POST", f"/modalities/{name}/echo", json={})
    servers.ask("POST", "/modalities/archive/echo")
    servers.ask("POST", "/modalities/archive/echo", data=b"no JSON")
    servers.ask("POST", "/tools/dicom-echo", json={"AET": "A"})


def test_modalities_get_what_is_sent_to_them(servers, archives):
    servers.upload(images())
    answer = servers.succeed("POST", "/modalities/archive/store", data="{instance}")
    assert answer.json()["InstancesCount"] == 1
    assert len(archives.holdings()) == 1
    servers.succeed("POST", "/modalities/archive/store", json=["{instance}", "{series}"])
    servers.succeed("POST", "/modalities/archive/store", json="{study}")
    assert len(archives.holdings()) == 3

    body = {
        "Resources": ["{study}"],
        "Synchronous": False,
        "LocalAet": "LOCAL",
        "CalledAet": "CALLED",
        "MoveOriginatorAet": "ORTHANC",
        "MoveOriginatorID": 1234,
        "Timeout": 10,
        "StorageCommitment": False,
        "Priority": 3,
    }
    servers.succeed("POST", "/modalities/archive/store", json=body, keep={"job": "ID"})
    job = servers.finish("job")
    assert (job["State"], job["Type"], job["Priority"]) == ("Success", "DicomModalityStore", 3)
    assert servers.compare_listed("{job}")["Type"] == "DicomModalityStore"
    (ways,) = {(one["RemoteAET"], one["CalledAET"]) for one in archives.holdings()}
    assert ways == ("LOCAL", "CALLED")

    straight = make_instance(PatientID="STRAIGHT")
    sent = servers.succeed(
        "POST", "/modalities/archive/store-straight", data=straight, literal=True
    )
    assert sent.json()["SOPInstanceUID"] == uid("default", "instance")
    assert len(archives.holdings()) == 4

    exports = servers.succeed("GET", "/exports").json()
    assert {one["RemoteModality"] for one in exports["Exports"]} == {"archive"}
    page = servers.succeed("GET", "/exports?limit=2").json()
    assert (len(page["Exports"]), page["Done"]) == (2, False)
    rest = servers.succeed("GET", f"/exports?since={page['Last']}&limit=1000").json()
    assert len(rest["Exports"]) == len(exports["Exports"]) - 2
    servers.succeed("DELETE", "/exports")
    assert servers.succeed("GET", "/exports").json()["Exports"] == []


def test_what_is_sent_takes_the_syntax_that_the_other_party_accepts(servers):
    servers.upload([smooth()])
    with Scp("JPEG", syntaxes=[JPEGBaseline8Bit]) as scp:
        entry = {**modality("JPEG", scp.port), "AllowTranscoding": False}
        servers.succeed("PUT", "/modalities/jpeg", json=entry)
        servers.ask("POST", "/modalities/jpeg/store", data="{study}")
        servers.succeed("PUT", "/modalities/jpeg", json=modality("JPEG", scp.port))
        servers.ask("POST", "/modalities/jpeg/store", data="{study}")


def test_modalities_that_refuse_fail_or_are_dead_are_reported_alike(servers):
    study = images()
    servers.upload(study)
    refused = uid("study", "CT", 1)
    servers.succeed("PUT", "/modalities/dead", json=modality("DEAD", DEAD))
    with Scp(syntaxes=NATIVE) as scp:
        servers.succeed("PUT", "/modalities/scp", json=modality("SCP", scp.port))
        scp.behavior.statuses[refused] = 0xA700
        servers.ask("POST", "/modalities/scp/store", data="{study}")
        body = {"Resources": ["{study}"], "Permissive": True}
        servers.succeed("POST", "/modalities/scp/store", json=body)
        assert len(scp.stored) == len(study) - 1
        body = {"Resources": ["{study}"], "Asynchronous": True}
        servers.succeed("POST", "/modalities/scp/store", json=body, keep={"job": "ID"})
        assert servers.finish("job")["State"] == "Failure"
        scp.behavior.statuses.clear()
        servers.succeed("POST", "/jobs/{job}/resubmit")
        servers.wait_for("/jobs/{job}", "State", ("Success",))
        servers.succeed("GET", "/jobs/{job}")

        scp.behavior.refuse = True
        servers.ask("POST", "/modalities/scp/store", data="{study}")
        servers.ask("POST", "/modalities/scp/store-straight", data=study[0], literal=True)
        query = {"Level": "Study", "Query": {"PatientID": ""}}
        servers.ask("POST", "/modalities/scp/query", json=query)
    for name in ("dead", "unknown"):
        servers.ask("POST", f"/modalities/{name}/store", data="{study}")
        servers.ask("POST", f"/modalities/{name}/store-straight", data=study[0], literal=True)
        servers.ask("POST", f"/modalities/{name}/query", json=query)
        servers.ask("POST", f"/modalities/{name}/find-worklist", json={"PatientID": ""})
        resources = [{"StudyInstanceUID": uid("study")}]
        for verb in ("move", "get"):
            servers.ask(
                "POST",
                f"/modalities/{name}/{verb}",
                json={"Level": "Study", "Resources": resources},
            )
        servers.ask(
            "POST", f"/modalities/{name}/storage-commitment", json={"Resources": ["{study}"]}
        )
    servers.ask_each(
        "POST",
        "/modalities/archive/store",
        UNKNOWN,
        ["no identifier"],
        {"Resources": "{study}"},
        {},
        [5],
    )
    servers.ask("POST", "/modalities/archive/store-straight", data=b"no DICOM", literal=True)


# Query and retrieve


def test_queries_at_every_level_are_answered_alike(servers, archives):
    archives.upload(images())
    archives.upload(
        [make_instance(PatientID="OTHER", AccessionNumber="ACC0002", PatientName="Jones^Jo")]
    )
    other = {
        "Patient": {"PatientID": "SYN*", "PatientName": ""},
        "Study": {"StudyDescription": "*Synth*", "StudyDate": "20200101-", "ModalitiesInStudy": ""},
        "Series": {"StudyInstanceUID": uid("study"), "Modality": "CT", "SeriesDescription": ""},
        "Instance": {"StudyInstanceUID": uid("study"), "SeriesInstanceUID": uid("study", "CT")},
    }
    found = {}
    for level, query in other.items():
        body = {"Level": level, "Query": query}
        servers.succeed("POST", "/modalities/archive/query", json=body, keep={"query": "ID"})
        answers = servers.succeed("GET", "/queries/{query}/answers").json()
        found[level] = len(answers)
        for path in ("", "/level", "/modality", "/query", "/query?simplify", "/answers?expand"):
            servers.succeed("GET", f"/queries/{{query}}{path}")
        for form in ("", "?simplify", "?short"):
            for answer in answers:
                servers.succeed("GET", f"/queries/{{query}}/answers/{answer}/content{form}")
        servers.succeed("GET", "/queries/{query}/answers?expand&simplify")
        servers.ask("GET", "/queries/{query}/answers/0")
        servers.ask("GET", "/queries/{query}/answers/99/content")
    assert found == {"Patient": 1, "Study": 2, "Series": 1, "Instance": 2}
    assert len(servers.succeed("GET", "/queries").json()) == len(other)
    servers.succeed("GET", "/queries?expand", unordered=True)

    servers.succeed("DELETE", "/queries/{query}")
    for method, path in (("GET", ""), ("GET", "/answers"), ("POST", "/retrieve"), ("DELETE", "")):
        servers.ask(method, f"/queries/{{query}}{path}")


def test_options_of_queries_are_heeded_alike(servers, archives):
    archives.upload(images())
    archives.upload(
        [
            make_instance(
                PatientID="OTHER",
                AccessionNumber="ACC0002",
                PatientName="Jones^Jo",
                StudyDate="20180324",
            )
        ]
    )
    for query in (
        {"PatientName": "Jones*"},
        {"PatientName": "*Jo*"},
        {"StudyDate": "20180323-"},
        {"StudyDate": "20180323-20180325"},
        {"StudyDate": "-20180101"},
        {"PatientID": "NOBODY"},
        {"InstitutionName": "Test*"},
    ):
        for normalize in (True, False):
            body = {"Level": "Study", "Query": query, "Normalize": normalize, "Timeout": 10}
            servers.succeed("POST", "/modalities/archive/query", json=body, keep={"query": "ID"})
            servers.succeed("GET", "/queries/{query}/answers?expand&simplify")
    body = {"Level": "Study", "Query": {}, "LocalAet": "LOCAL"}
    servers.ask("POST", "/modalities/archive/query", json=body)
    servers.ask_each(
        "POST",
        "/modalities/archive/query",
        {},
        {"Level": "Exam", "Query": {}},
        {"Level": "Study", "Query": {"Nonsense": ""}},
        [],
    )

    body = {"Level": "Patient", "Query": {"PatientID": "SYN0001"}}
    servers.succeed("POST", "/modalities/archive/query", json=body, keep={"patients": "ID"})
    nested = {"Query": {"StudyDescription": ""}}
    path = "/queries/{patients}/answers/0/query-studies"
    servers.succeed("POST", path, json=nested, keep={"studies": "ID"})
    servers.succeed("GET", "/queries/{studies}/answers?expand")
    nested = {"Query": {"Modality": ""}}
    path = "/queries/{studies}/answers/0/query-series"
    servers.succeed("POST", path, json=nested, keep={"series-query": "ID"})
    servers.succeed("GET", "/queries/{series-query}/answers?expand")
    path = "/queries/{series-query}/answers/0/query-instances"
    servers.succeed("POST", path, json={"Query": {}}, keep={"instances": "ID"})
    assert servers.succeed("GET", "/queries/{instances}/answers?expand").json()

    for level in ("patient", "study", "series", "instance"):
        ids = {
            "PatientID": "SYN0001",
            "StudyInstanceUID": uid("study"),
            "SeriesInstanceUID": uid("study", "CT"),
        }
        needed = {"patient": 1, "study": 1, "series": 2, "instance": 3}[level]
        servers.succeed(
            "POST", f"/modalities/archive/find-{level}", json=dict(list(ids.items())[:needed])
        )
    servers.succeed("POST", "/modalities/archive/find", json={"PatientID": "SYN0001"})


def test_what_a_query_found_is_retrieved_alike(servers, archives):
    archives.upload(images())
    archives.upload([make_instance(PatientID="OTHER", AccessionNumber="ACC0002")])
    body = {"Level": "Study", "Query": {"NumberOfStudyRelatedInstances": ""}}
    servers.succeed("POST", "/modalities/archive/query", json=body, keep={"query": "ID"})
    path = "/queries/{query}/answers?expand&simplify"
    first, second = (
        int(one["NumberOfStudyRelatedInstances"]) for one in servers.succeed("GET", path).json()
    )
    how: dict[str, Any]
    for path, how in (
        ("/answers/0/retrieve", {"data": "ORTHANC"}),
        ("/retrieve", {"data": "ORTHANC"}),
        ("/retrieve", {"data": b""}),
        ("/retrieve", {"json": {"TargetAet": "ORTHANC", "RetrieveMethod": "C-MOVE"}}),
        ("/retrieve", {"json": {"RetrieveMethod": "C-GET", "Full": True}}),
        ("/answers/0/retrieve", {"json": {"RetrieveMethod": "C-GET", "Timeout": 60}}),
        ("/answers/0/retrieve", {"json": {"TargetAet": "ORTHANC", "Simplify": True}}),
    ):
        servers.succeed("POST", f"/queries/{{query}}{path}", **how)
        assert len(servers.holdings()) == first + (second if path == "/retrieve" else 0), how
        servers.clear()
    for method in ("C-MOVE", "C-GET"):
        how = {"json": {"TargetAet": "ORTHANC", "RetrieveMethod": method, "Synchronous": False}}
        servers.succeed("POST", "/queries/{query}/retrieve", keep={"job": "ID"}, **how)
        assert servers.finish("job")["State"] == "Success"
        assert len(servers.holdings()) == 4
        servers.clear()
    servers.ask_each(
        "POST", "/queries/{query}/retrieve", {"RetrieveMethod": "C-STORE"}, {"TargetAet": "NOBODY"}
    )
    servers.ask("POST", "/queries/{query}/answers/99/retrieve", data="ORTHANC")
    assert servers.holdings() == []


def test_what_is_asked_for_by_identifiers_is_retrieved_alike(servers, archives):
    archives.upload(images())
    levels: dict[str, tuple[dict[str, str], int]] = {
        "Patient": ({"PatientID": "SYN0001"}, 3),
        "Study": ({"StudyInstanceUID": uid("study")}, 3),
        "Series": ({"StudyInstanceUID": uid("study"), "SeriesInstanceUID": uid("study", "CT")}, 2),
        "Instance": (
            {
                "StudyInstanceUID": uid("study"),
                "SeriesInstanceUID": uid("study", "CT"),
                "SOPInstanceUID": uid("study", "CT", 0),
            },
            1,
        ),
    }
    missing = [levels["Study"][0], {"StudyInstanceUID": "1.2.3"}]
    body: dict[str, Any]
    for verb in ("move", "get"):
        for level, (resource, count) in levels.items():
            body = {"Level": level, "Resources": [resource], "Timeout": 60}
            servers.succeed("POST", f"/modalities/archive/{verb}", json=body)
            assert len(servers.holdings()) == count
            servers.clear()
        body = {"Level": "Study", "Resources": [levels["Study"][0]], "Asynchronous": True}
        servers.succeed("POST", f"/modalities/archive/{verb}", json=body, keep={"job": "ID"})
        assert servers.finish("job")["State"] == "Success"

        body = {"Level": "Study", "Resources": missing, "Permissive": True, "Timeout": 1}
        servers.ask("POST", f"/modalities/archive/{verb}", json=body)
        assert len(servers.holdings()) == len(images())
        servers.ask_each(
            "POST",
            f"/modalities/archive/{verb}",
            {},
            {"Level": "Study"},
            {"Level": "Exam", "Resources": []},
            [],
        )
    body = {"Level": "Study", "Resources": missing}
    servers.ask("POST", "/modalities/archive/move", json=body)
    body = {"Level": "Study", "Resources": missing[:1], "TargetAet": "NOBODY"}
    servers.ask("POST", "/modalities/archive/move", json=body)
    classes = {**levels["Study"][0], "SOPClassesInStudy": "1.2.840.10008.5.1.4.1.1.2"}
    servers.ask("POST", "/modalities/archive/get", json={"Level": "Study", "Resources": [classes]})
    servers.holdings()


def test_worklists_are_found_alike(servers):
    query = {"PatientID": "", "ScheduledProcedureStepSequence": [{"Modality": "CT"}]}
    with worklist() as port:
        servers.succeed("PUT", "/modalities/list", json=modality("WORKLIST", port))
        for body in (
            query,
            {"Query": query},
            {"Query": query, "Short": True},
            {"Query": query, "Simplify": True},
            {"Query": query, "Full": True},
        ):
            found = servers.succeed("POST", "/modalities/list/find-worklist", json=body).json()
            assert len(found) == 1
        nobody = {"Query": {"PatientID": "W2"}}
        assert servers.succeed("POST", "/modalities/list/find-worklist", json=nobody).json() == []
        servers.ask("POST", "/modalities/list/find-worklist", data=b"no JSON")


# Storage commitment


def report(servers: Network, name: str) -> dict[str, Any]:
    """Wait for the report on a storage commitment, and compare it."""
    path = f"/storage-commitment/{{{name}}}"
    servers.wait_for(path, "Status", ("Success", "Failure"))
    return dict(servers.succeed("GET", path).json())


def test_storage_is_committed_to_and_reported_alike(servers, archives):
    study = images()
    servers.upload(study)
    path = "/modalities/archive/storage-commitment"
    ct = ["1.2.840.10008.5.1.4.1.1.2", uid("study", "CT", 0)]
    named = {"SOPClassUID": ct[0], "SOPInstanceUID": ct[1]}
    servers.succeed("POST", path, json={"DicomInstances": [ct]}, keep={"asked": "ID"})
    failed = report(servers, "asked")
    assert (failed["Status"], failed["RemoteAET"]) == ("Failure", "ARCHIVE")
    assert [one["FailureReason"] for one in failed["Failures"]] == [0x0112]
    servers.ask("POST", "/storage-commitment/{asked}/remove", data=b"")

    body: dict[str, Any] = {"Resources": ["{study}"], "StorageCommitment": True}
    key = {"asked": "StorageCommitmentTransactionUID"}
    servers.succeed("POST", "/modalities/archive/store", json=body, keep=key)
    assert report(servers, "asked")["Status"] == "Success"
    for body in (
        {"DicomInstances": [named]},
        {"Resources": ["{instance}", "{series}"]},
        {"DicomInstances": [ct], "Resources": ["{patient}"], "Timeout": 10},
    ):
        servers.succeed("POST", path, json=body, keep={"asked": "ID"})
        assert report(servers, "asked")["Status"] == "Success"
    servers.succeed("POST", "/storage-commitment/{asked}/remove", data=b"")
    assert servers.holdings() == []

    servers.ask_each("POST", path, {}, {"DicomInstances": [["1.2"]]}, {"Resources": "{study}"}, [])
    servers.ask("GET", "/storage-commitment/1.2.3")
    servers.ask("POST", "/storage-commitment/1.2.3/remove", data=b"")


def test_servers_commit_to_what_they_hold_alike(servers, archives):
    servers.upload(images())
    archives.upload([*images(), make_instance(PatientID="OTHER", AccessionNumber="ACC0002")])
    before = [set(party.server.http.json("/jobs")) for party in servers]
    body = {"Resources": archives.succeed("GET", "/studies", unordered=True).json()}
    path = "/modalities/orthanc/storage-commitment"
    archives.succeed("POST", path, json=body, keep={"asked": "ID"})
    found = report(archives, "asked")
    assert found["Status"] == "Failure"
    assert (len(found["Success"]), len(found["Failures"])) == (3, 1)
    for party, known in zip(servers, before, strict=True):
        (party.names["job"],) = set(party.server.http.json("/jobs")) - known
    assert servers.finish("job")["Type"] == "StorageCommitmentScp"
    assert servers.compare_listed("{job}")["State"] == "Success"

    for party in archives:
        entry = party.server.http.json("/modalities/orthanc/configuration")
        assert entry["AET"] == "ORTHANC"
    for party in servers:
        entry = party.server.http.json("/modalities/archive/configuration")
        refusing = {**entry, "AllowStorageCommitment": False}
        assert party.server.http.put("/modalities/archive", refusing).ok
    archives.ask("POST", path, json=body)


def test_servers_report_alike_to_who_asks_for_a_commitment(servers):
    servers.upload([make_instance()])
    reports: list[Dataset] = []

    def keep(event: evt.Event) -> tuple[int, None]:
        reports.append(event.event_information)
        return 0x0000, None

    scu = AE("STGCMTSCU")
    scu.add_supported_context(STORAGE_COMMITMENT, scu_role=False, scp_role=True)
    scu.add_requested_context(STORAGE_COMMITMENT)
    port = free_port()
    handlers: list[Any] = [(evt.EVT_N_EVENT_REPORT, keep)]
    listening = scu.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    assert listening is not None
    request = Dataset()
    request.TransactionUID = uid("transaction")
    item = Dataset()
    item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    item.ReferencedSOPInstanceUID = uid("default", "instance")
    request.ReferencedSOPSequence = [item]
    try:
        for number, party in enumerate(servers, 1):
            assert party.server.http.put("/modalities/scu", modality("STGCMTSCU", port)).ok
            assert isinstance(party.server, OrthancServer)
            association = scu.associate("127.0.0.1", party.server.dicom_port, ae_title="ORTHANC")
            assert association.is_established
            status, _ = association.send_n_action(
                request, 1, STORAGE_COMMITMENT, STORAGE_COMMITMENT + ".1"
            )
            association.release()
            assert status.Status == 0x0000
            wait_until("a report", lambda: len(reports), number.__eq__)
    finally:
        listening.shutdown()
    stock, curator = reports
    assert curator == stock
    assert curator.TransactionUID == request.TransactionUID
    assert len(curator.ReferencedSOPSequence) == 1


# DCMTK's tools


@pytest.fixture
def tools(release: str, servers: Network, tmp_path: Path) -> Both:
    sides = [
        Tools(release, party, tmp_path / name)
        for party, name in zip(servers, ("stock", "curator"), strict=True)
    ]
    return Both(servers, sides)


def test_dcmtk_tools_find_both_servers_alike(servers, tools):
    study = [*images(), make_instance(PatientID="OTHER", AccessionNumber="ACC0002")]
    out = ["-od", rootfs.STORAGE]
    assert tools.run("echoscu").code == 0
    for side in tools.sides:
        for number, dicom in enumerate(study):
            (side.directory / f"{number}.dcm").write_bytes(dicom)
    names = tuple(f"{number}.dcm" for number in range(len(study)))
    assert tools.run("storescu", files=names).code == 0
    held = servers.holdings()
    assert len(held) == len(study)
    (ways,) = {(one["RemoteAET"], one["CalledAET"], one["Origin"]) for one in held}
    assert ways == ("TOOLS", "ORTHANC", "DicomProtocol")

    find = ["-S", "-X", *out, "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientName=*"]
    assert tools.run("findscu", *find).files == []  # nobody is answered who is not known
    tools.introduce()
    for keys, count in (
        (["-k", "StudyInstanceUID", "-k", "ModalitiesInStudy"], 2),
        (["-k", "PatientID=OTHER", "-k", "StudyInstanceUID"], 1),
        (["-k", "StudyDate=20240101-20240103", "-k", "NumberOfStudyRelatedInstances"], 2),
        (["-k", "StudyDate=-20000101"], 0),
    ):
        found = tools.run("findscu", *find, *keys)
        assert (found.code, len(found.files)) == (0, count), keys
    series = ["-S", "-X", *out, "-k", "QueryRetrieveLevel=SERIES", "-k", "Modality"]
    found = tools.run("findscu", *series, "-k", f"StudyInstanceUID={uid('study')}")
    assert (found.code, len(found.files)) == (0, 2)

    wanted = ["-S", *out, "-k", "QueryRetrieveLevel=STUDY"]
    wanted += ["-k", f"StudyInstanceUID={uid('study')}"]
    found = tools.run("getscu", *wanted)
    assert (found.code, len(found.files)) == (0, 3)
    port = free_port()
    tools.introduce(Port=port)
    found = tools.run("movescu", "-aem", "TOOLS", "+P", str(port), *wanted)
    assert (found.code, len(found.files)) == (0, 3)
    assert tools.run("movescu", "-aem", "NOBODY", "+P", str(port), *wanted).files == []

    tools.introduce(AllowFind=False, AllowEcho=False)
    tools.run("echoscu")
    assert tools.run("findscu", *find).files == []
