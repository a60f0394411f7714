"""Rules and rule sets, as they are written."""

import json

import pytest

from curator.level import Level
from curator.models import InvalidModel, validate
from curator.route.rule import MAX_RULES, Mention, Rule, RuleSet, schema

SEND = {"Send": "peer:research"}

DESIGN = {
    "Name": "ct-to-research",
    "Version": "2",
    "When": "StableStudy",
    "Priority": 50,
    "If": {
        "All": [
            {"Tag": "Modality", "In": ["CT", "PT"]},
            {"Tag": "StudyDescription", "Like": "*THORAX*"},
            {"Source": {"RemoteAet": "CT*"}},
            {"Not": {"Label": "no-research"}},
        ]
    },
    "Then": [
        {"Anonymize": {"Profile": "trial-ct"}},
        {"Send": ["peer:research", "modality:AI_NODE"]},
    ],
    "Retry": {"Attempts": 12, "First": 30, "Max": 3600},
    "Window": "Mon-Fri 18:00-07:00",
    "Else": "Continue",
}

EVERYTHING = {
    **DESIGN,
    "Name": "everything",
    "Complete": {
        "Quiet": 30,
        "Series": [{"Tag": "Modality", "Equals": "SR"}],
        "Counts": {"Series": 2},
        "Deadline": 7200,
        "Then": "Alert",
    },
    "Then": [
        {"Label": {"Add": ["routing"], "Remove": ["new"]}},
        {"Metadata": {"Set": {"Routed": "yes"}, "Remove": ["1030"]}},
        {"Merge": {"Same": ["AccessionNumber", "0008-0020"], "OnConflict": "Target"}},
        {"Split": {"By": ["EchoTime"], "Into": "Series"}},
        {"Modify": {"Replace": {"PatientID": "X"}, "Keep": ["SOPInstanceUID"], "Force": True}},
        {"Transcode": "1.2.840.10008.1.2.4.80"},
        {"Send": {"To": "modality:PACS", "StorageCommitment": True, "CheckCount": True}},
        {"Send": "webhook:ris"},
    ],
    "Stop": True,
    "ReturnToSender": True,
    "KeepCopies": True,
    "Tests": [
        {"Name": "a CT", "Tags": {"Modality": ["CT", "SR"], "StudyDescription": "a thorax b"},
         "Source": {"RemoteAet": "CT_1"}, "Labels": ["x"], "Fires": True},
    ],
}  # fmt: skip


def rule(when: str = "StableStudy", **fields: object) -> dict[str, object]:
    """Return a rule as it is written; fields with an underscore are those that Python reserves."""
    named = {name.rstrip("_"): value for name, value in fields.items()}
    return {"Name": "r", "When": when, "Then": [SEND], **named}


def read(written: dict[str, object]) -> Rule:
    return validate(Rule, written)


def problems(written: dict[str, object]) -> list[str]:
    with pytest.raises(InvalidModel) as raised:
        read(written)
    return raised.value.problems


VALID = {
    "design": DESIGN,
    "everything": EVERYTHING,
    "batch": rule("StoredInstance", Batch={"Seconds": 5, "Instances": 10}),
    "label": rule("Label", Label="send-me"),
    "manual": rule("Manual", Then=[{"Delete": True}]),
    "heartbeat": rule("Schedule", Schedule={"Every": 5}, Then=[{"Send": "webhook:alive"}]),
    "nightly": rule(
        "Schedule",
        Schedule={"At": ["02:00"], "Level": "Study", "Query": {"StudyDate": "-20200101"}},
        Then=[SEND, {"Delete": True}],
    ),
    "notice": rule(
        "Deleted", If={"All": [{"Time": "Mon"}, {"Metadata": "x", "Exists": False}]},
        Then=[{"Send": ["webhook:a", "webhook:b"]}],
    ),
    "kept": rule(Then=[{"Anonymize": {"Profile": "p"}}], KeepCopies=True),
    "patient": rule(
        "StablePatient",
        If={"Count": "Studies", "Between": [2, 9]},
        Then=[{"Modify": {"Replace": {"0010,0020": "X"}, "Force": True}}, SEND],
    ),
}  # fmt: skip


@pytest.mark.parametrize("written", VALID.values(), ids=VALID)
def test_a_rule_that_was_read_is_read_again_from_what_it_is_written_as(written):
    first = read(written)
    for options in ({}, {"exclude_unset": True}, {"exclude_defaults": True}):
        again = first.model_dump(mode="json", by_alias=True, **options)
        assert read(json.loads(json.dumps(again))) == first


