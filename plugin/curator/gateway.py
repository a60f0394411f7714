"""The Orthanc that Curator lives in: its REST API, files, labels, metadata, metrics and audit log.

Calls go to the core's own routes, or to those of another plugin that are named as such, and never
over HTTP: an HTTP call to oneself would land in the callback that made it. Whatever the SDK raises
leaves here as a ``CuratorError``.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from threading import get_ident
from typing import Any, TypeVar
from urllib.parse import quote

from curator.dicom.tags import AnyTag, parse_tag, tag_text
from curator.errors import Conflict, CoreError, CuratorError, ErrorCode
from curator.level import Level
from curator.sdk import Sdk

logger = logging.getLogger(__name__)

#: First number of metadata and attachments that belong to users, not to the core.
FIRST_USER_NUMBER = 1024

#: Instances that are listed in one call.
PAGE = 1000

#: Resources that are looked up in one call.
LOOKUP = 100

#: Explicit VR Little Endian, which every server can write.
NATIVE = "1.2.840.10008.1.2.1"

#: Attachments that plugins keep as caches of what is in the files: series metadata of DICOMweb.
CACHES = frozenset({4301})

T = TypeVar("T")

Json = Any  # an answer of the core, taken apart at once by the methods below


class Content(StrEnum):
    """What ``/tools/find`` tells of a resource (``ResponseContent``)."""

    MAIN_DICOM_TAGS = "MainDicomTags"
    METADATA = "Metadata"
    LABELS = "Labels"
    ATTACHMENTS = "Attachments"
    PARENT = "Parent"


@dataclass(frozen=True)
class Attachment:
    """A file attached to a resource, by the number of its content type.

    ``md5`` is empty where it was not asked for, and on servers that keep none.
    """

    number: int
    uuid: str
    md5: str = ""


@dataclass(frozen=True)
class Resource:
    """A stored patient, study, series or instance, as far as ``/tools/find`` was asked to tell it.

    ``metadata`` maps names to values, the core's own included; ``tags`` are the main DICOM tags by
    keyword; ``parent`` is the Orthanc identifier one level up, empty for a patient.
    """

    level: Level
    orthanc_id: str
    parent: str
    tags: dict[str, str]
    metadata: dict[str, str]
    labels: tuple[str, ...]
    attachments: tuple[Attachment, ...]

    @property
    def file_uuid(self) -> str:
        """Storage identifier of the DICOM file, which changes when the instance is overwritten."""
        return next((file.uuid for file in self.attachments if file.number == 1), "")

    @property
    def file_md5(self) -> str:
        """MD5 of the DICOM file, where attachments were asked for and the server keeps it."""
        return next((file.md5 for file in self.attachments if file.number == 1), "")


@dataclass(frozen=True)
class Stored:
    """What the core answered to a new instance."""

    orthanc_id: str
    status: str


@dataclass(frozen=True)
class Picture:
    """A decoded image of one frame.

    Attributes
    ----------
    samples : int
        1 or 3, those of a pixel side by side.
    size : int
        Bytes of a sample, little endian.
    signed : bool
        Whether samples are in two's complement.
    pixels : bytes
        Row by row.
    """

    width: int
    height: int
    samples: int
    size: int
    signed: bool
    pixels: bytes


class Gateway:
    """Typed access to the core.

    Parameters
    ----------
    sdk : Sdk
        The module ``orthanc``.
    """

    def __init__(self, sdk: Sdk) -> None:
        self._sdk = sdk
        self._storing: set[int] = set()

    # REST, as it is

    def get(self, uri: str) -> bytes:
        """Call a built-in GET route."""
        return self._call(self._sdk.RestApiGet, uri)

    def post(self, uri: str, body: bytes) -> bytes:
        """Call a built-in POST route."""
        return self._call(self._sdk.RestApiPost, uri, body)

    def put(self, uri: str, body: bytes) -> bytes:
        """Call a built-in PUT route."""
        return self._call(self._sdk.RestApiPut, uri, body)

    def delete(self, uri: str) -> None:
        """Call a built-in DELETE route."""
        self._call(self._sdk.RestApiDelete, uri)

    def get_json(self, uri: str) -> Json:
        """Call a built-in GET route that answers JSON."""
        return json.loads(self.get(uri))

    def post_json(self, uri: str, body: object) -> Json:
        """Call a built-in POST route that takes and answers JSON."""
        return json.loads(self.post(uri, json.dumps(body).encode()))

    # REST of other plugins (DICOMweb), never of Curator's own routes

    def get_of_plugins(self, uri: str) -> Json:
        """Call a GET route that answers JSON and may be another plugin's."""
        return json.loads(self._call(self._sdk.RestApiGetAfterPlugins, uri))

    def post_to_plugins(self, uri: str, body: object) -> Json:
        """Call a POST route that takes and answers JSON and may be another plugin's."""
        text = json.dumps(body).encode()
        return json.loads(self._call(self._sdk.RestApiPostAfterPlugins, uri, text))

    # Resources

    def exists(self, level: Level, orthanc_id: str) -> bool:
        """Tell whether a resource is stored."""
        try:
            self.get(uri(level, orthanc_id))
        except CoreError as error:
            if error.unknown_resource:
                return False
            raise
        return True

    def resource(self, level: Level, orthanc_id: str) -> Resource | None:
        """Read one patient, study or series, or None if there is no such resource."""
        found = self._find(level, level, orthanc_id, Content, since=0)
        return found[0] if found else None

    def descendants(
        self, level: Level, ancestor: Level, orthanc_id: str, content: Iterable[Content] = Content
    ) -> list[Resource]:
        """Read all resources of a level below a patient, study or series.

        A server may cap what ``/tools/find`` answers (``LimitFindResults``), so the answer is
        counted against the statistics of the ancestor, and read on until it is whole.

        Raises
        ------
        Conflict
            If the children change while they are read.
        """
        expected = self.count(level, ancestor, orthanc_id)
        found: dict[str, Resource] = {}
        while page := self._find(level, ancestor, orthanc_id, content, since=len(found)):
            found.update((resource.orthanc_id, resource) for resource in page)
            if len(found) >= expected:
                break
        if len(found) != expected:
            raise Conflict(
                f"{ancestor} {orthanc_id} changes while it is read:"
                f" {expected} {level.collection} were announced, {len(found)} were found"
            )
        return list(found.values())

    def instances_of_series(
        self, series_orthanc_id: str, content: Iterable[Content] = Content
    ) -> list[Resource]:
        """Read the instances of a series, none where it is not stored.

        Orthanc 1.13.0 counts none below what it does not know, 1.12.7 refuses to count.
        """
        try:
            return self.descendants(Level.INSTANCE, Level.SERIES, series_orthanc_id, content)
        except CoreError as error:
            if not error.unknown_resource:
                raise
            return []

    def passing(
        self, level: Level, ancestor: Level, orthanc_id: str, content: Iterable[Content] = Content
    ) -> list[Resource]:
        """Read all resources of a level below another one to which others may add meanwhile."""
        found: dict[str, Resource] = {}
        while page := self._find(level, ancestor, orthanc_id, content, since=len(found)):
            known = len(found)
            found.update((resource.orthanc_id, resource) for resource in page)
            if len(found) == known:
                break
        return list(found.values())

    def count(self, level: Level, ancestor: Level, orthanc_id: str) -> int:
        """Count the resources of a level below a patient, study or series."""
        statistics = self.get_json(f"{uri(ancestor, orthanc_id)}/statistics")
        return int(statistics[f"Count{level.collection.capitalize()}"])

    def _find(
        self,
        level: Level,
        ancestor: Level,
        orthanc_id: str,
        content: Iterable[Content],
        since: int,
    ) -> list[Resource]:
        found = self.post_json(
            "/tools/find",
            {
                "Level": level,
                "Query": {},
                f"Parent{ancestor}": orthanc_id,
                "ResponseContent": list(content),
                "Since": since,
            },
        )
        return [_resource(level, item) for item in found]

    def one_instance(self, ancestor: Resource) -> str | None:
        """Return an instance below a patient, study or series; None where there is none."""
        body = {"Level": Level.INSTANCE, "Query": {}, "Expand": False, "Limit": 1}
        found = self.post_json("/tools/find", {**body, **_below(ancestor)})
        return str(found[0]) if found else None

    def lookup(self, orthanc_ids: Iterable[str]) -> list[Resource]:
        """Read patients, studies, series and instances, each once; pass over unknown ones."""
        wanted = list(dict.fromkeys(orthanc_ids))
        found: list[Json] = []
        for start in range(0, len(wanted), LOOKUP):
            body = {"Resources": wanted[start : start + LOOKUP]}
            found += self.post_json("/tools/bulk-content", body)
        return [_resource(Level(item["Type"]), item) for item in found]

    def count_instances(self, ancestor: Resource | None) -> int:
        """Count the instances below a patient, study or series, or of the whole server."""
        body = {"Level": Level.INSTANCE, "Query": {}, **_below(ancestor)}
        return int(self.post_json("/tools/count-resources", body)["Count"])

    def instances(self, ancestor: Resource | None) -> Iterator[Resource]:
        """Read the instances below a patient, study or series, or of the whole server, by pages.

        Others may store and delete meanwhile. What is there all the time is read, and nothing is
        read twice: a page begins with the last instance of the one before. Where it does not, an
        instance before it is gone, others have moved up into its place, and it is read back.
        """
        known: set[str] = set()
        since, overlap = 0, 1
        while True:
            page = self._page(ancestor, since)
            if since and overlap and not (page and page[0].orthanc_id in known):
                since = max(0, since - PAGE)
                continue
            for instance in page:
                if instance.orthanc_id not in known:
                    known.add(instance.orthanc_id)
                    yield instance
            if not since and len(page) == 1:
                overlap = 0  # there is no other, or ``LimitFindInstances`` lets no more through
            if len(page) <= overlap:
                return
            since += len(page) - overlap

    def _page(self, ancestor: Resource | None, since: int) -> list[Resource]:
        found = self.post_json(
            "/tools/find",
            {
                "Level": Level.INSTANCE,
                "Query": {},
                "ResponseContent": [Content.MAIN_DICOM_TAGS, Content.PARENT],
                "Since": since,
                "Limit": PAGE,
                **_below(ancestor),
            },
        )
        return [_resource(Level.INSTANCE, item) for item in found]

    # Instances

    def read(self, instance_orthanc_id: str) -> bytes:
        """Read the DICOM file of an instance."""
        return self._call(self._sdk.GetDicomForInstance, instance_orthanc_id)

    def store(self, dicom: bytes) -> Stored:
        """Store an instance; the status is the core's (``Success``, ``AlreadyStored``, …)."""
        self._storing.add(get_ident())
        try:
            answer = json.loads(self.post("/instances", dicom))
        finally:
            self._storing.discard(get_ident())
        return Stored(answer["ID"], answer["Status"])

    def is_storing(self) -> bool:
        """Tell whether this thread is in `store`, for the callbacks that the core then makes."""
        return get_ident() in self._storing

    def native(self, instance_orthanc_id: str) -> bytes:
        """Read the DICOM file of an instance in Explicit VR Little Endian, decoded if need be.

        Raises
        ------
        CoreError
            If the server cannot decode it.
        """
        return self.get(f"{uri(Level.INSTANCE, instance_orthanc_id)}/file?transcode={NATIVE}")

    def decoded(self, instance_orthanc_id: str) -> bytes:
        """Read the decoded pixels of all frames, as NumPy's file format holds them."""
        return self.get(f"{uri(Level.INSTANCE, instance_orthanc_id)}/numpy?rescale=false")

    def picture(self, dicom: bytes) -> Picture:
        """Decode the first frame of a DICOM file, which need not be stored.

        Raises
        ------
        CoreError
            If the server cannot decode it.
        """
        image = self._call(self._sdk.DecodeDicomImage, dicom, 0)
        formats = self._sdk.PixelFormat
        number = int(image.GetImagePixelFormat())
        layouts = {
            int(formats.GRAYSCALE8): (1, 1, False),
            int(formats.GRAYSCALE16): (1, 2, False),
            int(formats.SIGNED_GRAYSCALE16): (1, 2, True),
            int(formats.RGB24): (3, 1, False),
            int(formats.RGB48): (3, 2, False),
        }
        if number not in layouts:
            code = ErrorCode.NOT_IMPLEMENTED
            raise CoreError(code, self.error_description(code))
        samples, size, signed = layouts[number]
        width, height = image.GetImageWidth(), image.GetImageHeight()
        row, pitch, buffer = width * samples * size, image.GetImagePitch(), image.GetImageBuffer()
        starts = range(0, height * pitch, pitch)
        pixels = (
            buffer if row == pitch else b"".join(buffer[start : start + row] for start in starts)
        )
        return Picture(width, height, samples, size, signed, pixels)

    def stored_size(self, instance_orthanc_id: str) -> int:
        """Return the size of the DICOM file of an instance in bytes, without reading it."""
        return int(self.get(f"{uri(Level.INSTANCE, instance_orthanc_id)}/attachments/dicom/size"))

    def delete_instances(self, instance_orthanc_ids: Sequence[str]) -> None:
        """Delete instances, and parents that this leaves empty; pass over unknown ones."""
        if instance_orthanc_ids:
            body = json.dumps({"Resources": list(instance_orthanc_ids)})
            self.post("/tools/bulk-delete", body.encode())

    def file_uuid(self, instance_orthanc_id: str) -> str | None:
        """Return the storage identifier of the DICOM file, which changes when it is overwritten.

        None where the instance is not stored.
        """
        path = f"{uri(Level.INSTANCE, instance_orthanc_id)}/attachments/dicom/info"
        try:
            return str(self.get_json(path)["Uuid"])
        except CoreError as error:
            if not error.unknown_resource:
                raise
            return None

    def reconstruct(self, level: Level, orthanc_id: str) -> None:
        """Let the core read the main DICOM tags of one resource from its files again."""
        body = {"LimitToThisLevelMainDicomTags": True}
        self.post(f"{uri(level, orthanc_id)}/reconstruct", json.dumps(body).encode())

    # What hangs on a resource

    def set_metadata(self, level: Level, orthanc_id: str, name: str, value: str) -> None:
        """Set metadata, system metadata included (which the core refuses to REST clients)."""
        self.put(f"{uri(level, orthanc_id)}/metadata/{quote(name, safe='')}", value.encode())

    def delete_metadata(self, level: Level, orthanc_id: str, name: str) -> None:
        """Delete metadata; it is no error if there is none."""
        try:
            self.delete(f"{uri(level, orthanc_id)}/metadata/{quote(name, safe='')}")
        except CoreError as error:
            if not error.unknown_resource:
                raise

    def add_label(self, level: Level, orthanc_id: str, label: str) -> None:
        """Add a label; it is no error if it is there already."""
        self.put(f"{uri(level, orthanc_id)}/labels/{quote(label, safe='')}", b"")

    def remove_label(self, level: Level, orthanc_id: str, label: str) -> None:
        """Remove a label; it is no error if there is none."""
        self.delete(f"{uri(level, orthanc_id)}/labels/{quote(label, safe='')}")

    def read_attachment(self, level: Level, orthanc_id: str, number: int) -> bytes:
        """Read an attached file."""
        return self.get(f"{uri(level, orthanc_id)}/attachments/{number}/data")

    def attach(self, level: Level, orthanc_id: str, number: int, content: bytes) -> None:
        """Attach a file under a user's content type."""
        self.put(f"{uri(level, orthanc_id)}/attachments/{number}", content)

    def detach(self, level: Level, orthanc_id: str, number: int) -> None:
        """Delete an attached file."""
        self.delete(f"{uri(level, orthanc_id)}/attachments/{number}")

    # The server

    def configuration(self) -> dict[str, Json]:
        """Read the configuration of Orthanc, merged from all its files, without comments."""
        configuration: dict[str, Json] = json.loads(self._sdk.GetConfiguration())
        return configuration

    def configuration_directory(self) -> Path:
        """Return the directory that relative paths in the configuration start from."""
        path = Path(self._sdk.GetConfigurationPath())
        return path if path.is_dir() else path.parent

    def system(self) -> dict[str, Json]:
        """Read ``/system``."""
        system: dict[str, Json] = self.get_json("/system")
        return system

    def plugins(self) -> dict[str, str]:
        """Return the versions of the plugins that are loaded, by their names."""
        names = [name for name in self.get_json("/plugins") if name != "explorer.js"]
        return {name: str(self.get_json(f"/plugins/{name}")["Version"]) for name in names}

    def main_dicom_tags(self, level: Level) -> dict[str, AnyTag]:
        """Return the tags that the index has of a level, by keyword."""
        return self._main_dicom_tags.get(level, {})

    @cached_property
    def _main_dicom_tags(self) -> dict[str, dict[str, AnyTag]]:
        listed = self.system().get("MainDicomTags", {})
        return {
            level: {tag_text(tag): tag for tag in map(parse_tag, text.split(";"))}
            for level, text in listed.items()
        }

    def changes(self, since: int, limit: int, types: Iterable[str] = ()) -> dict[str, Json]:
        """Read a page of the change log (``Changes``, ``Done``, ``Last``, mostly ``First``).

        Parameters
        ----------
        types : iterable of str
            Only these, where the database can select (``has_extended_changes``); all by default.
        """
        selected = ";".join(sorted(types))  # as it is: 1.12.7 does not decode it
        query = f"since={since}&limit={limit}" + (f"&type={selected}" if selected else "")
        page: dict[str, Json] = self.get_json(f"/changes?{query}")
        return page

    @cached_property
    def has_extended_changes(self) -> bool:
        """Whether the database can select changes by their types."""
        return bool(self.system().get("Capabilities", {}).get("HasExtendedChanges", False))

    def user_metadata(self, resource: Resource) -> dict[str, str]:
        """Select the metadata that belong to users, not to the core."""
        return {
            name: value
            for name, value in resource.metadata.items()
            if name in self._user_metadata_names
            or (name.isdigit() and int(name) >= FIRST_USER_NUMBER)
        }

    def user_attachments(self, resource: Resource) -> list[int]:
        """Select the attachments that belong to users, by number."""
        return [
            file.number
            for file in resource.attachments
            if file.number >= FIRST_USER_NUMBER and file.number not in CACHES
        ]

    @cached_property
    def _user_metadata_names(self) -> frozenset[str]:
        return frozenset(self.system().get("UserMetadata", {}))

    def error_description(self, code: int) -> str:
        """Return the core's text for an error code."""
        return self._sdk.GetErrorDescription(code)

    def set_metric(self, name: str, value: int) -> None:
        """Publish a number in ``/tools/metrics-prometheus``."""
        if hasattr(self._sdk, "SetMetricsIntegerValue"):
            self._sdk.SetMetricsIntegerValue(name, value, self._sdk.MetricsType.DEFAULT)
        else:
            self._sdk.SetMetricsValue(name, float(value), self._sdk.MetricsType.DEFAULT)

    def audit(
        self, user: str, level: Level, orthanc_id: str, action: str, details: dict[str, Json]
    ) -> None:
        """Write one line about a change: to the log, and to an audit-log plugin if there is one."""
        text = json.dumps(details, sort_keys=True)
        logger.info("%s by %s: %s %s %s", action, user or "-", level, orthanc_id, text)
        if hasattr(self._sdk, "EmitAuditLog"):
            number = getattr(self._sdk.ResourceType, level.name)
            self._call(
                self._sdk.EmitAuditLog, "curator", user, number, orthanc_id, action, text.encode()
            )

    def name_thread(self, name: str) -> None:
        """Show a name for the current thread in Orthanc's log."""
        self._sdk.SetCurrentThreadName(name)

    def _call(self, function: Callable[..., T], *arguments: object) -> T:
        with _translated(self._sdk):
            return function(*arguments)


