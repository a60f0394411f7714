"""Patients become one: in files and in the index, with what is kept of the old identifiers."""

from collections.abc import Callable
from typing import Any

import pytest

from factory import uid
from integration.merging import OTHER_PERSON, images, instances_of, merge, refusal, shown, values
from integration.model import (
    check_everything,
    content,
    damage,
    snapshot,
    stored_file,
    upload,
)
from integration.servers import OrthancServer, RunningServer
from integration.waiting import wait_for_job
from invariants import Check
from referring import make_report, make_segmentation

ServerFactory = Callable[..., OrthancServer]

NAMED = {"UserMetadata": {"reviewer": 1024}, "UserContentType": {"report": 1025}}

ALL_UIDS = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]

#: The same person under another identifier.
SAME: dict[str, Any] = {"PatientID": "OLD0001", "IssuerOfPatientID": "SITE"}


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Return a name for studies that no other test has, since what has moved is remembered."""
    return str(request.node.nodeid)


def patient_of(server: RunningServer, study: str) -> str:
    return str(server.http.json(f"/studies/{study}")["ParentPatient"])


def upload_patient(server: RunningServer, files: list[bytes]) -> tuple[str, str]:
    """Upload instances of one study; return patient and study."""
    study = upload(server, files)
    return patient_of(server, study), study


def refused(
    server: RunningServer, target: str, *sources: str, status: int = 409, **body: Any
) -> dict[str, Any]:
    fields: dict[str, Any] = {"Resources": list(sources), **body}
    return refusal(server, f"/patients/{target}/merge", status, **fields)


def descriptions(server: RunningServer, patient: str) -> set[str]:
    """Return the descriptions of a patient's studies."""
    studies = server.http.json(f"/patients/{patient}/studies")
    return {one["MainDicomTags"]["StudyDescription"] for one in studies}


def test_all_studies_of_several_patients_come_under_one(server: RunningServer, name: str) -> None:
    target, own = upload_patient(server, images(f"{name} a", StudyDescription="a"))
    first, _ = upload_patient(server, images(f"{name} b", StudyDescription="b", **SAME))
    upload(server, images(f"{name} c", StudyDescription="c", **SAME))
    third = {**SAME, "PatientID": "OLD0002"}
    second, _ = upload_patient(server, images(f"{name} d", StudyDescription="d", **third))
    before = content(server)

    result = merge(server, f"patients/{target}", Resources=[first, second])

    assert server.http.json("/patients") == [target]
    assert descriptions(server, target) == {"a", "b", "c", "d"}
    assert (result["TargetPatient"], result["InstancesCount"]) == (target, 6)
    assert result["ParentResources"] == [first, second]
    after = check_everything(server, before)
    assert own in server.http.json("/studies")
    assert values(after.datasets.values(), "PatientID") == {"SYN0001"}
    assert values(after.datasets.values(), "IssuerOfPatientID") == {""}
    assert all("OtherPatientIDsSequence" not in one for one in after.datasets.values())
    old_uids = values(before.datasets.values(), "StudyInstanceUID")
    assert values(after.datasets.values(), "StudyInstanceUID") & old_uids == {uid(f"{name} a")}


def test_some_studies_only(server: RunningServer, name: str) -> None:
    target, _ = upload_patient(server, images(f"{name} a", StudyDescription="a"))
    other, wrong = upload_patient(server, images(f"{name} b", StudyDescription="b", **SAME))
    upload(server, images(f"{name} c", StudyDescription="c", **SAME))
    before = content(server)
    merge(server, f"patients/{target}", Studies=[wrong])
    assert descriptions(server, target) == {"a", "b"}
    assert descriptions(server, other) == {"c"}
    check_everything(server, before)


def test_what_is_named_twice_is_moved_once(server: RunningServer, name: str) -> None:
    target, _ = upload_patient(server, images(f"{name} a"))
    other, study = upload_patient(server, images(f"{name} b", **SAME))
    before = content(server)
    result = merge(server, f"patients/{target}", Resources=[other, other], Studies=[study])
    assert result["InstancesCount"] == 2
    check_everything(server, before)


@pytest.mark.parametrize("overwrite", [False, True])
def test_all_three_uids_can_be_kept(new_server: ServerFactory, overwrite: bool) -> None:
    server = new_server(OverwriteInstances=overwrite)
    target, _ = upload_patient(server, images("a"))
    series = images("b", **SAME)
    other, _ = upload_patient(server, [*series, make_segmentation(series), make_report(series)])
    before = content(server)
    result = merge(server, f"patients/{target}", Resources=[other], Keep=ALL_UIDS, Force=True)
    after = check_everything(server, before)
    for keyword in ALL_UIDS:
        assert values(after.datasets.values(), keyword) == values(before.datasets.values(), keyword)
    assert values(after.datasets.values(), "PatientID") == {"SYN0001"}
    assert result["References"]["RewrittenCount"] == 0, "what they refer to has kept its UID"


