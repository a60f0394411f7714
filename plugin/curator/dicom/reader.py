"""Read chosen elements of an instance, skipping all others by their length."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from curator.dicom.charset import ASCII, DEFAULT_TERM
from curator.dicom.element import Element
from curator.dicom.engine import opened
from curator.dicom.filemeta import FileMeta
from curator.dicom.instance import Instance
from curator.dicom.private import tags_of
from curator.dicom.site import Site
from curator.dicom.tags import (
    DOUBLE_FLOAT_PIXEL_DATA,
    FLOAT_PIXEL_DATA,
    PIXEL_DATA,
    AnyTag,
    Path,
    Step,
    Tag,
)

_FILE_META_GROUP = 0x0002


@dataclass(frozen=True, slots=True)
class Header:
    """The elements that were asked for, by path.

    Parameters
    ----------
    found : mapping of Path to tuple of Element
        One element for a plain path, several where ``[*]`` matches several items, none where the
        instance has none.
    transfer_syntax_uid : str
        (0002,0010), empty where absent.
    """

    found: Mapping[Path, tuple[Element, ...]]
    transfer_syntax_uid: str

    def elements(self, path: Path | AnyTag) -> tuple[Element, ...]:
        """Return the elements at `path`, which must have been asked for."""
        return self.found[path if isinstance(path, Path) else Path(path)]

    def element(self, path: Path | AnyTag) -> Element | None:
        """Return the first element at `path`, None where there is none."""
        return next(iter(self.elements(path)), None)

    def strings(self, path: Path | AnyTag) -> tuple[str, ...]:
        """Return all values at `path` as text."""
        return tuple(text for element in self.elements(path) for text in element.strings)

    def string(self, path: Path | AnyTag) -> str | None:
        """Return the first value at `path` as text, None where absent or empty."""
        return next(iter(self.strings(path)), None) or None

    def numbers(self, path: Path | AnyTag) -> tuple[int | float, ...]:
        """Return all values at `path` as numbers."""
        return tuple(number for element in self.elements(path) for number in element.numbers)

    def number(self, path: Path | AnyTag) -> int | float | None:
        """Return the first value at `path` as a number, None where absent or empty."""
        return next(iter(self.numbers(path)), None)


def read(
    data: bytes,
    paths: Iterable[Path | AnyTag],
    *,
    default_charset: str = DEFAULT_TERM,
) -> Header:
    """Read elements of an instance.

    Parameters
    ----------
    data : bytes
        A DICOM file.
    paths : iterable of Path or Tag
        What to read; tags of group 0002 are looked up in the File Meta Information.
    default_charset : str, optional
        Defined term for instances without Specific Character Set.

    Raises
    ------
    NotDicom, Malformed, TooDeep
        If the instance cannot be read for certain.
    """
    return header_of(opened(data, default_charset), paths)


def header_of(instance: Instance, paths: Iterable[Path | AnyTag]) -> Header:
    """Read elements of an instance that is taken apart already."""
    wanted = [path if isinstance(path, Path) else Path(path) for path in paths]
    found = {path: tuple(_found(instance, path)) for path in wanted}
    return Header(found, instance.meta.transfer_syntax_uid)


def _found(instance: Instance, path: Path) -> Iterator[Element]:
    if not path.steps and isinstance(path.tag, int) and path.tag >> 16 == _FILE_META_GROUP:
        return _in_meta(instance.meta, path.tag)
    return _in_site(instance.site, path.steps, path.tag)


def _in_meta(meta: FileMeta, tag: Tag) -> Iterator[Element]:
    if tag in meta.elements:
        vr, raw = meta.elements[tag]
        yield Element(tag, vr, raw, ASCII)


def _in_site(site: Site, steps: tuple[Step, ...], tag: AnyTag) -> Iterator[Element]:
    place = steps[0].sequence if steps else tag
    for here in tags_of(place, site):
        if here not in site.tags:
            continue
        if not steps:
            yield site.element(here)
        else:
            yield from _in_items(site, here, steps, tag)


def _in_items(site: Site, sequence: Tag, steps: tuple[Step, ...], tag: AnyTag) -> Iterator[Element]:
    if site.vr(sequence) not in ("SQ", "UN"):
        return
    wanted = steps[0].index
    for index, item in enumerate(site.items(sequence)):
        if wanted is None or index == wanted:
            yield from _in_site(item.enter(), steps[1:], tag)


def pixel_digest(data: bytes) -> str | None:
    """Return the SHA-256 of the pixel data's value field, None where there is none.

    Of encapsulated pixel data that is every item with its header, the offset table included,
    without the sequence delimiter (PS3.5 A.4).

    Raises
    ------
    NotDicom, Malformed, TooDeep
        If the instance cannot be read for certain.
    """
    site = opened(data).site
    for tag in (PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_FLOAT_PIXEL_DATA):
        if tag in site.tags:
            return hashlib.sha256(site.raw(tag)).hexdigest()
    return None
