"""The threads that watch: woken, not polling, and gone when Orthanc stops."""

import threading

import pytest

from curator.errors import NotFound
from curator.gateway import Gateway
from curator.level import Level
from curator.models import validate
from curator.route.events import Event
from curator.route.inventory import Inventory
from curator.route.kinds import RunState, Trigger
from curator.route.products import Products
from curator.route.reading import FactsReader
from curator.route.rule import RuleSet
from curator.route.runs import Runs
from curator.route.signals import Signals
from curator.route.watcher import Watcher
from factory import ct_series
from unit.reshape.memory import SteppedStore
from unit.route.logging_orthanc import STABLE_AGE, Clock, LoggingOrthanc, rule

STORED = rule("stored", "StoredInstance")
TELL = [{"Send": "webhook:told"}]
PATIENCE = 60


class Watching:
    """A watcher with its threads."""

    def __init__(self, orthanc: LoggingOrthanc, store: SteppedStore) -> None:
        self.orthanc = orthanc
        self.rules = validate(RuleSet, {})
        self.made = threading.Event()
        self.runs = Runs(store, orthanc.clock)
        gateway = Gateway(orthanc)
        self.watcher = Watcher(
            gateway,
            store,
            self.runs,
            lambda: self.rules,
            Products(store, gateway, Inventory(gateway)).among,
            FactsReader(gateway, "ISO_IR 100", orthanc.clock),
            Signals(orthanc),
            orthanc.clock,
            STABLE_AGE,
            90,
            self.made.set,
        )

    def use(self, *rules):
        self.rules = validate(RuleSet, {"Rules": list(rules)})
        self.watcher.rules_changed()

    def wait(self):
        assert self.made.wait(PATIENCE)
        self.made.clear()


@pytest.fixture
def orthanc():
    return LoggingOrthanc(Clock())


@pytest.fixture
def watching(orthanc, store):
    found = Watching(orthanc, store)
    yield found
    found.watcher.stop()


def put(orthanc, *files):
    return [orthanc.put_instance(file)[0] for file in files]


def begin(watching, *rules):
    """Start, and wait until it is known where the log ends."""
    watching.use(*rules)
    watching.watcher.start()
    state = watching.watcher._log
    deadline = threading.Event()
    for _ in range(PATIENCE * 1000):
        if state._kept is not None or not state.triggers:
            return
        deadline.wait(0.001)
    pytest.fail("it does not begin")


def test_a_change_wakes_the_reader(orthanc, watching):
    begin(watching, STORED)
    (instance,) = put(orthanc, *ct_series(count=1))
    watching.watcher.wake(orthanc.ChangeType.NEW_INSTANCE, 3, instance)
    watching.wait()
    (run,) = watching.runs.find()
    assert [one.orthanc_id for one in run.subjects] == [instance]


def test_rules_that_come_later_are_watched_for(orthanc, watching):
    begin(watching)
    watching.use(rule("gone", "Deleted", Then=TELL))
    watching.watcher.wake(orthanc.ChangeType.DELETED, 1, "a-study")
    watching.wait()
    (run,) = watching.runs.find()
    assert (run.trigger, run.level, run.resource, run.subjects) == (
        Trigger.DELETED,
        Level.STUDY,
        "a-study",
        (),
    )
    assert run.event == {"Trigger": "Deleted", "Level": "Study", "ID": "a-study"}


def test_notices_can_be_chosen_by_what_they_tell(orthanc, watching):
    orthanc.core["GET", "/jobs/one"] = b'{"Type": "DicomModalityStore"}'
    failed = {"Metadata": "State", "Equals": "Failure"}
    begin(watching, rule("job", "Job", If=failed, Then=TELL))
    watching.watcher.wake(orthanc.ChangeType.JOB_SUBMITTED, 4, "one")
    watching.watcher.wake(orthanc.ChangeType.JOB_FAILURE, 4, "one")
    watching.wait()
    (run,) = watching.runs.find()
    assert (run.event["State"], run.resource) == ("Failure", "one")


def test_what_no_rule_waits_for_wakes_nobody(orthanc, watching):
    watching.use(STORED)
    watching.watcher.wake(orthanc.ChangeType.STABLE_STUDY, 1, "a-study")
    watching.watcher.wake(orthanc.ChangeType.DELETED, 1, "a-study")
    assert not watching.watcher._notices.first(10)


def test_it_stops_at_once_also_when_it_has_never_begun(watching):
    watching.watcher.stop()
    assert not any(thread.name == "curator-events" for thread in threading.enumerate())


def test_trouble_is_over_when_the_server_answers_again(orthanc, watching, monkeypatch):
    monkeypatch.setattr("curator.route.watcher.AGAIN", 0.01)
    begin(watching, STORED)
    (instance,) = put(orthanc, *ct_series(count=1))
    orthanc.deaf = {instance}
    tried = threading.Event()
    asked = orthanc._answer

    def answer(method, uri, body=b""):
        if uri == "/tools/bulk-content":
            tried.set()
        return asked(method, uri, body)

    orthanc._answer = answer
    watching.watcher.wake(orthanc.ChangeType.NEW_INSTANCE, 3, instance)
    assert tried.wait(PATIENCE)
    orthanc.deaf = set()
    watching.wait()
    assert [run.resource for run in watching.runs.find()] != []


# At the wish of a user


def test_a_user_lets_a_rule_look_at_a_resource(orthanc, watching):
    ct = {"Tag": "Modality", "Equals": "CT"}
    watching.use(rule("study", "StableStudy", If=ct), rule("hand", "Manual"), STORED)
    instances = put(orthanc, *ct_series(count=2))
    study = orthanc.only(Level.STUDY)
    event = Event(Trigger.MANUAL, Level.STUDY, study)
    (run,) = watching.watcher.fire(event, "someone", watching.rules.rule("study"))
    assert (run.user, run.rule, run.trigger) == ("someone", "study", Trigger.MANUAL)
    assert [one.rule for one in watching.watcher.fire(event, "someone")] == ["hand"]
    (run,) = watching.watcher.fire(event, "someone", watching.rules.rule("stored"))
    assert sorted(one.orthanc_id for one in run.subjects) == sorted(instances)
    assert run.due <= orthanc.clock()
    assert watching.runs.get(run.id).state is RunState.WAITING


def test_a_rule_whose_condition_does_not_hold_does_not_run_at_the_wish_of_a_user(orthanc, watching):
    watching.use(rule("study", "StableStudy", If={"Tag": "Modality", "Equals": "MR"}))
    put(orthanc, *ct_series(count=1))
    event = Event(Trigger.MANUAL, Level.STUDY, orthanc.only(Level.STUDY))
    assert watching.watcher.fire(event, "someone", watching.rules.rule("study")) == []


def test_there_is_no_rule_to_look_at_what_is_gone(watching):
    watching.use(rule("hand", "Manual"))
    with pytest.raises(NotFound):
        watching.watcher.fire(Event(Trigger.MANUAL, Level.STUDY, "gone"), "someone")
