"""Every check of a stored patient can fail, and says what is wrong."""

from copy import deepcopy
from dataclasses import replace
from io import BytesIO

import pytest
from pydicom import Dataset, dcmread

from factory import ct_series, make_instance, mr_series, multi_frame, noise, uid
from invariants import (
    Check,
    Level,
    Reference,
    Stored,
    check_datasets,
    identity,
    index_differences,
    missing_instances,
    references,
    text_of,
    value_of,
)
from referring import (
    ON_IMAGES,
    make_dose,
    make_key_objects,
    make_plan,
    make_presentation_state,
    make_report,
    make_segmentation,
    make_structure_set,
)


def read(file):
    return dcmread(BytesIO(file))


def stored(*files):
    """Return files as a server would hold them; an identifier stays the same over a change."""
    return {f"i{number}": read(file) for number, file in enumerate(files)}


def moved(datasets, study="moved", series="moved", only=None):
    """Return a copy in which all instances, or only some, have new identifiers."""
    copies = {}
    for name, dataset in datasets.items():
        copies[name] = deepcopy(dataset)
        if only is None or name in only:
            copies[name].StudyInstanceUID = uid(study)
            copies[name].SeriesInstanceUID = uid(series, dataset.SeriesInstanceUID)
            copies[name].SOPInstanceUID = uid(series, dataset.SOPInstanceUID)
    return copies


def renamed(datasets, new):
    """Change UIDs wherever they stand, as a correct repair of references does."""
    copies = deepcopy(datasets)

    def rename(dataset):
        for element in dataset:
            if element.VR == "SQ":
                for item in element.value:
                    rename(item)
            elif element.VR == "UI" and element.value in new:
                element.value = new[element.value]

    for dataset in copies.values():
        rename(dataset)
    return copies


def failing(datasets, before=None, **options):
    return {check for check, found in check_datasets(datasets, before, **options).items() if found}


IMAGES = ct_series(2, size=4)
OTHER_SERIES = mr_series(2, Rows=4, Columns=4, SeriesNumber=2, seed=77)[:1]
OTHER_STUDY = ct_series(1, size=4, study="other", seed=99)
OBJECTS = {modality: make(IMAGES) for modality, make in ON_IMAGES.items()}
PLAN = make_plan([OBJECTS["RTSTRUCT"]])
DOSE = make_dose([PLAN])
PATIENT = (*IMAGES, *OTHER_SERIES, *OTHER_STUDY, *OBJECTS.values(), PLAN, DOSE)


def test_nothing_is_wrong_with_a_sound_patient():
    assert failing(stored(*PATIENT)) == set()
    assert failing(stored(*PATIENT), stored(*PATIENT)) == set()


def test_nothing_is_wrong_when_everything_has_new_identifiers():
    before = stored(*PATIENT)
    keywords = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    new = {
        text_of(one, keyword): uid("new", text_of(one, keyword))
        for one in before.values()
        for keyword in keywords
    }
    assert failing(renamed(before, new), before) == set()


PARENTS = [
    ("PatientID", "OTHER"),
    ("StudyInstanceUID", "1.2.3"),
    ("SeriesInstanceUID", "1.2.4"),
]


@pytest.mark.parametrize(("keyword", "value"), PARENTS)
def test_an_instance_is_in_one_series_of_one_study_of_one_patient(keyword, value):
    datasets = stored(*IMAGES)
    datasets["copy"] = deepcopy(datasets["i0"])
    datasets["copy"][keyword].value = value
    assert Check.PARENTS in failing(datasets)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientComments", "other"),  # Patient
        ("ClinicalTrialSubjectID", "other"),  # Clinical Trial Subject
        ("AccessionNumber", "other"),  # General Study
        ("ProcedureCodeSequence", [{"CodeValue": "other"}]),
        ("ClinicalTrialTimePointID", "other"),  # Clinical Trial Study
        ("PatientAge", "041Y"),  # Patient Study
    ],
)
def test_attributes_of_patient_and_study_are_the_same_in_a_study(keyword, value):
    changed = make_instance(**{keyword: value, "SOPInstanceUID": "1.2.5", "InstanceNumber": 2})
    datasets = stored(make_instance(), changed)
    (finding,) = check_datasets(datasets)[Check.STUDIES]
    assert keyword in finding
    assert failing(datasets) == {Check.STUDIES}


