"""Bodies of the merge routes and of the split of a patient: what is taken, what refusals say."""

from typing import Any

import pytest

from curator.models import InvalidModel, Model, validate
from curator.reshape.consensus import PatientStudy
from curator.reshape.duplicates import Duplicates
from curator.reshape.merge_request import (
    BUILTIN_MERGE_FIELDS,
    MergeRequest,
    PatientMergeRequest,
    PatientSplitRequest,
    Rule,
    SeriesMergeRequest,
)
from curator.reshape.options import CARRIED_OUT, OnConflict, OperationRequest
from curator.reshape.repair import References
from curator.reshape.request import SplitRequest

#: The least that each of them takes.
BODIES: dict[type[OperationRequest], dict[str, Any]] = {
    MergeRequest: {"Resources": ["x"]},
    SeriesMergeRequest: {"Resources": ["x"]},
    PatientMergeRequest: {"Resources": ["x"]},
    PatientSplitRequest: {},
    SplitRequest: {"Series": ["x"]},
}


def refused(model: type[Model], body: dict[str, Any]) -> str:
    with pytest.raises(InvalidModel) as raised:
        validate(model, body)
    return str(raised.value)


@pytest.mark.parametrize("model", BODIES)
def test_defaults_are_the_same_for_all_operations(model):
    request = validate(model, BODIES[model])
    assert (request.keep, request.force, request.keep_source) == ((), False, False)
    assert (request.keep_labels, request.original_attributes) == (True, True)
    assert (request.references, request.follow) == (References.REPAIR, True)
    assert (request.permissive, request.dry_run, request.plan) == (False, False, None)
    assert (request.operation_id, request.waits) == (None, True)


def test_what_a_merge_decides_by_default():
    request = validate(MergeRequest, {"Resources": ["x", "y", "x"]})
    assert request.resources == ("x", "y", "x")
    assert (request.on_conflict, request.duplicates) == (OnConflict.REFUSE, Duplicates.REFUSE)
    assert (request.patient_study, request.series_into) == (PatientStudy.TARGET, None)
    patients = validate(PatientMergeRequest, {"Studies": ["x"]})
    assert (patients.on_conflict, patients.other_patient_ids) == (OnConflict.REFUSE, False)
    assert validate(PatientSplitRequest, {}).naming == "{PatientID}-{Index}"


def test_every_built_in_field_is_a_field():
    assert MergeRequest.field_names() >= BUILTIN_MERGE_FIELDS


@pytest.mark.parametrize("model", BODIES)
def test_every_field_of_how_it_is_carried_out_exists(model):
    assert model.model_fields.keys() >= CARRIED_OUT


def test_identifiers_of_other_patients_are_named_as_dicom_names_them():
    body = {"Resources": ["x"], "OtherPatientIDs": True}
    assert validate(PatientMergeRequest, body).other_patient_ids
    assert 'did you mean "OtherPatientIDs"?' in refused(
        PatientMergeRequest, {"Resources": ["x"], "OtherPatientIds": True}
    )


def test_a_rule_chooses_series_too():
    assert validate(SeriesMergeRequest, {"Rule": "MFSPLIT"}).rule is Rule.MFSPLIT


def test_patients_and_studies_can_be_named_together():
    request = validate(PatientMergeRequest, {"Resources": ["x"], "Studies": ["y"]})
    assert (request.resources, request.studies) == (("x",), ("y",))


@pytest.mark.parametrize(
    ("model", "body", "place", "about"),
    [
        (MergeRequest, {}, "$.Resources", "required"),
        (MergeRequest, {"Resources": []}, "$.Resources", "at least 1"),
        (MergeRequest, {"Resources": "x"}, "$.Resources", ""),
        (MergeRequest, {"Resources": [1]}, "$.Resources[0]", "string"),
        (MergeRequest, {"Resources": ["x"], "OnConflict": "Source"}, "$.OnConflict", "Target"),
        (MergeRequest, {"Resources": ["x"], "PatientStudy": "x"}, "$.PatientStudy", "Clear"),
        (MergeRequest, {"Resources": ["x"], "SeriesInto": {}}, "$.SeriesInto", "at least 1"),
        (MergeRequest, {"Resources": ["x"], "SeriesInto": {"a": 1}}, "$.SeriesInto.a", "string"),
        (MergeRequest, {"Resources": ["x"], "Duplicates": "x"}, "$.Duplicates", "KeepFirst"),
        (MergeRequest, {"Resources": ["x"], "References": "x"}, "$.References", "Report"),
        (MergeRequest, {"Resources": ["x"], "OperationId": "a b"}, "$.OperationId", "pattern"),
        (MergeRequest, {"Resources": ["x"], "OperationId": ""}, "$.OperationId", "pattern"),
        (MergeRequest, {"Resources": ["x"], "Series": ["x"]}, "$.Series", "unknown field"),
        (SeriesMergeRequest, {}, "$", 'either "Resources" or "Rule"'),
        (SeriesMergeRequest, {"Resources": ["x"], "Rule": "MFSPLIT"}, "$", 'either "Resources"'),
        (SeriesMergeRequest, {"Rule": "mfsplit"}, "$.Rule", "MFSPLIT"),
        (SeriesMergeRequest, {"Resources": ["x"], "OnConflict": "Target"}, "$.OnConflict", "unk"),
        (PatientMergeRequest, {}, "$", '"Resources", "Studies" or both'),
        (PatientMergeRequest, {"Studies": []}, "$.Studies", "at least 1"),
        (PatientSplitRequest, {"By": []}, "$.By", "at least 1"),
        (PatientSplitRequest, {"By": ["PatientSex"]}, "$.By", '"Demographics"'),
        (PatientSplitRequest, {"By": ["Demographics", "Demographics"]}, "$.By", "only criterion"),
        (PatientSplitRequest, {"Naming": "{"}, "$.Naming", ""),
        (PatientSplitRequest, {"Naming": "{Unknown}"}, "$.Naming", ""),
        (PatientSplitRequest, {"Naming": {"PatientID": "x"}}, "$.Naming", "string"),
    ],
)
def test_what_is_wrong_is_refused_where_it_stands(model, body, place, about):
    problems = refused(model, body)
    assert problems.startswith(f"{place}: ")
    assert about in problems


KEEPABLE = {
    MergeRequest: ("SeriesInstanceUID", "SOPInstanceUID"),
    SplitRequest: ("SeriesInstanceUID", "SOPInstanceUID"),
    SeriesMergeRequest: ("SOPInstanceUID",),
    PatientMergeRequest: ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
    PatientSplitRequest: ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
}


@pytest.mark.parametrize("model", BODIES)
@pytest.mark.parametrize(
    "keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "PatientID", "x"]
)
def test_only_what_an_operation_can_keep_is_kept_and_only_on_purpose(model, keyword):
    body = {**BODIES[model], "Keep": [keyword]}
    forced = {**body, "Force": True}
    if keyword not in KEEPABLE[model]:
        problem = refused(model, forced)
        assert problem.startswith("$.Keep: only ")
        assert all(one in problem for one in KEEPABLE[model])
        return
    assert validate(model, forced).keep == (keyword,)
    assert '"Force": true' in refused(model, body)
    assert '"KeepSource": false' in refused(model, {**forced, "KeepSource": True})
