"""Whom an instance is about, as far as anonymization has to know: read once from the original."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Subject:
    """The identifiers of a patient, and of the persons and requests of a study.

    All are texts as they stand in the instance, decoded, without padding, none empty.

    Parameters
    ----------
    key : str
        What stands for the patient in pseudonyms and offsets: the Patient ID; without one, name
        and birth date; without those, the Study Instance UID.
    names : tuple of str
        Names of the patient with all of their components and groups (PN), other names, maiden and
        mother's name.
    identifiers : tuple of str
        Patient IDs, other IDs, accession numbers, admission, visit and order numbers.
    birth_dates : tuple of str
        As DA, ``YYYYMMDD``.
    contacts : tuple of str
        Telephone numbers, addresses, e-mail.
    persons : tuple of str
        Names of physicians, operators, reviewers (PN).
    surroundings : tuple of str
        Where and with what the study was made: institution, department, station, serial number. Of
        what the profile keeps, none.
    ages : tuple of str
        Of the patient (AS), unless the profile keeps it.
    uids : tuple of str
        Of the study, unless the profile keeps it.
    """

    key: str
    names: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()
    birth_dates: tuple[str, ...] = ()
    contacts: tuple[str, ...] = ()
    persons: tuple[str, ...] = ()
    surroundings: tuple[str, ...] = ()
    ages: tuple[str, ...] = ()
    uids: tuple[str, ...] = ()
