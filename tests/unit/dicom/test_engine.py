"""What the engine does, one example each."""

# ruff: noqa: RUF001  (letters of many scripts are the point)
from __future__ import annotations

import struct
from io import BytesIO

import pydicom
import pytest

from curator.dicom.edits import (
    AppendItems,
    AsItStands,
    Call,
    Drop,
    Edits,
    Keep,
    Replace,
    ReplaceEncoded,
)
from curator.dicom.engine import apply, transfer_syntax
from curator.dicom.errors import (
    EncodingError,
    TagError,
    UnsupportedInstance,
    UnsupportedValue,
)
from curator.dicom.filemeta import MetaPolicy, read_file_meta
from curator.dicom.reader import pixel_digest, read
from curator.dicom.tags import Path, PrivateTag, Tag, parse_path, parse_tag
from factory import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    Private,
    make_instance,
)
from unit.dicom.model import EXPLICIT, IMPLICIT, El, File, Items

NATIVE = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
]
SOP = (El(0x00080016, "UI", b"1.2.4\0"), El(0x00080018, "UI", b"1.2.3\0"))


def reread(data: bytes) -> pydicom.Dataset:
    return pydicom.dcmread(BytesIO(data))


def edits_of(edits: dict) -> Edits:
    return Edits({parse_path(text): edit for text, edit in edits.items()})


@pytest.mark.parametrize("syntax", [*NATIVE, JPEGBaseline8Bit])
def test_values_of_every_kind_are_written_as_pydicom_reads_them(syntax):
    values = {
        "PatientName": "NEW^NAME",
        "ImageType": ["DERIVED", "SECONDARY", "MPR"],
        "StudyDate": "20200101",
        "SeriesNumber": 12,
        "EchoTime": 10.5,
        "PixelSpacing": [0.25, 0.3333333333333333],
        "InstanceCreatorUID": "1.2.3.4.5",
        "SmallestImagePixelValue": 3,
        "DiffusionBValue": 1000.0,
        "ReferencedFrameNumber": [1, 2],
        "FrameIncrementPointer": 0x00541000,
        "PatientComments": "line one\r\nline two",
        "EncapsulatedDocument": b"\x00\x01\x02",
    }
    edits = edits_of(
        {k: Replace(tuple(v) if isinstance(v, list) else v) for k, v in values.items()}
    )
    dataset = reread(apply(make_instance(transfer_syntax=syntax), edits))
    for keyword, value in values.items():
        if keyword == "EncapsulatedDocument":
            value += b"\0"
        read_value = dataset[keyword].value
        if isinstance(value, list):
            assert (
                list(read_value) == pytest.approx(value, abs=1e-9)
                if isinstance(value[0], float)
                else list(read_value) == value
            )
        else:
            assert read_value == value
    assert dataset.file_meta.TransferSyntaxUID == syntax


@pytest.mark.parametrize("syntax", NATIVE)
def test_what_is_not_edited_stays(syntax):
    data = make_instance(transfer_syntax=syntax)
    edited = apply(data, edits_of({"PatientID": Replace("NEW")}))
    before, after = reread(data), reread(edited)
    assert after.PatientID == "NEW"
    del before.PatientID, after.PatientID
    assert before == after
    assert pixel_digest(data) == pixel_digest(edited)
    assert transfer_syntax(edited) == syntax


def test_a_value_that_stands_already_changes_nothing():
    data = make_instance()
    assert apply(data, edits_of({"PatientID": Replace("SYN0001")})) is data
    assert apply(data, edits_of({"ImageComments": Drop()})) is data


def test_empty_values_empty_the_element():
    for empty in ("", (), b""):
        dataset = reread(apply(make_instance(), edits_of({"PatientID": Replace(empty)})))
        assert dataset["PatientID"].is_empty


def test_the_vr_that_stands_is_kept():
    odd = File((*SOP, El(0x00280106, "SS", struct.pack("<h", -5)))).data
    edited = apply(odd, edits_of({"SmallestImagePixelValue": Replace(-7)}))
    assert edited == File((*SOP, El(0x00280106, "SS", struct.pack("<h", -7)))).data
    given = apply(odd, edits_of({"SmallestImagePixelValue": Replace(7, vr="US")}))
    assert given == File((*SOP, El(0x00280106, "US", struct.pack("<H", 7)))).data


