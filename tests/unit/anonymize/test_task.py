"""Wherever an anonymization stops: no half of it stays, and nothing that was there is lost."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import select

from curator.errors import Conflict, ErrorCode
from curator.jobs import Phase
from curator.journal import DICOM
from curator.level import Level
from curator.store import Store, anonymized_instances
from factory import ct_series, make_instance, mr_series
from unit.anonymize.serving import KEY, NEWER_KEY, PICKY, AnonymizeServer
from unit.reshape.memory import MemoryOrthanc, Steps
from unit.reshape.worlds import World

BAD = {"AccessionNumber": "ACC9999"}


def orthanc(steps: Steps | None = None) -> MemoryOrthanc:
    """Return an Orthanc with a study of two series, and a patient who has nothing to do with it."""
    made = MemoryOrthanc(steps)
    for file in (*ct_series(3), *mr_series(2, PatientID="SYN0001")):
        made.receive(file)
    for file in ct_series(1, study="other", PatientID="OTHER"):
        made.receive(file)
    made.adorn()
    return made


def study_of(server: MemoryOrthanc) -> str:
    studies = server.of(Level.STUDY)
    return next(one for one in studies if len(server.below(one)) == 5)


@pytest.fixture
def worlds(tmp_path) -> Iterator[Callable[[], World]]:
    """Return a function that makes worlds, which end with the test."""
    made: list[World] = []

    def make() -> World:
        made.append(World(tmp_path, orthanc(Steps())))
        return made[-1]

    yield make
    for world in made:
        world.store.close()


@pytest.fixture
def world(worlds) -> World:
    return worlds()


@pytest.fixture
def server(world) -> AnonymizeServer:
    return AnonymizeServer(world.orthanc, world.store, threads=2)


def noted(store: Store) -> int:
    """Count what a job has noted to be removed if it fails."""
    return len(store.rows(select(anonymized_instances.c.instance)))


def test_a_study_becomes_another_one_and_stays(server):
    before = server.orthanc.state()
    source = study_of(server.orthanc)
    job = server.run(source)
    content = job["Content"]
    assert job["State"] == "Success"
    assert content["Type"] == "Study"
    assert content["Path"] == f"/studies/{content['ID']}"
    assert server.orthanc.nodes[content["ID"]].parent == content["PatientID"]
    assert len(server.orthanc.below(content["ID"])) == content["InstancesCount"] == 5
    assert content["FailedInstancesCount"] == 0
    assert content["ParentResources"] == [source]
    assert content["IsAnonymization"] is True
    assert (content["Profile"], content["Version"]) == ("picky", "1")
    assert before.items() <= server.orthanc.state().items()
    assert noted(server.store) == 0


def test_every_new_resource_says_what_it_was_made_from(server):
    before = set(server.orthanc.nodes)
    server.run(study_of(server.orthanc))
    new = {one: node for one, node in server.orthanc.nodes.items() if one not in before}
    origins = {one: node.metadata["AnonymizedFrom"] for one, node in new.items()}
    assert len(set(origins.values())) == len(origins) == 9
    for one, origin in origins.items():
        assert server.orthanc.nodes[origin].level == new[one].level
        if new[one].parent:
            assert origins[new[one].parent] == server.orthanc.nodes[origin].parent


@pytest.mark.parametrize("keep", [True, False])
def test_labels_go_along_only_where_asked_for(server, keep):
    before = set(server.orthanc.nodes)
    server.run(study_of(server.orthanc), KeepLabels=keep)
    labels = 0
    for one, node in server.orthanc.nodes.items():
        if one not in before:
            origin = server.orthanc.nodes[node.metadata["AnonymizedFrom"]]
            assert node.labels == (origin.labels if keep else set())
            labels += len(node.labels)
    assert bool(labels) == keep


def test_what_is_named_twice_is_anonymized_once(server):
    study = study_of(server.orthanc)
    series = server.orthanc.below(study, Level.SERIES)[0]
    instance = server.orthanc.below(series)[0]
    patient = server.orthanc.nodes[study].parent
    content = server.run(study, series, patient, instance, study)["Content"]
    assert content["InstancesCount"] == 5
    assert [one["Type"] for one in content["Resources"]] == [
        *(["Instance"] * 5), "Series", "Series", "Study", "Patient",
    ]  # fmt: skip
    assert all(one["ID"] in server.orthanc.nodes for one in content["Resources"])


def test_sources_go_only_where_asked_for_and_only_those(server):
    study = study_of(server.orthanc)
    going = set(server.orthanc.below(study))
    others = {one: server.orthanc.files[one] for one in set(server.orthanc.files) - going}
    server.run(study, KeepSource=False)
    assert study not in server.orthanc.nodes
    assert not going & set(server.orthanc.files)
    assert others.items() <= server.orthanc.files.items()
    assert len(server.orthanc.files) == len(going) + len(others)


@pytest.mark.parametrize("cache", [0, 1 << 30])
@pytest.mark.parametrize("keep_source", [True, False])
def test_one_refused_instance_leaves_nothing(world, cache, keep_source):
    world.orthanc.receive(ct_series(4, **BAD)[3])
    server = AnonymizeServer(world.orthanc, world.store, threads=1, cache=cache)
    before = world.orthanc.state()
    study = next(iter(server.orthanc.of(Level.STUDY)))
    job = server.run(study, KeepSource=keep_source)
    assert job["State"] == "Failure"
    assert job["ErrorCode"] == ErrorCode.REVISION
    assert "Instance " in job["ErrorDetails"]
    assert "AccessionNumber" in job["ErrorDetails"]
    assert BAD["AccessionNumber"] not in job["ErrorDetails"]
    assert world.orthanc.state() == before
    assert server.unfinished() == []
    assert noted(world.store) == 0


def test_what_fits_the_cache_is_made_before_anything_is_stored(world):
    world.orthanc.receive(ct_series(4, **BAD)[3])
    server = AnonymizeServer(world.orthanc, world.store, threads=1, cache=1 << 30)
    server.run(next(iter(server.orthanc.of(Level.STUDY))))
    assert not [
        uri for method, uri, _ in world.orthanc.calls if (method, uri) == ("POST", "/instances")
    ]


@pytest.mark.parametrize("keep_source", [True, False])
def test_permissive_leaves_refused_instances_out_and_names_them(world, keep_source):
    bad = world.orthanc.receive(ct_series(4, **BAD)[3])
    server = AnonymizeServer(world.orthanc, world.store)
    study = study_of_instance(world.orthanc, bad)
    content = server.run(study, Permissive=True, KeepSource=keep_source)["Content"]
    assert content["FailedInstancesCount"] == 1
    assert [one["ID"] for one in content["Report"]["Refused"]] == [bad]
    assert len(world.orthanc.below(content["ID"])) == content["InstancesCount"] - 1 == 5
    assert bad in world.orthanc.files
    assert (len(world.orthanc.below(study)) == 1) == (not keep_source)


def study_of_instance(server: MemoryOrthanc, instance: str) -> str:
    return server.nodes[server.nodes[instance].parent].parent


def test_an_unreadable_instance_is_refused_by_name(world):
    broken = world.orthanc.receive(ct_series(4)[3])
    world.orthanc.nodes[broken].attachments[DICOM] = b"damaged"
    before = world.orthanc.state()
    server = AnonymizeServer(world.orthanc, world.store, threads=2)
    job = server.run(study_of_instance(world.orthanc, broken))
    assert (job["State"], job["ErrorCode"]) == ("Failure", ErrorCode.BAD_FILE_FORMAT)
    assert broken in job["ErrorDetails"]
    assert world.orthanc.state() == before
    content = server.run(study_of_instance(world.orthanc, broken), Permissive=True)["Content"]
    assert [one["ID"] for one in content["Report"]["Refused"]] == [broken]


@pytest.mark.parametrize("overwrites", [True, False])
def test_a_second_run_finds_everything_and_changes_nothing(worlds, overwrites):
    world = worlds()
    world.orthanc.overwrites = overwrites
    server = AnonymizeServer(world.orthanc, world.store)
    study = study_of(world.orthanc)
    first = server.run(study)["Content"]
    after = world.orthanc.state()
    uuids = {one: world.orthanc.file_uuid(one) for one in world.orthanc.files}
    assert server.run(study)["Content"] == first
    assert world.orthanc.state() == after
    assert {one: world.orthanc.file_uuid(one) for one in world.orthanc.files} == uuids


@pytest.mark.parametrize("overwrites", [True, False])
def test_what_is_stored_with_another_content_is_never_replaced(worlds, overwrites):
    world = worlds()
    world.orthanc.overwrites = overwrites
    server = AnonymizeServer(world.orthanc, world.store)
    study = study_of(world.orthanc)
    content = server.run(study)["Content"]
    one, *rest = world.orthanc.below(content["ID"])
    world.orthanc.remove(*rest[:2])
    file = world.orthanc.nodes[one].attachments[DICOM]
    world.orthanc.nodes[one].attachments[DICOM] = file[:-2] + b"zz"
    before = world.orthanc.state()
    job = server.run(study)
    assert job["State"] == "Failure"
    assert job["ErrorCode"] == Conflict.code
    assert one in job["ErrorDetails"]
    assert "delete it first" in job["ErrorDetails"]
    assert world.orthanc.state() == before


def test_copies_that_would_become_one_are_refused(world):
    """The same SOP Instance UID for two patients: their pseudonyms keep them apart."""
    file = {"study": "twin", "series": "twin"}
    one = world.orthanc.receive(ct_series(1, **file)[0])
    other = world.orthanc.receive(ct_series(1, **file, PatientID="SECOND")[0])
    server = AnonymizeServer(world.orthanc, world.store)
    assert server.run(one, other)["State"] == "Success"
    constant = {"Profile": {"Name": "constant"}, "Replace": {"PatientID": "X"}, "Force": True}
    before = world.orthanc.state()
    job = server.run(one, other, **constant)
    assert job["State"] == "Failure"
    assert "same one" in job["ErrorDetails"]
    assert world.orthanc.state() == before


def test_a_source_that_was_overwritten_meanwhile_is_not_deleted(world):
    server = AnonymizeServer(world.orthanc, world.store)
    study = study_of(world.orthanc)
    before = world.orthanc.state()
    job_id = server.submit(study, KeepSource=False)
    touched = world.orthanc.below(study)[0]
    pending = [True]

    def touch() -> None:
        if pending and len(world.orthanc.files) > 8:
            pending.clear()
            world.orthanc.touch(touched)

    world.steps.watch = touch
    server.work()
    assert not pending
    job = server.engine.describe(job_id)
    assert (job["State"], job["ErrorCode"]) == ("Failure", Conflict.code)
    assert touched in job["ErrorDetails"]
    assert world.orthanc.state() == before


def test_the_map_names_old_and_new(server):
    study = study_of(server.orthanc)
    content = server.run(study, Map=True)["Content"]
    mapped = content["Map"]
    assert {level: len(rows) for level, rows in mapped.items()} == {
        "Patients": 1, "Studies": 1, "Series": 2, "Instances": 5,
    }  # fmt: skip
    assert mapped["Studies"][0]["Old"] == study
    assert mapped["Studies"][0]["New"] == content["ID"]
    assert mapped["Studies"][0]["OldUID"] != mapped["Studies"][0]["NewUID"]
    for rows in mapped.values():
        for row in rows:
            assert server.orthanc.nodes[row["New"]].metadata["AnonymizedFrom"] == row["Old"]
    assert "Map" not in server.run(study)["Content"]


@pytest.mark.parametrize("mapping", [True, False])
def test_patient_ids_are_kept_only_where_the_profile_says_so(server, mapping):
    study = study_of(server.orthanc)
    profile = {"Name": "mapped", "Mapping": mapping}
    content = server.run(study, Profile=profile)["Content"]
    new = server.orthanc.nodes[content["PatientID"]].tags["PatientID"]
    assert server.mappings.pairs("mapped") == ([("SYN0001", new)] if mapping else [])
    assert "SYN0001" not in str(content)


def test_jobs_on_the_same_study_exclude_each_other(server):
    study = study_of(server.orthanc)
    series = server.orthanc.below(study, Level.SERIES)[0]
    instance = server.orthanc.below(series)[0]
    patient = server.orthanc.nodes[study].parent
    server.submit(study)
    for one in (study, series, instance, patient):
        with pytest.raises(Conflict, match=study):
            server.submit(one)
    server.work()
    assert server.run(series)["State"] == "Success"


# Crashes


def recorded(worlds: Callable[[], World], **body: object) -> tuple[World, list, dict, dict]:
    """Anonymize to the end; return the states on the way, what was before, and what is after."""
    world = worlds()
    before = world.orthanc.state()
    snapshots = [world.snapshot()]
    world.steps.watch = lambda: snapshots.append(world.snapshot())
    server = AnonymizeServer(world.orthanc, world.store)
    assert server.run(study_of(world.orthanc), **body)["State"] == "Success"
    world.steps.watch = lambda: None
    assert len(snapshots) > 20
    return world, snapshots, before, world.orthanc.state()


BODIES = [{}, {"KeepSource": False, "KeepLabels": True}]


@pytest.mark.parametrize("body", BODIES, ids=str)
def test_a_start_after_a_crash_finishes_the_work(worlds, body):
    world, snapshots, _, after = recorded(worlds, **body)
    resumed = 0
    for number, snapshot in enumerate(snapshots):
        world.restore(snapshot)
        server = AnonymizeServer(world.orthanc, world.store)
        if not server.store.jobs():
            continue  # the crash came before the job
        server.work()
        resumed += 1
        (job,) = server.engine.describe_all()
        assert job["State"] == "Success", f"after step {number}"
        assert world.orthanc.state() == after, f"after step {number}"
        assert job["Content"]["ID"] in world.orthanc.nodes
        assert noted(world.store) == 0
        assert server.unfinished() == []
    assert resumed > 20


@pytest.mark.parametrize("body", BODIES, ids=str)
def test_what_is_canceled_after_a_crash_leaves_nothing(worlds, body):
    world, snapshots, before, _ = recorded(worlds, **body)
    writing = [one for one in snapshots if one.phases == [Phase.WRITING]]
    assert len(writing) > 10
    for number, snapshot in enumerate(writing):
        world.restore(snapshot)
        server = AnonymizeServer(world.orthanc, world.store)
        for job in server.unfinished():
            server.engine.cancel(job["id"])
        server.work()
        assert world.orthanc.state() == before, f"after step {number}"
        assert noted(world.store) == 0
        assert server.unfinished() == []


@pytest.mark.parametrize("body", BODIES, ids=str)
@pytest.mark.parametrize("cache", [0, 1 << 30])
def test_a_full_disk_leaves_nothing_and_the_work_is_done_once_there_is_room(worlds, body, cache):
    *_, after = recorded(worlds, **body)
    for room in (0, 2, 4):
        world = worlds()
        before = world.orthanc.state()
        world.orthanc.room = room
        server = AnonymizeServer(world.orthanc, world.store, threads=2, cache=cache)
        job = server.run(study_of(world.orthanc), **body)
        assert (job["State"], job["ErrorCode"]) == ("Failure", ErrorCode.FULL_STORAGE)
        assert world.orthanc.state() == before
        assert server.unfinished() == []
        world.orthanc.room = None
        assert server.engine.resubmit(job["ID"])
        server.work()
        assert server.engine.describe(job["ID"])["State"] == "Success"
        assert world.orthanc.state() == after


# The key changes


ROTATED = f"{KEY}\n{NEWER_KEY}"


def test_a_job_goes_on_with_the_key_it_began_with(worlds):
    world, snapshots, _, after = recorded(worlds)
    for number, snapshot in enumerate(snapshots[::3]):
        world.restore(snapshot)
        server = AnonymizeServer(world.orthanc, world.store, keys=ROTATED)
        if not server.store.jobs():
            continue
        server.work()
        (job,) = server.engine.describe_all()
        assert job["State"] == "Success"
        assert world.orthanc.state() == after, f"after step {3 * number}"


def test_a_job_whose_key_is_gone_leaves_nothing(worlds):
    world, snapshots, before, _ = recorded(worlds)
    writing = [one for one in snapshots if one.phases == [Phase.WRITING]]
    for number, snapshot in enumerate(writing[::3]):
        world.restore(snapshot)
        server = AnonymizeServer(world.orthanc, world.store, keys=NEWER_KEY)
        server.work()
        (job,) = server.engine.describe_all()
        assert (job["State"], job["ErrorCode"]) == ("Failure", Conflict.code)
        assert "has no key" in job["ErrorDetails"]
        assert KEY not in job["ErrorDetails"]
        assert world.orthanc.state() == before, f"after step {3 * number}"
        assert server.unfinished() == []


def test_what_is_committed_is_finished_without_its_key(worlds):
    world, snapshots, _, after = recorded(worlds, KeepSource=False)
    committed = [one for one in snapshots if one.phases == [Phase.COMMITTED]]
    assert committed
    for snapshot in committed:
        world.restore(snapshot)
        server = AnonymizeServer(world.orthanc, world.store, keys=NEWER_KEY)
        server.work()
        assert server.engine.describe_all()[0]["State"] == "Success"
        assert world.orthanc.state() == after


def test_a_profile_that_names_its_key_keeps_its_pseudonyms(world):
    study = study_of(world.orthanc)
    first = AnonymizeServer(world.orthanc, world.store).run(study)["Content"]
    rotated = AnonymizeServer(world.orthanc, world.store, keys=ROTATED)
    named = {"Profile": {**PICKY, "Key": first["Key"]}}
    assert rotated.run(study, **named)["Content"] == first
    other = rotated.run(study)["Content"]
    assert other["Key"] != first["Key"]
    assert other["PatientID"] != first["PatientID"]
    assert other["ID"] != first["ID"]


def test_a_server_that_damages_what_it_stores_gets_nothing(world):
    world.orthanc.damages = True
    before = world.orthanc.state()
    server = AnonymizeServer(world.orthanc, world.store)
    job = server.run(study_of(world.orthanc), KeepSource=False)
    assert job["State"] == "Failure"
    assert "differs from what was written" in job["ErrorDetails"]
    assert world.orthanc.state() == before


def test_what_was_there_before_is_never_taken_back(world):
    """One of the results is there already when the job begins, and stays when it fails."""
    server = AnonymizeServer(world.orthanc, world.store)
    study = study_of(world.orthanc)
    content = server.run(study)["Content"]
    world.orthanc.remove(*world.orthanc.below(content["ID"])[1:])
    world.orthanc.receive(make_instance(**BAD, StudyInstanceUID=uid_of(world.orthanc, study)))
    before = world.orthanc.state()
    assert server.run(study)["State"] == "Failure"
    assert world.orthanc.state() == before


def uid_of(server: MemoryOrthanc, study: str) -> str:
    return server.nodes[study].tags["StudyInstanceUID"]


def test_one_audit_line_says_who_has_anonymized_what(server):
    study = study_of(server.orthanc)
    job = server.run(study)
    (line,) = server.orthanc.audits
    assert line[1:5] == ("user", server.orthanc.ResourceType.STUDY, study, "anonymize")
    assert job["ID"].encode() in line[5]
    assert b"SYN0001" not in line[5]
