"""Rules at reception hold alike for C-STORE, REST and STOW; who sends is told what they refuse."""

import sqlite3
from contextlib import closing
from io import BytesIO
from zipfile import ZipFile

from pydicom import Dataset, dcmread
from pynetdicom import AE

from factory import ct_series, make_instance, make_study
from integration.servers import OrthancServer

RULES = [
    {
        "Name": "no-screenshots",
        "Priority": 10,
        "If": {"Tag": "Modality", "Equals": "SC"},
        "Then": {"Reject": {"Dimse": "0xA901", "Http": 400, "Reason": "no screenshots"}},
    },
    {
        "Name": "silently",
        "Priority": 10,
        "If": {"Tag": "Modality", "Equals": "AU"},
        "Then": {"Reject": {"Dimse": "0x0000", "Http": 200}},
    },
    {
        "Name": "stations",
        "If": {"Tag": "Modality", "Equals": "US"},
        "Then": [
            {"Set": {"StudyDescription": "山 {StudyID}"}},
            {"Remove": ["PatientComments"]},
            {"Map": {"Tag": "StationName", "Table": {"OLD": "NEW"}, "Else": "Reject"}},
        ],
    },
    {
        "Name": "undecidable",
        "If": {"Tag": "Modality", "Equals": "OT"},
        "Then": {"Set": {"StationName": "{PatientState}"}},
    },
    {
        "Name": "strangers",
        "Priority": -1,
        "If": {"All": [{"Source": {"RemoteAet": "STRANGER*"}}, {"Tag": "Modality", "Like": "?R"}]},
        "Then": {"Reject": {"Dimse": "0xC123"}},
    },
]

JSON = {"Accept": "application/dicom+json"}


def c_store(server: OrthancServer, dicom: bytes, aet: str = "MODALITY") -> int:
    """Send an instance by C-STORE; return the status."""
    dataset = dcmread(BytesIO(dicom))
    sender = AE(ae_title=aet)
    sender.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
    association = sender.associate("127.0.0.1", server.dicom_port, ae_title="ORTHANC")
    assert association.is_established
    try:
        return int(association.send_c_store(dataset).Status)
    finally:
        association.release()


def rest(server: OrthancServer, dicom: bytes) -> int | str:
    """Upload an instance by REST; return what became of it, or the HTTP status."""
    answer = server.http.post("/instances", data=dicom)
    return str(answer.json()["Status"]) if answer.ok else answer.status_code


def stow(server: OrthancServer, dicom: bytes) -> int:
    """Send an instance by STOW-RS; return the HTTP status."""
    body = b"--B\r\nContent-Type: application/dicom\r\n\r\n" + dicom + b"\r\n--B--\r\n"
    content = 'multipart/related; type="application/dicom"; boundary=B'
    headers = {"Content-Type": content, **JSON}
    return server.http.post("/dicom-web/studies", data=body, headers=headers).status_code


def stored(server: OrthancServer) -> list[Dataset]:
    """Return what the server has, and empty it."""
    files = [
        server.http.get(f"/instances/{one}/file").content for one in server.http.json("/instances")
    ]
    server.clear()
    return [dcmread(BytesIO(file)) for file in files]


def upload_archive(server: OrthancServer, files: dict[str, bytes]) -> list[str]:
    """Upload a ZIP archive; return what became of its instances."""
    archive = BytesIO()
    with ZipFile(archive, "w") as writer:
        for name, content in files.items():
            writer.writestr(name, content)
    answer = server.http.post("/instances", data=archive.getvalue())
    assert answer.status_code == 200, answer.text
    return [str(one["Status"]) for one in answer.json()]


