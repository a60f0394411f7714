"""An Orthanc in memory with a change log and stable events, and the reader of events on it."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from curator.gateway import Gateway
from curator.level import Level
from curator.models import validate
from curator.route.arrivals import Arrivals
from curator.route.change_log import ChangeLog
from curator.route.events import STABLE
from curator.route.inventory import Inventory
from curator.route.keeping import Keeping
from curator.route.labels import Labels
from curator.route.log_reader import LogReader
from curator.route.moments import moment_text
from curator.route.products import Products
from curator.route.reading import FactsReader
from curator.route.rule import RuleSet
from curator.route.run import Run
from curator.route.runs import Runs
from curator.route.schedules import Schedules
from curator.route.sweep import Sweep
from curator.store import Store
from unit.fake_sdk import FakeOrthancError
from unit.reshape.memory import MemoryOrthanc

STABLE_AGE = 60.0

#: 2024-01-31 12:00:00 UTC, a Wednesday.
START = datetime(2024, 1, 31, 12, tzinfo=UTC).timestamp()

NEW = {Level.PATIENT: "NewPatient", Level.STUDY: "NewStudy", Level.SERIES: "NewSeries"}

SIGNATURE = "0008,0005;0008,0020;0008,0050;0008,0060;0008,1030;0008,103e;0010,0010;0010,0020"


#: What a search without ``ResponseContent`` needs to be carried out.
_EVERYTHING = {"ResponseContent": ["Metadata"]}


class Clock:
    """Stands still until it is told."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class LoggingOrthanc(MemoryOrthanc):
    """Keeps a change log as the core does: what is deleted leaves it, numbers are never reused.

    Attributes
    ----------
    deaf, deaf_to : set of str, str
        Resources that it refuses to read, and by which route.
    going : set of str
        Resources that are deleted as soon as they were read.
    selects : bool
        Whether its database selects changes by type (``ExtendedChanges``).
    cap : int
        ``LimitFindResults``.
    """

    def __init__(self, clock: Clock, **options: Any) -> None:
        super().__init__(**options)
        self.clock = clock
        self.log_entries: list[dict[str, Any]] = []
        self.number = 0
        self.unstable: dict[str, float] = {}
        self.deaf: set[str] = set()
        self.deaf_to = "/tools/bulk-content"
        self.going: set[str] = set()
        self.selects = True
        self.cap = 1000
        self.source = {"RemoteAET": "CT1", "Origin": "DicomProtocol", "RemoteIP": "10.1.2.3"}

    # What happens

    def put_instance(self, dicom: bytes) -> tuple[str, str]:
        before = set(self.nodes)
        orthanc_id, status = super().put_instance(dicom)
        if status != "Success":
            return orthanc_id, status
        moment = moment_text(self.clock())
        self.nodes[orthanc_id].metadata |= {"ReceptionDate": moment, **self.source}
        self.enter("NewInstance", orthanc_id)
        for one in list(self._line(orthanc_id))[1:]:
            node = self.nodes[one]
            if one not in before:
                self.enter(NEW[node.level], one)
                node.metadata["MainDicomTagsSignature"] = SIGNATURE
            node.metadata["LastUpdate"] = moment
            self.unstable.pop(one, None)
            self.unstable[one] = self.clock()
        return orthanc_id, status

    def enter(self, type_: str, orthanc_id: str) -> None:
        """Write an entry into the log."""
        self.number += 1
        entry = {
            "Seq": self.number,
            "ChangeType": type_,
            "ResourceType": self.nodes[orthanc_id].level,
            "ID": orthanc_id,
            "Date": moment_text(self.clock()),
        }
        self.log_entries.append(entry)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and what is old enough become stable."""
        self.clock.now += seconds
        names = {level: trigger.value for trigger, level in STABLE.items()}
        for one, since in list(self.unstable.items()):
            if self.clock() - since > STABLE_AGE:
                del self.unstable[one]
                self.enter(names[self.nodes[one].level], one)

    def kill(self) -> None:
        """Forget what is not in the index."""
        self.unstable.clear()

    def clear_log(self) -> None:
        """Let an administrator clear the log."""
        self.log_entries.clear()

    def _pop(self, orthanc_id: str) -> None:
        parent = self.nodes[orthanc_id].parent
        super()._pop(orthanc_id)
        self.log_entries = [one for one in self.log_entries if one["ID"] != orthanc_id]
        self.unstable.pop(orthanc_id, None)
        for one in self._line(parent) if parent in self.nodes else ():
            self.nodes[one].metadata["LastUpdate"] = moment_text(self.clock())

    # What it answers

    def _answer(self, method: str, uri: str, body: bytes = b"") -> bytes:
        path, _, query = uri.partition("?")
        if path == "/changes":
            self.calls.append((method, uri, body))
            return json.dumps(self._changes(parse_qs(query, True))).encode()
        if path == self.deaf_to and self.deaf & self._asked(path, body):
            raise FakeOrthancError(36, "The database is currently not available")
        answer = super()._answer(method, uri, body)
        if path == "/tools/bulk-content":
            for one in self.going & self._asked(path, body):
                self.remove(*self.below(one))
        if path == "/tools/find":
            return json.dumps(self._selected(json.loads(body))).encode()
        if path == "/system":
            return json.dumps(
                {**json.loads(answer), "Capabilities": {"HasExtendedChanges": self.selects}}
            ).encode()
        return answer

    def _asked(self, path: str, body: bytes) -> set[str]:
        """Return the resources that a request reads."""
        listed = path == "/tools/bulk-content"
        return set(json.loads(body)["Resources"]) if listed else {path.split("/")[2]}

    def _changes(self, query: dict[str, list[str]]) -> dict[str, Any]:
        entries = self.log_entries
        if "last" in query:
            found, limit = entries[-1:], 1
        else:
            since, limit = int(query["since"][0]), int(query["limit"][0])
            types = query["type"][0].split(";") if "type" in query else None
            assert types is None or self.selects
            found = [
                one
                for one in entries
                if one["Seq"] > since and (types is None or one["ChangeType"] in types)
            ]
        page = found[:limit]
        answer = {"Changes": page, "Done": len(found) <= limit, "Last": self.number}
        return {**answer, "First": page[0]["Seq"], "Last": page[-1]["Seq"]} if page else answer

    def _selected(self, query: dict[str, Any]) -> list[Any]:
        everything = super()._find(json.dumps({**_EVERYTHING, **query, "Expand": True}).encode())
        labels = set(query.get("Labels", ()))
        found = [one for one in json.loads(everything) if labels <= self.nodes[one["ID"]].labels]
        for order in query.get("OrderBy", ())[:1]:
            assert order["Key"] == "LastUpdate"
            found.sort(
                key=lambda one: (one["Metadata"]["LastUpdate"], one["ID"]),
                reverse=order["Direction"] == "DESC",
            )
        since = query.get("Since", 0)
        found = found[since : since + min(query.get("Limit", self.cap), self.cap)]
        if query.get("Expand") is False:
            return [one["ID"] for one in found]
        for one in found:
            one["IsStable"] = one["ID"] not in self.unstable
            one["Status"] = self._status(one["ID"])
        return found

    def _status(self, orthanc_id: str) -> str:
        expected = self.nodes[orthanc_id].metadata.get("ExpectedNumberOfInstances")
        if expected is None:
            return "Unknown"
        return "Complete" if len(self.below(orthanc_id)) == int(expected) else "Missing"

    def only(self, level: Level) -> str:
        """Return the one resource of a level."""
        (found,) = self.of(level)
        return found


class Watched:
    """What watches an Orthanc, without its threads; made anew, it is another start of Orthanc."""

    def __init__(self, orthanc: LoggingOrthanc, store: Store, rules: Sequence[dict[str, Any]]):
        self.orthanc = orthanc
        self.store = store
        self.clock = orthanc.clock
        self.woken = 0
        self.use(*rules)
        gateway = Gateway(orthanc)
        self.runs = Runs(store, self.clock)
        self.keeping = Keeping(store, self.runs, self._wake)
        self.reader = FactsReader(gateway, "ISO_IR 100", self.clock)
        self.products = Products(store, gateway, Inventory(gateway))
        self.arrivals = Arrivals(
            gateway, self.reader, lambda: self.rules, self.products.among, self.clock
        )
        sweep = Sweep(gateway, self.keeping, self.runs, self.clock, STABLE_AGE)
        self.log = LogReader(
            ChangeLog(gateway),
            self.arrivals,
            self.keeping,
            sweep,
            store,
            self.clock,
            keep_days=90,
        )
        self.labels = Labels(gateway, self.arrivals, self.keeping, store)
        self.schedules = Schedules(gateway, self.arrivals, self.keeping, store, self.clock)

    def use(self, *rules: dict[str, Any]) -> None:
        """Put other rules into use."""
        self.rules = validate(RuleSet, {"Rules": list(rules)})

    def _wake(self) -> None:
        self.woken += 1

    def catch_up(self) -> None:
        """Do what the thread does when it is woken."""
        self.log.adapt()
        if self.log.triggers:
            while self.log.read():
                pass
            if self.clock() >= self.log.sweep_at():
                self.log.sweep()

    def made(self) -> list[Run]:
        """Return all runs, in their order."""
        return sorted(self.runs.find(limit=10_000), key=lambda run: (run.created, run.rule))

    def fired(self) -> list[tuple[str, str]]:
        """Return rules with the resources that they have fired for."""
        return sorted((run.rule, run.resource) for run in self.made())

    def routed(self, rule: str) -> list[str]:
        """Return the instances that a rule was given, each as often as it was."""
        return sorted(
            subject.orthanc_id
            for run in self.made()
            if run.rule == rule
            for subject in run.subjects
        )


def rule(name: str, when: str, **fields: Any) -> dict[str, Any]:
    """Return a rule as it is written."""
    return {"Name": name, "When": when, "Then": [{"Send": "peer:x"}], **fields}
