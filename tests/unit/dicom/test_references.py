"""Repair of references, checked on objects that pydicom writes and on a model of nested lists."""

from __future__ import annotations

import copy
from io import BytesIO
from itertools import product

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from curator.dicom.edits import AppendItems, AsItStands, Drop, Edits, Replace
from curator.dicom.engine import apply, opened
from curator.dicom.errors import Malformed, TooDeep, UnsupportedInstance
from curator.dicom.references import (
    Kind,
    Place,
    Reference,
    UidMap,
    is_signed,
    references,
    repairs,
)
from curator.dicom.tags import Tag, parse_path, parse_tag
from factory import Private, make_instance
from unit.dicom.model import IMPLICIT, El, File, Items, even

PROCEDURE_STEP = "1.2.840.10008.3.1.2.3.3"
DETACHED_STUDY = "1.2.840.10008.3.1.2.3.1"
OLD_STUDY, OTHER_STUDY, NEW_STUDY = "1.2.3.1", "1.2.3.2", "1.2.9.1"
OLD_SERIES, NEW_SERIES = "1.2.3.1.10", "1.2.9.1.10"

SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)


def old(number):
    return f"1.2.3.77.{number}"


def new(number):
    return f"1.2.9.77.1234.{number}"


def moved(*numbers, study=NEW_STUDY, series=NEW_SERIES):
    return {old(number): Place(study, series, new(number)) for number in numbers}


def uid_map(instances=None, series=None, studies=None):
    return UidMap(instances or {}, series or {}, studies or {})


WHOLE = UidMap(moved(1, 2), {OLD_SERIES: (NEW_STUDY, NEW_SERIES)}, {OLD_STUDY: NEW_STUDY})
"""A study of one series of two instances has moved as a whole."""


def leaf(uid, **more):
    return {"ReferencedSOPClassUID": CTImageStorage, "ReferencedSOPInstanceUID": uid, **more}


def leaves(*numbers):
    return [leaf(old(number)) for number in numbers]


def series(uid, items, keyword="ReferencedSOPSequence", **more):
    return {"SeriesInstanceUID": uid, keyword: items, **more}


def study(uid, items, **more):
    return {"StudyInstanceUID": uid, "ReferencedSeriesSequence": items, **more}


def own_series(uid, *numbers):
    """Return an item of the Common Instance Reference Module."""
    return series(uid, leaves(*numbers), "ReferencedInstanceSequence")


def instance(**elements):
    return make_instance(
        **{"pixels": b"", "StudyInstanceUID": OLD_STUDY, "SOPInstanceUID": "1.2.3.5", **elements}
    )


def read(data):
    return pydicom.dcmread(BytesIO(data))


def repaired(uids, **elements):
    return read(apply(instance(**elements), Edits(), uids=uids))


def nested(items):
    """Return lists of studies, series and instances as plain data."""
    return [
        (
            item.StudyInstanceUID,
            [
                (part.SeriesInstanceUID, [one.ReferencedSOPInstanceUID for one in part[keyword]])
                for part in item.ReferencedSeriesSequence
                for keyword in ("ReferencedSOPSequence", "ReferencedInstanceSequence")
                if keyword in part
            ],
        )
        for item in items
    ]


def filed(dataset):
    """Return both lists of the Common Instance Reference Module."""
    own = [
        (item.SeriesInstanceUID, [one.ReferencedSOPInstanceUID for one in item[0x0008114A]])
        for item in dataset.get("ReferencedSeriesSequence", [])
    ]
    return own, nested(dataset.get("StudiesContainingOtherReferencedInstancesSequence", []))


# Flat references.


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("undefined", [False, True])
def test_flat_references_follow_by_value(syntax, undefined):
    elements = {
        "SourceImageSequence": [
            leaf(old(1), PurposeOfReferenceCodeSequence=[{"CodeValue": "121311"}]),
            leaf(old(9)),
        ],
        "ReferencedImageSequence": leaves(2),
        "PatientComments": old(1),
    }
    written = {"transfer_syntax": syntax, "undefined_lengths": undefined}
    result = apply(instance(**written, **elements), Edits(), uids=WHOLE)
    elements["SourceImageSequence"][0]["ReferencedSOPInstanceUID"] = new(1)
    elements["ReferencedImageSequence"] = [leaf(new(2))]
    assert result == instance(**written, **elements)


def test_every_level_is_replaced_by_value_in_items():
    dataset = repaired(
        WHOLE,
        ContentSequence=[
            {"ValueType": "UIDREF", "UID": OLD_SERIES},
            {"ValueType": "UIDREF", "UID": OLD_STUDY},
            {"ContentSequence": [{"ReferencedSOPSequence": leaves(2)}]},
        ],
    )
    series_item, study_item, container = dataset.ContentSequence
    assert (series_item.UID, study_item.UID) == (NEW_SERIES, NEW_STUDY)
    deepest = container.ContentSequence[0].ReferencedSOPSequence[0]
    assert deepest.ReferencedSOPInstanceUID == new(2)


def test_own_identifiers_are_those_of_the_edits():
    data = instance(SOPInstanceUID=old(1), SeriesInstanceUID=OLD_SERIES)
    assert repairs(opened(data).site, WHOLE) == {}
    assert apply(data, Edits(), uids=WHOLE) is data


def test_multiple_values_are_replaced_one_by_one():
    dataset = repaired(WHOLE, FailedSOPInstanceUIDList=[old(1), "1.2.3.4.5", old(2)])
    assert dataset.FailedSOPInstanceUIDList == [new(1), "1.2.3.4.5", new(2)]


