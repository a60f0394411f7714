"""Clean pixels on a real Orthanc: compressed images are decoded, painted, and shown by a viewer."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian, RLELossless, UltrasoundImageStorage

from curator.dicom.reader import pixel_digest
from factory import make_instance
from integration.anonymizing import SUBJECT, anonymize, ask, datasets, files
from integration.model import content, upload
from integration.servers import OrthancServer, RunningServer
from jpeg2000 import KINDS, codestream, make_jpeg2000, ramp
from unit.anonymize.pixels.lettering import burned

ROWS, COLUMNS, BANNER = 48, 64, 12

COMPRESSED = {
    "JPEG Baseline": "1.2.840.10008.1.2.4.50",
    "JPEG Lossless": "1.2.840.10008.1.2.4.70",
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "RLE": str(RLELossless),
}

PAINTED: dict[str, Any] = {
    "Name": "painted",
    "Options": ["CleanPixelData"],
    "Rules": [
        {
            "When": {"Tag": "Modality", "Equals": "US"},
            "Pixels": {"Fill": [[0, 0, "Columns", BANNER]]},
        }
    ],
}


def ultrasound(*, color: bool = True, **elements: Any) -> bytes:
    """Return an ultrasound image of 8 bits that no known device has made.

    It takes less room when it is compressed. What takes more, such as noise, Orthanc 1.12.7 cuts
    off when it compresses it to JPEG-LS, or crashes.
    """
    samples = 3 if color else 1
    kind = {
        "SOPClassUID": UltrasoundImageStorage,
        "Modality": "US",
        "SamplesPerPixel": samples,
        "PhotometricInterpretation": "RGB" if color else "MONOCHROME2",
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "Rows": ROWS,
        "Columns": COLUMNS,
        "ImagePositionPatient": None,
        "ImageOrientationPatient": None,
        "pixels": bytes(1 + index % 200 for index in range(ROWS * COLUMNS * samples)),
    }
    if color:
        kind["PlanarConfiguration"] = 0
    return make_instance(**{**kind, **SUBJECT, **elements})


def compressed(server: RunningServer, file: bytes, syntax: str) -> str:
    """Store an image in a compressed transfer syntax; return its study."""
    if syntax == RLELossless:
        dataset = dcmread(io.BytesIO(file))
        dataset.compress(RLELossless, generate_instance_uid=False)
        out = io.BytesIO()
        dataset.save_as(out)
        return upload(server, [out.getvalue()])
    stored = server.upload(file)
    path = f"/instances/{stored['ID']}/file"
    made = server.http.get(path, params={"transcode": syntax}).content
    assert server.http.delete(f"/patients/{stored['ParentPatient']}").ok
    return upload(server, [made])


def shown(server: RunningServer, study: str) -> np.ndarray[Any, Any]:
    """Return the pixels of the one instance of a study, as the server decodes them."""
    (instance,) = files(server, f"studies/{study}")
    native = {"transcode": ExplicitVRLittleEndian}
    answer = server.http.get(f"/instances/{instance}/file", params=native)
    assert answer.status_code == 200, answer.text
    return dcmread(io.BytesIO(answer.content)).pixel_array


@pytest.mark.parametrize("written", ["ExplicitVRLittleEndian", "RLELossless"])
@pytest.mark.parametrize("color", [True, False], ids=["color", "gray"])
@pytest.mark.parametrize("name", COMPRESSED)
def test_the_banner_goes_and_the_rest_stays(
    server: RunningServer, name: str, color: bool, written: str
) -> None:
    study = compressed(server, ultrasound(color=color), COMPRESSED[name])
    (source,) = files(server, f"studies/{study}").values()
    assert dcmread(io.BytesIO(source)).file_meta.TransferSyntaxUID == COMPRESSED[name]
    before = shown(server, study)

    profile = {**PAINTED, "Pixels": {"TransferSyntax": written}}
    result = anonymize(server, f"studies/{study}", Profile=profile)

    assert result["Report"]["PixelRules"][0]["InstancesCount"] == 1
    after = shown(server, result["ID"])
    assert after.shape == before.shape
    assert not after[:BANNER].any()
    assert np.array_equal(after[BANNER:], before[BANNER:])
    (file,) = files(server, f"studies/{result['ID']}").values()
    dataset = dcmread(io.BytesIO(file))
    assert dataset.file_meta.TransferSyntaxUID.name.replace(" ", "").startswith(
        {"ExplicitVRLittleEndian": "ExplicitVRLittleEndian", "RLELossless": "RLELossless"}[written]
    )
    assert dataset.BurnedInAnnotation == "NO"
    (instance,) = files(server, f"studies/{result['ID']}")
    preview = server.http.get(f"/instances/{instance}/preview")
    assert (preview.status_code, preview.headers["Content-Type"]) == (200, "image/png")


@pytest.mark.parametrize("name", COMPRESSED)
def test_what_no_rule_touches_keeps_its_compressed_bytes(server: RunningServer, name: str) -> None:
    study = compressed(server, ultrasound(), COMPRESSED[name])
    result = anonymize(server, f"studies/{study}", Profile="basic")
    digests = [
        pixel_digest(file)
        for one in (study, result["ID"])
        for file in files(server, f"studies/{one}").values()
    ]
    assert len(digests) == 2
    assert digests[0] == digests[1] is not None


@pytest.mark.parametrize(
    "kinds", [*((kind,) for kind in KINDS), ("gray8", "gray8 reversed"), ("rgb8",) * 3], ids=str
)
def test_jpeg_2000_is_painted(server: RunningServer, kinds: tuple[str, ...]) -> None:
    """Debian's Orthanc 1.12.7 crashes when it transcodes JPEG 2000, so it is not asked to."""
    study = upload(server, [make_jpeg2000(*kinds, **SUBJECT)])
    rules = [{"Pixels": {"Fill": [[0, 0, "Columns", BANNER]]}}]
    result = anonymize(server, f"studies/{study}", Profile={"Name": "painted", "Rules": rules})
    (made,) = datasets(server, f"studies/{result['ID']}")
    frames = made.pixel_array.reshape(len(kinds), *ramp(kinds[0]).shape)
    for frame, kind in zip(frames, kinds, strict=True):
        assert len(np.unique(frame[:BANNER])) == 1
        assert np.array_equal(frame[BANNER:], ramp(kind)[BANNER:])


