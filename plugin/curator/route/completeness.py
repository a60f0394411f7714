"""Whether a resource is complete, as its rule asks (``Complete``)."""

from collections.abc import Sequence
from dataclasses import dataclass

from curator.route.facts import Facts
from curator.route.moments import parse_moment
from curator.route.rule import Complete

#: Seconds between two looks at what is not complete.
INTERVAL = 10.0

#: Longest of them: a study that takes hours is looked at every five minutes.
LONGEST_INTERVAL = 300.0


@dataclass(frozen=True)
class Ready:
    """The resource is complete."""


@dataclass(frozen=True)
class Wait:
    """The resource is not complete yet.

    Attributes
    ----------
    until : float
        When to look again, seconds since 1970.
    missing : str
        What it waits for, in words, without values of elements.
    """

    until: float
    missing: str


@dataclass(frozen=True)
class Expired:
    """The resource is not complete at its deadline; the rule says what then (``Then``)."""

    missing: str


def state(
    complete: Complete,
    facts: Facts,
    series_facts: Sequence[Facts],
    now: float,
    event_time: float,
) -> Ready | Wait | Expired:
    """Decide whether a resource is complete.

    It is quiet as long as the core has not updated it (``LastUpdate``).

    Parameters
    ----------
    series_facts : sequence of Facts
        Of every series of the resource; of a series, its own.
    now, event_time : float
        Seconds since 1970; where the clock was set back between them, it waits from now on.

    Raises
    ------
    Undecidable
        If something that the rule asks for cannot be read.
    """
    event_time = min(event_time, now)
    ends = event_time + complete.deadline
    missing = _missing(complete, facts, series_facts)
    updated = parse_moment(facts.metadata.get("LastUpdate", ""))
    quiet_until = min(event_time if updated is None else updated, now) + complete.quiet
    if not missing and quiet_until <= now:
        return Ready()
    missing = missing or "it is still being received"
    if now >= ends:
        return Expired(missing)
    patience = min(max(INTERVAL, (now - event_time) / 10), LONGEST_INTERVAL)
    until = quiet_until if quiet_until > now else now + patience
    return Wait(min(until, ends), missing)


def _missing(complete: Complete, facts: Facts, series_facts: Sequence[Facts]) -> str:
    """Tell what is missing, nothing if all is there."""
    lacking = [
        f"{name}: {facts.counts.get(name, 0)} of {least}"
        for name, least in complete.counts.items()
        if facts.counts.get(name, 0) < least
    ]
    lacking += [
        f"no series fits $.Complete.Series[{number}]"
        for number, condition in enumerate(complete.series)
        if not any(condition.holds(one) for one in series_facts)
    ]
    return "; ".join(lacking)
