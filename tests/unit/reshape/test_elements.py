"""Elements in the form of a plan: read from one instance, written into another, lost nowhere."""

import json
import math
import struct
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

import factory
from curator.dicom.charset import DEFAULT_TERM
from curator.dicom.edits import Edits
from curator.dicom.engine import apply, opened
from curator.dicom.errors import EncodingError, Malformed, UnsupportedValue
from curator.dicom.tags import Tag, parse_tag
from curator.reshape.edits import edits_of
from curator.reshape.elements import read_elements, text_of
from curator.reshape.modules import SERIES_LEVEL, STUDY_LEVEL
from unit.dicom.model import (
    BIG_ENDIAN,
    BINARY,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    NUMBERS,
    SEQUENCES,
    TEXTS,
    El,
    File,
    Items,
    files,
)

SYNTAXES = [
    factory.ExplicitVRLittleEndian,
    factory.ImplicitVRLittleEndian,
    factory.ExplicitVRBigEndian,
    factory.DeflatedExplicitVRLittleEndian,
]

ENCODINGS = [
    {"transfer_syntax": syntax, "undefined_lengths": undefined}
    for syntax, undefined in product(SYNTAXES, (False, True))
]

SCRIPTS = {
    "ISO_IR 100": "Müller^Jürgen^^Dr.",
    "ISO_IR 144": "Люксембург^Роза",
    "ISO_IR 127": "قباني^لنزار",
    "\\ISO 2022 IR 87": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "ISO 2022 IR 13\\ISO 2022 IR 87": "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    "ISO_IR 192": "Wang^XiaoDong=王^小东",
}

