from __future__ import annotations

import pytest

from collection import FILES, load
from curator.anonymize.identifiers import subject_of
from curator.anonymize.subject import Subject
from curator.dicom.engine import opened
from curator.dicom.errors import DicomError
from factory import ExplicitVRBigEndian, ImplicitVRLittleEndian, ct_series, make_instance
from referring import make_report


def subject(dicom: bytes) -> Subject:
    return subject_of(opened(dicom).site)


EVERYTHING = {
    "SpecificCharacterSet": "ISO_IR 192",
    "PatientName": "Müller^Hans^^Dr.=山田",
    "PatientID": "MRN1",
    "OtherPatientNames": ["MEIER^HANS", "M^H"],
    "PatientBirthName": "Schulz^Hans",
    "PatientMotherBirthName": "Weber^Eva",
    "ResponsiblePerson": "Müller^Eva",
    "OtherPatientIDsSequence": [{"PatientID": "OTHER1"}, {"PatientID": "OTHER2"}],
    "PatientBirthDate": "19700203",
    "PatientAddress": "Street 1",
    "PatientTelephoneNumbers": ["0170 1", "0170 2"],
    "AccessionNumber": "ACC1",
    "AdmissionID": "ADM1",
    "ServiceEpisodeID": "EPI1",
    "StudyID": "S1",
    "ReferringPhysicianName": "Ref^A",
    "PerformingPhysicianName": ["Perf^B", "Perf^C"],
    "OperatorsName": "Op^D",
    "RequestAttributesSequence": [
        {
            "AccessionNumber": "ACC2",
            "RequestedProcedureID": "R4711",
            "ScheduledProcedureStepID": "CT",
        }
    ],
}


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"transfer_syntax": ImplicitVRLittleEndian},
        {"transfer_syntax": ExplicitVRBigEndian},
        {"undefined_lengths": True},
    ],
)
def test_everything_that_names_the_patient_or_a_person_is_found(how):
    found = subject(make_instance(**EVERYTHING, **how))
    assert found.key == "MRN1"
    assert set(found.names) == {
        *("Müller^Hans^^Dr.=山田", "MEIER^HANS", "M^H", "Schulz^Hans", "Weber^Eva", "Müller^Eva")
    }
    assert set(found.identifiers) == {
        *("ACC1", "MRN1", "OTHER1", "OTHER2", "S1", "ADM1", "EPI1", "ACC2", "R4711")
    }
    assert found.birth_dates == ("19700203",)
    assert set(found.contacts) == {"Street 1", "0170 1", "0170 2"}
    assert set(found.persons) == {"Ref^A", "Perf^B", "Perf^C", "Op^D"}


@pytest.mark.parametrize(
    ("elements", "key"),
    [
        ({"PatientID": " P1 "}, "P1"),
        ({"PatientID": None, "PatientName": "A^B"}, "A^B\\19600203"),
        ({"PatientID": "", "PatientBirthDate": "", "StudyInstanceUID": "1.2"}, "1.2"),
        ({"PatientID": "", "PatientName": "^^", "StudyInstanceUID": "1.2"}, "1.2"),
    ],
)
def test_what_stands_for_the_patient(elements, key):
    assert subject(make_instance(**elements)).key == key


def test_empty_elements_say_nothing():
    elements = dict.fromkeys(("PatientName", "PatientID", "AccessionNumber", "StudyID"), "")
    found = subject(make_instance(**elements, ReferringPhysicianName="^^^", PatientBirthDate=""))
    assert (found.names, found.identifiers, found.birth_dates, found.persons) == ((), (), (), ())


def test_text_in_another_character_set_than_declared_is_still_looked_for():
    data = make_instance(SpecificCharacterSet="ISO_IR 100", PatientName="Müller^X")
    found = subject(data.replace(b"ISO_IR 100", b"ISO_IR 192"))
    assert found.names == ("Müller^X",)


def test_persons_of_a_report_are_found_wherever_they_stand():
    report = make_report(
        ct_series(1),
        ContentSequence=[
            {
                "ValueType": "CONTAINER",
                "ContentSequence": [{"ValueType": "PNAME", "PersonName": "Reader^Deep"}],
            }
        ],
        VerifyingObserverSequence=[{"VerifyingObserverName": "Observer^V"}],
    )
    assert {"Reader^Deep", "Observer^V"} <= set(subject(report).persons + subject(report).names)


def test_every_readable_file_of_the_collection_has_a_subject():
    found = 0
    for name in FILES:
        try:
            instance = opened(load(name))
        except DicomError:
            continue
        assert isinstance(subject_of(instance.site), Subject)
        found += 1
    assert found > 150
