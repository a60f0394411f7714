"""Rules in a running server: where they come from, how they change, what they would do."""

from typing import Any

import pytest

from factory import make_series
from integration.routing import runs
from integration.servers import RunningServer
from integration.test_configuration import refusal
from integration.waiting import wait_for_job, wait_until

SEEN = {"Label": {"Add": ["seen"]}}


def rule(name: str, *then: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"Name": name, "When": "Manual", "Then": list(then) or [SEEN], **fields}


@pytest.fixture
def site(server):
    """The shared server, without rules."""
    server.http.put("/curator/rules", {"Rules": []})
    yield server
    server.http.put("/curator/rules", {"Rules": []})
    server.http.delete("/modalities/late")


def names(server: RunningServer) -> list[str]:
    return [one["Name"] for one in server.http.json("/curator/rules")["Rules"]]


def details(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["Details"])


def upload(server: RunningServer, count: int = 2, **elements: Any) -> str:
    for dicom in make_series(count, **elements):
        stored = server.upload(dicom)
    return str(stored["ParentStudy"])


def test_a_set_goes_through_its_life(site):
    http = site.http
    first = http.put("/curator/rules", {"Rules": [rule("a"), rule("b")]}).json()["Number"]
    assert names(site) == ["a", "b"]
    assert http.put("/curator/rules/c", rule("c")).json() == {"Number": first + 1}
    assert http.post("/curator/rules/b/disable").json() == {"Number": first + 2}
    assert http.delete("/curator/rules/a").status_code == 200
    assert names(site) == ["b", "c"]
    assert http.json("/curator/rules/b") == {**rule("b"), "Enabled": False}
    wrong = {"Rules": [rule("x"), rule("y", Wen=1), rule("y", {"Send": "modality:late"})]}
    told = details(http.put("/curator/rules", wrong), 400)
    assert "$.Rules[1].Wen" in told
    assert names(site) == ["b", "c"]
    assert http.post("/curator/rules/rollback", {"To": first}).json() == {"Number": first + 4}
    assert names(site) == ["a", "b"]
    history = http.json("/curator/rules/history", params={"limit": "2"})
    assert [(one["Number"], one["Rules"]) for one in history] == [
        (first + 4, ["a", "b"]),
        (first + 3, ["b", "c"]),
    ]
    assert http.json(f"/curator/rules/history/{first}")["Rules"] == [rule("a"), rule("b")]
    assert set(http.json("/curator/schemas/rules")["properties"]) == {"Rules", "Receive"}


def test_names_are_checked_against_the_server(site):
    http = site.http
    send = {"Send": "modality:late"}
    told = details(http.put("/curator/rules/a", rule("a", send)), 400)
    assert "$.Rules[0].Then[0].Send" in told
    http.put("/modalities/late", {"AET": "LATE", "Host": "127.0.0.1", "Port": 1})
    assert http.put("/curator/rules/a", rule("a", send)).status_code == 200
    assert http.json("/curator/rules")["Problems"] == []
    http.delete("/modalities/late")
    (problem,) = http.json("/curator/rules")["Problems"]
    assert 'The rule "a"' in problem
    for step, path in (
        ({"Anonymize": {"Profile": "basik"}}, "Anonymize.Profile"),
        ({"Metadata": {"Set": {"Wrad": "x"}}}, "Metadata.Set"),
        ({"Split": {"By": ["EchoTime"], "Nameing": "x"}}, "Split.Nameing"),
    ):
        wrong = rule("b", step, KeepCopies=True)
        assert path in details(http.put("/curator/rules/b", wrong), 400)
    assert names(site) == ["a"]


def test_a_profile_that_a_rule_needs_cannot_be_deleted(site):
    http = site.http
    http.put("/curator/profiles/needed", {"Version": "1"})
    step = {"Anonymize": {"Profile": "needed"}}
    assert http.put("/curator/rules/a", rule("a", step, KeepCopies=True)).status_code == 200
    assert 'rule "a"' in details(http.delete("/curator/profiles/needed"), 409)
    http.delete("/curator/rules/a")
    assert http.delete("/curator/profiles/needed").status_code == 200


