"""Splits as users ask for them, on both releases."""

from typing import Any

import pytest

from collection import FILES, load
from curator.dicom import reader
from factory import (
    CORONAL,
    ct_series,
    make_instance,
    make_series,
    make_study,
    mr_series,
    multi_frame,
    uid,
)
from integration.model import (
    check_model,
    check_numbers,
    content,
    series_of,
    split,
    upload,
)
from integration.servers import RunningServer

TWO_ECHOES: dict[str, Any] = {"count": 3, "echo_times": (2.46, 4.92)}


def groups(plan: dict[str, Any]) -> dict[str, int]:
    return {group["Name"]: group["InstancesCount"] for group in plan["Groups"]}


def oblique(index: int) -> list[float]:
    """Give the second half of a series another orientation, within rounding errors each."""
    noise = 1e-6 * (index % 3)
    return list(CORONAL) if index >= 3 else [1.0, noise, 0.0, 0.0, 1.0, 0.0]


CRITERIA = [
    pytest.param(
        mr_series(**TWO_ECHOES),
        ["EchoTime"],
        {"EchoTime=2.46": 3, "EchoTime=4.92": 3},
        id="value",
    ),
    pytest.param(
        mr_series(count=2, echo_times=(2.4, 2.5, 4.9)),
        [{"Tag": "EchoTime", "Tolerance": 0.5}],
        {"EchoTime=2.4": 4, "EchoTime=4.9": 2},
        id="tolerance",
    ),
    pytest.param(
        list(make_series(6, ImageOrientationPatient=oblique)),
        ["Orientation"],
        {"Orientation=1\\0\\0\\0\\0\\-1": 3, "Orientation=1\\0\\0\\0\\1\\0": 3},
        id="orientation",
    ),
    pytest.param(
        list(
            make_series(
                4, AcquisitionDate="20240102", AcquisitionTime=lambda i: f"{10 + i // 2}0{i}00"
            )
        ),
        [{"Gap": "AcquisitionDateTime", "Seconds": 1800}],
        {"AcquisitionDateTime=20240102100000": 2, "AcquisitionDateTime=20240102110200": 2},
        id="gap",
    ),
    pytest.param(
        mr_series(count=2, temporal_positions=3),
        ["TemporalPosition"],
        {f"TemporalPositionIdentifier={position}": 2 for position in (1, 2, 3)},
        id="temporal-position",
    ),
    pytest.param(
        list(make_series(4, AcquisitionNumber=lambda index: index % 2 + 1)),
        ["Acquisition"],
        {"AcquisitionNumber=1": 2, "AcquisitionNumber=2": 2},
        id="acquisition",
    ),
    pytest.param(
        mr_series(
            count=2,
            image_types=(("ORIGINAL", "PRIMARY", "M", "ND"), ("ORIGINAL", "PRIMARY", "P", "ND")),
        ),
        ["Component"],
        {"Component=MAGNITUDE": 2, "Component=PHASE": 2},
        id="component",
    ),
    pytest.param(
        list(make_series(4, ImageComments=lambda index: f"phase {index // 2} of 2")),
        [{"Tag": "ImageComments", "Matches": r"phase (\d)"}],
        {"ImageComments=0": 2, "ImageComments=1": 2},
        id="pattern",
    ),
    *(
        pytest.param(
            mr_series(count=2, b_values=(0.0, 800.0), vendor=vendor),
            ["BValue"],
            {"BValue=0": 2, "BValue=800": 2},
            id=f"b-value-{vendor}",
        )
        for vendor in ("standard", "siemens", "ge", "philips")
    ),
    pytest.param(
        mr_series(**TWO_ECHOES),
        ["Dcm2niix"],
        {"EchoNumbers=1, EchoTime=2.46": 3, "EchoNumbers=2, EchoTime=4.92": 3},
        id="dcm2niix",
    ),
]


@pytest.mark.parametrize(("files", "by", "expected"), CRITERIA)
def test_each_criterion_makes_its_groups(
    server: RunningServer, files: list[bytes], by: list[Any], expected: dict[str, int]
) -> None:
    study = upload(server, files)
    before = content(server)
    plan = split(server, f"studies/{study}", By=by, Into="Series", DryRun=True)
    assert groups(plan) == expected
    assert content(server) == before, "a dry run changes nothing"

    result = split(server, f"studies/{study}", By=by, Into="Series", Plan=plan["Plan"])

    assert groups(result) == expected
    planned = {
        one["ID"]
        for group in plan["Groups"]
        for series in group["Series"]
        for one in series["Instances"]
    }
    after = content(server)
    assert set(after.files) == planned, "the future identifiers are those of the plan"
    assert after.pixels == before.pixels
    check_model(server)
    check_numbers(server, study)