SOP = (
    El(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.7\0"),
    El(0x00080018, "UI", b"1.2.3\0"),
)
SEQUENCE = 0x00081140
CREATOR = El(0x00290010, "LO", b"CURATOR TEST")
KEYWORD = "ReferencedImageSequence"


def read(data: bytes, *keywords: str) -> dict[str, Any]:
    """Read elements, as they come back from a database."""
    tags = [parse_tag(keyword) for keyword in keywords] or [*STUDY_LEVEL, *SERIES_LEVEL]
    return through_json(read_elements(opened(data, DEFAULT_TERM).site, tags))


def through_json(values: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(values, allow_nan=False))


def written(data: bytes, values: dict[str, Any]) -> bytes:
    return apply(data, Edits(edits_of(values)))


def file_of(*elements: El, syntax: str = EXPLICIT) -> bytes:
    return File(tuple(sorted((*SOP, *elements), key=lambda one: one.tag)), syntax).data


def in_item(*elements: El, delimited: bool = False) -> El:
    return El(SEQUENCE, "SQ", (Items(elements, delimited),), delimited)


def patient(script: str, charset: str | None = None, **arguments: Any) -> bytes:
    """Return an instance with text in one script, in a sequence too."""
    name = SCRIPTS[script]
    items = [
        {"PatientID": name.replace("^", " ").replace("=", " "), "TypeOfPatientID": "TEXT"},
        {"PatientID": "2", "IssuerOfPatientIDQualifiersSequence": [{"UniversalEntityID": "x"}]},
    ]
    return factory.make_instance(
        SpecificCharacterSet=(charset or script).split("\\"),
        PatientName=name,
        OtherPatientNames=[name, "Other^Name"],
        OtherPatientIDsSequence=items,
        StudyDescription=name.split("=")[-1],
        **arguments,
    )


PATIENT = ("PatientName", "OtherPatientNames", "OtherPatientIDsSequence")


@pytest.mark.parametrize(("source", "target"), [*product(SCRIPTS, SCRIPTS)])
def test_names_of_every_script_go_from_any_character_set_into_any_other(source, target):
    values = read(patient(source), *PATIENT)
    assert values["PatientName"] == SCRIPTS[source]
    for syntax in SYNTAXES:
        changed = written(patient(target, transfer_syntax=syntax), values)
        assert read(changed, *PATIENT) == values
        description = SCRIPTS[target].split("=")[-1]
        assert read(changed, "StudyDescription") == {"StudyDescription": description}


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_same_content_gives_the_same_values_in_every_encoding(script):
    elements = {
        "PixelPaddingValue": 0,
        "PatientSize": "1.750",
        "SpatialResolution": 0.1,
        "ReferencedStudySequence": [],
        "AccessionNumber": "",
        "ConsentForClinicalTrialUseSequence": [{"ConsentForDistributionFlag": "NO"}],
    }
    texts = {
        json.dumps(read(patient(script, charset, **encoding, **elements)), sort_keys=True)
        for charset in (script, "ISO_IR 192")
        for encoding in ENCODINGS
    }
    (text,) = texts
    values = json.loads(text)
    assert (values["AccessionNumber"], values["ReferencedStudySequence"]) == ("", [])
    assert "AdmissionID" not in values


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        (El(0x00100020, "LO", b" A1 "), "A1"),
        (El(0x00080008, "CS", b"A\\ B \\\\C "), "A\\B\\\\C"),
        (El(0x00104000, "LT", b"  a\\b  "), "  a\\b"),
        (El(0x00100020, "LO", b"  "), ""),
        (El(0x00101030, "DS", b"070.50"), "070.50"),
        (El(0x00280010, "US", b""), ""),
        (El(SEQUENCE, "SQ", ()), []),
        (El(SEQUENCE, "SQ", (Items(()),)), [{}]),
        (El(0x00280010, "US", b"\x10\0"), {"VR": "US", "Value": [16]}),
        (El(0x00189087, "FD", struct.pack("<d", 0.1)), {"VR": "FD", "Value": [0.1]}),
        (El(0x00280009, "AT", b"\x10\0\x20\0"), {"VR": "AT", "Value": [0x00100020]}),
        (El(0x00100020, "SH", b"A1"), {"VR": "SH", "Value": ["A1"]}),
        (El(0x00100020, "OB", b"A1"), {"VR": "OB", "Base64": "QTE="}),
        (El(0x00420011, "OB", b"\0\1"), {"VR": "OB", "Base64": "AAE="}),
        (El(0x00100020, "UN", b"A1"), "A1"),
        (El(0x00280010, "UN", b"\x10\0"), {"VR": "US", "Value": [16]}),
        (
            El(0x00100020, "SQ", (Items((El(0x00100020, "LO", b"A1"),)),)),
            {"VR": "SQ", "Items": [{"PatientID": "A1"}]},
        ),
        (El(0x00100020, "SQ", ()), ""),
        (El(0x00100023, "LO", b"A1"), {"VR": "LO", "Value": ["A1"]}),
        (El(0x00100023, "LO", b""), {"VR": "LO", "Value": []}),
    ],
)
def test_the_form_of_a_value(element, expected):
    (value,) = read(file_of(element), f"{element.tag:08X}").values()
    assert value == expected
    names = {f"{element.tag:08X}": value}
    assert read(written(file_of(), names), *names) == read(file_of(element), *names)


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_numbers_that_json_cannot_write_are_kept_as_bytes(number, syntax):
    data = factory.make_instance(transfer_syntax=syntax, DiffusionBValue=number)
    values = read(data, "DiffusionBValue")
    assert values == {"DiffusionBValue": {"VR": "FD", "Base64": base64_of(number)}}
    target = factory.make_instance(transfer_syntax=syntax)
    assert read(written(target, values), "DiffusionBValue") == values


def base64_of(number: float) -> str:
    bits = {math.inf: "AAAAAAAA8H8=", -math.inf: "AAAAAAAA8P8="}
    return bits.get(number, "AAAAAAAA+H8=")


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([EXPLICIT, IMPLICIT]))
def test_numbers_survive_exactly(number, syntax):
    raw = struct.pack("<d", number)
    values = read(file_of(El(0x00189087, "FD", raw), syntax=syntax), "DiffusionBValue")
    changed = opened(written(file_of(), values)).site
    assert changed.raw(0x00189087) == raw


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_words_keep_their_value_in_the_other_byte_order(syntax):
    table = [{"LUTData": b"\x01\x02\x03\x04", "LUTDescriptor": [2, 0, 16]}]
    source = factory.make_instance(ModalityLUTSequence=table)
    values = read(source, "ModalityLUTSequence")
    changed = written(factory.make_instance(transfer_syntax=syntax), values)
    assert read(changed, "ModalityLUTSequence") == values
    site = next(iter(opened(changed).site.items(0x00283000))).enter()
    big = syntax == factory.ExplicitVRBigEndian
    assert site.raw(0x00283006) == (b"\x02\x01\x04\x03" if big else b"\x01\x02\x03\x04")


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_pixel_representation_tells_the_sign_where_the_encoding_does_not(syntax):
    signed = {"PixelRepresentation": 1, "PixelPaddingValue": -2000, "transfer_syntax": syntax}
    values = read(factory.make_instance(**signed), "PixelPaddingValue")
    assert values == {"PixelPaddingValue": {"VR": "SS", "Value": [-2000]}}
    unsigned = {"PixelPaddingValue": 63536, "transfer_syntax": syntax}
    values = read(factory.make_instance(**unsigned), "PixelPaddingValue")
    assert values == {"PixelPaddingValue": {"VR": "US", "Value": [63536]}}


