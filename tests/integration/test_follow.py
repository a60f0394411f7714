"""What arrives late under the identifiers of something that has moved goes after it.

The letter (m) is that of the list of measured traps that Curator was designed against: a late
instance of a moved series brings the old study back.
"""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from factory import make_series, mr_series, uid
from integration.model import check_everything, content, upload, upload_all
from integration.operating import (
    assert_as_before,
    everything,
    operate,
    patient_of,
    series_by_description,
    studies_by_description,
    study_elements,
    undo,
)
from integration.servers import OrthancServer, RunningServer
from integration.waiting import wait_until
from invariants import Check
from referring import make_key_objects, make_segmentation

ServerFactory = Callable[..., OrthancServer]

COUNT = 3
"""Instances of each series that are there in time."""

DATES = {"more": "20240203"}
"""Of the studies that are not of the day that all others are."""

_numbers = itertools.count()


def images(
    study: str, count: int = COUNT, first: int = 0, series: str = "CT", **elements: Any
) -> list[bytes]:
    """Return instances of a series; those from `first` on come late."""
    seed = int(uid(study, series).rsplit(".", 1)[1]) % 2**31
    values = {**study_elements(study, StudyDate=DATES.get(study, "20240102")), **elements}
    return [
        file
        for index in range(first, first + count)
        for file in make_series(
            1,
            study=study,
            series=series,
            **{
                "SOPInstanceUID": uid(study, series, index),
                "InstanceNumber": index + 1,
                "ImagePositionPatient": [0.0, 0.0, float(index)],
                "seed": seed + index,
                **values,
            },
        )
    ]


def late(study: str = "more", number: int = 0, **elements: Any) -> bytes:
    """Return an instance of a series that has moved."""
    return images(study, 1, COUNT + number, **elements)[0]


def two_studies(server: RunningServer) -> dict[str, str]:
    """Upload ``main`` and ``more`` of one patient; return their Orthanc identifiers."""
    upload_all(server, [*images("main"), *images("more")])
    return studies_by_description(server)


def merge(server: RunningServer, studies: dict[str, str], **body: Any) -> dict[str, Any]:
    """Merge ``more`` into ``main``."""
    return operate(
        server,
        f"studies/{studies['main']}/merge",
        **{"Resources": [studies["more"]], "OnConflict": "Target", **body},
    )


def wait_until_gone(server: RunningServer, resource: str) -> None:
    """Wait until something that has arrived late has gone on."""
    wait_until(resource, lambda: server.http.get(f"/{resource}").status_code, lambda it: it == 404)


def wait_for_count(server: RunningServer, count: int) -> None:
    """Wait until a server has so many instances, and none of them waits to go on."""
    wait_until(
        "instances",
        lambda: server.http.json("/statistics")["CountInstances"],
        lambda it: it == count,
    )


def numbers(datasets: Sequence[Dataset]) -> list[int]:
    return sorted(int(one.InstanceNumber) for one in datasets)


def let_it_look(server: RunningServer) -> None:
    """Return when Curator has looked at everything that has arrived so far.

    What arrives is looked at in turns. We let two others follow, one after the other: what was
    there when the first of them came was looked at no later than in the turn before the second's.
    """
    name = f"passer {next(_numbers)}"
    own: dict[str, Any] = study_elements(name, name)
    target, source = (
        server.upload(_passer(f"{name} {part}", 0, own))["ParentStudy"]
        for part in ("target", "source")
    )
    body = {"Resources": [source], "OnConflict": "Target"}
    operate(server, f"studies/{target}/merge", **body)
    for number in (1, 2):
        stored = server.upload(_passer(f"{name} source", number, own))
        assert stored["ParentStudy"] == source
        wait_until_gone(server, f"studies/{source}")
    assert server.http.delete(f"/studies/{target}").ok


def _passer(study: str, number: int, own: dict[str, Any]) -> bytes:
    return images(study, 1, number, **own)[0]


# Trap m


def test_m_a_late_instance_brings_the_old_study_back_without_curator(
    new_server: ServerFactory,
) -> None:
    server = new_server(with_plugin=False)
    studies = two_studies(server)
    answer = server.http.post(
        f"/studies/{studies['main']}/merge", {"Resources": [studies["more"]], "KeepSource": False}
    )
    assert answer.ok, answer.text
    assert server.http.json("/studies") == [studies["main"]]
    server.upload(late())
    assert sorted(server.http.json("/studies")) == sorted(studies.values())


