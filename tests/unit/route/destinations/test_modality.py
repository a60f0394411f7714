import threading

import pytest

from curator.config import DestinationSettings
from curator.route.delivery import Outcome
from curator.route.destinations.core_jobs import CoreJobs
from curator.route.destinations.modality import Modality
from curator.route.destinations.verification import Verifier
from curator.route.kinds import FailureKind
from unit.route.destinations import sending
from unit.route.destinations.sending import NETWORK, failure, make_package, never, running

CONNECTING = 'DicomAssociation - connecting to AET "PACS": TCP Initialization Error'
ABORTED = 'DicomAssociation - C-STORE to AET "PACS": Peer aborted Association'
TIMEOUT = 'DicomAssociation - C-STORE to AET "PACS": DIMSE No data available (timeout)'


@pytest.fixture
def jobs(gateway, ticks):
    return CoreJobs(gateway, 1, ticks.wait)


@pytest.fixture
def modality(gateway, jobs, ticks):
    verifier = Verifier(gateway, ticks.wait)
    return Modality("PACS", gateway, jobs, DestinationSettings(), verifier, ticks)


def send(modality, package, stopping=never):
    confirmed = []
    outcome = modality.send(package, confirmed.extend, stopping)
    return outcome, confirmed


def test_the_first_goes_alone_and_the_others_in_one_job(core, modality):
    instances = core.add(5)
    outcome, confirmed = send(modality, make_package(instances))
    assert (outcome, confirmed) == (Outcome(), instances)
    assert core.straight == [b"instance-0"]
    assert [body["Resources"] for body in core.submitted] == [instances[1:]]
    assert core.submitted[0]["Permissive"] is False
    assert core.submitted[0]["Priority"] == 5
    assert core.jobs == {}  # finished jobs of ours leave the history to those of users


@pytest.mark.parametrize("count", [2, 3, 7, 8, 16, 33, 64, 99, 100, 101])
@pytest.mark.parametrize("status", [0xA700, 0xC000])
def test_the_instance_that_was_refused_is_found_from_the_percentage(core, modality, count, status):
    instances = core.add(count)
    refused = instances[-2:]

    def run(body):
        resources = body["Resources"]
        positions = [at for at, one in enumerate(resources) if one in refused]
        if not positions:
            return [running(50), sending.success()]
        percent = positions[0] * 100 / len(resources)
        details = f"C-STORE SCU has failed with DIMSE status 0x{status:04X}"
        return [failure(int(percent + 0.5), details)]

    core.on_job = run
    refused = [one for one in refused if one != instances[0]]
    outcome, confirmed = send(modality, make_package(instances))
    assert {*outcome.failures} == {*refused}
    assert {*confirmed} == {*instances} - {*refused}
    assert outcome.failure is None
    assert len(confirmed) == len(set(confirmed))


def test_what_a_job_has_sent_is_confirmed_while_it_runs(core, modality):
    instances = core.add(11)
    core.on_job = lambda _: [running(10), running(50), failure(70, CONNECTING)]
    outcome, confirmed = send(modality, make_package(instances))
    assert confirmed == instances[:8]
    assert outcome.failure.kind == FailureKind.TRANSIENT
    assert outcome.failures == {}


def test_a_job_that_is_forgotten_confirms_only_what_was_seen(core, modality):
    instances = core.add(11)

    def run(_):
        core.jobs.clear()
        return []

    core.on_job = run
    outcome, confirmed = send(modality, make_package(instances))
    assert confirmed == instances[:1]
    assert outcome.failure.kind == FailureKind.TRANSIENT


def test_a_job_that_a_user_cancels_fails_as_a_whole(core, modality):
    core.on_job = lambda _: [failure(50, "", code=37)]
    outcome, confirmed = send(modality, make_package(core.add(5)))
    assert len(confirmed) == 3
    assert outcome.failure.kind == FailureKind.TRANSIENT


def test_without_a_worker_all_go_on_their_own(core, modality, jobs):
    instances = core.add(6)
    core.on_job = lambda _: [{"State": "Pending", "Progress": 0}]
    outcome, confirmed = send(modality, make_package(instances))
    assert outcome == Outcome()
    assert {*confirmed} == {*instances}
    assert sorted(core.straight) == [instance.encode() for instance in instances]
    assert core.jobs["job-1"].canceled


def test_a_modality_that_is_slow_gets_no_job(core, modality, ticks):
    instances = core.add(3)

    def slowly(_uri, _file):
        ticks.now += 1.5
        return b"{}"

    core.on_straight = slowly
    assert send(modality, make_package(instances))[0] == Outcome()
    assert core.submitted == []


def test_a_modality_that_is_away_is_asked_for_nothing_more(core, modality):
    core.echo = False

    def refuse(_uri, _file):
        raise NETWORK

    core.on_straight = refuse
    outcome, confirmed = send(modality, make_package(core.add(50)))
    assert outcome.failure.kind == FailureKind.TRANSIENT
    assert confirmed == []
    assert core.submitted == []
    assert not modality.is_back()


