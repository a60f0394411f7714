"""The endpoints of the plugin, for tests that have to cover every one."""

from typing import cast

from curator import server
from curator.gateway import Gateway
from curator.jobs import JobEngine
from curator.reshape.service import SplitService
from curator.sdk import Sdk
from curator.store import Store
from curator.web import Endpoint


def registered() -> list[Endpoint]:
    """Build the endpoints as the plugin does, with nothing behind them."""
    gateway = Gateway(cast("Sdk", object()))
    store = Store("sqlite://")
    engine = JobEngine(store, {}, workers=1, history_size=1)
    endpoints = server.endpoints(engine, SplitService(gateway, 1, "ISO_IR 6"), gateway)
    store.close()
    return endpoints
