"""What the steps of rules do, on an Orthanc in memory."""

from typing import Any

import pytest

from curator.anonymize.storing import Keeper
from curator.dicom import reader
from curator.dicom.tags import parse_path
from curator.errors import ErrorCode
from curator.level import Level
from curator.route.delivery_rows import Filter, InstanceState
from curator.route.inventory import Inventory
from curator.route.kinds import DeliveryState, RunState
from curator.route.retry import Settlement
from factory import Private, ct_series, make_instance, mr_series, uid
from unit.reshape.memory import SteppedStore
from unit.route.running import ANONYMIZE, Clock, Routed, RoutingOrthanc, rule

SEND = {"Send": ["modality:PACS"]}
BOTH = {"Send": ["modality:PACS", "peer:far"]}
MODIFY = {"Modify": {"Replace": {"StudyDescription": "Changed"}}}


@pytest.fixture
def routed(store) -> Routed:
    clock = Clock()
    orthanc = RoutingOrthanc(clock)
    orthanc.arrive(ct_series(3))
    return Routed(orthanc, store, clock)


def study_of(routed: Routed, instances: int = 3) -> str:
    studies = routed.orthanc.of(Level.STUDY)
    return next(one for one in studies if len(routed.orthanc.below(one)) == instances)


def value(routed: Routed, instance: str, keyword: str) -> str | None:
    path = parse_path(keyword)
    return reader.read(routed.orthanc.files[instance], [path]).string(path)


def sent(routed: Routed, destination: str = "modality:PACS") -> set[str]:
    """Return what a destination has had for any rule."""
    found = routed.ledger.find(Filter(destination=destination))
    return {one for delivery in found for one in routed.ledger.confirmed(delivery.id)}


# Send


def test_everything_goes_everywhere_before_a_run_is_done(routed):
    study = study_of(routed)
    run_id = routed.fire(rule(BOTH), study)
    routed.work()
    assert routed.state(run_id) == RunState.SENDING
    routed.deliver("modality:PACS")
    routed.work()
    assert routed.state(run_id) == RunState.SENDING
    routed.deliver("peer:far")
    routed.work()
    assert routed.state(run_id) == RunState.DONE
    assert sent(routed) == sent(routed, "peer:far") == set(routed.orthanc.below(study))


def test_only_late_instances_go_again(routed):
    study = study_of(routed)
    routed.route(rule(SEND), study)
    late = set(routed.orthanc.arrive(ct_series(5))) - sent(routed)
    routed.clock.now += 60
    run_id = routed.fire(rule(SEND), study)
    routed.work()
    assert set(routed.deliver()) == late
    routed.work()
    assert routed.state(run_id) == RunState.DONE


@pytest.mark.parametrize("keeps_md5", [True, False])
def test_an_overwritten_instance_goes_again_and_an_equal_one_does_not(routed, keeps_md5):
    routed.orthanc.keeps_md5 = keeps_md5
    study = study_of(routed)
    first = routed.orthanc.below(study)[0]
    routed.route(rule(SEND), study)
    routed.orthanc.touch(first)
    routed.route(rule(SEND), study)
    assert len(routed.ledger.find(Filter())) == 2
    content = routed.orthanc.files[first]
    routed.orthanc.nodes[first].attachments[1] = content.replace(b"Synthetic", b"Different")
    run_id = routed.fire(rule(SEND), study)
    routed.work()
    assert routed.deliver() == [first]
    routed.work()
    assert routed.state(run_id) == RunState.DONE


def test_a_send_takes_what_the_rule_says_of_transcoding_and_patience(routed):
    syntax = "1.2.840.10008.1.2.4.80"
    routed.fire(
        rule(
            {"Transcode": syntax},
            SEND,
            Retry={"Attempts": 3, "First": 5, "Max": 50, "MaxAge": 2},
            Window="18:00-07:00",
        ),
        study_of(routed),
    )
    routed.work()
    (delivery,) = routed.ledger.find(Filter())
    options = delivery.options
    assert (options.transcode, options.window) == (syntax, "18:00-07:00")
    assert (options.attempts, options.first, options.longest) == (3, 5, 50)
    assert options.max_age == 2 * 3600


def test_a_canceled_delivery_ends_the_run_before_its_next_step(routed):
    study = study_of(routed)
    run_id = routed.fire(rule(SEND, {"Delete": True}), study)
    routed.work()
    routed.ledger.cancel_all(Filter(run=run_id), "user")
    routed.work()
    assert routed.state(run_id) == RunState.CANCELED
    assert len(routed.orthanc.below(study)) == 3


