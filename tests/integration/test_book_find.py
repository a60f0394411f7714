"""The Book's "Finding resources within Orthanc", and the other routes that look resources up.

Each row is one body of ``/tools/find``, ``/tools/count-resources``, ``/tools/bulk-content`` or
``/tools/lookup``, answered by a stock server and by one with Curator, over the same two patients.
"""

import copy
from typing import Any

import pytest

from factory import ct_series, make_instance, mr_series, uid
from integration.pair import Pair

SERIAL: dict[str, Any] = {"DeviceSerialNumber": "123", "BodyPartExamined": "KNEE"}
OTHER: dict[str, Any] = {
    "PatientID": "OTHER",
    "PatientName": "Other^Person",
    "PatientSex": "F",
    "StudyDate": "20180323",
    "StudyDescription": "other study",
    "AccessionNumber": "ACC0002",
    "DeviceSerialNumber": "abc",
    **{f"{level}InstanceUID": uid("other", level) for level in ("Study", "Series", "SOP")},
}


@pytest.fixture(scope="module")
def book(module_pair) -> Pair:
    """Two patients with a study each; three series of three modalities; labels and metadata."""
    pair: Pair = module_pair
    other = make_instance(**OTHER)
    other_names = {level: f"other {level}" for level in ("patient", "study", "series", "instance")}
    pair.upload([other], **other_names)
    pair.upload(mr_series(2, StudyDate="20240102"), series="mr")
    pair.upload(ct_series(3, StudyDate="20240102", **SERIAL))
    for name, labels in (("study", ("Toto", "Tutu")), ("other study", ("Toto",))):
        for label in labels:
            pair.succeed("PUT", f"/studies/{{{name}}}/labels/{label}")
    pair.succeed("PUT", "/series/{series}/labels/Toto")
    pair.succeed("PUT", "/studies/{study}/metadata/1024", data=b"value one")
    pair.succeed("PUT", "/studies/{other study}/metadata/1024", data=b"value two")
    return pair


COMPUTED = [
    *("PatientName", "PatientID", "StudyDescription", "StudyDate", "StudyInstanceUID"),
    *("ModalitiesInStudy", "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances"),
]

QUERIES: list[dict[str, Any]] = [
    {"Level": "Patient", "Query": {}},
    {"Level": "Study", "Query": {}},
    {"Level": "Series", "Query": {}},
    {"Level": "Instance", "Query": {}},
    {"Level": "Patients", "Query": {"PatientID": "*"}},
    {"Level": "Studies", "Query": {"PatientName": "SYN*"}},
    {"Level": "Study", "Query": {"PatientName": "synthetic^patient"}},
    {"Level": "Study", "Query": {"PatientName": "*person"}, "CaseSensitive": False},
    {"Level": "Study", "Query": {"PatientName": "*person"}, "CaseSensitive": True},
    {"Level": "Study", "Query": {"PatientID": "SYN000?"}},
    {"Level": "Study", "Query": {"PatientID": "SYN0001\\OTHER"}},
    {"Level": "Study", "Query": {"PatientID": ""}},
    {"Level": "Study", "Query": {"StudyDate": "20180323-"}},
    {"Level": "Study", "Query": {"StudyDate": "-20180323"}},
    {"Level": "Study", "Query": {"StudyDate": "20180323-20180325"}},
    {"Level": "Study", "Query": {"StudyDate": "20180323"}},
    {"Level": "Study", "Query": {"ModalitiesInStudy": "MR"}},
    {"Level": "Study", "Query": {"ModalitiesInStudy": "MR\\US"}},
    {"Level": "Series", "Query": {"Modality": "CT"}},
    {"Level": "Series", "Query": {"Modality": "CT\\MR"}},
    {"Level": "Series", "Query": {"DeviceSerialNumber": "123"}},
    {"Level": "Series", "Query": {"DeviceSerialNumber": "123\\abc"}},
    {"Level": "Series", "Query": {"BodyPartExamined": "KNEE", "Modality": "*"}},
    {"Level": "Instance", "Query": {"Modality": "CT", "StudyDate": "20180323-", "PatientID": "*"}},
    {"Level": "Instance", "Query": {"InstanceNumber": "2"}},
    {"Level": "Instance", "Query": {"SOPInstanceUID": uid("study", "CT", 1)}},
    {"Level": "Study", "Query": {"0008,0050": "ACC0001"}},
    {"Level": "Study", "Query": {"0020000d": uid("study")}},
    {"Level": "Study", "Query": {"AccessionNumber": "nothing"}},
    {"Level": "Study", "Query": {}, "Labels": ["Toto"]},
    {"Level": "Study", "Query": {}, "Labels": ["Toto", "Tutu"], "LabelsConstraint": "All"},
    {"Level": "Study", "Query": {}, "Labels": ["Toto", "Tutu"], "LabelsConstraint": "Any"},
    {"Level": "Study", "Query": {}, "Labels": ["Tutu"], "LabelsConstraint": "None"},
    {"Level": "Study", "Query": {}, "Labels": [], "LabelsConstraint": "None"},
    {"Level": "Series", "Query": {}, "Labels": ["Toto"]},
    {"Level": "Study", "Query": {}, "ParentPatient": "{patient}"},
    {"Level": "Series", "Query": {}, "ParentPatient": "{other patient}"},
    {"Level": "Series", "Query": {}, "ParentStudy": "{study}"},
    {"Level": "Instance", "Query": {}, "ParentStudy": "{study}"},
    {"Level": "Instance", "Query": {}, "ParentSeries": "{mr}"},
    {"Level": "Instance", "Query": {}, "ParentSeries": "unknown"},
    {"Level": "Study", "Query": {}, "MetadataQuery": {"1024": "value one"}},
    {"Level": "Study", "Query": {}, "MetadataQuery": {"1024": "value*"}},
    {"Level": "Instance", "Query": {}, "MetadataQuery": {"Origin": "RestApi"}},
]


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_find_is_answered_the_same(book, query):
    for expand in ({}, {"Expand": True}, {"Expand": False}):
        book.succeed("POST", "/tools/find", json={**query, **expand})
    book.ask("POST", "/tools/count-resources", json=query)


