"""What happens to the pixels of one instance."""

from __future__ import annotations

from dataclasses import dataclass

from curator.anonymize.pixels.geometry import Box


@dataclass(frozen=True, slots=True)
class PixelPlan:
    """What happens to the pixels of one instance, and why.

    Parameters
    ----------
    rules : tuple of str
        The rules that fired, for the report: ``$.Rules[4]``, ``Device US ATL HDI 5000 …``.
    fill, blur : tuple of Box
        What is painted over and what is made unreadable, in every frame.
    detect : bool
        Whether text is to be found and painted over.
    clear : bool
        Whether an overlay that lies in unused bits of the pixels is cleared (PS3.5 8.1.2).
    cleaned : bool or None
        True where Burned In Annotation may say ``NO`` afterwards, None where it stays as it is.
    warnings : tuple of str
        What who reads the report should know.
    """

    rules: tuple[str, ...] = ()
    fill: tuple[Box, ...] = ()
    blur: tuple[Box, ...] = ()
    detect: bool = False
    clear: bool = False
    cleaned: bool | None = None
    warnings: tuple[str, ...] = ()

    @property
    def changes_pixels(self) -> bool:
        """Whether the pixels have to be decoded."""
        return bool(self.fill or self.blur or self.detect or self.clear)


UNTOUCHED = PixelPlan()
"""No rule fired."""
