"""An instance taken apart: its head, its top level, and how to put them together again."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from curator.dicom.errors import Malformed, UnsupportedInstance
from curator.dicom.filemeta import (
    MEDIA_STORAGE_SOP_CLASS_UID,
    MEDIA_STORAGE_SOP_INSTANCE_UID,
    FileMeta,
    MetaPolicy,
)
from curator.dicom.site import Changes, Site
from curator.dicom.tags import SOP_CLASS_UID, SOP_INSTANCE_UID, Tag, tag_text

_FOLLOWING = {
    SOP_CLASS_UID: MEDIA_STORAGE_SOP_CLASS_UID,
    SOP_INSTANCE_UID: MEDIA_STORAGE_SOP_INSTANCE_UID,
}


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

    def changed(self, changes: Changes, policy: MetaPolicy) -> bytes:
        """Return the file with `changes` to its top level; File Meta follows (PS3.10 7.1).

        Raises
        ------
        UnsupportedInstance
            If the file is a DICOMDIR, whose records are found by their offsets (PS3.3 F.3.2.2),
            or the SOP class or instance UID would go.
        """
        if not changes:
            return self.data
        if self.meta.is_directory:
            raise UnsupportedInstance("A DICOMDIR points at its own bytes and is not edited")
        meta = self.meta.updated(self._following(changes), policy)
        head = self.data[: meta.end] if meta == self.meta else meta.encoded()
        if self.packed is _as_it_is:
            return b"".join([head, *self.site.pieces(changes)])
        return head + self.packed(self.site.assembled(changes))

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
    if any(tag >> 16 in (0x0000, 0x0002) for tag in tags):
        raise Malformed("Not an element of a data set", start, tag_text(Tag(lowest)))
