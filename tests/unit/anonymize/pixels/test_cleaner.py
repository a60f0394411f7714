"""Which rules fire, what they take back, and what is refused."""

import pytest

from curator.anonymize.errors import PixelsNotCovered, Refused
from curator.anonymize.pixels.geometry import Box
from curator.anonymize.pixels.plan import UNTOUCHED
from curator.dicom.engine import opened
from factory import JPEGBaseline8Bit, encoded, make_instance
from unit.anonymize.pixels.images import (
    COLUMNS,
    INSIDE,
    RECTANGLE,
    ROWS,
    ULTRASOUND,
    array,
    cleaned,
    cleaner,
    image,
    planned,
    read,
)

FILL = {"Pixels": {"Fill": [RECTANGLE]}}
KEEP = {"Pixels": {"Keep": True}}
CLEAN = ("CleanPixelData",)
STORAGE = "1.2.840.10008.5.1.4.1.1"
BOX = Box(4, 3, 14, 9)


def region(left: int, top: int, right: int, bottom: int) -> dict:
    return {
        "RegionLocationMinX0": left,
        "RegionLocationMinY0": top,
        "RegionLocationMaxX1": right,
        "RegionLocationMaxY1": bottom,
    }


RISKY = [
    *({"Modality": modality} for modality in ("US", "IVUS", "ES", "XC", "OP", "GM", "SM", "OT")),
    {"Modality": None},
    {"SOPClassUID": f"{STORAGE}.6.1"},
    {"SOPClassUID": f"{STORAGE}.3.1"},
    {"SOPClassUID": f"{STORAGE}.7"},
    {"SOPClassUID": f"{STORAGE}.7.4"},
    {"SOPClassUID": f"{STORAGE}.77.1.4"},
    {"SOPClassUID": f"{STORAGE}.77.1.5.1"},
    {"SOPClassUID": f"{STORAGE}.77.1.6"},
    {"ConversionType": "WSD"},
    {"ConversionType": "DI"},
    {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]},
    {"ImageType": ["DERIVED", "PRIMARY", "SCREENSHOT"]},
    {"BurnedInAnnotation": "YES"},
    {"BurnedInAnnotation": "UNKNOWN"},
    {"ImageType": ["DERIVED", "SECONDARY", "OTHER", "CT_SOM5 PROT"]},
    {"ImageType": ["DERIVED", "SECONDARY"]},
    {"PixelDataProviderURL": "http://example.com/pixels"},
]

SAFE = [
    {},
    {"Modality": "MR", "SOPClassUID": f"{STORAGE}.4"},
    {"BurnedInAnnotation": "NO"},
    {"ImageType": ["DERIVED", "SECONDARY", "MPR"]},
    {"ImageType": ["DERIVED", "SECONDARY", "CSA MPR"]},
    {"ImageType": ["DERIVED", "SECONDARY"], "BurnedInAnnotation": "NO"},
]


@pytest.mark.parametrize("elements", RISKY, ids=str)
def test_risky_kinds_that_no_rule_covers_are_refused_where_clean_pixels_are_asked_for(elements):
    dicom = image(**elements)
    with pytest.raises(PixelsNotCovered):
        planned(dicom, cleaner(options=CLEAN))
    assert planned(dicom, cleaner(KEEP, options=CLEAN)).rules == ("$.Rules[0]",)
    assert planned(dicom, cleaner()) == UNTOUCHED


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL", "PALETTE COLOR"])
def test_color_images_are_risky_unless_they_say_that_nothing_is_burned_in(photometric):
    dicom = image(photometric=photometric, allocated=8)
    with pytest.raises(PixelsNotCovered):
        planned(dicom, cleaner(options=CLEAN))
    dicom = image(photometric=photometric, allocated=8, BurnedInAnnotation="NO")
    assert planned(dicom, cleaner(options=CLEAN)) == UNTOUCHED


@pytest.mark.parametrize("kind", [ULTRASOUND, {"SOPClassUID": f"{STORAGE}.7"}, {"Modality": "XC"}])
def test_the_word_of_an_ultrasound_image_or_a_capture_is_not_believed(kind):
    with pytest.raises(PixelsNotCovered):
        planned(image(BurnedInAnnotation="NO", **kind), cleaner(options=CLEAN))


