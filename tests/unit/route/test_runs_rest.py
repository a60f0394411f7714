"""``/curator/runs``: lists, one with its deliveries, and what users may do with them."""

from dataclasses import dataclass, field

import pytest

from curator.errors import Conflict
from curator.gateway import Gateway
from curator.level import Level
from curator.route.delivery import Item, SendOptions
from curator.route.kinds import RunState, Trigger
from curator.route.ledger import Ledger
from curator.route.run import Run, Subject
from curator.route.runs import Runs
from curator.route.runs_rest import STATES, RunsApi
from unit.fake_sdk import FakeSdk
from unit.route.asking import Asked


@dataclass
class Users:
    """Takes the place of the runner: does what it is told, if it lets itself be told."""

    runs: Runs
    willing: set[str] = field(default_factory=lambda: {f"run-{index}" for index in range(5)})
    done: list[tuple[str, str]] = field(default_factory=list)

    def retry(self, run_id: str) -> Run:
        return self._note("retry", run_id, RunState.WAITING)

    def cancel(self, run_id: str) -> Run:
        return self._note("cancel", run_id, RunState.CANCELED)

    def release(self, run_id: str) -> Run:
        return self._note("release", run_id, RunState.WAITING)

    def _note(self, action: str, run_id: str, state: RunState) -> Run:
        if run_id not in self.willing:
            raise Conflict(f"Run {run_id} is over")
        self.done.append((action, run_id))
        self.runs.change(run_id, state=state)
        return self.runs.get(run_id)


@pytest.fixture
def runs(store):
    runs = Runs(store, lambda: 1000.0)
    states = (RunState.WAITING, RunState.HELD, RunState.FAILED, RunState.DONE, RunState.FAILED)
    made = [
        Run(
            id=f"run-{index}",
            rule="a" if index % 2 else "b",
            version="1",
            trigger=Trigger.STABLE_STUDY,
            level=Level.STUDY,
            resource=f"study-{index}",
            priority=0,
            due=1234.5,
            subjects=(Subject(Level.STUDY, f"study-{index}"),),
            content={"Name": "a"},
            created=float(index),
            changed=float(index),
            state=state,
            deadline=99.0 if state == RunState.HELD else None,
        )
        for index, state in enumerate(states)
    ]
    with store.transaction() as connection:
        runs.add(made, connection)
    return runs


@pytest.fixture
def ledger(store):
    return Ledger(store, lambda: 1000.0)


@pytest.fixture
def users(runs):
    return Users(runs)


@pytest.fixture
def sdk():
    return FakeSdk()


@pytest.fixture
def api(runs, ledger, users, sdk):
    gateway = Gateway(sdk)
    return Asked(RunsApi(runs, ledger, users, gateway).endpoints(), gateway)


def ids(listed: dict) -> list[str]:
    return [one["ID"] for one in listed["Runs"]]


def test_runs_are_listed_latest_first(api):
    listed = api.answer("GET", "/curator/runs")
    assert ids(listed) == [f"run-{index}" for index in (4, 3, 2, 1, 0)]
    assert (listed["Done"], listed["Last"]) == (True, 5)
    assert listed["Runs"][-1] == {
        "ID": "run-0",
        "Rule": "b",
        "Version": "1",
        "Trigger": "StableStudy",
        "Level": "Study",
        "Resource": "study-0",
        "Priority": 0,
        "State": "Waiting",
        "Step": 0,
        "Attempts": 0,
        "Error": "",
        "Job": "",
        "User": "",
        "CreationTime": "19700101T000000.000000",
        "ChangeTime": "19700101T000000.000000",
        "Due": "19700101T002034.500000",
    }
    assert listed["Runs"][3]["Deadline"] == "19700101T000139.000000"


def test_lists_come_in_pages(api):
    page = api.answer("GET", "/curator/runs", since="1", limit="2")
    assert ids(page) == ["run-3", "run-2"]
    assert (page["Done"], page["Last"]) == (False, 3)
    assert api.answer("GET", "/curator/runs", since="3", limit="2")["Done"] is True


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"state": "Failed"}, ["run-4", "run-2"]),
        ({"state": "Held,Done"}, ["run-3", "run-1"]),
        ({"rule": "a"}, ["run-3", "run-1"]),
        ({"resource": "study-4"}, ["run-4"]),
        ({"rule": "a", "state": "Failed"}, []),
    ],
)
def test_lists_are_filtered(api, query, expected):
    assert ids(api.answer("GET", "/curator/runs", **query)) == expected


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"state": "Faild"}, '"Failed"'),
        ({"stat": "Failed"}, '"state"'),
        ({"limit": "-1"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"since": "1e3"}, "since"),
        ({"limit": "9" * 5000}, "limit"),
        ({"limit": "٣"}, "limit"),
    ],
)
def test_wrong_arguments_are_refused_by_name(api, query, why):
    assert why in api.refusal(400, "GET", "/curator/runs", **query)