def test_groups_become_studies_of_the_same_patient(server: RunningServer) -> None:
    study = upload(server, make_study([ct_series(3), mr_series(**TWO_ECHOES)]))
    before = content(server)
    result = split(
        server,
        f"studies/{study}",
        By=["Modality"],
        Into="Studies",
        Naming="{StudyDescription} {Modality} {Index}",
    )
    studies = server.http.json("/studies?expand")
    described = {one["MainDicomTags"]["StudyDescription"] for one in studies}
    assert described == {"Synthetic study CT 1", "Synthetic study MR 2"}
    assert len(server.http.json("/patients")) == 1
    assert study not in {one["ID"] for one in studies}, "the source is gone"
    assert "TargetStudy" not in result, "there are two"
    assert content(server).pixels == before.pixels
    check_model(server)


def test_series_that_are_not_mixed_stay_as_they_are(server: RunningServer) -> None:
    study = upload(server, make_study([ct_series(3), mr_series(**TWO_ECHOES)]))
    untouched = series_of(server, study)["CT"]["ID"]
    result = split(server, f"studies/{study}", By=["EchoTime"], Into="Series")
    assert result["UnmovedInstancesCount"] == 3
    assert untouched in server.http.json(f"/studies/{study}")["Series"]
    check_numbers(server, study)


def test_a_study_of_one_group_is_left_alone(server: RunningServer) -> None:
    study = upload(server, ct_series(3))
    before = content(server)
    result = split(server, f"studies/{study}", By=["Modality"], Into="Series")
    assert result["Groups"] == []
    assert "nothing to split" in result["Warnings"][0]
    assert content(server) == before


def test_where_leaves_what_does_not_fit(server: RunningServer) -> None:
    study = upload(server, list(make_series(6, AcquisitionNumber=lambda index: index // 2)))
    result = split(
        server,
        f"studies/{study}",
        By=["AcquisitionNumber"],
        Where={"Tag": "AcquisitionNumber", "Between": [1, 2]},
        Into="Series",
    )
    assert groups(result) == {"AcquisitionNumber=1": 2, "AcquisitionNumber=2": 2}
    assert result["UnmovedInstancesCount"] == 2
    check_model(server)
    check_numbers(server, study)


def test_missing_elements_form_their_own_group_or_are_refused(server: RunningServer) -> None:
    files = [
        make_instance(
            SOPInstanceUID=uid("missing", index),
            InstanceNumber=index + 1,
            EchoTime=5.0 if index else None,
        )
        for index in range(3)
    ]
    study = upload(server, files)
    by = {"By": ["EchoTime"], "Into": "Series"}
    refused = server.http.post(f"/studies/{study}/split", {**by, "Missing": "Refuse"})
    assert refused.status_code == 400
    assert "EchoTime is missing in 1 of 3 instances" in refused.json()["Details"]
    result = split(server, f"studies/{study}", **by)
    assert groups(result) == {"EchoTime=5": 2, "EchoTime missing": 1}


def test_explicit_groups_by_series_and_instance(server: RunningServer) -> None:
    study = upload(server, make_study([ct_series(3), mr_series(2)]))
    series = series_of(server, study)
    ct = server.http.json(f"/series/{series['CT']['ID']}")["Instances"]
    result = split(
        server,
        f"studies/{study}",
        By=[
            {
                "Groups": [
                    {"Name": "one", "Instances": ct[:1]},
                    {"Name": "rest", "Series": [series["MR"]["ID"]], "Instances": ct[1:2]},
                ]
            }
        ],
    )
    assert groups(result) == {"one": 1, "rest": 3}
    assert result["UnmovedInstancesCount"] == 1
    assert len(server.http.json("/studies")) == 3
    check_model(server)


def test_an_instance_in_two_groups_is_refused(server: RunningServer) -> None:
    study = upload(server, ct_series(2))
    instance = server.http.json("/instances")[0]
    both = [{"Name": name, "Instances": [instance]} for name in ("a", "b")]
    answer = server.http.post(f"/studies/{study}/split", {"By": [{"Groups": both}]})
    assert answer.status_code == 400
    assert "is in two groups" in answer.json()["Details"]


def test_a_plan_of_another_state_is_refused(server: RunningServer) -> None:
    files = mr_series(**TWO_ECHOES)
    study = upload(server, files[:-1])
    by = {"By": ["EchoTime"], "Into": "Series"}
    plan = split(server, f"studies/{study}", **by, DryRun=True)
    server.upload(files[-1])
    before = content(server)
    answer = server.http.post(f"/studies/{study}/split", {**by, "Plan": plan["Plan"]})
    assert answer.status_code == 409
    assert content(server) == before


def test_a_series_is_split_by_its_own_route(server: RunningServer) -> None:
    study = upload(server, make_study([ct_series(2), mr_series(**TWO_ECHOES)]))
    series = series_of(server, study)["MR"]["ID"]
    result = split(server, f"series/{series}", By=["Echo"])
    assert result["ParentResources"] == [series]
    assert len(server.http.json(f"/studies/{study}")["Series"]) == 3
    check_model(server)
    check_numbers(server, study)


def test_multi_frame_instances_are_not_divided(server: RunningServer) -> None:
    files = [
        multi_frame(
            SOPInstanceUID=uid("frames", number), InstanceNumber=number, AcquisitionNumber=number
        )
        for number in (1, 2)
    ]
    study = upload(server, files)
    before = content(server)
    split(server, f"studies/{study}", By=["AcquisitionNumber"], Into="Series")
    after = content(server)
    assert after.pixels == before.pixels
    assert all(dataset.NumberOfFrames == 4 for dataset in after.datasets.values())


def test_kept_identifiers_stay_where_the_model_stays_whole(server: RunningServer) -> None:
    study = upload(server, make_study([ct_series(2), mr_series(2)]))
    before = content(server)
    uids = {dataset.SOPInstanceUID for dataset in before.datasets.values()}
    series_uids = {dataset.SeriesInstanceUID for dataset in before.datasets.values()}
    keep = {"Keep": ["SeriesInstanceUID", "SOPInstanceUID"], "Force": True}
    split(server, f"studies/{study}", By=["Modality"], Into="Studies", **keep)
    after = content(server)
    assert {dataset.SOPInstanceUID for dataset in after.datasets.values()} == uids
    assert {dataset.SeriesInstanceUID for dataset in after.datasets.values()} == series_uids
    assert after.pixels == before.pixels
    check_model(server)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"Keep": ["SOPInstanceUID"]}, "Force"),
        ({"Keep": ["SOPInstanceUID"], "Force": True, "KeepSource": True}, "KeepSource"),
        ({"Keep": ["SeriesInstanceUID"], "Force": True}, "is divided"),
        ({"Keep": ["StudyInstanceUID"], "Force": True}, "only SeriesInstanceUID"),
        ({"Replace": {"EchoTime": "1"}}, "patient and study modules"),
        ({"Replace": {"StudyInstanceUID": "1.2"}}, "cannot be changed"),
        ({"Naming": {"PatientName": "x"}}, "can be named"),
        ({"Naming": "{EchoTime:1000000000d}"}, "format"),
    ],
)
def test_what_would_break_the_model_is_refused(
    server: RunningServer, body: dict[str, Any], words: str
) -> None:
    study = upload(server, mr_series(**TWO_ECHOES))
    before = content(server)
    answer = server.http.post(
        f"/studies/{study}/split", {"By": ["EchoTime"], "Into": "Studies", **body}
    )
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["Details"]
    assert content(server) == before