def test_a_modality_that_stalls_is_not_asked_again(core, modality, ticks):
    def stall(_uri, _file):
        ticks.now += 10
        raise NETWORK

    core.on_straight = stall
    outcome, _ = send(modality, make_package(core.add(50)))
    assert "no answer" in outcome.failure.answer
    assert core.submitted == []


def test_a_timeout_within_a_job_lets_the_others_go_on_their_own(core, modality):
    instances = core.add(5)
    core.on_job = lambda _: [failure(50, TIMEOUT)]
    outcome, confirmed = send(modality, make_package(instances))
    assert outcome == Outcome()
    assert {*confirmed} == {*instances}
    assert len(core.submitted) == 1


def test_an_instance_refused_on_its_own_is_explained_by_a_job(core, modality):
    instances = core.add(3)

    def refuse(_uri, file):
        if file == b"instance-0":
            raise NETWORK
        return b"{}"

    core.on_straight = refuse
    core.on_job = lambda body: (
        [failure(0, "... has failed with DIMSE status 0xA900")]
        if instances[0] in body["Resources"]
        else [sending.success()]
    )
    outcome, confirmed = send(modality, make_package(instances))
    assert outcome.failures[instances[0]].answer == "DIMSE status 0xA900"
    assert confirmed == instances[1:]


def test_three_that_may_be_its_fault_end_the_attempt(core, modality):
    core.on_job = lambda _: [failure(0, ABORTED)]
    outcome, confirmed = send(modality, make_package(core.add(50)))
    assert len(core.submitted) == 3
    assert len(outcome.failures) == 3
    assert outcome.failure is not None
    assert confirmed == ["instance-0"]


def test_deleted_instances_are_told_apart_and_the_others_go(core, modality):
    instances = core.add(6)
    for gone in (0, 3):
        del core.files[instances[gone]]
    outcome, confirmed = send(modality, make_package(instances))
    assert {one: each.kind for one, each in outcome.failures.items()} == {
        instances[0]: FailureKind.GONE,
        instances[3]: FailureKind.GONE,
    }
    assert {*confirmed} == {*instances} - {*outcome.failures}


def test_a_stop_cancels_the_job_and_blames_nobody(core, modality):
    instances = core.add(5)
    core.on_job = lambda _: [running(25)]
    stopped = []

    def stopping():
        return bool(core.submitted) and (stopped.append(1) or len(stopped) > 1)

    outcome, confirmed = send(modality, make_package(instances), stopping)
    assert outcome == Outcome()
    assert confirmed == instances[:2]
    assert core.jobs["job-1"].canceled


def test_jobs_from_before_a_restart_are_canceled_and_others_are_not(core, modality):
    core.left_over = [
        {"ID": "ours", "State": "Running", "UserData": {"CuratorDelivery": "d-0"}},
        {"ID": "over", "State": "Success", "UserData": {"CuratorDelivery": "d-0"}},
        {"ID": "theirs", "State": "Running", "UserData": {"Ward": "B"}},
        {"ID": "plain", "State": "Running"},
    ]
    send(modality, make_package(core.add(3)))
    send(modality, make_package(core.add(3)))
    assert [name for name, job in core.jobs.items() if job.canceled] == ["ours"]


def test_transcoded_instances_go_on_their_own(core, modality):
    instances = core.add(3)
    wanted = make_package(instances, transcode="1.2.840.10008.1.2")
    outcome, confirmed = send(modality, wanted)
    assert outcome == Outcome()
    assert {*confirmed} == {*instances}
    assert core.submitted == []


def test_batches_follow_one_another_until_one_fails(gateway, core, jobs, ticks):
    settings = DestinationSettings(batch=2)
    modality = Modality("PACS", gateway, jobs, settings, Verifier(gateway, ticks.wait), ticks)
    instances = core.add(7)
    jobs_done = []

    def run(body):
        jobs_done.append(body)
        return [sending.success() if len(jobs_done) < 3 else failure(0, CONNECTING)]

    core.on_job = run
    outcome, confirmed = send(modality, make_package(instances))
    assert confirmed == instances[:4]
    assert outcome.failure is not None


def test_sends_at_once_take_no_more_jobs_than_there_are_workers(gateway, core, ticks):
    jobs = CoreJobs(gateway, 1, ticks.wait)
    instances = core.add(4)
    inside, go_on = threading.Event(), threading.Event()

    def run(_):
        inside.set()
        go_on.wait(10)
        return [sending.success()]

    core.on_job = run
    one, other = (
        Modality(name, gateway, jobs, DestinationSettings(), Verifier(gateway), ticks)
        for name in ("A", "B")
    )
    thread = threading.Thread(target=send, args=(one, make_package(instances)))
    thread.start()
    assert inside.wait(10)
    outcome, confirmed = send(other, make_package(instances))
    go_on.set()
    thread.join()
    assert outcome == Outcome()
    assert {*confirmed} == {*instances}
    assert len(core.submitted) == 1
