"""Tell persons apart who share a patient identifier, and keep identifiers that go; pure."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, zip_longest

from curator.reshape.elements import ElementValue, Item, text_of

#: What `normalized` and `persons` hold for the same.
NORMALIZATION = (
    "Letters are compared without regard to case and in one form of Unicode (NFKC, case folding)",
    "Diacritics count: MÜLLER and Müller are one name, MÜLLER and MUELLER are two",
    "Runs of spaces are one space, and spaces around the components of a name do not count",
    "Carets at the end of a name do not count",
    "The first comma of a name that has no caret stands for a caret: DOE, JOHN is DOE^JOHN",
    "Names are compared in the first group that both have: alphabetic, ideographic, phonetic",
    "A component of a name, a birth date or a sex that is missing fits any other",
    "Of a birth date only digits count; the sex is compared in upper case",
)


@dataclass(frozen=True, order=True)
class Key:
    """What identifies a person beside an identifier, normalized; empty where unknown.

    Attributes
    ----------
    name : tuple of tuple of str
        The components of each component group (PS3.5 6.2.1).
    """

    name: tuple[tuple[str, ...], ...]
    birth_date: str
    sex: str

    def fits(self, other: "Key") -> bool:
        """Tell whether both may be of one person: nothing that both have differs."""
        return (
            _fit(self.birth_date, other.birth_date)
            and _fit(self.sex, other.sex)
            and _names_fit(self.name, other.name)
        )


@dataclass(frozen=True)
class Persons:
    """Who is who among instances, by their index.

    Attributes
    ----------
    persons : tuple of tuple of int
        The instances of each person; persons are in the order of the least of their keys.
    ambiguous : tuple of int
        Instances that lack what would tell to which of several persons they belong.
    """

    persons: tuple[tuple[int, ...], ...]
    ambiguous: tuple[int, ...]


def normalized(name: str, birth_date: str, sex: str) -> Key:
    """Return the values of PatientName, PatientBirthDate and PatientSex, as they are compared.

    What counts as the same is said in :data:`NORMALIZATION`. Diacritics count, since a spelling
    without them ("MUELLER", "MULLER") is as often another name: such spellings are two persons
    until somebody says that they are one.
    """
    groups = [_components(group) for group in name.split("=")]
    while groups and not groups[-1]:
        groups.pop()
    digits = "".join(char for char in birth_date if char in "0123456789")
    return Key(tuple(groups), digits, sex.strip().upper())


def persons(keys: Sequence[Key]) -> Persons:
    """Tell persons apart, whatever the order of the instances.

    Instances are of one person where their keys fit each other. A key that fits two others which
    do not fit each other is ambiguous: it is reported, and belongs to nobody.

    Parameters
    ----------
    keys : sequence of Key
        One for every instance.
    """
    members: defaultdict[Key, list[int]] = defaultdict(list)
    for index, key in enumerate(keys):
        members[key].append(index)
    # Keys that are not ambiguous and fit each other fit the same keys, so one stands for all.
    known: dict[frozenset[Key], list[int]] = {}
    ambiguous: list[int] = []
    for key, fitting in _fitting(sorted(members)):
        if all(one.fits(other) for one, other in combinations(fitting, 2)):
            known.setdefault(frozenset(fitting), []).extend(members[key])
        else:
            ambiguous += members[key]
    return Persons(tuple(tuple(sorted(one)) for one in known.values()), tuple(sorted(ambiguous)))


def other_patient_ids(
    patient_id: str, issuer: str, existing: Iterable[Mapping[str, ElementValue]]
) -> list[Item]:
    """Return the items of OtherPatientIDsSequence with one more identifier (PS3.3 C.7.1.1).

    Parameters
    ----------
    patient_id : str
        The identifier that goes; an empty one adds nothing.
    issuer : str
        IssuerOfPatientID, empty where there is none.
    existing : iterable of items
        Those that are there, of which equal ones are taken once.
    """
    items: list[Item] = []
    for item in existing:
        if item not in items:
            items.append(dict(item))
    patient_id, issuer = patient_id.strip(), issuer.strip()
    if patient_id and (patient_id, issuer) not in map(_identifier, items):
        optional = {"IssuerOfPatientID": issuer} if issuer else {}
        items.append({"PatientID": patient_id, **optional, "TypeOfPatientID": "TEXT"})
    return items


def _components(group: str) -> tuple[str, ...]:
    group = _folded(group)
    if "^" not in group:
        group = group.replace(",", "^", 1)
    components = [" ".join(component.split()) for component in group.split("^")]
    while components and not components[-1]:
        components.pop()
    return tuple(components)


def _folded(text: str) -> str:
    """Return text without distinction of case and of form (Unicode 3.13, D146)."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", folded)


def _fit(one: str, other: str) -> bool:
    return one == other or not one or not other


def _names_fit(one: tuple[tuple[str, ...], ...], other: tuple[tuple[str, ...], ...]) -> bool:
    for group, other_group in zip(one, other, strict=False):
        if group and other_group:
            pairs = zip_longest(group, other_group, fillvalue="")
            return all(_fit(*pair) for pair in pairs)
    return True


def _fitting(keys: Sequence[Key]) -> Iterable[tuple[Key, list[Key]]]:
    """Yield for every key those that fit it, itself included; sought by birth date only once."""
    by_birth_date: defaultdict[str, list[Key]] = defaultdict(list)
    for key in keys:
        by_birth_date[key.birth_date].append(key)
    for key in keys:
        near = [*by_birth_date[key.birth_date], *by_birth_date[""]] if key.birth_date else keys
        yield key, [other for other in near if key.fits(other)]


def _identifier(item: Mapping[str, ElementValue]) -> tuple[str, str]:
    patient_id, issuer = (text_of(item.get(name)) for name in ("PatientID", "IssuerOfPatientID"))
    return patient_id, issuer
