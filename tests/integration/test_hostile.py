"""Input that means harm: the server stays up, says what is wrong, and touches nothing else.

Each test says what it attacks. A patient that nobody names is looked at before and after.
"""

import base64
import json
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from endpoints import registered
from factory import make_instance, mr_series
from integration.servers import OrthancServer, RunningServer
from integration.waiting import wait_until
from unit.fuzz.hostile import damaged, json_values
from unit.fuzz.seeds import OWN, seeds
from unit.fuzz.spoiling import spoiled

ENDPOINTS = registered()

CORES = re.compile(r"/(patients|studies|series|instances)/|/tools/bulk-anonymize|/jobs")
"""What Curator hands to the core where a body has none of its fields, with whatever comes back."""

SETTINGS = settings(
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


class Site:
    """A server with a study to work on, and a patient that nobody names."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.http = server.http
        self.names = {"id": "none", "name": "none", "number": "1"}
        for dicom in mr_series(2, echo_times=(10.0, 80.0)):
            self.stored = server.upload(dicom)
        bystander = make_instance(PatientID="BYSTANDER", PatientName="<script>alert(1)</script>")
        self.bystander = server.upload(bystander)
        self.before = self._bystander()
        self.log = len(server.log)

    def path(self, pattern: str) -> str:
        """Return the path of an endpoint, of what is stored where there is such a thing."""
        level = pattern.split("/")[1]
        ids = {
            "patients": self.stored["ParentPatient"],
            "studies": self.stored["ParentStudy"],
            "series": self.stored["ParentSeries"],
            "instances": self.stored["ID"],
        }
        return re.sub(r"\{\w+\}", ids.get(level, "1"), pattern)

    def send(self, method: str, path: str, data: bytes, **options: Any) -> requests.Response:
        """Send a body, and see that it is answered, not by a failure of Curator's."""
        answer = self.http.request(method, path, data=data, **options)
        assert "Unexpected error" not in answer.text, (method, path, data[:2000])
        assert "Traceback" not in answer.text
        if answer.status_code >= 500:
            by_core = CORES.match(path) and "Details" not in answer.text
            assert by_core or answer.status_code in (502, 504), (path, data[:2000], answer.text)
        return answer

    def check(self) -> None:
        """See that nothing is at work any more, no rule is left, and the bystander is as it was."""
        for name in self.http.json("/curator/rules")["Rules"]:
            assert self.http.delete(f"/curator/rules/{name['Name']}").ok
        wait_until(
            "jobs",
            lambda: self.http.json("/curator")["Jobs"],
            lambda jobs: not (jobs["Pending"] or jobs["Running"]),
        )
        assert self._bystander() == self.before
        log = self.server.log[self.log :]
        assert "Traceback" not in log
        assert "Unexpected error" not in log

    def _bystander(self) -> Any:
        identifier = self.bystander["ID"]
        statistics = self.http.json(f"/patients/{self.bystander['ParentPatient']}/statistics")
        return [
            self.http.get(f"/instances/{identifier}/attachments/dicom/md5").text,
            [statistics[name] for name in ("CountSeries", "CountInstances", "DicomDiskSize")],
            self.http.json(f"/instances/{identifier}/metadata?expand"),
        ]


@pytest.fixture
def site(server) -> Iterator[Site]:
    made = Site(server)
    yield made
    made.check()


def test_fuzzed_bodies_to_every_endpoint(site):
    """Attack the parsers of all requests, with bodies near to good ones and far from any."""
    near = [damaged(seeds(model)) for model in OWN if seeds(model)]
    asked = [
        (method, endpoint.pattern)
        for endpoint in ENDPOINTS
        for method in endpoint.handlers
        if method != "GET"
    ]

    @settings(SETTINGS, max_examples=3)
    @given(st.tuples(*(st.one_of(*near, json_values()) for _ in asked)))
    def send(bodies: tuple[Any, ...]) -> None:
        for (method, pattern), body in zip(asked, bodies, strict=True):
            data = json.dumps(body).encode()
            if b'"Delete"' not in data:  # a rule may well delete what it is for
                site.send(method, site.path(pattern), data)

    send()


def test_fuzzed_files_and_operations_on_them(site):
    """Attack what reads stored instances: files with a broken structure go through everything."""
    known = {site.bystander["ParentStudy"]}

    @settings(SETTINGS, max_examples=25)
    @given(spoiled())
    def store(dicom: bytes) -> None:
        site.http.post("/instances", data=dicom)  # the core's own
        site.send("POST", "/curator/rules/test", dicom)

    store()
    studies = [one for one in site.http.json("/studies") if one not in known]
    assert len(studies) > 3
    for study in studies:
        for path, body in (
            (f"/studies/{study}/split", {"By": ["Modality"], "KeepSource": True}),
            (f"/studies/{study}/anonymize", {"Profile": "research-pixels"}),
            (f"/studies/{study}/anonymize", {"Profile": "basic", "DryRun": True}),
            (f"/studies/{study}/merge", {"Resources": [studies[0]], "OnConflict": "Target"}),
            ("/tools/find-duplicates", {"Resources": [study], "By": ["Pixels", "File"]}),
        ):
            site.send("POST", path, json.dumps(body).encode())


DEEP = [b'{"By": ' + b"[" * n + b"]" * n + b"}" for n in (200, 50_000)]
DEEP += [b'{"Profile": ' + b'{"a": ' * n + b"1" + b"}" * (n + 1) for n in (2000,)]

NUMBERS = (b"1e400", b"-1e400", b"NaN", b"Infinity", b"9" * 5000, b"9" * 4000, b"1e5", b"-1",
           b"18446744073709551616", b"9223372036854775808", b"0.1")  # fmt: skip

INTEGERS = (b"Priority", b"To", b"LossyQuality", b"Seconds")


def test_deep_json_and_numbers_that_no_machine_has(site):
    """Attack the stack of the server's threads, and every whole number of a request."""
    numbers = [
        b"{" + b", ".join(b'"%b": %b' % (name, number) for name in INTEGERS) + b', "By": ["Echo"]}'
        for number in NUMBERS
    ]
    for endpoint in ENDPOINTS:
        for method in endpoint.handlers.keys() - {"GET", "DELETE"}:
            path = site.path(endpoint.pattern)
            for data in DEEP:
                assert site.send(method, path, data).status_code in (200, 400, 403, 404, 409)
    for path in (
        "/curator/rules/rollback",
        "/curator/rules/replay",
        site.path("/series/{id}/split"),
    ):
        for data in numbers:
            assert site.send("POST", path, data).status_code == 400


NAMES = {
    "/curator/profiles/..%2f..%2fetc%2fpasswd": 404,
    "/curator/profiles/boot.ini%3a%3a$DATA": 404,
    "/curator/profiles/basic%0d%0aX-Injected:%20yes": 404,
    "/curator/profiles/b%D0%B0sic": 404,  # a Cyrillic letter
    "/curator/profiles/%E2%80%AEcisab": 404,
    "/curator/profiles/" + "a" * 5000: 404,
    "/curator/profiles/basic/conformance/..%2f..%2f..%2fsystem": 404,
    "/curator/rules/%3Cscript%3E": 404,
    "/curator/rules/history/%D9%A1": 404,
    "/curator/rules/history/-1": 404,
    "/curator/operations/%27%20OR%201=1--": 404,
    "/curator/operations/%25": 404,
    "/curator/runs/%25": 404,
    "/curator/deliveries/_": 404,
    "/curator/destinations/folder:..": 404,
    "/curator/deliveries?limit=-1": 400,
    "/curator/deliveries?limit=1e9": 400,
    "/curator/deliveries?limit=1000000000": 400,
    "/curator/deliveries?limit=99999999999999999999": 400,
    "/curator/deliveries?since=-1": 400,
    "/curator/runs?limit=%D9%A1": 400,
    "/curator/runs?limit=": 400,
    "/curator/runs?state=%27%20OR%201=1": 400,
    "/curator/rules/history?since=0x10": 400,
}


def test_names_and_arguments_in_urls(site):
    """Attack paths, headers and the database by names: traversal, line breaks, lookalikes, SQL."""
    for uri, status in NAMES.items():
        answer = site.http.get(uri)
        assert answer.status_code == status, (uri, answer.text)
        assert "X-Injected" not in answer.headers
    for uri in NAMES:
        if uri.startswith(("/curator/profiles/", "/curator/rules/")):
            answer = site.http.put(uri, {"Version": "1"})
            assert answer.status_code in (400, 404, 405), (uri, answer.text)


def test_what_is_no_utf_8_never_reaches_the_plugin(site):
    """Attack the conversion to text: the Python plugin itself refuses, and nothing is done."""
    path = site.path("/series/{id}/split")
    body = {"By": ["EchoTime"]}
    for uri, headers in (
        ("/curator/profiles/%ff", {}),
        ("/curator/rules/%ed%a0%80", {}),
        (path, {"Authorization": b"Basic \xff\xfe"}),
    ):
        assert site.http.post(uri, body, headers=headers).status_code in (400, 404, 405, 500)
    assert len(site.http.json("/series")) == 2


def test_wildcards_of_sql_are_no_wildcards_of_filters(site):
    """Attack the filters of runs and deliveries: a pattern must not stand for all there is."""
    rule = {"When": "Manual", "Then": [{"Label": {"Add": ["hostile"]}}]}
    assert site.http.put("/curator/rules/abc", rule).ok
    run = {"Resources": [site.stored["ParentStudy"]]}
    assert site.http.post("/curator/rules/abc/run", run).ok
    assert len(site.http.json("/curator/runs", params={"rule": "abc"})["Runs"]) == 1
    for pattern in ("%", "a%", "___", "*", "a*", "ABC", "abc' OR '1'='1", 'abc" --', "abc\\"):
        assert site.http.json("/curator/runs", params={"rule": pattern})["Runs"] == []
        for action in ("retry", "cancel", "release"):
            for filtered in ({"Rule": pattern}, {"Resource": pattern}):
                answer = site.http.post(f"/curator/runs/{action}", filtered)
                assert answer.json() == {"Count": 0}, answer.text
    zero = site.http.post("/curator/deliveries/cancel", {"Rule": "abc\0"})
    assert zero.status_code == 400


HTML = "<img src=x onerror=alert(1)>"


def test_html_is_never_answered_as_html(site):
    """Attack the browser of who looks at answers: values and names with markup in them."""
    path = f"/studies/{site.bystander['ParentStudy']}"
    profile = {"Description": HTML, "Version": HTML[:16], "Rules": [
        {"Tag": "StudyDescription", "Action": "Replace", "Value": HTML},
        {"When": {"Tag": "Modality", "Like": f"`{HTML}"}, "Tag": "StudyID", "Action": "Keep"},
    ]}  # fmt: skip
    assert site.http.put("/curator/profiles/marked", profile).ok
    answers = [
        site.http.get("/curator/profiles?expand"),
        site.http.get("/curator/profiles/marked"),
        site.http.get("/curator/profiles/marked/conformance"),
        site.http.get("/curator/profiles/marked/table"),
        site.http.get("/curator/profiles/marked/versions"),
        site.http.post(f"{path}/anonymize", {"Profile": "marked", "DryRun": True}),
        site.http.post(f"{path}/split", {"By": ["PatientName"], "DryRun": True}),
        site.http.post(f"{path}/split", {"By": [HTML]}),
        site.http.get(f"/curator/rules/{HTML}"),
        site.http.post(f"/curator/rules/{HTML}/run", {"Resources": [HTML]}),
    ]
    kinds = {answer.headers["Content-Type"].partition(";")[0] for answer in answers}
    assert kinds == {"application/json", "text/plain", "text/markdown"}
    assert "<script>" in answers[5].text
    assert not re.search(r"(?<!\\)<img", answers[2].text.replace(f"u0060{HTML}", ""))
    assert site.http.delete("/curator/profiles/marked").ok


def test_the_log_has_one_line_for_one_event(site):
    """Attack who reads the log: line breaks, colors and long texts in names of users."""
    user = "eve\r\nE1121 forged\x1b[31m" + "x" * 5000
    credentials = base64.b64encode(f"{user}:secret".encode()).decode()
    headers = {"Authorization": f"Basic {credentials}"}
    assert site.http.put("/tools/log-level", data=b"verbose").ok
    try:
        assert site.http.put("/curator/profiles/logged", {"Version": "1"}, headers=headers).ok
        assert site.http.delete("/curator/profiles/logged", headers=headers).ok
    finally:
        assert site.http.put("/tools/log-level", data=b"default").ok
    if isinstance(site.server, OrthancServer):
        log = site.server.log[site.log :]
        assert "Profile put by eve??E1121 forged?[31mx" in log
        assert "\x1b" not in log
        assert not re.search("^(E1121 )?forged", log, re.MULTILINE)
        assert max(map(len, log.splitlines())) < 2000


def test_requests_that_two_readers_would_cut_differently(site):
    """Attack the border between requests: lengths that contradict each other."""
    address = site.server.url.removeprefix("http://").rstrip("/").split(":")
    body = b'{"By": ["EchoTime"]}'
    head = f"POST {site.path('/series/{id}/split')} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    hidden = b"DELETE /studies/" + site.bystander["ParentStudy"].encode() + b" HTTP/1.1\r\n\r\n"
    for lengths in (
        b"Content-Length: 2\r\nContent-Length: %d\r\n" % len(body),
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 0x10\r\n",
    ):
        with socket.create_connection((address[0], int(address[1]))) as connection:
            connection.sendall(head.encode() + lengths + b"\r\n" + body + hidden)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(65536)
        assert not answer or answer.split()[1].startswith(b"4"), answer
    assert len(site.http.json("/series")) == 2


def test_addresses_come_from_the_configuration_only(site):
    """Attack the network behind the server: no rule can name an address."""
    for name in (
        "webhook:http://169.254.169.254/latest/meta-data",
        "webhook:unknown",
        "peer:http://127.0.0.1:1/",
        "dicomweb:../../tools/shutdown",
        "folder:/etc",
        "folder:..",
        "modality:x/../../../tools/shutdown",
    ):
        rule = {"When": "Manual", "Then": [{"Send": name}]}
        assert site.http.put("/curator/rules/far", rule).status_code == 400
        if "/" not in name:  # else the core takes it apart
            assert site.http.post(f"/curator/destinations/{name}/test").status_code == 404
