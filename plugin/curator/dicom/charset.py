"""Decode and encode text in the character sets of (0008,0005).

PS3.3 C.12.1.1.2 defines the terms, PS3.5 6.1.2 the code extensions of ISO 2022. Nothing is ever
replaced by a question mark: what does not fit raises :class:`.EncodingError`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from curator.dicom.errors import DoesNotFit, EncodingError

UTF_8_TERM = "ISO_IR 192"
DEFAULT_TERM = "ISO_IR 6"

TEXT_VRS = frozenset({"SH", "LO", "ST", "LT", "UC", "UT", "PN"})
"""Value representations that (0008,0005) governs (PS3.5 6.1.2.2)."""

_STAND_ALONE = {
    "": "ascii",
    "ISO_IR 6": "ascii",
    "ISO_IR 13": "shift_jis",
    "ISO_IR 100": "latin_1",
    "ISO_IR 101": "iso8859_2",
    "ISO_IR 109": "iso8859_3",
    "ISO_IR 110": "iso8859_4",
    "ISO_IR 126": "iso8859_7",
    "ISO_IR 127": "iso8859_6",
    "ISO_IR 138": "iso8859_8",
    "ISO_IR 144": "iso8859_5",
    "ISO_IR 148": "iso8859_9",
    "ISO_IR 166": "tis_620",
    "ISO_IR 203": "iso8859_15",
    "ISO_IR 192": "utf_8",
    "GB18030": "gb18030",
    "GBK": "gbk",
}

_EXTENSIONS = {
    "ISO 2022 IR 6": (b"\x1b(B", "ascii"),
    "ISO 2022 IR 13": (b"\x1b)I", "shift_jis"),
    "ISO 2022 IR 100": (b"\x1b-A", "latin_1"),
    "ISO 2022 IR 101": (b"\x1b-B", "iso8859_2"),
    "ISO 2022 IR 109": (b"\x1b-C", "iso8859_3"),
    "ISO 2022 IR 110": (b"\x1b-D", "iso8859_4"),
    "ISO 2022 IR 126": (b"\x1b-F", "iso8859_7"),
    "ISO 2022 IR 127": (b"\x1b-G", "iso8859_6"),
    "ISO 2022 IR 138": (b"\x1b-H", "iso8859_8"),
    "ISO 2022 IR 144": (b"\x1b-L", "iso8859_5"),
    "ISO 2022 IR 148": (b"\x1b-M", "iso8859_9"),
    "ISO 2022 IR 166": (b"\x1b-T", "tis_620"),
    "ISO 2022 IR 203": (b"\x1b-b", "iso8859_15"),
    "ISO 2022 IR 87": (b"\x1b$B", "iso2022_jp"),
    "ISO 2022 IR 159": (b"\x1b$(D", "iso2022_jp_2"),
    "ISO 2022 IR 149": (b"\x1b$)C", "euc_kr"),
    "ISO 2022 IR 58": (b"\x1b$)A", "gb2312"),
}
"""Escape sequence and codec of each code extension (PS3.3 tables C.12-3 and C.12-4)."""

_ROMAJI = b"\x1b(J"
_CODEC_OF_ESCAPE = dict(_EXTENSIONS.values()) | {_ROMAJI: "ascii"}
_SELF_ESCAPING = frozenset({"iso2022_jp", "iso2022_jp_2"})
"""Two-byte sets in G0: Python's codecs want, and write, the escape sequences themselves."""

_ESCAPE = re.compile(rb"(\x1b(?:\$[()]?[@-~]|[(),\-./][@-~]))")
_DELIMITERS = re.compile(rb"[\\\r\n\t\f]")
_NAME_DELIMITERS = re.compile(rb"[\\\r\n\t\f^=]")


@dataclass(frozen=True, slots=True)
class Charset:
    """The character sets in force in one data set.

    Parameters
    ----------
    terms : tuple of str
        The values of (0008,0005).
    initial : str
        Python codec of the first value, in force where no escape sequence says otherwise; empty
        where Curator does not know the term, and then only ASCII can be read and written.
    extended : bool
        Whether ISO 2022 escape sequences may occur.
    """

    terms: tuple[str, ...]
    initial: str
    extended: bool


@lru_cache(maxsize=256)
def charset_of(raw: bytes, default: str = DEFAULT_TERM) -> Charset:
    """Return the character set that an encoded (0008,0005) declares.

    Parameters
    ----------
    raw : bytes
        The value field; empty means `default`.
    default : str
        The term for instances that declare none.
    """
    text = raw.decode("latin_1")
    terms = tuple(_spelled_as_defined(term) for term in text.rstrip("\0").split("\\"))
    if terms == ("",):
        terms = (default,)
    extended = any(term in _EXTENSIONS for term in terms)
    return Charset(terms, _initial_codec(terms[0]), extended)


