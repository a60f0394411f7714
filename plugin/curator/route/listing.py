"""What the lists of runs and deliveries have in common: pages, filters, times."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, TypeVar
from urllib.parse import unquote

from pydantic import Field

from curator.description import Parameter
from curator.errors import BadRequest
from curator.models import nearest
from curator.web import Request

#: Members of a page where the request does not say, and at most.
PAGE = 100
MOST = 10_000

#: Arguments of every list with pages.
PAGING = (
    Parameter("since", "Members that are passed over", Annotated[int, Field(ge=0, lt=2**31)]),
    Parameter(
        "limit",
        f"Members that are told at most; {PAGE}, where absent",
        Annotated[int, Field(ge=0, le=MOST)],
    ),
)

E = TypeVar("E", bound=StrEnum)

#: A text that rows are looked up by; PostgreSQL takes no NUL.
Wanted = Annotated[str, Field(pattern=r"^[^\x00]*$")]


def page(request: Request) -> tuple[int, int]:
    """Return how many are passed over (``since``) and how many are told (``limit``).

    Raises
    ------
    BadRequest
        If one is no number, or too large.
    """
    return _number(request, "since", 0, 2**31 - 1), _number(request, "limit", PAGE, MOST)


def words(request: Request, name: str, known: type[E]) -> tuple[E, ...]:
    """Return the words of a filter, ``state=Queued,Parked``; none where it is absent.

    Raises
    ------
    BadRequest
        If a word is unknown.
    """
    found = [word for word in request.query.get(name, "").split(",") if word]
    for word in found:
        if word not in [*known]:
            near = nearest(word, [*known])
            raise BadRequest(f'{name}: there is no "{word}"{near}; it is one of {", ".join(known)}')
    return tuple(known(word) for word in found)


def filters(request: Request, known: Sequence[Parameter] = ()) -> Request:
    """Return a request with its arguments decoded; an unknown one is refused.

    Passed over, it would tell of others than were asked for. Orthanc 1.12.7 hands arguments over as
    they are in the URL, 1.13.0 decodes them; no filter has a percent sign that this would change.

    Raises
    ------
    BadRequest
        With the nearest name.
    """
    names = [parameter.name for parameter in known]
    for name in request.query:
        if name not in names:
            raise BadRequest(f"{name}: unknown argument{nearest(name, names)}")
    return replace(request, query={name: unquote(one) for name, one in request.query.items()})


def utc(seconds: float) -> str:
    """Write a time as the core does, ``YYYYMMDDTHHMMSS.ffffff``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%S.%f")


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= most):
        raise BadRequest(f"{name}: must be a whole number from 0 to {most}")
    return int(text)
