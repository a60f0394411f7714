"""What the instances of a study or series agree on, and what makes others agree with it; pure.

Values are in the forms of :mod:`.elements`; None stands for an absent element.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from curator.dicom.element import SINGLE_VALUED_VRS, STRING_VRS
from curator.dicom.tags import dictionary_vr, parse_tag, tag_text
from curator.reshape.elements import ElementValue, text_of
from curator.reshape.modules import PATIENT_STUDY
from curator.reshape.plan import Edits

Values = Mapping[str, ElementValue | None]

Significant = str | tuple[Any, ...] | None
"""What of a value is compared: empty where the element is, None where it is absent."""


@dataclass(frozen=True)
class Disagreement:
    """An element with several values; the first is the one chosen.

    Attributes
    ----------
    counts : tuple
        Pairs of a value and the number of instances that have it.
    """

    element: str
    counts: tuple[tuple[ElementValue | None, int], ...]


@dataclass(frozen=True)
class Consensus:
    """What instances have in common.

    Attributes
    ----------
    values : dict
        One value for every element asked for, None where all instances lack it.
    disagreements : tuple of Disagreement
        Elements of which there are several values that are not empty.
    filled : tuple of str
        Elements that some instances lack or have empty, and all others agree on.
    """

    values: dict[str, ElementValue | None]
    disagreements: tuple[Disagreement, ...]
    filled: tuple[str, ...]


class Difference(NamedTuple):
    """An element that is not the same on both sides."""

    element: str
    target: ElementValue | None
    source: ElementValue | None

    @property
    def contradicts(self) -> bool:
        """Whether both sides have a value."""
        sides = (self.target, self.source)
        return all(_significant(self.element, value) for value in sides)


class PatientStudy(StrEnum):
    """Whose Patient Study module (PS3.3 C.7.2.2) merged instances get.

    Age, weight, admission and the like are of the day of the study, so two studies that become one
    may both be right. The Clinical Trial Study module does not come under this: it says to what
    time point of a trial a study belongs, which is the target's.
    """

    KEEP = "Keep"
    TARGET = "Target"
    CLEAR = "Clear"


def consensus(instances: Sequence[Values], keywords: Iterable[str]) -> Consensus:
    """Return the values that instances agree on, else those that most of them have.

    A value wins over an empty element, and that over an absent one, however many there are; of two
    values that are equally frequent, the first in the order given.
    """
    values: dict[str, ElementValue | None] = {}
    disagreements: list[Disagreement] = []
    filled: list[str] = []
    for keyword in keywords:
        counts = _counts(keyword, [instance.get(keyword) for instance in instances])
        values[keyword] = counts[0][0] if counts else None
        if sum(bool(_significant(keyword, value)) for value, _ in counts) > 1:
            disagreements.append(Disagreement(keyword, counts))
        elif len(counts) > 1:
            filled.append(keyword)
    return Consensus(values, tuple(disagreements), tuple(filled))


def differences(target: Values, source: Values, keywords: Iterable[str]) -> list[Difference]:
    """Return the elements in which two sides differ; absent and empty are the same here.

    Text is compared without padding, and without the delimiters at the end of names, which mean
    nothing (PS3.5 6.2.1).
    """
    found = [Difference(keyword, target.get(keyword), source.get(keyword)) for keyword in keywords]
    return [
        one
        for one in found
        if (_significant(one.element, one.target) or None)
        != (_significant(one.element, one.source) or None)
    ]


def module_edits(target: Values, keywords: Collection[str], sources: Sequence[Values]) -> Edits:
    """Return what has to change in instances for them to get the target's modules.

    Parameters
    ----------
    target : mapping
        Values that the instances get.
    keywords : collection of str
        All elements of the modules.
    sources : sequence of mapping
        Values that the instances have.

    Returns
    -------
    Edits
        New values by keyword; None, to remove an element, only where an instance has it, and
        nothing where all instances have the value already.
    """
    return {
        keyword: target.get(keyword)
        for keyword in keywords
        if any(source.get(keyword) != target.get(keyword) for source in sources)
    }


def patient_study_edits(choice: PatientStudy, target: Values, sources: Sequence[Values]) -> Edits:
    """Return what has to change in the Patient Study module; the arguments of `module_edits`."""
    if choice == PatientStudy.KEEP:
        return {}
    keywords = [tag_text(tag) for tag in sorted(PATIENT_STUDY)]
    return module_edits(target if choice == PatientStudy.TARGET else {}, keywords, sources)


def _counts(
    keyword: str, values: Iterable[ElementValue | None]
) -> tuple[tuple[ElementValue | None, int], ...]:
    """Count values, the most wanted first, each in the spelling that comes first."""
    spelled: dict[Significant, ElementValue | None] = {}
    counts: Counter[Significant] = Counter()
    for value in values:
        key = _significant(keyword, value)
        spelled.setdefault(key, value)
        counts[key] += 1

    def place(key: Significant) -> tuple[bool, bool, int]:
        return key is None, not key, -counts[key]

    return tuple((spelled[key], counts[key]) for key in sorted(counts, key=place))


def _significant(keyword: str, value: ElementValue | None) -> Significant:
    if value is None:
        return None
    vr = dictionary_vr(parse_tag(keyword))
    if isinstance(value, Mapping):
        vr = value["VR"]
        if "Items" in value:
            return _significant_items(value["Items"])
        if vr not in STRING_VRS:
            content = tuple(value.get("Value", ())) or value.get("Base64")
            return (vr, content) if content else ()
        value = text_of(value)
    if isinstance(value, str):
        return _significant_text(vr, value)
    return _significant_items(value)


def _significant_items(items: Iterable[Mapping[str, Any]]) -> Significant:
    return tuple(
        frozenset((parse_tag(text), _significant(text, inner)) for text, inner in item.items())
        for item in items
    )


def _significant_text(vr: str, text: str) -> str:
    if vr in SINGLE_VALUED_VRS:
        return text.rstrip(" \0")
    return "\\".join(
        _significant_name(one) if vr == "PN" else one.strip(" \0") for one in text.split("\\")
    )


def _significant_name(name: str) -> str:
    groups = [group.strip(" \0").rstrip("^ ") for group in name.split("=")]
    return "=".join(groups).rstrip("=")
