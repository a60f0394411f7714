"""The JSON of an anonymization profile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from curator.anonymize.decision import Action
from curator.anonymize.pixels.expression import parse as parse_expression
from curator.anonymize.reversible import check_certificate
from curator.anonymize.rule_check import Problem, problems_of
from curator.conditions import Condition, Scalar
from curator.models import Model

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]

#: Farther than this no date is shifted: a century.
MAX_SHIFT_DAYS = 36500

#: More rules in a profile are refused.
MAX_RULES = 5000


class _Documented(Model):
    """A model whose schema has the docstrings of its fields."""

    model_config = ConfigDict(use_attribute_docstrings=True)


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


class Dates(_Documented):
    """How dates are shifted: by one number of days for each patient, drawn from the key."""

    shift: Literal["PerPatient"] = "PerPatient"
    """Every patient has an own number of days."""
    range_days: tuple[int, int] = (-365, -1)
    """The least and the most days that dates move; negative into the past."""

    @field_validator("range_days")
    @classmethod
    def _check_range(cls, found: tuple[int, int]) -> tuple[int, int]:
        low, high = found
        if low > high:
            raise ValueError("the least number of days comes first")
        if max(-low, high) > MAX_SHIFT_DAYS:
            raise ValueError(f"dates are shifted by at most {MAX_SHIFT_DAYS} days")
        if low == high == 0:
            raise ValueError("a shift by no day changes no date")
        return found


class Uids(_Documented):
    """How UIDs are mapped: each to one under ``2.25`` that is derived from it and the key."""

    map: Literal["Keyed"] = "Keyed"
    """The same UID always becomes the same one."""


class PixelSyntax(StrEnum):
    """Transfer syntaxes that changed pixel data are written in."""

    EXPLICIT_VR_LITTLE_ENDIAN = "ExplicitVRLittleEndian"
    RLE_LOSSLESS = "RLELossless"


class Pixels(_Documented):
    """How changed pixel data are written."""

    transfer_syntax: PixelSyntax = PixelSyntax.EXPLICIT_VR_LITTLE_ENDIAN
    """The transfer syntax of instances whose pixels were changed; others keep theirs."""


def _extent(found: int | str) -> int | str:
    if isinstance(found, str):
        parse_expression(found)
    elif found < 0:
        raise ValueError("an edge is not negative")
    return found


#: One edge of a rectangle: pixels, or an expression of ``Rows`` and ``Columns``.
Extent = Annotated[int | str, AfterValidator(_extent)]

#: Left, top, width, height.
Rectangle = tuple[Extent, Extent, Extent, Extent]


class PixelRule(_Documented):
    """What a rule does to the pixels of the instances it is for."""

    fill: tuple[Rectangle, ...] = ()
    """Rectangles that are painted over with the lowest value: left, top, width, height."""
    blur: tuple[Rectangle, ...] = ()
    """Rectangles that are made unreadable."""
    regions: Literal["Ultrasound"] | None = None
    """Paint over everything outside the ultrasound regions (PS3.3 C.8.5.5)."""
    detect: Literal["Text"] | None = None
    """Find burned-in text and paint over it."""
    keep: StrictBool = False
    """Say that such instances have nothing burned in."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        changes = bool(self.fill or self.blur or self.regions or self.detect)
        if changes == self.keep:
            raise ValueError(
                'needs either "Keep": true, or some of "Fill", "Blur", "Regions" and "Detect"'
            )
        return self


