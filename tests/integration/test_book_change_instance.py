"""The Book's page "Anonymization and modification", what downloads: a single instance.

Each row is a sentence or an example of ``anonymization.rst``: what is asked for, and what stands
in the file that comes back, by path (None: no such element; ``...``: another value than before).
A stock server and one with Curator answer the same file, and store nothing.
"""

import base64
import io
from collections.abc import Iterator
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from factory import make_instance, uid
from integration.book import IDENTIFIERS, SMOOTH, look_up, upload_patient
from integration.pair import Pair

Row = tuple[dict[str, Any], dict[str, Any]]

JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"


@pytest.fixture(scope="module")
def book(module_pair) -> Iterator[Pair]:
    """What is asked for; the CT instance is ``instance``, an image of 8 bits ``smooth``."""
    pair: Pair = module_pair
    eight_bits = make_instance(**SMOOTH, PatientID="EIGHT", SOPInstanceUID=uid("smooth"))
    pair.upload([eight_bits], instance="smooth", series="s", study="s", patient="s")
    upload_patient(pair)
    before = instances(pair)
    yield pair
    assert instances(pair) == before  # nothing was stored


KEEP_ALL = {"Keep": list(IDENTIFIERS[1:]), "Force": True}

EMBEDDED = "data:application/octet-stream;base64," + base64.b64encode(b"bytes \x00\xff").decode()

