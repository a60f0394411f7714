"""Events: whatever happens to Orthanc, to its log or to us, each counts, and once."""

from typing import Any

import pytest

from curator.errors import CuratorError
from curator.level import Level
from curator.route.kinds import RunState
from curator.route.log_reader import Overtaken
from curator.route.products import ProductKind
from factory import ct_series, make_study, mr_series
from unit.fake_sdk import FakeOrthancError
from unit.reshape.memory import Crash, SteppedStore, Steps
from unit.route.logging_orthanc import STABLE_AGE, Clock, LoggingOrthanc, Watched, rule

STUDY = make_study([ct_series(count=3), mr_series(count=2)])
OTHER = ct_series(count=2, study="other", PatientID="P2")

STABLE_STUDY = rule("study", "StableStudy")
STORED = rule("stored", "StoredInstance", Batch={"Seconds": 5, "Instances": 3})


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def orthanc(clock):
    return LoggingOrthanc(clock)


@pytest.fixture
def start(orthanc, store):
    """Return what starts Curator, again if need be."""

    def started(*rules: dict[str, Any]) -> Watched:
        watched = Watched(orthanc, store, rules)
        watched.catch_up()
        return watched

    return started


def send(orthanc: LoggingOrthanc, files=STUDY) -> None:
    for file in files:
        orthanc.put_instance(file)


def ripen(orthanc: LoggingOrthanc) -> None:
    """Let so much time pass that everything is stable, and a sweep would see it."""
    orthanc.pass_time(STABLE_AGE + 5)
    orthanc.pass_time(1)


# The log


def test_a_stable_study_makes_a_run_and_only_one(orthanc, start):
    watched = start(STABLE_STUDY)
    send(orthanc)
    ripen(orthanc)
    watched.catch_up()
    watched.catch_up()
    assert watched.fired() == [("study", orthanc.only(Level.STUDY))]
    (run,) = watched.made()
    assert (run.state, run.level, run.due) == (RunState.WAITING, Level.STUDY, orthanc.clock())
    assert watched.woken == 1


def test_new_instances_that_a_rule_has_made_make_no_run(orthanc, start):
    """Nor one that is canceled once they are gone, which they are as soon as they are sent."""
    watched = start(STORED)
    (original, _) = orthanc.put_instance(STUDY[0])
    watched.catch_up()
    (run,) = watched.made()
    (copy, _) = orthanc.put_instance(OTHER[0])
    watched.products.note(run, {copy: ProductKind.COPY})
    (late, _) = orthanc.put_instance(OTHER[1])
    watched.catch_up()
    assert watched.routed("stored") == sorted([original, late])


@pytest.mark.parametrize("selects", [True, False])
def test_every_trigger_of_the_log_makes_runs_at_its_level(orthanc, start, selects):
    orthanc.selects = selects
    names = ("StoredInstance", "StableSeries", "StableStudy", "StablePatient")
    watched = start(*(rule(name, name) for name in names))
    send(orthanc)
    ripen(orthanc)
    watched.catch_up()
    levels = {run.rule: run.level for run in watched.made()}
    assert levels == {
        "StoredInstance": Level.SERIES,
        "StableSeries": Level.SERIES,
        "StableStudy": Level.STUDY,
        "StablePatient": Level.PATIENT,
    }
    assert watched.routed("StoredInstance") == sorted(orthanc.of(Level.INSTANCE))


def test_nothing_of_the_past_fires_at_the_first_start(orthanc, start):
    send(orthanc)
    ripen(orthanc)
    orthanc.pass_time(1)
    watched = start(STABLE_STUDY, STORED)
    orthanc.pass_time(10_000)
    watched.catch_up()
    assert watched.fired() == []


def test_what_comes_while_orthanc_starts_is_not_the_past(orthanc, store):
    send(orthanc, OTHER)
    orthanc.pass_time(1)
    watched = Watched(orthanc, store, [STORED])
    send(orthanc)
    watched.catch_up()
    assert len(watched.routed("stored")) == len(STUDY)


def test_what_comes_before_a_kill_of_the_first_start_is_not_the_past(orthanc, store):
    send(orthanc, OTHER)
    orthanc.pass_time(1)
    Watched(orthanc, store, [STORED])
    send(orthanc)
    orthanc.pass_time(5)
    watched = Watched(orthanc, store, [STORED])
    watched.catch_up()
    assert len(watched.routed("stored")) == len(STUDY)


def test_what_comes_right_after_a_rule_is_not_the_past(orthanc, start):
    watched = start(STABLE_STUDY)
    send(orthanc, OTHER)
    watched.use(STABLE_STUDY, STORED)
    watched.log.adapt()
    send(orthanc)
    watched.catch_up()
    assert len(watched.routed("stored")) == len(STUDY)


