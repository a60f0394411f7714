"""Curator comes into an Orthanc with data of its own, is used, and goes again; Orthanc moves on.

The configuration is that of Debian's packages, with the file that the README says to write in the
place of one of them, and then again without it.
"""

import re
import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import rootfs
import settings as orthanc_settings
from factory import make_instance
from integration.archives import at_port
from integration.model import PLACES, upload_all
from integration.network import DEAD
from integration.operating import (
    changes_between,
    everything,
    hang_on_everything,
    household,
    operate,
    studies_by_description,
    undo,
)
from integration.routing import deliveries, rule, wait_for_deliveries
from integration.scp import Scp
from integration.servers import SUITES, OrthancServer, engine_name, external_url
from integration.waiting import wait_for_job, wait_until

README = Path(__file__).resolve().parents[2] / "README.md"

pytestmark = [
    pytest.mark.skipif(
        external_url() is not None or engine_name() != "rootfs",
        reason="installs into a Debian of its own",
    ),
    pytest.mark.parametrize("release", ["1.12.7"]),
]

OURS = {"curator.db", "curator.key"}
"""The files that the README says are left."""

SITE: dict[str, Any] = {
    "DicomModalitiesInDatabase": True,
    "OrthancPeersInDatabase": True,
    "DicomServerEnabled": False,
    "LogExportedResources": True,
    "StableAge": 1,
    "DicomWeb": {"EnableMetadataCache": False},  # it comes with the first stable series
}
"""What the site has set itself."""

FIRST_OF_PLUGINS = 1024
"""The least number of a property that is not the core's own."""


def configured(server: OrthancServer, python: str | None = None) -> orthanc_settings.Settings:
    """Return Debian's configuration with what the site has set, and the ports of a server.

    ``python`` is what stands in ``python.json`` instead of what Debian has there.
    """
    folder = rootfs.root_directory(server.launch.suite) / "etc/orthanc"
    texts = {file.name: file.read_text(encoding="utf-8") for file in folder.glob("*.json")}
    assert "python.json" in texts
    if python is not None:
        texts["python.json"] = python
    wanted: orthanc_settings.Settings = {}
    for name, text in sorted(texts.items()):
        wanted = orthanc_settings.merge(wanted, orthanc_settings.parse(text, name))
    ports = {"HttpPort": server.http_port, "DicomPort": server.dicom_port}
    return orthanc_settings.merge(wanted, {**SITE, **ports})


def python_of_readme() -> str:
    """Return what the README has an administrator of a Debian put into ``python.json``."""
    debian = README.read_text(encoding="utf-8").partition("\n### Debian and Ubuntu\n")[2]
    written = debian.partition("/etc/orthanc/python.json <<'JSON'\n")[2].partition("\nJSON\n")[0]
    assert '"Curator"' in written
    return written


def restart(server: OrthancServer, wanted: orthanc_settings.Settings) -> str:
    """Start a server again with a configuration; return what its log says of that."""
    if server.is_alive():
        assert server.stop() == 0, server.tail()
    server.launch = replace(server.launch, settings=wanted)
    said = len(server.log)
    server.start()
    return server.log[said:]


def complaints(log: str) -> set[str]:
    """Return the warnings and errors of a log, without their times."""
    lines = re.findall(r"^([WE])\d{4} [\d:.]+ +(.*)$", log, re.MULTILINE)
    return {f"{level} {text}" for level, text in lines}


@dataclass(frozen=True)
class Holdings:
    """What Orthanc has of its own: answers by path, and on the disk."""

    answers: dict[str, Any]
    changes: list[dict[str, Any]]


def holdings(server: OrthancServer, resources: Iterable[str]) -> Holdings:
    """Read all that Orthanc tells of some resources, and of itself."""
    kept = set(resources)
    paths = ["/modalities?expand", "/peers?expand", "/exports", "/jobs"]
    paths += [f"/jobs/{one}" for one in server.http.json("/jobs")]
    for level in PLACES.values():
        for one in kept & set(server.http.json(f"/{level}")):
            paths += [f"/{level}/{one}{view}" for view in VIEWS]
            names = server.http.json(f"/{level}/{one}/attachments")
            paths += [
                f"/{level}/{one}/attachments/{name}/{view}"
                for name in names
                for view in ("data", "md5", "info")
            ]
            if level == "instances":
                paths += [f"/instances/{one}/{view}" for view in ("file", "tags", "header")]
            if level == "patients":
                paths.append(f"/patients/{one}/protected")
    return Holdings(
        {path: answer(server, path) for path in paths},
        [change for change in all_changes(server) if change["ID"] in kept],
    )


FLEETING = frozenset({"IsStable", "Timestamp"})
VIEWS = ("", "/metadata?expand", "/labels", "/statistics")


