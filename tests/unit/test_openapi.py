"""The OpenAPI document says everything that the endpoints and models do."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from curator import openapi
from curator.description import Method, json_of
from curator.models import Model
from curator.openapi_rest import DocumentApi
from curator.web import Endpoint, Request, Response
from endpoints import registered

ENDPOINTS = {endpoint.pattern: endpoint for endpoint in registered()}
DOCUMENT = openapi.document(list(ENDPOINTS.values()), "1.2.3")
SCHEMAS = DOCUMENT["components"]["schemas"]
METHODS = [(pattern, method) for pattern, one in ENDPOINTS.items() for method in one.handlers]


class Body(Model):
    count: int


def answer(_request: Request) -> Response:
    return Response()


def document_of(**described: Any) -> dict[str, Any]:
    """Return the document of one endpoint."""
    method = Method(answer, "Do it", json_of(dict[str, int]), **described)
    endpoint = Endpoint("/x/{name}/y.z", {"POST": method, "GET": answer}, {"name": str})
    return openapi.document([endpoint], "1")


def models(parent: type[Model] = Model) -> Iterator[type[Model]]:
    """Yield all models that there are."""
    for model in parent.__subclasses__():
        yield model
        yield from models(model)


@pytest.mark.parametrize(("pattern", "method"), METHODS)
def test_every_method_of_every_endpoint_is_described(pattern, method):
    described = DOCUMENT["paths"][pattern][method.lower()]
    assert described["summary"]
    assert described["responses"]["200"]["content"]


def test_the_document_has_no_other_methods():
    kept = {
        (path, method.upper())
        for path, item in DOCUMENT["paths"].items()
        for method in item.keys() - {"parameters"}
    }
    assert kept == set(METHODS)


def test_names_of_operations_are_unique():
    names = [
        item[method.lower()]["operationId"]
        for pattern, method in METHODS
        for item in [DOCUMENT["paths"][pattern]]
    ]
    assert len(names) == len(set(names))


def test_no_title_gives_one_name_to_two_schemas():
    """Generators of clients name classes by titles, and leave out what two of them would name."""
    assert [name for name, schema in SCHEMAS.items() if "title" in schema] == []


@pytest.mark.parametrize("pattern", [one for one in ENDPOINTS if "{" in one])
def test_every_part_of_a_path_has_its_type(pattern):
    described = DOCUMENT["paths"][pattern]["parameters"]
    assert [one["name"] for one in described] == re.findall(r"{(\w+)}", pattern)
    assert all(one["schema"]["type"] in ("string", "integer") for one in described)


def schema_of(model: type[Model]) -> dict[str, Any]:
    """Return the schema of a model in the document, empty where it is in no body and answer."""
    long = f"{model.__module__}.{model.__name__}".replace(".", "__")  # where two have its name
    found: dict[str, Any] = SCHEMAS.get(model.__name__) or SCHEMAS.get(long) or {}
    return found if found.get("type") == "object" else {}


DESCRIBED = [model for model in models() if schema_of(model)]


@pytest.mark.parametrize("model", DESCRIBED, ids=lambda one: f"{one.__module__}.{one.__name__}")
def test_every_field_of_a_model_is_in_its_schema(model):
    assert schema_of(model)["properties"].keys() == model.field_names()


def test_the_models_of_all_features_are_described():
    modules = {model.__module__ for model in DESCRIBED}
    assert {
        "curator.anonymize.profile",
        "curator.anonymize.request",
        "curator.reshape.find_duplicates",
        "curator.reshape.merge_request",
        "curator.reshape.request",
        "curator.route.receive_rule",
        "curator.route.replay",
        "curator.route.rule",
        "curator.route.step",
    } <= modules


def test_fields_are_described_as_they_are_validated():
    rule = next(one for name, one in SCHEMAS.items() if name.endswith("rule__Rule"))
    assert rule["additionalProperties"] is False
    assert rule["required"] == ["Name", "When", "Then"]
    assert rule["properties"]["Priority"]["minimum"] == -1000
    by = SCHEMAS["SplitRequest"]["properties"]["By"]["anyOf"][0]["items"]["anyOf"]
    assert {"type": "string"} in by  # the name of a ready set or element, beside an object
    named = SCHEMAS["RuleNamedByUri"]["required"]
    assert named == ["When", "Then"]


def test_what_docstrings_say_of_fields_stands_with_the_fields():
    trial = SCHEMAS["TrialRequest"]
    assert trial["description"].endswith("where it is not a DICOM file.")
    assert trial["properties"]["Dicom"]["description"] == "A DICOM file in Base64."
    source = SCHEMAS["SourceCondition"]["properties"]
    assert source["RemoteAet"]["description"] == source["CalledAet"]["description"]
    assert "title" not in source["RemoteAet"]


def test_every_reference_leads_somewhere():
    found = set(re.findall(r'"\$ref": "([^"]*)"', json.dumps(DOCUMENT)))
    assert found == {f"#/components/schemas/{name}" for name in SCHEMAS} & found
    assert len(found) > 100


def test_the_server_is_found_from_the_address_of_the_document():
    assert DOCUMENT["servers"][0]["url"] == ".."
    assert DOCUMENT["info"]["version"] == "1.2.3"


def test_a_method_that_says_nothing_is_left_out():
    assert document_of()["paths"]["/x/{name}/y.z"].keys() == {"parameters", "post"}


def test_errors_follow_from_what_is_read():
    def statuses(**described: Any) -> list[str]:
        post = document_of(**described)["paths"]["/x/{name}/y.z"]["post"]
        return list(post["responses"])

    assert statuses() == ["200", "404"]
    assert statuses(body=json_of(Body)) == ["200", "400", "404"]
    assert statuses(errors=(409,)) == ["200", "404", "409"]
    assert statuses(forwards="All of it.") == ["200", "404", "default"]


def test_an_error_without_body_has_no_content():
    responses = document_of(errors=(400,), silent=(400,))["paths"]["/x/{name}/y.z"]["post"][
        "responses"
    ]
    assert "content" not in responses["400"]
    assert "text/plain" in responses["404"]["content"]


def test_a_file_has_no_schema():
    body = document_of(body={"application/dicom": bytes})["paths"]["/x/{name}/y.z"]["post"]
    assert body["requestBody"]["content"] == {"application/dicom": {}}


def test_a_dot_in_a_path_is_no_wildcard():
    assert re.fullmatch(Endpoint("/a.json", {}).regex, "/a.json")
    assert not re.fullmatch(Endpoint("/a.json", {}).regex, "/abjson")


def test_the_document_is_answered_with_itself_in_it():
    (endpoint,) = DocumentApi([]).endpoints()
    response = endpoint.handlers["GET"](Request("GET", endpoint.pattern))
    assert list(json.loads(response.body)["paths"]) == ["/curator/openapi.json"]
