"""Read the tables of the standard that come along."""

from functools import cache
from pathlib import Path

from curator.anonymize.standard import Standard, parse_standard

_DATA = Path(__file__).parent / "data"
_NAMES = ("ps3_15_e1_1", "safe_private", "ps3_15_e3_4_1", "compound_types", "ps3_3_modules")


@cache
def load() -> Standard:
    """Read and parse the tables, once."""
    return parse_standard(
        {name: (_DATA / f"{name}.csv").read_text(encoding="utf-8") for name in _NAMES}
    )
