"""Merges into a study, and that they lose nothing of what the built-in merge loses.

The letters are those of the list of measured traps that Curator was designed against.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from pydicom.uid import MRImageStorage

from factory import ct_series, uid
from integration.merging import (
    OTHER_PERSON,
    images,
    instances_of,
    merge,
    refusal,
    shown,
    values,
)
from integration.model import (
    Content,
    check_everything,
    content,
    damage,
    series_of,
    snapshot,
    stored_file,
    upload,
    upload_all,
)
from integration.servers import OrthancServer, RunningServer
from integration.waiting import wait_for_job
from invariants import Check

ServerFactory = Callable[..., OrthancServer]

#: The storage cache would hide what the tests do to files.
UNCACHED = {"MaximumStorageCacheSize": 0}


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Return a name for studies that no other test has, since what has moved is remembered."""
    return str(request.node.nodeid)


def merge_studies(server: RunningServer, target: str, *sources: str, **body: Any) -> dict[str, Any]:
    """Merge with a field that makes the merge Curator's."""
    fields = {"Resources": list(sources), "OnConflict": "Refuse", **body}
    return merge(server, f"studies/{target}", **fields)


def refused(
    server: RunningServer, target: str, *sources: str, status: int = 409, **body: Any
) -> dict[str, Any]:
    fields = {"Resources": list(sources), "OnConflict": "Refuse", **body}
    return refusal(server, f"/studies/{target}/merge", status, **fields)


def sources_of(server: RunningServer, study: str) -> list[str]:
    """Return the instances of a study, in the order of their numbers."""
    found = server.http.json(f"/studies/{study}/instances?expand")
    return [one["ID"] for one in sorted(found, key=lambda one: int(one["IndexInSeries"] or 0))]


# What is merged


def test_several_studies_become_series_of_the_target(server: RunningServer, name: str) -> None:
    target = upload(
        server, [*images(f"{name} target"), *images(f"{name} target", "second", SeriesNumber=2)]
    )
    first = upload(
        server, images(f"{name} first", "head", 3, StudyDescription="other", StudyID="2")
    )
    second = upload(server, [*images(f"{name} second", "neck"), *images(f"{name} second", "chest")])
    before = content(server)
    logged = len(server.log)

    result = merge_studies(server, target, first, second)

    assert server.http.json("/studies") == [target]
    assert "Reconstructing" not in server.log[logged:], "the index was right, see refresh.py"
    assert (result["TargetStudy"], result["TargetStudyUID"]) == (target, uid(f"{name} target"))
    assert result["ParentResources"] == [first, second]
    assert result["InstancesCount"] == 7
    assert {group["Name"]: group["InstancesCount"] for group in result["Groups"]} == {
        first: 3,
        second: 4,
    }
    after = check_everything(server, before, made=[uid(f"{name} target")])
    assert after.files.items() >= {
        (one, file)
        for one, file in before.files.items()
        if before.datasets[one].StudyInstanceUID == uid(f"{name} target")
    }, "the target's own instances are not touched"
    assert values(after.datasets.values(), "StudyID") == {"1"}
    assert set(series_of(server, target)) == {"CT", "second", "head", "neck", "chest"}


def test_series_and_instances_are_taken_out_of_their_studies(
    server: RunningServer, name: str
) -> None:
    target = upload(server, images(f"{name} target"))
    one = upload(server, [*images(f"{name} one", "goes"), *images(f"{name} one", "stays")])
    other = upload(server, images(f"{name} other", "divided", 3))
    third = upload(server, images(f"{name} third", "whole"))
    goes, divided = series_of(server, one)["goes"]["ID"], series_of(server, other)["divided"]["ID"]
    instance = server.http.json(f"/series/{divided}")["Instances"][0]
    before = content(server)

    result = merge_studies(server, target, goes, instance, third)

    assert result["InstancesCount"] == 2 + 1 + 2
    assert set(series_of(server, one)) == {"stays"}
    assert len(server.http.json(f"/series/{divided}")["Instances"]) == 2
    assert set(series_of(server, target)) == {"CT", "goes", "divided", "whole"}
    assert third not in server.http.json("/studies")
    check_everything(server, before, made=[uid(f"{name} target")])