# What came from a destination does not go back


@pytest.mark.parametrize("destination", ["modality:CT", "modality:SCANNER", "peer:other"])
def test_nothing_goes_back_to_where_it_came_from(routed, destination):
    run = routed.route(rule({"Send": [destination, "modality:PACS"]}), study_of(routed))
    assert run.state == RunState.DONE
    assert f"3 instances came from {destination}" in run.error
    assert [one.destination for one in routed.ledger.of_run(run.id)] == ["modality:PACS"]


def test_a_copy_does_not_go_back_either(routed):
    run = routed.route(rule(MODIFY, {"Send": ["modality:CT"]}), study_of(routed))
    assert run.state == RunState.DONE
    assert routed.ledger.of_run(run.id) == []
    assert len(routed.orthanc.files) == 3


def test_it_goes_back_where_the_rule_says_so(routed):
    run = routed.route(rule({"Send": ["modality:CT"]}, ReturnToSender=True), study_of(routed))
    assert len(sent(routed, "modality:CT")) == 3
    assert run.error == ""


def test_what_went_nowhere_is_not_deleted(routed):
    run = routed.route(rule({"Send": ["modality:CT"]}, {"Delete": True}), study_of(routed))
    assert run.state == RunState.DONE
    assert len(routed.orthanc.files) == 3


def test_an_instance_that_comes_from_here_is_no_sign_of_another_server(routed):
    for node in routed.orthanc.of(Level.INSTANCE).values():
        node.metadata["RemoteIP"] = "127.0.0.1"
    run = routed.route(rule({"Send": ["modality:LOCAL"]}), study_of(routed))
    assert len(sent(routed, "modality:LOCAL")) == 3
    assert run.error == ""


# Anonymize


def test_anonymized_copies_go_and_are_removed(routed):
    before = routed.orthanc.state()
    run_id = routed.fire(rule(ANONYMIZE, BOTH), study_of(routed))
    routed.work()
    copies = set(routed.orthanc.files) - set(before)
    assert len(copies) == 3
    assert {value(routed, one, "PatientIdentityRemoved") for one in copies} == {"YES"}
    routed.deliver("modality:PACS")
    routed.work()
    assert copies <= set(routed.orthanc.files)
    routed.deliver()
    routed.work()
    assert routed.state(run_id) == RunState.DONE
    assert sent(routed) == sent(routed, "peer:far") == copies
    assert routed.orthanc.state() == before


def test_late_instances_of_an_anonymized_study_go_alone(routed):
    study = study_of(routed)
    routed.route(rule(ANONYMIZE, SEND), study)
    before = sent(routed)
    routed.clock.now += 60
    routed.orthanc.arrive(ct_series(5))
    routed.fire(rule(ANONYMIZE, SEND), study)
    routed.work()
    arrived = set(routed.deliver())
    assert len(arrived) == 2
    assert arrived.isdisjoint(before)


def test_copies_stay_where_the_rule_says_so(routed):
    routed.route(rule(ANONYMIZE, SEND, KeepCopies=True), study_of(routed))
    assert len(routed.orthanc.files) == 6


def test_copies_that_were_there_before_stay(routed):
    study = study_of(routed)
    routed.route(rule(ANONYMIZE, KeepCopies=True, Name="keeper"), study)
    kept = set(routed.orthanc.files)
    routed.clock.now += 60
    routed.route(rule(ANONYMIZE, SEND), study)
    assert set(routed.orthanc.files) == kept
    assert len(sent(routed)) == 3


def test_what_is_stored_is_not_read_anew_for_every_instance(routed, monkeypatch):
    """An anonymization of thousands would last for hours."""
    read = Inventory.instances
    reads: list[int] = []

    def counted(*arguments: Any) -> Any:
        reads[-1] += 1
        return read(*arguments)

    monkeypatch.setattr(Inventory, "instances", counted)
    routed.orthanc.arrive(ct_series(9, study="large"))
    for number in (3, 9):
        reads.append(0)
        routed.fire(rule(ANONYMIZE, SEND), study_of(routed, number))
        routed.work()
        assert len(routed.deliver()) == number
    assert reads[0] == reads[1]


