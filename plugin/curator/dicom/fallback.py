"""Open through pydicom what is not walked directly: big endian, undeclared, broken.

pydicom reads leniently: it stops quietly where a file is cut off, keeps one of two elements of the
same tag, guesses at an encoding. So nothing is taken from it on trust. An instance is accepted only
where the data set it read, written again unedited, gives back every byte in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from io import BytesIO
from typing import TypeVar, cast

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_data_element
from pydicom.values import convert_SQ

from curator.dicom.changes import framed_item, framed_sequence
from curator.dicom.charset import Charset, charset_of
from curator.dicom.encode import Encoding
from curator.dicom.errors import DicomError, Malformed, NotDicom, TooDeep
from curator.dicom.filemeta import (
    EXPLICIT_BIG_ENDIAN,
    EXPLICIT_LITTLE_ENDIAN,
    IMPLICIT_LITTLE_ENDIAN,
    TRANSFER_SYNTAX_UID,
    FileMeta,
    MetaPolicy,
    new_file_meta,
    read_file_meta,
)
from curator.dicom.instance import Instance, check_data_set
from curator.dicom.site import Changes, Site, SiteItem, joined
from curator.dicom.structure import ALL_VRS, UNDEFINED
from curator.dicom.tags import (
    MAXIMUM_DEPTH,
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    Tag,
    tag_text,
)

Result = TypeVar("Result")
_NATIVE = {
    EXPLICIT_LITTLE_ENDIAN: (True, "<"),
    EXPLICIT_BIG_ENDIAN: (True, ">"),
    IMPLICIT_LITTLE_ENDIAN: (False, "<"),
}
"""Explicit VR and byte order of the transfer syntaxes that a data set alone can prove."""


class DatasetSite(Site):
    """One level as pydicom has read it.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Its elements, still raw.
    explicit : bool
        Explicit VR.
    order : str
        "<" or ">".
    inherited : Charset
        The character set of the level above.
    depth : int
        Levels above.
    """

    __slots__ = ("_elements",)

    def __init__(
        self, dataset: Dataset, explicit: bool, order: str, inherited: Charset, depth: int = 0
    ) -> None:
        if depth > MAXIMUM_DEPTH:
            raise TooDeep(f"Sequences are nested deeper than {MAXIMUM_DEPTH} levels")
        self._elements = {int(tag): _with_value(raw) for tag, raw in sorted(dataset.items())}
        self.depth = depth
        self.encoding = Encoding(explicit, self.own_charset(inherited), order)

    @property
    def tags(self) -> Collection[int]:
        """The tags that are present, ascending."""
        return self._elements

    def vr(self, tag: int) -> str:
        """Return the VR of a present element, from the dictionaries in implicit VR."""
        return self._elements[tag].VR or self.known_vr(tag)

    def raw(self, tag: int) -> bytes:
        """Return the value field of a present element, without a sequence delimiter."""
        element = self._elements[tag]
        if isinstance(element, RawDataElement):
            return element.value or b""
        return b"".join(item.encoded for item in self.items(tag))

    def is_delimited(self, tag: int) -> bool:
        """Tell whether a present element has undefined length."""
        element = self._elements[tag]
        if isinstance(element, RawDataElement):
            return element.length == UNDEFINED
        return bool(element.is_undefined_length)

    def encoded(self, tag: int) -> bytes:
        """Return a present element as pydicom writes it, header included."""
        element = self._elements[tag]
        if not isinstance(element, RawDataElement):
            return framed_sequence(
                tag, self.vr(tag), self.raw(tag), self.is_delimited(tag), self.encoding
            )
        out = DicomBytesIO()
        out.is_little_endian = self.encoding.order == "<"
        out.is_implicit_VR = not self.encoding.explicit
        _guarded(lambda: write_data_element(out, element), tag)
        return out.getvalue()

    def items(self, tag: int) -> Iterator[SiteItem]:
        """Yield the items of a present sequence; those in a UN are implicit (PS3.5 6.2.2)."""
        found = list(self._read_items(tag))
        element = self._elements[tag]
        if isinstance(element, RawDataElement):
            _check_same(b"".join(item.encoded for item in found), element.value or b"", tag)
        yield from found

    def _read_items(self, tag: int) -> Iterator[SiteItem]:
        explicit = self.encoding.explicit and self.vr(tag) == "SQ"
        order = self.encoding.order
        for dataset in self._sequence(tag, explicit):
            site = DatasetSite(dataset, explicit, order, self.encoding.charset, self.depth + 1)
            delimited = bool(getattr(dataset, "is_undefined_length_sequence_item", False))
            yield SiteItem(
                framed_item(site.assembled({}), delimited, order),
                delimited,
                lambda site=site: site,  # type: ignore[misc]
            )

    def _sequence(self, tag: int, explicit: bool) -> Iterable[Dataset]:
        element = self._elements[tag]
        if not isinstance(element, RawDataElement):
            return cast("Iterable[Dataset]", element.value)
        little = self.encoding.order == "<"
        return _guarded(lambda: convert_SQ(element.value or b"", not explicit, little), tag)

    def stretches(self, without: Sequence[int], before: int) -> Iterator[tuple[bytes, int, int]]:
        """Return where the elements below the tag `before` are encoded, some left out."""
        for tag in self._elements:
            if tag < before and tag not in without:
                encoded = self.encoded(tag)
                yield encoded, 0, len(encoded)

    def pieces(self, changes: Changes) -> Iterable[bytes]:
        """Return the content of the level with `changes` applied, as ranges to be joined."""
        chunks = {tag: self.encoded(tag) for tag in self._elements}
        if not changes:
            return list(chunks.values())
        return [joined(chunks, changes, self.encoding)]


def _with_value(element: DataElement | RawDataElement) -> DataElement | RawDataElement:
    """Give an empty raw element the empty value that pydicom's writer wants."""
    if isinstance(element, RawDataElement) and element.value is None:
        return element._replace(value=b"")
    return element


