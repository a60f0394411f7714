"""The steps of a rule: one key each, ``{"Send": "peer:research"}``.

Where a step makes sense:

========== ============================ ===========================================================
step       on                           goes on with
========== ============================ ===========================================================
Anonymize  everything                   the copies
Modify     everything; a patient only   the copies
           with another Patient ID
Split      studies, series              what it was split into
Merge      studies                      the study that the others were merged into
Transcode  everything                   the same; what is sent from here on is transcoded
Label      everything                   the same
Metadata   everything                   the same
Send       everything                   the same, once all of it is confirmed everywhere
Delete     everything, as the last step nothing: what the rule fired for is gone
========== ============================ ===========================================================
"""

from collections import Counter
from collections.abc import Container, Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StrictBool, field_validator, model_validator

from curator.conditions import parse_element
from curator.models import Model, nearest
from curator.route.kinds import DestinationKind
from curator.route.problem import Location, Problem, refuse

Names = Annotated[tuple[str, ...], Field(min_length=1, strict=False)]

#: Transfer syntaxes that Orthanc writes, with DCMTK or its GDCM plugin (PS3.6 A).
WRITABLE = {
    "1.2.840.10008.1.2": "Implicit VR Little Endian",
    "1.2.840.10008.1.2.1": "Explicit VR Little Endian",
    "1.2.840.10008.1.2.1.99": "Deflated Explicit VR Little Endian",
    "1.2.840.10008.1.2.2": "Explicit VR Big Endian",
    "1.2.840.10008.1.2.4.50": "JPEG Baseline",
    "1.2.840.10008.1.2.4.51": "JPEG Extended",
    "1.2.840.10008.1.2.4.57": "JPEG Lossless",
    "1.2.840.10008.1.2.4.70": "JPEG Lossless, First-Order Prediction",
    "1.2.840.10008.1.2.4.80": "JPEG-LS Lossless",
    "1.2.840.10008.1.2.4.81": "JPEG-LS Near-Lossless",
    "1.2.840.10008.1.2.4.90": "JPEG 2000 Lossless",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
}

#: Elements that the core changes or keeps only with ``Force``.
_IDENTIFIERS = frozenset(
    parse_element(keyword)
    for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
)

#: Destinations of one step.
MAX_DESTINATIONS = 100

#: What the routing decides itself when it splits.
_NOT_IN_SPLIT = ("Asynchronous", "Synchronous", "Permissive", "Priority", "UserData", "DryRun")

_KINDS = [kind.value for kind in DestinationKind]


class AnonymizeStep(Model):
    """Go on with anonymized copies."""

    profile: Annotated[str, Field(min_length=1)]


class ModifyStep(Model):
    """Go on with modified copies; fields as in ``/studies/{id}/modify``."""

    replace: dict[str, Any] = Field(default_factory=dict)
    remove: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    remove_private_tags: StrictBool = False
    force: StrictBool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not (self.replace or self.remove or self.remove_private_tags):
            raise ValueError('needs "Replace", "Remove" or "RemovePrivateTags"')
        refuse(self._problems())
        return self

    @property
    def gives_patient_id(self) -> bool:
        """Whether it replaces the Patient ID."""
        return self.force and any(
            parse_element(name) == parse_element("PatientID") for name in self.replace
        )

    def _problems(self) -> Iterator[Problem]:
        places: list[tuple[Location, str]] = [
            *((("Replace", name), name) for name in self.replace),
            *((("Remove", index), name) for index, name in enumerate(self.remove)),
            *((("Keep", index), name) for index, name in enumerate(self.keep)),
        ]
        for place, name in places:
            try:
                path = parse_element(name)
            except ValueError as error:
                yield Problem(place, str(error))
                continue
            if path in _IDENTIFIERS and place[0] == "Remove":
                yield Problem(place, "cannot be removed, only replaced")
            elif path in _IDENTIFIERS and not self.force:
                yield Problem(place, 'needs "Force": true beside it')


