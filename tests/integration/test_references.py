"""Whatever is moved, what refers to it refers to where it is now (trap l).

`check_everything` follows every reference before and after: each has to lead to what it showed, and
lists of studies and series have to name those where it is.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from factory import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    Private,
    uid,
)
from integration.merging import images, merge, shown
from integration.model import (
    Content,
    check_everything,
    content,
    snapshot,
    split,
    upload,
    upload_all,
)
from integration.servers import OrthancServer, RunningServer
from invariants import Check, identity, references
from referring import (
    make_dose,
    make_key_objects,
    make_plan,
    make_presentation_state,
    make_registration,
    make_report,
    make_segmentation,
    make_structure_set,
)

ServerFactory = Callable[..., OrthancServer]

ON_IMAGES = {
    "SEG": make_segmentation,
    "RTSTRUCT": make_structure_set,
    "SR": make_report,
    "KO": make_key_objects,
    "PR": make_presentation_state,
    "REG": make_registration,
}


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Return a name for studies that no other test has, since what has moved is remembered."""
    return str(request.node.nodeid)


@dataclass(frozen=True)
class Patient:
    """Two studies with objects of every kind that refer to images of both.

    The first study has two halves of a volume, of which the first has two acquisitions. Its objects
    refer to the first half (``… EVEN``) or to all images of the patient (``… ALL``), as those
    of the second study do.
    """

    name: str
    elements: Mapping[str, Any]

    @property
    def even(self) -> list[bytes]:
        numbers = {"AcquisitionNumber": lambda index: index % 2 + 1}
        return self._images("first", "even", 0.0, count=3, SeriesNumber=1, **numbers)

    @property
    def odd(self) -> list[bytes]:
        return self._images("first", "odd", 1.0, count=2, SeriesNumber=2, AcquisitionNumber=1)

    @property
    def other(self) -> list[bytes]:
        return self._images("second", "other", 0.0, count=2, SeriesNumber=1)

    @property
    def files(self) -> list[bytes]:
        everything = [*self.even, *self.odd, *self.other]
        second = {"StudyInstanceUID": self.uid("second")}
        return [
            *everything,
            *self._objects(self.even, "EVEN"),
            *self._objects(everything, "ALL"),
            *self._objects([*self.even, *self.other], "FAR", **second),
        ]

    def uid(self, study: str) -> str:
        return uid(f"{self.name} {study}")

    def _images(
        self, study: str, series: str, first: float, count: int, **elements: Any
    ) -> list[bytes]:
        place = {"ImagePositionPatient": lambda index: [0.0, 0.0, first + 2 * index]}
        return images(f"{self.name} {study}", series, count, **place, **elements, **self.elements)

    def _objects(self, targets: list[bytes], what: str, **elements: Any) -> Iterator[bytes]:
        for modality, make in ON_IMAGES.items():
            yield make(targets, label=f"{modality} {what}", **elements)
        structures = make_structure_set(targets, label=f"SET {what}", **elements)
        plan = make_plan([structures], label=f"PLAN {what}", **elements)
        yield from (structures, plan, make_dose([plan], label=f"DOSE {what}", **elements))


class Found:
    """The resources of a patient on a server, by the UIDs of `Patient`."""

    def __init__(self, server: RunningServer, patient: Patient) -> None:
        self.first, self.second = (
            self._lookup(server, patient.uid(study)) for study in ("first", "second")
        )
        self.patient = server.http.json(f"/studies/{self.first}")["ParentPatient"]
        self.series = {
            one["MainDicomTags"]["SeriesDescription"]: one["ID"]
            for study in (self.first, self.second)
            for one in server.http.json(f"/studies/{study}/series?expand")
        }

    def _lookup(self, server: RunningServer, study_uid: str) -> str:
        (found,) = server.http.post("/tools/lookup", data=study_uid.encode()).json()
        return str(found["ID"])


def split_off(server: RunningServer, found: Found, **body: Any) -> dict[str, Any]:
    series = [found.series["even"]]
    return split(server, f"studies/{found.first}", Series=series, Into="Studies", **body)


