"""Ways to find the patient in what comes out, each of which has to fail."""

from __future__ import annotations

import struct
from functools import cache
from io import BytesIO
from typing import Any

import pydicom
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from collection import FILES, load
from curator.anonymize.anonymizer import Anonymizer
from curator.anonymize.errors import Refused, ResidualIdentifiers
from curator.anonymize.keys import derived
from curator.anonymize.profile import Option
from curator.anonymize.resolve import Resolver
from curator.anonymize.shipped import shipped
from curator.anonymize.standard import AttributeType
from curator.anonymize.tables import load as load_tables
from curator.anonymize.values import Values
from curator.dicom.engine import opened
from curator.dicom.errors import DicomError
from curator.dicom.tags import SOP_CLASS_UID, Tag, tag_for_keyword
from curator.models import InvalidModel
from factory import Private, make_instance, uid
from planting import planted
from unit.anonymize.planted import KEY, anonymizer

STANDARD = load_tables()


def anonymized(data: bytes, **fields: Any) -> pydicom.Dataset:
    return pydicom.dcmread(BytesIO(anonymizer(**fields).anonymize(data).dicom))


# Names in every script, where a table keeps the text: found, and therefore refused.

NAMES = {
    "two-byte set within a text": (
        "\\ISO 2022 IR 87",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
        "患者山田太郎の胸部",
    ),
    "two characters": ("GB18030", "Wang^Li=王^丽", "患者王丽"),
    "Hangul": ("\\ISO 2022 IR 149", "Hong^Gildong=洪^吉洞=홍^길동", "환자 홍길동님"),
    "accents in the text alone": ("ISO_IR 192", "Mueller^Joerg", "Herr Müller"),
    "accents in one byte": ("ISO_IR 100", "Mueller^Joerg", "Herr Müller"),
    "composed or not": ("ISO_IR 192", "Nguyen^Huong", "Nguye\u0302\u0303n"),
    "a sharp s": ("ISO_IR 100", "Strauss^Anna", "Strauß"),
    "without its apostrophe": ("ISO_IR 100", "D'Étoile^Jean", "détoile"),
    "declined": ("ISO_IR 101", "Wałęsa^Łukasz", "Łukasz"),
}


@pytest.mark.parametrize(("charset", "name", "text"), NAMES.values(), ids=list(NAMES))
def test_a_name_is_found_in_every_script(charset, name, text):
    data = make_instance(
        SpecificCharacterSet=charset.split("\\") if "\\" in charset else charset,
        PatientName=name,
        LUTExplanation=text,
        ImageComments=text,
    )
    with pytest.raises(ResidualIdentifiers) as refused:
        anonymizer().anonymize(data)
    assert "LUTExplanation" in str(refused.value)
    rule = {"Tag": "LUTExplanation", "Action": "Remove"}
    cleaned = anonymized(data, Options=["CleanDescriptors"], Rules=[rule])
    assert text not in str(cleaned.ImageComments)


def test_the_uid_of_the_study_is_found_in_text_unless_uids_are_retained():
    text = uid("default", "study")
    data = make_instance(LUTExplanation=text)
    with pytest.raises(ResidualIdentifiers):
        anonymizer().anonymize(data)
    assert anonymized(data, Options=["RetainUids"]).LUTExplanation == text


# PS3.15 E.3.5: what other attributes lose, descriptors lose, too.

SURROUNDINGS = {
    "InstitutionName": "Klinikum Steglitz",
    "StationName": "CTSKYRA07",
    "PatientAge": "067Y",
}
TEXT = "67-year-old, scanned at KLINIKUM STEGLITZ on CTSKYRA07, thorax"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), "scanned at on, thorax"),
        (("RetainInstitutionIdentity",), "scanned at KLINIKUM STEGLITZ on, thorax"),
        (("RetainPatientCharacteristics",), "67-year-old, scanned at on, thorax"),
    ],
)
def test_descriptors_lose_what_the_attributes_lose(options, expected):
    data = make_instance(ImageComments=TEXT, **SURROUNDINGS)
    options = ["CleanDescriptors", *options]
    assert anonymized(data, Options=options).ImageComments == expected


def test_an_age_that_a_rule_generalizes_goes_from_texts_and_reports():
    age = {
        "RelationshipType": "CONTAINS",
        "ValueType": "NUM",
        "ConceptNameCodeSequence": [
            {"CodeValue": "121033", "CodingSchemeDesignator": "DCM", "CodeMeaning": "Subject Age"}
        ],
        "MeasuredValueSequence": [{"NumericValue": "93"}],
    }
    data = make_instance(PatientAge="093Y", ImageComments="93y/o, cough", ContentSequence=[age])
    fields = shipped()["research"].model_dump(mode="json", by_alias=True, exclude_unset=True)
    result = anonymized(data, **fields)
    assert result.PatientAge == "090Y"
    assert result.ImageComments == "cough"
    assert "ContentSequence" not in result or not result.ContentSequence
    kept = anonymized(
        data, Options=["CleanStructuredContent", "RetainPatientCharacteristics"]
    ).ContentSequence[0]
    assert kept.MeasuredValueSequence[0].NumericValue == 93


