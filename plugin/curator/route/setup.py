"""All of routing, put together: what it is made of, and in which order it starts and ends."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curator.access import Access
from curator.config import ConfigurationError, Settings
from curator.jobs import JobEngine, Workers
from curator.journal import Journal
from curator.route.alerts import AlertDigests
from curator.route.couriers import Couriers
from curator.route.definitions import define
from curator.route.deliveries_rest import DeliveriesApi
from curator.route.delivery import Failure
from curator.route.destinations.registry import Destinations
from curator.route.inventory import Inventory
from curator.route.ledger import Ledger
from curator.route.live import LiveRules
from curator.route.metrics import DeliveryMetrics
from curator.route.overview import Overview
from curator.route.pauses import PauseKind, Pauses
from curator.route.ports import Jobs
from curator.route.products import Products
from curator.route.profile_users import runs_with
from curator.route.pulse import Pulse
from curator.route.reading import FactsReader
from curator.route.receive_rule import problems_of
from curator.route.reception import Reception
from curator.route.replay import Parts, ReplayService
from curator.route.rule import RuleSet
from curator.route.rule_store import RuleStore
from curator.route.rules_rest import RulesApi
from curator.route.runner import Runner
from curator.route.runs import Runs
from curator.route.runs_rest import RunsApi
from curator.route.sender import Senders
from curator.route.signals import Signals
from curator.route.steps.work import Tools
from curator.route.testing import Trials
from curator.route.trial_rest import TrialApi
from curator.route.validation import FindProblem, RuleReader, ServerNames
from curator.route.watcher import Watcher
from curator.route.witness import JobWitness
from curator.sdk import Sdk
from curator.store import Store
from curator.web import Endpoint

logger = logging.getLogger(__name__)

#: Seconds without a new instance after which the core calls a resource stable, by default.
STABLE_AGE = 60

#: Seconds between two looks for what is old enough to be forgotten.
HOUSEKEEPING = 3600.0

DAY = 86_400


@dataclass(frozen=True)
class Environment:
    """What routing is set up in.

    Attributes
    ----------
    configuration : dict
        The configuration of Orthanc.
    directory : Path
        What relative paths of the configuration start from.
    tables : mapping
        The tables of ``LookupTables``.
    profile, split : callable
        Tell what is wrong with the name of a profile, and with the body of a split.
    """

    sdk: Sdk
    access: Access
    store: Store
    journal: Journal
    settings: Settings
    configuration: dict[str, Any]
    directory: Path
    tables: Mapping[str, Mapping[str, str]]
    profile: FindProblem
    split: Callable[[dict[str, Any]], Sequence[str]]


class Routing:
    """Rules, events, runs, deliveries and reception.

    Raises
    ------
    ConfigurationError
        With every problem of rules, webhooks and folders.
    """

    def __init__(self, environment: Environment, clock: Callable[[], float] = time.time) -> None:
        self._environment = environment
        self._clock = clock
        gateway, store = environment.access.gateway, environment.store
        settings, configuration = environment.settings, environment.configuration
        charset = environment.access.default_charset
        changes = environment.sdk.ChangeType
        self._ends_of_jobs = {int(changes.JOB_SUCCESS), int(changes.JOB_FAILURE)}
        self._destinations = Destinations(
            gateway, settings, configuration, environment.directory, clock
        )
        self._reception = Reception(
            environment.sdk,
            environment.tables,
            charset,
            gateway.is_storing,
            gateway.set_metric,
            clock,
        )
        self._live = self._rules(RuleStore(store))
        self._pauses = Pauses(store)
        self._runs = Runs(store, clock)
        self._ledger = Ledger(store, clock)
        self._overview = Overview(store, self._ledger, clock)
        self._inventory = Inventory(gateway)
        self._products = Products(store, gateway, self._inventory)
        self._reader = FactsReader(gateway, charset, clock)
        self._couriers = Couriers(
            self._ledger, self._destinations, settings.destinations, self._pauses, gateway, clock
        )
        self._watcher = Watcher(
            gateway,
            store,
            self._runs,
            self._live.current,
            self._products.among,
            self._reader,
            Signals(environment.sdk),
            clock,
            float(configuration.get("StableAge", STABLE_AGE)),
            settings.delivery_days,
            self._wake_runner,
        )
        self._trials = Trials(gateway, self._reader, self._inventory, self._ledger)
        self._replays = ReplayService(
            Parts(gateway, self._live, self._trials, self._runs, self._ledger, self._watcher.fire)
        )
        self._alerts = AlertDigests(
            store,
            self._ledger,
            settings.alerts,
            self._couriers.unreachable,
            self._alert,
            gateway.name_thread,
            clock,
        )
        self._metrics = DeliveryMetrics(self._ledger, self._couriers, gateway, clock)
        self._housekeeping = Pulse(
            "curator-expire", self._expire, HOUSEKEEPING, gateway.name_thread
        )
        self._live.on_change(self._rules_changed)
        self._ledger.on_change(self._alerts.changed)
        self._pauses.on_change(lambda _kind, _name: self._wake_runner())
        self._runner: Runner | None = None

    @property
    def replays(self) -> ReplayService:
        """The work of replays, for the job engine."""
        return self._replays

    @property
    def witness(self) -> JobWitness:
        """What sees to it that nobody removes what a job of anonymization makes or finds."""
        return JobWitness(self._runs, self._products)

    @property
    def pending(self) -> dict[str, Any]:
        """What routing has to do, for the status of Curator."""
        return {"Runs": self._runs.counts(), "Deliveries": self._ledger.counts()}

    @property
    def overview(self) -> Overview:
        """What waits and what has failed."""
        return self._overview

    @property
    def rules(self) -> RuleSet:
        """The rules in use."""
        return self._live.current()

    @property
    def is_closed(self) -> bool:
        """Whether nothing may come in, since the rules at reception cannot be used."""
        return self._live.is_closed

    @property
    def workers(self) -> dict[str, Workers]:
        """Threads by what they work at."""
        runs = {} if self._runner is None else {"Runs": self._runner.workers}
        return {**runs, "Couriers": self._couriers.workers, "Events": self._watcher.workers}

    def unreachable(self) -> list[str]:
        """Return the destinations that are left alone because they do not answer."""
        return self._couriers.unreachable()

    def users(self, profile: str) -> list[str]:
        """Return the rules, and the runs that are not over, that need a profile, in words."""
        return [*self._live.users(profile), *runs_with(self._runs, profile)]

    def problems(self) -> list[str]:
        """Return what is wrong with the rules now."""
        return self._live.problems()

    # Put together

    def endpoints(self, jobs: Jobs, engine: JobEngine) -> list[Endpoint]:
        """Return the endpoints, and let runs use the jobs of other features from now on."""
        runner = self._runner = self._make_runner(jobs)
        self._ledger.on_over(runner.deliveries_changed)
        gateway = self._environment.access.gateway
        return [
            *TrialApi(self._live, self._trials, self._replays, engine).endpoints(),
            *RulesApi(
                self._live, self._runs, self._pauses, self._watcher.fire, gateway
            ).endpoints(),
            *RunsApi(self._runs, self._ledger, runner, gateway).endpoints(),
            *DeliveriesApi(
                self._ledger, self._couriers, self._destinations, self._pauses, gateway
            ).endpoints(),
        ]

    def _make_runner(self, jobs: Jobs) -> Runner:
        environment = self._environment
        gateway = environment.access.gateway
        tools = Tools(
            access=environment.access,
            runs=self._runs,
            products=self._products,
            inventory=self._inventory,
            journal=environment.journal,
            jobs=jobs,
            deliveries=self._ledger,
            senders=Senders(gateway),
        )
        return Runner(
            tools,
            self._reader,
            self._paused_rules,
            environment.settings.route_workers,
            self._clock,
            name_thread=gateway.name_thread,
        )

    def _rules(self, sets: RuleStore) -> LiveRules:
        """Read the rules of the configuration, and those that came by REST."""
        environment = self._environment
        settings = environment.settings
        problems = list(self._destinations.problems)
        reader = RuleReader(lambda rules: problems_of(rules, environment.tables))
        directory = settings.rules_directory
        defined = define(
            settings.rules,
            settings.receive,
            None if directory is None else environment.directory / directory,
            reader,
            problems,
        )
        if problems:
            raise ConfigurationError(problems)
        around = ServerNames(
            destination=self._destinations.problem,
            profile=environment.profile,
            metadata=lambda: environment.configuration.get("UserMetadata", {}),
            split=environment.split,
            reception=self._reception.refusal,
        )
        return LiveRules(defined, sets, reader, around)

    # Life

    def register(self) -> None:
        """Register what the SDK lets a plugin register only while it is loaded."""
        receive = self._live.current().receive
        if receive or self._live.is_closed or self._environment.settings.reception:
            self._reception.register()
        self._reception.use(receive)
        if self._live.is_closed:
            self._reception.close()

    def start(self) -> None:
        """Start to watch, to run and to deliver."""
        for problem in self.problems():
            logger.warning("Rules: %s", problem)
        if self._runner is not None:
            self._runner.start()
        self._couriers.start()
        self._metrics.start()
        self._alerts.start()
        self._housekeeping.start()
        self._watcher.start()

    def halt(self) -> None:
        """Let runs begin nothing more; called before the jobs stop that they wait for."""
        if self._runner is not None:
            self._runner.halt()

    def stop(self) -> None:
        """Stop all of it; every part goes on after the next start where it was."""
        self._watcher.stop()
        self._couriers.stop()
        if self._runner is not None:
            self._runner.stop()
        self._housekeeping.stop()
        self._alerts.stop()
        self._metrics.stop()

    def wake(self, change: int, level: int, resource: str) -> None:
        """Take notice of a change; returns at once."""
        self._watcher.wake(change, level, resource)
        if change in self._ends_of_jobs:
            self._destinations.job_over(resource)

    # What the parts tell each other

    def _rules_changed(self) -> None:
        self._reception.use(self._live.current().receive)
        self._watcher.rules_changed()

    def _wake_runner(self) -> None:
        if self._runner is not None:
            self._runner.wake()

    def _paused_rules(self) -> frozenset[str]:
        return frozenset(one.name for one in self._pauses.all() if one.kind == PauseKind.RULE)

    def _alert(self, webhook: str, digest: dict[str, Any]) -> Failure | None:
        return self._destinations.webhook(webhook).post_json(digest)

    def _expire(self) -> float:
        before = self._clock() - self._environment.settings.delivery_days * DAY
        self._runs.expire(before)
        self._ledger.expire(before)
        self._products.forget_gone()
        return HOUSEKEEPING
