"""What separates instances: each criterion gives every instance a key, equal keys belong together.

Pure: keys are computed from headers, all headers of one scope at once, since tolerances and gaps
can only be judged among the values that occur.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from curator.dicom.tags import Path, dictionary_vr, parse_path
from curator.reshape.values import Values

#: Direction cosines that differ by less are one orientation; as 3D Slicer and dcm2niix.
ORIENTATION_TOLERANCE = 1e-4

#: b-values that differ by less (s/mm²) are one shell; vendors store them with rounding errors.
B_VALUE_TOLERANCE = 10.0

#: VRs whose values are numbers, however they are spelled; longer ones are exact as text.
_NUMERIC = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "UL", "US"})

#: GE adds this to b-values above 10000 in some releases.
_GE_B_VALUE_OFFSET = 1_000_000_000


@dataclass(frozen=True, order=True)
class Key:
    """What one criterion says of an instance: ``order`` sorts keys, ``text`` shows them."""

    order: tuple[Any, ...]
    text: str


class Criterion(Protocol):
    """One way to separate instances."""

    @property
    def name(self) -> str:
        """Name of the criterion in names of groups."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """The elements that have to be read."""

    def keys(self, instances: Sequence[Values]) -> list[Key | None]:
        """Return one key for each instance; None where an instance lacks what is asked for."""


@dataclass(frozen=True)
class _OneByOne:
    """A criterion on one element that judges each instance for itself."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def paths(self) -> tuple[Path, ...]:
        return (self.path,)

    def keys(self, instances: Sequence[Values]) -> list[Key | None]:
        return [self._key(values) for values in instances]

    def _key(self, values: Values) -> Key | None:
        raise NotImplementedError


@dataclass(frozen=True)
class ByValue(_OneByOne):
    """Equal values of an element; those of numeric VRs are compared at float precision."""

    def _key(self, values: Values) -> Key | None:
        texts = values.strings(self.path)
        if not any(texts):
            return None
        numbers = values.numbers(self.path) if dictionary_vr(self.path.tag) in _NUMERIC else ()
        if len(numbers) == len(texts):
            rounded = tuple(map(_at_float_precision, numbers))
            return Key((0, *rounded), "\\".join(map(_shortest, rounded)))
        return Key((1, *texts), "\\".join(texts))


@dataclass(frozen=True)
class ByTolerance:
    """Numbers that differ by no more than a tolerance, in each component, from their group's least.

    Groups do not chain: with a tolerance of 1, the values 0, 0.9 and 1.8 are two groups.
    """

    name: str
    paths: tuple[Path, ...]
    tolerance: float
    read: Callable[[Values], tuple[float, ...]]

    def keys(self, instances: Sequence[Values]) -> list[Key | None]:
        vectors = [self.read(values) for values in instances]
        keys = self._anchored({vector for vector in vectors if vector})
        return [keys.get(vector) for vector in vectors]

    def _anchored(self, vectors: set[tuple[float, ...]]) -> dict[tuple[float, ...], Key]:
        """Return the key of each vector: that of the least one it is near to, or its own."""
        keys: dict[tuple[float, ...], Key] = {}
        anchors: list[tuple[float, ...]] = []
        for vector in sorted(vectors):
            anchors = [anchor for anchor in anchors if vector[0] - anchor[0] <= self.tolerance]
            anchor = next((one for one in anchors if self._near(vector, one)), None)
            if anchor is None:
                anchors.append(vector)
                keys[vector] = Key(vector, _join(vector))
            else:
                keys[vector] = keys[anchor]
        return keys

    def _near(self, one: tuple[float, ...], other: tuple[float, ...]) -> bool:
        return len(one) == len(other) and all(
            abs(a - b) <= self.tolerance for a, b in zip(one, other, strict=True)
        )


@dataclass(frozen=True)
class ByGap:
    """Times without a gap longer than so many seconds between one and the next."""

    name: str
    paths: tuple[Path, ...]
    seconds: float
    read: Callable[[Values], datetime | None]

    def keys(self, instances: Sequence[Values]) -> list[Key | None]:
        times = [self.read(values) for values in instances]
        starts: dict[datetime, datetime] = {}
        previous = start = None
        for time in sorted({time for time in times if time is not None}):
            if previous is None or (time - previous).total_seconds() > self.seconds:
                start = time
            starts[time] = time if start is None else start
            previous = time
        return [None if time is None else _time_key(starts[time]) for time in times]