@pytest.mark.parametrize(
    "keyword",
    [
        *("SOPClassesInStudy", "RelatedGeneralSOPClassUID", "InstanceCreatorUID", "DeviceUID"),
        *("FrameOfReferenceUID", "SynchronizationFrameOfReferenceUID", "SpecimenUID"),
        *("ReferencedFrameOfReferenceUID", "CodingSchemeUID", "ContextUID"),
        *("ContextGroupExtensionCreatorUID", "MappingResourceUID", "ReferencedSOPClassUID"),
        *("AvailableTransferSyntaxUID", "ManufacturerDeviceClassUID"),
        *("TemplateExtensionOrganizationUID", "TemplateExtensionCreatorUID"),
    ],
)
def test_uids_that_are_no_references_stay_whatever_their_value(keyword):
    data = instance(**{keyword: old(1), "ContentSequence": [{keyword: old(1)}]})
    assert apply(data, Edits(), uids=WHOLE) is data


@pytest.mark.parametrize(
    "keyword", ["UID", "ConcatenationUID", "ReferencedColorPaletteInstanceUID", "TrackingUID"]
)
def test_other_uids_follow_at_top_level(keyword):
    assert repaired(WHOLE, **{keyword: old(1)})[keyword].value == new(1)


def test_private_uids_follow_where_their_value_representation_is_known():
    known = Private(0x2001, "Philips Imaging DD 001", 0x01, "UI", old(1))
    data = instance(private=[known], transfer_syntax=ExplicitVRLittleEndian)
    assert read(apply(data, Edits(), uids=WHOLE))[0x20011001].value == new(1)
    data = instance(private=[known], transfer_syntax=ImplicitVRLittleEndian)
    assert apply(data, Edits(), uids=WHOLE) is data


def test_the_past_stays():
    past = [{"ModifiedAttributesSequence": [{"SeriesInstanceUID": OLD_SERIES}], **leaf(old(1))}]
    data = instance(
        OriginalAttributesSequence=past,
        ContentSequence=[{"OriginalAttributesSequence": past}],
        EncryptedAttributesSequence=[leaf(old(1))],
    )
    assert apply(data, Edits(), uids=WHOLE) is data
    assert references(opened(data).site) == ()


@pytest.mark.parametrize("holder", ["ReferencedStudySequence", "RTReferencedStudySequence"])
def test_references_to_studies_are_looked_up_among_studies_only(holder):
    item = {"ReferencedSOPClassUID": DETACHED_STUDY, "ReferencedSOPInstanceUID": OLD_STUDY}
    result = repaired(WHOLE, **{holder: [item, leaf(old(1))]})[holder].value
    assert [one.ReferencedSOPInstanceUID for one in result] == [NEW_STUDY, old(1)]


def test_an_instance_named_with_its_series_takes_the_series_along():
    item = {"StudyInstanceUID": OLD_STUDY, "SeriesInstanceUID": OLD_SERIES, **leaf(old(1))}
    (one,) = repaired(uid_map(moved(1)), SourceImageSequence=[item]).SourceImageSequence
    assert one.StudyInstanceUID == NEW_STUDY
    assert one.SeriesInstanceUID == NEW_SERIES
    assert one.ReferencedSOPInstanceUID == new(1)


def test_related_series_follow_their_series_with_both_uids():
    items = [
        {"StudyInstanceUID": OLD_STUDY, "SeriesInstanceUID": OLD_SERIES},
        {"StudyInstanceUID": OLD_STUDY, "SeriesInstanceUID": "1.2.3.1.11"},
        {"StudyInstanceUID": OLD_STUDY, "SeriesInstanceUID": OLD_SERIES},
    ]
    uids = uid_map(series={OLD_SERIES: (NEW_STUDY, NEW_SERIES)})
    result = repaired(uids, RelatedSeriesSequence=items).RelatedSeriesSequence
    assert [(one.StudyInstanceUID, one.SeriesInstanceUID) for one in result] == [
        (NEW_STUDY, NEW_SERIES),
        (OLD_STUDY, "1.2.3.1.11"),
        (NEW_STUDY, NEW_SERIES),
    ]


# Hierarchical lists.


def test_evidence_of_a_report_is_divided_by_study_and_series():
    uids = uid_map({**moved(2), **moved(3, series="1.2.9.1.11")})
    dataset = repaired(
        uids,
        CurrentRequestedProcedureEvidenceSequence=[
            study(OLD_STUDY, [series(OLD_SERIES, leaves(1, 2, 3, 4), RetrieveAETitle="ARCHIVE")])
        ],
        PertinentOtherEvidenceSequence=[study(OTHER_STUDY, [series("1.2.3.2.1", leaves(5))])],
    )
    assert nested(dataset.CurrentRequestedProcedureEvidenceSequence) == [
        (OLD_STUDY, [(OLD_SERIES, [old(1), old(4)])]),
        (NEW_STUDY, [(NEW_SERIES, [new(2)]), ("1.2.9.1.11", [new(3)])]),
    ]
    copied = dataset.CurrentRequestedProcedureEvidenceSequence[1].ReferencedSeriesSequence
    assert [one.RetrieveAETitle for one in copied] == ["ARCHIVE", "ARCHIVE"]
    assert nested(dataset.PertinentOtherEvidenceSequence) == [
        (OTHER_STUDY, [("1.2.3.2.1", [old(5)])])
    ]