def answer(server: OrthancServer, path: str) -> Any:
    """Return what an answer says, but for what time alone changes."""
    found = server.http.get(path)
    assert found.status_code == 200, f"{path}: {found.status_code}"
    if not found.headers["Content-Type"].startswith("application/json"):
        return found.content
    body = found.json()
    if isinstance(body, dict):
        return {key: value for key, value in body.items() if key not in FLEETING}
    return body


def all_changes(server: OrthancServer) -> list[dict[str, Any]]:
    """Page through the changes."""
    found: list[dict[str, Any]] = []
    since = 0
    while True:
        page = server.http.json("/changes", params={"since": since, "limit": 50})
        found += page["Changes"]
        if page["Done"]:
            return found
        assert page["Last"] > since
        since = page["Last"]


@dataclass(frozen=True)
class Disk:
    """What the storage of a stopped server holds."""

    attachments: dict[str, str]
    """Digests by UUID."""

    others: set[str]
    """Names of all other files."""

    properties: set[int]
    """Numbers of the properties that the index keeps for the core and for plugins."""


def disk(server: OrthancServer) -> Disk:
    """Read the storage; whatever looks like an attachment is one that the index knows."""
    assert not server.is_alive()
    files = [path for path in server.storage.rglob("*") if path.is_file()]
    attachments = [path for path in files if path.parent != server.storage]
    with closing(sqlite3.connect(server.storage / "index")) as index:
        known = {str(row[0]) for row in index.execute("SELECT uuid FROM AttachedFiles")}
        properties = {int(row[0]) for row in index.execute("SELECT property FROM GlobalProperties")}
    assert {path.name for path in attachments} == known
    return Disk(
        {path.name: sha256(path.read_bytes()).hexdigest() for path in attachments},
        {path.name for path in files if path.parent == server.storage},
        properties,
    )


def live_with_orthanc(server: OrthancServer) -> None:
    """Leave what a site leaves in years: studies, what hangs on them, names, jobs, exports."""
    upload_all(server, list(household()))
    hang_on_everything(server)
    http = server.http
    assert http.put("/modalities/pacs", at_port(DEAD, "PACS")).ok
    assert http.put("/peers/far", {"Url": f"http://127.0.0.1:{DEAD}/"}).ok
    other = studies_by_description(server)["other"]
    assert http.put(f"/patients/{patient(server, other)}/protected", data=b"1").ok
    changed = {"Replace": {"StudyDescription": "changed"}, "KeepSource": True}
    jobs = [
        http.post(path, {**body, "Asynchronous": True}).json()["ID"]
        for path, body in (
            (f"/studies/{other}/modify", changed),
            ("/peers/far/store", {"Resources": [other]}),
        )
    ]
    states = [wait_for_job(http, job)["State"] for job in jobs]
    assert states == ["Success", "Failure"]


def patient(server: OrthancServer, study: str) -> str:
    return str(server.http.json(f"/studies/{study}")["ParentPatient"])


def below(server: OrthancServer, *studies: str) -> set[str]:
    """Return studies, their patients, and all below."""
    found = set(studies) | {patient(server, study) for study in studies}
    for study in studies:
        for level in ("series", "instances"):
            found |= {one["ID"] for one in server.http.json(f"/studies/{study}/{level}")}
    return found


@dataclass(frozen=True)
class Used:
    """What was done with Curator: operations in their order, and what else it has made."""

    operations: list[str]
    made: list[str]


def use_curator(server: OrthancServer) -> Used:
    """Split, merge, anonymize, and let a rule work; return what can be taken back."""
    studies = studies_by_description(server)
    main, more = studies["main"], studies["more"]
    echoes = operate(server, f"studies/{main}/split", By=["Echo"], Into="Series")
    visits = operate(server, f"studies/{main}/merge", Resources=[more], OnConflict="Refuse")
    copy = operate(server, f"studies/{main}/anonymize", Profile="basic")
    marking = {
        "Name": "mark",
        "When": "StableStudy",
        "If": {"Tag": "Modality", "Equals": "US"},
        "Then": [{"Label": {"Add": ["routed"]}}],
    }
    put = server.http.put("/curator/rules", {"Rules": [marking]})
    assert put.status_code == 200, put.text
    ultrasound = make_instance(Modality="US", PatientID="P3", StudyDescription="ultrasound")
    marked = server.upload(ultrasound)["ParentStudy"]
    labels = f"/studies/{marked}/labels"
    wait_until("the rule", lambda: server.http.json(labels), lambda found: found == ["routed"])
    return Used([echoes["Operation"], visits["Operation"]], [copy["ID"], marked])


def work_without_curator(server: OrthancServer) -> None:
    """Do with stock what it does, and clean up."""
    dicom = make_instance(PatientID="P4", StudyDescription="later")
    study = server.upload(dicom)["ParentStudy"]
    modified = operate(server, f"studies/{study}/modify", Replace={"StudyID": "9"})
    anonymized = operate(server, f"studies/{study}/anonymize")
    series = server.http.json(f"/studies/{study}")["Series"]
    operate(server, f"studies/{modified['ID']}/merge", Resources=series)
    assert server.http.get("/curator").status_code == 404
    for one in (modified["ID"], anonymized["ID"]):
        assert server.http.delete(f"/studies/{one}").ok


