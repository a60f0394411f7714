"""Whatever is left of a subject is found, and nothing is found where nothing is left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collection import FILES, load
from curator.anonymize.identifiers import subject_of
from curator.anonymize.residual import FILE_META, search
from curator.anonymize.subject import Subject
from curator.dicom.engine import opened
from curator.dicom.errors import DicomError
from factory import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    Private,
    make_instance,
)

SUBJECT = Subject(
    key="x",
    names=("Müller-Lüdenscheidt^Hans", "Yamada^Tarou=山田^太郎=やまだ^たろう", "Иванов^Пётр"),
    identifiers=("MRN-00123456", "ACC77Z", "77889911"),
    birth_dates=("19700203",),
    contacts=("+49 170 1234567", "Musterstr. 5, 12345 Berlin"),
    persons=("van der Berg^Anna", "Li^Wu", "Smithers^J"),
)

CLEAN = {
    "PatientName": "ANON^1",
    "PatientID": "A1",
    "ReferringPhysicianName": None,
    "AccessionNumber": "",
    "StudyID": "",
    "PatientBirthDate": "",
}


def hits(subject=SUBJECT, permitted=(), **elements):
    instance = opened(make_instance(**{**CLEAN, **elements}))
    return search(instance.site, subject, permitted)


SPELLINGS = (
    *("MÜLLER", "Mueller-Luedenscheidt", "muller", "Hans^Lüdenscheidt", "hans"),
    *("山田太郎", "太郎", "やまだ", "ヤマダ タロウ", "Иванова", "ПЕТР ИВАНОВ"),
    *("mrn00123456", "MRN 00123456", "123 mrn-00123456 x", "acc77z", "77889911", "77-88-99-11"),
    *("19700203", "1970-02-03", "03.02.1970", "2/3/1970", "3 Feb 1970", "February 3, 1970"),
    *("03.02.70", "+49 170 1234567", "0170-1234567", "Musterstr. 5 12345 Berlin"),
    *("Berg, Anna", "A. van der Berg", "Li Wu", "WU, LI", "Smithers", "SMITHERS'S"),
)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(
    "transfer_syntax",
    [None, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
)
def test_every_spelling_is_found_in_text(spelling, transfer_syntax):
    how = {"transfer_syntax": transfer_syntax} if transfer_syntax else {}
    found = hits(SpecificCharacterSet="ISO_IR 192", ImageComments=f"CT {spelling} knee", **how)
    assert found == ("ImageComments",)


ENCODINGS = (
    *(("Müller", codec) for codec in ("latin_1", "utf_8", "utf_16_le", "utf_16_be", "cp437")),
    *(("山田太郎", codec) for codec in ("utf_8", "shift_jis", "euc_jp", "gb18030", "iso2022_jp")),
    *(("太郎", codec) for codec in ("utf_8", "shift_jis", "euc_jp", "iso2022_jp", "utf_16_le")),
    *(("Иванов", codec) for codec in ("utf_8", "iso8859_5", "koi8_r", "cp1251", "utf_16_be")),
    *(("SMITHERS", codec) for codec in ("ascii", "utf_16_le", "utf_16_be")),
    *(("77889911", codec) for codec in ("ascii", "utf_16_le", "utf_16_be")),
)  # fmt: skip


@pytest.mark.parametrize(("spelling", "codec"), ENCODINGS)
@pytest.mark.parametrize("vr", ["OB", "UN", "LO"])
def test_every_encoding_is_found_in_private_bytes(spelling, codec, vr):
    raw = b"\x01\x02\x03" * 20 + spelling.encode(codec) + b"\x00\xff\x01" * 21
    if vr == "LO":
        raw = spelling.encode(codec)
    planted = Private(0x0029, "CREATOR", 1, "OB", raw + b" " * (len(raw) % 2))
    dicom = make_instance(**CLEAN, private=[planted])
    if vr != "OB":
        head = b"\x29\x00\x01\x10"
        at = dicom.index(head)
        length = int.from_bytes(dicom[at + 8 : at + 12], "little")
        new = head + (
            b"LO" + length.to_bytes(2, "little")
            if vr == "LO"
            else b"UN\0\0" + length.to_bytes(4, "little")
        )
        dicom = dicom[:at] + new + dicom[at + 12 :]
    assert search(opened(dicom).site, SUBJECT) == ("0029,1001",)


PLACES = {
    "StudyDescription": {"StudyDescription": "Hans Müller"},
    "RequestAttributesSequence[1].ScheduledProcedureStepDescription": {
        "RequestAttributesSequence": [
            {"ScheduledProcedureStepID": "1"},
            {"ScheduledProcedureStepDescription": "MÜLLER"},
        ]
    },
    "SharedFunctionalGroupsSequence[0].PlanePositionSequence[0].ImageComments": {
        "SharedFunctionalGroupsSequence": [{"PlanePositionSequence": [{"ImageComments": "müller"}]}]
    },
    "PatientBirthDate": {"PatientBirthDate": "19700203"},
    "PatientName": {"PatientName": "Müller^X"},
    "RetrieveURL": {"RetrieveURL": "http://x/77889911"},
}


@pytest.mark.parametrize(("path", "elements"), PLACES.items(), ids=list(PLACES))
@pytest.mark.parametrize("undefined_lengths", [False, True])
def test_the_element_is_named_at_every_depth(path, elements, undefined_lengths):
    planted = {"SpecificCharacterSet": "ISO_IR 192", **elements}
    assert hits(**planted, undefined_lengths=undefined_lengths) == (path,)


@pytest.mark.parametrize(("path", "elements"), PLACES.items(), ids=list(PLACES))
def test_what_is_written_on_purpose_is_not_reported(path, elements):
    planted = {"SpecificCharacterSet": "ISO_IR 192", **elements}
    assert hits(permitted=[path.replace("[1]", "[0]")], **planted) == ()


def test_what_stands_after_the_pixel_data_is_found():
    tail = b"\xfc\xff\xfc\xff" + b"OB\0\0" + (8).to_bytes(4, "little") + b"SMITHERS"
    site = opened(make_instance(**CLEAN) + tail).site
    assert search(site, SUBJECT) == ("DataSetTrailingPadding",)


def test_what_stands_before_the_data_set_is_found():
    site = opened(make_instance(**CLEAN)).site
    assert search(site, SUBJECT, head=b"SMITHERS".ljust(128, b"\0") + b"DICM") == (FILE_META,)
    assert search(site, SUBJECT, head=b"\0" * 128 + b"DICM") == ()


def test_pixels_are_not_searched():
    assert hits(pixels=b"SMITHERS" * 64) == ()


CHANCE = {
    "a single name that is a body part": ({"BodyPartExamined": "CHEST"}, "Chest^Mary", ()),
    "a single name in a coded string": ({"ImageType": ["ORIGINAL", "ROSE"]}, "Rose^Mary", ()),
    "the maker's name": ({"Manufacturer": "Philips"}, "Philips^Jan", ()),
    "part of a word": ({"StudyDescription": "Martinique"}, "Martin^Xena", ()),
    "a particle": ({"StudyDescription": "Lunge der Patientin von vorn"}, "von der Xena^Y", ()),
    "part of a UID": ({"FrameOfReferenceUID": "1.2.3.77889911.4"}, "", ("77889911",)),
    "part of a number": ({"StudyDescription": "1778899112"}, "", ("77889911",)),
    "part of a decimal": ({"ImagePositionPatient": [1.25, 0.778899, 3.5]}, "", ("778899",)),
    "a measure": ({"RepetitionTime": 10000.0}, "", ("10000",)),
    "a short identifier": ({"SeriesNumber": 1, "InstanceNumber": 7}, "", ("1", "7")),
    "a placeholder": ({"StudyDescription": "unknown"}, "Unknown^", ()),
    "letters of a pseudonym": ({"PatientID": "7KIM3XQ"}, "Kim^Xena", ()),
}  # fmt: skip


@pytest.mark.parametrize(("elements", "name", "identifiers"), CHANCE.values(), ids=list(CHANCE))
def test_what_is_there_by_chance_is_no_evidence(elements, name, identifiers):
    subject = Subject("", names=(name,) if name else (), identifiers=identifiers)
    assert hits(subject, **elements) == ()


def test_both_names_together_are_evidence_even_where_each_is_a_word():
    subject = Subject("", names=("Chest^Long",))
    assert hits(subject, StudyDescription="Long Chest") == ("StudyDescription",)
    assert hits(subject, StudyDescription="long axis of the chest") == ()


def test_the_study_of_a_newborn_may_be_on_its_birth_date():
    subject = Subject("", birth_dates=("20240102",))
    assert hits(subject) == ()
    assert hits(subject, StudyDescription="2024-01-02") == ("StudyDescription",)


def test_a_sequence_in_unknown_vr_is_searched():
    item = b"\x40\x00\x07\x00\x08\x00\x00\x00SMITHERS"
    raw = b"\xfe\xff\x00\xe0" + len(item).to_bytes(4, "little") + item
    planted = Private(0x0029, "CREATOR", 1, "UN", raw)
    found = search(opened(make_instance(**CLEAN, private=[planted])).site, SUBJECT)
    assert found == ("0029,1001[0].ScheduledProcedureStepDescription",)


def test_bytes_that_happen_to_be_letters_are_no_evidence_of_a_short_name():
    samples = Private(0x0029, "CREATOR", 1, "OB", b"}~|Kai{zKai~|}{z")
    site = opened(make_instance(**CLEAN, private=[samples])).site
    assert search(site, Subject("", names=("Kai^Xena",))) == ()
    assert search(site, Subject("", identifiers=("ZKAI",))) == ()


@given(st.binary(max_size=4096))
def test_any_bytes_can_be_searched(raw):
    planted = Private(0x0029, "CREATOR", 1, "OB", raw + b"\0" * (len(raw) % 2))
    search(opened(make_instance(**CLEAN, private=[planted], pixels=b"")).site, SUBJECT)


def test_nothing_of_others_is_found_in_the_collection():
    other = Subject(
        "",
        names=("Ridgeway^Philomena", "Ødegård^Åse"),
        identifiers=("QX-7781203", "5550199"),
        birth_dates=("19410519",),
        contacts=("+1 617 555 0100", "9 Nowhere Lane, Utopia"),
        persons=("Quackenbush^Ignatius", "Xu^Yi"),
    )
    searched = 0
    for name in FILES:
        try:
            instance = opened(load(name))
        except DicomError:
            continue
        assert search(instance.site, other, head=instance.data[: instance.meta.end]) == ()
        searched += 1
    assert searched > 150


def test_the_patients_of_the_collection_are_found_in_their_own_files():
    found = 0
    for name in FILES:
        try:
            instance = opened(load(name))
        except DicomError:
            continue
        subject = subject_of(instance.site)
        if any(len(text) > 5 and text.isalnum() for text in subject.identifiers):
            assert search(instance.site, subject) != ()
            found += 1
    assert found > 20
