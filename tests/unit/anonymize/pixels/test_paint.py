"""What a rectangle covers is gone, what it does not cover is as it was, in every layout."""

from itertools import product

import numpy as np
import pytest

from curator.anonymize.errors import Refused
from factory import ImplicitVRLittleEndian, make_instance
from unit.anonymize.pixels.images import (
    COLUMNS,
    INSIDE,
    RECTANGLE,
    ROWS,
    array,
    cleaned,
    cleaner,
    filled,
    image,
    read,
)

GRAY = [
    {"photometric": photometric, "allocated": allocated, "stored": stored, "signed": signed,
     "frames": frames}
    for photometric, (allocated, stored), signed, frames in product(
        ("MONOCHROME1", "MONOCHROME2"),
        ((8, 8), (16, 10), (16, 16), (32, 32)),
        (False, True),
        (1, 3),
    )
]  # fmt: skip
COLOR = [
    {"photometric": photometric, "allocated": allocated, "by_plane": by_plane, "frames": frames}
    for photometric, allocated, by_plane, frames in product(
        ("RGB", "YBR_FULL"), (8, 16), (False, True), (1, 3)
    )
]


def black(layout: dict) -> np.ndarray:
    """Return what PS3.3 C.7.6.3.1.2 has for black."""
    stored = layout.get("stored") or layout["allocated"]
    lowest = -(1 << stored - 1) if layout.get("signed") else 0
    samples = {
        "MONOCHROME1": [lowest + (1 << stored) - 1],
        "MONOCHROME2": [lowest],
        "RGB": [0, 0, 0],
        "YBR_FULL": [0, 1 << stored - 1, 1 << stored - 1],
    }
    return np.array(samples[layout["photometric"]])


@pytest.mark.parametrize(
    "layout", [*GRAY, *COLOR], ids=lambda layout: "-".join(map(str, layout.values()))
)
def test_inside_is_black_and_outside_is_byte_for_byte_what_it_was(layout):
    dicom = image(**layout)
    before, after = array(dicom), array(filled(dicom, RECTANGLE))
    assert (after[INSIDE] == black(layout)[None, :, None, None]).all()
    before[INSIDE] = after[INSIDE]
    assert (before == after).all()


@pytest.mark.parametrize(
    "layout", [*GRAY, *COLOR], ids=lambda layout: "-".join(map(str, layout.values()))
)
def test_rle_holds_the_same_pixels_as_native(layout):
    dicom = image(**layout)
    result = filled(dicom, RECTANGLE, syntax="RLELossless")
    assert read(result).file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.5"
    assert (array(result) == array(filled(dicom, RECTANGLE))).all()


@pytest.mark.parametrize(
    "layout", [*GRAY, *COLOR], ids=lambda layout: "-".join(map(str, layout.values()))
)
def test_a_blurred_box_hardly_depends_on_what_was_in_it(layout):
    rule = {"Pixels": {"Blur": [RECTANGLE]}}
    dicom = image(**layout)
    before, after = array(dicom), array(cleaned(dicom, cleaner(rule)))
    for plane in after[INSIDE].reshape(-1, *after[INSIDE].shape[-2:]):
        smooth = np.abs(np.diff(plane.astype(float), axis=1)).max()
        assert smooth <= 0.2 * (1 << (layout.get("stored") or layout["allocated"]))
    before[INSIDE] = after[INSIDE]
    assert (before == after).all()


def test_texts_of_the_same_amount_of_ink_blur_to_the_same():
    rule = {"Pixels": {"Blur": [[0, 0, 64, 16]]}}
    texts = []
    for seed in (1, 2):
        pixels = np.zeros((512, 512), "<u2")
        ink = np.random.default_rng(seed).permutation(64 * 16)[:300]
        pixels[np.unravel_index(ink, (16, 64))] = 4095
        texts.append(image(rows=512, columns=512, stored=12))
        texts[-1] = texts[-1][: -512 * 512 * 2] + pixels.tobytes()
    one, two = (array(cleaned(text, cleaner(rule))) for text in texts)
    assert (one == two).all()
    assert one[..., :16, :64].any()