def uri(level: Level, orthanc_id: str) -> str:
    """Return the URI of a resource."""
    return f"/{level.collection}/{quote(orthanc_id, safe='')}"


@contextmanager
def _translated(sdk: Sdk) -> Iterator[None]:
    """Turn what the SDK raises into ``CuratorError``.

    Some wrappers of the SDK are written by hand and raise ``TypeError`` or ``ValueError`` where
    the generated ones raise ``OrthancException(code, text)``.
    """
    try:
        yield
    except CuratorError:
        raise
    except sdk.OrthancException as error:
        raise _core_error(error) from None
    except (TypeError, ValueError) as error:
        code = ErrorCode.BAD_PARAMETER_TYPE
        raise CoreError(code, sdk.GetErrorDescription(code), str(error)) from None


def _core_error(error: Exception) -> CoreError:
    match error.args:
        case (int(code), str(text), *_):
            return CoreError(code, text)
        case _:
            return CoreError(ErrorCode.INTERNAL_ERROR, str(error))


def _parent(item: Json) -> str:
    for key in ("ParentSeries", "ParentStudy", "ParentPatient"):
        if key in item:
            return str(item[key])
    return ""


def _below(ancestor: Resource | None) -> dict[str, Json]:
    """Return what restricts a search to a resource."""
    return {f"Parent{ancestor.level}": ancestor.orthanc_id} if ancestor else {}


def _resource(level: Level, item: Json) -> Resource:
    return Resource(
        level=level,
        orthanc_id=item["ID"],
        parent=_parent(item),
        tags=item.get(Content.MAIN_DICOM_TAGS, {}),
        metadata=item.get(Content.METADATA, {}),
        labels=tuple(item.get(Content.LABELS, ())),
        attachments=tuple(
            Attachment(file["ContentType"], file["Uuid"], file.get("UncompressedMD5", ""))
            for file in item.get(Content.ATTACHMENTS, ())
        ),
    )
