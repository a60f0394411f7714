"""The journal of operations, and their undo: afterwards everything is as it was, byte for byte."""

import csv
import io
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest

from factory import ct_series, make_series, mr_series
from integration.model import (
    check_everything,
    stored_file,
    upload,
    upload_all,
)
from integration.operating import (
    Everything,
    ask,
    assert_as_before,
    everything,
    hang_on_everything,
    household,
    operate,
    patient_of,
    refuse,
    series_by_description,
    studies_by_description,
    study_elements,
    undo,
)
from integration.servers import OrthancServer, RunningServer
from integration.waiting import wait_for_job, wait_until
from invariants import Check
from referring import make_key_objects, make_segmentation

ServerFactory = Callable[..., OrthancServer]

MANY = 150
"""Instances of an operation that takes long enough to be looked at in the middle."""


# What is undone


@dataclass(frozen=True)
class Case:
    """An operation on files.

    Attributes
    ----------
    request : callable
        Returns the path and the body, from the server that holds the files.
    ignoring : tuple of Check
        What the operation changes on purpose.
    """

    name: str
    files: Callable[[], Sequence[bytes]]
    request: Callable[[RunningServer], tuple[str, dict[str, Any]]]
    ignoring: tuple[Check, ...] = ()
    body: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


def split_of_a_series(server: RunningServer) -> tuple[str, dict[str, Any]]:
    study = studies_by_description(server)["main"]
    series = series_by_description(server, study)["CT"]
    return f"studies/{study}/split", {"Series": [series], "Into": "Studies"}


def split_by_echo(server: RunningServer) -> tuple[str, dict[str, Any]]:
    study = studies_by_description(server)["main"]
    series = series_by_description(server, study)["MR"]
    return f"series/{series}/split", {"By": ["EchoTime"], "Into": "Series"}


def merge_of_studies(server: RunningServer) -> tuple[str, dict[str, Any]]:
    studies = studies_by_description(server)
    body = {"Resources": [studies["more"]], "OnConflict": "Target"}
    return f"studies/{studies['main']}/merge", body


def merge_of_another_patient(server: RunningServer) -> tuple[str, dict[str, Any]]:
    studies = studies_by_description(server)
    body = {"Resources": [studies["other"], studies["more"]], "OnConflict": "Target"}
    return f"studies/{studies['main']}/merge", body


def merge_into_a_series(server: RunningServer) -> tuple[str, dict[str, Any]]:
    studies = studies_by_description(server)
    series = {name: series_by_description(server, one) for name, one in studies.items()}
    body = {
        "Resources": [studies["more"]],
        "SeriesInto": {series["more"]["CT"]: series["main"]["CT"]},
    }
    return f"studies/{studies['main']}/merge", body


def merge_of_series(server: RunningServer) -> tuple[str, dict[str, Any]]:
    study = studies_by_description(server)["stack"]
    series = series_by_description(server, study)
    body = {"Resources": [series["even"]], "Duplicates": "KeepFirst"}
    return f"series/{series['odd']}/merge", body


def merge_of_patients(server: RunningServer) -> tuple[str, dict[str, Any]]:
    studies = studies_by_description(server)
    target, source = (patient_of(server, studies[name]) for name in ("main", "other"))
    return f"patients/{target}/merge", {"Resources": [source]}


def move_of_a_study(server: RunningServer) -> tuple[str, dict[str, Any]]:
    studies = studies_by_description(server)
    target = patient_of(server, studies["other"])
    return f"patients/{target}/merge", {"Studies": [studies["more"]]}


def split_of_a_patient(server: RunningServer) -> tuple[str, dict[str, Any]]:
    (patient,) = server.http.json("/patients")
    return f"patients/{patient}/split", {}


@cache
def adjacent_series() -> tuple[bytes, ...]:
    """Return a study whose series ``CT`` fits behind that of another study."""
    main, more = study_elements("main"), study_elements("more")
    frame: dict[str, Any] = {"FrameOfReferenceUID": "1.2.3.4"}
    first = ct_series(3, study="main", **main, **frame)
    second = [
        *make_series(
            3,
            study="more",
            series="CT",
            ImagePositionPatient=lambda index: [0.0, 0.0, 3.0 + index],
            seed=lambda index: 70 + index,
            **more,
            **frame,
        )
    ]
    return (*first, *second, make_segmentation([*first, *second]), make_key_objects(second))