def test_negative_numbers_choose_the_signed_vr():
    edited = apply(File(SOP).data, edits_of({"SmallestImagePixelValue": Replace(-7)}))
    assert edited == File((*SOP, El(0x00280106, "SS", struct.pack("<h", -7)))).data


def test_a_known_attribute_in_un_gets_its_vr():
    unknown = File((*SOP, El(0x00100020, "UN", b"OLD "))).data
    edited = apply(unknown, edits_of({"PatientID": Replace("NEW")}))
    assert edited == File((*SOP, El(0x00100020, "LO", b"NEW "))).data


def test_a_value_too_long_for_its_vr_becomes_un():
    """PS3.5 6.2.2: UN where the 16-bit length field cannot hold the length."""
    values = tuple(f"{number:.4f}" for number in range(10_000))
    edited = apply(File(SOP).data, edits_of({"ContourData": Replace(values)}))
    raw = "\\".join(values).encode()
    raw += b" " * (len(raw) % 2)
    assert edited == File((*SOP, El(0x30060050, "UN", raw))).data
    implicit = apply(File(SOP, IMPLICIT).data, edits_of({"ContourData": Replace(values)}))
    assert implicit == File((*SOP, El(0x30060050, "DS", raw)), IMPLICIT).data


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("Rows", "many"),
        ("Rows", 70_000),
        ("Rows", -1),
        ("SliceThickness", float("nan")),
        ("SliceThickness", float("inf")),
        ("SeriesNumber", 1.5),
        ("SOPInstanceUID", "1.2.é"),
        ("StudyDate", "2020é"),
        ("PatientID", b"bytes"),
        ("PatientID", ({Tag(0x00100020): "x"},)),
        ("ReferencedImageSequence", "text"),
        ("0019,1099", "text"),
    ],
)
def test_values_that_do_not_fit_their_vr_are_refused_without_the_value(keyword, value):
    with pytest.raises(UnsupportedValue) as refusal:
        apply(make_instance(), edits_of({keyword: Replace(value)}))
    assert "é" not in str(refusal.value)
    assert "many" not in str(refusal.value)


def test_encoded_values_have_even_length():
    with pytest.raises(UnsupportedValue, match="even"):
        apply(make_instance(), edits_of({"PatientID": ReplaceEncoded("LO", b"ODD")}))


def test_encapsulated_pixel_data_is_not_replaced():
    data = make_instance(transfer_syntax=JPEGBaseline8Bit)
    with pytest.raises(UnsupportedValue, match="Encapsulated"):
        apply(data, edits_of({"PixelData": Replace(b"1234")}))


def test_native_pixel_data_is_replaced():
    edited = apply(make_instance(), edits_of({"PixelData": Replace(b"1234")}))
    assert reread(edited).PixelData == b"1234"


# Functions.


def test_a_call_sees_the_element_and_decides():
    def shout(element):
        return Replace(element.text.upper())

    edits = edits_of(
        {
            "SeriesDescription": Call(shout),
            "StudyDescription": Call(lambda _: Drop()),
            "PatientID": Call(lambda _: Keep()),
            "StationName": Call(lambda element: Replace(f"{element.present}"), missing=True),
            "ImageComments": Call(lambda _: Replace("never")),
        }
    )
    dataset = reread(apply(make_instance(), edits))
    assert dataset.SeriesDescription == "SYNTHETIC SERIES"
    assert "StudyDescription" not in dataset
    assert dataset.PatientID == "SYN0001"
    assert dataset.StationName == "False"
    assert "ImageComments" not in dataset


# Sequences.


def sequences(**arguments) -> bytes:
    return make_instance(
        RequestAttributesSequence=[
            {"RequestedProcedureID": "A", "ScheduledProcedureStepID": "S"},
            {"RequestedProcedureID": "B"},
        ],
        **arguments,
    )


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("undefined", [False, True])
def test_paths_into_items(syntax, undefined):
    data = sequences(transfer_syntax=syntax, undefined_lengths=undefined)
    edits = edits_of(
        {
            "RequestAttributesSequence[*].RequestedProcedureID": Replace("EVERY ITEM"),
            "RequestAttributesSequence[1].RequestedProcedureID": Replace("SECOND"),
            "RequestAttributesSequence[0].ScheduledProcedureStepID": Drop(),
            "RequestAttributesSequence[2].RequestedProcedureID": Replace("NOWHERE"),
            "ReferencedImageSequence[*].ReferencedSOPInstanceUID": Replace("1.2"),
        }
    )
    dataset = reread(apply(data, edits))
    first, second = dataset.RequestAttributesSequence
    assert first.RequestedProcedureID == "EVERY ITEM"
    assert second.RequestedProcedureID == "SECOND"
    assert "ScheduledProcedureStepID" not in first
    assert "ReferencedImageSequence" not in dataset
    assert dataset["RequestAttributesSequence"].is_undefined_length is undefined


