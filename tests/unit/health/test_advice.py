"""What deserves a word is told, and nothing else."""

import re
from dataclasses import replace
from typing import Any

import pytest

import engines
import settings as orthanc_settings
from curator.config import Settings, load
from curator.health.advice import TESTED, Facts, advice

PATHS = ["/usr/share/orthanc/plugins"]


def settings(**section: Any) -> Settings:
    return load({"Python": {"AllowThreads": True}, "Curator": section})


QUIET = Facts(configuration={}, settings=settings())


def told(**changes: Any) -> list[str]:
    return advice(replace(QUIET, **changes))


def configured(**configuration: Any) -> list[str]:
    return told(configuration=configuration, has_rules=True)


def test_configuration_that_comes_along_gives_no_reason():
    configuration = orthanc_settings.read(engines.CONFIGURATION)
    plugins = {"python": "7.1", "gdcm": "1.8", "dicom-web": "1.24"}
    assert advice(Facts(configuration, load(configuration), plugins, "1.13.0")) == []


@pytest.mark.parametrize(
    ("configuration", "tells"),
    [
        ({"RemoteAccessAllowed": True, "AuthenticationEnabled": False}, True),
        ({"RemoteAccessAllowed": True}, False),  # the core then asks for a password
        ({"RemoteAccessAllowed": True, "AuthenticationEnabled": True}, False),
        ({"AuthenticationEnabled": False}, False),
    ],
)
def test_server_that_is_open_to_all_is_told(configuration, tells):
    found = configured(**configuration)
    assert [one.startswith("$.AuthenticationEnabled: ") for one in found] == [True] * tells


@pytest.mark.parametrize("other", [{"Authorization": {}}, {"HttpBindAddresses": ["127.0.0.1"]}])
def test_server_that_something_else_protects_is_not_told(other):
    assert configured(RemoteAccessAllowed=True, AuthenticationEnabled=False, **other) == []


def test_secrets_that_nobody_guards_are_told():
    exported = settings(AllowMappingExport=True, ReidentifyKeyFile="k.pem")
    assert told(settings=exported) == []
    facts = {"RemoteAccessAllowed": True, "AuthenticationEnabled": False}
    (_, mapping, key) = told(settings=exported, configuration=facts)
    assert mapping.startswith("$.Curator.AllowMappingExport: ")
    assert key.startswith("$.Curator.ReidentifyKeyFile: ")


@pytest.mark.parametrize(
    ("plugins", "tells"),
    [
        (PATHS, True),
        (["/p/libOrthancAuthorization.so", "/p/libOrthancPython.so"], True),
        (["/p/libOrthancPython.so", "/p/libOrthancAuthorization.so"], False),
        (["C:\\P\\OrthancPython3.13.dll", "C:\\P\\OrthancAuthorization.dll"], False),
        (["/p/libOrthancDicomWeb.so", *PATHS], True),
        ([], False),
    ],
)
def test_plugin_that_may_take_requests_away_is_told(plugins, tells):
    section = {"WebServiceRootUrl": "http://127.0.0.1:8000/"}
    configuration = {"Authorization": section, "Plugins": plugins}
    loaded = {"authorization": "0.11.4"}
    found = told(configuration=configuration, plugins=loaded)
    assert [one.startswith("$.Plugins: ") for one in found] == [True] * (tells or not plugins)
    assert told(configuration=configuration) == []
    assert told(configuration={"Authorization": {}, "Plugins": plugins}, plugins=loaded) == []


def test_releases_that_tests_run_on_are_not_told():
    for orthanc in TESTED["Orthanc"]:
        for plugin in TESTED["Python plugin"]:
            assert told(orthanc=orthanc, plugins={"python": plugin}) == []


