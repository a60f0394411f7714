"""What the identifiers of a subject look like in bytes, in every character set of DICOM."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import re2

from curator.anonymize.folding import folded, kana
from curator.anonymize.spellings import Spellings, spellings_of
from curator.anonymize.subject import Subject
from curator.anonymize.vocabulary import VOCABULARY

_CODECS = (
    *("utf_8", "latin_1", "iso8859_2", "iso8859_3", "iso8859_4", "iso8859_5", "iso8859_6"),
    *("iso8859_7", "iso8859_8", "iso8859_9", "iso8859_15", "tis_620", "koi8_r", "cp1251"),
    *("cp437", "shift_jis", "euc_jp", "euc_kr", "gb18030", "big5", "utf_16_le", "utf_16_be"),
)
"""The character sets of PS3.3 C.12.1.1.2, and those that are used in their place."""

_ESCAPED_CODECS = ("iso2022_jp", "iso2022_jp_2")

_ACCENTED = {
    "ß": rb"(?:ss|[\x80-\xff]{1,2})",
    **{
        letter: rb"[%b\x80-\xff][\x80-\xff]{0,2}" % letter.encode("ascii")
        for letter in "aceinosuyzl"
    },
}
"""Patterns of letters that accents are written on: in UTF-8, composed or not, or in one byte."""

_SHORTEST_ACCENTED = 4

_ESCAPE = re.compile(rb"\x1b\$?[(-)]?.")
_APOSTROPHES = re.compile("['’ʼ`´]")  # noqa: RUF001
_HYPHENS = re.compile("[-\u2010\u2011]")

_SHORTEST_IN_TEXT = 3
SHORTEST_IN_BINARY = 5
"""Letters or digits: fewer of them occur by chance among bytes that are no text."""

_SHORTEST_ENCODED = 4
"""Bytes beyond ASCII: fewer of them occur by chance."""

_SHORT_PART = 2
"""Characters of a name in a script without spaces, that its bytes alone would not give away."""

_BEYOND_ASCII = 0x80


@dataclass(frozen=True)
class Needles:
    """Patterns over bytes.

    Parameters
    ----------
    everything : tuple of bytes
        What finds everything that may be an identifier, and more.
    certain : tuple of bytes
        What finds one even where the bytes are no text.
    """

    everything: tuple[bytes, ...]
    certain: tuple[bytes, ...]

    @cached_property
    def anywhere(self) -> Any:
        """`everything`, compiled; None where there is nothing."""
        return _compiled(self.everything)

    @cached_property
    def binary(self) -> Any:
        """`certain`, compiled; most results are never searched for it."""
        return _compiled(self.certain)


@lru_cache(maxsize=64)
def needles_of(subject: Subject) -> Needles:
    """Return the patterns for a subject."""
    spellings = spellings_of(subject)
    words = {*_plain_words(spellings)}
    long = {word for word in words if len(word) >= SHORTEST_IN_BINARY}
    certain = [needle for needle in spellings.needles if needle.certain]
    encoded = [_literal_bytes(raw) for raw in set(_encoded(subject))]
    encoded += map(_wide, (*long, *_plain_identifiers(subject)))
    anywhere = [*map(_accented, words), *map(_wide, words), *_pairs(spellings)]
    anywhere += map(_literal_bytes, set(_inside_escapes(subject)))
    anywhere += [_as_bytes(needle.pattern) for needle in certain]
    binary = [*map(_literal, long)]
    binary += [_as_bytes(one.pattern) for one in certain if one.size >= SHORTEST_IN_BINARY]
    return Needles((*anywhere, *encoded), (*binary, *encoded))


def _compiled(patterns: tuple[bytes, ...]) -> Any:
    if not patterns:
        return None
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = False
    options.encoding = re2.Options.Encoding.LATIN1
    return re2.compile(b"|".join(sorted(set(patterns))), options)


def _plain_words(spellings: Spellings) -> Iterator[str]:
    for word in spellings.names.words - VOCABULARY:
        if word.isascii() and len(word) >= _SHORTEST_IN_TEXT:
            yield word


def _pairs(spellings: Spellings) -> Iterator[bytes]:
    """Yield names of which each word alone could be there by chance."""
    for person in spellings.names.persons:
        parts = sorted(part for part in person.parts if part.isascii())
        if all(part in VOCABULARY or len(part) < _SHORTEST_IN_TEXT for part in parts):
            for one in parts:
                for other in parts:
                    if one != other:
                        yield _literal(one) + rb"[^0-9A-Za-z]{0,4}" + _literal(other)


def _encoded(subject: Subject) -> Iterator[bytes]:
    """Yield names beyond ASCII as each character set has them."""
    for text in _parts_beyond_ascii(subject):
        for spelled in _spelled(text):
            for codec in _CODECS:
                try:
                    raw = spelled.encode(codec)
                except UnicodeEncodeError:
                    continue
                if len(raw) >= _SHORTEST_ENCODED:
                    yield raw
            yield from _escaped(spelled)


def _spelled(text: str) -> frozenset[str]:
    """Return a text in both cases, without its accents, and in each of the syllabaries."""
    bare = folded(text).text
    return kana(text) | {text, text.lower(), text.upper(), text.title(), bare, bare.upper()}


def _inside_escapes(subject: Subject) -> Iterator[bytes]:
    """Yield names in the two-byte sets of ISO 2022 as they stand within a longer text.

    They look like any other ASCII: only who decodes the text can tell that it is the name.
    """
    for text in _parts_beyond_ascii(subject):
        for spelled in _spelled(text):
            for raw in _escaped(spelled):
                for run in _ESCAPE.split(raw):
                    if len(run) >= _SHORTEST_ENCODED:
                        yield run


def _escaped(text: str) -> Iterator[bytes]:
    """Yield a text in the two-byte sets of ISO 2022, without the escape sequence at its end."""
    for codec in _ESCAPED_CODECS:
        try:
            raw = text.encode(codec)
        except UnicodeEncodeError:
            continue
        if b"\x1b" in raw:
            yield raw[: raw.rindex(b"\x1b")]


def _parts_beyond_ascii(subject: Subject) -> set[str]:
    names = (*subject.names, *subject.persons)
    found = {part for name in names for part in re.split(r"[\s^=,]+", name)}
    found |= {half for part in found for half in _HYPHENS.split(part)}
    found |= {_APOSTROPHES.sub("", part) for part in found}
    found |= {whole for name in names for group in name.split("=") for whole in _together(group)}
    found.update(subject.identifiers, subject.contacts)
    return {part for part in found if len(part) > 1 and not part.isascii()}


def _together(group: str) -> Iterator[str]:
    """Yield a name of short parts as one, in both orders."""
    parts = [part for part in re.split(r"[\s^,]+", group) if part]
    if parts and all(len(part) <= _SHORT_PART for part in parts):
        for ordered in (parts, parts[::-1]):
            yield from (separator.join(ordered) for separator in ("", " ", "\u3000", "^", ", "))


def _plain_identifiers(subject: Subject) -> Iterator[str]:
    for text in (*subject.identifiers, *subject.birth_dates):
        if text.isascii() and len(text) >= SHORTEST_IN_BINARY:
            yield text


def _wide(text: str) -> bytes:
    """Return the pattern of a text in UTF-16 of either byte order, or with NUL between letters."""
    return b"\\x00".join(_literal(character) for character in text)


def _accented(word: str) -> bytes:
    """Return the pattern of a folded word with any of its letters accented, in any encoding."""
    if len(word) < _SHORTEST_ACCENTED:
        return _literal(word)
    sharp = word.replace("ss", "ß")
    return b"".join(_ACCENTED.get(letter, letter.encode("latin_1")) for letter in sharp)


def _literal(text: str) -> bytes:
    return re.escape(text).encode("ascii")


def _literal_bytes(raw: bytes) -> bytes:
    return b"".join(b"\\x%02x" % byte for byte in raw)


def _as_bytes(pattern: str) -> bytes:
    """Return the pattern of a text over its bytes in UTF-8."""
    if pattern.isascii():
        return pattern.encode("ascii")
    raw = pattern.encode("utf_8")
    return b"".join(bytes([byte]) if byte < _BEYOND_ASCII else b"\\x%02x" % byte for byte in raw)
