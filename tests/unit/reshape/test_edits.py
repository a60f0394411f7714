"""From new values to changed instances, with the record of what was there before."""

from io import BytesIO
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset

import factory
from curator.dicom import engine
from curator.dicom.edits import Drop, Edits, Replace, ReplaceEncoded
from curator.dicom.element import Element
from curator.dicom.tags import Tag, parse_path, parse_tag
from curator.reshape.edits import SYSTEM, edit_of, edits_of, recording

PATIENT_ID = parse_tag("PatientID")
CREATED = "20240102030405.000678+0000"


def applied(data: bytes, values: dict[str, Any]) -> bytes:
    record = recording(map(parse_path, values), CREATED)
    return engine.apply(data, Edits({**edits_of(values), **record}))


def changed(data: bytes, values: dict[str, Any]) -> Dataset:
    return pydicom.dcmread(BytesIO(applied(data, values)))


@pytest.mark.parametrize(
    ("value", "edit"),
    [
        (None, Drop()),
        ("", Replace("")),
        ("x", Replace("x")),
        (5, Replace(5)),
        ([], Replace(())),
        ([{"PatientID": "A"}], Replace(({PATIENT_ID: Replace("A")},))),
        ({"VR": "FD", "Value": [1.5, 2]}, Replace((1.5, 2), "FD")),
        ({"VR": "LO", "Value": []}, Replace((), "LO")),
        ({"VR": "UN", "Base64": "QUI="}, Replace(b"AB", "UN")),
        ({"VR": "SQ", "Items": [{}]}, Replace(({},), "SQ")),
    ],
)
def test_a_value_of_a_plan_becomes_an_edit(value, edit):
    assert edit_of(value) == edit


def test_bytes_that_depend_on_the_byte_order_follow_that_of_the_instance():
    edit = edit_of({"VR": "US", "Base64": "AQA="})
    little, big = (
        edit.function(Element(Tag(0x00280010), "US", b"", order=order)) for order in ("<", ">")
    )
    assert (little, big) == (ReplaceEncoded("US", b"\1\0"), ReplaceEncoded("US", b"\0\1"))


def test_edits_are_by_path():
    assert edits_of({"StudyID": "1", "0010,0010": None, "ImageIndex": 7}) == {
        parse_path("StudyID"): Replace("1", "SH"),
        parse_path("PatientName"): Drop(),
        parse_path("ImageIndex"): Replace(7),
    }


def test_a_private_element_keeps_the_vr_that_it_has():
    private = factory.Private(0x0029, "NOBODY", 1, "SH", "old")
    dataset = changed(factory.make_instance(private=[private]), {'(0029,"NOBODY",01)': "new"})
    assert (dataset[0x0029, 0x1001].VR, dataset[0x0029, 0x1001].value) == ("SH", "new")


@pytest.mark.parametrize(
    ("keyword", "vr", "value"),
    [("StudyDescription", "LO", "new"), ("ProcedureCodeSequence", "SQ", [{"CodeValue": "1"}])],
)
def test_an_element_with_a_wrong_vr_gets_that_of_the_dictionary(keyword, vr, value):
    wrong = pydicom.Dataset()
    wrong.SOPInstanceUID = "1.2.3"
    wrong.add_new(keyword, "OB", b"old!")
    dataset = changed(factory.encoded(wrong), {keyword: value})
    element = dataset[keyword]
    assert (element.VR, len(element.value)) == (vr, len(value))


def test_new_values_are_written():
    dataset = changed(
        factory.make_instance(),
        {
            "StudyDescription": "new",
            "AccessionNumber": None,
            "ImageIndex": 7,
            "ProcedureCodeSequence": [
                {"CodeValue": "1", "EquivalentCodeSequence": [{"CodeValue": "2"}]},
                {},
            ],
        },
    )
    assert dataset.StudyDescription == "new"
    assert "AccessionNumber" not in dataset
    assert dataset.ImageIndex == 7
    first, second = dataset.ProcedureCodeSequence
    assert (first.CodeValue, first.EquivalentCodeSequence[0].CodeValue) == ("1", "2")
    assert len(second) == 0