def test_keeping_some_uids_renews_the_others(server: RunningServer, name: str) -> None:
    target, _ = upload_patient(server, images(f"{name} a"))
    other, _ = upload_patient(server, images(f"{name} b", **SAME))
    before = content(server)
    merge(server, f"patients/{target}", Resources=[other], Keep=["SOPInstanceUID"], Force=True)
    after = check_everything(server, before)
    changed = {
        keyword: values(after.datasets.values(), keyword)
        != values(before.datasets.values(), keyword)
        for keyword in ALL_UIDS
    }
    assert changed == {
        "StudyInstanceUID": True,
        "SeriesInstanceUID": True,
        "SOPInstanceUID": False,
    }


def test_old_identifiers_are_kept_with_their_issuer_when_asked(
    server: RunningServer, name: str
) -> None:
    known = {"PatientID": "OLDER", "IssuerOfPatientID": "ELSEWHERE", "TypeOfPatientID": "TEXT"}
    target, _ = upload_patient(server, images(f"{name} a", OtherPatientIDsSequence=[known]))
    theirs = {"PatientID": "OLDEST", "TypeOfPatientID": "RFID"}
    other, _ = upload_patient(
        server, images(f"{name} b", OtherPatientIDsSequence=[known, theirs], **SAME)
    )
    before = content(server)
    merge(server, f"patients/{target}", Resources=[other], OtherPatientIDs=True)
    after = check_everything(server, before)
    moved = [one for one in after.datasets.values() if one.StudyInstanceUID != uid(f"{name} a")]
    for dataset in moved:
        found = [
            (item.PatientID, item.get("IssuerOfPatientID", ""), item.TypeOfPatientID)
            for item in dataset.OtherPatientIDsSequence
        ]
        assert found == [
            ("OLDER", "ELSEWHERE", "TEXT"),
            ("OLDEST", "", "RFID"),
            ("OLD0001", "SITE", "TEXT"),
        ]


def test_the_patient_module_is_the_targets(server: RunningServer, name: str) -> None:
    ours: dict[str, Any] = {
        "PatientName": "Yamada^Tarou=山田^太郎",
        "SpecificCharacterSet": ["", "ISO 2022 IR 87"],
        "PatientComments": "longer than the index: " + "x" * 300,
        "StrainCodeSequence": [
            {"CodeValue": "1", "CodingSchemeDesignator": "99T", "CodeMeaning": "太郎"}
        ],
    }
    theirs = {
        **SAME,
        "PatientName": "Müller^Jürgen",
        "SpecificCharacterSet": "ISO_IR 100",
        "PatientComments": "Übersicht",
        "ResponsiblePerson": "Someone",
        "PatientAge": "063Y",
        "StudyDescription": "Schädel",
    }
    target, _ = upload_patient(server, images(f"{name} a", **ours))
    other, _ = upload_patient(server, images(f"{name} b", **theirs))
    before = content(server)
    merge(server, f"patients/{target}", Resources=[other])
    after = check_everything(server, before)
    was = next(iter(before.datasets.values()))
    for dataset in after.datasets.values():
        for keyword in ("PatientName", "PatientComments", "StrainCodeSequence"):
            assert dataset[keyword].value == was[keyword].value
        assert "ResponsiblePerson" not in dataset
    studies = [one for one in after.datasets.values() if one.get("PatientAge")]
    assert values(studies, "StudyDescription") == {"Schädel"}, "the study stays its own"
    patient = server.http.json(f"/patients/{target}")
    assert patient["MainDicomTags"]["PatientName"] == "Yamada^Tarou=山田^太郎"


@pytest.mark.parametrize("element", ["PatientBirthDate", "PatientSex"])
def test_other_persons_are_refused_unless_asked(
    server: RunningServer, name: str, element: str
) -> None:
    theirs = {**SAME, element: OTHER_PERSON[element]}
    target, _ = upload_patient(server, images(f"{name} a"))
    other, study = upload_patient(server, images(f"{name} b", **theirs))
    answer = refused(server, target, other)
    (conflict,) = answer["Conflicts"]
    assert conflict["Element"] == element
    assert conflict["Target"]["ID"] == target
    assert conflict["Source"] == {"ID": study, "Value": theirs[element]}
    assert f'"{theirs[element]}"' not in answer["Details"]

    before = content(server)
    merge(server, f"patients/{target}", Resources=[other], OnConflict="Target")
    after = check_everything(server, before)
    assert len(values(after.datasets.values(), element)) == 1


