"""What an action makes of the value of one element."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from curator.anonymize import dates, pseudonyms, uids
from curator.anonymize.decision import Action, Decision
from curator.anonymize.dummies import dummy
from curator.anonymize.errors import DoesNotSuit, LookupMissing, Refused
from curator.anonymize.fitting import LONGEST, encoded, suits, text_edit
from curator.anonymize.generalize import Grain, generalized
from curator.anonymize.keys import Keys
from curator.anonymize.profile import Profile, Rule, Scheme
from curator.anonymize.subject import Subject
from curator.conditions import compile_pattern, number
from curator.dicom.edits import KEEP, Drop, Keep, Replace, ReplaceEncoded
from curator.dicom.element import NUMBER_CODES, STRING_VRS, Element
from curator.dicom.errors import DicomError
from curator.dicom.tags import Path, Tag, dictionary_vr, tag_for_keyword, tag_text
from curator.template import Template, parse_template

Lookup = Callable[[Path], tuple[str, ...]]
"""Gives the values of an element of the original instance as text; none when absent."""

Sequential = Callable[[str, str], str]
"""Gives the pseudonym that counts, for a prefix and an original."""

Changed = Keep | Drop | Replace | ReplaceEncoded
"""An edit of an element that is there."""

PATIENT = frozenset(
    map(
        tag_for_keyword,
        ("PatientName", "PatientID", "OtherPatientIDs", "OtherPatientNames", "PatientBirthName"),
    )
)
"""Elements whose pseudonym is that of the patient, whatever stands in them."""

_DOMAIN_OF_PATIENTS = "Patient"
_INTEGER = re.compile(r"[+-]?\d{1,20}", re.ASCII)
_REMEMBERED = 32768
_HASH_LENGTH = 64


class Values:
    """Makes new values by one profile and key.

    The same value, profile and key always make the same new value; nothing is kept but what saves
    to compute it again.

    Parameters
    ----------
    profile : Profile
        Its ranges and tables.
    keys : Keys
        What pseudonyms, UIDs, offsets and hashes are derived from.
    tables : mapping, optional
        Tables of the configuration, by name; one of the profile with the same name goes before.
    sequential : callable, optional
        Gives sequential pseudonyms; without it, they are refused.
    """

    def __init__(
        self,
        profile: Profile,
        keys: Keys,
        *,
        tables: Mapping[str, Mapping[str, str]] | None = None,
        sequential: Sequential | None = None,
    ) -> None:
        self._keys = keys
        self._range_days = profile.dates.range_days
        self._tables = {**(tables or {}), **profile.tables}
        self._sequential = sequential
        self._mapped_field = lru_cache(_REMEMBERED)(self._map_field)
        self._offset_of = lru_cache(_REMEMBERED)(self._offset)
        self._pseudonym_of = lru_cache(_REMEMBERED)(self._keyed)
        self._patient_edit = lru_cache(_REMEMBERED)(self._default_pseudonym)

    def edit(
        self, decision: Decision, element: Element, subject: Subject, lookup: Lookup
    ) -> Changed:
        """Return what becomes of an element.

        Parameters
        ----------
        decision : Decision
            With an action that makes a new value of the old one alone: Empty, Replace, Dummy, Uid,
            Pseudonym, ShiftDate, Generalize, Regex, Hash or Lookup.
        element : Element
            The element, with the VR of the dictionary where the instance has none.
        subject : Subject
            Whom the instance is about.
        lookup : callable
            Reads the original instance, for the templates of Replace. What a template takes from
            there is not anonymized; the search of the result finds what identifies.

        Raises
        ------
        Refused
            If no new value can be made, or it would not suit the VR.
        """
        action, vr = decision.action, _vr_of(element)
        match action:
            case Action.UID:
                return self._uid(element, vr)
            case Action.EMPTY:
                return ReplaceEncoded(vr, b"") if element.raw else KEEP
            case Action.SHIFT_DATE:
                return self._shifted(element, vr, subject)
            case Action.DUMMY:
                return _unless_same(dummy(element, vr, self.uid_raw), element)
            case Action.PSEUDONYM:
                return self._pseudonym_edit(element, vr, subject, decision.rule)
            case Action.REPLACE:
                return _replaced(element, vr, _rule(decision), lookup)
        if not element.raw.strip(b" \0"):
            return KEEP
        match action:
            case Action.GENERALIZE:
                return _unless_same(_generalized(element, vr, _rule(decision)), element)
            case Action.REGEX:
                return _substituted(element, vr, _rule(decision))
            case Action.HASH:
                return self._hashed(element, vr, decision.rule)
            case Action.LOOKUP:
                return self._looked_up(element, vr, _rule(decision))
        raise ValueError(f"{action} makes no new value of one element")

    def uid(self, uid: str) -> str:
        """Return what a UID becomes; itself where it is empty or of the standard's registry."""
        return uids.mapped(uid.strip(" \0").encode("utf_8"), self._keys.uids).decode("utf_8")

    def uid_raw(self, raw: bytes) -> bytes:
        """Return what a value field of VR UI becomes, `raw` itself where nothing changes.

        Not for the elements of :data:`.uids.NAMING_A_KIND`, which are kept.
        """
        return self._mapped_field(raw)

    def pseudonym(self, subject: Subject) -> str:
        """Return the pseudonym that a patient has without a rule."""
        return self._pseudonym_of(Scheme.TEXT, _DOMAIN_OF_PATIENTS, subject.key, None)

    def offset_days(self, subject: Subject) -> int:
        """Return by how many days the dates of a patient move."""
        return self._offset_of(subject.key)

    def _map_field(self, raw: bytes) -> bytes:
        return uids.mapped_field(raw, self._keys.uids)

    def _offset(self, subject_key: str) -> int:
        return dates.offset_days(subject_key, self._range_days, self._keys.dates)

    def _uid(self, element: Element, vr: str) -> Changed:
        if element.tag in uids.NAMING_A_KIND:
            return KEEP
        raw = self.uid_raw(element.raw)
        if raw == element.raw:
            return KEEP
        if dictionary_vr(element.tag) == "UI" or vr in ("UI", "UN"):
            return ReplaceEncoded("UN" if vr == "UN" else "UI", raw)
        new = raw.rstrip(b"\0").decode("ascii", "replace")
        return encoded(vr, new) if suits(vr, new) else dummy(element, vr, self.uid_raw)

    def _shifted(self, element: Element, vr: str, subject: Subject) -> Changed:
        raw = element.raw
        if vr not in STRING_VRS:
            return dummy(element, vr, self.uid_raw) if raw else KEEP
        new = dates.shifted(vr, raw, self.offset_days(subject))
        return KEEP if new == raw else ReplaceEncoded(vr, new)

    def _keyed(self, scheme: Scheme, domain: str, original: str, length: int | None) -> str:
        key = self._keys.pseudonyms
        if scheme is Scheme.NUMBER:
            return pseudonyms.digits(domain, original, key, length or pseudonyms.NUMBER_LENGTH)
        return pseudonyms.text(domain, original, key, length or pseudonyms.TEXT_LENGTH)

    def _pseudonym_edit(
        self, element: Element, vr: str, subject: Subject, rule: Rule | None
    ) -> Changed:
        if element.tag in PATIENT:
            if rule is None:
                return self._patient_edit(element.tag, vr, subject.key)
            text = self._pseudonym_by(rule, _DOMAIN_OF_PATIENTS, subject.key, element.tag)
            return _written(element, vr, rule, None if text is None else (text,))
        if not element.raw.strip(b" \0"):
            return KEEP
        domain = _domain(element.tag)
        texts = [
            self._pseudonym_by(rule, domain, value, element.tag) if value else ""
            for value in _texts(element, vr)
        ]
        return _written(element, vr, rule, _all_of(texts))

    def _default_pseudonym(self, tag: int, vr: str, subject_key: str) -> Changed:
        return text_edit(tag, vr, (self.pseudonym(Subject(subject_key)),))

    def _pseudonym_by(self, rule: Rule | None, domain: str, original: str, tag: int) -> str | None:
        """Return a pseudonym by the scheme of a rule, None where its table has none."""
        if rule is None:
            return self._pseudonym_of(Scheme.TEXT, domain, original, None)
        prefix, scheme = rule.prefix or "", rule.scheme or Scheme.TEXT
        if scheme is Scheme.LOOKUP:
            found = self._table(rule, tag).get(original)
            return None if found is None else prefix + found
        if scheme is Scheme.SEQUENTIAL:
            if self._sequential is None:
                raise Refused(tag_text(Tag(tag)), "there is no database for sequential pseudonyms")
            of_patient = domain == _DOMAIN_OF_PATIENTS
            return self._sequential(prefix, original if of_patient else f"{domain}\\{original}")
        return prefix + self._pseudonym_of(scheme, domain, original, rule.length)

    def _hashed(self, element: Element, vr: str, rule: Rule | None) -> Changed:
        length = min((rule and rule.length) or _HASH_LENGTH, LONGEST.get(vr, _HASH_LENGTH))
        domain, key = _domain(element.tag), self._keys.hashes
        values = _texts(element, vr)
        texts = tuple(
            pseudonyms.hashed(domain, value, key, length) if value else "" for value in values
        )
        return text_edit(element.tag, vr, texts)

    def _looked_up(self, element: Element, vr: str, rule: Rule) -> Changed:
        table = self._table(rule, element.tag)
        texts = [table.get(value) if value else "" for value in _texts(element, vr)]
        return _written(element, vr, rule, _all_of(texts))

    def _table(self, rule: Rule, tag: int) -> Mapping[str, str]:
        table = self._tables.get(rule.table or "")
        if table is None:
            raise LookupMissing(tag_text(Tag(tag)), f'there is no table "{rule.table}"')
        return table


