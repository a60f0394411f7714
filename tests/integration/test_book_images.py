"""The Book's "Downloading images", "… decoded images from Python", "… PDF or videos".

Every way in which the core draws, decodes or hands out pixels, for every kind of image that it
knows, answered by a stock server and by one with Curator: to the byte, but for the times in
archives of numpy.
"""

import io
import zipfile
from typing import Any

import numpy as np
import pytest
import requests
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG4HP41,
    EncapsulatedPDFStorage,
    ExplicitVRBigEndian,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from factory import encoded, make_instance, uid
from integration.pair import Pair
from jpeg2000 import make_jpeg2000

SIZE = 16
RAMP = np.add.outer(np.arange(SIZE), np.arange(SIZE))
"""Smooth, as what compresses images wants it."""

GRAY8: dict[str, Any] = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
RGB: dict[str, Any] = {
    **GRAY8,
    "SamplesPerPixel": 3,
    "PhotometricInterpretation": "RGB",
    "PlanarConfiguration": 0,
}
COLORS = np.stack([RAMP * 7, RAMP * 3, 255 - RAMP * 5], axis=-1).astype("u1")
CURVE = np.arange(256, dtype="<u2")
PALETTE: dict[str, Any] = {
    **GRAY8,
    "PhotometricInterpretation": "PALETTE COLOR",
    **{f"{color}PaletteColorLookupTableDescriptor": [256, 0, 16] for color in ("Red", "Green")},
    "BluePaletteColorLookupTableDescriptor": [256, 0, 16],
    "RedPaletteColorLookupTableData": (CURVE * 256).tobytes(),
    "GreenPaletteColorLookupTableData": ((255 - CURVE) * 256).tobytes(),
    "BluePaletteColorLookupTableData": (CURVE * 128).tobytes(),
}
PDF = b"%PDF-1.4\n% nothing to see\n%%EOF\n"
VIDEO = bytes(range(256)) * 4


