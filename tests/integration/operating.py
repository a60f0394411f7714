"""Ask for operations and take them back; tell whether a server is as it was."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import requests

from curator.reshape.carry import HISTORY
from factory import ct_series, mr_series
from integration.model import LEVELS, PLACES, Content, differences, snapshot
from integration.servers import RunningServer
from referring import make_key_objects, make_registration, make_report, make_segmentation

History = dict[str, dict[str, str]]
"""Metadata of the core that an undo brings back, by the Orthanc identifier of the resource."""

REVIEWER = "1030"
"""Metadata of users that `hang_on_everything` sets; a number, so it needs no configuration."""

ATTACHED = "1031"
"""Attachment of users that `hang_on_everything` makes."""


@dataclass(frozen=True)
class Everything:
    """All that a server holds, with what the core noted about it."""

    content: Content
    history: History


def everything(server: RunningServer) -> Everything:
    """Read all of a server."""
    return Everything(snapshot(server), _history(server))


def changes_between(before: Everything, after: Everything) -> list[str]:
    """Return what is not as it was, one line each."""
    known = before.history.keys() & after.history.keys()
    return [
        *differences(before.content, after.content),
        *(
            f"{one} has {after.history[one]}, had {before.history[one]}"
            for one in sorted(known)
            if before.history[one] != after.history[one]
        ),
    ]


def assert_as_before(server: RunningServer, before: Everything, when: str = "") -> None:
    """Check that a server is exactly as it was."""
    found = changes_between(before, everything(server))
    assert not found, "\n".join([f"not as before {when}:".replace(" :", ":"), *found])


def ask(server: RunningServer, path: str, **body: Any) -> requests.Response:
    """Ask for an operation: ``ask(server, "studies/…/merge", Resources=[…])``."""
    return server.http.post(f"/{path}", body)


def operate(server: RunningServer, path: str, **body: Any) -> dict[str, Any]:
    """Do an operation, which has to be a success; return its answer."""
    answer = ask(server, path, **body)
    assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:4000]}"
    return dict(answer.json())


def undo(server: RunningServer, operation: str, **body: Any) -> dict[str, Any]:
    """Take an operation back, which has to be a success; return the answer."""
    return operate(server, f"curator/operations/{operation}/undo", **body)


def refuse(server: RunningServer, path: str, status: int, reason: str, **body: Any) -> None:
    """Ask for what has to be refused, with a reason that says `reason`, and see nothing change."""
    before = everything(server)
    answer = ask(server, path, **body)
    assert answer.status_code == status, f"{answer.status_code} {answer.text[:4000]}"
    assert reason in answer.json()["Details"]
    assert_as_before(server, before, f"after the refused {path}")


def hang_on_everything(server: RunningServer) -> None:
    """Give every resource a label, metadata and an attachment of its own."""
    for level in PLACES.values():
        for one in server.http.json(f"/{level}"):
            for path, content in (
                (f"labels/{level}-{one[:8]}", b""),
                (f"metadata/{REVIEWER}", f"seen {one}".encode()),
                (f"attachments/{ATTACHED}", b"\x00" + one.encode()),
            ):
                answer = server.http.put(f"/{level}/{one}/{path}", data=content)
                assert answer.ok, answer.text


def studies_by_description(server: RunningServer) -> dict[str, str]:
    """Return the Orthanc identifiers of all studies by Study Description."""
    found = server.http.json("/studies?expand")
    return {one["MainDicomTags"]["StudyDescription"]: one["ID"] for one in found}


def series_by_description(server: RunningServer, study: str) -> dict[str, str]:
    """Return the Orthanc identifiers of the series of a study by Series Description."""
    found = server.http.json(f"/studies/{study}/series?expand")
    return {one["MainDicomTags"]["SeriesDescription"]: one["ID"] for one in found}


def patient_of(server: RunningServer, study: str) -> str:
    """Return the Orthanc identifier of the patient of a study."""
    return str(server.http.json(f"/studies/{study}")["ParentPatient"])


def study_elements(name: str, patient_id: str = "P1", **elements: Any) -> dict[str, Any]:
    """Return what the instances of a study have in common; its description is its name."""
    return {
        "PatientID": patient_id,
        "StudyDescription": name,
        "AccessionNumber": f"ACC-{name}",
        "StudyID": name,
        "Rows": 8,
        "Columns": 8,
        **elements,
    }


@cache
def household() -> tuple[bytes, ...]:
    """Return three studies that refer to each other.

    ``main`` and ``more`` are of patient P1, ``other`` is of patient P2. Each has a series ``CT``,
    ``main`` an ``MR`` of two echoes as well; ``main`` has a segmentation and a report of its own, a
    key object selection and a registration of images of both studies.
    """
    main, more = study_elements("main"), study_elements("more", StudyDate="20240203")
    other = study_elements("other", "P2", StudyDate="20240304")
    ct = ct_series(3, study="main", **main)
    mr = mr_series(2, study="main", SeriesNumber=2, echo_times=(10.0, 80.0), **main)
    further = ct_series(2, study="more", **more, seed=50)
    third = ct_series(2, study="other", **other, seed=60)
    return (
        *ct,
        *mr,
        *further,
        *third,
        make_segmentation(ct),
        make_report([*ct, *mr]),
        make_key_objects([*ct[:1], *further]),
        make_registration([ct[0], further[0]], label="REGISTRATION"),
        make_report(third, label="REPORT OF OTHER"),
    )


def _history(server: RunningServer) -> History:
    found: History = {}
    for level in LEVELS:
        body = {"Level": level, "Query": {}, "ResponseContent": ["Metadata"]}
        for one in server.http.post("/tools/find", body).json():
            found[one["ID"]] = {
                name: value for name, value in one["Metadata"].items() if name in HISTORY
            }
    return found
