"""Compare the byte engine with pydicom: the same edits, on instances of 40 to 200 elements.

Anonymization by the Basic Profile, the search of its result included, is held against pydicom's
bare reading and writing. Each instance is a new one of a series, or one of a new patient.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from io import BytesIO

import pydicom

from curator.anonymize.anonymizer import Anonymizer
from curator.anonymize.keys import derived
from curator.anonymize.profile import Profile
from curator.anonymize.resolve import Resolver
from curator.anonymize.tables import load
from curator.anonymize.values import Values
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


def anonymizer() -> Anonymizer:
    profile = Profile(name="basic")
    values = Values(profile, derived(bytes(32)))
    return Anonymizer(
        profile, Resolver(profile, load()), values, None, default_charset="ISO_IR 100"
    )


def of_one_patient(data: bytes, number: int) -> bytes:
    """Return another instance of a series."""
    return with_engine(data, Edits(), number)


def of_another_patient(data: bytes, number: int) -> bytes:
    """Return an instance of another patient, study and series."""
    root = f"1.2.826.0.1.3680043.8.498.{number}"
    edits = Edits(
        {
            parse_path("PatientID"): Replace(f"PAT{number:07d}"),
            parse_path("PatientName"): Replace(f"FAMILY{number}^GIVEN{number}"),
            parse_path("StudyInstanceUID"): Replace(f"{root}.1"),
            parse_path("SeriesInstanceUID"): Replace(f"{root}.2"),
        }
    )
    return with_engine(data, edits, number)


def with_profile(instances: list[bytes]) -> float:
    """Return the best of five means, in milliseconds per instance; each time all is new."""
    best = float("inf")
    for _ in range(5):
        anonymize = anonymizer().anonymize
        anonymize(instances[0])
        start = time.perf_counter()
        for data in instances[1:]:
            anonymize(data)
        best = min(best, (time.perf_counter() - start) / (len(instances) - 1))
    return best * 1000


def reading_and_writing(data: bytes, _number: int) -> bytes:
    dataset = pydicom.dcmread(BytesIO(data))
    for _ in dataset.iterall():
        pass
    out = BytesIO()
    dataset.save_as(out)
    return out.getvalue()


def measure_profile(times: int) -> list[dict[str, float]]:
    """Return milliseconds per instance of the Basic Profile, and of pydicom without any."""
    rows = []
    for elements in (40, 100, 200):
        data = instance_of_size(elements, PIXEL_BYTES)
        rows.append(
            {
                "elements": elements,
                "series ms": with_profile([of_one_patient(data, n) for n in range(times + 1)]),
                "patients ms": with_profile(
                    [of_another_patient(data, n) for n in range(times + 1)]
                ),
                "pydicom ms": milliseconds(partial(reading_and_writing, data), times // 4 or 1),
            }
        )
    return rows


def profile_table(rows: list[dict[str, float]]) -> str:
    """Return the figures of the Basic Profile for people."""
    lines = ["elements   series ms patients ms  pydicom ms    ratio"]
    for row in rows:
        ratio = row["pydicom ms"] / row["series ms"]
        lines.append(
            f"{row['elements']:8.0f}{row['series ms']:12.3f}{row['patients ms']:12.3f}"
            f"{row['pydicom ms']:12.3f}{ratio:8.1f}x"
        )
    return "\n".join(lines) + "\n"


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
