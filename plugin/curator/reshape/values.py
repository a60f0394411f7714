"""The values of one instance that a plan is made from, decoded."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from curator.conditions import number
from curator.dicom import engine, reader
from curator.dicom.charset import DEFAULT_TERM
from curator.dicom.element import Element
from curator.dicom.errors import Malformed
from curator.dicom.instance import Instance
from curator.dicom.tags import Path, dictionary_vr, parse_path

_SOP_INSTANCE_UID = parse_path("SOPInstanceUID")


@dataclass(frozen=True)
class Values:
    """Values as text, by path; an absent or empty element has none.

    Parameters
    ----------
    texts : mapping
        For every path that was asked for.
    sop_instance_uid : str
    """

    texts: Mapping[Path, tuple[str, ...]]
    sop_instance_uid: str

    def strings(self, path: Path) -> tuple[str, ...]:
        """Return all values of an element."""
        return self.texts[path]

    def string(self, path: Path) -> str:
        """Return the first value of an element, empty if there is none."""
        return next(iter(self.texts[path]), "")

    def numbers(self, path: Path) -> tuple[float, ...]:
        """Return all values of an element as numbers; none if one of them is no number."""
        found = [number(text) for text in self.texts[path] if text]
        numbers = tuple(value for value in found if value is not None)
        return numbers if len(numbers) == len(found) else ()


def read(dicom: bytes, paths: Iterable[Path], default_charset: str = DEFAULT_TERM) -> Values:
    """Read and decode elements of an instance.

    Raises
    ------
    DicomError
        If the instance cannot be read for certain, or a text does not fit its character set.
    """
    return values_of(engine.opened(dicom, default_charset), paths)


def values_of(instance: Instance, paths: Iterable[Path]) -> Values:
    """Decode elements of an instance that is taken apart already.

    Raises
    ------
    DicomError
        If it has no SOP Instance UID, or a text does not fit its character set.
    """
    wanted = frozenset(paths) | {_SOP_INSTANCE_UID}
    header = reader.header_of(instance, wanted)
    texts = {
        path: tuple(text for element in header.elements(path) for text in _strings(element, path))
        for path in wanted
    }
    uid = next(iter(texts[_SOP_INSTANCE_UID]), "")
    if not uid:
        raise Malformed("There is no value", 0, "SOPInstanceUID")
    return Values(texts, uid)


def _strings(element: Element, path: Path) -> tuple[str, ...]:
    """Return the values; elements that lost their VR on the way get it back (PS3.5 6.2.2)."""
    if element.vr == "UN":
        element = replace(element, vr=dictionary_vr(path.tag))
    return element.strings
