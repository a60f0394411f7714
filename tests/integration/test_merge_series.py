"""Merges of series into one: order, numbers, duplicates, and what forbids them."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.uid import MRImageStorage

from factory import CORONAL, multi_frame, uid
from integration.merging import images, instances_of, merge, refusal, values
from integration.model import (
    Content,
    check_everything,
    content,
    damage,
    series_of,
    snapshot,
    stored_file,
    upload,
)
from integration.servers import OrthancServer, RunningServer
from integration.waiting import wait_for_job
from invariants import Check

ServerFactory = Callable[..., OrthancServer]

NAMED = {"UserMetadata": {"reviewer": 1024}, "UserContentType": {"report": 1025}}


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Return a name for studies that no other test has, since what has moved is remembered."""
    return str(request.node.nodeid)


def at(first: float, step: float = 1.0) -> Callable[[int], list[float]]:
    """Return the positions of a series along its normal, by index, in mm."""
    return lambda index: [0.0, 0.0, first + step * index]


def half(study: str, series: str, first: float, count: int = 3, **elements: Any) -> list[bytes]:
    """Return every second slice of a volume."""
    elements = {"ImagePositionPatient": at(first, 2.0), "SeriesNumber": int(first) + 1, **elements}
    return images(study, series, count, **elements)


def halves(study: str, **elements: Any) -> list[bytes]:
    """Return a volume whose odd and even slices have become two series, each numbered from 1."""
    return [*half(study, "even", 0.0, **elements), *half(study, "odd", 1.0, **elements)]


def two(server: RunningServer, study: str) -> tuple[str, str]:
    """Return the two series of a study in the order of their numbers."""
    found = server.http.json(f"/studies/{study}/series?expand")
    one, other = sorted(found, key=lambda one: int(one["MainDicomTags"]["SeriesNumber"]))
    return one["ID"], other["ID"]


def heights(stored: Content) -> list[float]:
    """Return positions along the normal in the order of instance numbers."""
    ordered = sorted(stored.datasets.values(), key=lambda one: int(one.InstanceNumber))
    return [float(one.ImagePositionPatient[2]) for one in ordered]


def refused(
    server: RunningServer, target: str, *sources: str, status: int = 409, **body: Any
) -> dict[str, Any]:
    fields = {"Resources": list(sources), **body}
    return refusal(server, f"/series/{target}/merge", status, **fields)


# Order and numbers


def test_interleaved_halves_become_one_volume_in_geometric_order(
    server: RunningServer, name: str
) -> None:
    study = upload(server, halves(name))
    target, source = two(server, study)
    before = content(server)

    result = merge(server, f"series/{target}", Resources=[source])

    after = check_everything(server, before, made=[uid(name, "even")])
    assert server.http.json("/series") == [target]
    assert heights(after) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert values(after.datasets.values(), "InstanceNumber") == set("123456")
    assert values(after.datasets.values(), "SeriesDescription") == {"even"}
    assert values(after.datasets.values(), "SeriesNumber") == {"1"}
    (joined,) = result["JoinedSeries"]
    assert joined == {
        "Target": target,
        "Sources": [source],
        "OrderedBy": "Position",
        "InstancesCount": 6,
        "Renumbered": True,
        "DifferingElements": ["SeriesDescription", "SeriesNumber"],
    }
    assert (result["InstancesCount"], result["OverwrittenInstancesCount"]) == (3, 2)


def test_several_series_that_count_down_keep_counting_down(
    server: RunningServer, name: str
) -> None:
    files = [
        *images(name, "first", 3, ImagePositionPatient=at(9.0, -3.0), SeriesNumber=1),
        *images(name, "second", 3, ImagePositionPatient=at(8.0, -3.0), SeriesNumber=2),
        *images(name, "third", 3, ImagePositionPatient=at(7.0, -3.0), SeriesNumber=3),
    ]
    study = upload(server, files)
    found = series_of(server, study)
    before = content(server)
    merge(
        server,
        f"series/{found['first']['ID']}",
        Resources=[found["third"]["ID"], found["second"]["ID"]],
    )
    after = check_everything(server, before, made=[uid(name, "first")])
    assert heights(after) == [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]