def test_m_a_late_instance_follows_a_merged_study(server: RunningServer) -> None:
    studies = two_studies(server)
    done = merge(server, studies)
    (series,) = (one["ID"] for one in done["Groups"][0]["Series"])
    merged = content(server)

    assert server.upload(late())["ParentStudy"] == studies["more"]

    wait_until_gone(server, f"studies/{studies['more']}")
    after = check_everything(server)
    assert server.http.json("/studies") == [studies["main"]]
    assert len(server.http.json(f"/series/{series}")["Instances"]) == COUNT + 1
    (new,) = after.files.keys() - merged.files.keys()
    dataset = after.datasets[new]
    assert dataset.StudyDate == "20240102"  # the target's
    assert dataset.StudyInstanceUID == uid("main")
    assert dataset.InstanceNumber == COUNT + 1
    assert {one: after.files[one] for one in merged.files} == merged.files
    metadata = server.http.json(f"/instances/{new}/metadata?expand")
    assert metadata["ModifiedFrom"]


def test_m_a_late_instance_by_c_store_follows(new_server: ServerFactory) -> None:
    server = new_server(DicomServerEnabled=True, DicomCheckCalledAet=False)
    modalities = {"target": ["TARGET", "127.0.0.1", server.dicom_port]}
    sender = new_server(with_plugin=False, DicomAet="SCANNER", DicomModalities=modalities)
    studies = two_studies(server)
    merge(server, studies)
    sent = [sender.upload(late(number=number))["ID"] for number in range(5)]
    assert sender.http.post("/modalities/target/store", sent).ok

    wait_for_count(server, 2 * COUNT + len(sent))
    wait_until_gone(server, f"studies/{studies['more']}")
    after = check_everything(server)
    assert server.http.json("/studies") == [studies["main"]]
    origins = [
        server.http.json(f"/instances/{one}/metadata?expand").get("RemoteAET")
        for one in after.files
    ]
    assert origins.count("SCANNER") == len(sent)


@pytest.mark.parametrize("keep", [False, True], ids=["new UIDs", "kept UIDs"])
def test_an_instance_that_arrives_twice_is_there_once(server: RunningServer, keep: bool) -> None:
    studies = two_studies(server)
    options = {"Keep": ["SeriesInstanceUID", "SOPInstanceUID"], "Force": True} if keep else {}
    merge(server, studies, **options)
    for _ in range(2):
        server.upload(late())
        wait_until_gone(server, f"studies/{studies['more']}")
    after = check_everything(server)
    assert len(after.files) == 2 * COUNT + 1
    assert set(after.pixels.values()) == {1}


def test_an_instance_that_has_moved_adds_nothing_when_it_is_sent_again(
    server: RunningServer,
) -> None:
    studies = two_studies(server)
    merge(server, studies)
    merged = everything(server)
    upload(server, images("more"))
    wait_until_gone(server, f"studies/{studies['more']}")
    assert_as_before(server, merged)
    check_everything(server)


def test_many_instances_that_come_one_by_one_all_follow(server: RunningServer) -> None:
    studies = two_studies(server)
    merge(server, studies)
    more = 40
    for number in range(more):
        server.upload(late(number=number))
    wait_until_gone(server, f"studies/{studies['more']}")
    wait_for_count(server, 2 * COUNT + more)
    after = check_everything(server)
    own = [one for one in after.datasets.values() if one.SeriesDescription == "CT"]
    assert set(numbers(own)) == set(range(1, COUNT + more + 1))


def test_a_late_instance_of_a_number_that_is_taken_gets_a_free_one(server: RunningServer) -> None:
    studies = two_studies(server)
    merge(server, studies)
    server.upload(images("more", 1, COUNT, InstanceNumber=1)[0])
    wait_until_gone(server, f"studies/{studies['more']}")
    check_everything(server)


