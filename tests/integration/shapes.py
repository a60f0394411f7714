"""What clients of `integration.endurance` know: the shape of their studies, and the images."""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydicom import Dataset
from pydicom.uid import MRImageStorage

from factory import make_series, uid
from integration.anonymizing import SUBJECT

PATIENTS = SUBJECT["PatientID"]
"""How the Patient IDs of all clients begin; those of anonymized copies do not."""

BANNER = 4
"""Rows at the top of an image that are painted over where it is anonymized."""

PROFILE: dict[str, Any] = {
    "Version": "1",
    "Options": ["CleanDescriptors", "RetainLongitudinalModifiedDates", "RetainSafePrivate"],
    "Rules": [
        {
            "When": {"Tag": "Modality", "Equals": "CT"},
            "Pixels": {"Fill": [[0, 0, "Columns", BANNER]]},
        }
    ],
}

UNWANTED = "unwanted"
"""Study Description of what is rejected at reception."""

SeriesShown: TypeAlias = frozenset[str]
"""What the instances of a series show."""


@dataclass(frozen=True)
class Shape:
    """A study as the model has it: whose it is, and what its series show."""

    patient: str
    series: frozenset[SeriesShown]


Model: TypeAlias = Counter[Shape]


@dataclass(frozen=True)
class Image:
    """A file on the server: what it shows, and whose it is."""

    file: bytes
    shown: str
    patient: str


@dataclass(frozen=True)
class Held:
    """A study on the server."""

    orthanc_id: str
    shape: Shape
    series: dict[SeriesShown, str]
    files: dict[str, bytes]


@dataclass(frozen=True)
class Reshape:
    """A split or merge that was drawn: what goes, and what comes in its place."""

    path: str
    body: dict[str, Any]
    goes: tuple[Shape, ...]
    comes: tuple[Shape, ...]

    def on(self, model: Model) -> Model:
        """Return the model after it."""
        return model - Counter(self.goes) + Counter(self.comes)


@dataclass(frozen=True)
class Origin:
    """What an instance keeps wherever it goes."""

    study: str
    modality: str
    acquisition: int


def make_image(study: str, patient: str, modality: str, number: int, index: int) -> bytes:
    """Return an image that shows what no other does."""
    elements: dict[str, Any] = {
        **SUBJECT,
        "PatientID": patient,
        "StudyDescription": study,
        "Modality": modality,
        "SeriesNumber": number,
        "InstanceNumber": 1 + index,
        "AcquisitionNumber": 1 + index % 2,
        "ImagePositionPatient": [0.0, 0.0, float(index)],
        "SOPInstanceUID": uid(study, modality, index),
        "seed": zlib.crc32(f"{study} {modality} {index}".encode()),
    }
    if modality == "MR":
        elements["SOPClassUID"] = MRImageStorage
    (file,) = make_series(1, study=study, series=modality, **elements)
    return file


def expected_pixels(original: Dataset) -> bytes:
    """Return what an anonymized copy of an image has to show."""
    pixels: bytes = original.PixelData
    if original.Modality != "CT":
        return pixels
    painted = original.Columns * BANNER * original.BitsAllocated // 8
    return bytes(painted) + pixels[painted:]
