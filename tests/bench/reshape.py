"""Split and merge: the built-in ones, Curator's on the same selection, and the limit, in one run.

Databases on a memory disk, ``TCP_NODELAY=1`` everywhere; figures of one run are compared with each
other only, absolute ones say nothing on a shared machine.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory import ct_series
from integration.servers import OrthancServer

LIMIT_PLUGIN = Path(__file__).parent / "limit"

#: Matrix of the CT instances, which makes them 512 kB.
SIZE = 512

#: Changes a study, given its Orthanc identifier and that of the study that is merged into.
Work = Callable[[OrthancServer, str, str], None]


@dataclass(frozen=True)
class Bench:
    """One operation in all its ways; the first is the built-in one, which the others count by."""

    name: str
    ways: Mapping[str, tuple[str, Work]]


def ct_files(instances: int, round_number: int) -> list[bytes]:
    """Make a CT series of two acquisitions, other in each round."""
    return ct_series(
        instances,
        size=SIZE,
        study=f"bench {round_number}",
        PatientID=f"BENCH{round_number}",
        AcquisitionNumber=lambda index: index % 2 + 1,
    )


def measure(
    bench: Bench, release: str, instances: int, rounds: int, threads: int
) -> dict[str, Any]:
    """Return instances per second of each way, the median of some rounds, and their ratios."""
    settings = {"Curator": {"ThreadsPerJob": threads}}
    servers = {
        "stock": OrthancServer(release, with_plugin=False, in_memory=True),
        "curator": OrthancServer(release, settings, in_memory=True),
        "limit": OrthancServer(release, plugin=LIMIT_PLUGIN, in_memory=True),
    }
    rates: dict[str, list[float]] = {way: [] for way in bench.ways}
    with servers["stock"], servers["curator"], servers["limit"]:
        for number in range(rounds):
            files = ct_files(instances, number)
            for way, (server, work) in bench.ways.items():
                rates[way].append(_rate(servers[server], files, number, work))
    medians = {way: statistics.median(values) for way, values in rates.items()}
    base = next(iter(medians.values()))
    return {
        "bench": bench.name,
        "release": release,
        "instances": instances,
        "rounds": rates,
        "per second": medians,
        "ratio to built-in": {way: rate / base for way, rate in medians.items()},
    }


def memory(release: str, instances: int) -> dict[str, Any]:
    """Return the resident memory of a server (MB) while it splits ever more instances."""
    sizes: list[float] = []
    batch = min(300, instances)
    with OrthancServer(release, in_memory=True) as server:
        for number in range(instances // batch):
            files = ct_files(batch, number)
            _rate(server, files, number, _split_by_curator)
            sizes.append(resident(server.pid))
    return {"release": release, "instances per step": batch, "resident MB": sizes}


def _rate(server: OrthancServer, files: list[bytes], number: int, work: Work) -> float:
    """Upload a series, time the work on its study, and empty the server."""
    (small,) = ct_series(1, study=f"target {number}", PatientID=f"BENCH{number}")
    target = server.upload(small)["ParentStudy"]
    for content in files:
        study = server.upload(content)["ParentStudy"]
    start = time.perf_counter()
    work(server, study, target)
    seconds = time.perf_counter() - start
    server.clear()
    return len(files) / seconds


def _split(server: OrthancServer, study: str, _target: str) -> None:
    series = server.http.json(f"/studies/{study}")["Series"]
    post(server, f"/studies/{study}/split", {"Series": series})


def _split_by_curator(server: OrthancServer, study: str, _target: str) -> None:
    series = server.http.json(f"/studies/{study}")["Series"]
    post(server, f"/studies/{study}/split", {"Series": series, "Into": "Studies", "Follow": False})


def _split_by_acquisition(server: OrthancServer, study: str, _target: str) -> None:
    post(
        server,
        f"/studies/{study}/split",
        {"By": ["AcquisitionNumber"], "Into": "Series", "Follow": False},
    )


def _merge(server: OrthancServer, study: str, target: str) -> None:
    post(server, f"/studies/{target}/merge", {"Resources": [study]})


def _merge_by_curator(server: OrthancServer, study: str, target: str) -> None:
    post(
        server,
        f"/studies/{target}/merge",
        {"Resources": [study], "OnConflict": "Refuse", "Follow": False},
    )


def _merge_and_undo(server: OrthancServer, study: str, target: str) -> None:
    body = {"Resources": [study], "OnConflict": "Refuse", "Follow": False}
    merged = post(server, f"/studies/{target}/merge", body)
    post(server, f"/curator/operations/{merged['Operation']}/undo", {})


def copy(threads: int) -> Work:
    """Return the limit: read and store every instance unchanged but for its identifiers."""

    def work(server: OrthancServer, study: str, _target: str) -> None:
        found = [one["ID"] for one in server.http.json(f"/studies/{study}/instances")]
        post(server, "/bench/copy", {"Instances": found, "Threads": threads})

    return work


def benches(threads: int) -> list[Bench]:
    """Return the benches."""
    return [
        Bench(
            "split",
            {
                "built-in split": ("stock", _split),
                "Curator, same selection": ("curator", _split_by_curator),
                "Curator, by criterion": ("curator", _split_by_acquisition),
                "limit: read and store": ("limit", copy(threads)),
            },
        ),
        Bench(
            "merge",
            {
                "built-in merge": ("stock", _merge),
                "Curator": ("curator", _merge_by_curator),
                "Curator, and undo": ("curator", _merge_and_undo),
                "limit: read and store": ("limit", copy(threads)),
            },
        ),
    ]


def post(server: OrthancServer, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Ask for work that has to succeed, and return what it answers."""
    answer = server.http.post(path, body, timeout=600)
    if not answer.ok:
        raise RuntimeError(f"{path}: {answer.status_code} {answer.text}")
    return dict(answer.json()) if answer.content else {}


def resident(pid: int) -> float:
    """Return the resident memory of a process in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} is gone")
