"""The profiles that come along."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from curator.anonymize.profile import Profile
from curator.models import validate

_CLEAN = ("CleanDescriptors", "CleanStructuredContent", "CleanGraphics")
_RESEARCH = (
    "RetainLongitudinalModifiedDates",
    "RetainPatientCharacteristics",
    "RetainSafePrivate",
    *_CLEAN,
)

#: The last of the bins of HIPAA's Safe Harbor, 45 CFR 164.514(b)(2): 90 years and more.
_OLDEST = 89

_PROFILES: tuple[dict[str, Any], ...] = (
    {
        "Name": "basic",
        "Description": "The Basic Profile alone: every attribute that may identify is removed or "
        "replaced. Pixels stay as they are.",
    },
    {
        "Name": "basic-clean",
        "Description": "The Basic Profile; descriptions, content of reports and graphics are "
        "cleaned instead of removed.",
        "Options": _CLEAN,
    },
    {
        "Name": "basic-pixels",
        "Description": "The Basic Profile with clean pixels: images of a risky kind that no rule "
        "covers are refused.",
        "Options": ("CleanPixelData",),
    },
    {
        "Name": "research",
        "Description": "For studies over time: dates are shifted by one offset for each patient, "
        "ages over 89 become one group, safe private elements stay.",
        "Options": _RESEARCH,
        "Rules": ({"Tag": "PatientAge", "Action": "Generalize", "Above": _OLDEST},),
    },
    {
        "Name": "research-pixels",
        "Description": "As research, with clean pixels: images of a risky kind that no rule covers "
        "are refused.",
        "Options": (*_RESEARCH, "CleanPixelData"),
        "Rules": ({"Tag": "PatientAge", "Action": "Generalize", "Above": _OLDEST},),
    },
    {
        "Name": "full-dates",
        "Description": "For use under a data use agreement: dates stay as they are (a limited data "
        "set), as do physical characteristics and safe private elements.",
        "Options": (
            "RetainLongitudinalFullDates",
            "RetainPatientCharacteristics",
            "RetainSafePrivate",
            *_CLEAN,
        ),
    },
    {
        "Name": "device-quality",
        "Description": "For quality assurance of devices: device and institution stay known, and "
        "dates; the patient does not.",
        "Options": (
            "RetainLongitudinalFullDates",
            "RetainDeviceIdentity",
            "RetainInstitutionIdentity",
            "RetainSafePrivate",
            *_CLEAN,
        ),
    },
    {
        "Name": "teaching",
        "Description": "For teaching files: clean pixels, graphics and descriptions, sex and age "
        "group; no dates, no private elements.",
        "Options": ("RetainPatientCharacteristics", "CleanPixelData", *_CLEAN),
        "Rules": ({"Tag": "PatientAge", "Action": "Generalize", "Bins": 5, "Above": _OLDEST},),
    },
)


@cache
def shipped() -> Mapping[str, Profile]:
    """Return the profiles that come along, by name."""
    profiles = [validate(Profile, content) for content in _PROFILES]
    return MappingProxyType({profile.name: profile for profile in profiles})