@dataclass(frozen=True)
class ByPattern(_OneByOne):
    """What the groups of a regular expression capture, or all that it matches without groups."""

    pattern: Any

    def _key(self, values: Values) -> Key | None:
        for text in values.strings(self.path):
            match = self.pattern.search(text)
            if match is not None:
                captured = tuple(group or "" for group in match.groups() or (match.group(0),))
                return Key(captured, " ".join(captured))
        return None


@dataclass(frozen=True)
class ByComponent:
    """Magnitude, phase, real or imaginary part of a complex image.

    From Complex Image Component (0008,9208), else the third value of Image Type (0008,0008), else
    GE's private image type.
    """

    name: str = "Component"

    @property
    def paths(self) -> tuple[Path, ...]:
        return (_COMPLEX_COMPONENT, _IMAGE_TYPE, _GE_COMPONENT)

    def keys(self, instances: Sequence[Values]) -> list[Key | None]:
        found = (self._component(values) for values in instances)
        return [None if component is None else Key((component,), component) for component in found]

    def _component(self, values: Values) -> str | None:
        standard = values.string(_COMPLEX_COMPONENT)
        if standard in _COMPONENTS.values():
            return standard
        for value in values.strings(_IMAGE_TYPE)[2:]:
            if value in _COMPONENTS:
                return _COMPONENTS[value]
        numbers = values.numbers(_GE_COMPONENT)
        return _GE_COMPONENTS.get(int(numbers[0])) if numbers else None


def by_tolerance(path: Path, tolerance: float) -> ByTolerance:
    """Separate by the numbers of one element."""
    return ByTolerance(str(path), (path,), tolerance, lambda values: values.numbers(path))


def by_orientation(tolerance: float) -> ByTolerance:
    """Separate by Image Orientation (Patient) (0020,0037)."""

    def read(values: Values) -> tuple[float, ...]:
        cosines = values.numbers(_ORIENTATION)
        return cosines if len(cosines) == 6 else ()

    return ByTolerance("Orientation", (_ORIENTATION,), tolerance, read)


def by_b_value(tolerance: float) -> ByTolerance:
    """Separate by the diffusion b-value (s/mm²), standard or in the vendors' private places."""
    return ByTolerance("BValue", _B_VALUES, tolerance, b_value)


def by_gap(path: Path, seconds: float) -> ByGap:
    """Separate by time: a date or date-time, or a time together with its date.

    A date-time that is absent is read from its date and time elements.

    Raises
    ------
    ValueError
        If the element holds no time, or a time of day without a date beside it.
    """
    vr = dictionary_vr(path.tag)
    if vr not in ("DA", "DT", "TM", "UN"):
        raise ValueError(f"{path} is neither a date nor a time")
    parts = _date_and_time(path)
    if vr == "TM" and parts is None:
        raise ValueError(f"{path} has no date beside it")

    def read(values: Values) -> datetime | None:
        text = "" if vr == "TM" else values.string(path)
        if not text and parts is not None:
            date, time = map(values.string, parts)
            text = date + time if len(date) == 8 else ""
        return parse_time(text)

    return ByGap(str(path), (path, *(parts or ())), seconds, read)


def b_value(values: Values) -> tuple[float, ...]:
    """Return the b-value in s/mm², or nothing."""
    for path in _B_VALUES:
        numbers = values.numbers(path)
        if numbers:
            value = numbers[0]
            if path == _GE_B_VALUE and value >= _GE_B_VALUE_OFFSET:
                value %= _GE_B_VALUE_OFFSET
            return (value,)
    return ()


def parse_time(text: str) -> datetime | None:
    """Read a DA, a DT, or a DA and a TM written one after the other (PS3.5 6.2).

    A zone offset is left aside: times are compared within one study, which has one.
    """
    digits, _, fraction = text.split("+")[0].split("-")[0].strip().partition(".")
    if not digits.isdecimal() or len(digits) < 8:
        return None
    padded = digits.ljust(14, "0")[:14]
    try:
        time = datetime.strptime(padded, "%Y%m%d%H%M%S")  # noqa: DTZ007  compared, never shown
    except ValueError:
        return None
    microseconds = int(fraction[:6].ljust(6, "0")) if fraction.isdecimal() else 0
    return time + timedelta(microseconds=microseconds)