def test_attributes_of_the_patient_study_module_may_be_left_out():
    datasets = stored(*IMAGES)
    datasets["i0"].PatientAge = "041Y"
    assert failing(datasets, patient_study=False) == set()
    datasets["i0"].PatientComments = "other"
    assert failing(datasets, patient_study=False) == {Check.STUDIES}


def test_an_empty_attribute_is_the_same_as_none():
    datasets = stored(*IMAGES)
    datasets["i0"].PatientComments = ""
    datasets["i0"].ProcedureCodeSequence = []
    assert failing(datasets) == set()


def test_the_encoding_of_a_value_does_not_matter():
    names = {"PatientName": "Müller^Jürgen", "StudyDescription": "Schädel"}
    first = make_instance(SpecificCharacterSet="ISO_IR 100", **names)
    second = make_instance(
        SpecificCharacterSet="ISO_IR 192", SOPInstanceUID="1.2.5", InstanceNumber=2, **names
    )
    assert failing(stored(first, second)) == set()


@pytest.mark.parametrize("keyword", ["PatientName", "PatientBirthDate", "PatientSex"])
def test_a_patient_is_one_person(keyword):
    before = stored(*IMAGES, *OTHER_STUDY)
    after = deepcopy(before)
    after["i2"][keyword].value = {"PatientSex": "F"}.get(keyword, "19990101")
    assert failing(after, before) == {Check.PATIENTS}
    assert failing(after, after) == set(), "it was so before"
    assert failing(after) == {Check.PATIENTS}


def test_attributes_of_a_series_stay_the_same_in_a_series():
    before = stored(*IMAGES)
    after = moved(before)
    after["i0"].SeriesDescription = "other"
    assert failing(after, before) == {Check.SERIES}
    assert failing(after) == {Check.SERIES}


def test_attributes_of_a_series_may_differ_where_they_did():
    before = stored(*IMAGES)
    before["i0"].OperatorsName = "OTHER"
    after = moved(before)
    assert failing(after, before) == set()
    after["i0"].ProtocolName = "other"
    (finding,) = check_datasets(after, before)[Check.SERIES]
    assert "ProtocolName" in finding


def test_series_that_become_one_are_of_one_kind():
    before = stored(*IMAGES, *OTHER_SERIES)
    after = deepcopy(before)
    after["i2"].SeriesInstanceUID = after["i0"].SeriesInstanceUID
    after["i2"].InstanceNumber = 3
    found = check_datasets(after, before)[Check.SERIES]
    assert all(keyword in str(found) for keyword in ("Modality", "SeriesNumber"))
    assert failing(after, before) == {Check.SERIES}


def test_series_numbers_are_unique_in_a_study():
    before = stored(*IMAGES, *OTHER_SERIES)
    after = deepcopy(before)
    after["i2"].SeriesNumber = 1
    assert failing(after, before) == {Check.SERIES_NUMBERS}
    assert failing(after) == {Check.SERIES_NUMBERS}
    assert failing(after, after) == set(), "they were not unique before"
    assert failing(after, after, made=[uid("study")]) == {Check.SERIES_NUMBERS}


def test_studies_that_become_one_have_unique_series_numbers():
    before = stored(*IMAGES, *OTHER_STUDY)
    after = moved(before, only=["i2"], study="study")
    for attribute in ("StudyDate", "StudyTime"):
        assert after["i2"][attribute] == after["i0"][attribute]
    assert failing(after, before) == {Check.SERIES_NUMBERS}


def test_instance_numbers_are_unique_in_a_series():
    before = stored(*IMAGES)
    after = deepcopy(before)
    after["i1"].InstanceNumber = 1
    assert failing(after, before) == {Check.INSTANCE_NUMBERS}
    assert failing(after) == {Check.INSTANCE_NUMBERS}
    assert failing(after, after) == set(), "they were not unique before"
    assert failing(after, after, made=[uid("study", "CT")]) == {Check.INSTANCE_NUMBERS}


