"""What rules ask of a resource: the condition language, with source, labels, counts and time.

::

    {"All": [{"Tag": "Modality", "In": ["CT", "PT"]}, {"Source": {"RemoteAet": "CT*"}},
             {"Not": {"Label": "no-research"}}]}

What cannot be decided is neither true nor false: ``All`` is false where another of its conditions
is, ``Any`` true where another is, and everything else, ``Not`` included, cannot be decided either.
So the outcome does not depend on the order, and what costs least is asked first.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import cached_property, partial
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from curator.conditions import BaseCondition, compile_wildcards, occurs
from curator.dicom.tags import parse_tag
from curator.models import Model
from curator.route.facts import Facts, Source, Undecidable
from curator.route.problem import Location, Problem, refuse
from curator.route.window import Window, WindowText

#: The elements that the core keeps in its index of every patient, study and series.
INDEXED = frozenset(map(parse_tag, (
    "PatientName", "PatientBirthDate", "PatientSex", "OtherPatientIDs", "PatientID",
    "StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber", "StudyInstanceUID",
    "RequestedProcedureDescription", "InstitutionName", "RequestingPhysician",
    "ReferringPhysicianName", "SeriesDate", "SeriesTime", "Modality", "Manufacturer", "StationName",
    "SeriesDescription", "BodyPartExamined", "SequenceName", "ProtocolName", "SeriesNumber",
    "CardiacNumberOfImages", "ImagesInAcquisition", "NumberOfTemporalPositions", "NumberOfSlices",
    "NumberOfTimeSlices", "SeriesInstanceUID", "ImageOrientationPatient", "SeriesType",
    "OperatorsName", "PerformedProcedureStepDescription", "AcquisitionDeviceProcessingDescription",
    "ContrastBolusAgent",
)))  # fmt: skip


class Cost(IntEnum):
    """What it takes to decide a condition; the cheapest of several is asked first."""

    INDEX = 0  # what the index says of the resource and its series
    SEARCH = 1  # what has to be gathered from its instances
    FILE = 2  # what stands in files only


class Origin(StrEnum):
    """How instances reach Orthanc (``RequestOrigin`` of the core)."""

    DICOM_PROTOCOL = "DicomProtocol"
    REST_API = "RestApi"
    PLUGINS = "Plugins"
    LUA = "Lua"
    WEB_DAV = "WebDav"
    UNKNOWN = "Unknown"


class Counted(StrEnum):
    """What can be counted below a resource."""

    STUDIES = "Studies"
    SERIES = "Series"
    INSTANCES = "Instances"


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a condition does not hold.

    Attributes
    ----------
    place : str
        JSON path of the condition that stopped it, from the one that was asked: ``.All[1]``.
    undecidable : str or None
        Why it could not be decided; ``None`` where it was.
    """

    place: str = ""
    undecidable: str | None = None

    def below(self, place: str) -> "Stop":
        """Return the same for the condition above."""
        return Stop(place + self.place, self.undecidable)


#: A condition on its own that does not hold.
_STOP = Stop()


class SourceCondition(Model):
    """Where it came from: all that are named have to fit one and the same source.

    Attributes
    ----------
    remote_aet, called_aet : str or None
        With wildcards ``*`` and ``?``, without regard to case.
    remote_ip : str or None
        With wildcards, or a network such as ``10.1.0.0/16``.
    """

    remote_aet: Annotated[str, Field(min_length=1)] | None = None
    called_aet: Annotated[str, Field(min_length=1)] | None = None
    remote_ip: Annotated[str, Field(min_length=1)] | None = None
    origin: Origin | None = None

    @field_validator("remote_ip")
    @classmethod
    def _check_network(cls, text: str | None) -> str | None:
        if text is not None and "/" in text:
            try:
                ip_network(text, strict=False)
            except ValueError:
                raise ValueError("is no network, as 10.1.0.0/16 is") from None
        return text

    @model_validator(mode="after")
    def _check(self) -> Self:
        if all(getattr(self, name) is None for name in type(self).model_fields):
            raise ValueError('needs one of "RemoteAet", "CalledAet", "RemoteIp", "Origin"')
        _ = self._patterns
        return self

    def fits(self, source: Source) -> bool:
        """Tell whether a source is one of those meant; what is not known of it fits nothing."""
        if self.origin is not None and source.origin != self.origin:
            return False
        if self._network is not None and not _within(source.remote_ip, self._network):
            return False
        for name, pattern in self._patterns:
            known = getattr(source, name)
            if not known or not occurs(pattern, known):
                return False
        return True

    @cached_property
    def _patterns(self) -> tuple[tuple[str, Any], ...]:
        texts = {"remote_aet": self.remote_aet, "called_aet": self.called_aet}
        if self._network is None:
            texts["remote_ip"] = self.remote_ip
        return tuple((name, compile_wildcards(text)) for name, text in texts.items() if text)

    @cached_property
    def _network(self) -> Any:
        written = self.remote_ip or ""
        return ip_network(written, strict=False) if "/" in written else None


def _within(text: str, network: Any) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address in network


