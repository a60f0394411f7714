"""The Book's pages "REST API" and "Metadata & attachments": all that only reads.

Each row is one request of ``rest.rst``, ``rest-cheatsheet.csv`` or ``faq/features.rst``, answered
by a stock server and by one with Curator. ``/jobs`` is in ``test_passthrough.py``.
"""

from collections.abc import Callable
from typing import Any

import pytest
import requests

from factory import Private, ct_series, make_instance, mr_series, uid
from integration.pair import Pair

PHANTOM: dict[str, Any] = {
    "SpecificCharacterSet": "ISO_IR 100",
    "PatientName": "Größe^Phantom",
    "PatientComments": "long " * 80,
    "RequestAttributesSequence": [
        {"RequestedProcedureID": "RP1", "ScheduledProtocolCodeSequence": [{"CodeValue": "C1"}]},
        {"RequestedProcedureID": "RP2"},
    ],
    "private": [
        Private(0x0029, "CURATOR TEST", 0x10, "LO", "private text"),
        Private(0x0029, "CURATOR TEST", 0x11, "OB", bytes(range(16))),
    ],
}


@pytest.fixture(scope="module")
def book(module_pair) -> Pair:
    """Two patients, three studies, four series; labels, metadata and an attachment."""
    pair: Pair = module_pair
    pair.upload([make_instance(PatientID="OTHER", StudyInstanceUID=uid("o"), seed=9)], study="of")
    pair.upload(ct_series(1, study="second", series="second", **PHANTOM), study="second")
    pair.upload(mr_series(2, **{**PHANTOM, "private": ()}), series="mr", instance="mr instance")
    pair.upload(ct_series(3, **PHANTOM, WindowCenter=40, WindowWidth=400, NumberOfSlices=3))
    for level, name in LEVELS.items():
        pair.succeed("PUT", f"/{level}/{{{name}}}/labels/read")
        pair.succeed("PUT", f"/{level}/{{{name}}}/metadata/1024", data=f"noted on {name}")
        pair.succeed("PUT", f"/{level}/{{{name}}}/attachments/1030", data=b"0123456789" * 10)
    return pair


LEVELS = {"patients": "patient", "studies": "study", "series": "series", "instances": "instance"}
BELOW = {
    "patients": ("studies", "series", "instances"),
    "studies": ("series", "instances"),
    "series": ("instances",),
    "instances": (),
}
ABOVE = {
    "patients": (),
    "studies": ("patient",),
    "series": ("patient", "study"),
    "instances": ("patient", "study", "series"),
}
TAGS = "requested-tags=PatientName;StudyDescription;ModalitiesInStudy;NumberOfStudyRelatedInstances"

LISTS = [
    path
    for level in LEVELS
    for path in (
        f"/{level}",
        f"/{level}?since=0&limit=1",
        f"/{level}?since=1&limit=100",
        f"/{level}?expand",
        f"/{level}?expand&short",
        f"/{level}?expand&full",
        f"/{level}?expand&since=1&limit=1",
        f"/{level}?expand&{TAGS}",
        f"/{level}?expand&response-content=Metadata;Labels;Attachments;Children",
    )
]

RESOURCES = [
    f"/{level}/{{{name}}}{path}"
    for level, name in LEVELS.items()
    for path in (
        *("", "?short", "?full", "?simplify", f"?{TAGS}", "/statistics", "/module"),
        *("/module?short", "/module?simplify", "/module?ignore-length=0010-0010"),
        *("/labels", "/labels/read", "/metadata", "/metadata?expand", "/metadata?expand&numeric"),
        *("/metadata/1024", "/attachments", "/attachments?full", "/attachments/1030"),
        *(
            f"/attachments/1030/{part}"
            for part in (
                *("data", "compressed-data", "size", "compressed-size", "md5"),
                *("compressed-md5", "is-compressed", "info"),
            )
        ),
        "/attachments/1030/data?filename=other.bin",
        *(f"/{child}" for child in BELOW[level]),
        *(f"/{child}?expand" for child in BELOW[level]),
        *(f"/{child}?expand&short" for child in BELOW[level]),
        *(f"/{parent}" for parent in ABOVE[level]),
        *(f"/{parent}?short" for parent in ABOVE[level]),
        *(
            f"/{tags}{query}"
            for tags in ("shared-tags", "instances-tags")
            for query in ("", "?short", "?simplify", "?ignore-length=0010-4000")
            if level != "instances"
        ),
    )
]

