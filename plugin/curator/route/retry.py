"""What follows from an attempt: done, again at some time, or parked with the reason. All pure."""

from dataclasses import dataclass

from curator.route.delivery import Delivery, Failure, Outcome, SendOptions
from curator.route.kinds import DeliveryState, FailureKind

#: Exponent from which on a pause is the longest one in any case.
_MOST_DOUBLINGS = 40

_HOUR = 3600.0

DELETED = "was deleted before it could be sent"


@dataclass(frozen=True)
class Remaining:
    """How the instances of a delivery stand, by number, beside those that are confirmed.

    Attributes
    ----------
    answer : str
        To one that was refused.
    """

    pending: int = 0
    refused: int = 0
    gone: int = 0
    answer: str = ""


@dataclass(frozen=True)
class Settlement:
    """How a delivery stands after an attempt.

    Attributes
    ----------
    next_attempt : float
        For one that is queued again, seconds since 1970.
    failed : bool
        Whether the attempt counts as a failed one.
    """

    state: DeliveryState
    attempts: int
    next_attempt: float = 0.0
    failure: str = ""
    answer: str = ""
    failed: bool = False


@dataclass(frozen=True)
class Again:
    """It is tried again at a time, in seconds since 1970."""

    at: float


@dataclass(frozen=True)
class Park:
    """It waits for a user."""

    reason: str


def pause(attempts: int, first: float, longest: float) -> float:
    """Return the longest pause after so many attempts in a row have failed, in seconds."""
    return min(longest, first * 2.0 ** min(attempts - 1, _MOST_DOUBLINGS))


def decide(
    options: SendOptions, attempts: int, failure: Failure, age: float, now: float, chance: float
) -> Again | Park:
    """Decide whether a delivery that has failed is tried again, and when.

    Capped exponential backoff with full jitter; what the destination asks to wait is the least,
    as far as the rule lets anything wait.

    Parameters
    ----------
    attempts : int
        That have failed in a row, this one included.
    age : float
        Seconds that it is tried already.
    chance : float
        Between 0 and 1.
    """
    if failure.kind == FailureKind.PERMANENT:
        return Park(failure.answer)
    if attempts >= options.attempts:
        return Park(f"{failure.answer} (given up, attempts: {attempts})")
    least = min(failure.retry_after or 0.0, options.longest)
    wait = max(least, chance * pause(attempts, options.first, options.longest))
    if max(0.0, age) + wait > options.max_age:
        return Park(f"{failure.answer} (given up, hours: {options.max_age / _HOUR:g})")
    return Again(now + wait)


def settle(
    delivery: Delivery,
    remaining: Remaining,
    outcome: Outcome,
    progressed: bool,
    now: float,
    chance: float,
) -> Settlement:
    """Decide how a delivery stands after an attempt.

    Parameters
    ----------
    delivery : Delivery
        With the confirmations of this attempt counted.
    progressed : bool
        Whether anything was confirmed in it, or refused for good.
    """
    failure = outcome.failure or _worst(outcome)
    is_notice = not delivery.instances
    if is_notice and failure and failure.kind == FailureKind.GONE:
        return Settlement(DeliveryState.CANCELED, delivery.attempts, 0.0, failure.kind, DELETED)
    if not remaining.pending and not (is_notice and failure):
        return _over(delivery, remaining, outcome)
    if failure is None and progressed:  # there is more than one package carries
        return Settlement(DeliveryState.QUEUED, 0, delivery.next_attempt)
    failure = failure or Failure(FailureKind.TRANSIENT, "it did not answer for every instance")
    attempts = 1 if progressed else delivery.attempts + 1
    match decide(delivery.options, attempts, failure, now - delivery.since, now, chance):
        case Park(reason):
            kind = failure.kind
            return Settlement(DeliveryState.PARKED, attempts, 0.0, kind, reason, failed=True)
        case Again(at):
            kind = FailureKind.PARTIAL if delivery.done else failure.kind
            state = DeliveryState.QUEUED
            return Settlement(state, attempts, at, kind, failure.answer, failed=True)


def _over(delivery: Delivery, remaining: Remaining, outcome: Outcome) -> Settlement:
    """Settle a delivery that nothing of is left to be sent."""
    attempts = delivery.attempts + 1
    if remaining.refused:
        number = f"{remaining.refused} of {delivery.instances} instances were refused"
        answer = f"{number}: {remaining.answer}"
        kind = FailureKind.PERMANENT
        return Settlement(DeliveryState.PARKED, attempts, 0.0, kind, answer, failed=True)
    if remaining.gone and not delivery.done:
        return Settlement(DeliveryState.CANCELED, attempts, 0.0, FailureKind.GONE, DELETED)
    notes = [outcome.answer] if outcome.answer else []
    if remaining.gone:
        notes.append(f"{remaining.gone} of {delivery.instances} instances were deleted before")
    return Settlement(DeliveryState.DELIVERED, attempts, answer="; ".join(notes))


def _worst(outcome: Outcome) -> Failure | None:
    """Return what keeps single instances from being done that are tried again."""
    passing = [one for one in outcome.failures.values() if one.kind == FailureKind.TRANSIENT]
    return max(passing, key=lambda one: one.retry_after or 0.0, default=None)
