"""Good bodies of every model that reads JSON from outside, to be spoiled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from curator.anonymize.profile import Profile
from curator.anonymize.request import (
    AnonymizeRequest,
    BuiltinRequest,
    BulkAnonymizeRequest,
    ProfileRequest,
)
from curator.conditions import Condition
from curator.config import Settings
from curator.models import InvalidModel, Model, validate
from curator.reshape.find_duplicates import FindDuplicatesRequest
from curator.reshape.merge_request import (
    MergeRequest,
    PatientMergeRequest,
    PatientSplitRequest,
    SeriesMergeRequest,
)
from curator.reshape.options import PlannedRequest
from curator.reshape.request import SplitRequest
from curator.route.condition import RuleCondition
from curator.route.deliveries_rest import DeliveryFilter, RedirectFilter, RedirectRequest
from curator.route.receive_rule import ReceiveRule
from curator.route.replay import ReplayRequest
from curator.route.rule import Rule, RuleSet
from curator.route.rules_rest import RollbackRequest, RunRequest
from curator.route.runs_rest import RunFilter
from curator.route.trial_rest import TrialRequest
from unit.fuzz.hostile import EXAMPLES

_JOB: dict[str, Any] = {"Asynchronous": True, "Priority": 3, "UserData": {"a": [1]}}
_OPERATION: dict[str, Any] = {
    **_JOB,
    "Force": True,
    "KeepSource": False,
    "References": "Report",
    "Permissive": True,
    "OperationId": "op-1",
    "Plan": "0" * 64,
}
_CONDITION: dict[str, Any] = {
    "All": [
        {"Tag": "Modality", "In": ["CT", 1, 2.5]},
        {"Any": [{"Tag": "EchoTime", "Between": [1, 5]}, {"Tag": "StudyDate", "Exists": True}]},
        {"Not": {"Tag": "ImageType", "Matches": "(a|b)+"}},
    ]
}

OWN: dict[type[Model], list[Any]] = {
    Profile: [
        {
            "Name": "a",
            "Options": ["CleanDescriptors", "RetainSafePrivate", "CleanPixelData"],
            "OptionsMeet": "Permissive",
            "Dates": {"Shift": "PerPatient", "RangeDays": [-10, 10]},
            "Tables": {"t": {"a": "b"}},
            "Rules": [
                {"Tag": "PatientID", "Action": "Pseudonym", "Prefix": "T-", "Length": 8},
                {"Tag": "PatientAge", "Action": "Generalize", "Bins": 5, "Above": 89},
                {"VR": "DA", "Action": "ShiftDate"},
                {"Keyword": "*Date*", "Action": "Remove"},
                {"PrivateCreator": "X*", "Action": "Keep"},
                {"Tag": "StudyID", "Action": "Replace", "Value": "{StudyID}-{Modality}"},
                {"Tag": "Rows", "Action": "Replace", "Value": 5},
                {"Tag": "AccessionNumber", "Action": "Lookup", "Table": "t", "Otherwise": "Empty"},
                {"Tag": "StudyDescription", "Action": "Regex", "Pattern": "(x)", "With": "\\1"},
                {"Tag": "RequestAttributesSequence[*].RequestedProcedureID", "Action": "Hash"},
                {"When": _CONDITION, "Pixels": {"Fill": [[0, 0, "Columns / 2", 60]]}},
            ],
            "Residual": "Report",
            "Mapping": True,
        }
    ],
    AnonymizeRequest: [{"Profile": "basic", "Replace": {"StudyID": 1}, "Keep": ["Rows"], **_JOB}],
    BulkAnonymizeRequest: [{"Profile": {"Name": "a"}, "Resources": ["x"], **_JOB}],
    ProfileRequest: [{"Profile": "basic", "Remove": ["StudyDate"], "DryRun": True}],
    BuiltinRequest: [{"Replace": {"PatientID": "x"}, "Force": True, "Transcode": "1.2", **_JOB}],
    Condition: [_CONDITION],
    FindDuplicatesRequest: [{"Resources": ["x"], "By": ["Pixels", "File"], **_JOB}],
    MergeRequest: [{"Resources": ["x"], "OnConflict": "Target", **_OPERATION}],
    SeriesMergeRequest: [{"Resources": ["x"], "Duplicates": "KeepFirst", **_OPERATION}],
    PatientMergeRequest: [{"Resources": ["x"], "OnConflict": "Target", **_OPERATION}],
    PatientSplitRequest: [{"By": ["Demographics"], "Naming": "{PatientID}-{Index}", **_OPERATION}],
    SplitRequest: [
        {
            "By": [
                "EchoTime",
                {"Tag": "FlipAngle", "Tolerance": 0.5},
                {"Tag": "SeriesDescription", "Matches": "^(.*)_"},
                {"Orientation": 0.01},
                {"Gap": "AcquisitionDateTime", "Seconds": 1800},
            ],
            "Into": "Series",
            "Where": _CONDITION,
            "Naming": {"SeriesDescription": "{SeriesDescription} TE={EchoTime:08.2f}"},
            "Replace": {"StudyDescription": "x", "RequestAttributesSequence": [{"StudyID": "1"}]},
            "Remove": ["StudyID"],
            **_OPERATION,
        },
        {"By": [{"Groups": [{"Name": "a", "Series": ["x"], "Instances": ["y"]}]}]},
    ],
    PlannedRequest: [{"DryRun": True, **_JOB}],
    DeliveryFilter: [{"State": "Parked", "Destination": "peer:x", "Rule": "a", "Run": "b"}],
    RedirectFilter: [{"All": True, "To": "peer:y"}],
    RedirectRequest: [{"To": "peer:y"}],
    ReplayRequest: [{"Rules": ["a"], "Query": {"PatientID": "*"}, "Labels": ["x"], **_JOB}],
    RuleSet: [],
    Rule: [
        {
            "Name": "all",
            "When": "StableStudy",
            "If": {"All": [_CONDITION, {"Source": {"RemoteAet": "CT*"}}]},
            "Complete": {"Quiet": 5, "Series": [{"Tag": "Modality", "Equals": "CT"}],
                         "Counts": {"Series": 2}, "Deadline": 60, "Then": "Alert"},
            "Then": [
                {"Modify": {"Replace": {"StudyDescription": "x"}, "Remove": ["StudyID"]}},
                {"Split": {"By": ["EchoTime"]}},
                {"Merge": {"Same": ["AccessionNumber"]}},
                {"Transcode": "1.2.840.10008.1.2.1"},
                {"Label": {"Add": ["a"]}},
                {"Metadata": {"Set": {"1024": "x"}}},
                {"Send": {"To": ["modality:x"], "StorageCommitment": True, "CheckCount": True}},
            ],
            "Retry": {"Attempts": 3, "First": 1, "Max": 9, "MaxAge": 2},
            "Window": "Mon-Fri 18:00-07:00; Sat,Sun",
        },
        {
            "Name": "nightly",
            "When": "Schedule",
            "Schedule": {"At": ["Mon-Fri 02:30"], "Level": "Study", "Query": {"Modality": "CT"}},
            "Then": [{"Label": {"Add": ["seen"]}}],
        },
    ],
    RunRequest: [{"Resources": ["x"]}],
    RollbackRequest: [{"To": 3}],
    RunFilter: [{"State": "Failed", "Rule": "a", "Resource": "x"}],
    TrialRequest: [{"Resource": "x", "Rules": [{"Name": "a"}], "Trigger": "StableStudy"}],
    RuleCondition: [{"Any": [{"Source": {"RemoteIp": "10.0.0.0/8"}}, {"Count": "Series",
                             "Between": [1, 9]}, {"Time": "Mon 08:00-09:00"}, {"Label": "a*"}]}],
    ReceiveRule: [{"Name": "a", "If": _CONDITION, "Then": {"Reject": {"Dimse": "0xA700"}}}],
    Settings: [],
}  # fmt: skip


def seeds(model: type[Model]) -> tuple[Any, ...]:
    """Return what a model takes, of ours and of all that the README shows."""
    shown = [part for example in EXAMPLES for part in _parts(example) if _fits(model, part)]
    return (*OWN[model], *shown)


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _parts(inner)


def _fits(model: type[Model], value: dict[str, Any]) -> bool:
    try:
        validate(model, value)
    except InvalidModel:
        return False
    return bool(value)
