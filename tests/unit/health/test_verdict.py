"""Whether all is well: the worst that is found counts, and every reason is told."""

import pytest

from curator.health.verdict import NUMBERS, Health, Signs, judge

WELL = Signs(
    runs={"Waiting": 3, "Sending": 1, "Done": 90, "Held": 0, "Failed": 0},
    deliveries={"modality:PACS": {"Queued": 5, "Sending": 1, "Delivered": 1000}},
    free_megabytes=100_000,
)


def test_work_that_waits_for_its_turn_is_well():
    assert judge(WELL) == (Health.GOOD, [])
    assert judge(Signs()) == (Health.GOOD, [])


@pytest.mark.parametrize(
    ("signs", "reason"),
    [
        (Signs(runs={"Failed": 1}), "1 run failed"),
        (Signs(runs={"Held": 2}), "2 runs held"),
        (Signs(deliveries={"peer:a": {"Parked": 1}}), "1 delivery to peer:a parked"),
        (Signs(deliveries={"peer:a": {"Parked": 2}}), "2 deliveries to peer:a parked"),
        (Signs(problems=["$.Rules[0]: x"]), "1 problem with rules, see Problems"),
        (Signs(unreachable=["peer:a"]), "peer:a does not answer"),
        (Signs(free_megabytes=511), "511 MB are left on the disk of the index"),
    ],
)
def test_what_waits_for_a_person_is_degraded(signs, reason):
    assert judge(signs) == (Health.DEGRADED, [reason])


@pytest.mark.parametrize(
    ("signs", "part"),
    [
        (Signs(database="OperationalError"), "does not answer: OperationalError"),
        (Signs(dead_workers=["Runs"]), "workers of Runs have ended"),
        (Signs(is_closed=True), "nothing is received"),
    ],
)
def test_what_does_not_work_is_failed(signs, part):
    health, (reason,) = judge(signs)
    assert health is Health.FAILED
    assert part in reason


def test_gravest_reasons_come_first_and_none_is_left_out():
    signs = Signs(database="gone", problems=["x"], unreachable=["peer:a", "peer:b"])
    health, reasons = judge(signs)
    assert health is Health.FAILED
    assert [reason.split()[0] for reason in reasons] == ["Curator's", "1", "peer:a", "peer:b"]


def test_metric_rises_as_it_gets_worse():
    assert [NUMBERS[one] for one in (Health.GOOD, Health.DEGRADED, Health.FAILED)] == [0, 1, 2]