@pytest.mark.parametrize("name", ["MR_small_jp2klossless.dcm", "JPEG2000.dcm"])
def test_jpeg_2000_of_others_is_painted_and_nothing_else_changes(
    server: RunningServer, name: str
) -> None:
    file = Path(str(get_testdata_file(name))).read_bytes()
    study = upload(server, [file])
    rules = [{"Pixels": {"Fill": [[0, 0, "Columns", BANNER]]}}]
    result = anonymize(server, f"studies/{study}", Profile={"Name": "painted", "Rules": rules})
    (made,) = datasets(server, f"studies/{result['ID']}")
    source = dcmread(io.BytesIO(file))
    assert ("SpacingBetweenSlices" in made) == ("SpacingBetweenSlices" in source)  # GDCM adds it
    assert made.get("ImagePositionPatient") == source.get("ImagePositionPatient")
    assert len(np.unique(made.pixel_array[:BANNER])) == 1
    assert len(np.unique(made.pixel_array[BANNER:])) > 100
    kept = anonymize(
        server, f"studies/{study}", Profile={"Name": "kept"}, Replace={"PatientID": "K"}, Force=True
    )
    digests = [pixel_digest(one) for one in files(server, f"studies/{kept['ID']}").values()]
    assert digests == [pixel_digest(file)]


def test_damaged_jpeg_2000_is_refused(server: RunningServer) -> None:
    whole = make_jpeg2000("rgb8", **SUBJECT)
    start = whole.index(codestream("rgb8"))
    study = upload(server, [whole[: start + 60] + bytes(200) + whole[start + 260 :]])
    before = content(server)
    rules = [{"Pixels": {"Fill": [[0, 0, "Columns", BANNER]]}}]
    answer = ask(server, f"studies/{study}", Profile={"Name": "painted", "Rules": rules})
    assert answer.status_code == 409, answer.text
    assert content(server) == before


def test_a_risky_image_without_a_rule_fails_closed(server: RunningServer) -> None:
    other = make_instance(**SUBJECT, StudyInstanceUID="1.2.3", SOPInstanceUID="1.2.3.1")
    upload(server, [other])
    study = upload(server, [ultrasound()])
    before = content(server)
    profile = {"Name": "clean", "Options": ["CleanPixelData"]}
    answer = ask(server, f"studies/{study}", Profile=profile)
    assert answer.status_code == 409
    assert content(server) == before


def test_an_image_that_nobody_can_decode_is_refused(server: RunningServer) -> None:
    video = ultrasound(transfer_syntax="1.2.840.10008.1.2.4.102", color=False)
    study = upload(server, [video])
    before = content(server)
    answer = ask(server, f"studies/{study}", Profile=PAINTED)
    assert answer.status_code == 409
    assert content(server) == before


def test_burned_in_text_is_found_and_painted_over(server: RunningServer) -> None:
    """Every server that is started here has Tesseract; one that runs elsewhere may not."""
    rows, columns = 320, 560
    black = np.zeros((rows, columns), np.uint8)
    frame, mask = burned(black, "DOE JANE 1956", (0.1, 0.1), 2, 200)
    pixels = np.repeat(frame[..., None], 3, axis=2).tobytes()
    study = upload(server, [ultrasound(Rows=rows, Columns=columns, pixels=pixels)])
    before = content(server)
    profile = {
        "Name": "reading",
        "Options": ["CleanPixelData"],
        "Rules": [{"Pixels": {"Detect": "Text"}}],
    }
    answer = ask(server, f"studies/{study}", Profile=profile)
    if not isinstance(server, OrthancServer) and answer.status_code == 409:
        assert "Tesseract is not installed" in answer.json()["Details"]
        assert content(server) == before
        return
    assert answer.status_code == 200, answer.text
    result = answer.json()
    assert result["Report"]["PixelRules"] == [{"Rule": "$.Rules[0]", "InstancesCount": 1}]
    assert mask.any()
    assert not shown(server, result["ID"])[mask].any()
