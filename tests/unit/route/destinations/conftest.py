"""Fixtures of the destinations."""

import pytest

from curator.gateway import Gateway
from unit.route.destinations.sending import SendingCore, Ticks


@pytest.fixture
def core():
    return SendingCore()


@pytest.fixture
def gateway(core):
    return Gateway(core)


@pytest.fixture
def ticks():
    return Ticks()