@pytest.mark.parametrize("photometric", ["YBR_FULL_422", "YBR_PARTIAL_422"])
@pytest.mark.parametrize("frames", [1, 2])
def test_pixels_that_share_their_color_are_painted_in_pairs(photometric, frames):
    dicom = image(photometric=photometric, allocated=8, frames=frames)
    before = np.frombuffer(read(dicom).PixelData, np.uint8).reshape(frames, ROWS, COLUMNS // 2, 4)
    after = np.frombuffer(read(filled(dicom, [5, 3, 10, 6])).PixelData, np.uint8)
    after = after.reshape(before.shape)
    inside = np.s_[:, 3:9, 2:8]
    dark = 16 if "PARTIAL" in photometric else 0
    assert (after[inside] == [dark, dark, 128, 128]).all()
    before = before.copy()
    before[inside] = after[inside]
    assert (before == after).all()


@pytest.mark.parametrize("frames", [1, 3])
def test_single_bits_are_painted_across_bytes(frames):
    dicom = image(allocated=1, frames=frames, rows=9, columns=13)
    count = frames * 9 * 13
    before = np.unpackbits(np.frombuffer(read(dicom).PixelData, np.uint8), bitorder="little")
    after = np.unpackbits(
        np.frombuffer(read(filled(dicom, [3, 2, 6, 4])).PixelData, np.uint8), bitorder="little"
    )
    before, after = (bits[:count].reshape(frames, 9, 13).copy() for bits in (before, after))
    assert not after[:, 2:6, 3:9].any()
    before[:, 2:6, 3:9] = 0
    assert (before == after).all()


@pytest.mark.parametrize(("keyword", "cell"), [("FloatPixelData", 4), ("DoubleFloatPixelData", 8)])
def test_floating_point_pixels_become_zero(keyword, cell):
    pixels = np.random.default_rng(1).normal(size=(ROWS, COLUMNS)).astype(f"<f{cell}")
    dicom = make_instance(
        pixels=b"", Rows=ROWS, Columns=COLUMNS, BitsAllocated=8 * cell, BitsStored=None,
        HighBit=None, PixelRepresentation=None, **{keyword: pixels.tobytes()}
    )  # fmt: skip
    after = np.frombuffer(read(filled(dicom, RECTANGLE))[keyword].value, f"<f{cell}")
    after = after.reshape(ROWS, COLUMNS)
    assert (after[INSIDE] == 0).all()
    pixels[INSIDE] = 0
    assert (pixels == after).all()


def palette(entries: int, first: int, dark: int, bits: int = 16) -> dict:
    """Return a palette of light colors but for one."""
    colors = np.full((3, entries), 200 << bits - 8, "<u2")
    colors[:, dark] = 7
    names = ("Red", "Green", "Blue")
    return {
        **{f"{name}PaletteColorLookupTableDescriptor": [entries, first, bits] for name in names},
        **{
            f"{name}PaletteColorLookupTableData": colors[index].tobytes()
            for index, name in enumerate(names)
        },
    }


@pytest.mark.parametrize(("entries", "first"), [(256, 0), (64, 100)])
def test_palettes_are_painted_with_their_darkest_color(entries, first):
    dicom = image(
        photometric="PALETTE COLOR", allocated=8, frames=2, **palette(entries, first, dark=17)
    )
    for rule in ("Fill", "Blur"):
        after = array(cleaned(dicom, cleaner({"Pixels": {rule: [RECTANGLE]}})))
        assert (after[INSIDE] == first + 17).all()


def test_a_palette_that_is_not_whole_is_refused():
    dicom = image(photometric="PALETTE COLOR", allocated=8)
    with pytest.raises(Refused, match="palette"):
        filled(dicom, RECTANGLE)


def test_implicit_vr_stays_implicit_and_rle_asks_for_explicit():
    dicom = image(transfer_syntax=ImplicitVRLittleEndian)
    result = filled(dicom, RECTANGLE)
    assert read(result).file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    assert (array(result)[INSIDE] == 0).all()
    with pytest.raises(Refused, match="RLE"):
        filled(dicom, RECTANGLE, syntax="RLELossless")


@pytest.mark.parametrize(
    "elements",
    [
        {"NumberOfFrames": 2},
        {"Rows": 21},
        {"BitsAllocated": 12},
        {"BitsStored": 17},
        {"HighBit": 16},
        {"SamplesPerPixel": 3},
        {"PhotometricInterpretation": "CMYK"},
        {"PhotometricInterpretation": "YBR_ICT"},
        {"Rows": None},
    ],
    ids=str,
)
def test_a_header_that_contradicts_the_pixels_is_refused(elements):
    with pytest.raises(Refused):
        filled(image(**elements), RECTANGLE)


def test_what_would_no_longer_be_true_goes():
    result = read(
        filled(
            image(SmallestImagePixelValue=3, LargestImagePixelValue=9, LossyImageCompression="01"),
            RECTANGLE,
        )
    )
    assert "SmallestImagePixelValue" not in result
    assert "LargestImagePixelValue" not in result
    assert result.LossyImageCompression == "01"
    assert result.ImageType[0] == "DERIVED"
    assert list(result.ImageType[1:]) == ["PRIMARY", "AXIAL"]


def test_nothing_but_pixels_and_what_follows_from_them_changes():
    dicom = image()
    before, after = read(dicom), read(filled(dicom, RECTANGLE))
    differing = {element.keyword for element in before if element != after[element.tag]}
    assert differing == {"ImageType", "PixelData"}
    assert {element.tag for element in before} == {element.tag for element in after}
