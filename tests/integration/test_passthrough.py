"""What holds only built-in fields is answered as a stock server answers it.

Each request goes to a stock server and to one with Curator, with the same content. Errors keep
all but their details: the SDK hands over no more than a code, so Curator finds its own words.
"""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from pydicom import dcmread

from factory import ct_series, make_study, mr_series
from integration.servers import OrthancServer, RunningServer, engine_name, external_url
from integration.waiting import wait_for_job

pytestmark = pytest.mark.skipif(
    external_url() is not None, reason="compares with a stock server of its own"
)

JOB_ACTIONS = ("cancel", "pause", "resume", "resubmit")

VARYING = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # identifier of a job
    r"|(?<=\"TargetStudy\" : \")[0-9a-f-]{44}"
    r"|\b1\.2\.276\.0\.7230010\.3\.[0-9.]+"  # UID made by DCMTK
    r"|\b\d{8}T\d{6}\.\d{6}\b"
    r"|(?<=\"EffectiveRuntime\" : )[0-9.e-]+"
)
"""What differs between two servers in any case: identifiers, times, new UIDs."""


@dataclass(frozen=True)
class Pair:
    """A stock server and one with Curator."""

    stock: RunningServer
    curator: RunningServer

    def __iter__(self) -> Iterator[RunningServer]:
        return iter((self.stock, self.curator))

    def upload(self, instances: list[bytes]) -> dict[str, Any]:
        """Upload the same to both; return what the last answer names."""
        for server in self:
            for instance in instances:
                stored = server.upload(instance)
        return stored

    def ask(self, method: str, path: str, **options: Any) -> list[requests.Response]:
        """Ask both, compare, and return both answers, that of the stock server first."""
        answers = [server.http.request(method, path, **options) for server in self]
        compare(*answers)
        return answers


def compare(expected: requests.Response, given: requests.Response) -> None:
    """Compare status, headers and body."""
    assert given.status_code == expected.status_code, (expected.text, given.text)
    assert relevant_headers(given) == relevant_headers(expected)
    if expected.status_code == 200:
        assert VARYING.sub("…", given.text) == VARYING.sub("…", expected.text)
    else:
        assert error_of(given) == error_of(expected)


def relevant_headers(answer: requests.Response) -> dict[str, str]:
    """Everything but what says how long the body is, and identifiers in names of files."""
    return {
        name.lower(): VARYING.sub("…", value)
        for name, value in answer.headers.items()
        if name.lower() != "content-length"
    }


def error_of(answer: requests.Response) -> Any:
    """Return the error body but for its details, and for the job that its URI names."""
    if not answer.content:
        return None
    body = answer.json()
    body.pop("Details", None)
    return json.loads(VARYING.sub("…", json.dumps(body)))


@pytest.fixture(scope="module")
def stock(release: str, shared_servers: dict[str, RunningServer]) -> RunningServer:
    """An Orthanc of the same release and the same settings, without Curator."""
    name = f"stock {release}"
    if name not in shared_servers:
        server = OrthancServer(release, with_plugin=False, engine=engine_name())
        shared_servers[name] = server.start()
    return shared_servers[name]


@pytest.fixture
def pair(stock, server) -> Pair:
    """Both servers, with the same study in them."""
    stock.clear()
    return Pair(stock, server)


@pytest.fixture
def names(pair) -> dict[str, str]:
    """Names of what is in both servers: a study of two series, and one of its instances."""
    stored = pair.upload(make_study([ct_series(2), mr_series(3, echo_times=(10.0, 80.0))]))
    return {
        "instance": stored["ID"],
        "series": stored["ParentSeries"],
        "study": stored["ParentStudy"],
        "patient": stored["ParentPatient"],
    }


GOOD_SPLITS = [
    {"Series": ["{series}"]},
    {"Instances": ["{instance}"]},
    {"Series": ["{series}"], "Instances": ["{instance}"], "KeepSource": True},
    {"Series": ["{series}"], "KeepSource": False, "KeepLabels": True, "Permissive": True},
    {"Series": ["{series}"], "Replace": {"StudyDescription": "Changed"}, "Remove": ["StudyID"]},
    {"Series": ["{series}"], "Asynchronous": True, "Priority": 5, "UserData": {"a": [1]}},
    {"Series": ["{series}"], "Synchronous": False},
    {"Series": ["{series}"], "UnknownToBoth": {"is": "passed over"}},
]