def _date_and_time(path: Path) -> tuple[Path, Path] | None:
    """Return the date and time elements that say the same as a date-time, or go with a time."""
    keyword = str(path)
    if not keyword.endswith("Time"):
        return None
    stem = keyword.removesuffix("Time").removesuffix("Date")
    return _known(f"{stem}Date", f"{stem}Time")


def _known(date: str, time: str) -> tuple[Path, Path] | None:
    try:
        return parse_path(date), parse_path(time)
    except ValueError:
        return None


def _time_key(time: datetime) -> Key:
    return Key((time,), time.strftime("%Y%m%d%H%M%S.%f").removesuffix(".000000"))


def _at_float_precision(number: float) -> float:
    """Round to a 32-bit float, which scanners calculate with; whole numbers stay exact."""
    if number.is_integer():
        return number + 0.0  # which makes 0.0 of -0.0
    try:
        return float(struct.unpack("<f", struct.pack("<f", number))[0])
    except OverflowError:
        return number


def _shortest(number: float) -> str:
    """Write a number at float precision with as few digits as identify it."""
    if number.is_integer():
        return f"{number:.17g}"
    texts = (f"{number:.{digits}g}" for digits in range(6, 18))
    return next(text for text in texts if _at_float_precision(float(text)) == number)


def _join(numbers: Sequence[float]) -> str:
    return "\\".join(f"{number + 0.0:.10g}" for number in numbers)


_COMPLEX_COMPONENT = parse_path("ComplexImageComponent")
_IMAGE_TYPE = parse_path("ImageType")
_ORIENTATION = parse_path("ImageOrientationPatient")
_GE_COMPONENT = parse_path('(0043,"GEMS_PARM_01",2F)')
_GE_COMPONENTS = {0: "MAGNITUDE", 1: "PHASE", 2: "REAL", 3: "IMAGINARY"}
_COMPONENTS = {
    "M": "MAGNITUDE",
    "P": "PHASE",
    "R": "REAL",
    "I": "IMAGINARY",
    "MAGNITUDE": "MAGNITUDE",
    "PHASE": "PHASE",
    "PHASE MAP": "PHASE",
    "REAL": "REAL",
    "IMAGINARY": "IMAGINARY",
}

_GE_B_VALUE = parse_path('(0043,"GEMS_PARM_01",39)')
_B_VALUES = (
    parse_path("DiffusionBValue"),
    parse_path('(0019,"SIEMENS MR HEADER",0C)'),
    _GE_B_VALUE,
    parse_path('(2001,"Philips Imaging DD 001",03)'),
    parse_path('(0065,"Image Private Values",09)'),  # United Imaging
)


def _values(*keywords: str) -> Iterator[Criterion]:
    for keyword in keywords:
        yield ByValue(parse_path(keyword))


#: Criteria that go by one name, in ``By``.
READY_SETS: dict[str, tuple[Criterion, ...]] = {
    "Orientation": (by_orientation(ORIENTATION_TOLERANCE),),
    "Echo": tuple(_values("EchoNumbers", "EchoTime")),
    "BValue": (by_b_value(B_VALUE_TOLERANCE),),
    "Acquisition": tuple(_values("AcquisitionNumber")),
    "TemporalPosition": tuple(_values("TemporalPositionIdentifier")),
    "ImageType": tuple(_values("ImageType")),
    "Component": (ByComponent(),),
    # The tags by which 3D Slicer's scalar volume reader finds sub-series.
    "Slicer": (
        *_values("AcquisitionNumber", "ImageType"),
        by_orientation(ORIENTATION_TOLERANCE),
        *_values("DiffusionGradientOrientation"),
    ),
    # What keeps dcm2niix from stacking two slices of a series.
    "Dcm2niix": (
        *_values("Rows", "Columns", "BitsAllocated", "EchoNumbers", "EchoTime"),
        *_values("RepetitionTime", "FlipAngle", "ReceiveCoilName", "ProtocolName"),
        ByComponent(),
        by_orientation(ORIENTATION_TOLERANCE),
    ),
}
