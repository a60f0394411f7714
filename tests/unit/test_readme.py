"""The README says everything that users can say to Curator."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curator import config
from curator.anonymize.pixels.risk import RISKY_MODALITIES
from curator.anonymize.profile import Profile
from curator.anonymize.protected import RULED_BY_OPTION
from curator.anonymize.shipped import shipped
from curator.config import Settings
from curator.models import validate
from curator.openapi import document
from curator.reshape.criteria import READY_SETS
from curator.route import decide, kinds, receive_rule, rule
from endpoints import registered

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")

DOCUMENT = document(registered(), "")


def within(value: Any, definitions: dict[str, Any], known: set[str]) -> Iterator[dict[str, Any]]:
    """Yield all objects in a part of a schema, and in what it refers to, each once."""
    if isinstance(value, list):
        for one in value:
            yield from within(one, definitions, known)
    elif isinstance(value, dict):
        yield value
        for one in value.values():
            yield from within(one, definitions, known)
        name = value.get("$ref", "").rpartition("/")[2]
        if name and name not in known:
            known.add(name)
            yield from within(definitions[name], definitions, known)


def fields(value: Any, definitions: dict[str, Any]) -> set[str]:
    """Return the names of all fields of schemas."""
    found = [one.get("properties", {}) for one in within(value, definitions, set())]
    return {name for one in found if isinstance(one, dict) for name in one}


def choices(value: Any, definitions: dict[str, Any]) -> set[str]:
    """Return all texts that schemas name as values."""
    found = [[*one.get("enum", ()), one.get("const")] for one in within(value, definitions, set())]
    return {text for one in found for text in one if isinstance(text, str) and text}


def documented() -> set[str]:
    """Return every name that users can say, and every coded value that they say or are told."""
    schemas = DOCUMENT["components"]["schemas"]
    settings = Settings.model_json_schema()
    found = fields(settings, settings["$defs"]) | choices(settings, settings["$defs"])
    for path in DOCUMENT["paths"].values():
        for method in path.keys() & {"get", "put", "post", "delete"}:
            body = path[method].get("requestBody", {})
            found |= fields(body, schemas) | choices(path[method], schemas)
            found |= {one["name"] for one in path[method].get("parameters", ())}
    return found


#: What no schema has: names that are given elsewhere, and words of the audit log and the metrics.
OTHERS = {*READY_SETS, *RISKY_MODALITIES, *shipped(), *kinds.FailureKind, *kinds.DestinationKind}

#: How a ready set is read, which is written as its name alone; actions that only options have.
NOT_SAID = {"ReadySet", *RULED_BY_OPTION}

WORDS = (documented() | OTHERS) - NOT_SAID


def test_the_words_come_from_any_depth():
    assert {"Follow", "Like", "RemoteAet", "Dimse", "Webhooks", "Rate", "expand"} <= WORDS
    assert {"Sending", "HalfOpen", "PerPatient", "Shipped", "StoredInstance"} <= WORDS


@pytest.mark.parametrize("word", sorted(WORDS))
def test_every_word_of_requests_and_settings_is_documented(word):
    assert re.search(rf"\b{word}\b", README)


@pytest.mark.parametrize("setting", sorted(Settings.field_names()))
def test_every_setting_is_in_the_configuration_that_comes_along(setting):
    assert f'"{setting}"' in (REPOSITORY / "orthanc.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("pattern", sorted(endpoint.pattern for endpoint in registered()))
def test_every_route_is_documented(pattern):
    assert f"| `{pattern}` |" in README


ROUTE = README.partition("\n## Route\n")[2].partition("\n## Limits\n")[0]

EXAMPLES = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", ROUTE, re.DOTALL)]
EXAMPLES += [
    json.loads(text) for text in re.findall(r"/rules/[\w-]+ -d '(\{.*?\})'", README, re.DOTALL)
]


def test_every_rule_in_the_text_can_be_used():
    kinds_seen = set()
    for example in EXAMPLES:
        if "Curator" in example:
            config.load({"Python": {"AllowThreads": True}, **example})
            kinds_seen.add("configuration")
        elif "Receive" in example:
            receive_rule.read_rules(example["Receive"], {})
            kinds_seen.add("receive")
        else:
            rules = validate(rule.RuleSet, {"Rules": [{"Name": "unnamed", **example}]})
            assert decide.test_failures(rules) == []
            kinds_seen.add("rule")
    assert kinds_seen == {"configuration", "receive", "rule"}


PROFILES = [
    *re.findall(r"```json\n(\{ \"Name\": [^`]*?\"Options\": .*?)```", README, re.DOTALL),
    *(
        json.dumps({"Name": "trial"} | json.loads(text))
        for text in re.findall(r"<<'JSON'\n(\s*\{ \"Version\": .*?)JSON\n", README, re.DOTALL)
    ),
]


def test_every_profile_in_the_text_can_be_used():
    assert [validate(Profile, json.loads(text)).name for text in PROFILES] == ["trial-ct", "trial"]


def test_a_merge_or_split_that_has_no_undo_is_said_where_it_is_described():
    for heading in ("### Recipe: merge two visits", "## Merge", "## Split"):
        section = re.split(r"\n##+ ", README.partition(f"\n{heading}\n")[2])[0]
        assert "cannot be undone" in section.replace("**", ""), heading


def texts(module: Path) -> Iterator[str]:
    """Yield the texts in a module, with an ellipsis where a value comes in."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            parts = [one.value if isinstance(one, ast.Constant) else "…" for one in node.values]
            yield "".join(map(str, parts))


