"""Merges and undos that are killed, run into each other or into a full disk: nothing is lost."""

import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import requests

from factory import make_instance, make_series, mr_series, uid
from integration.model import check_everything, content, upload_all
from integration.operating import (
    Everything,
    ask,
    assert_as_before,
    everything,
    hang_on_everything,
    household,
    operate,
    series_by_description,
    studies_by_description,
    study_elements,
    undo,
)
from integration.servers import OrthancServer, RunningServer
from integration.waiting import wait_for_job, wait_until
from referring import make_key_objects, make_report, make_segmentation

ServerFactory = Callable[..., OrthancServer]

POINTS = int(os.environ.get("CURATOR_TEST_KILLS", "3"))
"""Points at which each kind of operation is killed; more of them find more."""

STEADY: dict[str, Any] = {"StableAge": 600}
"""Settings of a server that is stopped: Python's plugin 7.1 crashes on changes that come then."""

COUNT = 24
"""Instances of each of the two series that become one."""

MANY = 120
"""Instances of a merge that takes long enough to be disturbed in the middle."""

MEGABYTE = 1024 * 1024


@cache
def interleaved_studies() -> tuple[bytes, ...]:
    """Return ``main`` and ``more``, whose series interleave, and what refers to both.

    The merge of the series gives each instance another number; besides, ``more`` has a second
    series, ``other`` is a study that has only a report, and both studies refer to ``more``.
    """
    halves = [
        list(
            make_series(
                COUNT,
                study=study,
                series="CT",
                seed=lambda index, first=first: 1000 * int(first) + index,
                ImagePositionPatient=lambda index, first=first: [0.0, 0.0, 2.0 * index + first],
                **study_elements(study, FrameOfReferenceUID="1.2.3.4"),
            )
        )
        for study, first in (("main", 0.0), ("more", 1.0))
    ]
    second = mr_series(8, study="more", SeriesNumber=2, **study_elements("more"))
    targets = [*halves[0][:2], *halves[1], *second[:2]]
    other = study_elements("other")
    return (
        *halves[0],
        *halves[1],
        *second,
        make_segmentation(halves[0]),
        make_segmentation(targets, label="ALL"),
        make_key_objects(targets),
        make_report(targets, label="ELSEWHERE", **{**other, "StudyInstanceUID": uid("other")}),
    )


def start(server: RunningServer, path: str, **body: Any) -> str:
    """Start an operation and return its job."""
    return str(operate(server, path, **body, Asynchronous=True)["ID"])


def merge_body(server: RunningServer) -> tuple[str, dict[str, Any]]:
    """Return path and body of the merge of `interleaved_studies`."""
    studies = studies_by_description(server)
    source, target = (
        series_by_description(server, studies[name])["CT"] for name in ("more", "main")
    )
    body = {
        "Resources": [studies["more"]],
        "SeriesInto": {source: target},
        "OnConflict": "Target",
    }
    return f"studies/{studies['main']}/merge", body


def stored_anew(server: RunningServer, files: Sequence[bytes] = ()) -> Everything:
    """Let the server hold nothing but the given files, with something on each."""
    server.clear()
    upload_all(server, list(files or interleaved_studies()))
    hang_on_everything(server)
    return everything(server)


def duration(server: RunningServer, act: Callable[[], str]) -> float:
    """Return how many seconds a job takes."""
    begin = time.perf_counter()
    wait_for_job(server.http, act(), ("Success",))
    return time.perf_counter() - begin


def points(chance: random.Random, seconds: float) -> Iterator[float]:
    """Yield one moment of each part of the time that an operation takes."""
    for point in range(POINTS):
        yield seconds * (point + chance.random()) / POINTS


def pause_in_the_middle(server: RunningServer, job: str) -> None:
    """Pause a job that has written something and not all."""
    wait_until("progress", lambda: server.http.json(f"/jobs/{job}"), lambda one: one["Progress"])
    assert server.http.post(f"/jobs/{job}/pause").ok
    assert wait_for_job(server.http, job, ("Paused",))["Progress"] < 100


def large_studies(count: int = MANY) -> list[bytes]:
    """Return ``main`` with a key object selection that refers to ``more``, which is large."""
    source = mr_series(count, study="more", **study_elements("more"))
    target = mr_series(2, study="main", **study_elements("main"), seed=9000)
    shared: dict[str, Any] = {
        "StudyDescription": "main",
        "AccessionNumber": "ACC-main",
        "StudyID": "main",
    }
    selection = make_key_objects(source[:2], **shared, StudyInstanceUID=uid("main"))
    return [*target, *source, selection]


def plain_merge(server: RunningServer) -> tuple[str, dict[str, Any]]:
    """Return path and body of the merge of ``more`` into ``main``."""
    studies = studies_by_description(server)
    body = {"Resources": [studies["more"]], "OnConflict": "Target"}
    return f"studies/{studies['main']}/merge", body


