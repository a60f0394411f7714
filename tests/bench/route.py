"""Routing: Lua's one-line router, Curator's rules, and one batch C-STORE, in one run.

What is compared is measured in turns on the same machine; upload means POST of one instance after
the other by some clients at the same time.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import rootfs
from bench.measuring import ct_files, post, processor_seconds, resident, upload
from curator.dicom.tags import Path as ElementPath
from curator.dicom.tags import parse_path
from curator.level import Level
from curator.models import validate
from curator.route.decide import decide
from curator.route.facts import Facts, Source
from curator.route.kinds import Trigger
from curator.route.rule import RuleSet
from factory import make_series, make_study
from integration.archives import ARCHIVE, at_port, count, modality
from integration.routing import destination, rule
from integration.scp import Scp
from integration.servers import OrthancServer, free_port
from integration.waiting import wait_until

LUA = """
function OnStoredInstance(instanceId, tags, metadata)
  SendToModality(instanceId, 'pacs')
end
"""
LUA_FILE = "router.lua"

PACS = "modality:pacs"

#: Gives the seconds that a server takes for the instances, until the archive has them.
Work = Callable[[OrthancServer, OrthancServer, list[bytes], int], float]


@dataclass(frozen=True)
class Way:
    """One of the servers that are compared, and what is measured on it."""

    server: OrthancServer
    work: Work


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes
    ----------
    clients
        How many upload at the same time.
    queued
        Deliveries whose idle cost is measured, over some seconds.
    """

    instances: int
    rounds: int
    clients: int
    queued: int = 5000
    seconds: float = 20


def measure(release: str, sizes: Sizes) -> dict[str, Any]:
    """Measure everything on one release."""
    return {
        "release": release,
        "instances": sizes.instances,
        "clients": sizes.clients,
        "delivery": delivery(release, sizes),
        "upload": upload_rates(release, sizes),
        "isolation": isolation(release, sizes),
        "idle": idle(release, sizes.queued, sizes.seconds),
        "decide": deciding(),
    }


def delivery(release: str, sizes: Sizes) -> dict[str, Any]:
    """Return instances per second into the archive, by each way."""
    archive = OrthancServer(release, ARCHIVE, with_plugin=False, in_memory=True)
    to_archive = {"DicomModalities": {"pacs": modality(archive)}}

    def curator(trigger: str) -> OrthancServer:
        rules = {"Curator": {"Rules": [rule("bench", trigger, PACS)]}}
        return OrthancServer(release, {**to_archive, **rules, "StableAge": 1}, in_memory=True)

    stock = OrthancServer(release, to_archive, with_plugin=False, in_memory=True)
    ways = {
        "Lua, SendToModality": Way(_lua_router(release, to_archive), through),
        "StoredInstance rule": Way(curator("StoredInstance"), through),
        "StableStudy rule": Way(curator("StableStudy"), through),
        "one batch C-STORE": Way(stock, batch),
    }
    rates = _rates(ways, archive, sizes)
    lua, c_store = rates["Lua, SendToModality"], rates["one batch C-STORE"]
    return {
        "per second": rates,
        "ratio to Lua": _ratios(rates, lua),
        "ratio to C-STORE": _ratios(rates, c_store),
    }


def upload_rates(release: str, sizes: Sizes) -> dict[str, Any]:
    """Return instances per second into servers that route nothing of it."""
    archive = OrthancServer(release, ARCHIVE, with_plugin=False, in_memory=True)
    twenty = {"Rules": [_watchful_rule(number) for number in range(20)]}
    to_archive = {"DicomModalities": {"pacs": modality(archive)}}
    ways = {
        "stock": OrthancServer(release, to_archive, with_plugin=False, in_memory=True),
        "Curator, no rules": OrthancServer(release, to_archive, in_memory=True),
        "Curator, 20 rules": OrthancServer(
            release, {**to_archive, "Curator": twenty}, in_memory=True
        ),
    }
    measured = {name: Way(server, uploading) for name, server in ways.items()}
    rates = _rates(measured, archive, sizes)
    return {"per second": rates, "ratio to stock": _ratios(rates, rates["stock"])}


