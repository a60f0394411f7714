"""``/curator/runs``: what rules have done and are about to do, with their deliveries."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NotRequired, Protocol

from pydantic import Field, StrictBool
from typing_extensions import TypedDict

from curator.description import Method, Parameter, json_of
from curator.errors import BadRequest, Conflict, NotFound
from curator.gateway import Gateway
from curator.level import Level
from curator.models import Model
from curator.route.deliveries_rest import (
    ChangedCount,
    DeliverySummary,
    NoOptions,
    RowId,
    describe,
)
from curator.route.kinds import UNFINISHED_RUNS, RunState, Trigger
from curator.route.ledger import Ledger
from curator.route.listing import PAGING, Wanted, filters, page, utc, words
from curator.route.run import Run, Subject
from curator.route.runs import NEVER, Runs
from curator.web import Endpoint, Request, Response, json_object, json_response, parse

_ID = {"id": RowId}

#: Runs that one request by a filter looks at.
MOST = 100_000

#: States of runs that an action is for.
STATES: Mapping[str, tuple[RunState, ...]] = {
    "retry": (RunState.FAILED, RunState.CANCELED, RunState.WAITING),
    "cancel": (*UNFINISHED_RUNS, RunState.FAILED),
    "release": (RunState.HELD,),
}


class Actions(Protocol):
    """What users may do with a run; each raises ``Conflict`` if it is in no state for this."""

    def retry(self, run_id: str) -> Run:
        """Let a run that has failed or was canceled begin again, or one that waits go at once."""

    def cancel(self, run_id: str) -> Run:
        """End a run, and its deliveries that are not over."""

    def release(self, run_id: str) -> Run:
        """Let a held run go on with what there is."""


class RunFilter(Model):
    """Body of an action on many runs; ``All`` where nothing else is said."""

    state: RunState | None = None
    rule: Wanted | None = None
    resource: Wanted | None = None
    all_: StrictBool = Field(default=False, alias="All")


class RunSummary(TypedDict):
    """A rule at work on a resource; ``Step`` is the next one."""

    ID: str
    Rule: str
    Version: str
    Trigger: Trigger
    Level: Level
    Resource: str
    Priority: int
    State: RunState
    Step: int
    Attempts: int
    Error: str
    Job: str
    User: str
    CreationTime: str
    ChangeTime: str
    Due: NotRequired[str]
    Deadline: NotRequired[str]


class SubjectAnswer(TypedDict):
    """A resource that a run works on, or has made."""

    Level: Level
    ID: str


class RunDescription(RunSummary):
    """A run with all that is known of it; ``Content`` is the rule as it was when it fired."""

    Subjects: list[SubjectAnswer]
    Products: list[SubjectAnswer]
    Event: dict[str, Any]
    Content: dict[str, Any]
    Deliveries: list[DeliverySummary]


class RunsPage(TypedDict):
    """A part of the list; where it is not ``Done``, ``since=Last`` tells the next."""

    Runs: list[RunSummary]
    Done: bool
    Last: int


#: Arguments of the list.
_FILTERS = (
    Parameter("state", "States, joined by commas", list[RunState]),
    Parameter("rule", "Name of a rule"),
    Parameter("resource", "Orthanc identifier"),
    *PAGING,
)

#: What the actions are, in words.
_SUMMARIES = {
    "retry": "Let runs that have failed or were canceled begin again, or that wait go at once",
    "cancel": "End runs and their deliveries",
    "release": "Let held runs go on with what there is",
}


class RunsApi:
    """Endpoints of runs."""

    def __init__(self, runs: Runs, ledger: Ledger, actions: Actions, gateway: Gateway) -> None:
        self._runs = runs
        self._ledger = ledger
        self._actions: dict[str, Callable[[str], Run]] = {
            "retry": actions.retry,
            "cancel": actions.cancel,
            "release": actions.release,
        }
        self._gateway = gateway

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        listed = Method(self._list, "List runs", json_of(RunsPage), query=_FILTERS)
        described = Method(self._get, "Look at a run", json_of(RunDescription))
        return [
            Endpoint("/curator/runs", {"GET": listed}),
            *(
                Endpoint(f"/curator/runs/{action}", {"POST": self._action_on_many(action)})
                for action in STATES
            ),
            Endpoint("/curator/runs/{id}", {"GET": described}, _ID),
            *(
                Endpoint(f"/curator/runs/{{id}}/{action}", {"POST": self._action(action)}, _ID)
                for action in STATES
            ),
        ]

    def _action_on_many(self, action: str) -> Method:
        return Method(
            partial(self._many, action),
            f"{_SUMMARIES[action]}; those that a filter finds",
            json_of(ChangedCount),
            json_of(RunFilter),
        )

    def _action(self, action: str) -> Method:
        return Method(
            partial(self._one, action),
            f"{_SUMMARIES[action]}; one",
            json_of(RunSummary),
            json_of(NoOptions),
            body_required=False,
            errors=(409,),
        )

    def _list(self, request: Request) -> Response:
        request = filters(request, _FILTERS)
        since, limit = page(request)
        found = self._runs.find(
            states=words(request, "state", RunState),
            rule=request.query.get("rule"),
            resource=request.query.get("resource"),
            since=since,
            limit=limit + 1,
        )
        answer: RunsPage = {
            "Runs": [_described(run) for run in found[:limit]],
            "Done": len(found) <= limit,
            "Last": since + len(found[:limit]),
        }
        return json_response(answer)

    def _get(self, request: Request) -> Response:
        run = self._run(request)
        described: RunDescription = {
            **_described(run),
            "Subjects": _subjects(run.subjects),
            "Products": _subjects(run.products),
            "Event": run.event,
            "Content": run.content,
            "Deliveries": [describe(delivery) for delivery in self._ledger.of_run(run.id)],
        }
        return json_response(described)

    def _one(self, action: str, request: Request) -> Response:
        run = self._run(request)
        if request.body.strip():
            parse(NoOptions, json_object(request))
        return json_response(_described(self._act(action, run, request.user)))

    def _many(self, action: str, request: Request) -> Response:
        body = parse(RunFilter, json_object(request))
        if body.all_ != (body == RunFilter(all_=body.all_)):
            raise BadRequest('$: name "State", "Rule" or "Resource"; or, alone, "All": true')
        states = [state for state in STATES[action] if body.state in (None, state)]
        if not states:
            raise BadRequest(f"$.State: {action} is for {', '.join(STATES[action])}")
        count = 0
        for run in self._runs.find(
            states=states, rule=body.rule, resource=body.resource, limit=MOST
        ):
            try:
                self._act(action, run, request.user)
            except (Conflict, NotFound):  # it has just ended
                continue
            count += 1
        return json_response({"Count": count})

    def _act(self, action: str, run: Run, user: str) -> Run:
        """Do something with a run; it is written into the audit log where it was done."""
        changed = self._actions[action](run.id)
        told = {"Run": run.id, "Rule": run.rule, "Version": run.version}
        self._gateway.audit(user, run.level, run.resource, action, told)
        return changed

    def _run(self, request: Request) -> Run:
        run = self._runs.get(request.groups[0])
        if run is None:
            raise NotFound(f"Unknown run: {request.groups[0]}")
        return run


def _described(run: Run) -> RunSummary:
    described: RunSummary = {
        "ID": run.id,
        "Rule": run.rule,
        "Version": run.version,
        "Trigger": run.trigger,
        "Level": run.level,
        "Resource": run.resource,
        "Priority": run.priority,
        "State": run.state,
        "Step": run.position,
        "Attempts": run.attempts,
        "Error": run.error,
        "Job": run.job,
        "User": run.user,
        "CreationTime": utc(run.created),
        "ChangeTime": utc(run.changed),
    }
    if run.state == RunState.WAITING and run.due < NEVER:
        described["Due"] = utc(run.due)
    if run.deadline is not None:
        described["Deadline"] = utc(run.deadline)
    return described


def _subjects(subjects: tuple[Subject, ...]) -> list[SubjectAnswer]:
    return [{"Level": one.level, "ID": one.orthanc_id} for one in subjects]
