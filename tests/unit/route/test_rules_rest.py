"""``/curator/rules``: look, change, go back, run by hand, try and replay."""

import base64
import json
import logging
import uuid

import pytest

from curator.gateway import Gateway
from curator.jobs import JobEngine
from curator.level import Level
from curator.notation import MAX_LENGTH
from curator.route.definitions import define
from curator.route.events import Event
from curator.route.inventory import Inventory
from curator.route.kinds import RunState, Trigger
from curator.route.ledger import Ledger
from curator.route.live import LiveRules
from curator.route.pauses import PauseKind, Pauses
from curator.route.reading import FactsReader
from curator.route.replay import Parts, ReplayService
from curator.route.rule_store import RuleStore
from curator.route.rules_rest import RulesApi
from curator.route.run import Run, Subject
from curator.route.runs import Runs
from curator.route.testing import Trials
from curator.route.trial_rest import TrialApi
from curator.route.validation import RuleReader, ServerNames
from factory import make_instance, make_series
from unit.route.asking import Asked
from unit.route.searchable import SearchableOrthanc

EVENT = Event(Trigger.STABLE_STUDY, Level.STUDY, "study")

CT = {"Tag": "Modality", "Equals": "CT"}


def rule(name: str, **fields) -> dict:
    return {"Name": name, "When": "StableStudy", "Then": [{"Send": "folder:out"}], **fields}


@pytest.fixture
def orthanc():
    orthanc = SearchableOrthanc()
    for dicom in make_series(2, Modality="CT"):
        orthanc.receive(dicom)
    return orthanc


@pytest.fixture
def study(orthanc):
    (found,) = orthanc.of(Level.STUDY)
    return found


class Site:
    """The endpoints of rules with all that is behind them."""

    def __init__(self, orthanc, store) -> None:
        problems: list[str] = []
        gateway = Gateway(orthanc)
        defined = define([rule("fixed", If=CT)], [], None, RuleReader(), problems)
        assert problems == []
        surroundings = ServerNames(
            lambda name: None if name.endswith(":out") else f'there is no "{name}"',
            lambda name: None,
            set,
        )
        self.store = store
        self.live = LiveRules(defined, RuleStore(store), RuleReader(), surroundings)
        self.runs = Runs(store, lambda: 1000.0)
        self.pauses = Pauses(store)
        ledger = Ledger(store, lambda: 1000.0)
        reader = FactsReader(gateway, "ISO_IR 6", lambda: 1000.0)
        trials = Trials(gateway, reader, Inventory(gateway), ledger)
        parts = Parts(gateway, self.live, trials, self.runs, ledger, self.fire)
        replays = ReplayService(parts)
        self.engine = JobEngine(store, {replays.job_type: replays.task}, 1, 10)
        trying = TrialApi(self.live, trials, replays, self.engine)
        rules = RulesApi(self.live, self.runs, self.pauses, self.fire, gateway)
        self.api = Asked([*trying.endpoints(), *rules.endpoints()], gateway)

    def fire(self, event, user, only) -> list[Run]:
        run = Run(
            id=str(uuid.uuid4()),
            rule=only.name,
            version=only.version,
            trigger=event.trigger,
            level=event.level,
            resource=event.resource,
            priority=0,
            due=0.0,
            subjects=(Subject(event.level, event.resource),),
            content={},
            created=4e9,
            changed=4e9,
            user=user,
        )
        with self.store.transaction() as connection:
            self.runs.add([run], connection)
        return [run]


@pytest.fixture
def site(orthanc, store):
    site = Site(orthanc, store)
    yield site
    site.engine.stop()


@pytest.fixture
def api(site):
    return site.api


def put(api, *rules: dict) -> int:
    return api.answer("PUT", "/curator/rules", {"Rules": list(rules)})["Number"]


def names(api) -> list[str]:
    return [one["Name"] for one in api.answer("GET", "/curator/rules")["Rules"]]


