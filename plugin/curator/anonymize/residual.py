"""Search a result for what is left of its subject.

The bytes of the new header are searched in one pass for every spelling of every identifier, in the
character sets of DICOM and in UTF-16. Only where something is found, the elements are taken apart
to see whether it is an identifier: a word in text, a whole number, or bytes that nothing but it
would have.

What it does not find: names beyond ASCII that are declined, or have other accents than the
original; names of one or two letters but as part of a longer name; a single name that is also a
word of the standard or of radiology (``HEAD``, ``LONG``), while both names of a person together are
found; single names in coded strings and in the names of makers and models; numbers of fewer than
six digits, where six may be a measure; a birth date in a date element of another meaning; names and
identifiers of three and four letters among bytes that are not text; institutions, devices and ages,
which are cleaned from text but may be retained; UIDs but that of the study; what is encrypted,
compressed, or drawn in pixels.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator

from curator.anonymize.needles import SHORTEST_IN_BINARY, needles_of
from curator.anonymize.spellings import Found, Spellings, spellings_of
from curator.anonymize.subject import Subject
from curator.dicom.charset import TEXT_VRS, decode_text
from curator.dicom.element import STRING_VRS
from curator.dicom.errors import DicomError
from curator.dicom.referring import BULK
from curator.dicom.site import Site
from curator.dicom.tags import (
    DOUBLE_FLOAT_PIXEL_DATA,
    FLOAT_PIXEL_DATA,
    PIXEL_DATA,
    Tag,
    tag_for_keyword,
    tag_text,
)

FILE_META = "FileMeta"
"""What a hit before the data set is reported as: preamble and File Meta Information."""

PIXELS = (FLOAT_PIXEL_DATA, DOUBLE_FLOAT_PIXEL_DATA, PIXEL_DATA)
"""Elements that are not searched, ascending."""

_LAST = 0xFFFFFFFF

_MAKERS = frozenset(
    map(
        tag_for_keyword,
        (
            *("Manufacturer", "ManufacturerModelName", "SoftwareVersions"),
            *("CodingSchemeDesignator", "CodingSchemeName"),
        ),
    )
)
"""What a maker or model is called, whoever the patient is: people have such names, too."""

_BORN = frozenset(map(tag_for_keyword, ("PatientBirthDate", "PatientBirthTime")))
_DATE_VRS = frozenset({"DA", "TM", "DT"})
_NUMBER_VRS = frozenset({"DS", "IS", "AS"})
_CODED_VRS = frozenset({"CS", "AE"})
_DIGITS_OF_A_MEASURE = 7

_BEYOND_TEXT = re.compile(rb"[^ -~]")
_INDEX = re.compile(r"\[\d+\]")


def search(
    site: Site, subject: Subject, permitted: Collection[str] = (), head: bytes = b""
) -> tuple[str, ...]:
    """Return where identifiers of the original subject are left.

    Parameters
    ----------
    site : Site
        The top level of the result.
    subject : Subject
        Of the original.
    permitted : collection of str
        Paths of elements that the profile writes or keeps on purpose; of an item, they hold for
        every item of the sequence.
    head : bytes, optional
        What is before the data set: preamble and File Meta Information.

    Returns
    -------
    tuple of str
        Paths such as ``RequestAttributesSequence[0].ScheduledProcedureStepID``; of pixel data,
        none.
    """
    if not may_be_in(head, subject) and not any(
        may_be_in(data[start:end], subject) for data, start, end in site.stretches(PIXELS, _LAST)
    ):
        return ()
    evidence = _Evidence(subject)
    on_purpose = {_INDEX.sub("", path) for path in permitted}
    found = [path for path in evidence.at(site, "") if _INDEX.sub("", path) not in on_purpose]
    if head and evidence.is_in_bytes(head):
        found.append(FILE_META)
    return tuple(found)


def may_be_in(raw: bytes, subject: Subject) -> bool:
    """Tell whether encoded elements may hold an identifier; a search tells whether they do."""
    anywhere = needles_of(subject).anywhere
    return anywhere is not None and anywhere.search(raw) is not None


class _Evidence:
    """Tells of each element whether it holds an identifier of a subject."""

    def __init__(self, subject: Subject) -> None:
        self.spellings: Spellings = spellings_of(subject)
        needles = needles_of(subject)
        self.anywhere, self.binary = needles.anywhere, needles.binary

    def at(self, site: Site, path: str) -> Iterator[str]:
        """Yield the paths of such elements at a level and below."""
        for tag in site.tags:
            if tag in PIXELS:
                continue
            raw = site.encoded(tag)
            if not self.anywhere.search(raw):
                continue
            here = f"{path}{tag_text(Tag(tag))}"
            inner = list(self._inside(site, tag, here))
            if inner or self._is_sequence(site, tag):
                yield from inner
            elif self._is_in_element(site, tag):
                yield here

    @staticmethod
    def _is_sequence(site: Site, tag: int) -> bool:
        return site.vr(tag) == "SQ"

    def _inside(self, site: Site, tag: int, path: str) -> Iterator[str]:
        vr = site.vr(tag)
        if vr != "SQ" and not (vr == "UN" and tag < BULK):
            return
        try:
            items = [item.enter() for item in site.items(tag)]
        except DicomError:
            return
        for index, item in enumerate(items):
            yield from self.at(item, f"{path}[{index}].")

    def _is_in_element(self, site: Site, tag: int) -> bool:
        vr, raw = site.vr(tag), site.raw(tag)
        if vr == "UI":
            return False
        if vr in STRING_VRS:
            return self._is_in_text(site, tag, vr) or self._is_in_bytes(raw, _is_encoded)
        return self._is_readable(site, tag, raw) or self.is_in_bytes(raw)

    def _is_in_text(self, site: Site, tag: int, vr: str) -> bool:
        return any(
            self._counts(found, tag, vr, text)
            for text in _texts(site, tag, vr)
            for found in self.spellings.found(text)
        )

    def _counts(self, found: Found, tag: int, vr: str, text: str) -> bool:
        """Tell whether what stands in a text is evidence in an element of this kind."""
        if not found.certain:
            return False
        if vr in _DATE_VRS:
            return tag in _BORN or not found.is_number
        if vr in _NUMBER_VRS:
            return found.end - found.start >= _DIGITS_OF_A_MEASURE
        if vr in _CODED_VRS or tag in _MAKERS:
            return found.is_number or found.is_date or not text[found.start : found.end].isalpha()
        return True

    def _is_readable(self, site: Site, tag: int, raw: bytes) -> bool:
        """Tell whether bytes are text after all, and hold an identifier as such."""
        try:
            text = decode_text(raw.strip(b"\0 "), site.encoding.charset, "LT")
        except DicomError:
            return False
        if not all(character.isprintable() or character.isspace() for character in text):
            return False
        shortest = 0 if site.vr(tag) == "UN" else SHORTEST_IN_BINARY
        return any(
            found.certain and found.end - found.start >= shortest
            for found in self.spellings.found(text)
        )

    def is_in_bytes(self, raw: bytes) -> bool:
        """Tell whether bytes of no known kind hold an identifier."""
        return self._is_in_bytes(raw, _is_whole)

    def _is_in_bytes(self, raw: bytes, is_evidence: Callable[[bytes, int, int], bool]) -> bool:
        position = 0
        while self.binary and (match := self.binary.search(raw, position)):
            if is_evidence(raw, *match.span()):
                return True
            position = match.start() + 1
        return False


def _texts(site: Site, tag: int, vr: str) -> tuple[str, ...]:
    element = site.element(tag)
    try:
        return element.strings
    except DicomError:
        codec = "utf_8" if vr in TEXT_VRS else "latin_1"
        return (element.raw.decode(codec, "replace"), element.raw.decode("latin_1"))


def _is_encoded(raw: bytes, start: int, end: int) -> bool:
    """Tell whether a match in text is in another character set than what can be read as such."""
    return _BEYOND_TEXT.search(raw, start, end) is not None


def _is_whole(raw: bytes, start: int, end: int) -> bool:
    """Tell whether a match is no piece of a longer word or number."""
    return _is_encoded(raw, start, end) or not (
        _is_of_one_kind(raw[max(0, start - 1) : start], raw[start : start + 1])
        or _is_of_one_kind(raw[end : end + 1], raw[end - 1 : end])
    )


def _is_of_one_kind(one: bytes, other: bytes) -> bool:
    return (one.isdigit() and other.isdigit()) or (one.isalpha() and other.isalpha())
