"""Values of an instance, read from its file."""

import pathlib
from collections.abc import Iterable

import pytest
from pydicom.data import get_testdata_file

import factory
from curator.conditions import number
from curator.dicom.charset import DEFAULT_TERM
from curator.dicom.errors import DicomError, Malformed, NotDicom
from curator.dicom.tags import Path, parse_path
from curator.reshape import values as module
from curator.reshape.criteria import b_value
from curator.reshape.values import Values
from unit.reshape.builders import values

ECHO_TIME = parse_path("EchoTime")
IMAGE_TYPE = parse_path("ImageType")
PATIENT_NAME = parse_path("PatientName")
SIEMENS = parse_path('(0019,"SIEMENS MR HEADER",0C)')

SYNTAXES = [
    factory.ExplicitVRLittleEndian,
    factory.ImplicitVRLittleEndian,
    factory.ExplicitVRBigEndian,
    factory.DeflatedExplicitVRLittleEndian,
]


def read(data: bytes, paths: Iterable[Path]) -> Values:
    return module.read(data, paths, DEFAULT_TERM)


def read_one(data: bytes, *names: str) -> Values:
    return read(data, map(parse_path, names))


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_values_are_read_from_every_transfer_syntax(syntax):
    data = factory.make_instance(
        transfer_syntax=syntax, EchoTime="2.460", ImageType=["ORIGINAL", "PRIMARY"], Rows=16
    )
    found = read_one(data, "EchoTime", "ImageType", "Rows", "PatientSex", "FlipAngle")
    assert found.strings(ECHO_TIME) == ("2.460",) or found.numbers(ECHO_TIME) == (2.46,)
    assert found.strings(IMAGE_TYPE) == ("ORIGINAL", "PRIMARY")
    assert found.numbers(parse_path("Rows")) == (16.0,)
    assert found.string(parse_path("PatientSex")) == "O"
    assert found.strings(parse_path("FlipAngle")) == ()
    assert found.sop_instance_uid == factory.uid("default", "instance")


@pytest.mark.parametrize("absent", [None, ""])
def test_an_absent_or_empty_element_has_no_value(absent):
    found = read_one(factory.make_instance(PatientName=absent), "PatientName", "EchoTime")
    assert (found.strings(PATIENT_NAME), found.string(PATIENT_NAME)) == ((), "")
    assert found.numbers(PATIENT_NAME) == ()


def test_every_item_of_a_sequence_is_read():
    path = "RequestAttributesSequence[*].RequestedProcedureID"
    items = [{"RequestedProcedureID": one} for one in ("A", "B")]
    found = read_one(factory.make_instance(RequestAttributesSequence=items), path)
    assert found.strings(parse_path(path)) == ("A", "B")


def test_text_is_decoded():
    data = factory.make_instance(SpecificCharacterSet="ISO_IR 192", PatientName="山田^太郎")
    assert read_one(data, "PatientName").string(PATIENT_NAME) == "山田^太郎"


def test_text_without_a_character_set_is_in_that_of_the_server():
    data = factory.make_instance(PatientName="MueLLER").replace(
        b"MueLLER", "Mü ller".encode("latin-1")
    )
    found = module.read(data, [PATIENT_NAME], "ISO_IR 100")
    assert found.string(PATIENT_NAME) == "Mü ller"


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("vendor", ["standard", "siemens", "ge", "philips"])
def test_b_values_of_vendors_are_read_even_where_the_vr_is_lost(vendor, syntax):
    elements = factory.b_value_elements(vendor, 800)
    data = factory.make_instance(transfer_syntax=syntax, **elements)
    asked = (
        "DiffusionBValue",
        '(0019,"SIEMENS MR HEADER",0C)',
        '(0043,"GEMS_PARM_01",39)',
        '(2001,"Philips Imaging DD 001",03)',
        '(0065,"Image Private Values",09)',
    )
    assert b_value(read_one(data, *asked)) == (800.0,)


def test_elements_of_the_standard_that_were_made_unknown_get_their_vr_back():
    """Some servers write every element of an implicit VR data set as UN."""
    dicom = pathlib.Path(str(get_testdata_file("rtdose_rle_1frame.dcm"))).read_bytes()
    found = read(dicom, [parse_path("Rows"), parse_path("Modality")])
    assert found.sop_instance_uid == "1.9.999.999.99.9.9999.9999.20030818153516"
    assert found.numbers(parse_path("Rows")) == (10,)
    assert found.string(parse_path("Modality")) == "RTDOSE"


def test_a_private_element_that_was_made_unknown_gets_its_vr_back():
    private = factory.Private(0x0019, "SIEMENS MR HEADER", 0x0C, "UN", b"800 ")
    found = read(factory.make_instance(private=[private]), [SIEMENS])
    assert found.numbers(SIEMENS) == (800.0,)


def test_an_unknown_private_element_has_no_value():
    private = factory.Private(0x0019, "NOBODY", 0x0C, "UN", b"800 ")
    path = parse_path('(0019,"NOBODY",0C)')
    assert read(factory.make_instance(private=[private]), [path]).strings(path) == ()


@pytest.mark.parametrize("missing", [None, ""])
def test_an_instance_without_its_uid_is_refused(missing):
    dataset = factory.make_instance()
    uid = factory.uid("default", "instance").encode()
    broken = dataset.replace(uid, b" " * len(uid))
    with pytest.raises(DicomError):
        read(broken, [ECHO_TIME])


@pytest.mark.parametrize(
    ("data", "error"), [(b"", NotDicom), (b"no DICOM" * 100, NotDicom), (b"\0" * 200, NotDicom)]
)
def test_what_is_no_dicom_is_refused(data, error):
    with pytest.raises(error):
        read(data, [ECHO_TIME])


def test_a_file_that_is_cut_off_in_its_header_is_refused():
    data = factory.make_instance()
    with pytest.raises(Malformed):
        read(data[: data.index(b"SYN0001") + 3], [ECHO_TIME])


def test_binary_numbers_of_a_wrong_length_are_refused():
    data = factory.make_instance(Rows=16)
    rows = data.index(b"\x28\x00\x10\x00US\x02\x00")
    broken = data[: rows + 6] + b"\x03\x00" + data[rows + 8 : rows + 10] + b"\0" + data[rows + 10 :]
    with pytest.raises(DicomError):
        read(broken, [parse_path("Rows")])


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["1", "2.5"], (1.0, 2.5)),
        (["1", ""], (1.0,)),
        (["1", "x"], ()),
        (["nan"], ()),
        ([], ()),
    ],
)
def test_numbers_are_all_numbers_or_none(texts, expected):
    assert values(EchoTime=texts).numbers(ECHO_TIME) == expected
    assert all(number(text) is None or text for text in texts)


def test_what_was_not_asked_for_is_not_known():
    found = read(factory.make_instance(), [ECHO_TIME])
    with pytest.raises(KeyError):
        found.strings(Path(IMAGE_TYPE.tag))