# kill -9


def test_killing_a_merge_at_any_point_loses_nothing_and_leaves_no_orphan(
    new_server: ServerFactory,
) -> None:
    server = new_server(**STEADY)
    stored_anew(server)
    path, body = merge_body(server)
    seconds = duration(server, lambda: start(server, path, **body))
    chance = random.Random(f"merge on {server.release}")
    for point in points(chance, seconds):
        before = stored_anew(server)
        job = start(server, path, **body)
        time.sleep(point)
        server.kill()
        server.start()
        when = f"killed after {point:.3f} of {seconds:.3f} s"
        ended = wait_for_job(server.http, job)
        if ended["State"] == "Success":
            after = check_everything(server, before.content)
            assert len(after.files) == len(before.content.files), when
            undo(server, ended["Content"]["Operation"])
        assert_as_before(server, before, when)


def test_killing_an_undo_at_any_point_still_puts_everything_back(
    new_server: ServerFactory,
) -> None:
    server = new_server(**STEADY)
    stored_anew(server)
    path, body = merge_body(server)
    operation = operate(server, path, **body)["Operation"]
    way_back = f"curator/operations/{operation}/undo"
    seconds = duration(server, lambda: start(server, way_back))
    chance = random.Random(f"undo on {server.release}")
    for point in points(chance, seconds):
        before = stored_anew(server)
        operation = operate(server, path, **body)["Operation"]
        job = start(server, f"curator/operations/{operation}/undo")
        time.sleep(point)
        server.kill()
        server.start()
        ended = wait_for_job(server.http, job)
        if ended["State"] == "Failure":
            check_everything(server, before.content)
            undo(server, operation)
        assert_as_before(server, before, f"killed after {point:.3f} of {seconds:.3f} s")
        assert server.http.json(f"/curator/operations/{operation}")["State"] == "Undone"


def test_a_merge_that_is_killed_again_and_again_comes_to_its_end(
    new_server: ServerFactory,
) -> None:
    server = new_server(**STEADY)
    before = stored_anew(server)
    path, body = merge_body(server)
    job = start(server, path, **body)
    chance = random.Random(f"again on {server.release}")
    for _ in range(3):
        time.sleep(0.2 * chance.random())
        server.kill()
        server.start()
    ended = wait_for_job(server.http, job, ("Success",))
    check_everything(server, before.content)
    undo(server, ended["Content"]["Operation"])
    assert_as_before(server, before)


def test_a_merge_goes_on_after_orthanc_was_stopped_in_the_middle(
    new_server: ServerFactory,
) -> None:
    server = new_server(**STEADY)
    upload_all(server, large_studies())
    before = everything(server)
    path, body = plain_merge(server)
    job = start(server, path, **body)
    wait_until("progress", lambda: server.http.json(f"/jobs/{job}"), lambda one: one["Progress"])
    server.stop()
    server.start()
    ended = wait_for_job(server.http, job, ("Success",))
    check_everything(server, before.content)
    undo(server, ended["Content"]["Operation"])
    assert_as_before(server, before)


# Several at once


def test_two_callers_with_one_study_lose_nothing(server: RunningServer) -> None:
    upload_all(server, list(household()))
    before = everything(server)
    path, body = plain_merge(server)
    studies = studies_by_description(server)
    (series,) = [
        one for name, one in series_by_description(server, studies["more"]).items() if name == "CT"
    ]
    answers = at_once(
        [
            lambda: ask(server, path, **body),
            lambda: ask(server, path, **body, PatientStudy="Keep"),
            lambda: ask(server, f"series/{series}/split", By=["InstanceNumber"]),
        ]
    )
    _check_one_or_more_done(answers)
    check_everything(server, before.content)
    for answer in reversed(_in_order(server, answers)):
        undo(server, answer)
    assert_as_before(server, before)


def test_a_merge_in_both_directions_at_once_loses_nothing(server: RunningServer) -> None:
    upload_all(server, list(household()))
    studies = studies_by_description(server)
    before = everything(server)
    main, more = studies["main"], studies["more"]

    def merge(target: str, source: str) -> requests.Response:
        body = {"Resources": [source], "OnConflict": "Target"}
        return ask(server, f"studies/{target}/merge", **body)

    answers = at_once([lambda: merge(main, more), lambda: merge(more, main)])
    _check_one_or_more_done(answers)
    check_everything(server, before.content)
    for operation in reversed(_in_order(server, answers)):
        undo(server, operation)
    assert_as_before(server, before)


