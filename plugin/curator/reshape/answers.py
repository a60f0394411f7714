"""What the plan of an operation says as JSON, for the OpenAPI document.

See ``plan.Plan.describe``, which makes it: whole for a dry run, with counts in the place of lists
as the content of a job.
"""

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict


class InstanceAnswer(TypedDict):
    """An instance as it will be, and what it is made from."""

    ID: str
    SOPInstanceUID: str
    Source: str


class SeriesAnswer(TypedDict):
    """A series as it will be, and what it is made from."""

    ID: str
    SeriesInstanceUID: str
    SeriesNumber: str
    SeriesDescription: str
    InstancesCount: int
    ParentStudy: str
    StudyInstanceUID: str
    Source: str
    Instances: NotRequired[list[InstanceAnswer]]


class GroupAnswer(TypedDict):
    """Instances that go together, and the values that they have in common."""

    Name: str
    Values: dict[str, str]
    InstancesCount: int
    Series: list[SeriesAnswer]


class RewrittenAnswer(TypedDict):
    """An instance in which references are rewritten, or would be."""

    Instance: str
    Source: str
    Count: int


class DanglingAnswer(TypedDict):
    """A reference to something that is not stored."""

    Instance: str
    Element: str
    UID: str


class DanglingLists(TypedDict):
    """Such references, before and after."""

    Before: list[DanglingAnswer]
    After: list[DanglingAnswer]


class DanglingCounts(TypedDict):
    """How many there are, before and after."""

    Before: int
    After: int


class ReferencesAnswer(TypedDict):
    """What becomes of references to what is moved."""

    Mode: Literal["Repair", "Report"]
    RewrittenCount: int
    DanglingCount: DanglingCounts
    Rewritten: NotRequired[list[RewrittenAnswer]]
    Affected: NotRequired[list[RewrittenAnswer]]
    SignaturesRemoved: list[str]
    Dangling: NotRequired[DanglingLists]


class DroppedAnswer(TypedDict):
    """A duplicate that goes, and the instance that is kept in its place."""

    Instance: str
    Kept: str
    Reason: str


class SideAnswer(TypedDict):
    """One side of a conflict; the value is null where the element is absent."""

    ID: str
    Value: Any


class ConflictAnswer(TypedDict):
    """An element in which two sides differ."""

    Element: str
    Target: SideAnswer
    Source: SideAnswer


class JoinedAnswer(TypedDict):
    """Series that become one."""

    Target: str
    Sources: list[str]
    OrderedBy: str
    InstancesCount: int
    Renumbered: bool
    DifferingElements: list[str]


class PersonAnswer(TypedDict):
    """A patient that another one is split into."""

    Name: str
    PatientID: str
    Patient: str
    InstancesCount: int


class PlanAnswer(TypedDict):
    """The plan of an operation."""

    Plan: str
    ParentResources: list[str]
    KeepSource: bool
    InstancesCount: int
    OverwrittenInstancesCount: int
    UnmovedInstancesCount: int
    FailedInstancesCount: int
    FailedInstances: list[str]
    Groups: list[GroupAnswer]
    References: ReferencesAnswer
    Warnings: list[str]
    DroppedInstances: NotRequired[list[DroppedAnswer]]
    Conflicts: NotRequired[list[ConflictAnswer]]
    TargetPatient: NotRequired[str]
    TargetStudy: NotRequired[str]
    TargetStudyUID: NotRequired[str]
    TargetSeries: NotRequired[str]
    JoinedSeries: NotRequired[list[JoinedAnswer]]
    IncompleteElements: NotRequired[list[str]]
    AmbiguousPatientStudy: NotRequired[list[str]]
    Normalization: NotRequired[list[str]]
    Persons: NotRequired[list[PersonAnswer]]
    UndoneOperation: NotRequired[str]


class OperationAnswer(PlanAnswer):
    """The content of a job that has carried out an operation."""

    Description: str
    Operation: str