@pytest.mark.parametrize(
    ("send", "expected"),
    [
        ("peer:a", ("peer:a",)),
        (["peer:a", "modality:b"], ("peer:a", "modality:b")),
        ({"To": "folder:a"}, ("folder:a",)),
        ({"To": ["webhook:a", "dicomweb:b"]}, ("webhook:a", "dicomweb:b")),
    ],
)
def test_destinations_are_written_in_any_of_three_ways(send, expected):
    step = read(rule(Then=[{"Send": send}])).then[0]
    assert step.send is not None
    assert step.send.to == expected
    assert step.kind == "Send"


NO_DESTINATION = "is no destination, as modality:NAME, peer:NAME, dicomweb:NAME, webhook:NAME,"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        # steps
        (rule(Then=[]), "$.Then: "),
        (rule(Then=[{}]), "$.Then[0]: needs exactly one of Anonymize, Delete, Label, Merge"),
        (rule(Then=[{"Delete": True, **SEND}]), "$.Then[0]: needs exactly one of"),
        (rule(Then=[SEND, {"Delet": True}]), '$.Then[1].Delet: unknown field, did you mean'),
        (rule(Then=[{"Delete": False}]), "$.Then[0].Delete: can only be true"),
        (rule(Then=[{"Send": "research"}]), f'$.Then[0].Send: "research" {NO_DESTINATION}'),
        (rule(Then=[{"Send": "peers:x"}]), 'did you mean "peer"?'),
        (rule(Then=[{"Send": "peer:"}]), f'$.Then[0].Send: "peer:" {NO_DESTINATION}'),
        (rule(Then=[{"Send": ["peer:a", "x"]}]), f'$.Then[0].Send[1]: "x" {NO_DESTINATION}'),
        (rule(Then=[{"Send": {"To": "x"}}]), f'$.Then[0].Send.To: "x" {NO_DESTINATION}'),
        (rule(Then=[{"Send": {"To": ["x"]}}]), f'$.Then[0].Send.To[0]: "x" {NO_DESTINATION}'),
        (rule(Then=[{"Send": ["peer:a", "peer:b", "peer:a"]}]),
         '$.Then[0].Send[2]: "peer:a" is there twice'),
        (rule(Then=[{"Send": []}]), "$.Then[0].Send: needs a destination at least"),
        (rule(Then=[{"Send": {"To": []}}]), "$.Then[0].Send.To: needs a destination at least"),
        (rule(Then=[{"Send": {}}]), "$.Then[0].Send.To: this field is required"),
        (rule(Then=[{"Send": 5}]), "$.Then[0].Send"),
        (rule(Then=[{"Send": [5]}]), "$.Then[0].Send.To[0]"),
        (rule(Then=[{"Send": {"To": "peer:a", "StorageCommitment": True}}]),
         '$.Then[0].Send: "StorageCommitment" is for modalities'),
        (rule(Then=[{"Send": {"To": "peer:a", "CheckCount": True}}]),
         '$.Then[0].Send: "CheckCount" is for modalities and DICOMweb servers'),
        (rule(Then=[{"Anonymize": {"Profile": ""}}, SEND]), "$.Then[0].Anonymize.Profile: "),
        (rule(Then=[{"Modify": {}}, SEND]), '$.Then[0].Modify: needs "Replace", "Remove" or'),
        (rule(Then=[{"Modify": {"Remove": ["Modalty"]}}, SEND]),
         "$.Then[0].Modify.Remove[0]: Unknown tag"),
        (rule(Then=[{"Modify": {"Replace": {"Modalty": ""}}}, SEND]),
         "$.Then[0].Modify.Replace.Modalty: Unknown tag"),
        (rule(Then=[{"Modify": {"Replace": {"PatientID": "X"}}}, SEND]),
         '$.Then[0].Modify.Replace.PatientID: needs "Force": true'),
        (rule(Then=[{"Modify": {"Remove": ["Rows"], "Keep": ["SOPInstanceUID"]}}, SEND]),
         '$.Then[0].Modify.Keep[0]: needs "Force": true'),
        (rule(Then=[{"Modify": {"Remove": ["StudyInstanceUID"], "Force": True}}, SEND]),
         "$.Then[0].Modify.Remove[0]: cannot be removed"),
        (rule(Then=[{"Split": {"Series": ["x"]}}, SEND]), '$.Then[0].Split: needs "By"'),
        (rule(Then=[{"Split": {"By": ["EchoTime"], "Asynchronous": True}}, SEND]),
         "$.Then[0].Split.Asynchronous: is not for rules"),
        (rule(Then=[{"Merge": {"Same": ["Acession"]}}]), "$.Then[0].Merge.Same: Unknown tag"),
        (rule(Then=[{"Merge": {"OnConflict": "Targt"}}]), 'did you mean "Target"?'),
        (rule(Then=[{"Transcode": "1.2.3"}, SEND]), "$.Then[0].Transcode: is no transfer syntax"),
        (rule(Then=[{"Label": {}}]), '$.Then[0].Label: needs "Add" or "Remove"'),
        (rule(Then=[{"Label": {"Add": ["a"], "Remove": ["a"]}}]),
         "$.Then[0].Label.Remove[0]: is added as well"),
        (rule(Then=[{"Metadata": {}}]), '$.Then[0].Metadata: needs "Set" or "Remove"'),
        (rule(Then=[{"Metadata": {"Set": {"a": 5}}}]), "$.Then[0].Metadata.Set.a"),
        # their order
        (rule(Then=[{"Delete": True}, SEND]), '$.Then[0]: "Delete" must be the last step'),
        (rule(Then=[{"Merge": {}}, {"Delete": True}]), "$.Then[1].Delete: what was merged"),
        (rule(Then=[SEND, {"Transcode": "1.2.840.10008.1.2"}]),
         '$.Then[1].Transcode: has no effect without a "Send"'),
        (rule(Then=[{"Anonymize": {"Profile": "p"}}]),
         '$.Then[0].Anonymize: has no effect without a "Send"'),
        # where steps make sense
        (rule("StablePatient", Then=[{"Split": {"By": ["EchoTime"]}}]),
         '$.Then[0].Split: works on studies and series, not with "When": "StablePatient"'),
        (rule("StoredInstance", Then=[{"Split": {"By": ["EchoTime"]}}]), "$.Then[0].Split: works"),
        (rule("StableSeries", Then=[{"Merge": {}}]), "$.Then[0].Merge: works on studies, not"),
        (rule("StablePatient", Then=[{"Modify": {"Remove": ["Rows"]}}, SEND]),
         "$.Then[0].Modify: a patient needs another ID"),
        (rule("Deleted"), "$.Then[0].Send: rules with"),
        (rule("Job", Then=[{"Delete": True}]), "$.Then[0].Delete: rules with"),
        (rule("Updated", Then=[{"Send": ["webhook:a", "peer:b"]}]), "and can only"),
        (rule("Schedule", Schedule={"Every": 5}),
         '$.Then[0].Send: rules with "When": "Schedule" and no "Level" have nothing to work on'),
        # fields that need each other
        (rule("Label"), '$.Label: this field is required with "When": "Label"'),
        (rule(Label="x"), '$.Label: is only for rules with "When": "Label"'),
        (rule("Schedule"), '$.Schedule: this field is required with "When": "Schedule"'),
        (rule(Schedule={"Every": 5}), '$.Schedule: is only for rules with "When": "Schedule"'),
        (rule(Batch={"Seconds": 2}), '$.Batch: is only for rules with "When": "StoredInstance"'),
        (rule(Else="Stop"), '$.Else: is never used without "If"'),
        (rule("StoredInstance", Complete={"Quiet": 5}), "$.Complete: is only for rules with one"),
        (rule("Manual", Complete={"Quiet": 5}), "StableStudy, StablePatient, CompletedSeries"),
        (rule(Complete={}), '$.Complete: needs "Quiet", "Series" or "Counts"'),
        (rule(Complete={"Counts": {"Studies": 2}}), "$.Complete.Counts.Studies: there are no stud"),
        (rule(Complete={"Counts": {"Images": 2}}), "$.Complete.Counts.Images"),
        (rule(Complete={"Counts": {"Series": 0}}), "$.Complete.Counts.Series"),
        (rule("StableSeries", Complete={"Series": [{"Label": "x"}]}), "$.Complete.Series: there"),
        (rule(Complete={"Series": [{"Not": {"Count": "Series", "Equals": 1}}]}),
         "$.Complete.Series[0].Not.Count: there are no series below the level Series"),
        (rule(If={"All": [{"Count": "Studies", "Equals": 1}]}), "$.If.All[0].Count: there are no"),
        (rule("StoredInstance", If={"Count": "Instances", "Equals": 1}), "$.If.Count: there"),
        (rule("Deleted", If={"Tag": "Modality", "Exists": True}, Then=[{"Send": "webhook:a"}]),
         '$.If: only "Time" and "Metadata" can be asked with "When": "Deleted"'),
        (rule(Retry={"First": 60, "Max": 30}), '$.Retry: "First" is the least time'),
        (rule(Retry={"Attempts": 0}), "$.Retry.Attempts"),
        (rule(Retry={"First": 1, "Max": 1e300}), "$.Retry.Max"),
        (rule(Retry={"MaxAge": 1e9}), "$.Retry.MaxAge"),
        (rule(Complete={"Quiet": 1, "Deadline": 1e12}), "$.Complete.Deadline"),
        (rule(Complete={"Quiet": 1e300}), "$.Complete.Quiet"),
        (rule(Version="1\n2"), "$.Version"),
        (rule(Then=[{"Send": [f"peer:{i}" for i in range(101)]}]), "$.Then[0].Send"),
        (rule(Then=[{"Send": "peer:a"}] * 101), "$.Then"),
        (rule(Window="18-7"), '$.Window: "18" is no time of day'),
        (rule(If={"Time": "Mon"}, Tests=[{"Name": "t"}]), "$.Tests[0].Time: this field"),
        (rule(Tests=[{"Name": "t", "Tags": {"Modalty": "CT"}}]), "$.Tests[0].Tags.Modalty: U"),
        (rule(Tests=[{"Name": "t", "Time": "Monday"}]), "$.Tests[0].Time: is no date and time"),
        (rule(Tests=[{"Name": "t", "Source": {"RemoteAET": "x"}}]), 'did you mean "RemoteAet"?'),
        (rule(Name="a b"), "$.Name: "),
        (rule(Priority=5.5), "$.Priority"),
        (rule(Then=[{"Send": "peer:x"}], Whn="x"), '$.Whn: unknown field, did you mean "When"?'),
        (rule("StabelStudy"), '$.When: Input should be'),
        (rule("StabelStudy"), 'did you mean "StableStudy"?'),
    ],
)  # fmt: skip
def test_what_is_no_rule_is_refused_where_it_stands(written, expected):
    assert expected in "\n".join(problems(written))


