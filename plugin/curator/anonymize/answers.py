"""What the routes that anonymize answer, for the OpenAPI document."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict


class RuleCount(TypedDict):
    """Instances that a pixel rule has changed."""

    Rule: str
    InstancesCount: int


class WarningCount(TypedDict):
    """Instances that a warning is about."""

    Text: str
    InstancesCount: int


class RefusedAnswer(TypedDict):
    """An instance that is left out, and why."""

    ID: str
    Details: str


class ReportAnswer(TypedDict):
    """What was done, in counts: how often each action was applied, in all and by element."""

    Actions: dict[str, int]
    KeptPrivate: list[str]
    PixelRules: list[RuleCount]
    Refused: list[RefusedAnswer]
    Warnings: list[WarningCount]
    Elements: NotRequired[dict[str, dict[str, int]]]


class ChangeAnswer(TypedDict):
    """An element before and after."""

    Path: str
    Action: str
    Reason: str
    Before: str | None
    After: str | None


class ExplainedInstance(TypedDict):
    """What would become of an instance."""

    ID: str
    Changes: list[ChangeAnswer]
    PixelRules: list[str]
    Warnings: list[str]


class RefusedInstance(TypedDict):
    """An instance that would be left out, and why."""

    ID: str
    Refused: str


class DryRunAnswer(TypedDict):
    """What would become of every element; nothing was changed."""

    DryRun: Literal[True]
    Profile: str
    Version: str
    InstancesCount: int
    Instances: list[ExplainedInstance | RefusedInstance]
    Report: ReportAnswer


class ResourceAnswer(TypedDict):
    """A resource as the core lists it."""

    Type: str
    ID: str
    Path: str


class MappedAnswer(TypedDict):
    """What became what."""

    Old: str
    OldUID: NotRequired[str]  # a patient has none
    New: str
    NewUID: NotRequired[str]


class AnonymizeAnswer(TypedDict):
    """The content of a job that has anonymized; ``Resources`` for bulk, else the one."""

    Description: str
    IsAnonymization: Literal[True]
    ParentResources: list[str]
    Profile: str
    Version: str
    Key: str
    InstancesCount: int
    FailedInstancesCount: int
    FailedInstances: list[str]
    Report: ReportAnswer
    Type: NotRequired[str]
    ID: NotRequired[str]
    Path: NotRequired[str]
    PatientID: NotRequired[str]
    Resources: NotRequired[list[ResourceAnswer]]
    Map: NotRequired[dict[str, list[MappedAnswer]]]