@pytest.mark.parametrize("seconds", [-3600, 0])
def test_copies_that_a_user_has_made_stay(routed, seconds):
    """Also those of the same second, and where the clock is set back."""
    study = study_of(routed)
    routed.anonymize_by_hand(study)
    kept = set(routed.orthanc.files)
    routed.clock.now += seconds
    routed.route(rule(ANONYMIZE, SEND), study)
    assert len(sent(routed)) == 3
    assert set(routed.orthanc.files) == kept


def test_copies_that_a_user_asks_for_while_they_go_stay(routed):
    study = study_of(routed)
    routed.fire(rule(ANONYMIZE, SEND), study)
    routed.work()
    made = routed.anonymize_by_hand(study)
    assert len(routed.deliver()) == 3
    routed.work()
    assert made["ID"] in routed.orthanc.nodes
    assert len(routed.orthanc.files) == 6


def test_copies_go_although_the_clock_is_set(routed):
    before = routed.orthanc.state()
    put = routed.orthanc.put_instance

    def set_back(dicom: bytes) -> tuple[str, str]:
        routed.clock.now -= 3600
        return put(dicom)

    routed.orthanc.put_instance = set_back
    run_id = routed.fire(rule(ANONYMIZE, SEND), study_of(routed))
    routed.work()
    routed.clock.now += 24 * 3600
    routed.work()
    assert len(routed.deliver()) == 3
    routed.work()
    assert routed.state(run_id) == RunState.DONE
    assert routed.orthanc.state() == before


def test_copies_do_not_go_while_another_run_looks_at_them(routed, monkeypatch):
    study = study_of(routed)
    first = routed.fire(rule(ANONYMIZE, SEND, Name="first"), study)
    routed.work()
    check = Keeper.check

    def check_late(*arguments: Any) -> None:
        routed.products.remove(routed.run(first))
        check(*arguments)

    monkeypatch.setattr(Keeper, "check", check_late)
    other = routed.fire(rule(ANONYMIZE, {"Send": ["peer:far"]}, Name="other"), study)
    routed.work()
    assert len(routed.deliver("peer:far")) == 3
    routed.work()
    assert routed.state(other) == RunState.DONE


def test_copies_that_another_run_needs_stay_until_it_has_sent_them(routed):
    study = study_of(routed)
    one = routed.fire(rule(ANONYMIZE, SEND, Name="one"), study)
    other = routed.fire(rule(ANONYMIZE, {"Send": ["peer:far"]}, Name="other"), study)
    routed.work()
    assert len(routed.orthanc.files) == 6
    routed.deliver("modality:PACS")
    routed.work()
    assert (routed.state(one), routed.state(other)) == (RunState.DONE, RunState.SENDING)
    assert len(routed.orthanc.files) == 6
    assert len(routed.deliver("peer:far")) == 3
    routed.work()
    assert routed.state(other) == RunState.DONE
    assert len(routed.orthanc.files) == 3


def test_nothing_of_another_profile_goes_with_the_copies(routed):
    """The anonymized study is the same one; what a laxer rule has put there is not for us."""
    study = study_of(routed)
    lax = {"Anonymize": {"Profile": "research"}}
    series = routed.orthanc.below(study, Level.SERIES)[0]
    first = rule(lax, {"Send": ["peer:far"]}, Name="lax", When="StableSeries")
    routed.fire(first, series)
    routed.work()
    laxer = set(routed.orthanc.files)
    routed.orthanc.arrive(mr_series(2, study="study", PatientID="SYN0001"))
    mr = next(one for one in routed.orthanc.below(study, Level.SERIES) if one != series)
    routed.fire(rule(ANONYMIZE, SEND, When="StableSeries"), mr)
    routed.work()
    arrived = set(routed.deliver("modality:PACS"))
    assert len(arrived) == 2
    assert arrived.isdisjoint(laxer)


def test_a_refused_anonymization_sends_nothing_and_says_so(routed):
    before = routed.orthanc.state()
    run = routed.route(rule({"Anonymize": {"Profile": "vanished"}}, SEND), study_of(routed))
    assert run.state == RunState.FAILED
    assert run.error.startswith("$.Then[0] Anonymize: ")
    assert "vanished" in run.error
    assert routed.ledger.find(Filter()) == []
    assert routed.orthanc.state() == before


