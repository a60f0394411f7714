"""Numbers and counts of new series, so that nothing collides and Orthanc shows no ``Missing``.

Orthanc expects as many instances in a series as Images in Acquisition times Number of Temporal
Positions say, or Number of Slices times Number of Time Slices, or Cardiac Number of Images; and
they have to be numbered from 1 without a gap.
"""

import itertools
import re
from collections.abc import Iterator, Sequence

from curator.dicom.tags import Path, parse_path
from curator.reshape.values import Values

INSTANCE_NUMBER = parse_path("InstanceNumber")
IMAGE_INDEX = parse_path("ImageIndex")
SERIES_NUMBER = parse_path("SeriesNumber")

_PRODUCTS = (
    (parse_path("ImagesInAcquisition"), parse_path("NumberOfTemporalPositions")),
    (parse_path("NumberOfSlices"), parse_path("NumberOfTimeSlices")),
)
_CARDIAC = parse_path("CardiacNumberOfImages")

#: What a series says about the number of its instances.
COUNTS: tuple[Path, ...] = (*(path for product in _PRODUCTS for path in product), _CARDIAC)

_ORDER = tuple(
    map(parse_path, ("AcquisitionNumber", "AcquisitionDate", "AcquisitionTime", "ContentTime"))
)

_WHOLE = re.compile(r"[+-]?\d{1,15}", re.ASCII)

#: Largest number that an IS can hold (PS3.5 6.2).
_LARGEST = 2**31 - 1

#: The elements that numbering reads.
PATHS: tuple[Path, ...] = (
    INSTANCE_NUMBER,
    IMAGE_INDEX,
    SERIES_NUMBER,
    *COUNTS,
    *_ORDER,
)


class SeriesNumbers:
    """Series numbers of one study, each given out once.

    Parameters
    ----------
    taken : sequence of int
        Numbers that other series of the study have.
    """

    def __init__(self, taken: Sequence[int] = ()) -> None:
        self._taken = set(taken)

    def take(self, wanted: int | None = None) -> int:
        """Return the wanted number if it is free, else the next after all that are taken.

        Where there is none after them that an IS can hold, it is the least that is free.
        """
        number = wanted
        if number is None or number in self._taken or abs(number) > _LARGEST:
            number = max((*self._taken, 0)) + 1
        if number > _LARGEST:
            number = next(free for free in itertools.count(1) if free not in self._taken)
        self._taken.add(number)
        return number


def instance_order(instances: Sequence[Values]) -> list[int]:
    """Return the indexes of instances in the order of their numbers, then of acquisition."""
    return sorted(range(len(instances)), key=lambda index: _order_key(instances[index]))


def instance_numbers(instances: Sequence[Values]) -> list[int] | None:
    """Return new instance numbers (from 1), or None where those that are there can stay.

    They can stay if they are all there and unique, and no count says that they have to begin
    with 1.
    """
    numbers = [whole(values, INSTANCE_NUMBER) for values in instances]
    unique = None not in numbers and len(set(numbers)) == len(numbers)
    if unique and (not _counted(instances) or set(numbers) == set(range(1, len(instances) + 1))):
        return None
    renumbered = [0] * len(instances)
    for position, index in enumerate(instance_order(instances), start=1):
        renumbered[index] = position
    return renumbered


def counts(instances: Sequence[Values]) -> dict[Path, int]:
    """Return the counts of a new series that its instances do not say already."""
    total = len(instances)
    changed: dict[Path, int] = {}
    for size_path, repeats_path in _PRODUCTS:
        said = _said(instances, (size_path, repeats_path))
        if all(size * repeats == total for size, repeats in said):
            continue
        size = min(size for size, _repeats in said)
        new_size = size if size > 0 and total % size == 0 else total
        changed |= {size_path: new_size, repeats_path: total // new_size}
    if any(cardiac != total for (cardiac,) in _said(instances, (_CARDIAC,))):
        changed[_CARDIAC] = total
    return changed


def whole(values: Values, path: Path) -> int | None:
    """Return a whole number that an instance holds, or None."""
    numbers = values.numbers(path)
    return int(numbers[0]) if numbers and float(numbers[0]).is_integer() else None


def whole_number(text: str) -> int | None:
    """Return the whole number that a text says, or None."""
    stripped = text.strip()
    return int(stripped) if _WHOLE.fullmatch(stripped) else None


def _counted(instances: Sequence[Values]) -> bool:
    return any(_said(instances, paths) for paths in (*_PRODUCTS, (_CARDIAC,)))


def _said(instances: Sequence[Values], paths: tuple[Path, ...]) -> set[tuple[int, ...]]:
    """Return the counts that instances give; Orthanc takes those of the one that comes first."""
    said = set()
    for values in instances:
        found = (whole(values, path) for path in paths)
        numbers = tuple(number for number in found if number is not None)
        if len(numbers) == len(paths):
            said.add(numbers)
    return said


def _order_key(values: Values) -> tuple[object, ...]:
    number = whole(values, INSTANCE_NUMBER)
    first = (number is None, number or 0)
    return (*first, whole(values, _ORDER[0]) or 0, *_texts(values), values.sop_instance_uid)


def _texts(values: Values) -> Iterator[str]:
    for path in _ORDER[1:]:
        yield values.string(path)
