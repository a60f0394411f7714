"""Dry runs on a large study: what a user waits for the plan.

Each beside the built-in operation itself, which has no dry run, and beside the core's reading of
the same elements from the files.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from bench.measuring import post, timed
from factory import ct_series
from integration.servers import OrthancServer

#: What a plan looks at, of which the index has no more than the first ones.
TAGS = (
    *("InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient"),
    *("AcquisitionNumber", "AcquisitionDate", "AcquisitionTime", "ContentDate", "ContentTime"),
    *("FrameOfReferenceUID", "PixelSpacing", "Rows", "Columns"),
)

READING = "reading of the same elements"


def measure(running: Mapping[str, OrthancServer], instances: int) -> dict[str, Any]:
    """Return seconds and instances per second of each plan, and of what it is compared with."""
    (small,) = ct_series(1, study="dry target")
    files = ct_series(instances, study="dry", AcquisitionNumber=lambda index: index % 2 + 1)
    stock, curator = running["stock"], running["curator"]
    for server in (stock, curator):
        target = server.upload(small)["ParentStudy"]
        for content in files:
            stored = server.upload(content)
    works = _works(stored["ParentStudy"], stored["ParentSeries"], target)
    seconds: dict[str, float] = {}
    for name, (with_curator, work) in works.items():
        server = curator if with_curator else stock
        seconds[name] = timed(server, partial(work, server)).seconds
    for server in (stock, curator):
        server.clear()
    rates = {name: instances / spent for name, spent in seconds.items()}
    return {
        "release": stock.release,
        "instances": instances,
        "seconds": seconds,
        "per second": rates,
        "ratio to built-in": {
            name: rate / rates[_beside(name)] for name, rate in rates.items() if _beside(name)
        },
    }


def table(measured: Mapping[str, Any]) -> str:
    """Return the figures of one release for people."""
    ratios = measured["ratio to built-in"]
    lines = [
        f"Orthanc {measured['release']}, dry runs on {measured['instances']} small CT instances",
        f"{'':34}{'seconds':>9}{'instances/s':>13}{'to built-in':>13}",
    ]
    for name, seconds in measured["seconds"].items():
        ratio = f"{ratios[name]:12.2f}x" if name in ratios else ""
        lines.append(f"{name:34}{seconds:9.2f}{measured['per second'][name]:13.0f}{ratio}")
    return "\n".join(lines) + "\n"


def _works(
    study: str, series: str, target: str
) -> dict[str, tuple[bool, Callable[[OrthancServer], object]]]:
    """Return what is measured, and whether Curator does it; the sources stay in any case."""
    bodies: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
        "split": (
            f"/studies/{study}/split",
            {"Series": [series], "KeepSource": True},
            {"By": ["AcquisitionNumber"], "Into": "Series"},
        ),
        "merge": (
            f"/studies/{target}/merge",
            {"Resources": [study], "KeepSource": True},
            {"Resources": [study], "OnConflict": "Refuse"},
        ),
        "anonymize": (f"/studies/{study}/anonymize", {}, {"Profile": "basic"}),
    }

    def asking(path: str, body: dict[str, Any]) -> Callable[[OrthancServer], object]:
        return lambda server: post(server, path, body)

    works: dict[str, tuple[bool, Callable[[OrthancServer], object]]] = {
        READING: (False, lambda server: _read(server, study))
    }
    for name, (path, builtin, own) in bodies.items():
        works[f"{name}, dry run"] = True, asking(path, {**own, "DryRun": True})
        works[f"built-in {name}"] = False, asking(path, builtin)
    return works


def _read(server: OrthancServer, study: str) -> None:
    wanted = {
        "Level": "Instance",
        "Query": {},
        "ParentStudy": study,
        "Expand": True,
        "RequestedTags": list(TAGS),
    }
    answer = server.http.post("/tools/find", wanted, timeout=1800)
    answer.raise_for_status()


def _beside(name: str) -> str:
    """Return the built-in operation that a dry run is compared with; empty for other ones."""
    return f"built-in {name.removesuffix(', dry run')}" if name.endswith(", dry run") else ""
