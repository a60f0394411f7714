"""Compare the byte engine with pydicom: the same edits, on instances of 40 to 200 elements.

Run as ``PYTHONPATH=plugin:tests python tests/bench/engine.py``; it prints one line per size.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from io import BytesIO

import pydicom

from curator.dicom.edits import Drop, Edit, Edits, Replace
from curator.dicom.engine import apply
from curator.dicom.tags import Path, Tag, parse_path
from factory import instance_of_size

SHARED: dict[Path | Tag, Edit] = {
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
    own = {
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


def write_line(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pixels", type=int, default=512 * 1024, help="bytes of pixel data")
    parser.add_argument("--times", type=int, default=200, help="instances per measurement")
    options = parser.parse_args()
    edits = Edits(SHARED)
    write_line("elements  kB     engine ms  pydicom ms  ratio")
    for elements in (40, 100, 200):
        data = instance_of_size(elements, options.pixels)
        fast = milliseconds(
            lambda number, data=data: with_engine(data, edits, number), options.times
        )
        slow = milliseconds(
            lambda number, data=data: with_pydicom(data, number), options.times // 4
        )
        write_line(
            f"{elements:8d} {len(data) / 1024:6.0f} {fast:9.3f} {slow:11.3f} {slow / fast:6.1f}"
        )


if __name__ == "__main__":
    main()
