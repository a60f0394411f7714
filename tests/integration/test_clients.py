"""Clients that users have, unchanged: pyorthanc and orthanc-api-client.

What their documentation shows a user doing is done on a stock server and on one with Curator, and
what the client's own classes make of the answers is compared, as is what the servers hold then.
Curator's operations are asked for through the same clients, and followed by their job classes.
"""

import asyncio
import datetime as dt
import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orthanc_api_client
import pyorthanc
import pytest
from orthanc_api_client import InstancesSet, LabelsConstraint, OrthancApiClient, exceptions
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian
from pyorthanc import Orthanc, Study, errors
from pyorthanc.jobs import Job, State

from factory import ct_series, make_instance, make_study, mr_series, uid
from integration.network import DEAD
from integration.pair import Pair, Party
from integration.scp import Scp
from integration.stored import SENDER

SOON = 0.01
"""Seconds between two looks at a job."""


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no proxy stand between a client and this machine."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@contextmanager
def pyorthanc_client(party: Party) -> Iterator[Orthanc]:
    with Orthanc(party.server.url.rstrip("/")) as client:
        yield client


@contextmanager
def api_client(party: Party) -> Iterator[OrthancApiClient]:
    client = OrthancApiClient(party.server.url)
    yield client
    client.close()


Opened = Callable[[Party], Any]


def on_both(pair: Pair, opened: Opened, use: Callable[[Any], Any]) -> Any:
    """Let a client do the same on both servers, compare, and return what it has from Curator's."""
    results = []
    for party in pair:
        with opened(party) as client:
            results.append(use(client))
    expected, given = results
    assert pair.value(given) == pair.value(expected)
    pair.compare_stored(SENDER)
    return given


def images() -> list[bytes]:
    """Return a study of a CT and an MR series."""
    return make_study([ct_series(count=2), mr_series(count=2, echo_times=(10.0, 80.0))])


def save(directory: Path, files: list[bytes]) -> Path:
    directory.mkdir(exist_ok=True)
    for number, file in enumerate(files):
        (directory / f"{number}.dcm").write_bytes(file)
    return directory


def names_of(archive: bytes) -> list[str]:
    """Return the names in a ZIP archive."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return sorted(opened.namelist())


# pyorthanc


def followed(job: Job) -> dict[str, Any]:
    """Follow a job by pyorthanc's class to its end; return all that the class says of it."""
    assert isinstance(job.state, State)
    job.wait_until_completion(time_interval=SOON)
    times = (job.creation_time, job.completion_time, job.timestamp)
    assert all(isinstance(time, dt.datetime) for time in times)
    assert job.effective_runtime >= 0
    return {
        "state": job.state.value,
        "type": job.type,
        "progress": job.progress,
        "priority": job.priority,
        "error": job.error.name,
        "content": job.content,
    }


def test_pyorthanc_uploads_and_finds(pair, tmp_path):
    folder = save(tmp_path / "folder", images())
    packed = tmp_path / "archive.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.dcm", make_instance(PatientID="ZIP"))
        archive.writestr("b.dcm", make_instance(PatientID="ZIP", SOPInstanceUID=uid("zip")))
    for file in (*images(), make_instance(PatientID="ZIP")):
        pair.shared.update(
            str(one.value) for one in dcmread(io.BytesIO(file)).iterall() if one.VR == "UI"
        )

    def use(client: Orthanc) -> Any:
        uploaded = pyorthanc.upload(client, folder, recursive=True)
        again = pyorthanc.upload(client, folder / "0.dcm", check_before_upload=True)
        dataset = dcmread(folder / "1.dcm")
        uploaded += again + pyorthanc.upload(client, dataset) + pyorthanc.upload(client, packed)
        (patient,) = pyorthanc.find_patients(client, query={"PatientID": "SYN*"})
        (study,) = patient.studies
        study.add_label("research")
        labeled = pyorthanc.find_studies(client, query={}, labels=["research"])
        unlabeled = pyorthanc.find_studies(
            client, query={}, labels=["research"], labels_constraint="None"
        )
        series = pyorthanc.find_series(client, query={"Modality": "CT"})
        instances = pyorthanc.find_instances(client, query={"SOPInstanceUID": uid("zip")})
        expanded = pyorthanc.query_orthanc(
            client, "Study", query={"PatientID": "*"}, retrieve_all_resources=True
        )
        first = series[0].instances[0]
        return [
            len(uploaded),
            (patient.name, str(patient.birth_date), patient.sex, patient.patient_id),
            (study.uid, str(study.date), study.description, study.labels),
            ([one.id_ for one in labeled], [one.id_ for one in unlabeled]),
            [(one.modality, one.description, one.uid) for one in series],
            [one.id_ for one in instances],
            [str(one) for one in expanded],
            (first.get_pydicom().PatientID, first.instance_number, first.image_position_patient),
            (first.simplified_tags, first.get_content_by_tag("Modality"), study.shared_tags),
            sorted(client.get_tools_labels()),
            client.get_statistics()["CountInstances"],
            [one["ID"] for one in client.get_changes({"limit": 3})["Changes"]],
            (names_of(study.get_zip()), client.get_system()["ApiVersion"]),
        ]

    result = on_both(pair, pyorthanc_client, use)
    assert result[0] == len(images()) + 4