STUDIES: dict[str, Any] = {"Level": "Study", "Query": {}}
INSTANCES: dict[str, Any] = {"Level": "Instance", "Query": {}}
CONTENTS = (
    *("MainDicomTags", "Metadata", "Children", "Parent", "Labels", "Attachments", "Status"),
    *("AttachmentsLegacy", "RequestedTags", "IsStable", "IsProtected"),
)


def by(kind: str, key: str, direction: str) -> dict[str, str]:
    return {"Type": kind, "Key": key, "Direction": direction}


OPTIONS: list[dict[str, Any]] = [
    *({**INSTANCES, "Limit": limit} for limit in (0, 1, 4, 100)),
    *({**INSTANCES, "Since": since, "Limit": 2} for since in (0, 1, 4, 100)),
    {**INSTANCES, "Since": 1},
    *({**STUDIES, "Expand": True, "Short": value} for value in (True, False)),
    *({**STUDIES, "Expand": True, "Full": value} for value in (True, False)),
    *({**STUDIES, "Expand": True, "Simplify": value} for value in (True, False)),
    {**STUDIES, "Expand": True, "RequestedTags": COMPUTED},
    {**STUDIES, "Expand": True, "RequestedTags": ["0008,0020", "00100010", "SOPClassesInStudy"]},
    {**INSTANCES, "Expand": True, "RequestedTags": ["DeviceSerialNumber", "Rows", "PatientID"]},
    {"Level": "Series", "Query": {}, "Expand": True, "RequestedTags": ["BodyPartExamined"]},
    {"Level": "Patient", "Query": {}, "Expand": True, "RequestedTags": ["PatientSex"]},
    *({**STUDIES, "ResponseContent": [content]} for content in CONTENTS),
    *({**INSTANCES, "ResponseContent": [content]} for content in CONTENTS),
    {"Level": "Patient", "Query": {}, "ResponseContent": list(CONTENTS)},
    {**STUDIES, "ResponseContent": []},
    {**STUDIES, "ResponseContent": ["Children"], "Expand": True, "RequestedTags": ["StudyDate"]},
    {**STUDIES, "OrderBy": [by("DicomTag", "StudyDate", "ASC")]},
    {**STUDIES, "OrderBy": [by("DicomTag", "StudyDate", "DESC")]},
    {**STUDIES, "OrderBy": [by("Metadata", "1024", "DESC")]},
    {**INSTANCES, "OrderBy": [by("DicomTag", "InstanceNumber", "DESC")], "Limit": 3},
    {**INSTANCES, "OrderBy": [by("DicomTagAsInt", "InstanceNumber", "ASC")]},
    {
        "Level": "Studies",
        "Query": {"StudyDate": "20000101-"},
        "MetadataQuery": {"1024": "value*"},
        "OrderBy": [by("DicomTag", "StudyDate", "ASC"), by("Metadata", "1024", "DESC")],
        "Labels": ["Toto", "Tutu"],
        "LabelsConstraint": "Any",
        "ParentPatient": "{patient}",
        "ResponseContent": ["MainDicomTags", "Metadata", "Children", "Labels", "Attachments"],
        "RequestedTags": COMPUTED,
    },
]


