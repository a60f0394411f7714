"""The README says everything that users can say to Curator."""

import json
import re
from pathlib import Path

import pytest

from curator import config
from curator.anonymize import profile
from curator.anonymize.decision import Action
from curator.anonymize.pixels.risk import RISKY_MODALITIES
from curator.anonymize.protected import RULED_BY_OPTION
from curator.anonymize.request import BulkAnonymizeRequest
from curator.anonymize.shipped import shipped
from curator.conditions import Condition
from curator.config import Settings
from curator.definition_files import Source
from curator.models import validate
from curator.reshape import find_duplicates
from curator.reshape.consensus import PatientStudy
from curator.reshape.criteria import READY_SETS
from curator.reshape.duplicates import Duplicates
from curator.reshape.find_duplicates import FindDuplicatesRequest
from curator.reshape.merge_request import (
    MergeRequest,
    PatientMergeRequest,
    PatientSplitRequest,
    Rule,
    SeriesMergeRequest,
)
from curator.reshape.options import OnConflict
from curator.reshape.repair import References
from curator.reshape.request import By, ExplicitGroup, Into, Missing, SplitRequest
from curator.route import condition, decide, kinds, receive_rule, rule, step
from curator.route.breaker import BreakerState
from curator.route.decide import Reason
from curator.route.deliveries_rest import DeliveryFilter, RedirectFilter
from curator.route.replay import ReplayRequest
from curator.route.rules_rest import RollbackRequest, RunRequest
from curator.route.runs_rest import RunFilter
from curator.route.trial_rest import TrialRequest
from endpoints import registered

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")

JOB_FIELDS = {"Asynchronous", "Synchronous", "Priority", "UserData"}

WORDS = {
    *Settings.field_names(),
    *SplitRequest.field_names(),
    *MergeRequest.field_names(),
    *SeriesMergeRequest.field_names(),
    *PatientMergeRequest.field_names(),
    *PatientSplitRequest.field_names(),
    *FindDuplicatesRequest.field_names(),
    *BulkAnonymizeRequest.field_names(),
    *profile.Profile.field_names(),
    *profile.Dates.field_names(),
    *profile.Uids.field_names(),
    *profile.Pixels.field_names(),
    *profile.Rule.field_names(),
    *profile.PixelRule.field_names(),
    *profile.Option,
    *profile.OptionsMeet,
    *profile.Scheme,
    *profile.DatePart,
    *profile.PixelSyntax,
    *profile.Residual,
    *(set(Action) - RULED_BY_OPTION),
    *RISKY_MODALITIES,
    *shipped(),
    *Source,
    *find_duplicates.By,
    *Duplicates,
    *OnConflict,
    *PatientStudy,
    *References,
    *Rule,
    *Condition.field_names(),
    *(By.field_names() - {"ReadySet"}),  # written as the name alone
    *ExplicitGroup.field_names(),
    *READY_SETS,
    *Into,
    *Missing,
    *config.Webhook.field_names(),
    *config.WebhookContent,
    *config.Folder.field_names(),
    *config.DestinationSettings.field_names(),
    *config.Alerts.field_names(),
    *rule.RuleSet.field_names(),
    *rule.Rule.field_names(),
    *rule.Complete.field_names(),
    *rule.Batch.field_names(),
    *rule.Retry.field_names(),
    *rule.Schedule.field_names(),
    *rule.RuleTest.field_names(),
    *rule.Else,
    *rule.AtDeadline,
    *condition.RuleCondition.field_names(),
    *condition.SourceCondition.field_names(),
    *condition.Origin,
    *condition.Counted,
    *step.Step.field_names(),
    *step.AnonymizeStep.field_names(),
    *step.ModifyStep.field_names(),
    *step.MergeStep.field_names(),
    *step.LabelStep.field_names(),
    *step.MetadataStep.field_names(),
    *step.SendStep.field_names(),
    *receive_rule.ReceiveRule.field_names(),
    *receive_rule.Action.field_names(),
    *receive_rule.Rejection.field_names(),
    *receive_rule.ValueMap.field_names(),
    *receive_rule.NotInTable,
    *kinds.Trigger,
    *kinds.RunState,
    *kinds.DeliveryState,
    *kinds.FailureKind,
    *kinds.DestinationKind,
    *BreakerState,
    *(set(Reason) - {Reason.FIRES}),
    *DeliveryFilter.field_names(),
    *RedirectFilter.field_names(),
    *RunFilter.field_names(),
    *RunRequest.field_names(),
    *RollbackRequest.field_names(),
    *TrialRequest.field_names(),
    *(ReplayRequest.field_names() - JOB_FIELDS),
}