def test_one_run_is_shown_with_its_rule_and_deliveries(api, runs, ledger):
    ledger.open(runs.get("run-3"), "folder:out", [Item("i", "f")], SendOptions())
    shown = api.answer("GET", "/curator/runs/run-3")
    assert shown["Content"] == {"Name": "a"}
    assert shown["Subjects"] == [{"Level": "Study", "ID": "study-3"}]
    (delivery,) = shown["Deliveries"]
    assert (delivery["Destination"], delivery["State"]) == ("folder:out", "Queued")
    assert delivery["Run"] == "run-3"


@pytest.mark.parametrize(
    ("method", "uri"),
    [
        ("GET", "/curator/runs/nothing"),
        *(("POST", f"/curator/runs/nothing/{one}") for one in STATES),
    ],
)
def test_an_unknown_run_is_not_found(api, method, uri):
    assert "nothing" in api.refusal(404, method, uri)


@pytest.mark.parametrize(
    ("action", "run_id"), [("retry", "run-2"), ("cancel", "run-0"), ("release", "run-1")]
)
def test_users_act_on_one_run_and_that_is_audited(api, users, sdk, action, run_id):
    answer = api.answer("POST", f"/curator/runs/{run_id}/{action}")
    assert answer["ID"] == run_id
    assert answer["State"] == ("Canceled" if action == "cancel" else "Waiting")
    assert users.done == [(action, run_id)]
    ((_, user, _, resource, audited, _),) = sdk.audits
    assert (user, resource, audited) == ("someone", run_id.replace("run", "study"), action)


@pytest.mark.parametrize("action", STATES)
def test_a_run_that_cannot_be_acted_on_is_a_conflict(api, users, sdk, action):
    users.willing.remove("run-3")
    assert "run-3" in api.refusal(409, "POST", f"/curator/runs/run-3/{action}")
    assert users.done == sdk.audits == []


def test_of_many_those_that_have_just_ended_are_passed_over(api, users, sdk):
    users.willing.remove("run-4")
    assert api.answer("POST", "/curator/runs/retry", {"State": "Failed"}) == {"Count": 1}
    assert [one[1] for one in users.done] == ["run-2"]
    assert len(sdk.audits) == 1


def test_an_action_on_one_run_has_no_options(api):
    assert "$.Force" in api.refusal(400, "POST", "/curator/runs/run-2/retry", {"Force": True})
    api.answer("POST", "/curator/runs/run-2/retry", {})


@pytest.mark.parametrize(
    ("action", "body", "expected"),
    [
        ("retry", {"State": "Failed"}, ["run-4", "run-2"]),
        ("retry", {"Rule": "a"}, []),
        ("retry", {"All": True}, ["run-4", "run-2", "run-0"]),
        ("cancel", {"Rule": "b"}, ["run-4", "run-2", "run-0"]),
        ("cancel", {"Resource": "study-1"}, ["run-1"]),
        ("release", {"All": True}, ["run-1"]),
    ],
)
def test_users_act_on_all_that_a_filter_selects(api, users, sdk, action, body, expected):
    assert api.answer("POST", f"/curator/runs/{action}", body) == {"Count": len(expected)}
    assert [one[1] for one in users.done] == expected
    assert len(sdk.audits) == len(expected)


@pytest.mark.parametrize(
    ("action", "body", "why"),
    [
        ("retry", {}, "All"),
        ("retry", {"All": True, "Rule": "a"}, "alone"),
        ("release", {"State": "Failed"}, "$.State"),
        ("cancel", {"State": "Faild"}, '"Failed"'),
        ("cancel", {"Rul": "a"}, '"Rule"'),
    ],
)
def test_a_forgotten_or_wrong_filter_does_not_mean_all(api, users, action, body, why):
    assert why in api.refusal(400, "POST", f"/curator/runs/{action}", body)
    assert users.done == []
