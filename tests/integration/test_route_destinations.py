"""Destinations against real servers: archives, a DICOM server that fails, DICOMweb, HTTP.

The classes run in this process, on the REST API of a stock server (``RemoteSdk``).
"""

import json
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import pytest
from pydicom.uid import ImplicitVRLittleEndian

from curator.config import Settings
from curator.gateway import Gateway
from curator.level import Level
from curator.models import validate
from curator.route.delivery import Delivery, Destination, Outcome, Package, SendOptions
from curator.route.destinations.registry import Destinations
from curator.route.kinds import DeliveryState, FailureKind
from curator.sdk import Sdk
from factory import make_instance, uid
from integration.http_sink import Answer, HttpSink, Received
from integration.remote_sdk import RemoteSdk
from integration.scp import Scp
from integration.servers import OrthancServer, engine_name, external_url, free_port
from integration.waiting import wait_until

PLAIN = SendOptions()

SERVER = {"DicomServerEnabled": True, "DicomAlwaysAllowStore": True}


def package(instances: list[str], options: SendOptions = PLAIN, **event: Any) -> Package:
    delivery = Delivery(
        id="d-1", run="r-1", rule="to-archive", version="1", level=Level.STUDY, resource="study",
        destination="", priority=0, state=DeliveryState.SENDING, attempts=0, next_attempt=0.0,
        failure="", answer="", instances=len(instances), done=0, options=options, event=event,
        user="", created=0.0, changed=0.0,
    )  # fmt: skip
    return Package(delivery, tuple(instances))


class Sender:
    """Destinations that use a server without plugin, as if they were in it."""

    def __init__(self, server: OrthancServer, directory: Path) -> None:
        self.server = server
        self.uids: dict[str, str] = {}
        self.confirmed: list[str] = []
        self.stopping = False
        self._directory = directory
        self.configure()

    def configure(self, **curator: Any) -> None:
        """Make the destinations anew, with other settings."""
        gateway = Gateway(cast(Sdk, RemoteSdk(self.server)))
        settings = validate(Settings, curator)
        configuration = self.server.launch.settings
        self.all = Destinations(gateway, settings, configuration, self._directory)

    def add_modality(self, name: str, ae_title: str, port: int) -> None:
        """Tell the server of a modality on this machine."""
        entry = {"AET": ae_title, "Host": "127.0.0.1", "Port": port}
        assert self.server.http.put(f"/modalities/{name}", entry).ok

    def add_peer(self, name: str, url: str) -> None:
        """Tell the server of a peer."""
        assert self.server.http.put(f"/peers/{name}", {"Url": url}).ok

    def add_dicomweb(self, name: str, url: str) -> None:
        """Tell the DICOMweb plugin of a server."""
        entry = {"Url": url, "ChunkedTransfers": False}
        assert self.server.http.put(f"/dicom-web/servers/{name}", entry).ok

    def upload(self, count: int, **elements: Any) -> list[str]:
        """Upload instances of one series; return their Orthanc identifiers."""
        found = []
        for number in range(count):
            sop_instance_uid = uid("destinations", len(self.uids))
            content = make_instance(
                SOPInstanceUID=sop_instance_uid, InstanceNumber=number, **elements
            )
            instance = self.server.upload(content)["ID"]
            self.uids[instance] = sop_instance_uid
            found.append(instance)
        return found

    def send(self, name: str, instances: list[str], options: SendOptions = PLAIN) -> Outcome:
        """Send instances; what is confirmed is in ``confirmed``."""
        self.confirmed = []
        return self.destination(name).send(
            package(instances, options), self.confirmed.extend, lambda: self.stopping
        )

    def destination(self, name: str) -> Destination:
        """Return a destination."""
        return self.all.get(name)


def started(release: str, **settings: Any) -> OrthancServer:
    if external_url():
        pytest.skip("starts a server of its own; CURATOR_TEST_URL names one that already runs")
    everything = {**SERVER, **settings}
    return OrthancServer(
        release, everything, with_plugin=False, in_memory=True, engine=engine_name()
    )