def split_series(server: RunningServer, found: Found, **body: Any) -> dict[str, Any]:
    resource = f"series/{found.series['even']}"
    return split(server, resource, By=["AcquisitionNumber"], Into="Series", **body)


def split_off_objects(server: RunningServer, found: Found, **body: Any) -> dict[str, Any]:
    series = [one for what, one in found.series.items() if what.endswith("ALL")]
    return split(server, f"studies/{found.first}", Series=series, Into="Studies", **body)


def merge_second_into_first(server: RunningServer, found: Found, **body: Any) -> dict[str, Any]:
    fields = {"Resources": [found.second], "OnConflict": "Refuse", **body}
    return merge(server, f"studies/{found.first}", **fields)


def merge_first_into_second(server: RunningServer, found: Found, **body: Any) -> dict[str, Any]:
    fields = {"Resources": [found.first], "OnConflict": "Refuse", **body}
    return merge(server, f"studies/{found.second}", **fields)


def merge_series_into_second(server: RunningServer, found: Found, **body: Any) -> dict[str, Any]:
    resources = [found.series[one] for one in ("even", "SEG EVEN", "SR ALL")]
    fields = {"Resources": resources, "OnConflict": "Refuse", **body}
    return merge(server, f"studies/{found.second}", **fields)


def merge_an_instance(server: RunningServer, found: Found, **body: Any) -> dict[str, Any]:
    instance = server.http.json(f"/series/{found.series['even']}")["Instances"][1]
    fields = {"Resources": [instance], "OnConflict": "Refuse", **body}
    return merge(server, f"studies/{found.second}", **fields)


def merge_the_halves(server: RunningServer, found: Found, **body: Any) -> dict[str, Any]:
    return merge(server, f"series/{found.series['even']}", Resources=[found.series["odd"]], **body)


def merge_the_patient(server: RunningServer, found: Found, **body: Any) -> dict[str, Any]:
    study = upload(server, images(f"{found.first} target", PatientID="TARGET"))
    target = server.http.json(f"/studies/{study}")["ParentPatient"]
    return merge(server, f"patients/{target}", Resources=[found.patient], **body)


OPERATIONS = {
    "split off into a study": split_off,
    "split into series": split_series,
    "split off objects": split_off_objects,
    "merge of the second study": merge_second_into_first,
    "merge of the first study": merge_first_into_second,
    "merge of series": merge_series_into_second,
    "merge of an instance": merge_an_instance,
    "merge of series into one": merge_the_halves,
    "merge of patients": merge_the_patient,
}


def prepared(server: RunningServer, name: str, **elements: Any) -> Found:
    """Upload a patient."""
    patient = Patient(name, elements)
    upload_all(server, patient.files)
    return Found(server, patient)


def references_of(stored: Content) -> dict[str, Counter[tuple[Any, ...]]]:
    """Return where objects refer to, by what they show."""
    return {
        identity(dataset): Counter(
            (one.path, one.level, one.uid, one.study, one.series)
            for one in references(orthanc_id, dataset)
        )
        for orthanc_id, dataset in stored.datasets.items()
    }


def listed(answer: Mapping[str, Any], key: str = "Rewritten") -> set[str]:
    return {one["Instance"] for one in answer["References"][key]}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_reference_leads_to_what_it_showed(
    server: RunningServer, name: str, operation: str
) -> None:
    found = prepared(server, name)
    before = check_everything(server)

    answer = OPERATIONS[operation](server, found)

    after = content(server)
    extra = len(after.files) - len(before.files)  # a patient that was uploaded as the target
    assert extra in (0, 2)
    lost = {Check.TOTALS, Check.PIXELS} if extra else set()
    check_everything(server, before, ignoring=lost)
    was, now = references_of(before), references_of(after)
    changed = {
        orthanc_id
        for orthanc_id, dataset in after.datasets.items()
        if now[identity(dataset)] != was.get(identity(dataset), Counter())
    }
    assert len(changed) >= 4
    assert listed(answer) == changed, "the answer lists what was rewritten, and nothing else"
    assert answer["References"]["Mode"] == "Repair"
    assert answer["References"]["DanglingCount"] == {"Before": 0, "After": 0}
    assert answer["References"]["RewrittenCount"] > 0