def test_without_positions_time_decides(server: RunningServer, name: str) -> None:
    no_place: dict[str, Any] = {"ImagePositionPatient": None, "ImageOrientationPatient": None}
    study = upload(
        server,
        [
            *images(name, "a", AcquisitionTime=lambda i: f"10{i}000", SeriesNumber=1, **no_place),
            *images(name, "b", AcquisitionTime=lambda i: f"10{i}500", SeriesNumber=2, **no_place),
        ],
    )
    target, source = two(server, study)
    before = content(server)
    result = merge(server, f"series/{target}", Resources=[source])
    assert result["JoinedSeries"][0]["OrderedBy"] == "Time"
    after = check_everything(server, before, made=[uid(name, "a")])
    ordered = sorted(after.datasets.values(), key=lambda one: int(one.InstanceNumber))
    assert [one.AcquisitionTime for one in ordered] == ["100000", "100500", "101000", "101500"]


def test_what_is_numbered_one_after_the_other_is_not_renumbered(
    server: RunningServer, name: str
) -> None:
    study = upload(
        server,
        [
            *images(name, "a", 3, SeriesNumber=1),
            *images(
                name,
                "b",
                3,
                ImagePositionPatient=at(3.0),
                InstanceNumber=lambda index: index + 4,
                SeriesNumber=2,
            ),
        ],
    )
    target, source = two(server, study)
    before = content(server)
    result = merge(server, f"series/{target}", Resources=[source])
    assert result["OverwrittenInstancesCount"] == 0
    after = check_everything(server, before, made=[uid(name, "a")])
    assert heights(after) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("alone", [False, True])
def test_the_targets_own_instances_are_renumbered_in_place(
    new_server: ServerFactory, overwrite: bool, alone: bool
) -> None:
    """All of them: their parents may be empty for a moment, and lose nothing by that."""
    server = new_server(OverwriteInstances=overwrite, **NAMED)
    first, second = half("study", "even", 1.0), half("study", "odd", 0.0)
    study = upload(server, [*first, *second])
    if not alone:
        upload(server, images("study", "other", SeriesNumber=9))
    found = series_of(server, study)
    target, source = found["even"]["ID"], found["odd"]["ID"]
    patient = server.http.json(f"/studies/{study}")["ParentPatient"]
    own = server.http.json(f"/series/{target}")["Instances"]
    hung = [f"/patients/{patient}", f"/studies/{study}", f"/series/{target}"]
    for resource in (*hung, *(f"/instances/{one}" for one in own)):
        assert server.http.put(f"{resource}/labels/mine").ok
        assert server.http.put(f"{resource}/metadata/reviewer", data=b"me").ok
        assert server.http.put(f"{resource}/attachments/report", data=resource.encode()).ok
    before = snapshot(server)

    result = merge(server, f"series/{target}", Resources=[source])

    assert result["OverwrittenInstancesCount"] == 3
    after = check_everything(server, before, made=[uid("study", "even")])
    joined = [one for one in after.datasets.values() if one.SeriesDescription == "even"]
    order = sorted(joined, key=lambda one: int(one.InstanceNumber))
    assert [float(one.ImagePositionPatient[2]) for one in order] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    stored = snapshot(server).resources
    for one in (patient, study, target, *own):
        assert stored[one].labels == before.resources[one].labels == {"mine"}
        assert stored[one].metadata == before.resources[one].metadata
        assert stored[one].attachments == before.resources[one].attachments != {}


