"""Mixed work of every kind, with restarts: at its end all is where it belongs, and nothing grew.

``CURATOR_TEST_HOURS=2`` goes on for two hours on each release; every day it is a few rounds.
"""

import logging
import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from integration.anonymizing import traces
from integration.endurance import Client
from integration.gauges import (
    WORK,
    Gauge,
    database,
    gauge,
    kept_for_work,
    orphans,
    states,
)
from integration.http_sink import Answer, HttpSink, Received
from integration.model import check_everything
from integration.routing import UNDER_WAY, rule
from integration.scp import Scp
from integration.servers import OrthancServer, engine_name
from integration.shapes import PATIENTS, PROFILE, UNWANTED
from integration.waiting import FINISHED, wait_until

ServerFactory = Callable[..., OrthancServer]

logger = logging.getLogger(__name__)

HOURS = float(os.environ.get("CURATOR_TEST_HOURS", "0"))

CLIENTS = 4
ACTIONS = 5
"""Of each client in a round."""

WARM, MEASURED = 1, 1
"""Rounds of a process that nobody restarts: before it is measured, and while it is."""

LONG_LIFE = 100
"""Rounds between two restarts where it goes on for hours."""

JOBS = 20
"""Finished jobs that are kept."""

SPARE = 4
"""Threads and open files that may come and go: connections of clients, SQLite's own."""

MEMORY, MEMORY_OF_A_ROUND = 48.0, 0.5
"""Megabytes that a process may grow by after it was warmed up, at once and with each round.

In six minutes it grew by 54 in 34 rounds on 1.13.0, by 42 in 45 on 1.12.7, nearly all of it in the
first thirty. A round stores some 200 instances, so that half a megabyte is 2.5 kB of each.
"""

CONSTANT = (
    "curator_schema",
    "curator_profiles",
    "curator_used_keys",
    "curator_mappings",
    "curator_pauses",
    *WORK,
)
"""Tables that have no more rows after a round than before it; others have their history."""

EXPECTED = re.compile(
    "DUL Association Rejected"  # the archive refuses
    r"|Cannot parse an invalid DICOM file \(size: 8 bytes\)"  # rejected at reception
    r"|Exception while invoking plugin service \d+: Error in the network protocol"  # a client ...
    "|The remote client has likely closed the connection"  # ... whom a restart has cut off
    "|curator-send .*ErrorCode_InternalError"  # what 1.13.0 answers where it was deleted just now
)
"""Errors in Orthanc's log that belong to the work."""

ARCHIVE = "modality:archive"
SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
"""What the archive takes: pynetdicom copies its list of all for every association."""

OURS = {"Tag": "PatientID", "Like": f"{PATIENTS}.*"}

RULES = [
    rule("archive", "StableStudy", ARCHIVE, If=OURS),
    rule("tell", "StoredInstance", "webhook:viewer", If={"Tag": "Modality", "Equals": "MR"}),
    rule(
        "research",
        "Manual",
        "folder:research",
        Then=[
            {"Anonymize": {"Profile": "endurance"}},
            {"Send": "folder:research"},
            {"Label": {"Add": ["in-research"]}},
        ],
    ),
]

RECEIVE = {
    "Name": UNWANTED,
    "If": {"Tag": "StudyDescription", "Equals": UNWANTED},
    "Then": {"Reject": {"Http": 400, "Reason": "not wanted here"}},
}

CURATOR: dict[str, Any] = {
    "JobsHistorySize": JOBS,
    "Profiles": [{"Name": "endurance", **PROFILE}],
    "Rules": RULES,
    "Receive": [RECEIVE],
    "Folders": {"research": {"Root": "/var/lib/orthanc/db/research"}},
}


class Flaky:
    """A web server that fails every fifth request."""

    def __init__(self) -> None:
        self._asked = 0

    def __call__(self, _: Received) -> Answer:
        self._asked += 1
        return Answer(500 if self._asked % 5 == 0 else 200)