def test_d_what_is_named_twice_is_moved_once(server: RunningServer, name: str) -> None:
    target = upload(server, images(f"{name} target"))
    source = upload(server, images(f"{name} source", "CT2", 3))
    series = series_of(server, source)["CT2"]["ID"]
    instance = sources_of(server, source)[0]
    before = content(server)
    result = merge_studies(server, target, source, source, series, instance)
    assert result["InstancesCount"] == 3
    check_everything(server, before, made=[uid(f"{name} target")])


def test_a_source_that_is_kept_is_copied(server: RunningServer, name: str) -> None:
    target = upload(server, images(f"{name} target"))
    source = upload(server, images(f"{name} source"))
    before = content(server)
    merge_studies(server, target, source, KeepSource=True)
    after = check_everything(server, before, ignoring={Check.TOTALS, Check.PIXELS})
    assert after.files.items() >= before.files.items()
    assert len(after.files) == 6
    copies = Content({one: file for one, file in after.files.items() if one not in before.files})
    assert (
        copies.pixels
        == Content({one: before.files[one] for one in sources_of(server, source)}).pixels
    )


# Conflicts


@pytest.mark.parametrize("element", ["PatientID", "PatientBirthDate", "PatientSex"])
def test_f_studies_of_other_persons_are_refused_and_both_sides_shown(
    server: RunningServer, name: str, element: str
) -> None:
    theirs: dict[str, Any] = {element: OTHER_PERSON[element]}
    target = upload(server, images(f"{name} target"))
    source = upload(server, images(f"{name} source", **theirs))
    ours = content(server).datasets[sources_of(server, target)[0]][element].value
    logged = len(server.log)
    earlier = server.http.json("/jobs")

    answer = refused(server, target, source)

    assert answer["Conflicts"] == [
        {
            "Element": element,
            "Target": {"ID": target, "Value": ours},
            "Source": {"ID": source, "Value": theirs[element]},
        }
    ]
    details = answer["Details"]
    for what in (target, source, element):
        assert what in details
    jobs = [one for one in server.http.json("/jobs?expand") if one["ID"] not in earlier]
    for where in (details.replace(element, ""), str(jobs), server.log[logged:]):
        assert not re.search(rf"\b({ours}|{theirs[element]})\b", where), "no value is told"


def test_f_the_target_decides_when_asked(server: RunningServer, name: str) -> None:
    target = upload(server, images(f"{name} target"))
    source = upload(server, images(f"{name} source", "theirs", **OTHER_PERSON))
    elsewhere = upload(server, images(f"{name} elsewhere", **OTHER_PERSON))
    before = content(server)

    merge_studies(server, target, source, OnConflict="Target")

    after = check_everything(server, before, made=[uid(f"{name} target")])
    moved = [
        dataset
        for dataset in after.datasets.values()
        if dataset.StudyInstanceUID == uid(f"{name} target")
    ]
    assert len(moved) == 4
    for keyword, ours in (
        ("PatientID", "SYN0001"),
        ("PatientName", "SYNTHETIC^PATIENT"),
        ("PatientBirthDate", "19600203"),
        ("PatientSex", "O"),
    ):
        assert values(moved, keyword) == {ours}
    other = server.http.json(f"/studies/{elsewhere}/patient")
    assert other["MainDicomTags"]["PatientName"] == "OTHER^PERSON"
    assert other["Studies"] == [elsewhere]


def test_f_a_name_written_differently_is_only_warned_of(server: RunningServer, name: str) -> None:
    target = upload(server, images(f"{name} target"))
    source = upload(server, images(f"{name} source", PatientName="Synthetic^Patient^P"))
    before = content(server)
    result = merge_studies(server, target, source)
    assert result["Warnings"] == [f"The patient's name of study {source} is written differently"]
    after = check_everything(server, before)
    assert values(after.datasets.values(), "PatientName") == {"SYNTHETIC^PATIENT"}


def test_g_a_study_is_under_one_patient_whatever_its_own_instances_say(
    server: RunningServer, name: str
) -> None:
    target = upload(
        server,
        [
            *images(f"{name} target", count=3, SeriesNumber=1),
            *images(f"{name} target", "odd", 1, PatientSex="M", SeriesNumber=2),
        ],
    )
    source = upload(server, images(f"{name} source", "theirs", **OTHER_PERSON))
    answer = refused(server, target, source)
    own = [one for one in answer["Conflicts"] if one["Source"]["ID"] == target]
    assert own == [
        {
            "Element": "PatientSex",
            "Target": {"ID": target, "Value": "O"},
            "Source": {"ID": target, "Value": "M"},
        }
    ]

    before = content(server)
    merge_studies(server, target, source, OnConflict="Target")

    after = check_everything(server, before)
    assert values(after.datasets.values(), "PatientID") == {"SYN0001"}
    assert values(after.datasets.values(), "PatientSex") == {"O"}
    assert len(server.http.json("/patients")) == 1


