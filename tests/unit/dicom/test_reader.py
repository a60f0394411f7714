from __future__ import annotations

import hashlib
import struct

import pytest

from curator.dicom.element import Element
from curator.dicom.errors import EncodingError, Malformed, NotDicom, UnsupportedValue
from curator.dicom.reader import pixel_digest, read
from curator.dicom.tags import PIXEL_DATA, PrivateTag, Tag, parse_path
from factory import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    Private,
    b_value_elements,
    make_instance,
    multi_frame,
    noise,
)
from unit.dicom.model import El, File, Items

SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit,
]
SOP = (El(0x00080016, "UI", b"1.2.4\0"), El(0x00080018, "UI", b"1.2.3\0"))


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_values_of_every_kind(syntax):
    texts = ["PatientID", "ImageType", "PatientName", "SOPInstanceUID", "StudyDate"]
    numbers = ["Rows", "EchoTime", "PixelSpacing", "InstanceNumber", "DiffusionBValue"]
    data = make_instance(
        transfer_syntax=syntax,
        SpecificCharacterSet="ISO_IR 192",
        PatientName="山田^太郎",
        EchoTime=4.5,
        DiffusionBValue=1000.0,
        SOPInstanceUID="1.2.3",
    )
    header = read(data, [parse_path(keyword) for keyword in [*texts, *numbers]])
    assert [header.strings(parse_path(keyword)) for keyword in texts] == [
        ("SYN0001",),
        ("ORIGINAL", "PRIMARY", "AXIAL"),
        ("山田^太郎",),
        ("1.2.3",),
        ("20240102",),
    ]
    assert [header.numbers(parse_path(keyword)) for keyword in numbers] == [
        (16,),
        (4.5,),
        (0.5, 0.5),
        (1,),
        (1000.0,),
    ]
    assert header.transfer_syntax_uid == syntax
    assert header.string(parse_path("PatientID")) == "SYN0001"
    assert header.number(parse_path("Rows")) == 16


def test_what_is_absent_or_empty():
    path, empty = parse_path("ImageComments"), parse_path("StationName")
    header = read(make_instance(StationName=""), [path, empty])
    assert header.elements(path) == ()
    assert header.element(path) is None
    assert header.string(path) is header.number(path) is None
    assert header.element(empty).raw == b""
    assert header.string(empty) is header.number(empty) is None


def test_an_element_that_was_not_asked_for_is_an_error():
    with pytest.raises(KeyError):
        read(make_instance(), []).elements(Tag(0x00100020))


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_paths_into_sequences(syntax):
    data = multi_frame(3, transfer_syntax=syntax)
    every = parse_path(
        "PerFrameFunctionalGroupsSequence[*].PlanePositionSequence[0].ImagePositionPatient"
    )
    second = parse_path(
        "PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[*].ImagePositionPatient"
    )
    beyond = parse_path("PerFrameFunctionalGroupsSequence[9].PlanePositionSequence[0].PatientID")
    nowhere = parse_path("ReferencedImageSequence[*].ReferencedSOPInstanceUID")
    header = read(data, [every, second, beyond, nowhere])
    assert [element.numbers[2] for element in header.elements(every)] == [0, 1, 2]
    assert header.numbers(second) == (0, 0, 1)
    assert header.elements(beyond) == header.elements(nowhere) == ()


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(
    ("vendor", "place"),
    [
        ("standard", "DiffusionBValue"),
        ("siemens", '(0019,"SIEMENS MR HEADER",0C)'),
        ("ge", '(0043,"GEMS_PARM_01",39)'),
        ("philips", '(2001,"Philips Imaging DD 001",03)'),
    ],
)
def test_b_values_of_every_vendor(syntax, vendor, place):
    data = make_instance(transfer_syntax=syntax, **b_value_elements(vendor, 1000))
    assert read(data, [parse_path(place)]).number(parse_path(place)) == 1000


def test_an_attribute_in_two_blocks_of_one_creator():
    elements = (
        El(0x00290010, "LO", b"TWICE "),
        El(0x00290011, "LO", b"TWICE "),
        El(0x00291001, "LO", b"A "),
        El(0x00291101, "LO", b"B "),
    )
    tag = PrivateTag(0x0029, "TWICE", 1)
    assert read(File((*SOP, *elements)).data, [tag]).strings(tag) == ("A", "B")


def test_file_meta_is_read_too():
    tag = parse_path("MediaStorageSOPInstanceUID")
    assert read(make_instance(SOPInstanceUID="1.2.3"), [tag]).string(tag) == "1.2.3"


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit]
)
def test_a_file_that_is_cut_off_in_its_pixel_data_is_refused(syntax):
    data = make_instance(transfer_syntax=syntax)
    with pytest.raises(Malformed):
        read(data[:-10], [parse_path("PatientID")])


