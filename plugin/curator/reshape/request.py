"""Bodies of the split routes."""

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from curator.conditions import Condition, compile_pattern, parse_element
from curator.job_request import Identifiers
from curator.models import Model, nearest
from curator.reshape import criteria
from curator.reshape.criteria import READY_SETS, Criterion
from curator.reshape.naming import Template, parse_template
from curator.reshape.options import (
    ElementName,
    NewValue,
    OperationRequest,
)

#: More criteria are refused; each looks at every instance.
MAX_CRITERIA = 100

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Tolerance = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _template(text: str) -> str:
    parse_template(text)
    return text


TemplateText = Annotated[str, AfterValidator(_template)]


class Into(StrEnum):
    """What a group becomes."""

    STUDIES = "Studies"
    SERIES = "Series"


class Missing(StrEnum):
    """What happens to instances that lack an element asked for."""

    GROUP = "Group"
    REFUSE = "Refuse"


class ExplicitGroup(Model):
    """A group by the Orthanc identifiers of its members."""

    name: Annotated[str, Field(min_length=1)]
    series: Identifiers | None = None
    instances: Identifiers | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.series is None and self.instances is None:
            raise ValueError('a group needs "Series", "Instances" or both')
        return self


class By(Model):
    """One member of ``By``: the name of a ready set, or one criterion."""

    ready_set: str | None = None
    tag: str | None = None
    tolerance: Tolerance | None = None
    matches: str | None = None
    orientation: Tolerance | None = None
    b_value: Tolerance | None = None
    gap: str | None = None
    seconds: Seconds | None = None
    groups: Annotated[tuple[ExplicitGroup, ...] | None, Field(min_length=1, strict=False)] = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        kinds = ("ready_set", "tag", "orientation", "b_value", "gap", "groups")
        if sum(getattr(self, kind) is not None for kind in kinds) != 1:
            raise ValueError(
                "a criterion is a name, or has one of"
                ' "Tag", "Orientation", "BValue", "Gap", "Groups"'
            )
        if (self.gap is None) != (self.seconds is None):
            raise ValueError('"Gap" and "Seconds" go together')
        if self.tag is None and (self.tolerance is not None or self.matches is not None):
            raise ValueError('"Tolerance" and "Matches" go with "Tag"')
        if self.tolerance is not None and self.matches is not None:
            raise ValueError('"Tolerance" and "Matches" exclude each other')
        if self.ready_set is not None and self.ready_set not in READY_SETS:
            hint = nearest(self.ready_set, list(READY_SETS))
            raise ValueError(f"there is no ready set of this name{hint}")
        self.criteria()
        return self

    def criteria(self) -> tuple[Criterion, ...]:
        """Return what this stands for; nothing for explicit groups."""
        if self.ready_set is not None:
            return READY_SETS[self.ready_set]
        if self.orientation is not None:
            return (criteria.by_orientation(self.orientation),)
        if self.b_value is not None:
            return (criteria.by_b_value(self.b_value),)
        if self.gap is not None and self.seconds is not None:
            return (criteria.by_gap(parse_element(self.gap), self.seconds),)
        if self.tag is not None:
            return (self._by_tag(self.tag),)
        return ()

    def _by_tag(self, tag: str) -> Criterion:
        path = parse_element(tag)
        if self.tolerance is not None:
            return criteria.by_tolerance(path, self.tolerance)
        if self.matches is not None:
            return criteria.ByPattern(path, compile_pattern(self.matches))
        return criteria.ByValue(path)


def _from_name(value: Any) -> Any:
    if isinstance(value, str):
        return {"ReadySet": value} if value in READY_SETS else {"Tag": value}
    return value


ByOrName = Annotated[By, BeforeValidator(_from_name, json_schema_input_type=str | By)]


class SplitRequest(OperationRequest):
    """Body of ``POST /studies/{id}/split`` and ``POST /series/{id}/split``."""

    keepable = ("SeriesInstanceUID", "SOPInstanceUID")

    by: Annotated[tuple[ByOrName, ...], Field(min_length=1, max_length=MAX_CRITERIA)] | None = None
    into: Into | None = None
    where: Condition | None = None
    naming: dict[str, TemplateText] = Field(default_factory=dict)
    missing: Missing = Missing.GROUP
    series: Identifiers | None = None
    instances: Identifiers | None = None
    replace: dict[ElementName, NewValue] = Field(default_factory=dict)
    remove: tuple[ElementName, ...] = ()

    @field_validator(
        "naming", mode="before", json_schema_input_type=TemplateText | dict[str, TemplateText]
    )
    @classmethod
    def _one_template(cls, value: Any) -> Any:
        return {"Description": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check(self) -> Self:
        explicit = [by.groups for by in self.by or () if by.groups is not None]
        if explicit and (len(self.by or ()) > 1 or self.series or self.instances):
            raise ValueError('"Groups" excludes other criteria, "Series" and "Instances"')
        return self

    @property
    def explicit_groups(self) -> tuple[ExplicitGroup, ...]:
        """The groups of ``{"Groups": […]}``."""
        return next((by.groups for by in self.by or () if by.groups is not None), ())

    def criteria(self) -> tuple[Criterion, ...]:
        """Return all criteria in the order of the request."""
        return tuple(criterion for by in self.by or () for criterion in by.criteria())

    def templates(self) -> dict[str, Template]:
        """Return the templates by the keyword of the element that they fill."""
        return {keyword: parse_template(text) for keyword, text in self.naming.items()}


#: Fields of the built-in split; a body that has no other goes to the core.
BUILTIN_FIELDS = frozenset(
    {
        "Asynchronous",
        "Instances",
        "KeepLabels",
        "KeepSource",
        "Permissive",
        "Priority",
        "Remove",
        "Replace",
        "Series",
        "Synchronous",
        "UserData",
    }
)