class MergeStep(Model):
    """Merge the patient's other studies that have the same values into the earliest of them."""

    same: Names = ("AccessionNumber",)
    on_conflict: Literal["Refuse", "Target"] | None = None
    keep_source: StrictBool = False

    @field_validator("same")
    @classmethod
    def _check_elements(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            parse_element(name)
        return names


class LabelStep(Model):
    """Add and remove labels of the resource that the rule fired for."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not (self.add or self.remove):
            raise ValueError('needs "Add" or "Remove"')
        refuse(_in_both(self.add, self.remove))
        return self


class MetadataStep(Model):
    """Set and remove user metadata of the resource that the rule fired for."""

    set_: Annotated[dict[str, str], Field(alias="Set", default_factory=dict)]
    remove: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not (self.set_ or self.remove):
            raise ValueError('needs "Set" or "Remove"')
        refuse(_in_both(self.set_, self.remove))
        return self


class SendStep(Model):
    """Send what there is now, and wait until every instance is confirmed everywhere.

    Attributes
    ----------
    storage_commitment : bool
        Ask the modalities among the destinations whether they keep the instances (PS3.4 J).
    check_count : bool
        Ask the modalities and DICOMweb servers among them how many instances they have.
    """

    to: Names
    storage_commitment: StrictBool = False
    check_count: StrictBool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        kinds = {name.partition(":")[0] for name in self.to}
        if self.storage_commitment and DestinationKind.MODALITY not in kinds:
            raise ValueError('"StorageCommitment" is for modalities; there is none in it')
        if self.check_count and not kinds & {DestinationKind.MODALITY, DestinationKind.DICOMWEB}:
            raise ValueError(
                '"CheckCount" is for modalities and DICOMweb servers; there is none in it'
            )
        return self


class Step(Model):
    """One step; exactly one field is set.

    Attributes
    ----------
    split : dict or None
        Body of ``/studies/{id}/split`` (or series), without ``Asynchronous`` and the like.
    transcode : str or None
        Transfer syntax UID of what is sent from here on.
    send
        A destination, some, or an object with ``To``.
    delete : bool or None
        Delete the resource that the rule fired for.
    """

    anonymize: AnonymizeStep | None = None
    modify: ModifyStep | None = None
    split: dict[str, Any] | None = None
    merge: MergeStep | None = None
    transcode: str | None = None
    label: LabelStep | None = None
    metadata: MetadataStep | None = None
    send: SendStep | None = None
    delete: StrictBool | None = None

    @field_validator(
        "send", mode="before", json_schema_input_type=str | list[str] | SendStep | None
    )
    @classmethod
    def _read_send(cls, value: Any) -> Any:
        if isinstance(value, str | list):
            refuse(_destination_problems(value, ()))
            return {"To": [value] if isinstance(value, str) else value}
        if isinstance(value, dict) and "To" in value:
            to = value["To"]
            refuse(_destination_problems(to, ("To",)))
            return {**value, "To": [to]} if isinstance(to, str) else value
        return value

    @field_validator("split")
    @classmethod
    def _check_split(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is not None:
            refuse(
                Problem((name,), "is not for rules, which see to it themselves")
                for name in _NOT_IN_SPLIT
                if name in value
            )
            if not value.get("By"):
                raise ValueError('needs "By", as in {"By": ["EchoTime"]}')
        return value

    @field_validator("transcode")
    @classmethod
    def _check_transcode(cls, uid: str | None) -> str | None:
        if uid is not None and uid not in WRITABLE:
            known = ", ".join(f"{uid} ({name})" for uid, name in WRITABLE.items())
            raise ValueError(f"is no transfer syntax that Orthanc writes; it writes {known}")
        return uid

    @field_validator("delete")
    @classmethod
    def _check_delete(cls, value: bool | None) -> bool | None:
        if value is False:
            raise ValueError("can only be true; leave the step out otherwise")
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        named = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(named) != 1:
            raise ValueError(f"needs exactly one of {', '.join(sorted(self.field_names()))}")
        return self

    @property
    def kind(self) -> str:
        """The name of the field that is set, as it is written: ``Send``."""
        fields = type(self).model_fields.items()
        return next(
            field.alias or name for name, field in fields if getattr(self, name) is not None
        )


def _destination_problems(to: object, place: Location) -> Iterator[Problem]:
    names = to if isinstance(to, list) else [to]
    if to == []:
        yield Problem(place, "needs a destination at least")
    if len(names) > MAX_DESTINATIONS:
        yield Problem(place, f"has more than {MAX_DESTINATIONS} destinations")
        return
    counted = Counter(name for name in names if isinstance(name, str))
    for index, name in enumerate(names):
        if not isinstance(name, str):
            continue  # the model says so
        where = (*place, index) if isinstance(to, list) else place
        kind, _, rest = name.partition(":")
        if kind not in _KINDS or not rest:
            known = ", ".join(f"{kind}:NAME" for kind in _KINDS)
            hint = "" if kind in _KINDS else nearest(kind, _KINDS)
            yield Problem(where, f'"{name}" is no destination, as {known} are{hint}')
        elif counted[name] > 1 and name in names[:index]:
            yield Problem(where, f'"{name}" is there twice')


def _in_both(added: Container[str], removed: tuple[str, ...]) -> Iterator[Problem]:
    for index, name in enumerate(removed):
        if name in added:
            yield Problem(("Remove", index), "is added as well")
