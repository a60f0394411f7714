"""Anonymize the same files by Curator, stock Orthanc, dicognito and dicom-anonymizer, in one run.

What counts is what survives of the identifiers that were planted, by the kind of place, and the
time for each instance of a series. All but Orthanc are called in this process, from bytes to bytes.
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

from bench.engine import PIXEL_BYTES, anonymizer, of_one_patient
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


def ways() -> dict[str, Way]:
    """Return the tools that work in this process, each with its defaults."""
    curator, dicognito = anonymizer(), Dicognito()

    def by_dicognito(dicom: bytes) -> bytes:
        dataset = pydicom.dcmread(BytesIO(dicom))
        dicognito.anonymize(dataset)
        return _written(dataset)

    return {
        "Curator": lambda dicom: curator.anonymize(dicom).dicom,
        "dicognito": by_dicognito,
        "dicom-anonymizer": _by_dicom_anonymizer,
    }


def _by_dicom_anonymizer(dicom: bytes) -> bytes:
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
    one = instance_of_size(200, PIXEL_BYTES)
    series = [of_one_patient(one, number) for number in range(times + 1)]
    result: dict[str, Any] = {"files": len(files), "release": release, "tools": {}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, way in ways().items():
            result["tools"][name] = _row(survivors(way, files), _milliseconds(way, series))
        with OrthancServer(release, with_plugin=False, in_memory=True) as server:
            spent = _stock_milliseconds(server, series[:11])
            result["tools"]["stock Orthanc"] = _row(
                survivors(partial(by_stock, server), files), spent
            )
    return result


def _milliseconds(way: Way, series: list[bytes]) -> float:
    """Return the best of five means, in milliseconds per instance; the first one is not counted."""
    first, *others = series
    way(first)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for dicom in others:
            way(dicom)
        best = min(best, (time.perf_counter() - start) / len(others))
    return best * 1000


def _row(outcome: Outcome, spent: float) -> dict[str, Any]:
    return {
        "ms": spent,
        "files": outcome.files,
        "refused": outcome.refused,
        "survivors": dict(outcome.survivors),
    }


def _stock_milliseconds(server: OrthancServer, series: list[bytes]) -> float:
    """Return the time of the instance route, HTTP included: the core has no other for one file."""
    instances = [server.upload(dicom)["ID"] for dicom in series]
    body = {"DicomVersion": STOCK_VERSION}
    start = time.perf_counter()
    for instance in instances:
        server.http.post(f"/instances/{instance}/anonymize", body).raise_for_status()
    return (time.perf_counter() - start) / len(instances) * 1000


def table(measured: dict[str, Any]) -> str:
    """Return the figures for people."""
    curator = measured["tools"]["Curator"]["ms"]
    lines = [f"Anonymize {measured['files']} files with planted identifiers"]
    lines.append(f"{'':18}{'ms':>9}{'ratio':>8}{'files':>7}{'refused':>9}{'survivors':>11}")
    for name, row in measured["tools"].items():
        total = sum(row["survivors"].values())
        lines.append(
            f"{name:18}{row['ms']:9.3f}{row['ms'] / curator:7.1f}x{row['files']:7}"
            f"{row['refused']:9}{total:11}"
        )
        lines += [f"{'':20}{place}: {count}" for place, count in sorted(row["survivors"].items())]
    return "\n".join(lines) + "\n"
