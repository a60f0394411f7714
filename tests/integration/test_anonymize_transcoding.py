"""Anonymization on a server that transcodes what it receives.

JPEG 2000 is left out: transcoding it at ingest is the end of Orthanc with Debian's GDCM plugin,
whoever stores the instance.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydicom.uid import ExplicitVRLittleEndian

from factory import ct_series
from integration.anonymizing import SUBJECT, anonymize, datasets, files, traces
from integration.model import check_model, content, upload
from integration.servers import OrthancServer
from integration.test_anonymize_pixels import (
    BANNER,
    COMPRESSED,
    PAINTED,
    compressed,
    shown,
    ultrasound,
)
from referring import make_report

ServerFactory = Callable[..., OrthancServer]

JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
JPEG_LS = "1.2.840.10008.1.2.4.80"
NATIVE = str(ExplicitVRLittleEndian)


@pytest.mark.parametrize("syntax", [JPEG_LOSSLESS, JPEG_LS, NATIVE])
def test_what_was_made_is_found_again(new_server: ServerFactory, syntax: str) -> None:
    server = new_server(IngestTranscoding=syntax)
    ct = ct_series(2, **SUBJECT)
    for keep_source in (True, False):
        server.clear()
        study = upload(server, [*ct, make_report(ct, label="REPORT")])
        syntaxes = {one.file_meta.TransferSyntaxUID for one in datasets(server, f"studies/{study}")}
        assert syntax in syntaxes
        before = content(server)
        result = anonymize(server, f"studies/{study}", KeepSource=keep_source)
        made = files(server, f"studies/{result['ID']}")
        assert len(made) == 3
        assert [trace for file in made.values() for trace in traces(file)] == []
        expected = {**(before.files if keep_source else {}), **made}
        assert content(server).files == expected
        if keep_source:
            assert anonymize(server, f"studies/{study}")["ID"] == result["ID"]
            assert content(server).files == expected
        check_model(server)


@pytest.mark.parametrize("syntax", [JPEG_LOSSLESS, JPEG_LS, NATIVE])
def test_painted_pixels_are_what_the_server_has(new_server: ServerFactory, syntax: str) -> None:
    server = new_server(IngestTranscoding=syntax)
    for written in ("ExplicitVRLittleEndian", "RLELossless"):
        for color in (True, False):
            server.clear()
            study = upload(server, [ultrasound(color=color)])
            before = shown(server, study)
            profile = {**PAINTED, "Pixels": {"TransferSyntax": written}}
            result = anonymize(server, f"studies/{study}", Profile=profile, KeepSource=False)
            after = shown(server, result["ID"])
            assert not after[:BANNER].any(), (written, color)
            assert np.array_equal(after[BANNER:], before[BANNER:]), (written, color)
            assert len(content(server).files) == 1


@pytest.mark.parametrize("syntax", [JPEG_LOSSLESS, JPEG_LS, NATIVE])
def test_what_was_compressed_before_shows_the_same(new_server: ServerFactory, syntax: str) -> None:
    server = new_server()
    studies = {}
    for number, (name, stored) in enumerate(COMPRESSED.items()):
        own: dict[str, Any] = {
            "PatientID": f"P{number}",
            **{f"{level}InstanceUID": f"1.2.3.{number}" for level in ("Study", "Series", "SOP")},
        }
        studies[name] = compressed(server, ultrasound(**own), stored)
    server.stop()
    server.launch.settings["IngestTranscoding"] = syntax
    server.start()
    for name, study in studies.items():
        before = shown(server, study)
        result = anonymize(server, f"studies/{study}", KeepSource=False)
        assert np.array_equal(shown(server, result["ID"]), before), name
    assert len(content(server).files) == len(studies)
