"""What instances agree on, how two sides differ, and what makes them agree."""

from itertools import permutations

import pytest

from curator.dicom.tags import tag_text
from curator.reshape.consensus import (
    Consensus,
    Difference,
    Disagreement,
    PatientStudy,
    consensus,
    differences,
    module_edits,
    patient_study_edits,
)
from curator.reshape.modules import IDENTITY, IDENTITY_WARNING, PATIENT, PATIENT_STUDY

CODES = [{"CodeValue": "1", "CodeMeaning": "one"}]


def agreed(keyword: str, *values) -> Consensus:
    instances = [{} if value is None else {keyword: value} for value in values]
    return consensus(instances, [keyword])


@pytest.mark.parametrize("value", ["M", CODES, {"VR": "FD", "Value": [0.5]}, "", [], None])
def test_what_all_instances_have_is_their_consensus(value):
    assert agreed("PatientSex", value, value) == Consensus({"PatientSex": value}, (), ())


def test_instances_that_do_not_exist_have_nothing():
    assert consensus([], ["PatientID"]) == Consensus({"PatientID": None}, (), ())


def test_only_the_elements_asked_for_are_compared():
    found = consensus([{"PatientID": "1", "StudyID": "2"}, {"StudyID": "3"}], ["PatientSex"])
    assert found == Consensus({"PatientSex": None}, (), ())


@pytest.mark.parametrize("missing", [None, "", []])
@pytest.mark.parametrize("value", ["M", CODES, {"VR": "FD", "Value": [0.5]}])
def test_what_some_instances_lack_is_filled_up_and_no_disagreement(value, missing):
    for order in permutations([missing, missing, value]):
        expected = Consensus({"PatientSex": value}, (), ("PatientSex",))
        assert agreed("PatientSex", *order) == expected


@pytest.mark.parametrize("empty", ["", []])
def test_an_empty_element_wins_over_an_absent_one(empty):
    found = agreed("ProcedureCodeSequence", None, empty, None)
    assert found == Consensus({"ProcedureCodeSequence": empty}, (), ("ProcedureCodeSequence",))


def test_of_several_values_the_most_frequent_is_taken_and_all_are_reported():
    found = agreed("StudyID", None, "B", None, "A", "", None, "A")
    counts = (("A", 2), ("B", 1), ("", 1), (None, 3))
    assert found == Consensus({"StudyID": "A"}, (Disagreement("StudyID", counts),), ())


def test_of_equally_frequent_values_the_first_is_taken():
    assert agreed("StudyID", "B", "A", "A", "B").values == {"StudyID": "B"}
    assert agreed("StudyID", "A", "B", "B", "A").values == {"StudyID": "A"}


@pytest.mark.parametrize(
    ("keyword", "one", "other"),
    [
        ("PatientName", "Doe^John", "Doe^John^^^ "),
        ("PatientName", "Doe^John=A", "Doe^John^ ^=A"),
        ("PatientName", "Yamada^Tarou=山田^太郎", "Yamada^Tarou^=山田^太郎^^="),
        ("OtherPatientNames", "A^B\\C", "A^B^\\C^"),
        ("PatientID", "A1", "A1 "),
        ("PatientID", "A1", {"VR": "SH", "Value": ["A1"]}),
        ("PatientComments", " a\\ b", " a\\ b  "),
        ("ReferencedPatientSequence", [{"PatientName": "A"}], [{"0010,0010": "A^"}]),
        (
            "PixelPaddingValue",
            {"VR": "SS", "Value": [-1]},
            {"VR": "SS", "Value": [-1]},
        ),
    ],
)
def test_padding_and_delimiters_at_the_end_make_no_difference(keyword, one, other):
    found = agreed(keyword, one, other)
    assert found == Consensus({keyword: one}, (), ())
    assert differences({keyword: one}, {keyword: other}, [keyword]) == []


