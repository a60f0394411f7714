"""What the built-in split and modification lose, and Curator's split does not.

The letters are those of the list of measured traps that Curator was designed against; that the
stock server falls into them is in `test_stock_traps`.
"""

from collections.abc import Callable
from typing import Any

import pytest

from factory import ct_series, make_instance, make_series, mr_series, uid
from integration.model import (
    check_model,
    check_numbers,
    content,
    damage,
    series_of,
    split,
    stored_file,
    upload,
)
from integration.servers import OrthancServer, RunningServer
from integration.waiting import wait_for_job

ServerFactory = Callable[..., OrthancServer]

#: The storage cache would hide what the tests do to files.
UNCACHED = {"MaximumStorageCacheSize": 0}


def files(server: OrthancServer) -> dict[str, str]:
    """Return the instances and their stored files, which a broken one has too."""
    return {one["ID"]: one["FileUuid"] for one in server.http.json("/instances?expand")}


def test_a_permissive_split_deletes_no_source_whose_copy_failed(new_server: ServerFactory) -> None:
    server = new_server(**UNCACHED)
    study = upload(server, ct_series(4))
    broken = server.http.json(f"/studies/{study}/instances")[1]["ID"]
    series = series_of(server, study)["CT"]["ID"]
    damage(server, broken)

    result = split(server, f"studies/{study}", Series=[series], Into="Studies", Permissive=True)

    assert result["FailedInstances"] == [broken]
    assert result["InstancesCount"] == 3
    assert server.http.json(f"/studies/{study}/instances")[0]["ID"] == broken
    assert len(server.http.json("/instances")) == 4


def test_a_split_that_is_not_permissive_names_the_broken_instance(
    new_server: ServerFactory,
) -> None:
    server = new_server(**UNCACHED)
    study = upload(server, ct_series(4))
    broken = server.http.json(f"/studies/{study}/instances")[1]["ID"]
    series = series_of(server, study)["CT"]["ID"]
    damage(server, broken)
    before = files(server)
    answer = server.http.post(f"/studies/{study}/split", {"Series": [series], "Into": "Studies"})
    assert not answer.ok
    assert broken in answer.json()["Details"]
    assert files(server) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_b_c_kept_identifiers_lose_nothing(new_server: ServerFactory, overwrite: bool) -> None:
    server = new_server(OverwriteInstances=overwrite)
    study = upload(server, ct_series(3))
    series = series_of(server, study)["CT"]["ID"]
    before = content(server)
    result = split(
        server,
        f"studies/{study}",
        Series=[series],
        Keep=["SeriesInstanceUID", "SOPInstanceUID"],
        Force=True,
        Replace={"StudyDescription": "kept"},
    )
    assert result["InstancesCount"] == 3
    after = content(server)
    assert after.pixels == before.pixels
    assert {one.StudyDescription for one in after.datasets.values()} == {"kept"}
    check_model(server)


def test_d_a_selection_named_twice_is_copied_once(server: RunningServer) -> None:
    study = upload(server, ct_series(3))
    series = series_of(server, study)["CT"]["ID"]
    before = content(server)
    result = split(server, f"studies/{study}", Series=[series, series], Into="Studies")
    assert result["InstancesCount"] == 3
    assert content(server).pixels == before.pixels


def test_e_a_failed_split_leaves_nothing_and_a_resubmitted_one_doubles_nothing(
    new_server: ServerFactory,
) -> None:
    server = new_server(**UNCACHED)
    study = upload(server, ct_series(40))
    broken = server.http.json(f"/studies/{study}/instances")[20]["ID"]
    series = series_of(server, study)["CT"]["ID"]
    path = stored_file(server, broken)
    whole = damage(server, broken)
    before = files(server)
    answer = server.http.post(f"/studies/{study}/split", {"Series": [series], "Into": "Studies"})
    assert not answer.ok
    assert broken in answer.json()["Details"]
    assert files(server) == before, "the source is whole and nothing new is left"

    path.write_bytes(whole)
    (job,) = server.http.json("/jobs")
    assert server.http.json(f"/jobs/{job}")["State"] == "Failure"
    pixels = content(server).pixels
    assert server.http.post(f"/jobs/{job}/resubmit").ok
    wait_for_job(server.http, job, ("Success",))
    assert content(server).pixels == pixels
    check_model(server)


