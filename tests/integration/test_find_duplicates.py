"""Duplicates are found wherever they are, told by identifier, and left alone."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from factory import ImplicitVRLittleEndian, ct_series, make_instance, make_series, uid
from integration.model import damage
from integration.servers import RunningServer
from integration.waiting import FINISHED, wait_for_job, wait_until

ROUTE = "/tools/find-duplicates"

#: The storage cache would hide what the tests do to files.
UNCACHED = {"MaximumStorageCacheSize": 0}


def find(server: RunningServer, **body: Any) -> dict[str, Any]:
    """Return what a search finds, which has to be a success."""
    answer = server.http.post(ROUTE, body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def groups(found: dict[str, Any], by: str) -> list[set[str]]:
    """Return the identifiers of the duplicates that have something in common."""
    return [
        {one["ID"] for one in group["Instances"]}
        for group in found["Duplicates"]
        if group["By"] == by
    ]


def upload(server: RunningServer, instance: bytes) -> dict[str, Any]:
    """Store a new instance; return where it is."""
    stored = server.upload(instance)
    assert stored["Status"] == "Success"
    return {key: stored[key] for key in ("ID", "ParentSeries", "ParentStudy", "ParentPatient")}


def place(stored: dict[str, Any]) -> str:
    return str(stored["ID"])


def refusal(answer: requests.Response, status: int) -> str:
    """Check that this is the core's error body; return its details."""
    assert answer.status_code == status, answer.text
    assert answer.json()["HttpStatus"] == status
    return str(answer.json()["Details"])


def test_one_sop_instance_uid_under_two_patients_is_found(server):
    instances = {patient: ct_series(3, PatientID=patient) for patient in ("A", "B")}
    one = [upload(server, instance) for instance in instances["A"]]
    other = [upload(server, instance) for instance in instances["B"][:2]]
    before = server.http.json("/changes")["Last"], server.http.json("/statistics")

    found = find(server)

    pairs = [sorted(pair, key=place) for pair in zip(one, other, strict=False)]
    expected = sorted(pairs, key=lambda pair: place(pair[0]))
    assert found == {
        "Description": "REST API",
        "InstancesCount": 5,
        "Duplicates": [{"By": "SOPInstanceUID", "Instances": pair} for pair in expected],
        "DuplicatesCount": 2,
        "UnreadableInstances": [],
        "UnreadableInstancesCount": 0,
    }
    assert (server.http.json("/changes")["Last"], server.http.json("/statistics")) == before
    assert find(server) == found


def test_no_value_of_an_element_is_told(server):
    for patient in ("SECRET-A", "SECRET-B"):
        upload(server, make_instance(PatientID=patient))
    answer = server.http.post(ROUTE, {"By": ["SOPInstanceUID", "File", "Pixels"]})
    assert answer.json()["DuplicatesCount"] == 3
    for value in ("SECRET", "SYNTHETIC", uid("default", "instance")):
        assert value not in answer.text


def test_what_the_builtin_modification_has_copied_is_the_same_file(server):
    source = upload(server, ct_series(1, ReferencedImageSequence=[{"StudyID": "1"}])[0])
    upload(server, ct_series(1, study="another", KVP="100")[0])
    body = {"Replace": {"PatientID": "X"}, "KeepSource": True, "Force": True}
    answer = server.http.post(f"/studies/{source['ParentStudy']}/modify", body)
    assert answer.status_code == 200, answer.text
    (copy,) = server.http.json(f"/studies/{answer.json()['ID']}/instances")

    found = find(server, By=["SOPInstanceUID", "File"])

    assert groups(found, "SOPInstanceUID") == []
    assert groups(found, "File") == [{place(source), copy["ID"]}]
    assert found["InstancesCount"] == 3


