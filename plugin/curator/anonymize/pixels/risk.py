"""Tell which images may have identifiers burned in (PS3.15 E.3.1).

An instance is of a risky kind where one of these holds:

- its modality is ultrasound, endoscopy, photography, microscopy, a document, "other", or unknown;
- its SOP class is one of ultrasound, secondary capture, visible light or hard copy;
- it is a video, or its pixels lie elsewhere;
- it was captured or digitized: Conversion Type, or Image Type says so;
- Burned In Annotation says anything but ``NO``.

Two more kinds are risky unless Burned In Annotation says ``NO``: color images, since the other
modalities measure in gray; and those of Image Type ``SECONDARY`` that do not name a reconstruction.
The word of a device that an ultrasound image or a capture holds no annotation is not believed.
"""

from __future__ import annotations

from typing import Final

from curator.anonymize.pixels.layout import PHOTOMETRIC_INTERPRETATION, text
from curator.dicom.instance import Instance
from curator.dicom.tags import SOP_CLASS_UID, Tag

IMAGE_TYPE: Final = Tag(0x00080008)
MODALITY: Final = Tag(0x00080060)
CONVERSION_TYPE: Final = Tag(0x00080064)
BURNED_IN_ANNOTATION: Final = Tag(0x00280301)
PIXEL_DATA_PROVIDER_URL: Final = Tag(0x00287FE0)

RISKY_MODALITIES: Final = frozenset({
    "BDUS", "BMD", "DMS", "DOC", "EC", "EOG", "EPS", "ES", "FID", "GM", "HC", "IVUS", "OP", "OPV",
    "OSS", "OT", "SC", "SM", "TG", "US", "VF", "XC",
})  # fmt: skip
"""Modalities whose images are screens, photographs or paper (PS3.3 C.7.3.1.1.1)."""

_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
RISKY_CLASSES: Final = tuple(
    _STORAGE + family for family in ("3", "3.1", "6", "6.1", "6.2", "6.3", "29", "30")
)
"""Ultrasound, also retired, and hard copies."""

RISKY_FAMILIES: Final = (f"{_STORAGE}7.", f"{_STORAGE}77.1.")
"""Secondary capture and visible light: a class and all below it."""

VIDEO: Final = (
    *(f"1.2.840.10008.1.2.4.{number}" for number in range(100, 109)),
    "1.2.840.10008.1.2.7.",
)
"""How the transfer syntaxes of MPEG-2, MPEG-4, HEVC and SMPTE ST 2110 begin (PS3.5 A.4.5 ff.)."""

_ELSEWHERE: Final = (
    "1.2.840.10008.1.2.4.94",
    "1.2.840.10008.1.2.4.95",
    "1.2.840.10008.1.2.4.204",
    "1.2.840.10008.1.2.4.205",
)
"""JPIP: the pixels are at a URL (PS3.5 A.6)."""

_CAPTURES: Final = (
    "CAPTURE", "CURVE", "DOSE", "LABEL", "OVERVIEW", "PROT", "REPORT", "SCANNED", "SCREEN",
    "THUMBNAIL", "VOLREN",
)  # fmt: skip
"""Parts of terms of Image Type that vendors give to screens, reports and labels."""

_RECONSTRUCTIONS: Final = frozenset({
    "ADC", "AVERAGE", "FA", "MIN_IP", "MINIP", "MIP", "MNIP", "MPR", "PROJECTION", "REFORMATTED",
    "RESAMPLED", "SUBTRACTION", "THICK",
})  # fmt: skip
"""Words of Image Type that tell how an image was computed from others of its kind."""

_GRAY: Final = ("", "MONOCHROME1", "MONOCHROME2")


def is_video(transfer_syntax_uid: str) -> bool:
    """Tell whether a transfer syntax is one of videos."""
    return transfer_syntax_uid.startswith(VIDEO)


def are_elsewhere(instance: Instance) -> bool:
    """Tell whether the pixels of an instance are not in its file."""
    return (
        PIXEL_DATA_PROVIDER_URL in instance.site.tags
        or instance.meta.transfer_syntax_uid in _ELSEWHERE
    )


def risk_of(instance: Instance) -> str | None:
    """Return why pixels may hold identifiers, None where they are of no risky kind.

    Returns
    -------
    str or None
        A reason in words, without any value of the instance but its modality or class by kind.
    """
    site = instance.site
    kind = _risky_kind(instance)
    if kind is not None:
        return kind
    annotation = text(site, BURNED_IN_ANNOTATION)
    if annotation == "NO":
        return None
    if annotation:
        return "BurnedInAnnotation does not say NO"
    if text(site, PHOTOMETRIC_INTERPRETATION) not in _GRAY:
        return "a color image"
    if _is_secondary(text(site, IMAGE_TYPE)):
        return "ImageType SECONDARY"
    return None


def _risky_kind(instance: Instance) -> str | None:
    site = instance.site
    modality = text(site, MODALITY)
    if not modality:
        return "an unknown modality"
    if modality in RISKY_MODALITIES:
        return f"modality {modality}"
    sop_class_uid = text(site, SOP_CLASS_UID)
    if sop_class_uid in RISKY_CLASSES or f"{sop_class_uid}.".startswith(RISKY_FAMILIES):
        return "the SOP class"
    if is_video(instance.meta.transfer_syntax_uid) or are_elsewhere(instance):
        return "pixels that are not in the file as an image"
    if text(site, CONVERSION_TYPE):
        return "ConversionType"
    if any(word in text(site, IMAGE_TYPE) for word in _CAPTURES):
        return "ImageType of a capture"
    return None


def _is_secondary(image_type: str) -> bool:
    terms = image_type.split("\\")
    words = {word for term in terms[2:] for word in term.replace("_", " ").split()} | {*terms[2:]}
    return "SECONDARY" in terms and not words & _RECONSTRUCTIONS
