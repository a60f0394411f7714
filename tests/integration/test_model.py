"""The checks of a whole server hold on a sound one, and find what is wrong on another."""

import sqlite3
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings

from factory import ct_series, make_series, mr_series, uid
from integration.model import (
    check_everything,
    content,
    differences,
    snapshot,
    upload,
    upload_all,
)
from integration.servers import OrthancServer, RunningServer
from invariants import Check
from patients import RandomPatient, two_patients
from referring import make_segmentation

ServerFactory = Callable[..., OrthancServer]


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(two_patients())
def test_everything_holds_for_random_patients(
    server: RunningServer, both: tuple[RandomPatient, RandomPatient]
) -> None:
    server.clear()
    for patient in both:
        upload_all(server, patient.files)
    before = check_everything(server, ignoring={Check.HIERARCHY})
    assert len(before.files) == sum(len(patient.files) for patient in both)
    check_everything(server, before)


def test_a_series_that_is_not_complete_is_found(server: RunningServer) -> None:
    upload(server, list(make_series(2, ImagesInAcquisition=3, NumberOfTemporalPositions=1)))
    with pytest.raises(AssertionError, match="STATUS"):
        check_everything(server)
    check_everything(server, ignoring={Check.STATUS})


def test_an_index_that_does_not_agree_with_the_files_is_found(new_server: ServerFactory) -> None:
    server = new_server()
    upload(server, ct_series(1))
    server.stop()
    with sqlite3.connect(server.storage / "index") as index:
        index.execute("UPDATE MainDicomTags SET value='OTHER' WHERE value='SYNTHETIC^PATIENT'")
    index.close()
    server.start()
    with pytest.raises(AssertionError, match=r"INDEX: Patient \S+: PatientName"):
        check_everything(server)


def test_what_is_lost_is_found(server: RunningServer) -> None:
    images = ct_series(2)
    upload(server, [*images, make_segmentation(images)])
    before = check_everything(server)
    lost = next(
        orthanc_id
        for orthanc_id, dataset in before.datasets.items()
        if dataset.SOPInstanceUID == uid("study", "CT", 0)
    )
    assert server.http.delete(f"/instances/{lost}").ok
    with pytest.raises(AssertionError) as caught:
        check_everything(server, before)
    found = {line.split(":")[0] for line in str(caught.value).splitlines()[1:]}
    assert found >= {"TOTALS", "PIXELS", "DANGLING", "RESOLVED"}
    check_everything(server, content(server))


def test_snapshots_of_the_same_are_the_same(server: RunningServer) -> None:
    upload_all(server, [*ct_series(2), *mr_series(1, study="other")])
    assert differences(snapshot(server), snapshot(server)) == []


@pytest.mark.parametrize("level", ["patients", "studies", "series", "instances"])
def test_snapshots_tell_what_differs_at_each_level(new_server: ServerFactory, level: str) -> None:
    server = new_server(UserMetadata={"reviewer": 1024}, UserContentType={"report": 1025})
    upload(server, ct_series(1))
    (one,) = server.http.json(f"/{level}")
    before = snapshot(server)
    for path, content_ in (
        ("labels/urgent", b""),
        ("metadata/reviewer", b"\xff"),
        ("metadata/1030", b"number"),
        ("attachments/report", b"\x00text"),
    ):
        assert server.http.put(f"/{level}/{one}/{path}", data=content_).ok
        after = snapshot(server)
        (difference,) = differences(before, after)
        assert one in difference
        before = after
    stored = before.resources[one]
    assert stored.labels == {"urgent"}
    assert stored.metadata.items() >= {("reviewer", b"\xff"), ("1030", b"number")}
    assert stored.attachments == {"1025": b"\x00text"}


def test_snapshots_tell_what_is_gone_new_or_another(new_server: ServerFactory) -> None:
    server = new_server(OverwriteInstances=True)
    study = upload(server, ct_series(1))
    before = snapshot(server)
    upload(server, ct_series(1, StudyDescription="other"))
    found = differences(before, snapshot(server))
    assert any(line.startswith("file ") and line.endswith(" is another") for line in found)
    assert any(line.startswith(f"Study {study}: main_tags was ") for line in found)
    upload(server, mr_series(1, study="other"))
    assert any(line.endswith(" is new") for line in differences(before, snapshot(server)))
    assert server.http.delete(f"/studies/{study}").ok
    assert f"Study {study} is gone" in differences(before, snapshot(server))