# What is written in another way than the standard has it.


@pytest.mark.parametrize("vr", ["OB", "OW", "UT", "LO", "LT", "UI", "UN"])
@pytest.mark.parametrize("explicit", [False, True])
def test_a_sequence_in_disguise_does_not_stay(vr, explicit):
    secret = b"St. Elsewhere "
    head = struct.pack("<HH", 0x0008, 0x0080)
    size = b"LO" + struct.pack("<H", len(secret)) if explicit else struct.pack("<I", len(secret))
    inner = head + size + secret
    value = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(inner)) + inner
    long = vr in ("OB", "OW", "UT", "UN")
    length = struct.pack("<HI", 0, len(value)) if long else struct.pack("<H", len(value))
    tag = struct.pack("<HH", 0x5200, 0x9229)
    plain = make_instance(pixels=None)
    before = opened(plain)
    chunks = {at: before.site.encoded(at) for at in before.site.tags}
    chunks[0x52009229] = tag + vr.encode("ascii") + length + value
    data = plain[: before.meta.end] + b"".join(chunks[at] for at in sorted(chunks))
    assert secret in data
    try:
        result = anonymizer().anonymize(data).dicom
    except DicomError:
        return  # items that nobody can read for certain
    assert secret not in result


@pytest.mark.parametrize("retained", [False, True])
def test_a_uid_of_unknown_value_representation_is_mapped_as_any_other(retained):
    found = uid("somewhere")
    raw = found.encode("ascii")
    data = make_instance(
        FrameOfReferenceUID=found,
        private=[
            Private(0x0029, "QUILLON", 1, "UN", raw + b"\0" * (len(raw) % 2)),
            Private(0x0029, "QUILLON", 2, "UN", b"12.5"),
        ],
    )
    result = anonymized(
        data,
        Options=["RetainUids"] if retained else [],
        Rules=[{"PrivateCreator": "QUILLON", "Action": "Keep"}],
    )
    new = result[0x0029, 0x1001].value.rstrip(b"\0").decode()
    assert new == result.FrameOfReferenceUID
    assert (new == found) is retained
    assert result[0x0029, 0x1002].value == b"12.5"


def test_addresses_of_servers_go_and_codes_stay():
    result = anonymized(
        make_instance(
            RetrieveURL="https://pacs.st-elsewhere.example/studies/1.2.3",
            ProcedureCodeSequence=[{"URNCodeValue": "urn:oid:2.16.840.1", "CodeMeaning": "CT"}],
            Manufacturer="Maker",
        )
    )
    assert result.RetrieveURL == "urn:removed:removed"
    kept = make_instance(
        CTDIPhantomTypeCodeSequence=[{"URNCodeValue": "urn:oid:2.16.840.1", "CodeMeaning": "CT"}]
    )
    code = anonymized(kept).CTDIPhantomTypeCodeSequence[0]
    assert code.URNCodeValue == "urn:oid:2.16.840.1"


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, "REMOVED"),
        ({"Rules": [{"Tag": "StudyDate", "Action": "Keep"}]}, "MODIFIED"),
        ({"Rules": [{"VR": "TM", "Action": "Keep"}]}, "MODIFIED"),
        ({"Rules": [{"Tag": "StudyDate", "Action": "Remove"}]}, "REMOVED"),
        ({"Options": ["RetainLongitudinalFullDates"]}, "UNMODIFIED"),
        (
            {
                "Options": ["RetainLongitudinalFullDates"],
                "Rules": [{"Tag": "SeriesDate", "Action": "Remove"}],
            },
            "MODIFIED",
        ),
    ],
)
def test_what_is_said_about_dates_is_true_of_rules_as_well(fields, state):
    result = anonymized(make_instance(), **fields)
    assert result.LongitudinalTemporalInformationModified == state


# Whatever a profile asks for: attributes that have to be there are there.

ACTIONS: dict[str, list[dict[str, Any]]] = {
    "Keep": [{}],
    "Remove": [{}],
    "Empty": [{}],
    "Dummy": [{}],
    "Uid": [{}],
    "Pseudonym": [{}],
    "ShiftDate": [{}],
    "CleanText": [{}],
    "Hash": [{}],
    "Replace": [{"Value": "X1"}, {"Value": "{Modality}"}, {"Value": "19990101"}],
    "Generalize": [{"Bins": 5, "Above": 89}, {"To": "Year"}, {"Digits": 2}],
    "Regex": [{"Pattern": "never", "With": "", "Otherwise": how} for how in ("Remove", "Empty")],
    "Lookup": [{"Table": "none", "Otherwise": how} for how in ("Remove", "Empty")],
}
KEYWORDS = [row.keyword for tag, row in STANDARD.by_tag.items() if tag >> 16 > 4]
SELECTORS = st.one_of(
    st.sampled_from(KEYWORDS).map(lambda keyword: {"Tag": keyword}),
    st.sampled_from(("LO", "SH", "PN", "DA", "TM", "UI", "CS", "DS", "ST")).map(
        lambda vr: {"VR": vr}
    ),
    st.sampled_from(("Patient*", "*Date", "*Description", "*UID", "*")).map(
        lambda pattern: {"Keyword": pattern}
    ),
    st.sampled_from(("(0010,xxxx)", "(0008,xxxx)", "(0012,xxxx)")).map(lambda tag: {"Tag": tag}),
)
RULES = st.sampled_from([(action, more) for action in ACTIONS for more in ACTIONS[action]]).flatmap(
    lambda found: SELECTORS.map(lambda selector: {**selector, "Action": found[0], **found[1]})
)
OPTIONS = [
    option.value
    for option in Option
    if option not in (Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES, Option.CLEAN_PIXEL_DATA)
]