def test_e_a_full_storage_leaves_the_source_whole(new_server: ServerFactory) -> None:
    server = new_server(MaximumStorageSize=1, MaximumStorageMode="Reject")
    study = upload(server, ct_series(12, size=160))  # 0.6 MB, and as much again does not fit
    series = series_of(server, study)["CT"]["ID"]
    before = content(server)
    answer = server.http.post(f"/studies/{study}/split", {"Series": [series], "Into": "Studies"})
    assert answer.status_code == 500, answer.text
    assert content(server) == before


def test_f_a_patient_is_not_given_the_study_of_another_person(server: RunningServer) -> None:
    server.upload(
        make_instance(
            PatientID="OTHER",
            PatientName="SOMEONE^ELSE",
            StudyInstanceUID=uid("other", "study"),
            SOPInstanceUID=uid("other", "instance"),
        )
    )
    study = upload(server, ct_series(2))
    series = series_of(server, study)["CT"]["ID"]
    before = content(server)
    body = {"Series": [series], "Into": "Studies", "Replace": {"PatientID": "OTHER"}}
    answer = server.http.post(f"/studies/{study}/split", body)
    assert answer.status_code == 409, answer.text
    assert "PatientName" in answer.json()["Details"]
    assert content(server) == before

    body["Replace"] = {"PatientID": "OTHER", "PatientName": "SOMEONE^ELSE"}
    assert server.http.post(f"/studies/{study}/split", body).ok
    check_model(server)


def test_g_one_study_stays_under_one_patient(server: RunningServer) -> None:
    study = upload(server, [*ct_series(2), *mr_series(2)])
    series = series_of(server, study)["MR"]["ID"]
    replace = {"PatientID": "OTHER", "PatientName": "OTHER^NAME"}
    result = split(server, f"studies/{study}", Series=[series], Into="Studies", Replace=replace)
    new = server.http.json(f"/studies/{result['TargetStudy']}")
    assert new["PatientMainDicomTags"]["PatientID"] == "OTHER"
    assert new["MainDicomTags"]["StudyInstanceUID"] == result["TargetStudyUID"]
    assert len(server.http.json("/patients")) == 2
    check_model(server)


@pytest.mark.parametrize("name", ["山田^太郎", "Иванов^Иван", "محمد^علي", "Müller^Jürgen"])
def test_i_a_name_that_the_character_set_cannot_hold_survives(
    server: RunningServer, name: str
) -> None:
    original: dict[str, Any] = {"SpecificCharacterSet": "ISO_IR 100", "StudyDescription": "Schädel"}
    study = upload(server, ct_series(2, **original))
    series = series_of(server, study)["CT"]["ID"]
    split(
        server,
        f"studies/{study}",
        Series=[series],
        Into="Studies",
        Replace={"PatientName": name, "PatientID": "P2"},
    )
    for dataset in content(server).datasets.values():
        assert str(dataset.PatientName) == name
        assert dataset.StudyDescription == "Schädel"
    (patient,) = server.http.json("/patients?expand")
    assert patient["MainDicomTags"]["PatientName"] == name


def test_j_labels_metadata_and_attachments_move_along(new_server: ServerFactory) -> None:
    server = new_server(UserMetadata={"reviewer": 1024}, UserContentType={"report": 1025})
    study = upload(server, ct_series(2))
    series = series_of(server, study)["CT"]["ID"]
    instance = server.http.json(f"/series/{series}")["Instances"][0]
    carried = (f"/studies/{study}", f"/series/{series}", f"/instances/{instance}")
    for resource in carried:
        assert server.http.put(f"{resource}/labels/urgent").ok
        assert server.http.put(f"{resource}/metadata/reviewer", data=b"someone").ok
        assert server.http.put(f"{resource}/attachments/report", data=b"\x00text").ok

    result = split(server, f"studies/{study}", Series=[series], Into="Studies")

    new_series = result["Groups"][0]["Series"][0]["ID"]
    new_instance = next(
        one["ID"]
        for one in server.http.json(f"/series/{new_series}/instances?expand")
        if server.http.json(f"/instances/{one['ID']}/metadata?expand")["ModifiedFrom"] == instance
    )
    levels = ("studies", "series", "instances")
    news = (result["TargetStudy"], new_series, new_instance)
    olds = (study, series, instance)
    for level, new, old in zip(levels, news, olds, strict=True):
        resource = f"/{level}/{new}"
        assert server.http.json(f"{resource}/labels") == ["urgent"]
        metadata = server.http.json(f"{resource}/metadata?expand")
        assert metadata["reviewer"] == "someone"
        assert metadata["ModifiedFrom"] == old
        assert server.http.get(f"{resource}/attachments/report/data").content == b"\x00text"