def test_pyorthanc_modifies_and_anonymizes(pair, tmp_path):
    pair.upload(images())

    def use(client: Orthanc) -> Any:
        (study,) = pyorthanc.find_studies(client, query={})
        (patient,) = pyorthanc.find_patients(client, query={})
        series = sorted(study.series, key=lambda one: str(one.modality))
        done = [
            patient.modify(replace={"PatientID": "OTHER"}, force=True),
            patient.anonymize(replace={"PatientID": "ANON"}, force=True),
        ]
        jobs = [
            followed(patient.modify_as_job(replace={"PatientID": "JOB"}, force=True)),
            followed(patient.anonymize_as_job(replace={"PatientName": "A"})),
        ]
        done += [
            study.modify(replace={"StudyDescription": "modified"}),
            study.modify(
                replace={"StudyInstanceUID": uid("given")}, force=True, keep=["SOPInstanceUID"]
            ),
            study.anonymize(replace={"PatientName": "B"}, keep=["StudyDescription"]),
            study.anonymize(
                replace={"PatientName": "C"}, keep_private_tags=True, dicom_version="2021b"
            ),
        ]
        jobs += [
            followed(study.modify_as_job(replace={"StudyDescription": "as job"}, priority=2)),
            followed(study.anonymize_as_job(replace={"PatientName": "D"}, priority=1)),
        ]
        done += [
            series[0].modify(remove=["SeriesDescription"]),
            series[1].anonymize(replace={"PatientName": "E"}),
        ]
        jobs += [
            followed(series[0].modify_as_job(replace={"SeriesDescription": "as job"})),
            followed(series[1].anonymize_as_job(replace={"PatientName": "F"}, permissive=True)),
        ]
        with pytest.raises(errors.ModificationError):
            study.modify(replace={"StudyInstanceUID": "1.2.3"})
        instance = series[0].instances[0]
        files = [
            instance.modify(replace={"PatientName": "One"}),
            instance.anonymize(replace={"PatientName": "Two"}),
        ]
        again = Study(jobs[2]["content"]["ID"], client)
        buffer = io.BytesIO()
        again.download(buffer)
        return [
            [type(one).__name__ for one in done],
            [one.get_main_information()["MainDicomTags"] for one in done],
            [str(dcmread(io.BytesIO(one)).PatientName) for one in files],
            jobs,
            again.description,
            len(names_of(buffer.getvalue())),
        ]

    *_, jobs, description, _ = on_both(pair, pyorthanc_client, use)
    assert {job["state"] for job in jobs} == {"Success"}
    assert description == "as job"


def test_pyorthanc_asks_for_bulk_work_and_lists_jobs(pair):
    pair.upload(images())
    pair.upload([make_instance(PatientID="OTHER")])

    def use(client: Orthanc) -> Any:
        studies = sorted(client.get_studies())
        body = {"Resources": studies, "Asynchronous": True, "KeepSource": True}
        modified = {**body, "Level": "Study", "Replace": {"InstitutionName": "X"}}
        jobs = [
            Job(client.post_tools_bulk_anonymize(body)["ID"], client),
            Job(client.post_tools_bulk_modify(modified)["ID"], client),
        ]
        ended = [followed(job) for job in jobs]
        known = {job["ID"] for job in client.get_jobs(params={"expand": True})}
        assert known >= {job.id_ for job in jobs}
        assert set(client.get_jobs()) >= {job.id_ for job in jobs}
        new = [one["ID"] for one in ended[0]["content"]["Resources"] if one["Type"] == "Study"]
        client.post_tools_bulk_delete({"Resources": new})
        return [ended, len(client.get_studies())]

    ended, studies = on_both(pair, pyorthanc_client, use)
    assert [job["type"] for job in ended] == 2 * ["ResourceModification"]
    assert studies == 4


