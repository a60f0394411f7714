"""What the step ``Modify`` changes in an instance, as ``/modify`` of the core does; pure.

Beside what the rule says: new UIDs at the levels below the one that is modified, derived from the
rule and the old ones, so that an instance that arrives later joins the others; references among
the instances follow; digital signatures go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from curator.conditions import parse_element
from curator.dicom.edits import Drop, Edit, ItemValues, Replace, Values
from curator.dicom.element import NUMBER_CODES, STRING_VRS
from curator.dicom.encode import BYTES_VRS
from curator.dicom.errors import UnsupportedValue
from curator.dicom.identifiers import derived_uid
from curator.dicom.private import tags_of
from curator.dicom.site import Site
from curator.dicom.tags import AnyTag, Path, Step, Tag, dictionary_vr, parse_path, tag_text
from curator.level import Level
from curator.route.step import ModifyStep

#: What UIDs are derived from beside the rule.
_PURPOSE = "Curator.Route.Modify"

#: The identifier of each level that has a UID.
UIDS = {
    Level.STUDY: parse_path("StudyInstanceUID"),
    Level.SERIES: parse_path("SeriesInstanceUID"),
    Level.INSTANCE: parse_path("SOPInstanceUID"),
}

#: Levels that get new UIDs where a resource of a level is modified.
_RENEWED = {
    Level.PATIENT: (Level.STUDY, Level.SERIES, Level.INSTANCE),
    Level.STUDY: (Level.STUDY, Level.SERIES, Level.INSTANCE),
    Level.SERIES: (Level.SERIES, Level.INSTANCE),
    Level.INSTANCE: (Level.INSTANCE,),
}

_UNSIGNED: dict[Path | AnyTag, Edit] = {
    parse_path(keyword): Drop()
    for keyword in ("MACParametersSequence", "DigitalSignaturesSequence")
}


@dataclass(frozen=True)
class Modification:
    """What a rule changes.

    Attributes
    ----------
    edits : mapping
        The same in all instances.
    renewed : tuple of Level
        Levels that get new UIDs.
    keep : frozenset of Path
        What ``RemovePrivateTags`` leaves.
    """

    rule: str
    edits: Mapping[Path | AnyTag, Edit]
    renewed: tuple[Level, ...]
    keep: frozenset[Path]
    remove_private_tags: bool

    def uid(self, level: Level, old: str) -> str:
        """Return what a UID becomes."""
        replaced = self.edits.get(UIDS[level])
        if isinstance(replaced, Replace):
            return str(replaced.values)
        return derived_uid(_PURPOSE, self.rule, level, old) if level in self.renewed else old

    def edits_of(self, uids: Mapping[Level, str], site: Site) -> dict[Path | AnyTag, Edit]:
        """Return the edits of one instance.

        Parameters
        ----------
        uids : mapping
            Its UIDs before.
        site : Site
            Its top level.
        """
        renewed: dict[Path | AnyTag, Edit] = {
            UIDS[level]: Replace(self.uid(level, uids[level]), "UI") for level in UIDS
        }
        spared = frozenset({*self.keep, *(_as_path(place) for place in self.edits)})
        private: dict[Path | AnyTag, Edit] = {}
        if self.remove_private_tags:
            private.update(_private(site, spared))
        return {**_UNSIGNED, **private, **renewed, **self.edits}


def modification(step: ModifyStep, rule: str, level: Level) -> Modification:
    """Return what a step changes in resources of a level.

    Raises
    ------
    ValueError
        If a value does not fit its element.
    """
    kept = frozenset(parse_element(name) for name in step.keep)
    edits: dict[Path | AnyTag, Edit] = {parse_element(name): Drop() for name in step.remove}
    for name, value in step.replace.items():
        path = parse_element(name)
        edits[path] = Replace(_values(path.tag, value), _vr(path.tag, value))
    renewed = tuple(
        one for one in _RENEWED[level] if UIDS[one] not in kept and UIDS[one] not in edits
    )
    return Modification(rule, edits, renewed, kept, step.remove_private_tags)


def _vr(tag: AnyTag, value: Any) -> str | None:
    """Return the VR of the dictionary; unknown private text has none that says so."""
    vr = dictionary_vr(tag)
    if vr == "UN":
        return "SQ" if isinstance(value, list | tuple) else "LO"
    return vr


def _values(tag: AnyTag, value: Any) -> Values:
    if isinstance(value, list | tuple):
        return tuple(_item(item) for item in value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UnsupportedValue(f"{tag_text(tag)} takes a text, a number or an array of items")
    vr = dictionary_vr(tag)
    if vr in NUMBER_CODES:
        parts = value.split("\\") if isinstance(value, str) and value else [value]
        return tuple(_number(tag, vr, part) for part in parts if part != "")
    if vr in BYTES_VRS and vr != "UN":
        raise UnsupportedValue(f"{tag_text(tag)} has VR {vr}, whose values rules cannot set")
    return value if vr in STRING_VRS or vr == "UN" else (value,)


def _item(item: Any) -> ItemValues:
    if not isinstance(item, Mapping):
        raise UnsupportedValue("Items of sequences are objects")
    found: dict[AnyTag, Replace] = {}
    for name, value in item.items():
        tag = parse_element(name).tag
        found[tag] = Replace(_values(tag, value), _vr(tag, value))
    return found


def _number(tag: AnyTag, vr: str, part: str | float) -> int | float:
    try:
        return float(part) if vr in ("FL", "FD") else int(part)
    except ValueError:
        raise UnsupportedValue(f"{tag_text(tag)} has VR {vr} and takes numbers") from None


def _as_path(place: Path | AnyTag) -> Path:
    return place if isinstance(place, Path) else Path(place)


def _private(
    site: Site, spared: frozenset[Path], steps: tuple[Step, ...] = ()
) -> Iterator[tuple[Path, Edit]]:
    """Yield the removal of every private element, at every depth."""
    staying: set[int] = set()
    for path in spared:
        if path.steps == steps:
            for tag in tags_of(path.tag, site):
                staying.update((tag, site.reserving(tag)))
    for tag in map(Tag, site.tags):
        if tag >> 16 & 1:
            if tag not in staying and tag & 0xFFFF:
                yield Path(tag, steps), Drop()
        elif site.vr(tag) == "SQ":
            for index, item in enumerate(site.items(tag)):
                yield from _private(item.enter(), spared, (*steps, Step(tag, index)))
