"""``/curator/deliveries`` and ``/curator/destinations``."""

import base64
import json
import re
from typing import Any

import pytest

from curator.config import DestinationSettings
from curator.gateway import Gateway
from curator.level import Level
from curator.route.couriers import Couriers
from curator.route.deliveries_rest import DeliveriesApi
from curator.route.delivery_rows import Filter, InstanceState
from curator.route.kinds import DeliveryState
from curator.route.ledger import Ledger
from curator.route.pauses import PauseKind, Pauses
from curator.route.retry import Settlement
from curator.web import Request, Response, dispatch
from unit.reshape.memory import MemoryOrthanc
from unit.reshape.scenarios import MERGE
from unit.route.delivering import (
    OTHER,
    PACS,
    START,
    Clock,
    FakeDestination,
    FakeDestinations,
    opened,
)

USER = {"authorization": "Basic " + base64.b64encode(b"alice:secret").decode()}


class Place:
    """The endpoints, with what is behind them."""

    def __init__(self, store, sdk: MemoryOrthanc) -> None:
        self.sdk = sdk
        self.gateway = Gateway(sdk)
        self.clock = Clock()
        self.ledger = Ledger(store, self.clock)
        self.pauses = Pauses(store)
        self.pacs = FakeDestination(PACS)
        self.destinations = FakeDestinations({PACS: self.pacs, OTHER: FakeDestination(OTHER)})
        self.couriers = Couriers(
            self.ledger,
            self.destinations,
            {PACS: DestinationSettings(concurrency=1)},
            self.pauses,
            self.gateway,
            self.clock,
        )
        api = DeliveriesApi(
            self.ledger, self.couriers, self.destinations, self.pauses, self.gateway
        )
        self.endpoints = api.endpoints()

    def ask(self, method: str, uri: str, body: Any = None, **query: str) -> Response:
        for endpoint in self.endpoints:
            match = re.fullmatch(endpoint.regex, uri)
            if match is not None:
                data = b"" if body is None else json.dumps(body).encode()
                request = Request(method, uri, match.groups(), query, USER, data)
                return dispatch(endpoint, request, self.gateway, describe=True)
        raise LookupError(uri)

    def get(self, uri: str, **query: str) -> Any:
        return answer(self.ask("GET", uri, **query))

    def post(self, uri: str, body: Any = None) -> Any:
        return answer(self.ask("POST", uri, body))

    def refused(self, method: str, uri: str, status: int, body: Any = None, **query: str) -> str:
        response = self.ask(method, uri, body, **query)
        assert response.status == status, response.body
        return str(json.loads(response.body)["Details"])

    def park(self, run_id: str, names=("a", "b"), to: str = PACS, **fields) -> str:
        opened(self.ledger, run_id, names, to, **fields)
        delivery = self.ledger.take(to, START)
        self.ledger.mark(delivery, {names[0]: "0xA900"}, InstanceState.REFUSED)
        parked = Settlement(DeliveryState.PARKED, 1, failure="Permanent", answer="1 was refused")
        self.ledger.settle(delivery, parked)
        return delivery.id

    def actions(self) -> list[tuple[Any, ...]]:
        return [(user, action) for _, user, _, _, action, _ in self.sdk.audits]


def answer(response: Response) -> Any:
    assert response.status == 200, response.body
    return json.loads(response.body)


@pytest.fixture
def place(store):
    return Place(store, MemoryOrthanc())


@pytest.fixture
def stored(store):
    """Endpoints of a server that has something."""
    return Place(store, MERGE.orthanc())


def ids(page: dict[str, Any]) -> list[str]:
    return [one["ID"] for one in page["Deliveries"]]


# Lists


def test_whether_a_study_has_reached_a_destination_is_one_question(place):
    opened(place.ledger)
    delivery = place.ledger.take(PACS, START)
    place.ledger.confirm(delivery, ["a", "b"])
    place.ledger.settle(delivery, Settlement(DeliveryState.DELIVERED, 1))
    page = place.get("/curator/deliveries", resource="study", destination=PACS)
    (one,) = page["Deliveries"]
    assert (one["State"], one["InstancesCount"], one["Done"]) == ("Delivered", 2, 2)
    assert (one["Rule"], one["Level"], one["Resource"]) == ("rule", "Study", "study")
    assert page["Done"] is True
    assert place.get("/curator/deliveries", resource="study", destination=OTHER) == {
        "Deliveries": [],
        "Done": True,
        "Last": 0,
    }


def test_a_question_about_a_study_finds_its_series_and_its_patient(stored):
    study = next(iter(stored.sdk.of(Level.STUDY)))
    series = stored.sdk.below(study, Level.SERIES)[0]
    patient = stored.sdk.of(Level.STUDY)[study].parent
    stranger = next(one for one in stored.sdk.of(Level.STUDY) if one != study)
    for number, resource in enumerate((study, series, patient, stranger)):
        opened(stored.ledger, str(number), (str(number),), resource=resource)
    found = stored.get("/curator/deliveries", resource=study)["Deliveries"]
    assert {one["Resource"] for one in found} == {study, series, patient}


