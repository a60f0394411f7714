"""pydicom's collection with identifiers planted everywhere: none survives, nothing else changes."""

from __future__ import annotations

import pytest

from collection import FILES, load
from curator.anonymize import anonymizer as module
from curator.anonymize.decision import Action, Place
from curator.anonymize.resolve import Resolver
from curator.anonymize.shipped import shipped
from curator.anonymize.tables import load as load_tables
from curator.dicom import encoded, fallback
from curator.dicom.engine import opened
from curator.dicom.errors import DicomError, Malformed, NotDicom
from curator.dicom.reader import pixel_digest
from curator.dicom.site import Site
from curator.dicom.tags import SOP_CLASS_UID, SOP_INSTANCE_UID
from unit.anonymize.planted import anonymizer, profile, secrets_in, table, with_secrets

#: What :mod:`unit.dicom.test_collection` refuses, and directories.
REFUSED = {
    *("palettes/winter.dcm", "test_files/MR_truncated.dcm", "test_files/rtplan_truncated.dcm"),
    *("test_files/meta_missing_tsyntax.dcm", "test_files/no_meta.dcm"),
}
EDITABLE = [name for name in FILES if name not in REFUSED and "DICOMDIR" not in name]

MARKS = (0x00120062, 0x00120063, 0x00120064, 0x00280303)

BASIC = anonymizer()
RESOLVER = Resolver(profile(), load_tables())


@pytest.fixture(scope="module")
def planted() -> dict[str, bytes]:
    """Return the files with identifiers in them."""
    return {name: with_secrets(load(name)) for name in EDITABLE}


@pytest.fixture(scope="module")
def results(planted) -> dict[str, bytes]:
    """Return the files anonymized by the Basic Profile."""
    return {name: BASIC.anonymize(data).dicom for name, data in planted.items()}


def test_the_files_hold_identifiers_before(planted):
    assert len(planted) > 150
    assert [name for name, data in planted.items() if len(secrets_in(data)) < 4] == []


def test_no_identifier_survives(results):
    assert {name: found for name, data in results.items() if (found := secrets_in(data))} == {}


def test_no_private_element_and_no_repeating_group_survives(results):
    odd = {
        name: [hex(tag) for tag in opened(data).site.tags if _is_odd(tag)]
        for name, data in results.items()
    }
    assert {name: tags for name, tags in odd.items() if tags} == {}


def _is_odd(tag: int) -> bool:
    repeating = tag >> 24 == 0x50 or (tag >> 24 == 0x60 and tag & 0xFFFF in (0x3000, 0x4000))
    return bool(tag >> 16 & 1) or repeating or not tag & 0xFFFF


def test_pixels_stay_as_they_are(planted, results):
    changed = [
        name for name, data in planted.items() if pixel_digest(data) != pixel_digest(results[name])
    ]
    assert changed == []


def test_what_the_profile_keeps_is_byte_for_byte_the_same(planted, results):
    changed = {}
    kept = 0
    for name, data in planted.items():
        before, after = opened(data).site, opened(results[name]).site
        for tag in plainly_kept(before):
            kept += 1
            if tag not in after.tags or before.encoded(tag) != after.encoded(tag):
                changed.setdefault(name, []).append(hex(tag))
    assert changed == {}
    assert kept > 20 * len(planted)


def plainly_kept(site: Site) -> list[int]:
    """Return the tags of elements other than sequences that the profile keeps."""
    sop_class = site.raw(SOP_CLASS_UID).strip(b"\0 ").decode() if SOP_CLASS_UID in site.tags else ""
    found = []
    for tag in site.tags:
        vr = site.known_vr(tag) if site.vr(tag) == "UN" else site.vr(tag)
        if vr == "SQ" or not tag & 0xFFFF or tag >> 16 & 1 or tag in MARKS:
            continue
        place = Place(tag, vr, sop_class_uid=sop_class)
        if RESOLVER.decide(place).action is Action.KEEP:
            found.append(tag)
    return found


def test_required_attributes_stay_valid(planted, results):
    types: dict[str, list[tuple[int, str]]] = {}
    for row in table("compound_types"):
        types.setdefault(row["sop_class_uid"], []).append((int(row["tag"], 16), row["type"]))
    wrong = {}
    for name, data in planted.items():
        before, after = opened(data).site, opened(results[name]).site
        if SOP_CLASS_UID not in before.tags:
            continue
        for tag, kind in types.get(before.raw(SOP_CLASS_UID).strip(b"\0 ").decode(), []):
            if tag in before.tags and kind in ("1", "1C", "2", "2C"):
                gone = tag not in after.tags
                empty = not gone and bool(before.raw(tag)) and not after.raw(tag)
                if gone or (empty and kind in ("1", "1C")):
                    wrong.setdefault(name, []).append((hex(tag), kind))
    assert wrong == {}


def test_the_instance_and_its_head_name_the_same_new_uid(planted, results):
    for name, data in results.items():
        instance = opened(data)
        if SOP_INSTANCE_UID not in instance.site.tags:
            assert not instance.meta.uid(0x00020003), name
            continue
        raw = instance.site.raw(SOP_INSTANCE_UID)
        assert instance.meta.elements[0x00020003][1] == raw, name
        assert raw.startswith((b"2.25.", b"1.2.840.10008.1.5.")), name  # well-known palettes stay
        assert set(instance.meta.elements) == {
            *(0x00020001, 0x00020002, 0x00020003, 0x00020010, 0x00020012, 0x00020013)
        }, name
        assert instance.meta.preamble == bytes(128), name


def test_both_readers_make_the_same(planted, results, monkeypatch):
    def through_pydicom(data: bytes, default_charset: str):
        return fallback.opened(data, default_charset, Malformed("", 0))

    compared = 0
    for name, data in planted.items():
        try:
            encoded.opened(data, "ISO_IR 100")
            through_pydicom(data, "ISO_IR 100")
        except DicomError:
            continue  # one of them does not read it, which unit.dicom.test_collection lists
        with monkeypatch.context() as patch:
            patch.setattr(module, "opened", through_pydicom)
            assert BASIC.anonymize(data).dicom == results[name], name
        compared += 1
    assert compared > 100


@pytest.mark.parametrize("name", sorted(shipped()))
def test_no_identifier_survives_any_shipped_profile(planted, name):
    fields = shipped()[name].model_dump(mode="json", by_alias=True, exclude_unset=True)
    anonymize = anonymizer(**fields).anonymize
    results = {file: anonymize(data).dicom for file, data in planted.items()}
    assert {file: left for file, data in results.items() if (left := secrets_in(data))} == {}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_cannot_be_read_for_certain_is_refused(name):
    with pytest.raises((Malformed, NotDicom)):
        BASIC.anonymize(load(name))