def test_the_series_module_is_the_targets(server: RunningServer, name: str) -> None:
    code = {"CodeValue": "1", "CodingSchemeDesignator": "99TEST", "CodeMeaning": "theirs"}
    study = upload(
        server,
        [
            *half(name, "even", 0.0, ProtocolName="OURS", StationName="ONE"),
            *half(
                name,
                "odd",
                1.0,
                OperatorsName="THEIRS^OP",
                ProtocolName="THEIRS",
                StationName="ONE",
                SeriesDescriptionCodeSequence=[code],
            ),
        ],
    )
    target, source = two(server, study)
    before = content(server)
    result = merge(server, f"series/{target}", Resources=[source])
    assert result["JoinedSeries"][0]["DifferingElements"] == [
        *("OperatorsName", "ProtocolName", "SeriesDescription"),
        *("SeriesDescriptionCodeSequence", "SeriesNumber"),
    ]
    after = check_everything(server, before, made=[uid(name, "even")])
    for dataset in after.datasets.values():
        assert dataset.ProtocolName == "OURS"
        assert "OperatorsName" not in dataset
        assert "SeriesDescriptionCodeSequence" not in dataset


def test_counts_fit_the_new_series(server: RunningServer, name: str) -> None:
    counted = {"ImagesInAcquisition": 3, "NumberOfTemporalPositions": 1}
    study = upload(server, halves(name, **counted))
    target, source = two(server, study)
    assert {one["Status"] for one in series_of(server, study).values()} == {"Complete"}
    before = content(server)
    merge(server, f"series/{target}", Resources=[source])
    after = check_everything(server, before, made=[uid(name, "even")])
    assert server.http.json(f"/series/{target}")["Status"] in {"Unknown", "Complete"}
    assert {
        one.ImagesInAcquisition * one.NumberOfTemporalPositions for one in after.datasets.values()
    } == {6}


# Duplicates


def overlapping(study: str, **theirs: Any) -> list[bytes]:
    """Return two series that share the slice at 2 mm, the second one acquired again."""
    again = {
        "ImagePositionPatient": at(2.0),
        "SeriesNumber": 2,
        "AcquisitionNumber": 1,
        **theirs,
    }
    return [*images(study, "one", 3, SeriesNumber=1), *images(study, "two", 3, **again)]


def origins(stored: Content, heights_of: float = 2.0) -> set[str]:
    """Return whether what is left of the shared slice was in the first or the second series."""
    return {
        "two" if "OriginalAttributesSequence" in one and _was(one) == "two" else "one"
        for one in stored.datasets.values()
        if float(one.ImagePositionPatient[2]) == heights_of
    }


def _was(dataset: Dataset) -> str:
    (item,) = dataset.OriginalAttributesSequence
    return str(item.ModifiedAttributesSequence[0].get("SeriesDescription", ""))


#: What is lost is what was wanted: the duplicates.
LESS = {Check.TOTALS, Check.PIXELS}


@pytest.mark.parametrize(("choice", "kept"), [("KeepFirst", "one"), ("KeepLast", "two")])
def test_of_two_slices_at_one_position_one_is_kept(
    server: RunningServer, name: str, choice: str, kept: str
) -> None:
    study = upload(server, overlapping(name))
    target, source = two(server, study)
    answer = refused(server, target, source)
    assert "1 instances are duplicates (1 by Position)" in answer["Details"]
    before = content(server)

    result = merge(server, f"series/{target}", Resources=[source], Duplicates=choice)

    (dropped,) = result["DroppedInstances"]
    assert dropped["Reason"] == "Position"
    after = check_everything(server, before, made=[uid(name, "one")], ignoring=LESS)
    assert heights(after) == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert origins(after) == {kept}
    assert dropped["Instance"] not in after.files
    assert dropped["Kept"] in after.files
    assert after.pixels < before.pixels


