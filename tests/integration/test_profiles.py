"""Anonymization profiles in a running server: where they come from, and how they change."""

import json
import re
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest

from factory import mr_series
from integration.servers import OrthancServer
from integration.test_configuration import refusal

KEEPS_COMMENTS: dict[str, Any] = {"Rules": [{"Tag": "PatientComments", "Action": "Keep"}]}


@pytest.fixture
def name(server, request):
    """A profile that is gone after the test."""
    name = f"test-{abs(hash(request.node.nodeid))}"
    yield name
    server.http.delete(f"/curator/profiles/{name}")


def comments(server, name: str) -> set[str]:
    rows = server.http.json(f"/curator/profiles/{name}/table")
    return {row["Action"] for row in rows if row["Tag"] == "(0010,4000)"}


def key_of(server) -> str:
    return str(server.http.json("/curator")["Key"])


# By REST


def test_shipped_profiles_are_there(server):
    listed = server.http.json("/curator/profiles", params={"expand": ""})
    by_name = {one["Name"]: one for one in listed}
    assert by_name["basic"]["Source"] == "Shipped"
    for name in by_name:
        assert server.http.json(f"/curator/profiles/{name}")["Name"] == name
        assert len(server.http.json(f"/curator/profiles/{name}/table")) >= 657
        text = server.http.get(f"/curator/profiles/{name}/conformance")
        assert text.headers["Content-Type"].startswith("text/markdown")
        assert name in text.text


def test_a_profile_goes_through_its_life(server, name):
    path = f"/curator/profiles/{name}"
    assert server.http.get(path).status_code == 404
    first = server.http.put(path, {"Version": "1"})
    assert (first.status_code, first.json()["Source"]) == (200, "Database")
    assert "Keep" not in comments(server, name)
    assert server.http.put(path, {"Version": "1", **KEEPS_COMMENTS}).status_code == 409
    assert server.http.put(path, {"Version": "2", **KEEPS_COMMENTS}).status_code == 200
    assert "Keep" in comments(server, name)
    assert server.http.json(path, params={"version": "1"})["Rules"] == []
    versions = server.http.json(f"{path}/versions")
    assert [one["Version"] for one in versions] == ["2", "1"]
    assert name in server.http.json("/curator/profiles")
    assert server.http.delete(path).status_code == 200
    assert server.http.get(path).status_code == 404
    assert name not in server.http.json("/curator/profiles")
    assert server.http.json(path, params={"version": "2"})["Version"] == "2"


def test_yaml_is_taken(server, name):
    body = b"Version: '5'\nOptions: [RetainUids]\n"
    assert server.http.put(f"/curator/profiles/{name}", data=body).status_code == 200
    assert server.http.json(f"/curator/profiles/{name}")["Options"] == ["RetainUids"]


def test_a_wrong_profile_is_refused_with_all_problems(server, name):
    wrong = {"Version": 5, "Optoins": [], "Options": ["CleanRecognizableVisualFeatures"]}
    answer = server.http.put(f"/curator/profiles/{name}", wrong)
    assert answer.status_code == 400
    details = answer.json()["Details"]
    for problem in ("$.Version: ", "$.Optoins: unknown field", "CleanRecognizableVisualFeatures"):
        assert problem in details
    assert server.http.get(f"/curator/profiles/{name}").status_code == 404


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "empty"),
        (b"{", "JSON"),
        (b'{"Name": ' + b"[" * 100_000, "deep|JSON"),
        (b'{"Version": "1", "Version": "2"}', "twice"),
        (b"- a\n", "object"),
        (b"Name: [", "YAML"),
        (b"a: " + b"[" * 100_000, "deep|YAML"),
        (b"Version: 2024-01-01", "quotation marks"),
        (b"\xff", "UTF-8"),
        (b'{"Description": "\\ud800"}', r"\$"),
    ],
    ids=lambda value: value[:20].decode("latin-1") if isinstance(value, bytes) else "",
)
def test_a_body_that_is_no_profile_is_a_400_that_says_why(server, name, body, why):
    answer = server.http.put(f"/curator/profiles/{name}", data=body)
    assert answer.status_code == 400
    assert re.search(why, answer.json()["Details"])
    assert server.http.get(f"/curator/profiles/{name}").status_code == 404


@pytest.mark.parametrize("part", ["", "/versions", "/table", "/conformance"])
def test_an_unknown_profile_is_a_404_with_the_nearest(server, part):
    answer = server.http.get(f"/curator/profiles/basik{part}")
    assert answer.status_code == 404
    assert '"basic"' in answer.json()["Details"]


def test_the_schema_is_told(server):
    assert "Rules" in server.http.json("/curator/schemas/profile")["properties"]


def test_mappings_do_not_leave_by_default(server, name):
    server.http.put(f"/curator/profiles/{name}", {"Mapping": True})
    answer = server.http.get(f"/curator/profiles/{name}/mapping")
    assert answer.status_code == 403
    assert "AllowMappingExport" in answer.json()["Details"]


# From the configuration and files


def with_files(server: OrthancServer, files: dict[str, str]) -> Path:
    """Put files into a folder that the server sees beside its index."""
    folder = server.storage / "profiles"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_text(content)
    return folder