def test_evidence_of_merged_studies_is_joined():
    uids = uid_map(moved(1, 2, 3))
    dataset = repaired(
        uids,
        PertinentOtherEvidenceSequence=[
            study(OLD_STUDY, [series(OLD_SERIES, leaves(1), RetrieveAETitle="FIRST")]),
            study("1.2.3.4", [series("1.2.3.4.1", leaves(7))]),
            study(OTHER_STUDY, [series("1.2.3.2.1", leaves(2)), series("1.2.3.2.2", leaves(3))]),
        ],
    )
    assert nested(dataset.PertinentOtherEvidenceSequence) == [
        (NEW_STUDY, [(NEW_SERIES, [new(1), new(2), new(3)])]),
        ("1.2.3.4", [("1.2.3.4.1", [old(7)])]),
    ]
    (joined,) = dataset.PertinentOtherEvidenceSequence[0].ReferencedSeriesSequence
    assert joined.RetrieveAETitle == "FIRST"


@pytest.mark.parametrize("keyword", ["IdenticalDocumentsSequence", "PredecessorDocumentsSequence"])
def test_key_objects_name_the_documents_where_they_are_now(keyword):
    items = [study(OLD_STUDY, [series(OLD_SERIES, leaves(1))])]
    dataset = repaired(WHOLE, **{keyword: items})
    assert nested(dataset[keyword]) == [(NEW_STUDY, [(NEW_SERIES, [new(1)])])]


def test_an_instance_that_only_changes_its_study_changes_the_list():
    uids = uid_map({old(1): Place(NEW_STUDY, OLD_SERIES, old(1))})
    dataset = repaired(
        uids,
        CurrentRequestedProcedureEvidenceSequence=[
            study(OLD_STUDY, [series(OLD_SERIES, leaves(1, 2))])
        ],
    )
    assert nested(dataset.CurrentRequestedProcedureEvidenceSequence) == [
        (NEW_STUDY, [(OLD_SERIES, [old(1)])]),
        (OLD_STUDY, [(OLD_SERIES, [old(2)])]),
    ]


def test_a_series_without_instances_follows_the_series():
    items = [study(OLD_STUDY, [{"SeriesInstanceUID": OLD_SERIES}, {"SeriesInstanceUID": "1.2.7"}])]
    result = repaired(WHOLE, SourceImageEvidenceSequence=items).SourceImageEvidenceSequence
    assert [
        (one.StudyInstanceUID, [part.SeriesInstanceUID for part in one.ReferencedSeriesSequence])
        for one in result
    ] == [(NEW_STUDY, [NEW_SERIES, "1.2.7"])]


def test_what_is_not_stored_goes_with_all_others_of_its_series_or_study():
    items = [study(OLD_STUDY, [series(OLD_SERIES, leaves(1, 3)), series("1.2.7", leaves(4))])]
    dataset = repaired(WHOLE, SourceImageEvidenceSequence=items)
    assert nested(dataset.SourceImageEvidenceSequence) == [
        (NEW_STUDY, [(NEW_SERIES, [new(1), old(3)]), ("1.2.7", [old(4)])])
    ]


def test_each_list_of_a_divided_series_keeps_its_own_instances():
    item = {
        "SeriesInstanceUID": OLD_SERIES,
        "ReferencedImageSequence": leaves(1, 2),
        "ReferencedSOPSequence": leaves(3),
        "ReferencedPerformedProcedureStepSequence": [
            leaf("1.2.3.8", ReferencedSOPClassUID=PROCEDURE_STEP)
        ],
    }
    items = [study(OLD_STUDY, [item])]
    (one,) = repaired(
        uid_map(moved(2)), ReferencedImageEvidenceSequence=[*items]
    ).ReferencedImageEvidenceSequence[1:]
    (part,) = one.ReferencedSeriesSequence
    assert [leaf.ReferencedSOPInstanceUID for leaf in part.ReferencedImageSequence] == [new(2)]
    assert "ReferencedSOPSequence" not in part
    assert len(part.ReferencedPerformedProcedureStepSequence) == 1


def test_a_procedure_step_does_not_hold_a_series_where_it_was():
    item = series(
        OLD_SERIES,
        leaves(1),
        ReferencedPerformedProcedureStepSequence=[
            leaf("1.2.3.8", ReferencedSOPClassUID=PROCEDURE_STEP)
        ],
    )
    dataset = repaired(WHOLE, SourceImageEvidenceSequence=[study(OLD_STUDY, [item])])
    assert nested(dataset.SourceImageEvidenceSequence) == [(NEW_STUDY, [(NEW_SERIES, [new(1)])])]


def test_a_reference_to_a_study_does_not_hold_a_series_where_it_was():
    studies = [{"ReferencedSOPInstanceUID": OTHER_STUDY}]
    item = series(OLD_SERIES, leaves(1), ReferencedStudySequence=studies)
    dataset = repaired(WHOLE, SourceImageEvidenceSequence=[study(OLD_STUDY, [item])])
    assert nested(dataset.SourceImageEvidenceSequence) == [(NEW_STUDY, [(NEW_SERIES, [new(1)])])]


def structure_set(numbers, contours):
    images = [leaf(old(number)) for number in numbers]
    return {
        "ReferencedFrameOfReferenceSequence": [
            {
                "FrameOfReferenceUID": "1.2.3.6",
                "RTReferencedStudySequence": [
                    {
                        "ReferencedSOPClassUID": DETACHED_STUDY,
                        "ReferencedSOPInstanceUID": OLD_STUDY,
                        "RTReferencedSeriesSequence": [
                            series(OLD_SERIES, images, "ContourImageSequence")
                        ],
                    }
                ],
            }
        ],
        "ROIContourSequence": [
            {"ContourSequence": [{"ContourImageSequence": [leaf(old(one))]} for one in contours]}
        ],
    }