def test_a_full_disk_is_waited_for_and_nothing_goes_meanwhile(routed):
    routed.orthanc.room = 1
    before = set(routed.orthanc.files)
    run_id = routed.fire(rule(ANONYMIZE, SEND, Retry={"First": 10, "Max": 100}), study_of(routed))
    routed.work()
    assert routed.state(run_id) == RunState.WAITING
    assert routed.run(run_id).attempts == 1
    assert set(routed.orthanc.files) == before
    assert routed.ledger.find(Filter()) == []
    routed.orthanc.room = None
    routed.wait(9)
    assert routed.state(run_id) == RunState.WAITING
    routed.wait(1)
    assert len(routed.deliver()) == 3
    routed.work()
    assert routed.state(run_id) == RunState.DONE


def test_a_disk_that_stays_full_fails_in_the_end(routed):
    routed.orthanc.room = 0
    retry = {"Attempts": 3, "First": 10, "Max": 10}
    run_id = routed.fire(rule(MODIFY, SEND, Retry=retry), study_of(routed))
    for _ in range(3):
        routed.wait(10)
    assert routed.state(run_id) == RunState.FAILED
    assert len(routed.orthanc.files) == 3
    assert routed.ledger.find(Filter()) == []


def test_a_failed_run_begins_again_when_a_user_says_so(routed):
    routed.orthanc.room = 2
    run_id = routed.fire(rule(ANONYMIZE, SEND, Retry={"Attempts": 1}), study_of(routed))
    routed.work()
    assert routed.state(run_id) == RunState.FAILED
    routed.orthanc.room = None
    routed.runner.retry(run_id)
    routed.work()
    assert len(routed.deliver()) == 3


def test_a_step_waits_for_a_job_on_the_same_study(routed):
    study = study_of(routed)
    claims = {"claims": [study], "state": "Paused"}
    routed.store.add_job({**JOB, **claims})
    run_id = routed.fire(rule(ANONYMIZE, SEND, Retry={"Attempts": 1}), study)
    for _ in range(5):
        routed.wait(60)
    assert routed.state(run_id) == RunState.WAITING
    assert routed.run(run_id).attempts == 0
    assert "other" in routed.run(run_id).error
    routed.store.delete_job(JOB["id"])
    routed.wait(60)
    assert routed.run(run_id).error == ""
    assert len(routed.deliver()) == 3


JOB = {
    "id": "other", "type": "Other", "user": "", "priority": 0, "state": "Pending",
    "created": "", "changed": "", "runtime": 0.0, "progress": 0.0, "error_code": 0,
    "error_details": "", "claims": [], "request": {}, "content": {}, "user_data": None,
    "plan": None, "phase": "",
}  # fmt: skip


# Modify


def test_modified_copies_have_new_identifiers_and_say_what_they_were_made_from(routed):
    study = study_of(routed)
    before = set(routed.orthanc.nodes)
    routed.fire(rule(MODIFY, SEND), study)
    routed.work()
    new = {one: node for one, node in routed.orthanc.nodes.items() if one not in before}
    assert [node.level for node in new.values()].count(Level.INSTANCE) == 3
    origins = {node.metadata["ModifiedFrom"] for node in new.values()}
    assert len(origins) == len(new) == 5
    for one in routed.orthanc.files.keys() & new.keys():
        assert value(routed, one, "StudyDescription") == "Changed"
        assert value(routed, one, "PatientID") == "SYN0001"


def test_an_instance_that_comes_late_joins_the_modified_study(routed):
    study = study_of(routed)
    routed.route(rule(MODIFY, SEND, KeepCopies=True), study)
    routed.clock.now += 60
    routed.orthanc.arrive(ct_series(4))
    routed.route(rule(MODIFY, SEND, KeepCopies=True), study)
    assert len(routed.orthanc.of(Level.STUDY)) == 2
    assert len(sent(routed)) == 4


def test_modify_removes_private_elements_at_every_depth_but_those_kept(tmp_path):
    private = [Private(0x0029, "ACME", 0x10, "LO", "x"), Private(0x0029, "ACME", 0x11, "LO", "y")]
    clock = Clock()
    orthanc = RoutingOrthanc(clock)
    store = SteppedStore(tmp_path / "private.db")
    routed = Routed(orthanc, store, clock)
    (instance,) = orthanc.arrive([make_instance(private=private)])
    step = {"RemovePrivateTags": True, "Keep": ['(0029,"ACME",11)']}
    routed.fire(rule({"Modify": step}, SEND), study_of(routed, 1))
    routed.work()
    (copy,) = set(orthanc.files) - {instance}
    assert value(routed, copy, '(0029,"ACME",11)') == "y"
    assert value(routed, copy, '(0029,"ACME",10)') is None
    store.close()