OF_A_STUDY = ["/studies/{study}/module-patient", "/studies/{study}/module-patient?simplify"]

OF_A_SERIES = ["/series/{series}/ordered-slices", "/series/{mr}/ordered-slices"]

OF_AN_INSTANCE = [
    f"/instances/{{instance}}{path}"
    for path in (
        *("/tags", "/tags?short", "/tags?simplify", "/tags?full", "/tags?ignore-length=0010-4000"),
        *("/tags?whole", "/simplified-tags", "/simplified-tags?ignore-length=0010-4000"),
        *("/header", "/header?short", "/header?simplify", "/file", "/file?filename=own.dcm"),
        *("/file?transcode=1.2.840.10008.1.2", "/file?transcode=1.2.840.10008.1.2.4.70"),
        *("/content", "/content/0010-0010", "/content/0010,0010", "/content/00100010"),
        *("/content/PatientName", "/content/0040-0275", "/content/0040-0275/0"),
        *("/content/0040-0275/1/0040-1001", "/content/0040-0275/0/0040-0008/0/0008-0100"),
        *("/content/RequestAttributesSequence/0", "/content/0029-1010", "/content/0029-1011"),
        *("/content/7fe0-0010", "/content/0008-0008", "/frames", "/frames/0"),
        *("/attachments/dicom", "/attachments/dicom/data", "/attachments/dicom/md5"),
        *("/attachments/dicom/size", "/attachments/dicom/info", "/metadata/Origin"),
        *("/metadata/TransferSyntax", "/metadata/SopClassUid", "/metadata/RemoteIP"),
        *("/metadata/IndexInSeries", "/metadata/ReceptionDate", "/metadata/HttpUsername"),
        *("/metadata/PixelDataOffset", "/metadata/MainDicomTagsSignature"),
    )
]

OF_THE_SERVER = [
    *("/statistics", "/tools", "/tools/now", "/tools/now-local", "/tools/dicom-conformance"),
    *("/tools/default-encoding", "/tools/accepted-transfer-syntaxes", "/tools/metrics"),
    *("/tools/accepted-sop-classes", "/tools/unknown-sop-class-accepted", "/tools/labels"),
    *("/tools/log-level", "/tools/log-level-dicom", "/tools/log-level-generic", "/peers"),
    *("/tools/log-level-http", "/tools/log-level-jobs", "/tools/log-level-lua", "/modalities"),
    *("/tools/log-level-plugins", "/tools/log-level-sqlite", "/exports"),
    *("/plugins/dicom-web", "/plugins/gdcm", "/app/explorer.html", "/favicon.ico", "/"),
    *(
        "/peers?expand",
        "/modalities?expand",
    ),
    *(f"/tools/generate-uid?level={level}" for level in ("patient", "study", "series", "instance")),
]

READ = [*LISTS, *RESOURCES, *OF_A_STUDY, *OF_A_SERIES, *OF_AN_INSTANCE, *OF_THE_SERVER]


@pytest.mark.parametrize("path", READ)
def test_reading_is_answered_the_same(book, path):
    book.succeed("GET", path, alike=_uids if "generate-uid" in path else None)


def _uids(answer: requests.Response) -> tuple[int, bool]:
    """Return the shape of a new UID: which one it is differs."""
    return answer.text.count("."), answer.text.replace(".", "").isdigit()


