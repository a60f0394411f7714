"""Values that rules write."""

import pytest

from curator.dicom.tags import parse_path
from curator.template import parse_template

FOUND = {"StudyID": ("7",), "ImageType": ("ORIGINAL", "PRIMARY"), "StudyComments": ("a\\b",)}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("constant", "constant"),
        ("", ""),
        ("{StudyID}", "7"),
        ("S{StudyID}-{ImageType}", "S7-ORIGINAL PRIMARY"),
        ("{StudyComments}", "a/b"),
        ("{Modality}", ""),
        ("{{{0020,0010}}}", "{7}"),
    ],
)
def test_values_stand_in_the_place_of_their_elements(template, expected):
    assert parse_template(template).fill(lambda path: FOUND.get(str(path), ())) == expected


def test_what_has_to_be_read_is_known():
    path = "RequestAttributesSequence[0].RequestedProcedureID"
    assert parse_template(f"a{{{path}}}b").paths == (parse_path(path),)
    assert parse_template("{{a}}").paths == ()


@pytest.mark.parametrize("text", ["{", "}", "{}", "{Nonsense}", "{StudyID:g}", "{StudyID!r}"])
def test_what_cannot_be_filled_is_refused(text):
    with pytest.raises(ValueError):
        parse_template(text)
