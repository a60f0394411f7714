"""Store an anonymized instance, or see that it is stored already, as it was made."""

from __future__ import annotations

from collections.abc import Callable, Collection

from curator.dicom import engine, reader
from curator.dicom.errors import DicomError
from curator.dicom.filemeta import EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN
from curator.dicom.site import Site
from curator.dicom.tags import Tag
from curator.errors import Conflict
from curator.gateway import Gateway
from curator.storing import NotStored, store

#: Encrypted Attributes Sequence, other each time that it is written.
_ENCRYPTED = Tag(0x04000500)

_PADDING = Tag(0xFFFCFFFC)

#: What a server that transcodes writes anew: how pixels are described, and the pixels.
_PIXEL_GROUPS = (0x0028, 0x7FE0)

_RLE_LOSSLESS = "1.2.840.10008.1.2.5"

#: Transfer syntaxes that changed pixels are written in; in any other they are the original's.
_WRITTEN = frozenset({IMPLICIT_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN, _RLE_LOSSLESS})

#: Gives the pixel data of a file as they are when nothing is compressed.
Decode = Callable[[bytes], bytes]


class Keeper:
    """Stores instances and looks at what the server has of them.

    Parameters
    ----------
    decoded : callable
        Decodes a file without the server.
    """

    def __init__(self, gateway: Gateway, decoded: Decode, default_charset: str) -> None:
        self._gateway = gateway
        self._decoded = decoded
        self._default_charset = default_charset

    def put(self, orthanc_id: str, dicom: bytes, source: str) -> None:
        """Store a new instance and read it back.

        Parameters
        ----------
        source : str
            Orthanc identifier of the original.

        Raises
        ------
        NotStored
            If it is not in Orthanc as it was made.
        """
        store(self._gateway, dicom, orthanc_id)
        if not self._has(orthanc_id, dicom, source):
            raise NotStored(f"Instance {orthanc_id} differs from what was written")

    def check(self, orthanc_id: str, dicom: bytes, source: str) -> None:
        """See that a stored instance is what would be stored.

        Raises
        ------
        Conflict
            If it is another one.
        """
        if not self._has(orthanc_id, dicom, source):
            raise Conflict(
                f"Instance {orthanc_id} is stored already with another content, perhaps made by"
                " another version of the profile: delete it first"
            )

    def _has(self, orthanc_id: str, dicom: bytes, source: str) -> bool:
        stored = self._gateway.read(orthanc_id)
        if stored == dicom:
            return True
        try:
            there, made = (engine.opened(one, self._default_charset) for one in (stored, dicom))
        except DicomError:
            return False
        if there.meta.transfer_syntax_uid == made.meta.transfer_syntax_uid:
            return _same(there.site, made.site)
        return _same(there.site, made.site, _PIXEL_GROUPS) and self._shows_the_same(
            orthanc_id, there.meta.transfer_syntax_uid, dicom, source
        )

    def _shows_the_same(
        self, orthanc_id: str, stored_syntax: str, dicom: bytes, source: str
    ) -> bool:
        """Tell whether an instance that the server has transcoded has the pixels it has to have."""
        syntax = engine.transfer_syntax(dicom)
        if syntax not in _WRITTEN:
            return self._gateway.decoded(source) == self._gateway.decoded(orthanc_id)
        native = self._decoded(dicom) if syntax == _RLE_LOSSLESS else dicom
        digest = reader.pixel_digest(native)
        return digest == reader.pixel_digest(self._gateway.native(orthanc_id, stored_syntax))


def _same(one: Site, other: Site, but_groups: Collection[int] = ()) -> bool:
    """Tell whether two levels have the same values, however they are encoded."""
    tags = _compared(one, but_groups)
    return tags == _compared(other, but_groups) and all(
        _same_element(one, other, tag) for tag in tags
    )


def _compared(site: Site, but_groups: Collection[int]) -> list[int]:
    return sorted(
        tag
        for tag in site.tags
        if tag & 0xFFFF and tag not in (_ENCRYPTED, _PADDING) and tag >> 16 not in but_groups
    )


def _same_element(one: Site, other: Site, tag: int) -> bool:
    if one.vr(tag) != "SQ" or other.vr(tag) != "SQ":
        return one.raw(tag) == other.raw(tag)
    items, others = list(one.items(tag)), list(other.items(tag))
    return len(items) == len(others) and all(
        _same(item.enter(), another.enter()) for item, another in zip(items, others, strict=True)
    )