def test_a_replaced_sequence_goes_before_edits_inside_it():
    path = parse_path("RequestAttributesSequence")
    inside = parse_path("RequestAttributesSequence[*].RequestedProcedureID")
    item = {Tag(0x00401001): "NEW", Tag(0x00400009): Replace("STEP", vr="SH")}
    dataset = reread(apply(sequences(), Edits({path: Replace((item,)), inside: Replace("X")})))
    assert [i.RequestedProcedureID for i in dataset.RequestAttributesSequence] == ["NEW"]
    assert dataset.RequestAttributesSequence[0].ScheduledProcedureStepID == "STEP"


def test_items_hold_sequences():
    inner = {parse_tag("CodeValue"): "1", parse_tag("CodeMeaning"): "é"}
    item = {parse_tag("ProcedureCodeSequence"): (inner, inner), parse_tag("PatientID"): "1"}
    data = make_instance(SpecificCharacterSet="ISO_IR 100")
    dataset = reread(apply(data, edits_of({"ReferencedStudySequence": Replace((item,))})))
    codes = dataset.ReferencedStudySequence[0].ProcedureCodeSequence
    assert [code.CodeMeaning for code in codes] == ["é", "é"]


def test_original_attributes_grow_by_one_item_a_time():
    for_once = {
        parse_tag("AttributeModificationDateTime"): "20240101120000",
        parse_tag("ModifyingSystem"): "Curator",
        parse_tag("ModifiedAttributesSequence"): ({parse_tag("PatientID"): "OLD"},),
    }
    edits = edits_of({"OriginalAttributesSequence": AppendItems((for_once,))})
    data = make_instance()
    for count in (1, 2, 3):
        data = apply(data, edits)
        found = reread(data).OriginalAttributesSequence
        assert [i.ModifiedAttributesSequence[0].PatientID for i in found] == ["OLD"] * count


def test_append_and_edit_inside_at_once():
    edits = edits_of(
        {
            "RequestAttributesSequence": AppendItems(({Tag(0x00401001): "C"},)),
            "RequestAttributesSequence[*].RequestedProcedureID": Replace("X"),
        }
    )
    found = reread(apply(sequences(), edits)).RequestAttributesSequence
    assert [item.RequestedProcedureID for item in found] == ["X", "X", "C"]


def test_implicit_items_in_un_are_edited_as_such():
    """PS3.5 6.2.2: whatever the transfer syntax, a sequence in UN is implicit VR."""
    for delimited in (False, True):
        item = Items((El(0x00100020, "LO", b"OLD "),), delimited)
        edited_item = Items((El(0x00100020, "LO", b"NEWER "),), delimited)
        data = File((*SOP, El(0x00081140, "UN", (item,), delimited))).data
        edited = apply(data, edits_of({"ReferencedImageSequence[0].PatientID": Replace("NEWER")}))
        assert edited == File((*SOP, El(0x00081140, "UN", (edited_item,), delimited))).data


# Private attributes.


SIEMENS = PrivateTag(0x0019, "SIEMENS MR HEADER", 0x0C)


@pytest.mark.parametrize("syntax", NATIVE)
def test_private_attributes_are_found_in_any_block(syntax):
    data = make_instance(
        transfer_syntax=syntax,
        private=[
            Private(0x0019, "SOMEBODY ELSE", 0x0C, "IS", "7"),
            Private(0x0019, "SIEMENS MR HEADER", 0x0C, "IS", "1000"),
        ],
    )
    edited = apply(data, Edits({SIEMENS: Replace("50")}))
    assert reread(edited)[0x0019, 0x110C].value in (50, b"50")
    assert reread(edited)[0x0019, 0x100C].value in (7, b"7 ")
    dropped = apply(data, Edits({SIEMENS: Drop()}))
    assert (0x0019, 0x110C) not in reread(dropped)
    assert (0x0019, 0x100C) in reread(dropped)