def test_references_among_modified_instances_follow(routed):
    study = study_of(routed)
    referring = make_instance(
        StudyInstanceUID=uid("study"),
        SeriesInstanceUID=uid("study", "pr"),
        SOPInstanceUID=uid("study", "pr", 0),
        ReferencedImageSequence=[
            {
                "ReferencedSOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
                "ReferencedSOPInstanceUID": uid("study", "CT", 0),
            }
        ],
    )
    (source,) = routed.orthanc.arrive([referring])
    before = set(routed.orthanc.files)
    routed.fire(rule(MODIFY, SEND), study)
    routed.work()
    copies = set(routed.orthanc.files) - before
    path = "ReferencedImageSequence[0].ReferencedSOPInstanceUID"
    (referred,) = filter(None, (value(routed, one, path) for one in copies))
    assert referred in {value(routed, one, "SOPInstanceUID") for one in copies}
    assert value(routed, source, path) == uid("study", "CT", 0)


def test_a_copy_never_takes_the_place_of_its_original(routed):
    keep = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
    step = {"Replace": {"StudyDescription": "x"}, "Keep": keep, "Force": True}
    before = routed.orthanc.state()
    run = routed.route(rule({"Modify": step}, SEND), study_of(routed))
    assert run.state == RunState.FAILED
    assert "overwritten" in run.error
    assert routed.orthanc.state() == before


def test_copies_in_the_original_series_are_told_from_the_originals(routed):
    """A batch is modified as instances are: the copies stay in the same series."""
    study = study_of(routed)
    series = routed.orthanc.below(study, Level.SERIES)[0]
    batch = sorted(routed.orthanc.below(series))[:2]
    run_id = routed.fire(rule(MODIFY, SEND, When="StoredInstance"), series, *batch)
    routed.work()
    assert len(routed.orthanc.below(series)) == 5
    other = routed.fire(rule({"Send": ["peer:far"]}, Name="other"), study)
    routed.work()
    assert len(routed.deliver("peer:far")) == 3
    assert len(routed.deliver("modality:PACS")) == 2
    routed.work()
    assert routed.state(run_id) == routed.state(other) == RunState.DONE
    assert len(routed.orthanc.below(series)) == 3


# Split and merge


def test_what_was_split_goes_and_stays(routed):
    study = study_of(routed)
    routed.orthanc.arrive(mr_series(2, study="study", PatientID="SYN0001"))
    run = routed.route(rule({"Split": {"By": ["Modality"], "Into": "Studies"}}, SEND), study)
    assert run.state == RunState.DONE, run.error
    assert study not in routed.orthanc.nodes
    assert len(routed.orthanc.of(Level.STUDY)) == 2
    assert sent(routed) == set(routed.orthanc.files)
    assert len(routed.orthanc.files) == 5


def test_split_copies_go_and_are_removed(routed):
    study = study_of(routed)
    routed.orthanc.arrive(mr_series(2, study="study", PatientID="SYN0001"))
    before = routed.orthanc.files
    split = {"Split": {"By": ["Modality"], "Into": "Studies", "KeepSource": True}}
    run = routed.route(rule(split, SEND), study)
    assert run.state == RunState.DONE, run.error
    assert routed.orthanc.files == before
    assert len(sent(routed)) == 5
    assert sent(routed).isdisjoint(before)


def test_studies_with_the_same_accession_number_are_merged_into_the_earliest(routed):
    early = study_of(routed)
    later = {"StudyDate": "20240103", "PatientID": "SYN0001"}
    routed.orthanc.arrive(mr_series(2, study="later", **later))
    routed.orthanc.arrive(mr_series(4, study="unlike", AccessionNumber="X", **later))
    late = study_of(routed, 2)
    run = routed.route(rule({"Merge": {}}, SEND), late)
    assert run.state == RunState.DONE, run.error
    assert late not in routed.orthanc.nodes
    assert len(routed.orthanc.below(early)) == 5
    assert sent(routed) == set(routed.orthanc.below(early))


def test_studies_without_an_accession_number_are_never_merged(tmp_path):
    clock = Clock()
    orthanc = RoutingOrthanc(clock)
    store = SteppedStore(tmp_path / "empty.db")
    routed = Routed(orthanc, store, clock)
    orthanc.arrive(ct_series(1, study="a", AccessionNumber=""))
    orthanc.arrive(ct_series(2, study="b", AccessionNumber=""))
    run = routed.route(rule({"Merge": {}}, SEND), study_of(routed, 2))
    assert run.state == RunState.DONE
    assert len(orthanc.of(Level.STUDY)) == 2
    store.close()


