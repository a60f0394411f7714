"""``/curator/rules``: look at rules, change them, run one by hand, go back to an earlier set."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from pydantic import Field, create_model
from typing_extensions import TypedDict

from curator.definition_files import Source
from curator.description import DONE, JSON_TYPE, YAML_TYPE, Method, json_of
from curator.errors import BadRequest, Conflict, NotFound
from curator.gateway import Gateway, Resource
from curator.job_request import Identifiers
from curator.level import Level
from curator.models import Model
from curator.route.definitions import Definition
from curator.route.deliveries_rest import NoOptions
from curator.route.events import Event
from curator.route.kinds import RunState, Trigger
from curator.route.listing import PAGING, filters, page
from curator.route.live import LiveRules
from curator.route.pauses import PauseKind, Pauses
from curator.route.receive_rule import ReceiveRule
from curator.route.replay import Fire
from curator.route.rule import MAX_RULES, Rule, RuleName, RuleSet, schema
from curator.route.rule_store import StoredSet
from curator.route.runs import Runs
from curator.web import (
    TEXT,
    Endpoint,
    Handler,
    Request,
    Response,
    json_object,
    json_response,
    parse,
    written_object,
)

logger = logging.getLogger(__name__)

_NAME = {"name": Annotated[RuleName, Field(description="Name of a rule")]}


class RunRequest(Model):
    """Body of ``POST /curator/rules/{name}/run``."""

    resources: Identifiers


class RollbackRequest(Model):
    """Body of ``POST /curator/rules/rollback``."""

    to: Annotated[int, Field(ge=1, le=2**31 - 1)]


#: In the body of PUT the name may be left out: the URI says it.
NamedByUri = create_model(
    "RuleNamedByUri", __base__=Rule, name=(RuleName, Field(default_factory=str))
)


#: A set with rules at reception as their own model reads them.
WholeSet = create_model(
    "WholeSet",
    __base__=RuleSet,
    receive=(Annotated[tuple[ReceiveRule, ...], Field(max_length=MAX_RULES)], ()),
)


class RuleSummary(TypedDict):
    """A rule in the list; its runs are counted by state."""

    Name: str
    Version: str
    Description: str
    Source: Source
    Place: str
    When: Trigger
    Priority: int
    Destinations: list[str]
    Enabled: bool
    Paused: bool
    Runs: dict[RunState, int]


class RulesAnswer(TypedDict):
    """The rules in use, and what is wrong with them now."""

    Number: int
    Rules: list[RuleSummary]
    Receive: list[ReceiveRule]
    Problems: list[str]


class SetSummary(TypedDict):
    """A rule set that was put by REST."""

    Number: int
    User: str
    CreationTime: str
    Rules: list[str]


class SetNumber(TypedDict):
    """The number of the set that is in use now."""

    Number: int


class PausedAnswer(TypedDict):
    """Whether a rule is paused."""

    Paused: bool


class FiredAnswer(TypedDict):
    """The runs that a rule has begun with a resource; none where its condition does not hold."""

    Level: Level
    Resource: str
    Runs: list[str]


class RulesApi:
    """Endpoints of rules."""

    def __init__(
        self,
        live: LiveRules,
        runs: Runs,
        pauses: Pauses,
        fire: Fire,
        gateway: Gateway,
    ) -> None:
        self._live = live
        self._runs = runs
        self._pauses = pauses
        self._fire = fire
        self._gateway = gateway

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        return [*self._of_sets(), *self._of_rules()]

    def _of_sets(self) -> list[Endpoint]:
        schema = Method(self._schema, "JSON schema of a rule set", json_of(dict[str, Any]))
        listed = Method(self._list, "List rules", json_of(RulesAnswer))
        replaced = Method(
            self._replace,
            "Use another set of rules",
            json_of(SetNumber),
            {JSON_TYPE: WholeSet, YAML_TYPE: WholeSet},
            errors=(409,),
        )
        history = Method(
            self._history,
            "List the sets that were put, the latest first",
            json_of(list[SetSummary]),
            query=PAGING,
        )
        earlier = Method(self._earlier, "Look at a set", json_of(WholeSet))
        rolled_back = Method(
            self._roll_back,
            "Use an earlier set again",
            json_of(SetNumber),
            json_of(RollbackRequest),
            errors=(404, 409),
        )
        number = {"number": Annotated[int, Field(description="Number of a set", ge=0)]}
        return [
            Endpoint("/curator/schemas/rules", {"GET": schema}),
            Endpoint("/curator/rules", {"GET": listed, "PUT": replaced}),
            Endpoint("/curator/rules/history", {"GET": history}),
            Endpoint("/curator/rules/history/{number}", {"GET": earlier}, number),
            Endpoint("/curator/rules/rollback", {"POST": rolled_back}),
        ]

    def _of_rules(self) -> list[Endpoint]:
        shown = Method(self._get, "Look at a rule, as it was written", json_of(Rule))
        put = Method(
            self._put,
            "Use a rule, new or in the place of the one of its name",
            json_of(SetNumber),
            {JSON_TYPE: NamedByUri, YAML_TYPE: NamedByUri},
            errors=(409,),
        )
        deleted = Method(self._delete, "Take a rule out of the set", DONE, errors=(409,))
        action = partial(Method, body=json_of(NoOptions), body_required=False, errors=(409,))
        enabled = action(self._enabling(enabled=True), "Enable a rule", json_of(SetNumber))
        disabled = action(self._enabling(enabled=False), "Disable a rule", json_of(SetNumber))
        paused = action(self._pause, "Let runs of a rule wait", json_of(PausedAnswer))
        resumed = action(self._resume, "Let them go on", json_of(PausedAnswer))
        run = Method(
            self._run,
            "Let a rule work on resources, where its condition holds",
            json_of(list[FiredAnswer]),
            json_of(RunRequest),
            errors=(409,),
        )
        return [
            Endpoint("/curator/rules/{name}", {"GET": shown, "PUT": put, "DELETE": deleted}, _NAME),
            Endpoint("/curator/rules/{name}/enable", {"POST": enabled}, _NAME),
            Endpoint("/curator/rules/{name}/disable", {"POST": disabled}, _NAME),
            Endpoint("/curator/rules/{name}/pause", {"POST": paused}, _NAME),
            Endpoint("/curator/rules/{name}/resume", {"POST": resumed}, _NAME),
            Endpoint("/curator/rules/{name}/run", {"POST": run}, _NAME),
        ]

    # Look

    def _list(self, _request: Request) -> Response:
        counts = self._runs.counts_by_rule()
        rules = self._live.current()
        return json_response(
            {
                "Number": self._live.number,
                "Rules": [
                    self._described(one, counts.get(one.rule.name, {}))
                    for one in self._live.definitions()
                ],
                "Receive": list(rules.receive),
                "Problems": self._live.problems(),
            }
        )

    def _described(self, definition: Definition, counts: dict[RunState, int]) -> RuleSummary:
        rule = definition.rule
        return {
            "Name": rule.name,
            "Version": rule.version,
            "Description": rule.description,
            "Source": definition.source,
            "Place": definition.place,
            "When": rule.when,
            "Priority": rule.priority,
            "Destinations": rule.destinations(),
            "Enabled": rule.enabled,
            "Paused": self._pauses.paused(PauseKind.RULE, rule.name),
            "Runs": {state: counts[state] for state in RunState if counts.get(state)},
        }

    def _get(self, request: Request) -> Response:
        return json_response(self._live.definition(request.groups[0]).content)

    def _schema(self, _request: Request) -> Response:
        return json_response(schema())

    def _history(self, request: Request) -> Response:
        request = filters(request, PAGING)
        return json_response([_summary(one) for one in self._live.history(*page(request))])

    def _earlier(self, request: Request) -> Response:
        (number,) = request.groups
        if not (number.isascii() and number.isdigit() and len(number) < 10):
            raise NotFound(f"There is no rule set {number}")
        return json_response(self._live.stored(int(number)).content)

    # Change

    def _replace(self, request: Request) -> Response:
        number = self._live.replace(written_object(request), request.user)
        return self._changed(request, "Rules put", number, "all")

    def _put(self, request: Request) -> Response:
        (name,) = request.groups
        number = self._live.put(name, written_object(request), request.user)
        return self._changed(request, "Rule put", number, name)

    def _delete(self, request: Request) -> Response:
        (name,) = request.groups
        number = self._live.delete(name, request.user)
        logger.info("Rule deleted by %s: %s, set %d", request.user or "-", name, number)
        return Response(content_type=TEXT)

    def _roll_back(self, request: Request) -> Response:
        to = parse(RollbackRequest, json_object(request)).to
        number = self._live.rollback(to, request.user)
        return self._changed(request, "Rules rolled back", number, f"as in set {to}")

    def _enabling(self, *, enabled: bool) -> Handler:
        def change(request: Request) -> Response:
            name = self._named(request)
            number = self._live.enable(name, request.user, enabled=enabled)
            return self._changed(
                request, "Rule enabled" if enabled else "Rule disabled", number, name
            )

        return change

    def _changed(self, request: Request, what: str, number: int, names: str) -> Response:
        logger.info("%s by %s: %s, set %d", what, request.user or "-", names, number)
        return json_response({"Number": number})

    def _pause(self, request: Request) -> Response:
        name = self._named(request)
        self._pauses.pause(PauseKind.RULE, name, request.user)
        logger.info("Rule paused by %s: %s", request.user or "-", name)
        return json_response({"Paused": True})

    def _resume(self, request: Request) -> Response:
        name = self._named(request)
        self._pauses.resume(PauseKind.RULE, name)
        logger.info("Rule resumed by %s: %s", request.user or "-", name)
        return json_response({"Paused": False})

    def _named(self, request: Request) -> str:
        """Return the name of a rule that there is, or that has runs, for an action without options.

        What was paused can go on also after its rule was taken out of the set.
        """
        (name,) = request.groups
        if not self._runs.find(rule=name, limit=1):
            self._live.definition(name)
        if request.body.strip():
            parse(NoOptions, json_object(request))
        return name

    # By hand

    def _run(self, request: Request) -> Response:
        rule = self._live.definition(request.groups[0]).rule
        if not rule.enabled:
            raise Conflict(f'The rule "{rule.name}" is disabled')
        wanted = parse(RunRequest, json_object(request)).resources
        resources = self._resources(rule, wanted)
        return json_response([self._fired(rule, one, request.user) for one in resources])

    def _resources(self, rule: Rule, wanted: Sequence[str]) -> list[Resource]:
        """Look up resources that a rule is to work on.

        Raises
        ------
        NotFound
            If one is not stored.
        BadRequest
            If one is of a level that the rule is not for.
        """
        if rule.only_tells:
            raise BadRequest(f'The rule "{rule.name}" works on nothing that is stored')
        found = {one.orthanc_id: one for one in self._gateway.lookup(wanted)}
        for index, orthanc_id in enumerate(wanted):
            if orthanc_id not in found:
                raise NotFound(
                    f"$.Resources[{index}]: there is no patient, study, series or instance"
                    f" {orthanc_id}"
                )
            level = found[orthanc_id].level
            if rule.level not in (None, level):
                raise BadRequest(
                    f'$.Resources[{index}]: the rule "{rule.name}" works on level {rule.level},'
                    f" {orthanc_id} is of level {level}"
                )
        return list(found.values())

    def _fired(self, rule: Rule, resource: Resource, user: str) -> FiredAnswer:
        """Let a rule work on a resource, if its condition holds."""
        level, orthanc_id = resource.level, resource.orthanc_id
        runs = self._fire(Event(Trigger.MANUAL, level, orthanc_id), user, rule)
        names = [run.id for run in runs]
        details = {"Rule": rule.name, "Version": rule.version, "Runs": names}
        self._gateway.audit(user, level, orthanc_id, "run", details)
        return {"Level": level, "Resource": orthanc_id, "Runs": names}


def _summary(stored: StoredSet) -> SetSummary:
    return {
        "Number": stored.number,
        "User": stored.user,
        "CreationTime": stored.created,
        "Rules": [rule["Name"] for rule in stored.rules],
    }
