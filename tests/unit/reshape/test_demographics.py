# ruff: noqa: RUF001  (letters of many scripts are the point)
"""Persons who share a patient identifier, and identifiers that go."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.reshape.demographics import Persons, normalized, other_patient_ids, persons

BORN = "19600203"


def key(name: str = "", birth_date: str = "", sex: str = ""):
    return normalized(name, birth_date, sex)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Müller^Jürgen", "MÜLLER^JÜRGEN "),
        ("Müller^Jürgen", "Müller^Jürgen^^^"),
        ("Müller^Jürgen", "Mu\N{COMBINING DIAERESIS}ller^Ju\N{COMBINING DIAERESIS}rgen"),
        ("Großmann", "GROSSMANN"),
        ("DOE^JOHN", "DOE, JOHN"),
        ("DOE^JOHN", "Doe,John"),
        ("DOE^JOHN PAUL", " Doe ^ John   Paul "),
        ("DOE^JOHN", "DOE^JOHN="),
        ("Люксембург^Роза", "ЛЮКСЕМБУРГ^РОЗА"),
        ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
        ("ΐ", "ΐ".upper()),
        ("㎁", "na"),
        ("ﾔﾏﾀﾞ^ﾀﾛｳ", "ヤマダ^タロウ"),
        ("ＤＯＥ＾ＪＯＨＮ", "DOE^JOHN"),
        ("=山田^太郎", "=山田\N{IDEOGRAPHIC SPACE}^太郎"),
        ("قباني^لنزار", "قباني^لنزار^"),
        ("", "^^=^="),
    ],
)
def test_spellings_of_one_name(one, other):
    assert key(one) == key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("MÜLLER", "MUELLER"),
        ("MÜLLER", "MULLER"),
        ("DOE^JOHN", "JOHN^DOE"),
        ("DOE^JOHN", "DOEJOHN"),
        ("DOE^JOHN", "DOE JOHN"),
        ("DOE^JOHN^A", "DOE^JOHN^B"),
        ("Doe-Roe", "Doe Roe"),
        ("山田^太郎", "山田^太朗"),
        ("قباني^لنزار", "قباني^نزار"),
        ("Yamada^Tarou=山田^太郎", "Suzuki^Tarou=山田^太郎"),
        ("=山田^太郎=やまだ", "Yamada^Tarou=山田^太朗=やまだ"),
    ],
)
def test_other_names(one, other):
    assert not key(one).fits(key(other))
    assert not key(other).fits(key(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (key("A^B", BORN, "M"), key("A^B", "", "M")),
        (key("A^B", BORN, "M"), key("", BORN, "")),
        (key("A^B", BORN, "M"), key()),
        (key("A^B", "1960.02.03", "m"), key("A^B", BORN, "M ")),
        (key("DOE^JOHN^PAUL"), key("DOE^JOHN")),
        (key("DOE^JOHN^^DR"), key("DOE^^PAUL")),
        (key("Yamada^Tarou=山田^太郎"), key("YAMADA^TAROU")),
        (key("Yamada^Tarou=山田^太郎"), key("=山田^太郎=やまだ^たろう")),
        (key("Yamada^Tarou=山田^太郎"), key("Yamada^Tarou=山田^太朗")),
        (key("Yamada^Tarou"), key("=山田^太郎")),
    ],
)
def test_what_is_missing_fits_anything(one, other):
    assert one.fits(other)
    assert other.fits(one)


def test_birth_date_and_sex_tell_persons_apart():
    person = key("A^B", BORN, "M")
    assert not person.fits(key("A^B", "19600204", "M"))
    assert not person.fits(key("A^B", BORN, "F"))


def test_one_person_in_several_spellings_stays_one():
    found = [
        key("Müller^Jürgen", BORN, "M"),
        key("MÜLLER, JÜRGEN", "", "M"),
        key("Müller^Jürgen^^^", BORN, ""),
        key(),
    ]
    assert persons(found) == Persons(((0, 1, 2, 3),), ())


def test_persons_come_in_the_order_of_their_keys():
    found = [key("ROE^JANE"), key("DOE^JOHN"), key("ROE^JANE")]
    assert persons(found) == Persons(((1,), (0, 2)), ())


def test_nobody_is_no_person():
    assert persons([]) == Persons((), ())


@pytest.mark.parametrize(
    "incomplete", [key("DOE^JOHN"), key("", BORN), key("DOE"), key("", "", "M"), key()]
)
def test_an_incomplete_key_that_fits_two_persons_is_reported(incomplete):
    found = [
        key("DOE^JOHN", BORN, "M"),
        incomplete,
        key("DOE^JOHN^PAUL", "19700101", "M"),
        key("DOE^JIM", BORN, "M"),
    ]
    assert persons(found) == Persons(((3,), (0,), (2,)), (1,))


def test_an_incomplete_key_that_fits_one_of_two_persons_belongs_to_it():
    found = [key("DOE^JOHN", BORN, "M"), key("", "", "F"), key("ROE^JANE", BORN, "F")]
    assert persons(found) == Persons(((1, 2), (0,)), ())


def test_incomplete_keys_that_contradict_each_other_only_through_others_are_reported():
    names, dates = [key("DOE"), key("ROE")], [key("", "19600203"), key("", "19700101")]
    assert persons([*names, *dates]) == Persons((), (0, 1, 2, 3))


keys = st.builds(
    normalized,
    st.sampled_from(["", "A", "A^B", "A^C", "A^B^D", "E", "A=甲", "=甲", "=乙"]),
    st.sampled_from(["", "19600203", "19700101"]),
    st.sampled_from(["", "M", "F"]),
)


@given(st.lists(keys, max_size=12), st.randoms(use_true_random=False))
def test_the_order_of_the_instances_makes_no_difference(found, chance: random.Random):
    order = list(range(len(found)))
    chance.shuffle(order)
    shuffled = persons([found[index] for index in order])
    there = [tuple(sorted(order[index] for index in one)) for one in shuffled.persons]
    ambiguous = tuple(sorted(order[index] for index in shuffled.ambiguous))
    assert persons(found) == Persons(tuple(there), ambiguous)


@given(st.lists(keys, max_size=12))
def test_every_instance_is_of_one_person_or_ambiguous(found):
    result = persons(found)
    everybody = [index for one in (*result.persons, result.ambiguous) for index in one]
    assert sorted(everybody) == list(range(len(found)))
    for person in result.persons:
        assert all(found[one].fits(found[other]) for one in person for other in person)
    for number, person in enumerate(result.persons):
        for other in result.persons[number + 1 :]:
            assert not any(found[one].fits(found[two]) for one in person for two in other)
    for index in result.ambiguous:
        fitting = [one for one in found if found[index].fits(one)]
        assert not all(one.fits(other) for one in fitting for other in fitting)


@given(st.text())
def test_a_normalized_name_stays_as_it_is(name):
    once = key(name.replace(",", ""))
    again = key("=".join("^".join(group) for group in once.name))
    assert again.fits(once)


def test_thousands_of_persons_under_one_identifier_are_told_apart():
    found = [key(f"P^{number}", f"19{number % 100:02}0101", "M") for number in range(3000)]
    assert len(persons(found).persons) == len(found)


@pytest.mark.parametrize(("issuer", "optional"), [("", {}), ("H", {"IssuerOfPatientID": "H"})])
def test_an_identifier_that_goes_is_kept_among_the_others(issuer, optional):
    existing = [{"PatientID": "X", "TypeOfPatientID": "RFID"}]
    new = {"PatientID": "P1", **optional, "TypeOfPatientID": "TEXT"}
    assert other_patient_ids("P1", issuer, existing) == [*existing, new]
    assert other_patient_ids("P1", issuer, [*existing, new]) == [*existing, new]


@pytest.mark.parametrize("script", ["山田", "Люк", "قباني", "Müller"])
def test_identifiers_of_every_script_are_kept(script):
    item = {"PatientID": script, "IssuerOfPatientID": script, "TypeOfPatientID": "TEXT"}
    assert other_patient_ids(f"{script} ", script, []) == [item]


def test_the_same_identifier_of_another_issuer_is_another_one():
    existing = [{"PatientID": "P1", "IssuerOfPatientID": "G", "TypeOfPatientID": "TEXT"}]
    assert len(other_patient_ids("P1", "H", existing)) == 2
    assert len(other_patient_ids("P1", "", existing)) == 2


def test_an_empty_identifier_adds_nothing_and_equal_items_are_taken_once():
    item = {"PatientID": "X", "TypeOfPatientID": "TEXT"}
    assert other_patient_ids(" ", "H", [item, dict(item)]) == [item]