def test_an_operation_on_what_another_one_holds_is_refused(server: RunningServer) -> None:
    upload_all(server, large_studies())
    before = everything(server)
    path, body = plain_merge(server)
    job = start(server, path, **body)
    pause_in_the_middle(server, job)
    studies = studies_by_description(server)
    others: list[tuple[str, dict[str, Any]]] = [
        (path, body),
        (f"studies/{studies['more']}/split", {"By": ["InstanceNumber"]}),
        (
            f"studies/{studies['more']}/merge",
            {"Resources": [studies["main"]], "OnConflict": "Target"},
        ),
    ]
    for other, its_body in others:
        answer = ask(server, other, **its_body)
        assert answer.status_code == 409, answer.text
        assert job in answer.json()["Details"]
    assert server.http.post(f"/jobs/{job}/cancel").ok
    wait_for_job(server.http, job, ("Failure",))
    assert_as_before(server, before)


# Others delete meanwhile


def test_a_target_that_is_deleted_in_the_middle_takes_no_source_along(
    server: RunningServer,
) -> None:
    upload_all(server, large_studies())
    before = content(server)
    path, body = plain_merge(server)
    studies = studies_by_description(server)
    job = start(server, path, **body)
    pause_in_the_middle(server, job)
    assert server.http.delete(f"/studies/{studies['main']}").ok
    assert server.http.post(f"/jobs/{job}/resume").ok
    ended = wait_for_job(server.http, job, ("Failure",))
    assert "was deleted meanwhile" in ended["ErrorDetails"]
    after = check_everything(server)
    assert server.http.json("/studies") == [studies["more"]]
    assert after.files == {one: before.files[one] for one in after.files}
    assert len(after.files) == MANY


def test_a_target_that_is_deleted_while_instances_come_takes_no_source_along(
    server: RunningServer,
) -> None:
    """Nothing of the target is overwritten, so it may also end well: with the source alone."""
    files = large_studies()[:-1]
    upload_all(server, files)
    path, body = plain_merge(server)
    studies = studies_by_description(server)
    sources = [one["ID"] for one in server.http.json(f"/studies/{studies['more']}/instances")]
    pixels = content(server).pixels
    job = start(server, path, **body)

    def delete() -> None:
        http = server.http.__class__(server.url)  # a session belongs to one thread
        wait_until("progress", lambda: http.json(f"/jobs/{job}"), lambda one: one["Progress"])
        assert http.delete(f"/studies/{studies['main']}").ok
        http.close()

    thread = threading.Thread(target=delete)
    thread.start()
    ended = wait_for_job(server.http, job)
    thread.join()
    after = check_everything(server)
    assert len(after.files) == MANY
    assert after.pixels <= pixels
    (study,) = server.http.json("/studies")
    if ended["State"] == "Failure":
        assert study == studies["more"]
        assert sorted(after.files) == sorted(sources)
    else:
        assert study == studies["main"]


@pytest.mark.parametrize("what", ["study", "instance"])
def test_a_source_that_is_deleted_in_the_middle_ends_the_merge(
    server: RunningServer, what: str
) -> None:
    upload_all(server, large_studies())
    path, body = plain_merge(server)
    more = studies_by_description(server)["more"]
    one = server.http.json(f"/studies/{more}/instances")[-1]["ID"]
    job = start(server, path, **body)
    pause_in_the_middle(server, job)
    gone = f"/studies/{more}" if what == "study" else f"/instances/{one}"
    assert server.http.delete(gone).ok
    assert server.http.post(f"/jobs/{job}/resume").ok
    ended = wait_for_job(server.http, job, ("Failure",))
    assert "was deleted meanwhile" in ended["ErrorDetails"]
    after = content(server)
    assert len(after.files) == (3 if what == "study" else MANY + 2)
    assert one not in after.files
    if what == "instance":
        check_everything(server)


def test_a_source_that_is_overwritten_in_the_middle_ends_the_merge(
    new_server: ServerFactory,
) -> None:
    server = new_server(OverwriteInstances=True)
    files = large_studies()
    upload_all(server, files)
    path, body = plain_merge(server)
    job = start(server, path, **body)
    pause_in_the_middle(server, job)
    newer = mr_series(
        1, study="more", **study_elements("more"), SeriesDescription="newer", seed=777
    )
    stored = server.upload(newer[0])
    assert stored["Status"] == "Success"
    before = content(server).files[stored["ID"]]
    assert server.http.post(f"/jobs/{job}/resume").ok
    ended = wait_for_job(server.http, job, ("Failure",))
    assert f"Instance {stored['ID']} was overwritten meanwhile" in ended["ErrorDetails"]
    after = content(server)
    assert after.files[stored["ID"]] == before == newer[0]
    assert len(after.files) == len(files)


# A disk that fills up


