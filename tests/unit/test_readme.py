"""The README says everything that users can say to Curator."""

import re
from pathlib import Path

import pytest

from curator.anonymize import profile
from curator.anonymize.decision import Action
from curator.anonymize.definitions import Source
from curator.anonymize.pixels.risk import RISKY_MODALITIES
from curator.anonymize.protected import RULED_BY_OPTION
from curator.anonymize.request import BulkAnonymizeRequest
from curator.anonymize.shipped import shipped
from curator.conditions import Condition
from curator.config import Settings
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
from endpoints import registered

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")

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