def _vr_of(element: Element) -> str:
    return dictionary_vr(element.tag) if element.vr == "UN" else element.vr


def _rule(decision: Decision) -> Rule:
    if decision.rule is None:
        raise ValueError(f"{decision.action} needs the parameters of a rule")
    return decision.rule


def _domain(tag: int) -> str:
    """Return what the values of an element are; the same in whichever block a private one is."""
    if tag >> 16 & 1:
        return f"{tag >> 16:04X},xx{tag & 0xFF:02X}"
    return tag_text(Tag(tag))


def _texts(element: Element, vr: str) -> tuple[str, ...]:
    """Return the values as text; bytes that are none in the character set are taken one by one."""
    element = element if element.vr == vr else replace(element, vr=vr)
    try:
        return element.strings
    except DicomError:
        return (element.raw.decode("latin_1").strip(" \0"),)


def _all_of(texts: list[str | None]) -> tuple[str, ...] | None:
    found = tuple(text for text in texts if text is not None)
    return found if len(found) == len(texts) else None


def _unless_same(edit: Changed, element: Element) -> Changed:
    same = isinstance(edit, ReplaceEncoded) and edit.raw == element.raw and edit.vr == element.vr
    return KEEP if same else edit


def _written(
    element: Element, vr: str, rule: Rule | None, texts: tuple[str, ...] | None
) -> Changed:
    """Write texts; where there are none, do what the rule says about that."""
    if texts is not None:
        return text_edit(element.tag, vr, texts)
    match rule and rule.otherwise:
        case "Remove":
            return Drop()
        case "Empty":
            return ReplaceEncoded(vr, b"")
        case _:
            raise LookupMissing(
                tag_text(element.tag),
                'the rule has nothing for a value; add it, or "Otherwise": "Remove" or "Empty"',
            )


