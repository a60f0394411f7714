"""The JSON of an anonymization profile."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StrictBool, StringConstraints

from curator.anonymize.decision import Action
from curator.conditions import Condition, Scalar
from curator.models import Model

EDITION = "2026d"

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Option(StrEnum):
    """The options of PS3.15 E.3, in the words of this project."""

    RETAIN_SAFE_PRIVATE = "RetainSafePrivate"
    RETAIN_UIDS = "RetainUids"
    RETAIN_DEVICE_IDENTITY = "RetainDeviceIdentity"
    RETAIN_INSTITUTION_IDENTITY = "RetainInstitutionIdentity"
    RETAIN_PATIENT_CHARACTERISTICS = "RetainPatientCharacteristics"
    RETAIN_LONGITUDINAL_FULL_DATES = "RetainLongitudinalFullDates"
    RETAIN_LONGITUDINAL_MODIFIED_DATES = "RetainLongitudinalModifiedDates"
    CLEAN_DESCRIPTORS = "CleanDescriptors"
    CLEAN_STRUCTURED_CONTENT = "CleanStructuredContent"
    CLEAN_GRAPHICS = "CleanGraphics"
    CLEAN_PIXEL_DATA = "CleanPixelData"
    CLEAN_RECOGNIZABLE_VISUAL_FEATURES = "CleanRecognizableVisualFeatures"


class OptionsMeet(StrEnum):
    """Which option wins where two have an action for the same row."""

    PROTECTIVE = "Protective"
    PERMISSIVE = "Permissive"


class Scheme(StrEnum):
    """How a pseudonym is made.

    ``Text`` and ``Number`` derive it from the key; ``Sequential`` counts, and ``Lookup`` reads it
    from a table of two columns.
    """

    TEXT = "Text"
    NUMBER = "Number"
    SEQUENTIAL = "Sequential"
    LOOKUP = "Lookup"


class DatePart(StrEnum):
    """What a generalized date still tells."""

    YEAR = "Year"
    MONTH = "Month"


class Residual(StrEnum):
    """What happens where an identifier of the subject is found in the result."""

    REFUSE = "Refuse"
    REPORT = "Report"


class Dates(Model):
    """How dates are shifted: by one number of days for each patient, drawn from the key."""

    shift: Literal["PerPatient"] = "PerPatient"
    range_days: tuple[int, int] = (-365, -1)


class Uids(Model):
    """How UIDs are mapped: each to one under ``2.25`` that is derived from it and the key."""

    map: Literal["Keyed"] = "Keyed"


class PixelSyntax(StrEnum):
    """Transfer syntaxes that changed pixel data are written in."""

    EXPLICIT_VR_LITTLE_ENDIAN = "ExplicitVRLittleEndian"
    RLE_LOSSLESS = "RLELossless"


class Pixels(Model):
    """How changed pixel data are written."""

    transfer_syntax: PixelSyntax = PixelSyntax.EXPLICIT_VR_LITTLE_ENDIAN


#: One edge of a rectangle: pixels, or an expression of ``Rows`` and ``Columns``.
Extent = int | str

#: Left, top, width, height.
Rectangle = tuple[Extent, Extent, Extent, Extent]


class PixelRule(Model):
    """What a rule does to the pixels of the instances it is for.

    Attributes
    ----------
    fill, blur : tuple of Rectangle
        What is painted over with the lowest value, or made unreadable.
    regions : "Ultrasound" or None
        Paint over everything outside the ultrasound regions (PS3.3 C.8.5.5).
    detect : "Text" or None
        Find burned-in text and paint over it.
    keep : bool
        Say that such instances have nothing burned in.
    """

    fill: tuple[Rectangle, ...] = ()
    blur: tuple[Rectangle, ...] = ()
    regions: Literal["Ultrasound"] | None = None
    detect: Literal["Text"] | None = None
    keep: StrictBool = False


class Rule(Model):
    """One rule of a profile: which elements, what happens to them, for which instances.

    Exactly one of ``Tag``, ``VR``, ``PrivateCreator``, ``Keyword`` with ``Action``, or ``Pixels``.
    The other fields are parameters of the actions.
    """

    when: Condition | None = None
    tag: str | None = None
    vr: Annotated[str | None, Field(alias="VR")] = None
    private_creator: str | None = None
    keyword: str | None = None
    action: Action | None = None
    pixels: PixelRule | None = None
    # Replace
    value: Scalar | tuple[Scalar, ...] | None = None
    # Pseudonym
    scheme: Scheme | None = None
    prefix: str | None = None
    length: Annotated[int | None, Field(ge=4, le=64)] = None
    # Generalize
    bins: Annotated[int | None, Field(ge=1, le=100)] = None
    above: Annotated[int | None, Field(ge=1, le=150)] = None
    to: DatePart | None = None
    digits: Annotated[int | None, Field(ge=0, le=10)] = None
    # Regex
    pattern: str | None = None
    with_: Annotated[str | None, Field(alias="With")] = None
    # Lookup, and the scheme Lookup of Pseudonym
    table: str | None = None
    otherwise: Literal["Refuse", "Remove", "Empty"] | None = None


class Profile(Model):
    """An anonymization profile."""

    name: Name
    version: Annotated[str, StringConstraints(min_length=1, max_length=16)] = "1"
    description: str = ""
    base: Literal["Basic"] = "Basic"
    edition: Literal["2026d"] = "2026d"
    options: tuple[Option, ...] = ()
    options_meet: OptionsMeet = OptionsMeet.PROTECTIVE
    dates: Dates = Field(default_factory=Dates)
    uids: Uids = Field(default_factory=Uids)
    pixels: Pixels = Field(default_factory=Pixels)
    rules: tuple[Rule, ...] = ()
    #: Tables of the action Lookup, by name; the configuration names more, in CSV files.
    tables: dict[str, dict[str, str]] = Field(default_factory=dict)
    residual: Residual = Residual.REFUSE
    #: Keep which Patient ID became which, for who may export it.
    mapping: StrictBool = False
    #: Certificates (PEM) of those who can read what was encrypted.
    recipients: tuple[str, ...] = ()
