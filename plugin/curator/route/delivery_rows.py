"""Deliveries as rows of the database, and what selects some of them."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import ColumnElement

from curator.level import Level
from curator.route.delivery import Delivery, SendOptions
from curator.route.kinds import DeliveryState
from curator.store import Row, deliveries

T = TypeVar("T")

#: Values that one statement names.
CHUNK = 500


class InstanceState(StrEnum):
    """How an instance of a delivery stands."""

    QUEUED = "Queued"
    DELIVERED = "Delivered"  # confirmed in this delivery
    BEFORE = "DeliveredBefore"  # by an earlier delivery of the same rule, and the same since
    REFUSED = "Refused"  # for good
    GONE = "Deleted"  # before it could be sent


@dataclass(frozen=True)
class Filter:
    """Selects deliveries; what is empty selects all.

    Attributes
    ----------
    resources : tuple of str
        Patients, studies, series, or instances that they are about.
    """

    ids: tuple[str, ...] = ()
    states: tuple[DeliveryState, ...] = ()
    destination: str | None = None
    rule: str | None = None
    run: str | None = None
    resources: tuple[str, ...] = ()

    def clauses(self) -> list[ColumnElement[bool]]:
        """Return what a row has to fulfill."""
        columns = deliveries.c
        found = [
            column == value
            for column, value in (
                (columns.destination, self.destination),
                (columns.rule, self.rule),
                (columns.run, self.run),
            )
            if value is not None
        ]
        for column, values in (
            (columns.id, self.ids),
            (columns.state, self.states),
            (columns.resource, self.resources),
        ):
            if values:
                found.append(column.in_(values))
        return found


def row_of(delivery: Delivery) -> Row:
    """Return the row of a delivery."""
    return vars(delivery) | {"options": asdict(delivery.options)}


def delivery_of(row: Row) -> Delivery:
    """Return the delivery of a row."""
    return Delivery(
        **row
        | {
            "level": Level(row["level"]),
            "state": DeliveryState(row["state"]),
            "options": _options(row["options"]),
        }
    )


def _options(stored: dict[str, Any]) -> SendOptions:
    """Return the options of a row, also of one that another version of Curator has written."""
    known = {field.name for field in fields(SendOptions)}
    return SendOptions(**{name: value for name, value in stored.items() if name in known})


def chunks(values: Iterable[T]) -> list[Sequence[T]]:
    """Cut values into as many as one statement may name."""
    found = list(values)
    return [found[start : start + CHUNK] for start in range(0, len(found), CHUNK)]
