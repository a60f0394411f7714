"""Objects that refer to others refer to what they were given, at every place."""

from io import BytesIO

import pytest
from pydicom import dcmread

from factory import ct_series, mr_series, uid
from invariants import Level, references, text_of
from referring import ON_IMAGES, make_dose, make_plan, make_structure_set

IMAGES = ct_series(2, size=4, PatientName="山田^太郎", SpecificCharacterSet="ISO_IR 192")
OTHERS = mr_series(1, study="other", Rows=4, Columns=4)

PLACES = {
    "SEG": {
        "ReferencedSeriesSequence>ReferencedInstanceSequence": 2,
        "SharedFunctionalGroupsSequence>DerivationImageSequence>SourceImageSequence": 3,
        "PerFrameFunctionalGroupsSequence>DerivationImageSequence>SourceImageSequence": 3,
        "StudiesContainingOtherReferencedInstancesSequence>ReferencedSeriesSequence"
        ">ReferencedInstanceSequence": 1,
    },
    "RTSTRUCT": {
        "ReferencedFrameOfReferenceSequence>RTReferencedStudySequence>RTReferencedSeriesSequence"
        ">ContourImageSequence": 3,
        "ROIContourSequence>ContourSequence>ContourImageSequence": 3,
    },
    "PR": {
        "ReferencedSeriesSequence>ReferencedImageSequence": 3,
        "DisplayedAreaSelectionSequence>ReferencedImageSequence": 3,
    },
    "SR": {
        "CurrentRequestedProcedureEvidenceSequence>ReferencedSeriesSequence"
        ">ReferencedSOPSequence": 3,
        "ContentSequence>ReferencedSOPSequence": 3,
    },
    "KO": {
        "CurrentRequestedProcedureEvidenceSequence>ReferencedSeriesSequence"
        ">ReferencedSOPSequence": 3,
        "ContentSequence>ReferencedSOPSequence": 3,
    },
    "REG": {
        "ReferencedSeriesSequence>ReferencedInstanceSequence": 2,
        "StudiesContainingOtherReferencedInstancesSequence>ReferencedSeriesSequence"
        ">ReferencedInstanceSequence": 1,
        "RegistrationSequence>ReferencedImageSequence": 3,
    },
}


def read(file):
    return dcmread(BytesIO(file))


@pytest.mark.parametrize("modality", ON_IMAGES)
def test_each_object_names_its_targets_at_all_its_places(modality):
    found = references("", read(ON_IMAGES[modality]([*IMAGES, *OTHERS])))
    places = {}
    for one in found:
        if one.level == Level.INSTANCE:
            path = ">".join(one.path)
            places[path] = places.get(path, 0) + 1
    assert places == PLACES[modality]
    targets = {text_of(read(file), "SOPInstanceUID") for file in (*IMAGES, *OTHERS)}
    assert {one.uid for one in found if one.level == Level.INSTANCE} == targets


@pytest.mark.parametrize("modality", ["SEG", "RTSTRUCT", "SR", "KO", "REG"])
def test_hierarchical_lists_name_the_study_and_series_of_each_target(modality):
    found = references("", read(ON_IMAGES[modality]([*IMAGES, *OTHERS])))
    listed = {(one.study, one.series, one.uid) for one in found if one.series}
    assert {place for place in listed if place[2] != place[1]} == {
        tuple(
            text_of(dataset, keyword)
            for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
        )
        for dataset in map(read, (*IMAGES, *OTHERS))
    }


def test_plans_and_doses_refer_to_what_they_are_made_of():
    structures = make_structure_set(IMAGES)
    plan = make_plan([structures])
    dose = make_dose([plan])
    for file, target, path in (
        (plan, structures, "ReferencedStructureSetSequence"),
        (dose, plan, "ReferencedRTPlanSequence"),
    ):
        (reference,) = references("", read(file))
        assert reference.uid == read(target).SOPInstanceUID
        assert reference.path == (path,)


@pytest.mark.parametrize("modality", ON_IMAGES)
def test_the_same_arguments_give_the_same_bytes(modality):
    assert ON_IMAGES[modality](IMAGES) == ON_IMAGES[modality](IMAGES)


@pytest.mark.parametrize("modality", ON_IMAGES)
def test_patient_and_study_are_those_of_the_first_target(modality):
    dataset, image = read(ON_IMAGES[modality](IMAGES)), read(IMAGES[0])
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "StudyDate", "AccessionNumber"):
        assert dataset[keyword].value == image[keyword].value
    assert "Rows" not in dataset or modality == "SEG"


@pytest.mark.parametrize("modality", ON_IMAGES)
def test_elements_can_be_chosen(modality):
    elements = {"StudyInstanceUID": uid("chosen"), "SeriesNumber": 7, "PatientAge": "040Y"}
    dataset = read(ON_IMAGES[modality](IMAGES, **elements))
    assert {keyword: dataset[keyword].value for keyword in elements} == elements
    assert dataset.SeriesInstanceUID != read(ON_IMAGES[modality](IMAGES)).SeriesInstanceUID
