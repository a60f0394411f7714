"""``/curator/runs``: what rules have done and are about to do, with their deliveries."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from pydantic import Field, StrictBool

from curator.errors import BadRequest, Conflict, NotFound
from curator.gateway import Gateway
from curator.models import Model
from curator.route.deliveries_rest import NoOptions, describe
from curator.route.kinds import UNFINISHED_RUNS, RunState
from curator.route.ledger import Ledger
from curator.route.listing import filters, page, utc, words
from curator.route.run import Run, Subject
from curator.route.runs import NEVER, Runs
from curator.web import Endpoint, Request, Response, json_object, json_response, parse

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
    rule: str | None = None
    resource: str | None = None
    all_: StrictBool = Field(default=False, alias="All")


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
        return [
            Endpoint("/curator/runs", {"GET": self._list}),
            *(
                Endpoint(f"/curator/runs/{action}", {"POST": partial(self._many, action)})
                for action in STATES
            ),
            Endpoint("/curator/runs/{id}", {"GET": self._get}),
            *(
                Endpoint(f"/curator/runs/{{id}}/{action}", {"POST": partial(self._one, action)})
                for action in STATES
            ),
        ]

    def _list(self, request: Request) -> Response:
        request = filters(request, "state", "rule", "resource", "since", "limit")
        since, limit = page(request)
        found = self._runs.find(
            states=words(request, "state", RunState),
            rule=request.query.get("rule"),
            resource=request.query.get("resource"),
            since=since,
            limit=limit + 1,
        )
        return json_response(
            {
                "Runs": [_described(run) for run in found[:limit]],
                "Done": len(found) <= limit,
                "Last": since + len(found[:limit]),
            }
        )

    def _get(self, request: Request) -> Response:
        run = self._run(request)
        return json_response(
            {
                **_described(run),
                "Subjects": _subjects(run.subjects),
                "Products": _subjects(run.products),
                "Event": run.event,
                "Content": run.content,
                "Deliveries": [describe(delivery) for delivery in self._ledger.of_run(run.id)],
            }
        )

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


def _described(run: Run) -> dict[str, Any]:
    described: dict[str, Any] = {
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


def _subjects(subjects: tuple[Subject, ...]) -> list[dict[str, str]]:
    return [{"Level": one.level, "ID": one.orthanc_id} for one in subjects]