def test_other_releases_are_told():
    found = told(orthanc="1.14.0", plugins={"python": "8.0"})
    assert [re.match(r"Orthanc 1\.14\.0|Python plugin 8\.0", one) is not None for one in found] == [
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("section", "tells"),
    [
        ({}, True),
        ({"Enable": True}, True),
        ({"RestrictTransferSyntaxes": ["1.2.840.10008.1.2.4.80"]}, True),
        ({"RestrictTransferSyntaxes": ["1.2.840.10008.1.2.4.90"]}, False),
        ({"Enable": False}, False),
    ],
)
def test_decoder_that_crashes_the_server_is_told(section, tells):
    found = told(configuration={"Gdcm": section}, plugins={"gdcm": "1.8"})
    assert [one.startswith("$.Gdcm.RestrictTransferSyntaxes: ") for one in found] == [True] * tells
    assert told(configuration={"Gdcm": section}, plugins={"gdcm": "2.0"}) == []
    assert told(configuration={"Gdcm": section}) == []


def test_database_that_does_not_last_is_told():
    (text,) = told(is_volatile=True)
    assert text.startswith("$.Curator.Database: is in memory")


@pytest.mark.parametrize("name", ["MaximumStorageSize", "MaximumPatientCount"])
def test_rules_on_a_server_that_deletes_by_itself_are_told(name):
    (text,) = configured(**{name: 10})
    assert text.startswith(f"$.{name}: ")
    assert configured(**{name: 0}) == []
    assert configured(**{name: 10, "MaximumStorageMode": "Reject"}) == []
    assert told(configuration={name: 10}) == []


@pytest.mark.parametrize(
    ("webhook", "start"),
    [
        ({"Url": "http://a.example/x"}, "$.Curator.Webhooks.a.Url: identifiers"),
        ({"Url": "http://a.example/x", "Content": "Archive"}, "$.Curator.Webhooks.a.Url: images"),
        ({"Url": "https://a.example/x", "Verify": False}, "$.Curator.Webhooks.a.Verify: "),
    ],
)
def test_webhook_that_others_can_read_is_told(webhook, start):
    (text,) = told(settings=settings(Webhooks={"a": webhook}))
    assert text.startswith(start)
    assert "a.example" not in text


@pytest.mark.parametrize(
    "url", ["https://a.example/x", "http://127.0.0.1:9/x", "http://[::1]:9/x", "http://localhost/x"]
)
def test_webhook_that_nobody_else_can_read_is_not_told(url):
    assert told(settings=settings(Webhooks={"a": {"Url": url}})) == []


def test_profile_whose_program_is_missing_is_told():
    assert told(detecting=["trial"], has_tesseract=True) == []
    assert told(has_tesseract=False) == []
    (text,) = told(detecting=["trial", "us"], has_tesseract=False)
    assert text.endswith("trial, us")


@pytest.mark.parametrize(
    ("jobs", "modalities", "tells"),
    [(None, 1, False), (None, 2, True), (3, 2, False), (3, 3, True), (0, 5, False)],
)
def test_more_modalities_than_jobs_are_told(jobs, modalities, tells):
    configuration = {} if jobs is None else {"ConcurrentJobs": jobs}
    names = [f"modality:{number}" for number in range(modalities)]
    found = told(configuration=configuration, destinations=[*names, "peer:a", "webhook:b"])
    assert [one.startswith("$.ConcurrentJobs: ") for one in found] == [True] * tells


def test_slow_or_forgetful_sending_is_told_where_rules_send_to_modalities():
    configuration = {"JobsHistorySize": 0}
    assert told(configuration=configuration, has_no_delay=False, destinations=["peer:a"]) == []
    found = told(configuration=configuration, has_no_delay=False, destinations=["modality:a"])
    assert [one.partition(" ")[0] for one in found] == ["$.JobsHistorySize:", "TCP_NODELAY=1"]


def test_scripts_beside_rules_are_told():
    (text,) = configured(LuaScripts=["route.lua"])
    assert text.startswith("$.LuaScripts: ")
    assert told(configuration={"LuaScripts": ["route.lua"]}) == []