def test_a_structure_set_is_divided_by_study_and_its_contours_follow():
    dataset = repaired(uid_map(moved(2)), **structure_set([1, 2], [2, 1, 2]))
    (frame,) = dataset.ReferencedFrameOfReferenceSequence
    assert [
        (
            one.ReferencedSOPInstanceUID,
            one.ReferencedSOPClassUID,
            [
                (part.SeriesInstanceUID, [i.ReferencedSOPInstanceUID for i in part[0x30060016]])
                for part in one.RTReferencedSeriesSequence
            ],
        )
        for one in frame.RTReferencedStudySequence
    ] == [
        (OLD_STUDY, DETACHED_STUDY, [(OLD_SERIES, [old(1)])]),
        (NEW_STUDY, DETACHED_STUDY, [(NEW_SERIES, [new(2)])]),
    ]
    contours = dataset.ROIContourSequence[0].ContourSequence
    named = [one.ContourImageSequence[0].ReferencedSOPInstanceUID for one in contours]
    assert named == [new(2), old(1), new(2)]


def test_a_structure_set_of_thousands_of_contours():
    numbers = range(1, 301)
    uids = uid_map(moved(*numbers))
    contours = [*numbers] * 10
    data = instance(**structure_set(numbers, contours))
    found = references(opened(apply(data, Edits(), uids=uids)).site)
    uids_found = [one.uid for one in found if one.kind is Kind.INSTANCE]
    assert uids_found == [new(number) for number in [*numbers, *contours]]


def test_blending_keeps_its_two_images_apart():
    items = [
        study(uid, [series(uid + ".1", leaves(number))], BlendingPosition=position)
        for uid, number, position in (
            (OLD_STUDY, 1, "UNDERLYING"),
            (OTHER_STUDY, 2, "SUPERIMPOSED"),
        )
    ]
    result = repaired(WHOLE, BlendingSequence=items).BlendingSequence
    assert [(one.StudyInstanceUID, one.BlendingPosition) for one in result] == [
        (NEW_STUDY, "UNDERLYING"),
        (NEW_STUDY, "SUPERIMPOSED"),
    ]


# The study of the object itself.


def test_a_segmentation_that_leaves_its_images_behind_lists_them_as_of_another_study():
    data = instance(ReferencedSeriesSequence=[own_series(OLD_SERIES, 1, 2)])
    edits = Edits({parse_path("StudyInstanceUID"): Replace(NEW_STUDY)})
    uids = uid_map({"1.2.3.5": Place(NEW_STUDY, "1.2.9.1.5", "1.2.9.5")})
    assert filed(read(apply(data, edits, uids=uids))) == (
        [],
        [(OLD_STUDY, [(OLD_SERIES, [old(1), old(2)])])],
    )


def test_a_segmentation_that_stays_lists_what_has_left():
    dataset = repaired(
        uid_map(moved(2, 3)),
        ReferencedSeriesSequence=[own_series(OLD_SERIES, 1, 2), own_series("1.2.3.1.11", 3)],
    )
    assert filed(dataset) == (
        [(OLD_SERIES, [old(1)])],
        [(NEW_STUDY, [(NEW_SERIES, [new(2), new(3)])])],
    )


def test_a_segmentation_that_moves_with_its_images_lists_them_as_its_own():
    data = instance(
        ReferencedSeriesSequence=[own_series(OLD_SERIES, 1, 2)],
        SourceImageSequence=leaves(2),
    )
    dataset = read(apply(data, Edits({Tag(0x0020000D): Replace(NEW_STUDY)}), uids=WHOLE))
    assert filed(dataset) == ([(NEW_SERIES, [new(1), new(2)])], [])
    assert dataset.SourceImageSequence[0].ReferencedSOPInstanceUID == new(2)


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_registration_lists_merged_studies_as_its_own(syntax, undefined):
    """Two studies become one: what was of another study joins the list of the own one."""
    data = instance(
        transfer_syntax=syntax,
        undefined_lengths=undefined,
        ReferencedSeriesSequence=[own_series(NEW_SERIES, 4)],
        StudiesContainingOtherReferencedInstancesSequence=[
            study(OTHER_STUDY, [own_series("1.2.3.2.1", 1, 2), own_series("1.2.3.2.2", 3)]),
        ],
        RegistrationSequence=[{"ReferencedImageSequence": leaves(1)}],
    )
    dataset = read(apply(data, Edits(), uids=uid_map(moved(1, 2, study=OLD_STUDY))))
    assert filed(dataset) == (
        [(NEW_SERIES, [old(4), new(1), new(2)])],
        [(OTHER_STUDY, [("1.2.3.2.2", [old(3)])])],
    )
    (flat,) = dataset.RegistrationSequence[0].ReferencedImageSequence
    assert flat.ReferencedSOPInstanceUID == new(1)
    element = dataset["ReferencedSeriesSequence"]
    assert bool(element.is_undefined_length) is undefined
    assert bool(element.value[0].is_undefined_length_sequence_item) is undefined


def test_a_list_of_other_studies_becomes_the_own_list():
    dataset = repaired(
        uid_map(moved(1, study=OLD_STUDY)),
        StudiesContainingOtherReferencedInstancesSequence=[
            study(OTHER_STUDY, [own_series("1.2.3.2.1", 1)])
        ],
    )
    assert filed(dataset) == ([(NEW_SERIES, [new(1)])], [])


