"""UIDs are mapped by value, and only those that stand for something of the patient's or site's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom._uid_dict import UID_dictionary
from pydicom.datadict import keyword_dict
from pydicom.uid import UID

from curator.anonymize.standard import Code
from curator.anonymize.tables import load
from curator.anonymize.uids import NAMING_A_KIND, is_well_known, mapped, mapped_field

KEY, OTHER = b"k" * 32, b"o" * 32
INSTANCE = b"1.2.826.0.1.3680043.8.498.12345678901234567890"

uids = st.lists(st.integers(0, 10**12), min_size=2, max_size=5).map(
    lambda parts: ("1.3." + ".".join(map(str, parts))).encode()
)


def test_every_uid_of_the_registry_stays():
    for uid in UID_dictionary:
        assert is_well_known(uid.encode())
        assert mapped(uid.encode(), KEY) == uid.encode()


@pytest.mark.parametrize(
    "uid",
    [
        b"1.2.840.10008",
        b"1.2.840.10008.20230101.101500",
        b"1.2.840.10008.5.1.4.1.1.2.12345678",
        b"1.2.840.10008.1.2.3.4.5.6.7.8.9.10.11",
        b"1.2.840.10008.01",
        b"1.2.840.10008.1.",
        b"1.2.840.100081.1.2",
    ],
)
def test_what_only_looks_like_the_registry_is_mapped(uid):
    assert mapped(uid, KEY) != uid


@given(uids)
def test_a_mapped_uid_is_valid_and_tells_nothing(uid):
    new = mapped(uid, KEY)
    assert UID(new.decode()).is_valid
    assert len(new) <= 64
    assert new.startswith(b"2.25.")
    number = int(new[5:])
    assert number >> 76 & 0xF == 8
    assert number >> 62 & 0x3 == 2
    assert new == mapped(uid, KEY)
    assert new != mapped(uid, OTHER)


@given(st.lists(uids, min_size=2, max_size=40, unique=True))
def test_different_uids_stay_different(found):
    assert len({mapped(uid, KEY) for uid in found}) == len(found)


@pytest.mark.parametrize(
    "raw",
    [b"1.2.abc", b"01.2.3", b"1..2", b"SMITH^JOHN", b"1.2.3\0SMITH", b"\xe9\xe8", b"1.2 .3"],
)
def test_invalid_uids_are_never_kept(raw):
    new = mapped_field(raw, KEY)
    assert raw.strip(b" \0") not in new
    assert UID(new.rstrip(b"\0").decode()).is_valid


@pytest.mark.parametrize("raw", [b"", b"\0\0", b"    "])
def test_nothing_stays_nothing(raw):
    assert mapped_field(raw, KEY) == raw


@pytest.mark.parametrize("padding", [b"\0", b" ", b"  ", b" \0"])
def test_padding_does_not_matter(padding):
    assert mapped_field(INSTANCE + padding, KEY) == mapped_field(INSTANCE, KEY)


def test_each_of_several_values_is_mapped_by_itself():
    explicit = b"1.2.840.10008.1.2.1"
    raw = INSTANCE + b"\\" + explicit + b"\\\\" + b"1.3.5" + b"\0"
    new = mapped_field(raw, KEY)
    first, second, third, fourth = new.rstrip(b"\0").split(b"\\")
    assert (first, second, third) == (mapped(INSTANCE, KEY), explicit, b"")
    assert fourth == mapped(b"1.3.5", KEY)


def test_a_field_of_the_registry_alone_stays_byte_for_byte():
    raw = b"1.2.840.10008.1.2 \\1.2.840.10008.1.1\0"
    assert mapped_field(raw, KEY) is raw


@given(st.binary(max_size=80))
def test_any_bytes_become_a_field_of_even_length(raw):
    raw += b"\0" * (len(raw) % 2)
    new = mapped_field(raw, KEY)
    assert len(new) % 2 == 0
    assert new.count(b"\\") == raw.count(b"\\")


@pytest.mark.parametrize(
    "keyword",
    [
        "SOPClassUID",
        "ReferencedSOPClassUID",
        "SOPClassesInStudy",
        "TransferSyntaxUID",
        "AvailableTransferSyntaxUID",
        "CodingSchemeUID",
        "ContextUID",
        "MappingResourceUID",
        "ImplementationClassUID",
        "MediaStorageSOPClassUID",
        "EncryptedContentTransferSyntaxUID",
    ],
)
def test_elements_that_name_a_kind_are_known(keyword):
    assert keyword_dict[keyword] in NAMING_A_KIND


def test_no_element_that_the_table_maps_names_a_kind():
    mapped_rows = {tag for tag, row in load().by_tag.items() if Code.U in row.codes}
    assert keyword_dict["ManufacturerDeviceClassUID"] in mapped_rows
    assert not mapped_rows & NAMING_A_KIND
