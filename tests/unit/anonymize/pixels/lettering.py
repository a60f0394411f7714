"""Burn text into synthetic images, with a bitmap font of five by seven dots."""

from __future__ import annotations

import numpy as np

from curator.anonymize.pixels.ink import doubled

#: Rows of dots, from the top, as five bits each.
FONT = {
    "A": "0E11111F111111", "B": "1E11111E11111E", "C": "0E11101010110E", "D": "1E11111111111E",
    "E": "1F10101E10101F", "F": "1F10101E101010", "G": "0E11101713110F", "H": "1111111F111111",
    "I": "0E04040404040E", "J": "0702020202120C", "K": "11121418141211", "L": "1010101010101F",
    "M": "111B1515111111", "N": "11191513111111", "O": "0E11111111110E", "P": "1E11111E101010",
    "Q": "0E11111115120D", "R": "1E11111E141211", "S": "0F10100E01011E", "T": "1F040404040404",
    "U": "1111111111110E", "V": "11111111110A04", "W": "11111115151B11", "X": "11110A040A1111",
    "Y": "11110A04040404", "Z": "1F01020408101F", "0": "0E11131519110E", "1": "040C040404040E",
    "2": "0E11010204081F", "3": "1F02040201110E", "4": "02060A121F0202", "5": "1F101E0101110E",
    "6": "0608101E11110E", "7": "1F010204080808", "8": "0E11110E11110E", "9": "0E11110F01020C",
    " ": "00000000000000", ".": "0000000000000C", "-": "0000001F000000", "/": "00010204081000",
}  # fmt: skip
SMOOTHED = (2, 4, 8)


def lettering(text: str, size: int) -> np.ndarray:
    """Return text as opacities from 0 to 1, with dots of `size` pixels, smooth where that is even.

    The capitals are seven dots high.
    """
    letters = [_dots(FONT[letter]) for letter in text]
    dots = np.concatenate(letters, axis=1)
    if size not in SMOOTHED:
        return dots.repeat(size, 0).repeat(size, 1) / 255
    dots = dots.repeat(2, 0).repeat(2, 1)
    while dots.shape[0] < 7 * size:
        dots = doubled(dots)
    return dots / 255


def _dots(rows: str) -> np.ndarray:
    bits = [f"{int(rows[place : place + 2], 16):05b}0" for place in range(0, len(rows), 2)]
    return np.array([[255 * int(bit) for bit in row] for row in bits], np.uint8)


def burned(
    image: np.ndarray, text: str, place: tuple[float, float], size: int, contrast: int
) -> tuple[np.ndarray, np.ndarray]:
    """Burn text into an image.

    Parameters
    ----------
    image : array of uint8, shape (rows, columns)
        The image.
    place : tuple of two float
        Where in the room that is left, down and across, from 0 to 1.
    size : int
        Pixels of a dot.
    contrast : int
        Levels that are added; negative for dark text.

    Returns
    -------
    image, mask : arrays of the same shape
        The new image, and where the text is.
    """
    ink = lettering(text, size)
    top, left = (
        int(part * (whole - own))
        for part, whole, own in zip(place, image.shape, ink.shape, strict=True)
    )
    full = np.zeros(image.shape)
    full[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return np.clip(image + full * contrast, 0, 255).astype(np.uint8), full > 0.3
