"""Anonymization beside other work, and on servers with settings of their own."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import requests

from factory import ct_series, make_study, mr_series
from integration.anonymizing import SUBJECT, anonymize, ask, files, traces
from integration.model import check_model, content, snapshot, upload, upload_all
from integration.operating import ask as operate
from integration.servers import OrthancServer, RunningServer
from integration.test_anonymize_recovery import INSTANCES, pause_in_the_middle, start
from integration.test_merge_recovery import at_once
from integration.waiting import wait_for_job

ServerFactory = Callable[..., OrthancServer]

PICKY: dict[str, Any] = {
    "Name": "picky",
    "Tables": {"known": {"ACC1": "A1"}},
    "Rules": [{"Tag": "AccessionNumber", "Action": "Lookup", "Table": "known"}],
}
"""Refuses every Accession Number but one."""


def subject_study() -> list[bytes]:
    return make_study([ct_series(3, **SUBJECT), mr_series(2, **SUBJECT)])


def made_of(answers: Sequence[requests.Response]) -> set[str]:
    """Return the new studies; who did not get one was told why."""
    assert {one.status_code for one in answers} <= {200, 404, 409}, [one.text for one in answers]
    assert all(one.ok or one.json()["Details"] for one in answers)
    return {one.json()["ID"] for one in answers if one.ok and "Profile" in one.json()}


# Other work at the same time


def test_several_profiles_at_once_make_several_copies(server: RunningServer) -> None:
    study = upload(server, subject_study())
    before = content(server).files
    names = ("basic", "research", "basic-clean")
    made = made_of(
        at_once([lambda name=name: ask(server, f"studies/{study}", Profile=name) for name in names])  # type: ignore[misc]
    )
    after = content(server).files
    assert before.items() <= after.items()
    new = {one: file for one, file in after.items() if one not in before}
    assert sorted(new) == sorted(one for study in made for one in files(server, f"studies/{study}"))
    assert len(new) == 5 * len(made)
    assert [trace for file in new.values() for trace in traces(file)] == []
    check_model(server)


@pytest.mark.parametrize("keep_source", [True, False])
def test_a_split_and_a_merge_of_the_same_study_lose_nothing(
    server: RunningServer, keep_source: bool
) -> None:
    own = {**SUBJECT, "StudyDescription": "other"}
    files_ = [*subject_study(), *mr_series(2, study="other", series="other", **own)]
    study, other = upload_all(server, files_)
    pixels = content(server).pixels
    series = min(server.http.json(f"/studies/{study}")["Series"])
    body = {"Resources": [other], "OnConflict": "Target"}
    answers = at_once(
        [
            lambda: ask(server, f"studies/{study}", KeepSource=keep_source),
            lambda: operate(server, f"series/{series}/split", By=["InstanceNumber"]),
            lambda: operate(server, f"studies/{study}/merge", **body),
            lambda: ask(server, f"studies/{other}"),
        ]
    )
    made_of(answers)
    assert any(one.ok for one in answers)
    assert pixels <= content(server).pixels
    check_model(server)


def test_what_another_job_holds_is_refused_until_that_is_done(server: RunningServer) -> None:
    study = upload(server, ct_series(INSTANCES, size=64, **SUBJECT))
    before = snapshot(server)
    job = start(server, study)
    pause_in_the_middle(server, job)
    for answer in (
        ask(server, f"studies/{study}"),
        ask(server, f"patients/{server.http.json(f'/studies/{study}')['ParentPatient']}"),
        operate(server, f"studies/{study}/split", By=["InstanceNumber"]),
    ):
        assert answer.status_code == 409, answer.text
        assert job in answer.json()["Details"]
    assert server.http.post(f"/jobs/{job}/cancel").ok
    wait_for_job(server.http, job, ("Failure",))
    assert snapshot(server) == before
    assert server.http.post(f"/jobs/{job}/resubmit").ok
    ended = wait_for_job(server.http, job, ("Success",))
    assert len(files(server, f"studies/{ended['Content']['ID']}")) == INSTANCES


@pytest.mark.parametrize("what", ["instance", "series"])
@pytest.mark.parametrize("keep_source", [True, False])
def test_a_source_that_is_deleted_in_the_middle_takes_no_other_along(
    new_server: ServerFactory, keep_source: bool, what: str
) -> None:
    server = new_server(Curator={"CacheMegabytes": 0})
    study = upload(
        server, make_study([ct_series(INSTANCES, size=64, **SUBJECT), mr_series(5, **SUBJECT)])
    )
    originals = content(server).files
    job = start(server, study, KeepSource=keep_source)
    pause_in_the_middle(server, job)
    series = server.http.json(f"/studies/{study}/series")
    gone = min(series, key=lambda one: len(one["Instances"]))
    path = f"/series/{gone['ID']}" if what == "series" else f"/instances/{gone['Instances'][-1]}"
    assert server.http.delete(path).ok
    left = content(server).files
    assert server.http.post(f"/jobs/{job}/resume").ok
    ended = wait_for_job(server.http, job)
    after = content(server).files
    if ended["State"] == "Failure":
        assert ended["ErrorDetails"]
        assert after == {one: file for one, file in left.items() if one in originals}
    else:
        assert len(files(server, f"studies/{ended['Content']['ID']}")) == len(originals)
    check_model(server)


def test_the_last_instance_may_fail_and_nothing_is_lost(new_server: ServerFactory) -> None:
    server = new_server(Curator={"CacheMegabytes": 0})
    good = {**SUBJECT, "AccessionNumber": "ACC1"}
    study = upload(server, [*ct_series(30, **good), *mr_series(1, **SUBJECT)])
    before = snapshot(server)
    answer = ask(server, f"studies/{study}", Profile=PICKY, KeepSource=False)
    assert answer.status_code == 409, answer.text
    assert "AccessionNumber" in answer.json()["Details"]
    assert snapshot(server) == before
    result = anonymize(server, f"studies/{study}", Profile=PICKY, KeepSource=False, Permissive=True)
    assert (result["InstancesCount"], result["FailedInstancesCount"]) == (31, 1)
    assert result["FailedInstances"] == [
        one["ID"] for one in server.http.json(f"/studies/{study}/instances")
    ]


def test_a_job_keeps_the_profile_and_holds_it(server: RunningServer) -> None:
    path = "/curator/profiles/running"
    rules = [{"Tag": "PatientComments", "Action": "Replace", "Value": "first"}]
    assert server.http.put(path, {"Version": "1", "Rules": rules}).ok
    study = upload(server, ct_series(INSTANCES, size=64, **SUBJECT, PatientComments="x"))
    job = start(server, study, Profile="running")
    pause_in_the_middle(server, job)
    deleted = server.http.delete(path)
    assert deleted.status_code == 409
    assert job in deleted.json()["Details"]
    assert server.http.put(path, {"Version": "2", "Rules": []}).ok
    assert server.http.post(f"/jobs/{job}/resume").ok
    ended = wait_for_job(server.http, job, ("Success",))["Content"]
    assert ended["Version"] == "1"
    for file in files(server, f"studies/{ended['ID']}").values():
        assert b"first" in file
    assert server.http.delete(path).ok


def test_deleting_a_profile_and_its_versions_leaves_results_alone(server: RunningServer) -> None:
    study = upload(server, ct_series(2, **SUBJECT))
    assert server.http.put("/curator/profiles/gone", {}).ok
    result = anonymize(server, f"studies/{study}", Profile="gone")
    assert server.http.delete("/curator/profiles/gone").ok
    assert ask(server, f"studies/{study}", Profile="gone").status_code == 404
    assert len(files(server, f"studies/{result['ID']}")) == 2


def test_the_instance_route_takes_many_at_once(server: RunningServer) -> None:
    study = upload(server, subject_study())
    instances = [one["ID"] for one in server.http.json(f"/studies/{study}/instances")]
    before = snapshot(server)
    answers = at_once([lambda one=one: ask(server, f"instances/{one}") for one in instances * 4])  # type: ignore[misc]
    assert [one.status_code for one in answers] == [200] * len(answers)
    assert [trace for one in answers for trace in traces(one.content)] == []
    assert len({one.content for one in answers}) == len(instances)
    assert snapshot(server) == before


# Settings of the server


SETTINGS: dict[str, dict[str, Any]] = {
    "overwrites": {"OverwriteInstances": True},
    "without MD5": {"StoreMD5ForAttachments": False, "StorageCompression": True},
    "capped": {"LimitFindResults": 2, "LimitFindInstances": 2},
    "checks revisions": {"CheckRevisions": True, "StorageCompression": True},
    "one thread": {"Curator": {"ThreadsPerJob": 1, "Workers": 1}, "HttpThreadsCount": 2},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=list(SETTINGS))
def test_settings_of_the_server_change_nothing(
    new_server: ServerFactory, settings: dict[str, Any]
) -> None:
    server = new_server(**settings)
    study = upload(server, subject_study())
    originals = content(server).files
    result = anonymize(server, f"studies/{study}")
    made = files(server, f"studies/{result['ID']}")
    assert len(made) == 5
    assert content(server).files == {**originals, **made}
    other = upload(server, ct_series(2, study="other", PatientID="OTHER"))
    constant = {"Replace": {"PatientID": "ANY"}, "Force": True}
    named = [anonymize(server, f"studies/{one}", **constant)["PatientID"] for one in (study, other)]
    assert named[0] == named[1]
    assert server.http.post("/tools/bulk-delete", {"Resources": [other, named[0]]}).ok
    assert anonymize(server, f"studies/{study}", KeepSource=False)["ID"] == result["ID"]
    assert content(server).files == made
    check_model(server)


def test_a_study_of_three_thousand_instances_fits_in_memory(new_server: ServerFactory) -> None:
    server = new_server(in_memory=True, Curator={"CacheMegabytes": 8})
    count = 3000
    study = upload(server, ct_series(count, size=16, **SUBJECT))
    peak = memory(server)
    result = anonymize(server, f"studies/{study}", KeepSource=False, Map=True, Report=True)
    assert result["InstancesCount"] == count
    assert len(result["Map"]["Instances"]) == count
    assert server.http.json("/statistics")["CountInstances"] == count
    assert server.http.json(f"/studies/{result['ID']}/statistics")["CountInstances"] == count
    assert memory(server) - peak < 300, "megabytes"


def memory(server: OrthancServer) -> int:
    """Return the most memory that Orthanc has ever had, in megabytes."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    (peak,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(peak.split()[1]) // 1024