MODIFICATIONS: dict[str, Row] = {
    "nothing": ({}, {"SOPInstanceUID": ..., "SeriesInstanceUID": uid("study", "CT")}),
    "example": (
        {
            "Replace": {"PatientName": "hello", "PatientID": "world"},
            "Remove": ["InstitutionName"],
            "RemovePrivateTags": True,
            "Force": True,
            "Transcode": JPEG_LOSSLESS,
        },
        {
            "PatientName": "hello",
            "PatientID": "world",
            "InstitutionName": None,
            "0029,1010": None,
            "StudyInstanceUID": ...,
        },
    ),
    "Replace by name": ({"Replace": {"PatientName": "hello"}}, {"PatientName": "hello"}),
    "Replace 0010-1001": ({"Replace": {"0010-1001": "World"}}, {"OtherPatientNames": "World"}),
    "Replace 0010,1001": ({"Replace": {"0010,1001": "World"}}, {"OtherPatientNames": "World"}),
    "Replace 00101001": ({"Replace": {"00101001": "World"}}, {"OtherPatientNames": "World"}),
    "Replace adds": ({"Replace": {"PatientComments": "new"}}, {"PatientComments": "new"}),
    "Replace casts": ({"Replace": {"Rows": "32", "FlipAngle": "9.5"}}, {"Rows": 32}),
    "Replace by nothing": ({"Replace": {"PatientName": ""}}, {"PatientName": ""}),
    "Replace by other letters": (
        {"Replace": {"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Grün^山田"}},
        {},
    ),
    "Remove by name": ({"Remove": ["InstitutionName"]}, {"InstitutionName": None}),
    "Remove by number": ({"Remove": ["0008-0080", "0008,1010"]}, {"InstitutionName": None}),
    "Remove a sequence": ({"Remove": ["ProcedureCodeSequence"]}, {"ProcedureCodeSequence": None}),
    "Remove what is not there": ({"Remove": ["PatientComments"]}, {"PatientComments": None}),
    "Remove a private element": (
        {"Remove": ["0029,1010"]},
        {"0029,1010": None, "0029,1011": bytes(range(16))},
    ),
    "RemovePrivateTags": ({"RemovePrivateTags": True}, {"0029,1010": None, "0029,1011": None}),
    "RemovePrivateTags false": ({"RemovePrivateTags": False}, {"0029,1011": bytes(range(16))}),
    "sequence of a list": (
        {
            "Replace": {
                "ProcedureCodeSequence": [
                    {"CodeValue": "2", "CodingSchemeDesignator": "1", "CodeMeaning": "1"},
                    {"CodeValue": "3", "EquivalentCodeSequence": [{"CodeValue": "4"}]},
                ]
            }
        },
        {
            "ProcedureCodeSequence[0].CodeValue": "2",
            "ProcedureCodeSequence[1].EquivalentCodeSequence[0].CodeValue": "4",
        },
    ),
    "sequence of an empty list": ({"Replace": {"ProcedureCodeSequence": []}}, {}),
    "binary in base64": (
        {
            "Replace": {
                "EncryptedAttributesSequence": [
                    {
                        "EncryptedContentTransferSyntaxUID": "1.2.840.10008.1.2",
                        "EncryptedContent": EMBEDDED,
                    }
                ]
            }
        },
        {"EncryptedAttributesSequence[0].EncryptedContent": b"bytes \x00\xff"},
    ),
    "binary at the top": (
        {"Replace": {"ICCProfile": EMBEDDED}},
        {"ICCProfile": b"bytes \x00\xff"},
    ),
    "path with an index": (
        {"Replace": {"RequestAttributesSequence[1].RequestedProcedureID": "X"}},
        {
            "RequestAttributesSequence[0].RequestedProcedureID": "RP0",
            "RequestAttributesSequence[1].RequestedProcedureID": "X",
        },
    ),
    "path with a wildcard": (
        {"Replace": {"RequestAttributesSequence[*].PatientName": "X"}},
        {
            "RequestAttributesSequence[0].PatientName": "X",
            "RequestAttributesSequence[2].PatientName": "X",
        },
    ),
    "path by numbers": (
        {"Replace": {"(0040,0275)[0].(0040,1001)": "X", "0040-0275[1].0040-1001": "Y"}},
        {
            "RequestAttributesSequence[0].RequestedProcedureID": "X",
            "RequestAttributesSequence[1].RequestedProcedureID": "Y",
        },
    ),
    "path two deep": (
        {
            "Replace": {
                "RequestAttributesSequence[*].ScheduledProtocolCodeSequence[1].CodeValue": "X",
                "RequestAttributesSequence[2].ScheduledProtocolCodeSequence[0].CodeValue": "Y",
            }
        },
        {
            "RequestAttributesSequence[0].ScheduledProtocolCodeSequence[0].CodeValue": "C00",
            "RequestAttributesSequence[0].ScheduledProtocolCodeSequence[1].CodeValue": "X",
            "RequestAttributesSequence[2].ScheduledProtocolCodeSequence[0].CodeValue": "Y",
        },
    ),
    "path to a sequence": (
        {
            "Replace": {
                "RequestAttributesSequence[0].ScheduledProtocolCodeSequence": [{"CodeValue": "X"}]
            }
        },
        {"RequestAttributesSequence[0].ScheduledProtocolCodeSequence[0].CodeValue": "X"},
    ),
    "path to what is not there": (
        {"Replace": {"RequestAttributesSequence[7].RequestedProcedureID": "X"}},
        {},
    ),
    "path into what is not there": (
        {"Replace": {"EnergyWindowInformationSequence[0].EnergyWindowName": "X"}},
        {},
    ),
    "Remove a path with an index": (
        {"Remove": ["RequestAttributesSequence[0].RequestedProcedureID"]},
        {
            "RequestAttributesSequence[0].RequestedProcedureID": None,
            "RequestAttributesSequence[1].RequestedProcedureID": "RP1",
        },
    ),
    "Remove a path with wildcards": (
        {"Remove": ["RequestAttributesSequence[*].ScheduledProtocolCodeSequence[*].CodeMeaning"]},
        {
            "RequestAttributesSequence[2].ScheduledProtocolCodeSequence[1].CodeMeaning": None,
            "RequestAttributesSequence[2].ScheduledProtocolCodeSequence[1].CodeValue": "C21",
        },
    ),
    "Remove a path to a sequence": (
        {"Remove": ["RequestAttributesSequence[1].ScheduledProtocolCodeSequence"]},
        {"RequestAttributesSequence[1].ScheduledProtocolCodeSequence": None},
    ),
    "Remove a path to what is not there": (
        {"Remove": ["RequestAttributesSequence[9].RequestedProcedureID"]},
        {},
    ),
    "Keep every UID": (
        {**KEEP_ALL, "Replace": {"PatientName": "hello"}},
        {
            "SOPInstanceUID": uid("study", "CT", 1),
            "StudyInstanceUID": uid("study"),
            "PatientName": "hello",
        },
    ),
    "Keep what was not to change": ({"Keep": ["StudyDescription"]}, {}),
    "Replace every identifier": (
        {"Replace": dict.fromkeys(IDENTIFIERS, "1.2.3"), "Force": True},
        dict.fromkeys(IDENTIFIERS, "1.2.3"),
    ),
    "Transcode to Implicit VR": ({"Transcode": "1.2.840.10008.1.2"}, {}),
    "Transcode to what it is": ({"Transcode": "1.2.840.10008.1.2.1"}, {}),
    "Transcode to Big Endian": ({"Transcode": "1.2.840.10008.1.2.2"}, {}),
    "Transcode to deflated": ({"Transcode": "1.2.840.10008.1.2.1.99"}, {}),
    "Transcode to JPEG Lossless": ({"Transcode": "1.2.840.10008.1.2.4.57", **KEEP_ALL}, {}),
    "unknown field": ({"Replaces": {"PatientName": "x"}}, {"PatientName": "SYNTHETIC^PATIENT"}),
}


