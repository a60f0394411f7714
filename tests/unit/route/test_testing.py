"""Rules on trial: which would fire, what stopped the others, what would be sent; without effect."""

import pytest

from curator.errors import BadRequest, NotFound
from curator.gateway import Gateway
from curator.level import Level
from curator.models import validate
from curator.route.delivery import SendOptions
from curator.route.inventory import Inventory
from curator.route.kinds import Trigger
from curator.route.ledger import Ledger
from curator.route.reading import FactsReader
from curator.route.rule import Rule, RuleSet
from curator.route.run import Run, Subject
from curator.route.testing import Trials
from factory import make_instance, make_series, uid
from unit.reshape.memory import MemoryOrthanc

CT = {"Tag": "Modality", "Equals": "CT"}


def rules(*written: dict) -> tuple[Rule, ...]:
    named = [{"Name": f"rule-{index}", **one} for index, one in enumerate(written)]
    return validate(RuleSet, {"Rules": named}).rules


def rule(when: str, *then: dict, **fields) -> dict:
    return {"When": when, "Then": list(then) or [{"Send": "folder:out"}], **fields}


@pytest.fixture
def orthanc():
    """A study of two CT series with 2 and 3 instances, and an MR series with one."""
    orthanc = MemoryOrthanc()
    for series, modality, count in (("a", "CT", 2), ("b", "CT", 3), ("c", "MR", 1)):
        for dicom in make_series(count, series=series, Modality=modality):
            orthanc.receive(dicom)
    return orthanc


@pytest.fixture
def ledger(store):
    return Ledger(store, lambda: 1000.0)


@pytest.fixture
def trials(orthanc, ledger):
    gateway = Gateway(orthanc)
    reader = FactsReader(gateway, "ISO_IR 6", lambda: 1000.0)
    return Trials(gateway, reader, Inventory(gateway), ledger)


def only(orthanc: MemoryOrthanc, level: Level) -> str:
    (found,) = orthanc.of(level)
    return found


def series_of(orthanc: MemoryOrthanc, modality: str) -> list[str]:
    found = orthanc.of(Level.SERIES).items()
    return sorted(one for one, node in found if node.tags["Modality"] == modality)


def tried(trials: Trials, orthanc_id: str, *written: dict, trigger=None) -> list[dict]:
    return trials.on_stored(rules(*written), trials.scope(orthanc_id), trigger)


def test_an_unknown_resource_is_not_found(trials):
    with pytest.raises(NotFound, match="nothing"):
        trials.scope("nothing")


@pytest.mark.parametrize("level", Level)
def test_each_rule_is_tried_on_what_it_is_about_whatever_was_named(orthanc, trials, level):
    named = next(iter(orthanc.of(level)))
    found = tried(
        trials,
        named,
        rule("StableStudy"),
        rule("StablePatient"),
        rule("Manual"),
    )
    study, patient, manual = found
    assert (study["Level"], study["Resources"]) == (Level.STUDY, [only(orthanc, Level.STUDY)])
    assert (patient["Level"], patient["Resources"]) == (
        Level.PATIENT,
        [only(orthanc, Level.PATIENT)],
    )
    assert (manual["Level"], manual["Resources"]) == (level, [named])
    assert all(one["Fires"] for one in found)


def test_series_with_the_same_outcome_are_told_together(orthanc, trials):
    study = only(orthanc, Level.STUDY)
    fires, stopped = tried(trials, study, rule("StableSeries", If=CT))
    assert sorted(fires["Resources"]) == series_of(orthanc, "CT")
    assert (stopped["Resources"], stopped["Fires"]) == (series_of(orthanc, "MR"), False)
    assert (stopped["StoppedBy"], stopped["Reason"]) == ("$.If", "Condition")
    assert "Sends" not in stopped
    assert fires["Sends"] == [
        {"Destination": "folder:out", "InstancesCount": 5, "SentBeforeCount": 0}
    ]


def test_stored_instances_are_asked_one_by_one(orthanc, trials):
    second = {"Tag": "InstanceNumber", "Equals": "2"}
    fires, stopped = sorted(
        tried(trials, only(orthanc, Level.STUDY), rule("StoredInstance", If=second)),
        key=lambda one: len(one["Resources"]),
    )
    assert fires["Fires"]
    assert (fires["Level"], len(fires["Resources"])) == (Level.INSTANCE, 2)
    assert (stopped["Level"], len(stopped["Resources"])) == (Level.INSTANCE, 4)


def test_rules_of_another_trigger_do_not_end_the_list(orthanc, trials):
    found = tried(
        trials,
        only(orthanc, Level.STUDY),
        rule("StableStudy", Priority=9, Stop=True),
        rule("StableStudy"),
        rule("Manual", Priority=5),
    )
    assert [(one["Rule"], one["Fires"], one["Reason"], one["Detail"]) for one in found] == [
        ("rule-0", True, "", ""),
        ("rule-2", True, "", ""),
        ("rule-1", False, "AnotherRule", "rule-0"),
    ]


