"""Requests, answers and errors, as the core writes them."""

import base64
import json
import re
import sqlite3
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError

from curator.errors import BadRequest, Conflict, CoreError, MethodNotAllowed, NotFound, Stopping
from curator.gateway import Gateway
from curator.models import Model
from curator.web import (
    LONGEST_BODY,
    NO_DATABASE,
    BadBody,
    Endpoint,
    Request,
    Response,
    allowed_methods,
    dispatch,
    forward,
    json_object,
    json_response,
    parse,
)
from unit.fake_sdk import FakeOrthancError, FakeSdk

NAME = "DOE^JANE"


class Body(Model):
    count: int
    name: str = ""


def run(
    handler: Callable[[Request], Response],
    body: bytes = b"",
    method: str = "POST",
    describe: bool = True,
    sdk: FakeSdk | None = None,
) -> Response:
    endpoint = Endpoint("/studies/{id}/split", {method: handler})
    request = Request(method, "/studies/x/split", ("x",), body=body)
    return dispatch(endpoint, request, Gateway(sdk or FakeSdk()), describe)


def raising(error: BaseException) -> Callable[[Request], Response]:
    def handler(_request: Request) -> Response:
        raise error

    return handler


def echo(request: Request) -> Response:
    return json_response(json_object(request))


def error_of(response: Response) -> dict:
    error: dict = json.loads(response.body)
    return error


# Bodies


def test_an_object_is_read():
    assert json_object(Request("POST", "/", body=b' {"A": [1, 2.5, null]} ')) == {
        "A": [1, 2.5, None]
    }


