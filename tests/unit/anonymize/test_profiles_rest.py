"""The routes of profiles."""

import csv
import io
import json
import re

import pytest

from curator.anonymize.catalog import Catalog, Reader
from curator.anonymize.definitions import define
from curator.anonymize.mapping import Mappings
from curator.anonymize.profile_store import ProfileStore
from curator.anonymize.profiles_rest import ProfilesApi
from curator.anonymize.shipped import shipped
from curator.anonymize.tables import load
from curator.gateway import Gateway
from curator.store import Store
from curator.web import Endpoint, Request, Response, dispatch
from unit.fake_sdk import FakeSdk

PATIENT = "PRIVATE^JANE"


class Server:
    """Profiles behind their routes."""

    def __init__(self, store: Store, *, configured=(), allow: bool = True) -> None:
        self.mappings = Mappings(store)
        problems: list[str] = []
        reader = Reader({})
        defined = define(configured, None, reader, problems)
        assert problems == []
        catalog = Catalog(shipped(), defined, ProfileStore(store), load(), reader)
        api = ProfilesApi(catalog, self.mappings, allow_mapping_export=allow)
        self.endpoints: list[Endpoint] = api.endpoints()
        self.gateway = Gateway(FakeSdk())

    def request(self, method: str, uri: str, body: object = None, **query: str) -> Response:
        raw = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        for endpoint in self.endpoints:
            match = re.fullmatch(endpoint.regex, uri)
            if match is not None:
                request = Request(method, uri, match.groups(), query=query, body=raw)
                return dispatch(endpoint, request, self.gateway, True)
        raise LookupError(uri)

    def json(self, uri: str, **query: str):
        response = self.request("GET", uri, **query)
        assert response.status == 200, response.body
        return json.loads(response.body)

    def details(self, method: str, uri: str, body: object = None, *, status: int, **query) -> str:
        response = self.request(method, uri, body, **query)
        assert response.status == status, response.body
        return str(json.loads(response.body)["Details"])


@pytest.fixture
def server(store):
    return Server(store)


def test_profiles_are_listed_by_name_and_at_length(server):
    names = server.json("/curator/profiles")
    assert "basic" in names
    assert names == sorted(names)
    listed = server.json("/curator/profiles", expand="")
    assert [one["Name"] for one in listed] == names
    assert {one["Source"] for one in listed} == {"Shipped"}
    assert all(one["Description"] for one in listed)


def test_a_profile_goes_in_and_comes_out(server):
    content = {"Version": "7", "Options": ["RetainUids"], "Description": "näme"}
    answer = json.loads(server.request("PUT", "/curator/profiles/trial", content).body)
    assert (answer["Name"], answer["Version"], answer["Source"]) == ("trial", "7", "Database")
    read = server.json("/curator/profiles/trial")
    assert read == read | content | {"Name": "trial"}
    assert "trial" in server.json("/curator/profiles")
    assert server.request("PUT", "/curator/profiles/trial", read).status == 200


def test_yaml_is_taken_as_well(server):
    body = b"# ours\nVersion: '2'\nRules:\n- {Tag: PatientComments, Action: Keep}\n"
    assert server.request("PUT", "/curator/profiles/trial", body).status == 200
    (rule,) = server.json("/curator/profiles/trial")["Rules"]
    assert (rule["Tag"], rule["Action"]) == ("PatientComments", "Keep")


@pytest.mark.parametrize(
    "body",
    [b"", b" \n", b"{", b"[]", b"- a", b"just text", b"5", b"\xff\xfe", b"a: [", b"a: 1\na: 2\n"],
)
def test_a_body_that_is_no_object_is_a_400(server, body):
    server.details("PUT", "/curator/profiles/trial", body, status=400)
    assert "trial" not in server.json("/curator/profiles")


def test_a_wrong_profile_is_a_400_with_every_problem(server):
    wrong = {"Version": 5, "Optoins": [], "Rules": [{"Tag": "PatientID", "Action": "Kepe"}]}
    details = server.details("PUT", "/curator/profiles/trial", wrong, status=400)
    for problem in ("$.Version: ", "$.Optoins: unknown field", "$.Rules[0].Action: "):
        assert problem in details


def test_versions_are_read_by_number(server):
    for version in ("1", "2"):
        content = {"Version": version, "Description": f"number {version}"}
        server.request("PUT", "/curator/profiles/trial", content)
    assert server.json("/curator/profiles/trial")["Version"] == "2"
    assert server.json("/curator/profiles/trial", version="1")["Description"] == "number 1"
    listed = server.json("/curator/profiles/trial/versions")
    assert [one["Version"] for one in listed] == ["2", "1"]
    assert "3" in server.details("GET", "/curator/profiles/trial", status=404, version="3")


def test_the_version_of_a_shipped_profile_is_read_by_number(server):
    shown = server.json("/curator/profiles/basic")
    assert server.json("/curator/profiles/basic", version=shown["Version"]) == shown
    assert server.json("/curator/profiles/basic/versions") == []


