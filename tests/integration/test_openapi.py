"""The OpenAPI document is what the running server does: asked for all that it allows, and more.

``HYPOTHESIS_PROFILE=thorough`` asks twenty times as often.
"""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jsonschema_rs
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.specs.openapi.definitions import OPENAPI_31

from curator import __version__, openapi
from endpoints import registered
from factory import mr_series
from integration.anonymizing import check_log
from integration.servers import OrthancServer, engine_name, external_url, free_port
from integration.waiting import wait_for_job, wait_until

DOCUMENT = openapi.document(registered(), __version__)

#: Requests for each method; making wrong ones takes longer.
EXAMPLES = {
    GenerationMode.POSITIVE: settings().max_examples // 25,
    GenerationMode.NEGATIVE: settings().max_examples // 33,
}

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]

KEYS_OF_OPERATIONS = {"get", "put", "post", "delete"}

LABELS = sorted(
    (
        f"{method.upper()} {path}"
        for path, item in DOCUMENT["paths"].items()
        for method in item.keys() & KEYS_OF_OPERATIONS
    ),
    key=lambda label: (label.startswith("DELETE"), label),
)
"""What is deleted is deleted last."""


def closed(value: Any) -> Any:
    """Return schemas that allow no field beside those that they name, if they say nothing of it.

    The document leaves answers open, since later releases may have more to say.
    """
    if isinstance(value, list):
        return [closed(one) for one in value]
    if not isinstance(value, dict):
        return value
    found = {key: closed(one) for key, one in value.items()}
    if isinstance(found.get("properties"), dict) and found.get("type") == "object":
        found.setdefault("additionalProperties", False)
    return found


STRICT = closed(copy.deepcopy(DOCUMENT))
API = schemathesis.openapi.from_dict(STRICT)


def operation_of(label: str) -> Any:
    """Return what schemathesis knows of a method."""
    method, path = label.split(" ")
    return API[path][method]


def described(label: str) -> dict[str, Any]:
    """Return what the document says of a method."""
    method, path = label.split(" ")
    found: dict[str, Any] = DOCUMENT["paths"][path][method.lower()]
    return found


def goes_to_core(label: str) -> bool:
    """Tell whether some requests are forwarded, whose answers are the core's."""
    return "default" in described(label)["responses"]


# The document


def test_the_document_is_openapi():
    jsonschema_rs.Draft202012Validator(OPENAPI_31).validate(DOCUMENT)


