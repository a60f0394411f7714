"""A plugin that shows the SDK of its Orthanc to the tests, in place of Curator."""

import json
from collections.abc import Callable
from typing import Any

import orthanc  # noqa: TID251 -- here the SDK itself is what is tested


def names(output: orthanc.RestOutput, uri: str, **request: Any) -> None:
    """Answer the members of the SDK, with their own, and the numbers among them."""
    found = {name: _members(getattr(orthanc, name)) for name in dir(orthanc)}
    output.AnswerBuffer(json.dumps(found).encode(), "application/json")


def call(output: orthanc.RestOutput, uri: str, **request: Any) -> None:
    """Make a call to the core by the SDK, and answer what it raises."""
    asked = json.loads(request["body"])
    functions: dict[str, Callable[..., object]] = {
        "GET": orthanc.RestApiGet,
        "POST": orthanc.RestApiPost,
        "PUT": orthanc.RestApiPut,
        "DELETE": orthanc.RestApiDelete,
    }
    arguments = [asked["Uri"]]
    if asked["Method"] in ("POST", "PUT"):
        arguments.append(asked["Body"].encode())
    try:
        functions[asked["Method"]](*arguments)
    except orthanc.OrthancException as error:
        answer = list(error.args)
    else:
        answer = [orthanc.ErrorCode.SUCCESS, ""]
    output.AnswerBuffer(json.dumps(answer).encode(), "application/json")


def _members(value: object) -> dict[str, int | None]:
    members = {name: getattr(value, name) for name in dir(value) if not name.startswith("_")}
    return {
        name: int(member) if isinstance(member, int) else None for name, member in members.items()
    }


orthanc.RegisterRestCallback("/probe/names", names)
orthanc.RegisterRestCallback("/probe/call", call)