def test_the_record_holds_what_was_there_before():
    data = factory.make_instance(
        StudyDescription="old",
        AccessionNumber="A1",
        ProcedureCodeSequence=[{"CodeValue": "1"}, {"CodeValue": "2"}],
    )
    dataset = changed(
        data,
        {
            "StudyDescription": "new",
            "AccessionNumber": None,
            "ProcedureCodeSequence": None,
            "StationName": "inserted",
        },
    )
    (item,) = dataset.OriginalAttributesSequence
    (previous,) = item.ModifiedAttributesSequence
    assert (previous.StudyDescription, previous.AccessionNumber) == ("old", "A1")
    assert [one.CodeValue for one in previous.ProcedureCodeSequence] == ["1", "2"]
    assert "StationName" not in previous
    assert len(previous) == 3


def test_the_record_says_who_changed_when_and_why():
    dataset = changed(factory.make_instance(), {"StudyDescription": "new"})
    (item,) = dataset.OriginalAttributesSequence
    assert item.AttributeModificationDateTime == CREATED
    assert item.ModifyingSystem == SYSTEM
    assert item.SourceOfPreviousValues == ""
    assert item.ReasonForTheAttributeModification == "CORRECT"


def test_earlier_records_stay_and_come_first():
    once = factory.make_instance(StudyDescription="first")
    twice = applied(once, {"StudyDescription": "second"})
    dataset = changed(twice, {"StudyDescription": "third"})
    assert [
        item.ModifiedAttributesSequence[0].StudyDescription
        for item in dataset.OriginalAttributesSequence
    ] == ["first", "second"]


@pytest.mark.parametrize("empty", ["", None])
def test_the_record_tells_empty_from_absent(empty):
    data = factory.make_instance(StudyDescription=empty)
    dataset = changed(data, {"StudyDescription": "new"})
    previous = dataset.OriginalAttributesSequence[0].ModifiedAttributesSequence[0]
    assert ("StudyDescription" in previous) == (empty == "")


@pytest.mark.parametrize(
    "syntax", [factory.ImplicitVRLittleEndian, factory.DeflatedExplicitVRLittleEndian]
)
def test_any_transfer_syntax_is_recorded(syntax):
    items = [{"CodeValue": "1"}]
    data = factory.make_instance(transfer_syntax=syntax, ProcedureCodeSequence=items)
    dataset = changed(data, {"ProcedureCodeSequence": None, "SeriesNumber": "9"})
    previous = dataset.OriginalAttributesSequence[0].ModifiedAttributesSequence[0]
    assert previous.ProcedureCodeSequence[0].CodeValue == "1"
    assert (previous.SeriesNumber, dataset.SeriesNumber) == (1, 9)


def test_names_that_the_character_set_cannot_hold_widen_the_instance():
    data = factory.make_instance(SpecificCharacterSet="ISO_IR 100", PatientName="Müller")
    dataset = changed(data, {"StudyDescription": "山田", "PatientName": "Ω"})
    assert dataset.SpecificCharacterSet == "ISO_IR 192"
    assert (dataset.StudyDescription, dataset.PatientName) == ("山田", "Ω")
    previous = dataset.OriginalAttributesSequence[0].ModifiedAttributesSequence[0]
    assert previous.PatientName == "Müller"


def test_pixels_and_all_other_elements_stay():
    data = factory.make_instance()
    before = pydicom.dcmread(BytesIO(data))
    dataset = changed(data, {"StudyDescription": "new"})
    assert dataset.PixelData == before.PixelData
    del dataset.OriginalAttributesSequence
    before.StudyDescription = "new"
    assert dataset == before


def test_the_same_changes_give_the_same_bytes():
    data = factory.make_instance()
    assert len({applied(data, {"StudyDescription": "new"}) for _ in range(2)}) == 1
