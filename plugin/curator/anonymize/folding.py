"""Bring text to a form in which spellings of one name are equal.

Case, accents, width of letters and the two Japanese syllabaries do not count. Every folded
character knows where it came from, so that what is found in the folded text can be cut out of the
original.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

_LETTERS = {
    "ø": "o", "đ": "d", "ð": "d", "ł": "l", "ħ": "h", "ı": "i", "ŋ": "n", "œ": "oe", "æ": "ae",  # noqa: RUF001
    "þ": "th", "ŧ": "t", "ß": "ss", "ё": "е", "й": "и", "і": "и", "ς": "σ",  # noqa: RUF001
    "ى": "ي", "ی": "ي", "ک": "ك", "ة": "ه",  # noqa: RUF001
}  # fmt: skip
"""Letters that Unicode does not decompose, and pairs that are written for each other."""

_TRANSCRIBED = {"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"}
"""How names are written where a keyboard has no such letters."""

_PLAIN = {"ae": "a", "oe": "o", "ue": "u", "aa": "a"}

_UNSEEN = ("Mn", "Cf")
"""Accents, and characters that only tell how the text is laid out."""

_HIRAGANA, _KATAKANA, _TO_KATAKANA = range(0x3041, 0x3097), range(0x30A1, 0x30F7), 0x60
_HALF_WIDTH = {
    unicodedata.normalize("NFKC", chr(code)): chr(code) for code in range(0xFF66, 0xFFA0)
}


@dataclass(frozen=True, slots=True)
class Folded:
    """A folded text.

    Parameters
    ----------
    text : str
        What it is folded to.
    origins : tuple of int or None
        For each character, the index of the one it came from, and the length of the original;
        None where each is its own.
    """

    text: str
    origins: tuple[int, ...] | None = None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the part of the original that a part of the folded text came from.

        Marks that follow it, and are folded away, are a part of it.
        """
        if self.origins is None:
            return start, end
        return self.origins[start], max(self.origins[end], self.origins[end - 1] + 1)


@lru_cache(maxsize=16384)
def _folded(character: str) -> str:
    plain = "".join(
        _LETTERS.get(part, part)
        for part in unicodedata.normalize("NFKD", character.casefold()).casefold()
        if unicodedata.category(part) not in _UNSEEN and part.isalpha() >= character.isalpha()
    )
    return "".join(chr(ord(c) + _TO_KATAKANA) if ord(c) in _HIRAGANA else c for c in plain)


@lru_cache(maxsize=16384)
def _transcribed(character: str) -> str:
    lower = unicodedata.normalize("NFC", character.casefold())
    return _TRANSCRIBED.get(lower) or _folded(character)


def folded(text: str) -> Folded:
    """Fold a text: ``Müller`` becomes ``muller``."""
    return _by(text, _folded)


def transcribed(text: str) -> Folded:
    """Fold a text with its umlauts transcribed: ``Müller`` becomes ``mueller``."""
    return _by(text, _transcribed)


def _by(text: str, fold: Callable[[str], str]) -> Folded:
    if text.isascii():
        return Folded(text.lower())
    parts = [fold(character) for character in text]
    origins = tuple(index for index, part in enumerate(parts) for _ in part)
    return Folded("".join(parts), (*origins, len(text)))


@lru_cache(maxsize=4096)
def forms(word: str) -> frozenset[str]:
    """Return what the spellings of a word may be folded to."""
    found = {folded(word).text, transcribed(word).text}
    for long, short in _PLAIN.items():
        found |= {form.replace(long, short) for form in found if long in form}
    return frozenset(found)


def kana(text: str) -> frozenset[str]:
    """Return a Japanese text in each of the syllabaries: hiragana, katakana, half-width katakana.

    Empty where it has none of their letters.
    """
    composed = unicodedata.normalize("NFKC", text)
    if not any(ord(c) in _HIRAGANA or ord(c) in _KATAKANA for c in composed):
        return frozenset()
    katakana = "".join(chr(ord(c) + _TO_KATAKANA) if ord(c) in _HIRAGANA else c for c in composed)
    hiragana = "".join(chr(ord(c) - _TO_KATAKANA) if ord(c) in _KATAKANA else c for c in katakana)
    apart = unicodedata.normalize("NFD", katakana)
    return frozenset({katakana, hiragana, "".join(_HALF_WIDTH.get(c, c) for c in apart)})