REFUSED = [
    *(
        (404, "GET", f"/{level}/unknown{path}")
        for level in LEVELS
        for path in (
            *("", "/module", "/labels", "/metadata", "/metadata/1024"),
            *("/attachments", "/attachments/1030", "/attachments/1030/data"),
            *(f"/{other}" for other in (*BELOW[level], *ABOVE[level])),
        )
    ),
    *((404, "GET", f"/instances/unknown/{path}") for path in ("tags", "file", "header", "content")),
    *((404, "GET", f"/instances/unknown/{path}") for path in ("preview", "numpy", "frames")),
    *((404, "DELETE", f"/{level}/unknown") for level in LEVELS),
    (404, "GET", "/studies/{patient}"),
    (404, "GET", "/patients/{study}"),
    (404, "GET", "/nothing"),
    (404, "GET", "/tools/nothing"),
    (404, "GET", "/studies/{study}/nothing"),
    (404, "GET", "/instances/{instance}/content/0099-0099"),
    (404, "GET", "/instances/{instance}/content/0040-0275/7"),
    (404, "GET", "/instances/{instance}/metadata/1099"),
    (404, "GET", "/instances/{instance}/attachments/1099/data"),
    (404, "GET", "/studies/{study}/labels/unread"),
    (404, "GET", "/plugins/nothing"),
    (404, "GET", "/modalities/nobody"),
    (404, "GET", "/peers/nobody"),
    (404, "GET", "/app/nothing.html"),
    (400, "GET", "/studies?limit=many"),
    (400, "GET", "/studies?expand&requested-tags=NoSuchTag"),
    (400, "GET", "/instances/{instance}/file?transcode=1.2.3"),
    (400, "GET", "/studies?limit=0"),
    (404, "GET", "/tools/generate-uid?level=nothing"),
    (405, "POST", "/studies"),
    (405, "PUT", "/instances"),
    (405, "DELETE", "/studies"),
    (405, "PUT", "/studies/{study}"),
    (405, "POST", "/studies/{study}/metadata/1024"),
    (405, "GET", "/tools/find"),
    (500, "GET", "/instances/{instance}/tags?ignore-length=NoSuchTag"),
    (405, "DELETE", "/system"),
    (405, "POST", "/system"),
    (403, "POST", "/tools/execute-script"),
    (403, "POST", "/instances/{instance}/export"),
]


@pytest.mark.parametrize(("status", "method", "path"), REFUSED)
def test_errors_are_answered_the_same(book, status, method, path):
    expected, _ = book.ask(method, path)
    assert expected.status_code == status


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PATCH", "TRACE", "PURGE"])
@pytest.mark.parametrize("path", ["/", "/system", "/studies/{study}", "/tools/find", "/nothing"])
def test_methods_that_are_not_of_the_api_are_answered_the_same(book, method, path):
    book.ask(method, path)


ACCEPTED = [
    (200, "/instances/{instance}/file", "*/*"),
    (200, "/instances/{instance}/file", "application/dicom"),
    (200, "/instances/{instance}/file", "application/dicom+json"),
    (200, "/instances/{instance}/file", "application/dicom+xml"),
    (200, "/instances/{instance}/file", "text/html,application/xml;q=0.9,*/*;q=0.8"),
    (200, "/studies/{study}", "application/json"),
    (200, "/studies/{study}/module", "application/xml"),
    (200, "/studies/{study}/statistics", "application/json;application/xml"),
    (200, "/studies/{study}/statistics", "application/xml;application/json"),
    (200, "/studies/{study}", "text/plain"),
    (200, "/statistics", "application/xml"),
    (200, "/tools/labels", "application/xml"),
]


@pytest.mark.parametrize(("status", "path", "accept"), ACCEPTED)
def test_accept_is_followed_the_same(book, status, path, accept):
    expected, _ = book.ask("GET", path, headers={"Accept": accept})
    assert expected.status_code == status


