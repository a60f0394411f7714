"""What Curator writes into Orthanc's log."""

import logging

import pytest

from curator.server import _log_through
from unit.fake_sdk import FakeSdk


@pytest.fixture
def curator_logger():
    logger = logging.getLogger("curator")
    before = (logger.handlers, logger.level, logger.propagate)
    yield logger
    logger.handlers, logger.level, logger.propagate = before


@pytest.mark.parametrize(
    "text", ["a\nW0101 all is well", "a\r\nb", "a\x1b[2Jb", "a\u2028b", "a\0b"]
)
def test_a_message_is_one_line_whatever_it_quotes(curator_logger, text):
    sdk = FakeSdk()
    _log_through(sdk)
    curator_logger.info("Put by %s", text)
    ((_, line),) = sdk.log
    assert line.isprintable()