def _spelled_as_defined(term: str) -> str:
    """Forgive the usual misspellings: ``ISO_IR_100``, ``ISO IR 100``, ``iso_ir 192``."""
    term = term.strip(" \0").upper()
    match = re.fullmatch(r"ISO[ _-](2022[ _-])?IR[ _-](\d+)", term)
    if match:
        return f"ISO 2022 IR {match[2]}" if match[1] else f"ISO_IR {match[2]}"
    return term


def _initial_codec(term: str) -> str:
    if term in _STAND_ALONE:
        return _STAND_ALONE[term]
    _, codec = _EXTENSIONS.get(term, (b"", ""))
    return "ascii" if codec in _SELF_ESCAPING else codec


ASCII = charset_of(b"")


def decode_text(raw: bytes, charset: Charset, vr: str) -> str:
    """Return the text of a value field, padding included.

    Raises
    ------
    EncodingError
        If the bytes are no text in `charset`.
    """
    if not charset.initial:
        raise EncodingError("SpecificCharacterSet has a term that PS3.3 C.12.1.1.2 does not define")
    try:
        if b"\x1b" not in raw:
            return raw.decode(charset.initial)
        if not charset.extended:
            raise EncodingError("Escape sequence in a character set without code extensions")
        delimiters = _NAME_DELIMITERS if vr == "PN" else _DELIMITERS
        return "".join(_decoded_parts(raw, charset, delimiters))
    except UnicodeDecodeError:
        name = "\\".join(charset.terms)
        raise EncodingError(f"Bytes that are no text in the character set {name}") from None


def _decoded_parts(raw: bytes, charset: Charset, delimiters: re.Pattern[bytes]) -> Iterator[str]:
    """Yield the text between escape sequences; a delimiter ends their effect (PS3.5 6.1.2.5.3)."""
    first, *rest = _ESCAPE.split(raw)
    yield _without_escape(first).decode(charset.initial)
    for escape, part in zip(rest[::2], rest[1::2], strict=True):
        codec = _CODEC_OF_ESCAPE.get(escape)
        if codec is None:
            raise EncodingError("Escape sequence that PS3.3 C.12.1.1.2 does not define")
        if codec in _SELF_ESCAPING:
            yield (escape + _without_escape(part)).decode(codec)
            continue
        delimiter = delimiters.search(part)
        end = delimiter.start() if delimiter else len(part)
        yield _without_escape(part[:end]).decode(codec)
        yield part[end:].decode(charset.initial)


def _without_escape(part: bytes) -> bytes:
    if b"\x1b" in part:
        raise EncodingError("Escape sequence that PS3.3 C.12.1.1.2 does not define")
    return part


def encode_text(text: str, charset: Charset, vr: str) -> bytes:
    """Return `text` encoded in `charset`, without padding.

    Raises
    ------
    DoesNotFit
        If `charset` cannot hold the text without loss.
    """
    if text.isascii() and "\x1b" not in text:
        return text.encode("ascii")
    if not charset.initial:
        raise _does_not_fit(charset)
    if charset.extended:
        delimiters = r"([\\\r\n\t\f^=])" if vr == "PN" else r"([\\\r\n\t\f])"
        raw = b"".join(_encoded_part(part, charset) for part in re.split(delimiters, text))
    else:
        raw = _encoded_alone(text, charset.initial)
    if not _reads_back(raw, text, charset, vr):
        raise _does_not_fit(charset)
    return raw


def _reads_back(raw: bytes, text: str, charset: Charset, vr: str) -> bool:
    try:
        return decode_text(raw, charset, vr) == text
    except EncodingError:
        return False


def _encoded_part(part: str, charset: Charset) -> bytes:
    """Encode what stands between two delimiters in the first set that holds all of it."""
    attempts = [(b"", charset.initial), *(_EXTENSIONS.get(term) for term in charset.terms)]
    for attempt in attempts:
        if attempt is None:
            continue
        escape, codec = attempt
        try:
            raw = _encoded_alone(part, codec)
        except DoesNotFit:
            continue
        return raw if codec in _SELF_ESCAPING else escape + raw
    raise _does_not_fit(charset)


def _encoded_alone(text: str, codec: str) -> bytes:
    try:
        raw = text.encode(codec)
    except UnicodeEncodeError:
        raise DoesNotFit(f"The character set {codec} cannot hold the text") from None
    if codec == "shift_jis" and len(raw) != len(text):
        raise DoesNotFit("ISO-IR 13 has no two-byte characters")
    return raw


def _does_not_fit(charset: Charset) -> DoesNotFit:
    name = "\\".join(charset.terms)
    return DoesNotFit(f"The character set {name} cannot hold the text")