@pytest.mark.parametrize("elements", SAFE, ids=str)
def test_other_images_stay_untouched(elements):
    assert planned(image(**elements), cleaner(options=CLEAN)) == UNTOUCHED


@pytest.mark.parametrize("uid", ["100", "102", "103.1", "106", "107", "108"])
def test_videos_can_be_kept_by_rule_and_never_be_painted(uid):
    dicom = make_instance(
        transfer_syntax=f"1.2.840.10008.1.2.4.{uid}", pixels=b"\0" * 10, Modality="CT"
    )
    with pytest.raises(PixelsNotCovered):
        planned(dicom, cleaner(options=CLEAN))
    with pytest.raises(Refused, match="video"):
        planned(dicom, cleaner(FILL))
    assert planned(dicom, cleaner(KEEP, options=CLEAN)).cleaned


def test_a_kept_document_is_refused_where_clean_pixels_are_asked_for():
    dicom = make_instance(pixels=b"", EncapsulatedDocument=b"%PDF")
    keep = {"Tag": "EncapsulatedDocument", "Action": "Keep"}
    with pytest.raises(Refused, match="document"):
        planned(dicom, cleaner(keep, options=CLEAN))
    assert planned(dicom, cleaner(options=CLEAN)) == UNTOUCHED


def test_tiles_of_a_larger_image_are_not_painted():
    dicom = image(frames=2, TotalPixelMatrixColumns=60, TotalPixelMatrixRows=20)
    with pytest.raises(Refused, match="tiles"):
        planned(dicom, cleaner(FILL))


def test_rules_apply_without_the_option_and_say_that_nothing_is_burned_in():
    plan = planned(image(**ULTRASOUND), cleaner(FILL))
    assert plan.rules == ("$.Rules[0]",)
    assert plan.fill == (BOX,)
    assert plan.changes_pixels
    assert plan.cleaned is True


def test_a_rule_with_a_condition_applies_where_it_holds():
    made = cleaner({"When": {"Tag": "Modality", "Equals": "US"}, **FILL}, options=CLEAN)
    dicom = image(**ULTRASOUND)
    assert planned(dicom, made, frozenset({0})).fill == (BOX,)
    with pytest.raises(PixelsNotCovered):
        planned(dicom, made)


def test_keep_takes_back_what_devices_and_earlier_rules_ask_for():
    dicom = image(rows=480, columns=640, Manufacturer="ACUSON", ManufacturerModelName="SEQUOIA",
                  **ULTRASOUND)  # fmt: skip
    known = planned(dicom, cleaner(options=CLEAN))
    assert known.fill == (Box(0, 0, 640, 30),)
    assert all(name.startswith("Device US ACUSON SEQUOIA") for name in known.rules)
    kept = planned(dicom, cleaner(FILL, KEEP, options=CLEAN))
    assert kept.rules == ("$.Rules[1]",)
    assert not kept.changes_pixels
    assert kept.cleaned is True
    after = planned(dicom, cleaner(KEEP, FILL, options=CLEAN))
    assert after.fill == (BOX,)


def test_devices_are_for_those_who_ask_for_clean_pixels():
    dicom = image(rows=480, columns=640, Manufacturer="ACUSON", ManufacturerModelName="SEQUOIA")
    assert planned(dicom, cleaner()) == UNTOUCHED


def test_a_rectangle_outside_the_image_covers_nothing_and_is_named():
    outside = {"Pixels": {"Fill": [[COLUMNS, 0, 5, 5], [0, 0, 0, 5], [0, "Rows", 5, 5]]}}
    plan = planned(image(), cleaner(outside))
    assert plan.rules == ()
    assert len(plan.warnings) == 3
    with pytest.raises(PixelsNotCovered):
        planned(image(**ULTRASOUND), cleaner(outside, options=CLEAN))


