"""The report adds up what was done, and tells no values."""

from curator.anonymize.decision import Action
from curator.anonymize.report import Report
from curator.anonymize.result import Anonymized


def anonymized(**fields) -> Anonymized:
    return Anonymized(b"", "SUBJECT", **fields)


def test_actions_are_counted_over_instances_and_by_element_where_asked_for():
    report = Report()
    one = {(Action.REMOVE, "PatientAddress"): 1, (Action.UID, "StudyInstanceUID"): 2}
    other = {(Action.REMOVE, "StudyComments"): 1, (Action.EMPTY, "PatientAddress"): 1}
    report.add(anonymized(counts=one))
    report.add(anonymized(counts=other))
    assert report.instances == 2
    assert report.describe(by_element=False)["Actions"] == {"Empty": 1, "Remove": 2, "Uid": 2}
    assert "Elements" not in report.describe(by_element=False)
    assert report.describe(by_element=True)["Elements"] == {
        "PatientAddress": {"Empty": 1, "Remove": 1},
        "StudyComments": {"Remove": 1},
        "StudyInstanceUID": {"Uid": 2},
    }


def test_rules_and_warnings_count_instances_however_often_they_occur_in_one():
    report = Report()
    for _ in range(3):
        report.add(anonymized(pixel_rules=("$.Rules[1]",) * 2, warnings=("odd", "odd")))
    described = report.describe(by_element=False)
    assert described["PixelRules"] == [{"Rule": "$.Rules[1]", "InstancesCount": 3}]
    assert described["Warnings"] == [{"Text": "odd", "InstancesCount": 3}]


def test_private_elements_are_named_once():
    report = Report()
    report.add(anonymized(kept_private=('(0019,"A",01)', '(0019,"A",01)')))
    report.add(anonymized(kept_private=('(0019,"A",00)',)))
    assert report.describe(by_element=False)["KeptPrivate"] == ['(0019,"A",00)', '(0019,"A",01)']


def test_refused_instances_are_named_with_the_reason():
    report = Report()
    report.refuse("b", "no reason")
    report.refuse("a", "another one")
    assert report.describe(by_element=False)["Refused"] == [
        {"ID": "a", "Details": "another one"},
        {"ID": "b", "Details": "no reason"},
    ]
    assert report.instances == 0