def test_every_problem_is_told():
    found = problems(
        rule(
            "Label",
            Schedule={"Every": 5},
            Then=[
                {"Split": {"By": ["EchoTime"]}},
                {"Delete": True},
                {"Anonymize": {"Profile": "p"}},
            ],
        )
    )
    places = [problem.partition(":")[0] for problem in found]
    assert places == ["$.Label", "$.Schedule", "$.Then[1]", "$.Then[2].Anonymize"]


def test_problems_quote_no_value_of_a_condition():
    name = "Doe^Jane"
    written = rule(
        If={"Tag": "PatientName", "Equals": name, "Like": name},
        Tests=[{"Name": "t", "Tags": {"PatientName": 5}}],
    )
    assert name not in "\n".join(problems(written))


@pytest.mark.parametrize(
    ("written", "level"),
    [
        (rule("StoredInstance"), Level.SERIES),
        (rule("StableSeries"), Level.SERIES),
        (rule("CompletedSeries"), Level.SERIES),
        (rule("StableStudy"), Level.STUDY),
        (rule("StablePatient"), Level.PATIENT),
        (rule("Manual"), None),
        (VALID["label"], None),
        (VALID["nightly"], Level.STUDY),
        (VALID["heartbeat"], None),
    ],
)
def test_a_rule_knows_what_it_fires_for(written, level):
    assert read(written).level is level
    assert read(written).only_tells == (written is VALID["heartbeat"])


