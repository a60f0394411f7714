"""The Book's sections "Split/merge of DICOM studies" and, for many resources, "Deleting resources".

Each row is a sentence or an example of ``anonymization.rst`` and ``rest.rst``. A stock server and
one with Curator answer the same, and have the same stored afterwards.
"""

from typing import Any

import pytest

from integration.book import label_patient, upload_patient, upload_stranger
from integration.pair import Pair
from integration.stored import SENDER


@pytest.fixture
def book(pair) -> Pair:
    """Both servers with the patient of the examples, and with another one."""
    book: Pair = pair
    upload_stranger(book)
    upload_patient(book)
    label_patient(book)
    return book


def stored(pair: Pair) -> set[str]:
    return set(pair.curator.server.http.json("/instances"))


SPLITS: dict[str, dict[str, Any]] = {
    "example": {
        "Series": ["{series}"],
        "Replace": {"PatientName": "HELLO"},
        "Remove": ["AccessionNumber"],
    },
    "several series": {"Series": ["{series}", "{mr series}"]},
    "Instances": {"Instances": ["{instance}"]},
    "both": {"Series": ["{mr series}"], "Instances": ["{instance}"]},
    "Replace in both modules": {
        "Series": ["{series}"],
        "Replace": {"PatientID": "HELLO", "0010-0040": "M", "StudyDescription": "split"},
    },
    "Remove in both modules": {
        "Series": ["{series}"],
        "Remove": ["PatientBirthDate", "0008,0090", "StudyDescription"],
    },
    "KeepSource": {"Series": ["{series}"], "KeepSource": True},
    "KeepLabels": {"Series": ["{series}"], "KeepLabels": True},
    "Asynchronous": {"Series": ["{series}"], "Asynchronous": True, "Priority": 5},
}


@pytest.mark.parametrize("body", SPLITS.values(), ids=SPLITS)
def test_split_study_is_stored_the_same(book, body):
    before = stored(book)
    answer = book.run("/studies/{study}/split", body)
    assert answer.get("Content", answer)["FailedInstancesCount"] == 0
    book.compare_stored(leave_out=SENDER)
    after = stored(book)
    assert after - before
    assert (before < after) is body.get("KeepSource", False)


MERGES: dict[str, dict[str, Any]] = {
    "example": {"Resources": ["{later series}"]},
    "study": {"Resources": ["{later study}"]},
    "study of another patient": {"Resources": ["{other study}"]},
    "series of another patient": {"Resources": ["{other series}"]},
    "instance": {"Resources": ["{other instance}"]},
    "several": {"Resources": ["{later study}", "{other series}"]},
    "KeepSource": {"Resources": ["{later study}"], "KeepSource": True},
    "Asynchronous": {"Resources": ["{other study}"], "Asynchronous": True, "UserData": 5},
}


@pytest.mark.parametrize("body", MERGES.values(), ids=MERGES)
def test_merged_study_is_stored_the_same(book, body):
    before = stored(book)
    answer = book.run("/studies/{study}/merge", body)
    assert answer.get("Content", answer)["FailedInstancesCount"] == 0
    book.compare_stored(leave_out=SENDER)
    after = stored(book)
    assert after - before
    assert (before < after) is body.get("KeepSource", False)


REFUSED: dict[str, tuple[str, Any]] = {
    "split without a selection": ("/studies/{study}/split", {"Replace": {"PatientName": "X"}}),
    "split of a series of another study": (
        "/studies/{study}/split",
        {"Series": ["{later series}"]},
    ),
    "split of an instance of another study": (
        "/studies/{study}/split",
        {"Instances": ["{later instance}"]},
    ),
    "split with a tag of the series": (
        "/studies/{study}/split",
        {"Series": ["{series}"], "Replace": {"SeriesDescription": "X"}},
    ),
    "split without a tag of the series": (
        "/studies/{study}/split",
        {"Series": ["{series}"], "Remove": ["SeriesDescription"]},
    ),
    "split of an unknown study": ("/studies/unknown/split", {"Series": ["{series}"]}),
    "merge without resources": ("/studies/{study}/merge", {"KeepSource": True}),
    "merge into itself": ("/studies/{study}/merge", {"Resources": ["{study}"]}),
    "merge of its own series": ("/studies/{study}/merge", {"Resources": ["{series}"]}),
    "merge of a patient": ("/studies/{study}/merge", {"Resources": ["{other patient}"]}),
    "merge of what is unknown": ("/studies/{study}/merge", {"Resources": ["unknown"]}),
    "merge into what is unknown": ("/studies/unknown/merge", {"Resources": ["{study}"]}),
    "bulk-delete of what is no list": ("/tools/bulk-delete", {"Resources": "{study}"}),
    "bulk-delete of nothing named": ("/tools/bulk-delete", {}),
}


def test_split_merge_and_bulk_delete_are_refused_the_same(book):
    before = stored(book)
    for name, (path, body) in REFUSED.items():
        assert book.ask("POST", path, json=body)[0].status_code >= 400, name
    book.compare_stored()
    assert stored(book) == before


DELETIONS: dict[str, tuple[list[str], int]] = {
    "an instance": (["{instance}"], 4),
    "of every kind": (["{instance}", "{mr series}", "{later study}", "{other patient}"], 1),
    "what holds another": (["{study}", "{series}"], 2),
    "the same twice": (["{series}", "{series}"], 3),
    "nothing": ([], 5),
    "what is unknown": (["{series}", "unknown"], 3),
}


@pytest.mark.parametrize("row", DELETIONS.values(), ids=DELETIONS)
def test_bulk_deletion_leaves_the_same(book, row):
    resources, left = row
    book.ask("POST", "/tools/bulk-delete", json={"Resources": resources})
    book.compare_stored()
    assert len(stored(book)) == left