def test_j_labels_stay_behind_when_asked(server: RunningServer) -> None:
    study = upload(server, ct_series(1))
    series = series_of(server, study)["CT"]["ID"]
    assert server.http.put(f"/series/{series}/labels/urgent").ok
    result = split(server, f"studies/{study}", Series=[series], Into="Studies", KeepLabels=False)
    new_series = result["Groups"][0]["Series"][0]["ID"]
    assert server.http.json(f"/series/{new_series}/labels") == []


def test_j_the_sender_of_an_instance_is_not_forgotten(new_server: ServerFactory) -> None:
    server = new_server(DicomServerEnabled=True, DicomCheckCalledAet=False)
    modalities = {"target": ["TARGET", "127.0.0.1", server.dicom_port]}
    sender = new_server(with_plugin=False, DicomAet="SCANNER", DicomModalities=modalities)
    study = upload(sender, ct_series(1))
    assert sender.http.post("/modalities/target/store", data=study.encode()).ok
    series = series_of(server, study)["CT"]["ID"]
    result = split(server, f"studies/{study}", Series=[series], Into="Studies")
    (instance,) = server.http.json("/instances")
    metadata = server.http.json(f"/instances/{instance}/metadata?expand")
    assert metadata["RemoteAET"] == "SCANNER"
    assert metadata["CalledAET"] == "TARGET"
    new_series = result["Groups"][0]["Series"][0]["ID"]
    assert server.http.json(f"/series/{new_series}/metadata?expand")["RemoteAET"] == "SCANNER"


def counted(series: str, **elements: Any) -> list[bytes]:
    """Make a series of two temporal positions of three images, which Orthanc counts."""
    return list(
        make_series(
            6,
            series=series,
            ImagesInAcquisition=3,
            NumberOfTemporalPositions=2,
            TemporalPositionIdentifier=lambda index: index // 3 + 1,
            **elements,
        )
    )


def test_k_numbers_do_not_collide_and_no_series_shows_as_missing(server: RunningServer) -> None:
    study = upload(server, [*counted("perfusion"), *ct_series(2, series="other", SeriesNumber=2)])
    assert series_of(server, study)["perfusion"]["Status"] == "Complete"
    split(
        server,
        f"studies/{study}",
        By=["TemporalPosition"],
        Into="Series",
        Where={"Tag": "SeriesDescription", "Equals": "perfusion"},
    )
    series = server.http.json(f"/studies/{study}/series?expand")
    assert sorted(one["Status"] for one in series) == ["Complete", "Complete", "Unknown"]
    check_model(server)
    check_numbers(server, study)


def test_k_what_stays_behind_does_not_show_as_missing(server: RunningServer) -> None:
    study = upload(server, counted("perfusion"))
    split(
        server,
        f"studies/{study}",
        By=["TemporalPosition"],
        Where={"Tag": "TemporalPositionIdentifier", "Equals": 2},
        Into="Series",
    )
    check_model(server)
    check_numbers(server, study)


def test_instances_with_one_number_are_renumbered(server: RunningServer) -> None:
    files = [
        make_instance(SOPInstanceUID=uid("same", index), InstanceNumber=7, EchoTime=index % 2)
        for index in range(4)
    ]
    study = upload(server, files)
    split(server, f"studies/{study}", By=["EchoTime"], Into="Series")
    check_numbers(server, study)
