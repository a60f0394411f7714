"""What tests of merges have in common: instances to merge, requests, and where they came to be."""

import zlib
from collections.abc import Iterable
from typing import Any

from pydicom import Dataset

from factory import ct_series
from integration.model import Content, content
from integration.servers import RunningServer
from invariants import identity

SIZE = 8

OTHER_PERSON: dict[str, Any] = {
    "PatientID": "OTHER",
    "PatientName": "OTHER^PERSON",
    "PatientBirthDate": "19711231",
    "PatientSex": "F",
}


def images(study: str, series: str = "CT", count: int = 2, **elements: Any) -> list[bytes]:
    """Return a CT series with pixels that no other has, by which the checks know them again."""
    first = zlib.crc32(f"{study} {series}".encode())
    elements = {"seed": lambda index: first + index, **elements}
    return ct_series(count, size=SIZE, study=study, series=series, **elements)


def merge(server: RunningServer, resource: str, **body: Any) -> dict[str, Any]:
    """Merge into ``studies/…``, ``series/…`` or ``patients/…``, which has to be a success."""
    answer = server.http.post(f"/{resource}/merge", body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def refusal(server: RunningServer, path: str, status: int, **body: Any) -> dict[str, Any]:
    """Return the core's error body of a request that changes nothing."""
    before = content(server)
    answer = server.http.post(path, body)
    assert answer.status_code == status, answer.text
    assert answer.json()["HttpStatus"] == status
    assert content(server) == before, "a refused request changes nothing"
    return dict(answer.json())


def instances_of(answer: dict[str, Any]) -> dict[str, str]:
    """Return the new Orthanc identifiers of instances by the old ones, as a dry run tells them."""
    return {
        instance["Source"]: instance["ID"]
        for group in answer["Groups"]
        for series in group["Series"]
        for instance in series["Instances"]
    }


def shown(stored: Content) -> dict[str, Dataset]:
    """Return datasets by what they show, which stays the same wherever they are moved."""
    return {identity(dataset): dataset for dataset in stored.datasets.values()}


def values(datasets: Iterable[Dataset], keyword: str) -> set[str]:
    """Return the values of an element, as text."""
    return {str(dataset.get(keyword, "")) for dataset in datasets}