def test_a_study_that_was_deleted_is_still_answered_for(place):
    opened(place.ledger, resource="deleted")
    assert len(place.get("/curator/deliveries", resource="deleted")["Deliveries"]) == 1


def test_pages_follow_each_other(place):
    for number in range(5):
        place.clock.now = START + number
        opened(place.ledger, str(number), (str(number),))
    found, since, done = [], 0, False
    while not done:
        page = place.get("/curator/deliveries", since=str(since), limit="2")
        found += [one["Run"] for one in page["Deliveries"]]
        since, done = page["Last"], page["Done"]
    assert found == ["4", "3", "2", "1", "0"]


def test_lists_are_filtered_by_state_rule_and_run(place):
    parked = place.park("parked")
    opened(place.ledger, "queued", ("x",), rule="night")
    assert ids(place.get("/curator/deliveries", state="Parked")) == [parked]
    assert len(ids(place.get("/curator/deliveries", state="Parked,Queued"))) == 2
    assert ids(place.get("/curator/deliveries", run="parked")) == [parked]
    assert parked not in ids(place.get("/curator/deliveries", rule="night"))


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"state": "Park"}, "Parked"),
        ({"limit": "many"}, "limit"),
        ({"since": "-1"}, "since"),
        ({"destinations": PACS}, "destination"),
    ],
)
def test_a_wrong_filter_is_refused_with_what_would_be_right(place, query, words):
    assert words in place.refused("GET", "/curator/deliveries", 400, **query)


def test_arguments_are_read_as_either_release_hands_them_over(place):
    parked = place.park("parked")
    opened(place.ledger, "queued", ("x",), to=OTHER)
    for name in (PACS, "modality%3APACS"):
        assert ids(place.get("/curator/deliveries", destination=name)) == [parked]
    assert len(ids(place.get("/curator/deliveries", state="Parked%2CQueued"))) == 2


# One delivery


def test_a_delivery_shows_its_instances(place):
    parked = place.get(f"/curator/deliveries/{place.park('run')}")
    assert parked["State"] == "Parked"
    assert parked["Answer"] == "1 was refused"
    assert parked["Instances"] == [
        {"ID": "a", "State": "Refused", "Answer": "0xA900"},
        {"ID": "b", "State": "Queued", "Answer": ""},
    ]


@pytest.mark.parametrize("uri", ["", "/retry", "/cancel", "/redirect"])
def test_an_unknown_delivery_is_not_found(place, uri):
    method = "POST" if uri else "GET"
    body = {"To": OTHER} if uri == "/redirect" else None
    details = place.refused(method, f"/curator/deliveries/none{uri}", 404, body)
    assert details == "Unknown delivery: none"


def test_a_parked_delivery_goes_again_and_it_is_known_who_wanted_it(place):
    parked = place.park("run")
    again = place.post(f"/curator/deliveries/{parked}/retry")
    assert (again["State"], again["Attempts"], again["User"]) == ("Queued", 0, "alice")
    assert place.actions() == [("alice", "retry")]


def test_a_delivery_is_canceled(place):
    delivery = opened(place.ledger)
    canceled = place.post(f"/curator/deliveries/{delivery.id}/cancel", {})
    assert (canceled["State"], canceled["User"]) == ("Canceled", "alice")
    assert place.actions() == [("alice", "cancel")]


@pytest.mark.parametrize("action", ["retry", "cancel"])
def test_what_is_over_is_a_conflict_that_says_so(place, action):
    delivery = opened(place.ledger)
    place.ledger.cancel([delivery.id], "")
    details = place.refused("POST", f"/curator/deliveries/{delivery.id}/{action}", 409)
    assert "is Canceled" in details
    assert "Parked" in details
    assert place.actions() == []


@pytest.mark.parametrize("action", ["retry", "cancel"])
def test_actions_without_options_refuse_any(place, action):
    parked = place.park("run")
    uri = f"/curator/deliveries/{parked}/{action}"
    assert "$.To" in place.refused("POST", uri, 400, {"To": OTHER})
    assert place.ledger.get(parked).state == DeliveryState.PARKED


def test_a_delivery_is_redirected(place):
    parked = place.park("run")
    new = place.post(f"/curator/deliveries/{parked}/redirect", {"To": OTHER})
    assert (new["Destination"], new["State"], new["InstancesCount"]) == (OTHER, "Queued", 2)
    assert new["ID"] != parked
    assert place.get(f"/curator/deliveries/{parked}")["State"] == "Redirected"
    assert place.actions() == [("alice", "redirect")]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"To": "modality:NONE"}, "$.To: there is no destination modality:NONE"),
        ({"To": PACS}, "goes to modality:PACS already"),
        ({}, "$.To: this field is required"),
        ({"Too": OTHER}, 'did you mean "To"?'),
    ],
)
def test_a_wrong_redirection_is_refused_and_changes_nothing(place, body, words):
    parked = place.park("run")
    uri = f"/curator/deliveries/{parked}/redirect"
    assert words in place.refused("POST", uri, 400, body)
    assert place.ledger.get(parked).state == DeliveryState.PARKED


