"""Whether all is well, in one word, and why not."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Health(StrEnum):
    """How Curator is; the worst that is found counts."""

    GOOD = "Good"
    DEGRADED = "Degraded"  # it works, and something waits for a person
    FAILED = "Failed"  # a part of it does not work


#: What is published in ``/tools/metrics-prometheus``.
NUMBERS = {Health.GOOD: 0, Health.DEGRADED: 1, Health.FAILED: 2}

#: Megabytes on the disk of the index below which something has to be done.
SCARCE_MEGABYTES = 512

#: States in which something waits for a person, and what it is called.
_HELD_UP = {"Held": "held", "Failed": "failed"}


@dataclass(frozen=True)
class Signs:
    """What health is judged by.

    Attributes
    ----------
    database : str
        Why Curator's database does not answer; empty where it does.
    dead_workers : sequence of str
        Kinds of workers of which some have ended.
    problems : sequence of str
        What is wrong with the rules.
    is_closed : bool
        Whether nothing may come in, since the rules at reception cannot be used.
    runs : mapping
        Numbers by state.
    deliveries : mapping
        Numbers by state, by destination.
    free_megabytes : int or None
        On the disk of the index, None where it is not known.
    """

    database: str = ""
    dead_workers: Sequence[str] = ()
    problems: Sequence[str] = ()
    is_closed: bool = False
    runs: Mapping[str, int] = field(default_factory=dict)
    deliveries: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    unreachable: Sequence[str] = ()
    free_megabytes: int | None = None


def judge(signs: Signs) -> tuple[Health, list[str]]:
    """Return how Curator is, and the reasons, the gravest first."""
    failures, cautions = list(_failures(signs)), list(_cautions(signs))
    if failures:
        return Health.FAILED, [*failures, *cautions]
    return (Health.DEGRADED if cautions else Health.GOOD), cautions


def _failures(signs: Signs) -> Iterator[str]:
    if signs.database:
        yield f"Curator's database does not answer: {signs.database}"
    for kind in signs.dead_workers:
        yield f"workers of {kind} have ended, see the log of Orthanc"
    if signs.is_closed:
        yield "nothing is received, since the rules at reception cannot be used"


def _cautions(signs: Signs) -> Iterator[str]:
    if signs.problems:
        yield f"{_counted(len(signs.problems), 'problem')} with rules, see Problems"
    for state, word in _HELD_UP.items():
        if number := signs.runs.get(state, 0):
            yield f"{_counted(number, 'run')} {word}"
    for destination, counts in signs.deliveries.items():
        if number := counts.get("Parked", 0):
            yield f"{_counted(number, 'delivery', 'deliveries')} to {destination} parked"
    for destination in signs.unreachable:
        yield f"{destination} does not answer"
    if signs.free_megabytes is not None and signs.free_megabytes < SCARCE_MEGABYTES:
        yield f"{signs.free_megabytes} MB are left on the disk of the index"


def _counted(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
