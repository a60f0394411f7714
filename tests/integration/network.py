"""Two servers in a network of their own: archives, a worklist, DCMTK's tools."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pynetdicom import AE, evt

import rootfs
from integration.pair import Pair, Party
from integration.servers import SUITES, OrthancServer, free_port
from integration.waiting import wait_until

UUID_DERIVED = re.compile(r"\b2\.25\.[0-9]{20,}")  # of storage commitments
WORKLIST_FIND = "1.2.840.10008.5.1.4.31"


DEAD = 1
"""A port at which nobody listens: without privileges nobody can."""


@dataclass
class Network(Pair):
    """Two servers that have each an archive of their own; or their archives."""

    ports: frozenset[str] = frozenset()
    """The ports that they listen on, which differ."""

    def text(self, text: str) -> str:
        """Leave out ports and the UIDs of transactions, too."""
        for port in self.ports:
            text = text.replace(port, "port")
        return UUID_DERIVED.sub("transaction", super().text(text))

    def value(self, value: Any) -> Any:
        """Leave out ports that stand as numbers, too."""
        return super().value(self._without_ports(value))

    def _without_ports(self, value: Any) -> Any:
        match value:
            case int():
                return "port" if str(value) in self.ports else value
            case list():
                return [self._without_ports(one) for one in value]
            case dict():
                return {key: self._without_ports(one) for key, one in value.items()}
            case _:
                return value

    def ask_each(self, method: str, path: str, *bodies: Any) -> None:
        """Send one body after the other."""
        for body in bodies:
            self.ask(method, path, json=body)

    def wait_for(self, path: str, key: str, values: tuple[str, ...]) -> None:
        """Wait until a resource of both says one of some values."""
        for party in self:
            read = partial(party.server.http.json, party.fill(path))
            wait_until(path, read, lambda found: found[key] in values)

    def compare_listed(self, job: str) -> dict[str, Any]:
        """Compare what the lists of jobs say of a job; return what Curator's says."""
        listed = [
            {one["ID"]: one for one in party.server.http.json("/jobs?expand")}[party.fill(job)]
            for party in self
        ]
        expected, given = map(self.value, listed)
        assert given == expected
        return dict(listed[1])

    def clear(self) -> None:
        """Delete all that they hold."""
        for party in self:
            party.server.clear()

    def holdings(self) -> list[dict[str, Any]]:
        """Compare all that they hold, and return the metadata of its instances."""
        query = {"Level": "Instance", "Query": {}, "ResponseContent": ["MainDicomTags", "Metadata"]}
        found = self.succeed("POST", "/tools/find", json=query, unordered=True).json()
        for one in found:
            self.succeed("GET", f"/instances/{one['ID']}/file")
        return [dict(one["Metadata"]) for one in found]


def modality(aet: str, port: int) -> dict[str, Any]:
    return {"AET": aet, "Host": "127.0.0.1", "Port": port}


@contextmanager
def worklist() -> Iterator[int]:
    """Serve one scheduled procedure; yield the port."""
    item = Dataset()
    item.PatientID, item.PatientName, item.AccessionNumber = "W1", "Work^List", "A1"
    step = Dataset()
    step.Modality, step.ScheduledStationAETitle = "CT", "SCANNER"
    item.ScheduledProcedureStepSequence = [step]

    def find(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        if event.identifier.get("PatientID", "") in ("", "W1"):
            yield 0xFF00, item

    entity, port = AE("WORKLIST"), free_port()
    entity.add_supported_context(WORKLIST_FIND)
    handlers: list[Any] = [(evt.EVT_C_FIND, find)]
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    assert server is not None
    try:
        yield port
    finally:
        server.shutdown()


class Tools:
    """DCMTK's tools as a Debian has them, beside one of the servers."""

    def __init__(self, release: str, party: Party, directory: Path) -> None:
        assert isinstance(party.server, OrthancServer)
        self.directory = directory / "files"
        self.directory.mkdir(parents=True)
        self._address = ["127.0.0.1", str(party.server.dicom_port)]
        self._root = rootfs.root_directory(SUITES[release])
        own = rootfs.Mount(self.directory, rootfs.STORAGE, writable=True)
        self._mounts = [own, *rootfs.network_files(directory)]

    def run(self, tool: str, *options: str, files: tuple[str, ...] = ()) -> int:
        """Run a tool on the server; return its exit code."""
        inside = [f"{rootfs.STORAGE}/{name}" for name in files]
        arguments = [tool, "-aet", "TOOLS", "-aec", "ORTHANC", *options, *self._address, *inside]
        return subprocess.run(
            rootfs.command(self._root, self._mounts, arguments),
            env=rootfs.environment(),
            capture_output=True,
            timeout=120,
            check=False,
        ).returncode

    def take(self) -> list[bytes]:
        """Return the files that have come, and remove all."""
        found = sorted(self.directory.iterdir())
        contents = [file.read_bytes() for file in found]
        for file in found:
            file.unlink()
        return contents


@dataclass
class Outcome:
    """How a tool ended, and the elements of what came."""

    code: int
    files: list[Any]


@dataclass
class Both:
    """The tools beside each of both servers."""

    servers: Network
    sides: list[Tools]

    def run(self, tool: str, *options: str, files: tuple[str, ...] = ()) -> Outcome:
        """Run a tool on both servers, compare, and return what came."""
        stock, curator = (
            Outcome(
                side.run(tool, *options, files=files),
                sorted((self.servers.file(file) for file in side.take()), key=str),
            )
            for side in self.sides
        )
        assert curator == stock
        return curator

    def introduce(self, **entry: Any) -> None:
        """Make the tools known to the servers as a modality."""
        entry = {**modality("TOOLS", free_port()), **entry}
        self.servers.succeed("PUT", "/modalities/tools", json=entry)