def test_a_presentation_state_keeps_its_list_in_place():
    items = [series(OLD_SERIES, leaves(1, 2), "ReferencedImageSequence")]
    data = instance(ReferencedSeriesSequence=items)
    dataset = read(
        apply(data, Edits({Tag(0x0020000D): Replace("1.2.9.4")}), uids=uid_map(moved(2)))
    )
    assert "StudiesContainingOtherReferencedInstancesSequence" not in dataset
    assert [
        (one.SeriesInstanceUID, [i.ReferencedSOPInstanceUID for i in one.ReferencedImageSequence])
        for one in dataset.ReferencedSeriesSequence
    ] == [(OLD_SERIES, [old(1)]), (NEW_SERIES, [new(2)])]


# Signatures.


def test_signatures_go_where_something_changes():
    signed = {"DigitalSignaturesSequence": [{"MACIDNumber": 1}]}
    mac = {"MACParametersSequence": [{"MACIDNumber": 1}]}
    data = instance(
        **signed,
        **mac,
        ContentSequence=[{**leaf(old(1)), **signed, **mac}, {**leaf(old(9)), **signed}],
    )
    assert is_signed(opened(data).site)
    result = apply(data, Edits(), uids=WHOLE)
    dataset = read(result)
    assert not is_signed(opened(result).site)
    assert "MACParametersSequence" not in dataset
    changed, other = dataset.ContentSequence
    assert "DigitalSignaturesSequence" not in changed
    assert "MACParametersSequence" not in changed
    assert "DigitalSignaturesSequence" in other


def test_signatures_stay_where_nothing_changes():
    data = instance(DigitalSignaturesSequence=[{"MACIDNumber": 1}], SourceImageSequence=leaves(9))
    assert apply(data, Edits(), uids=WHOLE) is data


# Encodings.

