"""What happens at a level, worked out once for all levels that have the same elements.

The instances of a series nearly always have the same elements, private creators included; only
values differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from curator.anonymize.decision import Action
from curator.anonymize.steps import Kind, Step, Steps
from curator.dicom.site import Site
from curator.dicom.tags import PrivateTag

_FIRST_PRIVATE = 0x1000

_MOST_LAYOUTS = 512

_Place = tuple[tuple[int, ...], bool]
"""What decisions depend on of the sequences that a level is in, and whether it is cleaned."""

_Elements = tuple[_Place, bool, bytes]
"""Tags and VRs of a level, in explicit or implicit VR."""


@dataclass(frozen=True, slots=True)
class Planned:
    """An element, and what happens to it.

    Parameters
    ----------
    tag : int
        The element.
    step : Step or None
        None where it stays as it is.
    reserving : int or None
        Of a private element: the Private Creator of its block.
    name : str
        Of a private element: what a report calls it.
    """

    tag: int
    step: Step | None
    reserving: int | None = None
    name: str = ""

    @property
    def is_removed(self) -> bool:
        """Whether the element goes, whatever its value is."""
        return self.step is not None and self.step.kind is Kind.REMOVE


@dataclass(frozen=True, slots=True)
class Layout:
    """What happens to the elements of a level.

    Parameters
    ----------
    removed : mapping of int to bytes
        The elements that go, whatever their values are, as changes.
    counts : mapping of (Action, str) to int
        What these count as in a report.
    others : tuple of Planned
        The elements that have to be looked at, and private ones that stay.
    every : tuple of Planned
        Both, ascending, for who explains each.
    creators : frozenset of int
        The Private Creators; they stay with what is in their blocks.
    """

    removed: Mapping[int, bytes]
    counts: Mapping[tuple[Action, str], int]
    others: tuple[Planned, ...]
    every: tuple[Planned, ...]
    creators: frozenset[int]


class Layouts:
    """The layouts of the instances of one kind.

    Parameters
    ----------
    steps : Steps
        What happens to which tag.
    """

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self._planned: dict[_Place, dict[tuple[bytes, str | None], Planned]] = {}
        self._creators: dict[_Elements, tuple[int, ...]] = {}
        self._layouts: dict[tuple[_Elements, tuple[bytes, ...]], Layout] = {}

    def of(self, site: Site, above: tuple[int, ...], cleaning: bool) -> Layout:
        """Return the layout of a level.

        Parameters
        ----------
        site : Site
            The level.
        above : tuple of int
            The sequences that it is in.
        cleaning : bool
            Whether its texts are those of a sequence that is cleaned.
        """
        heads = site.heads()
        place = self.steps.relevant(above), cleaning
        elements = place, site.encoding.explicit, b"".join(heads)
        creators = self._creators.get(elements)
        if creators is None:
            creators = tuple(tag for tag in site.tags if _is_creator(tag))
            self._creators[elements] = creators
        key = elements, tuple(map(site.raw, creators))
        layout = self._layouts.get(key)
        if layout is None:
            if len(self._layouts) >= _MOST_LAYOUTS:
                self._planned.clear()
                self._creators.clear()
                self._layouts.clear()
            every = tuple(self._every(site, heads, creators, above, cleaning))
            layout = self._layouts[key] = _layout(every, creators)
        return layout

    def _every(
        self,
        site: Site,
        heads: list[bytes],
        creators: tuple[int, ...],
        above: tuple[int, ...],
        cleaning: bool,
    ) -> Iterator[Planned]:
        known = self._planned.setdefault((self.steps.relevant(above), cleaning), {})
        for tag, head in zip(site.tags, heads, strict=True):
            if tag in creators:
                continue
            key = head, site.creator(tag)
            planned = known.get(key)
            if planned is None:
                planned = known[key] = self._new(site, tag, above, cleaning)
            if planned.step is not None or planned.reserving is not None:
                yield planned

    def _new(self, site: Site, tag: int, above: tuple[int, ...], cleaning: bool) -> Planned:
        step = self.steps.step(site, tag, above, cleaning)
        if not tag >> 16 & 1 or tag & 0xFFFF < _FIRST_PRIVATE:
            return Planned(tag, step)
        name = PrivateTag(tag >> 16, site.creator(tag) or "", tag & 0xFF)
        return Planned(tag, step, site.reserving(tag), str(name))


def _layout(every: tuple[Planned, ...], creators: tuple[int, ...]) -> Layout:
    removed = [planned for planned in every if planned.is_removed]
    return Layout(
        {planned.tag: b"" for planned in removed},
        Counter(planned.step.counted for planned in removed if planned.step),
        tuple(planned for planned in every if not planned.is_removed),
        every,
        frozenset(creators),
    )


def _is_creator(tag: int) -> bool:
    return tag >> 16 & 1 == 1 and 0x10 <= tag & 0xFFFF <= 0xFF