def images() -> dict[str, bytes]:
    """Return an instance of every kind, by name; each is a series of its own study."""
    gray8 = (RAMP * 8).astype("u1")
    unsigned = (RAMP * 130).astype("<u2")
    signed = (RAMP * 60 - 1000).astype("<i2")
    return {
        "gray8": made("gray8", gray8, **GRAY8),
        "gray16": made("gray16", unsigned, WindowCenter=2000, WindowWidth=1000),
        "signed": made(
            "signed",
            signed,
            PixelRepresentation=1,
            RescaleSlope=2,
            RescaleIntercept=-24,
            BitsStored=16,
            HighBit=15,
            WindowCenter=40,
            WindowWidth=400,
        ),
        "inverted": made("inverted", gray8, **GRAY8, PhotometricInterpretation="MONOCHROME1"),
        "rgb": made("rgb", COLORS, **RGB),
        "planar": made("planar", COLORS.transpose(2, 0, 1), **{**RGB, "PlanarConfiguration": 1}),
        "ybr": made("ybr", COLORS, **{**RGB, "PhotometricInterpretation": "YBR_FULL"}),
        "palette": made("palette", gray8, **PALETTE),
        "frames": made("frames", np.stack([gray8, gray8 // 2, 255 - gray8]), **GRAY8),
        "big endian": made("big", unsigned.astype(">u2"), transfer_syntax=ExplicitVRBigEndian),
        "rle": rle(made("rle", gray8, **GRAY8)),
        "jpeg 2000": make_jpeg2000("gray8", **identity("jpeg 2000")),
        "no pixels": make_instance(**identity("none"), pixels=b""),
        "pdf": made_pdf(),
        "video": made_video(),
    }


def identity(name: str) -> dict[str, Any]:
    """Return UIDs of an instance that is alone in its study."""
    return {
        "SOPClassUID": SecondaryCaptureImageStorage,
        **{f"{level}InstanceUID": uid(name, level) for level in ("Study", "Series", "SOP")},
    }


def made(name: str, pixels: Any, **elements: Any) -> bytes:
    frames = {"NumberOfFrames": len(pixels)} if name == "frames" else {}
    given = {**identity(name), **frames, **elements}
    return make_instance(pixels=pixels.tobytes(), **given)


def rle(dicom: bytes) -> bytes:
    dataset = dcmread(io.BytesIO(dicom))
    dataset.compress(RLELossless, generate_instance_uid=False)
    out = io.BytesIO()
    dataset.save_as(out)
    return out.getvalue()


def made_pdf() -> bytes:
    dataset = Dataset()
    dataset.update(dcmread(io.BytesIO(make_instance(**identity("pdf"), pixels=b""))))
    dataset.SOPClassUID = EncapsulatedPDFStorage
    dataset.Modality = "DOC"
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    dataset.EncapsulatedDocument = PDF
    return encoded(dataset)


def made_video() -> bytes:
    dataset = Dataset()
    dataset.update(dcmread(io.BytesIO(make_instance(**identity("video"), **RGB, pixels=b""))))
    dataset.NumberOfFrames = 2
    dataset.add_new(0x7FE00010, "OB", encapsulate([VIDEO]))
    dataset["PixelData"].is_undefined_length = True
    return encoded(dataset, MPEG4HP41)


COMPRESSED = {
    "jpeg": ("rgb", JPEGBaseline8Bit),
    "jpeg lossless": ("gray16", JPEGLossless),
    "jpeg-ls": ("gray16", JPEGLSLossless),
}
"""Images that the stock server has compressed, by name."""


@pytest.fixture(scope="module")
def book(module_pair) -> Pair:
    """An instance of every kind, called by it."""
    pair: Pair = module_pair
    for name, dicom in images().items():
        pair.upload([dicom], instance=name, series=f"series of {name}")
    for name, (source, syntax) in COMPRESSED.items():
        path = pair.stock.fill(f"/instances/{{{source}}}/file")
        answer = pair.stock.server.http.get(path, params={"transcode": syntax})
        renamed = dcmread(io.BytesIO(answer.content))
        assert renamed.file_meta.TransferSyntaxUID == syntax
        renamed.SOPInstanceUID = uid(name)
        renamed.SeriesInstanceUID = uid(name, "series")
        pair.upload([encoded(renamed, syntax)], instance=name, series=f"series of {name}")
    return pair


DRAWN = (
    *("gray8", "gray16", "signed", "inverted", "rgb", "planar", "palette", "frames"),
    *("big endian", "rle", "jpeg 2000", *COMPRESSED),
)
"""Names of the images that the core can draw."""

NOT_DRAWN = ("ybr", "no pixels", "pdf", "video")
"""Names of what it cannot."""

PICTURES = (
    *("preview", "rendered", "image-uint8", "image-uint16", "image-int16", "matlab"),
    *("frames/0/preview", "frames/0/rendered", "frames/0/image-uint8", "frames/0/image-uint16"),
    *("frames/0/image-int16", "frames/0/matlab", "frames/0/raw", "frames/0/raw.gz", "frames"),
    *("rendered?window-center=100&window-width=50", "rendered?width=8", "frames/0"),
)
SIZES = ("height=40", "width=10&height=5&smooth=0", "width=40&smooth=1", "width=0", "width=wide")
FORMATS = ("image/png", "image/jpeg", "image/x-portable-arbitrarymap")


@pytest.mark.parametrize("name", DRAWN)
def test_picture_is_the_same(book, name):
    for path in PICTURES:
        book.ask("GET", f"/instances/{{{name}}}/{path}")
    book.succeed("GET", f"/instances/{{{name}}}/preview")


@pytest.mark.parametrize("size", SIZES)
def test_picture_is_resized_the_same(book, size):
    for name in ("gray16", "rgb"):
        book.ask("GET", f"/instances/{{{name}}}/rendered?{size}")


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", ["gray8", "signed", "rgb"])
def test_picture_comes_in_the_format_that_is_asked_for(book, name, kind):
    for path in ("image-uint8", "image-uint16", "preview", "rendered"):
        expected, _ = book.ask("GET", f"/instances/{{{name}}}/{path}", headers={"Accept": kind})
    assert expected.headers["Content-Type"] == kind


@pytest.mark.parametrize("accept", ["text/html", "image/*", "*/*", "image/webp", "text/*, image/*"])
def test_picture_in_a_format_that_is_not_known(book, accept):
    book.ask("GET", "/instances/{gray8}/preview", headers={"Accept": accept})


@pytest.mark.parametrize("quality", ["1", "80", "100", "0", "101", "-1", "high"])
def test_quality_of_jpeg(book, quality):
    for path in ("rendered", "frames/0/preview", "preview"):
        path = f"/instances/{{gray16}}/{path}?quality={quality}"
        expected, _ = book.ask("GET", path, headers={"Accept": "image/jpeg"})
    assert expected.status_code == (200 if 0 < _number(quality) <= 100 else 415)


def _number(text: str) -> int:
    return int(text) if text.lstrip("-").isdigit() else 0


def test_preview_is_a_picture(book):
    """What is compared above is what it says it is."""
    given = book.succeed("GET", "/instances/{gray8}/preview").content
    assert given.startswith(b"\x89PNG")
    given = book.succeed("GET", "/instances/{rgb}/preview", headers={"Accept": "image/jpeg"})
    assert given.content.startswith(b"\xff\xd8")
    kind = {"Accept": "image/x-portable-arbitrarymap"}
    given = book.succeed("GET", "/instances/{gray16}/image-uint16", headers=kind)
    assert given.content.startswith(b"P7\n")


@pytest.mark.parametrize("frame", ["1", "2", "3", "-1", "x"])
def test_each_frame_is_the_same(book, frame):
    for kind in ("preview", "rendered", "raw", "raw.gz", "numpy", "image-uint8"):
        expected, _ = book.ask("GET", f"/instances/{{frames}}/frames/{frame}/{kind}")
        assert (expected.status_code == 200) is (frame in ("1", "2"))


NUMPY = ("numpy", "numpy?rescale=0", "numpy?rescale=1", "numpy?compress=0")


@pytest.mark.parametrize("name", DRAWN)
def test_array_of_numpy_is_the_same(book, name):
    instance, series = f"/instances/{{{name}}}", f"/series/{{series of {name}}}"
    for path in (f"{one}/{kind}" for one in (instance, f"{instance}/frames/0") for kind in NUMPY):
        book.ask("GET", path)
    expected, _ = book.ask("GET", f"{series}/numpy")
    is_decoded = name != "jpeg 2000"  # by a plugin alone, which numpy does without
    assert (expected.status_code == 200) is is_decoded


@pytest.mark.parametrize("name", ["gray8", "signed", "rgb", "frames"])
def test_compressed_array_of_numpy_is_the_same(book, name):
    for place in (f"instances/{{{name}}}", f"series/{{series of {name}}}"):
        for query in ("compress=1", "compress=1&rescale=0"):
            given = book.succeed("GET", f"/{place}/numpy?{query}", alike=arrays)
            assert list(np.load(io.BytesIO(given.content))) == ["arr_0"]


def arrays(answer: requests.Response) -> dict[str, bytes]:
    """Return the members of an archive, which also holds the time it was made."""
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_array_holds_the_rescaled_pixels(book):
    given = book.succeed("GET", "/instances/{signed}/numpy").content
    expected = ((RAMP * 60 - 1000) * 2 - 24).astype("f4")
    assert np.array_equal(np.load(io.BytesIO(given)), expected.reshape(1, SIZE, SIZE, 1))


@pytest.mark.parametrize("name", NOT_DRAWN)
def test_what_has_no_picture_is_refused_the_same(book, name):
    for path in (*PICTURES, *NUMPY, "preview?returnUnsupportedImage"):
        book.ask("GET", f"/instances/{{{name}}}/{path}")
    assert book.ask("GET", f"/instances/{{{name}}}/image-uint8")[0].status_code == 415


def test_pdf_is_taken_out(book):
    assert book.succeed("GET", "/instances/{pdf}/pdf").content.rstrip(b"\0") == PDF
    given = book.succeed("GET", "/instances/{pdf}/content/0042,0011")
    assert given.content.rstrip(b"\0") == PDF
    for name in ("gray8", "no pixels"):
        assert book.ask("GET", f"/instances/{{{name}}}/pdf")[0].status_code == 404


def test_video_is_taken_out(book):
    assert book.succeed("GET", "/instances/{video}/frames/0/raw").content == VIDEO
    metadata = book.succeed("GET", "/instances/{video}/metadata/TransferSyntax")
    assert metadata.text == MPEG4HP41


def test_compressed_pixels_are_handed_out_as_they_are(book):
    raw = book.succeed("GET", "/instances/{jpeg}/frames/0/raw")
    assert raw.content.startswith(b"\xff\xd8")
    assert book.succeed("GET", "/instances/{jpeg}/content/7fe0-0010/1").content == raw.content
    book.succeed("GET", "/instances/{jpeg}/content/7fe0-0010")
    book.succeed("GET", "/instances/{jpeg}/content/7fe0-0010/0")


SYNTAXES = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.5",
)


@pytest.mark.parametrize("name", ["gray16", "rgb", "rle", "jpeg", "frames", "no pixels"])
def test_transcoded_file_is_the_same(book, name):
    for syntax in SYNTAXES:
        book.ask("GET", f"/instances/{{{name}}}/file", params={"transcode": syntax})
    book.succeed("GET", f"/instances/{{{name}}}/file?transcode=1.2.840.10008.1.2")


def test_quality_of_a_lossy_file(book):
    for quality in ("10", "90", "0", "101", "good"):
        query = {"transcode": JPEGBaseline8Bit, "lossy-quality": quality}
        book.ask("GET", "/instances/{rgb}/file", params=query)
