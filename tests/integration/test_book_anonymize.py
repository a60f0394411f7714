"""The Book's page "Anonymization and modification", what stores: anonymized resources.

Each row is a sentence or an example of ``anonymization.rst``, or an option of the REST API that
goes with it. A stock server and one with Curator answer the same, and have the same stored
afterwards: elements, ``AnonymizedFrom``, labels, and which instance belongs and refers to which.
"""

from typing import Any

import pytest

from integration.book import (
    COLLECTIONS,
    IDENTIFIERS,
    label_patient,
    upload_patient,
    upload_stranger,
)
from integration.pair import Pair
from integration.stored import SENDER


@pytest.fixture
def book(pair) -> Pair:
    """Both servers with the patient of the examples."""
    book: Pair = pair
    upload_patient(book)
    label_patient(book)
    return book


def anonymize(level: str) -> str:
    return f"/{COLLECTIONS[level]}/{{{level}}}/anonymize"


def stored(pair: Pair) -> set[str]:
    return set(pair.curator.server.http.json("/instances"))


ANONYMIZATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"{level} by example": (level, {}) for level in ("series", "study", "patient")},
    **{
        f"DicomVersion {version}": ("study", {"DicomVersion": version})
        for version in ("2008", "2021b")
    },
    "fields": (
        "study",
        {
            "Replace": {"PatientName": "Hello", "ProcedureCodeSequence[0].CodeMeaning": "X"},
            "Keep": ["StudyDescription", "ReferencedImageSequence[*].ReferencedSOPInstanceUID"],
            "Remove": ["Modality"],
            "KeepPrivateTags": True,
        },
    ),
    "Keep identifiers": ("study", {"Keep": ["PatientID", "SOPInstanceUID"], "Force": True}),
    "Replace an identifier": ("study", {"Replace": {"StudyInstanceUID": "1.2.3"}, "Force": True}),
    "KeepSource false": ("study", {"KeepSource": False}),
    "KeepSource false of a patient": ("patient", {"KeepSource": False}),
    "KeepLabels": ("patient", {"KeepLabels": True}),
    "Permissive": ("study", {"Permissive": True}),
    "Transcode": ("study", {"Transcode": "1.2.840.10008.1.2.4.70"}),
    "Asynchronous": ("patient", {"Asynchronous": True, "Priority": -5, "UserData": "mine"}),
}


@pytest.mark.parametrize("row", ANONYMIZATIONS.values(), ids=ANONYMIZATIONS)
def test_anonymized_resource_is_stored_the_same(book, row):
    level, body = row
    before = stored(book)
    answer = book.run(anonymize(level), body)
    assert answer.get("Content", answer)["IsAnonymization"] is True
    tree = book.compare_stored(leave_out=SENDER)
    assert (before <= stored(book)) is body.get("KeepSource", True)
    assert "AnonymizedFrom" in str(tree)


BULK: dict[str, dict[str, Any]] = {
    "example": {},
    "fields": {"DicomVersion": "2008", "Keep": ["SeriesDescription"], "KeepLabels": True},
    "KeepSource false": {"KeepSource": False},
    "Asynchronous": {"Asynchronous": True},
}


@pytest.mark.parametrize("body", BULK.values(), ids=BULK)
def test_anonymization_in_bulk_is_stored_the_same(book, body):
    """Of resources of every kind that share no parent; the answer names all that was made."""
    upload_stranger(book)
    resources = ["{instance}", "{mr series}", "{later study}", "{other patient}"]
    answer = book.run("/tools/bulk-anonymize", {**body, "Resources": resources})
    content = answer.get("Content", answer)
    kinds = [one["Type"] for one in content["Resources"]]
    assert (kinds.count("Instance"), kinds.count("Patient")) == (4, 2)
    book.compare_stored(leave_out=SENDER)


REFUSED: dict[str, tuple[str, Any]] = {
    "Keep without Force": ("/studies/{study}", {"Keep": ["SOPInstanceUID"]}),
    "cast that fails": ("/studies/{study}", {"Replace": {"Rows": "many"}}),
    "Remove of an identifier": ("/series/{series}", {"Remove": ["PatientID"], "Force": True}),
    "edition": ("/patients/{patient}", {"DicomVersion": "2022a"}),
    "unknown series": ("/series/unknown", {}),
    "unknown study": ("/studies/unknown", {}),
    "unknown patient": ("/patients/unknown", {}),
    "bulk without resources": ("/tools/bulk", {}),
    "bulk of what is unknown": ("/tools/bulk", {"Resources": ["{study}", "unknown"]}),
}


def test_anonymization_of_a_resource_is_refused_the_same(book):
    for name, (resource, body) in REFUSED.items():
        path = "/tools/bulk-anonymize" if resource == "/tools/bulk" else f"{resource}/anonymize"
        assert book.ask("POST", path, json=body)[0].status_code >= 400, name
    book.compare_stored()


def test_identifiers_of_resources_change_by_force_alone(book):
    path = anonymize("series")
    for name in IDENTIFIERS:
        for change in ({"Replace": {name: "1.2.3"}}, {"Keep": [name]}, {"Remove": [name]}):
            assert book.ask("POST", path, json=change)[0].status_code == 400
            status = book.ask("POST", path, json={**change, "Force": True})[0].status_code
            assert status == (400 if "Remove" in change else 200)
    book.compare_stored(leave_out=SENDER)


def test_copies_tell_that_a_plugin_has_asked_the_core_for_them(book):
    """The one difference: their origin is "Plugins", and neither address nor user are known."""
    book.succeed("POST", anonymize("series"), json={}, keep={"copy": "ID"})
    origins = []
    for party in book:
        series = party.server.http.json(party.fill("/series/{copy}"))
        metadata = party.server.http.json(f"/instances/{series['Instances'][0]}/metadata?expand")
        origins.append({name: metadata.get(name) for name in sorted(SENDER)})
    assert origins == [
        {"HttpUsername": "", "Origin": "RestApi", "RemoteIP": "127.0.0.1"},
        {"HttpUsername": None, "Origin": "Plugins", "RemoteIP": None},
    ]