@pytest.mark.parametrize("syntax", NATIVE)
def test_a_new_private_attribute_reserves_the_next_block(syntax):
    data = make_instance(
        transfer_syntax=syntax, private=[Private(0x0019, "SOMEBODY ELSE", 1, "LO", "x")]
    )
    other = PrivateTag(0x0019, "CURATOR", 2)
    edits = Edits(
        {
            SIEMENS: Replace("1000"),
            other: Call(lambda _: Replace("text", vr="LO"), missing=True),
            PrivateTag(0x0019, "NOT WANTED", 2): Call(lambda _: None, missing=True),
        }
    )
    dataset = reread(apply(data, edits))
    assert dataset.private_block(0x0019, "SIEMENS MR HEADER")[0x0C].value == 1000
    assert dataset.private_block(0x0019, "CURATOR")[2].value in ("text", b"text")
    assert dataset[0x0019, 0x0010].value == "SOMEBODY ELSE"
    assert {
        element.value for element in dataset.group_dataset(0x0019) if element.tag.element < 256
    } == {
        "SOMEBODY ELSE",
        "SIEMENS MR HEADER",
        "CURATOR",
    }
    assert reread(apply(apply(data, edits), edits)) == dataset


def test_a_group_without_free_block_is_refused():
    last = File((*SOP, El(0x001900FF, "LO", b"LAST"))).data
    with pytest.raises(UnsupportedValue, match="no private block left"):
        apply(last, Edits({SIEMENS: Replace("1")}))


# File Meta.


def test_file_meta_is_kept_but_for_the_identity():
    data = make_instance()
    data = data[:10] + b"PREAMBLE" + data[18:]
    edited = apply(data, edits_of({"SOPInstanceUID": Replace("1.2.3.4")}))
    before, after = read_file_meta(data), read_file_meta(edited)
    assert edited.startswith(data[:128])
    assert after.uid(0x00020003) == "1.2.3.4"
    assert {**before.elements, 0x00020003: ("UI", b"1.2.3.4\0")} == after.elements


def test_file_meta_is_rebuilt_on_demand():
    data = b"PREAMBLE" + make_instance()[8:]
    edited = apply(data, edits_of({"PatientID": Replace("X")}), meta=MetaPolicy.REBUILD)
    meta = reread(edited).file_meta
    assert edited[:128] == bytes(128)
    assert meta.ImplementationVersionName == "CURATOR"
    assert pydicom.uid.UID(meta.ImplementationClassUID).is_valid
    assert meta.FileMetaInformationVersion == b"\x00\x01"
    assert meta.FileMetaInformationGroupLength == read_file_meta(edited).end - 144


def test_a_wrong_group_length_of_file_meta_is_put_right():
    data = bytearray(make_instance())
    data[140:144] = struct.pack("<I", 4)
    edited = apply(bytes(data), edits_of({"SOPInstanceUID": Replace("1.2.3")}))
    assert struct.unpack("<I", edited[140:144])[0] == read_file_meta(edited).end - 144


def test_the_identity_has_to_stay():
    for edit in (Drop(), Replace("")):
        with pytest.raises(UnsupportedInstance, match="SOPInstanceUID"):
            apply(make_instance(), edits_of({"SOPInstanceUID": edit}))


@pytest.mark.parametrize(
    "place",
    ["0002,0010", "0000,0100", "FFFE,E000", "0008,0000", "RequestAttributesSequence[0].0040,0000"],
)
def test_what_follows_the_data_set_may_not_be_edited(place):
    with pytest.raises(TagError, match="follows"):
        edits_of({place: Replace("1")})


# Character sets.


def test_a_name_that_does_not_fit_widens_the_whole_instance():
    data = make_instance(
        SpecificCharacterSet="ISO_IR 100",
        PatientName="Müller^Jörg",
        StudyDescription="Schädel",
        RequestAttributesSequence=[{"RequestedProcedureDescription": "Übersicht"}],
        private=[Private(0x0029, "CURATOR TEST", 1, "LT", "privé")],
    )
    edited = apply(data, edits_of({"PatientName": Replace("山田^太郎")}))
    dataset = reread(edited)
    assert dataset.SpecificCharacterSet == "ISO_IR 192"
    assert dataset.PatientName == "山田^太郎"
    assert dataset.StudyDescription == "Schädel"
    assert dataset.RequestAttributesSequence[0].RequestedProcedureDescription == "Übersicht"
    assert dataset.private_block(0x0029, "CURATOR TEST")[1].value == "privé"
    assert pixel_digest(edited) == pixel_digest(data)


