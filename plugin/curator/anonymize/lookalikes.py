"""Find what looks like an identifier of somebody, without knowing of whom.

These patterns are for free text that a profile keeps. They take words and numbers that a clinician
writes into account: sizes, doses, levels of the spine, sequences and versions stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from curator.anonymize.folding import folded
from curator.anonymize.months import ANY_MONTH
from curator.anonymize.uids import is_well_known
from curator.anonymize.vocabulary import EPONYMS, VOCABULARY

_UPPER = "A-ZÀ-ÖØ-ÞŁŚŠŽČĆĐА-ЯЁ"
_CAPITALIZED = rf"[{_UPPER}][\w'’-]*"  # noqa: RUF001

_E_MAIL = r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"
_URL = r"(?:\b(?:https?|ftp|file|mailto|dicom):/{0,3}|\bwww\.)\S{1,2048}"
_HOME = r"(?:/home/|/Users/|\\Users\\|\\\\)[^\s\\/]{1,64}(?:[\\/]\S{0,512})?"

_UNITS = r"(?:[kMG]?Bq|[mcµn]?[gmlsA]\b|mm|cm|ms|IU|IE|UI|Hz|kHz|MHz|HU|Gy|mGy|mSv|kV|px|pixel)"
_LONG_NUMBER = rf"(?<![\d.,])\d{{6,}}(?!\d|[.,]\d| ?{_UNITS})"
_GROUPED_NUMBER = r"(?<![\d.,-])\d{2,4}(?:-\d{2,6}){2,4}(?![\d.]|-\d)"
_LETTERS_AND_NUMBER = r"(?<![A-Za-z\d.])[A-Z]{1,4}[-_]?\d{5,}(?!\d|[.,]\d)"
_UID = re.compile(r"(?<![\w.])[0-2](?:\.\d{1,39}){5,}(?![\w]|\.\d)", re.ASCII)
"""A UID of an instance has six components and more; shorter ones are versions and measures."""

_PHONE = (
    r"(?<![\w.])(?:\+\d{1,3}[ ()./-]{0,3}\(?\d{1,5}\)?(?:[ ./-]{0,2}\d{2,6}){1,5}"
    r"|\(?0\d{1,5}\)?[ /-]{1,3}\d{2,8}(?:[ -]\d{2,6}){0,4}"
    r"|\(\d{3}\) ?\d{3}-\d{4}|\d{3}[-.]\d{3}[-.]\d{4})(?![\w.]\d|\d)"
)
_LABELED_PHONE = (
    r"\b(?:tel|phone|fon|telefon|téléphone|teléfono|fax|mobil|mobile|cell|pager|handy|ext)"
    r"\.?\s{0,2}[:#.]?\s{0,2}\+?\d[\d ()/.-]{2,20}\d"
)

_YEAR = r"(?:1[89]|20)\d\d"
_DATE = (
    rf"(?<![\d.]){_YEAR}([-./])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])(?![\d])"
    rf"|(?<![\w.])(?:0?[1-9]|[12]\d|3[01])([-./])(?:0?[1-9]|[12]\d|3[01])\2{_YEAR}(?!\d)"
    r"|(?<![\w.])(?:0[1-9]|[12]\d|3[01])([-./])(?:0[1-9]|1[0-2])\3\d\d(?![\d.])"
    r"|(?<![\w.])(?:0[1-9]|1[0-2])([-/])(?:0[1-9]|[12]\d|3[01])\4\d\d(?![\d.])"
    rf"|(?<![\d./-]){_YEAR}-(?:0[1-9]|1[0-2])(?![\d/-])"
    rf"|{_YEAR} ?年 ?\d{{1,2}} ?月(?: ?\d{{1,2}} ?日)?"
    rf"|{_YEAR} ?년 ?\d{{1,2}} ?월(?: ?\d{{1,2}} ?일)?"
)
_DATE_IN_WORDS = (
    rf"(?<![\w.])\d{{1,2}}(?:st|nd|rd|th|er|\.)?[-. /]{{0,2}}(?:de )?(?:{ANY_MONTH})\b\.?"
    r"(?:[-., /]{0,3}(?:de )?(?:\d{4}|'?\d\d)(?!\d))?"
    rf"|\b(?:{ANY_MONTH})\b\.?[-. ,/]{{0,2}}\d{{1,2}}(?:st|nd|rd|th)?(?![\d.])"
    rf"(?:[., /-]{{1,3}}(?:\d{{4}}|'?\d\d)(?!\d))?|\b(?:{ANY_MONTH})\b\.?[-. ,/]{{0,2}}{_YEAR}"
)
_CLOCK = r"(?<![\d:.])(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d+)?|\s?(?:[ap]\.?m\b|uhr\b))"

_LABEL = (
    r"\b(?:mrn|pat(?:ient(?:en)?)?[ ._-]?(?:id|nr|no|num(?:mer|ber)?)|acc(?:ession)?(?:[ ._-]?(?:no"
    r"|nr|num(?:ber)?|id))?|id|ssn|nhs|case|fall(?:nr|nummer)?|order|visit|encounter|ipp|nip|nir"
    r"|dni|nie|nhc|bsn|cpf|ahv|svnr|cpr|kvnr|auftrag(?:snr|snummer)?|dossier|historia|chart)"
)
_LABELED_NUMBER = (
    rf"{_LABEL}\.?\s{{0,2}}(?:(?:nr|no)\.?\s?[:#=№]?|[:#=№])\s{{0,2}}#?[\w./-]{{0,64}}\d[\w/-]{{0,64}}"
    r"(?: \d{3,}){0,4}"
)
_HASH_NUMBER = rf"{_LABEL}\s?#?\s?\d{{4,}}[\w-]{{0,64}}"

_CARET_NAME = r"(?<![\w'’-])[^\W\d_][\w'’-]{0,63}\^[^\W\d_]?[\w'’-]{0,63}(?:\^[\w'’.-]{0,63}){0,3}"  # noqa: RUF001
_BORN = r"\b(?:born|dob|geb(?:oren)?(?: am)?|né(?:e)? le|nacid[oa]|nat[oa] il)\b\.?[:\s]{0,3}"
_BORN_ON = rf"{_BORN}(?:(?:in|on|am)\b\s?)?(?=[\d'])[\d./-]{{1,12}}"

_OLD = r"(?:9\d|1[0-3]\d)"
_AGE_OVER_89 = (
    rf"(?<![\w.,]){_OLD}[- ]?(?:years?|yrs?|y)?[- ]?(?:old\b|y/?o\b|/o\b|jährig\w{{0,2}}"
    rf"|años de edad|anni di età|-?letni\w{{0,3}})"
    rf"|\b(?:âgée?s? de|aged?:?|alter:?|edad:?|età:?) ?{_OLD}"
    r"(?: ?(?:years|ans|jahre|años|anni|y)\b)?"
    rf"|\b(?:homme|femme|patiente?) de {_OLD} ans\b|\b(?:09\d|1[0-3]\d)Y\b"
)
"""What HIPAA's Safe Harbor counts among the identifiers, 45 CFR 164.514(b)(2)(i)(C)."""