class RuleCondition(BaseCondition):
    """One condition of a rule.

    Attributes
    ----------
    label : str or None
        A label of the resource, with wildcards ``*`` and ``?``, without regard to case.
    metadata : str or None
        The name of a metadata of the resource, with an operator.
    count : Counted or None
        What is below the resource, with an operator on its number.
    time : str or None
        A window that the present moment is in.
    """

    asking: ClassVar[tuple[str, ...]] = ("tag", "metadata", "count")
    needs: ClassVar[str] = (
        'either "Tag", "Metadata" or "Count" with an operator,'
        ' or one of "Source", "Label", "Time", "All", "Any", "Not"'
    )

    source: SourceCondition | None = None
    label: Annotated[str, Field(min_length=1)] | None = None
    metadata: Annotated[str, Field(min_length=1)] | None = None
    count: Counted | None = None
    time: WindowText | None = None

    @model_validator(mode="after")
    def _check_numbers(self) -> Self:
        if self.count is not None:
            numbers = (self.equals, *(self.in_ or ()), *(self.between or ()))
            given = [wanted for wanted in numbers if wanted is not None]
            if not given or any(isinstance(wanted, str) for wanted in given):
                refuse([Problem(("Count",), 'needs "Equals", "In" or "Between" with numbers')])
        _ = self._label_pattern, self._ordered  # at once, not with the first study
        return self

    def holds(self, facts: Facts) -> bool:
        """Decide the condition.

        Raises
        ------
        Undecidable
            If it depends on what cannot be read now.
        """
        stop = self.stop(facts)
        if stop is not None and stop.undecidable is not None:
            raise Undecidable(stop.undecidable)
        return stop is None

    def stopped_by(self, facts: Facts, path: str) -> str | None:
        """Return the JSON path of the condition that stops it, or could not be decided.

        Parameters
        ----------
        path : str
            Where this condition stands.

        Returns
        -------
        str or None
            ``None`` if it holds.
        """
        stop = self.stop(facts)
        return None if stop is None else path + stop.place

    def stop(self, facts: Facts) -> Stop | None:
        """Decide the condition, and tell why if it does not hold.

        Of several conditions that stop it, the first one that was asked is told: the cheapest,
        and of those the first one written.
        """
        if self.all_ is not None:
            return self._stop_of_all(facts)
        if self.any_ is not None:
            return self._stop_of_any(facts)
        if self.not_ is not None:
            stop = self.not_.stop(facts)
            if stop is None:
                return Stop(".Not")
            return None if stop.undecidable is None else stop.below(".Not")
        try:
            return None if self._is_so(facts) else _STOP
        except Undecidable as error:
            return Stop(undecidable=str(error))

    def _stop_of_all(self, facts: Facts) -> Stop | None:
        undecided = None
        for place, child in self._ordered:
            stop = child.stop(facts)
            if stop is None:
                continue
            if stop.undecidable is None:
                return stop.below(place)
            undecided = undecided or stop.below(place)
        return undecided

    def _stop_of_any(self, facts: Facts) -> Stop | None:
        undecided = None
        for place, child in self._ordered:
            stop = child.stop(facts)
            if stop is None:
                return None
            if stop.undecidable is not None:
                undecided = undecided or stop.below(place)
        return undecided or Stop(".Any")

    def _is_so(self, facts: Facts) -> bool:
        if self.path is not None:
            return self.fits(facts.values(self.path))
        if self.label is not None:
            return any(map(partial(occurs, self._label_pattern), facts.labels))
        if self.source is not None:
            return _came_from(self.source, facts)
        if self.count is not None:
            return self.fits((_counted(self.count, facts),))
        if self.metadata is not None:
            return self.fits((facts.metadata.get(self.metadata, ""),))
        return Window.parse(self.time or "").is_open(facts.now)

    @cached_property
    def asks_time(self) -> bool:
        """Whether the outcome depends on the time of day."""
        return self.time is not None or any(child.asks_time for child in self.children)

    @cached_property
    def _ordered(self) -> tuple[tuple[str, "RuleCondition"], ...]:
        name = "All" if self.all_ is not None else "Any"
        placed = [(f".{name}[{index}]", child) for index, child in enumerate(self.children)]
        return tuple(sorted(placed, key=lambda one: one[1].cost))

    @cached_property
    def cost(self) -> Cost:
        """What it takes to decide it, at most."""
        if self.path is not None:
            indexed = not self.path.steps and self.path.tag in INDEXED
            return Cost.INDEX if indexed else Cost.FILE
        if self.source is not None or self.count is not None:
            return Cost.SEARCH
        return max((child.cost for child in self.children), default=Cost.INDEX)

    @cached_property
    def _label_pattern(self) -> Any:
        return compile_wildcards(self.label or "")

    def walk(self, place: Location = ()) -> Iterator[tuple[Location, "RuleCondition"]]:
        """Yield it and all conditions within, each with its place below that of this one."""
        yield place, self
        if self.not_ is not None:
            yield from self.not_.walk((*place, "Not"))
        for name, children in (("All", self.all_), ("Any", self.any_)):
            for index, child in enumerate(children or ()):
                yield from child.walk((*place, name, index))


def _came_from(condition: SourceCondition, facts: Facts) -> bool:
    if not facts.sources:
        raise Undecidable("where it came from is not known")
    return any(condition.fits(source) for source in facts.sources)


def _counted(what: Counted, facts: Facts) -> str:
    number = facts.counts.get(what)
    if number is None:
        raise Undecidable(f"the number of its {what.lower()} is not known")
    return str(number)