@pytest.mark.parametrize("word", sorted(WORDS))
def test_every_word_of_requests_and_settings_is_documented(word):
    assert re.search(rf"\b{word}\b", README)


@pytest.mark.parametrize("setting", sorted(Settings.field_names()))
def test_every_setting_is_in_the_configuration_that_comes_along(setting):
    assert f'"{setting}"' in (REPOSITORY / "orthanc.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("pattern", sorted(endpoint.pattern for endpoint in registered()))
def test_every_route_is_documented(pattern):
    assert f"| `{pattern}` |" in README


ROUTE = README.partition("\n## Route\n")[2].partition("\n## Limits\n")[0]

EXAMPLES = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", ROUTE, re.DOTALL)]
EXAMPLES += [
    json.loads(text) for text in re.findall(r"/rules/[\w-]+ -d '(\{.*?\})'", ROUTE, re.DOTALL)
]


def test_every_rule_in_the_text_can_be_used():
    kinds_seen = set()
    for example in EXAMPLES:
        if "Curator" in example:
            config.load({"Python": {"AllowThreads": True}, **example})
            kinds_seen.add("configuration")
        elif "Receive" in example:
            receive_rule.read_rules(example["Receive"], {})
            kinds_seen.add("receive")
        else:
            rules = validate(rule.RuleSet, {"Rules": [{"Name": "unnamed", **example}]})
            assert decide.test_failures(rules) == []
            kinds_seen.add("rule")
    assert kinds_seen == {"configuration", "receive", "rule"}


LUA = [
    "OnStoredInstance",
    "OnStablePatient",
    "OnStableStudy",
    "OnStableSeries",
    "OnDeletedPatient",
    "OnDeletedStudy",
    "OnDeletedSeries",
    "OnDeletedInstance",
    "OnUpdatedPatient",
    "OnUpdatedStudy",
    "OnUpdatedSeries",
    "OnUpdatedInstance",
    "OnJobSubmitted",
    "OnJobSuccess",
    "OnJobFailure",
    "OnHeartBeat",
    "Initialize",
    "Finalize",
    "ReceivedInstanceFilter",
    "ReceivedCStoreInstanceFilter",
    "OutgoingCStoreInstanceFilter",
    "IncomingFindRequestFilter",
    "IncomingWorklistRequestFilter",
    "OutgoingFindRequestFilter",
    "IncomingHttpRequestFilter",
    "SendToModality",
    "SendToPeer",
    "ModifyInstance",
    "ModifyResource",
    "Delete",
    "CallSystem",
    "PrintRecursive",
    "HttpGet",
    "HttpPost",
    "HttpPut",
    "HttpDelete",
    "SetHttpCredentials",
    "SetHttpTimeout",
    "RestApiGet",
    "RestApiPost",
    "RestApiPut",
    "RestApiDelete",
    "ParseJson",
    "DumpJson",
    "print",
    "GetOrthancConfiguration",
    "SetStableStatus",
    "StoreKeyValue",
    "GetKeyValue",
    "DeleteKeyValue",
]
"""Every callback and function that the sources of Orthanc 1.13.0 give to Lua scripts."""


@pytest.mark.parametrize("name", LUA)
def test_every_callback_and_function_of_lua_has_its_row(name):
    rows = [line for line in ROUTE.partition("### From Lua")[2].splitlines() if line[:3] == "| `"]
    assert [row for row in rows if f"`{name}`" in row.split("|")[1]]
