"""What the tests of the Book's page "Anonymization and modification" work on, and look at."""

import re
from functools import cache
from typing import Any

from pydicom import Dataset
from pydicom.tag import BaseTag, Tag

from factory import Private, ct_series, make_instance, mr_series, uid
from integration.pair import Pair

IDENTIFIERS = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")

PLAIN: dict[str, Any] = {
    "OtherPatientNames": "OTHER^NAME",
    "OperatorsName": "OPERATOR^TEST",
    "StationName": "STATION",
    "ReferencedImageSequence": [
        {"ReferencedSOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "ReferencedSOPInstanceUID": one}
        for one in (uid("study", "CT", 0), "1.2.3.4.5", "1.2.3.4.6")
    ],
    "ProcedureCodeSequence": [
        {"CodeValue": "P1", "CodingSchemeDesignator": "99T", "CodeMeaning": "first"}
    ],
    "RequestAttributesSequence": [
        {
            "RequestedProcedureID": f"RP{number}",
            "RequestedProcedureDescription": f"procedure {number}",
            "ScheduledProtocolCodeSequence": [
                {"CodeValue": f"C{number}{code}", "CodeMeaning": "code"} for code in range(2)
            ],
        }
        for number in range(3)
    ],
    "private": [
        Private(0x0029, "CURATOR TEST", 0x10, "LO", "private text"),
        Private(0x0029, "CURATOR TEST", 0x11, "OB", bytes(range(16))),
    ],
}
"""Elements that the examples name, sequences among them."""

SMOOTH: dict[str, Any] = {
    "BitsAllocated": 8,
    "BitsStored": 8,
    "HighBit": 7,
    "pixels": bytes(4 * (row + column) for row in range(16) for column in range(16)),
}
"""Pixels that every JPEG coder likes."""


def upload_patient(pair: Pair) -> None:
    """Upload a patient with two studies, the first with a CT and an MR series."""
    later, mr, ct = _patient()
    pair.upload(later, **{level: f"later {level}" for level in ("instance", "series", "study")})
    pair.upload(mr, instance="mr instance", series="mr series")
    pair.upload(ct)


@cache
def _patient() -> tuple[list[bytes], list[bytes], list[bytes]]:
    return (
        ct_series(1, study="later", series="later", StudyDescription="later", **PLAIN),
        mr_series(1, **PLAIN),
        ct_series(2, **PLAIN),
    )


def label_patient(pair: Pair) -> None:
    """Give a label to the CT instance and to all that it belongs to."""
    for level, collection in COLLECTIONS.items():
        pair.succeed("PUT", f"/{collection}/{{{level}}}/labels/{level}-label")


def upload_stranger(pair: Pair) -> None:
    """Upload an instance of another patient."""
    pair.upload([_stranger()], **{level: f"other {level}" for level in COLLECTIONS})


@cache
def _stranger() -> bytes:
    other = {"PatientID": "OTHER", "PatientName": "OTHER^PATIENT", **PLAIN}
    identity: dict[str, Any] = {key: uid("stranger", key) for key in IDENTIFIERS[1:]}
    return make_instance(**identity, **other)


COLLECTIONS = {
    "patient": "patients",
    "study": "studies",
    "series": "series",
    "instance": "instances",
}


def look_up(dataset: Dataset, path: str) -> Any:
    """Return the value at a path as the Book writes them, None where there is no such element."""
    *parents, last = path.split(".")
    for step in parents:
        name, _, index = step.partition("[")
        dataset = dataset[_tag(name)].value[int(index.removesuffix("]"))]
    tag = _tag(last)
    return dataset[tag].value if tag in dataset else None


def _tag(name: str) -> BaseTag:
    return Tag(name if name.isalpha() else re.sub("[^0-9a-f]", "", name))
