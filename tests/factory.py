"""Write synthetic instances, series and studies with pydicom.

Nothing here comes from a patient: names, identifiers, dates and pixels are made up from a seed, and
the same arguments always give the same bytes.

>>> study = make_study([ct_series(count=3), mr_series(count=4, echo_times=(10.0, 80.0))])
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any

from pydicom import dcmwrite
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    MRImageStorage,
    generate_uid,
)

__all__ = [
    "DeflatedExplicitVRLittleEndian",
    "ExplicitVRBigEndian",
    "ExplicitVRLittleEndian",
    "ImplicitVRLittleEndian",
    "JPEGBaseline8Bit",
    "Private",
    "b_value_elements",
    "ct_series",
    "instance_of_size",
    "make_instance",
    "make_series",
    "make_study",
    "mr_series",
    "multi_frame",
    "uid",
]

ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)


@dataclass(frozen=True)
class Private:
    """A private element: `element` is its number within the block of `creator`."""

    group: int
    creator: str
    element: int
    vr: str
    value: Any


def uid(*parts: object) -> str:
    """Return the UID of these parts, always the same."""
    return generate_uid(entropy_srcs=["curator-tests", *map(str, parts)])


@lru_cache(maxsize=64)
def noise(size: int, seed: int) -> bytes:
    """Return pixels nobody would mistake for others: the same for the same seed."""
    return random.Random(seed).randbytes(size)


def default_elements(name: str = "default") -> dict[str, Any]:
    """Return a minimal valid CT image, as keywords and values."""
    return {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": uid(name, "instance"),
        "StudyInstanceUID": uid(name, "study"),
        "SeriesInstanceUID": uid(name, "series"),
        "FrameOfReferenceUID": uid(name, "frame"),
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "StudyDate": "20240102",
        "SeriesDate": "20240102",
        "AcquisitionDate": "20240102",
        "ContentDate": "20240102",
        "StudyTime": "101500",
        "SeriesTime": "101600",
        "AcquisitionTime": "101700.250000",
        "ContentTime": "101701",
        "AccessionNumber": "ACC0001",
        "Modality": "CT",
        "Manufacturer": "Synthetic",
        "InstitutionName": "Test Hospital",
        "ReferringPhysicianName": "REFERRER^TEST",
        "StudyDescription": "Synthetic study",
        "SeriesDescription": "Synthetic series",
        "PatientName": "SYNTHETIC^PATIENT",
        "PatientID": "SYN0001",
        "PatientBirthDate": "19600203",
        "PatientSex": "O",
        "StudyID": "1",
        "SeriesNumber": 1,
        "AcquisitionNumber": 1,
        "InstanceNumber": 1,
        "ImagePositionPatient": [0.0, 0.0, 0.0],
        "ImageOrientationPatient": list(AXIAL),
        "SliceThickness": 1.0,
        "PixelSpacing": [0.5, 0.5],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": 16,
        "Columns": 16,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "RescaleIntercept": 0,
        "RescaleSlope": 1,
    }


def make_instance(
    *,
    transfer_syntax: str = ExplicitVRLittleEndian,
    pixels: bytes | None = None,
    seed: int = 0,
    private: Iterable[Private] = (),
    undefined_lengths: bool = False,
    **elements: Any,
) -> bytes:
    """Write one instance.

    Parameters
    ----------
    transfer_syntax : str, optional
        Transfer syntax UID; with a compressed one, `pixels` become the one fragment.
    pixels : bytes, optional
        Pixel data; ``b""`` for none, by default noise that fills the matrix.
    seed : int, optional
        Seed of the noise.
    private : iterable of Private, optional
        Private elements; their blocks are reserved as needed.
    undefined_lengths : bool, optional
        Give sequences and their items undefined length.
    **elements
        Values by keyword, over those of `default_elements`; None leaves the element out. The items
        of a sequence are mappings.
    """
    values = {**default_elements(), **elements}
    dataset = Dataset()
    _fill(dataset, {keyword: value for keyword, value in values.items() if value is not None})
    for element in private:
        block = dataset.private_block(element.group, element.creator, create=True)
        block.add_new(element.element, element.vr, element.value)
    if undefined_lengths:
        _undefine_lengths(dataset)
    _add_pixels(dataset, transfer_syntax, pixels, seed)
    return encoded(dataset, transfer_syntax)


def encoded(dataset: Dataset, transfer_syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Return `dataset` as a DICOM file."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", CTImageStorage)
    meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", uid("none"))
    meta.TransferSyntaxUID = UID(transfer_syntax)
    out = BytesIO()
    file = FileDataset(out, dataset, preamble=bytes(128), file_meta=meta)
    dcmwrite(out, file, enforce_file_format=True)
    return out.getvalue()


def _fill(dataset: Dataset, values: Mapping[str, Any]) -> None:
    for keyword, value in values.items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            value = Sequence([_item(item) for item in value])
        setattr(dataset, keyword, value)


def _item(values: Mapping[str, Any]) -> Dataset:
    item = Dataset()
    _fill(item, values)
    return item


def _undefine_lengths(dataset: Dataset) -> None:
    for element in dataset:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
                _undefine_lengths(item)


def _add_pixels(dataset: Dataset, transfer_syntax: str, pixels: bytes | None, seed: int) -> None:
    if pixels is None:
        bytes_per_pixel = dataset.BitsAllocated // 8 * dataset.SamplesPerPixel
        frames = int(dataset.get("NumberOfFrames", 1))
        pixels = noise(dataset.Rows * dataset.Columns * bytes_per_pixel * frames, seed)
    if not pixels:
        return
    element = DataElement(0x7FE00010, "OW", pixels)
    if transfer_syntax not in _NATIVE:
        element = DataElement(0x7FE00010, "OB", encapsulate([pixels]))
        element.is_undefined_length = True
    dataset.add(element)


_NATIVE = (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)


def b_value_elements(vendor: str, b_value: float) -> dict[str, Any]:
    """Return the arguments of `make_instance` that carry a b-value as `vendor` writes it.

    Parameters
    ----------
    vendor : {"standard", "siemens", "ge", "philips"}
        Where it stands: (0018,9087), or the vendor's private element.
    """
    if vendor == "standard":
        return {"DiffusionBValue": float(b_value)}
    private = {
        "siemens": Private(0x0019, "SIEMENS MR HEADER", 0x0C, "IS", str(int(b_value))),
        "ge": Private(0x0043, "GEMS_PARM_01", 0x39, "IS", [str(int(b_value)), "8", "0", "0"]),
        "philips": Private(0x2001, "Philips Imaging DD 001", 0x03, "FL", float(b_value)),
    }
    return {"Manufacturer": vendor.upper(), "private": [private[vendor]]}


def make_series(
    count: int, *, study: str = "study", series: str = "series", **elements: Any
) -> Iterator[bytes]:
    """Yield `count` instances of one series, a slice thickness apart.

    Parameters
    ----------
    count : int
        Number of instances.
    study, series : str, optional
        Names from which the UIDs follow; the same name gives the same UID.
    **elements
        Arguments of `make_instance` for all of them. A function gets the index of the instance and
        returns the value.
    """
    for index in range(count):
        own = {key: value(index) if callable(value) else value for key, value in elements.items()}
        position = {"ImagePositionPatient": [0.0, 0.0, float(index)], "InstanceNumber": index + 1}
        identity = {
            "StudyInstanceUID": uid(study),
            "SeriesInstanceUID": uid(study, series),
            "FrameOfReferenceUID": uid(study, "frame"),
            "SOPInstanceUID": uid(study, series, index),
            "SeriesDescription": series,
        }
        yield make_instance(**{**identity, **position, "seed": index, **own})


def ct_series(
    count: int = 10, *, size: int = 16, study: str = "study", series: str = "CT", **elements: Any
) -> list[bytes]:
    """Return a CT series of `size` x `size` pixels of 16 bits; 512 makes instances of 512 kB."""
    elements = {"Rows": size, "Columns": size, **elements}
    return list(make_series(count, study=study, series=series, **elements))


def mr_series(
    count: int = 10,
    *,
    study: str = "study",
    series: str = "MR",
    echo_times: tuple[float, ...] = (10.0,),
    b_values: tuple[float, ...] = (),
    vendor: str = "standard",
    temporal_positions: int = 1,
    image_types: tuple[tuple[str, ...], ...] = (("ORIGINAL", "PRIMARY", "M", "ND"),),
    **elements: Any,
) -> list[bytes]:
    """Return an MR series that holds every combination of what it is made of, at every position.

    Parameters
    ----------
    count : int, optional
        Positions.
    echo_times, b_values, image_types : tuple, optional
        The values of EchoTime, of the b-value (as `vendor` writes it), of ImageType.
    temporal_positions : int, optional
        Number of TemporalPositionIdentifier.
    """
    parts = [
        (echo, b_value, image_type, temporal)
        for echo in echo_times
        for b_value in b_values or (None,)
        for image_type in image_types
        for temporal in range(1, temporal_positions + 1)
    ]

    def arguments(index: int) -> dict[str, Any]:
        echo, b_value, image_type, temporal = parts[index // count]
        return {
            "SOPClassUID": MRImageStorage,
            "Modality": "MR",
            "SOPInstanceUID": uid(study, series, index),
            "InstanceNumber": index + 1,
            "ImagePositionPatient": [0.0, 0.0, float(index % count)],
            "EchoTime": echo,
            "EchoNumbers": echo_times.index(echo) + 1,
            "RepetitionTime": 2000.0,
            "FlipAngle": 90.0,
            "ImageType": list(image_type),
            "TemporalPositionIdentifier": temporal,
            "NumberOfTemporalPositions": temporal_positions,
            **({} if b_value is None else b_value_elements(vendor, b_value)),
            "seed": index,
            **elements,
        }

    return [
        instance
        for index in range(count * len(parts))
        for instance in make_series(1, study=study, series=series, **arguments(index))
    ]


def multi_frame(frames: int = 4, **elements: Any) -> bytes:
    """Return an enhanced CT instance with its functional groups."""
    per_frame = [
        {
            "PlanePositionSequence": [{"ImagePositionPatient": [0.0, 0.0, float(frame)]}],
            "FrameContentSequence": [{"StackID": "1", "InStackPositionNumber": frame + 1}],
        }
        for frame in range(frames)
    ]
    shared = [{"PlaneOrientationSequence": [{"ImageOrientationPatient": list(AXIAL)}]}]
    values = {
        "SOPClassUID": ENHANCED_CT,
        "NumberOfFrames": frames,
        "SharedFunctionalGroupsSequence": shared,
        "PerFrameFunctionalGroupsSequence": per_frame,
        "ImagePositionPatient": None,
        "ImageOrientationPatient": None,
    }
    return make_instance(**{**values, **elements})


def make_study(series: Iterable[Iterable[bytes]]) -> list[bytes]:
    """Return the instances of several series as one list."""
    return [instance for instances in series for instance in instances]


def instance_of_size(
    elements: int, pixel_bytes: int, transfer_syntax: str = ExplicitVRLittleEndian
) -> bytes:
    """Return an instance with a given number of top-level elements, 40 or more, to measure with."""
    values = default_elements()
    for keyword in _OPTIONAL[: max(0, len(values) + 1 - elements)]:
        del values[keyword]
    dataset = Dataset()
    _fill(dataset, values)
    for keyword in _FILLERS[: max(0, elements - 1 - len(dataset))]:
        setattr(dataset, keyword, "FILLER")
    fillers = elements - 2 - len(dataset)
    if fillers > 0:
        block = dataset.private_block(0x0029, "CURATOR TEST", create=True)
        for number in range(fillers):
            block.add_new(number, "LO", f"filler {number}")
    _add_pixels(dataset, transfer_syntax, noise(pixel_bytes, 0), 0)
    return encoded(dataset, transfer_syntax)


_OPTIONAL = (
    *("FrameOfReferenceUID", "SeriesDate", "SeriesTime", "ContentDate", "ContentTime"),
    *("InstitutionName", "ReferringPhysicianName", "RescaleSlope", "RescaleIntercept"),
)

_FILLERS = (
    *("StationName", "ManufacturerModelName", "PatientComments", "BodyPartExamined"),
    *("ScanOptions", "DeviceSerialNumber", "SoftwareVersions", "ProtocolName", "FilterType"),
    *("ConvolutionKernel", "PatientPosition", "ImageComments", "ExposureModulationType"),
    *("RotationDirection", "AcquisitionProtocolDescription", "ImageLaterality", "GantryID"),
    *("PerformedProcedureStepID", "PerformedProcedureStepDescription", "MedicalAlerts"),
    *(
        "Allergies",
        "Occupation",
        "EthnicGroup",
        "AdditionalPatientHistory",
        "PatientReligiousPreference",
    ),
    *("OtherPatientNames", "PatientAddress", "CountryOfResidence", "RegionOfResidence"),
    *("PatientTelephoneNumbers", "InstitutionAddress", "InstitutionalDepartmentName"),
    *(
        "PhysiciansOfRecord",
        "PerformingPhysicianName",
        "OperatorsName",
        "AdmittingDiagnosesDescription",
    ),
    *("DerivationDescription", "ContrastBolusAgent"),
)
