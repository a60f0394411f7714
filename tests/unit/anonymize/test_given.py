"""What a rule gives a value is there afterwards, whether it was there before or not."""

from io import BytesIO
from typing import Any

import pydicom
import pytest

from curator.anonymize.decision import Action
from factory import ImplicitVRLittleEndian, make_instance
from unit.anonymize.planted import anonymizer

GIVEN = {"Tag": "ClinicalTrialProtocolID", "Action": "Replace", "Value": "ABC-1"}


def anonymized(rules: list[dict[str, Any]], **elements: Any) -> pydicom.Dataset:
    made = anonymizer(Rules=rules).anonymize(make_instance(**elements))
    return pydicom.dcmread(BytesIO(made.dicom))


@pytest.mark.parametrize("syntax", [{}, {"transfer_syntax": ImplicitVRLittleEndian}])
def test_an_absent_element_is_added(syntax):
    assert anonymized([GIVEN], **syntax).ClinicalTrialProtocolID == "ABC-1"


def test_the_elements_stay_in_order():
    tags = [element.tag for element in anonymized([GIVEN])]
    assert tags == sorted(tags)


def test_numbers_and_several_values_are_given_too():
    rules = [
        {"Tag": "ImageType", "Action": "Replace", "Value": ["DERIVED", "SECONDARY"]},
        {"Tag": "FrameAcquisitionDuration", "Action": "Replace", "Value": 2.5},
        {"Tag": "RepresentativeFrameNumber", "Action": "Replace", "Value": 3},
    ]
    dataset = anonymized(rules, ImageType=None)
    assert list(dataset.ImageType) == ["DERIVED", "SECONDARY"]
    assert dataset.FrameAcquisitionDuration == 2.5
    assert dataset.RepresentativeFrameNumber == 3


def test_a_template_takes_from_the_original():
    rule = {**GIVEN, "Value": "{Modality}-{SeriesNumber}"}
    dataset = anonymized([rule], Modality="CT", SeriesNumber=7)
    assert dataset.ClinicalTrialProtocolID == "CT-7"


def test_a_template_that_finds_nothing_adds_nothing():
    rule = {**GIVEN, "Value": "{StudyComments}"}
    assert "ClinicalTrialProtocolID" not in anonymized([rule])


def test_only_instances_that_meet_the_condition_get_it():
    rule = {**GIVEN, "When": {"Tag": "Modality", "Equals": "CT"}}
    assert "ClinicalTrialProtocolID" in anonymized([rule], Modality="CT")
    assert "ClinicalTrialProtocolID" not in anonymized([rule], Modality="MR")


def test_a_later_rule_wins():
    removed = {"Tag": "ClinicalTrialProtocolID", "Action": "Remove"}
    assert "ClinicalTrialProtocolID" not in anonymized([GIVEN, removed])


def test_a_path_adds_nothing():
    rule = {**GIVEN, "Tag": "AnatomicRegionSequence[*].CodeMeaning"}
    assert "AnatomicRegionSequence" not in anonymized([rule])
    items = [{"CodeMeaning": "Chest"}, {"CodeValue": "T-D3000"}]
    there, absent = anonymized([rule], AnatomicRegionSequence=items).AnatomicRegionSequence
    assert there.CodeMeaning == "ABC-1"
    assert "CodeMeaning" not in absent


def test_text_beyond_the_character_set_of_the_instance_is_written_whole():
    dataset = anonymized([{**GIVEN, "Value": "試験"}], SpecificCharacterSet="ISO_IR 100")
    assert dataset.ClinicalTrialProtocolID == "試験"


def test_a_constant_may_be_an_identifier_of_the_subject():
    """The profile says so, as it may for an element that is there."""
    rule = {**GIVEN, "Value": "QUILLONBY"}
    dataset = anonymized([rule], PatientName="QUILLONBY^ADELHEYD")
    assert dataset.ClinicalTrialProtocolID == "QUILLONBY"


def test_it_is_explained_and_counted():
    made = anonymizer(Rules=[GIVEN]).anonymize(make_instance(), explain=True)
    (found,) = (one for one in made.explained if one.path == "ClinicalTrialProtocolID")
    assert (found.before, found.after, found.reason) == (None, "ABC-1", "$.Rules[0]")
    assert made.counts[Action.REPLACE, "ClinicalTrialProtocolID"] == 1