def test_rules_hold_for_every_way_in(new_server):
    server = new_server(DicomServerEnabled=True, Curator={"Receive": RULES})
    ways = {"C-STORE": c_store, "REST": rest, "STOW": stow}
    refused = {"C-STORE": 0xA901, "REST": 400, "STOW": 400}
    taken = {"C-STORE": 0, "REST": "Success", "STOW": 200}
    discarded = {**taken, "REST": "FilteredOut"}
    failed = {"C-STORE": 0xA700, "REST": 500, "STOW": 400}
    changing = make_instance(
        Modality="US", StationName="OLD", StudyID="7", PatientName="Müller", PatientComments="x"
    )
    for way, send in ways.items():
        assert send(server, make_instance(Modality="SC")) == refused[way]
        assert send(server, make_instance(Modality="AU")) == discarded[way]
        assert send(server, make_instance(Modality="OT")) == failed[way]
        assert stored(server) == [], way

        assert send(server, changing) == taken[way]
        (changed,) = stored(server)
        assert changed.StudyDescription == "山 7", way
        assert changed.StationName == "NEW", way
        assert changed.PatientName == "Müller", way
        assert "PatientComments" not in changed, way
        assert changed.PixelData == dcmread(BytesIO(changing)).PixelData, way

        assert send(server, make_instance(Modality="CT")) == taken[way]
        assert [one.Modality for one in stored(server)] == ["CT"]

    assert c_store(server, make_instance(Modality="US", StationName="NONE")) == 0x0124
    mr = make_instance(Modality="MR")
    assert c_store(server, mr, "STRANGER1") == 0xC123
    assert stored(server) == []
    assert c_store(server, mr, "KNOWN") == 0
    assert rest(server, mr) == "AlreadyStored"
    assert len(stored(server)) == 1

    metrics = server.http.get("/tools/metrics-prometheus").text
    rejected = 2 * len(ways) + 2  # the screenshot and the silent one, then a table and a stranger
    assert f"curator_receive_rejected {rejected} " in metrics
    assert f"curator_receive_failed {len(ways)} " in metrics

    files = {
        "README.txt": b"no DICOM file",
        "1.dcm": make_instance(Modality="CT"),
        "2.dcm": make_instance(Modality="AU"),
    }
    assert upload_archive(server, files) == ["Success", "FilteredOut"]


def test_rules_by_rest_hold_at_once_but_not_for_what_curator_stores_itself(new_server):
    server = new_server(Curator={"Reception": True})
    first, *others = make_study([ct_series(count=4)])
    study = server.upload(first)["ParentStudy"]
    for dicom in others:
        server.upload(dicom)
    nothing = {"Name": "nothing", "Then": {"Reject": {}}}
    assert server.http.put("/curator/rules", {"Receive": [nothing]}).status_code == 200
    assert rest(server, make_instance(Modality="US")) == 400
    assert server.http.json("/statistics")["CountInstances"] == len(others) + 1

    split = {"By": ["InstanceNumber"], "Into": "Series"}
    answer = server.http.post(f"/studies/{study}/split", split)
    assert answer.status_code == 200, answer.text
    assert len(server.http.json(f"/studies/{study}")["Series"]) == len(others) + 1

    changing = {"Name": "wrong", "Then": {"Set": {"PatientNam": "x"}}}
    answer = server.http.put("/curator/rules", {"Receive": [changing]})
    assert answer.status_code == 400
    assert "$.Receive[0].Then[0].Set.PatientNam" in answer.json()["Details"]
    assert rest(server, make_instance(Modality="US")) == 400

    server.kill()
    with closing(sqlite3.connect(server.storage / "curator.db")) as database, database:
        database.execute("UPDATE curator_rule_sets SET content = replace(content, 'Then', 'Gone')")
    server.start()  # with rules that this Curator does not know any more
    (*_, problem) = server.http.json("/curator")["Problems"]
    assert "Nothing that comes in is stored" in problem
    assert rest(server, make_instance(Modality="US")) == 500

    assert server.http.put("/curator/rules", {}).status_code == 200
    assert rest(server, make_instance(Modality="US")) == "Success"


def test_rules_by_rest_are_refused_where_orthanc_does_not_let_curator_see(server):
    rules = {"Receive": [{"Name": "nothing", "Then": {"Reject": {}}}]}
    answer = server.http.put("/curator/rules", rules)
    assert answer.status_code == 409
    assert '"Reception": true' in answer.json()["Details"]
    assert rest(server, make_instance()) == "Success"
