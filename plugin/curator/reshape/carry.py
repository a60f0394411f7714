"""What hangs on a resource beside its elements: metadata, labels, attachments."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from pydantic import Field

from curator.gateway import Gateway, Resource
from curator.level import Level
from curator.models import Model
from curator.reshape.plan import Plan, PlannedSeries

#: Metadata of the core that tell where an instance came from; they move along.
PROVENANCE = ("RemoteAET", "CalledAET")

MODIFIED_FROM = "ModifiedFrom"
EXPECTED_INSTANCES = "ExpectedNumberOfInstances"

#: Metadata of the core that a resource has again once it is back under its old identifier.
HISTORY = (
    *PROVENANCE,
    MODIFIED_FROM,
    EXPECTED_INSTANCES,
    "AnonymizedFrom",
    "HttpHost",
    "HttpUsername",
    "Origin",
    "ReceptionDate",
    "RemoteIP",
)

T = TypeVar("T")


class Belongings(Model):
    """What hangs on one resource; ``history`` are metadata of the core."""

    metadata: dict[str, str] = Field(default_factory=dict)
    history: dict[str, str] = Field(default_factory=dict)
    labels: tuple[str, ...] = ()
    attachments: tuple[int, ...] = ()


def belongings_of(gateway: Gateway, resource: Resource) -> Belongings:
    """Return what hangs on a resource that was read with everything about it."""
    return Belongings(
        metadata=gateway.user_metadata(resource),
        history={name: resource.metadata[name] for name in HISTORY if name in resource.metadata},
        labels=resource.labels,
        attachments=tuple(gateway.user_attachments(resource)),
    )


class Carrier(Protocol):
    """Gives what an operation makes what has to hang on it."""

    def instance(self, source: Resource, target: str) -> None:
        """Give it to a new instance."""

    def parents(self, plan: Plan) -> None:
        """Give it to patients, studies and series, while the sources are still there."""


class ForwardCarrier:
    """Moves what hangs on the sources along.

    What a resource that was there before has already stays: nothing is replaced.
    """

    def __init__(self, gateway: Gateway, keep_labels: bool) -> None:
        self._gateway = gateway
        self._keep_labels = keep_labels

    def instance(self, source: Resource, target: str) -> None:
        """Give a new instance what hangs on its source, and say where it is from."""
        self._move(source, target)

    def parents(self, plan: Plan) -> None:
        """Give new parents what hangs on those that they are made from; join what was there."""
        made: set[str] = set(plan.standing)
        for level, source, target in pairs(plan.series):
            resource = self._gateway.resource(level, source)
            if resource is None or not self._gateway.exists(level, target):
                continue  # an earlier run has come further, or someone has deleted the result
            if target in made:
                self._join(resource, target)
            else:
                self._move(resource, target)
            made.add(target)

    def _move(self, source: Resource, target: str) -> None:
        found = belongings_of(self._gateway, source)
        metadata = {MODIFIED_FROM: source.orthanc_id, **found.metadata}
        metadata |= {name: found.history[name] for name in PROVENANCE if found.history.get(name)}
        labels = found.labels if self._keep_labels else ()
        give(self._gateway, source.level, target, metadata, labels)
        copy_attachments(self._gateway, source, target, found.attachments)

    def _join(self, source: Resource, target: str) -> None:
        standing = self._gateway.resource(source.level, target)
        if standing is None:
            return
        found, there = (belongings_of(self._gateway, one) for one in (source, standing))
        labels = _lacking(found.labels, there.labels) if self._keep_labels else []
        metadata = _missing(found.metadata, there.metadata)
        give(self._gateway, source.level, target, metadata, labels)
        numbers = _lacking(found.attachments, there.attachments)
        copy_attachments(self._gateway, source, target, numbers)


class ReturningCarrier:
    """Gives what an undo brings back what hung on it before the operation.

    Parameters
    ----------
    states : mapping
        What hung on patients, studies and series before, by level and Orthanc identifier.
    instances : mapping
        What hung on instances before, by Orthanc identifier.
    undone : Plan
        The operation that is taken back.
    kept : callable
        Returns an attachment that the operation has kept, by Orthanc identifier and number.
    """

    def __init__(
        self,
        gateway: Gateway,
        states: Mapping[tuple[Level, str], Belongings],
        instances: Mapping[str, Belongings],
        undone: Plan,
        kept: Callable[[str, int], bytes | None],
    ) -> None:
        self._gateway = gateway
        self._states = states
        self._instances = instances
        self._undone = undone
        self._kept = kept

    def instance(self, source: Resource, target: str) -> None:
        """Give an instance back what hung on it; attachments come from the source, if not kept."""
        was = self._instances.get(target, Belongings())
        give(self._gateway, Level.INSTANCE, target, was.history | was.metadata, was.labels)
        lacking = self._attach_kept(Level.INSTANCE, target, was.attachments)
        there = self._gateway.user_attachments(source)
        copy_attachments(self._gateway, source, target, [one for one in lacking if one in there])

    def parents(self, plan: Plan) -> None:
        """Give parents back what they have lost, and take from the others what they got."""
        for level, _, target in pairs(plan.series):
            was = self._states.get((level, target))
            returned = self._gateway.resource(level, target)
            if was is None or returned is None:
                continue
            restore_missing(self._gateway, returned, was)
            there = self._gateway.user_attachments(returned)
            self._attach_kept(level, target, _lacking(was.attachments, there))
        for level, source, target in pairs(self._undone.series):
            if target in self._undone.standing:
                self._take_back(level, source, target)

    def _attach_kept(self, level: Level, target: str, numbers: Iterable[int]) -> list[int]:
        """Attach what was kept, and return the numbers of what was not."""
        lacking: list[int] = []
        for number in numbers:
            content = self._kept(target, number)
            if content is None:
                lacking.append(number)
            else:
                self._gateway.attach(level, target, number, content)
        return lacking

    def _take_back(self, level: Level, source: str, target: str) -> None:
        """Take from a resource what the operation has given it of another one's."""
        resource = self._gateway.resource(level, target)
        was, gave = (self._states.get((level, one)) for one in (target, source))
        if resource is None or was is None or gave is None:
            return
        for name in _missing(gave.metadata, was.metadata):
            if resource.metadata.get(name) == gave.metadata[name]:
                self._gateway.delete_metadata(level, target, name)
        for label in _lacking(gave.labels, was.labels):
            if label in resource.labels:
                self._gateway.remove_label(level, target, label)
        there = self._gateway.user_attachments(resource)
        for number in _lacking(gave.attachments, was.attachments):
            if number in there:
                self._gateway.detach(level, target, number)
        restore_missing(self._gateway, resource, was)


