"""Instances full of identifiers, and anonymizers to get rid of them."""

from __future__ import annotations

import csv
from pathlib import Path as File
from typing import Any

import curator.anonymize
from curator.anonymize.anonymizer import Anonymizer
from curator.anonymize.keys import derived
from curator.anonymize.profile import Profile
from curator.anonymize.resolve import Resolver
from curator.anonymize.tables import load
from curator.anonymize.values import Values
from curator.dicom.edits import AppendItems, Edit, Edits, Replace, ReplaceEncoded
from curator.dicom.engine import apply, opened
from curator.dicom.filemeta import FileMeta, read_file_meta
from curator.dicom.tags import parse_path
from curator.models import validate

TABLES = File(curator.anonymize.__file__).parent / "data"

FAMILY = "QUILLONBY"
GIVEN = "ADELHEYD"
NAME = f"{FAMILY}^{GIVEN}"
PATIENT_ID = "MRN7734501"
ACCESSION = "ACX9981234"

SECRETS = (FAMILY, GIVEN, PATIENT_ID, ACCESSION)
"""What must not be left anywhere, in whatever case."""

KEY = b"k" * 32

COLUMNS = {
    "rtn_safe_priv": "RetainSafePrivate",
    "rtn_uids": "RetainUids",
    "rtn_dev_id": "RetainDeviceIdentity",
    "rtn_inst_id": "RetainInstitutionIdentity",
    "rtn_pat_chars": "RetainPatientCharacteristics",
    "rtn_long_full_dates": "RetainLongitudinalFullDates",
    "rtn_long_modif_dates": "RetainLongitudinalModifiedDates",
    "clean_desc": "CleanDescriptors",
    "clean_struct_cont": "CleanStructuredContent",
    "clean_graph": "CleanGraphics",
}
"""The options by their columns in Table E.1-1."""


def table(name: str) -> list[dict[str, str]]:
    """Read one of the tables of the standard."""
    with (TABLES / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def profile(**fields: Any) -> Profile:
    return validate(Profile, {"Name": "test", **fields})


def anonymizer(
    *, key: bytes = KEY, default_charset: str = "ISO_IR 100", **fields: Any
) -> Anonymizer:
    """Return an anonymizer for a profile with these fields, without pixels."""
    made = profile(**fields)
    values = Values(made, derived(key))
    return Anonymizer(made, Resolver(made, load()), values, None, default_charset=default_charset)


def secrets_in(data: bytes) -> list[str]:
    """Return the secrets that stand in an instance, the data set inflated."""
    instance = opened(data)
    text = data[: instance.meta.end] + instance.site.assembled({})
    lowered = text.lower()
    return [secret for secret in SECRETS if secret.lower().encode("ascii") in lowered]


def with_secrets(data: bytes) -> bytes:
    """Plant the secrets all over an instance: header, items, private, overlays, curves, head."""
    planted = apply(data, Edits({parse_path(path): edit for path, edit in _PLANTS.items()}))
    meta = read_file_meta(planted)
    preamble = f"{NAME} {PATIENT_ID}".encode("ascii").ljust(128, b"\0")
    elements = {
        **meta.elements,
        0x00020016: ("AE", f"{FAMILY} ".encode("ascii")[:16]),
        0x00020100: ("UI", b"1.2.3.4\0"),
        0x00020102: ("OB", PATIENT_ID.encode("ascii")),
    }
    return FileMeta(preamble, elements, meta.end).encoded() + planted[meta.end :]


def _even(text: str) -> bytes:
    return (text + " " * (len(text) % 2)).encode("ascii")


_ITEM = {
    parse_path("PatientName").tag: NAME,
    parse_path("AccessionNumber").tag: ACCESSION,
    parse_path("RequestedProcedureDescription").tag: f"CT of {FAMILY}",
}

_PLANTS: dict[str, Edit] = {
    "PatientName": Replace(NAME),
    "PatientID": Replace(PATIENT_ID),
    "AccessionNumber": Replace(ACCESSION),
    "PatientBirthDate": Replace("19320917"),
    "OtherPatientNames": Replace(NAME),
    "StudyDescription": Replace(f"Thorax {FAMILY}"),
    "ImageComments": Replace(f"seen by Dr. {GIVEN} {FAMILY}, {PATIENT_ID}"),
    "PatientComments": Replace(f"{GIVEN} {FAMILY}"),
    "OperatorsName": Replace(NAME),
    "RequestAttributesSequence": AppendItems((_ITEM,)),
    "OriginalAttributesSequence": AppendItems(
        ({parse_path("ModifiedAttributesSequence").tag: (_ITEM,)},)
    ),
    "ReferencedStudySequence": AppendItems(
        (
            {
                parse_path("ReferencedSOPClassUID").tag: "1.2.840.10008.3.1.2.3.1",
                parse_path("ReferencedSOPInstanceUID").tag: "1.2.3.4.5.6",
                parse_path("PatientName").tag: NAME,
            },
        )
    ),
    '(0029,"QUILLON MEDICAL",10)': Replace(NAME, "LO"),
    '(0029,"QUILLON MEDICAL",11)': ReplaceEncoded("UN", _even(PATIENT_ID)),
    '(0029,"QUILLON MEDICAL",12)': AppendItems((_ITEM,)),
    "6000,0022": Replace(f"Overlay of {FAMILY}", "LO"),
    "6000,1500": Replace(NAME, "LO"),
    "6000,3000": ReplaceEncoded("OW", _even(f"{NAME} {PATIENT_ID}")),
    "6000,4000": Replace(NAME, "LT"),
    "5000,3000": ReplaceEncoded("OW", _even(f"{NAME} {PATIENT_ID}")),
    "5000,2500": Replace(FAMILY, "LO"),
    "FFFC,FFFC": ReplaceEncoded("OB", _even(NAME)),
}
