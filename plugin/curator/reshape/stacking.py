"""Several series become one: what forbids it, the new order of the instances and their numbers.

Pure. The series are handed in as their instances, in any order; what comes out depends on what they
are, not on how they are listed.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from statistics import median_low
from typing import Any

from curator.dicom.tags import Path, parse_path
from curator.reshape import duplicates as duplication
from curator.reshape import numbering
from curator.reshape.criteria import ORIENTATION_TOLERANCE, ByValue, Criterion, by_gap
from curator.reshape.duplicates import (
    ACQUIRED,
    ACQUISITION_NUMBER,
    POSITION_TOLERANCE,
    Dropped,
    Duplicates,
    Member,
    position,
)
from curator.reshape.numbering import INSTANCE_NUMBER, whole
from curator.reshape.values import Values

#: Spacings that differ relatively by less are one; as highdicom (``spatial``) and nibabel
#: (``none_or_close``) have it.
SPACING_TOLERANCE = 1e-5

#: Steps between slices that differ from their median by less, relatively and in mm, are even;
#: highdicom's tolerance for regular spacing.
STEP_TOLERANCE = 1e-2
LEAST_STEP_TOLERANCE = 1e-2

#: Value of Image Type by which Siemens marks what was split from a multi-frame instance.
MFSPLIT = "MFSPLIT"

# "Alternate SOP Class instance" (PS3.16 CID 7205), which Siemens names the multi-frame series by.
_ALTERNATE = ("121326", "DCM")

_ROWS = parse_path("Rows")
_SLICE_THICKNESS = parse_path("SliceThickness")
_ORIENTATION = parse_path("ImageOrientationPatient")
_PIXEL_SPACING = parse_path("PixelSpacing")
_IMAGER_PIXEL_SPACING = parse_path("ImagerPixelSpacing")
_TEXTS = tuple(map(parse_path, ("Modality", "SOPClassUID")))
_IMAGE_TEXTS = tuple(map(parse_path, ("FrameOfReferenceUID", "PhotometricInterpretation")))
_IMAGE_NUMBERS = (
    _ROWS,
    *map(parse_path, ("Columns", "BitsAllocated", "BitsStored", "HighBit")),
    *map(parse_path, ("PixelRepresentation", "SamplesPerPixel")),
)
_RELATED_UID = parse_path("RelatedSeriesSequence[*].SeriesInstanceUID")
_RELATED_CODE = parse_path("RelatedSeriesSequence[*].PurposeOfReferenceCodeSequence[*].CodeValue")
_RELATED_SCHEME = parse_path(
    "RelatedSeriesSequence[*].PurposeOfReferenceCodeSequence[*].CodingSchemeDesignator"
)

_CREATED = by_gap(parse_path("ContentTime"), 0.0)

# What tells the volumes apart that are at one place.
_VOLUMES: tuple[Criterion, ...] = (
    ByValue(ACQUISITION_NUMBER),
    ByValue(parse_path("TemporalPositionIdentifier")),
    ByValue(parse_path("EchoTime")),
    ACQUIRED,
)

#: The elements that `check` and `stack` read.
PATHS: tuple[Path, ...] = tuple(
    dict.fromkeys(
        (
            *_TEXTS,
            *_IMAGE_TEXTS,
            *_IMAGE_NUMBERS,
            _ORIENTATION,
            _PIXEL_SPACING,
            _IMAGER_PIXEL_SPACING,
            _SLICE_THICKNESS,
            *duplication.PATHS,
            *numbering.PATHS,
            *_CREATED.paths,
            *(path for criterion in _VOLUMES for path in criterion.paths),
        )
    )
)

#: The elements that `named_series` reads.
RELATED_PATHS: tuple[Path, ...] = (_RELATED_UID, _RELATED_CODE, _RELATED_SCHEME)


class OrderedBy(StrEnum):
    """What the order of the instances was taken from."""

    POSITION = "Position"
    TIME = "Time"
    INSTANCE_NUMBER = "InstanceNumber"


@dataclass(frozen=True)
class Difference:
    """An element in which an instance differs from the target series.

    Parameters
    ----------
    keyword : str
    target_values, values : tuple of str
        Of the target series and of the first instance that differs; none where absent.
    series : str
        Orthanc identifier of the series of that instance, which may be the target itself.
    """

    keyword: str
    target_values: tuple[str, ...] = field(repr=False)
    values: tuple[str, ...] = field(repr=False)
    series: str

    def __str__(self) -> str:
        return f"{self.keyword} differs in series {self.series}"


@dataclass(frozen=True)
class Stack:
    """The instances of one series, in order.

    Parameters
    ----------
    order : tuple of Member
        Those that are kept.
    ordered_by : OrderedBy
    numbers : tuple of int or None
        New instance numbers by member of ``order``; None where those that are there can stay.
    dropped : tuple of Dropped
    warnings : tuple of str
    """

    order: tuple[Member, ...]
    ordered_by: OrderedBy
    numbers: tuple[int, ...] | None
    dropped: tuple[Dropped, ...]
    warnings: tuple[str, ...]


def check(members: Sequence[Member], target: str) -> list[Difference]:
    """Return what forbids that the members are one series: one entry per series and keyword.

    Instances without Rows only have to agree in Modality and SOP Class UID.

    Parameters
    ----------
    members : sequence of Member
    target : str
        Orthanc identifier of the series that all have to agree with.
    """
    found: dict[tuple[str, str], Difference] = {}
    ordered = _as_given(members, target, ())
    for member in ordered:
        for difference in _differences(ordered[0].values, member):
            found.setdefault((difference.series, difference.keyword), difference)
    return list(found.values())


def stack(
    members: Sequence[Member], target: str, duplicates: Duplicates, sources: Sequence[str] = ()
) -> Stack:
    """Drop duplicates, and put the other members into the order that they have as one series.

    By position along the normal of the slices, where all have one; several volumes at one place
    follow each other. Else by time, else as the series are given and numbered.

    Parameters
    ----------
    members : sequence of Member
        Of all series, in any order.
    target : str
        Orthanc identifier of the series that they become; it comes first.
    duplicates : Duplicates
    sources : sequence of str, optional
        Orthanc identifiers of the other series in the order given; those that are left out follow
        by their identifiers.

    Raises
    ------
    Conflict
        If there are duplicates and they are refused.
    """
    given = _as_given(members, target, sources)
    kept, dropped = duplication.resolve(given, duplicates)
    warnings = list(_thickness_warnings(kept))
    slices = _slices(kept)
    if slices is not None:
        backwards = _is_numbered_backwards(slices, [one for one in given if one.series == target])
        order, ordered_by = _by_position(kept, slices, backwards), OrderedBy.POSITION
        warnings += _spacing_warnings(slices)
    else:
        order, ordered_by = _by_time(kept)
    return Stack(tuple(order), ordered_by, _numbers(order), dropped, tuple(warnings))


def named_series(values: Values) -> tuple[str, ...]:
    """Return the Series Instance UIDs that an instance names as another form of its own series.

    Those in Related Series Sequence (0008,1250) with the purpose (121326, DCM, "Alternate SOP Class
    instance"). Items have one purpose each (PS3.3 C.7.3.1); where one has none or several, it is
    not certain which purpose is whose, and no series is named.
    """
    uids = values.strings(_RELATED_UID)
    codes = values.strings(_RELATED_CODE)
    schemes = values.strings(_RELATED_SCHEME)
    if not len(uids) == len(codes) == len(schemes):
        return ()
    purposes = zip(codes, schemes, strict=True)
    return tuple(uid for uid, purpose in zip(uids, purposes, strict=True) if purpose == _ALTERNATE)


def related_series(named: Mapping[str, Collection[str]]) -> list[frozenset[str]]:
    """Return the series that belong together, since one names the other or both name a third.

    So do the series into which Siemens splits one multi-frame acquisition, whether the multi-frame
    series is there or not.

    Parameters
    ----------
    named : mapping
        By Series Instance UID of each series of a study, what `named_series` returns for it.

    Returns
    -------
    list of frozenset of str
        Sets of two series and more, in the order of their first one.
    """
    parts: dict[str, set[str]] = {}
    for uid, others in named.items():
        joined = {uid, *others}.union(*(parts.get(one, ()) for one in (uid, *others)))
        parts |= dict.fromkeys(joined, joined)
    present = (frozenset(parts[uid] & named.keys()) for uid in named)
    return [part for part in dict.fromkeys(present) if len(part) > 1]


# What forbids it


def _differences(target: Values, member: Member) -> Iterator[Difference]:
    for path, agree in _comparisons(target, member.values):
        if not agree:
            yield Difference(
                str(path), target.strings(path), member.values.strings(path), member.series
            )


def _comparisons(target: Values, other: Values) -> Iterator[tuple[Path, bool]]:
    for path in _TEXTS:
        yield path, _texts(target, path) == _texts(other, path)
    if not _texts(target, _ROWS) and not _texts(other, _ROWS):
        return
    for path in _IMAGE_TEXTS:
        yield path, _texts(target, path) == _texts(other, path)
    for path in _IMAGE_NUMBERS:
        yield path, _agree(target, other, path)
    yield _ORIENTATION, _agree(target, other, _ORIENTATION, absolute=ORIENTATION_TOLERANCE)
    calibrated = _texts(target, _PIXEL_SPACING) or _texts(other, _PIXEL_SPACING)
    spacing = _PIXEL_SPACING if calibrated else _IMAGER_PIXEL_SPACING
    yield spacing, _agree(target, other, spacing, relative=SPACING_TOLERANCE)


def _texts(values: Values, path: Path) -> tuple[str, ...]:
    """Return the values of an element; none where it is empty."""
    texts = values.strings(path)
    return texts if any(texts) else ()


def _agree(
    one: Values, other: Values, path: Path, *, relative: float = 0.0, absolute: float = 0.0
) -> bool:
    """Compare numbers; as texts where they are none."""
    texts, other_texts = _texts(one, path), _texts(other, path)
    numbers, other_numbers = one.numbers(path), other.numbers(path)
    if len(numbers) != len(texts) or len(other_numbers) != len(other_texts):
        return texts == other_texts
    return len(numbers) == len(other_numbers) and all(
        math.isclose(a, b, rel_tol=relative, abs_tol=absolute)
        for a, b in zip(numbers, other_numbers, strict=True)
    )


# Order


@dataclass(frozen=True)
class _Slices:
    """Where slices are along their normal (mm, ascending), and at which place each one is."""

    normal: tuple[float, float, float]
    places: tuple[float, ...]
    place_of: tuple[int, ...]

    @property
    def counts(self) -> Counter[int]:
        """How many instances are at each place."""
        return Counter(self.place_of)

    @property
    def is_regular(self) -> bool:
        """Whether there are as many instances at every place."""
        return len(set(self.counts.values())) == 1


def _as_given(members: Sequence[Member], target: str, sources: Sequence[str]) -> list[Member]:
    """Return each member once, by series as given, instance number and identifiers."""
    ranks = {series: rank for rank, series in enumerate(dict.fromkeys((target, *sources)))}

    def place(member: Member) -> tuple[int, str, bool, int, str, str]:
        number = whole(member.values, INSTANCE_NUMBER)
        numbered = (number is None, number or 0)
        rank = ranks.get(member.series, len(ranks))
        uid = member.values.sop_instance_uid
        return rank, member.series, *numbered, uid, member.orthanc_id

    return sorted({member.orthanc_id: member for member in members}.values(), key=place)


def _slices(members: Sequence[Member]) -> _Slices | None:
    """Return where the members are, None if one has no position or orientation."""
    normals = [_normal(member.values) for member in members]
    normal = next(iter(normals), None)
    if normal is None or None in normals:
        return None
    found = [_projection(normal, member) for member in members]
    projections = [one for one in found if one is not None]
    if len(projections) < len(members):
        return None
    places: list[float] = []
    place_of = [0] * len(projections)
    for index in sorted(range(len(projections)), key=projections.__getitem__):
        if not places or projections[index] - places[-1] > POSITION_TOLERANCE:
            places.append(projections[index])
        place_of[index] = len(places) - 1
    return _Slices(normal, tuple(places), tuple(place_of))


def _normal(values: Values) -> tuple[float, float, float] | None:
    """Return the unit normal of the slice: row direction cross column direction (PS3.3 C.7.6.2)."""
    cosines = values.numbers(_ORIENTATION)
    if len(cosines) != 6:
        return None
    (a, b, c), (d, e, f) = cosines[:3], cosines[3:]
    x, y, z = b * f - c * e, c * d - a * f, a * e - b * d
    length = math.hypot(x, y, z)
    if not ORIENTATION_TOLERANCE < length < math.inf:
        return None
    return x / length, y / length, z / length


def _projection(normal: tuple[float, float, float], member: Member) -> float | None:
    """Return the position along the normal in mm."""
    place = position(member.values)
    if not place:
        return None
    along = sum(a * b for a, b in zip(normal, place, strict=True))
    return along if math.isfinite(along) else None


def _is_numbered_backwards(slices: _Slices, members: Sequence[Member]) -> bool:
    """Tell whether most steps from one instance number to the next go against the normal."""
    numbered = []
    for member in members:
        number = whole(member.values, INSTANCE_NUMBER)
        along = _projection(slices.normal, member)
        if number is not None and along is not None:
            numbered.append((number, along))
    steps = [
        next_along - along
        for (number, along), (next_number, next_along) in pairwise(sorted(numbered))
        if next_number > number
    ]
    forwards = sum(step > POSITION_TOLERANCE for step in steps)
    backwards = sum(step < -POSITION_TOLERANCE for step in steps)
    return backwards > forwards


def _by_position(members: Sequence[Member], slices: _Slices, backwards: bool) -> list[Member]:
    """Order by place; volume by volume where there are as many instances at every place.

    The volume of an instance is its rank among those at its place, since times and acquisition
    numbers may differ from slice to slice within one volume too.
    """
    at_place: dict[int, list[int]] = defaultdict(list)
    for index in _by_volume(members):
        at_place[slices.place_of[index]].append(index)
    places = [at_place[place] for place in sorted(at_place, reverse=backwards)]
    rows = zip(*places, strict=True) if slices.is_regular else places
    return [members[index] for row in rows for index in row]


def _by_volume(members: Sequence[Member]) -> list[int]:
    """Return indexes by what tells volumes apart, then as given.

    Instance numbers count within their series only; hence the series before the number.
    """
    values = [member.values for member in members]
    columns = [criterion.keys(values) for criterion in _VOLUMES]

    def volume(index: int) -> tuple[tuple[bool, Any], ...]:
        return tuple((column[index] is None, column[index]) for column in columns)

    return sorted(range(len(members)), key=volume)


def _by_time(members: Sequence[Member]) -> tuple[list[Member], OrderedBy]:
    """Order by the time of acquisition or else of creation, as given where that says nothing."""
    for clock in (ACQUIRED, _CREATED):
        read = (clock.read(member.values) for member in members)
        times = [time for time in read if time is not None]
        if len(times) == len(members) and len(set(times)) > 1:
            indexes = sorted(range(len(members)), key=times.__getitem__)
            return [members[index] for index in indexes], OrderedBy.TIME
    return list(members), OrderedBy.INSTANCE_NUMBER


def _numbers(order: Sequence[Member]) -> tuple[int, ...] | None:
    values = [member.values for member in order]
    if numbering.instance_numbers(values) is None:
        present = [number for one in values if (number := whole(one, INSTANCE_NUMBER)) is not None]
        if present == sorted(present):
            return None
    return tuple(range(1, len(order) + 1))


# Warnings


def _thickness_warnings(members: Sequence[Member]) -> Iterator[str]:
    others = [
        member.series
        for member in members[1:]
        if not _agree(
            members[0].values, member.values, _SLICE_THICKNESS, relative=SPACING_TOLERANCE
        )
    ]
    for series in dict.fromkeys(others):
        yield f"SliceThickness differs in series {series}"


def _spacing_warnings(slices: _Slices) -> Iterator[str]:
    if not slices.is_regular:
        most = max(slices.counts.values())
        fewer = sum(count < most for count in slices.counts.values())
        yield (
            f"{fewer} of {len(slices.places)} positions hold fewer instances than the others, so"
            " the order is position by position"
        )
    steps = [after - before for before, after in pairwise(slices.places)]
    if not steps:
        return
    usual = median_low(steps)
    tolerance = max(STEP_TOLERANCE * usual, LEAST_STEP_TOLERANCE)
    gaps = sum(step > usual + tolerance for step in steps)
    if gaps:
        yield f"There are {gaps} gaps between slices that are wider than the usual spacing"
    narrow = sum(step < usual - tolerance for step in steps)
    if narrow:
        yield f"There are {narrow} steps between slices that are narrower than the usual spacing"