DATA = "/instances/{instance}/attachments/1030/data"


@pytest.mark.parametrize(
    "header", ["bytes=0-9", "bytes=10-", "bytes=-5", "bytes=99-99", "bytes=0-1,4-5"]
)
@pytest.mark.parametrize("path", [DATA, "/instances/{instance}/attachments/dicom/data"])
def test_range_is_cut_out_the_same(book, header, path):
    book.ask("GET", path, headers={"Range": header})


def test_range_is_a_part_of_the_attachment(book):
    given = book.ask("GET", DATA, headers={"Range": "bytes=12-15"})[1]
    assert (given.status_code, given.content) == (206, b"2345")


def test_range_that_is_not_there_is_refused_the_same(book):
    for header in ("bytes=100-200", "lines=1-2", "nothing"):
        expected, _ = book.ask("GET", DATA, headers={"Range": header})
        assert expected.status_code == 416, header
    book.ask("GET", DATA, headers={"Range": "bytes=5-2"})  # the core does not see it coming


@pytest.mark.parametrize("path", ["/studies/{study}", "/jobs", "/instances?expand", DATA])
def test_http_compression_is_the_same(book, path):
    for encoding in ("identity", "gzip", "deflate", "gzip, deflate"):
        book.succeed(
            "GET", path, headers={"Accept-Encoding": encoding}, alike=content_of(book, path)
        )


@pytest.mark.parametrize("path", ["/studies/{study}", "/jobs", "/jobs/unknown", "/nothing"])
def test_connection_is_kept_or_closed_the_same(book, path):
    """In a session for each: the core says keep-alive in any case, even when it closes."""
    for connection in ("keep-alive", "close"):
        answers = []
        for party in book:
            with requests.Session() as session:
                session.trust_env = False
                url = party.server.http.url + party.fill(path)
                header = {"Connection": connection}
                answers.append(session.get(url, headers=header, timeout=60))
        book.compare(*answers, alike=content_of(book, path))


def content_of(pair: Pair, path: str) -> Callable[[requests.Response], Any]:
    """Return what compares bodies; which jobs there are depends on the tests before."""
    return (lambda answer: type(answer.json())) if path == "/jobs" else pair.body


@pytest.mark.parametrize("part", ["metadata/1024", "attachments/1030/data"])
def test_revision_that_is_known_is_not_sent_again(book, part):
    path = f"/studies/{{study}}/{part}"
    revision = book.succeed("GET", path).headers.get("ETag", '"0"')
    for header in (revision, '"77"'):
        book.ask("GET", path, headers={"If-None-Match": header})


def test_system_is_the_same_but_for_which_server_it_is(book):
    own = {"DatabaseServerIdentifier", "DicomPort", "HttpPort"}
    book.succeed(
        "GET",
        "/system",
        alike=lambda answer: {key: one for key, one in answer.json().items() if key not in own},
    )


def test_plugins_are_the_same_but_for_the_one_that_runs_curator(book):
    stock, given = (party.server.http.json("/plugins") for party in book)
    assert [one for one in given if one not in stock] == ["python"]
    assert [one for one in given if one != "python"] == stock


def test_orthanc_explorer_is_extended_by_nothing_but_curator(book):
    stock, given = (party.server.http.get("/plugins/explorer.js") for party in book)
    assert given.headers["Content-Type"] == stock.headers["Content-Type"]
    assert set(scripts(stock.text)) <= set(scripts(given.text))


def scripts(text: str) -> list[str]:
    """Return what each plugin has added to Orthanc Explorer."""
    return [one.strip() for one in text.split("/**\n * From plugin: ")]


def test_instance_tells_where_it_came_from_and_what_was_noted_on_it(book):
    given = book.succeed("GET", "/instances/{instance}/metadata?expand").json()
    assert given["Origin"] == "RestApi"
    assert given["1024"] == "noted on instance"
