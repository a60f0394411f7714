"""What makes rules look at a resource, and where it stands in the core's change log."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from curator.level import Level
from curator.route.kinds import Trigger

#: Triggers by the type of a change in the core's log; all others are of no interest to rules.
LOGGED: Mapping[str, Trigger] = {
    "NewInstance": Trigger.STORED_INSTANCE,
    "StableSeries": Trigger.STABLE_SERIES,
    "StableStudy": Trigger.STABLE_STUDY,
    "StablePatient": Trigger.STABLE_PATIENT,
    "CompletedSeries": Trigger.COMPLETED_SERIES,
    "UpdatedMetadata": Trigger.UPDATED,
    "UpdatedAttachment": Trigger.UPDATED,
}

#: Triggers that come ``StableAge`` after the last instance, if Orthanc lives as long.
STABLE: Mapping[Trigger, Level] = {
    Trigger.STABLE_SERIES: Level.SERIES,
    Trigger.STABLE_STUDY: Level.STUDY,
    Trigger.STABLE_PATIENT: Level.PATIENT,
}


@dataclass(frozen=True)
class Event:
    """Something has happened that rules wait for.

    Attributes
    ----------
    level : Level
        Of the resource; of what is none (a job, a heartbeat) ``Level.PATIENT``, which means
        nothing.
    resource : str
        Orthanc identifier, or that of the job; empty for a heartbeat, and for new instances whose
        series has not been asked yet.
    instances : tuple of str
        Of ``StoredInstance``.
    details : dict
        What a webhook is told beside trigger, level and resource; never a value of an element.
    """

    trigger: Trigger
    level: Level
    resource: str
    instances: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """An entry of the change log.

    Attributes
    ----------
    number : int
        ``Seq``: grows, is never given out twice, and is left out where the resource was deleted.
    date : str
        Of the entry, UTC: ``20240131T235959``.
    """

    number: int
    type: str
    level: str
    resource: str
    date: str

    @property
    def trigger(self) -> Trigger | None:
        """What the entry means to rules."""
        return LOGGED.get(self.type)


def types_of(triggers: Iterable[Trigger]) -> frozenset[str]:
    """Return the types of changes that some triggers come from."""
    wanted = frozenset(triggers)
    return frozenset(name for name, trigger in LOGGED.items() if trigger in wanted)
