"""A limit of instances per second: a bucket of tokens that fills with time."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Bucket:
    """Tokens that may be spent; it may go into debt, and fills up to one second's worth.

    Attributes
    ----------
    rate : float
        Instances per second.
    at : float
        When `level` was right, in seconds.
    """

    rate: float
    level: float
    at: float

    @classmethod
    def full(cls, rate: float, now: float) -> "Bucket":
        """Return a bucket that nothing was taken from."""
        return cls(rate, max(1.0, rate), now)

    @property
    def size(self) -> int:
        """Instances that may go at once."""
        return max(1, int(self.rate))

    def wait(self, now: float) -> float:
        """Return the seconds until something may be sent."""
        return max(0.0, (min(1.0, self.size) - self._level(now)) / self.rate)

    def take(self, instances: int, now: float) -> "Bucket":
        """Return what is left after instances were sent."""
        return replace(self, level=self._level(now) - instances, at=now)

    def _level(self, now: float) -> float:
        elapsed = max(0.0, now - self.at)  # a clock that was set back fills nothing
        return min(max(1.0, self.rate), self.level + elapsed * self.rate)