@pytest.mark.parametrize(
    ("keyword", "one", "other"),
    [
        ("PatientName", "Doe^John", "DOE^JOHN"),
        ("PatientName", "Doe^John", "^Doe^John"),
        ("PatientName", "Yamada=山田", "Yamada==山田"),
        ("PatientID", "A^", "A"),
        ("PatientID", "01", "1"),
        ("PatientComments", " a", "a"),
        ("PatientBirthDate", "19600203", "1960.02.03"),
        ("StudyTime", "1015", "101500"),
        ("ProcedureCodeSequence", CODES, [*CODES, *CODES]),
        ("ProcedureCodeSequence", CODES, [{**CODES[0], "CodeMeaning": ""}]),
        ("ProcedureCodeSequence", [{"CodeValue": ""}], [{}]),
        ("PixelPaddingValue", {"VR": "SS", "Value": [-1]}, {"VR": "US", "Value": [65535]}),
        ("PixelPaddingValue", {"VR": "SS", "Value": [-1]}, {"VR": "SS", "Value": [-2]}),
        ("PatientID", {"VR": "UN", "Base64": "QQ=="}, {"VR": "UN", "Base64": "Qg=="}),
    ],
)
def test_everything_else_makes_a_difference(keyword, one, other):
    found = agreed(keyword, one, other)
    assert found.disagreements == (Disagreement(keyword, ((one, 1), (other, 1))),)
    expected = [Difference(keyword, one, other)]
    assert differences({keyword: one}, {keyword: other}, [keyword]) == expected
    assert expected[0].contradicts


@pytest.mark.parametrize(
    "empty",
    [
        "",
        "^^",
        "^=^",
        {"VR": "LO", "Value": []},
        {"VR": "US", "Value": []},
        {"VR": "UN", "Base64": ""},
        {"VR": "SQ", "Items": []},
    ],
)
def test_every_form_of_an_empty_element_is_empty(empty):
    assert agreed("PatientName", empty, "A").filled == ("PatientName",)
    assert differences({"PatientName": empty}, {}, ["PatientName"]) == []


def test_differences_show_both_sides_in_the_order_asked_for():
    target = {"PatientID": "1", "PatientSex": "M", "PatientName": "A", "StudyID": "1"}
    source = {"PatientID": "2", "PatientBirthDate": "19600203", "PatientName": "a"}
    assert differences(target, source, IDENTITY) == [
        ("PatientID", "1", "2"),
        ("PatientBirthDate", None, "19600203"),
        ("PatientSex", "M", None),
    ]
    assert differences(target, source, IDENTITY_WARNING) == [("PatientName", "A", "a")]


@pytest.mark.parametrize("missing", [None, ""])
def test_a_side_that_has_no_value_differs_but_contradicts_nothing(missing):
    for sides in permutations([missing, "M"]):
        assert not Difference("PatientSex", *sides).contradicts


def test_the_identity_is_in_the_patient_module():
    assert {*IDENTITY, *IDENTITY_WARNING} <= set(map(tag_text, PATIENT))


def test_modules_are_set_and_what_the_target_lacks_is_removed():
    target = {"PatientID": "1", "ProcedureCodeSequence": CODES, "StudyID": None, "Modality": "CT"}
    sources = [{"PatientID": "2", "PatientComments": "x"}, {"PatientID": "1", "StudyID": ""}]
    keywords = [*("PatientID", "ProcedureCodeSequence", "StudyID", "PatientComments", "Allergies")]
    assert module_edits(target, keywords, sources) == {
        "PatientID": "1",
        "ProcedureCodeSequence": CODES,
        "StudyID": None,
        "PatientComments": None,
    }


def test_equal_values_need_no_edit():
    values = {"PatientID": "1", "ProcedureCodeSequence": CODES, "StudyID": ""}
    assert module_edits(values, [*values, "PatientSex"], [dict(values), dict(values)]) == {}


def test_other_spellings_of_the_same_name_are_made_one():
    edits = module_edits({"PatientName": "A^B"}, ["PatientName"], [{"PatientName": "A^B^"}])
    assert edits == {"PatientName": "A^B"}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (PatientStudy.KEEP, {}),
        (PatientStudy.TARGET, {"PatientAge": "060Y", "Allergies": "x", "PatientWeight": None}),
        (PatientStudy.CLEAR, {"PatientAge": None, "PatientWeight": None}),
    ],
)
def test_the_patient_study_module_is_kept_taken_or_cleared(choice, expected):
    target = {"PatientAge": "060Y", "Allergies": "x", "PatientID": "1"}
    source = {"PatientAge": "050Y", "PatientWeight": "70", "ClinicalTrialTimePointID": "1"}
    assert patient_study_edits(choice, target, [source]) == expected


def test_every_element_of_the_patient_study_module_can_be_cleared():
    source = {tag_text(tag): "x" for tag in PATIENT_STUDY}
    edits = patient_study_edits(PatientStudy.CLEAR, source, [source])
    assert edits == dict.fromkeys(source)
