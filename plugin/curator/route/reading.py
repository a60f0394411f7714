"""What rules ask of stored resources, read when it is asked for and not before.

Main DICOM tags come from the index. Others, and those that the index has not kept, come from one
file of every series. What cannot be read makes a condition undecidable; it is never absent.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import TypeGuard, overload

from pydicom import datadict

from curator.dicom import reader
from curator.dicom.element import SINGLE_VALUED_VRS
from curator.dicom.engine import opened
from curator.dicom.errors import DicomError
from curator.dicom.identifiers import orthanc_identifiers
from curator.dicom.instance import Instance
from curator.dicom.tags import AnyTag, Path, PrivateTag, Tag, dictionary_vr, parse_path
from curator.errors import BadRequest, CuratorError
from curator.gateway import Content, Gateway, Resource, uri
from curator.level import Level
from curator.route.facts import Facts, Source, Undecidable
from curator.route.hours import local

LEVELS = tuple(Level)

#: Value representations whose values may be too long for the index, which then keeps none.
_LONG_VRS = frozenset({"LT", "ST", "UC", "UT"})

_IDENTITY = tuple(
    map(parse_path, ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"))
)


class FactsReader:
    """Reads facts of what is stored, and of files that are not.

    Parameters
    ----------
    gateway : Gateway
    default_charset : str
        Defined term for instances without Specific Character Set.
    clock : callable
        Seconds since 1970.
    """

    def __init__(self, gateway: Gateway, default_charset: str, clock: Callable[[], float]) -> None:
        self._gateway = gateway
        self._default_charset = default_charset
        self._clock = clock

    def facts(self, level: Level, orthanc_id: str) -> Facts | None:
        """Return what rules may ask of a stored resource, None if it is gone.

        Raises
        ------
        CuratorError
            If the server does not answer now.
        """
        found = self._gateway.lookup([orthanc_id])
        if not found or found[0].level != level:
            return None
        return self._facts(found[0], {})

    def series_facts(self, facts: Facts) -> Sequence[Facts]:
        """Return the facts of every series of a patient or study; of a series, its own.

        Raises
        ------
        CuratorError
            If the server does not answer now.
        """
        if facts.level == Level.SERIES:
            return [facts]
        known: dict[str, Resource] = {}
        found = self._gateway.passing(Level.SERIES, facts.level, facts.resource)
        return [self._facts(one, known) for one in found]

    def facts_of_instances(self, instances: Sequence[Resource]) -> list[Facts]:
        """Return the facts of instances that are looked up; what they share is read once."""
        known: dict[str, Resource] = {}
        return [self._facts(one, known) for one in instances]

    def facts_of_file(self, dicom: bytes) -> Facts:
        """Return the facts of a DICOM file that need not be stored.

        Raises
        ------
        BadRequest
            If it cannot be read for certain.
        """
        try:
            instance = opened(dicom, self._default_charset)
            header = reader.header_of(instance, _IDENTITY)
            identity = [header.string(path) or "" for path in _IDENTITY]
        except DicomError as error:
            raise BadRequest(f"The file cannot be read: {type(error).__name__}") from None
        orthanc_id = orthanc_identifiers(*identity)[3]
        return Facts(Level.INSTANCE, orthanc_id, _ValuesOfFile(instance), self.now())

    def now(self) -> datetime:
        """Return the local time, with its zone."""
        return local(self._clock())

    def _facts(self, resource: Resource, known: dict[str, Resource]) -> Facts:
        family = _Family(self._gateway, self._default_charset, resource, known)
        return Facts(
            level=resource.level,
            resource=resource.orthanc_id,
            values=_Values(family),
            now=self.now(),
            sources=_Sources(family),
            labels=frozenset(resource.labels),
            metadata=resource.metadata,
            counts=_Counts(family),
        )


class _Family:
    """A resource with those above and below it, each read once.

    Parameters
    ----------
    known : dict
        Resources above it, by identifier; shared by those that have them in common.
    """

    def __init__(
        self,
        gateway: Gateway,
        default_charset: str,
        resource: Resource,
        known: dict[str, Resource],
    ) -> None:
        self._gateway = gateway
        self._default_charset = default_charset
        self._known = known
        self.resource = resource
        self._files: dict[str, Instance] = {}

    def at(self, level: Level) -> Sequence[Resource]:
        """Return the resources of a level: the own, the one above, or those below.

        Of instances below, the first of every series.
        """
        if level == self.resource.level:
            return [self.resource]
        if LEVELS.index(level) < LEVELS.index(self.resource.level):
            return [self._above(level)]
        return self._below_at(level)

    @cached_property
    def representatives(self) -> Sequence[Resource]:
        """One instance of every series."""
        if self.resource.level == Level.INSTANCE:
            return [self.resource]
        ids = [self._gateway.one_instance(series) for series in self.at(Level.SERIES)]
        found = self._gateway.lookup([one for one in ids if one is not None])
        if not found or len(found) != len(ids):
            raise Undecidable(f"{self.resource.level} {self.resource.orthanc_id} is changing")
        return found

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        """Where its instances came from, each way once."""
        own = self.resource
        instances = (
            [own]
            if own.level == Level.INSTANCE
            else self._gateway.passing(
                Level.INSTANCE, own.level, own.orthanc_id, [Content.METADATA]
            )
        )
        return tuple(dict.fromkeys(source_of(one.metadata) for one in instances))

    @cached_property
    def counts(self) -> dict[str, int]:
        """Numbers of resources below; of an instance, below its series."""
        own = self.resource
        if own.level == Level.INSTANCE:
            own = self._above(Level.SERIES)
        statistics = self._gateway.get_json(f"{uri(own.level, own.orthanc_id)}/statistics")
        names = ("Studies", "Series", "Instances")
        return {
            name: int(statistics[f"Count{name}"]) for name in names if f"Count{name}" in statistics
        }

    def file(self, instance: Resource) -> Instance:
        """Return the file of an instance, taken apart."""
        orthanc_id = instance.orthanc_id
        if orthanc_id not in self._files:
            self._files[orthanc_id] = opened(self._gateway.read(orthanc_id), self._default_charset)
        return self._files[orthanc_id]

    def indexed(self, tag: AnyTag) -> Level | None:
        """Return the level whose main DICOM tag this is, the nearest below the own one first."""
        own = LEVELS.index(self.resource.level)
        for level in (*LEVELS[: own + 1][::-1], *LEVELS[own + 1 :]):
            if tag in self._keywords(level):
                return level
        return None

    def keyword(self, level: Level, tag: AnyTag) -> str:
        """Return the name of a main DICOM tag."""
        return self._keywords(level)[tag]

    def _keywords(self, level: Level) -> dict[AnyTag, str]:
        return {tag: name for name, tag in self._gateway.main_dicom_tags(level).items()}

    def _above(self, level: Level) -> Resource:
        found = self.resource
        while found.level != level:
            if found.parent not in self._known:
                parents = self._gateway.lookup([found.parent])
                if not parents:
                    raise Undecidable(f"{found.level} {found.orthanc_id} is gone")
                self._known[found.parent] = parents[0]
            found = self._known[found.parent]
        return found

    def _below_at(self, level: Level) -> Sequence[Resource]:
        if level == Level.INSTANCE:
            return self.representatives
        return self._series if level == Level.SERIES else self._studies

    @cached_property
    def _studies(self) -> Sequence[Resource]:
        return self._children(Level.STUDY)

    @cached_property
    def _series(self) -> Sequence[Resource]:
        return self._children(Level.SERIES)

    def _children(self, level: Level) -> Sequence[Resource]:
        own = self.resource
        found = self._gateway.passing(level, own.level, own.orthanc_id)
        if not found:
            raise Undecidable(f"{own.level} {own.orthanc_id} is gone")
        return found


class _Values:
    """Values of elements of a stored resource, each asked for once."""

    def __init__(self, family: _Family) -> None:
        self._family = family
        self._found: dict[Path, tuple[str, ...]] = {}

    def __call__(self, path: Path) -> tuple[str, ...]:
        if path not in self._found:
            with _undecidable(path):
                self._found[path] = tuple(dict.fromkeys(self._read(path)))
        return self._found[path]

    def _read(self, path: Path) -> Iterator[str]:
        level = None if path.steps else self._family.indexed(path.tag)
        if level is None:
            for instance in self._family.representatives:
                yield from _values_in(self._family.file(instance), path)
            return
        keyword = self._family.keyword(level, path.tag)
        resources = self._family.at(level)
        if all(_is_indexed(one, keyword, path.tag) for one in resources):
            for one in resources:
                yield from _values_of(one.tags.get(keyword, ""), path.tag)
        else:
            for instance in self._family.representatives:
                yield from _values_in(self._family.file(instance), path)


class _ValuesOfFile:
    """Values of elements of one file."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def __call__(self, path: Path) -> tuple[str, ...]:
        with _undecidable(path):
            return tuple(dict.fromkeys(_values_in(self._instance, path)))