def test_text_that_is_none_is_refused_when_it_is_decoded():
    data = File((*SOP, El(0x00100010, "PN", b"J\xf6rg"))).data
    path = parse_path("PatientName")
    header = read(data, [path])
    with pytest.raises(EncodingError):
        header.string(path)
    assert read(data, [path], default_charset="ISO_IR 100").string(path) == "Jörg"


def test_numbers_that_are_none():
    data = File((*SOP, El(0x00180081, "DS", b"ten "), El(0x00280010, "US", b"123"))).data
    header = read(data, [Tag(0x00180081), Tag(0x00280010)])
    with pytest.raises(UnsupportedValue, match="EchoTime"):
        header.number(Tag(0x00180081))
    with pytest.raises(UnsupportedValue, match="Rows"):
        header.number(Tag(0x00280010))


@pytest.mark.parametrize(
    ("vr", "raw", "values"),
    [
        ("LO", b" padded \\ twice ", ("padded", "twice")),
        ("LT", b" lead\\ing  ", (" lead\\ing",)),
        ("UC", b" keeps\\ two ", (" keeps", " two")),
        ("UI", b"1.2\\1.3\0", ("1.2", "1.3")),
        ("CS", b"  ", ()),
        ("CS", b"A\\\\B ", ("A", "", "B")),
        ("DS", b"1.50\\2 ", ("1.50", "2")),
        ("AT", b"\x10\0\x20\0", (0x00100020,)),
        ("SS", b"\xff\xff", (-1,)),
        ("FD", struct.pack("<d", 0.1), (0.1,)),
        ("SV", struct.pack("<q", -5), (-5,)),
        ("OB", b"\x01\x02", (b"\x01\x02",)),
        ("OB", b"", ()),
    ],
)
def test_padding_and_multiplicity_by_vr(vr, raw, values):
    assert Element(Tag(0x00189999), vr, raw).values == values


def test_whole_numbers_in_strings_are_integers():
    assert Element(Tag(0x00200013), "IS", b" 12\\ ").numbers == (12,)
    assert isinstance(Element(Tag(0x00200013), "IS", b"12").numbers[0], int)
    assert Element(Tag(0x00200013), "IS", b"1.5 ").numbers == (1.5,)
    assert Element(Tag(0x00280010), "US", b"\x01\0").text == "1"


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_pixel_digest(syntax):
    data = make_instance(transfer_syntax=syntax, pixels=noise(512, 1), SeriesNumber=1)
    other = make_instance(transfer_syntax=syntax, pixels=noise(512, 2), SeriesNumber=1)
    again = make_instance(transfer_syntax=syntax, pixels=noise(512, 1), SeriesNumber=2)
    assert pixel_digest(data) == pixel_digest(again) != pixel_digest(other)
    if syntax == ExplicitVRLittleEndian:
        assert pixel_digest(data) == hashlib.sha256(noise(512, 1)).hexdigest()


def test_pixel_digest_of_fragments_and_of_floats():
    fragments = El(PIXEL_DATA, "OB", (Items(b""), Items(b"1234")), True)
    raw = b"\xfe\xff\0\xe0\0\0\0\0\xfe\xff\0\xe0\4\0\0\0" + b"1234"
    data = File((*SOP, fragments), JPEGBaseline8Bit).data
    assert pixel_digest(data) == hashlib.sha256(raw).hexdigest()
    floats = File((*SOP, El(0x7FE00008, "OF", b"1234"))).data
    assert pixel_digest(floats) == hashlib.sha256(b"1234").hexdigest()


def test_no_pixel_data_has_no_digest():
    assert pixel_digest(make_instance(pixels=b"")) is None


def test_what_is_no_dicom_is_refused():
    for call in (lambda: read(b"", []), lambda: pixel_digest(b"text" * 100)):
        with pytest.raises(NotDicom):
            call()


def test_private_elements_know_their_vr_in_implicit_vr():
    private = [Private(0x0029, "SIEMENS CSA HEADER", 0x08, "CS", "IMAGE NUM 4")]
    data = make_instance(transfer_syntax=ImplicitVRLittleEndian, private=private)
    tag = PrivateTag(0x0029, "SIEMENS CSA HEADER", 0x08)
    assert read(data, [tag]).element(tag).vr == "CS"
    assert read(data, [Tag(0x00291008)]).element(Tag(0x00291008)).vr == "CS"