@pytest.mark.parametrize("row", MODIFICATIONS.values(), ids=MODIFICATIONS)
def test_modified_instance_is_the_same_file(book, row):
    body, expected = row
    check_file(book, "/instances/{instance}/modify", body, expected)


def check_file(pair: Pair, path: str, body: dict[str, Any], expected: dict[str, Any]) -> Dataset:
    """Check that both answer the same file, and what is in it."""
    dataset = dcmread(io.BytesIO(pair.succeed("POST", path, json=body).content))
    wanted = body.get("Transcode", "1.2.840.10008.1.2.1")
    assert dataset.file_meta.TransferSyntaxUID == wanted
    for name, value in expected.items():
        found = look_up(dataset, name)
        assert found != WAS[name] if value is ... else found == value, name
    return dataset


WAS = {
    "PatientID": "SYN0001",
    "PatientName": "SYNTHETIC^PATIENT",
    "StudyInstanceUID": uid("study"),
    "SeriesInstanceUID": uid("study", "CT"),
    "SOPInstanceUID": uid("study", "CT", 1),
    "ReferencedImageSequence[0].ReferencedSOPInstanceUID": uid("study", "CT", 0),
}


def instances(pair: Pair) -> list[Any]:
    """Return what both have stored."""
    return [sorted(party.server.http.json("/instances")) for party in pair]


