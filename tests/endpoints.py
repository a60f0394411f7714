"""The endpoints of the plugin, for tests that have to cover every one."""

from pathlib import Path
from typing import cast

from curator import server
from curator.access import Access
from curator.anonymize.anonymizers import anonymize_service
from curator.anonymize.setup import prepare
from curator.config import Settings
from curator.gateway import Gateway
from curator.health.monitor import Monitor, Observed
from curator.jobs import JobEngine
from curator.journal import Journal
from curator.reshape.find_duplicates import FindDuplicatesService
from curator.reshape.operation import Operations
from curator.reshape.operations import operation_kinds
from curator.route.setup import Environment, Routing
from curator.sdk import Sdk
from curator.store import Store
from curator.web import Endpoint
from unit.fake_sdk import FakeSdk


def registered() -> list[Endpoint]:
    """Build the endpoints as the plugin does, with nothing behind them."""
    sdk = cast("Sdk", FakeSdk())
    access = Access(Gateway(sdk), 1, "ISO_IR 6")
    store = Store("sqlite://")
    journal = Journal(store)
    engine = JobEngine(store, {}, workers=1, history_size=1)
    operations = Operations(access, journal, engine)
    kinds = operation_kinds(access, journal, 1)
    searches = FindDuplicatesService(access)
    key = {"CURATOR_KEY": "00" * 32}
    anonymization = prepare(Settings(), {}, Path(), key, store)
    anonymize = anonymize_service(access, store, anonymization)
    routing = Routing(
        Environment(
            sdk=sdk,
            access=access,
            store=store,
            journal=journal,
            settings=Settings(),
            configuration={},
            directory=Path(),
            tables={},
            profile=lambda _name: None,
            split=lambda _body: [],
        )
    )
    monitor = Monitor(
        Observed(
            gateway=access.gateway,
            store=store,
            engine=engine,
            routing=routing,
            profiles=anonymization.catalog,
            settings=Settings(),
            configuration={},
            index=Path(),
            has_tesseract=False,
            key="",
        )
    )
    endpoints = server.endpoints(
        engine, operations, kinds, searches, anonymization, anonymize, routing, monitor
    )
    store.close()
    return endpoints