@pytest.mark.parametrize("operation", ["merge of the second study", "merge of patients"])
def test_what_keeps_its_uids_is_referred_to_as_before(
    server: RunningServer, name: str, operation: str
) -> None:
    found = prepared(server, name)
    before = content(server)
    keep = ["SeriesInstanceUID", "SOPInstanceUID"]
    if operation == "merge of patients":
        keep.append("StudyInstanceUID")
    answer = OPERATIONS[operation](server, found, Keep=keep, Force=True)
    lost = {Check.TOTALS, Check.PIXELS} if operation == "merge of patients" else set()
    check_everything(server, before, ignoring=lost)
    was, now = references_of(before), references_of(content(server))
    for what, found_before in was.items():
        assert {one[2] for one in now[what] if one[1] == "instance"} == {
            one[2] for one in found_before if one[1] == "instance"
        }
    assert (answer["References"]["RewrittenCount"] == 0) == (operation == "merge of patients")


def test_a_split_and_a_merge_back_nest_lists_as_they_were(server: RunningServer, name: str) -> None:
    patient = Patient(name, {})
    upload_all(server, patient.files)
    found = Found(server, patient)
    before = content(server)
    new = split_off(server, found)["TargetStudy"]
    check_everything(server, before)
    apart = shown(content(server))

    merge(server, f"studies/{found.first}", Resources=[new], OnConflict="Refuse")

    check_everything(server, before)
    first = {one.SeriesDescription: one for one in shown(before).values()}
    middle = {one.SeriesDescription: one for one in apart.values()}
    last = {one.SeriesDescription: one for one in shown(content(server)).values()}
    for kind, lists in NESTED.items():
        counts = [
            [len(found_list) for found_list in lists(datasets[f"{kind} ALL"])]
            for datasets in (first, middle, last)
        ]
        assert counts[0] == counts[2], kind
        assert counts[0] != counts[1], kind


def studies_and_series(
    sequence: Iterable[Dataset], prefix: str = "", study: str = "StudyInstanceUID"
) -> Iterator[list[str]]:
    """Yield the studies of a list, then the series of each."""
    studies = list(sequence)
    yield [str(one[study].value) for one in studies]
    for one in studies:
        yield [part.SeriesInstanceUID for part in one[f"{prefix}ReferencedSeriesSequence"].value]


def evidence(dataset: Dataset) -> Iterator[list[str]]:
    return studies_and_series(dataset.CurrentRequestedProcedureEvidenceSequence)


def common_instances(dataset: Dataset) -> Iterator[list[str]]:
    yield [one.SeriesInstanceUID for one in dataset.get("ReferencedSeriesSequence", ())]
    others = dataset.get("StudiesContainingOtherReferencedInstancesSequence", ())
    yield from studies_and_series(others)


def contoured(dataset: Dataset) -> Iterator[list[str]]:
    (frame,) = dataset.ReferencedFrameOfReferenceSequence
    return studies_and_series(frame.RTReferencedStudySequence, "RT", "ReferencedSOPInstanceUID")


#: Lists of studies and series by what has them.
NESTED: Mapping[str, Callable[[Dataset], Iterator[list[str]]]] = {
    "SR": evidence,
    "KO": evidence,
    "SEG": common_instances,
    "REG": common_instances,
    "RTSTRUCT": contoured,
}