def test_an_expression_that_cannot_be_computed_is_refused():
    rule = {"Pixels": {"Fill": [[0, 0, f"1 // (Rows - {ROWS})", 5]]}}
    with pytest.raises(Refused, match="zero"):
        planned(image(), cleaner(rule))


REGIONS = {"Pixels": {"Regions": "Ultrasound"}}


def test_everything_outside_the_ultrasound_regions_is_painted():
    regions = [region(2, 5, 12, 18), region(10, 8, 25, 15)]
    dicom = image(**ULTRASOUND, frames=2, SequenceOfUltrasoundRegions=regions)
    before, after = array(dicom), array(cleaned(dicom, cleaner(REGIONS, options=CLEAN)))
    inside = before.copy() * 0
    for one in ([5, 18, 2, 12], [8, 15, 10, 25]):
        top, bottom, left, right = one
        inside[..., top : bottom + 1, left : right + 1] = 1
    assert (after == before * inside).all()


@pytest.mark.parametrize(
    "regions",
    [[], None, [region(0, 0, COLUMNS - 1, ROWS - 1)], [region(40, 0, 50, 9)], [region(9, 9, 3, 3)]],
    ids=str,
)
def test_regions_that_are_no_use_cover_nothing(regions):
    dicom = image(**ULTRASOUND, SequenceOfUltrasoundRegions=regions)
    with pytest.raises(PixelsNotCovered):
        planned(dicom, cleaner(REGIONS, options=CLEAN))


def test_a_region_without_location_is_refused():
    dicom = image(**ULTRASOUND, SequenceOfUltrasoundRegions=[{"RegionFlags": 0}])
    with pytest.raises(Refused, match="RegionLocationMinX0"):
        planned(dicom, cleaner(REGIONS))


DETECT = {"Pixels": {"Detect": "Text"}}


def test_detect_without_a_detector_is_refused():
    with pytest.raises(Refused, match="Tesseract"):
        planned(image(), cleaner(DETECT))


def test_what_is_found_in_one_frame_is_painted_in_all():
    frames = []

    def detector(frame):
        frames.append(frame)
        return [(4, 3, 10, 6)] if len(frames) == 2 else [(-5, -5, 2, 2)]

    dicom = image(photometric="RGB", allocated=8, frames=3)
    before, after = array(dicom), array(cleaned(dicom, cleaner(DETECT, detector=detector)))
    assert [frame.shape for frame in frames] == [(ROWS, COLUMNS, 3)] * 3
    assert all(frame.dtype == "uint8" for frame in frames)
    assert not after[INSIDE].any()
    before[INSIDE] = 0
    assert (before == after).all()


def test_nothing_changes_where_no_text_is_found():
    dicom = image()
    assert cleaned(dicom, cleaner(DETECT, detector=lambda frame: [])) == dicom


def test_compressed_pixels_have_to_be_decoded_first():
    made = cleaner(FILL)
    compressed = opened(make_instance(transfer_syntax=JPEGBaseline8Bit, pixels=b"\0" * 10))
    assert made.needs_native(compressed)
    assert not made.needs_native(opened(image()))
    with pytest.raises(Refused, match="not decoded"):
        made.changes(compressed, made.plan(compressed, frozenset()))


@pytest.mark.parametrize("signed", [False, True])
def test_an_overlay_in_unused_bits_is_cleared_where_clean_pixels_are_asked_for(signed):
    plain = image(stored=12, signed=signed)
    dataset = read(plain)
    dataset.add_new(0x60000102, "US", 12)
    clean = encoded(dataset)
    dataset.PixelData = bytes(
        byte ^ 0x50 if place % 2 else byte for place, byte in enumerate(dataset.PixelData)
    )
    made = cleaner(options=CLEAN)
    result = cleaned(encoded(dataset), made)
    assert read(result).PixelData == read(clean).PixelData
    assert planned(clean, made).rules == ("Overlay in unused bits",)
    assert planned(clean, made).cleaned is None
    assert planned(clean, cleaner()) == UNTOUCHED
    dataset.Modality = "US"
    with pytest.raises(PixelsNotCovered):
        planned(encoded(dataset), made)
