"""Rewrite the references of one instance: UIDs by value, hierarchical lists item by item.

A list of studies, series and instances says where each instance is (PS3.3 10.3, C.12.2, C.17.2).
When the instances of one item now are in several places, the item is divided; items that now name
the same place are joined (:mod:`.listing`). Everything else follows by value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from curator.dicom.encode import Encoding, encode_element
from curator.dicom.listing import Listing, Part
from curator.dicom.referring import (
    OTHER_STUDIES,
    OWN_IDENTIFIERS,
    REFERENCED_INSTANCES,
    REFERENCED_SERIES,
    REFERENCED_SOP_CLASS_UID,
    REFERENCED_SOP_INSTANCE_UID,
    RT_STUDIES,
    SERIES_INSTANCE_UID,
    SIGNATURES,
    STUDY_INSTANCE_UID,
    STUDY_LISTS,
    UNREFERRING,
    WITH_A_ROLE,
    entered,
    is_entered,
    is_stored,
    uid_of,
    within,
)
from curator.dicom.site import Changes, Site, SiteItem
from curator.dicom.uidmap import EncodedUids, Named

_FILED = (REFERENCED_SERIES, OTHER_STUDIES)
"""The lists of the Common Instance Reference Module: of the own study, of other studies."""


def top_changes(site: Site, uids: EncodedUids, old: bytes, new: bytes) -> Changes:
    """Return what changes in a data set; its own identifiers are not looked at.

    Parameters
    ----------
    site : Site
        The top level.
    uids : EncodedUids
        What became what.
    old, new : bytes
        The study the object was in, and the one it is going to be in; empty where it has none.

    Raises
    ------
    DicomError
        If a sequence is malformed, nested too deeply, or its items cannot be brought together.
    """
    if not _is_common(site):
        return _unsigned(site, _level(site, uids, OWN_IDENTIFIERS))
    changes = _level(site, uids, {*OWN_IDENTIFIERS, *_FILED})
    present = [tag for tag in _FILED if tag in site.tags]
    if old != new or any(_may_refer(site, tag, uids) for tag in present):
        changes |= _filed(site, uids, old, new)
    return _unsigned(site, changes)


def _is_common(site: Site) -> bool:
    """Tell whether there is a Common Instance Reference Module (PS3.3 C.12.2).

    Its list at top level has the same name as that of a presentation state (PS3.3 C.11.11), which
    lists images and stays in its place.
    """
    if REFERENCED_SERIES in site.tags:
        return _holds(site, REFERENCED_SERIES, lambda item: REFERENCED_INSTANCES in item.tags)
    return OTHER_STUDIES in site.tags


def _unsigned(site: Site, changes: Changes) -> Changes:
    """Return `changes` with the signatures of a level removed, if it changes at all."""
    if not changes:
        return changes
    return {**changes, **{tag: b"" for tag in SIGNATURES if tag in site.tags}}


def _level(
    site: Site, uids: EncodedUids, apart: Collection[int] = (), holder: int = 0
) -> dict[int, bytes]:
    """Return what changes at a level and below, but for `apart`; `holder` is its sequence."""
    changes: dict[int, bytes] = {}
    for tag in site.tags:
        if tag in apart:
            continue
        changed = _changed(site, tag, uids, holder)
        if changed is not None:
            changes[tag] = changed
    return changes


def _changed(site: Site, tag: int, uids: EncodedUids, holder: int) -> bytes | None:
    vr = site.vr(tag)
    if vr == "UI" or (vr == "UN" and site.known_vr(tag) == "UI"):
        if tag in UNREFERRING:
            return None
        names_study = holder in STUDY_LISTS and tag == REFERENCED_SOP_INSTANCE_UID
        return _by_value(site, tag, vr, uids.studies if names_study else uids.values)
    return _sequence(site, tag, uids) if is_entered(site, tag) else None


def _by_value(site: Site, tag: int, vr: str, new: Mapping[bytes, bytes]) -> bytes | None:
    old = [value.strip(b" \0") for value in site.raw(tag).split(b"\\")]
    values = [new.get(value, value) for value in old]
    if values == old:
        return None
    return _encoded_uid(tag, b"\\".join(values), site.encoding, vr)


def _encoded_uid(tag: int, uid: bytes, encoding: Encoding, vr: str = "UI") -> bytes:
    return encode_element(tag, vr, uid + b"\0" * (len(uid) % 2), encoding)


def _sequence(site: Site, tag: int, uids: EncodedUids) -> bytes | None:
    if not site.depth and not _may_refer(site, tag, uids):
        return None
    listing = _rewritten(site, tag, uids)
    return listing.encoded(tag, site.encoding) if listing.changed else None


def _may_refer(site: Site, tag: int, uids: EncodedUids) -> bool:
    encoded = site.encoded(tag)
    return uids.mentioned([(encoded, 0, len(encoded))])


def _rewritten(site: Site, tag: int, uids: EncodedUids, study: bytes | None = None) -> Listing:
    """Return a present sequence as it is going to be.

    `study` is the one that all its items were in; without it, its series are listed as those of no
    study in particular.
    """
    with within(tag):
        items = entered(site, tag)
        parts = [part for one in items for part in _parts(*one, tag, uids, study)]
    listing = _listing(site, tag, parts)
    if tag not in WITH_A_ROLE and listing.changed:
        listing.join()
    return listing


def _listing(site: Site, tag: int, parts: list[Part]) -> Listing:
    outer = site.encoding
    explicit = outer.explicit and site.vr(tag) == "SQ"
    encoding = Encoding(explicit, outer.charset, outer.order)
    return Listing(encoding, site.is_delimited(tag), parts)


def _parts(
    item: SiteItem, site: Site, tag: int, uids: EncodedUids, study: bytes | None
) -> list[Part]:
    """Return what becomes of one item."""
    if SERIES_INSTANCE_UID in site.tags:
        leaves = [inner for inner in site.tags if _holds(site, inner, _is_leaf)]
        if leaves:
            return _series(item, site, uids, leaves, study)
        if study is not None or not _PLACES.isdisjoint(site.tags):
            return [_without_leaves(item, site, uids, study)]
    else:
        study_tag = REFERENCED_SOP_INSTANCE_UID if tag == RT_STUDIES else STUDY_INSTANCE_UID
        series = study_tag in site.tags and [
            inner for inner in site.tags if _holds(site, inner, _names_series)
        ]
        if series:
            return _study(item, site, uids, series, study_tag)
    return [_part(item, site, _level(site, uids, holder=tag))]


_PLACES = {STUDY_INSTANCE_UID, REFERENCED_SOP_INSTANCE_UID}
"""What stands beside a Series Instance UID where an item says where one thing is."""


def _holds(site: Site, tag: int, wanted: Callable[[Site], bool]) -> bool:
    """Tell whether an element is a sequence with an item of a certain kind."""
    if tag in STUDY_LISTS or not is_entered(site, tag):
        return False
    with within(tag):
        return any(wanted(inner) for _, inner in entered(site, tag))


def _names_series(site: Site) -> bool:
    return SERIES_INSTANCE_UID in site.tags


def _is_leaf(site: Site) -> bool:
    if REFERENCED_SOP_INSTANCE_UID not in site.tags:
        return False
    return is_stored(uid_of(site, REFERENCED_SOP_CLASS_UID).decode("latin_1"))


def _part(
    item: SiteItem,
    site: Site,
    changes: Changes,
    named: Named | None = None,
    lists: dict[int, Listing] | None = None,
) -> Part:
    def assembled(changes: Changes) -> bytes:
        return site.assembled(_unsigned(site, changes))

    return Part(item.encoded, item.delimited, site.encoding, assembled, changes, named, lists or {})


def _series(
    item: SiteItem, site: Site, uids: EncodedUids, leaves: list[int], study: bytes | None
) -> list[Part]:
    """Return the parts of an item that lists instances of a series, one for each new series.

    Where neither the item nor what holds it names a study, it is divided by series alone.
    """
    home = _home(site, study, uids)
    lists: dict[int, Listing] = {}
    placed: list[_Placed] = []
    for tag in leaves:
        lists[tag] = _listing(site, tag, [])
        with within(tag):
            for leaf, level in entered(site, tag):
                place = uids.places.get(uid_of(level, REFERENCED_SOP_INSTANCE_UID), home)
                named = place if _names_study(site, study) else (b"", place[1])
                placed += [(named, tag, part) for part in _parts(leaf, level, tag, uids, None)]
    others = _level(site, uids, {SERIES_INSTANCE_UID, STUDY_INSTANCE_UID, *leaves})
    return [
        _part(item, site, others | _naming(site, named), named, share)
        for named, share in _shares(lists, placed).items()
    ]


def _without_leaves(item: SiteItem, site: Site, uids: EncodedUids, study: bytes | None) -> Part:
    """Return an item that names a whole series, or one instance together with its series."""
    instance = uids.places.get(uid_of(site, REFERENCED_SOP_INSTANCE_UID))
    named = instance or _home(site, study, uids)
    others = _level(site, uids, {SERIES_INSTANCE_UID, STUDY_INSTANCE_UID})
    changes = others | _naming(site, named)
    return _part(item, site, changes, named if study is not None else None)


def _names_study(site: Site, study: bytes | None) -> bool:
    return study is not None or STUDY_INSTANCE_UID in site.tags


def _home(site: Site, study: bytes | None, uids: EncodedUids) -> Named:
    """Return where a series is, in the study that the item names, or in the one around it.

    Instances that nobody has moved, such as those that were never stored, are where all others of
    their series or study have gone.
    """
    own = uid_of(site, STUDY_INSTANCE_UID) if STUDY_INSTANCE_UID in site.tags else study or b""
    series = uid_of(site, SERIES_INSTANCE_UID)
    return uids.series.get(series) or (uids.studies.get(own, own), series)


def _study(
    item: SiteItem, site: Site, uids: EncodedUids, series: list[int], study_tag: int
) -> list[Part]:
    """Return the parts of an item that lists series of a study, one for each new study."""
    old = uid_of(site, study_tag)
    home = uids.studies.get(old, old)
    lists = {tag: _rewritten(site, tag, uids, old) for tag in series}
    placed: list[_Placed] = [
        ((part.named[0] if part.named else home, b""), tag, part)
        for tag, listing in lists.items()
        for part in listing.parts
    ]
    others = _level(site, uids, {study_tag, *series})
    return [
        _part(item, site, others | _naming(site, named, study_tag), named, share)
        for named, share in _shares(lists, placed).items()
    ]


def _naming(site: Site, named: Named, study_tag: int = STUDY_INSTANCE_UID) -> dict[int, bytes]:
    """Return what changes for an item to name a study and series, as far as it names them."""
    return {
        tag: _encoded_uid(tag, uid, site.encoding, site.vr(tag))
        for tag, uid in ((study_tag, named[0]), (SERIES_INSTANCE_UID, named[1]))
        if tag in site.tags and uid_of(site, tag) != uid
    }


_Placed = tuple[Named, int, Part]
"""A part of a list: what names it now, and the tag of the list."""


def _shares(lists: dict[int, Listing], placed: list[_Placed]) -> dict[Named, dict[int, Listing]]:
    """Divide the lists of an item among the places that their parts are in, in their order."""
    found: dict[Named, dict[int, list[Part]]] = {}
    for named, tag, part in placed:
        found.setdefault(named, {}).setdefault(tag, []).append(part)
    sizes = Counter(tag for _, tag, _ in placed)

    def share(tag: int, parts: list[Part]) -> Listing:
        listing = lists[tag]
        return replace(listing, parts=parts, altered=listing.altered or len(parts) < sizes[tag])

    return {
        named: {tag: share(tag, parts.get(tag, [])) for tag in lists}
        for named, parts in found.items()
    }


def _filed(site: Site, uids: EncodedUids, old: bytes, new: bytes) -> dict[int, bytes]:
    """Return what changes in the lists of the Common Instance Reference Module (PS3.3 C.12.2).

    Series of the object's own study are listed at top level, those of others study by study.
    """
    lists = {
        tag: _rewritten(site, tag, uids, old if tag == REFERENCED_SERIES else None)
        for tag in _FILED
        if tag in site.tags
    }
    delimited = next(iter(lists.values())).delimited
    own, others = (lists.get(tag) or Listing(site.encoding, delimited, []) for tag in _FILED)
    if old:
        _exchange(own, others, new)
    return {
        tag: listing.encoded(tag, site.encoding)
        for tag, listing in zip(_FILED, (own, others), strict=True)
        if listing.changed
    }


def _exchange(own: Listing, others: Listing, new: bytes) -> None:
    """Bring the series of the study `new` into `own`, and those of other studies into `others`."""
    leaving = own.without(lambda part: part.named is not None and part.named[0] != new)
    arriving = others.without(
        lambda part: part.named == (new, b"") and part.lists.keys() == {REFERENCED_SERIES}
    )
    if leaving:
        studies = [_new_study(part, own, others.encoding) for part in leaving]
        others.extend(studies, others.encoding)
    for study in arriving:
        series = study.lists[REFERENCED_SERIES]
        own.extend(series.parts, series.encoding)


def _new_study(series: Part, listing: Listing, encoding: Encoding) -> Part:
    """Return a new item for the study of one series; those of one study are joined later."""
    study = (series.named or (b"", b""))[0]
    return Part(
        b"",
        series.delimited,
        encoding,
        lambda changes: b"".join(chunk for _, chunk in sorted(changes.items())),
        {STUDY_INSTANCE_UID: _encoded_uid(STUDY_INSTANCE_UID, study, encoding)},
        (study, b""),
        {REFERENCED_SERIES: replace(listing, parts=[series], altered=True)},
    )