@cache
def interleaved_series() -> tuple[bytes, ...]:
    """Return a study with two halves of one stack, in which one image is twice."""
    common = study_elements("stack", FrameOfReferenceUID="1.2.3.4")
    halves = {
        name: list(
            make_series(
                4,
                study="stack",
                series=name,
                SeriesNumber=number,
                ImagePositionPatient=lambda index, first=first: [0.0, 0.0, first + 2.0 * index],
                seed=lambda index, number=number: 10 * number + index,
                **common,
            )
        )
        for number, (name, first) in enumerate([("odd", 1.0), ("even", 0.0)], start=1)
    }
    # The first image of one half, again at the end of the other one.
    again = make_series(
        1,
        study="stack",
        series="even",
        SeriesNumber=2,
        SOPInstanceUID="1.2.3.4.5",
        InstanceNumber=5,
        ImagePositionPatient=[0.0, 0.0, 1.0],
        seed=10,
        **common,
    )
    files = [*halves["odd"], *halves["even"], *again]
    return (*files, make_segmentation(files))


@cache
def two_persons() -> tuple[bytes, ...]:
    """Return two persons with one PatientID: a study of each, and one that has both.

    The first one has most instances, so she stays. Of several persons the index of Orthanc shows
    one, and no undo could tell it which.
    """
    anna: dict[str, Any] = {
        "PatientName": "SAME^ANNA",
        "PatientBirthDate": "19700102",
        "PatientSex": "F",
    }
    otto: dict[str, Any] = {
        "PatientName": "SAME^OTTO",
        "PatientBirthDate": "19510607",
        "PatientSex": "M",
    }
    own = {name: study_elements(name, "SHARED") for name in ("anna", "otto", "both")}
    images = ct_series(3, study="otto", **own["otto"], **otto)
    return (
        *ct_series(6, study="anna", **own["anna"], **anna),
        *images,
        make_key_objects(images),
        *ct_series(2, study="both", series="hers", **own["both"], **anna),
        *ct_series(2, study="both", series="his", SeriesNumber=2, seed=90, **own["both"], **otto),
    )


KEEP = {"Force": True, "Keep": ["SeriesInstanceUID", "SOPInstanceUID"]}
KEEP_STUDY = {"Force": True, "Keep": ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]}
DUPLICATES = (Check.TOTALS, Check.PIXELS, Check.RESOLVED)

CASES = [
    Case("split into studies", household, split_of_a_series),
    Case("split that keeps UIDs", household, split_of_a_series, body=KEEP),
    Case("split into series", household, split_by_echo),
    Case("merge of studies", household, merge_of_studies),
    Case("merge that keeps UIDs", household, merge_of_studies, body=KEEP),
    Case("merge of another patient's", household, merge_of_another_patient),
    Case(
        "merge that reports references",
        household,
        merge_of_studies,
        (Check.DANGLING, Check.RESOLVED, Check.HIERARCHY),
        {"References": "Report"},
    ),
    Case("merge without record", household, merge_of_studies, body={"OriginalAttributes": False}),
    Case("merge into a series", adjacent_series, merge_into_a_series),
    Case("merge of series", interleaved_series, merge_of_series, DUPLICATES),
    Case("merge of patients", household, merge_of_patients, body={"OtherPatientIDs": True}),
    Case("merge of patients that keeps UIDs", household, merge_of_patients, body=KEEP_STUDY),
    Case("move of a study", household, move_of_a_study),
    Case("split of a patient", two_persons, split_of_a_patient),
]

#: Without those whose options are about what happens to the source.
CASES_OF_COPIES = [case for case in CASES if "Keep" not in case.body]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_undo_puts_everything_back(server: RunningServer, case: Case) -> None:
    before = _with_everything(server, case)
    path, body = case.request(server)

    done = operate(server, path, **body, **case.body)

    check_everything(server, before.content, ignoring=_ignored(server, case))
    undone = undo(server, done["Operation"])
    assert undone["UndoneOperation"] == done["Operation"]
    assert_as_before(server, before)
    check_everything(server, before.content, ignoring=_ignored(server, case))


