"""One kind of work done in several ways, on servers that take turns, and what is to be reached.

Databases on a memory disk, ``TCP_NODELAY=1`` everywhere; figures of one run are compared with each
other only, absolute ones say nothing on a shared machine.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory import ct_series
from integration.servers import Http, OrthancServer

LIMIT_PLUGIN = Path(__file__).parent / "limit"

#: Matrix of the CT instances, which makes them 512 kB.
SIZE = 512

#: What split, merge and anonymization have to reach of the built-in ones and of the limit, of which
#: the lower counts.
OF_BUILT_IN, OF_LIMIT = 2.0, 0.9

LIMIT = "limit: read and store"

#: The clock of Linux that counts nanoseconds where /proc counts in hundredths of a second.
_CPUCLOCK_SCHED = 2


@dataclass(frozen=True)
class Stored:
    """What a server holds when work on it begins.

    Attributes
    ----------
    study : str
        One of the studies, where there are several.
    target : str
        A study of one small instance that can be merged into; it does not count.
    """

    study: str
    target: str


#: Changes what is stored.
Work = Callable[[OrthancServer, Stored], None]

#: Makes the files of a round, other in each: ``files(instances, round)``.
Files = Callable[[int, int], list[bytes]]


def ct_files(instances: int, round_number: int) -> list[bytes]:
    """Make a CT series of two acquisitions."""
    return ct_series(
        instances,
        size=SIZE,
        study=f"bench {round_number}",
        PatientID=f"BENCH{round_number}",
        AcquisitionNumber=lambda index: index % 2 + 1,
    )


@dataclass(frozen=True)
class Bench:
    """One kind of work in all its ways.

    Attributes
    ----------
    ways : mapping
        The server of each way and its work; the first one is the built-in, which the others count
        by.
    held : tuple of str
        The ways that the bars are for.
    kind : str
        What the files are.
    """

    name: str
    ways: Mapping[str, tuple[str, Work]]
    held: tuple[str, ...] = ()
    files: Files = ct_files
    kind: str = "CT instances of 512 kB"


@dataclass(frozen=True)
class Spent:
    """What work has cost: seconds, and those of the processor that the server has used for it."""

    seconds: float
    processor: float


@contextmanager
def servers(release: str, threads: int) -> Iterator[dict[str, OrthancServer]]:
    """Start a stock server, one with Curator, and one with the plugin that is the limit."""
    settings = {"Curator": {"ThreadsPerJob": threads}}
    found = {
        "stock": OrthancServer(release, with_plugin=False, in_memory=True),
        "curator": OrthancServer(release, settings, in_memory=True),
        "limit": OrthancServer(release, plugin=LIMIT_PLUGIN, in_memory=True),
    }
    with ExitStack() as stack:
        for server in found.values():
            stack.enter_context(server)
        yield found


def measure(
    bench: Bench, running: Mapping[str, OrthancServer], instances: int, rounds: int
) -> dict[str, Any]:
    """Return instances per second of each way, the median of some rounds, ratios and bars."""
    spent: dict[str, list[Spent]] = {way: [] for way in bench.ways}
    count = 0
    for number in range(rounds):
        files = bench.files(instances, number)
        count = len(files)
        for way, (server, work) in bench.ways.items():
            spent[way].append(_spent(running[server], files, number, work))
    rates = {
        way: statistics.median(count / one.seconds for one in found) for way, found in spent.items()
    }
    base = next(iter(rates.values()))
    bar = _bar(bench, rates)
    return {
        "bench": bench.name,
        "release": next(iter(running.values())).release,
        "instances": count,
        "kind": bench.kind,
        "per second": rates,
        "ratio to built-in": {way: rate / base for way, rate in rates.items()},
        "processor ms": {
            way: statistics.median(one.processor for one in found) / count * 1000
            for way, found in spent.items()
        },
        "bar": bar,
        "met": {way: rates[way] >= bar for way in bench.held},
    }


def table(measured: Mapping[str, Any]) -> str:
    """Return the figures of one bench for people."""
    lines = [
        (
            f"Orthanc {measured['release']}, {measured['bench']},"
            f" {measured['instances']} {measured['kind']}"
        ),
        f"{'':34}{'instances/s':>12}{'to built-in':>13}{'CPU ms':>9}",
    ]
    for way, rate in measured["per second"].items():
        lines.append(
            f"{way:34}{rate:12.0f}{measured['ratio to built-in'][way]:12.2f}x"
            f"{measured['processor ms'][way]:9.2f}{_verdict(measured, way)}"
        )
    return "\n".join(lines) + "\n"


def _verdict(measured: Mapping[str, Any], way: str) -> str:
    met = measured["met"].get(way)
    if met is None:
        return ""
    return f"  bar {measured['bar']:.0f}: {'met' if met else 'missed'}"


def _bar(bench: Bench, rates: Mapping[str, float]) -> float:
    """Return the rate to be reached: of the built-in or of the limit, whichever is lower."""
    base = next(iter(rates.values()))
    return min(OF_BUILT_IN * base, OF_LIMIT * rates[LIMIT]) if bench.held else 0.0


def _spent(server: OrthancServer, files: list[bytes], number: int, work: Work) -> Spent:
    """Store the files, see what the work costs, and empty the server."""
    before = stored(server, files, number)
    spent = timed(server, lambda: work(server, before))
    server.clear()
    return spent


def stored(server: OrthancServer, files: list[bytes], number: int) -> Stored:
    """Upload the files of a round, and a study to merge them into."""
    (small,) = ct_series(1, study=f"target {number}", PatientID=f"BENCH{number}")
    target = server.upload(small)["ParentStudy"]
    for content in files:
        study = server.upload(content)["ParentStudy"]
    return Stored(study, target)


def timed(server: OrthancServer, work: Callable[[], object]) -> Spent:
    """Return what work on a server costs."""
    processor, start = processor_seconds(server.pid), time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    return Spent(seconds, processor_seconds(server.pid) - processor)


def sources(server: OrthancServer, stored: Stored) -> list[str]:
    """Return the studies that are worked on."""
    return [one for one in server.http.json("/studies") if one != stored.target]


def copy(threads: int, *, decode: bool = False) -> Work:
    """Return the limit: read and store every instance unchanged but for its UID, decoded or not."""

    def work(server: OrthancServer, stored: Stored) -> None:
        small = {one["ID"] for one in server.http.json(f"/studies/{stored.target}/instances")}
        found = [one for one in server.http.json("/instances") if one not in small]
        body = {"Instances": found, "Threads": threads, "Decode": decode}
        post(server, "/bench/copy", body)

    return work


def post(server: OrthancServer, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Ask for work that has to succeed, and return what it answers."""
    answer = server.http.post(path, body, timeout=1800)
    if not answer.ok:
        raise RuntimeError(f"{path}: {answer.status_code} {answer.text}")
    return dict(answer.json()) if answer.content else {}


def upload(server: OrthancServer, files: list[bytes], clients: int) -> int:
    """Upload instances by some clients at the same time; return how many they are."""

    def send(part: list[bytes]) -> None:
        http = Http(server.url)
        for content in part:
            answer = http.post("/instances", data=content)
            assert answer.ok, answer.text
        http.close()

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(send, [files[first::clients] for first in range(clients)]))
    return len(files)


def resident(pid: int) -> float:
    """Return the resident memory of a process in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} is gone")


def processor_seconds(pid: int) -> float:
    """Return the time that a process has used, in all its threads."""
    clock = (~pid << 3) | _CPUCLOCK_SCHED  # as clock_getcpuclockid(3) makes it of a process
    return time.clock_gettime(clock)
