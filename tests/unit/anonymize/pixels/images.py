"""Synthetic images of every layout, and what a profile makes of them."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import numpy as np
import pydicom
from pydicom.pixels import pixel_array

from curator.anonymize import tables
from curator.anonymize.pixels.cleaner import PixelCleaner, TextDetector
from curator.anonymize.pixels.plan import PixelPlan
from curator.anonymize.pixels.tables import known_devices
from curator.anonymize.profile import Profile
from curator.anonymize.resolve import Resolver
from curator.dicom.engine import opened
from curator.dicom.filemeta import MetaPolicy
from factory import make_instance

ROWS, COLUMNS = 20, 30
LEFT, TOP, WIDTH, HEIGHT = 4, 3, 10, 6
INSIDE = np.s_[..., TOP : TOP + HEIGHT, LEFT : LEFT + WIDTH]
RECTANGLE = [LEFT, TOP, WIDTH, HEIGHT]

ULTRASOUND = {"Modality": "US", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.1"}


def cleaner(
    *rules: dict[str, Any],
    options: tuple[str, ...] = (),
    syntax: str = "ExplicitVRLittleEndian",
    detector: TextDetector | None = None,
) -> PixelCleaner:
    """Return the cleaner of a profile with these rules."""
    content = {"Name": "p", "Options": options, "Rules": rules}
    profile = Profile.model_validate_json(
        json.dumps({**content, "Pixels": {"TransferSyntax": syntax}})
    )
    resolver = Resolver(profile, tables.load())
    return PixelCleaner(resolver, profile.pixels, devices=known_devices(), detector=detector)


def planned(dicom: bytes, made: PixelCleaner, holding: frozenset[int] = frozenset()) -> PixelPlan:
    """Return what a cleaner plans for an instance."""
    return made.plan(opened(dicom), holding)


def cleaned(dicom: bytes, made: PixelCleaner) -> bytes:
    """Return an instance with its pixels cleaned, the rest as it was."""
    instance = opened(dicom)
    changes, syntax = made.changes(instance, made.plan(instance, frozenset()))
    return instance.changed(changes, MetaPolicy.KEEP, syntax)


def filled(dicom: bytes, *rectangles: list[int | str], **options: Any) -> bytes:
    """Return an instance with rectangles painted over."""
    return cleaned(dicom, cleaner({"Pixels": {"Fill": list(rectangles)}}, **options))


def read(dicom: bytes) -> pydicom.Dataset:
    """Read an instance with pydicom."""
    return pydicom.dcmread(BytesIO(dicom))


def array(dicom: bytes) -> np.ndarray:
    """Decode pixels with pydicom, as they are stored: frames by samples by rows by columns."""
    dataset = read(dicom)
    pixels = pixel_array(dataset, raw=True)
    frames = int(dataset.get("NumberOfFrames", 1))
    if dataset.SamplesPerPixel == 1:
        return pixels.reshape(frames, 1, dataset.Rows, dataset.Columns)
    shape = (frames, dataset.Rows, dataset.Columns, dataset.SamplesPerPixel)
    return np.moveaxis(pixels.reshape(shape), -1, 1)


def image(
    *,
    photometric: str = "MONOCHROME2",
    allocated: int = 16,
    stored: int | None = None,
    signed: bool = False,
    by_plane: bool = False,
    frames: int = 1,
    rows: int = ROWS,
    columns: int = COLUMNS,
    seed: int = 0,
    **elements: Any,
) -> bytes:
    """Write an image of noise that fills its stored bits."""
    stored = stored or allocated
    samples = 1 if photometric in ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR") else 3
    per_pixel = 2 if "422" in photometric else samples
    random = np.random.default_rng(seed)
    low = -(1 << stored - 1) if signed else 0
    kind = "i" if signed else "u"
    count = frames * rows * columns * per_pixel
    if allocated == 1:
        pixels = np.packbits(random.integers(0, 2, count), bitorder="little").tobytes()
    else:
        values = random.integers(low, low + (1 << stored), count, dtype=np.int64)
        pixels = values.astype(f"<{kind}{allocated // 8}").tobytes()
    layout = {
        "Rows": rows,
        "Columns": columns,
        "PhotometricInterpretation": photometric,
        "SamplesPerPixel": samples,
        "PlanarConfiguration": int(by_plane) if samples > 1 else None,
        "NumberOfFrames": frames if frames > 1 else None,
        "BitsAllocated": allocated,
        "BitsStored": stored,
        "HighBit": stored - 1,
        "PixelRepresentation": int(signed),
    }
    return make_instance(pixels=pixels + b"\0" * (len(pixels) % 2), **{**layout, **elements})