@pytest.mark.parametrize("body", GOOD_SPLITS, ids=lambda body: ",".join(body))
def test_builtin_split_does_and_answers_the_same(pair, names, body):
    filled = json.loads(fill(json.dumps(body), names))
    before = curator_jobs(pair)
    answers = pair.ask("POST", f"/studies/{names['study']}/split", json=filled)
    for server, answer in zip(pair, answers, strict=True):
        assert answer.status_code == 200
        if "ID" in answer.json():
            assert wait_for_job(server.http, answer.json()["ID"])["State"] == "Success"
    expected, given = (studies(server) for server in pair)
    assert given == expected
    assert curator_jobs(pair) == before


def fill(text: str, names: dict[str, str]) -> str:
    """Put identifiers in their places."""
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def studies(server: RunningServer) -> list[tuple[str, int]]:
    """Return descriptions and numbers of instances of what is stored."""
    found = server.http.post("/tools/find", {"Level": "Study", "Query": {}, "Expand": True}).json()
    return sorted(
        (
            study["MainDicomTags"].get("StudyDescription", ""),
            server.http.json(f"/studies/{study['ID']}/statistics")["CountInstances"],
        )
        for study in found
    )


def curator_jobs(pair: Pair) -> set[str]:
    """Return the jobs that Curator has made."""
    jobs = pair.curator.http.json("/jobs?expand")
    return {job["ID"] for job in jobs if job["Type"].startswith("Curator")}


@pytest.fixture
def two_studies(pair, names) -> dict[str, str]:
    """Names of what is in both servers: the study, and what can be merged into it."""
    stored = pair.upload(ct_series(2, study="other", series="other", StudyDescription="other"))
    return {
        **names,
        "other instance": stored["ID"],
        "other series": stored["ParentSeries"],
        "other study": stored["ParentStudy"],
    }


GOOD_MERGES = [
    {"Resources": ["{other study}"]},
    {"Resources": ["{other series}"], "KeepSource": True},
    {"Resources": ["{other instance}"], "KeepSource": False, "Permissive": True},
    {"Resources": ["{other study}"], "Asynchronous": True, "Priority": 5, "UserData": {"a": [1]}},
    {"Resources": ["{other series}"], "Synchronous": False},
    {"Resources": ["{other study}"], "UnknownToBoth": {"is": "passed over"}},
    {"Resources": []},
]


@pytest.mark.parametrize("body", GOOD_MERGES, ids=lambda body: ",".join(body))
def test_builtin_merge_does_and_answers_the_same(pair, two_studies, body):
    filled = json.loads(fill(json.dumps(body), two_studies))
    before = curator_jobs(pair)
    answers = pair.ask("POST", f"/studies/{two_studies['study']}/merge", json=filled)
    for server, answer in zip(pair, answers, strict=True):
        if "ID" in answer.json():
            assert wait_for_job(server.http, answer.json()["ID"])["State"] == "Success"
    expected, given = (studies(server) for server in pair)
    assert given == expected
    assert curator_jobs(pair) == before


BAD_MERGES = [
    b"",
    b"{",
    b"null",
    b"{}",
    b'{"Resource": ["{other study}"]}',
    b'{"Resources": 5}',
    b'{"Resources": "{other study}"}',
    b'{"Resources": [5]}',
    b'{"Resources": ["unknown"]}',
    b'{"Resources": ["{study}"]}',
    b'{"Resources": ["{other study}", "unknown"]}',
    b'{"Resources": ["{other study}"], "KeepSource": "yes"}',
    b'{"Resources": ["{other study}"], "Permissive": 5}',
    b'{"Resources": ["{other study}"], "Priority": "high"}',
    b'{"Resources": ["{other study}"], "Asynchronous": "true"}',
]


@pytest.mark.parametrize("body", BAD_MERGES, ids=lambda body: body.decode()[:60])
def test_builtin_merge_refuses_the_same(pair, two_studies, body):
    data = fill(body.decode(), two_studies).encode()
    before = [server.http.json("/instances") for server in pair]
    for study in (two_studies["study"], "unknown"):
        pair.ask("POST", f"/studies/{study}/merge", data=data)
    assert [server.http.json("/instances") for server in pair] == before


GOOD_ANONYMIZATIONS = [
    {},
    {"Keep": ["StudyDescription"], "Remove": ["StationName"], "KeepPrivateTags": True},
    {"Replace": {"PatientName": "A^B", "PatientID": "C"}, "Force": True, "KeepSource": True},
    {"KeepSource": False, "KeepLabels": True, "Permissive": True, "DicomVersion": "2021b"},
    {"Transcode": "1.2.840.10008.1.2", "PrivateCreator": "X"},
    {"Asynchronous": True, "Priority": 5, "UserData": {"a": [1]}},
    {"Synchronous": False},
    {"UnknownToBoth": {"is": "passed over"}},
]


