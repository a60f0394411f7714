"""What was done to one instance, noted on the way for its report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from curator.anonymize.decision import Action
from curator.anonymize.result import Explained
from curator.anonymize.steps import Step
from curator.dicom.element import Element
from curator.dicom.encode import BYTES_VRS, Encoding
from curator.dicom.errors import DicomError
from curator.dicom.site import Site
from curator.dicom.structure import LONG_VRS
from curator.dicom.tags import PrivateTag, Tag, tag_text

READABLE = 64
"""Characters of a value that an explanation shows."""


@dataclass(slots=True)
class Notes:
    """What has been done so far.

    Parameters
    ----------
    explaining : bool
        Whether every change is explained, with values.

    Attributes
    ----------
    steps : list of Step
        Steps that were carried out, one for each element.
    removed : list of mapping
        Counts of elements that were removed without being looked at.
    kept_private : dict of str to None
        Private elements that were kept, in their order.
    on_purpose : list of str
        Paths of elements whose value a rule of the profile keeps or sets.
    encrypted : dict of int to None
        Elements of the top level that hold what is encrypted.
    path : list of str
        Where the walk is.
    """

    explaining: bool
    steps: list[Step] = field(default_factory=list)
    removed: list[Mapping[tuple[Action, str], int]] = field(default_factory=list)
    kept_private: dict[str, None] = field(default_factory=dict)
    on_purpose: list[str] = field(default_factory=list)
    encrypted: dict[int, None] = field(default_factory=dict)
    explained: list[Explained] = field(default_factory=list)
    path: list[str] = field(default_factory=list)

    def done(self, site: Site, tag: int, step: Step, after: bytes) -> None:
        """Note that a present element is changed.

        Parameters
        ----------
        site : Site
            The original level.
        tag : int
            The element.
        step : Step
            What was done.
        after : bytes
            The encoded new element; empty where it goes.
        """
        self.steps.append(step)
        if self.explaining:
            before = readable(site.element(tag), step.vr)
            self._explain(site, tag, step, before, after)

    def added(self, site: Site, tag: int, step: Step, after: bytes) -> None:
        """Note an element that was absent."""
        self.steps.append(step)
        if self.explaining:
            self._explain(site, tag, step, None, after)

    def _explain(self, site: Site, tag: int, step: Step, before: str | None, after: bytes) -> None:
        value = _value_of(tag, step.vr, after, site.encoding) if after else None
        decision = step.decision
        creator = site.creator(tag)
        here = self.path_of(tag if creator is None else PrivateTag(tag >> 16, creator, tag & 0xFF))
        self.explained.append(Explained(here, decision.action, decision.reason, before, value))

    def path_of(self, tag: int | PrivateTag) -> str:
        """Return the path of an element of the level where the walk is."""
        named = tag if isinstance(tag, PrivateTag) else Tag(tag)
        return ".".join([*self.path, tag_text(named)])

    def counts(self) -> Mapping[tuple[Action, str], int]:
        """Return how often each action was applied, by action and tag."""
        counts: Counter[tuple[Action, str]] = Counter()
        for removed in self.removed:
            counts.update(removed)
        counts.update(step.counted for step in self.steps)
        return counts


def readable(element: Element, vr: str) -> str:
    """Return a value as text of at most :data:`READABLE` characters."""
    raw = element.raw
    if vr != "SQ" and vr not in BYTES_VRS:
        try:
            text = Element(element.tag, vr, raw, element.charset, element.order).text
        except DicomError:
            return _size(raw)
        return text if len(text) <= READABLE else f"{text[: READABLE - 1]}…"
    return _size(raw)


def _size(raw: bytes) -> str:
    return f"{len(raw)} bytes" if raw else ""


def _value_of(tag: int, vr: str, encoded: bytes, encoding: Encoding) -> str:
    """Return the value of an encoded element; `vr` is that of implicit VR."""
    start = 8
    if encoding.explicit:
        code = encoded[4:6]
        vr = code.decode("ascii")
        start = 12 if code in LONG_VRS else 8
    return readable(Element(Tag(tag), vr, encoded[start:], encoding.charset, encoding.order), vr)
