"""The Book's page "Anonymization and modification", what stores: modified resources.

Each row is a sentence or an example of ``anonymization.rst``, or an option of the REST API that
goes with it. A stock server and one with Curator answer the same, and have the same stored
afterwards: elements, ``ModifiedFrom``, labels, and which instance belongs and refers to which.
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

LEVELS = ("series", "study", "patient")

FORCED = {"Replace": {"PatientID": "Hello", "PatientName": "Sample patient name"}, "Force": True}
EXAMPLE = {"Replace": {"InstitutionName": "My own clinic"}}

KEEP_ALL = {"Keep": list(IDENTIFIERS[1:]), "Force": True}


@pytest.fixture
def book(pair) -> Pair:
    """Both servers with the patient of the examples."""
    book: Pair = pair
    upload_patient(book)
    label_patient(book)
    return book


def modify(level: str) -> str:
    return f"/{COLLECTIONS[level]}/{{{level}}}/modify"


OPTIONS: dict[str, dict[str, Any]] = {
    "example": {},
    "KeepSource": {"KeepSource": True},
    "KeepSource false": {"KeepSource": False},
    "KeepLabels": {"KeepLabels": True},
    "KeepLabels and KeepSource false": {"KeepLabels": True, "KeepSource": False},
    "Permissive": {"Permissive": True},
    "Transcode": {"Transcode": "1.2.840.10008.1.2.4.70"},
    "RemovePrivateTags": {"RemovePrivateTags": True, "Remove": ["StationName"]},
    "paths": {
        "Replace": {"ReferencedImageSequence[*].PatientName": "X"},
        "Remove": ["RequestAttributesSequence[1].ScheduledProtocolCodeSequence[*].CodeMeaning"],
    },
    "Asynchronous": {"Asynchronous": True, "Priority": 5, "UserData": {"a": [1]}},
    "Synchronous false": {"Synchronous": False},
}


AT_EVERY_LEVEL = ("example", "KeepSource false", "KeepLabels")


@pytest.mark.parametrize(
    ("level", "option"),
    [(level, one) for level in LEVELS for one in (OPTIONS if level == "study" else AT_EVERY_LEVEL)],
)
def test_modified_resource_is_stored_the_same(book, level, option):
    options = OPTIONS[option]
    example = FORCED if level == "patient" else EXAMPLE
    before = stored(book)
    answer = book.run(modify(level), {**example, **options})
    assert answer.get("Content", answer)["IsAnonymization"] is False
    book.compare_stored()
    assert (before <= stored(book)) is options.get("KeepSource", True)


def stored(pair: Pair) -> set[str]:
    return set(pair.curator.server.http.json("/instances"))


def test_identifiers_of_resources_are_refused_without_force(book):
    for level in LEVELS:
        for name in IDENTIFIERS:
            for change in ({"Replace": {name: "1.2.3"}}, {"Keep": [name]}, {"Remove": [name]}):
                assert ask(book, modify(level), change) == 400
            assert ask(book, modify(level), {"Remove": [name], "Force": True}) == 400
    book.compare_stored()


@pytest.mark.parametrize(
    ("level", "field"),
    [("series", "Replace"), ("study", "Replace"), ("patient", "Replace"), ("study", "Keep")],
)
def test_identifiers_of_resources_change_by_force(pair, level, field):
    """Those above and below the level, too, which earlier releases of Orthanc have refused."""
    path = f"/{COLLECTIONS[level]}/{{other {level}}}/modify"
    for name in IDENTIFIERS:
        upload_stranger(pair)
        value = {name: "1.2.3"} if field == "Replace" else [name]
        assert ask(pair, path, {field: value, "Force": True}) == 200
        pair.compare_stored()
        for party in pair:
            party.server.clear()


def ask(pair: Pair, path: str, body: Any) -> int:
    return pair.ask("POST", path, json=body)[0].status_code


OTHER = {
    "PatientID": "OTHER",
    "PatientName": "OTHER^PATIENT",
    "PatientBirthDate": "19600203",
    "PatientSex": "O",
}

PATIENTS_OF_A_STUDY: dict[str, tuple[str, dict[str, Any], int]] = {
    "of its only study": ("{other study}", {"PatientName": "NEW"}, 200),
    "of its only study, with its ID": ("{other study}", {**OTHER, "PatientID": "NEW"}, 200),
    "to an existing patient": ("{study}", OTHER, 200),
    "to an existing patient with another name": ("{study}", {**OTHER, "PatientName": "X"}, 400),
    "to an existing patient without her tags": ("{study}", {"PatientID": "OTHER"}, 400),
    "to a new patient": ("{study}", {"PatientID": "NEW", "PatientName": "NEW"}, 200),
    "of one study of two": ("{study}", {"PatientName": "NEW"}, 400),
}


@pytest.mark.parametrize("row", PATIENTS_OF_A_STUDY.values(), ids=PATIENTS_OF_A_STUDY)
def test_patient_of_a_study_changes_as_a_whole(book, row):
    study, replace, status = row
    upload_stranger(book)
    body = {"Replace": replace, "Force": True, "KeepSource": False}
    assert ask(book, f"/studies/{study}/modify", body) == status
    book.compare_stored()


REFUSED: dict[str, tuple[str, Any]] = {
    "study in place without OverwriteInstances": ("/studies/{study}", KEEP_ALL),
    "study in place without its source": ("/studies/{study}", {**KEEP_ALL, "KeepSource": False}),
    "cast that fails": ("/studies/{study}", {"Replace": {"Rows": "many"}}),
    "unknown tag": ("/series/{series}", {"Replace": {"NoSuchTag": "x"}}),
    "unknown transfer syntax": ("/series/{series}", {"Transcode": "1.2.3"}),
    "KeepSource of a text": ("/series/{series}", {"KeepSource": "no"}),
    "Priority of a text": ("/series/{series}", {"Priority": "high"}),
    "Asynchronous of a text": ("/series/{series}", {"Asynchronous": "yes"}),
    "list": ("/patients/{patient}", ["Replace"]),
    "unknown series": ("/series/unknown", EXAMPLE),
    "unknown study": ("/studies/unknown", EXAMPLE),
    "unknown patient": ("/patients/unknown", FORCED),
    "study that is a series": ("/studies/{series}", EXAMPLE),
    "bulk without resources": ("/tools/bulk", EXAMPLE),
    "bulk of a text": ("/tools/bulk", {**EXAMPLE, "Resources": "{study}"}),
    "bulk of what is unknown": ("/tools/bulk", {**EXAMPLE, "Resources": ["{study}", "unknown"]}),
    "bulk at no level": ("/tools/bulk", {**EXAMPLE, "Resources": ["{study}"], "Level": "Frame"}),
    "bulk of an identifier": (
        "/tools/bulk",
        {"Replace": {"PatientID": "x"}, "Resources": ["{study}"]},
    ),
}


def test_modification_of_a_resource_is_refused_the_same(book):
    for name, (resource, body) in REFUSED.items():
        path = "/tools/bulk-modify" if resource == "/tools/bulk" else f"{resource}/modify"
        status = ask(book, path, body)
        assert (name, status >= 400) == (name, name != "study that is a series"), status
    book.compare_stored()


UNRELATED = ["{instance}", "{mr series}", "{later study}", "{other patient}"]

BULK: dict[str, tuple[list[str], dict[str, Any]]] = {
    "example": (UNRELATED, {"Replace": {"SeriesDescription": "HELLO"}}),
    "options": (
        UNRELATED,
        {"Transcode": "1.2.840.10008.1.2", "KeepLabels": True, "KeepSource": False},
    ),
    "Asynchronous": (UNRELATED, {"Remove": ["StudyID"], "Asynchronous": True}),
    "PatientID": (["{study}"], {"Replace": {"PatientID": "X"}, "Force": True}),
    "StudyInstanceUID": (
        ["{series}", "{mr instance}"],
        {"Replace": {"StudyInstanceUID": "1.2.3"}, "Force": True},
    ),
    "SeriesInstanceUID": (["{series}"], {"Replace": {"SeriesInstanceUID": "1.2.3"}, "Force": True}),
    "Level Patient": (["{other patient}"], {**FORCED, "Level": "Patient"}),
    "Level Study": (["{later study}", "{other study}"], {**EXAMPLE, "Level": "Study"}),
    "Level Series": (["{series}", "{other series}"], {**EXAMPLE, "Level": "Series"}),
    "Level Instance": (["{instance}", "{mr instance}"], {**EXAMPLE, "Level": "Instance"}),
    "Level above the resource": (["{instance}"], {**EXAMPLE, "Level": "Study"}),
    "no resource": ([], EXAMPLE),
}


@pytest.mark.parametrize("row", BULK.values(), ids=BULK)
def test_modification_in_bulk_is_stored_the_same(book, row):
    resources, body = row
    upload_stranger(book)
    before = stored(book)
    answer = book.run("/tools/bulk-modify", {**body, "Resources": resources})
    assert answer.get("Content", answer)["IsAnonymization"] is False
    book.compare_stored()
    assert (before < stored(book)) is (resources != [] and body.get("KeepSource", True))


def test_altered_instance_is_stored_in_the_place_of_the_first(book):
    """What the Book advises against: Keep and Force, then DELETE and POST."""
    body = {"Replace": {"PatientName": "Hello"}, "Keep": ["SOPInstanceUID"], "Force": True}
    altered = book.succeed("POST", "/instances/{instance}/modify", json=body).content
    upload = {"data": altered, "literal": True}
    assert book.succeed("POST", "/instances", **upload).json()["Status"] == "AlreadyStored"
    book.succeed("DELETE", "/instances/{instance}")
    assert book.succeed("POST", "/instances", **upload).json()["Status"] == "Success"
    book.compare_stored()
    tags = book.succeed("GET", "/instances/{instance}/simplified-tags").json()
    assert tags["PatientName"] == "Hello"