@pytest.mark.parametrize("body", GOOD_ANONYMIZATIONS, ids=lambda body: ",".join(body))
@pytest.mark.parametrize("place", ["patients", "studies", "series", "bulk"])
def test_builtin_anonymization_does_and_answers_the_same(pair, names, body, place):
    path = anonymize_path(names, place)
    if place == "bulk":
        body = {"Resources": [names["series"]], **body}
    before = curator_jobs(pair)
    answers = [server.http.post(path, body) for server in pair]
    expected, given = answers
    assert (given.status_code, expected.status_code) == (200, 200)
    assert relevant_headers(given) == relevant_headers(expected)
    assert ANONYMOUS.sub("…", given.text) == ANONYMOUS.sub("…", expected.text)
    for server, answer in zip(pair, answers, strict=True):
        if answer.json().get("Path", "").startswith("/jobs/"):
            assert wait_for_job(server.http, answer.json()["ID"])["State"] == "Success"
    assert studies(pair.curator) == studies(pair.stock)
    assert curator_jobs(pair) == before


ANONYMOUS = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}|" + VARYING.pattern)
"""New identifiers follow from new UIDs, which differ between any two servers."""


def anonymize_path(names: dict[str, str], place: str) -> str:
    level = {"patients": "patient", "studies": "study", "series": "series", "instances": "instance"}
    return (
        "/tools/bulk-anonymize" if place == "bulk" else f"/{place}/{names[level[place]]}/anonymize"
    )


@pytest.mark.parametrize("body", GOOD_ANONYMIZATIONS, ids=lambda body: ",".join(body))
def test_builtin_anonymization_of_an_instance_answers_a_file_of_the_same_kind(pair, names, body):
    answers = [server.http.post(anonymize_path(names, "instances"), body) for server in pair]
    expected, given = answers
    assert (given.status_code, expected.status_code) == (200, 200)
    assert relevant_headers(given) == relevant_headers(expected)
    datasets = [dcmread(io.BytesIO(answer.content)) for answer in answers]
    assert [one.tag for one in datasets[1]] == [one.tag for one in datasets[0]]
    assert datasets[1].file_meta.TransferSyntaxUID == datasets[0].file_meta.TransferSyntaxUID


def test_builtin_anonymization_without_new_uids_is_the_same_to_the_byte(pair, names):
    body = {
        "Keep": [
            *(f"{level}InstanceUID" for level in ("Study", "Series", "SOP")),
            "FrameOfReferenceUID",
        ],
        "Replace": {"PatientID": "A", "PatientName": "B^C", "StudyDescription": "D"},
        "Force": True,
    }
    (expected, given) = (
        server.http.post(anonymize_path(names, "instances"), body) for server in pair
    )
    assert (given.status_code, expected.status_code) == (200, 200)
    assert given.headers["Content-Type"] == "application/dicom"
    assert given.content == expected.content
    for place in ("series", "studies", "patients", "bulk"):
        named = {**body, "Resources": [names["study"]]} if place == "bulk" else body
        answers = pair.ask("POST", anonymize_path(names, place), json=named)
        assert answers[0].status_code == 200
    expected, given = (
        {
            one: server.http.get(f"/instances/{one}/file").content
            for one in server.http.json("/instances")
        }
        for server in pair
    )
    assert given == expected
    assert len(given) > 5  # the copies, too


BAD_ANONYMIZATIONS = [
    b"",
    b"   ",
    b"{",
    b"null",
    b'{"Keep": "StudyDate"}',
    b'{"Keep": ["NoSuchTag"]}',
    b'{"Keep": ["SOPInstanceUID"]}',
    b'{"Remove": 5}',
    b'{"Replace": 5}',
    b'{"Replace": {"NoSuchTag": "x"}}',
    b'{"Replace": {"PatientID": "x"}}',
    b'{"KeepPrivateTags": "yes"}',
    b'{"DicomVersion": "1999"}',
    b'{"DicomVersion": 5}',
    b'{"Transcode": "1.2.3"}',
    b'{"Resources": ["unknown"]}',
    b'{"Resources": 5}',
    b'{"Resources": ["{series}"], "KeepSource": "yes"}',
    b'{"Resources": ["{series}"], "Priority": "high"}',
]


