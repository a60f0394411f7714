"""Anonymize the same files by Curator, stock Orthanc, dicognito and dicom-anonymizer, in one run.

What counts is what survives of the identifiers that were planted, by the kind of place, and the
time per instance. All but Orthanc are called in this process, from bytes to bytes.
"""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Any

import pydicom
from dicognito.anonymizer import Anonymizer as Dicognito
from dicomanonymizer import anonymize_dataset

from bench.engine import anonymizer, milliseconds
from collection import FILES, load
from factory import ct_series, instance_of_size, multi_frame
from integration.servers import OrthancServer
from planting import Planted, planted

#: The latest version of PS3.15 that the core knows.
STOCK_VERSION = "2023b"

#: Takes a file to its anonymized form.
Way = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Outcome:
    """What one tool has left of what was planted."""

    files: int
    refused: int
    survivors: Mapping[str, int]


def corpus() -> list[Planted]:
    """Return files with planted identifiers: synthetic ones, and those that pydicom can write."""
    own = [*ct_series(2), multi_frame()]
    found: list[Planted] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pydicom, about the values of its own files
        for seed, content in enumerate([*own, *map(load, FILES)]):
            try:
                found.append(planted(content, seed))
            except Exception:  # noqa: BLE001, S112  pydicom cannot write every file that it reads
                continue
    return found


def survivors(way: Way, files: Iterable[Planted]) -> Outcome:
    """Return what a tool leaves of all that was planted; what it refuses tells nothing."""
    counted: Counter[str] = Counter()
    done = refused = 0
    for one in files:
        try:
            result = way(one.dicom)
        except Exception:  # noqa: BLE001  a tool that cannot do it leaks nothing
            refused += 1
            continue
        done += 1
        counted += one.survivors(result)
    return Outcome(done, refused, dict(counted))


def by_dicognito(dicom: bytes) -> bytes:
    """Anonymize by dicognito, with its defaults."""
    dataset = pydicom.dcmread(BytesIO(dicom))
    Dicognito().anonymize(dataset)
    return _written(dataset)


def by_dicom_anonymizer(dicom: bytes) -> bytes:
    """Anonymize by dicom-anonymizer, with its defaults."""
    dataset = pydicom.dcmread(BytesIO(dicom))
    anonymize_dataset(dataset)
    return _written(dataset)


def _written(dataset: pydicom.Dataset) -> bytes:
    out = BytesIO()
    dataset.save_as(out)
    return out.getvalue()


def by_stock(server: OrthancServer, dicom: bytes) -> bytes:
    """Anonymize by a stock Orthanc, with the latest version of the standard that it knows."""
    instance = server.upload(dicom)["ID"]
    try:
        body = {"DicomVersion": STOCK_VERSION}
        answer = server.http.post(f"/instances/{instance}/anonymize", body)
        answer.raise_for_status()
        return bytes(answer.content)
    finally:
        server.http.delete(f"/instances/{instance}")


def measure(release: str, times: int, files: list[Planted] | None = None) -> dict[str, Any]:
    """Return what survives and how long it takes, by tool."""
    files = corpus() if files is None else files
    curator = partial(_by_curator, anonymizer())
    sized = instance_of_size(200, 512 * 1024)
    result: dict[str, Any] = {"files": len(files), "release": release, "tools": {}}
    ways: dict[str, Way] = {
        "Curator": curator,
        "dicognito": by_dicognito,
        "dicom-anonymizer": by_dicom_anonymizer,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, way in ways.items():
            repeated = times if way is curator else times // 10 or 1
            spent = milliseconds(lambda _, way=way: way(sized), repeated)  # type: ignore[misc]
            result["tools"][name] = _row(survivors(way, files), spent)
        with OrthancServer(release, with_plugin=False, in_memory=True) as server:
            result["tools"]["stock Orthanc"] = _row(
                survivors(partial(by_stock, server), files), _stock_milliseconds(server, sized)
            )
    return result


def _by_curator(curator: Any, dicom: bytes) -> bytes:
    return bytes(curator.anonymize(dicom).dicom)


def _row(outcome: Outcome, spent: float) -> dict[str, Any]:
    return {
        "ms": spent,
        "files": outcome.files,
        "refused": outcome.refused,
        "survivors": dict(outcome.survivors),
    }


def _stock_milliseconds(server: OrthancServer, dicom: bytes) -> float:
    """Return the time of the instance route, HTTP included: the core has no other for one file."""
    instance = server.upload(dicom)["ID"]
    body = {"DicomVersion": STOCK_VERSION}
    start = time.perf_counter()
    for _ in range(10):
        server.http.post(f"/instances/{instance}/anonymize", body).raise_for_status()
    return (time.perf_counter() - start) * 100


def table(measured: dict[str, Any]) -> str:
    """Return the figures for people."""
    lines = [f"Anonymize {measured['files']} files with planted identifiers"]
    lines.append(f"{'':18}{'ms':>9}{'files':>7}{'refused':>9}{'survivors':>11}")
    for name, row in measured["tools"].items():
        total = sum(row["survivors"].values())
        lines.append(f"{name:18}{row['ms']:9.3f}{row['files']:7}{row['refused']:9}{total:11}")
        lines += [f"{'':20}{place}: {count}" for place, count in sorted(row["survivors"].items())]
    return "\n".join(lines) + "\n"
