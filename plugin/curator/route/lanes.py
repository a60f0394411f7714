"""Which delivery goes next: the urgent ones, but nobody waits for ever."""

from dataclasses import dataclass, replace
from enum import StrEnum

#: Deliveries that may go in a row by their priority.
PATIENCE = 4


class Order(StrEnum):
    """What the next delivery is chosen by."""

    PRIORITY = "Priority"  # the highest, among equals the one that is due longest
    AGE = "Age"  # the one that is due longest


@dataclass(frozen=True)
class Lanes:
    """The turns of one destination.

    After ``patience`` turns by priority, one is by age: a delivery with ``n`` others that are due
    longer goes at the latest as number ``(n + 1) * (patience + 1)``, whatever comes in meanwhile.
    """

    patience: int = PATIENCE
    turns: int = 0

    @property
    def order(self) -> Order:
        """How the next one is chosen."""
        return Order.AGE if self.turns >= self.patience else Order.PRIORITY

    def taken(self) -> "Lanes":
        """Return what follows after a delivery was taken in this order."""
        return replace(self, turns=0 if self.order == Order.AGE else self.turns + 1)
