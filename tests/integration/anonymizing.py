"""Ask for anonymizations and look at what has come out of them."""

import re
from io import BytesIO
from typing import Any

import requests
from pydicom import Dataset, dcmread

from integration.servers import OrthancServer, RunningServer

SUBJECT: dict[str, Any] = {
    "PatientName": "Überlinger^Hannelore",
    "SpecificCharacterSet": "ISO_IR 100",
    "PatientID": "HOSP-4711-X",
    "PatientBirthDate": "19431107",
    "AccessionNumber": "ACCN-90210",
    "ReferringPhysicianName": "Zuweiser^Gotthold",
    "InstitutionName": "Klinikum Entenhausen",
    "PatientAddress": "Geheimweg 17",
}
"""Elements of an invented patient, by which nobody may be found in a result."""

TRACES = (
    b"berlinger",
    b"Hannelore",
    b"HOSP-4711-X",
    b"19431107",
    b"ACCN-90210",
    b"Zuweiser",
    b"Entenhausen",
    b"Geheimweg",
)
"""What would be left of it."""


def anonymize(server: RunningServer, resource: str, **body: Any) -> dict[str, Any]:
    """Anonymize ``studies/…`` (or another level), which has to be a success."""
    answer = ask(server, resource, **body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def ask(server: RunningServer, resource: str, **body: Any) -> requests.Response:
    """Anonymize ``studies/…`` and return the answer, whatever it is."""
    return server.http.post(f"/{resource}/anonymize", {"Profile": "basic", **body})


def files(server: RunningServer, resource: str) -> dict[str, bytes]:
    """Return the files below ``studies/…``, by the Orthanc identifiers of their instances."""
    found = server.http.json(f"/{resource}/instances")
    return {one["ID"]: server.http.get(f"/instances/{one['ID']}/file").content for one in found}


def datasets(server: RunningServer, resource: str) -> list[Dataset]:
    """Return the instances below ``studies/…``."""
    return [dcmread(BytesIO(file)) for file in files(server, resource).values()]


def traces(file: bytes) -> list[bytes]:
    """Return what is left of the invented patient in a file."""
    return [trace for trace in TRACES if trace in file]


def check_log(server: RunningServer, start: int = 0) -> None:
    """See that a log, from some place on, tells nothing of the invented patient, nor the key."""
    log = server.log[start:]
    found = [trace for trace in TRACES if trace.decode("ascii") in log]
    if isinstance(server, OrthancServer):
        key = server.storage / "curator.key"
        lines = key.read_text().splitlines() if key.is_file() else []
        found += [
            b"the key" for line in lines if re.fullmatch("[0-9a-f]{64,}", line) and line in log
        ]
    assert not found, f"the log of {server.url} holds {found}"