def test_a_late_series_of_a_moved_study_follows_with_a_free_number(
    server: RunningServer,
) -> None:
    studies = two_studies(server)
    merge(server, studies)
    # Both series have number 1 already, so the merged one has become number 2.
    upload(server, images("more", 2, series="late", SeriesNumber=2))
    upload(server, images("more", 2, series="later", SeriesNumber=1))
    wait_for_count(server, 2 * COUNT + 4)
    wait_until_gone(server, f"studies/{studies['more']}")
    after = check_everything(server, made=[uid("main")])
    series = {
        str(one.SeriesDescription): (one.StudyInstanceUID, int(one.SeriesNumber))
        for one in after.datasets.values()
    }
    assert {study for study, _ in series.values()} == {uid("main")}
    assert series.keys() == {"CT", "late", "later"}

    # What belongs to it and comes even later goes there too.
    upload(server, images("more", 1, 2, series="late", SeriesNumber=2))
    wait_until_gone(server, f"studies/{studies['more']}")
    after = check_everything(server, made=[uid("main")])
    own = [one for one in after.datasets.values() if one.SeriesDescription == "late"]
    assert len(own) == 3
    assert len({one.SeriesInstanceUID for one in own}) == 1


def test_late_objects_refer_to_where_their_images_are_now(server: RunningServer) -> None:
    studies = two_studies(server)
    merge(server, studies)
    sources = images("more")
    upload(server, [make_segmentation(sources), make_key_objects(sources)])
    wait_for_count(server, 2 * COUNT + 2)
    wait_until_gone(server, f"studies/{studies['more']}")
    after = check_everything(server)  # also: no reference of theirs leads nowhere
    moved = {one.SOPInstanceUID for one in after.datasets.values() if one.SeriesDescription == "CT"}
    (segmentation,) = (one for one in after.datasets.values() if one.Modality == "SEG")
    (references,) = segmentation.ReferencedSeriesSequence
    named = {one.ReferencedSOPInstanceUID for one in references.ReferencedInstanceSequence}
    assert named < moved


def test_objects_that_were_there_refer_to_a_late_image(server: RunningServer) -> None:
    """A key object selection was faster than the image that it selects."""
    studies = two_studies(server)
    upload(server, [make_key_objects([late(), *images("main", 1)], StudyInstanceUID=uid("main"))])
    merge(server, studies)
    server.upload(late())
    wait_until_gone(server, f"studies/{studies['more']}")
    after = check_everything(server)
    stored = {one.SOPInstanceUID for one in after.datasets.values()}
    (selection,) = (one for one in after.datasets.values() if one.Modality == "KO")
    named = {
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for item in selection.ContentSequence
        if item.ValueType == "IMAGE"
    }
    assert named <= stored


# Other operations


def test_late_instances_follow_a_split_into_studies(server: RunningServer) -> None:
    upload(server, [*images("main"), *images("main", series="moved", SeriesNumber=2)])
    study = studies_by_description(server)["main"]
    moved = series_by_description(server, study)["moved"]
    done = operate(server, f"studies/{study}/split", Series=[moved], Into="Studies")
    server.upload(late("main", series="moved", SeriesNumber=2))
    wait_until_gone(server, f"series/{moved}")
    after = check_everything(server)
    split = [
        one for one in after.datasets.values() if one.StudyInstanceUID == done["TargetStudyUID"]
    ]
    assert numbers(split) == list(range(1, COUNT + 2))
    # The series that has stayed is not concerned.
    server.upload(late("main"))
    assert len(server.http.json(f"/studies/{study}/instances")) == COUNT + 1


def test_what_is_late_for_a_series_that_was_divided_stays(server: RunningServer) -> None:
    """Nobody knows to which part it belongs."""
    upload(server, mr_series(2, study="main", echo_times=(10.0, 80.0), **_mr()))
    study = studies_by_description(server)["main"]
    series = series_by_description(server, study)["MR"]
    operate(server, f"series/{series}/split", By=["EchoTime"], Into="Studies")
    server.upload(_late_mr())
    let_it_look(server)
    assert server.http.json(f"/series/{series}")["Instances"]
    check_everything(server)


def test_late_instances_follow_a_merge_of_series(server: RunningServer) -> None:
    common: dict[str, Any] = {"FrameOfReferenceUID": "1.2.3.4"}
    upload(
        server,
        [
            *images("main", **common),
            *images("main", 2, 10, series="second", SeriesNumber=2, **common),
        ],
    )
    study = studies_by_description(server)["main"]
    series = series_by_description(server, study)
    operate(server, f"series/{series['CT']}/merge", Resources=[series["second"]])
    server.upload(images("main", 1, 12, series="second", SeriesNumber=2, **common)[0])
    wait_until_gone(server, f"series/{series['second']}")
    after = check_everything(server)
    assert server.http.json("/series") == [series["CT"]]
    assert numbers(list(after.datasets.values())) == [1, 2, 3, 11, 12, 13]