def test_a_trigger_that_is_named_is_the_only_one_that_happens(orthanc, trials):
    found = tried(
        trials,
        only(orthanc, Level.STUDY),
        rule("StableStudy"),
        rule("Manual"),
        trigger=Trigger.MANUAL,
    )
    assert [(one["Fires"], one["Reason"]) for one in found] == [(False, "Trigger"), (True, "")]


def test_rules_without_a_resource_and_labels_that_are_not_there_do_not_fire(orthanc, trials):
    study = only(orthanc, Level.STUDY)
    written = (
        rule("Deleted", {"Send": "webhook:a"}),
        rule("Schedule", {"Send": "webhook:a"}, Schedule={"Every": 5}),
        rule("Label", Label="go"),
    )
    assert {one["Reason"] for one in tried(trials, study, *written)} == {"Trigger"}
    orthanc.nodes[study].labels.add("go")
    assert [one["Fires"] for one in tried(trials, study, *written)] == [False, False, True]


def test_what_was_sent_before_would_not_go_again(orthanc, trials, ledger):
    study = only(orthanc, Level.STUDY)
    (written,) = rules(rule("StableStudy", {"Send": ["folder:out", "peer:far"]}))
    first = series_of(orthanc, "CT")[0]
    items = trials.items([Subject(Level.SERIES, first)])
    run = Run("r", written.name, "1", Trigger.MANUAL, Level.SERIES, first, 0, 0, (), {}, 0, 0)
    ledger.open(run, "folder:out", items, SendOptions())
    delivery = ledger.take("folder:out", 2000.0)
    ledger.confirm(delivery, [item.instance for item in items])
    (told,) = trials.on_stored([written], trials.scope(study), None)
    assert told["Sends"] == [
        {
            "Destination": "folder:out",
            "InstancesCount": 6 - len(items),
            "SentBeforeCount": len(items),
        },
        {"Destination": "peer:far", "InstancesCount": 6, "SentBeforeCount": 0},
    ]


def test_whether_copies_were_sent_before_is_not_known(orthanc, trials):
    steps = (
        {"Send": "folder:raw"},
        {"Anonymize": {"Profile": "basic"}},
        {"Send": "folder:out"},
    )
    (told,) = tried(trials, only(orthanc, Level.STUDY), rule("StableStudy", *steps))
    assert [one["SentBeforeCount"] for one in told["Sends"]] == [0, None]
    assert [one["InstancesCount"] for one in told["Sends"]] == [6, 6]


def test_nothing_is_changed(orthanc, trials, store):
    before = orthanc.state()
    steps = ({"Send": "folder:out"}, {"Delete": True})
    tried(trials, only(orthanc, Level.STUDY), rule("StableStudy", *steps))
    assert orthanc.state() == before
    assert {method for method, uri, _ in orthanc.calls} <= {"GET", "POST"}
    assert {uri for method, uri, _ in orthanc.calls if method == "POST"} <= {
        "/tools/find",
        "/tools/bulk-content",
    }


def test_a_file_need_not_be_stored(orthanc, trials):
    dicom = make_instance(PatientID="ELSE", Modality="MR", SOPInstanceUID=uid("else"))
    found = trials.on_file(
        rules(
            rule("StableStudy", If={"Tag": "PatientID", "Equals": "ELSE"}),
            rule("StoredInstance", If=CT, Priority=1),
            rule("Deleted", {"Send": "webhook:a"}),
        ),
        dicom,
        None,
    )
    assert [(one["Rule"], one["Fires"], one["StoppedBy"]) for one in found] == [
        ("rule-1", False, "$.If"),
        ("rule-0", True, ""),
        ("rule-2", False, ""),
    ]
    assert len(orthanc.files) == 6


def test_a_file_that_cannot_be_read_is_refused(trials):
    with pytest.raises(BadRequest):
        trials.on_file(rules(rule("StableStudy")), b"not DICOM", None)


def test_what_cannot_be_decided_does_not_fire_and_says_where(orthanc, trials):
    condition = {"All": [CT, {"Tag": "PatientAge", "Exists": True}]}
    study = only(orthanc, Level.STUDY)
    for instance in orthanc.files:
        orthanc.nodes[instance].attachments[1] = b"damaged"
    (told,) = tried(trials, study, rule("StableStudy", If=condition))
    assert (told["Fires"], told["Reason"]) == (False, "Undecidable")
    assert told["StoppedBy"] == "$.If.All[1]"
    assert told["Detail"]
