"""Scheduled rules: each time counts once, also when nobody was there."""

import pytest

from curator.level import Level
from factory import ct_series
from unit.route.logging_orthanc import Clock, LoggingOrthanc, Watched, rule

HOUR = 3600.0


def scheduled(name: str = "hourly", **schedule: object) -> dict[str, object]:
    written = {"Every": 60, **schedule}
    then = {} if "Level" in schedule else {"Then": [{"Send": "webhook:alive"}]}
    return rule(name, "Schedule", Schedule=written, **then)


@pytest.fixture
def orthanc():
    orthanc = LoggingOrthanc(Clock())
    for number in range(3):
        orthanc.put_instance(ct_series(count=1, study=f"study {number}")[0])
    return orthanc


@pytest.fixture
def start(orthanc, store):
    def started(*rules):
        watched = Watched(orthanc, store, rules)
        watched.schedules.look()
        return watched

    return started


def test_a_rule_looks_at_all_that_it_selects_when_its_time_comes(orthanc, start):
    watched = start(scheduled(Level="Study"))
    assert watched.fired() == []
    assert watched.schedules.next_look() == orthanc.clock() + HOUR
    orthanc.pass_time(HOUR)
    watched.schedules.look()
    watched.schedules.look()
    assert watched.routed("hourly") == sorted(orthanc.of(Level.STUDY))


def test_labels_select(orthanc, start):
    study = next(iter(orthanc.of(Level.STUDY)))
    orthanc.nodes[study].labels.add("nightly")
    watched = start(scheduled(Level="Study", Labels=["nightly"]))
    orthanc.pass_time(HOUR)
    watched.schedules.look()
    assert watched.routed("hourly") == [study]


def test_all_pages_are_read(orthanc, start):
    orthanc.cap = 1
    watched = start(scheduled(Level="Study"))
    orthanc.pass_time(HOUR)
    watched.schedules.look()
    assert len(watched.routed("hourly")) == 3


def test_a_heartbeat_tells_and_works_on_nothing(orthanc, start):
    watched = start(scheduled())
    orthanc.pass_time(HOUR)
    watched.schedules.look()
    (run,) = watched.made()
    assert (run.subjects, run.resource) == ((), "")
    assert run.event["Trigger"] == "Schedule"


def test_times_that_passed_while_curator_was_down_count_once(orthanc, start):
    start(scheduled())
    orthanc.pass_time(24 * HOUR)
    watched = start(scheduled())
    assert len(watched.made()) == 1
    assert watched.schedules.next_look() == orthanc.clock() + HOUR


def test_a_clock_that_was_set_back_begins_to_count_anew(orthanc, start):
    start(scheduled())
    orthanc.pass_time(-365 * 24 * HOUR)
    watched = start(scheduled())
    assert watched.made() == []
    assert watched.schedules.next_look() <= orthanc.clock() + HOUR
    orthanc.pass_time(HOUR)
    watched.schedules.look()
    assert len(watched.made()) == 1


def test_without_rules_there_is_nothing_to_wait_for(start):
    assert start(rule("study", "StableStudy")).schedules.next_look() is None