@pytest.fixture(scope="module")
def stock_server(release: str) -> Iterator[OrthancServer]:
    """Return the server that all but a few tests send from."""
    with started(release) as server:
        yield server


@pytest.fixture
def sender(stock_server: OrthancServer, tmp_path: Path) -> Sender:
    """Return destinations on that server, which is empty."""
    stock_server.clear()
    return Sender(stock_server, tmp_path)


@pytest.fixture(scope="module")
def archive(release: str) -> Iterator[OrthancServer]:
    """Return an archive that says Success to what it does not store."""
    server = started(release, LuaScripts=["/var/lib/orthanc/db/filter.lua"])
    (server.storage / "filter.lua").write_text(
        "function ReceivedInstanceFilter(dicom, origin) return dicom.PatientID ~= 'FILTERED' end"
    )
    with server:
        yield server


@pytest.fixture
def empty_archive(archive: OrthancServer) -> OrthancServer:
    """Return that archive, emptied."""
    archive.clear()
    return archive


@pytest.fixture
def scp(sender: Sender) -> Iterator[Scp]:
    """Return a DICOM server that does as it is told, the modality ``scp``."""
    with Scp() as one:
        sender.add_modality("scp", one.ae_title, one.port)
        yield one


def kinds(outcome: Outcome) -> dict[str, FailureKind]:
    """Return the kinds of failure by instance."""
    return {instance: failure.kind for instance, failure in outcome.failures.items()}


def test_c_store_tells_of_every_instance_what_became_of_it(sender: Sender, scp: Scp) -> None:
    instances = sender.upload(9)
    by_status = dict(
        zip(instances[1:], (0xB000, 0xB007, 0x0111, 0xA700, 0xA900, 0xC000, 0x0122), strict=False)
    )
    statuses = {sender.uids[instance]: status for instance, status in by_status.items()}
    scp.behavior.statuses.update(statuses)
    outcome = sender.send("modality:scp", instances)
    transient, *permanent = instances[4:8]
    assert kinds(outcome) == {
        transient: FailureKind.TRANSIENT,
        **dict.fromkeys(permanent, FailureKind.PERMANENT),
    }
    assert outcome.failures[transient].answer == "DIMSE status 0xA700"
    assert outcome.failure is None
    assert sorted(sender.confirmed) == sorted({*instances} - {*instances[4:8]})
    assert sorted(scp.received) == sorted(sender.uids.values())


def test_one_association_carries_all_but_the_first_instance(sender: Sender, scp: Scp) -> None:
    instances = sender.upload(30)
    assert sender.send("modality:scp", instances) == Outcome()
    assert sender.confirmed == instances
    assert scp.associations == 2
    assert scp.received == list(sender.uids.values())
    assert sender.server.http.json("/jobs") == []  # the few places there are for those of users


def test_an_instance_that_makes_the_server_abort_does_not_hold_up_the_others(
    sender: Sender, scp: Scp
) -> None:
    instances = sender.upload(6)
    scp.behavior.abort_on.add(sender.uids[instances[3]])
    outcome = sender.send("modality:scp", instances)
    assert kinds(outcome) == {instances[3]: FailureKind.TRANSIENT}
    assert outcome.failure is None
    assert {*sender.confirmed} == {*instances} - {instances[3]}


def test_a_modality_that_refuses_or_is_off_fails_as_a_whole_and_is_not_back(
    sender: Sender, scp: Scp
) -> None:
    sender.add_modality("off", "NOBODY", free_port())
    instances = sender.upload(3)
    scp.behavior.refuse = True
    for name in ("modality:scp", "modality:off"):
        outcome = sender.send(name, instances)
        assert outcome.failure is not None
        assert outcome.failure.kind is FailureKind.TRANSIENT
        assert sender.confirmed == []
        assert not sender.destination(name).is_back()
    scp.behavior.refuse = False
    assert sender.destination("modality:scp").is_back()
    assert sender.destination("modality:scp").test()["Success"]


