"""``/curator/deliveries`` and ``/curator/destinations``: did it arrive, and what can be done."""

import logging
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, NotRequired, Protocol

from pydantic import Field, StrictBool
from typing_extensions import TypedDict

from curator.description import Method, Parameter, json_of
from curator.errors import BadRequest, Conflict, NotFound
from curator.gateway import Gateway
from curator.level import Level
from curator.models import Model
from curator.route.breaker import BreakerState
from curator.route.couriers import Couriers, Directory
from curator.route.delivery import Delivery
from curator.route.delivery_rows import Filter
from curator.route.kinds import UNFINISHED_DELIVERIES, DeliveryState, DestinationKind
from curator.route.ledger import RETRYABLE, Ledger
from curator.route.listing import PAGING, Wanted, filters, page, utc, words
from curator.route.pauses import PauseKind, Pauses
from curator.route.scope import Scope
from curator.store import Row
from curator.web import Endpoint, Request, Response, json_object, json_response, parse

logger = logging.getLogger(__name__)

#: Levels of what deliveries are about.
_LEVELS = (Level.PATIENT, Level.STUDY, Level.SERIES)


class Known(Directory, Protocol):
    """Finds destinations, and tells which there are."""

    def names(self) -> list[str]:
        """Return the names of all destinations that there are now."""

    def problem(self, name: str) -> str | None:
        """Return what is wrong with the name of a destination, None where there is one."""


class NoOptions(Model):
    """Body of an action that has no options."""


class RedirectRequest(Model):
    """Body of a redirection of one delivery."""

    to: str


class DeliveryFilter(Model):
    """Body of an action on many deliveries; ``All`` where nothing else is said."""

    state: DeliveryState | None = None
    destination: Wanted | None = None
    rule: Wanted | None = None
    run: Wanted | None = None
    resource: Wanted | None = None
    all_: StrictBool = Field(default=False, alias="All")


class RedirectFilter(DeliveryFilter):
    """Body of a redirection of many deliveries."""

    to: str


RowId = Annotated[str, Field(description="Identifier of a run or delivery", min_length=1)]
DestinationName = Annotated[
    str, Field(description="As in modality:PACS", pattern=f"^({'|'.join(DestinationKind)}):.+$")
]


class DeliverySummary(TypedDict):
    """What goes to a destination; ``Done`` of its instances are confirmed."""

    ID: str
    Run: str
    Rule: str
    Version: str
    Level: Level
    Resource: str
    Destination: str
    Priority: int
    State: DeliveryState
    Attempts: int
    Failure: str
    Answer: str
    InstancesCount: int
    Done: int
    User: str
    CreationTime: str
    ChangeTime: str
    NextAttempt: NotRequired[str]


class DeliveredInstance(TypedDict):
    """An instance of a delivery, and what the destination says of it."""

    ID: str
    State: str
    Answer: str


class DeliveryDescription(DeliverySummary):
    """A delivery with all that is known of it."""

    Event: dict[str, Any]
    Instances: list[DeliveredInstance]


class DeliveriesPage(TypedDict):
    """A part of the list; where it is not ``Done``, ``since=Last`` tells the next."""

    Deliveries: list[DeliverySummary]
    Done: bool
    Last: int


class DestinationAnswer(TypedDict):
    """How a destination is; ``Known`` is false where only old deliveries name it."""

    Name: str
    Kind: str
    Known: bool
    Paused: bool
    Breaker: BreakerState
    Deliveries: dict[DeliveryState, int]
    FailedAttempts: int
    Oldest: str | None


class Tried(TypedDict):
    """Whether a destination answers."""

    Success: bool
    Answer: str


class ChangedCount(TypedDict):
    """How many were changed."""

    Count: int


#: Arguments of the list of deliveries.
_FILTERS = (
    Parameter("state", "States, joined by commas", list[DeliveryState]),
    Parameter("destination", "Name of a destination, as in modality:PACS"),
    Parameter("rule", "Name of a rule"),
    Parameter("run", "Identifier of a run"),
    Parameter("resource", "Orthanc identifier; also those of the resources above and below it"),
    *PAGING,
)