@dataclass
class Place:
    """A server at work, what it sends to, and what was measured of it."""

    server: OrthancServer
    archive: Scp
    chance: random.Random
    rounds: int = 0
    operations: set[str] = field(default_factory=set)
    did: Counter[str] = field(default_factory=Counter)

    def work(self, restart: Callable[[], None] | None = None) -> Gauge:
        """Let clients work and leave, the server being restarted meanwhile; measure it after."""
        self.rounds += 1
        clients = [self._client(number) for number in range(CLIENTS)]
        with ThreadPoolExecutor(CLIENTS) as pool:
            working = [pool.submit(one.work, ACTIONS) for one in clients]
            self._disturb(clients, working, restart)
            for one in working:
                one.result()
        for client in clients:
            self.operations |= client.operations
            self.did.update(client.counts)
        self._settle()
        self._check()
        for client in clients:
            client.leave()
        self._settle()
        assert self.server.http.json("/statistics")["CountInstances"] == 0
        self.server.http.close()
        found = gauge(self.server)
        logger.info("round %d %s", self.rounds, found)
        return found

    def _client(self, number: int) -> Client:
        turn = (self.rounds * CLIENTS + number) * ACTIONS
        name = f"r{self.rounds}c{number}"
        return Client(name, self.server.url, self.server.release, turn)

    def _disturb(
        self,
        clients: list[Client],
        working: list[Future[None]],
        restart: Callable[[], None] | None,
    ) -> None:
        """Let the archive refuse for a while; restart the server where that is wanted."""
        marks = sorted(self.chance.sample(range(2, CLIENTS * ACTIONS), 3))
        acts = [self._refuse, self._accept]
        acts.insert(self.chance.randint(0, 2), restart or self._accept)
        for mark, act in zip(marks, acts, strict=True):
            while sum(one.done for one in clients) < mark and not _over(working):
                time.sleep(0.01)
            act()
        self._accept()

    def _settle(self) -> None:
        """Wait until nothing is under way, and the archive has all that there is."""
        wait_until("deliveries", self._missing, lambda missing: not missing)
        wait_until("work", self._under_way, lambda found: not found)

    def _missing(self) -> set[str]:
        body = {
            "Level": "Instance",
            "Query": {"PatientID": f"{PATIENTS}.*"},
            "ResponseContent": ["MainDicomTags"],
        }
        found = self.server.http.post("/tools/find", body).json()
        return {one["MainDicomTags"]["SOPInstanceUID"] for one in found} - set(self.archive.stored)

    def _under_way(self) -> Any:
        return self._unfinished_jobs() or self._unfinished_routing() or kept_for_work(self.server)

    def _unfinished_jobs(self) -> list[Any]:
        return [one for one in self._jobs() if one["State"] not in FINISHED]

    def _unfinished_routing(self) -> set[str]:
        found = states(self.server, "curator_runs") | states(self.server, "curator_deliveries")
        return found.intersection(UNDER_WAY)

    def _jobs(self) -> list[dict[str, Any]]:
        return list(self.server.http.json("/jobs?expand"))

    def _check(self) -> None:
        """Check what holds whenever there is nothing under way."""
        check_everything(self.server)
        failed = {one["ErrorDescription"] for one in self._jobs() if one["State"] == "Failure"}
        assert failed <= {"This job was canceled"}
        assert states(self.server, "curator_runs") <= {"Done", "Canceled"}
        assert states(self.server, "curator_deliveries") <= {"Delivered", "Canceled"}
        assert orphans(self.server) == {}
        self._check_journal()
        self._check_ledger()
        exported = [one for one in (self.server.storage / "research").rglob("*") if one.is_file()]
        assert bool(exported) == (self.did["research"] > 0)
        assert [trace for file in exported for trace in traces(file.read_bytes())] == []

    def _check_journal(self) -> None:
        """See that what was done is in the journal, and nothing that nobody did."""
        with database(self.server) as connection:
            query = "SELECT id, kind FROM curator_operations WHERE done"
            found = dict(connection.execute(query).fetchall())
        assert found.keys() >= self.operations
        assert {found[one] for one in found.keys() - self.operations} <= {"Follow"}

    def _check_ledger(self) -> None:
        """See that the ledger has as confirmed what there is; the archive has it, see `_settle`."""
        with database(self.server) as connection:
            query = "SELECT instance FROM curator_sent WHERE destination = ?"
            sent = {one for (one,) in connection.execute(query, (ARCHIVE,))}
            query = (
                "SELECT instances, done, answer FROM curator_deliveries"
                " WHERE state = 'Delivered' AND instances != done"
            )
            partial = connection.execute(query).fetchall()
        assert set(self.server.http.json("/instances")) <= sent
        assert [one for one in partial if not is_complete(*one)] == []

    def _refuse(self) -> None:
        self.archive.behavior.refuse = True

    def _accept(self) -> None:
        self.archive.behavior.refuse = False


def _over(working: list[Future[None]]) -> bool:
    return all(one.done() for one in working)


def is_complete(instances: int, done: int, answer: str) -> bool:
    """Return whether all instances of a delivery are confirmed that were not deleted before."""
    gone = re.match(r"(\d+) of \d+ instances were deleted before", answer)
    return gone is not None and instances == done + int(gone[1])


def check_growth(gauges: list[Gauge]) -> None:
    """See that rounds of one process leave nothing behind; the first are to warm up."""
    warm, *later = gauges[WARM - 1 :]
    for one in later:
        assert one.threads <= warm.threads + SPARE
        assert one.files <= warm.files + SPARE
        assert one.temporary == warm.temporary
        assert one.rows["curator_jobs"] <= JOBS
        for table in CONSTANT:
            assert one.rows[table] == warm.rows[table], table
    assert later[-1].resident - warm.resident < MEMORY + MEMORY_OF_A_ROUND * len(later)


def check_errors(log: str) -> None:
    """See that Orthanc has logged no errors but those that this test asks for."""
    errors = [line for line in log.splitlines() if line.startswith("E")]
    unexpected = [line for line in errors if not EXPECTED.search(line)]
    assert not unexpected, "\n".join(unexpected)


@pytest.mark.skipif(engine_name() != "rootfs", reason="measures a process on this machine")
def test_mixed_work_leaves_everything_where_it_belongs_and_nothing_grows(
    new_server: ServerFactory, tmp_path: Path
) -> None:
    (tmp_path / "research").mkdir()
    until = time.monotonic() + HOURS * 3600
    with Scp(syntaxes=SYNTAXES) as archive, HttpSink() as viewer:
        viewer.respond = Flaky()
        webhooks = {"viewer": {"Url": viewer.url}}
        server = new_server(
            storage=tmp_path,
            StableAge=1,
            MaximumStorageCacheSize=4,
            DicomModalities={"archive": archive.modality},
            Curator={**CURATOR, "Webhooks": webhooks},
        )
        place = Place(server, archive, random.Random(server.release))

        def restart(end: Callable[[], int]) -> Callable[[], None]:
            def act() -> None:
                assert end() in (0, -signal.SIGKILL)
                server.start()

            return act

        place.work(restart(server.stop))
        place.work(restart(server.kill))
        check_growth([place.work() for _ in range(WARM + MEASURED)])
        while time.monotonic() < until:
            place.work(restart(place.chance.choice([server.stop, server.kill])))
            life = [place.work() for _ in range(WARM + MEASURED)]
            while len(life) < LONG_LIFE and time.monotonic() < until:
                life.append(place.work())
            check_growth(life)
        assert [what for what, count in place.did.items() if not count] == []
        check_errors(server.log)
