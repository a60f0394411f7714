"""All benches: tables with ratios for people, JSON for machines."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bench import anonymize, engine, peers, reshape, route

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Run what the command line asks for."""
    options = _options()
    results: dict[str, Any] = {"engine": engine.measure(options.times), "jobs": []}
    _say(engine.table(results["engine"]))
    results["profile"] = engine.measure_profile(options.times)
    _say(engine.profile_table(results["profile"]))
    results["peers"], results["memory"], results["route"] = [], [], []
    for release in options.release:
        for bench in (*reshape.benches(options.threads), *anonymize.benches(options.threads)):
            if bench.name in options.bench:
                sizes = (options.instances, options.rounds, options.threads)
                measured = reshape.measure(bench, release, *sizes)
                results["jobs"].append(measured)
                _say(table(measured))
        if "peers" in options.bench:
            compared = peers.measure(release, options.times)
            results["peers"].append(compared)
            _say(peers.table(compared))
        if "route" in options.bench:
            routed = route.measure(
                release, route.Sizes(options.instances, options.rounds, options.clients)
            )
            results["route"].append(routed)
            _say(route.table(routed))
        if options.memory:
            resident = reshape.memory(release, options.memory)
            results["memory"].append(resident)
            _say(_memory_line(resident))
    target = options.json or RESULTS / "latest.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(results, indent=1) + "\n")
    _say(f"written to {target}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/bench/run", description=__doc__)
    parser.add_argument("--release", action="append", help="1.12.7 or 1.13.0; both by default")
    parser.add_argument(
        "--bench",
        action="append",
        help="split, merge, anonymize, peers or route; all by default",
    )
    parser.add_argument("--instances", type=int, default=300, help="CT instances of 512 kB")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which the median counts")
    parser.add_argument("--threads", type=int, default=4, help="ThreadsPerJob")
    parser.add_argument("--clients", type=int, default=4, help="who upload to route, at a time")
    parser.add_argument("--times", type=int, default=200, help="edits per measure of the engine")
    parser.add_argument("--memory", type=int, default=3000, help="instances to watch memory over")
    parser.add_argument("--json", type=Path, help="where the figures go")
    options = parser.parse_args()
    options.bench = options.bench or ["split", "merge", "anonymize", "peers", "route"]
    options.release = options.release or ["1.12.7", "1.13.0"]
    return options


def table(measured: dict[str, Any]) -> str:
    """Return the figures of one release for people."""
    what = f"{measured['bench']}, {measured['instances']} CT instances of 512 kB"
    lines = [f"Orthanc {measured['release']}, {what}"]
    lines.append(f"{'':26}{'instances/s':>12}{'to built-in':>13}")
    for way, rate in measured["per second"].items():
        lines.append(f"{way:26}{rate:12.0f}{measured['ratio to built-in'][way]:12.2f}x")
    return "\n".join(lines) + "\n"


def _memory_line(resident: dict[str, Any]) -> str:
    sizes = ", ".join(f"{size:.0f}" for size in resident["resident MB"])
    return f"resident MB after each {resident['instances per step']} instances: {sizes}\n"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