def test_a_name_that_fits_leaves_the_character_set():
    data = make_instance(SpecificCharacterSet="ISO_IR 144", PatientName="Люк")
    edited = apply(data, edits_of({"PatientID": Replace("пациент")}))
    dataset = reread(edited)
    assert dataset.SpecificCharacterSet == "ISO_IR 144"
    assert dataset.PatientID == "пациент"


def test_text_in_an_instance_without_character_set():
    edited = apply(make_instance(), edits_of({"PatientName": Replace("Jörg")}))
    assert reread(edited).SpecificCharacterSet == "ISO_IR 192"
    assert reread(edited).PatientName == "Jörg"


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Müller^Jörg"),
        ("ISO_IR 144", "Люкceмбypг"),
        ("ISO_IR 127", "قباني^لنزار"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (["ISO 2022 IR 13", "ISO 2022 IR 87"], "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
        ("ISO_IR 192", "Wang^XiaoDong=王^小东"),
    ],
)
def test_widening_keeps_every_text(syntax, charset, name):
    data = make_instance(
        transfer_syntax=syntax,
        SpecificCharacterSet=charset,
        PatientName=name,
        ReferencedPatientSequence=[{"PatientName": name}],
    )
    edits = edits_of({"SpecificCharacterSet": Replace("ISO_IR 192")})
    dataset = reread(apply(data, edits))
    assert dataset.SpecificCharacterSet == "ISO_IR 192"
    assert str(dataset.PatientName) == name
    assert str(dataset.ReferencedPatientSequence[0].PatientName) == name


def test_nested_character_sets_are_widened_by_their_own():
    data = make_instance(
        SpecificCharacterSet="ISO_IR 100",
        PatientName="Jörg",
        ReferencedPatientSequence=[
            {"SpecificCharacterSet": "ISO_IR 144", "PatientName": "Люк"},
            {"PatientName": "Jörg"},
        ],
    )
    dataset = reread(apply(data, edits_of({"PatientID": Replace("山")})))
    first, second = dataset.ReferencedPatientSequence
    assert (first.SpecificCharacterSet, first.PatientName) == ("ISO_IR 192", "Люк")
    assert second.PatientName == "Jörg"
    assert "SpecificCharacterSet" not in second


def test_bytes_that_are_no_text_stop_the_widening():
    broken = File((*SOP, El(0x00100010, "PN", b"J\xf6rg"))).data
    with pytest.raises(EncodingError, match="PatientName"):
        apply(broken, edits_of({"PatientID": Replace("山")}))
    edited = apply(broken, edits_of({"PatientID": Replace("山")}), default_charset="ISO_IR 100")
    assert reread(edited).PatientName == "Jörg"
    untouched = apply(broken, edits_of({"PatientID": Replace("X")}))
    assert b"J\xf6rg" in untouched


def test_text_that_no_character_set_holds_is_refused():
    with pytest.raises(EncodingError):
        apply(make_instance(), edits_of({"PatientID": Replace("\udc80")}))


def test_bytes_of_unknown_vr_are_not_taken_for_text():
    blob = El(0x00291001, "UN", b"\xff\xfe\x00\x80")
    data = File((*SOP, blob)).data
    assert b"\xff\xfe\x00\x80" in apply(data, edits_of({"PatientID": Replace("山")}))


def test_known_text_in_un_is_widened():
    data = File((El(0x00080005, "CS", b"ISO_IR 100"), *SOP, El(0x00104000, "UN", b"\xfcber"))).data
    edited = apply(data, edits_of({"PatientID": Replace("山")}))
    text = read(edited, [Tag(0x00104000)]).element(Tag(0x00104000))
    assert text.raw.decode("utf-8") == "über "


@pytest.mark.parametrize(
    ("place", "edit"),
    [
        ("SpecificCharacterSet", Replace("ISO_IR 100")),
        ("SpecificCharacterSet", Drop()),
        ("ReferencedImageSequence[0].SpecificCharacterSet", Replace("ISO_IR 192")),
    ],
)
def test_the_character_set_is_only_widened(place, edit):
    with pytest.raises(TagError, match="follows the text"):
        edits_of({place: edit})