# Rule sets


def test_a_set_knows_what_its_rules_mention():
    rules = validate(RuleSet, {"Rules": [DESIGN, EVERYTHING]})
    assert rules.profiles() == [Mention("$.Rules[0].Then[0].Anonymize.Profile", "trial-ct")]
    assert rules.destinations() == [
        Mention("$.Rules[0].Then[1].Send.To[0]", "peer:research"),
        Mention("$.Rules[0].Then[1].Send.To[1]", "modality:AI_NODE"),
        Mention("$.Rules[1].Then[6].Send.To[0]", "modality:PACS"),
        Mention("$.Rules[1].Then[7].Send.To[0]", "webhook:ris"),
    ]
    found = rules.rule("everything")
    assert found is rules.rules[1]
    assert found.destinations() == ["modality:PACS", "webhook:ris"]
    assert rules.rule("nothing") is None


def test_names_are_unique_in_a_set():
    with pytest.raises(InvalidModel) as raised:
        validate(RuleSet, {"Rules": [rule(), DESIGN, rule(), rule()]})
    assert raised.value.problems == [
        '$.Rules[2].Name: there is another rule "r"',
        '$.Rules[3].Name: there is another rule "r"',
    ]


def test_a_set_has_its_limit():
    rules = [rule(Name=f"r{number}") for number in range(MAX_RULES + 1)]
    assert len(validate(RuleSet, {"Rules": rules[:-1]}).rules) == MAX_RULES
    with pytest.raises(InvalidModel, match="1000"):
        validate(RuleSet, {"Rules": rules})


def test_the_schema_names_every_field_as_it_is_written():
    found = schema()
    parts = found["$defs"]
    assert {"Rules", "Receive"} == found["properties"].keys()
    assert parts["Rule"]["properties"].keys() == Rule.field_names()
    assert {"If", "Then", "Else", "When"} <= parts["Rule"]["properties"].keys()
    assert {"All", "Any", "Not", "Source", "In"} <= parts["RuleCondition"]["properties"].keys()
    assert {"type": "string"} in parts["Step"]["properties"]["Send"]["anyOf"]
    json.dumps(found)
