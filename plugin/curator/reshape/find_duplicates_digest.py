"""Recognize a file that was stored again under other identifiers; pure.

Orthanc's identifiers follow from the file, so no two instances of a server have the same bytes.
What a user means by the same file is one that was stored for the wrong patient too, or that was
copied under new UIDs: all that the acquisition has written is the same, only what says where it
belongs differs.
"""

import hashlib
import struct
from collections.abc import Collection, Iterator

from curator.dicom.engine import opened
from curator.dicom.site import Site
from curator.dicom.tags import SOP_INSTANCE_UID, Tag
from curator.reshape.modules import PATIENT

#: What a file is stored under, and what records how that was changed.
LEFT_OUT: frozenset[Tag] = PATIENT | {
    SOP_INSTANCE_UID,
    Tag(0x0020000D),  # StudyInstanceUID
    Tag(0x0020000E),  # SeriesInstanceUID
    Tag(0x04000561),  # OriginalAttributesSequence
}

_PADDING = Tag(0xFFFCFFFC)  # DataSetTrailingPadding

#: Before the elements of a level: how many they are.
_COUNT = struct.Struct("<Q")

#: Before each value: its tag, what it is, and its length in bytes or items.
_HEAD = struct.Struct("<IcQ")


def content_digest(data: bytes) -> str:
    """Return the SHA-256 of an instance without what it is stored under.

    Left out are preamble and File Meta Information (PS3.10 7.1); at top level Study, Series and SOP
    Instance UID, the attributes of the Patient Module (PS3.3 C.7.1.1) and Original Attributes
    Sequence (PS3.3 C.12.1.1.9); at every level group lengths (PS3.5 7.2) and Data Set Trailing
    Padding. All else counts, tag by tag and byte by byte, pixel data and private elements included.

    How it is encoded does not count as far as values are the same bytes: implicit or explicit VR,
    deflated or not, defined or undefined length. Other byte order, character set or compression of
    pixel data gives another digest, and so does a private sequence that is encoded as UN.

    Raises
    ------
    NotDicom, Malformed, TooDeep
        If the instance cannot be read for certain.
    """
    digest = hashlib.sha256()
    for piece in _pieces(opened(data).site, LEFT_OUT):
        digest.update(piece)
    return digest.hexdigest()


def _pieces(site: Site, left_out: Collection[int] = ()) -> Iterator[bytes]:
    tags = [tag for tag in sorted(site.tags) if _counts(tag) and tag not in left_out]
    yield _COUNT.pack(len(tags))
    for tag in tags:
        if site.vr(tag) == "SQ":
            items = list(site.items(tag))
            yield _HEAD.pack(tag, b"S", len(items))
            for item in items:
                yield from _pieces(item.enter())
        else:
            raw = site.raw(tag)
            yield _HEAD.pack(tag, b"V", len(raw))
            yield raw


def _counts(tag: int) -> bool:
    return bool(tag & 0xFFFF) and tag != _PADDING
