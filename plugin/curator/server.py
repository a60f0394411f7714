"""Start and stop of Curator inside Orthanc: what is registered, and in which order it ends."""

import atexit
import logging
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import curator
from curator import config
from curator.access import Access
from curator.anonymize.anonymizers import anonymize_service
from curator.anonymize.catalog import Catalog
from curator.anonymize.pixels.detect import installed_detector
from curator.anonymize.profiles_rest import ProfilesApi
from curator.anonymize.reidentify import Reidentifier
from curator.anonymize.rest import AnonymizeApi
from curator.anonymize.service import AnonymizeService
from curator.anonymize.setup import Anonymization, prepare
from curator.early_stop import EarlyStop
from curator.errors import CuratorError
from curator.explorer import add_button
from curator.gateway import Gateway
from curator.health.monitor import Monitor, Observed
from curator.jobs import JobEngine
from curator.jobs_rest import JobsApi
from curator.journal import Journal
from curator.models import InvalidModel, validate
from curator.openapi_rest import DocumentApi
from curator.operations_rest import OperationsApi
from curator.reshape.find_duplicates import FindDuplicatesService
from curator.reshape.find_duplicates_rest import FindDuplicatesApi
from curator.reshape.follower import Follower
from curator.reshape.operation import Operation, Operations, task_factory
from curator.reshape.operations import FollowUp, operation_kinds
from curator.reshape.request import SplitRequest
from curator.reshape.rest import ReshapeApi
from curator.reshape.undo import Undo
from curator.route.setup import Environment, Routing
from curator.rule_jobs import RuleJobs
from curator.sdk import RestOutput, Sdk
from curator.status_rest import StatusApi
from curator.store import Store
from curator.web import TEXT, Endpoint, Request, Response, allowed_methods, dispatch, forward

logger = logging.getLogger(__name__)

#: Stack of our threads. Those of Orthanc's HTTP server have so little that JSON of a few nested
#: levels overflows it, which is the end of Orthanc; so no request is handled in them.
STACK_SIZE = 16 * 1024 * 1024

#: Threads of the HTTP server where ``HttpThreadsCount`` does not say.
HTTP_THREADS = 50

#: The REST callbacks. The Python plugin lets go of them without holding the interpreter's lock when
#: Orthanc stops, which crashes it if nobody else has a reference.
_callbacks: list[Callable[..., None]] = []


def start(sdk: Sdk) -> None:
    """Start Curator; called while Orthanc loads the plugin.

    Raises
    ------
    ConfigurationError, StoreError
        Which stop the start of Orthanc, with their text in its log.
    """
    _log_through(sdk)
    threading.stack_size(STACK_SIZE)
    gateway = Gateway(sdk)
    configuration = gateway.configuration()
    settings = config.load(configuration)
    directory = gateway.configuration_directory()
    store = Store(config.database_url(settings, configuration, directory))
    anonymization = prepare(settings, configuration, directory, os.environ, store)
    journal = Journal(store)
    access = Access(
        gateway,
        settings.threads_per_job,
        config.default_charset(configuration),
        settings.cache_megabytes * 1024 * 1024,
    )
    routing = Routing(
        Environment(
            sdk=sdk,
            access=access,
            store=store,
            journal=journal,
            settings=settings,
            configuration=configuration,
            directory=directory,
            tables=anonymization.tables,
            profile=partial(_problem_of_profile, anonymization.catalog),
            split=_problems_of_split,
        )
    )
    anonymization.catalog.needed_by(routing.users)
    kinds = operation_kinds(access, journal, settings.follow_days)
    searches = FindDuplicatesService(access)
    detector = installed_detector()
    anonymize = anonymize_service(access, store, anonymization, detector, routing.witness)
    engine = JobEngine(
        store,
        {
            searches.job_type: searches.task,
            anonymize.job_type: anonymize.task,
            routing.replays.job_type: routing.replays.task,
            **{name: task_factory(access, journal, kind) for name, kind in kinds.items()},
        },
        workers=settings.workers,
        history_size=settings.jobs_history_size,
        name_thread=gateway.name_thread,
        publish=lambda counts: _publish(gateway, counts),
    )
    describe = configuration.get("HttpDescribeErrors", True)
    threads = ThreadPoolExecutor(
        configuration.get("HttpThreadsCount", HTTP_THREADS),
        initializer=gateway.name_thread,
        initargs=("curator-http",),
    )
    operations = Operations(access, journal, engine)
    follower = Follower(
        journal, operations, kinds[FollowUp.job_type], gateway, settings.journal_days
    )
    monitor = Monitor(
        Observed(
            gateway=gateway,
            store=store,
            engine=engine,
            routing=routing,
            profiles=anonymization.catalog,
            settings=settings,
            configuration=configuration,
            index=config.index_directory(configuration, directory),
            has_tesseract=detector is not None,
            key=anonymization.keys.identifier,
        )
    )
    leave = Leave()
    answering = endpoints(
        engine, operations, kinds, searches, anonymization, anonymize, routing, monitor
    )
    for endpoint in (*answering, leave.endpoint(gateway)):
        callback = _callback(endpoint, gateway, describe, threads)
        _callbacks.append(callback)
        sdk.RegisterRestCallback(endpoint.regex, callback)
    routing.register()
    add_button(sdk)
    _follow_life(sdk, engine, follower, routing, monitor, store, gateway, leave)
    logger.warning("Curator %s is loaded", curator.__version__)


