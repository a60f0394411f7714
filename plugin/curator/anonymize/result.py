"""What comes out of the anonymization of one instance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from curator.anonymize.decision import Action


@dataclass(frozen=True, slots=True)
class Explained:
    """One change, for a dry run; values are texts cut to a readable length.

    Parameters
    ----------
    path : str
        ``PatientName``, ``RequestAttributesSequence[0].ScheduledProcedureStepID``.
    action : Action
        What was done.
    reason : str
        Why.
    before, after : str or None
        The value; None where there is no element, ``""`` where it is empty.
    """

    path: str
    action: Action
    reason: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Anonymized:
    """An anonymized instance and what was done to it.

    Parameters
    ----------
    dicom : bytes
        The new file.
    subject_key : str
        What stands for the patient.
    counts : mapping of (Action, str) to int
        How often each action was applied, by action and tag as text; nested ones included.
    kept_private : tuple of str
        Private elements that were kept, as ``(gggg,"CREATOR",ee)``.
    pixel_rules : tuple of str
        Names of the pixel rules that fired.
    warnings : tuple of str
        What who reads the report should know; no values.
    explained : tuple of Explained
        Every change, where it was asked for.
    """

    dicom: bytes
    subject_key: str
    counts: Mapping[tuple[Action, str], int] = field(default_factory=dict)
    kept_private: tuple[str, ...] = ()
    pixel_rules: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    explained: tuple[Explained, ...] = ()
