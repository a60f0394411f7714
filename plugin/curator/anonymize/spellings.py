"""Find the identifiers of a subject in text, whatever way they are written.

What is looked for follows from the :class:`.Subject` alone, so that one set of spellings serves
all instances of a study.

=============  ===================================================================================
names          components in any order and with any separators, joined, with initials beside them,
               without accents and with umlauts transcribed, as genitives, without case; each
               component alone from three letters on (family names from two)
identifiers    with and without separators and leading zeros, from four characters on
birth date     year, month and day in every usual order, with the months' names in seven languages
contacts       telephone numbers with any separators, addresses word for word
surroundings   word for word, and any two words of them together
ages           in years, with the words that say so in several languages
UIDs           as they are
=============  ===================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

from curator.anonymize.folding import Folded, folded, transcribed
from curator.anonymize.months import MONTHS
from curator.anonymize.names import Names, names_of
from curator.anonymize.subject import Subject
from curator.anonymize.vocabulary import INSTITUTIONAL, VOCABULARY
from curator.conditions import LARGE_PATTERN_BYTES, compile_pattern

_SHORTEST_IDENTIFIER = 4
_CERTAIN_DIGITS = 6
"""As many digits in a row are the identifier; fewer may be a measure."""

_PHONE_DIGITS = 7
_PHONE_TAIL = 9
"""Digits that do not depend on whether the country is dialed."""

_SHORTEST_CONTACT = 6
_SHORTEST_SURROUNDINGS = 4
_SHORTEST_PLACE = 5
_SHORTEST_WORD = 3
_SHORTEST_UID = 12
_LONGER_THAN_A_FOLLOW_UP = 30
"""Years: fewer of them are as likely the time since or until something as an age."""

_DATE_SIZE = 6
_MOST_IDENTIFIER = 64

_SEPARATOR = "[-_/ ]?"
_ANY_SEPARATOR = "[-_./ :|]{0,2}"
_PHONE_SEPARATOR = "[-_./ ()]{0,2}"
_PHONE_START = "(?:[+(]{0,2}[0-9][-0-9 ()/.]{0,10})?"


@dataclass(frozen=True, slots=True)
class Found:
    """Where an identifier stands in a text.

    Parameters
    ----------
    start, end : int
        Which part of the text.
    certain : bool
        Whether it is more than a word or number that may be there by chance.
    is_number : bool
        Whether it is made of digits and separators only.
    is_date : bool
        Whether it is the birth date.
    """

    start: int
    end: int
    certain: bool
    is_number: bool = False
    is_date: bool = False


@dataclass(frozen=True, slots=True)
class Needle:
    """A pattern that one identifier other than a name is found by.

    Parameters
    ----------
    pattern : str
        Regular expression of RE2 over folded text, ASCII where the identifier is.
    size : int
        Letters and digits that it has at least.
    certain, is_number, is_date : bool
        As in `Found`.
    """

    pattern: str
    size: int
    certain: bool
    is_number: bool = False
    is_date: bool = False


@dataclass(frozen=True)
class Spellings:
    """What the identifiers of a subject look like.

    Parameters
    ----------
    names : Names
        Of the patient and of other persons.
    needles : tuple of Needle
        Everything else.
    short : frozenset of str
        Identifiers that only count as whole values.
    """

    names: Names
    needles: tuple[Needle, ...]
    short: frozenset[str]

    @cached_property
    def _matcher(self) -> Any:
        """One group for each needle; None without any."""
        patterns = [f"({one.pattern})" for one in self.needles]
        return compile_pattern("|".join(patterns), LARGE_PATTERN_BYTES) if patterns else None

    def found(self, text: str) -> Iterator[Found]:
        """Yield where an identifier stands in a text, in no order."""
        plain = folded(text)
        yield from self._found(plain)
        if not text.isascii():
            other = transcribed(text)
            if other.text != plain.text:
                yield from self._found(other)
        whole = plain.text.strip()
        if whole in self.short:
            yield Found(0, len(text), certain=False, is_number=whole.isdigit())

    def _found(self, text: Folded) -> Iterator[Found]:
        for start, end, certain in self.names.found(text.text):
            yield Found(*text.span(start, end), certain)
        position = 0
        while self._matcher and (match := self._matcher.search(text.text, position)):
            start, end = match.span()
            if not _is_bounded(text.text, start, end):
                position = start + 1
                continue
            needle = self.needles[match.lastindex - 1]
            place = text.span(start, end)
            yield Found(*place, needle.certain, needle.is_number, needle.is_date)
            position = end if needle.certain else start + 1


@lru_cache(maxsize=64)
def spellings_of(subject: Subject) -> Spellings:
    """Return what the identifiers of a subject look like."""
    needles = dict.fromkeys(_needles(subject))
    ordered = tuple(sorted(needles, key=lambda one: (not one.certain, -len(one.pattern))))
    names = names_of((*subject.names, *subject.persons))
    short = {core for text in subject.identifiers if _is_short(core := _core(text))}
    return Spellings(names, ordered, frozenset(short))


def _needles(subject: Subject) -> Iterator[Needle]:
    for text in subject.identifiers:
        yield from _identifier(text)
    for date in subject.birth_dates:
        yield from _birth_date(date)
    for text in subject.contacts:
        yield from _contact(text)
    for text in subject.surroundings:
        yield from _surroundings(text)
    for age in subject.ages:
        yield from _age(age)
    for uid in subject.uids:
        if len(uid) >= _SHORTEST_UID:
            yield Needle(re.escape(uid), len(uid), certain=True, is_number=True)


def _core(identifier: str) -> str:
    return re.sub(r"[\W_]+", "", folded(identifier).text)


def _is_short(core: str) -> bool:
    return 1 < len(core) < _SHORTEST_IDENTIFIER


def _identifier(text: str) -> Iterator[Needle]:
    core = _core(text)
    if not _SHORTEST_IDENTIFIER <= len(core) <= _MOST_IDENTIFIER:
        return
    is_number = core.isdigit()
    significant = core.lstrip("0") if is_number else core
    if len(significant) < _SHORTEST_IDENTIFIER:
        significant = core
    separated = core != folded(text).text.strip()
    separator = _ANY_SEPARATOR if separated else _SEPARATOR
    zeros = f"(?:0{separator})*" if is_number else ""
    pattern = zeros + separator.join(map(re.escape, significant))
    certain = len(significant) >= _CERTAIN_DIGITS if is_number else core not in VOCABULARY
    yield Needle(pattern, len(significant), certain, is_number)


def _birth_date(date: str) -> Iterator[Needle]:
    digits = re.sub(r"\D", "", date)
    if len(digits) != 8 or not 1 <= int(digits[4:6]) <= 12:
        return
    year, month, day = digits[:4], digits[4:6], digits[6:]
    for pattern in _numeric(year, month, day):
        yield Needle(pattern, _DATE_SIZE, certain=True, is_number=True, is_date=True)
    for pattern in _short_numeric(year, month, day):
        yield Needle(pattern, _DATE_SIZE, certain=False, is_number=True, is_date=True)
    for pattern in _in_words(year, month, day):
        yield Needle(pattern, _DATE_SIZE, certain=True, is_date=True)


def _in_words(year: str, month: str, day: str) -> tuple[str, ...]:
    """Return the patterns of a date with the name of its month."""
    name = rf"(?:{'|'.join(map(re.escape, MONTHS[int(month) - 1]))})[a-z]{{0,6}}"
    number = rf"0?{int(day)}(?:st|nd|rd|th|er|o|a)?"
    any_year, gap = f"(?:{year}|'?{year[2:]})", r"[-. ,/]{0,3}"
    return (
        rf"{number}{gap}(?:de )?{name}{gap}(?:de )?{any_year}",
        rf"{name}{gap}{number}{gap}{any_year}",
        rf"{year}{gap}{name}{gap}{number}",
    )


_GAP = "[-./ ,]{1,2}"
_EASTERN = tuple([folded(sign).text for sign in signs] for signs in (("年", "月"), ("년", "월")))


def _numeric(year: str, month: str, day: str) -> Iterator[str]:
    m, d = _number(month), _number(day)
    yield f"{year}{month}{day}"
    yield f"{day}{month}{year}"
    yield f"{month}{day}{year}"
    yield f"{year}{_GAP}{m}{_GAP}{d}"
    yield f"{d}{_GAP}{m}{_GAP}{year}"
    yield f"{m}{_GAP}{d}{_GAP}{year}"
    yield f"{day}[-./]{month}[-./]{year[2:]}"
    yield f"{month}[-./]{day}[-./]{year[2:]}"
    for after_year, after_month in _EASTERN:
        yield f"{year} ?{after_year} ?{m} ?{after_month} ?{d}"


def _short_numeric(year: str, month: str, day: str) -> Iterator[str]:
    """Return the orders with two digits for the year, which other numbers may happen to have."""
    m, d, y = _number(month), _number(day), f"'?{year[2:]}"
    yield f"{d}{_GAP}{m}{_GAP}{y}"
    yield f"{m}{_GAP}{d}{_GAP}{y}"
    yield f"{y}{_GAP}{m}{_GAP}{d}"


def _number(digits: str) -> str:
    return f"0?{int(digits)}"


def _contact(text: str) -> Iterator[Needle]:
    plain = folded(text).text
    if "@" in plain:
        for address in re.findall(r"[^\s@<>;,:]+@[^\s@<>;,]+", plain):
            yield Needle(re.escape(address), len(address), certain=True)
    digits = re.sub(r"\D", "", plain)
    letters = re.sub(r"[\W\d_]+", "", plain)
    if len(digits) >= _PHONE_DIGITS and len(letters) <= len(digits):
        tail = digits.lstrip("0")[-_PHONE_TAIL:]
        if len(tail) >= _PHONE_DIGITS - 1:
            pattern = _PHONE_START + "0*" + _PHONE_SEPARATOR.join(tail)
            yield Needle(pattern, len(tail), certain=True, is_number=True)
            return
    yield from _address(plain)


def _address(plain: str) -> Iterator[Needle]:
    for part in {plain, *re.split(r"[,^\n;=\\]", plain)}:
        words = re.findall(r"[^\W_]+", part)
        size = sum(map(len, words))
        if len(words) > 1 and size >= _SHORTEST_CONTACT:
            yield Needle(r"[-.,;:/ ^\n]{1,4}".join(map(re.escape, words)), size, certain=True)


def _surroundings(text: str) -> Iterator[Needle]:
    """Yield the name of a place or device, and the pairs of words in it; what is usual is none."""
    for part in re.split(r"[,^\n;=\\]", folded(text).text):
        words = re.findall(r"[^\W_]+", part)
        singles = ([word] for word in words if len(word) >= _SHORTEST_PLACE)
        for named in (words, *map(list, pairwise(words)), *singles):
            if _is_telling(named):
                size = sum(map(len, named))
                yield Needle(r"[-_.,:/' ^]{0,4}".join(map(re.escape, named)), size, certain=False)


def _is_telling(words: list[str]) -> bool:
    """Tell whether words are more than what any institution or device may be called."""
    if sum(map(len, words)) < _SHORTEST_SURROUNDINGS:
        return False
    usual = VOCABULARY | INSTITUTIONAL
    return any(len(word) >= _SHORTEST_WORD and word not in usual for word in words)


def _age(text: str) -> Iterator[Needle]:
    if not re.fullmatch(r"\d{3}Y", text) or int(text[:3]) == 0:
        return
    years = str(int(text[:3]))
    patterns = [
        rf"{years}[- ]?(?:(?:years?|yrs?|y)[- ]old|y[/.]?o|jae?hrig[a-z]{{0,2}}|ans d'age)",
        rf"{years}[- ]?(?:anos de edad|anni di eta|letni[a-z]{{0,2}}|歳|岁)",
        rf"(?:aged?|agee? de|de edad|alter|edad|eta)[: ]{{0,2}}{years}",
        text.lower(),
    ]
    if int(years) >= _LONGER_THAN_A_FOLLOW_UP:
        patterns.append(rf"{years}[- ]?(?:years?|yrs?|ans|anos|anni|jahren?|jaar|lat)")
    for pattern in patterns:
        yield Needle(pattern, len(years), certain=False)


def _is_bounded(text: str, start: int, end: int) -> bool:
    """Tell whether a match is not a piece of a longer number or word."""
    return not (
        _continues(text[start], text[max(0, start - 2) : start][::-1])
        or _continues(text[end - 1], text[end : end + 2])
    )


def _continues(edge: str, beyond: str) -> bool:
    if edge.isdigit():
        return beyond[:1].isdigit() or (beyond[:1] in (".", ",") and beyond[1:2].isdigit())
    return edge.isalpha() and beyond[:1].isalpha() and beyond.isascii()