class DeliveriesApi:
    """Endpoints of deliveries and destinations."""

    def __init__(
        self,
        ledger: Ledger,
        couriers: Couriers,
        destinations: Known,
        pauses: Pauses,
        gateway: Gateway,
    ) -> None:
        self._ledger = ledger
        self._couriers = couriers
        self._destinations = destinations
        self._pauses = pauses
        self._gateway = gateway

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        return [*self._of_deliveries(), *self._of_destinations()]

    def _of_deliveries(self) -> list[Endpoint]:
        listed = Method(self._list, "List deliveries", json_of(DeliveriesPage), query=_FILTERS)
        described = Method(self._get, "Look at a delivery", json_of(DeliveryDescription))
        on_one = partial(Method, answer=json_of(DeliverySummary), errors=(409,))
        alone = partial(on_one, body=json_of(NoOptions), body_required=False)
        on_many = partial(Method, answer=json_of(ChangedCount))
        filtered = partial(on_many, body=json_of(DeliveryFilter))
        retry_many = filtered(self._retry_many, "Try deliveries again at once")
        cancel_many = filtered(self._cancel_many, "Cancel deliveries")
        redirect_many = on_many(
            self._redirect_many, "Redirect deliveries", body=json_of(RedirectFilter)
        )
        retry = alone(self._retry, "Try a delivery again at once")
        cancel = alone(self._cancel, "Cancel a delivery")
        redirect = on_one(self._redirect, "Redirect a delivery", body=json_of(RedirectRequest))
        of_one = {"id": RowId}
        return [
            Endpoint("/curator/deliveries", {"GET": listed}),
            Endpoint("/curator/deliveries/retry", {"POST": retry_many}),
            Endpoint("/curator/deliveries/cancel", {"POST": cancel_many}),
            Endpoint("/curator/deliveries/redirect", {"POST": redirect_many}),
            Endpoint("/curator/deliveries/{id}", {"GET": described}, of_one),
            Endpoint("/curator/deliveries/{id}/retry", {"POST": retry}, of_one),
            Endpoint("/curator/deliveries/{id}/cancel", {"POST": cancel}, of_one),
            Endpoint("/curator/deliveries/{id}/redirect", {"POST": redirect}, of_one),
        ]

    def _of_destinations(self) -> list[Endpoint]:
        listed = Method(
            self._list_destinations,
            "List destinations",
            json_of(list[DestinationAnswer]),
            errors=(400,),
        )
        described = Method(
            self._get_destination, "Look at a destination", json_of(DestinationAnswer)
        )
        action = partial(Method, body=json_of(NoOptions), body_required=False)
        tested = action(self._test, "Try a destination", json_of(Tried))
        paused = action(self._pause, "Send nothing for a while", json_of(DestinationAnswer))
        resumed = action(self._resume, "Send again", json_of(DestinationAnswer))
        of_one = {"name": DestinationName}
        return [
            Endpoint("/curator/destinations", {"GET": listed}),
            Endpoint("/curator/destinations/{name}", {"GET": described}, of_one),
            Endpoint("/curator/destinations/{name}/test", {"POST": tested}, of_one),
            Endpoint("/curator/destinations/{name}/pause", {"POST": paused}, of_one),
            Endpoint("/curator/destinations/{name}/resume", {"POST": resumed}, of_one),
        ]

    # Deliveries

    def _list(self, encoded: Request) -> Response:
        request = filters(encoded, _FILTERS)
        since, limit = page(request)
        resource = request.query.get("resource")
        which = Filter(
            states=words(request, "state", DeliveryState),
            destination=request.query.get("destination"),
            rule=request.query.get("rule"),
            run=request.query.get("run"),
            resources=self._related(resource) if resource else (),
        )
        found = self._ledger.find(which, since, limit + 1)
        answer: DeliveriesPage = {
            "Deliveries": [describe(delivery) for delivery in found[:limit]],
            "Done": len(found) <= limit,
            "Last": since + len(found[:limit]),
        }
        return json_response(answer)

    def _related(self, orthanc_id: str, *, above: bool = True) -> tuple[str, ...]:
        """Return a resource and those below it, as far as deliveries may be about them.

        Parameters
        ----------
        above : bool
            Whether those above it too, which it is a part of.
        """
        found = {orthanc_id: None}
        for resource in self._gateway.lookup([orthanc_id]):
            scope = Scope(self._gateway, resource)
            for level in _LEVELS:
                if above or _LEVELS.index(level) >= _depth(resource.level):
                    found |= {one.orthanc_id: None for one in scope.at(level)}
        return tuple(found)

    def _get(self, request: Request) -> Response:
        delivery = self._delivery(request)
        described: DeliveryDescription = {
            **describe(delivery),
            "Event": delivery.event,
            "Instances": [_describe_instance(row) for row in self._ledger.instances(delivery.id)],
        }
        return json_response(described)

    def _retry(self, request: Request) -> Response:
        delivery = self._delivery(request)
        _no_options(request)
        return self._one(request, delivery, "retry", self._retry_all(request, _only(delivery)))

    def _cancel(self, request: Request) -> Response:
        delivery = self._delivery(request)
        _no_options(request)
        return self._one(
            request, delivery, "cancel", self._ledger.cancel([delivery.id], request.user)
        )

    def _one(
        self, request: Request, delivery: Delivery, action: str, changed: list[Delivery]
    ) -> Response:
        if not changed:
            current = self._ledger.get(delivery.id) or delivery
            possible = ", ".join(_STATES[action])
            raise Conflict(
                f"Delivery {delivery.id} is {current.state}; {action} is for those that are"
                f" {possible}"
            )
        self._audit(request, action, changed)
        return json_response(describe(changed[0]))

    def _redirect(self, request: Request) -> Response:
        delivery = self._delivery(request)
        to = self._destination_to(parse(RedirectRequest, json_object(request)).to)
        new = self._ledger.redirect(delivery.id, to, request.user)
        self._audit(request, "redirect", [delivery], To=to)
        return json_response(describe(new))

    def _retry_many(self, request: Request) -> Response:
        which = self._chosen(parse(DeliveryFilter, json_object(request)))
        return self._many(request, "retry", self._retry_all(request, which))

    def _cancel_many(self, request: Request) -> Response:
        which = self._chosen(parse(DeliveryFilter, json_object(request)))
        return self._many(request, "cancel", self._ledger.cancel_all(which, request.user))

    def _redirect_many(self, request: Request) -> Response:
        body = parse(RedirectFilter, json_object(request))
        to = self._destination_to(body.to)
        redirected = []
        for delivery in self._ledger.find(self._chosen(body)):
            if delivery.state in UNFINISHED_DELIVERIES and delivery.destination != to:
                try:
                    self._ledger.redirect(delivery.id, to, request.user)
                except (Conflict, NotFound):  # it has just ended
                    continue
                redirected.append(delivery)
        return self._many(request, "redirect", redirected, To=to)

    def _many(
        self, request: Request, action: str, changed: list[Delivery], **details: str
    ) -> Response:
        self._audit(request, action, changed, **details)
        return json_response({"Count": len(changed)})

    def _retry_all(self, request: Request, which: Filter) -> list[Delivery]:
        changed = self._ledger.retry(which, request.user)
        for destination in {delivery.destination for delivery in changed}:
            self._couriers.wake(destination, hurry=True)
        return changed

    def _chosen(self, body: DeliveryFilter) -> Filter:
        """Return what selects the deliveries of a body; a forgotten filter must not mean all."""
        which = Filter(
            states=(body.state,) if body.state else (),
            destination=body.destination,
            rule=body.rule,
            run=body.run,
            resources=self._related(body.resource, above=False) if body.resource else (),
        )
        if (which == Filter()) != body.all_:
            raise BadRequest(
                '$: name "State", "Destination", "Rule", "Run" or "Resource", or only "All": true'
            )
        return which

    def _delivery(self, request: Request) -> Delivery:
        delivery = self._ledger.get(request.groups[0])
        if delivery is None:
            raise NotFound(f"Unknown delivery: {request.groups[0]}")
        return delivery

    def _destination_to(self, name: str) -> str:
        problem = self._destinations.problem(name)
        if problem is not None:
            raise BadRequest(f"$.To: {problem}")
        return name

    def _audit(
        self, request: Request, action: str, changed: list[Delivery], **details: str
    ) -> None:
        for one in changed:
            told = {
                "Delivery": one.id,
                "Destination": one.destination,
                "Rule": one.rule,
                "Version": one.version,
                **details,
            }
            self._gateway.audit(request.user, one.level, one.resource, action, told)

    # Destinations

    def _list_destinations(self, request: Request) -> Response:
        filters(request)
        known = self._destinations.names()
        counts = self._ledger.counts()
        paused = self._paused()
        names = sorted({*known, *counts})
        return json_response(
            [
                self._describe_destination(name, name in known, counts.get(name, {}), paused)
                for name in names
            ]
        )

    def _get_destination(self, request: Request) -> Response:
        name = self._name(request)
        is_known = name in self._destinations.names()
        counts = {state: self._ledger.count(name, state) for state in DeliveryState}
        return json_response(self._describe_destination(name, is_known, counts, self._paused()))

    def _describe_destination(
        self,
        name: str,
        is_known: bool,
        counts: Mapping[DeliveryState, int],
        paused: set[str],
    ) -> DestinationAnswer:
        oldest = self._ledger.oldest(name)
        return {
            "Name": name,
            "Kind": name.partition(":")[0],
            "Known": is_known,
            "Paused": name in paused,
            "Breaker": self._couriers.breaker(name),
            "Deliveries": {state: counts.get(state, 0) for state in DeliveryState},
            "FailedAttempts": self._couriers.failed(name),
            "Oldest": None if oldest is None else utc(oldest),
        }

    def _paused(self) -> set[str]:
        return {one.name for one in self._pauses.all() if one.kind == PauseKind.DESTINATION}

    def _test(self, request: Request) -> Response:
        name = request.groups[0]
        _no_options(request)
        return json_response(self._destinations.get(name).test())

    def _pause(self, request: Request) -> Response:
        name = self._name(request)
        _no_options(request)
        self._pauses.pause(PauseKind.DESTINATION, name, request.user)
        logger.info("Destination paused by %s: %s", request.user or "-", name)
        return self._get_destination(request)

    def _resume(self, request: Request) -> Response:
        name = self._name(request)
        _no_options(request)
        self._pauses.resume(PauseKind.DESTINATION, name)
        logger.info("Destination resumed by %s: %s", request.user or "-", name)
        return self._get_destination(request)

    def _name(self, request: Request) -> str:
        """Return the name of a destination that there is, or that something was to be sent to."""
        (name,) = request.groups
        problem = self._destinations.problem(name)
        if problem is not None and name not in self._ledger.destinations():
            raise NotFound(problem)
        return name


