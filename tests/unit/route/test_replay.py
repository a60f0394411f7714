"""Replays: every stored resource that a query finds, dry or for real, each only once."""

import itertools
import uuid
from dataclasses import dataclass, field

import pytest

from curator.errors import BadRequest, Conflict, NotFound
from curator.gateway import Gateway
from curator.jobs import JobEngine, Submission
from curator.level import Level
from curator.models import validate
from curator.route.definitions import define
from curator.route.delivery import Item, SendOptions
from curator.route.events import Event
from curator.route.inventory import Inventory
from curator.route.kinds import Trigger
from curator.route.ledger import Ledger
from curator.route.live import LiveRules
from curator.route.reading import FactsReader
from curator.route.replay import Parts, ReplayRequest, ReplayService
from curator.route.rule import Rule
from curator.route.rule_store import RuleStore
from curator.route.run import Run, Subject
from curator.route.runs import Runs
from curator.route.testing import Trials
from curator.route.validation import RuleReader, ServerNames
from factory import make_series
from unit.reshape.memory import Crash
from unit.route.searchable import SearchableOrthanc

CT = {"Tag": "Modality", "Equals": "CT"}

SEND = [{"Send": "folder:out"}]

RULES = [
    {"Name": "study", "When": "StableStudy", "If": CT, "Then": SEND},
    {"Name": "series", "When": "StableSeries", "If": CT, "Then": SEND},
    {"Name": "patient", "When": "StablePatient", "Then": SEND},
    {"Name": "instance", "When": "StoredInstance", "If": CT, "Then": SEND},
    {"Name": "off", "When": "StableStudy", "Enabled": False, "Then": SEND},
    {"Name": "deleted", "When": "Deleted", "Then": [{"Send": "webhook:a"}]},
    {
        "Name": "research",
        "When": "StableStudy",
        "Then": [{"Anonymize": {"Profile": "basic"}}, {"Send": "folder:out"}],
    },
]


@dataclass
class Firing:
    """Takes the place of the watcher: makes runs, and ends the process when it is told to."""

    runs: Runs
    store: object
    events: list[tuple[str, Event, str]] = field(default_factory=list)
    crash_after: int | None = None
    clock: itertools.count = field(default_factory=lambda: itertools.count(4_000_000_000))

    def __call__(self, event: Event, user: str, only: Rule) -> list[Run]:
        now = float(next(self.clock))
        run = Run(
            str(uuid.uuid4()), only.name, only.version, event.trigger, event.level, event.resource,
            0, now, (Subject(event.level, event.resource),), {}, now, now, user=user,
        )  # fmt: skip
        with self.store.transaction() as connection:
            self.runs.add([run], connection)
        self.events.append((only.name, event, user))
        if len(self.events) == self.crash_after:
            raise Crash
        return [run]


@pytest.fixture
def orthanc():
    """Three CT studies of one patient and an MR study of another, of two instances each."""
    orthanc = SearchableOrthanc()
    for study, patient, modality in (
        ("a", "P1", "CT"),
        ("b", "P1", "CT"),
        ("c", "P1", "CT"),
        ("d", "P2", "MR"),
    ):
        series = make_series(
            2,
            study=study,
            series=study,
            Modality=modality,
            PatientID=patient,
            AccessionNumber=study,
        )
        for dicom in series:
            orthanc.receive(dicom)
    return orthanc


