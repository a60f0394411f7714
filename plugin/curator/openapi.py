"""The OpenAPI document (3.1), made from what the endpoints say of themselves."""

import re
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any, NotRequired

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode
from typing_extensions import TypedDict

from curator.description import JSON_TYPE, TEXT_TYPE, Content, Method
from curator.json_schema import JsonSchema
from curator.web import Endpoint

_REFERENCE = "#/components/schemas/{model}"

#: Schemas of bodies and answers are those of what is read, not of what a model would write.
_MODE: JsonSchemaMode = "validation"

_ABOUT = (
    "Curator is a plugin of Orthanc. These are its own resources, and those of Orthanc that it"
    " extends; everything else is Orthanc's. Passwords and permissions are Orthanc's too: it"
    " answers 401 and 403 by them before Curator is asked. Errors are JSON although their type is"
    " text/plain, as Orthanc's are; they have no body where HttpDescribeErrors is false."
    " Every method answers 503 where Curator's database cannot be read or written."
)


class ErrorBody(TypedDict):
    """The body of an error, as the core writes it."""

    HttpError: str
    HttpStatus: int
    Message: str
    Method: str
    OrthancError: str
    OrthancStatus: int
    Uri: str
    Details: NotRequired[str]
    Conflicts: NotRequired[list[dict[str, Any]]]


def document(endpoints: Sequence[Endpoint], version: str) -> dict[str, Any]:
    """Return the OpenAPI document of endpoints.

    A method that does not describe itself is left out.
    """
    schemas = _Schemas(endpoints)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        for method, described in _methods(endpoint):
            path = paths.setdefault(endpoint.pattern, schemas.path(endpoint))
            path[method.lower()] = schemas.operation(endpoint, method, described)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Curator", "version": version, "description": _ABOUT},
        "servers": [{"url": "..", "description": "Where Orthanc is, also behind a proxy"}],
        "paths": paths,
        "components": {
            "schemas": schemas.definitions,
            "securitySchemes": {"basic": {"type": "http", "scheme": "basic"}},
        },
        "security": [{}, {"basic": []}],
    }


def _methods(endpoint: Endpoint) -> Iterator[tuple[str, Method]]:
    for method, handler in endpoint.handlers.items():
        if isinstance(handler, Method):
            yield method, handler


def _shapes(endpoint: Endpoint) -> Iterator[Any]:
    """Yield every shape that an endpoint mentions."""
    yield from endpoint.parameters.values()
    for _, method in _methods(endpoint):
        yield from method.answer.values()
        yield from method.body.values()
        yield from (parameter.type for parameter in method.query)


class _Schemas:
    """The schemas of all shapes, with what they share in one place."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        shapes = [ErrorBody, *(shape for one in endpoints for shape in _shapes(one))]
        # by their places, as not every shape can be the key of a dictionary
        self._shapes = [shape for index, shape in enumerate(shapes) if shape not in shapes[:index]]
        found, shared = TypeAdapter.json_schemas(
            [(index, _MODE, TypeAdapter(shape)) for index, shape in enumerate(self._shapes)],
            ref_template=_REFERENCE,
            schema_generator=JsonSchema,
        )
        self._found = found
        # the name is enough; a title would give one name to two models of two modules
        self.definitions: dict[str, Any] = {
            name: {key: value for key, value in schema.items() if key != "title"}
            for name, schema in shared["$defs"].items()
        }

    def path(self, endpoint: Endpoint) -> dict[str, Any]:
        """Return what the methods of a path have in common."""
        names = re.findall(r"\{(\w+)\}", endpoint.pattern)
        if not names:
            return {}
        parameters = [
            {
                "name": name,
                "in": "path",
                "required": True,
                "schema": self._schema(endpoint.parameters[name]),
            }
            for name in names
        ]
        return {"parameters": parameters}

    def operation(self, endpoint: Endpoint, method: str, described: Method) -> dict[str, Any]:
        """Return what is said of one method."""
        words = [word for word in re.split(r"[/{}.-]", endpoint.pattern) if word]
        own = words[1:] if words[0] == "curator" else words
        operation: dict[str, Any] = {
            "operationId": "_".join([method.lower(), *words]),
            "tags": [own[0] if own else "curator"],
            "summary": described.summary,
            "responses": self._responses(endpoint, described),
        }
        if described.forwards:
            operation["description"] = described.forwards
        if described.query:
            operation["parameters"] = [
                {
                    "name": parameter.name,
                    "in": "query",
                    "description": parameter.description,
                    "schema": (schema := self._schema(parameter.type)),
                    **({"style": "form", "explode": False} if "items" in schema else {}),
                }
                for parameter in described.query
            ]
        if described.body:
            operation["requestBody"] = {
                "required": described.body_required,
                "content": self._content(described.body),
            }
        return operation

    def _responses(self, endpoint: Endpoint, described: Method) -> dict[str, Any]:
        responses: dict[str, Any] = {
            "200": {"description": "Done", "content": self._content(described.answer)}
        }
        statuses = {*described.errors}
        if described.body or described.query:
            statuses.add(400)
        if "{" in endpoint.pattern:
            statuses.add(404)
        for status in sorted(statuses):
            responses[str(status)] = {"description": HTTPStatus(status).phrase}
            if status not in described.silent:
                responses[str(status)]["content"] = self._error()
        if described.forwards:
            responses["default"] = {"description": "What Orthanc refuses", "content": self._error()}
        return responses

    def _error(self) -> dict[str, Any]:
        text = {"type": "string", "contentMediaType": JSON_TYPE}
        return {TEXT_TYPE: {"schema": text | {"contentSchema": self._schema(ErrorBody)}}}

    def _content(self, content: Content) -> dict[str, Any]:
        return {media_type: self._media(shape) for media_type, shape in content.items()}

    def _media(self, shape: Any) -> dict[str, Any]:
        # a file has no schema (OpenAPI 3.1, "Considerations for File Uploads")
        return {} if shape is bytes else {"schema": self._schema(shape)}

    def _schema(self, shape: Any) -> dict[str, Any]:
        return self._found[self._shapes.index(shape), _MODE]