@pytest.mark.parametrize("case", CASES_OF_COPIES, ids=str)
def test_undo_of_copies_removes_them_and_leaves_the_source(
    server: RunningServer, case: Case
) -> None:
    before = _with_everything(server, case)
    path, body = case.request(server)

    done = operate(server, path, **body, **case.body, KeepSource=True)

    copied = server.http.json("/statistics")["CountInstances"]
    assert copied == len(before.content.files) + done["InstancesCount"]
    undo(server, done["Operation"])
    assert_as_before(server, before)


@pytest.mark.parametrize("case", [CASES[3], CASES[9]], ids=str)
def test_undo_is_the_same_on_a_server_that_overwrites(
    new_server: ServerFactory, case: Case
) -> None:
    server = new_server(OverwriteInstances=True)
    before = _with_everything(server, case)
    path, body = case.request(server)
    done = operate(server, path, **body)
    undo(server, done["Operation"])
    assert_as_before(server, before)


def test_undo_brings_named_metadata_and_attachments_back(new_server: ServerFactory) -> None:
    server = new_server(UserMetadata={"reviewer": 1024}, UserContentType={"report": 1025})
    upload_all(server, list(household()))
    studies = studies_by_description(server)
    for study in studies.values():
        assert server.http.put(f"/studies/{study}/metadata/reviewer", data=study.encode()).ok
        assert server.http.put(f"/studies/{study}/attachments/report", data=study.encode()).ok
    before = everything(server)
    done = operate(server, f"studies/{studies['main']}/merge", **_merge(studies["more"]))
    undo(server, done["Operation"])
    assert_as_before(server, before)


def test_undo_brings_back_where_instances_came_from(new_server: ServerFactory) -> None:
    server = new_server(DicomServerEnabled=True, DicomCheckCalledAet=False)
    modalities = {"target": ["TARGET", "127.0.0.1", server.dicom_port]}
    sender = new_server(with_plugin=False, DicomAet="SCANNER", DicomModalities=modalities)
    upload_all(sender, list(household()))
    for patient in sender.http.json("/patients"):
        assert sender.http.post("/modalities/target/store", data=patient.encode()).ok
    studies = studies_by_description(server)
    # What the core has modified and anonymized says of what.
    modified = server.http.post(
        f"/studies/{studies['more']}/modify",
        {"Replace": {"AccessionNumber": "MODIFIED"}, "KeepSource": False},
    )
    assert modified.ok, modified.text
    anonymized = server.http.post(
        f"/studies/{studies['other']}/anonymize", {"Replace": {"StudyDescription": "anonymous"}}
    )
    assert anonymized.ok, anonymized.text
    studies = studies_by_description(server)
    before = everything(server)
    noted = {name for history in before.history.values() for name in history}
    assert noted >= {"RemoteAET", "ModifiedFrom", "AnonymizedFrom", "ReceptionDate", "Origin"}

    sources = [studies["more"], studies["anonymous"]]
    done = operate(
        server, f"studies/{studies['main']}/merge", Resources=sources, OnConflict="Target"
    )
    undo(server, done["Operation"])
    assert_as_before(server, before)


def test_a_chain_of_operations_is_undone_from_its_end(server: RunningServer) -> None:
    upload_all(server, list(household()))
    hang_on_everything(server)
    states, operations = [], []
    for step in (split_by_echo, merge_of_studies, merge_of_patients, split_of_a_series):
        states.append(everything(server))
        path, body = step(server)
        operations.append(operate(server, path, **body)["Operation"])
    while operations:
        undo(server, operations.pop())
        assert_as_before(server, states.pop(), f"step {len(states)}")


def test_what_was_undone_can_be_done_and_undone_again(server: RunningServer) -> None:
    upload_all(server, list(household()))
    before = everything(server)
    for _ in range(2):
        path, body = merge_of_studies(server)
        undo(server, operate(server, path, **body)["Operation"])
        assert_as_before(server, before)