@pytest.mark.parametrize(("numbers", "kept"), [((1, 2), "two"), ((2, 1), "one")])
def test_the_highest_acquisition_is_kept(
    server: RunningServer, name: str, numbers: tuple[int, int], kept: str
) -> None:
    """Copies of one slice, of which the header tells when each was acquired."""
    same = {"seed": lambda index: index + 1}
    study = upload(
        server,
        [
            *images(name, "one", 3, SeriesNumber=1, AcquisitionNumber=numbers[0], **same),
            *images(name, "two", 3, SeriesNumber=2, AcquisitionNumber=numbers[1], **same),
        ],
    )
    target, source = two(server, study)
    before = content(server)
    result = merge(
        server, f"series/{target}", Resources=[source], Duplicates="KeepHighestAcquisition"
    )
    assert [one["Reason"] for one in result["DroppedInstances"]] == ["PixelData"] * 3
    after = check_everything(server, before, made=[uid(name, "one")], ignoring=LESS)
    assert heights(after) == [0.0, 1.0, 2.0]
    assert {origins(after, height).pop() for height in (0.0, 1.0, 2.0)} == {kept}
    assert server.http.json("/series") == [target]


def test_one_sop_instance_uid_in_two_series_is_a_duplicate(
    server: RunningServer, name: str
) -> None:
    one = images(name, "one", 3, SeriesNumber=1)
    theirs = {"SOPInstanceUID": lambda index: uid(name, "one", index + 2)}
    study = upload(
        server,
        [*one, *images(name, "two", 2, SeriesNumber=2, ImagePositionPatient=at(7.0), **theirs)],
    )
    target, source = two(server, study)
    assert "1 by SOPInstanceUID" in refused(server, target, source)["Details"]
    before = content(server)
    merge(server, f"series/{target}", Resources=[source], Duplicates="KeepFirst")
    after = check_everything(server, before, made=[uid(name, "one")], ignoring=LESS)
    assert heights(after) == [0.0, 1.0, 2.0, 8.0]


def test_volumes_at_one_place_are_no_duplicates(server: RunningServer, name: str) -> None:
    study = upload(
        server,
        [
            *images(name, "one", 2, SeriesNumber=1, TemporalPositionIdentifier=1),
            *images(name, "two", 2, SeriesNumber=2, TemporalPositionIdentifier=2),
        ],
    )
    target, source = two(server, study)
    before = content(server)
    merge(server, f"series/{target}", Resources=[source])
    after = check_everything(server, before, made=[uid(name, "one")])
    assert heights(after) == [0.0, 1.0, 0.0, 1.0]


# What forbids it


UNLIKE: Mapping[str, dict[str, Any]] = {
    "Modality": {"Modality": "PT"},
    "SOPClassUID": {"SOPClassUID": MRImageStorage},
    "FrameOfReferenceUID": {"FrameOfReferenceUID": uid("another", "frame")},
    "Rows": {"Rows": 4},
    "Columns": {"Columns": 4},
    "BitsStored": {"BitsStored": 10},
    "PhotometricInterpretation": {"PhotometricInterpretation": "MONOCHROME1"},
    "ImageOrientationPatient": {"ImageOrientationPatient": list(CORONAL)},
    "PixelSpacing": {"PixelSpacing": [0.5, 0.6]},
}


@pytest.mark.parametrize("element", UNLIKE)
def test_unlike_series_are_refused_and_both_sides_shown(
    server: RunningServer, name: str, element: str
) -> None:
    study = upload(server, [*half(name, "even", 0.0), *half(name, "odd", 1.0, **UNLIKE[element])])
    target, source = two(server, study)
    ours, theirs = (
        content(server).datasets[server.http.json(f"/series/{one}")["Instances"][0]]
        for one in (target, source)
    )
    answer = refused(server, target, source)
    assert f"{element} differs in series {source}" in answer["Details"]
    (conflict,) = answer["Conflicts"]
    assert conflict["Element"] == element
    assert conflict["Target"]["ID"] == target
    assert conflict["Source"]["ID"] == source
    assert conflict["Target"]["Value"] != conflict["Source"]["Value"]
    assert ours[element].value != theirs[element].value


