"""Anonymization by profile on a real Orthanc: every level, in bulk, and what it must not lose."""

import io
import threading
from collections.abc import Callable
from typing import Any

import pytest
import requests
from pydicom import dcmread

from factory import ct_series, make_study, mr_series
from integration.anonymizing import SUBJECT, anonymize, ask, datasets, files, traces
from integration.model import (
    check_model,
    content,
    damage,
    snapshot,
    stored_file,
    upload,
    upload_all,
)
from integration.servers import OrthancServer, RunningServer
from integration.waiting import wait_for_job
from referring import make_key_objects, make_report, make_segmentation

ServerFactory = Callable[..., OrthancServer]

LEVELS = {"patients": "Patient", "studies": "Study", "series": "Series"}


def subject_files() -> list[bytes]:
    ct = ct_series(3, **SUBJECT, PatientComments="Überlinger, Hannelore was here")
    return make_study([ct, mr_series(2, **SUBJECT)])


@pytest.fixture
def study(server: RunningServer) -> str:
    """A study of the invented patient."""
    return upload(server, subject_files())


def paths(server: RunningServer, study: str) -> dict[str, str]:
    """Return the study, its patient and one of its series, by the place of their level."""
    found = server.http.json(f"/studies/{study}")
    return {
        "patients": found["ParentPatient"],
        "studies": study,
        "series": min(found["Series"]),
    }


@pytest.mark.parametrize("place", LEVELS)
def test_every_level_becomes_a_copy_without_the_patient(
    server: RunningServer, study: str, place: str
) -> None:
    before = snapshot(server)
    source = paths(server, study)[place]
    count = server.http.json(f"/{place}/{source}/statistics").get("CountInstances")

    result = anonymize(server, f"{place}/{source}")

    assert result["Type"] == LEVELS[place]
    assert result["Path"] == f"/{place}/{result['ID']}"
    assert result["InstancesCount"] == count
    assert result["FailedInstancesCount"] == 0
    assert (result["Profile"], result["IsAnonymization"]) == ("basic", True)
    made = files(server, f"{place}/{result['ID']}")
    assert len(made) == count
    assert [trace for file in made.values() for trace in traces(file)] == []
    for dataset in datasets(server, f"{place}/{result['ID']}"):
        assert dataset.PatientIdentityRemoved == "YES"
    assert before.files.items() <= content(server).files.items()
    check_model(server)


def test_every_new_resource_says_what_it_was_made_from(server: RunningServer, study: str) -> None:
    old = set(snapshot(server).resources)
    anonymize(server, f"studies/{study}")
    stored = snapshot(server).resources
    new = [one for orthanc_id, one in stored.items() if orthanc_id not in old]
    assert {one.metadata["AnonymizedFrom"] for one in new} == old
    for one in new:
        assert stored[str(one.metadata["AnonymizedFrom"])].level == one.level


@pytest.mark.parametrize("keep", [True, False])
def test_labels_go_along_only_where_asked_for(
    server: RunningServer, study: str, keep: bool
) -> None:
    for level, found in snapshot(server).resources.items():
        place = {"Study": "studies"}.get(found.level, f"{found.level.lower()}s".replace("ss", "s"))
        assert server.http.put(f"/{place}/{level}/labels/of-{found.level.lower()}", data=b"").ok
    old = set(snapshot(server).resources)
    anonymize(server, f"studies/{study}", KeepLabels=keep)
    for orthanc_id, stored in snapshot(server).resources.items():
        if orthanc_id not in old:
            assert stored.labels == ({f"of-{stored.level.lower()}"} if keep else frozenset())


def test_bulk_takes_each_instance_once(server: RunningServer, study: str) -> None:
    other = upload(server, ct_series(2, study="other", PatientID="OTHER"))
    found = paths(server, study)
    resources = [study, found["series"], other, found["patients"], study]
    body = {"Profile": "basic", "Resources": resources}
    result = server.http.post("/tools/bulk-anonymize", body).json()
    assert result["InstancesCount"] == 7
    kinds = [one["Type"] for one in result["Resources"]]
    counts = {kind: kinds.count(kind) for kind in kinds}
    assert counts == {"Instance": 7, "Series": 3, "Study": 2, "Patient": 2}
    for one in result["Resources"]:
        assert server.http.get(one["Path"]).ok
    check_model(server)


def test_an_instance_is_answered_and_not_stored(server: RunningServer, study: str) -> None:
    before = snapshot(server)
    instance = server.http.json(f"/studies/{study}/instances")[0]["ID"]
    answer = ask(server, f"instances/{instance}")
    assert answer.headers["Content-Type"] == "application/dicom"
    assert traces(answer.content) == []
    assert dcmread(io.BytesIO(answer.content)).PatientIdentityRemoved == "YES"
    assert snapshot(server) == before
    # The same as the route for a series makes of it.
    result = anonymize(server, f"studies/{study}")
    assert answer.content in files(server, f"studies/{result['ID']}").values()


