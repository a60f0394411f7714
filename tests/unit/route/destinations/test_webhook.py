import io
import json
import zipfile
from dataclasses import replace

import pytest

from curator.config import DestinationSettings, Webhook, WebhookContent
from curator.route.delivery import Outcome
from curator.route.destinations import crew
from curator.route.destinations.signature import signature
from curator.route.destinations.webhook import WebhookDestination
from curator.route.kinds import FailureKind
from integration.http_sink import Answer, HttpSink
from unit.route.destinations.sending import make_package, never


@pytest.fixture
def sink():
    with HttpSink() as one:
        yield one


@pytest.fixture
def new_webhook(sink, gateway, ticks, tmp_path):
    """Return a function that makes a webhook to the sink; keywords are its settings."""

    def make(secret=None, batch=100, url=None, **settings):
        file = None
        if secret is not None:
            file = tmp_path / "secret"
            file.write_bytes(secret)
        webhook = Webhook(url=url or sink.url, **settings)
        return WebhookDestination(
            "hook", webhook, file, gateway, DestinationSettings(batch=batch), ticks
        )

    return make


def send(webhook, package, stopping=never):
    confirmed = []
    return webhook.send(package, confirmed.extend, stopping), confirmed


def test_a_notice_holds_identifiers_only_and_is_signed(core, sink, new_webhook, ticks):
    instances = core.add(2)
    webhook = new_webhook(secret=b" key \n", headers={"Authorization": "Bearer t"})
    assert send(webhook, make_package(instances)) == (Outcome(), instances)
    (request,) = sink.posted
    assert json.loads(request.body) == {
        "Event": "Delivery",
        "Rule": "to-archive",
        "Version": "1",
        "Level": "Study",
        "ID": "study",
        "Instances": instances,
        "Delivery": "d-1",
    }
    headers = request.headers
    assert headers["content-type"] == "application/json"
    assert headers["authorization"] == "Bearer t"
    assert headers["x-curator-delivery"] == "d-1"
    assert headers["x-curator-timestamp"] == str(int(ticks.now))
    assert headers["x-curator-signature"] == signature(b"key", int(ticks.now), [request.body])


def test_a_notice_of_what_is_no_resource_says_what_it_is_of(sink, new_webhook):
    package = make_package([])
    event = {"Trigger": "Job", "ID": "job", "State": "Failure"}
    package = replace(package, delivery=replace(package.delivery, event=event))
    assert send(new_webhook(), package) == (Outcome(), [])
    (request,) = sink.posted
    told = json.loads(request.body)
    assert event.items() <= told.items()
    assert "Level" not in told


def test_an_archive_goes_in_parts_with_identifiers_of_their_own(core, sink, new_webhook):
    instances = core.add(5)
    del core.files[instances[1]]
    webhook = new_webhook(secret=b"key", batch=2, content=WebhookContent.ARCHIVE)
    outcome, confirmed = send(webhook, make_package(instances))
    stored = [one for one in instances if one != instances[1]]
    assert {one: each.kind for one, each in outcome.failures.items()} == {
        instances[1]: FailureKind.GONE
    }
    assert confirmed == stored
    content = {}
    for request in sink.posted:
        timestamp = int(request.headers["x-curator-timestamp"])
        expected = signature(b"key", timestamp, [request.body])
        assert request.headers["x-curator-signature"] == expected
        with zipfile.ZipFile(io.BytesIO(request.body)) as archive:
            content.update({name: archive.read(name) for name in archive.namelist()})
    assert content == {f"{one}.dcm": core.files[one] for one in stored}
    assert len({request.headers["x-curator-part"] for request in sink.posted}) == 3


def test_the_same_part_has_the_same_identifier_again(core, sink, new_webhook):
    webhook = new_webhook(content=WebhookContent.ARCHIVE)
    for _ in range(2):
        send(webhook, make_package(core.add(2)))
    first, second = sink.posted
    assert first.headers["x-curator-part"] == second.headers["x-curator-part"]