def test_late_instances_follow_a_merge_of_patients(server: RunningServer) -> None:
    upload_all(server, [*images("main"), *images("more", PatientID="P2")])
    studies = studies_by_description(server)
    target, source = (patient_of(server, studies[name]) for name in ("main", "more"))
    operate(server, f"patients/{target}/merge", Resources=[source])
    server.upload(late("more", PatientID="P2"))
    upload(server, images("more", 2, series="late", SeriesNumber=2, PatientID="P2"))
    wait_until_gone(server, f"patients/{source}")
    wait_for_count(server, 2 * COUNT + 3)
    after = check_everything(server)
    assert {one.PatientID for one in after.datasets.values()} == {"P1"}
    assert len(server.http.json("/studies")) == 2


def test_late_instances_follow_a_split_of_a_patient(server: RunningServer) -> None:
    otto: dict[str, Any] = {
        "PatientName": "SAME^OTTO",
        "PatientBirthDate": "19510607",
        "PatientSex": "M",
    }
    upload_all(server, [*images("main", 4), *images("more", **otto)])
    studies = studies_by_description(server)
    patient = patient_of(server, studies["main"])
    done = operate(server, f"patients/{patient}/split")
    server.upload(late("more", **otto))
    wait_until_gone(server, f"studies/{studies['more']}")
    after = check_everything(server)
    (other,) = (one["PatientID"] for one in done["Persons"] if one["PatientID"] != "P1")
    found = [one for one in after.datasets.values() if one.PatientID == other]
    assert len(found) == COUNT + 1


def test_late_instances_follow_over_several_operations(server: RunningServer) -> None:
    """What was merged and then merged on goes the whole way."""
    upload_all(server, [*images("main"), *images("more"), *images("last")])
    studies = studies_by_description(server)
    merge(server, studies)
    operate(
        server,
        f"studies/{studies['last']}/merge",
        Resources=[studies["main"]],
        OnConflict="Target",
    )
    server.upload(late())
    wait_for_count(server, 3 * COUNT + 1)
    for name in ("more", "main"):
        wait_until_gone(server, f"studies/{studies[name]}")
    check_everything(server, made=[uid("last")])
    assert server.http.json("/studies") == [studies["last"]]


def test_late_instances_follow_a_patient_over_several_merges(server: RunningServer) -> None:
    files = [images(f"study {patient}", PatientID=patient) for patient in ("P1", "P2", "P3")]
    upload_all(server, [file for one in files for file in one])
    studies = studies_by_description(server)
    patients = {name: patient_of(server, studies[f"study {name}"]) for name in ("P1", "P2", "P3")}
    operate(server, f"patients/{patients['P2']}/merge", Resources=[patients["P1"]])
    operate(server, f"patients/{patients['P3']}/merge", Resources=[patients["P2"]])
    server.upload(late("study P1", PatientID="P1"))
    for name in ("P1", "P2"):
        wait_until_gone(server, f"patients/{patients[name]}")
    after = check_everything(server)
    assert len(after.files) == 3 * COUNT + 1
    assert len(server.http.json("/studies")) == 3


# When it arrives


def test_instances_that_arrive_while_it_is_merged_follow(server: RunningServer) -> None:
    many = 120
    upload_all(server, [*images("main", 1), *images("more", many)])
    studies = studies_by_description(server)
    started = merge(server, studies, Asynchronous=True)
    job = started["ID"]
    wait_until("progress", lambda: server.http.json(f"/jobs/{job}"), lambda one: one["Progress"])
    assert server.http.post(f"/jobs/{job}/pause").ok
    wait_until(
        "pause", lambda: server.http.json(f"/jobs/{job}")["State"], lambda it: it == "Paused"
    )
    server.upload(images("more", 1, many)[0])
    assert server.http.post(f"/jobs/{job}/resume").ok
    wait_until("job", lambda: server.http.json(f"/jobs/{job}")["State"], lambda it: it == "Success")
    wait_until_gone(server, f"studies/{studies['more']}")
    after = check_everything(server)
    assert len(after.files) == many + 2