def endpoints(
    engine: JobEngine,
    operations: Operations,
    kinds: Mapping[str, Operation],
    searches: FindDuplicatesService,
    anonymization: Anonymization,
    anonymize: AnonymizeService,
    routing: Routing,
    monitor: Monitor,
) -> list[Endpoint]:
    """Return everything that Curator answers to, in the order in which it is matched."""
    access = operations.access
    gateway = access.gateway
    reidentifier = Reidentifier(gateway, anonymization.reidentify_key, access.default_charset)
    answering = [
        *StatusApi(monitor).endpoints(),
        *JobsApi(engine, gateway).endpoints(),
        *ReshapeApi(operations, kinds, gateway).endpoints(),
        *OperationsApi(operations, kinds[Undo.job_type], engine).endpoints(),
        *FindDuplicatesApi(searches, engine).endpoints(),
        *AnonymizeApi(anonymize, engine, reidentifier).endpoints(),
        *ProfilesApi(
            anonymization.catalog,
            anonymization.mappings,
            allow_mapping_export=anonymization.allow_mapping_export,
        ).endpoints(),
        *routing.endpoints(RuleJobs(anonymize, operations, kinds, engine), engine),
    ]
    return [*answering, *DocumentApi(answering).endpoints()]


def _callback(
    endpoint: Endpoint, gateway: Gateway, describe: bool, threads: ThreadPoolExecutor
) -> Callable[..., None]:
    def answer(output: RestOutput, uri: str, **request: Any) -> None:
        if request["method"] not in endpoint.handlers:
            output.SendMethodNotAllowed(allowed_methods(endpoint))
            return
        parsed = Request(
            method=request["method"],
            uri=uri,
            groups=tuple(request.get("groups", ())),
            query=request.get("get", {}),
            headers=request.get("headers", {}),
            body=request.get("body", b""),
        )
        _send(output, threads.submit(dispatch, endpoint, parsed, gateway, describe).result())

    return answer


def _send(output: RestOutput, response: Response) -> None:
    if response.status == 200:
        output.AnswerBuffer(response.body, response.content_type)
    elif response.body:
        output.SendHttpStatus(response.status, response.body)
    else:
        output.SendHttpStatusCode(response.status)


def _publish(gateway: Gateway, counts: Mapping[str, int]) -> None:
    """Show the number of jobs by state in ``/tools/metrics-prometheus``."""
    for state, count in counts.items():
        gateway.set_metric(f"curator_jobs_{state.lower()}", count)


def _follow_life(
    sdk: Sdk,
    engine: JobEngine,
    follower: Follower,
    routing: Routing,
    monitor: Monitor,
    store: Store,
    gateway: Gateway,
    leave: Callable[[], None],
) -> None:
    """Work between the two events only: the core answers no plugin before and after."""

    def halt() -> None:
        routing.halt()
        engine.stop()

    early = EarlyStop(halt, gateway.name_thread)

    def on_change(change: int, level: int, resource: str) -> None:
        routing.wake(change, level, resource)
        if change in (sdk.ChangeType.NEW_SERIES, sdk.ChangeType.NEW_STUDY):
            follower.arrived(resource)
        elif change == sdk.ChangeType.ORTHANC_STARTED:
            engine.start()
            follower.start()
            routing.start()
            monitor.start()
            early.start()
        elif change == sdk.ChangeType.ORTHANC_STOPPED:
            early.stop()
            monitor.stop()
            halt()
            follower.stop()
            routing.stop()
            store.close()
            atexit.register(leave)

    sdk.RegisterOnChangeCallback(on_change)


class Leave:
    """Ends the process when the interpreter is finalized, the last thing that Orthanc does.

    The core has stopped its servers and jobs by then. What comes after would crash it now and then:
    the Python plugin frees a change twice that comes after its own thread has ended, and a thread
    in a call to a destination that neither answers nor hangs up works on with memory that is freed.
    An interpreter that has loaded NumPy cannot be started again either: ``/tools/reset`` ends the
    process, too, with a status that tells a service manager to start it again.
    """

    def __init__(self) -> None:
        self._status = os.EX_OK

    def endpoint(self, gateway: Gateway) -> Endpoint:
        """Return what takes notice of a reset."""

        def reset(request: Request) -> Response:
            self._status = os.EX_TEMPFAIL
            return forward(gateway, request, TEXT)

        return Endpoint("/tools/reset", {"POST": reset})

    def __call__(self) -> None:
        os._exit(self._status)


def _problem_of_profile(catalog: Catalog, name: str) -> str | None:
    try:
        catalog.get(name)
    except CuratorError as error:
        return error.details
    return None


def _problems_of_split(body: dict[str, Any]) -> list[str]:
    try:
        validate(SplitRequest, body)
    except InvalidModel as error:
        return error.problems
    return []


class _OrthancHandler(logging.Handler):
    """Writes log records into Orthanc's log."""

    def __init__(self, sdk: Sdk) -> None:
        super().__init__()
        self._sdk = sdk

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)  # which may quote what a client or a destination says
        message = "".join(one if one.isprintable() else " " for one in text)
        if record.levelno >= logging.ERROR:
            self._sdk.LogError(message)
        elif record.levelno >= logging.WARNING:
            self._sdk.LogWarning(message)
        else:
            self._sdk.LogInfo(message)


def _log_through(sdk: Sdk) -> None:
    root = logging.getLogger("curator")
    root.handlers = [_OrthancHandler(sdk)]
    root.setLevel(logging.INFO)
    root.propagate = False