@pytest.mark.parametrize(
    "elements",
    [
        {"ImageOrientationPatient": [1.0, 1e-6, 0.0, 0.0, 1.0, 0.0]},
        {"PixelSpacing": [0.5000001, 0.5]},
    ],
    ids=lambda elements: next(iter(elements)),
)
def test_what_differs_by_rounding_only_is_alike(
    server: RunningServer, name: str, elements: dict[str, Any]
) -> None:
    study = upload(server, [*half(name, "even", 0.0), *half(name, "odd", 1.0, **elements)])
    target, source = two(server, study)
    before = content(server)
    merge(server, f"series/{target}", Resources=[source])
    check_everything(server, before, made=[uid(name, "even")])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, 'either "Resources" or "Rule"'),
        ({"Resources": []}, "$.Resources"),
        ({"Resources": "one"}, "$.Resources"),
        ({"Rule": "MFSPLIT", "Resources": ["one"]}, 'either "Resources" or "Rule"'),
        ({"Rule": "Mfsplit"}, "$.Rule"),
        ({"Rule": "MFSPLIT"}, "is a part of the same acquisition"),
        ({"Resources": ["one"], "Duplicate": "KeepFirst"}, 'did you mean "Duplicates"?'),
        ({"Resources": ["one"], "Duplicates": "KeepBest"}, "$.Duplicates"),
        ({"Resources": ["one"], "Keep": ["SeriesInstanceUID"], "Force": True}, "only SOPInst"),
        ({"Resources": ["one"], "Keep": ["SOPInstanceUID"]}, "Force"),
    ],
)
def test_what_is_wrong_in_the_body_is_named(
    server: RunningServer, name: str, body: dict[str, Any], words: str
) -> None:
    target, _ = two(server, upload(server, halves(name)))
    answer = refusal(server, f"/series/{target}/merge", 400, **body)
    assert words in answer["Details"]


def test_only_series_of_the_same_study_can_be_merged(server: RunningServer, name: str) -> None:
    study = upload(server, halves(name))
    target, source = two(server, study)
    other = series_of(server, upload(server, images(f"{name} other")))["CT"]["ID"]
    assert "is no series of study" in refused(server, target, other, status=400)["Details"]
    assert "into itself" in refused(server, target, source, target, status=400)["Details"]
    assert "unknown" in refused(server, target, "unknown", status=404)["Details"]
    assert "unknown" in refused(server, target, study, status=404)["Details"]
    assert "unknown" in refused(server, "unknown", source, status=404)["Details"]


# How


@pytest.mark.parametrize("overwrite", [False, True])
def test_kept_identifiers_lose_nothing(new_server: ServerFactory, overwrite: bool) -> None:
    server = new_server(OverwriteInstances=overwrite)
    study = upload(server, halves("study"))
    target, source = two(server, study)
    before = content(server)
    merge(server, f"series/{target}", Resources=[source], Keep=["SOPInstanceUID"], Force=True)
    after = check_everything(server, before, made=[uid("study", "even")])
    uids = [values(one.datasets.values(), "SOPInstanceUID") for one in (before, after)]
    assert uids[0] == uids[1]
    assert heights(after) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_a_source_that_is_kept_is_copied_and_the_target_renumbered(
    server: RunningServer, name: str
) -> None:
    study = upload(server, halves(name))
    target, source = two(server, study)
    before = content(server)
    merge(server, f"series/{target}", Resources=[source], KeepSource=True)
    after = check_everything(
        server, before, made=[uid(name, "even")], ignoring={Check.TOTALS, Check.PIXELS}
    )
    kept = server.http.json(f"/series/{source}")["Instances"]
    assert len(kept) == 3
    assert all(after.files[one] == before.files[one] for one in kept)
    assert len(server.http.json(f"/series/{target}")["Instances"]) == 6


def test_a_dry_run_changes_nothing_and_its_plan_is_carried_out(
    server: RunningServer, name: str
) -> None:
    study = upload(server, halves(name))
    target, source = two(server, study)
    before = snapshot(server)
    plan = merge(server, f"series/{target}", Resources=[source], DryRun=True)
    assert snapshot(server) == before
    assert plan["OverwrittenInstancesCount"] == 2
    merge(server, f"series/{target}", Resources=[source], Plan=plan["Plan"])
    after = check_everything(server, before, made=[uid(name, "even")])
    own = set(server.http.json(f"/series/{target}")["Instances"])
    assert set(instances_of(plan).values()) < own
    assert own == set(after.files)


