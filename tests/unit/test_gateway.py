"""What the gateway makes of answers that differ from one release of Orthanc to another."""

import json

import pytest

from curator.errors import CoreError
from curator.gateway import Gateway
from unit.fake_sdk import FakeOrthancError, FakeSdk


def counting(answer):
    """Return the gateway of a server that counts so, and finds nothing."""
    sdk = FakeSdk()
    sdk.RestApiGet = answer
    sdk.RestApiPost = lambda _uri, _body: b"[]"
    return Gateway(sdk)


def refusing(code, text):
    def refuse(_uri):
        raise FakeOrthancError(code, text)

    return refuse


@pytest.mark.parametrize(
    "answer",
    [
        refusing(17, "Unknown resource"),
        lambda _uri: json.dumps({"CountInstances": 0}).encode(),
    ],
    ids=["refused as by 1.12.7", "none counted as by 1.13.0"],
)
def test_a_series_that_is_not_stored_has_no_instances(answer):
    assert counting(answer).instances_of_series("a series") == []


def test_a_server_that_cannot_count_is_no_empty_series():
    with pytest.raises(CoreError):
        counting(refusing(11, "Error with the database engine")).instances_of_series("a series")
