"""Open an encoded instance without decoding it: what no edit concerns is copied as it is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from curator.dicom.charset import DEFAULT_TERM, Charset, charset_of
from curator.dicom.deflate import deflated, inflated
from curator.dicom.encode import Encoding
from curator.dicom.errors import Malformed
from curator.dicom.filemeta import (
    DEFLATED,
    EXPLICIT_BIG_ENDIAN,
    IMPLICIT_LITTLE_ENDIAN,
    read_file_meta,
)
from curator.dicom.instance import Instance, check_data_set
from curator.dicom.site import Changes, Site, SiteItem, joined
from curator.dicom.structure import (
    ALL_VRS,
    SEQUENCE_DELIMITATION,
    UNDEFINED,
    Header,
    Item,
    Level,
    Scan,
    check_order,
    header_at,
    items,
    level_of,
    scan,
)


class EncodedSite(Site):
    """One level of encoded bytes, by its index.

    Parameters
    ----------
    data : bytes
        Encoded bytes, little endian.
    level : Level
        Where the elements are.
    inherited : Charset
        The character set of the level above, unless this one has its own (PS3.3 C.12.1.1.2).
    depth : int
        Levels above.
    """

    __slots__ = ("_index", "data", "level")

    def __init__(self, data: bytes, level: Level, inherited: Charset, depth: int = 0) -> None:
        check_order(level)
        self.data, self.level, self.depth = data, level, depth
        self._index = {tag: place for place, tag in enumerate(level.tags)}
        self.encoding = Encoding(level.explicit, self.own_charset(inherited))

    @property
    def tags(self) -> Collection[int]:
        """The tags that are present."""
        return self._index

    def _span(self, tag: int) -> tuple[int, int]:
        place = self._index[tag]
        return self.level.offsets[place], self.level.offsets[place + 1]

    def _header(self, tag: int) -> Header:
        return header_at(self.data, self._span(tag)[0], self.level.explicit)

    def vr(self, tag: int) -> str:
        """Return the VR of a present element, from the dictionaries in implicit VR."""
        return self._header(tag).vr or self.known_vr(tag)

    def heads(self) -> list[bytes]:
        """Return tag and VR of each element of `tags`, as they are encoded."""
        data, size = self.data, 6 if self.level.explicit else 4
        return [data[start : start + size] for start in self.level.offsets[:-1]]

    def raw(self, tag: int) -> bytes:
        """Return the value field of a present element, without a sequence delimiter."""
        start, end = self._span(tag)
        header = header_at(self.data, start, self.level.explicit)
        if header.length == UNDEFINED:
            end -= len(SEQUENCE_DELIMITATION)
        return self.data[header.value : end]

    def encoded(self, tag: int) -> bytes:
        """Return a present element as it stands, header included."""
        start, end = self._span(tag)
        return self.data[start:end]

    def size(self, tag: int) -> int:
        """Return how many bytes a present element takes, header included."""
        start, end = self._span(tag)
        return end - start

    def is_delimited(self, tag: int) -> bool:
        """Tell whether a present element has undefined length."""
        return self._header(tag).length == UNDEFINED

    def items(self, tag: int) -> Iterator[SiteItem]:
        """Yield the items of a present sequence; those in a UN are implicit (PS3.5 6.2.2)."""
        header = self._header(tag)
        explicit = self.level.explicit and header.vr == "SQ"
        how = Scan(self._span(tag)[1], explicit, self.depth + 1)
        for item in items(self.data, header.value, header.length, how):
            yield SiteItem(
                self.data[item.start : item.after],
                item.delimited,
                lambda item=item: self._entered(item, how),  # type: ignore[misc]
            )

    def _entered(self, item: Item, how: Scan) -> Site:
        level = level_of(self.data, item, how)
        return EncodedSite(self.data, level, self.encoding.charset, how.depth)

    def stretches(self, without: Sequence[int], before: int) -> Iterator[tuple[bytes, int, int]]:
        """Return where the elements below the tag `before` are encoded, some left out."""
        level = self.level
        if not level.ordered:
            wanted = [tag for tag in level.tags if tag < before and tag not in without]
            yield from ((self.data, *self._span(tag)) for tag in wanted)
            return
        start = level.offsets[0]
        for tag in without:
            place = self._index.get(tag)
            if place is not None:
                yield self.data, start, level.offsets[place]
                start = level.offsets[place + 1]
        yield self.data, start, level.offsets[level.place(before)]

    def pieces(self, changes: Changes) -> Iterable[bytes | memoryview]:
        """Return the content of the level with `changes` applied, as ranges to be joined."""
        group_lengths = [tag for tag in self.level.tags if not tag & 0xFFFF]
        if all(tag in changes for tag in group_lengths):
            return self._ranges(changes)
        if not self.level.ordered:
            raise Malformed("Group lengths where elements are out of order", self.level.offsets[0])
        chunks = {tag: self.encoded(tag) for tag in self.level.tags}
        return [joined(chunks, changes, self.encoding)]

    def _ranges(self, changes: Changes) -> list[bytes | memoryview]:
        view, offsets, index = memoryview(self.data), self.level.offsets, self._index
        ranges: list[bytes | memoryview] = []
        copied = offsets[0]
        for tag in self._in_place(changes):
            place = index.get(tag)
            if place is None:
                start = after = offsets[self.level.place(tag)]
            else:
                start, after = offsets[place], offsets[place + 1]
            if start > copied:
                ranges.append(view[copied:start])
            if new := changes[tag]:
                ranges.append(new)
            copied = after
        ranges.append(view[copied : self.level.end])
        return ranges

    def _in_place(self, changes: Changes) -> list[int]:
        """Return tags in the order of where they are, or would have to be inserted."""
        level = self.level
        if level.ordered:
            return sorted(changes)
        return sorted(changes, key=lambda tag: (level.place(tag), tag))


def opened(data: bytes, default_charset: str = DEFAULT_TERM) -> Instance:
    """Take an instance apart, as far as its top level.

    Parameters
    ----------
    data : bytes
        A DICOM file.
    default_charset : str, optional
        Defined term for instances that declare none.

    Raises
    ------
    NotDicom, Malformed, TooDeep
        If the structure is not certain, or the transfer syntax is big endian or missing.
    """
    meta = read_file_meta(data)
    uid = meta.transfer_syntax_uid
    if uid in DEFLATED:
        site = _data_set(inflated(data, meta.end), 0, True, default_charset)
        return Instance(data, meta, site, deflated)
    if not uid or uid == EXPLICIT_BIG_ENDIAN:
        raise Malformed("The transfer syntax is big endian or missing", meta.end)
    explicit = uid != IMPLICIT_LITTLE_ENDIAN
    return Instance(data, meta, _data_set(data, meta.end, explicit, default_charset))


def _data_set(data: bytes, start: int, explicit: bool, default_charset: str) -> EncodedSite:
    if not explicit and data[start + 4 : start + 6] in ALL_VRS:
        raise Malformed("Explicit VR in a transfer syntax of implicit VR", start)
    level = scan(data, start, Scan(len(data), explicit))
    check_data_set(level.tags, start)
    return EncodedSite(data, level, charset_of(b"", default_charset))