def test_every_schema_of_the_document_is_one():
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema_rs.meta.validate(
            {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
        )


# The server

SIDES: dict[str, dict[str, Any]] = {
    "": {},
    "more_": {"series": "more", "SeriesNumber": 9},
    "other_": {"study": "other", "PatientID": "OTHER"},
}
"""Elements of what is stored, by the prefixes of its names."""

SPLIT = {"By": ["EchoTime"], "KeepSource": True, "Follow": False}

PROFILE = {"Mapping": True, "Rules": [{"Tag": "PatientID", "Action": "Pseudonym"}]}

RULE = {
    "When": "Manual",
    "If": {"Tag": "Modality", "Equals": "MR"},
    "Then": [{"Send": "modality:GONE"}],
    "Tests": [{"Name": "mr", "Tags": {"Modality": "MR"}}],
}


@dataclass(frozen=True)
class Target:
    """A server of its own, as what is asked here changes rules and profiles."""

    server: OrthancServer
    names: dict[str, str]

    def filled(self, text: str) -> str:
        """Return a text with the names of the fixture in it."""
        for name, value in self.names.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def send(self, method: str, path: str, body: Any = None, **options: Any) -> requests.Response:
        """Ask by the names of the fixture."""
        filled = None if body is None else json.loads(self.filled(json.dumps(body)))
        return self.server.http.request(method, path, json=filled, **options)

    def fill(self) -> None:
        """Store what the requests are about, where it is not there any more."""
        http, names = self.server.http, self.names
        for prefix, elements in SIDES.items():
            for instance in mr_series(2, echo_times=(10.0, 80.0), **elements):
                stored = self.server.upload(instance)
            names[f"{prefix}instance"] = stored["ID"]
            for level in ("Patient", "Study", "Series"):
                names[f"{prefix}{level.lower()}"] = stored[f"Parent{level}"]
        names["operation"] = self._done("POST", f"/series/{names['series']}/split", SPLIT)[
            "Operation"
        ]
        self._done("PUT", "/curator/profiles/own", PROFILE)
        self._done("PUT", "/curator/rules/own", RULE)
        (fired,) = self._done("POST", "/curator/rules/own/run", {"Resources": ["{study}"]})
        names["run"] = fired["Runs"][0]
        (delivery,) = wait_until(
            "a delivery",
            lambda: http.json(f"/curator/runs/{names['run']}")["Deliveries"],
            lambda found: len(found) == 1,
        )
        names["delivery"] = delivery["ID"]
        names["job"] = self._done("POST", "/tools/find-duplicates", {"Asynchronous": True})["ID"]
        wait_for_job(http, names["job"], ("Success",))

    def _done(self, method: str, path: str, body: Any) -> Any:
        answer = self.send(method, path, body)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def target(release: str) -> Iterator[Target]:
    """A server with a study, and with a finished job, a run, a delivery, a profile, a rule."""
    if external_url():
        pytest.skip("starts a server of its own; CURATOR_TEST_URL names one that already runs")
    dead = {"Host": "127.0.0.1", "Port": free_port()}
    options = {
        "DicomModalities": {name: {"AET": name, **dead} for name in ("GONE", "OTHER")},
        "Curator": {"AllowMappingExport": True},
    }
    with OrthancServer(release, options, engine=engine_name()) as server:
        target = Target(server, {"profile": "own", "rule": "own", "destination": "modality:GONE"})
        target.fill()
        yield target
        assert server.is_alive()
        assert "Traceback" not in server.log
        assert "Unexpected error" not in server.log
        check_log(server)


def test_the_server_answers_this_document(target):
    answer = target.send("GET", "/curator/openapi.json")
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json() == json.loads(json.dumps(DOCUMENT))


def known(label: str, names: dict[str, str]) -> dict[str, str]:
    """Return the parameters of a path by which there is something."""
    path = label.split(" ")[1]
    first = path.split("/")[1]
    if "{number}" in path:
        return {"number": "1"}
    if "{name}" in path:
        return {"name": names[path.split("/")[2].removesuffix("s")]}
    if "{id}" in path:
        word = path.split("/")[2] if first == "curator" else first
        singular = {"studies": "study", "series": "series", "deliveries": "delivery"}
        return {"id": names[singular.get(word, word.removesuffix("s"))]}
    return {}


def check(target: Target, case: Any, checks: list[Any]) -> None:
    """Send what schemathesis has made, and see that the answer is as described."""
    if isinstance(case.body, dict) and goes_to_core(case.operation.label):
        case.body.setdefault("DryRun", True)  # else it is the core's, which answers some with 500
    response = case.call(base_url=target.server.http.url, session=target.server.http.session)
    case.validate_response(response, checks=checks)
    if response.status_code >= 400 and response.content:
        assert response.headers["content-type"] == ["text/plain"]
        assert ERROR.is_valid(json.loads(response.content))


ERROR = jsonschema_rs.Draft202012Validator(
    {"$ref": "#/components/schemas/ErrorBody", "components": STRICT["components"]}
)


def requests_of(label: str, mode: GenerationMode, target: Target) -> Any:
    """Return a strategy of requests: wrong ones, and half of the others, for what there is."""
    operation = operation_of(label)
    there = known(label, target.names)
    if not there:
        return operation.as_strategy(generation_mode=mode)
    made = operation.as_strategy(generation_mode=mode, path_parameters=there)
    return made if mode == GenerationMode.NEGATIVE else made | operation.as_strategy()


def ask(label: str, mode: GenerationMode, target: Target) -> None:
    """Send requests of a kind."""
    checks = [*CHECKS, *([negative_data_rejection] if mode == GenerationMode.NEGATIVE else [])]

    @settings(
        max_examples=EXAMPLES[mode],
        derandomize=True,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=requests_of(label, mode, target))
    def each(case: Any) -> None:
        check(target, case, checks)

    each()


@pytest.mark.parametrize("label", LABELS)
def test_what_the_document_allows_is_answered_as_described(target, label):
    ask(label, GenerationMode.POSITIVE, target)


@pytest.mark.parametrize("label", [one for one in LABELS if "requestBody" in described(one)])
def test_what_the_document_does_not_allow_is_refused_as_described(target, label):
    ask(label, GenerationMode.NEGATIVE, target)


# Every method once with success

ALONE = {"Profile": "own", "Resources": ["{other_study}"]}

#: In this order: what comes later builds on what was done before.
GOOD: list[tuple[str, Any]] = [
    ("GET /curator", None),
    ("GET /curator/openapi.json", None),
    ("GET /curator/schemas/profile", None),
    ("GET /curator/schemas/rules", None),
    ("GET /jobs", None),
    ("GET /jobs?expand", None),
    ("GET /jobs/{id}", None),
    *((f"POST /jobs/{{id}}/{action}", {}) for action in ("cancel", "pause")),
    ("GET /curator/operations", None),
    ("GET /curator/operations?expand", None),
    ("GET /curator/operations/{id}", None),
    ("GET /curator/operations/{id}/instances", None),
    ("GET /curator/operations/{id}/instances?format=csv", None),
    ("POST /curator/operations/{id}/undo", {"DryRun": True}),
    ("POST /curator/operations/{id}/undo", None),
    ("POST /studies/{id}/split", {**SPLIT, "DryRun": True}),
    ("POST /studies/{id}/split", SPLIT),
    ("POST /studies/{id}/split", {**SPLIT, "Asynchronous": True}),
    ("POST /studies/{id}/split", {"Series": ["{series}"], "KeepSource": True}),
    ("POST /series/{id}/split", {**SPLIT, "DryRun": True}),
    ("POST /patients/{id}/split", {"DryRun": True}),
    (
        "POST /studies/{id}/merge",
        {"Resources": ["{other_study}"], "OnConflict": "Target", "DryRun": True},
    ),
    ("POST /studies/{id}/merge", {"Resources": ["{other_study}"], "DryRun": True}),
    (
        "POST /series/{id}/merge",
        {"Resources": ["{more_series}"], "Duplicates": "KeepFirst", "DryRun": True},
    ),
    ("POST /patients/{id}/merge", {"Resources": ["{other_patient}"], "DryRun": True}),
    *(("POST /tools/find-duplicates", {"By": [by]}) for by in ("SOPInstanceUID", "Pixels")),
    ("POST /tools/find-duplicates", {"Asynchronous": True}),
    *(
        (f"POST /{level}/{{id}}/anonymize", body)
        for level in ("patients", "studies", "series")
        for body in (
            {"Profile": "own", "DryRun": True},
            {"Profile": "own", "Report": True, "Map": True},
            {"Profile": "own", "Asynchronous": True},
            {"KeepSource": True},
        )
    ),
    ("POST /instances/{id}/anonymize", {"Profile": "own"}),
    ("POST /instances/{id}/anonymize", {"Profile": "own", "DryRun": True}),
    ("POST /tools/bulk-anonymize", ALONE),
    ("POST /tools/bulk-anonymize", {**ALONE, "DryRun": True}),
    ("GET /curator/profiles", None),
    ("GET /curator/profiles?expand", None),
    ("GET /curator/profiles/{name}", None),
    ("GET /curator/profiles/{name}?version=1", None),
    *(
        (f"GET /curator/profiles/{{name}}/{view}", None)
        for view in ("versions", "table", "conformance", "mapping")
    ),
    ("PUT /curator/profiles/{name}", {"Version": "2"}),
    ("GET /curator/rules", None),
    ("GET /curator/rules/{name}", None),
    ("PUT /curator/rules", {"Rules": [{"Name": "own", **RULE}], "Receive": []}),
    ("PUT /curator/rules/{name}", RULE),
    ("GET /curator/rules/history", None),
    ("GET /curator/rules/history?since=0&limit=1", None),
    ("GET /curator/rules/history/{number}", None),
    ("POST /curator/rules/rollback", {"To": 1}),
    *(
        (f"POST /curator/rules/{{name}}/{action}", {})
        for action in ("disable", "enable", "pause", "resume")
    ),
    ("POST /curator/rules/test", {"Resource": "{study}"}),
    ("POST /curator/rules/replay", {"Rules": ["own"], "DryRun": True}),
    ("POST /curator/rules/replay", {"Rules": ["own"]}),
    ("POST /curator/rules/replay", {"Rules": ["own"], "Asynchronous": True}),
    ("POST /curator/rules/{name}/run", {"Resources": ["{study}", "{other_study}"]}),
    ("GET /curator/runs", None),
    ("GET /curator/runs?state=Sending,Failed&rule=own&limit=5", None),
    ("GET /curator/runs/{id}", None),
    ("GET /curator/deliveries", None),
    ("GET /curator/deliveries?state=Queued,Parked&resource={study}", None),
    ("GET /curator/deliveries/{id}", None),
    ("POST /curator/deliveries/{id}/retry", {}),
    ("POST /curator/deliveries/{id}/redirect", {"To": "modality:OTHER"}),
    ("POST /curator/deliveries/retry", {"Rule": "own"}),
    ("POST /curator/deliveries/redirect", {"Rule": "own", "To": "modality:OTHER"}),
    ("POST /curator/deliveries/{id}/cancel", {}),
    ("POST /curator/deliveries/cancel", {"All": True}),
    ("POST /curator/runs/retry", {"Rule": "own"}),
    ("POST /curator/runs/release", {"All": True}),
    ("POST /curator/runs/cancel", {"All": True}),
    ("POST /curator/runs/{id}/retry", {}),
    ("POST /curator/runs/{id}/cancel", {}),
    ("GET /curator/destinations", None),
    ("GET /curator/destinations/{name}", None),
    *(
        (f"POST /curator/destinations/{{name}}/{action}", {})
        for action in ("test", "pause", "resume")
    ),
    ("DELETE /jobs/{id}", None),
    ("DELETE /curator/rules/{name}", None),
    ("DELETE /curator/profiles/{name}", None),
]

#: Needs a failed or paused job, a job with output, an encrypted instance: other tests have them.
NOT_HERE = {
    *(label for label in LABELS if label.startswith(("GET /jobs/{id}/", "DELETE /jobs/{id}/"))),
    "POST /jobs/{id}/resume",
    "POST /jobs/{id}/resubmit",
    "POST /curator/runs/{id}/release",
    "POST /instances/{id}/reidentify",
}


@pytest.mark.parametrize(("label", "body"), [(one, body) for one, body in GOOD if body])
def test_every_example_is_one_that_the_document_allows(label, body):
    schema = described(label)["requestBody"]["content"]["application/json"]["schema"]
    jsonschema_rs.Draft202012Validator(schema | {"components": DOCUMENT["components"]}).validate(
        body
    )


def test_every_method_has_an_example_that_succeeds():
    assert {label.partition("?")[0] for label, _ in GOOD} | NOT_HERE == set(LABELS)
    assert not {label for label, _ in GOOD} & NOT_HERE


def test_every_method_answers_success_as_described(target):
    target.fill()
    for text, body in GOOD:
        label, _, query = text.partition("?")
        method, path = label.split(" ")
        address = path.format_map(known(label, target.names))
        ask = partial(target.send, method, address, body, params=target.filled(query))
        ends = label == "POST /curator/runs/{id}/retry"  # just canceled, which takes a moment
        response = wait_until(text, ask, lambda answer: not ends or answer.status_code != 409)  # noqa: B023
        assert response.status_code == 200, (text, body, response.text)
        operation_of(label).validate_response(response)
        if body and body.get("Asynchronous"):
            wait_for_job(target.server.http, response.json()["ID"])  # what comes next is refused
        if label == "POST /curator/deliveries/{id}/redirect":
            target.names["delivery"] = response.json()["ID"]  # the one that has taken its place