def test_undo_leaves_alone_what_came_later(server: RunningServer) -> None:
    upload_all(server, list(household()))
    before = everything(server)
    path, body = merge_of_studies(server)
    done = operate(server, path, **body)
    main = studies_by_description(server)["main"]
    later = ct_series(2, study="main", series="later", **study_elements("main", SeriesNumber=70))
    upload(server, later)
    assert server.http.put(f"/studies/{main}/labels/later").ok
    undo(server, done["Operation"])
    series = series_by_description(server, main)
    assert server.http.json(f"/studies/{main}/labels") == ["later"]
    assert server.http.delete(f"/series/{series['later']}").ok
    assert server.http.delete(f"/studies/{main}/labels/later").ok
    assert_as_before(server, before)


# The plan of an undo


def test_dry_run_of_an_undo_changes_nothing(server: RunningServer) -> None:
    upload_all(server, list(household()))
    before = everything(server)
    path, body = merge_of_studies(server)
    done = operate(server, path, **body)
    merged = everything(server)

    plan = undo(server, done["Operation"], DryRun=True)

    assert_as_before(server, merged)
    assert plan["InstancesCount"] == done["InstancesCount"]
    assert plan["OverwrittenInstancesCount"] == done["OverwrittenInstancesCount"]
    returning = {
        one["ID"]
        for group in plan["Groups"]
        for series in group["Series"]
        for one in series["Instances"]
    }
    assert returning == before.content.files.keys() - merged.content.files.keys()
    undone = undo(server, done["Operation"], Plan=plan["Plan"])
    assert undone["InstancesCount"] == plan["InstancesCount"]
    assert_as_before(server, before)


def test_undo_by_a_plan_of_another_state_is_refused(server: RunningServer) -> None:
    upload_all(server, list(household()))
    path, body = merge_of_studies(server)
    operation = operate(server, path, **body)["Operation"]
    refuse(server, _undo(operation), 409, "$.Plan", Plan="0" * 64)


def test_undo_takes_an_empty_body_and_runs_as_a_job(server: RunningServer) -> None:
    upload_all(server, list(household()))
    before = everything(server)
    path, body = merge_of_studies(server)
    operation = operate(server, path, **body)["Operation"]
    answer = server.http.post(f"/{_undo(operation)}", data=b"")
    assert answer.status_code == 200, answer.text
    assert_as_before(server, before)

    operation = operate(server, path, **body)["Operation"]
    started = undo(server, operation, Asynchronous=True)
    assert started.keys() == {"ID", "Path"}
    assert wait_for_job(server.http, started["ID"], ("Success",))["Type"] == "CuratorUndo"
    assert_as_before(server, before)


def test_unknown_fields_of_an_undo_are_refused(server: RunningServer) -> None:
    upload_all(server, list(household()))
    path, body = merge_of_studies(server)
    operation = operate(server, path, **body)["Operation"]
    refuse(server, _undo(operation), 400, "KeepSource", KeepSource=True)


# What cannot be undone


def test_undo_of_deleted_results_is_refused(server: RunningServer) -> None:
    upload_all(server, list(household()))
    path, body = merge_of_studies(server)
    done = operate(server, path, **body)
    gone = done["Groups"][0]["Series"][0]["ID"]
    (one, *_) = server.http.json(f"/series/{gone}")["Instances"]
    assert server.http.delete(f"/instances/{one}").ok
    refuse(server, _undo(done["Operation"]), 409, f"instance {one} was deleted")


@pytest.mark.parametrize("overwritten", ["moved", "in place"])
def test_undo_of_changed_results_is_refused(new_server: ServerFactory, overwritten: str) -> None:
    server = new_server(OverwriteInstances=True)
    upload_all(server, list(household()))
    path, body = merge_of_studies(server)
    done = operate(server, path, **body)
    action = "Moved" if overwritten == "moved" else "Overwritten"
    changes = server.http.json(f"/curator/operations/{done['Operation']}/instances")
    one = next(change["New"] for change in changes if change["Action"] == action)
    file = server.http.get(f"/instances/{one}/file").content
    assert b"Synthetic" in file
    stored = server.upload(file.replace(b"Synthetic", b"Changed!!", 1))
    assert (stored["ID"], stored["Status"]) == (one, "Success")
    refuse(server, _undo(done["Operation"]), 409, f"instance {one} was changed")


