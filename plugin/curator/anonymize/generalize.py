"""Tell less of a value: ages and numbers in bins, dates to the year or month, postal codes cut.

What cannot be read becomes empty, a date one that says nothing: neither is ever kept.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from curator.anonymize.dates import normal
from curator.anonymize.placeholders import PLACEHOLDERS
from curator.anonymize.profile import DatePart
from curator.conditions import number
from curator.dicom.element import NUMBER_CODES

_AGE = re.compile(r"(\d{3})([DWMY])", re.ASCII)
_PER_YEAR = {"D": 365.25, "W": 365.25 / 7, "M": 12.0, "Y": 1.0}

_POSTAL_CODE = re.compile(r"(?=.*[0-9])[A-Za-z]{0,3}[- ]?[0-9][0-9A-Za-z]*(?:[- ][0-9A-Za-z]+)?")
_MOST_OF_A_POSTAL_CODE = 12


@dataclass(frozen=True, slots=True)
class Grain:
    """How much is still told.

    Parameters
    ----------
    bins : int or None
        Width of the bins: a number becomes the lower edge of its bin, an age that of its bin of
        years.
    above : int or None
        Numbers and ages (in years) above it all become the one that follows it.
    to : DatePart or None
        What is left of dates.
    digits : int or None
        How many characters of a postal code are left.
    """

    bins: int | None = None
    above: int | None = None
    to: DatePart | None = None
    digits: int | None = None


def generalized(vr: str, text: str, grain: Grain) -> str:
    """Return a value as text, told less of.

    Parameters
    ----------
    vr : str
        Its VR.
    text : str
        One value.
    grain : Grain
        How much is still told.

    Returns
    -------
    str
        Valid for the VR where that is one of ages, dates or numbers; empty where nothing can be
        made of the value.
    """
    if not text:
        return ""
    if vr in ("DA", "DT"):
        return _date(vr, text, grain.to)
    if vr == "AS":
        return _age(text, grain)
    if vr in ("DS", "IS") or vr in NUMBER_CODES:
        return _number(text, grain)
    if grain.digits is not None:
        return _postal_code(text, grain.digits)
    return _number(text, grain)


def _age(text: str, grain: Grain) -> str:
    match = _AGE.fullmatch(text)
    if match is None or (grain.bins is None and grain.above is None):
        return ""
    years = int(match[1]) / _PER_YEAR[match[2]]
    if grain.above is not None and math.floor(years) > grain.above:
        return f"{grain.above + 1:03}Y"
    return text if grain.bins is None else f"{math.floor(years) // grain.bins * grain.bins:03}Y"


def _number(text: str, grain: Grain) -> str:
    value = number(text)
    if value is None or (grain.bins is None and grain.above is None):
        return ""
    if grain.above is not None and value > grain.above:
        return str(grain.above + 1)
    return text if grain.bins is None else str(math.floor(value / grain.bins) * grain.bins)


def _date(vr: str, text: str, to: DatePart | None) -> str:
    """Return the year or month: DA in full, with the first day; DT shortened, without its zone."""
    valid = normal(vr, text)
    if to is None or valid is None:
        return PLACEHOLDERS[vr]
    kept = valid[: 4 if to is DatePart.YEAR else 6]
    if vr == "DA":
        return kept + "0101"[len(kept) - 4 :]
    # A date-time that says less than asked for keeps the little it says.
    return kept if kept.isdecimal() else kept[:4]


def _postal_code(text: str, digits: int) -> str:
    if len(text) > _MOST_OF_A_POSTAL_CODE or _POSTAL_CODE.fullmatch(text) is None:
        return ""
    return text[:digits].strip(" -")
