"""A profile that was accepted can be used: it anonymizes an instance, or refuses it by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.anonymize.anonymizers import Anonymizers
from curator.anonymize.catalog import Reader
from curator.anonymize.conformance import statement
from curator.anonymize.errors import Refused
from curator.anonymize.profile import Profile
from curator.anonymize.request import AnonymizeRequest
from curator.anonymize.setup import Anonymization, prepare
from curator.config import Settings
from curator.dicom.engine import opened
from curator.dicom.errors import DicomError
from curator.models import InvalidModel, validate
from curator.store import Store
from factory import make_instance
from unit.anonymize.planted import with_secrets
from unit.fuzz.cases import cases
from unit.fuzz.hostile import damaged, json_values
from unit.fuzz.seeds import seeds
from unit.fuzz.test_models_fuzz import check_problems

INSTANCES = (
    with_secrets(make_instance()),
    with_secrets(make_instance(Modality="US", PatientID="")),
)

PROFILES = seeds(Profile)
RULES = tuple(rule for profile in PROFILES for rule in profile.get("Rules", ()))


@pytest.fixture(scope="module")
def anonymization():
    store = Store("sqlite://")
    yield prepare(Settings(), {}, Path(), {"CURATOR_KEY": "00" * 32}, store)
    store.close()


def use(anonymization: Anonymization, profile: Profile) -> None:
    """Anonymize by a profile, and state what it claims."""
    anonymizer = Anonymizers(anonymization, "ISO_IR 100", None)(profile, preview=True)
    for dicom in INSTANCES:
        try:
            result = anonymizer.anonymize(dicom, explain=True).dicom
        except (Refused, DicomError):
            continue
        assert opened(result).site.tags
    assert statement(profile, anonymization.catalog.resolver(profile))


@st.composite
def profiles(draw: st.DrawFn) -> Any:
    """Draw a profile with rules that were spoiled one by one, so that more of them are accepted."""
    rules = draw(st.lists(damaged(RULES) | st.sampled_from(RULES), min_size=1, max_size=3))
    return {"Name": "a", "Tables": {"t": {"a": "b"}}, "Rules": rules}


def test_what_is_accepted_can_be_used(anonymization):
    accepted = []

    @cases(60)
    @given(profiles() | damaged(PROFILES))
    def check(value: Any) -> None:
        try:
            profile = Reader({})(value)
        except InvalidModel as error:
            check_problems(error.problems, value)
        else:
            accepted.append(profile)
            use(anonymization, profile)

    check()
    assert accepted


def test_what_a_request_adds_to_a_profile_can_be_used_or_is_refused_where_it_stands(anonymization):
    basic = anonymization.catalog.get("basic")[0]

    @cases(30)
    @given(damaged(seeds(AnonymizeRequest)) | json_values())
    def check(value: Any) -> None:
        try:
            request = validate(AnonymizeRequest, value)
            profile = request.profile_with_rules(basic)
        except InvalidModel as error:
            check_problems(error.problems, value)
        else:
            use(anonymization, profile)

    check()
