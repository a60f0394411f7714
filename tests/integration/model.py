"""What holds for every stored patient, whatever was done: checked after each reshape."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread

from integration.servers import OrthancServer, RunningServer


@dataclass(frozen=True)
class Content:
    """Everything that a server holds, as far as a reshape may not lose it.

    ``files`` maps Orthanc identifiers of instances to their bytes.
    """

    files: dict[str, bytes]

    @property
    def datasets(self) -> dict[str, Dataset]:
        return {orthanc_id: dcmread(BytesIO(file)) for orthanc_id, file in self.files.items()}

    @property
    def pixels(self) -> Counter[str]:
        """Digests of pixel data, with how often each occurs."""
        return Counter(
            hashlib.sha256(dataset.get("PixelData", b"")).hexdigest()
            for dataset in self.datasets.values()
        )


def content(server: RunningServer) -> Content:
    """Read all files of a server."""
    instances = server.http.json("/instances")
    return Content({one: server.http.get(f"/instances/{one}/file").content for one in instances})


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