def test_hierarchical_lists_name_the_new_study_and_series(server: RunningServer, name: str) -> None:
    """The details of one case, in the words of the standard."""
    patient = Patient(name, {})
    upload_all(server, patient.files)
    found = Found(server, patient)
    before = content(server)
    result = split_off(server, found)
    check_everything(server, before)
    new, first, second = result["TargetStudyUID"], patient.uid("first"), patient.uid("second")
    (series,) = result["Groups"][0]["Series"]
    even, odd = series["SeriesInstanceUID"], uid(f"{name} first", "odd")
    other = uid(f"{name} second", "other")
    by_description = {one.SeriesDescription: one for one in content(server).datasets.values()}

    for kind in ("SR", "KO", "RTSTRUCT"):
        studies, *lists = NESTED[kind](by_description[f"{kind} ALL"])
        assert dict(zip(studies, lists, strict=True)) == {
            first: [odd],
            new: [even],
            second: [other],
        }
    for kind in ("SEG", "REG"):
        own, studies, *lists = NESTED[kind](by_description[f"{kind} ALL"])
        assert own == [odd]
        assert dict(zip(studies, lists, strict=True)) == {new: [even], second: [other]}
        own, studies, *lists = NESTED[kind](by_description[f"{kind} EVEN"])
        assert (own, studies, lists) == ([], [new], [[even]])
    state = by_description["PR ALL"]
    assert {one.SeriesInstanceUID for one in state.ReferencedSeriesSequence} == {even, odd, other}
    (study,) = (
        by_description["RTSTRUCT EVEN"]
        .ReferencedFrameOfReferenceSequence[0]
        .RTReferencedStudySequence
    )
    assert study.ReferencedSOPInstanceUID == new


# What is never touched


def test_uids_of_classes_codes_contexts_and_frames_are_untouched(
    server: RunningServer, name: str
) -> None:
    """Even where they are the same as a UID that changes."""
    study = f"{name} study"
    moved = uid(study, "moved")
    code = {
        "CodeValue": "1",
        "CodingSchemeDesignator": "99TEST",
        "CodeMeaning": "x",
        "ContextUID": moved,
        "CodingSchemeUID": uid(study),
        "MappingResourceUID": moved,
    }
    same = {
        "FrameOfReferenceUID": uid(study),
        "AnatomicRegionSequence": [code],
        "SynchronizationFrameOfReferenceUID": moved,
        "CodingSchemeIdentificationSequence": [
            {"CodingSchemeDesignator": "99TEST", "CodingSchemeUID": moved}
        ],
    }
    targets = images(study, "moved", 2, **same)
    objects = [
        make(targets, label=kind, **({} if kind == "SR" else same))
        for kind, make in ON_IMAGES.items()
    ]
    target = upload(server, images(f"{name} target"))
    source = upload(server, [*targets, *objects])
    before = content(server)
    merge(server, f"studies/{target}", Resources=[source], OnConflict="Refuse")
    after = check_everything(server, before)
    was, now = shown(before), shown(after)
    for what, dataset in was.items():
        assert other_uids(now[what]) == other_uids(dataset)
        assert now[what].file_meta.TransferSyntaxUID == dataset.file_meta.TransferSyntaxUID
    assert any(moved in other_uids(one) for one in was.values())


UNTOUCHED = ("Class", "ContextUID", "CodingScheme", "MappingResource", "FrameOfReference")


def other_uids(dataset: Dataset) -> Counter[str]:
    """Count UIDs that name no object, at any depth but in what was."""
    counts: Counter[str] = Counter()
    for element in dataset:
        if element.VR == "SQ" and element.keyword != "OriginalAttributesSequence":
            for item in element.value:
                counts += other_uids(item)
        elif element.VR == "UI" and any(word in element.keyword for word in UNTOUCHED):
            counts[str(element.value)] += 1
    return counts


