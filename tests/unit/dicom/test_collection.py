"""Every file of pydicom's test collection that is on disk: no network."""

from __future__ import annotations

import warnings
from io import BytesIO

import pydicom
import pytest

from collection import FILES, load
from curator.dicom import encoded, fallback
from curator.dicom.changes import changes_at
from curator.dicom.edits import AppendItems, Drop, Edits, Replace
from curator.dicom.engine import apply
from curator.dicom.errors import (
    DicomError,
    EncodingError,
    Malformed,
    NotDicom,
    UnsupportedInstance,
)
from curator.dicom.filemeta import MetaPolicy
from curator.dicom.reader import pixel_digest, read
from curator.dicom.tags import parse_path, parse_tag

REFUSED = {
    "palettes/winter.dcm": Malformed,  # elements occur twice
    "test_files/MR_truncated.dcm": Malformed,
    "test_files/rtplan_truncated.dcm": Malformed,
    "test_files/meta_missing_tsyntax.dcm": Malformed,  # neither says what it is
    "test_files/no_meta.dcm": NotDicom,
}

EDITS = Edits(
    {
        parse_path("PatientID"): Replace("CURATOR"),
        parse_path("SOPInstanceUID"): Replace("1.2.3.4"),
        parse_path("AccessionNumber"): Drop(),
        parse_path("RequestAttributesSequence[*].RequestedProcedureID"): Replace("1"),
        parse_path("OriginalAttributesSequence"): AppendItems(
            ({parse_tag("ModifyingSystem"): "C"},)
        ),
    }
)
EDITED = {0x00100020, 0x00080018, 0x00080050, 0x00400275, 0x04000561}


def readable() -> list[str]:
    return [name for name in FILES if name not in REFUSED]


def editable() -> list[str]:
    return [name for name in readable() if "DICOMDIR" not in name]


def raw_elements(data: bytes) -> dict[int, object]:
    """Return the raw elements that pydicom reads at top level; sequences as it compares them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(BytesIO(data), force=True)
    found = {}
    for tag, element in dataset.items():
        raw = isinstance(element, pydicom.dataelem.RawDataElement)
        found[int(tag)] = (element.VR, element.value) if raw else (element.VR, element)
    return found


def test_the_collection_is_there():
    assert len(FILES) > 150


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_refused_is_refused_by_name(name):
    with pytest.raises(REFUSED[name]):
        apply(load(name), EDITS)


@pytest.mark.parametrize("name", readable())
def test_no_edit_gives_identical_bytes(name):
    data = load(name)
    assert apply(data, Edits()) == data


@pytest.mark.parametrize("name", [name for name in readable() if "DICOMDIR" in name])
def test_a_directory_is_not_edited(name):
    with pytest.raises(UnsupportedInstance, match="DICOMDIR"):
        apply(load(name), EDITS)


@pytest.mark.parametrize("name", editable())
def test_an_edit_changes_what_it_names_and_nothing_else(name):
    data = load(name)
    edited = apply(data, EDITS)
    before, after = raw_elements(data), raw_elements(edited)
    for tag in EDITED:
        before.pop(tag, None)
        after.pop(tag, None)
    assert {tag for tag in before if tag & 0xFFFF} == {tag for tag in after if tag & 0xFFFF}
    assert all(after[tag] == value for tag, value in before.items() if tag & 0xFFFF)
    assert pixel_digest(edited) == pixel_digest(data)
    header = read(edited, [parse_path("PatientID"), parse_path("MediaStorageSOPInstanceUID")])
    assert header.string(parse_path("PatientID")) == "CURATOR"
    assert header.string(parse_path("MediaStorageSOPInstanceUID")) == "1.2.3.4"


def walked_directly() -> list[str]:
    def is_walked(name: str) -> bool:
        try:
            encoded.opened(load(name))
        except DicomError:
            return False
        return True

    return [name for name in editable() if is_walked(name)]


@pytest.mark.parametrize("name", walked_directly())
def test_both_paths_agree(name):
    data = load(name)
    try:
        instance = fallback.opened(data, "ISO_IR 6", NotDicom("forced"))
    except NotDicom:
        assert name in ("test_files/UN_sequence.dcm", "test_files/image_dfl.dcm")
        return
    changed = instance.changed(changes_at(instance.site, EDITS.root), MetaPolicy.KEEP)
    assert changed == apply(data, EDITS)


@pytest.mark.parametrize("name", editable())
def test_widening_keeps_every_text(name):
    data = load(name)
    try:
        edited = apply(data, Edits({parse_path("SpecificCharacterSet"): Replace("ISO_IR 192")}))
    except EncodingError:
        assert name in NOT_TEXT
        return
    before, after = texts(data), texts(edited)
    before.pop("SpecificCharacterSet", None)
    assert {keyword: after.get(keyword) for keyword in before} == before


NOT_TEXT: tuple[str, ...] = ()


def texts(data: bytes) -> dict[str, str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(BytesIO(data), force=True)
        names = "PatientName", "StudyDescription", "PatientComments", "InstitutionName"
        return {name: str(dataset[name].value) for name in names if name in dataset}