class _Sources(Sequence[Source]):
    """The sources of a resource, read when they are asked for."""

    def __init__(self, family: _Family) -> None:
        self._family = family

    @overload
    def __getitem__(self, index: int) -> Source: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Source]: ...
    def __getitem__(self, index: int | slice) -> Source | Sequence[Source]:
        return self._all[index]

    def __len__(self) -> int:
        return len(self._all)

    @property
    def _all(self) -> tuple[Source, ...]:
        with _undecidable("the source"):
            return self._family.sources


class _Counts(Mapping[str, int]):
    """The numbers of resources below, read when they are asked for."""

    def __init__(self, family: _Family) -> None:
        self._family = family

    def __getitem__(self, name: str) -> int:
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    @property
    def _all(self) -> dict[str, int]:
        with _undecidable("the counts"):
            return self._family.counts


def source_of(metadata: Mapping[str, str]) -> Source:
    """Return where an instance came from, as the core has kept it."""
    return Source(
        remote_aet=metadata.get("RemoteAET", ""),
        called_aet=metadata.get("CalledAET", ""),
        remote_ip=metadata.get("RemoteIP", ""),
        origin=metadata.get("Origin", ""),
    )


@contextmanager
def _undecidable(what: Path | str) -> Iterator[None]:
    """Turn what reading raises into ``Undecidable``, which says what could not be read."""
    try:
        yield
    except CuratorError as error:
        raise Undecidable(f"{what} cannot be read: {error}") from None
    except DicomError as error:
        raise Undecidable(f"{what} cannot be read: {type(error).__name__}") from None