def test_a_patient_that_disagrees_with_itself_is_made_one_when_asked(
    server: RunningServer, name: str
) -> None:
    target, _ = upload_patient(server, images(f"{name} a", count=3))
    upload(server, images(f"{name} odd", "odd", 1, PatientBirthDate="19600204"))
    other, _ = upload_patient(server, images(f"{name} b", **SAME))
    assert {one["Element"] for one in refused(server, target, other)["Conflicts"]} == {
        "PatientBirthDate"
    }
    before = content(server)
    result = merge(server, f"patients/{target}", Resources=[other], OnConflict="Target")
    assert result["OverwrittenInstancesCount"] == 1
    after = check_everything(server, before)
    assert values(after.datasets.values(), "PatientBirthDate") == {"19600203"}


def test_what_hangs_on_all_levels_moves_along(new_server: ServerFactory) -> None:
    server = new_server(**NAMED)
    target, _ = upload_patient(server, images("a"))
    other, study = upload_patient(server, images("b", count=1, StudyDescription="b", **SAME))
    series = server.http.json(f"/studies/{study}")["Series"][0]
    instance = server.http.json(f"/series/{series}")["Instances"][0]
    olds = {"patients": other, "studies": study, "series": series, "instances": instance}
    assert server.http.put(f"/patients/{target}/labels/ours").ok
    for level, one in olds.items():
        assert server.http.put(f"/{level}/{one}/labels/theirs").ok
        assert server.http.put(f"/{level}/{one}/metadata/reviewer", data=b"them").ok
        assert server.http.put(f"/{level}/{one}/attachments/report", data=one.encode()).ok
    before = snapshot(server)

    plan = merge(server, f"patients/{target}", Resources=[other], DryRun=True)
    merge(server, f"patients/{target}", Resources=[other])

    check_everything(server, before)
    stored = snapshot(server).resources
    (new_series,) = plan["Groups"][0]["Series"]
    news = (
        target,
        new_series["ParentStudy"],
        new_series["ID"],
        instances_of(plan)[instance],
    )
    for new, old in zip(news, olds.values(), strict=True):
        assert stored[new].labels == ({"ours", "theirs"} if new == target else {"theirs"})
        assert stored[new].metadata["reviewer"] == b"them"
        assert stored[new].attachments == {"1025": old.encode()}


def test_labels_stay_behind_when_asked(server: RunningServer, name: str) -> None:
    target, _ = upload_patient(server, images(f"{name} a"))
    other, study = upload_patient(server, images(f"{name} b", **SAME))
    for resource in (f"/patients/{other}", f"/studies/{study}"):
        assert server.http.put(f"{resource}/labels/theirs").ok
    before = content(server)
    merge(server, f"patients/{target}", Resources=[other], KeepLabels=False)
    check_everything(server, before)
    assert all(not one.labels for one in snapshot(server).resources.values())


def test_a_study_that_both_patients_have_is_merged_as_a_study_first(
    server: RunningServer, name: str
) -> None:
    target, own = upload_patient(server, images(name))
    other, study = upload_patient(server, images(name, **SAME))
    third, again = upload_patient(server, images(name, **{**SAME, "PatientID": "OLD0002"}))
    answer = refused(server, target, other, Keep=ALL_UIDS, Force=True)
    assert "have one StudyInstanceUID" in answer["Details"]
    assert {word for word in (study, own) if word in answer["Details"]} == {study, own}
    fourth, _ = upload_patient(server, images(f"{name} fourth", PatientID="NEW"))
    answer = refused(server, fourth, other, third, Keep=ALL_UIDS, Force=True)
    assert {word for word in (study, again) if word in answer["Details"]} == {study, again}
    kept: dict[str, Any] = {"Keep": ["SOPInstanceUID"], "Force": True}
    assert "have one SOPInstanceUID" in refused(server, target, other, **kept)["Details"]

    before = content(server)
    merge(server, f"patients/{target}", Resources=[other, third], Follow=False)
    check_everything(server, before)
    assert len(server.http.json(f"/patients/{target}")["Studies"]) == 3


