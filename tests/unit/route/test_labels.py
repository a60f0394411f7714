"""Rules that wait for labels: each label counts when it is put on, and once."""

import pytest

from curator.level import Level
from factory import ct_series, make_study, mr_series
from unit.reshape.memory import Crash, SteppedStore, Steps
from unit.route.logging_orthanc import Clock, LoggingOrthanc, Watched, rule

STUDY = make_study([ct_series(count=2), mr_series(count=1)])
SEND_ME = rule("send", "Label", Label="send-me")


@pytest.fixture
def orthanc():
    orthanc = LoggingOrthanc(Clock())
    for file in (*STUDY, *ct_series(count=1, study="other", PatientID="P2")):
        orthanc.put_instance(file)
    return orthanc


@pytest.fixture
def watched(orthanc, store):
    watched = Watched(orthanc, store, [SEND_ME])
    watched.labels.look()
    return watched


def put(orthanc: LoggingOrthanc, *resources: str, label: str = "send-me") -> None:
    for one in resources:
        orthanc.nodes[one].labels.add(label)


def test_a_label_makes_a_run_at_any_level_and_only_one(orthanc, watched):
    resources = [next(iter(orthanc.of(level))) for level in Level]
    put(orthanc, *resources)
    watched.labels.look()
    watched.labels.look()
    assert watched.fired() == sorted(("send", one) for one in resources)
    assert {run.level for run in watched.made()} == set(Level)


def test_what_had_the_label_before_the_first_rule_for_it_is_the_past(orthanc, store):
    put(orthanc, *orthanc.of(Level.STUDY))
    watched = Watched(orthanc, store, [SEND_ME])
    watched.labels.look()
    watched.labels.look()
    assert watched.fired() == []


def test_a_label_put_on_while_curator_was_down_counts(orthanc, watched, store):
    put(orthanc, *orthanc.of(Level.STUDY))
    watched = Watched(orthanc, store, [SEND_ME])
    watched.labels.look()
    assert len(watched.fired()) == 2


def test_a_label_counts_again_after_it_was_taken_off(orthanc, watched):
    study = next(iter(orthanc.of(Level.STUDY)))
    put(orthanc, study)
    watched.labels.look()
    watched.runs.take(watched.made()[0].id)
    orthanc.nodes[study].labels.clear()
    watched.labels.look()
    put(orthanc, study)
    watched.labels.look()
    assert len(watched.fired()) == 2


def test_another_label_does_not_let_a_rule_fire_again(orthanc, watched):
    watched.use(SEND_ME, rule("other", "Label", Label="other"))
    watched.labels.look()
    study = next(iter(orthanc.of(Level.STUDY)))
    put(orthanc, study)
    watched.labels.look()
    watched.runs.take(watched.made()[0].id)
    put(orthanc, study, label="other")
    watched.labels.look()
    assert watched.fired() == [("other", study), ("send", study)]


def test_a_page_that_is_cut_short_is_no_label_taken_off(orthanc, watched):
    put(orthanc, *orthanc.of(Level.INSTANCE))
    watched.labels.look()
    count = len(watched.fired())
    for run in watched.made():
        watched.runs.take(run.id)
    whole, orthanc.cap = orthanc.cap, 0
    watched.labels.look()
    orthanc.cap = whole
    watched.labels.look()
    assert len(watched.fired()) == count


def test_what_was_deleted_is_forgotten(orthanc, watched, store):
    put(orthanc, *orthanc.of(Level.INSTANCE))
    watched.labels.look()
    orthanc.remove(*orthanc.of(Level.INSTANCE))
    watched.labels.look()
    assert watched.labels._state.below("labeled:") == {}


def test_a_rule_that_was_switched_off_meanwhile_begins_anew(orthanc, watched):
    watched.use()
    watched.labels.look()
    put(orthanc, *orthanc.of(Level.STUDY))
    watched.use(SEND_ME)
    watched.labels.look()
    watched.labels.look()
    assert watched.fired() == []


def test_a_kill_at_any_moment_loses_nothing_and_doubles_nothing(orthanc, tmp_path):
    for crash_after in range(1, 100):
        steps = Steps()
        store = SteppedStore(tmp_path / f"{crash_after}.db", steps)
        try:
            Watched(orthanc, store, [SEND_ME]).labels.look()
            put(orthanc, *orthanc.of(Level.INSTANCE))
            steps.restart(crash_after)
            crashed = False
            watched = Watched(orthanc, store, [SEND_ME])
            try:
                watched.labels.look()
            except Crash:
                crashed = True
            steps.restart()
            watched = Watched(orthanc, store, [SEND_ME])
            watched.labels.look()
            assert watched.routed("send") == sorted(orthanc.of(Level.INSTANCE)), crash_after
        finally:
            store.close()
        for node in orthanc.nodes.values():
            node.labels.clear()
        if not crashed:
            return
    pytest.fail("it never ends")
