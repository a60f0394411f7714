"""Memory of a server that splits, merges, takes back and anonymizes ever more instances."""

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

from bench.anonymize import anonymize
from bench.measuring import Work, ct_files, resident, stored
from bench.reshape import merge_and_undo, merge_by_curator, split_by_acquisition, split_by_curator
from integration.servers import OrthancServer

#: Instances of each operation, and of each step after which memory is looked at.
BATCH, STEP = 250, 1000

#: Done one after the other, each on a study of its own.
WORKS: tuple[Work, ...] = (
    split_by_acquisition,
    merge_by_curator,
    anonymize({"Profile": "basic"}),
    split_by_curator,
    merge_and_undo,
    anonymize({"Profile": "research", "KeepSource": False}),
)


def measure(server: OrthancServer, instances: int) -> dict[str, Any]:
    """Return the resident memory of a server (MB), its threads and open files, step by step."""
    batch, step = min(BATCH, instances), min(STEP, instances)
    works = cycle(WORKS)
    steps: list[dict[str, float]] = []
    for number in range(instances // batch):
        next(works)(server, stored(server, ct_files(batch, number), number))
        server.clear()
        if (number + 1) * batch % step == 0:
            steps.append(_state(server.pid))
    return {"release": server.release, "instances per step": step, "steps": steps}


def table(measured: Mapping[str, Any]) -> str:
    """Return the figures of one release for people."""
    steps = measured["steps"]
    sizes = ", ".join(f"{step['resident MB']:.0f}" for step in steps)
    last = steps[-1]
    return (
        f"Orthanc {measured['release']}, resident MB after each"
        f" {measured['instances per step']} instances: {sizes}\n"
        f"in the end {last['threads']} threads and {last['files']} open files,"
        f" {steps[0]['threads']} and {steps[0]['files']} after the first step\n"
    )


def _state(pid: int) -> dict[str, float]:
    process = Path(f"/proc/{pid}")
    return {
        "resident MB": resident(pid),
        "threads": len(list((process / "task").iterdir())),
        "files": len(list((process / "fd").iterdir())),
    }