def pairs(series: Iterable[PlannedSeries]) -> Iterator[tuple[Level, str, str]]:
    """Yield level, source and target of all parents that instances move between, each once."""
    moves = (
        pair
        for one in series
        for pair in (
            (Level.SERIES, one.source, one.orthanc_id),
            (Level.STUDY, one.source_study, one.study_orthanc_id),
            (Level.PATIENT, one.source_patient, one.patient_orthanc_id),
        )
    )
    yield from (pair for pair in dict.fromkeys(moves) if pair[1] != pair[2])


def give(
    gateway: Gateway,
    level: Level,
    orthanc_id: str,
    metadata: Mapping[str, str],
    labels: Iterable[str],
) -> None:
    """Set metadata and add labels."""
    for name, value in metadata.items():
        gateway.set_metadata(level, orthanc_id, name, value)
    for label in labels:
        gateway.add_label(level, orthanc_id, label)


def restore_missing(gateway: Gateway, resource: Resource, was: Belongings) -> None:
    """Give a resource back what it has lost of what hung on it, but for attachments."""
    there = belongings_of(gateway, resource)
    filled = {name: value for name, value in there.history.items() if value}
    lost = _missing(was.history | was.metadata, filled | there.metadata)
    labels = _lacking(was.labels, there.labels)
    give(gateway, resource.level, resource.orthanc_id, lost, labels)


def copy_attachments(
    gateway: Gateway, source: Resource, target: str, numbers: Iterable[int]
) -> None:
    """Attach files of one resource to another one."""
    for number in numbers:
        content = gateway.read_attachment(source.level, source.orthanc_id, number)
        gateway.attach(source.level, target, number, content)


def _missing(found: Mapping[str, str], there: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in found.items() if name not in there}


def _lacking(found: Sequence[T], there: Sequence[T]) -> list[T]:
    return [one for one in found if one not in there]