def test_a_server_that_takes_no_such_transfer_syntax_gets_it_transcoded(sender: Sender) -> None:
    with Scp(syntaxes=[ImplicitVRLittleEndian]) as scp:
        sender.add_modality("scp", scp.ae_title, scp.port)
        instances = sender.upload(3)
        outcome = sender.send("modality:scp", instances)
        assert outcome == Outcome()
        assert {*scp.syntaxes.values()} == {ImplicitVRLittleEndian}


def test_what_a_rule_wants_transcoded_arrives_so(sender: Sender, scp: Scp) -> None:
    instances = sender.upload(3)
    wanted = SendOptions(transcode=ImplicitVRLittleEndian)
    assert sender.send("modality:scp", instances, wanted) == Outcome()
    assert {*scp.syntaxes.values()} == {ImplicitVRLittleEndian}


def test_instances_deleted_meanwhile_are_told_apart(
    sender: Sender, scp: Scp, empty_archive: OrthancServer
) -> None:
    sender.add_peer("archive", empty_archive.url)
    instances = sender.upload(6)
    gone = instances[0::3]
    sender.server.http.post("/tools/bulk-delete", {"Resources": gone})
    for name in ("modality:scp", "peer:archive"):
        outcome = sender.send(name, instances)
        assert kinds(outcome) == dict.fromkeys(gone, FailureKind.GONE)
        assert {*sender.confirmed} == {*instances} - {*gone}


def test_neither_a_stalling_server_nor_busy_workers_hold_up_others_or_a_stop(
    release: str, tmp_path: Path
) -> None:
    with (
        Scp("STALLS", stalls=True) as stalling,
        Scp() as scp,
        started(release, ConcurrentJobs=1, DicomScuTimeout=3600) as server,
    ):
        sender = Sender(server, tmp_path)
        sender.add_modality("stalling", stalling.ae_title, stalling.port)
        sender.add_modality("scp", scp.ae_title, scp.port)
        instances = sender.upload(4)
        body = {"Resources": instances, "Asynchronous": True, "Timeout": 3600}
        assert sender.server.http.post("/modalities/stalling/store", body).ok
        wait_until("stalling", lambda: stalling.stalled, bool)
        assert sender.send("modality:scp", instances) == Outcome()
        assert {*sender.confirmed} == {*instances}

        sender.stopping = True
        assert sender.send("modality:stalling", instances) == Outcome()
        assert (sender.confirmed, stalling.received) == ([], [])


def test_storage_commitment_and_a_search_find_what_was_not_kept(sender: Sender) -> None:
    reports_to = ("127.0.0.1", sender.server.dicom_port, "ORTHANC")
    with Scp(reports_to=lambda: reports_to) as scp:
        sender.add_modality("scp", scp.ae_title, scp.port)
        sender.configure(Destinations={"modality:scp": {"Timeout": 1}})
        instances = sender.upload(4)
        scp.behavior.forgets.add(sender.uids[instances[2]])
        for options in (SendOptions(storage_commitment=True), SendOptions(check_count=True)):
            outcome = sender.send("modality:scp", instances, options)
            assert kinds(outcome) == {instances[2]: FailureKind.TRANSIENT}
            assert {*sender.confirmed} == {*instances} - {instances[2]}
        assert sender.server.http.json("/queries") == []


def test_a_peer_confirms_what_it_stores_and_refuses_what_it_filters(
    sender: Sender, empty_archive: OrthancServer
) -> None:
    sender.add_peer("archive", empty_archive.url)
    sender.add_peer("off", "http://127.0.0.1:1/")
    kept, filtered = sender.upload(4), sender.upload(1, PatientID="FILTERED")
    for _ in range(2):  # the second time, the peer has them already
        outcome = sender.send("peer:archive", [*kept, *filtered])
        assert kinds(outcome) == dict.fromkeys(filtered, FailureKind.PERMANENT)
        assert {*sender.confirmed} == {*kept}
    assert len(empty_archive.http.json("/instances")) == len(kept)
    assert sender.destination("peer:archive").is_back()

    outcome = sender.send("peer:off", kept)
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.TRANSIENT
    assert not sender.destination("peer:off").is_back()


