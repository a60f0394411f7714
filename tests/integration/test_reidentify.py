"""What a profile has encrypted comes back for the owner of the key, and for nobody else."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from factory import ct_series
from integration.anonymizing import SUBJECT, anonymize, files, traces
from integration.model import content, upload
from integration.servers import OrthancServer
from keypair import certificate, key_and_certificate

ServerFactory = Callable[..., OrthancServer]

ENCRYPTED: dict[str, Any] = {
    "Name": "reversible",
    "Recipients": [certificate()],
    "Rules": [
        {"Tag": tag, "Action": "Encrypt"}
        for tag in ("PatientName", "PatientBirthDate", "AccessionNumber")
    ],
}


def server_with_key(new_server: ServerFactory, owner: str) -> OrthancServer:
    """Start a server whose administrator has the key of somebody."""
    server = new_server(started=False, Curator={"ReidentifyKeyFile": "/var/lib/orthanc/db/key.pem"})
    key: Path = server.storage / "key.pem"
    key.write_bytes(key_and_certificate(owner))
    key.chmod(0o600)
    return server.start()


@pytest.mark.parametrize("owner", ["recipient", "stranger"])
def test_only_the_right_key_opens(new_server: ServerFactory, owner: str) -> None:
    server = server_with_key(new_server, owner)
    study = upload(server, ct_series(2, **SUBJECT))
    result = anonymize(server, f"studies/{study}", Profile=ENCRYPTED)
    made = files(server, f"studies/{result['ID']}")
    assert [trace for file in made.values() for trace in traces(file)] == []
    before = content(server)
    for instance in made:
        answer = server.http.post(f"/instances/{instance}/reidentify", {})
        if owner == "stranger":
            assert answer.status_code == 409
            assert answer.json()["Details"]
            continue
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"] == "application/dicom"
        dataset = dcmread(io.BytesIO(answer.content))
        for keyword in ("PatientName", "PatientBirthDate", "AccessionNumber"):
            assert dataset[keyword].value == SUBJECT[keyword]
        assert dataset.PatientIdentityRemoved == "NO"
    assert content(server) == before
    # Encrypting the same again gives other bytes, which are still the same instance.
    again = anonymize(server, f"studies/{study}", Profile=ENCRYPTED)
    assert again["ID"] == result["ID"]
    assert content(server) == before


def test_there_is_nothing_to_open_in_an_original(new_server: ServerFactory) -> None:
    server = server_with_key(new_server, "recipient")
    upload(server, ct_series(1, **SUBJECT))
    (instance,) = server.http.json("/instances")
    answer = server.http.post(f"/instances/{instance}/reidentify")
    assert answer.status_code == 409
    assert "encrypted" in answer.json()["Details"]
    assert server.http.post("/instances/unknown/reidentify").status_code == 404
