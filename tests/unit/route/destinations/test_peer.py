import json

import pytest

from curator.config import DestinationSettings
from curator.route.delivery import Outcome
from curator.route.destinations.peer import Peer
from curator.route.kinds import FailureKind
from unit.route.destinations.sending import NETWORK, make_package, never


@pytest.fixture
def peer(gateway, ticks):
    return Peer("research", gateway, DestinationSettings(), ticks)


def answering(status):
    return lambda _uri, _file: json.dumps({"Status": status}).encode()


def send(peer, instances):
    confirmed = []
    return peer.send(make_package(instances), confirmed.extend, never), confirmed


@pytest.mark.parametrize("status", ["Success", "AlreadyStored"])
def test_what_a_peer_has_is_confirmed(core, peer, status):
    core.on_straight = answering(status)
    outcome, confirmed = send(peer, core.add(5))
    assert outcome == Outcome()
    assert sorted(confirmed) == core.add(5)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("FilteredOut", FailureKind.PERMANENT),
        ("StorageFull", FailureKind.TRANSIENT),
        ("Failure", FailureKind.TRANSIENT),
    ],
)
def test_what_a_peer_does_not_store_is_not_confirmed_though_it_answers_200(
    core, peer, status, kind
):
    core.on_straight = answering(status)
    outcome, confirmed = send(peer, core.add(1))
    assert [failure.kind for failure in outcome.failures.values()] == [kind]
    assert confirmed == []


def test_an_answer_that_says_nothing_confirms_nothing(core, peer):
    core.on_straight = lambda _uri, _file: b"[]"
    outcome, confirmed = send(peer, core.add(1))
    assert outcome.failures["instance-0"].kind == FailureKind.TRANSIENT
    assert confirmed == []


def test_one_that_fails_does_not_hold_up_the_others_while_the_peer_is_there(core, peer):
    def refuse(_uri, file):
        if file == b"instance-1":
            raise NETWORK
        return b'{"Status": "Success"}'

    core.on_straight = refuse
    outcome, confirmed = send(peer, core.add(5))
    assert {*outcome.failures} == {"instance-1"}
    assert outcome.failure is None
    assert len(confirmed) == 4


def test_a_peer_that_is_away_is_asked_for_nothing_more(core, peer):
    core.echo = False
    asked = []

    def refuse(_uri, file):
        asked.append(file)
        raise NETWORK

    core.on_straight = refuse
    outcome, confirmed = send(peer, core.add(50))
    assert outcome.failure.kind == FailureKind.TRANSIENT
    assert confirmed == []
    assert len(asked) < 50
    assert not peer.is_back()


def test_a_file_that_cannot_be_transcoded_is_never_sent_as_it_is(core, peer):
    core.add(1)
    real = core._answer

    def refuse_to_transcode(method, uri, body=b""):
        if "transcode" in uri:
            raise NETWORK
        return real(method, uri, body)

    core._answer = refuse_to_transcode
    package = make_package(["instance-0"], transcode="1.2.840.10008.1.2.4.90")
    outcome = peer.send(package, lambda _: pytest.fail("confirmed"), never)
    assert outcome.failures["instance-0"].kind == FailureKind.PERMANENT
    assert core.straight == []