class Site:
    """Curator from its start to its end, as far as replays need it."""

    def __init__(self, orthanc, store) -> None:
        problems: list[str] = []
        gateway = Gateway(orthanc)
        defined = define(RULES, [], None, RuleReader(), problems)
        assert problems == []
        surroundings = ServerNames(lambda _: None, lambda _: None, set)
        self.live = LiveRules(defined, RuleStore(store), RuleReader(), surroundings)
        self.runs = Runs(store, lambda: 1000.0)
        self.ledger = Ledger(store, lambda: 1000.0)
        self.firing = Firing(self.runs, store)
        self.trials = Trials(
            gateway,
            FactsReader(gateway, "ISO_IR 6", lambda: 1000.0),
            Inventory(gateway),
            self.ledger,
        )
        parts = Parts(gateway, self.live, self.trials, self.runs, self.ledger, self.firing)
        self.service = ReplayService(parts)
        self.engine = JobEngine(
            store, {self.service.job_type: self.service.task}, workers=1, history_size=10
        )

    def submit(self, **body) -> str:
        self.service.check(validate(ReplayRequest, body))
        submission = Submission(
            type=self.service.job_type, request={"Body": body}, claims=frozenset(), user="someone"
        )
        return self.engine.submit(submission)

    def work(self) -> None:
        while self.engine._queue:
            self.engine._run(self.engine._next())

    def replay(self, **body) -> dict:
        job = self.submit(**body)
        self.work()
        return self.engine.wait(job)

    def fired(self, name: str) -> list[str]:
        return [event.resource for rule, event, _ in self.firing.events if rule == name]


@pytest.fixture
def site(orthanc, store):
    return Site(orthanc, store)


def studies(orthanc, **tags) -> list[str]:
    return [
        one
        for one, node in orthanc.of(Level.STUDY).items()
        if all(node.tags[name] == value for name, value in tags.items())
    ]


def by_rule(content: dict) -> dict[str, dict]:
    return {one["Rule"]: one for one in content["Rules"]}


def test_a_dry_run_tells_what_would_be_sent_and_makes_nothing(orthanc, site):
    content = site.replay(Rules=["study", "research"], DryRun=True)
    assert (content["DryRun"], content["ResourcesCount"]) == (True, 4)
    told = by_rule(content)
    assert told["study"]["FiresCount"] == 3
    assert told["study"]["Stopped"] == {"Condition": 1}
    assert set(told["study"]["Resources"]) < set(orthanc.of(Level.STUDY))
    assert told["study"]["Sends"] == [
        {"Destination": "folder:out", "InstancesCount": 6, "SentBeforeCount": 0}
    ]
    assert told["research"]["Sends"] == [
        {"Destination": "folder:out", "InstancesCount": 8, "SentBeforeCount": None}
    ]
    assert "RunsCount" not in told["study"]
    assert site.firing.events == []
    assert site.runs.find() == []


def test_for_real_every_resource_that_fits_gets_a_run(orthanc, site):
    content = site.replay(Rules=["study"])
    told = by_rule(content)["study"]
    assert (told["FiresCount"], told["RunsCount"]) == (3, 3)
    assert "Sends" not in told
    assert sorted(site.fired("study")) == sorted(told["Resources"])
    assert {(event.trigger, event.level, user) for _, event, user in site.firing.events} == {
        (Trigger.MANUAL, Level.STUDY, "someone")
    }


@pytest.mark.parametrize("cap", [1, 3, 1000])
def test_all_that_the_query_finds_is_taken_also_where_the_server_caps_its_answers(
    orthanc, site, cap
):
    orthanc.cap = cap
    assert site.replay(Rules=["study"], DryRun=True)["ResourcesCount"] == 4
    content = site.replay(Rules=["study"], Query={"AccessionNumber": "[ab]"}, DryRun=True)
    assert content["ResourcesCount"] == 2


def test_labels_restrict_the_query(orthanc, site):
    labeled = studies(orthanc, AccessionNumber="b")
    orthanc.nodes[labeled[0]].labels.add("late")
    assert by_rule(site.replay(Rules=["study"], Labels=["late"]))["study"]["Resources"] == labeled


def test_a_rule_works_on_its_own_level_and_once_on_what_is_found_twice(orthanc, site):
    told = by_rule(site.replay(Rules=["series", "patient", "instance"]))
    assert told["series"]["RunsCount"] == 3
    assert sorted(site.fired("patient")) == sorted(orthanc.of(Level.PATIENT))
    events = [event for rule, event, _ in site.firing.events if rule == "instance"]
    assert {event.level for event in events} == {Level.SERIES}
    assert [len(event.instances) for event in events] == [2, 2, 2]
    assert set(told["instance"]["Resources"]) < set(orthanc.of(Level.SERIES))
    from_series = by_rule(site.replay(Rules=["study"], Level="Series"))["study"]
    assert from_series["FiresCount"] == 3