def test_rules_are_tried_on_what_is_stored_and_on_a_file(site):
    study = upload(site, Modality="CT")
    is_ct = {"Tag": "Modality", "Equals": "CT"}
    written = [rule("ct", If=is_ct), rule("other", If={"Not": is_ct})]
    assert site.http.put("/curator/rules", {"Rules": written}).status_code == 200
    on_stored = site.http.post("/curator/rules/test", {"Resource": study}).json()
    (dicom,) = make_series(1, Modality="CT", PatientID="ELSE")
    on_file = site.http.post("/curator/rules/test", data=dicom).json()
    for told in (on_stored, on_file):
        assert [(one["Rule"], one["Fires"], one["StoppedBy"]) for one in told["Rules"]] == [
            ("ct", True, ""),
            ("other", False, "$.If.Not"),
        ]
    assert len(site.http.json("/studies")) == 1
    assert [*runs(site, rule="ct"), *runs(site, rule="other")] == []


def test_a_rule_runs_by_hand_and_by_replay(site):
    http = site.http
    for number in range(3):
        study = upload(site, study=f"s{number}", AccessionNumber=f"{number}", StudyID=f"{number}")
    http.put("/curator/rules", {"Rules": [rule("by-hand")]})
    (told,) = http.post("/curator/rules/by-hand/run", {"Resources": [study]}).json()
    (run_id,) = told["Runs"]
    wait_until("the run", lambda: http.json(f"/curator/runs/{run_id}")["State"], "Done".__eq__)
    assert http.json(f"/studies/{study}")["Labels"] == ["seen"]
    dry = http.post("/curator/rules/replay", {"Rules": ["by-hand"], "DryRun": True}).json()
    assert dry["ResourcesCount"] == dry["Rules"][0]["FiresCount"] == 3
    assert len(runs(site, rule="by-hand", resource=study)) == 1
    body = {"Rules": ["by-hand"], "Query": {"AccessionNumber": "0"}, "Asynchronous": True}
    job = http.post("/curator/rules/replay", body).json()["ID"]
    done = wait_for_job(http, job, ("Success",))
    assert done["Type"] == "CuratorReplay"
    (replayed,) = done["Content"]["Rules"]
    (other,) = replayed["Resources"]
    assert other != study
    wait_until("the label", lambda: http.json(f"/studies/{other}")["Labels"], ["seen"].__eq__)


def test_rules_come_from_the_configuration_and_files_and_outlive_a_restart(new_server):
    settings = {"Rules": [rule("configured")], "RulesDirectory": "/var/lib/orthanc/db/rules"}
    server = new_server(Curator=settings, started=False)
    directory = server.storage / "rules"
    directory.mkdir()
    text = "- Name: filed\n  When: Manual\n  Then: [{Delete: true}]  # for good\n"
    (directory / "a.yaml").write_text(text)
    server.start()
    server.http.put("/curator/rules", {"Rules": [rule("put")]})
    assert "configured" in details(server.http.delete("/curator/rules/configured"), 409)
    server.http.post("/curator/rules/filed/pause")
    server.stop()
    server.start()
    told = server.http.json("/curator/rules")
    listed = {one["Name"]: (one["Source"], one["Paused"]) for one in told["Rules"]}
    assert listed == {
        "configured": ("Configuration", False),
        "filed": ("Directory", True),
        "put": ("Database", False),
    }
    assert told["Number"] == 1


def test_a_wrong_rule_in_the_configuration_stops_the_start(new_server):
    wrong = [rule("a", Wen=1), rule("b", {"Send": "somewhere"})]
    log = refusal(new_server(Curator={"Rules": wrong}, started=False))
    assert "$.Curator.Rules[0].Wen: unknown field" in log
    assert "$.Curator.Rules[1].Then[0].Send" in log