def isolation(release: str, sizes: Sizes) -> dict[str, Any]:
    """Return instances per second into an archive: alone, and beside a dead and a slow one."""
    archive = OrthancServer(release, ARCHIVE, with_plugin=False, in_memory=True)
    with Scp("SLOW", delay=0.5) as slow:
        places = {
            "pacs": modality(archive),
            "dead": at_port(free_port(), "DEAD"),
            "slow": slow.modality,
        }

        def router(*to: str) -> Way:
            rules = [rule(name, "StoredInstance", f"modality:{name}") for name in to]
            settings = {"DicomModalities": places, "Curator": {"Rules": rules}}
            return Way(OrthancServer(release, settings, in_memory=True), through)

        ways = {"alone": router("pacs"), "beside dead and slow": router("pacs", "dead", "slow")}
        rates = _rates(ways, archive, sizes)
    return {"per second": rates, "ratio to alone": _ratios(rates, rates["alone"])}


def idle(release: str, queued: int, seconds: float) -> dict[str, Any]:
    """Return what queued deliveries to a dead destination cost, beside the same server without.

    CPU is the share of one processor over some seconds.
    """
    to_dead = rule("dead", "StoredInstance", "modality:dead", Retry={})
    settings = {
        "DicomModalities": {"dead": at_port(free_port(), "DEAD")},
        "Curator": {"Rules": [to_dead]},
    }
    costs: dict[str, Any] = {"deliveries": queued}
    with OrthancServer(release, settings, in_memory=True) as server:
        series = (make_series(1, series=f"{number}") for number in range(queued))
        upload(server, make_study(series), 4)
        while destination(server, "modality:dead")["Deliveries"]["Queued"] < queued:
            time.sleep(0.5)  # looking costs more than queuing
        costs["queued"] = _cost_after_restart(server, seconds)
        post(server, "/curator/deliveries/cancel", {"All": True})
        while _is_busy(server):
            time.sleep(0.5)
        costs["none"] = _cost_after_restart(server, seconds)
    return costs


def deciding(rules: int = 200, times: int = 50) -> dict[str, Any]:
    """Return the milliseconds in which as many rules are decided on one study."""
    written = [_watchful_rule(number, "StableStudy") for number in range(rules)]
    rule_set = validate(RuleSet, {"Rules": written})
    spent = []
    for _ in range(times):
        facts = _facts()
        start = time.perf_counter()
        verdicts = decide(rule_set.rules, Trigger.STABLE_STUDY, facts)
        spent.append(time.perf_counter() - start)
        assert len(verdicts) == rules
    return {"rules": rules, "ms": statistics.median(spent) * 1000}


def table(measured: Mapping[str, Any]) -> str:
    """Return the figures of one release for people."""
    title = (
        f"Orthanc {measured['release']}, {measured['instances']} CT instances of 512 kB,"
        f" {measured['clients']} clients"
    )
    idle_costs, decided = measured["idle"], measured["decide"]
    costs = ", ".join(
        f"{idle_costs[name]['CPU %']:.2f} % CPU and {idle_costs[name]['resident MB']:.0f} MB"
        for name in ("queued", "none")
    )
    return "\n".join(
        [
            title,
            *_lines("ingest to delivery", measured["delivery"]),
            *_lines("upload", measured["upload"]),
            *_lines("a third destination", measured["isolation"]),
            f"idle with {idle_costs['deliveries']} queued deliveries, and with none: {costs}",
            f"{decided['rules']} rules on one study: {decided['ms']:.2f} ms",
            "",
        ]
    )


def through(server: OrthancServer, archive: OrthancServer, files: list[bytes], n: int) -> float:
    """Return the time from the first upload to the last instance in the archive."""
    start = time.perf_counter()
    upload(server, files, n)
    wait_for_all(archive, len(files))
    return time.perf_counter() - start


def batch(server: OrthancServer, archive: OrthancServer, files: list[bytes], n: int) -> float:
    """Return the time of one job that sends the study, which is there already."""
    upload(server, files, n)
    studies = server.http.json("/studies")
    start = time.perf_counter()
    post(server, "/modalities/pacs/store", {"Resources": studies, "Synchronous": True})
    seconds = time.perf_counter() - start
    wait_for_all(archive, len(files))
    return seconds


def uploading(server: OrthancServer, archive: OrthancServer, files: list[bytes], n: int) -> float:
    """Return the time of the upload alone."""
    start = time.perf_counter()
    upload(server, files, n)
    return time.perf_counter() - start


def wait_for_all(archive: OrthancServer, instances: int) -> None:
    """Wait without taking much of the processor from what is measured."""
    while count(archive) < instances:
        time.sleep(0.02)


