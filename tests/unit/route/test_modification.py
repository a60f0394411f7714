"""What the step ``Modify`` changes in an instance."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.dicom import engine, reader
from curator.dicom.edits import Edits, Replace
from curator.dicom.tags import parse_path
from curator.level import Level
from curator.models import validate
from curator.route.modification import UIDS, Modification, modification
from curator.route.step import ModifyStep
from factory import Private, default_elements, make_instance

OLD = {
    Level.STUDY: default_elements()["StudyInstanceUID"],
    Level.SERIES: default_elements()["SeriesInstanceUID"],
    Level.INSTANCE: default_elements()["SOPInstanceUID"],
}


def step(**fields) -> ModifyStep:
    return validate(ModifyStep, fields)


def changed(made: Modification, dicom: bytes) -> bytes:
    site = engine.opened(dicom).site
    return engine.apply(dicom, Edits(made.edits_of(OLD, site)))


def value(dicom: bytes, keyword: str) -> str | None:
    path = parse_path(keyword)
    return reader.read(dicom, [path]).string(path)


REPLACE = {"StudyDescription": "Changed"}


@pytest.mark.parametrize(
    ("level", "renewed"),
    [
        (Level.PATIENT, {Level.STUDY, Level.SERIES, Level.INSTANCE}),
        (Level.STUDY, {Level.STUDY, Level.SERIES, Level.INSTANCE}),
        (Level.SERIES, {Level.SERIES, Level.INSTANCE}),
        (Level.INSTANCE, {Level.INSTANCE}),
    ],
)
def test_identifiers_change_from_the_modified_level_down(level, renewed):
    made = modification(step(Replace=REPLACE), "rule", level)
    dicom = changed(made, make_instance())
    found = {one for one, path in UIDS.items() if value(dicom, str(path)) != OLD[one]}
    assert found == renewed


def test_identifiers_that_are_kept_or_replaced_are_as_the_rule_says():
    fields = {
        "Replace": {**REPLACE, "StudyInstanceUID": "1.2.3"},
        "Keep": ["SeriesInstanceUID"],
        "Force": True,
    }
    dicom = changed(modification(step(**fields), "rule", Level.STUDY), make_instance())
    assert value(dicom, "StudyInstanceUID") == "1.2.3"
    assert value(dicom, "SeriesInstanceUID") == OLD[Level.SERIES]
    assert value(dicom, "SOPInstanceUID") != OLD[Level.INSTANCE]


@given(st.text("0123456789.", min_size=1, max_size=64), st.text(min_size=1, max_size=8))
def test_new_identifiers_follow_from_the_rule_and_the_old_ones(old, name):
    one, again, other = (
        modification(step(Replace=REPLACE), rule, Level.STUDY) for rule in (name, name, name + "x")
    )
    assert one.uid(Level.STUDY, old) == again.uid(Level.STUDY, old)
    assert one.uid(Level.STUDY, old) != other.uid(Level.STUDY, old)
    assert one.uid(Level.STUDY, old) != one.uid(Level.SERIES, old)


def test_values_of_every_kind_are_set():
    fields = {
        "PatientName": "山田^太郎",
        "Rows": "17",
        "SliceThickness": 2.5,
        "RequestAttributesSequence": [{"RequestedProcedureID": "P1"}],
        "OtherPatientIDs": "A\\B",
    }
    dicom = changed(modification(step(Replace=fields), "rule", Level.STUDY), make_instance())
    assert value(dicom, "PatientName") == "山田^太郎"
    assert value(dicom, "Rows") == "17"
    assert float(value(dicom, "SliceThickness")) == 2.5
    assert value(dicom, "RequestAttributesSequence[0].RequestedProcedureID") == "P1"
    assert value(dicom, "OtherPatientIDs") == "A"


@pytest.mark.parametrize(
    "fields",
    [
        {"Rows": "many"},
        {"PixelData": "x"},
        {"PatientName": True},
        {"RequestAttributesSequence": ["x"]},
    ],
)
def test_a_value_that_does_not_fit_is_refused(fields):
    with pytest.raises(Exception, match=r"takes|VR|objects"):
        modification(step(Replace=fields), "rule", Level.STUDY)


def test_private_elements_go_but_those_replaced_and_kept():
    private = [Private(0x0029, "ACME", number, "LO", "old") for number in (0x10, 0x11, 0x12)]
    fields = {
        "RemovePrivateTags": True,
        "Keep": ['(0029,"ACME",11)'],
        "Replace": {'(0029,"ACME",12)': "new"},
    }
    made = modification(step(**fields), "rule", Level.STUDY)
    dicom = changed(made, make_instance(private=private))
    found = [value(dicom, f'(0029,"ACME",{number})') for number in ("10", "11", "12")]
    assert found == [None, "old", "new"]


def test_private_elements_in_sequences_go_as_well():
    nested = make_instance(
        RequestAttributesSequence=[{"RequestedProcedureID": "P1", "ScheduledProcedureStepID": "S"}]
    )
    inside = Edits(
        {
            parse_path('RequestAttributesSequence[*].(0029,"ACME",10)'): Replace("x", "LO"),
        }
    )
    dicom = engine.apply(nested, inside)
    path = 'RequestAttributesSequence[0].(0029,"ACME",10)'
    assert value(dicom, path) == "x"
    made = modification(step(RemovePrivateTags=True), "rule", Level.STUDY)
    assert value(changed(made, dicom), path) is None
    assert value(changed(made, dicom), "RequestAttributesSequence[0].RequestedProcedureID") == "P1"