def test_references_in_private_elements_and_in_any_depth_follow(
    server: RunningServer, name: str
) -> None:
    study = f"{name} source"
    targets = images(study, "moved", 1)
    first = uid(study, "moved", 0)
    nested = Dataset()
    nested.add_new(0x00081155, "UI", first)
    private = (
        Private(0x0011, "CURATOR TEST", 0x01, "UI", first),
        Private(0x0011, "CURATOR TEST", 0x02, "UI", [uid(study), uid(study, "moved"), "1.2.3"]),
        Private(0x0011, "CURATOR TEST", 0x03, "SQ", [nested]),
        Private(0x0011, "CURATOR TEST", 0x04, "LO", first),
    )
    holder = make_key_objects(targets, label="KO", private=private)
    elsewhere = images(f"{name} elsewhere", "holds", 1, private=private)
    target = upload(server, images(f"{name} target"))
    source = upload(server, [*targets, holder])
    upload(server, elsewhere)
    before = content(server)

    merge(server, f"studies/{target}", Resources=[source], OnConflict="Refuse")

    after = check_everything(server, before)
    by_description = {one.SeriesDescription: one for one in after.datasets.values()}
    moved = by_description["moved"]
    for what in ("KO", "holds"):
        block = by_description[what].private_block(0x0011, "CURATOR TEST")
        assert block[0x01].value == moved.SOPInstanceUID
        assert list(block[0x02].value) == [
            moved.StudyInstanceUID,
            moved.SeriesInstanceUID,
            "1.2.3",
        ]
        assert block[0x03].value[0].ReferencedSOPInstanceUID == moved.SOPInstanceUID
        assert block[0x04].value == first, "only UIDs are rewritten"


@pytest.mark.parametrize("undefined_lengths", [False, True], ids=["defined", "undefined"])
@pytest.mark.parametrize(
    "transfer_syntax",
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    ],
    ids=lambda one: one.name.replace(" ", ""),
)
def test_objects_of_all_encodings_are_repaired_in_theirs(
    server: RunningServer, name: str, transfer_syntax: str, undefined_lengths: bool
) -> None:
    targets = images(f"{name} source", "moved", 2)
    written = {"transfer_syntax": transfer_syntax, "undefined_lengths": undefined_lengths}
    staying = {**written, "StudyInstanceUID": uid(f"{name} staying")}
    goes = [make(targets, label=f"{kind} GOES", **written) for kind, make in ON_IMAGES.items()]
    stays = [make(targets, label=f"{kind} STAYS", **staying) for kind, make in ON_IMAGES.items()]
    target = upload(server, images(f"{name} target"))
    source = upload(server, [*targets, *goes])
    upload(server, stays)
    before = content(server)
    answer = merge(server, f"studies/{target}", Resources=[source], OnConflict="Refuse")
    after = check_everything(server, before)
    assert len(answer["References"]["Rewritten"]) == 12
    syntaxes = [sorted(map(syntax, one.files.values())) for one in (before, after)]
    assert syntaxes[0] == syntaxes[1]


def syntax(file: bytes) -> str:
    return str(dcmread(BytesIO(file), stop_before_pixels=True).file_meta.TransferSyntaxUID)


# What is told, and what is not done


def test_a_report_changes_nothing_but_lists_what_refers(server: RunningServer, name: str) -> None:
    found = prepared(server, name)
    before = snapshot(server)
    planned = split_off(server, found, References="Report", DryRun=True)
    repaired = split_off(server, found, DryRun=True)
    assert snapshot(server) == before

    answer = split_off(server, found, References="Report")

    after = check_everything(
        server, before, ignoring={Check.DANGLING, Check.RESOLVED, Check.HIERARCHY}
    )
    moved = {one["Source"] for one in instances(planned)}
    assert len(moved) == 3
    assert {one: file for one, file in after.files.items() if one in before.files} == {
        one: file for one, file in before.files.items() if one not in moved
    }, "nothing but what was to be moved has changed"
    report = answer["References"]
    assert (report["Mode"], report["RewrittenCount"]) == ("Report", 0)
    assert "Rewritten" not in report
    assert listed(answer, "Affected") == listed(repaired) == listed(planned, "Affected")
    dangling = planned["References"]["Dangling"]
    assert dangling["Before"] == []
    assert report["DanglingCount"] == {"Before": 0, "After": len(dangling["After"])}
    names = {(one["Instance"], one["UID"]) for one in dangling["After"]}
    stored = {str(one.SOPInstanceUID) for one in after.datasets.values()}
    stored |= {str(one.SeriesInstanceUID) for one in after.datasets.values()}
    stored |= {str(one.StudyInstanceUID) for one in after.datasets.values()}
    assert names == {
        (orthanc_id, one.uid)
        for orthanc_id, dataset in after.datasets.items()
        for one in references(orthanc_id, dataset)
        if one.uid not in stored
    }


