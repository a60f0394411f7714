import json

import pytest

from curator.gateway import Gateway
from curator.route.delivery import SendOptions
from curator.route.destinations.verification import COMMITMENT_SECONDS, Verifier, wanted
from curator.route.kinds import FailureKind
from unit.fake_sdk import FakeOrthancError
from unit.route.destinations.sending import SendingCore, never

COMMITMENT = SendOptions(storage_commitment=True)
COUNT = SendOptions(check_count=True)


class VerifyingCore(SendingCore):
    """Two series of one study, and a modality that reports and finds as told."""

    def __init__(self):
        super().__init__()
        self.reports = []
        self.found = []
        self.queries = set()

    def _bulk(self, resources):
        found = []
        for one in resources:
            if one in self.files:
                series = f"series-{int(one[-1]) % 2}"
                tags = {"SOPInstanceUID": f"1.{one[-1]}"}
                found.append(resource("Instance", one, tags, ParentSeries=series))
            elif one.startswith("series"):
                tags = {"SeriesInstanceUID": f"2.{one[-1]}"}
                found.append(resource("Series", one, tags, ParentStudy="study"))
            elif one == "study":
                tags = {"StudyInstanceUID": "3"}
                found.append(resource("Study", one, tags, ParentPatient="patient"))
        return json.dumps(found).encode()

    def _answer(self, method, uri, body=b""):
        match (method, *uri.split("?")[0].strip("/").split("/")):
            case ("POST", "modalities", _, "storage-commitment"):
                return b'{"ID": "7", "Path": "/storage-commitment/7"}'
            case ("GET", "storage-commitment", "7"):
                report = self.reports.pop(0) if len(self.reports) > 1 else self.reports[0]
                return json.dumps(report).encode()
            case ("POST", "modalities", _, "query"):
                asked = json.loads(body)["Query"]
                self.queries.add(asked["SeriesInstanceUID"])
                return json.dumps({"Path": f"/queries/{asked['SeriesInstanceUID']}"}).encode()
            case ("GET", "queries", _, "answers"):
                found = self.found.pop(0) if len(self.found) > 1 else self.found[0]
                return json.dumps([{"SOPInstanceUID": uid} for uid in found]).encode()
            case ("DELETE", "queries", query):
                self.queries.remove(query)
                return b""
        return super()._answer(method, uri, body)


def resource(level, one, tags, **parent):
    return {"Type": level, "ID": one, "MainDicomTags": tags, **parent}


@pytest.fixture
def core():
    return VerifyingCore()


@pytest.fixture
def verifier(core, ticks):
    return Verifier(Gateway(core), ticks.wait)


def check(verifier, instances, options, stopping=never):
    return verifier.modality("/modalities/PACS", instances, options, 3, stopping)


def item(number, **more):
    return {"SOPClassUID": "9", "SOPInstanceUID": f"1.{number}", **more}


PENDING = {"Status": "Pending"}


def test_only_what_is_asked_for_is_checked():
    assert not wanted(SendOptions())
    assert wanted(COMMITMENT)
    assert wanted(COUNT)


def test_a_commitment_is_waited_for_and_read_by_instance(core, verifier):
    instances = core.add(4)
    failures = [item(2, FailureReason=0x0112), item(3, FailureReason=0x0122)]
    report = {"Status": "Failure", "Success": [item(0)], "Failures": failures}
    core.reports = [PENDING, PENDING, report]
    checked = check(verifier, instances, COMMITMENT)
    assert checked.there == instances[:1]
    assert {one: failure.kind for one, failure in checked.failures.items()} == {
        instances[1]: FailureKind.TRANSIENT,  # not mentioned at all
        instances[2]: FailureKind.TRANSIENT,
        instances[3]: FailureKind.PERMANENT,
    }


def test_a_report_that_never_comes_confirms_nothing(core, verifier, ticks):
    core.reports = [PENDING]
    began = ticks.now
    checked = check(verifier, core.add(2), COMMITMENT)
    assert checked.there == []
    assert {failure.kind for failure in checked.failures.values()} == {FailureKind.TRANSIENT}
    assert ticks.now - began >= COMMITMENT_SECONDS


def test_a_stop_ends_the_wait_and_blames_nobody(core, verifier):
    core.reports = [PENDING]
    asked = []
    checked = check(verifier, core.add(2), COMMITMENT, lambda: asked.append(1) or len(asked) > 5)
    assert (checked.there, checked.failures) == ([], {})


def test_a_search_asks_for_every_series_and_waits_for_a_slow_index(core, verifier):
    instances = core.add(4)
    core.found = [["1.0"], ["1.1"], ["1.0", "1.2", "8.8"], ["1.1"], ["1.1", "1.3"]]
    checked = check(verifier, instances, COUNT)
    assert sorted(checked.there) == instances
    assert checked.failures == {}
    assert core.queries == set()


def test_what_is_not_found_is_sent_again(core, verifier):
    core.found = [["1.0", "1.1"]]
    checked = check(verifier, core.add(3), COUNT)
    assert sorted(checked.there) == ["instance-0", "instance-1"]
    assert checked.failures["instance-2"].kind == FailureKind.TRANSIENT


def test_both_checks_have_to_succeed(core, verifier):
    instances = core.add(3)
    report = {"Status": "Failure", "Success": [item(0), item(1)], "Failures": []}
    core.reports, core.found = [report], [["1.0", "1.2"]]
    options = SendOptions(storage_commitment=True, check_count=True)
    checked = check(verifier, instances, options)
    assert checked.there == instances[:1]
    assert {*checked.failures} == {*instances[1:]}


def test_a_modality_that_cannot_be_asked_confirms_nothing(core, verifier):
    class Refusing(VerifyingCore):
        def _answer(self, method, uri, body=b""):
            if uri.startswith("/modalities"):
                raise FakeOrthancError(9, "Error in the network protocol")
            return super()._answer(method, uri, body)

    refusing = Refusing()
    instances = refusing.add(2)
    for options in (COMMITMENT, COUNT):
        checked = check(Verifier(Gateway(refusing), lambda _: None), instances, options)
        assert checked.there == []
        assert {*checked.failures} == {*instances}