def test_the_past_ends_in_the_middle_of_a_long_log(orthanc, store, monkeypatch):
    monkeypatch.setattr("curator.route.change_log.PAGE", 3)
    send(orthanc, OTHER)
    orthanc.pass_time(1)
    watched = Watched(orthanc, store, [STORED])
    send(orthanc)
    orthanc.remove(next(iter(orthanc.of(Level.INSTANCE))))
    watched.catch_up()
    assert len(watched.routed("stored")) == len(STUDY)


def test_a_study_that_is_not_stable_at_the_first_start_counts_when_it_is(orthanc, start):
    send(orthanc)
    orthanc.pass_time(STABLE_AGE / 2)
    watched = start(STABLE_STUDY)
    ripen(orthanc)
    watched.catch_up()
    assert len(watched.fired()) == 1


def test_what_happened_while_curator_was_down_counts(orthanc, start):
    start(STABLE_STUDY, STORED)
    send(orthanc)
    ripen(orthanc)
    watched = start(STABLE_STUDY, STORED)
    assert ("study", orthanc.only(Level.STUDY)) in watched.fired()
    assert watched.routed("stored") == sorted(orthanc.of(Level.INSTANCE))


def test_a_rule_that_comes_later_begins_then(orthanc, start):
    watched = start(STABLE_STUDY)
    send(orthanc)
    watched.catch_up()
    watched.use(STABLE_STUDY, STORED)
    watched.catch_up()
    assert watched.routed("stored") == []
    send(orthanc, OTHER)
    watched.catch_up()
    assert len(watched.routed("stored")) == len(OTHER)


def test_what_happens_while_no_rule_waits_for_it_is_the_past_for_the_next_one(orthanc, start):
    watched = start(STORED)
    watched.use()
    watched.catch_up()
    send(orthanc)
    watched.use(STORED)
    watched.catch_up()
    ripen(orthanc)
    watched.catch_up()
    assert watched.fired() == []


def test_without_rules_the_log_is_not_read(orthanc, start):
    watched = start()
    send(orthanc)
    watched.catch_up()
    assert [uri for _, uri, _ in orthanc.calls if "changes" in uri] == []


def test_a_late_instance_makes_another_run_when_the_first_is_at_work(orthanc, start):
    watched = start(STABLE_STUDY)
    send(orthanc, STUDY[:4])
    ripen(orthanc)
    watched.catch_up()
    watched.runs.take(watched.made()[0].id)
    send(orthanc, STUDY[4:])
    ripen(orthanc)
    watched.catch_up()
    assert len(watched.fired()) == 2


def test_an_event_joins_the_run_that_waits_for_the_rest_of_the_study(orthanc, start):
    watched = start(rule("study", "StableStudy", Complete={"Counts": {"Series": 2}}))
    send(orthanc, STUDY[:3])
    ripen(orthanc)
    watched.catch_up()
    (run,) = watched.made()
    watched.runs.change(run.id, due=orthanc.clock() + 300)
    send(orthanc, STUDY[3:])
    ripen(orthanc)
    watched.catch_up()
    (joined,) = watched.made()
    assert joined.id == run.id
    assert joined.due == orthanc.clock()
    assert joined.deadline == run.deadline


def test_a_newer_version_of_a_rule_does_not_join_the_run_of_the_older_one(orthanc, start):
    watched = start(STABLE_STUDY)
    send(orthanc, STUDY[:4])
    ripen(orthanc)
    watched.catch_up()
    watched.use({**STABLE_STUDY, "Version": "2"})
    send(orthanc, STUDY[4:])
    ripen(orthanc)
    watched.catch_up()
    assert sorted(run.version for run in watched.made()) == ["1", "2"]


def test_what_was_deleted_meanwhile_makes_no_run(orthanc, start):
    watched = start(STABLE_STUDY, STORED)
    send(orthanc)
    send(orthanc, OTHER)
    ripen(orthanc)
    patient = next(iter(orthanc.of(Level.PATIENT)))
    gone = orthanc.below(patient)
    orthanc.remove(*gone)
    watched.catch_up()
    assert set(watched.routed("stored")).isdisjoint(gone)
    assert {resource for _, resource in watched.fired()} <= set(orthanc.nodes)


# Batches


def test_instances_are_gathered_by_series_and_a_full_batch_does_not_wait(orthanc, start):
    watched = start(STORED)
    send(orthanc)
    watched.catch_up()
    by_size = {len(run.subjects): run.due - orthanc.clock() for run in watched.made()}
    assert by_size == {3: 0, 2: 5}