SOP = (
    El(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.7\0"),
    El(0x00080018, "UI", b"1.2.3.5\0"),
    El(0x0020000D, "UI", even(OLD_STUDY, "\0")),
)


def ui(tag, *uids):
    return El(tag, "UI", even("\\".join(uids), "\0"))


def leaf_items(uids, delimited=False):
    return tuple(Items((ui(0x00081155, uid),), delimited) for uid in uids)


def file(*elements, syntax="1.2.840.10008.1.2.1"):
    return File(tuple(sorted([*SOP, *elements], key=lambda one: one.tag)), syntax).data


@pytest.mark.parametrize("delimited", list(product([False, True], repeat=2)))
@pytest.mark.parametrize("vr", ["SQ", "UN"])
def test_sequences_in_un_and_of_any_length_keep_their_kind(vr, delimited):
    outer, inner = delimited

    def data(series_uid, one, two):
        lists = El(0x00081199, "SQ", leaf_items([one, two], inner), inner)
        part = Items((lists, ui(0x0020000E, series_uid)), inner)
        item = Items((El(0x00081115, "SQ", (part,), outer), ui(0x0020000D, OTHER_STUDY)), outer)
        return file(El(0x0040A385, vr, (item,), outer))

    uids = uid_map(moved(1, 2, study=OTHER_STUDY))
    before, after = data(OLD_SERIES, old(1), old(2)), data(NEW_SERIES, new(1), new(2))
    assert apply(before, Edits(), uids=uids) == after


def test_a_uid_that_lost_its_value_representation_follows():
    def data(uid):
        item = Items((El(0x00081155, "UN", even(uid, "\0")),))
        return file(
            El(0x00082112, "UN", (Items((ui(0x00081155, uid),)),)), El(0x00081140, "SQ", (item,))
        )

    assert apply(data(old(1)), Edits(), uids=WHOLE) == data(new(1))


def test_lists_in_different_encodings_are_not_joined():
    def item(vr, number):
        listing = El(0x00081199, vr, leaf_items([old(number)]))
        return Items((listing, ui(0x0020000E, f"1.2.3.{number}")))

    lists = El(0x00081115, "SQ", (item("SQ", 1), item("UN", 2)))
    data = file(El(0x0040A385, "SQ", (Items((lists, ui(0x0020000D, OLD_STUDY))),)))
    with pytest.raises(UnsupportedInstance, match="different encodings"):
        apply(data, Edits(), uids=WHOLE)


def test_a_list_in_un_is_filed_beside_one_in_sq():
    """An archive that did not know the newer sequence passed it on as UN."""
    other = Items(
        (
            El(
                0x00081115,
                "SQ",
                (Items((El(0x0008114A, "SQ", leaf_items([old(1)])), ui(0x0020000E, OLD_SERIES))),),
            ),
            ui(0x0020000D, OTHER_STUDY),
        )
    )
    data = file(El(0x00081200, "UN", (other,)))
    dataset = read(apply(data, Edits(), uids=uid_map(moved(1, study=OLD_STUDY))))
    assert filed(dataset) == ([(NEW_SERIES, [new(1)])], [])


def test_a_malformed_sequence_is_refused_with_its_place():
    broken = El(0x00081140, "SQ", b"\xfe\xff\0\xe0\xff\0\0\0" + even(old(1)))
    data = file(El(0x00082112, "SQ", (Items((broken,)),)))
    place = r"SourceImageSequence\.ReferencedImageSequence, offset"
    with pytest.raises(Malformed, match=rf"\({place}"):
        apply(data, Edits(), uids=WHOLE)
    with pytest.raises(Malformed, match=rf"\({place}"):
        references(opened(data).site)


def test_a_malformed_list_in_a_series_is_refused_with_its_place():
    broken = El(0x00081199, "SQ", (*leaf_items([old(1)]), Items(b"\x08\x00U\x11UI\xff\x00")))
    part = Items((broken, ui(0x0020000E, OLD_SERIES)))
    item = Items((El(0x00081115, "SQ", (part,)), ui(0x0020000D, OLD_STUDY)))
    data = file(El(0x0040A375, "SQ", (item,)))
    place = r"\(\w+EvidenceSequence\.ReferencedSeriesSequence\.ReferencedSOPSequence\.\w+, offset"
    with pytest.raises(Malformed, match=place):
        apply(data, Edits(), uids=WHOLE)


def test_nesting_has_a_limit():
    level = (ui(0x00081155, old(1)),)
    for _ in range(70):
        level = (El(0x0040A730, "SQ", (Items(level),)),)
    with pytest.raises(TooDeep):
        apply(file(*level), Edits(), uids=WHOLE)


# A search decides whether an instance is walked at all.


@pytest.mark.parametrize("syntax", [IMPLICIT, "1.2.840.10008.1.2.1"])
@pytest.mark.parametrize("group", [0x0031, 0x0033, 0x2E2F, 0x3131, 0x3939])
def test_a_uid_is_found_before_a_header_that_looks_like_more_of_it(syntax, group):
    """A UID of even length has no padding, and the next group may consist of digits."""

    def data(uid):
        private = El(group << 16 | 0x3130, "LO", b"creator ")
        item = Items((ui(0x00081155, uid), private))
        return file(El(0x00081140, "SQ", (item,)), syntax=syntax)

    assert len(old(123)) % 2 == 0
    result = apply(data(old(123)), Edits(), uids=uid_map(moved(123)))
    assert result == data(new(123))


@pytest.mark.parametrize("length", [0x2E2E, 0x2E30, 0x2E32, 0x2E38, 0x3030, 0x3132])
def test_a_uid_is_found_after_a_length_that_looks_like_more_of_it(length):
    rest = length - len(old(1)) - 1
    values = [old(1), *["1.2.3.4"] * (rest // 8 - 1)]
    values.append("9" * (length - len("\\".join(values)) - 1))
    data = file(ui(0x00080058, *values))
    assert b"UI" + length.to_bytes(2, "little") + old(1).encode() in data
    assert apply(data, Edits(), uids=WHOLE) == file(ui(0x00080058, new(1), *values[1:]))


@pytest.mark.parametrize("uid", ["1.2", "LOCAL.17", "3.1.4"])
def test_what_is_no_proper_uid_is_found(uid):
    uids = uid_map({uid: Place(NEW_STUDY, NEW_SERIES, new(1))})
    data = file(El(0x00081140, "SQ", leaf_items([uid])))
    assert apply(data, Edits(), uids=uids) == file(El(0x00081140, "SQ", leaf_items([new(1)])))


def test_elements_out_of_order_are_searched():
    def data(uid):
        padding = El(0xFFFCFFFC, "OB", bytes(2))
        return File((*SOP, padding, El(0x00081140, "SQ", leaf_items([uid])))).data

    assert apply(data(old(1)), Edits(), uids=WHOLE) == data(new(1))


# Together with edits.


def test_an_edit_goes_before_the_repair_of_the_same_element():
    data = instance(SourceImageSequence=leaves(1), ReferencedImageSequence=leaves(1))
    edits = Edits(
        {
            parse_path("SourceImageSequence"): Replace(({parse_tag("UID"): old(1)},)),
            parse_path("ReferencedImageSequence"): Drop(),
        }
    )
    dataset = read(apply(data, edits, uids=WHOLE))
    (item,) = dataset.SourceImageSequence
    assert item[0x0040A124].value == old(1)
    assert "ReferencedImageSequence" not in dataset


def test_an_edit_inside_a_sequence_does_not_undo_its_repair():
    data = instance(SourceImageSequence=leaves(1))
    edits = Edits({parse_path("SourceImageSequence[*].PatientComments"): Replace("edited")})
    (item,) = read(apply(data, edits, uids=WHOLE)).SourceImageSequence
    assert (item.ReferencedSOPInstanceUID, item.PatientComments) == (new(1), "edited")


def test_what_is_recorded_is_what_was_there_before_the_repair():
    data = instance(SourceImageSequence=leaves(1))
    record = {parse_tag("SourceImageSequence"): AsItStands()}
    edits = Edits({parse_path("OriginalAttributesSequence"): AppendItems((record,))})
    dataset = read(apply(data, edits, uids=WHOLE))
    (item,) = dataset.OriginalAttributesSequence
    assert item.SourceImageSequence[0].ReferencedSOPInstanceUID == old(1)
    assert dataset.SourceImageSequence[0].ReferencedSOPInstanceUID == new(1)


def test_repairs_go_into_the_widened_instance():
    data = instance(
        SpecificCharacterSet="ISO_IR 100",
        ContentSequence=[{"TextValue": "Größe"}, {"ReferencedSOPSequence": leaves(1)}],
        SourceImageSequence=[leaf(old(1), PatientComments="Größe")],
    )
    edits = Edits({parse_path("PatientName"): Replace("山田^太郎")})
    dataset = read(apply(data, edits, uids=WHOLE))
    assert dataset.SpecificCharacterSet == "ISO_IR 192"
    assert dataset.PatientName == "山田^太郎"
    assert dataset.ContentSequence[0].TextValue == "Größe"
    assert dataset.SourceImageSequence[0].PatientComments == "Größe"
    assert dataset.SourceImageSequence[0].ReferencedSOPInstanceUID == new(1)
    deep = dataset.ContentSequence[1].ReferencedSOPSequence[0]
    assert deep.ReferencedSOPInstanceUID == new(1)


# Finding references.


def test_references_are_listed_with_their_place():
    data = instance(
        transfer_syntax=ImplicitVRLittleEndian,
        SourceImageSequence=[leaf(old(1))],
        RequestAttributesSequence=[{"StudyInstanceUID": OTHER_STUDY, "UID": old(2)}],
        ReferencedSeriesSequence=[own_series(OLD_SERIES, 2, 3)],
        ReferencedStudySequence=[
            {"ReferencedSOPClassUID": DETACHED_STUDY, "ReferencedSOPInstanceUID": OLD_STUDY}
        ],
        ReferencedPerformedProcedureStepSequence=[
            leaf("1.2.3.8", ReferencedSOPClassUID=PROCEDURE_STEP)
        ],
        ReferencedPatientSequence=[
            leaf("1.2.3.9", ReferencedSOPClassUID="1.2.840.10008.3.1.2.1.1")
        ],
    )
    own = "ReferencedSeriesSequence[0]."
    leaf_path = f"{own}ReferencedInstanceSequence[{{}}].ReferencedSOPInstanceUID"
    listed = Tag(0x00081115)
    assert references(opened(data).site) == (
        Reference(
            0x00081110,
            "ReferencedStudySequence[0].ReferencedSOPInstanceUID",
            Kind.STUDY,
            OLD_STUDY,
            DETACHED_STUDY,
        ),
        Reference(listed, leaf_path.format(0), Kind.INSTANCE, old(2), CTImageStorage),
        Reference(listed, leaf_path.format(1), Kind.INSTANCE, old(3), CTImageStorage),
        Reference(listed, f"{own}SeriesInstanceUID", Kind.SERIES, OLD_SERIES, ""),
        Reference(
            0x00082112,
            "SourceImageSequence[0].ReferencedSOPInstanceUID",
            Kind.INSTANCE,
            old(1),
            CTImageStorage,
        ),
        Reference(
            0x00400275,
            "RequestAttributesSequence[0].StudyInstanceUID",
            Kind.STUDY,
            OTHER_STUDY,
            "",
        ),
    )


def test_a_private_sequence_is_named_by_its_number():
    private = El(0x00291001, "SQ", leaf_items([old(1)]))
    data = file(El(0x00290010, "LO", b"CREATOR "), private)
    (found,) = references(opened(data).site)
    assert found.path == "0029,1001[0].ReferencedSOPInstanceUID"
    assert found.sop_class_uid == ""


# What holds for every object: checked against lists written out as rows and grouped again.

STUDIES = [f"1.2.3.{number}" for number in range(3)]
numbers = st.integers(0, 7)
places = st.builds(
    Place,
    st.sampled_from([*STUDIES, "1.2.9.1", "1.2.9.2"]),
    st.sampled_from(["1.2.3.0.0", "1.2.3.1.0", "1.2.9.5", "1.2.9.6"]),
    st.sampled_from(["", "x"]),
)


@st.composite
def maps(draw):
    found = draw(st.dictionaries(numbers, places, max_size=6))
    instances = {
        old(number): Place(
            place.study_instance_uid,
            place.series_instance_uid,
            new(number) if place.sop_instance_uid else old(number),
        )
        for number, place in found.items()
    }
    whole = draw(st.sampled_from([{}, {"1.2.3.0.0": ("1.2.9.1", "1.2.9.5")}]))
    return UidMap(instances, whole, draw(st.sampled_from([{}, {STUDIES[0]: "1.2.9.1"}])))


def series_lists(study_uid, keyword):
    """Draw the series of a study, each once; some list no instance."""
    item = st.builds(
        lambda found, title: {
            **({keyword: leaves(*found)} if found else {}),
            **({"RetrieveAETitle": title} if title else {}),
        },
        st.lists(numbers, max_size=4),
        st.sampled_from(["", "A", "B"]),
    )
    return st.dictionaries(st.integers(0, 2), item, min_size=1, max_size=3).map(
        lambda found: [
            {"SeriesInstanceUID": f"{study_uid}.{number}", **one} for number, one in found.items()
        ]
    )


@st.composite
def study_lists(draw, keyword, studies=STUDIES):
    chosen = draw(st.lists(st.sampled_from(studies), unique=True, max_size=3))
    return [study(uid, draw(series_lists(uid, keyword))) for uid in chosen]


@st.composite
def objects(draw):
    own = draw(series_lists(STUDIES[0], "ReferencedInstanceSequence"))
    if not any("ReferencedInstanceSequence" in one for one in own):
        own = []
    elements = {
        "ReferencedSeriesSequence": own,
        "StudiesContainingOtherReferencedInstancesSequence": draw(
            study_lists("ReferencedInstanceSequence", STUDIES[1:])
        ),
        "CurrentRequestedProcedureEvidenceSequence": draw(study_lists("ReferencedSOPSequence")),
        "SourceImageSequence": leaves(*draw(st.lists(numbers, max_size=3))),
    }
    return {
        "StudyInstanceUID": STUDIES[0],
        "PatientComments": "outside",
        "FrameOfReferenceUID": old(0),
        **{keyword: items for keyword, items in elements.items() if items},
    }


def rows(items, keyword, uids):
    """Yield one row for each instance in a list of studies: where it is now, and what says so."""
    for item in items:
        for part in item.ReferencedSeriesSequence:
            study_uid, series_uid = item.StudyInstanceUID, part.SeriesInstanceUID
            home = (uids.studies.get(study_uid, study_uid), series_uid)
            home = uids.series.get(series_uid, home)
            if keyword not in part:
                yield *home, item, part, None
            for one in part.get(keyword, []):
                place = uids.instances.get(one.ReferencedSOPInstanceUID)
                named = (place.study_instance_uid, place.series_instance_uid) if place else home
                yield *named, item, part, renamed(one, uids)


def renamed(item, uids):
    item = copy.deepcopy(item)
    place = uids.instances.get(item.ReferencedSOPInstanceUID)
    if place:
        item.ReferencedSOPInstanceUID = place.sop_instance_uid
    return item


def grouped(found, keyword):
    """Return rows as a list of studies again, in the order of their first appearance."""
    studies: dict[str, Dataset] = {}
    parts: dict[tuple[str, str], Dataset] = {}
    for study_uid, series_uid, item, part, one in found:
        if study_uid not in studies:
            studies[study_uid] = copied(item, "ReferencedSeriesSequence")
            studies[study_uid].StudyInstanceUID = study_uid
            studies[study_uid].ReferencedSeriesSequence = Sequence()
        if (study_uid, series_uid) not in parts:
            parts[study_uid, series_uid] = named = copied(part, keyword)
            named.SeriesInstanceUID = series_uid
            studies[study_uid].ReferencedSeriesSequence.append(named)
        if one is not None:
            named = parts[study_uid, series_uid]
            if keyword not in named:
                setattr(named, keyword, Sequence())
            named[keyword].value.append(one)
    return list(studies.values())


def copied(item, without):
    result = copy.deepcopy(item)
    if without in result:
        del result[without]
    return result


def expected(dataset, uids, own_study):
    """Return what a repair has to make of an object, in terms of pydicom alone."""
    result = copy.deepcopy(dataset)
    for item in result.get("SourceImageSequence", []):
        item.ReferencedSOPInstanceUID = renamed(item, uids).ReferencedSOPInstanceUID
    evidence = "CurrentRequestedProcedureEvidenceSequence"
    if evidence in result:
        found = rows(dataset[evidence], "ReferencedSOPSequence", uids)
        result[evidence].value = Sequence(grouped(found, "ReferencedSOPSequence"))
    _expect_filed(result, dataset, uids, own_study)
    return result


def _expect_filed(result, dataset, uids, own_study):
    keyword = "ReferencedInstanceSequence"
    others = "StudiesContainingOtherReferencedInstancesSequence"
    wrapped = Dataset()
    wrapped.StudyInstanceUID = dataset.StudyInstanceUID
    wrapped.ReferencedSeriesSequence = dataset.get("ReferencedSeriesSequence", [])
    here = [*rows([wrapped], keyword, uids)]
    there = [*rows(dataset.get(others, []), keyword, uids)]
    mine = [row for row in [*here, *there] if row[0] == own_study]
    foreign = [row for row in [*there, *here] if row[0] != own_study]
    for name in ("ReferencedSeriesSequence", others):
        if name in result:
            del result[name]
    if mine:
        result.ReferencedSeriesSequence = grouped(mine, keyword)[0].ReferencedSeriesSequence
    if foreign:
        setattr(result, others, Sequence(grouped(foreign, keyword)))


@given(
    objects(),
    maps(),
    st.sampled_from([*SYNTAXES]),
    st.booleans(),
    st.sampled_from([STUDIES[0], STUDIES[1], "1.2.9.1"]),
)
def test_lists_are_what_grouping_their_rows_again_gives(elements, uids, syntax, undefined, study):
    data = instance(transfer_syntax=syntax, undefined_lengths=undefined, **elements)
    edits = Edits({Tag(0x0020000D): Replace(study)})
    result = apply(data, edits, uids=uids)
    model = expected(read(data), uids, study)
    model.StudyInstanceUID = study
    assert read(result) == model
    before, after = opened(data).site, opened(result).site
    untouched = [tag for tag in before.tags if tag not in (0x0020000D, 0x00081115, 0x00081200)]
    for tag in untouched:
        if before.vr(tag) != "SQ":
            assert after.encoded(tag) == before.encoded(tag)
    kinds = {after.is_delimited(tag) for tag in after.tags if after.vr(tag) == "SQ"}
    assert kinds <= {undefined}


@given(objects(), maps(), st.sampled_from([*SYNTAXES]), st.booleans())
def test_repairing_twice_changes_nothing_more(elements, uids, syntax, undefined):
    """As long as nothing moves to a place that something else has left."""
    taken = {
        uid
        for place in uids.instances.values()
        for uid in (place.study_instance_uid, place.series_instance_uid)
    }
    fresh = UidMap(
        {
            uid: Place(place.study_instance_uid, place.series_instance_uid, f"1.2.9.{uid}")
            for uid, place in uids.instances.items()
        },
        {old_uid: named for old_uid, named in uids.series.items() if old_uid not in taken},
        {old_uid: named for old_uid, named in uids.studies.items() if old_uid not in taken},
    )
    data = instance(transfer_syntax=syntax, undefined_lengths=undefined, **elements)
    once = apply(data, Edits(), uids=fresh)
    assert apply(once, Edits(), uids=fresh) == once
    assert repairs(opened(once).site, fresh) == {}


@given(objects(), st.sampled_from([*SYNTAXES]), st.booleans())
def test_a_map_of_others_changes_nothing(elements, syntax, undefined):
    uids = UidMap(moved(100, 101), {"1.2.3.9": (NEW_STUDY, NEW_SERIES)}, {"1.2.8": NEW_STUDY})
    data = instance(transfer_syntax=syntax, undefined_lengths=undefined, **elements)
    assert repairs(opened(data).site, uids) == {}
    assert apply(data, Edits(), uids=uids) is data
