"""Dates move by whole days, together; what is no date is never kept and never a crash."""

from datetime import date, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydicom import config
from pydicom.valuerep import validate_value

from curator.anonymize.dates import offset_days, shifted
from curator.anonymize.placeholders import PLACEHOLDERS

KEY, OTHER = b"k" * 32, b"o" * 32

days = st.integers(-36500, 36500)
some_dates = st.dates(date(1900, 1, 1), date(2100, 12, 31))
some_times = st.datetimes(datetime(1900, 1, 1), datetime(2100, 12, 31))  # noqa: DTZ001


def text_of(vr: str, raw: bytes, shift: int) -> str:
    new = shifted(vr, raw, shift)
    assert len(new) % 2 == 0
    return new.decode("ascii").rstrip(" ")


@pytest.mark.parametrize(
    ("vr", "before", "shift", "after"),
    [
        ("DA", "20230101", -1, "20221231"),
        ("DA", "20240228", 1, "20240229"),
        ("DA", "20230228", 1, "20230301"),
        ("DA", "2023.01.05", 1, "20230106"),
        ("DA", "2023-01-05", 1, "20230106"),
        ("DA", "20230101-20230131", 31, "20230201-20230303"),
        ("DA", "20230101-", 1, "20230102-"),
        ("DA", "-20230131", 1, "-20230201"),
        ("DA", "20230101\\\\20230301", 1, "20230102\\\\20230302"),
        ("DA", "  20230101 ", 1, "20230102"),
        ("TM", "235959.999999", 5, "235959.999999"),
        ("TM", "23:59:60", 5, "235960"),
        ("TM", "07", 5, "07"),
        ("TM", "0730", 5, "0730"),
        ("TM", "101500.1234567890", 5, "101500.123456"),
        ("TM", "1000-1200", 5, "1000-1200"),
        ("DT", "20231231235959.123456+0100", 1, "20240101235959.123456+0100"),
        ("DT", "20231231-0330", 1, "20240101-0330"),
        ("DT", "2023123123", 1, "2024010123"),
        ("DT", "2023", 10, "2023"),
        ("DT", "2023", 200, "2024"),
        ("DT", "202301", -20, "202212"),
        ("DT", "202301", -10, "202301"),
        ("DT", "2023+0100", 0, "2023+0100"),
        ("DT", "20230101-20230105", 1, "20230102-20230106"),
        ("SH", "+0100", 7, "+0100"),
        ("LO", "20230101", 1, "20230102"),
        ("LO", "20230101101500", 1, "20230102101500"),
    ],
)
def test_a_shift_gives(vr, before, shift, after):
    assert text_of(vr, before.encode(), shift) == after


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        ("DA", "20230230"),
        ("DA", "unknown"),
        ("DA", "00000000"),
        ("DA", "20231301"),
        ("DA", "2023"),
        ("DA", "2023011"),
        ("DA", "20230101SMITH"),
        ("DA", "-"),
        ("TM", "SMITH"),
        ("TM", "24"),
        ("TM", "1060"),
        ("TM", "1:2:3"),
        ("DT", "20230230"),
        ("DT", "20230101+9900"),
        ("DT", "2023010199"),
        ("DT", "20230101101500.1234567"),
        ("DT", "Monday"),
    ],
)
def test_what_is_no_date_becomes_one_that_says_nothing(vr, value):
    assert text_of(vr, value.encode(), 3) == PLACEHOLDERS[vr]


@pytest.mark.parametrize("value", ["SMITH", "1970", "196001", "12345678901234567890"])
def test_text_that_is_no_date_is_not_kept(value):
    assert value not in text_of("LO", value.encode(), 3)


@pytest.mark.parametrize(("value", "shift"), [("00010101", -1), ("99991231", 1)])
def test_a_date_that_would_leave_the_calendar_is_not_kept(value, shift):
    assert text_of("DA", value.encode(), shift) == PLACEHOLDERS["DA"]
    assert text_of("DT", value.encode(), shift) == PLACEHOLDERS["DT"]


@pytest.mark.parametrize("vr", ["DA", "TM", "DT"])
@pytest.mark.parametrize("raw", [b"", b"  ", b"\0\0"])
def test_nothing_stays_nothing(vr, raw):
    assert shifted(vr, raw, 5) == raw


@given(some_dates, some_dates, days)
def test_intervals_of_dates_are_kept(one, other, shift):
    new = [
        datetime.strptime(text_of("DA", f"{day:%Y%m%d}".encode(), shift), "%Y%m%d")  # noqa: DTZ007
        for day in (one, other)
    ]
    assert new[1] - new[0] == other - one
    assert new[0].date() == one + timedelta(shift)


@given(some_times, some_times, days)
def test_intervals_of_date_times_are_kept_to_the_microsecond(one, other, shift):
    form = "%Y%m%d%H%M%S.%f"
    new = [
        datetime.strptime(text_of("DT", f"{time:{form}}".encode(), shift), form)  # noqa: DTZ007
        for time in (one, other)
    ]
    assert new[1] - new[0] == other - one


@given(some_times, days)
def test_date_and_time_apart_say_what_the_date_time_says(time, shift):
    whole = text_of("DT", f"{time:%Y%m%d%H%M%S}".encode(), shift)
    apart = text_of("DA", f"{time:%Y%m%d}".encode(), shift)
    assert whole == apart + text_of("TM", f"{time:%H%M%S}".encode(), shift)


@given(some_dates, days)
def test_a_shift_and_back_is_nothing(day, shift):
    raw = f"{day:%Y%m%d}".encode()
    assume(1 < (day + timedelta(shift)).year < 9999)
    assert shifted("DA", shifted("DA", raw, shift), -shift) == raw


@given(st.sampled_from(["DA", "TM", "DT"]), st.binary(max_size=40), days)
def test_any_bytes_become_valid_values(vr, raw, shift):
    new = shifted(vr, raw, shift)
    if new == raw and not raw.strip(b" \0\\"):
        return
    assert len(new) % 2 == 0
    for value in new.decode("ascii").strip(" ").split("\\"):
        validate_value(vr, value, config.RAISE)


@given(st.text(min_size=1), st.integers(-3650, 3650), st.integers(0, 730))
def test_an_offset_is_in_its_range_and_never_nothing(patient, least, width):
    offset = offset_days(patient, (least, least + width), KEY)
    assert least <= offset <= least + width
    assert offset or (least == 0 and width == 0)


def test_every_day_of_a_range_is_drawn():
    drawn = {offset_days(str(patient), (-3, 3), KEY) for patient in range(500)}
    assert drawn == {-3, -2, -1, 1, 2, 3}


def test_an_offset_belongs_to_patient_and_key():
    patients = [f"patient {number}" for number in range(50)]
    ours = [offset_days(patient, (-30000, 30000), KEY) for patient in patients]
    assert ours == [offset_days(patient, (-30000, 30000), KEY) for patient in patients]
    theirs = [offset_days(patient, (-30000, 30000), OTHER) for patient in patients]
    assert sum(one == two for one, two in zip(ours, theirs, strict=True)) <= 1
    assert len(set(ours)) >= 49
