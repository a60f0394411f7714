"""Bodies of the anonymize routes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, StrictBool, model_validator

from curator.anonymize.decision import Action
from curator.anonymize.profile import Profile
from curator.conditions import Scalar, parse_element
from curator.dicom.tags import Path, tag_for_keyword
from curator.job_request import Identifiers, JobRequest
from curator.models import InvalidModel, Model, validate

#: What Orthanc's identifiers derive from: changing it by hand needs ``Force``, as in the core.
_IDENTIFYING = frozenset(
    Path(tag_for_keyword(keyword))
    for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
)

#: Fields of the core's routes for which a profile has its own way.
_BY_PROFILE = {
    "dicom_version": 'a profile names its edition by "Edition"',
    "keep_private_tags": (
        'a profile keeps private elements by the option "RetainSafePrivate" or by rules'
    ),
    "lossy_quality": 'pixels are written lossless, as the profile says by "Pixels"',
    "private_creator": 'a private element is named with its creator: (gggg,"CREATOR",ee)',
    "transcode": 'pixels are written as the profile says by "Pixels": {"TransferSyntax": …}',
}


def _element(text: str) -> str:
    parse_element(text)
    return text


ElementName = Annotated[str, AfterValidator(_element)]


class ElementsRequest(Model):
    """Fields that name elements, in the routes of the core and of Curator."""

    replace: dict[ElementName, Scalar | tuple[Scalar, ...]] = Field(default_factory=dict)
    remove: tuple[ElementName, ...] = ()
    keep: tuple[ElementName, ...] = ()
    force: StrictBool = False
    dicom_version: str | None = None
    keep_private_tags: StrictBool | None = None
    lossy_quality: int | None = None
    private_creator: str | None = None
    transcode: str | None = None


class BuiltinRequest(ElementsRequest, JobRequest):
    """Body of the core's own routes, as far as Curator can say what is wrong with one."""

    resources: tuple[str, ...] = ()
    keep_labels: StrictBool = False
    keep_source: StrictBool = True
    permissive: StrictBool = False


class ProfileRequest(ElementsRequest):
    """Body of ``POST /instances/{id}/anonymize`` with a profile, and what all have in common."""

    profile: str | dict[str, Any]
    dry_run: StrictBool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, instead in _BY_PROFILE.items():
            if name in self.model_fields_set:
                alias = type(self).model_fields[name].alias
                raise ValueError(f'"{alias}" does not go with "Profile": {instead}')
        named: dict[Path, str] = {}
        for path, place, _ in self._named():
            if path in named:
                raise ValueError(f"{place} names an element that {named[path]} names as well")
            named[path] = place
            if path in _IDENTIFYING and not self.force:
                raise ValueError(f'{place}: {path} identifies a resource, this needs "Force": true')
        return self

    def profile_with_rules(self, profile: Profile) -> Profile:
        """Return a profile with what the request adds to it, as its last rules.

        Raises
        ------
        InvalidModel
            With every problem and its path in the request.
        """
        added = [(place, rule) for _, place, rule in self._named()]
        if not added:
            return profile
        content = profile.model_dump(mode="json", by_alias=True, exclude_none=True)
        rules = [*content.get("Rules", ()), *(rule for _, rule in added)]
        try:
            return validate(Profile, {**content, "Rules": rules})
        except InvalidModel as error:
            places = dict(enumerate((place for place, _ in added), start=len(profile.rules)))
            raise InvalidModel([_in_request(text, places) for text in error.problems]) from None

    def _named(self) -> Iterator[tuple[Path, str, dict[str, Any]]]:
        """Yield the elements that are named, where, and the rules that they become."""
        for index, tag in enumerate(self.remove):
            rule = {"Tag": tag, "Action": Action.REMOVE}
            yield parse_element(tag), f"$.Remove[{index}]", rule
        for tag, value in self.replace.items():
            replacing = {"Tag": tag, "Action": Action.REPLACE, "Value": value}
            place = f"$.Replace.{tag}" if tag.isidentifier() else f"$.Replace[{json.dumps(tag)}]"
            yield parse_element(tag), place, replacing
        for index, tag in enumerate(self.keep):
            yield parse_element(tag), f"$.Keep[{index}]", {"Tag": tag, "Action": Action.KEEP}


class AnonymizeRequest(ProfileRequest, JobRequest):
    """Body of ``POST /{patients,studies,series}/{id}/anonymize`` with a profile."""

    keep_source: StrictBool = True
    keep_labels: StrictBool = False
    permissive: StrictBool = False
    report: StrictBool = False
    map: StrictBool = False


class BulkAnonymizeRequest(AnonymizeRequest):
    """Body of ``POST /tools/bulk-anonymize`` with a profile."""

    resources: Identifiers


#: Fields that make a body Curator's: the core has none of these.
OWN_FIELDS = frozenset({"Profile", "DryRun", "Report", "Map"})


def _in_request(problem: str, places: Mapping[int, str]) -> str:
    """Say of a problem of a rule where in the request the rule stands."""
    for index, place in places.items():
        rest = problem.removeprefix(f"$.Rules[{index}]")
        if rest != problem:
            return place + (rest if rest.startswith(":") else f": {rest.lstrip('.')}")
    return problem