def test_sources_go_only_where_asked_for(server: RunningServer, study: str) -> None:
    other = upload(server, ct_series(2, study="other", PatientID="OTHER"))
    kept = files(server, f"studies/{other}")
    result = anonymize(server, f"studies/{study}", KeepSource=False)
    assert server.http.get(f"/studies/{study}").status_code == 404
    after = content(server).files
    assert len(after) == 7
    assert kept.items() <= after.items()
    assert len(files(server, f"studies/{result['ID']}")) == 5


def test_a_second_run_changes_nothing(server: RunningServer, study: str) -> None:
    first = anonymize(server, f"studies/{study}")
    uuids = {one["ID"]: one["FileUuid"] for one in server.http.json("/instances?expand")}
    again = anonymize(server, f"studies/{study}")
    assert again == first
    assert uuids == {one["ID"]: one["FileUuid"] for one in server.http.json("/instances?expand")}


def test_another_content_under_the_same_identifier_is_409(
    server: RunningServer, study: str
) -> None:
    result = anonymize(server, f"studies/{study}")
    before = snapshot(server)
    kept = {"Remove": ["SliceThickness"]}
    answer = ask(server, f"studies/{study}", **kept)
    assert answer.status_code == 409
    assert "delete it first" in answer.json()["Details"]
    assert snapshot(server) == before
    assert server.http.delete(f"/studies/{result['ID']}").ok
    assert anonymize(server, f"studies/{study}", **kept)["ID"] == result["ID"]