def test_instances_join_the_batch_that_waits(orthanc, start):
    watched = start(STORED)
    for file in STUDY[3:]:
        send(orthanc, [file])
        orthanc.pass_time(1)
        watched.catch_up()
    (run,) = watched.made()
    assert len(run.subjects) == 2
    assert run.due == run.created + 5


def test_an_instance_that_is_overwritten_counts_again(orthanc, start):
    orthanc.overwrites = True
    watched = start(STORED)
    send(orthanc, STUDY[:3])
    watched.catch_up()
    send(orthanc, STUDY[:1])
    watched.catch_up()
    assert len(watched.routed("stored")) == 4


def test_instances_of_one_series_are_decided_one_by_one_where_the_rule_asks_for_them(
    orthanc, start
):
    first = {"Tag": "InstanceNumber", "Equals": 1}
    ct = {"Tag": "Modality", "Equals": "CT"}
    watched = start(rule("first", "StoredInstance", If=first), rule("ct", "StoredInstance", If=ct))
    send(orthanc)
    watched.catch_up()
    assert len(watched.routed("first")) == 2
    assert len(watched.routed("ct")) == 3


# What cannot be read


def test_what_cannot_be_decided_waits_in_a_run_that_says_so(orthanc, start):
    orthanc.source = {}
    unknown = {"Tag": "KVP", "Equals": 120}
    watched = start(rule("study", "StableStudy", If=unknown))
    send(orthanc)
    ripen(orthanc)
    orthanc.GetDicomForInstance = _refuse
    watched.catch_up()
    (run,) = watched.made()
    assert run.state is RunState.WAITING
    assert run.due > orthanc.clock()
    assert run.error.startswith("$.If cannot be decided: KVP cannot be read")


def test_rules_that_one_before_them_might_have_ended_are_held(orthanc, start):
    unknown = {"Tag": "KVP", "Equals": 120}
    watched = start(
        rule("a", "StableStudy", If=unknown, Stop=True, Priority=1), rule("b", "StableStudy")
    )
    send(orthanc)
    ripen(orthanc)
    orthanc.GetDicomForInstance = _refuse
    watched.catch_up()
    assert {run.rule: run.state for run in watched.made()} == {
        "a": RunState.WAITING,
        "b": RunState.HELD,
    }


def _refuse(_instance: str) -> bytes:
    raise FakeOrthancError(14, "Cannot read a file")


def test_a_study_that_is_deleted_while_it_is_asked_about_holds_up_nobody(orthanc, start):
    """A rule without conditions reads its counts only after it was found."""
    watched = start(STABLE_STUDY)
    send(orthanc)
    send(orthanc, OTHER)
    ripen(orthanc)
    gone, *others = orthanc.of(Level.STUDY)
    orthanc.going = {gone}
    with pytest.raises(CuratorError):
        watched.catch_up()
    watched.catch_up()
    assert watched.fired() == [("study", one) for one in others]


@pytest.mark.parametrize("deaf_to", ["/tools/bulk-content", "/studies/{}/statistics"])
def test_an_event_that_can_not_be_read_holds_up_the_others_for_some_attempts_only(
    orthanc, start, deaf_to
):
    watched = start(STABLE_STUDY)
    send(orthanc)
    send(orthanc, OTHER)
    ripen(orthanc)
    sick = next(iter(orthanc.of(Level.STUDY)))
    orthanc.deaf, orthanc.deaf_to = {sick}, deaf_to.format(sick)
    for _ in range(2):
        with pytest.raises(CuratorError, match="is currently not available"):
            watched.catch_up()
        assert watched.fired() == []
    watched.catch_up()
    errors = {run.resource: bool(run.error) for run in watched.made()}
    assert errors == {one: one == sick for one in orthanc.of(Level.STUDY)}


# The sweep


def test_a_stable_event_that_was_lost_by_a_kill_is_found_again(orthanc, start):
    start(STABLE_STUDY, rule("series", "StableSeries"), rule("patient", "StablePatient"))
    send(orthanc)
    orthanc.pass_time(STABLE_AGE / 2)
    orthanc.kill()
    orthanc.pass_time(STABLE_AGE)
    watched = start(STABLE_STUDY, rule("series", "StableSeries"), rule("patient", "StablePatient"))
    expected = [
        ("patient", orthanc.only(Level.PATIENT)),
        *(("series", one) for one in orthanc.of(Level.SERIES)),
        ("study", orthanc.only(Level.STUDY)),
    ]
    assert watched.fired() == sorted(expected)
    orthanc.pass_time(10_000)
    watched.catch_up()
    assert watched.fired() == sorted(expected)