def test_rules_are_listed_with_where_they_come_from_and_how_they_stand(api, site):
    put(api, rule("a", Version="2", Description="what for", Enabled=False))
    (fixed,) = site.fire(EVENT, "", site.live.definition("fixed").rule)
    site.runs.change(fixed.id, state=RunState.FAILED)
    api.answer("POST", "/curator/rules/fixed/pause")
    listed = api.answer("GET", "/curator/rules")
    assert (listed["Number"], listed["Receive"], listed["Problems"]) == (1, [], [])
    assert listed["Rules"] == [
        {
            "Name": "fixed",
            "Version": "1",
            "Description": "",
            "Source": "Configuration",
            "Place": "$.Curator.Rules[0]",
            "When": "StableStudy",
            "Priority": 0,
            "Destinations": ["folder:out"],
            "Enabled": True,
            "Paused": True,
            "Runs": {"Failed": 1},
        },
        {
            "Name": "a",
            "Version": "2",
            "Description": "what for",
            "Source": "Database",
            "Place": "",
            "When": "StableStudy",
            "Priority": 0,
            "Destinations": ["folder:out"],
            "Enabled": False,
            "Paused": False,
            "Runs": {},
        },
    ]


def test_a_rule_is_shown_as_it_was_written_and_can_be_put_back(api):
    written = rule("a", If={"All": [CT]}, Tests=[{"Name": "t", "Tags": {"Modality": "CT"}}])
    assert api.answer("PUT", "/curator/rules/a", written) == {"Number": 1}
    shown = api.answer("GET", "/curator/rules/a")
    assert shown == written
    assert api.answer("PUT", "/curator/rules/a", shown) == {"Number": 2}


def test_rules_may_be_written_in_yaml(api):
    text = b"# nightly\nRules:\n- Name: a\n  When: StableStudy\n  Then: [{Send: folder:out}]\n"
    assert api.answer("PUT", "/curator/rules", text) == {"Number": 1}
    assert names(api) == ["fixed", "a"]
    assert "twice" in api.refusal(400, "PUT", "/curator/rules", b'{"Rules": [], "Rules": []}')


def test_a_wrong_set_is_refused_whole_and_the_old_one_stays(api):
    put(api, rule("a"))
    body = {"Rules": [rule("b"), rule("c", Wen=1), rule("d", Then=[{"Send": "Folder"}])]}
    details = api.refusal(400, "PUT", "/curator/rules", body)
    assert "$.Rules[1].Wen: unknown field" in details
    assert "$.Rules[2].Then[0].Send" in details
    assert names(api) == ["fixed", "a"]


def test_a_name_in_the_uri_is_that_of_the_rule(api):
    assert "$.Name" in api.refusal(400, "PUT", "/curator/rules/a", rule("b"))
    body = rule("b")
    del body["Name"]
    api.answer("PUT", "/curator/rules/a", body)
    assert names(api) == ["fixed", "a"]


@pytest.mark.parametrize(
    ("method", "uri"),
    [
        ("GET", "/curator/rules/none"),
        ("DELETE", "/curator/rules/none"),
        *(
            ("POST", f"/curator/rules/none/{action}")
            for action in ("enable", "disable", "pause", "resume", "run")
        ),
    ],
)
def test_an_unknown_rule_is_not_found(api, method, uri):
    assert "none" in api.refusal(404, method, uri)


@pytest.mark.parametrize(
    ("method", "uri", "body"),
    [
        ("PUT", "/curator/rules/fixed", rule("fixed")),
        ("DELETE", "/curator/rules/fixed", None),
        ("POST", "/curator/rules/fixed/disable", None),
    ],
)
def test_what_the_configuration_has_is_changed_there(api, method, uri, body):
    assert "$.Curator.Rules[0]" in api.refusal(409, method, uri, body)


def test_rules_are_deleted_disabled_and_enabled(api):
    put(api, rule("a"), rule("b"))
    assert api.ask("DELETE", "/curator/rules/a").status == 200
    assert names(api) == ["fixed", "b"]
    assert api.answer("POST", "/curator/rules/b/disable") == {"Number": 3}
    assert api.answer("GET", "/curator/rules/b")["Enabled"] is False
    assert api.answer("POST", "/curator/rules/b/enable", {}) == {"Number": 4}
    assert "$.X" in api.refusal(400, "POST", "/curator/rules/b/enable", {"X": 1})


def test_runs_of_a_rule_that_is_not_there_any_more_can_go_on(api, site):
    put(api, rule("a"))
    site.fire(EVENT, "", site.live.definition("a").rule)
    api.answer("POST", "/curator/rules/a/pause")
    put(api)
    assert api.answer("POST", "/curator/rules/a/resume") == {"Paused": False}
    assert site.pauses.all() == []


