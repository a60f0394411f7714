"""Change an instance: the one place where Curator writes DICOM.

What no edit concerns comes out byte for byte as it went in. An instance whose structure is not
certain is refused, never written back with bytes lost or shifted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from curator.dicom import encoded, fallback
from curator.dicom.changes import changes_at
from curator.dicom.charset import DEFAULT_TERM
from curator.dicom.edits import Edits
from curator.dicom.errors import DoesNotFit, Malformed, NotDicom, OutOfOrder
from curator.dicom.filemeta import MetaPolicy, read_file_meta
from curator.dicom.instance import UI_HEADER, Instance
from curator.dicom.references import repairs
from curator.dicom.referring import STUDY_INSTANCE_UID
from curator.dicom.site import Changes
from curator.dicom.uidmap import UidMap
from curator.dicom.widen import widening_changes

Result = TypeVar("Result")


def apply(
    data: bytes,
    edits: Edits,
    *,
    meta: MetaPolicy = MetaPolicy.KEEP,
    default_charset: str = DEFAULT_TERM,
    uids: UidMap | None = None,
) -> bytes:
    """Return an instance with `edits` applied, and its references repaired.

    Parameters
    ----------
    data : bytes
        A DICOM file (PS3.10), in any transfer syntax.
    edits : Edits
        What to change.
    meta : MetaPolicy, optional
        Whether the rest of preamble and File Meta is kept or rebuilt, where anything changes.
    default_charset : str, optional
        Defined term for instances without Specific Character Set.
    uids : UidMap, optional
        What has moved, for the references to it. Where an edit concerns an element with such
        references, it is applied to the repaired element.

    Returns
    -------
    bytes
        The changed file; `data` itself where nothing changes. Where a new text does not fit the
        character set, all text of the instance is in UTF-8.

    Raises
    ------
    NotDicom, Malformed, TooDeep
        If the instance cannot be read for certain.
    EncodingError
        If text has to be converted to UTF-8 and is none in its declared character set.
    UnsupportedValue, UnsupportedInstance
        If an edit is impossible, or references cannot be brought together.
    """

    def edited(instance: Instance) -> bytes:
        return instance.changed(_changes(instance, edits, uids, default_charset), meta)

    instance = opened(data, default_charset)
    if edits.widens:
        instance = _widened(instance, default_charset)
    return fitting(instance, edited, default_charset)


def fitting(
    instance: Instance, function: Callable[[Instance], Result], default_charset: str = DEFAULT_TERM
) -> Result:
    """Return what `function` makes of an instance.

    Where a new text does not fit the character set, it is called again on the same instance with
    all text in UTF-8.

    Parameters
    ----------
    instance : Instance
        The original.
    function : callable
        May raise DoesNotFit, once.
    default_charset : str, optional
        Defined term for instances without Specific Character Set.

    Raises
    ------
    EncodingError
        If text has to be converted to UTF-8 and is none in its declared character set.
    """
    try:
        return function(instance)
    except DoesNotFit:
        return function(_widened(instance, default_charset))


def _changes(
    instance: Instance, edits: Edits, uids: UidMap | None, default_charset: str
) -> Changes:
    edited = changes_at(instance.site, edits.root)
    if uids is None:
        return edited
    repaired = repairs(instance.site, uids, _study_instance_uid(edited))
    both = repaired.keys() & edited.keys()
    if not both:
        return {**repaired, **edited}
    between = opened(instance.changed(repaired, MetaPolicy.KEEP), default_charset)
    again = changes_at(between.site, edits.root)
    return {**repaired, **edited, **{tag: again.get(tag, repaired[tag]) for tag in both}}


def _study_instance_uid(edited: Changes) -> str | None:
    """Return the new Study Instance UID, None where it stays as it is."""
    encoded = edited.get(STUDY_INSTANCE_UID, b"")
    return encoded[UI_HEADER:].rstrip(b"\0 ").decode("utf_8", "replace") or None


def opened(data: bytes, default_charset: str = DEFAULT_TERM) -> Instance:
    """Take an instance apart, directly or through pydicom.

    Parameters
    ----------
    data : bytes
        A DICOM file.
    default_charset : str, optional
        Defined term for instances without Specific Character Set.

    Raises
    ------
    NotDicom, Malformed, TooDeep
        If the instance cannot be read for certain.
    """
    try:
        return encoded.opened(data, default_charset)
    except OutOfOrder:
        raise  # pydicom would sort, and keep one of two
    except (NotDicom, Malformed) as problem:
        return fallback.opened(data, default_charset, problem)


def _widened(instance: Instance, default_charset: str) -> Instance:
    data = instance.changed(widening_changes(instance.site), MetaPolicy.KEEP)
    return opened(data, default_charset)


def transfer_syntax(data: bytes) -> str:
    """Return the transfer syntax UID that the file declares; empty where it declares none.

    Raises
    ------
    NotDicom, Malformed
        If there is no File Meta Information.
    """
    return read_file_meta(data).transfer_syntax_uid