SAID = "\n".join(text for path in (REPOSITORY / "plugin").rglob("*.py") for text in texts(path))

#: Errors of Python and Orthanc, and rows of the table that quote no error.
NOT_OURS = (
    "No module named",
    "404 for",
    "configuration section",
    "already registered",
    "an anonymization ignores",
    "a delivery is",
    "a run is",
    "in `HealthDetails`",
)

#: Values that the table has in the place of an ellipsis, since readers look for them.
FOR_EXAMPLE = "PatientID|modality|An instance that came in"

ERRORS = [
    text
    for line in re.findall(r"^\| (.*?) \|", README.partition("\n## Errors")[2], re.MULTILINE)
    if not any(one in line for one in NOT_OURS)
    for text in re.findall(r"`([^`]+)`", line.partition(" (")[0])
]


def test_the_table_of_errors_is_read():
    assert len(ERRORS) > 30


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_in_the_text_is_what_the_plugin_says(error):
    parts = [part.strip() for part in re.split(f"…|{FOR_EXAMPLE}", error)]
    assert not [part for part in parts if part not in SAID]


LUA = [
    "OnStoredInstance",
    "OnStablePatient",
    "OnStableStudy",
    "OnStableSeries",
    "OnDeletedPatient",
    "OnDeletedStudy",
    "OnDeletedSeries",
    "OnDeletedInstance",
    "OnUpdatedPatient",
    "OnUpdatedStudy",
    "OnUpdatedSeries",
    "OnUpdatedInstance",
    "OnJobSubmitted",
    "OnJobSuccess",
    "OnJobFailure",
    "OnHeartBeat",
    "Initialize",
    "Finalize",
    "ReceivedInstanceFilter",
    "ReceivedCStoreInstanceFilter",
    "OutgoingCStoreInstanceFilter",
    "IncomingFindRequestFilter",
    "IncomingWorklistRequestFilter",
    "OutgoingFindRequestFilter",
    "IncomingHttpRequestFilter",
    "SendToModality",
    "SendToPeer",
    "ModifyInstance",
    "ModifyResource",
    "Delete",
    "CallSystem",
    "PrintRecursive",
    "HttpGet",
    "HttpPost",
    "HttpPut",
    "HttpDelete",
    "SetHttpCredentials",
    "SetHttpTimeout",
    "RestApiGet",
    "RestApiPost",
    "RestApiPut",
    "RestApiDelete",
    "ParseJson",
    "DumpJson",
    "print",
    "GetOrthancConfiguration",
    "SetStableStatus",
    "StoreKeyValue",
    "GetKeyValue",
    "DeleteKeyValue",
]
"""Every callback and function that the sources of Orthanc 1.13.0 give to Lua scripts."""


@pytest.mark.parametrize("name", LUA)
def test_every_callback_and_function_of_lua_has_its_row(name):
    rows = [line for line in ROUTE.partition("### From Lua")[2].splitlines() if line[:3] == "| `"]
    assert [row for row in rows if f"`{name}`" in row.split("|")[1]]