# Patient and study modules


LONG = " ".join(["No known allergies, no metal."] * 20)

MODULES: Mapping[str, Any] = {
    "StudyDescription": "the target's",
    "PatientComments": LONG,
    "PatientAge": "064Y",
    "PatientWeight": "71.5",
    "AdditionalPatientHistory": LONG[:299],
    "ProcedureCodeSequence": [
        {"CodeValue": "P5-09051", "CodingSchemeDesignator": "SRT", "CodeMeaning": "MRI of head"}
    ],
    "OtherPatientIDsSequence": [
        {"PatientID": "OLD1", "IssuerOfPatientID": "SITE", "TypeOfPatientID": "TEXT"}
    ],
    "AdmittingDiagnosesCodeSequence": [
        {"CodeValue": "D3-83120", "CodingSchemeDesignator": "SRT", "CodeMeaning": "A diagnosis"}
    ],
}

OTHERS: Mapping[str, Any] = {
    "StudyDescription": "the source's",
    "PatientAge": "031Y",
    "AdditionalPatientHistory": "of someone else",
    "Allergies": "of someone else",
    "ReferringPhysicianIdentificationSequence": [
        {"InstitutionName": "ELSEWHERE", "PersonIdentificationCodeSequence": []}
    ],
}


def test_h_sequences_long_texts_age_and_history_are_those_of_the_target(
    server: RunningServer, name: str
) -> None:
    target = upload(server, images(f"{name} target", **MODULES))
    source = upload(server, images(f"{name} source", "theirs", **OTHERS))
    expected = content(server).datasets[sources_of(server, target)[0]]
    before = content(server)

    merge_studies(server, target, source)

    after = check_everything(server, before, made=[uid(f"{name} target")])
    for dataset in after.datasets.values():
        for keyword in (*MODULES, *OTHERS):
            assert dataset.get(keyword) == expected.get(keyword), keyword


@pytest.mark.parametrize(
    ("choice", "ages", "histories"),
    [
        ("Keep", {"064Y", "031Y"}, {LONG[:299], "of someone else"}),
        ("Target", {"064Y"}, {LONG[:299]}),
        ("Clear", {"064Y", ""}, {LONG[:299], ""}),
    ],
)
def test_the_patient_study_module_is_kept_taken_or_cleared(
    server: RunningServer, name: str, choice: str, ages: set[str], histories: set[str]
) -> None:
    target = upload(server, images(f"{name} target", **MODULES))
    source = upload(server, images(f"{name} source", "theirs", **OTHERS))
    before = content(server)
    merge_studies(server, target, source, PatientStudy=choice)
    after = check_everything(server, before, patient_study=choice == "Target")
    assert values(after.datasets.values(), "PatientAge") == ages
    assert values(after.datasets.values(), "AdditionalPatientHistory") == histories
    assert values(after.datasets.values(), "StudyDescription") == {"the target's"}


# Character sets


