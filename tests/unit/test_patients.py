"""The random patients of the property tests are sound, and of every kind."""

from io import BytesIO

import pytest
from hypothesis import Phase, find, given, settings
from pydicom import Dataset, dcmread

from invariants import Check, Level, check_datasets, identity, references, text_of
from patients import PERSONS, RandomPatient, patients, two_patients

#: Takes the first that fits, without making it smaller.
FIRST = settings(database=None, phases=[Phase.generate], max_examples=1000)


def datasets_of(patient: RandomPatient) -> dict[str, Dataset]:
    return {str(number): dcmread(BytesIO(file)) for number, file in enumerate(patient.files)}


@given(patients())
def test_every_check_holds_for_a_patient_as_it_is_made(patient):
    found = check_datasets(datasets_of(patient))
    # A presentation state or a registration may list what is in another study.
    del found[Check.HIERARCHY]
    assert not any(found.values()), found


@given(patients())
def test_each_instance_is_known_by_what_it_shows(patient):
    identities = [identity(dataset) for dataset in datasets_of(patient).values()]
    assert len(set(identities)) == len(identities)


@given(patients())
def test_what_is_said_of_references_is_so(patient):
    for study in patient.studies:
        for series in study.series:
            (found,) = {
                tuple(sorted({one.uid for one in references("", dcmread(BytesIO(file)))
                              if one.level == Level.INSTANCE}))
                for file in series.files
            }  # fmt: skip
            assert found == tuple(sorted(series.refers_to))


@given(two_patients())
def test_two_patients_share_no_identifier(both):
    first, second = (
        {
            text_of(dataset, keyword)
            for dataset in datasets_of(patient).values()
            for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
        }
        for patient in both
    )
    assert not first & second


@given(patients(referring=False, max_studies=1))
def test_patients_without_references_have_none(patient):
    (study,) = patient.studies
    assert {series.modality for series in study.series} <= {"CT", "MR"}


def dangling(patient: RandomPatient) -> bool:
    stored = {text_of(dataset, "SOPInstanceUID") for dataset in datasets_of(patient).values()}
    return any(
        set(series.refers_to) - stored for study in patient.studies for series in study.series
    )


def across_studies(patient: RandomPatient) -> bool:
    own = [{dcmread(BytesIO(file)).SOPInstanceUID for file in one.files} for one in patient.studies]
    return any(
        set(series.refers_to) & other
        for study, uids in zip(patient.studies, own, strict=True)
        for series in study.series
        for other in own
        if other is not uids
    )


@pytest.mark.parametrize("kind", [dangling, across_studies])
def test_references_of_every_kind_are_drawn(kind):
    assert find(patients(), kind, settings=FIRST)


@pytest.mark.parametrize("person", PERSONS, ids=lambda person: f"{person.charset}")
def test_names_come_out_of_the_file_as_they_went_in(person):
    of_person = patients(persons=[person], max_studies=1)
    patient = find(of_person, lambda _patient: True, settings=FIRST)
    assert patient.person == person
    for dataset in datasets_of(patient).values():
        assert str(dataset.PatientName) == person.name


def test_the_description_tells_what_there_is():
    patient = find(patients(), lambda patient: "SEG1>2" in patient.description, settings=FIRST)
    assert repr(patient) == f"<{patient.description}>"
    assert patient.description.count("|") == len(patient.studies) - 1
