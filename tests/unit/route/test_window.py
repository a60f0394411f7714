"""Windows of time."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.route.window import DAYS, Window, moments_at

BRUSSELS = ZoneInfo("Europe/Brussels")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")  # the clock goes on by half an hour
MONDAY = date(2026, 3, 2)


def at(text: str, zone=BRUSSELS) -> datetime:
    """Return a moment of the week of 2 March 2026: ``Fri 18:00``."""
    day, clock = text.split()
    return datetime.combine(
        MONDAY + timedelta(days=DAYS.index(day)), time.fromisoformat(clock), zone
    )


@pytest.mark.parametrize(
    ("window", "moments", "expected"),
    [
        ("Mon-Fri 18:00-07:00", ["Mon 18:00", "Mon 23:59", "Tue 06:59", "Fri 18:00"], True),
        ("Mon-Fri 18:00-07:00", ["Sat 00:00", "Sat 06:59"], True),
        ("Mon-Fri 18:00-07:00", ["Mon 17:59", "Tue 07:00", "Sat 07:00", "Sat 18:00"], False),
        ("Mon-Fri 18:00-07:00", ["Mon 00:00", "Mon 06:59", "Sun 23:00"], False),
        ("18:00-07:00", ["Sun 18:00", "Mon 06:59", "Wed 00:00"], True),
        ("18:00-07:00", ["Sun 17:59", "Mon 07:00"], False),
        ("08:00-12:00", ["Mon 08:00", "Sun 11:59"], True),
        ("08:00-12:00", ["Mon 12:00", "Mon 07:59"], False),
        ("Sat,Sun", ["Sat 00:00", "Sun 23:59"], True),
        ("Sat,Sun", ["Fri 23:59", "Mon 00:00"], False),
        ("Fri-Mon 10:00-11:00", ["Fri 10:00", "Sat 10:30", "Sun 10:30", "Mon 10:59"], True),
        ("Fri-Mon 10:00-11:00", ["Tue 10:30", "Thu 10:30"], False),
        ("Sun 22:00-02:00", ["Sun 22:00", "Mon 01:59"], True),
        ("Sun 22:00-02:00", ["Sun 01:00", "Tue 01:00"], False),
        ("Mon-Fri 18:00-07:00; Sat,Sun", ["Sat 12:00", "Sun 23:59", "Mon 18:00"], True),
        ("Mon-Fri 18:00-07:00; Sat,Sun", ["Mon 05:00", "Mon 12:00"], False),
        ("20:00-24:00", ["Mon 20:00", "Mon 23:59"], True),
        ("20:00-24:00", ["Mon 00:00", "Mon 19:59"], False),
        ("00:00-24:00", ["Mon 00:00", "Mon 23:59", "Sun 12:00"], True),
        ("  mon - wed , FRI   08:00 - 09:00 ", ["Mon 08:30", "Wed 08:30", "Fri 08:30"], True),
        ("  mon - wed , FRI   08:00 - 09:00 ", ["Thu 08:30"], False),
    ],
)
def test_a_window_is_open_when_it_says(window, moments, expected):
    assert [Window.parse(window).is_open(at(moment)) for moment in moments] == [expected] * len(
        moments
    )


@pytest.mark.parametrize(
    ("window", "about"),
    [
        ("", "is empty"),
        ("Mon;", "is empty"),
        ("Monday", '"Monday" is no day; days are Mon, Tue'),
        ("Mon-Wed-Fri", "is no day"),
        ("18:00", "from and to"),
        ("18:00-", '"" is no time of day'),
        ("24:00-07:00", '"24:00" is no time of day'),
        ("07:60-08:00", '"07:60" is no time of day'),
        ("7:00-08:00", '"7:00" is no time of day'),
        ("\u0660\u0667:00-08:00", "is no"),
        ("18:00-18:00", "has no length"),
        ("18:00-07:00 Mon", "times before the days"),
        ("Mon 18:00-07:00 x", "is no time of day"),
    ],
)
def test_what_is_no_window_is_refused_in_words(window, about):
    with pytest.raises(ValueError) as raised:
        Window.parse(window)
    assert about in str(raised.value)


@pytest.mark.parametrize(
    ("window", "now", "opening"),
    [
        ("Mon-Fri 18:00-07:00", "Mon 12:00", "Mon 18:00"),
        ("Mon-Fri 18:00-07:00", "Mon 18:00", "Mon 18:00"),
        ("Mon-Fri 18:00-07:00", "Tue 03:00", "Tue 03:00"),
        ("Mon 08:00-09:00; Tue 06:00-07:00", "Mon 09:00", "Tue 06:00"),
        ("Sun", "Mon 00:00", "Sun 00:00"),
    ],
)
def test_a_window_opens_next_where_its_next_part_begins(window, now, opening):
    assert Window.parse(window).next_opening(at(now)) == at(opening)


def test_a_window_that_has_just_closed_opens_in_a_week():
    window = Window.parse("Mon 08:00-09:00")
    assert window.next_opening(at("Mon 09:00")) == at("Mon 08:00") + timedelta(days=7)


def test_a_part_that_summer_time_leaves_out_is_passed_over():
    before = datetime(2026, 3, 29, 1, 0, tzinfo=BRUSSELS)  # 02:00 becomes 03:00
    opening = Window.parse("02:15-02:45").next_opening(before)
    assert opening == datetime(2026, 3, 30, 2, 15, tzinfo=BRUSSELS)


def test_a_window_whose_beginning_summer_time_leaves_out_opens_after_it():
    before = datetime(2026, 3, 29, 1, 0, tzinfo=BRUSSELS)
    opening = Window.parse("02:15-05:00").next_opening(before)
    assert Window.parse("02:15-05:00").is_open(opening)
    assert opening == datetime(2026, 3, 29, 3, 15, tzinfo=BRUSSELS)


def test_a_window_in_the_hour_that_comes_twice_opens_twice():
    between = datetime(2026, 10, 25, 2, 50, tzinfo=BRUSSELS, fold=0)  # 03:00 becomes 02:00
    opening = Window.parse("02:30-02:45").next_opening(between)
    assert (opening.hour, opening.minute, opening.fold) == (2, 30, 1)
    assert opening.timestamp() - between.timestamp() == 40 * 60


def test_moments_at_a_time_are_in_their_order_and_after_the_other():
    after = datetime(2026, 10, 24, 12, 0, tzinfo=BRUSSELS)
    found = moments_at(frozenset({6}), time(2, 30), after)
    assert [moment.astimezone(UTC).isoformat() for moment in found] == [
        "2026-10-25T00:30:00+00:00",
        "2026-10-25T01:30:00+00:00",
        "2026-11-01T01:30:00+00:00",
    ]


CLOCKS = st.times().map(lambda clock: clock.strftime("%H:%M"))
SPANS = st.builds(
    lambda days, begin, end: f"{','.join(days)} {begin}-{end}" if begin != end else ",".join(days),
    st.lists(st.sampled_from(DAYS), min_size=1, max_size=7),
    CLOCKS,
    CLOCKS,
)
WINDOWS = st.lists(SPANS, min_size=1, max_size=3).map("; ".join)
ZONES = st.sampled_from([BRUSSELS, LORD_HOWE, UTC, timezone(timedelta(hours=-3.5))])


@given(WINDOWS, ZONES.flatmap(lambda zone: st.datetimes(timezones=st.just(zone),
       min_value=datetime(2020, 1, 1), max_value=datetime(2030, 1, 1))))  # fmt: skip  # noqa: DTZ001
def test_a_window_is_open_at_its_next_opening_and_closed_until_then(text, now):
    window = Window.parse(text)
    opening = window.next_opening(now)
    assert window.is_open(opening)
    wait = (opening.timestamp() - now.timestamp()) / 60
    assert 0 <= wait <= 8 * 24 * 60
    if wait and now.utcoffset() == opening.utcoffset():  # else an hour is left out or repeated
        steps = range(1, int(wait), max(1, int(wait) // 50))
        between = [now + timedelta(minutes=step) for step in steps]
        assert not any(window.is_open(moment) for moment in between)


@settings(max_examples=30)
@given(WINDOWS)
def test_a_window_goes_by_the_week(text):
    window = Window.parse(text)
    now = at("Wed 10:10", UTC)
    assert window.is_open(now) == window.is_open(now + timedelta(days=7))
