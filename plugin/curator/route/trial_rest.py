"""``/curator/rules/test`` and ``/curator/rules/replay``: rules on what is stored already."""

import base64
import json
from typing import Any, NotRequired, Self

from pydantic import model_validator
from typing_extensions import TypedDict

from curator.description import DICOM_TYPE, JOB_ERRORS, JSON_TYPE, Method, json_of
from curator.errors import BadRequest
from curator.jobs import JobEngine, Started, Submission
from curator.level import Level
from curator.models import Model
from curator.notation import MAX_LENGTH
from curator.route.decide import Reason, test_failures
from curator.route.kinds import Trigger
from curator.route.live import LiveRules
from curator.route.replay import ReplayRequest, ReplayService
from curator.route.rule import RuleSet
from curator.route.testing import Trials
from curator.web import Endpoint, Request, Response, json_object, json_response, parse

#: Where the magic word of a DICOM file is (PS3.10 7.1).
_PREAMBLE = 128


class TrialRequest(Model):
    """Body of ``POST /curator/rules/test``, where it is not a DICOM file.

    Attributes
    ----------
    resource : str or None
        Orthanc identifier of a patient, study, series or instance.
    dicom : str or None
        A DICOM file in Base64.
    rules : list or None
        Rules to be tried in the place of those in use.
    trigger : Trigger or None
        What is taken to have happened; by default what each rule waits for.
    """

    resource: str | None = None
    dicom: str | None = None
    rules: list[Any] | None = None
    trigger: Trigger | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.resource is None) == (self.dicom is None):
            raise ValueError('needs either "Resource" or "Dicom"')
        return self


class WouldSend(TypedDict):
    """Instances that would go to a destination, and those that it has had from the rule before.

    The latter is null where other instances are made first.
    """

    Destination: str
    InstancesCount: int
    SentBeforeCount: int | None


class TriedRule(TypedDict):
    """What would become of a rule; ``StoppedBy`` is a JSON path in it."""

    Rule: str
    Version: str
    Fires: bool
    StoppedBy: str
    Reason: Reason
    Detail: str
    Steps: list[str]
    Destinations: list[str]
    Level: NotRequired[Level]
    Resources: NotRequired[list[str]]
    Sends: NotRequired[list[WouldSend]]


class TrialAnswer(TypedDict):
    """What would become of all rules, and which of their own test cases do not come out."""

    Resource: NotRequired[str]
    Level: NotRequired[Level]
    Rules: list[TriedRule]
    Failures: list[str]


class ReplayedRule(TypedDict):
    """What has come of a rule; what stopped it, counted by reason."""

    Rule: str
    Version: str
    FiresCount: int
    Resources: list[str]
    Stopped: dict[str, int]
    Sends: NotRequired[list[WouldSend]]
    RunsCount: NotRequired[int]


class ReplayAnswer(TypedDict):
    """What has come of a replay, or would."""

    Description: str
    DryRun: bool
    ResourcesCount: int
    Rules: list[ReplayedRule]


class TrialApi:
    """Endpoints that try rules and replay them."""

    def __init__(
        self, live: LiveRules, trials: Trials, replays: ReplayService, engine: JobEngine
    ) -> None:
        self._live = live
        self._trials = trials
        self._replays = replays
        self._engine = engine

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints; they come before those of a rule by its name."""
        test = Method(
            self._test,
            "Try rules on a resource or a file",
            json_of(TrialAnswer),
            {JSON_TYPE: TrialRequest, DICOM_TYPE: bytes},
            errors=(404, 409),
        )
        replay = Method(
            self._replay,
            "Let rules work on all that a query finds",
            json_of(Started | ReplayAnswer),
            json_of(ReplayRequest),
            errors=(404, *JOB_ERRORS),
        )
        return [
            Endpoint("/curator/rules/test", {"POST": test}),
            Endpoint("/curator/rules/replay", {"POST": replay}),
        ]

    def _test(self, request: Request) -> Response:
        if request.body[_PREAMBLE : _PREAMBLE + 4] == b"DICM":
            return self._on_file(self._live.current(), request.body, None)
        wanted = parse(TrialRequest, json_object(request))
        if len(json.dumps(wanted.rules)) > MAX_LENGTH:
            raise BadRequest(f"$.Rules: has more than {MAX_LENGTH} characters")
        rules = self._live.current() if wanted.rules is None else self._live.parse(wanted.rules)
        if wanted.dicom is not None:
            return self._on_file(rules, _decoded(wanted.dicom), wanted.trigger)
        scope = self._trials.scope(wanted.resource or "")
        tried = self._trials.on_stored(rules.rules, scope, wanted.trigger)
        about = {"Resource": scope.resource.orthanc_id, "Level": scope.resource.level}
        return _told(rules, tried, **about)

    def _on_file(self, rules: RuleSet, dicom: bytes, trigger: Trigger | None) -> Response:
        return _told(rules, self._trials.on_file(rules.rules, dicom, trigger))

    def _replay(self, request: Request) -> Response:
        body = json_object(request, MAX_LENGTH)  # it is kept as long as its job is
        parsed = parse(ReplayRequest, body)
        self._replays.check(parsed)
        submission = Submission(
            type=self._replays.job_type,
            request={"Body": body},
            claims=frozenset(),
            user=request.user,
            priority=parsed.priority,
            user_data=parsed.user_data,
        )
        return json_response(self._engine.answer(submission, waits=parsed.waits))


def _told(rules: RuleSet, tried: list[dict[str, Any]], **about: str) -> Response:
    return json_response({**about, "Rules": tried, "Failures": test_failures(rules)})


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:  # no Base64, or not even ASCII
        raise BadRequest("$.Dicom: is not Base64") from None