def test_a_pause_survives_a_change_of_the_rule_and_ends_with_resume(api, site):
    assert api.answer("POST", "/curator/rules/fixed/pause") == {"Paused": True}
    put(api, rule("a"))
    assert site.pauses.paused(PauseKind.RULE, "fixed")
    assert api.answer("POST", "/curator/rules/fixed/resume") == {"Paused": False}
    assert not site.pauses.paused(PauseKind.RULE, "fixed")


def test_earlier_sets_stay_readable_and_can_be_used_again(api):
    put(api, rule("a"))
    put(api, rule("b"))
    assert api.answer("POST", "/curator/rules/rollback", {"To": 1}) == {"Number": 3}
    assert names(api) == ["fixed", "a"]
    history = api.answer("GET", "/curator/rules/history")
    assert [(one["Number"], one["User"], one["Rules"]) for one in history] == [
        (3, "someone", ["a"]),
        (2, "someone", ["b"]),
        (1, "someone", ["a"]),
    ]
    assert api.answer("GET", "/curator/rules/history", since="1", limit="1") == [history[1]]
    content = api.answer("GET", "/curator/rules/history/2")
    assert content == {"Rules": [rule("b")]}
    assert api.answer("PUT", "/curator/rules", content) == {"Number": 4}


@pytest.mark.parametrize("number", ["0", "9", "x", "-1", "٣", "9" * 5000])
def test_a_set_that_never_was_is_not_found(api, number):
    api.refusal(404, "GET", f"/curator/rules/history/{number}")


@pytest.mark.parametrize("to", [0, -1, "1", None, 1.5, True, 2**31, 10**30])
def test_a_rollback_needs_a_number(api, to):
    assert "$.To" in api.refusal(400, "POST", "/curator/rules/rollback", {"To": to})
    api.refusal(404, "POST", "/curator/rules/rollback", {"To": 99})


def test_every_change_is_logged_with_who_and_which_and_no_content(api, caplog):
    with caplog.at_level(logging.INFO, "curator"):
        put(api, rule("a", If={"Tag": "PatientName", "Equals": "SECRET"}))
        api.answer("PUT", "/curator/rules/b", rule("b"))
        for action in ("disable", "enable", "pause", "resume"):
            api.answer("POST", f"/curator/rules/b/{action}")
        api.answer("POST", "/curator/rules/rollback", {"To": 1})
        api.ask("DELETE", "/curator/rules/a")
    assert len(caplog.messages) == 8
    assert all("someone" in message for message in caplog.messages)
    assert "SECRET" not in caplog.text


def test_the_schema_is_that_of_a_set(api):
    schema = api.answer("GET", "/curator/schemas/rules")
    assert set(schema["properties"]) == {"Rules", "Receive"}


# By hand


def test_a_rule_is_run_by_hand_on_resources_of_its_level(api, site, orthanc, study):
    (told,) = api.answer("POST", "/curator/rules/fixed/run", {"Resources": [study]})
    (run,) = site.runs.find(rule="fixed")
    assert told == {"Level": "Study", "Resource": study, "Runs": [run.id]}
    assert run.user == "someone"
    ((_, user, _, resource, action, data),) = orthanc.audits
    assert (user, resource, action) == ("someone", study, "run")
    assert json.loads(data) == {"Rule": "fixed", "Version": "1", "Runs": [run.id]}


def test_nothing_is_run_where_one_resource_is_wrong(api, site, orthanc, study):
    series = next(iter(orthanc.of(Level.SERIES)))
    uri = "/curator/rules/fixed/run"
    assert "$.Resources[1]" in api.refusal(404, "POST", uri, {"Resources": [study, "none"]})
    assert "$.Resources[1]" in api.refusal(400, "POST", uri, {"Resources": [study, series]})
    assert "$.Resources" in api.refusal(400, "POST", uri, {"Resources": []})
    assert site.runs.find() == []


def test_rules_that_cannot_be_run_are_refused(api, study):
    notice = rule("notice", When="Deleted", Then=[{"Send": "webhook:out"}])
    put(api, rule("off", Enabled=False), notice)
    body = {"Resources": [study]}
    assert "disabled" in api.refusal(409, "POST", "/curator/rules/off/run", body)
    assert "notice" in api.refusal(400, "POST", "/curator/rules/notice/run", body)