ANONYMIZATIONS: dict[str, Row] = {
    "nothing": (
        {},
        {
            **dict.fromkeys(IDENTIFIERS, ...),
            "PatientName": ...,
            "InstitutionName": None,
            "StudyDescription": None,
            "0029,1010": None,
        },
    ),
    "example": (
        {
            "Replace": {"PatientName": "Hello", "0010-1001": "World"},
            "Keep": ["StudyDescription", "SeriesDescription"],
            "KeepPrivateTags": True,
            "DicomVersion": "2017c",
        },
        {
            "PatientName": "Hello",
            "OtherPatientNames": "World",
            "StudyDescription": "Synthetic study",
            "SeriesDescription": "CT",
            "0029,1011": bytes(range(16)),
            "OperatorsName": None,
        },
    ),
    **{
        f"DicomVersion {version}": ({"DicomVersion": version}, {"OtherPatientNames": None})
        for version in ("2008", "2017c", "2021b", "2023b")
    },
    **{
        f"DicomVersion {version} with fields": (
            {
                "DicomVersion": version,
                "Keep": ["OperatorsName"],
                "Remove": ["Modality"],
                "Replace": {"PatientComments": "x"},
                "KeepPrivateTags": True,
            },
            {"OperatorsName": "OPERATOR^TEST", "Modality": None, "PatientComments": "x"},
        )
        for version in ("2008", "2021b", "2023b")
    },
    "Replace by name and number": (
        {"Replace": {"PatientName": "Hello", "0010-1001": "World"}},
        {"PatientName": "Hello", "OtherPatientNames": "World"},
    ),
    "Replace adds": ({"Replace": {"ImageComments": "new"}}, {"ImageComments": "new"}),
    "Keep": ({"Keep": ["StudyDescription"]}, {"StudyDescription": "Synthetic study"}),
    "Keep the name": ({"Keep": ["PatientName"]}, {}),
    "Keep a UID": (
        {"Keep": ["FrameOfReferenceUID"]},
        {"FrameOfReferenceUID": uid("study", "frame")},
    ),
    "Keep an identifier": (
        {"Keep": ["StudyInstanceUID", "PatientID"], "Force": True},
        {"StudyInstanceUID": uid("study"), "SOPInstanceUID": ...},
    ),
    "Replace an identifier": (
        {"Replace": {"PatientID": "X", "SOPInstanceUID": "1.2.3"}, "Force": True},
        {"PatientID": "X", "SOPInstanceUID": "1.2.3"},
    ),
    "Remove": ({"Remove": ["Modality", "0008-0008"]}, {"Modality": None, "ImageType": None}),
    "KeepPrivateTags": ({"KeepPrivateTags": True}, {"0029,1011": bytes(range(16))}),
    "KeepPrivateTags false": ({"KeepPrivateTags": False}, {"0029,1010": None}),
    "Keep one private element": ({"Keep": ["0029,1011"]}, {"0029,1010": None}),
    "Keep wins over Remove, or not": ({"Keep": ["Modality"], "Remove": ["Modality"]}, {}),
    "Replace wins over Remove, or not": (
        {"Replace": {"Modality": "OT"}, "Remove": ["Modality"]},
        {},
    ),
    "Keep a sequence": (
        {"Keep": ["RequestAttributesSequence", "ReferencedImageSequence"]},
        {
            "RequestAttributesSequence[1].RequestedProcedureID": "RP1",
            "ReferencedImageSequence[1].ReferencedSOPInstanceUID": "1.2.3.4.5",
        },
    ),
    "Keep a path": (
        {
            "Keep": ["ReferencedImageSequence[1].ReferencedSOPInstanceUID"],
            "DicomVersion": "2021b",
        },
        {"ReferencedImageSequence[1].ReferencedSOPInstanceUID": "1.2.3.4.5"},
    ),
    "Keep a path with a wildcard": (
        {"Keep": ["ReferencedImageSequence[*].ReferencedSOPInstanceUID"]},
        {"ReferencedImageSequence[2].ReferencedSOPInstanceUID": "1.2.3.4.6"},
    ),
    "references follow": (
        {"DicomVersion": "2008"},
        {"ReferencedImageSequence[0].ReferencedSOPInstanceUID": ...},
    ),
    "Replace and Remove paths": (
        {
            "Replace": {"ProcedureCodeSequence[0].CodeMeaning": "X"},
            "Remove": ["ReferencedImageSequence[*].ReferencedSOPClassUID"],
        },
        {
            "ProcedureCodeSequence[0].CodeMeaning": "X",
            "ReferencedImageSequence[0].ReferencedSOPClassUID": None,
        },
    ),
    "Replace a sequence by a list": (
        {"Replace": {"ProcedureCodeSequence": [{"CodeMeaning": "X"}]}},
        {"ProcedureCodeSequence[0].CodeMeaning": "X"},
    ),
    "binary in base64": (
        {"Replace": {"ICCProfile": EMBEDDED}},
        {"ICCProfile": b"bytes \x00\xff"},
    ),
    "Transcode": ({"Transcode": JPEG_LOSSLESS}, {}),
    "Force alone": ({"Force": True}, {"PatientID": ...}),
    "unknown field": ({"Keeps": ["StudyDescription"]}, {"StudyDescription": None}),
}


