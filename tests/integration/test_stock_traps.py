"""What the built-in split, merge and modification lose: tests of the stock server, without Curator.

They say why Curator has its own, and show a release of Orthanc that has become better. The letters
are those of the list of measured traps that Curator was designed against; how Curator avoids each
is tested with its operations.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from factory import ct_series, make_instance, make_series, mr_series, uid
from integration.model import (
    content,
    damage,
    differences,
    series_of,
    snapshot,
    split,
    stored_file,
    upload,
)
from integration.servers import OrthancServer, engine_name, external_url
from integration.waiting import wait_for_job
from invariants import (
    STUDY_MODULES,
    lost_references,
    missing_instances,
    new_dangling,
    repeated_series_numbers,
    several_parents,
    unequal_in_patients,
    unequal_in_studies,
)
from referring import ON_IMAGES, make_dose, make_plan, make_structure_set

ServerFactory = Callable[..., OrthancServer]

SETTINGS: dict[str, Any] = {
    "MaximumStorageCacheSize": 0,  # it would hide what the tests do to files
    "UserMetadata": {"reviewer": 1024},
    "UserContentType": {"report": 1025},
}

KEPT = {
    "Keep": ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"],
    "Force": True,
    "Replace": {"InstitutionName": "Other Hospital"},
}
"""A modification in place, as it is asked for."""


@pytest.fixture(scope="module")
def running_stock(release: str) -> Iterator[OrthancServer]:
    if external_url():
        pytest.skip("starts a stock server of its own; CURATOR_TEST_URL names another")
    with OrthancServer(release, SETTINGS, with_plugin=False, engine=engine_name()) as server:
        yield server


@pytest.fixture
def stock(running_stock: OrthancServer) -> OrthancServer:
    """Return a server without the plugin, empty."""
    running_stock.clear()
    return running_stock


def merge(server: OrthancServer, study: str, *resources: str, **body: Any) -> dict[str, Any]:
    answer = server.http.post(f"/studies/{study}/merge", {"Resources": resources, **body})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def modify(server: OrthancServer, path: str, **body: Any) -> dict[str, Any]:
    answer = server.http.post(path, body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@pytest.mark.parametrize("operation", ["split", "merge", "modify"])
def test_a_permissive_operation_deletes_sources_whose_copy_failed(
    stock: OrthancServer, operation: str
) -> None:
    study = upload(stock, ct_series(4))
    series = series_of(stock, study)["CT"]["ID"]
    broken = stock.http.json(f"/studies/{study}/instances")[1]["ID"]
    damage(stock, broken)
    options = {"Permissive": True, "KeepSource": False}
    if operation == "split":
        result = split(stock, f"studies/{study}", Series=[series], **options)
    elif operation == "merge":
        target = upload(stock, mr_series(1, study="other"))
        result = merge(stock, target, study, **options)
    else:
        replace = {"SeriesDescription": "new"}
        result = modify(stock, f"/series/{series}/modify", Replace=replace, **options)
    assert (result["InstancesCount"], result["FailedInstancesCount"]) == (4, 1)
    assert stock.http.get(f"/instances/{broken}").status_code == 404
    assert sum(dataset.Modality == "CT" for dataset in content(stock).datasets.values()) == 3


@pytest.mark.parametrize("level", ["Patient", "Series", "Instance"])
def test_b_a_bulk_modification_with_kept_identifiers_deletes_everything(
    stock: OrthancServer, level: str
) -> None:
    upload(stock, ct_series(3))
    places = {"Patient": "/patients", "Series": "/series", "Instance": "/instances"}
    resources = stock.http.json(places[level])
    body: dict[str, Any] = {**KEPT, "KeepSource": False, "Level": level, "Resources": resources}
    if level == "Patient":
        body["Replace"] = {**body["Replace"], "PatientID": "SYN0001"}
    result = modify(stock, "/tools/bulk-modify", **body)
    assert (result["InstancesCount"], result["FailedInstancesCount"]) == (3, 0)
    assert stock.http.json("/instances") == []


def test_b_a_modification_of_a_series_with_kept_identifiers_deletes_it(
    stock: OrthancServer,
) -> None:
    upload(stock, ct_series(3))
    (series,) = stock.http.json("/series")
    result = modify(stock, f"/series/{series}/modify", **KEPT, KeepSource=False)
    assert (result["InstancesCount"], result["FailedInstancesCount"]) == (3, 0)
    assert stock.http.json("/instances") == []


def test_b_that_of_a_study_is_refused(stock: OrthancServer) -> None:
    study = upload(stock, ct_series(3))
    body = {**KEPT, "KeepSource": False}
    bulk = {**body, "Level": "Study", "Resources": [study]}
    for answer in (
        stock.http.post(f"/studies/{study}/modify", body),
        stock.http.post("/tools/bulk-modify", bulk),
    ):
        assert answer.status_code == 400
        assert "you must set KeepSource to true" in answer.json()["Details"]
    assert len(stock.http.json("/instances")) == 3


@pytest.mark.parametrize("level", ["Series", "Instance"])
def test_c_a_modification_with_kept_identifiers_changes_nothing_and_succeeds(
    stock: OrthancServer, level: str
) -> None:
    upload(stock, ct_series(3))
    resources = stock.http.json("/series" if level == "Series" else "/instances")
    before = snapshot(stock)
    body = {**KEPT, "KeepSource": True, "Level": level, "Resources": resources}
    result = modify(stock, "/tools/bulk-modify", **body)
    assert (result["InstancesCount"], result["FailedInstancesCount"]) == (3, 0)
    if level == "Series":
        modify(stock, f"/series/{resources[0]}/modify", **KEPT, KeepSource=True)
    assert differences(before, snapshot(stock)) == []


def test_c_that_of_a_study_is_refused(stock: OrthancServer) -> None:
    study = upload(stock, ct_series(3))
    answer = stock.http.post(f"/studies/{study}/modify", {**KEPT, "KeepSource": True})
    assert answer.status_code == 400
    assert "OverwriteInstances" in answer.json()["Details"]


def test_d_a_selection_named_twice_is_copied_twice(stock: OrthancServer) -> None:
    study = upload(stock, ct_series(3))
    series = series_of(stock, study)["CT"]["ID"]
    split(stock, f"studies/{study}", Series=[series, series])
    assert sorted(content(stock).pixels.values()) == [2, 2, 2]


def test_e_a_failed_split_leaves_copies_and_a_resubmitted_one_doubles_them(
    stock: OrthancServer,
) -> None:
    study = upload(stock, ct_series(12))
    series = series_of(stock, study)["CT"]["ID"]
    broken = stock.http.json(f"/studies/{study}/instances")[8]["ID"]
    path = stored_file(stock, broken)
    whole = damage(stock, broken)
    job = split(stock, f"studies/{study}", Series=[series], Asynchronous=True)["ID"]
    wait_for_job(stock.http, job, ("Failure",))
    left = len(stock.http.json("/instances")) - 12
    assert left > 0
    assert len(stock.http.json("/studies")) == 2

    path.write_bytes(whole)
    assert stock.http.post(f"/jobs/{job}/resubmit").ok
    wait_for_job(stock.http, job, ("Success",))
    assert len(stock.http.json("/instances")) == 12 + left
    assert sorted(content(stock).pixels.values()) == [1] * (12 - left) + [2] * left


@pytest.fixture
def other_person(stock: OrthancServer) -> str:
    """Upload an instance of another patient, and return the identifier of that patient."""
    other = make_instance(
        PatientID="OTHER",
        PatientName="SOMEONE^ELSE",
        PatientBirthDate="19990101",
        PatientSex="F",
        StudyInstanceUID=uid("other", "study"),
        SeriesInstanceUID=uid("other", "series"),
        SOPInstanceUID=uid("other", "instance"),
    )
    return str(stock.upload(other)["ParentPatient"])


def names(server: OrthancServer) -> set[str]:
    """Return the names that the files have."""
    return {str(dataset.PatientName) for dataset in content(server).datasets.values()}


def name_in_index(server: OrthancServer, patient: str) -> str:
    tags = server.http.json(f"/patients/{patient}")["MainDicomTags"]
    return str(tags["PatientName"])


def test_f_a_split_gives_a_study_to_another_person(stock: OrthancServer, other_person: str) -> None:
    study = upload(stock, ct_series(2))
    series = series_of(stock, study)["CT"]["ID"]
    split(stock, f"studies/{study}", Series=[series], Replace={"PatientID": "OTHER"})
    assert stock.http.json("/patients") == [other_person]
    assert names(stock) == {"SOMEONE^ELSE", "SYNTHETIC^PATIENT"}
    assert len(unequal_in_patients(content(stock).datasets)) == 3


def test_f_a_modification_of_a_patient_overwrites_another_person(
    stock: OrthancServer, other_person: str
) -> None:
    upload(stock, ct_series(2))
    (patient,) = set(stock.http.json("/patients")) - {other_person}
    replace = {"PatientID": "OTHER"}
    modify(stock, f"/patients/{patient}/modify", Replace=replace, Force=True, KeepSource=False)
    assert stock.http.json("/patients") == [other_person]
    assert name_in_index(stock, other_person) == "SYNTHETIC^PATIENT"
    assert names(stock) == {"SOMEONE^ELSE", "SYNTHETIC^PATIENT"}, "index and files differ"


def test_f_a_modification_of_a_study_is_refused(stock: OrthancServer, other_person: str) -> None:
    study = upload(stock, ct_series(2))
    body = {"Replace": {"PatientID": "OTHER"}, "Force": True, "KeepSource": False}
    answer = stock.http.post(f"/studies/{study}/modify", body)
    assert answer.status_code == 400
    assert "The Patient already exists" in answer.json()["Details"]


@pytest.mark.parametrize("level", ["studies", "series"])
def test_g_one_study_ends_under_two_patients(stock: OrthancServer, level: str) -> None:
    study = upload(stock, [*ct_series(2), *mr_series(1, SeriesNumber=2)])
    resource = study if level == "studies" else series_of(stock, study)["MR"]["ID"]
    modify(
        stock,
        f"/{level}/{resource}/modify",
        Replace={"PatientID": "OTHER"},
        Keep=["StudyInstanceUID"],
        Force=True,
        KeepSource=level == "studies",
    )
    (finding,) = several_parents(content(stock).datasets)
    assert finding.startswith(f"StudyInstanceUID {uid('study')} has 2 of PatientID")
    assert len(stock.http.json("/studies")) == 2


TARGET: dict[str, Any] = {
    "PatientID": "TARGET",
    "PatientName": "TARGET^PATIENT",
    "OtherPatientIDsSequence": [{"PatientID": "T1", "IssuerOfPatientID": "T"}],
    "ProcedureCodeSequence": [
        {"CodeValue": "T1", "CodingSchemeDesignator": "99TEST", "CodeMeaning": "of the target"}
    ],
    "PatientComments": "of the target " * 20,
    "PatientAge": "030Y",
    "AdditionalPatientHistory": "of the target",
}
SOURCE: dict[str, Any] = {
    "PatientID": "SOURCE",
    "PatientName": "SOURCE^PATIENT",
    "OtherPatientIDsSequence": [{"PatientID": "S1", "IssuerOfPatientID": "S"}],
    "PatientComments": "of the source " * 20,
    "PatientAge": "080Y",
    "AdditionalPatientHistory": "of the source",
    "Allergies": "of the source",
}


def test_h_a_merge_drops_sequences_and_long_texts_and_keeps_what_is_of_the_other_patient(
    stock: OrthancServer,
) -> None:
    target = upload(stock, ct_series(1, study="target", **TARGET))
    source = upload(stock, mr_series(1, study="source", **SOURCE))
    merge(stock, target, source)
    datasets = content(stock).datasets
    (moved,) = (dataset for dataset in datasets.values() if dataset.Modality == "MR")
    assert str(moved.PatientName) == "TARGET^PATIENT"
    dropped = ("OtherPatientIDsSequence", "ProcedureCodeSequence", "PatientComments")
    assert not [keyword for keyword in dropped if keyword in moved]
    kept = ("PatientAge", "AdditionalPatientHistory", "Allergies")
    assert {keyword: moved[keyword].value for keyword in kept} == {
        keyword: SOURCE[keyword] for keyword in kept
    }
    assert len(unequal_in_studies(datasets, STUDY_MODULES)) == len(dropped)


def test_i_a_name_that_the_character_set_cannot_hold_is_destroyed(stock: OrthancServer) -> None:
    study = upload(stock, ct_series(1, SpecificCharacterSet="ISO_IR 100"))
    series = series_of(stock, study)["CT"]["ID"]
    split(stock, f"studies/{study}", Series=[series], Replace={"PatientName": "山田^太郎"})
    (dataset,) = content(stock).datasets.values()
    assert str(dataset.PatientName) == "^"


@pytest.mark.parametrize("operation", ["split", "merge"])
def test_j_labels_metadata_attachments_and_the_sender_are_lost(
    new_server: ServerFactory, operation: str
) -> None:
    dicom = {"DicomServerEnabled": True, "DicomCheckCalledAet": False}
    server = new_server(with_plugin=False, **SETTINGS, **dicom)
    modalities = {"target": ["TARGET", "127.0.0.1", server.dicom_port]}
    sender = new_server(with_plugin=False, DicomAet="SCANNER", DicomModalities=modalities)
    study = upload(sender, ct_series(1))
    assert sender.http.post("/modalities/target/store", data=study.encode()).ok
    sources = {
        "Study": f"/studies/{study}",
        "Series": f"/series/{series_of(server, study)['CT']['ID']}",
        "Instance": f"/instances/{server.http.json('/instances')[0]}",
    }
    for resource in sources.values():
        assert server.http.put(f"{resource}/labels/urgent").ok
        assert server.http.put(f"{resource}/metadata/reviewer", data=b"someone").ok
        assert server.http.put(f"{resource}/attachments/report", data=b"\x00text").ok
    before = snapshot(server).resources
    assert before[sources["Series"].split("/")[-1]].metadata["RemoteAET"] == "SCANNER"

    if operation == "split":
        series = sources["Series"].split("/")[-1]
        split(server, f"studies/{study}", Series=[series], KeepLabels=True)
    else:
        target = upload(server, mr_series(1, study="other"))
        merge(server, target, study)

    for stored in snapshot(server).resources.values():
        assert (stored.labels, stored.attachments) == (frozenset(), {})
        assert not any(stored.metadata.values())


def test_k_a_split_series_shows_as_missing(stock: OrthancServer) -> None:
    counted = list(make_series(6, ImagesInAcquisition=6, NumberOfTemporalPositions=1))
    study = upload(stock, counted)
    assert missing_instances(snapshot(stock).resources) == []
    instances = [one["ID"] for one in stock.http.json(f"/studies/{study}/instances")]
    split(stock, f"studies/{study}", Instances=instances[:3])
    assert len(missing_instances(snapshot(stock).resources)) == 2


def test_k_series_numbers_collide(stock: OrthancServer) -> None:
    target = upload(stock, ct_series(1))
    source = upload(stock, mr_series(1, study="other"))
    before = content(stock).datasets
    assert repeated_series_numbers(before) == []
    merge(stock, target, source)
    (finding,) = repeated_series_numbers(content(stock).datasets, before)
    assert finding.endswith("SeriesNumber [1] more than once")


IMAGES = ct_series(2)
STRUCTURES = make_structure_set(IMAGES)
PLAN = make_plan([STRUCTURES])
REFERRING = {
    **{modality: [*IMAGES, make(IMAGES)] for modality, make in ON_IMAGES.items()},
    "RTPLAN": [STRUCTURES, PLAN],
    "RTDOSE": [PLAN, make_dose([PLAN])],
}


@pytest.mark.parametrize("operation", ["split", "merge"])
@pytest.mark.parametrize("modality", REFERRING)
def test_l_what_refers_to_moved_instances_keeps_pointing_at_what_is_gone(
    stock: OrthancServer, modality: str, operation: str
) -> None:
    study = upload(stock, REFERRING[modality])
    other = upload(stock, mr_series(1, study="other"))
    before = content(stock).datasets
    if operation == "split":
        series = [one["ID"] for one in stock.http.json(f"/studies/{study}/series?expand")]
        split(stock, f"studies/{study}", Series=series)
    else:
        merge(stock, other, study)
    after = content(stock).datasets
    assert len(after) == len(before)
    assert new_dangling(after, before)
    assert lost_references(after, before)


def test_m_a_late_instance_brings_the_old_study_back(stock: OrthancServer) -> None:
    *first, late = ct_series(3)
    target = upload(stock, mr_series(1, study="other"))
    source = upload(stock, first)
    merge(stock, target, source)
    assert stock.http.json("/studies") == [target]
    assert stock.upload(late)["ParentStudy"] == source
    assert set(stock.http.json("/studies")) == {target, source}
    assert len(stock.http.json(f"/studies/{source}/instances")) == 1
