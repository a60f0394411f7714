"""Something that went wrong, as the status lists it."""

from collections.abc import Iterable
from dataclasses import dataclass

#: Troubles that the status lists, the latest first.
MOST_TROUBLES = 10


@dataclass(frozen=True, slots=True)
class Trouble:
    """A job, run or delivery that went wrong.

    Attributes
    ----------
    time : str
        When, as the core writes times.
    kind : str
        ``Job``, ``Run`` or ``Delivery``.
    name : str
        Type of the job, rule of the run, destination of the delivery.
    code : int or str
        Error code of the job; why a delivery failed; empty for a run.
    details : str
        Identifiers, keywords and counts; no value of an element.
    """

    time: str
    kind: str
    id: str
    name: str
    state: str
    code: int | str
    details: str


def latest(troubles: Iterable[Trouble], most: int = MOST_TROUBLES) -> list[Trouble]:
    """Return the latest ones, the very latest first."""
    return sorted(troubles, key=lambda one: (one.time, one.id), reverse=True)[:most]