BAD_BODIES = {
    "empty": (b"", "empty"),
    "blank": (b" \r\n\t", "empty"),
    "not JSON": (b"{By: 1}", "line 1, column 2"),
    "cut off": (b'{"By": [', "line 1"),
    "more than one": (b"{} {}", "Extra data"),
    "array": (b"[]", "an array"),
    "string": (b'"text"', "a string"),
    "number": (b"5", "a number"),
    "fraction": (b"5.5", "a number"),
    "null": (b"null", "null"),
    "Boolean": (b"true", "a Boolean"),
    "NaN": (b'{"A": NaN}', "NaN is not JSON"),
    "infinity": (b'{"A": -Infinity}', "-Infinity is not JSON"),
    "too large": (b'{"A": 1e999}', "too large"),
    "too small": (b'{"A": [-1.5E+4000]}', "too large"),
    "invalid UTF-8": (b'{"A": "\xff"}', "not UTF-8"),
    "cut UTF-8": (b'{"A": "\xc3', "not UTF-8"),
    "Latin-1": ('{"A": "é"}'.encode("latin-1"), "not UTF-8"),
    "deep array": (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
    "deep object": (b'{"A":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
    "huge integer": (b'{"A": ' + b"9" * 100_000 + b"}", "too many digits"),
    "binary": (bytes(range(256)), ""),
    "zero": (b"\0", ""),
    "control character": (b'{"A": "\x01"}', "control character"),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_body_that_is_no_object_is_a_400_that_says_what_it_is(name):
    body, about = BAD_BODIES[name]
    response = run(echo, body)
    assert response.status == 400
    error = error_of(response)
    assert error["OrthancStatus"] == 15
    assert about in error["Details"]
    assert "Python" not in error["Details"]
    assert "sys." not in error["Details"]
    assert len(error["Details"]) < 200


def test_a_body_that_is_too_long_is_refused_unread():
    body = b'{"A": "' + b"x" * 100 + b'"}'
    request = Request("POST", "/", body=body)
    assert json_object(request, len(body)) == {"A": "x" * 100}
    with pytest.raises(BadBody, match=f"more than {len(body) - 1} bytes"):
        json_object(request, len(body) - 1)
    with pytest.raises(BadBody, match=f"more than {LONGEST_BODY} bytes"):
        json_object(Request("POST", "/", body=bytes(LONGEST_BODY + 1)))


def test_a_bad_body_is_not_quoted():
    assert NAME.encode() not in run(echo, f'{{"PatientName": {NAME}'.encode()).body


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_body_is_answered_with_200_or_a_described_400(body):
    response = run(echo, body)
    assert response.status in (200, 400)
    if response.status == 400:
        assert error_of(response)["Details"]


def test_a_body_that_does_not_fit_the_model_is_a_400_with_all_problems():
    def handler(request: Request) -> Response:
        return json_response(parse(Body, json_object(request)).count)

    response = run(handler, b'{"Count": "1", "Nam": "x"}')
    assert response.status == 400
    details = error_of(response)["Details"]
    assert "$.Count: " in details
    assert '$.Nam: unknown field, did you mean "Name"?' in details
    assert run(handler, b'{"Count": 3}').body == b"3\n"


# Errors


def test_the_layout_is_that_of_the_core():
    details = 'Both the "Series" and the "Instances" fields are missing'
    response = run(raising(BadRequest(details)))
    assert response.body.decode() == (
        '{\n\t"Details" : "Both the \\"Series\\" and the \\"Instances\\" fields are missing",\n'
        '\t"HttpError" : "Bad Request",\n'
        '\t"HttpStatus" : 400,\n'
        '\t"Message" : "Bad request",\n'
        '\t"Method" : "POST",\n'
        '\t"OrthancError" : "Bad request",\n'
        '\t"OrthancStatus" : 8,\n'
        '\t"Uri" : "/studies/x/split"\n}\n'
    )
    assert (response.status, response.content_type) == (400, "text/plain")


KEYS = {
    "HttpError",
    "HttpStatus",
    "Message",
    "Method",
    "OrthancError",
    "OrthancStatus",
    "Uri",
}


@pytest.mark.parametrize(
    ("error", "status", "phrase", "code", "message"),
    [
        (BadRequest("d"), 400, "Bad Request", 8, "Bad request"),
        (NotFound("d"), 404, "Not Found", 17, "Unknown resource"),
        (Conflict("d"), 409, "Conflict", 43, "Wrong revision"),
        (
            Stopping("d"),
            503,
            "Service Unavailable",
            36,
            "The database is currently not available",
        ),
        (CoreError(17, "Text of the core", "d"), 404, "Not Found", 17, "Text of the core"),
        (CoreError(41, "R", "d"), 416, "Requested Range Not Satisfiable", 41, "R"),
        (
            CoreError(4242, "From a plugin", "d"),
            500,
            "Internal Server Error",
            4242,
            "From a plugin",
        ),
        (CoreError(4242, "", "d"), 500, "Internal Server Error", 4242, "Unknown error code"),
    ],
)
def test_an_error_has_the_status_and_texts_of_the_core(error, status, phrase, code, message):
    response = run(raising(error))
    body = error_of(response)
    assert set(body) == KEYS | {"Details"}
    assert response.status == body["HttpStatus"] == status
    assert body["HttpError"] == phrase
    assert body["OrthancStatus"] == code
    assert body["Message"] == body["OrthancError"] == message
    assert (body["Method"], body["Uri"]) == ("POST", "/studies/x/split")


def test_half_a_surrogate_pair_in_an_error_is_answered():
    response = run(raising(BadRequest('"\ud800" is unknown')))
    assert response.status == 400
    assert error_of(response)["Details"] == '"?" is unknown'


def test_without_details_the_field_is_absent():
    assert set(error_of(run(raising(CoreError(17, "Unknown resource"))))) == KEYS


def test_errors_have_no_body_where_orthanc_is_told_so():
    response = run(raising(BadRequest("d")), describe=False)
    assert (response.status, response.body) == (400, b"")


def test_a_method_that_is_not_allowed_has_no_body():
    response = run(raising(MethodNotAllowed("GET")))
    assert (response.status, response.body) == (405, b"")


@pytest.mark.parametrize(
    "error",
    [ValueError(NAME), KeyError(NAME), RecursionError(NAME), MemoryError(), OSError(NAME)],
)
def test_an_unexpected_error_is_a_500_that_leaks_nothing(error, caplog):
    response = run(raising(error))
    body = error_of(response)
    assert set(body) == KEYS | {"Details"}
    assert (response.status, body["OrthancStatus"], body["Message"]) == (500, -1, "Internal error")
    assert NAME.encode() not in response.body
    assert NAME not in caplog.text
    assert type(error).__name__ in caplog.text
    assert "/studies/{id}/split" in caplog.text


def test_a_database_that_cannot_be_used_is_a_503_that_leaks_nothing(caplog):
    response = run(raising(OperationalError(NAME, {"name": NAME}, sqlite3.Error(NAME))))
    body = error_of(response)
    assert (response.status, body["OrthancStatus"], body["Details"]) == (503, 36, NO_DATABASE)
    assert NAME.encode() not in response.body
    assert NAME not in caplog.text
    assert "OperationalError" in caplog.text


def test_an_error_of_the_sdk_becomes_the_cores_error():
    sdk = FakeSdk(core={("GET", "/system"): FakeOrthancError(36, "Down")})
    response = run(lambda _request: json_response(Gateway(sdk).system()), sdk=sdk)
    assert response.status == 503
    assert error_of(response)["Message"] == "Down"


# Requests


@pytest.mark.parametrize(
    ("header", "user"),
    [
        ("Basic " + base64.b64encode(b"alice:secret").decode(), "alice"),
        ("basic " + base64.b64encode(b"alice:a:b").decode(), "alice"),
        ("Basic " + base64.b64encode("müller:x".encode()).decode(), "müller"),
        ("Basic " + base64.b64encode(b"\xff\xfe:x").decode(), ""),
        ("Basic ???", ""),
        ("Basic é", ""),
        ("Basic", ""),
        ("Bearer abc", ""),
        ("", ""),
    ],
)
def test_the_user_is_read_from_basic_authentication(header, user):
    assert Request("GET", "/", headers={"authorization": header}).user == user


def test_the_name_of_a_user_cannot_break_a_line_of_the_log():
    name = "eve\nINFO all is well\x1b[2J\x00\u2028" + "x" * 1000
    header = "Basic " + base64.b64encode(f"{name}:x".encode()).decode()
    user = Request("GET", "/", headers={"authorization": header}).user
    assert user.startswith("eve?INFO all is well?[2J??x")
    assert len(user) == 256


def test_without_authentication_there_is_no_user():
    assert Request("GET", "/").user == ""


@given(st.text())
def test_no_header_breaks_a_request(header):
    assert isinstance(Request("GET", "/", headers={"authorization": f"Basic {header}"}).user, str)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, False),
        ({"expand": ""}, True),
        ({"expand": "1"}, True),
        ({"expand": "true"}, True),
        ({"expand": "0"}, False),
        ({"expand": "false"}, False),
        ({"expand": "False"}, False),
    ],
)
def test_a_flag_is_read_as_the_core_reads_it(query, expected):
    assert Request("GET", "/", query=query).flag("expand") is expected