def test_profiles_of_configuration_and_files_are_there_and_stay(new_server):
    server = new_server(
        started=False,
        Curator={
            "Profiles": [{"Name": "configured", **KEEPS_COMMENTS}],
            "ProfilesDirectory": "/var/lib/orthanc/db/profiles",
            "AllowMappingExport": True,
        },
    )
    with_files(server, {"a.yaml": "Name: filed\nMapping: true\n"})
    with server.start():
        listed = server.http.json("/curator/profiles", params={"expand": ""})
        sources = {one["Name"]: (one["Source"], one["Place"]) for one in listed}
        assert sources["configured"] == ("Configuration", "$.Curator.Profiles[0]")
        assert sources["filed"][0] == "Directory"
        assert sources["filed"][1].endswith("/profiles/a.yaml")
        assert comments(server, "configured") == {"Keep"}
        for name in ("configured", "filed"):
            answer = server.http.put(f"/curator/profiles/{name}", {})
            assert answer.status_code == 409
            assert sources[name][1] in answer.json()["Details"]
            assert server.http.delete(f"/curator/profiles/{name}").status_code == 409
        mapping = server.http.get("/curator/profiles/filed/mapping")
        assert mapping.headers["Content-Type"].startswith("text/csv")
        assert mapping.text == "id_old,id_new\r\n"


def test_every_problem_of_profiles_stops_the_start(new_server):
    server = new_server(
        started=False,
        Curator={
            "Profiles": [{"Name": "same"}, {"Name": "bad", "Optoins": []}],
            "ProfilesDirectory": "/var/lib/orthanc/db/profiles",
            "LookupTables": {"sites": "absent.csv"},
            "KeyFile": "/var/lib/orthanc/db/absent/directory/of.key",
        },
    )
    with_files(server, {"a.json": '{"Name": "same"}', "b.json": '{"Name": "b", "Version": 5}'})
    log = refusal(server)
    for problem in (
        '$.Curator.Profiles[1].Optoins: unknown field, did you mean "Options"?',
        'profiles/a.json: the profile "same" is defined in $.Curator.Profiles[0] as well',
        "profiles/b.json: $.Version: ",
        "$.Curator.LookupTables.sites: cannot be read",
    ):
        assert problem in log


# In the database


def test_what_was_put_is_there_after_a_restart(new_server):
    server = new_server()
    server.http.put("/curator/profiles/trial", {"Version": "1"})
    server.http.put("/curator/profiles/trial", {"Version": "2", **KEEPS_COMMENTS})
    before = server.http.json("/curator/profiles/trial")
    server.kill()
    server.start()
    assert server.http.json("/curator/profiles/trial") == before
    assert len(server.http.json("/curator/profiles/trial/versions")) == 2


def test_a_database_of_the_release_before_is_upgraded(new_server):
    server = new_server()
    server.kill()
    connection = sqlite3.connect(server.storage / "curator.db")
    for table in ("profiles", "profile_versions", "pseudonyms", "pseudonym_counters", "mappings"):
        connection.execute(f"DROP TABLE curator_{table}")
    connection.execute("UPDATE curator_schema SET version = 2")
    connection.commit()
    connection.close()
    server.start()
    assert server.http.put("/curator/profiles/trial", {"Version": "1"}).status_code == 200


# The key


def test_the_key_is_made_once_for_orthanc_alone(new_server):
    server = new_server()
    key = server.storage / "curator.key"
    content = key.read_bytes()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    identifier = key_of(server)
    server.stop()
    server.start()
    assert key.read_bytes() == content
    assert key_of(server) == identifier
    for word in content.split():
        assert word.decode() not in server.log or len(word) < 16
        assert word.decode() not in json.dumps(server.http.json("/curator")) or len(word) < 16


def test_other_servers_have_other_keys(new_server):
    assert key_of(new_server()) != key_of(new_server())


def test_a_key_that_others_can_read_stops_the_start(new_server):
    server = new_server()
    server.kill()
    key = server.storage / "curator.key"
    secret = key.read_text().split()
    key.chmod(0o644)
    log = refusal(server)
    assert "$.Curator.KeyFile: " in log
    assert not any(word in log for word in secret if len(word) >= 16)
    key.chmod(0o600)
    server.start()


# Pseudonyms and mapping, as a whole


def upload_patients(server, count: int) -> list[str]:
    """Upload one instance of each of some patients; return the studies."""
    instances = [
        mr_series(1, study=f"mapped {number}", PatientID=f"MAPPED-{number}")[0]
        for number in range(count)
    ]
    return [str(server.upload(instance)["ParentStudy"]) for instance in instances]


def patient_id(server, study: str) -> str:
    return str(server.http.json(f"/studies/{study}")["PatientMainDicomTags"]["PatientID"])


def test_sequential_pseudonyms_are_counted_and_mapped(new_server):
    server = new_server(Curator={"AllowMappingExport": True})
    rule = {"Tag": "PatientID", "Action": "Pseudonym", "Scheme": "Sequential", "Prefix": "T-"}
    put = server.http.put("/curator/profiles/trial", {"Mapping": True, "Rules": [rule]})
    assert put.status_code == 200, put.text
    first, second = upload_patients(server, 2)

    def anonymize(study: str, **fields: Any) -> dict[str, Any]:
        body = {"Profile": "trial", **fields}
        answer = server.http.post(f"/studies/{study}/anonymize", body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    for study in (second, first):
        anonymize(study, DryRun=True)  # which gives no number
    assert patient_id(server, anonymize(first)["ID"]) == "T-000001"
    assert patient_id(server, anonymize(second)["ID"]) == "T-000002"
    assert patient_id(server, anonymize(first)["ID"]) == "T-000001"
    mapping = server.http.get("/curator/profiles/trial/mapping").text
    assert mapping == "id_old,id_new\r\nMAPPED-0,T-000001\r\nMAPPED-1,T-000002\r\n"
    for secret in ("MAPPED-0", "MAPPED-1"):
        assert secret not in server.log