def _is_indexed(resource: Resource, keyword: str, tag: AnyTag) -> bool:
    """Tell whether the index says for certain what a resource has there, also if it has nothing.

    The server may have been told of a tag only after it received the resource.
    """
    if keyword in resource.tags:
        return True
    if not _is_named_alike(tag) or dictionary_vr(tag) in _LONG_VRS:
        return False
    signature = resource.metadata.get("MainDicomTagsSignature", "")
    return f"{tag >> 16:04x},{tag & 0xFFFF:04x}" in signature.lower().split(";")


def _is_named_alike(tag: AnyTag) -> TypeGuard[Tag]:
    """Tell whether the core has the same name for an element as we have."""
    return (
        not isinstance(tag, PrivateTag)
        and datadict.dictionary_has_tag(tag)
        and not datadict.dictionary_is_retired(tag)
    )


def _values_of(text: str, tag: AnyTag) -> list[str]:
    """Take apart a value as the index has it."""
    parts = [text] if dictionary_vr(tag) in SINGLE_VALUED_VRS else text.split("\\")
    return [part for part in map(str.strip, parts) if part]


def _values_in(instance: Instance, path: Path) -> Iterator[str]:
    found = (text.strip() for text in reader.header_of(instance, [path]).strings(path))
    return (text for text in found if text)
