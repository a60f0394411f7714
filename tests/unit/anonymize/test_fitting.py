"""What is written is what its value representation allows (PS3.5 6.2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import config
from pydicom.valuerep import validate_value

from curator.anonymize.errors import DoesNotSuit
from curator.anonymize.fitting import suits, text_edit
from curator.dicom.edits import Replace, ReplaceEncoded
from curator.dicom.element import STRING_VRS
from curator.dicom.tags import tag_for_keyword

PATIENT_ID = tag_for_keyword("PatientID")


@pytest.mark.parametrize(
    ("vr", "text"),
    [
        ("AE", "A" * 17),
        ("AE", "A\\B"),
        ("AS", "45Y"),
        ("CS", "lower"),
        ("CS", "A" * 17),
        ("DA", "2023.01.01"),
        ("DA", "20230230"),
        ("DS", "one"),
        ("DS", "1" * 17),
        ("DT", "20230101-20230102"),
        ("IS", "1.5"),
        ("IS", "2147483648"),
        ("LO", "A" * 65),
        ("LO", "A\\B"),
        ("LO", "A\nB"),
        ("PN", "A" * 65),
        ("PN", "A^B^C^D^E^F"),
        ("PN", "A=B=C=D"),
        ("SH", "A" * 17),
        ("ST", "A" * 1025),
        ("TM", "25"),
        ("UI", "1.02"),
        ("UI", "1.2." + "3" * 64),
        ("UR", "a b"),
        ("UT", "A\0B"),
        ("OB", "A"),
        ("US", "1"),
    ],
)
def test_what_is_not_allowed_is_refused_without_being_quoted(vr, text):
    assert not suits(vr, text)
    with pytest.raises(DoesNotSuit) as refusal:
        text_edit(PATIENT_ID, vr, (text,))
    assert refusal.value.details.startswith("PatientID: ")
    assert f" {text} " not in refusal.value.details
    assert refusal.value.status == 409


@given(st.sampled_from(sorted(STRING_VRS)), st.text(max_size=80))
def test_what_suits_is_valid_for_pydicom(vr, text):
    if suits(vr, text) and text.isascii():
        validate_value(vr, text, config.RAISE)


def test_ascii_is_encoded_at_once_and_other_text_by_the_engine():
    assert text_edit(PATIENT_ID, "LO", ("ABC", "D")) == ReplaceEncoded("LO", b"ABC\\D ")
    assert text_edit(PATIENT_ID, "UI", ("1.2.3",)) == ReplaceEncoded("UI", b"1.2.3\0")
    assert text_edit(PATIENT_ID, "LO", ("Müller", "A")) == Replace(("Müller", "A"), "LO")