def test_pyorthanc_splits_and_merges_by_the_core(pair):
    pair.upload(images())
    pair.upload([make_instance()], study="other")

    def use(client: Orthanc) -> Any:
        (found,) = pyorthanc.find_studies(client, query={"StudyInstanceUID": uid("study")})
        study = found.id_
        (mr,) = pyorthanc.find_series(client, query={"Modality": "MR"})
        split = client.post_studies_id_split(study, {"Series": [mr.id_], "Asynchronous": True})
        ended = followed(Job(split["ID"], client))
        merged = client.post_studies_id_merge(
            study, {"Resources": [ended["content"]["TargetStudy"]]}
        )
        return [ended, merged]

    ended, _ = on_both(pair, pyorthanc_client, use)
    assert ended["type"] == "SplitStudy"


def test_pyorthanc_talks_to_modalities(pair):
    pair.upload(images())

    def use(client: Orthanc) -> Any:
        client.put_modalities_id("scp", {"AET": "SCP", "Host": "127.0.0.1", "Port": scp.port})
        client.put_modalities_id("dead", {"AET": "DEAD", "Host": "127.0.0.1", "Port": DEAD})
        modality = pyorthanc.Modality(client, "scp")
        (study,) = client.get_studies()
        stored = modality.store(study)
        query = {"Level": "Instance", "Query": {"SeriesInstanceUID": uid("study", "CT")}}
        found = modality.find(query)
        answers = sorted(one["SOPInstanceUID"] for one in found["answers"])
        with pytest.raises(httpx.HTTPError):
            pyorthanc.Modality(client, "dead").store(study)
        reached = [pyorthanc.Modality(client, name).echo() for name in ("scp", "dead")]
        pyorthanc.util.delete_queries(client)
        for name in ("scp", "dead"):
            client.delete_modalities_id(name)
        return [stored, answers, reached]

    with Scp(syntaxes=[ExplicitVRLittleEndian]) as scp:
        stored, answers, _ = on_both(pair, pyorthanc_client, use)
    assert stored["InstancesCount"] == len(images())
    assert len(answers) == 2


def test_pyorthanc_asks_asynchronously(pair):
    files = images()

    async def use(client: pyorthanc.AsyncOrthanc) -> Any:
        await asyncio.gather(*(client.post_instances(file) for file in files))
        (study,) = await client.get_studies()
        job = await client.post_studies_id_anonymize(study, {"Asynchronous": True})
        while (await client.get_jobs_id(job["ID"]))["State"] in ("Pending", "Running"):
            await asyncio.sleep(SOON)
        changes = await client.get_changes({"since": 0, "limit": 100})
        return [
            len(await client.get_instances()),
            (await client.get_jobs_id(job["ID"]))["Content"],
            sorted(one["ChangeType"] for one in changes["Changes"] if "New" in one["ChangeType"]),
        ]

    async def opened(party: Party) -> Any:
        async with pyorthanc.AsyncOrthanc(party.server.url.rstrip("/")) as client:
            return await use(client)

    expected, given = (asyncio.run(opened(party)) for party in pair)
    assert pair.value(given) == pair.value(expected)
    assert given[0] == 2 * len(files)