_TITLE = (
    r"(?:\b(?:Dr|Mr|Mrs|Ms|Prof|Dott|Sr|Sra|Srta|Pr|Dra)\b\.?|\b(?:DR|MR|MRS|MS|PROF|PR)\."
    r"|\b(?:Herrn?|Frau|Mme|Mlle|Monsieur|Madame|Miss|Mister|Doctor|Doktor|Docteur|Professor"
    r"|Signora?|Señora?|Mevr|Dhr|HERRN?|FRAU|MME|MLLE)\b\.?|\b[MM]\.(?= ?[A-Z][a-z]))"
)
_TITLED = re.compile(
    rf"({_TITLE}(?: ?(?:med|Dr|Prof|PD|univ|h\.? ?c)\b\.?){{0,4}})\s{{0,3}}"
    rf"((?:[{_UPPER}]\.\s?){{0,3}}(?:(?:von|van|de|der|den|del|di|la|le|zu|du) ){{0,3}}"
    rf"{_CAPITALIZED})(\s{_CAPITALIZED})?"
)
_ROLE = re.compile(
    r"\b(?:name|patient(?:in)?|pat\.?|paciente|paziente|patiënt"
    r"|referr(?:ing|ed by|er)(?: physician)?"
    r"|reported by|read by|dictated by|signed(?: by)?|operator|technologist|radiologist|physician"
    r"|befunder|überweiser|zuweiser|arzt|ärztin|mtra?|médecin|médico|medico|attending)"
    rf"\s{{0,2}}[:=]\s{{0,3}}((?-i:{_CAPITALIZED})(?:[ ,]{{1,2}}(?-i:{_CAPITALIZED}))?)",
    re.IGNORECASE,
)
_NAME_WORD = rf"(?:[{_UPPER}]\.|[{_UPPER}][\w'’-]*[a-zß-ÿ][\w'’-]*)"  # noqa: RUF001
_SIGNED = re.compile(
    r"\b(?i:signed|reported|read|dictated|verified|approved|reviewed|referred|requested|ordered"
    r"|transcribed|performed|befundet|validé|firmado|refertato)(?i: electronically)?"
    rf" (?i:by|von|durch|par|por|da):? ((?:{_NAME_WORD} ?){{1,4}})"
)
_CREDENTIALED = re.compile(
    rf"((?:{_NAME_WORD} ){{1,3}}{_NAME_WORD}),? (?:MD|M\.D\.|D\.O\.|RT\(R\)|FRCR|PhD|MBBS)(?!\w)"
)

