"""Two persons under one PatientID become two patients, and one again."""

from typing import Any

import pytest

from factory import uid
from integration.merging import images, instances_of, merge, refusal, values
from integration.model import check_everything, content, snapshot, split, upload, upload_all
from integration.servers import RunningServer
from invariants import Check
from referring import make_report, make_segmentation

DOE: dict[str, Any] = {"PatientName": "DOE^JOHN", "PatientBirthDate": "19600203", "PatientSex": "M"}
ROE: dict[str, Any] = {"PatientName": "ROE^JANE", "PatientBirthDate": "19811105", "PatientSex": "F"}

ALL_UIDS = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Return a name for studies that no other test has, since what has moved is remembered."""
    return str(request.node.nodeid)


def the_patient(server: RunningServer) -> str:
    (patient,) = server.http.json("/patients")
    return str(patient)


def patients(server: RunningServer) -> dict[str, str]:
    """Return the names of patients by their identifiers."""
    return {
        one["MainDicomTags"]["PatientID"]: one["MainDicomTags"]["PatientName"]
        for one in server.http.json("/patients?expand")
    }


def two_persons(name: str) -> list[bytes]:
    """Return two studies of one person and one of another, all with one PatientID."""
    return [
        *images(f"{name} a", **DOE),
        *images(f"{name} b", **DOE),
        *images(f"{name} c", "roe", 3, **ROE),
    ]


def test_persons_become_patients_and_most_instances_stay(server: RunningServer, name: str) -> None:
    upload_all(server, two_persons(name))
    patient = the_patient(server)
    before = content(server)

    result = split(server, f"patients/{patient}")

    assert patients(server) == {"SYN0001": "DOE^JOHN", "SYN0001-2": "ROE^JANE"}
    after = check_everything(server, before)
    untouched = {
        one: file
        for one, file in before.files.items()
        if before.datasets[one].PatientName == "DOE^JOHN"
    }
    assert after.files.items() >= untouched.items()
    assert (result["InstancesCount"], result["UnmovedInstancesCount"]) == (3, 4)
    assert [
        (one["PatientID"], one["InstancesCount"], one["Patient"] in server.http.json("/patients"))
        for one in result["Persons"]
    ] == [("SYN0001", 4, True), ("SYN0001-2", 3, True)]


def test_the_answer_says_what_is_held_for_the_same(server: RunningServer, name: str) -> None:
    """Case, spaces, commas and trailing carets are no difference between persons."""
    upload_all(
        server,
        [
            *images(f"{name} a", count=3, **DOE),
            *images(f"{name} b", "other", 1, **{**DOE, "PatientName": "Doe, John"}),
            *images(
                f"{name} c", "third", 1, **{**DOE, "PatientName": "doe^ john^^", "PatientSex": ""}
            ),
            *images(f"{name} d", "roe", 1, **ROE),
        ],
    )
    before = content(server)
    result = split(server, f"patients/{the_patient(server)}")
    assert any("case" in rule for rule in result["Normalization"])
    assert any("comma" in rule for rule in result["Normalization"])
    assert [one["InstancesCount"] for one in result["Persons"]] == [5, 1]
    check_everything(server, before)


def test_one_person_is_left_alone(server: RunningServer, name: str) -> None:
    upload_all(server, [*images(f"{name} a", **DOE), *images(f"{name} b", **DOE)])
    before = snapshot(server)
    result = split(server, f"patients/{the_patient(server)}")
    assert "nothing to split" in result["Warnings"][0]
    assert snapshot(server) == before
    check_everything(server, before)


def test_a_study_of_two_persons_is_divided(server: RunningServer, name: str) -> None:
    ours = images(name, "doe", 3, **DOE)
    theirs = images(name, "roe", 2, SeriesNumber=2, **ROE)
    study = upload(server, [*ours, *theirs, make_segmentation(theirs), make_report(ours)])
    patient = the_patient(server)
    assert (
        "instances of several persons"
        in refusal(
            server, f"/patients/{patient}/split", 400, Keep=["StudyInstanceUID"], Force=True
        )["Details"]
    )
    before = content(server)
    split(server, f"patients/{patient}")
    assert patients(server) == {"SYN0001": "DOE^JOHN", "SYN0001-2": "ROE^JANE"}
    assert study in server.http.json("/studies")
    check_everything(server, before)


def test_an_instance_that_may_be_of_both_is_refused(server: RunningServer, name: str) -> None:
    nobody = {"PatientName": "", "PatientBirthDate": "", "PatientSex": ""}
    upload_all(server, two_persons(name))
    unknown = upload(server, images(f"{name} nobody", count=1, **nobody))
    answer = refusal(server, f"/patients/{the_patient(server)}/split", 409)
    (instance,) = server.http.json(f"/studies/{unknown}/instances")
    assert instance["ID"] in answer["Details"]
    for value in ("DOE", "ROE", "19811105"):
        assert value not in answer["Details"]


def test_new_identifiers_are_made_as_asked(server: RunningServer, name: str) -> None:
    upload_all(server, [*two_persons(name), *images(f"{name} d", **{**ROE, "PatientSex": "O"})])
    before = content(server)
    naming = "{PatientID}/{PatientBirthDate}/{PatientSex}"
    result = split(server, f"patients/{the_patient(server)}", Naming=naming)
    assert set(patients(server)) == {"SYN0001", "SYN0001/19811105/F", "SYN0001/19811105/O"}
    assert len(result["Persons"]) == 3
    check_everything(server, before)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"By": ["PatientName"]}, "$.By"),
        ({"By": []}, "$.By"),
        ({"Naming": "{PatientID"}, "$.Naming"),
        ({"Naming": "{PatientID}"}, "gives two persons one PatientID"),
        ({"Namings": "x"}, 'did you mean "Naming"?'),
        ({"Keep": ["SOPInstanceUID"]}, "Force"),
    ],
)
def test_what_is_wrong_in_the_body_is_named(
    server: RunningServer, name: str, body: dict[str, Any], words: str
) -> None:
    upload_all(server, two_persons(name))
    answer = refusal(server, f"/patients/{the_patient(server)}/split", 400, **body)
    assert words in answer["Details"]


def test_an_identifier_that_somebody_has_is_not_given(server: RunningServer, name: str) -> None:
    upload_all(server, two_persons(name))
    patient = the_patient(server)
    taken = upload(server, images(f"{name} taken", PatientID="SYN0001-2", **ROE))
    other = server.http.json(f"/studies/{taken}")["ParentPatient"]
    assert other in refusal(server, f"/patients/{patient}/split", 409)["Details"]
    assert "unknown" in refusal(server, "/patients/unknown/split", 404)["Details"].lower()


def test_a_dry_run_changes_nothing_and_its_plan_is_carried_out(
    server: RunningServer, name: str
) -> None:
    upload_all(server, two_persons(name))
    patient = the_patient(server)
    before = snapshot(server)
    plan = split(server, f"patients/{patient}", DryRun=True)
    assert snapshot(server) == before
    split(server, f"patients/{patient}", Plan=plan["Plan"])
    after = check_everything(server, before)
    assert set(instances_of(plan).values()) == set(after.files) - set(before.files)


def test_a_source_that_is_kept_is_copied(server: RunningServer, name: str) -> None:
    upload_all(server, two_persons(name))
    before = content(server)
    split(server, f"patients/{the_patient(server)}", KeepSource=True)
    after = check_everything(server, before, ignoring={Check.TOTALS, Check.PIXELS})
    assert after.files.items() >= before.files.items()
    assert len(after.files) == len(before.files) + 3


@pytest.mark.parametrize("keep", [[], ALL_UIDS], ids=["new", "kept"])
def test_patients_that_were_split_are_merged_back(
    server: RunningServer, name: str, keep: list[str]
) -> None:
    """There and back, with objects that refer to others; with kept UIDs to the same identifiers."""
    theirs = images(f"{name} c", "roe", 3, **ROE)
    upload_all(
        server,
        [
            *two_persons(name),
            make_segmentation(theirs),
            make_report(theirs),
            make_report(theirs, label="ELSEWHERE", StudyInstanceUID=uid(f"{name} d")),
        ],
    )
    patient = the_patient(server)
    start = content(server)
    body: dict[str, Any] = {"Keep": keep, "Force": True, "Follow": False}
    result = split(server, f"patients/{patient}", **body)
    check_everything(server, start)
    staying, leaving = result["Persons"]
    assert (staying["Patient"], staying["InstancesCount"]) == (patient, 6)

    merge(
        server, f"patients/{patient}", Resources=[leaving["Patient"]], OnConflict="Target", **body
    )

    after = check_everything(server, start)
    assert server.http.json("/patients") == [patient]
    assert values(after.datasets.values(), "PatientName") == {"ROE^JANE"}
    assert (set(after.files) == set(start.files)) == bool(keep)
