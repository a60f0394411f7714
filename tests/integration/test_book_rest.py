"""The Book's pages "REST API" and "Advanced features": all that changes what is stored.

Upload, metadata, attachments, labels, archives, DICOM-ization, changes, exports, protection,
reconstruction, deletion and the settings of ``/tools``, by a stock server and by one with Curator.
Anonymization and modification have files of their own, and so have peers and modalities.
"""

import base64
import gzip
import io
import json
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from pydicom import dcmread

from factory import ct_series, make_instance, mr_series, uid
from integration.pair import Pair, Party

ONE = make_instance()
PARTS = {"attachments/1030": b"attached " * 20, "metadata/1024": b"noted"}
LEVELS = {"patients": "patient", "studies": "study", "series": "series", "instances": "instance"}


@pytest.fixture
def book(pair: Pair) -> Pair:
    """A patient with two series of a study, and one with a single instance."""
    pair.upload([make_instance(PatientID="O", StudyInstanceUID=uid("o"))], instance="other")
    pair.upload(mr_series(1), series="mr")
    pair.upload(ct_series(2))
    return pair


def stored(pair: Pair) -> list[Any]:
    """See that both servers hold the same, at every level; return what there is."""
    return [pair.succeed("GET", f"/{level}").json() for level in (*LEVELS, "statistics")]


# --- Sending DICOM images -------------------------------------------------------------------------


