"""Generalized values tell less, are valid, and are never more exact than asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import config
from pydicom.valuerep import validate_value

from curator.anonymize.generalize import Grain, generalized
from curator.anonymize.profile import DatePart

AGES = Grain(bins=5, above=89)
YEAR, MONTH = Grain(to=DatePart.YEAR), Grain(to=DatePart.MONTH)


@pytest.mark.parametrize(
    ("vr", "before", "grain", "after"),
    [
        ("AS", "047Y", AGES, "045Y"),
        ("AS", "045Y", AGES, "045Y"),
        ("AS", "089Y", AGES, "085Y"),
        ("AS", "090Y", AGES, "090Y"),
        ("AS", "103Y", AGES, "090Y"),
        ("AS", "018M", AGES, "000Y"),
        ("AS", "066M", AGES, "005Y"),
        ("AS", "003D", AGES, "000Y"),
        ("AS", "520W", AGES, "005Y"),
        ("AS", "018M", Grain(above=89), "018M"),
        ("AS", "095Y", Grain(above=89), "090Y"),
        ("AS", "47Y", AGES, ""),
        ("AS", "SMITH", AGES, ""),
        ("AS", "047Y", Grain(), ""),
        ("DA", "19600203", YEAR, "19600101"),
        ("DA", "19600203", MONTH, "19600201"),
        ("DA", "1960.02.03", MONTH, "19600201"),
        ("DA", "19600231", YEAR, "19000101"),
        ("DA", "unknown", YEAR, "19000101"),
        ("DA", "19600203", Grain(), "19000101"),
        ("DT", "19600203101500.5+0100", YEAR, "1960"),
        ("DT", "19600203101500.5+0100", MONTH, "196002"),
        ("DT", "1960+0100", MONTH, "1960"),
        ("DT", "nonsense", MONTH, "19000101000000"),
        ("DS", "72.6", Grain(bins=5), "70"),
        ("DS", "-0.5", Grain(bins=5), "-5"),
        ("DS", "172.6", Grain(bins=5, above=150), "151"),
        ("DS", "heavy", Grain(bins=5), ""),
        ("DS", "nan", Grain(bins=5), ""),
        ("IS", "13", Grain(bins=10), "10"),
        ("US", "13", Grain(bins=10), "10"),
        ("LO", "12345", Grain(digits=3), "123"),
        ("LO", "SW1A 1AA", Grain(digits=3), "SW1"),
        ("LO", "D-10115", Grain(digits=4), "D-10"),
        ("LO", "12345", Grain(digits=0), ""),
        ("LO", "12 Long Street, London", Grain(digits=3), ""),
        ("LO", "London", Grain(digits=3), ""),
        ("LO", "12 months", Grain(bins=5), ""),
    ],
)
def test_a_value_becomes(vr, before, grain, after):
    assert generalized(vr, before, grain) == after


@given(st.integers(0, 999), st.sampled_from("DWMY"), st.integers(1, 100), st.integers(1, 150))
def test_no_age_is_above_its_own_or_the_cap(number, unit, bins, above):
    age = f"{number:03}{unit}"
    new = generalized("AS", age, Grain(bins=bins, above=above))
    validate_value("AS", new, config.RAISE)
    years = number / {"D": 365.25, "W": 52.178, "M": 12, "Y": 1}[unit]
    assert int(new[:3]) <= above + 1
    assert int(new[:3]) <= years
    assert int(new[:3]) % bins == 0 or int(new[:3]) == above + 1


@given(
    st.sampled_from(["AS", "DA", "DT", "DS", "IS", "LO", "FD"]),
    st.text(min_size=1, max_size=20),
    st.builds(
        Grain,
        st.none() | st.integers(1, 100),
        st.none() | st.integers(1, 150),
        st.none() | st.sampled_from(DatePart),
    ),
)
def test_text_that_is_no_such_value_is_not_kept(vr, text, grain):
    new = generalized(vr, text, grain)
    assert new != text or any(char.isdigit() for char in text)