@pytest.mark.parametrize("body", BAD_ANONYMIZATIONS, ids=lambda body: body.decode()[:60])
def test_builtin_anonymization_refuses_the_same(pair, names, body):
    data = fill(body.decode(), names).encode()
    paths = [
        *(anonymize_path(names, place) for place in ("studies", "series", "instances", "bulk")),
        "/studies/unknown/anonymize",
        "/instances/unknown/anonymize",
    ]
    for path in paths:
        answers = [server.http.post(path, data=data) for server in pair]
        expected, given = answers
        if expected.status_code == 200:  # what one route takes for wrong, another passes over
            assert given.status_code == 200
        else:
            compare(expected, given)


BAD_BODIES = [
    b"",
    b"   ",
    b"{",
    b"not JSON",
    b'{"Series": ["{series}"]',
    b"null",
    b"{}",
    b'{"Seires": ["{series}"]}',
    b'{"Series": 5}',
    b'{"Series": "{series}"}',
    b'{"Series": {}}',
    b'{"Series": []}',
    b'{"Series": ["unknown"]}',
    b'{"Series": ["{study}"]}',
    b'{"Series": ["{series}", "unknown"]}',
    b'{"Instances": 5}',
    b'{"Instances": ["unknown"]}',
    b'{"Series": ["{series}"], "Replace": 5}',
    b'{"Series": ["{series}"], "Replace": {"NoSuchTag": "x"}}',
    b'{"Series": ["{series}"], "Replace": {"StudyInstanceUID": "1.2"}}',
    b'{"Series": ["{series}"], "Remove": "StudyID"}',
    b'{"Series": ["{series}"], "Remove": ["NoSuchTag"]}',
    b'{"Series": ["{series}"], "Remove": ["SeriesInstanceUID"]}',
    b'{"Series": ["{series}"], "KeepSource": "yes"}',
    b'{"Series": ["{series}"], "Permissive": 5}',
    b'{"Series": ["{series}"], "Priority": "high"}',
    b'{"Series": ["{series}"], "Asynchronous": "true"}',
    b'{"Series": ["{series}"], "Synchronous": 1}',
]


@pytest.mark.parametrize("body", BAD_BODIES, ids=lambda body: body.decode()[:60])
def test_builtin_split_refuses_the_same(pair, names, body):
    data = fill(body.decode(), names).encode()
    before = [server.http.json("/instances") for server in pair]
    for study in (names["study"], "unknown"):
        pair.ask("POST", f"/studies/{study}/split", data=data)
    assert [server.http.json("/instances") for server in pair] == before


@pytest.mark.parametrize("body", [b"[]", b"5", b'"By"', b"true"])
def test_body_that_makes_the_core_fail_is_refused_instead(pair, names, body):
    """The one exception: stock answers 500, "unhandled exception", to a split."""
    path = f"/studies/{names['study']}/split"
    expected, given = (server.http.post(path, data=body) for server in pair)
    assert (expected.status_code, given.status_code) == (500, 400)
    pair.ask("POST", f"/studies/{names['study']}/merge", data=body)


def test_own_field_is_never_passed_over(pair, names):
    """The core reads some bodies that are not quite JSON, and would split without ``By``."""
    path = f"/studies/{names['study']}/split"
    body = '/* all of it */ {"Series": ["{series}"], "By": ["EchoTime"]}'
    before = pair.curator.http.json("/instances")
    assert pair.curator.http.post(path, data=fill(body, names)).status_code == 400
    body = '/* all of it */ {"Resources": ["{series}"], "OnConflict": "Refuse"}'
    path = f"/studies/{names['study']}/merge"
    assert pair.curator.http.post(path, data=fill(body, names)).status_code == 400
    assert pair.curator.http.json("/instances") == before


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_methods_are_refused_the_same(pair, names, method):
    for path in (
        f"/studies/{names['study']}/split",
        "/studies/unknown/split",
        f"/studies/{names['study']}/merge",
        "/studies/unknown/merge",
        "/jobs",
        *(f"/jobs/unknown/{action}" for action in JOB_ACTIONS),
    ):
        if (method, path) != ("GET", "/jobs"):
            pair.ask(method, path)
    for method in ("POST", "PUT", "OPTIONS"):
        pair.ask(method, "/jobs/unknown")
        pair.ask(method, "/jobs")


