"""The tree of errors, and the table of the core's codes."""

import pytest

from curator import errors
from curator.errors import (
    HTTP_STATUSES,
    BadRequest,
    Canceled,
    Conflict,
    CoreError,
    CuratorError,
    ErrorCode,
    MethodNotAllowed,
    NotFound,
    Stopping,
    UnreadableInstance,
    trace,
)


def descendants(kind: type[CuratorError]) -> set[type[CuratorError]]:
    return {kind}.union(*map(descendants, kind.__subclasses__()))


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (CuratorError(), 500, -1),
        (BadRequest(), 400, 8),
        (NotFound(), 404, 17),
        (MethodNotAllowed("GET"), 405, 8),
        (Conflict(), 409, 43),
        (UnreadableInstance(), 400, 15),
        (Canceled(), 500, 37),
        (Stopping(), 503, 36),
        (CoreError(17, "Unknown resource"), 404, 17),
        (CoreError(8, "Bad request"), 400, 8),
        (CoreError(9, "Network protocol"), 500, 9),
        (CoreError(987654, "From a plugin"), 500, 987654),
    ],
)
def test_every_error_has_a_status_and_a_code_of_the_core(error, status, code):
    assert (error.status, error.error_code) == (status, code)


def test_every_error_has_a_code_that_the_core_has():
    assert all(kind.code in list(ErrorCode) for kind in descendants(CuratorError))


def test_the_tree_is_drawn_in_the_docstring():
    drawn = errors.__doc__ or ""
    own = {kind for kind in descendants(CuratorError) if kind.__module__ == errors.__name__}
    assert [kind.__name__ for kind in own if kind.__name__ not in drawn] == []


def test_the_table_knows_its_codes_and_no_success_but_one():
    assert all(code in list(ErrorCode) for code in HTTP_STATUSES)
    assert [code for code, status in HTTP_STATUSES.items() if status < 400] == [ErrorCode.SUCCESS]


@pytest.mark.parametrize("kind", sorted(descendants(CuratorError), key=str))
def test_a_status_that_differs_from_the_cores_is_meant(kind):
    meant = {"MethodNotAllowed": 405}
    expected = meant.get(kind.__name__, HTTP_STATUSES.get(kind.code, 500))
    assert kind.http_status == expected


def test_details_are_kept_and_shown():
    assert BadRequest("what is wrong").details == "what is wrong"
    assert str(BadRequest("what is wrong")) == "what is wrong"


def test_an_error_of_the_core_without_details_shows_its_text():
    error = CoreError(17, "Unknown resource")
    assert (str(error), error.details, error.message) == ("Unknown resource", "", error.message)


@pytest.mark.parametrize(("code", "unknown"), [(17, True), (7, True), (8, False), (0, False)])
def test_an_unknown_resource_is_told_from_other_errors(code, unknown):
    assert CoreError(code, "").unknown_resource is unknown


def fail(secret: str) -> None:
    raise KeyError(secret)


def test_a_trace_says_where_and_never_what():
    try:
        fail("DOE^JANE")
    except KeyError as error:
        text = trace(error)
    assert text.startswith("KeyError at ")
    assert "fail" in text
    assert "test_errors.py" in text
    assert "DOE" not in text
    assert "\n" not in text


def test_a_trace_leaves_causes_out():
    def wrap() -> None:
        try:
            fail("DOE^JANE")
        except KeyError as error:
            raise ValueError("DOE^JANE") from error

    with pytest.raises(ValueError) as raised:
        wrap()
    assert "DOE" not in trace(raised.value)


def test_an_error_that_was_never_raised_has_a_trace():
    assert trace(ValueError("DOE^JANE")) == "ValueError at "
