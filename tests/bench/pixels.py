"""Cleaning of pixels: Curator's rectangles, beside decoding and storing the same files unchanged.

The built-in anonymization is measured as well, which leaves the pixels as they are.
"""

from functools import partial
from io import BytesIO
from typing import Any

from pydicom import dcmread
from pydicom.uid import JPEGLosslessSV1, RLELossless, UltrasoundImageStorage

from bench.anonymize import anonymize
from bench.engine import of_one_patient
from bench.measuring import LIMIT, Bench, copy
from factory import make_instance
from integration.servers import OrthancServer

ROWS, COLUMNS, FRAMES = 480, 640, 10

#: A banner over the whole width, as ultrasound devices write one.
PROFILE: dict[str, Any] = {
    "Name": "banner",
    "Options": ["CleanPixelData"],
    "Rules": [
        {
            "When": {"Tag": "Modality", "In": ["CT", "US"]},
            "Pixels": {"Fill": [[0, 0, "Columns", 60]]},
        }
    ],
}

#: Of the instances of the other benches, one in so many is enough: they are larger.
PART = 5


def benches(threads: int, stock: OrthancServer) -> list[Bench]:
    """Return the benches, by kind of image; a server encodes what nobody here can."""
    ways = {
        "built-in anonymize, not cleaned": ("stock", anonymize({})),
        "Curator, cleaned": ("curator", anonymize({"Profile": PROFILE})),
        LIMIT: ("limit", copy(threads, decode=True)),
    }
    image = ultrasound()
    others = {
        f"color loops of {FRAMES} frames": ultrasound(NumberOfFrames=FRAMES),
        "color images in RLE": _rle(image),
        "color images in JPEG Lossless": _transcoded(stock, image, JPEGLosslessSV1),
    }
    return [
        Bench("pixels", ways),
        *(
            Bench("pixels", ways, files=partial(_files, content), kind=kind)
            for kind, content in others.items()
        ),
    ]


def ultrasound(**elements: Any) -> bytes:
    """Return an ultrasound image, or loop, whose pixels a codec makes smaller."""
    frames = int(elements.get("NumberOfFrames", 1))
    row = bytes(column * 200 // COLUMNS for column in range(COLUMNS) for _ in range(3))
    return make_instance(
        SOPClassUID=UltrasoundImageStorage,
        Modality="US",
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=0,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        Rows=ROWS,
        Columns=COLUMNS,
        ImagePositionPatient=None,
        ImageOrientationPatient=None,
        pixels=row * ROWS * frames,
        **elements,
    )


def _files(content: bytes, instances: int, _round_number: int) -> list[bytes]:
    return [of_one_patient(content, number) for number in range(max(2, instances // PART))]


def _rle(content: bytes) -> bytes:
    dataset = dcmread(BytesIO(content))
    dataset.compress(RLELossless, generate_instance_uid=False)
    out = BytesIO()
    dataset.save_as(out)
    return out.getvalue()


def _transcoded(server: OrthancServer, content: bytes, transfer_syntax: str) -> bytes:
    instance = server.upload(content)["ID"]
    try:
        wanted = {"transcode": transfer_syntax}
        answer = server.http.get(f"/instances/{instance}/file", params=wanted)
        answer.raise_for_status()
        return bytes(answer.content)
    finally:
        server.clear()