# Tried


def test_the_rules_in_use_are_tried_on_a_resource(api, study):
    put(api, rule("mr", If={"Tag": "Modality", "Equals": "MR"}))
    told = api.answer("POST", "/curator/rules/test", {"Resource": study})
    assert (told["Resource"], told["Level"], told["Failures"]) == (study, "Study", [])
    assert [(one["Rule"], one["Fires"], one["StoppedBy"]) for one in told["Rules"]] == [
        ("fixed", True, ""),
        ("mr", False, "$.If"),
    ]
    assert told["Rules"][0]["Sends"] == [
        {"Destination": "folder:out", "InstancesCount": 2, "SentBeforeCount": 0}
    ]


def test_rules_of_the_body_are_tried_with_their_test_cases_and_are_not_kept(api, study):
    wrong = rule("new", Tests=[{"Name": "never", "Fires": False}])
    told = api.answer("POST", "/curator/rules/test", {"Resource": study, "Rules": [wrong]})
    assert [one["Rule"] for one in told["Rules"]] == ["new"]
    (failure,) = told["Failures"]
    assert failure.startswith("$.Rules[0].Tests[0]: ")
    assert names(api) == ["fixed"]


def test_a_file_is_tried_as_the_body_or_in_base64(api):
    dicom = make_instance(Modality="MR")
    told = api.answer("POST", "/curator/rules/test", dicom)
    body = {"Dicom": base64.b64encode(dicom).decode(), "Trigger": "StableStudy"}
    assert api.answer("POST", "/curator/rules/test", body) == told
    assert [(one["Rule"], one["Reason"]) for one in told["Rules"]] == [("fixed", "Condition")]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "$"),
        ({"Resource": "x", "Dicom": "AA=="}, "$"),
        ({"Dicom": "not Base64"}, "$.Dicom"),
        ({"Dicom": "é"}, "$.Dicom"),
        ({"Resource": "x", "Trigger": "Stable"}, "$.Trigger"),
        ({"Resource": "x", "Rules": [{"Name": "a"}]}, "$.Rules[0].When"),
        ({"Resource": "x", "Rules": {}}, "$.Rules"),
        ({"Resource": "x", "Rules": ["x" * MAX_LENGTH]}, "$.Rules: has more than"),
        ({"Resource": "x", "Rule": []}, '"Rules"'),
    ],
)
def test_a_wrong_trial_is_refused_with_its_path(api, body, path):
    assert path in api.refusal(400, "POST", "/curator/rules/test", body)


def test_a_trial_on_what_is_not_stored_is_not_found(api):
    assert "nothing" in api.refusal(404, "POST", "/curator/rules/test", {"Resource": "nothing"})


# Replayed


def test_a_replay_is_a_job_that_is_waited_for_or_not(api, site, study):
    site.engine.start()
    told = api.answer("POST", "/curator/rules/replay", {"Rules": ["fixed"], "DryRun": True})
    assert told["Rules"][0]["Resources"] == [study]
    body = {"Rules": ["fixed"], "Asynchronous": True}
    started = api.answer("POST", "/curator/rules/replay", body)
    assert started["Path"] == f"/jobs/{started['ID']}"
    content = site.engine.wait(started["ID"])
    assert content["Rules"][0]["RunsCount"] == 1
    assert site.engine.describe(started["ID"])["Type"] == "CuratorReplay"
    (run,) = site.runs.find(rule="fixed")
    assert (run.resource, run.user) == (study, "someone")


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        ({}, 400, "$.Rules"),
        ({"Rules": []}, 400, "$.Rules"),
        ({"Rules": ["fixd"]}, 404, '"fixed"'),
        ({"Rules": ["fixed"], "Level": "Studies"}, 400, "$.Level"),
        ({"Rules": ["fixed"], "DryRn": True}, 400, '"DryRun"'),
        ({"Rules": ["fixed"], "Query": {"PatientID": 5}}, 400, "$.Query"),
        ({"Rules": ["fixed"], "UserData": "x" * MAX_LENGTH}, 400, f"more than {MAX_LENGTH} bytes"),
    ],
)
def test_a_wrong_replay_is_refused_before_it_is_a_job(api, site, body, status, why):
    assert why in api.refusal(status, "POST", "/curator/rules/replay", body)
    assert site.engine.ids() == []
