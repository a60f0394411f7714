"""Remove identifiers from free text, and leave the rest of it (PS3.15 E.3.5)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from curator.anonymize.lookalikes import lookalikes
from curator.anonymize.spellings import Spellings, spellings_of
from curator.anonymize.subject import Subject
from curator.dicom.edits import KEEP, Drop, Edit, Replace
from curator.dicom.element import SINGLE_VALUED_VRS, STRING_VRS, Element

_DROP = Drop()
_EMPTY = Replace(())
_NUMERIC_VRS = frozenset({"DS", "IS", "AS"})
_BINARY_NUMBER_VRS = frozenset({"US", "SS", "UL", "SL", "UV", "SV", "FL", "FD", "AT"})
_ROUNDS = 8

_DANGLING = ",;:=^_/|#–-"  # noqa: RUF001
_ENDS = f"{_DANGLING} \t\r\n\f\0"
_TIDYING = (
    (re.compile(r"[^\S\r\n]+"), " "),
    (re.compile(r"[(\[{<\"'][\s,;:./^-]{0,16}[)\]}>\"']"), " "),
    (re.compile(rf"(?: \.| ?[{_DANGLING}]){{1,16}}(?= ?[,;.])"), ""),
    (re.compile(r" (?=[,;.](?:\s|$))"), ""),
    (re.compile(rf"(?<=\s)[{_DANGLING}]+(?=\s)"), " "),
    (re.compile(r" +"), " "),
    (re.compile(r"(?<=[\r\n]) | (?=[\r\n])"), ""),
    (re.compile(r"\A[\s.]+(?!\d)"), ""),
)


class TextCleaner:
    """Removes the identifiers of a subject from text, and what looks like one.

    Parameters
    ----------
    subject : Subject
        Whose.
    """

    __slots__ = ("_cleaned", "spellings")
    spellings: Spellings

    def __init__(self, subject: Subject) -> None:
        self.spellings = spellings_of(subject)
        self._cleaned = lru_cache(maxsize=1024)(self._clean)

    def clean(self, text: str) -> str:
        """Return a text without identifiers; a text that has none as it is, but for its ends."""
        return self._cleaned(text)

    def names_somebody(self, text: str) -> bool:
        """Tell whether an identifier of the subject stands in a text."""
        return next(self.spellings.found(text), None) is not None

    def _clean(self, text: str) -> str:
        for _ in range(_ROUNDS):  # what was apart may have come together
            spans = [(found.start, found.end) for found in self.spellings.found(text)]
            spans += lookalikes(text)
            if not spans:
                return text.strip(" \0")
            text = _tidied(_without(text, spans))
        return ""


@lru_cache(maxsize=64)
def cleaner_of(subject: Subject) -> TextCleaner:
    """Return the cleaner for a subject, one for all instances of a study."""
    return TextCleaner(subject)


def _without(text: str, spans: Iterable[tuple[int, int]]) -> str:
    kept: list[str] = []
    position = 0
    for start, end in sorted(spans):
        if start > position:
            kept.append(text[position:start])
        position = max(position, end)
    kept.append(text[position:])
    return " ".join(kept)


def _tidied(text: str) -> str:
    for pattern, replacement in _TIDYING:
        text = pattern.sub(replacement, text)
    return text.strip(_ENDS)


def cleaned(element: Element, cleaner: TextCleaner) -> Edit:
    """Return what is left of an element whose text is cleaned.

    Parameters
    ----------
    element : Element
        Of any VR but SQ, whose items are cleaned one by one.
    cleaner : TextCleaner
        For the subject.

    Returns
    -------
    Edit
        Text is cleaned value by value, and may come out empty. Numbers stay unless they are one of
        the subject's identifiers. UIDs, and bytes of which nobody knows whether they are text, go.

    Raises
    ------
    EncodingError
        If it is no text in its character set: nobody can tell what it says.
    """
    if element.vr in _BINARY_NUMBER_VRS:
        return KEEP
    if element.vr not in STRING_VRS or element.vr == "UI":
        return _DROP
    values = element.strings
    if element.vr in _NUMERIC_VRS:
        return _EMPTY if any(map(cleaner.names_somebody, values)) else KEEP
    new = tuple(cleaner.clean(value) for value in values)
    if new == values:
        return KEEP
    if element.vr in SINGLE_VALUED_VRS or not any(new):
        return Replace(new[0]) if any(new) else _EMPTY
    return Replace(new)
