"""The same value gets the same pseudonym; another key or another attribute, another one."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.anonymize.pseudonyms import digits, hashed, text

KEY, OTHER = b"k" * 32, b"o" * 32
MAKERS = [
    lambda domain, original, key: text(domain, original, key),
    lambda domain, original, key: digits(domain, original, key, 30),
    lambda domain, original, key: hashed(domain, original, key, 64),
]


@pytest.mark.parametrize("make", MAKERS)
@given(original=st.text())
def test_a_pseudonym_belongs_to_value_attribute_and_key(make, original):
    new = make("Patient", original, KEY)
    assert new == make("Patient", original, KEY)
    assert len({new, make("Patient", original, OTHER), make("AccessionNumber", original, KEY)}) == 3


@pytest.mark.parametrize("make", MAKERS)
@given(originals=st.lists(st.text(), min_size=2, max_size=30, unique=True))
def test_different_values_stay_different(make, originals):
    assert len({make("Patient", original, KEY) for original in originals}) == len(originals)


@given(st.text(), st.integers(4, 64))
def test_pseudonyms_have_the_length_asked_for(original, length):
    assert re.fullmatch(f"[0-9A-HJKMNP-TV-Z]{{{length}}}", text("Patient", original, KEY, length))
    assert re.fullmatch(f"[0-9]{{{length}}}", digits("Patient", original, KEY, length))
    assert re.fullmatch(f"[0-9A-F]{{{length}}}", hashed("Patient", original, KEY, length))


def test_every_letter_and_digit_is_used_alike():
    joined = "".join(text("Patient", str(number), KEY, 64) for number in range(500))
    counts = [joined.count(letter) for letter in "0123456789ABCDEFGHJKMNPQRSTVWXYZ"]
    assert sum(counts) == len(joined)
    assert min(counts) > 850
    assert max(counts) < 1150
    numbers = "".join(digits("Patient", str(number), KEY, 64) for number in range(500))
    assert all(2900 < numbers.count(digit) < 3500 for digit in "0123456789")


def test_domain_and_value_are_not_mixed_up():
    assert text("A", "B\0C", KEY) == text("A", "B\0C", KEY)
    assert text("AB", "C", KEY) != text("A", "BC", KEY)