SCRIPTS: Mapping[str, Mapping[str, Any]] = {
    "Japanese": {
        "SpecificCharacterSet": ["", "ISO 2022 IR 87"],
        "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
        "StudyDescription": "頭部検査",
        "SeriesDescription": "頭部",
        "PatientID": "JA",
    },
    "Cyrillic": {
        "SpecificCharacterSet": "ISO_IR 144",
        "PatientName": "Иванов^Иван",
        "StudyDescription": "Исследование",
        "SeriesDescription": "Голова",
        "PatientID": "RU",
    },
    "Arabic": {
        "SpecificCharacterSet": "ISO_IR 127",
        "PatientName": "محمد^علي",
        "StudyDescription": "دراسة",
        "SeriesDescription": "رأس",
        "PatientID": "AR",
    },
    "Latin": {
        "SpecificCharacterSet": "ISO_IR 100",
        "PatientName": "Müller^Jürgen",
        "StudyDescription": "Schädel",
        "SeriesDescription": "Übersicht",
        "PatientID": "DE",
    },
    "UTF-8": {
        "SpecificCharacterSet": "ISO_IR 192",
        "PatientName": "Kim^Gildong=金^吉洞=김^길동",
        "StudyDescription": "머리",
        "SeriesDescription": "Ελληνικά",
        "PatientID": "KO",
    },
    "ASCII": {
        "PatientName": "SMITH^JOHN",
        "StudyDescription": "Head",
        "SeriesDescription": "Scout",
        "PatientID": "EN",
    },
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_i_names_and_texts_of_all_scripts_survive_in_every_direction(
    server: RunningServer, name: str, script: str
) -> None:
    """All others are merged into the study of one script."""
    target, *sources = (
        upload(server, images(f"{name} {one}", one, **SCRIPTS[one]))
        for one in (script, *(other for other in SCRIPTS if other != script))
    )
    before = content(server)

    merge_studies(server, target, *sources, OnConflict="Target")

    after = check_everything(server, before)
    wanted = SCRIPTS[script]
    descriptions = [str(one["SeriesDescription"]) for one in SCRIPTS.values()]
    assert values(after.datasets.values(), "PatientName") == {wanted["PatientName"]}
    assert values(after.datasets.values(), "StudyDescription") == {wanted["StudyDescription"]}
    assert values(after.datasets.values(), "SeriesDescription") == set(descriptions)
    study = server.http.json(f"/studies/{target}")
    assert study["PatientMainDicomTags"]["PatientName"] == wanted["PatientName"]
    assert study["MainDicomTags"]["StudyDescription"] == wanted["StudyDescription"]
    assert sorted(series_of(server, target)) == sorted(descriptions)


# What hangs on resources


NAMED = {"UserMetadata": {"reviewer": 1024}, "UserContentType": {"report": 1025}}


def hang(server: RunningServer, resource: str, label: str, text: bytes) -> None:
    """Hang a label, metadata and an attachment on a resource."""
    assert server.http.put(f"{resource}/labels/{label}").ok
    assert server.http.put(f"{resource}/metadata/reviewer", data=text).ok
    assert server.http.put(f"{resource}/attachments/report", data=text).ok


def test_j_what_hangs_on_the_sources_moves_along_at_every_level(new_server: ServerFactory) -> None:
    server = new_server(DicomServerEnabled=True, DicomCheckCalledAet=False, **NAMED)
    modalities = {"target": ["TARGET", "127.0.0.1", server.dicom_port]}
    sender = new_server(with_plugin=False, DicomAet="SCANNER", DicomModalities=modalities)
    source = upload(sender, images("source", "theirs", 1, **OTHER_PERSON))
    assert sender.http.post("/modalities/target/store", data=source.encode()).ok
    target = upload(server, images("target"))
    series = series_of(server, source)["theirs"]["ID"]
    instance = server.http.json(f"/series/{series}")["Instances"][0]
    patient = server.http.json(f"/studies/{source}")["ParentPatient"]
    hang(server, f"/studies/{target}", "mine", b"target")
    for resource in (
        f"/patients/{patient}",
        f"/studies/{source}",
        f"/series/{series}",
        f"/instances/{instance}",
    ):
        hang(server, resource, "urgent", b"source")
    before = snapshot(server)

    merge_studies(server, target, source, OnConflict="Target")

    check_everything(server, before)
    after = snapshot(server).resources
    new_series = series_of(server, target)["theirs"]["ID"]
    (new_instance,) = server.http.json(f"/series/{new_series}")["Instances"]
    new_patient = server.http.json(f"/studies/{target}")["ParentPatient"]
    for one in (new_patient, new_series, new_instance):
        assert after[one].labels == {"urgent"}
        assert after[one].metadata["reviewer"] == b"source"
        assert after[one].attachments == {"1025": b"source"}
    assert after[target].labels == {"mine", "urgent"}
    assert after[target].metadata["reviewer"] == b"target", "what the target has stays"
    assert after[target].attachments == {"1025": b"target"}
    for one, old in ((new_series, series), (new_instance, instance)):
        assert after[one].metadata["RemoteAET"] == "SCANNER"
        assert after[one].metadata["ModifiedFrom"] == old
    assert after[new_instance].metadata["CalledAET"] == "TARGET"


def test_j_labels_stay_behind_when_asked(server: RunningServer, name: str) -> None:
    target = upload(server, images(f"{name} target"))
    source = upload(server, images(f"{name} source", "theirs"))
    series = series_of(server, source)["theirs"]["ID"]
    instance = server.http.json(f"/series/{series}")["Instances"][0]
    for resource in (f"/studies/{source}", f"/series/{series}", f"/instances/{instance}"):
        assert server.http.put(f"{resource}/labels/urgent").ok
    before = content(server)
    merge_studies(server, target, source, KeepLabels=False)
    assert all(not one.labels for one in snapshot(server).resources.values())
    check_everything(server, before)


# Numbers


def test_k_series_numbers_do_not_collide_and_those_of_the_target_stay(
    server: RunningServer, name: str
) -> None:
    target = upload(
        server,
        [
            *images(f"{name} target", "one", SeriesNumber=1),
            *images(f"{name} target", "two", SeriesNumber=7),
        ],
    )
    sources = [
        upload(server, images(f"{name} {number}", f"source {number}", SeriesNumber=number))
        for number in (1, 7, 5)
    ]
    before = content(server)
    merge_studies(server, target, *sources)
    check_everything(server, before, made=[uid(f"{name} target")])
    numbers = {
        description: one["MainDicomTags"]["SeriesNumber"]
        for description, one in series_of(server, target).items()
    }
    assert (numbers["one"], numbers["two"], numbers["source 5"]) == ("1", "7", "5")


def test_k_a_series_of_which_a_part_is_merged_does_not_show_as_missing(
    server: RunningServer, name: str
) -> None:
    target = upload(server, images(f"{name} target"))
    counted: dict[str, Any] = {"ImagesInAcquisition": 4, "NumberOfTemporalPositions": 1}
    source = upload(server, images(f"{name} source", "counted", 4, **counted))
    assert series_of(server, source)["counted"]["Status"] == "Complete"
    before = content(server)
    merge_studies(server, target, *sources_of(server, source)[2:])
    check_everything(server, before, made=[uid(f"{name} target")])


# What goes wrong


def test_a_a_damaged_instance_stays_where_it_is_when_permitted(new_server: ServerFactory) -> None:
    server = new_server(**UNCACHED)
    target = upload(server, images("target"))
    source = upload(server, images("source", "theirs", 3))
    before = content(server)
    broken = sources_of(server, source)[1]
    path = stored_file(server, broken)
    whole = damage(server, broken)
    body: dict[str, Any] = {"Resources": [source], "OnConflict": "Refuse"}
    answer = server.http.post(f"/studies/{target}/merge", body)
    assert answer.status_code == 400, answer.text
    assert broken in answer.json()["Details"]
    assert len(server.http.json("/instances")) == 5

    result = merge_studies(server, target, source, Permissive=True)

    assert (result["FailedInstances"], result["FailedInstancesCount"]) == ([broken], 1)
    assert result["InstancesCount"] == 2
    assert sources_of(server, source) == [broken]
    path.write_bytes(whole)
    check_everything(server, before)


def test_e_a_full_storage_leaves_all_as_it_was(new_server: ServerFactory) -> None:
    server = new_server(MaximumStorageSize=1, MaximumStorageMode="Reject")
    pixels: dict[str, Any] = {"Rows": 160, "Columns": 160}  # 0.6 MB, and as much again does not fit
    target = upload(server, images("target", count=1))
    source = upload(server, images("source", "theirs", 12, **pixels))
    before = snapshot(server)
    body: dict[str, Any] = {"Resources": [source], "OnConflict": "Refuse"}
    answer = server.http.post(f"/studies/{target}/merge", body)
    assert answer.status_code == 500, answer.text
    assert snapshot(server) == before
    check_everything(server, before)


@pytest.mark.parametrize("overwrite", [False, True])
def test_b_c_kept_identifiers_lose_nothing(new_server: ServerFactory, overwrite: bool) -> None:
    """The target's own instances are overwritten in place; the source's come with their UIDs."""
    server = new_server(OverwriteInstances=overwrite, **NAMED)
    odd = images("target", "odd", 1, PatientSex="M", SeriesNumber=2)
    target = upload(server, [*images("target"), *odd])
    own = series_of(server, target)["odd"]["ID"]
    (instance,) = server.http.json(f"/series/{own}")["Instances"]
    for resource in (f"/series/{own}", f"/instances/{instance}", f"/studies/{target}"):
        hang(server, resource, "mine", b"target")
    source = upload(server, images("source", "theirs"))
    before = snapshot(server)

    result = merge_studies(
        server,
        target,
        source,
        OnConflict="Target",
        Keep=["SeriesInstanceUID", "SOPInstanceUID"],
        Force=True,
    )

    assert result["OverwrittenInstancesCount"] == 1
    after = check_everything(server, before)
    for keyword in ("SeriesInstanceUID", "SOPInstanceUID"):
        assert values(after.datasets.values(), keyword) == values(before.datasets.values(), keyword)
    assert values(after.datasets.values(), "PatientSex") == {"O"}
    stored = snapshot(server).resources
    for one in (own, instance, target):
        assert stored[one].labels == {"mine"}
        assert stored[one].metadata == before.resources[one].metadata
        assert stored[one].attachments == {"1025": b"target"}


def test_a_series_divided_over_two_studies_is_whole_again_under_its_uids(
    server: RunningServer, name: str
) -> None:
    """As when a scanner has changed the study halfway through."""
    files = images(f"{name} target", count=4)
    theirs: dict[str, Any] = {"StudyInstanceUID": uid(f"{name} stray"), "StudyID": "stray"}
    target = upload(server, files[:2])
    stray = upload(server, images(f"{name} target", count=4, **theirs)[2:])
    into = {series_of(server, stray)["CT"]["ID"]: series_of(server, target)["CT"]["ID"]}
    keep: dict[str, Any] = {"Keep": ["SeriesInstanceUID", "SOPInstanceUID"], "Force": True}
    assert "SeriesInto" in refused(server, target, stray, **keep)["Details"]

    before = content(server)
    merge_studies(server, target, stray, **keep, SeriesInto=into, Follow=False)

    after = check_everything(server, before)
    assert values(after.datasets.values(), "StudyID") == {"1"}
    statuses = [server.upload(file)["Status"] for file in files]
    assert statuses == ["AlreadyStored"] * 4, "as if all had come right"
    assert len(after.files) == 4


def test_g_a_study_under_two_patients_is_one_again(server: RunningServer, name: str) -> None:
    target = upload(server, images(name))
    source = upload(server, images(name, **OTHER_PERSON))
    for kept in ("SeriesInstanceUID", "SOPInstanceUID"):
        body: dict[str, Any] = {"OnConflict": "Target", "Keep": [kept], "Force": True}
        assert f"have one {kept}" in refused(server, target, source, **body)["Details"]

    before = content(server)
    merge_studies(server, target, source, OnConflict="Target", Follow=False)

    after = check_everything(server, before, made=[uid(name)])
    assert len(server.http.json("/patients")) == 1
    assert len(after.files) == 4


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"Keep": ["SOPInstanceUID"]}, "Force"),
        ({"Keep": ["SOPInstanceUID"], "Force": True, "KeepSource": True}, "KeepSource"),
        ({"Keep": ["StudyInstanceUID"], "Force": True}, "only SeriesInstanceUID"),
        ({"Resources": []}, "$.Resources"),
        ({"Resources": "all"}, "$.Resources"),
        ({"Resources": [5]}, "$.Resources[0]"),
        ({"KeepSource": "yes"}, "$.KeepSource"),
        ({"OnConflict": "Source"}, "$.OnConflict"),
        ({"PatientStudy": "target"}, "$.PatientStudy"),
        ({"OnConflicts": "Target"}, 'did you mean "OnConflict"?'),
        ({"SeriesInto": {}}, "$.SeriesInto"),
        ({"SeriesInto": {"unknown": "unknown"}}, "is not among what is merged"),
    ],
)
def test_what_is_wrong_in_the_body_is_named(
    server: RunningServer, name: str, body: dict[str, Any], words: str
) -> None:
    target = upload(server, images(f"{name} target"))
    source = upload(server, images(f"{name} source"))
    answer = refused(server, target, source, status=400, **body)
    assert words in answer["Details"]


