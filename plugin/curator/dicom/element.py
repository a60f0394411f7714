"""Decode the value field of one element (PS3.5 6.2)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from curator.dicom.charset import ASCII, TEXT_VRS, Charset, decode_text
from curator.dicom.errors import UnsupportedValue
from curator.dicom.tags import Tag, tag_text

Value = str | int | float | bytes

STRING_VRS = TEXT_VRS | {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"}
SINGLE_VALUED_VRS = frozenset({"ST", "LT", "UT", "UR"})
"""String VRs in which a backslash does not separate values."""

NUMBER_CODES = {
    "US": "H",
    "SS": "h",
    "UL": "I",
    "SL": "i",
    "UV": "Q",
    "SV": "q",
    "FL": "f",
    "FD": "d",
}
"""Codes of module struct for binary numbers."""

_KEEPS_LEADING_SPACES = frozenset({"LT", "ST", "UT", "UC"})


@dataclass(frozen=True, slots=True)
class Element:
    """One element as it stands in an instance, decoded when asked.

    Parameters
    ----------
    tag : Tag
        The tag; in a private block, with the block number found.
    vr : str
        Value representation: as encoded, or from the dictionaries in implicit VR.
    raw : bytes
        The value field; of a sequence, its encoded items.
    charset : Charset
        The character set in force where the element stands.
    order : str, optional
        "<" little endian, ">" big endian.
    present : bool, optional
        False for the stand-in that a function gets where the element is absent.
    """

    tag: Tag
    vr: str
    raw: bytes
    charset: Charset = ASCII
    order: str = "<"
    present: bool = True

    @property
    def values(self) -> tuple[Value, ...]:
        """All values, as the VR has them: text, numbers, tags as numbers, or one bytes value.

        IS and DS stay text here, so that nothing of their spelling is lost.

        Raises
        ------
        EncodingError
            If text does not fit the character set.
        UnsupportedValue
            If the length of the value field does not fit the VR.
        """
        if self.vr in STRING_VRS:
            return self._texts()
        if self.vr in NUMBER_CODES or self.vr == "AT":
            return self._binary_numbers()
        return (self.raw,) if self.raw else ()

    @property
    def strings(self) -> tuple[str, ...]:
        """All values as text; empty for binary data."""
        if self.vr in STRING_VRS:
            return self._texts()
        return tuple(str(value) for value in self.values if not isinstance(value, bytes))

    @property
    def text(self) -> str:
        """The whole value as one text, several values joined by backslashes."""
        return "\\".join(self.strings)

    @property
    def numbers(self) -> tuple[int | float, ...]:
        """All values as numbers; empty values are left out.

        Raises
        ------
        UnsupportedValue
            If a value is no number.
        """
        convert = _integer if self.vr == "IS" else _number
        numbers: list[int | float] = []
        for value in self.values:
            if isinstance(value, str):
                if value:
                    numbers.append(convert(value, self.tag))
            elif isinstance(value, bytes):
                raise UnsupportedValue(f"{tag_text(self.tag)} holds no numbers")
            else:
                numbers.append(value)
        return tuple(numbers)

    def _texts(self) -> tuple[str, ...]:
        text = self.padded_text(self.vr).rstrip(" \0")
        if not text:
            return ()
        if self.vr in SINGLE_VALUED_VRS:
            return (text,)
        strip = str.rstrip if self.vr in _KEEPS_LEADING_SPACES else str.strip
        return tuple(strip(value, " \0") for value in text.split("\\"))

    def padded_text(self, vr: str) -> str:
        """Return the value field as text of the given VR, padding included.

        Raises
        ------
        EncodingError
            If the bytes are no text in the character set of the VR.
        """
        if self.raw.isascii() and b"\x1b" not in self.raw:
            return self.raw.decode("ascii")
        charset = self.charset if vr in TEXT_VRS else ASCII
        return decode_text(self.raw, charset, vr)

    def _binary_numbers(self) -> tuple[int | float, ...]:
        code = "H" if self.vr == "AT" else NUMBER_CODES[self.vr]
        size = struct.calcsize(code) * (2 if self.vr == "AT" else 1)
        if len(self.raw) % size:
            raise UnsupportedValue(
                f"{tag_text(self.tag)} has {len(self.raw)} bytes, no multiple of {size}"
            )
        count = len(self.raw) // struct.calcsize(code)
        numbers = struct.unpack(f"{self.order}{count}{code}", self.raw)
        if self.vr == "AT":
            return tuple(
                group << 16 | element
                for group, element in zip(numbers[::2], numbers[1::2], strict=True)
            )
        return numbers


def _integer(text: str, tag: Tag) -> int | float:
    try:
        return int(text)
    except ValueError:
        return _number(text, tag)


def _number(text: str, tag: Tag) -> float:
    try:
        return float(text)
    except ValueError:
        raise UnsupportedValue(f"{tag_text(tag)} has a value that is no number") from None
