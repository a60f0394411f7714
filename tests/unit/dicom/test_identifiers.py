from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID

from curator.dicom.identifiers import derived_uid, orthanc_identifiers

DERIVED = "2.25.256174410105289082641180757598527639798"


def test_identifiers_of_orthanc():
    identifiers = orthanc_identifiers("P", "1.2", "1.2.3", "1.2.3.4")
    texts = ("P", "P|1.2", "P|1.2|1.2.3", "P|1.2|1.2.3|1.2.3.4")
    for identifier, text in zip(identifiers, texts, strict=True):
        digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        assert identifier.replace("-", "") == digest
        assert [len(part) for part in identifier.split("-")] == [8] * 5


def test_the_identifier_of_an_empty_patient_id():
    """As in the Orthanc Book: the SHA-1 of nothing."""
    assert orthanc_identifiers("", "", "", "")[0] == "da39a3ee-5e6b4b0d-3255bfef-95601890-afd80709"


def test_derived_uids_are_always_the_same():
    """They are stored: a new version of Curator has to derive the same ones."""
    assert derived_uid("operation", "1.2.3") == DERIVED


def test_parts_do_not_run_together():
    uids = {derived_uid(*parts) for parts in [("a", "bc"), ("ab", "c"), ("abc",), ("abc", ""), ()]}
    assert len(uids) == 5


@given(st.lists(st.text()))
def test_derived_uids_are_valid(parts):
    uid = UID(derived_uid(*parts))
    assert uid.is_valid
    assert len(uid) <= 64
    number = int(uid.removeprefix("2.25."))
    assert number >> 76 & 0xF == 8
    assert number >> 62 & 0x3 == 2