_STREET = (
    rf"\b{_CAPITALIZED}?(?i:stra(?:ß|ss)e|str\.|gasse|platz|allee|laan|straat|gatan|vej)"
    r"\s{1,2}\d{1,4}\s?[a-z]?\b(?:,?\s{1,2}\d{4,5}(?:\s[A-ZÄÖÜ][\w-]+)?)?"
    rf"|\b\d{{1,5}},?\s(?:{_CAPITALIZED}\s){{1,3}}"
    r"(?i:street|st|road|rd|avenue|ave|lane|ln|drive|blvd|boulevard|court|terrace)\b\.?"
    rf"|\b(?:\d{{1,4}},?\s)?(?:[Rr]ue|[Bb]oulevard|[Cc]alle|[Vv]ia|[Pp]iazza|[Aa]venida|[Rr]ua)\s"
    rf"(?:(?:de|del|du|des|la|le|les|di|da|do)\s){{0,3}}{_CAPITALIZED}(?:,?\s\d{{1,4}})?"
)


def _compiled(*patterns: str, flags: int = 0) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern, flags) for pattern in patterns)


_WITH_DIGITS = (
    *_compiled(_LONG_NUMBER, _GROUPED_NUMBER, _LETTERS_AND_NUMBER, _PHONE, _DATE, _STREET),
    *_compiled(
        *(_LABELED_PHONE, _CLOCK, _LABELED_NUMBER, _HASH_NUMBER, _BORN_ON, _AGE_OVER_89),
        flags=re.IGNORECASE,
    ),
)
_WITH_SIGN = (
    ("@", _compiled(_E_MAIL)),
    ("/", _compiled(_URL, flags=re.IGNORECASE)),
    ("www", _compiled(_URL, flags=re.IGNORECASE)),
    (":", _compiled(_URL, flags=re.IGNORECASE)),
    ("/", _compiled(_HOME)),
    ("\\", _compiled(_HOME)),
    ("^", _compiled(_CARET_NAME)),
)
"""Patterns that need a certain character: most texts have none of them."""

_WORDS_OF_A_DATE = re.compile(_DATE_IN_WORDS)
_DIGIT = re.compile(r"\d")


def lookalikes(text: str) -> Iterator[tuple[int, int]]:
    """Yield where something stands in a text that looks like an identifier, in no order."""
    for sign, patterns in _WITH_SIGN:
        if sign in text:
            yield from _spans(patterns, text)
    if _DIGIT.search(text):
        yield from _spans(_WITH_DIGITS, text)
        for match in _UID.finditer(text):
            if not is_well_known(match[0].encode("ascii")):
                yield match.span()
        plain = folded(text)
        for match in _WORDS_OF_A_DATE.finditer(plain.text):
            yield plain.span(*match.span())
    yield from _titled(text)
    for match in _ROLE.finditer(text):
        if not _is_clinical(match[1].split()[0]):
            yield match.span(1)
    for pattern in (_SIGNED, _CREDENTIALED):
        for match in pattern.finditer(text):
            if not all(map(_is_clinical, match[1].split())):
                yield match.span(1)


def _spans(patterns: tuple[re.Pattern[str], ...], text: str) -> Iterator[tuple[int, int]]:
    for pattern in patterns:
        yield from (match.span() for match in pattern.finditer(text))


def _titled(text: str) -> Iterator[tuple[int, int]]:
    """Yield names with a title; the second word after it only where it is none of medicine."""
    for match in _TITLED.finditer(text):
        follows = match[3] is not None and not _is_clinical(match[3]) and match[3][1:].istitle()
        if _is_eponym(match) or (_is_clinical(match[2]) and not (follows and match[2].istitle())):
            continue
        yield match.start(), match.end(3 if follows else 2)


def _is_eponym(match: re.Match[str]) -> bool:
    """Tell whether ``M.`` stands for Morbus rather than for Monsieur."""
    return match[1] == "M." and folded(match[2]).text in EPONYMS


def _is_clinical(words: str) -> bool:
    last = re.findall(r"[^\W_]+", words)[-1:]
    return not last or folded(last[0]).text in VOCABULARY