def test_undo_of_what_was_merged_further_is_refused_until_that_is_undone(
    server: RunningServer,
) -> None:
    upload_all(server, list(household()))
    before = everything(server)
    path, body = merge_of_studies(server)
    first = operate(server, path, **body)["Operation"]
    studies = studies_by_description(server)
    further = operate(server, f"studies/{studies['other']}/merge", **_merge(studies["main"]))
    refuse(server, _undo(first), 409, "moved by another operation, which has to be undone first")
    undo(server, further["Operation"])
    undo(server, first)
    assert_as_before(server, before)


def test_undo_is_refused_when_something_else_is_in_the_old_place(server: RunningServer) -> None:
    upload_all(server, list(household()))
    path, body = merge_of_studies(server)
    done = operate(server, path, **body, Follow=False)
    back = ct_series(2, study="more", **study_elements("more", seed=50))
    (one,) = {server.upload(file)["ID"] for file in back[:1]}
    refuse(server, _undo(done["Operation"]), 409, f"instance {one} has arrived again")


def test_undo_of_copies_whose_sources_are_gone_is_refused(server: RunningServer) -> None:
    upload_all(server, list(household()))
    more = studies_by_description(server)["more"]
    path, body = merge_of_studies(server)
    done = operate(server, path, **body, KeepSource=True)
    assert server.http.delete(f"/studies/{more}").ok
    refuse(server, _undo(done["Operation"]), 409, "is all that is left of it")


def test_undo_of_what_was_undone_is_refused(server: RunningServer) -> None:
    upload_all(server, list(household()))
    path, body = merge_of_studies(server)
    done = operate(server, path, **body)["Operation"]
    undone = undo(server, done)["Operation"]
    refuse(server, _undo(done), 409, f"undone already, by operation {undone}")
    refuse(server, _undo(undone), 409, "is an undo")


def test_unknown_operations_are_404(server: RunningServer) -> None:
    for path in ("", "/instances"):
        answer = server.http.get(f"/curator/operations/none{path}")
        assert answer.status_code == 404
        assert answer.json()["Details"] == "Unknown operation: none"
    refuse(server, _undo("none"), 404, "Unknown operation: none")


def test_undo_waits_for_nobody(server: RunningServer) -> None:
    """Two undos at once: one does it, the other is told so."""
    upload_all(server, list(household()))
    before = everything(server)
    path, body = merge_of_studies(server)
    operation = operate(server, path, **body)["Operation"]
    statuses = _at_once([lambda: ask(server, _undo(operation)).status_code for _ in range(3)])
    assert sorted(statuses) == [200, 409, 409]
    assert_as_before(server, before)


# The journal


def test_journal_tells_what_was_done_to_what_when_and_from_where(server: RunningServer) -> None:
    upload_all(server, list(household()))
    studies = studies_by_description(server)
    start = _now()
    headers = {"User-Agent": "tests", "X-Forwarded-For": "192.0.2.7"}
    path, body = merge_of_studies(server)
    answer = server.http.post(f"/{path}", body, headers=headers)
    assert answer.ok, answer.text
    done = answer.json()

    described = server.http.json(f"/curator/operations/{done['Operation']}")

    assert described["ID"] == done["Operation"]
    assert (described["Kind"], described["Level"]) == ("Merge", "Study")
    assert described["Resource"] == studies["main"]
    assert described["State"] == "Success"
    assert start <= described["CreationTime"] <= described["CompletionTime"] <= _now()
    assert described["Request"] == body
    assert described["Content"] == done
    assert described["InstancesCount"] == done["InstancesCount"] > 0
    assert described["OverwrittenInstancesCount"] == done["OverwrittenInstancesCount"] > 0
    assert described["Origin"] == {
        "Endpoint": f"POST /{path}",
        "ForwardedFor": "192.0.2.7",
        "UserAgent": "tests",
    }
    assert server.http.json(f"/jobs/{described['Job']}")["Content"] == done


