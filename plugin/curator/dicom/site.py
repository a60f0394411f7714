"""One level of an instance, as the edits see it: elements by tag, wherever they come from.

:mod:`.rewrite` reads them from encoded bytes, :mod:`.fallback` through pydicom. What an edit does
(:mod:`.changes`) is the same for both.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from curator.dicom.charset import Charset, charset_of
from curator.dicom.element import Element
from curator.dicom.encode import Encoding, encode_element
from curator.dicom.tags import SPECIFIC_CHARACTER_SET, Tag, dictionary_vr

Changes = Mapping[int, bytes]
"""New encoded elements by tag; empty bytes for one that goes."""


@dataclass(frozen=True, slots=True)
class SiteItem:
    """One item of a sequence: as it is encoded, and its level for who has to enter it."""

    encoded: bytes
    delimited: bool
    enter: Callable[[], Site]


class Site(ABC):
    """The elements of one data set or item."""

    __slots__ = ("depth", "encoding")
    encoding: Encoding
    depth: int

    @property
    @abstractmethod
    def tags(self) -> Collection[int]:
        """The tags that are present."""

    @abstractmethod
    def vr(self, tag: int) -> str:
        """Return the VR of a present element, from the dictionaries in implicit VR."""

    def heads(self) -> list[bytes]:
        """Return group, element and VR of each of `tags`, as explicit VR little endian has them.

        A key for who looks up what to do with an element; in implicit VR it may lack the VR.
        """
        return [
            struct.pack("<HH", tag >> 16, tag & 0xFFFF) + self.vr(tag).encode("ascii")
            for tag in self.tags
        ]

    @abstractmethod
    def raw(self, tag: int) -> bytes:
        """Return the value field of a present element, without a sequence delimiter."""

    @abstractmethod
    def encoded(self, tag: int) -> bytes:
        """Return a present element as it stands, header included."""

    @abstractmethod
    def is_delimited(self, tag: int) -> bool:
        """Tell whether a present element has undefined length."""

    @abstractmethod
    def items(self, tag: int) -> Iterable[SiteItem]:
        """Yield the items of a present sequence."""

    @abstractmethod
    def pieces(self, changes: Changes) -> Iterable[bytes | memoryview]:
        """Return the content of the level with `changes` applied, as ranges to be joined."""

    @abstractmethod
    def stretches(self, without: Sequence[int], before: int) -> Iterable[tuple[bytes, int, int]]:
        """Return where the elements below the tag `before` are encoded, some left out.

        Parameters
        ----------
        without : sequence of int
            Tags to be left out, ascending.
        before : int
            The first tag that is not wanted.

        Returns
        -------
        iterable of (bytes, int, int)
            Encoded bytes with start and end: what is large is not copied to be looked through.
        """

    def size(self, tag: int) -> int:
        """Return how many bytes a present element takes, header included."""
        return len(self.encoded(tag))

    def unchanged_end(self, changes: Changes, tags: Collection[int]) -> int:
        """Return how many bytes at the end are an element of `tags` that stays as it is."""
        last = [0, *self.tags][-1]
        if last not in tags or max(changes, default=0) >= last:
            return 0
        return self.size(last)

    def assembled(self, changes: Changes) -> bytes:
        """Return the content of the level with `changes` applied."""
        return b"".join(self.pieces(changes))

    def element(self, tag: int) -> Element:
        """Return a present element, to be decoded when asked."""
        encoding = self.encoding
        return Element(Tag(tag), self.vr(tag), self.raw(tag), encoding.charset, encoding.order)

    def private_blocks(self, group: int) -> list[tuple[int, str]]:
        """Return the reserved blocks of a private group and their creators (PS3.5 7.8.1)."""
        first = group << 16
        creators = sorted(tag for tag in self.tags if first | 0x10 <= tag <= first | 0xFF)
        return [(tag & 0xFF, self._creator(tag)) for tag in creators]

    def _creator(self, tag: int) -> str:
        return self.raw(tag).decode("latin_1").strip(" \0")

    def creator(self, tag: int) -> str | None:
        """Return the creator that reserved the block of a private tag, if any."""
        reserving = self.reserving(tag)
        if not tag >> 16 & 1 or tag & 0xFFFF < 0x1000 or reserving not in self.tags:
            return None
        return self._creator(reserving)

    @staticmethod
    def reserving(tag: int) -> int:
        """Return the tag of the Private Creator that reserves the block of a private tag."""
        return tag & 0xFFFF0000 | tag >> 8 & 0xFF

    def own_charset(self, inherited: Charset) -> Charset:
        """Return the character set of the level: its own, or the inherited one (PS3.3 C.12.1.1.2).

        An empty one at top level counts as absent, so that a default for such instances applies.
        """
        if SPECIFIC_CHARACTER_SET not in self.tags:
            return inherited
        raw = self.raw(SPECIFIC_CHARACTER_SET)
        return charset_of(raw) if self.depth or raw.strip(b" \0") else inherited

    def known_vr(self, tag: int) -> str:
        """Return the VR that the dictionaries have for a tag at this level."""
        return dictionary_vr(Tag(tag), self.creator(tag))


def joined(chunks: Mapping[int, bytes], changes: Changes, encoding: Encoding) -> bytes:
    """Return a level with `changes` applied, ascending, its group lengths kept right (PS3.5 7.2).

    A group length that was wrong before is left alone: it may be something else, damaged. One that
    is changed itself, is as it is changed.
    """
    result = {**chunks, **changes}
    before, after = _group_sizes(chunks), _group_sizes(result)
    for group, size in after.items():
        length = _group_length(group, before.get(group, 0), encoding)
        if group << 16 not in changes and chunks.get(group << 16) == length:
            result[group << 16] = _group_length(group, size, encoding)
    return b"".join(chunk for _, chunk in sorted(result.items()))


def _group_sizes(chunks: Mapping[int, bytes]) -> dict[int, int]:
    """Return the size of each group, without its group length."""
    sizes: dict[int, int] = {}
    for tag, chunk in chunks.items():
        if tag & 0xFFFF:
            sizes[tag >> 16] = sizes.get(tag >> 16, 0) + len(chunk)
    return sizes


def _group_length(group: int, size: int, encoding: Encoding) -> bytes:
    raw = struct.pack(f"{encoding.order}I", size)
    return encode_element(group << 16, "UL", raw, encoding)