def test_an_asynchronous_merge_is_a_job(server: RunningServer, name: str) -> None:
    study = upload(server, halves(name))
    target, source = two(server, study)
    before = content(server)
    answer = merge(server, f"series/{target}", Resources=[source], Asynchronous=True)
    job = wait_for_job(server.http, answer["ID"], ("Success",))
    assert job["Type"] == "CuratorMergeSeries"
    assert job["Content"]["TargetSeries"] == target
    check_everything(server, before, made=[uid(name, "even")])


def test_labels_of_the_sources_join_those_of_the_target(server: RunningServer, name: str) -> None:
    study = upload(server, halves(name))
    target, source = two(server, study)
    assert server.http.put(f"/series/{target}/labels/ours").ok
    assert server.http.put(f"/series/{source}/labels/theirs").ok
    before = content(server)
    merge(server, f"series/{target}", Resources=[source])
    assert server.http.json(f"/series/{target}/labels") == ["ours", "theirs"]
    check_everything(server, before, made=[uid(name, "even")])


def test_a_damaged_instance_stays_in_its_series_when_permitted(new_server: ServerFactory) -> None:
    server = new_server(MaximumStorageCacheSize=0)
    study = upload(server, halves("study"))
    target, source = two(server, study)
    before = content(server)
    broken = server.http.json(f"/series/{source}")["Instances"][1]
    path = stored_file(server, broken)
    whole = damage(server, broken)
    answer = server.http.post(f"/series/{target}/merge", {"Resources": [source]})
    assert answer.status_code == 400, answer.text
    assert broken in answer.json()["Details"]

    result = merge(server, f"series/{target}", Resources=[source], Permissive=True)

    assert result["FailedInstances"] == [broken]
    assert server.http.json(f"/series/{source}")["Instances"] == [broken]
    path.write_bytes(whole)
    check_everything(server, before, made=[uid("study", "even")])


# Siemens


def related(series: str, purpose: tuple[str, str] = ("121326", "DCM")) -> list[dict[str, Any]]:
    code = {"CodeValue": purpose[0], "CodingSchemeDesignator": purpose[1], "CodeMeaning": "x"}
    return [
        {
            "StudyInstanceUID": uid("any"),
            "SeriesInstanceUID": series,
            "PurposeOfReferenceCodeSequence": [code],
        }
    ]


def test_mfsplit_joins_what_siemens_has_split(server: RunningServer, name: str) -> None:
    whole = uid(name, "multi-frame")
    parts = {
        "RelatedSeriesSequence": related(whole),
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "MFSPLIT"],
    }
    frame: dict[str, Any] = {
        "StudyInstanceUID": uid(name),
        "FrameOfReferenceUID": uid(name, "frame"),
        "SeriesInstanceUID": whole,
        "SOPInstanceUID": uid(name, "multi-frame", 0),
        "SeriesDescription": "multi-frame",
        "SeriesNumber": 9,
    }
    study = upload(
        server,
        [
            *halves(name, **parts),
            *images(
                name, "other", SeriesNumber=5, RelatedSeriesSequence=related(whole, ("1", "X"))
            ),
            multi_frame(**frame),
        ],
    )
    found = series_of(server, study)
    before = content(server)

    result = merge(server, f"series/{found['odd']['ID']}", Rule="MFSPLIT")

    assert result["JoinedSeries"][0]["Sources"] == [found["even"]["ID"]]
    after = check_everything(server, before, made=[uid(name, "odd")])
    assert set(series_of(server, study)) == {"odd", "other", "multi-frame"}
    joined = {one: file for one, file in after.files.items() if is_part(after.datasets[one])}
    assert heights(Content(joined)) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def is_part(dataset: Dataset) -> bool:
    return "MFSPLIT" in dataset.ImageType
