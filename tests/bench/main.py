"""All benches: tables with ratios and bars for people, JSON for machines."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bench import anonymize, dry, engine, measuring, memory, peers, pixels, reshape, route, stock
from integration.servers import OrthancServer

RESULTS = Path(__file__).parent / "results"

#: Work on instances, in several ways on servers that take turns.
IN_WAYS = ("split", "merge", "anonymize", "bulk", "bulk-small", "pixels")

NAMES = ("engine", *IN_WAYS, "dry", "stock", "peers", "route")


def main() -> None:
    """Run what the command line asks for."""
    options = _options()
    results: dict[str, list[Any]] = {}

    def keep(name: str, measured: Any, table: Callable[[Any], str]) -> None:
        results.setdefault(name, []).append(measured)
        _say(table(measured))

    if "engine" in options.bench:
        keep("engine", engine.measure(options.times), engine.table)
        keep("profile", engine.measure_profile(options.times), engine.profile_table)
    for release in options.release:
        with measuring.servers(release, options.threads) as running:
            for measured in _in_ways(running, options):
                keep("jobs", measured, measuring.table)
            if "dry" in options.bench:
                keep("dry", dry.measure(running, options.dry), dry.table)
        for name, (measure, table) in _others(release, options).items():
            if name in options.bench:
                keep(name, measure(), table)
        if options.memory:
            settings = {"Curator": {"ThreadsPerJob": options.threads}}
            with OrthancServer(release, settings, in_memory=True) as server:
                keep("memory", memory.measure(server, options.memory), memory.table)
    target = options.json or RESULTS / "latest.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(results, indent=1) + "\n")
    _say(f"written to {target}")


def _in_ways(
    running: Mapping[str, OrthancServer], options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    for bench in (
        *reshape.benches(options.threads),
        *anonymize.benches(options.threads),
        *pixels.benches(options.threads, running["stock"]),
    ):
        if bench.name in options.bench:
            yield measuring.measure(bench, running, options.instances, options.rounds)


def _others(
    release: str, options: argparse.Namespace
) -> Mapping[str, tuple[Callable[[], dict[str, Any]], Callable[[Any], str]]]:
    """Return what has servers of its own: how it is measured and shown, by name."""
    instances, rounds, clients = options.instances, options.rounds, options.clients
    sizes = route.Sizes(instances, rounds, clients)
    return {
        "stock": (lambda: stock.measure(release, instances, rounds, clients), stock.table),
        "peers": (lambda: peers.measure(release, options.times), peers.table),
        "route": (lambda: route.measure(release, sizes), route.table),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/bench/run", description=__doc__)
    parser.add_argument("--release", action="append", help="1.12.7 or 1.13.0; both by default")
    parser.add_argument(
        "--bench", action="append", choices=(*NAMES, "none"), help="one of them; all by default"
    )
    parser.add_argument("--instances", type=int, default=300, help="CT instances of 512 kB")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which the median counts")
    parser.add_argument("--threads", type=int, default=4, help="ThreadsPerJob")
    parser.add_argument("--clients", type=int, default=4, help="who upload at the same time")
    parser.add_argument("--times", type=int, default=200, help="edits per measure of the engine")
    parser.add_argument("--dry", type=int, default=5000, help="instances to plan an operation on")
    parser.add_argument(
        "--memory", type=int, default=10_000, help="instances to watch memory over; 0 for none"
    )
    parser.add_argument("--json", type=Path, help="where the figures go")
    options = parser.parse_args()
    options.bench = options.bench or list(NAMES)
    options.release = options.release or ["1.12.7", "1.13.0"]
    return options


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
