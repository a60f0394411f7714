"""What the parts that change one element find of the walk over an instance.

A level is a data set or an item. :mod:`.deidentify` walks every level and carries out what the
profile decides; where more than one element has to be looked at (content trees, graphics,
documents), a handler does, and hands what it enters back to the walk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from curator.dicom.changes import Removed
from curator.dicom.site import Changes, Site
from curator.dicom.tags import Path

if TYPE_CHECKING:
    from curator.anonymize.decision import Decision
    from curator.anonymize.resolve import Resolver
    from curator.anonymize.subject import Subject
    from curator.anonymize.text import TextCleaner
    from curator.anonymize.values import Values

Above = tuple[int, ...]
"""The tags of the sequences that a level is in, from the top level down."""

Lookup = Callable[[Path], tuple[str, ...]]
"""Gives the values of an element of the original instance as text; none when absent."""

ItemChange = Callable[[Site], Changes | Removed]
"""Says what changes in an item, or that it goes."""


class Walk(Protocol):
    """The walk over one instance."""

    @property
    def resolver(self) -> Resolver:
        """Decides on elements."""

    @property
    def values(self) -> Values:
        """Makes new values."""

    @property
    def subject(self) -> Subject:
        """Whom the instance is about."""

    @property
    def cleaner(self) -> TextCleaner:
        """Removes the identifiers of the subject from text."""

    @property
    def lookup(self) -> Lookup:
        """Reads the original instance."""

    def level(self, site: Site, above: Above) -> dict[int, bytes]:
        """Return what changes at a level and below, each element by its decision.

        Parameters
        ----------
        site : Site
            The level.
        above : tuple of int
            The sequences that it is in.
        """

    def decided(self, site: Site, tag: int, above: Above) -> Decision:
        """Return what the profile decides on a present element."""

    def done(self, site: Site, tag: int, above: Above, decision: Decision) -> bytes | None:
        """Return a present element with a decision carried out, and note it.

        Returns
        -------
        bytes or None
            The encoded new element; empty where it goes, None where it stays as it is.
        """

    def entered(self, site: Site, tag: int, change: ItemChange) -> bytes | None:
        """Return a present sequence with `change` applied to each item, as :meth:`done` does."""

    def note(self, site: Site, tag: int, decision: Decision, after: bytes | None) -> None:
        """Count and explain what has been done to an element other than by :meth:`done`.

        Parameters
        ----------
        site : Site
            The original level.
        tag : int
            The element.
        decision : Decision
            What was done, and why.
        after : bytes or None
            The encoded new element; empty where it goes, None where it stays as it is.
        """


Handler = Callable[[Site, int, Above, Walk], bytes | None]
"""Changes one element of a level: ``changed(site, tag, above, walk)``, returns as `Walk.done`.

What it does to the element and what is in it, it notes.
"""
