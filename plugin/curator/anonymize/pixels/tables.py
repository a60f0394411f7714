"""Load the table of known devices that comes with the plugin."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from curator.anonymize.pixels.devices import Devices, parsed

_TABLE = Path(__file__).parents[1] / "data" / "pixel_regions.csv"


@cache
def known_devices() -> Devices:
    """Return the table, read once.

    Raises
    ------
    ValueError
        If anything in it is not understood.
    """
    with _TABLE.open(encoding="utf-8", newline="") as lines:
        return parsed(lines)
