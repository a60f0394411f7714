"""The Book's page "Anonymization and modification", what depends on the configuration.

Private elements need a ``Dictionary``, what is changed in place needs ``OverwriteInstances``: a
stock server and one with Curator have both.
"""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from pydicom import dcmread

from integration.anonymizing import check_log
from integration.book import COLLECTIONS, IDENTIFIERS, look_up, upload_patient
from integration.pair import Pair, Party
from integration.servers import OrthancServer, engine_name, external_url
from integration.stored import SENDER

SETTINGS: dict[str, Any] = {
    "Dictionary": {
        "7001,0010": ["LO", "PrivateCreatorForMy", 1, 1, "MyPrivateCreator"],
        "7001,1001": ["CS", "MyPrivateTag", 1, 1, "MyPrivateCreator"],
        "4001,1002": ["LO", "TheirPrivateTag", 1, 1, "TheirPrivateCreator"],
        "0405,0010": ["LO", "PrivateCreatorForMyCompany", 1, 1, "My Company"],
        "0405,1001": ["ST", "MyPrivateXMLTag", 1, 1, "My Company"],
    },
    "DefaultPrivateCreator": "TheirPrivateCreator",
    "OverwriteInstances": True,
}

PYTHON_ALONE = {"Plugins": ["/usr/share/orthanc/plugins/libOrthancPython.so"]}
"""In Debian's packages, the plugin "multitenant-dicom" empties the dictionary when it starts."""


@pytest.fixture(scope="module")
def configured(release, tmp_path_factory) -> Iterator[Pair]:
    """Two servers of those settings; the stock one runs a Python script that does nothing."""
    if external_url() is not None:
        pytest.skip("starts servers of its own")
    nothing = tmp_path_factory.mktemp("nothing")
    (nothing / "main.py").touch()
    engine = engine_name()
    settings = {**SETTINGS, **(PYTHON_ALONE if engine == "rootfs" else {})}
    stock = OrthancServer(release, settings, plugin=nothing, engine=engine)
    with stock.start(wait=False), OrthancServer(release, settings, engine=engine) as curator:
        stock.wait_until_it_answers()
        assert stock.http.get("/curator").status_code == 404
        yield Pair(Party(stock), Party(curator))
        check_log(curator)


@pytest.fixture
def book(configured) -> Pair:
    """The patient of the examples, alone in both servers."""
    pair: Pair = configured
    for party in pair:
        party.server.clear()
    upload_patient(pair)
    return pair


PRIVATE: dict[str, tuple[dict[str, Any], str]] = {
    "by name": (
        {"Replace": {"MyPrivateTag": "Hello"}, "PrivateCreator": "MyPrivateCreator"},
        "7001,1001",
    ),
    "by number": (
        {"Replace": {"7001,1001": "Hello"}, "PrivateCreator": "MyPrivateCreator"},
        "7001,1001",
    ),
    "of the default creator": ({"Replace": {"TheirPrivateTag": "Hello"}}, "4001,1002"),
    "in a sequence": (
        {
            "Replace": {"ProcedureCodeSequence[0].MyPrivateTag": "Hello"},
            "PrivateCreator": "MyPrivateCreator",
        },
        "ProcedureCodeSequence[0].7001,1001",
    ),
}


@pytest.mark.parametrize("verb", ["modify", "anonymize"])
def test_private_element_is_added_the_same(book, verb):
    for name, (body, path) in PRIVATE.items():
        answer = book.succeed("POST", f"/instances/{{instance}}/{verb}", json=body)
        assert look_up(dcmread(io.BytesIO(answer.content)), path) == "Hello", name
    by_name, _ = PRIVATE["by name"]
    book.run(f"/series/{{series}}/{verb}", by_name)
    book.compare_stored(leave_out=SENDER if verb == "anonymize" else frozenset())


REFUSED = {
    "private element of another creator": {"Replace": {"MyPrivateTag": "Hello"}},
    "private element of no one": {"Replace": {"7001,1010": "x"}, "PrivateCreator": "Nobody"},
}


@pytest.mark.parametrize("verb", ["modify", "anonymize"])
def test_private_element_that_nobody_knows_is_answered_the_same(book, verb):
    for body in REFUSED.values():
        book.ask("POST", f"/instances/{{instance}}/{verb}", json=body)
        book.ask("POST", f"/series/{{series}}/{verb}", json=body)
    book.compare_stored(leave_out=SENDER)


CREATED = {
    "by name": ("PrivateCreatorForMyCompany", "MyPrivateXMLTag"),
    "by number": ("0405-0010", "0405-1001"),
}


@pytest.mark.parametrize("names", CREATED.values(), ids=CREATED)
def test_private_tags_of_the_dictionary_are_created(book, names):
    creator, text = names
    value = "<xml><test>Testing</test></xml>"
    tags = {"PatientID": "7", creator: "My Company", text: value}
    body = {"PrivateCreator": "My Company", "Tags": tags}
    book.succeed("POST", "/tools/create-dicom", json=body, keep={"made": "ID"})
    for path in ("content/0405-1001", "content/0405-0010"):
        book.succeed("GET", f"/instances/{{made}}/{path}")
    given = book.curator.server.http.get(book.curator.fill("/instances/{made}/file")).content
    element = dcmread(io.BytesIO(given))[0x0405, 0x1001]
    assert (element.VR, element.value) == ("ST", value)


def test_altered_instance_overwrites_the_first(book):
    """Keep and Force, then POST, as in the Book's script with OVERWRITE_INSTANCES."""
    body = {"Replace": {"PatientName": "Hello"}, "Keep": ["SOPInstanceUID"], "Force": True}
    altered = book.succeed("POST", "/instances/{instance}/modify", json=body).content
    stored = book.succeed("POST", "/instances", data=altered, literal=True)
    assert stored.json()["Status"] == "Success"
    book.compare_stored()
    tags = book.succeed("GET", "/instances/{instance}/simplified-tags").json()
    assert tags["PatientName"] == "Hello"


KEPT = {"Keep": list(IDENTIFIERS[1:]), "Force": True, "Replace": {"StationName": "Hello"}}

IN_PLACE: dict[str, tuple[str, dict[str, Any]]] = {
    "series": ("/series/{series}/modify", KEPT),
    "study": ("/studies/{study}/modify", {**KEPT, "KeepSource": True}),
    "patient": ("/patients/{patient}/modify", {**KEPT, "KeepSource": True}),
    "bulk": (
        "/tools/bulk-modify",
        {**KEPT, "Resources": ["{study}", "{later study}"], "Level": "Study"},
    ),
    "asynchronous": ("/studies/{study}/modify", {**KEPT, "Asynchronous": True}),
}


@pytest.mark.parametrize("row", IN_PLACE.values(), ids=IN_PLACE)
def test_resource_is_modified_in_place_the_same(book, row):
    path, body = row
    before = book.curator.server.http.json("/instances")
    book.run(path, body)
    book.compare_stored()
    assert sorted(book.curator.server.http.json("/instances")) == sorted(before)
    tags = book.succeed("GET", "/instances/{instance}/simplified-tags").json()
    assert tags["StationName"] == "Hello"


@pytest.mark.parametrize("level", ["study", "patient"])
def test_modification_in_place_without_its_source_is_refused(book, level):
    path = f"/{COLLECTIONS[level]}/{{{level}}}/modify"
    answers = book.ask("POST", path, json={**KEPT, "KeepSource": False})
    assert answers[0].status_code == 400
    book.compare_stored()
