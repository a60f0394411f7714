"""Let rules work on what is stored already: all resources that a query finds, dry or for real.

A replay runs as a job. One that was stopped begins again and passes over what it has done.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from pydantic import Field, StrictBool

from curator.errors import BadRequest, Conflict, NotFound
from curator.gateway import Gateway
from curator.job_request import Identifiers, JobRequest
from curator.jobs import Job, Task
from curator.level import Level
from curator.models import validate
from curator.route.delivery import Item
from curator.route.delivery_rows import Filter
from curator.route.events import Event
from curator.route.kinds import Trigger
from curator.route.ledger import Ledger
from curator.route.live import LiveRules
from curator.route.rule import Rule
from curator.route.run import Run, Subject
from curator.route.runs import Runs
from curator.route.testing import Outcome, Trials

#: Resources that are listed in one call.
PAGE = 1000

#: Resources that are named in the answer, of every rule.
NAMED = 1000

#: How jobs write times.
TIMESTAMP = "%Y%m%dT%H%M%S.%f"


class ReplayRequest(JobRequest):
    """Body of ``POST /curator/rules/replay``.

    Attributes
    ----------
    query, level, labels
        As for ``/tools/find``.
    rules : tuple of str
        Names of the rules.
    dry_run : bool
        Tell what would be done, and do nothing.
    again : bool
        Send also what the destinations have had from these rules before.
    """

    query: dict[str, str] = Field(default_factory=dict)
    level: Level = Level.STUDY
    labels: tuple[str, ...] = ()
    rules: Identifiers
    dry_run: StrictBool = False
    again: StrictBool = False


#: Lets a rule work on a resource if its condition holds, and returns its runs; takes the event, who
#: asks for it, and the rule.
Fire = Callable[[Event, str, Rule], Sequence[Run]]


@dataclass(frozen=True, slots=True)
class Parts:
    """What a replay is made with."""

    gateway: Gateway
    live: LiveRules
    trials: Trials
    runs: Runs
    ledger: Ledger
    fire: Fire


class ReplayService:
    """Makes the work of replays."""

    job_type = "CuratorReplay"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def check(self, request: ReplayRequest) -> None:
        """See that the rules are there and can be replayed.

        Raises
        ------
        NotFound
            If one is not.
        Conflict, BadRequest
            If one is disabled, or works on nothing that is stored.
        """
        replayed(self._parts.live, request)

    def task(self, request: dict[str, Any]) -> Task:
        """Return the work of a job from the JSON of its submission."""
        return ReplayTask(self._parts, validate(ReplayRequest, request["Body"]))


class ReplayTask:
    """The work of one replay."""

    def __init__(self, parts: Parts, request: ReplayRequest) -> None:
        self._parts = parts
        self._request = request

    def run(self, job: Job) -> None:
        """Replay, and put what has come of it into the content of the job."""
        replay = _Replay(self._parts, self._request, job)
        job.content = {"Description": "REST API", **replay.result()}

    def undo(self, job: Job) -> None:
        """Do nothing: runs that were made go on, as those of any event."""


@dataclass(slots=True)
class _Count:
    """What has come of one rule."""

    rule: Rule
    fired: dict[str, None] = field(default_factory=dict)
    runs: int = 0
    stopped: Counter[str] = field(default_factory=Counter)
    sends: list[dict[str, Any]] = field(default_factory=list)

    def add(self, sends: Sequence[dict[str, Any]]) -> None:
        """Add what would be sent of one resource."""
        if not self.sends:
            self.sends = [dict(one) for one in sends]
            return
        for total, one in zip(self.sends, sends, strict=True):
            for name in ("InstancesCount", "SentBeforeCount"):
                total[name] = None if one[name] is None else total[name] + one[name]

    def told(self, *, dry_run: bool) -> dict[str, Any]:
        """Return it as JSON."""
        done = {"Sends": self.sends} if dry_run else {"RunsCount": self.runs}
        return {
            "Rule": self.rule.name,
            "Version": self.rule.version,
            "FiresCount": len(self.fired),
            "Resources": list(islice(self.fired, NAMED)),
            "Stopped": dict(self.stopped),
            **done,
        }


class _Replay:
    """One run of a replay."""

    def __init__(self, parts: Parts, request: ReplayRequest, job: Job) -> None:
        self._parts = parts
        self._request = request
        self._job = job
        self._since = datetime.strptime(job.row["created"], TIMESTAMP).replace(tzinfo=UTC)
        self._counts = [_Count(rule) for rule in replayed(parts.live, request)]

    def result(self) -> dict[str, Any]:
        """Replay, and return what has come of it, in the JSON of the answer."""
        found = list(self._listed())
        for done, orthanc_id in enumerate(found, start=1):
            self._job.checkpoint()
            for count in self._counts:
                self._try(count, orthanc_id)
            self._job.progress(done / len(found))
        dry_run = self._request.dry_run
        return {
            "DryRun": dry_run,
            "ResourcesCount": len(found),
            "Rules": [count.told(dry_run=dry_run) for count in self._counts],
        }

    def _listed(self) -> Iterator[str]:
        """Yield the identifiers that the query finds, also where the server caps an answer."""
        request = self._request
        known: dict[str, None] = {}
        body = {
            "Level": request.level,
            "Query": request.query,
            "Labels": list(request.labels),
            "Expand": False,
            "Limit": PAGE,
        }
        while True:
            self._job.checkpoint()
            page = self._parts.gateway.post_json("/tools/find", {**body, "Since": len(known)})
            new = [one for one in page if one not in known]
            if not new:
                return
            known.update(dict.fromkeys(new))
            yield from new

    def _try(self, count: _Count, orthanc_id: str) -> None:
        """Let a rule work on a resource that was found, or on those above and below it."""
        try:
            scope = self._parts.trials.scope(orthanc_id)
            outcomes = self._parts.trials.outcomes([count.rule], scope, None)
            for outcome in outcomes:
                if outcome.verdict.fires:
                    for event in self._events(outcome):
                        self._take(count, event)
                else:
                    count.stopped[outcome.verdict.reason] += len(outcome.resources)
        except (NotFound, Conflict):  # deleted meanwhile
            count.stopped["Deleted"] += 1

    def _events(self, outcome: Outcome) -> Iterator[Event]:
        """Yield an event for each resource; instances are gathered by series."""
        if outcome.level != Level.INSTANCE or outcome.verdict.rule.level is None:
            for orthanc_id in outcome.resources:
                yield Event(Trigger.MANUAL, outcome.level, orthanc_id)
            return
        by_series: dict[str, list[str]] = {}
        for instance in self._parts.gateway.lookup(outcome.resources):
            by_series.setdefault(instance.parent, []).append(instance.orthanc_id)
        for series, instances in by_series.items():
            yield Event(Trigger.MANUAL, Level.SERIES, series, tuple(instances))

    def _take(self, count: _Count, event: Event) -> None:
        """Let a rule work on a resource, unless it was found before."""
        if event.resource in count.fired:
            return
        if self._request.dry_run:
            again = self._request.again
            sends = self._parts.trials.sends(count.rule, self._items(event), again=again)
            count.add(sends)
        else:
            count.runs += self._made(count.rule, event) or self._fire(count.rule, event)
        count.fired[event.resource] = None

    def _fire(self, rule: Rule, event: Event) -> int:
        if self._request.again:
            self._forget(rule, event)
        return len(self._parts.fire(event, self._job.user, rule))

    def _items(self, event: Event) -> list[Item]:
        subjects = [Subject(Level.INSTANCE, one) for one in event.instances]
        return self._parts.trials.items(subjects or [Subject(event.level, event.resource)])

    def _made(self, rule: Rule, event: Event) -> int:
        """Count the runs that an interrupted run of this job has made on a resource."""
        return sum(
            run.trigger == Trigger.MANUAL and run.created >= self._since.timestamp()
            for run in self._parts.runs.find(rule=rule.name, resource=event.resource)
        )

    def _forget(self, rule: Rule, event: Event) -> None:
        """Let all that a rule has sent of a resource go again, copies of it included."""
        ledger = self._parts.ledger
        items = self._items(event)
        for destination in rule.destinations():
            own = Filter(rule=rule.name, destination=destination, resources=(event.resource,))
            copies = [one for found in ledger.find(own) for one in ledger.confirmed(found.id)]
            instances = {*(item.instance for item in items), *copies}
            ledger.forget_sent(rule.name, destination, instances)


def replayed(live: LiveRules, request: ReplayRequest) -> list[Rule]:
    """Return the rules of a replay.

    Raises
    ------
    NotFound
        If one is not there.
    Conflict
        If one is disabled.
    BadRequest
        If one works on nothing that is stored.
    """
    found = [live.definition(name).rule for name in dict.fromkeys(request.rules)]
    for index, rule in enumerate(found):
        if not rule.enabled:
            raise Conflict(f'The rule "{rule.name}" is disabled')
        if rule.only_tells:
            raise BadRequest(f'$.Rules[{index}]: the rule "{rule.name}" works on nothing stored')
    return found
