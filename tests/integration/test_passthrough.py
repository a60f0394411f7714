"""What holds only built-in fields is answered as a stock server answers it.

Each request goes to a stock server and to one with Curator, with the same content. Errors keep
all but their details: the SDK hands over no more than a code, so Curator finds its own words.
"""

import re
from typing import Any

import pytest
import requests

from factory import ct_series, make_study, mr_series
from integration.pair import Pair
from integration.stored import SENDER
from integration.waiting import wait_for_job

JOB_ACTIONS = ("cancel", "pause", "resume", "resubmit")

RUNTIME = re.compile(r"(?<=\"EffectiveRuntime\" : )[0-9.e-]+")


@pytest.fixture
def names(pair) -> dict[str, str]:
    """Names of what is in both servers: a study of two series, and one of its instances."""
    return dict(pair.upload(make_study([ct_series(2), mr_series(1, echo_times=(10.0, 80.0))])))


@pytest.fixture
def letters(pair):
    """What is compared to the letter: bodies as they are written, but for errors."""

    def read(answer: requests.Response) -> Any:
        if answer.status_code >= 400 or not answer.text:
            return pair.body(answer)
        return pair.text(RUNTIME.sub("…", answer.text))

    return read


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
def test_builtin_split_does_and_answers_the_same(pair, names, letters, body):
    before = curator_jobs(pair)
    pair.run("/studies/{study}/split", body, alike=letters)
    pair.compare_stored(leave_out=SENDER)
    assert curator_jobs(pair) == before


def curator_jobs(pair: Pair) -> set[str]:
    """Return the jobs that Curator has made."""
    jobs = pair.curator.server.http.json("/jobs?expand")
    return {job["ID"] for job in jobs if job["Type"].startswith("Curator")}


@pytest.fixture
def two_studies(pair, names) -> None:
    """Beside the study, there is what can be merged into it."""
    other = {level: f"other {level}" for level in ("instance", "series", "study")}
    pair.upload(ct_series(2, study="other", series="other", StudyDescription="other"), **other)


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
def test_builtin_merge_does_and_answers_the_same(pair, two_studies, letters, body):
    before = curator_jobs(pair)
    pair.run("/studies/{study}/merge", body, alike=letters)
    pair.compare_stored(leave_out=SENDER)
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
def test_builtin_merge_refuses_the_same(pair, two_studies, letters, body):
    before = instances(pair)
    for study in ("{study}", "unknown"):
        pair.ask("POST", f"/studies/{study}/merge", data=body, alike=letters)
    assert instances(pair) == before


def instances(pair: Pair) -> list[Any]:
    """Return the instances of both servers."""
    return [party.server.http.json("/instances") for party in pair]


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


ANONYMIZE = {
    "patients": "/patients/{patient}/anonymize",
    "studies": "/studies/{study}/anonymize",
    "series": "/series/{series}/anonymize",
    "instances": "/instances/{instance}/anonymize",
    "bulk": "/tools/bulk-anonymize",
}


@pytest.mark.parametrize("body", GOOD_ANONYMIZATIONS, ids=lambda body: ",".join(body))
@pytest.mark.parametrize("place", ["patients", "studies", "series", "bulk"])
def test_builtin_anonymization_does_and_answers_the_same(pair, names, letters, body, place):
    if place == "bulk":
        body = {"Resources": ["{series}"], **body}
    before = curator_jobs(pair)
    pair.run(ANONYMIZE[place], body, alike=letters)
    pair.compare_stored(leave_out=SENDER)
    assert curator_jobs(pair) == before


@pytest.mark.parametrize("body", GOOD_ANONYMIZATIONS, ids=lambda body: ",".join(body))
def test_builtin_anonymization_of_an_instance_answers_the_same_file(pair, names, body):
    pair.succeed("POST", ANONYMIZE["instances"], json=body)


def test_builtin_anonymization_without_new_uids_is_the_same_to_the_byte(pair, names, letters):
    body = {
        "Keep": [
            *(f"{level}InstanceUID" for level in ("Study", "Series", "SOP")),
            "FrameOfReferenceUID",
        ],
        "Replace": {"PatientID": "A", "PatientName": "B^C", "StudyDescription": "D"},
        "Force": True,
    }
    given = pair.succeed(
        "POST", ANONYMIZE["instances"], json=body, alike=lambda answer: answer.content
    )
    assert given.headers["Content-Type"] == "application/dicom"
    for place in ("series", "studies", "patients", "bulk"):
        named = {**body, "Resources": ["{study}"]} if place == "bulk" else body
        pair.succeed("POST", ANONYMIZE[place], json=named, alike=letters)
    stored = [
        {one: party.server.http.get(f"/instances/{one}/file").content for one in found}
        for party, found in zip(pair, instances(pair), strict=True)
    ]
    assert stored[1] == stored[0]
    assert len(stored[1]) == 8  # the copies, too


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
    places = ("studies", "series", "instances", "bulk")
    paths = [ANONYMIZE[place] for place in places]
    for path in (*paths, "/studies/unknown/anonymize", "/instances/unknown/anonymize"):
        pair.ask("POST", path, data=body)  # what one takes for wrong, another passes over


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
def test_builtin_split_refuses_the_same(pair, names, letters, body):
    before = instances(pair)
    for study in ("{study}", "unknown"):
        pair.ask("POST", f"/studies/{study}/split", data=body, alike=letters)
    assert instances(pair) == before