@pytest.mark.parametrize("body", OPTIONS, ids=str)
def test_options_of_find_are_followed_the_same(book, body):
    book.ask("POST", "/tools/find", json=copy.deepcopy(body))


def test_find_finds(book):
    """What is compared above is not twice nothing."""
    found = book.succeed("POST", "/tools/find", json=OPTIONS[-1]).json()
    assert [one["ID"] for one in found] == [book.curator.names["study"]]
    assert found[0]["RequestedTags"]["ModalitiesInStudy"] == "CT\\MR"
    assert len(found[0]["Series"]) == 2
    counted = book.succeed("POST", "/tools/count-resources", json=INSTANCES).json()
    assert counted == {"Count": 6}


REFUSED = [
    b"",
    b"{",
    b"[]",
    b"{}",
    b'{"Level": "Study"}',
    b'{"Query": {}}',
    b'{"Level": "Nothing", "Query": {}}',
    b'{"Level": 5, "Query": {}}',
    b'{"Level": "Study", "Query": {"NoSuchTag": "x"}}',
    b'{"Level": "Study", "Query": {"PatientID": 5}}',
    b'{"Level": "Study", "Query": {"PatientID": ["x"]}}',
    b'{"Level": "Study", "Query": {}, "Limit": "one"}',
    b'{"Level": "Study", "Query": {}, "Limit": -1}',
    b'{"Level": "Study", "Query": {}, "Since": "one"}',
    b'{"Level": "Study", "Query": {}, "Labels": "Toto"}',
    b'{"Level": "Study", "Query": {}, "Labels": ["T o"]}',
    b'{"Level": "Study", "Query": {}, "Labels": ["Toto"], "LabelsConstraint": "Some"}',
    b'{"Level": "Study", "Query": {}, "Expand": true, "RequestedTags": "StudyDate"}',
    b'{"Level": "Study", "Query": {}, "Expand": true, "RequestedTags": ["NoSuchTag"]}',
    b'{"Level": "Study", "Query": {}, "CaseSensitive": "no"}',
    b'{"Level": "Study", "Query": {}, "ParentPatient": 5}',
    b'{"Level": "Study", "Query": {}, "MetadataQuery": {"NoSuchName": "x"}}',
    b'{"Level": "Study", "Query": {}, "OrderBy": [{"Type": "Nothing", "Key": "StudyDate"}]}',
    b'{"Level": "Study", "Query": {}, "OrderBy": "StudyDate"}',
    b'{"Level": "Study", "Query": {}, "ResponseContent": ["Nothing"]}',
]


@pytest.mark.parametrize("body", REFUSED, ids=bytes.decode)
def test_find_refuses_the_same(book, body):
    for path in ("/tools/find", "/tools/count-resources", "/tools/bulk-content"):
        book.ask("POST", path, data=body)


LOOKUPS = [
    *("SYN0001", "OTHER", uid("study"), uid("study", "CT"), uid("study", "CT", 0)),
    *("nothing", "", "{study}"),
]


@pytest.mark.parametrize("value", LOOKUPS)
def test_lookup_is_answered_the_same(book, value):
    given = book.succeed("POST", "/tools/lookup", data=value.encode()).json()
    assert bool(given) is (value not in LOOKUPS[5:])


def test_lookup_takes_no_wildcards(book):
    assert book.ask("POST", "/tools/lookup", data=b"SYN*")[0].status_code == 400


RESOURCES = ["{patient}", "{other study}", "{series}", "{instance}"]
CONTENT: list[dict[str, Any]] = [
    {"Resources": RESOURCES},
    {"Resources": []},
    {"Resources": ["{instance}", "{instance}"]},
    {"Resources": ["{instance}", "unknown"]},
    *({"Resources": RESOURCES, flag: True} for flag in ("Short", "Full", "Simplify")),
    {"Resources": RESOURCES, "Metadata": True},
    {"Resources": RESOURCES, "Metadata": False},
    *({"Resources": RESOURCES, "Level": one} for one in ("Patient", "Study", "Series", "Instance")),
    {"Resources": ["{patient}"], "Level": "Instance", "Metadata": True},
]


@pytest.mark.parametrize("body", CONTENT, ids=str)
def test_bulk_content_is_answered_the_same(book, body):
    book.ask("POST", "/tools/bulk-content", json=copy.deepcopy(body))


def test_all_labels_are_listed(book):
    assert book.succeed("GET", "/tools/labels").json() == ["Toto", "Tutu"]