def instances(answer: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the instances of a dry run."""
    for group in answer["Groups"]:
        for series in group["Series"]:
            yield from series["Instances"]


def test_the_answer_counts_references_by_object(server: RunningServer, name: str) -> None:
    """Evidence of a study, a series and two instances, which are shown once more each."""
    targets = images(f"{name} source", "moved", 2)
    elsewhere = make_report(targets[:1], StudyInstanceUID=uid(f"{name} elsewhere"))
    target = upload(server, images(f"{name} target"))
    source = upload(server, [*targets, make_key_objects(targets)])
    upload(server, [elsewhere])
    before = content(server)
    answer = merge(server, f"studies/{target}", Resources=[source], OnConflict="Refuse")
    after = check_everything(server, before)
    counts = {
        after.datasets[one["Instance"]].SeriesDescription: one["Count"]
        for one in answer["References"]["Rewritten"]
    }
    assert counts == {"KEY OBJECTS": 6, "REPORT": 4}
    assert answer["References"]["RewrittenCount"] == 10
    assert {one["Source"] for one in answer["References"]["Rewritten"]} == {
        orthanc_id
        for orthanc_id, dataset in before.datasets.items()
        if dataset.SeriesDescription in counts
    }


def test_references_to_what_is_not_stored_are_told_and_stay(
    server: RunningServer, name: str
) -> None:
    targets = images(f"{name} source", "moved", 2)
    absent = images(f"{name} source", "absent", 1)
    holder = make_key_objects([*targets, *absent], label="KO")
    target = upload(server, images(f"{name} target"))
    source = upload(server, [*targets, holder])
    before = content(server)
    body: dict[str, Any] = {"Resources": [source], "OnConflict": "Refuse"}

    plan = merge(server, f"studies/{target}", **body, DryRun=True)

    after = plan["References"]["Dangling"]["After"]
    for when in ("Before", "After"):
        dangling = plan["References"]["Dangling"][when]
        assert plan["References"]["DanglingCount"][when] == len(dangling) == 3
        assert {one["UID"] for one in dangling} == {
            uid(f"{name} source", "absent"),
            uid(f"{name} source", "absent", 0),
        }
    series = "CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[1]"
    assert {one["Element"] for one in after} == {
        f"{series}.SeriesInstanceUID",
        f"{series}.ReferencedSOPSequence[0].ReferencedSOPInstanceUID",
        "ContentSequence[3].ReferencedSOPSequence[0].ReferencedSOPInstanceUID",
    }
    merge(server, f"studies/{target}", **body)
    check_everything(server, before)


def test_the_rest_is_left_alone_where_the_sources_stay(server: RunningServer, name: str) -> None:
    found = prepared(server, name)
    before = content(server)
    answer = merge_series_into_second(server, found, KeepSource=True)
    after = check_everything(server, before, ignoring={Check.TOTALS, Check.PIXELS})
    assert after.files.items() >= before.files.items()
    copies = set(after.files) - set(before.files)
    assert listed(answer) <= copies
    moved_even = {
        str(after.datasets[one].SOPInstanceUID)
        for one in copies
        if after.datasets[one].SeriesDescription == "even"
    }
    (segmentation,) = (
        after.datasets[one] for one in copies if after.datasets[one].SeriesDescription == "SEG EVEN"
    )
    assert {one.uid for one in references("", segmentation) if one.level == "instance"} == (
        moved_even
    ), "what is copied together refers to each other"


SIGNED: Mapping[str, Any] = {
    "MACParametersSequence": [{"MACIDNumber": 1, "MACAlgorithm": "SHA256"}],
    "DigitalSignaturesSequence": [
        {
            "MACIDNumber": 1,
            "DigitalSignatureUID": uid("signature"),
            "DigitalSignatureDateTime": "20240102120000",
            "CertificateType": "X509_1993_SIG",
        }
    ],
}


def test_signatures_of_what_is_rewritten_go_and_the_answer_says_so(
    server: RunningServer, name: str
) -> None:
    targets = images(f"{name} source", "moved", 1, **SIGNED)
    staying = {"StudyInstanceUID": uid(f"{name} staying"), **SIGNED}
    untouched = images(f"{name} staying", "untouched", 1, **SIGNED)
    target = upload(server, images(f"{name} target"))
    source = upload(server, [*targets, make_report(targets, label="goes", **SIGNED)])
    upload(server, [make_report(targets, label="stays", **staying), *untouched])
    before = content(server)

    answer = merge(server, f"studies/{target}", Resources=[source], OnConflict="Refuse")

    after = check_everything(server, before)
    signed = {
        dataset.SeriesDescription
        for dataset in after.datasets.values()
        if "DigitalSignaturesSequence" in dataset or "MACParametersSequence" in dataset
    }
    assert signed == {"untouched"}
    assert set(answer["References"]["SignaturesRemoved"]) == {
        orthanc_id
        for orthanc_id, dataset in after.datasets.items()
        if dataset.SeriesDescription in {"moved", "goes", "stays"}
    }


@pytest.mark.parametrize("recorded", [True, False])
def test_a_repaired_object_records_the_references_that_it_had(
    server: RunningServer, name: str, recorded: bool
) -> None:
    found = prepared(server, name)
    before = content(server)
    was = shown(before)
    answer = split_off(server, found, OriginalAttributes=recorded)
    after = check_everything(server, before)
    repaired = [after.datasets[one] for one in listed(answer)]
    assert len(repaired) > 20
    for dataset in repaired:
        if not recorded:
            assert "OriginalAttributesSequence" not in dataset
            continue
        (item,) = dataset.OriginalAttributesSequence
        assert item.ModifyingSystem == "Curator"
        (previous,) = item.ModifiedAttributesSequence
        held = {element.keyword for element in previous}
        for element in was[identity(dataset)]:
            changed = dataset.get(element.tag) != element
            assert not changed or element.keyword in held, element.keyword
        assert any(element.VR == "SQ" for element in previous)
        for element in previous:
            assert element == was[identity(dataset)][element.tag], element.keyword


def test_what_hangs_on_a_repaired_object_stays(new_server: ServerFactory) -> None:
    server = new_server(UserMetadata={"reviewer": 1024}, UserContentType={"report": 1025})
    found = prepared(server, "study")
    (report,) = server.http.json(f"/series/{found.series['SR FAR']}")["Instances"]
    for path, data in (
        ("labels/mine", b""),
        ("metadata/reviewer", b"me"),
        ("attachments/report", b"\x00text"),
    ):
        assert server.http.put(f"/instances/{report}/{path}", data=data).ok
    before = snapshot(server)
    split_off(server, found)
    check_everything(server, before)
    after = snapshot(server)
    assert after.files[report] != before.files[report]
    assert after.resources[report] == before.resources[report]


def test_other_patients_are_left_alone(server: RunningServer, name: str) -> None:
    found = prepared(server, name)
    others = Patient(name, {}).even
    foreign = make_report(
        others, label="foreign", PatientID="FOREIGN", StudyInstanceUID=uid(f"{name} foreign")
    )
    stranger = upload(server, [foreign])
    (instance,) = server.http.json(f"/studies/{stranger}/instances")
    before = content(server)
    split_off(server, found)
    after = check_everything(server, before, ignoring={Check.DANGLING, Check.RESOLVED})
    assert after.files[instance["ID"]] == before.files[instance["ID"]]