def test_no_number_is_no_number_twice():
    datasets = stored(*IMAGES, *OTHER_SERIES)
    for dataset in datasets.values():
        dataset.InstanceNumber = None
        del dataset.SeriesNumber
    assert failing(datasets) == set()


def test_a_lost_or_doubled_instance_is_found():
    before = stored(*PATIENT)
    fewer = {name: dataset for name, dataset in before.items() if name != "i3"}
    assert failing(fewer, before) == {Check.TOTALS, Check.PIXELS}
    more = {**before, "copy": deepcopy(before["i3"])}
    more["copy"].SOPInstanceUID = uid("doubled")
    more["copy"].InstanceNumber = 5
    assert failing(more, before) == {Check.TOTALS, Check.PIXELS}


def test_changed_pixels_are_found():
    before = stored(*OTHER_STUDY)
    after = deepcopy(before)
    after["i0"].PixelData = noise(32, 1234)
    assert failing(after, before) == {Check.PIXELS}


REFERRING = [*sorted(OBJECTS), "RTPLAN", "RTDOSE"]


def referring_to(modality):
    """Return a patient with one object, and the names of what it refers to."""
    if modality == "RTPLAN":
        return stored(OBJECTS["RTSTRUCT"], PLAN), ["i0"]
    if modality == "RTDOSE":
        return stored(PLAN, DOSE), ["i0"]
    return stored(*IMAGES, OBJECTS[modality]), ["i0", "i1"]


@pytest.mark.parametrize("modality", REFERRING)
def test_references_that_stay_behind_are_found(modality):
    before, targets = referring_to(modality)
    after = moved(before, only=targets)
    # A plan refers to a structure set that refers to images; a dose to that plan.
    assert failing(after, before) >= {Check.DANGLING, Check.RESOLVED}


@pytest.mark.parametrize("modality", REFERRING)
def test_repaired_references_are_right(modality):
    before, targets = referring_to(modality)
    new = {
        before[name][keyword].value: uid("new", before[name][keyword].value)
        for name in targets
        for keyword in ("SeriesInstanceUID", "SOPInstanceUID")
    }
    assert failing(renamed(before, new), before) == set()


@pytest.mark.parametrize("modality", sorted(OBJECTS))
def test_a_reference_that_leads_to_another_instance_is_found(modality):
    before = stored(*IMAGES, OBJECTS[modality])
    first, second = (before[name].SOPInstanceUID for name in ("i0", "i1"))
    swapped = renamed(before, {first: second})
    for name in ("i0", "i1"):
        swapped[name].SOPInstanceUID = before[name].SOPInstanceUID
    assert Check.RESOLVED in failing(swapped, before)


@pytest.mark.parametrize("modality", ["SEG", "RTSTRUCT", "PR", "SR", "KO", "REG"])
def test_an_instance_that_is_listed_under_another_series_is_found(modality):
    before = stored(*IMAGES, *OTHER_SERIES, OBJECTS[modality])
    after = deepcopy(before)
    after["i0"].SeriesInstanceUID = after["i2"].SeriesInstanceUID
    assert Check.HIERARCHY in failing(after, before)
    assert Check.HIERARCHY in failing(after)
    assert Check.HIERARCHY not in failing(after, after), "it was so before"


@pytest.mark.parametrize("modality", ["SEG", "RTSTRUCT", "SR", "KO", "REG"])
def test_a_series_that_is_listed_under_another_study_is_found(modality):
    before = stored(*IMAGES, *OTHER_STUDY, OBJECTS[modality])
    after = deepcopy(before)
    for name in ("i0", "i1"):
        after[name].StudyInstanceUID = after["i2"].StudyInstanceUID
    assert Check.HIERARCHY in failing(after, before)


