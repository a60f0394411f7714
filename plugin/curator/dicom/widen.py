"""Bring the text of a whole data set into UTF-8, ISO_IR 192 (PS3.3 C.12.1.1.2)."""

from __future__ import annotations

from curator.dicom.changes import sequence_of
from curator.dicom.charset import TEXT_VRS, UTF_8_TERM
from curator.dicom.encode import encode_element
from curator.dicom.errors import EncodingError
from curator.dicom.site import Changes, Site, SiteItem
from curator.dicom.tags import SPECIFIC_CHARACTER_SET, Tag, tag_text


def widening_changes(site: Site, *, top: bool = True) -> Changes:
    """Return what changes when every text of a level, at every depth, is encoded in UTF-8.

    Bytes of unknown VR are left alone: nobody can tell whether they are text.

    Parameters
    ----------
    site : Site
        The level, with the character set that is in force.
    top : bool, optional
        Whether it is the data set itself, which then declares the character set.

    Raises
    ------
    EncodingError
        If bytes are no text in the character set they are declared in.
    """
    changes: dict[int, bytes] = {}
    for tag in site.tags:
        changed = _widened(site, tag)
        if changed is not None:
            changes[tag] = changed
    if top or SPECIFIC_CHARACTER_SET in site.tags:
        raw = UTF_8_TERM.encode("ascii")
        changes[SPECIFIC_CHARACTER_SET] = encode_element(
            SPECIFIC_CHARACTER_SET, "CS", raw, site.encoding
        )
    return changes


def _widened(site: Site, tag: int) -> bytes | None:
    vr = site.vr(tag)
    if vr == "SQ" or (vr == "UN" and (site.is_delimited(tag) or site.known_vr(tag) == "SQ")):
        return sequence_of(site, tag, _widened_item)
    known = site.known_vr(tag) if vr == "UN" else vr
    if known not in TEXT_VRS:
        return None
    raw = site.raw(tag)
    if raw.isascii() and b"\x1b" not in raw:
        return None
    try:
        text = site.element(tag).padded_text(known)
    except EncodingError as problem:
        raise EncodingError(f"{tag_text(Tag(tag))}: {problem}") from None
    encoded = text.encode("utf_8")
    return encode_element(tag, vr, encoded + b" " * (len(encoded) % 2), site.encoding)


def _widened_item(_index: int, item: SiteItem) -> tuple[Site, Changes]:
    site = item.enter()
    return site, widening_changes(site, top=False)