@pytest.mark.parametrize(
    ("here", "inside", "expected"),
    [(1, 1, "SS"), (0, 0, "US"), (1, None, "SS"), (0, None, "US"), (1, 0, "US"), (0, 1, "SS")],
)
def test_an_item_says_for_itself_or_inherits_what_tells_the_sign(here, inside, expected):
    value = El(0x00280106, "SS", b"\x01\0")
    item = (El(0x00280103, "US", struct.pack("<H", inside)),) if inside is not None else ()
    signed = El(0x00280103, "US", struct.pack("<H", here))
    values = read(file_of(in_item(*item, value), signed, syntax=IMPLICIT), KEYWORD)
    smallest = values[KEYWORD][0]["SmallestImagePixelValue"]
    assert smallest == {"VR": expected, "Value": [1]}


def test_numbers_of_big_endian_that_were_made_unknown_stay_bytes():
    elements = (El(0x00280010, "UN", b"\0\x10"), El(0x00100020, "UN", b"A1"))
    values = read(file_of(*elements, syntax=BIG_ENDIAN), "Rows", "PatientID")
    assert values == {"Rows": {"VR": "UN", "Base64": "ABA="}, "PatientID": "A1"}


@pytest.mark.parametrize(("implicit", "delimited"), [*product([False, True], repeat=2)])
def test_private_elements_of_items_come_with_their_creator(implicit, delimited):
    inner = in_item(CREATOR, El(0x00291001, "LO", b"V1"), delimited=delimited)
    data = file_of(in_item(CREATOR, inner, El(0x00291002, "FL", bytes(4))))
    target = file_of(syntax=IMPLICIT if implicit else EXPLICIT)
    values = read(data, KEYWORD)
    creator = {"0029,0010": "CURATOR TEST"}
    private = {"0029,1001": {"VR": "LO", "Value": ["V1"]}}
    number = {"0029,1002": {"VR": "FL", "Value": [0.0]}}
    assert values == {KEYWORD: [{KEYWORD: [creator | private], **creator, **number}]}
    if implicit:
        private = {"0029,1001": {"VR": "UN", "Base64": "VjE="}}
        number = {"0029,1002": {"VR": "UN", "Base64": "AAAAAA=="}}
    assert read(written(target, values), KEYWORD) == {
        KEYWORD: [{KEYWORD: [creator | private], **creator, **number}]
    }


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_private_elements_of_a_known_creator_are_read_in_every_encoding(syntax):
    item = Dataset()
    block = item.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0C, "IS", "800")
    block.add_new(0x0E, "FD", [0.1, 0.2, 0.3])
    data = factory.make_instance(transfer_syntax=syntax, ReferencedImageSequence=[])
    values = {
        "0019,0010": "SIEMENS MR HEADER",
        "0019,100C": {"VR": "IS", "Value": ["800"]},
        "0019,100E": {"VR": "FD", "Value": [0.1, 0.2, 0.3]},
    }
    assert read(written(data, {KEYWORD: [values]}), KEYWORD) == {KEYWORD: [values]}


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (El(0x0019100E, "UN", b"abcd"), {"VR": "UN", "Base64": "YWJjZA=="}),
        (El(0x0019100E, "UN", (Items(()),), delimited=True), {"VR": "SQ", "Items": [{}]}),
    ],
)
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_private_elements_that_are_not_what_a_dictionary_says_are_kept(wrong, expected, syntax):
    creator = El(0x00190010, "LO", b"SIEMENS MR HEADER ")
    values = read(file_of(in_item(creator, wrong), syntax=syntax), KEYWORD)
    assert values[KEYWORD][0]["0019,100E"] == expected