def _rates(ways: Mapping[str, Way], archive: OrthancServer, sizes: Sizes) -> dict[str, float]:
    rates: dict[str, list[float]] = {name: [] for name in ways}
    with _started([archive, *(way.server for way in ways.values())]):
        for number in range(sizes.rounds):
            files = ct_files(sizes.instances, number)
            for name, way in ways.items():
                seconds = way.work(way.server, archive, files, sizes.clients)
                rates[name].append(len(files) / seconds)
                _empty(way.server, archive)
    return {name: statistics.median(values) for name, values in rates.items()}


@contextmanager
def _started(servers: list[OrthancServer]) -> Iterator[None]:
    with ExitStack() as stack:
        for server in servers:
            stack.enter_context(server)
        yield


def _empty(server: OrthancServer, archive: OrthancServer) -> None:
    """Begin anew, when what was sent is also noted."""
    if "Curator" in server.launch.settings:
        wait_until("notes", lambda: _under_way(server), lambda number: number == 0)
    server.clear()
    archive.clear()


def _under_way(server: OrthancServer) -> int:
    """Count the deliveries to the archive that are not over."""
    found = destination(server, PACS)["Deliveries"]
    return int(found["Queued"]) + int(found["Sending"])


def _lua_router(release: str, settings: dict[str, Any]) -> OrthancServer:
    """Return a stock server with the script in its storage, which it sees at the usual place."""
    wanted = {**settings, "LuaScripts": [f"{rootfs.STORAGE}/{LUA_FILE}"]}
    server = OrthancServer(release, wanted, with_plugin=False, in_memory=True)
    (server.storage / LUA_FILE).write_text(LUA)
    return server


def _watchful_rule(number: int, trigger: str | None = None) -> dict[str, Any]:
    """Return one of many rules that look at everything and send nothing of the bench."""
    condition = {
        "All": [
            {"Tag": "Modality", "In": ["CT", "MR"]},
            {"Any": [{"Source": {"RemoteAet": "CT*"}}, {"Not": {"Label": "no-research"}}]},
            {"Tag": "StudyDescription", "Like": f"*PROTOCOL {number}*"},
        ]
    }
    triggers = ("StoredInstance", "StableStudy", "StableSeries", "StablePatient")
    when = trigger or triggers[number % len(triggers)]
    return rule(f"rule-{number}", when, PACS, If=condition)


def _facts() -> Facts:
    values = {
        parse_path("Modality"): ("CT",),
        parse_path("StudyDescription"): ("SYNTHETIC STUDY",),
    }

    def read(path: ElementPath) -> tuple[str, ...]:
        return values[path]

    return Facts(
        Level.STUDY,
        "bench",
        read,
        datetime.now(UTC),
        sources=(Source(remote_aet="CT1", origin="DicomProtocol"),),
    )


def _is_busy(server: OrthancServer) -> bool:
    """Tell whether any run is not over."""
    wanted = {"state": "Waiting,Running,Sending", "limit": 1}
    return bool(server.http.json("/curator/runs", params=wanted)["Runs"])


def _cost_after_restart(server: OrthancServer, seconds: float) -> dict[str, float]:
    """Return what a server that has just begun costs when nothing happens.

    It is killed, since the core hands thousands of changes to Lua before it stops, with and without
    Curator.
    """
    server.kill()
    server.start()
    time.sleep(min(seconds, 5))
    before = processor_seconds(server.pid)
    time.sleep(seconds)
    used = processor_seconds(server.pid) - before
    return {"CPU %": used / seconds * 100, "resident MB": resident(server.pid)}


def _ratios(rates: Mapping[str, float], base: float) -> dict[str, float]:
    return {name: rate / base for name, rate in rates.items()}


def _lines(title: str, part: Mapping[str, Any]) -> list[str]:
    """Return a row for each way: its rate, and its ratio to what it is compared with."""
    ratios = [name for name in part if name.startswith("ratio")]
    heads = "".join(f"{name.removeprefix('ratio '):>14}" for name in ratios)
    rows = [
        f"{way:26}{rate:12.0f}" + "".join(f"{part[name][way]:13.2f}x" for name in ratios)
        for way, rate in part["per second"].items()
    ]
    return [f"{title:26}{'instances/s':>12}{heads}", *rows]