def test_unknown_resources_and_those_of_the_target_are_refused(
    server: RunningServer, name: str
) -> None:
    target = upload(server, images(f"{name} target"))
    source = upload(server, images(f"{name} source"))
    patient = server.http.json(f"/studies/{target}")["ParentPatient"]
    series = series_of(server, target)["CT"]["ID"]
    assert "unknown" in refused(server, "unknown", source, status=404)["Details"]
    assert "$.Resources[1]" in refused(server, target, source, "unknown", status=404)["Details"]
    assert "$.Resources[0]" in refused(server, target, patient, status=404)["Details"]
    assert "into itself" in refused(server, target, target, status=400)["Details"]
    assert "already" in refused(server, target, source, series, status=400)["Details"]


def test_a_part_of_a_series_cannot_keep_its_uid(server: RunningServer, name: str) -> None:
    target = upload(server, images(f"{name} target"))
    source = upload(server, images(f"{name} source"))
    keep: dict[str, Any] = {"Keep": ["SeriesInstanceUID"], "Force": True}
    answer = refused(server, target, sources_of(server, source)[0], status=400, **keep)
    assert "is divided" in answer["Details"]


@pytest.mark.parametrize("level", ["studies", "series", "patients"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_other_methods_are_not_allowed(server: RunningServer, level: str, method: str) -> None:
    answer = server.http.request(method, f"/{level}/unknown/merge")
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST"


def test_what_stays_behind_shows_what_it_says_itself(server: RunningServer, name: str) -> None:
    """Orthanc's index has what the first instance of a series said, which goes."""
    target = upload(server, images(f"{name} target"))
    first = {"SequenceName": lambda index: "first" if index == 0 else "second"}
    source = upload(server, images(f"{name} source", "mixed", 3, **first))
    assert series_of(server, source)["mixed"]["MainDicomTags"]["SequenceName"] == "first"
    before = content(server)
    merge_studies(server, target, sources_of(server, source)[0])
    check_everything(server, before)
    assert series_of(server, source)["mixed"]["MainDicomTags"]["SequenceName"] == "second"


# Jobs and plans


def test_a_dry_run_tells_what_comes_and_its_plan_is_carried_out(
    server: RunningServer, name: str
) -> None:
    target = upload(server, images(f"{name} target"))
    source = upload(server, images(f"{name} source", "theirs", 3))
    before = snapshot(server)
    plan = merge_studies(server, target, source, DryRun=True)
    assert snapshot(server) == before, "a dry run changes nothing"
    planned = instances_of(plan)
    assert set(planned) == set(sources_of(server, source))

    result = merge_studies(server, target, source, Plan=plan["Plan"])

    assert result["Plan"] == plan["Plan"]
    after = check_everything(server, before)
    assert set(after.files) - set(before.files) == set(planned.values())
    for old, new in planned.items():
        metadata = server.http.json(f"/instances/{new}/metadata?expand")
        assert metadata["ModifiedFrom"] == old


def test_a_dry_run_shows_conflicts(server: RunningServer, name: str) -> None:
    target = upload(server, images(f"{name} target"))
    source = upload(server, images(f"{name} source", **OTHER_PERSON))
    before = snapshot(server)
    plan = merge_studies(server, target, source, DryRun=True)
    shown_elements = [one["Element"] for one in plan["Conflicts"]]
    assert shown_elements == ["PatientID", "PatientBirthDate", "PatientSex"]
    assert snapshot(server) == before


@pytest.mark.parametrize("side", ["target", "source"])
def test_a_plan_of_another_state_is_refused(server: RunningServer, name: str, side: str) -> None:
    files = {one: images(f"{name} {one}", count=3) for one in ("target", "source")}
    target, source = (
        upload(server, files[one][:-1] if one == side else files[one]) for one in files
    )
    plan = merge_studies(server, target, source, DryRun=True)
    server.upload(files[side][-1])
    answer = refused(server, target, source, Plan=plan["Plan"])
    assert "$.Plan" in answer["Details"]


def test_an_asynchronous_merge_is_a_job(server: RunningServer, name: str) -> None:
    target = upload(server, images(f"{name} target"))
    source = upload(server, images(f"{name} source"))
    before = content(server)
    answer = merge_studies(server, target, source, Asynchronous=True, UserData="mine")
    assert answer == {"ID": answer["ID"], "Path": f"/jobs/{answer['ID']}"}
    job = wait_for_job(server.http, answer["ID"], ("Success",))
    assert (job["Type"], job["UserData"]) == ("CuratorMerge", "mine")
    assert job["Content"]["TargetStudy"] == target
    assert job["Content"]["InstancesCount"] == 2
    check_everything(server, before)


# Into series of the target


def test_series_become_part_of_series_of_the_target(server: RunningServer, name: str) -> None:
    place: dict[str, Any] = {"FrameOfReferenceUID": uid(name, "frame")}
    target = upload(server, images(f"{name} target", "CT", 3, **place))
    rest: dict[str, Any] = {"ImagePositionPatient": lambda index: [0.0, 0.0, 3.0 + index], **place}
    source = upload(
        server,
        [
            *images(f"{name} source", "CT", 2, **rest, AccessionNumber="THEIRS"),
            *images(f"{name} source", "other", 2, SeriesNumber=2, AccessionNumber="THEIRS"),
        ],
    )
    into = series_of(server, target)["CT"]["ID"]
    part = series_of(server, source)["CT"]["ID"]
    before = content(server)

    result = merge_studies(server, target, source, SeriesInto={part: into})

    assert result["JoinedSeries"][0]["InstancesCount"] == 5
    after = check_everything(server, before)
    assert set(series_of(server, target)) == {"CT", "other"}
    assert len(server.http.json(f"/series/{into}")["Instances"]) == 5
    assert values(after.datasets.values(), "AccessionNumber") == {"ACC0001"}
    joined = [one for one in after.datasets.values() if one.SeriesDescription == "CT"]
    numbers = {int(one.InstanceNumber): float(one.ImagePositionPatient[2]) for one in joined}
    assert numbers == {1: 0.0, 2: 1.0, 3: 2.0, 4: 3.0, 5: 4.0}


def test_series_that_are_not_alike_cannot_be_joined(server: RunningServer, name: str) -> None:
    place: dict[str, Any] = {"FrameOfReferenceUID": uid(name, "frame")}
    target = upload(server, images(f"{name} target", "CT", **place))
    mr: dict[str, Any] = {"Modality": "MR", "SOPClassUID": MRImageStorage}
    source = upload(server, images(f"{name} source", "MR", **mr, **place))
    into = series_of(server, target)["CT"]["ID"]
    part = series_of(server, source)["MR"]["ID"]
    answer = refused(server, target, source, SeriesInto={part: into})
    assert [one["Element"] for one in answer["Conflicts"]] == ["Modality", "SOPClassUID"]
    wrong: dict[str, Any] = {part: series_of(server, source)["MR"]["ID"]}
    assert (
        "is no series of study"
        in refused(server, target, source, status=400, SeriesInto=wrong)["Details"]
    )


# Records


def test_each_moved_instance_records_what_it_was(server: RunningServer, name: str) -> None:
    target = upload(server, images(f"{name} target"))
    earlier: dict[str, Any] = {
        "ModifiedAttributesSequence": [{"PatientID": "FIRST"}],
        "AttributeModificationDateTime": "20230101120000",
        "ModifyingSystem": "ELSEWHERE",
        "ReasonForTheAttributeModification": "COERCE",
    }
    source = upload(
        server,
        images(f"{name} source", **OTHER_PERSON, OriginalAttributesSequence=[earlier]),
    )
    before = content(server)
    was = shown(before)
    merge_studies(server, target, source, OnConflict="Target")
    after = check_everything(server, before)
    for what, dataset in shown(after).items():
        if dataset.SOPInstanceUID == was[what].SOPInstanceUID:
            continue
        kept, added = dataset.OriginalAttributesSequence
        assert kept == was[what].OriginalAttributesSequence[0], "existing items are kept"
        (previous,) = added.ModifiedAttributesSequence
        for keyword in (*OTHER_PERSON, "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            assert previous[keyword] == was[what][keyword]
        assert added.ModifyingSystem == "Curator"


def test_nothing_is_recorded_when_asked(server: RunningServer, name: str) -> None:
    target = upload(server, images(f"{name} target"))
    source = upload(server, images(f"{name} source", **OTHER_PERSON))
    before = content(server)
    merge_studies(server, target, source, OnConflict="Target", OriginalAttributes=False)
    after = check_everything(server, before)
    assert all("OriginalAttributesSequence" not in one for one in after.datasets.values())


def test_a_study_can_be_merged_away_and_its_uids_used_again(
    server: RunningServer, name: str
) -> None:
    target = upload(server, images(f"{name} target"))
    source = upload(server, images(f"{name} source"))
    before = content(server)
    merge_studies(server, target, source, Follow=False)
    check_everything(server, before)
    assert upload_all(server, ct_series(1, study=f"{name} source")) == [source]