def test_a_lost_event_is_not_found_before_its_time(orthanc, start):
    start(STABLE_STUDY)
    send(orthanc)
    orthanc.kill()
    orthanc.pass_time(10)
    watched = start(STABLE_STUDY)
    assert watched.fired() == []
    assert watched.log.sweep_at() <= orthanc.clock() + STABLE_AGE
    orthanc.pass_time(STABLE_AGE)
    watched.catch_up()
    assert len(watched.fired()) == 1


def test_an_event_lost_long_ago_is_found_after_a_long_time_without_curator(orthanc, start):
    start(STABLE_STUDY)
    send(orthanc)
    orthanc.kill()
    orthanc.pass_time(30 * 86400)
    assert len(start(STABLE_STUDY).fired()) == 1


def test_what_the_log_tells_is_not_found_by_the_sweep_as_well(orthanc, start):
    watched = start(STABLE_STUDY)
    for files in (STUDY, OTHER):
        send(orthanc, files)
        for _ in range(40):
            orthanc.pass_time(20)
            watched.catch_up()
    assert len(watched.fired()) == 2


def test_a_deletion_is_no_event(orthanc, start):
    watched = start(STABLE_STUDY)
    send(orthanc)
    ripen(orthanc)
    watched.catch_up()
    orthanc.pass_time(5)
    orthanc.remove(next(iter(orthanc.of(Level.INSTANCE))))
    orthanc.pass_time(2000)
    watched.catch_up()
    orthanc.pass_time(2000)
    watched.catch_up()
    assert len(watched.fired()) == 1


def test_a_late_instance_whose_event_was_lost_is_found(orthanc, start):
    watched = start(STABLE_STUDY)
    send(orthanc, STUDY[:4])
    ripen(orthanc)
    watched.catch_up()
    watched.runs.take(watched.made()[0].id)
    send(orthanc, STUDY[4:])
    orthanc.kill()
    orthanc.pass_time(STABLE_AGE + 10)
    assert len(start(STABLE_STUDY).fired()) == 2


def test_a_sweep_reads_all_pages_also_where_the_server_caps_them(orthanc, start):
    start(STABLE_STUDY)
    for number in range(7):
        send(orthanc, ct_series(count=1, study=f"study {number}"))
    orthanc.kill()
    orthanc.pass_time(STABLE_AGE + 10)
    orthanc.cap = 2
    assert len(start(STABLE_STUDY).fired()) == 7


def test_nothing_is_searched_again_that_was_swept(orthanc, start):
    watched = start(STABLE_STUDY)
    for number in range(5):
        send(orthanc, ct_series(count=1, study=f"study {number}"))
    ripen(orthanc)
    watched.catch_up()
    orthanc.pass_time(10_000)
    watched.catch_up()
    orthanc.pass_time(10_000)
    orthanc.calls.clear()
    watched.catch_up()
    finds = [uri for method, uri, _ in orthanc.calls if uri == "/tools/find"]
    assert len(finds) == 1


# The log is another one


def test_a_log_that_was_cleared_is_noticed_and_what_it_told_is_found(orthanc, start, caplog):
    rules = (STABLE_STUDY, STORED)
    start(*rules)
    send(orthanc, OTHER)
    start(*rules)
    send(orthanc)
    orthanc.pass_time(STABLE_AGE + 10)
    orthanc.clear_log()
    orthanc.pass_time(10)
    watched = start(*rules)
    assert "entries of the change log are gone" in caplog.text
    orthanc.pass_time(5)
    watched.catch_up()
    assert watched.routed("stored") == sorted(orthanc.of(Level.INSTANCE))
    assert watched.routed("study") == sorted(orthanc.of(Level.STUDY))
    caplog.clear()
    orthanc.pass_time(5000)
    watched.catch_up()
    assert caplog.text == ""


def test_a_log_that_was_cleared_after_it_was_read_is_no_trouble(orthanc, start, caplog):
    watched = start(STABLE_STUDY, STORED)
    send(orthanc)
    ripen(orthanc)
    watched.catch_up()
    orthanc.clear_log()
    watched.catch_up()
    send(orthanc, OTHER)
    watched.catch_up()
    assert caplog.text == ""
    assert len(watched.routed("stored")) == len(STUDY) + len(OTHER)


def test_entries_that_went_with_what_was_deleted_are_no_trouble(orthanc, start, caplog):
    watched = start(STORED)
    for _ in range(3):
        send(orthanc)
        watched.catch_up()
        send(orthanc, OTHER)
        orthanc.remove(*orthanc.of(Level.INSTANCE))
        orthanc.pass_time(10)
        watched.catch_up()
    assert "WARNING" not in caplog.text