@pytest.mark.parametrize("vr", ["SQ", "UN"])
def test_private_sequences_are_read_and_written(vr):
    inside = Items((El(0x00100020, "LO", b"A1"),), delimited=True)
    private = El(0x00291003, vr, (inside,), delimited=True)
    values = read(file_of(in_item(CREATOR, private)), KEYWORD)
    expected = {"VR": "SQ", "Items": [{"PatientID": "A1"}]}
    assert values[KEYWORD][0]["0029,1003"] == expected
    assert read(written(file_of(), values), KEYWORD) == values


def test_an_item_in_another_character_set_is_read_and_written_in_that_of_the_instance():
    charset, name = El(0x00080005, "CS", b"ISO_IR 144"), El(0x00100010, "PN", b"\xbb\xee\xda ")
    length, padding = El(0x00080000, "UL", bytes(4)), El(0xFFFCFFFC, "OB", bytes(4))
    values = read(file_of(in_item(length, charset, name, padding)), KEYWORD)
    assert values == {KEYWORD: [{"PatientName": "Люк"}]}
    changed = written(file_of(El(0x00080005, "CS", b"ISO_IR 144")), values)
    assert b"\xbb\xee\xda " in changed
    assert read(changed, KEYWORD) == values


@pytest.mark.parametrize("syntax", SYNTAXES[:3])
def test_text_that_does_not_fit_its_character_set_is_reported_by_path_without_its_value(syntax):
    items = [{"PatientID": "1"}, {"PatientID": "secreX"}]
    data = factory.make_instance(transfer_syntax=syntax, OtherPatientIDsSequence=items)
    data = data.replace(b"secreX", b"secre\xe4")
    with pytest.raises(EncodingError, match=r"OtherPatientIDsSequence\[1\]\.PatientID") as caught:
        read(data, "PatientName", "OtherPatientIDsSequence")
    assert "secre" not in str(caught.value)


def test_other_elements_are_read_beside_text_that_does_not_fit():
    data = patient("ISO_IR 100").replace(b"ISO_IR 100", b"ISO_IR 6  ")
    assert read(data, "PatientID") == {"PatientID": "SYN0001"}


def test_numbers_of_a_wrong_length_are_refused():
    with pytest.raises(UnsupportedValue, match="Rows"):
        read(file_of(El(0x00280010, "US", b"\0\1\2")), "Rows")


def test_a_sequence_that_is_none_is_refused_by_its_path():
    inner = El(0x00081115, "SQ", b"no items")
    with pytest.raises(Malformed, match=rf"{KEYWORD}\[0\]\.ReferencedSeriesSequence"):
        read(file_of(in_item(inner)), KEYWORD)


def test_encapsulated_pixels_of_an_icon_are_refused():
    pixels = El(0x7FE00010, "OB", (Items(b""), Items(b"\xff\xd8")), delimited=True)
    icon = El(0x00880200, "SQ", (Items((pixels,)),))
    with pytest.raises(UnsupportedValue, match=r"IconImageSequence\[0\]\.PixelData"):
        read(file_of(icon), "IconImageSequence")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("A1", "A1"),
        ({"VR": "SH", "Value": ["A", "1"]}, "A\\1"),
        ({"VR": "US", "Value": [1]}, ""),
        ({"VR": "UN", "Base64": "QTE="}, ""),
        ([{"PatientID": "A1"}], ""),
    ],
)
def test_the_text_of_a_value(value, text):
    assert text_of(value) == text


EVERY_TAG = [Tag(tag) for tag in (*TEXTS, *NUMBERS, *BINARY, *SEQUENCES)]


def every_element(data: bytes) -> dict[str, Any]:
    return through_json(read_elements(opened(data).site, EVERY_TAG))


@given(files((EXPLICIT,)), files((EXPLICIT, IMPLICIT, JPEG)))
def test_what_is_read_from_one_instance_and_written_into_another_is_read_there_again(one, other):
    elements = tuple(element for element in one.elements if element.tag != 0x7FE00010)
    changed = written(other.data, every_element(one.data))
    absent = set(every_element(other.data)) - set(every_element(one.data))
    there = {key: value for key, value in every_element(changed).items() if key not in absent}
    assert there == every_element(File(elements, other.transfer_syntax).data)