@pytest.mark.parametrize("row", ANONYMIZATIONS.values(), ids=ANONYMIZATIONS)
def test_anonymized_instance_is_the_same_file(book, row):
    body, expected = row
    check_file(book, "/instances/{instance}/anonymize", body, expected)


@pytest.mark.parametrize("verb", ["modify", "anonymize"])
def test_lossy_quality_reaches_the_coder(book, verb):
    sizes = []
    for quality in (None, 10, 100):
        body = {
            "Transcode": JPEG_BASELINE,
            **({} if quality is None else {"LossyQuality": quality}),
        }
        dataset = check_file(book, f"/instances/{{smooth}}/{verb}", body, {"SOPInstanceUID": ...})
        assert dataset.LossyImageCompression == "01"
        sizes.append(len(dataset.PixelData))
    assert sizes[1] < sizes[2]


REFUSED: dict[str, Any] = {
    **{
        f"{field} {name} without Force": {field: value(name)}
        for name in IDENTIFIERS
        for field, value in (
            ("Replace", lambda name: {name: "1.2"}),
            ("Keep", lambda name: [name]),
            ("Remove", lambda name: [name]),
        )
    },
    **{f"Remove {name}": {"Remove": [name], "Force": True} for name in IDENTIFIERS},
    "a cast that fails": {"Replace": {"Rows": "many"}},
    "a number for a text": {"Replace": {"PatientComments": 5}},
    "a document in the place of none": {"Replace": {"EncapsulatedDocument": EMBEDDED}},
    "a value for a sequence": {"Replace": {"ProcedureCodeSequence": "text"}},
    "a list for a text": {"Replace": {"PatientName": [{"CodeValue": "1"}]}},
    "an unknown tag": {"Replace": {"NoSuchTag": "x"}},
    "an unknown tag to remove": {"Remove": ["NoSuchTag"]},
    "an unknown tag to keep": {"Keep": ["NoSuchTag"]},
    "a path that is none": {"Replace": {"RequestAttributesSequence[0]": "x"}},
    "a path with a bad index": {"Replace": {"RequestAttributesSequence[x].CodeValue": "x"}},
    "an unknown syntax": {"Transcode": "1.2.3"},
    "a syntax that is no text": {"Transcode": 5},
    "Replace of a list": {"Replace": ["PatientName"]},
    "Remove of an object": {"Remove": {"PatientName": "x"}},
    "Keep of numbers": {"Keep": [5]},
    "Force of a text": {"Force": "yes"},
    "a list": ["Replace"],
}

REFUSED_TO_MODIFY = {**REFUSED, "RemovePrivateTags of a text": {"RemovePrivateTags": "yes"}}

REFUSED_TO_ANONYMIZE = {
    **REFUSED,
    "KeepPrivateTags of a text": {"KeepPrivateTags": "yes"},
    "an unknown edition": {"DicomVersion": "2022a"},
    "an edition that is no text": {"DicomVersion": 2008},
}


@pytest.mark.parametrize("body", REFUSED_TO_MODIFY.values(), ids=REFUSED_TO_MODIFY)
def test_modification_is_refused_the_same(book, body):
    refuse(book, "/instances/{instance}/modify", body)


@pytest.mark.parametrize("body", REFUSED_TO_ANONYMIZE.values(), ids=REFUSED_TO_ANONYMIZE)
def test_anonymization_is_refused_the_same(book, body):
    refuse(book, "/instances/{instance}/anonymize", body)


def refuse(pair: Pair, path: str, body: Any) -> None:
    """Check that both refuse what they are asked for, in the same way."""
    assert pair.ask("POST", path, json=body)[0].status_code >= 400


@pytest.mark.parametrize("verb", ["modify", "anonymize"])
@pytest.mark.parametrize("instance", ["{study}", "unknown"])
def test_what_is_no_instance_is_refused_the_same(book, instance, verb):
    refuse(book, f"/instances/{instance}/{verb}", {})
