"""Burned-in text is found, whatever its size, contrast and place; a failure is a refusal."""

import os
import stat

import numpy as np
import pytest

from curator.anonymize.errors import Refused
from curator.anonymize.pixels.detect import Tesseract, installed_detector
from sampling import STRIDE
from unit.anonymize.pixels.images import array, cleaned, cleaner, image
from unit.anonymize.pixels.lettering import burned

ROWS, COLUMNS = 320, 560
TEXT = "DOE JANE 1956"
DETECT = {"Pixels": {"Detect": "Text"}}


@pytest.fixture(scope="module")
def tesseract() -> Tesseract:
    found = installed_detector()
    if found is None:
        message = "Tesseract is not installed (Debian package tesseract-ocr)"
        if os.environ.get("CURATOR_TESSERACT") == "required":
            pytest.fail(message)
        pytest.skip(message)
    return found


def background(kind: str) -> np.ndarray:
    """Return black, tissue with noise, speckle of ultrasound, or white paper."""
    random = np.random.default_rng(3)
    down, across = np.mgrid[:ROWS, :COLUMNS]
    level = np.zeros((ROWS, COLUMNS))
    if kind == "paper":
        level = 235 + random.normal(0, 4, level.shape)
    if kind == "tissue":
        body = np.hypot((down - ROWS / 2) / (0.4 * ROWS), (across - COLUMNS / 2) / (0.45 * COLUMNS))
        level = np.where(body < 1, 110, 5) + random.normal(0, 10, level.shape)
    if kind == "speckle":
        sector = np.abs(np.arctan2(across - COLUMNS / 2, down + 1)) < 0.6
        level = np.where(sector, random.gamma(2, 20, level.shape), 0)
    return np.clip(level, 0, 255).astype(np.uint8)


def covered(boxes: list, mask: np.ndarray) -> tuple[float, float]:
    """Return which part of the text is in boxes, and which part of the image besides."""
    painted = np.zeros(mask.shape, bool)
    for left, top, width, height in boxes:
        painted[max(top, 0) : top + height, max(left, 0) : left + width] = True
    return (mask & painted).sum() / mask.sum(), (painted & ~mask).mean()


@pytest.mark.parametrize(
    ("kind", "place", "size", "contrast"),
    [
        ("black", (0, 0), 1, 200),
        ("black", (1, 1), 2, 60),
        ("black", (0.5, 0.5), 4, 120),
        ("paper", (0, 1), 2, -200),
        ("paper", (0.5, 0.5), 3, -80),
        ("tissue", (0, 0), 2, 150),
        ("tissue", (0.5, 0.5), 2, 140),
        ("tissue", (0.4, 0.5), 4, 100),
        ("speckle", (0, 0), 2, 120),
        ("speckle", (1, 0), 3, 200),
    ][::STRIDE],
)
def test_text_is_found_and_not_everything_painted(tesseract, kind, place, size, contrast):
    frame, mask = burned(background(kind), TEXT, place, size, contrast)
    text, other = covered(tesseract(frame), mask)
    assert text > 0.99
    assert other < 0.6


@pytest.mark.parametrize("color", [(255, 60, 60), (60, 60, 255), (255, 255, 0)])
def test_colored_text_is_found(tesseract, color):
    mask = burned(background("black"), TEXT, (0.3, 0.3), 2, 255)[1]
    frame = np.where(mask[..., None], np.array(color, np.uint8), np.uint8(20))
    assert covered(tesseract(frame), mask)[0] > 0.99


@pytest.mark.parametrize("kind", ["black", "paper"])
def test_nothing_is_found_where_nothing_is_written(tesseract, kind):
    assert tesseract(background(kind)) == []


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2", "RGB", "YBR_FULL"])
def test_text_goes_from_every_frame(tesseract, photometric):
    frame, mask = burned(background("black"), TEXT, (0.1, 0.1), 2, 200)
    shown = 255 - frame if photometric == "MONOCHROME1" else frame
    gray = np.full_like(frame, 128)
    planes = {"RGB": [shown] * 3, "YBR_FULL": [shown, gray, gray]}.get(photometric, [shown])
    black = np.zeros_like(frame) if photometric != "MONOCHROME1" else np.full_like(frame, 255)
    dark = [black, *planes[1:]] if photometric == "YBR_FULL" else [black] * len(planes)
    pixels = np.stack([np.stack(dark, -1), np.stack(planes, -1)]).tobytes()
    dicom = image(photometric=photometric, allocated=8, rows=ROWS, columns=COLUMNS, frames=2)
    dicom = dicom[: -len(pixels)] + pixels
    after = array(cleaned(dicom, cleaner(DETECT, detector=tesseract)))
    assert mask.any()
    assert (after[:, 0][:, mask] == black[mask]).all()


@pytest.fixture
def failing(tmp_path):
    """Return what makes a program that behaves as a script says."""

    def program(script: str) -> Tesseract:
        path = tmp_path / "program"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return Tesseract(str(path))

    return program


def test_a_program_that_fails_is_a_refusal(failing):
    with pytest.raises(Refused, match="Tesseract failed"):
        failing("cat > /dev/null; exit 3")(background("black"))


def test_a_program_that_is_gone_is_a_refusal(tmp_path):
    with pytest.raises(Refused, match="Tesseract failed"):
        Tesseract(str(tmp_path / "none"))(background("black"))


def test_a_table_of_words_becomes_boxes_with_a_margin(failing):
    words = ["head", "4" + "\t0" * 11, *("5" + "\t0" * 5 + f"\t40\t20\t60\t20\t{word}"
             for word in ("90\tAB", "90\tA", "-1\tABC"))]  # fmt: skip
    lines = "\n".join(words)
    found = failing(f"cat > /dev/null\ncat <<'END'\n{lines}\nEND")(np.zeros((50, 50), np.uint8))
    assert set(found) == {(10, 7, 50, 16)}
