"""Anonymization as the routes ask for it: now, as a dry run, or as a job."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from curator.access import Access
from curator.anonymize.making import (
    AnonymizerFactory,
    Anonymizes,
    InstanceRefused,
    Maker,
    Unavailable,
)
from curator.anonymize.profile import Profile
from curator.anonymize.record import Record
from curator.anonymize.report import Report
from curator.anonymize.request import AnonymizeRequest, ProfileRequest
from curator.anonymize.result import Anonymized, Explained
from curator.anonymize.selection import Selector
from curator.anonymize.storing import Keeper
from curator.anonymize.task import AnonymizeTask, NoteMapping, Order, Tools, Witness
from curator.errors import BadRequest, Conflict
from curator.gateway import Resource
from curator.jobs import Submission, Task
from curator.level import Level
from curator.models import InvalidModel, validate
from curator.store import Store

#: Fields of a request that its job needs; what it says of elements has become part of the profile.
_OF_JOB = ("KeepSource", "KeepLabels", "Permissive", "Report", "Map")


class Profiles(Protocol):
    """Where profiles come from: a ``Catalog``, as far as it is needed here."""

    def get(self, name: str, /) -> tuple[Profile, Any]: ...
    def parse(self, inline: object, /) -> Profile: ...


class AnonymizeService:
    """Anonymizes resources.

    Parameters
    ----------
    anonymizers : callable
        Makes what anonymizes by a profile.
    key : str
        Identifier of the key in use, for profiles that name none.
    note_mapping : callable
        Keeps which Patient IDs became which, for profiles that ask for it.
    witness : Witness
        Is told what jobs make.
    """

    job_type = "CuratorAnonymize"

    def __init__(
        self,
        access: Access,
        store: Store,
        profiles: Profiles,
        anonymizers: AnonymizerFactory,
        key: str,
        note_mapping: NoteMapping,
        witness: Witness,
    ) -> None:
        self.gateway = access.gateway
        self.selector = Selector(access.gateway)
        self._access = access
        self._record = Record(store)
        self._profiles = profiles
        self._anonymizers = anonymizers
        self._key = key
        self._note_mapping = note_mapping
        self._witness = witness
        self._keeper = Keeper(access.gateway, access.default_charset)

    def profile(self, request: ProfileRequest) -> Profile:
        """Return the profile that a request names or holds, with what it adds to it.

        Raises
        ------
        NotFound
            If there is no profile of this name.
        BadRequest
            If the profile in the request, or what it adds, is wrong; with every problem.
        """
        if isinstance(request.profile, str):
            profile, _ = self._profiles.get(request.profile)
        else:
            profile = self._profiles.parse(request.profile)
        try:
            return request.profile_with_rules(profile)
        except InvalidModel as error:
            raise BadRequest(str(error)) from None

    def file(self, instance: str, profile: Profile) -> bytes:
        """Return an instance anonymized; nothing is stored.

        Raises
        ------
        InstanceRefused
            If it cannot be read, or not be anonymized as the profile asks.
        """
        maker = Maker(self._access, self._anonymizers(profile, False))
        return maker.anonymized(instance).dicom

    def dry_run(self, resources: Sequence[Resource], profile: Profile) -> dict[str, Any]:
        """Return what would become of the elements of every instance; nothing is changed."""
        maker = Maker(self._access, self._anonymizers(profile, True))
        instances = [one.instance for one in self.selector.sources(resources)]
        report = Report()

        def explain(instance: str) -> Anonymized | InstanceRefused:
            try:
                return maker.anonymized(instance, explain=True)
            except InstanceRefused as refused:
                return refused

        described: list[dict[str, Any]] = []
        with ThreadPoolExecutor(self._access.threads, "curator-read") as pool:
            for instance, result in zip(instances, pool.map(explain, instances), strict=True):
                if isinstance(result, InstanceRefused):
                    report.refuse(instance, result.cause.details)
                    described.append({"ID": instance, "Refused": result.cause.details})
                else:
                    report.add(result)
                    described.append(_described(instance, result))
        return {
            "DryRun": True,
            "Profile": profile.name,
            "Version": profile.version,
            "InstancesCount": len(instances),
            "Instances": described,
            "Report": report.describe(by_element=True),
        }

    def submission(
        self,
        level: Level | None,
        resources: Sequence[Resource],
        request: AnonymizeRequest,
        profile: Profile,
        user: str,
    ) -> Submission:
        """Return the job that anonymizes resources.

        It keeps the profile as it is now, and the key: neither changes when it goes on later.

        Parameters
        ----------
        level : Level or None
            Of the one resource; None for several, of any level.
        """
        body = request.model_dump(mode="json", by_alias=True, include=_names(_OF_JOB))
        kept = profile.model_copy(update={"key": profile.key or self._key})
        return Submission(
            type=self.job_type,
            request={
                "Level": level,
                "Resources": [one.orthanc_id for one in resources],
                "Body": body,
                "Profile": kept.model_dump(mode="json", by_alias=True, exclude_none=True),
            },
            claims=self.selector.studies(resources),
            user=user,
            priority=request.priority,
            user_data=request.user_data,
        )

    def task(self, job_request: dict[str, Any]) -> Task:
        """Return the work of a job from the JSON of its submission."""
        profile = validate(Profile, job_request["Profile"])
        request = validate(AnonymizeRequest, {**job_request["Body"], "Profile": profile.name})
        level = job_request["Level"]
        order = Order(
            level=None if level is None else Level(level),
            resources=tuple(job_request["Resources"]),
            request=request,
            profile=profile,
        )
        anonymizer: Anonymizes
        try:
            anonymizer = self._anonymizers(profile, False)
        except Conflict as gone:
            anonymizer = Unavailable(gone)
        with_before = request.map or profile.mapping
        maker = Maker(self._access, anonymizer, with_before=with_before)
        tools = Tools(
            access=self._access,
            record=self._record,
            maker=maker,
            keeper=self._keeper,
            note_mapping=self._note_mapping,
            witness=self._witness,
        )
        return AnonymizeTask(tools, order)


def _names(fields: Sequence[str]) -> set[str]:
    """Return the names in Python of fields."""
    known = AnonymizeRequest.model_fields.items()
    return {name for name, field in known if field.alias in fields}


def _described(instance: str, result: Anonymized) -> dict[str, Any]:
    return {
        "ID": instance,
        "Changes": [_change(one) for one in result.explained],
        "PixelRules": list(result.pixel_rules),
        "Warnings": list(result.warnings),
    }


def _change(one: Explained) -> dict[str, Any]:
    return {
        "Path": one.path,
        "Action": one.action,
        "Reason": one.reason,
        "Before": one.before,
        "After": one.after,
    }