# Label, Metadata, Delete


def test_labels_and_metadata_hang_on_what_the_rule_fired_for(routed):
    study = study_of(routed)
    steps = [
        ANONYMIZE, SEND, {"Label": {"Add": ["sent"], "Remove": ["new"]}},
        {"Metadata": {"Set": {"1024": "yes"}, "Remove": ["1025"]}},
    ]  # fmt: skip
    routed.orthanc.nodes[study].labels.add("new")
    assert routed.route(rule(*steps), study).state == RunState.DONE
    node = routed.orthanc.nodes[study]
    assert (node.labels, node.metadata["1024"]) == ({"sent"}, "yes")


def test_labels_of_a_batch_hang_on_its_instances(routed):
    series = next(iter(routed.orthanc.of(Level.SERIES)))
    first, second, _ = routed.orthanc.below(series)
    steps = [MODIFY, SEND, {"Label": {"Add": ["sent"]}}]
    run = routed.route(rule(*steps, When="StoredInstance"), series, first, second)
    assert run.state == RunState.DONE
    labels = {one: node.labels for one, node in routed.orthanc.nodes.items() if node.labels}
    assert labels == {first: {"sent"}, second: {"sent"}}


def test_metadata_that_a_server_protects_is_no_success(routed):
    study = study_of(routed)
    routed.orthanc.failing["PUT", f"/studies/{study}/metadata"] = ErrorCode.REVISION
    routed.orthanc.core["GET", ""] = b""
    run = routed.route(rule({"Metadata": {"Set": {"1024": "new"}}}, Retry={"Attempts": 1}), study)
    assert run.state == RunState.FAILED


def test_a_study_goes_only_when_every_destination_has_it(routed):
    study = study_of(routed)
    run_id = routed.fire(rule(BOTH, {"Delete": True}), study)
    routed.work()
    routed.deliver("modality:PACS")
    routed.work()
    assert len(routed.orthanc.below(study)) == 3
    routed.deliver("peer:far")
    routed.work()
    assert routed.state(run_id) == RunState.DONE
    assert study not in routed.orthanc.nodes


@pytest.mark.parametrize("steps", [[SEND], [ANONYMIZE, SEND], [MODIFY, SEND]])
def test_late_and_overwritten_instances_are_not_deleted_unsent(routed, steps):
    study = study_of(routed)
    first = routed.orthanc.below(study)[0]
    run_id = routed.fire(rule(*steps, {"Delete": True}), study)
    routed.work()
    late = set(routed.orthanc.arrive(ct_series(4))) - set(routed.orthanc.below(study)[:3])
    content = routed.orthanc.files[first]
    routed.orthanc.nodes[first].attachments[1] = content.replace(b"Synthetic", b"Different")
    routed.deliver()
    routed.work()
    assert routed.state(run_id) == RunState.DONE
    assert set(routed.orthanc.below(study)) == {first, *late}


def test_originals_stay_where_a_copy_has_not_arrived(routed):
    study = study_of(routed)
    before = set(routed.orthanc.files)
    run_id = routed.fire(rule(ANONYMIZE, SEND, {"Delete": True}), study)
    routed.work()
    lost = next(iter(set(routed.orthanc.files) - before))
    (delivery,) = routed.ledger.find(Filter())
    delivery = routed.ledger.take(delivery.destination, routed.clock())
    pending = routed.ledger.pending(delivery, 100)
    routed.ledger.confirm(delivery, [one for one in pending if one != lost])
    routed.ledger.mark(delivery, {lost: "gone"}, InstanceState.GONE)
    routed.ledger.settle(delivery, Settlement(DeliveryState.DELIVERED, 1))
    routed.work()
    assert routed.state(run_id) == RunState.DONE
    assert "3 instances were not deleted" in routed.run(run_id).error
    assert len(routed.orthanc.below(study)) == 3


def test_a_batch_deletes_its_own_instances_only(routed):
    series = next(iter(routed.orthanc.of(Level.SERIES)))
    first, second, third = routed.orthanc.below(series)
    run = routed.route(
        rule(MODIFY, SEND, {"Delete": True}, When="StoredInstance"), series, first, second
    )
    assert run.state == RunState.DONE
    assert set(routed.orthanc.files) == {third}