def test_journal_lists_operations_the_latest_first(server: RunningServer) -> None:
    upload_all(server, list(household()))
    known = set(server.http.json("/curator/operations"))
    path, body = merge_of_studies(server)
    done = operate(server, path, **body)["Operation"]
    undone = undo(server, done)["Operation"]

    listed = server.http.json("/curator/operations")
    assert listed[:2] == [undone, done]
    assert set(listed[2:]) == known
    latest, earlier, *_ = server.http.json("/curator/operations?expand")
    assert (latest["ID"], latest["Kind"], latest["State"]) == (undone, "Undo", "Success")
    assert (earlier["ID"], earlier["Kind"], earlier["State"]) == (done, "Merge", "Undone")
    assert earlier["UndoneBy"] == undone
    assert "UndoneBy" not in latest
    one = server.http.json(f"/curator/operations/{done}")
    assert earlier.items() <= one.items()


def test_journal_exports_what_became_of_each_instance(server: RunningServer) -> None:
    upload_all(server, list(interleaved_series()))
    before = check_everything(server)
    path, body = merge_of_series(server)
    done = operate(server, path, **body)
    after = check_everything(server)

    address = f"/curator/operations/{done['Operation']}/instances"
    changes = server.http.json(address)
    answer = server.http.get(address, params={"format": "csv"})
    assert answer.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))

    columns = {
        "action": "Action",
        "instance_old": "Old",
        "instance_new": "New",
        "sop_instance_uid_old": "OldSOPInstanceUID",
        "sop_instance_uid_new": "NewSOPInstanceUID",
    }
    assert list(rows[0]) == list(columns)
    told = [{column: one[key] for column, key in columns.items()} for one in changes]
    assert rows == told
    assert {one["Action"] for one in changes} == {"Moved", "Overwritten", "Dropped"}
    for one in changes:
        assert before.datasets[one["Old"]].SOPInstanceUID == one["OldSOPInstanceUID"]
        assert after.datasets[one["New"]].SOPInstanceUID == one["NewSOPInstanceUID"]
    gone = {one["Old"] for one in changes if one["Action"] != "Overwritten"}
    assert gone == before.files.keys() - after.files.keys()


def test_journal_names_the_user(new_server: ServerFactory) -> None:
    users = {"alice": "secret", "bob": "hidden"}
    server = new_server(AuthenticationEnabled=True, RegisteredUsers=users)
    server.http.session.auth = ("alice", users["alice"])
    upload_all(server, list(household()))
    path, body = merge_of_studies(server)
    done = operate(server, path, **body)["Operation"]
    server.http.session.auth = ("bob", users["bob"])
    undone = undo(server, done)["Operation"]
    listed = server.http.json("/curator/operations?expand")
    assert {one["ID"]: one["User"] for one in listed} == {done: "alice", undone: "bob"}
    assert "secret" not in server.http.get("/curator/operations?expand").text


def test_failed_operation_is_told_as_such_and_cannot_be_undone(server: RunningServer) -> None:
    upload_all(server, list(household()))
    path, body = merge_of_studies(server)
    refuse(server, path, 409, "$.Plan", **body, Plan="0" * 64, OperationId="failed-1")
    described = server.http.json("/curator/operations/failed-1")
    assert described["State"] == "Failure"
    assert described["InstancesCount"] == 0
    refuse(server, _undo("failed-1"), 409, "failed-1 is not done")
    assert server.http.delete(f"/jobs/{described['Job']}").ok
    assert server.http.json("/curator/operations/failed-1")["State"] == "Failure"


def test_unfinished_operation_is_told_as_such_and_cannot_be_undone(
    server: RunningServer,
) -> None:
    job, operation = _paused_merge(server)
    assert server.http.json(f"/curator/operations/{operation}")["State"] == "Paused"
    before = everything(server)
    answer = ask(server, _undo(operation))
    assert answer.status_code == 409, answer.text
    assert "is not done" in answer.json()["Details"]
    assert_as_before(server, before)
    assert server.http.post(f"/jobs/{job}/resume").ok
    wait_for_job(server.http, job, ("Success",))
    assert server.http.json(f"/curator/operations/{operation}")["State"] == "Success"
    undo(server, operation)


