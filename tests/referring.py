"""Write objects that refer to other instances: segmentations, RT objects, reports and the like.

Each function takes instances as files and refers to all of them. Patient, study, character set and
frame of reference are those of the first one; identifiers follow from its study and from the label,
so the same arguments always give the same bytes.

>>> images = ct_series(3)
>>> study = [*images, make_segmentation(images), make_report(images)]
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.uid import (
    ComprehensiveSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    RTDoseStorage,
    RTPlanStorage,
    RTStructureSetStorage,
    SegmentationStorage,
    SpatialRegistrationStorage,
)

from curator.reshape.modules import STUDY_LEVEL
from factory import AXIAL, default_elements, make_instance, noise, uid

DETACHED_STUDY = "1.2.840.10008.3.1.2.3.1"
SIZE = 4

Items = list[dict[str, Any]]


@dataclass(frozen=True)
class Target:
    """An instance that is referred to."""

    dataset: Dataset

    @property
    def study(self) -> str:
        return str(self.dataset.StudyInstanceUID)

    @property
    def series(self) -> str:
        return str(self.dataset.SeriesInstanceUID)

    @property
    def item(self) -> dict[str, Any]:
        """The item of a sequence that refers to it (PS3.3 10.8)."""
        return {
            "ReferencedSOPClassUID": self.dataset.SOPClassUID,
            "ReferencedSOPInstanceUID": self.dataset.SOPInstanceUID,
        }


def make_segmentation(
    instances: Sequence[bytes], *, label: str = "SEGMENTATION", **elements: Any
) -> bytes:
    """Write a segmentation with a frame per instance (PS3.3 A.51).

    Instances of other studies than its own are listed in Studies Containing Other Referenced
    Instances Sequence, as Common Instance Reference has it (PS3.3 C.12.2).
    """
    targets = _targets(instances)
    own = {
        "SOPClassUID": SegmentationStorage,
        "Modality": "SEG",
        "ImageType": ["DERIVED", "PRIMARY"],
        "ContentLabel": label,
        "ContentCreatorName": "CREATOR^TEST",
        "SegmentationType": "FRACTIONAL",
        "SegmentationFractionalType": "PROBABILITY",
        "MaximumFractionalValue": 255,
        "SegmentSequence": [
            {"SegmentNumber": 1, "SegmentLabel": label, "SegmentAlgorithmType": "MANUAL"}
        ],
        **_pixels(bits=8),
        "NumberOfFrames": len(targets),
        **_common_instance_reference(targets, elements),
        "SharedFunctionalGroupsSequence": [
            {
                "PlaneOrientationSequence": [{"ImageOrientationPatient": list(AXIAL)}],
                "DerivationImageSequence": [_derivation(targets)],
            }
        ],
        "PerFrameFunctionalGroupsSequence": [
            {"DerivationImageSequence": [_derivation([target])]} for target in targets
        ],
    }
    size = SIZE * SIZE * len(targets)
    return _make(targets, label, own, elements, pixels=noise(size, _seed(label)))


def make_structure_set(
    instances: Sequence[bytes], *, label: str = "STRUCTURES", **elements: Any
) -> bytes:
    """Write an RT structure set with a contour on each instance (PS3.3 A.19)."""
    targets = _targets(instances)
    frame = str(targets[0].dataset.get("FrameOfReferenceUID", uid(label, "frame")))
    studies = [
        {
            "ReferencedSOPClassUID": DETACHED_STUDY,
            "ReferencedSOPInstanceUID": study["StudyInstanceUID"],
            "RTReferencedSeriesSequence": study["ReferencedSeriesSequence"],
        }
        for study in _hierarchy(targets, "ContourImageSequence")
    ]
    contours = [
        {
            "ContourImageSequence": [target.item],
            "ContourGeometricType": "POINT",
            "NumberOfContourPoints": 1,
            "ContourData": [0.0, 0.0, float(number)],
        }
        for number, target in enumerate(targets)
    ]
    own = {
        "SOPClassUID": RTStructureSetStorage,
        "Modality": "RTSTRUCT",
        "StructureSetLabel": label,
        "ReferencedFrameOfReferenceSequence": [
            {"FrameOfReferenceUID": frame, "RTReferencedStudySequence": studies}
        ],
        "StructureSetROISequence": [
            {
                "ROINumber": 1,
                "ReferencedFrameOfReferenceUID": frame,
                "ROIName": label,
                "ROIGenerationAlgorithm": "MANUAL",
            }
        ],
        "ROIContourSequence": [{"ReferencedROINumber": 1, "ContourSequence": contours}],
        "RTROIObservationsSequence": [
            {"ObservationNumber": 1, "ReferencedROINumber": 1, "RTROIInterpretedType": "ORGAN"}
        ],
    }
    return _make(targets, label, own, elements)


def make_plan(structure_sets: Sequence[bytes], *, label: str = "PLAN", **elements: Any) -> bytes:
    """Write an RT plan on structure sets (PS3.3 A.20)."""
    targets = _targets(structure_sets)
    own = {
        "SOPClassUID": RTPlanStorage,
        "Modality": "RTPLAN",
        "RTPlanLabel": label,
        "RTPlanGeometry": "PATIENT",
        "ReferencedStructureSetSequence": [target.item for target in targets],
    }
    return _make(targets, label, own, elements)


def make_dose(plans: Sequence[bytes], *, label: str = "DOSE", **elements: Any) -> bytes:
    """Write an RT dose of plans (PS3.3 A.18)."""
    targets = _targets(plans)
    own = {
        "SOPClassUID": RTDoseStorage,
        "Modality": "RTDOSE",
        "SeriesDescription": label,
        **_pixels(bits=16),
        "DoseUnits": "GY",
        "DoseType": "PHYSICAL",
        "DoseSummationType": "PLAN",
        "DoseGridScaling": 0.001,
        "ReferencedRTPlanSequence": [target.item for target in targets],
    }
    return _make(targets, label, own, elements, pixels=noise(2 * SIZE * SIZE, _seed(label)))


def make_presentation_state(
    instances: Sequence[bytes], *, label: str = "PRESENTATION", **elements: Any
) -> bytes:
    """Write a grayscale softcopy presentation state (PS3.3 A.33.1)."""
    targets = _targets(instances)
    series = [
        one
        for study in _hierarchy(targets, "ReferencedImageSequence")
        for one in study["ReferencedSeriesSequence"]
    ]
    own = {
        "SOPClassUID": GrayscaleSoftcopyPresentationStateStorage,
        "Modality": "PR",
        "FrameOfReferenceUID": None,
        "ContentLabel": label,
        "ContentCreatorName": "CREATOR^TEST",
        "PresentationCreationDate": "20240102",
        "PresentationCreationTime": "120000",
        "ReferencedSeriesSequence": series,
        "DisplayedAreaSelectionSequence": [
            {
                "ReferencedImageSequence": [target.item for target in targets],
                "DisplayedAreaTopLeftHandCorner": [1, 1],
                "DisplayedAreaBottomRightHandCorner": [SIZE, SIZE],
                "PresentationSizeMode": "SCALE TO FIT",
            }
        ],
        "PresentationLUTShape": "IDENTITY",
    }
    return _make(targets, label, own, elements)


def make_report(instances: Sequence[bytes], *, label: str = "REPORT", **elements: Any) -> bytes:
    """Write a comprehensive SR that shows each instance (PS3.3 A.35.3)."""
    own = {"SOPClassUID": ComprehensiveSRStorage, "Modality": "SR"}
    return _document(instances, label, own, ("121111", "Summary"), elements)


def make_key_objects(
    instances: Sequence[bytes], *, label: str = "KEY OBJECTS", **elements: Any
) -> bytes:
    """Write a key object selection (PS3.3 A.35.4)."""
    own = {"SOPClassUID": KeyObjectSelectionDocumentStorage, "Modality": "KO"}
    return _document(instances, label, own, ("113000", "Of Interest"), elements)


def make_registration(
    instances: Sequence[bytes], *, label: str = "REGISTRATION", **elements: Any
) -> bytes:
    """Write a spatial registration of each instance (PS3.3 A.39.1)."""
    targets = _targets(instances)
    identity = [float(row == column) for row in range(4) for column in range(4)]
    matrix = {
        "FrameOfReferenceTransformationMatrix": identity,
        "FrameOfReferenceTransformationMatrixType": "RIGID",
    }
    own = {
        "SOPClassUID": SpatialRegistrationStorage,
        "Modality": "REG",
        "ContentLabel": label,
        "ContentCreatorName": "CREATOR^TEST",
        **_common_instance_reference(targets, elements),
        "RegistrationSequence": [
            {
                "ReferencedImageSequence": [target.item],
                "MatrixRegistrationSequence": [{"MatrixSequence": [matrix]}],
            }
            for target in targets
        ],
    }
    return _make(targets, label, own, elements)


Maker = Callable[..., bytes]

#: What refers to images, by modality.
ON_IMAGES: Mapping[str, Maker] = {
    "SEG": make_segmentation,
    "RTSTRUCT": make_structure_set,
    "PR": make_presentation_state,
    "SR": make_report,
    "KO": make_key_objects,
    "REG": make_registration,
}

#: What refers to other objects: RT plans to structure sets, RT doses to plans.
ON_OBJECTS: Mapping[str, Maker] = {"RTPLAN": make_plan, "RTDOSE": make_dose}


def _document(
    instances: Sequence[bytes],
    label: str,
    own: Mapping[str, Any],
    title: tuple[str, str],
    elements: Mapping[str, Any],
) -> bytes:
    targets = _targets(instances)
    shown = [
        {"RelationshipType": "CONTAINS", "ValueType": "IMAGE", "ReferencedSOPSequence": [one.item]}
        for one in targets
    ]
    text = {
        "RelationshipType": "CONTAINS",
        "ValueType": "TEXT",
        "ConceptNameCodeSequence": [_code("113012", "Key Object Description")],
        "TextValue": label,
    }
    content = {
        "FrameOfReferenceUID": None,
        "ValueType": "CONTAINER",
        "ContinuityOfContent": "SEPARATE",
        "ConceptNameCodeSequence": [_code(*title)],
        "CurrentRequestedProcedureEvidenceSequence": _hierarchy(targets, "ReferencedSOPSequence"),
        "ContentSequence": [text, *shown],
    }
    return _make(targets, label, {**own, **content}, elements)


def _code(value: str, meaning: str) -> dict[str, str]:
    return {"CodeValue": value, "CodingSchemeDesignator": "DCM", "CodeMeaning": meaning}


def _derivation(targets: Sequence[Target]) -> dict[str, Any]:
    purpose = [_code("121322", "Source Image for Image Processing Operation")]
    sources = [{**one.item, "PurposeOfReferenceCodeSequence": purpose} for one in targets]
    return {
        "SourceImageSequence": sources,
        "DerivationCodeSequence": [_code("113076", "Segmentation")],
    }


def _common_instance_reference(
    targets: Sequence[Target], elements: Mapping[str, Any]
) -> dict[str, Any]:
    """List targets by series, those of other studies by study (PS3.3 C.12.2)."""
    own_study = elements.get("StudyInstanceUID", targets[0].study)
    found: dict[str, Any] = {}
    others = []
    for study in _hierarchy(targets, "ReferencedInstanceSequence"):
        if study["StudyInstanceUID"] == own_study:
            found["ReferencedSeriesSequence"] = study["ReferencedSeriesSequence"]
        else:
            others.append(study)
    if others:
        found["StudiesContainingOtherReferencedInstancesSequence"] = others
    return found


def _hierarchy(targets: Sequence[Target], instances_keyword: str) -> Items:
    """List targets under their series, and those under their study (PS3.3 C.17.2.1)."""
    found: dict[str, dict[str, Items]] = {}
    for target in targets:
        found.setdefault(target.study, {}).setdefault(target.series, []).append(target.item)
    return [
        {
            "StudyInstanceUID": study,
            "ReferencedSeriesSequence": [
                {"SeriesInstanceUID": one, instances_keyword: items}
                for one, items in series.items()
            ],
        }
        for study, series in found.items()
    ]


def _targets(instances: Sequence[bytes]) -> list[Target]:
    return [Target(dcmread(BytesIO(file), stop_before_pixels=True)) for file in instances]


def _pixels(bits: int) -> dict[str, Any]:
    return {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": SIZE,
        "Columns": SIZE,
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": 0,
    }


def _seed(label: str) -> int:
    return zlib.crc32(label.encode())


def _make(
    targets: Sequence[Target],
    label: str,
    own: Mapping[str, Any],
    elements: Mapping[str, Any],
    pixels: bytes = b"",
) -> bytes:
    shared = _shared_with(targets[0].dataset)
    study = elements.get("StudyInstanceUID", targets[0].study)
    identity = {
        "SeriesInstanceUID": uid(study, label),
        "SOPInstanceUID": uid(study, label, "instance"),
        "SeriesDescription": label,
        "SeriesNumber": 100 + _seed(label) % 10000,
        "InstanceNumber": 1,
    }
    no_image = dict.fromkeys(_OF_IMAGES)
    values = {**no_image, **shared, **identity, **own, **elements}
    return make_instance(pixels=pixels, **values)


def _shared_with(dataset: Dataset) -> dict[str, Any]:
    """Return what objects of one study have in common, None for what is not there."""
    found: dict[str, Any] = {
        keyword: None for keyword in default_elements() if tag_for_keyword(keyword) in STUDY_LEVEL
    }
    for element in dataset:
        if element.tag in STUDY_LEVEL or element.keyword in _SHARED:
            found[element.keyword] = element.value
    return found


_SHARED = ("SpecificCharacterSet", "FrameOfReferenceUID")

_OF_IMAGES = (
    *("ImageType", "AcquisitionDate", "AcquisitionTime", "AcquisitionNumber"),
    *("ImagePositionPatient", "ImageOrientationPatient", "SliceThickness", "PixelSpacing"),
    *("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated"),
    *("BitsStored", "HighBit", "PixelRepresentation", "RescaleIntercept", "RescaleSlope"),
    "FrameOfReferenceUID",
)
