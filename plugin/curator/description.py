"""What endpoints say of themselves for the OpenAPI document, declared next to their handlers.

Shapes of bodies and answers are Python types: models, typed dictionaries, lists and unions of them,
``str`` for text and ``bytes`` for files. The models are those that bodies are validated by.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from curator.web import Handler, Request, Response

#: Shapes by media type.
Content = Mapping[str, Any]

JSON_TYPE = "application/json"
YAML_TYPE = "application/yaml"
CSV_TYPE = "text/csv"
DICOM_TYPE = "application/dicom"
TEXT_TYPE = "text/plain"

#: An answer that says no more than that it is done.
DONE: Content = {TEXT_TYPE: str}

#: Errors of what runs as a job and waits for its end: another job is at work on the same, the job
#: failed or was canceled, Orthanc is being stopped.
JOB_ERRORS = (409, 500, 503)

OrthancId = Annotated[str, Field(description="Orthanc identifier", min_length=1)]
JobId = Annotated[str, Field(description="Identifier of a job", min_length=1)]

Flag = Annotated[
    str, Field(description='Set by "?expand" alone too; "false" and "0" are not set', max_length=16)
]


class BuiltinAnswer(TypedDict):
    """The content of a job of the core, of which every kind has more to say."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    Description: str
    InstancesCount: int
    FailedInstancesCount: int


@dataclass(frozen=True)
class Parameter:
    """An argument of GET, and its type."""

    name: str
    description: str
    type: Any = str


EXPAND = Parameter("expand", "Whether the members are described, not only named", Flag)


def json_of(shape: Any) -> Content:
    """Return the content that is JSON of a shape."""
    return {JSON_TYPE: shape}


def goes_to_core(fields: Iterable[str]) -> str:
    """Say which bodies of a route that Curator extends are the core's."""
    names = ", ".join(sorted(fields))
    return (
        f"Extends a route of Orthanc: a body with no other fields than {names} goes to Orthanc as"
        " it is, and Orthanc's answer comes back as it is."
    )


@dataclass(frozen=True)
class Method:
    """A handler, and what it takes and answers.

    Attributes
    ----------
    answer : mapping
        With status 200.
    body : mapping
        Empty where none is read.
    body_required : bool
        Whether a body must be there.
    query : tuple of Parameter
        For GET only: the SDK hands over arguments of no other method.
    errors : tuple of int
        Statuses with the core's error body, beside 400 where a body or arguments are read, and 404
        where the path has a parameter.
    silent : tuple of int
        Those of them without a body, as in the core.
    forwards : str
        What of the requests goes to the core as it is; its errors are the core's then.
    """

    handler: Handler
    summary: str
    answer: Content
    body: Content = field(default_factory=dict)
    body_required: bool = True
    query: tuple[Parameter, ...] = ()
    errors: tuple[int, ...] = ()
    silent: tuple[int, ...] = ()
    forwards: str = ""

    def __call__(self, request: Request) -> Response:
        """Answer a request."""
        return self.handler(request)
