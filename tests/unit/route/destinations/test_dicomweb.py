import json

import pytest

from curator.config import DestinationSettings
from curator.gateway import Gateway
from curator.route.delivery import Outcome
from curator.route.destinations.core_jobs import CoreJobs
from curator.route.destinations.dicomweb import DicomWeb
from curator.route.destinations.verification import Verifier
from curator.route.kinds import FailureKind
from unit.route.destinations.sending import (
    NETWORK,
    SendingCore,
    failure,
    make_package,
    never,
    running,
    success,
)


class WebCore(SendingCore):
    """The DICOMweb plugin, with a server that refuses some instances and has others already."""

    def __init__(self):
        super().__init__()
        self.refused = set()
        self.has = set()
        self.code = 8

    def _bulk(self, resources):
        found = []
        for one in resources:
            if one in self.files:
                tags = {"SOPInstanceUID": one}
                found.append({"Type": "Instance", "ParentSeries": "series", "MainDicomTags": tags})
            elif one == "series":
                tags = {"SeriesInstanceUID": "2"}
                found.append({"Type": "Series", "ParentStudy": "study", "MainDicomTags": tags})
            elif one == "study":
                found.append({"Type": "Study", "MainDicomTags": {"StudyInstanceUID": "3"}})
            else:
                continue
            found[-1]["ID"] = one
        return json.dumps(found).encode()

    def _answer(self, method, uri, body=b""):
        match (method, uri):
            case ("POST", "/web/servers/archive/stow"):
                return self._submit(json.loads(body))
            case ("POST", "/web/servers/archive/get"):
                if not self.echo:
                    raise NETWORK
                found = [{"00080018": {"vr": "UI", "Value": [uid]}} for uid in self.has]
                return json.dumps(found).encode() if found else b""
        return super()._answer(method, uri, body)

    def stow(self, body):
        if self.refused & {*body["Resources"]}:
            content = {"FunctionErrorCode": self.code, "FunctionErrorDescription": "Bad request"}
            return [running(0), failure(0, code=-1, Content=content)]
        return [success()]


@pytest.fixture
def core():
    one = WebCore()
    one.on_job = one.stow
    return one


@pytest.fixture
def server(core, ticks):
    gateway = Gateway(core)
    jobs, verifier = CoreJobs(gateway, 1, ticks.wait), Verifier(gateway, ticks.wait)
    return DicomWeb("archive", "/web/", gateway, jobs, DestinationSettings(), verifier)


def send(server, package, stopping=never):
    confirmed = []
    return server.send(package, confirmed.extend, stopping), confirmed


def test_one_request_carries_a_batch(core, server):
    instances = core.add(10)
    assert send(server, make_package(instances)) == (Outcome(), instances)
    assert [body["Resources"] for body in core.submitted] == [instances]


def test_those_that_are_refused_are_found_and_the_others_confirmed_once(core, server):
    instances = core.add(16)
    core.refused = {instances[3], instances[12]}
    outcome, confirmed = send(server, make_package(instances))
    assert {one: each.kind for one, each in outcome.failures.items()} == dict.fromkeys(
        core.refused, FailureKind.PERMANENT
    )
    assert sorted(confirmed) == sorted({*instances} - core.refused)


def test_what_is_refused_because_it_is_there_already_is_confirmed(core, server):
    instances = core.add(4)
    core.refused, core.has = {instances[1]}, {instances[1]}
    outcome, confirmed = send(server, make_package(instances))
    assert outcome == Outcome()
    assert sorted(confirmed) == instances


def test_a_server_that_is_away_is_asked_for_nothing_more(core, server):
    core.refused, core.code, core.echo = {*core.add(9)}, 9, False
    outcome, confirmed = send(server, make_package(core.add(9)))
    assert outcome.failure.kind == FailureKind.TRANSIENT
    assert (confirmed, len(core.submitted)) == ([], 1)
    assert not server.is_back()


def test_deleted_instances_are_told_apart(core, server):
    instances = core.add(4)
    del core.files[instances[2]]
    outcome, confirmed = send(server, make_package(instances))
    assert {one: each.kind for one, each in outcome.failures.items()} == {
        instances[2]: FailureKind.GONE
    }
    assert len(confirmed) == 3


def test_a_check_confirms_only_what_a_search_finds(core, server):
    instances = core.add(3)
    core.has = {*instances[:2]}
    outcome, confirmed = send(server, make_package(instances, check_count=True))
    assert sorted(confirmed) == instances[:2]
    assert {*outcome.failures} == {instances[2]}


def test_a_stop_blames_nobody(core, server):
    core.on_job = lambda _: [running(0)]
    outcome, confirmed = send(server, make_package(core.add(3)), lambda: bool(core.submitted))
    assert (outcome, confirmed) == (Outcome(), [])


@pytest.mark.parametrize("asked", [{"transcode": "1.2"}, {"storage_commitment": True}])
def test_what_the_plugin_cannot_do_is_refused(core, server, asked):
    outcome, confirmed = send(server, make_package(core.add(1), **asked))
    assert outcome.failure.kind == FailureKind.PERMANENT
    assert (confirmed, core.submitted) == ([], [])