@pytest.mark.parametrize("body", [b"[]", b"5", b'"By"', b"true"])
def test_body_that_makes_the_core_fail_is_refused_instead(pair, names, body):
    """The one exception: stock answers 500, "unhandled exception", to a split."""
    path = f"/studies/{names['study']}/split"
    answers = [party.server.http.post(path, data=body).status_code for party in pair]
    assert answers == [500, 400]
    pair.ask("POST", "/studies/{study}/merge", data=body)


def test_own_field_is_never_passed_over(pair, names):
    """The core reads some bodies that are not quite JSON, and would split without ``By``."""
    http, fill = pair.curator.server.http, pair.curator.fill
    before = http.json("/instances")
    for path, body in (
        ("/studies/{study}/split", '{"Series": ["{series}"], "By": ["EchoTime"]}'),
        ("/studies/{study}/merge", '{"Resources": ["{series}"], "OnConflict": "Refuse"}'),
    ):
        assert http.post(fill(path), data=fill(f"/* all of it */ {body}")).status_code == 400
    assert http.json("/instances") == before


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_methods_are_refused_the_same(pair, names, letters, method):
    for path in (
        "/studies/{study}/split",
        "/studies/unknown/split",
        "/studies/{study}/merge",
        "/studies/unknown/merge",
        "/jobs",
        *(f"/jobs/unknown/{action}" for action in JOB_ACTIONS),
    ):
        if (method, path) != ("GET", "/jobs"):
            pair.ask(method, path, alike=letters)
    for method in ("POST", "PUT", "OPTIONS"):
        pair.ask(method, "/jobs/unknown", alike=letters)
        pair.ask(method, "/jobs", alike=letters)


@pytest.mark.parametrize("data", [b"", b"{}", b"not JSON"])
@pytest.mark.parametrize("action", JOB_ACTIONS)
def test_unknown_job_is_refused_the_same(pair, letters, action, data):
    for method in ("POST", "GET", "DELETE"):
        pair.ask(method, f"/jobs/unknown/{action}", data=data, alike=letters)
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/archive"), ("POST", "/archive")):
        pair.ask(method, f"/jobs/unknown{path}", alike=letters)


@pytest.mark.parametrize("query", ["?expand=perhaps", "?expand=", "?expand&x=y", "?x=%C3%A9%26"])
def test_query_reaches_the_core(pair, query):
    expected, given = (party.server.http.get(f"/jobs{query}").status_code for party in pair)
    assert given == expected


def test_jobs_of_the_core_are_answered_the_same(pair, names, letters):
    for party in pair:
        for job in party.server.http.json("/jobs"):
            assert party.server.http.delete(f"/jobs/{job}").ok
    for query in ("", "?expand", "?expand=false", "?expand=0", "?expand=true"):
        assert pair.ask("GET", f"/jobs{query}", alike=letters)[1].json() == []
    archive(pair)
    for query in ("", "?expand", "?expand=false", "?expand=0", "?expand=true", "?expand=1"):
        assert len(pair.ask("GET", f"/jobs{query}", alike=letters)[1].json()) == 1
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
        pair.ask(method, f"/jobs/{{archive}}{path}", alike=letters)


def archive(pair: Pair) -> None:
    """Let both make an archive in a job."""
    body = {"Asynchronous": True}
    pair.succeed("POST", "/studies/{study}/archive", json=body, keep={"archive": "ID"})
    assert pair.finish("archive")["State"] == "Success"


def test_archive_of_a_job_is_downloaded_the_same(pair, names):
    archive(pair)
    given = pair.succeed("GET", "/jobs/{archive}/archive")
    assert len(pair.archive(given.content)[0]) == 4


def test_failed_job_of_the_core_is_driven_the_same(pair, names):
    answers = []
    for party in pair:
        http = party.server.http
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
    archive(pair)
    http = pair.curator.server.http
    body = {"By": ["EchoTime"], "KeepSource": True, "Asynchronous": True}
    job = http.post(f"/series/{names['series']}/split", body).json()["ID"]
    wait_for_job(http, job)
    other = pair.curator.names["archive"]
    listed = http.json("/jobs")
    assert {job, other} <= set(listed)
    assert listed == sorted(listed)
    assert [one["ID"] for one in http.json("/jobs?expand")] == listed
    assert http.json("/jobs?expand=false") == listed
