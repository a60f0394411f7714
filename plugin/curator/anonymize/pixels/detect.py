"""Find text in images with Tesseract, where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from math import ceil, floor
from typing import Final

import numpy as np
from numpy.typing import NDArray

from curator.anonymize.errors import Refused
from curator.anonymize.pixels.ink import sheets

Rectangle = tuple[int, int, int, int]

_PROGRAM: Final = "tesseract"
_OPTIONS: Final = ("stdin", "stdout", "--psm", "11", "--dpi", "200", "-l", "eng", "tsv")
_TIMEOUT: Final = 120
"""Seconds for one image; Tesseract takes less than one."""

_LEAST_CONFIDENCE: Final = 5.0
"""In percent: far below what reading needs, since a name half read is a name that is there."""

_LEAST_CHARACTERS: Final = 2
_LEAST_HEIGHT: Final = 6.0
"""Pixels of the image; what is lower is noise, since no letter of that size can be read."""

_MARGIN_ABOVE: Final = 0.3
_MARGIN_BESIDE: Final = 1.0
"""In heights of a word: above and below, and on both sides, where a letter may not be seen."""

_LEAST_MARGIN: Final = 3
_WORD: Final = "5"


class Tesseract:
    """Finds words by running Tesseract on bright and on dark ink.

    Parameters
    ----------
    program : str
        Path of the executable.
    """

    def __init__(self, program: str) -> None:
        self._program = program

    def __call__(self, frame: NDArray[np.uint8]) -> list[Rectangle]:
        """Return boxes around words, with a margin, as left, top, width and height.

        Parameters
        ----------
        frame : array of uint8, shape (rows, columns) or (rows, columns, 3)
            Gray or red, green, blue; black is 0.

        Raises
        ------
        Refused
            If Tesseract fails or takes too long.
        """
        return [
            _with_margin(word, scale)
            for sheet, scale in sheets(frame)
            for word in self._words(sheet)
            if word[3] >= _LEAST_HEIGHT * scale
        ]

    def _words(self, sheet: NDArray[np.uint8]) -> Iterator[Rectangle]:
        rows, columns = sheet.shape
        portable_gray_map = b"P5 %d %d 255\n" % (columns, rows) + sheet.tobytes()
        try:
            done = subprocess.run(  # noqa: S603 - nothing of an instance is in the command
                [self._program, *_OPTIONS],
                input=portable_gray_map,
                capture_output=True,
                timeout=_TIMEOUT,
                check=True,
                env={**os.environ, "OMP_THREAD_LIMIT": "1", "LC_ALL": "C.UTF-8"},
            )
        except (subprocess.SubprocessError, OSError) as error:
            raise Refused("PixelData", f"Tesseract failed: {type(error).__name__}") from None
        return _words_of(done.stdout.decode("utf-8", "replace"))


def installed_detector() -> Tesseract | None:
    """Return what finds text on this machine, None where Tesseract is not installed."""
    program = shutil.which(_PROGRAM)
    return None if program is None else Tesseract(program)


def _words_of(table: str) -> Iterator[Rectangle]:
    """Yield the boxes of words in the output of Tesseract: lines of tab separated columns."""
    for line in table.splitlines()[1:]:
        columns = line.split("\t")
        if len(columns) < 12 or columns[0] != _WORD:
            continue
        left, top, width, height = (int(column) for column in columns[6:10])
        characters = sum(character.isalnum() for character in columns[11])
        if float(columns[10]) >= _LEAST_CONFIDENCE and characters >= _LEAST_CHARACTERS:
            yield left, top, width, height


def _with_margin(word: Rectangle, scale: float) -> Rectangle:
    left, top, width, height = (edge / scale for edge in word)
    beside = max(_MARGIN_BESIDE * height, _LEAST_MARGIN)
    above = max(_MARGIN_ABOVE * height, _LEAST_MARGIN)
    first, upper = floor(left - beside), floor(top - above)
    return (
        first,
        upper,
        ceil(left + width + beside) - first,
        ceil(top + height + above) - upper,
    )