def test_a_search_by_qido_finds_what_dicomweb_did_not_store(
    sender: Sender, empty_archive: OrthancServer
) -> None:
    sender.add_dicomweb("archive", f"{empty_archive.url}dicom-web/")
    sender.add_dicomweb("off", "http://127.0.0.1:1/")
    sender.configure(Destinations={"dicomweb:archive": {"Timeout": 1}})
    kept, filtered = sender.upload(5), sender.upload(1, PatientID="FILTERED")
    searched = SendOptions(check_count=True)
    outcome = sender.send("dicomweb:archive", [*kept, *filtered], searched)
    assert kinds(outcome) == dict.fromkeys(filtered, FailureKind.TRANSIENT)
    assert {*sender.confirmed} == {*kept}
    assert len(empty_archive.http.json("/instances")) == len(kept)

    outcome = sender.send("dicomweb:off", kept)
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.TRANSIENT
    assert not sender.destination("dicomweb:off").is_back()


def test_dicomweb_finds_the_instance_that_is_refused(sender: Sender) -> None:
    with HttpSink() as sink:
        sender.add_dicomweb("refusing", sink.url)
        instances = sender.upload(5)
        refused = sender.uids[instances[2]].encode()

        def respond(request: Received) -> Answer:
            if request.method == "GET":
                return Answer(200, (("Content-Type", "application/dicom+json"),), b"[]")
            if refused in request.body:
                return Answer(400)
            count = request.body.count(b"Content-Type: application/dicom")
            body = {"00081199": {"vr": "SQ", "Value": [{}] * count}}
            headers = (("Content-Type", "application/dicom+json"),)
            return Answer(200, headers, json.dumps(body).encode())

        sink.respond = respond
        outcome = sender.send("dicomweb:refusing", instances)
        assert kinds(outcome) == {instances[2]: FailureKind.PERMANENT}
        assert {*sender.confirmed} == {*instances} - {instances[2]}


def test_an_archive_goes_to_a_webhook_in_signed_parts(sender: Sender, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("very secret\n")
    with HttpSink() as sink:
        webhook = {"Url": sink.url, "Content": "Archive", "SecretFile": "secret"}
        sender.configure(Webhooks={"hook": webhook}, Destinations={"webhook:hook": {"Batch": 2}})
        instances = sender.upload(3)
        assert sender.send("webhook:hook", instances) == Outcome()
        parts = [zipfile.ZipFile(BytesIO(request.body)) for request in sink.posted]
        assert [part.testzip() for part in parts] == [None, None]
        names = [name for part in parts for name in part.namelist()]
        assert names == [f"{instance}.dcm" for instance in instances]
        assert len({request.headers["x-curator-part"] for request in sink.posted}) == 2
        for request in sink.posted:
            assert request.headers["x-curator-signature"].startswith("sha256=")


def test_a_folder_gets_the_files_as_they_are_stored(sender: Sender, tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    sender.configure(Folders={"export": {"Root": "export"}})
    instances = sender.upload(4)
    for _ in range(2):  # the second time, they are there already
        assert sender.send("folder:export", instances) == Outcome()
        assert {*sender.confirmed} == {*instances}
    written = [path.read_bytes() for path in (tmp_path / "export").rglob("*") if path.is_file()]
    stored = [sender.server.http.get(f"/instances/{one}/file").content for one in instances]
    assert sorted(written) == sorted(stored)


def test_names_are_those_of_the_server_now(sender: Sender) -> None:
    problem = sender.all.problem("modality:later")
    assert problem is not None
    assert problem.startswith('There is no modality "later"')
    sender.add_modality("later", "LATER", free_port())
    assert sender.all.problem("modality:later") is None
    assert "modality:later" in sender.all.names()
    assert sender.server.http.delete("/modalities/later").ok
    assert "modality:later" not in sender.all.names()