def zipped(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return content.getvalue()


ARCHIVE = zipped(one=ct_series(2)[0], two=ct_series(2)[1])
RUBBISH = zipped(**{"readme.txt": b"rubbish", "a/one.dcm": ONE, "DICOMDIR": b"DICM", "empty": b""})


class Chunks:
    """A body of unknown length, which goes in chunks, as often as it is asked for."""

    def __iter__(self) -> Iterator[bytes]:
        return iter((ONE[:100], ONE[100:]))


UPLOADS: dict[str, tuple[int, dict[str, Any]]] = {
    "a file": (200, {"data": ONE}),
    "of its type": (200, {"data": ONE, "headers": {"Content-Type": "application/dicom"}}),
    "of a wrong type": (200, {"data": ONE, "headers": {"Content-Type": "application/json"}}),
    "Expect": (200, {"data": ONE, "headers": {"Expect": "100-continue"}}),
    "no Expect": (200, {"data": ONE, "headers": {"Expect": ""}}),
    "in chunks": (200, {"data": Chunks()}),
    "gzip": (200, {"data": gzip.compress(ONE), "headers": {"Content-Encoding": "gzip"}}),
    "a ZIP": (200, {"data": ARCHIVE}),
    "a ZIP with rubbish": (200, {"data": RUBBISH}),
    "a ZIP without DICOM": (200, {"data": zipped(readme=b"rubbish")}),
    "a broken ZIP": (400, {"data": ARCHIVE[:-40]}),
    "not DICOM": (400, {"data": b"this is no DICOM file"}),
    "nothing": (400, {"data": b""}),
    "JSON": (400, {"json": {"PatientID": "x"}}),
    "the half of a file": (400, {"data": ONE[:-100]}),
    "no identifiers": (404, {"data": make_instance(SOPInstanceUID=None)}),
}


@pytest.mark.parametrize("name", UPLOADS)
def test_upload_is_answered_the_same(pair, name):
    status, options = UPLOADS[name]
    for _ in "twice":
        expected, _ = pair.ask("POST", "/instances", literal=True, **options)
        assert expected.status_code == status
    stored(pair)


def test_upload_by_a_form_is_answered_the_same(pair):
    for header in ({}, {"X-Requested-With": "XMLHttpRequest"}):
        form = {"files": {"file": ("one.dcm", ONE)}, "headers": header}
        pair.ask("POST", "/instances", literal=True, **form)
    stored(pair)


def test_uploaded_file_comes_back_to_the_byte(pair):
    pair.upload([ONE])
    assert pair.succeed("GET", "/instances/{instance}/file").content == ONE
    assert pair.succeed("GET", "/instances/{instance}/attachments/dicom/data").content == ONE


# --- Metadata, attachments, labels ----------------------------------------------------------------


@pytest.mark.parametrize("part", PARTS)
def test_metadata_and_attachments_are_put_read_and_deleted_the_same(book, part):
    for level, name in LEVELS.items():
        put_read_and_delete(book, f"/{level}/{{{name}}}/{part}", PARTS[part])
    stored(book)


def put_read_and_delete(pair: Pair, path: str, content: bytes) -> None:
    data = path if "/metadata/" in path else f"{path}/data"
    for _ in "twice":
        pair.succeed("PUT", path, data=content)
    given = pair.succeed("GET", data)
    assert given.content == content
    for header in ({"If-Match": given.headers.get("ETag", '"0"')}, {"If-Match": '"77"'}):
        pair.ask("PUT", path, data=b"changed", headers=header)
        pair.ask("DELETE", path, headers=header)
    pair.ask("PUT", path, data=b"")
    pair.ask("GET", data)
    pair.succeed("DELETE", path)
    assert pair.ask("GET", data)[0].status_code == 404
    pair.ask("DELETE", path)


NOT_WRITABLE = [
    *("metadata/Origin", "metadata/LastUpdate", "metadata/AnonymizedFrom", "metadata/1023"),
    *("metadata/70000", "metadata/NoSuchName", "attachments/dicom", "attachments/NoSuchName"),
    *("attachments/1", "attachments/1000", "attachments/70000", "labels/not%20a%20label"),
    "labels/",
]


def test_what_is_the_cores_own_is_not_written(book):
    for path in NOT_WRITABLE:
        for level, name in (("studies", "study"), ("instances", "instance")):
            for method in ("PUT", "DELETE"):
                expected, _ = book.ask(method, f"/{level}/{{{name}}}/{path}", data=b"x")
                assert expected.status_code >= 400, path
    stored(book)


def test_attachment_is_compressed_and_checked_the_same(book):
    path = "/studies/{study}/attachments/1030"
    book.succeed("PUT", path, data=b"much of the same " * 100)
    for action in ("verify-md5", "compress", "compress", "verify-md5", "uncompress"):
        book.succeed("POST", f"{path}/{action}")
        for part in ("is-compressed", "size", "compressed-size", "md5", "compressed-md5", "info"):
            book.succeed("GET", f"{path}/{part}")
        book.succeed("GET", f"{path}/compressed-data")
    book.ask("POST", f"{path}/nothing")
    book.ask("POST", "/studies/unknown/attachments/1030/compress")


def test_labels_are_put_read_and_deleted_the_same(book):
    for path in (f"/{level}/{{{name}}}" for level, name in LEVELS.items()):
        for label in ("Toto", "Toto", "tu-tu_1"):
            book.succeed("PUT", f"{path}/labels/{label}")
        assert book.succeed("GET", f"{path}/labels").json() == ["Toto", "tu-tu_1"]
        assert book.succeed("GET", "/tools/labels").json() == ["Toto", "tu-tu_1"]
        book.succeed("GET", f"{path}/labels/Toto")
        for _ in "twice":
            book.ask("DELETE", f"{path}/labels/Toto")
        assert book.ask("GET", f"{path}/labels/Toto")[0].status_code == 404
        assert book.succeed("GET", path).json()["Labels"] == ["tu-tu_1"]


# --- Archives and media ---------------------------------------------------------------------------

KINDS = ("archive", "media")
ARCHIVED = {level: name for level, name in LEVELS.items() if level != "instances"}


@pytest.mark.parametrize("kind", KINDS)
def test_archive_is_the_same(book, kind):
    for path in (f"/{level}/{{{name}}}/{kind}" for level, name in ARCHIVED.items()):
        book.succeed("GET", path)
        book.succeed("POST", path, json={})
        book.ask("GET", f"/{path.split('/')[1]}/unknown/{kind}")
    path = f"/studies/{{study}}/{kind}"
    book.succeed("GET", path, params={"filename": "own.zip", "transcode": "1.2.840.10008.1.2"})
    book.succeed("POST", path, json={"Synchronous": True, "Transcode": "1.2.840.10008.1.2.4.70"})
    if kind == "media":
        book.succeed("GET", path, params={"extended": ""})
        book.succeed("POST", path, json={"Extended": True})
    for body in (b"", b"[]", b'{"Transcode": "1.2.3"}', b'{"Synchronous": "yes"}'):
        book.ask("POST", path, data=body)


@pytest.mark.parametrize("kind", KINDS)
def test_archive_by_a_job_is_the_same(book, kind):
    body = {"Asynchronous": True, "Priority": 2, "UserData": {"a": ["", 0.1, None, "<&>"]}}
    book.succeed("POST", f"/studies/{{study}}/{kind}", json=body, keep={"job": "ID"})
    assert book.finish("job")["State"] == "Success"
    for accept in ("*/*", "application/xml"):
        book.succeed("GET", "/jobs/{job}/archive", headers={"Accept": accept})
    book.succeed("GET", "/jobs/{job}/archive", headers={"Range": "bytes=0-3"}, alike=len_of)
    for method, path in (("GET", "nothing"), ("DELETE", "archive"), ("DELETE", "archive")):
        book.ask(method, f"/jobs/{{job}}/{path}")
    assert book.ask("GET", "/jobs/{job}/archive")[0].status_code == 404
    for _ in "twice":
        book.ask("DELETE", "/jobs/{job}")


def len_of(answer: requests.Response) -> bool:
    """Return whether an archive is there as a whole: how long it is depends on times in it."""
    return zipfile.is_zipfile(io.BytesIO(answer.content))


def test_answers_in_xml_are_the_same(book):
    """The core makes XML of any JSON for who asks for it: of what Curator answers, too."""
    data: dict[str, Any] = {
        "empty": "",
        "none": None,
        "list": [],
        "map": {},
        "text": "<&>'\"\n\té",
        "num": -2.5,
    }
    body = {"Series": ["{mr}"], "KeepSource": True, "Asynchronous": True, "UserData": data}
    xml = {"Accept": "application/xml"}
    book.succeed("POST", "/studies/{study}/split", json=body, keep={"job": "ID"})
    assert book.finish("job")["State"] == "Success"
    for method, path in (("GET", ""), ("POST", "/cancel"), ("POST", "/pause")):
        answers = book.ask(method, f"/jobs/{{job}}{path}", headers=xml, alike=canonical(book))
        assert "<root" in answers[0].text
    for verb in ("split", "anonymize"):
        body = {"Series": ["{mr}"], "KeepSource": True}
        answers = book.ask("POST", f"/studies/{{study}}/{verb}", json=body, headers=xml, alike=tags)
        assert all(one.headers["Content-Type"].startswith("application/xml") for one in answers)


def canonical(pair: Pair) -> Callable[[requests.Response], str]:
    """Return what compares XML: but for how long jobs took, and how an empty element is written."""

    def read(answer: requests.Response) -> str:
        lines = ET.canonicalize(answer.text).splitlines()
        return pair.text("\n".join(one for one in lines if "<EffectiveRuntime>" not in one))

    return read


def tags(answer: requests.Response) -> list[str]:
    """Return the names of the elements of XML, in order."""
    return [line.strip().partition(">")[0] for line in answer.text.splitlines()]


SEVERAL = ["{series}", "{other}", "{mr}"]


@pytest.mark.parametrize("kind", ["archive", "media", "media-extended"])
def test_archive_of_several_resources_is_the_same(book, kind):
    path = f"/tools/create-{kind}"
    book.succeed("GET", f"{path}?resources={','.join(SEVERAL)}")
    book.succeed("POST", path, json=SEVERAL)
    book.succeed("POST", path, json={"Resources": SEVERAL, "Filename": "own.zip"})
    asked = {"Resources": SEVERAL, "Asynchronous": True}
    book.succeed("POST", path, json=asked, keep={"job": "ID"})
    assert book.finish("job")["State"] == "Success"
    book.succeed("GET", "/jobs/{job}/archive")
    for wrong in (b"", b"{}", b'["unknown"]', b'{"Resources": "x"}', b'{"Resources": ["unknown"]}'):
        book.ask("POST", path, data=wrong)
    book.ask("GET", path)


# --- DICOM-ization --------------------------------------------------------------------------------

NOW = frozenset({"DA", "TM", "DT"})


def picture(pair: Pair, kind: str) -> str:
    """Return a picture as a data URI: the core's own drawing of an instance."""
    path = pair.stock.fill("/instances/{instance}/preview")
    content = pair.stock.server.http.get(path, headers={"Accept": kind}).content
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def made(pair: Pair, body: dict[str, Any]) -> list[bytes]:
    """Have both create an instance or a series, and compare the files but for when they were made.

    Returns
    -------
    list of bytes
        Curator's files; the first or only one is called ``made instance``.
    """
    pair.succeed("POST", "/tools/create-dicom", json=body, keep={"made": "Path"})
    files = [created(party) for party in pair]
    expected, given = ([without_now(pair.file(one)) for one in each] for each in files)
    assert given == expected
    return files[1]


def created(party: Party) -> list[bytes]:
    path, http = party.names["made"], party.server.http
    instances = http.json(f"{path}/instances") if path.startswith("/series") else [http.json(path)]
    instances.sort(key=lambda one: one["MainDicomTags"].get("InstanceNumber", ""))
    party.names["made instance"] = instances[0]["ID"]
    return [http.get(f"/instances/{one['ID']}/file").content for one in instances]


def without_now(elements: list[Any]) -> list[Any]:
    return [one for one in elements if one[1] not in NOW]


TAGS: dict[str, Any] = {"PatientID": "7", "PatientName": "Love^Sarah", "Modality": "CT"}
PDF = "data:application/pdf;base64," + base64.b64encode(b"%PDF-1.4 some").decode()
SEQUENCE = [{"CodeValue": "a", "CodeMeaning": "b"}, {"CodeValue": "c"}]
CREATED: dict[str, dict[str, Any]] = {
    "tags": {"Tags": {**TAGS, "0008-0050": "ACC", "0008,1030": "description"}},
    "text in its character set": {"Tags": {**TAGS, "PatientName": "Größe^Ünal"}},
    "a character set of its own": {"Tags": {**TAGS, "SpecificCharacterSet": "ISO_IR 192"}},
    "sequences": {"Tags": {**TAGS, "ProcedureCodeSequence": SEQUENCE}},
    "PDF": {"Tags": TAGS, "Content": PDF},
    "several": {"Tags": TAGS, "Content": [{"Content": PDF, "Tags": {"InstanceNumber": "2"}}]},
    "a study as parent": {"Parent": "{study}", "Tags": {"Modality": "OT"}, "Content": PDF},
    "a series as parent": {"Parent": "{series}", "Tags": {"InstanceNumber": "9"}},
    "old style": {"PatientName": "Love^Sarah"},
    "what binary tags hold": {
        "Tags": {**TAGS, "EncapsulatedDocument": PDF},
        "InterpretBinaryTags": False,
    },
    "private tags kept out": {"Tags": {**TAGS}, "PrivateCreator": "My Company"},
}


def test_created_instances_are_the_same(book):
    for name, body in CREATED.items():
        assert made(book, body), name
    stored_counts(book)


def stored_counts(pair: Pair) -> None:
    pair.succeed("GET", "/statistics", alike=lambda answer: counts(answer.json()))


def counts(statistics: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in statistics.items() if key.startswith("Count")}


def test_picture_becomes_the_same_instance(book):
    for kind in ("image/png", "image/jpeg"):
        uri = picture(book, kind)
        made(book, {"Tags": TAGS, "Content": uri})
        book.succeed("GET", "/instances/{made instance}/preview")
        assert len(made(book, {"Parent": "{study}", "Tags": {}, "Content": [uri, uri]})) == 2
    stored_counts(book)


def test_jpeg_is_encapsulated_as_it_is(book):
    uri = picture(book, "image/jpeg")
    (given,) = made(book, {"Tags": TAGS, "Content": uri, "Encapsulate": True})
    assert dcmread(io.BytesIO(given)).file_meta.TransferSyntaxUID.is_compressed
    fragment = book.succeed("GET", "/instances/{made instance}/content/7fe0-0010/1").content
    assert fragment.rstrip(b"\0") == base64.b64decode(uri.partition(",")[2]).rstrip(b"\0")


NOT_CREATED = [
    *(b"", b"[]", b"{", b'{"Tags": 5}', b'{"Tags": {"NoSuchTag": "x"}}'),
    *(b'{"Tags": {}, "Content": "data:text/x;base64,AA=="}', b'{"Tags": {}, "Content": 5}'),
    *(b'{"Tags": {}, "Content": "data:image/png;base64,AAAA"}', b'{"Tags": {"PatientID": {}}}'),
    *(b'{"Parent": "unknown", "Tags": {}}', b'{"Parent": "{instance}", "Tags": {}}'),
    *(b'{"Parent": "{study}", "Tags": {"PatientID": "x"}}', b'{"Tags": {}, "Force": "yes"}'),
    *(b'{"Parent": "{study}", "Tags": {"StudyInstanceUID": "1.2"}}', b'{"Tags": {"Rows": "x"}}'),
]


def test_what_cannot_be_created_is_refused_the_same(book):
    for body in NOT_CREATED:
        book.ask("POST", "/tools/create-dicom", data=body)
    stored_counts(book)


# --- Changes, exports, protection, reconstruction -------------------------------------------------

NEW = "NewInstance;NewSeries;NewStudy;NewPatient"


def log_of(answer: requests.Response) -> Any:
    """Return changes without sequence numbers and times: each server has its own."""
    body = answer.json()
    changes = [{**one, "Seq": 0, "Date": ""} for one in body["Changes"]]
    return changes, body["Done"], sorted(body)


def test_changes_are_the_same(book):
    for query in ("", "&limit=1", "&limit=100", "&limit=3&since=0", "&limit=0"):
        book.succeed("GET", f"/changes?type={NEW}{query}", alike=log_of)
    for kind in ("NewSeries", "NewInstance", "NewStudy;NewPatient", "UpdatedMetadata"):
        book.succeed("GET", f"/changes?type={kind}", alike=log_of)
    book.succeed("GET", "/changes?limit=4", alike=log_of)
    for party in book:
        first = party.server.http.json("/changes?limit=2")
        assert [one["Seq"] for one in first["Changes"]][-1] == first["Last"]
        party.names.update(since=str(first["Last"]), past=str(first["Last"] + 10**6))
    book.succeed("GET", "/changes?since={since}&limit=2", alike=log_of)
    book.succeed("GET", "/changes?to={since}&limit=10", alike=log_of)
    book.succeed("GET", "/changes?since={past}", alike=log_of)
    book.succeed("GET", "/changes?since=x&limit=3", alike=log_of)
    assert book.ask("GET", "/changes?type=Nothing")[0].status_code >= 400


def test_last_change_is_the_same(book):
    for path in ("/patients/{patient}/labels/a", "/studies/{study}/metadata/1024"):
        book.succeed("PUT", path, data=b"x")
    book.succeed(
        "GET", f"/changes?type={NEW};UpdatedMetadata&last", alike=lambda one: len(one.text) > 0
    )
    book.ask("GET", "/changes?last", alike=lambda one: sorted(one.json()))


def test_changes_and_exports_are_cleared_the_same(book):
    for path in ("/exports", "/changes"):
        book.succeed("DELETE", path)
    assert book.succeed("GET", f"/changes?type={NEW}", alike=log_of).json()["Changes"] == []
    for query in ("", "?limit=1", "?since=0&limit=1", "?last", "?limit=x"):
        book.ask("GET", f"/exports{query}")


def test_patients_are_protected_the_same(book):
    path = "/patients/{patient}/protected"
    for value in (b"1", b"0", b"1", b"yes", b"", b"true"):
        book.ask("PUT", path, data=value)
        book.succeed("GET", path)
        book.succeed("GET", "/patients/{patient}")
    book.ask("PUT", "/patients/unknown/protected", data=b"1")
    book.ask("GET", "/patients/unknown/protected")


def test_resources_are_reconstructed_the_same(book):
    for level, name in LEVELS.items():
        path = f"/{level}/{{{name}}}"
        for body in (b"", b"{}", b'{"ReconstructFiles": false}'):
            book.ask("POST", f"{path}/reconstruct", data=body)
        book.ask("POST", f"/{level}/unknown/reconstruct")
        for read in ("", "/metadata?expand", "/module"):
            book.succeed("GET", f"{path}{read}")
    stored(book)


def test_the_whole_index_is_reconstructed_the_same(book):
    book.succeed("POST", "/tools/reconstruct")
    book.succeed("POST", "/tools/invalidate-tags")
    book.succeed("GET", "/instances?expand")
    stored(book)


# --- Deletion -------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
def test_resources_are_deleted_the_same(book, level):
    path = f"/{level}/{{{LEVELS[level]}}}"
    assert "RemainingAncestor" in book.succeed("DELETE", path).json()
    for method in ("GET", "DELETE"):
        assert book.ask(method, path)[0].status_code == 404
    stored(book)


@pytest.mark.parametrize(
    "resources",
    [
        ["{instance}", "{mr}", "{other}"],
        ["{study}", "{instance}"],
        ["{series}", "{series}"],
        ["unknown", "{series}"],
    ],
    ids=str,
)
def test_bulk_deletion_is_the_same(book, resources):
    book.ask("POST", "/tools/bulk-delete", json={"Resources": resources})
    stored(book)


def test_bulk_deletion_refuses_the_same(book):
    wrong: list[Any] = [{"Resources": []}, {"Resources": "{series}"}, {"Resources": [5]}, {}, []]
    for body in wrong:
        book.ask("POST", "/tools/bulk-delete", json=body)
    stored(book)


# --- Settings that REST changes -------------------------------------------------------------------

SETTINGS = [
    ("/tools/default-encoding", ("Utf8", "Latin1", "Nothing", "")),
    ("/tools/log-level", ("verbose", "trace", "default", "nothing", "")),
    ("/tools/log-level-http", ("verbose", "trace", "default", "nothing")),
    ("/tools/log-level-plugins", ("verbose", "default")),
    ("/tools/metrics", ("0", "1", "maybe")),
    ("/tools/unknown-sop-class-accepted", ("1", "0", "true", "false", "maybe")),
    ("/tools/accepted-transfer-syntaxes", ("1.2.840.10008.1.2", '["1.2.840.10008.1.2.*"]', "{}")),
]


@pytest.mark.parametrize(("path", "values"), SETTINGS)
def test_settings_are_read_and_changed_the_same(pair, path, values):
    before = pair.succeed("GET", path)
    try:
        for value in values:
            pair.ask("PUT", path, data=value.encode())
            pair.succeed("GET", path)
    finally:
        pair.succeed("PUT", path, data=before.content)
    assert pair.succeed("GET", path).text == before.text


def test_metrics_are_the_same_but_for_curators(book):
    """Others appear with what a server has done; those of both are of one kind."""
    stock, given = (metrics(party) for party in book)
    assert {"orthanc_count_instances", "orthanc_rest_api_duration_ms"} <= stock & given
    assert any(name.startswith("curator_") for name in given)
    assert not any("curator" in name for name in stock)
    expected = {name for name in stock if name.startswith("orthanc_count_")}
    assert {name for name in given if name.startswith("orthanc_count_")} == expected


def metrics(party: Party) -> set[str]:
    text = party.server.http.get("/tools/metrics-prometheus").text
    return {line.split(" ")[0] for line in text.splitlines() if line}


def test_new_uids_are_unique(pair):
    for level in LEVELS.values():
        path = f"/tools/generate-uid?level={level}"
        both = pair.ask("GET", path, alike=lambda answer: answer.text.count("."))
        assert both[0].text != both[1].text


def test_body_of_a_request_may_be_large(pair):
    """As large as what a client sends: a list of ten thousand identifiers that are not there."""
    body = json.dumps({"Resources": [f"unknown-{number}" for number in range(10_000)]})
    pair.ask("POST", "/tools/bulk-content", data=body.encode(), literal=True)
