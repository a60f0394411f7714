"""Bodies of the anonymize routes: what they add to a profile, and what is refused with a reason."""

import pytest

from curator.anonymize.decision import Action
from curator.anonymize.profile import Profile
from curator.anonymize.request import (
    OWN_FIELDS,
    AnonymizeRequest,
    BuiltinRequest,
    BulkAnonymizeRequest,
    ProfileRequest,
)
from curator.models import InvalidModel, validate

RULED = {"Name": "ruled", "Rules": [{"Tag": "StudyID", "Action": "Remove"}]}


def problems(model, body: dict) -> str:
    with pytest.raises(InvalidModel) as caught:
        validate(model, body)
    return "; ".join(caught.value.problems)


def test_elements_of_the_request_become_the_last_rules():
    body = {
        "Profile": "any",
        "Replace": {"ClinicalTrialProtocolID": "ABC-1", "0010,4000": ["a", "b"]},
        "Remove": ["StudyDescription"],
        "Keep": ["RequestAttributesSequence[*].RequestedProcedureID"],
    }
    request = validate(AnonymizeRequest, body)
    profile = request.profile_with_rules(validate(Profile, RULED))
    assert [(rule.tag, rule.action, rule.value) for rule in profile.rules] == [
        ("StudyID", Action.REMOVE, None),
        ("StudyDescription", Action.REMOVE, None),
        ("ClinicalTrialProtocolID", Action.REPLACE, "ABC-1"),
        ("0010,4000", Action.REPLACE, ("a", "b")),
        ("RequestAttributesSequence[*].RequestedProcedureID", Action.KEEP, None),
    ]


def test_without_elements_the_profile_is_used_as_it_is():
    profile = validate(Profile, RULED)
    assert validate(AnonymizeRequest, {"Profile": "any"}).profile_with_rules(profile) is profile


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"Keep": ["StudyDate", "RequestAttributesSequence[0].StudyDate"]}, "$.Keep[1]"),
        ({"Remove": ["SOPClassUID"]}, "$.Remove[0]"),
        ({"Replace": {"StudyInstanceUID": "1.2"}, "Force": True}, "$.Replace.StudyInstanceUID"),
        ({"Replace": {"0008,0018": "1.2"}, "Force": True}, '$.Replace["0008,0018"]'),
    ],
)
def test_what_a_rule_may_not_do_is_told_by_its_place_in_the_request(body, place):
    request = validate(AnonymizeRequest, {"Profile": "any", **body})
    with pytest.raises(InvalidModel) as caught:
        request.profile_with_rules(validate(Profile, RULED))
    assert all(problem.startswith(place) for problem in caught.value.problems)


@pytest.mark.parametrize("field", ["Keep", "Remove", "Replace"])
@pytest.mark.parametrize("tag", ["PatientID", "0020,000d", "SeriesInstanceUID", "(0008,0018)"])
def test_identifiers_need_force(field, tag):
    elements = {tag: "x"} if field == "Replace" else [tag]
    assert '"Force": true' in problems(AnonymizeRequest, {"Profile": "any", field: elements})
    validate(AnonymizeRequest, {"Profile": "any", field: elements, "Force": True})


@pytest.mark.parametrize(
    "body",
    [
        {"Keep": ["StudyDate", "0008,0020"]},
        {"Keep": ["StudyDate"], "Remove": ["00080020"]},
        {"Remove": ["StudyDate"], "Replace": {"StudyDate": "20200101"}},
        {"Replace": {"StudyDate": "20200101", "0008-0020": "20200102"}},
    ],
)
def test_an_element_is_named_once(body):
    assert "names an element that" in problems(AnonymizeRequest, {"Profile": "any", **body})


@pytest.mark.parametrize(
    ("field", "value", "instead"),
    [
        ("KeepPrivateTags", True, "RetainSafePrivate"),
        ("KeepPrivateTags", False, "RetainSafePrivate"),
        ("Transcode", "1.2.840.10008.1.2.1", "TransferSyntax"),
        ("LossyQuality", 90, "Pixels"),
        ("PrivateCreator", "Lunit", "CREATOR"),
        ("DicomVersion", "2023b", "Edition"),
    ],
)
def test_fields_of_the_core_that_profiles_have_their_own_way_for_are_refused(field, value, instead):
    text = problems(AnonymizeRequest, {"Profile": "any", field: value})
    assert f'"{field}"' in text
    assert instead in text
    validate(BuiltinRequest, {field: value})


def test_the_profile_is_a_name_or_an_object():
    assert "$.Profile: this field is required" in problems(AnonymizeRequest, {"DryRun": True})
    for wrong in (5, None, [], True):
        assert "$.Profile" in problems(AnonymizeRequest, {"Profile": wrong})


def test_unknown_fields_are_told_with_the_nearest_one():
    assert 'did you mean "Profile"' in problems(AnonymizeRequest, {"Profil": "x", "DryRun": True})
    assert 'did you mean "KeepSource"' in problems(
        AnonymizeRequest, {"Profile": "x", "KeepSources": True}
    )


@pytest.mark.parametrize(
    "field", ["KeepSource", "KeepLabels", "Asynchronous", "Permissive", "Report", "Map", "Priority"]
)
def test_one_instance_takes_no_fields_of_a_job(field):
    value = 1 if field == "Priority" else True
    assert f"$.{field}: unknown field" in problems(ProfileRequest, {"Profile": "x", field: value})
    validate(AnonymizeRequest, {"Profile": "x", field: value})


def test_bulk_names_resources():
    assert "$.Resources: this field is required" in problems(BulkAnonymizeRequest, {"Profile": "x"})
    assert "$.Resources" in problems(BulkAnonymizeRequest, {"Profile": "x", "Resources": []})
    validate(BulkAnonymizeRequest, {"Profile": "x", "Resources": ["a"]})


def test_own_fields_are_none_of_the_core():
    assert AnonymizeRequest.field_names() >= OWN_FIELDS
    assert not OWN_FIELDS & BuiltinRequest.field_names()
    assert AnonymizeRequest.field_names() - OWN_FIELDS <= BuiltinRequest.field_names()