def test_each_instance_records_what_was_changed(server: RunningServer) -> None:
    study = upload(server, mr_series(**TWO_ECHOES))
    before = {dataset.SOPInstanceUID: dataset for dataset in content(server).datasets.values()}
    split(server, f"studies/{study}", By=["EchoTime"], Into="Series", Naming="echo {Index}")
    for dataset in content(server).datasets.values():
        (item,) = dataset.OriginalAttributesSequence
        (previous,) = item.ModifiedAttributesSequence
        assert item.ModifyingSystem == "Curator"
        assert item.ReasonForTheAttributeModification == "CORRECT"
        source = before[previous.SOPInstanceUID]
        assert previous.SeriesInstanceUID == source.SeriesInstanceUID
        assert previous.SeriesDescription == source.SeriesDescription


def test_untouched_elements_come_out_byte_for_byte(server: RunningServer) -> None:
    study = upload(server, mr_series(**TWO_ECHOES, private=()))
    before = {dataset.SOPInstanceUID: dataset for dataset in content(server).datasets.values()}
    split(server, f"studies/{study}", By=["EchoTime"], Into="Series")
    changed = {"SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "OriginalAttributesSequence"}
    for dataset in content(server).datasets.values():
        (item,) = dataset.OriginalAttributesSequence
        source = before[item.ModifiedAttributesSequence[0].SOPInstanceUID]
        for element in source:
            if element.keyword not in changed | {"InstanceNumber", "NumberOfTemporalPositions"}:
                assert dataset[element.tag] == element
        assert {element.tag for element in dataset} - {element.tag for element in source} == {
            item.tag for item in dataset if item.keyword == "OriginalAttributesSequence"
        }


def test_files_of_every_kind_are_split_without_touching_their_pixels(
    server: RunningServer,
) -> None:
    """What Orthanc stores of pydicom's collection: all encodings, character sets and oddities."""
    stored = 0
    for name in FILES:
        uploaded = server.http.post("/instances", data=load(name))
        if not uploaded.ok or uploaded.json()["Status"] != "Success":
            continue
        stored += 1
        instance, study = uploaded.json()["ID"], uploaded.json()["ParentStudy"]
        before = server.http.get(f"/instances/{instance}/file").content
        # Where series moved as a whole are followed, the next file of one goes after it at once.
        body = {"Instances": [instance], "Into": "Studies", "Follow": False}
        answer = server.http.post(f"/studies/{study}/split", body)
        assert answer.status_code == 200, f"{name}: {answer.text}"
        (copy,) = server.http.json(f"/studies/{answer.json()['TargetStudy']}/instances")
        after = server.http.get(f"/instances/{copy['ID']}/file").content
        assert reader.pixel_digest(after) == reader.pixel_digest(before), name
        assert server.http.get(f"/instances/{instance}").status_code == 404, name
    assert stored > 100
