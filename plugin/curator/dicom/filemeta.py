"""Preamble and File Meta Information of a DICOM file (PS3.10 7.1)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from curator.dicom.charset import ASCII
from curator.dicom.encode import Encoding, encode_element
from curator.dicom.errors import Malformed, NotDicom
from curator.dicom.structure import LONG_VRS, SHORT_VRS
from curator.dicom.tags import Tag, tag_text

GROUP_LENGTH = 0x00020000
VERSION = 0x00020001
MEDIA_STORAGE_SOP_CLASS_UID = 0x00020002
MEDIA_STORAGE_SOP_INSTANCE_UID = 0x00020003
TRANSFER_SYNTAX_UID = 0x00020010
IMPLEMENTATION_CLASS_UID = 0x00020012
IMPLEMENTATION_VERSION_NAME = 0x00020013

IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
EXPLICIT_BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = frozenset(
    {
        "1.2.840.10008.1.2.1.99",
        "1.2.840.10008.1.2.4.95",
        "1.2.840.10008.1.2.4.205",
    }
)
"""Transfer syntaxes whose data set is deflated as a whole (PS3.5 A.5, A.6, A.9)."""

MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"

CURATOR_CLASS_UID = "2.25.210396184013722764151096834046839217157"
CURATOR_VERSION_NAME = "CURATOR"

_PREFIX = b"DICM"
_PREAMBLE = 128
_FIRST_AFTER_LENGTH = _PREAMBLE + 4 + 12
_EXPLICIT = Encoding(True, ASCII)


class MetaPolicy(StrEnum):
    """What becomes of preamble and File Meta when the data set changes.

    KEEP leaves all but the SOP class and instance, which follow the data set. REBUILD writes a
    preamble of zeros and only the required elements, as the file of a new author.
    """

    KEEP = "Keep"
    REBUILD = "Rebuild"


@dataclass(frozen=True, slots=True)
class FileMeta:
    """The head of a file.

    Parameters
    ----------
    preamble : bytes
        The first 128 bytes.
    elements : mapping of int to (str, bytes)
        VR and value field by tag, without the group length.
    end : int
        Offset of the data set.
    """

    preamble: bytes
    elements: Mapping[int, tuple[str, bytes]]
    end: int

    def uid(self, tag: int) -> str:
        """Return a UID of the group; empty where absent."""
        return self.elements.get(tag, ("UI", b""))[1].rstrip(b"\0 ").decode("ascii", "replace")

    @property
    def transfer_syntax_uid(self) -> str:
        """(0002,0010), empty where absent."""
        return self.uid(TRANSFER_SYNTAX_UID)

    @property
    def is_directory(self) -> bool:
        """Whether the file is a DICOMDIR (PS3.3 F), whose records are found by their offset."""
        return self.uid(MEDIA_STORAGE_SOP_CLASS_UID) == MEDIA_STORAGE_DIRECTORY

    def updated(self, uids: Mapping[int, bytes], policy: MetaPolicy) -> FileMeta:
        """Return the meta information for a changed data set.

        Parameters
        ----------
        uids : mapping of int to bytes
            Encoded SOP class and instance UIDs, transfer syntax where it is known better.
        policy : MetaPolicy
            What else is kept.
        """
        following = {tag: ("UI", raw) for tag, raw in uids.items()}
        if policy == MetaPolicy.KEEP:
            return FileMeta(self.preamble, {**self.elements, **following}, self.end)
        kept = {tag: self.elements[tag] for tag in _REQUIRED if tag in self.elements}
        return FileMeta(bytes(_PREAMBLE), {**_OURS, **kept, **following}, self.end)

    def encoded(self) -> bytes:
        """Return preamble, prefix and group 0002 with its right length."""
        group = b"".join(
            encode_element(tag, vr, raw, _EXPLICIT)
            for tag, (vr, raw) in sorted(self.elements.items())
        )
        length = encode_element(GROUP_LENGTH, "UL", struct.pack("<I", len(group)), _EXPLICIT)
        return self.preamble + _PREFIX + length + group


_REQUIRED = (MEDIA_STORAGE_SOP_CLASS_UID, MEDIA_STORAGE_SOP_INSTANCE_UID, TRANSFER_SYNTAX_UID)


def _even(text: str, padding: str = "\0") -> bytes:
    return (text + padding * (len(text) % 2)).encode("ascii")


_OURS = {
    VERSION: ("OB", b"\x00\x01"),
    IMPLEMENTATION_CLASS_UID: ("UI", _even(CURATOR_CLASS_UID)),
    IMPLEMENTATION_VERSION_NAME: ("SH", _even(CURATOR_VERSION_NAME, " ")),
}


def new_file_meta() -> FileMeta:
    """Return the beginnings of meta information for a data set that has none."""
    return FileMeta(bytes(_PREAMBLE), _OURS, 0)


def read_file_meta(data: bytes) -> FileMeta:
    """Return preamble and File Meta Information, which is explicit VR little endian.

    Raises
    ------
    NotDicom
        If there is no preamble with prefix.
    Malformed
        If group 0002 is cut off, or an element is none.
    """
    if data[_PREAMBLE : _PREAMBLE + len(_PREFIX)] != _PREFIX:
        raise NotDicom("There is no DICOM prefix after 128 bytes")
    elements: dict[int, tuple[str, bytes]] = {}
    position = _PREAMBLE + len(_PREFIX)
    deflated_from = -1
    try:
        while data[position : position + 2] == b"\x02\x00" and position != deflated_from:
            tag, vr, value, position = _meta_element(data, position)
            if tag in elements:
                raise Malformed("Element occurs twice", position, tag_text(Tag(tag)))
            elements[tag] = vr, value
            if tag == TRANSFER_SYNTAX_UID and value.rstrip(b"\0 ").decode("latin_1") in DEFLATED:
                deflated_from = _declared_end(elements)
    except struct.error:
        raise Malformed("The File Meta Information is cut off", position) from None
    elements.pop(GROUP_LENGTH, None)
    return FileMeta(data[:_PREAMBLE], elements, position)


def _declared_end(elements: Mapping[int, tuple[str, bytes]]) -> int:
    """Return where group 0002 ends by its length: what follows deflated may look like more."""
    _, raw = elements.get(GROUP_LENGTH, ("UL", b""))
    return _FIRST_AFTER_LENGTH + struct.unpack("<I", raw)[0] if len(raw) == 4 else -1


def _meta_element(data: bytes, position: int) -> tuple[int, str, bytes, int]:
    group, element, vr, length = struct.unpack_from("<HH2sH", data, position)
    tag = group << 16 | element
    value = position + 8
    if vr in LONG_VRS:
        (length,) = struct.unpack_from("<I", data, position + 8)
        value = position + 12
    elif vr not in SHORT_VRS:
        raise Malformed("No value representation", position + 4, tag_text(Tag(tag)))
    end = value + length
    if end > len(data):
        raise Malformed("The value is longer than what is left", position, tag_text(Tag(tag)))
    return tag, vr.decode(), data[value:end], end
