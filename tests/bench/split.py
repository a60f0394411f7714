"""Split: the built-in one, Curator's on the same selection, and the limit, in one run.

Databases on a memory disk, ``TCP_NODELAY=1`` everywhere; figures of one run are compared with each
other only, absolute ones say nothing on a shared machine.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from factory import ct_series
from integration.servers import OrthancServer

LIMIT_PLUGIN = Path(__file__).parent / "limit"

#: Matrix of the CT instances, which makes them 512 kB.
SIZE = 512


def ct_files(instances: int, round_number: int) -> list[bytes]:
    """Make a CT series of two acquisitions, other in each round."""
    return ct_series(
        instances,
        size=SIZE,
        study=f"bench {round_number}",
        PatientID=f"BENCH{round_number}",
        AcquisitionNumber=lambda index: index % 2 + 1,
    )


Work = Callable[[OrthancServer, str], None]


def measure(release: str, instances: int, rounds: int, threads: int) -> dict[str, Any]:
    """Return instances per second of each way, the median of some rounds, and their ratios."""
    settings = {"Curator": {"ThreadsPerJob": threads}}
    stock = OrthancServer(release, with_plugin=False, in_memory=True)
    curator = OrthancServer(release, settings, in_memory=True)
    limit = OrthancServer(release, plugin=LIMIT_PLUGIN, in_memory=True)
    ways: dict[str, tuple[OrthancServer, Work]] = {
        "built-in split": (stock, _split),
        "Curator, same selection": (curator, _split_by_curator),
        "Curator, by criterion": (curator, _split_by_acquisition),
        "limit: read and store": (limit, _copy(threads)),
    }
    rates: dict[str, list[float]] = {way: [] for way in ways}
    with stock, curator, limit:
        for number in range(rounds):
            files = ct_files(instances, number)
            for way, (server, work) in ways.items():
                rates[way].append(_rate(server, files, work))
    medians = {way: statistics.median(values) for way, values in rates.items()}
    base = medians["built-in split"]
    return {
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
            _rate(server, files, _split_by_curator)
            sizes.append(_resident(server.pid))
    return {"release": release, "instances per step": batch, "resident MB": sizes}


def _rate(server: OrthancServer, files: list[bytes], work: Work) -> float:
    """Upload a series, time the work on its study, and empty the server."""
    for content in files:
        study = server.upload(content)["ParentStudy"]
    start = time.perf_counter()
    work(server, study)
    seconds = time.perf_counter() - start
    server.clear()
    return len(files) / seconds


def _split(server: OrthancServer, study: str) -> None:
    series = server.http.json(f"/studies/{study}")["Series"]
    _post(server, f"/studies/{study}/split", {"Series": series})


def _split_by_curator(server: OrthancServer, study: str) -> None:
    series = server.http.json(f"/studies/{study}")["Series"]
    _post(server, f"/studies/{study}/split", {"Series": series, "Into": "Studies"})


def _split_by_acquisition(server: OrthancServer, study: str) -> None:
    _post(server, f"/studies/{study}/split", {"By": ["AcquisitionNumber"], "Into": "Series"})


def _copy(threads: int) -> Work:
    def work(server: OrthancServer, study: str) -> None:
        found = [one["ID"] for one in server.http.json(f"/studies/{study}/instances")]
        _post(server, "/bench/copy", {"Instances": found, "Threads": threads})

    return work


def _post(server: OrthancServer, path: str, body: dict[str, Any]) -> None:
    answer = server.http.post(path, body, timeout=600)
    if not answer.ok:
        raise RuntimeError(f"{path}: {answer.status_code} {answer.text}")


def _resident(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} is gone")