def test_identifiers_that_are_all_kept_are_409(server: RunningServer, study: str) -> None:
    before = snapshot(server)
    identifiers = ["PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
    for keep_source in (True, False):
        body: dict[str, Any] = {"Keep": identifiers, "Force": True, "KeepSource": keep_source}
        answer = ask(server, f"studies/{study}", **body)
        assert answer.status_code == 409, answer.text
        assert snapshot(server) == before


def test_references_resolve_over_separate_runs(server: RunningServer) -> None:
    """The images first; months later what refers to them."""
    images = ct_series(3, **SUBJECT)
    upload(server, images)
    study = server.http.json("/studies")[0]
    first = anonymize(server, f"studies/{study}")
    referring = [make_segmentation(images), make_report(images), make_key_objects(images)]
    new = {server.upload(file)["ParentSeries"] for file in referring}
    assert len(new) == 3
    known = {one.SOPInstanceUID for one in datasets(server, f"studies/{first['ID']}")}
    assert len(known) == 3
    for series in new:
        made = anonymize(server, f"series/{series}")
        assert server.http.json(f"/series/{made['ID']}")["ParentStudy"] == first["ID"]
        (dataset,) = datasets(server, f"series/{made['ID']}")
        found = referenced(dataset)
        assert found, dataset.Modality
        assert found <= known
        assert dataset.StudyInstanceUID == made_study_uid(server, first["ID"])


def referenced(dataset: Any) -> set[str]:
    """Return the instances that a data set refers to, at any depth."""
    return {
        str(one.value) for one in dataset.iterall() if one.keyword == "ReferencedSOPInstanceUID"
    }


def made_study_uid(server: RunningServer, study: str) -> str:
    return str(server.http.json(f"/studies/{study}")["MainDicomTags"]["StudyInstanceUID"])


def test_a_viewer_shows_the_results(server: RunningServer, study: str) -> None:
    result = anonymize(server, f"studies/{study}")
    for instance in files(server, f"studies/{result['ID']}"):
        answer = server.http.get(f"/instances/{instance}/preview")
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "image/png"


def test_a_job_reports_and_maps(server: RunningServer, study: str) -> None:
    body = {
        "Profile": "basic",
        "Asynchronous": True,
        "Report": True,
        "Map": True,
        "UserData": {"a": 1},
    }
    answer = server.http.post(f"/studies/{study}/anonymize", body).json()
    job = wait_for_job(server.http, answer["ID"], ("Success",))
    assert (job["Type"], job["UserData"], job["Progress"]) == ("CuratorAnonymize", {"a": 1}, 100)
    report = job["Content"]["Report"]
    assert report["Actions"]["Uid"] > 0
    assert report["Elements"]["PatientID"] == {"Pseudonym": 5}
    assert report["Refused"] == []
    for rows in job["Content"]["Map"].values():
        for row in rows:
            assert row["New"] in str(snapshot(server).resources.keys())
    assert traces(str(job).encode()) == []


def test_a_dry_run_says_everything_and_changes_nothing(server: RunningServer, study: str) -> None:
    before = snapshot(server)
    jobs = server.http.json("/jobs")
    answer = ask(server, f"studies/{study}", DryRun=True).json()
    assert answer["InstancesCount"] == len(answer["Instances"]) == 5
    changes = {one["Path"]: one for one in answer["Instances"][0]["Changes"]}
    assert changes["PatientID"]["Before"] == SUBJECT["PatientID"]
    assert changes["PatientID"]["After"] not in ("", SUBJECT["PatientID"])
    assert changes["PatientID"]["Action"] == "Pseudonym"
    assert changes["PatientAddress"]["After"] is None
    assert all(one["Reason"] for one in changes.values())
    assert snapshot(server) == before
    assert server.http.json("/jobs") == jobs
    result = anonymize(server, f"studies/{study}")
    made = datasets(server, f"studies/{result['ID']}")
    assert {one.PatientID for one in made} == {changes["PatientID"]["After"]}


# What is refused


def test_unknown_and_invalid_profiles_are_refused(server: RunningServer, study: str) -> None:
    before = snapshot(server)
    unknown = ask(server, f"studies/{study}", Profile="basik")
    assert unknown.status_code == 404
    assert '"basic"' in unknown.json()["Details"]
    rules = [{"Tag": "NoSuchTag", "Action": "Remove"}, {"Tag": "StudyDate", "Action": "Explode"}]
    invalid = ask(server, f"studies/{study}", Profile={"Name": "x", "Rules": rules})
    assert invalid.status_code == 400
    assert "$.Profile.Rules[1]" in invalid.json()["Details"]
    assert ask(server, "studies/nothing").status_code == 404
    assert snapshot(server) == before


def test_a_residual_identifier_fails_the_job_and_stores_nothing(
    server: RunningServer, study: str
) -> None:
    before = snapshot(server)
    for keep_source in (True, False):
        body: dict[str, Any] = {"Replace": {"StudyDescription": "{PatientComments}"}}
        answer = ask(server, f"studies/{study}", KeepSource=keep_source, **body)
        assert answer.status_code == 409, answer.text
        assert "StudyDescription" in answer.json()["Details"]
        assert traces(answer.content) == []
        assert snapshot(server) == before
    assert traces(server.log.encode("latin_1", "replace")) == []


def test_an_unreadable_instance_is_named_and_the_others_stay(new_server: ServerFactory) -> None:
    server = new_server(MaximumStorageCacheSize=0)
    study = upload(server, subject_files())
    broken = server.http.json(f"/studies/{study}/instances")[2]["ID"]
    before = content(server)
    path = stored_file(server, broken)
    whole = damage(server, broken)
    answer = ask(server, f"studies/{study}")
    assert answer.status_code == 400
    assert broken in answer.json()["Details"]
    path.write_bytes(whole)
    assert content(server) == before
    damage(server, broken)
    result = anonymize(server, f"studies/{study}", Permissive=True, KeepSource=False)
    assert result["FailedInstances"] == [broken]
    assert [one["ID"] for one in result["Report"]["Refused"]] == [broken]
    assert len(files(server, f"studies/{result['ID']}")) == 4
    assert [one["ID"] for one in server.http.json(f"/studies/{study}/instances")] == [broken]


def test_two_callers_make_one_result(server: RunningServer, study: str) -> None:
    barrier = threading.Barrier(4)
    answers: list[requests.Response] = []

    def call() -> None:
        barrier.wait()
        answers.append(ask(server, f"studies/{study}"))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) <= {200, 409}
    assert 200 in statuses
    done = {answer.json()["ID"] for answer in answers if answer.status_code == 200}
    assert len(done) == 1
    assert len(content(server).files) == 10
    check_model(server)


def test_a_full_storage_leaves_all_as_it_was(new_server: ServerFactory) -> None:
    server = new_server(MaximumStorageSize=1, MaximumStorageMode="Reject")
    study = upload(server, ct_series(12, size=160, **SUBJECT))  # 0.6 MB; as much more does not fit
    before = snapshot(server)
    for keep_source in (True, False):
        answer = ask(server, f"studies/{study}", KeepSource=keep_source)
        assert answer.status_code == 500, answer.text
        assert snapshot(server) == before


def test_a_patient_becomes_the_same_one_in_every_study(server: RunningServer) -> None:
    studies = [ct_series(2, study=name, **SUBJECT) for name in ("first", "second")]
    first, second = upload_all(server, [file for files_ in studies for file in files_])
    results = [anonymize(server, f"studies/{study}") for study in (first, second)]
    assert results[0]["ID"] != results[1]["ID"]
    assert results[0]["PatientID"] == results[1]["PatientID"]
    check_model(server)
