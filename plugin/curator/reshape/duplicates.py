"""Instances that say the same twice, where several series become one; pure.

Duplicates are, in this order: copies with one SOP Instance UID; the same pixel data at the same
position; and other pixel data at the same position with nothing in the header that separates them,
as a slice that was reconstructed twice has it.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from curator.dicom.tags import Path, parse_path
from curator.errors import Conflict
from curator.reshape.criteria import READY_SETS, ByTolerance, ByValue, Criterion, Key, by_gap
from curator.reshape.numbering import INSTANCE_NUMBER, whole
from curator.reshape.values import Values

#: Positions (mm) that differ by no more, in each coordinate, are one; far below any slice spacing,
#: far above what differs between two series that were prescribed at one place.
POSITION_TOLERANCE = 1e-3

IMAGE_POSITION = parse_path("ImagePositionPatient")
ACQUISITION_NUMBER = parse_path("AcquisitionNumber")

#: When an instance was acquired: Acquisition DateTime, or Acquisition Date with Acquisition Time.
ACQUIRED = by_gap(parse_path("AcquisitionDateTime"), 0.0)

# What sets apart instances at one position on purpose. GE and Siemens have had the direction of
# diffusion in private places before the standard had one.
_SEPARATING: tuple[Criterion, ...] = (
    ACQUIRED,
    *(
        criterion
        for name in (
            *("Orientation", "Echo", "BValue", "Acquisition", "TemporalPosition"),
            *("ImageType", "Component"),
        )
        for criterion in READY_SETS[name]
    ),
    *(
        ByValue(parse_path(element))
        for element in (
            *("DiffusionGradientOrientation", "SequenceName", "RepetitionTime", "InversionTime"),
            *("FlipAngle", "TriggerTime", "ReceiveCoilName", "FrameReferenceTime"),
            *("ConvolutionKernel", "KVP", '(0019,"SIEMENS MR HEADER",0E)'),
            *(f'(0019,"GEMS_ACQU_01",{number})' for number in ("BB", "BC", "BD")),
        )
    ),
)

#: The elements that finding duplicates reads.
PATHS: tuple[Path, ...] = (
    IMAGE_POSITION,
    INSTANCE_NUMBER,
    *(path for criterion in _SEPARATING for path in criterion.paths),
)


@dataclass(frozen=True)
class Member:
    """An instance of the series that become one.

    Parameters
    ----------
    orthanc_id : str
    series : str
        Orthanc identifier of the series that it is in.
    values : Values
    pixel_digest : str or None
        Of the pixel data; None where there are none, or they were not looked at.
    """

    orthanc_id: str
    series: str
    values: Values
    pixel_digest: str | None


class Duplicates(StrEnum):
    """Which one of several duplicates stays."""

    REFUSE = "Refuse"
    KEEP_FIRST = "KeepFirst"
    KEEP_LAST = "KeepLast"
    KEEP_HIGHEST_ACQUISITION = "KeepHighestAcquisition"


class Reason(StrEnum):
    """What duplicates have in common."""

    SOP_INSTANCE_UID = "SOPInstanceUID"
    PIXEL_DATA = "PixelData"
    POSITION = "Position"


class Dropped(NamedTuple):
    """A member that goes, and the one that is kept in its place."""

    member: Member
    kept: Member
    reason: Reason


def resolve(
    members: Sequence[Member], duplicates: Duplicates
) -> tuple[tuple[Member, ...], tuple[Dropped, ...]]:
    """Return the members that stay and those that go, both in the order given.

    ``KeepFirst`` and ``KeepLast`` mean this order. ``KeepHighestAcquisition`` keeps the highest
    Acquisition Number, of several the one acquired last, of several the last in this order.

    Raises
    ------
    Conflict
        If there are duplicates and they are refused.
    """
    order = {member.orthanc_id: index for index, member in enumerate(members)}
    going: dict[str, Dropped] = {}
    for reason, keys in _keys(members).items():
        groups: dict[Hashable, list[Member]] = defaultdict(list)
        for member, key in zip(members, keys, strict=True):
            if key is not None and member.orthanc_id not in going:
                groups[key].append(member)
        for group in groups.values():
            kept = _choice(group, duplicates)
            for member in group:
                if member is not kept:
                    going[member.orthanc_id] = Dropped(member, kept, reason)
    dropped = [one._replace(kept=_staying(one.kept, going)) for one in going.values()]
    dropped.sort(key=lambda one: order[one.member.orthanc_id])
    if dropped and duplicates == Duplicates.REFUSE:
        raise Conflict(_refusal(dropped))
    return tuple(one for one in members if one.orthanc_id not in going), tuple(dropped)


def position(values: Values) -> tuple[float, ...]:
    """Return the position of the first pixel in mm, three numbers, or nothing."""
    found = values.numbers(IMAGE_POSITION)
    return found if len(found) == 3 else ()


def _keys(members: Sequence[Member]) -> dict[Reason, list[Hashable]]:
    """Return for each member what its duplicates share, None where it can have none."""
    values = [member.values for member in members]
    positions = _positions(values)
    columns = [criterion.keys(values) for criterion in _SEPARATING]
    headers: list[Hashable] = list(zip(positions, *columns, strict=True))
    return {
        Reason.SOP_INSTANCE_UID: [one.sop_instance_uid for one in values],
        Reason.PIXEL_DATA: _pixel_keys(members, positions, headers),
        Reason.POSITION: [
            None if place is None else header
            for place, header in zip(positions, headers, strict=True)
        ],
    }


def _positions(values: Sequence[Values]) -> list[Key | None]:
    """Return a key for each position; the widest axis first, which is quick to search."""
    found = [one for one in map(position, values) if one]
    widths = [max(axis) - min(axis) for axis in zip(*found, strict=True)]
    axes = sorted(range(len(widths)), key=lambda axis: -widths[axis])

    def read(one: Values) -> tuple[float, ...]:
        place = position(one)
        return tuple(place[axis] for axis in axes) if place else ()

    paths = (IMAGE_POSITION,)
    return ByTolerance("Position", paths, POSITION_TOLERANCE, read).keys(values)


def _pixel_keys(
    members: Sequence[Member], positions: Sequence[Key | None], headers: Sequence[Hashable]
) -> list[Hashable]:
    """Return the digest with the position; with the header too where it is at several positions.

    No two slices of a body have the same pixels: what does is empty, and says nothing of whether
    two instances are one.
    """
    digests = [member.pixel_digest for member in members]
    places: dict[str | None, set[Key | None]] = defaultdict(set)
    for digest, place in zip(digests, positions, strict=True):
        places[digest].add(place)
    return [
        None if digest is None else (digest, place if len(places[digest]) == 1 else header)
        for digest, place, header in zip(digests, positions, headers, strict=True)
    ]


def _choice(group: Sequence[Member], duplicates: Duplicates) -> Member:
    if duplicates == Duplicates.KEEP_LAST:
        return group[-1]
    if duplicates == Duplicates.KEEP_HIGHEST_ACQUISITION:
        return max(reversed(group), key=_acquisition)
    return group[0]


def _acquisition(member: Member) -> tuple[tuple[int, ...], tuple[datetime, ...]]:
    number = whole(member.values, ACQUISITION_NUMBER)
    acquired = ACQUIRED.read(member.values)
    return () if number is None else (number,), () if acquired is None else (acquired,)


def _staying(member: Member, going: dict[str, Dropped]) -> Member:
    while member.orthanc_id in going:
        member = going[member.orthanc_id].kept
    return member


def _refusal(dropped: Sequence[Dropped]) -> str:
    reasons = Counter(one.reason for one in dropped)
    counts = ", ".join(f"{reasons[reason]} by {reason}" for reason in Reason if reason in reasons)
    first = dropped[0]
    choices = ", ".join(one for one in Duplicates if one != Duplicates.REFUSE)
    return (
        f"$.Duplicates: {len(dropped)} instances are duplicates ({counts}), the first is"
        f" {first.member.orthanc_id} of {first.kept.orthanc_id}; {choices} would drop them"
    )
