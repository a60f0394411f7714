"""Say why an instance, a tag or a value cannot be taken.

::

    DicomError (ValueError)
    ├── NotDicom           the bytes are no DICOM file
    ├── Malformed          the structure is truncated or contradicts itself
    │   └── OutOfOrder     elements occur twice, or not in ascending order
    ├── TooDeep            sequences are nested deeper than Curator follows
    ├── EncodingError      bytes are no text in the character set
    │   └── DoesNotFit     a character set cannot hold the text
    ├── TagError           a tag or path is not understood, or may not be edited
    ├── UnsupportedValue   a value does not fit its value representation
    └── UnsupportedInstance  a kind of file that cannot be edited safely

Messages carry keywords, tags, offsets and counts, never an element's value.
"""

from __future__ import annotations


class DicomError(ValueError):
    """Any refusal of this package."""


class NotDicom(DicomError):
    """The bytes are not a DICOM file (PS3.10 7.1)."""


class Malformed(DicomError):
    """The encoded structure is truncated or contradicts itself.

    Parameters
    ----------
    problem : str
        What is wrong, without any value of the instance.
    offset : int
        Where, in bytes from the start of what was read.
    where : str, optional
        Path of the element, outermost sequence first.
    """

    def __init__(self, problem: str, offset: int, where: str = "") -> None:
        self.problem = problem
        self.offset = offset
        self.where = where
        place = f"{where}, offset {offset}" if where else f"offset {offset}"
        super().__init__(f"{problem} ({place})")

    def within(self, container: str) -> Malformed:
        """Return the same error, seen from the sequence that holds the element."""
        where = f"{container}.{self.where}" if self.where else container
        return type(self)(self.problem, self.offset, where)


class OutOfOrder(Malformed):
    """Elements occur twice, or not in ascending order (PS3.5 7.1)."""


class TooDeep(DicomError):
    """Sequences are nested deeper than :data:`.tags.MAXIMUM_DEPTH`."""


class EncodingError(DicomError):
    """Text does not fit a character set, or bytes are no text in it (PS3.3 C.12.1.1.2)."""


class DoesNotFit(EncodingError):
    """A character set cannot hold a new text; the engine then widens the instance."""


class TagError(DicomError):
    """A tag or path is not understood, or may not be edited."""


class UnsupportedValue(DicomError):
    """A value does not fit its value representation (PS3.5 6.2)."""


class UnsupportedInstance(DicomError):
    """A readable file of a kind that cannot be edited safely."""