def test_a_list_of_other_studies_is_right_and_not_mistaken():
    segmentation = make_segmentation([*IMAGES, *OTHER_STUDY])
    before = stored(*IMAGES, *OTHER_STUDY, segmentation)
    assert failing(before) == set()
    after = moved(before, only=["i2"], study="third", series="third")
    assert {Check.DANGLING, Check.RESOLVED} <= failing(after, before)


def test_a_target_that_is_in_another_study_now_is_listed_there():
    before = stored(*IMAGES, make_segmentation(IMAGES))
    after = moved(before, only=["i0", "i1"])
    segmentation = after["i2"]
    for sequence in (
        segmentation.SharedFunctionalGroupsSequence[0].DerivationImageSequence[0],
        segmentation.ReferencedSeriesSequence[0],
        *(one.DerivationImageSequence[0] for one in segmentation.PerFrameFunctionalGroupsSequence),
    ):
        for item in sequence.get("SourceImageSequence") or sequence.ReferencedInstanceSequence:
            item.ReferencedSOPInstanceUID = uid("moved", item.ReferencedSOPInstanceUID)
    (series,) = segmentation.ReferencedSeriesSequence
    series.SeriesInstanceUID = after["i0"].SeriesInstanceUID
    assert failing(after, before) == {Check.HIERARCHY}

    del segmentation.ReferencedSeriesSequence
    study = Dataset()
    study.StudyInstanceUID = uid("moved")
    study.ReferencedSeriesSequence = [series]
    segmentation.StudiesContainingOtherReferencedInstancesSequence = [study]
    assert failing(after, before) == set()


def test_a_reference_that_dangles_already_may_dangle():
    before = stored(IMAGES[0], make_report(IMAGES))
    assert failing(before) == set()
    assert failing(before, before) == set()
    after = {name: one for name, one in before.items() if name != "i0"}
    assert Check.DANGLING in failing(after, before)


def test_what_is_recorded_of_the_past_is_no_reference():
    image = make_instance(
        OriginalAttributesSequence=[
            {
                "ModifiedAttributesSequence": [
                    {"SeriesInstanceUID": "1.2.3", "StudyInstanceUID": "1.2.4"}
                ]
            }
        ],
        ReferencedStudySequence=[
            {
                "ReferencedSOPClassUID": "1.2.840.10008.3.1.2.3.1",
                "ReferencedSOPInstanceUID": "1.2.5",
            }
        ],
        ReferencedPerformedProcedureStepSequence=[
            {
                "ReferencedSOPClassUID": "1.2.840.10008.3.1.2.3.3",
                "ReferencedSOPInstanceUID": "1.2.6",
            }
        ],
    )
    assert references("i", read(image)) == []


