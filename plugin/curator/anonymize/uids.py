"""Map UIDs by value: the same UID becomes the same new one wherever it stands (PS3.15 E.3.9)."""

from __future__ import annotations

import hmac
import re

from pydicom.datadict import keyword_dict

from curator.dicom.identifiers import uid_of
from curator.dicom.tags import Tag, dictionary_vr

_NAMES_A_KIND = re.compile(
    r"SOPClass|TransferSyntax|CodingSchemeUID|^ContextUID|MappingResourceUID"
    r"|ImplementationClassUID|SegmentationTemplateUID|PrivateInformationCreatorUID"
)

NAMING_A_KIND = frozenset(
    tag
    for keyword, tag in keyword_dict.items()
    if _NAMES_A_KIND.search(keyword) and dictionary_vr(Tag(tag)) == "UI"
)
"""Elements whose UIDs name a class, an encoding or a code, also where the UID is a private one."""

_OF_THE_STANDARD = re.compile(rb"1\.2\.840\.10008(?:\.(?:0|[1-9][0-9]{0,3})){1,10}")
"""UIDs as PS3.6 annex A has them: ten components below its root, with three digits, at most.

Newer editions may add some. Longer ones under that root are those of instances, from makers that
ought not to have taken it.
"""

_UIDS = re.compile(rb"[0-2](?:\.\d{1,39}){5,}(?:\\[0-2](?:\.\d{1,39}){5,})*[ \0]?")

_LONGEST_FIELD = 1024
_PADDING = b" \0"


def is_well_known(uid: bytes) -> bool:
    """Tell whether a UID without padding is one of the standard's registry (PS3.6 A)."""
    return _OF_THE_STANDARD.fullmatch(uid) is not None


def looks_like_uids(raw: bytes) -> bool:
    """Tell whether a value field of unknown VR can be nothing but UIDs of instances."""
    return len(raw) <= _LONGEST_FIELD and _UIDS.fullmatch(raw) is not None


def mapped(uid: bytes, key: bytes) -> bytes:
    """Return what a UID of an instance, or whatever else stands for one, becomes.

    Parameters
    ----------
    uid : bytes
        Without padding; what is no valid UID is mapped all the same.
    key : bytes
        For HMAC-SHA-256.

    Returns
    -------
    bytes
        A UUID of version 8 under the root 2.25 (PS3.5 B.2, RFC 9562 5.8); `uid` itself where it is
        empty or of the standard's registry.
    """
    if not uid or is_well_known(uid):
        return uid
    return uid_of(hmac.digest(key, uid, "sha256")).encode("ascii")


def mapped_field(raw: bytes, key: bytes) -> bytes:
    """Return a value field of VR UI with each of its UIDs mapped.

    Parameters
    ----------
    raw : bytes
        One or several UIDs, padded.
    key : bytes
        For HMAC-SHA-256.

    Returns
    -------
    bytes
        Of even length; `raw` itself where no UID is mapped.
    """
    uids = [uid.strip(_PADDING) for uid in raw.split(b"\\")]
    new = [mapped(uid, key) for uid in uids]
    if new == uids:
        return raw
    field = b"\\".join(new)
    return field + b"\0" if len(field) % 2 else field
