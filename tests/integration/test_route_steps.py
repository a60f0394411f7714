"""Steps of rules between real servers: what arrives, what stays, what goes."""

from collections.abc import Callable
from typing import Any

from factory import ct_series, make_instance, mr_series
from integration.archives import ARCHIVE, modality
from integration.model import content
from integration.routing import deliveries, rule, runs, wait_for_deliveries
from integration.servers import OrthancServer, RunningServer
from integration.waiting import wait_until

ServerFactory = Callable[..., OrthancServer]

TO = "modality:archive"
SEND = {"Send": TO}


def of(name: str, *steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a rule for the studies that are called like it."""
    condition = {"Tag": "StudyDescription", "Equals": name}
    return rule(name, "StableStudy", TO, **{"If": condition, "Then": [*steps], **fields})


RULES = [
    of("anonymize", {"Anonymize": {"Profile": "basic"}}, SEND, {"Label": {"Add": ["sent"]}}),
    of("modify", {"Modify": {"Replace": {"PatientName": "山田^太郎"}}}, SEND, {"Delete": True}),
    of("split", {"Split": {"By": ["Modality"]}}, SEND),
    of("merge", {"Merge": {"Same": ["AccessionNumber"]}}, SEND),
    of("refuse", {"Anonymize": {"Profile": "basic-pixels"}}, SEND, {"Delete": True}),
]


def files(name: str, **elements: Any) -> list[bytes]:
    """Return the instances of a study that a rule is for."""
    common = {"StudyDescription": name, "PatientID": name, "AccessionNumber": name, **elements}
    return ct_series(2, study=name, **common)


def tags(server: RunningServer, **query: str) -> list[dict[str, Any]]:
    """Return the studies of a patient, with what the index has of them."""
    body = {"Level": "Study", "Query": query, "Expand": True, "Labels": []}
    return list(server.http.post("/tools/find", body).json())


def test_steps_change_what_is_sent_and_leave_what_the_rule_says(new_server: ServerFactory) -> None:
    archive = new_server(with_plugin=False, **ARCHIVE)
    router = new_server(
        StableAge=1, DicomModalities={"archive": modality(archive)}, Curator={"Rules": RULES}
    )
    uploaded = [
        *files("anonymize"),
        *files("modify"),
        *files("split"),
        *mr_series(1, study="split", StudyDescription="split", PatientID="split"),
        *files("merge"),
        *mr_series(
            3,
            study="merge 2",
            StudyDescription="merge",
            PatientID="merge",
            AccessionNumber="merge",
            StudyDate="20240105",
        ),
        make_instance(
            SOPClassUID="1.2.840.10008.5.1.4.1.1.7",
            Modality="SC",
            StudyInstanceUID="1.2.3.4",
            StudyDescription="refuse",
            PatientID="refuse",
            BurnedInAnnotation="YES",
        ),
    ]
    for one in uploaded:
        router.upload(one)
    wait_until(
        "runs",
        lambda: {one["Rule"] for one in runs(router)},
        lambda names: len(names) == len(RULES),
    )
    wait_for_deliveries(router)
    ended = {one["Rule"]: one for one in runs(router) if one["State"] != "Canceled"}
    assert {name: one["State"] for name, one in ended.items()} == {
        "anonymize": "Done",
        "modify": "Done",
        "split": "Done",
        "merge": "Done",
        "refuse": "Failed",
    }, ended
    assert {one["State"] for one in deliveries(router)} == {"Delivered"}

    # the copies are gone, the original has its label, and nobody's name has left
    (original,) = tags(router, PatientID="anonymize")
    assert original["Labels"] == ["sent"]
    assert tags(archive, PatientID="anonymize") == []
    assert len(tags(router)) == 1 + 2 + 1 + 1

    # the original went only after its copy had arrived
    assert tags(router, PatientID="modify") == []
    (modified,) = tags(archive, PatientID="modify")
    assert modified["PatientMainDicomTags"]["PatientName"] == "山田^太郎"

    assert len(tags(router, PatientID="split")) == len(tags(archive, PatientID="split")) == 2
    (merged,) = tags(archive, PatientID="merge")
    assert len(merged["Series"]) == 2

    # what could not be cleaned stays, and has not been sent as it is
    assert len(tags(router, PatientID="refuse")) == 1
    assert tags(archive, PatientID="refuse") == []
    assert "Anonymize" in ended["refuse"]["Error"]
    assert len(content(archive).datasets) == 2 + 2 + 3 + 5