# Endpoints


def nothing(_request: Request) -> Response:
    return Response()


@pytest.mark.parametrize(
    ("methods", "expected"),
    [
        (["GET"], "GET"),
        (["PUT", "DELETE", "POST", "GET"], "GET,POST,DELETE,PUT"),
        (["DELETE", "GET"], "GET,DELETE"),
        ([], ""),
    ],
)
def test_allowed_methods_come_in_the_order_of_the_core(methods, expected):
    assert allowed_methods(Endpoint("/x", dict.fromkeys(methods, nothing))) == expected


@pytest.mark.parametrize(
    ("pattern", "uri", "groups"),
    [
        ("/curator", "/curator", ()),
        ("/studies/{id}/split", "/studies/a-b/split", ("a-b",)),
        ("/jobs/{id}/{key}", "/jobs/1/cancel", ("1", "cancel")),
        ("/studies/{id}/split", "/studies/a/b/split", None),
        ("/studies/{id}/split", "/studies//split", None),
        ("/curator", "/curator/", None),
    ],
)
def test_a_pattern_takes_whole_components(pattern, uri, groups):
    match = re.fullmatch(Endpoint(pattern, {}).regex, uri)
    assert (match and match.groups()) == groups


# Answers


def test_json_has_the_layout_of_the_core():
    response = json_response({"b": [1, "é"], "a": {}})
    assert response.body.decode() == '{\n   "a" : {},\n   "b" : [\n      1,\n      "é"\n   ]\n}\n'
    assert response.status == 200
    assert response.content_type.startswith("application/json")


@pytest.mark.parametrize(
    ("method", "called"),
    [
        ("GET", ("GET", "/studies/a%20b/x?expand=&q=1%262", b"")),
        ("POST", ("POST", "/studies/a%20b/x", b"\x00body")),
        ("PUT", ("PUT", "/studies/a%20b/x", b"\x00body")),
    ],
)
def test_a_request_is_handed_on_as_it_is(method, called):
    sdk = FakeSdk(core={called[:2]: b"\xffanswer"})
    query = {"expand": "", "q": "1&2"} if method == "GET" else {}
    request = Request(method, "/studies/a b/x", query=query, body=b"\x00body")
    assert forward(Gateway(sdk), request).body == b"\xffanswer"
    assert sdk.calls == [called]


def test_a_deletion_is_handed_on_and_answers_nothing():
    sdk = FakeSdk(core={("DELETE", "/jobs/1"): b""})
    assert forward(Gateway(sdk), Request("DELETE", "/jobs/1")).body == b""


def test_an_error_of_the_core_comes_through_the_gateway():
    with pytest.raises(CoreError) as raised:
        forward(Gateway(FakeSdk()), Request("GET", "/nothing"))
    assert raised.value.status == 404
