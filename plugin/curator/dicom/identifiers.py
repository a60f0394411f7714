"""Compute Orthanc's identifiers, and UIDs that derive from what they stand for."""

from __future__ import annotations

import hashlib

_UUID_BITS = 128


def orthanc_identifiers(
    patient_id: str, study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str
) -> tuple[str, str, str, str]:
    """Return Orthanc's identifiers of patient, study, series and instance.

    Orthanc hashes the DICOM identifiers of the levels down to the one in question, so what a new
    instance will be called is known before it is stored.
    """
    levels = (patient_id, study_instance_uid, series_instance_uid, sop_instance_uid)
    patient, study, series, instance = ("|".join(levels[: depth + 1]) for depth in range(4))
    return _hashed(patient), _hashed(study), _hashed(series), _hashed(instance)


def _hashed(text: str) -> str:
    digest = hashlib.sha1(text.encode("utf-8"), usedforsecurity=False).hexdigest()
    return "-".join(digest[start : start + 8] for start in range(0, 40, 8))


def derived_uid(*parts: str) -> str:
    """Return the UID that belongs to `parts`: the same parts always give the same one.

    The UID is an UUID of version 8 under the root 2.25 (PS3.5 B.2, RFC 9562 5.8), taken from the
    SHA-256 of the parts, each with its length, so that ("a", "bc") and ("ab", "c") differ.
    """
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode("utf-8")
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return uid_of(digest.digest())


def uid_of(digest: bytes) -> str:
    """Return the UID that the first 128 bits of a digest make as an UUID of version 8."""
    number = int.from_bytes(digest[: _UUID_BITS // 8], "big")
    return f"2.25.{_as_uuid(number)}"


def _as_uuid(number: int) -> int:
    """Set the version and variant bits of a UUID."""
    number = number & ~(0xF << 76) | 8 << 76
    return number & ~(0x3 << 62) | 0x2 << 62
