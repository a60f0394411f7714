from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.datadict import keyword_dict

from curator.dicom.errors import DicomError, TagError
from curator.dicom.tags import (
    Path,
    PrivateTag,
    Step,
    Tag,
    dictionary_vr,
    parse_path,
    parse_tag,
    tag_text,
)


@pytest.mark.parametrize(
    "text",
    ["PatientName", "0010-0010", "0010,0010", "00100010", "(0010,0010)", "( 0010 , 0010 )"],
)
def test_a_tag_is_accepted_in_every_spelling_of_orthanc(text):
    assert parse_tag(text) == 0x00100010


def test_hexadecimal_digits_in_any_case():
    assert parse_tag("7fe0-0010") == parse_tag("7FE0,0010") == 0x7FE00010


def test_a_private_tag_with_its_creator():
    tag = parse_tag('(01F1,"ELSCINT1",26)')
    assert tag == PrivateTag(0x01F1, "ELSCINT1", 0x26)
    assert tag.in_block(0x10) == 0x01F11026
    assert str(tag) == '(01F1,"ELSCINT1",26)'


def test_a_creator_may_hold_what_looks_like_a_path():
    path = parse_path('(0029,"A [0].B",10)[*].PatientID')
    assert path == Path(Tag(0x00100020), (Step(PrivateTag(0x0029, "A [0].B", 0x10), None),))


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("PatientNam", "PatientName"),
        ("patientname", "PatientName"),
        ("SeriesInstanceUid", "SeriesInstanceUID"),
        ("Echo Time", "EchoTime"),
        ("", "Not a tag"),
        ("0010-001", "Not a tag"),
        ("0010-00100", "Not a tag"),
        ("(0010,0010", "Not a tag"),
        ('(0010,"CREATOR",10)', "odd group"),
        ("ReferencedImageSequence.PatientID", r"\[\*\]"),
        ("ReferencedImageSequence[].PatientID", r"\[\*\]"),
        ("ReferencedImageSequence[*]", r"\[\*\]"),
        ("ReferencedImageSequence[-1].PatientID", r"\[\*\]"),
        ("PatientID[0].PatientName", "not a sequence"),
        ("PatientID ", "expected"),
    ],
)
def test_what_is_no_tag_is_refused_with_a_hint(text, hint):
    with pytest.raises(TagError, match=hint):
        parse_path(text)


def test_a_path_is_no_tag():
    with pytest.raises(TagError, match="single tag"):
        parse_tag("ReferencedImageSequence[0].PatientID")


@pytest.mark.parametrize(
    "text",
    [
        "PatientID",
        "0019,100C",
        "60EE,3000",
        '(0019,"SIEMENS MR HEADER",0C)',
        "RequestAttributesSequence[*].RequestedProcedureID",
        "ReferencedSeriesSequence[0].ReferencedInstanceSequence[12].ReferencedSOPInstanceUID",
        '(2005,"Philips MR Imaging DD 001",0E)[*].PatientID',
    ],
)
def test_the_text_of_a_path_reads_back(text):
    path = parse_path(text)
    assert str(path) == text
    assert parse_path(str(path)) == path
    assert hash(parse_path(str(path))) == hash(path)


@given(st.sampled_from(sorted(filter(None, keyword_dict))))
def test_every_keyword_reads_back(keyword):
    assert tag_text(parse_tag(keyword)) == keyword


@given(st.text(st.sampled_from('0123456789aAfFgZ[]*.,-()" '), max_size=30))
def test_any_text_is_a_path_or_refused(text):
    try:
        path = parse_path(text)
    except DicomError:
        return
    assert parse_path(str(path)) == path


@pytest.mark.parametrize(
    ("tag", "creator", "vr"),
    [
        (0x00100010, None, "PN"),
        (0x00080000, None, "UL"),
        (0x00280106, None, "US"),
        (0x7FE00010, None, "OW"),
        (0x60023000, None, "OW"),
        (0x00190010, None, "LO"),
        (0x0019100C, "SIEMENS MR HEADER", "IS"),
        (0x0019110C, "SIEMENS MR HEADER", "IS"),
        (0x0019100C, "NOBODY", "UN"),
        (0x0019100C, None, "UN"),
        (0x00090001, None, "UN"),
        (0x00189999, None, "UN"),
        (PrivateTag(0x0019, "SIEMENS MR HEADER", 0x0C), None, "IS"),
    ],
)
def test_value_representations_come_from_the_dictionaries(tag, creator, vr):
    assert dictionary_vr(tag, creator) == vr
