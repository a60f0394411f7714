"""The de-identification conformance statement of a profile, in Markdown (PS3.2 N.8.4.4, N.11.2.6).

It is made from the profile and the tables alone, so that the same profile gives the same text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from curator import __version__
from curator.anonymize.decision import Action
from curator.anonymize.deviations import Deviation
from curator.anonymize.marks import is_identity_removed, temporal_state
from curator.anonymize.profile import Option, Profile, Residual, Rule, Scheme

if TYPE_CHECKING:
    from curator.anonymize.resolve import Resolver

_FULL_DATES = Option.RETAIN_LONGITUDINAL_FULL_DATES
_MODIFIED_DATES = Option.RETAIN_LONGITUDINAL_MODIFIED_DATES


_OTHER_DATES = (
    "Those that the option is not for, such as the birth date, are emptied or removed, unless a "
    "rule says otherwise."
)


def statement(profile: Profile, resolver: Resolver) -> str:
    """Write the conformance statement of a profile.

    Parameters
    ----------
    profile : Profile
        The profile.
    resolver : Resolver
        The same, resolved.

    Returns
    -------
    str
        Markdown: what is claimed, how each kind of value is treated, where rules deviate from the
        standard and in which direction, and the action for every attribute.
    """
    lines = [
        f"# De-identification conformance statement: {_cell(profile.name)}",
        "",
        (
            f"Version {_cell(profile.version)} of the profile, on DICOM PS3.15 {profile.edition}, "
            f"annex E, carried out by Curator {__version__}."
        ),
    ]
    if profile.description:
        lines += ["", _cell(profile.description)]
    for title, section in _SECTIONS:
        lines += ["", f"## {title}", "", *section(profile, resolver)]
    return "\n".join(lines) + "\n"


def _claims(profile: Profile, resolver: Resolver) -> Iterator[str]:
    yield "| Profile or option | Applied |"
    yield "|---|---|"
    weaker = any(deviation.weaker for deviation in resolver.deviations)
    basic = "with exceptions" if weaker else "yes"
    yield f"| Basic Application Level Confidentiality Profile | {basic} |"
    for option in Option:
        yield f"| {option} | {'yes' if option in resolver.options else 'no'} |"
    yield ""
    yield (
        "Rules of the profile go before options, options before the Basic Profile. Where two "
        f"options say something about one attribute, the more {_word(profile)} wins (in the order "
        "X, Z, D, U, C, K). Attributes that no table has are treated by their value "
        "representation; what PS3.6 does not know is removed. All this holds at every depth, in "
        "File Meta Information too, which is written anew with an empty preamble."
    )


def _word(profile: Profile) -> str:
    return profile.options_meet.value.lower()


def _marks(profile: Profile, resolver: Resolver) -> Iterator[str]:
    yield "Every result says what was done to it:"
    yield ""
    removed = "YES" if is_identity_removed(resolver) else "NO, since rules leave name or identifier"
    yield f"- Patient Identity Removed (0012,0062): {removed}"
    yield "- De-identification Method (0012,0063): name and version of the profile, and the edition"
    yield "- De-identification Method Code Sequence (0012,0064), of CID 7050:"
    for value, meaning in resolver.codes():
        yield f"  - ({value}, DCM, {meaning})"
    dates = temporal_state(profile, resolver)
    yield f"- Longitudinal Temporal Information Modified (0028,0303): {dates}"
    yield (
        "- Burned In Annotation (0028,0301): NO, where pixels were cleaned or a rule says that "
        "nothing is burned in"
    )


def _rules(profile: Profile, resolver: Resolver) -> Iterator[str]:
    if not profile.rules:
        yield "The profile has no rules."
        return
    yield "| Rule | About | Action | Only where |"
    yield "|---|---|---|---|"
    for index, rule in enumerate(profile.rules):
        when = "" if rule.when is None else _json(rule.when)
        yield f"| {index} | {_about(rule)} | {_done(rule)} | {when} |"
    found = resolver.deviations
    yield from _deviations("less", [one for one in found if one.weaker])
    yield from _deviations("more", [one for one in found if not one.weaker])
    if not found:
        yield ""
        yield "No rule deviates from the standard."


def _deviations(direction: str, found: list[Deviation]) -> Iterator[str]:
    if not found:
        return
    yield ""
    yield f"Rules that protect {direction} than the standard with these options:"
    yield ""
    for one in found:
        yield f"- {_cell(one.element)}: {one.done} instead of {one.asked} (rule {one.index})"


def _about(rule: Rule) -> str:
    if rule.pixels is not None:
        return "Pixel Data"
    if rule.vr is not None:
        return f"value representation {rule.vr}"
    if rule.private_creator is not None:
        return f"private creator {_cell(rule.private_creator)}"
    return _cell(rule.tag or rule.keyword or "")


def _done(rule: Rule) -> str:
    if rule.pixels is not None:
        return f"Pixels {_json(rule.pixels)}"
    taken = {"when", "tag", "vr", "private_creator", "keyword", "action", "pixels"}
    parameters = rule.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=taken)
    return " ".join(
        [str(rule.action), *(f"{name}={_cell(str(value))}" for name, value in parameters.items())]
    )


def _json(model: Any) -> str:
    dumped = model.model_dump_json(by_alias=True, exclude_none=True, exclude_defaults=True)
    return f"`{dumped.translate(_IN_CODE)}`"


#: What ends code, or a cell; in JSON it can be said by its number.
_IN_CODE = str.maketrans({"`": r"\u0060", "|": r"\u007c"})


def _identifiers(profile: Profile, resolver: Resolver) -> Iterator[str]:
    yield (
        "Patient ID and Patient's Name become a pseudonym that is derived from the Patient ID and "
        "a secret key (HMAC-SHA-256), unless a rule says otherwise: the same Patient ID has the "
        "same pseudonym in every study, at every time, wherever the key is the same, whoever has "
        "issued it. Where there is no Patient ID, name and birth date take its place, and without "
        "those the Study Instance UID."
    )
    if any(rule.scheme is Scheme.SEQUENTIAL for rule in profile.rules):
        yield ""
        yield "Sequential pseudonyms are counted and kept in the database of the server."
    yield ""
    if Option.RETAIN_UIDS in resolver.options:
        yield (
            "UIDs stay (option RetainUids) except where the table has no code for the option; "
            "those are mapped as follows."
        )
        yield ""
    yield (
        "A UID of an instance, study, series, frame of reference or the like becomes one under "
        "2.25 that is derived from it and the secret key, wherever it stands, in retained private "
        "elements too. So references between instances hold, also between studies and when they "
        "were anonymized at different times. UIDs of SOP classes, transfer syntaxes, coding "
        "schemes and all others that DICOM registers stay."
    )


def _dates(profile: Profile, resolver: Resolver) -> Iterator[str]:
    if _FULL_DATES in resolver.options:
        yield f"Dates and times stay as they are. {_OTHER_DATES}"
    elif _MODIFIED_DATES in resolver.options:
        low, high = profile.dates.range_days
        yield (
            f"Dates move by one whole number of days for each patient, from {low} to {high}, that "
            "is derived from the Patient ID and the secret key. Times of day and offsets from UTC "
            "stay, so that intervals within a patient are kept to the fraction of a second. What "
            f"is no valid date is removed or replaced. {_OTHER_DATES}"
        )
    else:
        yield (
            "Dates and times are removed, emptied or replaced by constants, as the table asks for; "
            "those that no table has are replaced."
        )


def _private(_profile: Profile, resolver: Resolver) -> Iterator[str]:
    if Option.RETAIN_SAFE_PRIVATE in resolver.options:
        yield (
            "Private elements stay where PS3.15 Table E.3.10-1 has them, or a rule of this "
            "profile, by creator, group and element; UIDs, dates and names in them are treated by "
            "their value representation, sequences are entered."
        )
    else:
        yield "Private elements are removed, except for those that a rule of this profile names."
    yield "Private Creator elements stay exactly where something of their block does."


def _content(profile: Profile, resolver: Resolver) -> Iterator[str]:
    options = resolver.options
    yield "- Text: " + (
        "descriptions are cleaned; the identifiers of the subject, of persons of the study and "
        "what looks like one are taken out, and so are the institution, department, station, "
        "device serial number and age of the instance unless the profile keeps these attributes."
        if Option.CLEAN_DESCRIPTORS in options
        else "descriptions are removed or replaced."
    )
    yield "- Structured content: " + (
        "content items are treated by their concept names as PS3.15 Table E.3.4-1 has it, others "
        "by value type."
        if Option.CLEAN_STRUCTURED_CONTENT in options
        else "content trees are replaced by dummies."
    )
    yield "- Graphics: " + (
        "text in graphic annotations is cleaned; overlays stay only where they are regions of "
        "interest; curves are removed."
        if Option.CLEAN_GRAPHICS in options
        else "graphic annotations are replaced by dummies; overlays and curves are removed."
    )
    yield (
        "- Encapsulated documents: replaced by a document that says so, unless a rule says "
        "otherwise."
    )
    yield "- Digital signatures and original attributes: removed, as the table has it."
    yield "- Pixel data: " + (
        "painted over by rules of this profile and by the table of known devices; images of a "
        "kind that often has identifiers burned in are refused where no rule covers them."
        if Option.CLEAN_PIXEL_DATA in options
        else "unchanged, except by rules of this profile; elsewhere, text that is burned in stays."
    )
    yield (
        "- Recognizable visual features: not cleaned; a face may be seen in photographs, or be "
        "reconstructed from images of the head."
    )
    if any(rule.pixels is not None and rule.pixels.detect for rule in profile.rules):
        yield (
            "- Burned-in text is also looked for by optical character recognition, which does not "
            "find all of it."
        )


def _check(profile: Profile, _resolver: Resolver) -> Iterator[str]:
    what = (
        "a finding refuses the instance, and with it the whole job, unless the request allows to "
        "leave such instances out (Permissive)."
        if profile.residual is Residual.REFUSE
        else "findings are reported."
    )
    yield (
        "Before an instance is stored, its new header is searched for the identifiers that the "
        "original has of its subject: names, Patient IDs, accession and order numbers, birth date, "
        "addresses and telephone numbers, and the names of physicians and operators; "
        f"{what} It is a second line of defense: names that are also words of medicine, numbers of "
        "fewer than six digits, compressed data, pixels and documents are not searched."
    )


def _reversal(profile: Profile, _resolver: Resolver) -> Iterator[str]:
    encrypted = any(rule.action is Action.ENCRYPT for rule in profile.rules)
    if encrypted:
        yield (
            "Some originals are kept in the Encrypted Attributes Sequence (0400,0500), as "
            "Cryptographic Message Syntax for "
            f"{len(profile.recipients)} recipient(s), so that they alone can re-identify."
        )
    else:
        yield "The instances hold no encrypted originals."
    if profile.mapping:
        yield "The server keeps which Patient ID became which."
    yield ""
    yield (
        "Pseudonyms, UIDs and shifts of dates follow from the secret key: whoever has the key and "
        "a list of Patient IDs can find out which pseudonym is whose. The server also knows which "
        "resource was made from which, in metadata that do not leave it with the instances."
    )


def _attributes(_profile: Profile, resolver: Resolver) -> Iterator[str]:
    yield (
        "Where the action depends on whether an attribute is required in its SOP class, all "
        "possible actions are named:"
    )
    yield ""
    for action, meaning in _MEANINGS.items():
        yield f"- {action}: {meaning}"
    yield ""
    yield "| Attribute | Tag | VR or value type | Action | Reason |"
    yield "|---|---|---|---|---|"
    for row in resolver.table():
        cells = (row["Name"], row["Tag"], row["VR"], row["Action"], row["Reason"])
        yield f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    """Return a text that is no markup and cannot break out of a table, on one line."""
    return " ".join(_MARKUP.sub(r"\\\g<0>", text).split())


#: What would begin a tag of HTML, a link, code, or the next cell.
_MARKUP = re.compile(r"[\\|<&`\[]")


_MEANINGS = {
    Action.REMOVE: "the attribute is removed (X)",
    Action.EMPTY: "it is left without a value (Z)",
    Action.DUMMY: "its value is replaced by one that says nothing (D)",
    Action.UID: "UIDs are mapped (U); the items of a sequence are entered",
    Action.PSEUDONYM: "its value is replaced by a pseudonym (D)",
    Action.SHIFT_DATE: "dates are shifted (C)",
    Action.CLEAN_TEXT: "identifiers are taken out of the text (C)",
    Action.CLEAN_STRUCTURED_CONTENT: "content items are cleaned, by their concept names (C)",
    Action.CLEAN_GRAPHICS: "annotations and overlays are cleaned (C)",
    Action.CLEAN_PRIVATE: "private attributes that are known as safe stay (C)",
    Action.KEEP: "the value stays; the items of a sequence are entered (K)",
    Action.REPLACE: "a rule gives the value",
    Action.GENERALIZE: "a rule makes the value coarse",
    Action.REGEX: "a rule replaces what fits a pattern",
    Action.HASH: "the value is replaced by a keyed hash of it",
    Action.LOOKUP: "the value is replaced by what a table has for it",
    Action.ENCRYPT: "the original is encrypted for the recipients, and replaced in the open",
}

_SECTIONS = (
    ("Profile and options", _claims),
    ("Marks", _marks),
    ("Rules", _rules),
    ("Identifiers", _identifiers),
    ("Dates and times", _dates),
    ("Private elements", _private),
    ("Content", _content),
    ("Check of the result", _check),
    ("Re-identification", _reversal),
    ("Attributes", _attributes),
)
