"""All that a server has stored, as a tree: patients, their studies, and so on to the elements."""

import io
from typing import Any

from pydicom import Dataset, dcmread

from integration.servers import Http

CONTENT = ["MainDicomTags", "Metadata", "Labels", "Children", "Attachments"]
BELOW = {
    "Patient": ("Study", "Studies"),
    "Study": ("Series", "Series"),
    "Series": ("Instance", "Instances"),
}

INCIDENTAL = frozenset({"PixelDataOffset"})
"""Metadata that follow from how long the UIDs are that a server makes."""

SENDER = frozenset({"Origin", "RemoteIP", "HttpUsername"})
"""Metadata of who has asked for an instance. What Curator hands to the core, a plugin asks for."""

_META_LENGTH = 0x00020000

_READ: dict[str, list[Any]] = {}
"""Elements of files by their MD5: originals are read once for all servers and tests."""

Node = dict[str, Any]


def read_tree(http: Http, leave_out: frozenset[str] = frozenset()) -> list[Node]:
    """Return what is stored: identifiers, metadata, labels, kinds of attachments, elements.

    ``leave_out`` names metadata that are not of interest.
    """
    found = {level: _resources(http, level) for level in ("Patient", "Study", "Series", "Instance")}
    return [_node(http, found, "Patient", one, leave_out) for one in found["Patient"]]


def elements(dataset: Dataset) -> list[Any]:
    """Return tag, VR and value of each element; that of a sequence is a list of such lists."""
    return [
        (
            str(element.tag),
            element.VR,
            [elements(item) for item in element.value]
            if element.VR == "SQ"
            else element.value
            if isinstance(element.value, bytes)
            else str(element.value),
        )
        for element in dataset
        if element.tag != _META_LENGTH
    ]


def file_elements(dicom: bytes) -> list[Any]:
    """Return the elements of a DICOM file, the File Meta Information among them."""
    dataset = dcmread(io.BytesIO(dicom), force=True)
    return [*elements(dataset.file_meta), *elements(dataset)]


def _resources(http: Http, level: str) -> dict[str, Any]:
    query = {"Level": level, "Query": {}, "ResponseContent": CONTENT}
    answer = http.post("/tools/find", query)
    assert answer.status_code == 200, answer.text
    return {one["ID"]: one for one in answer.json()}


def _node(
    http: Http, found: dict[str, dict[str, Any]], level: str, one: str, leave_out: frozenset[str]
) -> Node:
    resource = found[level][one]
    node = {
        "ID": one,
        "Tags": resource["MainDicomTags"],
        "Labels": resource["Labels"],
        "Attachments": [each["ContentType"] for each in resource["Attachments"]],
        "Metadata": {
            name: value
            for name, value in resource["Metadata"].items()
            if name not in INCIDENTAL and name not in leave_out
        },
    }
    if level == "Instance":
        return {**node, "File": _file(http, one, resource["Attachments"])}
    child, collection = BELOW[level]
    below = [_node(http, found, child, each, leave_out) for each in resource[collection]]
    return {**node, "Below": below}


def _file(http: Http, instance: str, attachments: list[dict[str, Any]]) -> list[Any]:
    """Return the elements of a stored file."""
    md5 = next(one["UncompressedMD5"] for one in attachments if one["ContentType"] == _DICOM)
    if md5 not in _READ:
        _READ[md5] = file_elements(http.get(f"/instances/{instance}/file").content)
    return _READ[md5]


_DICOM = 1
