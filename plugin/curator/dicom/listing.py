"""Sequences whose items are divided, moved and joined, before they are encoded again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from curator.dicom.changes import framed_item, framed_sequence
from curator.dicom.encode import Encoding
from curator.dicom.errors import UnsupportedInstance
from curator.dicom.site import Changes
from curator.dicom.tags import Tag, tag_text
from curator.dicom.uidmap import Named


@dataclass(slots=True)
class Part:
    """An item as it is going to be: one that there was, a share of it, or a new one.

    Parameters
    ----------
    original : bytes
        The item as it stood; empty for a new one.
    delimited : bool
        Whether it has undefined length.
    encoding : Encoding
        Of its elements.
    assembled : callable
        Puts changed elements into the content of the item.
    changes : Changes
        What changes outside `lists`.
    named : Named or None
        The study and series that the item names; parts that name the same are joined.
    lists : dict of int to Listing
        What it lists, by tag.
    """

    original: bytes
    delimited: bool
    encoding: Encoding
    assembled: Callable[[Changes], bytes]
    changes: Changes
    named: Named | None = None
    lists: dict[int, Listing] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        """Whether the item is another than before."""
        return bool(self.changes) or any(listing.changed for listing in self.lists.values())

    def encoded(self) -> bytes:
        """Return the item, header included; byte for byte where nothing has changed."""
        if not self.changed:
            return self.original
        lists = {
            tag: listing.encoded(tag, self.encoding)
            for tag, listing in self.lists.items()
            if listing.changed
        }
        content = self.assembled({**self.changes, **lists})
        return framed_item(content, self.delimited, self.encoding.order)

    def absorb(self, other: Part) -> None:
        """Take over what another part lists; of its other elements, nothing is kept."""
        for tag, listing in other.lists.items():
            mine = self.lists.setdefault(tag, Listing(listing.encoding, listing.delimited, []))
            mine.extend(listing.parts, listing.encoding)


@dataclass(slots=True)
class Listing:
    """A sequence as it is going to be.

    Parameters
    ----------
    encoding : Encoding
        Around its items: implicit VR within UN (PS3.5 6.2.2).
    delimited : bool
        Whether it has undefined length.
    parts : list of Part
        Its items.
    altered : bool, optional
        Whether items have come, gone or been joined.
    """

    encoding: Encoding
    delimited: bool
    parts: list[Part]
    altered: bool = False

    @property
    def changed(self) -> bool:
        """Whether the sequence is another than before."""
        return self.altered or any(part.changed for part in self.parts)

    def encoded(self, tag: int, outer: Encoding) -> bytes:
        """Return the sequence as an element of a level; empty bytes where no item is left.

        Raises
        ------
        UnsupportedInstance
            If its items are encoded in explicit VR, and the level is not.
        """
        if not self.parts:
            return b""
        if self.encoding.explicit and not outer.explicit:
            raise UnsupportedInstance(f"{tag_text(Tag(tag))} cannot be moved into a sequence in UN")
        vr = "SQ" if self.encoding.explicit == outer.explicit else "UN"
        content = b"".join(part.encoded() for part in self.parts)
        return framed_sequence(tag, vr, content, self.delimited, outer)

    def extend(self, parts: Iterable[Part], encoding: Encoding) -> None:
        """Add items at the end, joined with those that name the same.

        Raises
        ------
        UnsupportedInstance
            If they are encoded in another way than those that are there.
        """
        if self.parts and encoding != self.encoding:
            raise UnsupportedInstance("References in different encodings cannot be joined")
        self.encoding = encoding
        self.parts = [*self.parts, *parts]
        self.altered = True
        self.join()

    def without(self, leaves: Callable[[Part], bool]) -> list[Part]:
        """Take out the items of which `leaves` is true, and return them."""
        taken = [part for part in self.parts if leaves(part)]
        if taken:
            self.parts = [part for part in self.parts if not leaves(part)]
            self.altered = True
        return taken

    def join(self) -> None:
        """Join the items that name the same study and series into the first of them."""
        first: dict[Named, Part] = {}
        kept: list[Part] = []
        for part in self.parts:
            named = part.named
            target = first.setdefault(named, part) if named and any(named) else part
            if target is part:
                kept.append(part)
            else:
                target.absorb(part)
        self.altered |= len(kept) < len(self.parts)
        self.parts = kept
