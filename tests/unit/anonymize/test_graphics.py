"""Annotations, overlays and curves under Clean Graphics (PS3.15 E.3.3)."""

from __future__ import annotations

from io import BytesIO

import pydicom
import pytest

from curator.anonymize.graphics import without_orphans
from curator.dicom.engine import opened
from factory import ExplicitVRBigEndian, ImplicitVRLittleEndian, ct_series, encoded, make_instance
from referring import make_presentation_state
from unit.anonymize.planted import FAMILY, NAME, PATIENT_ID, anonymizer, secrets_in

DRAWING = {
    "GraphicAnnotationUnits": "PIXEL",
    "GraphicDimensions": 2,
    "NumberOfGraphicPoints": 2,
    "GraphicData": [1.0, 1.0, 2.0, 2.0],
    "GraphicType": "POLYLINE",
}


def annotation(*texts, drawn=False):
    found = {"GraphicLayer": "LAYER"}
    if texts:
        found["TextObjectSequence"] = [{"UnformattedTextValue": text} for text in texts]
    return found | ({"GraphicObjectSequence": [DRAWING]} if drawn else {})


def state(*annotations, **elements):
    return make_presentation_state(
        ct_series(1),
        PatientName=NAME,
        PatientID=PATIENT_ID,
        GraphicAnnotationSequence=list(annotations),
        **elements,
    )


def cleaned(dicom, options=("CleanGraphics",)):
    result = anonymizer(Options=list(options)).anonymize(dicom).dicom
    assert secrets_in(result) == []
    return pydicom.dcmread(BytesIO(result))


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"transfer_syntax": ImplicitVRLittleEndian},
        {"transfer_syntax": ExplicitVRBigEndian},
        {"undefined_lengths": True},
    ],
)
@pytest.mark.parametrize("options", [("CleanGraphics",), ("CleanGraphics", "CleanDescriptors")])
def test_texts_are_cleaned_and_drawings_kept(how, options):
    dicom = state(annotation(f"Cyst 12 mm, {FAMILY}", "Liver", drawn=True), **how)
    found = cleaned(dicom, options).GraphicAnnotationSequence[0]
    texts = [text.UnformattedTextValue for text in found.TextObjectSequence]
    assert texts == ["Cyst 12 mm", "Liver"]
    assert found.GraphicObjectSequence[0].GraphicData == DRAWING["GraphicData"]
    assert found.GraphicLayer == "LAYER"


def test_texts_of_which_nothing_is_left_go():
    dicom = state(annotation(NAME, "Liver"), annotation(NAME), annotation(NAME, drawn=True))
    first, second = cleaned(dicom).GraphicAnnotationSequence
    assert [text.UnformattedTextValue for text in first.TextObjectSequence] == ["Liver"]
    assert "TextObjectSequence" not in second
    assert len(second.GraphicObjectSequence) == 1


def test_annotations_of_which_nothing_is_left_go():
    assert "GraphicAnnotationSequence" not in cleaned(state(annotation(NAME)))


def test_without_the_option_no_annotation_is_left():
    dicom = state(annotation("harmless words"))
    assert b"harmless words" not in anonymizer().anonymize(dicom).dicom


def with_overlays(**types):
    dataset = pydicom.dcmread(BytesIO(make_instance(PatientName=NAME)))
    for number, kind in enumerate(types.values()):
        group = 0x6000 + 2 * number
        dataset.add_new(group << 16 | 0x0010, "US", 4)
        dataset.add_new(group << 16 | 0x0011, "US", 4)
        dataset.add_new(group << 16 | 0x0040, "CS", kind)
        dataset.add_new(group << 16 | 0x0050, "SS", [1, 1])
        dataset.add_new(group << 16 | 0x0100, "US", 1)
        dataset.add_new(group << 16 | 0x0102, "US", 0)
        dataset.add_new(group << 16 | 0x3000, "OW", b"\1\2")
        dataset.add_new(group << 16 | 0x4000, "LT", f"Mask drawn for {FAMILY}")
    return encoded(dataset)


def test_overlays_of_regions_stay_and_those_of_graphics_go():
    found = cleaned(with_overlays(a="R", b="G", c="R", d=""))
    present = [group for group in (0x6000, 0x6002, 0x6004, 0x6006) if (group, 0x3000) in found]
    assert present == [0x6000, 0x6004]
    assert found[0x6000, 0x3000].value == b"\1\2"
    assert found[0x6000, 0x4000].value == "Mask drawn for"
    assert not [element.tag for element in found if element.tag.group in (0x6002, 0x6006)]


def test_without_the_option_no_overlay_is_left():
    result = anonymizer().anonymize(with_overlays(a="R")).dicom
    assert (0x6000, 0x3000) not in pydicom.dcmread(BytesIO(result))


def test_curves_go():
    dataset = pydicom.dcmread(BytesIO(make_instance(PatientName=NAME)))
    dataset.add_new(0x50000005, "US", 1)
    dataset.add_new(0x50003000, "OW", b"\1\2")
    found = cleaned(encoded(dataset))
    assert not [element.tag for element in found if element.tag.group == 0x5000]


def test_an_overlay_that_loses_its_data_goes_as_a_whole():
    site = opened(with_overlays(a="R", b="G")).site
    changes = without_orphans(site, {0x60023000: b"", 0x00100010: b"new"})
    gone = {tag for tag, new in changes.items() if not new}
    assert gone == {tag for tag in site.tags if tag >> 16 == 0x6002}
    assert changes[0x00100010] == b"new"
    assert without_orphans(site, {0x00100010: b""}) == {0x00100010: b""}