def move(names: set[str], source: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for name in names:
        shutil.move(source / name, target / name)


def test_an_install_gets_curator_uses_it_and_loses_it(new_server, tmp_path):
    server = new_server(with_plugin=False, started=False)
    stock = configured(server)
    installed = configured(server, python_of_readme())
    restart(server, stock)
    live_with_orthanc(server)
    before = everything(server)
    studies = studies_by_description(server)
    untouched = below(server, studies["other"], studies["changed"])
    server.stop()
    bare = disk(server)
    stock_words = complaints(restart(server, stock))
    kept = holdings(server, untouched)
    assert len(kept.answers["/jobs"]) == 2

    log = restart(server, installed)
    assert not [line for line in complaints(log) if line.startswith("E ")], log
    assert holdings(server, untouched) == kept
    assert not changes_between(before, everything(server))
    used = use_curator(server)
    server.stop()
    grown = disk(server)
    assert grown.others - bare.others == OURS
    assert grown.properties == bare.properties
    assert max(grown.properties) < FIRST_OF_PLUGINS

    aside = tmp_path / "aside"
    move(OURS, server.storage, aside)
    log = restart(server, stock)
    assert complaints(log) == stock_words
    assert holdings(server, untouched) == kept
    work_without_curator(server)
    server.stop()
    left = disk(server)
    assert left.others == bare.others
    mine = {one["Uuid"] for path, one in kept.answers.items() if path.endswith("/info")}
    assert mine
    assert {one: left.attachments.get(one) for one in mine} == {
        one: bare.attachments[one] for one in mine
    }

    move(OURS, aside, server.storage)
    restart(server, installed)
    for operation in reversed(used.operations):
        undo(server, operation)
    for study in used.made:
        assert server.http.delete(f"/studies/{study}").ok
    assert not changes_between(before, everything(server))

    server.kill()
    for file in server.storage.glob("curator.*"):
        file.unlink()
    restart(server, installed)
    assert server.http.json("/curator/operations") == []
    assert server.http.json("/curator/rules")["Rules"] == []
    operate(server, f"studies/{studies['main']}/split", By=["Echo"], Into="Series")


def test_a_newer_orthanc_goes_on_with_what_curator_had_begun(new_server):
    pacs = Scp("PACS")  # switched off for now
    server = new_server(StableAge=1, DicomModalities={"pacs": pacs.modality})
    upload_all(server, list(household()))
    before = everything(server)
    studies = studies_by_description(server)
    main, other = studies["main"], studies["other"]
    done = operate(server, f"studies/{main}/split", By=["Echo"], Into="Series")
    sending = rule("to-pacs", "Manual", "modality:pacs")
    put = server.http.put("/curator/rules", {"Rules": [sending]})
    assert put.status_code == 200, put.text
    fire = {"Resources": [other]}
    assert server.http.post("/curator/rules/to-pacs/run", fire).status_code == 200
    sent = partial(deliveries, server)
    wait_until("an attempt", sent, lambda found: [one["Attempts"] for one in found] > [0])
    anonymized = operate(server, f"studies/{other}/anonymize", Profile="basic")
    jobs = set(server.http.json("/jobs"))
    body = {"Resources": [studies["more"]], "OnConflict": "Refuse", "Asynchronous": True}
    begun = server.http.post(f"/studies/{main}/merge", body).json()["ID"]
    server.kill()

    server.launch = replace(server.launch, suite=SUITES["1.13.0"])
    server.start()
    assert server.version == "1.13.0"
    assert server.http.json("/curator")["Problems"] == []
    assert jobs <= set(server.http.json("/jobs"))
    assert wait_for_job(server.http, begun)["State"] == "Success"
    (known,) = server.http.json("/curator/rules")["Rules"]
    assert (known["Name"], known["Enabled"], known["Version"]) == ("to-pacs", True, "1")
    with pacs:
        (delivery,) = wait_for_deliveries(server)
    assert delivery["State"] == "Delivered"
    sent_study = server.http.json(f"/studies/{other}/instances")
    assert set(pacs.stored) == {one["MainDicomTags"]["SOPInstanceUID"] for one in sent_study}

    again = operate(server, f"studies/{other}/anonymize", Profile="basic")
    assert again["ID"] == anonymized["ID"], "the key of pseudonyms is the same"
    assert server.http.delete(f"/studies/{anonymized['ID']}").ok
    merged = server.http.json(f"/jobs/{begun}")["Content"]["Operation"]
    for operation in (merged, done["Operation"]):
        undo(server, operation)
    assert not changes_between(before, everything(server))
