"""What rules have made, and where instances came from."""

import pytest

from curator.level import Level
from curator.route.sender import Place, address_of
from factory import ct_series
from unit.route.running import ANONYMIZE, Clock, Routed, RoutingOrthanc, rule


@pytest.fixture
def routed(store) -> Routed:
    clock = Clock()
    orthanc = RoutingOrthanc(clock)
    orthanc.arrive(ct_series(2))
    return Routed(orthanc, store, clock)


def test_products_are_known_at_every_level_as_long_as_they_are_stored(routed):
    study = next(iter(routed.orthanc.of(Level.STUDY)))
    before = set(routed.orthanc.nodes)
    routed.route(rule(ANONYMIZE, KeepCopies=True), study)
    new = set(routed.orthanc.nodes) - before
    assert routed.products.among(routed.orthanc.nodes) == new
    routed.products.forget_gone()
    assert routed.products.among(new) == new
    routed.orthanc.remove(*(one for one in new if one in routed.orthanc.files))
    routed.products.forget_gone()
    assert not routed.products.any()


def test_a_parent_that_holds_anything_else_is_no_product(routed):
    """Modified copies stay with the patient, who is none."""
    study = next(iter(routed.orthanc.of(Level.STUDY)))
    modify = {"Modify": {"Replace": {"StudyDescription": "x"}}}
    routed.route(rule(modify, KeepCopies=True), study)
    made = routed.products.among(routed.orthanc.nodes)
    levels = sorted(routed.orthanc.nodes[one].level for one in made)
    assert levels == [Level.INSTANCE, Level.INSTANCE, Level.SERIES, Level.STUDY]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1 ", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("127.0.0.1", ""),
        ("::1", ""),
        ("0.0.0.0", ""),  # noqa: S104  an address to be read, none to listen at
        ("pacs.example", ""),
        ("", ""),
    ],
)
def test_addresses_are_compared_in_one_form_and_none_is_this_machine(text, address):
    assert address_of(text) == address


def test_a_place_without_name_and_address_has_sent_nothing():
    assert not Place().sent({})
    assert not Place().sent({"RemoteAET": "", "RemoteIP": ""})
    assert not Place("PACS").sent({"RemoteAET": "OTHER", "RemoteIP": "127.0.0.1"})
    assert Place("PACS").sent({"RemoteAET": "PACS"})