class Rule(_Documented):
    """One rule of a profile: which elements, what happens to them, for which instances.

    Exactly one of ``Tag``, ``VR``, ``PrivateCreator``, ``Keyword`` with ``Action``, or ``Pixels``.
    The other fields are parameters of the actions. Later rules win over earlier ones.
    """

    when: Condition | None = None
    """The instances that it is for; all, where absent."""
    tag: str | None = None
    """A tag, a wildcard as in (60xx,4000), or a path as in RequestAttributesSequence[*].Modality.

    Without a path it is about every depth."""
    vr: Annotated[str | None, Field(alias="VR")] = None
    """All elements of a value representation; private ones as far as they are retained."""
    private_creator: str | None = None
    """All private elements of a creator; a pattern with * and ?."""
    keyword: str | None = None
    """All elements whose keyword fits a pattern with * and ?."""
    action: Action | None = None
    """What happens to the elements."""
    pixels: PixelRule | None = None
    """What happens to the pixels."""
    value: Scalar | tuple[Scalar, ...] | None = None
    """Replace: a constant, or a template over other elements as in {StudyID}-{Modality}."""
    scheme: Scheme | None = None
    """Pseudonym: how it is made; Text, where absent."""
    prefix: str | None = None
    """Pseudonym: what it begins with."""
    length: Annotated[int | None, Field(ge=4, le=64)] = None
    """Pseudonym, Hash: characters, without the prefix."""
    bins: Annotated[int | None, Field(ge=1, le=100)] = None
    """Generalize: width of the bins of ages and numbers."""
    above: Annotated[int | None, Field(ge=1, le=150)] = None
    """Generalize: everything above becomes one bin."""
    to: DatePart | None = None
    """Generalize: what is left of a date."""
    digits: Annotated[int | None, Field(ge=0, le=10)] = None
    """Generalize: leading characters of a postal code that are left."""
    pattern: str | None = None
    """Regex: a regular expression of RE2."""
    with_: Annotated[str | None, Field(alias="With")] = None
    r"""Regex: what every match becomes; \1 is the first group."""
    table: str | None = None
    """Lookup, and the scheme Lookup: name of the table."""
    otherwise: Literal["Refuse", "Remove", "Empty"] | None = None
    """Lookup, Regex: what happens to a value that is not in the table, or does not match."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if problems := problems_of(self):
            raise _invalid(self, problems)
        return self


def _invalid(model: Model, problems: Iterable[Problem]) -> ValidationError:
    """Return problems in the form that keeps the place of each."""
    return ValidationError.from_exception_data(
        type(model).__name__,
        [
            InitErrorDetails(
                type=PydanticCustomError("value_error", "{why}", {"why": why}),
                loc=(place,) if place else (),
                input=None,
            )
            for place, why in problems
        ],
    )


def _table(found: Any) -> Any:
    """Check here what pydantic would report with the original, which may identify a patient."""
    if isinstance(found, dict) and not all(isinstance(value, str) for value in found.values()):
        raise ValueError("every original of a table has a text")
    return found


Table = Annotated[dict[str, str], BeforeValidator(_table)]


def _certificate(pem: str) -> str:
    check_certificate(pem)
    return pem


class Profile(_Documented):
    """An anonymization profile: the Basic Profile of PS3.15 E.2, its options, and rules."""

    name: Name
    """What it is called in requests."""
    version: Annotated[str, StringConstraints(min_length=1, max_length=16)] = "1"
    """To be raised with every change."""
    description: str = ""
    """What it is for."""
    base: Literal["Basic"] = "Basic"
    """The Basic Application Level Confidentiality Profile."""
    edition: Literal["2026d"] = "2026d"
    """The edition of PS3.15."""
    options: tuple[Option, ...] = ()
    """The options of PS3.15 E.3 that apply."""
    options_meet: OptionsMeet = OptionsMeet.PROTECTIVE
    """Which option wins where two have an action for the same attribute."""
    dates: Dates = Field(default_factory=Dates)
    """How dates are shifted, where they are."""
    uids: Uids = Field(default_factory=Uids)
    """How UIDs are mapped."""
    pixels: Pixels = Field(default_factory=Pixels)
    """How changed pixel data are written."""
    rules: Annotated[tuple[Rule, ...], Field(max_length=MAX_RULES)] = ()
    """What is different from base and options; later rules win over earlier ones."""
    tables: dict[str, Table] = Field(default_factory=dict, repr=False)
    """Tables of the action Lookup, by name; the configuration names more, in CSV files."""
    residual: Residual = Residual.REFUSE
    """What happens where an identifier of the subject is found in the result."""
    mapping: StrictBool = False
    """Keep which Patient ID became which, for who may export it."""
    key: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}$")] | None = None
    """Identifier of the key of the key file that all follows from; the one in use, where absent."""
    recipients: tuple[Annotated[str, AfterValidator(_certificate)], ...] = ()
    """Certificates (PEM) of those who can read what was encrypted."""

    @field_validator("options")
    @classmethod
    def _check_options(cls, found: tuple[Option, ...]) -> tuple[Option, ...]:
        twice = [option.value for option, count in Counter(found).items() if count > 1]
        if twice:
            raise ValueError(f"named twice: {', '.join(twice)}")
        if Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES in found:
            raise ValueError("CleanRecognizableVisualFeatures is not implemented")
        full, modified = _TEMPORAL
        if full in found and modified in found:
            raise ValueError(f"{full} and {modified} exclude each other (PS3.15 E.3.6)")
        return found

    @model_validator(mode="after")
    def _check_recipients(self) -> Self:
        encrypting = [i for i, rule in enumerate(self.rules) if rule.action is Action.ENCRYPT]
        if encrypting and not self.recipients:
            why = f"$.Rules[{encrypting[0]}] encrypts, which needs a recipient"
            raise _invalid(self, [("Recipients", why)])
        return self


_TEMPORAL = (Option.RETAIN_LONGITUDINAL_FULL_DATES, Option.RETAIN_LONGITUDINAL_MODIFIED_DATES)
