"""What Curator assumes about the SDK and the error codes is so in every release of Orthanc."""

import ast
import json
from pathlib import Path

import pytest

import engines
from curator.errors import HTTP_STATUSES, ErrorCode
from curator.sdk import OPTIONAL
from factory import make_instance
from integration.servers import OrthancServer, external_url, releases

pytestmark = pytest.mark.skipif(
    external_url() is not None, reason="asks a plugin of the test, which CURATOR_TEST_URL has not"
)

PROBE = Path(__file__).parent / "probe"
STUB = engines.PLUGIN / "orthanc.pyi"


@pytest.fixture(scope="module")
def probe(release, shared_servers):
    """An Orthanc whose plugin shows the SDK."""
    name = f"probe of {release}"
    if name not in shared_servers:
        shared_servers[name] = OrthancServer(release, plugin=PROBE).start()
    return shared_servers[name]


@pytest.fixture(scope="module")
def sdk(probe) -> dict[str, dict[str, int | None]]:
    """The members of the SDK: by name, the names in it, and their numbers."""
    return dict(probe.http.json("/probe/names"))


def stub_names() -> dict[str, set[str]]:
    """Names of the stub, with those that stand in its classes."""
    found: dict[str, set[str]] = {}
    for node in ast.parse(STUB.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = set()
        elif isinstance(node, ast.ClassDef):
            found[node.name] = {name for member in node.body for name in _defined(member) if name}
    return found


def _defined(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef):
        return {node.name}
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return {node.target.id}
    return set()


def test_stub_is_read():
    names = stub_names()
    assert "SendHttpStatus" in names["RestOutput"]
    assert "ORTHANC_STARTED" in names["ChangeType"]
    assert "RestApiGet" in names


def test_every_name_of_the_stub_is_in_the_sdk(sdk, release):
    names = stub_names()
    optional = set() if release == releases()[-1] else set(OPTIONAL)
    assert names.keys() - sdk.keys() <= optional
    missing = {
        f"{name}.{member}"
        for name, members in names.items()
        for member in members - sdk.get(name, {}).keys()
    }
    assert not missing


def test_optional_names_are_missing_somewhere(sdk, release):
    """A call that both releases have needs no ``hasattr``."""
    assert stub_names().keys() >= OPTIONAL
    if release == releases()[0] and len(releases()) > 1:
        assert not sdk.keys() & OPTIONAL


def test_error_codes_are_those_of_the_core(sdk, release):
    ours = {code.name: code.value for code in ErrorCode}
    theirs = sdk["ErrorCode"]
    assert theirs.items() <= ours.items()
    if release == releases()[-1]:
        assert ours == theirs


STUDY = '{"Resources": ["unknown"]}'

REFUSED = [
    ("GET", "/studies/unknown", ""),
    ("GET", "/nowhere", ""),
    ("GET", "/jobs/unknown/archive", ""),
    ("GET", "/jobs?expand=perhaps", ""),
    ("GET", "/changes?limit=many", ""),
    ("GET", "/instances?since=0", ""),
    ("GET", "/instances/{instance}/content/0010-0010/x", ""),
    ("GET", "/instances/{instance}/content/NoSuchTag", ""),
    ("GET", "/instances/{instance}/frames/99/raw", ""),
    ("GET", "/instances/{instance}/frames/99/preview", ""),
    ("GET", "/instances/{instance}/metadata/Nothing", ""),
    ("GET", "/instances/{instance}/attachments/1030/data", ""),
    ("GET", "/modalities/unknown", ""),
    ("GET", "/peers/unknown/system", ""),
    ("PUT", "/instances/{instance}/metadata/Nothing", "value"),
    ("PUT", "/instances/{instance}/labels/no spaces", ""),
    ("PUT", "/tools/log-level", "loud"),
    ("PUT", "/modalities/bad", '["A"]'),
    ("DELETE", "/modalities/unknown", ""),
    ("DELETE", "/jobs/unknown", ""),
    ("POST", "/instances", ""),
    ("POST", "/instances", "no DICOM"),
    ("POST", "/instances/{instance}/modify", "not JSON"),
    ("POST", "/instances/{instance}/modify", '{"Replace": {"SOPInstanceUID": "1.2"}}'),
    ("POST", "/instances/{instance}/modify", '{"Remove": ["NoSuchTag"]}'),
    ("POST", "/studies/{study}/modify", '{"Replace": {"StudyInstanceUID": "1.2"}}'),
    ("POST", "/studies/{study}/split", "{}"),
    ("POST", "/studies/{study}/merge", "{}"),
    ("POST", "/studies/{study}/archive", '{"Asynchronous": "x"}'),
    ("POST", "/modalities/unknown/echo", ""),
    ("POST", "/modalities/unknown/store", STUDY),
    ("POST", "/peers/unknown/store", STUDY),
    ("POST", "/tools/find", "{}"),
    ("POST", "/tools/find", '{"Level": "Country", "Query": {}}'),
    ("POST", "/tools/find", '{"Level": "Study", "Query": {"NoSuchTag": "x"}}'),
    ("POST", "/tools/find", "[]"),
    ("POST", "/tools/bulk-modify", "{}"),
    ("POST", "/tools/create-dicom", '{"Tags": {"PatientName": {}}}'),
    ("POST", "/tools/create-dicom", '{"Tags": {"PatientName": 5}}'),
    ("POST", "/tools/create-dicom", '{"Parent": "unknown", "Tags": {}}'),
    ("POST", "/tools/create-dicom", '{"Parent": "{instance}", "Tags": {}}'),
    ("POST", "/tools/create-dicom", '{"Parent": "{study}", "Tags": {"PatientName": "X"}}'),
    ("POST", "/tools/create-dicom", '{"Tags": {"PixelData": "X"}}'),
    ("POST", "/tools/create-dicom", '{"Content": "X", "Tags": {}}'),
    ("POST", "/tools/create-dicom", '{"Content": [], "Tags": {}}'),
    ("POST", "/tools/create-dicom", '{"Content": "data:video/x;base64,QQ==", "Tags": {}}'),
    ("POST", "/tools/dicom-echo", '{"Host": "127.0.0.1"}'),
]
"""Requests that the core refuses: method, URI and body."""


@pytest.fixture(scope="module")
def refusals(probe) -> list[tuple[str, int, int]]:
    """Each request of the list with the code by the SDK, and the status by HTTP."""
    stored = probe.upload(make_instance())
    found = []
    for method, uri, body in REFUSED:
        for name in ("Study", "Instance"):
            place, own = (
                f"{{{name.lower()}}}",
                stored.get("ID" if name == "Instance" else "ParentStudy"),
            )
            uri, body = uri.replace(place, str(own)), body.replace(place, str(own))
        asked = {"Method": method, "Uri": uri, "Body": body}
        code, _text = probe.http.post("/probe/call", asked).json()
        answer = probe.http.request(method, uri, data=body.encode() or None)
        if answer.status_code != 200:
            found.append((f"{method} {uri} {body}", code, answer.status_code))
    return found


def test_http_status_of_each_code_is_that_of_the_core(refusals):
    wrong = [
        (request, code, status)
        for request, code, status in refusals
        if code != ErrorCode.PLUGIN and HTTP_STATUSES.get(code, 500) != status
    ]
    assert not wrong


def test_many_codes_are_compared(refusals):
    assert len({code for _request, code, _status in refusals}) >= 10, json.dumps(refusals)