def test_references_of_images_count_too():
    source = {"ReferencedSOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}
    image = make_instance(
        SourceImageSequence=[{**source, "ReferencedSOPInstanceUID": "1.2.3"}],
        RelatedSeriesSequence=[{"StudyInstanceUID": "1.2.4", "SeriesInstanceUID": "1.2.5"}],
    )
    assert references("i", read(image)) == [
        Reference("i", ("RelatedSeriesSequence",), Level.STUDY, "1.2.4"),
        Reference("i", ("RelatedSeriesSequence",), Level.SERIES, "1.2.5", "1.2.4"),
        Reference("i", ("SourceImageSequence",), Level.INSTANCE, "1.2.3"),
    ]


@pytest.mark.parametrize(
    "make", [make_structure_set, make_presentation_state, make_report, make_key_objects]
)
def test_objects_without_pixels_are_known_by_their_label(make):
    first, same, other = (read(make(IMAGES, label=label)) for label in ("A", "A", "B"))
    same.SeriesDescription = "renamed"
    same.SOPInstanceUID = "1.2.3"
    assert identity(first) == identity(same) != identity(other)


def test_images_are_known_by_their_pixels():
    datasets = stored(*IMAGES, multi_frame(2, Rows=4, Columns=4))
    assert len({identity(dataset) for dataset in datasets.values()}) == 3
    assert identity(moved(datasets)["i0"]) == identity(datasets["i0"])


# The index

INDEXED = {
    "Patient": ["PatientName", "PatientID"],
    "Study": ["StudyInstanceUID", "StudyDescription"],
    "Series": ["SeriesInstanceUID", "OperatorsName", "ImageOrientationPatient"],
    "Instance": ["SOPInstanceUID"],
}


def resources_of(datasets: dict[str, Dataset]) -> dict[str, Stored]:
    """Return the index of instances of one series."""
    first = next(iter(datasets.values()))

    def tags(level, dataset=first):
        return {keyword: text_of(dataset, keyword) for keyword in INDEXED[level]}

    found = {
        "p": Stored("Patient", None, tags("Patient")),
        "st": Stored("Study", "p", tags("Study")),
        "se": Stored("Series", "st", tags("Series"), "Unknown"),
    }
    instances = {
        name: Stored("Instance", "se", tags("Instance", dataset))
        for name, dataset in datasets.items()
    }
    return {**found, **instances}


def test_index_and_files_agree():
    datasets = stored(*IMAGES)
    assert index_differences(datasets, resources_of(datasets), INDEXED) == []


@pytest.mark.parametrize(
    ("resource", "keyword", "value"),
    [
        ("p", "PatientName", "OTHER"),
        ("st", "StudyDescription", ""),
        ("se", "OperatorsName", "NOBODY"),
        ("i1", "SOPInstanceUID", "1.2.3"),
    ],
)
def test_an_index_that_says_something_else_is_found(resource, keyword, value):
    datasets = stored(*IMAGES)
    resources = resources_of(datasets)
    tags = {**resources[resource].main_tags, keyword: value}
    resources[resource] = replace(resources[resource], main_tags=tags)
    (finding,) = index_differences(datasets, resources, INDEXED)
    assert keyword in finding
    del tags[keyword]
    assert bool(index_differences(datasets, resources, INDEXED)) == (keyword != "OperatorsName")


def test_a_resource_without_instances_is_found():
    datasets = stored(*IMAGES)
    resources = resources_of(datasets)
    resources["empty"] = Stored("Study", "p", {})
    assert "has no instance" in str(index_differences(datasets, resources, INDEXED))


def test_the_index_has_the_value_of_any_instance():
    datasets = stored(*IMAGES)
    datasets["i1"].OperatorsName = "SECOND"
    resources = resources_of(datasets)
    assert index_differences(datasets, resources, INDEXED) == []


@pytest.mark.parametrize(("length", "found"), [(256, 1), (257, 0)])
def test_values_that_are_too_long_are_not_in_the_index(length, found):
    datasets = stored(*IMAGES)
    resources = resources_of(datasets)
    for dataset in datasets.values():
        dataset.AdditionalPatientHistory = "x" * length
    indexed = {**INDEXED, "Study": ["AdditionalPatientHistory"]}
    assert len(index_differences(datasets, resources, indexed)) == found


@pytest.mark.parametrize(
    ("status", "found"), [("Missing", 1), ("Inconsistent", 1), ("Complete", 0)]
)
def test_a_series_that_shows_as_missing_is_found(status, found):
    resources = {"se": Stored("Series", "st", {}, status)}
    assert len(missing_instances(resources)) == found


# Values


@pytest.mark.parametrize(
    ("elements", "keyword", "expected"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY"]}, "ImageType", "ORIGINAL\\PRIMARY"),
        ({"PatientName": "A^B "}, "PatientName", "A^B"),
        ({"PixelSpacing": ["0.50", "1"]}, "PixelSpacing", "0.50\\1"),
        ({"AccessionNumber": ""}, "AccessionNumber", ""),
        ({"PatientAge": None}, "PatientAge", ""),
    ],
)
def test_values_are_read_as_orthanc_shows_them(elements, keyword, expected):
    assert text_of(read(make_instance(**elements)), keyword) == expected


def test_sequences_are_compared_item_by_item():
    def procedure(*values):
        items = [{"CodeValue": value, "CodeMeaning": ""} for value in values]
        return value_of(read(make_instance(ProcedureCodeSequence=items)), 0x00081032)

    assert procedure("A") == procedure("A") != procedure("B")
    assert procedure("A", "B") != procedure("B", "A")
