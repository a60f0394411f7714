"""When scheduled rules look."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.models import InvalidModel, validate
from curator.route.rule import Schedule
from curator.route.timetable import next_time

BRUSSELS = ZoneInfo("Europe/Brussels")


def times(schedule: dict[str, object], after: datetime, number: int) -> list[str]:
    """Return the next times of a schedule."""
    read, found = validate(Schedule, schedule), []
    for _ in range(number):
        after = next_time(read, after)
        found.append(after.isoformat(timespec="minutes"))
    return found


def test_times_of_day_come_every_day_in_their_order():
    after = datetime(2026, 3, 2, 2, 30, tzinfo=BRUSSELS)
    assert times({"At": ["14:00", "02:30"]}, after, 3) == [
        "2026-03-02T14:00+01:00",
        "2026-03-03T02:30+01:00",
        "2026-03-03T14:00+01:00",
    ]


def test_times_with_days_come_on_these_days_only():
    after = datetime(2026, 3, 6, 3, 0, tzinfo=BRUSSELS)  # a Friday
    assert times({"At": ["Mon-Fri 02:30", "Sun 12:00"]}, after, 2) == [
        "2026-03-08T12:00+01:00",
        "2026-03-09T02:30+01:00",
    ]


def test_a_time_that_summer_time_leaves_out_comes_later_but_it_comes():
    after = datetime(2026, 3, 28, 12, 0, tzinfo=BRUSSELS)
    assert times({"At": ["02:30"]}, after, 2) == [
        "2026-03-29T03:30+02:00",
        "2026-03-30T02:30+02:00",
    ]


def test_a_time_that_comes_twice_counts_once():
    after = datetime(2026, 10, 24, 12, 0, tzinfo=BRUSSELS)
    assert times({"At": ["02:30"]}, after, 2) == [
        "2026-10-25T02:30+02:00",
        "2026-10-26T02:30+01:00",
    ]


def test_intervals_do_not_depend_on_when_orthanc_was_started():
    first = datetime(2026, 3, 2, 10, 7, tzinfo=BRUSSELS)
    expected = datetime(2026, 3, 2, 10, 15, tzinfo=BRUSSELS)
    schedule = validate(Schedule, {"Every": 15})
    assert {next_time(schedule, first + timedelta(minutes=late)) for late in range(8)} == {expected}


@given(
    st.floats(min_value=0.1, max_value=10_080),
    st.datetimes(
        timezones=st.just(UTC),
        min_value=datetime(2020, 1, 1),  # noqa: DTZ001
        max_value=datetime(2040, 1, 1),  # noqa: DTZ001
    ),
)
def test_an_interval_is_always_ahead_and_never_longer_than_itself(minutes, after):
    schedule = validate(Schedule, {"Every": minutes})
    wait = next_time(schedule, after) - after
    assert timedelta(0) < wait <= timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("schedule", "problem"),
    [
        ({}, '$: needs either "At" or "Every"'),
        ({"At": ["02:30"], "Every": 5}, '$: needs either "At" or "Every"'),
        ({"At": ["Mon"]}, "$.At[0]: has no time of day; it is written as in Mon-Fri 02:30"),
        ({"At": ["02:30", "Mo 02:30"]}, '$.At[1]: "Mo" is no day; days are'),
        ({"At": ["2:30"]}, '$.At[0]: "2:30" is no time of day'),
        ({"Every": 0}, "$.Every: "),
        ({"Every": 5, "Query": {"PatientID": "x"}}, '$: "Query" and "Labels" need "Level"'),
        ({"Every": 5, "Labels": ["x"]}, '$: "Query" and "Labels" need "Level"'),
        ({"Every": 5, "Level": "Instance"}, '$.Level: must be "Patient", "Study" or "Series"'),
        ({"Every": 5, "Level": "Stud"}, 'did you mean "Study"?'),
        ({"Every": 5, "Level": "Study", "Query": {"PatentID": ""}}, "$.Query.PatentID: Unknown"),
    ],
)
def test_what_is_no_schedule_is_refused_where_it_stands(schedule, problem):
    with pytest.raises(InvalidModel) as raised:
        validate(Schedule, schedule)
    assert problem in str(raised.value)
