"""What is the stock server's own: it has to be as fast with the plugin as without.

Both servers do the same in turns, and take turns at being the first, so that whatever else happens
on the machine hits both. The ratio is the median over all turns.
"""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.measuring import Spent, ct_files, post, timed, upload
from integration.archives import at_port
from integration.servers import OrthancServer

#: What the plugin may not fall below, as a part of what the stock server does.
BAR = 0.97

#: How often each question is asked in a turn, and turns in a round.
TIMES, TURNS = 10, 4

#: Elements that the index does not have.
REQUESTED = ["PixelSpacing", "SliceThickness"]

#: Does something on a server, and returns how often.
Work = Callable[[OrthancServer], int]


@dataclass(frozen=True)
class Task:
    """Something that a stock server does.

    Attributes
    ----------
    fills : bool
        Whether it stores instances, in a server that is empty before.
    held : bool
        Whether the bar is for it: not for routes that Curator answers with jobs of its own.
    """

    name: str
    work: Work
    fills: bool = False
    held: bool = True


def measure(release: str, instances: int, rounds: int, clients: int) -> dict[str, Any]:
    """Return how often a second each server does each task, and the ratio of the two."""
    receiving = {"DicomServerEnabled": True}
    stock = OrthancServer(release, receiving, with_plugin=False, in_memory=True)
    curator = OrthancServer(release, receiving, in_memory=True)
    modalities = {_modality(one): at_port(one.dicom_port) for one in (stock, curator)}
    sending = {"DicomModalities": modalities}
    sender = OrthancServer(release, sending, with_plugin=False, in_memory=True)
    turns: dict[str, list[tuple[Spent, Spent, int]]] = {}
    with stock, curator, sender:
        files = ct_files(instances, 0)
        upload(sender, files, 1)
        tasks = _tasks(files, clients, sender)
        for number in range(rounds):
            for task in tasks:
                found = turns.setdefault(task.name, [])
                found += [
                    _turn(task, stock, curator, reverse=bool(turn % 2))
                    for turn in range(number, number + (1 if task.fills else TURNS))
                ]
    held = {task.name for task in tasks if task.held}
    return {
        "release": release,
        "instances": instances,
        "tasks": {name: _figures(found, name in held) for name, found in turns.items()},
    }


def table(measured: Mapping[str, Any]) -> str:
    """Return the figures of one release for people."""
    lines = [
        (
            f"Orthanc {measured['release']} without and with Curator,"
            f" {measured['instances']} CT instances of 512 kB"
        ),
        f"{'':34}{'stock/s':>10}{'Curator/s':>11}{'ratio':>8}{'CPU ratio':>11}",
    ]
    for name, row in measured["tasks"].items():
        verdict = {True: f"  bar {BAR}: met", False: f"  bar {BAR}: missed", None: ""}[row["met"]]
        lines.append(
            f"{name:34}{_rate(row['stock']):>10}{_rate(row['curator']):>11}{row['ratio']:8.2f}"
            f"{row['processor ratio']:11.2f}{verdict}"
        )
    return "\n".join(lines) + "\n"


def _rate(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def _tasks(files: list[bytes], clients: int, sender: OrthancServer) -> list[Task]:
    """Return the tasks; those that store come first, and leave what the others ask for."""
    found = {"Level": "Instance", "Query": {"Modality": "CT"}}
    return [
        Task("upload, 1 client", lambda server: upload(server, files, 1), fills=True),
        Task(
            f"upload, {clients} clients", lambda server: upload(server, files, clients), fills=True
        ),
        Task("C-STORE reception", partial(_receive, sender), fills=True),
        Task("tools/find", _asking("/tools/find", found)),
        Task("tools/find, Expand", _asking("/tools/find", {**found, "Expand": True})),
        Task(
            "tools/find, RequestedTags",
            _asking("/tools/find", {**found, "Expand": True, "RequestedTags": REQUESTED}, 1),
        ),
        Task("archive", _archive),
        Task("GET /studies?expand", _asking("/studies?expand")),
        Task("GET /jobs?expand", _asking("/jobs?expand"), held=False),
    ]


def _turn(
    task: Task, stock: OrthancServer, curator: OrthancServer, *, reverse: bool
) -> tuple[Spent, Spent, int]:
    """Do a task on both servers; return what each has spent, and how often it was done."""
    spent: dict[str, Spent] = {}
    done = 0
    for server in (curator, stock) if reverse else (stock, curator):
        if task.fills:
            server.clear()
        counted: list[int] = []
        spent[server.url] = timed(server, lambda: counted.append(task.work(server)))  # noqa: B023
        (done,) = counted
    return spent[stock.url], spent[curator.url], done


def _figures(turns: list[tuple[Spent, Spent, int]], held: bool) -> dict[str, Any]:
    ratio = statistics.median(stock.seconds / curator.seconds for stock, curator, _ in turns)
    stock_used = sum(stock.processor for stock, _, _ in turns)
    curator_used = sum(curator.processor for _, curator, _ in turns)
    return {
        "stock": statistics.median(done / stock.seconds for stock, _, done in turns),
        "curator": statistics.median(done / curator.seconds for _, curator, done in turns),
        "ratio": ratio,
        "processor ratio": stock_used / curator_used,
        "met": ratio >= BAR if held else None,
    }


def _asking(path: str, body: Mapping[str, Any] | None = None, times: int = TIMES) -> Work:
    """Return a question, GET or POST, that is asked several times."""

    def work(server: OrthancServer) -> int:
        for _ in range(times):
            answer = server.http.get(path) if body is None else server.http.post(path, body)
            answer.raise_for_status()
        return times

    return work


def _archive(server: OrthancServer) -> int:
    for study in server.http.json("/studies"):
        server.http.get(f"/studies/{study}/archive").raise_for_status()
    return 1


def _receive(sender: OrthancServer, server: OrthancServer) -> int:
    studies = sender.http.json("/studies")
    body = {"Resources": studies, "Synchronous": True}
    done = post(sender, f"/modalities/{_modality(server)}/store", body)
    assert not done["FailedInstancesCount"], done
    return int(done["InstancesCount"])


def _modality(server: OrthancServer) -> str:
    return f"port-{server.dicom_port}"
