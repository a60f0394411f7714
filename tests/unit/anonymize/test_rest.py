"""The anonymize routes: what goes to the core, what is refused, what is answered."""

import io
import json
from typing import Any

import pydicom
import pytest

from curator.level import Level
from curator.web import Response
from factory import ct_series
from unit.anonymize.serving import PICKY, AnonymizeServer
from unit.fake_sdk import FakeOrthancError
from unit.reshape.memory import MemoryOrthanc, SteppedStore

ROUTES = {Level.PATIENT: "patients", Level.STUDY: "studies", Level.SERIES: "series"}

BUILTIN = [
    b"",
    b"{}",
    b"null",
    b"not JSON",
    b'{"Keep": ["StudyDate"], "KeepPrivateTags": true}',
    b'{"Replace": {"PatientName": "x"}, "Transcode": "1.2.840.10008.1.2.1", "Force": true}',
    b'{"UnknownToBoth": 1}',
]


@pytest.fixture
def orthanc() -> MemoryOrthanc:
    made = MemoryOrthanc()
    for file in ct_series(3):
        made.receive(file)
    return made


@pytest.fixture
def server(orthanc, tmp_path):
    store = SteppedStore(tmp_path / "curator.db")
    server = AnonymizeServer(orthanc, store, threads=2)
    server.engine.start()
    yield server
    server.engine.stop()
    store.close()


def only(orthanc: MemoryOrthanc, level: Level) -> str:
    return next(iter(orthanc.of(level)))


def paths(orthanc: MemoryOrthanc) -> dict[str, bytes]:
    """Return the routes with what a body needs beside a profile."""
    found = {f"/{name}/{only(orthanc, level)}/anonymize": {} for level, name in ROUTES.items()}
    found[f"/instances/{only(orthanc, Level.INSTANCE)}/anonymize"] = {}
    found["/tools/bulk-anonymize"] = {"Resources": [only(orthanc, Level.STUDY)]}
    return found


def ask(server: AnonymizeServer, uri: str, **body: Any) -> Response:
    return server.post(uri, json.dumps(body).encode())


def details(response: Response, status: int) -> str:
    assert response.status == status, response.body
    return str(json.loads(response.body)["Details"])


@pytest.mark.parametrize("body", BUILTIN, ids=lambda body: body[:20].decode())
def test_what_has_no_own_field_goes_to_the_core_and_comes_back_untouched(
    server, orthanc, monkeypatch, body
):
    def post(uri: str, content: bytes) -> bytes:
        calls.append((uri, content))
        return b"the core's answer"

    calls: list[tuple[str, bytes]] = []
    monkeypatch.setattr(orthanc, "RestApiPost", post)
    for uri in paths(orthanc):
        answer = server.post(uri, body)
        assert (answer.status, answer.body) == (200, b"the core's answer")
        is_dicom = uri.startswith("/instances/")
        assert answer.content_type.startswith(
            "application/dicom" if is_dicom else "application/json"
        )
    assert calls == [(uri, body) for uri in paths(orthanc)]


@pytest.mark.parametrize("field", ["Profile", "DryRun", "Report", "Map"])
def test_an_own_field_is_never_passed_over(server, orthanc, field):
    for uri in paths(orthanc):
        commented = f'/* all of it */ {{"{field}": true}}'.encode()
        assert server.post(uri, commented).status == 400
        assert ask(server, uri, **{field: 5}).status == 400
    assert not [call for call in orthanc.calls if "anonymize" in call[1]]


def test_the_core_is_asked_why_it_refuses(server, orthanc, monkeypatch):
    def post(uri: str, content: bytes) -> bytes:
        if uri.startswith("/tools/bulk-content"):
            return original(uri, content)
        raise FakeOrthancError(*refusal)

    original = orthanc.RestApiPost
    monkeypatch.setattr(orthanc, "RestApiPost", post)
    refusal = (17, "Unknown resource")
    assert "Unknown study: nothing" in details(ask(server, "/studies/nothing/anonymize"), 404)
    bulk = ask(server, "/tools/bulk-anonymize", Resources=["nothing"])
    assert "$.Resources[0]" in details(bulk, 404)
    refusal = (15, "Bad file format")
    uri = f"/studies/{only(orthanc, Level.STUDY)}/anonymize"
    assert "$.Keep" in details(ask(server, uri, Keep="StudyDate"), 400)
    assert "empty" in details(server.post(uri, b""), 400)
    assert "NoSuchTag" in details(ask(server, uri, Remove=["NoSuchTag"]), 400)