@pytest.mark.parametrize(
    ("answer", "kind", "wait"),
    [
        (Answer(500), FailureKind.TRANSIENT, None),
        (Answer(503, (("Retry-After", "7"),)), FailureKind.TRANSIENT, 7.0),
        (Answer(429, (("Retry-After", "9"),)), FailureKind.TRANSIENT, 9.0),
        (Answer(404), FailureKind.PERMANENT, None),
        (Answer(302, (("Location", "http://127.0.0.1:1/"),)), FailureKind.PERMANENT, None),
    ],
)
def test_what_is_answered_decides(core, sink, new_webhook, answer, kind, wait):
    sink.answers.append(answer)
    outcome, confirmed = send(new_webhook(), make_package(core.add(2)))
    assert (outcome.failure.kind, outcome.failure.retry_after) == (kind, wait)
    assert confirmed == []
    assert len(sink.requests) == 1


def test_a_conflict_means_that_it_is_there_already(core, sink, new_webhook):
    sink.answers.append(Answer(409))
    instances = core.add(2)
    assert send(new_webhook(), make_package(instances)) == (Outcome(), instances)


def test_a_part_that_fails_ends_the_attempt(core, sink, new_webhook):
    sink.answers.extend([Answer(200), Answer(500)])
    webhook = new_webhook(batch=1, content=WebhookContent.ARCHIVE)
    outcome, confirmed = send(webhook, make_package(core.add(5)))
    assert outcome.failure.kind == FailureKind.TRANSIENT
    assert confirmed == ["instance-0"]
    assert len(sink.posted) == 2


def test_nobody_there_passes_and_says_no_address(core, new_webhook):
    webhook = new_webhook(url="http://127.0.0.1:1/secret-path")
    outcome, confirmed = send(webhook, make_package(core.add(1)))
    assert outcome.failure.kind == FailureKind.TRANSIENT
    assert "secret-path" not in outcome.failure.answer
    assert confirmed == []
    assert not webhook.is_back()
    assert not webhook.test()["Success"]


def test_a_secret_that_cannot_be_read_sends_nothing_unsigned(core, sink, new_webhook, tmp_path):
    webhook = new_webhook(secret=b"key")
    for break_ in ((tmp_path / "secret").unlink, (tmp_path / "secret").touch):
        break_()
        outcome, _ = send(webhook, make_package(core.add(1)))
        assert outcome.failure.kind == FailureKind.TRANSIENT
        assert "secret" in outcome.failure.answer
    assert sink.posted == []


def test_proxies_of_the_environment_are_not_used(core, sink, new_webhook, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1/")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1/")
    assert send(new_webhook(), make_package(core.add(1)))[0] == Outcome()
    assert len(sink.posted) == 1


def test_an_answer_without_end_is_not_read_to_its_end(core, sink, new_webhook):
    sink.answers.append(Answer(200, body=b"x" * 5_000_000))
    assert send(new_webhook(), make_package(core.add(1)))[0] == Outcome()


def test_an_answer_counts_whose_rest_never_comes(core, sink, new_webhook):
    sink.answers.append(Answer(200, body=b"so far", promised=100))
    instances = core.add(1)
    assert send(new_webhook(timeout=0.1), make_package(instances)) == (Outcome(), instances)
    assert len(sink.posted) == 1


def test_an_answer_that_comes_by_drops_is_left(core, sink, new_webhook, ticks):
    sink.answers.append(Answer(200, body=b"x" * 100, promised=100))
    hook = new_webhook(timeout=3600)
    times = iter(range(0, 10_000_000, 2000))
    hook._clock = lambda: float(next(times))
    instances = core.add(1)
    assert send(hook, make_package(instances)) == (Outcome(), instances)


def test_any_answer_means_that_it_is_back(sink, new_webhook):
    sink.answers.append(Answer(501))
    assert new_webhook().is_back()
    assert sink.posted == []


def test_a_test_says_so_to_the_webhook(sink, new_webhook):
    assert new_webhook().test()["Success"]
    assert json.loads(sink.posted[0].body) == {"Event": "Test"}


def test_a_stop_does_not_wait_for_an_answer(core, sink, new_webhook, monkeypatch):
    monkeypatch.setattr(crew, "GRACE", 0.0)
    monkeypatch.setattr(crew, "LOOK", 0.001)
    sink.stalled.clear()
    webhook = new_webhook()
    outcome, confirmed = send(webhook, make_package(core.add(1)), lambda: bool(sink.requests))
    assert (outcome, confirmed) == (Outcome(), [])
