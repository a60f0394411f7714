"""The profiles that come along."""

import pytest

from curator.anonymize import tables
from curator.anonymize.conformance import statement
from curator.anonymize.profile import Option, Profile
from curator.anonymize.resolve import Resolver
from curator.anonymize.shipped import shipped
from curator.models import validate

PROFILES = shipped()


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_every_profile_is_valid_and_resolves(name):
    profile = PROFILES[name]
    assert profile.name == name
    assert profile.description
    content = profile.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert validate(Profile, content) == profile
    resolver = Resolver(profile, tables.load())
    assert len(resolver.table()) >= 657
    assert statement(profile, resolver)


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_no_profile_protects_less_than_the_standard(name):
    resolver = Resolver(PROFILES[name], tables.load())
    assert [one for one in resolver.deviations if one.weaker] == []
    assert resolver.codes()[0] == ("113100", "Basic Application Confidentiality Profile")
    assert len(resolver.codes()) == 1 + len(PROFILES[name].options)


def test_the_names_that_users_rely_on_are_there():
    expected = {"basic", "basic-clean", "research", "research-pixels", "full-dates"}
    assert expected <= set(PROFILES)
    assert PROFILES["basic"].options == ()
    assert Option.CLEAN_PIXEL_DATA in PROFILES["research-pixels"].options