def test_pyorthanc_follows_jobs_of_curator(server):
    for file in images():
        server.upload(file)
    with Orthanc(server.url.rstrip("/")) as client:
        (study,) = pyorthanc.find_studies(client, query={})
        body = {"By": ["Echo"], "Into": "Series", "Asynchronous": True, "Priority": 4}
        job = Job(client.post_studies_id_split(study.id_, body)["ID"], client)
        ended = followed(job)
        assert (ended["state"], ended["progress"], ended["priority"]) == ("Success", 100, 4)
        assert ended["error"] == "SUCCESS"
        assert job.error_details in (None, "")
        assert len(study.series) == 3
        assert job.id_ in client.get_jobs()

        body = {"Profile": "basic", "Asynchronous": True}
        ended = followed(Job(client.post_studies_id_anonymize(study.id_, body)["ID"], client))
        copy = Study(ended["content"]["ID"], client)
        assert copy.patient_information["PatientID"] != "SYN0001"
        body = {"Resources": [copy.id_], "OnConflict": "Target", "Asynchronous": True}
        ended = followed(Job(client.post_studies_id_merge(study.id_, body)["ID"], client))
        assert ended["state"] == "Success"
        assert [one.id_ for one in pyorthanc.find_studies(client, query={})] == [study.id_]

        body = {"Resources": [study.id_], "Profile": "basic", "Asynchronous": True}
        assert followed(Job(client.post_tools_bulk_anonymize(body)["ID"], client))["content"]

        other = server.upload(make_instance(PatientID="OTHER"))["ParentStudy"]
        body = {"Resources": [other], "OnConflict": "Refuse", "Asynchronous": True}
        refused = Job(client.post_studies_id_merge(study.id_, body)["ID"], client)
        assert followed(refused)["state"] == "Failure"
        assert "PatientID" in str(refused.error_details)
        with pytest.raises(httpx.HTTPError, match="400"):
            client.post_studies_id_split(study.id_, {"By": ["Echo"], "Spilt": True})


# orthanc-api-client


def test_api_client_uploads_and_finds(pair, tmp_path):
    folder = save(tmp_path / "folder", images())
    (folder / "readme.txt").write_text("no DICOM file")
    (tmp_path / "note.bin").write_bytes(b"a note")
    dicom = [
        make_instance(PatientID="WEB"),
        make_instance(PatientID="SET", StudyInstanceUID=uid("set")),
    ]
    web = save(tmp_path / "web", dicom)
    for file in (*images(), *dicom):
        pair.shared.update(
            str(one.value) for one in dcmread(io.BytesIO(file)).iterall() if one.VR == "UI"
        )

    def use(client: OrthancApiClient) -> Any:
        assert client.wait_started(timeout=20)
        uploaded = client.upload_folder(str(folder), ignore_errors=True)
        with pytest.raises(exceptions.BadFileFormat):
            client.upload_file(str(folder / "readme.txt"))
        client.upload_files_dicom_web([str(web / "0.dcm")])
        uploaded += client.upload_file(str(web / "1.dcm"))
        study_id = client.studies.lookup(uid("study"))
        study = client.studies.get(study_id)
        client.studies.add_labels(study_id, ["a", "b"])
        client.studies.delete_label(study_id, "b")
        client.studies.set_string_metadata(study_id, metadata_name=1024, content="noted")
        client.studies.set_attachment(study_id, 1024, path=str(tmp_path / "note.bin"))
        client.studies.download_archive(study_id, str(tmp_path / "study.zip"))
        client.studies.download_media(study_id, str(tmp_path / "media.zip"))
        first = client.studies.get_first_instance_id(study_id)
        tags = client.instances.get_tags(first)
        downloaded = client.studies.download_instances(study_id, str(tmp_path))
        changes, _, done = client.get_changes(limit=5)
        with pytest.raises(exceptions.ResourceNotFound):
            client.studies.get_json("nothing")
        return [
            len(uploaded),
            sorted(client.studies.get_all_ids()),
            client.get_statistics().instances_count,
            (study.dicom_id, study.labels, study.patient_main_dicom_tags.get("PatientID")),
            (tags["PatientName"], tags["0010,0020"], tags["0010-0040"]),
            [one.orthanc_id for one in client.studies.find({"PatientName": "SYN*"}, labels=["a"])],
            len(client.studies.find({}, labels=["a"], labels_constraint=LabelsConstraint.NONE)),
            (client.studies.get_string_metadata(study_id, "1024"), study.statistics.series_count),
            client.studies.get_attachment(study_id, "1024").decode(),
            sorted(client.studies.get_modalities(study_id)),
            client.series.get_ordered_instances_ids(study.series[0].orthanc_id),
            (client.studies.exists(study_id), client.studies.exists("nothing")),
            (len(downloaded), client.get_all_labels()),
            (names_of((tmp_path / "study.zip").read_bytes()), len(changes), done),
            client.is_orthanc_version_at_least(1, 12, 7),
        ]

    result = on_both(pair, api_client, use)
    assert result[0] == len(images()) + 1


def job_of(job: orthanc_api_client.Job) -> dict[str, Any]:
    """Follow a job by the client's class; return all that the class says of it."""
    assert job.wait_completed(timeout=60, polling_interval=SOON)
    info = job.refresh().info
    return {"status": info.status, "type": info.type, "content": info.content}