@pytest.mark.parametrize("after", range(1, 4))
def test_a_replay_that_was_killed_goes_on_without_doubling(orthanc, store, site, after):
    site.firing.crash_after = after
    job = site.submit(Rules=["study"])
    with pytest.raises(Crash):
        site.work()
    again = Site(orthanc, store)
    again.work()
    assert len(site.fired("study")) == after
    assert len(again.fired("study")) == 3 - after
    content = again.engine.wait(job)
    assert by_rule(content)["study"]["RunsCount"] == 3
    assert len(again.runs.find(rule="study")) == 3


def test_what_was_done_before_the_replay_does_not_count(site):
    site.firing.clock = itertools.count(1)  # long ago
    site.replay(Rules=["study"])
    site.replay(Rules=["study"])
    assert len(site.fired("study")) == 6


def test_a_replay_is_paused_and_goes_on(site):
    job = site.submit(Rules=["study"])
    site.engine.pause(job)
    site.work()
    assert site.firing.events == []
    site.engine.resume(job)
    site.work()
    assert len(site.fired("study")) == 3


def sent(site: Site, rule: str, resource: str) -> list[str]:
    """Let a rule deliver a study, and return its instances."""
    items = site.trials.items([Subject(Level.STUDY, resource)])
    deliver(site, rule, resource, items)
    return [item.instance for item in items]


def deliver(site: Site, rule: str, resource: str, items: list[Item]) -> None:
    run = Run("r", rule, "1", Trigger.MANUAL, Level.STUDY, resource, 0, 0, (), {}, 0, 0)
    site.ledger.open(run, "folder:out", items, SendOptions())
    delivery = site.ledger.take("folder:out", 2000.0)
    site.ledger.confirm(delivery, [item.instance for item in items])


def test_copies_that_were_sent_go_again_too(orthanc, site):
    (study,) = studies(orthanc, AccessionNumber="a")
    copy = Item("copy", "fingerprint")
    deliver(site, "research", study, [copy])
    site.replay(Rules=["research"], Query={"AccessionNumber": "a"}, Again=True)
    assert site.ledger.sent_before("research", "folder:out", [copy]) == frozenset()


@pytest.mark.parametrize("again", [False, True])
def test_what_was_sent_goes_again_only_when_asked_for(orthanc, site, again):
    (study,) = studies(orthanc, AccessionNumber="a")
    sent(site, "study", study)
    items = site.trials.items([Subject(Level.STUDY, study)])
    site.replay(Rules=["study"], Again=again)
    left = site.ledger.sent_before("study", "folder:out", items)
    assert len(left) == (0 if again else 2)


def test_a_dry_run_forgets_nothing(orthanc, site):
    (study,) = studies(orthanc, AccessionNumber="a")
    sent(site, "study", study)
    told = by_rule(site.replay(Rules=["study"], Again=True, DryRun=True))["study"]
    items = site.trials.items([Subject(Level.STUDY, study)])
    assert len(site.ledger.sent_before("study", "folder:out", items)) == 2
    assert told["Sends"][0]["SentBeforeCount"] == 0  # all of it would go again
    assert told["Sends"][0]["InstancesCount"] == 6


def test_what_is_deleted_meanwhile_is_passed_over(orthanc, site):
    (gone,) = studies(orthanc, AccessionNumber="a")
    listed = orthanc._searched

    def deleting(query):
        found = listed(query)
        orthanc.remove(gone)
        return found

    orthanc._searched = deleting
    told = by_rule(site.replay(Rules=["study"]))["study"]
    assert told["Stopped"] == {"Condition": 1, "Deleted": 1}
    assert gone not in site.fired("study")


@pytest.mark.parametrize(
    ("name", "error"), [("nothing", NotFound), ("off", Conflict), ("deleted", BadRequest)]
)
def test_rules_that_cannot_be_replayed_are_refused(site, name, error):
    with pytest.raises(error, match=name):
        site.submit(Rules=["study", name])