def test_same_pixels_are_found_whatever_the_header_says(server):
    one = upload(server, make_instance(SOPInstanceUID="1.1", seed=1))
    other = upload(
        server,
        make_instance(
            SOPInstanceUID="1.2", seed=1, KVP="100", transfer_syntax=ImplicitVRLittleEndian
        ),
    )
    upload(server, make_instance(SOPInstanceUID="1.3", seed=2))
    upload(server, make_instance(SOPInstanceUID="1.4", pixels=b""))
    upload(server, make_instance(SOPInstanceUID="1.5", pixels=b""))
    found = find(server, By=["Pixels", "SOPInstanceUID"])
    assert groups(found, "Pixels") == [{place(one), place(other)}]
    assert groups(found, "SOPInstanceUID") == []
    assert found["InstancesCount"] == 5


def test_search_can_be_restricted_at_every_level(server):
    stored = [
        upload(server, make_instance(PatientID=patient, StudyInstanceUID=study))
        for patient, study in (("A", "1.1"), ("A", "1.2"), ("B", "1.1"))
    ]
    one, same_patient, other_patient = stored
    everything = {place(instance) for instance in stored}
    for resources, expected in (
        ([one["ParentPatient"]], {place(one), place(same_patient)}),
        ([one["ParentStudy"], other_patient["ParentSeries"]], {place(one), place(other_patient)}),
        ([place(same_patient), place(other_patient)], {place(same_patient), place(other_patient)}),
        ([place(one), one["ParentPatient"], place(one), other_patient["ParentSeries"]], everything),
    ):
        found = find(server, Resources=resources)
        assert groups(found, "SOPInstanceUID") == [expected]
        assert found["InstancesCount"] == len(expected)
    assert find(server, Resources=[place(one)])["DuplicatesCount"] == 0


def test_unknown_resource_is_named_with_its_place(server):
    stored = upload(server, make_instance())
    body = {"Resources": [stored["ParentStudy"], "no-such-thing", stored["ID"]]}
    details = refusal(server.http.post(ROUTE, body), 404)
    assert details.startswith("$.Resources[1]: ")
    assert "no-such-thing" in details
    for unusual in ("", "\0", "山", "x" * 10000, "../patients"):
        refusal(server.http.post(ROUTE, {"Resources": [unusual]}), 404)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"By": []}, "$.By"),
        ({"By": "File"}, "$.By"),
        ({"By": None}, "$.By"),
        ({"By": ["File", "Digest"]}, "$.By[1]"),
        ({"By": [5]}, "$.By[0]"),
        ({"Resources": []}, "$.Resources"),
        ({"Resources": "x"}, "$.Resources"),
        ({"Resources": [5]}, "$.Resources[0]"),
        ({"Asynchronous": "true"}, "$.Asynchronous"),
        ({"Synchronous": 1}, "$.Synchronous"),
        ({"Priority": "high"}, "$.Priority"),
        ({"Resource": ["x"]}, '$.Resource: unknown field, did you mean "Resources"?'),
        ({"By": [], "Priority": 1.5}, "$.Priority"),
    ],
)
def test_wrong_body_is_400_with_the_path(server, body, why):
    assert why in refusal(server.http.post(ROUTE, body), 400)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b'"File"', b'{"By": ["\xe9"]}'])
def test_body_that_is_no_object_is_400(server, data):
    refusal(server.http.post(ROUTE, data=data), 400)


def test_route_takes_post_only_and_leaves_those_of_the_core_alone(server):
    answer = server.http.get(ROUTE)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    upload(server, make_instance())
    found = server.http.post("/tools/find", {"Level": "Instance", "Query": {}})
    assert len(found.json()) == 1


def test_empty_server_has_no_duplicates(server):
    found = find(server, By=["SOPInstanceUID", "File", "Pixels"])
    assert (found["InstancesCount"], found["Duplicates"]) == (0, [])


def test_asynchronous_search_is_a_job_with_the_answer_as_its_content(server):
    for patient in ("A", "B"):
        upload(server, make_instance(PatientID=patient))
    body = {"Asynchronous": True, "Priority": 7, "UserData": {"Ticket": 1}}
    answer = server.http.post(ROUTE, body).json()
    assert answer == {"ID": answer["ID"], "Path": f"/jobs/{answer['ID']}"}
    job = wait_for_job(server.http, answer["ID"])
    assert (job["Type"], job["State"], job["Progress"]) == ("CuratorFindDuplicates", "Success", 100)
    assert (job["Priority"], job["UserData"]) == (7, {"Ticket": 1})
    assert job["Content"] == find(server)


