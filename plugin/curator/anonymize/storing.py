"""Store an anonymized instance, or see that it is stored already, as it was made."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from curator.anonymize.decoding import Decoder
from curator.anonymize.pixels import syntax
from curator.anonymize.pixels.layout import Layout, layout_of, pixels_tag
from curator.dicom import engine
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

#: What DCMTK says of what it has compressed, at the top level.
_DERIVATION_DESCRIPTION = Tag(0x00082111)

_NATIVE = frozenset({IMPLICIT_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN})

_Pixels = tuple[Layout, bytes]


class Keeper:
    """Stores instances and looks at what the server has of them."""

    def __init__(self, gateway: Gateway, default_charset: str) -> None:
        self._gateway = gateway
        self._decoder = Decoder(gateway)
        self._default_charset = default_charset

    def put(self, orthanc_id: str, dicom: bytes, source: str, *, read_back: bool) -> None:
        """Store a new instance, and see that it is stored.

        Parameters
        ----------
        source : str
            Orthanc identifier of the original.
        read_back : bool
            Whether to read it back in any case; else only where its size is another one, as on a
            server that transcodes.

        Raises
        ------
        NotStored
            If it is not in Orthanc as it was made.
        """
        store(self._gateway, dicom, orthanc_id)
        if not read_back and self._gateway.stored_size(orthanc_id) == len(dicom):
            return
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
                " another profile, or another version of this one: delete it first"
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
            orthanc_id, stored, dicom, source
        )

    def _shows_the_same(self, orthanc_id: str, stored: bytes, dicom: bytes, source: str) -> bool:
        """Tell whether an instance that the server has transcoded has the pixels it has to have."""
        return self._pixels(orthanc_id, stored) == self._expected(dicom, source)

    def _expected(self, dicom: bytes, source: str) -> _Pixels | None:
        """Return the pixels of a new instance, which nobody has stored as it is.

        What is compressed in a way that Curator does not write has the pixels of its original.
        """
        written = engine.transfer_syntax(dicom)
        if written in _NATIVE:
            return _pixels(dicom)
        if written == syntax.RLE_LOSSLESS:
            return _pixels(syntax.decoded(dicom))
        return self._pixels(source, self._gateway.read(source))

    def _pixels(self, orthanc_id: str, dicom: bytes) -> _Pixels | None:
        """Return the pixels of a stored instance, decoded."""
        if engine.transfer_syntax(dicom) not in _NATIVE:
            dicom = self._decoder.native(orthanc_id, dicom)
        return _pixels(dicom)


def _pixels(native: bytes) -> _Pixels | None:
    """Return how the pixels of an instance are laid out, and all of them, pixel by pixel."""
    site = engine.opened(native).site
    if pixels_tag(site) is None:
        return None
    layout = layout_of(site)
    value = site.raw(layout.tag)[: layout.size]
    if layout.by_plane and layout.samples > 1:
        planes = np.frombuffer(value, f"V{layout.allocated // 8}")
        value = np.moveaxis(planes.reshape(layout.frames, layout.samples, -1), 1, 2).tobytes()
    return replace(layout, by_plane=False), value


def _same(one: Site, other: Site, but_groups: Collection[int] = ()) -> bool:
    """Tell whether two levels have the same values, however they are encoded."""
    tags = _compared(one, but_groups)
    return tags == _compared(other, but_groups) and all(
        _same_element(one, other, tag) for tag in tags
    )


def _compared(site: Site, but_groups: Collection[int]) -> list[int]:
    ignored = {_ENCRYPTED, _PADDING}
    if but_groups:
        ignored.add(_DERIVATION_DESCRIPTION)
    return sorted(
        tag
        for tag in site.tags
        if tag & 0xFFFF and tag not in ignored and tag >> 16 not in but_groups
    )


def _same_element(one: Site, other: Site, tag: int) -> bool:
    if one.vr(tag) != "SQ" or other.vr(tag) != "SQ":
        return one.raw(tag) == other.raw(tag)
    items, others = list(one.items(tag)), list(other.items(tag))
    return len(items) == len(others) and all(
        _same(item.enter(), another.enter()) for item, another in zip(items, others, strict=True)
    )