@cache
def sources() -> tuple[bytes, ...]:
    names = ("CT_small", "rtplan")
    return tuple(planted(load(f"test_files/{name}.dcm")).dicom for name in names)


@settings(max_examples=25)
@given(st.sets(st.sampled_from(OPTIONS)), st.lists(RULES, min_size=1, max_size=3))
def test_no_profile_makes_an_instance_invalid(options, rules):
    try:
        anonymize = anonymizer(
            Options=sorted(options), Rules=rules, Tables={"none": {}}, Residual="Report"
        ).anonymize
    except InvalidModel:
        reject()
    for data in sources():
        try:
            result = anonymize(data).dicom
        except Refused:
            continue
        assert missing(data, result) == []


def missing(data: bytes, result: bytes) -> list[str]:
    """Return attributes of type 1 that are empty now, and those of type 1 and 2 that are gone."""
    before, after = opened(data).site, opened(result).site
    sop_class = before.raw(SOP_CLASS_UID).strip(b"\0 ").decode()
    types = dict(STANDARD.module_types)
    types |= {tag: kind for (uid, tag), kind in STANDARD.compound_types.items() if uid == sop_class}
    wrong = []
    for tag, kind in types.items():
        row = STANDARD.row(tag)
        if tag not in before.tags or kind is AttributeType.THREE or (row and row.basic == "X"):
            continue
        has_value = kind is AttributeType.ONE and before.raw(tag).strip(b" \0")
        if tag not in after.tags or (has_value and not after.raw(tag).strip(b" \0")):
            wrong.append(f"{Tag(tag):08X} of type {kind}")
    return wrong


@pytest.mark.parametrize("keyword", ["ClinicalTrialSponsorName", "ClinicalTrialProtocolID"])
@pytest.mark.parametrize("otherwise", ["Remove", "Empty"])
def test_a_required_attribute_that_a_table_lacks_gets_a_dummy(keyword, otherwise):
    rule = {"Tag": keyword, "Action": "Lookup", "Table": "none", "Otherwise": otherwise}
    data = make_instance(**{keyword: "PLUGH"})
    result = anonymized(data, Rules=[rule], Tables={"none": {}})
    assert result[tag_for_keyword(keyword)].value == "Removed"


# The same patient, however the Patient ID is padded; another key, nothing in common.


@pytest.mark.parametrize("padded", ["ABC1", "ABC1 ", " ABC1", "ABC1\0", "ABC1   "])
def test_padding_does_not_make_another_patient(padded):
    options = ["RetainLongitudinalModifiedDates"]
    first = anonymized(make_instance(PatientID="ABC1"), Options=options)
    other = anonymized(make_instance(PatientID=padded), Options=options)
    assert (first.PatientID, first.StudyDate) == (other.PatientID, other.StudyDate)
    assert anonymized(make_instance(PatientID="ABC10")).PatientID != first.PatientID
    assert anonymized(make_instance(PatientID="abc1")).PatientID != first.PatientID


def test_different_keys_leave_nothing_in_common():
    data = make_instance()
    one, other = (
        {element.tag: str(element.value) for element in result if element.VR in ("UI", "LO", "PN")}
        for result in (
            pydicom.dcmread(BytesIO(anonymizer(key=key).anonymize(data).dicom))
            for key in (KEY, b"another key of thirty-two bytes!")
        )
    )
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "SOPInstanceUID"):
        assert one[tag_for_keyword(keyword)] != other[tag_for_keyword(keyword)]


# No file is refused without a reason.


@pytest.mark.parametrize("name", sorted(shipped()))
def test_no_file_of_the_collection_is_refused_without_reason(name):
    made = shipped()[name]
    anonymize = Anonymizer(
        made,
        Resolver(made, STANDARD),
        Values(made, derived(KEY)),
        None,
        default_charset="ISO_IR 100",
    ).anonymize
    refused = {}
    count = 0
    for file in FILES:
        try:
            opened(load(file))
        except DicomError:
            continue
        if "DICOMDIR" in file:
            continue
        count += 1
        try:
            anonymize(load(file))
        except (Refused, DicomError) as error:
            refused[file] = str(error)
    assert refused == {}
    assert count > 170
