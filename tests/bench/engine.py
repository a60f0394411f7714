"""Compare the byte engine with pydicom: the same edits, on instances of 40 to 200 elements."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from io import BytesIO

import pydicom

from curator.dicom.edits import Drop, Edit, Edits, Replace
from curator.dicom.engine import apply
from curator.dicom.tags import AnyTag, Path, parse_path
from factory import instance_of_size

#: Pixel data of each instance.
PIXEL_BYTES = 512 * 1024

SHARED: dict[Path | AnyTag, Edit] = {
    parse_path("StudyInstanceUID"): Replace("1.2.826.0.1.3680043.8.498.1"),
    parse_path("SeriesInstanceUID"): Replace("1.2.826.0.1.3680043.8.498.2"),
    parse_path("StudyDescription"): Replace("SPLIT STUDY"),
    parse_path("SeriesDescription"): Replace("SPLIT TE=10"),
    parse_path("SeriesNumber"): Replace(7),
    parse_path("AccessionNumber"): Replace("A1"),
    parse_path("PatientID"): Replace("ID-1"),
    parse_path("PatientName"): Replace("DOE^JANE"),
    parse_path("StudyID"): Drop(),
}


def with_engine(data: bytes, edits: Edits, number: int) -> bytes:
    own: dict[Path | AnyTag, Edit] = {
        parse_path("SOPInstanceUID"): Replace(f"1.2.826.0.1.3680043.8.498.3.{number}"),
        parse_path("InstanceNumber"): Replace(number),
    }
    return apply(data, edits.with_(own))


def with_pydicom(data: bytes, number: int) -> bytes:
    dataset = pydicom.dcmread(BytesIO(data))
    for path, edit in SHARED.items():
        keyword = str(path)
        if isinstance(edit, Replace):
            setattr(dataset, keyword, edit.values)
        elif keyword in dataset:
            delattr(dataset, keyword)
    dataset.InstanceNumber = number
    dataset.SOPInstanceUID = f"1.2.826.0.1.3680043.8.498.3.{number}"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    out = BytesIO()
    dataset.save_as(out)
    return out.getvalue()


def milliseconds(call: Callable[[int], bytes], times: int) -> float:
    """Return the best of five means, in milliseconds per call."""
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for number in range(times):
            call(number)
        best = min(best, (time.perf_counter() - start) / times)
    return best * 1000


def measure(times: int) -> list[dict[str, float]]:
    """Return milliseconds per instance of both, for instances of 40, 100 and 200 elements."""
    edits = Edits(SHARED)
    rows = []
    for elements in (40, 100, 200):
        data = instance_of_size(elements, PIXEL_BYTES)
        fast = milliseconds(partial(with_engine, data, edits), times)
        slow = milliseconds(partial(with_pydicom, data), times // 4 or 1)
        rows.append({"elements": elements, "engine ms": fast, "pydicom ms": slow})
    return rows


def table(rows: list[dict[str, float]]) -> str:
    """Return the figures for people."""
    lines = ["elements   engine ms  pydicom ms    ratio"]
    for row in rows:
        ratio = row["pydicom ms"] / row["engine ms"]
        lines.append(
            f"{row['elements']:8.0f}{row['engine ms']:12.3f}{row['pydicom ms']:12.3f}{ratio:8.1f}x"
        )
    return "\n".join(lines) + "\n"