@pytest.mark.parametrize("data", [b"", b"{}", b"not JSON"])
@pytest.mark.parametrize("action", JOB_ACTIONS)
def test_unknown_job_is_refused_the_same(pair, action, data):
    for method in ("POST", "GET", "DELETE"):
        pair.ask(method, f"/jobs/unknown/{action}", data=data)
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/archive"), ("POST", "/archive")):
        pair.ask(method, f"/jobs/unknown{path}")


@pytest.mark.parametrize("query", ["?expand=perhaps", "?expand=", "?expand&x=y", "?x=%C3%A9%26"])
def test_query_reaches_the_core(pair, query):
    assert (
        pair.stock.http.get(f"/jobs{query}").status_code
        == pair.curator.http.get(f"/jobs{query}").status_code
    )


@pytest.fixture
def fresh(stock, new_server) -> Pair:
    """Both servers, with no job in them."""
    for job in stock.http.json("/jobs"):
        stock.http.delete(f"/jobs/{job}")
    return Pair(stock, new_server())


def test_jobs_of_the_core_are_answered_the_same(fresh):
    fresh.stock.clear()
    study = fresh.upload(ct_series(2))["ParentStudy"]
    for query in ("", "?expand", "?expand=false", "?expand=0", "?expand=true"):
        assert fresh.ask("GET", f"/jobs{query}")[1].json() == []
    jobs = [archive(server, study) for server in fresh]
    for query in ("", "?expand", "?expand=false", "?expand=0", "?expand=true", "?expand=1"):
        assert len(fresh.ask("GET", f"/jobs{query}")[1].json()) == 1
    expected, given = zip(fresh, jobs, strict=True)
    for method, path in (
        *(("POST", f"/{action}") for action in JOB_ACTIONS),
        *(("GET", f"/{action}") for action in JOB_ACTIONS),
        *(("DELETE", f"/{action}") for action in JOB_ACTIONS),
        ("GET", ""),
        ("GET", "/nothing"),
        ("PUT", ""),
        ("DELETE", ""),
        ("DELETE", ""),
        ("GET", ""),
    ):
        answers = [
            server.http.request(method, f"/jobs/{job}{path}") for server, job in (expected, given)
        ]
        compare(*answers)


def archive(server: RunningServer, study: str) -> str:
    """Let the core make an archive, and return its job."""
    answer = server.http.post(f"/studies/{study}/archive", {"Asynchronous": True}).json()
    assert wait_for_job(server.http, answer["ID"])["State"] == "Success"
    return str(answer["ID"])


def test_archive_of_a_job_is_downloaded_the_same(pair, names):
    jobs = [archive(server, names["study"]) for server in pair]
    expected, given = (
        server.http.get(f"/jobs/{job}/archive") for server, job in zip(pair, jobs, strict=True)
    )
    assert relevant_headers(given) == relevant_headers(expected)
    files = [zipfile.ZipFile(io.BytesIO(one.content)).namelist() for one in (expected, given)]
    assert files[0] == files[1]
    assert len(files[1]) == 8


def test_failed_job_of_the_core_is_driven_the_same(pair, names):
    answers = []
    for server in pair:
        http = server.http
        assert http.put("/peers/nobody", {"Url": "http://127.0.0.1:9/"}).ok  # nothing listens
        body = {"Resources": [names["instance"]], "Asynchronous": True}
        job = http.post("/peers/nobody/store", body).json()["ID"]
        assert wait_for_job(http, job)["State"] == "Failure"
        refused = http.post(f"/jobs/{job}/resume").status_code
        taken = http.post(f"/jobs/{job}/resubmit").text
        assert wait_for_job(http, job)["State"] == "Failure"
        ignored = [http.post(f"/jobs/{job}/{action}").text for action in ("cancel", "pause")]
        failed = http.json(f"/jobs/{job}")
        answers.append([refused, taken, ignored, failed["ErrorCode"], sorted(failed)])
        assert http.delete("/peers/nobody").ok
    assert answers[0] == answers[1]


def test_jobs_of_curator_and_of_the_core_are_one_sorted_list(pair, names):
    http = pair.curator.http
    body = {"By": ["EchoTime"], "KeepSource": True, "Asynchronous": True}
    job = http.post(f"/series/{names['series']}/split", body).json()["ID"]
    wait_for_job(http, job)
    other = archive(pair.curator, names["study"])
    listed = http.json("/jobs")
    assert {job, other} <= set(listed)
    assert listed == sorted(listed)
    assert [one["ID"] for one in http.json("/jobs?expand")] == listed
    assert http.json("/jobs?expand=false") == listed
