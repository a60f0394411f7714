"""Validation of profiles: every problem, with its JSON path and what would be right."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.anonymize.decision import Action
from curator.anonymize.profile import Option, OptionsMeet, Profile, Residual
from curator.conditions import Condition
from curator.models import InvalidModel, validate
from keypair import certificate

DESIGN = {
    "Name": "trial-ct",
    "Version": "3",
    "Base": "Basic",
    "Edition": "2026d",
    "Options": [
        "CleanDescriptors",
        "RetainLongitudinalModifiedDates",
        "RetainPatientCharacteristics",
        "RetainSafePrivate",
        "CleanPixelData",
    ],
    "Dates": {"Shift": "PerPatient", "RangeDays": [-365, -1]},
    "Uids": {"Map": "Keyed"},
    "Rules": [
        {"Tag": "PatientID", "Action": "Pseudonym", "Prefix": "TRIAL-"},
        {"Tag": "PatientAge", "Action": "Generalize", "Bins": 5, "Above": 89},
        {"Tag": '(01F1,"ELSCINT1",26)', "Action": "Keep"},
        {"Tag": "ClinicalTrialProtocolID", "Action": "Replace", "Value": "ABC-1"},
        {
            "When": {
                "All": [
                    {"Tag": "Modality", "Equals": "US"},
                    {"Tag": "Manufacturer", "Like": "*GE*"},
                ]
            },
            "Pixels": {"Fill": [[0, 0, "Columns", 60]]},
        },
    ],
}


def problems(content: object) -> list[str]:
    with pytest.raises(InvalidModel) as raised:
        validate(Profile, content)
    return raised.value.problems


def rule_problems(*rules: object, **fields: object) -> list[str]:
    return problems({"Name": "test", "Rules": list(rules), **fields})


def accepted(*rules: object, **fields: object) -> Profile:
    return validate(Profile, {"Name": "test", "Rules": list(rules), **fields})


def test_the_example_of_the_design_is_valid():
    profile = validate(Profile, DESIGN)
    assert profile.dates.range_days == (-365, -1)
    assert profile.rules[0].action is Action.PSEUDONYM
    assert profile.rules[4].pixels is not None


def test_defaults_are_the_careful_ones():
    profile = validate(Profile, {"Name": "plain"})
    assert profile.options == ()
    assert profile.options_meet is OptionsMeet.PROTECTIVE
    assert profile.residual is Residual.REFUSE
    assert profile.mapping is False
    assert profile.recipients == ()


def test_a_profile_reads_back_what_it_writes():
    profile = validate(Profile, DESIGN)
    dumped = profile.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert validate(Profile, json.loads(json.dumps(dumped))) == profile


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({}, "$.Name: this field is required"),
        ({"Name": "no spaces"}, "$.Name: "),
        ({"Name": "a", "Version": ""}, "$.Version: "),
        ({"Name": "a", "Version": 3}, "$.Version: "),
        ({"Name": "a", "Edition": "2023b"}, "$.Edition: "),
        ({"Name": "a", "Base": "None"}, "$.Base: "),
        ({"Name": "a", "Option": []}, '$.Option: unknown field, did you mean "Options"?'),
        ({"Name": "a", "Options": ["RetainAll"]}, "$.Options[0]: "),
        (
            {"Name": "a", "Options": ["RetainUids", "RetainUids"]},
            "$.Options: named twice: RetainUids",
        ),
        (
            {"Name": "a", "Options": ["CleanRecognizableVisualFeatures"]},
            "$.Options: CleanRecognizableVisualFeatures is not implemented",
        ),
        (
            {
                "Name": "a",
                "Options": ["RetainLongitudinalFullDates", "RetainLongitudinalModifiedDates"],
            },
            "$.Options: RetainLongitudinalFullDates and RetainLongitudinalModifiedDates exclude ea",
        ),
        (
            {"Name": "a", "Dates": {"RangeDays": [1, -1]}},
            "$.Dates.RangeDays: the least number of days comes first",
        ),
        (
            {"Name": "a", "Dates": {"RangeDays": [0, 0]}},
            "$.Dates.RangeDays: a shift by no day changes no date",
        ),
        (
            {"Name": "a", "Dates": {"RangeDays": [-36501, 1]}},
            "$.Dates.RangeDays: dates are shifted by at most 36500 days",
        ),
        (
            {"Name": "a", "Dates": {"RangeDays": [1, 36501]}},
            "$.Dates.RangeDays: dates are shifted by at most 36500 days",
        ),
        ({"Name": "a", "Dates": {"RangeDays": [1, 2.5]}}, "$.Dates.RangeDays[1]: "),
        ({"Name": "a", "Dates": {"Shift": "PerStudy"}}, "$.Dates.Shift: "),
        ({"Name": "a", "Uids": {"Map": "Random"}}, "$.Uids.Map: "),
        ({"Name": "a", "Pixels": {"TransferSyntax": "JPEG"}}, "$.Pixels.TransferSyntax: "),
        ({"Name": "a", "Residual": "Ignore"}, "$.Residual: "),
        ({"Name": "a", "Mapping": "yes"}, "$.Mapping: "),
        ({"Name": "a", "Recipients": ["no PEM"]}, "$.Recipients[0]: "),
        (
            {"Name": "a", "Tables": {"map": {"secret": 1}}},
            "$.Tables.map: every original of a table has a text",
        ),
        ("a text", "$: "),
    ],
)
def test_what_is_wrong_with_a_profile_is_told_with_its_place(content, expected):
    (problem,) = problems(content)
    assert problem.startswith(expected)
    assert "secret" not in problem


TAKES = '"Tag", "VR", "PrivateCreator", "Keyword", or "Pixels"'


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"Action": "Keep"}, f"$.Rules[0]: needs exactly one of {TAKES}"),
        (
            {"Tag": "Modality", "VR": "CS", "Action": "Keep"},
            f"$.Rules[0]: needs exactly one of {TAKES}",
        ),
        ({"Tag": "Modality"}, "$.Rules[0].Action: this field is required"),
        ({"Tag": "Modality", "Action": "Forget"}, "$.Rules[0].Action: "),
        ({"Tag": "Modalty", "Action": "Keep"}, "$.Rules[0].Tag: Unknown tag Modalty; did you mean"),
        ({"Tag": "0008,00", "Action": "Keep"}, "$.Rules[0].Tag: "),
        (
            {"Tag": "0009,1001", "Action": "Remove"},
            "$.Rules[0].Tag: a private element needs its creator",
        ),
        (
            {"Tag": "(0009,xx01)", "Action": "Remove"},
            "$.Rules[0].Tag: private elements are named by their creator",
        ),
        (
            {"Tag": "(xxxx,xxxx)", "Action": "Remove"},
            "$.Rules[0].Tag: would be about every element",
        ),
        (
            {"Tag": "RequestAttributesSequence[0].Modality", "Action": "Keep"},
            "$.Rules[0].Tag: a rule is about every item: write [*], not [0]",
        ),
        (
            {"Tag": "RequestAttributesSequence[0].(0008,xxxx)", "Action": "Keep"},
            "$.Rules[0].Tag: a rule is about every item: write [*], not [0]",
        ),
        (
            {"Tag": '(2005,"Philips",0E)[*].Modality', "Action": "Keep"},
            "$.Rules[0].Tag: a path cannot lead through a private sequence",
        ),
        (
            {"Tag": "Modality[*].StudyDate", "Action": "Keep"},
            "$.Rules[0].Tag: Modality is not a sequence",
        ),
        (
            {"VR": "ZZ", "Action": "Keep"},
            "$.Rules[0].VR: is no value representation (PS3.5 6.2)",
        ),
        ({"Keyword": "Nobody*", "Action": "Keep"}, "$.Rules[0].Keyword: no keyword of PS3.6 fits"),
        (
            {"PrivateCreator": "*", "Action": "Keep"},
            "$.Rules[0].PrivateCreator: would retain the private elements of anybody",
        ),
        (
            {"PrivateCreator": " ", "Action": "Keep"},
            "$.Rules[0].PrivateCreator: is no private creator",
        ),
        (
            {"Tag": "ContentSequence", "Action": "CleanStructuredContent"},
            "$.Rules[0].Action: CleanStructuredContent is what an option does",
        ),
        (
            {"PrivateCreator": "A", "Action": "CleanPrivate"},
            "$.Rules[0].Action: CleanPrivate is what an option does",
        ),
        (
            {"Tag": "Modality", "Action": "Keep", "Value": "CT"},
            "$.Rules[0].Value: is no parameter of Keep",
        ),
        (
            {"Tag": "PatientID", "Action": "Hash", "Prefix": "A"},
            "$.Rules[0].Prefix: is no parameter of Hash",
        ),
        ({"Tag": "Modality", "Action": "Replace"}, "$.Rules[0].Value: Replace needs it"),
        (
            {"Tag": "StudyID", "Action": "Replace", "Value": "{StudyIDD}"},
            "$.Rules[0].Value: Unknown tag StudyIDD",
        ),
        ({"Tag": "StudyID", "Action": "Replace", "Value": "{"}, "$.Rules[0].Value: "),
        (
            {"Tag": "StudyID", "Action": "Replace", "Value": "x" * 17},
            "$.Rules[0].Value: is too long for SH, or not of its form (PS3.5 6.2)",
        ),
        ({"Tag": "Rows", "Action": "Replace", "Value": "many"}, "$.Rules[0].Value: "),
        ({"Tag": "Rows", "Action": "Replace", "Value": 70000}, "$.Rules[0].Value: "),
        (
            {"Tag": "Rows", "Action": "Replace", "Value": 1.5},
            "$.Rules[0].Value: is too long for US",
        ),
        (
            {"Tag": "StudyDate", "Action": "Replace", "Value": "20230230"},
            "$.Rules[0].Value: is too long for DA, or not of its form",
        ),
        (
            {"Tag": "Modality", "Action": "Replace", "Value": "lower"},
            "$.Rules[0].Value: is too long for CS, or not of its form",
        ),
        (
            {"Tag": "StudyID", "Action": "Replace", "Value": " "},
            "$.Rules[0].Value: an empty value is written by Empty",
        ),
        (
            {"Tag": "StudyID", "Action": "Replace", "Value": []},
            "$.Rules[0].Value: an empty value is written by Empty",
        ),
        (
            {"Tag": "RequestAttributesSequence", "Action": "Replace", "Value": "a"},
            "$.Rules[0].Action: Replace is for ",
        ),
        (
            {"Tag": "PatientID", "Action": "Pseudonym", "Scheme": "Lookup"},
            "$.Rules[0].Table: the scheme Lookup needs it",
        ),
        (
            {"Tag": "PatientID", "Action": "Pseudonym", "Table": "map"},
            "$.Rules[0].Table: is for the scheme Lookup",
        ),
        (
            {"Tag": "PatientID", "Action": "Pseudonym", "Otherwise": "Empty"},
            "$.Rules[0].Otherwise: is for the scheme Lookup",
        ),
        (
            {
                "Tag": "PatientID",
                "Action": "Pseudonym",
                "Scheme": "Lookup",
                "Table": "map",
                "Length": 8,
            },
            "$.Rules[0].Length: the scheme Lookup takes what the table has",
        ),
        (
            {"Tag": "PatientID", "Action": "Pseudonym", "Prefix": "a\\b"},
            "$.Rules[0].Prefix: takes printable characters",
        ),
        (
            {"Tag": "PatientID", "Action": "Pseudonym", "Length": 3},
            "$.Rules[0].Length: ",
        ),
        (
            {"Tag": "AccessionNumber", "Action": "Pseudonym", "Prefix": "A"},
            "$.Rules[0].Prefix: prefix and pseudonym are 17 characters, SH has 16",
        ),
        (
            {"Tag": "AccessionNumber", "Action": "Pseudonym", "Length": 17},
            "$.Rules[0].Length: prefix and pseudonym are 17 characters, SH has 16",
        ),
        (
            {"Tag": "StudyDate", "Action": "Pseudonym"},
            "$.Rules[0].Action: Pseudonym is for ",
        ),
        (
            {"Tag": "PatientAge", "Action": "Generalize"},
            '$.Rules[0]: Generalize needs exactly one of "Bins" (and "Above"), "To", "Digits"',
        ),
        (
            {"Tag": "PatientAge", "Action": "Generalize", "Bins": 5, "To": "Year"},
            '$.Rules[0]: Generalize needs exactly one of "Bins" (and "Above"), "To", "Digits"',
        ),
        ({"Tag": "PatientAge", "Action": "Generalize", "Bins": 0}, "$.Rules[0].Bins: "),
        (
            {"Tag": "StudyDate", "Action": "Generalize", "Bins": 5},
            "$.Rules[0].Bins: is for AS, DS, FD, FL, IS, SL, SS, SV, UL, US, UV, not for DA",
        ),
        (
            {"Tag": "PatientAge", "Action": "Generalize", "To": "Year"},
            "$.Rules[0].To: is for DA, DT, not for AS",
        ),
        (
            {"Tag": "PatientAge", "Action": "Generalize", "Digits": 2},
            "$.Rules[0].Digits: is for ",
        ),
        (
            {"Tag": "StudyID", "Action": "Regex", "Pattern": "a"},
            "$.Rules[0].With: Regex needs it",
        ),
        (
            {"Tag": "StudyID", "Action": "Regex", "Pattern": "(", "With": ""},
            "$.Rules[0].Pattern: is not a regular expression of RE2",
        ),
        (
            {"Tag": "StudyID", "Action": "Regex", "Pattern": "(a)", "With": "\\2"},
            "$.Rules[0].With: a backslash is written",
        ),
        (
            {"Tag": "StudyID", "Action": "Regex", "Pattern": "(a)", "With": "b\\"},
            "$.Rules[0].With: a backslash is written",
        ),
        ({"Tag": "PatientID", "Action": "Lookup"}, "$.Rules[0].Table: Lookup needs it"),
        (
            {"Tag": "Modality", "Action": "ShiftDate"},
            "$.Rules[0].Action: ShiftDate is for DA, DT, TM, not for CS",
        ),
        (
            {"Tag": "StudyID", "Action": "Uid"},
            "$.Rules[0].Action: Uid is for UI, not for SH",
        ),
        ({"VR": "OW", "Action": "CleanText"}, "$.Rules[0].Action: CleanText is for "),
        (
            {"Tag": "SpecificCharacterSet", "Action": "Keep"},
            "$.Rules[0].Tag: this element says how the text is encoded",
        ),
        (
            {"Tag": "SOPClassUID", "Action": "Keep"},
            "$.Rules[0].Tag: this element says what the instance is",
        ),
        (
            {"Tag": "MediaStorageSOPInstanceUID", "Action": "Keep"},
            "$.Rules[0].Tag: File Meta Information is written anew",
        ),
        ({"Tag": "0008,0000", "Action": "Keep"}, "$.Rules[0].Tag: group lengths are computed"),
        (
            {"Tag": "DeidentificationMethod", "Action": "Remove"},
            "$.Rules[0].Tag: this element is written by the anonymization",
        ),
        (
            {"Tag": "PixelData", "Action": "Remove"},
            '$.Rules[0].Tag: this element is changed by rules with "Pixels"',
        ),
        (
            {"Tag": "StudyInstanceUID", "Action": "Remove"},
            "$.Rules[0].Tag: this UID may be given only Uid, Keep, Encrypt",
        ),
        (
            {"Tag": "SOPInstanceUID", "Action": "Replace", "Value": "1.2"},
            "$.Rules[0].Tag: this UID may be given only Uid, Keep, Encrypt",
        ),
        (
            {"Tag": "PatientID", "Action": "Remove"},
            "$.Rules[0].Tag: the Patient ID may be given only",
        ),
        (
            {"Tag": "Modality", "Action": "Keep", "When": {"Tag": "Modality"}},
            '$.Rules[0].When: "Tag" needs exactly one of',
        ),
        (
            {"Pixels": {"Fill": [[0, 0, 9, 9]]}, "Action": "Keep"},
            '$.Rules[0].Action: does not go with "Pixels"',
        ),
        (
            {"Pixels": {"Fill": [[0, 0, 9, 9]]}, "Tag": "Modality"},
            '$.Rules[0].Tag: does not go with "Pixels"',
        ),
        ({"Pixels": {}}, '$.Rules[0].Pixels: needs either "Keep": true, or some of'),
        (
            {"Pixels": {"Keep": True, "Detect": "Text"}},
            '$.Rules[0].Pixels: needs either "Keep": true, or some of',
        ),
        ({"Pixels": {"Fill": [[0, 0, "Cols", 9]]}}, "$.Rules[0].Pixels.Fill[0][2]: 'Cols' is not"),
        ({"Pixels": {"Fill": [[0, -1, 9, 9]]}}, "$.Rules[0].Pixels.Fill[0][1]: an edge is not"),
        ({"Pixels": {"Blur": [[0, 0, 9]]}}, "$.Rules[0].Pixels.Blur[0][3]: this field is required"),
        ({"Pixels": {"Regions": "All"}}, "$.Rules[0].Pixels.Regions: "),
    ],
)
def test_what_is_wrong_with_a_rule_is_told_with_its_place(rule, expected):
    (problem,) = rule_problems(rule)
    assert problem.startswith(expected)


@pytest.mark.parametrize(
    "rule",
    [
        {"Tag": "RequestAttributesSequence[*].StudyInstanceUID", "Action": "Uid"},
        {"Tag": "RequestAttributesSequence[*].(0040,xxxx)", "Action": "Remove"},
        {"Tag": "(60xx,4000)", "Action": "Keep"},
        {"Tag": "50xxxxxx", "Action": "Keep"},
        {"Tag": "0010-1010", "Action": "Generalize", "Above": 89},
        {"Tag": "PatientBirthDate", "Action": "Generalize", "To": "Year"},
        {"Tag": "PatientAddress", "Action": "Generalize", "Digits": 0},
        {"VR": "DT", "Action": "ShiftDate"},
        {"PrivateCreator": "GEMS_*", "Action": "Keep"},
        {"Keyword": "*Comments", "Action": "CleanText"},
        {"Tag": "PatientID", "Action": "Pseudonym", "Scheme": "Number", "Length": 12},
        {"Tag": "PatientID", "Action": "Pseudonym", "Scheme": "Sequential", "Prefix": "S"},
        {"Tag": "PatientID", "Action": "Lookup", "Table": "map", "Otherwise": "Refuse"},
        {"Tag": "PatientID", "Action": "Hash", "Length": 12},
        {"Tag": "StudyID", "Action": "Regex", "Pattern": "(a)(b)", "With": "\\2-\\1\\\\\\0"},
        {"Tag": "StudyID", "Action": "Regex", "Pattern": "a", "With": "", "Otherwise": "Empty"},
        {"Tag": "StudyID", "Action": "Replace", "Value": "{Modality}-{{{SeriesNumber}}}"},
        {"Tag": "ImageType", "Action": "Replace", "Value": ["DERIVED", "SECONDARY"]},
        {"Tag": "Rows", "Action": "Replace", "Value": 12},
        {"Tag": "Rows", "Action": "Replace", "Value": "{Columns}"},
        {"Tag": "PatientWeight", "Action": "Replace", "Value": 70.5},
        {"Tag": "StudyDate", "Action": "Replace", "Value": "{SeriesDate}"},
        {"Tag": "PatientName", "Action": "Replace", "Value": "Müller^Ä"},
        {"Tag": "0008,0009", "Action": "Keep"},
        {"Pixels": {"Keep": True}},
        {"Pixels": {"Fill": [[0, "Rows - 60", "Columns // 2", 60]], "Detect": "Text"}},
    ],
)
def test_what_is_right_is_accepted(rule):
    assert len(accepted(rule).rules) == 1


def test_every_problem_is_told_at_once():
    found = problems(
        {
            "Name": "a b",
            "Options": ["Everything"],
            "Dates": {"RangeDays": [3, 2]},
            "Rules": [
                {"Tag": "Modalty", "Action": "Keep", "Bins": 5, "Value": "x"},
                {"Tag": "Modality", "VR": "ZZ", "Action": "Regex", "Pattern": "("},
                {"Pixels": {"Fill": [["1 +", 0, 1, -1]]}, "Action": "Keep", "Prefix": "x"},
            ],
            "Recipients": ["x"],
        }
    )
    assert sorted({problem.partition(": ")[0] for problem in found}) == [
        "$.Dates.RangeDays",
        "$.Name",
        "$.Options[0]",
        "$.Recipients[0]",
        "$.Rules[0].Bins",
        "$.Rules[0].Tag",
        "$.Rules[0].Value",
        "$.Rules[1]",
        "$.Rules[1].Pattern",
        "$.Rules[1].VR",
        "$.Rules[1].With",
        "$.Rules[2].Pixels.Fill[0][0]",
        "$.Rules[2].Pixels.Fill[0][3]",
    ]


def test_encryption_needs_recipients():
    rule = {"Tag": "PatientID", "Action": "Encrypt"}
    (problem,) = rule_problems({"Tag": "Modality", "Action": "Keep"}, rule)
    assert problem == "$.Recipients: $.Rules[1] encrypts, which needs a recipient"
    assert accepted(rule, Recipients=[certificate()]).recipients == (certificate(),)


def described(field: dict[str, Any], definitions: dict[str, Any]) -> bool:
    """Return whether a field, or what it refers to, has a description."""
    referred = definitions.get(field.get("$ref", "").rpartition("/")[2], {})
    return bool(field.get("description") or referred.get("description"))


def test_the_schema_describes_every_field():
    schema = Profile.model_json_schema(by_alias=True)
    assert set(schema["properties"]) == Profile.field_names()
    models = [schema, *(about for about in schema["$defs"].values() if "properties" in about)]
    fields = [field for model in models for field in model["properties"].items()]
    conditions = set(Condition.field_names())
    missing = [name for name, about in fields if not described(about, schema["$defs"])]
    assert set(missing) <= conditions
    assert set(schema["$defs"]["Option"]["enum"]) == set(Option)


FIELDS = {
    "Tag": st.sampled_from(["Modality", "PatientID", "(60xx,3000)", "nothing", ""]),
    "VR": st.sampled_from(["CS", "UI", "", "Q"]),
    "Keyword": st.text("Patien*?", max_size=6),
    "PrivateCreator": st.text("AB*? \\", max_size=4),
    "Action": st.sampled_from([*Action, "Other"]),
    "Value": st.one_of(st.text("{}a", max_size=4), st.integers(), st.lists(st.text(max_size=2))),
    "Pattern": st.text("()a\\*[", max_size=5),
    "With": st.text("\\0129a", max_size=4),
    "Scheme": st.sampled_from(["Text", "Lookup", "Number"]),
    "Prefix": st.text(max_size=4),
    "Length": st.integers(-1, 70),
    "Bins": st.integers(-1, 5),
    "To": st.sampled_from(["Year", "Day"]),
    "Table": st.text(max_size=3),
    "Otherwise": st.sampled_from(["Refuse", "Keep"]),
}


@given(st.fixed_dictionaries({}, optional=FIELDS))
def test_any_rule_is_accepted_or_every_problem_has_its_path(rule):
    try:
        accepted(rule)
        found = []
    except InvalidModel as error:
        found = error.problems or ["none is told"]
    assert [problem for problem in found if not problem.startswith("$.Rules[0]")] == []