def test_canceled_operation_leaves_nothing_behind(server: RunningServer) -> None:
    job, operation = _paused_merge(server)
    assert len(server.http.json("/instances")) > MANY + 1
    assert server.http.post(f"/jobs/{job}/cancel").ok
    wait_for_job(server.http, job, ("Failure",))
    assert server.http.json(f"/curator/operations/{operation}")["State"] == "Failure"
    assert len(server.http.json("/instances")) == MANY + 1
    check_everything(server)


def test_journal_outlives_a_restart_and_so_does_the_undo(new_server: ServerFactory) -> None:
    server = new_server()
    upload_all(server, list(household()))
    hang_on_everything(server)
    before = everything(server)
    path, body = merge_of_patients(server)
    done = operate(server, path, **body)["Operation"]
    listed = server.http.json("/curator/operations?expand")
    changes = server.http.json(f"/curator/operations/{done}/instances")
    server.stop()
    server.start()
    assert server.http.json("/curator/operations?expand") == listed
    assert server.http.json(f"/curator/operations/{done}/instances") == changes
    undo(server, done)
    assert_as_before(server, before)
    server.kill()
    server.start()
    assert server.http.json(f"/curator/operations/{done}")["State"] == "Undone"


def test_journal_forgets_what_is_older_than_configured(new_server: ServerFactory) -> None:
    server = new_server(Curator={"JournalDays": 3})
    upload_all(server, list(household()))
    operations = []
    for step in (merge_of_studies, merge_of_patients):
        path, body = step(server)
        operations.append(operate(server, path, **body)["Operation"])
    before = everything(server)
    server.stop()
    _make_older(server, dict(zip(operations, (4, 2), strict=True)))
    server.start()
    old, recent = operations
    wait_until(
        "the journal", lambda: server.http.json("/curator/operations"), lambda ids: old not in ids
    )
    assert server.http.json("/curator/operations") == [recent]
    refuse(server, _undo(old), 404, "Unknown operation")
    assert_as_before(server, before)
    assert _operations_with_changes(server) == {recent}
    undo(server, recent)


# Idempotence


def test_operation_of_one_identifier_is_done_once(server: RunningServer) -> None:
    upload_all(server, list(household()))
    path, body = merge_of_studies(server)
    first = operate(server, path, **body, OperationId="once.1_A-z")
    after = everything(server)
    assert first["Operation"] == "once.1_A-z"
    assert operate(server, path, **body, OperationId="once.1_A-z") == first
    assert_as_before(server, after)
    again = operate(server, path, **body, OperationId="once.1_A-z", Asynchronous=True)
    assert server.http.json(again["Path"])["Content"] == first
    assert_as_before(server, after)


def test_undo_of_one_identifier_is_done_once(server: RunningServer) -> None:
    upload_all(server, list(household()))
    before = everything(server)
    path, body = merge_of_studies(server)
    operation = operate(server, path, **body)["Operation"]
    first = undo(server, operation, OperationId="undo-once")
    assert undo(server, operation, OperationId="undo-once") == first
    assert_as_before(server, before)


def test_callers_with_one_identifier_at_once_get_one_result(server: RunningServer) -> None:
    upload_all(server, list(household()))
    before = everything(server)
    path, body = merge_of_studies(server)
    answers = _at_once([lambda: ask(server, path, **body, OperationId="at-once") for _ in range(6)])
    assert [one.status_code for one in answers] == [200] * 6, [one.text for one in answers]
    assert all(one.json() == answers[0].json() for one in answers)
    check_everything(server, before.content)
    kinds = [one["ID"] for one in server.http.json("/curator/operations?expand")]
    assert kinds.count("at-once") == 1
    undo(server, "at-once")
    assert_as_before(server, before)