def test_what_arrives_while_orthanc_runs_without_curator_is_found_at_the_start(
    new_server: ServerFactory, tmp_path: Path
) -> None:
    storage = tmp_path / "storage"
    server = new_server(storage=storage)
    studies = two_studies(server)
    merge(server, studies)
    server.stop()
    stock = new_server(storage=storage, with_plugin=False)
    stock.upload(late())
    assert stock.http.get(f"/studies/{studies['more']}").ok
    stock.stop()
    server.start()
    wait_until_gone(server, f"studies/{studies['more']}")
    after = check_everything(server)
    assert len(after.files) == 2 * COUNT + 1
    assert server.http.json("/studies") == [studies["main"]]


def test_it_is_remembered_over_a_restart(new_server: ServerFactory) -> None:
    server = new_server()
    studies = two_studies(server)
    merge(server, studies)
    server.kill()
    server.start()
    server.upload(late())
    wait_until_gone(server, f"studies/{studies['more']}")
    assert len(check_everything(server).files) == 2 * COUNT + 1


# What does not follow


def test_nothing_follows_where_it_is_not_wanted(server: RunningServer) -> None:
    studies = two_studies(server)
    merge(server, studies, Follow=False)
    server.upload(late())
    before = everything(server)
    let_it_look(server)
    assert server.http.get(f"/studies/{studies['more']}").ok
    assert_as_before(server, before)


def test_nothing_follows_copies(server: RunningServer) -> None:
    studies = two_studies(server)
    merge(server, studies, KeepSource=True)
    server.upload(late())
    let_it_look(server)
    assert len(server.http.json(f"/studies/{studies['more']}/instances")) == COUNT + 1


def test_nothing_follows_after_an_undo(server: RunningServer) -> None:
    studies = two_studies(server)
    undo(server, merge(server, studies)["Operation"])
    for study in studies.values():  # so that both are new again
        assert server.http.delete(f"/studies/{study}").ok
    two_studies(server)
    server.upload(late())
    before = everything(server)
    let_it_look(server)
    assert_as_before(server, before)


def test_nothing_follows_results_that_were_deleted(server: RunningServer) -> None:
    studies = two_studies(server)
    done = merge(server, studies)
    (series,) = (one["ID"] for one in done["Groups"][0]["Series"])
    assert server.http.delete(f"/series/{series}").ok
    upload(server, images("more"))
    before = everything(server)
    let_it_look(server)
    assert_as_before(server, before)


def test_nothing_follows_when_it_is_remembered_for_no_day(
    new_server: ServerFactory, tmp_path: Path
) -> None:
    storage = tmp_path / "storage"
    server = new_server(storage=storage, Curator={"FollowDays": 0})
    studies = two_studies(server)
    merge(server, studies)
    server.upload(late())
    before = everything(server)
    server.stop()
    another = new_server(storage=storage)  # by default it is remembered, and looked at the start
    let_it_look(another)
    assert_as_before(another, before)


def test_another_image_of_the_same_identifier_stays_and_replaces_nothing(
    server: RunningServer,
) -> None:
    studies = two_studies(server)
    merge(server, studies)
    merged = content(server)
    upload(server, images("more", 1, seed=424242))
    let_it_look(server)
    after = check_everything(server, ignoring={Check.TOTALS})
    assert {one: after.files[one] for one in merged.files} == merged.files
    assert len(server.http.json(f"/studies/{studies['more']}/instances")) == 1


def test_undo_takes_late_instances_back_as_well(server: RunningServer) -> None:
    studies = two_studies(server)
    before = everything(server)
    done = merge(server, studies)
    server.upload(late())
    wait_until_gone(server, f"studies/{studies['more']}")
    follow, *_ = (
        one["ID"]
        for one in server.http.json("/curator/operations?expand")
        if one["Kind"] == "Follow"
    )
    undo(server, follow)
    undo(server, done["Operation"])
    (file,) = (
        one["ID"]
        for one in server.http.json(f"/studies/{studies['more']}/instances")
        if one["ID"] not in before.content.files
    )
    assert content(server).files[file] == late()
    assert server.http.delete(f"/instances/{file}").ok
    assert_as_before(server, before)


def _mr() -> dict[str, Any]:
    return {**study_elements("main"), "SeriesDescription": "MR"}


def _late_mr() -> bytes:
    """Return an instance of the MR series with a new identifier."""
    (file,) = make_series(
        1,
        study="main",
        series="MR",
        Modality="MR",
        SOPInstanceUID=uid("late MR"),
        InstanceNumber=99,
        EchoTime=10.0,
        seed=99,
        **study_elements("main"),
    )
    return file