# Edit tables.


def test_edits_per_instance_leave_the_shared_ones_alone():
    shared = edits_of({"PatientID": Replace("SHARED"), "StudyID": Drop()})
    own = shared.with_({parse_path("PatientID"): Replace("OWN"), parse_path("StudyID"): Keep()})
    data = make_instance()
    assert reread(apply(data, own)).PatientID == "OWN"
    assert reread(apply(data, own)).StudyID == "1"
    assert reread(apply(data, shared)).PatientID == "SHARED"
    assert "StudyID" not in reread(apply(data, shared))


def test_a_later_edit_of_every_item_goes_before_an_earlier_one_of_one():
    first = edits_of({"RequestAttributesSequence[0].RequestedProcedureID": Replace("FIRST")})
    path = parse_path("RequestAttributesSequence[*].RequestedProcedureID")
    found = reread(
        apply(sequences(), first.with_({path: Replace("ALL")}))
    ).RequestAttributesSequence
    assert [item.RequestedProcedureID for item in found] == ["ALL", "ALL"]


def test_tags_and_paths_name_places_alike():
    tag = Tag(0x00100020)
    data = make_instance()
    assert apply(data, Edits({tag: Replace("A")})) == apply(data, Edits({Path(tag): Replace("A")}))
    assert ExplicitVRLittleEndian == EXPLICIT


# Copies of what stood before.


@pytest.mark.parametrize("syntax", [*NATIVE, JPEGBaseline8Bit])
@pytest.mark.parametrize("widens", [False, True])
def test_previous_values_are_copied_as_they_stand(syntax, widens):
    data = sequences(
        transfer_syntax=syntax,
        SpecificCharacterSet="ISO_IR 100",
        PatientName="Müller^Jörg",
        private=[Private(0x0019, "SIEMENS MR HEADER", 0x0C, "IS", "1000")],
    )
    previous = {
        parse_tag("PatientName"): AsItStands(),
        parse_tag("RequestAttributesSequence"): AsItStands(),
        parse_tag("ImageComments"): AsItStands(),
        SIEMENS: AsItStands(),
    }
    edits = edits_of(
        {
            "PatientName": Replace("山田^太郎" if widens else "Grün"),
            "RequestAttributesSequence": Drop(),
            "OriginalAttributesSequence": AppendItems(
                ({parse_tag("ModifiedAttributesSequence"): (previous,)},)
            ),
        }
    ).with_({SIEMENS: Drop()})
    dataset = reread(apply(data, edits))
    assert dataset.SpecificCharacterSet == ("ISO_IR 192" if widens else "ISO_IR 100")
    item = dataset.OriginalAttributesSequence[0].ModifiedAttributesSequence[0]
    assert item.PatientName == "Müller^Jörg"
    assert item.RequestAttributesSequence == reread(data).RequestAttributesSequence
    assert item.private_block(0x0019, "SIEMENS MR HEADER")[0x0C].value in (1000, b"1000")
    assert "ImageComments" not in item
    assert "RequestAttributesSequence" not in dataset


def test_previous_values_may_be_no_valid_text():
    broken = El(0x00100010, "PN", b"J\xf6rg")
    edits = edits_of(
        {
            "PatientName": Replace("JOERG"),
            "OriginalAttributesSequence": AppendItems(({parse_tag("PatientName"): AsItStands()},)),
        }
    )
    edited = apply(File((*SOP, broken)).data, edits)
    record = El(0x04000561, "SQ", (Items((broken,)),))
    assert edited == File((*SOP, El(0x00100010, "PN", b"JOERG "), record)).data


def test_the_identity_keeps_its_vr():
    with pytest.raises(UnsupportedInstance, match="VR UI"):
        apply(make_instance(), edits_of({"SOPInstanceUID": ReplaceEncoded("UN", b"1.2.3\0")}))


def test_an_empty_character_set_counts_as_none():
    broken = File((El(0x00080005, "CS", b""), *SOP, El(0x00100010, "PN", b"J\xf6rg"))).data
    edited = apply(broken, edits_of({"PatientID": Replace("山")}), default_charset="ISO_IR 100")
    assert reread(edited).PatientName == "Jörg"