def test_unknown_profiles_and_resources_are_404(server, orthanc):
    for uri, body in paths(orthanc).items():
        assert "nothing" in details(ask(server, uri, Profile="nothing", **body), 404)
    for name in (*ROUTES.values(), "instances"):
        unknown = ask(server, f"/{name}/nothing/anonymize", Profile="basic")
        assert "nothing" in details(unknown, 404)
        other = ask(server, f"/{name}/{'series' in name}/anonymize", Profile="basic")
        assert other.status == 404
    bulk = ask(server, "/tools/bulk-anonymize", Profile="basic", Resources=["a", "b"])
    assert "$.Resources[0]" in details(bulk, 404)


def test_a_resource_of_another_level_is_unknown(server, orthanc):
    series = only(orthanc, Level.SERIES)
    assert "Unknown study" in details(
        ask(server, f"/studies/{series}/anonymize", Profile="basic"), 404
    )


def test_an_invalid_profile_is_400_with_every_problem(server, orthanc):
    rules = [{"Tag": "NoSuchTag", "Action": "Remove"}, {"Tag": "StudyDate", "Action": "Explode"}]
    for uri, body in paths(orthanc).items():
        text = details(ask(server, uri, Profile={"Name": "x", "Rules": rules}, **body), 400)
        assert "Rules[1]" in text


def test_every_level_answers_as_the_core_does(server, orthanc):
    for level, name in ROUTES.items():
        answer = ask(server, f"/{name}/{only(orthanc, level)}/anonymize", Profile="basic")
        content = json.loads(answer.body)
        assert content["Type"] == level
        assert content["ID"] in orthanc.of(level)
        assert content["PatientID"] in orthanc.of(Level.PATIENT)
        assert content["Report"]["Actions"]
        assert "Elements" not in content["Report"]
    detailed = ask(
        server, f"/series/{only(orthanc, Level.SERIES)}/anonymize", Profile="basic", Report=True
    )
    assert json.loads(detailed.body)["Report"]["Elements"]


def test_an_instance_is_answered_as_a_file_and_nothing_is_stored(server, orthanc):
    before = orthanc.state()
    instance = only(orthanc, Level.INSTANCE)
    answer = ask(server, f"/instances/{instance}/anonymize", Profile="basic")
    assert (answer.status, answer.content_type) == (200, "application/dicom")
    dataset = pydicom.dcmread(io.BytesIO(answer.body))
    assert "SYN0001" not in str(dataset)
    assert orthanc.state() == before


def test_a_job_answers_where_it_is(server, orthanc):
    uri = f"/studies/{only(orthanc, Level.STUDY)}/anonymize"
    answer = json.loads(ask(server, uri, Profile="basic", Asynchronous=True, UserData=[1]).body)
    assert answer["Path"] == f"/jobs/{answer['ID']}"
    server.engine.wait(answer["ID"])
    job = server.engine.describe(answer["ID"])
    assert (job["State"], job["UserData"], job["Type"]) == ("Success", [1], "CuratorAnonymize")


def test_a_dry_run_changes_nothing_and_says_everything(server, orthanc):
    bad = orthanc.receive(ct_series(4, AccessionNumber="ACC9999")[3])
    before = orthanc.state()
    for uri, body in paths(orthanc).items():
        if uri.startswith("/instances/"):
            continue
        answer = json.loads(ask(server, uri, Profile=PICKY, DryRun=True, **body).body)
        assert answer["InstancesCount"] == len(answer["Instances"]) == 4
        refused = {one["ID"]: one["Refused"] for one in answer["Instances"] if "Refused" in one}
        assert list(refused) == [bad]
        assert answer["Report"]["Refused"] == [{"ID": bad, "Details": refused[bad]}]
        assert all("Changes" in one for one in answer["Instances"] if one["ID"] != bad)
    assert orthanc.state() == before
    assert server.engine.ids() == []


def test_without_a_private_key_nobody_is_reidentified(server, orthanc):
    instance = only(orthanc, Level.INSTANCE)
    for body in (b"", b"{}"):
        answer = server.post(f"/instances/{instance}/reidentify", body)
        assert "ReidentifyKeyFile" in details(answer, 409)
    wrong = server.post(f"/instances/{instance}/reidentify", b'{"Key": "x"}')
    assert "$.Key: unknown field" in details(wrong, 400)
    assert "nothing" in details(server.post("/instances/nothing/reidentify", b""), 404)