def test_a_source_that_is_kept_is_copied(server: RunningServer, name: str) -> None:
    target, _ = upload_patient(server, images(f"{name} a"))
    series = images(f"{name} b", **SAME)
    other, study = upload_patient(server, [*series, make_segmentation(series)])
    before = content(server)
    merge(server, f"patients/{target}", Resources=[other], KeepSource=True)
    after = check_everything(server, before, ignoring={Check.TOTALS, Check.PIXELS})
    assert server.http.json(f"/patients/{other}")["Studies"] == [study]
    assert after.files.items() >= before.files.items()
    assert len(after.files) == len(before.files) + 3


def test_a_dry_run_changes_nothing_and_its_plan_is_carried_out(
    server: RunningServer, name: str
) -> None:
    target, _ = upload_patient(server, images(f"{name} a"))
    other, _ = upload_patient(server, images(f"{name} b", **SAME))
    before = snapshot(server)
    plan = merge(server, f"patients/{target}", Resources=[other], DryRun=True)
    assert snapshot(server) == before
    answer = merge(
        server, f"patients/{target}", Resources=[other], Plan=plan["Plan"], Asynchronous=True
    )
    job = wait_for_job(server.http, answer["ID"], ("Success",))
    assert job["Type"] == "CuratorMergePatients"
    after = check_everything(server, before)
    assert set(instances_of(plan).values()) == set(after.files) - set(before.files)


def test_instances_record_who_they_were_of(server: RunningServer, name: str) -> None:
    target, _ = upload_patient(server, images(f"{name} a"))
    other, _ = upload_patient(server, images(f"{name} b", **OTHER_PERSON))
    before = content(server)
    was = shown(before)
    merge(server, f"patients/{target}", Resources=[other], OnConflict="Target")
    after = check_everything(server, before)
    for what, dataset in shown(after).items():
        if was[what].PatientID != "SYN0001":
            (item,) = dataset.OriginalAttributesSequence
            (previous,) = item.ModifiedAttributesSequence
            for keyword in OTHER_PERSON:
                assert previous[keyword] == was[what][keyword]


def test_a_damaged_instance_stays_with_its_patient_when_permitted(
    new_server: ServerFactory,
) -> None:
    server = new_server(MaximumStorageCacheSize=0)
    target, _ = upload_patient(server, images("a"))
    other, study = upload_patient(server, images("b", count=3, **SAME))
    before = content(server)
    broken = server.http.json(f"/studies/{study}/instances")[0]["ID"]
    path = stored_file(server, broken)
    whole = damage(server, broken)
    answer = server.http.post(f"/patients/{target}/merge", {"Resources": [other]})
    assert answer.status_code == 400, answer.text
    assert broken in answer.json()["Details"]
    result = merge(server, f"patients/{target}", Resources=[other], Permissive=True)
    assert result["FailedInstances"] == [broken]
    assert result["InstancesCount"] == 2
    path.write_bytes(whole)
    check_everything(server, before)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, '"Resources", "Studies" or both'),
        ({"Resources": []}, "$.Resources"),
        ({"Studies": []}, "$.Studies"),
        ({"Resources": "one"}, "$.Resources"),
        ({"Resources": ["one"], "OtherPatientIds": True}, 'did you mean "OtherPatientIDs"?'),
        ({"Resources": ["one"], "Keep": ["StudyInstanceUID"]}, "Force"),
        ({"Resources": ["one"], "Keep": ["PatientID"], "Force": True}, "can be kept"),
        ({"Resources": ["one"], "OnConflict": "Keep"}, "$.OnConflict"),
    ],
)
def test_what_is_wrong_in_the_body_is_named(
    server: RunningServer, name: str, body: dict[str, Any], words: str
) -> None:
    target, _ = upload_patient(server, images(name))
    answer = refusal(server, f"/patients/{target}/merge", 400, **body)
    assert words in answer["Details"]


def test_unknown_patients_and_studies_are_refused(server: RunningServer, name: str) -> None:
    target, study = upload_patient(server, images(f"{name} a"))
    other, theirs = upload_patient(server, images(f"{name} b", **SAME))
    assert "unknown" in refused(server, "unknown", other, status=404)["Details"].lower()
    assert "$.Resources[1]" in refused(server, target, other, "unknown", status=404)["Details"]
    assert "$.Resources[0]" in refused(server, target, theirs, status=404)["Details"]
    assert "already" in refused(server, target, other, target, status=400)["Details"]
    for status, one in ((404, "unknown"), (404, other), (400, study)):
        path = f"/patients/{target}/merge"
        assert "$.Studies[0]" in refusal(server, path, status, Studies=[one])["Details"]