@pytest.mark.parametrize("cap", [1, 2, 3])
def test_server_that_caps_its_answers_is_searched_whole(new_server, cap):
    server = new_server(LimitFindInstances=cap, LimitFindResults=cap)
    for patient, instances in (("A", 5), ("B", 4)):
        for instance in ct_series(instances, PatientID=patient):
            upload(server, instance)
    found = find(server)
    assert (found["InstancesCount"], found["DuplicatesCount"]) == (9, 4)


def test_instance_that_cannot_be_read_is_named(new_server):
    server = new_server(**UNCACHED)
    stored = [
        upload(server, instance)
        for patient in ("A", "B", "C")
        for instance in ct_series(2, PatientID=patient)
    ]
    broken = place(stored[0])
    damage(server, broken)
    found = find(server, By=["SOPInstanceUID", "File", "Pixels"])
    assert found["UnreadableInstances"] == [broken]
    assert found["UnreadableInstancesCount"] == 1
    assert found["InstancesCount"] == 6
    first, second = ({place(one) for one in stored[start::2]} for start in (0, 1))
    for by, expected in (
        ("SOPInstanceUID", (first, second)),
        ("File", (first - {broken}, second)),
        ("Pixels", (first - {broken}, second)),
    ):
        assert sorted(map(sorted, groups(found, by))) == sorted(map(sorted, expected))


def test_instances_may_come_and_go_during_a_search(server):
    """Two patients stay, with the same instances; others are stored and deleted all the time."""
    for patient in ("A", "B"):
        for instance in ct_series(40, PatientID=patient):
            upload(server, instance)
    searching = True

    def come_and_go() -> int:
        for number in itertools.count(1):
            for instance in make_series(5, study=f"guest {number}", PatientID="guest"):
                guest = server.upload(instance)["ParentPatient"]
            assert server.http.delete(f"/patients/{guest}").ok
            if not searching:
                return number
        raise AssertionError("unreachable")

    with ThreadPoolExecutor(1) as pool:
        guests = pool.submit(come_and_go)
        try:
            results = [find(server, By=["SOPInstanceUID", "File"]) for _ in range(10)]
        finally:
            searching = False
        assert guests.result() > 1
    for found in results:
        assert len(groups(found, "SOPInstanceUID")) == len(groups(found, "File")) == 40
        assert found["UnreadableInstances"] == []


def test_search_can_be_paused_and_canceled(new_server):
    server = new_server(in_memory=True, Curator={"Workers": 1, "ThreadsPerJob": 1})
    for patient in ("A", "B"):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(server.upload, ct_series(150, size=512, PatientID=patient)))

    def started() -> str:
        body = {"By": ["File", "Pixels"], "Asynchronous": True}
        job = str(server.http.post(ROUTE, body).json()["ID"])
        found = wait_until(
            f"job {job}",
            lambda: server.http.json(f"/jobs/{job}"),
            lambda job: job["Progress"] > 5 or job["State"] in FINISHED,
        )
        assert found["State"] == "Running"
        return job

    job = started()
    assert server.http.post(f"/jobs/{job}/pause", {}).ok
    wait_for_job(server.http, job, ("Paused",))
    assert server.http.post(f"/jobs/{job}/resume", {}).ok
    paused = wait_for_job(server.http, job)
    assert (paused["State"], paused["Content"]["DuplicatesCount"]) == ("Success", 300)

    job = started()
    assert server.http.post(f"/jobs/{job}/cancel", {}).ok
    canceled = wait_for_job(server.http, job)
    assert (canceled["State"], canceled["ErrorCode"]) == ("Failure", 37)
    assert "Duplicates" not in canceled["Content"]