def test_a_database_that_was_replaced_is_noticed_and_searched(orthanc, store, clock, caplog):
    before = LoggingOrthanc(clock)
    watched = Watched(before, store, [STABLE_STUDY])
    watched.catch_up()
    send(before, OTHER)
    before.pass_time(STABLE_AGE + 10)
    watched.catch_up()
    replaced = LoggingOrthanc(clock)
    send(replaced)
    replaced.pass_time(STABLE_AGE + 10)
    assert replaced.number > 0
    watched = Watched(replaced, store, [STABLE_STUDY])
    watched.catch_up()
    assert "change log" in caplog.text
    clock.now += 5
    watched.catch_up()
    assert ("study", replaced.only(Level.STUDY)) in watched.fired()
    send(replaced, ct_series(count=1, study="third"))
    replaced.pass_time(STABLE_AGE + 10)
    watched.catch_up()
    assert len(watched.fired()) == 3


def test_a_cursor_ahead_of_the_log_is_noticed_and_set_back(orthanc, store, clock, caplog):
    start = Watched(orthanc, store, [STORED])
    start.catch_up()
    for _ in range(4):
        send(orthanc)
        start.catch_up()
        orthanc.remove(*orthanc.of(Level.INSTANCE))
    younger = LoggingOrthanc(clock)
    send(younger, STUDY[:2])
    clock.now += 10
    watched = Watched(younger, store, [STORED])
    watched.catch_up()
    assert "ends before the entry that was read last" in caplog.text
    clock.now += 5
    watched.catch_up()
    routed = set(watched.routed("stored"))
    assert routed >= set(younger.of(Level.INSTANCE))
    send(younger, OTHER)
    watched.catch_up()
    assert set(watched.routed("stored")) >= set(younger.of(Level.INSTANCE))


# The clock


def test_a_clock_that_was_wrong_by_a_year_loses_nothing(orthanc, start, clock):
    watched = start(STABLE_STUDY)
    clock.now += 365 * 86400
    orthanc.pass_time(1)
    watched.catch_up()
    clock.now -= 365 * 86400
    watched.catch_up()
    assert watched.log.sweep_at() <= clock() + 600
    send(orthanc)
    orthanc.kill()
    orthanc.pass_time(STABLE_AGE + 10)
    assert len(start(STABLE_STUDY).fired()) == 1


# Kills


def story(orthanc: LoggingOrthanc, watched: Watched) -> None:
    """Let things happen while Curator watches."""
    send(orthanc, STUDY[:2])
    watched.catch_up()
    send(orthanc, STUDY[2:])
    orthanc.pass_time(1)
    watched.catch_up()
    send(orthanc, OTHER)
    ripen(orthanc)
    watched.catch_up()
    watched.log.keep_place()


def test_a_kill_at_any_moment_loses_nothing_and_doubles_nothing(tmp_path):
    rules = (STABLE_STUDY, STORED, rule("series", "StableSeries"))
    for crash_after in range(1, 1000):
        clock, steps = Clock(), Steps()
        orthanc = LoggingOrthanc(clock)
        store = SteppedStore(tmp_path / f"{crash_after}.db", steps)
        try:
            Watched(orthanc, store, rules).catch_up()
            steps.restart(crash_after)
            crashed = False
            watched = Watched(orthanc, store, rules)
            try:
                story(orthanc, watched)
            except Crash:
                crashed = True
                orthanc.kill()
            steps.restart()
            if crashed:
                send(orthanc, [*STUDY, *OTHER])
            orthanc.pass_time(STABLE_AGE + 10)
            orthanc.kill()
            watched = Watched(orthanc, store, rules)
            watched.catch_up()
            expected = sorted(orthanc.of(Level.INSTANCE))
            assert watched.routed("stored") == expected, crash_after
            assert {one for _, one in watched.fired()} >= set(orthanc.of(Level.STUDY))
            assert set(watched.routed("series")) == set(orthanc.of(Level.SERIES))
        finally:
            store.close()
        if not crashed:
            assert crash_after > 3
            return
    pytest.fail("the story never ends")


def test_another_orthanc_on_the_same_database_does_not_read_the_same_page_again(orthanc, store):
    one = Watched(orthanc, store, [STORED])
    two = Watched(orthanc, store, [STORED])
    one.catch_up()
    two.log.forget_place()
    two.catch_up()
    send(orthanc)
    one.catch_up()
    with pytest.raises(Overtaken):
        two.catch_up()
    two.log.forget_place()
    two.catch_up()
    assert one.routed("stored") == sorted(orthanc.of(Level.INSTANCE))
