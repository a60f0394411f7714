"""What holds for every stored patient, whatever was done: checked after each reshape."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.datadict import keyword_for_tag

from integration.servers import OrthancServer, RunningServer
from invariants import (
    Check,
    Stored,
    check_datasets,
    index_differences,
    missing_instances,
    pixel_digests,
)

LEVELS = ("Patient", "Study", "Series", "Instance")
PARENTS = dict(zip(LEVELS[1:], LEVELS, strict=False))

PLACES = {"Patient": "patients", "Study": "studies", "Series": "series", "Instance": "instances"}
"""Where the resources of each level are."""

PROVENANCE = ("ModifiedFrom", "AnonymizedFrom", "RemoteAET", "CalledAET")
"""Metadata of the core that tell where something came from."""

FIRST_OF_USERS = 1024
"""The least number of metadata and attachments that are the users' own."""

CACHES = (4301,)
"""Attachments that the DICOMweb plugin makes of stable series, and makes anew when they change."""


@dataclass(frozen=True)
class Content:
    """Everything that a server holds, as far as a reshape may not lose it.

    ``files`` maps Orthanc identifiers of instances to their bytes, ``resources`` those of resources
    of all levels to what the index has; a test that only asks for files has none of them.
    """

    files: Mapping[str, bytes]
    resources: Mapping[str, Stored] = field(default_factory=dict)

    @property
    def datasets(self) -> dict[str, Dataset]:
        return {orthanc_id: dcmread(BytesIO(file)) for orthanc_id, file in self.files.items()}

    @property
    def pixels(self) -> Counter[str]:
        """Digests of pixel data, with how often each occurs."""
        return pixel_digests(self.datasets)


def content(server: RunningServer) -> Content:
    """Read all files of a server."""
    instances = server.http.json("/instances")
    return Content({one: _read(server, f"/instances/{one}/file") for one in instances})


def snapshot(server: RunningServer) -> Content:
    """Read all of a server: files, index, and what users hung on every resource."""
    stored = {
        one["ID"]: Stored(
            **_indexed(level, one),
            labels=frozenset(one["Labels"]),
            metadata=_metadata(server, level, one),
            attachments=_attachments(server, level, one),
        )
        for level in LEVELS
        for one in _find(server, level)
    }
    return Content(content(server).files, stored)


def differences(before: Content, after: Content) -> list[str]:
    """Return what differs between two snapshots, one line each; none if they are the same."""
    files = before.files.keys() & after.files.keys()
    resources = before.resources.keys() & after.resources.keys()
    return [
        *_gone_or_new(before.resources, after.resources),
        *(
            f"file {one} is another"
            for one in sorted(files)
            if before.files[one] != after.files[one]
        ),
        *(
            f"{before.resources[one].level} {one}: {difference}"
            for one in sorted(resources)
            for difference in _other_fields(before.resources[one], after.resources[one])
        ),
    ]


def _gone_or_new(before: Mapping[str, Stored], after: Mapping[str, Stored]) -> list[str]:
    gone, new = sorted(before.keys() - after.keys()), sorted(after.keys() - before.keys())
    return [f"{before[one].level} {one} is gone" for one in gone] + [
        f"{after[one].level} {one} is new" for one in new
    ]


def _other_fields(before: Stored, after: Stored) -> list[str]:
    return [
        f"{name} was {old!r:.200}, is {new!r:.200}"
        for (name, old), new in zip(vars(before).items(), vars(after).values(), strict=True)
        if old != new
    ]


def check_everything(
    server: RunningServer,
    before: Content | None = None,
    *,
    ignoring: Collection[Check] = (),
    made: Collection[str] = (),
    patient_study: bool = True,
) -> Content:
    """Check everything that holds after any reshape; what a check wants is said at `Check`.

    Parameters
    ----------
    before : Content, optional
        What the server held, as `content` or `snapshot` gave it; then nothing may be lost either.
    ignoring : collection of Check, optional
        What does not hold here, and why is said by the test.
    made : collection of str, optional
        UIDs of studies and series made by an operation, in which numbers are unique always.
    patient_study : bool, optional
        Whether the attributes of the Patient Study Module are the same in a study.

    Returns
    -------
    Content
        What the server holds now: files, and index without what users hung on it.
    """
    stored = {
        one["ID"]: Stored(**_indexed(level, one))
        for level in LEVELS
        for one in _find(server, level)
    }
    after = Content(content(server).files, stored)
    datasets = after.datasets
    found = check_datasets(
        datasets,
        before.datasets if before else None,
        made=made,
        patient_study=patient_study,
    )
    found[Check.STATUS] = missing_instances(stored)
    found[Check.INDEX] = index_differences(datasets, stored, _main_tags(server))
    failed = [
        f"{check.name}: {finding}"
        for check, findings in found.items()
        if check not in ignoring
        for finding in findings
    ]
    assert not failed, "\n".join(["not everything holds:", *failed])
    return after


