"""What an anonymized instance says of itself (PS3.15 E.1.1, PS3.3 C.7.1.1, C.12.1, C.7.6.1).

What it said before, of an anonymization by somebody else, is not lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from curator.anonymize.decision import Action, Decision
from curator.anonymize.profile import Option, Profile
from curator.anonymize.protected import PATIENT_ID, PATIENT_NAME
from curator.anonymize.resolve import Resolver
from curator.anonymize.steps import METHOD_CODES, Kind, Step
from curator.dicom.edits import ItemValues
from curator.dicom.encode import Encoding, encode_element, encode_items, encode_values
from curator.dicom.site import Site
from curator.dicom.tags import Tag, tag_for_keyword, tag_text

PATIENT_IDENTITY_REMOVED = tag_for_keyword("PatientIdentityRemoved")
METHOD = tag_for_keyword("DeidentificationMethod")
BURNED_IN = tag_for_keyword("BurnedInAnnotation")
TEMPORAL = tag_for_keyword("LongitudinalTemporalInformationModified")

_CODE_VALUE = tag_for_keyword("CodeValue")
_SCHEME = tag_for_keyword("CodingSchemeDesignator")
_MEANING = tag_for_keyword("CodeMeaning")

_MARKS = frozenset({PATIENT_IDENTITY_REMOVED, METHOD, METHOD_CODES, BURNED_IN, TEMPORAL})

_TEMPORAL_STATES = ("UNMODIFIED", "MODIFIED", "REMOVED")
"""Terms of (0028,0303), from what tells most to what tells least."""

_REASON = "PS3.15 E.1.1"

_YES, _NO = b"YES ", b"NO"

_MOST_ENCODINGS = 64

Code = tuple[str, str]
"""Code value and coding scheme designator."""


class Marks:
    """What the instances say that a profile has been applied to.

    Parameters
    ----------
    profile : Profile
        The profile.
    resolver : Resolver
        Tells its options and their codes.
    """

    def __init__(self, profile: Profile, resolver: Resolver) -> None:
        edition = f"PS3.15 {profile.edition} {profile.base}"
        self._method = (f"Curator {profile.name} {profile.version}"[:64], edition)
        self._codes = {(value, "DCM"): _item(value, meaning) for value, meaning in resolver.codes()}
        self._temporal = temporal_state(profile, resolver)
        self._removed = _YES if is_identity_removed(resolver) else _NO
        self._new: dict[Encoding, dict[Tag, bytes]] = {}

    def codes_missing(self, site: Site) -> tuple[ItemValues, ...]:
        """Return the items that (0012,0064) of an instance has not yet (CID 7050)."""
        found = set(_codes(site)) if METHOD_CODES in site.tags else set()
        return tuple(item for code, item in self._codes.items() if code not in found)

    def added(self, site: Site, changes: dict[int, bytes], *, cleaned: bool) -> dict[Tag, bytes]:
        """Return the marks of an instance, but for codes that are there already.

        Parameters
        ----------
        site : Site
            The top level of the original.
        changes : dict of int to bytes
            What has become of it.
        cleaned : bool
            Whether nothing is burned into the pixels for certain.

        Raises
        ------
        DoesNotFit
            If the character set cannot hold the profile's version.
        """
        marks = dict(self._of(site.encoding))
        present = _MARKS.intersection(site.tags)
        if METHOD in present and METHOD not in changes:
            marks[METHOD] = self._methods(site.raw(METHOD), site.encoding)
        if METHOD_CODES in present:
            del marks[METHOD_CODES]
        state = ""
        if TEMPORAL in present and TEMPORAL not in changes:
            state = site.raw(TEMPORAL).strip(b" \0").decode("latin_1")
        marks[TEMPORAL] = self._state(state, site.encoding)
        if self._removed == _NO and _says_removed(site):  # what others have removed stays so
            del marks[PATIENT_IDENTITY_REMOVED]
        if cleaned:
            marks[BURNED_IN] = encode_element(BURNED_IN, "CS", b"NO", site.encoding)
        stand = {tag for tag in present - changes.keys() if site.encoded(tag) == marks.get(tag)}
        return {tag: new for tag, new in marks.items() if tag not in stand}

    def _of(self, encoding: Encoding) -> dict[Tag, bytes]:
        """Return the marks of an instance that has none yet."""
        marks = self._new.get(encoding)
        if marks is None:
            codes = encode_items(self._codes.values(), encoding)
            method = encode_values(METHOD, "LO", self._method, encoding)
            marks = {
                PATIENT_IDENTITY_REMOVED: encode_element(
                    PATIENT_IDENTITY_REMOVED, "CS", self._removed, encoding
                ),
                METHOD: encode_element(METHOD, "LO", method, encoding),
                METHOD_CODES: encode_element(METHOD_CODES, "SQ", codes, encoding),
            }
            if len(self._new) >= _MOST_ENCODINGS:
                self._new.clear()
            self._new[encoding] = marks
        return marks

    def _methods(self, before: bytes, encoding: Encoding) -> bytes:
        """Return (0012,0063) with the values it had, undecoded, and those of the profile."""
        own = [encode_values(METHOD, "LO", text, encoding).strip(b" ") for text in self._method]
        values = [value for value in before.strip(b" \0").split(b"\\") if value]
        values += [value for value in own if value not in values]
        raw = b"\\".join(values)
        return encode_element(METHOD, "LO", raw + b" " * (len(raw) % 2), encoding)

    def _state(self, before: str, encoding: Encoding) -> bytes:
        """Return (0028,0303): what is gone already does not come back."""
        states = [state for state in (before, self._temporal) if state in _TEMPORAL_STATES]
        raw = max(states, key=_TEMPORAL_STATES.index).encode("ascii")
        return encode_element(TEMPORAL, "CS", raw + b" " * (len(raw) % 2), encoding)


@lru_cache(maxsize=16)
def step_of(tag: Tag) -> Step:
    """Return what the addition of a mark is noted as."""
    decision = Decision(Action.REPLACE, _REASON)
    return Step(_VRS.get(tag, "CS"), decision, Kind.EDIT, (Action.REPLACE, tag_text(tag)))


_VRS = {METHOD: "LO", METHOD_CODES: "SQ"}


def _item(value: str, meaning: str) -> ItemValues:
    return {_CODE_VALUE: value, _SCHEME: "DCM", _MEANING: meaning}


def _codes(site: Site) -> Iterable[Code]:
    for item in site.items(METHOD_CODES):
        inner = item.enter()
        texts = [
            inner.raw(tag).strip(b" \0").decode("latin_1") if tag in inner.tags else ""
            for tag in (_CODE_VALUE, _SCHEME)
        ]
        yield texts[0], texts[1]


def _says_removed(site: Site) -> bool:
    tag = PATIENT_IDENTITY_REMOVED
    return tag in site.tags and site.raw(tag).strip(b" \0") == _YES.strip()


def is_identity_removed(resolver: Resolver) -> bool:
    """Tell whether (0012,0062) may say so: no rule leaves the patient's name or identifier."""
    identity = {tag_text(PATIENT_NAME), tag_text(PATIENT_ID)}
    return not any(one.weaker and one.element in identity for one in resolver.deviations)


def temporal_state(profile: Profile, resolver: Resolver) -> str:
    """Return the term of (0028,0303): what the options say, or rules that do more or less."""
    options = resolver.options
    ruled = [one for one in resolver.deviations if one.vr in _TEMPORAL_VRS]
    touched = {rule.action for rule in profile.rules if rule.to or rule.action in _OF_DATES}
    if Option.RETAIN_LONGITUDINAL_FULL_DATES in options and not (touched or ruled):
        return "UNMODIFIED"
    retained = {
        Option.RETAIN_LONGITUDINAL_FULL_DATES,
        Option.RETAIN_LONGITUDINAL_MODIFIED_DATES,
    }
    left = touched or retained & options or any(one.weaker for one in ruled)
    return "MODIFIED" if left else "REMOVED"


_OF_DATES = frozenset({Action.SHIFT_DATE})
_TEMPORAL_VRS = frozenset({"DA", "TM", "DT"})
