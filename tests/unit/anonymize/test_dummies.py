"""A dummy is valid, says nothing, and does not depend on what it replaces."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import config, dcmread
from pydicom.datadict import DicomDictionary, dictionary_VM
from pydicom.filebase import DicomBytesIO
from pydicom.valuerep import validate_value

from curator.anonymize.dummies import dummy, plain_dummy
from curator.anonymize.placeholders import REMOVED
from curator.anonymize.standard import Code
from curator.anonymize.tables import load
from curator.anonymize.uids import mapped_field
from curator.dicom import engine
from curator.dicom.edits import Call, Edits, ReplaceEncoded
from curator.dicom.element import NUMBER_CODES, STRING_VRS, Element
from curator.dicom.structure import ALL_VRS
from curator.dicom.tags import Tag, dictionary_vr, tag_for_keyword
from factory import make_instance

KEY = b"k" * 32
VRS = sorted(vr.decode() for vr in ALL_VRS)
PLAIN_VRS = [vr for vr in VRS if vr not in ("SQ", "UI")]
SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")


def map_uid(raw: bytes) -> bytes:
    return mapped_field(raw, KEY)


def check(tag: int, vr: str, raw: bytes) -> None:
    """See that a value field is one of its VR."""
    assert raw
    assert len(raw) % 2 == 0
    if vr in STRING_VRS:
        for value in raw.decode("ascii").rstrip(" \0").split("\\"):
            assert value
            validate_value(vr, value, config.RAISE)
    elif vr in NUMBER_CODES:
        assert len(raw) % struct.calcsize(NUMBER_CODES[vr]) == 0


@pytest.mark.parametrize("vr", PLAIN_VRS)
def test_the_dummy_of_every_vr_is_valid(vr):
    edit = plain_dummy(0x00091001, vr)
    assert edit.vr == vr
    check(0x00091001, vr, edit.raw)


def test_the_dummy_of_every_standard_attribute_is_valid_and_has_enough_values():
    checked = 0
    for tag in DicomDictionary:
        vr = dictionary_vr(Tag(tag))
        if vr in ("SQ", "UI", "UN"):
            continue
        edit = plain_dummy(tag, vr)
        check(tag, vr, edit.raw)
        least = dictionary_VM(tag).split("-")[0]
        if vr in STRING_VRS and least.isdecimal():
            assert edit.raw.count(b"\\") + 1 >= int(least)
        checked += 1
    assert checked > 3500


@pytest.mark.parametrize("vr", PLAIN_VRS)
@given(one=st.binary(max_size=40), other=st.binary(max_size=40))
def test_a_dummy_does_not_depend_on_the_value(vr, one, other):
    edits = {dummy(Element(Tag(0x00091001), vr, raw), vr, map_uid) for raw in (one, other)}
    assert len(edits) == 1


def test_numbers_are_in_the_byte_order_of_the_instance():
    assert plain_dummy(0x00280010, "US", "<").raw == b"\1\0"
    assert plain_dummy(0x00280010, "US", ">").raw == b"\0\1"


def test_a_term_is_one_of_the_standard():
    assert plain_dummy(tag_for_keyword("PatientSex"), "CS").raw == b"O "
    assert plain_dummy(tag_for_keyword("PatientSex"), "DA").raw == b"19000101"


def test_the_dummy_of_a_uid_is_the_mapped_one():
    raw = b"1.2.3.4\0"
    tag = tag_for_keyword("AnnotationGroupUID")
    assert dummy(Element(tag, "UI", raw), "UI", map_uid) == ReplaceEncoded("UI", map_uid(raw))
    kind = tag_for_keyword("SOPClassUID")
    assert dummy(Element(kind, "UI", raw), "UI", map_uid) == ReplaceEncoded("UI", raw)


PERSON = {
    "PersonIdentificationCodeSequence": [
        {"CodeValue": "SECRET1", "CodingSchemeDesignator": "99SECRET", "CodeMeaning": "SECRET^A"}
    ],
    "PersonAddress": "SECRET street",
    "InstitutionName": "SECRET hospital",
    "InstitutionCodeSequence": [{"LongCodeValue": "SECRET", "CodeMeaning": "SECRET"}],
}
SEQUENCES = {
    "OperatorIdentificationSequence": [PERSON, PERSON],
    "PhysiciansOfRecordIdentificationSequence": [PERSON],
    "InstitutionCodeSequence": PERSON["InstitutionCodeSequence"],
    "ReferencedPerformedProcedureStepSequence": [
        {
            "ReferencedSOPClassUID": "1.2.840.10008.3.1.2.3.3",
            "ReferencedSOPInstanceUID": "1.2.3.4.5",
        }
    ],
    "RequestAttributesSequence": [
        {
            "AccessionNumber": "SECRET",
            "ScheduledProcedureStepStartDate": "20230405",
            "RequestedProcedureCodeSequence": [],
            "ReferencedStudySequence": [{"ReferencedSOPInstanceUID": "1.2.3.4.5"}],
        }
    ],
    "ContentSequence": [{"ValueType": "PNAME", "PersonName": "SECRET^B"}],
    "VerifyingObserverSequence": [{"VerifyingObserverName": "SECRET^C"}],
    "WaveformAnnotationSequence": [{"UnformattedTextValue": "SECRET"}],
    "GraphicAnnotationSequence": [{"GraphicLayer": "SECRET"}],
    "FlowIdentifierSequence": [{"FlowIdentifier": b"SECRET"}],
    "PersonIdentificationCodeSequence": [PERSON["PersonIdentificationCodeSequence"][0]],
}


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("keyword", SEQUENCES)
@pytest.mark.parametrize("delimited", [False, True])
def test_the_dummy_of_a_sequence_is_one_item_of_dummies(keyword, syntax, delimited):
    tag = tag_for_keyword(keyword)
    elements = {keyword: SEQUENCES[keyword]}
    dicom = make_instance(transfer_syntax=syntax, undefined_lengths=delimited, **elements)
    edits = Edits({tag: Call(lambda element: dummy(element, element.vr, map_uid))})
    new = engine.apply(dicom, edits)
    assert b"SECRET" not in new
    assert b"1.2.3.4.5" not in new
    assert b"20230405" not in new
    dataset = dcmread(DicomBytesIO(new))
    (item,) = dataset[keyword].value
    for element in item.iterall():
        assert element.VR == "SQ" or not element.is_empty
    code = item if "CodeSequence" in keyword else item.get("PersonIdentificationCodeSequence", [])
    for one in [code] if code is item else code:
        assert (one.CodeValue, one.CodeMeaning) == ("REMOVED", REMOVED)
        assert "LongCodeValue" not in one


def test_the_structure_of_an_item_is_kept():
    dicom = make_instance(RequestAttributesSequence=SEQUENCES["RequestAttributesSequence"])
    tag = tag_for_keyword("RequestAttributesSequence")
    edits = Edits({tag: Call(lambda element: dummy(element, element.vr, map_uid))})
    (item,) = dcmread(DicomBytesIO(engine.apply(dicom, edits))).RequestAttributesSequence
    assert item.AccessionNumber == REMOVED
    assert item.ScheduledProcedureStepStartDate == "19000101"
    assert item.RequestedProcedureCodeSequence == []
    (study,) = item.ReferencedStudySequence
    assert study.ReferencedSOPInstanceUID.encode() == map_uid(b"1.2.3.4.5\0").rstrip(b"\0")


def test_the_rows_that_want_a_dummy_of_a_sequence_are_complete_items():
    for tag, row in load().by_tag.items():
        if row.codes == (Code.D,) and dictionary_vr(Tag(tag)) == "SQ":
            (item,) = dummy(Element(Tag(tag), "SQ", b""), "SQ", map_uid).values
            assert item, row.keyword


@given(st.sampled_from(VRS), st.binary(max_size=60), st.sampled_from("<>"))
def test_any_bytes_have_a_dummy(vr, raw, order):
    for tag in (0x00091001, tag_for_keyword("OperatorIdentificationSequence"), 0x00400275):
        dummy(Element(Tag(tag), vr, raw, order=order), vr, map_uid)
