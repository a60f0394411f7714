"""Where instances are after an operation that gives them new UIDs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

Named = tuple[bytes, bytes]
"""A Study and a Series Instance UID, encoded; empty where there is none."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an instance is after the operation."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class UidMap:
    """Everything that an operation has moved. Build it once: it is prepared for many instances.

    Parameters
    ----------
    instances : mapping of str to Place
        By old SOP Instance UID; that UID may stay the same.
    series : mapping of str to (str, str)
        New Study and Series Instance UID by old Series Instance UID, of each series that moved as a
        whole to one series.
    studies : mapping of str to str
        New by old Study Instance UID, of each study that moved as a whole to one study.
    """

    instances: Mapping[str, Place]
    series: Mapping[str, tuple[str, str]]
    studies: Mapping[str, str]
    encoded: EncodedUids = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "encoded", _encoded(self))

    def with_(self, later: UidMap) -> UidMap:
        """Return this map with what a later operation has moved."""
        return UidMap(
            {**self.instances, **later.instances},
            {**self.series, **later.series},
            {**self.studies, **later.studies},
        )


@dataclass(frozen=True, slots=True)
class EncodedUids:
    """A :class:`UidMap` in the form of values that stand in instances, without padding.

    Parameters
    ----------
    values : mapping of bytes to bytes
        New by old UID, of all levels.
    studies : mapping of bytes to bytes
        The same, of studies alone.
    places : mapping of bytes to Named
        By old SOP Instance UID.
    series : mapping of bytes to Named
        By old Series Instance UID.
    lengths : frozenset of int
        The lengths that old UIDs have.
    findable : bool
        Whether all old UIDs are of a form that a search finds.
    """

    values: Mapping[bytes, bytes]
    studies: Mapping[bytes, bytes]
    places: Mapping[bytes, Named]
    series: Mapping[bytes, Named]
    lengths: frozenset[int]
    findable: bool

    def mentioned(self, stretches: Iterable[tuple[bytes, int, int]]) -> bool:
        """Tell whether any old UID may occur in some encoded bytes; never wrongly that none does.

        Parameters
        ----------
        stretches : iterable of (bytes, int, int)
            What to look through: bytes, start and end.
        """
        return self.is_among(uids_in(stretches))

    def is_among(self, found: Collection[bytes]) -> bool:
        """Tell the same by what `uids_in` has found."""
        old = self.values.keys()
        # After a value, the next header may begin with bytes that are digits.
        return bool(old) and (
            not self.findable
            or not old.isdisjoint(found)
            or any(
                text[:length] in old
                for text in found
                for length in self.lengths
                if length < len(text)
            )
        )


def uids_in(stretches: Iterable[tuple[bytes, int, int]]) -> frozenset[bytes]:
    """Return everything in some encoded bytes that begins like a UID; digits may follow it."""
    found: set[bytes] = set()
    for data, start, end in stretches:
        found.update(_UID.findall(data, start, end))
    return frozenset(found)


_UID = re.compile(rb"(?<!UI)[012]\.[0-9]+\.[0-9.]+")
"""A UID of three or more components; directly after the VR stands the length, not the value."""


def _encoded(uids: UidMap) -> EncodedUids:
    places = {_raw(old): place for old, place in uids.instances.items()}
    series = {_raw(old): (_raw(new[0]), _raw(new[1])) for old, new in uids.series.items()}
    studies = {_raw(old): _raw(new) for old, new in uids.studies.items()}
    values = {
        **studies,
        **{old: new for old, (_, new) in series.items()},
        **{old: _raw(place.sop_instance_uid) for old, place in places.items()},
    }
    return EncodedUids(
        values=values,
        studies=studies,
        places={
            old: (_raw(place.study_instance_uid), _raw(place.series_instance_uid))
            for old, place in places.items()
        },
        series=series,
        lengths=frozenset(map(len, values)),
        findable=all(_UID.fullmatch(old) for old in values),
    )


def _raw(uid: str) -> bytes:
    return uid.encode("utf_8")