def test_api_client_modifies_and_anonymizes(pair):
    pair.upload(images())

    def use(client: OrthancApiClient) -> Any:
        study = client.studies.lookup(uid("study"))
        series = client.series.lookup(uid("study", "CT"))
        patients = client.patients.get_all_ids()
        named = [{"PatientName": name} for name in "ABC"]
        jobs = [
            job_of(client.patients.anonymize_bulk_async(patients, named[0])),
            job_of(client.studies.anonymize_bulk_async([study], named[1])),
            job_of(
                client.studies.modify_bulk_async([study], {"StudyID": "7"}, delete_original=False)
            ),
        ]
        modified = client.studies.modify(
            study, replace_tags={"StudyDescription": "x"}, delete_original=False
        )
        anonymized = client.studies.anonymize(
            study,
            keep_tags=["PatientName"],
            replace_tags={"PatientID": "ANON"},
            force=True,
            delete_original=False,
        )
        one = client.series.anonymize(series, named[2], delete_original=False)
        instance = client.series.get_first_instance_id(series)
        file = client.instances.modify(instance, replace_tags={"PatientName": "One"})
        snapshot = InstancesSet.from_study(client, study_id=study)
        changed = snapshot.modify(
            replace_tags={"InstitutionName": "MY"},
            keep_tags=["SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"],
            force=True,
            keep_source=True,
        )
        merged = client.studies.merge(modified, series, keep_source=True)
        return [
            client.studies.get_tags(anonymized)["PatientID"],
            client.series.get_parent_study_id(one),
            str(dcmread(io.BytesIO(file)).PatientName),
            (changed is None, snapshot.id, len(snapshot.instances_ids)),
            jobs,
            merged.json(),
        ]

    *_, jobs, _ = on_both(pair, api_client, use)
    assert [(job["status"], job["type"]) for job in jobs] == 3 * [
        ("Success", "ResourceModification")
    ]


def test_api_client_sends(pair):
    pair.upload(images())

    def use(client: OrthancApiClient) -> Any:
        study = client.studies.lookup(uid("study"))
        client.modalities.configure("scp", {"AET": "SCP", "Host": "127.0.0.1", "Port": scp.port})
        client.modalities.configure("dead", {"AET": "DEAD", "Host": "127.0.0.1", "Port": DEAD})
        client.modalities.send("scp", [study], timeout=30)
        sent = job_of(client.modalities.send_async("scp", study))
        failed = job_of(client.modalities.send_async("dead", study))
        with pytest.raises(exceptions.HttpError):
            client.modalities.send("dead", study)
        query = {"SeriesInstanceUID": uid("study", "CT")}
        found = client.modalities.query_instances("scp", query)
        known = (client.modalities.get_all_ids(), client.modalities.get_id_from_aet("SCP"))
        for query_id in client.get_json("queries"):
            client.delete(f"queries/{query_id}")
        for name in ("scp", "dead"):
            client.modalities.delete(name)
        return [sent, failed, sorted(one.dicom_id for one in found), known]

    with Scp(syntaxes=[ExplicitVRLittleEndian]) as scp:
        sent, failed, found, _ = on_both(pair, api_client, use)
    assert (sent["status"], failed["status"], len(found)) == ("Success", "Failure", 2)


def test_api_client_follows_jobs_of_curator(server):
    for file in images():
        server.upload(file)
    with api_client(Party(server)) as client:
        assert client.has_loaded_plugin("python")
        study = client.studies.lookup(uid("study"))

        def submit(path: str, **body: Any) -> dict[str, Any]:
            answer = client.post(path, json={**body, "Asynchronous": True}).json()
            return job_of(client.jobs.get(answer["ID"]))

        split = submit(f"studies/{study}/split", By=["Echo"], Into="Series")
        assert split["status"] == "Success"
        assert len(client.studies.get_series_ids(study)) == 3
        anonymized = submit("tools/bulk-anonymize", Resources=[study], Profile="basic")
        assert anonymized["status"] == "Success"
        kinds = [one["Type"] for one in anonymized["content"]["Resources"]]
        assert kinds.count("Study") == 1
        assert {split["type"], anonymized["type"]} <= {
            one["Type"] for one in client.get_json("jobs?expand")
        }
        with pytest.raises(exceptions.HttpError, match="Spilt"):
            client.post(f"studies/{study}/split", json={"By": ["Echo"], "Spilt": True})