# Many deliveries


def test_all_that_a_filter_names_go_again(place):
    for number in range(3):
        place.park(str(number), (f"{number}a", f"{number}b"))
    place.park("other", ("o",), OTHER)
    body = {"State": "Parked", "Destination": PACS}
    assert place.post("/curator/deliveries/retry", body) == {"Count": 3}
    states = {one.destination: one.state for one in place.ledger.find(Filter())}
    assert states == {PACS: "Queued", OTHER: "Parked"}
    assert place.actions() == [("alice", "retry")] * 3


def test_all_of_a_study_are_canceled_but_not_those_of_its_patient(stored):
    study = next(iter(stored.sdk.of(Level.STUDY)))
    series = stored.sdk.below(study, Level.SERIES)[0]
    patient = stored.sdk.of(Level.STUDY)[study].parent
    for number, resource in enumerate((study, series, patient)):
        opened(stored.ledger, str(number), (str(number),), resource=resource)
    assert stored.post("/curator/deliveries/cancel", {"Resource": study}) == {"Count": 2}
    (left,) = stored.ledger.find(Filter(states=(DeliveryState.QUEUED,)))
    assert left.resource == patient


def test_all_are_redirected_but_those_that_go_there_already(place):
    place.park("one", ("a",))
    place.park("two", ("b",))
    opened(place.ledger, "three", ("c",), to=OTHER)
    body = {"All": True, "To": OTHER}
    assert place.post("/curator/deliveries/redirect", body) == {"Count": 2}
    queued = place.ledger.find(Filter(states=(DeliveryState.QUEUED,)))
    assert {one.destination for one in queued} == {OTHER}
    assert len(queued) == 3


@pytest.mark.parametrize("action", ["retry", "cancel", "redirect"])
@pytest.mark.parametrize(
    "body", [{}, {"All": False}, {"All": True, "State": "Parked"}, {"State": "Park"}]
)
def test_a_forgotten_filter_does_not_mean_everything(place, action, body):
    parked = place.park("run")
    to = {"To": OTHER} if action == "redirect" else {}
    place.refused("POST", f"/curator/deliveries/{action}", 400, body | to)
    assert place.ledger.get(parked).state == DeliveryState.PARKED


# Destinations


def test_destinations_show_how_they_stand(place):
    place.park("one")
    place.clock.now += 5
    opened(place.ledger, "two", ("x",))
    opened(place.ledger, "gone", ("y",), to="modality:GONE")
    place.pauses.pause(PauseKind.DESTINATION, PACS, "")
    listed = {one["Name"]: one for one in place.get("/curator/destinations")}
    assert sorted(listed) == ["modality:GONE", PACS, OTHER]
    assert listed[PACS] == place.get(f"/curator/destinations/{PACS}")
    assert listed[PACS] == {
        "Name": PACS,
        "Kind": "modality",
        "Known": True,
        "Paused": True,
        "Breaker": "Closed",
        "Deliveries": {
            "Queued": 1,
            "Sending": 0,
            "Delivered": 0,
            "Parked": 1,
            "Canceled": 0,
            "Redirected": 0,
        },
        "FailedAttempts": 0,
        "Oldest": "20231114T221320.000000",
    }
    assert listed["modality:GONE"]["Known"] is False
    assert listed[OTHER]["Oldest"] is None


def test_a_destination_is_tried(place):
    uri = f"/curator/destinations/{PACS}/test"
    assert place.post(uri) == {"Success": True, "Answer": "tried"}
    place.pacs.back = False
    assert place.post(uri)["Success"] is False


def test_a_destination_is_paused_and_goes_on(place):
    for _ in range(2):
        assert place.post(f"/curator/destinations/{PACS}/pause")["Paused"] is True
    assert place.pauses.all()[0].user == "alice"
    for _ in range(2):
        assert place.post(f"/curator/destinations/{PACS}/resume")["Paused"] is False


@pytest.mark.parametrize("uri", ["", "/test", "/pause", "/resume"])
def test_an_unknown_destination_is_not_found(place, uri):
    method = "POST" if uri else "GET"
    assert "modality:NONE" in place.refused(
        method, f"/curator/destinations/modality:NONE{uri}", 404
    )


def test_one_that_was_removed_can_still_be_paused(place):
    opened(place.ledger, to="modality:GONE")
    assert place.post("/curator/destinations/modality:GONE/pause")["Paused"] is True