def test_a_storage_that_fills_up_while_copies_are_written_leaves_all_as_it_was(
    new_server: ServerFactory,
) -> None:
    server = new_server(MaximumStorageSize=1, MaximumStorageMode="Reject", **STEADY)
    source = mr_series(12, study="more", **study_elements("more", Rows=160, Columns=160))
    target = mr_series(2, study="main", **study_elements("main"))
    before = stored_anew(server, [*source, *target])
    path, body = plain_merge(server)
    answer = ask(server, path, **body)
    assert answer.status_code == 500, answer.text
    assert_as_before(server, before)
    assert server.http.json("/curator/operations?expand")[0]["State"] == "Failure"


@pytest.mark.parametrize("ends", ["resubmit", "restart"])
def test_a_storage_that_fills_up_while_others_are_overwritten_loses_nothing(
    new_server: ServerFactory, ends: str
) -> None:
    """What could not be stored is kept by Curator, and stored when there is room again."""
    server = new_server(MaximumStorageSize=1, MaximumStorageMode="Reject", **STEADY)
    copies, growth = _sizes_of_the_merge(server)
    before = stored_anew(server)
    path, body = merge_body(server)
    # Room for all copies, and for half of what overwritten instances are larger than before.
    used = int(server.http.json("/statistics")["TotalDiskSize"])
    filler = server.upload(_of_size(MEGABYTE - used - copies - growth // 2))

    answer = ask(server, path, **body)

    assert answer.status_code == 500, answer.text
    job = server.http.json("/curator/operations?expand")[0]["Job"]
    assert server.http.json(f"/jobs/{job}")["State"] == "Failure"
    assert server.http.delete(f"/patients/{filler['ParentPatient']}").ok
    if ends == "resubmit":
        assert server.http.post(f"/jobs/{job}/resubmit").ok
    else:
        server.stop()
        server.start()
    ended = wait_for_job(server.http, job, ("Success",))
    check_everything(server, before.content)
    undo(server, ended["Content"]["Operation"])
    assert_as_before(server, before)


def test_a_disk_that_is_full_leaves_all_as_it_was(
    new_server: ServerFactory, small_disk: Path
) -> None:
    """Here also the index of Orthanc and the database of Curator have no room."""
    server = new_server(storage=small_disk, **STEADY)
    source = mr_series(30, study="more", **study_elements("more", Rows=512, Columns=512))
    target = mr_series(2, study="main", **study_elements("main"))
    before = stored_anew(server, [*source, *target])
    path, body = plain_merge(server)
    answer = ask(server, path, **body)
    assert answer.status_code >= 500, answer.text
    if wait_for_job(server.http, server.http.json("/jobs")[0])["State"] == "Failure":
        server.kill()
        server.start()
    wait_until(
        "copies",
        lambda: server.http.json("/statistics")["CountInstances"],
        lambda count: count == len(before.content.files),
    )
    assert_as_before(server, before)


def at_once(calls: Sequence[Callable[[], requests.Response]]) -> list[requests.Response]:
    """Ask in threads that start together; return the answers."""
    barrier = threading.Barrier(len(calls))
    answers: list[requests.Response] = [requests.Response() for _ in calls]

    def call(index: int) -> None:
        barrier.wait()
        answers[index] = calls[index]()

    threads = [threading.Thread(target=call, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def _check_one_or_more_done(answers: Sequence[requests.Response]) -> None:
    """Check that one caller at least got what they wanted, and all others were told why not."""
    statuses = [one.status_code for one in answers]
    assert 200 in statuses, [one.text for one in answers]
    assert set(statuses) <= {200, 404, 409}, [one.text for one in answers]
    for one in answers:
        assert one.ok or one.json()["Details"]


def _in_order(server: RunningServer, answers: Sequence[requests.Response]) -> list[str]:
    """Return the operations that were done, the earliest first."""
    done = {one.json()["Operation"] for one in answers if one.ok}
    return [one for one in reversed(server.http.json("/curator/operations")) if one in done]


def _sizes_of_the_merge(server: RunningServer) -> tuple[int, int]:
    """Merge, and return the bytes of all copies, and how much larger what is overwritten became."""
    before = stored_anew(server).content.files
    path, body = merge_body(server)
    operate(server, path, **body)
    after = content(server).files
    copies = sum(len(file) for one, file in after.items() if one not in before)
    growth = sum(len(file) - len(before[one]) for one, file in after.items() if one in before)
    assert growth > 20 * COUNT
    return copies, growth


def _of_size(size: int) -> bytes:
    """Return an instance of a patient of its own whose file has so many bytes, or one less."""
    own: dict[str, Any] = {
        "PatientID": "FILLER",
        "StudyInstanceUID": uid("filler"),
        "SeriesInstanceUID": uid("filler", "series"),
        "SOPInstanceUID": uid("filler", "instance"),
    }
    empty = len(make_instance(**own, pixels=bytes(2)))
    return make_instance(**own, pixels=bytes((size - empty) // 2 * 2 + 2))
