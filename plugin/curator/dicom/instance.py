"""An instance taken apart: its head, its top level, and how to put them together again."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from curator.dicom.errors import Malformed, UnsupportedInstance
from curator.dicom.filemeta import (
    DEFLATED,
    EXPLICIT_BIG_ENDIAN,
    IMPLICIT_LITTLE_ENDIAN,
    MEDIA_STORAGE_SOP_CLASS_UID,
    MEDIA_STORAGE_SOP_INSTANCE_UID,
    TRANSFER_SYNTAX_UID,
    FileMeta,
    MetaPolicy,
)
from curator.dicom.site import Changes, Site
from curator.dicom.tags import SOP_CLASS_UID, SOP_INSTANCE_UID, Tag, tag_text

_FOLLOWING = {
    SOP_CLASS_UID: MEDIA_STORAGE_SOP_CLASS_UID,
    SOP_INSTANCE_UID: MEDIA_STORAGE_SOP_INSTANCE_UID,
}


_ENCODED_OTHERWISE = {IMPLICIT_LITTLE_ENDIAN, EXPLICIT_BIG_ENDIAN, *DEFLATED}

_LAST_APART = 0x0002FFFF
"""The last tag that belongs elsewhere than in a data set."""

UI_HEADER = 8
"""Bytes before the value of a UI, in explicit and implicit VR."""


def _as_it_is(data_set: bytes) -> bytes:
    return data_set


@dataclass(frozen=True, slots=True)
class Instance:
    """A DICOM file, read as far as its top level.

    Parameters
    ----------
    data : bytes
        The file.
    meta : FileMeta
        Its head.
    site : Site
        Its data set.
    packed : callable, optional
        What stands between the encoded data set and its bytes in the file: compression.
    """

    data: bytes
    meta: FileMeta
    site: Site
    packed: Callable[[bytes], bytes] = _as_it_is

    def changed(
        self, changes: Changes, policy: MetaPolicy, transfer_syntax: str | None = None
    ) -> bytes:
        """Return the file with `changes` to its top level; File Meta follows (PS3.10 7.1).

        Parameters
        ----------
        changes : Changes
            New encoded elements.
        policy : MetaPolicy
            What is kept of the rest of preamble and File Meta.
        transfer_syntax : str, optional
            The transfer syntax UID of the result, where `changes` bring the pixel data into
            another one. All of them encode the other elements in explicit VR little endian.

        Raises
        ------
        UnsupportedInstance
            If the file is a DICOMDIR, whose records are found by their offsets (PS3.3 F.3.2.2),
            the SOP class or instance UID would go, or the elements are not encoded as the transfer
            syntax wants.
        """
        if not changes:
            return self.data
        if self.meta.is_directory:
            raise UnsupportedInstance("A DICOMDIR points at its own bytes and is not edited")
        following = self._following(changes)
        packed = self.packed
        if transfer_syntax is not None:
            following[TRANSFER_SYNTAX_UID] = self._raw_syntax(transfer_syntax)
            packed = _as_it_is
        meta = self.meta.updated(following, policy)
        head = self.data[: meta.end] if meta == self.meta else meta.encoded()
        if packed is _as_it_is:
            return b"".join([head, *self.site.pieces(changes)])
        return head + packed(self.site.assembled(changes))

    def unchanged_end(self, changes: Changes, tags: Collection[int]) -> int:
        """Return how many bytes at the end are an element of `tags` that stays as it is.

        Zero where the end is compressed with the rest of the data set.
        """
        return self.site.unchanged_end(changes, tags) if self.packed is _as_it_is else 0

    def _raw_syntax(self, uid: str) -> bytes:
        encoding = self.site.encoding
        if not encoding.explicit or encoding.order != "<" or uid in _ENCODED_OTHERWISE:
            raise UnsupportedInstance("The transfer syntax needs another encoding of all elements")
        return (uid + "\0" * (len(uid) % 2)).encode("ascii")

    def _following(self, changes: Changes) -> dict[int, bytes]:
        uids: dict[int, bytes] = {}
        for tag, meta_tag in _FOLLOWING.items():
            raw = self._raw_after(tag, changes)
            if raw:
                uids[meta_tag] = raw
            elif tag in changes:
                raise UnsupportedInstance(f"{tag_text(tag)} has to stay")
        return uids

    def _raw_after(self, tag: Tag, changes: Changes) -> bytes:
        changed = changes.get(tag)
        if changed is None:
            return self.site.raw(tag) if tag in self.site.tags else b""
        if changed and self.site.encoding.explicit and changed[4:6] != b"UI":
            raise UnsupportedInstance(f"{tag_text(tag)} has to have VR UI")
        return changed[UI_HEADER:]


def check_data_set(tags: Collection[int], start: int) -> None:
    """See that there is a data set, without elements that belong elsewhere (PS3.10 7.1).

    Raises
    ------
    Malformed
        If there is no element, or one of the groups 0000 and 0002.
    """
    lowest = min(tags, default=None)
    if lowest is None:
        raise Malformed("There is no data set", start)
    if lowest <= _LAST_APART and any(tag >> 16 in (0x0000, 0x0002) for tag in tags):
        raise Malformed("Not an element of a data set", start, tag_text(Tag(lowest)))