def test_identifier_of_another_request_is_refused(server: RunningServer) -> None:
    upload_all(server, list(household()))
    path, body = merge_of_studies(server)
    split_path, split_body = split_by_echo(server)
    operate(server, path, **body, OperationId="taken")
    used = "$.OperationId: taken was used for another request"
    refuse(server, split_path, 409, used, **split_body, OperationId="taken")
    # The same request on what is left of it would find nothing to merge; another one is told.
    other = {**body, "KeepSource": True}
    answer = ask(server, path, **other, OperationId="taken")
    assert (answer.status_code, answer.json()["Details"]) == (409, used)


@pytest.mark.parametrize("identifier", ["", "a b", "../etc", "ä", "x" * 65])
def test_identifiers_of_other_characters_are_refused(
    server: RunningServer, identifier: str
) -> None:
    upload_all(server, list(household()))
    path, body = merge_of_studies(server)
    refuse(server, path, 400, "$.OperationId", **body, OperationId=identifier)


def test_failed_operation_is_tried_again_under_its_identifier(new_server: ServerFactory) -> None:
    server = new_server(MaximumStorageCacheSize=0)
    upload_all(server, list(household()))
    path, body = merge_of_studies(server)
    more = studies_by_description(server)["more"]
    one = server.http.json(f"/studies/{more}/instances")[0]["ID"]
    file = stored_file(server, one)
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    answer = ask(server, path, **body, OperationId="again")
    assert not answer.ok
    assert server.http.json("/curator/operations/again")["State"] == "Failure"
    file.write_bytes(whole)
    before = everything(server)
    operate(server, path, **body, OperationId="again")
    check_everything(server, before.content)
    undo(server, "again")
    assert_as_before(server, before)


def _with_everything(server: RunningServer, case: Case) -> Everything:
    upload_all(server, list(case.files()))
    hang_on_everything(server)
    return everything(server)


def _ignored(server: RunningServer, case: Case) -> tuple[Check, ...]:
    """Return what does not hold: two persons with one PatientID are what is to be split."""
    if case.files is not two_persons:
        return case.ignoring
    return (*case.ignoring, Check.PATIENTS, Check.STUDIES, Check.INDEX)


def _merge(study: str) -> dict[str, Any]:
    return {"Resources": [study], "OnConflict": "Target"}


def _undo(operation: str) -> str:
    return f"curator/operations/{operation}/undo"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")


def _paused_merge(server: RunningServer) -> tuple[str, str]:
    """Start a merge of many instances and pause it in the middle; return job and operation."""
    main, more = study_elements("main"), study_elements("more")
    target = upload(server, ct_series(1, study="main", **main))
    source = upload(server, mr_series(MANY, study="more", **more))
    started = operate(server, f"studies/{target}/merge", **_merge(source), Asynchronous=True)
    job = started["ID"]
    wait_until("progress", lambda: server.http.json(f"/jobs/{job}"), lambda one: one["Progress"])
    assert server.http.post(f"/jobs/{job}/pause").ok
    paused = wait_for_job(server.http, job, ("Paused",))
    return job, str(paused["Content"]["Operation"])


def _at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Call functions in threads that start together; return what they return."""
    barrier = threading.Barrier(len(calls))
    results: list[Any] = [None] * len(calls)

    def call(index: int) -> None:
        barrier.wait()
        results[index] = calls[index]()

    threads = [threading.Thread(target=call, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def _operations_with_changes(server: OrthancServer) -> set[str]:
    """Return the operations of which the database has more than their entry in the journal."""
    with sqlite3.connect(server.storage / "curator.db") as database:
        rows = database.execute(
            "SELECT operation FROM curator_operation_instances"
            " UNION SELECT operation FROM curator_operation_resources"
            " UNION SELECT operation FROM curator_spool"
        )
        found = {operation for (operation,) in rows}
    database.close()
    return found


def _make_older(server: OrthancServer, days: dict[str, int]) -> None:
    """Let operations have happened some days ago."""
    with sqlite3.connect(server.storage / "curator.db") as database:
        for operation, ago in days.items():
            created = (datetime.now(UTC) - timedelta(days=ago)).strftime("%Y%m%dT%H%M%S.%f")
            database.execute(
                "UPDATE curator_operations SET created=? WHERE id=?", (created, operation)
            )
    database.close()
