"""When a destination that does not answer is left alone, and when it is tried again."""

from dataclasses import dataclass, replace
from enum import StrEnum

from curator.route.retry import pause


class BreakerState(StrEnum):
    """How a breaker stands."""

    CLOSED = "Closed"  # deliveries go
    OPEN = "Open"  # none goes
    HALF_OPEN = "HalfOpen"  # one goes, to see


@dataclass(frozen=True)
class Breaker:
    """What is known of one destination.

    Attributes
    ----------
    threshold : int
        Failures in a row of the destination as a whole that open it.
    failures : int
        As many there were.
    until : float
        When it may be tried again.
    first, longest : float
        Seconds of the first pause, and at most, as the last delivery that failed has them.
    """

    threshold: int
    failures: int = 0
    until: float = 0.0
    first: float = 30.0
    longest: float = 3600.0

    @property
    def is_closed(self) -> bool:
        """Whether deliveries go as they come."""
        return self.failures < self.threshold

    def state(self, now: float) -> BreakerState:
        """Tell how it stands."""
        if self.is_closed:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self.wait(now) else BreakerState.HALF_OPEN

    def wait(self, now: float) -> float:
        """Return the seconds until the destination may be tried.

        Never longer than the longest pause, though the clock may have been set back.
        """
        return 0.0 if self.is_closed else min(max(0.0, self.until - now), self.longest)

    def failed(self, now: float, first: float, longest: float, chance: float) -> "Breaker":
        """Return what follows after a delivery has failed because of the destination as a whole.

        Parameters
        ----------
        first, longest : float
            What the rule of the delivery says of pauses, in seconds.
        chance : float
            Between 0 and 1; a pause is from half to the whole of what it may be.
        """
        return replace(self, first=first, longest=longest).not_back(now, chance)

    def not_back(self, now: float, chance: float) -> "Breaker":
        """Return what follows after the destination was asked, and did not answer."""
        failures = self.failures + 1
        if failures < self.threshold:
            return replace(self, failures=failures)
        most = pause(failures - self.threshold + 1, self.first, self.longest)
        return replace(self, failures=failures, until=now + most * (0.5 + chance / 2))

    def succeeded(self) -> "Breaker":
        """Return what follows after the destination has answered."""
        return Breaker(self.threshold)

    def hurried(self) -> "Breaker":
        """Return what follows when a user wants it tried now."""
        return replace(self, until=0.0)