def test_a_profile_is_deleted(server):
    server.request("PUT", "/curator/profiles/trial", {"Version": "1"})
    assert server.request("DELETE", "/curator/profiles/trial").status == 200
    server.details("GET", "/curator/profiles/trial", status=404)
    assert server.json("/curator/profiles/trial", version="1")["Version"] == "1"
    server.details("DELETE", "/curator/profiles/trial", status=404)
    server.details("DELETE", "/curator/profiles/basic", status=409)


@pytest.mark.parametrize("part", ["", "/versions", "/table", "/conformance", "/mapping"])
def test_an_unknown_profile_is_a_404(server, part):
    details = server.details("GET", f"/curator/profiles/basik{part}", status=404)
    assert 'did you mean "basic"' in details


def test_the_table_says_what_becomes_of_elements_and_why(server):
    rule = {"Tag": "PatientComments", "Action": "Keep"}
    server.request("PUT", "/curator/profiles/trial", {"Rules": [rule]})
    for name, action in (("basic", "Remove"), ("trial", "Keep")):
        rows = server.json(f"/curator/profiles/{name}/table")
        found = [row for row in rows if row["Tag"] == "(0010,4000)"]
        assert action in {row["Action"] for row in found}
        assert all(row["Reason"] for row in rows)
        assert len(rows) >= 657


def test_the_conformance_statement_is_markdown(server):
    response = server.request("GET", "/curator/profiles/basic/conformance")
    assert response.content_type.startswith("text/markdown")
    assert response.body.decode().startswith("# ")


def test_the_schema_names_every_field(server):
    schema = server.json("/curator/schemas/profile")
    assert {"Name", "Version", "Options", "Rules", "Residual"} <= schema["properties"].keys()


# Mapping

MAPPED = {"Version": "1", "Mapping": True}


def test_a_mapping_is_exported_as_csv(server):
    server.request("PUT", "/curator/profiles/trial", MAPPED)
    server.mappings.note("trial", {"P1": "X1", "=cmd()": "X2"})
    server.mappings.note("other", {"P9": "X9"})
    response = server.request("GET", "/curator/profiles/trial/mapping")
    assert (response.status, response.content_type) == (200, "text/csv; charset=utf-8")
    rows = list(csv.reader(io.StringIO(response.body.decode(), newline="")))
    assert rows == [["id_old", "id_new"], ["'=cmd()", "X2"], ["P1", "X1"]]


def test_without_leave_of_the_configuration_no_mapping_leaves(store):
    server = Server(store, allow=False)
    server.request("PUT", "/curator/profiles/trial", MAPPED)
    server.mappings.note("trial", {PATIENT: "X1"})
    response = server.request("GET", "/curator/profiles/trial/mapping")
    assert response.status == 403
    assert json.loads(response.body)["OrthancStatus"] == 45
    assert PATIENT.encode() not in response.body


def test_a_profile_without_mapping_exports_none(server):
    server.request("PUT", "/curator/profiles/trial", MAPPED)
    server.mappings.note("trial", {PATIENT: "X1"})
    server.request("PUT", "/curator/profiles/trial", {"Version": "2"})
    details = server.details("GET", "/curator/profiles/trial/mapping", status=404)
    assert '"Mapping"' in details
    assert PATIENT not in details


def test_tables_of_a_profile_leave_only_where_mappings_may(store):
    content = {"Version": "1", "Tables": {"sites": {PATIENT: "X1"}}}
    closed, opened = Server(store, allow=False), Server(store)
    closed.request("PUT", "/curator/profiles/trial", content)
    for query in ({}, {"version": "1"}):
        shown = closed.request("GET", "/curator/profiles/trial", **query)
        assert PATIENT.encode() not in shown.body
        assert json.loads(shown.body)["HiddenTables"] == {"sites": 1}
        assert opened.json("/curator/profiles/trial", **query)["Tables"] == content["Tables"]
    details = closed.details("PUT", "/curator/profiles/trial", json.loads(shown.body), status=400)
    assert "HiddenTables" in details
    for uri in ("/curator/profiles/trial/table", "/curator/profiles/trial/conformance"):
        assert PATIENT.encode() not in closed.request("GET", uri).body


def test_an_export_is_logged_without_patients(server, caplog):
    caplog.set_level("INFO")
    server.request("PUT", "/curator/profiles/trial", MAPPED)
    server.mappings.note("trial", {PATIENT: "X1"})
    server.request("GET", "/curator/profiles/trial/mapping")
    assert "Mapping exported" in caplog.text
    assert PATIENT not in caplog.text


def test_a_broken_profile_does_not_hide_the_others(store, server):
    from sqlalchemy import update

    from curator.store import profile_versions

    server.request("PUT", "/curator/profiles/trial", {"Version": "1"})
    with store.transaction() as connection:
        connection.execute(update(profile_versions).values(content={"Name": "trial", "X": 1}))
    listed = {one["Name"]: one for one in server.json("/curator/profiles", expand="")}
    assert "$.X: unknown field" in listed["trial"]["Problem"]
    assert listed["basic"]["Source"] == "Shipped"
