"""What the bodies of all operations have in common."""

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    StrictBool,
    StringConstraints,
    field_validator,
    model_validator,
)

from curator.conditions import parse_element
from curator.job_request import JobRequest
from curator.reshape.repair import References

OperationId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


def _element(text: str) -> str:
    parse_element(text)
    return text


def _new_value(value: Any) -> Any:
    """Check a new value: text, or for a sequence its items."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list | tuple) or not all(isinstance(item, dict) for item in value):
        raise ValueError("a value is a text, or for a sequence an array of objects")
    for item in value:
        for text, inner in item.items():
            _single_tag(text)
            _new_value(inner)
    return value


def _single_tag(text: str) -> None:
    if parse_element(text).steps:
        raise ValueError(f"{text} is a path, a single tag is expected")


ElementName = Annotated[str, AfterValidator(_element)]
NewValue = Annotated[Any, AfterValidator(_new_value)]


class OnConflict(StrEnum):
    """What happens where two sides differ in what they have to have in common."""

    REFUSE = "Refuse"
    TARGET = "Target"


class PlannedRequest(JobRequest):
    """Fields of everything that is planned first and kept in the journal."""

    dry_run: StrictBool = False
    plan: str | None = None
    operation_id: OperationId | None = None


class OperationRequest(PlannedRequest):
    """Fields of every operation."""

    #: Identifiers that the operation can keep.
    keepable: ClassVar[tuple[str, ...]] = ()

    keep: tuple[str, ...] = ()
    force: StrictBool = False
    keep_source: StrictBool = False
    keep_labels: StrictBool = True
    original_attributes: StrictBool = True
    references: References = References.REPAIR
    follow: StrictBool = True
    permissive: StrictBool = False

    @field_validator("keep")
    @classmethod
    def _check_keepable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in cls.keepable:
                raise ValueError(f"only {' and '.join(cls.keepable)} can be kept")
        return value

    @model_validator(mode="after")
    def _check_keep(self) -> Self:
        if self.keep and not self.force:
            raise ValueError('"Keep" of identifiers needs "Force": true')
        if self.keep and self.keep_source:
            raise ValueError('"Keep" of identifiers needs "KeepSource": false')
        return self


#: Fields that say how an operation is carried out, not what it does.
CARRIED_OUT = frozenset(
    {
        "asynchronous",
        "dry_run",
        "follow",
        "operation_id",
        "permissive",
        "plan",
        "priority",
        "synchronous",
        "user_data",
    }
)