def opened(data: bytes, default_charset: str, problem: DicomError) -> Instance:
    """Take an instance apart with pydicom.

    Parameters
    ----------
    data : bytes
        A DICOM file, or a data set alone.
    default_charset : str
        Defined term for instances that declare none.
    problem : DicomError
        Why it was not walked directly.

    Raises
    ------
    DicomError
        `problem`, or what else is wrong, where pydicom does not give back every byte.
    """
    meta, start = _head(data)
    body = data[start:]
    uid = meta.transfer_syntax_uid
    declared = _NATIVE.get(uid, (True, "<")) if uid else None
    for encoding in _candidates(declared):
        try:
            site = _proven(body, encoding, default_charset)
        except Malformed as refusal:
            if uid == EXPLICIT_BIG_ENDIAN and encoding == declared:
                problem = refusal
            continue
        if encoding == declared:
            return Instance(data, meta, site)
        if _identified(site):
            return Instance(data, _with_encoding(meta, encoding), site)
    raise problem


def _head(data: bytes) -> tuple[FileMeta, int]:
    """Return the head of a file; one that has none gets a new one."""
    try:
        meta = read_file_meta(data)
    except NotDicom:
        return new_file_meta(), 0
    return meta, meta.end


def _candidates(declared: tuple[bool, str] | None) -> list[tuple[bool, str]]:
    """Return the encodings to try, the declared one first."""
    others = [encoding for encoding in _NATIVE.values() if encoding != declared]
    return others if declared is None else [declared, *others]


def _identified(site: Site) -> bool:
    """Tell whether an undeclared encoding makes sense: the instance says what it is."""
    return SOP_CLASS_UID in site.tags and SOP_INSTANCE_UID in site.tags


def _with_encoding(meta: FileMeta, encoding: tuple[bool, str]) -> FileMeta:
    """Return `meta` with the transfer syntax that a native data set really has.

    Where a compressed one is declared, no other names both the compression and this encoding, so
    the file goes on saying what it said.
    """
    if meta.transfer_syntax_uid not in ("", *_NATIVE):
        return meta
    uid = next(uid for uid, known in _NATIVE.items() if known == encoding)
    raw = uid.encode("ascii") + b"\0" * (len(uid) % 2)
    return meta.updated({TRANSFER_SYNTAX_UID: raw}, MetaPolicy.KEEP)


def _proven(body: bytes, encoding: tuple[bool, str], default_charset: str) -> DatasetSite:
    """Read a data set, and see that writing it unedited gives back every byte.

    Raises
    ------
    Malformed
        If it does not.
    TooDeep
        If sequences are nested too deeply.
    """
    explicit, order = encoding
    if not explicit and body[4:6] in ALL_VRS:
        raise Malformed("Explicit VR where implicit VR is expected", 0)
    source = BytesIO(body)
    dataset = _guarded(
        lambda: read_dataset(
            source, not explicit, order == "<", stop_when=_Descent(), at_top_level=False
        )
    )
    site = DatasetSite(dataset, explicit, order, charset_of(b"", default_charset))
    check_data_set(site.tags, 0)
    _check_same(site.assembled({}), body)
    return site


class _Descent:
    """Stop pydicom where tags no longer ascend: what it would sort could not be proven anyway."""

    def __init__(self) -> None:
        self._previous = -1

    def __call__(self, tag: int, _vr: str | None, _length: int) -> bool:
        descends = tag <= self._previous
        self._previous = tag
        return descends


def _check_same(written: bytes, read: bytes, tag: int | None = None) -> None:
    if written != read:
        where = tag_text(Tag(tag)) if tag is not None else ""
        raise Malformed("pydicom does not give back what it read", 0, where)


def _guarded(call: Callable[[], Result], tag: int | None = None) -> Result:
    """Call pydicom; whatever it raises on malformed bytes becomes a refusal."""
    try:
        return call()
    except RecursionError:
        raise TooDeep("Sequences are nested deeper than pydicom follows") from None
    except DicomError:
        raise
    except Exception as error:  # noqa: BLE001  (pydicom raises what comes: struct.error, KeyError …)
        where = tag_text(Tag(tag)) if tag is not None else ""
        raise Malformed(f"pydicom cannot read it: {type(error).__name__}", 0, where) from None