#: States that an action is for.
_STATES: Mapping[str, tuple[DeliveryState, ...]] = {
    "retry": RETRYABLE,
    "cancel": UNFINISHED_DELIVERIES,
}


def describe(delivery: Delivery) -> DeliverySummary:
    """Return the JSON of a delivery."""
    described: DeliverySummary = {
        "ID": delivery.id,
        "Run": delivery.run,
        "Rule": delivery.rule,
        "Version": delivery.version,
        "Level": delivery.level,
        "Resource": delivery.resource,
        "Destination": delivery.destination,
        "Priority": delivery.priority,
        "State": delivery.state,
        "Attempts": delivery.attempts,
        "Failure": delivery.failure,
        "Answer": delivery.answer,
        "InstancesCount": delivery.instances,
        "Done": delivery.done,
        "User": delivery.user,
        "CreationTime": utc(delivery.created),
        "ChangeTime": utc(delivery.changed),
    }
    if delivery.state == DeliveryState.QUEUED:
        described["NextAttempt"] = utc(delivery.next_attempt)
    return described


def _describe_instance(row: Row) -> DeliveredInstance:
    return {"ID": row["instance"], "State": row["state"], "Answer": row["answer"]}


def _depth(level: Level) -> int:
    return tuple(Level).index(level)


def _only(delivery: Delivery) -> Filter:
    return Filter(ids=(delivery.id,))


def _no_options(request: Request) -> None:
    """Refuse a body that asks for anything."""
    if request.body.strip():
        parse(NoOptions, json_object(request))