def _generalized(element: Element, vr: str, rule: Rule) -> Changed:
    grain = Grain(rule.bins, rule.above, rule.to, rule.digits)
    new = [generalized(vr, value, grain) for value in _texts(element, vr)]
    if vr in NUMBER_CODES:
        return _numbers(element.tag, vr, new) if all(new) else ReplaceEncoded(vr, b"")
    if vr not in STRING_VRS:
        return dummy(element, vr, lambda raw: raw) if vr == "SQ" else ReplaceEncoded(vr, b"")
    return text_edit(element.tag, vr, tuple(text if suits(vr, text) else "" for text in new))


def _substituted(element: Element, vr: str, rule: Rule) -> Changed:
    if vr not in STRING_VRS:
        raise DoesNotSuit(tag_text(element.tag), f"a value of VR {vr} is no text")
    pattern = _pattern(rule.pattern or "")
    values = [value for value in _texts(element, vr) if value]
    if not all(pattern.search(value) for value in values):
        return _written(element, vr, rule, None)
    try:
        texts = [pattern.sub(rule.with_ or "", value) for value in _texts(element, vr)]
    except (IndexError, ValueError):
        raise Refused(
            tag_text(element.tag), '"With" names a group that "Pattern" has not'
        ) from None
    return _written(element, vr, rule, tuple(texts))


@lru_cache(maxsize=1024)
def _pattern(pattern: str) -> Any:
    return compile_pattern(pattern)


def _replaced(element: Element, vr: str, rule: Rule, lookup: Lookup) -> Changed:
    values = rule.value if isinstance(rule.value, tuple) else (rule.value,)
    texts = [
        _template(value).fill(lookup) if isinstance(value, str) else _plain(value)
        for value in values
    ]
    if vr in NUMBER_CODES:
        return _numbers(element.tag, vr, texts)
    if vr not in STRING_VRS:
        raise DoesNotSuit(tag_text(element.tag), f"a value of VR {vr} cannot be given")
    return _unless_same(text_edit(element.tag, vr, tuple(text.strip() for text in texts)), element)


@lru_cache(maxsize=1024)
def _template(text: str) -> Template:
    return parse_template(text)


def _plain(value: float | None) -> str:
    return "" if value is None else str(value)


def _numbers(tag: int, vr: str, texts: list[str]) -> Changed:
    """Write numbers that are given as text; empty ones are left out."""
    read = number if vr in ("FL", "FD") else _whole
    values = [read(text) for text in texts if text]
    numbers = tuple(value for value in values if value is not None)
    if len(numbers) != len(values):
        raise DoesNotSuit(tag_text(Tag(tag)), f"the new value is no number of VR {vr}")
    return Replace(numbers, vr)


def _whole(text: str) -> int | None:
    if _INTEGER.fullmatch(text):
        return int(text)
    value = number(text)
    return int(value) if value is not None and value.is_integer() else None