def _find(server: RunningServer, level: str) -> list[dict[str, Any]]:
    wanted = ["MainDicomTags", "Metadata", "Labels", "Attachments", "Parent", "Status"]
    body = {"Level": level, "Query": {}, "ResponseContent": wanted}
    answer = server.http.post("/tools/find", body)
    assert answer.ok, answer.text
    return list(answer.json())


def _indexed(level: str, found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "level": level,
        "parent": found[f"Parent{PARENTS[level]}"] if level in PARENTS else None,
        "main_tags": found["MainDicomTags"],
        "status": found.get("Status"),
    }


def _metadata(
    server: RunningServer, level: str, found: Mapping[str, Any]
) -> dict[str, str | bytes]:
    """Return the metadata to compare; those of users as bytes, which may be no text."""
    registered = server.http.json("/system")["UserMetadata"]
    resource = f"/{PLACES[level]}/{found['ID']}"
    return {
        name: _read(server, f"{resource}/metadata/{name}") if name not in PROVENANCE else value
        for name, value in found["Metadata"].items()
        if name in PROVENANCE or name in registered or name.isdigit()
    }


def _attachments(server: RunningServer, level: str, found: Mapping[str, Any]) -> dict[str, bytes]:
    resource = f"/{PLACES[level]}/{found['ID']}"
    numbers = [one["ContentType"] for one in found["Attachments"]]
    return {
        str(number): _read(server, f"{resource}/attachments/{number}/data")
        for number in numbers
        if number >= FIRST_OF_USERS and number not in CACHES
    }


def _read(server: RunningServer, path: str) -> bytes:
    answer = server.http.get(path)
    assert answer.status_code == 200, f"GET {path}: {answer.status_code} {answer.text[:2000]}"
    return answer.content


def _main_tags(server: RunningServer) -> dict[str, list[str]]:
    """Return the keywords that the index holds, by level."""
    return {
        level: [
            keyword
            for tag in text.split(";")
            if (keyword := keyword_for_tag(int(tag.replace(",", ""), 16)))
        ]
        for level, text in server.http.json("/system")["MainDicomTags"].items()
    }


def check_model(server: RunningServer) -> None:
    """Check the DICOM model of the real world, and that Orthanc shows nothing as missing."""
    patients_of: dict[str, set[str]] = {}
    studies_of: dict[str, set[str]] = {}
    series_of: dict[str, set[str]] = {}
    for dataset in content(server).datasets.values():
        patients_of.setdefault(dataset.StudyInstanceUID, set()).add(dataset.PatientID)
        studies_of.setdefault(dataset.SeriesInstanceUID, set()).add(dataset.StudyInstanceUID)
        series_of.setdefault(dataset.SOPInstanceUID, set()).add(dataset.SeriesInstanceUID)
    for parents in (patients_of, studies_of, series_of):
        assert all(len(found) == 1 for found in parents.values())
    for series in server.http.json("/series?expand"):
        assert series["Status"] in ("Unknown", "Complete"), series["Status"]


def check_numbers(server: RunningServer, study: str) -> None:
    """Check that series numbers are unique in a study, and instance numbers in each series."""
    series = server.http.json(f"/studies/{study}/series?expand")
    numbers = [one["MainDicomTags"].get("SeriesNumber") for one in series]
    assert len(set(numbers)) == len(numbers), numbers
    for one in series:
        instances = server.http.json(f"/series/{one['ID']}/instances?expand")
        found = [instance["MainDicomTags"].get("InstanceNumber") for instance in instances]
        assert len(set(found)) == len(found), found


def upload(server: RunningServer, files: list[bytes]) -> str:
    """Upload instances of one study and return its Orthanc identifier."""
    studies = {server.upload(file)["ParentStudy"] for file in files}
    (study,) = studies
    return str(study)


def upload_all(server: RunningServer, files: list[bytes]) -> list[str]:
    """Upload instances of any studies; return the Orthanc identifiers of these, in their order."""
    return list(dict.fromkeys(server.upload(file)["ParentStudy"] for file in files))


def split(server: RunningServer, resource: str, **body: Any) -> dict[str, Any]:
    """Split ``studies/…`` or ``series/…`` and return the answer, which has to be a success."""
    answer = server.http.post(f"/{resource}/split", body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def series_of(server: RunningServer, study: str) -> dict[str, dict[str, Any]]:
    """Return the series of a study by their description."""
    found = server.http.json(f"/studies/{study}/series?expand")
    return {one["MainDicomTags"].get("SeriesDescription", ""): one for one in found}


def damage(server: OrthancServer, instance: str) -> bytes:
    """Cut off the end of a stored file behind Orthanc's back; return what it was."""
    path = stored_file(server, instance)
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    return whole


def stored_file(server: OrthancServer, instance: str) -> Path:
    """Return the file of an instance in Orthanc's storage."""
    file_uuid: str = server.http.json(f"/instances/{instance}")["FileUuid"]
    return server.storage / file_uuid[:2] / file_uuid[2:4] / file_uuid
