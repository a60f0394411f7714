import json

import pytest

from curator.config import Settings
from curator.errors import NotFound
from curator.gateway import Gateway
from curator.models import validate
from curator.route.delivery import SendOptions
from curator.route.destinations.registry import Destinations
from unit.fake_sdk import FakeSdk

SYNTAX = "1.2.840.10008.1.2.1"


@pytest.fixture
def make(tmp_path, ticks):
    """Return a function that makes destinations from the section ``Curator``."""
    (tmp_path / "export").mkdir()
    (tmp_path / "secret").write_text("key")

    def destinations(sdk=None, configuration=None, **curator):
        gateway = Gateway(sdk or server())
        settings = validate(Settings, curator)
        return Destinations(gateway, settings, configuration or {}, tmp_path, ticks, ticks.wait)

    return destinations


def server(dicomweb=("archive",)):
    core = {
        ("GET", "/modalities"): json.dumps(["PACS", "AI_NODE"]).encode(),
        ("GET", "/peers"): json.dumps(["research"]).encode(),
    }
    if dicomweb is not None:
        core["GET", "/dicom-web/servers"] = json.dumps(dicomweb).encode()
    return FakeSdk(core=core)


WEBHOOK = {"Url": "https://example.org/hook"}


def test_all_kinds_are_found_by_name(make):
    destinations = make(Webhooks={"hook": WEBHOOK}, Folders={"export": {"Root": "export"}})
    names = [
        "dicomweb:archive",
        "folder:export",
        "modality:AI_NODE",
        "modality:PACS",
        "peer:research",
        "webhook:hook",
    ]
    assert destinations.problems == []
    assert destinations.names() == names
    assert [destinations.get(name).name for name in names] == names
    assert [destinations.problem(name) for name in names] == [None] * len(names)
    assert destinations.webhook("hook").name == "webhook:hook"


def test_names_that_REST_adds_and_removes_count_at_once(make):  # noqa: N802
    sdk = server()
    destinations = make(sdk)
    sdk.core["GET", "/modalities"] = b'["NEW"]'
    assert destinations.problem("modality:NEW") is None
    with pytest.raises(NotFound):
        destinations.get("modality:PACS")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("modality:PAC", 'There is no modality "PAC", did you mean "PACS"?'),
        ("peer:nobody", 'There is no peer "nobody"'),
        ("webhook:hock", 'There is no webhook "hock", did you mean "hook"?'),
        ("modalty:PACS", 'did you mean "modality:PACS"?'),
        ("PACS", "begins with one of modality, peer, dicomweb, webhook, folder"),
        ("", "names no destination"),
    ],
)
def test_a_name_that_is_wrong_says_what_is_right(make, name, words):
    destinations = make(Webhooks={"hook": WEBHOOK})
    assert words in destinations.problem(name)
    with pytest.raises(NotFound):
        destinations.get(name)


def test_a_missing_plugin_is_said(make):
    destinations = make(server(dicomweb=None))
    assert "plugin is not loaded" in destinations.problem("dicomweb:archive")
    assert "dicomweb:archive" not in destinations.names()


def test_the_plugin_may_be_at_another_root(make):
    sdk = server(dicomweb=None)
    sdk.core["GET", "/web/servers"] = b'["archive"]'
    destinations = make(sdk, {"DicomWeb": {"Root": "web"}})
    assert destinations.problem("dicomweb:archive") is None


@pytest.mark.parametrize(
    ("name", "options", "works"),
    [
        ("modality:PACS", SendOptions(SYNTAX, storage_commitment=True, check_count=True), True),
        ("peer:research", SendOptions(SYNTAX), True),
        ("peer:research", SendOptions(check_count=True), False),
        ("peer:research", SendOptions(storage_commitment=True), False),
        ("dicomweb:archive", SendOptions(check_count=True), True),
        ("dicomweb:archive", SendOptions(SYNTAX), False),
        ("folder:export", SendOptions(SYNTAX), True),
        ("folder:export", SendOptions(storage_commitment=True), False),
    ],
)
def test_what_a_kind_cannot_do_is_a_problem(make, name, options, works):
    destinations = make(Folders={"export": {"Root": "export"}})
    assert (destinations.problem(name, options) is None) == works


def test_transcoding_in_the_settings_counts_as_well(make):
    destinations = make(Destinations={"dicomweb:archive": {"Transcode": SYNTAX}})
    assert destinations.problem("dicomweb:archive", SendOptions()) is not None


@pytest.mark.parametrize(
    ("curator", "problem"),
    [
        ({"Webhooks": {"h": {"Url": "http:///x"}}}, "$.Curator.Webhooks.h.Url"),
        ({"Webhooks": {"h": {"Url": "http://[::1/"}}}, "$.Curator.Webhooks.h.Url"),
        ({"Webhooks": {"h": {"Url": "http://host:99999/"}}}, "$.Curator.Webhooks.h.Url"),
        ({"Webhooks": {"h": {"Url": "http://u:p@host/"}}}, "$.Curator.Webhooks.h.Url"),
        ({"Webhooks": {"h": {**WEBHOOK, "SecretFile": "no"}}}, "$.Curator.Webhooks.h.SecretFile"),
        ({"Webhooks": {"h": {**WEBHOOK, "Verify": "secret"}}}, "$.Curator.Webhooks.h.Verify"),
        ({"Folders": {"f": {"Root": "no"}}}, "$.Curator.Folders.f.Root"),
        ({"Folders": {"f": {"Root": "export", "Path": "../x"}}}, "$.Curator.Folders.f.Path"),
        ({"Folders": {"f": {"Root": "export", "Path": "{PatientID}"}}}, "must contain"),
        ({"Destinations": {"webhook:x": {}}}, '$.Curator.Destinations["webhook:x"]'),
        ({"Destinations": {"PACS": {}}}, '$.Curator.Destinations["PACS"]'),
        (
            {"Destinations": {"modality:LATER": {"Window": "Mon 99:00-1"}}},
            '$.Curator.Destinations["modality:LATER"].Window',
        ),
        (
            {"Destinations": {"modality:LATER": {"Transcode": "9.9"}}},
            '$.Curator.Destinations["modality:LATER"].Transcode',
        ),
        (
            {"Destinations": {"dicomweb:later": {"Transcode": SYNTAX}}},
            '$.Curator.Destinations["dicomweb:later"].Transcode',
        ),
        ({"Alerts": {"Webhooks": ["x"]}}, "$.Curator.Alerts.Webhooks[0]"),
    ],
)
def test_a_configuration_that_is_wrong_is_named_by_its_path(make, curator, problem):
    problems = make(**curator).problems
    assert len(problems) == 1
    assert problem in problems[0]


def test_settings_of_what_the_server_may_get_later_are_no_problem(make):
    destinations = make(Destinations={"modality:LATER": {}, "dicomweb:later": {}})
    assert destinations.problems == []
